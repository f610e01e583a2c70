# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The Pod Security Standards, control by control, as the page of that name in the Kubernetes documentation has them."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _pss
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import TEMPLATES, finding, named
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import ContentError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.content.content_jobs import job, object_at

SAFE = yaml.safe_load("""
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  initContainers:
  - name: i
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
""")


def changed(spec: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """A Pod that restricted permits, with fields of its spec merged in; `a:` merges into container a, `i:` into i."""
    pod: dict[str, Any] = copy.deepcopy(SAFE)
    wanted = yaml.safe_load(spec) or {}
    for name, where in (("a", "containers"), ("i", "initContainers")):
        merge(pod["spec"][where][0], wanted.pop(name, {}))
    merge(pod["spec"], wanted)
    if annotations:
        pod["metadata"]["annotations"] = annotations
    return pod


def merge(into: dict[str, Any], what: dict[str, Any]) -> None:
    for key, value in what.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def failed(pod: dict[str, Any], level: str, version: str = "latest") -> list[str]:
    return [denied.check for denied in _pss.evaluate(pod, level, version)]


def wrapped(pod: dict[str, Any], api: str, kind: str) -> dict[str, Any]:
    """The workload of that kind that makes the Pod."""
    template = {"metadata": pod["metadata"], "spec": pod["spec"]}
    if kind == "PodTemplate":
        return {"apiVersion": api, "kind": kind, "template": template}
    if kind == "CronJob":
        return {"apiVersion": api, "kind": kind, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    return {"apiVersion": api, "kind": kind, "spec": {"template": template}}


# Control, YAML merged into the Pod, level it breaks, check's id.
BASELINE = [
    ("a: {securityContext: {windowsOptions: {hostProcess: true}}}", "windowsHostProcess"),
    ("securityContext: {windowsOptions: {hostProcess: true}}", "windowsHostProcess"),
    ("hostNetwork: true", "hostNamespaces"),
    ("hostPID: true", "hostNamespaces"),
    ("hostIPC: true", "hostNamespaces"),
    ("a: {securityContext: {privileged: true}}", "privileged"),
    ("i: {securityContext: {privileged: true}}", "privileged"),
    ("ephemeralContainers: [{name: e, securityContext: {privileged: true}}]", "privileged"),
    ("a: {securityContext: {capabilities: {add: [NET_RAW]}}}", "capabilities_baseline"),
    ("a: {securityContext: {capabilities: {add: [CAP_CHOWN]}}}", "capabilities_baseline"),
    ("volumes: [{name: v, hostPath: {path: /etc}}]", "hostPathVolumes"),
    ("a: {ports: [{containerPort: 80, hostPort: 80}]}", "hostPorts"),
    ("i: {livenessProbe: {httpGet: {host: 10.0.0.1, port: 80}}}", "hostProbesAndHostLifecycle"),
    ("a: {readinessProbe: {tcpSocket: {host: 10.0.0.1, port: 80}}}", "hostProbesAndHostLifecycle"),
    ("a: {startupProbe: {httpGet: {host: x, port: 80}}}", "hostProbesAndHostLifecycle"),
    ("a: {lifecycle: {postStart: {httpGet: {host: x, port: 80}}}}", "hostProbesAndHostLifecycle"),
    ("a: {lifecycle: {preStop: {tcpSocket: {host: x, port: 80}}}}", "hostProbesAndHostLifecycle"),
    ("a: {securityContext: {appArmorProfile: {type: Unconfined}}}", "appArmorProfile"),
    ("securityContext: {appArmorProfile: {type: Unconfined}}", "appArmorProfile"),
    ("securityContext: {seLinuxOptions: {type: spc_t}}", "seLinuxOptions"),
    ("a: {securityContext: {seLinuxOptions: {user: system_u}}}", "seLinuxOptions"),
    ("a: {securityContext: {seLinuxOptions: {role: sysadm_r}}}", "seLinuxOptions"),
    ("a: {securityContext: {procMount: Unmasked}}", "procMount"),
    ("securityContext: {seccompProfile: {type: Unconfined}}", "seccompProfile_baseline"),
    ("a: {securityContext: {seccompProfile: {type: Unconfined}}}", "seccompProfile_baseline"),
    ("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", "sysctls"),
]
RESTRICTED = [
    ("volumes: [{name: v, nfs: {server: s, path: /}}]", "restrictedVolumes"),
    ("volumes: [{name: v, hostPath: {path: /etc}}]", "restrictedVolumes"),
    ("volumes: [{name: v, somethingNew: {}}]", "restrictedVolumes"),
    ("a: {securityContext: {allowPrivilegeEscalation: true}}", "allowPrivilegeEscalation"),
    ("a: {securityContext: {allowPrivilegeEscalation: null}}", "allowPrivilegeEscalation"),
    ("securityContext: {runAsNonRoot: false}", "runAsNonRoot"),
    ("securityContext: {runAsNonRoot: null}", "runAsNonRoot"),
    ("a: {securityContext: {runAsNonRoot: false}}", "runAsNonRoot"),
    ("securityContext: {runAsUser: 0}", "runAsUser"),
    ("i: {securityContext: {runAsUser: 0}}", "runAsUser"),
    ("securityContext: {seccompProfile: null}", "seccompProfile_restricted"),
    ("i: {securityContext: {capabilities: {drop: [NET_RAW]}}}", "capabilities_restricted"),
    ("a: {securityContext: {capabilities: {add: [CHOWN]}}}", "capabilities_restricted"),
    ("a: {securityContext: {procMount: Unmasked}}", "procMount_restricted"),
]
PERMITTED = [
    "{}",
    "hostNetwork: false",
    "a: {ports: [{containerPort: 80, hostPort: 0}]}",
    "a: {securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}",
    "a: {securityContext: {privileged: false, procMount: Default, runAsUser: 1000}}",
    "a: {livenessProbe: {httpGet: {host: '', port: 80}}}",
    "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: p}}",
    "securityContext: {seLinuxOptions: {type: container_engine_t, level: 's0:c1'}}",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat, value: '1'}]}",
    "volumes: [{name: a, configMap: {}}, {name: b, image: {}}, {name: c, ephemeral: {}}, {name: d}]",
    "a: {securityContext: {runAsNonRoot: true}}",
]


@pytest.mark.parametrize(("spec", "check"), BASELINE)
def test_baseline_denies(spec: str, check: str) -> None:
    pod = changed(spec)
    assert failed(pod, "baseline") == [check]
    assert failed(pod, "restricted")
    assert failed(pod, "privileged") == []


@pytest.mark.parametrize(("spec", "check"), RESTRICTED)
def test_restricted_denies(spec: str, check: str) -> None:
    assert failed(changed(spec), "restricted") == [check]


@pytest.mark.parametrize("spec", PERMITTED)
def test_restricted_permits(spec: str) -> None:
    assert failed(changed(spec), "restricted") == []


@pytest.mark.parametrize(
    ("spec", "level", "last_denied", "first_permitted"),
    [
        ("securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports}]}", "baseline", 26, 27),
        ("securityContext: {sysctls: [{name: net.ipv4.tcp_keepalive_time}]}", "baseline", 28, 29),
        ("securityContext: {sysctls: [{name: net.ipv4.tcp_rmem}]}", "baseline", 31, 32),
        ("securityContext: {sysctls: [{name: net.ipv4.tcp_slow_start_after_idle}]}", "baseline", 36, 37),
        ("securityContext: {seLinuxOptions: {type: container_engine_t}}", "baseline", 30, 31),
        ("{hostUsers: false, a: {securityContext: {procMount: Unmasked}}}", "baseline", 34, 35),
        ("{hostUsers: false, securityContext: {runAsNonRoot: false}}", "restricted", 34, 35),
        ("{hostUsers: false, securityContext: {runAsUser: 0}}", "restricted", 34, 35),
        ("{os: {name: windows}, a: {securityContext: {allowPrivilegeEscalation: null}}}", "restricted", 24, 25),
        ("{os: {name: windows}, a: {securityContext: {capabilities: null}}}", "restricted", 24, 25),
        ("{os: {name: windows}, securityContext: {seccompProfile: null}}", "restricted", 24, 25),
    ],
)
def test_what_a_version_began_to_permit(spec: str, level: str, last_denied: int, first_permitted: int) -> None:
    pod = changed(spec)
    assert failed(pod, level, f"v1.{last_denied}")
    assert failed(pod, level, f"v1.{first_permitted}") == []
    assert failed(pod, level) == []


def test_what_a_version_began_to_deny() -> None:
    probe = changed("a: {livenessProbe: {httpGet: {host: x, port: 80}}}")
    assert failed(probe, "baseline", "v1.33") == []
    assert failed(probe, "baseline", "v1.34") == ["hostProbesAndHostLifecycle"]


def test_user_namespaces_do_not_relax_what_must_hold_in_them_too() -> None:
    pod = changed("{hostUsers: false, a: {securityContext: {procMount: Unmasked, privileged: true}}}")
    assert failed(pod, "baseline") == ["privileged"]
    assert failed(pod, "restricted") == ["privileged", "procMount_restricted"]


def test_windows_must_still_not_run_as_root() -> None:
    assert failed(changed("{os: {name: windows}, securityContext: {runAsNonRoot: null}}"), "restricted") == [
        "runAsNonRoot"
    ]


@pytest.mark.parametrize(
    ("value", "denied"), [("runtime/default", False), ("localhost/x", False), ("", False), ("unconfined", True)]
)
def test_app_armor_annotations(value: str, denied: bool) -> None:
    pod = changed("{}", {"container.apparmor.security.beta.kubernetes.io/a": value})
    assert bool(failed(pod, "baseline")) is denied


def test_seccomp_annotations_count_before_1_19_only() -> None:
    pod = changed("{}", {"container.seccomp.security.alpha.kubernetes.io/a": "unconfined"})
    assert failed(pod, "baseline", "v1.18") == ["seccompProfile_baseline"]
    assert failed(pod, "baseline", "v1.19") == []


def test_every_kind_that_makes_pods_is_looked_into() -> None:
    pod = changed("a: {securityContext: {privileged: true}}")
    for (group, kind), path in TEMPLATES.items():
        obj = pod if kind == "Pod" else wrapped(pod, f"{group}/v1" if group else "v1", kind)
        (denied,) = _pss.evaluate(obj, "baseline")
        assert denied.check == "privileged"
        assert denied.places[0].path == (*path, "spec", "containers", 0, "securityContext", "privileged")


@pytest.mark.parametrize(
    ("api", "kind"), [("v1", "Service"), ("example.org/v1", "Pod"), ("apps.example.org/v1", "Deployment")]
)
def test_other_kinds_pass(api: str, kind: str) -> None:
    assert failed({**changed("hostPID: true"), "apiVersion": api, "kind": kind}, "restricted") == []


def test_a_workload_without_a_template_has_no_pod() -> None:
    assert failed({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}}, "restricted") == []


@pytest.mark.parametrize(
    "spec",
    [
        "hostNetwork: 'true'",
        "hostUsers: 'false'",
        "containers: {}",
        "containers: [x]",
        "securityContext: []",
        "a: {securityContext: {privileged: 'yes'}}",
        "a: {securityContext: {capabilities: {drop: ALL}}}",
        "a: {securityContext: {capabilities: {drop: [1]}}}",
        "a: {ports: [{hostPort: true}]}",
        "a: {name: 1}",
        "volumes: [{name: v, emptyDir: 1}]",
        "securityContext: {runAsUser: .nan}",
        "os: windows",
    ],
)
def test_what_cannot_be_judged_is_denied(spec: str) -> None:
    for level in ("baseline", "restricted"):
        if "emptyDir" in spec and level == "baseline":
            continue  # baseline does not look at that source
        assert failed(changed(spec), level) == ["malformed"]


def test_a_template_that_is_no_object_is_denied() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": [SAFE]}}
    assert failed(obj, "baseline") == ["malformed"]
    assert failed({**obj, "spec": "x"}, "restricted") == ["malformed"]


@pytest.mark.parametrize(
    ("level", "version"),
    [("Restricted", "latest"), ("", "latest"), ("baseline", "1.37"), ("baseline", "v1.037"), ("baseline", "v2.0")],
)
def test_unknown_levels_and_versions_are_errors(level: str, version: str) -> None:
    with pytest.raises(_pss.PodSecurityError):
        _pss.evaluate(SAFE, level, version)
    with pytest.raises(_pss.PodSecurityError):
        _pss.evaluate({"kind": "Service", "apiVersion": "v1"}, level, version)


def test_versions_after_the_newest_known_are_judged_like_it() -> None:
    assert _pss.checks("restricted", "v1.99") == _pss.checks("restricted", "v1.37") == _pss.checks("restricted")


def test_the_detail_names_everything_and_the_places_name_each() -> None:
    pod = changed(
        "{a: {securityContext: {capabilities: {add: [SYS_TIME, BPF]}}}, i: {securityContext: {privileged: true}}}"
    )
    privileged, capabilities = sorted(_pss.evaluate(pod, "baseline"), key=lambda one: one.reason, reverse=True)
    assert privileged.detail == 'container "i" must not set securityContext.privileged=true'
    assert capabilities.detail == (
        'container "a" must not include "BPF", "SYS_TIME" in securityContext.capabilities.add'
    )
    assert [place.message for place in capabilities.places] == [
        'container "a" must not include "SYS_TIME" in securityContext.capabilities.add',
        'container "a" must not include "BPF" in securityContext.capabilities.add',
    ]


def test_both_pod_and_containers_are_named() -> None:
    pod = changed(
        "{securityContext: {seccompProfile: {type: Unconfined}}, a: {securityContext: {seccompProfile: {type: x}}}}"
    )
    (denied,) = _pss.evaluate(pod, "baseline")
    assert (
        denied.detail == 'pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined", "x"'
    )


# --- Namespace labels and the door for rules --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, ("baseline", "v1.30", 0)),
        ({"enforce": "restricted"}, ("restricted", "v1.30", 0)),
        ({"enforce": "privileged", "enforce-version": "latest"}, ("privileged", "latest", 0)),
        ({"enforce": "Baseline"}, ("restricted", "v1.30", 1)),
        ({"enforce-version": "1.30"}, ("baseline", "latest", 1)),
        ({"enforce": 1, "enforce-version": None}, ("restricted", "latest", 2)),
    ],
)
def test_namespace_labels(labels: dict[str, Any], expected: tuple[str, str, int]) -> None:
    full = {f"pod-security.kubernetes.io/{key}": value for key, value in labels.items()}
    level, version, problems = _pss.namespace_policy(full, "baseline", "v1.30")
    assert (level, version, len(problems)) == expected


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ("restricted", 0),
        ({"level": "baseline", "version": "v1.36"}, 0),
        ({"level": "namespace"}, 0),
        ({"level": "namespace", "default": "privileged"}, 0),
        ("strict", 1),
        ({}, 1),
        ([], 1),
        (None, 1),
        ({"level": "baseline", "versoin": "v1.36"}, 1),
        ({"level": "baseline", "version": 1.36}, 1),
        ({"level": "baseline", "default": "privileged"}, 1),
        ({"level": "namespace", "default": "namespace"}, 1),
    ],
)
def test_parameters(params: Any, count: int) -> None:
    assert len(_pss.problems("pss", params)) == count


def test_findings_have_places_and_names_that_survive_a_move() -> None:
    pod = wrapped(changed("a: {securityContext: {privileged: true}}"), "apps/v1", "Deployment")
    (found,) = _pss.check([job("pss", "baseline", [object_at(pod)])])
    assert [one.message for one in found] == [
        (
            'violates Pod Security "baseline:latest": privileged: '
            'container "a" must not set securityContext.privileged=true'
        )
    ]
    assert found[0].field == ("spec", "template", "spec", "containers", "[name=a]", "securityContext", "privileged")
    assert found[0].origin is not None
    assert found[0].origin.file == "app.yaml#spec.template.spec.containers.0.securityContext.privileged"
    pod["spec"]["template"]["spec"]["containers"].insert(0, {"name": "first"})
    (moved,) = _pss.check([job("pss", "baseline", [object_at(pod)])])
    assert [one.key for one in moved] == [one.key for one in found]


def test_latest_is_the_cluster_s_version() -> None:
    pod = changed("securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat}]}")
    older, newer, unknown = _pss.check(
        [job("pss", "baseline", [object_at(pod)], version=version) for version in ("1.36.3", "1.37", "")]
    )
    assert (len(older), len(newer), len(unknown)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("params", "version", "count"),
    [
        ({"level": "namespace"}, "1.36.3", 1),
        ({"level": "namespace"}, "1.37.0", 0),
        ({"level": "namespace"}, "", 0),
        ({"level": "baseline", "version": "v1.37"}, "1.36.3", 0),
    ],
)
def test_a_label_asks_an_older_cluster_for_no_more_than_it_knows(
    params: dict[str, str], version: str, count: int
) -> None:
    labels = {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/enforce-version": "v1.37",
    }
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": labels}}
    pod = changed("securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat, value: '1'}]}")
    asked = job("pss", params, [object_at(pod)], everything=[object_at(space)], version=version)
    (found,) = _pss.check([asked])
    assert len(found) == count


def test_the_namespace_s_own_level() -> None:
    def namespace(name: str, level: str) -> dict[str, Any]:
        labels = {"pod-security.kubernetes.io/enforce": level}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}

    def pod(name: str) -> dict[str, Any]:
        return {**changed("hostPID: true"), "metadata": {"name": "p", "namespace": name}}

    everything = [object_at(namespace("open", "privileged")), object_at(namespace("shut", "nonsense"))]
    pods = [object_at(pod(name)) for name in ("open", "shut", "unknown")]
    params = {"level": "namespace", "default": "baseline"}
    (found,) = _pss.check([job("pss", params, pods, everything=everything)])
    assert [(one.subject.name if one.subject else "", one.field) for one in found] == [
        ("shut/p", ()),
        ("shut/p", ("spec", "hostPID")),
        ("unknown/p", ("spec", "hostPID")),
    ]


def test_time_that_is_over_is_an_error() -> None:
    with pytest.raises(ContentError):
        _pss.check([job("pss", "baseline", [object_at(SAFE)], seconds=-1)])


# --- Properties -------------------------------------------------------------------------------------------------

KEYS: st.SearchStrategy[Any] = (
    st.sampled_from(
        [
            "metadata",
            "annotations",
            "spec",
            "containers",
            "initContainers",
            "ephemeralContainers",
            "securityContext",
            "name",
            "volumes",
            "hostPath",
            "capabilities",
            "add",
            "drop",
            "ports",
            "hostPort",
            "seccompProfile",
            "type",
            "os",
            "hostUsers",
            "sysctls",
            "lifecycle",
            "preStop",
            "httpGet",
            "host",
            "livenessProbe",
            "template",
            "jobTemplate",
            "seLinuxOptions",
            "privileged",
        ]
    )
    | st.text(max_size=3)
    | st.integers()
    | st.none()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=6), st.sampled_from(["baseline", "restricted"]))
def test_any_value_gets_an_answer(spec: dict[Any, Any], level: str) -> None:
    found = _pss.evaluate_pod(spec, spec, level)
    assert all(one.check and one.reason and one.detail and one.places for one in found)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([spec for spec, _check in BASELINE + RESTRICTED] + PERMITTED), max_size=4),
    st.integers(25, 37),
)
def test_restricted_denies_whatever_baseline_denies(specs: list[str], minor: int) -> None:
    pod = copy.deepcopy(SAFE)
    for spec in specs:
        merge(
            pod["spec"], {key: value for key, value in changed(spec)["spec"].items() if value != SAFE["spec"].get(key)}
        )
    if failed(pod, "baseline", f"v1.{minor}"):
        assert failed(pod, "restricted", f"v1.{minor}")


def test_a_thousand_manifests_take_a_fraction_of_a_second() -> None:
    pods = [wrapped(changed("a: {ports: [{containerPort: 80}]}"), "apps/v1", "Deployment") for _ in range(1000)]
    start = time.process_time()
    for pod in pods:
        assert failed(pod, "restricted") == []
    # 1,000 take about 0.1 s; the bound only tells a slip of a magnitude on a busy machine
    assert time.process_time() - start < 1.0


def test_very_many_containers_cost_no_more_each_than_few() -> None:
    """Each fault names its container by the key that nobody else in the list has."""

    def visits(count: int) -> int:
        keys = [Counted(name=f"c{number}") for number in range(count)]
        for index in range(count):
            assert named({"spec": keys}, ("spec", index)) == ("spec", f"[name=c{index}]")
        return sum(one.asked for one in keys) // count

    assert visits(50) == visits(500)


class Counted(dict[str, str]):
    """A container that counts how often it is asked for something."""

    asked = 0

    def get(self, *words: Any) -> Any:
        self.asked += 1
        return super().get(*words)


def test_one_object_has_to_be_finished_in_time_too() -> None:
    at = object_at(SAFE)
    late = job("pss", "restricted", [at])
    late = late._replace(context=late.context._replace(deadline=0.0))
    with pytest.raises(ContentError, match="not finished in time"):
        finding(late, at, ("spec",), "x")

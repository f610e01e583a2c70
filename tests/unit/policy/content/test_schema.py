# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Objects against the schemas of Kubernetes' versions."""

from __future__ import annotations

import copy
import time
import zlib
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _schema
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import INFO, INVALID, PROHIBIT, WARN
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.content.content_jobs import job, object_at, objects

DEPLOYMENT = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example.org/web:1
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
        resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: 2, memory: 1.5e3}}
        livenessProbe: {httpGet: {path: /, port: http}, initialDelaySeconds: 5}
        env: [{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
""")


def faults(obj: Any, version: str = "1.37", worst: str = PROHIBIT) -> list[tuple[str, str]]:
    return [
        (".".join(map(str, fault.path)), fault.message)
        for fault in _schema.validate(obj, version)
        if fault.severity == worst
    ]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The Deployment with one field set (ABSENT: taken out)."""
    out: dict[str, Any] = copy.deepcopy(DEPLOYMENT)
    at: Any = out
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return out


ABSENT = object()
CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize("version", ["1.35", "1.36.3", "v1.37.2", "", "1.20", "1.99"])
def test_a_good_object_passes_in_every_version(version: str) -> None:
    assert _schema.validate(DEPLOYMENT, version) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.replica", 3, "unknown field (did you mean replicas?)"),
        (f"{CONTAINER}.imagePullPolicy", "Allways", "must be one of Always, IfNotPresent, Never"),
        (f"{CONTAINER}.imagePullPolicy", "Allways", "(did you mean Always?)"),
        ("spec.replicas", "2", "must be a whole number, not a string"),
        ("spec.replicas", 2.5, "must be a whole number, not 2.5"),
        ("spec.replicas", True, "must be a whole number, not a boolean"),
        ("spec.replicas", 2**31, "is out of range"),
        ("spec.replicas", 10**400, "is out of range"),
        ("spec.replicas", float("nan"), "must be a whole number"),
        ("spec.paused", "true", "must be true or false, not a string"),
        ("spec.paused", 1, "must be true or false, not a number"),
        ("metadata.labels.version", 1.0, "must be a string, not a number; put it in quotes"),
        ("metadata.labels.on", True, "must be a string, not a boolean; put it in quotes"),
        ("metadata.annotations", [], "must be an object, not a list"),
        ("spec.selector", ABSENT, "is missing"),
        ("spec.selector", None, "is missing"),
        (f"{CONTAINER}.name", ABSENT, "is missing"),
        ("metadata.name", ABSENT, "is missing"),
        ("spec.template.spec.containers", {"name": "web"}, "must be a list, not an object"),
        (f"{CONTAINER}.args", [1], "must be a string, not a number; put it in quotes"),
        (f"{CONTAINER}.env", [None], "must not be null"),
        (f"{CONTAINER}.resources.limits.cpu", "2 cores", "is no quantity"),
        (f"{CONTAINER}.resources.limits.cpu", "", "is no quantity"),
        (f"{CONTAINER}.resources.limits.cpu", True, "must be a quantity"),
        (f"{CONTAINER}.resources.limits.memory", "1GB", "is no quantity"),
        (f"{CONTAINER}.livenessProbe.httpGet.port", 1.5, "must be a whole number"),
        (f"{CONTAINER}.livenessProbe.httpGet.port", [], "must be a whole number or a string"),
        ("metadata.creationTimestamp", "yesterday", "is no time"),
        ("metadata.creationTimestamp", "2026-13-01T00:00:00Z", "is no time"),
        ("metadata.creationTimestamp", "2026-02-29T00:00:00Z", "is no time"),
        ("kind", 1, "must be a string"),
        ("kind", "", "is missing"),
        ("apiVersion", None, "is missing"),
        ("apiVersion", ABSENT, "is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is(path: str, value: Any, message: str) -> None:
    found = faults(changed(path, value))
    assert len(found) == 1
    assert found[0][0] == path or found[0][0].startswith(f"{path}.")
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.replicas", 3.0),
        ("spec.replicas", None),
        ("metadata.creationTimestamp", None),
        ("metadata.creationTimestamp", "2026-01-31T12:00:00.5+01:00"),
        (f"{CONTAINER}.resources.limits.cpu", 0.5),
        (f"{CONTAINER}.resources.limits.cpu", "+.5"),
        (f"{CONTAINER}.resources.limits.memory", "12E6"),
        (f"{CONTAINER}.imagePullPolicy", ""),
        (f"{CONTAINER}.livenessProbe.httpGet.port", 8080),
        ("metadata.annotations", {"a": None}),
    ],
)
def test_what_the_api_server_takes_passes(path: str, value: Any) -> None:
    assert faults(changed(path, value)) == []


def test_null_is_a_value_where_anything_is_one() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"enum": ["x", None]}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Widget", "plural": "widgets"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": spec,
    }
    assert _schema.validate(definition) == []
    schema["allOf"] = [None]
    assert [message for _path, message in faults(definition)] == ["must not be null"]


def test_elements_that_a_list_holds_twice() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]
    assert faults(changed(f"{CONTAINER}.ports", ports)) == [
        (f"{CONTAINER}.ports.1", 'containerPort 80, protocol "TCP" is in the list twice')
    ]
    env = [{"name": "A"}, {"name": "B"}, {"name": "A"}]
    assert faults(changed(f"{CONTAINER}.env", env)) == [(f"{CONTAINER}.env.2", 'name "A" is in the list twice')]
    assert faults(changed("metadata.finalizers", ["a/b", "c/d", "a/b"])) == [
        ("metadata.finalizers.2", '"a/b" is in the list twice')
    ]


def test_null_among_strings_is_taken_but_said() -> None:
    obj = changed(f"{CONTAINER}.args", ["-v", None])
    assert faults(obj) == []
    assert [path for path, _message in faults(obj, worst=WARN)] == [f"{CONTAINER}.args.1"]


@pytest.mark.parametrize("text", ["aGk", "xaGk=", "aGk==", "a Gk=", "aGk=aGk="])
def test_what_is_nearly_base64_is_none(text: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": text}}
    assert [path for path, _message in faults(secret)] == ["data.k"]


def test_base64_is_checked_and_never_shown() -> None:
    (secret,) = objects("{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: aGk=, b: hunter2!}}")
    found = faults(secret.object)
    assert [path for path, _message in found] == ["data.b"]
    assert "hunter2" not in found[0][1]


@pytest.mark.parametrize(
    ("api", "kind", "version", "message"),
    [
        ("extensions/v1beta1", "Ingress", "1.37", "was removed in Kubernetes 1.22; use networking.k8s.io/v1"),
        ("apps/v1beta2", "Deployment", "1.35", "was removed in Kubernetes 1.16; use apps/v1"),
        ("policy/v1beta1", "PodSecurityPolicy", "1.37", "was removed in Kubernetes 1.25; nothing takes its place"),
        ("policy/v1beta1", "PodDisruptionBudget", "1.37", "was removed in Kubernetes 1.25; use policy/v1"),
        ("batch/v1beta1", "CronJob", "1.36", "was removed in Kubernetes 1.25; use batch/v1"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.36", "1.26; use autoscaling/v2"),
        ("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", "1.35", "1.32; use flowcontrol.apiserver.k8s.io/v1"),
        ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "1.35", "1.22; use apiextensions.k8s.io/v1"),
        ("apps/v1", "Deploymet", "1.37", "there is no Deploymet in apps/v1 (did you mean Deployment?)"),
        ("v1", "Deployment", "1.37", "there is no Deployment in v1; use apps/v1"),
        ("apps/v2", "Deployment", "1.37", "there is no Deployment in apps/v2; use apps/v1"),
        ("v1", "DeleteOptions", "1.37", "there is no DeleteOptions in v1"),
    ],
)
def test_kinds_that_a_version_does_not_have(api: str, kind: str, version: str, message: str) -> None:
    found = faults({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}}, version)
    assert len(found) == 1
    assert found[0][0] == "apiVersion"
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("old", "new", "content", "found"),
    [
        ("1.36", "1.37", b"kind: IPAddress", True),  # a version of it is removed
        ("1.36.3", "v1.37.2", b"kind: IPAddress", True),
        ("1.36", "1.37", b"kind: Deployment\nspec: {template: {spec: {containers: []}}}", False),
        ("1.36", "1.37", b"kind: ConfigMap", False),
        ("1.36", "1.36", b"kind: IPAddress", False),
        ("1.35", "1.36", b"kind: Pod\nspec: {workloadRef: {name: a}}", True),  # a field is removed
        ("1.35", "1.36", b"kind: Pod\nspec: {containers: []}", False),
        ("1.35", "1.36", b"workloadRef: a word in no workload", False),
        ("1.35", "1.36", b"kind: ResourceClaim", True),  # a version of it is deprecated
        ("1.36", "1.38", b"kind: IPAddress", True),  # beyond the schemas
        ("", "1.36", b"kind: Deployment", False),
    ],
)
def test_where_an_upgrade_may_break_something(old: str, new: str, content: bytes, found: bool) -> None:
    kinds, look = _schema.broken_by(old, new)
    assert look(content) is found
    assert not found or any(kind.encode() in content for kind in kinds)


def test_an_upgrade_that_can_break_nothing() -> None:
    assert not _schema.broken_by("1.45", "1.46")[0]


@pytest.mark.parametrize(
    ("code", "other", "found"),
    [
        ("s", "s", True),
        ("s", "i", False),
        ("=a|b", "=a", True),
        ("=a", "=a|b", False),
        ("", "s", False),
        ("=a", "s", False),
    ],
)
def test_a_field_that_takes_what_another_takes(code: str, other: str, found: bool) -> None:
    assert _schema._is_wider(code, other) is found


def test_deprecated_kinds_are_a_warning() -> None:
    obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x"}}
    assert faults(obj) == []
    assert "deprecated since Kubernetes 1.33" in faults(obj, worst=WARN)[0][1]


def test_a_kind_is_known_from_the_version_that_brings_it() -> None:
    obj = {"apiVersion": "networking.k8s.io/v1beta1", "kind": "ServiceCIDR", "metadata": {"name": "x"}}
    assert faults(obj, "1.36") == []
    assert "was removed in Kubernetes 1.37; use networking.k8s.io/v1" in faults(obj, "1.37")[0][1]


def test_the_namespace_of_what_has_none_is_a_warning() -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "y"}}
    assert faults(obj, worst=WARN) == [
        ("metadata.namespace", "Namespace belongs to the whole cluster; its namespace is ignored")
    ]


def test_lists_are_looked_into() -> None:
    inner = changed("spec.replica", 1)
    found = faults({"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT, inner, 3]})
    assert [path for path, _message in found] == ["items.1.spec.replica", "items.2"]


def test_the_status_may_lack_what_the_api_server_fills_in() -> None:
    (obj,) = objects(
        """{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a}]},
            status: {conditions: [{type: Ready}], what: 1}}"""
    )
    assert faults(obj.object) == [("status.what", "unknown field")]


def test_a_definition_s_own_schema_is_validated() -> None:
    definition = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, additionalProperties: {typ: string}, required: a}}
""")
    assert [path.rpartition("properties.spec.")[2] for path, _message in faults(definition)] == [
        "additionalProperties.typ",
        "required",
    ]


def test_faults_without_end_are_counted() -> None:
    found = faults(changed("spec", {f"a{number}": 1 for number in range(500)}))
    assert len(found) == _schema.MAX_FAULTS + 1
    assert found[-1] == ("", "452 more faults")


def test_deep_values_are_an_answer_not_a_crash() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"properties": {"a": deep}}
    obj = yaml.safe_load("{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}}")
    obj["spec"] = {"versions": [{"schema": {"openAPIV3Schema": deep}}]}
    assert "is nested too deeply to be judged" in [message for _path, message in faults(obj)]


def test_the_shipped_schemas_are_whole() -> None:
    for minor in _schema.MINORS:
        known = _schema.Schemas(minor)
        document = _schema._load(f"kubernetes-1.{minor}.json.z")
        assert document["kubernetes"].startswith(f"v1.{minor}.")
        for name in document["types"]:
            assert known.struct(name).fields.keys() == document["types"][name]["f"].keys()
        for name in document["kinds"]:
            assert known.kind(name) is not None


def test_schemas_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(_schema, "_FOLDER", str(tmp_path))
    with pytest.raises(_schema.SchemaError):
        _schema.Schemas(37)
    (tmp_path / "kubernetes-1.37.json.z").write_bytes(zlib.compress(b"{"))
    with pytest.raises(_schema.SchemaError):
        _schema.Schemas(37)


# --- The door for rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "count"),
    [
        (None, 0),
        ({}, 0),
        ({"unknown": "warn"}, 0),
        ({"unknown": "deny"}, 1),
        ({"x": 1}, 1),
        ([], 1),
        ({"unknown": []}, 1),
    ],
)
def test_parameters(params: Any, count: int) -> None:
    assert len(_schema.problems("schema", params)) == count


def test_findings_have_names_and_places() -> None:
    (found,) = _schema.check([job("schema", {}, [object_at(changed(f"{CONTAINER}.imagee", "x"))], version="1.37.2")])
    assert [one.message for one in found] == [
        "spec.template.spec.containers[name=web].imagee: unknown field (did you mean image?)"
    ]
    assert (found[0].kind, found[0].severity) == (INVALID, PROHIBIT)
    assert found[0].origin is not None
    assert found[0].origin.file == f"app.yaml#{CONTAINER}.imagee"


def test_a_rule_that_warns_never_prohibits() -> None:
    (found,) = _schema.check([job("schema", {}, [object_at(changed("spec.x", 1))], severity=WARN)])
    assert [one.severity for one in found] == [WARN]


NOT_RUN = "they are not run here, the API server runs them"
CUSTOM = """
apiVersion: example.org/v1
kind: Widget
metadata: {name: w}
spec: {size: big}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer}}
            x-kubernetes-validations: [{rule: self.size > 0}]
"""


@pytest.mark.parametrize(("params", "severity"), [({}, INFO), ({"unknown": "prohibit"}, PROHIBIT)])
def test_custom_resources_without_a_definition(params: Any, severity: str) -> None:
    (found,) = _schema.check([job("schema", params, objects(CUSTOM))])
    assert [(one.severity, one.message) for one in found] == [
        (severity, "apiVersion: Widget of example.org/v1 has no schema here; it is not validated")
    ]


def test_custom_resources_with_a_definition_in_the_repository() -> None:
    (found,) = _schema.check([job("schema", {}, objects(CUSTOM), everything=objects(DEFINITION))])
    assert [(one.severity, one.message) for one in found] == [
        (PROHIBIT, "spec.size: must be a whole number, not a string"),
        (
            PROHIBIT,
            "spec: the CEL rule 'self.size > 0' of its definition has no answer: is not of type integer",
        ),
    ]


def test_a_version_that_the_definition_does_not_serve() -> None:
    other = objects(CUSTOM.replace("/v1", "/v2"))
    (found,) = _schema.check([job("schema", {}, other, everything=objects(DEFINITION))])
    assert [one.message for one in found if one.severity == PROHIBIT] == [
        "apiVersion: Widget of example.org is served in v1, not in this one"
    ]


def test_an_object_must_fit_one_of_several_definitions() -> None:
    looser = DEFINITION.replace("size: {type: integer}", "size: {type: string}, more: {type: string}")
    looser = looser.replace("self.size > 0", "'!has(self.more)'")
    for everything in (objects(DEFINITION) + objects(looser), objects(looser) + objects(DEFINITION)):
        (found,) = _schema.check([job("schema", {}, objects(CUSTOM), everything=everything)])
        assert [one.message for one in found if one.severity == PROHIBIT] == []
        (found,) = _schema.check([job("schema", {}, objects(CUSTOM.replace("big", "[]")), everything=everything)])
        assert next(one.message for one in found if one.severity == PROHIBIT).startswith("spec.size: must be")


# --- Properties -------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=10,
)
PATHS = st.sampled_from(
    ["spec", "spec.replicas", "spec.selector", "spec.template.spec", CONTAINER, f"{CONTAINER}.ports", "metadata"]
    + [f"{CONTAINER}.{name}" for name in ("env", "resources", "livenessProbe", "securityContext", "name")]
    + ["metadata.labels", "metadata.finalizers", "metadata.creationTimestamp", "kind", "apiVersion", "status"]
)


@settings(max_examples=300, deadline=None)
@given(PATHS, VALUES)
def test_any_value_gets_an_answer(path: str, value: Any) -> None:
    for fault in _schema.validate(changed(path, value)):
        assert fault.message
        assert "\n" not in fault.message


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_object_gets_an_answer(value: Any) -> None:
    assert _schema.validate(value)


def test_a_thousand_manifests_take_a_fraction_of_a_second() -> None:
    _schema.validate(DEPLOYMENT)
    start = time.process_time()
    for _ in range(1000):
        assert _schema.validate(DEPLOYMENT) == []
    # about 0.1 s; the bound only tells a slip of a magnitude on a busy machine
    assert time.process_time() - start < 1.0

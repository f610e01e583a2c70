# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Static pods, certificates, encryption at rest and patches: compared field by field, changed without loss."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, show_path
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import (
    KubeadmError,
    _api,
    _certificate,
    _encryption,
    _observe,
    _patches,
    _static_pods,
)
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._files import write
from ansible_collections.weft.platform.plugins.module_utils._resource import build, reconcile
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Machine, manifest

CONFIG: list[dict[str, Any]] = [
    {"kind": "InitConfiguration"},
    {"kind": "ClusterConfiguration", "kubernetesVersion": "v1.37.2"},
]


# --- static pods --------------------------------------------------------------------------------------------------


class Api:
    """The API server's record of kubeadm's configuration."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def get(self, path: str) -> Any:
        return {"data": {"ClusterConfiguration": "as it was"}}

    def send(self, *request: Any) -> Any:
        self.sent.append(request)


@pytest.fixture
def pods(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> _static_pods.StaticPods:
    """Static pods of a machine whose kubeadm renders what is in notes/rendered."""
    (machine.notes / "rendered").mkdir()
    render(machine)
    machine.behave(f'[ -z "$KUBEADM_INIT_DRYRUN_DIR" ] || cp {machine.notes}/rendered/* "$KUBEADM_INIT_DRYRUN_DIR"')
    monkeypatch.setattr(_static_pods, "RUN", str(machine.root))
    monkeypatch.setattr(_static_pods, "PATIENCE", 0.2)
    monkeypatch.setattr(_static_pods, "started", lambda name, since: True)
    monkeypatch.setattr(_api, "healthy", lambda *address: True)
    monkeypatch.setattr(_api, "api_server", lambda port: Api())
    return _static_pods.StaticPods({"type": "static_pods", "name": "control-plane", "config": CONFIG})


def render(machine: Machine, **flags: dict[str, str]) -> None:
    for name in ("etcd", *_observe.COMPONENTS):
        text = manifest(name, **flags.get(name.replace("-", "_"), {}))
        (machine.notes / "rendered" / f"{name}.yaml").write_text(text)


def test_manifests_are_rendered_with_the_wanted_patches_and_not_with_those_on_the_disk(
    machine: Machine, pods: _static_pods.StaticPods
) -> None:
    machine.become_control_plane()
    machine.behave(
        f"""folder=$(sed -n 's/.*"directory": "\\([^"]*\\)".*/\\1/p' {machine.notes}/config)
        [ -z "$KUBEADM_INIT_DRYRUN_DIR" ] || cp {machine.notes}/rendered/* "$KUBEADM_INIT_DRYRUN_DIR"
        ls "$folder" > {machine.notes}/patches; cat "$folder"/* > {machine.notes}/patch"""
    )
    pods.spec = {**pods.spec, "patches": {"kube-scheduler001+merge.json": '{"wanted": 1}'}}
    assert pods.changes(pods.observe()) == []
    assert (machine.notes / "patches").read_text() == "kube-scheduler001+merge.json\n"
    assert (machine.notes / "patch").read_text() == '{"wanted": 1}'


def test_nothing_is_compared_before_the_machine_is_a_control_plane(pods: _static_pods.StaticPods) -> None:
    assert pods.changes(pods.observe()) == []


def test_manifests_as_kubeadm_renders_them_are_no_change(machine: Machine, pods: _static_pods.StaticPods) -> None:
    machine.become_control_plane()
    assert pods.changes(pods.observe()) == []


def test_every_flag_is_a_change_that_says_what_restarts(machine: Machine, pods: _static_pods.StaticPods) -> None:
    machine.become_control_plane()
    render(machine, kube_apiserver={"profiling": "false"}, etcd={"snapshot-count": "5"})
    found = [(show_path(one.field), one.after, one.cost) for one in pods.changes(pods.observe())]
    assert found == [
        ("etcd.spec.containers[name=etcd].command.--snapshot-count", "5", "restart etcd"),
        ("kube-apiserver.spec.containers[name=kube-apiserver].command.--profiling", "false", "restart kube-apiserver"),
    ]


def test_a_version_is_no_business_of_apply(machine: Machine, pods: _static_pods.StaticPods) -> None:
    machine.become_control_plane("v1.36.3")
    pods.changes(pods.observe())
    assert machine.config[1]["kubernetesVersion"] == "v1.36.3"


def test_how_etcd_first_started_is_kept(machine: Machine, pods: _static_pods.StaticPods) -> None:
    machine.become_control_plane()
    live = {"initial-cluster": "cp1=https://a:2380,cp2=https://b:2380", "initial-cluster-state": "existing"}
    path = machine.etc / "manifests/etcd.yaml"
    path.write_text(manifest("etcd", **live))
    assert pods.changes(pods.observe()) == []
    render(machine, etcd={"snapshot-count": "5"})
    pods.apply(pods.changes(pods.observe()))
    written = _observe.arguments("etcd")
    assert written["--initial-cluster"] == live["initial-cluster"] and written["--snapshot-count"] == "5"
    assert written["--initial-cluster-state"] == "existing"
    assert pods.changes(pods.observe()) == []


def test_a_component_that_does_not_come_back_gets_its_old_manifest(
    machine: Machine, pods: _static_pods.StaticPods, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.become_control_plane()
    before = {path.name: path.read_text() for path in (machine.etc / "manifests").iterdir()}
    api = Api()
    monkeypatch.setattr(_api, "api_server", lambda port: api)
    monkeypatch.setattr(_api, "healthy", lambda *address: address[1] != 10259)
    render(machine, kube_scheduler={"bad": "1"}, kube_apiserver={"good": "1"})
    with pytest.raises(KubeadmError, match=r"kube-scheduler not healthy .*old manifests were put back"):
        pods.apply(pods.changes(pods.observe()))
    assert {path.name: path.read_text() for path in (machine.etc / "manifests").iterdir()} == before
    ((method, path, body, _kind),) = api.sent
    assert (method, path) == ("PATCH", _static_pods.RECORD)
    assert body == {"data": {"ClusterConfiguration": "as it was"}}


def test_an_external_etcd_has_no_static_pod(pods: _static_pods.StaticPods) -> None:
    config = [CONFIG[0], {**CONFIG[1], "etcd": {"external": {"endpoints": ["https://e:2379"]}}}]
    assert "etcd" not in _static_pods.StaticPods({**pods.spec, "config": config}).names()


# --- encryption at rest -------------------------------------------------------------------------------------------


def encryption(**more: Any) -> _encryption.Encryption:
    return _encryption.Encryption({"type": "encryption", "resources": ["secrets"], "first": True, **more})


def test_a_first_control_plane_makes_a_key_and_keeps_it(machine: Machine) -> None:
    outcome = reconcile([encryption()], check=False)
    assert outcome.failed == "" and [change.after for change in outcome.changes] == [{"resources": ["secrets"]}]
    assert _encryption.FILE.stat().st_mode & 0o777 == 0o600
    keys = _encryption.keys_of(_encryption.load())
    assert len(base64.b64decode(keys[0]["secret"])) == 32
    assert all(keys[0]["secret"] not in json.dumps(change.to_json()) for change in outcome.changes)
    reconcile([encryption(resources=["secrets", "configmaps"], first=False)], check=False)
    assert _encryption.keys_of(_encryption.load()) == keys
    machine.become_control_plane()
    assert encryption().observe() == {"resources": ["configmaps", "secrets"]}


def test_a_joining_control_plane_takes_the_cluster_s_key(machine: Machine) -> None:
    keys = [{"name": "key1", "secret": base64.b64encode(b"k" * 32).decode()}]
    reconcile([encryption(first=False, credentials={"encryption_keys": keys})], check=False)
    assert _encryption.keys_of(_encryption.load()) == keys


def test_a_key_of_an_earlier_life_gives_way_to_the_cluster_s(machine: Machine) -> None:
    keys = [{"name": "key1", "secret": base64.b64encode(b"k" * 32).decode()}]
    reconcile([encryption()], check=False)
    joining = {"first": False, "credentials": {"encryption_keys": keys}}
    planned = reconcile([encryption()], check=True).changes  # a plan does not know yet who joins
    assert [(one.field, one.before) for one in planned] == [(("key",), "unknown")]
    outcome = reconcile([encryption(**joining)], check=False)
    assert outcome.failed == "" and outcome.changes == planned
    assert _encryption.keys_of(_encryption.load()) == keys
    machine.become_control_plane()
    other = {"first": False, "credentials": {"encryption_keys": [{"name": "key2", "secret": "x"}]}}
    assert reconcile([encryption(**other)], check=True).changes == []
    reconcile([encryption(**other, resources=["configmaps"])], check=False)
    assert _encryption.keys_of(_encryption.load()) == keys


@pytest.mark.parametrize("first", [False, True])
def test_a_lost_key_is_never_replaced_by_another(machine: Machine, first: bool) -> None:
    machine.become_control_plane()
    assert "Copy the file from another control plane" in reconcile([encryption(first=first)], check=False).failed
    assert not _encryption.FILE.exists()


@pytest.mark.parametrize("text", ["", "{}", '{"resources": []}', "[]"])
def test_a_file_of_another_kind_is_refused(machine: Machine, text: str) -> None:
    _encryption.FILE.parent.mkdir(parents=True)
    _encryption.FILE.write_text(text)
    with pytest.raises(KubeadmError, match="cannot be read"):
        encryption().observe()


@given(st.lists(st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,4})?", fullmatch=True), unique=True, max_size=5))
def test_everything_can_be_read_whatever_is_encrypted(resources: list[str]) -> None:
    keys = [{"name": "key1", "secret": "s"}]
    found = _encryption.configuration(resources, keys)
    assert _encryption.encrypted(found) == sorted(resources)
    assert _encryption.keys_of(found) == keys
    for entry in found["resources"]:
        assert {next(iter(provider)) for provider in entry["providers"]} == {"secretbox", "identity"}
    assert found["resources"][-1]["resources"] == ["*.*"]


def test_everything_can_be_encrypted() -> None:
    found = _encryption.configuration(["*.*"], [{"name": "key1", "secret": "s"}])
    assert [entry["resources"] for entry in found["resources"]] == [["*.*"]]
    assert _encryption.encrypted(found) == ["*.*"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "encryption.json"
    write(file, "the key")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)  # a stand-in for the disk; CPython ignores its signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(KubeadmError, match="cannot be written: File too large"):
            write(file, "the key and another")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_text() == "the key"


# --- certificates -------------------------------------------------------------------------------------------------


END = datetime(2036, 11, 20, 10, 8, 51, tzinfo=UTC)


def clock(monkeypatch: pytest.MonkeyPatch, days_left: int) -> None:
    """Have the recorded certificate end in so many days."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return END - timedelta(days=days_left)

    monkeypatch.setattr(_certificate, "datetime", Clock)


@pytest.fixture
def certificate(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A control plane whose certificates are all the recorded one (it names nothing), and no pod runs."""
    machine.become_control_plane()
    text = (machine.kubelet / "pki/kubelet-client-current.pem").read_text()
    data = base64.b64encode(text.encode()).decode()
    for name, _pod in _certificate.FILES.values():
        path = machine.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"users:\n- user:\n    client-certificate-data: {data}\n" if path.suffix == ".conf" else text)
        if path.suffix == ".crt":
            path.with_suffix(".key").write_text("key")
    monkeypatch.setattr(_observe, "starts", lambda *names: {name: [] for name in names})
    clock(monkeypatch, 31)
    return machine


def certificates(*sans: str, **config: Any) -> _certificate.Certificates:
    documents = [CONFIG[0], {**CONFIG[1], **config}]
    return _certificate.Certificates({"type": "certificates", "name": "x", "sans": sans, "config": documents})


def verbs(machine: Machine) -> list[str]:
    """What kubeadm was told, without its configuration."""
    return [call.split(" --config")[0] for call in machine.calls]


def test_a_machine_that_joins_has_no_certificate_to_change(machine: Machine) -> None:
    found = certificates("api.example.org")
    assert found.observe() is ABSENT and found.changes(ABSENT) == []


def test_missing_names_are_changes_one_by_one(certificate: Machine) -> None:
    found = certificates("2001:DB8::1", "api.example.org")
    assert [change.field for change in found.changes(found.observe())] == [
        ("apiserver", "sans", "2001:db8::1"),
        ("apiserver", "sans", "api.example.org"),
    ]
    found.apply(found.changes(found.observe()))
    assert verbs(certificate) == ["init phase upload-config kubeadm", "init phase certs apiserver"]


def test_a_certificate_that_could_not_be_made_leaves_the_old_one(certificate: Machine) -> None:
    path = certificate.etc / "pki/apiserver.crt"
    before = path.read_text()
    certificate.behave(f'[ "$(tail -n 1 {certificate.notes}/calls | cut -d" " -f3)" != certs ] || exit 1')
    found = certificates("api.example.org")
    with pytest.raises(KubeadmError):
        found.apply(found.changes(found.observe()))
    assert path.read_text() == before


def test_certificates_about_to_end_are_due_and_renewed_and_what_uses_them_restarts(
    certificate: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, restarted = certificates(), list[str]()
    assert found.changes(found.observe()) == []
    clock(monkeypatch, 29)
    monkeypatch.setattr(_observe, "starts", lambda *names: {name: [time.time()] for name in names})
    monkeypatch.setattr(_certificate, "restart", restarted.append)
    changes = found.changes(found.observe())
    assert {(change.field[1], change.before, change.after) for change in changes} == {("renewal", "due", "not due")}
    assert {str(change.field[0]): change.cost for change in changes} == {
        name: f"restart {pod}" if pod else "" for name, (_path, pod) in _certificate.FILES.items()
    }
    found.apply(changes)
    renewed = [f"certs renew {name}" for name in _certificate.FILES if name != "apiserver"]
    assert verbs(certificate) == ["init phase certs apiserver", *renewed]
    assert restarted == ["kube-apiserver", "kube-vip", "kube-controller-manager", "kube-scheduler"]


@pytest.mark.parametrize(("age", "is_owed"), [(60, True), (-60, False)])
def test_a_pod_that_runs_with_an_old_certificate_is_owed_a_restart(
    certificate: Machine, monkeypatch: pytest.MonkeyPatch, age: int, is_owed: bool
) -> None:
    """A run that was killed after it had renewed: the next one restarts."""
    monkeypatch.setattr(
        _observe,
        "starts",
        lambda *names: {name: [time.time() - age] if name == "kube-scheduler" else [] for name in names},
    )
    restarted: list[str] = []
    monkeypatch.setattr(_certificate, "restart", restarted.append)
    found = certificates()
    changes = found.changes(found.observe())
    assert [(change.field, change.action, change.cost) for change in changes] == (
        [(("scheduler.conf", "restart_owed"), "changed", "restart kube-scheduler")] if is_owed else []
    )
    found.apply(changes)
    assert verbs(certificate) == [] and restarted == (["kube-scheduler"] if is_owed else [])


def test_a_certificate_that_is_lost_is_made_anew(certificate: Machine) -> None:
    (certificate.etc / "scheduler.conf").unlink()
    (certificate.etc / "pki/etcd/peer.crt").unlink()
    found = certificates()
    changes = found.changes(found.observe())
    assert {(change.field, change.before) for change in changes} == {
        (("scheduler.conf", "renewal"), "missing"),
        (("etcd-peer", "renewal"), "missing"),
    }
    found.apply(changes)
    assert verbs(certificate) == ["init phase certs etcd-peer", "init phase kubeconfig scheduler"]


def test_certificates_for_an_etcd_of_others_are_not_ours() -> None:
    names = certificates(etcd={"external": {"endpoints": ["https://e:2379"]}}).names()
    assert "apiserver" in names and not [name for name in names if "etcd" in name]


def test_a_process_is_as_old_as_it_is() -> None:
    begin = time.time()
    words = ["sh", "-c", "echo ready; read word", "sh"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = _observe.starts("sh", "nothing-of-this-name")
        process.kill()
    assert min(abs(start - begin) for start in found["sh"]) < 2
    assert _observe.starts("nothing-of-this-name") == {"nothing-of-this-name": []}


def test_a_restart_stops_the_container_and_waits_for_its_successor(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install("crictl", f'#!/bin/sh\necho "$*" >> {machine.notes}/crictl\n[ "$1" != ps ] || echo 1a2b\n')
    monkeypatch.setattr(_static_pods, "PATIENCE", 0.2)
    monkeypatch.setattr(_api, "healthy", lambda *address: True)
    monkeypatch.setattr(_observe, "starts", lambda *names: {name: [time.time() + 1] for name in names})
    _static_pods.restart("kube-scheduler")
    _static_pods.restart("kube-vip")
    told = (machine.notes / "crictl").read_text().splitlines()
    assert "io.kubernetes.container.name=kube-scheduler" in told[0] and told[1] == "stop --timeout 10 1a2b"
    machine.install("crictl", f'#!/bin/sh\necho "$*" >> {machine.notes}/crictl\n[ "$1" = ps ]\n')
    _static_pods.restart("kube-scheduler")  # it waits to be started again; there is nothing to stop
    monkeypatch.setattr(_api, "healthy", lambda *address: False)
    with pytest.raises(KubeadmError, match=r"kube-scheduler is not ready .* new certificate"):
        _static_pods.restart("kube-scheduler")


# --- patches ------------------------------------------------------------------------------------------------------


def test_the_patch_folder_holds_these_files_and_no_other(machine: Machine) -> None:
    folder = machine.etc / "weft/patches"
    spec = {"type": "patches", "name": str(folder), "files": {"etcd0.json": "{}", "kube-apiserver0.json": "{}"}}
    assert [one.action for one in reconcile([_patches.Patches(spec)], check=False).changes] == ["added", "added"]
    (folder / "old.json").write_text("{}")
    (folder / "etcd0.json").write_text("changed by hand")
    outcome = reconcile(build(_kubeadm.RESOURCES, [spec]), check=False)
    assert {(one.field, one.action) for one in outcome.changes} == {
        (("old.json",), "removed"),
        (("etcd0.json",), "changed"),
    }
    assert sorted(path.name for path in folder.iterdir()) == ["etcd0.json", "kube-apiserver0.json"]
    assert reconcile([_patches.Patches(spec)], check=True).changes == []

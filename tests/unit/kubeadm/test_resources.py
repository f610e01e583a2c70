# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Static pods, certificates, encryption at rest and patches: compared field by field, changed without loss."""

from __future__ import annotations

import base64
import json
import resource
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
    assert encryption().observe() == {"resources": ["configmaps", "secrets"]}


def test_a_joining_control_plane_takes_the_cluster_s_key(machine: Machine) -> None:
    keys = [{"name": "key1", "secret": base64.b64encode(b"k" * 32).decode()}]
    reconcile([encryption(first=False, credentials={"encryption_keys": keys})], check=False)
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


@pytest.fixture
def certificate(machine: Machine) -> Machine:
    """A control plane whose API server's certificate is the recorded one (it names nothing)."""
    machine.become_control_plane()
    (machine.etc / "pki").mkdir()
    text = (machine.kubelet / "pki/kubelet-client-current.pem").read_text()
    for name in ("apiserver.crt", "apiserver.key"):
        (machine.etc / "pki" / name).write_text(text)
    return machine


def apiserver(*sans: str) -> _certificate.Certificate:
    return _certificate.Certificate({"type": "certificate", "name": "apiserver", "sans": sans, "config": CONFIG})


def test_a_machine_that_joins_has_no_certificate_to_change(machine: Machine) -> None:
    one = apiserver("api.example.org")
    assert one.observe() is ABSENT and one.changes(ABSENT) == []


def test_missing_names_are_changes_one_by_one(certificate: Machine) -> None:
    one = apiserver("2001:DB8::1", "api.example.org")
    assert [change.field for change in one.changes(one.observe())] == [
        ("sans", "2001:db8::1"),
        ("sans", "api.example.org"),
    ]
    one.apply(one.changes(one.observe()))
    assert [call.split(" --config")[0] for call in certificate.calls] == [
        "init phase upload-config kubeadm",
        "init phase certs apiserver",
    ]


def test_a_certificate_that_could_not_be_made_leaves_the_old_one(certificate: Machine) -> None:
    path = certificate.etc / "pki/apiserver.crt"
    before = path.read_text()
    certificate.behave(f'[ "$(tail -n 1 {certificate.notes}/calls | cut -d" " -f3)" != certs ] || exit 1')
    with pytest.raises(KubeadmError):
        apiserver("api.example.org").apply([])
    assert path.read_text() == before


def test_a_certificate_about_to_end_is_due(certificate: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    end = _observe.certificate(certificate.etc / "pki/apiserver.crt")
    assert end is not None
    due = end.not_after - timedelta(days=29)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return due

    assert apiserver().changes(apiserver().observe()) == []
    monkeypatch.setattr(_certificate, "datetime", Later)
    (change,) = apiserver().changes(apiserver().observe())
    assert (change.field, change.before, change.after) == (("renewal",), "due", "not due")
    assert Later.now().tzinfo is UTC


def test_other_certificates_are_renewed_by_kubeadm(certificate: Machine) -> None:
    text = (certificate.etc / "pki/apiserver.crt").read_text()
    data = base64.b64encode(text.encode()).decode()
    (certificate.etc / "scheduler.conf").write_text(f"users:\n- user:\n    client-certificate-data: {data}\n")
    one = _certificate.Certificate({"type": "certificate", "name": "scheduler.conf", "config": CONFIG})
    assert one.changes(one.observe()) == []
    one.apply([])
    assert certificate.calls[0].startswith("certs renew scheduler.conf")


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

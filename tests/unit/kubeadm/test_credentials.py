# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Credentials live minutes, appear nowhere, and machines that join again leave nothing stale behind."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import KubeadmError, _api, _encryption

from .conftest import CERTIFICATE, Machine

CONFIG: list[dict[str, Any]] = [{"kind": "InitConfiguration"}, {"kind": "ClusterConfiguration"}]
CP2 = {"name": "cp2", "address": "192.0.2.12", "role": "control_plane"}
CP3 = {"name": "cp3", "address": "2001:db8::13", "role": "control_plane"}
W1 = {"name": "w1", "address": "192.0.2.21", "role": "worker"}
KEYS = [{"name": "key1", "secret": "c2VjcmV0"}]


class Cluster:
    """An API server and an etcd that note what they are asked."""

    def __init__(self, nodes: list[str], members: list[dict[str, Any]]) -> None:
        self.nodes, self.members = nodes, members
        self.made: list[dict[str, Any]] = []
        self.patched: list[tuple[str, Any]] = []
        self.deleted: list[str] = []

    def get(self, path: str) -> Any:
        name = path.rpartition("/")[2]
        if path.startswith("/api/v1/nodes/"):
            return {"status": {"nodeInfo": {"kubeletVersion": "v1.37.2"}}} if name in self.nodes else None
        if name == "kubeadm-certs":
            return {"metadata": {"ownerReferences": [{"name": "bootstrap-token-kubeadm"}]}}
        return {"items": [{"metadata": {"name": body["metadata"]["name"]}} for body in self.made]}

    def send(self, method: str, path: str, body: Any, kind: str = "") -> Any:
        if path == "/v3/cluster/member/list":
            return {"members": self.members}
        if path == "/v3/cluster/member/remove":
            self.members = [one for one in self.members if one["ID"] != body["ID"]]
        elif method == "POST":
            self.made.append(body)
        else:
            self.patched.append((path, body))
        return {}

    def delete(self, path: str) -> None:
        self.deleted.append(path.rpartition("/")[2])


@pytest.fixture
def cluster(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A control plane of a cluster in which cp2 and w1 have been before."""
    machine.become_control_plane()
    (machine.etc / "pki").mkdir()
    (machine.etc / "pki/ca.crt").write_text(CERTIFICATE)
    (machine.etc / "admin.conf").write_text("    server: https://192.0.2.10:6443\n")
    _encryption.FILE.parent.mkdir()
    _encryption.FILE.write_text(json.dumps(_encryption.configuration(["secrets"], KEYS)))
    members: list[dict[str, Any]] = [
        {"ID": "1", "name": "cp1", "peerURLs": ["https://192.0.2.11:2380"]},
        {"ID": "2", "name": "cp2", "peerURLs": ["https://192.0.2.12:2380"]},
        {"ID": "3", "peerURLs": ["https://[2001:db8::13]:2380"], "isLearner": True},
    ]
    found = Cluster(["cp1", "cp2", "w1"], members)
    monkeypatch.setattr(_api, "api_server", lambda port: found)
    monkeypatch.setattr(_api, "etcd", lambda: found)
    return found


def test_nobody_joins_nothing_is_made(cluster: Cluster) -> None:
    assert _kubeadm.mint([], CONFIG, check=False) == _kubeadm.Joiners()
    assert cluster.made == []


def test_a_worker_gets_a_token_and_nothing_more(cluster: Cluster) -> None:
    made = _kubeadm.mint([W1], CONFIG, check=False)
    assert set(made.credentials) == {"token", "ca_cert", "ca_hash", "endpoint"}
    assert made.credentials["endpoint"] == "192.0.2.10:6443"
    (secret,) = cluster.made
    data = secret["stringData"]
    assert f"{data['token-id']}.{data['token-secret']}" == made.credentials["token"]
    end = datetime.strptime(data["expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(minutes=13) < end - datetime.now(UTC) <= timedelta(minutes=15)
    assert "usage-bootstrap-signing" not in data


def test_control_planes_get_certificates_for_minutes_and_the_encryption_keys(
    cluster: Cluster, machine: Machine
) -> None:
    made = _kubeadm.mint([CP2], CONFIG, check=False)
    key = made.credentials["certificate_key"]
    assert len(bytes.fromhex(key)) == 32 and made.credentials["encryption_keys"] == KEYS
    assert [call.split(" --")[0] for call in machine.calls] == [
        "init phase upload-config kubeadm",
        "init phase upload-certs",
    ]
    assert machine.config[0]["certificateKey"] == key and all(key not in call for call in machine.calls)
    ((path, body),) = cluster.patched
    assert path.endswith("/bootstrap-token-kubeadm") and "expiration" in body["stringData"]


def test_what_machines_left_is_taken_out_and_a_check_says_the_same(cluster: Cluster) -> None:
    planned = _kubeadm.mint([CP2, CP3, W1], CONFIG, check=True, machine="cp1")
    assert planned.credentials == {} and cluster.deleted == [] and len(cluster.members) == 3
    made = _kubeadm.mint([CP2, CP3, W1], CONFIG, check=False, machine="cp1")
    assert planned.changes == made.changes
    assert [(one.subject.type, one.subject.name, one.action) for one in made.changes] == [
        ("Node", "cp2", "removed"),
        ("Node", "w1", "removed"),
        ("etcd_member", "cp2", "removed"),
        ("etcd_member", "cp3", "removed"),
        ("bootstrap_token", "cp2, cp3, w1", "added"),
    ]
    assert cluster.deleted == ["cp2", "w1"] and [one["ID"] for one in cluster.members] == ["1"]


def test_no_secret_is_in_a_change(cluster: Cluster) -> None:
    made = _kubeadm.mint([CP2], CONFIG, check=False)
    shown = json.dumps([change.to_json() for change in made.changes])
    for name in ("token", "certificate_key"):
        assert made.credentials[name] not in shown


def test_a_check_before_there_is_a_cluster_lists_the_token(machine: Machine) -> None:
    (change,) = _kubeadm.mint([W1], CONFIG, check=True, machine="cp1").changes
    assert change.subject.type == "bootstrap_token" and change.subject.scope == "cp1"


def test_machines_leave(cluster: Cluster) -> None:
    planned = _kubeadm.leave([CP2, W1], check=True)
    assert planned == _kubeadm.leave([CP2, W1], check=False)
    assert _kubeadm.leave([CP3], check=False)[0].subject.name == "cp3"
    assert [one["ID"] for one in cluster.members] == ["1"]


@pytest.mark.parametrize(
    ("joiner", "others"),
    [(W1, []), (CP2, ["bootstrap-token-kubeadm", "kubeadm-certs"])],
    ids=["worker", "control_plane"],
)
def test_what_a_run_made_is_taken_back_and_nothing_else(
    cluster: Cluster, machine: Machine, joiner: dict[str, str], others: list[str]
) -> None:
    machine.behave("echo key")
    given = _kubeadm.mint([joiner], CONFIG, check=False).credentials
    _kubeadm.mint([W1], CONFIG, check=False)  # another run's
    gone = len(cluster.deleted)
    planned = _kubeadm.revoke(given, check=True)
    assert len(cluster.deleted) == gone
    assert _kubeadm.revoke(given, check=False) == planned
    assert cluster.deleted[gone:] == [cluster.made[0]["metadata"]["name"], *others]
    assert [one.subject.name for one in planned] == [f"kube-system/{name}" for name in cluster.deleted[gone:]]
    assert given["token"].partition(".")[2] not in str([one.to_json() for one in planned])


def test_what_is_gone_already_is_not_taken_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "get", lambda path: None)
    assert _kubeadm.revoke({"token": "abcdef.0123456789abcdef", "certificate_key": "00"}, check=False) == []
    assert cluster.deleted == []


# --- a kubeconfig -------------------------------------------------------------------------------------------------


def test_a_kubeconfig_is_signed_for_a_user_and_groups(cluster: Cluster, machine: Machine) -> None:
    machine.behave("echo a kubeconfig")
    assert _kubeadm.kubeconfig(CONFIG, "weft:ada", ["weft:cluster-operators"], 8) == "a kubeconfig\n"
    (call,) = machine.calls
    assert "--client-name=weft:ada --validity-period=8h --org=weft:cluster-operators" in call


def test_what_nobody_could_revoke_is_not_given(cluster: Cluster) -> None:
    with pytest.raises(KubeadmError, match="system:masters cannot be taken back"):
        _kubeadm.kubeconfig(CONFIG, "weft:ada", ["system:masters"], 1)


def test_only_a_control_plane_can_sign(machine: Machine) -> None:
    with pytest.raises(KubeadmError, match=r"no control plane .it is: none"):
        _kubeadm.kubeconfig(CONFIG, "weft:ada", [], 1)


# --- the wire -----------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Ready at /readyz only."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_health_is_what_the_component_says() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        assert _api.healthy("127.0.0.1", port, "/readyz", secure=False)
        assert not _api.healthy("127.0.0.1", port, "/livez", secure=False)
        assert not _api.healthy("127.0.0.1", port, "/readyz", secure=True)
        server.shutdown()
    assert not _api.healthy("127.0.0.1", port, "/readyz", secure=False)


def test_a_machine_that_is_no_control_plane_has_no_administrator(machine: Machine) -> None:
    with pytest.raises(KubeadmError, match=r"is this machine a control plane"):
        _api.api_server(6443, machine.etc / "admin.conf")


def test_a_refusal_says_what_the_server_said() -> None:
    client = _api.Client("etcd", 2379, "localhost", ssl.create_default_context())
    with pytest.raises(KubeadmError, match="etcd refused /v3/x: 412 unhealthy cluster"):
        client.good(412, {"message": "unhealthy cluster"}, "/v3/x")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A machine becomes a member, however far an earlier try came."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import KubeadmError, _member, _observe
from ansible_collections.weft.platform.plugins.module_utils._resource import build, reconcile

from .conftest import Machine

TOKEN = "abcdef.0123456789abcdef"
SECRET = {"token": TOKEN, "ca_cert": "CA IN PEM", "endpoint": "192.0.2.10:6443", "certificate_key": "0f" * 32}
JOIN = {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration", "nodeRegistration": {"name": "cp1"}}
INIT: list[dict[str, Any]] = [
    {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration", "nodeRegistration": {"name": "cp1"}},
    {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration"},
]


def worker(**more: Any) -> _member.Worker:
    return _member.Worker({"type": "worker", "name": "cp1", "version": "v1.37.2", "config": [JOIN], **more})


def control_plane(**more: Any) -> _member.ControlPlane:
    spec = {"type": "control_plane", "name": "cp1", "version": "v1.37.2", "config": [JOIN], "first": False}
    return _member.ControlPlane({**spec, **more})


def first(**more: Any) -> _member.ControlPlane:
    return control_plane(first=True, config=INIT, **more)


# --- what a machine is --------------------------------------------------------------------------------------------


def test_a_bare_machine_is_no_member(machine: Machine) -> None:
    assert worker().observe() is ABSENT
    assert _observe.membership().state == "none"


def test_members_are_what_their_files_say(machine: Machine) -> None:
    machine.become_worker()
    assert worker().observe() == {"role": "worker", "version": "v1.37.2"}
    machine.become_control_plane("v1.36.3")
    assert control_plane().observe() == {"role": "control_plane", "version": "v1.36.3"}
    assert [change.field for change in control_plane().changes(control_plane().observe())] == [("version",)]


@pytest.mark.parametrize("text", ['{"action": "join", "role": "worker"}', "", "[1]", "{"])
def test_whatever_the_marker_holds_the_work_is_unfinished(machine: Machine, text: str) -> None:
    machine.become_worker()
    machine.marker.write_text(text)
    assert worker().observe() == {"role": "worker", "unfinished": "join"}


def test_files_that_nothing_explains_are_left_alone(machine: Machine) -> None:
    (machine.etc / "bootstrap-kubelet.conf").write_text("x")
    assert worker().observe() == {"role": "worker", "unfinished": "unknown"}
    with pytest.raises(KubeadmError, match="did not put there; run 'kubeadm reset'"):
        worker(credentials=SECRET).apply([])
    assert machine.calls == []


def test_another_role_or_name_wants_a_person(machine: Machine) -> None:
    machine.become_control_plane()
    with pytest.raises(KubeadmError, match=r"is a control plane and shall be a worker: .*destroy"):
        worker().observe()
    with pytest.raises(KubeadmError, match="in the cluster under the name cp1: set node_name"):
        control_plane(name="cp9").observe()


def test_facts_of_a_control_plane(machine: Machine) -> None:
    machine.become_control_plane()
    (machine.etc / "admin.conf").write_text("    server: https://192.0.2.10:6443\n")
    (machine.etc / "pki").mkdir()
    (machine.etc / "pki/ca.crt").write_text((machine.kubelet / "pki/kubelet-client-current.pem").read_text())
    found = _kubeadm.facts()
    assert found["member"] == "control_plane" and found["node_name"] == "cp1" and found["etcd"] is True
    assert (found["pod_cidr"], found["service_cidr"]) == ("10.244.0.0/16", "10.96.0.0/12")
    assert (found["dns_domain"], found["endpoint"]) == ("cluster.local", "192.0.2.10:6443")
    assert found["ca_hash"].startswith("sha256:") and found["kubelet"] == "v1.37.2"


# --- joining ------------------------------------------------------------------------------------------------------


def test_a_worker_joins_and_no_secret_stays_on_the_disk(machine: Machine) -> None:
    machine.behave(f"cp {machine.notes}/discovery {machine.notes}/seen")
    (machine.kubelet / "config.yaml").write_text("{}")
    worker(credentials=SECRET).apply([])
    assert (machine.kubelet / "config.yaml").stat().st_mode & 0o777 == 0o600
    (config,) = machine.config
    path = config["discovery"]["file"]["kubeConfigPath"]
    assert path.startswith("/proc/self/fd/") and "certificateKey" not in json.dumps(config)
    seen = json.loads((machine.notes / "seen").read_text())
    assert seen["users"][0]["user"] == {"token": TOKEN}
    assert seen["clusters"][0]["cluster"]["server"] == "https://192.0.2.10:6443"
    assert not machine.marker.exists()
    held = [str(file) for file in machine.root.rglob("*") if file.is_file() and TOKEN in file.read_text()]
    assert all(file.startswith(str(machine.notes)) for file in held)


def test_a_control_plane_is_given_the_certificate_key(machine: Machine) -> None:
    control_plane(credentials=SECRET).apply([])
    assert machine.config[0]["controlPlane"]["certificateKey"] == SECRET["certificate_key"]


@pytest.mark.parametrize(
    ("role", "given", "missing"),
    [
        (worker, {}, "token, ca_cert, endpoint"),
        (worker, {"token": "x", "ca_cert": "y"}, "endpoint"),
        (control_plane, {**SECRET, "certificate_key": ""}, "certificate_key"),
    ],
)
def test_missing_credentials_are_named(machine: Machine, role: Any, given: dict[str, str], missing: str) -> None:
    with pytest.raises(KubeadmError, match=f"has no {missing} for it: run weft.platform.apply"):
        role(credentials=given).apply([])
    assert machine.calls == []


def test_the_first_control_plane_makes_the_cluster(machine: Machine) -> None:
    (machine.etc / "super-admin.conf").write_text("the identity that nobody can revoke")
    first().apply([])
    assert [call.split()[0] for call in machine.calls] == ["init"]
    assert "ignorePreflightErrors" not in json.dumps(machine.config)
    assert not (machine.etc / "super-admin.conf").exists()


def test_a_failure_is_told_and_remembered(machine: Machine) -> None:
    machine.behave("echo 'error: port in use' >&2; exit 3")
    with pytest.raises(KubeadmError, match="kubeadm join failed on cp1:\nerror: port in use"):
        worker(credentials=SECRET).apply([])
    assert _observe.membership().unfinished == "join"


def test_a_run_through_the_reconciler_confirms_the_membership(machine: Machine) -> None:
    machine.behave("true")
    spec = {"type": "worker", "name": "cp1", "version": "v1.37.2", "config": [JOIN], "credentials": SECRET}
    outcome = reconcile(build(_kubeadm.RESOURCES, [spec]), check=False)
    assert "still differs after it was applied" in outcome.failed, "kubeadm that does nothing must not be believed"


# --- finishing what was begun -------------------------------------------------------------------------------------


def test_an_unfinished_join_is_cleaned_and_begun_anew(machine: Machine) -> None:
    machine.become_worker()
    (machine.etcd / "member").mkdir()
    machine.marker.write_text('{"action": "join", "role": "control_plane"}')
    control_plane(credentials=SECRET).apply([])
    assert [call.split()[0] for call in machine.calls] == ["reset", "join"]
    assert "--force" in machine.calls[0] and "remove-etcd-member" in machine.calls[0]
    assert list(machine.etcd.iterdir()) == []


def test_an_init_with_data_in_etcd_goes_on_and_loses_nothing(machine: Machine) -> None:
    machine.become_control_plane()
    (machine.etcd / "member").mkdir()
    machine.marker.write_text('{"action": "init", "role": "control_plane"}')
    first().apply([])
    assert [call.split()[0] for call in machine.calls] == ["init"]
    ignored = machine.config[0]["nodeRegistration"]["ignorePreflightErrors"]
    assert "DirAvailable--var-lib-etcd" in ignored and "Port-10250" in ignored
    assert (machine.etcd / "member").is_dir()


def test_an_init_that_goes_on_finds_its_own_port_in_use() -> None:
    assert "Port-8443" in _member.unfinished_errors({"localAPIEndpoint": {"bindPort": 8443}})
    assert "Port-6443" in _member.unfinished_errors({})


def test_an_init_without_data_is_begun_anew(machine: Machine) -> None:
    machine.marker.write_text('{"action": "init", "role": "control_plane"}')
    first().apply([])
    assert [call.split()[0] for call in machine.calls] == ["reset", "init"]
    assert "ignorePreflightErrors" not in json.dumps(machine.config)


# --- an etcd of the user's own ------------------------------------------------------------------------------------

FILES = {"caFile": "/x/ca.crt", "certFile": "/x/client.crt", "keyFile": "/x/client.key"}
EXTERNAL = {"endpoints": ["https://192.0.2.21:2379", "https://192.0.2.22:2379"], **FILES}
OWN_ETCD = [INIT[0], {**INIT[1], "etcd": {"external": EXTERNAL}}]


def holds(machine: Machine, *keys: str) -> None:
    """An etcd with these keys."""
    lines = "".join(f"{key}\\n\\n" for key in keys)
    machine.install("etcdctl", f"#!/bin/sh\necho \"$*\" > {machine.notes}/etcdctl\nprintf '{lines}'\n")


def test_a_cluster_is_made_in_an_empty_etcd(machine: Machine) -> None:
    holds(machine)
    control_plane(first=True, config=OWN_ETCD).apply([])
    assert [call.split()[0] for call in machine.calls] == ["init"]
    asked = (machine.notes / "etcdctl").read_text()
    assert "--endpoints=https://192.0.2.21:2379,https://192.0.2.22:2379" in asked
    assert "--cacert=/x/ca.crt --cert=/x/client.crt --key=/x/client.key get /registry/ --prefix" in asked


def test_an_etcd_that_holds_another_cluster_is_refused(machine: Machine) -> None:
    holds(machine, "/registry/secrets/default/known")
    with pytest.raises(KubeadmError, match=r"objects of another cluster under /registry/: .*`etcdctl del --prefix"):
        control_plane(first=True, config=OWN_ETCD).apply([])
    assert machine.calls == []


def test_a_prefix_of_its_own_is_looked_under(machine: Machine) -> None:
    holds(machine)
    arguments = {"extraArgs": [{"name": "v", "value": "2"}, {"name": "etcd-prefix", "value": "two"}]}
    control_plane(first=True, config=[INIT[0], {**OWN_ETCD[1], "apiServer": arguments}]).apply([])
    assert "get /two/ --prefix" in (machine.notes / "etcdctl").read_text()


def test_an_etcd_that_does_not_answer_is_told(machine: Machine) -> None:
    machine.install("etcdctl", "#!/bin/sh\necho 'context deadline exceeded' >&2\nexit 1\n")
    with pytest.raises(KubeadmError, match=r"etcdctl get /registry/ failed \(1\):\ncontext deadline exceeded"):
        control_plane(first=True, config=OWN_ETCD).apply([])


def test_an_init_that_may_have_written_to_it_goes_on(machine: Machine) -> None:
    """A new authority and a new key would not fit what is there."""
    holds(machine, "/registry/secrets/default/known")
    machine.marker.write_text('{"action": "init", "role": "control_plane"}')
    (machine.etc / "manifests/kube-apiserver.yaml").write_text("{}")
    control_plane(first=True, config=OWN_ETCD).apply([])
    assert [call.split()[0] for call in machine.calls] == ["init"]
    assert "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml" in json.dumps(machine.config)


def test_an_init_that_cannot_have_written_to_it_is_begun_anew(machine: Machine) -> None:
    holds(machine)
    machine.marker.write_text('{"action": "init", "role": "control_plane"}')
    control_plane(first=True, config=OWN_ETCD).apply([])
    assert [call.split()[0] for call in machine.calls] == ["reset", "init"]


def test_what_became_a_member_after_it_was_observed_joins_again(machine: Machine) -> None:
    """The credentials were made for a machine that was no member: it was taken out of the cluster by that."""
    machine.become_worker()
    worker(credentials=SECRET).apply([])
    assert [call.split()[0] for call in machine.calls] == ["reset", "join"]


def test_a_member_at_another_version_is_left_to_the_upgrade(machine: Machine) -> None:
    machine.become_control_plane("v1.36.3")
    with pytest.raises(KubeadmError, match=r"runs v1.36.3 and v1.37.2 is wanted: apply does not move"):
        control_plane().apply([])
    assert machine.calls == []


KILLED = """
import sys, json
from pathlib import Path
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _member, _observe, _run
root = Path(sys.argv[1])
path = str(root / "bin") + ":/usr/bin:/bin"
_run.PATH = _member.PATH = _observe.PATH = path
_observe.ETC = _member.ETC = root / "etc/kubernetes"
_observe.KUBELET, _observe.MARKER = root / "var/lib/kubelet", root / "var/lib/weft/membership.json"
_member.LOCK = root / "lock"
_member.Worker(json.loads(sys.argv[2])).apply([])
"""


def test_kubeadm_outlives_the_run_that_was_killed_and_the_next_run_waits(machine: Machine) -> None:
    machine.behave(f"touch {machine.notes}/begun; sleep 1.5; cd {machine.root}; cp -r joined/etc joined/var .")
    joined = Machine(machine.root / "joined")
    joined.become_worker()
    spec = {"type": "worker", "name": "cp1", "version": "v1.37.2", "config": [JOIN], "credentials": SECRET}
    command = [sys.executable, "-c", KILLED, str(machine.root), json.dumps(spec)]
    run = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    wait_for(machine.notes / "begun")
    assert _observe.membership().unfinished == "join"
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert worker().observe() == {"role": "worker", "version": "v1.37.2"}
    assert not machine.marker.exists()


def test_a_lock_that_is_not_given_back_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_member, "PATIENCE", 0.0)
    with _member.lock(), pytest.raises(KubeadmError, match="kubeadm of an earlier run still works"), _member.lock():
        pass


# --- the endpoint's address ---------------------------------------------------------------------------------------

ENDPOINT = {"address": "192.0.2.10", "interface": ""}
IP = """#!/bin/sh
echo "$*" >> {root}/ip
case "$*" in
  *"route show default"*) echo "default via 192.0.2.1 dev eth7 proto dhcp" ;;
  *"address show to"*) echo "2: eth7    inet 192.0.2.10/32 scope global deprecated eth7" ;;
esac
"""


def test_the_first_control_plane_answers_for_the_endpoint_for_some_minutes(machine: Machine) -> None:
    machine.install("ip", IP.format(root=machine.root))
    first(endpoint=ENDPOINT).apply([])
    assert (machine.root / "ip").read_text().splitlines()[-1] == (
        "address replace 192.0.2.10/32 dev eth7 valid_lft 600 preferred_lft 0"
    )


def test_a_machine_that_joins_again_does_not_answer_for_the_endpoint(machine: Machine) -> None:
    machine.install("ip", IP.format(root=machine.root))
    machine.marker.write_text('{"action": "join", "role": "control_plane"}')
    control_plane(endpoint=ENDPOINT, credentials=SECRET).apply([])
    assert "address del 192.0.2.10/32 dev eth7" in (machine.root / "ip").read_text()


def wait_for(path: Path, seconds: float = 20) -> None:
    """Until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)

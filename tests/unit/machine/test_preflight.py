# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Preflight: everything that is wrong at once, each with its way out; nothing on a machine that is right."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.module_utils._machine import _preflight
from ansible_collections.weft.platform.plugins.module_utils._machine._facts import facts
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import LEDGER
from ansible_collections.weft.platform.plugins.module_utils._machine._preflight import (
    CHECKS,
    connect,
    listening,
    preflight,
    reach,
    socket_owners,
)

from .conftest import Machine
from .test_os import DEBIAN_12, ROCKY_9

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 218452 1 0 100 0 0 10 0
   1: 66F0D50A:192B 01F0D50A:8610 01 00000000:00000000 02:000A0AED 00000000     0        0 413422 2 0 20 4 30 194 -1
"""
TCP6 = (
    "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
    "   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 "
    "00:00000000 00000000 0 0 777 1\n"
)
CGROUPS_V1 = """\
#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t3\t1\t1
cpu\t2\t1\t1
cpuacct\t2\t1\t1
memory\t4\t1\t0
devices\t5\t1\t1
freezer\t6\t1\t1
pids\t8\t1\t1
"""


class Right:
    """A machine on which nothing is wrong, and what can be made wrong of it."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = machine
        self.patch = monkeypatch
        self.active: list[str] = []
        machine.put("/etc/os-release", DEBIAN_12)
        machine.put("/proc/sys/kernel/osrelease", "6.1.0-28-amd64\n")
        machine.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")
        machine.put("/proc/meminfo", "MemTotal:        8052132 kB\nMemFree: 1 kB\n")
        machine.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        machine.put("/run/systemd/system/x", "")
        machine.put("/proc/net/tcp", TCP)
        self.machine_is("x86_64")
        self.disk(50 * 1024**3)
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
        machine.commands.on("systemctl show", self.show)

    def show(self, argv: Sequence[str], stdin: str) -> str:
        names = argv[argv.index("--") + 1 :]
        rows = (f"Id={name}\nActiveState={'active' if name in self.active else 'inactive'}" for name in names)
        return "\n\n".join(rows)

    def machine_is(self, kind: str) -> None:
        self.patch.setattr(os, "uname", lambda: SimpleNamespace(machine=kind))

    def disk(self, free: int, flags: int = 0, inodes: int = 1000) -> None:
        usage = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_flag=flags, f_files=1000, f_favail=inodes)
        self.patch.setattr(os, "statvfs", lambda path: usage)

    def listens(self, program: str, pid: int = 4242) -> None:
        self.machine.put("/proc/net/tcp6", TCP6)
        self.machine.put(f"/proc/{pid}/comm", program + "\n")
        os.makedirs(self.machine.at(f"/proc/{pid}/fd"), exist_ok=True)
        os.symlink("socket:[777]", self.machine.at(f"/proc/{pid}/fd/5"))

    def prepared(self) -> None:
        self.machine.put(LEDGER, "{}\n")

    def unresolved(self) -> None:
        def fail(*_: Any) -> Any:
            raise socket.gaierror(-2, "Name or service not known")

        self.patch.setattr(socket, "getaddrinfo", fail)


@pytest.fixture
def right(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Right:
    return Right(machine, monkeypatch)


@pytest.mark.parametrize("role", ["control_plane", "worker"])
def test_nothing_is_wrong(right: Right, role: str) -> None:
    assert preflight(right.machine, {"role": role}) == []


Breaker = Callable[[Right], object]
WRONG: dict[str, tuple[str, str, Breaker]] = {
    "system": ("system", "the operating system is unknown", lambda r: r.machine.put("/etc/os-release", "ID=arch")),
    "systemd": ("systemd", "not started by systemd", lambda r: r.machine.unlink("/run/systemd/system/x")
                or os.rmdir(r.machine.at("/run/systemd/system"))),
    "architecture": ("architecture", "the processor is riscv64", lambda r: r.machine_is("riscv64")),
    "other artifacts": ("architecture", "artifacts are for amd64", lambda r: r.machine_is("aarch64")),
    "kernel": ("kernel", "the kernel is 4.18.0-553.el8_10.x86_64",
               lambda r: r.machine.put("/proc/sys/kernel/osrelease", "4.18.0-553.el8_10.x86_64")),
    "controllers": ("cgroups", "no control group controller for memory",
                    lambda r: r.machine.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids")),
    "version 1": ("cgroups", "control groups are version 1",
                  lambda r: r.machine.unlink("/sys/fs/cgroup/cgroup.controllers")
                  or r.machine.put("/proc/cgroups", CGROUPS_V1.replace("\t0\n", "\t1\n"))),
    "memory": ("memory", "976 MiB of memory", lambda r: r.machine.put("/proc/meminfo", "MemTotal: 1000000 kB\n")),
    "cpus": ("cpus", "1 CPU", lambda r: r.patch.setattr(os, "cpu_count", lambda: 1)),
    "disk": ("disk", "4.0 GiB free on the disk that holds /var/lib", lambda r: r.disk(4 * 1024**3)),
    "read-only": ("state_dir", "/var/lib is read-only", lambda r: r.disk(50 * 1024**3, flags=os.ST_RDONLY)),
    "inodes": ("state_dir", "the disk that holds /var/lib/weft is full", lambda r: r.disk(50 * 1024**3, inodes=0)),
    "port": ("ports", "port 6443 is in use by haproxy (process 4242)", lambda r: r.listens("haproxy")),
    "our port, but no ledger": ("ports", "6443 is in use by kube-apiserver", lambda r: r.listens("kube-apiserver")),
    "unit": ("foreign", "docker.service runs", lambda r: r.active.append("docker.service")),
    "cluster": ("foreign", "parts of another cluster: /etc/kubernetes/pki",
                lambda r: r.machine.put("/etc/kubernetes/pki/ca.crt", "")),
    "file": ("foreign", "parts of another cluster: /etc/kubernetes/kubelet.conf",
             lambda r: r.machine.put("/etc/kubernetes/kubelet.conf", "")),
    "program": ("foreign", "programs of another installation are there: /usr/bin/containerd",
                lambda r: r.machine.put("/usr/bin/containerd", "")),
    "machine id": ("machine_id", "holds no machine id", lambda r: r.machine.put("/etc/machine-id", "uninitialized\n")),
    "hostname": ("hostname", "cannot resolve its own name", lambda r: r.unresolved()),
}  # fmt: skip


@pytest.mark.parametrize(("check", "message", "wrong"), WRONG.values(), ids=WRONG)
def test_wrong(right: Right, check: str, message: str, wrong: Breaker) -> None:
    wrong(right)
    spec = {"role": "control_plane", "architecture": "amd64"}
    (problem,) = preflight(right.machine, spec)
    assert problem["check"] == check
    assert message in problem["message"]
    assert problem["remedy"].endswith(".")
    assert problem["severity"] == "error"
    assert preflight(right.machine, {**spec, "ignore": [check]}) == [{**problem, "severity": "warning"}]


ROOT = Path(__file__).resolve().parents[3]


def test_every_check_is_documented_and_may_be_ignored() -> None:
    page = (ROOT / "docs/preflight.md").read_text()
    conditions, _, remedies = page.partition("What to do where a check fails")
    named = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.M)
    for part in (conditions, remedies.partition("## ")[0]):
        assert sorted(re.findall(r"\w+", " ".join(named.findall(part)))) == sorted(CHECKS)
    spec = yaml.safe_load((ROOT / "roles/node/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    assert spec["options"]["node_preflight"]["options"]["ignore"]["choices"] == list(CHECKS)


def test_everything_at_once(right: Right) -> None:
    right.machine.put("/etc/os-release", "ID=arch")
    right.machine.put("/proc/meminfo", "MemTotal: 1 kB")
    right.listens("nginx")
    right.unresolved()
    found = preflight(right.machine, {"role": "control_plane"})
    assert [problem["check"] for problem in found] == ["system", "memory", "ports", "hostname"]


def test_without_root(right: Right, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    right.machine.root = ""
    assert [message for message, _ in CHECKS["root"](right.machine, {})] == ["the module does not run as root"]


def test_a_control_plane_wants_more_than_a_worker(right: Right) -> None:
    right.machine.put("/proc/meminfo", "MemTotal: 1048576 kB")
    right.patch.setattr(os, "cpu_count", lambda: 1)
    right.listens("nginx")
    found = preflight(right.machine, {"role": "control_plane"})
    assert [problem["check"] for problem in found] == ["memory", "cpus", "ports"]
    assert preflight(right.machine, {"role": "worker"}) == []


def test_thresholds_of_the_inventory(right: Right) -> None:
    right.disk(4 * 1024**3)
    right.machine.put("/proc/meminfo", "MemTotal: 1048576 kB")
    assert preflight(right.machine, {"role": "control_plane", "memory_mib": 1024, "disk_gib": 3}) == []
    found = preflight(right.machine, {"role": "worker", "memory_mib": 4096, "disk_gib": 5, "cpus": 8, "kernel": "6.2"})
    assert [problem["check"] for problem in found] == ["kernel", "memory", "cpus", "disk"]


def test_version_1_control_groups_where_they_are_allowed(right: Right) -> None:
    right.machine.unlink("/sys/fs/cgroup/cgroup.controllers")
    right.machine.put("/proc/cgroups", CGROUPS_V1)
    spec = {"role": "worker", "cgroup_v1": True}
    assert [one["message"] for one in preflight(right.machine, spec)] == [
        "the kernel offers no control group controller for memory"
    ]
    right.machine.put("/proc/cgroups", CGROUPS_V1.replace("\t0\n", "\t1\n"))
    assert preflight(right.machine, spec) == []


def test_what_is_ours_is_no_problem(right: Right) -> None:
    right.prepared()
    right.listens("kube-apiserver")
    right.machine.put("/etc/kubernetes/pki/ca.crt", "")
    right.disk(2 * 1024**3)
    assert preflight(right.machine, {"role": "control_plane"}) == []
    right.machine.put("/proc/4242/comm", "haproxy\n")
    assert [one["check"] for one in preflight(right.machine, {"role": "control_plane"})] == ["ports"]


def test_listening_ports(right: Right) -> None:
    right.listens("x")
    assert listening(right.machine) == {22: "218452", 0x192B: "777"}
    assert socket_owners(right.machine, {"777"}) == {"777": ("x", 4242)}


def test_a_busy_program_is_found_though_it_closes_files_meanwhile(right: Right) -> None:
    right.prepared()
    right.listens("etcd")
    right.machine.put("/proc/4242/fd/4", "no link: reading it fails as if it had been closed")
    assert preflight(right.machine, {"role": "control_plane", "ports": [6443]}) == []


def test_a_socket_whose_program_ended_meanwhile_is_looked_for_again(right: Right) -> None:
    right.prepared()
    right.machine.put("/proc/net/tcp6", TCP6)
    looks: list[float] = []

    def restarted(seconds: float) -> None:
        looks.append(seconds)
        right.listens("etcd")

    right.patch.setattr(time, "sleep", restarted)
    assert preflight(right.machine, {"role": "control_plane", "ports": [6443]}) == []
    assert len(looks) == 1


def test_a_socket_of_no_program_is_told(right: Right) -> None:
    right.prepared()
    right.machine.put("/proc/net/tcp6", TCP6)
    right.patch.setattr(time, "sleep", lambda seconds: None)
    (problem,) = preflight(right.machine, {"role": "control_plane"})
    assert problem["message"] == "port 6443 is in use by an unknown program"


def test_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert connect("127.0.0.1", port) == "open"
    assert connect("127.0.0.1", port) == "refused"

    def fails(error: OSError) -> None:
        def create(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(socket, "create_connection", create)

    fails(TimeoutError("timed out"))
    assert connect("192.0.2.1", 1) == "timeout"
    fails(OSError(113, "No route to host"))
    assert connect("192.0.2.1", 1) == "unreachable"
    fails(socket.gaierror(-2, "Name or service not known"))
    assert connect("nowhere.example", 1) == "unknown"


def test_reach_tries_every_port_of_every_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_preflight, "connect", lambda address, port: "open" if port == 6443 else "timeout")
    peers: list[Any] = [
        {"name": "a", "address": "10.0.0.1", "ports": [6443, "2379/tcp"]},
        {"name": "b", "address": "10.0.0.2"},
    ]
    assert reach(peers) == [
        {"name": "a", "address": "10.0.0.1", "port": 6443, "result": "open"},
        {"name": "a", "address": "10.0.0.1", "port": 2379, "result": "timeout"},
    ]
    assert reach([]) == []


ADDRESSES = r"""
1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
2: eth0    inet 10.213.240.102/24 brd 10.213.240.255 scope global eth0\       valid_lft forever preferred_lft forever
2: eth0    inet6 fe80::d8cf:57ff:fe70:6d7d/64 scope link \       valid_lft forever preferred_lft forever
3: eth1    inet6 2001:db8::5/64 scope global \       valid_lft forever preferred_lft forever
4: cni0    inet 10.244.1.1/24 brd 10.244.1.255 scope global cni0\       valid_lft forever preferred_lft forever
"""


def test_facts(right: Right, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = right.machine
    machine.put("/etc/os-release", ROCKY_9)
    machine.put("/proc/sys/kernel/hostname", "n1\n")
    machine.put("/sys/fs/selinux/enforce", "1")
    machine.put("/sys/class/dmi/id/product_uuid", "4C4C4544-0\n")
    machine.commands.on("ip -o address", ADDRESSES.strip() + "\n")
    monkeypatch.setattr(machine, "now", lambda: 12.5)
    right.active.append("firewalld.service")
    assert facts(machine) == {
        "os": {"id": "rocky", "version": "9.5", "name": "Rocky Linux 9.5 (Blue Onyx)"},
        "arch": "amd64",
        "kernel": "6.1.0-28-amd64",
        "machine_id": "0123456789abcdef0123456789abcdef",
        "product_uuid": "4c4c4544-0",
        "hostname": "n1",
        "addresses": ["10.213.240.102", "2001:db8::5"],
        "interfaces": {"eth0": ["10.213.240.102/24"], "eth1": ["2001:db8::5/64"]},
        "memory_bytes": 8052132 * 1024,
        "cpus": 4,
        "cgroup": 2,
        "firewall": "firewalld",
        "selinux": "enforcing",
        "time": 12.5,
    }

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Checks before anything is changed.  All are made, and all that is wrong is told at once.

A check is a function from (host, spec) to problems; CHECKS is the list of them, by the name that `ignore` takes.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Mapping, Set, Tuple

from ansible_collections.weft.platform.plugins.module_utils._machine import _os
from ansible_collections.weft.platform.plugins.module_utils._machine._facts import cgroup_version, memory
from ansible_collections.weft.platform.plugins.module_utils._machine._host import STATE_DIR, Host
from ansible_collections.weft.platform.plugins.module_utils._machine._kernel import release
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import LEDGER
from ansible_collections.weft.platform.plugins.module_utils._machine._units import active

Problem = Tuple[str, str]  # message, remedy

CONTROL_PLANE = "control_plane"
GIB = 1024**3

#: kubeadm's own minimum is 1700 MiB for a control plane (kubeadm/app/constants, ControlPlaneMem), none for a worker.
MEMORY_MIB = {CONTROL_PLANE: 1700, "worker": 900}
#: kubeadm's minimum (ControlPlaneNumCPU).
CPUS = {CONTROL_PLANE: 2, "worker": 1}
DISK_GIB = 10
#: system-validators, KernelSpec: 5.10 is the least with whole control groups v2.
KERNEL = "5.10"
#: Ports that kubeadm wants free (kubeadm/app/preflight).
PORTS = {CONTROL_PLANE: (6443, 2379, 2380, 10250, 10257, 10259), "worker": (10250,)}
#: Controllers that kubelet needs (system-validators, Cgroups and CgroupsV2; devices and freezer have none in v2).
CONTROLLERS = {
    1: ("cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"),
    2: ("cpu", "cpuset", "memory", "pids"),
}
#: Programs whose open ports are the cluster's own.
OWN_PROGRAMS = (
    "kube-apiserver",
    "kube-controller",  # the kernel keeps 15 characters
    "kube-scheduler",
    "kubelet",
    "etcd",
    "kube-proxy",
    "kube-vip",
    "containerd",
)
#: Services that would fight with ours over the container runtime, the ports or the packet rules.
FOREIGN_UNITS = (
    "docker.service",
    "crio.service",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "snap.microk8s.daemon-kubelite.service",
    "k0scontroller.service",
    "k0sworker.service",
)
#: Signs of an earlier cluster: these hold something though we put nothing there.
FOREIGN_PATHS = (
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/pki",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/etcd/member",
)
FOREIGN_PROGRAMS = ("/usr/bin/containerd", "/usr/bin/kubelet", "/usr/bin/kubeadm", "/usr/local/bin/k3s")
#: Longer than it takes to send a lost packet again, once (RFC 6298: one second).
PEER_TIMEOUT = 3.0
PEER_THREADS = 64
#: How often, and after how many seconds again, the process of an open port is looked for.
LOOKS = 3
LOOK_AGAIN = 0.2


def announce(host: Host) -> None:
    """Have the units of others shown with ours."""
    for unit in FOREIGN_UNITS:
        host.ask("units", unit)


def preflight(host: Host, spec: Mapping[str, Any]) -> List[Dict[str, str]]:
    """All problems of a machine.

    Args:
        spec: role (control_plane or worker); ignore (names of checks that only warn); memory_mib, cpus, disk_gib,
            kernel (least values, 0 or "" for the default); cgroup_v1 (true where version 1 is allowed); architecture
            (amd64 or arm64, of the artifacts); ports (numbers that must be free, default by role).

    Returns:
        {"check", "severity", "message", "remedy"} of each; severity is error, or warning for those to ignore.
    """
    ignored = set(spec.get("ignore", []))
    return [
        {"check": name, "severity": "warning" if name in ignored else "error", "message": message, "remedy": remedy}
        for name, check in CHECKS.items()
        for message, remedy in check(host, spec)
    ]


def _role(spec: Mapping[str, Any]) -> str:
    return CONTROL_PLANE if spec.get("role") == CONTROL_PLANE else "worker"


def _root(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if os.geteuid() != 0 and not host.root:
        yield "the module does not run as root", "Set ansible_become to true and give the user sudo rights."


def _system(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    text = host.read("/etc/os-release") or ""
    if _os.system(text) is None:
        name = _os.os_release(text).get("PRETTY_NAME") or "unknown"
        yield f"the operating system is {name}", f"Use one of {_os.SUPPORTED}."


def _architecture(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    machine = os.uname().machine
    if machine not in _os.ARCHITECTURES:
        yield f"the processor is {machine}", "Use amd64 (x86_64) or arm64 (aarch64) machines."
        return
    wanted = spec.get("architecture")
    if wanted and wanted != _os.ARCHITECTURES[machine]:
        yield (
            f"the processor is {_os.ARCHITECTURES[machine]}, but the lock file's artifacts are for {wanted}",
            "Use machines of one architecture, or make a lock file and a bundle for this one.",
        )


def _kernel(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    found, wanted = release(host), str(spec.get("kernel") or KERNEL)
    if _numbers(found) < _numbers(wanted):
        yield f"the kernel is {found}", f"Install kernel {wanted} or newer and restart the machine."


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _cgroups(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    version = cgroup_version(host)
    if version == 1 and not spec.get("cgroup_v1"):
        yield (
            "control groups are version 1, which kubelet refuses since Kubernetes 1.35",
            "Start the kernel with systemd.unified_cgroup_hierarchy=1; or set failCgroupV1: false in "
            "node_kubelet_config while kubelet still has it.",
        )
    missing = [name for name in CONTROLLERS[version] if name not in _controllers(host, version)]
    if missing:
        yield (
            f"the kernel offers no control group controller for {', '.join(missing)}",
            "Switch them on (kernel command line, e.g. cgroup_enable=memory) and restart the machine.",
        )


def _controllers(host: Host, version: int) -> Set[str]:
    if version == 2:
        return set((host.read("/sys/fs/cgroup/cgroup.controllers") or "").split())
    rows = [line.split() for line in (host.read("/proc/cgroups") or "").splitlines() if not line.startswith("#")]
    return {row[0] for row in rows if len(row) == 4 and row[3] == "1"}


def _memory(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    found = memory(host) // 1024**2
    wanted = int(spec.get("memory_mib") or MEMORY_MIB[_role(spec)])
    if found < wanted:
        yield f"{found} MiB of memory", f"Give the machine {wanted} MiB, or lower memory_mib in node_preflight."


def _cpus(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    found, wanted = os.cpu_count() or 1, int(spec.get("cpus") or CPUS[_role(spec)])
    if found < wanted:
        yield f"{found} CPU", f"Give the machine {wanted} CPUs."


def _disk(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if host.exists(LEDGER):
        return  # prepared before: what is used is our own
    free = _free(host, "/var/lib")
    wanted = float(spec.get("disk_gib") or DISK_GIB)
    if free < wanted * GIB:
        yield (
            f"{free / GIB:.1f} GiB free on the disk that holds /var/lib",
            f"Free or add space until there are {wanted:g} GiB, or lower disk_gib in node_preflight.",
        )


def _free(host: Host, path: str) -> int:
    usage = os.statvfs(host.at(path))
    return usage.f_bavail * usage.f_frsize


def _state_dir(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    """A full or read-only disk stops everything; found out before half of it is done."""
    usage = os.statvfs(host.at("/var/lib"))
    if usage.f_flag & os.ST_RDONLY:
        yield "/var/lib is read-only", "Remount it writable (the kernel's log says why it is not), and run again."
    elif usage.f_bavail * usage.f_frsize < 64 * 1024**2 or (usage.f_files and not usage.f_favail):
        yield f"the disk that holds {STATE_DIR} is full", "Free some space (and inodes), and run again."


def _ports(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    ports = spec.get("ports") or PORTS[_role(spec)]
    wanted = {int(str(port).partition("/")[0]) for port in ports}
    for port, (program, pid) in sorted(taken(host, wanted).items()):
        if not (program in OWN_PROGRAMS and host.exists(LEDGER)):
            yield (
                f"port {port} is in use by {program}" + (f" (process {pid})" if pid else ""),
                "Stop that program, or move it to another port or machine.",
            )


def taken(host: Host, ports: Set[int]) -> Dict[int, Tuple[str, int]]:
    """Those of the ports on which TCP connections are accepted, with program and process.

    Sockets and processes are two looks at a machine that goes on meanwhile: a socket without a process is looked for
    again, as its program may have ended or started in between.  What stays without one belongs to the kernel.
    """
    inodes: Dict[int, str] = {}
    owners: Dict[str, Tuple[str, int]] = {}
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_AGAIN)
        inodes = {port: inode for port, inode in listening(host).items() if port in ports}
        owners = socket_owners(host, set(inodes.values())) if inodes else {}
        if len(owners) == len(set(inodes.values())):
            break
    return {port: owners.get(inode, ("an unknown program", 0)) for port, inode in inodes.items()}


def listening(host: Host) -> Dict[int, str]:
    """Ports on which TCP connections are accepted, with the socket's inode."""
    out: Dict[int, str] = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (host.read(path) or "").splitlines()[1:]:
            row = line.split()
            if len(row) > 9 and row[3] == "0A":  # LISTEN
                out[int(row[1].rpartition(":")[2], 16)] = row[9]
    return out


def socket_owners(host: Host, inodes: Set[str]) -> Dict[str, Tuple[str, int]]:
    """Program and process that hold each socket."""
    out: Dict[str, Tuple[str, int]] = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in filter(str.isdigit, host.listdir("/proc")):
        for link in filter(wanted.__contains__, _open_files(host, pid)):
            out[wanted[link]] = ((host.read(f"/proc/{pid}/comm") or "").strip(), int(pid))
    return out


def _open_files(host: Host, pid: str) -> Iterator[str]:
    """What a process has open just now, as far as it may be seen; a busy one closes files while they are read."""
    numbers: List[str] = []
    with suppress(OSError):
        numbers = host.listdir(f"/proc/{pid}/fd")
    for number in numbers:
        with suppress(OSError):
            yield os.readlink(host.at(f"/proc/{pid}/fd/{number}"))


def _foreign(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    for unit in FOREIGN_UNITS:
        if active(host, unit):
            yield (
                f"{unit} runs, which manages containers or a cluster of its own",
                f"Remove it (at least `systemctl disable --now {unit}`), or use another machine.",
            )
    if host.exists(LEDGER):
        return
    found = [path for path in FOREIGN_PATHS if host.listdir(path) or _is_file(host, path)]
    if found:
        yield (
            f"the machine holds parts of another cluster: {', '.join(found)}",
            "Run `kubeadm reset` and remove them if nothing of it is needed, or use another machine.",
        )
    programs = [path for path in FOREIGN_PROGRAMS if host.exists(path)]
    if programs:
        yield (
            f"programs of another installation are there: {', '.join(programs)}",
            "Remove their packages: two versions side by side take each other's place.",
        )


def _is_file(host: Host, path: str) -> bool:
    return os.path.isfile(host.at(path))


def _machine_id(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if not re.fullmatch(r"[0-9a-f]{32}", (host.read("/etc/machine-id") or "").strip()):
        yield "/etc/machine-id holds no machine id", "Run `systemd-machine-id-setup` on the machine."


def _hostname(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        yield (
            f"the machine cannot resolve its own name {name}",
            "Add it to /etc/hosts (127.0.1.1) or to DNS; sudo and kubeadm look it up.",
        )


def _systemd(host: Host, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if not host.exists("/run/systemd/system"):
        yield "the machine was not started by systemd", "Use a machine whose init is systemd."


CHECKS: Dict[str, Callable[[Host, Mapping[str, Any]], Iterator[Problem]]] = {
    "root": _root,
    "system": _system,
    "systemd": _systemd,
    "architecture": _architecture,
    "kernel": _kernel,
    "cgroups": _cgroups,
    "memory": _memory,
    "cpus": _cpus,
    "disk": _disk,
    "state_dir": _state_dir,
    "ports": _ports,
    "foreign": _foreign,
    "machine_id": _machine_id,
    "hostname": _hostname,
}


def reach(peers: List[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Whether TCP ports of other machines can be reached.

    Args:
        peers: {"name", "address", "ports": [number]} of each.

    Returns:
        {"name", "address", "port", "result"} of each port; `result` is "open", "refused" (reachable, nobody listens
        yet), "timeout" (dropped on the way), "unreachable" (no way there) or "unknown" (the address is a name that
        nobody knows).
    """
    wanted = [(peer, int(str(port).partition("/")[0])) for peer in peers for port in peer.get("ports", [])]
    if not wanted:
        return []
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(PEER_THREADS, len(wanted))) as pool:
        results = list(pool.map(lambda one: connect(str(one[0]["address"]), one[1]), wanted))
    return [
        {"name": str(peer["name"]), "address": str(peer["address"]), "port": port, "result": result}
        for (peer, port), result in zip(wanted, results)
    ]


def connect(address: str, port: int) -> str:
    """The result of one try, see `reach`."""
    try:
        socket.create_connection((address, port), timeout=PEER_TIMEOUT).close()
    except OSError as error:
        return _failure(error)
    return "open"


def _failure(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "unknown"
    if isinstance(error, socket.timeout) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    return "refused" if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET) else "unreachable"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a node's life leaves on a machine without a file of ours behind it: containers, interfaces, packet rules."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from typing import Any, Dict, List, Mapping, Sequence, Set

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._files import unmount
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host, MachineResource, mode_text
from ansible_collections.weft.platform.plugins.module_utils._machine._kernel import Sysctl

#: Interfaces that flannel, the bridge plugin, kube-router, kube-proxy (ipvs) and node-local DNS make.
INTERFACES = ("cni0", "flannel.1", "flannel-v6.1", "kube-bridge", "kube-dummy-if", "kube-ipvs0", "nodelocaldns")

#: Names of packet rules' chains, tables and sets that kubelet, kube-proxy, kube-router, flannel and CNI plugins make.
CHAINS = re.compile(r"\b(KUBE-|CNI-|FLANNEL-|kube-router)")
SETS = re.compile(r"^(inet6:)?(KUBE-|kube-router)")
TABLES = ("kube-proxy", "cni_hostport", "flannel-ipv4", "flannel-ipv6")

#: Paths that containerd, kubelet, CNI plugins and static pods make by themselves.
PATHS = (
    "/etc/cni",
    "/etc/containerd",
    "/etc/kubernetes",
    "/opt/cni",
    "/opt/containerd",
    "/opt/nri",
    "/etc/nri",
    "/etc/systemd/logind.conf.d",
    "/etc/systemd/logind.conf.d/99-kubelet.conf",
    "/run/containerd",
    "/run/flannel",
    "/run/kubernetes",
    "/run/nri",
    "/run/netns",
    "/run/xtables.lock",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kube-proxy",
    "/var/lib/kubelet",
    "/var/lib/kube-router",
    "/var/log/containers",
    "/var/log/kubernetes",
    "/var/log/pods",
)

#: Kernel settings that kubelet, kube-proxy and CNI plugins change by themselves.
SYSCTLS = (
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
)


class Containers(MachineResource):
    """Processes of Kubernetes' containers and of their shims, which outlive containerd.

    spec      {name: "k8s.io"}: none of them should run
    observed  their number; ABSENT for none
    """

    type = "containers"

    def look(self) -> Value:
        """Count them."""
        return len(container_processes(self.host)) or ABSENT

    def desired(self) -> Value:
        """None."""
        return ABSENT

    def make(self, changes: Sequence[Change]) -> None:
        """Ask them to end, then end them: etcd and databases get their moment."""
        self._end(signal.SIGTERM, seconds=5, shims=False)
        self._end(signal.SIGKILL, seconds=20, shims=True)
        self.host.attempt("systemctl", "stop", "kubepods.slice")  # empty by now, and nobody's any more

    def _end(self, sign: signal.Signals, seconds: float, shims: bool) -> None:
        """Signal every process once, also those that come while others go, until none is left or the time is over."""
        until = time.monotonic() + seconds
        told: Set[int] = set()
        while time.monotonic() < until:
            found = container_processes(self.host, shims)
            if not found:
                return
            for pid in found:
                if pid not in told:
                    _signal(pid, sign)
            told.update(found)
            time.sleep(0.1)


def container_processes(host: Host, shims: bool = True) -> List[int]:
    """Processes in a control group of Kubernetes' pods, and (with `shims`) the shims of its containers."""
    out = []
    for pid in host.listdir("/proc"):
        if not pid.isdigit():
            continue
        if "kubepods" in (host.read(f"/proc/{pid}/cgroup") or "") or (shims and _is_shim(host, pid)):
            out.append(int(pid))
    return out


def _is_shim(host: Host, pid: str) -> bool:
    words = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
    return os.path.basename(words[0]).startswith("containerd-shim") and "k8s.io" in words


def _signal(pid: int, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # ended by itself
        os.kill(pid, sign)


class Network(MachineResource):
    """Interfaces, network namespaces, addresses and packet rules that a node's network leaves in the kernel.

    spec      {name: "leftovers", addresses: ["10.0.0.9"], tables: ["ip nat"]}: none should be there; `addresses` are
              virtual ones, `tables` those of nftables that were there before, and stay also when they are empty
    observed  {"interfaces": [...], "namespaces": [...], "addresses": [...], "rules": [...]}; ABSENT where all are empty
    """

    type = "network"

    def look(self) -> Value:
        """All that is there."""
        found: Dict[str, Value] = {
            "interfaces": [name for name in interfaces(self.host) if _is_ours(self.host, name)],
            "namespaces": [name for name in self.host.listdir("/run/netns") if name.startswith("cni-")],
            "addresses": [f"{one} on {where}" for one, where in self._addresses()],
            "rules": [*_tables(self.host), *_chain_tables(self.host), *_sets(self.host)],
        }
        return found if any(found.values()) else ABSENT

    def _addresses(self) -> List[List[str]]:
        wanted = [str(one) for one in self.spec.get("addresses", [])]
        found = [[row[3], row[1]] for row in address_rows(self.host)]
        return [pair for pair in found if pair[0].partition("/")[0] in wanted]

    def desired(self) -> Value:
        """Nothing."""
        return ABSENT

    def make(self, changes: Sequence[Change]) -> None:
        """Remove it all; what goes by itself with something else is no fault."""
        unmount(self.host, "/run/netns", "cni-")
        for name in self.host.listdir("/run/netns"):
            if name.startswith("cni-"):
                self.host.unlink(f"/run/netns/{name}")
        for address, where in self._addresses():
            self.host.run("ip", "address", "del", address, "dev", where)
        for name in interfaces(self.host):
            if _is_ours(self.host, name):
                self.host.attempt("ip", "link", "delete", name)
        for table in _tables(self.host):
            self.host.run("nft", "delete", "table", *table.split())
        for family in _chain_tables(self.host):
            rules = "".join(line for line in _saved(self.host, family).splitlines(True) if not CHAINS.search(line))
            self.host.run(f"{family}-restore", stdin=rules)
        for table in empty_tables(self.host):
            if table not in self.spec.get("tables", [table]):
                self.host.attempt("nft", "delete", "table", *table.split())
        for name in _sets(self.host):
            self.host.attempt("ipset", "destroy", name)


def interfaces(host: Host) -> List[str]:
    """Names of the network interfaces."""
    return host.listdir("/sys/class/net")


def _is_ours(host: Host, name: str) -> bool:
    """An interface of the table, or the host's end of a pod's cable in one of its bridges."""
    master = host.at(f"/sys/class/net/{name}/master")
    in_bridge = (
        name.startswith("veth") and os.path.islink(master) and os.path.basename(os.readlink(master)) in INTERFACES
    )
    return name in INTERFACES or in_bridge


def address_rows(host: Host) -> List[List[str]]:
    """Rows of `ip -o address`: [number, interface, family, address/length, ...]."""
    return [line.replace(":", " ", 1).split() for line in host.attempt("ip", "-o", "address").out.splitlines()]


def tables(host: Host) -> List[str]:
    """ "ip nat": nftables' tables by family and name."""
    if not host.has_command("nft"):
        return []
    rows = [line.split() for line in host.attempt("nft", "list", "tables").out.splitlines()]
    return [" ".join(row[1:3]) for row in rows if len(row) == 3]


def _tables(host: Host) -> List[str]:
    """Those of TABLES."""
    return [table for table in tables(host) if table.split()[1] in TABLES]


def empty_tables(host: Host) -> List[str]:
    """Tables that iptables made in nftables and that hold no rule and no chain but its own, all of policy ACCEPT."""
    out = []
    for family, short in (("iptables", "ip"), ("ip6tables", "ip6")):
        for block in re.split(r"^\*", _saved(host, family), flags=re.MULTILINE)[1:]:
            name, *lines = block.splitlines()
            if all(re.match(r":\S+ ACCEPT |COMMIT|#", line) for line in lines):
                out.append(f"{short} {name}")
    return [table for table in out if table in tables(host)]


def _chain_tables(host: Host) -> List[str]:
    """ "iptables", "ip6tables": the families that hold a chain or a rule of ours."""
    return [family for family in ("iptables", "ip6tables") if CHAINS.search(_saved(host, family))]


def _saved(host: Host, family: str) -> str:
    return host.attempt(f"{family}-save").out if host.has_command(f"{family}-save") else ""


def _sets(host: Host) -> List[str]:
    """Names of ours among the kernel's address sets."""
    if not host.has_command("ipset"):
        return []
    return [name for name in host.attempt("ipset", "list", "-n").out.split() if SETS.match(name)]


def baseline(host: Host) -> Dict[str, Value]:
    """What was there before: of PATHS the absent ones, and the modes of the empty ones; tables; values of SYSCTLS."""
    infos = {path: host.stat(path) for path in PATHS}
    empty = {path: mode_text(info) for path, info in infos.items() if info and not host.listdir(path)}
    values = {name: Sysctl({"type": "sysctl", "name": name, "value": ""}).look() for name in SYSCTLS}
    return {
        "absent": [path for path in PATHS if infos[path] is None],
        "empty": empty,
        "tables": tables(host),
        "addresses": [row[3].partition("/")[0] for row in address_rows(host) if len(row) > 3],
        "sysctls": {name: value for name, value in values.items() if value is not ABSENT},
    }


def cleared(found: Mapping[str, Value]) -> List[Dict[str, Any]]:
    """Specs that make PATHS and SYSCTLS what the baseline says."""
    gone = [{"type": "directory", "path": path, "state": "absent"} for path in found.get("absent", [])]
    empty = dict(found.get("empty", {}))
    gone += [{"type": "directory", "path": path, "state": "empty", "mode": mode} for path, mode in empty.items()]
    values = dict(found.get("sysctls", {}))
    return gone + [{"type": "sysctl", "name": name, "value": value} for name, value in values.items()]

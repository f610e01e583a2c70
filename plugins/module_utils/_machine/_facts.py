# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the controller must know of a machine, and nothing else."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List

from ansible_collections.weft.platform.plugins.module_utils._machine import _firewall, _os
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host
from ansible_collections.weft.platform.plugins.module_utils._machine._kernel import release
from ansible_collections.weft.platform.plugins.module_utils._machine._leftovers import INTERFACES, address_rows


def facts(host: Host) -> Dict[str, Any]:
    """Facts of the machine.

    Returns:
        os: {"id", "version", "name"} of /etc/os-release
        arch: amd64 or arm64, or the kernel's own word for another
        kernel: its release
        machine_id, product_uuid: "" when there is none; hostname: the kernel's
        addresses: of its own interfaces, without length; loopback, link-local and pod networks' left out
        interfaces: {interface: [address/length]} of the same
        memory_bytes, cpus
        cgroup: 1 or 2
        firewall: none, firewalld or ufw, as running; selinux: disabled, permissive or enforcing
        time: seconds since the epoch by its clock
    """
    named = _os.os_release(host.read("/etc/os-release") or "")
    own = _interfaces(host)
    uname = os.uname()
    return {
        "os": {"id": named.get("ID", ""), "version": named.get("VERSION_ID", ""), "name": named.get("PRETTY_NAME", "")},
        "arch": _os.ARCHITECTURES.get(uname.machine, uname.machine),
        "kernel": release(host),
        "machine_id": (host.read("/etc/machine-id") or "").strip(),
        "product_uuid": (host.read("/sys/class/dmi/id/product_uuid") or "").strip().lower(),
        "hostname": (host.read("/proc/sys/kernel/hostname") or "").strip(),
        "addresses": [address.partition("/")[0] for addresses in own.values() for address in addresses],
        "interfaces": own,
        "memory_bytes": memory(host),
        "cpus": os.cpu_count() or 1,
        "cgroup": cgroup_version(host),
        "firewall": _firewall.running(host),
        "selinux": host.selinux,
        "time": host.now(),
    }


def memory(host: Host) -> int:
    """Memory of the machine in bytes, by /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", host.read("/proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cgroup_version(host: Host) -> int:
    """2 where the unified hierarchy is mounted, else 1 (cgroups(7))."""
    return 2 if host.exists("/sys/fs/cgroup/cgroup.controllers") else 1


def _interfaces(host: Host) -> Dict[str, List[str]]:
    out: Dict[str, List[str]] = {}
    for row in address_rows(host):
        if len(row) < 4 or row[2] not in ("inet", "inet6") or row[1] == "lo" or row[1] in INTERFACES:
            continue
        if not row[3].startswith(("fe80:", "169.254.")):
            out.setdefault(row[1], []).append(row[3])
    return out

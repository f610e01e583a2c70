# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Operating systems as data: what differs between them is a row here, not a branch elsewhere."""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional, Tuple


class System(NamedTuple):
    """One operating system that machines may run.

    id, versions  ID and the beginnings of VERSION_ID in /etc/os-release
    packages      package manager: "apt" or "dnf"
    firewall      the firewall service that it ships
    """

    id: str
    versions: Tuple[str, ...]
    packages: str
    firewall: str


SYSTEMS = (
    System("debian", ("12", "13"), "apt", "ufw"),
    System("ubuntu", ("22.04", "24.04"), "apt", "ufw"),
    System("rhel", ("9",), "dnf", "firewalld"),
    System("rocky", ("9",), "dnf", "firewalld"),
    System("almalinux", ("9",), "dnf", "firewalld"),
)

#: Machine names of the kernel, and what Kubernetes calls them.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

SUPPORTED = "Debian 12 and 13, Ubuntu 22.04 and 24.04, RHEL, Rocky and Alma 9"


def os_release(text: str) -> Dict[str, str]:
    """Fields of /etc/os-release (os-release(5): shell-like assignments, quotes optional)."""
    out = {}
    for name, value in re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE):
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        out[name] = value
    return out


def system(text: str) -> Optional[System]:
    """The row of the system whose /etc/os-release is given, or None where it is not supported."""
    release = os_release(text)
    version = release.get("VERSION_ID", "")
    for row in SYSTEMS:
        if row.id == release.get("ID") and any(version == v or version.startswith(v + ".") for v in row.versions):
            return row
    return None

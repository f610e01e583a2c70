# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Packages of the distribution.  All that a run wants come in one transaction."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine import _os
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    Before,
    Host,
    MachineError,
    MachineResource,
    Result,
)

#: Words of apt and dnf that mean the archive was not reached.
NO_NETWORK = (
    "Temporary failure resolving",
    "Could not resolve",
    "Could not connect",
    "Cannot download",
    "Connection refused",
    "Network is unreachable",
    "Failed to download metadata",
    "Unable to locate package",
    "Unable to find a match",
    "has no installation candidate",
)


class Manager(NamedTuple):
    """A package manager as data.

    listing   command that prints a line for each installed package of those whose names follow
    installed matches such a line, with the name as its group
    install, remove, refresh   commands; names follow the first two
    plan      command that tells what installing would bring, and the pattern of its lines
    plan_removal  the same for removing
    """

    listing: Tuple[str, ...]
    installed: str
    install: Tuple[str, ...]
    remove: Tuple[str, ...]
    refresh: Tuple[str, ...]
    plan: Tuple[str, ...]
    planned: str
    plan_removal: Tuple[str, ...]
    removal: str


_APT = ("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")
_DNF = ("dnf", "-y", "-q")

MANAGERS = {
    "apt": Manager(
        listing=("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${binary:Package}\n"),
        installed=r"^.i. (\S+?)(?::\S+)?$",
        install=(*_APT, "--no-install-recommends", "install"),
        remove=(*_APT, "purge"),
        refresh=(*_APT, "update"),
        plan=("apt-get", "-s", "-q", "--no-install-recommends", "install"),
        planned=r"^Inst (\S+) (?!\[)",  # a version in brackets is the one that is installed
        plan_removal=("apt-get", "-s", "-q", "purge"),
        removal=r"^(?:Remv|Purg) (\S+) ",
    ),
    "dnf": Manager(
        listing=("rpm", "-q", "--qf", "%{NAME}\n"),
        installed=r"^(\S+)$",  # what is missing is told in a sentence
        install=(*_DNF, "--setopt=install_weak_deps=False", "install"),
        remove=(*_DNF, "--noautoremove", "remove"),
        refresh=(*_DNF, "makecache"),
        plan=("dnf", "--assumeno", "--setopt=install_weak_deps=False", "install"),
        planned=r"^ (\S+) +(?:x86_64|aarch64|noarch) ",
        plan_removal=("dnf", "--assumeno", "--noautoremove", "remove"),
        removal=r"^ (\S+) +(?:x86_64|aarch64|noarch) ",
    ),
}


class Package(MachineResource):
    """A package that is there, in whatever version the distribution has.

    spec      {name, apt: name on Debian and Ubuntu, dnf: name on RHEL and its like, state: present|absent}
    observed  "installed"; ABSENT
    """

    type = "package"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        for name in self.names:
            self.host.ask("packages", name)

    @property
    def manager(self) -> str:
        """apt or dnf."""
        return manager_of(self.host)

    @property
    def names(self) -> List[str]:
        """The package, and for removal what came with it."""
        own = self.spec.get(self.manager) or self.spec["name"]
        return [str(own), *(str(name) for name in self.spec.get("with", []))]

    @property
    def wants_absent(self) -> bool:
        """Whether it should not be there."""
        return str(self.spec.get("state", "present")) == "absent"

    def look(self) -> Value:
        """Whether the package is installed; for removal, whether any is that may go."""
        known = installed(self.host)
        names = [name for name in self.names if name not in needed(self.host)] if self.wants_absent else self.names[:1]
        return "installed" if any(name in known for name in names) else ABSENT

    def desired(self) -> Value:
        """Installed, or not."""
        return ABSENT if self.wants_absent else "installed"

    def make(self, changes: Sequence[Change]) -> None:
        """Install, or remove, all that wait; an earlier one of the run may have done it."""
        if self.look() == self.desired():
            return
        waiting = [one for one in self.together() if isinstance(one, Package)]
        if self.wants_absent:
            remove(self.host, list(dict.fromkeys(name for one in waiting for name in one.names)))
        else:
            install(self.host, [one.names[0] for one in waiting])

    def together(self) -> List[MachineResource]:
        """Every package that waits for the same."""
        return [one for one in self.waiting() if isinstance(one, Package) and one.wants_absent == self.wants_absent]

    def keep(self) -> Dict[str, Value]:
        """What the package manager will install with it."""
        ours = [one.names[0] for one in self.together() if isinstance(one, Package)]
        extra: List[str] = self.host.once("package_plan", lambda: newcomers(self.host, ours))
        return {"with": extra, "manager": self.manager, "package": self.names[0]}

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Removed again, with what came with it."""
        spec: Dict[str, Any] = {"type": cls.type, "name": name, "state": "absent", "with": kept.get("with", [])}
        if kept.get("manager"):
            spec[str(kept["manager"])] = kept["package"]
        return [spec]


def manager_of(host: Host) -> str:
    """The machine's package manager.

    Raises:
        MachineError: its system is not supported.
    """
    row = _os.system(host.read("/etc/os-release") or "")
    if row is None:
        raise MachineError(f"the operating system is not one of {_os.SUPPORTED}, so packages cannot be managed")
    return row.packages


def installed(host: Host) -> Set[str]:
    """Those of the announced packages that are installed, by one command."""

    def ask() -> Set[str]:
        tool = MANAGERS[manager_of(host)]
        # Fails as soon as one is missing, which is an answer; a name without its architecture is enough.
        out = host.attempt(*tool.listing, *host.asked["packages"]).out
        return set(re.findall(tool.installed, out, re.MULTILINE))

    found: Set[str] = host.once("packages", ask)
    return found


def needed(host: Host) -> Set[str]:
    """Packages that came with us and stay, because others need them now."""
    found: Set[str] = host.once("packages_needed", set)
    return found


def newcomers(host: Host, names: Sequence[str]) -> List[str]:
    """Packages that would come with `names`, so that the way back knows them.  Refreshes old lists first."""
    tool = MANAGERS[manager_of(host)]
    done = host.attempt(*tool.plan, *names, timeout=300)
    if not re.search(tool.planned, done.out, re.MULTILINE):
        host.attempt(*tool.refresh, timeout=600)
        done = host.attempt(*tool.plan, *names, timeout=300)
    new = [name.split(":")[0] for name in re.findall(tool.planned, done.out, re.MULTILINE)]
    for name in new:
        host.ask("packages", name)  # what is only upgraded was there before
    return [name for name in dict.fromkeys(new) if name not in names and name not in installed(host)]


def install(host: Host, names: Sequence[str]) -> None:
    """Install packages in one transaction.

    Raises:
        MachineError: the package manager failed, also with fresh lists.
    """
    tool = MANAGERS[manager_of(host)]
    done = host.attempt(*tool.install, *names, timeout=1800)
    if done.code:
        host.attempt(*tool.refresh, timeout=600)
        done = host.attempt(*tool.install, *names, timeout=1800)
    host.forget("packages", "package_plan")
    if done.code:
        raise MachineError(f"{', '.join(names)} cannot be installed: {done.last_words}{_advice(done, names)}")


def _advice(done: Result, names: Sequence[str]) -> str:
    if any(words in done.err + done.out for words in NO_NETWORK):
        return (
            ". The machine does not reach its distribution's archive, or the archive lacks them: give it one that "
            f"does, or install {' '.join(names)} beforehand (in the machine image), and run again"
        )
    return ". Repair the package manager on the machine, and run again"


def remove(host: Host, names: Sequence[str]) -> None:
    """Remove packages in one transaction, except those that others have come to need.

    Raises:
        MachineError: the package manager failed.
    """
    tool = MANAGERS[manager_of(host)]
    going = [name for name in names if name in installed(host)]
    outside = _removed_with(host, tool, going) - set(names)
    if outside:
        stay = [name for name in going if _removed_with(host, tool, [name]) - set(names)]
        needed(host).update(stay)
        going = [name for name in going if name not in stay]
        host.note(
            "package",
            f"{', '.join(stay)} stay installed, because {', '.join(sorted(outside))} need them now",
            "Remove them by hand once nothing needs them.",
        )
    if not going:
        return
    done = host.attempt(*tool.remove, *going, timeout=1800)
    host.forget("packages")
    if done.code:
        raise MachineError(f"{', '.join(going)} cannot be removed: {done.last_words}")


def _removed_with(host: Host, tool: Manager, names: Sequence[str]) -> Set[str]:
    """All packages that would go if `names` went."""
    out = host.attempt(*tool.plan_removal, *names, timeout=300).out if names else ""
    return {name.split(":")[0] for name in re.findall(tool.removal, out, re.MULTILINE)}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What is checked, and what a check says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning"]
Path = tuple[Any, ...]

CLUSTER = "cluster"
CONTROL_PLANE = "control_plane"
WORKERS = "workers"
#: Prefixes of variables that may differ from host to host; a problem of any other is the cluster's.
BY_HOST = ("node_", "containerd_")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    severity  error stops a run; warning does not
    message   what is wrong; remedy  what to do
    file, line  where it was written, "" and 0 where that is not known
    subject   the machines or the object it is about, "" for the cluster
    """

    severity: Severity
    message: str
    remedy: str = ""
    file: str = ""
    line: int = 0
    subject: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without what is empty."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Finding:
    """What a rule says of one variable: `path` leads to the part of the value that is wrong."""

    message: str
    remedy: str = ""
    path: Path = ()
    severity: Severity = "error"


@dataclass(frozen=True)
class Place:
    """Where something was written."""

    file: str = ""
    line: int = 0


#: Where a part of a variable's value was written, for a host: (host, variable, path).
Locate = Callable[[str, str, Path], Place]


def nowhere(host: str, variable: str, path: Path) -> Place:
    """A `Locate` that knows no place."""
    return Place()


@dataclass(frozen=True)
class Host:
    """One machine of the cluster, as the inventory describes it.

    connection  ansible_host, "" where it is not set
    given     variables with a prefix of ours that are set, templates resolved, plain values
    settings  all variables of ours, defaults filled in; those that are broken are missing
    broken    variables whose template cannot be resolved, with the reason
    """

    name: str
    groups: frozenset[str] = frozenset()
    connection: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_control_plane(self) -> bool:
        """Whether it is in the group of control planes."""
        return CONTROL_PLANE in self.groups

    @property
    def address(self) -> str:
        """node_address, "" where it is not known."""
        return str(self.settings.get("node_address", ""))


@dataclass(frozen=True)
class Inventory:
    """The machines of a cluster and where their variables were written.

    hosts        members of the group cluster, of control_plane and of workers, in the inventory's order
    groups       every group of the inventory with its hosts
    locate       finds the place of a value
    host_places  where a group names a host: (group, host)
    file_problems  what is wrong with the files themselves
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, Sequence[str]]
    locate: Locate = nowhere
    host_places: Mapping[tuple[str, str], Place] = field(default_factory=dict)
    file_problems: Sequence[Problem] = ()

    @property
    def control_planes(self) -> list[Host]:
        """Machines of that group, in the inventory's order."""
        return [self.hosts[name] for name in self.groups.get(CONTROL_PLANE, []) if name in self.hosts]

    def problem(self, host: Host, variable: str, finding: Finding) -> Problem:
        """A finding of a variable with its place; what follows from a host's name is placed where the host is named."""
        place = self.locate(host.name, variable, finding.path)
        if not place.file and variable in ("node_name", "node_address"):
            found = (self.host_places.get((group, host.name)) for group in (CONTROL_PLANE, WORKERS, CLUSTER))
            place = next(filter(None, found), place)
        subject = host.name if variable.startswith(BY_HOST) else ""
        return Problem(finding.severity, finding.message, finding.remedy, place.file, place.line, subject)


def merged(problems: Sequence[Problem]) -> list[Problem]:
    """Equal problems of several machines as one, errors first, then in the order of the files.

    A value of group_vars is wrong on each machine of the group, but was written once.
    """
    subjects: dict[Problem, dict[str, None]] = {}
    for problem in problems:
        subjects.setdefault(replace(problem, subject=""), {}).setdefault(problem.subject)
    out = [replace(problem, subject=_names([name for name in names if name])) for problem, names in subjects.items()]
    return sorted(out, key=lambda one: (one.severity != "error", not one.file, one.file, one.line))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def shown(value: Any) -> str:
    """A value in a message, shortened."""
    text = repr(value) if isinstance(value, (str, type(None))) else str(value)
    if isinstance(value, bool):
        text = "true" if value else "false"
    return text if len(text) <= 60 else f"{text[:57]}..."

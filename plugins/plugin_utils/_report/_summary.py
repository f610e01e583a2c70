# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A list of Changes counted: for the last lines of a plan and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.weft.platform.plugins.module_utils._change import Change

ACTIONS = ("added", "changed", "removed")


@dataclass
class Summary:
    """Counts of a plan.

    machines  machines with Changes, in the order in which they came
    actions   number of Changes by "added", "changed", "removed"
    objects   number of Changes to objects of the cluster
    costs     what the Changes cost ("restart containerd.service") and the machines that pay it
    """

    machines: list[str] = field(default_factory=list)
    actions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACTIONS, 0))
    objects: int = 0
    costs: dict[str, list[str]] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """Number of all Changes."""
        return sum(self.actions.values())


def summarise(changes: Sequence[Change]) -> Summary:
    """Count Changes."""
    out = Summary()
    for change in changes:
        out.actions[change.action] += 1
        scope = change.subject.scope
        if not scope:
            out.objects += 1
        elif scope not in out.machines:
            out.machines.append(scope)
        for cost in filter(None, change.cost.split(", ")):
            payers = out.costs.setdefault(cost, [])
            if scope and scope not in payers:
                payers.append(scope)
    return out


def sentences(summary: Summary, unreachable: Sequence[str] = ()) -> list[str]:
    """The counts as lines of text."""
    out = [_first(summary)]
    out += [f"{cost} on {names(machines)}" if machines else cost for cost, machines in summary.costs.items()]
    if unreachable:
        out.append(f"unreachable, and left out: {names(unreachable)}")
    return out


def names(machines: Sequence[str], most: int = 8) -> str:
    """Machines by name, as many as a line takes."""
    rest = len(machines) - most
    return ", ".join(machines) if rest <= 1 else f"{', '.join(machines[:most])} and {rest} more"


def _first(summary: Summary) -> str:
    if not summary.changes:
        return "Nothing to change."
    parts = [plural(len(summary.machines), "machine")] if summary.machines else []
    parts.append(plural(summary.changes, "change"))
    counts = ", ".join(f"{number} {action}" for action, number in summary.actions.items() if number)
    objects = f"; {summary.objects} of them to objects of the cluster" if summary.objects and summary.machines else ""
    return f"{', '.join(parts)}: {counts}{objects}"


def plural(number: int, noun: str) -> str:
    """ "1 machine", "2 machines"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")

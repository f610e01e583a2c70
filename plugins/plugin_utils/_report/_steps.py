# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The steps of a run and what each waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: More machines than these that do the same side by side are one step.
TOGETHER = 6


@dataclass(frozen=True)
class Step:
    """One step.

    id        "prepare:cp1"; unique
    kind      prepare, initialise, credentials, join, configure, objects or ready
    title     for people
    machines  that it touches
    after     ids of the steps that must be done before
    changes   number of Changes that it makes, 0 where it is not known before
    """

    id: str
    kind: str
    title: str
    machines: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    changes: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "machines": list(self.machines), "after": list(self.after)}


def steps(
    stages: Mapping[str, Any],
    control_planes: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    objects: int = 0,
) -> list[Step]:
    """The steps of an apply; [] where nothing changes.

    Args:
        stages: leader, initialise, prepare, member, joiners: who does what (inventory names).
        control_planes: machines of that group.
        counts: Changes by machine and stage ("prepare", "member").
        objects: Changes to objects of the cluster.
    """
    leader = str(stages.get("leader") or "")
    member = [name for name in stages.get("member", []) if name != leader]
    joiners = [name for name in member if name in stages.get("joiners", [])]
    out = _parallel("prepare", "prepare", stages.get("prepare", []), {}, counts, "prepare")
    prepared = {name: step.id for step in out for name in step.machines}
    base: tuple[str, ...] = ()
    if leader in stages.get("member", []):
        kind, title = ("initialise", "initialise") if stages.get("initialise") else ("configure", "configure")
        step = Step(
            f"{kind}:{leader}", kind, f"{title} {leader}", (leader,), _known(prepared, [leader]), _count(counts, leader)
        )
        out.append(step)
        base = (step.id,)
    if joiners:
        out.append(
            Step(
                "credentials",
                "credentials",
                f"credentials from {leader}",
                (leader,),
                base or _known(prepared, [leader]),
            )
        )
        base_join: tuple[str, ...] = ("credentials",)
    else:
        base_join = base
    out += _members(member, joiners, control_planes, prepared, base_join, base, counts)
    if objects or stages.get("initialise"):
        out.append(Step("objects", "objects", "network, DNS and other objects", (), base, objects))
    if out:
        followed = {before for step in out for before in step.after}
        last = tuple(step.id for step in out if step.id not in followed)
        out.append(Step("ready", "ready", "all nodes Ready", (), last))
    return out


def _members(
    member: Sequence[str],
    joiners: Sequence[str],
    control_planes: Sequence[str],
    prepared: Mapping[str, str],
    base_join: tuple[str, ...],
    base: tuple[str, ...],
    counts: Mapping[str, Mapping[str, int]],
) -> list[Step]:
    """etcd takes one new member at a time, so control planes come one after the other; workers come all at once."""
    out: list[Step] = []
    before = base_join
    for name in (name for name in joiners if name in control_planes):
        step = Step(
            f"join:{name}", "join", f"join {name}", (name,), (*_known(prepared, [name]), *before), _count(counts, name)
        )
        out.append(step)
        before = (step.id,)
    workers = [name for name in joiners if name not in control_planes]
    out += _parallel("join", "join", workers, prepared, counts, "member", base_join)
    settled = [name for name in member if name not in joiners]
    return out + _parallel("configure", "configure", settled, prepared, counts, "member", base)


def _parallel(
    kind: str,
    verb: str,
    machines: Sequence[str],
    prepared: Mapping[str, str],
    counts: Mapping[str, Mapping[str, int]],
    stage: str,
    after: tuple[str, ...] = (),
) -> list[Step]:
    """A step for each machine, or one for all of many."""
    if len(machines) > TOGETHER:
        total = sum(_count(counts, name, stage) for name in machines)
        title = f"{verb} {len(machines)} machines"
        waits = (*_known(prepared, machines), *after)
        return [Step(f"{kind}:{len(machines)}-machines", kind, title, tuple(machines), waits, total)]
    return [
        Step(
            f"{kind}:{name}",
            kind,
            f"{verb} {name}",
            (name,),
            (*_known(prepared, [name]), *after),
            _count(counts, name, stage),
        )
        for name in machines
    ]


def _known(prepared: Mapping[str, str], machines: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prepared[name] for name in machines if name in prepared))


def _count(counts: Mapping[str, Mapping[str, int]], machine: str, stage: str = "member") -> int:
    return int(counts.get(machine, {}).get(stage, 0))

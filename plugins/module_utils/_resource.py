# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""observe -> diff -> apply over a list of resources.

A resource is one thing that a machine or a cluster has.  Every one is observed before any is changed, so a
check run and a real run that start from the same state give the same list of Changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Sequence, Type

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Subject, Value, diff

Spec = Mapping[str, Any]


class ResourceError(Exception):
    """A resource cannot be read or changed; the message says what, where, and what to do."""


class Resource:
    """One thing to manage.  A new kind of thing implements `subject`, `observe`, `desired` and `apply`.

    `spec` is the resource as the inventory renders it: {"type": ..., ...}.  Keys that every type understands:
    notify  list of units to restart when it changes (the cost of its Changes)
    secret  true when its values must not be shown
    """

    type: ClassVar[str] = ""

    def __init__(self, spec: Spec, machine: str = "") -> None:
        self.spec = spec
        self.machine = machine

    @property
    def subject(self) -> Subject:
        """What the resource's Changes are about."""
        return Subject(self.type, str(self.spec["name"]), self.machine)

    @property
    def notify(self) -> List[str]:
        """Units that must be restarted after a Change."""
        return list(self.spec.get("notify", []))

    @property
    def cost(self) -> str:
        """What a Change of the resource costs."""
        return ", ".join(f"restart {unit}" for unit in self.notify)

    def observe(self) -> Value:
        """State now, as a JSON value or ABSENT.  Must not change anything."""
        raise NotImplementedError

    def desired(self) -> Value:
        """State wanted, in the same shape, or ABSENT."""
        raise NotImplementedError

    def changes(self, observed: Value) -> List[Change]:
        """The Changes from the observed state to the desired one."""
        return diff(self.subject, observed, self.desired(), self.cost, bool(self.spec.get("secret", False)))

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the Changes.  Must be safe to repeat after being killed at any point."""
        raise NotImplementedError

    def notified(self, units: Sequence[str], changed: bool) -> None:
        """Called once after all resources were applied, with every unit to restart (a unit restarts itself here).

        `changed` says whether this resource itself had Changes in this run (a unit just started needs no restart).
        """


@dataclass
class Outcome:
    """What a reconciliation found or did.

    changes  the Changes needed (check) or made
    stages   how many of them belong to each stage that the specs name
    failed   message of the resource that could not be changed, or ""; `changes` then holds what was made before
    """

    changes: List[Change] = field(default_factory=list)
    failed: str = ""
    stages: Dict[str, int] = field(default_factory=dict)

    def add(self, resource: Resource, changes: Sequence[Change]) -> None:
        """Count a resource's Changes in."""
        self.changes += changes
        stage = str(resource.spec.get("stage", ""))
        if changes and stage:
            self.stages[stage] = self.stages.get(stage, 0) + len(changes)


def build(types: Mapping[str, Type[Resource]], specs: Sequence[Spec], machine: str = "") -> List[Resource]:
    """Resources of a list of specs.

    Raises:
        ResourceError: a spec's type is unknown.
    """
    out = []
    for spec in specs:
        kind = types.get(str(spec.get("type")))
        if kind is None:
            raise ResourceError(f"unknown resource type {spec.get('type')!r}; known are {', '.join(sorted(types))}")
        out.append(kind(spec, machine))
    return out


def reconcile(
    resources: Sequence[Resource],
    check: bool,
    record: Optional[Callable[[Sequence[Change]], None]] = None,
    done: Optional[Callable[[Resource], None]] = None,
) -> Outcome:
    """Observe every resource, then (unless `check`) change those that differ, in their order.

    Args:
        resources: what to bring about, in the order in which it may be done.
        check: only find out.
        record: called with a resource's Changes before they are made (the ledger that makes a way back).
        done: called with a resource whose Changes were made.

    Returns:
        Outcome: an error of one resource ends the work and is told in `failed`, beside what was made until then.

    Raises:
        ResourceError: a resource could not be observed; nothing was changed.
    """
    planned = [(resource, resource.changes(resource.observe())) for resource in resources]
    outcome = Outcome()
    if check:
        for resource, changes in planned:
            outcome.add(resource, changes)
        return outcome
    units: Dict[str, None] = {}
    try:
        for resource, changes in planned:
            if not changes:
                continue
            if record is not None:
                record(changes)
            units.update(dict.fromkeys(resource.notify))
            resource.apply(changes)
            _confirm(resource)
            outcome.add(resource, changes)
            if done is not None:
                done(resource)
    except ResourceError as error:
        outcome.failed = str(error)
    _notify(planned, list(units), outcome)
    return outcome


def _notify(planned: Sequence[Any], units: Sequence[str], outcome: Outcome) -> None:
    """Restart also after a failure: what was changed until then must be in force, or be told."""
    if not units:
        return
    for resource, changes in planned:
        try:
            resource.notified(units, bool(changes))
        except ResourceError as error:
            outcome.failed = "; ".join(filter(None, [outcome.failed, str(error)]))


def _confirm(resource: Resource) -> None:
    """A Change counts as made only when the machine says so."""
    left = resource.changes(resource.observe())
    if left:
        one = left[0].masked()
        raise ResourceError(
            f"{resource.subject}: still differs after it was applied: is {one.before!r}, wanted {one.after!r}"
        )

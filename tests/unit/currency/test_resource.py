# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""observe -> diff -> apply: plan and apply agree, failures are told, restarts are not lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change
from ansible_collections.weft.platform.plugins.module_utils._resource import (
    Resource,
    ResourceError,
    build,
    reconcile,
)
from hypothesis import given
from hypothesis import strategies as st

WORLD: dict[str, Any] = {}
RESTARTED: list[str] = []


class Thing(Resource):
    """A resource whose machine is a dictionary."""

    type = "thing"

    def observe(self) -> Any:
        return WORLD.get(self.spec["name"], ABSENT)

    def desired(self) -> Any:
        return self.spec["value"]

    def apply(self, changes: Sequence[Change]) -> None:
        if self.spec.get("breaks"):
            raise ResourceError("no space left on device")
        if not self.spec.get("lies"):
            WORLD[self.spec["name"]] = self.spec["value"]

    def notified(self, units: Sequence[str], changed: bool) -> None:
        if self.spec["name"] in units and not changed:
            RESTARTED.append(self.spec["name"])


def things(*specs: dict[str, Any]) -> list[Resource]:
    return build({"thing": Thing}, [{"type": "thing", **spec} for spec in specs], "m1")


@pytest.fixture(autouse=True)
def _clean() -> None:
    WORLD.clear()
    RESTARTED.clear()


@given(st.dictionaries(st.sampled_from("abc"), st.integers()), st.dictionaries(st.sampled_from("abc"), st.integers()))
def test_the_plan_is_what_is_made_and_nothing_is_left(world: dict[str, Any], wanted: dict[str, Any]) -> None:
    WORLD.clear()
    WORLD.update(world)
    resources = things(*({"name": name, "value": value} for name, value in wanted.items()))
    planned = reconcile(resources, check=True).changes
    assert world == WORLD
    assert reconcile(resources, check=False).changes == planned
    assert reconcile(resources, check=False).changes == []
    assert {**world, **wanted} == WORLD


def test_a_failure_tells_what_was_made_before_it_and_still_restarts() -> None:
    WORLD["u"] = 1
    resources = things(
        {"name": "a", "value": 1, "notify": ["u"]},
        {"name": "b", "value": 1, "breaks": True},
        {"name": "c", "value": 1},
        {"name": "u", "value": 1},
    )
    outcome = reconcile(resources, check=False)
    assert outcome.failed == "no space left on device"
    assert [change.subject.name for change in outcome.changes] == ["a"]
    assert outcome.changes[0].cost == "restart u"
    assert RESTARTED == ["u"]
    assert "c" not in WORLD


def test_a_change_the_machine_does_not_confirm_is_a_failure() -> None:
    outcome = reconcile(things({"name": "a", "value": 1, "lies": True}), check=False)
    assert "still differs" in outcome.failed
    assert not outcome.changes


def test_changes_are_recorded_before_they_are_made() -> None:
    seen: list[Any] = []
    reconcile(
        things({"name": "a", "value": 1}), check=False, record=lambda changes: seen.append((list(changes), dict(WORLD)))
    )
    assert [(changes[0].after, world) for changes, world in seen] == [(1, {})]


def test_changes_are_counted_by_stage() -> None:
    resources = things({"name": "a", "value": 1, "stage": "prepare"}, {"name": "b", "value": 1, "stage": "member"})
    WORLD["b"] = 1
    assert reconcile(resources, check=True).stages == reconcile(resources, check=False).stages == {"prepare": 1}


def test_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(ResourceError, match="unknown resource type 'x'; known are thing"):
        build({"thing": Thing}, [{"type": "x"}])

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The end of a run tells what was made, what was not, and who was missing."""

from __future__ import annotations

from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._cluster._record import record
from ansible_collections.weft.platform.plugins.plugin_utils._doors import run_record


def change(name: str, after: Any = 1) -> dict[str, Any]:
    return {"subject": {"type": "file", "name": name}, "field": [], "action": "added", "after": after}


def test_a_run_that_made_its_plan() -> None:
    found = record(
        [change("a"), change("b")], {"m": [{}, {"changes": [change("a")]}, {"changes": [change("b")]}]}, ["m"]
    )
    assert found.changes == [change("a"), change("b")]
    assert not found.missing + found.unplanned + found.unreachable
    assert not found.failed


def test_what_failed_and_what_is_missing_is_named() -> None:
    results: dict[str, Any] = {
        "m": [{}, {"changes": [change("a", 2)], "failed": True, "msg": "no space left"}],
        "n": [{"unreachable": True}],
    }
    found = record([change("a"), change("b")], results, ["m", "n"])
    assert found.failed == {"m": "no space left"}
    assert found.unreachable == ["n"]
    assert found.missing == [change("a"), change("b")]
    assert found.unplanned == [change("a", 2)]


def test_the_origin_of_a_change_is_no_difference() -> None:
    planned = [{**change("a"), "origin": {"file": "x.yml", "line": 3}}]
    found = record(planned, {"m": [{}, {"changes": [change("a"), change("b")]}]}, ["m"])
    assert not found.missing
    assert found.changes == [*planned, change("b")]


def test_nodes_that_do_not_become_ready_are_no_success() -> None:
    labelled = {"failed": True, "msg": "after 300 s 1 node not ready", "changes": [change("a")]}
    hosts = {"m": {"weft_observed": {}, "weft_labelled": labelled}}
    found = run_record({"planned": []}, {"hostvars": hosts, "groups": {"control_plane": ["m"]}})
    assert found["failed"] and found["unfinished"] == {"m": "after 300 s 1 node not ready"}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Machines are sorted into stages by their Changes; a cluster is never made twice."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._stages import stages


def seen(*types: str, member: str = "", healthy: bool = False, unfinished: str = "") -> dict[str, Any]:
    changes: list[dict[str, Any]] = [{"subject": {"type": kind, "name": "x"}, "field": []} for kind in types]
    counts = {
        "prepare": len([kind for kind in types if kind == "file"]),
        "member": len([kind for kind in types if kind != "file"]),
    }
    kubernetes = {"member": member, "api_healthy": healthy, "unfinished": unfinished}
    return {"stages": counts, "facts": {"kubernetes": kubernetes}, "changes": changes}


def test_a_fresh_cluster() -> None:
    observed = {
        "a": seen("file", "control_plane"),
        "b": seen("file", "control_plane"),
        "w": seen("file", "worker"),
    }
    found = stages(observed, ["a", "b"], ["w"])
    assert (found.leader, found.initialise) == ("a", True)
    assert found.prepare == found.member == found.nodes == ["a", "b", "w"]
    assert found.joiners == ["b", "w"]
    assert found.newcomers == ["a", "b", "w"]
    assert not found.problems


def test_nothing_to_do_and_one_worker_more() -> None:
    observed = {
        "a": seen(member="control_plane", healthy=True),
        "w": seen(member="worker"),
        "n": seen("file", "worker"),
    }
    found = stages(observed, ["a"], ["w", "n"])
    assert (found.initialise, found.prepare, found.member, found.joiners) == (False, ["n"], ["n"], ["n"])


def test_a_changed_argument_touches_the_control_plane_only() -> None:
    observed = {"a": seen("static_pods", member="control_plane", healthy=True), "w": seen(member="worker")}
    found = stages(observed, ["a"], ["w"])
    assert (found.prepare, found.member, found.joiners) == ([], ["a"], [])


@pytest.mark.parametrize(
    ("observed", "check"),
    [
        ({}, "control-plane"),
        ({"b": seen("control_plane")}, "second-cluster"),
        ({"a": seen("control_plane"), "b": seen("control_plane"), "w": seen(member="worker")}, "second-cluster"),
        (
            {"a": seen("control_plane"), "b": seen("control_plane", member="partial", unfinished="join")},
            "second-cluster",
        ),
        (
            {"a": seen("control_plane"), "b": seen("control_plane", member="partial", unfinished="unknown")},
            "foreign",
        ),
    ],
)
def test_a_cluster_that_may_exist_is_not_made_again(observed: dict[str, Any], check: str) -> None:
    assert [problem["check"] for problem in stages(observed, ["a", "b"], ["w"]).problems] == [check]


def test_a_version_that_differs_is_a_problem_and_not_a_change() -> None:
    observed = {"a": seen(member="control_plane", healthy=True), "w": seen("worker", member="worker")}
    observed["w"]["changes"][0].update(field=["version"], before="v1.36.3", after="v1.37.2")
    problems = stages(observed, ["a"], ["w"]).problems
    assert [(one["check"], one["message"]) for one in problems] == [
        ("version", "w runs v1.36.3 and the lock file wants v1.37.2")
    ]


def test_a_leader_of_another_version_makes_no_new_cluster() -> None:
    observed = {"a": seen("control_plane", member="control_plane", healthy=True), "w": seen(member="worker")}
    observed["a"]["changes"][0].update(field=["version"], before="v1.36.3", after="v1.37.2")
    found = stages(observed, ["a"], ["w"])
    assert not found.initialise and not found.newcomers
    assert [problem["check"] for problem in found.problems] == ["version"]


def test_a_silent_api_is_told_and_machines_are_mended_all_the_same() -> None:
    found = stages({"a": seen("static_pods", member="control_plane", healthy=False)}, ["a"], [])
    assert (found.live, found.initialise, found.member) == (False, False, ["a"])
    assert [(one["severity"], one["check"]) for one in found.problems] == [("warning", "api")]

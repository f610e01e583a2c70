# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who speaks for the cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._leader import leader


def facts(member: str = "", healthy: bool = False, unfinished: str = "") -> dict[str, Any]:
    return {"facts": {"kubernetes": {"member": member, "api_healthy": healthy, "unfinished": unfinished}}}


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ({"a": facts(), "b": facts()}, {"name": "a", "live": "", "member": ""}),
        ({"a": facts(), "b": facts("control_plane")}, {"name": "b", "live": "", "member": "yes"}),
        (
            {"a": facts("control_plane"), "b": facts("control_plane", True)},
            {"name": "b", "live": "b", "member": "yes"},
        ),
        ({"a": {"unreachable": True}, "b": facts()}, {"name": "b", "live": "", "member": ""}),
        ({"a": {"unreachable": True}}, {"name": "", "live": "", "member": ""}),
        # An init that was cut short is finished where it began, whatever the inventory's order is now.
        ({"a": facts(), "b": facts("partial", unfinished="init")}, {"name": "b", "live": "", "member": ""}),
        ({"a": facts(), "b": facts("partial", True, "init")}, {"name": "b", "live": "", "member": ""}),
        ({"a": facts(), "b": facts("partial", unfinished="join")}, {"name": "a", "live": "", "member": ""}),
    ],
)
def test_a_cluster_that_lives_speaks_first(observed: dict[str, Any], expected: dict[str, str]) -> None:
    assert leader(observed, ["a", "b"]) == expected

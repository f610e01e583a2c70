# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of the policy loosens and tightens."""

from __future__ import annotations

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _deltas, _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy

from tests.unit.policy.engine.test_understand import TreeOf

ROLES = "roles: {a: {members: ['user:x']}, b: {members: ['user:y']}}\n"
ALL = "{name: all, change: {file: '**'}, allow: a}"


def policy(*rules: str) -> Policy:
    text = "rules:\n" + "".join(f"  - {rule}\n" for rule in rules)
    return _load.load(TreeOf({"policy/roles.yml": ROLES, "policy/rules/x.yml": text}))


def said(before: Policy, after: Policy) -> list[str]:
    return [f"{one.direction}: {one.message}" for one in _deltas.compare(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # a denial of less: what is denied still is no news
        (
            "change: {file: 'z/**'}, deny: r",
            "change: {file: 'z/**', action: removed}, deny: r",
            ["loosens: role:a can newly change when added or changed: file z/**"],
        ),
        (
            "change: {file: 'z/**', action: removed}, deny: r",
            "change: {file: 'z/**', action: [removed, added]}, deny: r",
            [
                "tightens: role:a can no longer change when added: action removed or added, file z/**",
            ],
        ),
        (
            "change: {file: 'z/**'}, allow: b",
            "change: {file: 'z/**', action: added}, allow: b",
            ["tightens: role:b can no longer change when changed or removed: file z/**"],
        ),
        # who is enough alone is not asked for more
        (
            "change: {file: 'z/**'}, allow: {all: [a, b]}",
            "change: {file: 'z/**'}, allow: anyone",
            [
                "loosens: anyone can newly change: file z/**",
            ],
        ),
    ],
)
def test_who_can_newly_change_what(before: str, after: str, expected: list[str]) -> None:
    old, new = (policy(ALL, f"{{name: n, {rule}}}") for rule in (before, after))
    assert [one for one in said(old, new) if " can " in one] == expected

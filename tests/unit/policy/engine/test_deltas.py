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


def rule_said(before: str, after: str, name: str = "n") -> list[str]:
    """What is said of a rule of that name, without who can change what."""
    old, new = (policy(ALL, f"{{name: {name}, {rule}}}") for rule in (before, after))
    assert said(new, new) == []
    return [one for one in said(old, new) if " can " not in one]


FILE = "change: {file: 'z/**'}"
FIELD = "change: {field: v}"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # levels of the Pod Security Standards are in order
        (
            "require: {pss: restricted}",
            "require: {pss: privileged}",
            ["loosens: rule 'n': require: pss restricted -> pss privileged"],
        ),
        (
            "require: {pss: baseline}",
            "require: {pss: {level: restricted}}",
            ["tightens: rule 'n': require: pss baseline -> pss level restricted"],
        ),
        (
            "require: {pss: {level: baseline, version: v1.36}}",
            "require: {pss: {level: baseline, version: v1.37}}",
            ["changes: rule 'n': require: pss level baseline, version v1.36 -> pss level baseline, version v1.37"],
        ),
        (
            "require: {pss: {level: namespace}}",
            "require: {pss: baseline}",
            ["changes: rule 'n': require: pss level namespace -> pss baseline"],
        ),
        (
            "require: {pss: baseline, object: {kind: '*'}}",
            "require: {pss: baseline, object: {kind: Pod}}",
            ["loosens: rule 'n': require: pss baseline for object {kind *} -> pss baseline for object {kind Pod}"],
        ),
        (
            "require: {pss: baseline, environment: prod}",
            "require: {pss: baseline}",
            ["tightens: rule 'n': require: pss baseline for environment prod -> pss baseline"],
        ),
        (
            "require: {rego: policy/a.rego, file: 'ci/**'}",
            "require: {rego: policy/a.rego, file: 'ci/**', document: true}",
            [
                "loosens: rule 'n' no longer requires rego policy/a.rego for file ci/**",
                "tightens: rule 'n' now requires rego policy/a.rego for documents of file ci/**",
            ],
        ),
        (
            "require: {rego: policy/a.rego, file: '**', document: true}",
            "require: {rego: policy/a.rego, file: 'ci/**', document: true}",
            [
                "loosens: rule 'n' no longer demands: must pass rego, for file **",
                "loosens: rule 'n': require: rego policy/a.rego for documents of file ** -> "
                "rego policy/a.rego for documents of file ci/**",
            ],
        ),
        (
            "require: {replicas: {minimum: 2}}",
            "require: {replicas: {minimum: 3}}",
            ["changes: rule 'n': require: replicas minimum 2 -> replicas minimum 3"],
        ),
        (
            "require: [{pss: baseline}, {labels: [owner]}]",
            "require: [{images: {tags: digest}}, {pss: baseline}]",
            ["loosens: rule 'n' no longer requires labels owner", "tightens: rule 'n' now requires images tags digest"],
        ),
        (
            "require: {pss: baseline}, severity: warn",
            "require: {pss: baseline}",
            ["tightens: rule 'n': severity: warn -> prohibit"],
        ),
        (
            "require: {pss: baseline}, existing: prohibit",
            "require: {pss: baseline}, existing: report",
            ["loosens: rule 'n': existing: prohibit -> report"],
        ),
        # what must hold of values
        (
            f"{FIELD}, deny_unless: {{new: '>= old'}}",
            f"{FIELD}, deny_unless: {{new: '*'}}",
            ["loosens: rule 'n': deny_unless: new >= old -> new *"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '>= 1.36'}}",
            f"{FIELD}, deny_unless: {{new: '>= 1.37'}}",
            ["tightens: rule 'n': deny_unless: new >= 1.36 -> new >= 1.37"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '< 3'}}",
            f"{FIELD}, deny_unless: {{new: '< 10'}}",
            ["loosens: rule 'n': deny_unless: new < 3 -> new < 10"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '>= old'}}",
            f"{FIELD}, deny_unless: {{new: '>= 1.36'}}",
            ["changes: rule 'n': deny_unless: new >= old -> new >= 1.36"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: a}}",
            f"{FIELD}, deny_unless: {{new: [a, b], reason: r}}",
            ["loosens: rule 'n': deny_unless: new a -> new a or b, reason r"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: ['a*', '!ab']}}",
            f"{FIELD}, deny_unless: {{new: 'a*', old: b}}",
            ["changes: rule 'n': deny_unless: new a* or !ab -> new a*, old b"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '!a'}}",
            f"{FIELD}, deny_unless: {{new: '*'}}",
            ["changes: rule 'n': deny_unless: new !a -> new *"],
        ),
        # whom a rule means
        (
            f"{FILE}, only: {{all: [a, b]}}",
            f"{FILE}, only: {{any: [a, b]}}",
            [
                "loosens: role:a now may change file z/** (rule 'n', role:a and role:b -> role:a or role:b)",
                "loosens: role:b now may change file z/** (rule 'n', role:a and role:b -> role:a or role:b)",
            ],
        ),
        (
            f"{FILE}, allow: [a, b]",
            f"{FILE}, allow: {{all: [a, b]}}",
            [
                "tightens: role:a no longer may change file z/** (rule 'n', role:a or role:b -> role:a and role:b)",
                "tightens: role:b no longer may change file z/** (rule 'n', role:a or role:b -> role:a and role:b)",
            ],
        ),
        (f"{FILE}, allow: a", f"{FILE}, only: a", ["tightens: rule 'n' now demands: only role:a"]),
        (
            f"{FILE}, deny: {{reason: r, to: [a, b]}}",
            f"{FILE}, deny: {{reason: r, to: a}}",
            ["loosens: rule 'n': denied to: role:a or role:b -> role:a"],
        ),
        (
            f"{FILE}, deny: {{reason: r, to: a}}",
            f"{FILE}, deny: r",
            ["tightens: rule 'n': denied to: role:a -> everybody"],
        ),
        (
            f"{FILE}, deny: {{reason: r, to: a}}",
            f"{FILE}, deny: {{reason: s, to: b}}",
            ["changes: rule 'n': denied to: role:a -> role:b", "changes: rule 'n': reason: r -> s"],
        ),
        # approvals
        (
            f"{FILE}, approvals: {{count: 2, from: a}}",
            f"{FILE}, approvals: {{count: 1, from: [a, b]}}",
            [
                "loosens: role:b now count as approvers (rule 'n', role:a -> role:a or role:b)",
                "loosens: rule 'n' wants 1 approvals, not 2",
            ],
        ),
        (
            f"{FILE}, allow: a, approvals: 1",
            f"{FILE}, allow: b, approvals: 1",
            [
                "loosens: role:b now count as approvers (rule 'n', role:a -> role:b)",
                "loosens: role:b now may change file z/** (rule 'n', role:a -> role:b)",
                "tightens: role:a no longer count as approvers (rule 'n', role:a -> role:b)",
                "tightens: role:a no longer may change file z/** (rule 'n', role:a -> role:b)",
            ],
        ),
        (
            f"{FILE}, allow: a, approvals: 1",
            f"{FILE}, allow: a",
            ["loosens: rule 'n' no longer demands: 1 approval by role:a"],
        ),
        # code owners
        (
            f"{FILE}, codeowners: approve",
            f"{FILE}, codeowners: change",
            [
                "loosens: code owners now may change file z/** (rule 'n')",
                "loosens: rule 'n' no longer demands: approval by its code owners",
            ],
        ),
        # nothing is left out
        (f"{FILE}, allow: [a, b]", f"{FILE}, allow: {{any: [b, a]}}", ["changes: rule 'n' is written in another way"]),
        (f"{FILE}, allow: a, description: x", f"{FILE}, allow: a, description: y", []),
    ],
)
def test_what_a_part_of_a_rule_loosens(before: str, after: str, expected: list[str]) -> None:
    assert rule_said(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        ("file: 'z/**'", "file: z/only-this", "narrower"),
        ("file: '**'", "file: ['a/**', b]", "narrower"),
        ("file: 'a/**'", "file: 'a/b/**'", "narrower"),
        ("file: 'a/**'", "file: ['a/**', '!a/b']", "narrower"),
        ("file: ['a/**', '!a/b']", "file: a/c", "narrower"),
        ("file: ['a/**', '!a/b']", "file: a/b", "unknown"),
        ("file: ['a/**', '!a/b']", "file: 'a/b/**'", "unknown"),
        ("file: 'a/**'", "file: ['a/x', 'b/**']", "unknown"),
        ("file: 'a/*'", "file: 'a/x*'", "unknown"),
        ("file: 'a/**'", "{file: 'a/**', environment: prod}", "narrower"),
        ("environment: '*'", "environment: 'p*'", "narrower"),
        ("environment: '!dev'", "environment: '!dev,!qa'", "narrower"),
        ("environment: '!dev'", "environment: prod", "narrower"),
        ("environment: prod", "cluster: prod", "unknown"),
        ("file: 'a/**'", "{file: 'a/**', action: removed}", "narrower"),
        ("{file: 'a/**', action: [added, removed]}", "{file: 'a/**', action: removed}", "narrower"),
        ("file: 'a/**'", "{file: 'a/**', field: v}", "narrower"),
        ("{file: 'a/**', action: removed}", "{file: 'a/**', action: removed, field: v}", "unknown"),
        ("field: v", "{field: v, new: 1}", "narrower"),
        ("{field: v, new: 1}", "{field: v, new: 2}", "unknown"),
        ("{field: v, group: a}", "{field: v, group: 'a,!b'}", "narrower"),
        ("{field: v, group: '!b'}", "{field: v, group: a}", "unknown"),  # a host is in several groups
        ("object: {kind: '*'}", "object: {kind: Pod, labels: {x: y}}", "narrower"),
        ("object: {labels: {x: '*'}}", "object: {labels: {x: y, z: w}}", "narrower"),
        ("object: {kind: Pod}", "object: {kind: Secret}", "unknown"),
        ("[{file: a}, {file: b}]", "{file: a}", "narrower"),
    ],
)
@pytest.mark.parametrize(("kind", "narrow"), [("allow: b", "tightens"), ("approvals: {from: b}", "loosens")])
def test_what_a_rule_is_about_has_a_direction(before: str, after: str, way: str, kind: str, narrow: str) -> None:
    sides = [f"change: {{{one}}}" if one[0] not in "[{" else f"change: {one}" for one in (before, after)]
    wide = {"tightens": "loosens", "loosens": "tightens"}[narrow]
    for one, other, how in ((*sides, narrow), (*sides[::-1], wide)):
        found = [text for text in rule_said(f"{one}, {kind}", f"{other}, {kind}") if "rule 'n': change: " in text]
        assert [text.partition(":")[0] for text in found] == ["changes" if way == "unknown" else how], found
        assert " -> " in found[0]


def test_a_rule_that_allows_and_demands_loosens_one_and_tightens_the_other() -> None:
    wide, narrow = (f"change: {{file: {one}}}, allow: a, approvals: 1" for one in ("'z/**'", "z/only-this"))
    change = "rule 'n': change: file z/** -> file z/only-this"
    assert rule_said(wide, narrow) == [
        f"loosens: {change}; of less is demanded: 1 approval by role:a",
        f"tightens: {change}; role:a may change less",
    ]


def test_what_is_demanded_is_compared_area_by_area_where_selectors_do_not_tell() -> None:
    before, after = (f"change: {{file: {one}}}, approvals: {{from: b}}" for one in ("'z/**'", "['y/**', z/only-this]"))
    assert rule_said(before, after) == [
        "loosens: rule 'n' no longer demands: 1 approval by role:b, for file z/**",
        "changes: rule 'n': change: file z/** -> file y/** or z/only-this",
        "tightens: rule 'n' newly demands: 1 approval by role:b, for file y/** or z/only-this",
    ]


def test_what_is_demanded_less_by_the_settings_is_said() -> None:
    rules = "rules:\n  - {name: n, change: {environment: prod}, approvals: {from: b}}\n"
    files = {"policy/roles.yml": ROLES, "policy/rules/x.yml": rules + "  - {name: p, change: {file: p/x}, allow: a}\n"}
    before, after = (
        _load.load(TreeOf({**files, "policy/settings.yml": f"environments: {{prod: {one}}}\n"}))
        for one in ("p/*", "q/*")
    )
    assert "loosens: rule 'n' no longer always demands: 1 approval by role:b, for file p/x" in said(before, after)


def test_more_than_can_be_compared_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever proposes a policy must not make its report endless."""
    before, after = policy(ALL, "{name: n, change: {file: x}, deny: r}"), policy(ALL)
    assert "loosens: role:a can newly change: file x" in said(before, after)
    monkeypatch.setattr(_deltas, "_MOST", 1)
    assert said(before, after) == [
        "loosens: no more rule 'n': denied: r, for file x",
        "changes: more is not as it was than can be compared area by area; who can newly change what is not said",
    ]

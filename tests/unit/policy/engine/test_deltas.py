# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of the policy loosens and tightens."""

from __future__ import annotations

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _deltas, _load, _owner_deltas
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
            # of an added mapping ">= old" says that there is nothing to compare it with, and "*" that it is no text
            ["changes: rule 'n': deny_unless: new >= old -> new *"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '>= 3'}}",
            f"{FIELD}, deny_unless: {{new: '*'}}",
            ["loosens: rule 'n': deny_unless: new >= 3 -> new *"],
        ),
        # 4.2 without quotes compares with 4 and not with 3.5, the number 3 with 1.37 and not with 1.36.2
        (
            f"{FIELD}, deny_unless: {{new: '>= 3.5'}}",
            f"{FIELD}, deny_unless: {{new: '>= 4'}}",
            ["changes: rule 'n': deny_unless: new >= 3.5 -> new >= 4"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '>= 1.36.2'}}",
            f"{FIELD}, deny_unless: {{new: '>= 1.37'}}",
            ["changes: rule 'n': deny_unless: new >= 1.36.2 -> new >= 1.37"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '>= 1.36'}}",
            f"{FIELD}, deny_unless: {{new: '>= 1.36.2'}}",
            ["tightens: rule 'n': deny_unless: new >= 1.36 -> new >= 1.36.2"],
        ),
        (
            f"{FIELD}, deny_unless: {{new: '> 1.9'}}",  # as versions the other way round than as quantities
            f"{FIELD}, deny_unless: {{new: '> 1.10'}}",
            ["changes: rule 'n': deny_unless: new > 1.9 -> new > 1.10"],
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
            [
                "loosens: rule 'n': denied to: role:a -> role:b; no longer to role:a",
                "changes: rule 'n': reason: r -> s",
                "tightens: rule 'n': denied to: role:a -> role:b; now to role:b",
            ],
        ),
        (
            f"{FILE}, deny: {{reason: r, to: anyone}}",
            f"{FILE}, deny: r",
            ["changes: rule 'n': denied to: anyone -> everybody"],
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
        ("{field: v, group: '!b'}", "{field: v, group: '!b,!c'}", "narrower"),
        # a kind has two names: with its group, and without
        ("object: {kind: '!Deployment.apps'}", "object: {kind: Deployment}", "unknown"),
        ("object: {kind: '!Deployment'}", "object: {kind: Deployment.apps}", "unknown"),
        ("object: {kind: '!Deployment'}", "object: {kind: '!Deployment,!Pod'}", "narrower"),
        ("object: {kind: 'Deployment,Pod'}", "object: {kind: Pod}", "narrower"),
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


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("deny: {reason: r, to: b}", "loosens: rule 'n' no longer demands: denied to role:b: r, for {}"),
        ("deny: r", "loosens: anyone can newly change: {}"),
        ("only: b", "loosens: anyone can newly change: {}"),
    ],
)
def test_of_whom_a_denial_is_no_longer_is_told_where_selectors_do_not_tell(part: str, expected: str) -> None:
    """Those to whom alone something is denied are not among the names of who can change it."""
    before, after = (
        policy(ALL.replace("allow: a", "allow: anyone"), f"{{name: n, change: {{{more}}}, {part}}}")
        for more in ("action: [added, changed, removed]", "action: [added, changed, removed], field: 'data.*', old: b")
    )
    assert expected.format("action added or changed or removed") in said(before, after)


def test_what_is_demanded_less_by_the_settings_is_said() -> None:
    rules = "rules:\n  - {name: n, change: {environment: prod}, approvals: {from: b}}\n"
    files = {"policy/roles.yml": ROLES, "policy/rules/x.yml": rules + "  - {name: p, change: {file: p/x}, allow: a}\n"}
    before, after = (
        _load.load(TreeOf({**files, "policy/settings.yml": f"environments: {{prod: {one}}}\n"}))
        for one in ("p/*", "q/*")
    )
    assert "loosens: rule 'n' no longer always demands: 1 approval by role:b, for file p/x" in said(before, after)


def roles(members: str, deny: str = "") -> Policy:
    files = {"policy/roles.yml": members, "policy/rules/x.yml": f"rules:\n  - {ALL}\n{deny}"}
    return _load.load(TreeOf(files))


def test_who_leaves_those_to_whom_something_is_denied_may_more() -> None:
    both = "roles: {a: {members: ['user:x']}, held: {members: %s}, inner: {members: %s}}\nteams: {t: %s}\n"
    full = both % ("['role:inner', 'team:T']", "['user:x']", "[y]")
    deny = "  - {name: d, change: {file: '**'}, deny: {reason: r, to: held}}\n"
    for gone, who in (
        (both % ("['team:T']", "['user:x']", "[y]"), "role:inner is {} in role held"),
        (both % ("['role:inner', 'team:T']", "[]", "[y]"), "user:x is {} in role inner"),
        (both % ("['role:inner', 'team:T']", "['user:x']", "[]"), "y is {} in team t"),
    ):
        before, after = roles(full, deny), roles(gone, deny)
        to = "to which something is denied"
        assert said(before, after) == [f"loosens: {who.format('no longer')}, {to}"]
        assert said(after, before) == [f"tightens: {who.format('now')}, {to}"]
        # where nothing is denied to them, it is as with every role
        assert said(roles(full), roles(gone)) == [f"tightens: {who.format('no longer')}"]
    allow = deny + "  - {name: e, change: {file: x}, allow: held}\n"
    assert said(roles(full, allow), roles(both % ("['team:T']", "['user:x']", "[y]"), allow)) == [
        "loosens: role:inner is no longer in role held, to which something is denied",
        "tightens: role:inner is no longer in role held",
    ]


def test_who_can_newly_change_what_goes_by_the_roles_that_somebody_has_by_another() -> None:
    """Whoever is in a role by another could change it before, and is denied what is denied to that role."""
    members = (
        "roles: {a: {members: []}, d: {members: ['role:b']}, b: {members: ['user:y', 'team:t']}, "
        "everybody: {members: [anyone]}}\n"
    )

    def names(before: str, after: str, deny: str = "") -> list[str]:
        rules = [f"  - {{name: z, change: {{file: 'z/**'}}, allow: {one}}}\n{deny}" for one in (before, after)]
        return [one for one in said(*(roles(members, rule) for rule in rules)) if " can " in one]

    for more in ("role:b", "user:y", "team:t"):
        assert names("[d]", f"[d, '{more}']") == []
    assert names("[b]", "[b, d]") == ["loosens: role:d can newly change: file z/**"]
    assert names("everybody", "[everybody, anyone, b]") == []
    for to in ("d", "everybody", "anyone"):
        deny = f"  - {{name: n, change: {{file: z/w}}, deny: {{reason: r, to: {to}}}}}\n"
        assert names("a", "[a, 'user:y']", deny) == ["loosens: user:y can newly change: file z/**"]


def test_a_team_that_the_policy_takes_from_the_forge_is_said() -> None:
    """Who is in it by the forge's word is known to nobody here: they may be in it no longer, or newly."""
    forge = "roles: {a: {members: ['team:t']}}\n"
    own = forge + "teams: {t: [x]}\n"
    assert said(roles(forge), roles(own)) == [
        "loosens: x is now in team t",
        "changes: who is in team t is for the policy to say now, not for the forge",
    ]
    assert said(roles(own), roles(forge)) == [
        "changes: who is in team t is for the forge to say now, not for the policy",
        "tightens: x is no longer in team t",
    ]
    assert said(roles(own), roles(forge + "teams: {T: [x]}\n")) == []  # case tells nothing


def owned(how: str, owners: str, place: str = "CODEOWNERS", change: str = "") -> tuple[Policy, TreeOf]:
    rule = f"{{name: o, {change}codeowners: {how}}}"
    files = {place: owners, "a/x": "1", "a/y": "1", "b/z": "1", **{f"c/{n}": "1" for n in range(5)}}
    tree = TreeOf({**files, "policy/roles.yml": ROLES, "policy/rules/x.yml": f"rules:\n  - {ALL}\n  - {rule}\n"})
    return _load.load(tree), tree


def test_whose_files_are_newly_by_codeowners_is_said() -> None:
    old, new = "/a/ @x @y\n/b/ @x\n", "/a/ @x @org/t\n/c/ @y\n"

    def told(how: str, before: str, after: str, *, places: tuple[str, str] = ("CODEOWNERS",) * 2) -> list[str]:
        (one, tree), (other, there) = owned(how, before, places[0]), owned(how, after, places[1])
        return [f"{one.direction}: {one.message}" for one in _deltas.compare(one, other, (tree, there))]

    another = "changes: CODEOWNERS says otherwise whose files are, those to come too"
    assert told("change", old, new) == [
        "loosens: team:org/t can newly change as a code owner: a/x, a/y",
        "loosens: user:y can newly change as a code owner: c/0, c/1, c/2 and 2 more",
        another,
        "tightens: user:x can no longer change as a code owner: b/z",
        "tightens: user:y can no longer change as a code owner: a/x, a/y",
    ]
    assert told("approve", old, new) == [
        "loosens: approval by code owners is no longer wanted: b/z",
        "loosens: team:org/t newly counts as a code owner who approves: a/x, a/y",
        another,
        "tightens: approval by code owners is newly wanted, by user:y: c/0, c/1, c/2 and 2 more",
        "tightens: user:y no longer counts as a code owner who approves: a/x, a/y",
    ]
    assert told("change", old, "# in other words\n\n" + old) == []
    # another file is taken
    moved = told("change", "* @x\n", "* @y\n", places=("CODEOWNERS", ".github/CODEOWNERS"))
    assert "loosens: user:y can newly change as a code owner: .github/CODEOWNERS, CODEOWNERS, a/x and 9 more" in moved


def test_whose_files_are_is_said_only_of_what_rules_are_about() -> None:
    for change, told in (("change: {file: 'b/**'}, ", False), ("change: {environment: prod}, ", True), ("", True)):
        sides = [owned("change", text, change=change) for text in ("/a/ @x\n", "/a/ @x @y\n")]
        found = _deltas.compare(sides[0][0], sides[1][0], (sides[0][1], sides[1][1]))
        assert any(one.direction == "loosens" for one in found) is told


def test_a_codeowners_file_too_long_to_compare_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_owner_deltas, "_MOST", 1)
    sides = [owned("change", text) for text in ("/a/ @x\n", "/a/ @x @y\n")]
    found = [one.message for one in _deltas.compare(sides[0][0], sides[1][0], (sides[0][1], sides[1][1]))]
    assert "CODEOWNERS is too long to be compared for each file; whose they newly are is not said" in found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("identity: {services: []}", "", "loosens: web-flow now counts as the forge itself where it is the committer"),
        (
            "render: {network_namespace: required}",
            "",
            "loosens: Kustomize and Helm run also without a network namespace of their own",
        ),
        (
            "",
            "render: {network_namespace: required}",
            "tightens: Kustomize and Helm only run in a network namespace of their own",
        ),
        ("", "plain: ['a/**', b]", "changes: files that are judged by their path alone: none -> a/**,b"),
        ("", "environments: {prod: 'a/**'}", "changes: environments: none -> {'prod': a/**}"),
        ("inventories: {directory: x}", "", "changes: the directory of inventories: x -> inventories"),
        ("inventories: {base: x}", "", "changes: the inventory that all share: x -> base"),
        ("", "render: {roots: [a]}", "changes: directories to render: none -> ('a',)"),
        ("", "cluster_scoped: [Widget.x]", "changes: the kind Widget.x now counts as being in no namespace"),
    ],
)
def test_what_settings_do_is_said_one_by_one(before: str, after: str, expected: str) -> None:
    sides = (
        _load.load(TreeOf({"policy/roles.yml": ROLES, "policy/settings.yml": one or "{}"})) for one in (before, after)
    )
    assert said(*sides) == [expected]


def test_more_than_can_be_compared_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever proposes a policy must not make its report endless."""
    before, after = policy(ALL, "{name: n, change: {file: x}, deny: r}"), policy(ALL)
    assert "loosens: role:a can newly change: file x" in said(before, after)
    monkeypatch.setattr(_deltas, "_MOST", 1)
    assert said(before, after) == [
        "loosens: no more rule 'n': denied: r, for file x",
        "changes: more is not as it was than can be compared area by area; who can newly change what is not said",
    ]

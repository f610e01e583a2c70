# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Policy files are read strictly: each mistake is said with its file and line, all of them at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import RulesError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import OFF, Policy

from tests.unit.policy.engine.test_understand import TreeOf

ROLES = "roles:\n  ops: {members: [team:platform]}\n  devs: {members: [team:shop]}\n"
RULE = "rules:\n  - name: a\n    change: {file: '**'}\n    allow: ops\n"


def load(**files: Any) -> Policy:
    """The policy of these files; names without a folder are rules."""
    known = {"roles": "policy/roles.yml", "settings": "policy/settings.yml", "rules": "policy/rules/a.yml"}
    named = {known.get(name, name): content for name, content in {"roles": ROLES, "rules": RULE, **files}.items()}
    return _load.load(TreeOf(named))


def problems(**files: Any) -> list[str]:
    with pytest.raises(RulesError) as caught:
        load(**files)
    return [str(one) for one in caught.value.problems]


def rule(body: str) -> str:
    """A rules file whose only rule has this body from line 3 on."""
    return "rules:\n  - name: a\n" + "".join(f"    {line}\n" for line in body.splitlines())


ALLOW = "\nallow: ops"


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("change: {file: a}", 2, "the rule says nothing of a change; it has one of allow, only, approvals"),
        ("allow: ops", 2, "the rule does not say which change it is about"),
        ("chnage: {file: a}" + ALLOW, 3, "a rule has no 'chnage'; do you mean 'change'?"),
        ("change: {flie: a}" + ALLOW, 3, "change has no 'flie'; do you mean 'file'?"),
        ("change: x" + ALLOW, 3, "change is no mapping"),
        ("change:\n  file:" + ALLOW, 4, "file is empty; write what it selects, or take it away"),
        ("change:\n  object:\n    kid: Pod" + ALLOW, 5, "object has no 'kid'; do you mean 'kind'?"),
        ("change:\n  - {file: a}\n  - {file: 'a['}" + ALLOW, 5, "'a[' has a [ without its ]"),
        ("change: {file: ../a}" + ALLOW, 3, "write the path from the top of the repository"),
        ("change: {field: 'a[b]'}" + ALLOW, 3, "field 'a[b]'"),
        ("change: {field: a, new: {size: 1}}" + ALLOW, 3, "new wants one of absent, version"),
        ("change: {file: a}\nallow: op", 4, "there is no role 'op'; do you mean 'ops'?"),
        ("change: {file: a}\nallow:\n  any:\n    - ops\n    - nobody", 7, "there is no role 'nobody'"),
        ("change: {file: a}\nallow: {some: [ops]}", 4, "who has no 'some'"),
        ("change: {file: a}\nallow: 'user:a\u200bb'", 4, "characters that do not show"),
        ("change: {file: a}\nonly: ops\nallow: ops", 4, "a rule has allow or only, not both"),
        ("change: {file: a}\napprovals: {count: 0, from: ops}", 4, "count is 0; it is a number from 1 on"),
        ("change: {file: a}\napprovals: {count: 1}", 4, "approvals: say from whom"),
        ("change: {file: a}\ndeny: ' '", 4, "deny is no text"),
        ("change: {file: a}\ndeny:", 4, "deny is no mapping"),
        ("change: {field: a}\ndeny_unless: {}", 4, "deny_unless says what must hold"),
        ("change: {file: a}\ndeny_unless: {new: 1}", 4, "deny_unless compares the values of a field"),
        ("require: {pss: strict}", 3, "strict"),
        ("require:\n  - pss: baseline\n  - object: {kind: Pod}", 5, "require names a check: "),
        ("require: {pss: baseline, namespace: x}", 3, "require has no 'namespace'"),
        ("require: {file: a, document: false, rego: policy/a.rego}", 3, "document is true, or not there"),
        ("require: {document: true, rego: policy/a.rego}", 3, "say which by file"),
        ("require: {file: a, object: {kind: x}, document: true, rego: policy/a.rego}", 3, "and not by object"),
        ("require: {file: a, document: true, pss: baseline}", 3, "pss is for objects; documents are for rego"),
        *(
            (f"change: {{{part}}}\nrequire: {{file: a, document: true, rego: policy/a.rego}}", 3, "is a whole file")
            for part in ("object: {kind: x}", "field: a", "group: a", "host: a", "type: variable")
        ),
        ("require: {pss: baseline}\nseverity: info", 4, "severity is 'info'; it is one of prohibit, warn"),
        ("require: {pss: baseline}\nexisting: true", 4, "existing is True"),
        ("change: {file: a}\nallow: ops\nseverity: warn", 2, "severity and existing are for rules with require"),
        ("codeowners: {owners: approve, file: OWNERS}", 3, "there is no file OWNERS"),
        ("codeowners: ask", 3, "codeowners is 'ask'"),
    ],
)
def test_a_rule_that_is_wrong(body: str, line: int, message: str) -> None:
    found = problems(rules=rule(body))
    assert any(one.startswith(f"policy/rules/a.yml:{line}: ") and message in one for one in found), found
    assert len(found) <= 2  # a word that is not known is missed as well


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        ("{approved_by: 'user:x', reason: r}", "until is a date"),
        ("{until: 2026-02-30, approved_by: 'user:x', reason: r}", "until is a date"),
        ("{until: '2026-02-03T10:00:00', approved_by: 'user:x', reason: r}", "until is a date"),
        ("{until: 2026-02-03, reason: r}", "approved_by is no text"),
        ("{until: 2026-02-03, approved_by: ops, reason: r}", "approved_by names the person"),
        ("{until: 2026-02-03, approved_by: 'user: x', reason: r}", "approved_by names the person"),
        ("{until: 2026-02-03, approved_by: 'user:x'}", "reason is no text"),
        ("{until: 2026-02-03, approved_by: 'user:x', reason: r, for: ops}", "an exception has no 'for'"),
        ("{until: 2026-02-03, approved_by: 'user:x', reason: r, change: {}}", "change is empty"),
    ],
)
def test_an_exception_that_is_wrong(exception: str, message: str) -> None:
    said = problems(rules=rule(f"change: {{file: a}}\ndeny: r\nexceptions:\n  - {exception}"))
    assert all(one.startswith("policy/rules/a.yml:6: ") for one in said)
    assert any(message in one for one in said), said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"roles": None}, ["policy/roles.yml: is missing; it says who is who"]),
        ({"roles": "roles: ["}, ["policy/roles.yml:2: is not YAML"]),
        ({"roles": ""}, ["policy/rules/a.yml:4: there is no role 'ops'; there is none"]),
        ({"roles": "roles: {}\n"}, ["policy/rules/a.yml:4: there is no role 'ops'; there is none"]),
        ({"roles": "roles: {ops: {members: [role:ops]}}\n"}, ["policy/roles.yml:1: role ops is a member of itself"]),
        (
            {"roles": "roles:\n  a: {members: [role:b]}\n  b: {members: [role:a]}\n", "rules": "rules: []\n"},
            ["policy/roles.yml:2: role a is a member of itself", "policy/roles.yml:3: role b is a member of itself"],
        ),
        ({"roles": "roles:\n  ops:\n    members: [role:c]\n"}, ["policy/roles.yml:3: there is no role 'c'"]),
        ({"roles": "teams: {}\nteams: {}\n" + ROLES}, ["policy/roles.yml:2: key 'teams' is there already, at line 1"]),
        ({"rules": RULE + "---\n" + RULE}, ["policy/rules/a.yml:6: a second document"]),
        ({"rules": RULE + RULE[7:]}, ["policy/rules/a.yml:5: rule 'a' is there already, at policy/rules/a.yml:2"]),
        ({"policy/rules/b.yaml": RULE}, ["policy/rules/b.yaml:2: rule 'a' is there already, at policy/rules/a.yml:2"]),
        ({"policy/rules/b.txt": "x"}, ["policy/rules/b.txt: is no .yml file, so its rules would not be read"]),
        (
            {"policy/rules/b.yml": ("120000", "a.yml")},
            ["policy/rules/b.yml: is no plain", "policy/rules/b.yml: policy/"],
        ),
        ({"rules": b"rules: \xff"}, ["policy/rules/a.yml:1: is not UTF-8 text"]),
        ({"rules": "x" * 1_100_000}, ["policy/rules/a.yml:1: is larger than"]),
        ({"settings": "plan: [x]"}, ["policy/settings.yml:1: the file has no 'plan'; do you mean 'plain'?"]),
        ({"settings": "checks:\n  upgrades: warn"}, ["policy/settings.yml:2: checks has no 'upgrades'; do you mean"]),
        ({"settings": "checks:\n  schema: info"}, ["policy/settings.yml:2: check schema is 'info'; it is one of"]),
        ({"settings": "exceptions:\n  longest: 0"}, ["policy/settings.yml:2: longest is 0; it is a number of days"]),
        ({"settings": "render:\n  charts:\n    c: x"}, ["policy/settings.yml:3: c is no list"]),
    ],
)
def test_files_that_are_wrong(files: dict[str, Any], said: list[str]) -> None:
    found = problems(**files)
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True)), found


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(
        roles="roles: {ops: {members: [bare]}}\nowner: ops\n",
        settings="plain: []\n",
        rules=rule("change: {fil: a}\nallow: nobody"),
    )
    assert [one.split(": ")[0] for one in found] == [
        "policy/roles.yml:1",
        "policy/roles.yml:2",
        "policy/rules/a.yml:3",
        "policy/rules/a.yml:4",
        "policy/settings.yml:1",
    ]


def test_no_policy() -> None:
    assert problems(roles=None, rules=None) == [
        "policy: there is no policy; add policy/roles.yml and policy/rules/*.yml to the target branch"
    ]


def test_a_readme_and_other_files_beside_the_rules() -> None:
    more = {
        "policy/rules/README.md": "# Rules",
        "policy/rego/a.rego": "package a",
        "policy/tests/a.yml": "not read here: [",
    }
    found = load(**more)
    assert [one.name for one in found.rules] == ["a"]
    assert set(more) < set(found.files)


def test_the_digest_is_of_every_file() -> None:
    one = load()
    assert load().digest == one.digest != ""
    others = (
        {"rules": RULE + "# a comment\n"},
        {"policy/rego/a.rego": "package a"},
        {"policy/rules/b.yml": "rules: []"},
        {"rules": ("100755", RULE)},
    )
    assert len({one.digest, *(load(**files).digest for files in others)}) == 5
    assert load(**{"README.md": "x"}).digest == one.digest


def test_what_is_read_of_everything() -> None:
    found = load(
        roles=ROLES + "owners: {all: [ops, 'user:olga']}\nteams: {shop: [mona]}\npeople: {mona: M@example.org}\n",
        settings=(
            "identity: {commits: signed, services: [bot]}\ninventories: {directory: /inv/, base: all}\n"
            "environments: {prod: 'p/**'}\nplain: 'docs/**'\n"
            "render: {roots: [/k/], charts: {c/: [[v.yaml]]}, network_namespace: required}\n"
            "cluster_scoped: Tenant\nchecks: {schema: off, upgrade: warn}\n"
        ),
    )
    assert str(found.owners) == "role:ops and user:olga"
    assert (found.teams, found.people) == ({"shop": ("mona",)}, {"mona": ("M@example.org",)})
    settings, layout = found.settings, found.settings.layout
    assert settings.identity == ("signed", ("bot",)) and settings.cluster_scoped == {"Tenant"}
    assert layout.isolated and not load().settings.layout.isolated
    assert (layout.inventories, layout.base, layout.roots, layout.values) == (
        "inv",
        "all",
        ("k",),
        {"c": (("v.yaml",),)},
    )
    assert layout.environment("p/x") == "prod" and layout.plain is not None and layout.plain.matches("docs/a/b")
    assert [settings.check(name) for name in ("schema", "upgrade", "immutable")] == [OFF, "warn", "prohibit"]


@pytest.mark.parametrize(
    ("rules", "roles", "known"),
    [
        ("rules: [", ROLES + "owners: ops\n", True),
        ("rules: [", ROLES, False),
        (RULE, "roles: [", False),
        (RULE, ROLES + "owners: nobody\n", False),
    ],
)
def test_the_owners_of_a_broken_policy(rules: str, roles: str, known: bool) -> None:
    found = _load.owners(TreeOf({"policy/roles.yml": roles, "policy/rules/a.yml": rules}))
    assert (found is not None) is known
    assert not known or str(found.owners) == "role:ops"  # type: ignore[union-attr] # known says that it is there


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-12-31", datetime(2026, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2026-12-31T12:00:00Z", datetime(2026, 12, 31, 12, tzinfo=UTC)),
        ("2026-12-31T12:00:00+02:00", datetime(2026, 12, 31, 10, tzinfo=UTC)),
        ("2026-12-31T12:00:00", None),  # whose clock?
        ("2026-13-01", None),
        ("20261231", None),
        ("tomorrow", None),
        ("", None),
        (20261231, None),
        (None, None),
    ],
)
def test_moments(value: Any, moment: datetime | None) -> None:
    assert _load.moment(value) == moment


@pytest.mark.parametrize(
    ("login", "wrong"),
    [
        ("mona", ""),
        ("m.ona-2_x", ""),
        ("b\u00f6rje", ""),
        ("", "blanks"),
        (" mona", "blanks"),
        ("mo na", "blanks"),
        ("mona\n", "blanks"),
        ("mo\u200bna", "do not show"),
        ("mo\u202ena", "do not show"),
        ("\uff4dona", "write 'mona'"),
        ("bo\u0308rje", "write 'b\u00f6rje'"),
    ],
)
def test_logins(login: str, wrong: str) -> None:
    found = _load.login_problem(login)
    assert bool(found) is bool(wrong) and wrong in found

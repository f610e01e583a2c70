# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Policy tests: whether a change is permitted, and what the whole verdict on files says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _tests
from ansible_collections.weft.platform.plugins.plugin_utils._policy.__main__ import main
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError

from tests.unit.policy.engine.test_judge import START, VERSION

NOW = datetime(2026, 6, 1, tzinfo=UTC)
STANDARD = "rules:\n  - {name: pods are restricted, require: {object: {kind: Pod}, pss: restricted}}\n"
GOOD = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def pod(name: str = "p", **security: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "registry.example.org/a:1", "securityContext": {**GOOD, **security}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [container]},
    }


def outcomes(repo: Any, *tests: dict[str, Any]) -> list[_tests.Outcome]:
    common = {"by": "mona", "teams": {"shop": ["mona"], "platform": ["olga", "otto"]}, "expect": "permitted"}
    text = yaml.safe_dump(
        {"tests": [{"name": str(number), **common, **one} for number, one in enumerate(tests)]}, sort_keys=False
    )
    commit = repo.commit({**START, "policy/rules/standard.yml": STANDARD, "policy/tests/a.yml": text})
    with Repository(str(repo.path), commit) as repository:
        return _tests.run_all(repository.tree(commit), NOW)


def files(**more: Any) -> dict[str, Any]:
    return {"change": {"files": {"apps/shop/pod.yaml": pod(**more)}}}


EVERYTHING = {"change": {"file": "**"}, "allow": "anyone"}
PRIVILEGED = {
    "rule": "pods are restricted",
    "severity": "prohibit",
    "message": "*privileged*",
    "file": "apps/*/pod.yaml",
}


@pytest.mark.parametrize(
    "test",
    [
        files(),
        {**files(), "findings": []},
        {**files(privileged=True), "expect": "prohibited"},
        {**files(privileged=True), "expect": "prohibited", "findings": [PRIVILEGED]},
        # who may not is said by the same verdict
        {**files(), "by": "eve", "expect": "prohibited", "findings": [{"message": "eve may not*"}]},
        # text, several objects, and what is not valid
        {
            "change": {"files": {"apps/shop/x.yaml": "kind: ConfigMap\nkind: Secret\n"}},
            "by": "olga",
            "expect": "prohibited",
            "findings": [{"rule": "yaml"}, {"message": "no rule allows olga*"}],
        },
        {
            "change": {"files": {"apps/shop/x.yaml": [pod("a"), {**pod("b"), "spec": {}}]}},
            "expect": "prohibited",
            "findings": [{"rule": "schema", "message": "*containers*missing*"}],
        },
        {
            "change": {"files": {"apps/shop/twice.yaml": START["apps/shop/web.yaml"]}},
            "expect": "prohibited",
            "findings": [{"rule": "duplicate-object"}],
        },
        # what there is already does not prohibit, and is said
        {
            "given": {"apps/shop/pod.yaml": pod(privileged=True)},
            "change": {
                "files": {"apps/shop/pod.yaml": pod(privileged=True, capabilities={"drop": ["ALL"], "add": []})}
            },
            "findings": [{"severity": "warn", "message": "*privileged*"}],
        },
        # a file that goes, and one that the test's commit does not have
        {"change": {"files": {"apps/shop/web.yaml": None}}, "findings": []},
        {"given": {"apps/shop/old.yaml": pod("old")}, "change": {"files": {"apps/shop/old.yaml": None}}},
        # inventories, people and approvals as in a real verdict
        {
            "change": {"files": {VERSION: {"cluster_kubernetes_version": "1.38.0"}}},
            "by": "olga",
            "approvals": ["otto"],
            "expect": "prohibited",
            "findings": [{"rule": "upgrade", "message": "*skips*"}],
        },
        {
            "change": {"files": {VERSION: {"cluster_kubernetes_version": "1.37.0"}}},
            "by": "olga",
            "approvals": ["otto"],
            "findings": [],
        },
        # rules in force are those of the commit, not those that the test's change brings
        {
            "change": {"files": {"policy/rules/mine.yml": {"rules": [{"name": "x", **EVERYTHING}]}}},
            "expect": "prohibited",
        },
    ],
)
def test_what_is_as_expected(repo: Any, test: dict[str, Any]) -> None:
    assert outcomes(repo, test) == [("0", True, "it is as expected", "policy/tests/a.yml")]


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ({**files(), "expect": "prohibited"}, "nothing stands in the way"),
        (files(privileged=True), 'violates Pod Security "restricted:latest": privileged'),
        ({**files(), "findings": [{"rule": "x", "message": "y"}]}, "nothing says rule: x, message: y"),
        ({**files(privileged=True), "expect": "prohibited", "findings": []}, "not expected: pods are restricted: "),
        (
            {**files(privileged=True), "expect": "prohibited", "findings": [{**PRIVILEGED, "file": "other/*"}]},
            "nothing says rule: pods are restricted",
        ),
        ({"change": {"file": "README.md", "after": "x"}}, "no rule allows mona this change"),
    ],
)
def test_what_is_not_as_expected(repo: Any, test: dict[str, Any], why: str) -> None:
    ((_name, passed, said, _file),) = outcomes(repo, test)
    assert not passed and why in said


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"change": {"files": {"../x": ""}}}, "'../x' is no path"),
        ({"change": {"files": {"/x": ""}}}, "'/x' is no path"),
        ({"change": {"files": []}}, "files and given are mappings"),
        ({**files(), "given": None}, "files and given are mappings"),
        ({"change": {"files": {"x": 1}}}, "a content is text"),
        ({"change": {"files": {}, "file": "x"}}, "wants name, change"),
        ({"change": {"file": "x"}, "given": {}}, "wants name, change"),
        ({"change": {"file": "x"}, "findings": []}, "wants name, change"),
        ({"change": None}, "wants name, change"),
        ({**files(), "findings": {}}, "findings is no list"),
        ({**files(), "findings": [{}]}, "a finding has patterns of rule, severity, message, file"),
        ({**files(), "findings": [{"line": "1"}]}, "a finding has patterns"),
        ({**files(), "findings": [{"rule": "[a"}]}, "test '0': "),
        ({**files(), "expect": "allowed"}, "wants name, change"),
        # nobody has such a name, so that anything is prohibited
        ({**files(), "by": "user:mona"}, "'user:mona' is no login"),
        ({**files(), "by": "role:application-developers"}, "is no login"),
        ({**files(), "by": "mona "}, "has blanks"),
        ({**files(), "committers": ["team:shop"]}, "'team:shop' is no login"),
        ({**files(), "pushers": ["team:shop"]}, "'team:shop' is no login"),
        ({**files(), "approvals": [{"login": "user:otto"}]}, "'user:otto' is no login"),
        ({**files(), "teams": {"shop": ["user:mona"]}}, "'user:mona' is no login"),
        # no change at all, or none that there could be
        ({"change": {"files": {}}}, "its files change nothing"),
        ({"change": {"files": {"README.md": "hello\n"}}}, "its files change nothing"),
        ({"given": {"x": "y"}, "change": {"files": {"x": "y"}}}, "its files change nothing"),
        ({"change": {"files": {"README": None}}}, "there is no file README that could go"),
        ({"change": {"file": "../x", "after": 1}}, "'../x' is no path"),
        ({"change": {"file": "x", "before": "a", "after": "a"}}, "before and after are the same"),
        ({"change": {"file": VERSION, "variable": "x"}}, "before and after are the same"),
        ({"change": {"file": "group_vars/all.yml", "variable": "x", "after": 1}}, "is not in inventories/"),
        ({"change": {"file": "x", "group": "workers", "after": 1}}, "group and host are those of a variable"),
        ({"change": {"file": VERSION, "object": True, "variable": "x", "after": 1}}, "of an object or of a variable"),
        ({"change": {"file": "apps/x", "object": True}}, "before and after of an object are objects"),
        ({"change": {"file": "apps/x", "object": True, "after": "x"}}, "before and after of an object are objects"),
        (
            {"change": {"file": "apps/x", "object": True, "after": {**pod(), "kind": None}}},
            "before and after of an object are objects",
        ),
        (
            {"change": {"file": "apps/x", "object": True, "before": pod("a"), "after": pod("b")}},
            "a change is of one",
        ),
    ],
)
def test_what_is_no_test(repo: Any, test: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        outcomes(repo, test)
    assert message in str(caught.value)


def test_tests_do_not_see_each_other(repo: Any) -> None:
    found = outcomes(repo, files(), {**files(privileged=True), "expect": "prohibited"}, files())
    assert [one.passed for one in found] == [True, True, True]


@pytest.mark.parametrize(
    ("rules", "by", "approvals", "expect"),
    [
        ("{name: owners, change: {file: '**'}, codeowners: change}", "carl", [], "permitted"),
        ("{name: owners, change: {file: '**'}, codeowners: change}", "mona", [], "prohibited"),
        ("{name: all, change: {file: '**'}, allow: anyone}, {name: o, codeowners: approve}", "mona", [], "prohibited"),
        (
            "{name: all, change: {file: '**'}, allow: anyone}, {name: o, codeowners: approve}",
            "mona",
            ["carl"],
            "permitted",
        ),
    ],
)
def test_code_owners_count_in_tests_of_a_single_change(
    repo: Any, rules: str, by: str, approvals: list[str], expect: str
) -> None:
    test = {"name": "t", "change": {"file": "README.md", "before": "a", "after": "b"}, "by": by, "expect": expect}
    given = {"policy/rules/platform.yml": f"rules: [{rules}]\n", "CODEOWNERS": "* @carl\n"}
    tests = yaml.safe_dump({"tests": [{**test, "approvals": approvals}]})
    commit = repo.commit({**START, **given, "policy/tests/a.yml": tests})
    with Repository(str(repo.path), commit) as repository:
        (outcome,) = _tests.run_all(repository.tree(commit), NOW)
    assert outcome.passed, outcome


UPGRADE = {"change": {"file": VERSION, "variable": "cluster_kubernetes_version", "before": "1.36", "after": "1.37"}}
EXCEPTED = """\
rules:
  - {name: all, change: {file: "**"}, allow: anyone}
  - name: frozen
    change: {file: docs/x}
    deny: it is frozen
    exceptions: [{until: 2026-03-31, approved_by: "user:olga", reason: once}]
"""


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ({**UPGRADE, "by": "olga", "approvals": ["otto"]}, ""),
        # an approval of an older head does not count, nor one of who is behind the change
        (
            {**UPGRADE, "by": "olga", "approvals": [{"login": "otto", "stale": True}]},
            "needs 1 approval",
        ),
        (
            {
                **UPGRADE,
                "by": "olga",
                "approvals": [{"login": "otto", "stale": False}, {"login": "eve", "stale": True}],
            },
            "",
        ),
        ({**UPGRADE, "by": "olga", "approvals": ["otto"], "committers": ["otto"]}, "needs 1 approval"),
        ({**UPGRADE, "by": "olga", "approvals": ["otto"], "pushers": ["otto"]}, "needs 1 approval"),
        # everybody behind it must be permitted
        ({**UPGRADE, "by": "olga", "approvals": ["otto"], "committers": ["mona"]}, "mona may not"),
        ({**UPGRADE, "by": "olga", "approvals": ["otto"], "pushers": ["mona"]}, "mona may not"),
        ({**files(), "pushers": ["eve"]}, "eve may not"),
    ],
)
def test_people_behind_and_approvals(repo: Any, test: dict[str, Any], why: str) -> None:
    (outcome,) = outcomes(repo, {**test, "expect": "prohibited" if why else "permitted"})
    assert outcome.passed, outcome
    (outcome,) = outcomes(repo, {**test, "expect": "permitted" if why else "prohibited"})
    assert not outcome.passed and why in outcome.why


@pytest.mark.parametrize(
    ("now", "expect"),
    [
        ("2026-03-31", "permitted"),
        ("2026-03-31T23:59:00Z", "permitted"),
        ("2026-04-01T00:30:00+01:00", "permitted"),
        ("2026-04-01", "prohibited"),
        (None, "prohibited"),  # the time of the run
    ],
)
@pytest.mark.parametrize(
    "change", [{"file": "docs/x", "before": "a", "after": "b"}, {"files": {"docs/x": "b"}}], ids=["change", "files"]
)
def test_a_test_has_a_time_of_its_own(repo: Any, change: dict[str, Any], now: str | None, expect: str) -> None:
    test = {"name": "t", "change": change, "by": "mona", "expect": expect, **({"now": now} if now else {})}
    rules = {"policy/rules/platform.yml": EXCEPTED}
    commit = repo.commit({**START, **rules, "policy/tests/a.yml": yaml.safe_dump({"tests": [test]})})
    with Repository(str(repo.path), commit) as repository:
        (outcome,) = _tests.run_all(repository.tree(commit), NOW)
    assert outcome.passed, outcome


def test_a_date_that_is_not_quoted_is_a_time_as_well(repo: Any) -> None:
    text = "tests: [{name: t, change: {file: docs/x, after: b}, by: mona, now: 2026-03-01, expect: permitted}]\n"
    commit = repo.commit({**START, "policy/rules/platform.yml": EXCEPTED, "policy/tests/a.yml": text})
    with Repository(str(repo.path), commit) as repository:
        assert _tests.run_all(repository.tree(commit), NOW)[0].passed


NAMED = """\
tests:
  - {name: the readme may change, by: mona, expect: permitted, change: {file: README.md, after: x}}
  - {name: "docs <&> may [not]", by: mona, expect: permitted, change: {file: docs/x, after: x}}
  - {name: "a * b", by: mona, expect: prohibited, change: {file: docs/x, after: x}}
"""


@pytest.fixture
def named(repo: Any) -> list[str]:
    """The command line for a repository with these tests."""
    repo.commit({**START, "policy/rules/platform.yml": EXCEPTED, "policy/tests/a.yml": NAMED}, branch="main")
    return ["test", "--repository", str(repo.path), "--commit", "main"]


@pytest.mark.parametrize(
    ("run", "names", "code"),
    [
        ([], ["the readme may change", "docs <&> may [not]", "a * b"], 1),
        (["the readme may change"], ["the readme may change"], 0),
        (["*may*"], ["the readme may change", "docs <&> may [not]"], 1),
        (["a * b", "the *"], ["the readme may change", "a * b"], 0),
        (["docs <&> may [not]"], ["docs <&> may [not]"], 1),  # as it is written, whatever it would mean as a pattern
    ],
)
def test_only_tests_of_a_name_are_run(
    named: list[str], run: list[str], names: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*named, "--format", "json", *(word for name in run for word in ("--run", name))]
    assert main(arguments) == code
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["tests"]] == names
    assert {one["file"] for one in said["tests"]} == {"policy/tests/a.yml"}
    assert said["failed"] == (1 if code else 0)


@pytest.mark.parametrize(("name", "message"), [("nothing", "there is no test 'nothing'"), ("[a", "'[a' has a [")])
def test_a_name_of_no_test_is_an_error(
    named: list[str], name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*named, "--run", "the *", "--run", name]) == 2
    assert message in capsys.readouterr().err


def test_outcomes_in_junit(named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*named, "--format", "junit"]) == 1
    (suite,) = ElementTree.fromstring(capsys.readouterr().out)
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    cases = {case.get("name"): case for case in suite}
    assert {case.get("classname") for case in suite} == {"policy/tests/a.yml"}
    (failure,) = cases["docs <&> may [not]"]
    assert failure.tag == "failure" and "it is frozen" in str(failure.get("message"))
    assert list(cases["a * b"]) == []


def test_a_team_of_which_a_test_says_nothing_is_told_so(repo: Any) -> None:
    change = {"file": "inventories/prod/group_vars/cluster.yml", "variable": VERSION, "before": "1", "after": "2"}
    (one,) = outcomes(repo, {"change": change, "teams": {"shop": ["mona"]}})
    assert not one.passed and "the test does not say who is in team platform; add it to its teams" in one.why


BROKEN = "kind: ConfigMap\nkind: Secret\n"
NOT_MEANT = "prohibited, but not for what it asks"


@pytest.mark.parametrize(
    ("test", "why"),
    [
        # whether olga is in a team that is written wrongly cannot be told
        ({**UPGRADE, "by": "olga", "teams": {"platfrom": ["olga"], "shop": []}}, "who is in team platform"),
        ({**files(), "teams": {"shpo": ["mona"], "platform": []}}, "who is in team shop"),
        ({**UPGRADE, "by": "olga", "approvals": ["eve"], "teams": {}}, "who is in team platform"),
        ({"change": {"files": {"apps/shop/x.yaml": BROKEN}}}, "apps/shop/x.yaml"),
        ({"change": {"files": {"apps/shop/x.yaml": "a: [1"}}}, ""),
        (
            {**files(), "given": {"policy/rules/a.yml": "rules: [{name: x}]"}},
            "the policy of the target branch is broken",
        ),
        ({"change": {"files": {"policy/rules/a.yml": "rules: [{name: x}]"}}}, "says nothing of a change"),
        (
            {**files(), "given": {"policy/rules/a.yml": "rules: [{name: x, change: {file: x}, allow: ops}]"}},
            "no role 'ops'",
        ),
    ],
)
def test_a_mistake_in_a_test_is_no_prohibition_that_it_expects(repo: Any, test: dict[str, Any], why: str) -> None:
    (outcome,) = outcomes(repo, {**test, "expect": "prohibited"})
    assert not outcome.passed and outcome.why.startswith(NOT_MEANT) and why in outcome.why


def test_a_rule_may_be_called_as_what_is_broken(repo: Any) -> None:
    own = {"policy/rules/own.yml": {"rules": [{"name": "yaml", "change": {"file": "docs/*"}, "deny": "no"}]}}
    test = {"given": own, "change": {"files": {"docs/x": "y"}}, "by": "olga", "expect": "prohibited"}
    (outcome,) = outcomes(repo, test)
    assert outcome.passed, outcome


def test_what_is_broken_prohibits_where_the_test_says_that_it_means_it(repo: Any) -> None:
    broken = {"rule": "yaml", "message": "*kind*"}
    test = {"change": {"files": {"apps/shop/x.yaml": BROKEN}}, "expect": "prohibited"}
    (outcome,) = outcomes(repo, {**test, "findings": [broken, {"message": "no rule allows mona*"}]})
    assert outcome.passed, outcome

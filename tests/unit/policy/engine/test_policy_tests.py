# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Policy tests: whether a change is permitted, and what the whole verdict on files says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _tests
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
    assert outcomes(repo, test) == [("0", True, "it is as expected")]


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
    ((_name, passed, said),) = outcomes(repo, test)
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

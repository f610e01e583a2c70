# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The verdict on all that is in a commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format, _judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy.__main__ import main
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import PartialTree, Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError, Limits, Verdict

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULES = """\
rules:
  - name: pods
    require: {object: {kind: Pod}, pss: baseline}
    exceptions: [{until: 2026-06-30, approved_by: 'user:otto', reason: old, to: ops, change: {file: 'legacy/**'}}]
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: shop}\nspec: {hostPID: true, containers: [%s]}\n"
START: Mapping[str, Any] = {
    "policy/roles.yml": "roles: {ops: {members: ['user:olga']}}\nowners: ops\n",
    "policy/rules/site.yml": RULES,
    "inventories/prod/hosts.yml": "control_plane: {hosts: {cp1: }}\nworkers: {hosts: {w1: }}\n",
    "inventories/prod/group_vars/all.yml": 'cluster_kubernetes_version: "1.36.3"\ncluster_pod_cidr: 10.1.0.0/16\n',
    "apps/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: {a: b}\n",
    "legacy/pod.yaml": POD % ("old", "{name: c, image: i}"),
    "README.md": "hello\n",
}


def verdict_on(repo: Any, files: Mapping[str, Any], **more: Any) -> Verdict:
    return _judge.judge_everything(repo.commit({**START, **files}), repo.path, now=NOW, **more)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, []),
        ({"apps/pod.yaml": POD % ("p", "{name: c, image: i}")}, [("pods", "apps/pod.yaml:4")]),
        (
            {"apps/pod.yaml": POD % ("p", "{name: c, imag: i}")},
            [("pods", "apps/pod.yaml:4"), ("schema", "apps/pod.yaml:4")],
        ),
        ({"apps/bad.yaml": "a: [\n"}, [("yaml", "apps/bad.yaml:2")]),
        (
            {"apps/again.yaml": START["apps/map.yaml"]},
            [("duplicate-object", "apps/again.yaml:1"), ("duplicate-object", "apps/map.yaml:1")],
        ),
        (
            {"inventories/prod/group_vars/workers.yml": "node_swap: 3\n"},
            [("variables", "inventories/prod/group_vars/workers.yml:1")],
        ),
        (
            {"inventories/prod/host_vars/w1.yml": 'cluster_kubernetes_version: "1.37"\n'},
            [("upgrade", "inventories/prod/group_vars/all.yml:1")],
        ),
        ({"policy/rules/site.yml": "rules:\n  - {name: a, alow: x}\n"}, [("policy", "policy/rules/site.yml:2")] * 2),
        (
            {"policy/settings.yml": "checks: {schema: off}\n", "apps/pod.yaml": POD % ("p", "{imag: i}")},
            [("pods", "apps/pod.yaml:4")],
        ),
    ],
)
def test_all_that_is_there_is_judged(repo: Any, files: Mapping[str, Any], said: list[tuple[str, str]]) -> None:
    verdict = verdict_on(repo, files)
    assert sorted((one.rule, str(one.origin)) for one in verdict.findings if one.prohibits) == said
    assert verdict.permitted is not bool(said) and verdict.judged
    assert not (verdict.changes or verdict.permissions or verdict.people)


def test_an_exception_holds_whoever_it_is_for_until_it_ends(repo: Any) -> None:
    assert [one.severity for one in verdict_on(repo, {}).findings] == ["info"]
    commit = repo.commit(START)
    later = _judge.judge_everything(commit, repo.path, now=datetime(2026, 7, 1, tzinfo=UTC))
    assert [(one.rule, str(one.origin)) for one in later.findings if one.prohibits] == [("pods", "legacy/pod.yaml:4")]


def test_a_limit_is_said(repo: Any) -> None:
    verdict = verdict_on(repo, {}, limits=Limits(files=4))
    assert not verdict.permitted and not verdict.judged
    assert any("more than 4 files" in one.message for one in verdict.findings)
    assert verdict_on(repo, {}, limits=Limits(files=5)).permitted


def test_the_command(repo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["check", "--repository", str(repo.path), "--everything", "--now", "2026-06-01T12:00:00Z", "--head"]
    good = repo.commit(START)
    assert main([*place, good]) == 0
    assert capsys.readouterr().out.startswith(f"PERMITTED: everything in {good[:12]}.\n")
    bad = repo.commit({"apps/bad.yaml": "a: ["}, good)
    assert main([*place, bad, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["target"] == ""
    for more in (["--author", "mona"], ["--log", "x"], ["--approval", "otto"], ["--request", "x"]):
        assert main([*place, good, *more]) == 2
        assert f"leave out {more[0]}" in capsys.readouterr().err


def test_every_form_says_that_it_is_about_everything(repo: Any) -> None:
    verdict = verdict_on(repo, {"apps/bad.yaml": "a: ["})
    assert _format.show(verdict, "text").startswith(f"PROHIBITED: everything in {verdict.head[:12]}. 1 thing stands")
    assert f"1 finding in everything in `{verdict.head[:12]}`" in _format.show(verdict, "markdown")
    for form in ("text", "markdown"):
        assert "Behind it" not in _format.show(verdict, form)
    for form in ("sarif", "junit"):
        assert "apps/bad.yaml" in _format.show(verdict, form)


def test_a_part_of_a_tree(repo: Any) -> None:
    commit = repo.commit(
        {"policy/a": "x", "policy/b/c": "y", "policy/l": ("120000", "a"), "apps/d": "z", "policyx": "w"}
    )
    with Repository(repo.path, commit) as repository:
        part = PartialTree(repository.tree(commit), "policy")
        assert sorted(one.path for one in part.walk()) == ["policy/a", "policy/b/c", "policy/l"]
        assert [one.path for one in part.walk("policy/b")] == ["policy/b/c"] and not list(part.walk("apps"))
        assert list(part.names()) == ["policy"] and list(part.names("policy/b")) == ["c"] and not part.names("apps")
        assert part.entry("policy/a") and part.entry("") and not part.entry("apps") and not part.entry("policyx")
        assert (part.read("policy/a"), part.read_link("policy/l")) == (b"x", "a")
        part.ahead(["policy/a", "apps/d"])
        for call in (part.read, part.read_link):
            with pytest.raises(GitError, match="apps/d"):
                call("apps/d")

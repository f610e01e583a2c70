# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The ten minutes of docs/policy.md, walked: its own commands in a new folder, with what they say."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _tasks
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError

from tests.unit.policy.surroundings import policy_page

VERSION = "inventories/prod/group_vars/cluster.yml"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The repository that the page makes, and what each of its blocks printed."""
    top = tmp_path_factory.mktemp("walk")
    said = [policy_page.walk(one, top if at == 0 else top / "site") for at, one in enumerate(policy_page.blocks())]
    return top / "site", said


def test_the_policys_tests_pass(walked: tuple[Path, list[str]]) -> None:
    assert "exit code 0" in walked[1][3]


def test_what_the_page_says_is_prohibited_is(walked: tuple[Path, list[str]]) -> None:
    said = walked[1][4]
    assert said.count("exit code 1") == 2, said
    assert "mona" in said and "only Cluster Operators change Kubernetes versions" in said and "approval" in said


def test_what_the_page_says_is_permitted_is(walked: tuple[Path, list[str]]) -> None:
    said = walked[1][5]
    assert said.count("exit code 0") == 3 and "PERMITTED" in said, said


def test_the_log_verifies_and_replays(walked: tuple[Path, list[str]]) -> None:
    said = walked[1][6]
    assert "ok: 1 record" in said and "the same" in said, said


def test_the_action_judges_as_the_command_does(walked: tuple[Path, list[str]], tmp_path: Path) -> None:
    site = str(walked[0])
    asked: dict[str, Any] = {"repository": site, "head": "upgrade", "author": "mona", "author_teams": ["shop"]}
    result = _tasks.check_task({**asked, "output": {"sarif": str(tmp_path / "out.sarif")}})
    assert result["failed"] and not result["permitted"] and result["msg"].startswith("PROHIBITED")
    assert '"2.1.0"' in (tmp_path / "out.sarif").read_text(encoding="utf-8")
    assert "failed" not in _tasks.check_task({**asked, "fail": False})
    teams = str(walked[0].parent / "teams.yml")
    permitted = {"repository": site, "head": "upgrade", "author": "olga", "approvals": ["otto"], "teams": teams}
    assert _tasks.check_task(permitted)["permitted"] is True
    log = tmp_path / "log.jsonl"
    with pytest.raises(PolicyError, match="no form 'pdf'"):
        _tasks.check_task({**permitted, "output": {"pdf": "x"}, "log": str(log)})
    assert not log.exists(), "what cannot be shown is not recorded either"
    with pytest.raises(PolicyError, match="cannot be written"):
        _tasks.check_task({**permitted, "output": {"json": "/nowhere/x"}})


def test_the_other_actions_answer(walked: tuple[Path, list[str]]) -> None:
    site = str(walked[0])
    teams = str(walked[0].parent / "teams.yml")
    found = _tasks.info_task({"repository": site, "path": VERSION, "field": "cluster_kubernetes_version"})
    assert "cluster-operators" in str(found["info"])
    assert _tasks.info_task({"repository": site, "person": "mona", "teams": teams})["info"]["may"]
    assert _tasks.info_task({"repository": site})["info"]
    assert _tasks.test_task({"repository": site})["msg"] == "2 tests passed"
    assert _tasks.test_task({"repository": site, "run": ["a dev*"]})["msg"] == "1 test passed"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"kind": "Secret"}, "kind: say in which file that is"),
        ({"field": "a", "kind": "Secret"}, "kind and field: say in which file that is"),
        ({"person": "mona", "path": VERSION}, "not both at once"),
        ({"person": "mona", "field": "a"}, "not both at once"),
        ({"path": VERSION, "name": "a/b"}, "name a/b: say of which kind"),
    ],
)
def test_a_question_is_answered_as_a_whole_or_not_at_all(
    walked: tuple[Path, list[str]], asked: dict[str, str], why: str
) -> None:
    with pytest.raises(PolicyError, match=why):
        _tasks.info_task({"repository": str(walked[0]), **asked})


@pytest.mark.parametrize("name", ["check", "info", "test"])
def test_the_options_of_an_action_are_those_of_its_page(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.weft.platform.plugins.modules.policy_{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    said = {key: {word: one[word] for word in one if word != "description"} for key, one in documented.items()}
    assert getattr(_tasks, name.upper()) == said


def test_a_change_after_the_fact_makes_the_replay_differ(walked: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Somebody who rewrites a verdict, and every digest with it, is found by judging again."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _chain, _log

    [record] = _chain.records(str(walked[0].parent / "decisions.jsonl"))
    assert _log.replay(record, walked[0]) == []
    # where it is judged again may differ, and is told beside the verdict
    elsewhere = {"rule": "surroundings", "severity": "info", "kind": "invalid", "message": "m"}
    moved = {**record["verdict"], "findings": [*record["verdict"]["findings"], elsewhere]}
    assert _log.replay({**record, "verdict": moved, "verdict_digest": _chain.digest_of(moved)}, walked[0]) == []
    moved["findings"][-1] = {**elsewhere, "severity": "warn"}
    assert _log.replay({**record, "verdict": moved, "verdict_digest": _chain.digest_of(moved)}, walked[0]) != []
    forged = {**record, "verdict": {**record["verdict"], "permitted": True}}
    with pytest.raises(PolicyError, match="does not fit the digest"):
        _log.replay(forged, walked[0])
    forged["verdict_digest"] = _chain.digest_of(forged["verdict"])
    assert _log.replay(forged, walked[0]) == ["permitted: was true, is false"]


def test_the_hooks_defaults_are_those_of_its_argument_spec() -> None:
    role = policy_page.ROOT / "roles" / "policy_hook"
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert defaults == {name: option["default"] for name, option in options.items()}
    readme = (role / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in readme for name in options)

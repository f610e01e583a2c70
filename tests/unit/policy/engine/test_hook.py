# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The pre-receive hook: which pushes it judges, by whom, and what it answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _hook
from ansible_collections.weft.platform.plugins.plugin_utils._policy._hook import Config, Push
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError, PolicyError

from tests.unit.policy.engine.test_judge import NOW, START, config_map

NONE = "0" * 40
TEAMS = '{"teams": {"platform": ["olga"], "shop": ["mona"]}}'
SHOP = {"apps/shop/web.yaml": config_map(value="c")}
README = {"README.md": "x"}


class Server:
    """A bare repository with a hook's settings."""

    def __init__(self, repo: Any, room: Path) -> None:
        self.repo = repo
        self.base = repo.commit(START, branch="main")
        self.teams = room / "teams.json"
        self.teams.write_text(TEAMS)
        self.config = Config((PathGlob("main"), PathGlob("release/**")), "WEFT_USER", str(self.teams))
        repo.git("symbolic-ref", "HEAD", "refs/heads/main")

    def push(self, *lines: tuple[str, str, str], who: str | None = "mona", **settings: Any) -> tuple[int, str]:
        """Exit code and words of the hook; a line is old, new, reference."""
        out = io.StringIO()
        environment = {"GIT_DIR": str(self.repo.path)} | ({} if who is None else {"WEFT_USER": who})
        texts = [f"{' '.join(line)}\n" for line in lines]
        code = _hook.pre_receive(self.config._replace(**settings), texts, environment, out, NOW)
        return code, out.getvalue()


@pytest.fixture
def server(repo: Any, tmp_path: Path) -> Server:
    return Server(repo, tmp_path)


def test_what_is_permitted_is_stored_without_a_word(server: Server) -> None:
    head = server.repo.commit(SHOP, server.base, author="mona")
    assert server.push((server.base, head, "refs/heads/main")) == (0, "")


def test_what_is_prohibited_is_refused_and_says_why(server: Server) -> None:
    head = server.repo.commit(README, server.base, author="olga")
    code, words = server.push((server.base, head, "refs/heads/main"))
    assert code == 1 and "no rule allows mona this change" in words


def test_who_pushes_counts_and_not_whom_the_commits_name(server: Server) -> None:
    head = server.repo.commit({"policy/rules/more.yml": "rules: []\n"}, server.base, author="olga")
    assert server.push((server.base, head, "refs/heads/main"), who="mona")[0] == 1
    assert server.push((server.base, head, "refs/heads/main"), who="olga")[0] == 0


@pytest.mark.parametrize(
    "ref", ["refs/heads/topic", "refs/heads/mainly", "refs/heads/x/main", "refs/tags/main", "main"]
)
def test_what_is_not_protected_is_not_judged(server: Server, ref: str) -> None:
    head = server.repo.commit(README, server.base)
    assert server.push((server.base, head, ref), who=None) == (0, "")
    assert server.push((server.base, NONE, ref), who=None) == (0, "")


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/release/1", "refs/heads/release/deep/er"])
def test_what_is_protected_is_judged(server: Server, ref: str) -> None:
    head = server.repo.commit(README, server.base)
    assert server.push((server.base, head, ref))[0] == 1


@pytest.mark.parametrize("who", [None, "", "  "])
def test_nobody_may_not_push(server: Server, who: str | None) -> None:
    head = server.repo.commit(SHOP, server.base)
    code, words = server.push((server.base, head, "refs/heads/main"), who=who)
    assert code == 2 and words == "PROHIBITED: main: who pushes is not known: the server does not set WEFT_USER\n"


def test_the_server_may_name_its_people_by_another_variable(server: Server) -> None:
    head = server.repo.commit(SHOP, server.base)
    code, words = server.push((server.base, head, "refs/heads/main"), pusher_env="GL_USERNAME")
    assert code == 2 and "GL_USERNAME" in words


def test_a_protected_branch_is_not_deleted(server: Server) -> None:
    code, words = server.push((server.base, NONE, "refs/heads/main"), who="olga")
    assert code == 2 and "cannot be deleted" in words


def test_a_protected_branch_is_not_turned_back(server: Server) -> None:
    later = server.repo.commit(SHOP, server.base)
    beside = server.repo.commit({"apps/shop/new.yaml": config_map("new")}, server.base, branch="beside")
    for head in (server.base, beside):
        code, words = server.push((later, head, "refs/heads/main"))
        assert code == 2 and "takes commits away" in words


def test_a_new_branch_is_judged_by_what_it_adds_to_the_default_one(server: Server) -> None:
    permitted = server.repo.commit(SHOP, server.base)
    prohibited = server.repo.commit(README, server.base, branch="other")
    assert server.push((NONE, permitted, "refs/heads/release/1"))[0] == 0
    assert server.push((NONE, server.base, "refs/heads/release/1"))[0] == 0
    assert server.push((NONE, prohibited, "refs/heads/release/1"))[0] == 1
    older = server.repo.commit(README, permitted, branch="main")
    assert older and server.push((NONE, server.base, "refs/heads/release/0"))[0] == 0  # cut from an older commit


def test_every_branch_is_judged_and_the_worst_counts(server: Server) -> None:
    good = server.repo.commit(SHOP, server.base)
    bad = server.repo.commit(README, server.base, branch="bad")
    lines = [(server.base, bad, "refs/heads/main"), (server.base, NONE, "refs/heads/release/1")]
    code, words = server.push(*lines, (server.base, good, "refs/heads/release/2"))
    assert code == 2 and "README.md" in words and "release/1: a protected branch cannot be deleted" in words
    assert server.push(lines[0], (server.base, good, "refs/heads/release/2"))[0] == 1
    assert server.push() == (0, "")


@pytest.mark.parametrize("new", ["1" * 40, "not-an-id"])
def test_what_cannot_be_read_is_refused(server: Server, new: str) -> None:
    code, words = server.push((server.base, new, "refs/heads/main"))
    assert code == 2 and words


def test_an_empty_repository_has_no_policy_to_judge_by(server: Server, new_repo: Any) -> None:
    server.repo = new_repo("empty.git")
    code, words = server.push((NONE, "1" * 40, "refs/heads/main"))
    assert code == 2 and "push it before the hook is installed" in words


def test_a_form_that_nobody_knows_refuses(server: Server) -> None:
    head = server.repo.commit(SHOP, server.base)
    assert server.push((server.base, head, "refs/heads/main"), format="pdf")[0] == 2


def test_other_forms_and_the_log(server: Server, tmp_path: Path) -> None:
    head = server.repo.commit(SHOP, server.base)
    log = tmp_path / "log.jsonl"
    code, words = server.push((server.base, head, "refs/heads/main"), format="json", log=str(log))
    assert code == 0 and json.loads(words)["permitted"] is True
    (record,) = (json.loads(line) for line in log.read_text().splitlines())
    assert head in json.dumps(record) and str(server.repo.path) in json.dumps(record)


def test_without_teams_nobody_is_in_one(server: Server) -> None:
    head = server.repo.commit(SHOP, server.base)
    code, words = server.push((server.base, head, "refs/heads/main"), teams="")
    assert code == 2 and "cannot be told" in words
    code, words = server.push((server.base, head, "refs/heads/main"), teams="/nonexistent/teams.json")
    assert code == 2 and "teams cannot be read" in words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}", (["main"], "WEFT_USER", "", "", "text")),
        ("branches: [main, 'release/*']\n", (["main", "release/*"], "WEFT_USER", "", "", "text")),
        (
            '{"branches": ["a"], "pusher_env": "U", "teams": "t", "log": "l", "format": "json"}',
            (["a"], "U", "t", "l", "json"),
        ),
    ],
)
def test_settings(tmp_path: Path, text: str, wanted: tuple[Any, ...]) -> None:
    path = tmp_path / "hook.yml"
    path.write_text(text)
    found = _hook.config(str(path))
    assert ([one.pattern for one in found.branches], *found[1:]) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "other: 1", "a: ["),
        *("branches: main", "branches: []", "branches: [1]", "branches: ['a[']", "teams: [x]", "log: 3"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hook.yml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        _hook.config(str(path))
    assert "hook.yml" in str(caught.value) or "a[" in str(caught.value)


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.yml"):
        _hook.config(str(tmp_path / "none.yml"))


def test_lines_of_git() -> None:
    assert _hook.pushes(["a b refs/heads/with space\n"]) == [Push("a", "b", "refs/heads/with space")]
    assert _hook.pushes([]) == []
    assert [Push("", "", ref).branch for ref in ("refs/heads/a/b", "refs/tags/a", "refs/heads/")] == ["a/b", "", ""]
    for line in ("", "a b", "\n"):
        with pytest.raises(GitError, match="not a line"):
            _hook.pushes([line])


@pytest.mark.parametrize(
    "words", [[], ["pre-receive"], ["update", "--config", "x"], ["pre-receive", "--config", "/none"]]
)
def test_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _hook.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("PROHIBITED: " if words[-1:] == ["/none"] else "usage: ")

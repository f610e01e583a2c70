# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._cache import CachedTeams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import IdentityError


class Asked:
    """Teams that count how often they are asked."""

    def __init__(self, **teams: list[str]) -> None:
        self.teams = teams
        self.questions: list[str] = []

    def members(self, team: str) -> Collection[str] | None:
        self.questions.append(team)
        if team == "secret":
            raise IdentityError("cannot be told")
        return self.teams.get(team)

    def exists(self, login: str) -> bool | None:
        self.questions.append(login)
        return {"mona": True, "nobody": False}.get(login)


def cached(path: Path, teams: Asked, at: float = 1000.0) -> CachedTeams:
    return CachedTeams(teams, str(path), ttl=60, clock=lambda: at)


def test_an_answer_is_asked_for_once_while_it_lives(tmp_path: Path) -> None:
    teams = Asked(platform=["olga", "otto"])
    for _again in range(2):
        found = cached(tmp_path / "cache", teams)
        assert found.members("platform") == {"olga", "otto"}
        assert found.members("nowhere") is None
        assert (found.exists("mona"), found.exists("nobody"), found.exists("who")) == (True, False, None)
    assert teams.questions == ["platform", "nowhere", "mona", "nobody", "who"]


@pytest.mark.parametrize("at", [1060.0, 5000.0, 999.0])
def test_an_old_answer_and_one_from_the_future_are_asked_for_again(tmp_path: Path, at: float) -> None:
    cached(tmp_path / "cache", Asked(platform=["olga"])).members("platform")
    later = Asked(platform=["otto"])
    assert cached(tmp_path / "cache", later, at).members("platform") == {"otto"}


def test_what_cannot_be_told_is_not_kept(tmp_path: Path) -> None:
    teams = Asked()
    for _again in range(2):
        with pytest.raises(IdentityError):
            cached(tmp_path / "cache", teams).members("secret")
    assert teams.questions == ["secret", "secret"]


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    cached(tmp_path / "cache", Asked()).members("x")
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "cache"
    cached(path, Asked(platform=["eve"])).members("platform")
    path.chmod(mode)
    assert cached(path, Asked(platform=["olga"])).members("platform") == {"olga"}


def test_a_symbolic_link_is_not_believed(tmp_path: Path) -> None:
    cached(tmp_path / "real", Asked(platform=["eve"])).members("platform")
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    assert cached(tmp_path / "cache", Asked(platform=["olga"])).members("platform") == {"olga"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    cached(path, Asked(platform=["eve"])).members("platform")
    os.chown(path, 65534, 65534)
    assert cached(path, Asked(platform=["olga"])).members("platform") == {"olga"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "[]",
        "[" * 100_000,
        json.dumps({"team:platform": ["eve"]}),
        json.dumps({"team:platform": {"at": "1000", "answer": ["eve"]}}),
        json.dumps({"team:platform": {"at": True, "answer": ["eve"]}}),
        json.dumps({"team:platform": {"at": 1000, "answer": "eve"}}),
        json.dumps({"team:platform": {"at": 1000, "answer": [1]}}),
    ],
)
def test_a_damaged_file_is_asked_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cache"
    path.write_text(content)
    path.chmod(0o600)
    assert cached(path, Asked(platform=["olga"])).members("platform") == {"olga"}


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    assert cached(tmp_path / "no" / "cache", Asked(platform=["olga"])).members("platform") == {"olga"}


def test_teams_and_users_of_one_name_are_two_questions(tmp_path: Path) -> None:
    teams: Any = Asked(mona=["x"])
    found = cached(tmp_path / "cache", teams)
    assert found.exists("mona") is True and found.members("mona") == {"x"}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge import _event
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import ForgeError, Pull


def event(tmp_path: Path, data: Any) -> str:
    path = tmp_path / "event.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(path)


def pull_event(action: str = "synchronize", **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "pull_request": {"number": 7, "head": {"sha": "a" * 40}},
        "repository": {"full_name": "acme/site"},
        "sender": {"login": "hubot"},
        **more,
    }


def github(path: str) -> dict[str, str]:
    return {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": path, "GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "x/y"}


def test_github_actions(tmp_path: Path) -> None:
    found = _event.from_environment(github(event(tmp_path, pull_event())))
    assert found == Pull("github", "https://api.github.com", "t", "acme/site", 7, "hubot")


def test_github_enterprise_and_a_token_of_ones_own(tmp_path: Path) -> None:
    env = github(event(tmp_path, pull_event())) | {"GITHUB_API_URL": "https://ghe/api/v3", "WEFT_FORGE_TOKEN": "own"}
    found = _event.from_environment(env)
    assert (found.api, found.token) == ("https://ghe/api/v3", "own")


@pytest.mark.parametrize("action", ["submitted", "labeled", "edited", "dismissed"])
def test_who_reviews_or_labels_is_no_pusher(tmp_path: Path, action: str) -> None:
    assert _event.from_environment(github(event(tmp_path, pull_event(action)))).pusher == ""


def test_a_comment_on_a_pull_request(tmp_path: Path) -> None:
    data = {"action": "created", "issue": {"number": 8, "pull_request": {}}, "sender": {"login": "eve"}}
    found = _event.from_environment(github(event(tmp_path, data)))
    assert (found.number, found.pusher, found.repository) == (8, "", "x/y")


def test_gitea_and_forgejo_actions_come_before_github(tmp_path: Path) -> None:
    env = github(event(tmp_path, pull_event("synchronized"))) | {"GITHUB_SERVER_URL": "https://git.example/"}
    for variable in ("GITEA_ACTIONS", "FORGEJO_ACTIONS"):
        found = _event.from_environment(env | {variable: "true"})
        assert found == Pull("gitea", "https://git.example/api/v1", "t", "acme/site", 7, "hubot")


def test_gitlab_ci() -> None:
    env = {
        "GITLAB_CI": "true",
        "CI_SERVER_URL": "https://gitlab.example",
        "CI_PROJECT_ID": "13",
        "CI_MERGE_REQUEST_PROJECT_ID": "12",
        "CI_MERGE_REQUEST_IID": "5",
        "GITLAB_TOKEN": "t",
        "GITLAB_USER_LOGIN": "who-ran-the-pipeline",
    }
    assert _event.from_environment(env) == Pull("gitlab", "https://gitlab.example", "t", "12", 5)


def test_bitbucket_pipelines() -> None:
    env = {
        "BITBUCKET_BUILD_NUMBER": "3",
        "BITBUCKET_PR_ID": "5",
        "BITBUCKET_REPO_FULL_NAME": "acme/site",
        "WEFT_FORGE_TOKEN": "t",
    }
    assert _event.from_environment(env) == Pull("bitbucket", "https://api.bitbucket.org", "t", "acme/site", 5)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "say --forge, --api, --repository and --number"),
        ({"GITLAB_CI": "true"}, "CI_MERGE_REQUEST_IID is not set"),
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "5; rm"}, "CI_MERGE_REQUEST_IID is not set"),
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "5"}, "CI_SERVER_URL is not set"),
        (
            {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "5", "CI_SERVER_URL": "https://x"},
            "WEFT_FORGE_TOKEN or GITLAB_TOKEN is not set",
        ),
        ({"BITBUCKET_BUILD_NUMBER": "1"}, "BITBUCKET_PR_ID is not set"),
        ({"GITHUB_ACTIONS": "true"}, "GITHUB_EVENT_PATH is not set"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": "/nowhere/event"}, "the event cannot be read"),
    ],
)
def test_what_is_missing_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(ForgeError, match=words):
        _event.from_environment(env)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"action": "push"}, "is about no pull request"),
        ({"pull_request": {"number": "7"}}, "is about no pull request"),
        ({"issue": {"number": 8}}, "is about no pull request"),
        ([], "is about no pull request"),
        ("not json", "is no JSON"),
        ("[" * 200_000, "is no JSON"),
    ],
)
def test_an_event_that_is_none(tmp_path: Path, data: Any, words: str) -> None:
    with pytest.raises(ForgeError, match=words):
        _event.from_environment(github(event(tmp_path, data)))


def test_an_unknown_forge() -> None:
    with pytest.raises(ForgeError, match="there are bitbucket, gitea, github, gitlab"):
        _event.from_environment({}, "sourceforge")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""GitHub's merge queue: what it makes of a pull request is judged, and gets the status that it waits for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _forge

from tests.unit.policy.engine.test_judge import START, VERSION, config_map
from tests.unit.policy.surroundings.policy_wire import Wire, serve

API = "/repos/acme/site"
UPGRADE = {VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}


class Queue:
    """Pull request 5 by olga, approved by otto, in a queue behind another one."""

    def __init__(self, repo: Any, wire: Wire, room: Path) -> None:
        self.repo, self.wire, self.room = repo, wire, room
        base = repo.commit(START, branch="main")
        self.head = repo.commit(UPGRADE, base, author="olga", branch="upgrade")
        self.ahead = repo.commit({"apps/shop/web.yaml": config_map(value="c")}, base, branch="ahead")
        (room / "teams.json").write_text('{"teams": {"platform": ["olga", "otto"], "shop": ["mona"]}}')
        person = {"login": "olga", "url": f"{wire.url}/users/olga"}
        commit = {"sha": self.head, "author": person, "committer": person, "commit": {"message": "m"}}
        site = {"url": f"{wire.url}{API}", "full_name": "acme/site"}
        wire.answers |= {
            f"GET {API}": site,
            f"GET {API}/pulls/5": {
                "url": f"{wire.url}{API}/pulls/5",
                "number": 5,
                "commits": 1,
                "user": person,
                "head": {"ref": "upgrade", "sha": self.head, "repo": site},
                "base": {"ref": "main", "sha": base},
            },
            f"GET {API}/branches/main": {"name": "main", "commit": {"sha": base}},
            f"GET {API}/pulls/5/commits": [commit],
            f"GET {API}/pulls/5/reviews": [self.review(self.head)],
            f"GET {API}/activity": [],
            f"GET {API}/issues/5": {"url": f"{wire.url}{API}/issues/5", "number": 5},
            f"GET {API}/issues/5/comments": [],
            f"POST {API}/issues/5/comments": {},
            "GET /user": {"login": "policy-bot"},
        }

    @staticmethod
    def review(head: str) -> dict[str, Any]:
        return {"id": 1, "user": {"login": "otto"}, "state": "APPROVED", "commit_id": head}

    def job(self, group: str, **event: Any) -> int:
        """What the CI job does for the queue's event; the exit code."""
        self.wire.answers |= {
            f"GET {API}/commits/{group}": {"sha": group, "url": f"{self.wire.url}{API}/commits/{group}"},
            f"POST {API}/statuses/{group}": {},
        }
        told = {
            "head_sha": group,
            "head_ref": f"refs/heads/gh-readonly-queue/main/pr-5-{self.ahead}",
            "base_sha": self.ahead,
            "base_ref": "refs/heads/main",
        }
        data = {
            "action": "checks_requested",
            "merge_group": {**told, **event},
            "repository": {"full_name": "acme/site"},
        }
        path = self.room / "event.json"
        path.write_text(json.dumps(data))
        env = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(path), "GITHUB_API_URL": self.wire.url}
        options = ["check", "--git", str(self.repo.path), "--teams", str(self.room / "teams.json")]
        return _forge.main(options, env | {"WEFT_FORGE_TOKEN": "t"})

    def states(self, commit: str) -> list[str]:
        return [call.body["state"] for call in self.wire.made("POST", f"{API}/statuses/{commit}")]


@pytest.fixture
def queue(repo: Any, tmp_path: Path) -> Iterator[Queue]:
    with serve() as wire:
        yield Queue(repo, wire, tmp_path)


def test_what_the_queue_made_of_a_permitted_pull_request_gets_the_status(queue: Queue) -> None:
    merged = queue.repo.commit(UPGRADE, (queue.ahead, queue.head), branch="group")
    squashed = queue.repo.commit(UPGRADE, queue.ahead, branch="squashed")
    for group in (merged, squashed):
        assert queue.job(group) == 0
        assert queue.states(group) == ["pending", "success"]
    assert queue.states(queue.head) == [], "the pull request's own status is another matter"


def test_a_group_with_more_in_it_is_prohibited(queue: Queue) -> None:
    group = queue.repo.commit({**UPGRADE, "README.md": "x"}, (queue.ahead, queue.head), branch="group")
    assert queue.job(group) == 1
    assert queue.states(group) == ["pending", "failure"]


def test_an_approval_of_another_head_does_not_count_in_the_queue(queue: Queue) -> None:
    queue.wire.answers[f"GET {API}/pulls/5/reviews"] = [queue.review("0" * 40)]
    group = queue.repo.commit(UPGRADE, (queue.ahead, queue.head), branch="group")
    assert queue.job(group) == 1
    assert queue.states(group) == ["pending", "failure"]


@pytest.mark.parametrize(
    "event",
    [
        {"head_ref": "refs/heads/main"},
        {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-0-{'a' * 40}"},
        {"head_ref": f"refs/heads/gh-readonly-queue/next/pr-5-{'a' * 40}"},
        {"base_ref": "refs/heads/next"},
        {"base_sha": "main"},
        {"base_sha": None},
        {"head_ref": None},
    ],
)
def test_an_event_that_is_not_as_the_queue_makes_it_is_an_error(
    queue: Queue, event: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    group = queue.repo.commit(UPGRADE, (queue.ahead, queue.head), branch="group")
    assert queue.job(group, **event) == 2
    assert capsys.readouterr().err.startswith("error: ") and not queue.wire.writes()

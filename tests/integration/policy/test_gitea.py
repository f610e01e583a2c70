# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A real forge prohibits a real merge.

mona and moritz are developers (team shop), olga and otto operate clusters (team platform), the policy manager runs as
policy-bot.  `main` is protected: it wants the status weft/policy.  Developers have no write access and work in forks,
so that nobody but the bot and the operators could set a status.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.policy import gitea_server, hook_role
from tests.integration.policy.gitea_server import Gitea, Refused
from tests.integration.policy.protected_repository import FILES, commit, git, policy, write
from tests.tools import build

pytestmark = pytest.mark.scenario

SITE, HOOKED = "acme/site", "acme/hooked"
OPERATORS, DEVELOPERS = ("olga", "otto"), ("mona", "moritz")
VERSION = "inventories/prod/group_vars/cluster.yml"


def version(number: str) -> dict[str, str]:
    return {VERSION: FILES[VERSION].replace("1.36.3", number)}


def shop(greeting: str) -> dict[str, str]:
    return {"apps/shop/config.yml": FILES["apps/shop/config.yml"].replace("hello", greeting)}


class Forge:
    """The server with the organisation, its people and the protected repository, and what a CI job does."""

    def __init__(self, server: Gitea, scratch: Path, site: str = SITE) -> None:
        self.server = server
        self.scratch = scratch
        self.site = site
        self.name = site.partition("/")[2]
        self._clones = 0

    def set_up(self) -> None:
        """The people, the organisation, and the repository whose branch wants the status."""
        api = self.server.api
        for login in (*OPERATORS, *DEVELOPERS, "eve", "policy-bot"):
            self.server.user(login)
        api("admin", "POST", "orgs", {"username": "acme"})
        for team, permission, members in (
            ("platform", "write", OPERATORS),
            ("shop", "read", DEVELOPERS),
            ("robots", "write", ("policy-bot",)),
        ):
            made = api("admin", "POST", "orgs/acme/teams", _team(team, permission))
            for login in members:
                api("admin", "PUT", f"teams/{made['id']}/members/{login}")
        wants = {"enable_status_check": True, "status_check_contexts": ["weft/policy"]}
        self.repository({**wants, "block_admin_merge_override": True})

    def repository(self, protection: dict[str, Any]) -> None:
        """The repository with its first commit, its protected branch, and everybody's fork."""
        api = self.server.api
        made = {"name": self.name, "default_branch": "main", "auto_init": False, "private": False}
        api("admin", "POST", "orgs/acme/repos", made)
        for team in api("admin", "GET", "orgs/acme/teams"):
            if team["name"] != "Owners":
                api("admin", "PUT", f"teams/{team['id']}/repos/{self.site}")
        start = self.scratch / f"start-{self.name}"
        start.mkdir()
        git(start, "init", "-q", "-b", "main")
        write(start, FILES)
        commit(start, "olga", {}, "Begin")
        git(start, "push", "-q", self.server.clone_url("olga", self.site), "main")
        rule = {"rule_name": "main", "enable_push": False, **protection}
        api("admin", "POST", f"repos/{self.site}/branch_protections", rule)
        for login in (*DEVELOPERS, *OPERATORS):
            api(login, "POST", f"repos/{self.site}/forks", {})

    def clone(self, login: str) -> Path:
        """A working copy of main whose `origin` is the person's fork."""
        self._clones += 1
        where = self.scratch / f"clone-{self.name}-{self._clones}"
        git(self.scratch, "clone", "-q", self.server.clone_url(login, self.site), str(where))
        git(where, "remote", "set-url", "origin", self.server.clone_url(login, f"{login}/{self.name}"))
        return where

    def pull(self, login: str, files: dict[str, str], title: str) -> tuple[int, Path]:
        """Open a pull request from the person's fork; returns its number and the working copy."""
        where = self.clone(login)
        branch = title.replace(" ", "-")
        git(where, "checkout", "-q", "-b", branch)
        commit(where, login, files, title)
        git(where, "push", "-q", "origin", branch)
        return self.open(login, branch, title), where

    def open(self, login: str, branch: str, title: str) -> int:
        """Open a pull request from a fork's branch, once the forge has noticed the branch; returns its number."""
        data = {"head": f"{login}:{branch}", "base": "main", "title": title}
        for attempt in range(100):
            try:
                return int(self.server.api(login, "POST", f"repos/{self.site}/pulls", data)["number"])
            except Refused as error:
                if error.status != 404 or attempt == 99:
                    raise
                time.sleep(0.1)
        raise AssertionError("the loop above returns or raises")

    def push(self, login: str, where: Path, files: dict[str, str]) -> str:
        """A further commit on the branch of an open pull request; returns it when the forge knows of it."""
        head = commit(where, login, files, "More")
        git(where, "push", "-q", "origin", "HEAD")
        return head

    def head(self, number: int, expect: str = "") -> str:
        """The pull request's head, once the forge has worked off its queue."""
        found = ""
        for _try in range(100):
            found = str(self.server.api("admin", "GET", f"repos/{self.site}/pulls/{number}")["head"]["sha"])
            if not expect or found == expect:
                return found
            time.sleep(0.1)
        raise AssertionError(f"pull request {number} is at {found}, not at {expect}")

    def approve(self, login: str, number: int) -> None:
        data = {"event": "APPROVED", "body": "fine", "commit_id": self.head(number)}
        self.server.api(login, "POST", f"repos/{self.site}/pulls/{number}/reviews", data)

    def job(self, number: int) -> tuple[int, str]:
        """What the CI job does: a clone with base and head, and the policy manager on it."""
        self._clones += 1
        where = self.scratch / f"job-{self.name}-{self._clones}.git"
        source = self.server.clone_url("policy-bot", self.site)
        git(self.scratch, "clone", "-q", "--bare", source, str(where))
        git(where, "fetch", "-q", source, f"refs/pull/{number}/head")
        done = policy(
            *("forge", "check", "--forge", "gitea", "--api", self.server.api_url),
            *("--repository", self.site, "--number", str(number), "--git", "."),
            *("--log", str(self.scratch / "decisions.jsonl")),
            cwd=where,
            WEFT_FORGE_TOKEN=self.server.tokens["policy-bot"],
        )
        return done.returncode, done.stdout + done.stderr

    def status(self, head: str) -> str:
        """The state of weft/policy on a commit; "none" where it was never judged."""
        found = self.server.api("admin", "GET", f"repos/{self.site}/commits/{head}/statuses")
        ours = [one for one in found if one["context"] == "weft/policy"]
        return str(max(ours, key=lambda one: int(one["id"]))["status"]) if ours else "none"

    def comments(self, number: int) -> list[str]:
        found = self.server.api("admin", "GET", f"repos/{self.site}/issues/{number}/comments")
        return [one["body"] for one in found]

    def merge(self, login: str, number: int, style: str = "merge") -> None:
        """Merge over the API, once the forge has found out whether it could.

        Raises:
            Refused: the forge does not let it be merged.
        """
        for attempt in range(200):
            try:
                self.server.api(login, "POST", f"repos/{self.site}/pulls/{number}/merge", {"Do": style})
                return
            except Refused as error:
                if "try again later" not in str(error) or attempt == 199:
                    raise
                time.sleep(0.1)

    def merged(self, number: int) -> bool:
        return bool(self.server.api("admin", "GET", f"repos/{self.site}/pulls/{number}")["merged"])

    def assert_merge_is_refused(self, login: str, number: int) -> None:
        with pytest.raises(Refused) as caught:
            self.merge(login, number)
        assert caught.value.status == 405, caught.value
        assert "status check" in str(caught.value), caught.value
        assert not self.merged(number)


def _team(name: str, permission: str) -> dict[str, Any]:
    units = ["repo.code", "repo.pulls", "repo.issues"]
    # the bot is a member of the organisation, not of the team: it must see who is in it
    return {"name": name, "permission": permission, "units": units, "visibility": "limited"}


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    work = tmp_path_factory.mktemp("gitea")
    with gitea_server.running(build.tool("gitea"), work) as server:
        found = Forge(server, tmp_path_factory.mktemp("clones"))
        found.set_up()
        yield found


def test_a_permitted_pull_request_merges(forge: Forge) -> None:
    number, _where = forge.pull("mona", shop("welcome"), "greet better")
    head = forge.head(number)
    assert forge.status(head) == "none"
    forge.assert_merge_is_refused("olga", number)

    code, words = forge.job(number)
    assert (code, forge.status(head)) == (0, "success"), words
    assert forge.comments(number) == []
    forge.merge("olga", number)
    assert forge.merged(number)


def test_a_prohibited_pull_request_cannot_be_merged_and_says_why(forge: Forge) -> None:
    number, _where = forge.pull("mona", version("1.37.2"), "newer Kubernetes")
    head = forge.head(number)
    code, words = forge.job(number)
    assert (code, forge.status(head)) == (1, "failure"), words
    for login in ("olga", "admin"):
        forge.assert_merge_is_refused(login, number)

    [comment] = forge.comments(number)
    for part in (
        "merge prohibited",
        f"`{VERSION}:2`",
        "`cluster_kubernetes_version`",
        '`"1.36.3"` → `"1.37.2"`',
        "only Cluster Operators change Kubernetes versions",
        "role cluster-operators",
        "**How to go on:**",
    ):
        assert part in comment, comment


def test_only_the_part_that_is_not_permitted_stands_in_the_way(forge: Forge) -> None:
    number, where = forge.pull("moritz", {**shop("hi"), **version("1.37.2")}, "two things")
    code, words = forge.job(number)
    assert code == 1, words
    [comment] = forge.comments(number)
    assert "2 things stand in the way" in comment, comment
    assert comment.count("#### ") == 2 == comment.count(f"`{VERSION}:2`"), "the other change is permitted"

    head = forge.push("moritz", where, version("1.36.3"))
    assert forge.head(number, head) == head
    code, words = forge.job(number)
    assert (code, forge.status(head)) == (0, "success"), words
    [comment] = forge.comments(number)
    assert "Policy: permitted" in comment, "the one comment is brought up to date"


def test_the_right_approval_turns_the_verdict_and_a_new_commit_withdraws_it(forge: Forge) -> None:
    number, where = forge.pull("olga", version("1.37.1"), "upgrade")
    first = forge.head(number)
    code, words = forge.job(number)
    assert (code, forge.status(first)) == (1, "failure"), words

    # a developer's approval does not count, and nobody's own does
    forge.approve("mona", number)
    assert forge.job(number)[0] == 1
    with pytest.raises(Refused):
        forge.approve("olga", number)

    forge.approve("otto", number)
    code, words = forge.job(number)
    assert (code, forge.status(first)) == (0, "success"), words

    # the branch moves on: the new head has no status, then one that prohibits
    second = forge.push("olga", where, version("1.37.2"))
    assert forge.head(number, second) == second
    assert forge.status(second) == "none"
    forge.assert_merge_is_refused("otto", number)
    code, words = forge.job(number)
    assert (code, forge.status(second), forge.status(first)) == (1, "failure", "success"), words
    forge.assert_merge_is_refused("otto", number)

    forge.approve("otto", number)
    code, words = forge.job(number)
    assert (code, forge.status(second)) == (0, "success"), words
    [comment] = forge.comments(number)
    assert "Policy: permitted" in comment and second[:12] in comment
    forge.merge("otto", number)
    assert forge.merged(number)


def test_a_commit_by_somebody_else_counts_whoever_opens_the_pull_request(forge: Forge) -> None:
    """olga opens it, but moritz wrote a commit in it: both must be allowed to."""
    where = forge.clone("olga")
    git(where, "checkout", "-q", "-b", "carried")
    commit(where, "moritz", version("1.37.9"), "carried for moritz")
    git(where, "push", "-q", "origin", "carried")
    number = forge.open("olga", "carried", "carried")
    forge.approve("otto", number)
    code, words = forge.job(number)
    assert code == 1 and "moritz" in words, words
    forge.assert_merge_is_refused("otto", number)


def test_nobody_without_write_access_can_set_the_status(forge: Forge) -> None:
    number, _where = forge.pull("moritz", version("1.37.7"), "forged status")
    head = forge.head(number)
    forge.job(number)
    for login in ("moritz", "mona", "eve"):
        with pytest.raises(Refused) as caught:
            data = {"context": "weft/policy", "state": "success"}
            forge.server.api(login, "POST", f"repos/{SITE}/statuses/{head}", data)
        assert caught.value.status == 403
    assert forge.status(head) == "failure"


def test_a_change_of_the_policy_is_judged_by_the_policy_in_force(forge: Forge) -> None:
    loosened = FILES["policy/rules/platform.yml"].replace("allow: cluster-operators", "allow: application-developers")
    number, _where = forge.pull("mona", {"policy/rules/platform.yml": loosened, **version("1.37.2")}, "looser")
    code, words = forge.job(number)
    assert code == 1, words
    [comment] = forge.comments(number)
    assert "What this does to the policy itself" in comment and "loosens" in comment, comment
    forge.assert_merge_is_refused("olga", number)


def test_a_comment_of_somebody_else_is_never_written_over(forge: Forge) -> None:
    number, _where = forge.pull("moritz", version("1.37.8"), "trap")
    trap = "[//]: # (weft/policy: this comment is updated, not repeated)\n### Policy: permitted"
    forge.server.api("moritz", "POST", f"repos/{SITE}/issues/{number}/comments", {"body": trap})
    forge.job(number)
    forge.job(number)
    comments = forge.comments(number)
    assert comments[0] == trap and len(comments) == 2 and "merge prohibited" in comments[1]


def test_every_verdict_is_on_record_and_can_be_made_again(forge: Forge) -> None:
    log = forge.scratch / "decisions.jsonl"
    done = policy("log", "verify", str(log), cwd=forge.scratch)
    assert done.returncode == 0 and done.stdout.startswith("ok:"), done
    done = policy("log", "replay", str(log), cwd=forge.scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same") == len(log.read_bytes().splitlines()) >= 10


# --- the hook on the forge: nothing but the hook stands before main here --------------------------------------------


@pytest.fixture(scope="module")
def hooked(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Forge:
    if os.geteuid() != 0:
        pytest.fail("this test installs a hook that belongs to root: run it as root")
    found = Forge(forge.server, forge.scratch, HOOKED)
    found.repository({})
    token = found.server.tokens["policy-bot"]
    bare = found.server.work / "repositories" / f"{HOOKED}.git"
    values = {
        "policy_hook_pusher_variable": "GITEA_PUSHER_NAME",
        "policy_hook_forge": {"kind": "gitea", "api": found.server.api_url, "token": token},
        "policy_hook__python": sys.executable,
    }
    hook = {"path": str(bare), "hook": "hooks/pre-receive.d/weft-policy"}
    hook_role.apply(tmp_path_factory.mktemp("hook"), hook, values)
    return found


def test_the_hook_lets_the_forge_merge_what_was_approved_and_nothing_else(hooked: Forge) -> None:
    number, where = hooked.pull("olga", version("1.37.1"), "upgrade")
    with pytest.raises(Refused, match="needs 1 approval"):
        hooked.merge("otto", number)
    hooked.approve("mona", number)
    with pytest.raises(Refused, match="needs 1 approval"):
        hooked.merge("otto", number)
    hooked.approve("otto", number)
    second = hooked.push("olga", where, version("1.37.2"))
    assert hooked.head(number, second) == second
    with pytest.raises(Refused, match="which is not the head any more"):
        hooked.merge("otto", number)
    hooked.approve("otto", number)
    hooked.merge("otto", number)
    assert hooked.merged(number), "the approver may press the button: who does is not behind the change"


@pytest.mark.parametrize("style", ["merge", "rebase", "rebase-merge", "squash"])
def test_the_hook_knows_each_way_to_merge_though_the_branch_moved_on(hooked: Forge, style: str) -> None:
    number, _where = hooked.pull("mona", {f"apps/shop/{style}.txt": "x\n"}, f"note {style}")
    beside, _where = hooked.pull("moritz", {f"apps/shop/{style}-2.txt": "y\n"}, f"beside {style}")
    hooked.merge("olga", beside, "merge")
    hooked.merge("olga", number, style)
    assert hooked.merged(number)


def test_the_hook_judges_who_made_the_change_whoever_merges_it(hooked: Forge) -> None:
    number, _where = hooked.pull("mona", version("1.37.9"), "by a developer")
    hooked.approve("otto", number)
    with pytest.raises(Refused, match="mona"):
        hooked.merge("olga", number)
    assert not hooked.merged(number)

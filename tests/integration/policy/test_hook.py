# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A push over SSH to a plain bare repository is judged by the hook that the role policy_hook installs.

Who pushes is told by the SSH key, in WEFT_USER, which the SSH server sets and no client can.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.policy import hook_role, ssh_server
from tests.integration.policy.protected_repository import FILES, commit, git, policy, write
from tests.integration.policy.ssh_server import SshServer

pytestmark = pytest.mark.scenario

VERSION = "inventories/prod/group_vars/cluster.yml"
TEAMS = {"platform": ["olga", "otto"], "shop": ["mona"]}


def version(number: str) -> dict[str, str]:
    return {VERSION: FILES[VERSION].replace("1.36.3", number)}


def shop(greeting: str) -> dict[str, str]:
    return {"apps/shop/config.yml": FILES["apps/shop/config.yml"].replace("hello", greeting)}


class Server:
    """A Git server: a bare repository behind SSH, protected by the role."""

    def __init__(self, ssh: SshServer, top: Path) -> None:
        self.ssh = ssh
        self.top = top
        self.bare = top / "site.git"
        self.log = top / "log" / "decisions.jsonl"
        self._clones = 0

    def role(self, state: str = "present") -> str:
        """Run the role policy_hook on this machine, below the test's own folder; returns what ansible said."""
        repository = {"path": str(self.bare), "branches": ["main", "release/*"]}
        values = {"policy_hook_state": state, "policy_hook_teams": TEAMS}
        return hook_role.apply(self.top, repository, values)

    def clone(self, login: str) -> Path:
        self._clones += 1
        where = self.top / f"clone-{self._clones}"
        git(
            self.top,
            "clone",
            "-q",
            self.ssh.url(self.bare),
            str(where),
            env={"GIT_SSH_COMMAND": self.ssh.command(login)},
        )
        return where

    def push(self, login: str, where: Path, *what: str) -> subprocess.CompletedProcess[str]:
        """Push as somebody; the client lies about who it is in every way it can."""
        lies = {"WEFT_USER": "olga", "GIT_SSH_COMMAND": self.ssh.command(login)}
        return git(where, "push", "-q", "origin", *(what or ("main",)), check=False, env=lies)

    def tip(self, branch: str = "main") -> str:
        return git(self.bare, "rev-parse", "--verify", "-q", branch, check=False).stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if os.geteuid() != 0:
        pytest.fail("this test installs a hook that belongs to root: run it as root")
    top = tmp_path_factory.mktemp("server")
    with ssh_server.running(tmp_path_factory.mktemp("ssh"), ("mona", "olga", "otto")) as ssh:
        found = Server(ssh, top)
        start = top / "start"
        start.mkdir()
        git(start, "init", "-q", "-b", "main")
        write(start, FILES)
        commit(start, "olga", {}, "Begin")
        git(top, "clone", "-q", "--bare", str(start), str(found.bare))
        found.role()
        yield found


def test_the_role_changes_nothing_when_it_runs_again(server: Server) -> None:
    assert "changed=0" in server.role()


def test_a_permitted_push_is_stored(server: Server) -> None:
    where = server.clone("mona")
    head = commit(where, "mona", shop("welcome"))
    done = server.push("mona", where)
    assert done.returncode == 0, done.stderr
    assert server.tip() == head


def test_a_prohibited_push_is_refused_and_says_why(server: Server) -> None:
    before = server.tip()
    where = server.clone("mona")
    head = commit(where, "mona", version("1.37.2"))
    done = server.push("mona", where)
    assert done.returncode != 0
    assert server.tip() == before
    said = done.stderr.replace("remote: ", "")
    for part in (
        "PROHIBITED",
        f"{VERSION}:2",
        '"1.36.3" -> "1.37.2"',
        "only Cluster Operators change Kubernetes versions",
        "Who could: role cluster-operators",
        "Go on:",
    ):
        assert part in said, done.stderr
    assert max(len(line.rstrip()) for line in done.stderr.splitlines() if line.startswith("remote:")) <= 80
    assert "2 things stand in the way" in said, done.stderr
    assert git(server.bare, "cat-file", "-e", head, check=False).returncode != 0, "nothing of it is kept"


def test_who_pushes_counts_not_who_wrote_it(server: Server) -> None:
    """A commit in an operator's name gets mona nowhere."""
    where = server.clone("mona")
    commit(where, "olga", version("1.37.2"))
    before = server.tip()
    assert server.push("mona", where).returncode != 0
    assert server.tip() == before


def test_another_branch_is_not_judged_and_a_protected_pattern_is(server: Server) -> None:
    where = server.clone("mona")
    commit(where, "mona", version("1.37.2"))
    assert server.push("mona", where, "main:topic").returncode == 0
    assert server.tip("topic")
    assert server.push("mona", where, "main:release/1").returncode != 0
    assert not server.tip("release/1")


def test_several_branches_are_refused_together(server: Server) -> None:
    where = server.clone("mona")
    commit(where, "mona", version("1.37.2"))
    before = server.tip()
    assert server.push("mona", where, "main", "main:topic-2").returncode != 0
    assert (server.tip(), server.tip("topic-2")) == (before, "")


def test_the_protected_branch_cannot_be_taken_away_or_turned_back(server: Server) -> None:
    where = server.clone("mona")
    before = server.tip()
    assert server.push("mona", where, ":main").returncode != 0
    git(where, "reset", "-q", "--hard", "HEAD~1")
    assert server.push("mona", where, "+main").returncode != 0
    assert server.tip() == before


def test_an_unknown_pusher_is_refused(server: Server) -> None:
    """On the machine itself nobody says who pushes."""
    where = server.clone("mona")
    commit(where, "mona", shop("local"))
    git(where, "remote", "set-url", "origin", str(server.bare))
    before = server.tip()
    done = git(where, "push", "-q", "origin", "main", check=False)
    assert done.returncode != 0 and server.tip() == before
    assert "WEFT_USER" in done.stderr


def test_every_verdict_is_on_record(server: Server) -> None:
    done = policy("log", "verify", str(server.log), cwd=server.top)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = policy("log", "list", str(server.log), cwd=server.top).stdout
    assert " permitted " in shown and "PROHIBITED" in shown


def test_what_cannot_be_recorded_is_refused(server: Server) -> None:
    where = server.clone("mona")
    commit(where, "mona", shop("unrecorded"))
    before = server.tip()
    kept = server.log.rename(server.log.with_name("kept"))
    server.log.mkdir()
    try:
        done = server.push("mona", where)
    finally:
        server.log.rmdir()
        kept.rename(server.log)
    assert done.returncode != 0 and server.tip() == before
    assert str(server.log) in done.stderr


def test_the_role_takes_everything_away_again(server: Server) -> None:
    server.role("absent")
    assert not (server.bare / "hooks" / "pre-receive").exists()
    assert not (server.top / "library").exists() and not (server.top / "settings").exists()
    assert server.log.exists()
    assert "changed=0" in server.role("absent")
    where = server.clone("mona")
    head = commit(where, "mona", version("1.37.2"))
    assert server.push("mona", where).returncode == 0
    assert server.tip() == head

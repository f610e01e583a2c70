# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Whose a change is, whatever was done to its history: real merges, rebases and reverts, signed with real keys."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    CommitPeople,
    Person,
    Request,
    Verdict,
)

from tests.tools import need
from tests.unit.policy.engine.test_signatures import run

LOGINS = ("olga", "otto", "mona", "eve")
ROLES = """\
roles: {ops: {members: ['user:olga', 'user:otto']}, devs: {members: ['user:mona']}}
people: {olga: [olga@example.org], otto: [otto@example.org], mona: [mona@example.org], eve: [eve@example.org]}
"""
RULES = "rules: [{name: all, change: {file: '**'}, allow: [ops, devs], approvals: {count: 1, from: ops}}]\n"


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    """A directory with everybody's SSH keys."""
    need.programs("ssh-keygen")
    home = Path(tempfile.mkdtemp(prefix="weft"))
    home.chmod(0o700)
    for login in LOGINS:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", login, "-f", str(home / login), where=home)
    yield home
    shutil.rmtree(home)


class Work:
    """A repository with a work tree in which people work with git itself, and sign."""

    def __init__(self, path: Path, keys: Path, identity: str) -> None:
        self.path, self.keys, self.identity = path, keys, identity
        self.clock = 1_790_000_000
        path.mkdir()
        self.git("olga", "init", "-q", "-b", "main")
        signers = "".join(f'{login} namespaces="git" {(keys / f"{login}.pub").read_text()}' for login in LOGINS)
        policy = {"roles.yml": ROLES, "rules/all.yml": RULES, "allowed_signers": signers}
        policy["settings.yml"] = f"identity: {{commits: {identity}}}\n"
        files = {f"policy/{name}": content for name, content in policy.items()}
        self.start = self.commit("olga", {**files, "a": "1\n", "b": "1\n", "c": "1\n"})

    def git(self, login: str, *arguments: str) -> str:
        """Output of a Git command that somebody gives."""
        self.clock += 60
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _named(login).items()}
        dates = {f"GIT_{role}_DATE": f"{self.clock} +0000" for role in ("AUTHOR", "COMMITTER")}
        sign = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / login}", "-c", "commit.gpgsign=true")
        return run("git", *sign, *arguments, where=self.path, data=b"", **who, **dates).strip()

    def commit(self, login: str, files: dict[str, str], *more: str) -> str:
        """A commit of files on what is checked out."""
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        self.git(login, "add", "-A")
        self.git(login, "commit", "-q", "-m", "work", *more)
        return self.git(login, "rev-parse", "HEAD")

    def branch(self, login: str, name: str, files: dict[str, str], start: str = "") -> str:
        """A branch with one commit."""
        self.git(login, "checkout", "-q", "-b", name, start or self.start)
        return self.commit(login, files)

    def merge(self, login: str, *others: str) -> str:
        """A merge into what is checked out."""
        self.git(login, "merge", "-q", "--no-ff", "-m", "merge", *others)
        return self.git(login, "rev-parse", "HEAD")

    def ask(self, head: str, base: str = "main", author: str = "mona", **more: tuple[Approval, ...] | str) -> Verdict:
        """The verdict, approved by otto; the forge knows people by their addresses."""
        base = self.git("olga", "rev-parse", base)
        listed = self.git("olga", "log", "--format=%H %al %cl", "--all").splitlines()
        commits = tuple(CommitPeople(one, Person(by), Person(to)) for one, by, to in map(str.split, listed))
        approvals = (Approval(Person("otto"), head),)
        request = Request(base, head, "main", Person(author), (), (), approvals, commits)
        now = datetime.fromtimestamp(self.clock, UTC) + timedelta(days=1)
        return judge(request._replace(**more), self.path, now=now)  # type: ignore[arg-type]  # as the caller says


def _named(login: str) -> dict[str, str]:
    return {"NAME": login, "EMAIL": f"{login}@example.org"}


@pytest.fixture(params=["signed", "forge"])
def work(tmp_path: Path, keys: Path, request: pytest.FixtureRequest) -> Work:
    return Work(tmp_path / "work", keys, request.param)


def behind(verdict: Verdict) -> list[str]:
    return sorted(login for login, _how in verdict.people)


def paths(verdict: Verdict) -> list[str]:
    return [one.subject.name for one in verdict.changes]


class TestMerges:
    def test_a_branch_of_somebody_else_brings_them_along(self, work: Work) -> None:
        work.branch("eve", "hers", {"b": "2\n"})
        own = work.branch("mona", "topic", {"a": "2\n"})
        assert work.ask(own).permitted
        verdict = work.ask(work.merge("mona", "hers"))
        assert behind(verdict) == ["eve", "mona"] and not verdict.permitted and paths(verdict) == ["a", "b"]

    def test_even_if_nothing_of_theirs_is_left(self, work: Work) -> None:
        """What somebody merged can be taken back later; who was there is asked nevertheless."""
        work.branch("eve", "hers", {"b": "2\n"})
        work.branch("mona", "topic", {"a": "2\n"})
        work.git("mona", "merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", "hers")
        verdict = work.ask(work.git("mona", "rev-parse", "HEAD"))
        assert behind(verdict) == ["eve", "mona"] and not verdict.permitted and paths(verdict) == ["a"]

    def test_an_octopus_brings_everybody(self, work: Work) -> None:
        work.branch("eve", "hers", {"b": "2\n"})
        work.branch("olga", "other", {"c": "2\n"})
        work.branch("mona", "topic", {"a": "2\n"})
        verdict = work.ask(work.merge("mona", "hers", "other"))
        assert behind(verdict) == ["eve", "mona", "olga"] and paths(verdict) == ["a", "b", "c"]

    def test_the_target_merged_into_it_brings_nobody(self, work: Work) -> None:
        work.branch("mona", "topic", {"a": "2\n"})
        work.git("eve", "checkout", "-q", "main")
        work.commit("eve", {"b": "2\n"})
        work.git("mona", "checkout", "-q", "topic")
        verdict = work.ask(work.merge("mona", "main"))
        assert behind(verdict) == ["mona"] and verdict.permitted and paths(verdict) == ["a"]

    def test_what_a_merge_holds_besides_is_its_makers(self, work: Work) -> None:
        work.branch("mona", "topic", {"a": "2\n"})
        work.git("olga", "checkout", "-q", "main")
        work.commit("olga", {"b": "2\n"})
        work.git("eve", "checkout", "-q", "topic")
        work.merge("eve", "main")
        work.git("eve", "reset", "-q", "--soft", "HEAD")
        verdict = work.ask(work.commit("eve", {"c": "evil\n", "b": "1\n"}, "--amend", "--reset-author"))
        # taking the target's work back is a change as well
        assert behind(verdict) == ["eve", "mona"] and not verdict.permitted and paths(verdict) == ["a", "b", "c"]

    def test_a_criss_cross_cannot_be_judged(self, work: Work) -> None:
        work.branch("mona", "topic", {"a": "2\n"})
        work.git("olga", "checkout", "-q", "main")
        old = work.commit("olga", {"b": "2\n"})
        work.merge("olga", "topic")
        work.git("mona", "checkout", "-q", "topic")
        work.merge("mona", old)
        verdict = work.ask(work.commit("mona", {"c": "2\n"}))
        assert not verdict.permitted and not verdict.judged
        assert any("several places" in one.message for one in verdict.findings)

    def test_a_merge_that_is_reverted_is_taken_back_by_who_does(self, work: Work) -> None:
        work.branch("eve", "hers", {"b": "2\n"})
        work.git("olga", "checkout", "-q", "main")
        work.merge("olga", "hers")
        work.git("mona", "checkout", "-q", "-b", "topic")
        work.git("mona", "revert", "--no-edit", "-m", "1", "HEAD")
        verdict = work.ask(work.git("mona", "rev-parse", "HEAD"))
        assert behind(verdict) == ["mona"] and verdict.permitted and paths(verdict) == ["b"]


class TestOthersCommits:
    def test_who_rebases_is_behind_it_beside_the_author(self, work: Work) -> None:
        work.branch("mona", "topic", {"a": "2\n"})
        work.git("olga", "checkout", "-q", "main")
        work.commit("olga", {"b": "2\n"})
        work.git("olga", "checkout", "-q", "topic")
        work.git("olga", "rebase", "-q", "main")
        head = work.git("olga", "rev-parse", "HEAD")
        assert behind(work.ask(head)) == ["mona", "olga"] and work.ask(head).permitted
        verdict = work.ask(head, approvals=(Approval(Person("olga"), head),))
        assert not verdict.permitted and verdict.approvals == ()

    @pytest.mark.parametrize("author", [(), ("--reset-author",)])
    def test_who_amends_has_not_approved_it(self, work: Work, author: tuple[str, ...]) -> None:
        first = work.branch("mona", "topic", {"a": "2\n"})
        approved = Approval(Person("otto"), first)
        assert work.ask(first, approvals=(approved,)).permitted
        head = work.commit("otto", {"a": "3\n"}, "--amend", *author)
        for approvals in ((approved,), (approved, Approval(Person("otto"), head))):
            verdict = work.ask(head, approvals=approvals)
            assert not verdict.permitted and verdict.approvals == () and "otto" in behind(verdict)
        assert work.ask(first, approvals=(approved,)).permitted  # what was approved is there again

    def test_who_picks_a_commit_does_not_make_it_their_own(self, work: Work) -> None:
        hers = work.branch("eve", "hers", {"b": "2\n"})
        work.git("mona", "checkout", "-q", "-b", "topic", work.start)
        work.git("mona", "cherry-pick", hers)
        verdict = work.ask(work.git("mona", "rev-parse", "HEAD"))
        assert behind(verdict) == ["eve", "mona"] and not verdict.permitted

    def test_an_empty_commit_is_somebodys(self, work: Work) -> None:
        work.branch("mona", "topic", {"a": "2\n"})
        verdict = work.ask(work.commit("eve", {}, "--allow-empty"))
        assert behind(verdict) == ["eve", "mona"] and not verdict.permitted

    def test_what_is_taken_back_in_the_same_branch_is_nothing(self, work: Work) -> None:
        work.branch("eve", "topic", {"a": "2\n"})
        verdict = work.ask(work.commit("eve", {"a": "1\n"}), author="eve")
        assert verdict.permitted and verdict.changes == ()


class TestHeads:
    def test_a_head_that_brings_nothing(self, work: Work) -> None:
        work.git("olga", "checkout", "-q", "main")
        work.commit("olga", {"b": "2\n"})
        for head in ("main", work.start):
            verdict = work.ask(work.git("olga", "rev-parse", head), author="eve")
            assert verdict.permitted and verdict.changes == () and behind(verdict) == ["eve"]

    def test_another_history_cannot_be_judged(self, work: Work) -> None:
        work.git("mona", "checkout", "-q", "--orphan", "topic")
        verdict = work.ask(work.commit("mona", {"a": "2\n"}))
        assert not verdict.permitted and any("no history in common" in one.message for one in verdict.findings)

    def test_a_branch_that_moves_does_not_move_the_verdict(self, work: Work) -> None:
        """It is about two commits; where the branch is meanwhile is not looked at."""
        head = work.branch("mona", "topic", {"a": "2\n"})
        before = work.ask(head, work.start)
        work.commit("eve", {"a": "evil\n"})
        work.git("eve", "branch", "-f", "main", "topic")
        after = work.ask(head, work.start)
        assert before.permitted and after == before._replace(now=after.now)

    def test_what_the_forge_squashed_is_what_was_judged(self, work: Work) -> None:
        head = work.branch("mona", "topic", {"a": "2\n"})
        work.commit("mona", {"a": "3\n"})
        head = work.git("mona", "rev-parse", "HEAD")
        made = []
        for evil in ({}, {"c": "evil\n"}):
            work.git("eve", "checkout", "-q", "--detach", "main")
            work.git("eve", "merge", "-q", "--squash", "topic")
            made.append(work.commit("eve", evil))
        assert behind(work.ask(head, merged=made[0])) == ["mona"] and work.ask(head, merged=made[0]).permitted
        verdict = work.ask(head, merged=made[1])
        assert not verdict.permitted and any("otherwise than the merge" in one.message for one in verdict.findings)


@pytest.mark.parametrize("login", ["Olga", "OLGA"])
def test_an_approver_is_known_in_another_case_and_counts_once(tmp_path: Path, keys: Path, login: str) -> None:
    work = Work(tmp_path / "work", keys, "signed")
    head = work.branch("mona", "topic", {"a": "2\n"})
    approvals = (Approval(Person(login), head), Approval(Person("olga"), head))
    verdict = work.ask(head, approvals=approvals)
    assert verdict.permitted and len(verdict.approvals) == 1
    assert not work.ask(head, author=login, approvals=approvals).permitted


@pytest.mark.parametrize("login", ["оlga", "o1ga", "olga2", "0lga"])  # the first begins with another alphabet's o
def test_an_approver_of_another_name_is_somebody_else(tmp_path: Path, keys: Path, login: str) -> None:
    work = Work(tmp_path / "work", keys, "signed")
    head = work.branch("mona", "topic", {"a": "2\n"})
    assert not work.ask(head, approvals=(Approval(Person(login), head),)).permitted

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The pre-receive hook: which pushes it judges, by whom, and what it answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _hook
from ansible_collections.weft.platform.plugins.plugin_utils._policy._hook import Config, Push
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError, PolicyError

from tests.unit.policy.engine.test_judge import NOW, START, VERSION, config_map
from tests.unit.policy.surroundings.policy_wire import Call, Wire, serve

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

    def push(
        self,
        *lines: tuple[str, str, str],
        who: str | None = "mona",
        told: dict[str, str] | None = None,
        **settings: Any,
    ) -> tuple[int, str]:
        """Exit code and words of the hook; a line is old, new, reference; `told` is what the server says besides."""
        out = io.StringIO()
        environment = {"GIT_DIR": str(self.repo.path)} | ({} if who is None else {"WEFT_USER": who}) | (told or {})
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
        ("{}", (["main"], "WEFT_USER", "", "", "text", "", "", "")),
        ("branches: [main, 'release/*']\n", (["main", "release/*"], "WEFT_USER", "", "", "text", "", "", "")),
        (
            '{"branches": ["a"], "pusher_env": "U", "teams": "t", "log": "l", "format": "json"}',
            (["a"], "U", "t", "l", "json", "", "", ""),
        ),
        (
            "{forge: gitea, api: 'https://git.example.org/api/v1', token: /etc/token}",
            (["main"], "WEFT_USER", "", "", "text", "gitea", "https://git.example.org/api/v1", "/etc/token"),
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
        *("forge: gitea", "{forge: gitea, api: a}", "token: t", "{forge: github, api: a, token: t}", "forge: [gitea]"),
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


# --- merges in the pages of a forge ---------------------------------------------------------------------------------

API = "/api/v1/repos/acme/site"
MAIN = "refs/heads/main"
MERGES = {
    "GITEA_PUSH_TRIGGER": "pr-merge-to-base",
    "GITEA_PR_ID": "41",
    "GITEA_PR_INDEX": "5",
    "GITEA_REPO_USER_NAME": "acme",
    "GITEA_REPO_NAME": "site",
}
UPGRADE = {VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}


class Merging:
    """A Gitea with pull request 5 by olga, which otto approved, and a hook that may ask it."""

    def __init__(self, server: Server, wire: Wire, room: Path) -> None:
        self.server = server
        self.wire = wire
        token = room / "token"
        token.write_text("s3cret\n")
        server.teams.write_text('{"teams": {"platform": ["olga", "otto"], "shop": ["mona"]}}')
        self.settings = {"forge": "gitea", "api": f"{wire.url}/api/v1", "token": str(token)}
        self.head = server.repo.commit(UPGRADE, server.base, author="olga", branch="upgrade")
        self.pull(self.head)

    def pull(self, head: str, approved: str = "", target: str = "main", author: str = "olga") -> None:
        """What the forge says of the pull request."""

        def listed(*entries: Any) -> Any:
            return lambda call: list(entries) if call.query["page"] == "1" else []

        review = {"id": 1, "user": {"login": "otto"}, "state": "APPROVED", "commit_id": approved or head}
        pull = {"number": 5, "user": {"login": author}, "head": {"sha": head}, "base": {"ref": target}}
        commits = [
            {"sha": line, "author": {"login": author}, "committer": {"login": author}}
            for line in self.server.repo.git("rev-list", head, f"^{self.server.base}").split()
        ]
        self.wire.answers |= {
            f"GET {API}/pulls/5": pull,
            f"GET {API}/branches/{target}": {"commit": {"id": self.server.base}},
            f"GET {API}/pulls/5/reviews": listed(review),
            f"GET {API}/pulls/5/commits": listed(*commits),
            f"GET {API}/issues/5/timeline": listed(),
        }

    def push(self, new: str, old: str = "", who: str = "mona", **told: str) -> tuple[int, str]:
        """The forge merges, on the button of somebody who is not behind the change."""
        line = (old or self.server.base, new, MAIN)
        return self.server.push(line, who=who, told=MERGES | told, **self.settings)


@pytest.fixture
def merging(server: Server, tmp_path: Path) -> Iterator[Merging]:
    with serve() as wire:
        yield Merging(server, wire, tmp_path)


def test_a_merge_by_the_forge_is_judged_as_its_pull_request(merging: Merging) -> None:
    repo, base = merging.server.repo, merging.server.base
    merged = repo.commit(UPGRADE, (base, merging.head), author="mona", branch="merged")
    squashed = repo.commit(UPGRADE, base, author="forge", branch="squashed")
    for new in (merged, squashed, merging.head):
        assert merging.push(new) == (0, ""), "merged, squashed, fast-forwarded"
    assert all(call.headers["authorization"] == "token s3cret" for call in merging.wire.calls)
    assert not merging.wire.writes(), "it only asks"


def test_an_approval_of_an_older_head_permits_no_merge(merging: Merging) -> None:
    merging.pull(merging.head, approved="0" * 40)
    code, words = merging.push(merging.head)
    assert code == 1 and "needs 1 approval" in words
    # nor does one by whoever is behind the change
    merging.pull(merging.head, author="otto")
    assert merging.push(merging.head)[0] == 1


def test_the_people_of_the_pull_request_count_and_not_who_merges(merging: Merging) -> None:
    merging.pull(merging.head, author="mona")
    code, words = merging.push(merging.head, who="olga")
    assert code == 1 and "mona" in words and "olga" not in words


def test_a_merge_holds_the_pull_request_and_no_more(merging: Merging) -> None:
    repo, base = merging.server.repo, merging.server.base
    for more in (README, {"apps/shop/web.yaml": None}, {VERSION: 'cluster_kubernetes_version: "1.37.3"\n'}):
        evil = repo.commit({**UPGRADE, **more}, (base, merging.head), branch="evil")
        code, words = merging.push(evil)
        assert code == 1 and "otherwise than the merge gives it" in " ".join(words.split()), more
    beside = repo.commit(UPGRADE, repo.commit({}, branch="beside"), branch="beside")
    assert merging.push(beside)[0] == 2, "not on top of the branch"


def test_a_pull_request_behind_its_branch_is_merged_within_files_too(merging: Merging) -> None:
    repo = merging.server.repo
    lines = "".join(f"line{number}: x\n" for number in range(20))
    base = repo.commit(
        {"apps/shop/notes.txt": lines, "policy/rules/more.yml": MORE}, merging.server.base, branch="main"
    )
    theirs, ours = lines.replace("line0: x", "line0: theirs"), lines.replace("line19: x", "line19: ours")
    head = repo.commit({"apps/shop/notes.txt": theirs}, base, author="olga", branch="topic")
    tip = repo.commit({"apps/shop/notes.txt": ours}, base, branch="main")
    both = theirs.replace("line19: x", "line19: ours")
    merged = repo.commit({"apps/shop/notes.txt": both}, (tip, head), branch="merged")
    merging.pull(head)
    assert merging.push(merged, old=tip) == (0, "")
    evil = repo.commit({"apps/shop/notes.txt": both + "more: y\n"}, (tip, head), branch="evil")
    code, words = merging.push(evil, old=tip)
    assert code == 1 and "apps/shop/notes.txt" in words and "otherwise" in words


MORE = "rules: [{name: operators write notes, change: {file: 'apps/**'}, allow: cluster-operators}]\n"


def test_a_merge_into_another_branch_is_refused(merging: Merging) -> None:
    merging.pull(merging.head, target="next")
    code, words = merging.push(merging.head)
    assert code == 2 and "for next into another branch" in words


@pytest.mark.parametrize(
    "told", [{"GITEA_PR_INDEX": ""}, {"GITEA_PR_INDEX": "0"}, {"GITEA_PUSH_TRIGGER": "pr-update-with-base"}]
)
def test_other_pushes_know_of_no_approvals(merging: Merging, told: dict[str, str]) -> None:
    code, words = merging.push(merging.head, who="olga", **told)
    assert code == 1 and "needs 1 approval" in words
    assert not merging.wire.made("GET", f"{API}/pulls/5")
    assert ("This merge was judged as a push by olga" in words) is ("GITEA_PR_INDEX" in told)


def test_without_a_forge_to_ask_a_merge_is_a_push_and_says_so(merging: Merging) -> None:
    line = (merging.server.base, merging.head, MAIN)
    code, words = merging.server.push(line, who="olga", told=MERGES)
    assert code == 1 and "needs 1 approval" in words and "without the approvals of its pull request" in words


def test_a_forge_that_does_not_answer_refuses(merging: Merging) -> None:
    merging.wire.answers.clear()
    code, words = merging.push(merging.head)
    assert code == 2 and words.startswith("PROHIBITED: main: GET ") and "s3cret" not in words
    Path(merging.settings["token"]).unlink()
    assert "token cannot be read" in merging.push(merging.head)[1]
    assert "GITEA_REPO_NAME" in merging.push(merging.head, GITEA_REPO_NAME="")[1]


def test_teams_are_asked_of_the_forge_where_no_file_says_them(merging: Merging) -> None:
    def teams(call: Call) -> Any:
        return [{"id": 3, "name": "platform"}, {"id": 1, "name": "Owners"}] if call.query["page"] == "1" else []

    def members(call: Call) -> Any:
        return [{"login": "olga"}, {"login": "otto"}] if call.query["page"] == "1" else []

    merging.wire.answers |= {"GET /api/v1/orgs/acme/teams": teams, "GET /api/v1/teams/3/members": members}
    line = (merging.server.base, merging.head, MAIN)
    assert merging.server.push(line, told=MERGES, **{**merging.settings, "teams": ""}) == (0, "")

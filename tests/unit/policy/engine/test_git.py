# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Objects are read as they are, whatever a repository says or does."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import (
    Merge,
    Repository,
    TooLarge,
    objects_directory,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Entry, GitError, Limits
from ansible_collections.weft.platform.plugins.plugin_utils._policy._reference import resolve

Repo = Any  # the class is in conftest.py, which cannot be imported from


def merged(repository: Repository, base: str, head: str) -> Merge:
    _commits, merge_base = repository.commits(base, head)
    return repository.merge(base, head, merge_base)


def changed(repo: Repo, base: str, head: str) -> list[str]:
    with Repository(repo.path, base) as repository:
        return [one.path for one in repository.changed(merged(repository, base, head))]


class TestTrees:
    def test_every_kind_of_difference(self, repo: Repo) -> None:
        base = repo.commit({"a/b/same": "1", "a/b/edited": "1", "a/gone": "1", "mode": "1", "file": "1", "dir/x": "1"})
        head = repo.commit(
            {
                "a/b/edited": "2",
                "a/gone": None,
                "a/new": "1",
                "mode": ("100755", "1"),
                "file": ("120000", "a/new"),
                "dir": "now a file",
                "sub": ("160000", "1" * 40),
            },
            base,
        )
        with Repository(repo.path, base) as repository:
            found = {one.path: one for one in repository.changed(merged(repository, base, head))}
        assert sorted(found) == ["a/b/edited", "a/gone", "a/new", "dir", "dir/x", "file", "mode", "sub"]
        assert found["a/gone"].after is None
        assert found["a/new"].before is None
        assert found["mode"].after is not None and found["mode"].after.mode == "100755"
        assert found["file"].after is not None and found["file"].after.mode == "120000"
        assert found["sub"].after is not None and found["sub"].after.mode == "160000"

    def test_odd_names_are_kept(self, repo: Repo) -> None:
        names = [
            "new\nline",
            "tab\there",
            "caf\u00e9",
            b"inv\xff\xfealid".decode("utf-8", "surrogateescape"),
            '"q"',
            " ",
        ]
        base = repo.commit({"x": "1"})
        head = repo.commit(dict.fromkeys(names, "y"), base)
        assert changed(repo, base, head) == sorted(names)

    def test_walk_names_and_read(self, repo: Repo) -> None:
        base = repo.commit({"a/b/c": "one", "a/d": "two", "e": "three"})
        with Repository(repo.path, base) as repository:
            tree = repository.tree(base)
            assert sorted(entry.path for entry in tree.walk()) == ["a/b/c", "a/d", "e"]
            assert [entry.path for entry in tree.walk("a/b")] == ["a/b/c"]
            assert list(tree.walk("nowhere")) == [] and list(tree.walk("e")) == []
            assert sorted(tree.names("a")) == ["b", "d"]
            assert tree.read("a/d") == b"two"
            assert tree.entry("e/f") is None
            for path in ("a", "nothing"):
                with pytest.raises(GitError, match=path):
                    tree.read(path)

    def test_sha256_repositories(self, new_repo: Callable[..., Repo]) -> None:
        repo = new_repo("other.git", "sha256")
        base = repo.commit({"a": "1"})
        head = repo.commit({"a": "2"}, base)
        assert len(base) == 64
        assert changed(repo, base, head) == ["a"]

    @pytest.mark.parametrize("name", [b"..", b".", b".git", b".GIT", b"a/b", b""])
    def test_names_that_no_checkout_could_hold(self, repo: Repo, name: bytes) -> None:
        blob = repo.git("hash-object", "-w", "--stdin", data=b"x")
        raw = b"100644 " + name + b"\0" + bytes.fromhex(blob)
        tree = repo.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=raw)
        commit = f"tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx".encode()
        head = repo.git("hash-object", "-t", "commit", "-w", "--stdin", data=commit)
        with Repository(repo.path, head) as repository, pytest.raises(GitError, match="impossible name"):
            list(repository.tree(head).walk())

    def test_a_name_twice(self, repo: Repo) -> None:
        blob = bytes.fromhex(repo.git("hash-object", "-w", "--stdin", data=b"x"))
        raw = b"100644 a\0" + blob + b"100644 a\0" + blob
        tree = repo.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=raw)
        with Repository(repo.path, tree) as repository, pytest.raises(GitError, match="impossible name 'a'"):
            repository.listing(tree)


class TestLimits:
    def test_a_large_file_is_not_read_and_the_next_one_is(self, repo: Repo) -> None:
        base = repo.commit({"large": "x" * 3_000_000, "small": "y"})
        with Repository(repo.path, base, Limits(blob_bytes=1000)) as repository:
            tree = repository.tree(base)
            with pytest.raises(TooLarge, match="3000000 bytes"):
                tree.read("large")
            assert tree.read("small") == b"y"

    def test_the_sum_of_all_reads(self, repo: Repo) -> None:
        base = repo.commit({f"f{index}": str(index) * 400 for index in range(10)})
        with Repository(repo.path, base, Limits(total_bytes=2000)) as repository:
            tree = repository.tree(base)
            with pytest.raises(GitError, match="more than 2000 bytes"):
                for entry in tree.walk():
                    tree.read(entry.path)

    def test_paths_commits_and_depth(self, repo: Repo) -> None:
        base = repo.commit({"x": "1"})
        head = repo.commit({f"f{index}": "1" for index in range(30)}, base)
        for index in range(5):
            head = repo.commit({"x": f"2{index}", "a/" * 20 + "y": str(index)}, head)
        with Repository(repo.path, base, Limits(files=20)) as repository, pytest.raises(GitError, match="20 paths"):
            repository.changed(merged(repository, base, head))
        with Repository(repo.path, base, Limits(commits=3)) as repository, pytest.raises(GitError, match="3 commits"):
            repository.commits(base, head)
        with Repository(repo.path, base, Limits(depth=5)) as repository, pytest.raises(GitError, match="deeper than 5"):
            repository.changed(merged(repository, base, head))

    def test_the_deadline(self, repo: Repo) -> None:
        base = repo.commit({"x": "1"})
        late = time.monotonic() - 1
        with Repository(repo.path, base, deadline=late) as repository, pytest.raises(GitError, match="in time"):
            repository.commit(base)

    def test_missing_wrong_and_damaged_objects(self, repo: Repo) -> None:
        base = repo.commit({"x": "1"})
        with Repository(repo.path, base) as repository:
            with pytest.raises(GitError, match="missing"):
                repository.commit("0" * 40)
            tree = repository.commit(base).tree
            with pytest.raises(GitError, match="is a tree, not a commit"):
                repository.commit(tree)
            with pytest.raises(GitError, match="no full object id"):
                repository.commit("HEAD\nHEAD")
            assert repository.commit(base).oid == base  # it goes on after an error


class TestHistory:
    def test_commits_of_the_change_and_who_wrote_them(self, repo: Repo) -> None:
        base = repo.commit({"x": "1"})
        one = repo.commit({"x": "2"}, base, author="bob")
        two = repo.commit({"x": "3"}, one, author="carol", committer="dave")
        with Repository(repo.path, base) as repository:
            commits, merge_base = repository.commits(base, two)
        assert merge_base == base
        people = [(commit.author, commit.committer) for commit in commits]
        assert people == [("carol@example.org", "dave@example.org"), ("bob@example.org", "bob@example.org")]

    def test_nothing_to_merge(self, repo: Repo) -> None:
        base = repo.commit({"x": "1"})
        head = repo.commit({"x": "2"}, base)
        with Repository(repo.path, base) as repository:
            assert repository.commits(head, head) == ([], head)
            assert repository.commits(head, base) == ([], base)

    def test_no_common_history(self, repo: Repo) -> None:
        base, other = repo.commit({"x": "1"}), repo.commit({"x": "2"}, branch="other")
        with Repository(repo.path, base) as repository, pytest.raises(GitError, match="no history in common"):
            repository.commits(base, other)

    def test_several_merge_bases(self, repo: Repo) -> None:
        start = repo.commit({"x": "1"})
        left, right = repo.commit({"l": "1"}, start), repo.commit({"r": "1"}, start, branch="other")
        one, two = repo.commit({"r": "1"}, (left, right)), repo.commit({"l": "1"}, (right, left), branch="other")
        with Repository(repo.path, start) as repository, pytest.raises(GitError, match="several places"):
            repository.commits(one, two)

    def test_a_shallow_clone_says_what_to_do(self, repo: Repo, tmp_path: os.PathLike[str]) -> None:
        base = repo.commit({"x": "1"})
        head = repo.commit({"x": "3"}, repo.commit({"x": "2"}, base))
        shallow = os.path.join(tmp_path, "shallow")
        subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{repo.path}", "-b", "work", shallow], check=True)
        with Repository(shallow, head) as repository, pytest.raises(GitError, match="shallow"):
            repository.commits(base, head)


class TestMerge:
    def test_the_target_went_on_elsewhere(self, repo: Repo) -> None:
        start = repo.commit({"a": "1", "b": "1", "d/x": "1", "e/f/g": "1"})
        base = repo.commit({"b": "2", "d/y": "1"}, start, branch="main")
        head = repo.commit({"a": "2", "d/z": "1", "e/f/g": None}, start)
        with Repository(repo.path, base) as repository:
            merge = merged(repository, base, head)
            assert merge.conflicts == () and merge.merge_base == start
            assert [one.path for one in repository.changed(merge)] == ["a", "d/z", "e/f/g"]
            assert sorted(entry.path for entry in merge.after.walk()) == ["a", "b", "d/x", "d/y", "d/z"]
            assert merge.after.read("b") == b"2" and merge.after.read("a") == b"2"
            assert merge.after.entry("e") is None

    def test_the_same_file_is_merged_as_git_would(self, repo: Repo) -> None:
        start = repo.commit({"a": "1\n2\n3\n4\n5\n6\n7\n"})
        base = repo.commit({"a": "one\n2\n3\n4\n5\n6\n7\n"}, start, branch="main")
        head = repo.commit({"a": ("100755", "1\n2\n3\n4\n5\n6\nseven\n")}, start)
        with Repository(repo.path, base) as repository:
            merge = merged(repository, base, head)
            assert merge.conflicts == ()
            assert merge.after.read("a") == b"one\n2\n3\n4\n5\n6\nseven\n"
            entry = merge.after.entry("a")
            assert entry is not None and entry.mode == "100755"

    def test_the_same_change_on_both_sides_is_none(self, repo: Repo) -> None:
        start = repo.commit({"a": "1", "b": "1"})
        base = repo.commit({"a": "2"}, start, branch="main")
        head = repo.commit({"a": "2", "b": "2"}, start)
        assert changed(repo, base, head) == ["b"]

    @pytest.mark.parametrize(
        ("ours", "theirs", "conflict"),
        [
            ({"a": "2"}, {"a": "3"}, "a"),
            ({"a": None}, {"a": "3"}, "a"),
            ({"a": "2"}, {"a": None}, "a"),
            ({"n": "2"}, {"n": "3"}, "n"),
            ({"n": "2"}, {"n/m": "3"}, "n/m"),
            ({"n/m": "2"}, {"n": "3"}, "n"),
            ({"a": "2"}, {"a": ("120000", "b")}, "a"),
        ],
    )
    def test_conflicts(self, repo: Repo, ours: dict[str, str], theirs: dict[str, str], conflict: str) -> None:
        start = repo.commit({"a": "1", "b": "1"})
        base = repo.commit(ours, start, branch="main")
        head = repo.commit(theirs, start)
        with Repository(repo.path, base) as repository:
            assert conflict in merged(repository, base, head).conflicts

    def test_a_directory_of_the_target_that_the_change_takes_away(self, repo: Repo) -> None:
        start = repo.commit({"d/x": "1", "b": "1"})
        base = repo.commit({"b": "2"}, start, branch="main")
        head = repo.commit({"d": "a file now"}, repo.commit({"d/x": None}, start))
        with Repository(repo.path, base) as repository:
            merge = merged(repository, base, head)
            assert merge.conflicts == ()
            assert sorted(entry.path for entry in merge.after.walk()) == ["b", "d"]

    def test_a_merge_that_throws_the_targets_work_away_is_seen(self, repo: Repo) -> None:
        start = repo.commit({"a": "1", "b": "1"})
        base = repo.commit({"b": "2"}, start, branch="main")
        mine = repo.commit({"a": "2"}, start)
        head = repo.commit({"b": "1"}, (mine, base))  # "merged" the target, kept the old b
        assert changed(repo, base, head) == ["a", "b"]


class TestHardening:
    def test_nothing_of_the_repositorys_configuration_is_used(self, repo: Repo, tmp_path: os.PathLike[str]) -> None:
        base = repo.commit({"a": "1", ".gitattributes": "* diff=evil filter=evil"})
        head = repo.commit({"a": "2"}, base)
        witness = os.path.join(tmp_path, "ran")
        for key in ("diff.evil.textconv", "filter.evil.smudge", "core.fsmonitor", "core.sshCommand", "diff.external"):
            repo.git("config", key, f"touch {witness}; cat")
        repo.git("config", "remote.origin.url", f"ext::touch {witness}")
        repo.git("config", "remote.origin.promisor", "true")
        repo.git("config", "extensions.partialClone", "origin")
        repo.git("config", "include.path", "/nonexistent/elsewhere")
        assert changed(repo, base, head) == ["a"]
        with Repository(repo.path, base) as repository:
            with pytest.raises(GitError, match="missing"):
                repository.object("1" * 40, "blob")
            assert repository.tree(base).mentions(["1"]) == set()
        assert not os.path.exists(witness)

    def test_replacements_and_grafts_are_not_seen(self, repo: Repo) -> None:
        base = repo.commit({"a": "1"})
        evil = repo.commit({"a": "evil"}, base)
        head = repo.commit({"a": "1", "b": "1"}, base, branch="other")
        repo.git("replace", evil, head)
        repo.git("replace", repo.git("rev-parse", f"{evil}:a"), repo.git("rev-parse", f"{base}:a"))
        assert changed(repo, base, evil) == ["a"]

    def test_a_broken_configuration_does_not_matter(self, repo: Repo) -> None:
        base = repo.commit({"a": "1"})
        head = repo.commit({"a": "2"}, base)
        (repo.path / "config").write_text("[core\nnonsense")
        assert changed(repo, base, head) == ["a"]

    def test_the_callers_environment_does_not_matter(self, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
        base = repo.commit({"a": "1"})
        head = repo.commit({"a": "2"}, base)
        monkeypatch.setenv("GIT_DIR", "/nonexistent")
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nonexistent")
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        assert changed(repo, base, head) == ["a"]

    def test_objects_in_quarantine(self, repo: Repo, new_repo: Callable[..., Repo]) -> None:
        base = repo.commit({"a": "1"})
        quarantine = new_repo("quarantine.git")
        (quarantine.path / "objects/info/alternates").write_text(f"{repo.path}/objects\n")
        head = quarantine.commit({"a": "2"}, base)
        (quarantine.path / "objects/info/alternates").unlink()
        with Repository(repo.path, base) as repository, pytest.raises(GitError):
            repository.commits(base, head)
        for extra in ({}, {"GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{repo.path}/objects"}):
            environment = {"GIT_OBJECT_DIRECTORY": f"{quarantine.path}/objects", **extra}
            with Repository(repo.path, base, environment=environment) as repository:
                merge = merged(repository, base, head)
                assert repository.changed(merge)[0].after == Entry(
                    "a", "100644", quarantine.git("rev-parse", f"{head}:a")
                )

    def test_nothing_is_left_behind(
        self, repo: Repo, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = os.path.join(tmp_path, "t")
        os.mkdir(place)
        monkeypatch.setenv("TMPDIR", place)
        base = repo.commit({"a": "1\n2\n3\n"})
        ours = repo.commit({"a": "0\n2\n3\n"}, base, branch="main")
        theirs = repo.commit({"a": "1\n2\n4\n"}, base)
        assert changed(repo, ours, theirs) == ["a"]
        assert os.listdir(place) == []


def repacked(repo: Repo, *settings: str) -> None:
    repo.git(*settings, "repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50")
    assert repo.git("count-objects").startswith("0 objects")


def lent(repo: Repo) -> None:
    """Objects at two removes, by objects/info/alternates (gitrepository-layout(5))."""
    for name in ("middle", "far"):
        os.makedirs(repo.path / name / "objects" / "info")
    (repo.path / "objects").rename(repo.path / "far" / "objects" / "real")
    (repo.path / "objects" / "info").mkdir(parents=True)
    (repo.path / "objects" / "info" / "alternates").write_text(f"# a comment\n{repo.path}/middle/objects\n")
    (repo.path / "middle/objects/info/alternates").write_text("../../far/objects/real\n")


class TestStores:
    """Objects are the same however they are stored (gitformat-pack(5))."""

    @pytest.mark.parametrize(
        "store",
        [
            lambda repo: repacked(repo, "-c", "repack.useDeltaBaseOffset=true"),
            lambda repo: repacked(repo, "-c", "repack.useDeltaBaseOffset=false"),
            lambda repo: repacked(repo, "-c", "pack.packSizeLimit=1m", "-c", "repack.writeBitmaps=true"),
            lambda repo: (repo.git("repack", "-q", "-d"), repo.git("multi-pack-index", "write")),
            lambda repo: repo.git("commit-graph", "write", "--reachable"),
            lambda repo: repo.git("pack-refs", "--all"),
            lent,
        ],
        ids=["offsets", "names", "bitmaps", "index-of-packs", "graph", "packed-refs", "lent"],
    )
    def test_what_is_read_does_not_depend_on_it(self, repo: Repo, store: Callable[[Repo], object]) -> None:
        lines = "".join(f"line {number}\n" for number in range(2000))
        base = repo.commit({"a": lines, "d/b": "1"}, branch="main")
        head, files = base, {}
        for number in range(8):  # each a small difference, which packs keep as deltas of deltas
            files = {"a": lines.replace(f"line {number}\n", f"other {number}\n"), "d/b": str(number)}
            head = repo.commit(files, head, branch="work")
        store(repo)
        with Repository(repo.path, base) as repository:
            merge = merged(repository, base, head)
            assert [one.path for one in repository.changed(merge)] == ["a", "d/b"]
            assert {path: merge.after.read(path).decode() for path in files} == files
            assert merge.before.read("a").decode() == lines

    def test_a_graph_of_commits_that_lies_is_not_seen(self, repo: Repo) -> None:
        """A commit-graph says parents and trees of commits: it is a cache, and here nothing is taken from it."""
        base = repo.commit({"a": "1"}, branch="main")
        middle = repo.commit({"a": "2"}, base)
        head = repo.commit({"a": "3", "b": "1"}, middle, branch="work")
        repo.git("commit-graph", "write", "--reachable")
        graph = repo.path / "objects" / "info" / "commit-graph"
        raw = graph.read_bytes()
        # a commit's tree is followed by the place of its parent among all commits (gitformat-commit-graph(5))
        tree = bytes.fromhex(repo.git("rev-parse", f"{head}^{{tree}}"))
        order = sorted([base, middle, head])
        place = raw.index(tree + order.index(middle).to_bytes(4, "big")) + len(tree)
        graph.chmod(0o600)
        graph.write_bytes(raw[:place] + order.index(base).to_bytes(4, "big") + raw[place + 4 :])
        assert repo.git("rev-list", head, f"^{base}").split() == [head]  # Git itself believes it
        with Repository(repo.path, base) as repository:
            assert [one.oid for one in repository.commits(base, head)[0]] == [head, middle]


class TestPlaces:
    def test_bare_with_a_work_tree_and_linked_work_trees(self, repo: Repo, tmp_path: os.PathLike[str]) -> None:
        repo.commit({"a": "1"}, branch="main")
        clone, linked = os.path.join(tmp_path, "clone"), os.path.join(tmp_path, "linked")
        subprocess.run(["git", "clone", "-q", "-b", "main", str(repo.path), clone], check=True)
        subprocess.run(
            ["git", "-C", clone, "worktree", "add", "-q", "-b", "x", linked], check=True, capture_output=True
        )
        assert objects_directory(str(repo.path)) == str(repo.path / "objects")
        assert objects_directory(clone) == os.path.join(clone, ".git/objects")
        assert os.path.samefile(objects_directory(linked), os.path.join(clone, ".git/objects"))

    def test_no_repository(self, tmp_path: os.PathLike[str]) -> None:
        with pytest.raises(GitError, match="not a Git repository"):
            objects_directory(str(tmp_path))


class TestNames:
    def test_commits_have_names(self, repo: Repo) -> None:
        old, new = repo.commit({"a": "1"}), repo.commit({"a": "2"}, branch="main")
        repo.git("tag", "-a", "-m", "x", "v1", old)
        for name in ("main", "refs/heads/main", "heads/main", new, new[:10]):
            assert resolve(str(repo.path), name) == new
        assert resolve(str(repo.path), "v1") == old
        for name in ("nothing", "main:a", "-main", ""):
            with pytest.raises(GitError):
                resolve(str(repo.path), name)

    def test_a_tag_does_not_stand_in_for_the_branch_of_its_name(self, repo: Repo) -> None:
        """Git prefers the tag (gitrevisions(7)): who may make tags would choose the policy."""
        old, new = repo.commit({"a": "1"}), repo.commit({"a": "2"}, branch="main")
        repo.git("tag", "main", old)
        repo.git("config", "core.warnAmbiguousRefs", "false")
        with pytest.raises(GitError, match="refs/heads/main"):
            resolve(str(repo.path), "main")
        repo.git("symbolic-ref", "HEAD", "refs/heads/main")
        for tag in ("refs/heads/main", "HEAD"):
            repo.git("update-ref", f"refs/tags/{tag}", old)
        for name in ("refs/heads/main", "HEAD", "HEAD~0"):
            assert resolve(str(repo.path), name) == new, name  # these come before all others

    def test_a_name_that_is_not_there_is_said_with_how_to_go_on(
        self, repo: Repo, new_repo: Callable[..., Repo], tmp_path: os.PathLike[str]
    ) -> None:
        def said(place: object, name: str) -> str:
            with pytest.raises(GitError) as caught:
                resolve(str(place), name)
            return str(caught.value)

        repo.commit({"a": "1"}, branch="main")
        repo.git("update-ref", "refs/remotes/origin/release", "main")
        assert said(repo.path, "mian").endswith("there is no commit 'mian'; do you mean 'main'?")
        assert said(repo.path, "release").endswith("do you mean 'origin/release'?")
        names = said(repo.path, "zzz").partition("name one that is there: ")[2].split(", ")
        assert sorted(names) == ["main", "origin/release"]
        assert "nothing is committed yet" in said(new_repo("empty.git").path, "HEAD")
        plain = os.path.join(tmp_path, "plain")
        os.mkdir(plain)
        assert "not a Git repository" in said(plain, "main")
        assert "no such directory" in said(os.path.join(tmp_path, "nowhere"), "main")

    def test_nothing_is_fetched_or_run_for_a_name(self, repo: Repo, tmp_path: os.PathLike[str]) -> None:
        head = repo.commit({"a": "1"}, branch="main")
        witness = os.path.join(tmp_path, "ran")
        for key in ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand"):
            repo.git("config", key, f"touch {witness}")
        repo.git("config", "remote.origin.url", f"ext::touch {witness}")
        repo.git("config", "remote.origin.promisor", "true")
        repo.git("config", "extensions.partialClone", "origin")
        (repo.path / "objects" / head[:2] / head[2:]).unlink()
        with pytest.raises(GitError):
            resolve(str(repo.path), "main")
        assert not os.path.exists(witness)


def test_mentions(repo: Repo) -> None:
    base = repo.commit({"a/x.yaml": "name: web\n", "b.yml": "name: other", "c.txt": "web", "d.json": '{"n": "web"}'})
    ours = repo.commit({"c.txt": "changed"}, base, branch="main")
    head = repo.commit({"a/x.yaml": "name: gone", "e.yaml": "web"}, base)
    with Repository(repo.path, base) as repository:
        assert sorted(repository.tree(base).mentions(["web"])) == ["a/x.yaml", "d.json"]
        assert sorted(repository.tree(base).mentions(["-e", "other"])) == ["b.yml"]
        assert repository.tree(base).mentions([]) == set()
        assert sorted(merged(repository, ours, head).after.mentions(["web"])) == ["a/x.yaml", "d.json", "e.yaml"]


def test_mentions_passes_no_file_over_that_cannot_be_read(repo: Repo) -> None:
    base = repo.commit({"a.yml": "web"})
    oid = repo.git("rev-parse", f"{base}:a.yml").strip()
    (repo.path / "objects" / oid[:2] / oid[2:]).unlink()
    with Repository(repo.path, base) as repository, pytest.raises(GitError, match="history complete"):
        repository.tree(base).mentions(["web"])


def test_mentions_takes_words_as_they_are(repo: Repo) -> None:
    odd = ["a.b", "x(y", "[z]", "a|b", "*", "+", "{2}", "^s", "e$", "back\\slash", "q?", "end)"]
    files = {f"{number}.yml": f"name: {word} .\n" for number, word in enumerate(odd)}
    base = repo.commit({**files, "none.yml": "aXb xy s e 22 backslash", "line.json": "two\nlines", "empty.yaml": ""})
    with Repository(repo.path, base) as repository:
        tree = repository.tree(base)
        for number, word in enumerate(odd):
            assert sorted(tree.mentions([word])) == [f"{number}.yml"], word
        assert sorted(tree.mentions(odd)) == sorted(files)
        assert tree.mentions(["", "two\nlines", "nul\0"]) == set()


def test_mentions_of_more_words_than_one_pattern_holds(repo: Repo) -> None:
    words = [f"{'long-' * 40}{number}" for number in range(300)]
    files = {f"{number:03}.yml": f"name: {word}\n" for number, word in enumerate(words) if number % 50 == 0}
    base = repo.commit({**files, "other.yml": "name: long-"})
    with Repository(repo.path, base) as repository:
        assert sorted(repository.tree(base).mentions(words)) == sorted(files)
        assert repository.tree(base).mentions(["x" * 1_000_000]) == set()


class TestAhead:
    def test_files_are_read_in_few_rounds(self, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
        files = {f"{number}.yml": f"n: {number}\n" * 100 for number in range(200)}
        base = repo.commit({**files, "link": ("120000", "1.yml")})
        with Repository(repo.path, base) as repository:
            tree = repository.tree(base)
            tree.ahead([*files, "link", "not there"])
            monkeypatch.setattr(repository, "object", None)  # nothing is asked for again
            assert {path: tree.read(path).decode() for path in files} == files

    def test_what_is_too_large_is_left_for_later(self, repo: Repo) -> None:
        sizes = [10, 5000, 20, 30, 6000, 40]
        files = {f"{number}.yml": "x" * size for number, size in enumerate(sizes)}
        base = repo.commit(files)
        with Repository(repo.path, base, Limits(blob_bytes=100)) as repository:
            tree = repository.tree(base)
            tree.ahead(files)
            for number, size in enumerate(sizes):
                if size > 100:
                    with pytest.raises(TooLarge):
                        tree.read(f"{number}.yml")
                else:
                    assert len(tree.read(f"{number}.yml")) == size

    def test_what_is_missing_does_not_shift_the_others(self, repo: Repo) -> None:
        base = repo.commit({"a": "one", "b": "two"})
        with Repository(repo.path, base) as repository:
            a, b = (repository.tree(base).entry(path) for path in "ab")
            assert a is not None and b is not None
            with pytest.raises(GitError, match="missing"):
                repository.ahead(["1" * 40, a.oid, b.oid])
            assert (repository.blob(b.oid), repository.blob(a.oid)) == (b"two", b"one")

    def test_the_limit_of_a_run_holds(self, repo: Repo) -> None:
        base = repo.commit({"a": "x" * 600, "b": "y" * 600})
        with Repository(repo.path, base, Limits(total_bytes=1000)) as repository, pytest.raises(GitError, match="1000"):
            repository.tree(base).ahead(["a", "b"])


def test_what_a_signature_covers(repo: Repo) -> None:
    base = repo.commit({"a": "1"})
    tree = repo.git("rev-parse", f"{base}^{{tree}}")
    plain = f"tree {tree}\nparent {base}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n"
    signed = plain + "gpgsig -----BEGIN\n one\n \n two\ngpgsig-sha256 other\n more\nencoding utf-8\n\nmessage\n\nbody\n"
    oid = repo.git("hash-object", "-t", "commit", "-w", "--stdin", data=signed.encode())
    with Repository(repo.path, oid) as repository:
        commit = repository.commit(oid)
    assert commit.signature is not None
    assert commit.signature.armor == b"-----BEGIN\none\n\ntwo\n"
    assert commit.signature.payload == (plain + "encoding utf-8\n\nmessage\n\nbody\n").encode()
    assert commit.subject == "message"

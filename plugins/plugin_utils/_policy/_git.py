# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Both sides of a change, read straight from Git objects.

Git itself is only asked for objects (`cat-file --batch`), for the commits between two others (`rev-list`) and, in the
rare case, for a merge base or the merge of one text file.  It runs in a Git directory of our own which borrows the
repository's objects: no configuration, hook, alias, attribute, replacement, graft or reference of the repository is
ever read, nothing is checked out and nothing is fetched.
"""

from __future__ import annotations

import os
import re
import select
import stat
import subprocess  # nosec: fixed commands, no shell
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple, Protocol, Self

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import LIMITS, Entry, GitError, Limits, Tree

DIRECTORY, EXECUTABLE, LINK, SUBMODULE = "040000", "100755", "120000", "160000"

#: Variables by which Git tells a pre-receive hook where the objects are that are not accepted yet (githooks(5)).
_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")

#: Names of files that hold YAML; JSON is YAML.
YAML_SUFFIXES = (".yaml", ".yml", ".json")

_HEX = frozenset("0123456789abcdef")

#: How many objects are asked for at once: their ids must fit into a pipe (4 KiB on the smallest systems is 62 of them).
_AHEAD = 60

#: Characters of words in one pattern: the memory of a regular expression grows faster than its length.
_WORDS = 8192

#: Characters of a word that are looked for; no name in Kubernetes is longer.
_NAME = 253

#: The trailer by which forges name further authors; a whole line, so that all who may be meant are found.
_COAUTHOR = re.compile(rb"^co-authored-by:(.*)$", re.I | re.M)
#: A mode in a tree: Git reads any number of zeros before it, and no more than 16 bits.
_OCTAL = re.compile(rb"0*(?:1[0-7]{5}|[1-7][0-7]{4})")
#: Modes as Git writes them, and what they are here.
_MODES = {b"40000": DIRECTORY, **{one.encode(): one for one in ("100644", EXECUTABLE, LINK, SUBMODULE)}}
#: Names that no checkout could hold, in small letters.
_IMPOSSIBLE = frozenset(("", ".", "..", ".git"))
#: What means something in an extended regular expression (POSIX).
_SPECIAL = re.compile(r"[\\.\[(){*+?|^$]")


class TooLarge(GitError):
    """A file is larger than the limit: its content is not read."""


class Signature(NamedTuple):
    """The signature of a commit and the bytes that it signs."""

    armor: bytes
    payload: bytes


class Commit(NamedTuple):
    """A commit as written; author and committer are only claims.

    author, committer  addresses as written, undecodable bytes by surrogateescape
    coauthors          addresses of its Co-authored-by trailers, likewise
    """

    oid: str
    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    subject: str
    signature: Signature | None
    coauthors: tuple[str, ...] = ()


class Difference(NamedTuple):
    """A path whose entry is not the same on both sides; None where it is not there."""

    path: str
    before: Entry | None
    after: Entry | None


class Files(Tree, Protocol):
    """A Tree that also lists single directories and reads links; the trees here do."""

    def ahead(self, paths: Iterable[str]) -> None:
        """Read files that are about to be asked for, many at a time; one that is too large is left out.

        Raises:
            GitError: one of them cannot be read.
        """

    def mentions(self, words: Iterable[str]) -> Collection[str]:
        """Paths of YAML and JSON files that hold one of `words` literally (or may); Git does the search.

        Raises:
            GitError: one of them cannot be read.
        """

    def names(self, under: str = "") -> Mapping[str, Entry]:
        """The entries of one directory by name; {} when there is none."""

    def read_link(self, path: str) -> str:
        """What is written in the link at `path`.

        Raises:
            GitError: it cannot be read.
        """


class Merge(NamedTuple):
    """What merging `head` into `base` gives.

    merge_base  where the change starts
    before      the target branch as it is
    after       the target branch as it would be
    conflicts   paths that both sides changed in ways that do not merge
    """

    merge_base: str
    before: Files
    after: Files
    conflicts: tuple[str, ...]


def objects_directory(path: str) -> str:
    """The directory of the Git objects of the repository at `path` (bare, or with a work tree).

    Raises:
        GitError: there is no repository.
    """
    git_dir = os.path.join(path, ".git")
    if os.path.isfile(git_dir):
        git_dir = os.path.join(path, _first_line(git_dir).removeprefix("gitdir: "))
    elif not os.path.isdir(git_dir):
        git_dir = path
    common = os.path.join(git_dir, "commondir")
    if os.path.isfile(common):
        git_dir = os.path.join(git_dir, _first_line(common))
    objects = os.path.abspath(os.path.join(git_dir, "objects"))
    if not os.path.isdir(objects) or not os.path.exists(os.path.join(git_dir, "HEAD")):
        raise GitError(f"{path}: not a Git repository; name the repository's directory")
    return objects


def _first_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readline(4096).rstrip("\n")


def is_oid(text: str) -> bool:
    """Whether `text` is a full object id (SHA-1 or SHA-256)."""
    return len(text) in (40, 64) and _HEX.issuperset(text)


class Repository:
    """Read access to the objects of one repository, within limits and until a deadline.

    Args:
        path: the repository's directory.
        oid: any full object id of it; its length tells the hash.
        limits: bounds; going over one raises GitError.
        deadline: time.monotonic() after which every call raises GitError.
        environment: where a pre-receive hook's quarantine is described (GIT_OBJECT_DIRECTORY and so on).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        oid: str,
        limits: Limits = LIMITS,
        deadline: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.limits = limits
        self.deadline = time.monotonic() + limits.seconds if deadline is None else deadline
        self._left = limits.total_bytes
        self._trees: dict[str, dict[str, Entry]] = {}
        self._blobs: dict[str, bytes] = {}
        self._oid_bytes = len(oid) // 2
        self._batch: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._at = 0
        objects = objects_directory(os.fspath(path))
        self._home = _make_git_directory("sha256" if len(oid) == 64 else "sha1")
        self._environment = _environment(self._home, objects, environment or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End Git and remove the borrowed directory."""
        self._stop()
        _remove(self._home)

    @contextmanager
    def directory(self, name: str) -> Iterator[str]:
        """A directory that only we can read, for as long as it is needed."""
        path = os.path.join(self._home, name)
        os.mkdir(path, 0o700)
        try:
            yield path
        finally:
            _remove(path)

    # -- objects ------------------------------------------------------------------------------------------------

    def object(self, oid: str, kind: str) -> bytes:
        """The content of the object `oid`, which must be of `kind` (commit, tree, blob).

        Raises:
            TooLarge: it is larger than limits.blob_bytes (trees and commits: 16 times that).
            GitError: it is missing, damaged, of another kind, or a limit of the run is reached.
        """
        if not is_oid(oid):
            raise GitError(f"{oid!r} is no full object id")
        self._ask([oid])
        return self._answer(oid, kind)

    def _ask(self, oids: Sequence[str]) -> None:
        batch = self._started()
        assert batch.stdin is not None  # it is a pipe
        try:
            batch.stdin.write("".join(f"{oid}\n" for oid in oids).encode("ascii"))
        except OSError as error:
            self._stop()
            raise GitError(f"git cat-file ended: {error}") from error

    def _answer(self, oid: str, kind: str) -> bytes:
        found, size = self._header(oid)
        if found != kind:
            self._stop()  # what it is about to send is not wanted
            raise GitError(f"{oid} is a {found}, not a {kind}")
        if size > self.limits.blob_bytes * (1 if kind == "blob" else 16):
            self._stop()
            raise TooLarge(f"{size} bytes are more than the limit of {self.limits.blob_bytes}")
        self._left -= size
        if self._left < 0:
            raise GitError(f"the change needs more than {self.limits.total_bytes} bytes to be read")
        data = self._take(size + 1)
        return data[:-1]

    def _header(self, oid: str) -> tuple[str, int]:
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            self._buffer, self._at = self._buffer[self._at :] + self._more(oid), 0
        words = self._buffer[self._at : end].decode("ascii", "replace").split()
        self._at = end + 1
        if len(words) != 3 or words[0] != oid or not words[2].isdigit():
            raise GitError(
                f"object {oid} is missing; fetch the whole history of both branches (a shallow clone is not enough)"
            )
        return words[1], int(words[2])

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at <= len(self._buffer):
            return self._buffer[start : self._at]
        parts = [self._buffer[start:]]
        left = size - len(parts[0])
        while left > 0:
            self._buffer = self._more("")
            parts.append(self._buffer[:left])
            self._at = len(parts[-1])
            left -= self._at
        return b"".join(parts)

    def _more(self, oid: str) -> bytes:
        batch = self._started()
        assert batch.stdout is not None  # it is a pipe
        descriptor = batch.stdout.fileno()
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            self._stop()
            raise GitError("Git did not answer in time")
        data = os.read(descriptor, 1 << 20)
        if not data:
            self._stop()
            raise GitError(f"object {oid} cannot be read; the repository is damaged (see git fsck)")
        return data

    def _started(self) -> subprocess.Popen[bytes]:
        if self._batch is None:
            self._buffer, self._at = b"", 0
            self._batch = self._popen("cat-file", "--batch")
        return self._batch

    def _popen(self, *arguments: str, errors: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # nosec
                ["git", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                cwd=self._home,
                bufsize=0,
            )
        except OSError as error:
            raise GitError(f"git cannot be run: {error}; install it or mend PATH") from error

    def _stop(self) -> None:
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        for pipe in (batch.stdin, batch.stdout):
            if pipe is not None:
                pipe.close()
        batch.kill()
        batch.wait()

    def run(self, *arguments: str, okay: tuple[int, ...] = (0,), silent: bool = False) -> tuple[int, bytes]:
        """Exit code and output of one more Git command.

        Args:
            arguments: the command.
            okay: exit codes that are no failure.
            silent: it says something of an object that it cannot read, passes it over and exits as if all were well.

        Raises:
            GitError: it exits with a code that is not `okay`, takes too long, or is not silent and should be.
        """
        process = self._popen(*arguments, errors=subprocess.PIPE if silent else subprocess.DEVNULL)
        try:
            out, said = process.communicate(timeout=max(0.01, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise GitError(f"git {arguments[0]} did not end in time") from error
        if process.returncode not in okay or b": unable to read " in (said or b""):
            raise GitError(
                f"git {arguments[0]} failed; is the history complete? Fetch both branches wholly"
                " (a shallow clone is not enough)"
            )
        return process.returncode, out

    # -- commits ------------------------------------------------------------------------------------------------

    def commit(self, oid: str) -> Commit:
        """The commit `oid`.

        Raises:
            GitError: there is none, or it cannot be understood.
        """
        return _parse_commit(oid, self.object(oid, "commit"))

    def commits(self, base: str, head: str) -> tuple[list[Commit], str]:
        """The commits of `head` that are not in `base`, oldest last, and the one merge base.

        Raises:
            GitError: the histories have no merge base, or several, or the change has too many commits.
        """
        if not (is_oid(base) and is_oid(head)):
            raise GitError(f"{base!r}..{head!r}: full object ids of commits are needed")
        most = self.limits.commits
        lines = self.run("rev-list", f"--max-count={most + 1}", "--boundary", head, f"^{base}")[1].decode().split()
        own = [line for line in lines if not line.startswith("-")]
        if len(own) > most:
            raise GitError(f"more than {most} commits lie between {base} and {head}")
        merge_base = base if head == base or f"-{base}" in lines else self._merge_base(base, head)
        return [self.commit(oid) for oid in own], merge_base

    def _merge_base(self, base: str, head: str) -> str:
        found = self.run("merge-base", "--all", base, head, okay=(0, 1))[1].decode().split()
        if not found:
            raise GitError(
                f"{head} and the target branch have no history in common; make the change on a branch of the target"
            )
        if len(found) > 1:
            raise GitError("the change starts at several places at once; bring the branch up to date with its target")
        return found[0]

    def tree(self, commit: str) -> GitTree:
        """The files of a commit."""
        return GitTree(self, self.commit(commit).tree)

    def merge(self, base: str, head: str, merge_base: str) -> Merge:
        """What merging `head` into `base` gives, file by file, as Git would merge it without looking for renames.

        Raises:
            GitError: something cannot be read.
        """
        before, after = self.tree(base), self.tree(head)
        if merge_base == base:
            return Merge(merge_base, before, after, ())
        start = self.tree(merge_base)
        ours = {one.path: one for one in self.differences(start, before)}
        chosen: dict[str, Entry | None] = {}
        contents: dict[str, bytes] = {}
        conflicts = []
        for theirs in self.differences(start, after):
            mine = ours.get(theirs.path)
            if mine is None:
                chosen[theirs.path] = theirs.after
            elif mine.after != theirs.after:
                merged = self._merge_file(theirs.before, mine.after, theirs.after)
                if merged is None:
                    conflicts.append(theirs.path)
                    chosen[theirs.path] = theirs.after
                else:
                    chosen[theirs.path] = merged[0]
                    contents[merged[0].oid] = merged[1]
        conflicts += [path for path, entry in chosen.items() if entry is not None and _in_the_way(before, chosen, path)]
        return Merge(merge_base, before, OverlaidTree(before, chosen, contents), tuple(sorted(set(conflicts))))

    def _merge_file(self, start: Entry | None, ours: Entry | None, theirs: Entry | None) -> tuple[Entry, bytes] | None:
        sides = [side for side in (ours, start, theirs) if side is not None and side.mode.startswith("100")]
        if len(sides) != 3:
            return None
        names = []
        try:
            for index, side in enumerate(sides):
                names.append(os.path.join(self._home, f"side{index}"))
                with open(names[-1], "wb") as file:
                    file.write(self.blob(side.oid))
            code, data = self.run("merge-file", "-p", "-q", *names, okay=tuple(range(128)))
        except TooLarge:
            return None
        finally:
            for name in names:
                os.unlink(name)
        if code:
            return None
        mode = sides[2].mode if sides[2].mode != sides[1].mode else sides[0].mode
        return Entry(sides[2].path, mode, "merged-" + sha256(data).hexdigest()), data

    # -- trees --------------------------------------------------------------------------------------------------

    def blob(self, oid: str) -> bytes:
        """A file's content; kept, for both sides ask for the same ones."""
        if oid not in self._blobs:
            self._blobs[oid] = self.object(oid, "blob")
        return self._blobs[oid]

    def ahead(self, oids: Iterable[str]) -> None:
        """Read and keep blobs, many at a time; one that is too large is left for `blob` to say so.

        Raises:
            GitError: as for `object`.
        """
        todo = [oid for oid in dict.fromkeys(oids) if is_oid(oid) and oid not in self._blobs]
        while todo:
            some, todo = todo[:_AHEAD], todo[_AHEAD:]
            self._ask(some)
            for place, oid in enumerate(some, start=1):
                try:
                    self._blobs[oid] = self._answer(oid, "blob")
                except TooLarge:
                    todo = some[place:] + todo  # Git was stopped before it came to those
                    break
                except GitError:
                    self._stop()  # the answers to the others are not wanted
                    raise

    def listing(self, oid: str, under: str = "") -> dict[str, Entry]:
        """The entries of one tree object by name; each entry's path is its bare name.

        Raises:
            GitError: the tree holds what no checkout could hold: names like "..", or a name twice.
        """
        if oid not in self._trees:
            self._trees[oid] = _parse_tree(oid, self.object(oid, "tree"), self._oid_bytes, under)
        return self._trees[oid]

    def differences(self, before: GitTree, after: GitTree) -> list[Difference]:
        """Every path that is not the same in both trees, sorted; only trees that differ are read."""
        out: list[Difference] = []
        todo: list[tuple[str, str, str]] = [("", before.root, after.root)]
        while todo:
            under, left, right = todo.pop()
            if left == right:
                continue
            self._not_too_deep(under)
            old = self.listing(left, under) if left else {}
            new = self.listing(right, under) if right else {}
            for name in old.keys() | new.keys():
                one, two = old.get(name), new.get(name)
                if one == two:
                    continue
                path = f"{under}{name}"
                subtrees = (_subtree(one), _subtree(two))
                if any(subtrees):
                    todo.append((f"{path}/", *subtrees))
                files = (_file(one, path), _file(two, path))
                if any(files):
                    out.append(Difference(path, *files))
            if len(out) > self.limits.files:
                raise GitError(f"more than {self.limits.files} paths change")
        return sorted(out, key=lambda one: one.path)

    def _not_too_deep(self, path: str) -> None:
        if path.count("/") > self.limits.depth:
            raise GitError(f"directories are nested deeper than {self.limits.depth}")

    def changed(self, merge: Merge) -> list[Difference]:
        """Every path that the merge changes on the target branch, sorted."""
        if isinstance(merge.before, GitTree) and isinstance(merge.after, GitTree):
            return self.differences(merge.before, merge.after)
        assert isinstance(merge.after, OverlaidTree)  # merge() makes no other
        pairs = ((path, _plain(merge.before.entry(path)), entry) for path, entry in merge.after.chosen.items())
        return sorted((Difference(*one) for one in pairs if one[1] != one[2]), key=lambda one: one.path)

    def unlike(self, merge: Merge, commit: str) -> list[str]:
        """Paths that a commit has otherwise than a merge gives them, sorted.

        Raises:
            GitError: something cannot be read.
        """
        made = self.tree(commit)
        assert isinstance(merge.before, GitTree)  # merge() makes no other
        touched = {one.path for one in (*self.differences(merge.before, made), *self.changed(merge))}
        return sorted(path for path in touched if not self._alike(merge.after, made, path))

    def _alike(self, one: Files, other: Files, path: str) -> bool:
        left, right = _plain(one.entry(path)), _plain(other.entry(path))
        if left is None or right is None or left == right or left.mode != right.mode:
            return left == right
        # what was merged within a file is no object of Git's, so its content is compared
        return left.mode.startswith("100") and one.read(path) == other.read(path)


class GitTree:
    """The files of a tree object."""

    def __init__(self, repository: Repository, root: str) -> None:
        self.repository = repository
        self.root = root
        self._listings: dict[str, Mapping[str, Entry]] = {}
        self._walked: list[Entry] | None = None

    def entry(self, path: str) -> Entry | None:
        """The entry at `path`; "" is the top directory."""
        if not path:
            return Entry("", DIRECTORY, self.root)
        directory, slash, name = path.rpartition("/")
        if slash and not directory:
            return None
        if directory not in self._listings:
            self._listings[directory] = self._listing(directory)
        found = self._listings[directory].get(name)
        return Entry(path, found.mode, found.oid) if found else None

    def _listing(self, directory: str) -> Mapping[str, Entry]:
        listing: Mapping[str, Entry] = self.repository.listing(self.root)
        for name in directory.split("/") if directory else ():
            found = listing.get(name)
            listing = self.repository.listing(found.oid) if found and found.mode == DIRECTORY else {}
        return listing

    def walk(self, under: str = "") -> Iterator[Entry]:
        """Every file, link and submodule below the directory `under`."""
        if under:
            return self._walk(under)
        if self._walked is None:
            self._walked = list(self._walk(""))  # several checks look at all there is
        return iter(self._walked)

    def _walk(self, under: str) -> Iterator[Entry]:
        top = self.entry(under)
        todo = [top] if top is not None and top.mode == DIRECTORY else []
        while todo:
            directory = todo.pop()
            prefix = f"{directory.path}/" if directory.path else ""
            self.repository._not_too_deep(prefix)
            for name, entry in self.repository.listing(directory.oid).items():
                inner = Entry(prefix + name, entry.mode, entry.oid)
                if entry.mode == DIRECTORY:
                    todo.append(inner)
                else:
                    yield inner

    def names(self, under: str = "") -> Mapping[str, Entry]:
        """The entries of one directory by name (their path is the bare name); {} when there is none."""
        top = self.entry(under)
        return self.repository.listing(top.oid) if top is not None and top.mode == DIRECTORY else {}

    def read(self, path: str) -> bytes:
        """The content of the plain file at `path`."""
        entry = self.entry(path)
        if entry is None or not entry.mode.startswith("100"):
            raise GitError(f"{path}: {'no such file' if entry is None else 'not a plain file'}")
        return self.repository.blob(entry.oid)

    def ahead(self, paths: Iterable[str]) -> None:
        """Read files that are about to be asked for, many at a time."""
        self.repository.ahead(_plain_files(self, paths))

    def mentions(self, words: Iterable[str]) -> set[str]:
        """Paths of YAML and JSON files that hold one of `words` literally; Git does the search."""
        files = [f"*{suffix}" for suffix in YAML_SUFFIXES]
        found: set[str] = set()
        for pattern in _patterns(words):
            # one expression of many words takes Git far less time than many fixed words
            arguments = ["grep", "-l", "-z", "-a", "-E", "--threads=1", "-e", pattern, self.root, "--", *files]
            out = self.repository.run(*arguments, okay=(0, 1), silent=True)[1]
            found |= {name.decode("utf-8", "surrogateescape").partition(":")[2] for name in out.split(b"\0") if name}
        return found

    def read_link(self, path: str) -> str:
        """What is written in the link at `path`."""
        return _link_text(self, self.repository, path)


class OverlaidTree:
    """A tree with some of its files replaced, added or taken away.

    Args:
        below: the tree as it is.
        chosen: what lies over it: an entry, or None for a file that is gone.
        contents: bytes of entries whose object Git does not have.
    """

    def __init__(self, below: GitTree, chosen: Mapping[str, Entry | None], contents: Mapping[str, bytes]) -> None:
        self.below = below
        self.chosen = chosen
        self.contents = contents
        self._directories: dict[str, dict[str, Entry]] = {}
        for path in sorted(chosen, key=lambda path: chosen[path] is not None):  # what goes makes room for what comes
            self._touch(path)

    def _touch(self, path: str) -> None:
        """Make own listings of all directories on the way to `path`, with `path` as chosen."""
        at, _, name = path.rpartition("/")
        entry = self.chosen[path]
        listing = self._listing(at)
        if entry is None:
            listing.pop(name, None)
        else:
            listing[name] = Entry(name, entry.mode, entry.oid)
        while at:
            inner = at
            at, _, name = at.rpartition("/")
            above = self._listing(at)
            if self._listing(inner):
                digest = repr(sorted((key, *value[1:]) for key, value in self._listing(inner).items()))
                oid = "overlaid-" + sha256(digest.encode("utf-8", "surrogateescape")).hexdigest()
                above[name] = Entry(name, DIRECTORY, oid)
            else:
                above.pop(name, None)

    def _listing(self, at: str) -> dict[str, Entry]:
        if at not in self._directories:
            self._directories[at] = dict(self.below.names(at))
        return self._directories[at]

    def names(self, under: str = "") -> Mapping[str, Entry]:
        """The entries of one directory by name (their path is the bare name); {} when there is none."""
        return self._directories[under] if under in self._directories else self.below.names(under)

    def entry(self, path: str) -> Entry | None:
        """The entry at `path`; "" is the top directory."""
        if not path:
            return Entry("", DIRECTORY, "overlaid")
        at, slash, name = path.rpartition("/")
        found = None if slash and not at else self.names(at).get(name)
        return None if found is None else Entry(path, found.mode, found.oid)

    def walk(self, under: str = "") -> Iterator[Entry]:
        """Every file, link and submodule below the directory `under`."""
        todo = [under]
        while todo:
            at = todo.pop()
            self.below.repository._not_too_deep(at)
            for name, entry in self.names(at).items():
                path = f"{at}/{name}" if at else name
                if entry.mode == DIRECTORY:
                    todo.append(path)
                else:
                    yield Entry(path, entry.mode, entry.oid)

    def read(self, path: str) -> bytes:
        """The content of the plain file at `path`."""
        entry = self.entry(path)
        if entry is None or not entry.mode.startswith("100"):
            raise GitError(f"{path}: {'no such file' if entry is None else 'not a plain file'}")
        known = self.contents.get(entry.oid)
        return self.below.repository.blob(entry.oid) if known is None else known

    def ahead(self, paths: Iterable[str]) -> None:
        """Read files that are about to be asked for, many at a time."""
        self.below.repository.ahead(_plain_files(self, paths))

    def mentions(self, words: Iterable[str]) -> set[str]:
        """Paths of YAML and JSON files that hold one of `words` literally, or are not those below."""
        chosen = {path for path, entry in self.chosen.items() if entry and path.endswith(YAML_SUFFIXES)}
        return self.below.mentions(words) - self.chosen.keys() | chosen

    def read_link(self, path: str) -> str:
        """What is written in the link at `path`."""
        return _link_text(self, self.below.repository, path)


class PartialTree:
    """What is in one directory of a tree, and nothing else.

    Args:
        whole: the tree.
        directory: a directory at its top.
    """

    def __init__(self, whole: Files, directory: str) -> None:
        self.whole = whole
        self.directory = directory

    def _has(self, path: str) -> bool:
        return not path or path.partition("/")[0] == self.directory

    def entry(self, path: str) -> Entry | None:
        """The entry at `path`; "" is the top directory."""
        return self.whole.entry(path) if self._has(path) else None

    def walk(self, under: str = "") -> Iterator[Entry]:
        """Every file, link and submodule below the directory `under`."""
        return iter(self.whole.walk(under or self.directory) if self._has(under) else ())

    def names(self, under: str = "") -> Mapping[str, Entry]:
        """The entries of one directory by name (their path is the bare name); {} when there is none."""
        found = self.whole.names(under) if self._has(under) else {}
        return found if under else {name: entry for name, entry in found.items() if name == self.directory}

    def read(self, path: str) -> bytes:
        """The content of the plain file at `path`."""
        if not self._has(path):
            raise GitError(f"{path}: no such file")
        return self.whole.read(path)

    def ahead(self, paths: Iterable[str]) -> None:
        """Read files that are about to be asked for, many at a time."""
        self.whole.ahead(path for path in paths if self._has(path))

    def mentions(self, words: Iterable[str]) -> set[str]:
        """Paths of YAML and JSON files that hold one of `words` literally (or may)."""
        return {path for path in self.whole.mentions(words) if self._has(path)}

    def read_link(self, path: str) -> str:
        """What is written in the link at `path`."""
        if not self._has(path):
            raise GitError(f"{path}: not a link")
        return self.whole.read_link(path)


def _plain_files(tree: Tree, paths: Iterable[str]) -> Iterator[str]:
    entries = (tree.entry(path) for path in paths)
    return (entry.oid for entry in entries if entry is not None and entry.mode.startswith("100"))


def _patterns(words: Iterable[str]) -> Iterator[str]:
    """Extended regular expressions that together find these words; no line holds a word with a line's end."""
    pattern = ""
    for word in sorted({word[:_NAME] for word in words if word and not {"\n", "\0"} & set(word)}):
        if len(pattern) > _WORDS:
            yield pattern
            pattern = ""
        pattern += ("|" if pattern else "") + _SPECIAL.sub(r"\\\g<0>", word)
    if pattern:
        yield pattern


def _link_text(tree: Tree, repository: Repository, path: str) -> str:
    entry = tree.entry(path)
    if entry is None or entry.mode != LINK:
        raise GitError(f"{path}: not a link")
    return repository.blob(entry.oid).decode("utf-8", "surrogateescape")


def _in_the_way(before: GitTree, chosen: Mapping[str, Entry | None], path: str) -> bool:
    """Whether the target has a directory at `path`, or a file where `path` needs a directory."""

    def stays(at: str) -> Entry | None:
        return None if at in chosen and chosen[at] is None else before.entry(at)

    there = before.entry(path)
    if there is not None and there.mode == DIRECTORY and any(stays(one.path) for one in before.walk(path)):
        return True
    parent = path.rpartition("/")[0]
    while parent:
        there = stays(parent)
        if there is not None and there.mode != DIRECTORY:
            return True
        parent = parent.rpartition("/")[0]
    return False


def _plain(entry: Entry | None) -> Entry | None:
    return None if entry is None or entry.mode == DIRECTORY else entry


def _subtree(entry: Entry | None) -> str:
    return entry.oid if entry is not None and entry.mode == DIRECTORY else ""


def _file(entry: Entry | None, path: str) -> Entry | None:
    return None if entry is None or entry.mode == DIRECTORY else Entry(path, entry.mode, entry.oid)


def _parse_tree(oid: str, data: bytes, oid_bytes: int, under: str) -> dict[str, Entry]:
    out: dict[str, Entry] = {}
    at = 0
    while at < len(data):
        end = data.find(b"\0", at)
        mode, space, raw = data[at:end].partition(b" ")
        if end < 0 or not space or end + 1 + oid_bytes > len(data):
            raise GitError(f"tree {oid} is damaged (see git fsck)")
        name = raw.decode("utf-8", "surrogateescape")
        if "/" in name or name in out or name.lower() in _IMPOSSIBLE:
            raise GitError(f"tree {oid} holds the impossible name {under + name!r} (see git fsck)")
        known = _MODES.get(mode) or _mode(mode)
        if known is None:
            raise GitError(f"tree {oid} holds {under + name!r} of the impossible mode {mode!r} (see git fsck)")
        out[name] = Entry(name, known, data[end + 1 : end + 1 + oid_bytes].hex())
        at = end + 1 + oid_bytes
    return out


def _mode(written: bytes) -> str | None:
    """A mode as Git takes it (canon_mode in its object.h), however it is written; None for one of another type."""
    if not _OCTAL.fullmatch(written):
        return None
    number = int(written, 8)
    if stat.S_IFMT(number) == stat.S_IFREG:
        return EXECUTABLE if number & stat.S_IXUSR else "100644"
    return {stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK, 0o160000: SUBMODULE}.get(stat.S_IFMT(number))


def _parse_commit(oid: str, data: bytes) -> Commit:
    headers: dict[str, list[bytes]] = {}
    payload: list[bytes] = []
    armor: list[bytes] = []
    head, _, message = data.partition(b"\n\n")
    # Which lines a signature covers: all but those of headers that begin with "gpgsig" (Git's commit.c).
    into, signed = payload, 0
    for line in head.split(b"\n"):
        if not line.startswith(b" "):
            name, _, value = line.partition(b" ")
            headers.setdefault(name.decode("ascii", "replace"), []).append(value)
            into = payload
            if name == (b"gpgsig-sha256" if len(oid) == 64 else b"gpgsig"):
                into, signed = armor, signed + 1
                line = b" " + value
            elif name.startswith(b"gpgsig"):
                into = []
        into.append(line[1:] if into is armor else line)
    trees = headers.get("tree", [])
    if len(trees) != 1 or not is_oid(trees[0].decode("ascii", "replace")):
        raise GitError(f"commit {oid} is damaged (see git fsck)")
    signature = None
    if signed == 1:
        signature = Signature(b"\n".join(armor) + b"\n", b"\n".join(payload) + b"\n\n" + message)
    return Commit(
        oid,
        trees[0].decode("ascii"),
        tuple(parent.decode("ascii", "replace") for parent in headers.get("parent", [])),
        _address(headers.get("author", [])),
        _address(headers.get("committer", [])),
        message.partition(b"\n")[0].decode("utf-8", "surrogateescape")[:200],
        signature,
        tuple(_address([line]) for line in _COAUTHOR.findall(message)),
    )


def _address(lines: list[bytes]) -> str:
    if len(lines) != 1:
        return ""
    inside = lines[0].rpartition(b">")[0].rpartition(b"<")[2]
    return inside.strip().decode("utf-8", "surrogateescape")


def _make_git_directory(hash_name: str) -> str:
    """An empty bare repository of our own, in which Git finds nothing but our settings."""
    home = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"weft-policy-{os.urandom(12).hex()}")  # nosec: mode 0700
    try:
        os.mkdir(home, 0o700)
        os.mkdir(os.path.join(home, "refs"))
        settings = "[core]\n\tbare = true\n\tcommitGraph = false\n\trepositoryformatversion = 1\n"
        settings += f"[extensions]\n\tobjectFormat = {hash_name}\n[protocol]\n\tallow = never\n[gc]\n\tauto = 0\n"
        for name, text in (("HEAD", "ref: refs/heads/none\n"), ("config", settings)):
            with open(os.path.join(home, name), "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise GitError(
            f"no temporary directory can be made: {error}; set TMPDIR to a place that can be written"
        ) from error
    return home


def _environment(home: str, objects: str, quarantine: Mapping[str, str]) -> dict[str, str]:
    out = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LC_ALL": "C",
        "GIT_DIR": home,
        "GIT_OBJECT_DIRECTORY": objects,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_GRAFT_FILE": "/dev/null",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    for name in _QUARANTINE:
        if quarantine.get(name):
            out[name] = quarantine[name]
    if quarantine.get("GIT_OBJECT_DIRECTORY") and not quarantine.get("GIT_ALTERNATE_OBJECT_DIRECTORIES"):
        out["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _quoted(objects)
    return out


def _quoted(path: str) -> str:
    """A path for GIT_ALTERNATE_OBJECT_DIRECTORIES, where a colon separates unless quoted (git(1))."""
    if ":" not in path and not path.startswith('"'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _remove(home: str) -> None:
    """Take away what _make_git_directory made; what Git may have put there as well."""
    for top, directories, files in os.walk(home, topdown=False):
        for name in files:
            os.unlink(os.path.join(top, name))
        for name in directories:
            os.rmdir(os.path.join(top, name))
    if os.path.isdir(home):
        os.rmdir(home)

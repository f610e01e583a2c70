# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the policy manager speaks in: people, requests, findings, verdicts, and what a content check is given.

Imports nothing heavy: this module is on the path of a Git hook.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import (
    Any,
    NamedTuple,
    Protocol,
)

from ansible_collections.weft.platform.plugins.module_utils._change import (
    Change,
    Origin,
    Path,
    Subject,
    Value,
    show_path,
)

#: Severities of a finding. Only "prohibit" stands in the way of a merge.
PROHIBIT, WARN, INFO = "prohibit", "warn", "info"

#: Name, in place of a rule's, of an "info" about the system on which it was judged; a replay elsewhere may differ.
SURROUNDINGS = "surroundings"

#: Kinds of a finding.
INVALID = "invalid"  # the change is not a valid one (YAML, schema, upgrade path, duplicate object)
NOT_PERMITTED = "not-permitted"  # valid, but not by these people
CONTENT = "content"  # a content rule (`require`) objects
POLICY = "policy"  # what a change of policy/ loosens or tightens, or what is broken in it
ERROR = "error"  # it could not be judged; always prohibits
KINDS = (INVALID, NOT_PERMITTED, CONTENT, POLICY, ERROR)

#: Stands between names in `who_could` of which somebody must have all.
AND = " and "


class PolicyError(Exception):
    """Root of all errors of the policy manager. Whoever catches it prohibits."""


class GitError(PolicyError):
    """The repository, a commit or an object cannot be read."""


class RulesError(PolicyError):
    """The policy files are broken; `problems` says all that is wrong, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems) or "the policy is broken")
        self.problems = tuple(problems)


class IdentityError(PolicyError):
    """It cannot be told who somebody is, or to which team they belong."""


class RenderError(PolicyError):
    """Kustomize or Helm is missing, failed, or went over its limits."""


class ContentError(PolicyError):
    """A content check could not come to a result."""


class Problem(NamedTuple):
    """Something wrong at a place in a file."""

    origin: Origin
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


class Person(NamedTuple):
    """Somebody as the forge, the hook or a verified signature knows them.

    login  account name; compared without regard to case, never by look
    teams  the teams an event named; None when the event does not carry them (then Teams is asked)
    """

    login: str
    teams: tuple[str, ...] | None = None


class Approval(NamedTuple):
    """`person` approved the commit `head` (full object id); it counts for that commit only."""

    person: Person
    head: str


class CommitPeople(NamedTuple):
    """The forge's word on who is behind a commit; None where the forge knows nobody by that address."""

    commit: str
    author: Person | None = None
    committer: Person | None = None


class Request(NamedTuple):
    """A change that somebody wants on a branch.

    base        commit at the tip of the target branch (full object id); the rules in force are read from it
    head        commit that is to be merged or was pushed
    target      branch's name, without refs/heads/
    author      who opened the pull request, or who pushes
    committers  further people behind the change that the forge names without saying for which commit
    pushers     everyone who pushed to the pull request's branch, as far as known
    approvals   all approvals, of older heads too (those do not count)
    commits     the forge's word, commit by commit
    merged      commit that the forge made of merging `head` into `base`, "" where there is none yet; what it has
                besides prohibits, for nobody behind the request answers for that
    """

    base: str
    head: str
    target: str
    author: Person | None
    committers: tuple[Person, ...] = ()
    pushers: tuple[Person, ...] = ()
    approvals: tuple[Approval, ...] = ()
    commits: tuple[CommitPeople, ...] = ()
    merged: str = ""

    def to_json(self) -> dict[str, Value]:
        """A JSON object, enough to judge again; `from_json` reads it."""
        return {
            "base": self.base,
            "head": self.head,
            "target": self.target,
            "author": _person_json(self.author),
            "committers": [_person_json(person) for person in self.committers],
            "pushers": [_person_json(person) for person in self.pushers],
            "approvals": [{"person": _person_json(one.person), "head": one.head} for one in self.approvals],
            "commits": [
                {"commit": one.commit, "author": _person_json(one.author), "committer": _person_json(one.committer)}
                for one in self.commits
            ],
            "merged": self.merged,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Value]) -> Request:
        """Read what to_json wrote.

        Raises:
            PolicyError: it is not a request.
        """
        try:
            return cls(
                base=str(data["base"]),
                head=str(data["head"]),
                target=str(data["target"]),
                author=_person(data.get("author")),
                committers=_people(data.get("committers", ())),
                pushers=_people(data.get("pushers", ())),
                approvals=tuple(
                    Approval(_somebody(one["person"]), str(one["head"])) for one in data.get("approvals", ())
                ),
                commits=tuple(
                    CommitPeople(str(one["commit"]), _person(one.get("author")), _person(one.get("committer")))
                    for one in data.get("commits", ())
                ),
                merged=str(data.get("merged", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PolicyError(f"not a request: {error!r}") from error


def _person_json(person: Person | None) -> Value:
    if person is None:
        return None
    out: dict[str, Value] = {"login": person.login}
    if person.teams is not None:
        out["teams"] = list(person.teams)
    return out


def _person(data: Value) -> Person | None:
    return None if data is None else _somebody(data)


def _somebody(data: Value) -> Person:
    if isinstance(data, str):
        return Person(data)
    teams = data.get("teams")
    return Person(str(data["login"]), None if teams is None else tuple(str(team) for team in teams))


def _people(data: Iterable[Value]) -> tuple[Person, ...]:
    return tuple(_somebody(one) for one in data)


class Teams(Protocol):
    """Where team membership is asked for: a file, or a forge's API with a cache."""

    def members(self, team: str) -> Collection[str] | None:
        """Logins in `team`, or None when there is no such team.

        Raises:
            IdentityError: it cannot be told (no network, no permission). The verdict is then an error.
        """

    def exists(self, login: str) -> bool | None:
        """Whether an account of that name exists; None when it cannot be told."""


class Finding(NamedTuple):
    """One thing to say about a change.

    rule       name of the rule, or of the built-in check ("yaml", "upgrade", "duplicate-object")
    severity   PROHIBIT, WARN or INFO
    kind       one of KINDS
    message    what is wrong, in a sentence
    who_could  roles, teams or users by whom the change could be made ("role:x", "team:y", "user:z", "anyone", and
               "role:x and team:y" for who must be both)
    remedy     how to go on, in a sentence
    origin     where it was written, in head: for what was removed, what is left around it, or its file without a line
    subject, field  what it is about; with rule and message they make the key by which a finding at the base is
               known to be the same as one at the head
    change     the Change that is judged, where it is about one
    new        False when the same was to be found at the base; such findings do not prohibit by default
    """

    rule: str
    severity: str
    kind: str
    message: str
    who_could: tuple[str, ...] = ()
    remedy: str = ""
    origin: Origin | None = None
    subject: Subject | None = None
    field: Path = ()
    change: Change | None = None
    new: bool = True

    @property
    def prohibits(self) -> bool:
        """Whether this finding alone stands in the way of the merge."""
        return self.severity == PROHIBIT

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two findings, at base and at head, the same one. Lines and files do not count."""
        subject = self.subject or (self.change.subject if self.change else None)
        named = (
            (subject.type, subject.name, subject.scope) if subject else (str(self.origin.file) if self.origin else "",)
        )
        return (self.rule, self.kind, *named, show_path(self.field), self.message)

    def to_json(self) -> dict[str, Value]:
        """A JSON object; secrets are masked."""
        out: dict[str, Value] = {
            "rule": self.rule,
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "new": self.new,
        }
        if self.who_could:
            out["who_could"] = list(self.who_could)
        if self.remedy:
            out["remedy"] = self.remedy
        if self.origin is not None:
            out["origin"] = {"file": self.origin.file, "line": self.origin.line}
        if self.subject is not None:
            out["subject"] = {"type": self.subject.type, "name": self.subject.name, "scope": self.subject.scope}
        if self.field:
            out["field"] = show_path(self.field)
        if self.change is not None:
            out["change"] = self.change.to_json()
        return out


class Permission(NamedTuple):
    """Why one Change is permitted: the rules that allow it, and to whom."""

    change: Change
    rules: tuple[str, ...]
    roles: tuple[str, ...]


class Delta(NamedTuple):
    """What a change of policy/ does to who can do what.

    direction  "loosens", "tightens" or "changes" (where it cannot be told: said so, never hidden)
    """

    direction: str
    message: str
    origin: Origin | None = None


class Verdict(NamedTuple):
    """The answer to a Request. It holds for exactly this `head` on exactly this `base`.

    permitted    True only when nothing prohibits
    target       the branch; "" for a verdict on all that is in `head`, which is about no change and nobody
    merge_base   commit at which the change starts
    findings     all findings, worst first, then by file and line
    changes      the Changes that were judged
    permissions  for each permitted Change, why
    deltas       what the change does to the policy itself
    people       logins of everyone behind the change, with how each is known ("forge", "signature", "address")
    approvals    logins whose approvals count
    rules_digest sha256 of the policy files in force, "" when there are none
    now          the time (UTC, RFC 3339) at which exceptions were looked at
    """

    permitted: bool
    base: str
    head: str
    target: str
    merge_base: str = ""
    findings: tuple[Finding, ...] = ()
    changes: tuple[Change, ...] = ()
    permissions: tuple[Permission, ...] = ()
    deltas: tuple[Delta, ...] = ()
    people: tuple[tuple[str, str], ...] = ()
    approvals: tuple[str, ...] = ()
    rules_digest: str = ""
    now: str = ""

    @property
    def judged(self) -> bool:
        """False when something could not be judged at all (exit code 2 instead of 1)."""
        return not any(finding.kind == ERROR for finding in self.findings)

    def to_json(self) -> dict[str, Value]:
        """A JSON object; secrets are masked; the same inputs give the same object."""
        place = {id(change): index for index, change in enumerate(self.changes)}
        return {
            "permitted": self.permitted,
            "judged": self.judged,
            "base": self.base,
            "head": self.head,
            "target": self.target,
            "merge_base": self.merge_base,
            "now": self.now,
            "rules_digest": self.rules_digest,
            "people": [{"login": login, "known_by": how} for login, how in self.people],
            "approvals": list(self.approvals),
            "findings": [finding.to_json() for finding in self.findings],
            "changes": [change.to_json() for change in self.changes],
            "permissions": [
                {"change": place[id(one.change)], "rules": list(one.rules), "roles": list(one.roles)}
                for one in self.permissions
                if id(one.change) in place
            ],
            "deltas": [
                {"direction": delta.direction, "message": delta.message, "origin": str(delta.origin or "")}
                for delta in self.deltas
            ],
        }


class Limits(NamedTuple):
    """Bounds on what a verdict may cost. What goes over one of them is never passed unseen.

    blob_bytes   larger files are not read: a change of their path, and prohibited where they could hold objects
    total_bytes  sum of the content read for one verdict
    files        changed paths
    objects      Kubernetes objects on one side
    depth        nesting of YAML and of the tree
    commits      commits between base and head
    seconds      wall time for the whole verdict
    """

    blob_bytes: int = 4 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    files: int = 50_000
    objects: int = 50_000
    depth: int = 100
    commits: int = 10_000
    seconds: float = 120.0


LIMITS = Limits()


class Entry(NamedTuple):
    """A path in a tree. `mode` is Git's octal text ("100644", "100755", "120000" symlink, "160000" submodule)."""

    path: str
    mode: str
    oid: str


class Tree(Protocol):
    """One side of a change, read straight from Git objects. Paths keep odd bytes by surrogateescape."""

    def entry(self, path: str) -> Entry | None:
        """The entry at `path` (a directory's mode is "040000"), or None."""

    def walk(self, under: str = "") -> Iterable[Entry]:
        """Every entry below the directory `under` that is not a directory, in Git's order."""

    def read(self, path: str) -> bytes:
        """The content of the file at `path`.

        Raises:
            GitError: it is not there, is no plain file, or is larger than the limit.
        """


class ObjectAt(NamedTuple):
    """A Kubernetes object and where each part of it was written.

    object    the object as parsed
    origin    file and line of its beginning
    position  gives the place of a field by its path inside `object` (list elements by index); where the field
              itself has no place (rendered, or absent) the nearest that has one
    subject   the Subject it is known by in Changes
    inside    () for an object of its own; for a Pod that a workload makes, the path of its template in the workload
              (then `object` is that Pod, `origin` and `position` point into the workload's file)
    old       the object in whose place it comes, for the schema check at the head; None for a new one
    """

    object: Mapping[str, Any]
    origin: Origin
    position: Callable[[Path], Origin]
    subject: Subject
    inside: Path = ()
    old: Mapping[str, Any] | None = None


class Context(NamedTuple):
    """What a content check may look at besides its objects.

    rule      the rule's name, for findings
    severity  the rule's severity, for findings
    side      "base" or "head": findings of both sides are compared, so a check says the same thing of the same fault
    tree      that side's files (for CRDs, values, ...)
    policy    reads a file under policy/ as it is in the target branch; never as the change would have it
    objects   gives every object of that side's environments the change touches (lazily; may be long)
    version   Kubernetes version of the environment ("1.37", "1.37.2"), "" when the repository does not say
    deadline  time.monotonic() after which the check must have given up with ContentError
    limits    the bounds of the run
    cluster_scoped  kinds that are in no namespace by the settings, besides those of Kubernetes itself
    """

    rule: str
    severity: str
    side: str
    tree: Tree
    policy: Callable[[str], bytes]
    objects: Callable[[], Sequence[ObjectAt]]
    version: str
    deadline: float
    limits: Limits
    cluster_scoped: frozenset[str] = frozenset()


class Job(NamedTuple):
    """One content rule on one side: check `name` with the rule's `params` over `objects`.

    With `documents`, these are the documents of files, whatever they are, each known by the path of its file.
    """

    name: str
    params: Value
    objects: Sequence[ObjectAt]
    context: Context
    documents: bool = False


#: A content check is given all its jobs of a verdict at once (both sides, all rules), so that one process can serve
#: them all; it answers with one list of findings a job, in the order of the jobs.  Any exception prohibits.
CheckFunction = Callable[[Sequence[Job]], Sequence[Sequence[Finding]]]

#: Says what is wrong with a rule's params for a check, when the rules are loaded: [] is fine.
ParamsFunction = Callable[[str, Value], list[str]]


class Rendered(NamedTuple):
    """What Kustomize or Helm made of a directory.

    objects  the objects; origins are the source file where it can be told, else the directory's kustomization.yaml
             or Chart.yaml with line 0
    files    every path of the tree that went in, so that a change to one of them is known to be judged
    isolated whether the program had a network namespace of its own, with nobody on it
    """

    objects: tuple[ObjectAt, ...]
    files: tuple[str, ...]
    isolated: bool = True

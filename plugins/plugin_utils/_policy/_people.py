# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who is behind a change, in which roles they are, and whose approval counts.

Everybody behind a change must be permitted to make it: its author, the committers, those who pushed.  What is not known
of somebody never gives them anything; where it would matter, the verdict is an error.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Commit
from ansible_collections.weft.platform.plugins.plugin_utils._policy._load import login_problem
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CommitPeople,
    IdentityError,
    Person,
    Request,
    Teams,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import ANYONE, Identity, Policy, Who

FORGE, SIGNATURE, ADDRESS = "forge", "signature", "address"

Asked = TypeVar("Asked")

#: Forges compare names without regard to case (of ASCII), and to nothing else.
LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def folded(login: str) -> str:
    """A login as forges compare it: without regard to case (of ASCII), and to nothing else.

    Raises:
        IdentityError: it is written so that it looks like another (see login_problem).
    """
    problem = login_problem(login)
    if problem:
        raise IdentityError(problem)
    return login.translate(LOWER)


class Behind(NamedTuple):
    """Somebody behind a change; `how` they are known; `unknown` when no account is."""

    person: Person
    how: str
    unknown: bool = False


class Crowd(NamedTuple):
    """Everybody behind a change, and everybody whose approval counts."""

    behind: tuple[Behind, ...]
    approvers: tuple[Person, ...]
    notes: tuple[str, ...]


class Members:
    """Answers whether somebody is in a role.

    Args:
        policy: the roles, and teams that it defines itself.
        teams: where other teams are asked for; None when there is nowhere to ask.
    """

    def __init__(self, policy: Policy, teams: Teams | None) -> None:
        self.policy = policy
        self.teams = teams
        self._asked: dict[str, Collection[str] | None] = {}
        own = policy.teams.items()
        self._own = {name.translate(LOWER): {folded(login) for login in logins} for name, logins in own}

    def is_one(self, person: Person, who: Who) -> bool:
        """Whether a person is whom a rule means.

        Raises:
            IdentityError: it cannot be told, and it matters.
        """
        if who.how == "one":
            return self._is_named(person, who.name, frozenset())
        return _combined(self.is_one, person, who.of, who.how == "any")

    def _is_named(self, person: Person, name: str, way: frozenset[str]) -> bool:
        kind, colon, rest = name.partition(":")
        if name == ANYONE:
            return True
        if colon and kind == "user":
            return folded(rest) == folded(person.login)
        if colon and kind == "team":
            return self._in_team(person, rest)
        role = self.policy.roles.get(rest if colon and kind == "role" else name)
        if role is None or role.name in way:
            return False
        inner = way | {role.name}
        return _combined(lambda who, part: self._is_named(who, part, inner), person, role.members, True)

    def _in_team(self, person: Person, team: str) -> bool:
        login, name = folded(person.login), team.translate(LOWER)
        if name in self._own:
            return login in self._own[name]
        if person.teams is not None:
            return name in {one.translate(LOWER) for one in person.teams}
        if self.teams is None:
            raise IdentityError(
                f"whether {person.login} is in team {team} cannot be told; give the teams (--teams, or by the event)"
            )
        if team not in self._asked:
            self._asked[team] = self.teams.members(team)
        members = self._asked[team]
        if members is None:
            # Nobody is in it, and somebody whom a rule denies might be meant all the same.
            raise IdentityError(
                f"there is no team {team}; correct its name in the policy or CODEOWNERS, or make it on the forge or in "
                "the file with the teams"
            )
        return login in {folded(one) for one in members}


def _combined(
    ask: Callable[[Person, Asked], bool], person: Person, parts: Iterable[Asked], one_is_enough: bool
) -> bool:
    """Any or all of several answers; one that cannot be told is only an error where the others do not decide."""
    error: IdentityError | None = None
    for part in parts:
        try:
            if ask(person, part) is one_is_enough:
                return one_is_enough
        except IdentityError as problem:
            error = error or problem
    if error is not None:
        raise error
    return not one_is_enough


def crowd(request: Request, commits: Sequence[Commit], policy: Policy, signer: Callable[[Commit], str] | None) -> Crowd:
    """Who is behind a request, and whose approval counts.

    Args:
        request: what the forge or the hook says.
        commits: the commits of the change.
        policy: how commits are attributed, and the addresses of people.
        signer: gives the login of who signed a commit, "" for nobody known; None when the policy names no keys.

    Raises:
        IdentityError: the request names no author, or a login is written to look like another.
    """
    if request.author is None:
        raise IdentityError("nobody is named as the author of the change")
    gathering = _Gathering(policy)
    gathering.add(request.author, FORGE)
    for person in (*request.committers, *request.pushers):
        gathering.add(person, FORGE)
    services = {folded(name) for name in policy.settings.identity.services}
    own = gathering.commits(request.commits, commits, policy.settings.identity, signer, services)
    approvers: dict[str, Person] = {}
    notes = []
    for approval in request.approvals:
        login = folded(approval.person.login)
        if approval.head != request.head:
            notes.append(f"{approval.person.login} approved {approval.head[:12]}, which is not the head any more")
        elif login in gathering.people or login in own:
            notes.append(f"{approval.person.login} is behind the change and cannot approve it")
        else:
            approvers.setdefault(login, approval.person)
    behind = tuple(gathering.people[login] for login in sorted(gathering.people))
    return Crowd(behind, tuple(approvers[login] for login in sorted(approvers)), tuple(dict.fromkeys(notes)))


class _Gathering:
    def __init__(self, policy: Policy) -> None:
        self.people: dict[str, Behind] = {}
        self._logins = {
            unicodedata.normalize("NFC", address).lower(): login
            for login, addresses in policy.people.items()
            for address in addresses
        }

    def add(self, person: Person, how: str, unknown: bool = False) -> None:
        """Take somebody in; what the forge says of teams is kept."""
        login = person.login if unknown else folded(person.login)
        before = self.people.get(login)
        if before is None or (before.person.teams is None and person.teams is not None):
            self.people[login] = Behind(person, before.how if before else how, unknown)

    def commits(
        self,
        words: Sequence[CommitPeople],
        commits: Sequence[Commit],
        identity: Identity,
        signer: Callable[[Commit], str] | None,
        services: Collection[str],
    ) -> set[str]:
        """Take in who is behind the commits; returns those who are not judged for it but cannot approve it either."""
        said = {word.commit: word for word in words}
        silent: set[str] = set()
        for commit in commits:
            silent |= {folded(self._logins[one.lower()]) for one in commit.coauthors if one.lower() in self._logins}
            if identity.commits == "signed":
                self._signed(commit, signer)
            elif identity.commits == "pushed":
                silent |= self._named(commit, said.get(commit.oid))
            else:
                self._by_forge(commit, said, signer, services)
        return silent

    def _signed(self, commit: Commit, signer: Callable[[Commit], str] | None) -> None:
        login = signer(commit) if signer is not None else ""
        if login:
            self.add(Person(login), SIGNATURE)
        else:
            self._unknown(f"commit {commit.oid[:12]}, which bears no signature that the policy knows")
        for address in (commit.author, commit.committer):
            known = self._logins.get(address.lower())
            if known:
                self.add(Person(known), ADDRESS)

    def _by_forge(
        self,
        commit: Commit,
        said: Mapping[str, CommitPeople],
        signer: Callable[[Commit], str] | None,
        services: Collection[str],
    ) -> None:
        word = said.get(commit.oid)
        for role, address in (("author", commit.author), ("committer", commit.committer)):
            person = getattr(word, role, None)
            known = self._logins.get(address.lower())
            if person is not None:
                if role == "committer" and folded(person.login) in services:
                    continue  # the forge itself, for somebody who is named besides
                self.add(person, FORGE)
            elif known:
                self.add(Person(known), ADDRESS)
            elif said:
                login = signer(commit) if signer is not None and commit.signature is not None else ""
                if login:
                    self.add(Person(login), SIGNATURE)
                else:
                    self._unknown(f"{address or 'nobody'} ({role} of commit {commit.oid[:12]})")

    def _named(self, commit: Commit, word: CommitPeople | None) -> set[str]:
        people = {folded(one.login) for one in (word.author, word.committer) if one is not None} if word else set()
        known = {self._logins.get(address.lower()) for address in (commit.author, commit.committer)}
        return people | {folded(login) for login in known if login}

    def _unknown(self, name: str) -> None:
        self.add(Person(name, ()), ADDRESS, unknown=True)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""GitHub and GitHub Enterprise Server, over PyGithub (REST API, version 2022-11-28)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import github
import requests
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    CONTEXT,
    TIMEOUT,
    Pull,
    Status,
    retry,
    text_at,
    told,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    CommitPeople,
    IdentityError,
    Person,
    Request,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import basic
from github.Commit import Commit
from github.NamedUser import NamedUser
from github.PullRequest import PullRequest
from github.Repository import Repository

#: PyGithub follows no redirect to another host: a RuntimeError.
_ERRORS = (github.GithubException, requests.RequestException, AssertionError, RuntimeError)
#: The account by which GitHub commits what people do in its pages; it signs those commits.
_WEB = "web-flow"
#: The account behind a job's own token, which may not ask who it is.
_ACTIONS = "github-actions[bot]"
#: Reviews in these states replace what their author said before.
_DECIDING = ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")


class GitHub:
    """One pull request on GitHub."""

    html = True
    longest = 65_000

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._api = github.Github(
            base_url=pull.api,
            auth=github.Auth.Token(pull.token),
            timeout=TIMEOUT,
            per_page=100,
            retry=retry(),
            # a verdict makes a dozen calls, far below what GitHub wants spread out
            seconds_between_requests=0,
            seconds_between_writes=0,
        )
        self._owner = pull.repository.partition("/")[0]

    @cached_property
    def _repository(self) -> Repository:
        return self._api.get_repo(self._pull.repository)

    def request(self) -> Request:
        """See Forge.request."""
        name = f"{self._pull.repository}#{self._pull.number}"
        with told(f"reading pull request {name} from {self._pull.api}", *_ERRORS):
            pull = self._repository.get_pull(self._pull.number)
            base = self._repository.get_branch(pull.base.ref).commit.sha
            commits = tuple(_people_of(commit) for commit in pull.get_commits())
            if len(commits) < pull.commits:
                raise IdentityError(
                    f"{name} has {pull.commits} commits, of which GitHub lists {len(commits)}: who is behind the "
                    "others cannot be told; merge it in smaller pieces"
                )
            return Request(
                base=base,
                head=pull.head.sha,
                target=pull.base.ref,
                author=_person(pull.user),
                pushers=tuple(Person(login) for login in self._pushers(pull)),
                approvals=tuple(_approvals(pull)),
                commits=commits,
            )

    def _pushers(self, pull: PullRequest) -> list[str]:
        logins = [self._pull.pusher] if self._pull.pusher else []
        try:
            logins += _activity(pull.head.repo, pull.head.ref)
        except github.GithubException as error:
            # only a fork may be out of this token's sight: the event named the last pusher
            if error.status not in (403, 404) or pull.head.repo.full_name == self._repository.full_name:
                raise
        return sorted({login.lower(): login for login in logins}.values())

    def status(self, head: str, status: Status) -> None:
        """See Forge.status."""
        with told(f"setting the status of {head[:12]} on {self._pull.repository}", *_ERRORS):
            self._repository.get_commit(head).create_status(
                state=status.state,
                description=basic(status.description)[:140],
                context=CONTEXT,
                target_url=status.link or github.GithubObject.NotSet,
            )

    def comment(self, body: str, marker: str, create: bool) -> None:
        """See Forge.comment."""
        with told(f"commenting on {self._pull.repository}#{self._pull.number}", *_ERRORS):
            issue = self._repository.get_issue(self._pull.number)
            me = self._me()
            for comment in issue.get_comments():
                # a deleted account leaves a comment without a user
                if getattr(comment.user, "login", None) == me and (comment.body or "").startswith(marker):
                    if comment.body != body:
                        comment.edit(body)
                    return
            if create:
                issue.create_comment(body)

    def _me(self) -> str:
        try:
            return self._api.get_user().login
        except github.GithubException as error:
            if error.status not in (401, 403):
                raise
        # an app's token, and so a job's own, is nobody's for this API; the other one tells
        with suppress(github.GithubException):
            _headers, data = self._api.requester.graphql_query("query { viewer { login } }", {})
            return text_at(data, "data", "viewer", "login")
        return _ACTIONS

    def members(self, team: str) -> Collection[str] | None:
        """Logins in the organisation's team with that slug (members of its child teams are members)."""
        owner, _, slug = team.rpartition("/")
        with told(f"asking who is in team {team} of {owner or self._owner}", *_ERRORS):
            try:
                found = self._api.get_organization(owner or self._owner).get_team_by_slug(slug)
                return frozenset(member.login for member in found.get_members())
            except github.UnknownObjectException as error:
                # without read:org GitHub answers 404 as well: only a token that sees teams may say that there is none
                if self._sees_teams(owner or self._owner):
                    return None
                raise IdentityError(
                    f"who is in team {team} cannot be told: the token may not read the teams of "
                    f"{owner or self._owner}; give one with read:org, or a file with the teams"
                ) from error

    def _sees_teams(self, owner: str) -> bool:
        try:
            return next(iter(self._api.get_organization(owner).get_teams()), None) is not None
        except github.GithubException:
            return False

    def exists(self, login: str) -> bool | None:
        """Whether GitHub has the account."""
        try:
            self._api.get_user(login)
        except github.UnknownObjectException:
            return False
        except _ERRORS:
            return None
        return True


def _person(user: NamedUser | None) -> Person | None:
    return None if user is None or not user.login else Person(user.login)


def _people_of(commit: Commit) -> CommitPeople:
    author, committer = _person(commit.author), _person(commit.committer)
    if committer is not None and committer.login == _WEB:
        # GitHub's own commits, made in its pages by the author, are signed by it; anybody can write its address.
        committer = author if commit.commit.verification.verified else None
    return CommitPeople(commit.sha, author, committer)


def _approvals(pull: PullRequest) -> Iterator[Approval]:
    """Each reviewer's last word, when it is an approval."""
    last: dict[str, Approval | None] = {}
    for review in pull.get_reviews():
        person = _person(review.user)
        if person is None or review.state not in _DECIDING:
            continue
        approved = review.state == "APPROVED" and review.commit_id
        last.pop(person.login, None)
        last[person.login] = Approval(person, review.commit_id) if approved else None
    return (approval for approval in last.values() if approval is not None)


def _activity(repository: Repository | None, branch: str) -> list[str]:
    """Everyone who pushed to the branch, as the repository's activity says."""
    if repository is None:
        return []
    url: str | None = f"{repository.url}/activity"
    parameters: dict[str, Any] | None = {"ref": f"refs/heads/{branch}", "per_page": 100}
    logins: list[str] = []
    while url:
        headers, data = repository.requester.requestJsonAndCheck("GET", url, parameters=parameters)
        entries = data if isinstance(data, list) else []
        logins += [one["actor"]["login"] for one in entries if isinstance(one.get("actor"), dict)]
        url, parameters = _next(str(headers.get("link", ""))), None
    return logins


def _next(link: str) -> str | None:
    for piece in link.split(","):
        if 'rel="next"' in piece:
            return piece[piece.index("<") + 1 : piece.index(">")]
    return None

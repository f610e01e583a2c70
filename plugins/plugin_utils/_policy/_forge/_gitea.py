# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Gitea and Forgejo, over `requests` (API v1).

There is no client for Python that is kept as those of the other forges are; the calls that are needed are few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    CONTEXT,
    TIMEOUT,
    ForgeError,
    Pull,
    Status,
    get,
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
from requests.adapters import HTTPAdapter

_PAGE = 50
_MOST_PAGES = 1000
_OWNERS = "Owners"
_DECIDING = ("APPROVED", "REQUEST_CHANGES")


class Client:
    """The API of a Gitea or Forgejo server, as far as it is needed: JSON in, JSON out, pages joined."""

    def __init__(self, api: str, token: str) -> None:
        self._api = api.rstrip("/")
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"token {token}", "Accept": "application/json"})
        self._session.trust_env = False  # a .netrc would replace the token
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry()))

    def call(self, method: str, path: str, data: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """One call; None for an empty answer.

        Raises:
            NotThere: the answer was 404.
            ForgeError: no answer, or none of success.
        """
        url = f"{self._api}/{path}"
        with told(f"{method} {url}", requests.RequestException):
            # a redirect could carry the token to another host
            answer = self._session.request(method, url, json=data, params=query, timeout=TIMEOUT, allow_redirects=False)
        if answer.status_code == 404:
            raise NotThere(f"{method} {url}: there is no such thing, or the token may not see it")
        if answer.is_redirect:
            raise ForgeError(
                f"{method} {url}: {answer.status_code}, it is at {answer.headers['location']} now; name it as it is "
                "called there"
            )
        if not answer.ok:
            words = " ".join(answer.text.split())[:300]
            raise ForgeError(f"{method} {url}: {answer.status_code} {answer.reason}: {words}; what may the token do?")
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise ForgeError(f"{method} {url}: the answer is no JSON; is {self._api} the API?") from error

    def pages(self, path: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        """Every element of a list that comes in pages.

        Raises:
            ForgeError: see `call`; or there are more pages than can be meant.
        """
        for page in range(1, _MOST_PAGES + 1):
            found = self.call("GET", path, page=page, limit=_PAGE, **query) or []
            yield from found
            # a server may have a smaller page than was asked for, so only an empty one is the last
            if not found:
                return
        raise ForgeError(f"{path}: has more than {_MOST_PAGES} pages")


class NotThere(ForgeError):
    """The server answered 404."""


class Gitea:
    """One pull request on Gitea or Forgejo."""

    html = True
    longest = 250_000

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._client = Client(pull.api, pull.token)
        self._repository = "repos/" + "/".join(quote(part, safe="") for part in pull.repository.split("/"))
        self._owner = pull.repository.partition("/")[0]

    def request(self) -> Request:
        """See Forge.request."""
        path = f"{self._repository}/pulls/{self._pull.number}"
        pull = self._client.call("GET", path)
        target = text_at(pull, "base", "ref")
        branch = self._client.call("GET", f"{self._repository}/branches/{quote(target, safe='')}")
        return Request(
            base=text_at(branch, "commit", "id"),
            head=text_at(pull, "head", "sha"),
            target=target,
            author=_person(pull.get("user")),
            pushers=tuple(self._pushers()),
            approvals=tuple(_approvals(list(self._client.pages(f"{path}/reviews")))),
            commits=tuple(
                CommitPeople(text_at(one, "sha"), _person(one.get("author")), _person(one.get("committer")))
                for one in self._client.pages(f"{path}/commits")
            ),
        )

    def _pushers(self) -> list[Person]:
        """Who pushed to the branch since the pull request was opened, as its timeline says."""
        people = {Person(self._pull.pusher)} if self._pull.pusher else set()
        for entry in self._client.pages(f"{self._repository}/issues/{self._pull.number}/timeline"):
            person = _person(entry.get("user"))
            if entry.get("type") == "pull_push" and person is not None:
                people.add(person)
        return sorted(people)

    def status(self, head: str, status: Status) -> None:
        """See Forge.status."""
        data = {"context": CONTEXT, "state": status.state, "description": status.description[:255]}
        if status.link:
            data["target_url"] = status.link
        self._client.call("POST", f"{self._repository}/statuses/{head}", data)

    def comment(self, body: str, marker: str, create: bool) -> None:
        """See Forge.comment."""
        me = get(self._client.call("GET", "user"), "id")
        # this list has no pages
        found = self._client.call("GET", f"{self._repository}/issues/{self._pull.number}/comments") or []
        for comment in found:
            if get(comment, "user", "id") == me and (comment.get("body") or "").startswith(marker):
                if comment["body"] != body:
                    self._client.call("PATCH", f"{self._repository}/issues/comments/{comment['id']}", {"body": body})
                return
        if create:
            self._client.call("POST", f"{self._repository}/issues/{self._pull.number}/comments", {"body": body})

    def members(self, team: str) -> Collection[str] | None:
        """Logins in a team of the organisation that owns the repository ("organisation/team" for another one)."""
        owner, _, name = team.rpartition("/")
        organisation = quote(owner or self._owner, safe="")
        try:
            teams = list(self._client.pages(f"orgs/{organisation}/teams"))
        except NotThere as error:
            raise IdentityError(f"who is in team {team} cannot be told: {error}") from error
        for one in teams:
            if str(one.get("name", "")).lower() == name.lower():
                people = self._client.pages(f"teams/{int(one['id'])}/members")
                return frozenset(text_at(person, "login") for person in people)
        # every organisation has a team of owners; who is not shown that one is not shown all
        if any(one.get("name") == _OWNERS for one in teams):
            return None
        raise IdentityError(
            f"who is in team {team} cannot be told: the token does not see it; make the team visible to the members "
            "of the organisation, or the token's account an owner"
        )

    def exists(self, login: str) -> bool | None:
        """Whether the server has the account."""
        try:
            self._client.call("GET", f"users/{quote(login, safe='')}")
        except NotThere:
            return False
        except ForgeError:
            return None
        return True


def _person(user: Any) -> Person | None:
    login = get(user, "login")
    return Person(login) if isinstance(login, str) and login else None


def _approvals(reviews: list[Mapping[str, Any]]) -> Iterator[Approval]:
    """Each reviewer's last word, when it is an approval that was not dismissed."""
    last: dict[str, Approval | None] = {}
    for review in sorted(reviews, key=lambda one: int(one.get("id", 0))):
        person = _person(review.get("user"))
        if person is None or review.get("state") not in _DECIDING:
            continue
        stands = review["state"] == "APPROVED" and review.get("dismissed") is not True and review.get("commit_id")
        last[person.login] = Approval(person, str(review["commit_id"])) if stands else None
    return (approval for approval in last.values() if approval is not None)

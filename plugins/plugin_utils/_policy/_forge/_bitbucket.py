# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Bitbucket Cloud, over atlassian-python-api (REST API 2.0).

Bitbucket Cloud has no login names and lets people choose their nickname: a person is known by the account id, and
roles name it (`user:557058:...`).  It has no API that says who is in a group: teams come from a file.  It does not
say which commit an approval was for; the pull request's activity says what its head was before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    BROKEN,
    CONTEXT,
    FAILURE,
    PENDING,
    SUCCESS,
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
from atlassian.bitbucket.cloud import Cloud
from atlassian.errors import ApiError
from requests.adapters import HTTPAdapter

_ERRORS = (ApiError, requests.RequestException, ValueError)
_STATES = {PENDING: "INPROGRESS", SUCCESS: "SUCCESSFUL", FAILURE: "FAILED", BROKEN: "FAILED"}
_MOST_PAGES = 1000


class Bitbucket:
    """One pull request on Bitbucket Cloud."""

    html = False
    longest = 32_000

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        untyped: Any = Cloud  # the library has no types
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry()))
        self._api = untyped(url=pull.api, token=pull.token, timeout=TIMEOUT, session=session)
        self._repository = f"repositories/{pull.repository}"
        self._path = f"{self._repository}/pullrequests/{pull.number}"

    def request(self) -> Request:
        """See Forge.request."""
        with told(f"reading pull request {self._pull.repository} {self._pull.number}", *_ERRORS):
            pull = self._api.get(self._path)
            target = text_at(pull, "destination", "branch", "name")
            base = self._api.get(f"{self._repository}/refs/branches/{quote(target)}")
            activity = list(self._pages(f"{self._path}/activity"))
            return Request(
                base=text_at(base, "target", "hash"),
                head=self._full(text_at(pull, "source", "commit", "hash")),
                target=target,
                author=_person(pull.get("author")),
                pushers=tuple(_pushers(activity)),
                approvals=tuple(self._approvals(pull, activity)),
                commits=tuple(_people_of(one) for one in self._pages(f"{self._path}/commits")),
            )

    def _full(self, commit: str) -> str:
        """The whole name of a commit, of which a pull request tells twelve digits."""
        if len(commit) == 40:
            return commit
        found = text_at(self._api.get(f"{self._repository}/commit/{commit}"), "hash")
        if not found.startswith(commit):
            raise ForgeError(f"asked for commit {commit}, Bitbucket answered with {found}")
        return found

    def _approvals(self, pull: Mapping[str, Any], activity: list[Mapping[str, Any]]) -> Iterator[Approval]:
        """Approvals that stand (participants say so), each with the head that its time had."""
        heads = [
            one["update"] for one in activity if "update" in one and get(one, "update", "source", "commit", "hash")
        ]
        given = [one["approval"] for one in activity if "approval" in one]
        for participant in pull.get("participants", []):
            person = _person(participant.get("user"))
            if participant.get("approved") is not True or person is None:
                continue
            times = [text_at(one, "date") for one in given if _person(one.get("user")) == person]
            at = max(times, key=_time, default=None)
            before = [one for one in heads if at is not None and _time(text_at(one, "date")) < _time(at)]
            newest = max(before, key=lambda one: _time(one["date"]), default=None)
            yield Approval(person, self._full(text_at(newest, "source", "commit", "hash")) if newest else "")

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        page = self._api.get(path, params={"pagelen": 50})
        for _number in range(_MOST_PAGES):
            yield from get(page, "values") or []
            following = get(page, "next")
            if not following:
                return
            if not str(following).startswith(self._api.url.rstrip("/") + "/"):
                raise ForgeError(f"{path}: the next page is at another host: {following}")
            page = self._api.get(following, absolute=True)
        raise ForgeError(f"{path}: has more than {_MOST_PAGES} pages")

    def status(self, head: str, status: Status) -> None:
        """See Forge.status."""
        data = {
            "key": CONTEXT,
            "name": CONTEXT,
            "state": _STATES[status.state],
            "description": status.description[:255],
            # Bitbucket wants an address with each status
            "url": status.link or f"https://bitbucket.org/{self._pull.repository}/pull-requests/{self._pull.number}",
        }
        with told(f"setting the status of {head[:12]} on {self._pull.repository}", *_ERRORS):
            self._api.post(f"{self._repository}/commit/{head}/statuses/build", data=data)

    def comment(self, body: str, marker: str, create: bool) -> None:
        """See Forge.comment."""
        with told(f"commenting on {self._pull.repository} {self._pull.number}", *_ERRORS):
            me = text_at(self._api.get("user"), "uuid")
            for comment in self._pages(f"{self._path}/comments"):
                said = get(comment, "content", "raw") or ""
                ours = get(comment, "user", "uuid") == me and comment.get("deleted") is not True
                if ours and said.startswith(marker):
                    if said != body:
                        self._api.put(f"{self._path}/comments/{comment['id']}", data={"content": {"raw": body}})
                    return
            if create:
                self._api.post(f"{self._path}/comments", data={"content": {"raw": body}})

    def members(self, team: str) -> Collection[str] | None:
        """Bitbucket Cloud does not say.

        Raises:
            IdentityError: always.
        """
        raise IdentityError(
            f"who is in team {team} cannot be told: Bitbucket Cloud has no API for it; give --teams FILE"
        )

    def exists(self, login: str) -> bool | None:
        """Whether Bitbucket has an account with that id."""
        try:
            self._api.get(f"users/{login}")
        except requests.HTTPError as error:
            return False if error.response is not None and error.response.status_code == 404 else None
        except ApiError:
            return None
        except _ERRORS:
            return None
        return True


def _person(user: Any) -> Person | None:
    account = get(user, "account_id")
    return Person(account) if isinstance(account, str) and account else None


def _people_of(commit: Mapping[str, Any]) -> CommitPeople:
    """Bitbucket names a commit's author, and does not name its committer."""
    author = _person(get(commit, "author", "user"))
    return CommitPeople(text_at(commit, "hash"), author, _person(get(commit, "committer", "user")) or author)


def _pushers(activity: list[Mapping[str, Any]]) -> list[Person]:
    people = [_person(get(one, "update", "author")) for one in activity]
    return sorted({person for person in people if person is not None})


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""GitLab, over python-gitlab (REST API v4).

GitLab does not say which commit an approval was for.  The merge request's versions say when each head came: an
approval is for the newest head that was there before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import gitlab
import requests
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    BROKEN,
    CONTEXT,
    FAILURE,
    PENDING,
    SUCCESS,
    TIMEOUT,
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
    Person,
    Request,
)
from requests.adapters import HTTPAdapter

_ERRORS = (gitlab.GitlabError, requests.RequestException)
_STATES = {PENDING: "running", SUCCESS: "success", FAILURE: "failed", BROKEN: "failed"}
#: What GitLab itself writes into a merge request when somebody approves it.
_APPROVED_NOTE = "approved this merge request"


class GitLab:
    """One merge request on GitLab."""

    html = True
    longest = 900_000

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry()))
        self._api = gitlab.Gitlab(pull.api, private_token=pull.token, timeout=TIMEOUT, per_page=100, session=session)
        self._project = self._api.projects.get(pull.repository, lazy=True)
        self._merge = self._project.mergerequests.get(pull.number, lazy=True)

    def request(self) -> Request:
        """See Forge.request."""
        with told(f"reading merge request {self._pull.repository}!{self._pull.number}", *_ERRORS):
            merge = self._project.mergerequests.get(self._pull.number).attributes
            target, head = text_at(merge, "target_branch"), text_at(merge, "sha")
            base = self._project.branches.get(target).attributes
            versions = [one.attributes for one in self._merge.diffs.list(iterator=True)]
            return Request(
                base=text_at(base, "commit", "id"),
                head=head,
                target=target,
                author=_person(merge.get("author")),
                pushers=tuple(Person(login) for login in self._pushers(merge)),
                approvals=tuple(self._approvals(versions)),
                commits=tuple(self._commits()),
            )

    def _pushers(self, merge: Mapping[str, Any]) -> list[str]:
        logins = {self._pull.pusher} if self._pull.pusher else set()
        if not merge.get("source_project_id"):
            return sorted(logins)  # the fork is gone
        source = self._api.projects.get(merge["source_project_id"], lazy=True)
        branch = merge.get("source_branch")
        for event in source.events.list(action="pushed", sort="desc", iterator=True):
            data = event.attributes
            login = get(data, "author", "username") or data.get("author_username")
            ref = get(data, "push_data", "ref")
            # a push of more than three branches at once is one event that names none of them
            if get(data, "push_data", "ref_type") == "tag" or ref not in (None, branch):
                continue
            if login:
                logins.add(str(login))
            if ref == branch and get(data, "push_data", "action") == "created":
                break  # what was before is about an older branch of that name
        return sorted(logins)

    def _approvals(self, versions: Sequence[Mapping[str, Any]]) -> Iterator[Approval]:
        for entry in self._merge.approvals.get().attributes.get("approved_by", []):
            person = _person(entry.get("user"))
            if person is None:
                continue
            at = entry.get("approved_at") or self._noted(person.login)
            yield Approval(person, _head_at(versions, at) if at else "")

    def _noted(self, login: str) -> str | None:
        """When GitLab noted the person's last approval (versions before 18.1 do not say it in the approval)."""
        times = [
            str(note.attributes["created_at"])
            for note in self._merge.notes.list(iterator=True)
            if note.attributes.get("system") is True
            and note.attributes.get("body") == _APPROVED_NOTE
            and get(note.attributes, "author", "username") == login
        ]
        return max(times, key=_time, default=None)

    def _commits(self) -> Iterator[CommitPeople]:
        """GitLab knows commits by mail address; an address that is one account's is that person."""
        known: dict[str, Person | None] = {}
        for commit in self._merge.commits():
            data = commit.attributes
            people = []
            for key in ("author_email", "committer_email"):
                address = str(data.get(key, ""))
                if address not in known:
                    known[address] = self._person_at(address)
                people.append(known[address])
            yield CommitPeople(text_at(data, "id"), *people)

    def _person_at(self, address: str) -> Person | None:
        if "@" not in address:
            return None
        found = [user.attributes for user in self._api.users.list(search=address, get_all=False)]
        return _person(found[0]) if len(found) == 1 else None

    def status(self, head: str, status: Status) -> None:
        """See Forge.status."""
        data = {"state": _STATES[status.state], "name": CONTEXT, "description": status.description[:255]}
        if status.link:
            data["target_url"] = status.link
        with told(f"setting the status of {head[:12]} on {self._pull.repository}", *_ERRORS):
            try:
                self._project.commits.get(head, lazy=True).statuses.create(data)
            except gitlab.GitlabCreateError as error:
                # GitLab refuses to set the state that a status has already
                if error.response_code != 400 or f"from :{data['state']}" not in str(error):
                    raise

    def comment(self, body: str, marker: str, create: bool) -> None:
        """See Forge.comment."""
        with told(f"commenting on {self._pull.repository}!{self._pull.number}", *_ERRORS):
            self._api.auth()
            me = self._api.user.attributes["id"] if self._api.user is not None else None
            for note in self._merge.notes.list(iterator=True, sort="asc", order_by="created_at"):
                ours = get(note.attributes, "author", "id") == me and note.attributes.get("system") is not True
                if ours and note.attributes.get("body", "").startswith(marker):
                    if note.attributes["body"] != body:
                        note.body = body
                        note.save()
                    return
            if create:
                self._merge.notes.create({"body": body})

    def members(self, team: str) -> Collection[str] | None:
        """Logins in a group, inherited members counted: its full path, or its path below the project's top group."""
        path = team
        with told(f"asking who is in group {team}", *_ERRORS):
            if "/" not in team:
                where = text_at(self._project_data(), "path_with_namespace")
                path = f"{where.partition('/')[0]}/{team}"
            try:
                group = self._api.groups.get(path)
                people = group.members_all.list(iterator=True)
                return frozenset(str(one.username) for one in people if one.attributes.get("state") == "active")
            except gitlab.GitlabGetError as error:
                if error.response_code == 404:
                    return None
                raise

    def _project_data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self._api.projects.get(self._pull.repository).attributes
        return data

    def exists(self, login: str) -> bool | None:
        """Whether GitLab has the account."""
        try:
            return bool(self._api.users.list(username=login, get_all=False))
        except _ERRORS:
            return None


def _person(user: Any) -> Person | None:
    login = get(user, "username")
    return Person(login) if isinstance(login, str) and login else None


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _head_at(versions: Sequence[Mapping[str, Any]], at: str) -> str:
    """The head that was there at a time; "" when none was."""
    before = [one for one in versions if _time(text_at(one, "created_at")) < _time(at)]
    return text_at(max(before, key=lambda one: _time(one["created_at"])), "head_commit_sha") if before else ""

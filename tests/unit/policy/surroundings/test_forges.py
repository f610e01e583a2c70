# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Each forge at the wire: a server that answers in the shapes of the forge's API documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _forge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    BROKEN,
    CONTEXT,
    FAILURE,
    PENDING,
    SUCCESS,
    Forge,
    ForgeError,
    Pull,
    Status,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    CommitPeople,
    IdentityError,
    Person,
    Request,
)

from tests.unit.policy.surroundings.policy_wire import Call, Wire, serve

BASE, OLD, HEAD = "b" * 40, "0" * 40, "a" * 40
MARKER = "[//]: # (mark)"


def people(*logins: str) -> tuple[Person, ...]:
    return tuple(Person(login) for login in logins)


@pytest.fixture()
def wire() -> Iterator[Wire]:
    with serve() as found:
        yield found


def open_pull(wire: Wire, forge: str, path: str = "", repository: str = "acme/site", pusher: str = "") -> Forge:
    return _forge.connect(Pull(forge, wire.url + path, "s3cret", repository, 5, pusher))


# --- GitHub ----------------------------------------------------------------------------------------------------------


def user(login: str) -> dict[str, Any]:
    return {"login": login, "id": sum(map(ord, login)), "type": "User", "url": f"https://api/users/{login}"}


def github_commit(sha: str, author: str | None, committer: str | None, verified: bool = False) -> dict[str, Any]:
    return {
        "sha": sha,
        "author": user(author) if author else None,
        "committer": user(committer) if committer else None,
        "commit": {"message": "m", "verification": {"verified": verified, "reason": "valid"}},
    }


def review(number: int, login: str, state: str, commit: str = HEAD) -> dict[str, Any]:
    return {"id": number, "user": user(login), "state": state, "commit_id": commit, "body": ""}


@pytest.fixture()
def github(wire: Wire) -> Wire:
    repo = f"{wire.url}/repos/acme/site"
    head = {"ref": "topic", "sha": HEAD, "repo": {"url": repo, "full_name": "acme/site"}}
    wire.answers |= {
        "GET /repos/acme/site": {"url": repo, "full_name": "acme/site"},
        "GET /repos/acme/site/pulls/5": {
            "url": f"{repo}/pulls/5",
            "number": 5,
            "commits": 2,
            "user": user("mona"),
            "head": head,
            "base": {"ref": "main", "sha": OLD},
        },
        "GET /repos/acme/site/branches/main": {"name": "main", "commit": {"sha": BASE}},
        "GET /repos/acme/site/pulls/5/commits": [
            github_commit(OLD, "mona", "mona"),
            github_commit(HEAD, "hubot", None),
        ],
        "GET /repos/acme/site/pulls/5/reviews": [
            review(1, "olga", "CHANGES_REQUESTED", OLD),
            review(2, "olga", "APPROVED", HEAD),
            review(3, "olga", "COMMENTED", HEAD),
            review(4, "otto", "APPROVED", OLD),
            review(5, "ida", "APPROVED", HEAD),
            review(6, "ida", "CHANGES_REQUESTED", HEAD),
            review(7, "eve", "DISMISSED", HEAD),
            review(8, "kim", "PENDING", HEAD),
        ],
        "GET /repos/acme/site/activity": [
            {"id": 1, "activity_type": "push", "ref": "refs/heads/topic", "actor": user("hubot")},
            {"id": 2, "activity_type": "force_push", "ref": "refs/heads/topic", "actor": user("mona")},
            {"id": 3, "activity_type": "push", "ref": "refs/heads/topic", "actor": None},
        ],
        "GET /user": user("policy-bot"),
    }
    return wire


def test_github_request(github: Wire) -> None:
    request = open_pull(github, "github", pusher="Hubot").request()
    assert request == Request(
        base=BASE,
        head=HEAD,
        target="main",
        author=Person("mona"),
        pushers=people("hubot", "mona"),
        approvals=(Approval(Person("olga"), HEAD), Approval(Person("otto"), OLD)),
        commits=(CommitPeople(OLD, Person("mona"), Person("mona")), CommitPeople(HEAD, Person("hubot"), None)),
    )
    assert github.made("GET", "/repos/acme/site/activity")[0].query["ref"] == "refs/heads/topic"
    assert {call.headers["authorization"] for call in github.calls} == {"token s3cret"}


def test_github_a_commit_made_in_its_pages_is_the_authors_only_when_verified(github: Wire) -> None:
    """Anybody can write the address of GitHub's own account; who did is then unknown, and no service."""
    github.answers["GET /repos/acme/site/pulls/5/commits"] = [
        github_commit(OLD, "mona", "web-flow", verified=True),
        github_commit(HEAD, "mona", "web-flow", verified=False),
    ]
    committers = [one.committer for one in open_pull(github, "github").request().commits]
    assert committers == [Person("mona"), None]


def test_github_more_commits_than_it_lists_is_an_error(github: Wire) -> None:
    github.answers["GET /repos/acme/site/pulls/5"]["commits"] = 300
    with pytest.raises(IdentityError, match="300 commits, of which GitHub lists 2"):
        open_pull(github, "github").request()


@pytest.mark.parametrize("status", [403, 404])
def test_github_a_fork_out_of_sight_leaves_the_pusher_of_the_event(github: Wire, status: int) -> None:
    fork = {"url": f"{github.url}/repos/mona/site", "full_name": "mona/site"}
    github.answers["GET /repos/acme/site/pulls/5"]["head"]["repo"] = fork
    github.answers["GET /repos/mona/site/activity"] = (status, {"message": "Resource not accessible"})
    assert open_pull(github, "github", pusher="hubot").request().pushers == people("hubot")
    github.answers["GET /repos/mona/site/activity"] = (500, {"message": "Server Error"})
    with pytest.raises(ForgeError, match="500"):
        open_pull(github, "github", pusher="hubot").request()


def test_github_who_pushed_to_the_repository_itself_must_be_told(github: Wire) -> None:
    github.answers["GET /repos/acme/site/activity"] = (403, {"message": "Resource not accessible"})
    with pytest.raises(ForgeError, match=r"not accessible.*what it may do"):
        open_pull(github, "github", pusher="hubot").request()


def test_github_a_repository_that_was_renamed_is_followed_on_that_server_only(github: Wire) -> None:
    github.answers["GET /repos/acme/old"] = (301, {}, {"Location": f"{github.url}/repos/acme/site"})
    assert open_pull(github, "github", repository="acme/old").request().head == HEAD
    github.answers["GET /repos/acme/old"] = (301, {}, {"Location": "http://localhost/repos/acme/site"})
    with pytest.raises(ForgeError, match="redirected from host"):
        open_pull(github, "github", repository="acme/old").request()


def test_github_a_limit_of_calls_is_said(github: Wire) -> None:
    words = {"message": "API rate limit exceeded for user ID 1."}
    github.answers["GET /repos/acme/site/pulls/5"] = (403, words, {"Retry-After": "3600"})
    with pytest.raises(ForgeError, match="rate limit exceeded"):
        open_pull(github, "github").request()


def test_github_activity_is_read_to_its_last_page(github: Wire) -> None:
    def pages(call: Call) -> Any:
        if call.query.get("after"):
            return [{"actor": user("last")}]
        link = f'<{github.url}/repos/acme/site/activity?after=x>; rel="next"'
        return 200, [{"actor": user("first")}], {"Link": link}

    github.answers["GET /repos/acme/site/activity"] = pages
    assert open_pull(github, "github").request().pushers == people("first", "last")


def test_github_status_is_set_on_the_exact_head(github: Wire) -> None:
    commit = f"/repos/acme/site/commits/{HEAD}"
    github.answers[f"GET {commit}"] = {"sha": HEAD, "url": f"{github.url}{commit}"}
    github.answers[f"POST /repos/acme/site/statuses/{HEAD}"] = (201, {"state": "failure"})
    forge = open_pull(github, "github")
    forge.status(HEAD, Status(FAILURE, "x" * 200, "https://ci.example/1"))
    [call] = github.writes()
    assert call.path == f"/repos/acme/site/statuses/{HEAD}"
    assert call.body == {
        "state": "failure",
        "context": CONTEXT,
        "description": "x" * 140,
        "target_url": "https://ci.example/1",
    }
    # GitHub refuses a status with a character above U+FFFF, which may be in a file's name
    forge.status(HEAD, Status(FAILURE, f"🐛{'x' * 200}"))
    assert github.writes()[-1].body["description"] == f"\\U0001f41b{'x' * 130}"


def github_comment(wire: Wire, number: int, login: str, body: str) -> dict[str, Any]:
    url = f"{wire.url}/repos/acme/site/issues/comments/{number}"
    return {"id": number, "url": url, "user": user(login), "body": body}


@pytest.fixture()
def github_issue(github: Wire) -> Wire:
    github.answers["GET /repos/acme/site/issues/5"] = {"number": 5, "url": f"{github.url}/repos/acme/site/issues/5"}
    github.answers["GET /repos/acme/site/issues/5/comments"] = [
        github_comment(github, 1, "eve", f"{MARKER} mine"),
        github_comment(github, 2, "policy-bot", f"eve said: {MARKER} mine"),
        github_comment(github, 4, "github-actions[bot]", f"eve said: {MARKER} mine"),
    ]
    github.answers["POST /repos/acme/site/issues/5/comments"] = (201, github_comment(github, 9, "policy-bot", "new"))
    return github


def test_github_comments_once_and_never_into_somebody_elses(github_issue: Wire) -> None:
    open_pull(github_issue, "github").comment(f"{MARKER} new", MARKER, create=True)
    [call] = github_issue.writes()
    assert (call.method, call.path) == ("POST", "/repos/acme/site/issues/5/comments")
    assert call.body == {"body": f"{MARKER} new"}


def test_github_makes_no_comment_unless_asked(github_issue: Wire) -> None:
    open_pull(github_issue, "github").comment(f"{MARKER} new", MARKER, create=False)
    assert github_issue.writes() == []


@pytest.mark.parametrize("me", ["policy-bot", "github-actions[bot]", "our-app[bot]"])
def test_github_writes_over_its_own_comment(github_issue: Wire, me: str) -> None:
    if me != "policy-bot":
        github_issue.answers["GET /user"] = (403, {"message": "Resource not accessible by integration"})
    if me == "our-app[bot]":
        github_issue.answers["POST /graphql"] = {"data": {"viewer": {"login": me}}}
    github_issue.answers["GET /repos/acme/site/issues/5/comments"].append(
        github_comment(github_issue, 3, me, f"{MARKER} old")
    )
    github_issue.answers["PATCH /repos/acme/site/issues/comments/3"] = github_comment(github_issue, 3, me, "new")
    forge = open_pull(github_issue, "github")
    forge.comment(f"{MARKER} new", MARKER, create=True)
    forge.comment(f"{MARKER} old", MARKER, create=True)
    written = [(call.method, call.body) for call in github_issue.writes() if call.path != "/graphql"]
    assert written == [("PATCH", {"body": f"{MARKER} new"})]


def test_github_teams(github: Wire) -> None:
    org = f"{github.url}/orgs/acme"
    team = {"slug": "platform", "id": 7, "url": f"{github.url}/organizations/1/team/7"}
    github.answers |= {
        "GET /orgs/acme": {"login": "acme", "url": org, "id": 1},
        "GET /orgs/acme/teams/platform": team,
        "GET /orgs/acme/teams": [team],
        "GET /organizations/1/team/7/members": [user("olga"), user("otto")],
        "GET /users/olga": user("olga"),
    }
    forge = open_pull(github, "github")
    assert forge.members("platform") == {"olga", "otto"}
    assert forge.members("acme/platform") == {"olga", "otto"}
    assert forge.members("nowhere") is None
    assert forge.exists("olga") is True and forge.exists("nobody") is False
    github.answers["GET /orgs/acme/teams"] = (403, {"message": "Must have admin rights"})
    with pytest.raises(IdentityError, match="give one with read:org"):
        forge.members("nowhere")
    github.answers["GET /users/olga"] = (403, {"message": "no"})
    assert forge.exists("olga") is None


# --- GitLab ----------------------------------------------------------------------------------------------------------

API = "/api/v4"


def gitlab_user(login: str, number: int = 0) -> dict[str, Any]:
    return {"id": number or sum(map(ord, login)), "username": login, "name": login, "state": "active"}


@pytest.fixture()
def gitlab(wire: Wire) -> Wire:
    def users(call: Call) -> Any:
        known = {"mona@example.org": "mona", "hubot@example.org": "hubot"}
        if call.query.get("username"):
            return [gitlab_user("mona")] if call.query["username"] == "mona" else []
        found = known.get(call.query.get("search", ""))
        return [gitlab_user(found)] if found else []

    merge = f"GET {API}/projects/12/merge_requests/5"
    wire.answers |= {
        merge: {
            "iid": 5,
            "sha": HEAD,
            "target_branch": "main",
            "source_branch": "topic",
            "source_project_id": 13,
            "author": gitlab_user("mona"),
        },
        f"GET {API}/projects/12/repository/branches/main": {"name": "main", "commit": {"id": BASE}},
        f"{merge}/versions": [
            {"id": 2, "head_commit_sha": HEAD, "created_at": "2026-11-23T10:00:00.000Z"},
            {"id": 1, "head_commit_sha": OLD, "created_at": "2026-11-23T09:00:00.000+00:00"},
        ],
        f"{merge}/approvals": {
            "approved_by": [
                {"user": gitlab_user("olga"), "approved_at": "2026-11-23T10:00:01.000Z"},
                {"user": gitlab_user("otto"), "approved_at": "2026-11-23T09:30:00.000Z"},
                {"user": gitlab_user("ida")},
                {"user": gitlab_user("kim")},
                {"user": gitlab_user("eva"), "approved_at": "2026-11-23T08:00:00.000Z"},
                {"user": gitlab_user("tie"), "approved_at": "2026-11-23T10:00:00.000Z"},
            ]
        },
        f"{merge}/notes": [
            gitlab_note(1, "ida", "approved this merge request", True, "2026-11-23T09:10:00.000Z"),
            gitlab_note(2, "ida", "approved this merge request", True, "2026-11-23T10:10:00.000Z"),
            gitlab_note(3, "kim", "approved this merge request", False, "2026-11-23T10:10:00.000Z"),
        ],
        f"{merge}/commits": [
            {"id": OLD, "author_email": "mona@example.org", "committer_email": "mona@example.org"},
            {"id": HEAD, "author_email": "hubot@example.org", "committer_email": "nobody@example.org"},
        ],
        f"GET {API}/users": users,
        f"GET {API}/projects/13/events": [
            {"author": gitlab_user("hubot"), "push_data": {"ref": "topic"}},
            {"author": gitlab_user("eve"), "push_data": {"ref": "other"}},
        ],
        f"GET {API}/user": gitlab_user("policy-bot", 99),
    }
    return wire


def gitlab_note(number: int, login: str, body: str, system: bool = False, at: str = "2026-11-23T09:00:00Z") -> Any:
    author = gitlab_user(login, 99 if login == "policy-bot" else 0)
    return {"id": number, "author": author, "body": body, "system": system, "created_at": at}


def test_gitlab_request_binds_each_approval_to_the_head_of_its_time(gitlab: Wire) -> None:
    request = open_pull(gitlab, "gitlab", repository="12").request()
    assert request == Request(
        base=BASE,
        head=HEAD,
        target="main",
        author=Person("mona"),
        pushers=people("hubot"),
        approvals=(
            Approval(Person("olga"), HEAD),
            Approval(Person("otto"), OLD),
            Approval(Person("ida"), HEAD),
            Approval(Person("kim"), ""),  # a comment with those words is no approval
            Approval(Person("eva"), ""),
            Approval(Person("tie"), OLD),  # at the same moment as the push: it was the older one that was seen
        ),
        commits=(CommitPeople(OLD, Person("mona"), Person("mona")), CommitPeople(HEAD, Person("hubot"), None)),
    )
    assert {call.headers["private-token"] for call in gitlab.calls} == {"s3cret"}


def pushed(login: str, ref: str | None, action: str = "pushed", kind: str = "branch", count: int | None = None) -> Any:
    data = {"ref": ref, "action": action, "ref_type": kind, "ref_count": count}
    return {"author": gitlab_user(login), "action_name": "pushed to", "push_data": data}


def test_gitlab_a_push_of_many_branches_names_none_and_counts_for_each(gitlab: Wire) -> None:
    gitlab.answers[f"GET {API}/projects/13/events"] = [
        pushed("kim", None, count=9),
        pushed("hubot", "topic"),
        pushed("tom", "topic", "created", "tag"),
        pushed("ida", None, kind="tag", count=9),
        pushed("eve", "other", "created"),
        pushed("mona", "topic", "created"),
        pushed("olga", None, count=4),  # the branch was not there yet
        pushed("otto", "topic"),
    ]
    assert open_pull(gitlab, "gitlab", repository="12").request().pushers == people("hubot", "kim", "mona")
    del gitlab.answers[f"GET {API}/projects/13/events"][5]
    assert "olga" in {one.login for one in open_pull(gitlab, "gitlab", repository="12").request().pushers}


def test_gitlab_an_address_of_two_accounts_is_nobodys(gitlab: Wire) -> None:
    gitlab.answers[f"GET {API}/users"] = [gitlab_user("mona"), gitlab_user("eve")]
    assert {one.author for one in open_pull(gitlab, "gitlab", repository="12").request().commits} == {None}


@pytest.mark.parametrize(
    ("state", "word"), [(PENDING, "running"), (SUCCESS, "success"), (FAILURE, "failed"), (BROKEN, "failed")]
)
def test_gitlab_status(gitlab: Wire, state: str, word: str) -> None:
    gitlab.answers[f"POST {API}/projects/12/statuses/{HEAD}"] = (201, {"id": 1, "status": word})
    open_pull(gitlab, "gitlab", repository="12").status(HEAD, Status(state, "words"))
    assert [call.body for call in gitlab.writes()] == [{"state": word, "name": CONTEXT, "description": "words"}]


def test_gitlab_the_state_that_is_there_already_is_no_error(gitlab: Wire) -> None:
    path = f"POST {API}/projects/12/statuses/{HEAD}"
    gitlab.answers[path] = (400, {"message": "Cannot transition status via :run from :running"})
    forge = open_pull(gitlab, "gitlab", repository="12")
    forge.status(HEAD, Status(PENDING, "words"))
    with pytest.raises(ForgeError, match="from :running"):
        forge.status(HEAD, Status(FAILURE, "words"))
    gitlab.answers[path] = (403, {"message": "403 Forbidden"})
    with pytest.raises(ForgeError, match=r"setting the status of aaaaaaaaaaaa on 12: .*403"):
        forge.status(HEAD, Status(PENDING, "words"))


def test_gitlab_comment(gitlab: Wire) -> None:
    notes = f"{API}/projects/12/merge_requests/5/notes"
    quoted = gitlab_note(4, "policy-bot", f"eve said: {MARKER} mine")
    gitlab.answers[f"GET {notes}"] = [gitlab_note(1, "eve", f"{MARKER} mine"), quoted]
    gitlab.answers[f"POST {notes}"] = (201, gitlab_note(2, "policy-bot", f"{MARKER} new"))
    gitlab.answers[f"PUT {notes}/2"] = gitlab_note(2, "policy-bot", f"{MARKER} newer")
    forge = open_pull(gitlab, "gitlab", repository="12")
    forge.comment(f"{MARKER} new", MARKER, create=False)
    forge.comment(f"{MARKER} new", MARKER, create=True)
    gitlab.answers[f"GET {notes}"].append(gitlab_note(2, "policy-bot", f"{MARKER} new"))
    forge.comment(f"{MARKER} new", MARKER, create=True)
    forge.comment(f"{MARKER} newer", MARKER, create=True)
    assert [(call.method, call.body["body"]) for call in gitlab.writes()] == [
        ("POST", f"{MARKER} new"),
        ("PUT", f"{MARKER} newer"),
    ]


def test_gitlab_teams(gitlab: Wire) -> None:
    blocked = {**gitlab_user("gone"), "state": "blocked"}
    for path in ("acme%2Fplatform", "other%2Fdeep%2Fteam"):
        gitlab.answers[f"GET {API}/groups/{path}"] = {"id": 40, "full_path": path}
    gitlab.answers[f"GET {API}/groups/40/members/all"] = [gitlab_user("olga"), blocked]
    gitlab.answers[f"GET {API}/projects/12"] = {"id": 12, "path_with_namespace": "acme/web/site"}
    forge = open_pull(gitlab, "gitlab", repository="12")
    assert forge.members("platform") == {"olga"}
    assert forge.members("other/deep/team") == {"olga"}
    assert forge.members("nowhere") is None
    gitlab.answers[f"GET {API}/groups/40/members/all"] = (403, {"message": "403 Forbidden"})
    with pytest.raises(ForgeError, match="asking who is in group platform"):
        forge.members("platform")
    assert forge.exists("mona") is True and forge.exists("nobody") is False


# --- Bitbucket Cloud -------------------------------------------------------------------------------------------------

BB = "/2.0/repositories/acme/site"


def account(name: str) -> dict[str, Any]:
    return {"type": "user", "account_id": f"557058:{name}", "nickname": "same for all", "uuid": f"{{{name}}}"}


def values(*items: Any) -> dict[str, Any]:
    return {"pagelen": 50, "values": list(items)}


@pytest.fixture()
def bitbucket(wire: Wire) -> Wire:
    def update(who: str, commit: str, at: str) -> dict[str, Any]:
        return {"update": {"author": account(who), "date": at, "source": {"commit": {"hash": commit[:12]}}}}

    def activity(call: Call) -> Any:
        if call.query.get("page") == "2":
            return values(update("mona", OLD, "2026-11-23T09:00:00.000000+00:00"))
        first = values(
            {"approval": {"user": account("olga"), "date": "2026-11-23T10:30:00.000000+00:00"}},
            update("hubot", HEAD, "2026-11-23T10:00:00.000000+00:00"),
            {"approval": {"user": account("otto"), "date": "2026-11-23T09:30:00.000000+00:00"}},
            {"approval": {"user": account("ida"), "date": "2026-11-23T10:40:00.000000+00:00"}},
            {"comment": {"id": 1}},
        )
        return {**first, "next": f"{wire.url}{BB}/pullrequests/5/activity?page=2"}

    wire.answers |= {
        f"GET {BB}/pullrequests/5": {
            "id": 5,
            "author": account("mona"),
            "source": {"branch": {"name": "topic"}, "commit": {"hash": HEAD[:12]}},
            "destination": {"branch": {"name": "main"}, "commit": {"hash": OLD[:12]}},
            "participants": [
                {"user": account("olga"), "approved": True},
                {"user": account("otto"), "approved": True},
                {"user": account("ida"), "approved": False},
                {"user": account("eve"), "approved": True},
            ],
        },
        f"GET {BB}/refs/branches/main": {"name": "main", "target": {"hash": BASE}},
        f"GET {BB}/commit/{HEAD[:12]}": {"hash": HEAD},
        f"GET {BB}/commit/{OLD[:12]}": {"hash": OLD},
        f"GET {BB}/pullrequests/5/activity": activity,
        f"GET {BB}/pullrequests/5/commits": values(
            {"hash": HEAD, "author": {"raw": "Hu <h@x>", "user": account("hubot")}},
            {"hash": OLD, "author": {"raw": "No <n@x>"}},
        ),
        "GET /2.0/user": account("bot"),
    }
    return wire


def test_bitbucket_request(bitbucket: Wire) -> None:
    request = open_pull(bitbucket, "bitbucket").request()
    mona, hubot, olga, otto, eve = people(*(f"557058:{name}" for name in ("mona", "hubot", "olga", "otto", "eve")))
    assert request == Request(
        base=BASE,
        head=HEAD,
        target="main",
        author=mona,
        pushers=(hubot, mona),
        approvals=(Approval(olga, HEAD), Approval(otto, OLD), Approval(eve, "")),
        commits=(CommitPeople(HEAD, hubot, hubot), CommitPeople(OLD, None, None)),
    )
    assert {call.headers["authorization"] for call in bitbucket.calls} == {"Bearer s3cret"}


def test_bitbucket_pages_lead_to_no_other_host(bitbucket: Wire) -> None:
    bitbucket.answers[f"GET {BB}/pullrequests/5/commits"] = {**values(), "next": "http://evil.example/2.0/x"}
    with pytest.raises(ForgeError, match="at another host"):
        open_pull(bitbucket, "bitbucket").request()


def test_bitbucket_status(bitbucket: Wire) -> None:
    bitbucket.answers[f"POST {BB}/commit/{HEAD}/statuses/build"] = (201, {"state": "SUCCESSFUL"})
    open_pull(bitbucket, "bitbucket").status(HEAD, Status(SUCCESS, "fine"))
    [call] = bitbucket.writes()
    assert (
        call.body["state"] == "SUCCESSFUL" and call.body["key"] == CONTEXT and call.body["url"].startswith("https://")
    )


def test_bitbucket_comment(bitbucket: Wire) -> None:
    def said(number: int, who: str, words: str, **more: Any) -> dict[str, Any]:
        return {"id": number, "user": account(who), "content": {"raw": words}, **more}

    path = f"{BB}/pullrequests/5/comments"
    others = [said(1, "eve", f"{MARKER} mine"), said(2, "bot", f"{MARKER} was", deleted=True)]
    others.append(said(4, "bot", f"eve said: {MARKER} mine"))
    bitbucket.answers[f"GET {path}"] = values(*others)
    bitbucket.answers[f"POST {path}"] = (201, said(3, "bot", "x"))
    bitbucket.answers[f"PUT {path}/3"] = said(3, "bot", "x")
    forge = open_pull(bitbucket, "bitbucket")
    forge.comment(f"{MARKER} new", MARKER, create=True)
    bitbucket.answers[f"GET {path}"] = values(*others, said(3, "bot", f"{MARKER} new"))
    forge.comment(f"{MARKER} new", MARKER, create=True)
    forge.comment(f"{MARKER} newer", MARKER, create=True)
    assert [(call.method, call.body) for call in bitbucket.writes()] == [
        ("POST", {"content": {"raw": f"{MARKER} new"}}),
        ("PUT", {"content": {"raw": f"{MARKER} newer"}}),
    ]


def test_bitbucket_teams_cannot_be_told(bitbucket: Wire) -> None:
    bitbucket.answers["GET /2.0/users/557058:mona"] = account("mona")
    forge = open_pull(bitbucket, "bitbucket")
    with pytest.raises(IdentityError, match="has no API for it; give --teams FILE"):
        forge.members("platform")
    assert forge.exists("557058:mona") is True and forge.exists("nobody") is False


# --- Gitea and Forgejo -----------------------------------------------------------------------------------------------

GT = "/api/v1/repos/acme/site"


def listed(*items: Any) -> Any:
    """A list in pages of two, as a server with a small page gives it."""

    def page(call: Call) -> Any:
        number = int(call.query.get("page", 1))
        return list(items)[(number - 1) * 2 : number * 2]

    return page


@pytest.fixture()
def gitea(wire: Wire) -> Wire:
    wire.answers |= {
        f"GET {GT}/pulls/5": {
            "number": 5,
            "user": user("mona"),
            "head": {"ref": "topic", "sha": HEAD},
            "base": {"ref": "main", "sha": OLD},
        },
        f"GET {GT}/branches/main": {"name": "main", "commit": {"id": BASE}},
        f"GET {GT}/pulls/5/reviews": listed(
            {**review(1, "olga", "REQUEST_CHANGES", OLD)},
            {**review(2, "olga", "APPROVED", HEAD), "dismissed": False, "stale": False},
            {**review(3, "olga", "COMMENT", HEAD)},
            {**review(4, "otto", "APPROVED", OLD), "stale": True},
            {**review(5, "ida", "APPROVED", HEAD), "dismissed": True},
            {**review(6, "kim", "PENDING", HEAD)},
            {**review(7, "eve", "APPROVED", HEAD)},
            {**review(8, "eve", "REQUEST_CHANGES", HEAD)},
        ),
        f"GET {GT}/pulls/5/commits": listed(
            {"sha": HEAD, "author": user("hubot"), "committer": None},
            {"sha": OLD, "author": user("mona"), "committer": user("mona")},
            {"sha": "c" * 40, "author": None, "committer": user("mona")},
        ),
        f"GET {GT}/issues/5/timeline": listed(
            {"type": "pull_push", "user": user("hubot")},
            {"type": "comment", "user": user("eve")},
            {"type": "pull_push", "user": user("mona")},
        ),
        "GET /api/v1/user": {"id": 99, "login": "policy-bot"},
    }
    return wire


def test_gitea_request(gitea: Wire) -> None:
    request = open_pull(gitea, "gitea", "/api/v1").request()
    assert request == Request(
        base=BASE,
        head=HEAD,
        target="main",
        author=Person("mona"),
        pushers=people("hubot", "mona"),
        approvals=(Approval(Person("olga"), HEAD), Approval(Person("otto"), OLD)),
        commits=(
            CommitPeople(HEAD, Person("hubot"), None),
            CommitPeople(OLD, Person("mona"), Person("mona")),
            CommitPeople("c" * 40, None, Person("mona")),
        ),
    )
    assert {call.headers["authorization"] for call in gitea.calls} == {"token s3cret"}


def test_gitea_status(gitea: Wire) -> None:
    gitea.answers[f"POST {GT}/statuses/{HEAD}"] = (201, {"status": "success"})
    open_pull(gitea, "gitea", "/api/v1").status(HEAD, Status(SUCCESS, "fine", "https://ci.example"))
    assert [call.body for call in gitea.writes()] == [
        {"context": CONTEXT, "state": "success", "description": "fine", "target_url": "https://ci.example"}
    ]


def test_gitea_comment(gitea: Wire) -> None:
    path = f"{GT}/issues/5/comments"
    foreign = {"id": 1, "user": {"id": 3}, "body": f"{MARKER} mine"}
    quoted = {"id": 4, "user": {"id": 99}, "body": f"eve said: {MARKER} mine"}
    gitea.answers[f"GET {path}"] = [foreign, quoted]
    gitea.answers[f"POST {path}"] = (201, {"id": 2})
    gitea.answers[f"PATCH {GT}/issues/comments/2"] = {"id": 2}
    forge = open_pull(gitea, "gitea", "/api/v1")
    forge.comment(f"{MARKER} new", MARKER, create=False)
    forge.comment(f"{MARKER} new", MARKER, create=True)
    gitea.answers[f"GET {path}"] = [foreign, quoted, {"id": 2, "user": {"id": 99}, "body": f"{MARKER} new"}]
    forge.comment(f"{MARKER} new", MARKER, create=True)
    forge.comment(f"{MARKER} newer", MARKER, create=True)
    assert [(call.method, call.body) for call in gitea.writes()] == [
        ("POST", {"body": f"{MARKER} new"}),
        ("PATCH", {"body": f"{MARKER} newer"}),
    ]


def test_gitea_teams(gitea: Wire) -> None:
    gitea.answers["GET /api/v1/orgs/acme/teams"] = listed(
        {"id": 1, "name": "Owners"}, {"id": 2, "name": "Platform"}, {"id": 3, "name": "shop"}
    )
    gitea.answers["GET /api/v1/teams/2/members"] = listed(user("olga"), user("otto"), user("ida"))
    gitea.answers["GET /api/v1/users/mona"] = user("mona")
    forge = open_pull(gitea, "gitea", "/api/v1")
    assert forge.members("platform") == {"olga", "otto", "ida"}
    assert forge.members("nowhere") is None
    with pytest.raises(IdentityError, match="who is in team other/x cannot be told"):
        forge.members("other/x")
    gitea.answers["GET /api/v1/orgs/acme/teams"] = listed({"id": 3, "name": "shop"})
    with pytest.raises(IdentityError, match="the token does not see it"):
        forge.members("nowhere")
    assert forge.exists("mona") is True and forge.exists("../../admin") is False


def test_gitea_follows_no_redirect_with_its_token(gitea: Wire) -> None:
    gitea.answers[f"GET {GT}/pulls/5"] = (302, None, {"Location": f"{gitea.url}/elsewhere"})
    with pytest.raises(ForgeError, match=r"302, it is at .*/elsewhere now; name it as it is called there"):
        open_pull(gitea, "gitea", "/api/v1").request()
    assert gitea.made("GET", "/elsewhere") == []


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("forge", "path"), [("github", ""), ("gitlab", ""), ("bitbucket", ""), ("gitea", "/api/v1")])
def test_an_answer_that_is_none_of_a_forge_is_a_clear_error(wire: Wire, forge: str, path: str) -> None:
    pull = open_pull(wire, forge, path)
    with pytest.raises(ForgeError):
        pull.request()
    with pytest.raises(ForgeError):
        pull.comment("x", MARKER, True)
    with pytest.raises(ForgeError):
        pull.status(HEAD, Status(SUCCESS, "x"))


@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea", "bitbucket"])
def test_a_server_that_could_not_is_asked_again_but_told_only_once(request: pytest.FixtureRequest, forge: str) -> None:
    wire: Wire = request.getfixturevalue(forge)
    path = {"gitea": f"{GT}/branches/main", "gitlab": f"{API}/projects/12/repository/branches/main"}.get(forge)
    path = path or {"github": "/repos/acme/site/branches/main"}.get(forge) or f"{BB}/refs/branches/main"
    good, answers = wire.answers[f"GET {path}"], [(502, {"message": "no"}), (503, {"message": "no"})]
    wire.answers[f"GET {path}"] = lambda call: answers.pop() if answers else good
    pull = open_pull(wire, forge, "/api/v1" if forge == "gitea" else "", "12" if forge == "gitlab" else "acme/site")
    assert pull.request().base == BASE
    assert len(wire.made("GET", path)) == 3
    posts = {
        "github": f"/repos/acme/site/statuses/{HEAD}",
        "gitlab": f"{API}/projects/12/statuses/{HEAD}",
        "gitea": f"{GT}/statuses/{HEAD}",
        "bitbucket": f"{BB}/commit/{HEAD}/statuses/build",
    }
    commit = f"/repos/acme/site/commits/{HEAD}"
    wire.answers[f"GET {commit}"] = {"sha": HEAD, "url": f"{wire.url}{commit}"}
    wire.answers[f"POST {posts[forge]}"] = (502, {"message": "no"})
    with pytest.raises(ForgeError):
        pull.status(HEAD, Status(SUCCESS, "x"))
    assert len(wire.writes()) == 1


@pytest.mark.parametrize("forge", sorted(_forge.FORGES))
def test_a_server_that_is_not_there_is_a_clear_error_without_the_token(forge: str) -> None:
    pull = _forge.connect(Pull(forge, "http://127.0.0.1:9", "s3cret", "1", 5))
    with pytest.raises(ForgeError) as caught:
        pull.status(HEAD, Status(SUCCESS, "x"))
    assert "s3cret" not in str(caught.value)


def test_an_unknown_forge_and_an_address_that_is_none() -> None:
    with pytest.raises(ForgeError, match="there are bitbucket, gitea, github, gitlab"):
        _forge.connect(Pull("sourceforge", "https://x", "t", "a/b", 1))
    with pytest.raises(ForgeError, match="begins with https://"):
        _forge.connect(Pull("gitea", "file:///etc", "t", "a/b", 1))


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "github", None)
    monkeypatch.delitem(sys.modules, f"{_forge.__name__}._github", raising=False)
    with pytest.raises(ForgeError, match="github: the Python package github is not installed: pip install"):
        _forge.connect(Pull("github", "https://x", "t", "a/b", 1))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The whole way of docs/policy.md, from an empty repository to a protected branch: its own commands on a real Gitea."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.policy import gitea_server
from tests.integration.policy.gitea_server import Gitea
from tests.tools import build
from tests.unit.policy.surroundings import policy_page

pytestmark = pytest.mark.scenario

#: What the page wants the token of whoever protects the branch to be able to do.
SCOPES = ["write:organization", "write:repository", "write:issue"]
SITE = "repos/acme/site"

#: A person types slower than the forge takes to notice a branch that was pushed.
SEEN = """\
for try in $(seq 100); do
  curl -fsS -o /dev/null -H "Authorization: token $TOKEN" "$GITEA/api/v1/repos/acme/site/branches/upgrade" && break
  sleep 0.1
done
"""


def account(server: Gitea, login: str, scopes: list[str]) -> str:
    """Make somebody with a token of these scopes; returns the password."""
    password = secrets.token_hex(12)
    data = {"username": login, "email": f"{login}@example.org", "password": password, "must_change_password": False}
    server.api("admin", "POST", "admin/users", data)
    server.tokens[login] = token(server, login, password, scopes)
    return password


def token(server: Gitea, login: str, password: str, scopes: list[str]) -> str:
    """Another token of somebody."""
    answer = requests.post(
        f"{server.api_url}/users/{login}/tokens",
        json={"name": secrets.token_hex(4), "scopes": scopes},
        auth=(login, password),
        timeout=60,
    )
    answer.raise_for_status()
    return str(answer.json()["sha1"])


def organisation(server: Gitea) -> str:
    """What the page takes for granted; returns the bot's password."""
    for login in ("olga", "otto", "mona"):
        account(server, login, SCOPES)
    password = account(server, "policy-bot", ["read:user"])
    server.api("olga", "POST", "orgs", {"username": "acme"})
    server.api("olga", "POST", "orgs/acme/repos", {"name": "site", "private": True, "default_branch": "main"})
    for name, permission, members in (("platform", "write", ("olga", "otto")), ("shop", "read", ("mona",))):
        units = ["repo.code", "repo.pulls", "repo.issues"]
        team = {"name": name, "permission": permission, "units": units, "visibility": "limited"}
        number = server.api("olga", "POST", "orgs/acme/teams", team)["id"]
        for login in members:
            server.api("olga", "PUT", f"teams/{number}/members/{login}")
        server.api("olga", "PUT", f"teams/{number}/repos/acme/site")
    return password


def merge(server: Gitea, number: int = 1) -> tuple[int, str]:
    """Merge a pull request once the forge has found out whether it could; the status of its answer, and its words."""
    where = f"{server.api_url}/{SITE}/pulls/{number}/merge"
    headers = {"Authorization": f"token {server.tokens['olga']}"}
    for _try in range(200):
        answer = requests.post(where, json={"Do": "merge"}, headers=headers, timeout=60)
        if "try again later" not in answer.text:
            return answer.status_code, answer.text
        time.sleep(0.1)
    raise AssertionError("the forge does not find out whether the pull request could be merged")


def test_the_pages_commands_protect_the_branch(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for number, block in enumerate(policy_page.blocks()[:6]):
        policy_page.walk(block, tmp_path if number == 0 else tmp_path / "site")
    with gitea_server.running(build.tool("gitea"), tmp_path_factory.mktemp("gitea")) as server:
        password = organisation(server)
        olga = server.tokens["olga"]
        signed_in = f"!f() {{ echo username=olga; echo password={olga}; }}; f"
        variables = {
            "GITEA": server.url,
            "TOKEN": olga,
            "BOT_PASSWORD": password,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": signed_in,
        }
        blocks = policy_page.blocks("gitea")
        # variables of one block are there in the next, as in a person's shell
        script = "".join(blocks)
        pushed = "git push origin upgrade\n"
        assert pushed in script
        said = policy_page.walk(script.replace(pushed, pushed + SEEN), tmp_path / "site", variables)
        assert "exit code 1" in said and "needs 1 approval" in said, said

        def statuses() -> list[Any]:
            """Of the page's pull request, as its head is now."""
            head = server.api("olga", "GET", f"{SITE}/pulls/1")["head"]["sha"]
            found = server.api("olga", "GET", f"{SITE}/commits/{head}/statuses")
            return [one["status"] for one in found if one["context"] == "weft/policy"]

        assert "failure" in statuses() and "success" not in statuses()
        assert [one["name"] for one in server.api("olga", "GET", f"{SITE}/actions/secrets")] == ["WEFT_FORGE_TOKEN"]
        assert merge(server)[0] == 405, "prohibited"
        with pytest.raises(AssertionError, match="protected branch"):
            direct = "git commit --allow-empty -m direct && git push origin HEAD:main"
            policy_page.walk(direct, tmp_path / "site", variables)

        approve: tuple[str, str, str, Any] = (
            "otto",
            "POST",
            f"{SITE}/pulls/1/reviews",
            {"event": "APPROVED", "body": "fine"},
        )
        server.api(*approve)
        again = blocks[-1].splitlines()[-1]
        assert "forge check" in again
        scopes = ["write:repository", "write:issue", "read:organization", "read:user"]
        variables["bot"] = token(server, "policy-bot", password, scopes)
        said = policy_page.walk(again, tmp_path / "site", variables)
        assert "exit code 0" in said, said
        assert "success" in statuses()

        # another merge comes first: the verdict was about a branch that is not there any more
        beside = "git checkout -q -b beside main && echo more >> README.md && git add . && git commit -q -m Beside\n"
        beside += "git push origin beside\n" + SEEN.replace("upgrade", "beside")
        policy_page.walk(beside, tmp_path / "site", {**variables, "GITEA": server.url})
        other = {"head": "beside", "base": "main", "title": "Beside"}
        number = server.api("olga", "POST", f"{SITE}/pulls", other)["number"]
        policy_page.walk(again.replace("--number 1", f"--number {number}"), tmp_path / "site", variables)
        assert merge(server, number)[0] == 200
        assert "success" in statuses(), "it stays, and is not enough"
        code, words = merge(server)
        assert code == 405 and "behind" in words, words

        server.api("olga", "POST", f"{SITE}/pulls/1/update")
        for _try in range(100):
            if not statuses():
                break
            time.sleep(0.1)
        assert statuses() == [], "a new head, which nobody judged"
        assert merge(server)[0] == 405
        said = policy_page.walk(f"git fetch -q origin\n{again}", tmp_path / "site", variables)
        assert "exit code 1" in said and "which is not the head any more" in said, said
        assert merge(server)[0] == 405
        server.api(*approve)
        said = policy_page.walk(again, tmp_path / "site", variables)
        assert "exit code 0" in said, said
        assert merge(server)[0] == 200
        assert server.api("olga", "GET", f"{SITE}/pulls/1")["merged"]

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A real Gitea on the loopback, for one test session: started, asked over its API, stopped, gone."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

_START_SECONDS = 60

_INI = """\
RUN_MODE = prod
WORK_PATH = {work}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = {root}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {share}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {work}/gitea.db
[repository]
ROOT = {work}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
# the cheapest there is: these passwords live for seconds
PASSWORD_HASH_ALGO = pbkdf2$1$50
[service]
DISABLE_REGISTRATION = true
[actions]
# for secrets; there is no runner
ENABLED = true
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[log]
MODE = console
LEVEL = Warn
"""


class Refused(Exception):
    """The API answered with an error: `status` and what it said."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


class Gitea:
    """A running server.  People are made with `user`; each has a token."""

    def __init__(self, url: str, admin: str, work: Path) -> None:
        self.url = url
        self.work = work
        self.api_url = f"{url}/api/v1"
        self.tokens = {"admin": admin}

    def api(self, who: str, method: str, path: str, data: Any = None) -> Any:
        """One call as somebody.

        Raises:
            Refused: the server's answer is an error.
        """
        answer = requests.request(
            method,
            f"{self.api_url}/{path}",
            json=data,
            headers={"Authorization": f"token {self.tokens[who]}"},
            timeout=60,
        )
        if not answer.ok:
            raise Refused(answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def user(self, login: str) -> None:
        """Make a person with a token for everything that the person may do."""
        password = secrets.token_hex(12)
        address = f"{login}@example.org"
        data = {"username": login, "email": address, "password": password, "must_change_password": False}
        self.api("admin", "POST", "admin/users", data)
        answer = requests.post(
            f"{self.api_url}/users/{login}/tokens",
            json={"name": "test", "scopes": ["all"]},
            auth=(login, password),
            timeout=60,
        )
        answer.raise_for_status()
        self.tokens[login] = answer.json()["sha1"]

    def clone_url(self, who: str, repository: str) -> str:
        """An address that git can clone from and push to as somebody."""
        return f"{self.url.replace('://', f'://{who}:{self.tokens[who]}@')}/{repository}.git"


@contextmanager
def running(binary: Path, work: Path) -> Iterator[Gitea]:
    """A server with an empty database in `work`, stopped at the end."""
    port = _free_port()
    ini = work / "app.ini"
    ini.write_text(
        _INI.format(
            work=work,
            port=port,
            share=binary.parent / "share",
            secret=secrets.token_hex(16),
            root=str(os.geteuid() == 0).lower(),
        ),
        encoding="utf-8",
    )
    environment = {**os.environ, "HOME": str(work), "GITEA_WORK_DIR": str(work)}
    log = (work / "gitea.log").open("wb")
    server = subprocess.Popen(
        [str(binary), "web", "--config", str(ini)], stdout=log, stderr=subprocess.STDOUT, env=environment
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, work / "gitea.log")
        yield Gitea(url, _administrator(binary, ini, environment), work)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _administrator(binary: Path, ini: Path, environment: dict[str, str]) -> str:
    """Make the first account; returns its token."""
    made = [str(binary), "admin", "user"]
    common = ["--config", str(ini), "--username", "keeper"]
    create = ["create", *common, "--admin", "--email", "keeper@example.org", "--random-password"]
    subprocess.run([*made, *create, "--must-change-password=false"], env=environment, check=True, capture_output=True)
    token = ["generate-access-token", *common, "--raw", "--scopes", "all"]
    done = subprocess.run([*made, *token], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(f"{url}/api/v1/version", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError(f"Gitea did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The pre-receive hook: what is pushed to a protected branch is judged before anything of it is stored.

Git gives the hook a line a reference (githooks(5)), runs it in the repository, and keeps the pushed objects in
quarantine until it ends well.  Who pushes is told by a variable that the server sets, never by the commits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _judge, _reference
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob, PatternError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    LIMITS,
    GitError,
    Person,
    PolicyError,
    Request,
    Teams,
    Verdict,
)

_BRANCH = "refs/heads/"
_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
_KEYS = ("branches", "pusher_env", "teams", "log", "format")


class Config(NamedTuple):
    """The server's settings of the hook.

    branches    patterns of protected branches
    pusher_env  the environment variable that says who pushes
    teams       file of teams, "" for none
    log         file of the decision log, "" for none
    format      how verdicts are shown
    """

    branches: tuple[PathGlob, ...]
    pusher_env: str
    teams: str = ""
    log: str = ""
    format: str = "text"


class Push(NamedTuple):
    """One reference of a push; an object id of zeros is none."""

    old: str
    new: str
    ref: str

    @property
    def branch(self) -> str:
        """The branch's name, "" for what is no branch."""
        return self.ref.removeprefix(_BRANCH) if self.ref.startswith(_BRANCH) else ""


def config(path: str) -> Config:
    """The settings in a file, YAML or JSON.

    Raises:
        PolicyError: the file cannot be read, or says something else.
    """
    try:
        documents = _yaml.read_file(path)
        value: Any = documents[0].value if documents else None
        if not isinstance(value, dict) or set(value) - set(_KEYS):
            raise PolicyError(f"{path}: has other keys than {', '.join(_KEYS)}")
        branches = value.get("branches", ["main"])
        texts = [value.get(key, "") for key in _KEYS[1:]]
        is_list = isinstance(branches, list) and bool(branches)
        if not is_list or not all(isinstance(one, str) for one in [*branches, *texts]):
            raise PolicyError(f"{path}: branches is a list of patterns, all else is text")
        pusher, teams, log, form = texts
        return Config(tuple(PathGlob(one) for one in branches), pusher or "WEFT_USER", teams, log, form or "text")
    except (_yaml.YamlError, OSError, PatternError) as error:
        raise PolicyError(f"the hook's settings cannot be read: {error}") from error


def pushes(lines: Iterable[str]) -> list[Push]:
    """What Git says is pushed."""
    out = []
    for line in lines:
        parts = line.rstrip("\n").split(" ", 2)
        if len(parts) != 3:
            raise GitError(f"not a line of pre-receive: {line!r}")
        out.append(Push(*parts))
    return out


def pre_receive(
    settings: Config, lines: Iterable[str], environment: Mapping[str, str], out: IO[str], now: datetime | None = None
) -> int:
    """Judge a push: 0 when all of it is permitted, else 1 (2 when it could not be judged).

    Args:
        settings: the server's.
        lines: what Git says is pushed.
        environment: the variables that Git and the server set.
        out: where verdicts are shown; Git passes it on to who pushes.
        now: the time, else the clock's.
    """
    worst = 0
    now = now or datetime.now(UTC)
    for push in pushes(lines):
        if not push.branch or not any(pattern.matches(push.branch) for pattern in settings.branches):
            continue
        try:
            worst = max(worst, _one(settings, push, environment, out, now))
        except PolicyError as error:
            out.write(f"PROHIBITED: {push.branch}: {error}\n")
            worst = 2
    return worst


def _one(settings: Config, push: Push, environment: Mapping[str, str], out: IO[str], now: datetime) -> int:
    pusher = environment.get(settings.pusher_env, "").strip()
    if not pusher:
        raise PolicyError(f"who pushes is not known: the server does not set {settings.pusher_env}")
    if not push.new.strip("0"):
        raise PolicyError("a protected branch cannot be deleted")
    repository = environment.get("GIT_DIR", ".")
    base = push.old
    if not base.strip("0"):
        # A new branch is judged by the policy of the default one, as what it adds to that.
        try:
            base = _reference.resolve(repository, "HEAD", environment)
        except GitError as error:
            message = "the default branch has no commit, so no policy to judge by; push it before the hook is installed"
            raise PolicyError(message) from error
    verdict = _judged(settings, push, base, Person(pusher), repository, environment, now)
    if push.old == base and verdict.merge_base not in ("", base):
        raise PolicyError("the push takes commits away from a protected branch; revert them with new commits instead")
    if not verdict.permitted or settings.format != "text":
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format

        out.write(_format.show(verdict, settings.format))
    return 0 if verdict.permitted else 1 if verdict.judged else 2


def _judged(
    settings: Config,
    push: Push,
    base: str,
    pusher: Person,
    repository: str,
    environment: Mapping[str, str],
    now: datetime,
) -> Verdict:
    request = Request(base, push.new, push.branch, pusher, pushers=(pusher,))
    quarantine = {name: environment[name] for name in _QUARANTINE if name in environment}
    teams: Teams | None = None
    if settings.teams:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _teams

        teams = _teams.load(settings.teams)
    if not settings.log:
        return _judge.judge(request, repository, now=now, teams=teams, limits=LIMITS, environment=quarantine)
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _log

    recorded = _log.RecordedTeams(teams)
    verdict = _judge.judge(request, repository, now=now, teams=recorded, limits=LIMITS, environment=quarantine)
    _log.append(settings.log, request, verdict, repository=os.path.abspath(repository), teams=recorded)
    return verdict


def main(arguments: Sequence[str]) -> int:
    """`hook pre-receive --config FILE`."""
    if len(arguments) != 3 or arguments[:2] != ["pre-receive", "--config"]:
        sys.stderr.write("usage: hook pre-receive --config FILE\n")
        return 2
    try:
        return pre_receive(config(arguments[2]), sys.stdin, os.environ, sys.stderr)
    except PolicyError as error:
        sys.stderr.write(f"PROHIBITED: {error}\n")
        return 2

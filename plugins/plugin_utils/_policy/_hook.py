# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The pre-receive hook: what is pushed to a protected branch is judged before anything of it is stored.

Git gives the hook a line a reference (githooks(5)), runs it in the repository, and keeps the pushed objects in
quarantine until it ends well.  Who pushes is told by a variable that the server sets, never by the commits.

A merge in the pages of a forge is such a push as well.  Gitea says which pull request it merges; with the address of
its API the hook judges that pull request, with its people and approvals, as a CI job does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    # what asks forges is imported where there is one to ask: a hook starts for every push
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import Forge

_BRANCH = "refs/heads/"
_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
_KEYS = ("branches", "pusher_env", "teams", "log", "format", "forge", "api", "token")
#: Forges that tell a hook which pull request is merged.
_FORGES = ("gitea",)
#: What Gitea says of a push that merges a pull request (its modules/repository/env.go, from 1.26 on).  A push by a
#: person has another trigger or none; the variables are the server's, which nobody who pushes can set.
_TRIGGER, _MERGES, _NUMBER = "GITEA_PUSH_TRIGGER", "pr-merge-to-base", "GITEA_PR_INDEX"
_OWNER, _NAME = "GITEA_REPO_USER_NAME", "GITEA_REPO_NAME"


class Config(NamedTuple):
    """The server's settings of the hook.

    branches    patterns of protected branches
    pusher_env  the environment variable that says who pushes
    teams       file of teams, "" for none
    log         file of the decision log, "" for none
    format      how verdicts are shown
    forge       which forge the repository is on, "" where it is on none that can be asked
    api         address of the forge's API
    token       file with a token that may read the repository, its pull requests and the organisation's teams
    """

    branches: tuple[PathGlob, ...]
    pusher_env: str
    teams: str = ""
    log: str = ""
    format: str = "text"
    forge: str = ""
    api: str = ""
    token: str = ""


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
        pusher, teams, log, form, *forge = texts
        if any(forge) and (not all(forge) or forge[0] not in _FORGES):
            raise PolicyError(f"{path}: forge ({', '.join(_FORGES)}), api and token go together")
        patterns = tuple(PathGlob(one) for one in branches)
        return Config(patterns, pusher or "WEFT_USER", teams, log, form or "text", *forge)
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
    forge = _forge(settings, environment)
    request = _request(push, base, Person(pusher), forge, environment)
    verdict = _judged(settings, request, forge, repository, environment, now)
    if push.old == base and not request.merged and verdict.merge_base not in ("", base):
        raise PolicyError("the push takes commits away from a protected branch; revert them with new commits instead")
    if not verdict.permitted or settings.format != "text":
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format

        out.write(_format.show(verdict, settings.format))
    if not verdict.permitted and environment.get(_TRIGGER) == _MERGES and not request.merged:
        out.write(
            f"\nThis merge was judged as a push by {pusher}, without the approvals of its pull request: the hook has "
            f"no forge to ask, or is not told the number ({_NUMBER}).\n"
        )
    return 0 if verdict.permitted else 1 if verdict.judged else 2


def _forge(settings: Config, environment: Mapping[str, str]) -> Forge | None:
    """The forge, with the pull request that is merged where one is (number 0: none); None where there is no forge."""
    if not settings.forge:
        return None
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _forge as forges
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import Pull

    owner, name = environment.get(_OWNER, ""), environment.get(_NAME, "")
    if not owner or not name:
        raise PolicyError(f"which repository this is, is not known: the server does not set {_OWNER} and {_NAME}")
    try:
        with open(settings.token, encoding="ascii") as file:
            token = file.read().strip()
    except (OSError, UnicodeError) as error:
        raise PolicyError(f"the forge's token cannot be read: {error}") from error
    return forges.connect(Pull(settings.forge, settings.api, token, f"{owner}/{name}", _merging(environment)))


def _merging(environment: Mapping[str, str]) -> int:
    """Number of the pull request that the forge merges by this push; 0 where it merges none, or does not say which."""
    number = environment.get(_NUMBER, "")
    return int(number) if environment.get(_TRIGGER) == _MERGES and number.isdecimal() else 0


def _request(push: Push, base: str, pusher: Person, forge: Forge | None, environment: Mapping[str, str]) -> Request:
    """Who wants what: a pull request's people where the forge merges one, else who pushes.

    Who presses the button is not behind the change, as little as on a forge whose CI judges; that what is pushed is
    the pull request's content and no more is for the judge to find out.
    """
    if forge is None or not _merging(environment):
        return Request(base, push.new, push.branch, pusher, pushers=(pusher,))
    asked = forge.request()
    if asked.target != push.branch:
        raise PolicyError(f"the forge merges a pull request for {asked.target} into another branch")
    return asked._replace(base=base, merged=push.new)


def _judged(
    settings: Config,
    request: Request,
    forge: Forge | None,
    repository: str,
    environment: Mapping[str, str],
    now: datetime,
) -> Verdict:
    quarantine = {name: environment[name] for name in _QUARANTINE if name in environment}
    teams: Teams | None = forge
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
        sys.stderr.write("usage: weft-policy hook pre-receive --config FILE\n")
        return 2
    try:
        return pre_receive(config(arguments[2]), sys.stdin, os.environ, sys.stderr)
    except PolicyError as error:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import told

        sys.stderr.write(f"PROHIBITED: {told(error)}\n")
        return 2

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Pull requests on GitHub, GitLab, Bitbucket Cloud, Gitea and Forgejo: read who is behind them, judge, say so there.

    python3 -m ...._policy forge check            in a CI job: everything is told by its environment
    python3 -m ...._policy forge check --forge gitea --api URL --repository o/r --number 7

The client libraries are imported only for the forge that is used.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format, _log
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _text as text
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge import _event
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    BROKEN,
    FAILURE,
    PENDING,
    SUCCESS,
    Forge,
    ForgeError,
    Pull,
    Status,
    need,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError, Request, Teams, Verdict

#: Modules and classes by a forge's name; each needs the library that requirements-forges.txt pins.
FORGES = {
    "github": ("_github", "GitHub"),
    "gitlab": ("_gitlab", "GitLab"),
    "bitbucket": ("_bitbucket", "Bitbucket"),
    "gitea": ("_gitea", "Gitea"),
}
#: When a comment is made: where there is one already, it is always brought up to date.
COMMENTS = ("always", "problems", "never")


def connect(pull: Pull) -> Forge:
    """The pull request on its forge; nothing is asked yet.

    Raises:
        ForgeError: the forge is unknown, its address is none, or its client library is missing.
    """
    if pull.forge not in FORGES:
        raise ForgeError(f"no forge {pull.forge!r}; there are {', '.join(sorted(FORGES))}")
    if not pull.api.startswith(("https://", "http://")):
        raise ForgeError(f"{pull.api!r} is no address of an API: it begins with https://")
    module, name = FORGES[pull.forge]
    try:
        found = importlib.import_module(f"{__name__}.{module}")
    except ImportError as error:
        raise ForgeError(
            f"{pull.forge}: the Python package {error.name} is not installed: "
            "pip install -r requirements-forges.txt of the collection weft.platform"
        ) from error
    return cast(Forge, getattr(found, name)(pull))


def teams_of(forge: str, api: str, repository: str, env: Mapping[str, str]) -> Teams:
    """The teams and accounts of a forge, without a pull request; nothing is asked yet.

    Args:
        forge: one of FORGES.
        api: address of its API.
        repository: whose owner's teams are meant, "owner/name".
        env: where WEFT_FORGE_TOKEN is.

    Raises:
        ForgeError: the token or something else is missing; see `connect`.
    """
    return connect(Pull(forge, api, _token(env), repository, 0))


def _token(env: Mapping[str, str]) -> str:
    return need(env, "WEFT_FORGE_TOKEN", "the token is taken from there, never from the command line")


class Options(argparse.Namespace):
    """What `forge check` is given on its command line."""

    forge: str
    api: str
    repository: str
    number: int | None
    git: str
    teams: str
    cache: str
    ttl: float
    log: str
    link: str
    comment: str
    write: list[str]
    dry_run: bool


def parser(into: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The command line of `forge`."""
    top = into or argparse.ArgumentParser(prog="weft-policy forge", description="Judge pull requests on a forge.")
    check = top.add_subparsers(required=True, metavar="check").add_parser(
        "check",
        help="judge a pull request, and say so",
        description="Judge a pull request and say so there. In a CI job its environment tells which one it is; "
        "elsewhere say --forge, --api, --repository and --number. The token is in WEFT_FORGE_TOKEN.",
    )
    check.add_argument("--forge", default="", choices=sorted(FORGES), help="default: told by the CI job")
    check.add_argument("--api", default="", help="address of the API (GitLab: of the server)")
    check.add_argument("--repository", default="", metavar="OWNER/NAME", help="the repository on the forge")
    check.add_argument("--number", type=int, help="number of the pull request")
    check.add_argument("--git", default=".", metavar="DIR", help="a clone with base and head (default: here)")
    check.add_argument("--teams", default="", metavar="FILE", help="teams from a file instead of the forge's API")
    check.add_argument("--cache", default="", metavar="FILE", help="keep answers about teams here for a while")
    check.add_argument("--ttl", type=float, default=300.0, metavar="SECONDS", help="how long (300)")
    check.add_argument("--log", default="", metavar="FILE", help="append the verdict to this decision log")
    check.add_argument("--link", default="", metavar="URL", help="where the status points (default: the job's page)")
    check.add_argument("--comment", default="problems", choices=COMMENTS, help="when to comment (default: problems)")
    check.add_argument(
        "--write", action="append", default=[], metavar="FORM=FILE", help="write the verdict as json, sarif, junit, ..."
    )
    check.add_argument("--dry-run", action="store_true", help="say nothing on the forge")
    return top


def main(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """`forge check`: 0 permitted, 1 prohibited, 2 it could not be judged (and the status on the forge says so)."""
    options = parser().parse_args(list(arguments), namespace=Options())
    try:
        return check(options, os.environ if env is None else env)
    except PolicyError as error:
        print(f"error: {text.visible(str(error))}", file=sys.stderr)
        return 2


def check(options: Options, env: Mapping[str, str]) -> int:
    """Read the pull request, judge it, record it, show it.

    Raises:
        PolicyError: it could not be read, or not be shown.
    """
    outputs = [_output(one) for one in options.write]
    pull = _pull(options, env)
    forge = connect(pull)
    request = forge.request()
    if pull.merged:
        # a queue wants to know about what it made, onto what it made it on
        request = request._replace(base=pull.onto, merged=pull.merged)
    wanted = request.merged or request.head
    link = options.link or _job(env)
    if not options.dry_run:
        # until the verdict is there, this commit must not be merged on the word of an older verdict
        forge.status(wanted, Status(PENDING, "being judged", link))
    try:
        verdict = _judge(options, request, forge)
    except Exception as error:
        if not options.dry_run:
            forge.status(wanted, Status(BROKEN, f"could not be judged: {text.visible(str(error))}", link))
        raise
    sys.stdout.write(_format.show(verdict, "text"))
    for form, path in outputs:
        _write(path, _format.show(verdict, form))
    if not options.dry_run:
        _tell(forge, verdict, wanted, link, options.comment)
    return 0 if verdict.permitted else 1 if verdict.judged else 2


def _judge(options: Options, request: Request, forge: Forge) -> Verdict:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge

    teams = _log.RecordedTeams(_teams(options, forge))
    verdict = judge(request, options.git, now=datetime.now(UTC), teams=teams)
    if options.log:
        digest = _log.append(options.log, request, verdict, repository=os.path.abspath(options.git), teams=teams)
        print(f"On record as {digest}.", file=sys.stderr)
    return verdict


def _teams(options: Options, forge: Forge) -> Teams:
    if options.teams:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _teams

        return cast(Teams, _teams.load(options.teams))
    if options.cache:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge import _cache

        return _cache.CachedTeams(forge, options.cache, options.ttl)
    return forge


def _pull(options: Options, env: Mapping[str, str]) -> Pull:
    """From the command line where it says all, else from the CI job, the command line going first."""
    if options.forge and options.api and options.repository and options.number is not None:
        return Pull(options.forge, options.api, _token(env), options.repository, options.number)
    found = _event.from_environment(env, options.forge)
    return found._replace(
        api=options.api or found.api,
        repository=options.repository or found.repository,
        number=found.number if options.number is None else options.number,
    )


def _job(env: Mapping[str, str]) -> str:
    """The address of this CI job's page, or ""."""
    if env.get("CI_JOB_URL"):
        return env["CI_JOB_URL"]
    parts = [env.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""


def _tell(forge: Forge, verdict: Verdict, commit: str, link: str, comment: str) -> None:
    """The comment first: a person who sees the status change then finds the reason there."""
    try:
        if comment != "never":
            body = _format.as_markdown(verdict, forge.longest, forge.html)
            forge.comment(body, _format.MARKER, comment == "always" or not verdict.permitted)
    finally:
        state = SUCCESS if verdict.permitted else FAILURE if verdict.judged else BROKEN
        forge.status(commit, Status(state, _format.summary(verdict), link))


def _output(spec: str) -> tuple[str, str]:
    form, equals, path = spec.partition("=")
    if not equals or not path or form not in _format.FORMS:
        raise PolicyError(f"--write {spec}: say FORM=FILE; forms are {', '.join(sorted(_format.FORMS))}")
    return form, path


def _write(path: str, content: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be written: {error.strerror}") from error

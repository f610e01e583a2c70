# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""`check`: judge the change between two commits, or all that is in one."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _judge, _reference
from ansible_collections.weft.platform.plugins.plugin_utils._policy._load import moment
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    Person,
    PolicyError,
    Request,
    Teams,
    Verdict,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import told

_BEFORE_A_BRANCH = re.compile(r"^(refs/heads/|refs/remotes/[^/]+/|heads/|origin/)")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="weft-policy check", description="Judge the change between two commits.")
    top.add_argument("--repository", default=".", metavar="DIR", help="the Git repository (.)")
    top.add_argument("--base", default="main", help="tip of the target branch: a commit or a name (main)")
    top.add_argument("--head", default="HEAD", help="what is to be merged: a commit or a name (HEAD)")
    top.add_argument("--target", metavar="BRANCH", help="the target branch's name (that of --base)")
    everything = "judge all that is in --head, not who may change it: is it valid, and good by the content rules"
    top.add_argument("--everything", action="store_true", help=everything)
    top.add_argument("--author", metavar="LOGIN", help="who wants the change")
    top.add_argument("--team", action="append", default=[], metavar="TEAM", help="a team of the author; repeatable")
    top.add_argument("--committer", action="append", default=[], metavar="LOGIN", help="who else committed to it")
    top.add_argument("--pusher", action="append", default=[], metavar="LOGIN", help="who pushed to it")
    approved = "who approved the head, or another commit"
    top.add_argument("--approval", action="append", default=[], metavar="LOGIN[@COMMIT]", help=approved)
    top.add_argument("--request", metavar="FILE", help="all of the above as JSON")
    top.add_argument("--teams", metavar="FILE", help="who is in which team: {teams: {TEAM: [LOGIN]}}")
    top.add_argument("--format", default="text", help="text, markdown, json, sarif or junit")
    top.add_argument("--output", metavar="FILE", help="write the verdict there too")
    top.add_argument("--log", metavar="FILE", help="append the verdict to this decision log")
    top.add_argument("--now", metavar="TIME", help="judge as if it were then (RFC 3339)")
    return top


def request_of(options: argparse.Namespace) -> Request:
    """The request that a command line describes.

    Raises:
        PolicyError: it describes none.
    """
    if options.request:
        try:
            with open(options.request, encoding="utf-8") as file:
                return Request.from_json(json.load(file))
        except (OSError, ValueError) as error:
            raise PolicyError(f"{options.request}: no request can be read: {error}") from error
    if not options.author:
        raise PolicyError("say who wants the change: --author LOGIN")
    head = _reference.resolve(options.repository, options.head)
    approvals = []
    for text in options.approval:
        login, _, commit = text.partition("@")
        approvals.append(Approval(Person(login), _reference.resolve(options.repository, commit) if commit else head))
    return Request(
        base=_reference.resolve(options.repository, options.base),
        head=head,
        target=options.target or _BEFORE_A_BRANCH.sub("", options.base),
        author=Person(options.author, tuple(options.team) if options.team else None),
        committers=tuple(Person(login) for login in options.committer),
        pushers=tuple(Person(login) for login in options.pusher),
        approvals=tuple(approvals),
    )


#: Options that are about a change and the people behind it, or about recording a verdict on those.
_OF_A_CHANGE = ("target", "author", "team", "committer", "pusher", "approval", "request", "teams", "log")


def _everything(options: argparse.Namespace, now: datetime) -> Verdict:
    """The verdict on all that is in the head.

    Raises:
        PolicyError: the command line is about a change as well, or there is no such commit.
    """
    given = [f"--{name}" for name in _OF_A_CHANGE if getattr(options, name)]
    if given:
        raise PolicyError(f"--everything is about no change and nobody; leave out {', '.join(given)}")
    return _judge.judge_everything(_reference.resolve(options.repository, options.head), options.repository, now=now)


def verdict_of(options: argparse.Namespace) -> Verdict:
    """Judge, and record when asked to.

    Raises:
        PolicyError: the command line does not describe a request, or the verdict cannot be recorded.
    """
    now = moment(options.now) if options.now else datetime.now(UTC)
    if now is None:
        raise PolicyError(f"--now {options.now!r} is no time with a zone, like 2026-01-31T12:00:00Z")
    if options.everything:
        return _everything(options, now)
    request = request_of(options)
    teams: Teams | None = None
    if options.teams:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _teams

        teams = _teams.load(options.teams)
    if not options.log:
        return _judge.judge(request, options.repository, now=now, teams=teams)
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _log

    recorded = _log.RecordedTeams(teams)
    verdict = _judge.judge(request, options.repository, now=now, teams=recorded)
    _log.append(options.log, request, verdict, repository=options.repository, teams=recorded)
    return verdict


def main(arguments: Sequence[str]) -> int:
    """Judge, show, and say by the exit code."""
    options = parser().parse_args(arguments)
    try:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format

        _format.maker(options.format)  # a word that is wrong is told before a verdict is recorded
        verdict = verdict_of(options)
        shown = _format.show(verdict, options.format)
        sys.stdout.write(shown)
        if options.output:
            with open(options.output, "w", encoding="utf-8") as file:
                file.write(shown)
    except (PolicyError, OSError) as error:
        sys.stderr.write(f"PROHIBITED: {told(error)}\n")
        return 2
    return 0 if verdict.permitted else 1 if verdict.judged else 2

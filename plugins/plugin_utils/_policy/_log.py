# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The decision log: every verdict with all it rested on, chained by hash, so that it can be checked and judged again.

A record holds the request (people, commits), the answers that were had about teams, the digest of the rules, the
trees of both commits, the verdict, and the versions of what judged.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _chain
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _text as text
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    INFO,
    SURROUNDINGS,
    IdentityError,
    PolicyError,
    Request,
    Teams,
    Verdict,
)

_UNTOLD = "untold"


class RecordedTeams:
    """Asks other Teams once a question, and keeps the answers for the log."""

    def __init__(self, teams: Teams | None) -> None:
        self._teams = teams
        self._members: dict[str, Any] = {}
        self._exists: dict[str, bool | None] = {}

    def members(self, team: str) -> Collection[str] | None:
        """Logins in `team`, or None when there is no such team.

        Raises:
            IdentityError: it cannot be told.
        """
        if team not in self._members:
            self._members[team] = self._ask(team)
        answer = self._members[team]
        if isinstance(answer, dict):
            raise IdentityError(answer[_UNTOLD])
        return None if answer is None else frozenset(answer)

    def _ask(self, team: str) -> Any:
        if self._teams is None:
            return {_UNTOLD: f"who is in team {team} cannot be told: no source of teams was given"}
        try:
            found = self._teams.members(team)
        except IdentityError as error:
            return {_UNTOLD: str(error)}
        return None if found is None else sorted(found)

    def exists(self, login: str) -> bool | None:
        """Whether an account of that name exists; None when it cannot be told."""
        if login not in self._exists:
            self._exists[login] = None if self._teams is None else self._teams.exists(login)
        return self._exists[login]

    def to_json(self) -> dict[str, Any]:
        """All answers so far."""
        return {"members": dict(self._members), "exists": dict(self._exists)}


class ReplayedTeams:
    """Gives the answers that a record holds, and no others."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._members = dict(data.get("members", {}))
        self._exists = dict(data.get("exists", {}))

    def members(self, team: str) -> Collection[str] | None:
        """Logins in `team` as they were then.

        Raises:
            IdentityError: the record has no answer, or it could not be told then.
        """
        answer = self._members.get(team, {_UNTOLD: f"the record does not say who was in team {team}"})
        if isinstance(answer, dict):
            raise IdentityError(str(answer.get(_UNTOLD)))
        return None if answer is None else frozenset(str(login) for login in answer)

    def exists(self, login: str) -> bool | None:
        """Whether the account was there then; None when it could not be told."""
        found = self._exists.get(login)
        return found if isinstance(found, bool) else None


def append(
    path: str,
    request: Request,
    verdict: Verdict,
    *,
    repository: str | os.PathLike[str] = "",
    teams: RecordedTeams | None = None,
) -> str:
    """Put a verdict on record; it is on the disk when this returns.

    Args:
        path: the log.
        request: what was asked.
        verdict: the answer.
        repository: where the commits are, as a help for people.
        teams: the source of teams that the verdict was made with.

    Returns:
        str: the record's digest, to be kept where the log's keeper cannot change it.

    Raises:
        LogError: it could not be recorded.  Whoever permits on a verdict must then prohibit.
    """
    return _chain.append(path, entry(request, verdict, repository=repository, teams=teams))


def entry(
    request: Request,
    verdict: Verdict,
    *,
    repository: str | os.PathLike[str] = "",
    teams: RecordedTeams | None = None,
) -> dict[str, Any]:
    """The record of a verdict, before it is chained."""
    asked, answered = text.plain(request.to_json()), text.plain(verdict.to_json())
    known = text.plain(teams.to_json()) if teams is not None else {}
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "repository": text.plain(os.fspath(repository)),
        "permitted": verdict.permitted,
        "rules": verdict.rules_digest,
        "people": [login for login, _how in verdict.people],
        "request": asked,
        "teams": known,
        "inputs": {"request": _chain.digest_of(asked), "teams": _chain.digest_of(known)},
        "verdict": answered,
        "verdict_digest": _chain.digest_of(answered),
    }


def replay(record: Mapping[str, Any], repository: str | os.PathLike[str]) -> list[str]:
    """Judge a record's request again, with the teams and the time of then.

    Args:
        record: a record of the log.
        repository: a Git repository that has the record's commits.

    Returns:
        list: what is different now, a line each; [] when the verdict is the same to the last field.

    Raises:
        PolicyError: the record is no decision, or its digests do not fit its content.
    """
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge

    request, verdict = record.get("request"), record.get("verdict")
    if not isinstance(request, dict) or not isinstance(verdict, dict):
        raise PolicyError(f"record {record.get('sequence')} is no decision: it has no request or no verdict")
    if record.get("verdict_digest") != _chain.digest_of(verdict):
        raise PolicyError(f"record {record.get('sequence')}: its verdict does not fit the digest beside it")
    again = judge(
        Request.from_json(request),
        repository,
        now=_time(str(verdict.get("now", ""))),
        teams=ReplayedTeams(record.get("teams", {})),
    )
    return list(_differences("", _anywhere(verdict), _anywhere(text.plain(again.to_json()))))


def _anywhere(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict without what it says of the system on which it was made."""
    said = [
        one for one in verdict.get("findings", ()) if (one.get("rule"), one.get("severity")) != (SURROUNDINGS, INFO)
    ]
    return {**verdict, "findings": said}


def _time(stamp: str) -> datetime:
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise PolicyError(f"the record's time {stamp!r} is none") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _differences(place: str, then: Any, now: Any) -> list[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        out: list[str] = []
        for key in sorted({*then, *now}):
            out += _differences(f"{place}.{key}" if place else key, then.get(key), now.get(key))
        return out
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        out = []
        for index, (one, two) in enumerate(zip(then, now)):
            out += _differences(f"{place}[{index}]", one, two)
        return out
    if then == now:
        return []
    return [f"{text.visible(place)}: was {text.value(then)}, is {text.value(now)}"]


def main(arguments: Sequence[str] | argparse.Namespace) -> int:
    """`log verify|replay|list`: 0 all is well, 1 the log or a verdict is not what it was, 2 it could not be told."""
    options = arguments if isinstance(arguments, argparse.Namespace) else parser().parse_args(list(arguments))
    try:
        code = int(options.run_log(options))
        sys.stdout.flush()
        return code
    except PolicyError as error:
        print(f"error: {text.visible(str(error))}", file=sys.stderr)
        return 2


def parser(into: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The command line of `log`."""
    top = into or argparse.ArgumentParser(
        prog="weft-policy log", description="Check the decision log, or judge from it again."
    )
    verbs = top.add_subparsers(required=True, metavar="verify|replay|list")
    verb = verbs.add_parser("verify", help="walk the chain from the first record to the last")
    verb.add_argument("log", help="the log's file")
    verb.add_argument("--expect", default="", metavar="DIGEST", help="a digest kept elsewhere that must be in the log")
    verb.set_defaults(run_log=_verify)
    verb = verbs.add_parser("replay", help="judge records again and compare")
    verb.add_argument("log", help="the log's file")
    verb.add_argument("which", nargs="?", default="", help="sequence number, digest or head commit; all when left out")
    verb.add_argument("--repository", default="", metavar="DIR", help="where the commits are (default: as recorded)")
    verb.set_defaults(run_log=_replay)
    verb = verbs.add_parser("list", help="one line a record")
    verb.add_argument("log", help="the log's file")
    verb.set_defaults(run_log=_list)
    return top


def _verify(options: argparse.Namespace) -> int:
    found = _chain.verify(options.log, options.expect)
    for line in [*found.notes, *found.problems]:
        print(text.visible(line))
    if found.problems:
        print(f"NOT TO BE TRUSTED: {text.many(found.records, 'record')}, {text.many(len(found.problems), 'problem')}")
        return 1
    print(f"ok: {text.many(found.records, 'record')}, the last is {found.last}")
    return 0


def _replay(options: argparse.Namespace) -> int:
    found = _chain.verify(options.log)
    for line in found.problems:
        print(f"warning: {text.visible(line)}", file=sys.stderr)
    wanted = [_chain.find(options.log, options.which)] if options.which else _chain.records(options.log)
    different = 0
    for record in wanted:
        repository = options.repository or str(record.get("repository", ""))
        differences = replay(record, repository)
        different += bool(differences)
        print(f"{_line(record)}  {'DIFFERENT' if differences else 'the same'}")
        for line in differences[:50]:
            print(f"    {line}")
    return 1 if different or found.problems else 0


def _list(options: argparse.Namespace) -> int:
    for record in _chain.records(options.log):
        print(_line(record))
    return 0


def _line(record: Mapping[str, Any]) -> str:
    request = record.get("request", {})
    people = ", ".join(text.login(str(login)) for login in record.get("people", []))
    word = "permitted" if record.get("permitted") else "PROHIBITED"
    return (
        f"{record['sequence']:>5}  {text.visible(str(record.get('time', '')))}  {word:<10}  "
        f"{text.visible(str(request.get('head', '')))[:12]} -> {text.visible(str(request.get('target', '')))}  {people}"
    )

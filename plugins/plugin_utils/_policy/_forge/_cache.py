# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Answers about teams, kept in a file for a while, so that most verdicts need no call of the forge's API."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Collection
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Teams

#: Seconds for which an answer is believed.
TIME_TO_LIVE = 300
#: A cache larger than this is not read.  Bytes.
_MAX_SIZE = 32 * 1024 * 1024


class CachedTeams:
    """Teams behind a file with a time to live.

    The file decides who may do what for as long as it lives: it must be writable by the policy manager alone, so one
    that others may write, or that belongs to another user, is not believed.
    """

    def __init__(
        self, teams: Teams, path: str, ttl: float = TIME_TO_LIVE, clock: Callable[[], float] = time.time
    ) -> None:
        self._teams = teams
        self._path = path
        self._ttl = ttl
        self._clock = clock
        self._known = self._read()

    def members(self, team: str) -> Collection[str] | None:
        """Logins in `team`, or None when there is no such team.

        Raises:
            IdentityError: it cannot be told; that is not kept.
        """
        found = self._answer(f"team:{team}", lambda: _list(self._teams.members(team)))
        return None if found is None else frozenset(found)

    def exists(self, login: str) -> bool | None:
        """Whether an account of that name exists; None when it cannot be told."""
        found = self._answer(f"user:{login}", lambda: self._teams.exists(login))
        return found if isinstance(found, bool) else None

    def _answer(self, question: str, ask: Callable[[], Any]) -> Any:
        now = self._clock()
        entry = self._known.get(question)
        # one from the future is as little to be believed as an old one
        if entry is not None and 0 <= now - entry["at"] < self._ttl:
            return entry["answer"]
        answer = ask()
        self._known[question] = {"at": now, "answer": answer}
        self._write()
        return answer

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return {}
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if about.st_uid != os.geteuid() or about.st_mode & 0o022 or about.st_size > _MAX_SIZE:
                return {}
            try:
                data = json.loads(file.read())
            except (ValueError, RecursionError):
                return {}
        entries = data.items() if isinstance(data, dict) else ()
        return {key: entry for key, entry in entries if _is_entry(entry)}

    def _write(self) -> None:
        """Whole or not at all; a cache that cannot be written is none, and no reason to fail."""
        folder = os.path.dirname(os.path.abspath(self._path))
        try:
            handle, name = tempfile.mkstemp(dir=folder, prefix=".teams-")
        except OSError:
            return
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(self._known, file)
            os.replace(name, self._path)
        except OSError:
            os.unlink(name)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or isinstance(entry.get("at"), bool):
        return False
    answer = entry.get("answer")
    listed = isinstance(answer, list) and all(isinstance(one, str) for one in answer)
    return isinstance(entry.get("at"), (int, float)) and (answer is None or isinstance(answer, bool) or listed)


def _list(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)

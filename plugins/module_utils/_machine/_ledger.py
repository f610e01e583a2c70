# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The ledger: what a machine was before, written before each Change, so that there is a way back.

One JSON object a line.  The first is the baseline.  Each other one holds the first known value of a field, and what
else the way back needs; what came later is not recorded, so a secret of ours is never in it.  Or it says that a
subject is what it was again, and ours no more.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Path, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    STATE_DIR,
    Host,
    MachineError,
    MachineResource,
    errors_of,
)
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

LEDGER = f"{STATE_DIR}/ledger.jsonl"

Key = Tuple[str, str]  # type and name of a subject


class Entry:
    """What is known of one subject: its fields' first values, and what the way back needs beside them.

    `kept` is of the subject's very first Change; a field may have been recorded later, when another already differed.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self.before: Dict[Path, Value] = {}
        self.kept: Dict[str, Value] = {}
        self.secret = False


class Ledger:
    """The ledger of one machine."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.baseline: Dict[str, Value] = {}
        self.entries: Dict[Key, Entry] = {}
        self._parents: Set[str] = set()
        self._size = 0
        self._read()

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        return bool(self.baseline or self.entries)

    def _read(self) -> None:
        data = self.host.read_bytes(LEDGER) or b""
        # A line without its end was being written when the run was killed: its Change was never made.
        whole = data[: data.rfind(b"\n") + 1]
        self._size = len(whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise MachineError(
                    f"{LEDGER} line {number} cannot be read ({error}); without it there is no way back to what the "
                    "machine was. Repair the line, or move the file away to give that up"
                ) from error

    def _take(self, row: Mapping[str, Any]) -> None:
        if "baseline" in row:
            self.baseline = dict(row["baseline"])
            return
        key = (str(row["type"]), str(row["name"]))
        if row.get("returned"):
            self.entries.pop(key, None)
            return
        entry = self.entries.setdefault(key, Entry(key))
        entry.before[tuple(row["field"])] = row.get("before", ABSENT)
        entry.kept = entry.kept or dict(row.get("kept", {}))
        self._parents.update(str(folder) for folder in entry.kept.get("parents") or [])
        entry.secret = entry.secret or bool(row.get("secret"))

    def record(self, resource: Resource, changes: Sequence[Change]) -> None:
        """Write down what is not known yet of the fields that are about to change, safe on disk.

        Raises:
            MachineError: it cannot be written; then nothing may be changed.
        """
        new = [change for change in changes if not self._knows(change)]
        if not new:
            return
        first = (new[0].subject.type, new[0].subject.name) not in self.entries
        with errors_of(resource.subject):
            kept = resource.keep() if first and isinstance(resource, MachineResource) else {}
        rows = []
        for change in new:
            row: Dict[str, Any] = {
                "type": change.subject.type,
                "name": change.subject.name,
                "field": list(change.field),
                "kept": kept,
            }
            if change.before is not ABSENT:
                row["before"] = change.before
            if change.secret:
                row["secret"] = True
            rows.append(row)
            kept = {}
        self.append(rows)

    def give_back(self, keys: Sequence[Key]) -> None:
        """Write down that subjects are what they were: what becomes of them from now on is not ours to undo.

        Raises:
            MachineError: it cannot be written.
        """
        known = [key for key in keys if key in self.entries]
        if known:
            self.append([{"type": kind, "name": name, "returned": True} for kind, name in known])

    def _knows(self, change: Change) -> bool:
        """Whether the field's first value is known: its own, or that of one around it."""
        entry = self.entries.get((change.subject.type, change.subject.name))
        return entry is not None and any(change.field[: len(field)] == field for field in entry.before)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add lines and wait until the disk has them.

        Raises:
            MachineError: it cannot be written.
        """
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
        path = self.host.at(LEDGER)
        try:
            self.host.make_state_dir()
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "r+b") as stream:
                stream.truncate(self._size)
                stream.seek(self._size)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise MachineError(
                f"{LEDGER} cannot be written ({error.strerror}), and without it nothing is changed; make room on "
                f"the disk that holds {STATE_DIR} and run again"
            ) from error
        self._size += len(text)
        for row in rows:
            self._take(row)

    def newest_first(self) -> List[Entry]:
        """What was changed, in the order in which it is taken back."""
        return list(reversed(list(self.entries.values())))

    def parents(self) -> List[str]:
        """Folders that were made on the way to something, innermost first."""
        return sorted(self._parents, key=len, reverse=True)

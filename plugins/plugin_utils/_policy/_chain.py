# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A chained log: one JSON line a record, each carrying the digest of the one before.

A line that was changed, taken out, put in or moved breaks the chain.  Lines cut off at the end cannot be told from
the file alone: keep the last digest elsewhere (every append returns it) and give it to `verify(expect=...)`.

A write that was interrupted leaves half a line.  The next append closes it and says so in its own record, with the
digest of the half line, so that the log mends itself and nothing is hidden.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError

Record = dict[str, Any]

#: What the first record names as the one before it.
START = "sha256:" + "0" * 64
#: Keys that the log itself sets.
OWN_KEYS = ("sequence", "previous", "torn", "digest")
#: A record longer than this is refused: it could not be read back in bounded memory.  Bytes.
MAX_RECORD = 16 * 1024 * 1024
_BLOCK = 64 * 1024


class LogError(PolicyError):
    """The log cannot be read, written or trusted; the message says where and what to do."""


@dataclass
class Verification:
    """What a walk over the whole chain found.

    records   whole records
    last      digest of the last whole record, START for an empty log
    problems  what breaks the chain, each with its line
    notes     what is odd but accounted for (half lines that a later record names)
    """

    records: int = 0
    last: str = START
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def digest_of(value: Any) -> str:
    """ "sha256:" and the hex digest of a JSON value in its one canonical spelling (sorted keys, no spaces, ASCII)."""
    return digest_of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii"))


def digest_of_bytes(data: bytes) -> str:
    """ "sha256:" and the hex digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def append(path: str, entry: Mapping[str, Any]) -> str:
    """Append one record and wait until the disk has it.

    Safe beside other processes that append to the same file on this machine (an exclusive lock on it).

    Args:
        path: the log; made with mode 0600 when it is not there.
        entry: the record, JSON values; the log adds `sequence`, `previous` and `digest`.

    Returns:
        str: the record's digest.

    Raises:
        LogError: the file cannot be written, or its last record cannot be trusted.
    """
    taken = [key for key in OWN_KEYS if key in entry]
    if taken:
        raise LogError(f"a record may not set {', '.join(taken)}: the log sets it")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LogError(f"{path}: cannot be opened for the decision: {error.strerror}; make it writable") from error
    with os.fdopen(handle, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return _append_locked(path, file, entry)


def _append_locked(path: str, file: BinaryIO, entry: Mapping[str, Any]) -> str:
    last, torn, closed = _tail(path, file)
    record: Record = {**entry, "sequence": 1, "previous": START}
    if last is not None:
        record["sequence"], record["previous"] = last["sequence"] + 1, last["digest"]
    if torn:
        record["torn"] = digest_of_bytes(torn)
    record["digest"] = digest_of(record)
    line = json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) > MAX_RECORD:
        raise LogError(f"{path}: the decision is {len(line)} bytes, more than {MAX_RECORD}; record fewer findings")
    _write(path, file, line if closed else b"\n" + line)
    if last is None:
        _sync_folder(path)
    return str(record["digest"])


def _write(path: str, file: BinaryIO, data: bytes) -> None:
    try:
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    except OSError as error:
        raise LogError(f"{path}: the decision could not be written: {error.strerror}; free space and repeat") from error


def _sync_folder(path: str) -> None:
    """A new file is there after a crash only when its folder was synced as well."""
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _tail(path: str, file: BinaryIO) -> tuple[Record | None, bytes, bool]:
    """The last whole record, what an interrupted write left after it, and whether the file ends with a newline.

    Reads backwards, so that a long log costs no more than a short one.
    """
    end = file.seek(0, os.SEEK_END)
    data = b""
    while end > 0:
        size = min(_BLOCK, end)
        end = file.seek(end - size)
        data = _read_exactly(file, size) + data
        lines = data.split(b"\n")
        for index in range(len(lines) - 1, -1 if end == 0 else 0, -1):
            record = _parse(lines[index])
            if (record is not None and _wrong_digest(record)) or (record is None and _is_json(lines[index])):
                raise LogError(
                    f"{path}: its last record was changed; run `log verify` on it, keep the file and begin a new one"
                )
            if record is not None:
                return record, b"\n".join(lines[index + 1 :]).rstrip(b"\n"), data.endswith(b"\n")
        if len(data) > 2 * MAX_RECORD:
            raise LogError(f"{path}: has no record in its last {len(data)} bytes; is it a decision log?")
    return None, data.rstrip(b"\n"), not data or data.endswith(b"\n")


def _is_json(line: bytes) -> bool:
    """A write that was cut off leaves no whole JSON; a record that somebody changed does."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            break
        data += more
    return data


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("sequence"), int):
        return None
    return record if isinstance(record.get("digest"), str) and isinstance(record.get("previous"), str) else None


def _wrong_digest(record: Mapping[str, Any]) -> bool:
    return digest_of({key: value for key, value in record.items() if key != "digest"}) != str(record["digest"])


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Every line with its number, each with its newline where it has one.

    Raises:
        LogError: the file cannot be read, or a line is longer than any record.
    """
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(MAX_RECORD + 1):
                number += 1
                if len(line) > MAX_RECORD:
                    raise LogError(f"{path}:{number}: is longer than {MAX_RECORD} bytes and no record of this log")
                yield number, line
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error


def records(path: str) -> Iterator[Record]:
    """Every whole record, oldest first, without a look at the chain.

    Raises:
        LogError: the file cannot be read.
    """
    for _number, line in _lines(path):
        record = _parse(line)
        if record is not None:
            yield record


def find(path: str, which: str) -> Record:
    """One record: by its sequence number, or by (the beginning of) its digest or its head commit.

    Raises:
        LogError: no record, or more than one digest, fits.
    """
    wanted = which.removeprefix("sha256:")
    found = []
    for record in records(path):
        names = (str(record["digest"]).removeprefix("sha256:"), str(record.get("request", {}).get("head", "")))
        if which == str(record["sequence"]):
            return record
        if len(wanted) >= 7 and any(name.startswith(wanted) for name in names):
            found.append(record)
    if not found:
        raise LogError(
            f"{path}: no record {which!r}; give a sequence number, or 7 or more digits of a digest or a head"
        )
    # one head may have been judged often (approvals come later): the last word counts
    return found[-1]


def verify(path: str, expect: str = "") -> Verification:
    """Walk the whole chain.

    Args:
        path: the log.
        expect: a digest that was kept elsewhere and must be in the log ("" for none).

    Raises:
        LogError: the file cannot be read.
    """
    result = Verification()
    torn = b""
    wanted = expect.removeprefix("sha256:")
    seen = not wanted
    before = 0
    for number, line in _lines(path):
        record = _parse(line)
        if record is None:
            torn += line
            continue
        before = _verify_one(f"{path}:{number}", record, before, torn.rstrip(b"\n"), result)
        seen = seen or record["digest"].removeprefix("sha256:").startswith(wanted)
        torn = b""
    if torn:
        result.problems.append(
            f"{path}: ends with {len(torn)} bytes that are no whole record: a write was interrupted, and that verdict "
            "is not on record; the next verdict closes the line and names it"
        )
    if not seen:
        result.problems.append(f"{path}: has no record {expect}: records were cut off at the end, or it is another log")
    return result


def _verify_one(where: str, record: Record, before: int, torn: bytes, result: Verification) -> int:
    """Check one record against the one before it; the sequence number of the record is returned."""
    if _wrong_digest(record):
        result.problems.append(f"{where}: its content does not fit its digest: the record was changed")
    if record["previous"] != result.last:
        result.problems.append(f"{where}: does not follow the record before it: one was changed, taken out or put in")
    elif record["sequence"] != before + 1:
        result.problems.append(f"{where}: is numbered {record['sequence']} where {before + 1} was due")
    named = record.get("torn", "")
    if named != (digest_of_bytes(torn) if torn else ""):
        result.problems.append(f"{where}: before it stands what is no record of this log")
    elif torn:
        result.notes.append(f"{where}: before it stand {len(torn)} bytes of a write that was interrupted")
    result.records += 1
    result.last = str(record["digest"])
    return int(record["sequence"])

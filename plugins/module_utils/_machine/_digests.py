# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""SHA-256 of files, kept as Git's index keeps its own: an entry holds only while the inode says nothing moved."""

from __future__ import annotations

import hashlib
import json
import os
from typing import IO, Callable, Dict, List, Optional

from ansible_collections.weft.platform.plugins.module_utils._machine._host import STATE_DIR, Host

CACHE = f"{STATE_DIR}/digests.json"
CHUNK = 1 << 20


class Digests:
    """Digests of one machine's files.  Reading never writes; `save` does, when there is something new."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._entries: Optional[Dict[str, List[object]]] = None
        self._new = False

    def of(self, path: str) -> str:
        """Digest of a file in hex.

        Raises:
            OSError: it cannot be read.
        """
        with open(self.host.at(path), "rb") as stream:
            info = os.fstat(stream.fileno())
            entry = self._read().get(path)
            if entry and entry[:-1] == _key(info) and isinstance(entry[-1], str):
                return entry[-1]
            digest = hash_of(stream)
            # Only what did not change while it was read is remembered.
            if _key(os.fstat(stream.fileno())) == _key(info):
                self._put(path, info, digest)
        return digest

    def learn(self, path: str, digest: str) -> None:
        """The digest of a file that was hashed while it was written, just now."""
        self._put(path, os.stat(self.host.at(path)), digest)

    def save(self) -> None:
        """Write what is new.  The cache is only a help: a machine that cannot take it is none the worse."""
        if not self._new:
            return
        entries = {path: entry for path, entry in self._read().items() if self.host.exists(path)}
        try:
            self.host.make_state_dir()
            self.host.write(CACHE, json.dumps(entries).encode(), "0600")
        except OSError as error:
            self.host.note("digests", f"{CACHE} could not be written: {error.strerror}", "The next run is slower.")

    def _put(self, path: str, info: os.stat_result, digest: str) -> None:
        self._read()[path] = [*_key(info), digest]
        self._new = True

    def _read(self) -> Dict[str, List[object]]:
        if self._entries is None:
            try:
                found = json.loads(self.host.read(CACHE) or "{}")
            except ValueError:
                found = {}
            entries = found.items() if isinstance(found, dict) else ()
            self._entries = {path: entry for path, entry in entries if isinstance(entry, list) and entry}
        return self._entries


def _key(info: os.stat_result) -> List[object]:
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev]


def hash_of(stream: IO[bytes], tee: Optional[Callable[[bytes], object]] = None) -> str:
    """SHA-256 in hex of what is left of a stream, each piece also given to `tee`."""
    digest = hashlib.sha256()
    for piece in iter(lambda: stream.read(CHUNK), b""):
        digest.update(piece)
        if tee is not None:
            tee(piece)
    return digest.hexdigest()

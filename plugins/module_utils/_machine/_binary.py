# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Programs, downloaded and installed only when their digest is the one that the lock file names."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import IO, Any, Callable, Dict, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._digests import Digests, hash_of
from ansible_collections.weft.platform.plugins.module_utils._machine._files import Placed
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    Before,
    Host,
    MachineError,
    MachineResource,
    owner_pair,
)

TRIES = 3
TIMEOUT = 60  # seconds without a byte
WORKERS = 4
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Binary(Placed):
    """A program.

    spec      {path, url, sha256, mode: "0755", archive: {sha256, member}, proxy}; with `archive` the url is a tar
              archive whose digest is archive.sha256, and the program is its member; `proxy` is the URL to go through
    observed  {"sha256": hex, "mode": "0755"} and "owner": "uid:gid" where that is not root; {"link": target}; ABSENT
    """

    type = "binary"
    default_mode = "0755"

    def look(self) -> Value:
        """Its digest, from the cache where the file has not moved."""
        outside = self.look_outside()
        if outside is not None:
            return outside
        info = os.stat(self.host.at(self.name))
        return {"sha256": digests(self.host).of(self.name), **self.attributes(info)}

    def desired(self) -> Value:
        """The spec, in the shape of what is observed."""
        if self.wants_absent:
            return ABSENT
        if "link" in self.spec:
            return {"link": self.spec["link"]}
        if "sha256" not in self.spec:
            raise MachineError("the resource has no sha256; nothing is installed without one")
        return {"sha256": self.spec["sha256"], **self.wanted_attributes()}

    def make(self, changes: Sequence[Change]) -> None:
        """Install it, or only set mode and owner."""
        if self.make_outside():
            return
        if not any(change.field[:1] in ((), ("sha256",), ("link",)) for change in changes):
            self.set_attributes()
            return
        ready_ahead(self)
        self.place()

    def together(self) -> List[MachineResource]:
        """Every program that is downloaded with it."""
        return downloads(self) if _downloads(self) else [self]

    def fetch(self) -> None:
        """Bring the program, verified, beside its place.  May run in a thread.

        Raises:
            MachineError: it cannot be had, or is not what the lock file names.
            OSError: it cannot be written.
        """
        self.host.make_parents(self.name)
        temporary = self.host.temporary(self.name)
        wanted = str(self.spec["sha256"])
        if "copy" in self.spec:
            with open(self.host.at(str(self.spec["copy"])), "rb") as stream:
                self._take(stream, temporary, wanted, f"the kept copy {self.spec['copy']}")
        elif "archive" in self.spec:
            self._fetch_member(temporary, wanted)
        else:
            self._download(temporary, wanted)

    def place(self) -> None:
        """Put the fetched program in its place."""
        temporary = self.host.temporary(self.name)
        mode = str(self.wanted_attributes()["mode"])
        self.host.install(temporary, self.name, mode, owner_pair(str(self.spec.get("owner", ""))))
        digests(self.host).learn(self.name, str(self.spec["sha256"]))

    def _fetch_member(self, temporary: str, wanted: str) -> None:
        import tarfile

        archive, member = self.spec["archive"], str(self.spec["archive"]["member"])
        packed = f"{temporary}.tar"
        try:
            self._download(packed, str(archive["sha256"]))
            with tarfile.open(self.host.at(packed)) as tar:
                names = {name[2:] if name.startswith("./") else name: name for name in tar.getnames()}
                stream = tar.extractfile(names[member]) if member in names else None
                if stream is None:
                    raise MachineError(f"{self.spec['url']} has no file {member!r}; make the lock file anew")
                self._take(stream, temporary, wanted, f"{member} of {self.spec['url']}")
        except tarfile.TarError as error:
            raise MachineError(f"{self.spec['url']} is no tar archive: {error}; make the lock file anew") from error
        finally:
            self.host.unlink(packed)

    def _download(self, target: str, wanted: str) -> None:
        url = str(self.spec["url"])
        with_retries(url, lambda stream: self._take(stream, target, wanted, url), str(self.spec.get("proxy") or ""))

    def _take(self, stream: IO[bytes], target: str, wanted: str, source: str) -> None:
        """Write a stream to a file that is kept only when its digest is the wanted one."""
        self.host.unlink(target)
        path = self.host.at(target)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as out:
                found = hash_of(stream, out.write)
                if found == wanted:
                    out.flush()
                    os.fsync(out.fileno())
        except OSError as error:
            self.host.unlink(target)
            if error.errno in DISK_ERRORS:  # they do not say which file
                raise OSError(error.errno, error.strerror, path) from error
            raise
        if found != wanted:
            self.host.unlink(target)
            raise MachineError(
                f"{source} has sha256 {found}, but {wanted} is wanted; it is damaged or was replaced, and was not "
                "installed. Make the bundle (or fetch the artifact) anew, or review the lock file"
            )

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """As any file's, with the digest of the kept copy."""
        (spec,) = super().undo(name, before, kept)
        if "copy" in kept:
            spec["sha256"] = kept["sha256"]
            spec["copy"] = kept["copy"]
        return [spec]

    def keep(self) -> Dict[str, Value]:
        """As any file's, with its digest."""
        kept = super().keep()
        return {**kept, "sha256": digests(self.host).of(self.name)} if "copy" in kept else kept


def digests(host: Host) -> Digests:
    """The digests of a machine's files, one for a run."""
    found: Digests = host.once("digests", lambda: Digests(host))
    return found


def ready_ahead(binary: Binary) -> None:
    """Wait for a program; the first that is asked for starts the download of all that wait, a few at a time."""
    jobs: Dict[str, Any] = binary.host.once("downloads", dict)
    if binary.name not in jobs:
        waiting = [one for one in downloads(binary) if isinstance(one, Binary)]
        if binary not in waiting or len(waiting) == 1:
            binary.fetch()
            return
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(WORKERS)
        binary.host.on_close(lambda: _stop(pool, waiting, jobs))
        jobs.update({one.name: pool.submit(one.fetch) for one in waiting})
    jobs[binary.name].result()


def downloads(binary: Binary) -> List[MachineResource]:
    """The programs of a run that wait to be downloaded."""
    return [one for one in binary.waiting() if isinstance(one, Binary) and _downloads(one)]


def _downloads(binary: Binary) -> bool:
    return not (binary.wants_absent or "link" in binary.spec or "copy" in binary.spec)


def _stop(pool: Any, binaries: Sequence[Binary], jobs: Mapping[str, Any]) -> None:
    """Leave no download running and no file lying about when the run ends early."""
    for job in jobs.values():
        job.cancel()
    pool.shutdown(wait=True)
    for binary in binaries:
        binary.host.unlink(binary.host.temporary(binary.name))


def with_retries(
    url: str,
    take: Callable[[IO[bytes]], None],
    proxy: str = "",
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Open an address, through a proxy where one is named, and give the stream to `take`, again when the network was
    at fault.

    Raises:
        MachineError: refused, or the network failed TRIES times.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener, urlopen

    # An opener, as a server may send us on to another one.
    ask: Callable[..., Any] = build_opener(ProxyHandler({"http": proxy, "https": proxy})).open if proxy else urlopen
    fault = ""
    for attempt in range(1, TRIES + 1):
        try:
            with ask(Request(url, headers={"User-Agent": "weft.platform"}), timeout=TIMEOUT) as stream:
                _take_whole(stream, take)
            return
        except HTTPError as error:
            fault = f"the server answered {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (URLError, HTTPException, socket.timeout, ConnectionError) as error:
            fault = str(getattr(error, "reason", "") or error) or type(error).__name__
        if attempt < TRIES:
            pause(attempt)
    raise MachineError(f"{url} cannot be fetched: {fault}. See that the machine reaches it, and run again")


def _take_whole(stream: Any, take: Callable[[IO[bytes]], None]) -> None:
    """Tell a connection that ended early from a wrong artifact."""
    try:
        take(stream)
    except MachineError as error:
        if getattr(stream, "length", None):
            raise ConnectionError(f"the connection ended {stream.length} bytes early") from error
        raise

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Downloads over HTTP: pinned by sha256, from upstream's address or from what the user's mirror puts in its place."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DigestMismatch, FetchFailed
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import sha256_file

_CHUNK = 256 * 1024
_TRIES = 3
_TIMEOUT = 60.0
_AGENT = "weft.platform"


def mirrored(address: str, mirror: Mapping[str, str]) -> str:
    """`address` with its beginning exchanged as `mirror` says; the longest beginning that fits wins.

    A beginning fits at the end of a part only: "https://a.example/x" does not fit "https://a.example/xy".
    """
    for base in sorted(mirror, key=len, reverse=True):
        bare = base.rstrip("/")
        if f"{address}/".startswith(f"{bare}/"):
            return str(mirror[base]).rstrip("/") + address[len(bare) :]
    return address


class _Body:
    """An answer whose end before its announced length is an error, not the end of the content."""

    def __init__(self, answer: Any, has_content: bool) -> None:
        self._answer = answer
        self.headers = answer.headers
        length = answer.headers.get("Content-Length")
        self._left = int(length) if length and has_content else None

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, all of them if it is negative."""
        data: bytes = self._answer.read() if size < 0 else self._answer.read(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left > 0 and (size < 0 or not data):
                raise http.client.IncompleteRead(data, self._left)
        return data


class Web:
    """HTTP with few words: tries again what may pass, says which address failed and why."""

    def __init__(self, mirror: Mapping[str, str] | None = None, pause: float = 1.0) -> None:
        self.mirror = dict(mirror or {})
        self._pause = pause
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def text(self, url: str) -> str:
        """The body of a small answer.

        Raises:
            FetchFailed: the address gives none.
        """
        with self.open(url) as stream:
            body: bytes = stream.read()
            return body.decode("utf-8", errors="replace")

    def size(self, url: str) -> int:
        """Size in bytes that the server names, 0 if it names none.

        Raises:
            FetchFailed: the address gives no answer.
        """
        with self.open(url, method="HEAD") as answer:
            return int(answer.headers.get("Content-Length") or 0)

    @contextlib.contextmanager
    def open(self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Iterator[Any]:
        """The answer to one request, at the mirror's address where there is one.

        Raises:
            FetchFailed: the address gives none, or the connection breaks while it is read.
        """
        target = mirrored(url, self.mirror)
        try:
            answer = self._request(target, method, headers or {})
        except (OSError, http.client.HTTPException) as error:
            # With what the server said as its cause: a refusal may say how to get in.
            raise FetchFailed(_message(target, error)) from error
        with answer:
            try:
                yield _Body(answer, method == "GET")
            except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
                raise FetchFailed(_message(target, error)) from error

    def download(
        self, url: str, folder: Path, sha256: str = "", told: Callable[[int], None] = lambda size: None
    ) -> Path:
        """Download into `folder` under the content's sha256 as name; what is there already is not fetched again.

        Threads that want the same content wait for the first of them.

        Args:
            url: upstream's address.  sha256: what the content must be, "" if that is not known yet.
            told: called with the number of bytes of each piece.

        Raises:
            FetchFailed: the address gives no answer.  DigestMismatch: the content is another.
        """
        if not sha256:
            return self._download(url, folder, "", told)
        with self._guard:
            turn = self._turns.setdefault(sha256, threading.Lock())
        with turn:
            kept = folder / sha256
            if kept.is_file() and sha256_file(kept) == sha256:
                return kept
            return self._download(url, folder, sha256, told)

    def _download(self, url: str, folder: Path, sha256: str, told: Callable[[int], None]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".partial-")
        try:
            with os.fdopen(handle, "wb") as out, self.open(url) as answer:
                found = _copy(answer, out, told)
            if sha256 and found != sha256:
                raise DigestMismatch(mirrored(url, self.mirror), sha256, found)
            os.replace(name, folder / found)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        return folder / found

    def _request(self, url: str, method: str, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(url, method=method, headers={"User-Agent": _AGENT})
        for name, value in headers.items():
            # Not repeated to where a redirect leads: a token is for the registry, not for its storage.
            add = request.add_unredirected_header if name == "Authorization" else request.add_header
            add(name, value)
        for attempt in range(_TRIES):
            try:
                return urllib.request.urlopen(request, timeout=_TIMEOUT)
            except urllib.error.HTTPError as error:
                if (error.code < 500 and error.code != 429) or attempt == _TRIES - 1:
                    raise
            except OSError:
                if attempt == _TRIES - 1:
                    raise
            time.sleep(self._pause * (attempt + 1))
        raise AssertionError("the last try either answers or raises")


def reachable(url: str, seconds: float = 4.0) -> bool:
    """Whether an address answers a HEAD request with success within `seconds`."""
    try:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": _AGENT})
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return bool(answer.status < 400)
    except (OSError, http.client.HTTPException):
        return False


def _copy(source: Any, target: IO[bytes], told: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
        told(len(chunk))
    return digest.hexdigest()


def _message(url: str, error: Exception) -> str:
    advice = "Check the address, the proxy settings, or set artifacts_mirror; a bundle needs no network."
    if isinstance(error, urllib.error.HTTPError):
        return f"{url}: the server answered {error.code} {error.reason}. {advice}"
    reason = getattr(error, "reason", None) or error
    return f"{url}: {reason}. {advice}"

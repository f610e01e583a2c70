# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The file layout of distribution's registry, written and read without a registry running.

A blob is a file named by its sha256 under docker/registry/v2/blobs; a repository is a folder of `link` files, each of
which holds the digest of a blob that the repository may hand out.  Source of the layout: distribution's documentation
of its storage driver paths.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, DigestMismatch

_CHUNK = 1024 * 1024
#: Where blobs are written before their digest is known.
_INCOMING = "incoming"


def hex_of(digest: str) -> str:
    """The 64 hexadecimal digits of "sha256:…"."""
    return digest.split(":", 1)[-1]


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class HashingWriter:
    """A file to write to that knows the sha256 and the size of what was written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`."""
        self._digest.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def finish(self) -> str:
        """Hexadecimal sha256 of everything written; nothing is left in a buffer."""
        self._stream.flush()
        return self._digest.hexdigest()


class Store:
    """A registry's storage folder.  Sizes are bytes, digests are "sha256:" and hexadecimal digits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = root / "docker" / "registry" / "v2"

    def blob_path(self, digest: str) -> Path:
        """The file that holds a blob, whether it exists or not."""
        name = hex_of(digest)
        return self._base / "blobs" / "sha256" / name[:2] / name / "data"

    def has(self, digest: str) -> bool:
        """Whether the blob is there (its content is not read)."""
        return self.blob_path(digest).is_file()

    def put_bytes(self, data: bytes) -> str:
        """Add a blob; the answer is its digest."""
        with self._incoming() as (path, writer):
            writer.write(data)
            return self._adopt(path, writer.finish())

    def put_file(self, source: Path, expected: str = "") -> str:
        """Add a file as a blob; the answer is its digest.

        Raises:
            DigestMismatch: `expected` (hexadecimal sha256) was given and is another.
        """
        with source.open("rb") as stream:
            return self.put_stream(stream, str(source), expected)

    def put_stream(self, stream: BinaryIO, subject: str, expected: str = "") -> str:
        """Add what `stream` yields as a blob; `subject` names it in errors.

        Raises:
            DigestMismatch: as for `put_file`.
        """
        with self._incoming() as (path, writer):
            while chunk := stream.read(_CHUNK):
                writer.write(chunk)
            found = writer.finish()
            if expected and found != expected:
                raise DigestMismatch(subject, expected, found)
            return self._adopt(path, found)

    @contextlib.contextmanager
    def layer(self) -> Iterator[tuple[HashingWriter, list[str]]]:
        """A writer for a blob whose digest is not known yet; after the block the list holds the digest."""
        result: list[str] = []
        with self._incoming() as (path, writer):
            yield writer, result
            result.append(self._adopt(path, writer.finish()))

    def link_layer(self, repository: str, digest: str) -> None:
        """Let `repository` hand out the blob."""
        self._link(self._repository(repository) / "_layers" / "sha256" / hex_of(digest), digest)

    def link_manifest(self, repository: str, digest: str, tag: str = "") -> None:
        """Let `repository` hand out the manifest, by digest and by `tag`."""
        manifests = self._repository(repository) / "_manifests"
        self._link(manifests / "revisions" / "sha256" / hex_of(digest), digest)
        if tag:
            self._link(manifests / "tags" / tag / "current", digest)
            self._link(manifests / "tags" / tag / "index" / "sha256" / hex_of(digest), digest)

    def size(self, digest: str) -> int:
        """Size of a blob in bytes, -1 when it is not there."""
        try:
            return self.blob_path(digest).stat().st_size
        except FileNotFoundError:
            return -1

    def read(self, digest: str) -> bytes:
        """Content of a small blob, checked against its digest.

        Raises:
            ArtifactError: the blob is not there.  DigestMismatch: its content is another.
        """
        path = self.blob_path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ArtifactError(f"{path} is missing. Make the bundle again with weft.platform.bundle.") from error
        found = hashlib.sha256(data).hexdigest()
        if found != hex_of(digest):
            raise DigestMismatch(str(path), hex_of(digest), found)
        return data

    def check(self, digest: str) -> None:
        """Read a whole blob and compare it with its digest.

        Raises:
            ArtifactError: the blob is not there.  DigestMismatch: its content is another.
        """
        path = self.blob_path(digest)
        if not path.is_file():
            raise ArtifactError(f"{path} is missing. Make the bundle again with weft.platform.bundle.")
        found = sha256_file(path)
        if found != hex_of(digest):
            raise DigestMismatch(str(path), hex_of(digest), found, "Make the bundle again with weft.platform.bundle.")

    def tidy(self) -> None:
        """Remove what writers left behind; call it when all of them are done."""
        shutil.rmtree(self.root / _INCOMING, ignore_errors=True)

    def _repository(self, name: str) -> Path:
        return self._base / "repositories" / name

    def _link(self, folder: Path, digest: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link").write_text(f"sha256:{hex_of(digest)}", encoding="ascii")

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[tuple[Path, HashingWriter]]:
        folder = self.root / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield path, HashingWriter(stream)
        finally:
            path.unlink(missing_ok=True)

    def _adopt(self, path: Path, name: str) -> str:
        target = self.blob_path(name)
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        target.chmod(0o644)
        return f"sha256:{name}"

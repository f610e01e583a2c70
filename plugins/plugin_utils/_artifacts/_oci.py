# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""OCI images made of files, the same bytes each time: sorted, time 0, owner 0, layers not compressed."""

from __future__ import annotations

import fnmatch
import io
import json
import posixpath
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import HashingWriter, Store

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Entry:
    """One path of a layer: a file (`source` is its content or where that is), a link, or a folder.

    `path` has no leading slash.  `link` is a symbolic link's target.
    """

    path: str
    source: Path | bytes | None = None
    mode: int = 0o755
    link: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer in the store: its digest and size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Settings:
    """What an image says about the process to start."""

    architecture: str
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    user: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def clean(path: str) -> str:
    """A path as layers want it: relative and without dots."""
    return posixpath.normpath("/" + path).lstrip("/")


def with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted by path, with every parent folder that none of them names; later entries win."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found[clean(entry.path)] = entry
    for path in list(found):
        parent = posixpath.dirname(path)
        while parent:
            found.setdefault(parent, Entry(parent))
            parent = posixpath.dirname(parent)
    found.pop("", None)
    return [found[path] for path in sorted(found)]


def write_layer(store: Store, entries: Iterable[Entry]) -> Layer:
    """Write a layer of `entries` into the store."""
    with store.layer() as (writer, result):
        with _tar(writer) as archive:
            for entry in with_folders(entries):
                _add(archive, entry)
        size = writer.size
    return Layer(result[0], size)


def entries_of_tar(path: Path, drop: Sequence[str] = (), keep: Sequence[str] = ()) -> list[Entry]:
    """Read a tar archive as entries, without what `drop` matches unless `keep` matches it.

    A pattern names a path or a folder with all in it; `*` stands for any characters.  Device files are left out, hard
    links become files of their own.
    """
    entries: list[Entry] = []
    with tarfile.open(path) as archive:
        for member in archive:
            name = clean(member.name)
            if name and (_matches(name, keep) or not _matches(name, drop)):
                entry = _entry(archive, member, name)
                if entry:
                    entries.append(entry)
    return entries


def write_image(store: Store, repository: str, tag: str, layers: Sequence[Layer], settings: Settings) -> str:
    """Write an image's configuration and manifest, and link all of it; the answer is the manifest's digest."""
    config = store.put_bytes(canonical(image_config(layers, settings)))
    manifest = store.put_bytes(canonical(image_manifest(config, store.size(config), layers)))
    for digest in (config, *(layer.digest for layer in layers)):
        store.link_layer(repository, digest)
    store.link_manifest(repository, manifest, tag)
    return manifest


def image_config(layers: Sequence[Layer], settings: Settings) -> dict[str, Any]:
    """An image's configuration (OCI image specification, config.md)."""
    process: dict[str, Any] = {"Env": [PATH_VARIABLE], "WorkingDir": settings.workdir or "/"}
    if settings.entrypoint:
        process["Entrypoint"] = list(settings.entrypoint)
    if settings.cmd:
        process["Cmd"] = list(settings.cmd)
    if settings.user:
        process["User"] = settings.user
    if settings.labels:
        process["Labels"] = dict(settings.labels)
    return {
        "created": EPOCH,
        "architecture": settings.architecture,
        "os": "linux",
        "config": process,
        # The layers are not compressed, so a layer's digest is its diff id as well.
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created": EPOCH, "created_by": "weft.platform.bundle"} for _layer in layers],
    }


def image_manifest(config: str, config_size: int, layers: Sequence[Layer]) -> dict[str, Any]:
    """An image's manifest (OCI image specification, manifest.md)."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": config_size},
        "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers],
    }


def canonical(data: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no spaces: equal data gives equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


class _Sink(io.RawIOBase):
    """What tarfile wants to write to, over a HashingWriter."""

    def __init__(self, writer: HashingWriter) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._writer.write(bytes(data))


def _tar(writer: HashingWriter) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Sink(writer), mode="w|", format=tarfile.PAX_FORMAT)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(clean(entry.path))
    info.mode = entry.mode
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        archive.addfile(info)
    elif entry.source is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif isinstance(entry.source, bytes):
        info.size = len(entry.source)
        archive.addfile(info, io.BytesIO(entry.source))
    else:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as stream:
            archive.addfile(info, stream)


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Entry | None:
    if member.issym():
        return Entry(name, link=member.linkname)
    if member.isdir():
        return Entry(name, mode=member.mode)
    stream = archive.extractfile(member) if member.isfile() or member.islnk() else None
    return Entry(name, stream.read(), member.mode) if stream else None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, pattern + "/*") for pattern in patterns)

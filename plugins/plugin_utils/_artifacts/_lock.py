# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""lock.yml: the exact version and sha256 of every binary and image of a cluster, for review and Git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import ARCHITECTURES, ROLES, load_yaml

SOURCES = ("upstream", "mirror", "bundle")

#: The bundle's repository whose blobs are the binaries.
BINARIES = "weft/binaries"

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_HEX = re.compile(r"[0-9a-f]{64}")
_REF = re.compile(r"(?P<host>[^/]+)/(?P<path>[^:@]+):(?P<tag>[A-Za-z0-9_][\w.-]{0,127})")
_HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Written by weft.platform.lock or weft.platform.bundle; nothing is installed that does not match it.
---
"""


@dataclass(frozen=True)
class Binary:
    """A program.

    Attributes:
        sha256: of the installed file, 64 hexadecimal digits.  size: of that file in bytes.
        path: where machines install it.  roles: which machines do.
        url: upstream's address, "" when it was built.  member: its name in the archive at `url`.
        archive_sha256: of the archive.  built_from: module or package it was built from.
    """

    name: str
    version: str
    sha256: str
    size: int
    path: str
    roles: tuple[str, ...]
    url: str = ""
    member: str = ""
    archive_sha256: str = ""
    built_from: str = ""

    @property
    def digest(self) -> str:
        """The blob's digest in the bundle's registry."""
        return f"sha256:{self.sha256}"


@dataclass(frozen=True)
class Image:
    """A container image: upstream's reference and the digest of its manifest ("sha256:…")."""

    name: str
    ref: str
    digest: str
    roles: tuple[str, ...]
    built_from: str = ""

    @property
    def repository(self) -> str:
        """Its repository in the bundle's registry."""
        return bundle_repository(self.ref)


@dataclass(frozen=True)
class Lock:
    """A whole lock file."""

    kubernetes: str
    architecture: str
    source: str
    binaries: tuple[Binary, ...]
    images: tuple[Image, ...]

    def binary(self, name: str) -> Binary:
        """The binary of that name.

        Raises:
            DataError: the lock has none.
        """
        for binary in self.binaries:
            if binary.name == name:
                return binary
        raise DataError(f"The lock file names no binary {name}. Write it again with weft.platform.lock.")


@dataclass(frozen=True)
class Reference:
    """An image reference in its parts: host, path and tag."""

    host: str
    path: str
    tag: str


def parse_reference(ref: str) -> Reference:
    """Split "registry.k8s.io/pause:3.10.2"; host and tag are wanted, there are no defaults.

    Raises:
        DataError: the reference has another form.
    """
    match = _REF.fullmatch(ref)
    if match is None:
        raise DataError(f"{ref!r} is no image reference: want HOST/PATH:TAG, such as registry.k8s.io/pause:3.10.2.")
    return Reference(match.group("host"), match.group("path"), match.group("tag"))


def bundle_repository(ref: str) -> str:
    """The repository of an image in a bundle's registry: host and path of upstream's reference.

    A port's colon becomes an underscore, as a repository's name has none.
    """
    reference = parse_reference(ref)
    return f"{reference.host.replace(':', '_')}/{reference.path}"


def dump_lock(lock: Lock) -> str:
    """The text of lock.yml; equal locks give equal texts."""
    data = {
        "kubernetes": lock.kubernetes,
        "architecture": lock.architecture,
        "source": lock.source,
        "binaries": [_plain(vars(item)) for item in lock.binaries],
        "images": [_plain(vars(item)) for item in lock.images],
    }
    return _HEADER + yaml.dump(data, Dumper=_DUMPER, sort_keys=False, width=200, allow_unicode=True)


def load_lock(path: Path) -> Lock:
    """Read and check a lock file.

    Raises:
        DataError: it is missing or wrong; every problem is in the message.
    """
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Write it with weft.platform.lock or weft.platform.bundle.") from error
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return parse_lock(data, str(path))


def parse_lock(data: Any, where: str) -> Lock:
    """Make a Lock of a lock file's data; `where` names it in errors.

    Raises:
        DataError: the data is wrong; every problem is in the message.
    """
    if not isinstance(data, dict):
        raise DataError(f"{where}: want a mapping with kubernetes, binaries and images.")
    problems: list[str] = []
    if data.get("architecture") not in ARCHITECTURES:
        problems.append(f"architecture: want one of {', '.join(ARCHITECTURES)}, found {data.get('architecture')!r}")
    if data.get("source") not in SOURCES:
        problems.append(f"source: want one of {', '.join(SOURCES)}, found {data.get('source')!r}")
    binaries = [_binary(item, f"binaries[{i}]", problems) for i, item in enumerate(data.get("binaries") or [])]
    images = [_image(item, f"images[{i}]", problems) for i, item in enumerate(data.get("images") or [])]
    problems += _missing(data, "kubernetes", "binaries", "images")
    if problems:
        raise DataError(f"{where}: {'; '.join(problems)}. Write it again with weft.platform.lock.")
    return Lock(str(data["kubernetes"]), str(data["architecture"]), str(data["source"]), tuple(binaries), tuple(images))


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in fields.items():
        if value != "":
            out[key] = list(value) if isinstance(value, tuple) else value
    return out


def _missing(data: Mapping[str, Any], *keys: str) -> list[str]:
    return [f"{key} is missing" for key in keys if not data.get(key)]


def _roles(item: Mapping[str, Any], where: str, problems: list[str]) -> tuple[str, ...]:
    roles = item.get("roles")
    if not isinstance(roles, list) or any(role not in ROLES for role in roles):
        problems.append(f"{where}.roles: want a list out of {', '.join(ROLES)}, found {roles!r}")
        return ()
    return tuple(roles)


def _binary(item: Any, where: str, problems: list[str]) -> Binary:
    item = item if isinstance(item, dict) else {}
    problems += [f"{where}: {text}" for text in _missing(item, "name", "version", "sha256", "path")]
    for key in ("sha256", "archive_sha256"):
        if item.get(key) and not _HEX.fullmatch(str(item[key])):
            problems.append(f"{where}.{key}: want 64 hexadecimal digits, found {item[key]!r}")
    size = item.get("size", 0)
    if not isinstance(size, int):
        problems.append(f"{where}.size: want a number of bytes, found {size!r}")
        size = 0
    texts = {key: str(item.get(key, "")) for key in ("name", "version", "sha256", "path", "url", "member")}
    return Binary(
        size=size,
        roles=_roles(item, where, problems),
        archive_sha256=str(item.get("archive_sha256", "")),
        built_from=str(item.get("built_from", "")),
        **texts,
    )


def _image(item: Any, where: str, problems: list[str]) -> Image:
    item = item if isinstance(item, dict) else {}
    problems += [f"{where}: {text}" for text in _missing(item, "name", "ref", "digest")]
    digest = str(item.get("digest", ""))
    if digest and not (digest.startswith("sha256:") and _HEX.fullmatch(digest[7:])):
        problems.append(f"{where}.digest: want sha256: and 64 hexadecimal digits, found {digest!r}")
    ref = str(item.get("ref", ""))
    if ref and not _REF.fullmatch(ref):
        problems.append(f"{where}.ref: want HOST/PATH:TAG, found {ref!r}")
    return Image(str(item.get("name", "")), ref, digest, _roles(item, where, problems), str(item.get("built_from", "")))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""References to container images, as container runtimes read them.

Source of the grammar: the reference documentation of the distribution project.  "nginx" is short for
docker.io/library/nginx:latest; what stands before the first slash is a registry when it holds a dot or a colon, has
capitals, or is localhost.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_HOST_PART = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

#: Longest name of an image, registry included.
MAX_NAME = 255


class Image(NamedTuple):
    """A reference, whole: registry "docker.io", path "library/nginx", tag "" where there is none, digest likewise."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and path."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Image:
    """Read a reference.

    Raises:
        ValueError: it is none; the message says what is wrong with it.
    """
    name, at, digest = text.partition("@")
    if at and not _good_digest(digest):
        raise ValueError("its digest is none")
    # a colon after the last slash begins the tag, one before it a port
    before, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        name = before
        if not _TAG.fullmatch(tag):
            raise ValueError("its tag is none")
    else:
        tag = ""
    if _IDENTIFIER.fullmatch(name):
        raise ValueError("it is the identifier of an image, not its name")
    registry, path = _split(name)
    if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(path) or len(name) > MAX_NAME:
        raise ValueError("its name is none: lower case, digits, and single . _ - between them")
    return Image(registry, path, tag, digest)


def _good_digest(digest: str) -> bool:
    algorithm, _, value = digest.partition(":")
    return bool(_DIGEST.fullmatch(digest)) and _LENGTHS.get(algorithm, len(value)) == len(value)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first.lower() != first):
        first, rest = "docker.io", name
    if first == "index.docker.io":
        first = "docker.io"
    return first, f"library/{rest}" if first == "docker.io" and "/" not in rest else rest

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A lock file out of what upstream publishes: checksum files beside the releases, and registries' digests."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._images import Registry
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    Binary,
    Image,
    Lock,
    parse_reference,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._oci import clean
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    BinaryRecipe,
    Component,
    Components,
    Release,
    Upstream,
    expand,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import sha256_file

_SUM = re.compile(r"^([0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?[ \t]*$", re.M)
_BSD_SUM = re.compile(r"^SHA256 ?\((\S+)\) ?= ?([0-9a-fA-F]{64})$", re.M)
_AT_ONCE = 6

Told = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to resolve: a release, for one architecture, with the user's further images."""

    components: Components
    release: Release
    arch: str
    extra_images: Sequence[str] = ()


def resolve_lock(wanted: Wanted, web: Web, source: str, told: Told = lambda text: None) -> Lock:
    """Ask upstream, or the mirror in its place, for the sha256 of everything.

    Archives are downloaded into the cache folder: upstream publishes their sums, not those of the programs in them.

    Args:
        wanted: release, architecture and extra images.
        web: how to ask.  source: "upstream" or "mirror", for the lock file.
        told: called with what is being asked for.

    Raises:
        FetchFailed: an address gives no answer.  DigestMismatch: an archive is not what its sum says.
        DataError: a checksum file or an index lacks what is wanted.
    """
    chosen = [wanted.components.by_name[name] for name in wanted.release.versions]
    programs = [(component, recipe) for component in chosen if component.upstream for recipe in component.binaries]
    refs = image_references(wanted)
    registry = Registry(web)

    def binary(item: tuple[Component, BinaryRecipe]) -> Binary:
        told(item[1].name)
        return _binary(wanted, web, *item)

    def image(item: tuple[str, str, tuple[str, ...]]) -> Image:
        told(item[1])
        return Image(item[0], item[1], registry.resolve(item[1], wanted.arch), item[2])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        binaries = tuple(pool.map(binary, programs))
        images = tuple(pool.map(image, refs))
    return Lock(wanted.release.kubernetes, wanted.arch, source, binaries, images)


def image_references(wanted: Wanted) -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, reference, roles) of every image: the release's, and the user's further ones for workers."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for name, version in wanted.release.versions.items():
        component = wanted.components.by_name[name]
        for image in component.images:
            ref = expand(image.ref, version, wanted.arch)
            if not component.extra:
                found.append((image.name, ref, image.roles))
    known = {ref for _name, ref, _roles in found}
    for ref in wanted.extra_images:
        if ref not in known:
            found.append((extra_name(ref), ref, ("worker",)))
    return found


def extra_name(ref: str) -> str:
    """A short name for an image of the user's: the last part of its path."""
    return parse_reference(ref).path.rsplit("/", 1)[-1]


def parse_sums(text: str, file: str) -> str:
    """The sha256 of `file` in a checksum file: a bare sum, sum and name, or BSD's form.

    Raises:
        DataError: the file is not in it.
    """
    pairs: list[tuple[str, str]] = [(name, digest) for digest, name in _SUM.findall(text)]
    pairs += _BSD_SUM.findall(text)
    named = {name.rsplit("/", 1)[-1]: digest.lower() for name, digest in pairs if name}
    bare = [digest.lower() for name, digest in pairs if not name]
    if file in named:
        return named[file]
    if len(bare) == 1 and not named:
        return bare[0]
    raise DataError(f"The checksum file names no {file}; it has {', '.join(sorted(named)) or 'no sums'}.")


def extract_member(archive: Path, member: str, target: Path) -> None:
    """Write one file of a tar archive to `target`.

    Raises:
        DataError: the archive has no such file.
    """
    with tarfile.open(archive) as tar:
        for item in tar:
            if clean(item.name) == clean(member) and item.isfile():
                stream = tar.extractfile(item)
                assert stream is not None
                with stream, target.open("wb") as out:
                    while chunk := stream.read(1024 * 1024):
                        out.write(chunk)
                return
    raise DataError(f"{archive} has no file {member}. Correct `member` in components.yml.")


def addresses(upstream: Upstream, version: str, arch: str, name: str) -> tuple[str, str]:
    """(address of the download, address of its checksum file)."""
    url = expand(upstream.url, version, arch, name)
    sums = upstream.sums.replace("{url}", url).replace("{folder}", url.rsplit("/", 1)[0])
    return url, expand(sums, version, arch, name)


def downloads() -> Path:
    """Where downloads are kept, each named by its sha256."""
    return cache_root() / "downloads"


def _binary(wanted: Wanted, web: Web, component: Component, recipe: BinaryRecipe) -> Binary:
    assert component.upstream is not None
    version = wanted.release.versions[component.name]
    url, sums = addresses(component.upstream, version, wanted.arch, recipe.name)
    try:
        digest = parse_sums(web.text(sums), url.rsplit("/", 1)[-1])
    except DataError as error:
        raise DataError(f"{sums}: {error}") from error
    if not component.upstream.member:
        return Binary(recipe.name, version, digest, web.size(url), recipe.path, recipe.roles, url)
    member = expand(component.upstream.member, version, wanted.arch, recipe.name)
    archive = web.download(url, downloads(), digest)
    program = archive.with_name(f".{digest}-{recipe.name}")
    try:
        extract_member(archive, member, program)
        found, size = sha256_file(program), program.stat().st_size
    finally:
        program.unlink(missing_ok=True)
    return Binary(recipe.name, version, found, size, recipe.path, recipe.roles, url, member, digest)

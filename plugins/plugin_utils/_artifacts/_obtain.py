# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A bundle by whichever way there is: found complete, downloaded from upstream, or built from source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import (
    Outcome,
    complete,
    component_names,
    estimates,
    machine_architecture,
    make_bundle,
    record_key,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import default_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._collect import (
    COLLECTED,
    STEP,
    collect_bundle,
    collect_key,
    collect_seconds,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web, mirrored, reachable
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import Lock, load_lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    Components,
    Release,
    expand,
    load_components,
    load_versions,
    recipe_key,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._resolve import (
    Wanted,
    image_references,
    resolve_lock,
)

ORIGINS = ("auto", "upstream", "source")
#: Answers wherever upstream can be reached at all.
_PROBE = "https://dl.k8s.io/release/stable.txt"


@dataclass(frozen=True)
class Wish:
    """What bundle is asked for.

    Attributes:
        kubernetes: "1.37", "v1.37.2" or "" for the default.  output: its folder, None for the cache folder's.
        origin: "upstream", "source" (Go modules and Debian packages), or "auto": upstream where it answers.
        lock: an inventory's lock file; one with upstream's addresses says what to download.
        extra_images: further images, by full name and tag.  mirror: what to fetch from instead of what.
    """

    kubernetes: str = ""
    output: Path | None = None
    origin: str = "auto"
    lock: Path | None = None
    extra_images: Sequence[str] = ()
    mirror: Mapping[str, str] = field(default_factory=dict)


def obtain_bundle(wish: Wish, stream: TextIO | None = None) -> Outcome:
    """Find, download or build the bundle.

    Args:
        wish: what is asked for.  stream: where progress is told; standard error if None.

    Raises:
        ArtifactError: there is no way to it; the message says what failed.
    """
    components, release = load_components(), load_versions().release(wish.kubernetes)
    path = (wish.output or default_bundle(release.kubernetes)).expanduser().absolute()
    wanted = Wanted(components, release, machine_architecture(), wish.extra_images)
    pinned = pinned_upstream(wish.lock, release)
    found = _ready(path, wish, wanted, pinned)
    if found:
        return Outcome(path, found, changed=False)
    if wish.origin == "upstream" or (wish.origin == "auto" and reachable(mirrored(_PROBE, wish.mirror))):
        return _download(path, wish, wanted, pinned, stream)
    _check_buildable(wanted)
    return make_bundle(components, release, path, Progress(estimates(components, release), stream))


def pinned_upstream(path: Path | None, release: Release) -> Lock | None:
    """The inventory's lock if it exists, is for this release, and says where upstream has everything.

    Raises:
        DataError: the file is wrong, or pins another Kubernetes.
    """
    if path is None or not path.is_file():
        return None
    lock = load_lock(path)
    if lock.kubernetes != release.kubernetes:
        raise DataError(
            f"{path} pins Kubernetes {lock.kubernetes}, the inventory asks for {release.kubernetes}. "
            "Write the lock again with weft.platform.lock."
        )
    return lock if all(binary.url for binary in lock.binaries) else None


def satisfies(lock: Lock, wanted: Wanted) -> bool:
    """Whether a lock has every version and every image that is wanted."""
    have = {(binary.name, binary.version) for binary in lock.binaries}
    refs = {image.ref for image in lock.images}
    for name, version in wanted.release.versions.items():
        component = wanted.components.by_name[name]
        if component.upstream and any((recipe.name, version) not in have for recipe in component.binaries):
            return False
    return lock.architecture == wanted.arch and refs.issuperset(ref for _n, ref, _r in image_references(wanted))


def built_references(components: Components, release: Release, arch: str) -> set[str]:
    """References of the images that a bundle built from source has."""
    return {
        expand(image.ref, version, arch)
        for name, version in release.versions.items()
        for image in components.by_name[name].images
    }


def _ready(path: Path, wish: Wish, wanted: Wanted, pinned: Lock | None) -> Lock | None:
    """The bundle that is in `path` already, if it is the one that is asked for."""
    if pinned and wish.origin != "source":
        return complete(path, collect_key(pinned))
    if wish.origin != "upstream":
        names = component_names(wanted.components, wanted.release)
        found = complete(path, recipe_key(wanted.release, names, wanted.components, wanted.arch))
        if found:
            return found
    if wish.origin != "source" and record_key(path).startswith(COLLECTED):
        found = complete(path)
        return found if found and satisfies(found, wanted) else None
    return None


def _download(path: Path, wish: Wish, wanted: Wanted, pinned: Lock | None, stream: TextIO | None) -> Outcome:
    web = Web(wish.mirror)
    lock = pinned
    if lock is None:
        asking = Progress({"lock": 60.0}, stream)
        asking.start("lock", "asking upstream for versions and digests")
        lock = resolve_lock(wanted, web, "mirror" if wish.mirror else "upstream")
        asking.finish("resolved")
    return collect_bundle(lock, web, path, Progress({STEP: collect_seconds(lock)}, stream))


def _check_buildable(wanted: Wanted) -> None:
    built = built_references(wanted.components, wanted.release, wanted.arch)
    foreign = [ref for ref in wanted.extra_images if ref not in built]
    if foreign:
        raise DataError(
            f"A bundle built from source cannot have {', '.join(foreign)}. Take them out of artifacts_extra_images, "
            "or make the bundle where upstream can be reached."
        )

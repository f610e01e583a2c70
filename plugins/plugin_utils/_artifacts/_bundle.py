# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A bundle: one folder with every binary and image of a cluster, the registry that serves them, and lock.yml.

The folder is written beside its final place and moved there when it is whole, so there is never half a bundle.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._build import Built, Workshop
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root, locked
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._gobuild import compiled
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    BINARIES,
    Binary,
    Image,
    Lock,
    dump_lock,
    load_lock,
    parse_reference,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._oci import (
    MANIFEST_TYPE,
    Entry,
    Layer,
    Settings,
    canonical,
    entries_of_tar,
    write_image,
    write_layer,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    BinaryRecipe,
    Component,
    Components,
    ImageRecipe,
    Release,
    expand,
    recipe_key,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store, hex_of, sha256_file

LOCK = "lock.yml"
REGISTRY = "registry"
_RECORD = "bundle.json"
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_ASSEMBLE = "bundle"


@dataclass(frozen=True)
class Outcome:
    """What making a bundle came to."""

    path: Path
    lock: Lock
    changed: bool


def machine_architecture() -> str:
    """This machine's architecture as Kubernetes names it.

    Raises:
        DataError: it is neither amd64 nor arm64.
    """
    name = platform.machine()
    if name not in _MACHINES:
        raise DataError(f"Bundles are made for amd64 and arm64; this machine is {name}.")
    return _MACHINES[name]


def component_names(components: Components, release: Release, extra: bool = True) -> tuple[str, ...]:
    """The components a release's bundle consists of; `extra` adds the images to try things with."""
    wanted = [name for name in release.versions if extra or not components.by_name[name].extra]
    needed: list[str] = []
    for name in wanted:
        component = components.by_name[name]
        needed += [name, *(source.split("/")[0] for image in component.images for source in image.files.values())]
        needed += [image.base for image in component.images if image.base]
    return tuple(dict.fromkeys(needed))


def make_bundle(components: Components, release: Release, path: Path, progress: Progress) -> Outcome:
    """Build a bundle from Go modules and Debian packages, or find that `path` holds it already.

    Raises:
        ArtifactError: something cannot be built; what was built so far is kept for the next try.
    """
    arch = machine_architecture()
    names = component_names(components, release)
    key = recipe_key(release, names, components, arch)
    found = complete(path, key)
    if found:
        return Outcome(path, found, changed=False)
    with locked(cache_root() / "build.lock", progress.say):
        found = complete(path, key)
        if found:
            return Outcome(path, found, changed=False)
        workshop = Workshop(components, release, arch, progress)
        built = workshop.build(names)
        progress.start(_ASSEMBLE, "writing images and binaries")
        lock = assemble(path, Assembly(components, release, arch, names, built), key)
        # Gigabytes that served a killed build: what they became is kept, and another version shares little of them.
        shutil.rmtree(compiled(cache_root()), ignore_errors=True)
        progress.finish(f"complete in {path}")
    return Outcome(path, lock, changed=True)


def estimates(components: Components, release: Release) -> dict[str, float]:
    """Seconds that each step takes, for the progress display."""
    names = component_names(components, release)
    steps = {name: components.by_name[name].seconds for name in names if components.by_name[name].seconds}
    return {**steps, _ASSEMBLE: 8.0}


def complete(path: Path, key: str = "") -> Lock | None:
    """The lock of the bundle in `path` if every file is there in its size (and made by the recipe `key`)."""
    try:
        record = json.loads((path / _RECORD).read_text(encoding="utf-8"))
        if key and record["key"] != key:
            return None
        store = Store(path)
        if any(store.size(digest) != size for digest, size in record["blobs"].items()):
            return None
        lock = load_lock(path / LOCK)
        whole = (path / REGISTRY).stat().st_size == lock.binary(REGISTRY).size
    except (OSError, ValueError, KeyError, ArtifactError):
        return None
    return lock if whole else None


def record_key(path: Path) -> str:
    """What the bundle in `path` was made by, "" if there is none."""
    try:
        return str(json.loads((path / _RECORD).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError):
        return ""


def verify_bundle(path: Path) -> Lock:
    """Read every byte of a bundle and compare it with the digests.

    Raises:
        DigestMismatch: a file's content is another; both digests are in the message.
        ArtifactError: something is missing.
    """
    lock = load_lock(path / LOCK)
    store = Store(path)
    for binary in lock.binaries:
        store.check(binary.digest)
    for image in lock.images:
        manifest = json.loads(store.read(image.digest))
        for item in (manifest["config"], *manifest["layers"]):
            store.check(str(item["digest"]))
    registry = path / REGISTRY
    expected, found = lock.binary(REGISTRY).sha256, sha256_file(registry) if registry.is_file() else "(missing)"
    if expected != found:
        raise ArtifactError(f"{registry}: expected sha256:{expected}, found {found}. Make the bundle again.")
    return lock


def finish(folder: Path, key: str, lock: Lock) -> None:
    """Write what makes a folder with all blobs of `lock` a bundle: the registry's program, lock and record."""
    store = Store(folder)
    shutil.copyfile(store.blob_path(lock.binary(REGISTRY).digest), folder / REGISTRY)
    (folder / REGISTRY).chmod(0o755)
    binaries = write_binaries_manifest(store, lock)
    store.tidy()
    write_record(folder, key, lock, binaries)
    (folder / LOCK).write_text(dump_lock(lock), encoding="utf-8")


def write_binaries_manifest(store: Store, lock: Lock) -> str:
    """Tie the binaries together as one OCI artifact, so that copies of the registry carry and keep them.

    Its tag is the version of Kubernetes; each layer is a binary, named by its title (OCI image specification,
    guidance for artifacts).  The answer is the manifest's digest.
    """
    empty = store.put_bytes(b"{}")
    store.link_layer(BINARIES, empty)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.weft.binaries",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": binary.digest,
                "size": binary.size,
                "annotations": {"org.opencontainers.image.title": binary.name},
            }
            for binary in lock.binaries
        ],
    }
    digest = store.put_bytes(canonical(manifest))
    store.link_manifest(BINARIES, digest, lock.kubernetes)
    return digest


def write_record(folder: Path, key: str, lock: Lock, *others: str) -> None:
    """Write down the size of every blob of `lock`, and of `others`, which `complete` compares."""
    store = Store(folder)
    digests = [*others, *(binary.digest for binary in lock.binaries)]
    for image in lock.images:
        manifest = json.loads(store.read(image.digest))
        digests += [image.digest, str(manifest["config"]["digest"])]
        digests += [str(layer["digest"]) for layer in manifest["layers"]]
    record = {"key": key, "blobs": {digest: store.size(digest) for digest in dict.fromkeys(digests)}}
    (folder / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def move_into_place(partial: Path, path: Path) -> None:
    """Put a finished folder where the bundle belongs; an older bundle there goes."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Assembly:
    """What a bundle is put together from."""

    components: Components
    release: Release
    arch: str
    names: Sequence[str]
    built: Mapping[str, Built]

    def version(self, name: str) -> str:
        """The version of a component that was built."""
        return self.release.built.get(name, "")

    def file(self, source: str) -> Path:
        """The built file of "component/name"."""
        component, name = source.split("/", 1)
        return self.built[component].files[name]


def assemble(path: Path, parts: Assembly, key: str) -> Lock:
    """Write a bundle of built files to `path`."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    store = Store(partial)
    chosen = [parts.components.by_name[name] for name in parts.names]
    binaries = [_binary(store, parts, component, recipe) for component in chosen for recipe in component.binaries]
    bases: dict[str, Layer] = {}
    images = [_image(store, parts, component, recipe, bases) for component in chosen for recipe in component.images]
    lock = Lock(parts.release.kubernetes, parts.arch, "bundle", tuple(binaries), tuple(images))
    finish(partial, key, lock)
    move_into_place(partial, path)
    return lock


def _binary(store: Store, parts: Assembly, component: Component, recipe: BinaryRecipe) -> Binary:
    built = parts.built[component.name]
    digest = store.put_file(built.files[recipe.name])
    store.link_layer(BINARIES, digest)
    version = built.built_from.split("=")[-1] if component.debian else parts.version(component.name)
    return Binary(
        name=recipe.name,
        version=version,
        sha256=hex_of(digest),
        size=store.size(digest),
        path=recipe.path,
        roles=recipe.roles,
        built_from=built.built_from,
    )


def _image(store: Store, parts: Assembly, component: Component, recipe: ImageRecipe, bases: dict[str, Layer]) -> Image:
    layers = [_base(store, parts, recipe.base, bases)] if recipe.base else []
    files = [Entry(target, parts.file(source)) for target, source in recipe.files.items()]
    links = [Entry(target, link=source) for target, source in recipe.links.items()]
    layers.append(write_layer(store, [*files, *links]))
    ref = expand(recipe.ref, _image_version(parts, component), parts.arch)
    sources = dict.fromkeys(source.split("/")[0] for source in recipe.files.values())
    built_from = " ".join(parts.built[name].built_from for name in sources)
    settings = Settings(
        architecture=parts.arch,
        entrypoint=recipe.entrypoint,
        cmd=recipe.cmd,
        user=recipe.user,
        workdir=recipe.workdir,
        labels={"org.opencontainers.image.source": built_from},
    )
    lock = Image(recipe.name, ref, "", recipe.roles, built_from)
    digest = write_image(store, lock.repository, parse_reference(ref).tag, layers, settings)
    return Image(recipe.name, ref, digest, recipe.roles, built_from)


def _image_version(parts: Assembly, component: Component) -> str:
    """An image keeps upstream's tag, also where a neighbouring module version was built."""
    return parts.release.versions[component.name]


def _base(store: Store, parts: Assembly, name: str, bases: dict[str, Layer]) -> Layer:
    if name not in bases:
        rootfs: Any = parts.components.by_name[name].rootfs
        entries = entries_of_tar(parts.built[name].files["rootfs.tar"], rootfs.drop, rootfs.keep)
        links = [Entry(target, link=source) for target, source in rootfs.links.items()]
        bases[name] = write_layer(store, [*entries, *links])
    return bases[name]

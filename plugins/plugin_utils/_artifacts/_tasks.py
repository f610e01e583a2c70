# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the doors lock, bundle and registry do.

`settings` are the variables of the role artifacts and cluster_kubernetes_version, as the inventory has them; `task`
are the task's own arguments, which come first.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import (
    LOCK,
    complete,
    machine_architecture,
    verify_bundle,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import default_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import Lock, dump_lock, load_lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._obtain import Wish, obtain_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    Components,
    Release,
    load_components,
    load_versions,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._resolve import Wanted, resolve_lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._serve import (
    DEFAULT_PORT,
    RegistryProcess,
    routed_address,
)

Arguments = Mapping[str, Any]


@contextlib.contextmanager
def local_errors() -> Iterator[None]:
    """Tell what the local file system refuses (a full disk, missing rights) as an ArtifactError."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{error.filename or 'The controller'}: {error.strerror or error}.") from error


def bundle_folder(task: Arguments, settings: Arguments) -> Path:
    """The bundle's folder: the task's, the inventory's, or the one in the cache folder."""
    given = str(task.get("path") or settings["artifacts_bundle_path"] or "")
    if given:
        return Path(given).expanduser()
    return default_bundle(release_of(settings).kubernetes)


def release_of(settings: Arguments) -> Release:
    """The release that the inventory asks for; the default where it names none.

    Raises:
        DataError: it is not a known one.
    """
    return load_versions().release(str(settings["cluster_kubernetes_version"] or ""))


def lock_task(task: Arguments, settings: Arguments, check: bool) -> dict[str, Any]:
    """Write the lock file (or, in check mode, tell how it would change).

    Raises:
        ArtifactError: something cannot be resolved.
    """
    with local_errors():
        path = Path(str(task.get("path") or settings["artifacts_lock"])).expanduser()
        text = dump_lock(wanted_lock(settings))
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text != before and not check:
            write_text(path, text)
    header = {"before_header": str(path), "after_header": str(path)}
    return {"changed": text != before, "path": str(path), "diff": {"before": before, "after": text, **header}}


def wanted_lock(settings: Arguments) -> Lock:
    """The lock that the inventory's versions and source come to.

    Raises:
        ArtifactError: upstream, the mirror or the bundle does not have everything.
    """
    components, release = load_components(), release_of(settings)
    extra = tuple(str(ref) for ref in settings["artifacts_extra_images"])
    source = str(settings["artifacts_source"])
    if source == "bundle":
        folder = bundle_folder({}, settings)
        lock = complete(folder)
        if lock is None:
            raise DataError(f"{folder} holds no complete bundle. Make it with weft.platform.bundle.")
        if lock.kubernetes != release.kubernetes:
            raise DataError(f"{folder} is for Kubernetes {lock.kubernetes}, not {release.kubernetes}. Make another.")
        return with_extra(lock, extra, components)
    mirror = settings["artifacts_mirror"] if source == "mirror" else {}
    return resolve_lock(Wanted(components, release, machine_architecture(), extra), Web(mirror), source)


def with_extra(lock: Lock, extra: tuple[str, ...], components: Components) -> Lock:
    """A bundle's lock without the images to try things with, but for those that are asked for.

    Raises:
        DataError: the bundle lacks one that is asked for.
    """
    optional = {image.name for item in components.by_name.values() if item.extra for image in item.images}
    missing = [ref for ref in extra if ref not in {image.ref for image in lock.images}]
    if missing:
        raise DataError(f"The bundle has no {', '.join(missing)}. Make it again with weft.platform.bundle.")
    return replace(lock, images=tuple(i for i in lock.images if i.name not in optional or i.ref in extra))


def bundle_task(task: Arguments, settings: Arguments, check: bool, stream: TextIO | None = None) -> dict[str, Any]:
    """Make the bundle, or find it complete; in check mode only look.

    Raises:
        ArtifactError: there is no way to it.
    """
    if task.get("kubernetes"):
        settings = {**settings, "cluster_kubernetes_version": task["kubernetes"]}
    path = bundle_folder(task, settings)
    if check:
        return {"changed": complete(path) is None, "path": str(path)}
    wish = Wish(
        kubernetes=release_of(settings).kubernetes,
        output=path,
        origin=str(task.get("origin") or "auto"),
        lock=Path(str(settings["artifacts_lock"])).expanduser(),
        extra_images=tuple(str(ref) for ref in settings["artifacts_extra_images"]),
        mirror=settings["artifacts_mirror"],
    )
    with local_errors():
        outcome = obtain_bundle(wish, stream)
        if task.get("verify"):
            verify_bundle(outcome.path)
    return {
        "changed": outcome.changed,
        "path": str(outcome.path),
        "lock": str(outcome.path / LOCK),
        "kubernetes": outcome.lock.kubernetes,
        "differs": differences(wish.lock, outcome.lock),
    }


def differences(path: Path | None, made: Lock) -> list[str]:
    """Names of what an existing lock file pins otherwise than the bundle has it."""
    if path is None or not path.is_file():
        return []
    pinned = load_lock(path)
    have = {**{b.name: b.digest for b in made.binaries}, **{i.ref: i.digest for i in made.images}}
    names = [b.name for b in pinned.binaries if have.get(b.name) != b.digest]
    return names + [i.ref for i in pinned.images if have.get(i.ref) != i.digest]


def registry_task(task: Arguments, settings: Arguments, target: str, check: bool) -> dict[str, Any]:
    """Start or stop the registry of the bundle, where the inventory wants one.

    Args:
        task: state, path, address, port.  settings: see above.
        target: a machine; the registry listens where this one can reach it.
        check: only say where it would listen.

    Raises:
        ArtifactError: it does not start or stop, or there is no bundle.
    """
    own = str(settings["artifacts_registry"] or "")
    if settings["artifacts_source"] != "bundle" or own:
        return {"changed": False, "address": own}
    host = str(task.get("address") or routed_address(target))
    process = RegistryProcess(host, int(task.get("port") or DEFAULT_PORT))
    wanted = str(task.get("state") or "started") == "started"
    with local_errors():
        if check:
            return {"changed": bool(process.pid()) != wanted, "address": process.address}
        if not wanted:
            return {"changed": process.stop(), "address": process.address}
        folder = bundle_folder(task, settings)
        served = process.start(folder)
    return {
        "changed": served.changed,
        "address": served.address,
        "path": str(folder),
        "pid": served.pid,
        "log": str(process.log),
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        # Not a secret: others may read it, as they may what Git checks out.
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Components built from source, each kept in the cache until its recipe changes; a killed build goes on next time."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _debian
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._gobuild import (
    GoBuilder,
    Toolchain,
    find_toolchain,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    Component,
    Components,
    Release,
    build_key,
)

_DONE = "done.json"


@dataclass(frozen=True)
class Built:
    """What a component's build gave: files by name, and what they were built from."""

    files: Mapping[str, Path]
    built_from: str


class Workshop:
    """Builds the components of one release, or takes them from the cache."""

    def __init__(self, components: Components, release: Release, arch: str, progress: Progress) -> None:
        self._components = components
        self._release = release
        self._arch = arch
        self._progress = progress
        self._toolchain: Toolchain | None = None

    def build(self, names: Sequence[str]) -> dict[str, Built]:
        """Build the named components in the order given.

        Raises:
            BuildFailed, MissingTool, DigestMismatch: as the component's way of building says.
        """
        todo = [self._components.by_name[name] for name in names]
        missing = [item for item in todo if item.seconds and self._finished(item) is None]
        self._prefetch([item for item in missing if item.go][1:])
        return {item.name: self._component(item) for item in todo if item.seconds}

    def missing(self, names: Sequence[str]) -> list[str]:
        """The components that are not in the cache yet."""
        todo = (self._components.by_name[name] for name in names)
        return [item.name for item in todo if item.seconds and self._finished(item) is None]

    def _component(self, component: Component) -> Built:
        kept = self._finished(component)
        version = self._version(component)
        self._progress.start(component.name, f"{version} …".strip())
        if kept:
            self._progress.finish(f"{version} was built before".strip(), measured=False)
            return kept
        folder = self._folder(component)
        # Only what is finished is kept; Go's own cache holds the pieces of a killed build.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files, built_from = self._make(component, folder)
        _record(folder, files, built_from)
        _forget_others(folder)
        self._progress.finish(f"{version} built".strip())
        return Built(files, built_from)

    def _make(self, component: Component, folder: Path) -> tuple[Mapping[str, Path], str]:
        if component.go:
            version = self._version(component)
            if self._toolchain is None:
                self._toolchain = find_toolchain(self._components.go, self._arch, self._progress.say)
            builder = GoBuilder(self._toolchain, self._arch)
            files = builder.build(component, version, folder / "bin", self._progress.update)
            shutil.rmtree(folder / "work", ignore_errors=True)
            return files, f"{component.go.module}@{version}"
        if component.debian:
            return _debian.extract_files(component.debian, folder / "bin")
        assert component.rootfs is not None
        archive, built_from = _debian.make_rootfs(component.rootfs, folder)
        return {"rootfs.tar": archive}, built_from

    def _prefetch(self, later: Sequence[Component]) -> None:
        """Download what later builds need while the first one compiles."""
        if not later:
            return
        self._toolchain = self._toolchain or find_toolchain(self._components.go, self._arch, self._progress.say)
        builder = GoBuilder(self._toolchain, self._arch)

        def run() -> None:
            for component in later:
                builder.prefetch(component, self._version(component))

        threading.Thread(target=run, daemon=True).start()

    def _version(self, component: Component) -> str:
        return self._release.built.get(component.name, "")

    def _folder(self, component: Component) -> Path:
        version = self._version(component)
        key = build_key(self._components, component.name, version, self._arch)
        return cache_root() / "build" / f"{component.name}-{version or 'debian'}-{key[:16]}"

    def _finished(self, component: Component) -> Built | None:
        folder = self._folder(component)
        try:
            data: dict[str, Any] = json.loads((folder / _DONE).read_text(encoding="utf-8"))
            files = {name: folder / item["path"] for name, item in data["files"].items()}
            whole = all(files[name].stat().st_size == item["size"] for name, item in data["files"].items())
        except (OSError, ValueError, KeyError):
            return None
        return Built(files, str(data["built_from"])) if whole else None


def _forget_others(folder: Path) -> None:
    """Remove what older recipes made of the same version: hundreds of megabytes that nothing will ask for."""
    head = folder.name.rpartition("-")[0]
    for other in folder.parent.glob(f"{head}-*"):
        if other != folder and other.name.rpartition("-")[0] == head:
            shutil.rmtree(other, ignore_errors=True)


def _record(folder: Path, files: Mapping[str, Path], built_from: str) -> None:
    data = {
        "built_from": built_from,
        "files": {
            name: {"path": str(path.relative_to(folder)), "size": path.stat().st_size} for name, path in files.items()
        },
    }
    partial = folder / f"{_DONE}.partial"
    partial.write_text(json.dumps(data, indent=1), encoding="utf-8")
    partial.replace(folder / _DONE)

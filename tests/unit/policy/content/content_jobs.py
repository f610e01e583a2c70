# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the tests of the content checks share: trees, objects with places, and jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Path, Subject
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    PROHIBIT,
    Context,
    Entry,
    GitError,
    Job,
    Limits,
    ObjectAt,
)


class Files:
    """A tree held in memory; a value that is a tuple ("link", target) is a symlink."""

    def __init__(self, files: Mapping[str, Any] | None = None) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in (files or {}).items()}

    def entry(self, path: str) -> Entry | None:
        if path in self.files:
            return Entry(path, self._mode(path), "0" * 40)
        under = path.rstrip("/") + "/" if path else ""
        inside = any(name.startswith(under) for name in self.files)
        return Entry(path, "040000", "0" * 40) if inside else None

    def walk(self, under: str = "") -> Iterable[Entry]:
        start = under.rstrip("/") + "/" if under else ""
        for path in sorted(self.files):
            if path.startswith(start):
                yield Entry(path, self._mode(path), "0" * 40)

    def read(self, path: str) -> bytes:
        found = self.files.get(path)
        if found is None:
            raise GitError(f"{path}: is not there")
        return found if isinstance(found, bytes) else str(found[1]).encode()

    def _mode(self, path: str) -> str:
        return "100644" if isinstance(self.files[path], bytes) else "120000"


def place(file: str, path: Path) -> Origin:
    """A place that tells the path asked for: the line is the number of steps."""
    return Origin(f"{file}#{'.'.join(map(str, path))}", len(path))


def object_at(obj: Mapping[str, Any], file: str = "app.yaml") -> ObjectAt:
    """An object with places that tests can look at."""
    meta = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
    name = "/".join(str(meta[key]) for key in ("namespace", "name") if meta and key in meta)
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    kind = f"{obj.get('kind')}.{group}" if group else str(obj.get("kind"))
    return ObjectAt(obj, Origin(file, 1), lambda path: place(file, path), Subject(kind, name, "apps"))


def objects(text: str, file: str = "app.yaml") -> list[ObjectAt]:
    """Every object of a YAML text."""
    return [object_at(one, file) for one in yaml.safe_load_all(text) if one is not None]


def job(
    name: str,
    params: Any,
    found: Sequence[ObjectAt] = (),
    *,
    files: Mapping[str, Any] | None = None,
    policy: Mapping[str, str] | None = None,
    everything: Sequence[ObjectAt] | None = None,
    version: str = "",
    severity: str = PROHIBIT,
    side: str = "head",
    seconds: float = 60.0,
) -> Job:
    """A job of one check: job("pss", "restricted", [object_at(...)], files={...}, policy={...})."""
    context = Context(
        rule="the rule",
        severity=severity,
        side=side,
        tree=Files(files),
        policy=Files(policy).read,
        objects=lambda: found if everything is None else everything,
        version=version,
        deadline=time.monotonic() + seconds,
        limits=Limits(),
    )
    return Job(name, params, found, context)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Where built things are kept between runs: the user's cache folder, never the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError


def cache_root() -> Path:
    """`weft.platform` in $XDG_CACHE_HOME, or in ~/.cache where that is not set (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "weft.platform"


def default_bundle(kubernetes: str) -> Path:
    """Where the bundle of a Kubernetes version ("v1.37.2") is unless another place is asked for."""
    return cache_root() / "bundles" / kubernetes


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file, so that one builder at a time works; `waiting` is told once if another holds it.

    The kernel drops the lock when its holder dies, so a killed build leaves none behind.

    Raises:
        ArtifactError: the lock file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error}. Set XDG_CACHE_HOME to a writable folder.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(f"Another build is at work (lock {path}); waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A bundle out of downloads: everything that a lock file names, in the same folder layout as a built one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import (
    Outcome,
    complete,
    finish,
    move_into_place,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root, locked
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._images import Registry
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    BINARIES,
    Binary,
    Image,
    Lock,
    dump_lock,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._resolve import downloads, extract_member
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store

_AT_ONCE = 4
#: Sizes of images are known only as they come; this stands in for one in the estimate, in bytes.
_IMAGE_BYTES = 30_000_000
#: Bytes a second that the first estimate assumes.
_RATE = 10_000_000
STEP = "download"
#: What the key of a downloaded bundle begins with.
COLLECTED = "lock:"


def collect_key(lock: Lock) -> str:
    """What tells one lock's bundle from another's."""
    return COLLECTED + hashlib.sha256(dump_lock(replace(lock, source="bundle")).encode()).hexdigest()


def collect_seconds(lock: Lock) -> float:
    """Estimate of a cold download in seconds."""
    return (sum(binary.size for binary in lock.binaries) + _IMAGE_BYTES * len(lock.images)) / _RATE


def collect_bundle(lock: Lock, web: Web, path: Path, progress: Progress) -> Outcome:
    """Download everything that `lock` names into a bundle in `path`, or find that it is there.

    What was verified stays when the work is cut short, and is not fetched again.

    Raises:
        DataError: the lock names something that has no address.
        FetchFailed, DigestMismatch: as said there.
    """
    key = collect_key(lock)
    homeless = [binary.name for binary in lock.binaries if not binary.url]
    if homeless:
        raise DataError(
            f"The lock file names no address for {', '.join(homeless)}: it was written for a bundle built from source. "
            "Build that bundle, or write the lock again with artifacts_source: upstream."
        )
    with locked(cache_root() / "build.lock", progress.say):
        found = complete(path, key)
        if found:
            return Outcome(path, found, changed=False)
        progress.start(STEP, "downloading")
        written = _collect(lock, web, path, key, progress)
        progress.finish(f"complete in {path}")
    return Outcome(path, written, changed=True)


def _collect(lock: Lock, web: Web, path: Path, key: str, progress: Progress) -> Lock:
    partial = path.with_name(f".{path.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    store, registry = Store(partial), Registry(web)
    told = _counter(collect_seconds(lock) * _RATE, progress)

    def binary(item: Binary) -> None:
        _fetch_binary(item, web, store, told)

    def image(item: Image) -> None:
        registry.copy(item, store, told)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tasks = [pool.submit(binary, item) for item in lock.binaries]
        tasks += [pool.submit(image, item) for item in lock.images]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    written = replace(lock, source="bundle")
    finish(partial, key, written)
    move_into_place(partial, path)
    return written


def _fetch_binary(binary: Binary, web: Web, store: Store, told: Callable[[int], None]) -> None:
    if store.size(binary.digest) < 0:
        if binary.member:
            archive = web.download(binary.url, downloads(), binary.archive_sha256)
            _put_member(binary, archive, store)
        else:
            with web.open(binary.url) as stream:
                store.put_stream(stream, binary.url, binary.sha256)
    store.link_layer(BINARIES, binary.digest)
    told(binary.size)


def _put_member(binary: Binary, archive: Path, store: Store) -> None:
    program = store.root / f".{binary.archive_sha256}-{binary.name}"
    try:
        extract_member(archive, binary.member, program)
        store.put_file(program, binary.sha256)
    finally:
        program.unlink(missing_ok=True)


def _counter(total: float, progress: Progress) -> Callable[[int], None]:
    guard, count = threading.Lock(), [0]

    def told(size: int) -> None:
        with guard:
            count[0] += size
            fraction = min(0.99, count[0] / total) if total else 0.0
            progress.update(f"{count[0] / 1e6:.0f} MB", fraction)

    return told

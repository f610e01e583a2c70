# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The host that carries the machines: running commands, cache folders, locks, and the kernel settings it lends them.

Standard library only: this runs before any Python environment exists.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: Kernel settings that every machine on the host shares (none is namespaced), with the least value that fifty
#: machines need (None: not raised). Kubelets and distributions change the others; all are put back by the last `down`.
HOST_SETTINGS: dict[str, int | None] = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
    "kernel/keys/maxkeys": 20000,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/pid_max": None,
    "net/netfilter/nf_conntrack_max": None,
    "vm/max_map_count": None,
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
}


class MachinesError(Exception):
    """Something the person at the keyboard must know: what is wrong, where, and what to do."""


def as_root(command: Sequence[str]) -> list[str]:
    """The command as root would run it: unchanged for root, through sudo for anyone else."""
    return list(command) if os.geteuid() == 0 else ["sudo", "--", *command]


def run(
    command: Sequence[str],
    *,
    stdin: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    root: bool = True,
) -> str:
    """Run a command and return what it printed.

    Args:
        command: program and arguments; no shell is involved.
        stdin: bytes to feed; None gives it no input at all.
        check: raise when it fails.
        timeout: seconds before it is stopped.
        root: run it as root (the default here: podman with systemd inside needs it).

    Raises:
        MachinesError: it is not installed, failed (with its last words), or took too long.
    """
    argv = as_root(command) if root else list(command)
    try:
        done = subprocess.run(argv, input=stdin or b"", capture_output=True, check=False, timeout=timeout)
    except FileNotFoundError as error:
        raise MachinesError(f"'{argv[0]}' is not installed. 'make quickstart' installs what is missing.") from error
    except subprocess.TimeoutExpired as error:
        raise MachinesError(f"'{' '.join(command)}' gave no answer within {timeout:.0f} s.") from error
    output = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        words = (done.stderr.decode(errors="replace").strip() or output.strip())[-2000:]
        raise MachinesError(f"'{' '.join(command)}' failed with exit code {done.returncode}:\n{words}")
    return output


def cache_dir() -> Path:
    """Where everything that may be thrown away and made again is kept: `$XDG_CACHE_HOME/weft.platform`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft.platform"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name, so that two runs do not make the same thing at once."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cgroup_v1() -> bool:
    """Whether this host still runs control groups version 1."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _read_setting(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def _write_setting(name: str, value: str) -> None:
    run(["tee", f"/proc/sys/{name}"], stdin=value.encode(), check=False)


def _remembered() -> Path:
    return cache_dir() / "machines" / "host-settings.json"


def lend_settings() -> None:
    """Raise the shared kernel settings where they are too low, remembering what was found the first time."""
    if not _remembered().exists():
        found = {name: value for name in HOST_SETTINGS if (value := _read_setting(name)) is not None}
        _remembered().parent.mkdir(parents=True, exist_ok=True)
        _remembered().write_text(json.dumps(found, indent=1))
    for name, least in HOST_SETTINGS.items():
        value = _read_setting(name)
        if least is not None and value is not None and int(value) < least:
            _write_setting(name, str(least))


def restore_settings() -> None:
    """Put back the kernel settings that were found before the first machine."""
    if not _remembered().exists():
        return
    for name, value in json.loads(_remembered().read_text()).items():
        if _read_setting(name) != value:
            _write_setting(name, value)
    _remembered().unlink()


def collections_path(checkout: Path) -> Path:
    """A folder in which this checkout is the collection `weft.platform`, for ANSIBLE_COLLECTIONS_PATH and PYTHONPATH.

    Python and Ansible find a collection only under the folders `ansible_collections/weft/platform`, whatever the
    checkout is called; a link in the cache folder gives it that name.
    """
    name = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
    folder = cache_dir() / "collections" / name
    link = folder / "ansible_collections" / "weft" / "platform"
    if not link.is_symlink() or link.readlink() != checkout:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(checkout)
    return folder

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""One run at a time on a machine: when the controller's end is killed, the machine's end still works for a while."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host, MachineError

#: Kept in memory; gone with the next boot, as is whoever held it.
LOCK = "/run/weft-node.lock"
#: How long another run is waited for, in seconds.
PATIENCE = 600.0


@contextmanager
def alone(host: Host, check: bool, patience: float = PATIENCE) -> Iterator[None]:
    """Wait until nobody else changes the machine; with `check` others may look at the same time.

    Raises:
        MachineError: another run did not end within `patience` seconds.
    """
    path = host.at(LOCK)
    if (check and not os.path.exists(path)) or not os.path.isdir(os.path.dirname(path)):
        yield  # nobody has changed anything since it booted, and looking leaves no trace
        return
    number = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + patience
        while not _taken(number, fcntl.LOCK_SH if check else fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise MachineError(
                    f"another run still changes this machine ({LOCK} is held); wait for it to end, or end it, "
                    "and run again"
                )
            time.sleep(0.2)
        yield
    finally:
        os.close(number)


def _taken(number: int, kind: int) -> bool:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False

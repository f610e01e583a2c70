# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Running a program on input that is not trusted: with limits on time, memory and output, and with no network.

No network means a network namespace of its own (util-linux' `unshare`) where the kernel lets this user make one.
Where it does not, the program still gets proxy settings that lead nowhere; that keeps out what honours them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError

#: A proxy that answers nobody: the discard port of this machine.
_NOWHERE = "http://127.0.0.1:9"


class ProcessError(PolicyError):
    """A program is missing, went over its limits, or could not be started."""


class Bounds(NamedTuple):
    """What a program may use.

    memory     bytes of address space
    file       bytes in any one file that it writes, what it prints included
    processes  further processes and threads of this user, 0 for no limit
    """

    memory: int = 4 * 1024**3
    file: int = 128 * 1024**2
    processes: int = 0


class Done(NamedTuple):
    """What a program said: exit code (negative: killed by that signal), standard output, standard error."""

    code: int
    output: bytes
    errors: bytes


def find(name: str, variable: str, hint: str) -> str:
    """Path of a program: what the environment variable says, else what is on the PATH.

    Raises:
        ProcessError: it is not there; `hint` says how to get it.
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found is None:
        raise ProcessError(f"{wanted} is not installed; {hint}, or say where it is in {variable}")
    return found


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """A new folder that only this user can enter; gone afterwards with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="weft-policy-") as folder:
        yield os.path.realpath(folder)


def run(
    command: Sequence[str],
    folder: str,
    deadline: float,
    bounds: Bounds | None = None,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a program in a folder, with nothing of this process' environment but the PATH, and wait for it.

    Args:
        command: the program's path and its arguments.
        folder: working directory, HOME and TMPDIR of the program.
        deadline: time.monotonic() at which it is killed, with all that it started.
        bounds: what it may use.
        environment: further variables.

    Raises:
        ProcessError: it could not be started, ran too long, or said too much.
    """
    name = os.path.basename(command[0])
    limits = bounds or Bounds()
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise ProcessError(f"{name}: no time is left to run it")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        code = _run(
            name, command, folder, seconds, limits, {**_environment(folder), **(environment or {})}, output, errors
        )
        return Done(code, _all(output, limits.file, name), _all(errors, limits.file, name))


def _run(
    name: str,
    command: Sequence[str],
    folder: str,
    seconds: float,
    limits: Bounds,
    environment: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes],
) -> int:
    try:
        process = subprocess.Popen(
            [*_alone(), *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            # limits must hold from the first instruction on, so they cannot be set from outside
            preexec_fn=functools.partial(_limit, limits, int(seconds) + 1),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProcessError(f"{name}: cannot be started: {error}") from error
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{name}: not finished after {seconds:.0f} s; it was stopped") from error
    finally:
        # what it started must not outlive it either
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _limit(limits: Bounds, seconds: int) -> None:
    cores = os.cpu_count() or 1
    wanted = [
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_CPU, seconds * cores),
        (resource.RLIMIT_CORE, 0),
    ]
    if limits.processes:
        wanted.append((resource.RLIMIT_NPROC, limits.processes))
    for what, bound in wanted:
        _soft, hard = resource.getrlimit(what)
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (bound, bound))


def _environment(folder: str) -> dict[str, str]:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE)
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), folder)
    return {**proxies, **places, "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def _all(file: IO[bytes], most: int, name: str) -> bytes:
    file.seek(0)
    content = file.read(most)
    # the limit on files stops the writing there, so a full file was cut off
    if len(content) == most:
        raise ProcessError(f"{name}: said more than {most} bytes")
    return content


@functools.lru_cache(maxsize=1)
def _alone() -> tuple[str, ...]:
    """What comes before a command to give it a network of its own, with nobody on it; () where that cannot be done."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    for options in (("--net",), ("--user", "--map-current-user", "--net"), ("--user", "--net")):
        tried = subprocess.run(
            [unshare, *options, "--", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if tried.returncode == 0:
            return (unshare, *options, "--")
    return ()


def has_own_network() -> bool:
    """Whether programs run here without a network; else they are only told of proxies that lead nowhere."""
    return bool(_alone())

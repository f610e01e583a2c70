# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Running kubeadm: its configuration and secrets pass through memory files, so that nothing is left on a disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError

#: Where binaries are installed, before what the machine's own path says.
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"

Document = Mapping[str, Any]

#: Lines of a failed command that an error repeats.
SHOWN_LINES = 15


@contextmanager
def memory_file(text: str) -> Iterator[int]:
    """A file in memory that only this process and those it starts can open, as a file descriptor."""
    number = os.memfd_create("weft", 0)
    try:
        os.write(number, text.encode())
        yield number
    finally:
        os.close(number)


def path_of(number: int) -> str:
    """The path by which a process that inherits the descriptor opens the file."""
    return f"/proc/self/fd/{number}"


def stream(documents: Sequence[Document]) -> str:
    """kubeadm's configuration documents as one text (JSON is YAML)."""
    return "\n---\n".join(json.dumps(document, sort_keys=True) for document in documents)


def find(documents: Sequence[Document], kind: str) -> Document:
    """The document of a kind.

    Raises:
        KubeadmError: there is none.
    """
    for document in documents:
        if document.get("kind") == kind:
            return document
    raise KubeadmError(f"the kubeadm configuration has no {kind}")


def at_version(documents: Sequence[Document], version: str) -> List[Dict[str, Any]]:
    """Copies of the documents for a cluster that runs `version`: versions move by the upgrade playbook only.

    Nothing is replaced when the version is "".
    """
    out: List[Dict[str, Any]] = [deepcopy(dict(document)) for document in documents]
    for document in out:
        if version and document.get("kind") == "ClusterConfiguration":
            document["kubernetesVersion"] = version
    return out


def kubeadm(
    arguments: Sequence[str],
    documents: Sequence[Document] = (),
    environment: Optional[Dict[str, str]] = None,
    timeout: float = 900,
) -> str:
    """Run kubeadm and return what it printed.

    Args:
        arguments: without the program's name.
        documents: configuration, given by --config.
        environment: more variables.
        timeout: seconds.

    Raises:
        KubeadmError: it is not installed, failed, or took too long.
    """
    with ExitStack() as stack:
        command: List[str] = ["kubeadm", *arguments]
        numbers: List[int] = []
        if documents:
            number = stack.enter_context(memory_file(stream(documents)))
            command.append(f"--config={path_of(number)}")
            numbers.append(number)
        return run(command, numbers, environment, timeout)


def run(
    command: Sequence[str],
    descriptors: Sequence[int] = (),
    environment: Optional[Dict[str, str]] = None,
    timeout: float = 60,
) -> str:
    """Run a program; its standard output.

    Raises:
        KubeadmError: it is not there, failed, or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            list(command),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": PATH, "LC_ALL": "C", **(environment or {})},
            pass_fds=tuple(descriptors),
            timeout=timeout,
        )
    except FileNotFoundError:
        raise KubeadmError(f"{command[0]} is not installed in {PATH}; prepare the machine first") from None
    except subprocess.TimeoutExpired:
        raise KubeadmError(f"{shown(command)} did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        raise KubeadmError(f"{shown(command)} failed ({done.returncode}):\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def shown(command: Sequence[str]) -> str:
    """A command for a message: its words, without options that could hold a secret."""
    return " ".join(word for word in command if not word.startswith("-"))


def tail(text: str, lines: int = SHOWN_LINES) -> str:
    """Where the reason stands in kubeadm's output: its lines of errors, else the last lines."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip().split("\n")
    errors = [line.strip() for line in plain if "[ERROR" in line or line.startswith("error:")]
    return "\n".join(errors or plain[-lines:])

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Names of commits (branches, tags, HEAD) become object ids. Only command lines and hooks need that."""

from __future__ import annotations

import os
import subprocess  # nosec: fixed command, no shell
from collections.abc import Mapping

from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import is_oid
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError


def resolve(repository: str, name: str, environment: Mapping[str, str] | None = None) -> str:
    """The full object id of the commit that a name stands for.

    Raises:
        GitError: there is no such commit, or the name is that of a branch and of a tag as well.
    """
    if is_oid(name):
        return name
    if name.startswith("-"):
        raise GitError(f"{name!r} is no name of a commit")
    kept = ("PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    variables = {key: value for key, value in (environment or os.environ).items() if key in kept}
    variables.setdefault("PATH", os.environ.get("PATH", os.defpath))
    variables |= {"LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    variables |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "HOME": "/"}
    settings = ("-c", "safe.directory=*", "-c", "core.warnAmbiguousRefs=true")
    command = ["git", *settings, "rev-parse", "--verify", "--end-of-options"]
    try:
        done = subprocess.run(  # nosec
            [*command, f"{name}^{{commit}}"],
            cwd=repository,
            env=variables,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run: {error}") from error
    if b"warning: refname " in done.stderr:
        # Git would take the tag, which others may be able to make than those who may push to the branch
        raise GitError(f"{name!r} is the name of several references; say which: refs/heads/{name}, refs/tags/{name}")
    found = done.stdout.decode("ascii", "replace").strip()
    if done.returncode or not is_oid(found):
        raise GitError(f"{repository}: there is no commit {name!r}; fetch it first")
    return found

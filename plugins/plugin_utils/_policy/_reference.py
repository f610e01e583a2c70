# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Names of commits (branches, tags, HEAD) become object ids. Only command lines and hooks need that."""

from __future__ import annotations

import os
import re
import subprocess  # nosec: fixed command, no shell
from collections.abc import Mapping

from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import is_oid
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError

#: Names that mean one reference, whatever others there are (gitrevisions(7)).
_WHOLE = re.compile(r"refs/|HEAD(?![^~^@:])")
#: How many references are named where none is near.
_SOME = 5


def resolve(repository: str, name: str, environment: Mapping[str, str] | None = None) -> str:
    """The full object id of the commit that a name stands for.

    Raises:
        GitError: there is no such commit, or the name is that of a branch and of a tag as well.
    """
    if is_oid(name):
        return name
    if name.startswith("-"):
        raise GitError(f"{name!r} is no name of a commit")
    done = _git(repository, environment, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    if b"warning: refname " in done.stderr and not _WHOLE.match(name):
        # Git would take the tag, which others may be able to make than those who may push to the branch
        raise GitError(f"{name!r} is the name of several references; say which: refs/heads/{name}, refs/tags/{name}")
    found = done.stdout.decode("ascii", "replace").strip()
    if done.returncode or not is_oid(found):
        where = "" if repository == "." else f"{repository}: "
        raise GitError(f"{where}{_missing(repository, name, environment)}")
    return found


def _missing(repository: str, name: str, environment: Mapping[str, str] | None) -> str:
    """Why there is no commit of a name, and how to go on."""
    import difflib  # only where something is wrong

    listed = _git(repository, environment, "for-each-ref", "--format=%(refname:short)", "--sort=-committerdate")
    if b"not a git repository" in listed.stderr:
        return "not a Git repository; name the repository's directory (--repository DIR)"
    names = listed.stdout.decode("utf-8", "replace").split()
    if not names:
        return f"there is no commit {name!r}, as nothing is committed yet; commit something, or fetch the branch"
    near = [one for one in names if one.endswith(f"/{name}")] or difflib.get_close_matches(name, names, 1)
    if near:
        return f"there is no commit {name!r}; do you mean {near[0]!r}?"
    some = ", ".join(names[:_SOME]) + (", ..." if len(names) > _SOME else "")
    return f"there is no commit {name!r}; fetch it, or name one that is there: {some}"


def _git(repository: str, environment: Mapping[str, str] | None, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Git's answer, with as little of the settings of anybody as there can be."""
    kept = ("PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    variables = {key: value for key, value in (environment or os.environ).items() if key in kept}
    variables.setdefault("PATH", os.environ.get("PATH", os.defpath))
    variables |= {"LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    variables |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "HOME": "/"}
    settings = ("-c", "safe.directory=*", "-c", "core.warnAmbiguousRefs=true")
    try:
        return subprocess.run(  # nosec
            ["git", *settings, *arguments],
            cwd=repository,
            env=variables,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        if error.filename == repository:
            raise GitError(f"{repository}: there is no such directory") from error
        raise GitError(f"git cannot be run: {error}; install it or mend PATH") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run in {repository}: {error}") from error

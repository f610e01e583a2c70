# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Teams from a file: {"teams": {"platform": ["alice", "bob"]}}, as YAML or JSON."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import IdentityError


class FileTeams:
    """Teams that are all known."""

    def __init__(self, teams: Mapping[str, Collection[str]]) -> None:
        self._teams = {name.lower(): tuple(logins) for name, logins in teams.items()}

    def members(self, team: str) -> Collection[str] | None:
        """Logins in a team, whose name is compared as forges do, without regard to case; None when there is none."""
        return self._teams.get(team.lower())

    def exists(self, login: str) -> bool | None:
        """True for who is in a team, compared without regard to case; of others a file tells nothing."""
        return True if login.lower() in {one.lower() for logins in self._teams.values() for one in logins} else None


def load(path: str | os.PathLike[str]) -> FileTeams:
    """The teams in a file.

    Raises:
        IdentityError: the file cannot be read, or is something else.
    """
    try:
        documents = _yaml.read_file(os.fspath(path))
    except OSError as error:
        raise IdentityError(f"{path}: teams cannot be read: {error.strerror}") from error
    except _yaml.YamlError as error:
        raise IdentityError(f"teams cannot be read: {error}") from error
    value = documents[0].value if documents else None
    teams = value.get("teams") if isinstance(value, dict) else None
    if not isinstance(teams, dict):
        raise IdentityError(f"{path}: is no mapping with teams; write teams: {{TEAM: [LOGIN, ...]}}")
    out: dict[str, list[str]] = {}
    for name, logins in teams.items():
        if not isinstance(logins, list) or not all(isinstance(login, str) for login in logins):
            raise IdentityError(f"{path}: team {name} is no list of logins")
        if str(name).lower() in (other.lower() for other in out):
            raise IdentityError(f"{path}: team {name} is there twice; forges do not tell capitals from small letters")
        out[str(name)] = logins
    return FileTeams(out)

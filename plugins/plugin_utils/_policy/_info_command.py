# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""`info`: who may change what; what may somebody change."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _info, _reference, _teams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Person, PolicyError, Teams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import told


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="weft-policy info", description="Who may change what, by the policy of a commit."
    )
    top.add_argument("--repository", default=".", metavar="DIR", help="the Git repository (.)")
    top.add_argument("--commit", default="HEAD", help="whose policy (HEAD)")
    top.add_argument("--path", help="who may change this file")
    top.add_argument("--kind", default="", help="an object in it, by its kind (Deployment, Index.example.org)")
    top.add_argument("--name", default="", help="and its name (namespace/name)")
    top.add_argument("--field", default="", help="a field of the object, or a variable")
    top.add_argument("--person", metavar="LOGIN", help="what this person may change")
    top.add_argument("--teams", default="", metavar="FILE", help="who is in which team")
    top.add_argument("--forge", default="", metavar="NAME", help="ask github, gitea or gitlab for teams and accounts")
    top.add_argument("--api", default="", metavar="URL", help="address of its API; the token is in WEFT_FORGE_TOKEN")
    top.add_argument("--project", default="", metavar="OWNER/NAME", help="the repository on the forge")
    top.add_argument("--json", action="store_true", help="answer as JSON")
    return top


def teams_of(file: str, forge: str, api: str, project: str) -> Teams | None:
    """Where teams and accounts are asked for; None where that is nowhere.

    Args:
        file: a file that says it, or "".
        forge: a forge that is asked, by name, or "".
        api: address of the forge's API.
        project: the repository on the forge.

    Raises:
        PolicyError: the file cannot be read, or the forge not be asked.
    """
    if file and forge:
        raise PolicyError("teams are told by a file or by a forge, not by both")
    if forge:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _forge

        return _forge.teams_of(forge, api, project, os.environ)
    if api or project:
        raise PolicyError("say which forge has the API and the project: github, gitea or gitlab")
    return _teams.load(file) if file else None


def answer(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for.

    Raises:
        PolicyError: it is no question, or there is no answer to it.
    """
    inside = [name for name in ("kind", "name", "field") if getattr(options, name)]
    if options.person and (options.path or inside):
        raise PolicyError("ask what a person may change, or who may change a path, not both at once")
    if inside and not options.path:
        raise PolicyError(f"{' and '.join(inside)}: say in which file that is, by its path")
    if options.name and not options.kind:
        raise PolicyError(f"name {options.name}: say of which kind that object is")
    commit = _reference.resolve(options.repository, options.commit)
    teams = teams_of(options.teams, options.forge, options.api, options.project)
    with Repository(options.repository, commit) as repository:
        tree = repository.tree(commit)
        if options.person:
            return {"may": _info.may(tree, Person(options.person), teams)}
        if options.path:
            return _info.who(tree, options.path, options.kind, options.name, options.field)
        return _info.report(tree, teams)


def main(arguments: Sequence[str]) -> int:
    """Answer; 0, or 2 when there is no answer."""
    options = parser().parse_args(arguments)
    try:
        found = answer(options)
    except PolicyError as error:
        sys.stderr.write(f"{told(error)}\n")
        return 2
    sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n" if options.json else _info.as_text(found))
    return 0

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the actions policy_check, policy_info and policy_test do; they say the same as the commands of their names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy import (
    _check,
    _format,
    _info,
    _info_command,
    _reference,
    _tests,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Person, PolicyError

Result = dict[str, Any]

#: Options of policy_check and their names on the command line of `check`.
_CHECK = {
    "repository": "repository",
    "base": "base",
    "head": "head",
    "target": "target",
    "author": "author",
    "author_teams": "team",
    "committers": "committer",
    "pushers": "pusher",
    "approvals": "approval",
    "request": "request",
    "teams": "teams",
    "log": "log",
    "now": "now",
}
_INFO = ("repository", "commit", "path", "kind", "name", "field", "person", "teams", "forge", "api", "project")
_TEST = ("repository", "commit", "run")


def _known(args: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments that are given.

    Raises:
        PolicyError: there is one that the action does not know.
    """
    unknown = sorted(set(args) - set(names))
    if unknown:
        raise PolicyError(f"there is no option {', '.join(unknown)}; there are {', '.join(names)}")
    return {name: value for name, value in args.items() if value is not None}


def check_task(args: Mapping[str, Any]) -> Result:
    """Judge a change; the result fails when it is prohibited, unless `fail` is false.

    Raises:
        PolicyError: the arguments describe no change, or the verdict cannot be recorded or written.
    """
    given = _known(args, (*_CHECK, "output", "fail"))
    options = _check.parser().parse_args([])
    for name, attribute in _CHECK.items():
        if name in given:
            setattr(options, attribute, given[name])
    verdict = _check.verdict_of(options)
    for form, path in dict(given.get("output", {})).items():
        try:
            with open(str(path), "w", encoding="utf-8") as file:
                file.write(_format.show(verdict, str(form)))
        except OSError as error:
            raise PolicyError(f"{path}: cannot be written: {error.strerror}") from error
    result = {"changed": False, "permitted": verdict.permitted, "verdict": verdict.to_json()}
    words = _format.show(verdict, "text")
    failed = not verdict.permitted and bool(given.get("fail", True))
    return {**result, "msg": words, "failed": True} if failed else {**result, "msg": words}


def info_task(args: Mapping[str, Any]) -> Result:
    """Who may change what, or what somebody may change.

    Raises:
        PolicyError: the repository, its policy or the teams cannot be read, or the forge not be asked.
    """
    given = _known(args, _INFO)
    where = str(given.get("repository", "."))
    teams = _info_command.teams_of(*(str(given.get(name, "")) for name in ("teams", "forge", "api", "project")))
    commit = _reference.resolve(where, str(given.get("commit", "HEAD")))
    with Repository(where, commit) as repository:
        tree = repository.tree(commit)
        if given.get("person"):
            found: Result = {"may": _info.may(tree, Person(str(given["person"])), teams)}
        elif given.get("path"):
            rest = (str(given.get(name, "")) for name in ("kind", "name", "field"))
            found = _info.who(tree, str(given["path"]), *rest)
        else:
            found = dict(_info.report(tree, teams))
    return {"changed": False, "info": found}


def test_task(args: Mapping[str, Any]) -> Result:
    """Run the policy's own tests; the result fails when one does.

    Raises:
        PolicyError: the repository, its policy or its tests cannot be read.
    """
    given = _known(args, _TEST)
    where = str(given.get("repository", "."))
    commit = _reference.resolve(where, str(given.get("commit", "HEAD")))
    with Repository(where, commit) as repository:
        outcomes = _tests.run_all(repository.tree(commit), datetime.now(UTC), given.get("run", ()))
    wrong = [f"{one.name}: {one.why}" for one in outcomes if not one.passed]
    result = {"changed": False, "tests": [one._asdict() for one in outcomes]}
    if wrong:
        return {**result, "failed": True, "msg": f"{len(wrong)} of {len(outcomes)} tests failed: {'; '.join(wrong)}"}
    return {**result, "msg": f"{len(outcomes)} tests passed"}

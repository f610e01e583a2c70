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
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import many, visible

Result = dict[str, Any]

#: Options of policy_check that are named otherwise on the command line of `check`, where each is said once for a value.
_SINGULAR = {"author_teams": "team", "committers": "committer", "pushers": "pusher", "approvals": "approval"}
#: Those that it does not have.
_OF_THE_TASK = frozenset(["output", "fail"])
_TEXT, _PATH, _TEXTS = {"type": "str"}, {"type": "path"}, {"type": "list", "elements": "str"}
_REPOSITORY = {"type": "path", "default": "."}
_COMMIT = {"type": "str", "default": "HEAD"}

#: The options of each action, as its module's documentation has them.
CHECK: Mapping[str, Mapping[str, Any]] = {
    "repository": _REPOSITORY,
    "base": {"type": "str", "default": "main"},
    "head": _COMMIT,
    "target": _TEXT,
    "author": _TEXT,
    "author_teams": _TEXTS,
    "committers": _TEXTS,
    "pushers": _TEXTS,
    "approvals": _TEXTS,
    "request": _PATH,
    "teams": _PATH,
    "log": _PATH,
    "now": _TEXT,
    "output": {"type": "dict"},
    "fail": {"type": "bool", "default": True},
}
INFO: Mapping[str, Mapping[str, Any]] = {
    "repository": _REPOSITORY,
    "commit": _COMMIT,
    **dict.fromkeys(("path", "kind", "name", "field", "person"), _TEXT),
    "teams": _PATH,
    **dict.fromkeys(("forge", "api", "project"), _TEXT),
}
TEST: Mapping[str, Mapping[str, Any]] = {"repository": _REPOSITORY, "commit": _COMMIT, "run": _TEXTS}


def check_task(args: Mapping[str, Any]) -> Result:
    """Judge a change; the result fails when it is prohibited, unless `fail` is false.

    Args:
        args: the options that are given, of their types; what is None is not given.

    Raises:
        PolicyError: the arguments describe no change, or the verdict cannot be recorded or written.
    """
    options = _check.parser().parse_args([])
    for name in CHECK.keys() - _OF_THE_TASK:
        if args.get(name) is not None:
            setattr(options, _SINGULAR.get(name, name), args[name])
    output: Mapping[str, str] = args.get("output") or {}
    for form in output:
        _format.maker(form)  # a word that is wrong is told before a verdict is recorded
    verdict = _check.verdict_of(options)
    for form, path in output.items():
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(_format.show(verdict, form))
        except OSError as error:
            raise PolicyError(f"{path}: cannot be written: {error.strerror}") from error
    result = {"changed": False, "permitted": verdict.permitted, "verdict": verdict.to_json()}
    words = _format.show(verdict, "text")
    failed = not verdict.permitted and args.get("fail", True)
    return {**result, "msg": words, "failed": True} if failed else {**result, "msg": words}


def info_task(args: Mapping[str, Any]) -> Result:
    """Who may change what, or what somebody may change.

    Args:
        args: the options that are given, of their types; what is None is not given.

    Raises:
        PolicyError: the repository, its policy or the teams cannot be read, or the forge not be asked.
    """
    options = _info_command.parser().parse_args([])
    for name in INFO:
        if args.get(name) is not None:
            setattr(options, name, args[name])
    found = _info_command.answer(options)
    return {"changed": False, "info": found, "msg": _info.as_text(found)}


def test_task(args: Mapping[str, Any]) -> Result:
    """Run the policy's own tests; the result fails when one does.

    Args:
        args: the options that are given, of their types; what is None is not given.

    Raises:
        PolicyError: the repository, its policy or its tests cannot be read.
    """
    where = args.get("repository") or "."
    commit = _reference.resolve(where, args.get("commit") or "HEAD")
    with Repository(where, commit) as repository:
        outcomes = _tests.run_all(repository.tree(commit), datetime.now(UTC), args.get("run") or ())
    wrong = [f"{one.name}: {one.why}" for one in outcomes if not one.passed]
    result = {"changed": False, "tests": [one._asdict() for one in outcomes]}
    tests = many(len(outcomes), "test")
    if wrong:
        return {**result, "failed": True, "msg": visible(f"{len(wrong)} of {tests} failed: {'; '.join(wrong)}")}
    return {**result, "msg": f"{tests} passed"}

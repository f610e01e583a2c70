# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""`test`: the policy's own tests, policy/tests/*.yml, run offline against the rules of a commit.

A test: {name, change: {file, object or variable, before, after}, by: LOGIN, teams: {TEAM: [LOGIN]}, approvals: [LOGIN],
expect: permitted or prohibited}.  `object` is true when before and after are Kubernetes objects; a value that is left
out is absent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Subject, Value, diff
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _load, _reference
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    OBJECT,
    VARIABLE,
    Effect,
    Reached,
    path_effect,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files, Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    Person,
    PolicyError,
    Request,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import labels_of, subject_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Members, crowd
from ansible_collections.weft.platform.plugins.plugin_utils._policy._permit import Permit
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy
from ansible_collections.weft.platform.plugins.plugin_utils._policy._teams import FileTeams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import visible

_HEAD = "0" * 40
_KEYS = {"name", "change", "by", "teams", "approvals", "expect"}
_CHANGE = {"file", "object", "variable", "group", "host", "before", "after"}


class Outcome(NamedTuple):
    """What came of one test; `why` says what stood in the way."""

    name: str
    passed: bool
    why: str


def run(policy: Policy, test: Mapping[str, Value], now: datetime) -> Outcome:
    """Run one test.

    Raises:
        PolicyError: it is no test.
    """
    change = test.get("change")
    well = set(test) <= _KEYS and isinstance(change, dict) and set(change) <= _CHANGE and "file" in change
    if not well or test.get("expect") not in ("permitted", "prohibited") or not isinstance(test.get("by"), str):
        raise PolicyError(
            f"test {test.get('name')!r}: wants name, change (with file), by, and expect: permitted|prohibited"
        )
    assert isinstance(change, dict)  # just looked at
    approvals = tuple(Approval(Person(str(login)), _HEAD) for login in test.get("approvals", ()))
    request = Request(_HEAD, _HEAD, "", Person(str(test["by"])), approvals=approvals)
    people = crowd(request, (), policy, None)
    teams = FileTeams(test.get("teams") or {})
    permit = Permit(policy, Members(policy, teams), people, now, policy.settings.layout)
    said = [one.message for one in permit.judge([_effect(policy, change)]).findings if one.prohibits]
    verdict = "prohibited" if said else "permitted"
    return Outcome(str(test.get("name")), verdict == test["expect"], "; ".join(said) or "nothing stands in the way")


def _effect(policy: Policy, change: Mapping[str, Value]) -> Effect:
    file = str(change["file"])
    before, after = change.get("before", ABSENT), change.get("after", ABSENT)
    environment = policy.settings.layout.environment(file)
    if "variable" in change:
        subject = Subject("variable", str(change["variable"]))
        reached = (Reached(str(change.get("host", "")), frozenset({"all", str(change.get("group", "all"))})),)
        changes = tuple(diff(subject, before, after, origin=Origin(file)))
        return Effect(VARIABLE, subject, before, after, changes, (file,), "", environment, reached=reached)
    if change.get("object"):
        subject = subject_of(before if after is ABSENT else after)
        labels = tuple({labels_of(side): None for side in (before, after) if side is not ABSENT})
        changes = tuple(diff(subject, before, after, origin=Origin(file)))
        return Effect(OBJECT, subject, before, after, changes, (file,), "", environment, labels=labels)
    return path_effect(file, before, after, environment)


def run_all(tree: Files, now: datetime) -> list[Outcome]:
    """Run every test in policy/tests/.

    Raises:
        PolicyError: the policy is broken, or a file holds no tests.
    """
    policy = _load.load(tree)
    out = []
    for entry in sorted(tree.walk(_load.TESTS.rstrip("/"))):
        try:
            documents = _yaml.read(tree.read(entry.path), entry.path)
        except _yaml.YamlError as error:
            raise PolicyError(str(error)) from error
        value: Any = documents[0].value if documents else None
        tests = value.get("tests") if isinstance(value, dict) else None
        if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
            raise PolicyError(f"{entry.path}: is no mapping with a list of tests")
        out += [run(policy, test, now) for test in tests]
    return out


def main(arguments: Sequence[str]) -> int:
    """0 when all pass, 1 when some do not, 2 when they cannot be run."""
    top = argparse.ArgumentParser(prog="test", description="Run policy/tests/*.yml against the policy of a commit.")
    top.add_argument("--repository", default=".", metavar="DIR", help="the Git repository (.)")
    top.add_argument("--commit", default="HEAD", help="whose policy (HEAD)")
    options = top.parse_args(arguments)
    try:
        commit = _reference.resolve(options.repository, options.commit)
        with Repository(options.repository, commit) as repository:
            outcomes = run_all(repository.tree(commit), datetime.now(UTC))
    except PolicyError as error:
        sys.stderr.write(f"{visible(str(error))}\n")
        return 2
    for one in outcomes:
        mark = "ok    " if one.passed else "FAILED"
        sys.stdout.write(f"{mark} {visible(one.name)}" + ("" if one.passed else f": {visible(one.why)}") + "\n")
    failed = sum(not one.passed for one in outcomes)
    sys.stdout.write(f"{len(outcomes)} tests, {failed} failed\n")
    return 1 if failed else 0

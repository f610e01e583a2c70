# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""`test`: the policy's own tests, policy/tests/*.yml, run offline against the rules of a commit.

A test asks one of two questions:

- whether somebody is permitted one change: {file, object or variable, before, after}.  `object` is true when before and
  after are Kubernetes objects; a value that is left out is absent.
- what the whole verdict on files is: {files: {PATH: CONTENT}}, laid over the tested commit and what `given` lays over
  it.  A content is text, an object, a list of objects, or null for a file that goes.  `findings` are patterns of what
  must be said; whatever else prohibits fails the test.

What is prohibited only by a mistake in the test itself is not as expected, nor is a change that is none permitted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from xml.etree import ElementTree

from ansible_collections.weft.platform.plugins.module_utils._change import (
    ABSENT,
    Origin,
    Subject,
    Value,
    diff,
    same,
)
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _judge, _load, _reference
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    OBJECT,
    VARIABLE,
    Effect,
    Reached,
    path_effect,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import GitTree, OverlaidTree, Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import Glob, PatternError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    INVALID,
    POLICY,
    Approval,
    Entry,
    Finding,
    IdentityError,
    Person,
    PolicyError,
    Request,
    Teams,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import labels_of, subject_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Members, crowd
from ansible_collections.weft.platform.plugins.plugin_utils._policy._permit import Permit
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy
from ansible_collections.weft.platform.plugins.plugin_utils._policy._teams import FileTeams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import as_json, many, told, visible

_HEAD, _OLDER = "0" * 40, "1" * 40
_KEYS = {"name", "change", "by", "committers", "pushers", "teams", "approvals", "now", "expect"}
_CHANGE = {"file", "object", "variable", "group", "host", "before", "after"}
_FILES_KEYS = _KEYS | {"given", "findings"}
_FINDING = ("rule", "severity", "message", "file")


class Outcome(NamedTuple):
    """What came of one test, which stands in `file`; `why` says what stood in the way."""

    name: str
    passed: bool
    why: str
    file: str = ""


def run(policy: Policy, tree: GitTree, test: Mapping[str, Value], now: datetime) -> Outcome:
    """Run one test.

    Args:
        policy: the rules in force.
        tree: the files of the commit that is tested.
        test: the test as written.
        now: exceptions are looked at with this time, where the test names none.

    Raises:
        PolicyError: it is no test.
    """
    change = test.get("change")
    whole = isinstance(change, dict) and "files" in change
    well = isinstance(change, dict) and (
        set(change) == {"files"} if whole else "file" in change and set(change) <= _CHANGE
    )
    well = well and set(test) <= (_FILES_KEYS if whole else _KEYS) and isinstance(test.get("by"), str)
    if not well or test.get("expect") not in ("permitted", "prohibited"):
        raise PolicyError(
            f"test {test.get('name')!r}: wants name, change (with file, or files), by, and expect: permitted|prohibited"
        )
    _logins(test)
    request, teams, now = _request(test), _teams_of(test), _now(test, now)
    if whole:
        findings = _judged_files(tree, test, request, teams, now)
    else:
        findings = _judged_change(policy, tree, test, request, teams, now)
    wrong = _wrong(test, findings)
    return Outcome(str(test.get("name")), not wrong, "; ".join(wrong) or "it is as expected")


def _logins(test: Mapping[str, Value]) -> None:
    """Who is named must be named by login: a role or a team is nobody, and nobody may do anything."""
    named = [test["by"], *_list(test, "committers", test.get("committers", []))]
    named += _list(test, "pushers", test.get("pushers", []))
    named += [
        one.get("login") if isinstance(one, dict) else one
        for one in _list(test, "approvals", test.get("approvals", []))
    ]
    teams = test.get("teams")
    for logins in teams.values() if isinstance(teams, dict) else ():
        named += logins if isinstance(logins, list) else []
    for one in named:
        problem = "" if not isinstance(one, str) else _load.login_problem(one)
        if isinstance(one, str) and ":" in one:
            problem = f"{one!r} is no login; write the login alone, and who is in which team in teams"
        if problem:
            raise PolicyError(f"test {test.get('name')!r}: {problem}")


def _request(test: Mapping[str, Value]) -> Request:
    """Who a test says is behind the change, and who approved it."""
    committers, pushers = (_people(test, key) for key in ("committers", "pushers"))
    approvals = tuple(_approval(test, one) for one in _list(test, "approvals", test.get("approvals", [])))
    return Request(_HEAD, _HEAD, "", Person(test["by"]), committers=committers, pushers=pushers, approvals=approvals)


def _people(test: Mapping[str, Value], key: str) -> tuple[Person, ...]:
    logins = _list(test, key, test.get(key, []))
    if not all(isinstance(login, str) for login in logins):
        raise PolicyError(f"test {test.get('name')!r}: {key} are logins")
    return tuple(map(Person, logins))


def _approval(test: Mapping[str, Value], value: Value) -> Approval:
    """A login, or {login, stale}: stale is an approval of an older head."""
    parts = {"login": value} if isinstance(value, str) else value
    known = isinstance(parts, dict) and set(parts) <= {"login", "stale"} and isinstance(parts.get("login"), str)
    if not known or not isinstance(parts.get("stale", False), bool):
        raise PolicyError(f"test {test.get('name')!r}: an approval is a login, or {{login: LOGIN, stale: true}}")
    return Approval(Person(parts["login"]), _OLDER if parts.get("stale") else _HEAD)


class _TestTeams(FileTeams):
    """The teams of a test: one of which it says nothing is told apart from one that a forge does not have."""

    def members(self, team: str) -> Collection[str]:
        """Logins in a team.

        Raises:
            IdentityError: the test does not say.
        """
        found = super().members(team)
        if found is None:
            raise IdentityError(f"the test does not say who is in team {team}; add it to its teams")
        return found


def _teams_of(test: Mapping[str, Value]) -> FileTeams:
    teams = test.get("teams") or {}
    well = isinstance(teams, dict) and all(isinstance(logins, list) for logins in teams.values())
    if not well or not all(isinstance(login, str) for logins in teams.values() for login in logins):
        raise PolicyError(f"test {test.get('name')!r}: teams are mappings of names to lists of logins")
    return _TestTeams({str(name): logins for name, logins in teams.items()})


def _now(test: Mapping[str, Value], otherwise: datetime) -> datetime:
    if "now" not in test:
        return otherwise
    found = _load.moment(test["now"])
    if found is None:
        raise PolicyError(f"test {test.get('name')!r}: now is a date (2026-12-31) or a time (2026-12-31T12:00:00Z)")
    return found


def _wrong(test: Mapping[str, Value], findings: Sequence[Finding]) -> list[str]:
    """What is not as a test expects it."""
    blocking = [one for one in findings if one.prohibits]
    verdict = "prohibited" if blocking else "permitted"
    out = []
    if verdict != test["expect"]:
        out.append("; ".join(one.message for one in blocking) or "nothing stands in the way")
    if "findings" not in test:
        return out or _mistaken(blocking)
    wanted = [_pattern(test, one) for one in _list(test, "findings", test["findings"])]
    for pattern, one in zip(wanted, test["findings"]):
        if not any(pattern(finding) for finding in findings):
            out.append(f"nothing says {', '.join(f'{key}: {value}' for key, value in one.items())}")
    besides = [one for one in blocking if not any(pattern(one) for pattern in wanted)]
    return out + [f"not expected: {one.rule}: {one.message}" for one in besides]


def _mistaken(blocking: Sequence[Finding]) -> list[str]:
    """What prohibits for a reason that no test means unless it says so: what cannot be told, or read at all."""
    unread = [one for one in blocking if one.rule in ("yaml", "policy") and one.kind in (INVALID, POLICY)]
    out = []
    for one in (*(error for error in blocking if error.kind == ERROR), *unread):
        file = f"{one.origin}: " if one.origin is not None else ""
        out.append(f"prohibited, but not for what it asks (or name it in findings): {file}{one.message}")
    return out


def _list(test: Mapping[str, Value], key: str, value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise PolicyError(f"test {test.get('name')!r}: {key} is no list")
    return value


def _pattern(test: Mapping[str, Value], wanted: Value) -> Callable[[Finding], bool]:
    """Tells the findings that a test means."""
    well = isinstance(wanted, dict) and wanted and set(wanted) <= set(_FINDING)
    if not well or not all(isinstance(text, str) for text in wanted.values()):
        raise PolicyError(f"test {test.get('name')!r}: a finding has patterns of {', '.join(_FINDING)}")
    try:
        globs = {key: Glob(text) for key, text in wanted.items()}
    except PatternError as error:
        raise PolicyError(f"test {test.get('name')!r}: {error}") from error

    def fits(finding: Finding) -> bool:
        file = finding.origin.file if finding.origin is not None else ""
        texts = zip(_FINDING, (finding.rule, finding.severity, finding.message, file))
        return all(globs[key].matches(text) for key, text in texts if key in globs)

    return fits


def _judged_files(
    tree: GitTree, test: Mapping[str, Value], request: Request, teams: Teams, now: datetime
) -> Sequence[Finding]:
    given, changed = (_files(test, value) for value in (test.get("given", {}), test["change"]["files"]))
    before, after = _laid(tree, given), _laid(tree, {**given, **changed})
    was = {path: None if before.entry(path) is None else before.read(path) for path in changed}
    gone = next((path for path, content in changed.items() if content is None and was[path] is None), None)
    if gone is not None or was == changed:
        problem = "its files change nothing" if gone is None else f"there is no file {gone} that could go"
        raise PolicyError(f"test {test.get('name')!r}: {problem}")
    return _judge.judge_files(request, tree.repository, before, after, now=now, teams=teams).findings


def _files(test: Mapping[str, Value], value: Value) -> dict[str, bytes | None]:
    name = f"test {test.get('name')!r}"
    if not isinstance(value, dict):
        raise PolicyError(f"{name}: files and given are mappings of paths to contents")
    for path in value:
        if not isinstance(path, str) or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise PolicyError(f"{name}: {path!r} is no path from the top of the repository")
    try:
        return {path: _data(content) for path, content in value.items()}
    except TypeError as error:
        raise PolicyError(f"{name}: a content is text, an object, a list of objects, or null: {error}") from error


def _data(content: Value) -> bytes | None:
    """A file's bytes: text as it is, objects as documents of YAML (which JSON is)."""
    if content is None or isinstance(content, str):
        return None if content is None else content.encode("utf-8")
    if not isinstance(content, (dict, list)):
        raise TypeError(f"not {content!r}")
    documents = content if isinstance(content, list) else [content]
    return "\n---\n".join(json.dumps(one, indent=1) for one in documents).encode("ascii")


def _laid(tree: GitTree, files: Mapping[str, bytes | None]) -> OverlaidTree:
    chosen: dict[str, Entry | None] = dict.fromkeys(files)
    contents = {}
    for path, data in files.items():
        if data is not None:
            oid = f"test-{sha256(data).hexdigest()}"
            chosen[path], contents[oid] = Entry(path, "100644", oid), data
    return OverlaidTree(tree, chosen, contents)


def _judged_change(
    policy: Policy, tree: GitTree, test: Mapping[str, Value], request: Request, teams: Teams, now: datetime
) -> Sequence[Finding]:
    people, owners = crowd(request, (), policy, None), _judge.owners_of(policy, tree)
    problem = _no_change(policy, test["change"])
    if problem:
        raise PolicyError(f"test {test.get('name')!r}: {problem}")
    permit = Permit(policy, Members(policy, teams), people, now, policy.settings.layout, owners)
    return permit.judge([_effect(policy, test["change"])]).findings


def _no_change(policy: Policy, change: Mapping[str, Value]) -> str:
    """What makes a single change none that could ever be judged, "" when nothing does."""
    file, inventories = change["file"], f"{policy.settings.layout.inventories}/"
    sides = [change[side] for side in ("before", "after") if side in change]
    if not isinstance(file, str) or not {"", ".", ".."}.isdisjoint(file.split("/")):
        return f"{file!r} is no path from the top of the repository"
    if "variable" in change and "object" in change:
        return "a change is of an object or of a variable"
    if "variable" not in change and {"group", "host"} & set(change):
        return "group and host are those of a variable; say which"
    if "variable" in change and not file.startswith(inventories):
        return f"{file} is not in {inventories}, where variables are"
    if change.get("object"):
        if not sides or not all(map(_is_object, sides)):
            return "before and after of an object are objects, with apiVersion, kind and metadata.name"
        if len({(subject_of(side).type, subject_of(side).name) for side in sides}) > 1:
            return "before and after are two objects; a change is of one"
    if ("variable" in change or sides) and same(change.get("before", ABSENT), change.get("after", ABSENT)):
        return "before and after are the same"
    return ""


def _is_object(value: Value) -> bool:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    named = isinstance(metadata, dict) and {"name", "generateName"} & set(metadata)
    return bool(named) and all(isinstance(value.get(key), str) for key in ("apiVersion", "kind"))


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


def run_all(tree: GitTree, now: datetime, names: Sequence[str] = ()) -> list[Outcome]:
    """Run the tests in policy/tests/.

    Args:
        tree: the files of the commit that is tested.
        now: exceptions are looked at with this time, where a test names none.
        names: only tests of these names, patterns with * among them; () is all.

    Raises:
        PolicyError: the policy is broken, a file holds no tests, or there is no test of a name.
    """
    policy = _load.load(tree)
    found = [(entry.path, test) for entry in sorted(tree.walk(_load.TESTS.rstrip("/"))) for test in _read(tree, entry)]
    for name in names:
        if not any(_is_called(test, [name]) for _file, test in found):
            raise PolicyError(f"there is no test {name!r} in {_load.TESTS}")
    chosen = [(file, test) for file, test in found if not names or _is_called(test, names)]
    return [run(policy, tree, test, now)._replace(file=file) for file, test in chosen]


def _is_called(test: Mapping[str, Value], names: Sequence[str]) -> bool:
    try:
        return any(name == test.get("name") or Glob(name).matches(str(test.get("name"))) for name in names)
    except PatternError as error:
        raise PolicyError(str(error)) from error


def _read(tree: GitTree, entry: Entry) -> list[Mapping[str, Value]]:
    try:
        documents = _yaml.read(tree.read(entry.path), entry.path)
    except _yaml.YamlError as error:
        raise PolicyError(str(error)) from error
    value: Any = documents[0].value if documents else None
    tests = value.get("tests") if isinstance(value, dict) else None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise PolicyError(f"{entry.path}: is no mapping with a list of tests")
    return tests


# -- the command ------------------------------------------------------------------------------------------------------


def _as_text(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for one in outcomes:
        mark = "ok    " if one.passed else "FAILED"
        lines.append(f"{mark} {visible(one.name)}" + ("" if one.passed else f": {visible(one.why)}"))
    lines.append(f"{many(len(outcomes), 'test')}, {_failed(outcomes)} failed")
    return "\n".join(lines) + "\n"


def _as_json(outcomes: Sequence[Outcome]) -> str:
    return as_json({"failed": _failed(outcomes), "tests": [one._asdict() for one in outcomes]}, indent=2) + "\n"


def _as_junit(outcomes: Sequence[Outcome]) -> str:
    top = ElementTree.Element("testsuites")
    numbers = {"name": "policy tests", "tests": str(len(outcomes)), "failures": str(_failed(outcomes))}
    suite = ElementTree.SubElement(top, "testsuite", numbers)
    for one in outcomes:
        names = {"classname": _for_xml(one.file), "name": _for_xml(one.name), "file": _for_xml(one.file)}
        case = ElementTree.SubElement(suite, "testcase", names)
        if not one.passed:
            ElementTree.SubElement(case, "failure", {"message": _for_xml(one.why)})
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _for_xml(text: str) -> str:
    """The text without what XML 1.0 forbids."""
    return visible(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


#: The forms that outcomes can take, by name.
FORMS: Mapping[str, Callable[[Sequence[Outcome]], str]] = {"text": _as_text, "json": _as_json, "junit": _as_junit}


def _failed(outcomes: Sequence[Outcome]) -> int:
    return sum(not one.passed for one in outcomes)


def main(arguments: Sequence[str]) -> int:
    """0 when all pass, 1 when some do not, 2 when they cannot be run."""
    top = argparse.ArgumentParser(
        prog="weft-policy test", description="Run policy/tests/*.yml against the policy of a commit."
    )
    top.add_argument("--repository", default=".", metavar="DIR", help="the Git repository (.)")
    top.add_argument("--commit", default="HEAD", help="whose policy (HEAD)")
    top.add_argument(
        "--run", action="append", default=[], metavar="NAME", help="only tests of this name; * is any text"
    )
    top.add_argument("--format", default="text", choices=sorted(FORMS), help="text, json or junit")
    options = top.parse_args(arguments)
    try:
        commit = _reference.resolve(options.repository, options.commit)
        with Repository(options.repository, commit) as repository:
            outcomes = run_all(repository.tree(commit), datetime.now(UTC), options.run)
    except PolicyError as error:
        sys.stderr.write(f"{told(error)}\n")
        return 2
    sys.stdout.write(FORMS[options.format](outcomes))
    return 1 if _failed(outcomes) else 0

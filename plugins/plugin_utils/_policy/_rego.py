# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Content rules in Rego, with the conventions of conftest; and the door to Gatekeeper's, which share its opa.

A rule says `rego: policy/rego/images.rego`, a list of files, or

    rego:
      files: [policy/rego/images.rego, policy/rego/lib.rego]
      packages: [main]             # where nothing is said: every package of the files
      data: [policy/rego/allowed.yaml]
      version: v0                  # of the language; v1 where nothing is said
      builtin_errors: ignore       # deny where nothing is said

`input` is the object, or the document where a rule requires something of documents: then `data.conftest.file` has the
`name` of its file and the `dir` that it is in, from the top of the repository.  Asked are the rules whose names begin
with deny, violation or warn (`deny`, `deny_images`): each gives messages, or objects with `msg` (and `path`: the field
as a list of steps; `remedy`).  `exception` exempts from rules by the rest of their names, as in conftest.

Nothing fails open: files that cannot be read or compiled, packages without such a rule, calls that fail, results
without a message, and time that is over, all deny and say so.  Conftest takes a call that fails as "undefined"; say
`builtin_errors: ignore` where a policy rests on that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import quoted
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import INFO, WARN, Finding, Job, ObjectAt
from ansible_collections.weft.platform.plugins.plugin_utils._policy._opa import (
    Answer,
    Module,
    PolicySet,
    Run,
    ask,
    moved,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_plan import (
    Broken,
    Builder,
    Finish,
    broken,
    failed,
    found,
    read_text,
    read_yaml,
    results,
    unknown_data,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_text import Moved, RegoError

_DENY = re.compile(r"(deny|violation)(_[a-zA-Z0-9]+)*", re.ASCII)
_WARN = re.compile(r"warn(_[a-zA-Z0-9]+)*", re.ASCII)
#: What is taken off a rule's name before exceptions are compared: each once, in this order, as conftest does.
_PREFIX = re.compile(r"(violation_)?(deny_)?(warn_)?", re.ASCII)
#: Words that YAML 1.1 takes for true or false and YAML 1.2 for text.
_EITHER = frozenset(
    form for word in ("y", "yes", "on", "n", "no", "off") for form in (word, word.title(), word.upper())
)
#: What conftest says of the file, below `data`.
_FILE = ("conftest", "file")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEYS = ("files", "packages", "data", "version", "builtin_errors")
_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


class _Params(NamedTuple):
    files: tuple[str, ...]
    packages: tuple[str, ...]
    data: tuple[str, ...]
    version: str
    ignore_builtins: bool


# --- Parameters -------------------------------------------------------------------------------------------------


def problems(name: str, params: Any) -> list[str]:
    """What is wrong with the parameters of a rule."""
    if name == "gatekeeper":
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper

        return _gatekeeper.problems(name, params)
    if isinstance(params, (str, list)):
        params = {"files": params}
    if not isinstance(params, dict):
        return [f"{name}: write the path of a file under policy/, a list of them, or files: and what else is needed"]
    out = [f"{name}: {key!r} is not known; {', '.join(_KEYS)} are" for key in params if key not in _KEYS]
    out += paths_wrong(name, "files", params.get("files"), required=True)
    out += paths_wrong(name, "data", params.get("data"), required=False)
    if params.get("version", "v1") not in ("v0", "v1"):
        out.append(f"{name}: version is the language's: v0 or v1")
    if params.get("builtin_errors", "deny") not in ("deny", "ignore"):
        out.append(f"{name}: builtin_errors is deny or ignore")
    packages = params.get("packages", [])
    packages = [packages] if isinstance(packages, str) else packages
    if not isinstance(packages, list) or not all(isinstance(one, str) and _PACKAGE.fullmatch(one) for one in packages):
        out.append(f"{name}: packages is a list of names such as main or kubernetes.images")
    return out


def paths_wrong(name: str, key: str, value: Any, required: bool) -> list[str]:
    """What is wrong with a parameter that names files under policy/."""
    if value is None and not required:
        return []
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        return [f"{name}: {key} is the path of a file, or a list of them"]
    return [
        f"{name}: {path!r} is no path of a file under policy/; write it from the top of the repository"
        for path in paths
        if not path.startswith("policy/") or ".." in path.split("/") or path.endswith("/")
    ]


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _params(params: Any) -> _Params:
    if isinstance(params, (str, list)):
        params = {"files": params}
    return _Params(
        _texts(params["files"]),
        _texts(params.get("packages")),
        _texts(params.get("data")),
        params.get("version", "v1"),
        params.get("builtin_errors") == "ignore",
    )


# --- The check --------------------------------------------------------------------------------------------------


def check(jobs: Sequence[Job]) -> list[list[Finding]]:
    """Judge all jobs, those of Gatekeeper too, in one process of opa.

    Raises:
        ContentError: opa is missing, or did not finish in time; everything is denied then.
    """
    builder = Builder()
    finishes = [_plan(job, builder) for job in jobs]
    answers: list[Answer] = []
    if builder.runs:
        answers = ask(builder.question(), min(job.context.deadline for job in jobs))
    return [finish(answers) for finish in finishes]


def _plan(job: Job, builder: Builder) -> Finish:
    try:
        if job.name == "gatekeeper":
            from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper

            return _gatekeeper.plan(job, builder)
        return _plan_rego(job, builder)
    except Broken as error:
        message = str(error)
        return lambda _answers: broken(job, message)


class _Asked(NamedTuple):
    """A rule of a package that is asked: its run, and the run of the package's exceptions."""

    package: tuple[str, ...]
    rule: str
    run: int
    exceptions: int | None


def _plan_rego(job: Job, builder: Builder) -> Finish:
    """
    Raises:
        Broken: the rule cannot be asked.
    """
    params = _params(job.params)
    modules = tuple(Module(path, read_text(job, path), params.version) for path in params.files)
    number = builder.add_policies(PolicySet(modules, _data(job, params.data)))
    try:
        texts = moved(builder.policies[number], number)
    except RegoError as error:
        raise Broken(str(error)) from error
    missing = unknown_data(texts, builder.policies[number].data, [_FILE] if job.documents else ())
    if missing:
        raise Broken(f"{', '.join(params.files)}: {', '.join(missing)} is in none of the rule's files and data")
    names = _names(texts)
    inputs = [_input(builder, at, job.documents) for at in job.objects]
    asked = list(_ask_rules(builder, number, _wanted(names, params), inputs, job.documents))
    return lambda answers: list(_finish(job, params, asked, answers))


def _input(builder: Builder, at: ObjectAt, is_document: bool) -> tuple[int, ...]:
    """What is asked about, by place; of a document, where its file is as well."""
    found = builder.add_document("object", at.object, lambda: at.object)
    if not is_document:
        return (found,)
    folder, _, name = at.origin.file.rpartition("/")
    return (found, builder.add_document("file", at, lambda: {"name": name, "dir": folder or "."}))


def _data(job: Job, paths: Sequence[str]) -> dict[str, Any]:
    """What the files of data say, together.

    Raises:
        Broken: one cannot be read, is no object, says again what another says, or is something else to opa.
    """
    out: dict[str, Any] = {}
    for path in paths:
        values = read_yaml(job, path)
        if len(values) > 1:
            raise Broken(f"{path}: data must be one document: opa reads the first alone")
        _same_to_opa(job, path)
        for value in values:
            if not isinstance(value, dict):
                raise Broken(f"{path}: data must be an object: its keys are what follows `data.`")
            twice = [str(key) for key in value if key in out]
            if twice:
                raise Broken(f"{path}: {quoted(twice)} is in the data already")
            out.update(value)
    return out


def _same_to_opa(job: Job, path: str) -> None:
    """
    Raises:
        Broken: a word in it is true or false to most readers of YAML and text to opa's of data.
    """
    for event in yaml.parse(read_text(job, path), Loader=_LOADER):
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in _EITHER:
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            raise Broken(f"{path}:{line}: {event.value} is text to opa and not to others; write true, false or quotes")


def _names(modules: Sequence[Moved]) -> dict[tuple[str, ...], set[str]]:
    """The names of the rules in each package."""
    out: dict[tuple[str, ...], set[str]] = {}
    for module in modules:
        out.setdefault(module.package, set()).update(module.rules)
    return out


def _wanted(names: dict[tuple[str, ...], set[str]], params: _Params) -> dict[tuple[str, ...], set[str]]:
    """The packages to be asked.

    Raises:
        Broken: one is not there, or there is nothing to ask for.
    """
    if params.packages:
        missing = [package for package in params.packages if tuple(package.split(".")) not in names]
        if missing:
            raise Broken(f"{', '.join(params.files)}: there is no package {quoted(missing)}")
        names = {package: found for package, found in names.items() if ".".join(package) in params.packages}
    asked = {package: found for package, found in names.items() if any(_is_asked(name) for name in found)}
    silent = [".".join(package) for package in names if package not in asked] if params.packages else []
    if not asked or silent:
        where = f" in package {quoted(silent)}" if silent else ""
        raise Broken(f"{', '.join(params.files)}: no rule{where} is named deny, violation or warn: nothing is checked")
    return asked


def _is_asked(name: str) -> bool:
    return bool(_DENY.fullmatch(name) or _WARN.fullmatch(name))


def _ask_rules(
    builder: Builder,
    number: int,
    names: dict[tuple[str, ...], set[str]],
    inputs: Sequence[tuple[int, ...]],
    files: bool,
) -> Iterator[_Asked]:
    for package, found_names in sorted(names.items()):
        exceptions = None
        if "exception" in found_names:
            exceptions = builder.add_run(Run(number, (*package, "exception"), inputs, files=files))
        for rule in sorted(filter(_is_asked, found_names)):
            run = Run(number, (*package, rule), inputs, files=files)
            yield _Asked(package, rule, builder.add_run(run), exceptions)


def _finish(job: Job, params: _Params, asked: Sequence[_Asked], answers: Sequence[Answer]) -> Iterator[Finding]:
    said: set[tuple[str, ...]] = set()
    for one in asked:
        exempt = answers[one.exceptions] if one.exceptions is not None else Answer({})
        for trouble in (answers[one.run], exempt):
            for fault in failed(job, trouble, params.ignore_builtins):
                if fault.key not in said:
                    said.add(fault.key)
                    yield fault
        for place, value in sorted(answers[one.run].values.items()):
            yield from _judge(job, place, one, value, exempt.values.get(place))


def _judge(job: Job, place: int, asked: _Asked, value: Any, exceptions: Any) -> Iterator[Finding]:
    at = job.objects[place]
    name = ".".join((*asked.package, asked.rule))
    exempt = _PREFIX.sub("", asked.rule if "_" in asked.rule else "", count=1) in _exempted(exceptions)
    for result in results(value, name):
        finding = found(job, at, result)
        if exempt:
            yield finding._replace(severity=INFO, message=f"exempt from {name}: {finding.message}")
        elif _WARN.fullmatch(asked.rule):
            yield finding._replace(severity=INFO if job.context.severity == INFO else WARN)
        else:
            yield finding


def _exempted(exceptions: Any) -> set[str]:
    """The names in all lists that `exception` gives."""
    out: set[str] = set()
    for names in _elements(exceptions):
        out.update(name for name in _elements(names) if isinstance(name, str))
    return out


def _elements(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()

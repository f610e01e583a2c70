# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the checks in Rego share: one question to opa made of all their jobs, and findings made of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Path
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import finding
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    PROHIBIT,
    Finding,
    GitError,
    Job,
    ObjectAt,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._opa import Answer, PolicySet, Question, Run
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_text import Moved

#: A message longer than this is cut: it is shown to people.
MAX_MESSAGE = 2000


class Broken(Exception):
    """A rule that cannot be asked: the message says which file, and why."""


class Result(NamedTuple):
    """One thing that a policy says of an object.

    message   what is wrong
    metadata  whatever else the policy gave with it
    """

    message: str
    metadata: Mapping[str, Any]


class Builder:
    """Gathers sets, documents and runs of all jobs, each once."""

    def __init__(self) -> None:
        self.policies: list[PolicySet] = []
        self.runs: list[Run] = []
        self.documents: list[Any] = []
        self.inventories: list[Any] = []
        self._sets: dict[str, int] = {}
        self._places: dict[Any, int] = {}
        self._inventories: dict[int, int] = {}
        # what is known by its id must stay alive
        self._kept: list[Any] = []

    def add_policies(self, policies: PolicySet) -> int:
        """Place of a set; the same set gets the same place."""
        key = json.dumps([policies.modules, policies.data], sort_keys=True, default=str)
        if key not in self._sets:
            self._sets[key] = len(self.policies)
            self.policies.append(policies)
        return self._sets[key]

    def add_document(self, what: str, source: Any, make: Callable[[], Any]) -> int:
        """Place of the document that is made of `source`; made once for each source and purpose."""
        key = (what, id(source))
        if key not in self._places:
            self._kept.append(source)
            self._places[key] = len(self.documents)
            self.documents.append(make())
        return self._places[key]

    def add_inventory(self, source: Callable[[], Any], make: Callable[[], Any]) -> int:
        """Place of the inventory of one side."""
        if id(source) not in self._inventories:
            self._kept.append(source)
            self._inventories[id(source)] = len(self.inventories)
            self.inventories.append(make())
        return self._inventories[id(source)]

    def add_run(self, run: Run) -> int:
        """Place of a run."""
        self.runs.append(run)
        return len(self.runs) - 1

    def question(self) -> Question:
        """Everything gathered."""
        return Question(self.policies, self.runs, self.documents, self.inventories)


#: What becomes of a job once the answers are there.
Finish = Callable[[Sequence[Answer]], list[Finding]]


def read(job: Job, path: str) -> bytes:
    """A file of the policy in force.

    Raises:
        Broken: it cannot be read.
    """
    try:
        return job.context.policy(path)
    except GitError as error:
        raise Broken(f"{path}: cannot be read: {error}") from error


def read_text(job: Job, path: str) -> str:
    """A text file of the policy in force.

    Raises:
        Broken: it cannot be read, or is not UTF-8.
    """
    try:
        return read(job, path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Broken(f"{path}: is not UTF-8") from error


def read_yaml(job: Job, path: str) -> list[Any]:
    """The documents of a YAML or JSON file of the policy in force.

    Raises:
        Broken: it cannot be read.
    """
    try:
        documents = _yaml.read(read(job, path), path, "k8s")
    except _yaml.YamlError as error:
        raise Broken(str(error)) from error
    for document in documents:
        if document.duplicates:
            raise Broken(str(document.duplicates[0]))
    return [document.value for document in documents if document.value is not None]


def unknown_data(modules: Sequence[Moved], documents: Iterable[str], more: Iterable[tuple[str, ...]] = ()) -> list[str]:
    """What modules refer to below `data` and neither their rules nor documents of these names, or `more`, are, sorted.

    Such a reference is undefined, so that a rule which rests on it would never say anything.
    """
    known = {*more, *((name,) for name in documents)} | {
        (*module.package, rule) for module in modules for rule in module.rules
    }
    wanted = {path for module in modules for path in module.data}
    return sorted(
        f"data.{'.'.join(path)}" for path in wanted if not any(path[: len(one)] == one[: len(path)] for one in known)
    )


def broken(job: Job, message: str) -> list[Finding]:
    """What is said of a rule that cannot be asked: it denies.

    Said of the head only: were it said of the base as well, it would count as known before.
    """
    if job.context.side != "head":
        return []
    return [
        Finding(
            rule=job.context.rule,
            severity=PROHIBIT,
            kind=ERROR,
            message=message[:MAX_MESSAGE],
            remedy="Mend the policy; until then nothing passes this rule.",
            origin=Origin(_first_file(job.params)) if _first_file(job.params) else None,
        )
    ]


def _first_file(params: Any) -> str:
    files = params.get("files") if isinstance(params, dict) else params
    files = [files] if isinstance(files, str) else files
    return str(files[0]) if isinstance(files, list) and files else ""


def failed(job: Job, answer: Answer, ignore_builtins: bool) -> list[Finding]:
    """What an answer says besides its values: that there are none, or that calls in it failed."""
    if answer.error:
        return broken(job, answer.error)
    if ignore_builtins:
        return []
    message = "a call in the policy failed, so what it would say is not known"
    return [one for text in answer.builtins for one in broken(job, f"{message}: {text}")]


def results(value: Any, rule: str) -> list[Result]:
    """What the value of a rule says: a set or list of messages or objects with `msg`, one of them, true, or nothing.

    What cannot be understood is a result as well: nothing that a policy says is passed over.
    """
    if value is None or value is False or value == {} or value == []:
        return []
    out: list[Result] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one:
            out.append(Result(one, {}))
        elif isinstance(one, dict) and isinstance(one.get("msg"), str) and one["msg"]:
            out.append(Result(one["msg"], {key: item for key, item in one.items() if key != "msg"}))
        elif one is True:
            out.append(Result(f"{rule} is true", {}))
        else:
            out.append(Result(f"{rule} gave a result without a message: {json.dumps(one, default=str)[:200]}", {}))
    return out


def found(job: Job, at: ObjectAt, result: Result, prefix: str = "", below: Path = ()) -> Finding:
    """The finding of a result; metadata `path` (a list of steps) says which field it is about.

    Args:
        job: whose finding it is.
        at: the object.
        result: what the policy says of it.
        prefix: comes before the message.
        below: where the policy's object sits in `at`.
    """
    remedy = result.metadata.get("remedy")
    path = (*below, *_path(result.metadata.get("path")))
    message = f"{prefix}{result.message}"[:MAX_MESSAGE]
    return finding(job, at, path, message, remedy if isinstance(remedy, str) else "")


def _path(steps: Any) -> Path:
    if not isinstance(steps, list) or not all(isinstance(step, (str, int)) for step in steps):
        return ()
    return tuple(int(step) if isinstance(step, bool) else step for step in steps)

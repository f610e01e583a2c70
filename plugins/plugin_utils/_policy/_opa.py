# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Rego by the real `opa`, in one process for all rules, all inputs and both sides of a change.

Every set of policies is moved below a prefix of its own (see _rego_text), so sets do not see each other, and one
program made of all runs asks for everything at once.  What a policy may call is pinned in a file of capabilities that
came with the collection: nothing that reaches the network, and nothing that gives another answer when a verdict is
replayed (the time, chance, and what is held against the time: certificates and tokens).

A set that does not compile, or that ends the evaluation, is taken out, and the rest is asked again: one broken rule
denies by itself and does not take the others with it.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _process
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import ContentError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_text import Moved, RegoError, move

#: How to get opa, for the error that says that it is missing.
HINT = "get the open-policy-agent/opa release for this machine"

#: Functions that a policy may not call, each with the reason; they are not in the file of capabilities.
FORBIDDEN = {
    "http.send": "reaches the network",
    "net.lookup_ip_addr": "reaches the network",
    "opa.runtime": "reads the environment of the process",
    **dict.fromkeys(
        (
            "crypto.x509.parse_and_verify_certificates",
            "crypto.x509.parse_and_verify_certificates_with_options",
            "io.jwt.decode_verify",
            "io.jwt.encode_sign",
            "io.jwt.encode_sign_raw",
            "rand.intn",
            "time.now_ns",
            "uuid.rfc4122",
        ),
        "gives another answer when a verdict is replayed",
    ),
}
#: What Gatekeeper or conftest have and opa does not.
_EXTERNAL = {
    "external_data": "asks providers over the network",
    **dict.fromkeys(("parse_config", "parse_config_file", "parse_combined_config_files"), "is conftest's own"),
}

_CAPABILITIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas", "opa-capabilities.json.z")
#: "Local" is a time zone to opa: it must not be this machine's.
_ENVIRONMENT = {"TZ": "UTC"}
_BOUNDS = _process.Bounds(memory=4 * 1024**3, file=128 * 1024**2)
_ROOT = "weft"
_DRIVER = "weft_driver"
_PLACE = re.compile(r"(?:^|/)s([0-9]+)/m([0-9]+)\.rego$")
#: The line of a program in Go that died which says why; what follows is for its authors.
_DIED = re.compile(r"^(fatal error|panic|runtime): .*$", re.MULTILINE)
_UNDEFINED = re.compile(r"undefined function ([\w.]+)", re.ASCII)
#: A file and a package as opa calls them in its messages.
_OWN_PLACE = re.compile(r"\bbundle/s([0-9]+)/m([0-9]+)\.rego")
_PREFIX = re.compile(rf"\b{_ROOT}([./])s[0-9]+\1|[./]{_ROOT}[./]s[0-9]+\b")
#: A line of opa's own error text: FILE:ROW: CODE: MESSAGE.
_TEXT_PLACE = re.compile(r"s([0-9]+)/m([0-9]+)\.rego:([0-9]+): *(.*)")


class Module(NamedTuple):
    """A file of Rego: its name for messages, its source, and the version of the language ("v0" or "v1")."""

    name: str
    source: str
    version: str = "v1"


class PolicySet(NamedTuple):
    """Modules that see each other and nothing else, and what is below `data` for them."""

    modules: tuple[Module, ...]
    data: Mapping[str, Any]


class Run(NamedTuple):
    """One rule, asked for many inputs.

    policies   which set, by place
    rule       path of the rule: package, then its name
    inputs     for each time it is asked: a document, or two (then the input is {"review": .., "parameters": ..});
               each by place
    inventory  what `data.inventory` is, by place; None for what the set's data says
    files      the second document is what `data.conftest.file` is
    """

    policies: int
    rule: tuple[str, ...]
    inputs: Sequence[tuple[int, ...]]
    inventory: int | None = None
    files: bool = False


class Answer(NamedTuple):
    """What came of a run.

    values    place in the run's inputs -> value; nothing where the rule is undefined
    error     why there are no values at all, "" where there are
    builtins  calls of functions that failed, which made the expression around them undefined
    """

    values: Mapping[int, Any]
    error: str = ""
    builtins: tuple[str, ...] = ()


class Question(NamedTuple):
    """Everything that is asked at once; runs, sets, documents and inventories refer to each other by place."""

    policies: Sequence[PolicySet]
    runs: Sequence[Run]
    documents: Sequence[Any]
    inventories: Sequence[Any] = ()


def prefix_of(number: int) -> tuple[str, str]:
    """Where the set of that place is moved to."""
    return (_ROOT, f"s{number}")


def moved(policies: PolicySet, number: int) -> list[Moved]:
    """The modules of a set, moved.

    Raises:
        RegoError: one cannot be read; the message names it.
    """
    out = []
    for module in policies.modules:
        try:
            out.append(move(module.source, prefix_of(number)))
        except RegoError as error:
            raise RegoError(f"{module.name}: {error}") from error
    return out


def ask(question: Question, deadline: float) -> list[Answer]:
    """Ask everything, in as few processes as there are broken sets, plus one.

    Args:
        question: what is asked.
        deadline: time.monotonic() at which opa is stopped.

    Returns:
        list: one Answer for each run.

    Raises:
        ContentError: opa is missing, ran too long, or said what cannot be read.
    """
    broken: dict[int, str] = {}
    texts: dict[int, list[Moved]] = {}
    for number, policies in enumerate(question.policies):
        try:
            texts[number] = moved(policies, number)
        except RegoError as error:
            broken[number] = str(error)
    while True:
        good = {number: text for number, text in texts.items() if number not in broken}
        result = _ask_once(question, good, deadline) if good else {}
        found = _faults(question, result)
        if not found:
            return _answers(question, result, broken)
        broken.update(found)


def _ask_once(question: Question, texts: Mapping[int, list[Moved]], deadline: float) -> Mapping[str, Any]:
    try:
        opa = _process.find("opa", "WEFT_OPA", HINT)
        with _process.private_folder() as folder:
            _write(question, texts, folder)
            command = [opa, "eval", "--bundle", "bundle", "--input", "input.json", "--format", "json"]
            command += ["--capabilities", "capabilities.json", "--show-builtin-errors", f"data.{_DRIVER}.answers"]
            done = _process.run(command, folder, deadline, _BOUNDS, _ENVIRONMENT)
    except _process.ProcessError as error:
        raise ContentError(str(error)) from error
    except (OSError, ValueError, RecursionError, zlib.error) as error:
        raise ContentError(f"opa: its input cannot be written: {error}") from error
    try:
        result = json.loads(done.output)
        if not isinstance(result, dict) or not result:
            raise ValueError("it has no result")
    except (ValueError, RecursionError) as error:
        said = done.errors.decode("utf-8", "replace").strip()
        died = _DIED.search(said)
        killed = f"it was stopped by signal {-done.code}" if done.code < 0 else str(error)
        what = died[0][:500] if died else said[-500:] or killed
        raise ContentError(f"opa: its answer cannot be read: {what}") from error
    return result


# --- What is written for opa ------------------------------------------------------------------------------------


def _write(question: Question, texts: Mapping[int, list[Moved]], folder: str) -> None:
    """The bundle, the input and the capabilities."""
    bundle = os.path.join(folder, "bundle")
    versions: dict[str, int] = {}
    sets: dict[str, Any] = {}
    for number, modules in texts.items():
        os.makedirs(os.path.join(bundle, f"s{number}"))
        sets[f"s{number}"] = _as_go(question.policies[number].data)
        for place, module in enumerate(modules):
            name = f"s{number}/m{place}.rego"
            versions[f"/{name}"] = 0 if question.policies[number].modules[place].version == "v0" else 1
            _save(os.path.join(bundle, name), module.text)
    _save(os.path.join(bundle, "driver.rego"), _driver(question, texts))
    _save_json(os.path.join(bundle, ".manifest"), {"rego_version": 1, "file_rego_versions": versions, "roots": [""]})
    inventories = [_as_go(inventory) for inventory in question.inventories]
    _save_json(os.path.join(bundle, "data.json"), {_ROOT: sets, f"{_ROOT}_inventory": inventories})
    runs = {str(number): [list(places) for places in run.inputs] for number, run in enumerate(question.runs)}
    documents = [_as_go(document) for document in question.documents]
    _save_json(os.path.join(folder, "input.json"), {"runs": runs, "documents": documents})
    with open(_CAPABILITIES, "rb") as packed:
        _save(os.path.join(folder, "capabilities.json"), zlib.decompress(packed.read()).decode("ascii"))


def _save(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _save_json(path: str, value: Any) -> None:
    # NaN is no JSON: a document that holds one must not be passed as something else
    _save(path, json.dumps(value, allow_nan=False))


def _as_go(value: Any) -> Any:
    """A value with its whole numbers as Go writes them in JSON, 1 and not 1.0: to sprintf("%d") they differ."""
    if isinstance(value, dict):
        return {key: _as_go(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_go(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def _driver(question: Question, texts: Mapping[int, list[Moved]]) -> str:
    """The program that asks for every run: one line a run, so that an error's line tells the run."""
    lines = [f"package {_DRIVER}", ""]
    for number, run in enumerate(question.runs):
        lines.append(_line(number, run) if run.policies in texts else "")
    return "\n".join(lines) + "\n"


def _line(number: int, run: Run) -> str:
    rule = "".join(f"[{json.dumps(step)}]" for step in (*prefix_of(run.policies), *run.rule))
    document = "input.documents[at[0]]"
    if run.inputs and len(run.inputs[0]) == 2 and not run.files:
        document = '{"review": input.documents[at[0]], "parameters": input.documents[at[1]]}'
    replaced = f" with input as {document}"
    own = ".".join(prefix_of(run.policies))
    if run.files:
        replaced += f" with data.{own}.conftest.file as input.documents[at[1]]"
    if run.inventory is not None:
        replaced += f" with data.{own}.inventory as data.{_ROOT}_inventory[{run.inventory}]"
    asked = f'some place, at in input.runs["{number}"]; value := data{rule}{replaced}'
    return f'answers["{number}"] := [[place, value] | {asked}]'


# --- What opa says ----------------------------------------------------------------------------------------------


def _faults(question: Question, result: Mapping[str, Any]) -> dict[int, str]:
    """The sets that keep everything from being evaluated, each with the reason; {} when all was evaluated.

    Raises:
        ContentError: something failed that is no set's fault.
    """
    fatal = [error for error in result.get("errors") or () if not _is_builtin(error)]
    out: dict[int, str] = {}
    for error in fatal:
        for number, message in _blamed(question, error):
            out.setdefault(number, message)
    if fatal and not out:
        raise ContentError(f"opa: {str(fatal[0].get('message', fatal[0]))[:500]}")
    return out


def _is_builtin(error: Mapping[str, Any]) -> bool:
    return error.get("code") in ("eval_builtin_error", "eval_type_error")


def _blamed(question: Question, error: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The sets that an error lies in, each with what is wrong."""
    places = [error.get("location"), *(frame.get("location") for frame in error.get("stack_trace") or ())]
    for place in places:
        found = _set_of(question, place)
        if found is not None:
            number, module, row = found
            return [(number, f"{module}:{row}: {_message(question, error)}")]
        run = _run_of(question, place)
        if run is not None:
            return [(question.runs[run].policies, _message(question, error))]
    # errors in loading are one text for all
    out: list[tuple[int, str]] = []
    for number_text, place_text, row_text, message in _TEXT_PLACE.findall(str(error.get("message", ""))):
        number = int(number_text)
        if number < len(question.policies):
            module = question.policies[number].modules[int(place_text)].name
            out.append((number, f"{module}:{row_text}: {_hinted(message)}"))
    return out


def _set_of(question: Question, place: Any) -> tuple[int, str, int] | None:
    match = _PLACE.search(str(place.get("file", ""))) if isinstance(place, dict) else None
    if match is None:
        return None
    number, module = int(match[1]), int(match[2])
    return number, question.policies[number].modules[module].name, int(place.get("row", 0))


def _run_of(question: Question, place: Any) -> int | None:
    """The run on whose line of the driver an error lies."""
    if not isinstance(place, dict) or not str(place.get("file", "")).endswith("driver.rego"):
        return None
    number = int(place.get("row", 0)) - 3
    return number if 0 <= number < len(question.runs) else None


def _message(question: Question, error: Mapping[str, Any]) -> str:
    def named(match: re.Match[str]) -> str:
        return question.policies[int(match[1])].modules[int(match[2])].name

    said = _OWN_PLACE.sub(named, f"{error.get('code', 'error')}: {error.get('message', '')}")
    return _hinted(said[:500])


def _hinted(message: str) -> str:
    """opa's own message, without the prefix of sets, and with the way out where it is a matter of versions."""
    message = _PREFIX.sub("", message)
    if "keyword is required" in message or "`if`" in message:
        return f"{message}; is it Rego v0? then say `version: v0`"
    called = _UNDEFINED.search(message)
    if called is None:
        return message
    reason = {**FORBIDDEN, **_EXTERNAL}.get(called[1])
    if reason:
        return f"{message}; it may not be called here: it {reason}"
    return f"{message}; name the file that has it in the rule as well"


def _answers(question: Question, result: Mapping[str, Any], broken: Mapping[int, str]) -> list[Answer]:
    found = _result(result)
    builtins = _builtins(question, result)
    out: list[Answer] = []
    for number, run in enumerate(question.runs):
        if run.policies in broken:
            out.append(Answer({}, broken[run.policies]))
            continue
        pairs = found.get(str(number))
        if not isinstance(pairs, list):
            raise ContentError("opa: an answer is missing")
        out.append(Answer({int(place): value for place, value in pairs}, "", tuple(builtins.get(number, ()))))
    return out


def _result(result: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        value = result["result"][0]["expressions"][0]["value"] if result else {}
    except (KeyError, IndexError, TypeError) as error:
        raise ContentError("opa: its answer has no result") from error
    return value if isinstance(value, dict) else {}


def _builtins(question: Question, result: Mapping[str, Any]) -> dict[int, list[str]]:
    """Calls that failed, by run; by all runs of the set where the run cannot be told."""
    out: dict[int, list[str]] = {}
    for error in result.get("errors") or ():
        frames = [error.get("location"), *(frame.get("location") for frame in error.get("stack_trace") or ())]
        place = next(filter(None, (_set_of(question, frame) for frame in frames)), None)
        text = f"{place[1]}:{place[2]}: {error.get('message', '')}"[:300] if place else str(error.get("message"))[:300]
        exact = [run for run in (_run_of(question, frame) for frame in frames) if run is not None]
        runs = exact[:1] or [
            number for number, run in enumerate(question.runs) if place is None or run.policies == place[0]
        ]
        for run in runs:
            if text not in out.setdefault(run, []):
                out[run].append(text)
    return out

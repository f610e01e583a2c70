# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Gatekeeper's templates in CEL (engine K8sNativeValidation), as `gator` asks them.

Source of the rules: Gatekeeper's documentation of its Kubernetes native validation driver, and "Validating Admission
Policy" in the Kubernetes documentation, whose expressions these are.  `variables.params` holds a constraint's
parameters, `variables.anyObject` the object; `authorizer` needs a cluster and is not there.
failurePolicy Ignore lets pass what has no answer; what cannot be used at all, or takes too long, denies even so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _values
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._evaluate import Budget, Lazy, Program
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import CompileError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    BOOL,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    EvaluationError,
    OverLimit,
    Type,
    list_of,
    map_of,
    object_of,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_plan import Broken

_RESERVED = "gatekeeper_internal_"
#: An evaluated message that is longer than this, or has several lines, is not used.
_MAX_MESSAGE = 5 * 1024


def _texts(*names: str) -> dict[str, Type]:
    return dict.fromkeys(names, STRING)


_KIND = object_of(_texts("group", "version", "kind"))
_RESOURCE = object_of(_texts("group", "version", "resource"))
_USER = object_of(
    {**_texts("username", "uid"), "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING))},
)
_REQUEST = object_of(
    {
        **_texts("subResource", "requestSubResource", "name", "namespace", "operation"),
        "kind": _KIND,
        "requestKind": _KIND,
        "resource": _RESOURCE,
        "requestResource": _RESOURCE,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    }
)
_CONDITION = object_of({**_texts("status", "type", "message", "reason"), "lastTransitionTime": TIMESTAMP})
_METADATA = {
    **_texts("name", "generateName", "namespace", "UID", "resourceVersion"),
    "labels": map_of(STRING, STRING),
    "annotations": map_of(STRING, STRING),
    "finalizers": list_of(STRING),
    "creationTimestamp": TIMESTAMP,
    "deletionTimestamp": TIMESTAMP,
    "deletionGracePeriodSeconds": INT,
    "generation": INT,
}
_NAMESPACE = object_of(
    {
        "metadata": object_of(_METADATA),
        "spec": object_of({"finalizers": list_of(STRING)}),
        "status": object_of({"conditions": list_of(_CONDITION), "phase": STRING}),
    }
)
_VARIABLES = {"object": DYN, "oldObject": DYN, "request": _REQUEST, "namespaceObject": _NAMESPACE}


class _Validation(NamedTuple):
    text: str
    program: Program
    message: str
    spoken: Program | None


class Policies(NamedTuple):
    """What a template in CEL asks.

    where        the template, for messages
    variables    their names and expressions, in the order in which they may refer to each other
    conditions   all must hold, or nothing is asked
    validations  what must hold
    ignore       whether what has no answer passes (failurePolicy: Ignore)
    """

    where: str
    variables: Sequence[tuple[str, Program]]
    conditions: Sequence[tuple[str, Program]]
    validations: Sequence[_Validation]
    ignore: bool

    @property
    def wants_namespace(self) -> bool:
        """Whether an expression names namespaceObject."""
        programs = [program for _name, program in (*self.variables, *self.conditions)]
        programs += [one.program for one in self.validations]
        programs += [one.spoken for one in self.validations if one.spoken is not None]
        return any(program.uses("namespaceObject") for program in programs)


class Result(NamedTuple):
    """What a template says of an object: a message; `passes` where it is only told."""

    message: str
    passes: bool = False


# --- Reading ----------------------------------------------------------------------------------------------------


def read(source: Any, where: str) -> Policies:
    """The expressions of a template.

    Raises:
        Broken: they cannot be used.
    """
    if not isinstance(source, dict):
        raise Broken(f"{where}: the source of K8sNativeValidation must be an object")
    policy = source.get("failurePolicy")
    if policy not in (None, "Fail", "Ignore"):
        raise Broken(f"{where}: failurePolicy is Fail or Ignore, not {policy!r}")
    known: dict[str, Type] = {"anyObject": DYN, "params": DYN}
    variables: list[tuple[str, Program]] = []
    for entry in _entries(source, "variables", where):
        name = _text(entry, "name", where)
        if name in ("params", "anyObject") or name.startswith(_RESERVED):
            raise Broken(f"{where}: {name} is no name for a variable: it is taken")
        scope = {**_VARIABLES, "params": DYN, "variables": object_of(dict(known))}
        program = _program(_text(entry, "expression", where), scope, f"{where}: variable {name}")
        variables.append((name, program))
        known[name] = program.type
    scope = {**_VARIABLES, "variables": object_of(known)}
    conditions = [_condition(entry, scope, where) for entry in _entries(source, "matchCondition", where)]
    validations = [_validation(entry, scope, where) for entry in _entries(source, "validations", where)]
    if not validations:
        raise Broken(f"{where}: has no validations: nothing would be checked")
    return Policies(where, variables, conditions, validations, policy == "Ignore")


def _entries(source: Mapping[str, Any], key: str, where: str) -> Iterator[Mapping[str, Any]]:
    found = source.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Broken(f"{where}: {key} must be a list of objects")
    yield from found


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    found = entry.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Broken(f"{where}: {key} must be a string, not {found!r}")
    return found


def _program(text: str, variables: Mapping[str, Type], what: str) -> Program:
    try:
        return Program(text, variables)
    except CompileError as error:
        raise Broken(f"{what}: the CEL expression {text.strip()!r} cannot be used: {error}") from error


def _condition(entry: Mapping[str, Any], scope: Mapping[str, Type], where: str) -> tuple[str, Program]:
    name = _text(entry, "name", where)
    if name.startswith(_RESERVED):
        raise Broken(f"{where}: {name} is no name for a match condition: it is taken")
    return name, _yes_or_no(_text(entry, "expression", where), scope, f"{where}: match condition {name}")


def _yes_or_no(text: str, scope: Mapping[str, Type], what: str) -> Program:
    program = _program(text, scope, what)
    if program.type.name != "bool":
        raise Broken(f"{what}: the CEL expression {text.strip()!r} must be true or false, not {program.type}")
    return program


def _validation(entry: Mapping[str, Any], scope: Mapping[str, Type], where: str) -> _Validation:
    text = _text(entry, "expression", where)
    program = _yes_or_no(text, scope, f"{where}: validation")
    spoken = None
    if _text(entry, "messageExpression", where):
        try:
            spoken = Program(_text(entry, "messageExpression", where), scope)
        except CompileError:
            spoken = None  # the validation stands without it, as in the API server
        spoken = spoken if spoken is not None and spoken.type.name == "string" else None
    return _Validation(text.strip(), program, _text(entry, "message", where).strip(), spoken)


# --- Asking -----------------------------------------------------------------------------------------------------


def ask(
    policies: Policies,
    constraint: Mapping[str, Any],
    review: Mapping[str, Any],
    namespace: Mapping[str, Any] | None,
    deadline: float,
) -> list[Result]:
    """What a template says of an object.

    Args:
        policies: the template.
        constraint: the whole constraint.
        review: what is asked about, as `input.review` has it.
        namespace: the object's Namespace, None where it is not known or there is none.
        deadline: time.monotonic() after which nothing is evaluated any more.
    """
    budget = Budget(deadline)
    values = _values_of(policies, constraint, review, namespace, budget)
    try:
        return list(_results(policies, values, budget))
    except OverLimit as error:
        return [Result(f"cannot be judged: the evaluation {error}")]


def _results(policies: Policies, values: Mapping[str, Any], budget: Budget) -> Iterator[Result]:
    failed = ""
    for name, program in policies.conditions:
        try:
            if program.evaluate(values, budget) is False:
                return
        except EvaluationError as error:
            failed = failed or f"match condition {name} has no answer: {error}"
    if failed:
        yield _unanswered(policies, failed)
        return
    for one in policies.validations:
        try:
            if one.program.evaluate(values, budget) is not True:
                yield Result(_message(one, values, budget))
        except EvaluationError as error:
            yield _unanswered(policies, f"expression {one.text!r} has no answer: {error}")


def _unanswered(policies: Policies, message: str) -> Result:
    if policies.ignore:
        return Result(f"{message}; failurePolicy is Ignore, so this passes", passes=True)
    return Result(message)


def _message(one: _Validation, values: Mapping[str, Any], budget: Budget) -> str:
    found: Any = ""
    if one.spoken is not None:
        try:
            found = one.spoken.evaluate(values, budget)
        except EvaluationError:
            found = ""
    text = found.strip() if isinstance(found, str) else ""
    if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE:
        return text
    return one.message or f"failed expression: {one.text}"


def _values_of(
    policies: Policies,
    constraint: Mapping[str, Any],
    review: Mapping[str, Any],
    namespace: Mapping[str, Any] | None,
    budget: Budget,
) -> dict[str, Any]:
    obj = _values.of_json(review["object"])
    parameters = constraint.get("spec", {}).get("parameters") if isinstance(constraint.get("spec"), dict) else None
    variables: dict[str, Any] = {"anyObject": obj, "params": _values.of_json(parameters)}
    values = {
        "object": obj,
        "oldObject": None,
        "request": _request(review),
        "namespaceObject": None if namespace is None else _values.of_json(_exposed(namespace)),
        "variables": variables,
    }
    inside = {**values, "params": _values.of_json(constraint)}
    for name, program in policies.variables:
        variables[name] = _lazy(program, inside, budget)
    return values


def _lazy(program: Program, values: Mapping[str, Any], budget: Budget) -> Lazy:
    return Lazy(lambda: program.evaluate(values, budget))


def _request(review: Mapping[str, Any]) -> dict[str, Any]:
    out = {
        "kind": review["kind"],
        "resource": review["resource"],
        "requestKind": review["kind"],
        "requestResource": review["resource"],
        "name": review["name"],
        "operation": review["operation"],
        "userInfo": {},
        "dryRun": False,
        "options": None,
    }
    if review.get("namespace"):
        out["namespace"] = review["namespace"]
    found: dict[str, Any] = _values.of_json(out)
    return found


def _exposed(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Namespace that expressions may see."""
    out: dict[str, Any] = {}
    for part, known in (_NAMESPACE.fields or {}).items():
        found = namespace.get(part)
        inside = found.items() if isinstance(found, dict) else ()
        out[part] = {key: item for key, item in inside if key in (known.fields or {})}
    return out

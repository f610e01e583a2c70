# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The CEL rules of CustomResourceDefinitions (x-kubernetes-validations) over custom resources.

Source of the rules: "Validation rules" in the Kubernetes documentation of CustomResourceDefinitions, and
k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel: what `self` is for each schema, which fields there are to it,
how their names are written, and when a rule about `oldSelf` is asked.  A rule that cannot be used, that has no value
or takes too long is a fault.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _standard, _values
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._evaluate import Budget, Program
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import RESERVED, CompileError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    BadValue,
    EvaluationError,
    Optional,
    OverLimit,
    Preserved,
    Type,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import At, Faults

#: An evaluated message that is longer than this, or has several lines, is not used.
_MAX_MESSAGE = 5 * 1024

_STRING = {"type": "string"}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


# --- What an expression sees of a schema ------------------------------------------------------------------------

_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_KEPT = RESERVED | {"true", "false", "null", "in"}
_NAME = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", re.ASCII)


def escaped(name: str) -> str:
    """The name of a field as expressions write it, "" where they cannot."""
    if not _NAME.fullmatch(name):
        return ""
    if name in _KEPT:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda found: _ESCAPES[found.group()], name)


def _embedded(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an object of Kubernetes: a rule sees its kind and names whatever the schema says."""
    names = {"type": "object", "properties": {"name": _STRING, "generateName": _STRING}}
    fields = {**_mapping(schema.get("properties")), "apiVersion": _STRING, "kind": _STRING, "metadata": names}
    return {**schema, "type": "object", "properties": fields}


def _is_embedded(schema: Mapping[str, Any]) -> bool:
    return schema.get("x-kubernetes-embedded-resource") is True


_SCALARS: Mapping[str, Type] = {
    "boolean": _values.BOOL,
    "number": _values.DOUBLE,
    "integer": _values.INT,
    "string": _values.STRING,
}
_FORMATS: Mapping[Any, Type] = {
    "byte": _values.BYTES,
    "duration": _values.DURATION,
    "date": _values.TIMESTAMP,
    "date-time": _values.TIMESTAMP,
}


def type_of(schema: Any, is_root: bool = False) -> Type | None:
    """The type of what a schema describes; None for what expressions do not see."""
    schema = _mapping(schema)
    if schema.get("x-kubernetes-int-or-string") is True:
        return _values.DYN
    if is_root or _is_embedded(schema):
        schema = _embedded(schema)
    kind = schema.get("type")
    if kind == "array":
        items = type_of(schema.get("items")) if schema.get("items") is not None else None
        return None if items is None else _values.list_of(items)
    if kind != "object":
        found = _SCALARS.get(kind) if isinstance(kind, str) else None
        return _FORMATS.get(schema.get("format"), found) if kind == "string" else found
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        value = type_of(rest)
        return None if value is None else _values.map_of(_values.STRING, value)
    fields: dict[str, Type] = {}
    for name, part in _mapping(schema.get("properties")).items():
        inner, seen = type_of(part), escaped(name)
        if inner is not None and seen:
            fields[seen] = inner
    return _values.object_of(fields)


def value_of(value: Any, schema: Any, is_root: bool = False) -> Any:
    """A value as expressions see it; what its schema does not take is a BadValue."""
    schema = _mapping(schema)
    if value is None:
        return None if schema.get("nullable") is True else BadValue("got null where it is no value")
    if schema.get("x-kubernetes-int-or-string") is True:
        return value if type(value) in (int, str) else BadValue("is neither a whole number nor a string")
    if is_root or _is_embedded(schema):
        schema = _embedded(schema)
    kind = schema.get("type")
    if kind == "object":
        return _object(value, schema) if isinstance(value, dict) else BadValue("is no object")
    if kind == "array":
        return _list(value, schema) if isinstance(value, list) else BadValue("is no list")
    if isinstance(kind, str) and kind in _SCALARS:
        return _scalar(value, kind, schema.get("format"))
    return Preserved(value)


def _object(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    fields, rest = _mapping(schema.get("properties")), schema.get("additionalProperties")
    if not fields and isinstance(rest, dict):
        return {str(key): value_of(item, rest) for key, item in value.items()}
    out: dict[str, Any] = {}
    for key, item in value.items():
        known = fields.get(key)
        name = escaped(str(key)) if known is not None else ""
        if known is None:
            out[str(key)] = Preserved(item)
        elif item is None and _mapping(known).get("nullable") is True:
            out[name or str(key)] = _values.NullField()
        else:
            out[name or str(key)] = value_of(item, known)
    return out


def _list(value: list[Any], schema: Mapping[str, Any]) -> list[Any]:
    items = [value_of(item, schema.get("items")) for item in value]
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        return _values.SetList(items)
    if kind == "map":
        keys = [str(key) for key in _sequence(schema.get("x-kubernetes-list-map-keys"))]
        return _values.KeyedList(items, [escaped(key) or key for key in keys])
    return items


def _scalar(value: Any, kind: str, format: Any) -> Any:
    if kind == "number" and type(value) in (int, float):
        return float(value)
    if kind == "integer" and type(value) is float and value.is_integer():
        value = int(value)
    if kind == "integer" and type(value) is int and -(2**63) <= value < 2**63:
        return value
    if kind == "boolean" and type(value) is bool:
        return value
    if kind != "string" or type(value) is not str:
        return BadValue(f"is not of type {kind}")
    try:
        return _text(value, format)
    except (ValueError, EvaluationError, binascii.Error):
        return BadValue(f"is no {format}")


_SPANS = {
    **dict.fromkeys(("ns", "nano"), 1),
    **dict.fromkeys(("us", "\u00b5s", "micro"), 10**3),
    **dict.fromkeys(("ms", "milli"), 10**6),
    **dict.fromkeys(("s", "sec", "second"), 10**9),
    **dict.fromkeys(("m", "min", "minute"), 60 * 10**9),
    **dict.fromkeys(("h", "hr", "hour"), 3600 * 10**9),
    **dict.fromkeys(("d", "day"), 24 * 3600 * 10**9),
    **dict.fromkeys(("w", "wk", "week"), 7 * 24 * 3600 * 10**9),
}
_SPAN = re.compile(r"([0-9]+)\s*([A-Za-z\u00b5]+)\s*", re.ASCII)


def _text(value: str, format: Any) -> Any:
    """
    Raises:
        ValueError, EvaluationError: the text is not of its format.
    """
    if format == "byte":
        return base64.b64decode(value, validate=True)
    if format == "date":
        return _standard.to_timestamp(f"{value}T00:00:00Z")
    if format == "date-time":
        return _standard.to_timestamp(value)
    return _duration(value) if format == "duration" else value


def _duration(value: str) -> _values.Duration:
    """A span as Go writes it, or in days and weeks, which only schemas know."""
    try:
        found: _values.Duration = _standard.to_duration(value)
        return found
    except EvaluationError:
        pieces = [found.groups() for found in _SPAN.finditer(value)]
        if not pieces or "".join(f"{count}{unit}" for count, unit in pieces) != re.sub(r"\s", "", value):
            raise
        units = [(int(count), unit if unit in _SPANS else unit.removesuffix("s")) for count, unit in pieces]
        if not all(unit in _SPANS for _count, unit in units):
            raise
        return _values.checked_duration(sum(count * _SPANS[unit] for count, unit in units))


# --- Rules ------------------------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    """One rule.

    text      as it is written
    program   what is asked; None where it cannot be
    wrong     why it cannot be asked
    message   what is said of what does not fit
    spoken    an expression that says it better, None for none
    below     the field that it is about, from where it stands
    is_late   whether it is about what was there before
    optional  whether it is asked where nothing was there before as well
    """

    text: str
    program: Program | None
    wrong: str
    message: str
    spoken: Program | None
    below: Sequence[str]
    is_late: bool
    optional: bool


class Level(NamedTuple):
    """The rules of a schema and of those inside it."""

    schema: Mapping[str, Any]
    is_root: bool
    rules: Sequence[_Rule]
    fields: Mapping[str, Level]
    values: Level | None
    items: Level | None
    parts: Sequence[Level]


def level_of(schema: Any) -> Level | None:
    """The rules of the schema of a whole custom resource; None where there are none.

    Raises:
        RecursionError: it is nested too deeply.
    """
    return _level(_mapping(schema), _mapping(schema), type_of(schema, True), True)


def _level(rules: Mapping[str, Any], schema: Mapping[str, Any], kind: Type | None, is_root: bool) -> Level | None:
    """The rules of one schema about what another one, itself as a rule, describes."""
    written = _sequence(rules.get("x-kubernetes-validations"))
    mine = [_rule(_mapping(one), schema, kind) for one in written]
    fields: dict[str, Level] = {}
    known = _mapping(schema.get("properties"))
    for name, part in _mapping(rules.get("properties")).items():
        # what expressions do not see has no rules, as in the API server
        inner = _inner(part, known.get(name)) if type_of(known.get(name)) is not None else None
        if inner is not None:
            fields[name] = inner
    values = _inner(rules.get("additionalProperties"), schema.get("additionalProperties"))
    items = _inner(rules.get("items"), schema.get("items"))
    parts = [_level(_mapping(part), schema, kind, is_root) for part in _sequence(rules.get("allOf"))]
    found = [part for part in parts if part is not None]
    if not (mine or fields or values or items or found):
        return None
    return Level(schema, is_root, [one for one in mine if one.text.strip()], fields, values, items, found)


def _inner(rules: Any, schema: Any) -> Level | None:
    if not isinstance(rules, dict) or not isinstance(schema, dict):
        return None
    return _level(rules, schema, type_of(schema), _is_embedded(schema))


def _rule(rule: Mapping[str, Any], schema: Mapping[str, Any], kind: Type | None) -> _Rule:
    text, optional = str(rule.get("rule") or ""), rule.get("optionalOldSelf") is True
    message = str(rule.get("message") or "").strip() or f"failed rule: {text.strip()}"
    out = _Rule(text, None, "", message, None, (), False, optional)
    if kind is None:
        return out._replace(wrong="expressions do not see what it is about")
    variables = {"self": kind, "oldSelf": _values.optional_of(kind) if optional else kind}
    try:
        program = Program(text, variables)
    except CompileError as error:
        return out._replace(wrong=str(error))
    if program.type.name != "bool":
        return out._replace(wrong=f"must be true or false, not {program.type}")
    spoken = None
    if rule.get("messageExpression"):
        try:
            spoken = Program(str(rule["messageExpression"]), variables)
        except CompileError:
            spoken = None  # the rule stands without it, as in the API server
        spoken = spoken if spoken is not None and spoken.type.name == "string" else None
    below = tuple(_steps(str(rule.get("fieldPath") or ""), schema))
    return out._replace(program=program, spoken=spoken, below=below, is_late=program.uses("oldSelf"))


_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def _steps(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """The steps of ".spec.names['a']"; none where the schema has no such field."""
    out: list[str] = []
    at, end = schema, 0
    for found in _STEP.finditer(path):
        if found.start() != end:
            return
        name = found[1] if found[1] is not None else re.sub(r"\\(.)", r"\1", found[2])
        inner = _mapping(at.get("properties")).get(name, at.get("additionalProperties"))
        if not isinstance(inner, dict):
            return
        out.append(name)
        at, end = inner, found.end()
    if end == len(path):
        yield from out


# --- Asking them ------------------------------------------------------------------------------------------------


def check(level: Level, value: Any, old: Any, faults: Faults, deadline: float) -> None:
    """Note what the rules find wrong with a custom resource.

    Args:
        level: the rules.
        value: the resource as it was written.
        old: what it takes the place of, None for nothing.
        faults: takes the faults.
        deadline: time.monotonic() after which rules are given up.
    """
    try:
        value = _crd.filled(value, level.schema)
        old = _crd.filled(old, level.schema) if old is not None else None
    except _crd.DefinitionError as error:
        faults.add(None, f"the CEL rules of its definition cannot be judged: {error}")
        return
    try:
        _Asking(Budget(deadline), faults).level(level, value, old, None)
    except OverLimit as error:
        faults.add(None, f"the CEL rules of its definition cannot be judged: the evaluation {error}")
    except RecursionError:
        faults.add(None, "is nested too deeply to be judged by the CEL rules of its definition")


class _Asking:
    def __init__(self, budget: Budget, faults: Faults) -> None:
        self.budget = budget
        self.faults = faults

    def level(self, level: Level, value: Any, old: Any, at: At) -> None:
        """Ask the rules of a level, and those inside."""
        if value is None:
            return  # whether null may be here is said by the level above
        if level.rules:
            self.rules(level, value, old, at)
        for part in level.parts:
            self.level(part, value, old, at)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, item in value.items():
                inner = level.fields.get(name, level.values)
                if inner is not None:
                    self.level(inner, item, before.get(name), (at, name))
        elif isinstance(value, list) and level.items is not None:
            known = _by_key(level.schema, old)
            for index, item in enumerate(value):
                self.level(level.items, item, known.get(_key(level.schema, item)), (at, index))

    def rules(self, level: Level, value: Any, old: Any, at: At) -> None:
        now = value_of(value, level.schema, level.is_root)
        then = None if old is None else value_of(old, level.schema, level.is_root)
        for rule in level.rules:
            if rule.program is None:
                self.faults.add(
                    at, f"the CEL rule {rule.text.strip()!r} of its definition cannot be used: {rule.wrong}"
                )
            elif not rule.is_late or old is not None or rule.optional:
                before = then if not rule.optional else Optional(old is not None, then)
                self.ask(rule, rule.program, {"self": now, "oldSelf": before}, at)

    def ask(self, rule: _Rule, program: Program, values: Mapping[str, Any], at: At) -> None:
        try:
            fits = program.evaluate(values, self.budget)
        except EvaluationError as error:
            what = f"the CEL rule {rule.text.strip()!r} of its definition has no answer: {error}"
            self.faults.add(at, what)
            return
        if fits is True:
            return
        for step in rule.below:
            at = (at, step)
        self.faults.add(at, self.message(rule, values))

    def message(self, rule: _Rule, values: Mapping[str, Any]) -> str:
        if rule.spoken is None:
            return rule.message
        try:
            found = rule.spoken.evaluate(values, self.budget)
        except EvaluationError:
            return rule.message
        text = found.strip() if isinstance(found, str) else ""
        return text if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE else rule.message


def _key(schema: Mapping[str, Any], item: Any) -> Any:
    """What an element of a list is known by; None where the schema names no keys."""
    keys = _sequence(schema.get("x-kubernetes-list-map-keys"))
    if schema.get("x-kubernetes-list-type") != "map" or not keys or not isinstance(item, dict):
        return None
    return tuple(_values.hashable(_values.of_json(item.get(key))) for key in keys)


def _by_key(schema: Mapping[str, Any], old: Any) -> Mapping[Any, Any]:
    found = {_key(schema, item): item for item in _sequence(old)}
    return {key: item for key, item in found.items() if key is not None}

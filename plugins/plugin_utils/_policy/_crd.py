# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Custom resources against the structural schemas of their CustomResourceDefinitions.

Source of the rules: "Extend the Kubernetes API with CustomResourceDefinitions" in the Kubernetes documentation.
CEL rules (x-kubernetes-validations) are asked by _crd_rules; `Definition.has_rules` says where there are some.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeGuard

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _schema
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import text_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._re2 import PatternError, compile_pattern
from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import At, Faults, Node, kind_of

GROUP, KIND = "apiextensions.k8s.io", "CustomResourceDefinition"

_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a string", (str,)),
    "boolean": ("true or false", (bool,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "array": ("a list", (list,)),
    "object": ("an object", (dict,)),
}


#: How many values defaults may fill in; a few lines could stand for billions of them otherwise.
MAX_FILLED_IN = 100_000


class DefinitionError(ValueError):
    """A definition whose schema cannot be used."""


class Definition(NamedTuple):
    """One version of a custom resource.

    node        what validates it
    namespaced  whether it lives in a namespace
    has_rules   whether its schema has CEL rules
    wrong       why nothing can be validated by it, "" as a rule
    schema      its schema
    """

    node: Node
    namespaced: bool
    has_rules: bool
    wrong: str = ""
    schema: Any = None


def is_definition(obj: Mapping[str, Any]) -> bool:
    """Whether an object is a CustomResourceDefinition that Kubernetes still takes."""
    return obj.get("kind") == KIND and obj.get("apiVersion") == f"{GROUP}/v1"


def definitions(objects: Iterable[Mapping[str, Any]]) -> Mapping[str, list[Definition]]:
    """Every version of every custom resource defined: "group/version/Kind" -> its definitions (as a rule one).

    "group//Kind" holds, for a kind whose version is not there, one entry that says which versions are.
    """
    out: dict[str, list[Definition]] = {}
    seen: set[str] = set()
    for obj in objects:
        if not is_definition(obj):
            continue
        text = json.dumps(obj, sort_keys=True, default=str)
        if text not in seen:
            seen.add(text)
            _define(obj, out)
    return out


def _define(obj: Mapping[str, Any], out: dict[str, list[Definition]]) -> None:
    spec = _mapping(obj.get("spec"))
    group, kind = text_of(spec.get("group")), text_of(_mapping(spec.get("names")).get("kind"))
    namespaced = spec.get("scope") == "Namespaced"
    served: list[str] = []
    for version in _sequence(spec.get("versions")):
        name = text_of(_mapping(version).get("name"))
        if _mapping(version).get("served") is not True:
            continue
        served.append(name)
        schema = _mapping(_mapping(version).get("schema")).get("openAPIV3Schema")
        out.setdefault(f"{group}/{name}/{kind}", []).append(
            _definition(schema, namespaced, spec.get("preserveUnknownFields") is True)
        )
    wrong = f"{kind} of {group} is served in {', '.join(sorted(served)) or 'no version'}, not in this one"
    out.setdefault(f"{group}//{kind}", []).append(Definition(Node(), namespaced, False, wrong))


def _definition(schema: Any, namespaced: bool, lax: bool) -> Definition:
    try:
        node = _Root(schema if schema is not None else {"type": "object"}, lax)
    except (DefinitionError, RecursionError) as error:
        return Definition(Node(), namespaced, False, f"its definition cannot be used: {error}")
    return Definition(node, namespaced, _has_rules(schema), schema=schema)


def node_of(schema: Any, lax: bool = False) -> Node:
    """The node of the schema of a whole custom resource; `lax` keeps all fields that it does not know.

    Raises:
        DefinitionError: the schema cannot be used.
    """
    return _Root(schema, lax)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _has_rules(schema: Any) -> bool:
    """Whether a schema has CEL rules anywhere."""
    todo = [schema]
    while todo:
        found = todo.pop()
        if isinstance(found, dict):
            if found.get("x-kubernetes-validations") not in (None, []):
                return True
            todo.extend(found.values())
        elif isinstance(found, list):
            todo.extend(found)
    return False


# --- The schema as nodes ----------------------------------------------------------------------------------------

_Look = Callable[[Any], str]


class _Value(Node):
    """One schema: its type, its conditions, and what is inside.

    lax   nothing is said here, nor inside, about which fields there are: in the parts of allOf and its like
    keep  unknown fields are kept, here but not inside: x-kubernetes-preserve-unknown-fields
    """

    __slots__ = (
        "fields",
        "items",
        "keep",
        "keys",
        "lax",
        "looks",
        "name",
        "nullable",
        "parts",
        "required",
        "types",
        "values",
    )

    def __init__(self, schema: Any, lax: bool = False) -> None:
        if not isinstance(schema, dict):
            raise DefinitionError(f"a schema must be an object, not {kind_of(schema)}")
        self.lax = lax
        self.keep = lax or schema.get("x-kubernetes-preserve-unknown-fields") is True
        self.name, self.types = _types(schema)
        self.nullable = schema.get("nullable") is True
        self.required = [str(name) for name in _sequence(schema.get("required"))]
        self.looks = list(_looks(schema))
        self.parts = _parts(schema)
        self.fields = {name: self.inner(part) for name, part in _mapping(schema.get("properties")).items()}
        extra = schema.get("additionalProperties")
        self.values: Node | None = None
        if extra is not None and extra is not False:
            self.values = Node() if extra is True else self.inner(extra)
        self.items = self.inner(schema["items"]) if schema.get("items") is not None else None
        self.keys = _list_keys(schema)
        if schema.get("x-kubernetes-embedded-resource") is True:
            self.embed()
            self.parts.append(_embedded)

    def inner(self, schema: Any) -> Node:
        """The node of a schema inside this one."""
        return _Value(schema, self.lax)

    def embed(self) -> None:
        """An object of Kubernetes inside: it has a kind and metadata whatever the schema says."""
        self.fields.setdefault("apiVersion", _schema.STRING)
        self.fields.setdefault("kind", _schema.STRING)
        self.fields["metadata"] = _schema.schemas().struct("ObjectMeta")
        self.required += [name for name in ("apiVersion", "kind") if name not in self.required]

    def check(self, value: Any, at: At, faults: Faults) -> None:
        if self.types and not self.fits(value):
            faults.add(at, f"must be {self.name}, not {kind_of(value)}")
            return
        for look in self.looks:
            wrong = look(value)
            if wrong:
                faults.add(at, wrong)
        if isinstance(value, dict):
            self.check_fields(value, at, faults)
        elif isinstance(value, list):
            self.check_items(value, at, faults)
        for part in self.parts:
            part(value, at, faults)

    def fits(self, value: Any) -> bool:
        """Whether the value is of the schema's type."""
        if type(value) in self.types:
            return True
        return int in self.types and type(value) is float and value.is_integer()

    def check_fields(self, value: Mapping[str, Any], at: At, faults: Faults) -> None:
        """Look into an object."""
        for key, item in value.items():
            node = self.fields.get(key, self.values)
            if node is None:
                if not self.keep:
                    faults.add_unknown(at, key, self.fields)
            elif item is not None:
                node.check(item, (at, key), faults)
            elif isinstance(node, _Value) and self.may_be_null(key):
                node.check_null((at, key), faults)
        for name in self.required:
            if value.get(name) is None and not (name in value and self.may_be_null(name)):
                faults.add((at, name), _schema.MISSING)

    def check_null(self, at: At, faults: Faults) -> None:
        """Look at null where it is a value; elsewhere it counts as no value."""
        for wrong in filter(None, (look(None) for look in self.looks)):
            faults.add(at, wrong)

    def may_be_null(self, name: str) -> bool:
        """Whether null is a value of a field; parts of allOf and its like do not say, and see only null that is one."""
        node = self.fields.get(name, self.values)
        return self.lax or (isinstance(node, _Value) and node.nullable)

    def check_items(self, value: list[Any], at: At, faults: Faults) -> None:
        """Look into a list."""
        items = self.items
        for index, item in enumerate(value):
            if items is not None and item is not None:
                items.check(item, (at, index), faults)
            elif isinstance(items, _Value) and items.types and not items.nullable:
                faults.add((at, index), f"must be {items.name}, not null")
            elif isinstance(items, _Value):
                items.check_null((at, index), faults)
        if self.keys is not None:
            self.keys.compare(value, at, faults)


class _Root(_Value):
    """The schema of a whole custom resource; what is checked is filled in before, as in the API server."""

    __slots__ = ("schema",)

    def __init__(self, schema: Any, lax: bool) -> None:
        super().__init__(schema, lax)
        self.schema = schema
        self.embed()

    def check(self, value: Any, at: At, faults: Faults) -> None:
        try:
            value = filled(value, self.schema)
        except DefinitionError as error:
            faults.add(at, f"cannot be judged: {error}")
            return
        super().check(value, at, faults)


def filled(value: Any, schema: Any) -> Any:
    """A value without null where that is none, and with the defaults of its schema where their parents are.

    Args:
        value: a value as it was written; it stays what it is.
        schema: its schema; anything in it that is malformed fills in nothing.

    Raises:
        DefinitionError: more than MAX_FILLED_IN values would be filled in.
    """
    return _Filling().of(value, schema)


class _Filling:
    """Fills in defaults, and counts their values."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, value: Any, schema: Any) -> Any:
        """The value with what is missing in it."""
        known = _mapping(schema)
        if isinstance(value, list):
            inner = _mapping(known.get("items"))
            default = None if inner.get("nullable") is True else inner.get("default")
            return [
                self._filled_in(default, inner) if item is None and default is not None else self.of(item, inner)
                for item in value
            ]
        if not isinstance(value, dict):
            return value
        fields, rest = _mapping(known.get("properties")), known.get("additionalProperties")
        out: dict[Any, Any] = {}
        for name, item in value.items():
            inner = fields.get(name, rest)
            if item is not None:
                out[name] = self.of(item, inner)
            elif not isinstance(inner, dict) or inner.get("nullable") is True:
                out[name] = None
            elif inner.get("default") is not None:
                out[name] = self._filled_in(inner["default"], inner)
        for name, inner in fields.items():
            default = _mapping(inner).get("default")
            if name not in out and default is not None:
                out[name] = self._filled_in(default, inner)
        return out

    def _filled_in(self, default: Any, schema: Any) -> Any:
        todo = [default]
        while todo:
            one = todo.pop()
            self._count += 1
            if self._count > MAX_FILLED_IN:
                raise DefinitionError(f"the defaults of its definition stand for more than {MAX_FILLED_IN} values")
            todo += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return self.of(default, schema)


def _types(schema: Mapping[str, Any]) -> tuple[str, tuple[type, ...]]:
    if schema.get("x-kubernetes-int-or-string") is True:
        return "a whole number or a string", (int, str)
    name = schema.get("type")
    if name in (None, ""):
        return "anything", ()
    if not isinstance(name, str) or name not in _TYPES:
        raise DefinitionError(f"there is no type {name!r}")
    return _TYPES[name]


def _list_keys(schema: Mapping[str, Any]) -> _schema.ListOf | None:
    """What compares the elements of a list, where the schema says that they differ."""
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set" or schema.get("uniqueItems") is True:
        return _schema.SetOf(Node())
    if kind != "map":
        return None
    fields = _mapping(_mapping(schema.get("items")).get("properties"))
    keys = [str(key) for key in _sequence(schema.get("x-kubernetes-list-map-keys"))]
    return _schema.KeyedList(Node(), [(key, _mapping(fields.get(key)).get("default")) for key in keys])


# --- Parts: allOf, anyOf, oneOf, not ----------------------------------------------------------------------------

_Part = Callable[[Any, At, Faults], None]


def _parts(schema: Mapping[str, Any]) -> list[_Part]:
    out: list[_Part] = []
    for word, make in (("allOf", _all_of), ("anyOf", _any_of), ("oneOf", _one_of)):
        branches = [_Value(part, lax=True) for part in _sequence(schema.get(word))]
        if branches:
            out.append(make(branches))
    if schema.get("not") is not None:
        out.append(_not(_Value(schema["not"], lax=True)))
    return out


def _all_of(branches: Sequence[Node]) -> _Part:
    def part(value: Any, at: At, faults: Faults) -> None:
        for branch in branches:
            branch.check(value, at, faults)

    return part


#: What the fields that name the kind of an object inside another look like.
_NAMING = (
    ("apiVersion", re.compile(r"(?=.)[^/]*(/[^/]*)?", re.DOTALL), "is no version of an API; write v1 or apps/v1"),
    ("kind", re.compile(r"[A-Za-z]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"), "is no kind; write Pod"),
)


def _embedded(value: Any, at: At, faults: Faults) -> None:
    for field, pattern, wrong in _NAMING if isinstance(value, dict) else ():
        found = value.get(field)
        if isinstance(found, str) and pattern.fullmatch(found) is None:
            faults.add((at, field), wrong)


def _fitting(branches: Sequence[Node], value: Any) -> list[Faults]:
    """What each branch finds wrong."""
    out = []
    for branch in branches:
        faults = Faults()
        branch.check(value, None, faults)
        out.append(faults)
    return out


def _any_of(branches: Sequence[Node]) -> _Part:
    def part(value: Any, at: At, faults: Faults) -> None:
        if all(one.found for one in _fitting(branches, value)):
            faults.add(at, "fits none of the forms that its definition allows (anyOf)")

    return part


def _one_of(branches: Sequence[Node]) -> _Part:
    def part(value: Any, at: At, faults: Faults) -> None:
        fitting = sum(1 for one in _fitting(branches, value) if not one.found)
        if fitting != 1:
            how = "none" if not fitting else "more than one"
            faults.add(at, f"fits {how} of the forms of which its definition wants exactly one (oneOf)")

    return part


def _not(branch: Node) -> _Part:
    def part(value: Any, at: At, faults: Faults) -> None:
        if not _fitting([branch], value)[0].found:
            faults.add(at, "has the form that its definition forbids (not)")

    return part


# --- Conditions on one value ------------------------------------------------------------------------------------


def _looks(schema: Mapping[str, Any]) -> Iterator[_Look]:
    values = schema.get("enum")
    if isinstance(values, list):
        yield _enum(values)
    yield from _bounds(schema)
    yield from _sizes(schema)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern:
        yield _pattern(pattern)
    yield from _formats(schema)


def _enum(values: Sequence[Any]) -> _Look:
    # the API server finds null in no enum, whether it is listed or not
    known = {_schema.frozen(value) for value in values if value is not None}
    names = ", ".join(json.dumps(value, default=str) for value in values)[:300]

    def look(value: Any) -> str:
        return "" if _schema.frozen(value) in known else f"must be one of {names}, not {_schema.shown(value)}"

    return look


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)


def _bounds(schema: Mapping[str, Any]) -> Iterator[_Look]:
    low, high, step = (schema.get(word) for word in ("minimum", "maximum", "multipleOf"))
    if schema.get("type") == "integer":
        yield from _not_whole(schema, {"minimum": low, "maximum": high, "multipleOf": step})
    if _is_number(low):
        yield _at_least(low, schema.get("exclusiveMinimum") is True)
    if _is_number(high):
        yield _at_most(high, schema.get("exclusiveMaximum") is True)
    if _is_number(step):
        yield _multiple(step)


def _not_whole(schema: Mapping[str, Any], bounds: Mapping[str, Any]) -> Iterator[_Look]:
    """Bounds of whole numbers that are none themselves: the API server takes no value then."""
    look = _NUMBERS.get(("integer", text_of(schema.get("format"))), _INT64)
    for word, bound in bounds.items():
        if _is_number(bound) and (bound != bound // 1 or look(bound)):
            wrong = f"cannot be valid: {word} {bound} of its definition is no such whole number"
            yield partial(_always, wrong)


def _always(wrong: str, value: Any) -> str:
    return wrong if value is not None else ""


def _at_least(bound: float, above: bool) -> _Look:
    def look(value: Any) -> str:
        if not _is_number(value) or value > bound or (value == bound and not above):
            return ""
        return f"must be {'more than' if above else 'at least'} {bound}"

    return look


def _at_most(bound: float, below: bool) -> _Look:
    def look(value: Any) -> str:
        if not _is_number(value) or value < bound or (value == bound and not below):
            return ""
        return f"must be {'less than' if below else 'at most'} {bound}"

    return look


def _multiple(step: float) -> _Look:
    def look(value: Any) -> str:
        if not _is_number(value):
            return ""
        if not 0 < step < inf or not abs(value) < 2**63:
            fits = False
        elif value == value // 1:
            # the API server takes the whole part of the step for whole numbers
            fits = int(step) > 0 and value % int(step) == 0 and value % step == 0
        else:
            fits = value / step == value / step // 1
        return "" if fits else f"must be a multiple of {step}"

    return look


#: (word for the least, word for the most, type, what is counted)
_SIZES: Sequence[tuple[str, str, type[Sized], str]] = (
    ("minLength", "maxLength", str, "characters"),
    ("minItems", "maxItems", list, "elements"),
    ("minProperties", "maxProperties", dict, "fields"),
)


def _sizes(schema: Mapping[str, Any]) -> Iterator[_Look]:
    for least, most, kind, what in _SIZES:
        low, high = schema.get(least), schema.get(most)
        if _is_number(low) or _is_number(high):
            yield _size(kind, what, low if _is_number(low) else 0, high if _is_number(high) else None)


def _size(kind: type[Sized], what: str, low: float, high: float | None) -> _Look:
    def look(value: Any) -> str:
        if not isinstance(value, kind):
            return ""
        if len(value) < low:
            return f"must have at least {low} {what}"
        return f"must have at most {high} {what}" if high is not None and len(value) > high else ""

    return look


def _pattern(text: str) -> _Look:
    try:
        pattern = compile_pattern(text)
    except PatternError as error:
        wrong = f"cannot be checked: the pattern of its definition cannot be read: {error}"
        return lambda value: wrong if isinstance(value, str) else ""

    def look(value: Any) -> str:
        if not isinstance(value, str):
            return ""
        try:
            return "" if pattern.search(value) else f"does not match the pattern {text[:200]}"
        except PatternError as error:
            return f"cannot be checked: {error}"

    return look


def _format(what: str, fits: Callable[[str], object], longest: int = 256) -> _Look:
    """A format of strings; `fits` raises ValueError or gives false for what is none."""

    def look(value: Any) -> str:
        if not isinstance(value, str):
            return ""
        try:
            good = len(value) <= longest and fits(value)
        except ValueError:
            good = False
        return "" if good else f"is no {what}"

    return look


def _between(low: float, high: float) -> _Look:
    def look(value: Any) -> str:
        return "is out of range" if _is_number(value) and not low <= value <= high else ""

    return look


def _byte(value: Any) -> str:
    # unlike in Kubernetes' own kinds, neither nothing at all nor the end of a line is base64 here
    return _schema.look_base64(value.replace("\n", "-") or "-") if isinstance(value, str) else ""


#: The largest number of 32 bits.
_FLOAT32 = (2 - 2**-23) * 2.0**127
_HEX = "[0-9a-fA-F]"
_UUID = rf"{_HEX}{{8}}-?{_HEX}{{4}}-?%s{_HEX}{{3}}-?%s{_HEX}{{3}}-?{_HEX}{{12}}"
_MAC = re.compile(rf"({_HEX}{{2}})+|{_HEX}{{2}}((:{_HEX}{{2}})+|(-{_HEX}{{2}})+)|{_HEX}{{4}}(\.{_HEX}{{4}})+", re.ASCII)
_WORDS = r"[\w!#$%&'*+/=?^`{|}~\x80-\U0010ffff-]+"
_QUOTED = r'"(?>[^"\\\r\n]|\\.)*+"'
_MAILBOX = rf"({_WORDS}(\.{_WORDS})*|{_QUOTED})@({_WORDS}(\.{_WORDS})*|\[[0-9a-fA-F.:]+\])"
#: An address as RFC 5322 has it, with or without a name before it.
_EMAIL = re.compile(rf"[ \t]*+({_MAILBOX}|(?>(?>{_WORDS}|\.|{_QUOTED})[ \t]*+)*+<{_MAILBOX}>)[ \t]*+", re.ASCII)
#: One word with at most one hyphen, after its first letter; or a domain that ends in letters.
_HOSTNAME = re.compile(r"[^\W_](-?[^\W_]{0,62})?|([^\W_](([^\W_]|-){0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
#: A duration as Go has it; elsewhere a whole number and a unit of time somewhere in the text are one, too.
_DURATION = re.compile(r"[+-]?(0|((\d{1,18}\.?\d*|\.\d+)([num\u00b5\u03bc]?s|m|h))+)", re.ASCII)
_TIMES = re.compile(r"([0-9]+)[\t\n\f\r ]*([A-Za-z\u00b5]+)")
_UNIT = re.compile(r"(nano|micro|milli|sec|min|hour|day|week).*|[nu\u00b5]s|m?s|[mhdw]|hr|wk")
_COLOR = r"\s*(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*"
#: Who issues payment cards: first and last of their numbers' first digits, and how many digits a number has.
_CARDS = (
    ("4", "4", (13, 16)),
    ("51", "55", (16,)),
    ("6011", "6011", (16,)),
    ("65", "65", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "38", (14,)),
    ("2131", "2131", (15,)),
    ("1800", "1800", (15,)),
    ("35", "35", (16,)),
)


def _matches(pattern: str | re.Pattern[str]) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch if isinstance(pattern, str) else pattern.fullmatch


def _is_duration(value: str) -> bool:
    times = _TIMES.findall(value)
    if any(int(number) >= 2**63 for number, _unit in times):
        return False
    return any(_UNIT.fullmatch(unit.lower()) for _number, unit in times) or _DURATION.fullmatch(value) is not None


def _plain(value: str) -> str:
    """A number without what groups its digits."""
    return re.sub(r"[\t\n\f\r -]+", "", value)


def _is_card(value: str) -> bool:
    digits = re.sub("[^0-9]+", "", value)
    known = any(low <= digits[: len(low)] <= high and len(digits) in sizes for low, high, sizes in _CARDS)
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return known and (sum(doubled) + sum(map(int, digits[::-2]))) % 10 == 0


def _is_isbn10(value: str) -> bool:
    digits = _plain(value)
    if re.fullmatch("[0-9]{9}[0-9X]", digits) is None:
        return False
    return sum(at * (10 if digit == "X" else int(digit)) for at, digit in enumerate(digits, start=1)) % 11 == 0


def _is_isbn13(value: str) -> bool:
    digits = _plain(value)
    if re.fullmatch("[0-9]{13}", digits) is None:
        return False
    return sum((1, 3)[at % 2] * int(digit) for at, digit in enumerate(digits)) % 10 == 0


def _is_mac(value: str) -> bool:
    return _MAC.fullmatch(value) is not None and sum(map(str.isalnum, value)) in (12, 16, 40)


def _is_uri(value: str) -> bool:
    # only a definition that asks for URIs pays for what they need
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _kubernetes

    return _kubernetes.is_uri(value)


def _is_time(value: str) -> bool:
    return _schema.TIME.fullmatch(value.upper()) is not None and _is_date(value[:10])


def _is_network(value: str) -> bool:
    address, _, length = value.partition("/")
    return length.isdecimal() and ipaddress.ip_interface(f"{address}/{int(length)}") is not None and value.isascii()


def _is_date(value: str) -> bool:
    return _DATE.fullmatch(value) is not None and datetime.date.fromisoformat(value) is not None


#: Formats of strings, without hyphens, as the API server compares their names; it ignores those it does not know.
_STRINGS: Mapping[str, _Look] = {
    "bsonobjectid": _format("object id of BSON", _matches(f"{_HEX}{{24}}")),
    "byte": _byte,
    "cidr": _format("network (10.0.0.0/8)", _is_network),
    "creditcard": _format("number of a payment card", _is_card),
    "date": _format("date; write 2026-01-31", _is_date),
    "datetime": _format("time; write 2026-01-31T12:00:00Z", _is_time),
    "duration": _format("duration; write 90s or 1h30m", _is_duration),
    "email": _format("e-mail address", _matches(_EMAIL)),
    "hexcolor": _format("color; write #336699", _matches(f"#?({_HEX}{{3}}|{_HEX}{{6}})")),
    "hostname": _format("host name", _matches(_HOSTNAME)),
    "ipv4": _format("IPv4 address", ipaddress.IPv4Address),
    "ipv6": _format("IPv6 address", lambda value: "%" not in value and ipaddress.IPv6Address(value)),
    "isbn": _format("ISBN", lambda value: _is_isbn10(value) or _is_isbn13(value)),
    "isbn10": _format("ISBN of 10 digits", _is_isbn10),
    "isbn13": _format("ISBN of 13 digits", _is_isbn13),
    "k8slongname": _format("long name", _matches(rf"{_PART}(\.{_PART})*"), longest=253),
    "k8sshortname": _format("short name", _matches(_LABEL)),
    "mac": _format("MAC address", _is_mac),
    "rgbcolor": _format("color; write rgb(51, 102, 153)", _matches(rf"rgb\({_COLOR},{_COLOR},{_COLOR}\)")),
    "ssn": _format("social security number", _matches(r"\d{3}[- ]\d{2}[- ]\d{4}")),
    "uri": _format("URI", _is_uri, longest=65536),
    "uuid": _format("UUID", _matches(_UUID % (_HEX, _HEX))),
    "uuid3": _format("UUID of version 3", _matches(_UUID % ("3", _HEX))),
    "uuid4": _format("UUID of version 4", _matches(_UUID % ("4", "[89abAB]"))),
    "uuid5": _format("UUID of version 5", _matches(_UUID % ("5", "[89abAB]"))),
}
_INT64 = _between(-(2**63), 2**63 - 1)
_NUMBERS: Mapping[tuple[str, str], _Look] = {
    ("integer", "int32"): _between(-(2**31), 2**31 - 1),
    ("number", "float"): _between(-_FLOAT32, _FLOAT32),
}
_ANY_NUMBER = {"integer": _INT64, "number": _between(-sys.float_info.max, sys.float_info.max)}


def _formats(schema: Mapping[str, Any]) -> Iterator[_Look]:
    """What looks at the format of a schema; a number has bounds without any, too."""
    kind, name = text_of(schema.get("type")), text_of(schema.get("format"))
    if kind in ("", "string") and name.replace("-", "") in _STRINGS:
        yield _STRINGS[name.replace("-", "")]
    whole = "integer" if schema.get("x-kubernetes-int-or-string") is True else kind
    if whole in _ANY_NUMBER:
        yield _NUMBERS.get((kind, name), _ANY_NUMBER[whole])


def format_fault(name: str, value: Any) -> str:
    """What is wrong with a value of a format; "" where nothing is, and for a format that is not known."""
    look = _STRINGS.get(name.replace("-", ""))
    return look(value) if look is not None else ""

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
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
    int_or_string = schema.get("x-kubernetes-int-or-string") is True
    for word, make in (("allOf", _all_of), ("anyOf", _any_of), ("oneOf", _one_of)):
        branches = [_Value(part, lax=True) for part in _sequence(schema.get(word))]
        # the anyOf of integer and string that stands beside int-or-string adds nothing
        if branches and not (int_or_string and word == "anyOf" and len(branches) == 2):
            out.append(make(branches))
    if schema.get("not") is not None:
        out.append(_not(_Value(schema["not"], lax=True)))
    return out


def _all_of(branches: Sequence[Node]) -> _Part:
    def part(value: Any, at: At, faults: Faults) -> None:
        for branch in branches:
            branch.check(value, at, faults)

    return part


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
    look = _FORMATS.get(text_of(schema.get("format")))
    if look is not None:
        yield look


def _enum(values: Sequence[Any]) -> _Look:
    known = {_schema.frozen(value) for value in values}
    names = ", ".join(json.dumps(value, default=str) for value in values)[:300]

    def look(value: Any) -> str:
        return "" if _schema.frozen(value) in known else f"must be one of {names}, not {_schema.shown(value)}"

    return look


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)


def _bounds(schema: Mapping[str, Any]) -> Iterator[_Look]:
    low, high, step = (schema.get(word) for word in ("minimum", "maximum", "multipleOf"))
    if _is_number(low):
        yield _at_least(low, schema.get("exclusiveMinimum") is True)
    if _is_number(high):
        yield _at_most(high, schema.get("exclusiveMaximum") is True)
    if _is_number(step) and step > 0:
        yield _multiple(step)


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
        if type(value) is int and type(step) is int:
            return "" if value % step == 0 else f"must be a multiple of {step}"
        quotient = value / step
        return "" if abs(quotient) < 1e300 and quotient == int(quotient) else f"must be a multiple of {step}"

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


def _format(what: str, fits: Callable[[str], object]) -> _Look:
    """A format of strings; `fits` raises ValueError or gives false for what is none."""

    def look(value: Any) -> str:
        if not isinstance(value, str):
            return ""
        try:
            good = len(value) <= 256 and fits(value)
        except ValueError:
            good = False
        return "" if good else f"is no {what}"

    return look


def _between(low: int, high: int) -> _Look:
    def look(value: Any) -> str:
        return "is out of range" if _is_number(value) and not low <= value <= high else ""

    return look


def _byte(value: Any) -> str:
    # unlike in Kubernetes' own kinds, neither nothing at all nor the end of a line is base64 here
    return _schema.look_base64(value.replace("\n", "-") or "-") if isinstance(value, str) else ""


_HEX = "[0-9a-fA-F]"
_UUID = rf"{_HEX}{{8}}-?{_HEX}{{4}}-?%s{_HEX}{{3}}-?%s{_HEX}{{3}}-?{_HEX}{{12}}"
_MAC = re.compile(rf"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+", re.ASCII)
#: One word with at most one hyphen, after its first letter; or a domain that ends in letters.
_HOSTNAME = re.compile(r"[^\W_](-?[^\W_]{0,62})?|([^\W_](([^\W_]|-){0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
#: The authority of a URI may have brackets around an IPv6 address only.
_IPV6_HOST = rf"([^/?@\[\] <>\"]*@)?\[{_HEX}*:[0-9a-fA-F:.]*(%25[^/?\[\] <>\"]+)?\](:[0-9]*)?([/?]|\Z)"
_URI = re.compile(
    rf"(/|[A-Za-z][A-Za-z0-9+.-]*:(?!//(?!{_IPV6_HOST})[^/?]*[ <>\"\[]))([^\x00-\x20\x7f%]| |%{_HEX}{{2}})*", re.ASCII
)
_DURATION = re.compile(r"[+-]?0|.*[0-9]\s*[A-Za-z\u00b5\u03bc].*", re.DOTALL)


def _matches(pattern: str | re.Pattern[str]) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch if isinstance(pattern, str) else pattern.fullmatch


def _is_time(value: str) -> bool:
    return _schema.TIME.fullmatch(value.upper()) is not None and _is_date(value[:10])


def _is_network(value: str) -> bool:
    address, _, length = value.partition("/")
    return length.isdecimal() and ipaddress.ip_interface(f"{address}/{int(length)}") is not None and value.isascii()


def _is_date(value: str) -> bool:
    return _DATE.fullmatch(value) is not None and datetime.date.fromisoformat(value) is not None


#: Formats that are looked at; the API server ignores those it does not know, and so are the rest here.
_FORMATS: Mapping[str, _Look] = {
    "int32": _between(-(2**31), 2**31 - 1),
    "int64": _between(-(2**63), 2**63 - 1),
    "date-time": _format("time; write 2026-01-31T12:00:00Z", _is_time),
    "datetime": _format("time; write 2026-01-31T12:00:00Z", _is_time),
    "date": _format("date; write 2026-01-31", _is_date),
    "duration": _format("duration; write 90s or 1h30m", _matches(_DURATION)),
    "byte": _byte,
    "ipv4": _format("IPv4 address", ipaddress.IPv4Address),
    "ipv6": _format("IPv6 address", lambda value: "%" not in value and ipaddress.IPv6Address(value)),
    "cidr": _format("network (10.0.0.0/8)", _is_network),
    "uuid": _format("UUID", _matches(_UUID % (_HEX, _HEX))),
    "uuid3": _format("UUID of version 3", _matches(_UUID % ("3", _HEX))),
    "uuid4": _format("UUID of version 4", _matches(_UUID % ("4", "[89abAB]"))),
    "uuid5": _format("UUID of version 5", _matches(_UUID % ("5", "[89abAB]"))),
    "mac": _format("MAC address", _matches(_MAC)),
    "email": _format("e-mail address", _matches(_EMAIL)),
    "hostname": _format("host name", _matches(_HOSTNAME)),
    "uri": _format("URI", _matches(_URI)),
    "k8s-short-name": _format("short name", _matches(_LABEL)),
    "k8s-long-name": _format("long name", _matches(rf"{_LABEL}(\.{_LABEL})*")),
}


def format_fault(name: str, value: Any) -> str:
    """What is wrong with a value of a format; "" where nothing is, and for a format that is not known."""
    look = _FORMATS.get(name)
    return look(value) if look is not None else ""

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CEL's types and values, and what can be said of any two of them: equality and order.

How values are held: int and bool as they are, uint as UInt, double as float, string as str, bytes as bytes, null as
None, list as list, map as dict, and the rest as the classes below.  Errors are exceptions.

Source of the rules: the CEL language definition, and cel-go where it is more exact: int and uint are compared to a
double as doubles, and what is of another type is not equal, without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import UInt


class EvaluationError(Exception):
    """An expression that has no value for what it is asked about."""


class NoOverload(EvaluationError):
    """A function or operator that is not there for values of these types."""


class OverLimit(Exception):
    """An evaluation that takes too long or makes too much; nothing around it takes that for a value."""


# --- Types ------------------------------------------------------------------------------------------------------


class Type(NamedTuple):
    """A type: its name, what it is of (list, map, optional_type), and the fields of a declared object.

    A name of one capital letter stands for any type, the same one each time within a signature.
    """

    name: str
    of: tuple[Type, ...] = ()
    fields: Mapping[str, Type] | None = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.of))})" if self.of else self.name


DYN, BOOL, INT, UINT, DOUBLE = Type("dyn"), Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL, TYPE = Type("string"), Type("bytes"), Type("null_type"), Type("type")
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
QUANTITY, SEMVER, URL = Type("kubernetes.Quantity"), Type("kubernetes.Semver"), Type("kubernetes.URL")
IP, CIDR, FORMAT = Type("net.IP"), Type("net.CIDR"), Type("kubernetes.NamedFormat")

#: Types as signatures write them.
_SHORT = {
    **{one.name: one for one in (DYN, BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TYPE)},
    "timestamp": TIMESTAMP,
    "duration": DURATION,
    "quantity": QUANTITY,
    "semver": SEMVER,
    "url": URL,
    "ip": IP,
    "cidr": CIDR,
    "format": FORMAT,
}


def list_of(inner: Type) -> Type:
    """The type of a list."""
    return Type("list", (inner,))


def map_of(key: Type, value: Type) -> Type:
    """The type of a map."""
    return Type("map", (key, value))


def optional_of(inner: Type) -> Type:
    """The type of an optional value."""
    return Type("optional_type", (inner,))


def object_of(fields: Mapping[str, Type]) -> Type:
    """The type of an object with these fields and no others."""
    return Type("object", (), fields)


def read_types(text: str) -> list[Type]:
    """The types of a list such as "string, list(A), map(string, dyn)"."""
    out: list[Type] = []
    depth, begin = 0, 0
    for place, char in enumerate(f"{text},"):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            word = text[begin:place].strip()
            begin = place + 1
            if word:
                out.append(_read_type(word))
    return out


def _read_type(word: str) -> Type:
    name, _, inner = word.partition("(")
    if not inner:
        return _SHORT.get(name, Type(name))
    return Type("optional_type" if name == "optional" else name, tuple(read_types(inner[:-1])))


# --- Values that Python has no type for -------------------------------------------------------------------------


class Optional(NamedTuple):
    """An optional value: none, or one."""

    there: bool
    value: Any = None


NONE = Optional(False)


class Timestamp(NamedTuple):
    """A moment, in nanoseconds since 1970, and the minutes from UTC with which it is shown."""

    nanoseconds: int
    offset: int = 0


class Duration(NamedTuple):
    """A span of time, in nanoseconds."""

    nanoseconds: int


class Opaque(NamedTuple):
    """A value that only functions look into.

    type   its type
    value  what it is compared by
    note   what functions hold of it besides
    """

    type: Type
    value: Any
    note: Any = None


class Preserved(NamedTuple):
    """Data that no schema describes: it can be compared, and nothing else."""

    value: Any


class BadValue(NamedTuple):
    """In the place of data that its schema does not take; whoever reads it gets an error."""

    message: str


class NullField(NamedTuple):
    """In the place of null in a field of an object with a schema: it counts as a field, and cannot be read."""


class BoolKey(NamedTuple):
    """A boolean as the key of a map: for Python, true and 1 would be the same key."""

    value: bool


class SetList(list[Any]):
    """A list that is a set (x-kubernetes-list-type: set): order does not matter, and adding to it is a union."""


class KeyedList(list[Any]):
    """A list whose elements are known by some of their fields (x-kubernetes-list-type: map)."""

    def __init__(self, items: Iterable[Any], keys: Sequence[str]) -> None:
        super().__init__(items)
        self.keys = keys

    def identity(self, item: Any) -> tuple[Any, ...]:
        """What an element is known by."""
        if not isinstance(item, dict):
            raise EvaluationError("an element of a list with keys is no object")
        return tuple(hashable(item.get(key)) for key in self.keys)


_NAMES: Mapping[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    SetList: "list",
    KeyedList: "list",
    dict: "map",
    Timestamp: TIMESTAMP.name,
    Duration: DURATION.name,
    Optional: "optional_type",
    Type: "type",
    Preserved: "unknown",
    BadValue: "error",
    NullField: "null_type",
}


def name_of(value: Any) -> str:
    """Name of a value's type."""
    return value.type.name if type(value) is Opaque else _NAMES.get(type(value), "unknown")


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value is of a type, as far as can be seen without looking into it."""
    return wanted.name == "dyn" or len(wanted.name) == 1 or name_of(value) == wanted.name


def checked_int(value: int) -> int:
    """
    Raises:
        EvaluationError: 64 bits do not hold it.
    """
    if not -(2**63) <= value < 2**63:
        raise EvaluationError("integer overflow")
    return value


def checked_uint(value: int) -> UInt:
    """
    Raises:
        EvaluationError: it is negative, or 64 bits do not hold it.
    """
    if not 0 <= value < 2**64:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


#: The years 1 to 9999, in nanoseconds since 1970.
_FIRST, _LAST = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9


def checked_timestamp(nanoseconds: int, offset: int = 0) -> Timestamp:
    """
    Raises:
        EvaluationError: the year is not from 1 to 9999.
    """
    if not _FIRST <= nanoseconds < _LAST:
        raise EvaluationError("timestamp overflow")
    return Timestamp(nanoseconds, offset)


def checked_duration(nanoseconds: int) -> Duration:
    """
    Raises:
        EvaluationError: 64 bits do not hold the nanoseconds.
    """
    if not -(2**63) <= nanoseconds < 2**63:
        raise EvaluationError("duration overflow")
    return Duration(nanoseconds)


# --- Equality and order -----------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether a value is an int, a uint or a double."""
    return type(value) in (int, UInt, float)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal."""
    if is_number(one) and is_number(other):
        return float(one) == float(other) if float in (type(one), type(other)) else int(one) == int(other)
    if isinstance(one, list) and isinstance(other, list):
        return _lists_equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(key in other and equal(value, other[key]) for key, value in one.items())
    if type(one) is Optional:
        return one.there is other.there and equal(one.value, other.value)
    if type(one) is Type:
        return bool(one.name == other.name)
    if type(one) in (Opaque, Timestamp):
        return bool(hashable(one) == hashable(other))
    return bool(one == other)


def _lists_equal(one: list[Any], other: list[Any]) -> bool:
    if len(one) != len(other):
        return False
    # as in the API server, it is the left side that says how lists are compared
    if isinstance(one, SetList):
        known = {hashable(item) for item in one}
        return all(hashable(item) in known for item in other)
    if isinstance(one, KeyedList):
        mine = {one.identity(item): item for item in one}
        return all(one.identity(item) in mine and equal(mine[one.identity(item)], item) for item in other)
    return all(map(equal, one, other))


def hashable(value: Any) -> Any:
    """Something that is equal, and can be in a set, exactly where the values are equal and no doubles."""
    if isinstance(value, dict):
        return ("map", frozenset((key, hashable(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(hashable(item) for item in value))
    if type(value) is Opaque:
        return (value.type.name, value.value)
    if type(value) is Timestamp:
        return (TIMESTAMP.name, value.nanoseconds)
    return ("number", value) if is_number(value) else (name_of(value), value)


_ORDERED = {bool, str, bytes, Timestamp, Duration}


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1 as the first is less than, equal to or more than the second; 0 as well where one is no number.

    Raises:
        NoOverload: they have no order.
    """
    if is_number(one) and is_number(other):
        if float in (type(one), type(other)):
            one, other = float(one), float(other)
    elif type(one) is not type(other) or type(one) not in _ORDERED:
        raise NoOverload(f"no such overload: {name_of(one)} and {name_of(other)} have no order")
    if type(one) is Timestamp:
        one, other = one.nanoseconds, other.nanoseconds
    return int(one > other) - int(one < other)


def key_of(value: Any) -> Any:
    """A value as the key of a map.

    Raises:
        EvaluationError: it can be none.
    """
    if type(value) is bool:
        return BoolKey(value)
    if type(value) in (str, int, UInt):
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise EvaluationError(f"unsupported key type: {name_of(value)}")


def from_key(key: Any) -> Any:
    """The value that is the key of a map."""
    return key.value if type(key) is BoolKey else key


def of_json(value: Any) -> Any:
    """JSON as a value: whole numbers are ints where 64 bits hold them, as they are in the API server."""
    if isinstance(value, dict):
        return {str(key): of_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [of_json(item) for item in value]
    if type(value) is float and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    return str(value)


Run = Callable[..., Any]


class Overload(NamedTuple):
    """One form of a function: whether it is called on its first argument, its types, and what it does."""

    member: bool
    arguments: tuple[Type, ...]
    result: Type
    run: Run


#: Functions by name.
Functions = dict[str, list[Overload]]


def define(table: Functions, *signatures: str) -> Callable[[Run], Run]:
    """Adds a function in its forms: "size(list(A)) -> int"; ".size" is one that is called on its first argument."""

    def add(run: Run) -> Run:
        for signature in signatures:
            call, _, result = signature.rpartition(" -> ")
            name, _, arguments = call.partition("(")
            member = name.startswith(".")
            overload = Overload(member, tuple(read_types(arguments[:-1])), read_types(result)[0], run)
            table.setdefault(name.removeprefix("."), []).append(overload)
        return run

    return add

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CEL's standard functions and operators, and the extensions of strings, lists and sets that the API server has.

Source of the rules: the CEL language definition, "Standard Definitions"; for the extensions cel-go's ext/README.md
(strings version 2, lists version 3, sets), and for what these leave open the functions of Go that cel-go calls.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _values
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import UInt
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    NONE,
    BadValue,
    Duration,
    EvaluationError,
    Functions,
    KeyedList,
    NullField,
    Optional,
    Preserved,
    SetList,
    Timestamp,
    Type,
    checked_duration,
    checked_int,
    checked_timestamp,
    checked_uint,
    compare,
    define,
    equal,
    from_key,
    key_of,
    name_of,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._re2 import PatternError, compile_pattern

#: Every function that is here.
TABLE: Functions = {}

_NUMBERS = ("int", "uint", "double")

# --- Operators --------------------------------------------------------------------------------------------------


@define(TABLE, "_==_(A, A) -> bool")
def _equal(one: Any, other: Any) -> bool:
    return equal(one, other)


@define(TABLE, "_!=_(A, A) -> bool")
def _unequal(one: Any, other: Any) -> bool:
    return not equal(one, other)


def _is_nan(*values: Any) -> bool:
    return any(type(value) is float and math.isnan(value) for value in values)


def _define_order(sign: str, holds: Callable[[int], bool]) -> None:
    ordered = ("bool", "string", "bytes", "timestamp", "duration")
    pairs = [(one, one) for one in ordered] + [(one, other) for one in _NUMBERS for other in _NUMBERS]
    define(TABLE, *(f"_{sign}_({one}, {other}) -> bool" for one, other in pairs))(
        lambda one, other: not _is_nan(one, other) and holds(compare(one, other))
    )


for _sign, _order in (
    ("<", lambda found: found < 0),
    ("<=", lambda found: found <= 0),
    (">", lambda found: found > 0),
    (">=", lambda found: found >= 0),
):
    _define_order(_sign, _order)


def _same_kind(value: int, of: Any) -> int:
    return checked_uint(value) if type(of) is UInt else checked_int(value)


@define(TABLE, "_+_(int, int) -> int", "_+_(uint, uint) -> uint")
def _add(one: int, other: int) -> int:
    return _same_kind(int(one) + int(other), one)


@define(TABLE, "_-_(int, int) -> int", "_-_(uint, uint) -> uint")
def _subtract(one: int, other: int) -> int:
    return _same_kind(int(one) - int(other), one)


@define(TABLE, "_*_(int, int) -> int", "_*_(uint, uint) -> uint")
def _multiply(one: int, other: int) -> int:
    return _same_kind(int(one) * int(other), one)


@define(TABLE, "_/_(int, int) -> int", "_/_(uint, uint) -> uint")
def _divide(one: int, other: int) -> int:
    if other == 0:
        raise EvaluationError("division by zero")
    quotient = abs(int(one)) // abs(int(other))
    return _same_kind(quotient if (one < 0) is (other < 0) else -quotient, one)


@define(TABLE, "_%_(int, int) -> int", "_%_(uint, uint) -> uint")
def _modulus(one: int, other: int) -> int:
    if other == 0:
        raise EvaluationError("modulus by zero")
    if (one, other) == (-(2**63), -1):
        raise EvaluationError("integer overflow")
    rest = abs(int(one)) % abs(int(other))
    return _same_kind(rest if one >= 0 else -rest, one)


define(TABLE, "_+_(double, double) -> double")(lambda one, other: one + other)
define(TABLE, "_-_(double, double) -> double")(lambda one, other: one - other)
define(TABLE, "_*_(double, double) -> double")(lambda one, other: one * other)
define(TABLE, "_+_(string, string) -> string", "_+_(bytes, bytes) -> bytes")(lambda one, other: one + other)
define(TABLE, "-_(double) -> double")(lambda one: -one)
define(TABLE, "-_(int) -> int")(lambda one: checked_int(-one))
define(TABLE, "!_(bool) -> bool")(lambda one: not one)


@define(TABLE, "_/_(double, double) -> double")
def _divide_double(one: float, other: float) -> float:
    if other != 0:
        return one / other
    if one == 0 or math.isnan(one):
        return math.nan
    return math.copysign(math.inf, one) * math.copysign(1.0, other)


@define(TABLE, "_+_(list(A), list(A)) -> list(A)")
def _join_lists(one: list[Any], other: list[Any]) -> list[Any]:
    if isinstance(one, SetList):
        known = {_values.hashable(item) for item in one}
        return SetList([*one, *(item for item in other if _values.hashable(item) not in known)])
    if isinstance(one, KeyedList):
        merged = {one.identity(item): item for item in one}
        merged.update((one.identity(item), item) for item in other)
        return KeyedList(merged.values(), one.keys)
    return [*one, *other]


@define(TABLE, "_+_(timestamp, duration) -> timestamp", "_+_(duration, timestamp) -> timestamp")
def _later(one: Any, other: Any) -> Timestamp:
    moment = one if type(one) is Timestamp else other
    return checked_timestamp(one.nanoseconds + other.nanoseconds, moment.offset)


define(TABLE, "_+_(duration, duration) -> duration")(
    lambda one, other: checked_duration(one.nanoseconds + other.nanoseconds)
)
define(TABLE, "_-_(duration, duration) -> duration", "_-_(timestamp, timestamp) -> duration")(
    lambda one, other: checked_duration(one.nanoseconds - other.nanoseconds)
)
define(TABLE, "_-_(timestamp, duration) -> timestamp")(
    lambda one, other: checked_timestamp(one.nanoseconds - other.nanoseconds, one.offset)
)


@define(TABLE, "_in_(A, list(A)) -> bool")
def _in_list(item: Any, items: list[Any]) -> bool:
    return any(equal(item, one) for one in items)


@define(TABLE, "_in_(A, map(A, B)) -> bool")
def _in_map(item: Any, items: dict[Any, Any]) -> bool:
    try:
        return key_of(item) in items
    except EvaluationError:
        return False


def _place(items: list[Any], index: Any) -> int:
    if type(index) is float and index.is_integer():
        index = int(index)
    if type(index) not in (int, UInt):
        raise EvaluationError(f"unsupported index: {index}")
    if not 0 <= index < len(items):
        raise EvaluationError(f"index out of bounds: {index}")
    return int(index)


def at(of: Any, index: Any, optional: bool) -> Any:
    """An element of a list or a map; an optional one where that is asked for, or `of` is one.

    Raises:
        EvaluationError: there is none, and no optional one is wanted.
    """
    if type(of) is Optional:
        return at(of.value, index, True) if of.there else NONE
    if isinstance(of, dict):
        key = key_of(index)
        if not optional:
            return field(of, key)
        return Optional(True, of[key]) if key in of else NONE
    if isinstance(of, list):
        if optional and type(index) is int and not 0 <= index < len(of):
            return NONE
        found = of[_place(of, index)]
        return Optional(True, found) if optional else found
    if optional:
        return NONE
    raise _values.NoOverload(f"no such overload: {name_of(of)} has no elements")


for _sign in ("_[_]", "_[?_]"):
    _result = "{}" if _sign == "_[_]" else "optional({})"
    define(
        TABLE,
        f"{_sign}(list(A), int) -> {_result.format('A')}",
        f"{_sign}(map(A, B), A) -> {_result.format('B')}",
        f"{_sign}(optional(list(A)), int) -> optional(A)",
        f"{_sign}(optional(map(A, B)), A) -> optional(B)",
    )(at)


#: What is found where there is no field.
NO_FIELD = NullField()


def field(of: Any, key: Any) -> Any:
    """A field of an object or the value of a map.

    Raises:
        EvaluationError: there is none.
    """
    if not isinstance(of, dict):
        raise _values.NoOverload(f"no such overload: {name_of(of)} has no fields")
    found = of.get(key, NO_FIELD)
    if found is NO_FIELD or isinstance(found, NullField):
        raise EvaluationError(f"no such key: {from_key(key)}")
    if isinstance(found, BadValue):
        raise EvaluationError(found.message)
    return found


# --- Conversions ------------------------------------------------------------------------------------------------


@define(TABLE, "size(string) -> int", "size(bytes) -> int", "size(list(A)) -> int", "size(map(A, B)) -> int")
@define(TABLE, ".size(string) -> int", ".size(bytes) -> int", ".size(list(A)) -> int", ".size(map(A, B)) -> int")
def _size(value: Any) -> int:
    return len(value)


define(TABLE, "dyn(A) -> dyn")(lambda value: value)


@define(TABLE, "type(A) -> type")
def _type(value: Any) -> Type:
    if type(value) is Preserved:
        raise EvaluationError("data without a schema has no type")
    return Type(name_of(value))


_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)


@define(TABLE, *(f"int({one}) -> int" for one in ("int", "uint", "double", "string", "timestamp", "duration")))
def _int(value: Any) -> int:
    if type(value) is str:
        if not _WHOLE.fullmatch(value):
            raise EvaluationError(f"{value[:40]!r} is no int")
        return checked_int(int(value))
    if type(value) is Timestamp:
        return value.nanoseconds // 10**9
    if type(value) is Duration:
        return value.nanoseconds
    if type(value) is float:
        if not -(2.0**63) < value < 2.0**63:
            raise EvaluationError("integer overflow")
        return int(value)
    return checked_int(int(value))


@define(TABLE, *(f"uint({one}) -> uint" for one in ("int", "uint", "double", "string")))
def _uint(value: Any) -> UInt:
    if type(value) is str:
        if not value.isascii() or not value.isdigit():
            raise EvaluationError(f"{value[:40]!r} is no uint")
        return checked_uint(int(value))
    if type(value) is float and not 0 <= value < 2.0**64:
        raise EvaluationError("unsigned integer overflow")
    return checked_uint(int(value))


_HEX_FLOAT = re.compile(r"[+-]?0[xX][0-9a-fA-F]{1,13}(\.[0-9a-fA-F]{0,13})?[pP][+-]?[0-9]{1,3}", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|inf(inity)?|nan)", re.ASCII | re.IGNORECASE
)


@define(TABLE, *(f"double({one}) -> double" for one in ("int", "uint", "double", "string")))
def _double(value: Any) -> float:
    if type(value) is not str:
        return float(value)
    if _HEX_FLOAT.fullmatch(value):
        return float.fromhex(value)
    found = float(value) if _FLOAT.fullmatch(value) else math.nan
    is_infinite = math.isinf(found) and "inf" not in value.lower()
    if is_infinite or (math.isnan(found) and value.lower() not in ("nan", "+nan", "-nan")):
        raise EvaluationError(f"{value[:40]!r} is no double")
    return found


@define(TABLE, "bool(bool) -> bool", "bool(string) -> bool")
def _bool(value: Any) -> bool:
    if value in (True, "1", "t", "T", "TRUE", "true", "True"):
        return True
    if value in (False, "0", "f", "F", "FALSE", "false", "False"):
        return False
    raise EvaluationError(f"{value[:40]!r} is neither true nor false")


@define(TABLE, "bytes(bytes) -> bytes", "bytes(string) -> bytes")
def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


@define(TABLE, *(f"string({one}) -> string" for one in ("bool", *_NUMBERS, "string", "bytes", "timestamp", "duration")))
def _string(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return shown_double(value)
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from error
    if type(value) is Timestamp:
        return shown_timestamp(value)
    return shown_duration(value) if type(value) is Duration else str(value)


def shown_double(value: float) -> str:
    """A double as Go's strconv.FormatFloat(value, 'g', -1, 64) writes it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    exponent = len(digits) - 1 + int(power) if any(digits) else 0
    if -4 <= exponent < 6:
        return format(Decimal(repr(value)).normalize(), "f")
    text = "".join(map(str, digits))
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


# --- Time -------------------------------------------------------------------------------------------------------

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})", re.ASCII)
_UNITS = {
    "ns": 1,
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), 10**3),
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SPANS = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)


@define(TABLE, "timestamp(string) -> timestamp", "timestamp(int) -> timestamp", "timestamp(timestamp) -> timestamp")
def to_timestamp(value: Any) -> Timestamp:
    """A moment as RFC 3339 writes it, or in seconds since 1970.

    Raises:
        EvaluationError: it is none.
    """
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return checked_timestamp(value * 10**9)
    found = _TIME.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = map(int, found.groups()[:6])
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
        offset = _offset("+00:00" if found[8] == "Z" else found[8])
    except (ValueError, OverflowError) as error:
        raise EvaluationError(f"{value[:40]!r} is no timestamp") from error
    span = moment - _EPOCH
    away = int(offset.total_seconds())
    seconds = span.days * 86400 + span.seconds - away
    return checked_timestamp(seconds * 10**9 + int((found[7] or "0")[:9].ljust(9, "0")), away // 60)


def _offset(text: str) -> datetime.timedelta:
    found = _OFFSET.fullmatch(text)
    if found is None or int(found[2]) > 23 or int(found[3]) > 59:
        raise ValueError
    span = datetime.timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -span if found[1] == "-" else span


@define(TABLE, "duration(string) -> duration", "duration(duration) -> duration", "duration(int) -> duration")
def to_duration(value: Any) -> Duration:
    """A span as Go writes it: 1h30m, -1.5s.

    Raises:
        EvaluationError: it is none.
    """
    if type(value) is Duration:
        return value
    if type(value) is int:
        return checked_duration(value)
    text = value[1:] if value[:1] in ("+", "-") else value
    if text == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(text):
        found = _SPANS.match(text, at)
        if found is None or not (found[1] or found[2]):
            raise EvaluationError(f"{value[:40]!r} is no duration")
        unit = _UNITS[found[3]]
        fraction = found[2] or ""
        total += int(found[1] or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        at = found.end()
    if not text:
        raise EvaluationError(f"{value[:40]!r} is no duration")
    return checked_duration(-total if value.startswith("-") else total)


def shown_timestamp(value: Timestamp) -> str:
    """A moment as Go's RFC3339Nano writes it.

    Raises:
        EvaluationError: there is no such year where it is shown.
    """
    seconds, rest = divmod(value.nanoseconds, 10**9)
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds, minutes=value.offset)
    except OverflowError as error:
        raise EvaluationError("timestamp overflow") from error
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    hours, minutes = divmod(abs(value.offset), 60)
    zone = f"{'-' if value.offset < 0 else '+'}{hours:02}:{minutes:02}" if value.offset else "Z"
    return f"{moment.year:04}-{moment.strftime('%m-%dT%H:%M:%S')}{fraction}{zone}"


def shown_duration(value: Duration) -> str:
    """A span in seconds, as protobuf's JSON writes it."""
    seconds, rest = divmod(abs(value.nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if value.nanoseconds < 0 else ''}{seconds}{fraction}s"


def _local(value: Timestamp, zone: str) -> datetime.datetime:
    moment = _EPOCH + datetime.timedelta(seconds=value.nanoseconds // 10**9)
    try:
        if _OFFSET.fullmatch(zone):
            return moment + _offset(zone)
        return moment.astimezone(zoneinfo.ZoneInfo(zone or "UTC"))
    except (ValueError, OverflowError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise EvaluationError(f"unknown time zone {zone[:40]!r}") from error


def _define_part(name: str, part: Callable[[datetime.datetime], int]) -> None:
    define(TABLE, f".{name}(timestamp) -> int", f".{name}(timestamp, string) -> int")(
        lambda value, zone="UTC": part(_local(value, zone))
    )


for _name, _part in (
    ("getFullYear", lambda at: at.year),
    ("getMonth", lambda at: at.month - 1),
    ("getDayOfYear", lambda at: at.timetuple().tm_yday - 1),
    ("getDayOfMonth", lambda at: at.day - 1),
    ("getDate", lambda at: at.day),
    ("getDayOfWeek", lambda at: at.isoweekday() % 7),
    ("getHours", lambda at: at.hour),
    ("getMinutes", lambda at: at.minute),
    ("getSeconds", lambda at: at.second),
):
    _define_part(_name, _part)


@define(TABLE, ".getMilliseconds(timestamp) -> int", ".getMilliseconds(timestamp, string) -> int")
def _milliseconds(value: Timestamp, _zone: str = "") -> int:
    return value.nanoseconds % 10**9 // 10**6


def _define_span(name: str, unit: int) -> None:
    define(TABLE, f".{name}(duration) -> int")(
        lambda value: abs(value.nanoseconds) // unit * (-1 if value.nanoseconds < 0 else 1)
    )


for _name, _unit in (
    ("getHours", 3600 * 10**9),
    ("getMinutes", 60 * 10**9),
    ("getSeconds", 10**9),
    ("getMilliseconds", 10**6),
):
    _define_span(_name, _unit)


# --- Strings ----------------------------------------------------------------------------------------------------

define(TABLE, ".contains(string, string) -> bool")(lambda text, part: part in text)
define(TABLE, ".startsWith(string, string) -> bool")(lambda text, part: text.startswith(part))
define(TABLE, ".endsWith(string, string) -> bool")(lambda text, part: text.endswith(part))


@define(TABLE, ".matches(string, string) -> bool", "matches(string, string) -> bool")
def _matches(text: str, pattern: str) -> bool:
    try:
        return compile_pattern(pattern).search(text)
    except PatternError as error:
        raise EvaluationError(f"error parsing regexp: {error}") from error


_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
#: What Unicode calls white space.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

define(TABLE, ".lowerAscii(string) -> string")(lambda text: text.translate(_LOWER))
define(TABLE, ".upperAscii(string) -> string")(lambda text: text.translate(_UPPER))
define(TABLE, ".trim(string) -> string")(lambda text: text.strip(_SPACE))


@define(TABLE, ".charAt(string, int) -> string")
def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


@define(TABLE, ".indexOf(string, string) -> int", ".indexOf(string, string, int) -> int")
def _index_of(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return text.find(part, start) if part else min(start, len(text))


@define(TABLE, ".lastIndexOf(string, string) -> int", ".lastIndexOf(string, string, int) -> int")
def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return text.rfind(part)
    if last < 0:
        raise EvaluationError(f"index out of range: {last}")
    if part == "":
        return min(last, len(text))
    if last >= len(text):
        return -1
    return text.rfind(part, 0, last + len(part))


@define(TABLE, ".replace(string, string, string) -> string", ".replace(string, string, string, int) -> string")
def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    # what comes out is bounded before it is made
    times = text.count(old) if old else len(text) + 1
    times = times if count < 0 else min(times, count)
    if len(text) + times * len(new) > MAX_SIZE:
        raise _values.OverLimit("makes a text that is too long")
    return text.replace(old, new, count)


#: A text or list of more than this is not made by one call.
MAX_SIZE = 10_000_000


@define(TABLE, ".split(string, string) -> list(string)", ".split(string, string, int) -> list(string)")
def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


@define(TABLE, ".substring(string, int) -> string", ".substring(string, int, int) -> string")
def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise EvaluationError(f"index out of range: {start}, {end}")
    return text[start:end]


@define(TABLE, ".join(list(string)) -> string", ".join(list(string), string) -> string")
def _join(items: list[Any], separator: str = "") -> str:
    if not all(type(item) is str for item in items):
        raise _values.NoOverload("no such overload: join takes texts only")
    if sum(map(len, items)) + len(items) * len(separator) > MAX_SIZE:
        raise _values.OverLimit("makes a text that is too long")
    return separator.join(items)


_QUOTES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


@define(TABLE, "strings.quote(string) -> string")
def _quote(text: str) -> str:
    return '"' + "".join(_QUOTES.get(char, f"\\{char}" if char in '\\"' else char) for char in text) + '"'


# --- Text with places to fill -----------------------------------------------------------------------------------

_CLAUSE = re.compile(r"%(?:%|(?:\.([0-9]+))?([a-zA-Z])|)", re.ASCII)


@define(TABLE, ".format(string, list(dyn)) -> string")
def _format(text: str, values: list[Any]) -> str:
    left = iter(values)
    size = 0

    def filled(found: re.Match[str]) -> str:
        nonlocal size
        if found.group() == "%%":
            return "%"
        if not found[2] or found[2] not in _CLAUSES:
            raise EvaluationError(f"could not parse formatting clause: {found.group()}")
        try:
            value = next(left)
        except StopIteration as error:
            raise EvaluationError("not enough values to fill the text with") from error
        precision = int((found[1] or "6")[:9])
        if precision > 1000:
            raise EvaluationError("a precision of more than 1000")
        out = _CLAUSES[found[2]](value, precision)
        size += len(out)
        if size > MAX_SIZE:
            raise _values.OverLimit("makes a text that is too long")
        return out

    return _CLAUSE.sub(filled, text)


def count_clauses(text: str) -> int:
    """How many values a text is filled with."""
    return sum(1 for found in _CLAUSE.finditer(text) if found.group() != "%%")


def _format_string(value: Any, _precision: int = 0) -> str:
    if isinstance(value, (list, dict)):
        return _inside(value)
    if value is None:
        return "null"
    if type(value) is Type:
        return str(value.name)
    if type(value) in (bool, int, UInt, float, str, bytes, Timestamp, Duration):
        return str(_string(value))
    raise EvaluationError(f"%s does not take {name_of(value)}")


def _inside(value: Any) -> str:
    """A value within a list or a map: so that it can be told what it is."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_inside, value)) + "]"
    if isinstance(value, dict):
        entries = sorted((_inside(from_key(key)), _inside(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}:{item}" for key, item in entries) + "}"
    if type(value) is float:
        return _fixed(value, 6)
    shown = _format_string(value)
    if type(value) in (str, bytes):
        return f"{'b' if type(value) is bytes else ''}{_quote(shown)}"
    words = {Timestamp: "timestamp", Duration: "duration"}
    return f'{words[type(value)]}("{shown}")' if type(value) in words else shown


def _fixed(value: float, precision: int) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "\u221e" if value > 0 else "-\u221e"
    return format(value, f".{precision}f")


_RAISED = str.maketrans("0123456789-+", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b+")


def _scientific(value: float, _precision: int) -> str:
    if not math.isfinite(value):
        return _fixed(value, 0)
    # cel-go asks for the precision in a way that its formatter does not know, and gets six digits
    digits, _, exponent = format(value, ".6e").partition("e")
    return f"{digits}\u00d710{exponent.removeprefix('+').translate(_RAISED)}"


def _format_decimal(value: Any, _precision: int = 0) -> str:
    if type(value) not in (int, UInt):
        raise EvaluationError(f"%d does not take {name_of(value)}")
    return str(int(value))


def _of_double(letter: str, show: Callable[[float, int], str]) -> Callable[[Any, int], str]:
    def shown(value: Any, precision: int) -> str:
        if type(value) is not float:
            raise EvaluationError(f"%{letter} does not take {name_of(value)}")
        return show(value, precision)

    return shown


def _format_binary(value: Any, _precision: int = 0) -> str:
    if type(value) is bool:
        return str(int(value))
    if type(value) not in (int, UInt):
        raise EvaluationError(f"%b does not take {name_of(value)}")
    return format(int(value), "b")


def _format_octal(value: Any, _precision: int = 0) -> str:
    if type(value) not in (int, UInt):
        raise EvaluationError(f"%o does not take {name_of(value)}")
    return format(int(value), "o")


def _format_hexadecimal(value: Any, _precision: int = 0) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "x")
    if type(value) in (str, bytes):
        return bytes(_bytes(value)).hex()
    raise EvaluationError(f"%x does not take {name_of(value)}")


_CLAUSES: dict[str, Callable[[Any, int], str]] = {
    "s": _format_string,
    "d": _format_decimal,
    "f": _of_double("f", _fixed),
    "e": _of_double("e", _scientific),
    "b": _format_binary,
    "o": _format_octal,
    "x": _format_hexadecimal,
    "X": lambda value, precision: _format_hexadecimal(value, precision).upper(),
}


# --- Lists and sets ---------------------------------------------------------------------------------------------


@define(TABLE, ".slice(list(A), int, int) -> list(A)")
def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


@define(TABLE, ".flatten(list(list(A))) -> list(A)", ".flatten(list(dyn), int) -> list(dyn)")
def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    out: list[Any] = []
    for item in items:
        out += _flatten(item, depth - 1) if isinstance(item, list) and depth else [item]
    return out


@define(TABLE, "lists.range(int) -> list(int)")
def _range(count: int) -> list[int]:
    if count < 0:
        raise EvaluationError(f"lists.range: size must be non-negative, got {count}")
    if count > MAX_SIZE // 10:
        raise _values.OverLimit("makes a list that is too long")
    return list(range(count))


define(TABLE, ".reverse(list(A)) -> list(A)")(lambda items: list(reversed(items)))


@define(TABLE, ".distinct(list(A)) -> list(A)")
def distinct(items: list[Any]) -> list[Any]:
    """The elements without those that are equal to one before."""
    out: list[Any] = []
    seen: set[Any] = set()
    for item in items:
        found = _values.hashable(item)
        if found not in seen:
            seen.add(found)
            out.append(item)
    return out


@define(TABLE, ".first(list(A)) -> optional(A)")
def _first(items: list[Any]) -> Optional:
    return Optional(True, items[0]) if items else NONE


@define(TABLE, ".last(list(A)) -> optional(A)")
def _last(items: list[Any]) -> Optional:
    return Optional(True, items[-1]) if items else NONE


_SORTED = ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration")


@define(TABLE, *(f".sort(list({one})) -> list({one})" for one in _SORTED))
def _sort(items: list[Any]) -> list[Any]:
    return sort_by(items, items)


def sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    """The elements in the order of their keys.

    Raises:
        EvaluationError: the keys are of several types.
    """
    if len({name_of(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")

    def in_order(one: int, other: int) -> int:
        return compare(keys[one], keys[other])

    places = sorted(range(len(items)), key=functools.cmp_to_key(in_order))
    return [items[place] for place in places]


def _held(items: list[Any], by: list[Any]) -> bool:
    return all(any(equal(item, one) for one in by) for item in items)


define(TABLE, "sets.contains(list(A), list(A)) -> bool")(lambda items, parts: _held(parts, items))
define(TABLE, "sets.equivalent(list(A), list(A)) -> bool")(
    lambda items, others: _held(items, others) and _held(others, items)
)
define(TABLE, "sets.intersects(list(A), list(A)) -> bool")(
    lambda items, others: any(equal(item, other) for item in items for other in others)
)


# --- Optional values --------------------------------------------------------------------------------------------

define(TABLE, "optional.of(A) -> optional(A)")(lambda value: Optional(True, value))
define(TABLE, "optional.none() -> optional(A)")(lambda: NONE)
define(TABLE, ".hasValue(optional(A)) -> bool")(lambda of: of.there)


@define(TABLE, "optional.ofNonZeroValue(A) -> optional(A)")
def _not_zero(value: Any) -> Optional:
    is_zero = value in (None, False, 0, "", b"", [], {}) or value == Duration(0) or value == NONE
    return NONE if is_zero else Optional(True, value)


@define(TABLE, ".value(optional(A)) -> A")
def _value_of(of: Optional) -> Any:
    if not of.there:
        raise EvaluationError("optional.none() dereference")
    return of.value


@define(TABLE, "optional.unwrap(list(optional(A))) -> list(A)", ".unwrapOpt(list(optional(A))) -> list(A)")
def _unwrap(items: list[Any]) -> list[Any]:
    if not all(type(item) is Optional for item in items):
        raise _values.NoOverload("no such overload: unwrap takes optional values only")
    return [item.value for item in items if item.there]

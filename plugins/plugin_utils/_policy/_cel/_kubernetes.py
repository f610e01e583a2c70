# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The functions that Kubernetes adds to CEL: lists, patterns, URLs, addresses, quantities, versions and named formats.

Source of the rules: "Common Expression Language in Kubernetes" in the Kubernetes documentation, and the comments of
k8s.io/apiserver/pkg/cel/library.  Its `authorizer` needs a cluster and is not there.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_plus

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _standard
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import UInt
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    CIDR,
    FORMAT,
    IP,
    NONE,
    QUANTITY,
    SEMVER,
    URL,
    Duration,
    EvaluationError,
    Functions,
    NoOverload,
    Opaque,
    Optional,
    checked_int,
    compare,
    define,
    equal,
    name_of,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._re2 import PatternError, compile_pattern

#: Every function that is here.
TABLE: Functions = {}

_Made = TypeVar("_Made")


def _can(make: Callable[[str], _Made], text: str) -> bool:
    try:
        make(text)
    except EvaluationError:
        return False
    return True


# --- Lists ------------------------------------------------------------------------------------------------------

_COMPARED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZERO: Mapping[str, Any] = {"int": 0, "uint": UInt(0), "double": 0.0, "duration": Duration(0)}


@define(TABLE, *(f".isSorted(list({one})) -> bool" for one in _COMPARED))
def _is_sorted(items: list[Any]) -> bool:
    return all(compare(one, other) <= 0 for one, other in itertools.pairwise(items))


@define(TABLE, *(f".min(list({one})) -> {one}" for one in _COMPARED))
def _min(items: list[Any]) -> Any:
    return _extreme("min", items, -1)


@define(TABLE, *(f".max(list({one})) -> {one}" for one in _COMPARED))
def _max(items: list[Any]) -> Any:
    return _extreme("max", items, 1)


def _extreme(name: str, items: list[Any], wanted: int) -> Any:
    if not items:
        raise EvaluationError(f"{name} called on empty list")
    out = items[0]
    for item in items[1:]:
        if compare(item, out) == wanted:
            out = item
    return out


def _define_sum(kind: str) -> None:
    add = {one.arguments[0].name: one.run for one in _standard.TABLE["_+_"] if one.arguments[0] == one.arguments[1]}

    @define(TABLE, f".sum(list({kind})) -> {kind}")
    def _sum(items: list[Any]) -> Any:
        # a list of unknown types is told by its first element, an empty one is a list of ints
        name = name_of(items[0]) if items else kind
        if name not in ("int", "uint", "double", "google.protobuf.Duration"):
            raise NoOverload(f"no such overload: {name} cannot be summed up")
        total = _ZERO["duration" if name.startswith("google") else name]
        for item in items:
            if name_of(item) != name:
                raise NoOverload(f"no such overload: {name} and {name_of(item)}")
            total = add[name](total, item)
        return total


for _kind in _ZERO:
    _define_sum(_kind)


@define(TABLE, ".indexOf(list(A), A) -> int")
def _index_of(items: list[Any], item: Any) -> int:
    return next((place for place, one in enumerate(items) if equal(one, item)), -1)


@define(TABLE, ".lastIndexOf(list(A), A) -> int")
def _last_index_of(items: list[Any], item: Any) -> int:
    return next((place for place in range(len(items) - 1, -1, -1) if equal(items[place], item)), -1)


# --- Patterns ---------------------------------------------------------------------------------------------------


@define(TABLE, ".find(string, string) -> string")
def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern, 1)
    return found[0] if found else ""


@define(TABLE, ".findAll(string, string) -> list(string)", ".findAll(string, string, int) -> list(string)")
def _find_all(text: str, pattern: str, count: int = -1) -> list[str]:
    try:
        return compile_pattern(pattern).find_all(text, count)
    except PatternError as error:
        raise EvaluationError(f"error parsing regexp: {error}") from error


# --- URLs -------------------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(.*)", re.DOTALL | re.ASCII)
_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})", re.ASCII)
#: A host: escapes in it are of bytes that are no ASCII; a % of a zone is escaped as well.
_HOST = re.compile(r"([^\[\]\s/\\^`{}|%:#]|%[89a-fA-F][0-9a-fA-F])*")
_ADDRESS = re.compile(r"\[([0-9a-fA-F:.]+)(%25[^\[\]\s%]+)?\]", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_PORT = re.compile(r"(:[0-9]*)?", re.ASCII)
#: What a path may hold without being escaped.
_PATH = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/[]")


class _Wrong(ValueError):
    """A text that is no URL."""


@define(TABLE, "url(string) -> url")
def _url(text: str) -> Opaque:
    """A URL as its text, with scheme, host, path and query, where Go's url.ParseRequestURI and url.Parse take it."""
    try:
        # the first look takes a fragment for a part of what is before it
        _parts_of(text, asked=True)
        return Opaque(URL, text, _parts_of(text.partition("#")[0]))
    except _Wrong as error:
        raise EvaluationError(f"URL parse error during conversion from string: {text[:80]!r}") from error


def is_uri(text: str) -> bool:
    """Whether Go's url.ParseRequestURI takes a text."""
    try:
        _parts_of(text, asked=True)
    except _Wrong:
        return False
    return True


def _parts_of(text: str, asked: bool = False) -> tuple[str, str, str, str]:
    """Scheme, host, path and query of a URL; one that is `asked` of a server has no host without a scheme.

    Raises:
        _Wrong: it is no URL that stands for itself.
    """
    if not text or any(char < " " or char == "\x7f" for char in text):
        raise _Wrong
    if text == "*":
        return "", "", "*", ""
    found = _SCHEME.fullmatch(text)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if not scheme:
            raise _Wrong
        return scheme, "", "", query
    host, path = "", rest
    if rest.startswith("//") and (scheme or not (asked or rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        host, path = _host(authority, scheme), slash + path
    if _PERCENT.search(path):
        raise _Wrong
    return scheme, host, path, query


def _host(authority: str, scheme: str) -> str:
    user, at, host = authority.rpartition("@")
    if at and (not _USER.fullmatch(user) or _PERCENT.search(user)):
        raise _Wrong
    if host.startswith("["):
        address, bracket, port = host.rpartition("]")
        found = _ADDRESS.fullmatch(address + bracket)
        if found is None or not _is_ipv6(found[1]) or not _PORT.fullmatch(port):
            raise _Wrong
        return unquote(host)
    # several hosts with their ports, as databases have them, are one but for the web
    colon = host.find(":") if scheme in ("http", "https") else host.rfind(":")
    name, port = (host[:colon], host[colon:]) if colon >= 0 else (host, "")
    if not _HOST.fullmatch(name.replace(":", "")) or not _PORT.fullmatch(port):
        raise _Wrong
    return unquote(host)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


define(TABLE, "isURL(string) -> bool")(lambda text: _can(_url, text))
define(TABLE, ".getScheme(url) -> string")(lambda url: url.note[0])
define(TABLE, ".getHost(url) -> string")(lambda url: url.note[1])


@define(TABLE, ".getHostname(url) -> string")
def _hostname(url: Opaque) -> str:
    host: str = url.note[1]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and (not port or port.isdigit()) else host


@define(TABLE, ".getPort(url) -> string")
def _port(url: Opaque) -> str:
    host: str = url.note[1]
    port = host.rpartition("]")[2] if host.startswith("[") else host
    return port.rpartition(":")[2] if ":" in port else ""


@define(TABLE, ".getEscapedPath(url) -> string")
def _escaped_path(url: Opaque) -> str:
    path: str = url.note[2]
    if all(char in _PATH or char == "%" for char in path):
        return path
    return "".join(
        char if char in _PATH and char not in "[]" else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in unquote(path)
    )


@define(TABLE, ".getQuery(url) -> map(string, list(string))")
def _query(url: Opaque) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for part in str(url.note[3]).split("&"):
        # as in Go, what cannot be read is left out
        if not part or ";" in part or _PERCENT.search(part):
            continue
        name, _, value = part.partition("=")
        out.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return out


# --- Addresses --------------------------------------------------------------------------------------------------

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> _Address:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(f"IP Address {text[:60]!r} parse error during conversion from string") from error
    if "%" in text or (found.version == 6 and found.ipv4_mapped is not None):
        raise EvaluationError(f"IP address {text[:60]!r} with a zone, or of version 4 in version 6, is not allowed")
    return found


@define(TABLE, "ip(string) -> ip")
def _ip(text: str) -> Opaque:
    return Opaque(IP, _address(text))


_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)


@define(TABLE, "cidr(string) -> cidr")
def _cidr(text: str) -> Opaque:
    """A network, as the address that was written and the network that it is in."""
    address, _, length = text.rpartition("/")
    found = _address(address)
    if not _PREFIX.fullmatch(length) or int(length) > found.max_prefixlen:
        raise EvaluationError(f"network address parse error during conversion from string: {text[:60]!r}")
    return Opaque(CIDR, (found, int(length)))


def _network(cidr: Opaque) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, length = cidr.value
    return ipaddress.ip_network((address, length), strict=False)


define(TABLE, "isIP(string) -> bool")(lambda text: _can(_ip, text))
define(TABLE, "isCIDR(string) -> bool")(lambda text: _can(_cidr, text))
define(TABLE, "ip.isCanonical(string) -> bool")(lambda text: str(_address(text)) == text)
define(TABLE, "string(ip) -> string")(lambda ip: str(ip.value))
define(TABLE, "string(cidr) -> string")(lambda cidr: f"{cidr.value[0]}/{cidr.value[1]}")
define(TABLE, ".family(ip) -> int")(lambda ip: ip.value.version)
define(TABLE, ".isUnspecified(ip) -> bool")(lambda ip: ip.value.is_unspecified)
define(TABLE, ".isLoopback(ip) -> bool")(lambda ip: ip.value.is_loopback)
define(TABLE, ".ip(cidr) -> ip")(lambda cidr: Opaque(IP, cidr.value[0]))
define(TABLE, ".prefixLength(cidr) -> int")(lambda cidr: cidr.value[1])
define(TABLE, ".masked(cidr) -> cidr")(lambda cidr: Opaque(CIDR, (_network(cidr).network_address, cidr.value[1])))

_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_BROADCAST = ipaddress.ip_address("255.255.255.255")


@define(TABLE, ".isLinkLocalMulticast(ip) -> bool")
def _is_link_local_multicast(ip: Opaque) -> bool:
    # of version 6, whatever its flags: the scope counts
    if ip.value.version == 6:
        packed = ip.value.packed
        return bool(packed[0] == 0xFF and packed[1] & 0x0F == 2)
    return any(ip.value in network for network in _LINK_LOCAL_MULTICAST if network.version == 4)


define(TABLE, ".isLinkLocalUnicast(ip) -> bool")(lambda ip: ip.value.is_link_local)


@define(TABLE, ".isGlobalUnicast(ip) -> bool")
def _is_global_unicast(ip: Opaque) -> bool:
    found = ip.value
    return found != _BROADCAST and not (
        found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    )


@define(TABLE, ".containsIP(cidr, string) -> bool", ".containsIP(cidr, ip) -> bool")
def _contains_ip(cidr: Opaque, ip: Any) -> bool:
    address = _address(ip) if isinstance(ip, str) else ip.value
    return bool(address.version == cidr.value[0].version and address in _network(cidr))


@define(TABLE, ".containsCIDR(cidr, string) -> bool", ".containsCIDR(cidr, cidr) -> bool")
def _contains_cidr(cidr: Opaque, other: Any) -> bool:
    inner = _cidr(other) if isinstance(other, str) else other
    return _contains_ip(cidr, Opaque(IP, inner.value[0])) and bool(cidr.value[1] <= inner.value[1])


# --- Quantities -------------------------------------------------------------------------------------------------

_QUANTITY = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"
_NANO = 10**9
#: Where a quantity in units of 1024 ends.
_LARGEST = Fraction(2**63 - 1)
#: A quantity of fewer digits is held as a whole number and a power of ten; only such a one can be an integer.
_WHOLE_DIGITS = 18


@define(TABLE, "quantity(string) -> quantity")
def _quantity(text: str) -> Opaque:
    found = _QUANTITY.fullmatch(text) if 0 < len(text) <= 256 else None
    if found is None:
        raise EvaluationError(f"{text[:60]!r} is no quantity")
    sign, whole, part, suffix = found[1], found[2], found[3] or "", found[4] or ""
    value = Fraction(int(f"{whole}{part}" or "0"), 10 ** len(part))
    power = 0
    if suffix.endswith("i"):
        value *= 1024 ** (_BINARY.index(suffix[0]) + 1)
    else:
        power = int(suffix[1:]) if len(suffix) > 1 else _DECIMAL.get(suffix, 0)
        value *= Fraction(10) ** power
    # what is smaller than a billionth is rounded up, away from zero
    value = Fraction(-(-value * _NANO // 1), _NANO)
    if suffix.endswith("i"):
        value = min(value, _LARGEST)
    is_whole = power >= len(part) and len((whole + part).lstrip("0")) < _WHOLE_DIGITS
    return Opaque(QUANTITY, -value if sign == "-" else value, is_whole)


def _is_integer(quantity: Opaque) -> bool:
    return bool(quantity.note and quantity.value.denominator == 1 and abs(quantity.value) < 2**63)


define(TABLE, "isQuantity(string) -> bool")(lambda text: _can(_quantity, text))
define(TABLE, ".isInteger(quantity) -> bool")(_is_integer)
define(TABLE, ".asApproximateFloat(quantity) -> double")(lambda quantity: float(quantity.value))
define(TABLE, "sign(quantity) -> int")(lambda quantity: (quantity.value > 0) - (quantity.value < 0))


@define(TABLE, ".asInteger(quantity) -> int")
def _as_integer(quantity: Opaque) -> int:
    if not _is_integer(quantity):
        raise EvaluationError("cannot convert value to integer")
    return int(quantity.value)


def _sum_of(one: Opaque, other: Any, sign: int) -> Opaque:
    if isinstance(other, Opaque):
        return Opaque(QUANTITY, one.value + sign * other.value, one.note and other.note)
    return Opaque(QUANTITY, one.value + sign * other, one.note)


define(TABLE, ".add(quantity, quantity) -> quantity", ".add(quantity, int) -> quantity")(
    lambda one, other: _sum_of(one, other, 1)
)
define(TABLE, ".sub(quantity, quantity) -> quantity", ".sub(quantity, int) -> quantity")(
    lambda one, other: _sum_of(one, other, -1)
)
for _type_name in ("quantity", "semver"):
    define(TABLE, f".isGreaterThan({_type_name}, {_type_name}) -> bool")(lambda one, other: one.value > other.value)
    define(TABLE, f".isLessThan({_type_name}, {_type_name}) -> bool")(lambda one, other: one.value < other.value)
    define(TABLE, f".compareTo({_type_name}, {_type_name}) -> int")(
        lambda one, other: (one.value > other.value) - (one.value < other.value)
    )


# --- Versions ---------------------------------------------------------------------------------------------------

_SEMVER = re.compile(
    r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


@define(TABLE, "semver(string) -> semver", "semver(string, bool) -> semver")
def _semver(text: str, normalize: bool = False) -> Opaque:
    """A version as what it is compared by: its numbers, whether it is a release, and the parts before that."""
    found = _SEMVER.fullmatch(_normalized(text) if normalize else text)
    numbers = found.groups()[:3] if found else ()
    early = (found[4] or "").split(".") if found and found[4] else []
    if not numbers or any(_leads_with_zero(one) for one in (*numbers, *(one for one in early if one.isdigit()))):
        raise EvaluationError(f"{text[:60]!r} is no semantic version")
    if any(int(one) >= 2**64 for one in numbers):
        raise EvaluationError(f"{text[:60]!r} is no semantic version")
    parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in early)
    return Opaque(SEMVER, (*map(int, numbers), not early, parts))


def _leads_with_zero(number: str) -> bool:
    return len(number) > 1 and number.startswith("0")


def _normalized(text: str) -> str:
    """The text without a v before it, and with the numbers that are missing as 0 and without zeros before them."""
    text = text.removeprefix("v")
    parts = text.split(".", 2)
    for place, part in enumerate(parts):
        if _leads_with_zero(part):
            rest = part.lstrip("0")
            parts[place] = rest if rest[:1].isdigit() else f"0{rest}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise EvaluationError("short version cannot contain prerelease or build metadata")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


@define(TABLE, "isSemver(string) -> bool", "isSemver(string, bool) -> bool")
def _is_semver(text: str, normalize: bool = False) -> bool:
    return _can(lambda one: _semver(one, normalize), text)


define(TABLE, ".major(semver) -> int")(lambda version: checked_int(version.value[0]))
define(TABLE, ".minor(semver) -> int")(lambda version: checked_int(version.value[1]))
define(TABLE, ".patch(semver) -> int")(lambda version: checked_int(version.value[2]))


# --- Named formats ----------------------------------------------------------------------------------------------

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_HEX = "[0-9a-fA-F]"


def _shaped(pattern: str, length: int, prefix: bool = False) -> Callable[[str], list[str]]:
    shape = re.compile(pattern, re.ASCII)

    def wrong(text: str) -> list[str]:
        # a name that is generated may end in a hyphen: more comes after it
        whole = f"{text[:-2]}a" if prefix and len(text) > 1 and text.endswith("-") else text
        out = [] if shape.fullmatch(whole) else [f"does not match {pattern}"]
        return [*out, f"must be no more than {length} bytes"] if len(text) > length else out

    return wrong


def _wrong_qualified(text: str) -> list[str]:
    domain, slash, name = text.rpartition("/")
    out = _shaped(_QUALIFIED, 63)(name)
    return [*out, *_shaped(rf"{_LABEL}(\.{_LABEL})*", 253)(domain)] if slash else out


def _wrong_value(check: str) -> Callable[[str], list[str]]:
    def wrong(text: str) -> list[str]:
        # the same formats that schemas name
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd

        found = _crd.format_fault(check, text)
        return [found] if found else []

    return wrong


_FORMATS: Mapping[str, Callable[[str], list[str]]] = {
    "dns1123Label": _shaped(_LABEL, 63),
    "dns1123LabelPrefix": _shaped(_LABEL, 63, prefix=True),
    "dns1123Subdomain": _shaped(rf"{_LABEL}(\.{_LABEL})*", 253),
    "dns1123SubdomainPrefix": _shaped(rf"{_LABEL}(\.{_LABEL})*", 253, prefix=True),
    "dns1035Label": _shaped("[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    "dns1035LabelPrefix": _shaped("[a-z]([-a-z0-9]*[a-z0-9])?", 63, prefix=True),
    "qualifiedName": _wrong_qualified,
    "labelValue": _shaped(f"({_QUALIFIED})?", 63),
    "uri": lambda text: [] if _can(_url, text) else ["is no URI"],
    "uuid": _wrong_value("uuid"),
    "byte": _wrong_value("byte"),
    "date": _wrong_value("date"),
    "datetime": _wrong_value("datetime"),
}


@define(TABLE, "format.named(string) -> optional(format)")
def _format_named(name: str) -> Optional:
    return Optional(True, Opaque(FORMAT, name)) if name in _FORMATS else NONE


def _define_format(name: str) -> None:
    define(TABLE, f"format.{name}() -> format")(lambda: Opaque(FORMAT, name))


for _format_name in _FORMATS:
    _define_format(_format_name)


@define(TABLE, ".validate(format, string) -> optional(list(string))")
def _validate(named: Opaque, text: str) -> Optional:
    wrong = _FORMATS[named.value](text)
    return Optional(True, wrong) if wrong else NONE

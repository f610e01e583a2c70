# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kubernetes objects against the schemas of a cluster's version, and of the CustomResourceDefinitions beside them.

As strict as `kubectl --validate=strict`: unknown fields, wrong types, missing fields, values outside a closed list,
numbers out of range, quantities, times and base64 that cannot be read; elements that a list may hold only once, which
server-side apply refuses; and API versions that a Kubernetes version has removed, with what to use instead.

The schemas are made from Kubernetes' own modules by hack/kubernetes_schemas.py, which also says how they are written
down.  Admission webhooks and checks that the API server makes in Go are not run here; the CEL rules of definitions
(x-kubernetes-validations) are, by _crd_rules.
"""

from __future__ import annotations

import binascii
import datetime
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Path, show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import (
    metadata_of,
    named,
    nearest,
    within,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    INFO,
    INVALID,
    PROHIBIT,
    WARN,
    Context,
    Finding,
    Job,
    ObjectAt,
    PolicyError,
)

if TYPE_CHECKING:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd

#: Minor versions of Kubernetes 1 whose schemas are here.
MINORS = (35, 36, 37)

#: More faults than this in one object are counted, not listed.
MAX_FAULTS = 50

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas")
_VERSION = re.compile(r"v?1\.([0-9]{1,9})(\..*)?", re.ASCII | re.DOTALL)
_QUANTITY = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,9})?", re.ASCII
)
TIME = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_LIMITS = {"i": (-(2**31), 2**31 - 1), "l": (-(2**63), 2**63 - 1)}


#: What is said of a field that must be there.
MISSING = "is missing"


class SchemaError(PolicyError):
    """The schemas that came with the collection cannot be read."""


class Fault(NamedTuple):
    """Something in an object that its schema does not take.

    path      from the top of the object, list elements by index
    message   what is wrong, without the path
    severity  "prohibit", or "warn" and "info" for what the API server takes
    """

    path: Path
    message: str
    severity: str = PROHIBIT


#: A path that costs nothing until it is needed: (the one above, step); None is the top.
At = Any


def path_of(at: At) -> Path:
    """The path that a chain of steps stands for."""
    out: list[str | int] = []
    while at is not None:
        at, step = at
        out.append(step)
    return tuple(reversed(out))


class Faults:
    """Collects faults, and no more than there is use for."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.more = 0

    def add(self, at: At, message: str, severity: str = PROHIBIT) -> None:
        """Note a fault."""
        if len(self.found) < MAX_FAULTS:
            self.found.append(Fault(path_of(at), message, severity))
        else:
            self.more += 1

    def add_unknown(self, at: At, key: Any, known: Mapping[str, Any]) -> None:
        """Note a field that is not in the schema, with the nearest that is."""
        # looking for the nearest name is the dear part
        hint = nearest(str(key), known) if len(self.found) < MAX_FAULTS else ""
        self.add((at, key), f"unknown field{hint}")

    def take(self, others: Faults, at: At) -> None:
        """Take over the faults of the object at `at`, but what its status lacks: the API server fills that in."""
        status = (*path_of(at), "status")
        for fault in others.found:
            if fault.message != MISSING or fault.path[: len(status)] != status:
                self.found.append(fault)
        self.more += others.more

    def listed(self) -> list[Fault]:
        """The faults, and how many more there are."""
        if not self.more:
            return self.found
        return [*self.found, Fault((), f"{self.more} more faults")]


def kind_of(value: Any) -> str:
    """What a value is, in a reader's words."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


# --- Nodes: what a field may hold -------------------------------------------------------------------------------


class Node:
    """What a field may hold; this one takes anything."""

    __slots__ = ()

    def check(self, value: Any, at: At, faults: Faults) -> None:
        """Note what is wrong with a value (never None: null stands for no value)."""


class _Scalar(Node):
    __slots__ = ("kind", "what")

    def __init__(self, kind: type, what: str) -> None:
        self.kind = kind
        self.what = what

    def check(self, value: Any, at: At, faults: Faults) -> None:
        if type(value) is not self.kind:
            hint = "; put it in quotes" if self.kind is str and type(value) in (int, float, bool) else ""
            faults.add(at, f"must be {self.what}, not {kind_of(value)}{hint}")


class _Checked(Node):
    """A value that a function looks at; it gives what is wrong, or ""."""

    __slots__ = ("look",)

    def __init__(self, look: Callable[[Any], str]) -> None:
        self.look = look

    def check(self, value: Any, at: At, faults: Faults) -> None:
        wrong = self.look(value)
        if wrong:
            faults.add(at, wrong)


class _Enum(Node):
    __slots__ = ("values",)

    def __init__(self, values: Sequence[str]) -> None:
        self.values = values

    def check(self, value: Any, at: At, faults: Faults) -> None:
        # an empty string is no value: defaults come in its place
        if value in self.values or value == "":
            return
        hint = nearest(value, self.values) if isinstance(value, str) else ""
        faults.add(at, f"must be one of {', '.join(filter(None, self.values))}, not {shown(value)}{hint}")


class ListOf(Node):
    __slots__ = ("inner",)

    def __init__(self, inner: Node) -> None:
        self.inner = inner

    def check(self, value: Any, at: At, faults: Faults) -> None:
        if not isinstance(value, list):
            faults.add(at, f"must be a list, not {kind_of(value)}")
            return
        look = self.inner.check
        for index, item in enumerate(value):
            if item is None:
                self.check_null((at, index), faults)
            else:
                look(item, (at, index), faults)
        self.compare(value, at, faults)

    def check_null(self, at: At, faults: Faults) -> None:
        """An element that is null: the API server makes the empty value of it, which is seldom meant."""
        if isinstance(self.inner, (_Scalar, _Enum)):
            faults.add(at, "is null, which counts as an empty value", WARN)
        elif self.inner is not ANYTHING:
            faults.add(at, "must not be null")

    def compare(self, items: list[Any], at: At, faults: Faults) -> None:
        """Look at the elements beside each other."""


class SetOf(ListOf):
    """A list that holds no value twice."""

    __slots__ = ()

    def compare(self, items: list[Any], at: At, faults: Faults) -> None:
        twice(items, at, faults, lambda item: frozen(item), lambda item: shown(item))


class KeyedList(ListOf):
    """A list whose elements differ in some of their fields: (field, default or None)."""

    __slots__ = ("keys",)

    def __init__(self, inner: Node, keys: Sequence[tuple[str, Any]]) -> None:
        super().__init__(inner)
        self.keys = keys

    def compare(self, items: list[Any], at: At, faults: Faults) -> None:
        twice(items, at, faults, self._identity, self._name)

    def _values(self, item: Any) -> list[tuple[str, Any]]:
        return [(key, default if item.get(key) is None else item[key]) for key, default in self.keys]

    def _identity(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return None
        values = self._values(item)
        return None if any(value is None for _key, value in values) else frozen(values)

    def _name(self, item: Any) -> str:
        return ", ".join(f"{key} {shown(value)}" for key, value in self._values(item))


def twice(items: list[Any], at: At, faults: Faults, identity: Callable[[Any], Any], name: Callable[[Any], str]) -> None:
    """Note every element whose identity another had before; None is no identity."""
    seen: set[Any] = set()
    for index, item in enumerate(items):
        found = identity(item)
        if found is None:
            continue
        if found in seen:
            faults.add((at, index), f"{name(item)} is in the list twice")
        seen.add(found)


def frozen(value: Any) -> Any:
    """A value as something that can be in a set; 1 and true stay apart, 1 and 1.0 are the same number."""
    if isinstance(value, (str, bool)) or value is None:
        return (type(value).__name__, value)
    if isinstance(value, (int, float)):
        return ("number", value)
    if isinstance(value, dict):
        return ("object", frozenset((frozen(key), frozen(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(frozen(item) for item in value))
    return ("other", str(value))


def shown(value: Any) -> str:
    """A value in a message: short, and on one line."""
    text = json.dumps(value, default=str) if not isinstance(value, (dict, list)) else kind_of(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class MapOf(Node):
    __slots__ = ("inner",)

    def __init__(self, inner: Node) -> None:
        self.inner = inner

    def check(self, value: Any, at: At, faults: Faults) -> None:
        if not isinstance(value, dict):
            faults.add(at, f"must be an object, not {kind_of(value)}")
            return
        look = self.inner.check
        for key, item in value.items():
            if item is not None:
                look(item, (at, key), faults)


class _Either(Node):
    """A value of one form, or an object of another."""

    __slots__ = ("other", "struct")

    def __init__(self, other: Node, struct: Node) -> None:
        self.other = other
        self.struct = struct

    def check(self, value: Any, at: At, faults: Faults) -> None:
        (self.struct if isinstance(value, dict) else self.other).check(value, at, faults)


class Struct(Node):
    """An object with known fields; made of its description when it is first needed."""

    __slots__ = ("_description", "_fields", "_required", "_schemas")

    def __init__(self, schemas: Schemas, description: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._description = description
        self._fields: dict[str, Node] | None = None
        self._required: Sequence[str] = description.get("r", ())

    @property
    def fields(self) -> dict[str, Node]:
        """What each field may hold."""
        if self._fields is None:
            self._fields = {name: self._schemas.node(code) for name, code in self._description["f"].items()}
        return self._fields

    def check(self, value: Any, at: At, faults: Faults) -> None:
        if not isinstance(value, dict):
            faults.add(at, f"must be an object, not {kind_of(value)}")
            return
        fields = self._fields if self._fields is not None else self.fields
        for key, item in value.items():
            node = fields.get(key)
            if node is None:
                faults.add_unknown(at, key, fields)
            elif item is not None:
                node.check(item, (at, key), faults)
        for name in self._required:
            if value.get(name) is None:
                faults.add((at, name), MISSING)


# --- Values that are more than their type -----------------------------------------------------------------------


def _integer(letter: str) -> Callable[[Any], str]:
    low, high = _LIMITS[letter]

    def look(value: Any) -> str:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            return f"must be a whole number, not {kind_of(value) if type(value) is not float else shown(value)}"
        return (
            ""
            if low <= value <= high
            else f"is out of range: {'32' if letter == 'i' else '64'} bits hold no such number"
        )

    return look


def _number(value: Any) -> str:
    if type(value) is int or (type(value) is float and value - value == 0):
        return ""
    return f"must be a number, not {shown(value) if type(value) is float else kind_of(value)}"


def _quantity(value: Any) -> str:
    if type(value) in (int, float):
        return _number(value)
    if type(value) is not str:
        return f"must be a quantity (500m, 1Gi, 2), not {kind_of(value)}"
    if len(value) <= 64 and _QUANTITY.fullmatch(value.strip(" ")):
        return ""
    return f"is no quantity: {shown(value)}; write 500m, 1Gi or 2"


def _int_or_string(value: Any) -> str:
    if type(value) is str:
        return ""
    if type(value) not in (int, float):
        return f"must be a whole number or a string, not {kind_of(value)}"
    return _integer("i")(value)


def look_base64(value: Any) -> str:
    if type(value) is not str:
        return f"must be a string in base64, not {kind_of(value)}"
    text = value.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:
        good = False
    else:
        # what strict_mode lets pass: padding that nothing needs
        good = len(text) % 4 == 0
    # the value is a secret as a rule: it is not shown
    return "" if good else "is not base64; encode it, or use stringData in a Secret"


def look_time(value: Any) -> str:
    if type(value) is not str:
        return f"must be a time, not {kind_of(value)}"
    if len(value) <= 64 and TIME.fullmatch(value) and _is_day(value):
        return ""
    return f"is no time: {shown(value)}; write 2026-01-31T12:00:00Z"


def _is_day(text: str) -> bool:
    """Whether a time is on a day that there is; years begin with 0, which is one with a 29th of February."""
    try:
        datetime.date(int(text[:4]) or 4, int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


ANYTHING = Node()
STRING = _Scalar(str, "a string")
_OBJECT = _Scalar(dict, "an object")
_LETTERS: Mapping[str, Node] = {
    "s": STRING,
    "b": _Scalar(bool, "true or false"),
    "i": _Checked(_integer("i")),
    "l": _Checked(_integer("l")),
    "n": _Checked(_number),
    "q": _Checked(_quantity),
    "x": _Checked(_int_or_string),
    "y": _Checked(look_base64),
    "t": _Checked(look_time),
    "o": _OBJECT,
    "*": ANYTHING,
}


# --- The schemas of one version ---------------------------------------------------------------------------------


def _load(name: str) -> Any:
    path = os.path.join(_FOLDER, name)
    try:
        with open(path, "rb") as file:
            return json.loads(zlib.decompress(file.read()))
    except (OSError, ValueError, zlib.error) as error:
        raise SchemaError(f"{path}: cannot be read: {error}; install the collection again") from error


class Life(NamedTuple):
    """When a kind was deprecated and removed (minor versions, 0 for never), and what takes its place ("" for none)."""

    deprecated: int
    removed: int
    replacement: str


class Schemas:
    """The schemas of one minor version of Kubernetes.

    minor  the version whose schemas these are
    """

    def __init__(self, minor: int) -> None:
        document = _load(f"kubernetes-1.{minor}.json.z")
        self.minor = minor
        self._kinds: Mapping[str, Sequence[Any]] = document["kinds"]
        self._types: Mapping[str, Mapping[str, Any]] = document["types"]
        self._structs: dict[str, Struct] = {}
        self._nodes: dict[str, Node] = dict(_LETTERS)
        self._lives: Mapping[str, Sequence[Any]] | None = None
        self._groups: frozenset[str] | None = None

    def node(self, code: str) -> Node:
        """The node of a code."""
        found = self._nodes.get(code)
        if found is None:
            found = self._nodes[code] = self._make(code)
        return found

    def _make(self, code: str) -> Node:
        letter, rest = code[0], code[1:]
        if letter == "@":
            return self.struct(rest)
        if letter == "=":
            return _Enum(rest.split("|"))
        if letter == "/":
            other, _, struct = rest.partition(";")
            return _Either(self.node(other), self.node(struct))
        if letter == "<":
            keys, _, inner = rest.partition(":")
            split = [key.partition("=") for key in keys.split(",")]
            return KeyedList(self.node(inner), [(key, default or None) for key, _, default in split])
        makers: Mapping[str, Callable[[Node], Node]] = {"[": ListOf, "{": MapOf, "~": SetOf}
        return makers[letter](self.node(rest))

    def struct(self, name: str) -> Struct:
        """The node of a type by its name."""
        found = self._structs.get(name)
        if found is None:
            found = self._structs[name] = Struct(self, self._types[name])
        return found

    def kind(self, name: str) -> tuple[Struct, bool] | None:
        """Type of "group/version/Kind", and whether it lives in a namespace; None when there is no such kind."""
        found = self._kinds.get(name)
        return None if found is None else (self.struct(found[0]), bool(found[1]))

    def is_builtin(self, group: str) -> bool:
        """Whether a group is Kubernetes' own, so that no CustomResourceDefinition can be behind it."""
        if self._groups is None:
            self._groups = frozenset(name.split("/")[0] for name in (*self._kinds, *self._life_table()))
        return group in self._groups

    def life(self, name: str) -> Life:
        """When "group/version/Kind" was deprecated and removed."""
        found = self._life_table().get(name)
        return Life(0, 0, "") if found is None else Life(*found)

    def narrowed(self, other: Schemas) -> dict[str, set[str]]:
        """What `other` may refuse although these schemas take it: fields ("" for all), each with the kinds it is in.

        Not looked at: status, which the API server drops from what is applied, and whether a whole object must have a
        spec, which earlier schemas only did not say.
        """
        users: dict[str, set[str]] = {}
        found: list[tuple[str, str]] = []
        for name, one in self._types.items():
            for field, code in one["f"].items():
                if "@" in code and field != "status":
                    users.setdefault(code.partition("@")[2], set()).add(name)
            two = other._types.get(name)
            if two is None:
                continue  # what refers to it is another field then, or is gone
            found += [(name, field) for field, code in one["f"].items() if not _is_wider(two["f"].get(field, ""), code)]
            if set(two.get("r", ())) - set(one.get("r", ())) - {"spec"}:
                found.append((name, ""))
        tops: dict[str, set[str]] = {}
        out: dict[str, set[str]] = {"": set()}
        for name, (top, *_rest) in self._kinds.items():
            tops.setdefault(top, set()).add(name.rpartition("/")[2])
            if name not in other._kinds or other._kinds[name][0] != top:
                out[""].add(name.rpartition("/")[2])
        for name, field in found:
            reached, todo = {name}, [name]
            while todo:
                more = users.get(todo.pop(), set()) - reached
                reached |= more
                todo += more
            out.setdefault(field, set()).update(*(tops.get(one, ()) for one in reached))
        return out

    def ending(self, after: int, until: int) -> set[str]:
        """The kinds of which a version was deprecated or removed after one minor and until another."""
        lives = ((name.rpartition("/")[2], Life(*life)) for name, life in self._life_table().items())
        return {kind for kind, life in lives if any(after < at <= until for at in (life.deprecated, life.removed))}

    def _life_table(self) -> Mapping[str, Sequence[Any]]:
        if self._lives is None:
            self._lives = _load("lifecycle.json.z")
        return self._lives

    def elsewhere(self, kind: str, version: str) -> list[str]:
        """Every "group/version" that has a kind of that name, stable versions first, the same group's before others."""
        group = version.rpartition("/")[0]
        found = [name.rsplit("/", 1)[0].lstrip("/") for name in self._kinds if name.endswith(f"/{kind}")]
        return sorted(found, key=lambda one: (one.rpartition("/")[0] != group, "alpha" in one, "beta" in one, one))

    def kinds_of(self, version: str) -> list[str]:
        """The kinds of a "group/version"."""
        start = f"{version if '/' in version else '/' + version}/"
        return [name[len(start) :] for name in self._kinds if name.startswith(start)]


_SCHEMAS: dict[int, Schemas] = {}


def schemas(version: str = "") -> Schemas:
    """The schemas for a version ("1.37", "v1.37.2"); the nearest known for others, the newest for "".

    Raises:
        SchemaError: they cannot be read.
    """
    minor = nearest_minor(version)
    if minor not in _SCHEMAS:
        _SCHEMAS[minor] = Schemas(minor)
    return _SCHEMAS[minor]


def _is_wider(code: str, other: str) -> bool:
    """Whether a field of one code takes all that one of another takes, as far as that is plain to see."""
    values = (set(one[1:].split("|")) if one.startswith("=") else None for one in (code, other))
    wide, narrow = values
    return code == other or (wide is not None and narrow is not None and wide >= narrow)


def broken_by(old: str, new: str) -> tuple[frozenset[str], Callable[[bytes], bool]]:
    """Tells of a file's content whether an upgrade may break, or bring to its end, an object in it.

    Most of a repository can be passed over so: only words are looked for.

    Returns:
        The kinds of which it may (none: it cannot), and what tells.

    Raises:
        SchemaError: the schemas cannot be read.
    """
    before, after = schemas(old), schemas(new)
    fields = before.narrowed(after)
    fields[""] |= before.ending(minor_of(old) or before.minor, minor_of(new) or after.minor)
    words = [(field.encode(), {kind.encode() for kind in kinds}) for field, kinds in fields.items()]
    every = sorted({kind for _field, kinds in words for kind in kinds})

    def look(data: bytes) -> bool:
        there = {kind for kind in every if kind in data}
        return bool(there) and any(there & kinds and field in data for field, kinds in words)

    return frozenset(kind.decode() for kind in every), look


def nearest_minor(version: str) -> int:
    """The minor of the schemas by which objects for a version are judged: the nearest known, the newest for ""."""
    asked = minor_of(version)
    return min(max(asked if asked is not None else MINORS[-1], MINORS[0]), MINORS[-1])


def minor_of(version: str) -> int | None:
    """37 for "1.37" and "v1.37.2"; None for anything else."""
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else None


# --- Objects ----------------------------------------------------------------------------------------------------

#: Gives, for "group/version/Kind" of a custom resource, the node that validates it and whether it lives in a namespace;
#: None where there is no definition of it.
Custom = Callable[[str], "tuple[Node, bool] | None"]


def validate(obj: Mapping[str, Any], version: str = "", custom: Custom | None = None) -> list[Fault]:
    """Everything that is wrong with an object.

    Args:
        obj: the object as parsed.
        version: of Kubernetes; see `schemas`.
        custom: where the schemas of custom resources come from.

    Raises:
        SchemaError: the schemas cannot be read.
    """
    faults = Faults()
    try:
        _Objects(schemas(version), minor_of(version), custom).check(obj, None, faults)
    except RecursionError:
        faults.add(None, "is nested too deeply to be judged")
    return faults.listed()


class _Objects:
    """Validation of whole objects: kinds, then fields."""

    def __init__(self, known: Schemas, minor: int | None, custom: Custom | None) -> None:
        self.known = known
        self.minor = known.minor if minor is None else minor
        self.custom = custom

    def check(self, obj: Any, at: At, faults: Faults) -> None:
        if not isinstance(obj, dict):
            faults.add(at, f"must be an object, not {kind_of(obj)}")
            return
        version, kind = obj.get("apiVersion"), obj.get("kind")
        for field, value in (("apiVersion", version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                faults.add((at, field), MISSING if value in (None, "") else f"must be a string, not {kind_of(value)}")
                return
        if version == "v1" and kind == "List":
            self._check_list(obj, at, faults)
            return
        self._check_kind(obj, str(version), str(kind), at, faults)

    def _check_list(self, obj: Mapping[str, Any], at: At, faults: Faults) -> None:
        items = obj.get("items")
        if items is not None and not isinstance(items, list):
            faults.add((at, "items"), f"must be a list, not {kind_of(items)}")
            return
        for index, item in enumerate(items or ()):
            self.check(item, ((at, "items"), index), faults)

    def _check_kind(self, obj: Mapping[str, Any], version: str, kind: str, at: At, faults: Faults) -> None:
        group = version.rpartition("/")[0]
        name = f"{version if '/' in version else '/' + version}/{kind}"
        found: tuple[Node, bool] | None = self.known.kind(name)
        if found is None and self.known.is_builtin(group):
            faults.add((at, "apiVersion"), self._no_kind(version, kind, name))
            return
        is_custom = found is None
        if found is None:
            found = self.custom(name) if self.custom else None
            if found is None:
                faults.add((at, "apiVersion"), f"{kind} of {version} has no schema here; it is not validated", INFO)
                return
        else:
            self._check_life(kind, version, name, at, faults)
        inside = Faults()
        found[0].check(obj, at, inside)
        faults.take(inside, at)
        self._check_metadata(obj, kind, at, faults)
        if not found[1] and metadata_of(obj).get("namespace"):
            # Rules know the scope of built-in kinds; another they would take for an object of that namespace.
            message = f"{kind} belongs to the whole cluster; its namespace is ignored"
            faults.add(((at, "metadata"), "namespace"), message, PROHIBIT if is_custom else WARN)

    def _no_kind(self, version: str, kind: str, name: str) -> str:
        # without the version that was asked for: an upgrade must not make a known fault a new one
        life = self.known.life(name)
        others = self.known.elsewhere(kind, version)
        use = life.replacement if life.replacement and self._has(life.replacement, kind) else ", ".join(others[:2])
        if life.removed and self.minor >= life.removed:
            instead = f"use {use}" if use else "nothing takes its place"
            return f"{kind} of {version} was removed in Kubernetes 1.{life.removed}; {instead}"
        if others:
            return f"there is no {kind} in {version}; use {', '.join(others[:2])}"
        hint = nearest(kind, self.known.kinds_of(version))
        return f"there is no {kind} in {version}{hint}"

    def _has(self, replacement: str, kind: str) -> bool:
        version, _, other = replacement.partition(" ")
        return self.known.kind(f"{version if '/' in version else '/' + version}/{other or kind}") is not None

    def _check_life(self, kind: str, version: str, name: str, at: At, faults: Faults) -> None:
        life = self.known.life(name)
        if life.removed and self.minor >= life.removed and self.minor > self.known.minor:
            faults.add((at, "apiVersion"), self._no_kind(version, kind, name))
        elif life.deprecated and self.minor >= life.deprecated:
            gone = f" and removed in 1.{life.removed}" if life.removed else ""
            use = f"; use {life.replacement}" if life.replacement else ""
            message = f"{kind} of {version} is deprecated since Kubernetes 1.{life.deprecated}{gone}{use}"
            faults.add((at, "apiVersion"), message, WARN)

    def _check_metadata(self, obj: Mapping[str, Any], kind: str, at: At, faults: Faults) -> None:
        meta = metadata_of(obj)
        # reviews are questions to the API server: they have no name
        if not meta.get("name") and not meta.get("generateName") and not kind.endswith("Review"):
            faults.add(((at, "metadata"), "name"), MISSING)


# --- The door for rules -----------------------------------------------------------------------------------------

_UNKNOWN = {"info": INFO, "warn": WARN, "prohibit": PROHIBIT}


def problems(name: str, params: Any) -> list[str]:
    """What is wrong with the parameters of a rule: {unknown: info|warn|prohibit} says what to do about custom
    resources without a definition in the repository (info where nothing is said)."""
    if params is None or params == {}:
        return []
    if not isinstance(params, dict):
        return [f"{name}: write {{}} or {{unknown: prohibit}}"]
    out = [f"{name}: {key!r} is not known; unknown is" for key in params if key != "unknown"]
    if "unknown" in params and params["unknown"] not in list(_UNKNOWN):
        out.append(f"{name}: unknown must be one of {', '.join(_UNKNOWN)}")
    return out


def check(jobs: Sequence[Job]) -> list[list[Finding]]:
    """Validate every job's objects.

    Raises:
        SchemaError: the schemas cannot be read.
        ContentError: a job's time is over.
    """
    definitions: dict[Any, Any] = {}
    return [list(_judge(job, definitions)) for job in jobs]


def _judge(job: Job, cache: dict[Any, Any]) -> Iterator[Finding]:
    unknown = _UNKNOWN[(job.params or {}).get("unknown", "info")]
    custom = _Definitions(job, cache)
    for at in job.objects:
        within(job.context)
        custom.current = at
        for fault in validate(at.object, job.context.version, custom):
            severity = unknown if fault.severity == INFO else fault.severity
            yield _finding(job, at, fault, severity)


def _finding(job: Job, at: ObjectAt, fault: Fault, severity: str) -> Finding:
    field = named(at.object, fault.path)
    where = f"{show_path(field)}: " if field else ""
    # a rule that only warns never prohibits
    worst = job.context.severity if severity == PROHIBIT else severity
    return Finding(
        rule=job.context.rule,
        severity=worst,
        kind=INVALID,
        message=f"{where}{fault.message}",
        origin=at.position(fault.path),
        subject=at.subject,
        field=field,
    )


class _Definitions:
    """The custom resources that the objects of a job's side define; looked for only when one is needed.

    current  the object that is looked at
    """

    def __init__(self, job: Job, cache: dict[Any, Any]) -> None:
        self._job = job
        self._cache = cache
        self.current: ObjectAt | None = None

    def __call__(self, name: str) -> tuple[Node, bool] | None:
        # only a repository with custom resources pays for what they need
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd

        context: Context = self._job.context
        key = id(context.objects)
        if key not in self._cache:
            # the function is kept beside its answer, so that its id stays its own
            everything = (at.object for at in (*self._job.objects, *context.objects()))
            self._cache[key] = (context.objects, _crd.definitions(everything))
        group, _version, kind = name.split("/")
        known = self._cache[key][1]
        found: Sequence[_crd.Definition] = known.get(name) or known.get(f"{group}//{kind}", ())
        if not found:
            return None
        return _Choice([self._node(one) for one in found]), found[0].namespaced

    def _node(self, definition: _crd.Definition) -> Node:
        if definition.wrong:
            return _Wrong(definition.wrong)
        if not definition.has_rules:
            return definition.node
        # only a repository with rules in CEL pays for what they need
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd_rules

        key = ("rules", id(definition))
        if key not in self._cache:
            try:
                self._cache[key] = (definition, _crd_rules.level_of(definition.schema))
            except RecursionError:
                wrong = "its definition cannot be used: it is nested too deeply"
                self._cache[key] = (definition._replace(wrong=wrong), None)
        known, level = self._cache[key]
        if known.wrong or level is None:
            return _Wrong(known.wrong) if known.wrong else definition.node
        current = self.current
        old = current.old if current is not None and _same_name(current) else None
        deadline = self._job.context.deadline

        def ask(value: Any, faults: Faults) -> None:
            _crd_rules.check(level, value, old, faults, deadline)

        return _Ruled(definition.node, ask)


def _same_name(at: ObjectAt) -> bool:
    """Whether an object is the one in whose place it comes, and not another one that was written there."""
    if at.old is None:
        return False
    new, old = metadata_of(at.object), metadata_of(at.old)
    groups = [str(one.get("apiVersion")).rpartition("/")[0] for one in (at.object, at.old)]
    return (
        at.object.get("kind") == at.old.get("kind")
        and groups[0] == groups[1]
        and all(new.get(key) == old.get(key) for key in ("name", "namespace"))
    )


class _Ruled(Node):
    """A custom resource with rules in CEL, which are asked after its schema."""

    __slots__ = ("ask", "node")

    def __init__(self, node: Node, ask: Callable[[Any, Faults], None]) -> None:
        self.node = node
        self.ask = ask

    def check(self, value: Any, at: At, faults: Faults) -> None:
        self.node.check(value, at, faults)
        self.ask(value, faults)


class _Wrong(Node):
    """A definition by which nothing can be validated."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message

    def check(self, value: Any, at: At, faults: Faults) -> None:
        faults.add((at, "apiVersion"), self.message)


class _Choice(Node):
    """Several definitions of one kind, as environments may have them: an object must fit one."""

    __slots__ = ("nodes",)

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def check(self, value: Any, at: At, faults: Faults) -> None:
        results: list[list[Fault]] = []
        for node in self.nodes:
            found = Faults()
            node.check(value, None, found)
            results.append(found.listed())
        # the nearest definition's faults, whatever the order in which the definitions came
        for fault in min(results, key=lambda one: (len(one), [str(fault) for fault in one])):
            inner = at
            for step in fault.path:
                inner = (inner, step)
            faults.add(inner, fault.message, fault.severity)

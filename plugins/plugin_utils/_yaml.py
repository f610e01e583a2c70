# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""YAML as its reader sees it, with the place in the file of every key and value.

Two readers are known, because the same text means different things to them ("flavours"):

ansible  YAML 1.1 as PyYAML's safe loader resolves it, which is what Ansible reads inventories with: `yes` and `on` are
         true; 0777 is octal; 1:30 is 90; 1e3 is text (a float wants a dot); keys keep their type; an explicit key wins
         over a merged one (`<<`); !vault and !unsafe are known, any other local tag is an error.
k8s      what sigs.k8s.io/yaml makes of it (kubectl, Flux, every controller): also `y` and `n` are booleans; 0777 and
         0o777 are octal, 08 is 8; 1e3 is 1000; 1:30 is text; keys become text (`on:` is the key "true"), null is no
         key; a local tag is ignored; where a merge stands after an explicit key, the merge wins; infinity is an error.
         (Go code that decodes into a typed field also turns a number into text where the field is text; that is not
         done here.)  Kustomize reads some of this otherwise, and Flux reads plain manifests with it: that is noted.

Ansible takes a text that is JSON for JSON; one that says something else as YAML is an error.
In both, a timestamp stays the text it is (a `Timestamp` in ansible), and a duplicate key is reported while the last one
wins.
Nothing is executed or built but plain values; anchors, depth and size are limited.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from math import copysign, inf, isfinite, isinf
from typing import TYPE_CHECKING, Any, Literal

import yaml
from ansible_collections.weft.platform.plugins.module_utils._change import Origin
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

if TYPE_CHECKING:
    from pathlib import Path as FilePath  # dear, and a hook has no other use for it

Flavour = Literal["ansible", "k8s"]
#: Steps into a document: a mapping's key as the value has it, or a list's index from 0.
Path = tuple[Any, ...]
Kind = Literal["scalar", "mapping", "sequence"]

_CORE = "tag:yaml.org,2002:"
_CONTAINERS: Mapping[type, Callable[[], Any]] = {MappingStartEvent: dict, SequenceStartEvent: list}
_ENDS = frozenset({MappingEndEvent, SequenceEndEvent})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Tags that Ansible's own loader knows (ansible-core 2.19, ansible/_internal/_yaml/_constructor.py).
_ANSIBLE_TAGS = frozenset({"!vault", "!vault-encrypted", "!unsafe"})
#: Core tags whose value is not a JSON value; kept opaque.
_OPAQUE = frozenset({f"{_CORE}binary", f"{_CORE}set", f"{_CORE}omap", f"{_CORE}pairs"})


class YamlError(ValueError):
    """A text is not YAML, not what the flavour accepts, or beyond the limits.

    file, line (from 1), column (from 1) say where; message says what is wrong and what to do.
    """

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file = file
        self.line = line
        self.column = column
        self.message = message


@dataclass(frozen=True)
class Position:
    """A place in a file; line and column count characters from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def origin(self) -> Origin:
        """The same place as Changes carry it."""
        return Origin(self.file, self.line, self.column)


@dataclass(frozen=True)
class Limits:
    """What is refused.

    size     bytes of the text
    nodes    keys and values, those that aliases repeat counted each time
    depth    mappings and sequences inside each other
    aliases  uses of anchors
    """

    size: int = 16 * 1024 * 1024
    nodes: int = 1_000_000
    depth: int = 100
    aliases: int = 10_000


LIMITS = Limits()


@dataclass(frozen=True)
class Tagged:
    """A value with a tag that the reader does not look into: !vault (a secret), !unsafe (no template), !!binary."""

    tag: str
    value: Any


class Timestamp(str):
    """The text of what Ansible takes for a date or a time, as it is not in quotes."""

    __slots__ = ()


_NO_ENTRIES: dict[Any, tuple[Node, Node]] = {}
_NO_ITEMS: list[Node] = []


class Node:
    """One key or value where it stands; line and column count from 1.

    entries   of a mapping: its keys with their place and value, in the order of the file; merged keys included
    items     of a sequence
    scalar    of a scalar: the value
    tag       the explicit tag that made a `Tagged` of it, else ""
    size, height  nodes below and including this one; 0 levels for a scalar
    """

    __slots__ = ("column", "entries", "height", "items", "kind", "line", "scalar", "size", "tag")

    def __init__(self, kind: Kind, line: int, column: int, scalar: Any = None, tag: str = "") -> None:
        self.kind = kind
        self.line = line
        self.column = column
        self.scalar = scalar
        self.tag = tag
        self.entries: dict[Any, tuple[Node, Node]] = {} if kind == "mapping" else _NO_ENTRIES
        self.items: list[Node] = [] if kind == "sequence" else _NO_ITEMS
        self.size = 1
        self.height = 0 if kind == "scalar" else 1

    def plain(self) -> Any:
        """The value, built anew on each call: it may be changed freely."""
        value: Any = self.scalar
        if self.kind == "mapping":
            value = {key: node.plain() for key, (_key, node) in self.entries.items()}
        elif self.kind == "sequence":
            value = [node.plain() for node in self.items]
        return Tagged(self.tag, value) if self.tag else value

    def step(self, step: Any) -> Node | None:
        """The value one step below, or None."""
        if self.kind == "mapping":
            found = self.entries.get(step) if isinstance(step, (str, int, float, type(None))) else None
            return found[1] if found else None
        in_list = self.kind == "sequence" and isinstance(step, int) and 0 <= step < len(self.items)
        return self.items[step] if in_list else None


@dataclass(frozen=True)
class Duplicate:
    """A key that a mapping has twice: `path` leads to it, `first` and `second` are the places."""

    path: Path
    first: Position
    second: Position

    def __str__(self) -> str:
        return f"{self.second}: key {self.path[-1]!r} is there already, at line {self.first.line}"


@dataclass
class Document:
    """One document of a file.

    start       where its value begins
    nodes       makes its nodes
    index       from 0, where a file has several documents
    duplicates  keys that stand twice
    disputed    what is something else to Kustomize than to kubectl: place and message; only of `k8s`
    """

    file: str
    start: Position
    nodes: Callable[[], Node]
    index: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    disputed: list[tuple[Position, str]] = field(default_factory=list)

    @cached_property
    def root(self) -> Node:
        """Its nodes."""
        return self.nodes()

    @cached_property
    def value(self) -> Any:
        """The whole value: None, bool, int, float, str, list, dict or Tagged."""
        return self.root.plain()

    def node(self, path: Path) -> Node | None:
        """The node at a path, or None where there is none."""
        found: Node | None = self.root
        for step in path:
            found = found.step(step) if found is not None else None
        return found

    def position(self, path: Path = ()) -> Position:
        """Where the value at a path stands; for a path that is not there, its nearest parent."""
        if not path:
            return self.start
        node = self.root
        for step in path:
            below = node.step(step)
            if below is None:
                break
            node = below
        return Position(self.file, node.line, node.column)

    def key_position(self, path: Path) -> Position:
        """Where the key of the value at a path stands (for a list's element, the element itself)."""
        parent = self.node(path[:-1]) if path else None
        if parent is not None and parent.kind == "mapping" and parent.step(path[-1]) is not None:
            key = parent.entries[path[-1]][0]
            return Position(self.file, key.line, key.column)
        return self.position(path)

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Every value from a path on, parents before children."""
        node = self.node(path)
        if node is not None:
            yield from _walk(path, node)


def read_file(path: str | FilePath, flavour: Flavour = "ansible", limits: Limits = LIMITS) -> list[Document]:
    """The documents of a file; see `read`.

    Raises:
        YamlError: the file is not such YAML, or larger than allowed.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return read(file.read(limits.size + 1), str(path), flavour, limits)


def read(
    text: str | bytes, file: str = "<text>", flavour: Flavour = "ansible", limits: Limits = LIMITS
) -> list[Document]:
    """The documents of a text, in UTF-8; an empty text has none.

    Args:
        text: what is read.
        file: its name, for positions.
        flavour: whose eyes to read with.
        limits: what is too much.

    Raises:
        YamlError: the text is not such YAML, or beyond the limits.
    """
    data = _bytes(text, file, limits)
    closely = cache(_Reader(data, file, flavour, limits).documents)
    if flavour == "ansible":
        _check_json(data, file, closely)
    found = _quickly(data, limits) if flavour == "k8s" else None
    if found is None:
        return closely()
    out = []
    for index, (start, value) in enumerate(zip(*found, strict=True)):
        document = Document(file, Position(file, *start), _node_of(closely, index), index)
        document.value = value
        out.append(document)
    return out


def _check_json(data: bytes, file: str, documents: Callable[[], list[Document]]) -> None:
    """Refuse a text that Ansible, which tries JSON before YAML, reads otherwise than the `_Reader`."""
    if data.lstrip()[:1] not in (b"{", b"["):
        return
    marked: list[str] = []  # keys by which Ansible makes a text of an object (ansible-core 2.19, its JSON profiles)

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        marked.extend(key for key, _value in found if key.startswith("__ansible_"))
        return dict(found)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return  # to Ansible as well
    if marked or repr([value]) != repr([one.value for one in documents()]):
        message = "is JSON to Ansible and says something else than as YAML; write its numbers and texts plainly"
        raise YamlError(file, 1, 1, message)


def _node_of(documents: Callable[[], list[Document]], index: int) -> Callable[[], Node]:
    return lambda: documents()[index].root


def _bytes(text: str | bytes, file: str, limits: Limits) -> bytes:
    """UTF-8 only: libyaml would also guess UTF-16, which neither reader expects in a repository."""
    try:
        data = text.encode("utf-8") if isinstance(text, str) else text
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise YamlError(file, line, 1, "is not UTF-8 text; save it as UTF-8") from error
    except UnicodeEncodeError as error:
        raise YamlError(file, 1, 1, "holds half of a surrogate pair, which is no text") from error
    if len(data) > limits.size:
        raise YamlError(file, 1, 1, f"is larger than {limits.size} bytes; split it")
    return data


def _walk(path: Path, node: Node) -> Iterator[tuple[Path, Node]]:
    yield path, node
    for key, (_key, below) in node.entries.items():
        yield from _walk((*path, key), below)
    for index, below in enumerate(node.items):
        yield from _walk((*path, index), below)


class _Open:
    """A mapping or sequence that is still being read."""

    __slots__ = ("anchor", "key", "merges", "node", "pairs", "twice")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: Node | None = None
        self.pairs: list[tuple[Node, Node]] = []
        self.merges: list[tuple[int, Node]] = []
        self.twice: list[tuple[Any, Node, Node]] = []

    @property
    def wants_key(self) -> bool:
        return self.node.kind == "mapping" and self.key is None


class _Reader:
    """Builds nodes out of libyaml's events, without recursion on the text's depth."""

    def __init__(self, data: bytes, file: str, flavour: Flavour, limits: Limits) -> None:
        self.data = data
        self.file = file
        self.flavour = flavour
        self.scalar = _SCALARS[flavour]
        self.limits = limits
        self.nodes = 0
        self.aliases = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.twice: list[tuple[Node, list[tuple[Any, Node, Node]]]] = []
        self.disputed: list[tuple[Position, str]] = []

    def documents(self) -> list[Document]:
        out: list[Document] = []
        try:
            for event in yaml.parse(self.data, Loader=_LOADER):
                root = self._take(event)
                if root is not None:
                    document = Document(self.file, self._position(root), _same(root), len(out))
                    document.duplicates = self._duplicates(document)
                    document.disputed = self.disputed
                    out.append(document)
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from error
        return out

    def _take(self, event: Any) -> Node | None:
        """Take one event in; the document's root when the event completes it."""
        kind = type(event)
        if kind is ScalarEvent:
            return self._complete(self._scalar(event), event.anchor)
        if kind in _CONTAINERS:
            self._open(event)
        elif kind in _ENDS:
            return self._close()
        elif kind is AliasEvent:
            return self._complete(self._alias(event), None)
        elif kind is DocumentStartEvent:
            self.anchors, self.twice, self.disputed = {}, [], []
        return None

    def _error(self, node: Any, message: str) -> YamlError:
        return YamlError(self.file, node.line, node.column, message)

    def _not_yaml(self, error: yaml.YAMLError) -> YamlError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        if mark is not None:
            return YamlError(self.file, mark.line + 1, mark.column + 1, f"is not YAML: {said}")
        place = getattr(error, "position", None)
        before = self.data.decode("utf-8")[: place if isinstance(place, int) else 0]
        return YamlError(self.file, before.count("\n") + 1, 1, f"is not YAML: {said}")

    def _count(self, node: Node, number: int) -> None:
        self.nodes += number
        if self.nodes > self.limits.nodes:
            raise self._error(
                node,
                f"more than {self.limits.nodes} keys and values, those repeated by aliases counted; split the file",
            )

    def _check_depth(self, node: Node, height: int) -> None:
        if len(self.stack) + height > self.limits.depth:
            raise self._error(node, f"more than {self.limits.depth} levels inside each other")

    def _open(self, event: Any) -> None:
        kind: Kind = "mapping" if type(event) is MappingStartEvent else "sequence"
        mark = event.start_mark
        node = Node(kind, mark.line + 1, mark.column + 1)
        node.tag = self._container_tag(node, event.tag)
        self._count(node, 1)
        self.stack.append(_Open(node, event.anchor))
        self._check_depth(node, 0)
        if event.anchor:
            self.anchors[event.anchor] = None  # known, but not complete: an alias to it would contain itself

    def _container_tag(self, node: Node, tag: str | None) -> str:
        natural = {"mapping": f"{_CORE}map", "sequence": f"{_CORE}seq"}[node.kind]
        if tag in (None, "!", natural) or self.flavour == "k8s":
            return ""
        if tag in _ANSIBLE_TAGS or tag in _OPAQUE:
            return _short(tag)
        raise self._error(
            node, f"a {node.kind} with the tag {_short(tag)}, which Ansible does not know; take the tag away"
        )

    def _close(self) -> Node | None:
        done = self.stack.pop()
        if done.merges:
            self._merge(done)
        if done.twice:
            self.twice.append((done.node, done.twice))
        return self._complete(done.node, done.anchor)

    def _alias(self, event: Any) -> Node:
        mark = event.start_mark
        here = Node("scalar", mark.line + 1, mark.column + 1)
        self.aliases += 1
        if self.aliases > self.limits.aliases:
            raise self._error(here, f"more than {self.limits.aliases} aliases")
        if event.anchor not in self.anchors:
            raise self._error(here, f"alias *{event.anchor} names no anchor before it")
        target = self.anchors[event.anchor]
        if target is None:
            raise self._error(here, f"anchor &{event.anchor} contains itself")
        self._count(here, target.size)
        self._check_depth(here, target.height)
        if target.scalar is _MERGE and self.stack and self.stack[-1].wants_key:
            raise self._error(here, "an alias of << is a merge to some readers and text to others; write <<")
        # The value is where it is used, its inner parts are where they were written.
        node = Node(target.kind, here.line, here.column, target.scalar, target.tag)
        node.entries, node.items = target.entries, target.items
        node.size, node.height = target.size, target.height
        return node

    def _complete(self, node: Node, anchor: str | None) -> Node | None:
        if anchor:
            self.anchors[anchor] = node
        if node.scalar is _MERGE and not (self.stack and self.stack[-1].wants_key):
            node = self._not_merged(node)
        if not self.stack:
            return node
        parent = self.stack[-1]
        above = parent.node
        above.size += node.size
        if node.height >= above.height:
            above.height = node.height + 1
        if above.kind == "sequence":
            above.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node)
        else:
            self._entry(parent, parent.key, node)
            parent.key = None
        return None

    def _not_merged(self, node: Node) -> Node:
        """`<<` where it is no key: text to Go, and nothing to PyYAML."""
        if self.flavour == "ansible":
            raise self._error(node, "<< is for keys; write it in quotes")
        return Node("scalar", node.line, node.column, "<<")

    def _key(self, node: Node) -> Node:
        if node.kind != "scalar" or node.tag:
            raise self._error(node, "a key must be plain text or a number, not a mapping, a list or a tagged value")
        if self.flavour == "k8s" and node.scalar is not _MERGE:
            text = _key_text(node.scalar)
            if text is None:
                raise self._error(node, f"{node.scalar!r} cannot be a key; write it in quotes")
            if text == "<<":
                self._dispute(node, "the text << as a key is a merge to Kustomize; name it otherwise")
            return node if text is node.scalar else Node("scalar", node.line, node.column, text)
        return node

    def _dispute(self, node: Node, message: str) -> None:
        self.disputed.append((self._position(node), message))

    def _entry(self, parent: _Open, key: Node, node: Node) -> None:
        if key.scalar is _MERGE:
            parent.merges.append((len(parent.pairs), node))
            return
        parent.pairs.append((key, node))
        entries = parent.node.entries
        if key.scalar in entries:
            parent.twice.append((key.scalar, entries[key.scalar][0], key))
        entries[key.scalar] = (key, node)

    def _merge(self, done: _Open) -> None:
        """Bring in the keys of `<<`, where the flavour's reader gives them their place."""
        own = [(key.scalar, (key, node)) for key, node in done.pairs]
        merged: dict[Any, tuple[Node, Node]] = {}
        before: set[Any] = set()
        start = 0
        for place, source in done.merges:
            if self.flavour == "k8s":  # in the order of the text, the later wins
                merged.update(own[start:place])
                before.update(key for key, _entry in own[start:place])
                start = place
            for mapping in reversed(self._sources(source)):
                if not before.isdisjoint(mapping.entries):
                    self._dispute(source, "<< wins over keys before it in kubectl, and not in Kustomize; put it first")
                merged.update(mapping.entries)
        merged.update(own[start:])
        self._count(done.node, len(merged))
        done.node.entries = merged

    def _sources(self, source: Node) -> list[Node]:
        found = source.items if source.kind == "sequence" else [source]
        for node in found:
            if node.kind != "mapping" or node.tag:
                raise self._error(node, "<< wants a mapping or a list of mappings")
        return found

    def _duplicates(self, document: Document) -> list[Duplicate]:
        if not self.twice:
            return []
        paths = {id(node.entries): path for path, node in document.walk() if node.kind == "mapping"}
        out = []
        for node, pairs in self.twice:
            for key, first, second in pairs:
                path = (*paths.get(id(node.entries), ()), key)
                out.append(Duplicate(path, self._position(first), self._position(second)))
        return sorted(out, key=lambda one: (one.second.line, one.second.column))

    def _position(self, node: Node) -> Position:
        return Position(self.file, node.line, node.column)

    def _scalar(self, event: Any) -> Node:
        mark = event.start_mark
        node = Node("scalar", mark.line + 1, mark.column + 1)
        self._count(node, 1)
        try:
            node.scalar, node.tag = self.scalar(event.value, event.tag, event.implicit[0])
        except ValueError as error:
            raise self._error(node, f"{_shorten(event.value)}: {error}") from error
        if self.flavour == "k8s" and _is_disputed(event.value, event.tag, event.implicit[0], node.scalar):
            remedy = "write true or false, or put it in quotes" if type(node.scalar) is bool else "put it in quotes"
            self._dispute(node, f"{_shorten(event.value)} is not the same to kubectl and to Kustomize; {remedy}")
        return node


def _same(root: Node) -> Callable[[], Node]:
    return lambda: root


class _Merge:
    """The key `<<`, told apart from the text "<<" in quotes."""

    def __repr__(self) -> str:
        return "<<"


_MERGE = _Merge()


def _short(tag: str | None) -> str:
    text = tag or ""
    return f"!!{text[len(_CORE) :]}" if text.startswith(_CORE) else text


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


# --- Ansible: PyYAML's own resolver and constructors ------------------------------------------------------------------

_RESOLVERS: Mapping[str | None, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers


def _ansible_scalar(text: str, tag: str | None, is_plain: bool) -> tuple[Any, str]:
    if tag is None or tag == "!":
        tag = _ansible_tag(text) if is_plain else f"{_CORE}str"
    if tag in _ANSIBLE_TAGS or tag in _OPAQUE:
        return text, _short(tag)
    build = _ANSIBLE.get(tag)
    if build is None:
        raise ValueError(f"tag {_short(tag)} is not known to Ansible; take the tag away or write the value in quotes")
    return build(text), ""


def _ansible_tag(text: str) -> str:
    for first in (text[:1], None):
        for tag, pattern in _RESOLVERS.get(first, []):
            if pattern.match(text):
                return tag
    return f"{_CORE}str"


def _sixty(text: str, number: Any) -> Any:
    """Base 60 as YAML 1.1 has it: 1:30 is 90."""
    value = number(0)
    for digits in text.split(":"):
        value = value * 60 + number(digits)
    return value


def _ansible_int(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if ":" in digits:
        return sign * int(_sixty(digits, int))
    if digits.startswith(("0b", "0x")):
        return sign * int(digits[2:], 2 if digits[1] == "b" else 16)
    return sign * int(digits, 8 if digits.startswith("0") and digits != "0" else 10)


def _ansible_float(text: str) -> float:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits in (".inf", ".nan"):
        return sign * float(digits[1:])
    return sign * (float(_sixty(digits, float)) if ":" in digits else float(digits))


def _ansible_bool(text: str) -> bool:
    value = yaml.SafeLoader.bool_values.get(text.lower())
    if value is None:
        raise ValueError("is not a boolean; write true or false")
    return bool(value)


_ANSIBLE: Mapping[str, Any] = {
    f"{_CORE}str": str,
    f"{_CORE}int": _ansible_int,
    f"{_CORE}float": _ansible_float,
    f"{_CORE}bool": _ansible_bool,
    f"{_CORE}null": lambda _text: None,
    f"{_CORE}timestamp": Timestamp,
    f"{_CORE}merge": lambda _text: _MERGE,
}


# --- Kubernetes: the behaviour of sigs.k8s.io/yaml v1.6.0, seen by running it -----------------------------------------

_K8S_WORDS: Mapping[str, Any] = {
    **{form: True for word in ("y", "yes", "true", "on") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("n", "no", "false", "off") for form in (word, word.title(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{sign + form: float(sign + "inf") for sign in ("", "+", "-") for form in (".inf", ".Inf", ".INF")},
    **{form: float("nan") for form in (".nan", ".NaN", ".NAN")},
    "<<": _MERGE,
}
_K8S_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_K8S_INT = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_K8S_TYPES: Mapping[str, tuple[type, ...]] = {
    f"{_CORE}int": (int,),
    f"{_CORE}float": (int, float),
    f"{_CORE}bool": (bool,),
    f"{_CORE}null": (type(None),),
}
_K8S_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")


def _k8s_scalar(text: str, tag: str | None, is_plain: bool) -> tuple[Any, str]:
    if tag is None and is_plain:
        value = _k8s_plain(text)
    elif tag in (None, "!", f"{_CORE}str") or not str(tag).startswith(_CORE):
        value = text  # a local tag is ignored
    else:
        value = _k8s_tagged(text, str(tag))
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("is not a number that JSON has; write it in quotes")
    return value, ""


def _k8s_plain(text: str) -> Any:
    if text in _K8S_WORDS:
        return _K8S_WORDS[text]
    digits = text.replace("_", "") if text[:1] in "+-0123456789" else text
    if _K8S_DATE.fullmatch(text):
        return text
    if digits[:3] in ("0b-", "0b+"):
        digits = f"{digits[2]}0b{digits[3:]}"  # Go reads what follows 0b with its sign
    whole = _K8S_INT.fullmatch(digits) if digits[:1] != "." else None
    if whole:
        number = _k8s_int(whole)
        if -(2**63) <= number < 2**64:
            return number
    if _K8S_FLOAT.fullmatch(digits):
        value = float(digits)
        return text if isinf(value) else value  # out of range is text to Go
    return text


def _k8s_int(found: re.Match[str]) -> int:
    sign, hexadecimal, binary, octal, decimal = found.groups()
    for digits, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)):
        if digits is not None and len(digits) <= 64:
            return int(sign + digits, base)
    return 2**64  # longer than any number Go holds


def _k8s_tagged(text: str, tag: str) -> Any:
    if tag == f"{_CORE}binary":
        return base64.b64decode(text, validate=True).decode("utf-8")
    value = _k8s_plain(text)
    if tag == f"{_CORE}merge":
        if text != "<<":
            raise ValueError("is no merge; write <<")
        return _MERGE
    wanted = _K8S_TYPES.get(tag)
    if wanted is None:
        return text  # !!timestamp stays text; a core tag that says nothing of scalars is ignored
    if type(value) not in wanted:
        raise ValueError(f"cannot be read as {_short(tag)}")
    return float(value) if tag == f"{_CORE}float" else value


#: A time to Kustomize (go.yaml.in/yaml/v3, parseTimestamp): with T it has a zone, after a space none.
_TIME = re.compile(
    r"[0-9]{4}(-[0-9]{1,2}){2}"
    r"([Tt]([0-9]{1,2}:){2}[0-9]+([.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})| +([0-9]{1,2}:){2}[0-9]+([.,][0-9]+)?)?"
)
#: A time that Kustomize writes as it is.
_SAME_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,8}[1-9])?(Z|[-+][0-9]{2}:[0-9]{2})"
)
#: A number to Kustomize.
_SIGNED_OCTAL = re.compile(r"0_*o_*[-+][0-7_]+")


def _is_disputed(text: str, tag: str | None, is_plain: bool, value: Any) -> bool:
    """Whether Kustomize, which reads YAML 1.2 and times, sees something else in a scalar than kubectl."""
    if type(value) is bool:
        return tag is None and text[0] not in "tTfF"
    if tag == "!":
        return _k8s_plain(text) is not text
    if is_plain and text[:1] == "0" and _SIGNED_OCTAL.fullmatch(text):
        return True
    is_time = text[4:5] == "-" and (is_plain if tag is None else tag == f"{_CORE}timestamp")
    return is_time and _TIME.fullmatch(text) is not None and _SAME_TIME.fullmatch(text) is None


_SCALARS: Mapping[str, Any] = {"ansible": _ansible_scalar, "k8s": _k8s_scalar}

#: Longer texts are seldom there twice.
_SHORT_TEXT = 64


class _Unusual(Exception):
    """A text with something that `_quickly` does not know."""


@lru_cache(maxsize=8192)
def _k8s_short(text: str) -> Any:
    """A plain scalar, or `_MERGE` for any that is unusual; kept, as the words of manifests come again and again."""
    value = _k8s_scalar(text, None, True)[0]
    return _MERGE if _is_disputed(text, None, True, value) else value


def _quickly(data: bytes, limits: Limits) -> tuple[list[tuple[int, int]], list[Any]] | None:
    """Where each document begins (line, column) and its value, as `k8s` reads it, without a node for every value.

    None where the text has anchors, tags, merges, keys that stand twice or an error, or is beyond the limits: the
    `_Reader` then says what it is.  So this is only a faster way to what that one gives.
    """
    try:
        return _plain_values(data, limits)
    except (_Unusual, ValueError, yaml.YAMLError):
        return None


def _plain_values(data: bytes, limits: Limits) -> tuple[list[tuple[int, int]], list[Any]]:
    loader = _LOADER(data)
    starts: list[tuple[int, int]] = []
    values: list[Any] = []
    top: Any = values  # what the next value goes into
    above: list[Any] = []  # what that is in
    key: str | None = None
    nodes = 0
    for event in iter(loader.get_event, None):
        kind = type(event)
        if kind is ScalarEvent:
            value = _plain_scalar(event)
        elif kind in _CONTAINERS:
            value = _CONTAINERS[kind]()
        elif kind in _ENDS:
            top = above.pop()
            continue
        elif kind is DocumentStartEvent:
            mark = loader.peek_event().start_mark
            starts.append((mark.line + 1, mark.column + 1))
            continue
        elif kind is AliasEvent:
            raise _Unusual
        else:
            continue
        if type(top) is list:
            top.append(value)
        elif key is None:
            key = _plain_key(value, top)
        else:
            top[key], key = value, None
        nodes += 1
        if nodes > limits.nodes:
            raise _Unusual
        if kind is not ScalarEvent:
            above.append(top)
            top = value
            if event.anchor is not None or event.tag is not None or len(above) > limits.depth:
                raise _Unusual
    return starts, values


def _plain_scalar(event: Any) -> Any:
    text = event.value
    if event.tag is not None or event.anchor is not None:
        raise _Unusual
    if not event.implicit[0]:
        if text == "<<":
            raise _Unusual
        return text
    value = (_k8s_short if len(text) <= _SHORT_TEXT else _k8s_short.__wrapped__)(text)
    if value is _MERGE:
        raise _Unusual
    return value


def _plain_key(value: Any, mapping: Mapping[str, Any]) -> str:
    key = value if type(value) is str else _key_text(value)
    if key is None or key in mapping:
        raise _Unusual
    return key


def _key_text(value: Any) -> str | None:
    """A key as Go writes it in JSON, or None where it cannot be one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value < 2**63 else None
    return _go_float(value) if isinstance(value, float) else None


def _float32(value: float) -> float:
    try:
        single: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return copysign(inf, value)
    return single


def _go_float(value: float) -> str:
    """Shortest text of a float32, as Go's FormatFloat(value, 'g', -1, 32): an exponent from 1e6 on and below 1e-4."""
    single = _float32(value)
    if isinf(single):
        return ".inf" if value > 0 else "-.inf"
    digits = next(digits for digits in range(9) if _float32(float(f"{single:.{digits}e}")) == single)
    shortest = f"{single:.{digits}e}"
    mantissa, _, power = shortest.partition("e")
    exponent = int(power)
    if exponent < -4 or exponent >= 6:
        return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return f"{float(shortest):.{max(digits - exponent, 0)}f}"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kubernetes objects in files: found, told apart, and compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import (
    ABSENT,
    Change,
    Origin,
    Path,
    Subject,
    Value,
    diff,
    same,
)
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import OBJECT, Effect
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import ObjectAt

#: Names by which a value is hidden wherever it is shown.
_SECRET = re.compile(r"passw(or)?d|passphrase|private_?key|credential|(^|_|-)(token|secret)$", re.IGNORECASE)

#: By what a letter of a word may be written so that its bytes do not show: UTF-16, escapes other than JSON's short
#: ones, and !!binary by any name (a .json file is read as YAML, which has more of them).
_DISGUISE = re.compile(rb'\0|\\[^"\\/bfnrt]|!!|!<|%TAG')

#: What ends a line to YAML, and neither to kubectl nor to Kustomize when they take a file apart.
_BREAK = rb"\r(?!\n)|\xc2\x85|\xe2\x80[\xa8\xa9]"
#: `---` at the start of a line in anyone's eyes, but not of one that separates documents for all of them.
_ODD_SEPARATOR = re.compile(
    rb"---(?:(?<=\r---)|(?<=\xc2\x85---)|(?<=\xe2\x80[\xa8\xa9]---)"
    rb"|(?:(?<=\A---)|(?<=\n---)|(?<=\A\xef\xbb\xbf---))"
    rb"(?![ \t]*(?:(?<=[ \t])#(?:(?!" + _BREAK + rb")[^\n])*)?\r?(?:\n|\Z)))"
)
_ODD_BREAK = re.compile(_BREAK)
#: Spaces to Go and text to YAML; kubectl skips them before a "{".
_ODD_SPACE = re.compile(
    rb"(?:\s|\xc2\x85|\xe2\x80[\xa8\xa9])*(?:\xc2\xa0|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xaf]|\xe2\x81\x9f|\xe3\x80\x80)"
)
_BRACE = re.compile(rb"\s*\{")


#: What every kind of object may have at its top.
_TOP = frozenset(["apiVersion", "kind", "metadata", "spec", "status"])


class Parsed(NamedTuple):
    """What a file holds.

    objects     its Kubernetes objects, in order
    foreign     True when it holds anything else besides
    duplicates  keys that stand twice: place and message
    disputed    what in the objects is something else to Kustomize than to kubectl: place and message
    """

    objects: tuple[ObjectAt, ...]
    foreign: bool
    duplicates: tuple[tuple[Origin, str], ...]
    disputed: tuple[tuple[Origin, str], ...] = ()


def subject_of(obj: Mapping[str, Any], scope: str = "") -> Subject:
    """The Subject that an object is known by: its kind with its group, its name with its namespace, its labels."""
    group, slash, _version = str(obj.get("apiVersion", "")).partition("/")
    kind = str(obj.get("kind", ""))
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = str(metadata.get("name") or "") or f"{metadata.get('generateName') or ''}*"
    namespace = metadata.get("namespace")
    return Subject(
        f"{kind}.{group}" if slash else kind,
        f"{namespace}/{name}" if namespace else name,
        scope,
        labels_of(obj),
    )


def labels_of(obj: Any) -> tuple[tuple[str, str], ...]:
    """The labels of an object, sorted; values that are no text as JSON writes them."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(labels, dict):
        return ()
    texts = {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in labels.items()}
    return tuple(sorted(texts.items()))


def is_object(value: Any) -> bool:
    """Whether a value is a Kubernetes object that could be applied: it has a version, a kind and a name."""
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("apiVersion", "kind")):
        return False
    metadata = value.get("metadata")
    return isinstance(metadata, dict) and any(metadata.get(key) for key in ("name", "generateName"))


def is_more(obj: Mapping[str, Any]) -> bool:
    """Whether an object has fields at its top that no Kubernetes object of its kind has: it may be there for others.

    Custom resources have `spec` and `status`; what further fields one has at its top is not known here.
    """
    more = obj.keys() - _TOP
    if not more:
        return False
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _schema  # few objects ask for it

    version = str(obj["apiVersion"])
    found = _schema.schemas().kind(f"{version if '/' in version else f'/{version}'}/{obj['kind']}")
    return found is None or not more <= found[0].fields.keys()


def parse(data: bytes, file: str, scope: str, limits: _yaml.Limits = _yaml.LIMITS) -> Parsed:
    """The Kubernetes objects of a YAML or JSON file; lists are taken apart as kubectl does.

    Args:
        data: the file's content.
        file: its path.
        scope: what the objects' Subjects get as scope.
        limits: what is too much YAML.

    Raises:
        _yaml.YamlError: the file cannot be read.
    """
    suspect = b"apiVersion" in data or _DISGUISE.search(data) is not None
    if file.endswith(".json") and not (suspect and _may_hold_one(data)):
        return Parsed((), True, ())  # JSON that holds no object is not a matter of YAML
    if suspect:
        _check_parts(data, file)
    objects: list[ObjectAt] = []
    foreign = False
    duplicates: list[tuple[Origin, str]] = []
    disputed: list[tuple[Origin, str]] = []
    for document in _yaml.read(data, file, "k8s", limits):
        value = document.value
        for twice in document.duplicates:
            first = twice.first.line
            duplicates.append((twice.second.origin, f"key {twice.path[-1]!r} is there already, at line {first}"))
        if value is not None:
            found = list(_objects_in(document, value, (), scope))
            here = [one for one in found if one is not None]
            objects += here
            foreign = foreign or None in found
            disputed += [(place.origin, message) for place, message in document.disputed] if here else []
    return Parsed(tuple(objects), foreign, tuple(duplicates), tuple(disputed))


def _may_hold_one(data: bytes) -> bool:
    """Whether a text is anything but JSON in which no mapping has an apiVersion."""
    keys: set[str] = set()
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=lambda pairs: keys.update(key for key, _value in pairs))
    except (ValueError, RecursionError):
        return True
    return "apiVersion" in keys


def _check_parts(data: bytes, file: str) -> None:
    """Refuse a text of which kubectl makes other documents than YAML does: it takes it apart before it parses it.

    Source of the rule: k8s.io/apimachinery/pkg/util/yaml, and kio of sigs.k8s.io/kustomize/kyaml.

    Raises:
        _yaml.YamlError: it is such a text.
    """
    odd = _ODD_SEPARATOR.search(data)
    if odd is not None:
        line = data.count(b"\n", 0, odd.start()) + 1
        raise _yaml.YamlError(
            file, line, 1, "--- parts documents for some readers only; let it stand alone on its line"
        )
    if _ODD_SPACE.match(data):
        raise _yaml.YamlError(file, 1, 1, "begins with a space that is text to some readers; take it away")
    if _BRACE.match(data) and (odd := _ODD_BREAK.search(data)):
        line = data.count(b"\n", 0, odd.start()) + 1
        raise _yaml.YamlError(file, line, 1, "has a line break that JSON does not know; write it as an escape")


def _objects_in(
    document: _yaml.Document, value: Any, at: tuple[Any, ...], scope: str, kind: str = "", version: str = ""
) -> Iterable[ObjectAt | None]:
    """Objects at and in a value; None for what is none."""
    items = value.get("items", ()) if isinstance(value, dict) else ()
    if items is None or isinstance(items, list):
        # Whatever has a list of items is a list to kubectl; its kind tells that of items which do not say their own.
        own = str(value.get("kind") or "")
        if own and value.get("apiVersion") and not own.endswith("List"):
            place = document.key_position((*at, "items")).origin
            raise _yaml.YamlError(
                document.file, place.line or 1, 1, f"items make this {own} a list to kubectl, and not to Kustomize"
            )
        inner = own.removesuffix("List")
        for index, item in enumerate(items or ()):
            yield from _objects_in(
                document, item, (*at, "items", index), scope, inner, str(value.get("apiVersion", ""))
            )
        if not items:
            yield None
        return
    if isinstance(value, dict) and kind and version and not value.get("kind") and not value.get("apiVersion"):
        value = {"apiVersion": version, "kind": kind, **value}
    if is_object(value):
        yield ObjectAt(value, _origin(document, at), _position(document, value, at), subject_of(value, scope))
    else:
        yield None


def _origin(document: _yaml.Document, at: tuple[Any, ...]) -> Origin:
    return document.position(at).origin


def _position(document: _yaml.Document, value: Any, at: tuple[Any, ...]) -> Callable[[Path], Origin]:
    return lambda path: document.key_position(_there(document, (*at, *indexed(value, path)), at)).origin


def _there(document: _yaml.Document, path: tuple[Any, ...], at: tuple[Any, ...]) -> tuple[Any, ...]:
    """The path, or its nearest parent that is in the document (but nothing above the object)."""
    while len(path) > len(at) and document.node(path) is None:
        path = path[:-1]
    return path


def indexed(value: Any, path: Path) -> tuple[Any, ...]:
    """A path with the elements of lists by place instead of by key."""
    out: list[Any] = []
    for step in path:
        if isinstance(value, list) and isinstance(step, str):
            key, _, name = step[1:-1].partition("=")
            found = (at for at, one in enumerate(value) if isinstance(one, dict) and str(one.get(key, "")) == name)
            step = next(found, len(value))
        out.append(step)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            value = None
    return tuple(out)


class Pair(NamedTuple):
    """One object on both sides; None where it is not there. `files`: the files by which it changes."""

    before: ObjectAt | None
    after: ObjectAt | None
    files: tuple[str, ...]


def identity(one: ObjectAt) -> tuple[str, str, str]:
    """What makes two objects the same one."""
    return one.subject.scope, one.subject.type, one.subject.name


def pairs(before: Sequence[ObjectAt], after: Sequence[ObjectAt]) -> list[Pair]:
    """The objects of both sides that belong together; an object that is there twice meets its like, then its file."""
    mates: dict[tuple[str, str, str], list[ObjectAt]] = {}
    for one in after:
        mates.setdefault(identity(one), []).append(one)
    out: list[Pair] = []
    waiting: list[ObjectAt] = []
    for one in before:
        found = _take(mates, one, lambda old, new: same(old.object, new.object))
        out += [_pair(one, found)] if found else []
        waiting += [] if found else [one]
    for one in waiting:
        mate = _take(mates, one, lambda old, new: old.origin.file == new.origin.file)
        out.append(_pair(one, mate or _take(mates, one, lambda _old, _new: True)))
    return out + [_pair(None, one) for rest in mates.values() for one in rest]


def _take(
    mates: dict[tuple[str, str, str], list[ObjectAt]], one: ObjectAt, fits: Callable[[ObjectAt, ObjectAt], bool]
) -> ObjectAt | None:
    waiting = mates.get(identity(one), [])
    found = next((at for at, mate in enumerate(waiting) if fits(one, mate)), None)
    return None if found is None else waiting.pop(found)


def _pair(before: ObjectAt | None, after: ObjectAt | None) -> Pair:
    files = dict.fromkeys(one.origin.file for one in (before, after) if one is not None)
    return Pair(before, after, tuple(files))


def effect_of(pair: Pair, environment: str, reach: str = "") -> Effect | None:
    """What happens to an object; None when nothing does."""
    old: Value = ABSENT if pair.before is None else dict(pair.before.object)
    new: Value = ABSENT if pair.after is None else dict(pair.after.object)
    one = pair.after or pair.before
    assert one is not None  # a pair has at least one side
    changes = [placed(change, pair) for change in diff(one.subject, old, new)]
    if not changes:
        return None
    labels = dict.fromkeys(side.subject.labels for side in (pair.before, pair.after) if side is not None)
    return Effect(OBJECT, one.subject, old, new, tuple(changes), pair.files, reach, environment, labels=tuple(labels))


def moved(pair: Pair, environment: str) -> tuple[Effect, Effect]:
    """The two Effects of an object that moves without changing: gone from one file, added in another."""
    assert pair.before is not None and pair.after is not None  # only such an object moves
    halves = (Pair(pair.before, None, pair.files[:1]), Pair(None, pair.after, pair.files[1:]))
    gone, come = (effect_of(half, environment) for half in halves)
    assert gone is not None and come is not None  # an object is never nothing
    return gone, come


def placed(change: Change, pair: Pair) -> Change:
    """The Change with its place, and hidden where it holds a secret."""
    if pair.after is None:
        assert pair.before is not None  # a Change is on a side that is there
        origin = Origin(pair.before.origin.file)  # what is left of it is its file at most
    else:
        origin = pair.after.position(change.field) if change.field else pair.after.origin
    return change_with(change, origin, is_secret(change))


def change_with(change: Change, origin: Origin | None, secret: bool) -> Change:
    """The same Change with a place and a mark (dataclasses.replace is slow)."""
    return Change(change.subject, change.field, change.before, change.after, change.cost, secret, origin)


def is_secret(change: Change) -> bool:
    """Whether the values of a Change are to be hidden: data of Secrets, and what is named like one."""
    if change.subject.type == "Secret" and (not change.field or change.field[0] in ("data", "stringData", "metadata")):
        return True
    names = [str(step) for step in change.field if isinstance(step, str)]
    if change.subject.type == "variable":
        names.append(change.subject.name)
    if any(_SECRET.search(name.strip("[]")) for name in names):
        return True
    return change.subject.type == "variable" and any(_names_secret(side) for side in (change.before, change.after))


def _names_secret(value: Value) -> bool:
    if isinstance(value, dict):
        return any(_SECRET.search(str(key)) or _names_secret(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_names_secret(inner) for inner in value)

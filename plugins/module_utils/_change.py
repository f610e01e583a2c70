# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The currency: a Change is one difference between what is and what should be.

Plan, apply, drift, policy and rollback are all lists of Changes; nothing else is formatted,
counted or decided on.  Values are JSON values: None, bool, int, float, str, list, dict with str keys.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

Value = Any  # a JSON value, or ABSENT
Step = Union[str, int]
Path = Tuple[Step, ...]

#: What a plan, an output or a log shows in place of a secret.
MASK = "(secret)"

#: Keys that name an element of a list, in order of preference (Kubernetes' list-map keys).
LIST_KEYS = ("name", "key", "containerPort", "mountPath", "ip")


class ChangeError(ValueError):
    """A Change, or a list of them, cannot be read or does not fit the value it is applied to."""


class _Absent:
    """The value of something that is not there; falsy, equal only to itself."""

    _instance: Optional["_Absent"] = None

    def __new__(cls) -> "_Absent":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"

    def __deepcopy__(self, memo: Dict[int, Any]) -> "_Absent":
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        return (_Absent, ())


ABSENT = _Absent()


@dataclass(frozen=True)
class Subject:
    """What a Change is about.

    type   kind of thing: "file", "sysctl", "unit", "control_plane", "variable", "path",
           or a Kubernetes kind with its group ("Deployment.apps", "Namespace")
    name   which one: a file's path, a unit, "namespace/name" of an object, a variable
    scope  where it lives: a machine's inventory name, an inventory ("inventories/prod"), or "" for the cluster
    labels the object's labels, for rules that select by them
    """

    type: str
    name: str
    scope: str = ""
    labels: Tuple[Tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.type}:{self.name}" + (f"@{self.scope}" if self.scope else "")


@dataclass(frozen=True)
class Origin:
    """Where the wanted value was written: a file, its 1-based line, and the 1-based column where that is known.

    A place is its file and line; the column is for those who point at it.
    """

    file: str
    line: int = 0
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Change:
    """One difference.

    field   path inside the subject; () is the whole subject.  A str step is a mapping's key or, as "[name=web]",
            the element of a list with that key; an int step is a list's index
    before  value now, or ABSENT
    after   value wanted, or ABSENT
    cost    what making it costs: "" (none), "restart containerd.service", "drain", "reboot"
    secret  values are masked wherever the Change leaves the process
    origin  where the wanted value was written
    """

    subject: Subject
    field: Path
    before: Value
    after: Value
    cost: str = ""
    secret: bool = False
    origin: Optional[Origin] = None

    @property
    def action(self) -> str:
        """One of "added", "removed", "changed"."""
        if self.before is ABSENT:
            return "added"
        return "removed" if self.after is ABSENT else "changed"

    def inverse(self) -> "Change":
        """The Change that takes this one back."""
        return replace(self, before=self.after, after=self.before, origin=None)

    def masked(self) -> "Change":
        """The same Change with its values hidden when it is secret."""
        if not self.secret:
            return self
        before = ABSENT if self.before is ABSENT else MASK
        after = ABSENT if self.after is ABSENT else MASK
        return replace(self, before=before, after=after)

    def to_json(self) -> Dict[str, Value]:
        """A JSON object; absent values are left out, secrets masked."""
        shown = self.masked()
        out: Dict[str, Value] = {
            "subject": {"type": self.subject.type, "name": self.subject.name},
            "field": list(self.field),
            "action": self.action,
        }
        if self.subject.scope:
            out["subject"]["scope"] = self.subject.scope
        if self.subject.labels:
            out["subject"]["labels"] = dict(self.subject.labels)
        if shown.before is not ABSENT:
            out["before"] = shown.before
        if shown.after is not ABSENT:
            out["after"] = shown.after
        if self.cost:
            out["cost"] = self.cost
        if self.secret:
            out["secret"] = True
        if self.origin is not None:
            out["origin"] = {"file": self.origin.file, "line": self.origin.line}
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Value]) -> "Change":
        """Read what to_json wrote.

        Raises:
            ChangeError: the object is not a Change.
        """
        try:
            subject, origin = data["subject"], data.get("origin")
            return cls(
                subject=Subject(
                    str(subject["type"]),
                    str(subject["name"]),
                    str(subject.get("scope", "")),
                    tuple(sorted(dict(subject.get("labels", {})).items())),
                ),
                field=tuple(data["field"]),
                before=data.get("before", ABSENT),
                after=data.get("after", ABSENT),
                cost=str(data.get("cost", "")),
                secret=bool(data.get("secret", False)),
                origin=Origin(str(origin["file"]), int(origin["line"])) if origin else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ChangeError(f"not a Change: {data!r}: {error}") from error


def show_path(field: Path) -> str:
    """A field path as people write it: spec.containers[name=web].image, ports[0]; "" is the whole subject."""
    out = ""
    for step in field:
        if isinstance(step, int):
            out += f"[{step}]"
        elif step.startswith("["):
            out += step
        elif "." in step or "/" in step or not step:
            out += f"[{json.dumps(step)}]"
        else:
            out += f".{step}" if out else step
    return out


def same(left: Value, right: Value) -> bool:
    """Equality of JSON values that, unlike Python's, tells true from 1 (1 and 1.0 are one number)."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, two) for one, two in zip(left, right))
    return bool(left == right)


def diff(
    subject: Subject,
    before: Value,
    after: Value,
    cost: str = "",
    secret: bool = False,
    origin: Optional[Origin] = None,
) -> List[Change]:
    """The Changes that make `before` into `after`, deepest fields first named, in the order of the fields.

    Mappings are compared key by key, lists element by element where the elements carry a unique key
    (LIST_KEYS), else as a whole.  `make(before, diff(subject, before, after))` is `after`.
    """
    return [Change(subject, path, old, new, cost, secret, origin) for path, old, new in _differences((), before, after)]


def _differences(path: Path, before: Value, after: Value) -> List[Tuple[Path, Value, Value]]:
    if same(before, after):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        out: List[Tuple[Path, Value, Value]] = []
        for key in [*before, *(key for key in after if key not in before)]:
            out += _differences((*path, key), before.get(key, ABSENT), after.get(key, ABSENT))
        return out
    if isinstance(before, list) and isinstance(after, list):
        keyed = _keyed_differences(path, before, after)
        if keyed is not None:
            return keyed
    return [(path, before, after)]


def _keyed_differences(
    path: Path, before: List[Value], after: List[Value]
) -> Optional[List[Tuple[Path, Value, Value]]]:
    """Differences element by element, or None where the lists have no common key or only their order says it all."""
    key = next((key for key in LIST_KEYS if _is_key(key, before) and _is_key(key, after)), None)
    if key is None or not before or not after:
        return None
    old = {_element(key, item): item for item in before}
    new = {_element(key, item): item for item in after}
    kept = [name for name in old if name in new]
    if kept + [name for name in new if name not in old] != list(new):
        return None  # elements changed places, or came in between: the order is part of the difference
    out: List[Tuple[Path, Value, Value]] = []
    for name in [*old, *(name for name in new if name not in old)]:
        out += _differences((*path, name), old.get(name, ABSENT), new.get(name, ABSENT))
    return out


def _is_key(key: str, items: Sequence[Value]) -> bool:
    names = [item.get(key) if isinstance(item, dict) else None for item in items]
    plain = all(isinstance(name, (str, int)) and not isinstance(name, bool) for name in names)
    return plain and len({str(name) for name in names}) == len(names)


def _element(key: str, item: Mapping[str, Value]) -> str:
    return f"[{key}={item[key]}]"


def make(value: Value, changes: Iterable[Change]) -> Value:
    """The value after the Changes of one subject are made to it; `value` itself is left as it is.

    Raises:
        ChangeError: a Change does not fit: its place is not there, or its `before` is not what is found.
    """
    out = deepcopy(value)
    for change in changes:
        out = _make_one(out, change, change.field)
    return out


def _make_one(value: Value, change: Change, path: Path) -> Value:
    if not path:
        if not same(value, change.before):
            raise ChangeError(
                f"{change.subject} {show_path(change.field)}: found {value!r} where {change.before!r} was expected"
            )
        return deepcopy(change.after)
    step, rest = path[0], path[1:]
    if isinstance(value, dict) and isinstance(step, str):
        inner = _make_one(value.get(step, ABSENT), change, rest)
        if inner is ABSENT:
            value.pop(step, None)
        else:
            value[step] = inner
        return value
    if isinstance(value, list):
        return _make_in_list(value, change, step, rest)
    raise ChangeError(f"{change.subject} {show_path(change.field)}: no place for {step!r}")


def _make_in_list(value: List[Value], change: Change, step: Step, rest: Path) -> List[Value]:
    index = step if isinstance(step, int) else _find(value, step)
    inner = _make_one(value[index] if 0 <= index < len(value) else ABSENT, change, rest)
    if inner is ABSENT:
        del value[index]
    elif 0 <= index < len(value):
        value[index] = inner
    else:
        value.append(inner)
    return value


def _find(items: Sequence[Value], step: str) -> int:
    """Index of the element that "[key=name]" names, or -1."""
    key, _, name = step[1:-1].partition("=")
    for index, item in enumerate(items):
        if isinstance(item, dict) and key in item and str(item[key]) == name:
            return index
    return -1


def inverse(changes: Iterable[Change]) -> List[Change]:
    """The list that takes the whole list back, last Change first."""
    return [change.inverse() for change in reversed(list(changes))]

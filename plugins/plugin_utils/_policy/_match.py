# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Patterns and predicates: what a rule's selectors say, and whether a change is what they say.

Answers have three values.  NO and YES are certain; MAYBE is what cannot be told: a value that does not compare, a file
whose content was not understood.  What allows needs YES; what restricts takes MAYBE for YES: not knowing never opens.

Matching costs at most the product of the lengths of pattern and text, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import (
    ABSENT,
    LIST_KEYS,
    Path,
    Step,
    Value,
    same,
)

NO, MAYBE, YES = 0, 1, 2


class PatternError(ValueError):
    """A pattern or predicate cannot be understood; the message says why."""


# -- text patterns ----------------------------------------------------------------------------------------------------

_Token = Any  # a character, _ANY (?), _STAR, or a frozenset of characters with "negated"


class _Class(NamedTuple):
    """[abc], [a-z], [!abc]."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def holds(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) is not self.negated


_ANY, _STAR = object(), object()


def _tokens(pattern: str) -> list[_Token]:
    out: list[_Token] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if not out or out[-1] is not _STAR:
                out.append(_STAR)
        elif character == "?":
            out.append(_ANY)
        elif character == "\\":
            if at == len(pattern):
                raise PatternError(f"{pattern!r} ends in a backslash")
            out.append(pattern[at])
            at += 1
        elif character == "[":
            token, at = _class(pattern, at)
            out.append(token)
        else:
            out.append(character)
    return out


def _class(pattern: str, at: int) -> tuple[_Class, int]:
    end = pattern.find("]", at + (2 if pattern[at : at + 1] in "!^" else 1))
    if end < 0:
        raise PatternError(f"{pattern!r} has a [ without its ]; write \\[ for the character")
    inside = pattern[at:end]
    negated = inside[0] in "!^"
    inside = inside[1:] if negated else inside
    ranges = []
    index = 0
    while index < len(inside):
        if inside[index + 1 : index + 2] == "-" and index + 2 < len(inside):
            ranges.append((inside[index], inside[index + 2]))
            index += 3
        else:
            ranges.append((inside[index], inside[index]))
            index += 1
    return _Class(tuple(ranges), negated), end + 1


def _one(token: _Token, character: str) -> bool:
    if token is _ANY:
        return True
    return token.holds(character) if isinstance(token, _Class) else bool(token == character)


def _wildcard(tokens: Sequence[Any], items: Sequence[Any], star: object, one: Callable[[Any, Any], bool]) -> bool:
    """Whether `items` are what `tokens` say, where `star` stands for any number of items; no recursion."""
    token = item = 0
    back = mark = -1
    while item < len(items):
        if token < len(tokens) and tokens[token] is star:
            back, mark = token, item
            token += 1
        elif token < len(tokens) and one(tokens[token], items[item]):
            token += 1
            item += 1
        elif back >= 0:
            mark += 1
            token, item = back + 1, mark
        else:
            return False
    return all(rest is star for rest in tokens[token:])


class Glob:
    """A pattern for one text: * any characters, ? one, [a-z] one of, \\x the character x itself."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._tokens = _tokens(pattern)
        plain = all(isinstance(token, str) for token in self._tokens)
        self.literal = "".join(self._tokens) if plain else None

    def matches(self, text: str) -> bool:
        """Whether the whole text is what the pattern says."""
        if self.literal is not None:
            return text == self.literal
        return _wildcard(self._tokens, text, _STAR, _one)


_ANYWHERE = object()


class PathGlob:
    """A pattern for a path from the top of the repository.

    Each part between slashes is a Glob, so * and ? never match a slash.  A part ** stands for any number of
    directories, none included; at the end for everything below.  A pattern that ends in a slash means everything below.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        whole = pattern.removeprefix("/")
        whole = whole + "**" if whole.endswith("/") else whole
        if not whole:
            raise PatternError("an empty pattern matches no file; write ** for every file")
        self._parts: list[Any] = []
        for part in whole.split("/"):
            if part == "**":
                if not self._parts or self._parts[-1] is not _ANYWHERE:
                    self._parts.append(_ANYWHERE)
            elif part in ("", ".", ".."):
                raise PatternError(f"{pattern!r} has the part {part!r}; write the path from the top of the repository")
            else:
                self._parts.append(Glob(part))
        # "a/**" means what is below a, not a itself: at least one more part must follow.
        self._below = self._parts[-1] is _ANYWHERE
        wild = any(part is _ANYWHERE or part.literal is None for part in self._parts)
        self.literal = None if wild else "/".join(part.literal for part in self._parts)

    def matches(self, path: str) -> bool:
        """Whether the path is one that the pattern means."""
        if self.literal is not None:
            return path == self.literal
        parts = path.split("/")
        if self._below and len(self._parts) > 1:
            return any(self._matches(self._parts[:-1], parts[:end]) for end in range(len(parts) - 1, 0, -1))
        return self._matches(self._parts, parts)

    @staticmethod
    def _matches(pattern: Sequence[Any], parts: Sequence[str]) -> bool:
        return _wildcard(pattern, parts, _ANYWHERE, lambda glob, part: bool(glob.matches(part)))

    def reaches(self, directory: str) -> bool:
        """Whether the pattern means anything that could be below `directory` (for rules that restrict)."""
        return _could_be_below(self._parts, directory.split("/")) if directory else False


def _could_be_below(pattern: Sequence[Any], directory: Sequence[str]) -> bool:
    states = {0}
    for part in directory:
        following = set()
        for state in _closure(pattern, states):
            if state < len(pattern):
                token = pattern[state]
                if token is _ANYWHERE:
                    following.add(state)
                elif token.matches(part):
                    following.add(state + 1)
        states = following
    return any(state < len(pattern) for state in _closure(pattern, states))


def _closure(pattern: Sequence[Any], states: Iterable[int]) -> set[int]:
    out = set()
    for state in states:
        out.add(state)
        while state < len(pattern) and pattern[state] is _ANYWHERE:
            state += 1
            out.add(state)
    return out


def split_list(value: Value, what: str) -> list[str]:
    """The patterns of a selector: a text with commas, or a list (whose items are not split).

    Raises:
        PatternError: it is neither.
    """
    items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        raise PatternError(f"{what} wants a pattern, or a list of patterns")
    if not all(items) and items != [""]:
        raise PatternError(f"{what} has an empty pattern")
    return items


class Patterns:
    """A list of patterns: one must match, and none of those that begin with "!"; with "!" only, all else does."""

    def __init__(self, value: Value, what: str, build: Callable[[str], Any] = Glob) -> None:
        self.items = split_list(value, what)
        self._build = build
        self.positive = [build(item) for item in self.items if not item.startswith("!")]
        self.negative = [build(item[1:]) for item in self.items if item.startswith("!")]
        self._matches = lru_cache(maxsize=4096)(self._look)

    def matches(self, *names: str) -> bool:
        """Whether the list means what has this name, or all of these names."""
        return self._matches(*names)

    def _look(self, *names: str) -> bool:
        if any(pattern.matches(name) for pattern in self.negative for name in names):
            return False
        return not self.positive or any(pattern.matches(name) for pattern in self.positive for name in names)

    def reaches(self, directory: str) -> bool:
        """For path patterns: whether anything below `directory` could be meant."""
        inside = directory + "/x"
        if any(pattern.pattern.endswith("**") and pattern.matches(inside) for pattern in self.negative):
            return False
        return not self.positive or any(pattern.reaches(directory) for pattern in self.positive)

    def __repr__(self) -> str:
        return ",".join(self.items)


# -- fields -----------------------------------------------------------------------------------------------------------


class Element(str):
    """A step to the element of a list that carries a key: "[name=web]"; equal to the step that Changes carry."""

    __slots__ = ()


class _Every(NamedTuple):
    """[*]: any element of a list."""


class _Named(NamedTuple):
    """[key=glob]: the elements whose key is what the glob says."""

    key: str
    glob: Glob


class _Index(NamedTuple):
    """[3]: the element at a place."""

    place: int


_DEEP = object()


class Field:
    """A pattern for a field path, which means that field and everything in it.

    spec.template.spec.containers[*].image   a step a mapping's key (a Glob); [*] every element of a list
    containers[name=web].image               the element of that name     ports[0]   the element at that place
    metadata.annotations["a.b/c"]            a key with odd characters    **.image   any number of steps
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.steps = _field_steps(pattern)

    def nodes(self, path: Path) -> list[tuple[int, int]]:
        """What is the field on the way to `path`, or at it: how surely (MAYBE, YES), and after how many steps.

        There are several where a pattern with ** fits more than one of them.
        """
        out = []
        states = {(0, YES)}
        for length in range(len(path) + 1):
            states = self._closed(states)
            done = [sure for at, sure in states if at == len(self.steps)]
            out += [(max(done), length)] if done else []
            if length == len(path) or not states:
                break
            states = {moved for at, sure in states for moved in self._moves(at, sure, path[length])}
        return out

    @property
    def has_place(self) -> bool:
        """Whether it names an element of a list by its place."""
        return any(isinstance(token, _Index) for token in self.steps)

    def differing(
        self,
        before: Value,
        after: Value,
        path: Path = (),
        states: Iterable[tuple[int, int]] = ((0, YES),),
        known: Path | None = None,
    ) -> Iterator[tuple[Path, Path, Value, Value]]:
        """Every value that is the field by its place in a list of elements with names, and not the same on both sides.

        Before each stands the path of that list, which is `known` inside one.
        """
        states = self._closed(states)
        if not states or same(before, after):
            return
        if known is not None and any(at == len(self.steps) for at, _sure in states):
            yield known, path, before, after
        placed: set[tuple[int, int]] = set()
        if any(element_key(side) is not None for side in (before, after)):
            placed = {(at, sure) for at, sure in states if at < len(self.steps) and isinstance(self.steps[at], _Index)}
        for step, old, new in _pairs(before, after):
            moved = {one for at, sure in states - placed for one in self._moves(at, sure, step)}
            yield from self.differing(old, new, (*path, step), moved, known)
        for at, sure in placed:
            step = self.steps[at].place
            old, new = lookup(before, (step,)), lookup(after, (step,))
            yield from self.differing(old, new, (*path, step), {(at + 1, sure)}, path if known is None else known)

    def _closed(self, states: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        out = set(states)
        for at, sure in states:
            while at < len(self.steps) and self.steps[at] is _DEEP:
                at += 1
                out.add((at, sure))
        return out

    def _moves(self, at: int, sure: int, step: Step) -> list[tuple[int, int]]:
        if at == len(self.steps):
            return []
        token = self.steps[at]
        if token is _DEEP:
            return [(at, sure)]
        found = min(sure, _step_matches(token, step))
        return [(at + 1, found)] if found else []


def _step_matches(token: Any, step: Step) -> int:
    if isinstance(token, Glob):
        return YES if isinstance(step, str) and not isinstance(step, Element) and token.matches(step) else NO
    in_list = isinstance(step, (int, Element))
    if isinstance(token, _Every):
        return YES if in_list else NO
    if isinstance(token, _Index):
        # An element that is known by its name has no certain place.
        return MAYBE if isinstance(step, Element) else (YES if step == token.place else NO)
    if isinstance(step, Element):
        key, _, name = step[1:-1].partition("=")
        if key != token.key:
            return MAYBE
        return YES if token.glob.matches(name) else NO
    return MAYBE if in_list else NO


def _field_steps(pattern: str) -> list[Any]:
    out: list[Any] = []
    at, wants_step = 0, True
    while at < len(pattern):
        if pattern[at] == "[":
            step, at = _bracket(pattern, at)
            out.append(step)
            wants_step = False
        elif pattern[at] == "." and not wants_step:
            at, wants_step = at + 1, True
        elif wants_step:
            end = at
            while end < len(pattern) and pattern[end] not in ".[":
                end += 2 if pattern[end] == "\\" else 1
            name, at, wants_step = pattern[at:end], end, False
            if not name:
                raise PatternError(f"field {pattern!r} has an empty step")
            out.append(_DEEP if name == "**" else Glob(name))
        else:
            raise PatternError(f"field {pattern!r} is not understood from {pattern[at:]!r} on")
    if wants_step:
        raise PatternError(f"field {pattern!r} has an empty step")
    return out


def _bracket(pattern: str, at: int) -> tuple[Any, int]:
    if pattern.startswith('["', at):
        try:
            text, end = json.JSONDecoder().raw_decode(pattern, at + 1)
        except ValueError as error:
            raise PatternError(f"field {pattern!r} has a quote that does not end") from error
        if pattern[end : end + 1] != "]":
            raise PatternError(f"field {pattern!r} has a [ without its ]")
        return _exactly(text), end + 1
    end = pattern.find("]", at)
    inside = pattern[at + 1 : end]
    if end < 0 or not inside:
        raise PatternError(f"field {pattern!r} has a [ without its ], or nothing in it")
    if inside == "*":
        return _Every(), end + 1
    if inside.isascii() and inside.isdigit():
        return _Index(int(inside)), end + 1
    key, equals, name = inside.partition("=")
    if not equals or key not in LIST_KEYS:
        raise PatternError(f"field {pattern!r}: in brackets stand *, a number, or one of {', '.join(LIST_KEYS)} with =")
    return _Named(key, Glob(name)), end + 1


def _exactly(text: str) -> Glob:
    return Glob("".join(f"\\{character}" if character in "\\*?[" else character for character in text))


class Fields(Patterns):
    """A list of Field patterns; see Patterns for what the list means."""

    def __init__(self, value: Value) -> None:
        super().__init__(value, "field", Field)
        self._placed = [one for one in self.positive if one.has_place]
        self._sides: tuple[Path, Value, Value] = ((), ABSENT, ABSENT)
        self._differing: dict[Path, list[tuple[Path, Value, Value]]] = {}  # of these sides, by the lists' paths

    def nodes(self, path: Path) -> list[tuple[int, int]]:
        """The fields that are named and that `path` is in: how surely, and the length of the path of each.

        Where all but some are meant, the field is `path` itself.
        """
        excluded = max((sure for one in self.negative for sure, _length in one.nodes(path)), default=NO)
        if excluded == YES:
            return []
        found = [node for one in self.positive for node in one.nodes(path)] if self.positive else [(YES, len(path))]
        return [(min(sure, YES - excluded), length) for sure, length in dict.fromkeys(found)]

    def by_place(self, path: Path, root: Path, before: Value, after: Value) -> Iterator[tuple[Path, Value, Value]]:
        """The fields named by their place in a list that are not the same, where a difference at `path` may be why.

        A difference knows elements by their names where they have any: which are elsewhere by it, it does not say.
        `before` and `after` are at `root`; they are asked about for many paths, and compared once.
        """
        if not self._placed:
            return
        if self._sides[0] != root or self._sides[1] is not before or self._sides[2] is not after:
            self._sides, self._differing = (root, before, after), {}
            old, new = (dict.fromkeys(root, side) or side for side in (before, after))
            for known, *one in (found for field in self._placed for found in field.differing(old, new)):
                self._differing.setdefault(known, []).append(tuple(one))
        for length in range(len(path) + 1):
            yield from self._differing.get(path[:length], ())


class Leaf(NamedTuple):
    """A difference that cannot be taken further apart: a value with nothing in it, or the order of a list."""

    path: Path
    before: Value
    after: Value


def leaves(before: Value, after: Value, path: Path = ()) -> list[Leaf]:
    """All differences between two values, down to values with nothing in them.

    Elements of lists are told apart by their key (LIST_KEYS) where all have one, else by their place.
    """
    if same(before, after):
        return []
    if isinstance(before, (dict, list)) and type(before) is type(after):
        out = [leaf for step, old, new in _pairs(before, after) for leaf in leaves(old, new, (*path, step))]
        if isinstance(before, list) and isinstance(after, list) and _moved(before, after):
            out.append(Leaf(path, before, after))
        return out
    if not _is_filled(before) and not _is_filled(after):
        return [Leaf(path, before, after)]
    # One kind of value gives way to another (or to nothing): what is in them goes and comes on its own.
    left, right = (ABSENT if _is_filled(value) else value for value in (before, after))
    out = [] if same(left, right) else [Leaf(path, left, right)]
    for step, inner in _parts(before).items():
        out += leaves(inner, ABSENT, (*path, step))
    for step, inner in _parts(after).items():
        out += leaves(ABSENT, inner, (*path, step))
    return out


def steps(path: Path, before: Value, after: Value) -> Path:
    """The path of a Change of these, in which steps to elements of lists are told from keys of mappings."""
    out = list(path)
    asked = [at for at, step in enumerate(path) if isinstance(step, str) and step.startswith("[")]
    here = 0
    for at in asked:  # others are no elements; to look for one costs as much as its list is long
        before, after = lookup(before, path[here:at]), lookup(after, path[here:at])
        here = at
        if isinstance(before, list) or isinstance(after, list):
            out[at] = Element(path[at])
    return tuple(out)


def _is_filled(value: Value) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def _pairs(before: Value, after: Value) -> list[tuple[Step, Value, Value]]:
    """The parts of two mappings, or of two lists, side by side."""
    old, new = _parts(before, after), _parts(after, before)
    steps = [*old, *(step for step in new if step not in old)]
    return [(step, old.get(step, ABSENT), new.get(step, ABSENT)) for step in steps]


def _parts(value: Value, other: Value = None) -> dict[Step, Value]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return {}
    key = element_key(value, other)
    if key is None:
        return dict(enumerate(value))
    return {element(key, item): item for item in value}


def element_key(*lists: Value) -> str | None:
    """The key by which the elements of all these lists are told apart, or None."""
    filled = [items for items in lists if isinstance(items, list) and items]
    return next((key for key in LIST_KEYS if all(_is_key(key, items) for items in filled)), None) if filled else None


def _is_key(key: str, items: Sequence[Value]) -> bool:
    names = [item.get(key) if isinstance(item, dict) else None for item in items]
    plain = all(isinstance(name, (str, int)) and not isinstance(name, bool) for name in names)
    return plain and len({str(name) for name in names}) == len(names)


def element(key: str, item: Mapping[str, Value]) -> Element:
    """The step to an element of a list."""
    return Element(f"[{key}={item[key]}]")


def _moved(before: list[Value], after: list[Value]) -> bool:
    key = element_key(before, after)
    if key is None or not before or not after:
        return False
    old, new = [element(key, item) for item in before], [element(key, item) for item in after]
    both = set(old) & set(new)
    return [name for name in old if name in both] != [name for name in new if name in both]


def lookup(value: Value, path: Path) -> Value:
    """The value at a path, or ABSENT."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if 0 <= step < len(value) else ABSENT
        elif isinstance(value, list) and isinstance(step, str):
            key, _, name = step[1:-1].partition("=")
            found = (item for item in value if isinstance(item, dict) and key in item and str(item[key]) == name)
            value = next(found, ABSENT)
        else:
            return ABSENT
    return value


# -- values -----------------------------------------------------------------------------------------------------------

#: Gives YES, NO or MAYBE for (this value, value before, value after).
Predicate = Callable[[Value, Value, Value], int]

_OPERATORS: Mapping[str, Callable[[int], bool]] = {
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
    ">": lambda order: order > 0,
    "<": lambda order: order < 0,
}
_COMPARABLE = ("version", "number", "quantity")


def predicate(wanted: Value, what: str) -> Predicate:
    """What a rule's `old` or `new` says.

    a text      a Glob over the value's text; "!text" what it is not; ">= old", "< 1.37", "!= new" compare
    a number, true, false, null   that value
    a list      one of them, and none of those with "!"
    {version|number|quantity: ">= old"}   compare as that and nothing else
    {absent: true|false}   whether there is a value

    Raises:
        PatternError: it says none of these.
    """
    if isinstance(wanted, list):
        return _either(wanted, what)
    if isinstance(wanted, dict):
        return _explicit(wanted, what)
    if not isinstance(wanted, str):
        return lambda value, _old, _new: YES if same(value, wanted) else NO
    if wanted.startswith("!") and not wanted.startswith("!="):
        inner = predicate(wanted[1:].strip(), what)
        return lambda value, old, new: YES - inner(value, old, new)
    operator = next((sign for sign in _OPERATORS if wanted.startswith(sign)), None)
    if operator:
        return _comparison(operator, wanted[len(operator) :].strip(), what, order)
    return _text(Glob(wanted))


def _either(wanted: list[Value], what: str) -> Predicate:
    if not wanted:
        raise PatternError(f"{what} is an empty list")
    inner = [predicate(one, what) for one in wanted]
    negated = [isinstance(one, str) and one.startswith("!") for one in wanted]
    positive = [one for one, is_not in zip(inner, negated, strict=True) if not is_not]
    negative = [one for one, is_not in zip(inner, negated, strict=True) if is_not]

    def judge(value: Value, old: Value, new: Value) -> int:
        none = min((one(value, old, new) for one in negative), default=YES)
        return min(none, max((one(value, old, new) for one in positive), default=YES))

    return judge


def _explicit(wanted: Mapping[str, Value], what: str) -> Predicate:
    if len(wanted) != 1:
        raise PatternError(f"{what} wants one of absent, {', '.join(_COMPARABLE)}")
    (key, inner), *_ = wanted.items()
    if key == "absent" and isinstance(inner, bool):
        return lambda value, _old, _new: YES if (value is ABSENT) is inner else NO
    if key not in _COMPARABLE or not isinstance(inner, (str, int, float)) or isinstance(inner, bool):
        raise PatternError(f"{what} wants one of absent, {', '.join(_COMPARABLE)}")
    text = str(inner)
    operator = next((sign for sign in _OPERATORS if text.startswith(sign)), "==")
    how = {"version": _version_order, "number": _number_order, "quantity": _quantity_order}[str(key)]
    return _comparison(operator, text.removeprefix(operator).strip(), what, how)


def _text(glob: Glob) -> Predicate:
    def judge(value: Value, _old: Value, _new: Value) -> int:
        if value is ABSENT:
            return NO
        if isinstance(value, (dict, list)):
            return MAYBE
        return YES if glob.matches(plain_text(value)) else NO

    return judge


def plain_text(value: Value) -> str:
    """A plain value as it is written in JSON, texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _comparison(operator: str, operand: str, what: str, how: Callable[[Value, Value], int | None]) -> Predicate:
    if not operand:
        raise PatternError(f"{what}: {operator} wants something to compare with: old, new, or a value")
    literal: Value = (
        operand[1:-1] if len(operand) > 1 and operand[0] == operand[-1] and operand[0] in "\"'" else operand
    )

    def judge(value: Value, old: Value, new: Value) -> int:
        other = {"old": old, "new": new}.get(operand, literal)
        if value is ABSENT:
            return NO
        if other is ABSENT:
            return YES  # nothing was there to compare with: nothing is gone back on
        if operator in ("==", "!=") and same(value, other):
            return YES if operator == "==" else NO
        found = how(value, other)
        if found is None:
            if operator in ("==", "!=") and how is order and not isinstance(value, (dict, list)):
                return NO if operator == "==" else YES
            return MAYBE
        return YES if _OPERATORS[operator](found) else NO

    return judge


def order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1 as `left` is below, equal to or above `right`; None where they do not compare.

    Numbers as numbers, texts as versions (1.9 < 1.10, missing parts are 0, SemVer's rules for pre-releases), else as
    Kubernetes quantities (500m < 1 < 1Ki).  A number with a point and a text do not compare: unquoted 1.10 is 1.1.
    """
    for how in (_number_order, _version_order):
        found = how(left, right)
        if found is not None:
            return found
    mixed = any(isinstance(one, float) and _version(other) for one, other in ((left, right), (right, left)))
    return None if mixed else _quantity_order(left, right)


def sure_order(left: str, right: str) -> int | None:
    """The order of two operands, where whatever compares with `left` compares with `right` in the same way; else None.

    A number with a point compares with 3 and not with 3.5, one without with 1.36 and not with 1.36.2.
    """
    numbers, versions, quantities = (
        [how(one) is not None for one in (left, right)] for how in (lambda one: _number(one, 0), _version, _quantity)
    )
    if (numbers[0] and not numbers[1]) or versions[0] != versions[1] or (quantities[0] and not quantities[1]):
        return None
    found = {how(left, right) for how in (_version_order, _quantity_order)} - {None}
    return found.pop() if len(found) == 1 else None


def _sign(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _number_order(left: Value, right: Value) -> int | None:
    one, other = _number(left, right), _number(right, left)
    return None if one is None or other is None else _sign(one, other)


def _number(value: Value, other: Value) -> int | float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    # A whole number in a text counts as one beside a number (rules write all operands as text).
    if isinstance(value, str) and isinstance(other, (int, float)) and len(value) < 20:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit():
            return int(value)
    return None


def _version_order(left: Value, right: Value) -> int | None:
    one, other = _version(left), _version(right)
    if one is None or other is None:
        return None
    numbers = [part + (0,) * (max(len(one[0]), len(other[0])) - len(part)) for part in (one[0], other[0])]
    if numbers[0] != numbers[1]:
        return _sign(numbers[0], numbers[1])
    if not one[1] or not other[1]:  # a pre-release comes before the release
        return _sign(not one[1], not other[1])
    return _sign(one[1], other[1])


def _version(value: Value) -> tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]] | None:
    """Numbers and pre-release of a version, or None: [v]1[.2[.3...]][-pre.1][+build]."""
    if not isinstance(value, str) or len(value) > 128 or not value.isascii():
        return None
    return _read_version(value)


@lru_cache(maxsize=1024)
def _read_version(value: str) -> tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]] | None:
    core, _, pre = value.removeprefix("v").partition("+")[0].partition("-")
    numbers = core.split(".")
    if not all(number.isdigit() and len(number) < 12 for number in numbers):
        return None
    names = pre.split(".") if pre else []
    if not all(name and name.replace("-", "a").isalnum() for name in names) or (
        not pre and "-" in value.partition("+")[0]
    ):
        return None
    ranked = tuple((0, int(name), "") if name.isdigit() else (1, 0, name) for name in names)
    return tuple(int(number) for number in numbers), ranked


_SUFFIXES: Mapping[str, tuple[int, int]] = {
    "": (1, 1),
    "n": (1, 10**9),
    "u": (1, 10**6),
    "m": (1, 1000),
    **{name: (1000**power, 1) for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": (1024**power, 1) for power, name in enumerate("KMGTPE", 1)},
}


def _quantity_order(left: Value, right: Value) -> int | None:
    one, other = _quantity(left), _quantity(right)
    return None if one is None or other is None else _sign(one[0] * other[1], other[0] * one[1])


def _quantity(value: Value) -> tuple[int, int] | None:
    """A Kubernetes quantity as a fraction, or None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value)
    if not isinstance(value, str) or not value.isascii() or len(value) > 40:
        return None
    body = value.lstrip("+-") if value[:1] in "+-" and value[1:2] not in "+-" else value
    end = next((at for at, character in enumerate(body) if character not in "0123456789."), len(body))
    digits, suffix = body[:end], body[end:]
    whole, _, part = digits.partition(".")
    factor = _exponent(suffix) if suffix[:1] in ("e", "E") and len(suffix) > 1 else _SUFFIXES.get(suffix)
    if not (whole + part) or digits.count(".") > 1 or factor is None:
        return None
    number = int(whole + part) * factor[0] * (-1 if value.startswith("-") else 1)
    return number, 10 ** len(part) * factor[1]


def _exponent(suffix: str) -> tuple[int, int] | None:
    digits = suffix[1:].lstrip("+-") if suffix[2:3] not in "+-" or len(suffix) < 3 else ""
    if not digits.isdigit() or len(digits) > 2:
        return None
    return (1, 10 ** int(digits)) if suffix[1] == "-" else (10 ** int(digits), 1)

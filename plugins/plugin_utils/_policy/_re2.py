# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Regular expressions as Go has them (RE2 syntax), in time linear in the text.

Patterns come out of repositories that are not trusted, and Python's `re` can be made to run for years.  Here all
ways through a pattern are followed at once, so a search costs at most (length of the text) x (size of the pattern).

Known: literals, `.`, classes with ranges and [:names:], \\d \\w \\s \\pL and so on, groups, `|`, `* + ? {n,m}` (also
lazy), ^ $ \\A \\z \\b \\B, flags i s m U.  Not known: \\p{Script} by name of a script, \\C.
Told are whether there is a match, and the texts that match, as Go finds them: leftmost, and of several ways through
the pattern the one that comes first.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

#: RE2's own bound on the numbers in {n,m}.
MAX_REPEAT = 1000
#: A pattern that needs more states than this is refused.
MAX_STATES = 20_000
#: A search that would need more steps than this is refused.
MAX_STEPS = 10_000_000


class PatternError(ValueError):
    """Not a pattern of RE2, one that is not known here, or one that is too large to be used."""


_Test = Callable[[str], bool]


class _State(NamedTuple):
    """A state: what it asks (a test of a character, or the name of a condition, or "" for nothing) and what follows."""

    test: _Test | None
    condition: str
    follow: tuple[int, ...]


class Pattern:
    """A compiled pattern."""

    def __init__(self, states: list[_State], start: int) -> None:
        self._states = states
        self._start = start

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text.

        Raises:
            PatternError: text and pattern together are too large.
        """
        if (len(text) + 1) * len(self._states) > MAX_STEPS:
            raise PatternError("pattern and text together are too large to be matched")
        current: set[int] = set()
        for at in range(len(text) + 1):
            reached: set[int] = set()
            if self._close({*current, self._start}, text, at, reached):
                return True
            if at == len(text):
                return False
            char = text[at]
            current = set()
            for index in reached:
                state = self._states[index]
                if state.test is not None and state.test(char):
                    current.update(state.follow)
        return False

    def find_all(self, text: str, count: int = -1) -> list[str]:
        """The texts that match, from the left and beside each other; at most `count` of them unless that is negative.

        Raises:
            PatternError: text and pattern together are too large.
        """
        out: list[str] = []
        at, before, steps = 0, -1, 0
        while at <= len(text) and (count < 0 or len(out) < count):
            begin, end, taken = self._find(text, at, MAX_STEPS - steps)
            steps += taken
            if begin < 0:
                break
            # nothing at all is no match where the last one ended
            if end > begin or end != before:
                out.append(text[begin:end])
            before, at = end, max(end, begin + 1)
        return out

    def _find(self, text: str, at: int, limit: int) -> tuple[int, int, int]:
        """Where the first match at or after `at` begins and ends (-1: nowhere), and the steps taken."""
        found, steps = (-1, -1), 0
        #: where each way through began, by the state that it is at; the ways that come first stand first
        current: dict[int, int] = {}
        while True:
            reached: dict[int, int] = {}
            end = self._follow([*current.items(), *(((self._start, at),) if found[0] < 0 else ())], text, at, reached)
            if end >= 0:
                found = (end, at)
            steps += len(reached) + 1
            if steps > limit:
                raise PatternError("pattern and text together are too large to be matched")
            if at == len(text) or (not reached and found[0] >= 0):
                return (*found, steps)
            char, current = text[at], {}
            for index, begin in reached.items():
                state = self._states[index]
                if state.test is not None and state.test(char):
                    for follow in state.follow:
                        current.setdefault(follow, begin)
            at += 1

    def _follow(self, todo: list[tuple[int, int]], text: str, at: int, reached: dict[int, int]) -> int:
        """As `_close`, in the order of preference; where the way that reaches the end began, -1 where none does."""
        seen: set[int] = set()
        for first, begin in todo:
            stack = [first]
            while stack:
                index = stack.pop()
                if index in seen:
                    continue
                seen.add(index)
                state = self._states[index]
                if state.test is not None:
                    reached[index] = begin
                elif not state.condition or _holds(state.condition, text, at):
                    if not state.follow:
                        return begin  # what comes after it is not wanted any more
                    stack.extend(reversed(state.follow))
        return -1

    def _close(self, todo: set[int], text: str, at: int, reached: set[int]) -> bool:
        """Follow everything that takes no character; true when the end of the pattern is reached."""
        stack = list(todo)
        while stack:
            index = stack.pop()
            if index in reached:
                continue
            reached.add(index)
            state = self._states[index]
            if state.test is None and (not state.condition or _holds(state.condition, text, at)):
                if not state.follow:
                    return True
                stack.extend(state.follow)
        return False


def _holds(condition: str, text: str, at: int) -> bool:
    if condition == "begin":
        return at == 0
    if condition == "end":
        return at == len(text)
    if condition == "begin line":
        return at == 0 or text[at - 1] == "\n"
    if condition == "end line":
        return at == len(text) or text[at] == "\n"
    edge = (at > 0 and _is_word(text[at - 1])) != (at < len(text) and _is_word(text[at]))
    return edge is (condition == "edge")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def _is_space(char: str) -> bool:
    return char in "\t\n\f\r "


def _is_digit(char: str) -> bool:
    return "0" <= char <= "9"


_CLASSES: dict[str, _Test] = {"d": _is_digit, "w": _is_word, "s": _is_space}
_NAMED: dict[str, _Test] = {
    "alnum": lambda char: char.isascii() and char.isalnum(),
    "alpha": lambda char: char.isascii() and char.isalpha(),
    "ascii": lambda char: char.isascii(),
    "blank": lambda char: char in "\t ",
    "cntrl": lambda char: char < " " or char == "\x7f",
    "digit": _is_digit,
    "graph": lambda char: "!" <= char <= "~",
    "lower": lambda char: "a" <= char <= "z",
    "print": lambda char: " " <= char <= "~",
    "punct": lambda char: "!" <= char <= "~" and not char.isalnum(),
    "space": lambda char: char in "\t\n\v\f\r ",
    "upper": lambda char: "A" <= char <= "Z",
    "word": _is_word,
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_EDGES = {"A": "begin", "z": "end", "b": "edge", "B": "no edge"}


def _not(test: _Test) -> _Test:
    return lambda char: not test(char)


def _fold(test: _Test) -> _Test:
    return lambda char: test(char) or test(char.lower()) or test(char.upper())


class _Piece(NamedTuple):
    """A part of the machine: where it begins, and the states whose follower is not known yet."""

    start: int
    open: tuple[int, ...]


class _Parser:
    """Builds the machine while it reads the pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.states: list[_State] = []
        # states that prefer what comes after them to what they repeat
        self.lazy: set[int] = set()
        self.flags: frozenset[str] = frozenset()
        self.depth = 0
        # whether what was read last is something that a repetition can follow
        self.repeatable = True

    # --- The machine

    def add(self, test: _Test | None = None, condition: str = "", follow: tuple[int, ...] = ()) -> int:
        if len(self.states) >= MAX_STATES:
            raise PatternError("the pattern is too large")
        self.states.append(_State(test, condition, follow))
        return len(self.states) - 1

    def one(self, test: _Test | None = None, condition: str = "") -> _Piece:
        index = self.add(test, condition)
        return _Piece(index, (index,))

    def close(self, piece: _Piece, follow: int) -> None:
        for index in piece.open:
            state = self.states[index]
            both = (follow, *state.follow) if index in self.lazy else (*state.follow, follow)
            self.states[index] = state._replace(follow=both)

    def chain(self, first: _Piece, second: _Piece) -> _Piece:
        self.close(first, second.start)
        return _Piece(first.start, second.open)

    # --- The syntax

    def more(self) -> bool:
        return self.at < len(self.text)

    def take(self, text: str) -> bool:
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def next(self) -> str:
        if not self.more():
            raise PatternError("the pattern ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def alternatives(self) -> _Piece:
        self.depth += 1
        if self.depth > 100:
            raise PatternError("the pattern is nested too deeply")
        flags = self.flags
        pieces = [self.sequence()]
        while self.take("|"):
            pieces.append(self.sequence())
        self.flags = flags
        self.depth -= 1
        if len(pieces) == 1:
            return pieces[0]
        split = self.add(follow=tuple(piece.start for piece in pieces))
        return _Piece(split, tuple(index for piece in pieces for index in piece.open))

    def sequence(self) -> _Piece:
        whole = self.one()
        while self.more() and self.text[self.at] not in "|)":
            whole = self.chain(whole, self.repeated())
        return whole

    def repeated(self) -> _Piece:
        begin, flags, first = self.at, self.flags, len(self.states)
        self.repeatable = True
        piece = self.atom()
        while (bounds := self.bounds()) is not None:
            if not self.repeatable:
                raise PatternError("a repetition of what is no single thing; use a group")
            self.repeatable = False
            # "U" turns around which way is tried first
            lazy = self.take("?") is not ("U" in flags)
            end, after = self.at, self.flags
            del self.states[first:]
            self.lazy = {index for index in self.lazy if index < first}
            piece = self.repeat(begin, flags, lazy, *bounds)
            self.at, self.flags, self.repeatable = end, after, False
        return piece

    def bounds(self) -> tuple[int, int | None] | None:
        """The numbers of a repetition, where one is next."""
        for sign, found in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return found
        end = self.text.find("}", self.at)
        if end < 0 or self.text[self.at : self.at + 1] != "{":
            return None
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if not (low.isascii() and low.isdigit()) or (high and not (high.isascii() and high.isdigit())):
            return None  # { is a character then
        if len(low) > 4 or len(high) > 4 or max(int(low), int(high or 0)) > MAX_REPEAT:
            raise PatternError(f"a repetition of more than {MAX_REPEAT}")
        if high and int(high) < int(low):
            raise PatternError("a repetition whose numbers are the wrong way round")
        self.at = end + 1
        return int(low), (int(high) if high else None) if comma else int(low)

    def repeat(self, begin: int, flags: frozenset[str], lazy: bool, low: int, high: int | None) -> _Piece:
        """The atom at `begin`, read as often as its repetition asks; a lazy one prefers to go on."""

        def copy() -> _Piece:
            self.at, self.flags = begin, flags
            return self.atom()

        whole = self.one()
        for _ in range(low):
            whole = self.chain(whole, copy())
        if high is None:
            loop = self.one()
            again = copy()
            self.close(again, loop.start)
            # the loop's first follower is the atom, its second what comes after
            self.states[loop.start] = self.states[loop.start]._replace(follow=(again.start,))
            self.lazy.update((loop.start,) if lazy else ())
            return self.chain(whole, loop)
        skips: tuple[int, ...] = ()
        for _ in range(high - low):
            choice = self.one()
            whole = self.chain(whole, choice)
            inner = copy()
            self.close(choice, inner.start)
            self.lazy.update((choice.start,) if lazy else ())
            skips = (*skips, choice.start)
            whole = _Piece(whole.start, inner.open)
        return _Piece(whole.start, (*whole.open, *skips))

    def atom(self) -> _Piece:
        char = self.next()
        if char == "(":
            return self.group()
        if char == "[":
            return self.one(self.char_class())
        if char == ".":
            return self.one(_anything if "s" in self.flags else _not_newline)
        if char == "^":
            return self.one(condition="begin line" if "m" in self.flags else "begin")
        if char == "$":
            return self.one(condition="end line" if "m" in self.flags else "end")
        if char == "\\":
            return self.escape()
        if char in "*+?":
            raise PatternError(f"nothing to repeat before {char}")
        return self.literal(char)

    def literal(self, char: str) -> _Piece:
        test: _Test = char.__eq__
        return self.one(_fold(lambda other: other == char) if "i" in self.flags else test)

    def group(self) -> _Piece:
        flags = self.flags
        if self.take("?P<") or self.take("?<"):
            end = self.text.find(">", self.at)
            if end < 0 or not self.text[self.at : end].isidentifier():
                raise PatternError("a group's name is not one")
            self.at = end + 1
        elif self.take("?") and not self.group_flags():
            self.repeatable = False
            return self.one()  # (?i) holds from here to the end of the group around it
        piece = self.alternatives()
        if not self.take(")"):
            raise PatternError("a group is not closed")
        self.flags, self.repeatable = flags, True
        return piece

    def group_flags(self) -> bool:
        """Read "i-s:" or "i-s)"; true when a group follows."""
        on, off = set(self.flags), False
        while True:
            char = self.next()
            if char in ":)":
                self.flags = frozenset(on)
                return char == ":"
            if char == "-" and not off:
                off = True
            elif char in "imsU":
                (on.discard if off else on.add)(char)
            else:
                raise PatternError(f"(?{char} is not known")

    def escape(self) -> _Piece:
        char = self.next()
        if char in _EDGES:
            return self.one(condition=_EDGES[char])
        if char == "Q":
            end = self.text.find("\\E", self.at)
            quoted = self.text[self.at : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            whole = self.one()
            for one in quoted:
                whole = self.chain(whole, self.literal(one))
            self.repeatable = False
            return whole
        test = self.class_escape(char)
        if test is not None:
            return self.one(test)
        return self.literal(self.char_escape(char))

    def class_escape(self, char: str) -> _Test | None:
        """\\d, \\pL and so on; None for what is one character."""
        if char.lower() in _CLASSES:
            test = _CLASSES[char.lower()]
            return test if char.islower() else _not(test)
        if char not in "pP":
            return None
        name = self.next()
        if name == "{":
            end = self.text.find("}", self.at)
            if end < 0:
                raise PatternError("\\p{ is not closed")
            name = self.text[self.at : end]
            self.at = end + 1
        inverse = (char == "P") != name.startswith("^")
        test = _category(name.removeprefix("^"))
        test = _fold(test) if "i" in self.flags else test
        return _not(test) if inverse else test

    def char_escape(self, char: str) -> str:
        """The one character that an escape stands for."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "x":
            return self.hexadecimal()
        if "0" <= char <= "7":
            digits = char
            while len(digits) < 3 and self.more() and "0" <= self.text[self.at] <= "7":
                digits += self.next()
            if char != "0" and len(digits) == 1:
                raise PatternError(f"\\{char} is not known: there are no references")
            return chr(int(digits, 8))
        if char.isascii() and char.isalnum():
            raise PatternError(f"\\{char} is not known")
        return char

    def hexadecimal(self) -> str:
        if self.take("{"):
            end = self.text.find("}", self.at)
            digits = self.text[self.at : end] if end >= 0 else ""
            self.at = end + 1
        else:
            digits = self.next() + self.next()
        if not digits or len(digits) > 8 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise PatternError("\\x wants two digits, or {digits}")
        if int(digits, 16) > 0x10FFFF:
            raise PatternError("\\x{} names no character")
        return chr(int(digits, 16))

    def char_class(self) -> _Test:
        inverse = self.take("^")
        tests: list[_Test] = []
        single: set[str] = set()
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self.take("]"):
            first = False
            found = self.class_item()
            if not isinstance(found, str):
                tests.append(found)
                continue
            high = self.range_end(found)
            if high is None:
                single.add(found)
            else:
                ranges.append((found, high))
        test = _class_test(frozenset(single), tuple(ranges), tuple(tests))
        test = _fold(test) if "i" in self.flags else test
        return _not(test) if inverse else test

    def class_item(self) -> str | _Test:
        """One character, or a class inside the class."""
        if self.take("[:"):
            end = self.text.find(":]", self.at)
            name = self.text[self.at : end] if end >= 0 else ""
            if name.removeprefix("^") not in _NAMED:
                raise PatternError(f"[:{name[:20]}:] is not known")
            self.at = end + 2
            test = _NAMED[name.removeprefix("^")]
            return _not(test) if name.startswith("^") else test
        char = self.next()
        if char != "\\":
            return char
        char = self.next()
        return self.class_escape(char) or self.char_escape(char)

    def range_end(self, low: str) -> str | None:
        """The other end where a range follows."""
        if self.text[self.at : self.at + 1] != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return None
        self.at += 1
        high = self.class_item()
        if not isinstance(high, str) or high < low:
            raise PatternError("a range in a class whose ends are the wrong way round")
        return high


def _class_test(single: frozenset[str], ranges: tuple[tuple[str, str], ...], tests: tuple[_Test, ...]) -> _Test:
    def test(char: str) -> bool:
        return char in single or any(low <= char <= high for low, high in ranges) or any(one(char) for one in tests)

    return test


def _anything(_char: str) -> bool:
    return True


def _not_newline(char: str) -> bool:
    return char != "\n"


def _category(name: str) -> _Test:
    if name == "Any":
        return _anything
    if len(name) not in (1, 2) or name[0] not in "LMNPSZC":
        raise PatternError(f"\\p{{{name[:20]}}} is not known here")
    return lambda char: unicodedata.category(char).startswith(name)


@functools.lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """The pattern of a text.

    Raises:
        PatternError: it is none, is not known here, or is too large.
    """
    parser = _Parser(text)
    whole = parser.alternatives()
    if parser.more():
        raise PatternError("a ) that closes nothing")
    parser.close(whole, parser.add())
    return Pattern(parser.states, whole.start)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Rego source, moved below a prefix of its own, so that policies that know nothing of each other run side by side.

`package main` becomes `package weft.s0.main`, and `data.lib` in it `data.weft.s0.lib`: what a policy says and sees is
the same, but another's rules of the same package are not its own.  Only tokens are looked at, never lines; line
numbers stay what they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: Comments and strings first: what is inside them is no code.
_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<template>\$["`])
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<space>[ \t\r\n]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_STRINGS = frozenset({"string", "raw"})
#: What a rule's name never follows: `import data.lib as deny`, `some deny, warn in input.list`.
_NOT_BEFORE_RULES = frozenset({"as", "some", ","})
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
#: A call whose answer holds paths, and what it becomes so that they are without the prefix, whose length it wants.
_CHAIN = ["rego", ".", "metadata", ".", "chain", "(", ")"]
_CHAIN_BELOW = (
    "[weft_one | weft_link := rego.metadata.chain()[_]; weft_one := object.union("
    'weft_link, {{"path": array.slice(weft_link.path, {}, count(weft_link.path))}})]'
)
#: The text of a template string up to the next expression or its end.
_TEMPLATE = {
    '"': re.compile(r'(?:[^"\\{\n]|\\.)*(?P<end>["{])?', re.DOTALL),
    "`": re.compile(r"(?:\\\{|[^`{])*(?P<end>[`{])?", re.DOTALL),
}


class RegoError(ValueError):
    """Source that cannot be read far enough to be moved; the message says where."""


class Moved(NamedTuple):
    """Source below its prefix.

    text     the source
    package  the path of its package, without the prefix
    rules    the names that rules can have: those outside of all brackets, a few too many rather than one too few
    data     what it refers to below `data`, as far as that is plain: packages, rules and documents; () for all of it
    """

    text: str
    package: tuple[str, ...]
    rules: frozenset[str]
    data: frozenset[tuple[str, ...]]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def move(source: str, prefix: tuple[str, ...]) -> Moved:
    """Move a module below a prefix.

    Raises:
        RegoError: it has no package, or a string in it does not end.
    """
    tokens = [token for token in _tokens(source) if token.kind not in ("comment", "space")]
    below = "".join(f".{step}" for step in prefix)
    package = _path(tokens, 1) if tokens and tokens[0].text == "package" else ()
    if not package:
        raise RegoError("does not begin with `package NAME`")
    done = tokens[1].start
    pieces = [source[:done], f"{below[1:]}."]
    rules: set[str] = set()
    data: set[tuple[str, ...]] = set()
    depth = 0
    for index, token in enumerate(tokens[2:], start=2):
        depth += (token.text in _OPEN) - (token.text in _CLOSE and token.kind != "resume")
        if token.kind != "name" or _is_field(tokens, index):
            continue
        if not depth and not _is_variable(tokens, index):
            rules.add(token.text)
        if token.text == "data":
            data.add(_path(tokens, index)[1:])
            pieces += [source[done : token.end], below]
            done = token.end
        elif [one.text for one in tokens[index : index + len(_CHAIN)]] == _CHAIN:
            end = tokens[index + len(_CHAIN) - 1].end
            lines = "\n" * source.count("\n", token.start, end)
            pieces += [source[done : token.start], _CHAIN_BELOW.format(len(prefix)), lines]
            done = end
    return Moved("".join([*pieces, source[done:]]), package, frozenset(rules), frozenset(data))


def _is_field(tokens: list[_Token], index: int) -> bool:
    """Whether a name is the field of what stands before it: `input.data`."""
    return index > 0 and tokens[index - 1].text == "."


def _is_variable(tokens: list[_Token], index: int) -> bool:
    """Whether a name is brought in by what stands before it, and so is no rule's."""
    return tokens[index - 1].text in _NOT_BEFORE_RULES and not _is_field(tokens, index - 1)


def _path(tokens: list[_Token], index: int) -> tuple[str, ...]:
    """The steps of a reference from a token on, as far as they are plain: a.b["c"][`d`]."""
    out: list[str] = []
    if index < len(tokens) and tokens[index].kind == "name":
        out.append(tokens[index].text)
        index += 1
    while out and index + 1 < len(tokens):
        step, name = tokens[index], tokens[index + 1]
        if step.text == "." and name.kind == "name":
            out.append(name.text)
            index += 2
        elif step.text == "[" and name.kind in _STRINGS and index + 2 < len(tokens) and tokens[index + 2].text == "]":
            out.append(name.text[1:-1])
            index += 3
        else:
            break
    return tuple(out)


def _tokens(source: str) -> Iterator[_Token]:
    at = 0
    # for each template string around the current place: its quote, and the braces open in its expression
    around: list[tuple[str, int]] = []
    while at < len(source):
        match = _TOKEN.match(source, at)
        assert match is not None and match.lastgroup is not None  # `other` matches whatever there is
        kind, text, at = match.lastgroup, match.group(), match.end()
        if kind == "other" and text in '"`':
            raise RegoError(f"line {_line(source, match.start())}: a string does not end")
        quote, depth = around.pop() if around and text in "{}" else ("", 0)
        if quote and text == "}" and depth == 0:
            kind = "resume"  # the expression in a template string is over
        elif quote:
            around.append((quote, depth + (1 if text == "{" else -1)))
        yield _Token(kind, text, match.start(), at)
        if kind in ("template", "resume"):
            at = _template(source, at, quote or text[1], around)
    if around:
        raise RegoError("a template string does not end")


def _template(source: str, at: int, quote: str, around: list[tuple[str, int]]) -> int:
    """Skip the text of a template string; where an expression follows, note that."""
    match = _TEMPLATE[quote].match(source, at)
    if match is None or match["end"] is None:
        raise RegoError(f"line {_line(source, at)}: a template string does not end")
    if match["end"] == "{":
        around.append((quote, 0))
    return match.end()


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1

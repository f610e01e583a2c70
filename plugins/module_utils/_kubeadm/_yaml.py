# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A reader for the YAML that kubeadm and the kubelet write, where a machine has no YAML library.

Block mappings, block sequences, plain and quoted scalars (folded over lines too), `{}`, `[]`, `|` and comments on
their own lines.  Anything else is refused, never guessed.  Scalars follow YAML 1.2's core schema.
"""

from __future__ import annotations

import json
import re
from typing import Any, List, NamedTuple, Tuple

_KEY = re.compile(
    r"""^(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""  # quoted
    r"""|[^\s'"\[\]{}>|*&!%@`#,?-][^#]*?|-[^\s#][^#]*?):(?:\s+|$)"""  # plain
)
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$")
_WORDS = {"": None, "null": None, "~": None, "true": True, "false": False}


class YamlError(ValueError):
    """Text that is not of the kind this reader knows; the message says which line."""


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def load(text: str) -> Any:
    """The one document of a YAML text, as JSON values.

    Raises:
        YamlError: the text holds something this reader does not know.
    """
    if text.lstrip().startswith("{"):
        return json.loads(text)
    reader = _Reader(text)
    if not reader.lines:
        return None
    value = reader.block(reader.lines[0].indent)
    if reader.at < len(reader.lines):
        raise reader.error("wrong indentation")
    return value


class _Reader:
    """Walks over the lines once; `at` is the line to read next."""

    def __init__(self, text: str) -> None:
        self.raw = text.split("\n")
        self.lines: List[_Line] = []
        self.at = 0
        for number, line in enumerate(self.raw, 1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#") or stripped == "---":
                continue
            if line[: len(line) - len(line.lstrip())].count("\t"):
                raise YamlError(f"line {number}: a tab in the indentation")
            self.lines.append(_Line(number, len(line) - len(line.lstrip()), stripped))

    def error(self, what: str) -> YamlError:
        line = self.lines[min(self.at, len(self.lines) - 1)]
        return YamlError(f"line {line.number}: {what}: {line.text!r}")

    def block(self, indent: int) -> Any:
        """The mapping, sequence or scalar that begins at the next line."""
        line = self.lines[self.at]
        if line.text == "-" or line.text.startswith("- "):
            return self.sequence(indent)
        if _KEY.match(line.text):
            return self.mapping(indent)
        self.at += 1
        return self.scalar(line.text, indent - 1)

    def more(self, indent: int) -> bool:
        return self.at < len(self.lines) and self.lines[self.at].indent == indent

    def sequence(self, indent: int) -> List[Any]:
        out: List[Any] = []
        while self.more(indent) and (self.lines[self.at].text + " ").startswith("- "):
            line = self.lines[self.at]
            rest = line.text[1:].lstrip()
            if not rest:
                self.at += 1
                out.append(self.nested(indent))
            elif _KEY.match(rest) or rest.startswith("- "):
                inner = line.indent + len(line.text) - len(rest)
                self.lines[self.at] = _Line(line.number, inner, rest)
                out.append(self.block(inner))
            else:
                self.at += 1
                out.append(self.scalar(rest, indent))
        return out

    def mapping(self, indent: int) -> Any:
        out = {}
        while self.more(indent):
            line = self.lines[self.at]
            found = _KEY.match(line.text)
            if found is None:
                break
            key = self.key(found.group("key"))
            if key in out:
                raise self.error("a key twice")
            rest = line.text[found.end() :]
            self.at += 1
            out[key] = self.scalar(rest, indent) if rest else self.nested(indent, in_mapping=True)
        return out

    def key(self, text: str) -> str:
        value = self.quoted(text) if text[0] in "\"'" else text
        return str(value)

    def nested(self, indent: int, in_mapping: bool = False) -> Any:
        """The value below a key or dash; a sequence may stand as far left as its key."""
        if self.at == len(self.lines):
            return None
        line = self.lines[self.at]
        if line.indent > indent or (in_mapping and line.indent == indent and (line.text + " ").startswith("- ")):
            return self.block(line.indent)
        return None

    def scalar(self, text: str, indent: int) -> Any:
        """A scalar that starts with `text`, with the further lines that are deeper than `indent`."""
        if text in ("{}", "[]"):
            return {} if text == "{}" else []
        if text in ("|", "|-"):
            return self.literal(indent, keep=text == "|")
        if text[0] in "{[>|*&!%@`":
            self.at -= 1
            raise self.error("a construct that is not known here")
        text = self.folded(text, indent)
        return self.quoted(text) if text[0] in "\"'" else _plain(text)

    def folded(self, text: str, indent: int) -> str:
        while self.at < len(self.lines) and self.lines[self.at].indent > indent:
            text = _join(text, self.lines[self.at].text)
            self.at += 1
        return text

    def literal(self, indent: int, keep: bool) -> str:
        body: List[str] = []
        first, number = None, self.lines[self.at - 1].number
        while number < len(self.raw):
            line = self.raw[number]
            depth = len(line) - len(line.lstrip())
            if line.strip():
                first = depth if first is None else first
                if depth <= indent or depth < first:
                    break
            body.append(line[first or 0 :])
            number += 1
        while self.at < len(self.lines) and self.lines[self.at].number <= number:
            self.at += 1
        return "\n".join(body).rstrip("\n") + ("\n" if keep else "")

    def quoted(self, text: str) -> str:
        try:
            if text[0] == '"':
                return str(json.loads(text))
        except ValueError:
            raise YamlError(f"a quoted text that is not known here: {text!r}") from None
        if len(text) < 2 or text[-1] != "'" or "'" in text[1:-1].replace("''", ""):
            raise YamlError(f"a quoted text that does not end: {text!r}")
        return text[1:-1].replace("''", "'")


def _join(text: str, following: str) -> str:
    if text.startswith('"') and text.endswith("\\"):
        return text[:-1] + (following[1:] if following.startswith("\\") else following)
    return f"{text} {following}"


def _plain(text: str) -> Any:
    text = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def flags(command: List[Any]) -> Tuple[str, Any]:
    """A command line as (program, flags): a mapping from flag to value, or to a list where a flag stands twice."""
    out: Any = {}
    for part in command[1:]:
        name, _, value = str(part).partition("=")
        if name not in out:
            out[name] = value
        else:
            out[name] = (out[name] if isinstance(out[name], list) else [out[name]]) + [value]
    return str(command[0]) if command else "", out

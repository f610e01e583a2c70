# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CEL's text as a tree.

Source of the rules: the CEL language definition (cel-spec, doc/langdef.md) and, where it leaves a choice, cel-go's
grammar as the API server uses it: macros of the standard library, of optional values, of comprehensions with two
variables and `sortBy` are there; messages are not built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: A text longer than this is refused before it is read.
MAX_LENGTH = 100_000


class CompileError(ValueError):
    """An expression that cannot be used, whatever it is asked about."""


class UInt(int):
    """A number of CEL's type uint."""

    __slots__ = ()


class Node:
    """A part of an expression; `at` is where it begins in the text."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class Literal(Node):
    """A value as it is written."""

    __slots__ = ("value",)

    def __init__(self, at: int, value: Any) -> None:
        super().__init__(at)
        self.value = value


class Ident(Node):
    """A name."""

    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name


class Select(Node):
    """`of.field`; `of.?field` where it is optional; `has(of.field)` where it tests."""

    __slots__ = ("field", "of", "optional", "test")

    def __init__(self, at: int, of: Node, field: str, optional: bool = False, test: bool = False) -> None:
        super().__init__(at)
        self.of = of
        self.field = field
        self.optional = optional
        self.test = test


class Call(Node):
    """A function or operator with its arguments; of a member function the first is what it is called on."""

    __slots__ = ("arguments", "member", "name")

    def __init__(self, at: int, name: str, arguments: Sequence[Node], member: bool = False) -> None:
        super().__init__(at)
        self.name = name
        self.arguments = arguments
        self.member = member


class Logic(Node):
    """Parts joined by && or ||."""

    __slots__ = ("decides", "parts")

    def __init__(self, at: int, decides: bool, parts: Sequence[Node]) -> None:
        super().__init__(at)
        #: the value of a part that decides the whole: true for ||, false for &&
        self.decides = decides
        self.parts = parts


class Items(Node):
    """A list: each element, and whether it is an optional one."""

    __slots__ = ("items",)

    def __init__(self, at: int, items: Sequence[tuple[Node, bool]]) -> None:
        super().__init__(at)
        self.items = items


class Entries(Node):
    """A map: each key and value, and whether the value is an optional one."""

    __slots__ = ("entries",)

    def __init__(self, at: int, entries: Sequence[tuple[Node, Node, bool]]) -> None:
        super().__init__(at)
        self.entries = entries


class Macro(Node):
    """A macro over the elements of `over`: its name, the variables that it names, and its expressions."""

    __slots__ = ("name", "over", "parts", "variables")

    def __init__(self, at: int, name: str, over: Node, variables: Sequence[str], parts: Sequence[Node]) -> None:
        super().__init__(at)
        self.name = name
        self.over = over
        self.variables = variables
        self.parts = parts


# --- Tokens -----------------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # "name", "quoted", "value", "number", "sign", "end"
    text: str
    value: Any
    at: int


_QUOTED = (
    r"'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^\\'\r\n]|\\[^\r\n])*'|\"(?:[^\\\"\r\n]|\\[^\r\n])*\""
)
_RAW = r"'''.*?'''|\"\"\".*?\"\"\"|'[^'\r\n]*'|\"[^\"\r\n]*\""
_TOKENS = re.compile(
    rf"""
    (?P<space>[ \t\n\f\r]+|//[^\n]*)
  | (?P<raw>(?:[rR][bB]?|[bB][rR])(?:{_RAW}))
  | (?P<string>[bB]?(?:{_QUOTED}))
  | (?P<float>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<number>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<quoted>`[a-zA-Z0-9_.\-/\ ]+`)
  | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%!<>?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
#: Names that are kept for the language and cannot be a variable's.
RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    }
)


def _string(text: str, raw: bool, at: int) -> str | bytes:
    prefix = len(text) - len(text.lstrip("rRbB"))
    is_bytes = "b" in text[:prefix].lower()
    quote = 3 if text[prefix : prefix + 3] in ("'''", '"""') else 1
    inner = text[prefix + quote : -quote].replace("\r\n", "\n").replace("\r", "\n")
    if raw:
        return inner.encode() if is_bytes else inner
    out: list[bytes] = []
    end = 0
    for found in _ESCAPE.finditer(inner):
        out.append(inner[end : found.start()].encode())
        out.append(_escaped(found, is_bytes, at))
        end = found.end()
    out.append(inner[end:].encode())
    whole = b"".join(out)
    return whole if is_bytes else whole.decode()


def _escaped(found: re.Match[str], is_bytes: bool, at: int) -> bytes:
    control, hexadecimal, short, long, octal, _other = found.groups()
    if control:
        return _CONTROLS.get(control, control).encode()
    number = -1
    if hexadecimal or octal:
        number = int(hexadecimal, 16) if hexadecimal else int(octal, 8)
        if is_bytes:
            return bytes((number,))
    elif (short or long) and not is_bytes:
        number = int(short or long, 16)
    if not 0 <= number <= 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise CompileError(f"character {at + 1}: the escape {found.group()} is not known")
    return chr(number).encode()


def _number(text: str, at: int, negative: bool = False) -> Any:
    digits = text.rstrip("uU")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if text[-1] in "uU":
        if value >= 2**64 or negative:
            raise CompileError(f"character {at + 1}: {text} is no uint")
        return UInt(value)
    value = -value if negative else value
    if not -(2**63) <= value < 2**63:
        raise CompileError(f"character {at + 1}: {text} is no int: 64 bits hold no such number")
    return value


def _tokens(text: str) -> list[_Token]:
    out: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            raise CompileError(f"character {at + 1}: {text[at : at + 10]!r} is no part of an expression")
        kind, word = found.lastgroup or "", found.group()
        if kind in ("raw", "string"):
            out.append(_Token("value", word, _string(word, kind == "raw", at), at))
        elif kind == "float":
            out.append(_Token("value", word, float(word), at))
        elif kind == "name" and word in _WORDS:
            out.append(_Token("value", word, _WORDS[word], at))
        elif kind == "name" and word == "in":
            out.append(_Token("sign", word, None, at))
        elif kind != "space":
            out.append(_Token(kind, word, None, at))
        at = found.end()
    out.append(_Token("end", "the end", None, len(text)))
    return out


# --- The grammar ------------------------------------------------------------------------------------------------

#: How strongly the operators with two sides bind; all of them lean to the left.
_BINDS = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}


class _Macro(NamedTuple):
    """How a macro is written: how many variables come first, and how many expressions follow."""

    name: str
    variables: int
    parts: int


#: Macros by name and number of arguments.
_MACROS = {
    (name, variables + parts): _Macro(kind, variables, parts)
    for name, kind, variables, parts in (
        ("all", "all", 1, 1),
        ("all", "all", 2, 1),
        ("exists", "exists", 1, 1),
        ("exists", "exists", 2, 1),
        ("exists_one", "exists_one", 1, 1),
        ("exists_one", "exists_one", 2, 1),
        ("existsOne", "exists_one", 1, 1),
        ("existsOne", "exists_one", 2, 1),
        ("filter", "filter", 1, 1),
        ("map", "map", 1, 1),
        ("map", "map", 1, 2),
        ("transformList", "transformList", 2, 1),
        ("transformList", "transformList", 2, 2),
        ("transformMap", "transformMap", 2, 1),
        ("transformMap", "transformMap", 2, 2),
        ("transformMapEntry", "transformMapEntry", 2, 1),
        ("transformMapEntry", "transformMapEntry", 2, 2),
        ("sortBy", "sortBy", 1, 1),
        ("optMap", "optMap", 1, 1),
        ("optFlatMap", "optFlatMap", 1, 1),
    )
}


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.place = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self, *signs: str) -> _Token | None:
        token = self.next
        if token.kind != "sign" or token.text not in signs:
            return None
        self.place += 1
        return token

    def want(self, sign: str) -> None:
        if self.take(sign) is None:
            raise self.wrong(f"{sign} is wanted")

    def wrong(self, message: str) -> CompileError:
        return CompileError(f"character {self.next.at + 1}: {message}, not {self.next.text[:40]}")

    def expression(self) -> Node:
        at = self.next.at
        condition = self.binary(1)
        if self.take("?") is None:
            return condition
        yes = self.binary(1)
        self.want(":")
        return Call(at, "_?_:_", (condition, yes, self.expression()))

    def binary(self, least: int) -> Node:
        left = self.unary()
        while self.next.kind == "sign" and _BINDS.get(self.next.text, 0) >= least:
            token = self.next
            self.place += 1
            right = self.binary(_BINDS[token.text] + 1)
            left = self.joined(token, left, right)
        return left

    def joined(self, token: _Token, left: Node, right: Node) -> Node:
        if token.text not in ("&&", "||"):
            return Call(token.at, f"_{token.text}_", (left, right))
        decides = token.text == "||"
        # a chain is one node however long it is; what is in parentheses may be in it as well
        before = left.parts if isinstance(left, Logic) and left.decides is decides else (left,)
        return Logic(token.at, decides, (*before, right))

    def unary(self) -> Node:
        sign = self.take("!", "-")
        if sign is None:
            return self.member()
        count = 1
        while self.take(sign.text):
            count += 1
        token = self.next
        if sign.text == "-" and count == 1 and token.kind == "number":
            # the sign belongs to the number: 9223372036854775808 is none without it
            self.place += 1
            return self.suffixes(Literal(sign.at, _number(token.text, token.at, negative=True)))
        inner = self.member()
        return Call(sign.at, f"{sign.text}_", (inner,)) if count % 2 else inner

    def member(self) -> Node:
        return self.suffixes(self.primary())

    def suffixes(self, left: Node) -> Node:
        while True:
            token = self.take(".", "[")
            if token is None:
                return left
            optional = self.take("?") is not None
            if token.text == "[":
                index = self.expression()
                self.want("]")
                left = Call(token.at, "_[?_]" if optional else "_[_]", (left, index))
                continue
            if self.next.kind == "quoted":
                self.place += 1
                left = Select(token.at, left, self.tokens[self.place - 1].text[1:-1], optional)
                continue
            name = self.name()
            if optional or self.take("(") is None:
                left = Select(token.at, left, name, optional)
            else:
                left = self.member_call(token.at, left, name)

    def name(self) -> str:
        if self.next.kind != "name":
            raise self.wrong("a name is wanted")
        self.place += 1
        return self.tokens[self.place - 1].text

    def arguments(self, end: str) -> list[Node]:
        out: list[Node] = []
        while self.take(end) is None:
            if out:
                self.want(",")
            out.append(self.expression())
        return out

    def member_call(self, at: int, left: Node, name: str) -> Node:
        arguments = self.arguments(")")
        macro = _MACROS.get((name, len(arguments)))
        if macro is None:
            return Call(at, name, (left, *arguments), member=True)
        names = arguments[: macro.variables]
        variables = [one.name for one in names if isinstance(one, Ident)]
        if len(variables) != macro.variables or len(set(variables)) != macro.variables:
            raise CompileError(f"character {at + 1}: {name} wants names for its variables, each another one")
        return Macro(at, macro.name, left, variables, arguments[macro.variables :])

    def primary(self) -> Node:
        token = self.next
        self.place += 1
        if token.kind == "value":
            return Literal(token.at, token.value)
        if token.kind == "number":
            return Literal(token.at, _number(token.text, token.at))
        if token.kind == "sign" and token.text in ("(", "[", "{", "."):
            return self.bracket(token)
        if token.kind != "name":
            self.place -= 1
            raise self.wrong("an expression is wanted")
        if token.text in RESERVED:
            raise CompileError(f"character {token.at + 1}: {token.text} is kept for the language")
        if self.take("(") is None:
            return Ident(token.at, token.text)
        arguments = self.arguments(")")
        if token.text == "has" and len(arguments) == 1:
            return _presence(token.at, arguments[0])
        return Call(token.at, token.text, arguments)

    def bracket(self, token: _Token) -> Node:
        if token.text == "(":
            inner = self.expression()
            self.want(")")
            return inner
        if token.text == "[":
            return Items(token.at, self.items())
        if token.text == "{":
            return Entries(token.at, self.entries())
        return self.primary_name(token)

    def primary_name(self, token: _Token) -> Node:
        """What follows a dot at the begin, which says that no variable of a macro is meant."""
        if self.next.kind != "name":
            raise self.wrong("a name is wanted")
        raise CompileError(f"character {token.at + 1}: names that begin with a dot are not known here")

    def items(self) -> list[tuple[Node, bool]]:
        out: list[tuple[Node, bool]] = []
        while self.take("]") is None:
            optional = self.take("?") is not None
            out.append((self.expression(), optional))
            if self.take(",") is None and (self.next.kind, self.next.text) != ("sign", "]"):
                raise self.wrong("] is wanted")
        return out

    def entries(self) -> list[tuple[Node, Node, bool]]:
        out: list[tuple[Node, Node, bool]] = []
        while self.take("}") is None:
            optional = self.take("?") is not None
            key = self.expression()
            self.want(":")
            out.append((key, self.expression(), optional))
            if self.take(",") is None and (self.next.kind, self.next.text) != ("sign", "}"):
                raise self.wrong("} is wanted")
        return out


def _presence(at: int, of: Node) -> Node:
    if not isinstance(of, Select) or of.test:
        raise CompileError(f"character {at + 1}: has() wants a field: has(a.b)")
    return Select(at, of.of, of.field, of.optional, test=True)


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        CompileError: it is none.
    """
    if len(text) > MAX_LENGTH:
        raise CompileError(f"an expression of more than {MAX_LENGTH} characters")
    try:
        parser = _Parser(text)
        whole = parser.expression()
        if parser.next.kind != "end":
            raise parser.wrong("an operator is wanted")
    except RecursionError as error:
        raise CompileError("is nested too deeply") from error
    except UnicodeError as error:
        raise CompileError(f"holds what is no text: {error}") from error
    return whole

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The types of an expression, found before it is run: names, fields and functions that are not there are told at once.

Source of the rules: the CEL language definition, "Gradual Type Checking", and cel-go's checker as the API server
uses it.  Where this checker knows less than that one it refuses, and does not let pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import (
    RESERVED,
    Call,
    CompileError,
    Entries,
    Ident,
    Items,
    Literal,
    Logic,
    Macro,
    Node,
    Select,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    BOOL,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    IP,
    NULL,
    QUANTITY,
    SEMVER,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    URL,
    Functions,
    Overload,
    Type,
    list_of,
    map_of,
    name_of,
    optional_of,
)

#: What a name means that is no variable: a type.
TYPES: Mapping[str, Type] = {
    one.name: one
    for one in (
        *(BOOL, INT, UINT, DOUBLE, STRING, NULL, TYPE, TIMESTAMP, DURATION, QUANTITY, SEMVER, URL, IP, CIDR),
        *(Type("bytes"), Type("list"), Type("map"), Type("optional_type")),
    )
}


def qualified(node: Node) -> str:
    """ "a.b.c" for a chain of names, "" for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.optional and not node.test:
        left = qualified(node.of)
        return f"{left}.{node.field}" if left else ""
    return ""


def root(name: str) -> str:
    """The first name of a chain."""
    return name.partition(".")[0]


class Checker:
    """Finds the types of one expression's parts."""

    def __init__(self, functions: Functions, variables: Mapping[str, Type]) -> None:
        self.functions = functions
        self.scope = dict(variables)
        self._bound: dict[str, Type] = {}
        self._count = 0
        self._mixed = False

    def check(self, node: Node) -> Type:
        """The type of an expression.

        Raises:
            CompileError: it has none.
        """
        if isinstance(node, Literal):
            name = name_of(node.value)
            return NULL if name == "null_type" else Type(name)
        if isinstance(node, Logic):
            for part in node.parts:
                self._want(part, BOOL)
            return BOOL
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Items):
            return list_of(self._joined(node.at, [self._part(item, optional) for item, optional in node.items]))
        if isinstance(node, Entries):
            return self._entries(node)
        assert isinstance(node, Macro)
        return self._macro(node)

    def wrong(self, at: int, message: str) -> CompileError:
        """The error about a place of the text."""
        return CompileError(f"character {at + 1}: {message}")

    def _want(self, node: Node, wanted: Type) -> Type:
        found = self.check(node)
        if not self._assign(wanted, found):
            raise self.wrong(node.at, f"must be {self.whole(wanted)}, not {self.whole(found)}")
        return found

    def _ident(self, node: Ident) -> Type:
        if node.name in self.scope:
            return self.scope[node.name]
        if node.name in TYPES:
            return TYPE
        raise self.wrong(node.at, f"there is no {node.name}")

    def _select(self, node: Select) -> Type:
        name = qualified(node)
        if name in TYPES and root(name) not in self.scope:
            return TYPE
        of = self.whole(self.check(node.of))
        inside = of.of[0] if of.name == "optional_type" else of
        found = self._field(node, inside)
        if node.test:
            return BOOL
        return optional_of(found) if (node.optional or of is not inside) else found

    def _field(self, node: Select, of: Type) -> Type:
        of = self.whole(of)
        if of.name == "dyn" or len(of.name) == 1 or "$" in of.name:
            return DYN
        if of.name == "map":
            return of.of[1]
        if of.fields is not None:
            if node.field not in of.fields and node.field in RESERVED and f"__{node.field}__" in of.fields:
                # the API server takes a word of the language for the field as well, from Kubernetes 1.36 on
                node.field = f"__{node.field}__"
            if node.field not in of.fields:
                raise self.wrong(node.at, f"there is no field {node.field}")
            return of.fields[node.field]
        raise self.wrong(node.at, f"{of} has no fields")

    def _part(self, node: Node, optional: bool) -> Type:
        found = self.whole(self.check(node))
        if not optional:
            return found
        if found.name == "optional_type":
            return found.of[0]
        if found.name == "dyn":
            return DYN
        raise self.wrong(node.at, f"must be an optional value, not {found}")

    def _joined(self, at: int, types: Sequence[Type]) -> Type:
        """The one type of all elements of a literal; without any, one that is found later."""
        known = [one for one in types if one.name != "dyn"]
        if not known:
            return DYN if types else self._fresh()
        for one in known[1:]:
            if (one.name == "null_type") is not (known[0].name == "null_type") or not self._assign(known[0], one):
                if self._mixed:
                    return DYN
                raise self.wrong(at, f"has elements of several types: {self.whole(known[0])}, {self.whole(one)}")
        if len(known) < len(types):
            if self._mixed:
                return DYN
            raise self.wrong(at, f"has elements of several types: {self.whole(known[0])}, dyn; put them in dyn()")
        return known[0]

    def _entries(self, node: Entries) -> Type:
        keys = [self.check(key) for key, _value, _optional in node.entries]
        for (key, _value, _optional), found in zip(node.entries, keys):
            if self.whole(found).name not in ("dyn", "bool", "int", "uint", "string"):
                raise self.wrong(key.at, f"{self.whole(found)} cannot be the key of a map")
        values = [self._part(value, optional) for _key, value, optional in node.entries]
        return map_of(self._joined(node.at, keys), self._joined(node.at, values))

    # --- Functions

    def _call(self, node: Call) -> Type:
        name, given = function_of(node, self.scope, self.functions)
        found = [self._argument(node, argument) for argument in given]
        member = node.member and len(given) == len(node.arguments)
        results: list[Type] = []
        for overload in self.functions.get(name, ()):
            result = self._applied(overload, found) if overload.member is member else None
            if result is not None and result not in results:
                results.append(result)
        if not results:
            shown = ", ".join(str(self.whole(one)) for one in found)
            what = f"there is no function {name}" if name not in self.functions else f"{name} does not take ({shown})"
            raise self.wrong(node.at, what)
        return results[0] if len(results) == 1 else DYN

    def _argument(self, node: Call, argument: Node) -> Type:
        # what a text is filled with may be of several types
        if node.name == "format" and isinstance(argument, Items):
            self._mixed = True
            try:
                return self.check(argument)
            finally:
                self._mixed = False
        return self.check(argument)

    def _applied(self, overload: Overload, found: Sequence[Type]) -> Type | None:
        """The result where an overload takes the arguments."""
        if len(overload.arguments) != len(found):
            return None
        before = dict(self._bound)
        self._count += 1
        wanted = [self._renamed(one) for one in overload.arguments]
        if all(self._assign(one, other) for one, other in zip(wanted, found)):
            return self.whole(self._renamed(overload.result))
        self._bound = before
        return None

    def _renamed(self, one: Type) -> Type:
        if len(one.name) == 1:
            return Type(f"{one.name}${self._count}")
        return one._replace(of=tuple(self._renamed(inner) for inner in one.of)) if one.of else one

    def _fresh(self) -> Type:
        self._count += 1
        return Type(f"T${self._count}")

    def whole(self, one: Type) -> Type:
        """A type with everything put in that is known by now."""
        while one.name in self._bound:
            one = self._bound[one.name]
        return one._replace(of=tuple(self.whole(inner) for inner in one.of)) if one.of else one

    def _assign(self, wanted: Type, found: Type) -> bool:
        """Whether a value of one type can be where another is wanted; what is open in them is fixed by it."""
        if wanted == found:
            return True
        if "$" in wanted.name:
            return self._fix(wanted.name, found)
        if "$" in found.name:
            return self._fix(found.name, wanted)
        if "dyn" in (wanted.name, found.name):
            return True
        if "null_type" in (wanted.name, found.name):
            other = found if wanted.name == "null_type" else wanted
            return other.fields is not None or "." in other.name or other.name == "optional_type"
        if wanted.name != found.name or len(wanted.of) != len(found.of) or wanted.fields != found.fields:
            return False
        return all(map(self._assign, wanted.of, found.of))

    def _fix(self, name: str, other: Type) -> bool:
        """Fixes what was open; of two types that can be in each other's place the more general one counts."""
        other = self.whole(other)
        if name not in self._bound:
            if _holds(other, name):
                return other.name == name
            self._bound[name] = other
            return True
        bound = self._bound[name]
        if not self._assign(bound, other):
            return False
        bound, other = self.whole(bound), self.whole(other)
        if not _is_as_general(bound, other):
            self._bound[name] = other
        return True

    # --- Macros

    def _macro(self, node: Macro) -> Type:
        over = self.whole(self.check(node.over))
        if node.name in ("optMap", "optFlatMap"):
            return self._optional_macro(node, over)
        types = self._elements(node, over)
        before = self.scope
        self.scope = {**before, **dict(zip(node.variables, types))}
        try:
            return self._macro_result(node, over)
        finally:
            self.scope = before

    def _elements(self, node: Macro, over: Type) -> tuple[Type, ...]:
        """The types of a macro's variables."""
        if over.name == "dyn" or "$" in over.name:
            return (DYN, DYN)
        if over.name == "list":
            return (INT, over.of[0]) if len(node.variables) == 2 else (over.of[0],)
        if over.name == "map" and node.name != "sortBy":
            return (over.of[0], over.of[1])
        raise self.wrong(node.at, f"{node.name} is not there for {over}")

    def _macro_result(self, node: Macro, over: Type) -> Type:
        *conditions, last = node.parts
        for condition in conditions:
            self._want(condition, BOOL)
        if node.name in ("all", "exists", "exists_one"):
            self._want(last, BOOL)
            return BOOL
        if node.name == "filter":
            self._want(last, BOOL)
            return list_of(over.of[0] if over.of else DYN)
        found = self.check(last)
        if node.name in ("map", "transformList"):
            return list_of(found)
        if node.name == "transformMap":
            return map_of(over.of[0] if over.name == "map" else INT if over.name == "list" else DYN, found)
        if node.name == "transformMapEntry":
            entry = self.whole(found)
            if entry.name not in ("map", "dyn"):
                raise self.wrong(last.at, f"must be a map, not {entry}")
            return entry if entry.name == "map" else map_of(DYN, DYN)
        return over if over.name == "list" else list_of(DYN)

    def _optional_macro(self, node: Macro, over: Type) -> Type:
        if over.name not in ("optional_type", "dyn"):
            raise self.wrong(node.at, f"{node.name} is there for optional values, not for {over}")
        before = self.scope
        self.scope = {**before, node.variables[0]: over.of[0] if over.of else DYN}
        try:
            found = self.whole(self.check(node.parts[0]))
        finally:
            self.scope = before
        if node.name == "optMap":
            return optional_of(found)
        if found.name not in ("optional_type", "dyn"):
            raise self.wrong(node.parts[0].at, f"must be an optional value, not {found}")
        return found


def _is_as_general(one: Type, other: Type) -> bool:
    if one.name == "dyn" or one == other:
        return True
    return one.name == other.name and len(one.of) == len(other.of) and all(map(_is_as_general, one.of, other.of))


def _holds(one: Type, name: str) -> bool:
    return one.name == name or any(_holds(inner, name) for inner in one.of)


def function_of(node: Call, scope: Mapping[str, object], functions: Functions) -> tuple[str, Sequence[Node]]:
    """The function that a call names, and its arguments: `sets.contains(a, b)` is called on nothing."""
    if node.member:
        left = qualified(node.arguments[0])
        name = f"{left}.{node.name}"
        if left and root(left) not in scope and name in functions:
            return name, node.arguments[1:]
    return node.name, node.arguments

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Expressions that are ready to be asked, and their evaluation within bounds.

Source of the rules: the CEL language definition, "Evaluation".  As there, && and || and the macros all and exists
answer where a part that decides is there, whatever errors the others have.  The API server bounds the cost of an
expression by units of its own; here it is steps, of which there are as many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel import _kubernetes, _standard
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._check import (
    TYPES,
    Checker,
    function_of,
    qualified,
    root,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import (
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
    parse,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    NONE,
    BadValue,
    EvaluationError,
    Functions,
    NoOverload,
    NullField,
    Optional,
    OverLimit,
    Type,
    define,
    fits,
    from_key,
    key_of,
    name_of,
)

#: An evaluation that takes more steps than this is given up.
MAX_STEPS = 1_000_000

#: What functions there are: the standard ones and those of Kubernetes.
FUNCTIONS: Functions = {
    name: [*_standard.TABLE.get(name, ()), *_kubernetes.TABLE.get(name, ())]
    for name in (*_standard.TABLE, *_kubernetes.TABLE)
}

#: Calls whose arguments are not all evaluated.  Their types are here, what they do is in _Evaluation.
_LAZY: Functions = {}
for _signature in (
    "_?_:_(bool, A, A) -> A",
    ".or(optional(A), optional(A)) -> optional(A)",
    ".orValue(optional(A), A) -> A",
):
    define(_LAZY, _signature)(lambda *_arguments: None)


class Budget:
    """How much may be evaluated yet."""

    def __init__(self, deadline: float = float("inf"), steps: int = MAX_STEPS) -> None:
        self._deadline = deadline
        self._left = steps
        self._look = steps

    def spend(self, steps: int) -> None:
        """
        Raises:
            OverLimit: nothing is left.
        """
        self._left -= steps
        if self._left < 0:
            raise OverLimit("takes too many steps")
        if self._left < self._look:
            self._look = self._left - 5_000
            if time.monotonic() > self._deadline:
                raise OverLimit("takes too long")


class Program:
    """An expression that was read and whose types are known."""

    def __init__(self, text: str, variables: Mapping[str, Type]) -> None:
        """
        Raises:
            CompileError: it is no expression, or its types are wrong.
        """
        self.text = text
        self._root = parse(text)
        checker = Checker({**FUNCTIONS, **_LAZY}, variables)
        try:
            #: the type of its value
            self.type = checker.whole(checker.check(self._root))
            nodes = list(_nodes(self._root))
        except RecursionError as error:
            raise CompileError("is nested too deeply") from error
        self._names = {node.name for node in nodes if isinstance(node, Ident)}
        for node in nodes:
            if isinstance(node, Call):
                _check_literals(node)

    def uses(self, variable: str) -> bool:
        """Whether it names a variable."""
        return variable in self._names

    def evaluate(self, values: Mapping[str, Any], budget: Budget) -> Any:
        """Its value, where the variables have these values; a function without arguments gives its own when asked.

        Raises:
            EvaluationError: it has none.
            OverLimit: it takes too long.
        """
        try:
            return _Evaluation(values, budget).of(self._root)
        except RecursionError as error:
            raise OverLimit("is nested too deeply") from error


#: Functions whose argument, where it is written down, shows that they would fail: its place.
_SEEN_THROUGH = {
    **dict.fromkeys(("matches", "find", "findAll"), 1),
    **dict.fromkeys(("int", "uint", "double", "bool", "string", "duration", "timestamp"), 0),
}


def _check_literals(node: Call) -> None:
    """
    Raises:
        CompileError: the call would fail whatever it is asked about, and so the API server does not take it.
    """
    where = f"character {node.at + 1}: {node.name}"
    place = _SEEN_THROUGH.get(node.name)
    if place is not None and len(node.arguments) > place:
        argument = node.arguments[place]
        if isinstance(argument, Literal):
            arguments = ("", argument.value) if place else (argument.value,)
            try:
                _run(node.name, node.member, arguments)
            except EvaluationError as error:
                raise CompileError(f"{where}: {error}") from error
    if node.name == "format" and isinstance(node.arguments[0], Literal) and isinstance(node.arguments[-1], Items):
        wanted, given = _standard.count_clauses(str(node.arguments[0].value)), len(node.arguments[-1].items)
        if wanted != given and not any(optional for _item, optional in node.arguments[-1].items):
            raise CompileError(f"{where}: the text wants {wanted} values, not {given}")


def _run(name: str, member: bool, arguments: Sequence[Any]) -> Any:
    """The value of a function that is there for these arguments.

    Raises:
        EvaluationError: it has none.
    """
    for overload in FUNCTIONS[name]:
        if (
            overload.member is member
            and len(overload.arguments) == len(arguments)
            and all(map(fits, arguments, overload.arguments))
        ):
            try:
                return overload.run(*arguments)
            except (ValueError, ArithmeticError) as error:
                # numbers beyond what Python converts
                raise EvaluationError(f"{name}: {error}") from error
    raise NoOverload(f"no such overload: {name} does not take ({', '.join(map(name_of, arguments))})")


def _nodes(node: Node) -> Iterator[Node]:
    """A node and everything in it."""
    todo = [node]
    while todo:
        one = todo.pop()
        yield one
        if isinstance(one, Select):
            todo.append(one.of)
        elif isinstance(one, Call):
            todo += one.arguments
        elif isinstance(one, Logic):
            todo += one.parts
        elif isinstance(one, Items):
            todo += [item for item, _optional in one.items]
        elif isinstance(one, Entries):
            todo += [part for key, value, _optional in one.entries for part in (key, value)]
        elif isinstance(one, Macro):
            todo += [one.over, *one.parts]


class Lazy:
    """A variable whose value is made when it is asked for, once; its error is its value as well."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._value: Any = None
        self._error: EvaluationError | None = None
        self._known = False

    def get(self) -> Any:
        """
        Raises:
            EvaluationError: it has no value.
        """
        if not self._known:
            try:
                self._value = self._make()
            except EvaluationError as error:
                self._error = error
            self._known = True
        if self._error is not None:
            raise self._error
        return self._value


class _Evaluation:
    """One evaluation."""

    def __init__(self, values: Mapping[str, Any], budget: Budget) -> None:
        self.values = dict(values)
        self.budget = budget

    def of(self, node: Node) -> Any:
        """The value of a part."""
        self.budget.spend(1)
        return _EVALUATE[type(node)](self, node)

    def literal(self, node: Literal) -> Any:
        return node.value

    def ident(self, node: Ident) -> Any:
        if node.name in self.values:
            return self.plain(self.values[node.name])
        return Type(TYPES[node.name].name)

    def plain(self, found: Any) -> Any:
        """What a variable or element is; data that its schema does not take is an error once it is looked at."""
        if isinstance(found, Lazy):
            return found.get()
        if isinstance(found, BadValue):
            raise EvaluationError(found.message)
        return found

    def truth(self, node: Node) -> bool:
        found = self.of(node)
        if type(found) is not bool:
            raise NoOverload(f"no such overload: {name_of(found)} is neither true nor false")
        return found

    def logic(self, node: Logic) -> bool:
        failed: EvaluationError | None = None
        for part in node.parts:
            try:
                if self.truth(part) is node.decides:
                    return node.decides
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not node.decides

    def select(self, node: Select) -> Any:
        name = qualified(node)
        if name in TYPES and root(name) not in self.values:
            return Type(name)
        of = self.of(node.of)
        is_optional = type(of) is Optional
        if is_optional:
            if not of.there:
                return False if node.test else NONE
            of = of.value
        if node.test:
            return self.has(of, node.field)
        if not (node.optional or is_optional):
            return self.plain(_standard.field(of, node.field))
        return Optional(True, self.plain(_standard.field(of, node.field))) if self.has(of, node.field) else NONE

    def has(self, of: Any, field: str) -> bool:
        if isinstance(of, list):
            raise NoOverload("no such overload: a list has no fields")
        # as in the API server, what else has no fields has not this one either
        return isinstance(of, dict) and field in of and not isinstance(of[field], NullField)

    def call(self, node: Call) -> Any:
        if node.name in _LAZY:
            return self.lazy(node)
        name, given = function_of(node, self.values, FUNCTIONS)
        member = node.member and len(given) == len(node.arguments)
        arguments = [self.of(argument) for argument in given]
        self.pay(name, arguments)
        if name in ("_[_]", "_[?_]"):
            found = _standard.at(arguments[0], arguments[1], name == "_[?_]")
        else:
            found = _run(name, member, arguments)
        self.budget.spend(_cost(found))
        return self.plain(found)

    def pay(self, name: str, arguments: Sequence[Any]) -> None:
        """Spend what a call costs, before it is made."""
        self.budget.spend(sum(map(_cost, arguments)))
        if name in _LOOK_INSIDE:
            todo = list(arguments)
            while todo:
                one = todo.pop()
                if isinstance(one, (list, dict)):
                    self.budget.spend(len(one) // 4)
                    todo += [item for item in (one if isinstance(one, list) else one.values()) if _is_deep(item)]
                elif isinstance(one, Optional):
                    todo.append(one.value)
        if name.startswith("sets.") and all(isinstance(one, list) for one in arguments):
            self.budget.spend(len(arguments[0]) * len(arguments[1]) // 4)

    def lazy(self, node: Call) -> Any:
        if node.name == "_?_:_":
            condition, yes, no = node.arguments
            return self.of(yes if self.truth(condition) else no)
        found = self.of(node.arguments[0])
        if type(found) is not Optional:
            raise NoOverload(f"no such overload: {name_of(found)} is no optional value")
        if not found.there:
            return self.of(node.arguments[1])
        return found if node.name == "or" else found.value

    def items(self, node: Items) -> list[Any]:
        out: list[Any] = []
        for item, optional in node.items:
            found = self.of(item)
            if not optional:
                out.append(found)
            elif self.optional(found).there:
                out.append(found.value)
        return out

    def optional(self, found: Any) -> Optional:
        if type(found) is not Optional:
            raise NoOverload(f"no such overload: {name_of(found)} is no optional value")
        return found

    def entries(self, node: Entries) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key, value, optional in node.entries:
            name, found = key_of(self.of(key)), self.of(value)
            if optional:
                if not self.optional(found).there:
                    continue
                found = found.value
            out[name] = found
        return out

    # --- Macros

    def macro(self, node: Macro) -> Any:
        over = self.of(node.over)
        if node.name in ("optMap", "optFlatMap"):
            return self.optional_macro(node, self.optional(over))
        if node.name == "sortBy":
            keys = [self.of(node.parts[0]) for _element in self.each(node, over)]
            return _standard.sort_by(over, keys)
        if node.name in ("all", "exists"):
            return self.quantified(node, over, decides=node.name == "exists")
        if node.name == "exists_one":
            return sum(1 for _element in self.each(node, over) if self.truth(node.parts[0])) == 1
        if node.name.startswith("transformMap"):
            return self.transformed(node, over)
        return self.gathered(node, over)

    def each(self, node: Macro, over: Any) -> Iterator[tuple[Any, Any]]:
        """Goes through the elements with the macro's variables set: gives place or key, and element or value."""
        if isinstance(over, dict):
            pairs: Iterator[tuple[Any, Any]] = iter([(from_key(key), value) for key, value in over.items()])
        elif isinstance(over, list):
            pairs = enumerate(over)
        else:
            raise NoOverload(f"no such overload: {name_of(over)} has no elements")
        two = len(node.variables) == 2
        before = self.values
        try:
            for place, element in pairs:
                self.budget.spend(1)
                self.values = dict(before)
                if two:
                    self.values.update(zip(node.variables, (place, element)))
                else:
                    self.values[node.variables[0]] = place if isinstance(over, dict) else element
                yield place, element
        finally:
            self.values = before

    def quantified(self, node: Macro, over: Any, decides: bool) -> bool:
        failed: EvaluationError | None = None
        for _element in self.each(node, over):
            try:
                if self.truth(node.parts[0]) is decides:
                    return decides
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not decides

    def chosen(self, node: Macro) -> bool:
        return len(node.parts) == 1 or self.truth(node.parts[0])

    def gathered(self, node: Macro, over: Any) -> list[Any]:
        out: list[Any] = []
        for place, element in self.each(node, over):
            if node.name == "filter":
                if self.truth(node.parts[0]):
                    out.append(place if isinstance(over, dict) else self.plain(element))
            elif self.chosen(node):
                out.append(self.of(node.parts[-1]))
        return out

    def transformed(self, node: Macro, over: Any) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for place, _element in self.each(node, over):
            if not self.chosen(node):
                continue
            found = self.of(node.parts[-1])
            if node.name == "transformMap":
                out[key_of(place)] = found
                continue
            if not isinstance(found, dict):
                raise NoOverload(f"no such overload: {name_of(found)} is no map")
            for key, value in found.items():
                if key in out:
                    raise EvaluationError(f"insert failed: key {from_key(key)} already exists")
                out[key] = value
        return out

    def optional_macro(self, node: Macro, over: Optional) -> Optional:
        if not over.there:
            return NONE
        before = self.values
        self.values = {**before, node.variables[0]: over.value}
        try:
            found = self.of(node.parts[0])
        finally:
            self.values = before
        return Optional(True, found) if node.name == "optMap" else self.optional(found)


#: Functions that look at everything in their arguments, however deep it is and however often the same value is there.
_LOOK_INSIDE = frozenset(
    {
        *("_==_", "_!=_", "_in_", "indexOf", "lastIndexOf", "distinct", "flatten", "format", "join"),
        *("sets.contains", "sets.equivalent", "sets.intersects"),
    }
)


def _is_deep(value: Any) -> bool:
    return isinstance(value, (list, dict, Optional))


def _cost(value: Any) -> int:
    return len(value) // 10 if isinstance(value, (str, bytes, list, dict)) else 0


_EVALUATE: Mapping[type[Node], Callable[[_Evaluation, Any], Any]] = {
    Literal: _Evaluation.literal,
    Ident: _Evaluation.ident,
    Select: _Evaluation.select,
    Call: _Evaluation.call,
    Logic: _Evaluation.logic,
    Items: _Evaluation.items,
    Entries: _Evaluation.entries,
    Macro: _Evaluation.macro,
}

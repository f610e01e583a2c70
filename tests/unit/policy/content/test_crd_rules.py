# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The CEL rules of definitions: cases from the Kubernetes documentation, with the API server's own answers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd_rules, _schema
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PROHIBIT

from tests.unit.policy.content.content_jobs import job, object_at

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
KEYED = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
PRESERVED = {"x-kubernetes-preserve-unknown-fields": True}


def ruled(schema: dict[str, Any], *rules: str | dict[str, Any]) -> dict[str, Any]:
    found = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, "x-kubernetes-validations": found}


def thing(*rules: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    return ruled({"type": "object", "properties": fields}, *rules)


def listed(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def mapped(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values, **more}


def faults(spec: dict[str, Any], value: Any, old: Any = None, seconds: float = 60) -> list[tuple[str, str]]:
    def whole(inside: Any) -> dict[str, Any]:
        return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "x"}, "spec": inside}

    level = _crd_rules.level_of({"type": "object", "properties": {"spec": spec}})
    assert level is not None
    found = _schema.Faults()
    before = whole(old) if old is not None else None
    _crd_rules.check(level, whole(value), before, found, time.monotonic() + seconds)
    return [(show_path(one.path), one.message) for one in found.found]


FIELDS: dict[str, Any] = {
    "i": INTEGER,
    "s": STRING,
    "n": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "day": {"type": "string", "format": "date"},
    "span": {"type": "string", "format": "duration"},
    "bytes": {"type": "string", "format": "byte"},
    "either": {"x-kubernetes-int-or-string": True},
    "l": listed(INTEGER),
    "m": mapped(STRING),
    "set": listed(STRING, **{"x-kubernetes-list-type": "set"}),
    "keyed": listed({"type": "object", "properties": {"k": STRING, "v": INTEGER}}, **KEYED),
    "nothing": {"type": "string", "nullable": True},
    "foo-bar": INTEGER,
    "a.b": INTEGER,
    "a/b": INTEGER,
    "namespace": STRING,
    "x__y": INTEGER,
    "odd!": INTEGER,
    "open": {"type": "object", **PRESERVED},
    "any": PRESERVED,
    "pod": {"type": "object", "x-kubernetes-embedded-resource": True, **PRESERVED},
}
VALUES: dict[str, Any] = {
    "i": 3,
    "s": "x",
    "n": 2,
    "time": "2024-01-02T03:04:05Z",
    "day": "2024-01-02",
    "span": "1h",
    "bytes": "YWJj",
    "either": 5,
    "l": [1, 2],
    "m": {"a": "b"},
    "set": ["a", "b"],
    "keyed": [{"k": "a", "v": 1}, {"k": "b", "v": 2}],
    "nothing": None,
    "foo-bar": 1,
    "a.b": 2,
    "a/b": 3,
    "namespace": "n",
    "x__y": 4,
    "odd!": 5,
    "open": {"q": 1},
    "any": [1],
    "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}},
}


@pytest.mark.parametrize(
    "rule",
    [
        "self.i == 3 && self.n == 2.0 && self.s == 'x'",
        "self.time.getFullYear() == 2024 && self.day < self.time && self.span == duration('60m')",
        "self.bytes == b'abc'",
        "self.either == 5 && type(self.either) == int",
        "self.l.sum() == 3 && self.m.a == 'b' && 'a' in self.m",
        # sets and lists with keys are compared and added as what they are
        "self.set == ['b', 'a'] && (self.set + ['a', 'c']).size() == 3",
        "(self.keyed + self.keyed).size() == 2 && self.keyed.exists(one, one.k == 'a' && one.v == 1)",
        "!has(self.nothing) && !self.?nothing.hasValue()",
        # names that expressions cannot write are escaped
        "self.foo__dash__bar == 1 && self.a__dot__b == 2 && self.a__slash__b == 3 && self.x__underscores__y == 4",
        "self.__namespace__ == 'n' && self.namespace == 'n'",
        "self.pod.kind == 'Pod' && self.pod.metadata.name == 'p' && has(self.open) && self.open == self.open",
        "self == self",
    ],
)
def test_what_a_rule_sees(rule: str) -> None:
    assert faults(thing(rule, **FIELDS), VALUES) == []
    assert faults(thing(f"!({rule})", **FIELDS), VALUES) == [("spec", f"failed rule: !({rule})")]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("self.i == 'a'", "cannot be used"),
        ("self.i", "must be true or false, not int"),
        ("self.unknown == 1", "there is no field unknown"),
        ("has(self.unknown)", "there is no field unknown"),
        ("self.open.q == 1", "there is no field q"),
        ("has(self.any)", "there is no field any"),
        ("self.pod.metadata.labels == {}", "there is no field labels"),
        ("self.m.all(k, k > 1)", "cannot be used"),
        ("nosuch(self.i)", "there is no function nosuch"),
        ("self.s.matches('(')", "error parsing regexp"),
        ("self.i ==", "an expression is wanted"),
        ("self.l[9] == 1", "has no answer: index out of bounds"),
        ("1 / (self.i - 3) == 1", "has no answer: division by zero"),
        ("self.either.startsWith('x')", "has no answer: no such overload"),
        ("self.m.z == 'b'", "has no answer: no such key: z"),
        ("self.nothing == 'b'", "has no answer: no such key: nothing"),
        ("quantity(self.s) == quantity('1')", "has no answer"),
        ("oldSelf.unknown == 1", "cannot be used"),
    ],
)
def test_a_rule_without_an_answer_denies(rule: str, message: str) -> None:
    ((path, said),) = faults(thing(rule, **FIELDS), VALUES)
    assert path == "spec" and message in said and rule in said


@pytest.mark.parametrize("value", [{"i": "a"}, {"time": "2024-01-02t03:04:05z"}, {"span": "soon"}, {"bytes": "?"}])
def test_data_that_its_schema_does_not_take_has_no_answer(value: dict[str, Any]) -> None:
    (name,) = value
    ((_path, said),) = faults(thing(f"!has(self.{name}) || self.{name} == self.{name}", **FIELDS), value)
    assert "has no answer" in said


@pytest.mark.parametrize(("text", "seconds"), [("1d", 86400), ("1 day", 86400), ("1w2d", 777600), ("1h 30m", 5400)])
def test_spans_in_days_and_weeks(text: str, seconds: int) -> None:
    spec = thing(f"self.span == duration('{seconds}s')", **FIELDS)
    assert faults(spec, {"span": text}) == []


SAME = {"rule": "self == oldSelf", "message": "cannot be changed"}
CALM = {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True, "message": "changed"}
ONCE = {"rule": "oldSelf.hasValue()", "optionalOldSelf": True, "message": "new"}


@pytest.mark.parametrize(
    ("rule", "value", "old", "found"),
    [
        (SAME, "x", None, []),
        (SAME, "x", {}, []),
        (SAME, "x", {"a": "x"}, []),
        (SAME, "x", {"a": "y"}, ["cannot be changed"]),
        (CALM, "x", None, []),
        (CALM, "x", {"a": "x"}, []),
        (CALM, "x", {"a": "y"}, ["changed"]),
        (ONCE, "x", None, ["new"]),
        (ONCE, "x", {}, ["new"]),
        (ONCE, "x", {"a": "y"}, []),
    ],
)
def test_what_was_there_before(rule: dict[str, Any], value: str, old: Any, found: list[str]) -> None:
    spec = {"type": "object", "properties": {"a": ruled(STRING, rule)}}
    assert faults(spec, {"a": value}, old) == [("spec.a", message) for message in found]


RISES = "self.v >= oldSelf.v"


@pytest.mark.parametrize(
    ("field", "value", "old", "paths"),
    [
        # elements are told apart by their keys, wherever they are
        (
            listed(thing(RISES, k=STRING, v=INTEGER), **KEYED),
            [{"k": "a", "v": 1}, {"k": "b", "v": 5}, {"k": "c", "v": 0}],
            [{"k": "b", "v": 6}, {"k": "a", "v": 0}],
            ["spec.a[1]"],
        ),
        # elements of other lists are not told apart
        (listed(thing(RISES, v=INTEGER)), [{"v": 1}], [{"v": 2}], []),
        (mapped(ruled(INTEGER, "self >= oldSelf")), {"a": 1, "b": 2}, {"a": 2, "c": 9}, ["spec.a.a"]),
        (
            ruled(listed(STRING), "oldSelf.all(one, one in self)"),
            ["a"],
            ["a", "b"],
            ["spec.a"],
        ),
    ],
)
def test_parts_that_were_there_before(field: dict[str, Any], value: Any, old: Any, paths: list[str]) -> None:
    spec = {"type": "object", "properties": {"a": field}}
    assert [path for path, _message in faults(spec, {"a": value}, {"a": old})] == paths


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({}, ("spec", "failed rule: self.a > 1")),
        ({"message": " plain "}, ("spec", "plain")),
        ({"message": "plain", "messageExpression": "'a is ' + string(self.a)"}, ("spec", "a is 1")),
        ({"message": "plain", "messageExpression": "string(1 / (self.a - 1))"}, ("spec", "plain")),
        ({"message": "plain", "messageExpression": "' '"}, ("spec", "plain")),
        ({"message": "plain", "messageExpression": r"'x\ny'"}, ("spec", "plain")),
        ({"message": "plain", "messageExpression": "self.a"}, ("spec", "plain")),
        ({"message": "plain", "messageExpression": "nosuch"}, ("spec", "plain")),
        ({"message": "plain", "fieldPath": ".a"}, ("spec.a", "plain")),
        ({"message": "plain", "fieldPath": ".m['k']"}, ("spec.m.k", "plain")),
        ({"message": "plain", "fieldPath": ".nope"}, ("spec", "plain")),
    ],
)
def test_messages_and_places(rule: dict[str, Any], found: tuple[str, str]) -> None:
    assert faults(thing({"rule": "self.a > 1", **rule}, a=INTEGER, m=mapped(INTEGER)), {"a": 1}) == [found]


def test_null_is_judged_by_what_is_around_it() -> None:
    items = ruled({**STRING, "nullable": True}, "self == 'a'")
    rule = "self.l.exists(one, type(one) == null_type)"
    spec = thing(rule, l=listed(items))
    assert faults(spec, {"l": ["a", None, "b"]}) == [("spec.l[2]", "failed rule: self == 'a'")]
    assert faults(spec, {"l": ["a"]}) == [("spec", f"failed rule: {rule}")]


def test_rules_in_all_of_and_where_expressions_do_not_see() -> None:
    rule = "self.a > 1"
    spec = {**thing("true", a=INTEGER), "allOf": [{"x-kubernetes-validations": [{"rule": rule}]}]}
    assert faults(spec, {"a": 1}) == [("spec", f"failed rule: {rule}")]
    assert faults(thing("true", a=ruled(PRESERVED, "false")), {"a": 1}) == []
    assert faults(thing("true", a=ruled(listed(PRESERVED), "false")), {"a": [1]}) == []
    found = _schema.Faults()
    level = _crd_rules.level_of(ruled({"type": "object"}, "self.metadata.name == 'y' && self.kind == 'W'"))
    assert level is not None
    _crd_rules.check(level, {"kind": "W", "metadata": {"name": "x"}}, None, found, time.monotonic() + 60)
    assert len(found.found) == 1


def test_defaults_are_filled_in_before() -> None:
    spec = thing("self.a == 5", a={**INTEGER, "default": 5})
    assert faults(spec, {}) == []
    assert faults(thing("self.a == oldSelf.a", a={**INTEGER, "default": 5}), {"a": 5}, {}) == []


def test_what_takes_too_long_denies() -> None:
    spec = thing("self.l.all(x, self.l.all(y, self.l.all(z, x + y + z >= 0)))", l=listed(INTEGER))
    ((_path, said),) = faults(spec, {"l": [1] * 500})
    assert "takes too many steps" in said
    ((_path, said),) = faults(spec, {"l": [1] * 500}, seconds=-1)
    assert "takes too long" in said


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": thing("self.size >= oldSelf.size", size=INTEGER)},
                    }
                },
            }
        ],
    },
}


def widget(size: int, name: str = "x", version: str = "v1") -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": f"example.org/{version}", "kind": "Widget", "metadata": meta, "spec": {"size": size}}


@pytest.mark.parametrize(
    ("new", "old", "found"),
    [
        (widget(1), None, []),
        (widget(3), widget(2), []),
        (widget(1), widget(2), ["spec: failed rule: self.size >= oldSelf.size"]),
        (widget(1), widget(2, version="v1beta1"), ["spec: failed rule: self.size >= oldSelf.size"]),
        (widget(1), widget(2, "other"), []),  # another object that was written there
    ],
)
def test_the_schema_check_asks_them(new: dict[str, Any], old: dict[str, Any] | None, found: list[str]) -> None:
    at = object_at(new)._replace(old=old)
    (said,) = _schema.check([job("schema", {}, [at], everything=[object_at(DEFINITION)])])
    assert [one.message for one in said] == found
    assert all(one.severity == PROHIBIT for one in said)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Custom resources against structural schemas, as the page on CustomResourceDefinitions describes them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd, _schema
from hypothesis import given, settings
from hypothesis import strategies as st


def definition(spec: Any, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Widget", "plural": "widgets"}
    whole = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version], **more}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": whole}


def faults(schema: str, value: Any) -> list[str]:
    """What is wrong with a value under the field spec; schema in YAML."""
    (found,) = _crd.definitions([definition(yaml.safe_load(schema))])["example.org/v1/Widget"]
    assert not found.wrong, found.wrong
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": value}
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in validated(widget, found)]


def validated(widget: dict[str, Any], found: _crd.Definition) -> list[_schema.Fault]:
    return _schema.validate(widget, custom=lambda _name: (found.node, found.namespaced))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ("{type: string}", ["", "x"], [1, True, [], {}, 1.5]),
        ("{type: integer}", [1, -1, 1.0], ["1", 1.5, True]),
        ("{type: number}", [1, 1.5], ["1", False]),
        ("{type: boolean}", [True, False], ["true", 0]),
        ("{type: array, items: {type: string}}", [[], ["a"]], [["a", 1], {}, "a"]),
        ("{type: object}", [{}], [{"unknown": 1}, []]),
        ("{type: object, x-kubernetes-preserve-unknown-fields: true}", [{"any": 1}], ["x"]),
        ("{x-kubernetes-preserve-unknown-fields: true}", [{"any": 1}, 1, "x"], []),
        ("{type: object, additionalProperties: {type: integer}}", [{"a": 1}], [{"a": "x"}]),
        ("{type: object, additionalProperties: true}", [{"a": 1, "b": "x"}], []),
        ("{type: object, additionalProperties: false}", [{}], [{"a": 1}]),
        ("{x-kubernetes-int-or-string: true}", [1, "50%"], [True, 1.5, {}]),
        (
            "{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}], pattern: '^[0-9]+%$'}",
            [1, "50%"],
            ["50", []],
        ),
        ("{type: string, enum: [a, b]}", ["a"], ["c", ""]),
        ("{type: integer, enum: [1, 2]}", [1, 2.0], [3]),
        ("{type: string, pattern: '^a+$'}", ["aa"], ["ab"]),
        ("{type: string, minLength: 2, maxLength: 3}", ["éé", "abc"], ["é", "abcd"]),
        ("{type: integer, minimum: 1, maximum: 3}", [1, 3], [0, 4]),
        ("{type: integer, minimum: 1, exclusiveMinimum: true}", [2], [1]),
        ("{type: number, maximum: 3, exclusiveMaximum: true}", [2.9], [3]),
        ("{type: integer, multipleOf: 3}", [0, 9], [4]),
        ("{type: array, minItems: 1, maxItems: 2, items: {type: integer}}", [[1]], [[], [1, 2, 3]]),
        ("{type: object, minProperties: 1, additionalProperties: true}", [{"a": 1}], [{}]),
        ("{type: array, x-kubernetes-list-type: set, items: {type: string}}", [["a", "b"]], [["a", "a"]]),
        (
            "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k, p], items: {type: object, "
            "properties: {k: {type: string}, p: {type: string, default: TCP}}}}",
            [[{"k": "a"}, {"k": "a", "p": "UDP"}]],
            [[{"k": "a"}, {"k": "a", "p": "TCP"}]],
        ),
        ("{type: object, required: [a], properties: {a: {type: string}}}", [{"a": ""}], [{}, {"a": None}]),
        ("{type: object, required: [a], properties: {a: {type: string, nullable: true}}}", [{"a": None}], [{}]),
        ("{type: object, required: [a], properties: {a: {type: string, default: x}}}", [{}], [{"a": 1}]),
        (
            "{type: object, properties: {t: {type: string, default: ip}, v: {type: string}}, oneOf: ["
            "{properties: {t: {enum: [ip]}, v: {format: ipv4}}}, {properties: {t: {not: {enum: [ip]}}}}]}",
            [{"v": "10.0.0.1"}, {"t": "ip", "v": "10.0.0.1"}, {"t": "name", "v": "x"}, {"t": None, "v": "10.0.0.1"}],
            [{"v": "x"}, {"t": "ip", "v": "x"}],
        ),
        (
            "{type: object, properties: {a: {type: object, default: {}, required: [b],"
            " properties: {b: {type: string, default: x}}}}, not: {properties: {a: {properties: {b: {enum: [x]}}}}}}",
            [{"a": {"b": "y"}}],
            [{}, {"a": {}}, {"a": None}, {"a": {"b": None}}, {"a": {"b": "x"}}],
        ),
        (
            "{type: object, additionalProperties: {type: object, anyOf: [{required: [k]}],"
            " properties: {k: {type: string, default: x}}}}",
            [{"any": {}}, {"any": {"k": "y"}}],
            [{"any": {"k": 1}}],
        ),
        (
            "{type: array, items: {type: object, properties: {n: {type: integer, nullable: true, default: 1}},"
            " anyOf: [{properties: {n: {enum: [1]}}, required: [n]},"
            " {properties: {n: {nullable: true, enum: [null]}}}]}}",
            [[{}], [{"n": 1}]],
            [[{"n": 2}], [{"n": None}]],
        ),
        ("{type: object, properties: {a: {type: string}}}", [{"a": None}], []),
        (
            "{type: string, format: date-time}",
            ["2026-01-31T00:00:00Z", "2026-01-31t00:00:00.5z", "2026-01-31T00:00:00+01:00"],
            ["2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", ""],
        ),
        ("{type: string, format: date}", ["2026-01-31"], ["2026-02-30", "20260131"]),
        (
            "{type: string, format: duration}",
            ["90s", "1h30m", "1 day", "0", "-1.5h", "3wk", "2 Weeks", "5\u03bcs", "5.h"],
            ["", "x", "10", "5 parsecs", "P1Y", f"{2**63}s"],
        ),
        ("{type: string, format: ipv4}", ["10.0.0.1"], ["::1", "10.0.0.256", "10.0.0.0/8"]),
        ("{type: string, format: ipv6}", ["::1", "::ffff:1.2.3.4"], ["10.0.0.1", "fe80::1%eth0", "::1/64"]),
        ("{type: string, format: cidr}", ["10.0.0.1/8", "::/0"], ["10.0.0.1", "10.0.0.0/33", "10.0.0.0/255.0.0.0"]),
        ("{type: string, format: uuid}", ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
        (
            "{type: string, format: uuid4}",
            ["123E4567e89b42d3a456426614174000"],
            ["123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-42d3-c456-426614174000"],
        ),
        (
            "{type: string, format: mac}",
            ["00:11:22:33:44:55", "00-11-22-33-44-55", "0011.2233.4455", "02:00:5e:10:00:00:00:01"],
            ["00:11", "00:11-22:33:44:55", "00:11:22:33:44:55:66"],
        ),
        ("{type: string, format: byte}", ["aGk="], ["a-b", "", "aGk=\n", "aGk", "xaGk="]),
        (
            "{type: string, format: uri}",
            ["http://a/b?c", "/a", "mailto:a", "/a?q=50%", "http://a:80/", "postgres://a:1,b:2/x", f"/{'a' * 2000}"],
            ["a", "", "http://a b", "://", "http://a:b/", "http://a:1:2/", "http://a#b", "/a%"],
        ),
        (
            "{type: string, format: email}",
            ["a@example.org", "a.b+c@d", '"a b"@c.d', "Ann Other <a@example.org>", "a@[10.0.0.1]"],
            ["a", "a@", "a@b.", "a..b@c", "a@b, c@d", "<a@b"],
        ),
        ("{type: string, format: hexcolor}", ["#fff", "A0b1C2"], ["#ff", "red", "#ggg"]),
        ("{type: string, format: rgbcolor}", ["rgb(0,128,255)", "rgb( 1 , 2 , 3 )"], ["rgb(0,0,256)", "rgb(1,2)"]),
        ("{type: string, format: ssn}", ["078-05-1120"], ["078051120", "78-05-1120"]),
        ("{type: string, format: isbn10}", ["0321751043", "0-8044-2957-X"], ["0321751044", "978-0321751041"]),
        ("{type: string, format: isbn13}", ["978-0321751041"], ["978-0321751042", "0321751043"]),
        ("{type: string, format: isbn}", ["0321751043", "978-0321751041"], ["", "1"]),
        (
            "{type: string, format: creditcard}",
            ["4111 1111-1111 1111", "378282246310005", "30569309025904"],
            ["4111111111111112", "1111111111111117", "", "411111111111111"],
        ),
        ("{type: string, format: bsonobjectid}", ["507f1f77bcf86cd799439011"], ["507f1f77bcf86cd79943901", "x" * 24]),
        ("{type: string, format: ip-v4}", ["10.0.0.1"], ["x"]),
        (
            "{type: string, format: uri}",
            ["http://[::1]/x", "http://[::1]", "http://u:p@[fe80::1%25eth0]:80?x", "http://[::ffff:1.2.3.4]:8080/a[b]"],
            ["http://[::1", "http://[a]/x", "http://a[::1]/x", "http://[::1]x/", "http://[::1]:x/", "http://[::1] /"],
        ),
        (
            "{type: string, format: hostname}",
            ["a.example.org", "localhost", "a-b.c-d.org", "a-b"],
            ["-a", "a..org", "a.example.org.", "10.0.0.1", "a_b.org", "my-host"],
        ),
        ("{type: string, format: k8s-short-name}", ["a-1"], ["A", "a.b", "-a"]),
        ("{type: string, format: k8s-long-name}", ["a-1.b", "a" * 253], ["A", "a..b", "a" * 254]),
        (
            "{type: object, minProperties: 2, properties: {a: {type: string}}, additionalProperties: {type: string}}",
            [{"a": "x", "b": "y"}],
            [{"a": None, "b": "x"}, {"a": "x", "b": None}],
        ),
        (
            "{type: object, properties: {a: {type: string, nullable: true}}, allOf: [{required: [a]}]}",
            [{"a": None}, {"a": "x"}],
            [{}],
        ),
        ("{type: object, additionalProperties: {type: string, default: x}, maxProperties: 1}", [{"a": None}], []),
        ("{type: array, items: {type: string, default: x}}", [[None, "a"]], [[1]]),
        ("{type: integer, format: int32}", [2**31 - 1], [2**31, 10**400]),
        ("{type: integer}", [2**63 - 1, 1e17], [2**63, 1e20]),
        ("{x-kubernetes-int-or-string: true}", [5, "5%"], [2**63]),
        ("{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}", [5, "a"], [True, 1.5]),
        ("{x-kubernetes-int-or-string: true, anyOf: [{enum: [5]}, {enum: [a]}]}", [5, "a"], [1, "b"]),
        ("{type: number, format: int32}", [2**31, 0.5], ["1"]),
        ("{type: number, format: float}", [3e38, -1], [4e38, -4e38]),
        ("{type: number}", [1e300], [float("inf"), float("nan")]),
        ("{type: integer, multipleOf: 0.5}", [], [1, 2]),
        ("{type: integer, minimum: 0.5}", [], [1]),
        ("{type: integer, maximum: 3000000000}", [1], [3000000001]),
        ("{type: integer, format: int32, maximum: 3000000000}", [], [1]),
        ("{type: number, multipleOf: 0.5}", [0.5, 1.5], [0.75, 1, 2.0, 10**400]),
        ("{type: number, multipleOf: 2.5}", [10], [5, 4]),
        ("{type: number, multipleOf: 0}", [], [1, 0.5]),
        ("{type: number, multipleOf: .inf}", [], [1, 0.5]),
        ("{type: number, multipleOf: .nan}", [], [1, 0.5]),
        ("{type: array, items: {type: string, nullable: true, enum: [a, null]}}", [["a"]], [[None], ["b"]]),
        ("{type: string, format: made-up}", ["anything"], []),
        ("{type: integer, allOf: [{minimum: 2}, {maximum: 4}]}", [3], [1, 5]),
        ("{type: integer, anyOf: [{minimum: 4}, {maximum: 2}]}", [1, 5], [3]),
        ("{type: integer, oneOf: [{minimum: 2}, {maximum: 4}]}", [1, 5], [3]),
        ("{type: string, not: {enum: [a]}}", ["b"], ["a"]),
        (
            "{type: object, properties: {a: {type: string}, b: {type: string}}, "
            "oneOf: [{required: [a]}, {required: [b]}]}",
            [{"a": "x"}, {"b": "x"}],
            [{}, {"a": "x", "b": "x"}, {"a": "x", "c": 1}],
        ),
        (
            "{type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}",
            [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}],
            [
                {"kind": "Pod"},
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"nam": "x"}},
                {"apiVersion": "", "kind": "Pod"},
                {"apiVersion": "a/b/c", "kind": "Pod"},
                {"apiVersion": "v1", "kind": "a pod"},
            ],
        ),
    ],
)
def test_schemas(schema: str, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if faults(schema, value)] == []
    assert [value for value in bad if not faults(schema, value)] == []


def test_unknown_fields_are_kept_only_where_the_schema_says_so() -> None:
    schema = "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: object}}}"
    assert faults(schema, {"b": 1}) == []
    assert faults(schema, {"a": {"c": 1}}) == ["spec.a.c: unknown field"]


def test_metadata_is_always_an_object_s_own() -> None:
    (found,) = _crd.definitions([definition({"type": "object"})])["example.org/v1/Widget"]
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w", "label": {}}}
    assert [fault.message for fault in validated(widget, found)] == ["unknown field (did you mean labels?)"]


def test_a_pattern_made_to_be_slow_is_not() -> None:
    assert faults("{type: string, pattern: '^(a+)+$'}", "a" * 5000 + "!") == [
        "spec: does not match the pattern ^(a+)+$"
    ]


@pytest.mark.parametrize("element", [{}, None])
@pytest.mark.parametrize("default", [[1] * 2000, {"a": {"b": [1] * 2000}}])
def test_defaults_made_to_multiply_are_bounded(element: Any, default: Any) -> None:
    schema = {
        "type": "object",
        "properties": {
            "l": {
                "type": "array",
                "items": {
                    "type": "object",
                    "default": {},
                    "properties": {"x": {"x-kubernetes-preserve-unknown-fields": True, "default": default}},
                },
            }
        },
    }
    text = yaml.safe_dump(schema)
    assert faults(text, {"l": [element] * 10}) == []
    (fault,) = faults(text, {"l": [element] * 2000})
    assert "cannot be judged" in fault and "100000 values" in fault
    given = {"l": [{"x": default}] * 60}
    assert faults(text, given) == []  # what is written out is bounded as any other file is


def test_a_pattern_that_cannot_be_read_denies() -> None:
    (found,) = faults("{type: string, pattern: '(?=a)'}", "a")
    assert found.startswith("spec: cannot be checked")


@pytest.mark.parametrize("schema", [{"type": "text"}, {"type": ["string"]}, {"properties": {"a": 1}}, [], 1])
def test_a_definition_that_cannot_be_used_denies(schema: Any) -> None:
    (found,) = _crd.definitions([definition(schema)])["example.org/v1/Widget"]
    assert "cannot be used" in found.wrong


def test_which_versions_there_are() -> None:
    (missing,) = _crd.definitions([definition({})])["example.org//Widget"]
    assert missing.wrong == "Widget of example.org is served in v1, not in this one"


def test_rules_are_noticed_wherever_they_are() -> None:
    deep = {"type": "array", "items": {"type": "object", "x-kubernetes-validations": [{"rule": "true"}]}}
    (found,) = _crd.definitions([definition(deep)])["example.org/v1/Widget"]
    assert found.has_rules
    (found,) = _crd.definitions([definition({"type": "object"})])["example.org/v1/Widget"]
    assert not found.has_rules


def test_the_same_definition_twice_is_one() -> None:
    both = [definition({"type": "object"}), definition({"type": "object"})]
    assert len(_crd.definitions(both)["example.org/v1/Widget"]) == 1
    both[1]["spec"]["scope"] = "Cluster"
    assert len(_crd.definitions(both)["example.org/v1/Widget"]) == 2


WORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "pattern",
        "format",
        "minimum",
        "maxLength",
        "allOf",
        "oneOf",
        "not",
        "nullable",
        "default",
        "anyOf",
        "additionalProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-int-or-string",
        "multipleOf",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["string", "object", "a", "map", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.sampled_from("ab"), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_any_definition_and_any_value_get_an_answer(schema: Any, value: Any) -> None:
    for found in _crd.definitions([definition(schema)])["example.org/v1/Widget"]:
        widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": value}
        assert isinstance(validated(widget, found), list)

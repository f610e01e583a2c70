# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CEL: cases from the language definition's and Kubernetes' documentation, with the answers that cel-go gives."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._evaluate import Budget, Lazy, Program
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._syntax import CompileError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._cel._values import (
    DYN,
    INT,
    STRING,
    EvaluationError,
    OverLimit,
    list_of,
    map_of,
    object_of,
    of_json,
)
from hypothesis import given, settings
from hypothesis import strategies as st

OBJECT = {
    "a": 1,
    "s": "x",
    "l": [1, 2, 3],
    "m": {"k": "v", "n": None},
    "f": 1.5,
    "b": True,
    "names": ["a", "b"],
    "items": [{"n": "a", "v": 1}, {"n": "b", "v": 2}],
    "metadata": {"namespace": "ns", "labels": {"a.b/c": "d"}},
}


def value(text: str, **more: Any) -> Any:
    values = {"object": of_json(OBJECT), **more}
    return Program(text, dict.fromkeys(values, DYN)).evaluate(values, Budget())


@pytest.mark.parametrize(
    "text",
    [
        # numbers: each type is its own, but all of them are compared
        "1 + 2 * 3 == 7", "10 - 2 - 3 == 5", "7 / -2 == -3", "-7 % 3 == -1", "7u % 3u == 1u",
        "-9223372036854775808 < 0", "0xFFu == 255u", ".5 + .5 == 1e0", "1.0 / 0.0 > 1e308", "1 < 2.5 && 1u < 2",
        "dyn(1) == 1.0 && dyn(1) == 1u",
        "9007199254740993 == dyn(9007199254740992.0)", "double('nan') != double('nan')",
        "!(double('nan') < 1.0) && !(double('nan') >= 1.0)", "--1 == 1", "!!true", "1--1 == 2",
        # texts and bytes
        r"'\u00e9\x41\101\n' == 'éAA' + '\n'", r"r'\d+' == '\\d+'", "'''a'b''' == \"a'b\"", r"b'\xff' == b'\377'",
        "size('éa') == 2 && size(bytes('é')) == 2", r"'\U0001F600b'.indexOf('b') == 1", "1 + // comment\n 1 == 2",
        # logic: a part that decides does so whatever the others are
        "true || 1 / 0 > 0", "1 / 0 > 0 || true", "!(1 / 0 > 0 && false)", "dyn('a') || true", "!(dyn('a') && false)",
        "[1, 0, 3].exists(x, 1 / x > 0)", "![0, 3].all(x, 1 / x == 1)", "true ? true : 1 / 0 == 0", "2 > 1 == true",
        # lists and maps
        "[1, 2] + [3] == [1, 2, 3]", "{'a': 1}.a == {'a': 1}['a']", "{1: 'x'}[1.0 == 1.0 ? dyn(1u) : dyn(2)] == 'x'",
        "{dyn(true): 1, dyn(1): 2}.size() == 2", "[1, 2][dyn(1.0)] == 2", "dyn(1.0) in [1, 2]", "!('x' in {'a': 1})",
        "object.l == [1, 2, 3] && object.m.n == null", "object.metadata.namespace == 'ns'",
        "object.metadata.labels['a.b/c'] == 'd'", "object.`a` == 1", "dyn([1]) != dyn({}) && dyn(1) != dyn('1')",
        # presence
        "has(object.a) && !has(object.zz) && has(object.m.n)", "!has(object.a.y)", "!has({'a': 1}.b)",
        # macros
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]", "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "[1, 3].exists_one(x, x == 3) && ![3, 3].exists_one(x, x == 3)", "{'a': 1}.map(k, k) == ['a']",
        "{'a': 1}.exists(k, v, k == 'a' && v == 1)", "[1, 2].existsOne(i, v, i == 1 && v == 2)",
        "[1, 2].transformList(i, v, v > 1, i + v) == [3]", "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "[5].transformMap(i, v, v) == {0: 5}", "{'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'}",
        "object.items.all(i, i.v > 0) && object.items.exists(i, i.n == 'b')", "[].all(x, 1 / 0 == x)",
        "[1].all(object, object == 1)", "object.items.sortBy(i, -i.v)[0].n == 'b'",
        # optional values
        "object.?zz.orValue(5) == 5", "object.?m.?k.orValue('d') == 'v'", "!object.?m.?zz.?q.hasValue()",
        "object[?'a'].value() == 1", "object.l[?9].or(optional.of(3)).value() == 3", "!object.?a.b.hasValue()",
        "optional.of(1).optMap(x, x + 1).value() == 2",
        "optional.of(1).optFlatMap(x, optional.none()) == optional.none()",
        "[?optional.none(), 1] == [1] && {?'a': optional.none()} == {}", "!optional.ofNonZeroValue('').hasValue()",
        "optional.unwrap([optional.of(1), optional.none()]) == [1]", "optional.of({'a': 1}).a.value() == 1",
        "optional.none().orValue(1 / 1) == 1", "optional.of(1).orValue(1 / 0) == 1",
        # conversions, as Go writes and reads
        "string(1.0) == '1' && string(123456789.0) == '1.23456789e+08' && string(0.0001) == '0.0001'",
        "string(1e6) == '1e+06' && string(-0.00001) == '-1e-05' && string(true) == 'true'",
        "int('+12') == 12 && int(-1.9) == -1 && uint(1.9) == 1u", "double('inf') > 0.0 && double('1.5e3') == 1500.0",
        "bool('T') && !bool('0')", "type(1) == int && type(1u) == uint && type(null) == null_type",
        "type(timestamp(0)) == google.protobuf.Timestamp && type(type(1)) == type",
        "type(optional.none()) == optional_type",
        # time
        "duration('1h') + duration('30m') == duration('90m')", "string(duration('-1.5s')) == '-1.5s'",
        "duration('1h1.5s').getSeconds() == 3601 && duration('1500ms').getMilliseconds() == 1500",
        "timestamp('2024-02-29T12:30:45.5Z').getDayOfYear() == 59", "timestamp(0).getMonth() == 0",
        "timestamp('2024-02-29T12:30:45.5Z').getMilliseconds() == 500", "timestamp(0).getDayOfWeek() == 4",
        "timestamp('2024-01-01T00:00:00+01:00') == timestamp('2023-12-31T23:00:00Z')",
        "timestamp('2024-01-01T00:00:00+01:00').getHours() == 23",
        "string(timestamp('2024-01-01T00:00:00.50+01:00')) == '2024-01-01T00:00:00.5+01:00'",
        "timestamp('2024-02-29T12:00:00Z').getHours('-05:30') == 6",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        # strings
        "'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a,b'.split(',', 0) == [] && 'abc'.split('') == ['a', 'b', 'c']",
        "'abc'.substring(1, 2) == 'b' && 'abc'.charAt(3) == ''", "'hello'.replace('l', 'L', 1) == 'heLlo'",
        "'abcabc'.lastIndexOf('abc', 2) == 0 && 'abc'.lastIndexOf('a', 9) == -1 && 'abc'.indexOf('', 9) == 3",
        "'ABÉ'.lowerAscii() == 'abÉ'", r"' \u00a0a '.trim() == 'a'", r"strings.quote('a\"b') == '\"a\\\"b\"'",
        "object.names.join('-') == 'a-b'",
        "'%s %d %.2f %x %X %b %o%%'.format(['a', 1, 1.5, 255, 'hi', 5, 8]) == 'a 1 1.50 ff 6869 101 10%'",
        "'%s'.format([[1.5, 'a', true, null]]) == '[1.500000, \"a\", true, null]'",
        "'%s'.format([{'b': 1, 'a': 'x'}]) == '{\"a\":\"x\", \"b\":1}'",
        # Kubernetes' own: lists, patterns
        "[1, 2, 3].isSorted() && ![3, 1].isSorted() && [1.5, 2.0].sum() == 3.5 && [].sum() == 0",
        "['b', 'a'].max() == 'b' && [2, 1].min() == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(3) == -1",
        "'abc123def45'.findAll('[0-9]+') == ['123', '45'] && 'abc1'.find('[0-9]') == '1' && 'a'.find('x') == ''",
        "'aXbX'.find('a.*?X') == 'aX' && 'ab'.find('a|ab') == 'a'", "'A'.matches('(?i)a')",
        # URLs
        "isURL('https://example.com:80/path?q=1') && isURL('/abs') && isURL('mailto:a@b') && !isURL('../relative')",
        "!isURL('https://a b.com') && !isURL('https://[::1') && !isURL('https://h:x/') && !isURL('https://a/%zz')",
        "url('https://user:pw@example.com:8080/a?x=1#f').getHost() == 'example.com:8080'",
        "url('https://[::1]:80/a').getHostname() == '::1' && url('https://[::1]:80/a').getPort() == '80'",
        "url('https://example.com/a b').getEscapedPath() == '/a%20b'",
        "url('https://h/a?x=1&x=2&y=a+b#f').getQuery() == {'x': ['1', '2'], 'y': ['a b']}",
        # addresses
        "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && !isIP('010.0.0.1') && !isIP('::ffff:1.2.3.4')",
        "!ip.isCanonical('2001:DB8::1') && string(ip('2001:DB8::1')) == '2001:db8::1'",
        "cidr('10.0.0.0/8').containsIP('10.1.1.1') && !cidr('10.0.0.0/8').containsIP('::1')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8') != cidr('10.0.0.0/8')",
        "ip('10.0.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && !isCIDR('10.0.0.0/08')",
        # quantities
        "quantity('1Gi') == quantity('1024Mi') && quantity('1').isGreaterThan(quantity('999m'))",
        "quantity('50k').add(20) == quantity('50020') && quantity('50k').sub(quantity('20k')) == quantity('30k')",
        "quantity('1k').asInteger() == 1000 && quantity('1.5k').isInteger() && !quantity('1.0').isInteger()",
        "quantity('500m').asApproximateFloat() == 0.5 && sign(quantity('-1')) == -1 && !isQuantity('1.3Gi1')",
        # versions
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
        "isSemver('v1.0', true) && !isSemver('v1.0') && !isSemver('1.0.0-01') && semver('01.02', true).minor() == 2",
        # named formats, sets, lists
        "!format.dns1123Label().validate('abc').hasValue() && format.dns1123Label().validate('Abc').hasValue()",
        "format.named('labelValue').hasValue() && !format.named('nope').hasValue()",
        "!format.dns1123LabelPrefix().validate('a-').hasValue() && format.uuid().validate('x').hasValue()",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "[[1], [2, 3]].flatten() == [1, 2, 3] && [1, 2, 2].distinct() == [1, 2] && lists.range(2) == [0, 1]",
        "[3, 1].sort() == [1, 3] && [1, 2].reverse() == [2, 1] && [1, 2, 3].slice(1, 3) == [2, 3]",
        "[1, 2].first().value() == 1 && ![].last().hasValue()",
    ],
)  # fmt: skip
def test_what_is_true(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("object.a + 9223372036854775807", "integer overflow"),
        ("-(object.a - 9223372036854775807 - 2) > 0", "integer overflow"),
        ("2u - 3u", "unsigned integer overflow"),
        ("object.a / 0", "division by zero"),
        ("object.a % 0", "modulus by zero"),
        ("-9223372036854775808 / -1", "integer overflow"),
        ("object.zz == 1", "no such key: zz"),
        ("object.l[3]", "index out of bounds"),
        ("object.l[-1]", "index out of bounds"),
        ("{'a': 1}['b']", "no such key: b"),
        ("object.a + 'x'", "no such overload"),
        ("object.f + object.a", "no such overload"),
        ("object.s.y", "no such overload"),
        ("object.a && true", "neither true nor false"),
        ("object.a ? 1 : 2", "neither true nor false"),
        ("dyn('a') || false", "neither true nor false"),
        ("1 / (object.a - 1) > 0 || false", "division by zero"),
        ("[1, 0].all(x, 1 / x == 1)", "division by zero"),
        ("[0].exists_one(x, 1 / x == 0)", "division by zero"),
        ("[1].map(x, x / 0)", "division by zero"),
        ("object.a.all(x, true)", "no elements"),
        ("object.a < object.s", "no such overload"),
        ("object.s.matches('(' + object.s)", "regexp"),
        ("int(object.s)", "is no int"),
        ("int(object.f * 1e300)", "integer overflow"),
        ("optional.none().value()", "dereference"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("timestamp('9999-01-01T00:00:00Z') - timestamp('0001-01-01T00:00:00Z')", "duration overflow"),
        ("timestamp(0).getHours('Nowhere/At_All')", "unknown time zone"),
        ("'abc'.substring(2, 1)", "out of range"),
        ("'abc'.indexOf('a', -1)", "out of range"),
        ("quantity(object.s)", "is no quantity"),
        ("quantity('500m').asInteger()", "cannot convert"),
        ("ip(object.s)", "parse error"),
        ("[].max()", "empty list"),
        ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k})", "already exists"),
        ("int('9' + '%s'.format([object.digits]))", "no such key"),
    ],
)
def test_what_has_no_answer(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message.replace("(", r"\(")):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        # the syntax
        "", "1 +", "'abc", "[1 2]", "a b", "1 === 1", "x -> 1", "f(,)", "{1 2}", "()", "object.in", "namespace", "for",
        r"'\z'", r"'\ud800'", r"b'\u0041'", "9223372036854775808", "18446744073709551616u", "1 & 2", "'a' \n 'b", "1uu",
        "[1].all(1, true)", "[1].all(x, x, true)", "has(object)", "has(object['a'])", "A{}",
        # names and functions
        "nosuch", "nosuch(1)", "object.nosuch()",
        "cel.bind(x, 1, x)", "math.greatest(1, 2)", "authorizer", "'a'.size(1)",
        # functions and names that nobody would have asked for are told all the same
        "true || nosuch", "false ? nosuch(1) : true",
        # types
        "1 == 1.0", "1u == 1", "1 + 'a'", "1 + 1u", "-1u",
        "2.0 % 1.0", "'a' || true", "1 ? 2 : 3", "true ? 1 : 'a'", "!1",
        "[1, 'a']", "{'a': 1, 'b': 'x'}", "[1] == ['a']", "[1].exists(x, x)", "[1]['a']", "1.all(x, true)", "'a'.b",
        "[1, object.a]", "1 in ['x']", "quantity('1') > quantity('0')",
        "string(null)", "[?1]", "1 == null", "[[1]].sort()",
        # what is written down and can never be right
        "timestamp('2024-02-30T00:00:00Z')", "timestamp('2024-01-01t00:00:00z')", "duration('1d')", "int('0x12')",
        "object.s.matches('(')", "object.s.find('[')", "bool('yes')", "'%s %s'.format([1])", "'%s'.format([1, 2])",
    ],
)  # fmt: skip
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(CompileError):
        Program(text, {"object": DYN})


TYPED = object_of({"i": INT, "s": STRING, "l": list_of(INT), "m": map_of(STRING, INT), "__namespace__": STRING})


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("self.i", "int"), ("self.l[0]", "int"), ("self.m.a",
        "int"), ("self.m['a']", "int"), ("self.?i", "optional_type(int)"),
        ("self.l.map(x, self.s)", "list(string)"), ("self.m.transformMap(k, v, k)", "map(string, string)"),
        ("self.l.filter(x, x > 1)", "list(int)"), ("has(self.i)", "bool"), ("self.l[?0].orValue(1)", "int"),
        ("true ? self.i : dyn(self.s)", "dyn"), ("[] + self.l", "list(int)"), ("self.namespace", "string"),
        ("self.i > 0 ? self.l : []", "list(int)"), ("self.s.split(',')", "list(string)"),
    ],
)  # fmt: skip
def test_types_are_found(text: str, type_: str) -> None:
    assert str(Program(text, {"self": TYPED}).type) == type_


@pytest.mark.parametrize(
    "text",
    [
        "self.x", "has(self.x)", "self.?x", "self.i == 'a'", "self.s > 1", "self.m.all(k, k > 1)", "self.i.x",
        "self.all(k, true)",
    ],
)  # fmt: skip
def test_fields_and_types_that_are_not_there(text: str) -> None:
    with pytest.raises(CompileError):
        Program(text, {"self": TYPED})


@pytest.mark.parametrize(
    "text",
    [
        "l.all(x, l.all(y, l.all(z, x + y + z >= 0)))",
        "l.map(x, l.map(y, s))",
        "sets.contains(l, l)",
        "l.map(x, l) == l.map(x, l)",
        "s.replace('a', s)",
        "lists.range(9223372036854775807)",
        "[s, s, s].map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)",
        "'%s'.format([l.map(x, l)])",
    ],
)
def test_what_takes_too_much_is_given_up(text: str) -> None:
    values = {"l": list(range(3000)), "s": "a" * 100_000}
    begin = time.monotonic()
    with pytest.raises(OverLimit):
        Program(f"size([{text}]) > 0", dict.fromkeys(values, DYN)).evaluate(values, Budget())
    assert time.monotonic() - begin < 20


def test_time_is_bounded() -> None:
    with pytest.raises(OverLimit, match="too long"):
        Program("l.all(x, l.all(y, true))", {"l": DYN}).evaluate({"l": list(range(1000))}, Budget(time.monotonic() - 1))


@pytest.mark.parametrize("text", ["(" * 5000 + "1" + ")" * 5000, "+".join(["1"] * 20_000), "1" * 100_001])
def test_what_is_too_large_or_deep(text: str) -> None:
    with pytest.raises(CompileError):
        Program(text, {})


def test_a_lazy_variable_is_made_once_and_its_error_is_absorbed() -> None:
    calls: list[int] = []

    def make() -> Any:
        calls.append(1)
        raise EvaluationError("broken")

    variables = {"bad": Lazy(make), "good": Lazy(lambda: 3)}
    values = {"variables": variables}
    program = Program("variables.bad || variables.good == 3 && variables.good == 3", {"variables": DYN})
    assert program.evaluate(values, Budget()) is True
    assert not Program("!(variables.good == 3) || (variables.bad && false)", {"variables": DYN}).evaluate(
        values, Budget()
    )
    assert calls == [1]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("a1 .,?:()[]{}'\"\\!-+*/%&|<>=`\u00e9\nhasmpinbruU"), max_size=30))
def test_any_text_is_an_expression_or_is_none(text: str) -> None:
    with contextlib.suppress(CompileError, EvaluationError, OverLimit):
        Program(text, {"a": DYN}).evaluate({"a": {"b": [1, "x"]}}, Budget(steps=1000))

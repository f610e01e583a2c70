# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
from __future__ import annotations

import json
import math
import re
import unicodedata

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import Origin
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _text as text
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Problem, RulesError
from hypothesis import given
from hypothesis import strategies as st

ANY = st.text(st.characters(codec=None), max_size=60)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain", "plain"),
        ("zwei Wörter", "zwei Wörter"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("bad\udcffbyte", "bad\\xffbyte"),
        ("lone\ud800", "lone\\ud800"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_visible(given_text: str, shown: str) -> None:
    assert text.visible(given_text) == shown


@given(ANY)
def test_visible_text_is_one_line_of_encodable_printable_characters(given_text: str) -> None:
    shown = text.visible(given_text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert text.visible(shown) == shown


def test_basic_text_has_no_character_above_the_basic_plane() -> None:
    assert text.basic("a🐛b ü €") == "a\\U0001f41bb ü €"


def test_a_login_that_looks_like_another_is_told_apart() -> None:
    assert text.login("admin") == "admin"
    assert text.login("\u0430dmin") == "\u0430dmin (with U+0430)"


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("@mona", "@\u200bmona"),
        ("fixes #12", "fixes \\#\u200b12"),
        ("group!7", "group\\!\u200b7"),
        ("https://evil.example", "https:/\u200b/evil.example"),
        ("www.evil.example", "www\u200b.evil.example"),
        ("<img src=x>", "&lt;img src=x\\>"),
        ("&#64;mona", "&amp;\\#\u200b64;mona"),
        ("[a](b)", "\\[a\\](b)"),
        ("a | b", "a \\| b"),
        ("**bold** _it_ ~x~", "\\*\\*bold\\*\\* \\_it\\_ \\~x\\~"),
        ("line\n/merge", "line\\\\n/merge"),
        ("- item", "- item"),
    ],
)
def test_markdown(given_text: str, shown: str) -> None:
    assert text.markdown(given_text) == shown


@given(ANY)
def test_markdown_calls_nobody_and_is_one_line(given_text: str) -> None:
    shown = text.markdown(given_text)
    assert len(shown.splitlines()) <= 1
    for index, char in enumerate(shown):
        if char == "@":
            assert shown[index + 1] == "\u200b"
        if char in "`*[]<|":
            assert char != "<" and shown[index - 1] == "\\"


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("a", "`a`"),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("`", "`` ` ``"),
        ("", "*(empty)*"),
        (" ", "`   `"),
        ("a\n@b", "`a\\n@b`"),
    ],
)
def test_code(given_text: str, shown: str) -> None:
    assert text.code(given_text) == shown


@given(ANY)
def test_code_cannot_be_left(given_text: str) -> None:
    shown = text.code(given_text)
    if not given_text:
        return
    fence = len(shown) - len(shown.lstrip("`"))
    inner = shown[fence:-fence]
    assert "`" * fence not in inner.strip(" ") or max(map(len, re.findall("`+", inner)), default=0) < fence
    assert len(shown.splitlines()) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)
    )
)
def test_plain_values_are_json_that_any_reader_takes(value: object) -> None:
    made = json.dumps(text.plain(value), allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert json.loads(made) == text.plain(value)
    assert text.as_json(value).encode("utf-8") == made


def test_json_of_what_is_no_json() -> None:
    given_value = {"nan": math.nan, "byte": "\udcff", "pair": (1, 2), "set": {1}}
    assert json.loads(text.as_json(given_value)) == {"nan": "nan", "byte": "\\xff", "pair": [1, 2], "set": "{1}"}
    assert text.as_json([1], 2) == "[\n  1\n]"


def test_plain_keeps_what_is_plain() -> None:
    assert text.plain({"a": [1, 2.5, True, None, "x"]}) == {"a": [1, 2.5, True, None, "x"]}
    assert text.plain([math.nan, math.inf]) == ["nan", "inf"]


@given(ANY, st.integers(5, 50))
def test_cut(given_text: str, length: int) -> None:
    shown = text.cut(given_text, length)
    assert len(shown) <= length
    assert shown == given_text or "..." in shown


def test_each_problem_of_a_policy_is_a_line() -> None:
    problems = [Problem(Origin("policy/a.yml", 1), "one"), Problem(Origin("policy/b\n.yml", 2), "two")]
    assert text.told(RulesError(problems)) == "policy/a.yml:1: one\npolicy/b\\n.yml:2: two"
    assert text.told(ValueError("a\nb")) == "a\\nb"


def test_so_many_of_something() -> None:
    assert [text.many(count, "record") for count in (0, 1, 2)] == ["0 records", "1 record", "2 records"]

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Regular expressions as Go has them."""

from __future__ import annotations

import re
import time

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._re2 import PatternError, compile_pattern
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", ["a", "a-b"], ["", "-a", "a-", "A", "a\n"]),
        ("b", ["abc"], ["ac"]),
        ("a|b|^$", ["a", "xb", ""], ["c"]),
        ("^(ab){2,3}$", ["abab", "ababab"], ["ab", "abababab"]),
        ("^a{2}$", ["aa"], ["a", "aaa"]),
        ("^a{1,}?$", ["a", "aa"], [""]),
        ("^a{,2}$", ["a{,2}"], ["aa"]),
        ("^[^a-c]$", ["d", "é"], ["a"]),
        ("^[]a-]+$", ["]a-"], ["b"]),
        ("^[[:alpha:]_]+$", ["aZ_"], ["1", "é"]),
        ("^[[:^digit:]]$", ["a"], ["1"]),
        (r"^\d\w\s\D\W\S$", ["1_ a-b"], ["1_ab-c"]),
        (r"^\pL\p{Lu}\P{N}\p{^Lu}$", ["éÉxx"], ["éé1x"]),
        (r"^\x41\x{e9}\141\n\.$", ["Aéa\n."], ["A"]),
        (r"^\Qa.b\E$", ["a.b"], ["axb"]),
        ("(?i)^stra?e$", ["STRAE", "stre"], ["strase"]),
        ("^(?i:a)b$", ["Ab", "ab"], ["AB"]),
        ("(?m)^b$", ["a\nb\nc"], ["ab"]),
        ("^a.c$", ["abc"], ["a\nc"]),
        ("(?s)^a.c$", ["a\nc"], []),
        (r"\bfoo\b", ["a foo b"], ["afoo"]),
        (r"o\Bo", ["foo"], ["o o"]),
        (r"\Aab\z", ["ab"], ["ab\n"]),
        ("^(?P<name>a)$", ["a"], ["b"]),
        ("", ["", "x"], []),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [text for text in matching if not compiled.search(text)] == []
    assert [text for text in others if compiled.search(text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "a**", "*", "(", ")", "a)", "[a", "[b-a]", "(?P<1>a)", "(?z)", r"\1", r"\8", r"\C", r"\p{Greek}", "\\",
        "a{1001}", "a{3,2}", "(?=a)", "(?<!a)", r"\x{110000}", r"\xg0", "[[:nope:]]", "(" * 200 + ")" * 200,
        "((((a{100}){100}){100}){100})",
    ],
)  # fmt: skip
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


def test_patterns_that_take_others_forever() -> None:
    start = time.process_time()
    for pattern in ("^(a+)+$", "^(a|a)*$", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        assert not compile_pattern(pattern).search("a" * 300 + "!" + "x" * 300)
    assert time.process_time() - start < 2


def test_a_search_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(PatternError):
        compile_pattern("(a{500}){10}").search("a" * 100_000)


PIECES = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "a*", "b+", "(a|b)", "(ab)?", "a{1,2}", "^", "$", "(a*)*", r"\w"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=6).map("".join), st.text(alphabet="ab-", max_size=8))
def test_the_same_as_python_where_both_mean_the_same(pattern: str, text: str) -> None:
    assert compile_pattern(pattern).search(text) is bool(re.search(pattern, text))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_error(pattern: str, text: str) -> None:
    try:
        compile_pattern(pattern).search(text)
    except PatternError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("[0-9]+", "abc123def45", ["123", "45"]),
        ("a*", "baaac", ["", "aaa", ""]),
        ("", "ab", ["", "", ""]),
        ("a|ab", "ab", ["a"]),
        ("ab|a", "ab", ["ab"]),
        ("a.*X", "aXbX", ["aXbX"]),
        ("a.*?X", "aXbX", ["aX"]),
        ("(ab)+?", "abab", ["ab", "ab"]),
        ("a{1,2}?", "aa", ["a", "a"]),
        ("a??b", "ab", ["ab"]),
        ("(?U)a+", "aa", ["a", "a"]),
        ("(?U)a+?", "aa", ["aa"]),
        ("(b|bc)(d|cd)", "abcd", ["bcd"]),
        ("^a", "aa", ["a"]),
        (r"\bb", "ab b", ["b"]),
        ("x", "abc", []),
        ("é.", "aéb", ["éb"]),
    ],
)
def test_what_matches(pattern: str, text: str, found: list[str]) -> None:
    assert compile_pattern(pattern).find_all(text) == found
    assert compile_pattern(pattern).find_all(text, 1) == found[:1]
    assert compile_pattern(pattern).find_all(text, 0) == []


def test_finding_is_bounded() -> None:
    with pytest.raises(PatternError, match="too large"):
        compile_pattern("(a|b){500}c").find_all("ab" * 50_000)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "b", "(a|b)", "a?", "b*", "[ab]", "(ab)+", "a+?", "b??", "(?:a|ab)"]), max_size=5),
    st.text("ab", max_size=12),
)
def test_what_matches_is_what_other_engines_find(parts: list[str], text: str) -> None:
    pattern = "".join(parts)
    first = re.search(pattern, text)
    assert compile_pattern(pattern).find_all(text, 1) == ([first.group()] if first else [])

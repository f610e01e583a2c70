# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What patterns, fields and predicates mean, case by case."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Subject, diff, make, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Effect
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import (
    MAYBE,
    NO,
    YES,
    Element,
    Field,
    Fields,
    Glob,
    Leaf,
    PathGlob,
    PatternError,
    Patterns,
    leaves,
    lookup,
    order,
    predicate,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("web", "web", True),
        ("web", "web2", False),
        ("*", "", True),
        ("*", "a/b", True),
        ("kube-*", "kube-system", True),
        ("kube-*", "kube", False),
        ("*-system", "kube-system", True),
        ("a*b*c", "aXbYbZc", True),
        ("a*b*c", "aXbYbZ", False),
        ("w?b", "wub", True),
        ("w?b", "wb", False),
        ("[abc]x", "bx", True),
        ("[a-c]x", "dx", False),
        ("[!a-c]x", "dx", True),
        ("[]]x", "]x", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("Web", "web", False),
        ("", "", True),
    ],
)
def test_globs(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern).matches(text) is matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "a/b/c", True),
        ("*", "a", True),
        ("*", "a/b", False),
        ("*.md", "x.md", True),
        ("*.md", "docs/x.md", False),
        ("**/*.md", "x.md", True),
        ("**/*.md", "docs/deep/x.md", True),
        ("docs/**", "docs/a/b", True),
        ("docs/**", "docs", False),
        ("docs/", "docs/a", True),
        ("/docs/", "docs/a", True),
        ("docs/**", "docsx/a", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/x/y/c", False),
        ("a/**/b/**", "a/x/b/c", True),
        ("a/**/b/**", "a/x/b", False),
        ("inventories/*/group_vars/**", "inventories/prod/group_vars/all.yml", True),
        ("a?c", "a/c", False),
        ("x\ny", "x\ny", True),
        (r"a/with\*star", "a/with*star", True),
        (r"a/with\*star", r"a/with\*star", False),
        ("**/**", "a", True),
    ],
)
def test_path_globs(pattern: str, path: str, matches: bool) -> None:
    assert PathGlob(pattern).matches(path) is matches


@pytest.mark.parametrize("pattern", ["", "/", "a//b", "./a", "../a", "a/..", "a[", "a[/]c", "a\\"])
def test_path_globs_that_mean_nothing(pattern: str) -> None:
    with pytest.raises(PatternError):
        PathGlob(pattern)


@pytest.mark.parametrize(
    ("pattern", "directory", "reaches"),
    [
        ("inventories/prod/**", "inventories/prod", True),
        ("inventories/**", "inventories/prod", True),
        ("**/x.yml", "inventories/prod", True),
        ("inventories/prod/group_vars/all.yml", "inventories/prod", True),
        ("inventories/dev/**", "inventories/prod", False),
        ("inventories/prod", "inventories/prod", False),
        ("*.md", "inventories/prod", False),
        ("inventories/p*/x", "inventories/prod", True),
    ],
)
def test_what_a_path_glob_reaches(pattern: str, directory: str, reaches: bool) -> None:
    assert PathGlob(pattern).reaches(directory) is reaches
    assert Patterns([pattern], "file", PathGlob).reaches(directory) is reaches
    assert not Patterns([pattern, "!inventories/**"], "file", PathGlob).reaches("inventories/prod")


def test_a_pattern_costs_no_more_than_its_product() -> None:
    started = time.process_time()
    assert not Glob("*a" * 30 + "b").matches("a" * 3000)
    assert not PathGlob("**/a/" * 10 + "b").matches("a/" * 300 + "c")
    assert not Field("**." * 10 + "x").nodes(("a",) * 200)
    assert time.process_time() - started < 2


@given(st.text("ab*?/", max_size=8), st.text("ab/", max_size=8))
def test_globs_are_what_a_regular_expression_says(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    assert Glob(pattern).matches(text) is bool(re.fullmatch(expression, text, re.DOTALL))


@pytest.mark.parametrize(
    ("patterns", "text", "matches"),
    [
        ("shop,search", "search", True),
        ("shop, search", "other", False),
        ("!platform-*,!kube-*", "shop", True),
        ("!platform-*,!kube-*", "kube-system", False),
        ("shop-*,!shop-admin", "shop-a", True),
        ("!shop-admin,shop-*", "shop-admin", False),
        (["a,b"], "a,b", True),
        (["a", "!b"], "b", False),
        ("", "", True),
    ],
)
def test_lists_of_patterns(patterns: Any, text: str, matches: bool) -> None:
    assert Patterns(patterns, "namespace").matches(text) is matches


@pytest.mark.parametrize("patterns", [[], [1], {"a": 1}, None, "a,,b", ["", "a"]])
def test_lists_that_are_none(patterns: Any) -> None:
    with pytest.raises(PatternError, match="namespace"):
        Patterns(patterns, "namespace")


WEB = Element("[name=web]")


@pytest.mark.parametrize(
    ("pattern", "path", "answer", "length"),
    [
        ("spec.replicas", ("spec", "replicas"), YES, 2),
        ("spec", ("spec", "replicas"), YES, 1),
        ("spec.replicas", ("spec",), NO, 0),
        ("spec.replicas", ("spec", "replicasx"), NO, 0),
        ("spec.*", ("spec", "x", "y"), YES, 2),
        ("a.containers[*].image", ("a", "containers", WEB, "image"), YES, 4),
        ("a.containers[*].image", ("a", "containers", 0, "image"), YES, 4),
        ("a.containers[*].image", ("a", "containers", "key", "image"), NO, 0),
        ("containers[name=web]", ("containers", WEB, "image"), YES, 2),
        ("containers[name=w*]", ("containers", WEB), YES, 2),
        ("containers[name=db]", ("containers", WEB), NO, 0),
        ("containers[name=web]", ("containers", 0, "image"), MAYBE, 2),
        ("containers[key=web]", ("containers", WEB), MAYBE, 2),
        ("args[1]", ("args", 1), YES, 2),
        ("args[1]", ("args", 2), NO, 0),
        ("args[0]", ("args", WEB), MAYBE, 2),
        ("**.image", ("spec", "x", WEB, "image"), YES, 4),
        ("**.image", ("image",), YES, 1),
        ("spec.**", ("spec", "x"), YES, 1),
        ('metadata.annotations["a.b/c"]', ("metadata", "annotations", "a.b/c"), YES, 3),
        ('["a*"]', ("ax",), NO, 0),
        (r"a\.b", ("a.b",), YES, 1),
        ("*", (0,), NO, 0),
        ("*", (WEB,), NO, 0),
    ],
)
def test_fields(pattern: str, path: tuple[Any, ...], answer: int, length: int) -> None:
    assert (Field(pattern).nodes(path) or [(NO, 0)])[0] == (answer, length)


@pytest.mark.parametrize(
    "pattern", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[=b]", "a]b[", 'a["x', 'a["x"', "a[1]b"]
)
def test_fields_that_mean_nothing(pattern: str) -> None:
    with pytest.raises(PatternError):
        Field(pattern)


def test_lists_of_fields() -> None:
    allbut = Fields("!spec.replicas,!spec.template.spec.containers[name=side]")
    assert allbut.nodes(("spec", "x")) == [(YES, 2)]
    assert not allbut.nodes(("spec", "replicas"))
    assert allbut.nodes(("spec", "template", "spec", "containers", 0, "image")) == [(MAYBE, 6)]
    some = Fields("spec,!spec.replicas")
    assert some.nodes(("spec", "x", "y")) == [(YES, 1)]
    assert not some.nodes(("spec", "replicas"))
    assert not some.nodes(("metadata",))
    assert Fields("spec,spec.*,metadata").nodes(("spec", "x", "y")) == [(YES, 1), (YES, 2)]
    assert Fields("**.image").nodes(("image", "x", "image")) == [(YES, 1), (YES, 3)]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (1, 1, []),
        (1, 2, [((), 1, 2)]),
        (1, True, [((), 1, True)]),
        (ABSENT, 1, [((), ABSENT, 1)]),
        (ABSENT, {}, [((), ABSENT, {})]),
        (ABSENT, {"a": {"b": 1, "c": []}}, [(("a", "b"), ABSENT, 1), (("a", "c"), ABSENT, [])]),
        ({"a": 1}, {}, [(("a",), 1, ABSENT)]),
        ({"a": 1}, [], [((), ABSENT, []), (("a",), 1, ABSENT)]),
        (5, {"a": 1}, [((), 5, ABSENT), (("a",), ABSENT, 1)]),
        ({"a": None}, {}, [(("a",), None, ABSENT)]),
        (["x"], ["y", "z"], [((0,), "x", "y"), ((1,), ABSENT, "z")]),
        ([{"name": "a", "i": 1}], [{"name": "a", "i": 2}], [(("[name=a]", "i"), 1, 2)]),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "a"}],
            [((), [{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}])],
        ),
        ([{"name": "a"}], [{"name": "c"}, {"name": "a"}], [(("[name=c]", "name"), ABSENT, "c")]),
        ([{"name": "a"}], [{"name": "a"}, {"name": "a"}], [((1, "name"), ABSENT, "a")]),
    ],
)
def test_leaves(before: Any, after: Any, wanted: list[Any]) -> None:
    assert leaves(before, after) == [Leaf(*one) for one in wanted]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "x", "y"]), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "v": inner}), max_size=3)
    ),
    max_leaves=12,
)


@given(values, values)
def test_leaves_miss_nothing(before: Any, after: Any) -> None:
    found = leaves(before, after)
    assert bool(found) is not same(before, after)
    for leaf in found:
        assert not same(leaf.before, leaf.after)
        ordered = isinstance(leaf.before, list) and isinstance(leaf.after, list)
        if not ordered:
            assert not (isinstance(leaf.before, (dict, list)) and leaf.before)
            assert not (isinstance(leaf.after, (dict, list)) and leaf.after)


@given(values, values)
def test_every_leaf_lies_in_a_change_and_every_change_holds_a_leaf(before: Any, after: Any) -> None:
    changes = diff(Subject("x", "x"), before, after)
    assert same(make(before, changes), after)
    for change in changes:
        assert leaves(change.before, change.after, change.field)


@given(values, values)
def test_a_subject_has_the_same_leaves_by_its_changes_as_by_itself(before: Any, after: Any) -> None:
    """Whether an object comes, goes or changes, a field has the same path, by which the same patterns know it."""
    subject = Subject("x", "x")
    changes = diff(subject, before, after)
    effect = Effect("object", subject, before, after, tuple(changes), ("x.yml",))

    def told(some: list[Leaf]) -> list[str]:
        return sorted(repr((one, [type(step) for step in one.path])) for one in some)

    assert told([leaf for change in changes for leaf in effect.leaves_of(change)]) == told(leaves(before, after))


def test_lookup() -> None:
    value = {"a": [{"name": "x", "v": 1}], "b": [1, 2], "c": None}
    assert lookup(value, ("a", "[name=x]", "v")) == 1
    assert lookup(value, ("b", 1)) == 2
    assert lookup(value, ("c",)) is None
    for path in (("b", 2), ("a", "[name=y]"), ("d",), ("c", "x"), ("a", "name")):
        assert lookup(value, path) is ABSENT


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        (1, 2, -1),
        (2.5, 2, 1),
        ("1.9", "1.10", -1),
        ("v1.37.2", "1.37.2", 0),
        ("1.37", "1.37.0", 0),
        ("1.37", "1.37.2", -1),
        ("1.37.0-rc.1", "1.37.0", -1),
        ("1.0.0-alpha.1", "1.0.0-alpha.beta", -1),
        ("1.0.0-beta.2", "1.0.0-beta.11", -1),
        ("1.0.0-rc.1", "1.0.0-beta.11", 1),
        ("1.0.0-alpha", "1.0.0-alpha.1", -1),
        ("1.0.0+a", "1.0.0+b", 0),
        ("500m", "1", -1),
        ("1Ki", "1k", 1),
        ("1Gi", "1024Mi", 0),
        ("1.5Gi", "1536Mi", 0),
        ("1e3", "1k", 0),
        ("1E", "1000P", 0),
        ("-1Ki", 1, -1),
        (2, "1500m", 1),
        (10, "9", 1),
        (1.10, "1.9", None),
        ("abc", "1.0", None),
        ("1.0-", "1.0", None),
        ("", "1", None),
        (True, 1, None),
        ({}, 1, None),
        (None, 1, None),
        ("1x", "2x", None),
        ("1" * 200, "2", None),
        ("1e99999", "1", None),
        ("\u0661", "1", None),
    ],
)
def test_order(left: Any, right: Any, wanted: int | None) -> None:
    assert order(left, right) == wanted
    if wanted is not None:
        assert order(right, left) == -wanted


@pytest.mark.parametrize(
    ("wanted", "before", "after", "answer"),
    [
        (">= old", "1.36", "1.37", YES),
        (">= old", "1.37", "1.36", NO),
        (">= old", "1.36", "1.36", YES),
        ("> old", "1.36", "1.36", NO),
        (">= old", "1.36", ABSENT, NO),
        (">= old", ABSENT, "1.36", YES),
        (">= old", "1.36", "nonsense", MAYBE),
        (">= old", {"a": 1}, {"a": 2}, MAYBE),
        ("!= old", "x", "y", YES),
        ("== old", "x", "y", NO),
        ("== 3", 1, 3, YES),
        ("== 3", 1, "3", YES),
        ("<= 10", 1, 10, YES),
        ("<= 10", 1, 11, NO),
        ("<= 1Gi", "1Gi", "1536Mi", NO),
        ("< 'old'", "1", "2", MAYBE),
        ("registry.example.com/*", "", "registry.example.com/a/b:1", YES),
        ("registry.example.com/*", "", "docker.io/a", NO),
        ("!*:latest", "", "a:latest", NO),
        ("!*:latest", "", "a:1", YES),
        ("!*", "", ABSENT, YES),
        ("*", "", ABSENT, NO),
        ("*", "", ["a"], MAYBE),
        (["a", "b"], "", "b", YES),
        (["a", "!b*"], "", "a", YES),
        (["!a", "!b"], "", "c", YES),
        (["!a", "!b"], "", "b", NO),
        (3, 1, 3, YES),
        (True, False, 1, NO),
        (None, 1, None, YES),
        ("true", 1, True, YES),
        ({"absent": True}, 1, ABSENT, YES),
        ({"absent": False}, 1, ABSENT, NO),
        ({"version": ">= old"}, "500m", "1", MAYBE),
        ({"quantity": ">= old"}, "500m", "1", YES),
        ({"number": "< 3"}, 1, 2.5, YES),
        ({"number": 3}, 1, 3, YES),
    ],
)
def test_predicates(wanted: Any, before: Any, after: Any, answer: int) -> None:
    assert predicate(wanted, "new")(after, before, after) == answer


@pytest.mark.parametrize(
    "wanted", [[], {}, {"x": 1}, {"version": []}, {"absent": 1}, ">=", {"number": True}, "[a", [["x", []]]]
)
def test_predicates_that_mean_nothing(wanted: Any) -> None:
    with pytest.raises(PatternError):
        predicate(wanted, "new")

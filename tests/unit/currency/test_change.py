# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The currency's laws, as properties and as table cases."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import (
    ABSENT,
    MASK,
    Change,
    ChangeError,
    Origin,
    Subject,
    diff,
    inverse,
    make,
    same,
    show_path,
)
from hypothesis import given
from hypothesis import strategies as st

SUBJECT = Subject("file", "/etc/x", "cp1")
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "a.b", "[name=a]"])
NAMED = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"v": SCALARS}),
    unique_by=lambda item: item["name"],
    max_size=4,
)
VALUES = st.recursive(
    SCALARS | NAMED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES | st.just(ABSENT), VALUES | st.just(ABSENT))
def test_making_the_difference_gives_the_wanted_value(before: Any, after: Any) -> None:
    changes = diff(SUBJECT, before, after)
    assert same(make(before, changes), after)
    assert not diff(SUBJECT, make(before, changes), after)


@given(VALUES, VALUES)
def test_no_change_is_listed_for_what_is_equal(before: Any, after: Any) -> None:
    assert (diff(SUBJECT, before, after) == []) == same(before, after)


@given(VALUES)
def test_a_changed_mapping_is_undone_by_the_inverse_list(value: Any) -> None:
    before, after = {"x": value, "keep": 1}, {"y": value, "keep": 2}
    changes = diff(SUBJECT, before, after)
    assert same(make(after, inverse(changes)), before)


@given(VALUES | st.just(ABSENT), VALUES | st.just(ABSENT), st.booleans())
def test_json_round_trip(before: Any, after: Any, labelled: bool) -> None:
    subject = Subject("Pod", "ns/n", "", (("app", "x"),) if labelled else ())
    change = Change(subject, ("a", 0, "[name=b]"), before, after, "reboot", False, Origin("f.yml", 3))
    assert Change.from_json(json.loads(json.dumps(change.to_json()))) == change


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [(("a",), 1, 2)]),
        ({"a": True}, {"a": 1}, [(("a",), True, 1)]),
        ({}, {"a": None}, [(("a",), ABSENT, None)]),
        (
            {"c": [{"name": "web", "image": "a:1"}, {"name": "log"}]},
            {"c": [{"name": "web", "image": "a:2"}]},
            [(("c", "[name=web]", "image"), "a:1", "a:2"), (("c", "[name=log]"), {"name": "log"}, ABSENT)],
        ),
        ([1, 2], [2, 1], [((), [1, 2], [2, 1])]),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "a"}],
            [((), [{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}])],
        ),
        (ABSENT, "x", [((), ABSENT, "x")]),
    ],
)
def test_fields(before: Any, after: Any, expected: Any) -> None:
    assert [(c.field, c.before, c.after) for c in diff(SUBJECT, before, after)] == expected


def test_a_secret_leaves_the_process_masked() -> None:
    change = Change(SUBJECT, (), "hunter2", ABSENT, secret=True)
    assert change.to_json()["before"] == MASK
    assert "after" not in change.to_json()
    assert "hunter2" not in json.dumps(change.to_json())


def test_a_change_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ChangeError, match="found 3 where 1"):
        make({"a": 3}, [Change(SUBJECT, ("a",), 1, 2)])
    with pytest.raises(ChangeError, match="no place"):
        make("text", [Change(SUBJECT, ("a",), ABSENT, 2)])


@pytest.mark.parametrize("data", [{}, {"subject": {}}, {"subject": {"type": "a", "name": "b"}, "field": 3}, []])
def test_what_is_not_a_change_is_refused(data: Any) -> None:
    with pytest.raises(ChangeError, match="not a Change"):
        Change.from_json(data)


def test_absent_stays_one_through_pickle_and_paths_read_well() -> None:
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert show_path(("spec", "c", "[name=web]", "ports", 0)) == "spec.c[name=web].ports[0]"
    assert show_path(("metadata", "labels", "app.kubernetes.io/name")) == 'metadata.labels["app.kubernetes.io/name"]'
    assert str(SUBJECT) == "file:/etc/x@cp1"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Whether changes of variables are valid: argument specs, upgrade paths, skew, what cannot change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Subject, Value, diff
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import load_versions
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _schema, _valid
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    HOST,
    VARIABLE,
    Effect,
    Layout,
    Reached,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import VERSION, Side
from ansible_collections.weft.platform.plugins.plugin_utils._policy._valid import SchemaError, Variables
from ansible_collections.weft.platform.plugins.plugin_utils._yaml import LIMITS

from tests.unit.policy.engine.test_understand import TreeOf

FILE = "inventories/prod/group_vars/all.yml"


NO_TEXT = "is integer; it must be string"


def effect(name: str, before: Value, after: Value, hosts: tuple[str, ...] = ("cp1",)) -> Effect:
    subject = Subject("variable", name, "inventories/prod")
    changes = tuple(diff(subject, before, after, origin=Origin(FILE, 1)))
    reached = tuple(Reached(host, frozenset({"all"})) for host in hosts)
    return Effect(VARIABLE, subject, before, after, changes, (FILE,), environment="prod", reached=reached)


def side(**versions: str) -> Side:
    """An inventory in which hosts have versions ("" for the default); control planes begin with cp."""
    groups: Mapping[str, Any] = {
        group: {"hosts": {name: None for name in versions if name.startswith("cp") is (group == "control_plane")}}
        for group in ("control_plane", "workers")
    }
    files = {"inventories/prod/hosts.yml": str(groups).replace("None", "")}
    for name, version in versions.items():
        if not version:
            continue
        files[f"inventories/prod/host_vars/{name}.yml"] = f"cluster_kubernetes_version: '{version}'\n"
    return Side(TreeOf(files), Layout(names=frozenset({"prod"})), LIMITS)


def live() -> tuple[Side, Side]:
    """Both sides of an environment whose hosts stay."""
    return side(cp1="1.36.3", cp2="1.36.3", w1="1.36.3"), side(cp1="1.36.3", cp2="1.36.3", w1="1.36.3")


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "string"}, "x", []),
        ({"type": "string"}, 1, [((), NO_TEXT)]),
        ({"type": "integer"}, True, [((), "is boolean; it must be integer")]),
        ({"type": "number"}, 1, []),
        ({"type": "integer"}, 1.5, [((), "is number; it must be integer")]),
        ({"type": "boolean"}, 1, [((), "is integer; it must be boolean")]),
        ({"type": ["string", "null"]}, None, []),
        ({"type": ["string", "null"]}, [], [((), "is array; it must be string or null")]),
        ({"enum": ["a", 1]}, 1, []),
        ({"enum": ["a", 1]}, True, [((), "must be one of a, 1")]),
        ({"pattern": "^v[0-9]$"}, "v1", []),
        ({"pattern": "{{"}, "{{ x }}", []),
        ({"pattern": "{{"}, "!unsafe {{ x }}", [((), "must look like {{")]),  # Ansible fills nothing in there
        ({"pattern": "^v[0-9]$"}, "v12", [((), "must look like ^v[0-9]$")]),
        ({"pattern": "^v"}, 3, []),  # a pattern speaks of text only
        ({"items": {"type": "string"}}, ["a", 1, "b", 2], [((1,), NO_TEXT), ((3,), NO_TEXT)]),
        ({"required": ["a", "b"]}, {"b": 1}, [((), "lacks a")]),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1, "b": 2}, [(("a",), NO_TEXT)]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b": 2}, [(("b",), "has no b; it has a")]),
        ({"additionalProperties": {"type": "integer"}}, {"b": "x"}, [(("b",), "is string; it must be integer")]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 1, []),
        (
            {"anyOf": [{"type": "string"}, {"items": {"required": ["k"]}}]},
            [{"k": 1}, {}],
            [((1,), "lacks k")],  # the form that comes nearest
        ),
        ({}, {"anything": [1]}, []),
    ],
)
def test_what_a_schema_does_not_take(schema: Mapping[str, Any], value: Value, found: list[Any]) -> None:
    assert _valid.wrong(schema, value) == found


KNOWN = Variables({"node_swap": {"type": "boolean"}, "node_list": {"items": {"type": "string"}}}, ("node_", "cluster_"))


@pytest.mark.parametrize(
    ("name", "before", "after", "found"),
    [
        ("node_swap", ABSENT, True, []),
        ("node_swap", ABSENT, 3, [("is integer; it must be boolean", True)]),
        ("node_swap", 3, ABSENT, []),  # what goes need not be right
        ("node_swap", 3, 4, [("is integer; it must be boolean", False)]),  # it was wrong in that way before
        ("node_swap", "x", 4, [("is integer; it must be boolean", True)]),
        ("node_list", ["a", 1], ["a", 1, 2], [(NO_TEXT, False), (NO_TEXT, True)]),
        ("node_swop", ABSENT, 1, [("there is no variable node_swop; do you mean node_swap?", True)]),
        ("node_other_altogether", ABSENT, 1, [("there is no variable node_other_altogether", True)]),
        ("node_swop", 1, 2, []),  # it was there, so it is not this change that brings it
        ("nodeswap", ABSENT, 1, []),  # not a name of the collection
        ("mine", ABSENT, 1, []),
    ],
)
def test_variables(name: str, before: Value, after: Value, found: list[tuple[str, bool]]) -> None:
    said = list(_valid.check_variables([effect(name, before, after)], lambda: KNOWN))
    assert [(one.message, one.new) for one in said] == found
    assert all(one.rule == "variables" and one.prohibits and one.origin == Origin(FILE, 1) for one in said)


def test_the_schema_is_only_read_where_a_variable_changes() -> None:
    def load() -> Variables:
        raise AssertionError("nobody wants it")

    assert list(_valid.check_variables([], load)) == []
    assert list(_valid.check_variables([effect("node_swap", 1, ABSENT)], load)) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"definitions": {}}'])
def test_a_schema_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "inventory.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SchemaError, match="install the collection whole"):
        _valid.variables(path)


def test_the_schema_of_the_collection() -> None:
    found = _valid.variables()
    assert {VERSION, *_valid.IMMUTABLE} <= set(found.properties)
    assert {"cluster_", "node_"} <= set(found.prefixes)


@pytest.mark.parametrize(
    ("version", "minor"),
    [
        ("1.37", (1, 37)),
        ("v1.37.2", (1, 37)),
        ("1.37.0-rc.1+x", (1, 37)),
        ("1", None),
        ("1.37.", None),
        ("1.x", None),
        (1.37, None),
        (ABSENT, None),
        ("1.99999", None),
    ],
)
def test_minor_of(version: Value, minor: tuple[int, int] | None) -> None:
    assert _valid.minor_of(version) == minor


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("1.36.3", "1.36.4", ""),
        ("1.36.3", "1.37.0", ""),
        ("1.36.3", "v1.37", ""),
        ("1.36.3", "1.36", ""),  # the newest of that minor
        ("1.36", "1.36.1", ""),
        ("1.36.3", "1.36.2", "never goes back"),
        ("1.36.10", "1.36.9", "never goes back"),
        ("1.36.3", "1.35.9", "never goes back"),
        ("1.36", "1.35", "never goes back"),
        ("1.36.3", "1.38.0", "skips"),
        ("1.36.3", "2.0.0", "skips"),
        ("1.9", "1.10", ""),
        ("1.36.3", "soon", "is no version"),
        ("1.36.3", 1.37, "is no version"),
        ("soon", "1.37", ""),
        (ABSENT, "1.38.2", "skips"),  # from the default
        (ABSENT, "1.36.1", ""),
        ("1.36.3", ABSENT, ""),  # to the default
        ("1.34.3", ABSENT, "skips"),
    ],
)
def test_upgrades(before: Value, after: Value, message: str) -> None:
    load = partial(Variables, {VERSION: {"default": "1.36"}}, ())
    said = [one.message for one in _valid.check_life([effect(VERSION, before, after)], live(), load)]
    assert len(said) == bool(message) and all(message in one for one in said), said


def test_life_is_of_hosts() -> None:
    """What reaches no host is no cluster's; what reaches many hosts in one environment is said once."""
    change = ("1.36.3", "1.39.0")
    none = effect(VERSION, *change, hosts=("",))
    assert list(_valid.check_life([none], live())) == []
    many = [effect(VERSION, *change, hosts=("cp1", "cp2")), effect(VERSION, *change, hosts=("w1",))]
    assert len(list(_valid.check_life(many, live()))) == 1
    new = effect(VERSION, *change, hosts=("cp3",))
    assert list(_valid.check_life([new], (side(), live()[1]))) == []


@pytest.mark.parametrize(("after", "prohibited"), [("10.0.0.0/16", True), ("10.244.0.0/16", False), (ABSENT, False)])
def test_what_cannot_change(after: str, prohibited: bool) -> None:
    load = partial(Variables, {"cluster_pod_cidr": {"default": "10.244.0.0/16"}}, ())
    for before in ("10.244.0.0/16", ABSENT):
        said = list(_valid.check_life([effect("cluster_pod_cidr", before, after)], live(), load))
        assert [one.rule for one in said] == (["immutable"] if prohibited else [])


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"cp1": "1.37.2", "w1": "1.37.1"}, ""),
        ({"cp1": "1.37.2", "w1": "1.34.0"}, ""),
        ({"cp1": "1.37.2", "w1": "1.33.9"}, "w1: a kubelet may be 3 minors behind"),
        ({"cp1": "1.36.9", "w1": "1.37.0"}, "w1: a kubelet may not be newer"),
        ({"cp1": "1.37.0", "cp2": "1.36.0", "w1": "1.36.0"}, ""),
        ({"cp1": "1.37.0", "cp2": "1.36.0", "w1": "1.37.0"}, "w1: a kubelet may not be newer"),
        ({"cp1": "1.37.0", "cp2": "1.35.0"}, "cp2: control planes may be one minor apart, not 2"),
        ({"w1": "1.37.0", "w2": "1.30.0"}, ""),  # without a control plane nothing can be told
        ({"cp1": "", "w1": "1.33.9"}, "w1: a kubelet may be 3 minors behind"),  # the default counts as well
        ({"cp1": "1.36.0", "w1": ""}, "w1: a kubelet may not be newer"),
    ],
)
def test_skew(versions: dict[str, str], message: str) -> None:
    same = dict.fromkeys(versions, "1.36.0")
    change = [effect(VERSION, "1.36.0", "1.36.1")]
    said = [one for one in _valid.check_life(change, (side(**same), side(**versions))) if one.new]
    assert [one.message.startswith(message) for one in said] == ([True] if message else [])
    old = [one for one in _valid.check_life(change, (side(**versions), side(**versions))) if one.new]
    assert old == []  # a skew that is there already is not this change's


def test_the_skew_of_hosts_that_join() -> None:
    """A host may have its version by its groups alone, where no definition changes."""
    subject = Subject("host", "w2", "inventories/prod")
    both = {"groups": ["all", "workers"]}
    joins = effect(VERSION, ABSENT, both, hosts=("w2",))._replace(type=HOST, subject=subject)
    sides = side(cp1="1.37.1", w1="1.37.1"), side(cp1="1.37.1", w1="1.37.1", w2="1.33.1")
    (finding,) = _valid.check_life([joins], sides)
    assert finding.message.startswith("w2: a kubelet may be 3 minors behind") and finding.new
    assert list(_valid.check_life([joins], (sides[0], side(cp1="1.37.1", w1="1.37.1", w2="1.34.1")))) == []


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ({"cp1": "1.37.2", "w1": "1.37.2"}, "1.37.2"),
        ({"cp1": "1.37.2", "w1": "1.36.1"}, "1.37.2"),  # objects are for API servers
        ({"cp1": "1.37.2", "cp2": "1.36.1"}, "1.36.1"),  # and the oldest must take them
        ({"cp1": "soon", "cp2": "1.36.1"}, "1.36.1"),
        ({"cp1": "soon"}, ""),
        ({"w1": "1.36.1"}, "1.36.1"),
        ({}, ""),
    ],
)
def test_the_version_of_an_environment(versions: dict[str, str], found: str) -> None:
    assert _valid.version_of(side(**versions), "prod") == found


@pytest.mark.parametrize(
    ("written", "lock", "found"),
    [
        ("", "", "1.37"),  # the default
        ("", "v1.36.3", "1.36.3"),
        ("1.36", "v1.36.3", "1.36.3"),
        ("1.36.2", "v1.36.3", "1.36.2"),
        ("1.36", "v1.36", "1.36"),  # no exact version
        ("1.36", "", "1.36"),
        ("{{ mine }}", "1.36.3", "1.36.3"),
    ],
)
def test_the_version_that_a_lock_file_makes_of_a_variable(written: str, lock: str, found: str) -> None:
    files = {"inventories/prod/hosts.yml": "control_plane: {hosts: {cp1: }}\nbastions: {hosts: {b1: }}\n"}
    if written:
        files["inventories/prod/group_vars/control_plane.yml"] = f"cluster_kubernetes_version: '{written}'\n"
    if lock:
        files["inventories/prod/lock.yml"] = f"---\nkubernetes: {lock}\n"
    mine = Side(TreeOf(files), Layout(names=frozenset({"prod"})), LIMITS)
    assert _valid.version_of(mine, "prod") == found
    groups = mine.groups("prod")
    assert mine.effective("prod", groups, {VERSION}).version("b1") is None  # no machine of the cluster


def test_what_a_lock_file_may_name_is_what_can_be_built() -> None:
    assert {f"1.{minor}" for minor in _schema.MINORS} == set(load_versions().minors)

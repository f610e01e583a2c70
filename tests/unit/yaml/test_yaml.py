# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The reader of YAML: values, positions, limits."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._yaml import (
    Flavour,
    Limits,
    Tagged,
    Timestamp,
    YamlError,
    read,
    read_file,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st


def value(text: str, flavour: Flavour = "ansible") -> Any:
    documents = read(text, flavour=flavour)
    return documents[0].value if documents else None


@pytest.mark.parametrize(
    ("text", "ansible", "k8s"),
    [
        ("a: on", True, True),
        ("a: y", "y", True),
        ("a: No", False, False),
        ("a: 0777", 511, 511),
        ("a: 0o17", "0o17", 15),
        ("a: 08", "08", 8.0),
        ("a: 0x1F", 31, 31),
        ("a: -0b11", -3, -3),
        ("a: 0b-11", "0b-11", -3),
        ("a: -0b-11", "-0b-11", "-0b-11"),
        ("a: 1_000", 1000, 1000),
        ("a: 1e3", "1e3", 1000.0),
        ("a: 1.5e+3", 1500.0, 1500.0),
        ("a: 1:30", 90, "1:30"),
        ("a: .5", 0.5, 0.5),
        ("a: 1e400", "1e400", "1e400"),
        ("a: 99999999999999999999", 99999999999999999999, 1e20),
        ("a: 2020-01-01", Timestamp("2020-01-01"), "2020-01-01"),
        ("a: ~", None, None),
        ("a:", None, None),
        ("a: 'yes'", "yes", "yes"),
        ("a: !!str 1", "1", "1"),
        ('a: !!int "3"', 3, 3),
        ("a: !!float 3", 3.0, 3.0),
        ("a: !!bool yes", True, True),
        ("a: >-\n  12", "12", "12"),
        ("a: !!binary aGk=", Tagged("!!binary", "aGk="), "hi"),
    ],
)
def test_scalar_is_what_each_reader_makes_of_it(text: str, ansible: Any, k8s: Any) -> None:
    for flavour, wanted in (("ansible", ansible), ("k8s", k8s)):
        found = value(text, flavour)["a"]  # type: ignore[arg-type] # a literal, by the tuple
        assert (type(found), found) == (type(wanted), wanted), flavour


@pytest.mark.parametrize(
    ("text", "ansible", "k8s"),
    [
        ("on: 1", {True: 1}, {"true": 1}),
        ("1: x", {1: "x"}, {"1": "x"}),
        ("1.0: x", {1.0: "x"}, {"1": "x"}),
        ("1e6: x", {"1e6": "x"}, {"1e+06": "x"}),
        ("100000.5: x", {100000.5: "x"}, {"100000.5": "x"}),
        ("0.00001: x", {0.00001: "x"}, {"1e-05": "x"}),
        ('"<<": {a: 1}', {"<<": {"a": 1}}, {"<<": {"a": 1}}),
        ("a: 1\n<<: {a: 2, b: 3}", {"a": 1, "b": 3}, {"a": 2, "b": 3}),
        ("<<: {a: 2, b: 3}\na: 1", {"a": 1, "b": 3}, {"a": 1, "b": 3}),
        ("a: 1\n<<: {a: 2}\na: 3", {"a": 3}, {"a": 3}),
        ("<<: [{a: 1}, {a: 2, b: 3}]", {"a": 1, "b": 3}, {"a": 1, "b": 3}),
        ("x: &x [1]\nz: *x", {"x": [1], "z": [1]}, {"x": [1], "z": [1]}),
    ],
)
def test_mapping_is_what_each_reader_makes_of_it(text: str, ansible: Any, k8s: Any) -> None:
    assert value(text) == ansible
    assert value(text, "k8s") == k8s


@pytest.mark.parametrize("text", ["a: <<", "a: !!merge <<", "? &m <<\n: {}\na: *m"])
def test_a_merge_that_is_no_key_is_text_to_go(text: str) -> None:
    assert value(text, "k8s") == {"a": "<<"}


@pytest.mark.parametrize(
    "text",
    [
        "a: yes",
        "a: [N]",
        "off: 1",
        "a: 0o-7",
        "a: 0_o+7",
        f"a: 0o-{'0' * 70}7",
        f"a: 2020-01-02{' ' * 70}03:04:05",
        "a: 2020-01-01",
        "a: 2020-1-2T03:04:05Z",
        "a: 2020-01-02T03:04:05.10Z",
        "a: 2020-01-02T03:04:05,1Z",
        "a: 2020-01-02 03:04:05.1",
        "a: !!timestamp '2020-01-01'",
        "a: ! 1",
        "'<<': {a: 1}",
        "!!str <<: {a: 1}",
        "!x <<: {a: 1}",
        "a: 1\n<<: {a: 2}",
        "<<: {b: 1, a: 2, <<: {b: 2}}",
        "a: 1\n<<: {b: 1}\nc: 1\n<<: [{d: 1}, {c: 2}]",
    ],
)
def test_what_kustomize_reads_otherwise_is_disputed(text: str) -> None:
    first, second = read(f"{text}\n---\na: 1\n", flavour="k8s")
    assert len(first.disputed) == 1 and not second.disputed
    assert first.disputed[0][0].line == (4 if "c: 2" in text else 2 if "\n" in text else 1)


@pytest.mark.parametrize(
    "text",
    [
        "a: True",
        "a: 'yes'",
        "a: !!bool yes",
        "a: !x yes",
        "a: 0777",
        "a: 1_000",
        "a: 2020-01-02T03:04:05Z",
        "a: 2020-01-02T03:04:05.1+02:00",
        "a: '2020-01-01'",
        "a: 2020-01-02T03:04:05.133525",
        "a: 2020-01-02T03:04:05+0000",
        "a: 2020-01-02 03:04:05 +0000 UTC",
        "a: ! x",
        "a: <<",
        "a: '<<'",
        "<<: {a: 1}\na: 2",
        "b: 1\n<<: {a: 1}\na: 2",
        "<<: {a: 1, <<: {b: 2}}",
        "<<: [{a: 1}, {a: 2}]",
    ],
)
def test_what_kustomize_reads_as_kubectl_is_not_disputed(text: str) -> None:
    assert [one.disputed for one in read(text, flavour="k8s")] == [[]]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1e3}',
        ' [{"a": 1.5e3}]',
        '{"a": NaN}',
        '{"a": "x \u2028 y"}',
        '{"a": {"__ansible_unsafe": "x"}}',
        '{"a": {"__ansible_vault": "x"}}',
    ],
)
def test_what_is_json_to_ansible_says_the_same_as_yaml(text: str) -> None:
    with pytest.raises(YamlError, match="f:1:1: is JSON to Ansible"):
        read(text, "f")
    assert read(text, "f", "k8s")


def test_json_that_says_the_same_is_read_by_ansible() -> None:
    text = '{"a": [1, -2.5, true, null, "x\\u00e9", "1e3"], "b": {}}'
    assert value(text) == {"a": [1, -2.5, True, None, "x\u00e9", "1e3"], "b": {}}
    assert value("{a: 1e3}") == {"a": "1e3"}  # no JSON
    assert value('{"a": 1, "a": 2}') == {"a": 2}
    assert read('{"a": 1, "a": 2}')[0].duplicates


def test_local_tags() -> None:
    text = "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\nb: !unsafe '{{ x }}'\nc: !unsafe {d: [1]}\n"
    found = value(text)
    assert found["a"] == Tagged("!vault", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert found["b"] == Tagged("!unsafe", "{{ x }}")
    assert found["c"] == Tagged("!unsafe", {"d": [1]})
    assert value("a: !x {privileged: on}\nb: !y 1", "k8s") == {"a": {"privileged": True}, "b": "1"}


@pytest.mark.parametrize(
    ("text", "flavour", "line", "column", "says"),
    [
        ("a: [1, 2\n", "ansible", 2, 1, "not YAML"),
        ("a: 1\n b: 2", "ansible", 2, 3, "not YAML"),
        ("a:\n\t- 1", "ansible", 2, 1, "not YAML"),
        ("x\n\x07", "ansible", 2, 1, "not YAML"),
        ("a: *b", "ansible", 1, 4, "names no anchor"),
        ("a: &b\n  c: *b", "ansible", 2, 6, "contains itself"),
        ("a:\n  ? [b]\n  : 1", "ansible", 2, 5, "a key must be"),
        ("!unsafe a: 1", "ansible", 1, 1, "a key must be"),
        ("a: 1\nb: !nope x", "ansible", 2, 4, "!nope"),
        ("b: !nope {x: 1}", "ansible", 1, 4, "!nope"),
        ("a: !!python/object/apply:os.system [x]", "ansible", 1, 4, "!!python"),
        ("a: =", "ansible", 1, 4, "not known"),
        ("a: !!int x", "ansible", 1, 4, "'x'"),
        ("a: !!bool x", "ansible", 1, 4, "not a boolean"),
        ("<<: 3", "ansible", 1, 5, "<< wants"),
        ("a: <<", "ansible", 1, 4, "<< is for keys"),
        ("- <<", "ansible", 1, 3, "<< is for keys"),
        ("!!merge spec: {a: 1}", "k8s", 1, 1, "is no merge"),
        ("a: &m <<\nb: {*m : {a: 1}}", "k8s", 2, 5, "alias of <<"),
        ("null: 1", "k8s", 1, 1, "cannot be a key"),
        ("9223372036854775808: 1", "k8s", 1, 1, "cannot be a key"),
        ("a: .inf", "k8s", 1, 4, "JSON"),
        ("a: !!int yes", "k8s", 1, 4, "!!int"),
        ("a: !!binary '*'", "k8s", 1, 4, "'*'"),
    ],
)
def test_error_says_where_and_what(text: str, flavour: Flavour, line: int, column: int, says: str) -> None:
    with pytest.raises(YamlError) as caught:
        read(text, "f.yml", flavour)
    assert (caught.value.file, caught.value.line, caught.value.column) == ("f.yml", line, column)
    assert says in caught.value.message
    assert str(caught.value).startswith(f"f.yml:{line}:{column}: ")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(YamlError, match="f:2:1: is not UTF-8"):
        read(b"a: 1\nb: \xff", "f")
    with pytest.raises(YamlError, match="is not UTF-8"):
        read("a: 1".encode("utf-16"))
    with pytest.raises(YamlError, match="surrogate"):
        read("a: \ud800")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{here}: &{here} [{','.join([f'*{above}'] * 10)}]\n" for above, here in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "limits", "says"),
    [
        (BOMB, Limits(), "more than 1000000 keys and values"),
        ("a: &a {k: 1}\nb: &b {<<: *a}\n", Limits(nodes=8), "more than 8"),
        ("[" * 101 + "]" * 101, Limits(), "more than 100 levels"),
        ("[" * 100_000, Limits(), "levels|not YAML"),
        ("- &a [[[]]]\n- [[*a]]", Limits(depth=5), "more than 5 levels"),
        ("- &a 1\n" + "- *a\n" * 11, Limits(aliases=10), "more than 10 aliases"),
        ("a: 12345", Limits(size=7), "larger than 7 bytes"),
    ],
)
def test_bombs_are_refused(text: str, limits: Limits, says: str) -> None:
    with pytest.raises(YamlError, match=says):
        read(text, limits=limits)


def test_limits_allow_what_they_say() -> None:
    assert read("[" * 100 + "]" * 100)[0].root.height == 100
    assert value("- &a 1\n" + "- *a\n" * 3) == [1, 1, 1, 1]


TEXT = """\
---
cluster_name: prod
node_taints:
  - key: a   # a comment
    effect: NoSchedule
  - {key: b, effect: NoExecute}
common: &common
  x: 1
more:
  <<: *common
  y: *common
cluster_name: test
---
second: true
"""


@pytest.mark.parametrize(
    ("path", "key", "at"),
    [
        ((), (2, 1), (2, 1)),
        (("node_taints",), (3, 1), (4, 3)),
        (("node_taints", 0), (4, 5), (4, 5)),
        (("node_taints", 0, "effect"), (5, 5), (5, 13)),
        (("node_taints", 1, "effect"), (6, 14), (6, 22)),
        (("more", "x"), (8, 3), (8, 6)),
        (("more", "y"), (11, 3), (11, 6)),
        (("more", "y", "x"), (8, 3), (8, 6)),
        (("cluster_name",), (12, 1), (12, 15)),
        (("more", "absent", "deep"), (10, 3), (10, 3)),
        (("node_taints", 7), (4, 3), (4, 3)),
        (("node_taints", "text"), (4, 3), (4, 3)),
    ],
)
def test_positions(path: tuple[Any, ...], key: tuple[int, int], at: tuple[int, int]) -> None:
    document = read(TEXT, "vars.yml")[0]
    assert (document.position(path).line, document.position(path).column) == at
    assert (document.key_position(path).line, document.key_position(path).column) == key
    assert document.position(path).origin.line == at[0]


def test_duplicates_are_reported_and_the_last_wins() -> None:
    first, second = read(TEXT, "vars.yml")
    assert first.value["cluster_name"] == "test"
    assert [str(one) for one in first.duplicates] == ["vars.yml:12:1: key 'cluster_name' is there already, at line 2"]
    assert second.duplicates == [] and second.index == 1 and second.value == {"second": True}
    nested = read("a:\n  - b: 1\n    b: 2\n")[0]
    assert [one.path for one in nested.duplicates] == [("a", 0, "b")]
    assert read("1: a\n'1': b\n", flavour="k8s")[0].duplicates[0].path == ("1",)
    assert read("a: {<<: {b: 1}, b: 2}")[0].duplicates == []


def test_values_do_not_share() -> None:
    found = value("a: &a {k: [1]}\nb: *a")
    found["a"]["k"].append(2)
    assert found["b"] == {"k": [1]}


def test_empty_texts() -> None:
    assert read("") == [] and read("# nothing\n") == []
    assert [one.value for one in read("---\n---\n")] == [None, None]


def test_read_file(tmp_path: Any) -> None:
    path = tmp_path / "a.yml"
    path.write_text("a: 1\n", encoding="utf-8")
    assert read_file(path)[0].position(("a",)).file == str(path)
    with pytest.raises(YamlError, match="larger"):
        read_file(path, limits=Limits(size=2))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none.yml")


def test_walk_gives_every_value() -> None:
    document = read("a: [1, {b: 2}]")[0]
    assert [path for path, _node in document.walk()] == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b")]
    assert list(document.walk(("none",))) == []


def _comparable(found: Any) -> Any:
    """What PyYAML builds, in the shape this reader gives it."""
    if isinstance(found, (datetime.date, datetime.datetime)):
        return "(date)"
    if isinstance(found, dict):
        return {_comparable(key): _comparable(item) for key, item in found.items()}
    return [_comparable(item) for item in found] if isinstance(found, list) else found


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans())
def test_what_is_written_is_read_again(wanted: Any, is_flow: bool) -> None:
    text = yaml.safe_dump(wanted, default_flow_style=is_flow, allow_unicode=True)
    assert value(text) == wanted


@given(values)
def test_positions_point_at_the_key(wanted: Any) -> None:
    text = yaml.safe_dump({"root": wanted}, default_flow_style=False, allow_unicode=True, width=10_000)
    document = read(text)[0]
    # libyaml counts lines as YAML 1.1 does, where also NEL, LS and PS end one.
    lines = text.replace("\x85", "\n").replace("\u2028", "\n").replace("\u2029", "\n").split("\n")
    for path, _node in document.walk():
        if path and isinstance(path[-1], str) and path[-1].isidentifier():
            place = document.key_position(path)
            assert lines[place.line - 1][place.column - 1 :].lstrip("'\"? ").startswith(path[-1])


FRAGMENTS = st.sampled_from(
    ["a: ", "b: ", "- ", "\n", "  ", "&x ", "*x", "[", "]", "{", "}", ", ", "? ", "<<: ", "!!int ", "!!str ", "!vault ",
     "'", '"', "|\n", ">-\n", "#", "---\n", "...\n", "1", "0x_", "1:3", "on", "~", ".inf", "=", "\t", "\x00", "é",
     "\ufeff"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(FRAGMENTS, max_size=14).map("".join) | st.text(max_size=40))
def test_any_text_gives_what_pyyaml_gives_or_a_yaml_error(text: str) -> None:
    try:
        mine = [one.value for one in read(text)]
        wanted = list(yaml.load_all(text, yaml.CSafeLoader))
    except (YamlError, yaml.YAMLError, ValueError, RecursionError, TypeError):
        return  # refused by one: this reader also refuses what is only dangerous
    theirs = repr(_comparable(wanted))  # repr tells 1 from True, and nan equals nan
    assert repr(mine) == theirs or "(date)" in theirs or "Tagged" in repr(mine)


@settings(max_examples=600)
@given(st.lists(FRAGMENTS, max_size=14).map("".join) | values.map(yaml.safe_dump), st.integers(0, 4))
@example("{a: [1, {b: [2]}]}", 4)
@example("{a: [1, {b: [2]}]}", 3)
@example("a: 1\nb: 2\n", 1)
@example("? {a: 1}\n: 2", 4)
@example("--- 1\n--- !x 2\n", 4)
@example("- &a [x]\n- *a\n", 4)
@example("a: <<\n", 4)
def test_the_quick_way_gives_what_the_close_look_gives_or_nothing(text: str, depth: int) -> None:
    data, limits = text.encode(), Limits(depth=depth, nodes=5 * depth)
    quick = _yaml._quickly(data, limits)
    if quick is None:
        return
    close = _yaml._Reader(data, "f", "k8s", limits).documents()
    assert [(one.start.line, one.start.column) for one in close] == quick[0]
    assert repr([one.value for one in close]) == repr(quick[1])  # repr tells 1 from True
    assert not any(one.duplicates for one in close)


def test_the_quick_way_goes_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []

    class Counting(_yaml._LOADER):  # type: ignore[misc]  # it is C's or Python's
        def get_event(self) -> Any:
            events.append(super().get_event())
            return events[-1]

    monkeypatch.setattr(_yaml, "_LOADER", Counting)
    assert _yaml._quickly(b"- x\n" * 1000, Limits(nodes=10)) is None
    assert len(events) < 20


def test_what_is_read_quickly_knows_its_places() -> None:
    first, second = read("kind: A\n---\n  spec:\n    - x: on\n      'y': \"on\"\n", "f.yml", "k8s")
    assert (first.index, first.value) == (0, {"kind": "A"})
    assert (second.index, second.value) == (1, {"spec": [{"x": True, "y": "on"}]})
    assert str(second.position()) == "f.yml:3:3"
    assert str(second.position(("spec", 0, "y"))) == "f.yml:5:12"
    assert str(second.key_position(("spec", 0, "y"))) == "f.yml:5:7"
    assert [path for path, _node in first.walk()] == [(), ("kind",)]


@settings(max_examples=300)
@given(st.binary(max_size=40) | st.lists(FRAGMENTS, max_size=14).map("".join))
def test_nothing_but_a_yaml_error_comes_out(text: Any) -> None:
    for flavour in ("ansible", "k8s"):
        try:
            for document in read(text, flavour=flavour):
                assert [document.position(path) for path, _node in document.walk()]
        except YamlError as error:
            assert error.line >= 1 and error.column >= 1

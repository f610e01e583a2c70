# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Changes, problems and steps as people and programs read them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Origin, Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _report
from ansible_collections.weft.platform.plugins.plugin_utils._report._values import difference, show
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "plan.json").read_text(encoding="utf-8"))


def change(kind: str, name: str, before: Any, after: Any, scope: str = "cp1", **rest: Any) -> Change:
    return Change(Subject(kind, name, scope), rest.pop("field", ()), before, after, **rest)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (ABSENT, "(absent)"),
        ("text", "text"),
        ("", '""'),
        (" padded", '" padded"'),
        ("tab\there", "tab\\there"),
        ("a\nb\n", "2 lines"),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        ({"a": 1}, '{"a": 1}'),
        ({str(number): "x" * 9 for number in range(9)}, "{9 keys}"),
        (["x" * 60], "[1 item]"),
        ("x" * 60, "x" * 41 + "..."),
        ("red\x1b[31m", "red\\x1b[31m"),
    ],
)
def test_value_on_one_line(value: Any, wanted: str) -> None:
    assert show(value) == wanted


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_no_value_breaks_a_table(value: Any) -> None:
    text = show(value)
    assert len(text) <= 44 and "\n" not in text and text.isprintable()


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (change("sysctl", "a", "0", "1"), "0 -> 1"),
        (change("sysctl", "a", ABSENT, "1"), "1"),
        (change("directory", "a", ABSENT, {"mode": "0755"}), ""),
        (change("file", "a", ABSENT, "x\ny\n"), ""),
        (change("file", "a", 1, ABSENT), "1"),
        (change("file", "a", ABSENT, "0644", field=("mode",)), "(absent) -> 0644"),
        (change("file", "a", "a\nb\nc\n", "a\nB\nc\nd\n", field=("content",)), "4 lines (+2 -1)"),
        (
            change("file", "a", "a" * 50 + "x" + "b" * 20, "a" * 50 + "y" + "b" * 20),
            "...aaaaaaaax" + "b" * 20 + " -> ...aaaaaaaay" + "b" * 20,
        ),
        (change("file", "a", "hunter2", "hunter3", secret=True), "(secret) -> (secret)"),
        (change("file", "a", "a\nb", "a\nc", secret=True, field=("content",)), "(secret) -> (secret)"),
    ],
)
def test_difference(one: Change, wanted: str) -> None:
    assert difference(one) == wanted


CHANGES = [
    *(
        change("image", f"registry.k8s.io/{name}:v1", ABSENT, {"digest": "x"}, scope)
        for scope in ("cp1", "cp2")
        for name in "abcde"
    ),
    *(change("sysctl", "net.ipv4.ip_forward", "0", "1", scope) for scope in ("cp1", "cp2")),
    *(
        change(
            "file",
            "/etc/containerd/config.toml",
            "a = 1\n",
            "a = 2\nb = 1\n",
            scope,
            field=("content",),
            cost="restart containerd.service",
        )
        for scope in ("cp1", "cp2")
    ),
    change("file", "/etc/secret", "hunter2\n", "hunter3\n", "w1", secret=True, field=("content",)),
    change("unit", "old.service", {"enabled": True}, ABSENT, "w1"),
    change("Deployment.apps", "kube-system/coredns", 2, 3, "", field=("spec", "replicas")),
]


def test_table_groups_machines_that_change_alike() -> None:
    assert _report.table(CHANGES, {"cp1": "control plane", "cp2": "control plane", "w1": "worker"}) == (
        "cp1, cp2  (2 control planes)\n"
        "  + image   5: registry.k8s.io/a:v1, registry.k8s.io/b:v1, registry.k8s.io/c:v1, registry.k8s.io/d:v1,\n"
        "               registry.k8s.io/e:v1\n"
        "  ~ sysctl  net.ipv4.ip_forward          0 -> 1\n"
        "  ~ file    /etc/containerd/config.toml  content: 2 lines (+2 -1)  [restart containerd.service]\n"
        "\n"
        "w1  (worker)\n"
        "  ~ file  /etc/secret  content: (secret) -> (secret)\n"
        "  - unit  old.service\n"
        "\n"
        "cluster\n"
        "  ~ Deployment.apps  kube-system/coredns  spec.replicas: 2 -> 3"
    )


def test_table_with_differences_of_files_keeps_secrets() -> None:
    text = _report.table(CHANGES, diff=True)
    assert "      -a = 1\n      +a = 2\n      +b = 1" in text
    assert "hunter" not in text
    new = [change("file", "/etc/new", ABSENT, "one\ntwo\n")]
    assert "+one" in _report.table(new, diff=True) and "+one" not in _report.table(new)


def test_no_text_reaches_the_terminal_unescaped() -> None:
    evil = [change("file", "/etc/\x1b[2J", "a\n", "a\n\x1b[2J\n", field=("content",))]
    text = _report.table(evil, diff=True)
    assert "\x1b" not in text and "/etc/\\x1b[2J" in text and "+\\x1b[2J" in text


def test_table_of_nothing_is_empty() -> None:
    assert _report.table([]) == ""


def test_every_change_is_in_the_table() -> None:
    text = _report.table(CHANGES)
    assert all(one.subject.name in text for one in CHANGES)


@pytest.mark.parametrize(
    ("changes", "unreachable", "wanted"),
    [
        ([], [], ["Nothing to change."]),
        ([], ["w2"], ["Nothing to change.", "unreachable, and left out: w2"]),
        (
            CHANGES,
            [],
            [
                "3 machines, 17 changes: 10 added, 6 changed, 1 removed; 1 of them to objects of the cluster",
                "restart containerd.service on cp1, cp2",
            ],
        ),
        (CHANGES[-1:], [], ["1 change: 1 changed"]),
        (
            [change("file", "a", 0, 1, f"w{number}", cost="restart a, drain") for number in range(12)],
            [],
            [
                "12 machines, 12 changes: 12 changed",
                "restart a on w0, w1, w2, w3, w4, w5, w6, w7 and 4 more",
                "drain on w0, w1, w2, w3, w4, w5, w6, w7 and 4 more",
            ],
        ),
    ],
)
def test_sentences(changes: list[Change], unreachable: list[str], wanted: list[str]) -> None:
    assert _report.sentences(_report.summarise(changes), unreachable) == wanted


def test_problems_as_text() -> None:
    found: list[dict[str, Any]] = [
        {
            "severity": "error",
            "message": "a is wrong",
            "remedy": "Mend it.",
            "file": "a.yml",
            "line": 3,
            "subject": "cp1",
        },
        {"message": "b is wrong: " + "long " * 30},
        {"message": "d is small", "subject": "w1", "check": "disk"},
        {"severity": "warning", "message": "c is odd", "file": "c.yml"},
    ]
    text = _report.problems(found, "The inventory")
    assert text.startswith(
        "The inventory: 3 errors and 1 warning.\n\nERROR    a.yml:3  (cp1)\n         a is wrong\n      -> Mend it.\n"
    )
    assert "\n\nERROR    (w1, check disk)\n         d is small\n" in text
    assert text.endswith("\n\nWARNING  c.yml\n         c is odd")
    assert max(map(len, text.splitlines())) <= 110
    assert _report.sentence(found[0]) == "a.yml:3: a is wrong. Mend it."


# --- steps ------------------------------------------------------------------------------------------------------------


def made(planes: int, workers: int, objects: int = 19, **stages: Any) -> list[_report.Step]:
    names = [f"cp{number}" for number in range(1, planes + 1)] + [f"w{number}" for number in range(1, workers + 1)]
    whole = {"leader": "cp1", "initialise": True, "prepare": names, "member": names, "joiners": names[1:], **stages}
    counts = {name: {"prepare": 100, "member": 3} for name in names}
    return _report.steps(whole, names[:planes], counts, objects)


SETTLED: dict[str, Any] = {"initialise": False, "prepare": [], "member": [], "joiners": []}


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (
            made(2, 1),
            {
                "prepare:cp1": (),
                "prepare:cp2": (),
                "prepare:w1": (),
                "initialise:cp1": ("prepare:cp1",),
                "credentials": ("initialise:cp1",),
                "join:cp2": ("prepare:cp2", "credentials"),
                "join:w1": ("prepare:w1", "credentials"),
                "objects": ("initialise:cp1",),
                "ready": ("join:cp2", "join:w1", "objects"),
            },
        ),
        (
            made(3, 0, objects=0)[4:],
            {
                "credentials": ("initialise:cp1",),
                "join:cp2": ("prepare:cp2", "credentials"),
                "join:cp3": ("prepare:cp3", "join:cp2"),
                "objects": ("initialise:cp1",),
                "ready": ("join:cp3", "objects"),
            },
        ),
        (
            made(3, 3, objects=0, **{**SETTLED, "prepare": ["w3"], "member": ["w3"], "joiners": ["w3"]}),
            {
                "prepare:w3": (),
                "credentials": (),
                "join:w3": ("prepare:w3", "credentials"),
                "ready": ("join:w3",),
            },
        ),
        (
            made(3, 0, objects=0, **{**SETTLED, "member": ["cp1", "cp2", "cp3"]}),
            {
                "configure:cp1": (),
                "configure:cp2": ("configure:cp1",),
                "configure:cp3": ("configure:cp1",),
                "ready": ("configure:cp2", "configure:cp3"),
            },
        ),
        (made(3, 0, objects=2, **SETTLED), {"objects": (), "ready": ("objects",)}),
        (made(3, 0, objects=0, **SETTLED), {}),
    ],
    ids=["new cluster", "control planes one by one", "new worker", "settings", "objects", "nothing"],
)
def test_steps(steps: list[_report.Step], wanted: dict[str, tuple[str, ...]]) -> None:
    assert {step.id: step.after for step in steps} == wanted


def test_many_machines_are_one_step() -> None:
    steps = {step.id: step for step in made(1, 50)}
    assert steps["prepare:51-machines"].changes == 5100
    assert steps["join:50-machines"].machines == tuple(f"w{number}" for number in range(1, 51))
    assert len(steps) == 6


def shape(steps: list[_report.Step]) -> tuple[list[str], list[str]]:
    picture = ElementTree.fromstring(_report.svg(steps, "Plan <of> prod"))
    name = "{http://www.w3.org/2000/svg}"
    texts = [one.text or "" for one in picture.iter(f"{name}text")]
    edges = [one.get("d", "") for one in picture.iter(f"{name}path") if one.get("marker-end")]
    return texts, edges


@pytest.mark.parametrize(
    "steps", [made(3, 2), made(5, 50), made(1, 0, **SETTLED), []], ids=["3+2", "5+50", "objects", "none"]
)
def test_svg_draws_every_step_inside_the_picture(steps: list[_report.Step]) -> None:
    texts, _edges = shape(steps)
    assert texts[0] == "Plan <of> prod"
    assert all(step.title in texts for step in steps)
    assert steps or "Nothing to change." in texts
    picture = ElementTree.fromstring(_report.svg(steps))
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    boxes = list(picture.iter("{http://www.w3.org/2000/svg}rect"))
    for box in boxes:
        x, y, wide, high = (float(box.get(key, 0)) for key in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height


def test_picture_in_the_docs_is_current() -> None:
    assert (ROOT / "docs" / "images" / "plan.svg").read_text(encoding="utf-8") == _report.svg(
        made(3, 2), "Plan of prod"
    )


def test_svg_boxes_do_not_overlap() -> None:
    picture = ElementTree.fromstring(_report.svg(made(3, 2)))
    boxes = [
        tuple(float(one.get(key, 0)) for key in ("x", "y", "width", "height"))
        for one in picture.iter("{http://www.w3.org/2000/svg}rect")
        if one.get("stroke")
    ]
    assert len(boxes) == len(made(3, 2))
    for number, (x, y, wide, high) in enumerate(boxes):
        for x2, y2, wide2, high2 in boxes[number + 1 :]:
            assert x + wide <= x2 or x2 + wide2 <= x or y + high <= y2 or y2 + high2 <= y


def test_svg_leaves_out_edges_that_another_way_says() -> None:
    steps = [
        _report.Step("a", "prepare", "a", ("m",)),
        _report.Step("b", "join", "b", ("m",), ("a",)),
        _report.Step("c", "join", "c", ("m",), ("a", "b")),
    ]
    assert len(shape(steps)[1]) == 2


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_reads_the_dot_file() -> None:
    result = subprocess.run(
        ["dot", "-Tplain"], input=_report.dot(made(3, 2)), capture_output=True, text=True, check=True
    )
    assert result.stdout.count("\nnode ") == len(made(3, 2))


def test_dot_escapes_names() -> None:
    text = _report.dot([_report.Step('a"b', "prepare", 'prepare a"b\\', ('a"b',))])
    assert '"a\\"b" [label="prepare a\\"b\\\\"' in text


# --- the document -----------------------------------------------------------------------------------------------------


def document() -> dict[str, Any]:
    machines = {"cp1": {"role": "control_plane", "state": "observed"}, "w1": {"role": "worker", "state": "unreachable"}}
    problems = [{"severity": "warning", "message": "w1 cannot be reached", "subject": "w1"}]
    placed = [change("sysctl", "a", "0", "1", origin=Origin("a.yml", 3))]
    return _report.document("prod", machines, [*CHANGES, *placed], problems, made(2, 1))


def test_document_fits_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(_report.text(document())))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("format"),
        lambda found: found["changes"][0].update(action="made"),
        lambda found: found["machines"]["cp1"].update(state="well"),
        lambda found: found["steps"][0].pop("after"),
        lambda found: found.update(more=1),
    ],
)
def test_schema_refuses_what_is_no_plan(spoil: Any) -> None:
    found = json.loads(_report.text(document()))
    spoil(found)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(found)


def test_document_holds_no_secret_and_reads_back() -> None:
    text = _report.text(document())
    assert "hunter" not in text
    changes = [Change.from_json(one) for one in json.loads(text)["changes"]]
    assert [one.subject for one in changes][: len(CHANGES)] == [one.subject for one in CHANGES]
    assert text == _report.text(document())

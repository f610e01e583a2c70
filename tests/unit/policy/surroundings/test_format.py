# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import Change, Origin, Subject
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format, _sarif
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CONTENT,
    KINDS,
    NOT_PERMITTED,
    PROHIBIT,
    Delta,
    Finding,
    Permission,
    PolicyError,
    Verdict,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.surroundings import policy_verdicts as verdicts

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = pytest.mark.parametrize("verdict", [verdicts.PROHIBITED, verdicts.PERMITTED, verdicts.UNJUDGED])
ANY = st.text(st.characters(codec=None), max_size=40)


def hostile(words: str) -> Verdict:
    """A verdict in which everything that can come from a repository is `words`."""
    change = Change(
        Subject("ConfigMap", words, words), (words, f"[{words}]"), words, {words: [words]}, origin=Origin(words, 1)
    )
    path = Change(Subject("path", words), (), words, words, origin=Origin(words))
    return verdicts.verdict(
        Finding(words, PROHIBIT, NOT_PERMITTED, words, (f"user:{words}",), words, Origin(words, 2), change=change),
        Finding(words, "warn", CONTENT, words, (), words, Origin(words), Subject("Pod", words), (words,), new=False),
        changes=(change, path),
        permissions=(Permission(path, (words,), (words,)),),
        deltas=(Delta("loosens", words, Origin(words)),),
        people=((words, "forge"),),
        approvals=(words,),
        target=words,
    )


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(PolicyError, match="no form 'pdf'; there are json, junit, markdown, sarif, text"):
        _format.show(verdicts.PERMITTED, "pdf")


def test_text_says_what_which_rule_who_and_how_to_go_on() -> None:
    shown = _format.show(verdicts.PROHIBITED, "text")
    assert shown.startswith("PROHIBITED: 9f8e7d6c5b4a into main. 2 things stand in the way:\n")
    for line in (
        "1. inventories/prod/group_vars/cluster.yml:12",
        '   cluster_kubernetes_version: "1.36" -> "1.37"  (in inventories/prod)',
        "   mona may not change cluster_kubernetes_version in inventories/prod",
        "   Who could: role cluster-operators or user olga",
        "2. apps/shop/web.yml:31",
        "There before the change, not counted (1):",
        "  loosens: application-developers may newly change Secret objects in",
        "Behind it: mona (forge), hubot (signature). Approvals that count: olga.",
    ):
        assert line in shown.splitlines(), line
    assert "Rule:      only Cluster Operators change Kubernetes versions" in shown
    assert "Go on:     ask one of role cluster-operators" in shown


def test_text_fits_behind_remote_in_80_columns() -> None:
    for verdict in (verdicts.PROHIBITED, verdicts.PERMITTED, verdicts.UNJUDGED):
        assert max(map(len, _format.show(verdict, "text").splitlines())) <= 72


def test_nobody_could_is_said() -> None:
    finding = verdicts.NOT_ALLOWED._replace(who_could=())
    assert "   Who could: nobody" in _format.show(verdicts.verdict(finding), "text")
    assert "**Who could:** nobody" in _format.show(verdicts.verdict(finding), "markdown")


def test_what_is_the_same_of_several_objects_is_said_once_with_all_of_them() -> None:
    """As of the overlays of one base: one line is wrong, and the reader mends one line."""
    overlays = [
        verdicts.WRONG_IMAGE._replace(subject=Subject("Deployment.apps", f"shop-{one}/web", f"apps/overlays/{one}"))
        for one in ("dev", "staging", "prod", "a", "b", "c", "dev")
    ]
    verdict = verdicts.verdict(*overlays, verdicts.WRONG_IMAGE._replace(message="another"))
    shown = _format.show(verdict, "text")
    assert "2 things stand in the way" in shown and shown.count("is not from registry.example.com") == 1
    assert "1. apps/shop/web.yml:31\n   Deployment.apps:shop-dev/web  (in apps/overlays/dev)\n" in shown
    assert "   Deployment.apps:shop-a/web  (in apps/overlays/a)\n   and 2 more\n" in shown
    comment = _format.show(verdict, "markdown")
    assert "**2 things stand" in comment and "`Deployment.apps:shop-prod/web` in `apps/overlays/prod`" in comment
    assert _format.summary(verdict).endswith("(and 1 more)")
    assert len(sarif(verdict)["results"]) == 8 and _format.show(verdict, "junit").count("<failure") == 8


def test_what_does_not_stand_in_the_way_says_of_what_it_is_said() -> None:
    three = [verdicts.WARNING._replace(subject=Subject("Pod", f"shop/{one}", "apps")) for one in "abc"]
    shown = _format.show(verdicts.verdict(*three), "text")
    assert "Warnings (1):\n  apps/shop/web.yml:30: Pod:shop/a and 2 more: container web has no" in shown
    assert "Pod:shop/a and 2 more: container web" in _format.show(verdicts.verdict(*three), "markdown")


def test_who_must_be_several_things_is_told_as_one() -> None:
    finding = verdicts.NOT_ALLOWED._replace(who_could=("role:a and team:b", "user:c"))
    assert _format.who_could(finding) == "role a and team b or user c"


def test_what_stands_in_the_way_is_bounded_in_text_and_comment() -> None:
    many = [verdicts.WRONG_IMAGE._replace(message=f"finding {number}") for number in range(1000)]
    shown = _format.show(verdicts.verdict(*many), "text")
    assert "And 800 more" in shown and "1000 things" in shown
    assert "finding 999" in _format.show(verdicts.verdict(*many), "text", everything=True)
    comment = _format.as_markdown(verdicts.verdict(*many), limit=10_000)
    assert len(comment) <= 10_000
    left = re.search(r"no room here for (\d+) more", comment)
    assert left is not None and int(left[1]) + comment.count("#### ") == 1000


@EXAMPLES
def test_summary_fits_a_commit_status(verdict: Verdict) -> None:
    assert len(_format.summary(verdict)) <= 140
    assert _format.summary(verdict).startswith("permitted" if verdict.permitted else "prohibited")


def test_summary_of_long_messages_and_of_none() -> None:
    long = verdicts.NOT_ALLOWED._replace(message="very " * 100)
    assert len(_format.summary(verdicts.verdict(long, long))) == 140
    assert _format.summary(verdicts.verdict(permitted=False)) == "prohibited"


@EXAMPLES
def test_markdown_begins_with_the_marker_and_has_no_loose_html(verdict: Verdict) -> None:
    shown = _format.show(verdict, "markdown")
    assert shown.startswith(_format.MARKER)
    tags = re.findall(r"<(/?\w+)", shown)
    assert set(tags) <= {"details", "/details", "summary", "/summary", "sub", "/sub"}
    assert tags.count("details") == tags.count("/details")


def test_markdown_without_html_has_none() -> None:
    assert "<" not in _format.as_markdown(verdicts.PROHIBITED, html=False)


@pytest.mark.parametrize(
    "words", ["@everyone", "x\n/merge\n", "</details><script>", "fixes #1", "https://evil.example", "``` x", "| a |"]
)
def test_markdown_lets_nothing_out(words: str) -> None:
    for html in (True, False):
        shown = _format.as_markdown(hostile(words), html=html)
        outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", shown)  # what a code span holds stays as it is
        assert "@everyone" not in outside
        assert "<script" not in outside
        assert "://" not in outside
        assert not re.search(r"(?<!\\)#1", outside)
        assert not [line for line in shown.splitlines() if line.startswith("/")]


@settings(max_examples=150, deadline=None)
@given(ANY)
def test_every_form_of_anything_can_be_written_and_read(words: str) -> None:
    verdict = hostile(words)
    for form in _format.FORMS:
        shown = _format.show(verdict, form)
        shown.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown) or form == "json"
    json.loads(_format.show(verdict, "json"))
    json.loads(_format.show(verdict, "sarif"))
    ET.fromstring(_format.show(verdict, "junit"))


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "schemas" / "verdict.json").read_text(encoding="utf-8"))
    return loaded


@EXAMPLES
def test_json_fits_its_schema(verdict: Verdict) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(_format.show(verdict, "json")), schema())


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_json_of_anything_fits_its_schema(words: str) -> None:
    jsonschema.validate(json.loads(_format.show(hostile(words), "json")), schema())


def test_the_schema_refuses_a_permitted_verdict_with_a_prohibition() -> None:
    broken = {**json.loads(_format.show(verdicts.PROHIBITED, "json")), "permitted": True}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema())


def sarif(verdict: Verdict) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(_format.show(verdict, "sarif"))["runs"][0]
    return run


def test_sarif_results_have_rules_levels_lines_and_fingerprints() -> None:
    run = sarif(verdicts.PROHIBITED)
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [
        "not-permitted/only-cluster-operators-change-kubernetes-versions",
        "content/images-come-from-our-registry",
        "content/limits",
    ]
    assert [one["level"] for one in run["results"]] == ["error", "error", "warning", "note", "warning"]
    assert [one["baselineState"] for one in run["results"]] == ["new"] * 4 + ["unchanged"]
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["message"]["text"]
        place = one["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        assert place["region"]["startLine"] >= 1
    first = run["results"][0]["locations"][0]
    assert first["physicalLocation"]["artifactLocation"]["uri"] == "inventories/prod/group_vars/cluster.yml"
    assert first["physicalLocation"]["region"] == {"startLine": 12}
    assert first["logicalLocations"][0]["fullyQualifiedName"] == "variable:cluster_kubernetes_version@inventories/prod"
    marks = [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]
    assert len(set(marks)) == len(marks)
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]


def test_sarif_stays_within_what_code_scanning_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub refuses a file with more results, and rules with longer words, as a whole."""
    assert _sarif._RESULTS == 25_000
    monkeypatch.setattr(_sarif, "_RESULTS", 2)
    long = verdicts.WRONG_IMAGE._replace(rule="x" * 5000)
    run = sarif(verdicts.verdict(long, verdicts.WRONG_IMAGE, verdicts.WARNING))
    assert [one["level"] for one in run["results"]] == ["error", "error"]
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("1 more finding left out: ")
    rule = run["tool"]["driver"]["rules"][0]
    assert len(rule["name"]) == 255 and len(rule["id"]) < 255
    assert len(rule["shortDescription"]["text"]) == len(rule["fullDescription"]["text"]) == 1024
    assert "toolExecutionNotifications" not in sarif(verdicts.verdict(long))["invocations"][0]


def test_sarif_fingerprints_stay_when_lines_move() -> None:
    moved = verdicts.WRONG_IMAGE._replace(origin=Origin("apps/shop/other.yml", 99))
    one, two = (sarif(verdicts.verdict(finding))["results"][0] for finding in (verdicts.WRONG_IMAGE, moved))
    assert one["partialFingerprints"] == two["partialFingerprints"]
    twice = sarif(verdicts.verdict(verdicts.WRONG_IMAGE, moved))["results"]
    assert twice[0]["partialFingerprints"] != twice[1]["partialFingerprints"]


def test_sarif_of_a_verdict_that_could_not_be_made() -> None:
    run = sarif(verdicts.UNJUDGED)
    assert run["invocations"] == [{"executionSuccessful": False, "exitCode": 2}]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "policy/roles.yml"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a/b.yml", "a/b.yml"),
        ("a b/ü#?.yml", "a%20b/%C3%BC%23%3F.yml"),
        ("new\nline", "new%0Aline"),
        ("bad\udcff", "bad%FF"),
        ("c:/x", "c%3A/x"),
        ("../../etc/passwd", "etc/passwd"),
        ("//host/x", "host/x"),
    ],
)
def test_sarif_uri(path: str, uri: str) -> None:
    assert _sarif.uri(path) == uri


@given(st.binary(min_size=1, max_size=30))
def test_sarif_uri_keeps_every_byte_of_a_git_path(raw: bytes) -> None:
    path = raw.replace(b"/", b"_").replace(b".", b"_")
    assert unquote_to_bytes(_sarif.uri(path.decode("utf-8", "surrogateescape"))) == path


def test_sarif_messages_escape_what_sarif_gives_a_meaning() -> None:
    found = verdicts.WRONG_IMAGE._replace(message="[x](1) {0} \\", remedy="")
    assert sarif(verdicts.verdict(found))["results"][0]["message"]["text"] == "\\[x\\](1) {{0}} \\\\"


def test_sarif_rule_ids_of_like_names_differ() -> None:
    names = ["images: ours", "images ours", "Images; ours", "ímages ours", "x" * 81, "x" * 82]
    ids = {_sarif.rule_id(verdicts.WRONG_IMAGE._replace(rule=name)) for name in names}
    assert len(ids) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*/[a-z0-9-]+", one) for one in ids)


def test_every_kind_has_words() -> None:
    assert set(_format.KIND_WORDS) == set(KINDS)


@EXAMPLES
def test_junit_counts_what_it_holds(verdict: Verdict) -> None:
    root = ET.fromstring(_format.show(verdict, "junit"))
    suite = root[0]
    cases = suite.findall("testcase")
    assert int(suite.get("tests", "")) == len(cases) == len(verdict.findings) + len(verdict.permissions)
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(attribute, "")) == len(suite.findall(f"testcase/{tag}"))
    assert (int(suite.get("failures", "")) + int(suite.get("errors", "")) == 0) == verdict.permitted


def test_junit_says_who_could() -> None:
    root = ET.fromstring(_format.show(verdicts.PROHIBITED, "junit"))
    failure = root.find(".//failure")
    assert failure is not None and "Who could: role cluster-operators or user olga" in (failure.text or "")
    case = root.find(".//testcase")
    assert (
        case is not None and case.get("file") == "inventories/prod/group_vars/cluster.yml" and case.get("line") == "12"
    )

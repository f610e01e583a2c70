# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Rules in Rego by the real opa, with the conventions of conftest's documentation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _rego
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CONTENT,
    ERROR,
    INFO,
    PROHIBIT,
    WARN,
    ContentError,
    Finding,
)

from tests.unit.policy.content.content_jobs import job, object_at, objects

pytestmark = pytest.mark.usefixtures("opa")

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "a", "image": "x"}]},
}
V1 = "package main\n"


def judged(source: str, obj: Any = POD, **params: Any) -> list[Finding]:
    """Findings of a policy of one file about one object."""
    made = job("rego", {"files": "policy/a.rego", **params}, [object_at(obj)], policy={"policy/a.rego": source})
    (found,) = _rego.check([made])
    return found


def said(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.severity, one.message) for one in found]


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ('deny contains "no"', PROHIBIT),
        ('deny_images contains "no"', PROHIBIT),
        ('violation contains {"msg": "no", "details": {}}', PROHIBIT),
        ('violation_2_b contains {"msg": "no"}', PROHIBIT),
        ('warn contains "no"', WARN),
        ('warn_images contains {"msg": "no"}', WARN),
        ('deny := "no"', PROHIBIT),
        ('deny := ["no"]', PROHIBIT),
        ('deny := {"msg": "no"}', PROHIBIT),
    ],
)
def test_rules_that_are_asked(rule: str, severity: str) -> None:
    assert said(judged(f'{V1}{rule} if input.kind == "Pod"')) == [(CONTENT, severity, "no")]
    assert judged(f'{V1}{rule} if input.kind == "Service"') == []


@pytest.mark.parametrize("rule", ["denying", "my_deny", "deny_", "warning", "deny_a__b", "Deny"])
def test_names_that_are_no_rules_of_that_kind(rule: str) -> None:
    (only,) = judged(f'{V1}{rule} contains "no" if true')
    assert (only.kind, only.severity) == (ERROR, PROHIBIT)
    assert "nothing is checked" in only.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("true", "main.deny is true"),
        ("3", "main.deny gave a result without a message: 3"),
        ('[{"message": "no"}]', 'main.deny gave a result without a message: {"message": "no"}'),
        ('""', 'main.deny gave a result without a message: ""'),
    ],
)
def test_results_that_cannot_be_understood_deny(value: str, message: str) -> None:
    assert said(judged(f"{V1}deny := {value}")) == [(CONTENT, PROHIBIT, message)]


@pytest.mark.parametrize("value", ["false", "null", "[]", "{}", "set()"])
def test_results_that_say_nothing(value: str) -> None:
    assert judged(f"{V1}deny := {value}") == []


def test_metadata_names_the_field_and_the_way_out() -> None:
    source = (
        f'{V1}deny contains {{"msg": "no", "path": ["spec", "containers", 0, "image"], "remedy": "mend it"}} if true'
    )
    (only,) = judged(source)
    assert only.field == ("spec", "containers", "[name=a]", "image")
    assert only.remedy == "mend it"
    assert only.origin is not None
    assert only.origin.file == "app.yaml#spec.containers.0.image"


def test_exceptions() -> None:
    source = """package main
deny_root contains "root" if true
deny_tag contains "tag" if true
deny contains "plain" if true
exception contains ["root", ""] if input.metadata.name == "p"
"""
    assert sorted(said(judged(source))) == [
        (CONTENT, INFO, "exempt from main.deny: plain"),
        (CONTENT, INFO, "exempt from main.deny_root: root"),
        (CONTENT, PROHIBIT, "tag"),
    ]
    assert len([one for one in judged(source, {**POD, "metadata": {"name": "q"}}) if one.severity == PROHIBIT]) == 3


@pytest.mark.parametrize(
    ("rule", "exempted"),
    [
        ("deny_a", "a"),
        ("violation_a_b", "a_b"),
        ("warn_a", "a"),
        ("deny_warn_a", "a"),
        ("violation_deny_warn_a", "a"),
        ("warn_deny_a", "deny_a"),
        ("deny_a_deny", "a_deny"),
        ("violation", ""),
    ],
)
def test_names_of_exceptions(rule: str, exempted: str) -> None:
    source = f'{V1}{rule} contains "no" if true\nexception contains ["{exempted}"] if true'
    assert said(judged(source)) == [(CONTENT, INFO, f"exempt from main.{rule}: no")]


@pytest.mark.parametrize(
    "rules",
    [
        'exception contains {"a"} if true',
        'exception contains "x" if true\nexception contains ["a"] if true',
        'exception := [["b"], ["a"]]',
        'exception := {"any": {"thing": "a"}}',
    ],
)
def test_forms_of_exceptions(rules: str) -> None:
    (only,) = judged(f'{V1}deny_a contains "no" if true\n{rules}')
    assert only.severity == INFO


def test_an_exception_of_another_package_exempts_from_nothing() -> None:
    policy = {
        "policy/a.rego": 'package main\ndeny_a contains "no" if true',
        "policy/b.rego": 'package other\nexception contains ["a"] if true\ndeny_b contains "no" if false',
    }
    (found,) = _rego.check([job("rego", list(policy), [object_at(POD)], policy=policy)])
    assert said(found) == [(CONTENT, PROHIBIT, "no")]


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("data.allowed[input.kind]", "data.allowed"),
        ("data.lib.texts.word", "data.lib.texts.word"),
        ("data.conftest.file.name", "data.conftest.file.name"),
        ('data["x-y"].z', "data.x-y.z"),
        ("data[`x-y`].z", "data.x-y.z"),
        ("data.main.denny[input.kind]", "data.main.denny"),
        ("data.main[`denny`]", "data.main.denny"),
    ],
)
def test_data_that_is_nowhere_denies(body: str, missing: str) -> None:
    """It is undefined, so a rule that rests on it would pass everything."""
    (only,) = judged(f'{V1}deny contains "no" if {body}')
    assert (only.kind, only.severity) == (ERROR, PROHIBIT)
    assert only.message == f"policy/a.rego: {missing} is in none of the rule's files and data"


@pytest.mark.parametrize(
    "body", ["data.main.x", 'data["main"].x', "data.main[`x`]", "data.main.y.z", "data.main.f(1)", "data.main.d"]
)
def test_data_that_is_somewhere_is_seen(body: str) -> None:
    rules = "x := true\ny.z := true\nf(a) := true if a == 1\ndefault d := true\n"
    assert said(judged(f'{V1}{rules}deny contains "no" if {body}')) == [(CONTENT, PROHIBIT, "no")]


@pytest.mark.parametrize(
    "source",
    [
        'denying contains "no" if { deny := 1; deny == 1 }',
        'other := {"x": y} if { some deny in [1]; y := deny }',
        "f(deny) := 1",
        'x := [deny | some deny in ["a"]]',
        "x := input.deny",
        'x := "deny"  # deny',
        'x if { warn_me := $"{input.kind} is {1}"; warn_me != "" }',
        "x if some deny in input.list",
        "x if some deny, warn in input.list",
        "import data.main as deny\nx := 1",
    ],
)
def test_a_name_that_is_no_rule_checks_nothing(source: str) -> None:
    (only,) = judged(V1 + source)
    assert (only.kind, only.severity) == (ERROR, PROHIBIT)
    assert "nothing is checked" in only.message


@pytest.mark.parametrize(
    "source",
    [
        'x := $"{input.kind} {1}"\ndeny contains x if true',
        "x := {\n  1,\n}\n\n\tdeny contains y if y := input.kind",
        'default deny := ["Pod"]',
        'x if input.some deny contains "no" if true',
        'x if input.as deny contains "no" if true',
    ],
)
def test_a_rule_is_found_wherever_it_stands(source: str) -> None:
    assert [one.severity for one in judged(V1 + source)] == [PROHIBIT]
    assert judged(V1 + source)[0].kind == CONTENT


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("http.send({})", "it may not be called here: it reaches the network"),
        ("time.now_ns()", "it may not be called here: it gives another answer when a verdict is replayed"),
        *(
            (f"{call}({values})", "it may not be called here: it gives another answer when a verdict is replayed")
            for call, values in (
                ("io.jwt.decode_verify", '"a.b.c", {"secret": "s"}'),
                ("io.jwt.encode_sign", "{}, {}, {}"),
                ("crypto.x509.parse_and_verify_certificates", '""'),
            )
        ),
        ('parse_config("yaml", "a: 1")', "it may not be called here: it is conftest's own"),
        ("mine(1)", "name the file that has it in the rule as well"),
    ],
)
def test_why_a_function_is_not_there(call: str, reason: str) -> None:
    (only,) = judged(f'{V1}deny contains "no" if {call}')
    assert only.message.endswith(reason)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_paths_in_the_metadata_of_rules_are_those_of_the_file(version: str) -> None:
    source = """# METADATA
# title: the package
package main
import rego.v1
# METADATA
# title: the rule
deny contains msg if {
  some link in rego.metadata.chain()
  msg := sprintf("%s: %s", [link.annotations.title, concat(".", link.path)])
}
"""
    assert said(judged(source, version=version)) == [
        (CONTENT, PROHIBIT, "the package: main"),
        (CONTENT, PROHIBIT, "the rule: main.deny"),
    ]


def test_whole_numbers_are_whole_wherever_they_come_from() -> None:
    policy = {
        "policy/a.rego": f'{V1}deny contains sprintf("%d %d %v", [input.spec.x, data.two, input.spec.z]) if true',
        "policy/d.yaml": "two: 2e3",
    }
    found = object_at({**POD, "spec": {"x": 1.0, "z": 1.5}})
    params = {"files": "policy/a.rego", "data": "policy/d.yaml"}
    ((only,),) = _rego.check([job("rego", params, [found], policy=policy)])
    assert only.message == "1 2000 1.5"


def test_the_time_zone_of_this_machine_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opa takes for "Local" is what it is told in TZ, else the machine's own."""
    told = tmp_path / "opa"
    told.write_text('#!/bin/sh\nprintf \'{"errors": [{"message": "TZ is %s"}]}\' "$TZ"\n', encoding="ascii")
    told.chmod(0o755)
    monkeypatch.setenv("WEFT_OPA", str(told))
    with pytest.raises(ContentError, match="TZ is UTC"):
        judged(f'{V1}deny contains "x" if true')


def test_of_an_opa_that_dies_only_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died = tmp_path / "opa"
    trace = "\n".join(f"at {number}" for number in range(500))
    died.write_text(f"#!/bin/sh\ncat >&2 <<'END'\nhello\nfatal error: out of memory\n{trace}\nEND\n", encoding="ascii")
    died.chmod(0o755)
    monkeypatch.setenv("WEFT_OPA", str(died))
    with pytest.raises(ContentError, match=r"read: fatal error: out of memory$"):
        judged(f'{V1}deny contains "x" if true')


def test_a_conflict_is_told_with_the_names_of_files_and_rules() -> None:
    (only,) = judged(f'{V1}deny := "a" if true\ndeny := "b" if true')
    assert only.kind == ERROR
    assert '"a" at policy/a.rego:2' in only.message
    assert "rule data.main.deny" in only.message


def test_version_0_of_the_language() -> None:
    source = 'package main\ndeny[msg] { input.kind == "Pod"; msg := "no" }'
    assert said(judged(source, version="v0")) == [(CONTENT, PROHIBIT, "no")]
    (only,) = judged(source)
    assert only.kind == ERROR
    assert "version: v0" in only.message


def test_files_of_one_rule_see_each_other_and_those_of_others_do_not() -> None:
    def files(word: str) -> dict[str, str]:
        return {
            f"policy/{word}/a.rego": (
                f'package main\nimport data.lib.texts\ndeny contains texts.word if true\nx := "{word}"'
            ),
            f"policy/{word}/lib.rego": 'package lib.texts\nword := concat("", [data.main.x, data.own.word])',
            f"policy/{word}/data.yaml": f"own: {{word: '!{word}'}}",
        }

    jobs = [
        job(
            "rego",
            {"files": [f"policy/{word}/a.rego", f"policy/{word}/lib.rego"], "data": f"policy/{word}/data.yaml"},
            [object_at(POD)],
            policy=files(word),
        )
        for word in ("one", "two")
    ]
    assert [said(found) for found in _rego.check(jobs)] == [
        [(CONTENT, PROHIBIT, "one!one")],
        [(CONTENT, PROHIBIT, "two!two")],
    ]


def test_packages() -> None:
    policy = {
        "policy/a.rego": 'package main\ndeny contains "a" if true',
        "policy/b.rego": 'package kubernetes.images\ndeny contains "b" if true',
        "policy/c.rego": "package lib\nx := 1",
    }

    def messages(**params: Any) -> list[str]:
        (found,) = _rego.check([job("rego", {"files": list(policy), **params}, [object_at(POD)], policy=policy)])
        return sorted(one.message for one in found)

    assert messages() == ["a", "b"]
    assert messages(packages=["kubernetes.images"]) == ["b"]
    assert messages(packages="main") == ["a"]
    assert "there is no package" in messages(packages=["other"])[0]
    assert "nothing is checked" in messages(packages=["main", "lib"])[0]


@pytest.mark.parametrize(
    "source",
    [
        "package main\ndeny contains msg if {",
        "deny contains 1 if true",
        "",
        'package main\ndeny contains "x',
        "package main\ndeny contains msg if msg := nothing(1)",
        'package main\ndeny contains "x" if http.send({"method": "get", "url": "http://localhost"})',
        'package main\ndeny contains "x" if opa.runtime().env.HOME',
        'package main\ndeny contains "x" if time.now_ns() > 1',
        'package main\nimport data.x\ndeny := "a" if true\ndeny := "b" if true',
        "package main\ndeny contains 1 if data.main.deny",
    ],
)
def test_what_cannot_be_compiled_or_evaluated_denies(source: str) -> None:
    (only,) = judged(source)
    assert (only.kind, only.severity) == (ERROR, PROHIBIT)
    assert "policy/a.rego" in only.message or "conflict" in only.message
    assert only.origin is not None
    assert only.origin.file == "policy/a.rego"


def test_a_call_that_fails_denies_unless_the_rule_says_otherwise() -> None:
    source = f'{V1}deny contains "big" if to_number(input.metadata.name) > 1'
    (only,) = judged(source)
    assert (only.kind, only.severity) == (ERROR, PROHIBIT)
    assert only.message.startswith("a call in the policy failed, so what it would say is not known: policy/a.rego:2: ")
    assert judged(source, builtin_errors="ignore") == []
    assert judged(source, {**POD, "metadata": {"name": "1"}}) == []


def test_one_broken_rule_does_not_take_the_others_with_it() -> None:
    policy = {
        "policy/good.rego": 'package main\ndeny contains "no" if true',
        "policy/bad.rego": "package main\ndeny contains msg if {",
        "policy/worse.rego": 'package main\ndeny := "a" if true\ndeny := "b" if true',
        "policy/call.rego": 'package main\ndeny contains "x" if to_number("x")',
    }
    jobs = [job("rego", path, [object_at(POD)], policy=policy) for path in policy]
    good, bad, worse, call = _rego.check(jobs)
    assert said(good) == [(CONTENT, PROHIBIT, "no")]
    assert [one.kind for one in (*bad, *worse, *call)] == [ERROR, ERROR, ERROR]


def test_errors_are_said_of_the_head_only_so_that_they_are_never_known_before() -> None:
    jobs = [job("rego", "policy/none.rego", [object_at(POD)], side=side) for side in ("base", "head")]
    base, head = _rego.check(jobs)
    assert base == []
    assert [one.kind for one in head] == [ERROR]


def test_calls_that_fail_are_told_from_side_to_side() -> None:
    source = {"policy/a.rego": f"{V1}deny contains input.metadata.name if to_number(input.metadata.name) > 1"}
    sides = {"base": "x", "head": "5"}
    jobs = [
        job("rego", "policy/a.rego", [object_at({**POD, "metadata": {"name": name}})], policy=source, side=side)
        for side, name in sides.items()
    ]
    base, head = _rego.check(jobs)
    assert base == []
    assert said(head) == [(CONTENT, PROHIBIT, "5")]


def test_a_policy_that_never_ends_is_stopped() -> None:
    numbers = "numbers.range(1, 1000000)"
    slow = f"{V1}deny contains x if {{ some i in {numbers}; some j in {numbers}; x := i - j }}"
    start = time.monotonic()
    with pytest.raises(ContentError, match="not finished"):
        _rego.check([job("rego", "policy/a.rego", [object_at(POD)], policy={"policy/a.rego": slow}, seconds=3)])
    assert time.monotonic() - start < 30


def test_opa_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_OPA", "/nowhere/opa")
    with pytest.raises(ContentError, match="/nowhere/opa is not installed"):
        judged(f'{V1}deny contains "x" if true')


def test_values_that_are_no_json_are_an_error() -> None:
    with pytest.raises(ContentError):
        judged(f'{V1}deny contains "x" if true', {**POD, "spec": {"x": float("nan")}})


def test_odd_texts_reach_the_policy_whole() -> None:
    name = 'a"b\\c\n\N{SNOWMAN}'
    obj = {**POD, "metadata": {"name": name, "annotations": {"data.x": "`", "${x}": "{"}}}
    source = f'{V1}deny contains concat(" ", [input.metadata.name, k, v]) if some k, v in input.metadata.annotations'
    assert sorted(one.message for one in judged(source, obj)) == sorted((f"{name} data.x `", f"{name} ${{x}} {{"))


def test_a_thousand_objects_in_one_process() -> None:
    many = [object_at({**POD, "metadata": {"name": f"p{number}"}}) for number in range(1000)]
    source = f'{V1}deny contains input.metadata.name if endswith(input.metadata.name, "9")'
    (found,) = _rego.check([job("rego", "policy/a.rego", many, policy={"policy/a.rego": source})])
    assert len(found) == 100
    assert all(one.subject is not None and one.subject.name == one.message for one in found)


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ("policy/a.rego", 0),
        (["policy/a.rego", "policy/b.rego"], 0),
        ({"files": "policy/a.rego", "data": ["policy/d.yaml"], "version": "v0", "packages": ["a.b"]}, 0),
        ({"files": "policy/a.rego", "builtin_errors": "ignore"}, 0),
        (None, 1),
        ([], 1),
        ({}, 1),
        ("a.rego", 1),
        ("policy/../a.rego", 1),
        ("policy/rego/", 1),
        ({"files": "policy/a.rego", "version": "v2"}, 1),
        ({"files": "policy/a.rego", "packages": ["a-b"]}, 1),
        ({"files": "policy/a.rego", "packages": 1}, 1),
        ({"files": "policy/a.rego", "data": {}}, 1),
        ({"files": "policy/a.rego", "dat": 1}, 1),
        ({"files": "policy/a.rego", "builtin_errors": True}, 1),
    ],
)
def test_parameters(params: Any, count: int) -> None:
    assert len(_rego.problems("rego", params)) == count


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "[1]"}, "data must be an object"),
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "a: 1\na: 2"}, "is there already"),
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "a: ["}, "is not YAML"),
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "a: 1\n---\nb: 2"}, "must be one document"),
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "a: 1\nb: no"}, "d.yaml:2: no is text to"),
        ({"policy/a.rego": V1 + "deny contains 1 if true", "policy/d.yaml": "On: 1"}, "d.yaml:1: On is text to"),
        ({"policy/a.rego": V1 + "deny contains 1 if true"}, "policy/d.yaml: cannot be read"),
        ({"policy/a.rego": b"package main\n\xff", "policy/d.yaml": "a: 1"}, "is not UTF-8"),
    ],
)
def test_files_that_cannot_be_used(files: dict[str, Any], message: str) -> None:
    params = {"files": "policy/a.rego", "data": "policy/d.yaml"}
    (found,) = _rego.check([job("rego", params, [object_at(POD)], policy=files)])
    assert [(one.kind, message in one.message) for one in found] == [(ERROR, True)]


def test_words_in_quotes_are_data() -> None:
    policy = {"policy/a.rego": f"{V1}deny contains data.a if data.b", "policy/d.yaml": "a: 'no'\nb: true"}
    params = {"files": "policy/a.rego", "data": "policy/d.yaml"}
    (found,) = _rego.check([job("rego", params, [object_at(POD)], policy=policy)])
    assert said(found) == [(CONTENT, PROHIBIT, "no")]


def test_no_objects_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_OPA", "/nowhere/opa")
    assert _rego.check([]) == []
    assert objects("") == []

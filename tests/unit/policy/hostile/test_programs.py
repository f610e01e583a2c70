# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Hostile input to the programs that a verdict runs: policies and charts that never end, or want all the memory.

Each gets a clear error in bounded time and memory, and what it was to judge does not get by.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import LIMITS

from tests.unit.policy.hostile.hostile_repository import MIB, Outcome, judged, kinds

#: What a verdict may take where it would take for ever; the default is two minutes.
SECONDS = 4.0
#: Address space for everything: Go reserves far more than it uses.
SPACE = 2048 * MIB

POD = b"""\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {words: WORDS}}
spec: {containers: [{name: a, image: registry.example.org/a:1}]}
"""
RULE = b"""\
rules:
  - name: pods are as our policy wants them
    require: {object: {kind: Pod}, rego: policy/a.rego}
"""
CHART = {
    "apps/web/Chart.yaml": b"apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "apps/web/values.yaml": b"words: x\n",
    "apps/web/templates/a.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n",
}


def bounded(where: Path, change: dict[str, bytes], base: dict[str, bytes], seconds: float = LIMITS.seconds) -> Outcome:
    """The verdict; it took what it may take and not much more."""
    start = time.monotonic()
    outcome = judged(where, change, base, memory=SPACE, seconds=seconds)
    assert time.monotonic() - start < seconds + 25  # to start, on a machine that is busy
    assert outcome.seconds < 5
    assert outcome.memory < 200 * MIB
    assert outcome.programs_memory < SPACE
    return outcome


def with_rego(where: Path, rego: bytes, pod: bytes = POD, seconds: float = LIMITS.seconds) -> Outcome:
    """The verdict on a new Pod where the target branch asks this policy."""
    base = {"policy/a.rego": rego, "policy/rules/pods.yml": RULE}
    return bounded(where, {"apps/a.yml": pod}, base, seconds)


@pytest.mark.usefixtures("opa")
def test_what_the_policy_permits_is_permitted(tmp_path: Path) -> None:
    assert with_rego(tmp_path, b'package main\ndeny contains "no" if input.kind != "Pod"').permitted


@pytest.mark.usefixtures("opa")
def test_a_policy_that_never_ends_denies(tmp_path: Path) -> None:
    numbers = b"numbers.range(1, 100000)"
    rego = b"package main\ndeny contains x if { some i in %s; some j in %s; x := i - j }" % (numbers, numbers)
    outcome = with_rego(tmp_path, rego, seconds=SECONDS)
    assert not outcome.permitted
    assert "error" in kinds(outcome) and "not finished after" in outcome.messages
    assert outcome.programs_seconds < SECONDS * 4


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize(
    "rego",
    [
        b"deny contains x if { y := numbers.range(1, 200000000); x := count(y) }",
        b'deny contains "no" if { a := concat("", [x | some i in numbers.range(1, 10000); x := "xxxxxxxxxx"]);\n'
        b' b := concat("", [a | some i in numbers.range(1, 10000)]); c := concat("", [b, b, b, b]); count(c) < 0 }',
    ],
)
def test_a_policy_that_wants_all_the_memory_denies(tmp_path: Path, rego: bytes) -> None:
    outcome = with_rego(tmp_path, b"package main\n" + rego, seconds=SECONDS)
    assert not outcome.permitted
    assert "error" in kinds(outcome)


@pytest.mark.usefixtures("opa")
def test_an_object_that_makes_a_fair_policy_slow_denies(tmp_path: Path) -> None:
    """The policy compares every word with every other; whoever writes the words decides how long that takes."""
    words = b", ".join(b"w%d: x" % number for number in range(20_000))
    pod = POD.replace(b"words: WORDS", words)
    labels = b"input.metadata.labels"
    rego = b"package main\ndeny contains l if { some k, a in %s; some l, b in %s; a != b }" % (labels, labels)
    outcome = with_rego(tmp_path, rego, pod, seconds=SECONDS)
    assert not outcome.permitted and "error" in kinds(outcome)


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize("call", [b'http.send({"method": "get", "url": "http://127.0.0.1:9"})', b"opa.runtime()"])
def test_a_policy_that_reaches_out_denies(tmp_path: Path, call: bytes) -> None:
    outcome = with_rego(tmp_path, b'package main\ndeny contains "no" if ' + call)
    assert not outcome.permitted and "may not be called here" in outcome.messages


@pytest.mark.usefixtures("helm")
def test_a_plain_chart_is_rendered_and_permitted(tmp_path: Path) -> None:
    assert bounded(tmp_path, CHART, {}).permitted


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    ("template", "message"),
    [
        (b"{{- range $a := until 100000 }}{{- range $b := until 100000 }}{{- end }}{{- end }}", "in time"),
        (b'{{- define "a" }}{{ include "a" . }}{{- end }}{{ include "a" . }}', "helm failed"),
        (b"{{- $x := until 1000000000 }}", "helm failed|in time"),
        # Comments, which helm prints but need not understand; which limit is met first is the machine's to say.
        (
            b'a: b\n{{- $x := repeat 1000000 "x" }}{{- range until 70 }}\n# {{ $x }}{{- end }}',
            "said more than|in time|helm failed",
        ),
        (b'{{ .Files.Get "../../policy/roles.yml" | required "nothing there" }}', "nothing there"),
    ],
)
def test_a_chart_that_goes_over_its_limits_denies(tmp_path: Path, template: bytes, message: str) -> None:
    seconds = SECONDS if "in time" in message else LIMITS.seconds
    outcome = bounded(tmp_path, {**CHART, "apps/web/templates/b.yaml": template}, {}, seconds)
    assert not outcome.permitted
    assert "error" in kinds(outcome)
    assert re.search(message, outcome.messages)


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("repository", [b"https://example.org/charts", b"oci://example.org/charts", b"file://../../x"])
def test_a_chart_that_wants_another_from_elsewhere_denies(tmp_path: Path, repository: bytes) -> None:
    wants = b"dependencies: [{name: far, version: 1.0.0, repository: '%s'}]\n" % repository
    chart = {**CHART, "apps/web/Chart.yaml": CHART["apps/web/Chart.yaml"] + wants}
    outcome = bounded(tmp_path, chart, {})
    assert not outcome.permitted
    assert "helm failed" in outcome.messages


@pytest.mark.usefixtures("helm")
def test_a_chart_that_asks_the_network_gets_no_answer(tmp_path: Path) -> None:
    """getHostByName would look a name up; even one that every machine knows is not looked up."""
    template = b'{{- if getHostByName "localhost" }}{{ fail "it got out" }}{{ end }}'
    outcome = bounded(tmp_path, {**CHART, "apps/web/templates/b.yaml": template}, {})
    assert outcome.permitted, outcome.messages


@pytest.mark.usefixtures("kustomize")
@pytest.mark.parametrize(
    "resource",
    [b"https://example.org/a.yaml", b"github.com/a/b//c?ref=v1", b"ssh://git@example.org/a.git", b"../../../etc"],
)
def test_a_kustomization_that_reaches_out_denies(tmp_path: Path, resource: bytes) -> None:
    outcome = bounded(tmp_path, {"apps/k/kustomization.yaml": b"resources: ['%s']\n" % resource}, {})
    assert not outcome.permitted
    assert "is not in the repository" in outcome.messages

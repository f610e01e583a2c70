# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The line that a finding tells is a line of the head's file, from the repository to every form of the verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _format
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Person, Request, Verdict

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = {
    "policy/roles.yml": "roles: {ops: {members: ['user:olga']}}\nowners: ops\n",
    "policy/rules/site.yml": "rules:\n  - {name: all, change: {file: '**'}, allow: ops}\n"
    "  - {name: pods, require: {object: {kind: Pod}, pss: baseline}}\n",
    "inventories/prod/hosts.yml": "cluster: {hosts: {w1: }}\n",
}
WEB = """\
# a comment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: a:1
        - name: helper
          image: b:1
          env:
            - {name: A, value: x}
"""
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop}\ndata: {a: b}\n"
TWO = MAP % "one" + "---\n" + MAP % "two"
WITHOUT_ENV = WEB.partition("          env:")[0]
WITHOUT_HELPER = WEB.partition("        - name: helper")[0]
VARIABLES = "cluster_name: prod\nnode_labels:\n  a: x\n  b: y\n"
HELPER = "spec.template.spec.containers[name=helper]"


def verdict_on(repo: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Verdict, Mapping[str, Any]]:
    """What eve may not do, and the files of the head."""
    base = repo.commit({**POLICY, **before}, branch="main")
    change = {**dict.fromkeys(before.keys() - after.keys()), **after}
    head = repo.commit(change, base, author="eve")
    return judge(Request(base, head, "main", Person("eve")), repo.path, now=NOW), {**POLICY, **after}


def places(verdict: Verdict, files: Mapping[str, Any]) -> dict[str, str]:
    """By field of what is not permitted: the file, and the text from the place on that SARIF tells of it."""
    results = _sarif(verdict)
    out = {}
    for finding, result in zip(verdict.findings, results, strict=True):
        if finding.kind != "not-permitted" or finding.change is None:
            continue
        physical = result["locations"][0]["physicalLocation"]
        file, region = physical["artifactLocation"]["uri"], physical.get("region")
        text = ""
        if region is not None:
            line = files[file].splitlines()[region["startLine"] - 1]
            text = line[region.get("startColumn", 1) - 1 :]
        out[show_path(finding.change.field) or finding.change.subject.name] = f"{file}: {text}".strip()
    return out


def _sarif(verdict: Verdict) -> list[Any]:
    results: list[Any] = json.loads(_format.show(verdict, "sarif"))["runs"][0]["results"]
    return results


CASES: list[tuple[dict[str, str], dict[str, str], dict[str, str]]] = [
    # added
    ({}, {"web.yaml": WEB}, {"shop/web": "web.yaml: apiVersion: apps/v1"}),
    ({"web.yaml": WITHOUT_ENV}, {"web.yaml": WEB}, {f"{HELPER}.env": "web.yaml: env:"}),
    ({"web.yaml": WITHOUT_HELPER}, {"web.yaml": WEB}, {HELPER: "web.yaml: name: helper"}),
    # changed
    ({"web.yaml": WEB}, {"web.yaml": WEB.replace("b:1", "b:2")}, {f"{HELPER}.image": "web.yaml: image: b:2"}),
    ({"web.yaml": WEB}, {"dir/web.yaml": WEB.replace("b:1", "b:2")}, {f"{HELPER}.image": "dir/web.yaml: image: b:2"}),
    (
        {"web.yaml": WEB},
        {"web.yaml": "# é\n" * 3 + WEB.replace("{name: A, value: x}", "{name: A, value: z}")},
        {f"{HELPER}.env[name=A].value": "web.yaml: value: z}"},
    ),
    # removed, from what stays around it
    ({"web.yaml": WEB}, {"web.yaml": WITHOUT_ENV}, {f"{HELPER}.env": "web.yaml: name: helper"}),
    ({"web.yaml": WEB}, {"web.yaml": WITHOUT_HELPER}, {HELPER: "web.yaml: containers:"}),
    ({"web.yaml": WEB}, {"web.yaml": WEB.replace("  replicas: 2\n", "")}, {"spec.replicas": "web.yaml: spec:"}),
    ({"web.yaml": WEB}, {"dir/web.yaml": WITHOUT_HELPER}, {HELPER: "dir/web.yaml: containers:"}),
    # removed as a whole
    ({"two.yaml": TWO}, {"two.yaml": MAP % "two"}, {"shop/one": "two.yaml:"}),
    ({"web.yaml": WEB}, {}, {"shop/web": "web.yaml:"}),
    ({"README": "x"}, {}, {"README": "README:"}),
    # variables
    (
        {"inventories/prod/group_vars/all.yml": VARIABLES},
        {"inventories/prod/group_vars/all.yml": VARIABLES.replace("  b: y\n", "")},
        {"b": "inventories/prod/group_vars/all.yml: node_labels:"},
    ),
    (
        {"inventories/prod/group_vars/all.yml": VARIABLES},
        {"inventories/prod/group_vars/all.yml": VARIABLES.replace("b: y", "b: z")},
        {"b": "inventories/prod/group_vars/all.yml: b: z"},
    ),
    (
        {"inventories/prod/group_vars/all.yml": VARIABLES},
        {"inventories/prod/group_vars/all.yml": VARIABLES.partition("\n")[2]},
        {"cluster_name": "inventories/prod/group_vars/all.yml:"},
    ),
    (
        {"inventories/prod/group_vars/all.yml": VARIABLES},
        {"inventories/base/group_vars/all.yml": "\n" + VARIABLES.replace("prod", "base")},
        {"cluster_name": "inventories/base/group_vars/all.yml: cluster_name: base"},
    ),
]


@pytest.mark.parametrize(("before", "after", "expected"), CASES)
def test_the_place_is_in_the_heads_file(
    repo: Any, before: dict[str, str], after: dict[str, str], expected: dict[str, str]
) -> None:
    verdict, files = verdict_on(repo, before, after)
    assert places(verdict, files) == expected


#: Puts a container before those that the source has, changes an image, and adds a field that the source has not.
OVERLAY = """\
resources: [../base]
images: [{name: b, newTag: "%s"}]
patches:
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web, namespace: shop}
      spec: {template: {spec: {containers: [{name: first, image: "f:1"}]}}}
"""


@pytest.mark.usefixtures("kustomize")
@pytest.mark.parametrize(
    ("tag", "source", "expected"),
    [
        ("2", WEB, {f"{HELPER}.image": "k/base/web.yaml: image: b:1"}),
        ("1", WITHOUT_ENV, {f"{HELPER}.env": "k/base/web.yaml: name: helper"}),
        ("1", WITHOUT_HELPER, {HELPER: "k/base/web.yaml: containers:"}),
        ("1", WEB.replace("  replicas: 2\n", ""), {"spec.replicas": "k/base/web.yaml: spec:"}),
    ],
)
def test_the_place_of_what_is_rendered(repo: Any, tag: str, source: str, expected: dict[str, str]) -> None:
    files = {"k/base/kustomization.yaml": "resources: [web.yaml]", "k/base/web.yaml": WEB}
    start = {**files, "k/prod/kustomization.yaml": OVERLAY % "1"}
    change = {**start, "k/base/web.yaml": source, "k/prod/kustomization.yaml": OVERLAY % tag}
    verdict, head = verdict_on(repo, start, change)
    assert places(verdict, head) == expected


@pytest.mark.usefixtures("kustomize")
def test_the_place_of_content_that_is_rendered(repo: Any) -> None:
    start = {"k/base/kustomization.yaml": "resources: [web.yaml]", "k/base/web.yaml": WEB}
    start["k/prod/kustomization.yaml"] = OVERLAY % "1"
    bad = WEB + "          securityContext:\n            privileged: true\n"
    verdict, head = verdict_on(repo, start, {**start, "k/base/web.yaml": bad})
    found = [one.origin for one in verdict.findings if one.rule == "pods" and one.prohibits]
    assert found
    assert {head[one.file].splitlines()[one.line - 1].strip() for one in found if one} == {"privileged: true"}


def test_every_form_tells_the_same_place(repo: Any) -> None:
    verdict, files = verdict_on(repo, {"web.yaml": WEB, "gone.yaml": MAP % "x"}, {"web.yaml": WITHOUT_HELPER})
    line = files["web.yaml"].splitlines().index("      containers:") + 1
    assert [str(one.origin) for one in verdict.findings] == ["gone.yaml", f"web.yaml:{line}"]
    for form, mark in (("text", r"^\d\. (.*)$"), ("markdown", r"^#### \d\. `(.*)`$")):
        assert re.findall(mark, _format.show(verdict, form), re.M) == ["gone.yaml", f"web.yaml:{line}"]
    cases = ElementTree.fromstring(_format.show(verdict, "junit")).iter("testcase")
    assert [(one.get("file"), one.get("line")) for one in cases] == [("gone.yaml", None), ("web.yaml", str(line))]
    regions = [one["locations"][0]["physicalLocation"].get("region") for one in _sarif(verdict)]
    assert regions == [None, {"startLine": line, "startColumn": 7}]


def test_what_goes_from_the_policy_is_told_of_its_file(repo: Any) -> None:
    rules = "rules:\n  - {name: all, change: {file: '**'}, allow: ops}\n"
    base = repo.commit(
        {**POLICY, "policy/rules/more.yml": "rules:\n\n\n  - {name: n, change: {file: x}, deny: never}\n"}
    )
    head = repo.commit({"policy/rules/site.yml": rules, "policy/rules/more.yml": None}, base, author="olga")
    verdict = judge(Request(base, head, "main", Person("olga")), repo.path, now=NOW)
    assert {str(one.origin) for one in verdict.deltas if one.origin} == {
        "policy/rules/site.yml",
        "policy/rules/more.yml",
    }

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Gatekeeper's templates and constraints, as its documentation describes them, by the real opa."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper, _rego
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CONTENT,
    ERROR,
    INFO,
    PROHIBIT,
    WARN,
    Finding,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.content.content_jobs import job, object_at, objects

TEMPLATE = yaml.safe_load("""
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: labelsneeded}
spec:
  crd:
    spec:
      names: {kind: LabelsNeeded}
      validation:
        openAPIV3Schema:
          type: object
          properties:
            labels: {type: array, items: {type: string}}
            word: {type: string, default: needs}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package anything
      violation[{"msg": msg, "details": {"missing": missing}}] {
        missing := input.parameters.labels[_]
        not input.review.object.metadata.labels[missing]
        msg := sprintf("%v %v", [input.parameters.word, missing])
      }
""")
CONSTRAINT = yaml.safe_load("""
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: LabelsNeeded
metadata: {name: owner}
spec:
  match: {kinds: [{apiGroups: [""], kinds: [Namespace, Pod]}]}
  parameters: {labels: [owner]}
""")
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"owner": "x", "tier": "gold"}}}


def changed(base: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    out = copy.deepcopy(dict(base))
    at: Any = out
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    at[last] = value
    return out


def judged(
    policies: Sequence[Any],
    reviewed: Sequence[Mapping[str, Any]] = (POD,),
    everything: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> list[Finding]:
    files = {f"policy/{number}.yaml": yaml.safe_dump(one) for number, one in enumerate(policies)}
    severity = more.pop("severity", PROHIBIT)
    made = job(
        "gatekeeper",
        {"files": list(files), **more},
        [object_at(one) for one in reviewed],
        policy=files,
        everything=[object_at(one) for one in everything],
        severity=severity,
    )
    (found,) = _rego.check([made])
    return found


def with_rego(rego: str, **source: Any) -> dict[str, Any]:
    code = {"engine": "Rego", "source": {"rego": rego, **source}}
    return changed(TEMPLATE, "spec.targets", [{"target": "admission.k8s.gatekeeper.sh", "code": [code]}])


def said(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.severity, one.message) for one in found]


DENIED = (CONTENT, PROHIBIT, "LabelsNeeded owner: needs owner")


@pytest.mark.usefixtures("opa")
def test_a_constraint_prohibits_and_its_defaults_are_filled_in() -> None:
    assert said(judged([TEMPLATE, CONSTRAINT])) == [DENIED]
    assert judged([TEMPLATE, CONSTRAINT], [SHOP]) == []


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize(
    ("spec", "severities"),
    [
        ({"enforcementAction": "deny"}, [PROHIBIT]),
        ({"enforcementAction": "warn"}, [WARN]),
        ({"enforcementAction": "dryrun"}, [INFO]),
        ({"enforcementAction": "somethingelse"}, [WARN]),
        ({"enforcementAction": "scoped", "scopedEnforcementActions": [("deny", "*")]}, [PROHIBIT]),
        ({"enforcementAction": "scoped", "scopedEnforcementActions": [("warn", "gator.gatekeeper.sh")]}, [WARN]),
        ({"enforcementAction": "scoped", "scopedEnforcementActions": [("deny", "audit.gatekeeper.sh")]}, []),
        (
            {
                "enforcementAction": "scoped",
                "scopedEnforcementActions": [("dryrun", "*"), ("deny", "gator.gatekeeper.sh")],
            },
            [PROHIBIT],
        ),
    ],
)
def test_enforcement_actions(spec: dict[str, Any], severities: list[str]) -> None:
    if "scopedEnforcementActions" in spec:
        spec = {
            **spec,
            "scopedEnforcementActions": [
                {"action": action, "enforcementPoints": [{"name": point}]}
                for action, point in spec["scopedEnforcementActions"]
            ],
        }
    found = judged([TEMPLATE, {**CONSTRAINT, "spec": {**CONSTRAINT["spec"], **spec}}])
    assert [one.severity for one in found] == severities


@pytest.mark.usefixtures("opa")
def test_a_rule_that_warns_never_prohibits() -> None:
    assert [one.severity for one in judged([TEMPLATE, CONSTRAINT], severity=WARN)] == [WARN]
    warns = changed(CONSTRAINT, "spec.enforcementAction", "warn")
    assert [one.severity for one in judged([TEMPLATE, warns], severity=INFO)] == [INFO]


@pytest.mark.usefixtures("opa")
def test_what_a_review_holds() -> None:
    rego = """
package a
violation[{"msg": msg}] {
  review := object.remove(input.review, ["object"])
  msg := json.marshal(review)
}
"""
    (only,) = judged([with_rego(rego), CONSTRAINT])
    assert yaml.safe_load(only.message.removeprefix("LabelsNeeded owner: ")) == {
        "kind": {"group": "", "kind": "Pod", "version": "v1"},
        "name": "p",
        "namespace": "shop",
        "namespaceObject": None,
        "oldObject": None,
        "operation": "",
        "options": None,
        "resource": {"group": "", "resource": "", "version": ""},
        "uid": "",
        "userInfo": {},
    }


@pytest.mark.usefixtures("opa")
def test_the_namespace_and_the_inventory_come_from_the_repository() -> None:
    rego = """
package a
violation[{"msg": msg}] { msg := input.review.namespaceObject.metadata.labels.tier }
violation[{"msg": msg}] { msg := data.inventory.cluster["v1"].Namespace[_].metadata.name }
violation[{"msg": msg}] { data.inventory.namespace.shop["v1"].Pod[name]; msg := name }
"""
    found = judged(
        [with_rego(rego), CONSTRAINT], everything=[SHOP, {**POD, "metadata": {"name": "q", "namespace": "shop"}}]
    )
    assert [one.message for one in found] == [f"LabelsNeeded owner: {word}" for word in ("gold", "q", "shop")]


@pytest.mark.usefixtures("opa")
def test_libraries_and_version_1_of_the_language() -> None:
    rego = (
        'package a\nimport data.lib.words\nviolation contains {"msg": words.word} if input.review.object.kind == "Pod"'
    )
    lib = 'package lib.words\nword := "from the library"'
    found = judged([with_rego(rego, libs=[lib], version="v1"), CONSTRAINT])
    assert [one.message for one in found] == ["LabelsNeeded owner: from the library"]


@pytest.mark.usefixtures("opa")
def test_templates_of_the_same_package_do_not_see_each_other() -> None:
    other = with_rego('package anything\nviolation[{"msg": "other"}] { true }')
    other = changed(changed(other, "metadata.name", "other"), "spec.crd.spec.names.kind", "Other")
    found = judged([TEMPLATE, other, CONSTRAINT, {**CONSTRAINT, "kind": "Other"}])
    assert [one.message for one in found] == ["LabelsNeeded owner: needs owner", "Other owner: other"]


@pytest.mark.usefixtures("opa")
def test_a_violation_without_a_message_denies() -> None:
    (only,) = judged([with_rego('package a\nviolation[{"message": "x"}] { true }'), CONSTRAINT])
    assert "without a message" in only.message
    assert only.severity == PROHIBIT


@pytest.mark.usefixtures("opa")
def test_calls_that_fail_deny() -> None:
    rego = 'package a\nviolation[{"msg": "x"}] { to_number(input.review.object.metadata.name) > 1 }'
    assert [one.kind for one in judged([with_rego(rego), CONSTRAINT])] == [ERROR]
    assert judged([with_rego(rego), CONSTRAINT], builtin_errors="ignore") == []


EXPANSION = yaml.safe_load("""
apiVersion: expansion.gatekeeper.sh/v1alpha1
kind: ExpansionTemplate
metadata: {name: pods}
spec:
  applyTo: [{groups: [apps], kinds: [Deployment], versions: [v1]}]
  templateSource: spec.template
  generatedGVK: {group: "", version: v1, kind: Pod}
""")
WORKLOAD = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a}]}}}
""")


@pytest.mark.usefixtures("opa")
def test_expansion_templates_make_what_a_workload_will_make() -> None:
    (only,) = judged([TEMPLATE, CONSTRAINT, EXPANSION], [WORKLOAD])
    assert only.message == "[Implied by pods] LabelsNeeded owner: needs owner"
    assert only.subject is not None
    assert only.subject.type == "Deployment.apps"
    assert only.field == ("spec", "template")
    warns = changed(EXPANSION, "spec.enforcementAction", "warn")
    assert [one.severity for one in judged([TEMPLATE, CONSTRAINT, warns], [WORKLOAD])] == [WARN]
    originals = changed(CONSTRAINT, "spec.match.source", "Original")
    assert judged([TEMPLATE, originals, EXPANSION], [WORKLOAD]) == []
    generated = changed(CONSTRAINT, "spec.match.source", "Generated")
    assert len(judged([TEMPLATE, generated, EXPANSION], [WORKLOAD, POD])) == 1


def expands(name: str, applies: str, makes: str, **spec: str) -> dict[str, Any]:
    """An ExpansionTemplate between two kinds: GROUP/VERSION/KIND each."""
    group, version, kind = applies.split("/")
    made = dict(zip(("group", "version", "kind"), makes.split("/"), strict=True))
    out = changed(EXPANSION, "metadata.name", name)
    out["spec"].update({"applyTo": [{"groups": [group], "versions": [version], "kinds": [kind]}], "generatedGVK": made})
    out["spec"].update(spec)
    return out


BACK = expands("back", "/v1/Pod", "apps/v1/Deployment")


@pytest.mark.usefixtures("opa")
def test_what_an_expansion_makes_is_expanded_and_the_last_one_says_what_it_weighs() -> None:
    sets = expands("sets", "apps/v1/Deployment", "apps/v1/ReplicaSet", enforcementAction="warn")
    pods = expands("pods", "apps/v1/ReplicaSet", "/v1/Pod", templateSource="template")
    workload = changed(WORKLOAD, "spec.template", {"template": WORKLOAD["spec"]["template"]})
    (only,) = judged([TEMPLATE, CONSTRAINT, sets, pods], [workload])
    assert (only.severity, only.message) == (PROHIBIT, "[Implied by pods] LabelsNeeded owner: needs owner")
    assert only.field == ("spec", "template", "template")


@pytest.mark.usefixtures("opa")
def test_an_object_that_cannot_be_expanded_denies() -> None:
    (only,) = judged([TEMPLATE, CONSTRAINT, EXPANSION], [changed(WORKLOAD, "spec", {"template": None})])
    assert only.severity == PROHIBIT
    assert only.message == "ExpansionTemplate pods cannot expand it: it has no spec.template"


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"labels": None, "word": None, "kept": None}, '{"kept":null,"word":"needs"}'),
        ({"labels": [], "inner": {"word": None}}, '{"inner":{"word":"deep"},"kept":3,"labels":[],"word":"needs"}'),
        ({"kept": 1}, '{"kept":1,"word":"needs"}'),
    ],
)
def test_null_is_a_value_only_where_the_schema_says_so(parameters: dict[str, Any], expected: str) -> None:
    """As the API server does: null is taken out, then defaults are filled in, but for what is nullable."""
    template = with_rego('package a\nviolation[{"msg": msg}] { msg := json.marshal(input.parameters) }')
    fields = template["spec"]["crd"]["spec"]["validation"]["openAPIV3Schema"]["properties"]
    fields["kept"] = {"type": "integer", "nullable": True, "default": 3}
    fields["inner"] = {"type": "object", "properties": {"word": {"type": "string", "default": "deep"}}}
    (only,) = judged([template, changed(CONSTRAINT, "spec.parameters", parameters)])
    assert only.message == f"LabelsNeeded owner: {expected}"


@pytest.mark.usefixtures("opa")
def test_rego_in_the_older_place_counts() -> None:
    both = with_rego('package a\nviolation[{"msg": "newer"}] { true }')
    both["spec"]["targets"][0]["rego"] = 'package a\nviolation[{"msg": "older"}] { true }'
    assert [one.message for one in judged([both, CONSTRAINT])] == ["LabelsNeeded owner: older"]


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize("package", ["data", "input", "a.data.b", 'a["b-c"]', "lib.x"])
def test_a_package_may_have_any_name(package: str) -> None:
    template = with_rego(f'package {package}\nviolation[{{"msg": "no"}}] {{ true }}')
    assert [one.message for one in judged([template, CONSTRAINT])] == ["LabelsNeeded owner: no"]


@pytest.mark.usefixtures("opa")
def test_a_pod_that_the_engine_takes_out_of_a_workload_is_generated() -> None:
    files = {"policy/a.yaml": yaml.safe_dump_all([TEMPLATE, changed(CONSTRAINT, "spec.match.source", "Original")])}
    pod = object_at(POD)._replace(inside=("spec", "template"))
    (found,) = _rego.check([job("gatekeeper", "policy/a.yaml", [pod], policy=files)])
    assert found == []


# --- Matching ---------------------------------------------------------------------------------------------------


def thing(kind: str = "Pod", api: str = "v1", **meta: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "p", **meta}}


@pytest.mark.parametrize(
    ("match", "obj", "expected"),
    [
        ({}, thing(), True),
        ({"kinds": []}, thing(), True),
        ({"kinds": [{"apiGroups": ["apps"], "kinds": ["Deployment"]}]}, thing("Deployment", "apps/v1"), True),
        ({"kinds": [{"apiGroups": ["apps"], "kinds": ["Deployment"]}]}, thing("Deployment", "other/v1"), False),
        ({"kinds": [{"apiGroups": ["*"], "kinds": ["*"]}]}, thing(), True),
        ({"kinds": [{"kinds": ["Service"]}, {"apiGroups": [""]}]}, thing(), True),
        ({"kinds": [{"kinds": ["Service"]}]}, thing(), False),
        ({"namespaces": ["shop"]}, thing(namespace="shop"), True),
        ({"namespaces": ["sho*"]}, thing(namespace="shop"), True),
        ({"namespaces": ["*op"]}, thing(namespace="shop"), True),
        ({"namespaces": ["*ho*"]}, thing(namespace="shop"), True),
        ({"namespaces": ["sh*p"]}, thing(namespace="shop"), False),
        ({"namespaces": ["other"]}, thing(namespace="shop"), False),
        ({"namespaces": ["other"]}, thing("ClusterRole", "rbac.authorization.k8s.io/v1"), True),
        ({"namespaces": ["p"]}, thing("Namespace"), True),
        ({"namespaces": ["other"]}, thing("Namespace"), False),
        ({"excludedNamespaces": ["kube-*"]}, thing(namespace="kube-system"), False),
        ({"excludedNamespaces": ["kube-*"]}, thing(namespace="shop"), True),
        ({"excludedNamespaces": ["p"]}, thing("Namespace"), False),
        ({"namespaces": ["*"], "excludedNamespaces": ["shop"]}, thing(namespace="shop"), False),
        ({"scope": "Cluster"}, thing(namespace="shop"), False),
        ({"scope": "Cluster"}, thing("Namespace"), True),
        ({"scope": "Cluster"}, thing("ClusterRole"), True),
        ({"scope": "Namespaced"}, thing(namespace="shop"), True),
        ({"scope": "Namespaced"}, thing("Namespace"), False),
        ({"scope": "Namespaced"}, thing(), True),
        ({"scope": "Namespaced"}, thing("ClusterRole", "rbac.authorization.k8s.io/v1"), False),
        ({"scope": "Namespaced"}, thing("ClusterRole", "rbac.authorization.k8s.io/v1", namespace="shop"), False),
        ({"scope": "Cluster"}, thing("ClusterRole", "rbac.authorization.k8s.io/v1", namespace="shop"), True),
        ({"excludedNamespaces": ["*"]}, thing("ClusterRole", "rbac.authorization.k8s.io/v1", namespace="shop"), True),
        ({"scope": "*"}, thing(namespace="shop"), True),
        ({"scope": "cluster"}, thing(namespace="shop"), True),
        ({"name": "p"}, thing(), True),
        ({"name": "q*"}, thing(), False),
        ({"name": "web-*"}, thing(name="", generateName="web-"), True),
        ({"name": "*-web"}, thing(name="", generateName="web-"), False),
        ({"labelSelector": {"matchLabels": {"a": "b"}}}, thing(labels={"a": "b", "c": "d"}), True),
        ({"labelSelector": {"matchLabels": {"a": "b"}}}, thing(labels={"a": "c"}), False),
        ({"labelSelector": {"matchLabels": {"a": "b"}}}, thing(), False),
        ({"labelSelector": {}}, thing(), True),
        ({"labelSelector": {"matchExpressions": [("a", "In", ["b", "c"])]}}, thing(labels={"a": "c"}), True),
        ({"labelSelector": {"matchExpressions": [("a", "In", ["b"])]}}, thing(), False),
        ({"labelSelector": {"matchExpressions": [("a", "NotIn", ["b"])]}}, thing(), True),
        ({"labelSelector": {"matchExpressions": [("a", "NotIn", ["b"])]}}, thing(labels={"a": "b"}), False),
        ({"labelSelector": {"matchExpressions": [("a", "Exists", [])]}}, thing(labels={"a": "b"}), True),
        ({"labelSelector": {"matchExpressions": [("a", "DoesNotExist", [])]}}, thing(labels={"a": "b"}), False),
        ({"namespaceSelector": {"matchLabels": {"tier": "gold"}}}, thing(namespace="shop"), True),
        ({"namespaceSelector": {"matchLabels": {"tier": "tin"}}}, thing(namespace="shop"), False),
        ({"namespaceSelector": {"matchLabels": {"tier": "gold"}}}, thing("Namespace", labels={"tier": "gold"}), True),
        ({"namespaceSelector": {"matchLabels": {"tier": "gold"}}}, thing("ClusterRole"), True),
        ({"source": "All"}, thing(), True),
        ({"source": "Original"}, thing(), True),
        ({"source": "Generated"}, thing(), False),
    ],
)
def test_matching(match: dict[str, Any], obj: dict[str, Any], expected: bool) -> None:
    for selector in match.values():
        if isinstance(selector, dict) and "matchExpressions" in selector:
            selector["matchExpressions"] = [
                {"key": key, "operator": operator, "values": values}
                for key, operator, values in selector["matchExpressions"]
            ]
    namespace = SHOP if obj["metadata"].get("namespace") == "shop" else None
    assert _gatekeeper.matches(match, obj, namespace, "Original") is expected


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize(
    ("match", "expected"),
    [({"scope": "Namespaced"}, False), ({"scope": "Cluster"}, True), ({"namespaces": ["x"]}, True)],
)
def test_kinds_that_the_settings_say_are_in_no_namespace(match: dict[str, Any], expected: bool) -> None:
    wanted = {"kinds": [{"apiGroups": ["example.org"], "kinds": ["Thing"]}], **match}
    policy = {
        "policy/0.yaml": yaml.safe_dump(TEMPLATE),
        "policy/1.yaml": yaml.safe_dump(changed(CONSTRAINT, "spec.match", wanted)),
    }
    made = job(
        "gatekeeper", list(policy), [object_at(thing("Thing", "example.org/v1", namespace="shop"))], policy=policy
    )
    made = made._replace(context=made.context._replace(cluster_scoped=frozenset({"Thing.example.org"})))
    (found,) = _rego.check([made])
    assert said(found) == ([DENIED] if expected else [])


@pytest.mark.usefixtures("opa")
def test_a_namespace_that_is_asked_for_and_not_there_denies() -> None:
    selecting = changed(CONSTRAINT, "spec.match.namespaceSelector", {"matchLabels": {"tier": "gold"}})
    (only,) = judged([TEMPLATE, selecting])
    assert only.severity == PROHIBIT
    assert "its namespace shop is not in the repository" in only.message
    assert said(judged([TEMPLATE, selecting], everything=[SHOP])) == [DENIED]


@pytest.mark.usefixtures("opa")
def test_every_namespace_is_labelled_with_its_name() -> None:
    match = {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
    selecting = changed(CONSTRAINT, "spec.match.namespaceSelector", match)
    assert said(judged([TEMPLATE, selecting], everything=[SHOP])) == [DENIED]
    match["matchLabels"]["kubernetes.io/metadata.name"] = "default"
    assert judged([TEMPLATE, selecting], [thing(namespace="default", labels={"owner": "x"})]) == []


# --- What cannot be used ----------------------------------------------------------------------------------------


SCHEMA = "spec.crd.spec.validation.openAPIV3Schema"
NO_OPERATOR = {"key": "a", "operator": "Is"}
BAD_VALUE = {"key": "a", "operator": "In", "values": ["b", "no value"]}
VIOLATES = 'package a\nviolation[{"msg": "no"}] { true }\np = '
POD_KIND = {"groups": [""], "versions": ["v1"], "kinds": ["Pod"]}


def with_target(**target: Any) -> dict[str, Any]:
    return changed(TEMPLATE, "spec.targets", [{"target": "admission.k8s.gatekeeper.sh", **target}])


@pytest.mark.usefixtures("opa")
@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ([TEMPLATE], "there is no Constraint"),
        ([CONSTRAINT], "there is no ConstraintTemplate for LabelsNeeded"),
        ([TEMPLATE, TEMPLATE, CONSTRAINT], "two templates"),
        ([TEMPLATE, CONSTRAINT, POD], "Pod is neither"),
        ([TEMPLATE, CONSTRAINT, "text"], "no Kubernetes object"),
        ([changed(TEMPLATE, "metadata.name", "other"), CONSTRAINT], "must be its kind"),
        ([changed(TEMPLATE, "spec.targets", []), CONSTRAINT], "one target"),
        ([changed(TEMPLATE, "spec.targets.0.target", "x"), CONSTRAINT], "one target"),
        ([with_target(code=[{"engine": "Other", "source": {}}]), CONSTRAINT], "Other"),
        ([with_target(), CONSTRAINT], "has no Rego"),
        ([with_target(rego="violation[x] { true }"), CONSTRAINT], "does not begin with `package"),
        ([with_target(rego="package a\nviolations[x] { x := 1 }"), CONSTRAINT], "no rule named violation"),
        ([with_target(rego="package a\nviolation[x] { x := data.b }"), CONSTRAINT], 'not to "b"'),
        ([with_target(rego="package a\nviolation[x] {"), CONSTRAINT], "ConstraintTemplate labelsneeded:2"),
        ([with_target(rego="package a\nviolation[{}] {true}", libs=["package b"]), CONSTRAINT], "must begin with lib"),
        ([with_target(rego="package a\nviolation[{}] {true}", libs=[1]), CONSTRAINT], "libs must be"),
        ([changed(TEMPLATE, f"{SCHEMA}.type", "x"), CONSTRAINT], "schema cannot be used"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.parameters.labels", "owner")], "spec.parameters.labels: must be a list"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.parameters.lables", [])], "unknown field (did you mean labels?)"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.match.kind", [])], "spec.match.kind: unknown field"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.match.namespaces", ["a*b"])], "does not match the pattern"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.enforcementAction", "scoped")], "wants scopedEnforcementActions"),
        ([TEMPLATE, changed(CONSTRAINT, "spec.match.source", "Elsewhere")], "must be one of"),
        (
            [TEMPLATE, changed(CONSTRAINT, "spec.match.labelSelector", {"matchExpressions": [NO_OPERATOR]})],
            "no operator",
        ),
        (
            [TEMPLATE, changed(CONSTRAINT, "spec.match.labelSelector", {"matchLabels": {"a b": "c"}})],
            "'a b' cannot be the key of a label",
        ),
        (
            [TEMPLATE, changed(CONSTRAINT, "spec.match.namespaceSelector", {"matchLabels": {"A.b/c": "d"}})],
            "'A.b/c' cannot be the key of a label",
        ),
        (
            [TEMPLATE, changed(CONSTRAINT, "spec.match.labelSelector", {"matchLabels": {"a": "x" * 64}})],
            "cannot all be values of a label",
        ),
        (
            [TEMPLATE, changed(CONSTRAINT, "spec.match.labelSelector", {"matchExpressions": [BAD_VALUE]})],
            "cannot all be values of a label",
        ),
        ([changed(TEMPLATE, "apiVersion", "templates.gatekeeper.sh/v2"), CONSTRAINT], "no 'v2'"),
        ([TEMPLATE, changed(CONSTRAINT, "apiVersion", "constraints.gatekeeper.sh/v1")], "no 'v1'"),
        ([TEMPLATE, changed(CONSTRAINT, "metadata.name", "Owner")], "its name must be lower case"),
        ([TEMPLATE, changed(CONSTRAINT, "metadata.name", "x" * 64)], "at most 63"),
        ([with_target(rego="package a\nviolation[m] { m := data[input.x] }"), CONSTRAINT], 'not to "data itself"'),
        ([with_target(rego="package a\nviolation[m] { m := data.lib.x.y }"), CONSTRAINT], "refers to data.lib.x.y"),
        ([with_target(rego=f"{VIOLATES} external_data(1)"), CONSTRAINT], "it asks providers over the network"),
        ([TEMPLATE, CONSTRAINT, changed(EXPANSION, "metadata.name", "x" * 64)], "at most 63 characters"),
        ([TEMPLATE, CONSTRAINT, EXPANSION, BACK], 'ExpansionTemplates "back", "pods" make what each other expand'),
        ([TEMPLATE, CONSTRAINT, changed(EXPANSION, "spec.templateSource", "")], "wants applyTo"),
        ([TEMPLATE, CONSTRAINT, changed(EXPANSION, "spec.applyTo.0", POD_KIND)], "makes the kind"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_denies(policies: list[Any], message: str) -> None:
    found = judged(policies)
    assert [(one.kind, one.severity) for one in found] == [(ERROR, PROHIBIT)]
    assert message in found[0].message


@pytest.mark.usefixtures("opa")
def test_a_legacy_schema_keeps_what_it_does_not_know() -> None:
    legacy = changed(TEMPLATE, "spec.crd.spec.validation.legacySchema", True)
    more = changed(CONSTRAINT, "spec.parameters.more", 1)
    assert said(judged([legacy, more])) == [DENIED]
    beta = changed(TEMPLATE, "apiVersion", "templates.gatekeeper.sh/v1beta1")
    assert said(judged([beta, more])) == [DENIED]


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ("policy/a.yaml", 0),
        (["policy/a.yaml", "policy/b.yaml"], 0),
        ({"files": "policy/a.yaml", "builtin_errors": "ignore"}, 0),
        ({}, 1),
        (3, 1),
        ("elsewhere/a.yaml", 1),
        ({"files": "policy/a.yaml", "version": "v0"}, 1),
        ({"files": "policy/a.yaml", "builtin_errors": "x"}, 1),
    ],
)
def test_parameters(params: Any, count: int) -> None:
    assert len(_rego.problems("gatekeeper", params)) == count


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab*", max_size=6), st.text(alphabet="ab", max_size=6))
def test_globs_only_at_the_ends(pattern: str, text: str) -> None:
    inner = pattern.removeprefix("*").removesuffix("*")
    found = _gatekeeper.glob(pattern, text)
    if "*" in inner:
        assert not found
    elif pattern in ("*", "**"):
        assert found
    else:
        assert found is (
            text == pattern
            or (pattern[:1] == "*" and text.endswith(inner) and pattern[-1:] != "*")
            or (pattern[-1:] == "*" and text.startswith(inner))
            or (pattern[:1] == pattern[-1:] == "*" and inner in text)
        )


def test_objects_without_any_shape_are_matched_or_not() -> None:
    for obj in objects("{metadata: [], kind: 1, apiVersion: {}}"):
        assert _gatekeeper.matches({"kinds": [{"kinds": ["Pod"]}]}, obj.object, None, "Original") is False

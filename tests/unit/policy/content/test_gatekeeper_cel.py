# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Gatekeeper's templates in CEL: cases from its documentation, with gator's answers.  opa is not needed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _rego
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import ERROR, INFO, PROHIBIT, WARN, Finding

from tests.unit.policy.content.content_jobs import job, object_at

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "shop", "labels": {"owner": "me"}},
    "spec": {"containers": [{"name": "a", "image": "x/y:1"}, {"name": "b", "image": "z:2"}]},
}
SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"tier": "gold"}}}
CODE = "K8sNativeValidation"


def template(source: Any, *more: dict[str, Any], **target: Any) -> dict[str, Any]:
    code = [*more, {"engine": CODE, "source": source}]
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string", "default": "none"}, "least": {"type": "integer"}},
    }
    return {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": "asked"},
        "spec": {
            "crd": {"spec": {"names": {"kind": "Asked"}, "validation": {"openAPIV3Schema": schema}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "code": code, **target}],
        },
    }


def constraint(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "Asked",
        "metadata": {"name": "one"},
        "spec": {"match": {"kinds": [{"apiGroups": ["*"], "kinds": ["*"]}]}, **spec},
    }


def judged(source: Any, *, reviewed: Any = POD, spec: Any = None, everything: Any = (), **more: Any) -> list[Finding]:
    made = more.pop("template", None) or template(source)
    policies = [made, constraint(**(spec or {})), *more.pop("policies", ())]
    files = {f"policy/{number}.yaml": yaml.safe_dump(one) for number, one in enumerate(policies)}
    asked = job(
        "gatekeeper",
        {"files": list(files)},
        [object_at(reviewed)],
        policy=files,
        everything=[object_at(one) for one in everything],
        **more,
    )
    (found,) = _rego.check([asked])
    return found


def said(found: list[Finding]) -> list[str]:
    return [one.message.removeprefix("Asked one: ") for one in found]


def validated(expression: str, **more: Any) -> dict[str, Any]:
    return {"validations": [{"expression": expression, "message": "no"}], **more}


@pytest.mark.parametrize(
    "expression",
    [
        "object.metadata.name == 'p' && variables.anyObject == object && oldObject == null",
        "variables.params.word == 'none' && !has(variables.params.least)",
        "request.kind.kind == 'Pod' && request.kind.group == '' && request.name == 'p' && request.namespace == 'shop'",
        "request.operation == '' && !request.dryRun && !has(request.subResource)",
        "request.requestKind.version == 'v1' && request.requestResource.resource == ''",
        "namespaceObject.metadata.labels['tier'] == 'gold' && namespaceObject.metadata.name == 'shop'",
        "object.spec.containers.all(c, c.image.matches('^[a-z/]+:[0-9]$'))",
        "has(object.metadata.labels) && 'owner' in object.metadata.labels && !has(object.metadata.annotations)",
    ],
)
def test_what_an_expression_sees(expression: str) -> None:
    spec: dict[str, Any] = {"parameters": {}}
    assert judged(validated(expression), spec=spec, everything=[SHOP]) == []
    assert said(judged(validated(f"!({expression})"), spec=spec, everything=[SHOP])) == ["no"]


def test_parameters_may_be_missing() -> None:
    without = template(validated("variables.params == null"))
    del without["spec"]["crd"]["spec"]["validation"]
    assert judged(None, template=without) == []
    assert judged(validated("variables.params.least == 3"), spec={"parameters": {"least": 3}}) == []


def test_variables_build_on_each_other_and_are_made_when_asked_for() -> None:
    variables = [
        {"name": "images", "expression": "object.spec.containers.map(c, c.image)"},
        {"name": "bad", "expression": "variables.images.filter(i, !i.startsWith('x/'))"},
        {"name": "never", "expression": "object.spec.nothing.there"},
        {"name": "whole", "expression": "params.spec.match.kinds.size()"},
    ]
    one = {
        "expression": "variables.bad.size() == 0 || variables.never",
        "message": "plain",
        "messageExpression": "'not from x: ' + variables.bad.join(', ')",
    }
    ok = {"expression": "variables.bad.size() < 2 && variables.whole == 1"}
    source = {"variables": variables, "validations": [ok, {**one, "expression": "variables.bad.size() == 0"}, one]}
    found = said(judged(source))
    assert found[0] == "not from x: z:2"
    assert len(found) == 2 and "has no answer: no such key: nothing" in found[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"message": " plain "}, "plain"),
        ({}, "failed expression: false"),
        ({"message": "plain", "messageExpression": "1 / 0 == 1 ? 'a' : 'b'"}, "plain"),
        ({"message": "plain", "messageExpression": "''"}, "plain"),
        ({"message": "plain", "messageExpression": r"'a\nb'"}, "plain"),
        ({"message": "plain", "messageExpression": "object.spec"}, "plain"),
        ({"message": "plain", "messageExpression": "'%s has %d'.format([request.name, 2])"}, "p has 2"),
    ],
)
def test_messages(more: dict[str, str], message: str) -> None:
    assert said(judged({"validations": [{"expression": "false", **more}]})) == [message]


TRUE = {"name": "yes", "expression": "true"}
FALSE = {"name": "no", "expression": "object.kind == 'Service'"}
BROKEN = {"name": "broken", "expression": "object.nothing.there == 1"}


NO_ANSWER = "match condition broken has no answer: no such key: nothing"


@pytest.mark.parametrize(
    ("conditions", "policy", "found"),
    [
        ([TRUE], "Fail", [(PROHIBIT, "no")]),
        ([TRUE, FALSE], "Fail", []),
        ([BROKEN, FALSE], "Fail", []),
        ([TRUE, BROKEN], "Fail", [(PROHIBIT, NO_ANSWER)]),
        ([TRUE, BROKEN], "Ignore", [(INFO, f"{NO_ANSWER}; failurePolicy is Ignore, so this passes")]),
    ],
)
def test_match_conditions(conditions: list[Any], policy: str, found: list[tuple[str, str]]) -> None:
    answer = judged(validated("false", matchCondition=conditions, failurePolicy=policy))
    assert [(one.severity, one.message.removeprefix("Asked one: ")) for one in answer] == found


@pytest.mark.parametrize(("policy", "severity"), [(None, PROHIBIT), ("Fail", PROHIBIT), ("Ignore", INFO)])
def test_what_has_no_answer(policy: str | None, severity: str) -> None:
    (found,) = judged(validated("object.spec.replicas > 1", **({"failurePolicy": policy} if policy else {})))
    assert found.severity == severity and "has no answer: no such key: replicas" in found.message
    # what is denied is denied all the same
    assert [one.severity for one in judged(validated("false", failurePolicy=policy or "Fail"))] == [PROHIBIT]


def test_what_takes_too_long_denies_even_where_errors_pass() -> None:
    many = {**POD, "spec": {"containers": [{"name": str(number)} for number in range(200)]}}
    every = "object.spec.containers.all(x, object.spec.containers.all(y, object.spec.containers.all(z, x != '')))"
    (found,) = judged(validated(every, failurePolicy="Ignore"), reviewed=many)
    assert found.severity == PROHIBIT and "takes too many steps" in found.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "must be an object"),
        ({}, "has no validations"),
        ({"validations": []}, "has no validations"),
        ({"validations": [1]}, "must be a list of objects"),
        ({"validations": [{"expression": 1}]}, "expression must be a string"),
        (validated("object.x", failurePolicy="Pass"), "failurePolicy is Fail or Ignore"),
        (validated("object.x +"), "'object.x +' cannot be used"),
        (validated("nosuch(object)"), "there is no function nosuch"),
        (validated("params.word == ''"), "there is no params"),
        (validated("variables.nosuch"), "there is no field nosuch"),
        (validated("request.nosuch == ''"), "there is no field nosuch"),
        (validated("namespaceObject.metadata.nosuch == ''"), "there is no field nosuch"),
        (validated("'a'"), "must be true or false, not string"),
        (validated("object.x"), "must be true or false, not dyn"),
        (validated("authorizer.path('/').check('get').allowed()"), "there is no"),
        (validated("1 == 'a'", failurePolicy="Ignore"), "cannot be used"),
        (validated("true", matchCondition=[{"name": "a", "expression": "1"}]), "match condition a"),
        (validated("true", matchCondition=[{"name": "gatekeeper_internal_a", "expression": "true"}]), "taken"),
        (validated("true", variables=[{"name": "a", "expression": "variables.b"}]), "variable a"),
        (validated("true", variables=[{"name": "params", "expression": "1"}]), "params is no name"),
        (validated("true", variables=[{"name": "anyObject", "expression": "1"}]), "anyObject is no name"),
        (validated("true", variables=[{"name": "gatekeeper_internal_x", "expression": "1"}]), "taken"),
    ],
)
def test_what_cannot_be_used_denies(source: Any, message: str) -> None:
    (found,) = judged(source)
    assert (found.kind, found.severity) == (ERROR, PROHIBIT)
    assert message in found.message and "policy/0.yaml: ConstraintTemplate asked" in found.message


def test_of_both_engines_the_one_in_cel_is_asked() -> None:
    rego = {"engine": "Rego", "source": {"rego": 'package a\nviolation[{"msg": "rego"}] { true }'}}
    assert said(judged(None, template=template(validated("false"), rego))) == ["no"]
    old = template(validated("false"), rego='package a\nviolation[{"msg": "rego"}] { true }')
    assert said(judged(None, template=old)) == ["no"]


@pytest.mark.parametrize(
    ("action", "severity", "policy"),
    [("deny", PROHIBIT, "Fail"), ("warn", WARN, "Fail"), ("dryrun", INFO, "Fail"), ("warn", WARN, "Ignore")],
)
def test_enforcement_actions(action: str, severity: str, policy: str) -> None:
    found = judged(validated("false", failurePolicy=policy), spec={"enforcementAction": action})
    assert [one.severity for one in found] == [severity]


def test_only_what_matches_and_what_is_expanded_is_asked() -> None:
    assert judged(validated("false"), spec={"match": {"kinds": [{"apiGroups": ["apps"], "kinds": ["*"]}]}}) == []
    expansion = {
        "apiVersion": "expansion.gatekeeper.sh/v1beta1",
        "kind": "ExpansionTemplate",
        "metadata": {"name": "pods"},
        "spec": {
            "applyTo": [{"groups": ["apps"], "versions": ["v1"], "kinds": ["Deployment"]}],
            "templateSource": "spec.template",
            "generatedGVK": {"group": "", "version": "v1", "kind": "Pod"},
        },
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"metadata": {}, "spec": POD["spec"]}},
    }
    source = {
        "validations": [{"expression": "object.kind != 'Pod'", "messageExpression": "string(object.metadata.name)"}]
    }
    (found,) = judged(source, reviewed=deployment, policies=[expansion])
    assert found.message == "[Implied by pods] Asked one: web-pod"
    assert found.field[:2] == ("spec", "template")

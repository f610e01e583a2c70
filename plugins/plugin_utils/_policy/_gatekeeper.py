# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Gatekeeper's ConstraintTemplates and Constraints, as they are, without a cluster.

A rule says `gatekeeper: [policy/gatekeeper/template.yaml, policy/gatekeeper/constraint.yaml]`, or files: and
builtin_errors: as for Rego.  The files hold ConstraintTemplates, Constraints and, where wanted, ExpansionTemplates.

Source of the rules: Gatekeeper's documentation.  An object is reviewed as `gator` reviews it: no operation and no old
object, `data.inventory` is every object of the repository's environments, and the enforcement point is
gator.gatekeeper.sh.  enforcementAction deny prohibits, warn and others that are not known warn, dryrun informs.

A template in CEL (K8sNativeValidation) is asked by _gatekeeper_cel; of one that is written in both, `gator` asks the
CEL, and so it is here.

Not known here, and denied with a word: external data, mutation.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _crd, _schema
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import (
    finding,
    metadata_of,
    quoted,
    text_of,
    within,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import INFO, WARN, Finding, Job, ObjectAt
from ansible_collections.weft.platform.plugins.plugin_utils._policy._opa import (
    Answer,
    Module,
    PolicySet,
    Run,
    moved,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_plan import (
    MAX_MESSAGE,
    Broken,
    Builder,
    Finish,
    failed,
    found,
    read_yaml,
    results,
    unknown_data,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego_text import RegoError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import CLUSTER_SCOPED

if TYPE_CHECKING:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper_cel

TARGET = "admission.k8s.gatekeeper.sh"
#: As which enforcement point this check counts, for scoped enforcement actions.
ENFORCEMENT_POINT = "gator.gatekeeper.sh"

_TEMPLATES, _CONSTRAINTS, _EXPANSION = "templates.gatekeeper.sh", "constraints.gatekeeper.sh", "expansion.gatekeeper.sh"
#: The versions that Gatekeeper serves, by group.
_VERSIONS = {
    _TEMPLATES: ("v1", "v1beta1", "v1alpha1"),
    _CONSTRAINTS: ("v1beta1", "v1alpha1"),
    _EXPANSION: ("v1beta1", "v1alpha1"),
}
_KEYS = ("files", "builtin_errors")


def problems(name: str, params: Any) -> list[str]:
    """What is wrong with the parameters of a rule."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._rego import paths_wrong

    if isinstance(params, (str, list)):
        params = {"files": params}
    if not isinstance(params, dict):
        return [f"{name}: write the paths of templates and constraints under policy/"]
    out = [f"{name}: {key!r} is not known; {', '.join(_KEYS)} are" for key in params if key not in _KEYS]
    if params.get("builtin_errors", "deny") not in ("deny", "ignore"):
        out.append(f"{name}: builtin_errors is deny or ignore")
    return out + paths_wrong(name, "files", params.get("files"), required=True)


# --- What the files hold ----------------------------------------------------------------------------------------


class _Template(NamedTuple):
    """A ConstraintTemplate: the kind of its constraints, what validates them, and its policies."""

    kind: str
    schema: Mapping[str, Any]
    node: _schema.Node
    policies: PolicySet | _gatekeeper_cel.Policies


class _Expansion(NamedTuple):
    """An ExpansionTemplate: which objects it makes another of, where that is in them, and what kind it is."""

    name: str
    applies: Sequence[Mapping[str, Any]]
    source: Path
    version: str
    kind: str
    action: str


class _Constraint(NamedTuple):
    """A Constraint: itself, its name for messages, its template, how objects are selected, and what it does."""

    whole: Mapping[str, Any]
    title: str
    template: _Template
    match: Mapping[str, Any]
    parameters: Any
    actions: frozenset[str]


class _Policy(NamedTuple):
    constraints: Sequence[_Constraint]
    expansions: Sequence[_Expansion]


def _read(job: Job, paths: Sequence[str]) -> _Policy:
    """
    Raises:
        Broken: something in the files cannot be used.
    """
    templates: dict[str, _Template] = {}
    constraints: list[tuple[str, Mapping[str, Any]]] = []
    expansions: list[_Expansion] = []
    for path in paths:
        for value in read_yaml(job, path):
            group, kind = _kind_of(value, path)
            if group == _TEMPLATES and kind == "ConstraintTemplate":
                template = _template(value, path)
                if template.kind in templates:
                    raise Broken(f"{path}: there are two templates for {template.kind}")
                templates[template.kind] = template
            elif group == _CONSTRAINTS:
                constraints.append((path, value))
            elif group == _EXPANSION and kind == "ExpansionTemplate":
                expansions.append(_expansion(value, path))
            else:
                raise Broken(
                    f"{path}: {kind} is neither a ConstraintTemplate nor a Constraint nor an ExpansionTemplate"
                )
    if not constraints:
        raise Broken(f"{', '.join(paths)}: there is no Constraint: nothing would be checked")
    _no_circle(expansions, ", ".join(paths))
    return _Policy([_constraint(value, path, templates) for path, value in constraints], expansions)


def _kind_of(value: Any, path: str) -> tuple[str, str]:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise Broken(f"{path}: holds something that is no Kubernetes object")
    group, _, version = text_of(value.get("apiVersion")).rpartition("/")
    if group in _VERSIONS and version not in _VERSIONS[group]:
        raise Broken(f"{path}: {value['kind']}: Gatekeeper has {quoted(_VERSIONS[group])} of {group}, no {version!r}")
    return group, value["kind"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _deep(value: Any, *steps: str) -> Any:
    for step in steps:
        value = _mapping(value).get(step)
    return value


# --- Templates --------------------------------------------------------------------------------------------------

_WILDCARDS = {"type": "array", "items": {"type": "string", "pattern": r"^\*?[-:a-z0-9]*\*?$"}}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_SELECTOR = {
    "type": "object",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {"key": {"type": "string"}, "operator": {"type": "string"}, "values": _TEXTS},
            },
        },
    },
}
#: Schema of spec.match.
_MATCH = {
    "type": "object",
    "properties": {
        "kinds": {"type": "array", "items": {"type": "object", "properties": {"apiGroups": _TEXTS, "kinds": _TEXTS}}},
        "scope": {"type": "string"},
        "source": {"type": "string", "enum": ["All", "Generated", "Original"]},
        "namespaces": _WILDCARDS,
        "excludedNamespaces": _WILDCARDS,
        "name": _WILDCARDS["items"],
        "labelSelector": _SELECTOR,
        "namespaceSelector": _SELECTOR,
    },
}
_POINT = {"type": "object", "properties": {"name": {"type": "string"}}}
_SCOPED = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"action": {"type": "string"}, "enforcementPoints": {"type": "array", "items": _POINT}},
    },
}


#: The engine that is preferred where a template has several: gator makes it known first.
_CEL = "K8sNativeValidation"


def _template(value: Mapping[str, Any], path: str) -> _Template:
    kind = _deep(value, "spec", "crd", "spec", "names", "kind")
    name = metadata_of(value).get("name")
    where = f"{path}: ConstraintTemplate {name}"
    if not isinstance(kind, str) or not kind or name != kind.lower():
        raise Broken(f"{where}: its name must be its kind ({kind}) in lower case")
    targets = _deep(value, "spec", "targets")
    if not isinstance(targets, list) or len(targets) != 1 or _deep(targets[0], "target") != TARGET:
        raise Broken(f"{where}: must have one target, {TARGET}")
    validation = _mapping(_deep(value, "spec", "crd", "spec", "validation"))
    legacy = validation.get("legacySchema", not str(value.get("apiVersion")).endswith("/v1")) is True
    schema = _constraint_schema(validation.get("openAPIV3Schema"))
    try:
        node = _crd.node_of(schema, lax=legacy)
    except (_crd.DefinitionError, RecursionError) as error:
        raise Broken(f"{where}: its schema cannot be used: {error}") from error
    return _Template(kind, schema, node, _policies(targets[0], where))


def _constraint_schema(parameters: Any) -> Mapping[str, Any]:
    """The schema of a template's constraints, as Gatekeeper's CustomResourceDefinition for them would be."""
    spec: dict[str, Any] = {
        "match": _MATCH,
        "enforcementAction": {"type": "string"},
        "scopedEnforcementActions": _SCOPED,
    }
    if parameters is not None:
        spec["parameters"] = parameters
    status = {"x-kubernetes-preserve-unknown-fields": True}
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}, "status": status}}


def _policies(target: Mapping[str, Any], where: str) -> PolicySet | _gatekeeper_cel.Policies:
    """What a template asks: its CEL, or where it has none its Rego.

    Raises:
        Broken: there is neither, or it does what a template may not.
    """
    for code in target.get("code") or ():
        if _deep(code, "engine") == _CEL:
            # only a template in CEL pays for what it needs
            from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper_cel

            return _gatekeeper_cel.read(_deep(code, "source"), where)
    source: Any = {"rego": target.get("rego"), "libs": target.get("libs")}
    # where Rego is written in both places, the older one counts
    for code in () if source["rego"] else target.get("code") or ():
        if _deep(code, "engine") == "Rego":
            source = _mapping(_deep(code, "source"))
    if not isinstance(source.get("rego"), str) or not source["rego"].strip():
        engines = sorted({str(_deep(code, "engine")) for code in target.get("code") or ()})
        raise Broken(f"{where}: has no Rego; {', '.join(engines) or 'nothing else'} cannot be run here")
    version = source.get("version") or "v0"
    if version not in ("v0", "v1"):
        version = "v0"  # as Gatekeeper does
    libs = source.get("libs") or []
    if not isinstance(libs, list) or not all(isinstance(lib, str) for lib in libs):
        raise Broken(f"{where}: libs must be a list of Rego modules")
    modules = [Module(where, source["rego"], version)]
    modules += [Module(f"{where}, library {number}", lib, version) for number, lib in enumerate(libs, start=1)]
    policies = PolicySet(tuple(modules), {})
    _check_modules(policies, where)
    return policies


def _check_modules(policies: PolicySet, where: str) -> None:
    try:
        entry, *libs = moved(policies, 0)
    except RegoError as error:
        raise Broken(str(error)) from error
    if "violation" not in entry.rules:
        raise Broken(f"{where}: has no rule named violation")
    used = {path[0] if path else "data itself" for module in (entry, *libs) for path in module.data}
    foreign = sorted(used - {"lib", "inventory"})
    if foreign:
        raise Broken(f"{where}: may refer to data.lib and data.inventory only, not to {quoted(foreign)}")
    for lib in libs:
        if lib.package[0] != "lib":
            raise Broken(f"{where}: package {'.'.join(lib.package)} of a library must begin with lib")
    missing = unknown_data((entry, *libs), ["inventory"])
    if missing:
        raise Broken(f"{where}: refers to {', '.join(missing)}, which no library of it has")


# --- Constraints ------------------------------------------------------------------------------------------------


def _constraint(value: Mapping[str, Any], path: str, templates: Mapping[str, _Template]) -> _Constraint:
    kind, name = value["kind"], metadata_of(value).get("name")
    where = f"{path}: {kind} {name}"
    template = templates.get(kind)
    if template is None:
        raise Broken(f"{where}: there is no ConstraintTemplate for {kind}; name its file in the rule as well")
    if not isinstance(name, str) or len(name) > 63 or not _NAME.fullmatch(name):
        raise Broken(f"{where}: its name must be lower case letters, digits, - and ., at most 63 of them")
    try:
        filled = _crd.filled(value, template.schema)
    except _crd.DefinitionError as error:
        raise Broken(f"{where}: {error}") from error
    faults = _schema.Faults()
    template.node.check(filled, None, faults)
    if faults.found:
        fault = faults.found[0]
        raise Broken(f"{where}: {'.'.join(map(str, fault.path))}: {fault.message}")
    spec = _mapping(filled.get("spec"))
    match = _mapping(spec.get("match"))
    for selector in ("labelSelector", "namespaceSelector"):
        _selector_wrong(match.get(selector), f"{where}: spec.match.{selector}")
    parameters = spec.get("parameters")
    return _Constraint(
        filled, f"{kind} {name}", template, match, {} if parameters is None else parameters, _actions(spec, where)
    )


def _actions(spec: Mapping[str, Any], where: str) -> frozenset[str]:
    """What the constraint does here: one action, as a rule; several or none where they are scoped."""
    action = spec.get("enforcementAction")
    if action != "scoped":
        return frozenset((action or "deny",))
    scoped = spec.get("scopedEnforcementActions")
    if scoped is None:
        raise Broken(f"{where}: enforcementAction scoped wants scopedEnforcementActions")
    return frozenset(
        str(one.get("action"))
        for one in scoped
        for point in one.get("enforcementPoints") or ()
        if point.get("name") in ("*", ENFORCEMENT_POINT)
    )


_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)


def _is_label(key: str) -> bool:
    """Whether a text can be the key of a label: a word, and before it where wanted a domain and a slash."""
    domain, slash, word = key.rpartition("/")
    return bool(_WORD.fullmatch(word)) and (not slash or (len(domain) <= 253 and bool(_NAME.fullmatch(domain))))


def _selector_wrong(selector: Any, where: str) -> None:
    """
    Raises:
        Broken: it is no label selector, or could not select anything.
    """
    wanted = [(key, [value]) for key, value in (_mapping(selector).get("matchLabels") or {}).items()]
    wanted += [(one["key"], one.get("values") or []) for one in _mapping(selector).get("matchExpressions") or ()]
    for key, values in wanted:
        if not _is_label(key):
            raise Broken(f"{where}: {key!r} cannot be the key of a label")
        if not all(value == "" or _WORD.fullmatch(value) for value in values):
            raise Broken(f"{where}: {quoted(values)} cannot all be values of a label")
    for one in _mapping(selector).get("matchExpressions") or ():
        operator, values = one["operator"], one.get("values") or []
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise Broken(f"{where}: {operator!r} is no operator of a label selector")
        if bool(values) is not (operator in ("In", "NotIn")):
            raise Broken(f"{where}: {operator} {'wants' if not values else 'takes no'} values")


def _expansion(value: Mapping[str, Any], path: str) -> _Expansion:
    name, spec = metadata_of(value).get("name"), _mapping(value.get("spec"))
    made = _mapping(spec.get("generatedGVK"))
    source, applies = spec.get("templateSource"), spec.get("applyTo")
    where = f"{path}: ExpansionTemplate {name}"
    if not isinstance(name, str) or not 0 < len(name) < 64:
        raise Broken(f"{where}: wants a name of at most 63 characters")
    if not isinstance(source, str) or not source or not made or not isinstance(applies, list) or not applies:
        raise Broken(f"{where}: wants applyTo, templateSource and generatedGVK")
    group, version, kind = (text_of(made.get(key)) for key in ("group", "version", "kind"))
    out = _Expansion(
        name,
        [_mapping(one) for one in applies],
        tuple(source.split(".")),
        f"{group}/{version}" if group else version,
        kind,
        text_of(spec.get("enforcementAction")),
    )
    if _applies(out, group, version, kind):
        raise Broken(f"{where}: makes the kind that it applies to")
    return out


def _applies(expansion: _Expansion, group: str, version: str, kind: str) -> bool:
    wanted = (("groups", group), ("versions", version), ("kinds", kind))
    return any(all(value in (one.get(key) or ()) for key, value in wanted) for one in expansion.applies)


def _no_circle(expansions: Sequence[_Expansion], where: str) -> None:
    """
    Raises:
        Broken: what one expansion makes leads, by others, to itself, so there would be no end.
    """
    left = list(expansions)
    while left:
        made = [_group_version_kind({"apiVersion": one.version, "kind": one.kind}) for one in left]
        # those that nothing leads to any more are part of no circle
        fed = [one for one in left if any(_applies(one, *what) for what in made)]
        if len(fed) == len(left):
            names = quoted(sorted(one.name for one in left))
            raise Broken(f"{where}: the ExpansionTemplates {names} make what each other expand, without end")
        left = fed


# --- Reviews ----------------------------------------------------------------------------------------------------


class _Reviewed(NamedTuple):
    """An object that is reviewed: itself, or made of one by an expansion.

    at         the object of the rule that it comes from
    object     what is reviewed
    generated  whether it is made of another
    below      where it sits in `at`
    prefix     comes before messages
    action     takes the place of the constraint's, "" for none
    """

    at: ObjectAt
    object: Mapping[str, Any]
    generated: bool
    below: Path = ()
    prefix: str = ""
    action: str = ""


def _reviewed(job: Job, expansions: Sequence[_Expansion], denied: list[Finding]) -> Iterator[_Reviewed]:
    """Every object of a job and what is made of it; what cannot be expanded is denied."""
    todo = [_Reviewed(at, at.object, bool(at.inside)) for at in job.objects]
    while todo:
        one = todo.pop(0)
        yield one
        for expansion in expansions:
            if not _applies(expansion, *_group_version_kind(one.object)):
                continue
            if isinstance(_deep(one.object, *map(str, expansion.source)), dict):
                todo.append(_expanded(one, expansion))
            else:
                source = ".".join(map(str, expansion.source))
                message = f"{one.prefix}ExpansionTemplate {expansion.name} cannot expand it: it has no {source}"
                denied.append(finding(job, one.at, one.below, message))


def _group_version_kind(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    group, _, version = text_of(obj.get("apiVersion")).rpartition("/")
    return group, version, text_of(obj.get("kind"))


def _expanded(one: _Reviewed, expansion: _Expansion) -> _Reviewed:
    made = dict(_deep(one.object, *map(str, expansion.source)))
    parent = metadata_of(one.object)
    meta = dict(metadata_of(made))
    meta["name"] = f"{text_of(parent.get('name'))}-{expansion.kind}".lower()
    if parent.get("namespace"):
        meta["namespace"] = parent["namespace"]
    owner = {"apiVersion": one.object["apiVersion"], "kind": one.object["kind"], "name": parent.get("name")}
    owners = [*(meta.get("ownerReferences") or ())]
    if owner["name"] and not any(_mapping(known).items() >= owner.items() for known in owners):
        meta["ownerReferences"] = [*owners, {**owner, "uid": ""}]
    made.update({"apiVersion": expansion.version, "kind": expansion.kind, "metadata": meta})
    # only the last expansion is named and weighs, as in Gatekeeper
    prefix = f"[Implied by {expansion.name}] "
    return _Reviewed(one.at, made, True, (*one.below, *expansion.source), prefix, expansion.action)


def _review(obj: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """`input.review`, as an audit makes it of an object."""
    meta = metadata_of(obj)
    group, version, kind = _group_version_kind(obj)
    review: dict[str, Any] = {
        "uid": "",
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": "", "version": "", "resource": ""},
        "name": text_of(meta.get("name")),
        "operation": "",
        "userInfo": {},
        "object": obj,
        "oldObject": None,
        "options": None,
        "namespaceObject": namespace,
    }
    if meta.get("namespace"):
        review["namespace"] = meta["namespace"]
    return review


# --- Matching ---------------------------------------------------------------------------------------------------


class _NoNamespace(Exception):
    """The namespace of an object is asked for, and is not in the repository."""


def glob(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern with * at its begin, its end, or both."""
    inner = pattern.removeprefix("*").removesuffix("*")
    if pattern.startswith("*") and pattern.endswith("*"):
        return inner in text
    if pattern.startswith("*"):
        return text.endswith(inner)
    return text.startswith(inner) if pattern.endswith("*") else text == pattern


def matches(
    match: Mapping[str, Any],
    obj: Mapping[str, Any],
    namespace: Mapping[str, Any] | None,
    source: str,
    cluster_scoped: frozenset[str] = frozenset(),
) -> bool:
    """Whether a constraint's `match` selects an object.

    One that names no namespace and may yet come into one is both of the cluster and of any namespace.

    Args:
        match: spec.match.
        obj: the object.
        namespace: its Namespace, None where that is not known or there is none.
        source: "Original" or "Generated".
        cluster_scoped: kinds that are in no namespace, besides those of Kubernetes itself.

    Raises:
        _NoNamespace: `match` asks for the labels of a namespace that is not known.
    """
    group, _version, kind = _group_version_kind(obj)
    may_be_inside = not _is_cluster_scoped(group, kind, cluster_scoped)
    if not may_be_inside:
        # the API server takes a namespace away from these, so it must not keep a constraint from them either
        obj, namespace = {**obj, "metadata": {**metadata_of(obj), "namespace": ""}}, None
    return (
        _kinds_match(match.get("kinds"), obj)
        and _scope_matches(match.get("scope"), obj, may_be_inside)
        and _namespaces_match(match, obj, namespace)
        and _selects(match.get("labelSelector"), _labels(obj))
        and _name_matches(match.get("name"), obj)
        and match.get("source") in (None, "", "All", source)
        and _namespace_selected(match.get("namespaceSelector"), obj, namespace)
    )


def _is_namespace(obj: Mapping[str, Any]) -> bool:
    group, _version, kind = _group_version_kind(obj)
    return kind == "Namespace" and not group


def _is_cluster_scoped(group: str, kind: str, more: frozenset[str]) -> bool:
    full = f"{kind}.{group}" if group else kind
    return full in CLUSTER_SCOPED or full in more


def _kinds_match(kinds: Any, obj: Mapping[str, Any]) -> bool:
    group, _version, kind = _group_version_kind(obj)
    return not kinds or any(_listed(one.get("kinds"), kind) and _listed(one.get("apiGroups"), group) for one in kinds)


def _listed(names: Any, name: str) -> bool:
    return not names or "*" in names or name in names


def _scope_matches(scope: Any, obj: Mapping[str, Any], may_be_inside: bool) -> bool:
    found = {"Cluster": not metadata_of(obj).get("namespace"), "Namespaced": may_be_inside}
    return found.get(scope, True) if isinstance(scope, str) else True


def _namespaces_match(match: Mapping[str, Any], obj: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> bool:
    if namespace is not None and not _is_namespace(obj):
        name = text_of(metadata_of(namespace).get("name"))
    else:
        name = text_of(metadata_of(obj).get("name" if _is_namespace(obj) else "namespace"))
    if not name:
        return True
    wanted, unwanted = match.get("namespaces"), match.get("excludedNamespaces") or ()
    return (not wanted or any(glob(one, name) for one in wanted)) and not any(glob(one, name) for one in unwanted)


def _name_matches(wanted: Any, obj: Mapping[str, Any]) -> bool:
    meta = metadata_of(obj)
    if not wanted or glob(wanted, text_of(meta.get("name"))):
        return True
    # of a name that will be generated only the beginning is known
    return wanted.endswith("*") and glob(wanted, text_of(meta.get("generateName")))


def _namespace_selected(selector: Any, obj: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> bool:
    if selector is None:
        return True
    if _is_namespace(obj):
        return _selects(selector, _labels(obj))
    name = metadata_of(obj).get("namespace")
    if namespace is None and not name:
        return True
    if namespace is None:
        raise _NoNamespace(f"its namespace {name} is not in the repository, so its labels are not known")
    return _selects(selector, _labels(namespace))


def _labels(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(metadata_of(obj).get("labels"))


def _selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    if selector is None:
        return True
    wanted = _mapping(selector.get("matchLabels"))
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) is (operator == "Exists")
    return (labels.get(key) in (expression.get("values") or ())) is (operator == "In")


# --- Inventory --------------------------------------------------------------------------------------------------


def inventory(objects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`data.inventory` of objects: cluster -> version -> kind -> name, and namespace -> its name -> the same."""
    out: dict[str, Any] = {"cluster": {}, "namespace": {}}
    for obj in objects:
        meta = metadata_of(obj)
        at = out["namespace"].setdefault(str(meta["namespace"]), {}) if meta.get("namespace") else out["cluster"]
        kinds = at.setdefault(text_of(obj.get("apiVersion")), {})
        kinds.setdefault(text_of(obj.get("kind")), {})[str(meta.get("name"))] = obj
    return out


#: What every namespace has without being written down.
_NAME_LABEL = "kubernetes.io/metadata.name"


class _Namespaces:
    """The Namespaces of a job's side; looked for only when one is needed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._found: dict[str, Mapping[str, Any]] | None = None

    def of(self, obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The Namespace of an object; None for what has none, or one that is not in the repository."""
        name = metadata_of(obj).get("namespace")
        group, _version, kind = _group_version_kind(obj)
        if not name or _is_cluster_scoped(group, kind, self._job.context.cluster_scoped):
            return None
        if self._found is None:
            self._found = {"default": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}}
            for at in (*self._job.context.objects(), *self._job.objects):
                if _is_namespace(at.object):
                    self._found[str(metadata_of(at.object).get("name"))] = at.object
            self._found = {key: _with_name(value, key) for key, value in self._found.items()}
        return self._found.get(str(name))


def _with_name(namespace: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    meta = metadata_of(namespace)
    return {**namespace, "metadata": {**meta, "labels": {_NAME_LABEL: name, **_labels(namespace)}}}


# --- The plan ---------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """A constraint that is asked: its run, and what is reviewed by it, in the run's order."""

    constraint: _Constraint
    run: int
    reviewed: Sequence[_Reviewed]


def plan(job: Job, builder: Builder) -> Finish:
    """What a job asks opa, and what becomes of the answers.

    Raises:
        Broken: the rule cannot be asked.
    """
    params = {"files": job.params} if isinstance(job.params, (str, list)) else job.params
    files = [params["files"]] if isinstance(params["files"], str) else params["files"]
    policy = _read(job, files)
    namespaces = _Namespaces(job)
    denied: list[Finding] = []
    reviewed = list(_reviewed(job, policy.expansions, denied))
    asked: list[_Asked] = []
    for constraint in policy.constraints:
        selected = list(_selected(job, constraint, reviewed, namespaces, denied)) if constraint.actions else []
        policies = constraint.template.policies
        if isinstance(policies, PolicySet):
            if selected:
                run = _add_run(job, builder, constraint, policies, selected, namespaces)
                asked.append(_Asked(constraint, run, selected))
        else:
            denied += _asked_in_cel(job, constraint, policies, selected, namespaces)
    ignore = params.get("builtin_errors") == "ignore"
    return lambda answers: [*denied, *(found for one in asked for found in _finish(job, one, answers, ignore))]


def _selected(
    job: Job,
    constraint: _Constraint,
    reviewed: Sequence[_Reviewed],
    namespaces: _Namespaces,
    denied: list[Finding],
) -> Iterator[_Reviewed]:
    match = constraint.match
    for one in reviewed:
        # labels of the namespace matter to this part of `match` only
        namespace = namespaces.of(one.object) if match.get("namespaceSelector") is not None else None
        try:
            source = "Generated" if one.generated else "Original"
            if matches(match, one.object, namespace, source, job.context.cluster_scoped):
                yield one
        except _NoNamespace as error:
            message = f"{one.prefix}{constraint.title}: cannot be judged: {error}"
            denied.append(_weighed(finding(job, one.at, one.below, message), job, constraint, one))


def _add_run(
    job: Job,
    builder: Builder,
    constraint: _Constraint,
    policies: PolicySet,
    selected: Sequence[_Reviewed],
    namespaces: _Namespaces,
) -> int:
    number = builder.add_policies(policies)
    modules = moved(policies, number)
    parameters = builder.add_document("parameters", constraint, lambda: constraint.parameters)
    # what no policy looks at is not looked for: it may be anywhere in the repository
    wants_namespace = any("namespaceObject" in module.source for module in policies.modules)
    inputs = []
    for one in selected:
        make = functools.partial(_review_of, one.object, namespaces if wants_namespace else None)
        review = builder.add_document("review with namespace" if wants_namespace else "review", one.object, make)
        inputs.append((review, parameters))
    place = None
    if any(path[0] == "inventory" for module in modules for path in module.data):
        objects: Callable[[], Sequence[ObjectAt]] = job.context.objects
        place = builder.add_inventory(objects, lambda: inventory(at.object for at in objects()))
    return builder.add_run(Run(number, (*modules[0].package, "violation"), inputs, place))


def _asked_in_cel(
    job: Job,
    constraint: _Constraint,
    policies: _gatekeeper_cel.Policies,
    selected: Sequence[_Reviewed],
    namespaces: _Namespaces,
) -> Iterator[Finding]:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _gatekeeper_cel

    for one in selected:
        within(job.context)
        namespace = namespaces.of(one.object) if policies.wants_namespace else None
        review = _review(one.object, None)
        for result in _gatekeeper_cel.ask(policies, constraint.whole, review, namespace, job.context.deadline):
            message = f"{one.prefix}{constraint.title}: {result.message}"[:MAX_MESSAGE]
            told = _weighed(finding(job, one.at, one.below, message), job, constraint, one)
            yield told._replace(severity=INFO) if result.passes else told


def _review_of(obj: Mapping[str, Any], namespaces: _Namespaces | None) -> dict[str, Any]:
    return _review(obj, namespaces.of(obj) if namespaces else None)


def _finish(job: Job, asked: _Asked, answers: Sequence[Answer], ignore: bool) -> Iterator[Finding]:
    answer = answers[asked.run]
    yield from failed(job, answer, ignore)
    for place, value in sorted(answer.values.items()):
        one = asked.reviewed[place]
        for result in results(value, "violation"):
            told = found(job, one.at, result, f"{one.prefix}{asked.constraint.title}: ", one.below)
            yield _weighed(told, job, asked.constraint, one)


def _weighed(told: Finding, job: Job, constraint: _Constraint, one: _Reviewed) -> Finding:
    """The finding with the severity that its constraint asks for, never a worse one than the rule's."""
    actions = frozenset((one.action,)) if one.action else constraint.actions
    if "deny" in actions:
        return told
    lesser = INFO if actions == frozenset(("dryrun",)) else WARN
    return told._replace(severity=INFO if INFO in (job.context.severity, lesser) else WARN)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the API server refuses of an audit policy when it starts.

Source: k8s.io/apiserver pkg/apis/audit/validation, ValidatePolicy; pkg/audit/policy, LoadPolicyFromBytes.  A key that
it does not know, it only warns of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import Finding, Path, shown
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._text import is_dns_name

_LEVELS = ("None", "Metadata", "Request", "RequestResponse")
_STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
#: Keys of a rule whose values are lists of texts.
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs")


def policy(value: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that is wrong with a policy."""
    if (value.get("apiVersion"), value.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        yield Finding("cluster_audit_policy is no Policy of audit.k8s.io/v1", "Set its apiVersion and kind.")
    yield from _stages(value, "cluster_audit_policy", ())
    rules = value.get("rules")
    if not isinstance(rules, list) or not rules:
        yield Finding("cluster_audit_policy has no rules", "At least: rules: [{level: Metadata}].", ("rules",))
        return
    for index, rule in enumerate(rules):
        yield from _rule(rule if isinstance(rule, dict) else {}, f"cluster_audit_policy, rule {index + 1}", index)


def _rule(rule: Mapping[str, Any], where: str, index: int) -> Iterator[Finding]:
    path: Path = ("rules", index)
    level = rule.get("level")
    if level not in _LEVELS:
        message = f"{where}: level {shown(level)} is none"
        yield Finding(message, f"Choose one of {', '.join(_LEVELS)}.", (*path, "level"))
    for key in _LISTS:
        yield from _texts(rule.get(key), f"{where}: {key}", (*path, key))
    yield from _stages(rule, where, path)
    yield from _urls(rule.get("nonResourceURLs"), where, (*path, "nonResourceURLs"))
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        message = f"{where} is about resources or namespaces and about nonResourceURLs too"
        yield Finding(message, "Make two rules of it.", (*path, "nonResourceURLs"))
    resources = rule.get("resources") or []
    if not isinstance(resources, list):
        message = f"{where}: resources must be a list, not {shown(resources)}"
        yield Finding(message, 'Write [{group: "", resources: [secrets]}].', (*path, "resources"))
        return
    for number, one in enumerate(resources):
        yield from _resources(one, f"{where}: resources", (*path, "resources", number))


def _stages(holder: Mapping[str, Any], where: str, path: Path) -> Iterator[Finding]:
    found = holder.get("omitStages")
    yield from _texts(found, f"{where}: omitStages", (*path, "omitStages"))
    for number, stage in enumerate(found if isinstance(found, list) else []):
        if isinstance(stage, str) and stage not in _STAGES:
            message = f"{where}: omitStages: {shown(stage)} is no stage"
            yield Finding(message, f"Choose from {', '.join(_STAGES)}.", (*path, "omitStages", number))


def _urls(found: Any, where: str, path: Path) -> Iterator[Finding]:
    for number, url in enumerate(found if isinstance(found, list) else []):
        if isinstance(url, str) and url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            message = f"{where}: nonResourceURLs: {shown(url)} is no path"
            yield Finding(message, "Begin it with /; a * may only be its end.", (*path, number))


def _resources(one: Any, where: str, path: Path) -> Iterator[Finding]:
    if not isinstance(one, dict):
        yield Finding(f"{where} must hold mappings, not {shown(one)}", 'Write {group: "", resources: [secrets]}.', path)
        return
    group = one.get("group") or ""
    if not isinstance(group, str) or (group not in ("", "*") and not is_dns_name(group)):
        message = f"{where}: {shown(group)} is no API group"
        yield Finding(
            message, 'Write it without version: apps, rbac.authorization.k8s.io; "" is the core.', (*path, "group")
        )
    for key in ("resources", "resourceNames"):
        yield from _texts(one.get(key), f"{where}: {key}", (*path, key))
    if one.get("resourceNames") and not one.get("resources"):
        yield Finding(
            f"{where}: resourceNames without resources", "Say whose names they are.", (*path, "resourceNames")
        )


def _texts(found: Any, where: str, path: Path) -> Iterator[Finding]:
    if found is not None and not isinstance(found, list):
        yield Finding(f"{where} must be a list, not {shown(found)}", "Write it as a list.", path)
        return
    for number, one in enumerate(found or []):
        if not isinstance(one, str):
            yield Finding(f"{where} must hold texts, not {shown(one)}", "Write it in quotes.", (*path, number))

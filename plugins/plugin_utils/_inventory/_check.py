# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""All checks of an inventory, all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.weft.platform.plugins.plugin_utils._inventory import _facts, _groups, _networks, _types
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import (
    Finding,
    Host,
    Inventory,
    Problem,
    merged,
)
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import Option
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._rules import RULES

VERSION = "cluster_kubernetes_version"


def check(inventory: Inventory, options: Mapping[str, Option], versions: Sequence[str] = ()) -> list[Problem]:
    """Everything that is wrong with an inventory, errors first, then by file and line.

    Args:
        inventory: what it describes.
        options: the variables that there are.
        versions: supported patches of Kubernetes ("v1.37.2"), newest first; empty for any.
    """
    problems = [*inventory.file_problems]
    for host in inventory.hosts.values():
        problems += [inventory.problem(host, name, finding) for name, finding in _host(host, options)]
    problems += _groups.check(inventory, options)
    problems += _networks.check(inventory)
    problems += _supported(inventory, versions)
    problems += _confirmed(inventory)
    return merged(problems)


def check_facts(inventory: Inventory, machines: Sequence[_facts.Machine]) -> list[Problem]:
    """Everything that shows when the facts of the machines lie side by side with the inventory."""
    return merged(list(_facts.check(inventory, machines)))


def has_errors(problems: Sequence[Problem]) -> bool:
    """Whether a run must stop."""
    return any(problem.severity == "error" for problem in problems)


def _host(host: Host, options: Mapping[str, Option]) -> Iterator[tuple[str, Finding]]:
    for name, reason in host.broken.items():
        yield name, Finding(f"{name} cannot be resolved: {reason}", "Define what it refers to.")
    for name in host.given:
        if name not in options:
            yield name, _unknown(name, options)
    for name, value in host.settings.items():
        wrong = list(_types.check(value, options[name]))
        if not wrong and name in RULES:
            wrong = list(RULES[name](value, host.settings))
        yield from ((name, finding) for finding in wrong)


def _unknown(name: str, options: Mapping[str, Option]) -> Finding:
    near = _types.nearest(name, options)
    if near:
        return Finding(f"{name} is no variable of this collection", f"Did you mean {near}?")
    prefix = name.partition("_")[0]
    return Finding(
        f"{name} is no variable of this collection, and nothing here reads it",
        f"docs/variables.md lists those that begin with {prefix}_. If it belongs to something else, ignore this.",
        severity="warning",
    )


def _supported(inventory: Inventory, versions: Sequence[str]) -> Iterator[Problem]:
    host = next(iter(inventory.hosts.values()), None)
    value = host.settings.get(VERSION) if host else None
    if host is None or not isinstance(value, str) or list(RULES[VERSION](value, {})):
        return
    wanted = value.removeprefix("v")
    known = [version.removeprefix("v") for version in versions]
    minors = [version.rpartition(".")[0] for version in known]
    if versions and wanted not in [*known, *minors]:
        near = [version for version in known if version.startswith(f"{wanted.rpartition('.')[0]}.")]
        choice = ", ".join(dict.fromkeys([*near, *minors]))
        finding = Finding(f"Kubernetes {wanted} is not supported", f"Set {VERSION} to one of {choice}.")
        yield inventory.problem(host, VERSION, finding)


def _confirmed(inventory: Inventory) -> Iterator[Problem]:
    finding = Finding(
        "cluster_confirm is kept in a file, so nothing asks before the cluster is destroyed",
        "Take it away, and type it when it is needed: -e cluster_confirm=NAME.",
        severity="warning",
    )
    problems = [
        inventory.problem(host, "cluster_confirm", finding)
        for host in inventory.hosts.values()
        if host.given.get("cluster_confirm")
    ]
    yield from (problem for problem in problems if problem.file)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""From what Ansible knows to the inventory that is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory import _sources
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import (
    CLUSTER,
    CONTROL_PLANE,
    WORKERS,
    Host,
    Inventory,
)
from ansible_collections.weft.platform.plugins.plugin_utils._settings import NOUNS, complete, options, plain

#: Resolves one variable of a host: (name) -> value.  Whatever it raises is told as the variable's problem.
Resolve = Callable[[str], Any]
_PREFIXES = tuple(f"{noun}_" for noun in NOUNS)


def is_ours(name: str) -> bool:
    """Whether a variable's name begins like those of the collection."""
    return name.startswith(_PREFIXES)


def build(
    groups: Mapping[str, Sequence[str]],
    raw: Callable[[str], Mapping[str, Any]],
    resolver: Callable[[str], Resolve],
    sources: Iterable[str],
) -> Inventory:
    """The inventory.

    Args:
        groups: every group with its hosts, as Ansible's variable of that name.
        raw: a host's variables, templates unresolved.
        resolver: for a host, what resolves its variables; defaults of the collection are known to it.
        sources: what stands behind -i.
    """
    names = dict.fromkeys(name for group in (CLUSTER, CONTROL_PLANE, WORKERS) for name in groups.get(group, []))
    variables = {name: raw(name) for name in names}
    index = _sources.index(sources, groups, is_ours)
    return Inventory(
        hosts={name: _host(name, groups, variables[name], resolver(name)) for name in names},
        groups=groups,
        locate=index.locator(groups, lambda host, variable: variables[host].get(variable)),
        host_places=index.host_places,
        file_problems=index.problems,
    )


def _host(name: str, groups: Mapping[str, Sequence[str]], variables: Mapping[str, Any], resolve: Resolve) -> Host:
    known = options()
    given: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for variable in [*known, *(one for one in variables if is_ours(one) and one not in known)]:
        try:
            value = plain(resolve(variable)) if variable in known else None
        # Undefined names, vaults, filters that fail: whatever a template can raise is the variable's problem.
        except Exception as error:
            broken[variable] = " ".join(str(error).split())
            continue
        if variable in variables:
            given[variable] = value
        if variable in known:
            settings[variable] = complete(value, known[variable])
    inside = frozenset(group for group, hosts in groups.items() if name in hosts)
    return Host(name, inside, str(variables.get("ansible_host", "")), given, settings, broken)

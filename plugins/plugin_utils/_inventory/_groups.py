# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The shape of an inventory: its groups, and what all machines must agree on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import (
    CLUSTER,
    CONTROL_PLANE,
    WORKERS,
    Finding,
    Inventory,
    Place,
    Problem,
    shown,
)
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import Option

CHILDREN = (CONTROL_PLANE, WORKERS)


def check(inventory: Inventory, options: Mapping[str, Option]) -> Iterator[Problem]:
    """Everything about groups, and about variables that have one value for the cluster."""
    yield from _structure(inventory)
    yield from _number(inventory)
    yield from _agreement(inventory, options)


def _structure(inventory: Inventory) -> Iterator[Problem]:
    groups = inventory.groups
    if not groups.get(CONTROL_PLANE):
        yield Problem(
            "error",
            f"the group {CONTROL_PLANE} is missing or empty",
            f"Put at least one machine into the group {CONTROL_PLANE}, a child of the group {CLUSTER}.",
        )
    for name in inventory.hosts:
        inside = [group for group in CHILDREN if name in groups.get(group, [])]
        if len(inside) == 2:
            yield _placed(
                inventory,
                WORKERS,
                name,
                f"{name} is in {CONTROL_PLANE} and in {WORKERS}",
                "Keep it in one. To let a control plane run workloads, set its node_taints to [].",
            )
        elif not inside:
            yield _placed(
                inventory, CLUSTER, name, f"{name} is in {CLUSTER}, but neither in {CONTROL_PLANE} nor in {WORKERS}",
                "Move it into one of them.",
            )  # fmt: skip
        if inside and name not in groups.get(CLUSTER, []):
            yield _placed(
                inventory,
                inside[0],
                name,
                f"{name} is in {inside[0]}, but not in {CLUSTER}",
                f"Make {inside[0]} a child of the group {CLUSTER}.",
            )


def _placed(inventory: Inventory, group: str, name: str, message: str, remedy: str) -> Problem:
    place = inventory.host_places.get((group, name), Place())
    return Problem("error", message, remedy, place.file, place.line, name)


def _number(inventory: Inventory) -> Iterator[Problem]:
    planes = inventory.control_planes
    external = planes and planes[0].settings.get("cluster_etcd", {}).get("endpoints")
    if planes and len(planes) % 2 == 0 and not external:
        survive = (len(planes) - 1) // 2
        yield Problem(
            "warning",
            f"{len(planes)} control planes: etcd survives the loss of {survive}, as {len(planes) - 1} would",
            f"Use {len(planes) - 1} or {len(planes) + 1}.",
        )
    if inventory.hosts and not inventory.groups.get(WORKERS) and all(_is_closed(host) for host in planes):
        yield Problem(
            "warning",
            "there are no workers, and no control plane takes workloads",
            f"Add machines to the group {WORKERS}, or set node_taints to [] for the control planes.",
        )


def _is_closed(host: Any) -> bool:
    taints = host.settings.get("node_taints")
    return isinstance(taints, list) and any(
        isinstance(taint, dict) and taint.get("effect") in ("NoSchedule", "NoExecute") for taint in taints
    )


def _agreement(inventory: Inventory, options: Mapping[str, Option]) -> Iterator[Problem]:
    hosts = list(inventory.hosts.values())
    for name, option in options.items():
        if not option.is_cluster_wide:
            continue
        having = [host for host in hosts if name in host.settings]
        other = next((host for host in having if host.settings[name] != having[0].settings[name]), None)
        if other is None:
            continue
        one = having[0] if name in having[0].given or name not in other.given else other
        two = other if one is having[0] else having[0]
        values = "" if _is_long(option) else f": {shown(two.settings[name])} and {shown(one.settings[name])}"
        yield inventory.problem(
            one,
            name,
            Finding(
                f"{name} differs between {two.name} and {one.name}{values}",
                f"It has one value for the cluster: set it in group_vars/{CLUSTER}.yml and nowhere else.",
            ),
        )


def _is_long(option: Option) -> bool:
    return option.type in ("dict", "list") or option.secret

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""From Ansible's variables to the arguments of the modules that run on machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _desired, _kubeadm
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._desired import CONTROL_PLANE, WORKER, Machine
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings

Template = Callable[[Any], Any]


def machine(variables: Mapping[str, Any], template: Template, registry: str = "") -> Machine:
    """The machine that the variables belong to.

    Args:
        variables: of one host, Ansible's own among them.
        template: resolves templates.
        registry: host:port of the registry that serves the bundle in this run; the inventory's own comes first.
    """
    found = settings(variables, template)
    found["artifacts_registry"] = found["artifacts_registry"] or registry
    name = str(variables["inventory_hostname"])
    role = CONTROL_PLANE if name in variables["groups"].get(CONTROL_PLANE, []) else WORKER
    if found["cluster_endpoint_provider"] == "node" and not found["cluster_endpoint"]:
        found["cluster_endpoint"] = next((peer["address"] for peer in peers(variables)), "")
    return Machine(name, role, found)


def peers(variables: Mapping[str, Any]) -> list[dict[str, str]]:
    """{name, address} of every control plane, in the inventory's order."""
    return [
        {"name": name, "address": address(variables["hostvars"][name], name)}
        for name in variables["groups"].get(CONTROL_PLANE, [])
    ]


def address(variables: Mapping[str, Any], name: str) -> str:
    """node_address of another host, or what its default says; each further variable would cost on every host."""
    return str(variables.get("node_address") or variables.get("ansible_host") or name)


def node(
    this: Machine, task: Mapping[str, Any], variables: Mapping[str, Any], lock: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of weft.platform.node for the stages that a task names.

    Args:
        this: the machine.
        task: the task's arguments: stages, and first, credentials where they are known.
        variables: of the host.
        lock: the lock file.
    """
    stages: Sequence[str] = task["stages"]
    whole = len(stages) > 1
    resources = _desired.resources(this, lock, first=bool(task.get("first")) or whole)
    if task.get("credentials"):
        resources = _kubeadm.with_credentials(resources, task["credentials"])
    return {
        "name": this.name,
        "resources": [spec for spec in resources if spec["stage"] in stages],
        "preflight": _desired.preflight(this, lock, peers(variables)) if whole else {},
    }


def joiners(names: Sequence[str], variables: Mapping[str, Any], template: Template) -> list[dict[str, str]]:
    """{name of the node, address, role} of machines that will join."""
    out = []
    for name in names:
        theirs = variables["hostvars"][name]
        role = CONTROL_PLANE if name in variables["groups"].get(CONTROL_PLANE, []) else WORKER
        node_name = str(template(theirs.get("node_name")) or name)
        out.append({"name": node_name, "address": address(theirs, name), "role": role})
    return out

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Where doors of the controller join domains: each function is what one action plugin does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import load_lock
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _arguments, _objects
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._desired import CONTROL_PLANE, Machine
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import init_documents
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._stages import stages
from ansible_collections.weft.platform.plugins.plugin_utils._settings import with_defaults

Arguments = dict[str, Any]
Variables = Mapping[str, Any]


class Templar(Protocol):
    """What a door needs of Ansible's templar."""

    def copy_with_new_env(self, *, available_variables: Mapping[str, Any]) -> Templar: ...
    def template(self, variable: Any) -> Any: ...


WORKERS = "workers"
#: The name under which playbooks register what weft.platform.node observed.
OBSERVED = "weft_observed"


def lock_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The lock file that the inventory names, as a mapping.

    Raises:
        ArtifactError: it is missing or wrong.
    """
    return asdict(load_lock(Path(str(settings["artifacts_lock"])).expanduser()))


def images_of(lock: Mapping[str, Any]) -> dict[str, str]:
    """Image references of a lock file by their short names."""
    return {str(entry["name"]): str(entry["ref"]) for entry in lock["images"]}


def _machine(variables: Variables, templar: Templar, registry: str = "") -> Machine:
    whole = with_defaults(variables)
    template = templar.copy_with_new_env(available_variables=whole).template
    return _arguments.machine(whole, template, registry)


def node_arguments(task: Mapping[str, Any], variables: Variables, templar: Templar) -> Arguments:
    """Arguments of the module weft.platform.node: the stages that the task names, rendered; or the task's own."""
    if "stages" not in task:
        return dict(task)
    machine = _machine(variables, templar, str(task.get("registry") or ""))
    return _arguments.node(machine, task, variables, lock_of(machine.settings))


def join_arguments(task: Mapping[str, Any], variables: Variables, templar: Templar) -> Arguments:
    """Arguments of the module weft.platform.join_credentials for machines named by their inventory names."""
    machine = _machine(variables, templar)
    lock = lock_of(machine.settings)
    return {
        "name": machine.name,
        "joiners": _arguments.joiners(task["joiners"], variables, templar.template),
        "config": init_documents(machine.settings, str(lock["kubernetes"]), images_of(lock)),
    }


def run_stages(variables: Variables) -> dict[str, Any]:
    """The stages of a run (see _cluster/_stages), from what every machine was found to need."""
    groups = variables["groups"]
    control_planes, workers = list(groups.get(CONTROL_PLANE, [])), list(groups.get(WORKERS, []))
    hosts = variables["hostvars"]
    observed = {name: hosts[name].get(OBSERVED) or {} for name in [*control_planes, *workers]}
    return stages(observed, control_planes, workers).to_json()


def cluster_objects(variables: Variables, templar: Templar, joiners: list[str], which: str) -> list[dict[str, Any]]:
    """The Kubernetes objects that the inventory asks for.

    Args:
        variables: of one control plane.
        templar: Ansible's.
        joiners: inventory names of machines that are no members when the run begins.
        which: "members" for everything but the Node objects of joiners; "joiners" for these only.
    """
    names = [*variables["groups"].get(CONTROL_PLANE, []), *variables["groups"].get(WORKERS, [])]
    wanted = [name for name in names if (name in joiners) == (which == "joiners")]
    nodes = [_machine(variables["hostvars"][name], templar).settings for name in wanted]
    if which == "joiners":
        return [_objects.node(one) for one in nodes]
    settings = _machine(variables, templar).settings
    return _objects.cluster_objects(settings, images_of(lock_of(settings)), nodes)


__all__ = [
    "cluster_objects",
    "images_of",
    "join_arguments",
    "lock_of",
    "node_arguments",
    "run_stages",
]

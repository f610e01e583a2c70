# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Where doors of the controller join domains: each function is what one action plugin does."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import load_lock
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _arguments, _objects
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._desired import CONTROL_PLANE, Machine
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import (
    api_server,
    endpoint,
    init_documents,
)
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._record import record
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._stages import stages
from ansible_collections.weft.platform.plugins.plugin_utils._kube import (
    Client,
    added,
    introduce,
    plan_without_api,
    reconcile,
    wait_nodes,
    wait_rollouts,
)
from ansible_collections.weft.platform.plugins.plugin_utils._settings import Templar, plain, with_defaults

Arguments = dict[str, Any]
Variables = Mapping[str, Any]


WORKERS = "workers"
#: The name under which playbooks register what weft.platform.node observed.
OBSERVED = "weft_observed"
#: The names under which playbooks register what they did on a machine, what was observed first.
STEPS = (
    OBSERVED,
    "weft_prepared",
    "weft_initialised",
    "weft_minted",
    "weft_applied",
    "weft_labelled",
    "weft_joined_control_plane",
    "weft_joined_worker",
    "weft_written",
)
#: Likewise, of tasks whose Changes are no part of a plan; that they failed counts.
BESIDE = ("weft_new_api", "weft_revoked", "weft_person")


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
    if task.get("state") == "absent":
        given = {"state": "absent", "credentials": task.get("credentials")}
        return {"name": str(variables["inventory_hostname"]), **given}
    machine = _machine(variables, templar)
    lock = lock_of(machine.settings)
    return {
        "name": machine.name,
        "joiners": _arguments.joiners(task["joiners"], variables, templar.template),
        "config": init_documents(machine.settings, str(lock["kubernetes"]), images_of(lock)),
    }


def leave_arguments(task: Mapping[str, Any], variables: Variables, templar: Templar) -> Arguments:
    """Arguments of the module weft.platform.leave for machines named by their inventory names."""
    return {"machines": _arguments.joiners(task["machines"], variables, templar.template)}


def kubeconfig_arguments(task: Mapping[str, Any], variables: Variables, templar: Templar) -> Arguments:
    """Arguments of the module weft.platform.kubeconfig: the task's, with kubeadm's configuration of the machine."""
    settings = _machine(variables, templar).settings
    lock = lock_of(settings)
    return {**task, "config": init_documents(settings, str(lock["kubernetes"]), images_of(lock))}


def _node_names(machines: Sequence[str], variables: Variables, templar: Templar) -> list[str]:
    """Names of nodes, of which some may be given as inventory names."""
    known = variables.get("hostvars") or {}
    ours = {name for name in machines if name in known}
    return [_machine(known[name], templar).node_name if name in ours else name for name in machines]


def kube_objects(
    task: Mapping[str, Any], variables: Variables, templar: Templar, check: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """What the action weft.platform.kube_objects does; `say` is told of its progress.

    Raises:
        KubeError: the API server refused, or what was waited for did not come.
    """
    objects, newcomers = ([plain(item) for item in task.get(key) or []] for key in ("objects", "newcomers"))
    text, set_ = str(task.get("kubeconfig") or ""), str(task.get("set") or "")
    if not text:
        changes = [*plan_without_api(objects, set_), *map(added, newcomers)]
    else:
        client = Client(text, otherwise=str(task.get("api_server") or ""))
        seconds = float(task.get("timeout") or 300)
        if not check:
            nodes = _node_names(task.get("wait_nodes") or [], variables, templar)
            wait_nodes(client, nodes, seconds, say, network=boolean(task.get("wait_network", True)))
        changes = reconcile(client, objects, check, say, set_) + introduce(client, newcomers, check, say)
        if task.get("wait_set") and not check:
            wait_rollouts(client, str(task["wait_set"]), seconds, say)
    return {"changed": bool(changes), "changes": [change.to_json() for change in changes]}


def run_stages(variables: Variables, templar: Templar) -> dict[str, Any]:
    """The stages of a run (see _cluster/_stages), from what every machine was found to need.

    Under "kubeconfig" are the arguments of weft.platform.kubeconfig_file for the person who runs it, or {}; under
    "api_server" is where the leader's own API server listens (host:port), or ""; "network" is whether the inventory
    brings one.
    """
    groups = variables["groups"]
    control_planes, workers = list(groups.get(CONTROL_PLANE, [])), list(groups.get(WORKERS, []))
    hosts = variables["hostvars"]
    observed = {name: hosts[name].get(OBSERVED) or {} for name in [*control_planes, *workers]}
    found = stages(observed, control_planes, workers)
    settings = _machine(variables, templar).settings
    person = {
        "path": settings["cluster_kubeconfig"],
        "cluster": settings["cluster_name"],
        "endpoint": endpoint(settings),
        "user": f"weft:{getpass.getuser()}",
        "merge": settings["cluster_kubeconfig_merge"],
    }
    leader = _machine(hosts[found.leader], templar).settings if found.leader else {}
    return {
        **found.to_json(),
        "kubeconfig": person if settings["cluster_kubeconfig"] else {},
        "network": settings["network_plugin"] != "none",
        "api_server": api_server(leader) if leader else "",
    }


def run_record(task: Mapping[str, Any], variables: Variables) -> dict[str, Any]:
    """Sum up a run from what its tasks registered; fails where a machine did not come to the end.

    Args:
        task: planned, the plan's Changes; output, a folder for record.json, or nothing.
        variables: of any host.
    """
    hosts = variables["hostvars"]
    machines = [*variables["groups"].get(CONTROL_PLANE, []), *variables["groups"].get(WORKERS, [])]
    results = {name: [hosts[name].get(step) or {} for step in STEPS] for name in machines}
    for name, told in results.items():
        beside = (hosts[name].get(step) or {} for step in BESIDE)
        told += [{key: one[key] for key in one if key != "changes"} for one in beside]
    found = record(list(task.get("planned") or []), results, machines)
    if task.get("output"):
        folder = Path(str(task["output"])).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
    unfinished = {**found.failed, **dict.fromkeys(found.unreachable, "could not be reached")}
    if unfinished:
        words = "; ".join(f"{name}: {why}" for name, why in unfinished.items())
        return {
            "failed": True,
            "unfinished": unfinished,
            "msg": f"{len(unfinished)} of {len(machines)} machines are not done. {words}",
        }
    return {**found.to_json(), "changed": False, "msg": f"{len(found.changes)} changes on {len(machines)} machines"}


def cluster_objects(variables: Variables, templar: Templar, newcomers: list[str], which: str) -> list[dict[str, Any]]:
    """The Kubernetes objects that the inventory asks for.

    Args:
        variables: of one control plane.
        templar: Ansible's.
        newcomers: inventory names of machines that are no members when the run begins.
        which: "members" for everything but the Node objects of newcomers; "newcomers" for these only.
    """
    names = [*variables["groups"].get(CONTROL_PLANE, []), *variables["groups"].get(WORKERS, [])]
    wanted = [name for name in names if (name in newcomers) == (which == "newcomers")]
    nodes = [_machine(variables["hostvars"][name], templar).settings for name in wanted]
    if which == "newcomers":
        return [_objects.node(one) for one in nodes]
    settings = _machine(variables, templar).settings
    return _objects.cluster_objects(settings, images_of(lock_of(settings)), nodes)


__all__ = [
    "cluster_objects",
    "images_of",
    "join_arguments",
    "kube_objects",
    "kubeconfig_arguments",
    "leave_arguments",
    "lock_of",
    "node_arguments",
    "run_record",
    "run_stages",
]

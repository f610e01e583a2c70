# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""observe -> diff -> apply of Kubernetes objects, by server-side apply and its dry run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Subject, diff
from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import MANAGER, Client, KubeError

Object = dict[str, Any]

#: Metadata that the server writes and nobody wants.
SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
#: Where a Node keeps which taints are ours: others' (not-ready, unschedulable) live in the same atomic list.
TAINTS = "weft.platform/taints"
#: Kinds that others need to be there, in this order (the rest as they come).
FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass")
#: The label by which objects that belong together are found again.
SET = "weft.platform/set"
#: Kinds that are looked for when a set has lost objects, in the order in which they go: first what uses the others.
SET_KINDS = (
    ("policy/v1", "PodDisruptionBudget"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("v1", "ServiceAccount"),
)


def subject(item: Mapping[str, Any]) -> Subject:
    """What Changes of an object are about: "Deployment.apps" "shop/web"."""
    group = item["apiVersion"].rpartition("/")[0]
    meta = item["metadata"]
    labels = tuple(sorted((str(key), str(value)) for key, value in (meta.get("labels") or {}).items()))
    name = "/".join(filter(None, [meta.get("namespace", ""), meta["name"]]))
    return Subject(f"{item['kind']}.{group}" if group else item["kind"], name, "", labels)


def cleaned(item: Mapping[str, Any]) -> Object:
    """An object without what the server alone writes."""
    out = {key: deepcopy(value) for key, value in item.items() if key != "status"}
    out["metadata"] = {key: value for key, value in out["metadata"].items() if key not in SERVERS}
    return out


def ordered(objects: Sequence[Object]) -> list[Object]:
    """Objects in an order in which they can be made."""
    rank = {kind: number for number, kind in enumerate(FIRST)}
    return sorted(objects, key=lambda item: rank.get(item["kind"], len(FIRST)))


def added(item: Object) -> Change:
    """The Change that makes an object which is not there."""
    return Change(subject(item), (), ABSENT, item, secret=item["kind"] == "Secret")


def plan_without_api(objects: Sequence[Object], set_: str = "") -> list[Change]:
    """Changes where no cluster exists yet: everything is added, but for Nodes, which only their machines can add."""
    return [added(item) for item in ordered(in_set(objects, set_)) if item["kind"] != "Node"]


def in_set(objects: Sequence[Object], name: str) -> list[Object]:
    """The objects with the label of a set; Nodes as they are, which are never in one."""
    out = [deepcopy(item) for item in objects]
    for item in out if name else ():
        if item["kind"] != "Node":
            item["metadata"]["labels"] = {**(item["metadata"].get("labels") or {}), SET: name}
    return out


def dropped(client: Client, objects: Sequence[Object], name: str) -> list[Object]:
    """Live objects of a set that are not among the wanted ones, in the order in which they can go.

    The label alone proves nothing, as people copy objects with their labels: we must have applied it as well.
    """
    wanted = {_identity(item) for item in objects}
    out: list[Object] = []
    for api_version, kind in SET_KINDS if name else ():
        for item in client.list(api_version, kind, f"{SET}={name}"):
            live = {**item, "apiVersion": api_version, "kind": kind}  # a list's items do not say it
            if _identity(live) not in wanted and _is_applied(live):
                out.append(live)
    return out


def _identity(item: Mapping[str, Any]) -> tuple[str, str, str]:
    meta = item["metadata"]
    return f"{item['kind']}.{item['apiVersion'].rpartition('/')[0]}", meta.get("namespace", ""), meta["name"]


def _is_applied(live: Mapping[str, Any]) -> bool:
    fields = live["metadata"].get("managedFields") or []
    return any(one.get("manager") == MANAGER and one.get("operation") == "Apply" for one in fields)


def reconcile(
    client: Client,
    objects: Sequence[Object],
    check: bool,
    say: Callable[[str], None] = lambda text: None,
    set_: str = "",
) -> list[Change]:
    """Compare every object with the live one and, unless `check`, make what differs.

    Args:
        client: the cluster.
        objects: what should be there; Nodes get labels and taints only, and only those that have registered.
        check: only find out.
        say: told of every object that is made.
        set_: name of the set that the objects are; what was in it and is not among them any more is removed last.

    Returns:
        The Changes that are needed, or were made.

    Raises:
        KubeError: the server refused an object; those before it were made, and are named in the message.
    """
    objects = in_set(objects, set_)
    plans = [(item, _plan(client, item)) for item in ordered(objects)]
    plans += [(item, [_removed(item)]) for item in dropped(client, objects, set_)]
    out: list[Change] = []
    for item, changes in plans:
        if changes and not check:
            say(f"{changes[0].action} {changes[0].subject}")
            try:
                if changes[0].after is ABSENT and not changes[0].field:
                    client.delete(item)
                else:
                    _make(client, item)
            except KubeError as error:
                raise KubeError(
                    f"{subject(item)}: {error}; {len(out)} changes were made before it", error.status
                ) from error
        out += changes
    return out


def _removed(live: Object) -> Change:
    return Change(subject(live), (), cleaned(live), ABSENT, secret=live["kind"] == "Secret")


def _plan(client: Client, item: Object) -> list[Change]:
    live = client.get(item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))
    if item["kind"] == "Node":
        return _plan_node(client, item, live)
    if live is None:
        return [added(item)]
    wanted = client.server_side_apply(item, dry_run=True)
    return diff(subject(item), cleaned(live), cleaned(wanted), secret=item["kind"] == "Secret")


def _make(client: Client, item: Object) -> None:
    if item["kind"] == "Node":
        _make_node(client, item)
        return
    client.server_side_apply(item, dry_run=False)
    if item["kind"] == "CustomResourceDefinition":
        _established(client, item)


def _established(client: Client, item: Object, seconds: float = 30) -> None:
    """Wait until the server serves a new kind."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        live = client.get(item["apiVersion"], item["kind"], item["metadata"]["name"]) or {}
        conditions = live.get("status", {}).get("conditions", [])
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            return
        time.sleep(0.2)
    raise KubeError(f"{item['metadata']['name']} was not established after {seconds:.0f} s")


def introduce(
    client: Client, nodes: Sequence[Object], check: bool, say: Callable[[str], None] = lambda text: None
) -> list[Change]:
    """Give Nodes that register in this run their labels and taints.

    Args:
        client: the cluster.
        nodes: partial Nodes; one that has not registered is left out, as its machine says itself what failed.
        check: only say what will come.
        say: told of every object that is made.

    Returns:
        Each Node as added: before the run there was none, and a plan cannot know what a kubelet says of itself.

    Raises:
        KubeError: the server refused.
    """
    out: list[Change] = []
    for item in nodes:
        if not check:
            if client.get(item["apiVersion"], item["kind"], item["metadata"]["name"]) is None:
                continue
            reconcile(client, [item], check, say)
        out.append(added(item))
    return out


# --- nodes --------------------------------------------------------------------------------------------------------


def _labels(item: Object) -> Object:
    """What is applied to a Node by server-side apply: labels, and which taints are ours."""
    ours = json.dumps(item["spec"].get("taints") or [], sort_keys=True)
    metadata = {"name": item["metadata"]["name"], "labels": item["metadata"].get("labels") or {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {**metadata, "annotations": {TAINTS: ours}}}


def taints(live: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> list[Object]:
    """The taints a Node should have: those of others as they are, ours as wanted.

    A taint is named by key and effect (Kubernetes: Node.spec.taints).
    """
    try:
        before = json.loads((live["metadata"].get("annotations") or {}).get(TAINTS, "[]"))
    except ValueError:
        before = []
    ours = {(one.get("key"), one.get("effect")) for one in [*before, *wanted]}
    found = live.get("spec", {}).get("taints") or []
    kept = {(one.get("key"), one.get("effect")): one for one in found}
    new = {(one["key"], one["effect"]): dict(one) for one in wanted}
    # What is there stays where it is, so that an unchanged list is equal.
    out = [
        {**one, **new[name]} if name in new else one for name, one in kept.items() if name in new or name not in ours
    ]
    return out + [one for name, one in new.items() if name not in kept]


def _plan_node(client: Client, item: Object, live: Object | None) -> list[Change]:
    if live is None:
        return []  # it is made by the machine's own registration, and by nobody else
    wanted = cleaned(client.server_side_apply(_labels(item), dry_run=True))
    list_ = taints(live, item["spec"].get("taints") or [])
    if list_:
        wanted["spec"]["taints"] = list_
    else:
        wanted["spec"].pop("taints", None)
    # Others write a Node's annotations and status all the time; ours are what is compared.
    return diff(subject(item), _managed(cleaned(live)), _managed(wanted))


def _managed(item: Object) -> Object:
    meta = item["metadata"]
    ours = {key: value for key, value in (meta.get("annotations") or {}).items() if key == TAINTS}
    return {
        "metadata": {"labels": meta.get("labels"), "annotations": ours},
        "spec": {"taints": item["spec"].get("taints")},
    }


def _make_node(client: Client, item: Object) -> None:
    live = client.get("v1", "Node", item["metadata"]["name"])
    if live is None:
        raise KubeError(f"there is no Node {item['metadata']['name']}: the machine has not registered", 404)
    wanted = taints(live, item["spec"].get("taints") or [])
    # Taints first: the annotation that says which are ours changes only when they have.
    if wanted != (live.get("spec", {}).get("taints") or []):
        version = {"resourceVersion": live["metadata"]["resourceVersion"]}
        client.merge_patch(live, {"metadata": version, "spec": {"taints": wanted}})
    client.server_side_apply(_labels(item), dry_run=False)

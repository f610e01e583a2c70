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
from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import Client, KubeError

Object = dict[str, Any]

#: Metadata that the server writes and nobody wants.
SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
#: Where a Node keeps which taints are ours: others' (not-ready, unschedulable) live in the same atomic list.
TAINTS = "weft.platform/taints"
#: Kinds that others need to be there, in this order (the rest as they come).
FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass")


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


def plan_without_api(objects: Sequence[Object]) -> list[Change]:
    """Changes where no cluster exists yet: everything is added."""
    return [added(item) for item in ordered(objects)]


def reconcile(
    client: Client, objects: Sequence[Object], check: bool, say: Callable[[str], None] = lambda text: None
) -> list[Change]:
    """Compare every object with the live one and, unless `check`, make what differs.

    Args:
        client: the cluster.
        objects: what should be there; Nodes get labels and taints only, and only those that have registered.
        check: only find out.
        say: told of every object that is made.

    Returns:
        The Changes that are needed, or were made.

    Raises:
        KubeError: the server refused an object; those before it were made, and are named in the message.
    """
    plans = [(item, _plan(client, item)) for item in ordered(objects)]
    out: list[Change] = []
    for item, changes in plans:
        if changes and not check:
            say(f"{changes[0].action} {changes[0].subject}")
            try:
                _make(client, item)
            except KubeError as error:
                raise KubeError(
                    f"{subject(item)}: {error}; {len(out)} changes were made before it", error.status
                ) from error
        out += changes
    return out


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

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Objects against a server in memory that merges as server-side apply does for what we own alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import merge
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._objects import cluster_objects
from ansible_collections.weft.platform.plugins.plugin_utils._kube import (
    KubeError,
    introduce,
    plan_without_api,
    reconcile,
)
from ansible_collections.weft.platform.plugins.plugin_utils._kube._objects import (
    SET,
    SET_KINDS,
    TAINTS,
    ordered,
    taints,
)
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings, with_defaults


class Server:
    """The part of Client that objects need."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, str], Any] = {}
        self.refuses = ""

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Any:
        return deepcopy(self.live.get((kind, name)))

    def server_side_apply(self, wanted: Any, dry_run: bool) -> Any:
        name = wanted["metadata"]["name"]
        if name == self.refuses:
            raise KubeError("denied", 403)
        made = merge(self.live.get((wanted["kind"], name), {}), wanted)
        made["metadata"]["managedFields"] = [{"manager": "weft.platform", "operation": "Apply"}]
        if not dry_run:
            self.live[(wanted["kind"], name)] = made
        return deepcopy(made)

    def list(self, api_version: str, kind: str, selector: str = "") -> Any:
        key, _, value = selector.partition("=")
        found = [item for (its, _name), item in self.live.items() if its == kind]
        return [deepcopy(item) for item in found if item["metadata"].get("labels", {}).get(key) == value]

    def delete(self, of: Any) -> None:
        del self.live[(of["kind"], of["metadata"]["name"])]

    def merge_patch(self, of: Any, patch: Any) -> Any:
        self.live[(of["kind"], of["metadata"]["name"])]["spec"].update(patch["spec"])


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x"}, "data": data}


def node(labels: dict[str, str], *wanted: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": labels},
        "spec": {"taints": [*wanted]},
    }


def test_the_check_lists_what_the_run_makes_and_then_nothing_is_left() -> None:
    server = Server()
    server.live[("ConfigMap", "a")] = config_map("a", old="1")
    objects = [config_map("a", old="2"), config_map("b")]
    planned = reconcile(server, objects, check=True)  # type: ignore[arg-type]  # stands for the real one
    assert [(one.field, one.action) for one in planned] == [(("data", "old"), "changed"), ((), "added")]
    assert ("ConfigMap", "b") not in server.live
    assert reconcile(server, objects, check=False) == planned  # type: ignore[arg-type]  # as above
    assert reconcile(server, objects, check=True) == []  # type: ignore[arg-type]  # as above
    assert plan_without_api([config_map("b")]) == [one for one in planned if one.subject.name == "x/b"]


def test_what_left_a_set_is_removed_and_nothing_else() -> None:
    server = Server()
    server.live[("ConfigMap", "stranger")] = config_map("stranger")
    copy = config_map("copy")
    copy["metadata"].update(labels={SET: "cluster"}, managedFields=[{"manager": "kubectl", "operation": "Update"}])
    server.live[("ConfigMap", "copy")] = copy
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "x"}}
    objects = [account, config_map("a"), config_map("b")]
    reconcile(server, objects, check=False, set_="cluster")  # type: ignore[arg-type]  # stands for the real one
    reconcile(server, [config_map("other")], check=False)  # type: ignore[arg-type]  # as above
    assert reconcile(server, objects, check=True, set_="cluster") == []  # type: ignore[arg-type]  # as above
    left = objects[2:]
    planned = reconcile(server, left, check=True, set_="cluster")  # type: ignore[arg-type]  # as above
    assert [(str(one.subject), one.field, one.action) for one in planned] == [
        ("ConfigMap:x/a", (), "removed"),
        ("ServiceAccount:x/a", (), "removed"),
    ]
    assert ("ConfigMap", "a") in server.live
    assert reconcile(server, left, check=False, set_="cluster") == planned  # type: ignore[arg-type]  # as above
    assert {name for _kind, name in server.live} == {"stranger", "copy", "b", "other"}
    assert reconcile(server, left, check=True, set_="cluster") == []  # type: ignore[arg-type]  # as above


def test_every_kind_of_a_cluster_is_looked_for_when_it_leaves() -> None:
    names = ("pause", "flannel", "kube-router", "kube-proxy", "coredns")
    given = {"node_name": "m", "node_address": "192.0.2.1", "node_taints": [], "cluster_kubeconfig": "x"}
    variables = settings(with_defaults({**given, "cluster_endpoint": "192.0.2.9"}), lambda value: value)
    objects = cluster_objects(variables, {name: f"example.org/{name}:v1" for name in names}, [])
    assert {(one["apiVersion"], one["kind"]) for one in objects} == set(SET_KINDS)


def test_only_machines_add_nodes_where_there_is_no_api() -> None:
    objects = [config_map("a"), node({"a": "b"}, OURS)]
    assert [change.subject.type for change in plan_without_api(objects)] == ["ConfigMap"]


def test_nodes_of_a_run_are_told_whole_and_only_when_they_came() -> None:
    server = Server()
    item = node({"a": "b"}, OURS)
    (planned,) = introduce(server, [item], check=True)  # type: ignore[arg-type]  # as above
    assert (str(planned.subject), planned.action, planned.after) == ("Node:n", "added", item)
    assert introduce(server, [item], check=False) == []  # type: ignore[arg-type]  # as above
    server.live[("Node", "n")] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"a": "b"}, "resourceVersion": "7"},
        "spec": {"taints": [OURS]},
    }
    assert introduce(server, [item], check=False) == [planned]  # type: ignore[arg-type]  # as above
    assert reconcile(server, [item], check=True) == []  # type: ignore[arg-type]  # as above


def test_a_refusal_says_what_was_made_before_it() -> None:
    server = Server()
    server.refuses = "b"
    with pytest.raises(KubeError, match=r"x/b: denied; 1 changes were made before it"):
        reconcile(server, [config_map("a"), config_map("b")], check=False)  # type: ignore[arg-type]  # as above
    assert ("ConfigMap", "a") in server.live


def test_namespaces_come_first_and_the_rest_stays_in_order() -> None:
    names = ["ConfigMap", "Namespace", "Secret", "CustomResourceDefinition"]
    found = [one["kind"] for one in ordered([{"kind": kind} for kind in names])]
    assert found == ["Namespace", "CustomResourceDefinition", "ConfigMap", "Secret"]


OURS = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
THEIRS = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("live", "before", "wanted", "expected"),
    [
        ([THEIRS], "[]", [OURS], [THEIRS, OURS]),
        ([OURS, THEIRS], "[]", [OURS], [OURS, THEIRS]),
        ([{**OURS, "value": "old"}, THEIRS], "[]", [OURS], [OURS, THEIRS]),
        ([OURS, THEIRS], '[{"key": "dedicated", "effect": "NoSchedule"}]', [], [THEIRS]),
        ([OURS], "[]", [], [OURS]),
        ([OURS], "broken", [], [OURS]),
        (None, "[]", [], []),
    ],
)
def test_taints_of_others_stay(live: Any, before: str, wanted: Any, expected: Any) -> None:
    item = {"metadata": {"annotations": {TAINTS: before}}, "spec": {"taints": live}}
    assert taints(item, wanted) == expected


def test_a_node_gets_labels_and_taints_once_it_has_registered() -> None:
    server = Server()
    assert reconcile(server, [node({"a": "b"}, OURS)], check=False) == []  # type: ignore[arg-type]  # as above
    server.live[("Node", "n")] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}, "resourceVersion": "7"},
        "spec": {"taints": [THEIRS], "podCIDR": "10.0.0.0/24"},
    }
    made = reconcile(server, [node({"a": "b"}, OURS)], check=False)  # type: ignore[arg-type]  # as above
    assert {one.field[:2] for one in made} == {("metadata", "labels"), ("metadata", "annotations"), ("spec", "taints")}
    assert server.live[("Node", "n")]["spec"] == {"taints": [THEIRS, OURS], "podCIDR": "10.0.0.0/24"}
    assert reconcile(server, [node({"a": "b"}, OURS)], check=False) == []  # type: ignore[arg-type]  # as above

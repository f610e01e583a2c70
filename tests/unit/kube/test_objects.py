# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Objects against a server in memory that merges as server-side apply does for what we own alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import merge
from ansible_collections.weft.platform.plugins.plugin_utils._kube import KubeError, plan_without_api, reconcile
from ansible_collections.weft.platform.plugins.plugin_utils._kube._objects import TAINTS, ordered, taints


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
        if not dry_run:
            self.live[(wanted["kind"], name)] = made
        return deepcopy(made)

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

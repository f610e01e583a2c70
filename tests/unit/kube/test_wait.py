# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who is waited for, until when, and what is said of those who do not come."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._kube import KubeError, wait_nodes, wait_rollouts

LACKS_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)


def node(name: str, ready: str = "True", message: str = "") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "KubeletNotReady", "message": message}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


def daemon_set(wanted: int, updated: int, available: int, seen: int = 1) -> dict[str, Any]:
    status = {"desiredNumberScheduled": wanted, "updatedNumberScheduled": updated, "numberAvailable": available}
    return {
        "metadata": {"name": "agent", "namespace": "x", "generation": 1},
        "status": {**status, "observedGeneration": seen},
    }


def deployment(wanted: int, updated: int, available: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "dns", "namespace": "x", "generation": 1},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 1, "updatedReplicas": updated, "availableReplicas": available},
    }


class Server:
    """The part of Client that waiting needs."""

    def __init__(self, **found: list[Any]) -> None:
        self.found = found
        self.selectors: set[str] = set()

    def list(self, api_version: str, kind: str, selector: str = "") -> list[Any]:
        if kind != "Node":
            self.selectors.add(selector)
        return self.found.get(kind, [])


@pytest.mark.parametrize(
    ("found", "network", "words"),
    [
        ([node("a")], True, ""),
        ([], True, "a (has not registered)"),
        ([{"metadata": {"name": "a"}}], True, "a (no status yet)"),
        ([node("a", "False", LACKS_NETWORK)], True, "a (KubeletNotReady)"),
        ([node("a", "False", LACKS_NETWORK)], False, ""),
        ([node("a", "False", f"[{LACKS_NETWORK}, CSINode is not yet initialized]")], False, "a (KubeletNotReady)"),
        ([node("a", "False", "PLEG is not healthy")], False, "a (KubeletNotReady)"),
        ([node("a", "Unknown", "Kubelet stopped posting node status.")], False, "a (KubeletNotReady)"),
        ([node("a"), node("b", "False")], True, ""),
    ],
)
def test_nodes(found: list[Any], network: bool, words: str) -> None:
    said: list[str] = []
    server: Any = Server(Node=found)
    if not words:
        wait_nodes(server, ["a"], 0, said.append, network)
        assert said == []
        return
    with pytest.raises(KubeError) as error:
        wait_nodes(server, ["a"], -1, said.append, network)
    assert str(error.value).endswith(f"1 node not ready: {words}")


@pytest.mark.parametrize(
    ("kind", "found", "nodes", "words"),
    [
        ("DaemonSet", daemon_set(3, 3, 3), [], ""),
        ("DaemonSet", daemon_set(3, 3, 3, seen=0), [], "x/agent (not seen by its controller yet)"),
        ("DaemonSet", daemon_set(3, 2, 3), [], "x/agent (2 of 3 pods)"),
        ("DaemonSet", daemon_set(3, 3, 1), [], "x/agent (1 of 3 pods)"),
        # One node is away: its pod is neither replaced nor available, and may keep others from being replaced.
        ("DaemonSet", daemon_set(3, 1, 2), [node("away", "Unknown")], ""),
        ("DaemonSet", daemon_set(3, 3, 1), [node("away", "Unknown")], "x/agent (1 of 3 pods)"),
        ("Deployment", deployment(2, 2, 2), [], ""),
        ("Deployment", deployment(2, 1, 2), [], "x/dns (1 of 2 pods)"),
        ("Deployment", deployment(2, 2, 1), [], "x/dns (1 of 2 pods)"),
        ("Deployment", deployment(2, 2, 1), [node("away", "False")], ""),
        ("Deployment", {**deployment(0, 0, 0), "status": {"observedGeneration": 1}}, [], ""),
    ],
)
def test_rollouts(kind: str, found: Any, nodes: list[Any], words: str) -> None:
    server: Any = Server(**{kind: [found]}, Node=[node("here"), *nodes])
    if not words:
        wait_rollouts(server, "cluster", 0, print)
    else:
        with pytest.raises(KubeError) as error:
            wait_rollouts(server, "cluster", -1, print)
        assert str(error.value).endswith(f"1 workload not ready: {words}")
    assert server.selectors == {"weft.platform/set=cluster"}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Waiting for what a cluster does by itself: nodes become Ready, workloads roll out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import Client, KubeError
from ansible_collections.weft.platform.plugins.plugin_utils._kube._objects import SET

#: What kubelet says of a runtime that has no network yet (CRI, RuntimeCondition NetworkReady).
NO_NETWORK = "reason:NetworkPluginNotReady"
WORKLOADS = ("DaemonSet", "Deployment")


def wait_nodes(
    client: Client, names: Sequence[str], seconds: float, say: Callable[[str], None], network: bool = True
) -> None:
    """Wait until these nodes are Ready.

    Args:
        network: false where somebody else brings the network later; nodes that lack nothing but it are good enough.

    Raises:
        KubeError: one was not after `seconds`; says which, and what its kubelet says.
    """

    def left() -> dict[str, str]:
        found = {item["metadata"]["name"]: item for item in client.list("v1", "Node")}
        out = {name: _not_ready(found[name], network) if name in found else "has not registered" for name in names}
        return {name: why for name, why in out.items() if why}

    _wait(left, "node", seconds, say)


def wait_rollouts(client: Client, set_: str, seconds: float, say: Callable[[str], None]) -> None:
    """Wait until the DaemonSets and Deployments of a set run their newest pods.

    Nodes that are not Ready excuse a pod each: nothing can be started or replaced there, and a rollout may wait for
    them for ever.

    Raises:
        KubeError: one did not after `seconds`; says which, and how far it came.
    """

    def left() -> dict[str, str]:
        away = sum(bool(_not_ready(item)) for item in client.list("v1", "Node"))
        out = {}
        for kind in WORKLOADS:
            for live in client.list("apps/v1", kind, f"{SET}={set_}"):
                name = f"{live['metadata'].get('namespace', '')}/{live['metadata']['name']}"
                out[name] = _not_rolled_out(kind, live, away)
        return {name: why for name, why in out.items() if why}

    _wait(left, "workload", seconds, say)


def _wait(left: Callable[[], dict[str, str]], noun: str, seconds: float, say: Callable[[str], None]) -> None:
    end, told = time.monotonic() + seconds, ""
    while True:
        waiting = left()
        if not waiting:
            return
        words = ", ".join(f"{name} ({why})" for name, why in sorted(waiting.items()))
        if time.monotonic() > end:
            raise KubeError(f"after {seconds:.0f} s {len(waiting)} {noun}{'s'[: len(waiting) != 1]} not ready: {words}")
        if words != told:
            say(f"waiting for {words}")
            told = words
        time.sleep(0.5)


def _not_ready(node: dict[str, Any], network: bool = True) -> str:
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            good = condition["status"] == "True" or (not network and _lacks_network(condition.get("message") or ""))
            return "" if good else str(condition.get("reason") or "NotReady")
    return "no status yet"


def _lacks_network(message: str) -> bool:
    """Whether a kubelet that is not ready says nothing but that its network is missing.

    It joins its reasons by ", " in brackets where there are several (kubelet/nodestatus/setters.go, ReadyCondition).
    """
    return message.startswith("container runtime network not ready:") and NO_NETWORK in message


def _not_rolled_out(kind: str, live: dict[str, Any], away: int) -> str:
    """Why a workload has not rolled out, as `kubectl rollout status` judges it; "" when it has."""
    status = live.get("status", {})
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "not seen by its controller yet"
    if kind == "DaemonSet":
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        available = status.get("numberAvailable", 0)
    else:
        wanted, updated = live["spec"].get("replicas", 1), status.get("updatedReplicas", 0)
        available = status.get("availableReplicas", 0)
    have = available if away else min(updated, available)
    return "" if have >= wanted - away else f"{have} of {wanted} pods"

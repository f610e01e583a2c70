# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Waiting for what a cluster does by itself: nodes become Ready, workloads roll out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import Client, KubeError

WORKLOADS = {"DaemonSet": "apps/v1", "Deployment": "apps/v1"}


def wait_nodes(client: Client, names: Sequence[str], seconds: float, say: Callable[[str], None]) -> None:
    """Wait until these nodes are Ready.

    Raises:
        KubeError: one was not after `seconds`; says which, and what its kubelet says.
    """

    def left() -> dict[str, str]:
        found = {item["metadata"]["name"]: item for item in client.list("v1", "Node")}
        out = {name: _not_ready(found[name]) if name in found else "has not registered" for name in names}
        return {name: why for name, why in out.items() if why}

    _wait(left, "node", seconds, say)


def wait_rollouts(
    client: Client, objects: Iterable[dict[str, Any]], seconds: float, say: Callable[[str], None]
) -> None:
    """Wait until the Deployments and DaemonSets among the objects run their newest pods.

    Raises:
        KubeError: one did not after `seconds`; says which, and how far it came.
    """
    wanted = [item for item in objects if item["kind"] in WORKLOADS]

    def left() -> dict[str, str]:
        out = {}
        for item in wanted:
            meta = item["metadata"]
            live = client.get(item["apiVersion"], item["kind"], meta["name"], meta.get("namespace", ""))
            out[f"{meta.get('namespace', '')}/{meta['name']}"] = _not_rolled_out(live)
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


def _not_ready(node: dict[str, Any]) -> str:
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return "" if condition["status"] == "True" else str(condition.get("reason") or "NotReady")
    return "no status yet"


def _not_rolled_out(live: dict[str, Any] | None) -> str:
    """Why a workload has not rolled out, as `kubectl rollout status` judges it; "" when it has."""
    if live is None:
        return "is not there"
    status = live.get("status", {})
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "not seen by its controller yet"
    if live["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        have = min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    else:
        wanted = live["spec"].get("replicas", 1)
        have = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    return "" if have >= wanted else f"{have} of {wanted} pods"

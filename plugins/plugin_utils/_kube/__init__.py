# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kubernetes objects from the controller: observed, compared and made by server-side apply."""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import Client, KubeError
from ansible_collections.weft.platform.plugins.plugin_utils._kube._objects import (
    added,
    introduce,
    plan_without_api,
    reconcile,
)
from ansible_collections.weft.platform.plugins.plugin_utils._kube._wait import wait_nodes, wait_rollouts

__all__ = ["Client", "KubeError", "added", "introduce", "plan_without_api", "reconcile", "wait_nodes", "wait_rollouts"]

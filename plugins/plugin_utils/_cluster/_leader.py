# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Which control plane speaks for the cluster in this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def leader(observed: Mapping[str, Any], control_planes: Sequence[str]) -> dict[str, str]:
    """Choose the control plane through which the cluster is asked and changed.

    A member whose API server answers comes first, then one that is a member, then one where an init was cut short (its
    API server may answer already), then one that can be reached: a cluster that exists must never be initialised a
    second time beside itself.

    Args:
        observed: by machine, what weft.platform.node found (its result, with `facts`).
        control_planes: machines of the group, in the inventory's order.

    Returns:
        {"name": the machine or "" where none can be reached, "live": the same when its API server answers, else "",
         "member": "yes" when the cluster exists}
    """
    kubernetes = {
        name: dict(observed.get(name, {}).get("facts", {}).get("kubernetes", {}))
        for name in control_planes
        if observed.get(name, {}).get("facts")
    }
    member = [name for name, facts in kubernetes.items() if facts.get("member") == "control_plane"]
    live = [name for name in member if kubernetes[name].get("api_healthy")]
    begun = [name for name, facts in kubernetes.items() if facts.get("unfinished") == "init"]
    name = next(iter([*live, *member, *begun, *kubernetes]), "")
    return {"name": name, "live": name if live else "", "member": "yes" if member else ""}

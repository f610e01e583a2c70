# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who does what in a run: from what every machine was found to need to the stages of the apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._cluster._leader import leader

#: Subject types of the Changes that make a machine a member.
MEMBERSHIP = frozenset({"control_plane", "worker"})


@dataclass
class Stages:
    """The stages of a run, as inventory names.

    leader      the control plane through which the cluster is asked and changed, "" where none can be reached
    live        whether the leader's API server answers
    initialise  whether the leader makes a new cluster
    prepare     machines with Changes before membership
    member      machines with Changes of membership or of what kubeadm manages
    joiners     those of `member` that are not members yet, the leader aside
    newcomers   the joiners, and the leader where it makes the cluster: their Nodes are not there yet
    nodes       machines that should be Ready at the end
    problems    why the run cannot go on
    """

    leader: str = ""
    live: bool = False
    initialise: bool = False
    prepare: list[str] = field(default_factory=list)
    member: list[str] = field(default_factory=list)
    joiners: list[str] = field(default_factory=list)
    newcomers: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def stages(
    observed: Mapping[str, Mapping[str, Any]],
    control_planes: Sequence[str],
    workers: Sequence[str],
) -> Stages:
    """Sort the machines into stages.

    Args:
        observed: by machine, the result of weft.platform.node in check mode.
        control_planes: machines of that group, in the inventory's order.
        workers: likewise.
    """
    chosen = leader(observed, control_planes)
    out = Stages(leader=chosen["name"], live=bool(chosen["live"]))
    for machine in [*control_planes, *workers]:
        result = observed.get(machine, {})
        if not result.get("facts"):
            continue
        out.nodes.append(machine)
        types = [change["subject"]["type"] for change in result.get("changes", [])]
        if result.get("stages", {}).get("prepare"):
            out.prepare.append(machine)
        if result.get("stages", {}).get("member"):
            out.member.append(machine)
        if MEMBERSHIP.intersection(types) and machine != out.leader:
            out.joiners.append(machine)
    leader_types = {change["subject"]["type"] for change in observed.get(out.leader, {}).get("changes", [])}
    out.initialise = "control_plane" in leader_types and not chosen["member"]
    out.newcomers = [*([out.leader] if out.initialise else []), *out.joiners]
    out.problems = _problems(out, observed, control_planes, workers)
    return out


def _problems(
    found: Stages, observed: Mapping[str, Mapping[str, Any]], control_planes: Sequence[str], workers: Sequence[str]
) -> list[dict[str, str]]:
    unseen = [machine for machine in control_planes if machine not in found.nodes]
    if not found.leader:
        return [
            {
                "check": "control-plane",
                "message": "no control plane can be reached",
                "remedy": "bring at least one of them back: " + ", ".join(control_planes),
            }
        ]
    joined = [machine for machine in [*control_planes, *workers] if _has_joined(observed.get(machine, {}))]
    if found.initialise and (unseen or joined):
        why = f"cannot be reached: {', '.join(unseen)}" if unseen else f"have joined one: {', '.join(joined)}"
        return [
            {
                "check": "second-cluster",
                "message": f"no reachable control plane is a member, but the cluster may exist: {why}",
                "remedy": "bring its control planes back or restore them; to begin anew, destroy the cluster first",
            }
        ]
    return [*_versions(observed), *_unexplained(observed), *_silent(found)]


def _silent(found: Stages) -> Iterator[dict[str, str]]:
    """A broken API server may be just what this run mends, so it goes on without what only the API can tell."""
    if not (found.live or found.initialise):
        yield {
            "severity": "warning",
            "check": "api",
            "message": f"the API server of {found.leader} does not answer, so the cluster's objects are not compared",
            "remedy": "this run mends what it can on machines; apply again when the API answers",
        }


def _versions(observed: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """An apply keeps versions: moving them has an order that Kubernetes demands (version skew policy)."""
    for machine, result in observed.items():
        for change in result.get("changes", []):
            if change["subject"]["type"] in MEMBERSHIP and change["field"] == ["version"]:
                yield {
                    "check": "version",
                    "message": f"{machine} runs {change.get('before')} and the lock file wants {change.get('after')}",
                    "remedy": "apply does not move versions: put cluster_kubernetes_version and the lock file back",
                }


def _unexplained(observed: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for machine, result in observed.items():
        if _kubernetes(result).get("unfinished") == "unknown":
            yield {
                "check": "foreign",
                "message": f"{machine} holds parts of a cluster that this collection did not put there",
                "remedy": "run 'kubeadm reset' on the machine if nothing of it is needed, then apply",
            }


def _has_joined(result: Mapping[str, Any]) -> bool:
    """Whether a machine is a member, or began to join: nobody joins a cluster that is not there."""
    found = _kubernetes(result)
    return found.get("member") in ("worker", "control_plane") or found.get("unfinished") == "join"


def _kubernetes(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict((result.get("facts") or {}).get("kubernetes") or {})

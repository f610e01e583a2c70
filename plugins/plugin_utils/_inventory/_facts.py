# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What only shows when the facts of all machines lie side by side with the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from statistics import median
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import (
    Finding,
    Host,
    Inventory,
    Problem,
)
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._networks import POD, SERVICE, network
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._text import address

#: Variable, its fact on a control plane, and the way out.
IMMUTABLE = (
    (
        POD,
        "pod_cidr",
        "Set it back to {live}. For another range, build a second cluster with it and move the workloads.",
    ),
    (
        SERVICE,
        "service_cidr",
        "Set it back to {live}. For more addresses, add a ServiceCIDR object; for another range, a second cluster.",
    ),
    (
        "cluster_dns_domain",
        "dns_domain",
        "Set it back to {live}. For another domain, build a second cluster with it and move the workloads.",
    ),
)
#: The name under which machines say whether they reach a load balancer, and the variable that names it.
ENDPOINT = "cluster_endpoint"
#: kubelets may be this many minors older than the API server (Kubernetes' version skew policy).
KUBELET_SKEW = 3


@dataclass(frozen=True)
class Machine:
    """A machine that was observed.

    host         as the inventory describes it
    facts        of weft.platform.node; `received`, where given, is the controller's time when they came in
    opens_ports  whether the run will open ports in its firewall
    """

    host: Host
    facts: Mapping[str, Any] = field(default_factory=dict)
    opens_ports: bool = False

    @property
    def kubernetes(self) -> Mapping[str, Any]:
        """Facts of the cluster's member, if it is one."""
        found = self.facts.get("kubernetes")
        return found if isinstance(found, Mapping) else {}

    @property
    def networks(self) -> list[IPv4Network]:
        """The networks that it is in."""
        rows = [row for rows in (self.facts.get("interfaces") or {}).values() for row in rows]
        return [IPv4Interface(row).network for row in rows if ":" not in row]


def check(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    """All problems of machines that were observed; those not reached are no part of it.

    Args:
        inventory: for the places of variables.
        machines: with facts.
    """
    seen = [machine for machine in machines if machine.facts]
    yield from _twins(seen)
    yield from _clocks(seen)
    yield from _reach(seen)
    yield from _load_balancer(inventory, seen)
    yield from _addresses(inventory, seen)
    yield from _endpoint(inventory, seen)
    yield from _immutable(inventory, seen)
    yield from _membership(inventory, seen)
    yield from _versions(inventory, seen)


def _twins(machines: Sequence[Machine]) -> Iterator[Problem]:
    for fact, what, severity, remedy in (
        (
            "machine_id",
            "machine id",
            "error",
            "Empty /etc/machine-id of the copy, run `systemd-machine-id-setup`, restart.",
        ),
        ("hostname", "hostname", "warning", "Run `hostnamectl set-hostname NAME` on one of them."),
    ):
        found: dict[str, list[str]] = {}
        for machine in machines:
            if machine.facts.get(fact):
                found.setdefault(str(machine.facts[fact]), []).append(machine.host.name)
        for value, names in found.items():
            if len(names) > 1:
                message = f"{_and(names)} have the same {what}: {value}"
                yield Problem("error" if severity == "error" else "warning", message, remedy, subject=", ".join(names))


def _clocks(machines: Sequence[Machine]) -> Iterator[Problem]:
    """The machine that differs from the median is the wrong one, unless there are only two."""
    offsets = {
        machine.host.name: float(machine.facts["time"]) - float(machine.facts["received"])
        for machine in machines
        if machine.facts.get("time") and machine.facts.get("received")
    }
    if len(offsets) < 2:
        return
    middle = median(offsets.values())
    for machine in machines:
        limit = float(machine.host.settings.get("node_preflight", {}).get("clock_skew", 10))
        away = offsets.get(machine.host.name, middle) - middle
        is_judged = len(offsets) > 2 or machine.host.name == max(offsets, key=lambda name: abs(offsets[name]))
        if is_judged and abs(away) * (1 if len(offsets) > 2 else 2) > limit:
            yield Problem(
                "error",
                f"the clock of {machine.host.name} is {_duration(abs(away) * (1 if len(offsets) > 2 else 2))} "
                f"{'ahead of' if away > 0 else 'behind'} the other machines'",
                "Set it and keep it right: `timedatectl set-ntp true`, or chrony. Certificates and etcd depend on it.",
                subject=machine.host.name,
            )


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _reach(machines: Sequence[Machine]) -> Iterator[Problem]:
    """One problem for each target and kind of failure; a target that was not observed is down, and named elsewhere."""
    targets = {machine.host.name: machine for machine in machines}
    failed: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    for machine in machines:
        for one in machine.facts.get("reach") or []:
            target = targets.get(one["name"])
            if one["result"] in ("open", "refused") or target is None or target.opens_ports:
                continue
            key = (one["name"], one["address"], one["result"])
            failed.setdefault(key, {}).setdefault(machine.host.name, []).append(one["port"])
    for (name, where, result), sources in failed.items():
        ports = sorted({port for numbers in sources.values() for port in numbers})
        why = "nothing comes back" if result == "timeout" else "there is no way there"
        hint = (
            "a firewall between them, or the wrong node_address" if result == "timeout" else "routes and node_address"
        )
        yield Problem(
            "error",
            f"{_and(list(sources))} cannot reach {name} ({where}) on TCP {_and([str(port) for port in ports])}: {why}",
            f"Look for {hint}. docs/preflight.md lists the ports that Kubernetes needs.",
            subject=", ".join(sources),
        )


def _load_balancer(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    """A name that nobody knows is wrong; silence may be a load balancer that waits for its first API server."""
    found: dict[str, list[Machine]] = {}
    for machine in machines:
        for one in machine.facts.get("reach") or []:
            if one["name"] == ENDPOINT and one["result"] not in ("open", "refused"):
                found.setdefault(one["result"], []).append(machine)
    for result, those in found.items():
        names = _and([machine.host.name for machine in those])
        endpoint = str(those[0].host.settings.get(ENDPOINT, ""))
        remedy = "The load balancer must answer there before the first machine joins."
        finding = Finding(f"{names}: nobody answers at cluster_endpoint {endpoint}", remedy, (), "warning")
        if result == "unknown":
            finding = Finding(f"{names} cannot resolve cluster_endpoint {endpoint}", remedy)
        yield inventory.problem(those[0].host, ENDPOINT, finding)


def _addresses(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    for machine in machines:
        own = [str(one) for one in machine.facts.get("addresses") or []]
        if own and address(machine.host.address) and machine.host.address not in own:
            finding = Finding(
                f"{machine.host.name} does not have its node_address {machine.host.address}; it has {_and(own[:6])}",
                "Set node_address to the one by which the other machines reach it.",
            )
            yield inventory.problem(machine.host, "node_address", finding)
        # The network of a live cluster has addresses of its range on the machines that are in it.
        if machine.kubernetes.get("member") not in ("control_plane", "worker"):
            yield from _overlaps(inventory, machine)


def _overlaps(inventory: Inventory, machine: Machine) -> Iterator[Problem]:
    for variable in (POD, SERVICE):
        given = network(str(machine.host.settings.get(variable, "")))
        overlapping = [own for own in machine.networks if given and given.overlaps(own) and own.prefixlen < 32]
        # A node address inside the range is told already, by the check of the inventory alone.
        if given and overlapping and not any(address(machine.host.address) in own for own in overlapping):
            finding = Finding(
                f"{variable} {given} overlaps with {overlapping[0]}, a network of {machine.host.name}",
                "Move it to a network that no machine is in.",
            )
            yield inventory.problem(machine.host, variable, finding)


def _endpoint(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    planes = [machine for machine in machines if machine.host.is_control_plane and machine.networks]
    if not planes or planes[0].host.settings.get("cluster_endpoint_provider") != "kube-vip":
        return
    host = planes[0].host
    vip = address(str(host.settings.get("cluster_endpoint", "")))
    interface = str(host.settings.get("cluster_endpoint_interface", ""))
    for machine in planes:
        names = machine.facts.get("interfaces") or {}
        if interface and interface not in names:
            finding = Finding(
                f"{machine.host.name} has no interface {interface} with an address; it has {_and(sorted(names))}",
                "Set cluster_endpoint_interface to one that every control plane has, or leave it empty.",
            )
            yield inventory.problem(machine.host, "cluster_endpoint_interface", finding)
        elif vip and not any(vip in own for own in machine.networks):
            finding = Finding(
                f"cluster_endpoint {vip} is in no network of {machine.host.name}, so kube-vip cannot hold it there "
                f"(it is in {_and([str(own) for own in machine.networks])})",
                "Choose a free address of a network that all control planes share.",
            )
            yield inventory.problem(machine.host, "cluster_endpoint", finding)


def _immutable(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    for machine in machines:
        if machine.kubernetes.get("member") != "control_plane":
            continue
        yield from (inventory.problem(machine.host, "cluster_etcd", finding) for finding in _moved_etcd(machine))
        yield from _moved_endpoint(inventory, machine)
        for variable, fact, remedy in IMMUTABLE:
            live, wanted = str(machine.kubernetes.get(fact) or ""), str(machine.host.settings.get(variable, ""))
            if live and wanted and live != wanted:
                finding = Finding(
                    f"{variable} cannot change on a live cluster: it is {live}, the inventory says {wanted}",
                    remedy.format(live=live),
                )
                yield inventory.problem(machine.host, variable, finding)


def _moved_endpoint(inventory: Inventory, machine: Machine) -> Iterator[Problem]:
    """Every kubeconfig of every machine names the endpoint, and so do those of people."""
    settings = machine.host.settings
    first = next((host.address for host in inventory.control_planes), "")
    host = str(
        settings.get("cluster_endpoint") or (first if settings.get("cluster_endpoint_provider") == "node" else "")
    )
    live, wanted = str(machine.kubernetes.get("endpoint") or ""), f"{host}:{settings.get('cluster_endpoint_port')}"
    if live and host and live.lower() != wanted.lower():
        variable = "cluster_endpoint" if live.rpartition(":")[0].lower() != host.lower() else "cluster_endpoint_port"
        finding = Finding(
            f"{variable} cannot change on a live cluster: it is {live}, the inventory says {wanted}",
            f"Set it back to {live}. A further name or address for clients goes into cluster_extra_sans.",
        )
        yield inventory.problem(machine.host, variable, finding)


def _moved_etcd(machine: Machine) -> Iterator[Finding]:
    """The data of etcd does not move by itself."""
    stacked, endpoints = machine.kubernetes.get("etcd"), machine.host.settings.get("cluster_etcd", {}).get("endpoints")
    if stacked is not None and bool(stacked) == bool(endpoints):
        now, wanted = ("on", "outside") if stacked else ("outside", "on")
        yield Finding(
            f"cluster_etcd cannot change on a live cluster: etcd runs {now} the control planes, the inventory "
            f"wants it {wanted}",
            "Set it back. To move etcd, restore a backup into a new cluster.",
        )


def _membership(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    authorities: dict[str, list[str]] = {}
    for machine in machines:
        live = str(machine.kubernetes.get("node_name") or "")
        wanted = str(machine.host.settings.get("node_name", ""))
        if live and wanted and live != wanted:
            finding = Finding(
                f"{machine.host.name} is the node {live}; its node_name cannot become {wanted}",
                "Set it back, or remove the machine with weft.platform.destroy --limit and add it again.",
            )
            yield inventory.problem(machine.host, "node_name", finding)
        address_now = str(machine.kubernetes.get("node_ip") or "")
        if address_now and machine.host.address and address_now != machine.host.address:
            finding = Finding(
                f"{machine.host.name} is in the cluster by the address {address_now}; its node_address cannot become "
                f"{machine.host.address}",
                "Set it back, or remove the machine with weft.platform.destroy --limit and add it again.",
            )
            yield inventory.problem(machine.host, "node_address", finding)
        if machine.kubernetes.get("ca_hash"):
            authorities.setdefault(str(machine.kubernetes["ca_hash"]), []).append(machine.host.name)
    if len(authorities) > 1:
        groups = sorted(authorities.values(), key=len, reverse=True)
        for strangers in groups[1:]:
            yield Problem(
                "error",
                f"{_and(strangers)} {'belongs' if len(strangers) == 1 else 'belong'} to another cluster than "
                f"{_and(groups[0])}",
                "Destroy what is on it with weft.platform.destroy, or take it out of this inventory.",
                subject=", ".join(strangers),
            )


def _versions(inventory: Inventory, machines: Sequence[Machine]) -> Iterator[Problem]:
    planes = [machine for machine in machines if machine.kubernetes.get("member") == "control_plane"]
    running = [one for one in (_minor(machine.kubernetes.get("version")) for machine in planes) if one]
    if not running:
        return
    newest, oldest = max(running), min(running)
    host = planes[0].host
    wanted = _minor(host.settings.get("cluster_kubernetes_version"))
    if wanted and wanted != newest:
        yield inventory.problem(host, "cluster_kubernetes_version", _other_minor(wanted, newest))
    elif newest[1] - oldest[1] > 1:
        yield Problem(
            "error",
            f"control planes run minors {_text(oldest)} and {_text(newest)}, more than one apart",
            "Finish the upgrade with kubeadm before anything else; apply does not move versions.",
        )
    for machine in machines:
        kubelet = _minor(machine.kubernetes.get("kubelet"))
        is_member = machine.kubernetes.get("member") in ("control_plane", "worker")
        if kubelet and is_member and not 0 <= oldest[1] - kubelet[1] <= KUBELET_SKEW:
            yield Problem(
                "error",
                f"the kubelet of {machine.host.name} is {_text(kubelet)}, the API server {_text(oldest)}",
                f"Kubelets may be up to {KUBELET_SKEW} minors older and never newer: upgrade it with kubeadm.",
                subject=machine.host.name,
            )


def _other_minor(wanted: tuple[int, int], live: tuple[int, int]) -> Finding:
    message = f"cluster_kubernetes_version is {_text(wanted)}, the cluster runs {_text(live)}"
    if wanted < live:
        return Finding(message, f"Kubernetes cannot go back a minor: set it to {_text(live)}, or restore a backup.")
    if wanted[1] - live[1] > 1:
        return Finding(message, f"Upgrade one minor at a time: first to {live[0]}.{live[1] + 1}.")
    return Finding(message, "Set it back: apply does not move versions; upgrade with kubeadm first.")


def _minor(version: Any) -> tuple[int, int] | None:
    parts = str(version or "").removeprefix("v").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None


def _text(minor: tuple[int, int]) -> str:
    return f"{minor[0]}.{minor[1]}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Addresses that must fit together: networks of pods, Services and machines, and the endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import (
    Finding,
    Host,
    Inventory,
    Problem,
    shown,
)
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._text import address, is_dns_name

POD, SERVICE = "cluster_pod_cidr", "cluster_service_cidr"
#: Bits of an address that each node's own network has (kube-controller-manager, --node-cidr-mask-size-ipv4).
NODE_PREFIX = 24
#: kubeadm's limits (cmd/kubeadm/app/constants: MaximumBitsForServiceSubnet, MinimumAddressesInServiceSubnet).
SERVICE_PREFIXES = (12, 28)
#: RFC 6598, shared between customers of a provider: not private to Python, but free to use inside.
_SHARED = IPv4Network("100.64.0.0/10")


def check(inventory: Inventory) -> Iterator[Problem]:
    """Everything about addresses that needs more than one variable."""
    first = next(iter(inventory.hosts.values()), None)
    if first is None:
        return
    for variable, finding in _ranges(first, len(inventory.hosts)):
        yield inventory.problem(first, variable, finding)
    yield from _machines(inventory)
    yield from _same_address(inventory)
    yield from _endpoint(inventory, first)


def network(text: str) -> IPv4Network | None:
    """The IPv4 network that a text is, or None."""
    try:
        found = ip_network(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


def form(variable: str, value: str) -> Finding | None:
    """What is wrong with the text of a network, or None."""
    if "," in value:
        return Finding(
            f"{variable} {shown(value)} holds two networks", "Dual-stack is not supported yet; keep the IPv4 one."
        )
    try:
        found = ip_network(value, strict=False)
    except ValueError:
        return Finding(f"{variable} {shown(value)} is no network", "Write ADDRESS/LENGTH, for example 10.244.0.0/16.")
    if isinstance(found, IPv6Network):
        return Finding(f"{variable} {shown(value)} is IPv6", "IPv6 is not supported yet; use an IPv4 network.")
    if "/" not in value:
        return Finding(f"{variable} {shown(value)} has no length", "Write ADDRESS/LENGTH, for example 10.244.0.0/16.")
    if network(value) is None:
        return Finding(f"{variable} {value} has bits behind its length", f"Did you mean {found}?")
    if found.is_loopback or found.is_multicast or found.is_link_local or found.network_address == IPv4Address(0):
        return Finding(f"{variable} {value} is reserved", "Use a private network, for example from 10.0.0.0/8.")
    return None


def _ranges(host: Host, machines: int) -> Iterator[tuple[str, Finding]]:
    found: dict[str, IPv4Network] = {}
    for variable in (POD, SERVICE):
        value = host.settings.get(variable)
        if not isinstance(value, str):
            continue
        wrong = form(variable, value)
        if wrong:
            yield variable, wrong
            continue
        found[variable] = IPv4Network(value)
        if not (found[variable].is_private or found[variable].subnet_of(_SHARED)):
            yield (
                variable,
                Finding(
                    f"{variable} {value} is not private: pods cannot reach the real owners of these addresses",
                    "Use a network of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10.",
                    severity="warning",
                ),
            )
    if POD in found:
        yield from ((POD, finding) for finding in _pod_size(host, found[POD], machines))
    if SERVICE in found:
        least, most = SERVICE_PREFIXES
        if not least <= found[SERVICE].prefixlen <= most:
            yield (
                SERVICE,
                Finding(
                    f"{SERVICE} {found[SERVICE]} has a length that kubeadm refuses",
                    f"Choose one from /{least} to /{most}.",
                ),
            )
    if len(found) == 2 and found[POD].overlaps(found[SERVICE]):
        # Placed where somebody wrote one of them.
        one, two = (SERVICE, POD) if SERVICE in host.given else (POD, SERVICE)
        yield one, Finding(f"{one} {found[one]} overlaps with {two} {found[two]}", "Move one to another network.")


def _pod_size(host: Host, pods: IPv4Network, machines: int) -> Iterator[Finding]:
    arguments = host.settings.get("cluster_component_args", {}).get("controller_manager", {})
    given = arguments.get("node-cidr-mask-size-ipv4", arguments.get("node-cidr-mask-size", NODE_PREFIX))
    each = int(given) if str(given).isdigit() else NODE_PREFIX
    room = 2 ** (each - pods.prefixlen) if each >= pods.prefixlen else 0
    if room < machines:
        yield Finding(
            f"{POD} {pods} has room for {room} machines with a /{each} each, but there are {machines}",
            f"Make it /{each - (machines - 1).bit_length()} or wider.",
        )


def _machines(inventory: Inventory) -> Iterator[Problem]:
    """No machine may have an address that the cluster gives away."""
    for host in inventory.hosts.values():
        own = address(host.address)
        for variable in (POD, SERVICE):
            given = network(str(host.settings.get(variable, "")))
            if own and given and own in given:
                finding = Finding(
                    f"{variable} {given} holds the machines' own addresses ({host.name} is {own})",
                    "Move it to a network that no machine is in.",
                )
                yield inventory.problem(host, variable, finding)
                return


def _same_address(inventory: Inventory) -> Iterator[Problem]:
    for variable, what in (("node_address", "address"), ("node_name", "node name")):
        seen: dict[str, Host] = {}
        for host in inventory.hosts.values():
            value = str(host.settings.get(variable, ""))
            other = seen.setdefault(value, host)
            if value and other is not host:
                finding = Finding(
                    f"{host.name} and {other.name} have the same {what}: {value}", f"Set {variable} of one of them."
                )
                yield inventory.problem(host, variable, finding)


def _endpoint(inventory: Inventory, first: Host) -> Iterator[Problem]:
    endpoint = str(first.settings.get("cluster_endpoint", ""))
    provider = first.settings.get("cluster_endpoint_provider")
    rules = {"kube-vip": _kube_vip, "external": _external, "node": _node}
    if provider not in rules:
        return
    for finding in rules[provider](inventory, endpoint):
        yield inventory.problem(first, "cluster_endpoint", finding)
    own = address(endpoint)
    for variable in (POD, SERVICE):
        given = network(str(first.settings.get(variable, "")))
        if own and given and own in given:
            yield inventory.problem(
                first,
                "cluster_endpoint",
                Finding(
                    f"cluster_endpoint {endpoint} lies inside {variable} {given}",
                    "Choose one of the machines' network.",
                ),
            )


def _kube_vip(inventory: Inventory, endpoint: str) -> Iterator[Finding]:
    if not endpoint:
        yield Finding(
            "cluster_endpoint is empty, but kube-vip needs a virtual address",
            "Set it to a free address of the control planes' network, or choose another cluster_endpoint_provider.",
        )
    elif is_dns_name(endpoint):
        yield Finding(
            f"cluster_endpoint {endpoint} is a name, but kube-vip needs an address",
            "Set the virtual address, and put the name into cluster_extra_sans.",
        )
    else:
        yield from (
            Finding(
                f"cluster_endpoint {endpoint} is the address of {host.name}, but kube-vip needs one of its own",
                "Choose a free address of the control planes' network.",
            )
            for host in inventory.hosts.values()
            if endpoint in (host.address, host.connection)
        )


def _external(inventory: Inventory, endpoint: str) -> Iterator[Finding]:
    if not endpoint:
        yield Finding(
            "cluster_endpoint is empty, but an external load balancer has a name or an address", "Set cluster_endpoint."
        )


def _node(inventory: Inventory, endpoint: str) -> Iterator[Finding]:
    planes = inventory.control_planes
    names = {name for host in planes for name in (host.name, host.address, str(host.settings.get("node_name", "")))}
    if endpoint and endpoint not in names:
        yield Finding(
            f"cluster_endpoint {endpoint} is no control plane, so nothing answers there",
            "Name one of " + ", ".join(f"{host.name} ({host.address})" for host in planes[:4]) + ", or leave it empty.",
        )
    if len(planes) > 1:
        yield Finding(
            f"cluster_endpoint_provider is node: of {len(planes)} control planes, one answers for all",
            "When it stops, the API cannot be reached. Use kube-vip or a load balancer to survive that.",
            severity="warning",
        )

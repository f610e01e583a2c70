# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A set's own network: a free /24, fixed addresses, and an air gap that can be switched on."""

from __future__ import annotations

import ipaddress
import json
import re
import zlib

from ._host import MachinesError, run

#: Subnets are taken from here: private, and clear of the defaults for pods (10.244.0.0/16), services (10.96.0.0/12)
#: and podman (10.88.0.0/16, 10.89.0.0/16).
POOL = ipaddress.ip_network("10.213.0.0/16")
#: Host numbers in the /24: control planes from 11, workers from 101; 250 is left free for the API endpoint.
FIRST = {"control_plane": 11, "worker": 101}
LAST = {"control_plane": 100, "worker": 240}
ENDPOINT = 250


def subnets(name: str) -> list[ipaddress.IPv4Network]:
    """Every /24 of the pool, beginning with the one that this name prefers: a set made again has its old addresses."""
    every = [net for net in POOL.subnets(new_prefix=24) if isinstance(net, ipaddress.IPv4Network)]
    start = zlib.crc32(name.encode()) % len(every)
    return every[start:] + every[:start]


def _in_use() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"], root=False) or "[]")
    taken = [route["dst"] for route in routes if "/" in route.get("dst", "")]
    names = run(["podman", "network", "ls", "--quiet"]).split()
    for network in json.loads(run(["podman", "network", "inspect", *names])) if names else []:
        taken += [subnet["subnet"] for subnet in network.get("subnets") or []]
    return [ipaddress.IPv4Network(dst, strict=False) for dst in taken if ":" not in dst]


def inspect(name: str) -> tuple[str, ipaddress.IPv4Network] | None:
    """The bridge device and subnet of a set's network; None when there is no such network."""
    if name not in run(["podman", "network", "ls", "--quiet"]).split():
        return None
    network = json.loads(run(["podman", "network", "inspect", name]))[0]
    return network["network_interface"], ipaddress.IPv4Network(network["subnets"][0]["subnet"])


def ensure(name: str, label: str) -> ipaddress.IPv4Network:
    """Make the set's network unless it is there, and return its subnet.

    Podman's resolver is left out: it adds a search domain and answers no TCP, and both upset cluster DNS.

    Raises:
        MachinesError: no subnet of the pool is free.
    """
    found = inspect(name)
    if found:
        return found[1]
    used = _in_use()
    for subnet in subnets(name):
        if not any(subnet.overlaps(other) for other in used):
            options = ["--disable-dns", "--subnet", str(subnet), "--label", f"{label}={name}"]
            run(["podman", "network", "create", *options, name])
            return subnet
    raise MachinesError(f"No free /24 is left in {POOL}. 'list' shows the sets of machines; 'down' removes one.")


def address(subnet: ipaddress.IPv4Network, role: str, number: int) -> str:
    """The fixed address of the machine with this role and number (1, 2, …).

    Raises:
        MachinesError: the number is beyond what a /24 holds.
    """
    offset = FIRST[role] + number - 1
    if offset > LAST[role]:
        raise MachinesError(f"A set holds at most {LAST[role] - FIRST[role] + 1} machines of the role '{role}'.")
    return str(subnet[offset])


def hardware_address(address: str) -> str:
    """The machine's MAC address, fixed as a server's is: with a new one at each start its peers would miss it for long.

    >>> hardware_address("10.213.48.11")
    '02:77:0a:d5:30:0b'
    """
    return ":".join(["02", "77", *(f"{int(part):02x}" for part in address.split("."))])


def end_listeners(subnet: ipaddress.IPv4Network) -> None:
    """End the programs of this host that serve on the network's own address, which goes away: a bundle's registry."""
    text = run(["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes", "src", str(subnet[1])])
    for pid in set(re.findall(r"\bpid=(\d+)", text)):
        run(["kill", pid], check=False)


def _table(name: str) -> str:
    return "weft_cut_" + re.sub(r"\W", "_", name)


def cut(name: str) -> None:
    """Drop all traffic of the set's network except between its machines and with this host (the controller)."""
    found = inspect(name)
    if not found:
        raise MachinesError(f"There is no network '{name}'. 'list' shows the sets of machines.")
    table, bridge = _table(name), found[0]
    rules = f"""table inet {table}
delete table inet {table}
table inet {table} {{
  counter dropped {{ }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{bridge}" oifname != "{bridge}" counter name dropped drop
    oifname "{bridge}" iifname != "{bridge}" counter name dropped drop
  }}
}}
"""
    run(["nft", "-f", "-"], stdin=rules.encode())


def uncut(name: str) -> None:
    """Take the air gap away; harmless where there is none."""
    run(["nft", "delete", "table", "inet", _table(name)], check=False)


def dropped(name: str) -> int | None:
    """How many packets the air gap has stopped so far; None when the network is not cut."""
    text = run(["nft", "--json", "list", "counters", "table", "inet", _table(name)], check=False)
    for item in json.loads(text)["nftables"] if text.startswith("{") else []:
        if "counter" in item:
            return int(item["counter"]["packets"])
    return None

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Openings in the firewall that the machine runs, if it runs one.  None is ever switched on or off."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Before, Host, MachineResource
from ansible_collections.weft.platform.plugins.module_utils._machine._units import active

FIREWALLD = "firewalld.service"
OPEN = "open"
ANYWHERE = ("0.0.0.0/0", "::/0")


class Firewall(MachineResource):
    """Ports and address ranges that others must reach.

    spec      {ports: ["6443/tcp", "4240-4250/udp"], sources: ["10.244.0.0/16"], state: present|absent}; everything from
              and to a source is let through (the pod network's range)
    observed  {"6443/tcp": "open", "10.244.0.0/16": "open"}: those of the spec that are open now and after a restart;
              ABSENT where no firewall runs
    """

    type = "firewall"
    key = "ports"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        announce(self.host)

    @property
    def name(self) -> str:
        """There is one."""
        return "ports"

    @property
    def openings(self) -> List[str]:
        """All that the spec names."""
        return [str(one) for one in (*self.spec["ports"], *self.spec.get("sources", ()))]

    def look(self) -> Value:
        """Those that are open."""
        kind = running(self.host)
        if kind == "none":
            return ABSENT
        known = self.host.once(
            "firewall", lambda: _firewalld_open(self.host) if kind == "firewalld" else _ufw_open(self.host)
        )
        return {one: OPEN for one in self.openings if any(_covers(other, one) for other in known)}

    def desired(self) -> Value:
        """All of them, or none."""
        if running(self.host) == "none":
            return ABSENT
        return {} if self.spec.get("state") == "absent" else dict.fromkeys(self.openings, OPEN)

    def make(self, changes: Sequence[Change]) -> None:
        """Open or close, now and after a restart."""
        opened = [str(change.field[0]) for change in changes if change.after is not ABSENT]
        closed = [str(change.field[0]) for change in changes if change.after is ABSENT]
        if running(self.host) == "firewalld":
            _firewalld(self.host, "add", opened)
            _firewalld(self.host, "remove", closed)
        else:
            _ufw(self.host, (), opened)
            _ufw(self.host, ("delete",), closed)
        self.host.forget("firewall")

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Close what was opened."""
        ours = [str(field[0]) for field, value in before.items() if field and value is ABSENT]
        ports = [one for one in ours if not _is_source(one)]
        return [
            {"type": cls.type, "ports": ports, "sources": [one for one in ours if _is_source(one)], "state": "absent"}
        ]


def announce(host: Host) -> None:
    """Have the service shown with the other units."""
    host.ask("units", FIREWALLD)


def running(host: Host) -> str:
    """One of "none", "firewalld", "ufw"."""
    if active(host, FIREWALLD):
        return "firewalld"
    # ufw's unit says nothing: it is active while ufw is off, and inactive when ufw was switched on since.
    enabled = re.search(r"^ENABLED=yes", host.read("/etc/ufw/ufw.conf") or "", re.MULTILINE | re.IGNORECASE)
    return "ufw" if enabled else "none"


def _covers(opened: str, wanted: str) -> bool:
    """Whether an opening lets through all that another one would.

    firewalld joins neighbouring ports to a range, and takes no port that lies in one already.
    """
    if opened == wanted or _is_source(opened) or _is_source(wanted):
        return opened == wanted
    (first, last, protocol), (low, high, other) = _span(opened), _span(wanted)
    return protocol == other and first <= low and high <= last


def _span(opening: str) -> Tuple[int, int, str]:
    ports, _, protocol = opening.partition("/")
    first, _, last = ports.partition("-")
    return int(first), int(last or first), protocol


def _is_source(opening: str) -> bool:
    """A CIDR, not a port: what follows the slash is a number."""
    return opening.rpartition("/")[2].isdigit()


def _firewalld_open(host: Host) -> Set[str]:
    """Ports of the default zone and sources of the trusted one, that are open both now and permanently.

    Asked by D-Bus and read from the zones' files: firewall-cmd takes a third of a second for each question.
    """
    (zone,) = _quoted(_ask_firewalld(host, "", "getDefaultZone"))
    ports = _quoted(_ask_firewalld(host, ".zone", "getPorts", "s", zone))
    now = {f"{port}/{protocol}" for port, protocol in zip(ports[::2], ports[1::2])}
    now.update(_quoted(_ask_firewalld(host, ".zone", "getSources", "s", "trusted")))
    later = {
        f"{port}/{protocol}" for port, protocol in _zone_file(host, zone, r'<port port="([^"]+)" protocol="([^"]+)"')
    }
    later.update(_zone_file(host, "trusted", r'<source address="([^"]+)"'))
    return now & later


def _ask_firewalld(host: Host, interface: str, method: str, *arguments: str) -> str:
    name = "org.fedoraproject.FirewallD1"
    return host.run("busctl", "call", name, "/org/fedoraproject/FirewallD1", f"{name}{interface}", method, *arguments)


def _quoted(text: str) -> List[str]:
    """The strings of what busctl prints: `as 2 "a" "b"`."""
    return re.findall(r'"([^"]*)"', text)


def _zone_file(host: Host, zone: str, pattern: str) -> List[Any]:
    for folder in ("/etc/firewalld/zones", "/usr/lib/firewalld/zones"):
        text = host.read(f"{folder}/{zone}.xml")
        if text is not None:
            return re.findall(pattern, text)
    return []


def _firewalld(host: Host, verb: str, openings: Sequence[str]) -> None:
    ports = [f"--{verb}-port={one}" for one in openings if not _is_source(one)]
    sources = [f"--{verb}-source={one}" for one in openings if _is_source(one)]
    for when in (("--permanent",), ()):
        if ports:
            host.run("firewall-cmd", "-q", *when, *ports)
        if sources:
            host.run("firewall-cmd", "-q", *when, "--zone=trusted", *sources)


def _ufw_open(host: Host) -> Set[str]:
    """What ufw's own rule files let in.  They are what it loads; the kernel has them after each of its commands."""
    out: Set[str] = set()
    for path in ("/etc/ufw/user.rules", "/etc/ufw/user6.rules"):
        for line in (host.read(path) or "").splitlines():
            found = re.match(r"### tuple ### allow (\S+) (\S+) (\S+) any (\S+) in\b", line)
            if found is None:
                continue
            protocol, port, target, source = found.groups()
            if target in ANYWHERE and port != "any" and source in ANYWHERE:
                out.add(f"{port.replace(':', '-')}/{protocol}")
            elif target in ANYWHERE and port == "any":
                out.add(source)
    return out


def _ufw(host: Host, verb: Sequence[str], openings: Sequence[str]) -> None:
    for one in openings:
        if _is_source(one):
            host.run("ufw", *verb, "allow", "from", one)
            for direction in ("from", "to"):
                host.run("ufw", "route", *verb, "allow", direction, one)
        else:
            host.run("ufw", *verb, "allow", one.replace("-", ":"))

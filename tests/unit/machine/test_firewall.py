# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Firewall openings, with what firewalld (by D-Bus and in its files) and ufw hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.module_utils._machine._firewall import Firewall, running
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine

SPEC = {"type": "firewall", "ports": ["6443/tcp", "30000-32767/udp"], "sources": ["10.244.0.0/16"]}
ALL = ["6443/tcp", "30000-32767/udp", "10.244.0.0/16"]


def firewall(**more: Any) -> Firewall:
    return Firewall({**SPEC, **more}, "n1")


def units(machine: Machine, active: bool) -> None:
    def show(argv: Sequence[str], stdin: str) -> str:
        names = argv[argv.index("--") + 1 :]
        return "\n\n".join(f"Id={name}\nActiveState={'active' if active else 'inactive'}" for name in names)

    machine.commands.on("systemctl show", show)


class Firewalld:
    """firewalld with a default zone `public`, open ports in memory and in files."""

    def __init__(self, machine: Machine) -> None:
        units(machine, True)
        self.machine = machine
        self.now: dict[str, list[str]] = {"public": ["22/tcp"], "trusted": []}
        self.later: dict[str, list[str]] = {"public": ["22/tcp"], "trusted": []}
        self.save()
        call = "busctl call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1"
        machine.commands.on(f"{call} getDefaultZone", 's "public"\n')
        machine.commands.on(f"{call}.zone getPorts s public", self.ports)
        machine.commands.on(f"{call}.zone getSources s trusted", self.sources)
        machine.commands.on("firewall-cmd -q", self.change)

    def ports(self, argv: Sequence[str], stdin: str) -> str:
        words = " ".join('2 "{}" "{}"'.format(*one.split("/")) for one in self.now["public"])
        return f"aas {len(self.now['public'])} {words}\n"

    def sources(self, argv: Sequence[str], stdin: str) -> str:
        return f"as {len(self.now['trusted'])} " + " ".join(f'"{one}"' for one in self.now["trusted"]) + "\n"

    def change(self, argv: Sequence[str], stdin: str) -> str:
        rules = self.later if "--permanent" in argv else self.now
        for word in argv:
            name, _, value = word.partition("=")
            if name in ("--add-port", "--add-source"):
                rules["trusted" if "--zone=trusted" in argv else "public"].append(value)
            if name in ("--remove-port", "--remove-source"):
                rules["trusted" if "--zone=trusted" in argv else "public"].remove(value)
        self.save()
        return ""

    def save(self) -> None:
        rows = "".join('  <port port="{}" protocol="{}"/>\n'.format(*one.split("/")) for one in self.later["public"])
        self.machine.put("/etc/firewalld/zones/public.xml", f'<zone>\n  <service name="ssh"/>\n{rows}</zone>\n')
        rows = "".join(f'  <source address="{one}"/>\n' for one in self.later["trusted"])
        self.machine.put("/usr/lib/firewalld/zones/trusted.xml", f'<zone target="ACCEPT">\n{rows}</zone>\n')


def test_firewalld(machine: Machine) -> None:
    service = Firewalld(machine)
    outcome = reconcile([firewall()], check=False)
    assert outcome.failed == ""
    assert [(change.field[0], change.before, change.after) for change in outcome.changes] == [
        (one, ABSENT, "open") for one in ALL
    ]
    assert service.now == service.later == {"public": ["22/tcp", *ALL[:2]], "trusted": [ALL[2]]}
    assert reconcile([firewall()], check=True).changes == []

    before = {change.field: change.before for change in outcome.changes}
    (back,) = Firewall.undo("ports", before, {})
    assert reconcile([Firewall(back)], check=False).failed == ""
    assert service.now == service.later == {"public": ["22/tcp"], "trusted": []}


def test_open_only_until_a_restart_is_not_open(machine: Machine) -> None:
    service = Firewalld(machine)
    reconcile([firewall()], check=False)
    service.later["public"].remove("6443/tcp")
    service.save()
    machine.forget("firewall")
    assert [change.field for change in reconcile([firewall()], check=True).changes] == [("6443/tcp",)]


def test_undo_leaves_what_was_open_before(machine: Machine) -> None:
    service = Firewalld(machine)
    service.now["public"].append("6443/tcp")
    service.later["public"].append("6443/tcp")
    service.save()
    changes = reconcile([firewall()], check=False).changes
    (back,) = Firewall.undo("ports", {change.field: change.before for change in changes}, {})
    reconcile([Firewall(back)], check=False)
    assert service.now["public"] == ["22/tcp", "6443/tcp"]


@pytest.mark.parametrize(
    ("opened", "missing"),
    [
        ("6443-6444/tcp", []),
        ("1-65535/tcp", []),
        ("6443-6444/udp", ["6443/tcp"]),
        ("6444-6450/tcp", ["6443/tcp"]),
        ("443/tcp", ["6443/tcp"]),
    ],
)
def test_a_port_inside_an_open_range_is_open(machine: Machine, opened: str, missing: list[str]) -> None:
    service = Firewalld(machine)
    for rules in (service.now, service.later):
        rules["public"].append(opened)
    service.save()
    spec = {"type": "firewall", "ports": ["6443/tcp"]}
    assert [change.field[0] for change in reconcile([Firewall(spec)], check=True).changes] == missing


UFW = """\
*filter
:ufw-user-input - [0:0]
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw-user-input -p tcp --dport 22 -j ACCEPT
### tuple ### allow tcp 6443 0.0.0.0/0 any 192.168.0.0/16 in
### tuple ### deny udp 30000:32767 0.0.0.0/0 any 0.0.0.0/0 in
"""
OURS = """\
### tuple ### allow tcp 6443 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow udp 30000:32767 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any any 0.0.0.0/0 any 10.244.0.0/16 in
### tuple ### route:allow any any 0.0.0.0/0 any 10.244.0.0/16 in
"""


def test_ufw(machine: Machine) -> None:
    units(machine, False)
    machine.put("/etc/ufw/ufw.conf", "# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n")
    machine.put("/etc/ufw/user.rules", UFW)
    machine.commands.on("ufw", "Rule added")
    machine.commands.on("ufw route allow to", lambda argv, stdin: str(machine.put("/etc/ufw/user.rules", UFW + OURS)))
    outcome = reconcile([firewall()], check=False)
    assert outcome.failed == ""
    assert [change.field[0] for change in outcome.changes] == ALL
    assert [call for call in machine.commands.calls if call.startswith("ufw")] == [
        "ufw allow 6443/tcp",
        "ufw allow 30000:32767/udp",
        "ufw allow from 10.244.0.0/16",
        "ufw route allow from 10.244.0.0/16",
        "ufw route allow to 10.244.0.0/16",
    ]
    machine.commands.calls.clear()
    machine.commands.on("ufw route delete allow to", lambda argv, stdin: str(machine.put("/etc/ufw/user.rules", UFW)))
    (back,) = Firewall.undo("ports", {change.field: change.before for change in outcome.changes}, {})
    assert reconcile([Firewall(back)], check=False).failed == ""
    assert "ufw delete allow 6443/tcp" in machine.commands.calls
    assert "ufw route delete allow from 10.244.0.0/16" in machine.commands.calls


def test_without_a_firewall_nothing_is_done(machine: Machine) -> None:
    units(machine, False)
    machine.put("/etc/ufw/ufw.conf", "ENABLED=no\n")
    machine.put("/etc/ufw/user.rules", UFW)
    assert running(machine) == "none"
    assert reconcile([firewall()], check=False).changes == []
    assert reconcile([firewall(state="absent")], check=False).changes == []

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Packages, with what apt and dnf of every supported system print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineError, Result
from ansible_collections.weft.platform.plugins.module_utils._machine._packages import MANAGERS, Package, newcomers
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine
from .test_os import ALMA_9, DEBIAN_12, DEBIAN_13, RHEL_9, ROCKY_9, UBUNTU_2204, UBUNTU_2404

APT_PLAN = """\
Reading package lists...
Building dependency tree...
Reading state information...
The following additional packages will be installed:
  libnetfilter-conntrack3 libnfnetlink0
The following NEW packages will be installed:
  conntrack libnetfilter-conntrack3 libnfnetlink0 socat
The following packages will be upgraded:
  libssl3
1 upgraded, 4 newly installed, 0 to remove and 0 not upgraded.
Inst libssl3 [3.0.14-1] (3.0.15-1~deb12u1 Debian:12.8/stable [amd64])
Inst libnfnetlink0 (1.0.2-2 Debian:12.15/oldstable [amd64])
Inst libnetfilter-conntrack3 (1.0.9-3 Debian:12.15/oldstable [amd64])
Inst conntrack (1:1.4.7-1+b2 Debian:12.15/oldstable [amd64])
Inst socat (1.7.4.4-2 Debian:12.15/oldstable [amd64])
Conf libnfnetlink0 (1.0.2-2 Debian:12.15/oldstable [amd64])
Conf socat (1.7.4.4-2 Debian:12.15/oldstable [amd64])
"""
DNF_PLAN = """\
Last metadata expiration check: 0:12:03 ago on Mon Nov 23 08:00:00 2026.
Dependencies resolved.
================================================================================
 Package                    Arch     Version            Repository        Size
================================================================================
Installing:
 conntrack-tools            x86_64   1.4.7-2.el9        appstream        234 k
 socat                      x86_64   1.7.4.1-5.el9      appstream        300 k
Upgrading:
 openssl-libs               x86_64   1:3.2.2-6.el9      baseos           2.1 M
Installing dependencies:
 libnetfilter_cthelper      x86_64   1.0.0-22.el9       appstream         23 k
 libnetfilter_queue         noarch   1.0.5-1.el9        appstream         28 k

Transaction Summary
================================================================================
Install  4 Packages
Upgrade  1 Package

Total download size: 600 k
Operation aborted.
"""
CONNTRACK = {"type": "package", "name": "conntrack", "apt": "conntrack", "dnf": "conntrack-tools"}
SOCAT = {"type": "package", "name": "socat"}


class Archive:
    """apt's or dnf's answers over a set of installed packages."""

    def __init__(self, machine: Machine, kind: str, release: str, have: Sequence[str]) -> None:
        self.have = set(have)
        self.tool = MANAGERS[kind]
        self.machine = machine
        machine.put("/etc/os-release", release)
        on = machine.commands.on
        on(" ".join(self.tool.listing[:2]), self.listing)
        on(" ".join(self.tool.install), self.install)
        on(" ".join(self.tool.remove), self.remove)
        on(" ".join(self.tool.plan), APT_PLAN if kind == "apt" else Result(1, DNF_PLAN))
        on(" ".join(self.tool.refresh))

    def listing(self, argv: Sequence[str], stdin: str) -> Result:
        names = argv[len(self.tool.listing) :]
        if self.tool is MANAGERS["apt"]:
            rows = [
                f"ii  {name}:amd64" if name.startswith("lib") else f"ii  {name}" for name in names if name in self.have
            ]
            rows += [f"rc  {name}" for name in names if name == "removed-before"]
        else:
            rows = [name if name in self.have else f"package {name} is not installed" for name in names]
        return Result(1, "\n".join(rows) + "\n", "dpkg-query: no packages found matching ...")

    def install(self, argv: Sequence[str], stdin: str) -> Result:
        self.have.update(argv[len(self.tool.install) :])
        return Result(0)

    def remove(self, argv: Sequence[str], stdin: str) -> Result:
        self.have.difference_update(argv[len(self.tool.remove) :])
        return Result(0)


SYSTEMS = {
    "debian-12": ("apt", DEBIAN_12),
    "debian-13": ("apt", DEBIAN_13),
    "ubuntu-22.04": ("apt", UBUNTU_2204),
    "ubuntu-24.04": ("apt", UBUNTU_2404),
    "rhel-9": ("dnf", RHEL_9),
    "rocky-9": ("dnf", ROCKY_9),
    "alma-9": ("dnf", ALMA_9),
}


@pytest.mark.parametrize(("kind", "release"), SYSTEMS.values(), ids=SYSTEMS)
def test_all_that_wait_come_in_one_transaction(machine: Machine, kind: str, release: str) -> None:
    archive = Archive(machine, kind, release, [])
    outcome = reconcile([Package(CONNTRACK), Package(SOCAT)], check=False)
    assert outcome.failed == ""
    assert [(change.subject.name, change.before, change.after) for change in outcome.changes] == [
        ("conntrack", ABSENT, "installed"),
        ("socat", ABSENT, "installed"),
    ]
    name = "conntrack" if kind == "apt" else "conntrack-tools"
    assert archive.have == {name, "socat"}
    installs = [call for call in machine.commands.calls if call.startswith(" ".join(archive.tool.install))]
    assert [call.split()[-2:] for call in installs] == [[name, "socat"]]


@pytest.mark.parametrize(("kind", "release"), SYSTEMS.values(), ids=SYSTEMS)
def test_one_question_for_all(machine: Machine, kind: str, release: str) -> None:
    Archive(machine, kind, release, ["conntrack", "conntrack-tools", "socat"])
    assert reconcile([Package(CONNTRACK), Package(SOCAT)], check=True).changes == []
    assert len(machine.commands.calls) == 1


@pytest.mark.parametrize(
    ("kind", "release", "ours", "wanted"),
    [
        ("apt", DEBIAN_12, ["conntrack", "socat"], ["libnfnetlink0", "libnetfilter-conntrack3"]),
        ("dnf", ROCKY_9, ["conntrack-tools", "socat"], ["libnetfilter_cthelper", "libnetfilter_queue"]),
    ],
)
def test_newcomers(machine: Machine, kind: str, release: str, ours: list[str], wanted: list[str]) -> None:
    Archive(machine, kind, release, ["openssl-libs", "libssl3"])
    assert newcomers(machine, ours) == wanted


@pytest.mark.parametrize(
    ("kind", "release", "going"),
    [
        ("apt", DEBIAN_12, "Purg socat [1.7]\nPurg conntrack [1.4]\nPurg libnfnetlink0 [1.0.2-2]\n"),
        ("dnf", ALMA_9, " socat  x86_64  1.7  @appstream 1 M\n conntrack-tools  x86_64 1.4 @appstream 5 k\n"),
    ],
)
def test_undo_removes_what_came(machine: Machine, kind: str, release: str, going: str) -> None:
    archive = Archive(machine, kind, release, [])
    resources = [Package(CONNTRACK), Package(SOCAT)]
    for one in resources:
        one.changes(one.observe())
    kept = [one.keep() for one in resources]
    reconcile(resources, check=False)
    archive.have.update(kept[0]["with"])
    archive.have.add("vim")
    machine.forget("packages")
    machine.commands.on(" ".join(archive.tool.plan_removal), going)
    specs = [Package.undo(one.name, {(): ABSENT}, keep)[0] for one, keep in zip(resources, kept)]
    assert reconcile([Package(spec) for spec in specs], check=False).failed == ""
    assert archive.have == {"vim"}
    assert reconcile([Package(spec) for spec in specs], check=True).changes == []


def test_what_others_need_now_stays(machine: Machine) -> None:
    archive = Archive(machine, "apt", DEBIAN_12, ["conntrack", "libnfnetlink0", "firewalld"])

    def plan(argv: Sequence[str], stdin: str) -> str:
        names = list(argv[len(archive.tool.plan_removal) :])
        return "".join(f"Purg {name} [1]\n" for name in names + (["firewalld"] if "libnfnetlink0" in names else []))

    machine.commands.on(" ".join(archive.tool.plan_removal), plan)
    spec = {"type": "package", "name": "conntrack", "apt": "conntrack", "state": "absent", "with": ["libnfnetlink0"]}
    assert reconcile([Package(spec, "n1")], check=False).failed == ""
    assert archive.have == {"libnfnetlink0", "firewalld"}
    assert machine.notes[0]["message"] == "libnfnetlink0 stay installed, because firewalld need them now"


def test_a_package_that_was_removed_before_is_not_there(machine: Machine) -> None:
    Archive(machine, "apt", DEBIAN_12, [])
    assert Package({"type": "package", "name": "removed-before"}).observe() is ABSENT


@pytest.mark.parametrize(
    ("kind", "release", "words"),
    [
        ("apt", UBUNTU_2404, "E: Unable to locate package conntrack"),
        ("apt", DEBIAN_12, "Err:1 http://archive.example Temporary failure resolving 'archive.example'"),
        ("dnf", RHEL_9, "Error: Unable to find a match: conntrack-tools"),
        ("dnf", ROCKY_9, "Error: Failed to download metadata for repo 'baseos'"),
    ],
)
def test_without_an_archive_the_way_out_is_told(machine: Machine, kind: str, release: str, words: str) -> None:
    archive = Archive(machine, kind, release, [])
    machine.commands.on(" ".join(archive.tool.install), Result(100, "", words))
    failed = reconcile([Package(CONNTRACK, "n1")], check=False).failed
    assert words in failed
    assert "beforehand (in the machine image)" in failed
    assert " ".join(archive.tool.refresh) in machine.commands.calls


def test_a_broken_package_manager_is_told(machine: Machine) -> None:
    archive = Archive(machine, "apt", DEBIAN_12, [])
    words = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'"
    machine.commands.on(" ".join(archive.tool.install), Result(100, "", words))
    failed = reconcile([Package(CONNTRACK, "n1")], check=False).failed
    assert failed == f"package:conntrack@n1: conntrack cannot be installed: {words}. Repair the package manager " + (
        "on the machine, and run again"
    )


def test_old_lists_are_refreshed_once(machine: Machine) -> None:
    archive = Archive(machine, "apt", DEBIAN_12, [])
    tries: list[Any] = []

    def install(argv: Sequence[str], stdin: str) -> Result:
        tries.append(argv)
        return Result(100, "", "404 Not Found") if len(tries) == 1 else archive.install(argv, stdin)

    machine.commands.on(" ".join(archive.tool.install), install)
    assert reconcile([Package(CONNTRACK)], check=False).failed == ""


def test_another_system(machine: Machine) -> None:
    machine.put("/etc/os-release", "ID=arch\n")
    with pytest.raises(MachineError, match="not one of Debian 12 and 13"):
        reconcile([Package(CONNTRACK)], check=True)

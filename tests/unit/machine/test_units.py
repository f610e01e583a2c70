# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""systemd units: states, owed restarts, and one question for all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._machine._files import File
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Result
from ansible_collections.weft.platform.plugins.module_utils._machine._units import Unit, timestamp
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%a %Y-%m-%d %H:%M:%S.%f UTC") if seconds else ""


class Systemd:
    """A service manager over a few units, which does as it is told."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.units: dict[str, dict[str, Any]] = {}
        self.fails = ""
        self.reloads = 0
        on = machine.commands.on
        on("systemctl show", self.show)
        on("systemctl daemon-reload", self.reload)
        for verb in ("enable", "disable", "start", "stop", "try-restart"):
            on(f"systemctl {verb}", self.do)
        on("journalctl", "level=fatal msg=broken\nMain process exited\n")

    def add(self, name: str, running: bool = False, enabled: bool = False, started: float = 0.0, **more: Any) -> None:
        self.units[name] = {"running": running, "enabled": enabled, "started": started, **more}

    def show(self, argv: Sequence[str], stdin: str) -> str:
        blocks = []
        for name in argv[argv.index("--") + 1 :]:
            unit = self.units.get(name)
            rows = {"Id": name, "LoadState": "loaded" if unit else "not-found"}
            unit = unit or {}
            rows["ActiveState"] = unit.get("state") or ("active" if unit.get("running") else "inactive")
            rows["UnitFileState"] = "enabled" if unit.get("enabled") else ("disabled" if unit else "")
            rows["NeedDaemonReload"] = unit.get("reload", "no")
            rows["FragmentPath"] = unit.get("path", "")
            rows["ExecMainStartTimestamp"] = stamp(unit.get("started", 0))
            blocks.append("\n".join(f"{key}={value}" for key, value in rows.items()))
        return "\n\n".join(blocks) + "\n"

    def reload(self, argv: Sequence[str], stdin: str) -> str:
        self.reloads += 1
        for unit in self.units.values():
            unit["reload"] = "no"
        return ""

    def do(self, argv: Sequence[str], stdin: str) -> Result:
        verb, name = argv[1], argv[2]
        if verb == self.fails:
            return Result(1, "", f"Job for {name} failed because the control process exited with error code.")
        unit = self.units.setdefault(name, {})
        if verb in ("enable", "disable"):
            unit["enabled"] = verb == "enable"
        elif verb != "try-restart" or unit.get("running"):
            unit["running"] = verb != "stop"
            unit["started"] = self.machine.now()
        return Result(0)


@pytest.fixture
def systemd(machine: Machine) -> Systemd:
    return Systemd(machine)


def unit(name: str = "a.service", **spec: Any) -> Unit:
    return Unit({"type": "unit", "name": name, "enabled": True, "running": True, **spec}, "n1")


def found(outcome: Any) -> list[tuple[Any, ...]]:
    return [(change.field[0], change.before, change.after, change.cost) for change in outcome.changes]


def test_a_new_unit(machine: Machine, systemd: Systemd) -> None:
    planned = reconcile([unit(config=["/etc/a"])], check=True)
    made = reconcile([unit(config=["/etc/a"])], check=False)
    assert found(planned) == found(made) == [("enabled", False, True, ""), ("running", False, True, "")]
    assert made.failed == ""
    assert reconcile([unit(config=["/etc/a"])], check=True).changes == []


def test_one_question_for_all(machine: Machine, systemd: Systemd) -> None:
    for name in "abc":
        systemd.add(f"{name}.service", running=True, enabled=True)
    assert reconcile([unit(f"{name}.service") for name in "abc"], check=True).changes == []
    assert len(machine.commands.calls) == 1


def test_what_is_null_is_not_managed(systemd: Systemd) -> None:
    systemd.add("a.service", running=True)
    assert reconcile([unit(enabled=None)], check=True).changes == []
    assert reconcile([unit(running=None, enabled=False)], check=True).changes == []


@pytest.mark.parametrize("state", ["activating", "failed", "deactivating"])
def test_what_crashes_again_and_again_does_not_run(systemd: Systemd, state: str) -> None:
    systemd.add("a.service", enabled=True, state=state)
    assert found(reconcile([unit()], check=True)) == [("running", False, True, "")]


def test_a_restart_is_owed(machine: Machine, systemd: Systemd) -> None:
    """Killed between the write of the file and the restart: the next run sees it, and says what it costs."""
    machine.put("/etc/a", "")
    systemd.add("a.service", running=True, enabled=True, started=os.stat(machine.at("/etc/a")).st_ctime - 1)
    spec: dict[str, Any] = {"config": ["/etc/a", "/etc/none"]}
    assert found(reconcile([unit(**spec)], check=True)) == [("restart_owed", True, False, "restart a.service")]
    assert reconcile([unit(**spec)], check=False).failed == ""
    machine.forget("units")
    assert reconcile([unit(**spec)], check=True).changes == []
    systemd.add("a.service", enabled=True, started=1)
    machine.forget("units")
    assert found(reconcile([unit(running=None, **spec)], check=True)) == []


def test_its_own_unit_file_counts(machine: Machine, systemd: Systemd) -> None:
    machine.put("/etc/systemd/system/a.service", "")
    at = "/etc/systemd/system/a.service"
    systemd.add("a.service", running=True, enabled=True, started=1000, path=at, reload="yes")
    assert reconcile([unit(config=["/etc/a"])], check=False).failed == ""
    assert systemd.reloads == 1
    assert systemd.units["a.service"]["started"] > 1000


def test_a_file_from_the_future_owes_nothing(
    machine: Machine, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put("/etc/a", "")
    systemd.add("a.service", running=True, enabled=True, started=500)
    monkeypatch.setattr(machine, "now", lambda: 1000.0)
    assert reconcile([unit(config=["/etc/a"])], check=True).changes == []


def test_a_file_of_the_same_run_restarts_it_once(machine: Machine, systemd: Systemd) -> None:
    systemd.add("a.service", running=True, enabled=True, started=1)
    file = {"type": "file", "path": "/etc/systemd/system/a.service", "content": "x", "notify": ["a.service"]}
    resources = [File(file), unit(config=["/etc/systemd/system/a.service"])]
    assert reconcile(resources, check=False).failed == ""
    assert [call.split()[1] for call in machine.commands.calls if "show" not in call] == [
        "daemon-reload",
        "try-restart",
    ]


def test_what_was_just_started_is_not_restarted(machine: Machine, systemd: Systemd) -> None:
    file = {"type": "file", "path": "/etc/a", "content": "x", "notify": ["a.service"]}
    assert reconcile([File(file), unit(config=["/etc/a"])], check=False).failed == ""
    assert "systemctl try-restart a.service" not in machine.commands.calls


def test_enabling_with_a_changed_file_restarts_it(machine: Machine, systemd: Systemd) -> None:
    systemd.add("a.service", running=True, enabled=False, started=1)
    file = {"type": "file", "path": "/etc/a", "content": "x", "notify": ["a.service"]}
    assert reconcile([File(file), unit(config=["/etc/a"])], check=False).failed == ""
    assert machine.commands.calls.count("systemctl try-restart a.service") == 1


def test_a_stopped_unit_is_not_started_by_notice(machine: Machine, systemd: Systemd) -> None:
    systemd.add("a.service", enabled=True)
    file = {"type": "file", "path": "/etc/a", "content": "x", "notify": ["a.service"]}
    assert reconcile([File(file), unit(running=None)], check=False).failed == ""
    assert not systemd.units["a.service"]["running"]


@pytest.mark.parametrize(("running", "cost"), [(True, "restart a.service"), (False, "")])
def test_a_restart_costs_only_where_the_unit_runs(machine: Machine, systemd: Systemd, running: bool, cost: str) -> None:
    systemd.add("a.service", running=running, enabled=True)
    file = File({"type": "file", "path": "/etc/a", "content": "x", "notify": ["a.service"]})
    assert [one.cost for one in reconcile([file], check=True).changes] == [cost]


def test_when_exists(machine: Machine, systemd: Systemd) -> None:
    spec: dict[str, Any] = {"when_exists": "/var/lib/kubelet/config.yaml", "config": ["/etc/a"]}
    assert found(reconcile([unit(**spec)], check=True)) == [("enabled", False, True, "")]
    waiting = unit(**spec)
    waiting.observe()
    machine.put("/var/lib/kubelet/config.yaml", "")
    assert waiting.observe() == {"enabled": False}  # the run that makes it also starts the unit
    assert unit(**spec).observe() == {"enabled": False, "running": False, "restart_owed": False}


def test_a_unit_that_does_not_start_tells_its_journal(systemd: Systemd) -> None:
    systemd.fails = "start"
    assert reconcile([unit()], check=False).failed == (
        "unit:a.service@n1: a.service does not start: Job for a.service failed because the control process exited with "
        "error code.. Its journal ends: level=fatal msg=broken | Main process exited"
    )


def test_undo(machine: Machine, systemd: Systemd) -> None:
    one = unit("kubelet.service", running=None)
    kept = one.keep()
    assert kept == {"enabled": False, "running": False}
    reconcile([one], check=False)
    systemd.units["kubelet.service"]["running"] = True  # kubeadm started it
    (back,) = Unit.undo("kubelet.service", {("enabled",): False}, kept)
    machine.forget("units")
    assert reconcile([Unit(back)], check=False).failed == ""
    assert systemd.units["kubelet.service"]["enabled"] is systemd.units["kubelet.service"]["running"] is False


def test_undo_of_containerd_ends_its_containers_after_it() -> None:
    kept = {"enabled": False, "running": False}
    specs = Unit.undo("containerd.service", {("running",): False}, kept)
    assert [spec["type"] for spec in specs] == ["unit", "containers", "network"]
    theirs = Unit.undo("containerd.service", {("enabled",): False}, {"enabled": False, "running": True})
    assert [spec["type"] for spec in theirs] == ["unit"]
    assert Unit.undo("containerd.service", {("restart_owed",): True}, kept) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Mon 2026-11-23 09:10:56.033197 UTC", 1795425056.033197),
        ("Mon 2026-11-23 09:10:56 UTC", 1795425057.0),
        ("", 0.0),
        ("n/a", 0.0),
        ("Mon 2026-11-23 09:10:56 CET", 0.0),
    ],
)
def test_timestamp(text: str, seconds: float) -> None:
    assert timestamp(text) == pytest.approx(seconds, abs=1e-6)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The ledger: first values only, safe before the Change, readable after a kill; and the way back that it gives."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Subject
from ansible_collections.weft.platform.plugins.module_utils._machine import RESOURCES, MachineError
from ansible_collections.weft.platform.plugins.module_utils._machine._files import File
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import LEDGER, Ledger
from ansible_collections.weft.platform.plugins.module_utils._machine._undo import finish, undo_specs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Machine


def change(field: tuple[str, ...], before: Any, after: Any, name: str = "/a") -> Change:
    return Change(Subject("file", name, "n1"), field, before, after)


def file(name: str = "/a") -> File:
    return File({"type": "file", "path": name, "content": ""}, "n1")


def test_only_first_values_are_kept(machine: Machine) -> None:
    machine.put("/a", "one")
    ledger = Ledger(machine)
    ledger.record(file(), [change(("content",), "one", "two")])
    ledger.record(file(), [change(("content",), "two", "three"), change(("mode",), "0600", "0644")])
    ledger.record(file(), [change((), ABSENT, {"content": "three"})])
    entry = Ledger(machine).entries[("file", "/a")]
    # That it was gone for a while matters to nobody: what counts is the copy of the very first.
    assert entry.before == {("content",): "one", ("mode",): "0600", (): ABSENT}
    assert entry.kept == {"mode": "0644", "owner": "", "copy": "/var/lib/weft/kept/0001"}
    assert os.listdir(machine.at("/var/lib/weft/kept")) == ["0001"]
    assert os.stat(machine.at(LEDGER)).st_mode & 0o777 == 0o600
    assert os.stat(machine.at("/var/lib/weft")).st_mode & 0o777 == 0o700


def test_our_own_secret_is_never_in_it(machine: Machine) -> None:
    ledger = Ledger(machine)
    secret = File({"type": "file", "path": "/a", "content": "ours-1", "secret": True}, "n1")
    ledger.record(secret, secret.changes(secret.observe()))
    machine.put("/a", "ours-1")
    newer = File({"type": "file", "path": "/a", "content": "ours-2", "secret": True}, "n1")
    ledger.record(newer, newer.changes(newer.observe()))
    assert "ours" not in (machine.read(LEDGER) or "")
    assert Ledger(machine).entries[("file", "/a")].secret


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(cut=st.integers(0, 400))
def test_a_line_cut_short_by_a_kill_counts_as_never_written(machine: Machine, cut: int) -> None:
    machine.unlink(LEDGER)
    ledger = Ledger(machine)
    for name in "abc":
        ledger.record(file(f"/{name}"), [change((), ABSENT, {}, f"/{name}")])
    whole = machine.read(LEDGER) or ""
    os.truncate(machine.at(LEDGER), min(cut, len(whole)))
    again = Ledger(machine)
    lines = whole[:cut].count("\n")
    assert len(again.entries) == lines
    again.record(file("/d"), [change((), ABSENT, {}, "/d")])
    rows = [json.loads(line) for line in (machine.read(LEDGER) or "").splitlines()]
    assert [row["name"] for row in rows] == [*[f"/{name}" for name in "abc"[:lines]], "/d"]


def test_a_broken_line_is_told(machine: Machine) -> None:
    machine.put(LEDGER, '{"baseline": {}}\nnonsense\n')
    with pytest.raises(MachineError, match=r"ledger\.jsonl line 2 cannot be read"):
        Ledger(machine)


def test_what_cannot_be_recorded_is_not_changed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    ledger = Ledger(machine)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"No space left on device.*make room"):
        ledger.record(file(), [change((), ABSENT, {})])


def test_the_way_back_is_newest_first_and_ends_with_what_was_made_by_others(machine: Machine) -> None:
    ledger = Ledger(machine)
    ledger.append(
        [
            {
                "baseline": {
                    "absent": ["/etc/cni", "/a"],
                    "empty": {"/var/lib/etcd": "0700"},
                    "tables": ["ip nat"],
                    "addresses": ["127.0.0.1", "10.0.0.5"],
                    "sysctls": {"vm.x": "2", "vm.y": "3"},
                }
            }
        ]
    )
    ledger.append(
        [
            {"type": "file", "name": "/a", "field": [], "kept": {}},
            {"type": "sysctl", "name": "vm.x", "field": [], "before": "1", "kept": {}},
            {"type": "unit", "name": "containerd.service", "field": ["running"], "before": False,
             "kept": {"enabled": False, "running": False}},
            {"type": "image", "name": "pause", "field": [], "kept": {}},
            {"type": "static_pods", "name": "control-plane", "field": [], "kept": {}},
            {"type": "file", "name": "/b", "field": ["content"], "before": "x", "secret": True,
             "kept": {"mode": "0600", "owner": "", "copy": "/var/lib/weft/kept/0001"}},
        ]
    )  # fmt: skip
    given_: list[Any] = [
        {"type": "worker", "name": "n1"},
        {"type": "network", "name": "leftovers", "addresses": ["10.0.0.9", "10.0.0.5"]},
    ]
    assert undo_specs(Ledger(machine), RESOURCES, given_) == [
        {"type": "worker", "name": "n1"},
        {"type": "file", "path": "/b", "mode": "0600", "copy": "/var/lib/weft/kept/0001", "secret": True},
        {"type": "unit", "name": "containerd.service", "enabled": False, "running": False},
        {"type": "containers", "name": "k8s.io"},
        {"type": "network", "name": "leftovers", "addresses": ["10.0.0.9"], "tables": ["ip nat"]},
        {"type": "sysctl", "name": "vm.x", "value": "1"},
        {"type": "file", "path": "/a", "state": "absent"},
        {"type": "directory", "path": "/etc/cni", "state": "absent"},
        {"type": "directory", "path": "/var/lib/etcd", "state": "empty", "mode": "0700"},
        {"type": "sysctl", "name": "vm.y", "value": "3"},
    ]


def test_finish_takes_folders_that_were_only_on_the_way(machine: Machine) -> None:
    for folder in ("/opt/x/y", "/opt/used"):
        os.makedirs(machine.at(folder))
    machine.put("/opt/used/theirs", "")
    ledger = Ledger(machine)
    ledger.append(
        [
            {"type": "file", "name": "/opt/x/y/f", "field": [], "kept": {"parents": ["/opt/x", "/opt/x/y"]}},
            {"type": "file", "name": "/opt/used/f", "field": [], "kept": {"parents": ["/opt/used"]}},
        ]
    )
    finish(machine, ledger)
    assert os.listdir(machine.at("/opt")) == ["used"]
    assert not Path(machine.at("/var/lib/weft")).exists()


def test_what_was_kept_first_is_not_overwritten(machine: Machine) -> None:
    """A unit that we started, found owing a restart later: undo stops it all the same."""
    shown = {"UnitFileState": "disabled", "ActiveState": "inactive"}
    machine.commands.on("systemctl show", lambda argv, stdin: "\n".join(f"{k}={v}" for k, v in shown.items()) + "\n")
    unit = RESOURCES["unit"]({"type": "unit", "name": "a.service", "enabled": True, "running": True}, "n1")
    ledger = Ledger(machine)
    ledger.record(unit, [Change(unit.subject, ("enabled",), False, True)])
    shown.update(UnitFileState="enabled", ActiveState="active")
    machine.forget("units")
    ledger.record(unit, [Change(unit.subject, ("restart_owed",), True, False)])
    assert undo_specs(Ledger(machine), RESOURCES) == [
        {"type": "unit", "name": "a.service", "enabled": False, "running": False}
    ]

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""systemd units.  All that a run asks about are shown by one command."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    Before,
    Host,
    MachineError,
    MachineResource,
)

PROPERTIES = (
    "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths,"
    "ExecMainStartTimestamp,ActiveEnterTimestamp"
)
#: UnitFileState values of a unit that starts by itself or needs no enabling (systemctl(1), is-enabled).
ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked", "transient")
RUNNING = ("active", "reloading", "refreshing")
START_TIMEOUT = 300

#: Units whose stop leaves something running or lying about that is theirs.
LEFTOVERS = {"containerd.service": ({"type": "containers", "name": "k8s.io"}, {"type": "network", "name": "leftovers"})}


class Unit(MachineResource):
    """A systemd unit.

    spec      {name, enabled: bool|null, running: bool|null, config: [paths], when_exists: path}; null is not managed.
              A running unit that is older than one of `config`, or than its own unit files, is owed a restart.  Only
              `enabled` is managed while `when_exists` is not there
    observed  {"enabled": bool, "running": bool, "restart_owed": bool}, each where it is managed (`restart_owed` with
              `config`); a unit that does not exist is neither enabled nor running
    """

    type = "unit"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        self._fresh = False
        self._managed: Tuple[str, ...] = ()
        self.host.ask("units", self.name)

    def look(self) -> Value:
        """As systemd shows it."""
        shown = show(self.host, self.name)
        running = shown.get("ActiveState") in RUNNING
        ask: Dict[str, Callable[[], Value]] = {
            "enabled": lambda: shown.get("UnitFileState") in ENABLED,
            "running": lambda: running,
            "restart_owed": lambda: running and self._owed(shown),
        }
        return {key: ask[key]() for key in self.managed}

    @property
    def managed(self) -> Tuple[str, ...]:
        """Keys of the observed value.  Settled at the first look: a run that makes `when_exists` true does its own."""
        if not self._managed:
            keys = [key for key in ("enabled", "running") if self.spec.get(key) is not None]
            keys += ["restart_owed"] if self.spec.get("config") else []
            waits = self.spec.get("when_exists") and not self.host.exists(str(self.spec["when_exists"]))
            self._managed = tuple(key for key in keys if key == "enabled" or not waits)
        return self._managed

    def _owed(self, shown: Mapping[str, str]) -> bool:
        """Whether a file that the unit reads is newer than its start.

        The times are those that the machine's clock showed when each happened, so a clock that was set since does not
        matter.  A file from the future tells nothing: it would owe a restart again and again.
        """
        start = timestamp(shown.get("ExecMainStartTimestamp", "")) or timestamp(shown.get("ActiveEnterTimestamp", ""))
        if not start:
            return False
        paths = [*self.spec["config"], shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
        infos = [self.host.stat(path) for path in paths if path]
        return any(info is not None and start < info.st_ctime <= self.host.now() for info in infos)

    def desired(self) -> Value:
        """The spec, in the shape of what is observed."""
        return {key: key != "restart_owed" and bool(self.spec[key]) for key in self.managed}

    def changes(self, observed: Value) -> List[Change]:
        """Adds the cost of an owed restart."""
        cost = ", ".join(filter(None, [self.cost, f"restart {self.name}"]))
        return [
            Change(one.subject, one.field, one.before, one.after, cost, one.secret, one.origin)
            if one.field == ("restart_owed",)
            else one
            for one in super().changes(observed)
        ]

    def make(self, changes: Sequence[Change]) -> None:
        """Enable or disable, start or stop, restart where it is owed."""
        reload_if_owed(self.host)
        fields = {change.field: change.after for change in changes}
        if ("enabled",) in fields:
            self._call("enable" if fields[("enabled",)] else "disable")
        if ("running",) in fields:
            self._call("start" if fields[("running",)] else "stop")
            self._fresh = bool(fields[("running",)])
        self.host.forget("units")
        # A file may have been changed since the unit was looked at, by this very run.
        if self.look().get("restart_owed"):
            self._restart()

    def notified(self, units: Sequence[str], changed: bool) -> None:
        """Restart it if it runs, unless this run started it after the files were in place."""
        if self.name not in units:
            return
        reload_if_owed(self.host)
        self.host.forget("units")
        stopped = show(self.host, self.name).get("ActiveState") in ("inactive", "failed")
        if not stopped and not (self._fresh and not self.look().get("restart_owed", False)):
            self._restart()

    def _restart(self) -> None:
        self._call("try-restart")
        self._fresh = True
        self.host.forget("units")

    def _call(self, verb: str) -> None:
        """systemctl, with the journal's last words when the unit does not do as it is told.

        Raises:
            MachineError: it failed.
        """
        done = self.host.attempt("systemctl", verb, self.name, timeout=START_TIMEOUT)
        if not done.code:
            return
        words = done.last_words
        if verb in ("start", "try-restart"):
            journal = self.host.attempt("journalctl", "-u", self.name, "-n", "6", "-o", "cat", "--no-pager")
            words = f"{words}. Its journal ends: {journal.last_words}" if journal.last_words else words
        raise MachineError(f"{self.name} does not {verb}: {words}")

    def keep(self) -> Dict[str, Value]:
        """Both states, also the one that is not managed: what is enabled here may be started by others."""
        shown = show(self.host, self.name)
        return {"enabled": shown.get("UnitFileState") in ENABLED, "running": shown.get("ActiveState") in RUNNING}

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """As enabled and as running as it was; what it leaves ends after it, so that it starts nothing meanwhile."""
        if not {("enabled",), ("running",)} & set(before):
            return []
        states = {key: bool(kept[key]) for key in ("enabled", "running")}
        leftovers = () if states["running"] else LEFTOVERS.get(name, ())
        return [{"type": cls.type, "name": name, **states}, *(dict(one) for one in leftovers)]


def show(host: Host, name: str) -> Dict[str, str]:
    """Properties of one unit; all announced ones are asked for at once."""
    host.ask("units", name)

    def ask() -> Dict[str, Dict[str, str]]:
        names = list(host.asked["units"])
        argv = ("systemctl", "show", "--timestamp=us+utc", "-p", PROPERTIES, "--", *names)
        blocks = [block for block in host.run(*argv).split("\n\n") if block.strip()]
        if len(blocks) != len(names):
            raise MachineError(f"systemctl shows {len(blocks)} units where {len(names)} were asked for")
        # In the order asked; Id would be the target of an alias.
        return {name: dict(_pairs(block)) for name, block in zip(names, blocks)}

    found: Dict[str, Dict[str, str]] = host.once("units", ask)
    return found[name]


def _pairs(block: str) -> List[List[str]]:
    return [line.split("=", 1) for line in block.strip().splitlines() if "=" in line]


def active(host: Host, name: str) -> bool:
    """Whether a unit runs."""
    return show(host, name).get("ActiveState") in RUNNING


def timestamp(text: str) -> float:
    """Seconds since the epoch of "Mon 2026-11-23 08:50:00.123456 UTC"; 0.0 for an empty or unknown one.

    Without a fraction the unit may have started at any point of that second; its end is taken, as a restart too many
    would be owed again at each look.
    """
    found = re.match(r"\w+ (\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(?:\.(\d+))? UTC$", text)
    if found is None:
        return 0.0
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    start = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    return start + (float(f"0.{found[7]}") if found[7] else 1.0)


def reload_if_owed(host: Host) -> None:
    """Have systemd read its unit files again, when one was changed."""
    if host.reload_owed or any(unit.get("NeedDaemonReload") == "yes" for unit in host.known("units", {}).values()):
        host.run("systemctl", "daemon-reload")
        host.reload_owed = False
        host.forget("units")

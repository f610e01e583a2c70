# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_report/_progress: a line for each phase of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: A line for each phase of a run
version_added: 0.1.0
description:
  - Shows a line for each play that has something to do, with its time and the state of its machines. On a terminal the
    line lives while the play goes on.
  - Shows failures in full, once, and the plan as M(weft.platform.plan) prints it. Says nothing of what went well.
  - Results of tasks with C(no_log) are never shown.
requirements:
  - Set as C(stdout_callback) in the configuration, or with E(ANSIBLE_STDOUT_CALLBACK).
author:
  - the weft.platform authors (@weft-platform)
"""

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.utils.color import ANSIBLE_COLOR, stringc
from ansible_collections.weft.platform.plugins.plugin_utils._report import _progress

_COLOURS = (
    (re.compile(r"^  \+ .*", re.M), "green"),
    (re.compile(r"^  ~ .*", re.M), "yellow"),
    (re.compile(r"^  - .*", re.M), "red"),
)


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.progress."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "weft.platform.progress"

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()
        self.phase: _progress.Phase | None = None
        self.is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        can_draw = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.marks = _progress.UNICODE if can_draw else _progress.ASCII
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self.broken: set[str] = set()
        self.left_out: dict[str, None] = {}
        if self.is_terminal:
            self._wrap_display()
            threading.Thread(target=self._animate, daemon=True).start()

    # --- the terminal ---

    def _wrap_display(self) -> None:
        """Everything that Ansible prints takes the living line away first; workers print through this process."""
        original: Callable[..., Any] = self._display.display

        def display(msg: str, color: str | None = None, *args: Any, **rest: Any) -> Any:
            if os.getpid() != self.pid:
                return original(msg, color, *args, **rest)
            with self.lock:
                self._write("\r\033[K")
                return original(self._coloured(msg) if color is None else msg, color, *args, **rest)

        self._display.display = display

    def _coloured(self, text: str) -> str:
        if not ANSIBLE_COLOR or "\033" in text:
            return text
        for pattern, colour in _COLOURS:
            text = pattern.sub(lambda found, colour=colour: stringc(found[0], colour), text)  # type: ignore[misc]  # bound now
        return text

    def _animate(self) -> None:
        while True:
            time.sleep(0.2)
            with self.lock:
                if self.phase is not None and self.phase.states:
                    width = shutil.get_terminal_size().columns
                    self._write("\r\033[K" + self.phase.live(time.monotonic(), self.marks, width))

    def _write(self, text: str) -> None:
        """Past Python's buffers: their locks must not be held when a worker is forked."""
        os.write(sys.stdout.fileno(), text.encode(sys.stdout.encoding or "utf-8", "replace"))

    # --- phases ---

    def _end_phase(self) -> None:
        with self.lock:
            phase, self.phase = self.phase, None
        line = phase.end(time.monotonic(), self.marks) if phase else ""
        if line:
            colour = {self.marks.failed: "red", self.marks.unreachable: "yellow"}.get(line.split()[0])
            self._display.display(line, color=colour)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """The time of the run counts from here."""
        self.began = time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play is a phase."""
        self._end_phase()
        self.phase = _progress.Phase(str(play.get_name()).strip(), time.monotonic())

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A machine begins a task."""
        with self.lock:
            if self.phase is not None:
                self.phase.start(host.get_name(), task.get_name().split(" : ")[-1])

    def v2_runner_on_ok(self, result: Any) -> None:
        """A machine is done with a task; what the task says to people is shown."""
        self._finish(result, _progress.DONE)
        self._handle_warnings(result._result)
        task = result._task.action
        if task in ("debug", "ansible.builtin.debug", "weft.platform.record"):
            said = result._result.get("msg", "")
            if said and not result._result.get("_ansible_no_log"):
                self._display.display(said if isinstance(said, str) else self._dump_results({"msg": said}, indent=2))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A machine had nothing to do."""
        with self.lock:
            if self.phase is not None:
                self.phase.skip(result._host.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure in full; one that the playbook deals with itself is its own to tell."""
        self._handle_warnings(result._result)
        is_own = not (ignore_errors or result._task.run_once)
        self._finish(result, _progress.FAILED if is_own else _progress.DONE)
        if result._task.run_once and not ignore_errors:
            # What runs once is about the cluster; the machine that it ran for has no part in it.
            self.broken.add(result._host.get_name())
            if self.phase is not None:
                self.phase.is_broken = True
        if not ignore_errors:
            self._display.display("")
            self._display.display(self._failure(result), color="red")
            self._display.display("")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A machine that is down is named; why, says the plan."""
        self._finish(result, _progress.UNREACHABLE)
        if result._task.ignore_unreachable:
            self.left_out[result._host.get_name()] = None
        else:
            self._display.display(f"{result._host.get_name()}: {result._result.get('msg', 'unreachable')}", color="red")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The last line."""
        self._end_phase()
        hosts = sorted(stats.processed)
        summaries = {name: stats.summarize(name) for name in hosts}
        failed = [name for name in hosts if summaries[name]["failures"] and name not in self.broken]
        gone = [name for name in hosts if summaries[name]["unreachable"]]
        left_out = list(self.left_out)
        line = _progress.farewell(time.monotonic() - self.began, len(hosts), failed, gone, bool(self.broken), left_out)
        good = "yellow" if left_out else "green"
        self._display.display(f"\n{line}", color="red" if failed or gone or self.broken else good)

    def _finish(self, result: Any, state: str) -> None:
        with self.lock:
            if self.phase is not None:
                changed = bool(result._result.get("changed")) and not result._task.check_mode
                self.phase.finish(result._host.get_name(), state, changed)

    def _failure(self, result: Any) -> str:
        found = result._result
        head = str(result._task.get_name().split(" : ")[-1])
        if not result._task.run_once:
            head = f"{result._host.get_name()}: {head}"
        if found.get("_ansible_no_log") or "censored" in found:
            return f"{head}\n  failed; the output is hidden, as it may hold secrets (no_log)"
        said = [str(found.get(key) or "").strip() for key in ("msg", "module_stderr", "stderr")]
        text = "\n".join(dict.fromkeys(filter(None, said))) or self._dump_results(found, indent=2)
        return head + "\n" + "\n".join(f"  {line}".rstrip() for line in text.splitlines())

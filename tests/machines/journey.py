# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Phases of a long run on a terminal: what is at work, for how long, and how long it will still take.

A terminal gets one live line; anything else gets plain lines, seldom. Everything that commands print goes to a log.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ._host import MachinesError

#: Seconds between two lines about one phase where the output is no terminal.
QUIET = 30.0
_LIVE = 0.2


@dataclass(frozen=True)
class Phase:
    """One part of the run.

    `name` is shown. `work` does it. `is_done` says cheaply whether most of it was done by an earlier run, and the two
    figures are what it takes, in seconds on two cores, when it was not and when it was.
    """

    name: str
    work: Callable[[], None]
    is_done: Callable[[], bool]
    seconds: float
    seconds_done: float = 1.0


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds.

    >>> clock(134.6)
    '2:15'
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes}:{rest:02d}"


def _short(text: str, most: int = 100) -> str:
    return textwrap.shorten(text.strip(), most, placeholder=" …")


class Times:
    """How long phases took on this machine before, kept in a file of the cache folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, float] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._known = {}

    def estimate(self, phase: Phase, *, is_done: bool) -> float:
        """Seconds that the phase will take."""
        default = phase.seconds_done if is_done else phase.seconds
        return self._known.get(self._key(phase, is_done), default)

    def record(self, phase: Phase, seconds: float, *, is_done: bool) -> None:
        """Remember what it took."""
        self._known[self._key(phase, is_done)] = round(seconds, 1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._known, indent=1))
        partial.replace(self._path)

    @staticmethod
    def _key(phase: Phase, is_done: bool) -> str:
        return f"{phase.name} (again)" if is_done else phase.name


class Journey:
    """Runs phases one after the other and shows where it is."""

    def __init__(self, times: Times, log: Path, stream: TextIO = sys.stdout) -> None:
        self._times = times
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._plain_marks = not (stream.encoding or "").lower().startswith("utf")
        self._doing = ""
        self._ends: float | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("a", encoding="utf-8")

    # ---- what phases call

    def doing(self, text: str) -> None:
        """Say what the phase does right now."""
        self._doing = _short(text)
        print(f"# {self._doing}", file=self._log, flush=True)

    def expect(self, seconds: float) -> None:
        """Say how long the phase will still take, where it knows better than the times of earlier runs."""
        self._ends = time.monotonic() + seconds

    def stream(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        tell: Callable[[str], str | None] = lambda line: None,
    ) -> None:
        """Run a command as this user; its output goes to the log, and what `tell` makes of a line to the live line.

        Raises:
            MachinesError: it failed; the message holds its last words.
        """
        print(f"$ {' '.join(command)}", file=self._log, flush=True)
        last: list[str] = []
        with subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as child:
            self._child = child
            assert child.stdout is not None  # asked for above
            for raw in child.stdout:
                line = raw.decode(errors="replace").rstrip()
                print(line, file=self._log, flush=True)
                last = [*last[-14:], line] if line else last
                self._doing = _short(tell(line) or self._doing)
        self._child = None
        if child.returncode != 0:
            words = "\n".join(f"    {line}" for line in last)
            raise MachinesError(
                f"'{Path(command[0]).name}' failed with exit code {child.returncode}. It said last:\n{words}"
            )

    # ---- the run

    def run(self, phases: Sequence[Phase]) -> bool:
        """Run the phases in order; says what failed and where the log is. True when all are done."""
        begin = time.monotonic()
        estimates = {phase.name: self._times.estimate(phase, is_done=phase.is_done()) for phase in phases}
        self._write(f"About {clock(sum(estimates.values()))} to go. Everything is logged to {self.log}\n\n")
        for number, phase in enumerate(phases):
            later = sum(estimates[other.name] for other in phases[number + 1 :])
            if not self._phase(phase, begin, later):
                return False
        self._write(f"\nDone after {clock(time.monotonic() - begin)}.\n")
        return True

    def _phase(self, phase: Phase, begin: float, later: float) -> bool:
        is_done = phase.is_done()
        estimate = self._times.estimate(phase, is_done=is_done)
        started, stop = time.monotonic(), threading.Event()
        self._doing, self._ends = "", None
        watcher = threading.Thread(target=self._watch, args=(phase, started, estimate, later, stop), daemon=True)
        watcher.start()
        failure: str | None = None
        try:
            phase.work()
        except MachinesError as error:
            failure = str(error)
        except KeyboardInterrupt:
            self._end_child()
            failure = "Interrupted. Run it again: it goes on from here."
        stop.set()
        watcher.join()
        took = time.monotonic() - started
        if failure is None:
            self._times.record(phase, took, is_done=is_done)
            self._end_line(phase, "ok", f"{clock(took)}  (in all {clock(time.monotonic() - begin)})")
            return True
        print(failure, file=self._log, flush=True)
        self._end_line(phase, "failed", f"after {clock(took)}")
        self._write(f"\n{failure}\n\nThe whole log is {self.log}\n")
        return False

    def _watch(self, phase: Phase, started: float, estimate: float, later: float, stop: threading.Event) -> None:
        if not self._live:
            self._write(f"  {phase.name}: about {clock(estimate)}\n")
        frames = "-\\|/" if self._plain_marks else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        turn = 0
        while not stop.wait(_LIVE if self._live else QUIET):
            elapsed = time.monotonic() - started
            # A phase that takes longer than before is not nearly done for that.
            end = started + estimate if self._ends is None else self._ends
            left = max(end - time.monotonic(), 0.1 * elapsed if self._ends is None else 1.0) + later
            turn += 1
            if self._live:
                text = (
                    f"  {frames[turn % len(frames)]} {phase.name:12} {clock(elapsed):>6}   about {clock(left)} left   "
                )
                width = shutil.get_terminal_size().columns
                self._write(f"\r\x1b[K{(text + self._doing)[: width - 1]}")
            else:
                self._write(f"  {phase.name}: {clock(elapsed)} gone, about {clock(left)} left. {self._doing}\n")

    def _end_line(self, phase: Phase, word: str, text: str) -> None:
        mark = word if self._plain_marks or not self._live else {"ok": "✓", "failed": "✗"}[word]
        colour = {"ok": "\x1b[32m", "failed": "\x1b[31m"}[word]
        if self._live:
            self._write(f"\r\x1b[K  {colour}{mark}\x1b[0m {phase.name:12} {text}\n")
        else:
            self._write(f"  {phase.name}: {mark}, {text}\n")

    def _end_child(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(child.pid, number)
                child.wait(timeout=patience)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

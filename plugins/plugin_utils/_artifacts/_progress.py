# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Progress of long work: which step, time gone, and an estimate of what remains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

#: Seconds between two lines of one step where the output is no terminal.
QUIET = 15.0


class Progress:
    """Tells how far a list of steps is.

    Estimates are seconds on two cores; how this machine compares is learnt from the steps that are done.
    """

    def __init__(
        self,
        estimates: Mapping[str, float],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pending = dict(estimates)
        self._count = len(estimates)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begin = clock()
        self._spent = self._expected = 0.0
        self._name = ""
        self._step_begin = self._last = self._begin
        self._open_line = False

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._begin

    def start(self, name: str, what: str) -> None:
        """Begin the step `name`; `what` says what it does."""
        self._name, self._step_begin = name, self._clock()
        self._last = self._step_begin
        self._show(what, 0.0)

    def update(self, what: str, fraction: float) -> None:
        """Say how far the step is, 0 to 1; seldom enough to be read."""
        now = self._clock()
        if now - self._last >= (0.5 if self._stream.isatty() else QUIET):
            self._last = now
            self._show(what, fraction)

    def finish(self, what: str, measured: bool = True) -> None:
        """End the step; `measured` is false where it took no work and says nothing about this machine."""
        expected = self._pending.pop(self._name, 0.0)
        if measured:
            self._spent += self._clock() - self._step_begin
            self._expected += expected
        self._show(what, None)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._end_line()
        self._stream.write(text + "\n")
        self._stream.flush()

    def remaining(self, fraction: float) -> float:
        """Estimate in seconds of what is left, with the current step done to `fraction`."""
        current = self._pending.get(self._name, 0.0)
        later = sum(seconds for name, seconds in self._pending.items() if name != self._name)
        gone = self._clock() - self._step_begin
        scale = self._scale(current * fraction, gone)
        return scale * (later + current * (1.0 - fraction))

    def _scale(self, expected_now: float, gone: float) -> float:
        # A short step says little about the machine: start from 1 and let 20 s of work weigh as much as that.
        expected = self._expected + expected_now
        return min(5.0, max(0.1, (self._spent + (gone if expected_now else 0.0) + 20.0) / (expected + 20.0)))

    def _show(self, what: str, fraction: float | None) -> None:
        done = self._count - len(self._pending)
        head = f"[{min(done + (fraction is not None), self._count):2}/{self._count}] {self._name}: {what}"
        tail = f"{clock_text(self.elapsed)} gone"
        left = self.remaining(fraction or 0.0)
        if self._pending and left >= 1:
            tail += f", about {clock_text(left)} left"
        line = f"{head} ({tail})"
        if self._stream.isatty():
            self._stream.write("\r\033[K" + line + ("\n" if fraction is None else ""))
            self._open_line = fraction is not None
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _end_line(self) -> None:
        if self._open_line:
            self._stream.write("\n")
            self._open_line = False


def clock_text(seconds: float) -> str:
    """Seconds as people read them: "8 s", "2 min 05 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The progress of a run: phases, their machines, and the lines that tell of them.  Times are given, never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import names, plural

#: Machines that a line shows one by one; of more, it shows counts.
FEW = 10

DONE, WORKING, FAILED, UNREACHABLE = "done", "working", "failed", "unreachable"


@dataclass(frozen=True)
class Marks:
    """Signs of the states, by what the terminal can show."""

    done: str
    failed: str
    unreachable: str
    working: Sequence[str]

    def of(self, state: str, tick: int) -> str:
        """The sign of a state; the one of work turns with the tick."""
        if state == WORKING:
            return self.working[tick % len(self.working)]
        return str({DONE: self.done, FAILED: self.failed, UNREACHABLE: self.unreachable}[state])


UNICODE = Marks("✓", "✗", "?", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
ASCII = Marks("ok", "FAILED", "?", "|/-\\")


@dataclass
class Phase:
    """One phase.

    states   state by machine, for those that did something
    changed  machines on which something changed
    tasks    what each machine works on
    before   what the machines that work now were before
    is_broken  something failed that belongs to no machine
    """

    name: str
    began: float
    states: dict[str, str] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    is_broken: bool = False

    def start(self, machine: str, task: str) -> None:
        """A machine begins a task."""
        self.tasks[machine] = task
        if self.states.get(machine) not in (FAILED, UNREACHABLE):
            self.before[machine] = self.states.get(machine, "")
            self.states[machine] = WORKING

    def finish(self, machine: str, state: str, changed: bool = False) -> None:
        """A machine ended a task."""
        self.tasks.pop(machine, None)
        if self.states.get(machine) not in (FAILED, UNREACHABLE):
            self.states[machine] = state
        if changed:
            self.changed[machine] = None

    def skip(self, machine: str) -> None:
        """A machine had nothing to do; if it did nothing before in the phase either, it is no part of it."""
        self.tasks.pop(machine, None)
        if self.states.get(machine) == WORKING:
            if self.before.get(machine):
                self.states[machine] = self.before[machine]
            else:
                del self.states[machine]

    def of(self, state: str) -> list[str]:
        """Machines in a state."""
        return [name for name, found in self.states.items() if found == state]

    def live(self, now: float, marks: Marks, width: int) -> str:
        """The line while the phase goes on, at most `width` characters."""
        tick = int((now - self.began) * 5)
        head = f"{marks.working[tick % len(marks.working)]} {self.name}  {clock(now - self.began)}"
        if len(self.states) <= FEW:
            body = "  ".join(f"{name} {marks.of(state, tick)}" for name, state in self.states.items())
        else:
            counts = {state: len(self.of(state)) for state in (DONE, WORKING, FAILED, UNREACHABLE)}
            body = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        task = next(iter(dict.fromkeys(self.tasks.values())), "")
        line = "   ".join(filter(None, [head, body, task]))
        return line if len(line) < width else line[: max(width - 2, 0)] + "…"

    def end(self, now: float, marks: Marks) -> str:
        """The line that stays, "" for a phase in which nothing was to be done."""
        if not self.states:
            return ""
        failed, gone = self.of(FAILED), self.of(UNREACHABLE)
        parts = [plural(len(self.states), "machine")]
        if self.changed:
            parts.append(f"{len(self.changed)} changed")
        if failed:
            parts.append(f"failed: {names(failed)}")
        if gone:
            parts.append(f"unreachable: {names(gone)}")
        mark = marks.failed if failed or self.is_broken else marks.unreachable if gone else marks.done
        return f"{mark} {self.name:28} {clock(now - self.began):>7}   {', '.join(parts)}"


def clock(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 2 min 05 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"


def farewell(
    seconds: float,
    machines: int,
    failed: Sequence[str],
    unreachable: Sequence[str],
    is_broken: bool = False,
    left_out: Sequence[str] = (),
) -> str:
    """The last line of a run.

    Args:
        seconds: that it took.
        machines: number of all.
        failed: machines on which a task failed.
        unreachable: machines that were lost.
        is_broken: something failed that belongs to no machine.
        left_out: machines that could not be reached, which did not end the run.
    """
    parts = [f"failed: {names(failed)}"] if failed else []
    if unreachable:
        parts.append(f"unreachable: {names(unreachable)}")
    if not parts and not is_broken:
        without = f", without {names(left_out)}, which could not be reached" if left_out else ""
        return f"Done in {clock(seconds)}: {plural(machines, 'machine')}{without}."
    what = "; ".join(parts)
    told = f" {what[0].upper()}{what[1:]}." if what else ""
    return f"Not done, after {clock(seconds)}.{told} Mend what is said above and run again."

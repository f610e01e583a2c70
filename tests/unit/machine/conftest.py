# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A machine that is a folder, and whose commands answer what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host, MachineResource, Result

Answer = str | Result | Callable[[Sequence[str], str], str | Result]


class Commands:
    """Answers by the beginning of the command line, longest first; an unexpected command is a fault of the test."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], Answer] = {}
        self.calls: list[str] = []

    def on(self, command: str, answer: Answer = "") -> None:
        self.answers[tuple(command.split())] = answer

    def __call__(self, argv: Sequence[str], stdin: str, timeout: float) -> Result:
        self.calls.append(" ".join(argv))
        for length in range(len(argv), 0, -1):
            answer = self.answers.get(tuple(argv[:length]))
            if answer is not None:
                got = answer(argv, stdin) if callable(answer) else answer
                return got if isinstance(got, Result) else Result(0, got)
        raise AssertionError(f"no answer for {' '.join(argv)}")


class Machine(Host):
    """A Host with helpers for tests."""

    def __init__(self, root: Path) -> None:
        self.commands = Commands()
        super().__init__(str(root), self.commands)

    def put(self, path: str, text: str, mode: int = 0o644) -> Path:
        place = Path(self.at(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return place

    def installed_command(self, name: str) -> None:
        self.put(f"/usr/bin/{name}", "", 0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    host = Machine(tmp_path / "root")
    (tmp_path / "root").mkdir()
    monkeypatch.setattr(MachineResource, "host", host)
    return host

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The lines that tell of a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.executor.stats import AggregateStats
from ansible_collections.weft.platform.plugins.callback.progress import CallbackModule
from ansible_collections.weft.platform.plugins.plugin_utils._report._progress import (
    ASCII,
    DONE,
    FAILED,
    UNICODE,
    UNREACHABLE,
    Phase,
    clock,
    farewell,
)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (100, "1 min 40 s"), (725, "12 min 05 s")],
)
def test_clock(seconds: float, wanted: str) -> None:
    assert clock(seconds) == wanted


def phase(*names: str) -> Phase:
    out = Phase("Members", 10.0)
    for name in names:
        out.start(name, "Join")
    return out


def test_live_line_shows_each_machine() -> None:
    found = phase("cp1", "cp2", "w1", "w2")
    found.finish("cp1", DONE, changed=True)
    found.finish("w1", FAILED)
    found.finish("w2", UNREACHABLE)
    assert found.live(10.0, UNICODE, 200) == "⠋ Members  0.0 s   cp1 ✓  cp2 ⠋  w1 ✗  w2 ?   Join"
    assert found.live(10.25, ASCII, 200) == "/ Members  0.2 s   cp1 ok  cp2 /  w1 FAILED  w2 ?   Join"
    assert len(found.live(10.0, UNICODE, 30)) < 30


def test_live_line_of_many_machines_counts() -> None:
    found = phase(*(f"w{number}" for number in range(50)))
    found.finish("w7", DONE)
    found.finish("w8", FAILED)
    assert found.live(22.0, ASCII, 200) == "| Members  12 s   1 done, 48 working, 1 failed   Join"


def test_last_line_of_a_phase() -> None:
    found = phase("cp1", "w1")
    found.finish("cp1", DONE, changed=True)
    found.finish("w1", DONE)
    assert found.end(22.0, UNICODE) == f"✓ {'Members':28}    12 s   2 machines, 1 changed"
    found.finish("w1", UNREACHABLE)
    assert found.end(22.0, UNICODE).endswith("unreachable: w1") and found.end(22.0, UNICODE).startswith("?")
    found = phase("cp1", "w1")
    found.finish("w1", FAILED)
    found.start("w1", "another task")
    found.finish("w1", DONE)
    assert found.end(22.0, ASCII) == f"FAILED {'Members':28}    12 s   2 machines, failed: w1"


def test_a_phase_with_nothing_to_do_says_nothing() -> None:
    found = phase("cp1")
    found.skip("cp1")
    assert found.end(11.0, UNICODE) == ""
    found.start("cp1", "one")
    found.finish("cp1", DONE)
    found.start("cp1", "two")
    found.skip("cp1")
    assert found.end(11.0, UNICODE).endswith("1 machine")


def test_farewell() -> None:
    assert farewell(63, 5, [], []) == "Done in 63 s: 5 machines."
    assert farewell(63, 5, [], [], False, ["w1"]) == "Done in 63 s: 5 machines, without w1, which could not be reached."
    assert farewell(63, 5, ["W1"], ["cp1"]) == (
        "Not done, after 63 s. Failed: W1; unreachable: cp1. Mend what is said above and run again."
    )


# --- the plugin -------------------------------------------------------------------------------------------------------


class Named:
    """What the plugin needs of a play, host or task."""

    def __init__(self, name: str, **rest: Any) -> None:
        self.name = name
        self.__dict__.update(
            {"action": "x", "check_mode": False, "ignore_unreachable": False, "run_once": False, **rest}
        )

    def get_name(self) -> str:
        return self.name


class Result:
    """What the plugin needs of a task's result."""

    def __init__(self, found: dict[str, Any], task: Named | None = None, host: str = "w1") -> None:
        self._result = found
        self._task = task or Named("cluster : Join")
        self._host = Named(host)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> tuple[CallbackModule, list[str]]:
    made = CallbackModule()
    said: list[str] = []
    monkeypatch.setattr(made._display, "display", lambda text, color=None: said.append(text))
    made.v2_playbook_on_play_start(Named("Members"))
    return made, said


def test_plugin_tells_a_failure_once_and_in_full(plugin: tuple[CallbackModule, list[str]]) -> None:
    made, said = plugin
    made.v2_runner_on_start(Named("w1"), Named("cluster : Join"))
    made.v2_runner_on_failed(Result({"msg": "first\nsecond", "stderr": "first\nsecond", "rc": 1}))
    assert said == ["", "w1: Join\n  first\n  second", ""]
    said.clear()
    made.v2_runner_on_failed(Result({"rc": 7}))
    assert '"rc": 7' in said[1]
    said.clear()
    made.v2_runner_on_failed(Result({"msg": "the plan tells"}), ignore_errors=True)
    assert said == []


def test_what_fails_once_is_no_machine_s_failure(plugin: tuple[CallbackModule, list[str]]) -> None:
    made, said = plugin
    made.v2_runner_on_failed(Result({"msg": "The plan: 1 error."}, Named("Plan", run_once=True)))
    assert said[1] == "Plan\n  The plan: 1 error."
    stats = AggregateStats()
    stats.increment("failures", "w1")
    made.v2_playbook_on_stats(stats)
    assert said[3].startswith((UNICODE.failed, ASCII.failed)) and said[3].endswith("1 machine")
    assert said[4] == "\nNot done, after 0.0 s. Mend what is said above and run again."


@pytest.mark.parametrize("mark", [{"_ansible_no_log": True}, {"censored": "hidden"}])
def test_plugin_shows_no_secret(plugin: tuple[CallbackModule, list[str]], mark: dict[str, Any]) -> None:
    made, said = plugin
    made.v2_runner_on_failed(Result({"msg": "hunter2", **mark}))
    made.v2_runner_on_ok(Result({"msg": "hunter2", "_ansible_no_log": True}, Named("x", action="debug")))
    text = "\n".join(said)
    assert "hunter2" not in text and "no_log" in text


def test_plugin_names_what_is_down(plugin: tuple[CallbackModule, list[str]]) -> None:
    made, said = plugin
    made.v2_runner_on_unreachable(Result({"msg": "no route"}))
    made.v2_runner_on_unreachable(Result({"msg": "no route"}, Named("Observe", ignore_unreachable=True), "w2"))
    assert said == ["w1: no route"]
    stats = AggregateStats()
    stats.increment("dark", "w1")
    stats.increment("ok", "cp1")
    made.v2_playbook_on_stats(stats)
    assert said[1].endswith("2 machines, unreachable: w1, w2")
    assert said[2].startswith("\nNot done, after 0.0 s. Unreachable: w1.")


def test_plugin_says_what_tasks_say_to_people(plugin: tuple[CallbackModule, list[str]]) -> None:
    made, said = plugin
    made.v2_runner_on_ok(Result({"msg": "one"}, Named("x", action="ansible.builtin.debug")))
    made.v2_runner_on_ok(Result({"msg": "two"}, Named("x", action="weft.platform.record")))
    made.v2_runner_on_ok(Result({"msg": "three"}, Named("x", action="ansible.builtin.command")))
    made.v2_runner_on_ok(Result({"msg": {"a": 1}}, Named("x", action="debug")))
    assert said[:2] == ["one", "two"] and '"a": 1' in said[2] and len(said) == 3


def test_plugin_skips_phases_without_work(plugin: tuple[CallbackModule, list[str]]) -> None:
    made, said = plugin
    made.v2_runner_on_start(Named("w1"), Named("Join"))
    made.v2_runner_on_skipped(Result({"skipped": True}))
    made.v2_playbook_on_play_start(Named("Finish"))
    assert said == []

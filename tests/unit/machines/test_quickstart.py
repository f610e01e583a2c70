# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The estimate that a person sees while the bundle is built is the builder's own."""

from __future__ import annotations

import io

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress

from tests.machines.quickstart import without_clock


@pytest.mark.parametrize(
    ("gone", "fraction", "remains"),
    [
        # Estimates of 100 s and 60 s; speed is learnt from what is done, 20 s of patience included.
        (0.0, 0.0, 160.0),
        (80.0, 0.5, 157.0),
    ],
)
def test_the_builders_line_tells_how_long_it_will_take(gone: float, fraction: float, remains: float) -> None:
    now = 0.0
    stream = io.StringIO()
    progress = Progress({"etcd": 100.0, "runc": 60.0}, stream, lambda: now)
    progress.start("etcd", "compiling")
    now = gone
    progress.update("compiling", fraction)
    assert without_clock(stream.getvalue().splitlines()[-1]) == ("[ 1/2] etcd: compiling", remains)


def test_a_line_without_times_stays_as_it_is() -> None:
    assert without_clock("No Go 1.21 or later (of any kind) on this machine.") == (
        "No Go 1.21 or later (of any kind) on this machine.",
        None,
    )
    assert without_clock("[16/16] bundle: complete (9 s gone)") == ("[16/16] bundle: complete", None)

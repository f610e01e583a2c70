# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Two runs never change a machine at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host, MachineError
from ansible_collections.weft.platform.plugins.module_utils._machine._lock import alone


def test_a_second_run_waits_and_then_says_why(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    host = Host(str(tmp_path))
    with alone(host, check=False):
        for check in (False, True):
            with pytest.raises(MachineError, match="another run still changes this machine"), alone(host, check, 0.3):
                pass
    with alone(host, check=False, patience=0):
        pass


def test_looking_leaves_no_trace_and_goes_on_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    host = Host(str(tmp_path))
    with alone(host, check=True):
        assert not list((tmp_path / "run").iterdir())
    with alone(host, check=False):
        pass
    with alone(host, check=True), alone(host, check=True, patience=0):
        pass

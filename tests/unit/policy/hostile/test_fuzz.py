# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The fuzzer keeps its time, finds a fault that is there, and is part of `make test`."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.fuzz import policy

ROOT = Path(__file__).resolve().parents[4]


def test_a_fault_is_found_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def faulty(data: bytes) -> None:
        assert b"\0" not in data

    monkeypatch.setattr(policy, "FOUND", tmp_path / "found")
    monkeypatch.setitem(policy.TARGETS, "glob", faulty)
    assert policy.generated("glob", 20) == 1
    (kept,) = (tmp_path / "found").iterdir()
    assert b"\0" in kept.read_bytes()


def test_time_is_kept() -> None:
    start = time.monotonic()
    assert policy.generated("codeowners", 1) == 0
    assert time.monotonic() - start < 20


def test_make_test_fuzzes_each_target_for_a_while() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (parts,) = re.findall(r"^test: ([a-z ]+)##", text, re.MULTILINE)
    assert "fuzz" in parts.split()
    (seconds,) = re.findall(r"^FUZZ_SECONDS \?= (\d+)$", text, re.MULTILINE)
    assert 10 <= len(policy.TARGETS) * int(seconds) <= 40

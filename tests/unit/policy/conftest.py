# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The programs that some tests of the policy manager run for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools import build, need


def _tool(name: str) -> Path:
    """A program at its pinned version: from the cache, else built."""
    found = build.cached(name)
    if found is None and shutil.which("go") is None:
        need.missing(f"{name} is not in the cache, and there is no Go to build it with")
    return found or build.tool(name)


@pytest.fixture
def opa(monkeypatch: pytest.MonkeyPatch) -> Path:
    """opa, and the checks told to use it."""
    path = _tool("opa")
    monkeypatch.setenv("WEFT_OPA", str(path))
    return path


@pytest.fixture
def kustomize(monkeypatch: pytest.MonkeyPatch) -> Path:
    """kustomize, and the renderer told to use it."""
    path = _tool("kustomize")
    monkeypatch.setenv("WEFT_KUSTOMIZE", str(path))
    return path


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> Path:
    """helm, and the renderer told to use it."""
    path = _tool("helm")
    monkeypatch.setenv("WEFT_HELM", str(path))
    return path

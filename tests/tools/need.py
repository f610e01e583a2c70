# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a test needs and this machine may lack: the test is skipped, or fails where nothing may be left out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import NoReturn

import pytest


def everything(environment: Mapping[str, str]) -> bool:
    """Whether a test whose tools are missing must fail: in CI (CI=true, as every CI sets it), or by hand.

    Args:
        environment: the variables; WEFT_REQUIRE_TOOLS=1 wants everything, WEFT_REQUIRE_TOOLS=0 nothing.
    """
    said = environment.get("WEFT_REQUIRE_TOOLS") or environment.get("CI", "")
    return said.lower() in ("1", "true")


def missing(what: str) -> NoReturn:
    """End a test that cannot run here.

    Args:
        what: what is missing, and what the test wants it for.
    """
    if everything(os.environ):
        pytest.fail(f"{what}; in CI, or with WEFT_REQUIRE_TOOLS=1, no test is left out", pytrace=False)
    pytest.skip(what)


def programs(*names: str) -> None:
    """End a test here unless all these programs are on the PATH."""
    lacking = [name for name in names if shutil.which(name) is None]
    if lacking:
        missing(f"{', '.join(lacking)}: not installed")

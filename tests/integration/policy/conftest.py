# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The helpers beside these tests, and the builder of their tools, can be imported whatever way pytest imports tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools")]

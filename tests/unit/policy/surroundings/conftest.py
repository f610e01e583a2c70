# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The helpers beside these tests can be imported whatever way pytest imports tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

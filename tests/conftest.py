# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What every test needs: the checkout importable as the collection it is, and property tests that repeat exactly."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import hypothesis

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
host = importlib.import_module("tests.machines._host")
COLLECTIONS = str(host.collections_path(ROOT))
sys.path.insert(0, COLLECTIONS)
os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", COLLECTIONS)

# The same examples on every run and no limit on a single one: a slow machine is not a failure.
hypothesis.settings.register_profile("weft", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("weft")

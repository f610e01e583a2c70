# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What every scenario of a cluster needs: the bundle, made once and kept outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .lab import KUBERNETES


@pytest.fixture(scope="session", autouse=True)
def _bundle() -> None:
    """The bundle of the default version; less than a second where it is there already."""
    module = "ansible_collections.weft.platform.plugins.plugin_utils._artifacts"
    environment = {**os.environ, "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]}
    subprocess.run(
        [sys.executable, "-m", module, "bundle", "--from", "source", "--kubernetes", KUBERNETES],
        env=environment,
        check=True,
    )

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The inventory: read, checked, and held against the facts of the machines.

build() makes an Inventory out of what Ansible knows; check() and check_facts() say everything that is wrong at once.
"""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._build import build, is_ours
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._check import check, check_facts, has_errors
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._facts import Machine
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import Host, Inventory, Problem
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import options

__all__ = [
    "Host",
    "Inventory",
    "Machine",
    "Problem",
    "build",
    "check",
    "check_facts",
    "has_errors",
    "is_ours",
    "options",
]

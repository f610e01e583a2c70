# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_planning: checks the inventory."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils import _planning


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.inventory."""

    _requires_connection = False
    _VALID_ARGS: frozenset[str] = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the inventory of all hosts."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(_planning.inventory(task_vars or {}, self._templar))
        return result

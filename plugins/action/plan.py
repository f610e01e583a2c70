# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_planning: joins what all machines were found to need."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.weft.platform.plugins.plugin_utils import _planning


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.plan."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"output"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Join, check, write, show."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        found = _planning.plan(task_vars or {}, self._templar, self._task.args, bool(self._task.diff))
        Display().display(f"\n{found['report']}\n")
        result.update(found)
        return result

# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: names the machines, then runs the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._doors import leave_arguments


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.leave."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, then run the module."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            arguments = leave_arguments(self._task.args, variables, self._templar)
        except ArtifactError as error:
            raise AnsibleActionFail(str(error)) from error
        result: dict[str, Any] = self._execute_module("weft.platform.leave", arguments, task_vars=variables)
        return result

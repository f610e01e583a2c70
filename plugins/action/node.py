# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: renders a machine's resources on the controller, then runs the module of the same name there."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._doors import node_arguments


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.node."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, then run the module."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            arguments = node_arguments(self._task.args, variables, self._templar)
        except (ArtifactError, KeyError) as error:
            raise AnsibleActionFail(str(error)) from error
        result: dict[str, Any] = self._execute_module("weft.platform.node", arguments, task_vars=variables)
        if result.get("facts"):
            result["facts"]["received"] = time.time()  # what the machine's clock is held against
        return result

# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_artifacts: the lock file."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._tasks import lock_task
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings, with_defaults


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.lock."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the lock file."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = with_defaults(task_vars or {})
        found = settings(variables, self._templar.copy_with_new_env(available_variables=variables).template)
        try:
            result.update(lock_task(self._task.args, found, self._task.check_mode))
        except ArtifactError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_artifacts: the bundle."""

from __future__ import annotations

import io
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._tasks import bundle_task
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings, with_defaults


class DisplayStream(io.StringIO):
    """What progress is written to: each line goes to Ansible's display at once."""

    def write(self, text: str) -> int:
        """Show whole lines."""
        for line in text.splitlines():
            Display().display(line)
        return len(text)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.bundle."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the bundle, or find it complete."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = with_defaults(task_vars or {})
        found = settings(variables, self._templar.copy_with_new_env(available_variables=variables).template)
        try:
            result.update(bundle_task(self._task.args, found, self._task.check_mode, DisplayStream()))
        except ArtifactError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

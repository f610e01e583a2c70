# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_kube."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.weft.platform.plugins.plugin_utils._doors import kube_objects
from ansible_collections.weft.platform.plugins.plugin_utils._kube import KubeError


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.kube_objects."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Observe, compare, make, wait."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(
                kube_objects(self._task.args, task_vars or {}, self._templar, self._task.check_mode, Display().vv)
            )
        except KubeError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_kube/_kubeconfig."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils._kube import KubeError, _kubeconfig


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.kubeconfig_file."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, and write where a kubeconfig is given."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(_kubeconfig.run(self._task.args, self._task.check_mode))
        except KubeError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

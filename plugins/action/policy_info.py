# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door to plugin_utils/_policy: say who may change what."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._tasks import INFO, info_task
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import told


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.policy_info."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Say who may change what."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(INFO)
        try:
            result.update(info_task(given))
        except PolicyError as error:
            # Ansible would say its causes again, as they are, to the terminal
            raise AnsibleActionFail(told(error)) from None
        return result

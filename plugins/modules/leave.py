#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: takes machines out of a cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leave
short_description: Take machines out of a cluster
version_added: 0.1.0
description:
  - Removes the etcd members and the Node objects of machines. Runs on a control plane that stays.
  - Inside the collection's playbooks O(machines) are inventory names.
options:
  machines:
    description: The machines, each with C(name) of the node, C(address) and C(role).
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Take a worker out of the cluster
  weft.platform.leave:
    machines: [w2]
  delegate_to: cp1
"""

RETURN = r"""
changes:
  description: What was taken out, as in M(weft.platform.node).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm


def main() -> None:
    """Parameters in, result out."""
    module = AnsibleModule(
        argument_spec={"machines": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    try:
        changes = [change.to_json() for change in _kubeadm.leave(module.params["machines"], module.check_mode)]
        module.exit_json(changed=bool(changes), changes=changes)
    except _kubeadm.KubeadmError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

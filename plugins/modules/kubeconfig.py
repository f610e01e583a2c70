#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: a kubeconfig for somebody whom the cluster can send away again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig
short_description: Make a kubeconfig with a client certificate
version_added: 0.1.0
description:
  - Signs a client certificate on a control plane. Nothing on the machine or in the cluster changes.
  - What the certificate may do is what the cluster binds to its user and groups, so taking the binding away ends it.
  - Use C(no_log) on the task; the result holds a private key.
  - Inside the collection's playbooks O(config) is rendered from the inventory.
options:
  user:
    description: The certificate's common name, which is the user's name in Kubernetes.
    type: str
    required: true
  groups:
    description: The certificate's organizations, which are the user's groups.
    type: list
    elements: str
    default: []
  hours:
    description: How long it is valid.
    type: int
    default: 1
  config:
    description: The InitConfiguration and ClusterConfiguration of this control plane.
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: It changes nothing, so it does the same in check mode.
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: A kubeconfig for a Cluster Operator
  weft.platform.kubeconfig:
    user: weft:ada
    groups: [weft:cluster-operators]
    hours: 8760
  no_log: true
"""

RETURN = r"""
kubeconfig:
  description: Text of the kubeconfig.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm


def main() -> None:
    """Parameters in, result out."""
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "groups": {"type": "list", "elements": "str", "default": []},
            "hours": {"type": "int", "default": 1},
            "config": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        text = _kubeadm.kubeconfig(wanted["config"], wanted["user"], wanted["groups"], wanted["hours"])
        module.exit_json(changed=False, kubeconfig=text)
    except _kubeadm.KubeadmError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

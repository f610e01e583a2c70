#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: lets machines join a cluster for some minutes, and ends that."""

from __future__ import annotations

DOCUMENTATION = r"""
module: join_credentials
short_description: Let machines join a cluster for some minutes
version_added: 0.1.0
description:
  - Makes a bootstrap token that lives 15 minutes and, when control planes join, uploads the certificates for as long.
  - Takes out of the cluster what machines that join again have left in it, their Node objects and etcd members.
  - With O(state=absent), takes every such token and the uploaded certificates back.
  - Runs on a control plane. Use C(no_log) on the task; the result holds the credentials.
  - Inside the collection's playbooks O(config) is rendered from the inventory and O(joiners) are inventory names.
options:
  name:
    description: The machine's name in the inventory; the scope of its changes.
    type: str
    required: true
  state:
    description: Whether credentials are made, or O(credentials) are taken back.
    type: str
    choices: [present, absent]
    default: present
  joiners:
    description: The machines that join, each with C(name) of the node, C(address) and C(role).
    type: list
    elements: dict
    default: []
  config:
    description: The InitConfiguration and ClusterConfiguration of this control plane.
    type: list
    elements: dict
    default: []
  credentials:
    description: What an earlier call gave; required where they are taken back. Those of other runs stay.
    type: dict
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Let two machines join
  weft.platform.join_credentials:
    joiners: [cp2, w1]
  register: minted
  no_log: true

- name: They have joined
  weft.platform.join_credentials:
    state: absent
    credentials: "{{ minted.credentials }}"
  no_log: true
"""

RETURN = r"""
changes:
  description: What was made and taken out, as in M(weft.platform.node).
  returned: always
  type: list
  elements: dict
credentials:
  description: What the joining machines are given. Empty in check mode, and where they are taken back.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm


def main() -> None:
    """Parameters in, result out."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "joiners": {"type": "list", "elements": "dict", "default": []},
            "config": {"type": "list", "elements": "dict", "default": []},
            "credentials": {"type": "dict", "no_log": True},
        },
        required_if=[("state", "absent", ["credentials"])],
        supports_check_mode=True,
        no_log=True,  # the machine's log is no place for it
    )
    try:
        made = _kubeadm.join_credentials(module.params, module.check_mode)
        changes = [change.to_json() for change in made.changes]
        module.exit_json(changed=bool(changes), changes=changes, credentials=made.credentials)
    except _kubeadm.KubeadmError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

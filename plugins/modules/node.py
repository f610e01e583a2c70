#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: brings a machine to what a list of resources says, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Make a machine what a list of resources says
version_added: 0.1.0
description:
  - Observes every resource of the list on the machine, tells the differences, and makes them unless in check mode.
  - The list that check mode returns is the list that a run from the same state makes.
  - Before the first change of anything, what it was is written to C(/var/lib/weft/ledger.jsonl).
    O(state=absent) reads it and takes everything back.
  - Inside the collection's playbooks O(resources) and O(preflight) are rendered from the inventory.
options:
  name:
    description: The machine's name in the inventory; the scope of its changes.
    type: str
    required: true
  state:
    description:
      - V(present) makes the machine what O(resources) says.
      - V(absent) makes it what it was before the first run, and loses all data of the cluster on it.
        O(resources) then hold what comes before all else.
    type: str
    choices: [present, absent]
    default: present
  resources:
    description:
      - What the machine should have, in the order in which it may be made. Each has a C(type) and what that needs.
      - Types of machines are C(binary), C(containers), C(directory), C(file), C(firewall), C(image), C(kernel_module),
        C(network), C(package), C(swap), C(sysctl) and C(unit).
      - Types of Kubernetes are C(control_plane), C(worker), C(static_pods), C(certificates) and C(encryption).
      - A C(unwanted) names a folder. Files below it that an earlier run made, and that no other resource names, become
        what they were before, which mostly is not there.
      - Every one takes C(notify), a list of units to restart when it changes, and C(secret), which masks its values.
    type: list
    elements: dict
    default: []
  preflight:
    description:
      - Checks to make before anything is changed. An empty one makes none. All problems are returned at once.
      - Takes C(role) (V(control_plane) or V(worker)), C(ignore) (names of checks that only warn),
        C(memory_mib), C(cpus), C(disk_gib), C(kernel), C(architecture), C(cgroup_v1), C(ports) and C(peers), a list of
        C(name), C(address) and C(ports).
    type: dict
    default: {}
  facts:
    description: Whether to return facts.
    type: bool
    default: true
  ledger:
    description: Whether to write down what was before. Without it there is no way back.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
    details: The changes are always returned.
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Forward packets, now and after a restart
  weft.platform.node:
    name: "{{ inventory_hostname }}"
    resources:
      - {type: file, path: /etc/sysctl.d/90-forward.conf, content: "net.ipv4.ip_forward = 1\n"}
      - {type: sysctl, name: net.ipv4.ip_forward, value: "1"}

- name: Take everything back that was ever changed on the machine
  weft.platform.node:
    name: "{{ inventory_hostname }}"
    state: absent
"""

RETURN = r"""
changes:
  description: The changes that are needed (check mode) or were made.
  returned: always
  type: list
  elements: dict
  sample:
    - subject: {type: sysctl, name: net.ipv4.ip_forward, scope: n1}
      field: []
      action: changed
      before: "0"
      after: "1"
stages:
  description: How many of the changes belong to each stage that the resources name.
  returned: always
  type: dict
  sample: {prepare: 12}
facts:
  description: What the machine is; with peers in O(preflight) also C(reach), the result of each try to connect.
  returned: when O(facts=true)
  type: dict
problems:
  description: What is wrong with the machine, and what to do.
  returned: always
  type: list
  elements: dict
  sample:
    - check: memory
      severity: error
      message: 512 MiB of memory
      remedy: Give the machine 1700 MiB, or lower memory_mib in node_preflight.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.weft.platform.plugins.module_utils import _kubeadm, _machine


def main() -> None:
    """Parameters in, result out."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "resources": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "preflight": {"type": "dict", "default": {}},
            "facts": {"type": "bool", "default": True},
            "ledger": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    # no_log keeps resources out of the machine's log, but would hide every word of them in the result as well.
    module.no_log_values = _machine.secrets(module.params)
    types = {**_machine.RESOURCES, **_kubeadm.RESOURCES}
    result = _machine.run(types, module.params, module.check_mode, _kubeadm.facts)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory
short_description: Check the inventory of a cluster
version_added: 0.1.0
description:
  - Reads the variables of all machines of the groups C(cluster), C(control_plane) and C(workers), checks types, values,
    addresses and groups, and reports every problem at once, with file and line.
  - Fails where one of the problems is an error. Warnings are shown and returned.
  - No machine is asked. Run it once, for any host.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  action:
    description: >-
      Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Check the inventory
  weft.platform.inventory:
  run_once: true
"""

RETURN = r"""
problems:
  description: What is wrong. C(file), C(line) and C(subject) only where they are known.
  returned: always
  type: list
  elements: dict
  sample:
    - severity: error
      message: cluster_service_cidr 10.244.0.0/16 overlaps with cluster_pod_cidr 10.244.0.0/16
      remedy: Move one of them to another network.
      file: inventories/prod/group_vars/cluster.yml
      line: 4
      subject: cp1
"""

#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Join what all machines were found to need
version_added: 0.1.0
description:
  - Lays side by side what every machine and the API server were found to need, as registered by the collection's
    playbooks (C(weft_observed), C(weft_stages), C(weft_credentials), C(weft_objects)).
  - Checks what only shows then, such as clocks, machine ids, addresses, reachability, and values that cannot change on
    a live cluster.
  - Shows the changes as a table; with C(--diff) also what changes in files.
  - Fails where a problem is an error. A machine that cannot be reached is named and left out.
options:
  output:
    description:
      - Folder for C(plan.json), C(plan.dot) and C(plan.svg), or one file with one of these endings.
      - Written also where the plan fails. Secrets are masked.
    type: path
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
    details: With C(--diff), the table holds the differences of files.
  action:
    description: >-
      Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Plan
  weft.platform.plan:
    output: /tmp/plan
  run_once: true
  register: weft_plan
"""

RETURN = r"""
changes:
  description: The changes that apply would make, secrets masked.
  returned: always
  type: list
  elements: dict
  sample:
    - subject: {type: sysctl, name: net.ipv4.ip_forward, scope: cp1}
      field: []
      action: changed
      before: "0"
      after: "1"
problems:
  description: Errors and warnings, see M(weft.platform.inventory).
  returned: always
  type: list
  elements: dict
  sample: []
hosts_with_changes:
  description: Inventory names of machines that have changes.
  returned: always
  type: list
  elements: str
  sample: [cp1, w1]
unreachable_hosts:
  description: Inventory names of machines that did not answer.
  returned: always
  type: list
  elements: str
  sample: []
summary:
  description: The counts as sentences.
  returned: always
  type: list
  elements: str
  sample: ["2 machines, 41 changes: 40 added, 1 changed", "restart containerd.service on cp1"]
report:
  description: The table and the sentences, as shown.
  returned: always
  type: str
  sample: "cp1  (control plane)..."
files:
  description: Files that were written.
  returned: always
  type: list
  elements: str
  sample: [/tmp/plan/plan.json]
leader:
  description: >-
    The control plane through which the cluster is changed. C(live), C(initialise), C(prepare), C(member), C(joiners)
    and C(nodes) of the stages stand beside it.
  returned: when there are stages
  type: str
  sample: cp1
"""

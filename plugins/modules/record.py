#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: record
short_description: Sum up a run, and fail where a machine did not come to its end
version_added: 0.1.0
description:
  - Joins what the tasks of a run registered into one list of changes, the same kind of list that the plan showed.
  - Fails and names every machine that failed or could not be reached, after the others are done.
options:
  planned:
    description: Changes of the plan, to hold the record against.
    type: list
    elements: dict
    default: []
  output:
    description: Folder for C(record.json). Without it, nothing is written.
    type: path
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
- name: Record what was made
  weft.platform.record:
    planned: "{{ weft_plan.changes }}"
    output: /tmp/run
  run_once: true
"""

RETURN = r"""
changes:
  description: The changes that were made, secrets masked.
  returned: success
  type: list
  elements: dict
  sample: []
unfinished:
  description: Machines that are not done, with the reason.
  returned: when a machine is not done
  type: dict
  sample: {w2: could not be reached}
"""

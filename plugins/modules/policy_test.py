#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_test
short_description: Run the policy's own tests
version_added: 0.1.0
description:
  - Runs C(policy/tests/*.yml) of a commit against its rules, offline, and fails when one fails.
options:
  repository:
    description: The Git repository, with base and head; bare or not.
    type: path
    default: .
  commit:
    description: Whose policy counts, a commit or a name.
    type: str
    default: HEAD
  run:
    description: Only tests of these names, in which C(*) is any text; all of them if nothing is said.
    type: list
    elements: str
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
- name: Test the policy
  weft.platform.policy_test:
    repository: /srv/site
"""

RETURN = r"""
tests:
  description: Each test with its name, whether it passed, why not, and the file in which it stands.
  returned: when they could be run, also where one fails the task
  type: list
  elements: dict
msg:
  description: How many passed, or which did not and why.
  returned: always
  type: str
"""

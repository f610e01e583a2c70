#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_check
short_description: Judge whether people may make a change
version_added: 0.1.0
description:
  - >-
    Judges the change between two commits by the policy on the target branch - whether it is valid, and permitted to
    everyone behind it - and fails with the reasons when it is prohibited.
  - Git objects are read only; nothing of the repository is checked out or run.
options:
  repository:
    description: The Git repository, with base and head; bare or not.
    type: path
    default: .
  base:
    description: Tip of the target branch, a commit or a name.
    type: str
    default: main
  head:
    description: What is to be merged, a commit or a name.
    type: str
    default: HEAD
  target:
    description: Name of the target branch; that of O(base) by default.
    type: str
  author:
    description: Login of who wants the change. Needed without O(request).
    type: str
  author_teams:
    description: The author's teams, where they are known.
    type: list
    elements: str
  committers:
    description: Logins of others who committed to it.
    type: list
    elements: str
  pushers:
    description: Logins of who pushed to it.
    type: list
    elements: str
  approvals:
    description: Who approved the head, C(LOGIN), or another commit, C(LOGIN@COMMIT).
    type: list
    elements: str
  request:
    description: File with all that the options above say, as JSON.
    type: path
  teams:
    description: File that says who is in which team, with logins by team below C(teams).
    type: path
  log:
    description: Decision log to append the verdict to.
    type: path
  now:
    description: Judge as if it were then (RFC 3339).
    type: str
  output:
    description: Files to write the verdict to, by form - text, markdown, json, sarif or junit.
    type: dict
  fail:
    description: Whether a prohibited change fails the task.
    type: bool
    default: true
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
- name: Judge what the branch feature would change
  weft.platform.policy_check:
    repository: /srv/site
    head: feature
    author: mona
    author_teams: [shop]
    output: {sarif: policy.sarif}
"""

RETURN = r"""
permitted:
  description: Whether the change may be merged.
  returned: when there is a verdict, also where it fails the task
  type: bool
verdict:
  description: The verdict; schemas/verdict.json describes it.
  returned: when there is a verdict, also where it fails the task
  type: dict
msg:
  description: The verdict as text, or why there is none.
  returned: always
  type: str
"""

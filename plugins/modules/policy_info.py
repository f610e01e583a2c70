#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_info
short_description: Say who may change what
version_added: 0.1.0
description:
  - >-
    For a path, object or field - who may change it, under which conditions, by which rule. For a person - what they may
    change, and what is demanded of them. Without either - the whole matrix of roles and areas, and what is odd about
    the policy.
options:
  repository:
    description: The Git repository, with base and head; bare or not.
    type: path
    default: .
  commit:
    description: Whose policy counts, a commit or a name.
    type: str
    default: HEAD
  path:
    description: Who may change this file.
    type: str
  kind:
    description: Kind of an object in O(path), with its group where it is not one of Kubernetes, C(Index.example.org).
    type: str
  name:
    description: Its name, C(namespace/name); some of that O(kind) if nothing is said.
    type: str
  field:
    description: A field of the object, or a variable in O(path).
    type: str
  person:
    description: What this person may change; not together with O(path).
    type: str
  teams:
    description: File that says who is in which team, with logins by team below C(teams).
    type: path
  forge:
    description:
      - Ask this forge for teams and accounts instead - C(github), C(gitea) or C(gitlab).
      - >-
        The token is taken from the variable E(WEFT_FORGE_TOKEN) of the environment that Ansible runs in, so that it
        stands in no playbook and no log.
    type: str
  api:
    description: Address of its API; for GitLab, of the server.
    type: str
  project:
    description: The repository on the forge, C(OWNER/NAME).
    type: str
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
- name: Ask who may change the version of production
  weft.platform.policy_info:
    repository: /srv/site
    path: inventories/prod/group_vars/cluster.yml
    field: cluster_kubernetes_version

- name: Ask what mona may change, with her teams as the forge has them
  weft.platform.policy_info:
    repository: /srv/site
    person: mona
    forge: gitea
    api: https://git.example.org/api/v1
    project: acme/site
"""

RETURN = r"""
info:
  description:
    - >-
      The answer. Each row of it has C(by), the rules that allow it with C(rule), C(who) and C(condition), and
      C(limits), what is demanded with C(rule), C(demands), C(condition) and C(always).
    - >-
      For O(path) it is one row with C(who), C(perhaps) for those who may by what is in the file, and C(there), whether
      there is such a file now; for O(person), C(may) has a row for each C(area); without either, C(matrix)
      has a row for each C(area), and there is a list for each thing that is odd.
  returned: success
  type: dict
msg:
  description: The answer as text, or why there is none.
  returned: always
  type: str
"""

#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stages
short_description: Sort the machines into the stages of a run
version_added: 0.1.0
description:
  - Decides from what every machine was found to need (registered as C(weft_observed)) which machines are prepared,
    which become members, and which control plane makes or leads the cluster.
  - Changes nothing and reaches no machine.
options: {}
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
- name: Sort the machines into stages
  weft.platform.stages:
  run_once: true
  register: weft_stages
"""

RETURN = r"""
leader:
  description: The control plane that makes the cluster, or through which this run reaches it. Empty where none can.
  returned: always
  type: str
  sample: cp1
live:
  description: Whether the API server of the leader answers.
  returned: always
  type: bool
prepare:
  description: Machines that need changes before they can be members.
  returned: always
  type: list
  elements: str
  sample: [cp1, w1]
member:
  description: Machines whose membership needs changes.
  returned: always
  type: list
  elements: str
  sample: [cp1, w1]
joiners:
  description: Machines that join a cluster which another one makes or has made.
  returned: always
  type: list
  elements: str
  sample: [w1]
problems:
  description: What forbids the run, with a way out for each.
  returned: always
  type: list
  elements: dict
  sample: []
api_server:
  description: Where the leader's own API server listens, as C(host:port); empty where there is no leader.
  returned: always
  type: str
network:
  description: Whether the inventory brings a pod network.
  returned: always
  type: bool
kubeconfig:
  description: Arguments of M(weft.platform.kubeconfig_file) for the person who runs this; empty where none is wanted.
  returned: always
  type: dict
  sample: {path: ~/.kube/prod.config, cluster: prod}
"""

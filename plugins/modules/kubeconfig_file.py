#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig_file
short_description: Keep a person's kubeconfig on the controller
version_added: 0.1.0
description:
  - Compares a file with what leads to the cluster, its server, its authority and a certificate that lasts at least
    30 days, and writes it with mode 0600 when it differs.
  - Making a certificate needs a control plane, so the file is written in two steps. Without O(kubeconfig) it is only
    compared, and RV(needed) says whether M(weft.platform.kubeconfig) must make one.
options:
  path:
    description: The file. C(~) is the user's home.
    type: str
    required: true
  cluster:
    description: Name of the cluster and of its context.
    type: str
    required: true
  endpoint:
    description: The API's host and port.
    type: str
    required: true
  user:
    description: Common name of the client certificate.
    type: str
    required: true
  ca_hash:
    description: The hash of the cluster's authority as C(weft.platform.node) tells it. Empty where no cluster exists.
    type: str
    default: ""
  kubeconfig:
    description: Text of a fresh kubeconfig.
    type: str
    default: ""
  merge:
    description: Keep what else the file holds. Without it, a file that holds other clusters is refused.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Compare
  weft.platform.kubeconfig_file: &file
    path: ~/.kube/prod.config
    cluster: prod
    endpoint: 192.0.2.10:6443
    user: weft:ada
    ca_hash: "{{ observed.facts.kubernetes.ca_hash }}"
  register: file

- name: Make a kubeconfig
  weft.platform.kubeconfig:
    user: weft:ada
    groups: [weft:cluster-operators]
    hours: 8760
  delegate_to: cp1
  register: made
  no_log: true
  when: file.needed

- name: Write
  weft.platform.kubeconfig_file:
    <<: *file
    kubeconfig: "{{ made.kubeconfig }}"
  when: file.needed
"""

RETURN = r"""
changes:
  description: The changes that are needed (check mode) or were made, as in M(weft.platform.node).
  returned: always
  type: list
  elements: dict
needed:
  description: Whether the file differs, so that a kubeconfig must be made.
  returned: always
  type: bool
"""

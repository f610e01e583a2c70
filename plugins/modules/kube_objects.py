#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_objects
short_description: Apply Kubernetes objects and tell every changed field
version_added: 0.1.0
description:
  - Compares objects with the live ones by a dry run of server-side apply, tells the differences field by field, and
    makes them unless in check mode.
  - Runs on the controller, with the Python package C(kubernetes).
  - Of a Node only labels and taints are applied; taints that others set stay.
options:
  kubeconfig:
    description: Text of a kubeconfig. Empty where no cluster exists yet; then everything is to be added.
    type: str
    default: ""
  api_server:
    description:
      - An API server of the cluster, as C(host:port), that is asked while the one of O(kubeconfig) does not answer.
      - The authority of O(kubeconfig) must have signed its certificate.
    type: str
    default: ""
  objects:
    description: The objects.
    type: list
    elements: dict
    default: []
  set:
    description:
      - Name of the set that O(objects) are. Each gets it as the label C(weft.platform/set).
      - What carries the label, was applied by this module and is not among O(objects) any more is removed. Looked for
        are ConfigMaps, Services, ServiceAccounts, ClusterRoles, ClusterRoleBindings, DaemonSets, Deployments and
        PodDisruptionBudgets.
    type: str
    default: ""
  newcomers:
    description:
      - Nodes that register in this run, with the labels and taints that they get, after O(objects).
      - Each is told as added, whole. In check mode none of them need be there.
    type: list
    elements: dict
    default: []
  wait_set:
    description:
      - Name of a set (see O(set)) whose DaemonSets and Deployments are waited for, last of all, until they have rolled
        out. Nodes that are not Ready are not waited for.
    type: str
    default: ""
  wait_nodes:
    description: Nodes, by name or by inventory name, to wait for until they are Ready, before anything is applied.
    type: list
    elements: str
    default: []
  wait_network:
    description:
      - Whether O(wait_nodes) waits for nodes whose network is not there. Set it to false where it is installed later.
    type: bool
    default: true
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 300
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: A namespace
  weft.platform.kube_objects:
    kubeconfig: "{{ lookup('ansible.builtin.file', '~/.kube/config') }}"
    objects:
      - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
"""

RETURN = r"""
changes:
  description: The changes that are needed (check mode) or were made, as in M(weft.platform.node).
  returned: always
  type: list
  elements: dict
"""

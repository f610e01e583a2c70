# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Door: the Kubernetes objects that an inventory asks for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_objects
author: the weft.platform authors (@weft-platform)
short_description: The Kubernetes objects that an inventory asks for
version_added: 0.1.0
description:
  - Renders access rules, network plugin, kube-proxy, CoreDNS and the labels and taints of nodes from the inventory.
options:
  _terms:
    description: V(newcomers) for the Node objects of machines that come in this run, V(members) for all else.
    type: str
    choices: [members, newcomers]
    required: true
  newcomers:
    description: Inventory names of the machines that are no members when the run begins.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what the cluster should hold
  ansible.builtin.debug:
    msg: "{{ lookup('weft.platform.cluster_objects', 'members') }}"
"""

RETURN = r"""
_value:
  description: The objects, in the order in which they are applied.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._doors import cluster_objects


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core ships no types
    """weft.platform.cluster_objects."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Render the objects."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [cluster_objects(variables or {}, self._templar, self.get_option("newcomers"), terms[0])]
        except (ArtifactError, KeyError) as error:
            raise AnsibleError(str(error)) from error

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A kubeconfig for a person or a program, signed by the cluster's authority on a control plane."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _observe
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import kubeadm

#: This group is the API server's own: no binding gives it its rights, so none can take them away.
UNREVOCABLE = "system:masters"


def kubeconfig(config: Sequence[Mapping[str, Any]], user: str, groups: Sequence[str], hours: int) -> str:
    """A kubeconfig with a client certificate; its rights are those that the cluster binds to the user and the groups.

    Args:
        config: kubeadm's InitConfiguration and ClusterConfiguration.
        user: the certificate's common name.
        groups: its organizations.
        hours: how long it is valid.

    Raises:
        KubeadmError: the machine is no control plane, or a group could not be taken back.
    """
    if UNREVOCABLE in groups:
        raise KubeadmError(f"the group {UNREVOCABLE} cannot be taken back from who has it: bind another group")
    found = _observe.membership()
    if not found.member or found.role != _observe.CONTROL_PLANE:
        raise KubeadmError(f"this machine is no control plane (it is: {found.state}); ask one that is")
    words = ["kubeconfig", "user", f"--client-name={user}", f"--validity-period={hours}h"]
    return kubeadm([*words, *(f"--org={group}" for group in groups)], config)

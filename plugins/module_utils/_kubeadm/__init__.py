# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kubernetes on a machine by kubeadm: membership, static pods, certificates, encryption at rest.

RESOURCES maps a spec's type to its class; facts() says what the machine is; mint(), revoke() and kubeconfig() work on
a control plane for others.
"""

from __future__ import annotations

from typing import Dict, Type

from ansible_collections.weft.platform.plugins.module_utils._kubeadm._certificate import Certificates
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._credentials import (
    Joiners,
    join_credentials,
    leave,
    mint,
    revoke,
)
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._encryption import Encryption
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._facts import facts
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._kubeconfig import kubeconfig
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._member import ControlPlane, Worker
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._patches import Patches
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._static_pods import StaticPods
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

__all__ = ["RESOURCES", "Joiners", "KubeadmError", "facts", "join_credentials", "kubeconfig", "leave", "mint", "revoke"]

RESOURCES: Dict[str, Type[Resource]] = {
    kind.type: kind for kind in (ControlPlane, Worker, Encryption, Patches, StaticPods, Certificates)
}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Which variables of an inventory say what a Change wants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _containerd, _kubeadm, _units

#: A variable, and the way to the part of its value.
Source = tuple[str, tuple[Any, ...]]

#: By subject type: variables whose keys or elements are the subjects' names.
_NAMED = {"sysctl": "node_sysctls", "kernel_module": "node_kernel_modules", "package": "node_packages"}
#: By subject type ("" for any) and a pattern of its name: variables that its content is made of.
_WHOLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("swap", ".*", ("node_swap",)),
    ("firewall", ".*", ("node_firewall",)),
    ("encryption", ".*", ("cluster_encryption_resources",)),
    ("file", re.escape(_containerd.HOSTS) + "/.*", ("containerd_registries",)),
    ("file", re.escape(_units.CONTAINERD_PROXY), ("node_proxy",)),
    ("file", "/etc/sysctl.d/.*", ("node_sysctls",)),
    ("file", "/etc/modules-load.d/.*", ("node_kernel_modules", "network_plugin")),
    ("file", f"{_kubeadm.FOLDER}/audit-policy-.*", ("cluster_audit_policy",)),
    ("file", f"{_kubeadm.FOLDER}/authentication.yaml", ("cluster_authentication",)),
    ("file", f"{_kubeadm.FOLDER}/admission-.*", ("cluster_pod_security",)),
    ("file", f"{_kubeadm.MANIFESTS}/kube-vip.yaml", ("cluster_endpoint_provider", "cluster_endpoint_interface")),
    ("kubeconfig", ".*", ("cluster_kubeconfig",)),
    ("ConfigMap", "kube-system/coredns", ("dns_config", "dns_upstream")),
    ("Deployment.apps", "kube-system/coredns", ("dns_replicas",)),
    ("PodDisruptionBudget.policy", "kube-system/coredns", ("dns_replicas",)),
    ("ConfigMap", "kube-system/kube-proxy", ("proxy_mode", "proxy_config")),
    ("ConfigMap", "kube-system/flannel", ("network_mtu", "network_config")),
    ("", "(kube-system/|weft:)kube-router", ("network_plugin",)),
)
_COMPONENTS = {
    "etcd": "etcd",
    "kube-apiserver": "apiserver",
    "kube-controller-manager": "controller_manager",
    "kube-scheduler": "scheduler",
}


def sources(change: Change) -> Iterator[Source]:
    """Every variable that may say what the Change wants, with the part of its value that does."""
    kind, name, field = change.subject.type, change.subject.name, change.field
    if kind in _NAMED:
        yield _NAMED[kind], (name,)
    elif kind == "static_pods" and len(field) > 1 and str(field[-1]).startswith("--"):
        yield "cluster_component_args", (_COMPONENTS[str(field[0])], str(field[-1])[2:])
    elif kind == "certificates" and field[1:2] == ("sans",):
        yield "cluster_extra_sans", (field[2],)
    elif kind == "Node" and field[:2] == ("metadata", "labels"):
        yield "node_labels", field[2:3]
    elif kind == "Node" and field[:2] == ("spec", "taints"):
        yield "node_taints", ()
    for kinds, names, variables in _WHOLE:
        if kinds in ("", kind) and re.fullmatch(names, name):
            yield from ((variable, ()) for variable in variables)

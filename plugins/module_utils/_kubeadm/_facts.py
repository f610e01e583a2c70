# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the controller wants to know of a machine's membership, in one go."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _api, _observe
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import CONTROL_PLANE, ETC


def facts() -> Dict[str, Any]:
    """Facts of the machine as a member of a cluster.

    Returns:
        member: none, partial, control_plane or worker.
        unfinished: "", init, join or unknown.
        node_name, version: of the member ("" when none); `version` is what the control plane or the kubelet runs.
        kubelet, kubeadm: versions of the installed programs, "" when they are not installed.
        ca_hash: "sha256:HEX" of the cluster's CA (public key), "" when there is none.
        node_ip: the address by which the kubelet says it is reached, "" when not known.
        endpoint: host:port of the cluster's API, "" when not known.
        pod_cidr, service_cidr: of a control plane, else "".
        dns_domain: "" when not known.
        api_healthy: whether this control plane's API server says it is ready (asked for 5 s at most).
        etcd: whether an etcd member runs here.
    """
    found = _observe.membership()
    authority = _observe.certificate(ETC / "pki/ca.crt")
    api = _observe.arguments("kube-apiserver")
    control = found.role == CONTROL_PLANE
    kubeconfigs = ("admin.conf", "super-admin.conf") if control else ("kubelet.conf",)
    endpoint = next(filter(None, map(_observe.server, kubeconfigs)), "")
    return {
        "member": found.state,
        "unfinished": found.unfinished,
        "node_name": found.name,
        "version": found.version,
        "kubelet": _observe.binary_version("kubelet"),
        "kubeadm": _observe.binary_version("kubeadm"),
        "ca_hash": authority.public_key if authority else "",
        "node_ip": _observe.kubelet_flag("node-ip"),
        "endpoint": endpoint.replace("https://", ""),
        "pod_cidr": str(_observe.arguments("kube-controller-manager").get("--cluster-cidr", "")),
        "service_cidr": str(api.get("--service-cluster-ip-range", "")),
        "dns_domain": str(_observe.kubelet_setting("clusterDomain") or ""),
        "api_healthy": control and _api.healthy("127.0.0.1", int(api.get("--secure-port", 6443)), "/readyz", timeout=5),
        "etcd": _etcd() if control else False,
    }


def _etcd() -> bool:
    try:
        return _observe.manifest("etcd") is not None
    except KubeadmError:
        return True  # it is there, though it cannot be read; the resource that compares it says so

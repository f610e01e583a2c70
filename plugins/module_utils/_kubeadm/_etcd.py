# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""An etcd that the user runs, as kubeadm's configuration names it."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import Document, run

#: Where the API server keeps its objects (kube-apiserver, --etcd-prefix).
PREFIX = "/registry"


def external(documents: Sequence[Document]) -> Dict[str, Any]:
    """Endpoints and files of the user's etcd (kubeadm v1beta4, ExternalEtcd); empty where etcd runs on the members."""
    return dict((_cluster(documents).get("etcd") or {}).get("external") or {})


def refuse_data_of_others(documents: Sequence[Document]) -> None:
    """A new cluster begins with an empty etcd: it cannot read what another one has encrypted.

    Raises:
        KubeadmError: the user's etcd holds objects, or does not answer.
    """
    found = external(documents)
    if not found:
        return
    endpoints, prefix = ",".join(found["endpoints"]), _prefix(documents)
    words = ["etcdctl", f"--endpoints={endpoints}", "--dial-timeout=5s", "--command-timeout=10s"]
    for option, key in (("cacert", "caFile"), ("cert", "certFile"), ("key", "keyFile")):
        words += [f"--{option}={found[key]}"] if found.get(key) else []
    if run([*words, "get", prefix, "--prefix", "--keys-only", "--limit=1"]).strip():
        raise KubeadmError(
            f"the etcd at {endpoints} holds the objects of another cluster under {prefix}: give each cluster an etcd "
            "or a prefix of its own (argument etcd-prefix of the API server); if nothing of the other one is needed, "
            f"remove it with `etcdctl del --prefix {prefix}`; then apply"
        )


def _prefix(documents: Sequence[Document]) -> str:
    arguments = (_cluster(documents).get("apiServer") or {}).get("extraArgs") or []
    found = next((str(one["value"]) for one in arguments if one["name"] == "etcd-prefix"), PREFIX)
    return f"/{found.strip('/')}/"


def _cluster(documents: Sequence[Document]) -> Mapping[str, Any]:
    """The ClusterConfiguration; what joins has none."""
    return next((one for one in documents if one.get("kind") == "ClusterConfiguration"), {})

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A machine in a folder, with a kubeadm that notes what it is told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import (
    _certificate,
    _credentials,
    _encryption,
    _facts,
    _member,
    _observe,
    _run,
    _static_pods,
)

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBtzCCAV2gAwIBAgIUQw76/ksAv2z3FXfRGxXSITVtVzEwCgYIKoZIzj0EAwIw
MTEVMBMGA1UECgwMc3lzdGVtOm5vZGVzMRgwFgYDVQQDDA9zeXN0ZW06bm9kZTpj
cDEwHhcNMjYxMTIzMTAwODUxWhcNMzYxMTIwMTAwODUxWjAxMRUwEwYDVQQKDAxz
eXN0ZW06bm9kZXMxGDAWBgNVBAMMD3N5c3RlbTpub2RlOmNwMTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABLi0qe/l2ZfjOrNCcpB64nnXAPy3EUlwUZprotX3Bv96
vFf6fpbAJ/91gQNDeedIOrsdySeBR7Kx8OlgacmtsuejUzBRMB0GA1UdDgQWBBRf
II/9LRJj8NS5iJX2IbEIOWaXmjAfBgNVHSMEGDAWgBRfII/9LRJj8NS5iJX2IbEI
OWaXmjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDfMeWQT94Y
U2kz3L5W65wwGaW47+cYS+yLNKFKouavcAIgc2/eZCdbIsiAxN36mW0XC2/kfwBc
tnnnMvVZxsKQlIU=
-----END CERTIFICATE-----
"""

#: Notes arguments, --config and the discovery file it leads to; does what `behaviour` says (a shell fragment).
KUBEADM = """\
#!/bin/sh
set -e
echo "$*" >> {notes}/calls
while [ $# -gt 0 ]; do
  case "$1" in
    --config) cat "$2" > {notes}/config; shift ;;
    --config=*) cat "${{1#--config=}}" > {notes}/config ;;
    init|join|reset) verb=$1 ;;
  esac
  shift
done
path=$(sed -n 's/.*"kubeConfigPath": "\\([^"]*\\)".*/\\1/p' {notes}/config 2>/dev/null || true)
[ -z "$path" ] || cat "$path" > {notes}/discovery
. {notes}/behaviour
"""


class Machine:
    """Folders of a machine, and what its kubeadm was told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc = root / "etc/kubernetes"
        self.kubelet = root / "var/lib/kubelet"
        self.etcd = root / "var/lib/etcd"
        self.marker = root / "var/lib/weft/membership.json"
        self.notes = root / "notes"
        for folder in (self.etc / "manifests", self.kubelet / "pki", self.etcd, self.marker.parent, self.notes):
            folder.mkdir(parents=True)
        self.behave("true")
        self.install("kubeadm", KUBEADM.format(notes=self.notes))
        self.install("kubelet", "#!/bin/sh\necho Kubernetes v1.37.2\n")

    def install(self, name: str, text: str) -> None:
        """Put a program where the collection looks for it."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def behave(self, script: str) -> None:
        """What kubeadm does from now on."""
        (self.notes / "behaviour").write_text(script + "\n")

    @property
    def calls(self) -> list[str]:
        """What kubeadm was called with."""
        path = self.notes / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def config(self) -> list[dict[str, Any]]:
        """Documents of the last call."""
        return [json.loads(part) for part in (self.notes / "config").read_text().split("\n---\n")]

    def become_worker(self) -> None:
        """What a finished join leaves."""
        (self.etc / "kubelet.conf").write_text("clusters:\n- cluster:\n    server: https://192.0.2.10:6443\n")
        (self.kubelet / "pki/kubelet-client-current.pem").write_text(CERTIFICATE)
        (self.kubelet / "config.yaml").write_text("clusterDomain: cluster.local\nclusterDNS:\n- 10.96.0.10\n")

    def become_control_plane(self, version: str = "v1.37.2") -> None:
        """What a finished init leaves."""
        self.become_worker()
        for name in ("etcd", *_observe.COMPONENTS):
            (self.etc / "manifests" / f"{name}.yaml").write_text(manifest(name, version))


def manifest(name: str, version: str = "v1.37.2", **flags: str) -> str:
    """A static pod as kubeadm writes it, shortened."""
    own: Mapping[str, Mapping[str, str]] = {
        "kube-apiserver": {"secure-port": "6443", "service-cluster-ip-range": "10.96.0.0/12"},
        "kube-controller-manager": {"cluster-cidr": "10.244.0.0/16"},
        "etcd": {"initial-cluster": "cp1=https://192.0.2.11:2380", "name": "cp1"},
    }
    lines = "".join(f"    - --{flag}={value}\n" for flag, value in sorted({**own.get(name, {}), **flags}.items()))
    return (
        "apiVersion: v1\nkind: Pod\nmetadata:\n"
        f"  name: {name}\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - {name}\n{lines}"
        f"    image: registry.k8s.io/{name}:{version}\n    name: {name}\n  hostNetwork: true\nstatus: {{}}\n"
    )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A bare machine."""
    found = Machine(tmp_path)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for module in (_run, _member, _observe):
        monkeypatch.setattr(module, "PATH", path)
    for module in (_member, _observe, _static_pods, _certificate, _credentials, _facts):
        monkeypatch.setattr(module, "ETC", found.etc)
    for module in (_member, _observe):
        monkeypatch.setattr(module, "ETCD", found.etcd)
    monkeypatch.setattr(_observe, "KUBELET", found.kubelet)
    monkeypatch.setattr(_observe, "MARKER", found.marker)
    monkeypatch.setattr(_member, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(_encryption, "FILE", found.etc / "weft/encryption.json")
    return found

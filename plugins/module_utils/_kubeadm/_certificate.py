# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Certificates that kubeadm made: the names in the API server's, and that none is about to end."""

from __future__ import annotations

import base64
import ipaddress
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _observe, _x509
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import ETC
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import at_version, kubeadm
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

#: A certificate with less than this before it is renewed, in days.
RENEW_DAYS = 30

#: Where a certificate of `kubeadm certs renew` is; a path that ends in .conf holds it inside a kubeconfig.
FILES: Mapping[str, str] = {
    "apiserver": "pki/apiserver.crt",
    "apiserver-kubelet-client": "pki/apiserver-kubelet-client.crt",
    "apiserver-etcd-client": "pki/apiserver-etcd-client.crt",
    "front-proxy-client": "pki/front-proxy-client.crt",
    "etcd-server": "pki/etcd/server.crt",
    "etcd-peer": "pki/etcd/peer.crt",
    "etcd-healthcheck-client": "pki/etcd/healthcheck-client.crt",
    "admin.conf": "admin.conf",
    "super-admin.conf": "super-admin.conf",
    "controller-manager.conf": "controller-manager.conf",
    "scheduler.conf": "scheduler.conf",
}


class Certificate(Resource):
    """One certificate of a control plane.

    Spec: name (of FILES), sans (names that it must have; only for "apiserver"), config (kubeadm's documents).
    The API server reads its serving certificate again by itself; nothing restarts.
    """

    type: ClassVar[str] = "certificate"

    def observe(self) -> Value:
        """ABSENT before the machine is a control plane, else {"sans": {name: true}, "renewal": "due" or "not due"}."""
        found = _observe.membership()
        if not found.member or found.role != _observe.CONTROL_PLANE:
            return ABSENT
        one = self.certificate()
        if one is None:
            return {"sans": {}, "renewal": "missing"}
        due = one.days_left(datetime.now(timezone.utc)) < RENEW_DAYS
        # What the certificate has beyond the wanted names (kubeadm adds its own) is no difference.
        sans = {name: True for name in self.wanted() if name in one.sans}
        return {"sans": sans, "renewal": "due" if due else "not due"}

    def desired(self) -> Value:
        """The wanted names and a certificate that lasts."""
        return {"sans": dict.fromkeys(self.wanted(), True), "renewal": "not due"}

    def changes(self, observed: Value) -> List[Change]:
        """None before the machine is a control plane: joining makes the certificates."""
        return [] if observed is ABSENT else super().changes(observed)

    def wanted(self) -> List[str]:
        """Names in the form in which a certificate shows them."""
        return sorted({_normal(str(san)) for san in self.spec.get("sans", [])})

    def certificate(self) -> Optional[_x509.Certificate]:
        """The live certificate, or None."""
        path = ETC / FILES[str(self.spec["name"])]
        if path.suffix != ".conf":
            return _observe.certificate(path)
        try:
            found = re.search(r"client-certificate-data: (\S+)", path.read_text())
            return _x509.read(base64.b64decode(found.group(1)).decode()) if found else None
        except (OSError, ValueError):
            return None

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the certificate anew with the cluster's authority.

        Raises:
            KubeadmError: kubeadm could not; the old certificate is in place.
        """
        name = str(self.spec["name"])
        if name != "apiserver":
            kubeadm(["certs", "renew", name], self.documents())
            return
        kubeadm(["init", "phase", "upload-config", "kubeadm"], self.documents())
        pair = [ETC / "pki/apiserver.crt", ETC / "pki/apiserver.key"]
        saved = [_aside(path) for path in pair]
        try:
            kubeadm(["init", "phase", "certs", "apiserver"], self.documents())
        except KubeadmError:
            for path, old in zip(pair, saved):
                if old.exists():
                    old.replace(path)
            raise
        for old in saved:
            if old.exists():
                old.unlink()

    def documents(self) -> List[Dict[str, Any]]:
        """The configuration at the version that runs."""
        return at_version(self.spec["config"], _observe.version(_observe.CONTROL_PLANE))


def _aside(path: Path) -> Path:
    """Move a file out of the way, over what an earlier try left there; the new place."""
    old = path.with_name(path.name + ".weft-old")
    if path.exists():
        path.replace(old)
    return old


def _normal(san: str) -> str:
    try:
        return str(ipaddress.ip_address(san))
    except ValueError:
        return san

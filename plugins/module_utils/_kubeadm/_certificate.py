# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Certificates that kubeadm made: the names in the API server's, that none is about to end, and that all are in use."""

from __future__ import annotations

import base64
import ipaddress
import re
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value, diff
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _etcd, _observe, _x509
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import ETC
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import at_version, kubeadm
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._static_pods import restart
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

#: A certificate with less than this before it is renewed, in days.
RENEW_DAYS = 30
#: The certificate that the API server shows.
SERVING = "apiserver"

#: By kubeadm's name: where a certificate is (a path that ends in .conf holds it inside a kubeconfig), and the static
#: pod that must restart to take a new one, "" where none must: the API server reads its serving certificate again by
#: itself, and etcd reads its own at each handshake.  super-admin.conf is not kept (see _member).
FILES: Mapping[str, Tuple[str, str]] = {
    "apiserver": ("pki/apiserver.crt", ""),
    "apiserver-kubelet-client": ("pki/apiserver-kubelet-client.crt", "kube-apiserver"),
    "front-proxy-client": ("pki/front-proxy-client.crt", "kube-apiserver"),
    "apiserver-etcd-client": ("pki/apiserver-etcd-client.crt", "kube-apiserver"),
    "etcd-server": ("pki/etcd/server.crt", ""),
    "etcd-peer": ("pki/etcd/peer.crt", ""),
    "etcd-healthcheck-client": ("pki/etcd/healthcheck-client.crt", ""),
    "admin.conf": ("admin.conf", "kube-vip"),
    "controller-manager.conf": ("controller-manager.conf", "kube-controller-manager"),
    "scheduler.conf": ("scheduler.conf", "kube-scheduler"),
}


class Certificates(Resource):
    """The certificates of a control plane.

    Spec: name, sans (names that the API server's must have), config (kubeadm's documents).
    """

    type: ClassVar[str] = "certificates"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        self.starts: Dict[str, List[float]] = {}

    def observe(self) -> Value:
        """ABSENT before the machine is a control plane, else by kubeadm's name what `look` says."""
        found = _observe.membership()
        if not found.member or found.role != _observe.CONTROL_PLANE:
            return ABSENT
        self.starts = _observe.starts(*filter(None, (pod for _path, pod in FILES.values())))
        return {name: self.look(name) for name in self.names()}

    def names(self) -> List[str]:
        """The certificates that there are; those for an etcd that is run elsewhere are the inventory's."""
        elsewhere = _etcd.external(self.spec["config"])
        return [name for name in FILES if not (elsewhere and "etcd" in name)]

    def look(self, name: str) -> Dict[str, Value]:
        """{"renewal": "due", "not due" or "missing"}, with the wanted names that the API server's certificate has as
        {"sans": {name: true}}, and for one that a pod reads {"restart_owed": whether it runs with an older one}."""
        path, pod = FILES[name]
        one = certificate(ETC / path)
        out: Dict[str, Value] = {"renewal": "missing"}
        if one is not None:
            due = one.days_left(datetime.now(timezone.utc)) < RENEW_DAYS
            out["renewal"] = "due" if due else "not due"
        if name == SERVING:
            # What the certificate has beyond the wanted names (kubeadm adds its own) is no difference.
            out["sans"] = {san: True for san in self.wanted() if one is not None and san in one.sans}
        if pod:
            out["restart_owed"] = older(self.starts[pod], ETC / path)
        return out

    def desired(self) -> Value:
        """The wanted names and certificates that last and are in use."""
        out: Dict[str, Dict[str, Value]] = {}
        for name in self.names():
            out[name] = {"renewal": "not due", **({"restart_owed": False} if FILES[name][1] else {})}
        out[SERVING]["sans"] = dict.fromkeys(self.wanted(), True)
        return out

    def changes(self, observed: Value) -> List[Change]:
        """None before the machine is a control plane: joining makes the certificates.  Each says what restarts."""
        if observed is ABSENT:
            return []
        out: List[Change] = []
        for name, wanted in self.desired().items():
            pod = FILES[name][1]
            # kube-vip runs on some control planes only.
            cost = f"restart {pod}" if pod and self.starts[pod] else ""
            out += diff(self.subject, {name: observed[name]}, {name: wanted}, cost)
        return out

    def wanted(self) -> List[str]:
        """Names in the form in which a certificate shows them."""
        return sorted({_normal(str(san)) for san in self.spec.get("sans", [])})

    def apply(self, changes: Sequence[Change]) -> None:
        """Make certificates anew with the cluster's authorities, and restart what would use the old ones.

        Raises:
            KubeadmError: kubeadm could not make one, which leaves the old one in place, or a pod did not come back.
        """
        if any(change.field[:2] == (SERVING, "sans") for change in changes):
            kubeadm(["init", "phase", "upload-config", "kubeadm"], self.documents())
        before = {change.field[0]: change.before for change in changes if change.field[1] == "renewal"}
        for name in dict.fromkeys(str(change.field[0]) for change in changes if change.field[1] != "restart_owed"):
            if name == SERVING:
                self.replace(name)
            elif before[name] == "missing":
                self.make(name)
            else:
                kubeadm(["certs", "renew", name], self.documents())
        for pod in dict.fromkeys(FILES[str(change.field[0])][1] for change in changes):
            if pod and self.starts[pod]:
                restart(pod)

    def make(self, name: str) -> None:
        """Make a certificate that is not there."""
        words = ["kubeconfig", name[: -len(".conf")]] if name.endswith(".conf") else ["certs", name]
        kubeadm(["init", "phase", *words], self.documents())

    def replace(self, name: str) -> None:
        """Make a certificate with other names than the old one, which comes back when that fails."""
        path = ETC / FILES[name][0]
        pair = [path, path.with_suffix(".key")]
        saved = [_aside(one) for one in pair]
        try:
            self.make(name)
        except KubeadmError:
            for one, old in zip(pair, saved):
                if old.exists():
                    old.replace(one)
            raise
        for old in saved:
            if old.exists():
                old.unlink()

    def documents(self) -> List[Dict[str, Any]]:
        """The configuration at the version that runs."""
        return at_version(self.spec["config"], _observe.version(_observe.CONTROL_PLANE))


def certificate(path: Path) -> Optional[_x509.Certificate]:
    """The live certificate, or None."""
    if path.suffix != ".conf":
        return _observe.certificate(path)
    try:
        found = re.search(r"client-certificate-data: (\S+)", path.read_text())
        return _x509.read(base64.b64decode(found.group(1)).decode()) if found else None
    except (OSError, ValueError):
        return None


def older(starts: Sequence[float], path: Path) -> bool:
    """Whether what began at these times began before a file was written.  A file from the future tells nothing.

    Its mode may change, which hardening scripts do every night, without anything to read anew.
    """
    try:
        written = path.stat().st_mtime
    except OSError:
        return False
    return bool(starts) and max(starts) + 1 < written <= time.time()


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

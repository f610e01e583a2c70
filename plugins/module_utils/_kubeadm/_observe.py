# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a machine is in a cluster, read from its own files; nothing is changed here and no server is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _x509, _yaml
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import PATH

ETC = Path("/etc/kubernetes")
KUBELET = Path("/var/lib/kubelet")
ETCD = Path("/var/lib/etcd")
#: There from before kubeadm starts until it has ended well: what is found beside it is unfinished.
MARKER = Path("/var/lib/weft/membership.json")

CONTROL_PLANE = "control_plane"
WORKER = "worker"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class Membership:
    """What the machine is.

    role        "control_plane", "worker", or "" for neither
    name        name of its Node object, "" when not known
    version     Kubernetes version it runs, "v1.37.2", "" when not known
    unfinished  "init" or "join" when that was begun here and did not end; "unknown" when files of a membership are
                there that nothing on the machine explains
    """

    role: str = ""
    name: str = ""
    version: str = ""
    unfinished: str = ""

    @property
    def member(self) -> bool:
        """Whether the machine belongs to a cluster, wholly."""
        return bool(self.role) and not self.unfinished

    @property
    def state(self) -> str:
        """none, partial, control_plane or worker."""
        if self.unfinished:
            return "partial"
        return self.role or "none"


def membership() -> Membership:
    """Read what the machine is.

    Raises:
        KubeadmError: a file that must be readable is not.
    """
    started = marker()
    joined = (ETC / "kubelet.conf").exists() and kubelet_certificate() is not None
    control = any((ETC / "manifests" / f"{name}.yaml").exists() for name in (*COMPONENTS, "etcd"))
    role = CONTROL_PLANE if control else WORKER if joined else ""
    unfinished = str(started.get("action", "join")) if started is not None else ""
    if not unfinished and not joined and (control or (ETC / "bootstrap-kubelet.conf").exists()):
        unfinished = "unknown"
    if unfinished and started is not None:
        role = str(started.get("role", role))
    return Membership(role, node_name() if joined else "", version(role) if role else "", unfinished)


def marker() -> Optional[Mapping[str, Any]]:
    """What was begun here and has not ended, or None."""
    try:
        found = json.loads(MARKER.read_text())
    except FileNotFoundError:
        return None
    except ValueError:  # killed while it was written: it was begun all the same
        return {}
    return found if isinstance(found, dict) else {}


def kubelet_certificate() -> Optional[_x509.Certificate]:
    """The kubelet's client certificate, or None before it has one."""
    return certificate(KUBELET / "pki/kubelet-client-current.pem")


def node_name() -> str:
    """The Node object's name, from the kubelet's certificate (system:node:NAME)."""
    found = kubelet_certificate()
    return found.common_name[len("system:node:") :] if found and found.common_name.startswith("system:node:") else ""


def certificate(path: Path) -> Optional[_x509.Certificate]:
    """The certificate in a file, or None when the file is not there or holds none."""
    try:
        return _x509.read(path.read_text())
    except (OSError, _x509.CertificateError):
        return None


def manifest(name: str, folder: Optional[Path] = None) -> Optional[Dict[str, Any]]:
    """A static pod's manifest, or None when it is not there.

    Raises:
        KubeadmError: it is there and cannot be understood.
    """
    path = (folder or ETC / "manifests") / f"{name}.yaml"
    try:
        found = _yaml.load(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise KubeadmError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise KubeadmError(f"{path} is not a manifest")
    return found


def arguments(name: str) -> Mapping[str, Any]:
    """A static pod's flags, with their dashes; empty when it is not there or not readable."""
    try:
        return _yaml.flags((manifest(name) or {})["spec"]["containers"][0]["command"])[1]  # type: ignore[no-any-return]
    except (KubeadmError, KeyError, IndexError, TypeError):
        return {}


def version(role: str) -> str:
    """The version a machine runs: a control plane's is its API server's, a worker's its kubelet's."""
    if role == CONTROL_PLANE:
        try:
            image = (manifest("kube-apiserver") or {})["spec"]["containers"][0]["image"]
        except (KubeadmError, KeyError, IndexError, TypeError):
            return ""
        return str(image).rsplit(":", 1)[-1].split("@")[0]
    return binary_version("kubelet")


def starts(*names: str) -> Dict[str, List[float]]:
    """By program, when each of its processes began, in seconds of the epoch."""
    ticks = os.sysconf("SC_CLK_TCK")
    boot = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    out: Dict[str, List[float]] = {name: [] for name in names}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            program = os.path.basename((folder / "cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace"))
            if program in out:
                began = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[19])  # proc(5): starttime
                out[program].append(boot + began / ticks)
        except (OSError, IndexError):
            continue  # ended meanwhile
    return out


def binary_version(name: str) -> str:
    """What an installed program calls its version ("v1.37.2"), or ""."""
    command = {"kubelet": ["kubelet", "--version"], "kubeadm": ["kubeadm", "version", "-o", "short"]}[name]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": PATH, "LC_ALL": "C"},
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"v\d+\.\d+\.\d+\S*", done.stdout)
    return found.group(0) if found else ""


def server(name: str) -> str:
    """The server that a kubeconfig of /etc/kubernetes names ("https://192.0.2.10:6443"), or ""."""
    try:
        found = re.search(r"^\s*server: (\S+)\s*$", (ETC / name).read_text(), re.M)
    except OSError:
        return ""
    return found.group(1) if found else ""


def kubelet_setting(name: str) -> Any:
    """A top-level setting of the kubelet's configuration, or None."""
    try:
        return _yaml.load((KUBELET / "config.yaml").read_text()).get(name)
    except (OSError, ValueError, AttributeError):
        return None


def kubelet_flag(name: str) -> str:
    """A flag that kubeadm has given the kubelet in kubeadm-flags.env ("node-ip"), or ""."""
    try:
        found = re.search(rf"--{re.escape(name)}=([^\s\"']*)", (KUBELET / "kubeadm-flags.env").read_text())
    except OSError:
        return ""
    return found.group(1) if found else ""

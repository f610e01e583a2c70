# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""containerd's configuration (version 3, containerd 2.x) and its registry hosts, from variables.

Sources: containerd docs/cri/config.md, docs/hosts.md; Kubernetes "Container Runtimes" (systemd cgroup driver).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import merge

CONFIG = "/etc/containerd/config.toml"
HOSTS = "/etc/containerd/certs.d"
SOCKET = "unix:///run/containerd/containerd.sock"


def config(pause_image: str, over: Mapping[str, Any]) -> str:
    """Text of /etc/containerd/config.toml.

    Args:
        pause_image: reference of the sandbox image, the one kubeadm names.
        over: `containerd_config`, laid over ours.
    """
    ours = {
        "version": 3,
        "plugins": {
            "io.containerd.cri.v1.images": {
                "pinned_images": {"sandbox": pause_image},
                "registry": {"config_path": HOSTS},
            },
            "io.containerd.cri.v1.runtime": {
                "containerd": {
                    "runtimes": {
                        "runc": {
                            "runtime_type": "io.containerd.runc.v2",
                            "options": {"SystemdCgroup": True},
                        }
                    }
                },
                "cni": {"bin_dirs": ["/opt/cni/bin"], "conf_dir": "/etc/cni/net.d"},
            },
        },
    }
    return tomli_w.dumps(merge(ours, over))


def registry_hosts(registries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """File resources for `containerd_registries`: a hosts.toml for each prefix, and the authorities they name.

    Credentials make the file secret: they are sent as a Basic authorization header to the mirrors of that prefix only.
    """
    out: list[dict[str, Any]] = []
    for registry in registries:
        prefix = str(registry["prefix"])
        folder = f"{HOSTS}/{'_default' if prefix == '*' else prefix}"
        host: dict[str, Any] = {"capabilities": ["pull", "resolve"]}
        if registry.get("override_path"):
            host["override_path"] = True
        if registry.get("ca"):
            out.append({"type": "file", "path": f"{folder}/ca.crt", "content": str(registry["ca"]), "mode": "0644"})
            host["ca"] = f"{folder}/ca.crt"
        secret = bool(registry.get("username"))
        if secret:
            # Written as Go does, so that containerd's own header for a token takes its place and does not join it.
            host["header"] = {"Authorization": _basic(str(registry["username"]), str(registry.get("password", "")))}
        content: dict[str, Any] = {} if prefix == "*" else {"server": f"https://{_server(prefix)}"}
        content["host"] = {_url(mirror): host for mirror in registry.get("mirrors") or [f"https://{_server(prefix)}"]}
        spec = {"type": "file", "path": f"{folder}/hosts.toml", "content": tomli_w.dumps(content)}
        out.append({**spec, "mode": "0600" if secret else "0644", **({"secret": True} if secret else {})})
    return out


def _basic(username: str, password: str) -> str:
    from base64 import b64encode

    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def _server(prefix: str) -> str:
    """The host that really serves a prefix: Docker Hub's is not its name."""
    return "registry-1.docker.io" if prefix == "docker.io" else prefix


def _url(mirror: str) -> str:
    return mirror if urlsplit(mirror).scheme in ("http", "https") else f"https://{mirror}"

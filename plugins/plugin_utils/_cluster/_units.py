# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""systemd units of a node.  Sources: containerd's containerd.service; Kubernetes' kubelet.service, 10-kubeadm.conf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

CONTAINERD_UNIT = "/etc/systemd/system/containerd.service"
CONTAINERD_PROXY = "/etc/systemd/system/containerd.service.d/proxy.conf"
KUBELET_UNIT = "/etc/systemd/system/kubelet.service"
KUBELET_CONFIG_DIR = "/etc/kubernetes/kubelet.conf.d"
KUBELET_CONFIG = f"{KUBELET_CONFIG_DIR}/20-weft.conf"


def containerd() -> str:
    """Text of containerd.service."""
    return """\
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target dbus.service

[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
# Containers outlive a restart of containerd.
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""


def kubelet() -> str:
    """Text of kubelet.service, with kubeadm's files and our drop-in directory.

    Until kubeadm has written the configuration there is nothing to run, so the unit waits for the file.
    """
    return f"""\
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target containerd.service
ConditionPathExists=/var/lib/kubelet/config.yaml
StartLimitIntervalSec=0

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet \\
  --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \\
  --config=/var/lib/kubelet/config.yaml --config-dir={KUBELET_CONFIG_DIR} $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def proxy(node_proxy: Mapping[str, Any], direct: Sequence[str]) -> str:
    """Text of containerd's proxy drop-in, "" where no proxy is set.

    Args:
        node_proxy: the variable.
        direct: names, addresses and networks that are reached directly, before those of the variable.
    """
    if not (node_proxy.get("http") or node_proxy.get("https")):
        return ""
    names = dict.fromkeys(name for name in (*direct, *node_proxy.get("no_proxy", [])) if name)
    given = {"HTTP_PROXY": node_proxy.get("http"), "HTTPS_PROXY": node_proxy.get("https"), "NO_PROXY": ",".join(names)}
    lines = [f'Environment="{name}={_quoted(str(value))}"\n' for name, value in given.items() if value]
    return "[Service]\n" + "".join(lines)


def proxy_for(url: str, node_proxy: Mapping[str, Any], direct: Sequence[str]) -> str:
    """The proxy through which a machine fetches an address itself, "" for none.

    Args:
        url: the address.
        node_proxy: the variable.
        direct: as for `proxy`; names count for what lies below them, networks for their addresses.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    passed_by = any(_is_in(host, name) for name in (*direct, *node_proxy.get("no_proxy", [])) if name)
    return "" if passed_by else str(node_proxy.get("https" if parts.scheme == "https" else "http") or "")


def _is_in(host: str, name: str) -> bool:
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        return host == name or host.endswith(f".{name.lstrip('.')}")


def _quoted(text: str) -> str:
    """A text in double quotes of a unit file: quotes and backslashes escaped, specifiers off (systemd.syntax(7))."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""systemd units of a node.  Sources: containerd's containerd.service; Kubernetes' kubelet.service, 10-kubeadm.conf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet \\
  --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \\
  --config=/var/lib/kubelet/config.yaml --config-dir={KUBELET_CONFIG_DIR} $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2
StartLimitIntervalSec=0

[Install]
WantedBy=multi-user.target
"""


def proxy(node_proxy: Mapping[str, Any]) -> str:
    """Text of containerd's proxy drop-in, "" where no proxy is set."""
    names = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY", "no_proxy": "NO_PROXY"}
    lines = []
    for key, name in names.items():
        value = node_proxy.get(key)
        if value:
            text = ",".join(value) if isinstance(value, list) else str(value)
            lines.append(f'Environment="{name}={text}"')
    return "[Service]\n" + "\n".join(lines) + "\n" if lines else ""

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The same cluster by the least work that could make it: plain SSH, all that can be parallel in parallel, no checks.

It is the baseline that `apply` is measured against.  What a machine should have is rendered by the same code, before
the clock starts; the clock then runs over one shell script a machine and phase, and nothing is observed, compared,
verified, recorded or undone.
"""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import load_lock
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _desired, _kubeadm, _objects
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._desired import CONTROL_PLANE, Machine
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings, with_defaults

TOKEN = "abcdef.0123456789abcdef"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"


class Bare:
    """One build of a cluster on the machines of a generated inventory.

    Args:
        inventory: hosts.yml of the machines.
        variables: variables of every machine, plain values.
        registry: host:port that serves the bundle.
    """

    def __init__(self, inventory: Path, variables: Mapping[str, Any], registry: str) -> None:
        data = yaml.safe_load(inventory.read_text())["all"]
        self.ssh = ["ssh", *shlex.split(data["vars"]["ansible_ssh_common_args"]), "-o", "ControlMaster=auto"]
        self.ssh += ["-o", f"ControlPath={inventory.parent}/bare-%C", "-o", "ControlPersist=60"]
        self.ssh += ["-i", data["vars"]["ansible_ssh_private_key_file"], "-l", data["vars"]["ansible_user"]]
        self.endpoint = str(data["vars"]["cluster_endpoint"])
        self.machines: list[Machine] = []
        for group in ("control_plane", "workers"):
            hosts = data["children"]["cluster"]["children"][group]["hosts"]
            for name, own in hosts.items():
                role = CONTROL_PLANE if group == "control_plane" else "worker"
                self.machines.append(self._machine(name, role, {**data["vars"], **variables, **own}, registry))
        self.lock = asdict(load_lock(Path(self.machines[0].settings["artifacts_lock"]).expanduser()))

    def _machine(self, name: str, role: str, variables: dict[str, Any], registry: str) -> Machine:
        taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
        own = {
            "node_name": name,
            "node_address": variables["ansible_host"],
            "node_taints": taints if role == CONTROL_PLANE else [],
            "artifacts_registry": registry,
            "cluster_kubeconfig": "",
        }
        return Machine(name, role, settings(with_defaults({**variables, **own}), lambda value: value))

    def run(self, machine: Machine, script: str) -> str:
        """Run a script as root.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = [*self.ssh, machine.address, "sudo bash -e"]
        done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{machine.name}: {done.stderr[-2000:]}\n{done.stdout[-2000:]}")
        return done.stdout

    def build(self) -> float:
        """Make the cluster and wait until every node is Ready; seconds it took."""
        prepare = {machine.name: prepare_script(machine, self.lock) for machine in self.machines}
        manifests = "\n---\n".join(json.dumps(item) for item in self._objects())
        begin = time.monotonic()
        first, *others = self.machines
        with ThreadPoolExecutor(16) as pool:
            ready = {machine.name: pool.submit(self.run, machine, prepare[machine.name]) for machine in self.machines}
            ready[first.name].result()
            self.run(first, init_script(first, self.lock))
            secret = json.loads(self.run(first, mint_script()).splitlines()[-1])
            objects = pool.submit(self.run, first, f"{KUBECTL} apply --server-side -f - <<'EOM'\n{manifests}\nEOM\n")
            joins = [pool.submit(self._join, one, ready, secret) for one in others if one.role != CONTROL_PLANE]
            for machine in others:
                if machine.role == CONTROL_PLANE:
                    self._join(machine, ready, secret)
            objects.result()
            for join in joins:
                join.result()
        self.run(first, f"{KUBECTL} wait --for=condition=Ready nodes --all --timeout=300s")
        return time.monotonic() - begin

    def _join(self, machine: Machine, ready: Mapping[str, Any], secret: Mapping[str, str]) -> None:
        ready[machine.name].result()
        self.run(machine, join_script(machine, self.lock, secret))

    def _objects(self) -> list[dict[str, Any]]:
        images = {entry["name"]: entry["ref"] for entry in self.lock["images"]}
        found = _objects.cluster_objects(self.machines[0].settings, images, [])
        return [item for item in found if item["kind"] != "Node"]


def prepare_script(machine: Machine, lock: Mapping[str, Any]) -> str:
    """Kernel, files, binaries, containerd and images of a machine; downloads side by side."""
    lines, downloads, pulls = ["shopt -s nullglob"], [], []
    for spec in _desired.resources(machine, lock, machine.role == CONTROL_PLANE):
        kind = spec["type"]
        if kind in ("file", "patches") and spec.get("state") != "absent" and spec["stage"] == "prepare":
            lines += _files(spec)
        elif kind == "directory":
            lines.append(f"mkdir -p -m {spec['mode']} {spec['path']}")
        elif kind == "sysctl":
            lines.append(f"sysctl -qw {spec['name']}={shlex.quote(spec['value'])}")
        elif kind == "binary":
            path = spec["path"]
            fetch = f"(mkdir -p {Path(path).parent}; curl -sf -o {path} {spec['url']}; chmod 755 {path})"
            downloads.append(fetch)
        elif kind == "image":
            source = f"{spec['source']}@{spec['digest']}"
            pulls.append(
                f"(ctr -n k8s.io images pull --plain-http {source} >/dev/null"
                f" && ctr -n k8s.io images tag --force {source} {spec['ref']} >/dev/null)"
            )
    parallel = [f"{job} & jobs+=($!)" for job in downloads]
    wait = 'for job in "${jobs[@]}"; do wait $job; done'
    start = ["systemctl daemon-reload", "systemctl enable -q --now containerd", "systemctl enable -q kubelet"]
    return "\n".join(
        [*lines, "jobs=()", *parallel, wait, *start, "jobs=()", *(f"{p} & jobs+=($!)" for p in pulls), wait]
    )


def _files(spec: Mapping[str, Any]) -> list[str]:
    files = {spec["path"]: spec["content"]} if spec["type"] == "file" else {}
    if spec["type"] == "patches":
        files = {f"{spec['name']}/{name}": text for name, text in spec["files"].items()}
    return [_write(path, text, str(spec.get("mode", "0600"))) for path, text in files.items()]


def _write(path: str, text: str, mode: str) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    return f"mkdir -p {Path(path).parent}; echo {encoded} | base64 -d > {path}; chmod {mode} {path}"


def _kubeadm_run(verb: str, documents: Sequence[Mapping[str, Any]]) -> str:
    text = "\n---\n".join(json.dumps(document) for document in documents)
    return (
        _write("/run/bare.yaml", text, "0600")
        + f"\nkubeadm {verb} --config /run/bare.yaml >/run/bare.log 2>&1 || (cat /run/bare.log >&2; exit 1)"
    )


def init_script(machine: Machine, lock: Mapping[str, Any]) -> str:
    """The first control plane."""
    specs = _desired.resources(machine, lock, True)
    member = next(spec for spec in specs if spec["type"] == "control_plane")
    encryption = next(spec for spec in specs if spec["type"] == "encryption")
    key = base64.b64encode(b"0" * 32).decode()
    config = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": encryption["resources"],
                "providers": [{"secretbox": {"keys": [{"name": "key1", "secret": key}]}}, {"identity": {}}],
            }
        ],
    }
    return "\n".join(
        [
            _write("/etc/kubernetes/weft/encryption.json", json.dumps(config), "0600"),
            f"ip address replace {machine.settings['cluster_endpoint']}/32 dev eth0",
            _kubeadm_run("init", member["config"]),
            _vip(specs),
        ]
    )


def _vip(specs: Sequence[Mapping[str, Any]]) -> str:
    pod = next((spec for spec in specs if spec.get("path", "").endswith("kube-vip.yaml")), None)
    return _write(pod["path"], pod["content"], "0600") if pod else ":"


def mint_script() -> str:
    """A token and the certificates for those who join."""
    return f"""\
export KUBECONFIG=/etc/kubernetes/admin.conf
kubeadm token create {TOKEN} --ttl 15m >/dev/null
key=$(kubeadm certs certificate-key)
kubeadm init phase upload-certs --upload-certs --certificate-key $key >/dev/null
printf '{{"certificate_key": "%s", "ca": "%s", "encryption": "%s"}}\\n' $key \
  $(base64 -w0 /etc/kubernetes/pki/ca.crt) $(base64 -w0 /etc/kubernetes/weft/encryption.json)
"""


def join_script(machine: Machine, lock: Mapping[str, Any], secret: Mapping[str, str]) -> str:
    """Any other machine."""
    document = _kubeadm.join_document(machine.settings, machine.role == CONTROL_PLANE)
    discovery = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": f"https://{_kubeadm.endpoint(machine.settings)}",
                    "certificate-authority-data": secret["ca"],
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    document["discovery"] = {"file": {"kubeConfigPath": "/run/bare-discovery.json"}}
    lines = [_write("/run/bare-discovery.json", json.dumps(discovery), "0600")]
    if machine.role == CONTROL_PLANE:
        document["controlPlane"]["certificateKey"] = secret["certificate_key"]
        text = base64.b64decode(secret["encryption"]).decode()
        lines.append(_write("/etc/kubernetes/weft/encryption.json", text, "0600"))
    lines.append(_kubeadm_run("join", [document]))
    if machine.role == CONTROL_PLANE:
        lines.append(_vip(_desired.resources(machine, lock, False)))
    return "\n".join(lines)

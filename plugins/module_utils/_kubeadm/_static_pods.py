# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The control plane's static pods: what runs, against what kubeadm would write for the inventory as it is now."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Value, diff
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _api, _etcd, _observe, _yaml
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._files import write
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import COMPONENTS, ETC
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import at_version, kubeadm, run
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

#: Flags of etcd that count only before its first start, and differ between members.
ETCD_FIRST_START = ("--initial-cluster", "--initial-cluster-state")
#: In memory: what is rendered holds nothing secret, but nobody needs it on a disk.
RUN = "/run"
#: Where kubeadm keeps the ClusterConfiguration, for machines that join.
RECORD = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
#: Components that say whether they are ready.
CHECKED = (*COMPONENTS, "etcd")
#: How long a component may take to be healthy again, in seconds.
PATIENCE = 150.0


class StaticPods(Resource):
    """Manifests of the API server, controller manager, scheduler and etcd.

    Spec: config (kubeadm's InitConfiguration and ClusterConfiguration of this machine), patches ({file name: content}
    of kubeadm's patch folder).
    """

    type: ClassVar[str] = "static_pods"

    def observe(self) -> Value:
        """{component: manifest}, the command line as a mapping; {} before the machine is a control plane."""
        if not self.relevant():
            return {}
        return {name: shape(name, _observe.manifest(name)) for name in self.names()}

    def desired(self) -> Value:
        """What kubeadm renders now, in the same shape."""
        return {name: shape(name, _yaml.load(text)) for name, text in self.rendered().items()}

    def relevant(self) -> bool:
        """Whether there is something to compare: a machine that joins gets its manifests by joining."""
        found = _observe.membership()
        return found.member and found.role == _observe.CONTROL_PLANE

    def names(self) -> Tuple[str, ...]:
        """The components, in the order in which they are changed."""
        local = not _etcd.external(self.spec["config"])
        return (*(("etcd",) if local else ()), *COMPONENTS)

    def documents(self) -> List[Dict[str, Any]]:
        """The configuration at the version that runs."""
        return at_version(self.spec["config"], _observe.version(_observe.CONTROL_PLANE))

    def changes(self, observed: Value) -> List[Change]:
        """Field by field; each says which component restarts."""
        if not observed:
            return []
        desired = self.desired()
        out: List[Change] = []
        for name in self.names():
            before, after = {name: observed[name]}, {name: desired[name]}
            out += diff(self.subject, before, after, f"restart {name}")
        return out

    def rendered(self) -> Dict[str, str]:
        """Manifest texts by component, as kubeadm would write them."""
        with tempfile.TemporaryDirectory(dir=RUN, prefix="weft-") as folder:
            out, documents = Path(folder, "out"), self.patched(Path(folder, "patches"))
            out.mkdir()
            environment = {"KUBEADM_INIT_DRYRUN_DIR": str(out)}
            kubeadm(["init", "phase", "control-plane", "all", "--dry-run"], documents, environment)
            if "etcd" in self.names():
                kubeadm(["init", "phase", "etcd", "local", "--dry-run"], documents, environment)
            return {name: text_of(out, name) for name in self.names()}

    def patched(self, folder: Path) -> List[Dict[str, Any]]:
        """The configuration with the wanted patches, written to a folder: those on the disk may be older."""
        folder.mkdir()
        for name, content in self.spec.get("patches", {}).items():
            (folder / name).write_text(content)
        documents = self.documents()
        for document in documents:
            if document.get("kind") == "InitConfiguration":
                document["patches"] = {"directory": str(folder)}
        return documents

    def apply(self, changes: Sequence[Change]) -> None:
        """Bring kubeadm's own record up to date, then etcd, then the components that stand on it together.

        The record comes first: when this is cut short, the manifests still differ and the next run does both again.

        Raises:
            KubeadmError: a component is not healthy with its new manifest; the old ones were put back.
        """
        api = _api.api_server(health("kube-apiserver")[1])
        record = api.get(RECORD)
        kubeadm(["init", "phase", "upload-config", "kubeadm"], self.documents())
        try:
            self.roll(changes)
        except KubeadmError:
            if record is not None:  # machines that join read it: it must not hold what has just failed
                api.send("PATCH", RECORD, {"data": record.get("data", {})}, "application/merge-patch+json")
            raise

    def roll(self, changes: Sequence[Change]) -> None:
        """Change the manifests that differ, in an order that keeps what others stand on."""
        touched = {str(change.field[0]) for change in changes}
        rendered = self.rendered()
        for group in (("etcd",), COMPONENTS):
            texts = {name: keep_first_start(name, rendered[name]) for name in group if name in touched}
            if texts:
                self.replace(texts)

    def replace(self, texts: Mapping[str, str]) -> None:
        """Write manifests and wait until what runs is healthy; else put the old ones back.

        Raises:
            KubeadmError: a component did not become healthy.
        """
        folder = ETC / "manifests"
        old = {name: (folder / f"{name}.yaml").read_text() for name in texts if (folder / f"{name}.yaml").exists()}
        ill = self.write(texts)
        if not ill:
            return
        still = self.write(old)
        after = f", but {', '.join(still)} did not become healthy with them either" if still else ""
        raise KubeadmError(
            f"{', '.join(ill)} not healthy {PATIENCE:.0f} s after the manifest had changed on "
            f"{self.machine or 'this machine'}; the old manifests were put back{after}. "
            f"What was said is below /var/log/pods/kube-system_{ill[0]}-*"
        )

    def write(self, texts: Mapping[str, str]) -> List[str]:
        """Write manifests; the components that are not healthy after PATIENCE."""
        since = time.time()
        for name, text in texts.items():
            write(ETC / "manifests" / f"{name}.yaml", text, beside=ETC)
        deadline = time.monotonic() + PATIENCE
        return [name for name in texts if not self.healthy(name, since, deadline)]

    def healthy(self, name: str, since: float, deadline: float) -> bool:
        """Wait until a process of the component younger than `since` says that it is ready."""
        while time.monotonic() < deadline:
            if started(name, since) and _api.healthy(*health(name)):
                return True
            time.sleep(0.5)
        return False


def health(name: str) -> Tuple[str, int, str, bool]:
    """Address, port, path and TLS of a component's health check (fixed by kubeadm, but for the API server's port)."""
    port = int(_observe.arguments("kube-apiserver").get("--secure-port", 6443))
    return {
        "kube-apiserver": ("127.0.0.1", port, "/readyz", True),
        "kube-controller-manager": ("127.0.0.1", 10257, "/healthz", True),
        "kube-scheduler": ("127.0.0.1", 10259, "/readyz", True),
        "etcd": ("127.0.0.1", 2381, "/readyz", False),
    }[name]


def restart(name: str) -> None:
    """Stop a static pod's container, which the kubelet starts anew, and wait until it is ready again.

    Raises:
        KubeadmError: it did not come back.
    """
    since = time.time()
    labels = ["--label", f"io.kubernetes.container.name={name}", "--label", "io.kubernetes.pod.namespace=kube-system"]
    running = run(["crictl", "ps", "--quiet", *labels]).split()
    if running:  # none runs while the kubelet waits to start it again
        # Requests are answered by then; watches, which an API server would wait for, end by no other way.
        run(["crictl", "stop", "--timeout", "10", *running], timeout=120)
    deadline = time.monotonic() + PATIENCE
    while not (started(name, since) and (name not in CHECKED or _api.healthy(*health(name)))):
        if time.monotonic() >= deadline:
            raise KubeadmError(
                f"{name} is not ready {PATIENCE:.0f} s after it was stopped to read its new certificate. "
                f"What was said is below /var/log/pods/kube-system_{name}-*"
            )
        time.sleep(0.5)


def started(name: str, since: float) -> bool:
    """Whether a process with this program's name began at or after `since` (seconds of the epoch)."""
    return any(start >= since - 1 for start in _observe.starts(name)[name])


def text_of(folder: Path, name: str) -> str:
    """A manifest that kubeadm wrote below its dry-run folder."""
    for path in folder.rglob(f"{name}.yaml"):
        return path.read_text()
    raise KubeadmError(f"kubeadm rendered no manifest of {name} below {folder}")


def shape(name: str, manifest: Any) -> Any:
    """A manifest for comparison: the command line as {"program": ..., "--flag": value}; None when there is none."""
    if manifest is None:
        return None
    for container in manifest.get("spec", {}).get("containers", []):
        if not container.get("command"):
            continue
        program, flags = _yaml.flags(container["command"])
        if name == "etcd":
            flags = {flag: value for flag, value in flags.items() if flag not in ETCD_FIRST_START}
        container["command"] = {"program": program, **flags}
    manifest.pop("status", None)
    (manifest.get("metadata") or {}).pop("creationTimestamp", None)
    return manifest


def keep_first_start(name: str, text: str) -> str:
    """etcd's new manifest with the first-start flags of the one that runs; other manifests as they are."""
    if name != "etcd":
        return text
    live = _observe.arguments("etcd")
    kept = [f"    - {flag}={live[flag]}" for flag in ETCD_FIRST_START if flag in live]
    lines = [line for line in text.split("\n") if not line.strip().startswith("- --initial-cluster")]
    at = next((index for index, line in enumerate(lines) if line.strip() == "- etcd"), None)
    if at is None:
        raise KubeadmError("kubeadm's manifest of etcd has no command")
    return "\n".join([*lines[: at + 1], *kept, *lines[at + 1 :]])

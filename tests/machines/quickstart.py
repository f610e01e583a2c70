# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A whole cluster on this host: `make quickstart`, and `make quickstart-destroy` to be rid of it.

Every phase looks at what is there and does what is missing, so it may be run again at any time and after anything.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _image
from ._host import MachinesError, cache_dir, collections_path, run
from .environment import (
    ensure_environment,
    environment_folder,
    environment_ready,
    install_packages,
    missing_packages,
)
from .fleet import Fleet, sets
from .journey import Journey, Phase, Times

ROOT = Path(__file__).resolve().parents[2]
NAME = "quickstart"
REQUIREMENTS = ROOT / "requirements.txt"
ARTIFACTS = "ansible_collections.weft.platform.plugins.plugin_utils._artifacts"
NAMESPACE = "hello"
SERVICE = f"hello.{NAMESPACE}.svc.cluster.local"
#: How often the client asks the Service; with two pods behind it, one that never answers would be seen.
ASKS = 30


def kubernetes_version() -> str:
    """The version that the shared inventory asks for, as in `v1.37.2`.

    Raises:
        MachinesError: it does not say an exact one.
    """
    path = ROOT / "inventories" / "base" / "group_vars" / "cluster.yml"
    found = re.search(r"^cluster_kubernetes_version: ['\"]?(\d+\.\d+\.\d+)\b", path.read_text(), re.MULTILINE)
    if not found:
        raise MachinesError(f"{path} must give cluster_kubernetes_version exactly, as in 1.37.2.")
    return f"v{found.group(1)}"


def blob_path(bundle: Path, sha256: str) -> Path:
    """Where a bundle keeps the file with this digest (distribution's filesystem storage)."""
    return bundle / "docker" / "registry" / "v2" / "blobs" / "sha256" / sha256[:2] / sha256 / "data"


class Quickstart:
    """The phases, and what they leave for the next one."""

    def __init__(self, control_planes: int, workers: int) -> None:
        self.control_planes, self.workers = control_planes, workers
        self.fleet = Fleet(NAME)
        self.bundle = cache_dir() / "bundles" / kubernetes_version()
        self.kubeconfig = self.fleet.folder / "kubeconfig"
        log = cache_dir() / "logs" / f"{NAME}-{time.strftime('%Y%m%d-%H%M%S')}.log"
        self.journey = Journey(Times(cache_dir() / "times.json"), log)
        self.answers: list[str] = []

    def phases(self) -> list[Phase]:
        """What there is to do, in order."""
        return [
            Phase("packages", self._packages, lambda: not missing_packages(), 60),
            Phase("environment", self._environment, lambda: environment_ready(REQUIREMENTS), 60),
            Phase("artifacts", self._artifacts, lambda: (self.bundle / "lock.yml").is_file(), 900, 2),
            Phase("machines", self._machines, self._have_machines, 60, 2),
            Phase("cluster", self._cluster, self.kubeconfig.is_file, 150, 15),
            Phase("workload", self._workload, lambda: False, 15),
        ]

    # ---- phases

    def _packages(self) -> None:
        self.journey.doing("looking for missing packages")
        install_packages(lambda command: self.journey.stream(command, tell=lambda line: line))

    def _environment(self) -> None:
        ensure_environment(REQUIREMENTS, lambda command: self.journey.stream(command, tell=lambda line: line))

    def _artifacts(self) -> None:
        version = kubernetes_version()
        command = [str(self._bin("python")), "-m", ARTIFACTS, "bundle", "--kubernetes", version]
        self.journey.stream(command, environment=self._variables(), tell=self._part)

    def _part(self, line: str) -> str:
        """What the bundle's builder does; it knows better than an average how long it will take here."""
        what, remains = without_clock(line)
        if remains is not None:
            self.journey.expect(remains)
        return what

    def _have_machines(self) -> bool:
        if missing_packages():
            return False
        names = {machine.name for machine in self.fleet.machines()}
        return len(names) >= self.control_planes + self.workers

    def _machines(self) -> None:
        self.fleet.up(self.control_planes, self.workers, say=self.journey.doing)

    def _cluster(self) -> None:
        command = [str(self._bin("ansible-playbook")), "weft.platform.apply"]
        for inventory in (ROOT / "inventories" / "base", ROOT / "inventories" / NAME, self.fleet.inventory):
            command += ["-i", str(inventory)]
        self.journey.stream(command, environment=self._variables(), folder=ROOT, tell=_task)

    def _workload(self) -> None:
        kubectl = self.kubectl()
        self.journey.doing("deploying two pods, a Service and a client")
        manifest = (Path(__file__).parent / "workload.yml").read_text().replace("AGNHOST", self._image("agnhost"))
        self._ask(kubectl, "apply", "--filename=-", stdin=manifest.encode())
        self._ask(kubectl, "rollout", "status", "deployment/hello", "--timeout=180s")
        self._ask(kubectl, "wait", "pod/client", "--for=condition=Ready", "--timeout=120s")
        self.journey.doing("asking the Service by its name")
        pods = json.loads(self._ask(kubectl, "get", "pods", "--output=json"))["items"]
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        where = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in living}
        servers = {name for name in where if name != "client"}
        query = f"host={SERVICE}&port=80&protocol=http&request=hostname&tries={ASKS}"
        dial = f"/api/v1/namespaces/{NAMESPACE}/pods/client:8080/proxy/dial?{query}"
        # A pod that is ready is in every machine's rules for Services a moment later.
        seen: set[str] = set()
        end = time.monotonic() + 60
        while True:
            answer = json.loads(self._ask(kubectl, "get", "--raw", dial))
            seen |= set(answer.get("responses", []))
            if seen >= servers or time.monotonic() > end:
                break
            time.sleep(1)
        if seen != servers:
            raise MachinesError(f"{SERVICE} was to be answered by {sorted(servers)}, but a client pod got: {answer}")
        self.answers = [f"{where['client']} → {where[pod]}" for pod in sorted(seen)]

    # ---- what they use

    def _bin(self, program: str) -> Path:
        return environment_folder(REQUIREMENTS) / "bin" / program

    def _variables(self) -> dict[str, str]:
        collections = str(collections_path(ROOT))
        return {
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONPATH": collections,
            "PYTHONUNBUFFERED": "1",
        }

    def _lock(self) -> dict[str, Any]:
        script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
        text = run([str(self._bin("python")), "-c", script, str(self.bundle / "lock.yml")], root=False)
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    def _image(self, name: str) -> str:
        return str(next(image["ref"] for image in self._lock()["images"] if image["name"] == name))

    def kubectl(self) -> Path:
        """kubectl out of the bundle, ready to run on this host."""
        sha256 = next(item["sha256"] for item in self._lock()["binaries"] if item["name"] == "kubectl")
        path = cache_dir() / "bin" / f"kubectl-{sha256[:12]}" / "kubectl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            shutil.copyfile(blob_path(self.bundle, sha256), partial)
            partial.chmod(0o755)
            partial.replace(path)
        return path

    def _ask(self, kubectl: Path, *words: str, stdin: bytes | None = None) -> str:
        command = [str(kubectl), f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}", *words]
        return run(command, root=False, stdin=stdin, timeout=200)

    # ---- the end

    def summary(self) -> str:
        """What stands now, and what to do with it."""
        kubectl = self.kubectl()
        nodes = json.loads(self._ask(kubectl, "get", "nodes", "--output=json"))["items"]
        lines = ["", *_table(nodes), ""]
        lines.append(f"http://{SERVICE} answers: {', '.join(self.answers)}")
        inventories = f"-i inventories/base -i inventories/{NAME} -i {self.fleet.inventory}"
        more = f"make quickstart CONTROL_PLANES={self.control_planes} WORKERS={self.workers + 1}"
        kill = f"python3 -m tests.machines kill {NAME}-cp1"
        lines += [
            "",
            f"kubeconfig  {self.kubeconfig}",
            f"kubectl     {kubectl}",
            "",
            "What to try next:",
            f"  export KUBECONFIG={self.kubeconfig} PATH={kubectl.parent}:{self._bin('')}:$PATH",
            f"  export ANSIBLE_COLLECTIONS_PATH={collections_path(ROOT)}",
            "  kubectl get pods --all-namespaces --output=wide",
            f"  ansible-playbook weft.platform.plan {inventories}",
            f"  {more:<50}  # one more worker",
            *([f"  {kill:<50}  # the API goes on answering"] if self.control_planes > 2 else []),
            "",
            "Remove everything: make quickstart-destroy",
        ]
        return "\n".join(lines)


def without_clock(line: str) -> tuple[str, float | None]:
    """A line of the bundle's progress without its times, and the seconds that it says are left.

    >>> without_clock("[ 2/16] etcd: v3.7.2 built (8 min 02 s gone, about 1 min 05 s left)")
    ('[ 2/16] etcd: v3.7.2 built', 65.0)
    """
    found = re.fullmatch(r"(.*) \([^()]* gone(?:, about (?:(\d+) min )?(\d+) s left)?\)", line)
    if not found:
        return line, None
    return found[1], 60.0 * int(found[2] or 0) + int(found[3]) if found[3] else None


def _task(line: str) -> str | None:
    found = re.match(r"(?:TASK|PLAY|RUNNING HANDLER) \[(.*?)\]", line)
    return found.group(1) if found else None


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _table(nodes: Sequence[dict[str, Any]]) -> list[str]:
    rows = [("NODE", "ROLE", "STATE", "VERSION", "ADDRESS")]
    for node in nodes:
        labels, status = node["metadata"]["labels"], node["status"]
        ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status["conditions"])
        address = next(item["address"] for item in status["addresses"] if item["type"] == "InternalIP")
        role = "control plane" if "node-role.kubernetes.io/control-plane" in labels else "worker"
        version = status["nodeInfo"]["kubeletVersion"]
        rows.append((node["metadata"]["name"], role, "Ready" if ready else "NotReady", version, address))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def destroy() -> None:
    """Remove the machines and every generated file; downloads and builds stay, see `clean_cache`."""
    if shutil.which("podman"):
        Fleet(NAME).down()
    shutil.rmtree(cache_dir() / "logs", ignore_errors=True)
    print(
        "Machines, volumes, network and generated files are gone. Downloads and builds stay; 'make clean-cache' "
        "removes them."
    )


def clean_cache() -> None:
    """Remove the whole cache folder and the machine image.

    Raises:
        MachinesError: machines still need it.
    """
    if shutil.which("podman"):
        left = sets()
        if left:
            raise MachinesError(
                f"Machines still use it: {', '.join(left)}. Remove them with 'python3 -m tests.machines down'."
            )
        _image.remove_images()
    # The Go module cache makes its folders read-only.
    run(["chmod", "-R", "u+w", str(cache_dir())], check=False, root=False)
    shutil.rmtree(cache_dir(), ignore_errors=True)
    print(f"{cache_dir()} is gone.")


def _allow_sudo() -> None:
    if os.geteuid() != 0:
        print("Container machines need root; sudo may ask for your password.")
        if subprocess.run(["sudo", "--validate"], check=False).returncode != 0:
            raise MachinesError("sudo does not let you. Run it as root, or as someone who may.")


def main() -> int:
    """Command line; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="quickstart", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--control-planes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--destroy", action="store_true", help="remove it all")
    parser.add_argument("--clean-cache", action="store_true", help="remove downloads and builds as well")
    arguments = parser.parse_args()
    if arguments.control_planes < 1 or arguments.workers < 1:
        parser.error("at least one control plane and one worker are wanted")
    try:
        _allow_sudo()
        if arguments.destroy or arguments.clean_cache:
            if arguments.destroy:
                destroy()
            if arguments.clean_cache:
                clean_cache()
            return 0
        start = Quickstart(arguments.control_planes, arguments.workers)
        print(
            f"A Kubernetes {kubernetes_version()} cluster of {_many(start.control_planes, 'control plane')} and "
            f"{_many(start.workers, 'worker')}, as container machines on this host."
        )
        if not start.journey.run(start.phases()):
            return 1
        print(start.summary())
    except MachinesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

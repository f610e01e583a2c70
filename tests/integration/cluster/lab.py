# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Real machines, the real playbooks over SSH, and what tests ask of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import default_bundle

from tests.machines.fleet import Fleet

ROOT = Path(__file__).resolve().parents[3]
#: The version that inventories/base names.
KUBERNETES = "v1.37.2"
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


#: Container machines share these with their host: the first machine that sets one has set it for all.
SHARED = ("kernel.", "vm.")


def own(changes: list[dict[str, Any]]) -> list[str]:
    """Changes that one machine alone can make, in a form that compares."""
    return sorted(
        json.dumps(one)
        for one in changes
        if one["subject"]["type"] != "sysctl" or not one["subject"]["name"].startswith(SHARED)
    )


@dataclass(frozen=True)
class Run:
    """One end of ansible-playbook: its exit code, what it said, and how long it took in seconds."""

    code: int
    text: str
    seconds: float

    @property
    def changed(self) -> dict[str, int]:
        """Changed tasks by machine, from Ansible's recap."""
        return {row[0]: int(row[2]) for row in RECAP.findall(self.text)}


class Lab:
    """A set of machines and the collection's playbooks on them.

    Args:
        name: of the set of machines.
        folder: where plans and kubeconfigs are written.
        variables: inventory variables of this lab, over those of inventories/quickstart.
    """

    def __init__(self, name: str, folder: Path, variables: dict[str, Any] | None = None) -> None:
        self.fleet = Fleet(name)
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.inventory = folder / "inventory"
        self.inventory.mkdir(parents=True, exist_ok=True)
        self.sockets = Path(tempfile.gettempdir()) / f"weft-{name}"
        self.variables: dict[str, Any] = {"cluster_name": name, "cluster_kubeconfig": str(self.kubeconfig)}
        self.variables.update(variables or {})

    def up(self, control_planes: int, workers: int) -> None:
        """Boot machines and take them into the inventory."""
        self.fleet.up(control_planes, workers)
        self.write()

    def write(self, **variables: Any) -> None:
        """Write the lab's inventory: the machines that exist, and the variables."""
        self.variables.update(variables)
        hosts = yaml.safe_load(self.fleet.inventory.read_text())
        hosts["all"]["vars"].update(self.variables)
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))

    def edit(self, change: Any) -> None:
        """Let `change` work on the inventory's data, as a person would on the file."""
        path = self.inventory / "hosts.yml"
        data = yaml.safe_load(path.read_text())
        change(data["all"])
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    @staticmethod
    def machines(data: dict[str, Any]) -> list[dict[str, Any]]:
        """Every machine's own variables in the inventory's data; they win over those of its groups."""
        groups = data["children"]["cluster"]["children"]
        return [own for group in ("control_plane", "workers") for own in groups[group]["hosts"].values()]

    def join_hosts(self) -> None:
        """Take the machines that exist now into the inventory; what was written about others stays."""
        now = yaml.safe_load(self.fleet.inventory.read_text())["all"]["children"]["cluster"]["children"]

        def change(data: dict[str, Any]) -> None:
            groups = data["children"]["cluster"]["children"]
            for group, found in now.items():
                kept = groups.get(group, {}).get("hosts", {})
                groups[group] = {"hosts": {name: {**own, **kept.get(name, {})} for name, own in found["hosts"].items()}}

        self.edit(change)

    def variables_of(self, machine: str) -> dict[str, Any]:
        """A machine's variables as Ansible reads them from the inventories (templates not resolved)."""
        words = self.command("plan")
        words = [words[0].replace("ansible-playbook", "ansible-inventory"), *words[2:], "--host", machine]
        done = subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=True, timeout=60)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def lock(self) -> Path:
        """The lock file of the bundle."""
        return default_bundle(KUBERNETES) / "lock.yml"

    def program(self, name: str) -> Path:
        """A program of the bundle, to run on the controller."""
        binaries = yaml.safe_load(self.lock().read_text())["binaries"]
        digest = next(str(binary["sha256"]) for binary in binaries if binary["name"] == name)
        path = self.folder / name
        if not path.exists():
            blobs = self.lock().parent / "docker/registry/v2/blobs/sha256"
            shutil.copyfile(blobs / digest[:2] / digest / "data", path)
            path.chmod(0o755)
        return path

    def image(self, name: str) -> str:
        """Reference of an image of the lock file."""
        images = yaml.safe_load(self.lock().read_text())["images"]
        return next(str(image["ref"]) for image in images if image["name"] == name)

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The words of a run of one of the collection's playbooks."""
        inventories = [ROOT / "inventories/base", ROOT / "inventories/quickstart", self.inventory / "hosts.yml"]
        words = [str(Path(sys.executable).parent / "ansible-playbook"), f"weft.platform.{playbook}"]
        for inventory in inventories:
            words += ["-i", str(inventory)]
        return [*words, *arguments]

    def environment(self) -> dict[str, str]:
        """Ansible's settings of a run; results are read from the default output."""
        # A connection that outlives its machine would answer for the one that was reinstalled in its place.
        shutil.rmtree(self.sockets, ignore_errors=True)
        return {
            **os.environ,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
        }

    def play(self, playbook: str, *arguments: str, timeout: float = 900) -> Run:
        """Run a playbook to its end."""
        begin = time.monotonic()
        done = subprocess.run(
            self.command(playbook, *arguments),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        run = Run(done.returncode, done.stdout, time.monotonic() - begin)
        with (self.folder / "runs.log").open("a") as log:
            log.write(f"\n=== {playbook} {' '.join(arguments)}: {run.code} after {run.seconds:.1f} s\n{run.text}")
        return run

    def apply(self, *arguments: str) -> Run:
        """Run apply; it must succeed."""
        run = self.play("apply", *arguments)
        assert run.code == 0, run.text[-6000:]
        return run

    def kill_when(self, sign: str, timeout: float = 300) -> str:
        """Start apply, wait until its output shows `sign`, and kill ansible-playbook and all its workers.

        Raises:
            AssertionError: it ended, or the time was over, before the sign was seen.
        """
        process = subprocess.Popen(
            self.command("apply"),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        seen = ""
        begin = time.monotonic()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                seen += line
                if sign in line or time.monotonic() - begin > timeout:
                    break
            time.sleep(2)  # into the task
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        assert sign in seen, seen[-4000:]
        return seen

    def plan(self) -> list[dict[str, Any]]:
        """Changes that the plan lists."""
        path = self.folder / "plan"
        run = self.play("plan", "-e", f"weft_plan_output={path}")
        assert run.code == 0, run.text[-6000:]
        changes: list[dict[str, Any]] = json.loads((path / "plan.json").read_text())["changes"]
        return changes

    def kubectl(self, *arguments: str, check: bool = True, stdin: str = "") -> str:
        """kubectl of the bundle, as the person of the written kubeconfig."""
        words = [str(self.program("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr}"
        return done.stdout + ("" if done.returncode == 0 else done.stderr)

    def nodes(self) -> dict[str, bool]:
        """Whether each node is Ready."""
        items = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return {
            item["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in item["status"]["conditions"]
            )
            for item in items
        }

    def wait_ready(self, *names: str, seconds: float = 120) -> None:
        """Wait until these nodes (all, when none is named) are Ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                found = self.nodes()
                if found and all(found.get(name, False) for name in names or found):
                    return
            except AssertionError:
                pass
            time.sleep(1)
        raise AssertionError(f"not Ready after {seconds:.0f} s: {self.kubectl('get', 'nodes', check=False)}")

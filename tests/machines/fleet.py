# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A set of container machines: made, started, broken on purpose, and removed without a trace.

What exists is read from podman by label, never from a memory of the last run.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import _image, _inventory, _keys, _network
from ._host import MachinesError, cache_dir, lend_settings, locked, restore_settings, run

LABEL = "platform.weft.machines"
#: What a container runtime, a kubelet and etcd keep must not lie on the container's own overlay filesystem.
VOLUMES = ("containerd", "kubelet", "etcd")
UNBORN = ("created", "configured", "initialized")


@dataclass(frozen=True)
class Machine:
    """One machine: its name, its role (`control_plane` or `worker`), its address, and podman's word on its state."""

    name: str
    role: str
    address: str
    state: str


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?", name):
        raise MachinesError(f"'{name}' cannot name a set of machines: 1 to 30 of a-z, 0-9 and '-', a letter first.")


def _limit(kind: int, most: int) -> str:
    """A limit as podman wants it: at most the host's own hard limit, which only CAP_SYS_RESOURCE may raise."""
    hard = resource.getrlimit(kind)[1]
    value = most if hard == resource.RLIM_INFINITY else min(hard, most)
    return f"{value}:{value}"


def _order(machine: Machine) -> tuple[str, int]:
    return machine.role, int(re.sub(r".*?(\d+)$", r"\1", machine.name))


def sets() -> dict[str, list[Machine]]:
    """Every set of machines on this host, by name; a set that is only a network still counts."""
    found: dict[str, list[Machine]] = {}
    for line in run(["podman", "network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}"]).split():
        found[line] = []
    containers = json.loads(run(["podman", "ps", "--all", "--filter", f"label={LABEL}", "--format", "json"]) or "[]")
    for item in containers:
        labels = item["Labels"]
        machine = Machine(item["Names"][0], labels[f"{LABEL}.role"], labels[f"{LABEL}.address"], item["State"])
        found.setdefault(labels[LABEL], []).append(machine)
    return {name: sorted(machines, key=_order) for name, machines in sorted(found.items())}


def wait_for_sshd(address: str, timeout: float = 60) -> None:
    """Wait until sshd at this address greets.

    Raises:
        MachinesError: it did not within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            with socket.create_connection((address, 22), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise MachinesError(f"sshd at {address} did not answer within {timeout:.0f} s. 'podman logs' may say why.")


class Fleet:
    """One set of machines on a network of their own, with an inventory and keys in `folder`."""

    def __init__(self, name: str) -> None:
        _check_name(name)
        self.name = name
        self.folder: Path = cache_dir() / "machines" / name

    @property
    def inventory(self) -> Path:
        """The generated inventory file."""
        return self.folder / "hosts.yml"

    def machines(self) -> list[Machine]:
        """The machines that exist now, control planes first."""
        return sets().get(self.name, [])

    def machine(self, name: str) -> Machine:
        """The machine of this name.

        Raises:
            MachinesError: this set has none of that name.
        """
        for machine in self.machines():
            if machine.name == name:
                return machine
        raise MachinesError(f"The set '{self.name}' has no machine '{name}'. 'list' shows what there is.")

    def up(
        self,
        control_planes: int = 0,
        workers: int = 0,
        *,
        plain: bool = False,
        copy_of: str = "",
        say: Callable[[str], None] = lambda text: None,
    ) -> list[Machine]:
        """Make the machines that are missing, start those that are stopped, leave the others alone.

        Args:
            control_planes: machines `NAME-cp1` up to this number exist afterwards; more are kept.
            workers: likewise for `NAME-w1`, ….
            plain: without volumes for the container runtime, kubelet and etcd: lighter, but pods cannot run.
            copy_of: new machines get the disks of this one, as from a prepared machine image; it must have no pods.
            say: told of every step that takes time.

        Raises:
            MachinesError: the host cannot do it, or a machine does not come up.
        """
        image = self._photograph(copy_of) if copy_of else _image.ensure_image(say)
        with locked(f"fleet-{self.name}"):
            lend_settings()
            subnet = _network.ensure(self.name, LABEL)
            # One that never ran was interrupted while it was made.
            self._remove([machine.name for machine in self.machines() if machine.state in UNBORN])
            there = {machine.name: machine for machine in self.machines()}
            wanted = {f"{self.name}-cp{n}": ("control_plane", n) for n in range(1, control_planes + 1)}
            wanted |= {f"{self.name}-w{n}": ("worker", n) for n in range(1, workers + 1)}
            new = [
                Machine(name, role, _network.address(subnet, role, number), "new")
                for name, (role, number) in wanted.items()
                if name not in there
            ]
            stopped = [machine for machine in there.values() if machine.state != "running"]
            if new or stopped:
                say(f"booting {len(new) + len(stopped)} machines")
            _keys.ensure_key(self.folder / "id_ed25519", f"weft machines {self.name}")
            with ThreadPoolExecutor(max_workers=4) as pool:
                for _ in pool.map(lambda machine: self._create(machine, image, plain=plain, copy_of=copy_of), new):
                    pass
                for _ in pool.map(lambda machine: self.start(machine.name), stopped):
                    pass
            with ThreadPoolExecutor(max_workers=16) as pool:
                for _ in pool.map(wait_for_sshd, [machine.address for machine in (*new, *stopped)]):
                    pass
            self._write_files()
        return self.machines()

    def _volumes(self, machine: str) -> list[str]:
        return [f"{machine}-{kind}" for kind in VOLUMES]

    def _photograph(self, name: str) -> str:
        """Make an image of a machine's own filesystem, without what may exist once only, and return its reference."""
        reference = f"{_image.REPOSITORY}:{name}"
        if run(["podman", "images", "--quiet", reference]).strip():
            return reference
        number = self.execute(name, ["cat", "/etc/machine-id"])
        self.execute(name, ["systemctl", "stop", "containerd"], check=False)
        self.execute(name, ["truncate", "--size=0", "/etc/machine-id"])
        try:
            run(["podman", "commit", "--quiet", "--pause=true", name, reference])
        finally:
            self.execute(name, ["sh", "-c", "cat > /etc/machine-id"], stdin=number.encode())
        return reference

    def _copy_volumes(self, source: str, target: str) -> None:
        """Fill a machine's volumes from another's by hard links, which files that nobody writes again stand; databases
        are copied."""
        for one, other in zip(self._volumes(source), self._volumes(target)):
            found = run(["podman", "volume", "inspect", "--format", "{{.Mountpoint}}", one, other]).split()
            run(["cp", "--archive", "--link", f"{found[0]}/.", found[1]])
            databases = ["find", found[1], "-name", "*.db", "-exec"]
            run([*databases, "cp", "--archive", "{}", "{}.copy", ";", "-exec", "mv", "{}.copy", "{}", ";"])

    def _create(self, machine: Machine, image: str, *, plain: bool, copy_of: str = "") -> None:
        host_key = _keys.ensure_key(self.folder / "host-keys" / machine.name, machine.name)
        options = ["--name", machine.name, "--hostname", machine.name, "--network", self.name]
        options += ["--ip", machine.address, "--mac-address", _network.hardware_address(machine.address)]
        for key, value in (("", self.name), (".role", machine.role), (".address", machine.address)):
            options += ["--label", f"{LABEL}{key}={value}"]
        # A private cgroup namespace without podman's systemd mode: each machine gets a cgroup tree of its own.
        options += ["--privileged", "--systemd=false", "--cgroupns=private", "--sdnotify=ignore"]
        options += ["--stop-signal=SIGRTMIN+3", "--pids-limit=-1", "--env=container=podman"]
        options += ["--ulimit", f"nofile={_limit(resource.RLIMIT_NOFILE, 1048576)}"]
        # Podman lowers its own limit on processes before it starts anything, so this one stays well below.
        options += ["--ulimit", f"nproc={_limit(resource.RLIMIT_NPROC, 16384)}"]
        options += ["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp"]
        if Path("/lib/modules").is_dir():
            options.append("--volume=/lib/modules:/lib/modules:ro")
        if not plain:
            for kind, volume in zip(VOLUMES, self._volumes(machine.name)):
                # One is there already where the making of a machine was interrupted.
                run(["podman", "volume", "create", "--label", f"{LABEL}={self.name}", volume], check=False)
                options.append(f"--volume={volume}:/var/lib/{kind}")
            if copy_of:
                self._copy_volumes(copy_of, machine.name)
        # runc starts without the right to raise limits; crun does not.
        run(["podman", "--runtime", "runc", "create", *options, image, "/sbin/init"])
        files = _keys.ssh_files(self.folder / "id_ed25519", host_key)
        run(["podman", "cp", "-", f"{machine.name}:/"], stdin=files)
        run(["podman", "start", machine.name])

    def _write_files(self) -> None:
        machines = self.machines()
        found = _network.inspect(self.name)
        endpoint = str(found[1][_network.ENDPOINT]) if found else ""
        addresses = {machine.name: machine.address for machine in machines}
        (self.folder / "known_hosts").write_text(_keys.known_hosts(addresses, self.folder / "host-keys"))
        known = {machine.name: (machine.role, machine.address) for machine in machines}
        self.inventory.write_text(_inventory.render(self.name, known, self.folder, endpoint))

    def start(self, name: str) -> None:
        """Start a stopped machine and wait for its sshd."""
        machine = self.machine(name)
        run(["podman", "start", name])
        wait_for_sshd(machine.address)

    def stop(self, name: str) -> None:
        """Shut a machine down as its power button would."""
        self.machine(name)
        run(["podman", "stop", "--time", "20", name])

    def restart(self, name: str) -> None:
        """Shut a machine down, start it again, and wait for its sshd."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str) -> None:
        """Cut a machine's power: nothing in it gets a signal it could handle."""
        self.machine(name)
        run(["podman", "kill", "--signal", "KILL", name])
        run(["podman", "wait", name], timeout=30)

    def pause(self, name: str) -> None:
        """Freeze a machine: its network stack answers, no process does."""
        self.machine(name)
        run(["podman", "pause", name])

    def unpause(self, name: str) -> None:
        """Let a frozen machine go on."""
        self.machine(name)
        run(["podman", "unpause", name])

    def execute(self, name: str, command: Iterable[str], *, check: bool = True, stdin: bytes | None = None) -> str:
        """Run a command as root inside a machine, past SSH, and return what it printed."""
        self.machine(name)
        return run(["podman", "exec", *(["--interactive"] if stdin else []), name, *command], check=check, stdin=stdin)

    def remove(self, name: str) -> None:
        """Remove one machine with its disks, as if it had been taken out of the rack."""
        self.machine(name)
        self._remove([name])
        self._write_files()

    def reinstall(self, name: str, *, new_host_key: bool = False) -> None:
        """Give a machine an empty disk and boot it again, at the same address.

        Args:
            name: the machine.
            new_host_key: its SSH host key changes and known_hosts still holds the old one, as after a real reinstall.
        """
        machine = self.machine(name)
        plain = not run(["podman", "volume", "ls", "--quiet", "--filter", f"name={name}-containerd"]).strip()
        self._remove([name])
        if new_host_key:
            (self.folder / "host-keys" / name).with_suffix(".pub").unlink()
        self._create(machine, _image.ensure_image(), plain=plain)
        wait_for_sshd(machine.address)

    def gateway(self) -> str:
        """The address of this host on the set's network."""
        found = _network.inspect(self.name)
        if not found:
            raise MachinesError(f"There is no network '{self.name}'. 'list' shows the sets of machines.")
        return str(found[1][1])

    def cut(self) -> None:
        """Air gap: drop all traffic of this set except between its machines and with the controller (this host)."""
        _network.cut(self.name)

    def uncut(self) -> None:
        """Take the air gap away."""
        _network.uncut(self.name)

    def dropped(self) -> int | None:
        """Packets that the air gap has stopped so far; None when there is none."""
        return _network.dropped(self.name)

    def _remove(self, names: list[str]) -> None:
        if names:
            run(["podman", "rm", "--force", "--time", "0", "--ignore", *names])
            volumes = [volume for name in names for volume in self._volumes(name)]
            run(["podman", "volume", "rm", "--force", *volumes], check=False)

    def down(self) -> None:
        """Remove everything of this set: machines, volumes, network, air gap, keys and inventory.

        The last set also puts back the host's kernel settings.
        """
        with locked(f"fleet-{self.name}"):
            self._remove([machine.name for machine in self.machines()])
            left = run(["podman", "volume", "ls", "--quiet", "--filter", f"label={LABEL}={self.name}"]).split()
            if left:
                run(["podman", "volume", "rm", "--force", *left])
            for image in run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}", _image.REPOSITORY]).split():
                if image.rpartition(":")[2].startswith(f"{self.name}-"):
                    run(["podman", "rmi", "--force", image], check=False)
            self.uncut()
            found = _network.inspect(self.name)
            if found:
                _network.end_listeners(found[1])
                run(["podman", "network", "rm", "--force", self.name])
            shutil.rmtree(self.folder, ignore_errors=True)
            if not sets():
                restore_settings()
        (cache_dir() / "locks" / f"fleet-{self.name}").unlink(missing_ok=True)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The registry process on the controller: distribution's own, read-only, over a bundle's folder.

It outlives the playbook that started it, so that machines can pull later; a second start finds it.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root, locked
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import RegistryFailed

DEFAULT_PORT = 5001
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Served:
    """A running registry: where it listens, its process, and whether this call started it."""

    address: str
    pid: int
    changed: bool


def routed_address(target: str) -> str:
    """The local address by which this machine reaches `target` (a name or an address); nothing is sent.

    Raises:
        RegistryFailed: there is no route, or the name does not resolve.
    """
    try:
        family, kind, protocol, _name, peer = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # Connecting a datagram socket only asks the routing table.
            probe.connect(peer)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise RegistryFailed(
            f"This machine has no route to {target}: {error}. Correct the inventory, or set the registry's address."
        ) from error


def host_port(host: str, port: int) -> str:
    """Host and port as one text, an IPv6 address in brackets."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 6:
            return f"[{host}]:{port}"
    return f"{host}:{port}"


def registry_config(bundle: Path, address: str) -> dict[str, Any]:
    """distribution's configuration: files, read-only, one address, no TLS (all that is served is pinned by digest)."""
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(bundle)},
            "maintenance": {"readonly": {"enabled": True}},
            "delete": {"enabled": False},
        },
        "http": {"addr": address, "draintimeout": "5s"},
    }


class RegistryProcess:
    """The registry of one address.  Its files are in the cache folder: configuration, process id, log."""

    def __init__(self, host: str, port: int = DEFAULT_PORT) -> None:
        self.address = host_port(host, port)
        self._host = host
        self._port = port
        self._folder = cache_root() / "registry" / self.address.replace(":", "_")
        self.log = self._folder / "log"

    def start(self, bundle: Path) -> Served:
        """Serve `bundle`; a process that does so already is kept, one with another configuration is replaced.

        Raises:
            RegistryFailed: there is no bundle, the port is taken, or the registry does not answer.
        """
        program = bundle / "registry"
        if not program.is_file():
            raise RegistryFailed(f"{bundle} is no bundle: it has no registry. Make one with weft.platform.bundle.")
        config = yaml.safe_dump(registry_config(bundle.resolve(), self.address), sort_keys=False)
        with locked(self._folder / "lock", _silent):
            running = self._running(config)
            if running and self._answers():
                return Served(self.address, running, changed=False)
            self._stop()
            if self._listening():
                raise RegistryFailed(
                    f"{self.address} is taken by another program. Stop it, or give the registry another port."
                )
            return Served(self.address, self._launch(program.resolve(), config), changed=True)

    def stop(self) -> bool:
        """End the process; the answer is whether there was one.

        Raises:
            RegistryFailed: it does not end.
        """
        if not self._folder.is_dir():
            return False
        with locked(self._folder / "lock", _silent):
            return self._stop()

    def pid(self) -> int:
        """The running process, 0 if there is none."""
        try:
            record = json.loads((self._folder / "pid").read_text(encoding="utf-8"))
            pid, started = int(record["pid"]), str(record["started"])
        except (OSError, ValueError, KeyError):
            return 0
        # A process id is used again; its start time tells whether it is still ours.
        return pid if started and _start_time(pid) == started else 0

    def _running(self, config: str) -> int:
        try:
            same = (self._folder / "config.yml").read_text(encoding="utf-8") == config
        except OSError:
            same = False
        return self.pid() if same else 0

    def _launch(self, program: Path, config: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "config.yml").write_text(config, encoding="utf-8")
        pid = _spawn([str(program), "serve", str(self._folder / "config.yml")], self.log)
        record = {"pid": pid, "started": _start_time(pid)}
        (self._folder / "pid").write_text(json.dumps(record), encoding="utf-8")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and _alive(pid):
            if self._answers():
                return pid
            time.sleep(0.05)
        self._stop()
        raise RegistryFailed(f"The registry does not answer at {self.address}: {self._last_words()} (log: {self.log})")

    def _stop(self) -> bool:
        pid = self.pid()
        (self._folder / "pid").unlink(missing_ok=True)
        if not pid:
            return False
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 1.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if not _alive(pid):
                    return True
                time.sleep(0.02)
        raise RegistryFailed(f"The registry's process {pid} does not end. End it by hand.")

    def _answers(self) -> bool:
        """Whether a registry answers at the address (GET /v2/, OCI distribution specification)."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _listening(self) -> bool:
        try:
            with socket.create_connection((self._host, self._port), timeout=1):
                return True
        except OSError:
            return False

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(lines[-5:]) or "it said nothing"


def _spawn(command: list[str], log: Path) -> int:
    """Start a process that outlives this one, in a session of its own; the answer is its id."""
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)


def _silent(_text: str) -> None:
    """Another playbook starts the same registry; there is nothing to tell."""


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The program's name, in brackets, may hold spaces (proc(5)); count from behind it.
    return text[text.rfind(")") + 2 :].split()


def _start_time(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError, PermissionError):
        os.waitpid(pid, os.WNOHANG)
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"

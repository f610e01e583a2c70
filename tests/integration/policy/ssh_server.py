# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A real sshd on the loopback whose keys say who somebody is."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SSHD = Path("/usr/sbin/sshd")

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {work}/host_key
AuthorizedKeysFile {work}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
# the one variable that a line of authorized_keys may set; a client may set none
PermitUserEnvironment WEFT_USER
AcceptEnv GIT_PROTOCOL
"""


class SshServer:
    """Addresses and commands for people with a key."""

    def __init__(self, port: int, work: Path) -> None:
        self.port = port
        self.work = work

    def url(self, repository: Path) -> str:
        """The address of a repository on this machine."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"

    def command(self, login: str) -> str:
        """GIT_SSH_COMMAND of somebody."""
        options = ["-F", "none", "-i", str(self.work / login), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        known = ["-o", f"UserKnownHostsFile={self.work}/known_hosts", "-o", "StrictHostKeyChecking=yes"]
        # what a client sends must not become who it is
        return " ".join(["ssh", *options, *known, "-o", "SendEnv=WEFT_USER"])


@contextmanager
def running(work: Path, logins: Sequence[str]) -> Iterator[SshServer]:
    """A server that lets each of `logins` in by their own key, as the account that runs the tests."""
    if not SSHD.exists():
        pytest.fail(f"{SSHD} is not there: this test wants a real SSH server (apt-get install openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    _key(work / "host_key")
    lines = []
    for login in logins:
        public = _key(work / login)
        lines.append(f'restrict,environment="WEFT_USER={login}" {public}')
    (work / "authorized_keys").write_text("\n".join(lines) + "\n", encoding="ascii")
    port = _free_port()
    public = (work / "host_key.pub").read_text(encoding="ascii").strip()
    (work / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n", encoding="ascii")
    config = work / "sshd_config"
    config.write_text(_CONFIG.format(port=port, work=work), encoding="ascii")
    log = (work / "sshd.log").open("wb")
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(config)], stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(port, server, work / "sshd.log")
        yield SshServer(port, work)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)], check=True)
    return path.with_name(path.name + ".pub").read_text(encoding="ascii").strip()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
                if one.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"sshd did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port

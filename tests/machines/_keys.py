# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A set's SSH keys: one for the controller, one for each machine, known before the machine boots."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from ._host import run


def ensure_key(path: Path, comment: str) -> Path:
    """Make an ed25519 key pair at this path unless it is there."""
    if not path.with_suffix(".pub").exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], root=False)
    return path


def ssh_files(user_key: Path, host_key: Path) -> bytes:
    """A tar archive with what sshd of one machine needs: its host key, and who may log in as `weft`."""
    content = {
        "etc/ssh/ssh_host_ed25519_key": (host_key.read_bytes(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (host_key.with_suffix(".pub").read_bytes(), 0o644),
        "etc/ssh/authorized_keys/weft": (user_key.with_suffix(".pub").read_bytes(), 0o644),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def known_hosts(addresses: dict[str, str], keys: Path) -> str:
    """The known_hosts file for machines (name to address) whose host keys lie in `keys`."""
    lines = []
    for name, where in addresses.items():
        kind, key = (keys / name).with_suffix(".pub").read_text().split()[:2]
        lines.append(f"{where} {kind} {key}\n")
    return "".join(lines)

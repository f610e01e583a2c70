# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The machine image: the host's own distribution with systemd and sshd, made from packages, no registry involved."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ._host import MachinesError, cache_dir, cgroup_v1, locked, run

REPOSITORY = "localhost/weft-machine"

#: What a server of ours has when it is delivered. The roles install the rest.
PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,kmod,openssh-server,python3,python3-apt,sudo,gnupg,ca-certificates,curl,"
    "iproute2,iptables,nftables,ipset,conntrack,ethtool,socat,netbase,procps,libfaketime"
)

#: Runs in the new root ($1) before it is packed.
SETUP = r"""set -eu
root="$1"
chroot "$root" useradd --create-home --shell /bin/bash weft
printf 'weft ALL=(ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/weft"
chmod 0440 "$root/etc/sudoers.d/weft"
rm -f "$root"/etc/ssh/ssh_host_*
mkdir -p "$root/etc/ssh/authorized_keys" "$root/etc/ssh/sshd_config.d"
cat > "$root/etc/ssh/sshd_config.d/weft.conf" <<'EOF'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
MaxStartups 100
EOF
# A server's init shares mounts with the containers it starts; systemd leaves that out inside a container.
cat > "$root/etc/systemd/system/shared-mounts.service" <<'EOF'
[Unit]
Description=Share mounts with containers, as on a server
DefaultDependencies=no
Before=local-fs-pre.target
[Service]
Type=oneshot
ExecStart=/bin/mount --make-rshared /
[Install]
WantedBy=sysinit.target
EOF
chroot "$root" systemctl --quiet enable shared-mounts.service ssh.service
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer getty.target systemd-udevd.service systemd-udev-trigger.service systemd-timesyncd.service
# The distribution's own sysctl files would change the host, whose kernel this is; those a role writes still count.
for file in "$root"/usr/lib/sysctl.d/*.conf; do ln -sf /dev/null "$root/etc/sysctl.d/${file##*/}"; done
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
"""

#: Distributions whose packages a machine can be made of: the components to use.
_COMPONENTS = {"debian": "main", "ubuntu": "main universe"}


def _os_release() -> dict[str, str]:
    text = Path("/etc/os-release").read_text()
    return {key: value.strip('"') for key, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)}


def apt_sources(print_uris: str) -> list[tuple[str, str]]:
    """The (base address, suite) pairs in what `apt-get --print-uris update` prints.

    >>> apt_sources("'http://a.example/debian/dists/bookworm/InRelease' a_InRelease 0 ")
    [('http://a.example/debian', 'bookworm')]
    """
    return re.findall(r"^'(\S+)/dists/([^/'\s]+)/InRelease'", print_uris, re.MULTILINE)


def choose_source(release: dict[str, str], sources: list[tuple[str, str]], *, v1: bool) -> tuple[str, str]:
    """The suite of the machines and the sources.list line they are made from.

    Args:
        release: the host's /etc/os-release.
        sources: what the host's own apt uses, see `apt_sources`.
        v1: the host runs control groups version 1, which Debian 13's systemd refuses to boot on.

    Raises:
        MachinesError: the host is neither Debian nor Ubuntu, or its apt names no main archive.
    """
    system, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if system not in _COMPONENTS:
        raise MachinesError(
            f"Container machines are made of Debian or Ubuntu packages; this host is '{system or 'unknown'}'. "
            "Use a Debian or Ubuntu host, or real machines with an inventory of your own."
        )
    suite = "bookworm" if v1 and system == "debian" else codename
    bases = [base for base, name in sources if name in (codename, "stable", "oldstable", "testing")]
    if not bases:
        raise MachinesError(
            f"apt on this host names no archive for '{codename}'. Add its main archive to /etc/apt/sources.list."
        )
    keyring = f"/usr/share/keyrings/{system}-archive-keyring.gpg"
    return suite, f"deb [signed-by={keyring}] {bases[0]} {suite} {_COMPONENTS[system]}"


def _tag(suite: str) -> str:
    recipe = "\n".join((suite, PACKAGES.replace(",", " "), SETUP))
    return f"{REPOSITORY}:{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def _build(suite: str, line: str, tarball: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="weft-image-") as folder:
        hook = Path(folder, "setup")
        hook.write_text(SETUP)
        made = Path(folder, "rootfs.tar")
        run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"),
                *(f'--customize-hook=sh {hook} "$1"', suite, str(made), line),
            ]
        )
        run(["chown", f"{os.getuid()}:{os.getgid()}", str(made)])
        tarball.parent.mkdir(parents=True, exist_ok=True)
        partial = tarball.with_suffix(".partial")
        shutil.move(str(made), partial)
        partial.replace(tarball)


def ensure_image(say: Callable[[str], None] = lambda text: None) -> str:
    """Make the machine image unless podman or the cache folder has it, and return its reference.

    The tag is a hash of the recipe, so a changed recipe makes a new image and an unchanged one costs nothing.

    Raises:
        MachinesError: the host cannot make one; says why.
    """
    v1, release = cgroup_v1(), _os_release()
    suite = "bookworm" if v1 and release.get("ID") == "debian" else release.get("VERSION_CODENAME", "")
    tag = _tag(suite)
    with locked("image"):
        if run(["podman", "images", "--quiet", tag]).strip():
            return tag
        tarball = cache_dir() / "images" / f"{tag.rpartition('/')[2].replace(':', '-')}.tar"
        if not tarball.exists():
            sources = apt_sources(run(["apt-get", "--print-uris", "update"]))
            say("making the machine image from packages (once, about a minute)")
            _build(*choose_source(release, sources, v1=v1), tarball)
        run(["podman", "import", "--quiet", "--change", "STOPSIGNAL=SIGRTMIN+3", str(tarball), tag])
    return tag


def remove_images() -> None:
    """Remove every machine image from podman and from the cache folder."""
    for image in run(["podman", "images", "--quiet", "--no-trunc", REPOSITORY]).split():
        run(["podman", "rmi", "--force", image], check=False)
    shutil.rmtree(cache_dir() / "images", ignore_errors=True)

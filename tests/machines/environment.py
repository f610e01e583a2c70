# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What this host must have: Debian packages, and a Python environment with pinned libraries in the cache folder.

python3 -m tests.machines.environment requirements-dev.txt    prints the environment's folder, made if need be
python3 -m tests.machines.environment --packages [MORE ...]   installs the packages that are missing
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ._host import MachinesError, as_root, cache_dir, collections_path, locked, run

#: Runs a command and feeds what it prints to a log; raises MachinesError when it fails.
Runner = Callable[[Sequence[str]], None]

#: ansible-core's least Python for a controller.
OLDEST_PYTHON = (3, 11)
#: Containers (podman, runc, netavark), their root filesystem (mmdebstrap), their air gap (nftables), and SSH.
PACKAGES = (
    *("ca-certificates", "git", "iproute2", "iptables", "mmdebstrap"),
    *("netavark", "nftables", "openssh-client", "podman", "runc"),
)
KEYRINGS = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}


def quiet(command: Sequence[str]) -> None:
    """Run a command for its effect alone; see `Runner`."""
    run(command, root=False)


def _version(python: str) -> tuple[int, int]:
    text = run([python, "-c", "import sys; print(*sys.version_info[:2])"], root=False, check=False)
    major, minor = [*text.split(), "0", "0"][:2]
    return int(major), int(minor)


def find_python() -> str | None:
    """The Python to run Ansible with: the first that is new enough, this one before others."""
    names = [sys.executable, "python3", "python3.13", "python3.12", "python3.11"]
    found = [path for name in names if (path := shutil.which(name))]
    return next((path for path in found if _version(path) >= OLDEST_PYTHON), None)


def _has_venv(python: str) -> bool:
    return run([python, "-c", "import ensurepip, venv; print('yes')"], root=False, check=False).strip() == "yes"


def missing_packages(more: Sequence[str] = ()) -> list[str]:
    """The Debian packages that this host lacks, of ours and of `more`.

    Raises:
        MachinesError: it is no Debian or Ubuntu.
    """
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^ID=\"?(\w+)", release, re.MULTILINE)
    system = found.group(1) if found else "unknown"
    if system not in KEYRINGS:
        raise MachinesError(f"This host runs '{system}'. Container machines want Debian 12 or later, or Ubuntu 24.04.")
    wanted = [*PACKAGES, KEYRINGS[system], *more]
    listed = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted], root=False, check=False)
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    missing = [name for name in wanted if name not in installed]
    python = find_python()
    if not python:
        missing += ["python3.11", "python3.11-venv"]
    elif not _has_venv(python):
        missing.append(f"python{'.'.join(map(str, _version(python)))}-venv")
    return missing


def _apt(*words: str) -> list[str]:
    settings = ("-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300")
    return as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", *settings, *words])


def install_packages(runner: Runner = quiet, more: Sequence[str] = ()) -> list[str]:
    """Install the packages that are missing, and return their names.

    Raises:
        MachinesError: apt cannot install them, or what it has is too old.
    """
    missing = missing_packages(more)
    has_lists = run(["apt-get", "indextargets", "Created-By: Packages"], root=False, check=False).strip()
    if missing or not has_lists:
        # One source that does not answer must not stop the others; what it means shows below.
        run(_apt("update"), root=False, check=False)
    if missing:
        runner(_apt("install", "--no-install-recommends", *missing))
    version = run(["podman", "--version"], root=False).split()[-1]
    if int(version.split(".")[0]) < 4:
        raise MachinesError(f"podman {version} is too old; 4 or later is needed: Debian 12 or later, or Ubuntu 24.04.")
    return missing


def environment_folder(requirements: Path) -> Path:
    """Where the environment of a requirements file is; another content is another folder."""
    text = requirements.read_text()
    for included in re.findall(r"^-r (\S+)", text, re.MULTILINE):
        text += (requirements.parent / included).read_text()
    return cache_dir() / f"venv-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def environment_ready(requirements: Path) -> bool:
    """Whether the environment is complete; one whose making was interrupted is not."""
    return (environment_folder(requirements) / "complete").exists()


def ensure_environment(requirements: Path, runner: Runner = quiet) -> Path:
    """Make the Python environment unless it is complete, and return its folder.

    Raises:
        MachinesError: there is no Python that is new enough, or pip cannot install a requirement.
    """
    folder = environment_folder(requirements)
    with locked(folder.name):
        if not environment_ready(requirements):
            python = find_python()
            if not python:
                raise MachinesError("No Python 3.11 or later is installed. 'make quickstart' installs one.")
            runner([python, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
            runner([*pip, "--no-input", "install", "--progress-bar=off", "--requirement", str(requirements)])
            (folder / "complete").touch()
    return folder


def main() -> int:
    """Command line; returns the process's exit code."""
    try:
        if sys.argv[1:2] == ["--packages"]:
            install_packages(more=sys.argv[2:])
        elif sys.argv[1:] == ["--collections"]:
            print(collections_path(Path(__file__).resolve().parents[2]))
        else:
            print(ensure_environment(Path(sys.argv[1]).resolve()))
    except MachinesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

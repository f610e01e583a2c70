# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Files out of Debian and Ubuntu packages, from the repositories that the controller's own apt trusts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import BuildFailed, MissingTool
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._gobuild import tail_of
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import DebianFiles, Rootfs

_OS_RELEASE = Path("/etc/os-release")


def candidates(path: str) -> list[str]:
    """Where a program of a package may be: with and without /usr, in sbin or bin (distributions merge these)."""
    bare = path[4:] if path.startswith("usr/") else path
    names = [path, bare, f"usr/{bare}"]
    names += [name.replace("sbin/", "bin/") for name in names]
    return list(dict.fromkeys(names))


def codename(os_release: str) -> str:
    """VERSION_CODENAME out of the text of /etc/os-release, "" if it has none."""
    match = re.search(r'^VERSION_CODENAME="?([\w-]+)"?$', os_release, re.M)
    return match.group(1) if match else ""


def source_lines(targets: str, release: str) -> list[str]:
    """One-line apt sources for `release`, out of what `apt-get indextargets` says (see `_TARGET`).

    Backports and third-party suites are left out.
    """
    wanted = {release, f"{release}-updates", f"{release}-security"}
    lines: list[str] = []
    for target in targets.splitlines():
        uri, suite, component, signed_by = (target.split("|") + [""] * 4)[:4]
        if suite in wanted and component in ("main", "universe"):
            option = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            lines.append(f"deb {option}{uri} {suite} {component}")
    return list(dict.fromkeys(lines))


_TARGET = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"


def need(program: str, package: str) -> str:
    """The path of a program.

    Raises:
        MissingTool: it is not installed; the message names the package that has it.
    """
    found = shutil.which(program)
    if not found:
        raise MissingTool(f"{program} is not installed on this machine. Install it: apt-get install {package}.")
    return found


def extract_files(files: DebianFiles, output: Path) -> tuple[dict[str, Path], str]:
    """Download a package and take files out of it.

    Returns:
        The files by name, and "package=version" for the record.

    Raises:
        BuildFailed: apt does not have the package, or the package does not have a file.
    """
    apt, dpkg = need("apt-get", "apt"), need("dpkg-deb", "dpkg")
    shutil.rmtree(output, ignore_errors=True)
    tree = output / "tree"
    tree.mkdir(parents=True)
    # As root, apt drops its rights to _apt, which cannot write into the user's cache folder.
    _run([apt, "-q", "-o", "APT::Sandbox::User=root", "download", files.package], output)
    archives = list(output.glob("*.deb"))
    if len(archives) != 1:
        raise BuildFailed(f"apt-get download {files.package} left {len(archives)} files in {output}; want one.")
    _run([dpkg, "-x", str(archives[0]), str(tree)], output)
    version = _run([dpkg, "-f", str(archives[0]), "Version"], output).strip()
    found = {name: _take(tree, path, output / name, files) for name, path in files.files.items()}
    shutil.rmtree(tree)
    archives[0].unlink()
    return found, f"{files.package}={version}"


def make_rootfs(rootfs: Rootfs, output: Path) -> tuple[Path, str]:
    """Make a root filesystem as a tar archive in `output`.

    Returns:
        The archive, and the versions of its packages for the record.

    Raises:
        MissingTool: mmdebstrap is not installed.  BuildFailed: it ended with an error.
    """
    mmdebstrap = need("mmdebstrap", "mmdebstrap")
    release = codename(_OS_RELEASE.read_text(encoding="utf-8"))
    targets = _run([need("apt-get", "apt"), "indextargets", "--format", _TARGET, "Created-By: Packages"], Path("/"))
    lines = source_lines(targets, release)
    if not lines:
        raise BuildFailed(f"apt has no package lists of {release}. Run apt-get update, then try again.")
    output.mkdir(parents=True, exist_ok=True)
    archive = output / "rootfs.tar"
    include = f"--include={','.join(rootfs.packages)}"
    _run([mmdebstrap, "--quiet", "--variant=extract", include, release, str(archive), *lines], output)
    versions = _run([need("apt-cache", "apt"), "show", "--no-all-versions", *rootfs.packages], output)
    return archive, " ".join(package_versions(versions))


def package_versions(text: str) -> list[str]:
    """ "package=version" for each paragraph of `apt-cache show`."""
    found = re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", text, re.M)
    return [f"{name}={version}" for name, version in found]


def is_static(data: bytes) -> bool:
    """Whether an ELF program asks for no interpreter (PT_INTERP, type 3; System V ABI), 64 bits, little endian."""
    if data[:4] != b"\x7fELF" or data[4] != 2:
        return False
    offset = int.from_bytes(data[32:40], "little")
    size, count = int.from_bytes(data[54:56], "little"), int.from_bytes(data[56:58], "little")
    kinds = [int.from_bytes(data[offset + i * size : offset + i * size + 4], "little") for i in range(count)]
    return 3 not in kinds


def _take(tree: Path, path: str, target: Path, files: DebianFiles) -> Path:
    for candidate in candidates(path):
        source = tree / candidate
        if source.is_file():
            shutil.copyfile(source, target)
            target.chmod(0o755)
            if files.static and not is_static(target.read_bytes()[:4096]):
                raise BuildFailed(f"{files.package}: /{candidate} is not static, so it cannot run in an empty image.")
            return target
    raise BuildFailed(f"{files.package} has no {path}; looked for {', '.join(candidates(path))}.")


def _run(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{' '.join(command[:4])} … failed: {tail_of(done.stderr.splitlines(), 6)}")
    return done.stdout

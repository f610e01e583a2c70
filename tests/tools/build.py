#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Build a command-line tool that tests or benchmarks need from Go modules, pinned by digest, once.

    tests/tools/build.py opa kustomize       prints one path a line

Each tool is a directory beside this file with a go.mod (whose `tool` line names the main package) and a go.sum.
An options.json may say {"tags": ["sqlite"], "cgo": true, "ldflags": "-X main.Version=1.2.3"}, and of the tool's own
module {"source": {"module": PATH, "without": [files to leave out], "keep": [folders to keep beside it in share/]}}.
Binaries are kept under ~/.cache/weft.platform/tools (XDG_CACHE_HOME counts), by a digest of those files, so a
tool is built again only when a pin or an option changes.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_TOOL = re.compile(r"^tool\s+([^\s(]+)\s*$", re.MULTILINE)


class ToolError(Exception):
    """A tool is not known, or cannot be built; the message says why and what to do."""


def names() -> list[str]:
    """Every tool that can be built, sorted."""
    return sorted(path.parent.name for path in HERE.glob("*/go.mod"))


def cache_directory() -> Path:
    """Where binaries are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "weft.platform" / "tools"


def tool(name: str) -> Path:
    """The binary of a tool; built when it is not in the cache.

    Safe to call from several processes at once: one builds, the others wait.

    Raises:
        ToolError: there is no such tool, or its build failed.
    """
    found = cached(name)
    if found is not None:
        return found
    target = _target(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(name, target)
    return target


def cached(name: str) -> Path | None:
    """The binary of a tool when it was built before, else None.

    Raises:
        ToolError: there is no such tool.
    """
    target = _target(name)
    return target if target.exists() else None


def _target(name: str) -> Path:
    return cache_directory() / name / _key(name) / name


def _key(name: str) -> str:
    """What makes a binary this binary: the pins, the options and the machine's kind."""
    folder = HERE / name
    if name not in names():
        raise ToolError(f"no tool {name!r}; there are {', '.join(names())}")
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}\n".encode())
    for file in ("go.mod", "go.sum", "options.json"):
        path = folder / file
        digest.update(path.read_bytes() if path.exists() else b"")
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _options(folder: Path) -> Mapping[str, Any]:
    path = folder / "options.json"
    options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return options


def _package(folder: Path) -> str:
    match = _TOOL.search((folder / "go.mod").read_text(encoding="utf-8"))
    if match is None:
        raise ToolError(f"{folder / 'go.mod'}: has no line `tool PACKAGE`")
    return match[1]


def _build(name: str, target: Path) -> None:
    folder = HERE / name
    go = shutil.which("go")
    if go is None:
        raise ToolError(f"{name}: cannot be built, there is no `go` on the PATH; install Go 1.26 or later")
    options = _options(folder)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / name
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
        command += ["-ldflags", f"-s -w {options.get('ldflags', '')}".strip(), "-o", str(made)]
        if options.get("tags"):
            command += ["-tags", " ".join(options["tags"])]
        if options.get("source"):
            command.append(f"-modfile={_copy_source(go, folder, options['source'], Path(scratch), target)}")
        env = {**os.environ, "CGO_ENABLED": "1" if options.get("cgo") else "0"}
        # a build must not slow down what the machine is tested for
        nice = [shutil.which("nice") or "nice", "-n", "15"]
        print(f"building {name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [*nice, *command, _package(folder)], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ToolError(f"{name}: `go build` failed:\n{done.stderr.strip()[-4000:]}")
        made.replace(target)


def _copy_source(go: str, folder: Path, source: Mapping[str, Any], scratch: Path, target: Path) -> Path:
    """Copy the module (verified by go.sum) without some of its files; returns the go.mod that builds from the copy."""
    module, copy = source["module"], scratch / "source"
    asked = [go, "mod", "download", "-json", module]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{module}: cannot be downloaded:\n{(done.stderr + done.stdout).strip()[-4000:]}")
    shutil.copytree(json.loads(done.stdout)["Dir"], copy)
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
    for file in source.get("without", []):
        (copy / file).unlink()
    for kept in source.get("keep", []):
        shutil.copytree(copy / kept, target.parent / "share" / kept, dirs_exist_ok=True)
    for name in ("go.mod", "go.sum"):
        shutil.copy(folder / name, scratch / name)
    subprocess.run([go, "mod", "edit", f"-replace={module}={copy}", str(scratch / "go.mod")], check=True)
    return scratch / "go.mod"


def main(arguments: Sequence[str]) -> int:
    """Build the tools named, and print where they are."""
    parser = argparse.ArgumentParser(description="Build tools for tests and benchmarks from pinned Go modules.")
    parser.add_argument("name", nargs="+", help=f"one of {', '.join(names())}, or all")
    wanted = parser.parse_args(arguments).name
    try:
        for name in names() if wanted == ["all"] else wanted:
            print(tool(name), flush=True)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

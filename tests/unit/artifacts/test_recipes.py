# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""components.yml and versions.yml: complete, consistent, and all that a new minor needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _recipes
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import component_names
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import parse_reference
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._resolve import (
    Wanted,
    addresses,
    image_references,
)

COMPONENTS = _recipes.load_components()
VERSIONS = _recipes.load_versions()
PATCHES = [patch for minor in VERSIONS.minors.values() for patch in minor.patches]


def test_three_minors_are_known_and_the_newest_is_the_default() -> None:
    assert set(VERSIONS.minors) == {"1.35", "1.36", "1.37"}
    assert VERSIONS.default == "1.37"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", "v1.37.2"), ("1.37", "v1.37.2"), ("v1.36", "v1.36.3"), ("1.36.1", "v1.36.1"), ("v1.35.4", "v1.35.4")],
)
def test_release_names(wanted: str, found: str) -> None:
    release = VERSIONS.release(wanted)
    assert release.kubernetes == found
    assert release.versions["kubernetes"] == found


@pytest.mark.parametrize("wanted", ["1.34", "v1.37.99", "latest", "v1.36.3-rc.0", "1", "v2.0.0"])
def test_unknown_releases_are_refused_with_the_known_ones(wanted: str) -> None:
    with pytest.raises(DataError, match=r"Known: v1\.37\.2, v1\.36\.3, v1\.36\.1, v1\.35\.4"):
        VERSIONS.release(wanted)


@pytest.mark.parametrize("patch", PATCHES)
def test_every_release_can_be_built(patch: str) -> None:
    """Each component that Go builds has our go.mod and go.sum, and they require the version that is built."""
    release = VERSIONS.release(patch)
    for name in component_names(COMPONENTS, release):
        component = COMPONENTS.by_name[name]
        assert component.go or component.debian or component.rootfs or component.extra, name
        if component.go:
            folder = _recipes.module_directory(name, release.built[name])
            assert (folder / "go.sum").stat().st_size > 0
            text = (folder / "go.mod").read_text()
            version = re.escape(release.built[name])
            own = re.escape(component.go.module)
            # A replaced module has the version behind the arrow.
            assert re.search(rf"^(require|\t)? ?{own} {version}( |$)|=> \S+ {version}$", text, re.M), (name, folder)


#: Modules below every Kubernetes client, by their first words: one other version, and all of it is compiled again.
SHARED = ("k8s.io/", "sigs.k8s.io/", "golang.org/x/", "google.golang.org/", "github.com/gogo/", "go.yaml.in/")


def requirements(component: str, version: str) -> dict[str, str]:
    """The versions that a component's go.mod asks for, of the shared modules."""
    text = (_recipes.module_directory(component, version) / "go.mod").read_text()
    found = re.findall(r"^\t(\S+) (v\S+) // indirect$", text, re.M)
    return {module: version for module, version in found if module.startswith(SHARED)}


@pytest.mark.parametrize("name", ["crictl", "coredns", "flannel", "kube-router", "kube-vip"])
def test_one_kubernetes_client_serves_all(name: str) -> None:
    """Otherwise the quickstart compiles five more."""
    release = VERSIONS.release()
    kubernetes = requirements("kubernetes", release.built["kubernetes"])
    own = requirements(name, release.built[name])
    assert len(own.keys() & kubernetes.keys()) > 20
    assert {module: v for module, v in own.items() if kubernetes.get(module, v) != v} == {}
    builds = [COMPONENTS.by_name[one].go for one in ("kubernetes", name)]
    assert len({build.tags for build in builds if build}) == 1


@pytest.mark.parametrize("patch", PATCHES)
def test_every_release_says_where_upstream_has_everything(patch: str) -> None:
    release = VERSIONS.release(patch)
    for name, version in release.versions.items():
        component = COMPONENTS.by_name[name]
        for binary in component.binaries:
            assert component.upstream is not None
            url, sums = addresses(component.upstream, version, "amd64", binary.name)
            assert "{" not in url + sums
            assert url.startswith("https://")
    refs = image_references(Wanted(COMPONENTS, release, "amd64"))
    assert {"kube-apiserver", "etcd", "coredns", "pause", "flannel", "kube-router", "kube-vip"} <= {r[0] for r in refs}
    for _name, ref, _roles in refs:
        parse_reference(ref)


@pytest.mark.parametrize(
    ("component", "program", "url", "sums"),
    [
        (
            "kubernetes",
            "kubelet",
            "https://dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet",
            "https://dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet.sha256",
        ),
        (
            "etcd",
            "etcdctl",
            "https://github.com/etcd-io/etcd/releases/download/v3.7.2/etcd-v3.7.2-linux-arm64.tar.gz",
            "https://github.com/etcd-io/etcd/releases/download/v3.7.2/SHA256SUMS",
        ),
        (
            "containerd",
            "ctr",
            "https://github.com/containerd/containerd/releases/download/v2.3.4/containerd-static-2.3.4-linux-arm64.tar.gz",
            "https://github.com/containerd/containerd/releases/download/v2.3.4/"
            "containerd-static-2.3.4-linux-arm64.tar.gz.sha256sum",
        ),
        (
            "runc",
            "runc",
            "https://github.com/opencontainers/runc/releases/download/v1.5.2/runc.arm64",
            "https://github.com/opencontainers/runc/releases/download/v1.5.2/runc.sha256sum",
        ),
        (
            "cni-flannel",
            "flannel",
            "https://github.com/flannel-io/cni-plugin/releases/download/v1.9.1-flannel3/"
            "cni-plugin-flannel-linux-arm64-v1.9.1.tgz",
            "https://github.com/flannel-io/cni-plugin/releases/download/v1.9.1-flannel3/"
            "cni-plugin-flannel-linux-arm64-v1.9.1.tgz.sha256",
        ),
    ],
)
def test_upstream_addresses(component: str, program: str, url: str, sums: str) -> None:
    upstream = COMPONENTS.by_name[component].upstream
    assert upstream is not None
    version = VERSIONS.release("v1.37.2").versions[component]
    assert addresses(upstream, version, "arm64", program) == (url, sums)


def test_a_new_minor_is_data_only(tmp_path: Path) -> None:
    data = yaml.safe_load(_recipes.VERSIONS_FILE.read_text())
    data["minors"]["1.38"] = {**data["minors"]["1.37"], "patches": ["v1.38.1", "v1.38.0"]}
    data["default"] = "1.38"
    path = tmp_path / "versions.yml"
    path.write_text(yaml.safe_dump(data))
    release = _recipes.load_versions(path).release()
    assert release.kubernetes == "v1.38.1"
    refs = {name: ref for name, ref, _roles in image_references(Wanted(COMPONENTS, release, "amd64"))}
    assert refs["kube-apiserver"] == "registry.k8s.io/kube-apiserver:v1.38.1"
    assert refs["etcd"] == "registry.k8s.io/etcd:3.7.2-0"
    assert _recipes.expand("{major}.{minor}", release.kubernetes, "amd64") == "1.38"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default": "1.99"}, "default 1.99 is none of the minors"),
        ({"minors": {"1.37": {"patches": ["v1.36.0"], "components": {}}}}, "v1.36.0 is no patch of 1.37"),
        ({"minors": {"1.37": {"patches": [], "components": {}}}}, "1.37 has no patches"),
        ({"minors": {"1.37": {"components": {}}}}, "KeyError: 'patches'"),
        ({"minors": {"1.37": {"patches": "v1.37.2", "components": {}}}}, "want a list"),
        ({"minors": None}, "AttributeError"),
    ],
)
def test_wrong_versions_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "versions.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(_recipes.VERSIONS_FILE.read_text()), **change}))
    with pytest.raises(DataError, match=re.escape(message)):
        _recipes.load_versions(path)


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"binaries": {"x": {"path": "/x", "roles": ["boss"]}}}, "x: unknown role boss"),
        ({"images": {"x": {"ref": "a/b:c", "roles": [], "files": {"/x": "no/x"}}}}, "image x: no component no"),
        ({"images": {"x": {"ref": "a/b:c", "roles": [], "files": {}, "base": "none"}}}, "image x: no component none"),
        ({"golang": {}}, "unknown keys ['golang']"),
        ({"go": {"packages": {}}}, "KeyError: 'module'"),
        ({"upstream": {"url": "x"}}, "sums"),
    ],
)
def test_wrong_components_are_named(tmp_path: Path, component: dict[str, object], message: str) -> None:
    path = tmp_path / "components.yml"
    path.write_text(yaml.safe_dump({"go": "1.26.8", "components": {"thing": component}}))
    with pytest.raises(DataError, match=re.escape(message)):
        _recipes.load_components(path)


def test_unreadable_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "components.yml"
    with pytest.raises(DataError, match=re.escape(str(path))):
        _recipes.load_components(path)
    path.write_text("{a: [")
    with pytest.raises(DataError, match=re.escape(str(path))):
        _recipes.load_components(path)


@pytest.mark.parametrize(
    ("version", "parts"),
    [("v1.2.3", (1, 2, 3)), ("1.2", (1, 2, 0)), ("v2.6.3-k3s1", (2, 6, 3)), ("3.10.2", (3, 10, 2))],
)
def test_parts(version: str, parts: tuple[int, int, int]) -> None:
    assert _recipes.parts(version) == parts


@pytest.mark.parametrize("version", ["", "v1", "1.x.3", "v1.2.3.4 5", "latest"])
def test_no_version(version: str) -> None:
    with pytest.raises(DataError, match="is no version"):
        _recipes.parts(version)


def test_expand_leaves_what_it_does_not_know() -> None:
    text = "{version} {bare} {core} {major}.{minor} {arch} {name} {other}"
    expanded = _recipes.expand(text, "v1.9.1-flannel3", "arm64", "flannel")
    assert expanded == "v1.9.1-flannel3 1.9.1-flannel3 v1.9.1 1.9 arm64 flannel {other}"


def test_keys_follow_what_they_stand_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_recipes, "MODULES", tmp_path)
    folder = tmp_path / "crictl" / "v1.36.0"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module x\n")
    (folder / "go.sum").write_text("a h1:1=\n")

    def key(arch: str = "amd64") -> str:
        return _recipes.build_key(COMPONENTS, "crictl", "v1.36.0", arch)

    first = key()
    assert key() == first
    assert key("arm64") != first
    (folder / "go.sum").write_text("a h1:2=\n")
    assert key() != first


def test_the_recipe_key_covers_every_component() -> None:
    release = VERSIONS.release("v1.37.2")
    names = component_names(COMPONENTS, release)
    whole = _recipes.recipe_key(release, names, COMPONENTS, "amd64")
    assert _recipes.recipe_key(release, tuple(reversed(names)), COMPONENTS, "amd64") == whole
    assert _recipes.recipe_key(release, names[:-1], COMPONENTS, "amd64") != whole
    assert _recipes.recipe_key(VERSIONS.release("v1.36.3"), ("crictl",), COMPONENTS, "amd64") != _recipes.recipe_key(
        release, ("crictl",), COMPONENTS, "amd64"
    )

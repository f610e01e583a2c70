# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A real bundle behind distribution's own registry: what machines will ask of it, without machines."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import verify_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DigestMismatch, FetchFailed
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._images import Registry
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import BINARIES, Lock
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._obtain import Wish, obtain_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._serve import RegistryProcess
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the cached bundle, so that nothing here can harm it."""
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    shutil.copytree(obtain_bundle(Wish(origin="source")).path, path)
    return path


@pytest.fixture(scope="module")
def lock(bundle: Path) -> Lock:
    return verify_bundle(bundle)


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = RegistryProcess("127.0.0.1", port)
    yield process.start(bundle).address
    process.stop()


def test_every_binary_is_a_blob(lock: Lock, address: str) -> None:
    for binary in lock.binaries:
        with urllib.request.urlopen(f"http://{address}/v2/{BINARIES}/blobs/{binary.digest}", timeout=30) as answer:
            data = answer.read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (binary.size, binary.sha256), binary.name


def test_every_image_has_upstreams_tag(lock: Lock, address: str) -> None:
    hosts = {image.ref.split("/")[0] for image in lock.images}
    registry = Registry(Web({host: f"{address}/{host}" for host in hosts}))
    assert len(lock.images) >= 10
    for image in lock.images:
        assert registry.resolve(image.ref, lock.architecture) == image.digest


def test_images_are_copied_whole(lock: Lock, address: str, tmp_path: Path) -> None:
    registry, store = Registry(Web({"registry.k8s.io": f"{address}/registry.k8s.io"})), Store(tmp_path)
    for image in lock.images:
        if image.name in ("pause", "coredns", "kube-proxy"):
            registry.copy(image, store, lambda size: None)
            for layer in json.loads(store.read(image.digest))["layers"]:
                store.check(layer["digest"])


def test_nobody_can_write(address: str) -> None:
    request = urllib.request.Request(f"http://{address}/v2/{BINARIES}/blobs/uploads/", method="POST", data=b"")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    assert caught.value.code == 405


def test_a_flipped_byte_is_refused_with_both_digests(bundle: Path, lock: Lock, address: str, tmp_path: Path) -> None:
    image = next(image for image in lock.images if image.name == "pause")
    store = Store(bundle)
    layer = json.loads(store.read(image.digest))["layers"][0]["digest"]
    blob = store.blob_path(layer)
    data = blob.read_bytes()
    blob.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    registry = Registry(Web({"registry.k8s.io": f"{address}/registry.k8s.io"}))
    try:
        with pytest.raises(DigestMismatch) as caught:
            registry.copy(image, Store(tmp_path), lambda size: None)
        with pytest.raises(DigestMismatch, match=layer[7:]):
            verify_bundle(bundle)
    finally:
        blob.write_bytes(data)
    assert caught.value.expected == layer[7:]
    assert caught.value.actual in str(caught.value)
    verify_bundle(bundle)


def test_what_is_not_in_the_bundle_is_not_had(address: str) -> None:
    with pytest.raises(FetchFailed, match="404"):
        Registry(Web({"registry.k8s.io": f"{address}/registry.k8s.io"})).resolve("registry.k8s.io/pause:0", "amd64")


@pytest.mark.parametrize(
    ("program", "arguments", "version"),
    [
        ("kubeadm", ["version", "-o", "short"], "kubernetes"),
        ("kubelet", ["--version"], "kubernetes"),
        ("containerd", ["--version"], "containerd"),
        ("crictl", ["--version"], "crictl"),
        ("etcdctl", ["version"], "etcd"),
    ],
)
def test_programs_run_and_know_their_version(
    bundle: Path, lock: Lock, tmp_path: Path, program: str, arguments: list[str], version: str
) -> None:
    binary = lock.binary(program)
    path = tmp_path / program
    shutil.copyfile(Store(bundle).blob_path(binary.digest), path)
    path.chmod(0o755)
    said = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=True).stdout
    assert binary.version.lstrip("v") in said, version

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The registry's file layout, and images that are the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, DigestMismatch
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._oci import (
    Entry,
    Settings,
    entries_of_tar,
    with_folders,
    write_image,
    write_layer,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store, sha256_file

DATA = b"some bytes"
NAME = hashlib.sha256(DATA).hexdigest()


def test_the_layout_is_that_of_distribution(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put_bytes(DATA)
    store.link_layer("weft/binaries", digest)
    store.link_manifest("registry.k8s.io/pause", digest, "3.10.2")
    base = tmp_path / "docker/registry/v2"
    found = {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}
    link = f"sha256:{NAME}".encode()
    pause = "repositories/registry.k8s.io/pause/_manifests"
    assert found == {
        f"blobs/sha256/{NAME[:2]}/{NAME}/data": DATA,
        f"repositories/weft/binaries/_layers/sha256/{NAME}/link": link,
        f"{pause}/revisions/sha256/{NAME}/link": link,
        f"{pause}/tags/3.10.2/current/link": link,
        f"{pause}/tags/3.10.2/index/sha256/{NAME}/link": link,
    }
    store.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["docker"]


def test_blobs_by_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    source = tmp_path / "file"
    source.write_bytes(DATA)
    assert not store.has(f"sha256:{NAME}")
    assert store.size(f"sha256:{NAME}") == -1
    assert store.put_file(source, NAME) == f"sha256:{NAME}"
    assert store.put_stream(io.BytesIO(DATA), "again") == f"sha256:{NAME}"
    assert store.has(f"sha256:{NAME}")
    assert store.size(f"sha256:{NAME}") == len(DATA)
    assert store.read(f"sha256:{NAME}") == DATA
    store.check(f"sha256:{NAME}")
    assert sha256_file(source) == NAME


def test_one_flipped_byte_is_told_with_both_digests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put_bytes(DATA)
    flipped = bytes([DATA[0] ^ 1]) + DATA[1:]
    store.blob_path(digest).write_bytes(flipped)
    actual = hashlib.sha256(flipped).hexdigest()
    for read in (store.check, store.read):
        with pytest.raises(DigestMismatch) as caught:
            read(digest)
        assert (caught.value.expected, caught.value.actual) == (NAME, actual)
        assert f"sha256:{NAME}" in str(caught.value)
        assert f"sha256:{actual}" in str(caught.value)


def test_wrong_content_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(DigestMismatch, match="the download"):
        store.put_stream(io.BytesIO(b"other"), "the download", NAME)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for read in (store.check, store.read):
        with pytest.raises(ArtifactError, match=f"{NAME}/data is missing"):
            read(f"sha256:{NAME}")


def _files(tmp_path: Path) -> list[Entry]:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    return [
        Entry("/usr/local/bin/kube-proxy", program),
        Entry("/etc/motd", b"hello", 0o644),
        Entry("/usr/sbin/iptables", link="iptables-nft"),
        Entry("/tmp", mode=0o1777),
    ]


def test_equal_files_give_equal_layers(tmp_path: Path) -> None:
    entries = _files(tmp_path)
    first = write_layer(Store(tmp_path / "a"), entries)
    random.Random(1).shuffle(entries)
    (tmp_path / "program").touch()
    assert write_layer(Store(tmp_path / "b"), entries) == first


def test_a_layer_has_no_time_and_no_owner(tmp_path: Path) -> None:
    store = Store(tmp_path / "a")
    layer = write_layer(store, _files(tmp_path))
    path = store.blob_path(layer.digest)
    assert path.stat().st_size == layer.size
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == sorted(m.name for m in members)
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
        by_name = {m.name: m for m in members}
        assert by_name["usr/local/bin/kube-proxy"].mode == 0o755
        assert by_name["etc/motd"].mode == 0o644
        assert by_name["usr/sbin/iptables"].linkname == "iptables-nft"
        assert by_name["tmp"].mode == 0o1777
        assert by_name["usr/local"].isdir()
        stream = tar.extractfile("etc/motd")
        assert stream is not None
        assert stream.read() == b"hello"


def test_parents_are_added_and_later_entries_win() -> None:
    found = with_folders([Entry("/a/b/c", b"1"), Entry("a/b/c", b"2"), Entry("./a/./d", b"3"), Entry("/")])
    assert [(entry.path, entry.source) for entry in found] == [
        ("a", None),
        ("a/b", None),
        ("a/b/c", b"2"),
        ("./a/./d", b"3"),
    ]


def test_a_tar_is_read_without_what_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in {
            "./usr/sbin/nft": b"nft",
            "./usr/share/doc/nft/copyright": b"terms",
            "./usr/share/doc/nft/changelog": b"old",
            "./usr/share/document": b"kept",
            "./usr/lib/x86_64-linux-gnu/gconv/BIG5.so": b"x",
        }.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
        hard = tarfile.TarInfo("./usr/sbin/nft2")
        hard.type, hard.linkname = tarfile.LNKTYPE, "./usr/sbin/nft"
        tar.addfile(hard)
        soft = tarfile.TarInfo("./usr/sbin/soft")
        soft.type, soft.linkname = tarfile.SYMTYPE, "nft"
        tar.addfile(soft)
        device = tarfile.TarInfo("./dev/null")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
        folder = tarfile.TarInfo("./run")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
    entries = entries_of_tar(path, ["usr/share/doc", "usr/lib/*-linux-gnu/gconv"], ["usr/share/doc/*/copyright"])
    assert {entry.path: entry.source for entry in entries} == {
        "usr/sbin/nft": b"nft",
        "usr/share/doc/nft/copyright": b"terms",
        "usr/share/document": b"kept",
        "usr/sbin/nft2": b"nft",
        "usr/sbin/soft": None,
        "run": None,
    }
    assert {entry.path: entry.link for entry in entries if entry.link} == {"usr/sbin/soft": "nft"}


def test_an_image_is_linked_with_all_its_parts(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    base = write_layer(store, [Entry("/base", b"1")])
    own = write_layer(store, [Entry("/own", b"2")])
    settings = Settings("amd64", entrypoint=["/own"], cmd=["run"], user="65532:65532", labels={"a": "b"})
    digest = write_image(store, "example.org/own", "v1", [base, own], settings)
    manifest = json.loads(store.read(digest))
    config = json.loads(store.read(manifest["config"]["digest"]))
    assert [layer["digest"] for layer in manifest["layers"]] == [base.digest, own.digest]
    assert [layer["size"] for layer in manifest["layers"]] == [base.size, own.size]
    assert config["rootfs"]["diff_ids"] == [base.digest, own.digest]
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"]["Entrypoint"] == ["/own"]
    assert config["config"]["Cmd"] == ["run"]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Labels"] == {"a": "b"}
    assert config["config"]["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    layers = tmp_path / "s/docker/registry/v2/repositories/example.org/own/_layers/sha256"
    assert {path.name for path in layers.iterdir()} == {
        item["digest"][7:] for item in (manifest["config"], *manifest["layers"])
    }


def test_settings_that_are_not_given_are_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    layer = write_layer(store, [])
    digest = write_image(store, "example.org/bare", "v1", [layer], Settings("arm64"))
    config = json.loads(store.read(json.loads(store.read(digest))["config"]["digest"]))
    assert set(config["config"]) == {"Env", "WorkingDir"}

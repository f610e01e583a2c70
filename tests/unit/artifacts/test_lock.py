# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Lock files: what is written is read back, and every problem of a wrong one is named at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    Binary,
    Image,
    Lock,
    bundle_repository,
    dump_lock,
    load_lock,
    parse_lock,
    parse_reference,
)

LOCK = Lock(
    kubernetes="v1.37.2",
    architecture="amd64",
    source="upstream",
    binaries=(
        Binary("kubeadm", "v1.37.2", "a" * 64, 12, "/bin/kubeadm", ("control_plane", "worker"), "https://x/y"),
        Binary("ctr", "v2.3.4", "b" * 64, 7, "/usr/local/bin/ctr", ("worker",), "https://x/z.tgz", "bin/ctr", "c" * 64),
        Binary("runc", "1.1.5+ds1", "d" * 64, 1, "/usr/local/sbin/runc", ("worker",), built_from="runc=1.1.5+ds1"),
    ),
    images=(Image("pause", "registry.k8s.io/pause:3.10.2", "sha256:" + "e" * 64, ("control_plane", "worker")),),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "lock.yml"
    path.write_text(dump_lock(LOCK))
    assert load_lock(path) == LOCK
    assert dump_lock(load_lock(path)) == dump_lock(LOCK)


def test_the_file_says_only_what_there_is() -> None:
    data = yaml.safe_load(dump_lock(LOCK))
    assert data["binaries"][0] == {
        "name": "kubeadm",
        "version": "v1.37.2",
        "sha256": "a" * 64,
        "size": 12,
        "path": "/bin/kubeadm",
        "roles": ["control_plane", "worker"],
        "url": "https://x/y",
    }
    assert data["binaries"][1]["member"] == "bin/ctr"
    assert data["binaries"][1]["archive_sha256"] == "c" * 64


def test_binary_by_name() -> None:
    assert LOCK.binary("ctr").digest == "sha256:" + "b" * 64
    with pytest.raises(DataError, match="names no binary nerdctl"):
        LOCK.binary("nerdctl")


def test_every_problem_is_named_at_once() -> None:
    data: dict[str, Any] = {
        "kubernetes": "",
        "architecture": "s390x",
        "source": "usb",
        "binaries": [
            {"name": "x", "version": "1", "sha256": "A" * 64, "size": "1", "path": "/x", "roles": ["boss"]},
            3,
        ],
        "images": [{"name": "y", "ref": "pause", "digest": "md5:1", "roles": "worker"}],
    }
    with pytest.raises(DataError) as caught:
        parse_lock(data, "lock.yml")
    for text in (
        "lock.yml: architecture: want one of amd64, arm64, found 's390x'",
        "source: want one of upstream, mirror, bundle, found 'usb'",
        "binaries[0].sha256: want 64 hexadecimal digits",
        "binaries[0].size: want a number of bytes, found '1'",
        "binaries[0].roles: want a list out of control_plane, worker, controller, found ['boss']",
        "binaries[1]: sha256 is missing",
        "images[0].digest: want sha256: and 64",
        "images[0].ref: want HOST/PATH:TAG",
        "images[0].roles",
        "kubernetes is missing",
    ):
        assert text in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_no_mapping(data: Any) -> None:
    with pytest.raises(DataError, match="want a mapping"):
        parse_lock(data, "lock.yml")


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lock\.yml does not exist"):
        load_lock(tmp_path / "lock.yml")
    (tmp_path / "lock.yml").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_lock(tmp_path / "lock.yml")


@pytest.mark.parametrize(
    ("ref", "repository"),
    [
        ("registry.k8s.io/pause:3.10.2", "registry.k8s.io/pause"),
        ("registry.k8s.io/coredns/coredns:v1.14.6", "registry.k8s.io/coredns/coredns"),
        ("docker.io/cloudnativelabs/kube-router:v2.6.3", "docker.io/cloudnativelabs/kube-router"),
        ("registry.example.org:5000/a/b:c", "registry.example.org_5000/a/b"),
    ],
)
def test_bundle_repository(ref: str, repository: str) -> None:
    assert bundle_repository(ref) == repository


@pytest.mark.parametrize("ref", ["", "pause", "pause:3", "registry.k8s.io/pause", "example.org/a@sha256:1", "a/b:"])
def test_references_want_host_and_tag(ref: str) -> None:
    with pytest.raises(DataError, match="is no image reference"):
        parse_reference(ref)


@pytest.mark.parametrize(("settings", "warns"), [("ansible.cfg", False), ("", True)])
def test_our_settings_keep_ansible_from_taking_it_for_an_inventory(tmp_path: Path, settings: str, warns: bool) -> None:
    (tmp_path / "empty.cfg").write_text("")
    config = Path(settings).resolve() if settings else tmp_path / "empty.cfg"
    (tmp_path / "hosts.yml").write_text("cluster: {hosts: {m1: {}}}\n")
    (tmp_path / "lock.yml").write_text(dump_lock(LOCK))
    program = Path(sys.executable).parent / "ansible-inventory"
    environment = {**os.environ, "ANSIBLE_CONFIG": str(config), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [program, "-i", tmp_path, "--graph"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert "m1" in done.stdout
    assert ("not a valid group definition" in done.stderr) is warns

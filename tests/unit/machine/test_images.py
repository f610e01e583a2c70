# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Images: pulled by digest, named as upstream names them, refused when damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Result
from ansible_collections.weft.platform.plugins.module_utils._machine._images import SOCKET, Image, parse_images
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PAUSE = "registry.k8s.io/pause:3.10.2"
LS = f"""\
REF                           TYPE                                       DIGEST  SIZE      PLATFORMS   LABELS
{PAUSE} application/vnd.oci.image.manifest.v1+json {A} 690.9 KiB linux/amd64 -
registry.k8s.io/pause@{A}     application/vnd.oci.image.index.v1+json    {A} 690.9 KiB linux/amd64,linux/arm64 -
broken:1                      application/vnd.oci.image.index.v1+json    -       -
"""


class Containerd:
    """containerd's image store."""

    def __init__(self, machine: Machine, have: dict[str, str] | None = None) -> None:
        machine.put(SOCKET, "")
        self.images = have or {}
        self.labels: dict[str, Sequence[str]] = {}
        on = machine.commands.on
        on("ctr -n k8s.io images ls", self.ls)
        on("ctr -n k8s.io images pull", self.pull)
        on("ctr -n k8s.io images tag --force", self.tag)
        on("ctr -n k8s.io images label", self.label)
        on("ctr -n k8s.io images rm", self.rm)

    def ls(self, argv: Sequence[str], stdin: str) -> str:
        return "REF TYPE DIGEST\n" + "".join(f"{ref} type {digest}\n" for ref, digest in self.images.items())

    def pull(self, argv: Sequence[str], stdin: str) -> str:
        self.images[argv[-1]] = argv[-1].partition("@")[2]
        return ""

    def tag(self, argv: Sequence[str], stdin: str) -> str:
        self.images[argv[-1]] = self.images[argv[-2]]
        return ""

    def label(self, argv: Sequence[str], stdin: str) -> str:
        self.labels[argv[5]] = tuple(argv[6:])
        return ""

    def rm(self, argv: Sequence[str], stdin: str) -> str:
        del self.images[argv[-1]]
        return ""


def image(**spec: Any) -> Image:
    return Image({"type": "image", "ref": PAUSE, "digest": A, **spec}, "n1")


def test_listing() -> None:
    assert parse_images(LS) == {PAUSE: A, f"registry.k8s.io/pause@{A}": A}


def test_pull_from_the_bundle(machine: Machine) -> None:
    store = Containerd(machine)
    spec = {"source": "10.0.0.1:5001/registry.k8s.io/pause", "plain": True}
    outcome = reconcile([image(**spec)], check=False)
    assert (outcome.failed, [change.after for change in outcome.changes]) == ("", [{"digest": A}])
    assert store.images == {PAUSE: A, f"registry.k8s.io/pause@{A}": A}
    labels = ("io.cri-containerd.image=managed", "io.cri-containerd.pinned=pinned")
    assert store.labels == {PAUSE: labels, f"registry.k8s.io/pause@{A}": labels}
    pull = f"ctr -n k8s.io images pull --plain-http 10.0.0.1:5001/registry.k8s.io/pause@{A}"
    assert pull in machine.commands.calls
    assert reconcile([image(**spec)], check=True).changes == []


def test_pull_from_its_own_host_by_the_configured_mirrors(machine: Machine) -> None:
    store = Containerd(machine)
    machine.put("/etc/containerd/certs.d/registry.k8s.io/hosts.toml", "")
    assert reconcile([image()], check=False).failed == ""
    pull = f"ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d registry.k8s.io/pause@{A}"
    assert pull in machine.commands.calls
    assert store.images == {PAUSE: A, f"registry.k8s.io/pause@{A}": A}


def test_a_tag_that_names_something_else(machine: Machine) -> None:
    store = Containerd(machine, {PAUSE: B})
    (change,) = reconcile([image()], check=False).changes
    assert (change.field, change.before, change.after) == (("digest",), B, A)
    assert store.images[PAUSE] == A


@pytest.mark.parametrize(
    ("ref", "repository"),
    [
        (PAUSE, "registry.k8s.io/pause"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b"),
        ("localhost:5000/a/b", "localhost:5000/a/b"),
        (f"quay.io/a/b@{A}", "quay.io/a/b"),
    ],
)
def test_repository(machine: Machine, ref: str, repository: str) -> None:
    assert image(ref=ref).repository == repository
    assert image(ref=ref).by_digest == f"{repository}@{A}"


def test_many_are_pulled_together_and_named_in_order(machine: Machine) -> None:
    store = Containerd(machine)
    images = [image(ref=f"r.example/i{number}:v1") for number in range(5)]
    outcome = reconcile(images, check=False)
    machine.close()
    assert outcome.failed == ""
    assert {f"r.example/i{number}:v1" for number in range(5)} <= set(store.images)


def test_while_containerd_is_not_there(machine: Machine) -> None:
    assert image().observe() is ABSENT
    assert "start containerd.service first" in reconcile([image()], check=False).failed


def test_what_was_there_while_containerd_did_not_run_is_not_pulled_again(machine: Machine) -> None:
    one = image()
    changes = one.changes(one.observe())
    Containerd(machine, {PAUSE: A})
    one.apply(changes)
    assert not [call for call in machine.commands.calls if "pull" in call]


def test_a_flipped_byte_is_refused_with_both_digests(machine: Machine) -> None:
    Containerd(machine)
    words = (
        'time="2026-11-23T09:13:50Z" level=warning msg="DEPRECATION: The support for cgroup v1 is deprecated"\n'
        f'ctr: failed to extract layer: failed commit on ref "layer-{A}": unexpected commit digest {B}, expected {A}: '
        "failed precondition\n"
    )
    machine.commands.on("ctr -n k8s.io images pull", Result(1, "", words))
    failed = reconcile([image(source="10.0.0.1:5001/registry.k8s.io/pause", plain=True)], check=False).failed
    assert failed == (
        f"image:{PAUSE}@n1: 10.0.0.1:5001/registry.k8s.io/pause@{A}: a part of it has digest {B}, but {A} is wanted; "
        "it is damaged or was replaced, and was refused. Make the bundle (or the mirror's copy) anew and run again"
    )


def test_another_refusal(machine: Machine) -> None:
    Containerd(machine)
    words = 'level=warning msg="x"\nctr: failed to resolve: connection refused\n'
    machine.commands.on("ctr -n k8s.io images pull", Result(1, "", words))
    failed = reconcile([image()], check=False).failed
    assert failed.endswith(f"registry.k8s.io/pause@{A} cannot be pulled: ctr: failed to resolve: connection refused")


def test_undo_leaves_it_to_containerds_data() -> None:
    assert Image.undo(PAUSE, {(): ABSENT}, {}) == []

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What goes wrong on the way: killed runs, damaged artifacts, full disks, wrong passwords; on real machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lab import Lab

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two control planes and a worker."""
    made = Lab("flt", tmp_path_factory.mktemp("faults"))
    made.fleet.down()
    made.up(2, 1)
    yield made
    made.fleet.down()


def untouched(lab: Lab, machine: str) -> bool:
    """Whether a machine never saw a Change."""
    found = lab.fleet.execute(machine, ["sh", "-c", "ls -d /var/lib/weft /etc/kubernetes /etc/containerd 2>&1 || true"])
    return found.count("No such file") == 3


# --- at the door: nothing may have changed ------------------------------------------------------------------------


def test_every_problem_of_an_inventory_is_told_at_once_with_its_place(lab: Lab) -> None:
    good = (lab.inventory / "hosts.yml").read_text()

    def spoil(data: dict[str, Any]) -> None:
        wrong = {"cluster_pod_cidr": "10.96.0.0/16", "cluster_dns_domian": "x", "cluster_endpoint_provider": "haproxy"}
        data["vars"].update(wrong)
        for group in data["children"]["cluster"]["children"].values():
            for own in group["hosts"].values():
                own["cluster_kubernetes_version"] = "1.20"

    lab.edit(spoil)
    run = lab.play("plan")
    (lab.inventory / "hosts.yml").write_text(good)
    assert run.code != 0
    for word in ("cluster_pod_cidr", "cluster_dns_domian", "cluster_dns_domain", "1.20", "haproxy", "hosts.yml:"):
        assert word in run.text, f"{word} is missing:\n{run.text}"
    assert untouched(lab, "flt-cp1")


def test_a_wrong_sudo_password_is_told_and_nothing_changes(lab: Lab) -> None:
    lab.fleet.execute("flt-w1", ["sh", "-c", "mv /etc/sudoers.d /etc/sudoers.away; mkdir /etc/sudoers.d"])
    lab.fleet.execute(
        "flt-w1", ["sh", "-c", "echo 'weft ALL=(ALL) ALL' > /etc/sudoers.d/weft; echo weft:right | chpasswd"]
    )
    run = lab.play("apply", "-e", "ansible_become_password=wrong")
    lab.fleet.execute("flt-w1", ["sh", "-c", "rm -r /etc/sudoers.d; mv /etc/sudoers.away /etc/sudoers.d"])
    assert run.code != 0
    assert "flt-w1" in run.text and "password" in run.text
    assert "ansible_become_password" in run.text
    assert untouched(lab, "flt-cp1") and untouched(lab, "flt-w1")


def test_a_changed_host_key_is_told_and_nothing_changes(lab: Lab) -> None:
    lab.fleet.reinstall("flt-w1", new_host_key=True)
    run = lab.play("apply")
    assert run.code != 0
    assert "flt-w1" in run.text and "host key" in run.text.lower()
    assert untouched(lab, "flt-cp1") and untouched(lab, "flt-w1")
    lab.fleet.up(2, 1)
    (lab.fleet.folder / "known_hosts").unlink()
    lab.fleet.up(2, 1)


LATE = """#!/bin/sh
export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME=+3600s
exec /usr/bin/python3 "$@"
"""


def test_a_clock_off_by_an_hour_is_told_and_nothing_changes(lab: Lab) -> None:
    """The kernel's clock is the host's, so what reads the clock of this machine is told another time."""
    good = (lab.inventory / "hosts.yml").read_text()
    lab.fleet.execute(
        "flt-w1", ["sh", "-c", "cat > /usr/local/bin/late && chmod 755 /usr/local/bin/late"], stdin=LATE.encode()
    )
    interpreter = {"ansible_python_interpreter": "/usr/local/bin/late"}
    lab.edit(lambda data: data["children"]["cluster"]["children"]["workers"]["hosts"]["flt-w1"].update(interpreter))
    run = lab.play("apply")
    (lab.inventory / "hosts.yml").write_text(good)
    lab.fleet.execute("flt-w1", ["rm", "/usr/local/bin/late"])
    assert run.code != 0
    assert "flt-w1" in run.text and "clock" in run.text.lower()
    assert untouched(lab, "flt-cp1") and untouched(lab, "flt-w1")


def test_foreign_leftovers_are_named_and_nothing_changes(lab: Lab) -> None:
    lab.fleet.execute("flt-w1", ["sh", "-c", "mkdir -p /etc/kubernetes/pki && echo x > /etc/kubernetes/kubelet.conf"])
    run = lab.play("apply")
    lab.fleet.execute("flt-w1", ["rm", "-r", "/etc/kubernetes"])
    assert run.code != 0
    assert "flt-w1" in run.text and "/etc/kubernetes" in run.text
    assert untouched(lab, "flt-cp1")


# --- artifacts ----------------------------------------------------------------------------------------------------


def flipped(path: Path) -> None:
    """Change one byte in the middle of a file, which may be a hard link to be left alone."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))


def bundle_copy(lab: Lab) -> Path:
    """A copy of the bundle by hard links: cheap, and the damage stays in the copy."""
    folder = lab.folder / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(lab.lock().parent, folder, copy_function=lambda source, target: Path(target).hardlink_to(source))
    return folder


def blob(folder: Path, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return folder / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


def test_a_damaged_binary_is_refused_with_both_digests(lab: Lab) -> None:
    folder = bundle_copy(lab)
    lock = yaml.safe_load((folder / "lock.yml").read_text())
    wanted = next(binary["sha256"] for binary in lock["binaries"] if binary["name"] == "runc")
    flipped(blob(folder, wanted))
    run = lab.play("apply", "-e", f"artifacts_bundle_path={folder}")
    assert run.code != 0
    assert wanted in run.text
    assert len({word for word in run.text.replace(",", " ").split() if len(word) == 64 and word != wanted}) >= 1
    assert "No such file" in lab.fleet.execute("flt-w1", ["sh", "-c", "ls /usr/local/sbin/runc 2>&1 || true"])


def test_a_damaged_image_is_refused_with_both_digests(lab: Lab) -> None:
    folder = bundle_copy(lab)
    lock = yaml.safe_load((folder / "lock.yml").read_text())
    digest = next(image["digest"] for image in lock["images"] if image["name"] == "coredns")
    layer = json.loads(blob(folder, digest).read_text())["layers"][0]["digest"]
    flipped(blob(folder, layer))
    run = lab.play("apply", "-e", f"artifacts_bundle_path={folder}")
    assert run.code != 0
    assert layer in run.text and run.text.count("sha256:") >= 2
    images = lab.fleet.execute("flt-w1", ["ctr", "-n", "k8s.io", "images", "ls", "-q"])
    assert "coredns" not in images


def test_a_full_disk_is_told_and_the_others_go_on(lab: Lab) -> None:
    lab.fleet.execute("flt-w1", ["sh", "-c", "mkdir -p /opt/cni/bin; mount -t tmpfs -o size=1m none /opt/cni/bin"])
    lab.fleet.execute(
        "flt-w1", ["sh", "-c", "dd if=/dev/zero of=/opt/cni/bin/ballast bs=1k count=1000 2>/dev/null || true"]
    )
    run = lab.play("apply", "--tags", "prepare")
    lab.fleet.execute("flt-w1", ["umount", "/opt/cni/bin"])
    assert run.code != 0
    assert "flt-w1" in run.text and "space" in run.text.lower()
    assert "kubelet" in lab.fleet.execute("flt-cp1", ["ls", "/usr/local/bin"])
    lab.play("destroy", "-e", "cluster_confirm=flt")


# --- killed in each phase -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sign", ["TASK [Observe every machine]", "TASK [Prepare]", "TASK [Initialise the cluster]", "TASK [Join"]
)
def test_a_run_is_killed(lab: Lab, sign: str) -> None:
    lab.kill_when(sign)


def test_the_next_run_finishes_what_was_killed(lab: Lab) -> None:
    lab.apply()
    lab.wait_ready("flt-cp1", "flt-cp2", "flt-w1")
    assert lab.plan() == []
    assert set(lab.apply().changed.values()) == {0}


STATE = r"""
find /etc/kubernetes /etc/containerd /etc/systemd/system/kubelet.service /opt/cni /usr/local/bin -xdev \
  ! -name '*.pem' ! -path '*/pki/*' -printf '%p %y %m\n' | sort
crictl ps -o json | python3 -c 'import json, sys
for name in sorted(one["metadata"]["name"] for one in json.load(sys.stdin)["containers"]): print(name)' | sort -u
"""


def test_the_end_is_that_of_an_undisturbed_run(lab: Lab) -> None:
    killed = {name: lab.fleet.execute(name, ["sh", "-c", STATE]) for name in ("flt-cp1", "flt-cp2", "flt-w1")}
    run = lab.play("destroy", "-e", "cluster_confirm=flt")
    assert run.code == 0, run.text[-6000:]
    lab.apply()
    lab.wait_ready("flt-cp1", "flt-cp2", "flt-w1")
    for name, state in killed.items():
        assert lab.fleet.execute(name, ["sh", "-c", STATE]).replace("coredns\n", "") == state.replace("coredns\n", "")


# --- a machine that is away ---------------------------------------------------------------------------------------


def test_an_unreachable_machine_is_named_and_the_rest_is_finished(lab: Lab) -> None:
    lab.fleet.stop("flt-w1")

    def label(data: dict[str, Any]) -> None:
        data["children"]["cluster"]["children"]["control_plane"]["hosts"]["flt-cp2"]["node_labels"] = {"rack": "two"}

    lab.edit(label)
    run = lab.play("apply")
    assert run.code != 0
    assert "1 of 3 machines are not done" in run.text and "flt-w1" in run.text
    assert "two" in lab.kubectl("get", "node", "flt-cp2", "-L", "rack")
    lab.fleet.start("flt-w1")
    lab.wait_ready("flt-w1")
    lab.apply()

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kernel modules, settings and swap, with what /proc and /etc/fstab of real systems hold."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineError, Result
from ansible_collections.weft.platform.plugins.module_utils._machine._kernel import KernelModule, Swap, Sysctl
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine

RELEASE = "6.1.0-28-amd64"


def module(name: str, **more: Any) -> KernelModule:
    return KernelModule({"type": "kernel_module", "name": name, **more}, "n1")


def test_a_loaded_module(machine: Machine) -> None:
    machine.put("/sys/module/br_netfilter/refcnt", "1")
    assert reconcile([module("br_netfilter"), module("br-netfilter")], check=True).changes == []


def test_a_module_of_the_kernel_itself(machine: Machine) -> None:
    machine.put("/proc/sys/kernel/osrelease", RELEASE + "\n")
    machine.put(f"/lib/modules/{RELEASE}/modules.builtin", "kernel/fs/overlayfs/overlay.ko\nkernel/net/vxlan-x.ko\n")
    assert reconcile([module("overlay"), module("vxlan_x")], check=True).changes == []


def test_a_kernel_without_files(machine: Machine) -> None:
    config = "# Automatically generated\nCONFIG_OVERLAY_FS=y\nCONFIG_VXLAN=m\nCONFIG_IP_SET=y\n"
    Path(machine.put("/proc/config.gz", "")).write_bytes(gzip.compress(config.encode()))
    assert [module(name).observe() for name in ("overlay", "ip_set", "vxlan", "dummy")] == [
        {"loaded": True},
        {"loaded": True},
        ABSENT,
        ABSENT,
    ]


def test_load(machine: Machine) -> None:
    def modprobe(argv: Sequence[str], stdin: str) -> str:
        machine.put("/sys/module/overlay/refcnt", "0")
        return ""

    machine.commands.on("modprobe overlay", modprobe)
    assert reconcile([module("overlay")], check=False).failed == ""


def test_a_module_that_is_not_there(machine: Machine) -> None:
    text = f"modprobe: FATAL: Module vxlan not found in directory /lib/modules/{RELEASE}"
    machine.commands.on("modprobe", Result(1, "", text))
    failed = reconcile([module("vxlan")], check=False).failed
    assert failed.startswith(f"kernel_module:vxlan@n1: cannot be loaded: {text}. Install the package")


def test_unloading_is_tried_and_told(machine: Machine) -> None:
    machine.put("/sys/module/overlay/refcnt", "3")
    machine.commands.on("modprobe -r", Result(1, "", "modprobe: FATAL: Module overlay is in use."))
    (spec,) = KernelModule.undo("overlay", {(): ABSENT}, {})
    outcome = reconcile([KernelModule(spec, "n1")], check=False)
    assert (outcome.failed, len(outcome.changes)) == ("", 1)
    assert [note["message"] for note in machine.notes] == [
        "overlay stays loaded: modprobe: FATAL: Module overlay is in use."
    ]


def sysctl(name: str, value: Any) -> Sysctl:
    return Sysctl({"type": "sysctl", "name": name, "value": value}, "n1")


@pytest.mark.parametrize(
    ("name", "path", "now", "value", "differs"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1\n", "1", False),
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "0\n", 1, True),
        ("net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem", "4096\t131072\t6291456\n", "4096 131072 6291456", False),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter", "2\n", "0", True),
    ],
)
def test_sysctl(machine: Machine, name: str, path: str, now: str, value: Any, differs: bool) -> None:
    machine.put(f"/proc/sys/{path}", now)
    outcome = reconcile([sysctl(name, value)], check=False)
    assert (outcome.failed, bool(outcome.changes)) == ("", differs)
    assert (machine.read(f"/proc/sys/{path}") or "").split() == str(value).split()
    for change in outcome.changes:
        (back,) = Sysctl.undo(name, {change.field: change.before}, {})
        reconcile([Sysctl(back)], check=False)
        assert (machine.read(f"/proc/sys/{path}") or "").split() == now.split()


def test_a_sysctl_that_the_kernel_lacks(machine: Machine) -> None:
    failed = reconcile([sysctl("net.bridge.bridge-nf-call-iptables", "1")], check=False).failed
    assert "load the module that brings it" in failed
    assert Sysctl.undo("net.bridge.bridge-nf-call-iptables", {(): ABSENT}, {}) == []


SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
FSTAB = """\
# /etc/fstab: static file system information.
UUID=1 / ext4 errors=remount-ro 0 1
UUID=2 none            swap    sw              0       0
/swapfile\tswap\tswap\tdefaults 0 0
# /dev/sdz none swap sw 0 0
UUID=3 /mnt/swap ext4 defaults 0 0
"""


def swap(**spec: Any) -> Swap:
    return Swap({"type": "swap", "enabled": False, **spec}, "n1")


def test_no_swap(machine: Machine) -> None:
    machine.put("/proc/swaps", SWAPS)
    machine.put("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n")
    assert reconcile([swap()], check=True).changes == []
    assert reconcile([swap()], check=True).changes == []


def swapping(machine: Machine) -> None:
    """A machine with swap by /etc/fstab and zram, whose commands do what they say."""
    active = {"/dev/sda2": True, "/swapfile": True, "/dev/zram0": True}

    def listed() -> None:
        rows = "".join(f"{name} partition 1 0 -2\n" for name, on in active.items() if on)
        machine.put("/proc/swaps", SWAPS + rows)

    def switch(argv: Sequence[str], stdin: str) -> str:
        active[argv[-1]] = argv[0] == "swapon"
        listed()
        return ""

    def start(argv: Sequence[str], stdin: str) -> str:
        return switch(["swapon", "/dev/zram0"], "")

    rows = (
        ("dev-sda2.swap", "active", "/etc/fstab", ""),
        ("dev-disk-by\\x2duuid-2.swap", "active", "", "dev-sda2.swap"),
        ("swapfile.swap", "active", "/etc/fstab", ""),
        ("dev-zram0.swap", "active", "", ""),
        ("dev-old.swap", "inactive", "", ""),
    )
    keys = ("Id", "ActiveState", "SourcePath", "Following")
    show = "\n\n".join("\n".join(f"{key}={value}" for key, value in zip(keys, row)) for row in rows)
    machine.put("/etc/fstab", FSTAB)
    machine.commands.on("systemctl show", show + "\n")
    for command in ("systemctl mask dev-zram0.swap", "systemctl unmask dev-zram0.swap", "systemctl daemon-reload"):
        machine.commands.on(command)
    machine.commands.on("systemctl start dev-zram0.swap", start)
    machine.commands.on("swapoff", switch)
    machine.commands.on("swapon", switch)
    listed()


def test_swap_goes_and_comes_back(machine: Machine) -> None:
    swapping(machine)
    outcome = reconcile([swap()], check=False)
    assert outcome.failed == ""
    (change,) = outcome.changes
    assert change.before == {
        "active": ["/dev/sda2", "/dev/zram0", "/swapfile"],
        "fstab": ["UUID=2 none            swap    sw              0       0", "/swapfile\tswap\tswap\tdefaults 0 0"],
        "units": ["dev-zram0.swap"],
    }
    assert machine.read("/proc/swaps") == SWAPS
    assert "\n#weft.platform: UUID=2 none" in (machine.read("/etc/fstab") or "")
    assert "\nUUID=3 /mnt/swap ext4" in (machine.read("/etc/fstab") or "")
    assert reconcile([swap()], check=True).changes == []

    (back,) = Swap.undo("swap", {(): change.before}, {})
    outcome = reconcile([Swap(back)], check=False)
    assert outcome.failed == ""
    assert machine.read("/etc/fstab") == FSTAB
    assert reconcile([Swap(back)], check=True).changes == []


def test_swap_that_does_not_fit_into_memory(machine: Machine) -> None:
    swapping(machine)
    machine.commands.on(
        "swapoff /dev/sda2", Result(255, "", "swapoff: /dev/sda2: swapoff failed: Cannot allocate memory")
    )
    assert "Cannot allocate memory" in reconcile([swap()], check=False).failed


def test_errors_of_the_kernel_are_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put("/proc/sys/vm/panic_on_oom", "0")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(22, "Invalid argument")

    one = sysctl("vm.panic_on_oom", "9")
    changes = one.changes(one.observe())
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(MachineError, match=r"sysctl:vm\.panic_on_oom@n1: the kernel refuses '9': Invalid argument"):
        one.apply(changes)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Kernel: modules, settings and swap."""

from __future__ import annotations

import gzip
import os
import re
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    Before,
    Host,
    MachineError,
    MachineResource,
    absent_first,
)

#: What stands before a line of /etc/fstab that is switched off.
FSTAB_MARK = "#weft.platform: "

#: Modules whose configuration option has another name than the module.
KERNEL_OPTIONS = {
    "overlay": "OVERLAY_FS",
    "br_netfilter": "BRIDGE_NETFILTER",
    "ip_tables": "IP_NF_IPTABLES",
    "iptable_nat": "IP_NF_NAT",
    "iptable_filter": "IP_NF_FILTER",
    "ip6_tables": "IP6_NF_IPTABLES",
    "xt_set": "NETFILTER_XT_SET",
    "xt_comment": "NETFILTER_XT_MATCH_COMMENT",
    "nf_conntrack": "NF_CONNTRACK",
}


class KernelModule(MachineResource):
    """A kernel module that is loaded now; one built into the kernel counts.

    spec      {name, state: present|absent}; absent only unloads
    observed  {"loaded": true}; ABSENT
    """

    type = "kernel_module"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        self._stays = False

    def look(self) -> Value:
        """Whether it is there."""
        return {"loaded": True} if self._loaded() else ABSENT

    def _loaded(self) -> bool:
        name = self.name.replace("-", "_")
        return (
            self.host.exists(f"/sys/module/{name}")
            or name in builtin_modules(self.host)
            or _configured(self.host, name)
        )

    def desired(self) -> Value:
        """Loaded; when unloading failed, it stays so."""
        absent = self.spec.get("state", "present") == "absent" and not self._stays
        return ABSENT if absent else {"loaded": True}

    def make(self, changes: Sequence[Change]) -> None:
        """modprobe; unloading is tried, and told when something still uses the module."""
        if self.spec.get("state", "present") == "absent":
            done = self.host.attempt("modprobe", "-r", self.name)
            if done.code:
                self._stays = True
                self.host.note(
                    "kernel_module", f"{self.name} stays loaded: {done.last_words}", "It is gone after a restart."
                )
            return
        done = self.host.attempt("modprobe", self.name)
        if done.code:
            raise MachineError(
                f"cannot be loaded: {done.last_words}. Install the package with the running kernel's modules "
                "(on cloud images often linux-modules-extra or kernel-modules), or restart into its newest kernel"
            )

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Unload what was loaded for us."""
        return [{"type": cls.type, "name": name, "state": "absent"}]


def builtin_modules(host: Host) -> Sequence[str]:
    """Modules that are part of the running kernel, by its modules.builtin."""

    def ask() -> Sequence[str]:
        text = host.read(f"/lib/modules/{release(host)}/modules.builtin") or ""
        return [os.path.basename(line).split(".")[0].replace("-", "_") for line in text.splitlines()]

    names: Sequence[str] = host.once("builtin_modules", ask)
    return names


def release(host: Host) -> str:
    """Release of the running kernel."""
    return (host.read("/proc/sys/kernel/osrelease") or "").strip()


def _configured(host: Host, name: str) -> bool:
    """Whether the kernel has it built in by its own configuration, for machines without the kernel's files."""
    option = KERNEL_OPTIONS.get(name, name.upper())
    return f"\nCONFIG_{option}=y\n" in kernel_config(host)


def kernel_config(host: Host) -> str:
    """The running kernel's configuration, "" where it does not tell."""

    def ask() -> str:
        data = host.read_bytes("/proc/config.gz")
        return "\n" + gzip.decompress(data).decode(errors="replace") if data else "\n"

    text: str = host.once("kernel_config", ask)
    return text


class Sysctl(MachineResource):
    """The value of a kernel setting now.

    spec      {name: "net.ipv4.ip_forward", value: "1"}
    observed  the value as text, white space between its parts made one blank; ABSENT where the kernel lacks the setting
    """

    type = "sysctl"
    required = ("value",)

    @property
    def path(self) -> str:
        """Where /proc has it.  A name with slashes is one whose parts hold dots (sysctl.d(5))."""
        return "/proc/sys/" + (self.name if "/" in self.name else self.name.replace(".", "/"))

    def look(self) -> Value:
        """Read it."""
        text = self.host.read(self.path)
        return ABSENT if text is None else " ".join(text.split())

    def desired(self) -> Value:
        """The spec's value, as the kernel would show it."""
        return " ".join(str(self.spec["value"]).split())

    def make(self, changes: Sequence[Change]) -> None:
        """Write it."""
        if not self.host.exists(self.path):
            raise MachineError("the kernel has no such setting; load the module that brings it, or correct the name")
        try:
            with open(self.host.at(self.path), "w", encoding="ascii") as stream:
                stream.write(str(self.spec["value"]) + "\n")
        except OSError as error:
            raise MachineError(f"the kernel refuses {self.spec['value']!r}: {error.strerror}") from error

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """The earlier value; a setting that came with a module goes with it."""
        return [] if absent_first(before) else [{"type": cls.type, "name": name, "value": before[()]}]


class Swap(MachineResource):
    """Swap space, off now and after a restart.

    spec      {enabled: false}; for the way back {enabled: true, active, fstab, units}
    observed  {"active": [device], "fstab": [line], "units": [unit]}: swap in use, lines of /etc/fstab that ask for it,
              and units that bring it without one (zram, partitions found by systemd); ABSENT where there is none
    """

    type = "swap"
    key = "enabled"

    @property
    def name(self) -> str:
        """There is one."""
        return "swap"

    def look(self) -> Value:
        """What is in use, and what would come back."""
        active = sorted(
            line.split()[0] for line in (self.host.read("/proc/swaps") or "").splitlines()[1:] if line.strip()
        )
        fstab = [line for line in (self.host.read("/etc/fstab") or "").splitlines() if _is_swap(line)]
        units = self._units() if active else []
        return {"active": active, "fstab": fstab, "units": units} if active or fstab else ABSENT

    def _units(self) -> List[str]:
        """Active swap units that do not come from /etc/fstab and are not another name of one that is listed."""
        text = self.host.attempt("systemctl", "show", "-p", "Id,ActiveState,SourcePath,Following", "--", "*.swap").out
        rows = [
            dict(line.split("=", 1) for line in block.splitlines()) for block in text.split("\n\n") if block.strip()
        ]
        return sorted(
            row["Id"]
            for row in rows
            if row.get("ActiveState") == "active" and row.get("SourcePath") != "/etc/fstab" and not row.get("Following")
        )

    def desired(self) -> Value:
        """None, or what was there once."""
        if not self.spec["enabled"]:
            return ABSENT
        return {key: list(self.spec.get(key, [])) for key in ("active", "fstab", "units")}

    def make(self, changes: Sequence[Change]) -> None:
        """Switch it off with nothing lost, or on again."""
        if self.spec["enabled"]:
            self._bring_back()
            return
        found = self.look()
        if found is ABSENT:
            return
        if found["units"]:
            self.host.run("systemctl", "mask", *found["units"])
        self._edit_fstab(lambda line: FSTAB_MARK + line if _is_swap(line) else line)
        for device in found["active"]:
            # Everything in it moves to memory first: minutes on a slow disk.
            self.host.run("swapoff", device, timeout=900)

    def _bring_back(self) -> None:
        mark = FSTAB_MARK
        self._edit_fstab(lambda line: line[len(mark) :] if line.startswith(mark) else line)
        for unit in self.spec.get("units", []):
            self.host.run("systemctl", "unmask", unit)
            self.host.run("systemctl", "start", unit)
        in_use = self.look()
        for device in self.spec.get("active", []):
            if in_use is ABSENT or device not in in_use["active"]:
                self.host.run("swapon", device)

    def _edit_fstab(self, edit: Any) -> None:
        text = self.host.read("/etc/fstab")
        if text is None:
            return
        new = "".join(edit(line) for line in text.splitlines(keepends=True))
        if new != text:
            info = os.stat(self.host.at("/etc/fstab"))
            self.host.write("/etc/fstab", new.encode(), f"{info.st_mode & 0o7777:04o}", (info.st_uid, info.st_gid))
            self.host.run("systemctl", "daemon-reload")

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """On again, as it was."""
        was = before.get((), ABSENT)
        return [{"type": cls.type, "enabled": True, **was}] if was is not ABSENT else []


def _is_swap(line: str) -> bool:
    """Whether a line of /etc/fstab asks for swap (fstab(5): the third field)."""
    return bool(re.match(r"\s*[^#\s]\S*\s+\S+\s+swap(\s|$)", line))

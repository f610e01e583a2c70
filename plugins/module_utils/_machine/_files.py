# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Files and folders."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    STATE_DIR,
    Before,
    Host,
    MachineError,
    MachineResource,
    mode_text,
    owner_pair,
)
from ansible_collections.weft.platform.plugins.module_utils._machine._units import active

#: Copies of what was replaced, for the way back.
KEPT_DIR = f"{STATE_DIR}/kept"

#: Folders of unit files; a change in one makes systemd's own picture old.
UNIT_DIRS = ("/etc/systemd/", "/usr/lib/systemd/", "/usr/local/lib/systemd/", "/lib/systemd/")


class Placed(MachineResource):
    """What files and binaries have in common: a place, and an earlier file that can come back.

    Specs for the way back may carry `link` (target of a symbolic link), `copy` (path of a kept copy), `owner`
    ("uid:gid") and `parents` (folders that go with the file when they are empty then, innermost first).
    """

    key = "path"
    default_mode: ClassVar[str] = "0644"

    @property
    def cost(self) -> str:
        """As of any resource; what does not run yet is started later and not restarted."""
        return ", ".join(f"restart {unit}" for unit in self.notify if active(self.host, unit))

    @property
    def wants_absent(self) -> bool:
        """Whether nothing should be there."""
        return str(self.spec.get("state", "present")) == "absent"

    def attributes(self, info: os.stat_result) -> Dict[str, Value]:
        """Mode, and the owner where it is not root: part of an observed value."""
        owner = self.host.owner_text(info)
        return {"mode": mode_text(info), **({"owner": owner} if owner else {})}

    def wanted_attributes(self) -> Dict[str, Value]:
        """Mode and owner as `attributes` would show them."""
        owner = str(self.spec.get("owner", ""))
        return {"mode": mode_of(self.spec.get("mode", self.default_mode)), **({"owner": owner} if owner else {})}

    def look_outside(self) -> Optional[Value]:
        """ABSENT, {"link": target}, or None when there is a regular file to be looked into.

        Raises:
            MachineError: there is something else, which is never replaced.
        """
        info = self.host.stat(self.name)
        if info is None:
            return ABSENT
        if stat.S_ISLNK(info.st_mode):
            return {"link": os.readlink(self.host.at(self.name))}
        if not stat.S_ISREG(info.st_mode):
            raise MachineError(f"a file is wanted, but a {_kind(info)} is there; move it away and run again")
        return None

    def make_outside(self) -> bool:
        """Remove or link when that is what is wanted; whether it was."""
        self.note_unit_file()
        if self.wants_absent:
            self.host.unlink(self.name)
            self.host.unlink(self.host.temporary(self.name))
            for folder in self.spec.get("parents", []):
                if os.path.isdir(self.host.at(folder)) and not self.host.listdir(folder):
                    os.rmdir(self.host.at(folder))
            return True
        if "link" in self.spec:
            temporary = self.host.temporary(self.name)
            self.host.make_parents(self.name)
            self.host.unlink(temporary)
            os.symlink(str(self.spec["link"]), self.host.at(temporary))
            os.replace(self.host.at(temporary), self.host.at(self.name))
            return True
        return False

    def note_unit_file(self) -> None:
        """systemd must be told when one of its files changes."""
        if self.name.startswith(UNIT_DIRS):
            self.host.reload_owed = True

    def set_attributes(self) -> None:
        """Owner, then mode: a change of owner clears bits of the mode."""
        path = self.host.at(self.name)
        os.chown(path, *(owner_pair(str(self.spec.get("owner", ""))) or self.host.owner))
        os.chmod(path, int(str(self.wanted_attributes()["mode"]), 8))

    def keep(self) -> Dict[str, Value]:
        """A copy of an earlier file with its mode and owner, and the folders that do not exist yet."""
        info = self.host.stat(self.name)
        if info is None:
            return {"parents": list(self.host.missing_parents(self.name))}
        if stat.S_ISLNK(info.st_mode):
            return {"link": os.readlink(self.host.at(self.name))}
        return {
            "mode": mode_text(info),
            "owner": self.host.owner_text(info),
            "copy": keep_copy(self.host, self.name),
        }

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Absent again, the earlier link, or the earlier file; only its mode and owner where only these changed."""
        spec: Dict[str, Any] = {"type": cls.type, "path": name}
        if "link" in kept:
            return [{**spec, "link": kept["link"]}]
        if "copy" not in kept:
            return [{**spec, "state": "absent"}]
        spec.update({key: kept[key] for key in ("mode", "owner") if kept.get(key)})
        if any(field[:1] not in (("mode",), ("owner",)) for field in before):
            spec["copy"] = kept["copy"]
        return [spec]


class File(Placed):
    """A text file.

    spec      {path, content, mode: "0644", state: present|absent}; without content only mode and owner are managed
    observed  {"content": text, "mode": "0644"} and "owner": "uid:gid" where that is not root; {"link": target}; ABSENT
    """

    type = "file"

    def look(self) -> Value:
        """Read it whole."""
        outside = self.look_outside()
        if outside is not None:
            return outside
        info = os.stat(self.host.at(self.name))
        content = {"content": self.host.read(self.name)} if self.manages_content else {}
        return {**content, **self.attributes(info)}

    def changes(self, observed: Value) -> List[Change]:
        """The Changes; what root alone could read is not shown where others may read its successor."""
        out = super().changes(observed)
        if any(change.field == ("mode",) and _private(change.before) > _private(change.after) for change in out):
            return [replace(change, secret=True) for change in out]
        return out

    @property
    def manages_content(self) -> bool:
        """Whether the spec says anything of the content."""
        return self.wants_absent or "content" in self.spec or "copy" in self.spec

    def desired(self) -> Value:
        """The spec, in the shape of what is observed."""
        if self.wants_absent:
            return ABSENT
        if "link" in self.spec:
            return {"link": self.spec["link"]}
        content = {"content": self._content().decode(errors="backslashreplace")} if self.manages_content else {}
        return {**content, **self.wanted_attributes()}

    def _content(self) -> bytes:
        if "copy" not in self.spec:
            return str(self.spec["content"]).encode()
        data = self.host.read_bytes(str(self.spec["copy"]))
        if data is None:
            raise MachineError(f"the kept copy {self.spec['copy']} is gone; put the file back from a backup")
        return data

    def make(self, changes: Sequence[Change]) -> None:
        """Write it whole, or only set mode and owner."""
        if self.make_outside():
            return
        if not self.manages_content or not any(change.field[:1] in ((), ("content",), ("link",)) for change in changes):
            self.set_attributes()
            return
        mode = str(self.wanted_attributes()["mode"])
        self.host.write(self.name, self._content(), mode, owner_pair(str(self.spec.get("owner", ""))))


class Directory(MachineResource):
    """A folder.

    spec      {path, mode: "0755", state: present|absent|empty}; absent and empty take everything in it away
    observed  {"mode": "0755"} and "owner" where that is not root; with state empty also "entries": count; ABSENT
    """

    type = "directory"
    key = "path"

    def look(self) -> Value:
        """Its attributes, or how much is in it."""
        info = self.host.stat(self.name)
        if info is not None and stat.S_ISLNK(info.st_mode) and self.state != "absent":
            info = os.stat(self.host.at(self.name))  # a folder moved to a bigger disk, with a link in its place
        if info is None:
            return ABSENT
        if not stat.S_ISDIR(info.st_mode) and self.state != "absent":
            raise MachineError(f"a folder is wanted, but a {_kind(info)} is there; move it away and run again")
        if self.state == "empty":
            return {"entries": len(self.host.listdir(self.name)), "mode": mode_text(info)}
        owner = self.host.owner_text(info)
        return {"mode": mode_text(info), **({"owner": owner} if owner else {})}

    @property
    def state(self) -> str:
        """present, absent or empty."""
        return str(self.spec.get("state", "present"))

    def desired(self) -> Value:
        """The spec, in the shape of what is observed."""
        if self.state == "absent":
            return ABSENT
        if self.state == "empty":
            mode = mode_of(self.spec.get("mode", "0755"))
            return {"entries": 0, "mode": mode} if self.host.exists(self.name) else ABSENT
        owner = str(self.spec.get("owner", ""))
        return {"mode": mode_of(self.spec.get("mode", "0755")), **({"owner": owner} if owner else {})}

    def make(self, changes: Sequence[Change]) -> None:
        """Make it, set its attributes, or take away what is in it."""
        if self.state != "present":
            clear(self.host, self.name, itself=self.state == "absent")
        if self.state == "absent":
            return
        path = self.host.at(self.name)
        self.host.make_parents(self.name)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            self.host.relabel(self.name)
        os.chown(path, *(owner_pair(str(self.spec.get("owner", ""))) or self.host.owner))
        os.chmod(path, int(mode_of(self.spec.get("mode", "0755")), 8))

    def keep(self) -> Dict[str, Value]:
        """Earlier attributes, or the folders that do not exist yet."""
        info = self.host.stat(self.name)
        if info is None:
            return {"parents": list(self.host.missing_parents(self.name))}
        return {"mode": mode_text(info), "owner": self.host.owner_text(info)}

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Absent again with all that came into it, or its earlier attributes."""
        if "mode" not in kept:
            return [{"type": cls.type, "path": name, "state": "absent"}]
        return [{"type": cls.type, "path": name, **{key: kept[key] for key in ("mode", "owner") if kept.get(key)}}]


def _private(mode: Value) -> bool:
    """Whether a mode ("0600") lets nobody but the owner in; ABSENT does not."""
    return isinstance(mode, str) and not int(mode, 8) & 0o077


def mode_of(value: Value) -> str:
    """A mode as four octal digits.

    Raises:
        MachineError: it is not a text of octal digits; a YAML number like 0644 has lost its meaning already.
    """
    if isinstance(value, str) and value and not value.strip("01234567"):
        return f"{int(value, 8):04o}"
    raise MachineError(f'mode {value!r} is no text of octal digits; write it in quotes, as "0644"')


def keep_copy(host: Host, path: str) -> str:
    """Copy a file to the kept ones; the path of the copy."""
    host.make_state_dir(KEPT_DIR)
    number = len(host.listdir(KEPT_DIR)) + 1
    kept = f"{KEPT_DIR}/{number:04d}"
    with open(host.at(path), "rb") as old, open(host.at(kept), "wb") as new:
        os.chmod(host.at(kept), 0o600)
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())
    return kept


def clear(host: Host, path: str, itself: bool) -> None:
    """Take away all that is in a folder, and the folder when `itself`.  Nothing behind a mount point is deleted.

    Raises:
        MachineError: something is mounted in it that cannot be unmounted; nothing was deleted.
    """
    unmount(host, path)
    info = host.stat(path)
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode) and itself:
        host.unlink(path)
        return
    for name in host.listdir(path):
        inner = host.at(f"{path}/{name}")
        if os.path.isdir(inner) and not os.path.islink(inner):
            shutil.rmtree(inner)
        else:
            os.unlink(inner)
    if itself:
        if path in mount_points(host):
            host.run("umount", path)
        os.rmdir(host.at(path))


def unmount(host: Host, path: str, begins: str = "") -> None:
    """Unmount all that is mounted inside a folder, and whose own name begins so.

    Raises:
        MachineError: something stays.
    """
    for mount in mounts_below(host, path):
        if not os.path.basename(mount).startswith(begins):
            continue
        done = host.attempt("umount", mount)
        # A mount that is seen twice, in a shared folder, goes at once.
        if done.code and mount in mounts_below(host, path):
            raise MachineError(f"{mount} cannot be unmounted: {done.last_words}; end what uses it and run again")


def mounts_below(host: Host, path: str) -> List[str]:
    """Mount points inside a folder (not the folder itself), innermost first."""
    return sorted((point for point in mount_points(host) if point.startswith(path + "/")), key=len, reverse=True)


def mount_points(host: Host) -> List[str]:
    """Where something is mounted, by /proc/self/mountinfo."""
    text = host.read("/proc/self/mountinfo") or ""
    return [line.split()[4].encode().decode("unicode_escape") for line in text.splitlines()]


def _kind(info: os.stat_result) -> str:
    return {
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFREG: "file",
        stat.S_IFSOCK: "socket",
        stat.S_IFIFO: "pipe",
    }.get(stat.S_IFMT(info.st_mode), "device")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Files and folders: written whole or not at all, and brought back as they were."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, make
from ansible_collections.weft.platform.plugins.module_utils._machine._files import Directory, File, mode_of
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineError
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Machine

MODES = st.sampled_from(["0600", "0644", "0755", "0400"])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file(machine: Machine) -> None:
    spec = {"type": "file", "path": "/etc/new/a.conf", "content": "x\n", "mode": "0640"}
    outcome = reconcile([File(spec, "n1")], check=False)
    (change,) = outcome.changes
    assert (outcome.failed, change.action, change.after) == ("", "added", {"content": "x\n", "mode": "0640"})
    assert Path(machine.at("/etc/new/a.conf")).read_text() == "x\n"
    assert mode(Path(machine.at("/etc/new/a.conf"))) == 0o640
    assert reconcile([File(spec, "n1")], check=True).changes == []


def test_only_the_mode_differs(machine: Machine) -> None:
    path = machine.put("/etc/a", "x", 0o600)
    before = path.stat().st_ino
    outcome = reconcile([File({"type": "file", "path": "/etc/a", "content": "x"})], check=False)
    assert [(one.field, one.before, one.after) for one in outcome.changes] == [(("mode",), "0600", "0644")]
    assert (path.stat().st_ino, mode(path)) == (before, 0o644)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    was=st.none() | st.tuples(st.text(st.characters(codec="utf-8"), max_size=20), MODES),
    content=st.text(st.characters(codec="utf-8"), max_size=20),
    new_mode=MODES,
    absent=st.booleans(),
)
def test_apply_of_the_plan_is_the_desired_value(
    machine: Machine, was: Any, content: str, new_mode: str, absent: bool
) -> None:
    machine.unlink("/p")
    if was is not None:
        Path(machine.at("/p")).write_bytes(was[0].encode())
        os.chmod(machine.at("/p"), int(was[1], 8))
    spec = {"type": "file", "path": "/p", "content": content, "mode": new_mode}
    file = File({**spec, "state": "absent" if absent else "present"})
    observed = file.observe()
    changes = file.changes(observed)
    assert make(observed, changes) == file.desired()
    if changes:
        file.apply(changes)
    assert file.observe() == file.desired()
    assert file.changes(file.observe()) == []


def test_a_killed_run_leaves_nothing_behind(machine: Machine) -> None:
    machine.put("/etc/.a.weft", "half")
    assert not reconcile([File({"type": "file", "path": "/etc/a", "content": "whole"})], check=False).failed
    assert os.listdir(machine.at("/etc")) == ["a"]


def test_secret_values_are_masked(machine: Machine) -> None:
    machine.put("/etc/a", "old secret")
    (change,) = File({"type": "file", "path": "/etc/a", "content": "new secret", "secret": True}).changes(
        {"content": "old secret", "mode": "0644"}
    )
    assert "old secret" not in str(change.to_json())
    assert "new secret" not in str(change.to_json())


@pytest.mark.parametrize(
    ("before", "after", "hidden"), [(0o600, "0644", True), (0o600, "0600", False), (0o640, "0644", False)]
)
def test_what_root_alone_could_read_is_not_shown_to_all(
    machine: Machine, before: int, after: str, hidden: bool
) -> None:
    machine.put("/etc/a", "Basic cGFzc3dvcmQ=", before)
    outcome = reconcile([File({"type": "file", "path": "/etc/a", "content": "open", "mode": after})], check=True)
    assert outcome.changes
    assert ("cGFzc3dvcmQ" not in str([one.to_json() for one in outcome.changes])) == hidden


def test_full_disk(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put("/etc/a", "old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = reconcile([File({"type": "file", "path": "/etc/a", "content": "new"}, "n1")], check=False)
    assert outcome.failed.startswith("file:/etc/a@n1: no space left on the disk that holds ")
    assert "bytes free" in outcome.failed
    assert Path(machine.at("/etc/a")).read_text() == "old"
    assert os.listdir(machine.at("/etc")) == ["a"]


def test_something_else_is_never_replaced(machine: Machine) -> None:
    os.makedirs(machine.at("/etc/a"))
    with pytest.raises(MachineError, match="a file is wanted, but a folder is there"):
        File({"type": "file", "path": "/etc/a", "content": ""}).observe()
    machine.put("/etc/b", "")
    with pytest.raises(MachineError, match="a folder is wanted, but a file is there"):
        Directory({"type": "directory", "path": "/etc/b"}).observe()


def test_bytes_that_are_no_text_are_shown_escaped_and_replaced(machine: Machine) -> None:
    Path(machine.put("/etc/a", "")).write_bytes(b"\xff\xfe")
    file = File({"type": "file", "path": "/etc/a", "content": "x"})
    assert file.observe()["content"] == "\\xff\\xfe"
    assert not reconcile([file], check=False).failed


def undone(kind: Any, spec: dict[str, Any]) -> None:
    """Apply a spec and take it back as the ledger would."""
    resource = kind(spec)
    changes = resource.changes(resource.observe())
    kept = resource.keep()
    before = {change.field: change.before for change in changes}
    assert not reconcile([resource], check=False).failed
    back = [kind(one) for one in kind.undo(resource.name, before, kept)]
    assert not reconcile(back, check=False).failed
    assert reconcile([kind(one) for one in kind.undo(resource.name, before, kept)], check=True).changes == []


def test_undo_of_a_new_file(machine: Machine) -> None:
    os.mkdir(machine.at("/etc"))
    undone(File, {"type": "file", "path": "/etc/a", "content": "new"})
    assert os.listdir(machine.at("/etc")) == []


def test_undo_brings_content_and_mode_back(machine: Machine) -> None:
    path = machine.put("/etc/a", "", 0o604)
    path.write_bytes(b"old \xff")
    undone(File, {"type": "file", "path": "/etc/a", "content": "new"})
    assert (path.read_bytes(), mode(path)) == (b"old \xff", 0o604)


def test_undo_of_a_mode_leaves_later_content(machine: Machine) -> None:
    path = machine.put("/etc/a", "x", 0o600)
    spec = {"type": "file", "path": "/etc/a", "content": "x"}
    kept = File(spec).keep()
    reconcile([File(spec)], check=False)
    path.write_text("the user's own")
    (back,) = File.undo("/etc/a", {("mode",): "0600"}, kept)
    assert not reconcile([File(back)], check=False).failed
    assert (path.read_text(), mode(path)) == ("the user's own", 0o600)


def test_undo_brings_a_link_back(machine: Machine) -> None:
    machine.put("/etc/target", "theirs")
    os.symlink("target", machine.at("/etc/a"))
    undone(File, {"type": "file", "path": "/etc/a", "content": "new"})
    assert os.readlink(machine.at("/etc/a")) == "target"
    assert Path(machine.at("/etc/target")).read_text() == "theirs"


def test_a_lost_copy_is_told(machine: Machine) -> None:
    spec = {"type": "file", "path": "/etc/a", "copy": "/var/lib/weft/kept/0001", "mode": "0644"}
    with pytest.raises(MachineError, match="kept copy /var/lib/weft/kept/0001 is gone"):
        reconcile([File(spec)], check=True)


def test_directory(machine: Machine) -> None:
    spec = {"type": "directory", "path": "/a/b", "mode": "0700"}
    assert not reconcile([Directory(spec)], check=False).failed
    assert (mode(Path(machine.at("/a"))), mode(Path(machine.at("/a/b")))) == (0o755, 0o700)
    assert reconcile([Directory(spec)], check=True).changes == []


def test_undo_of_a_directory_takes_all_in_it(machine: Machine) -> None:
    resource = Directory({"type": "directory", "path": "/a/b"})
    assert resource.keep() == {"parents": ["/a"]}
    assert resource.observe() is ABSENT
    reconcile([resource], check=False)
    machine.put("/a/b/c/d", "data")
    os.symlink("/", machine.at("/a/b/link"))
    reconcile([Directory(one) for one in Directory.undo("/a/b", {(): ABSENT}, {"parents": ["/a"]})], check=False)
    assert os.listdir(machine.at("/a")) == []


def test_undo_of_a_mode_of_a_directory(machine: Machine) -> None:
    os.makedirs(machine.at("/a"), mode=0o750)
    undone(Directory, {"type": "directory", "path": "/a", "mode": "0700"})
    assert mode(Path(machine.at("/a"))) == 0o750


def test_empty_keeps_the_folder_and_its_mode(machine: Machine) -> None:
    machine.put("/a/b", "x")
    os.chmod(machine.at("/a"), 0o700)
    spec = {"type": "directory", "path": "/a", "state": "empty", "mode": "0755"}
    changes = reconcile([Directory(spec)], check=False).changes
    assert [(one.field, one.before, one.after) for one in changes] == [
        (("entries",), 1, 0),
        (("mode",), "0700", "0755"),
    ]
    assert (os.listdir(machine.at("/a")), mode(Path(machine.at("/a")))) == ([], 0o755)
    assert reconcile([Directory({**spec, "path": "/gone"})], check=True).changes == []


def test_what_is_mounted_inside_is_unmounted_first(machine: Machine) -> None:
    machine.put("/var/lib/kubelet/pods/x/keep", "pod's")
    point = "36 35 0:32 / /var/lib/kubelet/pods/x rw shared:1 - tmpfs tmpfs rw\n"
    machine.put("/proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/sda rw\n" + point)

    def umount(argv: Any, stdin: str) -> str:
        assert Path(machine.at("/var/lib/kubelet/pods/x/keep")).exists()
        machine.put("/proc/self/mountinfo", "")
        return ""

    machine.commands.on("umount /var/lib/kubelet/pods/x", umount)
    spec = {"type": "directory", "path": "/var/lib/kubelet", "state": "absent"}
    assert not reconcile([Directory(spec)], check=False).failed
    assert not Path(machine.at("/var/lib/kubelet")).exists()


def test_a_mount_that_stays_saves_the_data(machine: Machine) -> None:
    from ansible_collections.weft.platform.plugins.module_utils._machine._host import Result

    machine.put("/data/inner/file", "x")
    machine.put("/proc/self/mountinfo", "36 35 0:32 / /data/inner rw - ext4 /dev/sdb rw\n")
    machine.commands.on("umount", Result(32, "", "umount: /data/inner: target is busy."))
    outcome = reconcile([Directory({"type": "directory", "path": "/data", "state": "absent"}, "n1")], check=False)
    assert "target is busy" in outcome.failed
    assert Path(machine.at("/data/inner/file")).exists()


@pytest.mark.parametrize(("text", "wanted"), [("0644", "0644"), ("644", "0644"), ("1777", "1777")])
def test_mode_of(text: str, wanted: str) -> None:
    assert mode_of(text) == wanted


@pytest.mark.parametrize("value", [420, "rw", "", "0989", None])
def test_mode_of_refuses(value: Any) -> None:
    with pytest.raises(MachineError, match="octal"):
        mode_of(value)


def test_a_spec_without_its_key_is_told(machine: Machine) -> None:
    with pytest.raises(MachineError, match="a resource of type file lacks 'path'"):
        File({"type": "file", "name": "/etc/a"})


def test_a_unit_file_makes_systemds_picture_old(machine: Machine) -> None:
    reconcile([File({"type": "file", "path": "/etc/a", "content": ""})], check=False)
    assert not machine.reload_owed
    reconcile([File({"type": "file", "path": "/etc/systemd/system/a.service", "content": ""})], check=False)
    assert machine.reload_owed


def test_selinux_labels(machine: Machine) -> None:
    machine.put("/sys/fs/selinux/enforce", "1")
    machine.installed_command("restorecon")
    machine.commands.on("restorecon")
    assert machine.selinux == "enforcing"
    reconcile([File({"type": "file", "path": "/opt/a/b", "content": ""})], check=False)
    assert machine.commands.calls == ["restorecon /opt", "restorecon /opt/a", "restorecon /opt/a/b"]

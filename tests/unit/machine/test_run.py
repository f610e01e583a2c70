# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""One call for one machine: the plan is what is made, a killed run is finished, and the way back ends at its start."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, MASK, Change
from ansible_collections.weft.platform.plugins.module_utils._machine import RESOURCES, _preflight, run, secrets
from ansible_collections.weft.platform.plugins.module_utils._machine import _run as run_module
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineResource
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import Ledger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Machine


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the run catches it."""


def call(machine: Machine, resources: list[dict[str, Any]], check: bool = False, **more: Any) -> dict[str, Any]:
    """The module as a new process would run it."""
    for command in ("systemctl daemon-reload", "ip -o address"):
        machine.commands.on(command)
    fresh = Machine(Path(machine.root))
    fresh.commands = machine.commands
    fresh.execute = machine.commands
    MachineResource.host = fresh
    params = {"name": "n1", "state": "present", "resources": resources, "preflight": {}, "facts": False, "ledger": True}
    return run(RESOURCES, {**params, **more}, check, lambda: {"member": "none"})


def tree(machine: Machine) -> dict[str, Any]:
    """Everything below the root: kind, mode and content."""
    out: dict[str, Any] = {}
    for folder, folders, files in os.walk(machine.root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            mode = stat.S_IMODE(os.lstat(path).st_mode)
            if os.path.islink(path):
                out[path] = os.readlink(path)
            else:
                out[path] = (mode, Path(path).read_bytes() if os.path.isfile(path) else None)
    return out


CONTENT = st.sampled_from(["", "a\n", "b\n", "ü"])
MODES = st.sampled_from(["0600", "0644", "0755"])
NAMES = st.sampled_from(["/etc/a", "/etc/b", "/etc/c.d/d", "/etc/c.d/e", "/opt/x/y/z", "/opt/f"])
BEFORE = st.dictionaries(NAMES, st.tuples(st.sampled_from(["file", "link"]), CONTENT, MODES), max_size=4)


def spec_of(name: str, kind: str, content: str, mode: str) -> dict[str, Any]:
    if kind == "directory":
        return {"type": "directory", "path": f"{name}.dir", "mode": mode}
    if kind == "absent":
        return {"type": "file", "path": name, "state": "absent"}
    if kind == "binary":
        digest = hashlib.sha256(content.encode()).hexdigest()
        return {"type": "binary", "path": name, "url": f"data:,{quote(content)}", "sha256": digest, "mode": mode}
    return {"type": "file", "path": name, "content": content, "mode": mode, "secret": kind == "secret"}


KINDS = st.sampled_from(["file", "secret", "absent", "directory", "binary"])
SPECS = st.lists(st.tuples(NAMES, KINDS, CONTENT, MODES), max_size=6, unique_by=lambda one: one[0]).map(
    lambda items: [spec_of(*item) for item in items]
)


def lay_out(machine: Machine, before: dict[str, Any]) -> None:
    shutil.rmtree(machine.root)
    os.makedirs(machine.root)
    for name, (kind, content, mode) in before.items():
        path = machine.put(name, content, int(mode, 8))
        if kind == "link":
            path.unlink()
            path.symlink_to("/nowhere")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(before=BEFORE, lists=st.lists(SPECS, min_size=1, max_size=3), kill=st.integers(0, 12))
def test_there_and_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], lists: list[Any], kill: int
) -> None:
    """Any inventories one after the other, and a run killed on the way: each is reached, and undo ends at the start."""
    lay_out(machine, before)
    first = tree(machine)
    killed_after(monkeypatch, kill)
    for specs in lists:
        try:
            call(machine, specs)
        except Killed:
            killed_after(monkeypatch, 0)
        planned = call(machine, specs, check=True)
        made = call(machine, specs)
        assert planned.get("msg") is made.get("msg") is None
        assert made["changes"] == planned["changes"]
        now = tree(machine)
        assert call(machine, specs, check=True)["changes"] == []
        assert tree(machine) == now
    killed_after(monkeypatch, 0)
    planned = call(machine, [], check=True, state="absent")
    made = call(machine, [], state="absent")
    assert planned.get("msg") is made.get("msg") is None
    assert made["changes"] == planned["changes"]
    assert with_folders_of_tests(tree(machine)) == with_folders_of_tests(first)
    assert call(machine, [], state="absent")["changes"] == []


def with_folders_of_tests(found: dict[str, Any]) -> dict[str, Any]:
    """Without /var and /var/lib, which every machine has and this one did not."""
    return {path: value for path, value in found.items() if not path.endswith(("/root/var", "/root/var/lib"))}


def killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """End the run after so many writes to the disk."""
    left = [steps]

    def counted(handle: int) -> None:  # nothing here outlives the test, so no disk is waited for
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(os, "fsync", counted)


def test_check_mode_writes_nothing(machine: Machine) -> None:
    machine.put("/usr/local/bin/tool", "theirs", 0o755)
    before = tree(machine)
    result = call(machine, [spec_of("/usr/local/bin/tool", "binary", "ours", "0755")], check=True)
    assert result["changed"] is True
    assert tree(machine) == before


def test_without_a_ledger_nothing_is_recorded(machine: Machine) -> None:
    result = call(machine, [spec_of("/etc/a", "file", "x", "0644")], ledger=False)
    assert result["changed"] is True
    assert not machine.exists("/var/lib/weft")


def test_a_failure_tells_what_was_made_before(machine: Machine) -> None:
    os.makedirs(machine.at("/etc/b"))
    specs = [spec_of("/etc/a", "file", "x", "0644"), {**spec_of("/etc/c", "binary", "x", "0755"), "sha256": "0" * 64}]
    result = call(machine, specs)
    assert result["failed"] is True
    assert result["msg"].startswith("n1: binary:/etc/c@n1: ")
    assert [change["subject"]["name"] for change in result["changes"]] == ["/etc/a"]
    unseen = call(machine, [specs[0], spec_of("/etc/b", "file", "x", "0644")])
    assert unseen["failed"] is True
    assert "a folder is there" in unseen["msg"]


def test_stages_are_counted(machine: Machine) -> None:
    specs = [{**spec_of(f"/etc/{one}", "file", "x", "0644"), "stage": stage} for one, stage in zip("abc", "ppm")]
    assert call(machine, specs, check=True)["stages"] == {"p": 2, "m": 1}


def test_secrets_are_nowhere(machine: Machine) -> None:
    secret = "correct horse battery staple"
    specs = [{"type": "file", "path": "/etc/a", "content": secret, "secret": True}]
    result = call(machine, specs)
    assert secret not in json.dumps(result)
    machine.put("/etc/a", "their own long secret text")
    result = call(machine, specs)
    assert "their own" not in json.dumps(result)
    assert result["invocation"] == {"module_args": {"name": "n1", "state": "present"}}
    kept = [path for path, value in tree(machine).items() if "/var/lib/weft" in path and secret in str(value)]
    assert kept == []
    params = {
        "resources": [*specs, {"type": "worker", "credentials": {"token": "abcdef.0123456789abcdef", "a": [secret]}}]
    }
    assert secrets(params) == {secret, "abcdef.0123456789abcdef"}
    assert secrets({"resources": [{"type": "file", "path": "/a", "content": secret}]}) == set()


def test_preflight(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"check": "memory", "severity": "error", "message": "1 MiB of memory", "remedy": "More."}
    seen: list[Any] = []
    monkeypatch.setattr(_preflight, "preflight", lambda host, spec: seen.append(spec) or [problem])
    monkeypatch.setattr(_preflight, "reach", lambda peers: [{"name": "n2", "result": "open"}])
    specs = [spec_of("/etc/a", "file", "x", "0644")]
    planned = call(machine, specs, check=True, preflight={"role": "worker"})
    assert (planned.get("failed"), planned["problems"], len(planned["changes"])) == (None, [problem], 1)
    assert planned["facts"] == {"reach": [{"name": "n2", "result": "open"}]}
    refused = call(machine, specs, preflight={"role": "worker"})
    assert (refused["failed"], refused["msg"]) == (True, "n1: nothing was changed: 1 MiB of memory")
    assert not machine.exists("/etc/a")
    assert seen == [{"role": "worker"}] * 2
    problem["severity"] = "warning"
    made = call(machine, specs, preflight={"role": "worker"})
    assert (made.get("failed"), made["problems"], machine.exists("/etc/a")) == (None, [problem], True)


def test_facts_come_also_with_a_failure(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "facts", lambda host: {"os": "x"})
    os.makedirs(machine.at("/etc/b"))
    result = call(machine, [spec_of("/etc/b", "file", "x", "0644")], check=True, facts=True)
    assert result["failed"] is True
    assert result["facts"] == {"os": "x", "kubernetes": {"member": "none"}}


def test_an_unknown_type_is_told(machine: Machine) -> None:
    result = call(machine, [{"type": "files", "path": "/a"}])
    assert "unknown resource type 'files'; known are binary, containers, directory" in result["msg"]


def test_what_is_made_in_one_go_is_recorded_before(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that installs several packages is killed: the ledger has them all."""
    machine.put("/etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
    machine.commands.on("dpkg-query", "")
    machine.commands.on("apt-get", "Inst a (1 x)\nInst b (1 x)\nInst libc (1 x)\n")

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr("ansible_collections.weft.platform.plugins.module_utils._machine._packages.install", killed)
    with pytest.raises(Killed):
        call(machine, [{"type": "package", "name": name} for name in "ab"])
    entries = Ledger(machine).entries
    assert list(entries) == [("package", "a"), ("package", "b")]
    assert entries[("package", "a")].kept["with"] == ["libc"]
    assert entries[("package", "b")].before == {(): ABSENT}


def test_undo_keeps_its_ledger_until_all_is_done(machine: Machine) -> None:
    machine.put("/etc/a", "theirs")
    call(machine, [spec_of("/etc/a", "file", "ours", "0644"), spec_of("/etc/b", "file", "ours", "0644")])
    machine.unlink("/etc/b")
    os.makedirs(machine.at("/etc/b"))
    stuck = call(machine, [], state="absent")
    assert "a folder is there" in stuck["msg"]
    assert Ledger(machine).exists
    os.rmdir(machine.at("/etc/b"))
    assert call(machine, [], state="absent").get("failed") is None
    assert machine.read("/etc/a") == "theirs"
    assert not machine.exists("/var/lib/weft")


def test_changes_are_json(machine: Machine) -> None:
    result = call(machine, [spec_of("/etc/a", "file", "x", "0644")], check=True)
    (change,) = [Change.from_json(one) for one in result["changes"]]
    assert (change.subject.scope, change.before, change.after) == ("n1", ABSENT, {"content": "x", "mode": "0644"})


def registry(name: str) -> dict[str, Any]:
    return {"type": "file", "path": f"/etc/certs.d/{name}/hosts.toml", "content": name, "stage": "prepare"}


UNWANTED = {"type": "unwanted", "name": "/etc/certs.d", "stage": "prepare", "secret": True}


def test_what_left_the_list_goes_back_to_what_it_was_and_is_ours_no_more(machine: Machine) -> None:
    os.makedirs(machine.at("/var/lib"))
    machine.put("/etc/certs.d/theirs/hosts.toml", "theirs")
    machine.put("/etc/certs.d/replaced/hosts.toml", "before", 0o600)
    before = tree(machine)
    names = ("replaced", "a", "b")
    call(machine, [*map(registry, names), UNWANTED])
    left = [registry("b"), UNWANTED]
    planned = call(machine, left, check=True)
    made = call(machine, left)
    assert made["changes"] == planned["changes"] and made["stages"] == planned["stages"] == {"prepare": 3}
    assert [(one["subject"]["name"], one["action"], one["before"]) for one in made["changes"]] == [
        ("/etc/certs.d/a/hosts.toml", "removed", MASK),
        ("/etc/certs.d/replaced/hosts.toml", "changed", MASK),
        ("/etc/certs.d/replaced/hosts.toml", "changed", MASK),
    ]
    assert sorted(os.listdir(machine.at("/etc/certs.d"))) == ["b", "replaced", "theirs"]
    assert machine.read("/etc/certs.d/replaced/hosts.toml") == "before"
    # From now on they are somebody else's.
    machine.put("/etc/certs.d/a/hosts.toml", "by hand")
    machine.put("/etc/certs.d/replaced/hosts.toml", "by hand", 0o600)
    assert call(machine, left, check=True)["changes"] == []
    # And may become ours again.
    shutil.rmtree(machine.at("/etc/certs.d/a"))
    machine.put("/etc/certs.d/replaced/hosts.toml", "before", 0o600)
    call(machine, [*map(registry, names), UNWANTED])
    call(machine, [], state="absent")
    assert tree(machine) == before


def test_what_went_back_before_a_failure_is_ours_no_more(machine: Machine) -> None:
    call(machine, [registry("a"), UNWANTED])
    machine.put("/etc/certs.d/b", "in the way of a folder")
    assert call(machine, [UNWANTED, registry("b")])["failed"]
    assert not machine.exists("/etc/certs.d/a/hosts.toml")
    machine.put("/etc/certs.d/a/hosts.toml", "by hand")
    assert call(machine, [UNWANTED], check=True)["changes"] == []


def test_a_file_stays_while_any_of_its_folder_s_others_do(machine: Machine) -> None:
    call(machine, [registry("a"), UNWANTED])
    machine.put("/etc/certs.d/a/ca.crt", "theirs")
    call(machine, [UNWANTED])
    assert os.listdir(machine.at("/etc/certs.d/a")) == ["ca.crt"]


def sysctl(name: str, value: str) -> dict[str, Any]:
    return {"type": "sysctl", "name": name, "value": value, "stage": "prepare"}


def test_whatever_of_a_kind_left_the_list_gets_its_earlier_value(machine: Machine) -> None:
    unwanted = {"type": "unwanted", "kind": "sysctl", "stage": "prepare"}
    machine.put("/proc/sys/vm/max_map_count", "65530\n")
    machine.put("/proc/sys/net/ipv4/ip_forward", "0\n")
    kept = sysctl("net.ipv4.ip_forward", "1")
    call(machine, [kept, sysctl("vm.max_map_count", "262144"), unwanted])
    assert call(machine, [kept, sysctl("vm.max_map_count", "262144"), unwanted], check=True)["changes"] == []
    made = call(machine, [kept, unwanted])
    assert [(one["subject"]["name"], one["before"], one["after"]) for one in made["changes"]] == [
        ("vm.max_map_count", "262144", "65530")
    ]
    assert made["stages"] == {"prepare": 1}
    # Somebody else's from now on.
    machine.put("/proc/sys/vm/max_map_count", "100000\n")
    assert call(machine, [kept, unwanted], check=True)["changes"] == []


def test_swap_comes_back_where_it_may_stay(machine: Machine) -> None:
    machine.put("/proc/swaps", "Filename Type Size Used Priority\n")
    machine.put("/etc/fstab", "/dev/sdb none swap sw 0 0\n")
    machine.commands.on("systemctl", "")
    call(machine, [{"type": "swap", "enabled": False}])
    assert machine.read("/etc/fstab") == "#weft.platform: /dev/sdb none swap sw 0 0\n"
    call(machine, [{"type": "unwanted", "kind": "swap"}])
    assert machine.read("/etc/fstab") == "/dev/sdb none swap sw 0 0\n"
    assert call(machine, [{"type": "unwanted", "kind": "swap"}], check=True)["changes"] == []

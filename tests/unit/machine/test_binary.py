# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Programs: nothing is installed but what the digest names; the digest cache never outlives a change."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.weft.platform.plugins.module_utils._machine._binary import Binary, with_retries
from ansible_collections.weft.platform.plugins.module_utils._machine._digests import CACHE, Digests
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineError
from ansible_collections.weft.platform.plugins.module_utils._resource import reconcile

from .conftest import Machine


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spec_of(tmp_path: Path, data: bytes, **more: Any) -> dict[str, Any]:
    source = tmp_path / f"source-{len(list(tmp_path.iterdir()))}"
    source.write_bytes(data)
    spec = {"type": "binary", "path": "/usr/local/bin/tool", "url": source.as_uri(), "sha256": sha(data)}
    return {**spec, **more}


def test_install(machine: Machine, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, b"#!tool")
    outcome = reconcile([Binary(spec)], check=False)
    assert outcome.failed == ""
    assert [change.after for change in outcome.changes] == [{"sha256": sha(b"#!tool"), "mode": "0755"}]
    place = Path(machine.at("/usr/local/bin/tool"))
    assert (place.read_bytes(), place.stat().st_mode & 0o7777) == (b"#!tool", 0o755)
    assert reconcile([Binary(spec)], check=True).changes == []


def test_one_flipped_byte_is_refused_with_both_digests(machine: Machine, tmp_path: Path) -> None:
    machine.put("/usr/local/bin/tool", "old", 0o755)
    spec = {**spec_of(tmp_path, b"tool!"), "sha256": sha(b"tool?")}
    outcome = reconcile([Binary(spec, "n1")], check=False)
    assert sha(b"tool!") in outcome.failed
    assert sha(b"tool?") in outcome.failed
    assert spec["url"] in outcome.failed
    assert Path(machine.at("/usr/local/bin/tool")).read_text() == "old"
    assert os.listdir(machine.at("/usr/local/bin")) == ["tool"]


def test_member_of_an_archive(machine: Machine, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in (("./bin/containerd", b"daemon"), ("./bin/ctr", b"client")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    archive = packed.getvalue()
    spec = spec_of(tmp_path, archive, sha256=sha(b"client"), archive={"sha256": sha(archive), "member": "bin/ctr"})
    assert reconcile([Binary(spec)], check=False).failed == ""
    assert Path(machine.at("/usr/local/bin/tool")).read_bytes() == b"client"
    assert os.listdir(machine.at("/usr/local/bin")) == ["tool"]

    missing = {**spec, "path": "/usr/local/bin/b", "archive": {"sha256": sha(archive), "member": "bin/none"}}
    assert "has no file 'bin/none'" in reconcile([Binary(missing)], check=False).failed
    damaged = {**spec, "path": "/usr/local/bin/b", "archive": {"sha256": sha(b""), "member": "bin/ctr"}}
    assert sha(archive) in reconcile([Binary(damaged)], check=False).failed
    wrong = {**spec, "path": "/usr/local/bin/b", "sha256": sha(b"other")}
    assert sha(b"client") in reconcile([Binary(wrong)], check=False).failed
    assert os.listdir(machine.at("/usr/local/bin")) == ["tool"]


def test_an_archive_that_is_none(machine: Machine, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, b"no archive", archive={"sha256": sha(b"no archive"), "member": "a"})
    assert "is no tar archive" in reconcile([Binary(spec)], check=False).failed


def test_many_are_fetched_together(machine: Machine, tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, b"%d" % number, path=f"/opt/{number}") for number in range(6)]
    assert reconcile([Binary(spec) for spec in specs], check=False).failed == ""
    machine.close()
    assert [Path(machine.at(f"/opt/{number}")).read_bytes() for number in range(6)] == [b"%d" % n for n in range(6)]
    assert len(os.listdir(machine.at("/opt"))) == 6


def test_one_bad_of_many_leaves_no_half_files(machine: Machine, tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, b"%d" % number, path=f"/opt/{number}") for number in range(6)]
    specs[2]["sha256"] = sha(b"x")
    outcome = reconcile([Binary(spec) for spec in specs], check=False)
    machine.close()
    assert sha(b"2") in outcome.failed
    assert sorted(os.listdir(machine.at("/opt"))) == ["0", "1"]


def test_only_the_mode_differs(machine: Machine, tmp_path: Path) -> None:
    machine.put("/usr/local/bin/tool", "t", 0o700)
    spec = {**spec_of(tmp_path, b"t"), "url": "file:///nowhere"}
    assert reconcile([Binary(spec)], check=False).failed == ""


def test_undo_brings_a_foreign_program_back(machine: Machine, tmp_path: Path) -> None:
    place = machine.put("/usr/local/bin/tool", "theirs", 0o775)
    binary = Binary(spec_of(tmp_path, b"ours"))
    before = {change.field: change.before for change in binary.changes(binary.observe())}
    kept = binary.keep()
    assert reconcile([binary], check=False).failed == ""
    (back,) = Binary.undo("/usr/local/bin/tool", before, kept)
    assert reconcile([Binary(back)], check=False).failed == ""
    assert (place.read_text(), place.stat().st_mode & 0o7777) == ("theirs", 0o775)


def test_without_a_digest_nothing_is_installed(machine: Machine) -> None:
    with pytest.raises(MachineError, match="no sha256"):
        reconcile([Binary({"type": "binary", "path": "/a", "url": "file:///b"})], check=False)


class Server:
    """Answers in the given order: an exception is raised, bytes are sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.answers = list(answers)
        monkeypatch.setattr(urllib.request, "urlopen", self)

    def __call__(self, request: Any, timeout: float) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def fetched(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[Any]:
    out: list[Any] = []
    Server(monkeypatch, *answers)
    with_retries("http://r/a", lambda stream: out.append(stream.read()), pause=out.append)
    return out


def refused(code: int) -> urllib.error.HTTPError:
    from email.message import Message

    return urllib.error.HTTPError("http://r/a", code, "words", Message(), None)


def test_network_faults_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetched(monkeypatch, urllib.error.URLError("reset"), IncompleteRead(b""), b"good") == [1, 2, b"good"]
    assert fetched(monkeypatch, refused(503), ConnectionResetError(), b"good") == [1, 2, b"good"]


def test_the_third_fault_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="http://r/a cannot be fetched: no route"):
        fetched(monkeypatch, *[urllib.error.URLError("no route")] * 3)


def test_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="the server answered 404"):
        fetched(monkeypatch, refused(404), b"never asked for")


class Proxy(http.server.BaseHTTPRequestHandler):
    """Sends every address that is asked of it on to /tool, once, and answers with what it was asked."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
        first = len(self.asked) == 1
        self.send_response(302 if first else 200)
        if first:
            self.send_header("Location", "http://elsewhere.example.org/tool")
        self.end_headers()
        self.wfile.write(b"tool")

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def test_a_proxy_is_gone_through_also_where_a_server_sends_us_on(machine: Machine, tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://u:p%40@127.0.0.1:{server.server_port}"
        spec = {**spec_of(tmp_path, b"tool"), "url": "http://upstream.example.org/tool", "proxy": proxy}
        assert reconcile([Binary(spec)], check=False).failed == ""
        server.shutdown()
    word = "Basic " + base64.b64encode(b"u:p@").decode()
    assert Proxy.asked == [("http://upstream.example.org/tool", word), ("http://elsewhere.example.org/tool", word)]


def test_a_connection_that_ended_early_is_no_wrong_artifact(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(io.BytesIO):
        length = 3

    answers = [Short(b"to"), io.BytesIO(b"tool!")]
    monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert reconcile([Binary(spec_of(tmp_path, b"tool!"))], check=False).failed == ""


def test_a_full_disk_is_told_with_its_folder(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = reconcile([Binary(spec_of(tmp_path, b"tool"), "n1")], check=False)
    assert "no space left on the disk that holds" in outcome.failed
    assert os.listdir(machine.at("/usr/local/bin")) == []


def test_digests_are_remembered_until_the_file_moves(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = machine.put("/a", "one")
    digests = Digests(machine)
    assert digests.of("/a") == sha(b"one")
    digests.save()
    assert os.stat(machine.at("/var/lib/weft")).st_mode & 0o777 == 0o700

    def never(*_: Any) -> str:
        raise AssertionError("hashed again")

    with monkeypatch.context() as context:
        context.setattr("ansible_collections.weft.platform.plugins.module_utils._machine._digests.hash_of", never)
        assert Digests(machine).of("/a") == sha(b"one")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_text("two")
    os.utime(path, ns=times)  # same size, same mtime: the inode's change time tells
    assert Digests(machine).of("/a") == sha(b"two")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"/a": 3}', '{"/a": []}', '{"/a": [1, 2, 3, 4, 5, "x"]}', "\x00"])
def test_a_broken_cache_is_ignored(machine: Machine, text: str) -> None:
    machine.put("/a", "one")
    machine.put(CACHE, text)
    assert Digests(machine).of("/a") == sha(b"one")


def test_reading_writes_nothing_and_gone_files_are_forgotten(machine: Machine) -> None:
    machine.put("/a", "one")
    machine.put("/b", "two")
    digests = Digests(machine)
    digests.of("/a")
    digests.of("/b")
    assert not machine.exists(CACHE)
    machine.unlink("/b")
    digests.save()
    assert list(json.loads(machine.read(CACHE) or "")) == ["/a"]

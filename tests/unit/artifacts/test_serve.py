# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The registry's process: started once, found again, replaced, stopped; with a small stand-in for the program."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _serve
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import locked
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, RegistryFailed
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._serve import RegistryProcess

#: Called as `registry serve CONFIG`; answers /v2/ at the address in it.
STAND_IN = f"""#!{sys.executable}
import http.server, sys
host, port = [line.split(": ")[1] for line in open(sys.argv[2]) if "addr" in line][0].strip().rsplit(":", 1)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer((host, int(port)), Answer).serve_forever()
"""


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_bundle(tmp_path / "bundle")


def make_bundle(path: Path, program: str = STAND_IN) -> Path:
    path.mkdir()
    (path / "registry").write_text(program)
    (path / "registry").chmod(0o755)
    return path


@pytest.fixture
def process(bundle: Path) -> Iterator[RegistryProcess]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = RegistryProcess("127.0.0.1", port)
    yield found
    found.stop()


def test_a_registry_is_started_once(process: RegistryProcess, bundle: Path) -> None:
    first = process.start(bundle)
    assert first.changed
    assert first.pid == process.pid() > 0
    # It has a session of its own, so that it outlives the playbook.
    assert os.getsid(first.pid) == first.pid
    again = process.start(bundle)
    assert (again.changed, again.pid, again.address) == (False, first.pid, first.address)


def test_another_bundle_takes_its_place(process: RegistryProcess, bundle: Path, tmp_path: Path) -> None:
    first = process.start(bundle)
    second = process.start(make_bundle(tmp_path / "other"))
    assert second.changed
    assert second.pid != first.pid
    assert not Path(f"/proc/{first.pid}").exists()


def test_a_registry_that_died_is_started_again(process: RegistryProcess, bundle: Path) -> None:
    first = process.start(bundle)
    os.kill(first.pid, 9)
    os.waitpid(first.pid, 0)
    assert process.pid() == 0
    assert process.start(bundle).changed


def test_stop(process: RegistryProcess, bundle: Path) -> None:
    assert not process.stop()
    pid = process.start(bundle).pid
    assert process.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert not process.stop()


def test_another_process_of_the_same_number_is_left_alone(
    process: RegistryProcess, bundle: Path, tmp_path: Path
) -> None:
    process.start(bundle)
    process.stop()
    folder = process.log.parent
    (folder / "pid").write_text(json.dumps({"pid": os.getpid(), "started": "1"}))
    assert process.pid() == 0
    assert not process.stop()
    for text in ("", "{}", '{"pid": "x", "started": "1"}'):
        (folder / "pid").write_text(text)
        assert process.pid() == 0


def test_a_taken_port_is_said(process: RegistryProcess, bundle: Path) -> None:
    host, port = process.address.rsplit(":", 1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, int(port)))
        other.listen()
        with pytest.raises(RegistryFailed, match=rf"{process.address} is taken by another program"):
            process.start(bundle)


def test_a_registry_that_ends_says_why(process: RegistryProcess, tmp_path: Path, bundle: Path) -> None:
    broken = make_bundle(tmp_path / "broken", "#!/bin/sh\necho no such storage >&2; exit 1\n")
    with pytest.raises(RegistryFailed, match=rf"does not answer at {process.address}: no such storage \(log: "):
        process.start(broken)
    assert process.pid() == 0


def test_no_bundle(process: RegistryProcess, tmp_path: Path) -> None:
    with pytest.raises(
        RegistryFailed, match=r"is no bundle: it has no registry\. Make one with weft\.platform\.bundle"
    ):
        process.start(tmp_path / "nothing")


def test_the_registry_only_reads(tmp_path: Path) -> None:
    config = _serve.registry_config(tmp_path, "127.0.0.1:5001")
    assert config["storage"]["maintenance"] == {"readonly": {"enabled": True}}
    assert config["storage"]["filesystem"] == {"rootdirectory": str(tmp_path)}
    assert config["http"]["addr"] == "127.0.0.1:5001"
    assert yaml.safe_load(yaml.safe_dump(config)) == config


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "192.0.2.1:5001"), ("2001:db8::1", "[2001:db8::1]:5001"), ("bastion", "bastion:5001")],
)
def test_host_port(host: str, text: str) -> None:
    assert _serve.host_port(host, 5001) == text


def test_the_address_on_the_route() -> None:
    assert _serve.routed_address("127.0.0.1") == "127.0.0.1"
    assert _serve.routed_address("localhost") in ("127.0.0.1", "::1")
    with pytest.raises(RegistryFailed, match=r"no route to no-such-host\.invalid"):
        _serve.routed_address("no-such-host.invalid")


def test_one_builder_at_a_time(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []
    path = tmp_path / "deep" / "lock"

    def second() -> None:
        with locked(path, told.append):
            order.append("second")

    with locked(path, told.append):
        thread = threading.Thread(target=second)
        thread.start()
        deadline = time.monotonic() + 5
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert len(told) == 1
    assert "waiting for it" in told[0]


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ArtifactError, match="Set XDG_CACHE_HOME to a writable folder"),
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(locked(tmp_path / "file" / "lock", print))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A server on this machine that answers as a forge's documented API does, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Call:
    """One request: method, path, query, JSON body, headers in lower case."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Wire:
    """Answers by "METHOD /path": a JSON value, (status, value), (status, value, headers), or a function of the Call."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def made(self, method: str, path: str) -> list[Call]:
        """The calls of one method and path, oldest first."""
        return [call for call in self.calls if (call.method, call.path) == (method, path)]

    def writes(self) -> list[Call]:
        """Every call that changes something."""
        return [call for call in self.calls if call.method != "GET"]


@contextmanager
def serve(**answers: Any) -> Iterator[Wire]:
    """A Wire that listens on the loopback."""
    wire = Wire(answers=dict(answers))

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            split = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(split.query).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            call = Call(self.command, split.path, query, json.loads(raw) if raw else None, headers)
            wire.calls.append(call)
            status, body, more = _answer(wire, call)
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()


def _answer(wire: Wire, call: Call) -> tuple[int, Any, dict[str, str]]:
    answer = wire.answers.get(f"{call.method} {call.path}", (404, {"message": "Not Found"}))
    if callable(answer):
        answer = answer(call)
    if isinstance(answer, tuple):
        status, body, *rest = answer
        return status, body, rest[0] if rest else {}
    return 200, answer, {}

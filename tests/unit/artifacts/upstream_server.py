# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A local web server that speaks what upstream publishes: releases, checksum files, and a registry with tokens."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data: bytes) -> str:
    """sha256 of data, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def archive(files: dict[str, bytes]) -> bytes:
    """A tar.gz of files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@dataclass
class Upstream:
    """What the server serves, and what was asked of it.

    Attributes:
        files: path -> content.  manifests: "name:reference" -> (media type, content).  blobs: digest -> content.
        asked: "METHOD path" of every request.  broken: paths whose answer ends early.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    fail_once: set[str] = field(default_factory=set)
    address: str = ""

    def add_manifest(self, name: str, tag: str, kind: str, data: dict[str, Any]) -> str:
        """Add a manifest by tag and digest; the answer is its digest."""
        body = json.dumps(data).encode()
        reference = f"sha256:{digest(body)}"
        for key in filter(None, (tag, reference)):
            self.manifests[f"{name}:{key}"] = (kind, body)
        return reference

    def add_blob(self, data: bytes) -> dict[str, Any]:
        """Add a blob; the answer is what a manifest says of it."""
        name = f"sha256:{digest(data)}"
        self.blobs[name] = data
        return {"digest": name, "size": len(data), "mediaType": "application/octet-stream"}

    def add_image(self, name: str, tag: str, *layers: bytes) -> str:
        """Add an image for amd64 below an index with one for arm64 too; the answer is the amd64 manifest's digest."""
        found: dict[str, str] = {}
        for arch in ("amd64", "arm64"):
            config = self.add_blob(json.dumps({"architecture": arch, "name": name}).encode())
            parts = [self.add_blob(layer + arch.encode()) for layer in layers]
            body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": parts}
            found[arch] = self.add_manifest(name, "", MANIFEST, body)
        entries = [{"digest": item, "platform": {"os": "linux", "architecture": arch}} for arch, item in found.items()]
        self.add_manifest(name, tag, INDEX, {"schemaVersion": 2, "manifests": entries})
        return found["amd64"]


class _Handler(BaseHTTPRequestHandler):
    upstream: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output quiet."""

    def _answer(self, body: bool) -> None:
        path, _mark, query = self.path.partition("?")
        self.upstream.asked.append(f"{self.command} {self.path}")
        if path in self.upstream.fail_once:
            self.upstream.fail_once.discard(path)
            self._send(503, b"later", body)
        elif path == "/token":
            self._send(200, json.dumps({"token": f"for {query}"}).encode(), body)
        elif path.startswith("/v2/"):
            self._registry(path[4:], body)
        elif path.startswith("/storage/"):
            self.upstream.leaked += [value for name, value in self.headers.items() if name == "Authorization"]
            self._send(200, self.upstream.blobs[path[9:]], body)
        elif path in self.upstream.files:
            self._send(200, self.upstream.files[path], body)
        else:
            self._send(404, b"no such file", body)

    def _registry(self, path: str, body: bool) -> None:
        if not self.headers.get("Authorization", "").startswith("Bearer for "):
            challenge = f'Bearer realm="http://{self.upstream.address}/token",service="test",scope="pull"'
            self._send(401, b"{}", body, {"WWW-Authenticate": challenge})
            return
        name, kind, reference = path.rsplit("/", 2)
        if kind == "manifests" and f"{name}:{reference}" in self.upstream.manifests:
            media, data = self.upstream.manifests[f"{name}:{reference}"]
            self._send(200, data, body, {"Content-Type": media})
        elif kind == "blobs" and reference in self.upstream.blobs:
            # Registries keep blobs in a storage that refuses what is not signed for it.
            self._send(307, b"", body, {"Location": f"http://{self.upstream.address}/storage/{reference}"})
        else:
            self._send(404, b"{}", body)

    def _send(self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if self.path in self.upstream.broken:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)


@contextlib.contextmanager
def served(upstream: Upstream) -> Iterator[Upstream]:
    """Serve on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"upstream": upstream}))
    upstream.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

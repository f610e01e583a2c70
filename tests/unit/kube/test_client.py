# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The API is asked where it answers, and only servers that the cluster's authority vouches for are believed."""

from __future__ import annotations

import base64
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._kube import Client, KubeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def pair() -> tuple[str, str]:
    """A certificate for 127.0.0.1 that is its own authority, and its key, as PEM texts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kube-apiserver")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.TraditionalOpenSSL
    words = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), words.decode()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"path": self.path}).encode())

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """host:port of a server that answers by TLS, and its certificate."""
    certificate, key = pair()
    (tmp_path / "pair").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def kubeconfig(server: str, authority: str) -> str:
    data = base64.b64encode(authority.encode()).decode()
    cluster = {"server": f"https://{server}", "certificate-authority-data": data}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )


@pytest.fixture
def silent() -> Iterator[str]:
    """host:port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_silent_endpoint_gives_way_to_the_api_server_itself(api_server: tuple[str, str], silent: str) -> None:
    address, certificate = api_server
    client = Client(kubeconfig(silent, certificate), patience=10, otherwise=address)
    assert client.request("GET", "/readyz") == {"path": "/readyz"}
    with pytest.raises(KubeError, match="no answer"):
        Client(kubeconfig(silent, certificate), patience=0).request("GET", "/readyz")


def test_a_stranger_at_that_address_is_not_believed(api_server: tuple[str, str], silent: str) -> None:
    other, _key = pair()
    client = Client(kubeconfig(silent, other), patience=2, otherwise=api_server[0])
    with pytest.raises(KubeError, match=r"no answer: .*(CERTIFICATE_VERIFY_FAILED|refused)"):
        client.request("GET", "/readyz")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What people may run themselves: an etcd, a load balancer and an identity provider, the real ones."""

from __future__ import annotations

import base64
import http.server
import io
import ipaddress
import json
import ssl
import tarfile
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .lab import Lab

HAPROXY = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend api
  bind :6443
  default_backend control_planes
backend control_planes
  option httpchk GET /readyz
  http-check expect status 200
  default-server check check-ssl verify none inter 500ms fall 2 rise 1
"""


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._signed(self.name, self.key, (constraints, True))

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str, *addresses: str) -> tuple[str, str]:
        """Certificate and key, PEM texts, for a client, or for a server at these addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(one)) for one in addresses])
        extensions: list[tuple[x509.ExtensionType, bool]] = [(usage, False)]
        extensions += [(names, False)] if addresses else []
        made = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, *extensions)
        form = serialization.PrivateFormat.TraditionalOpenSSL
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        return made.public_bytes(serialization.Encoding.PEM).decode(), text

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(self.key, hashes.SHA256())


def blob(lab: Lab, digest: str) -> Path:
    """A blob of the bundle's registry."""
    name = digest.removeprefix("sha256:")
    return lab.lock().parent / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


def file_of_image(lab: Lab, image: str, path: str) -> bytes:
    """A file out of an image of the bundle."""
    images = yaml.safe_load(lab.lock().read_text())["images"]
    manifest = json.loads(blob(lab, next(one["digest"] for one in images if one["name"] == image)).read_text())
    for layer in manifest["layers"]:
        with tarfile.open(blob(lab, layer["digest"])) as archive:
            for member in archive:
                if member.name.lstrip("./") == path.lstrip("/") and member.isfile():
                    stream = archive.extractfile(member)
                    assert stream is not None
                    return stream.read()
    raise AssertionError(f"{image} has no {path}")


def put(lab: Lab, machine: str, files: Mapping[str, bytes | str], mode: int = 0o755) -> None:
    """Write files on a machine, past SSH."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    lab.fleet.execute(machine, ["tar", "-x", "-C", "/"], stdin=stream.getvalue())


def start_etcd(lab: Lab, machine: str, authority: Authority) -> str:
    """Run etcd on a machine, clients by certificate only; its URL."""
    address = lab.fleet.machine(machine).address
    certificate, key = authority.issue("etcd", address, "127.0.0.1")
    programs = {f"/usr/local/bin/{name}": file_of_image(lab, "etcd", f"usr/local/bin/{name}") for name in ETCD}
    put(lab, machine, programs)
    put(lab, machine, {"/etc/own/ca.crt": authority.pem, "/etc/own/etcd.crt": certificate, "/etc/own/etcd.key": key})
    url = f"https://{address}:2379"
    words = ["systemd-run", "--unit=own-etcd", "/usr/local/bin/etcd", "--data-dir=/var/lib/own-etcd"]
    words += [f"--listen-client-urls={url},https://127.0.0.1:2379", f"--advertise-client-urls={url}"]
    words += ["--listen-peer-urls=http://127.0.0.1:2380", "--client-cert-auth", "--trusted-ca-file=/etc/own/ca.crt"]
    words += ["--cert-file=/etc/own/etcd.crt", "--key-file=/etc/own/etcd.key"]
    lab.fleet.execute(machine, words)
    for _ in range(50):
        if "is healthy" in etcdctl(lab, machine, "endpoint", "health"):
            return url
        time.sleep(0.2)
    raise AssertionError(lab.fleet.execute(machine, ["journalctl", "-u", "own-etcd", "-n", "20"]))


ETCD = ("etcd", "etcdctl")


def etcdctl(lab: Lab, machine: str, *words: str) -> str:
    """Ask the etcd of `start_etcd`; what it answers, errors included."""
    pair = ["--cacert=/etc/own/ca.crt", "--cert=/etc/own/etcd.crt", "--key=/etc/own/etcd.key"]
    command = ["etcdctl", *pair, "--endpoints=https://127.0.0.1:2379", *words]
    return lab.fleet.execute(machine, ["sh", "-c", '"$@" 2>&1 || true', "-", *command])


def start_load_balancer(lab: Lab, machine: str, *backends: str) -> str:
    """Run HAProxy on a machine before the API servers at these addresses; its address."""
    lab.fleet.execute(machine, ["sh", "-c", "apt-get -qq update && apt-get -qq install -y haproxy >/dev/null"])
    servers = "".join(f"  server s{number} {one}:6443\n" for number, one in enumerate(backends))
    put(lab, machine, {"/etc/haproxy/haproxy.cfg": HAPROXY + servers}, 0o644)
    lab.fleet.execute(machine, ["systemctl", "restart", "haproxy"])
    return lab.fleet.machine(machine).address


class Issuer:
    """An OpenID Connect provider: discovery and keys over TLS, and ID tokens for whom we like."""

    def __init__(self, address: str, authority: Authority, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate, key = authority.issue("issuer", address)
        (folder / "issuer.pem").write_text(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "issuer.pem")
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = issuer.documents().get(self.path)
                self.send_response(200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://{address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def documents(self) -> dict[str, Any]:
        """What is served, by path."""
        public = self._key.public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1"}
        key |= {"x": _base64(public.x.to_bytes(32)), "y": _base64(public.y.to_bytes(32))}
        discovery = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        return {"/.well-known/openid-configuration": discovery, "/keys": {"keys": [key]}}

    def token(self, name: str, *groups: str, audience: str = "kubernetes", seconds: int = 600) -> str:
        """An ID token (RFC 7519, ES256)."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "iat": now, "exp": now + seconds, "sub": name, "groups": groups}
        head = _base64(json.dumps({"alg": "ES256", "kid": "1", "typ": "JWT"}).encode())
        body = f"{head}.{_base64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{body}.{_base64(r.to_bytes(32) + s.to_bytes(32))}"

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

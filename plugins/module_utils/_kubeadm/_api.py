# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""HTTPS with a client certificate to what runs on this control plane: the API server and etcd's JSON gateway."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import memory_file, path_of

ETC = Path("/etc/kubernetes")


class _Connection(http.client.HTTPSConnection):
    """To an address, but with a certificate for `name` (the API server's has the machine's address, not 127.0.0.1)."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(address, port, timeout=timeout, context=context)
        self.name = name
        self.tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.name)


class Client:
    """JSON over HTTPS to one server on this machine."""

    def __init__(self, what: str, port: int, name: str, context: ssl.SSLContext, timeout: float = 10) -> None:
        self.what = what
        self.port = port
        self.name = name
        self.context = context
        self.timeout = timeout

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Tuple[int, Any]:
        """One request; the status and the answer (JSON where it is, else text).

        Raises:
            KubeadmError: there is no answer.
        """
        connection = _Connection("127.0.0.1", self.port, self.name, self.context, self.timeout)
        try:
            headers = {"Accept": "application/json", "Content-Type": kind}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise KubeadmError(f"{self.what} on this machine does not answer: {error}") from error
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def get(self, path: str) -> Optional[Dict[str, Any]]:
        """An object, or None when it is not there."""
        status, answer = self.call("GET", path)
        return None if status == 404 else self.good(status, answer, path)

    def send(self, method: str, path: str, body: Any, kind: str = "application/json") -> Dict[str, Any]:
        """A request that must succeed; its answer."""
        return self.good(*self.call(method, path, body, kind), path)

    def delete(self, path: str) -> None:
        """Delete an object; it may be gone already."""
        status, answer = self.call("DELETE", path)
        if status != 404:
            self.good(status, answer, path)

    def good(self, status: int, answer: Any, path: str) -> Dict[str, Any]:
        if status >= 300 or not isinstance(answer, dict):
            reason = answer.get("message") or answer.get("error") if isinstance(answer, dict) else answer
            raise KubeadmError(f"{self.what} refused {path}: {status} {reason}")
        return answer


def api_server(port: int = 6443, kubeconfig: Path = ETC / "admin.conf") -> Client:
    """This control plane's API server, as kubeadm's administrator.

    Raises:
        KubeadmError: the machine is not a control plane.
    """
    try:
        fields = dict(re.findall(r"^\s*([a-z-]+-data): (\S+)\s*$", kubeconfig.read_text(), re.M))
        authority, certificate, key = (
            base64.b64decode(fields[name]).decode()
            for name in ("certificate-authority-data", "client-certificate-data", "client-key-data")
        )
    except (OSError, KeyError, ValueError) as error:
        raise KubeadmError(f"cannot use {kubeconfig}: {error}; is this machine a control plane?") from error
    context = ssl.create_default_context(cadata=authority)
    with memory_file(certificate + key) as number:
        context.load_cert_chain(path_of(number))
    return Client("the API server", port, "kubernetes", context)


def etcd(pki: Path = ETC / "pki") -> Client:
    """This control plane's etcd member.

    Raises:
        KubeadmError: the machine has no etcd client certificate.
    """
    try:
        context = ssl.create_default_context(cafile=str(pki / "etcd/ca.crt"))
        context.load_cert_chain(str(pki / "apiserver-etcd-client.crt"), str(pki / "apiserver-etcd-client.key"))
    except OSError as error:
        raise KubeadmError(f"cannot use etcd's certificates below {pki}: {error}") from error
    return Client("etcd", 2379, "localhost", context)


def members(client: Client) -> List[Mapping[str, Any]]:
    """etcd's members: {ID, name (empty when never started), peerURLs, isLearner}."""
    return list(client.send("POST", "/v3/cluster/member/list", {}).get("members", []))


def remove_member(client: Client, identity: str) -> None:
    """Take a member out of etcd's cluster."""
    client.send("POST", "/v3/cluster/member/remove", {"ID": identity})


def healthy(address: str, port: int, path: str, secure: bool = True, timeout: float = 1) -> bool:
    """Whether a component on this machine says that it is ready.

    Nothing is sent but the question, so the certificate (self-signed for scheduler and controller manager) is not
    checked.
    """
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What lets machines join, made on a living control plane: a token, the certificate key, the encryption key.

It also takes out what machines that join again have left behind: Node objects and etcd members.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Subject
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _api, _encryption, _observe
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import CONTROL_PLANE, ETC
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import at_version, find, kubeadm

#: How long a token and the uploaded certificates live, in minutes.
LIFETIME = 15

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_SECRETS = "/api/v1/namespaces/kube-system/secrets"


@dataclass
class Joiners:
    """What is made for machines that join.

    changes      what was (or would be) made and taken away
    credentials  token, ca_cert, ca_hash, endpoint, and for control planes certificate_key and encryption_keys; empty
                 in check mode
    """

    changes: List[Change] = field(default_factory=list)
    credentials: Dict[str, Any] = field(default_factory=dict)


def mint(
    joiners: Sequence[Mapping[str, str]], config: Sequence[Mapping[str, Any]], check: bool, machine: str = ""
) -> Joiners:
    """Make credentials for the machines that join, and take out what they left in the cluster before.

    Args:
        joiners: {"name": of the node, "address", "role": control_plane or worker} of each machine that is no member.
        config: kubeadm's InitConfiguration and ClusterConfiguration of this control plane.
        check: only say what would be done.
        machine: inventory name, for the Changes.

    Returns:
        Joiners: nothing when nobody joins.

    Raises:
        KubeadmError: this machine is no control plane, its API server or etcd does not answer, or etcd refuses to let
            a member go.
    """
    out = Joiners()
    if not joiners:
        return out
    if check and not _observe.membership().member:
        out.changes.append(_token_change(joiners, machine))
        return out
    api = _api.api_server(int(_observe.arguments("kube-apiserver").get("--secure-port", 6443)))
    _leave_nodes(api, joiners, check, out)
    controls = [joiner for joiner in joiners if joiner["role"] == CONTROL_PLANE]
    if controls and _observe.manifest("etcd") is not None:
        _leave_etcd(controls, check, out)
    out.changes.append(_token_change(joiners, machine))
    if not check:
        out.credentials = _make(api, bool(controls), config)
    return out


def join_credentials(wanted: Mapping[str, Any], check: bool) -> Joiners:
    """What the module weft.platform.join_credentials is asked for: `mint`, or with state "absent" `revoke`.

    Raises:
        KubeadmError: as they do.
    """
    if wanted["state"] == "absent":
        return Joiners(revoke(wanted["credentials"], check))
    return mint(wanted["joiners"], wanted["config"], check, wanted["name"])


def leave(leavers: Sequence[Mapping[str, str]], check: bool) -> List[Change]:
    """Take machines out of the cluster: their etcd members and their Node objects.

    Args:
        leavers: {"name": of the node, "address", "role": control_plane or worker}.
        check: only say what would be done.

    Returns:
        The Changes; none for machines that are not there.

    Raises:
        KubeadmError: this machine's API server or etcd does not answer, or etcd refuses to let a member go.
    """
    out = Joiners()
    api = _api.api_server(int(_observe.arguments("kube-apiserver").get("--secure-port", 6443)))
    controls = [leaver for leaver in leavers if leaver["role"] == CONTROL_PLANE]
    if controls and _observe.manifest("etcd") is not None:
        _leave_etcd(controls, check, out)
    _leave_nodes(api, leavers, check, out)
    return out.changes


def revoke(credentials: Mapping[str, Any], check: bool) -> List[Change]:
    """Take what `mint` made out of the cluster before its time: the token and, if there were any, the certificates.

    Args:
        credentials: what `mint` gave; those of another run stay.
        check: only say what would be done.

    Returns:
        The Changes; none where nothing is left.

    Raises:
        KubeadmError: this machine's API server does not answer.
    """
    api = _api.api_server(int(_observe.arguments("kube-apiserver").get("--secure-port", 6443)))
    names = [f"bootstrap-token-{str(credentials['token']).partition('.')[0]}"]
    if credentials.get("certificate_key"):
        uploaded = api.get(f"{_SECRETS}/kubeadm-certs") or {}
        names += [*_owners(uploaded), "kubeadm-certs"]
    found = [name for name in names if api.get(f"{_SECRETS}/{name}") is not None]
    if not check:
        for name in found:
            api.delete(f"{_SECRETS}/{name}")
    return [Change(Subject("Secret", f"kube-system/{name}"), (), "", ABSENT, secret=True) for name in found]


def _owners(uploaded: Mapping[str, Any]) -> List[str]:
    """The tokens that kubeadm made for nothing but to end the life of the uploaded certificates."""
    return [str(owner["name"]) for owner in uploaded.get("metadata", {}).get("ownerReferences", [])]


def _token_change(joiners: Sequence[Mapping[str, str]], machine: str) -> Change:
    """Its value is the same in a check and in a run: whom it is for, never the token."""
    names = ", ".join(sorted(joiner["name"] for joiner in joiners))
    return Change(Subject("bootstrap_token", names, machine), (), ABSENT, f"{LIFETIME} minutes", secret=True)


def _leave_nodes(api: _api.Client, joiners: Sequence[Mapping[str, str]], check: bool, out: Joiners) -> None:
    for joiner in joiners:
        path = f"/api/v1/nodes/{joiner['name']}"
        node = api.get(path)
        if node is None:
            continue
        before = {"version": node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")}
        out.changes.append(Change(Subject("Node", joiner["name"]), (), before, ABSENT))
        if not check:
            api.delete(path)


def _leave_etcd(joiners: Sequence[Mapping[str, str]], check: bool, out: Joiners) -> None:
    client = _api.etcd()
    addresses = {f"https://{_host(joiner['address'])}:2380": joiner["name"] for joiner in joiners}
    for member in _api.members(client):
        name = next((addresses[url] for url in member.get("peerURLs", []) if url in addresses), None)
        if name is None:
            continue
        before = {"name": member.get("name", ""), "learner": bool(member.get("isLearner"))}
        out.changes.append(Change(Subject("etcd_member", name), (), before, ABSENT))
        if not check:
            _api.remove_member(client, str(member["ID"]))


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _make(api: _api.Client, controls: bool, config: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    authority = ETC / "pki/ca.crt"
    certificate = _observe.certificate(authority)
    if certificate is None:
        raise KubeadmError(f"{authority} cannot be read; is this machine a control plane?")
    out: Dict[str, Any] = {
        "token": _token(api),
        "ca_cert": authority.read_text(),
        "ca_hash": certificate.public_key,
        "endpoint": _observe.server("admin.conf").replace("https://", ""),
    }
    if controls:
        # What a control plane joins with is read from kubeadm's record: it shall say what the inventory says.
        kubeadm(["init", "phase", "upload-config", "kubeadm"], at_version(config, _observe.version(CONTROL_PLANE)))
        out["certificate_key"] = _upload(api, config)
        out["encryption_keys"] = _encryption.keys_of(_encryption.load() or {"resources": []})
    return out


def _token(api: _api.Client) -> str:
    """A bootstrap token that can only authenticate (it signs nothing) and ends by itself."""
    identity, secret = _word(6), _word(16)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {
            "name": f"bootstrap-token-{identity}",
            "namespace": "kube-system",
            "labels": {"app.kubernetes.io/managed-by": "weft.platform"},
        },
        "stringData": {
            "token-id": identity,
            "token-secret": secret,
            "expiration": _end(),
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
            "description": "weft.platform: machines that join",
        },
    }
    api.send("POST", _SECRETS, body)
    return f"{identity}.{secret}"


def _word(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _end() -> str:
    return (datetime.now(timezone.utc) + timedelta(minutes=LIFETIME)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _upload(api: _api.Client, config: Sequence[Mapping[str, Any]]) -> str:
    """Upload the control plane's certificates, encrypted; the key.  kubeadm would keep them two hours, this minutes."""
    key = os.urandom(32).hex()
    documents = at_version(config, _observe.version(CONTROL_PLANE))
    init = find(documents, "InitConfiguration")
    assert isinstance(init, dict)
    init["certificateKey"] = key
    kubeadm(["init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print"], documents)
    uploaded = api.get(f"{_SECRETS}/kubeadm-certs") or {}
    for owner in _owners(uploaded):
        patch = {"stringData": {"expiration": _end()}}
        api.send("PATCH", f"{_SECRETS}/{owner}", patch, "application/merge-patch+json")
    return key

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A person's kubeconfig on the controller: observed, compared and written like anything else."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Subject, Value, diff
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _x509
from ansible_collections.weft.platform.plugins.plugin_utils._kube._client import KubeError

Config = dict[str, Any]

#: A client certificate with fewer days before it is made anew.
RENEW_DAYS = 30
MODE = 0o600
LISTS = ("clusters", "users", "contexts")


@dataclass(frozen=True)
class Wanted:
    """A kubeconfig that should be there.

    path      the file; "~" is the user's home
    cluster   name of its cluster and context
    endpoint  host:port of the API
    user      common name of the client certificate
    ca_hash   "sha256:HEX" of the cluster's authority, "" where no cluster is there yet
    merge     keep what else the file holds
    """

    path: str
    cluster: str
    endpoint: str
    user: str
    ca_hash: str = ""
    merge: bool = False

    @property
    def file(self) -> Path:
        """The file's real place."""
        return Path(self.path).expanduser()

    @property
    def login(self) -> str:
        """Name of the user's entry: one person may have one in each of several clusters."""
        return f"{self.user}@{self.cluster}"


def changes(wanted: Wanted, now: datetime | None = None) -> list[Change]:
    """What has to change in the file; nothing is touched.

    Raises:
        KubeError: the file is no kubeconfig, or holds other clusters and `merge` is off.
    """
    return diff(Subject("kubeconfig", wanted.path), observe(wanted, now), _desired(wanted))


def apply(wanted: Wanted, kubeconfig: str) -> None:
    """Write the file, with mode 0600, from a fresh kubeconfig of the cluster.

    Raises:
        KubeError: `kubeconfig` is none, the file is none, or it cannot be written.
    """
    old = _load(wanted) if wanted.merge else None
    _write(wanted.file, yaml.safe_dump(merged(old or {}, _parse(kubeconfig, "the new kubeconfig"), wanted)))


def observe(wanted: Wanted, now: datetime | None = None) -> Value:
    """ABSENT, or {"server", "user", "authority": current or other, "certificate": valid or ending, "mode"}."""
    found = _load(wanted)
    if found is None:
        return ABSENT
    cluster, user = _entry(found, "clusters", wanted.cluster), _entry(found, "users", wanted.login)
    if not wanted.merge:
        others = [one.get("name") for one in found.get("clusters") or [] if one.get("name") != wanted.cluster]
        if others:
            raise KubeError(
                f"{wanted.path} holds other clusters ({', '.join(map(str, others))}): set cluster_kubeconfig_merge to "
                "true, or cluster_kubeconfig to another file"
            )
    if cluster is None and user is None:
        return ABSENT
    certificate = _certificate((user or {}).get("client-certificate-data"))
    authority = _certificate((cluster or {}).get("certificate-authority-data"))
    valid = certificate is not None and certificate.days_left(now or datetime.now(UTC)) >= RENEW_DAYS
    return {
        "server": (cluster or {}).get("server", ""),
        "user": certificate.common_name if certificate else "",
        "authority": "current" if authority and authority.public_key == wanted.ca_hash else "other",
        "certificate": "valid" if valid else "ending",
        "mode": f"{wanted.file.stat().st_mode & 0o777:04o}",
    }


def _desired(wanted: Wanted) -> Value:
    return {
        "server": f"https://{wanted.endpoint}",
        "user": wanted.user,
        "authority": "current",
        "certificate": "valid",
        "mode": f"{MODE:04o}",
    }


def merged(old: Mapping[str, Any], new: Mapping[str, Any], wanted: Wanted) -> Config:
    """The cluster, user and context of `new`, under this cluster's names, in place of or beside what `old` holds."""
    try:
        cluster, user = new["clusters"][0]["cluster"], new["users"][0]["user"]
    except (KeyError, IndexError, TypeError) as error:
        raise KubeError(f"the new kubeconfig has no cluster or user: {error}") from error
    ours = {
        "clusters": {"name": wanted.cluster, "cluster": cluster},
        "users": {"name": wanted.login, "user": user},
        "contexts": {"name": wanted.cluster, "context": {"cluster": wanted.cluster, "user": wanted.login}},
    }
    out: Config = {"apiVersion": "v1", "kind": "Config", **old}
    for key in LISTS:
        out[key] = [*(one for one in old.get(key) or [] if one.get("name") != ours[key]["name"]), ours[key]]
    out["current-context"] = old.get("current-context") or wanted.cluster
    return out


def _entry(config: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any] | None:
    items: Sequence[Mapping[str, Any]] = config.get(key) or []
    return next((one.get(key[:-1]) or {} for one in items if one.get("name") == name), None)


def _certificate(data: Any) -> _x509.Certificate | None:
    try:
        return _x509.read(base64.b64decode(str(data or "")).decode())
    except (ValueError, _x509.CertificateError):
        return None


def _load(wanted: Wanted) -> Config | None:
    try:
        return _parse(wanted.file.read_text(encoding="utf-8"), wanted.path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KubeError(f"{wanted.path} cannot be read: {error.strerror}") from error


def _parse(text: str, name: str) -> Config:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise KubeError(f"{name} is not YAML: {error}") from error
    lists = isinstance(found, dict) and all(isinstance(found.get(key) or [], list) for key in LISTS)
    if not lists:
        raise KubeError(f"{name} is not a kubeconfig; set cluster_kubeconfig to another file")
    return dict(found)


def _write(path: Path, text: str) -> None:
    """Replace the file at one stroke; it is never readable by others, not even while it is written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, rough = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        Path(rough).chmod(MODE)
        Path(rough).replace(path.resolve())
    except OSError as error:
        why = f"{path} cannot be written: {error.strerror}"
        raise KubeError(f"{why}; set cluster_kubeconfig to another file") from error


def run(arguments: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """What the action weft.platform.kubeconfig_file does.

    Args:
        arguments: path, cluster, endpoint, user, ca_hash, merge, and kubeconfig (text) once it was made.
        check: only compare.

    Returns:
        changed, changes, and needed: whether a kubeconfig must be made and given.

    Raises:
        KubeError: as changes() and apply().
    """
    path, cluster, endpoint, user = (str(arguments[name]) for name in ("path", "cluster", "endpoint", "user"))
    authority, merge = str(arguments.get("ca_hash") or ""), bool(arguments.get("merge"))
    wanted = Wanted(path, cluster, endpoint, user, authority, merge)
    found = changes(wanted)
    text = str(arguments.get("kubeconfig") or "")
    if found and text and not check:
        apply(wanted, text)
    made = check or bool(text)
    listed = [change.to_json() for change in found]
    return {"changed": bool(found) and made, "changes": listed if made else [], "needed": bool(found)}

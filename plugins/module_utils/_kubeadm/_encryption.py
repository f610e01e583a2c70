# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Encryption at rest: the API server's EncryptionConfiguration, whose key is made here and leaves no control plane.

Further control planes get the key with their credentials to join.  The API server reads the file again by itself.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Subject, Value
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _observe
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._files import write
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

#: JSON, which is YAML: so that it can be read here without a YAML library.
FILE = Path("/etc/kubernetes/weft/encryption.json")
KEY_BYTES = 32
#: How the configuration names every resource of every group.
EVERYTHING = "*.*"


class Encryption(Resource):
    """What is encrypted at rest.

    Spec: resources (["secrets"], as the API names them, with ".group" where there is one), credentials
    (`encryption_keys`; not on the first control plane).
    """

    type: ClassVar[str] = "encryption"

    def __init__(self, spec: Mapping[str, Any], machine: str = "") -> None:
        super().__init__(spec, machine)
        self.written = False

    @property
    def subject(self) -> Subject:
        """One a machine."""
        return Subject(self.type, str(FILE), self.machine)

    def observe(self) -> Value:
        """ABSENT, or {"resources": [...]}: what is written encrypted; with "key": "unknown" where the file may be of
        another cluster, as the machine is in none and makes none."""
        found = load()
        if found is None:
            return ABSENT
        return {"resources": encrypted(found), **({} if self.trusted() else {"key": "unknown"})}

    def trusted(self) -> bool:
        """Whether the key that is there is the one of the cluster that the machine is in, or about to make."""
        membership = _observe.membership()
        return self.written or membership.member or membership.unfinished == "init"

    def desired(self) -> Value:
        """The resources of the inventory."""
        return {"resources": sorted(self.spec["resources"])}

    def apply(self, changes: Sequence[Change]) -> None:
        """Write the file, with the key that is there, that was given, or, on a first control plane, a new one.

        Raises:
            KubeadmError: a joining control plane was given no key.
        """
        FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(FILE, json.dumps(configuration(self.spec["resources"], self.keys()), indent=1) + "\n")
        self.written = True

    def keys(self) -> List[Mapping[str, str]]:
        """The keys, newest first; all can decrypt and the first encrypts.

        Those of the cluster that the machine joins win over what an earlier life of the machine has left.
        """
        found = load()
        given = (self.spec.get("credentials") or {}).get("encryption_keys")
        if given and not (found is not None and self.trusted()):
            return list(given)
        if found is not None:
            return keys_of(found)
        if not self.spec.get("first") or _observe.membership().member:
            raise KubeadmError(
                f"{FILE} is not there and no key was given: a new key could not read what the cluster has encrypted. "
                "Copy the file from another control plane, then apply"
            )
        return [{"name": "key1", "secret": base64.b64encode(os.urandom(KEY_BYTES)).decode()}]


def load() -> Any:
    """The configuration, or None when it is not there.

    Raises:
        KubeadmError: it is there and is not what this collection writes.
    """
    try:
        found = json.loads(FILE.read_text())
        found["resources"][0]["providers"][0]
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise KubeadmError(f"{FILE} cannot be read: {error}; copy it from another control plane, then apply") from error


def encrypted(found: Mapping[str, Any]) -> List[str]:
    """Resources whose first provider encrypts."""
    out: List[str] = []
    for entry in found["resources"]:
        if "identity" not in entry["providers"][0]:
            out += entry["resources"]
    return sorted(out)


def keys_of(found: Mapping[str, Any]) -> List[Mapping[str, str]]:
    """The keys of a configuration."""
    for entry in found["resources"]:
        for provider in entry["providers"]:
            if "secretbox" in provider:
                return list(provider["secretbox"]["keys"])
    return []


def configuration(resources: Sequence[str], keys: Sequence[Mapping[str, str]]) -> Dict[str, Any]:
    """An EncryptionConfiguration (apiserver.config.k8s.io/v1).

    What is not in `resources` is written plainly but can be read either way, so that control planes which read the
    file at different moments understand each other, and a resource may leave the list.
    """
    box = {"secretbox": {"keys": [dict(key) for key in keys]}}
    entries = [{"resources": sorted(resources), "providers": [box, {"identity": {}}]}] if resources else []
    if EVERYTHING not in resources:  # the API server refuses a resource that an earlier entry covers
        entries.append({"resources": [EVERYTHING], "providers": [{"identity": {}}, box]})
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": entries}

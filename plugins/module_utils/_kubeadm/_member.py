# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Membership in a cluster: a machine becomes a control plane or a worker, however far an earlier try came."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _etcd, _observe
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._files import write
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._observe import CONTROL_PLANE, ETC, ETCD, WORKER
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._run import (
    PATH,
    find,
    memory_file,
    path_of,
    run,
    stream,
    tail,
)
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

#: Held by kubeadm for as long as it runs, also when the process that started it was killed.
LOCK = Path("/run/weft-kubeadm.lock")
#: How long another run's kubeadm is waited for, in seconds.
PATIENCE = 600.0
#: How long the endpoint's address stays when nobody takes it over, in seconds.
ADDRESS_LIFETIME = 600
#: Phases of `kubeadm reset` that would ask a cluster which this machine may not reach.
SKIPPED = "remove-etcd-member,preflight"


@contextmanager
def lock(wait: bool = True) -> Iterator[int]:
    """Hold the lock that a running kubeadm holds; yields its descriptor, for the process that shall hold it on.

    Raises:
        KubeadmError: another run's kubeadm did not end within PATIENCE seconds.
    """
    number = os.open(str(LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + (PATIENCE if wait else 0)
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    raise KubeadmError(
                        f"kubeadm of an earlier run still works on this machine ({LOCK} is held); "
                        "wait for it to end, or end it, and run again"
                    ) from None
                time.sleep(0.5)
        yield number
    finally:
        os.close(number)


class Member(Resource):
    """A machine's membership; the two roles differ in what joins.

    Spec: name (of the node), version ("v1.37.2"), config (kubeadm's documents, without secrets), credentials
    (`token`, `ca_cert`, `endpoint`, and `certificate_key` for a control plane; not for the first control plane).
    """

    role: ClassVar[str] = ""

    def observe(self) -> Value:
        """ABSENT, or {"role", "version"}, with "unfinished" when kubeadm did not come to its end.

        Raises:
            KubeadmError: the machine is something else in a cluster, which no join can change.
        """
        with lock():  # an earlier run was killed and its kubeadm works on: what it is about to be counts
            found = _observe.membership()
        if found.state == "none":
            return ABSENT
        if found.unfinished:
            return {"role": found.role or self.role, "unfinished": found.unfinished}
        name = str(self.spec["name"])
        if found.role != self.role:
            raise KubeadmError(
                f"{name} is a {found.role.replace('_', ' ')} and shall be a {self.role.replace('_', ' ')}: take it out "
                "with weft.platform.destroy --limit, then apply"
            )
        if found.name != name:
            raise KubeadmError(
                f"{name} is in the cluster under the name {found.name}: set node_name to it, or take the machine out "
                "with weft.platform.destroy --limit, then apply"
            )
        return {"role": found.role, "version": found.version}

    def desired(self) -> Value:
        """The role at the version of the lock file."""
        return {"role": self.role, "version": str(self.spec["version"])}

    def apply(self, changes: Sequence[Change]) -> None:
        """Join, or finish what an earlier run began.

        Raises:
            KubeadmError: the version differs, credentials are missing, or kubeadm failed.
        """
        with lock() as held:
            found = _observe.membership()
            if found.member:
                self.refuse_version(found)
                if not self.spec.get("credentials"):
                    return
                # It became a member after it was observed, and whoever made the credentials has taken it out again.
                found = replace(found, unfinished="join")
            if found.unfinished == "unknown":
                raise KubeadmError(
                    f"{self.spec['name']}: {ETC} holds parts of a cluster that this collection did not put there; "
                    "run 'kubeadm reset' on the machine if nothing of it is needed, then apply"
                )
            if found.unfinished and not self.resumes(found):
                self.clean()
            self.join(held)

    def refuse_version(self, found: _observe.Membership) -> None:
        """A version moves by `kubeadm upgrade`, in the order that Kubernetes demands, and never by the way.

        Raises:
            KubeadmError: this member has another version than the one that is wanted.
        """
        if found.version != str(self.spec["version"]):
            raise KubeadmError(
                f"{self.spec['name']} runs {found.version or 'an unknown version'} and {self.spec['version']} is "
                "wanted: apply does not move versions, put cluster_kubernetes_version and lock.yml back"
            )

    def resumes(self, found: _observe.Membership) -> bool:
        """Whether an unfinished try is continued rather than started afresh."""
        return False

    def clean(self) -> None:
        """Take away what an unfinished init or join left; called only where nothing of it can hold anyone's data.

        The member that a control plane may have added to etcd is taken out by join_credentials, on a living one.
        """
        run(["kubeadm", "reset", "--force", "--cleanup-tmp-dir", f"--skip-phases={SKIPPED}"], timeout=300)
        for path in ETCD.iterdir() if ETCD.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def join(self, held: int) -> None:
        """Become a member of the cluster that the credentials lead to."""
        documents = deepcopy(list(self.spec["config"]))
        secret = self.credentials()
        with ExitStack() as stack:
            discovery = stack.enter_context(memory_file(json.dumps(discovery_of(secret))))
            join = find(documents, "JoinConfiguration")
            assert isinstance(join, dict)
            join["discovery"] = {"file": {"kubeConfigPath": path_of(discovery)}}
            if self.role == CONTROL_PLANE:
                join.setdefault("controlPlane", {})["certificateKey"] = secret["certificate_key"]
            self.kubeadm("join", documents, [discovery, held])

    def credentials(self) -> Mapping[str, Any]:
        """What lets the machine in.

        Raises:
            KubeadmError: it was not given.
        """
        secret = self.spec.get("credentials") or {}
        wanted = ["token", "ca_cert", "endpoint"] + (["certificate_key"] if self.role == CONTROL_PLANE else [])
        missing = [name for name in wanted if not secret.get(name)]
        if missing:
            raise KubeadmError(
                f"{self.spec['name']} shall join a cluster and has no {', '.join(missing)} for it: run "
                "weft.platform.apply, which asks a control plane for them"
            )
        return dict(secret)

    def kubeadm(self, action: str, documents: Sequence[Mapping[str, Any]], descriptors: List[int]) -> None:
        """Run kubeadm init or join; the marker goes only when it has ended well, whatever becomes of this process.

        Raises:
            KubeadmError: it failed; the marker stays, and the next run finishes or cleans up.
        """
        _observe.MARKER.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(_observe.MARKER, json.dumps({"action": action, "role": self.role}))
        with memory_file(stream(documents)) as config:
            # The shell lives on when this process is killed, and so does the lock, which it inherits.  super-admin.conf
            # is the one identity that the cluster cannot revoke; kubeadm can make it again when it is ever needed.
            # The kubelet's settings are kept from others, as CIS 4.1.9 wants.
            script = 'kubeadm "$1" --config "$2" && { chmod 600 "$5" 2>&- || :; } && rm -f "$3" "$4" && sync'
            unrevocable, settings = str(ETC / "super-admin.conf"), str(_observe.KUBELET / "config.yaml")
            done = subprocess.run(
                ["sh", "-c", script, "sh", action, path_of(config), unrevocable, str(_observe.MARKER), settings],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env={**os.environ, "PATH": PATH, "LC_ALL": "C"},
                pass_fds=(config, *descriptors),
            )
        if done.returncode != 0:
            raise KubeadmError(f"kubeadm {action} failed on {self.spec['name']}:\n{tail(done.stdout)}")


class Worker(Member):
    """A machine that runs pods."""

    type: ClassVar[str] = WORKER
    role: ClassVar[str] = WORKER


class ControlPlane(Member):
    """A machine that runs the API server, the controllers and, unless it is external, etcd.

    Spec, beside Member's: first (true where there is no cluster yet), endpoint ({address, interface}: the address that
    kube-vip moves between control planes, and the interface, "" for the one to the default route; or nothing).
    """

    type: ClassVar[str] = CONTROL_PLANE
    role: ClassVar[str] = CONTROL_PLANE

    def resumes(self, found: _observe.Membership) -> bool:
        """An init whose etcd has begun is continued: nobody can tell from here that its data is worth nothing."""
        return found.unfinished == "init" and self.has_written()

    def has_written(self) -> bool:
        """Whether an init may have written to etcd; to the user's own, from when an API server could start."""
        if _etcd.external(self.spec["config"]):
            return (ETC / "manifests/kube-apiserver.yaml").exists()
        return (ETCD / "member").exists()

    def join(self, held: int) -> None:
        if not self.spec.get("first"):
            super().join(held)
            return
        documents = deepcopy(list(self.spec["config"]))
        if _observe.marker() is None or not self.has_written():
            _etcd.refuse_data_of_others(self.spec["config"])
        else:
            init = find(documents, "InitConfiguration")
            assert isinstance(init, dict)
            ignored = init.setdefault("nodeRegistration", {}).setdefault("ignorePreflightErrors", [])
            init["nodeRegistration"]["ignorePreflightErrors"] = [*ignored, *unfinished_errors(init)]
        self.answer_for_endpoint()
        self.kubeadm("init", documents, [held])

    def answer_for_endpoint(self) -> None:
        """Take the cluster's address for some minutes; an address that nobody takes over goes by itself."""
        endpoint = self.spec.get("endpoint") or {}
        if not endpoint.get("address"):
            return
        interface = endpoint.get("interface") or default_interface()
        life = str(ADDRESS_LIFETIME)
        words = ["ip", "address", "replace", _single(endpoint["address"]), "dev", interface]
        run([*words, "valid_lft", life, "preferred_lft", "0"])

    def clean(self) -> None:
        """As for any member; kube-vip, when it is killed, leaves an address that this machine must not answer for."""
        super().clean()
        endpoint = self.spec.get("endpoint") or {}
        if not endpoint.get("address"):
            return
        for line in run(["ip", "-o", "address", "show", "to", _single(endpoint["address"])]).splitlines():
            run(["ip", "address", "del", _single(endpoint["address"]), "dev", line.split()[1]])


def _single(address: str) -> str:
    """An address alone, as a network."""
    return f"{address}/{128 if ':' in address else 32}"


def default_interface() -> str:
    """The interface to the default route.

    Raises:
        KubeadmError: there is no such route.
    """
    for version in ("-4", "-6"):
        found = re.search(r"\bdev (\S+)", run(["ip", version, "route", "show", "default"]))
        if found:
            return found.group(1)
    raise KubeadmError("there is no default route: set cluster_endpoint_interface")


def unfinished_errors(init: Mapping[str, Any]) -> List[str]:
    """kubeadm's names for finding its own earlier work: files, directories and ports in use."""
    server = (init.get("localAPIEndpoint") or {}).get("bindPort") or 6443
    files = [f"FileAvailable--etc-kubernetes-manifests-{name}.yaml" for name in (*_observe.COMPONENTS, "etcd")]
    ports = [f"Port-{port}" for port in (server, 10250, 10257, 10259, 2379, 2380)]
    return [*files, *ports, "DirAvailable--var-lib-etcd"]


def discovery_of(secret: Mapping[str, Any]) -> Dict[str, Any]:
    """A kubeconfig that leads to the cluster: its address, its authority, and a token that lives minutes.

    kubeadm's other way asks the API server as nobody, which a hardened cluster refuses.
    """
    authority = base64.b64encode(str(secret["ca_cert"]).encode()).decode()
    server = f"https://{secret['endpoint']}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "weft", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "weft", "user": {"token": secret["token"]}}],
        "contexts": [{"name": "weft", "context": {"cluster": "weft", "user": "weft"}}],
        "current-context": "weft",
    }

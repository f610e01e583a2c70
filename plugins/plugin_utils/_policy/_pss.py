# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The Pod Security Standards: privileged, baseline and restricted, as each Kubernetes version defines them.

Source of the rules: the Pod Security Standards page of the Kubernetes documentation, and, for what holds from which
version on, Pod Security admission, whose reasons and details are given in the same words, so that a finding here
reads like the API server's refusal.  Pods are judged as written: no default is filled in that would change a result,
and a value whose type the API would refuse cannot be judged and is refused.

Limits: exemptions by user and runtime class belong to the API server; here a rule selects what it looks at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import (
    CONTAINER_LISTS,
    Malformed,
    each,
    finding,
    metadata_of,
    plural,
    pod_of,
    quoted,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Finding, Job, ObjectAt, PolicyError

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)

#: The newest minor version of Kubernetes 1 whose standards are known here; later ones are judged like it, as Pod
#: Security admission does.
NEWEST = 37

#: Check id of a Pod that cannot be judged.
MALFORMED = "malformed"

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,8})", re.ASCII)
_LABEL = "pod-security.kubernetes.io/"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CAPABILITIES = frozenset(
    _words(
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
        "SYS_CHROOT"
    )
)
_SELINUX_TYPES = {
    0: frozenset(("", "container_t", "container_init_t", "container_kvm_t")),
    31: frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")),
}
_SYSCTLS_ADDED = {
    0: (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: (
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    37: ("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"),
}
_VOLUMES_RESTRICTED = frozenset(
    _words("configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret")
)
#: Other volume sources, in the order in which the first one names the volume's type.
_VOLUMES_OTHER = _words(
    "hostPath gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs rbd flexVolume cinder cephfs flocker "
    "fc azureFile vsphereVolume quobyte azureDisk photonPersistentDisk portworxVolume scaleIO storageos"
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


class PodSecurityError(PolicyError):
    """A level or a version that the Pod Security Standards do not have."""


class Place(NamedTuple):
    """One field that a check objects to, and what is wrong with it."""

    path: Path
    message: str


class Denied(NamedTuple):
    """A check that a Pod does not pass.

    check   the check's id: "privileged", "hostPathVolumes", ...
    reason  in two or three words
    detail  everything the check objects to, in one text
    places  the same field by field; paths from the top of the object, list elements by index
    """

    check: str
    reason: str
    detail: str
    places: tuple[Place, ...]


def parse_level(text: Any) -> str:
    """The level, as given.

    Raises:
        PodSecurityError: it is none of the three.
    """
    if not isinstance(text, str) or text not in LEVELS:
        raise PodSecurityError(f"{text!r} is no level of the Pod Security Standards; write one of {', '.join(LEVELS)}")
    return text


def parse_version(text: Any) -> int:
    """The minor version in "v1.37"; NEWEST for "latest" and for later versions.

    Raises:
        PodSecurityError: it is neither "latest" nor of the form v1.N.
    """
    if text == "latest":
        return NEWEST
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise PodSecurityError(f'{text!r} is no version of the Pod Security Standards; write "latest" or "v1.37"')
    return min(int(match[1]), NEWEST)


def namespace_policy(labels: Mapping[str, Any], level: str, version: str) -> tuple[str, str, list[str]]:
    """What a Namespace's labels enforce.

    Args:
        labels: metadata.labels of the Namespace.
        level: the level where no label says one.
        version: the version where no label says one.

    Returns:
        tuple: level, version, and problems.  A label that cannot be read counts as restricted and latest, as it
        does for the API server.
    """
    problems: list[str] = []
    wanted, at = (labels.get(f"{_LABEL}enforce", level), labels.get(f"{_LABEL}enforce-version", version))
    try:
        level = parse_level(wanted)
    except PodSecurityError as error:
        level = RESTRICTED
        problems.append(f"label {_LABEL}enforce: {error}")
    try:
        parse_version(at)
    except PodSecurityError as error:
        at = "latest"
        problems.append(f"label {_LABEL}enforce-version: {error}")
    return level, str(at), problems


# --- The Pod as the checks see it -------------------------------------------------------------------------------


class _Unfit(Exception):
    """A value of a wrong type; carries its place."""

    def __init__(self, path: Path, wanted: str) -> None:
        super().__init__(wanted)
        self.path = path
        self.wanted = wanted


_NOTHING: Mapping[str, Any] = {}
_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number"}


def _get(parent: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    """parent[key] when it is of that type, None when absent or null.  `path` is the parent's."""
    value = parent.get(key)
    # type(), not isinstance(): true is no number here
    if value is None or type(value) is kind:
        return value
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    raise _Unfit((*path, key), _NAMES[kind])


def _items(parent: Mapping[str, Any], key: str, kind: type, path: Path) -> list[Any]:
    """The list parent[key], each element of that type; [] when absent or null."""
    found = _get(parent, key, list, path)
    if not found:
        return []
    for index, item in enumerate(found):
        if type(item) is not kind:
            raise _Unfit((*path, key, index), _NAMES[kind])
    return list(found)


class _Part:
    """What Pod and container have in common: a name ("" for the Pod), its path and its security context."""

    __slots__ = ("apparmor", "at", "host_process", "name", "non_root", "path", "seccomp", "selinux", "user")

    def __init__(self, name: str, raw: Mapping[str, Any], path: Path) -> None:
        self.name = name
        self.path = path
        self.at = at = (*path, "securityContext")
        context = _get(raw, "securityContext", dict, path) or _NOTHING
        self.user: int | None = _get(context, "runAsUser", int, at)
        self.non_root: bool | None = _get(context, "runAsNonRoot", bool, at)
        self.seccomp = _profile(context, "seccompProfile", at)
        self.apparmor = _profile(context, "appArmorProfile", at)
        self.selinux = _texts(context, "seLinuxOptions", ("type", "user", "role"), at)
        windows = _get(context, "windowsOptions", dict, at) or _NOTHING
        self.host_process: bool | None = _get(windows, "hostProcess", bool, (*at, "windowsOptions"))


class _Container(_Part):
    __slots__ = ("add", "drop", "escalation", "hosts", "ports", "privileged", "proc_mount")

    def __init__(self, raw: Mapping[str, Any], path: Path) -> None:
        super().__init__(_get(raw, "name", str, path) or "", raw, path)
        context, at = raw.get("securityContext") or _NOTHING, self.at
        self.privileged: bool | None = _get(context, "privileged", bool, at)
        self.escalation: bool | None = _get(context, "allowPrivilegeEscalation", bool, at)
        self.proc_mount: str | None = _get(context, "procMount", str, at)
        capabilities = _get(context, "capabilities", dict, at) or _NOTHING
        self.add: list[str] = _items(capabilities, "add", str, (*at, "capabilities"))
        self.drop: list[str] = _items(capabilities, "drop", str, (*at, "capabilities"))
        self.ports: list[tuple[int, int]] = [
            (index, _get(port, "hostPort", int, (*path, "ports", index)) or 0)
            for index, port in enumerate(_items(raw, "ports", dict, path))
        ]
        self.hosts = _hosts(raw, path)


class _Pod(_Part):
    __slots__ = ("annotations", "containers", "metadata_at", "own_users", "spec", "sysctls", "volumes", "windows")

    def __init__(self, metadata: Any, spec: Any, path: Path) -> None:
        both = {"metadata": metadata, "spec": spec}
        meta, self.spec = (_get(both, key, dict, path) or _NOTHING for key in both)
        path_meta, path_spec = (*path, "metadata"), (*path, "spec")
        super().__init__("", self.spec, path_spec)
        found = _get(meta, "annotations", dict, path_meta) or _NOTHING
        # keys that YAML reads as numbers cannot be any that a check looks for
        self.annotations = {key: value for key, value in found.items() if type(key) is str}
        self.metadata_at = (*path_meta, "annotations")
        self.containers = [
            _Container(raw, (*path_spec, name, index))
            for name in CONTAINER_LISTS
            for index, raw in enumerate(_items(self.spec, name, dict, path_spec))
        ]
        self.volumes: list[Mapping[str, Any]] = _items(self.spec, "volumes", dict, path_spec)
        system = _get(self.spec, "os", dict, path_spec) or _NOTHING
        self.windows = _get(system, "name", str, (*path_spec, "os")) == "windows"
        self.own_users = _get(self.spec, "hostUsers", bool, path_spec) is False
        context = self.spec.get("securityContext") or _NOTHING
        self.sysctls = [
            (index, _get(one, "name", str, (*self.at, "sysctls", index)) or "")
            for index, one in enumerate(_items(context, "sysctls", dict, self.at))
        ]
        for key, value in self.annotations.items():
            if type(value) is not str:
                raise _Unfit((*self.metadata_at, key), "a string")

    def parts(self) -> list[_Part]:
        """The Pod itself, then its containers."""
        return [self, *self.containers]


def _profile(context: Mapping[str, Any], key: str, at: Path) -> str | None:
    """The type of a seccomp or AppArmor profile; None where no profile is set, "" for one without a type."""
    found = _get(context, key, dict, at)
    return None if found is None else (_get(found, "type", str, (*at, key)) or "")


def _texts(context: Mapping[str, Any], key: str, fields: tuple[str, ...], at: Path) -> Mapping[str, str]:
    found = _get(context, key, dict, at)
    return {name: _get(found, name, str, (*at, key)) or "" for name in fields} if found else {}


def _hosts(raw: Mapping[str, Any], path: Path) -> list[tuple[Path, str]]:
    """Every host named in the probes and lifecycle hooks of a container."""
    handlers = [(name, _get(raw, name, dict, path), path) for name in _PROBES if name in raw]
    lifecycle = _get(raw, "lifecycle", dict, path) or _NOTHING
    at = (*path, "lifecycle")
    handlers += [(name, _get(lifecycle, name, dict, at), at) for name in _HOOKS if name in lifecycle]
    out: list[tuple[Path, str]] = []
    for name, handler, parent in handlers:
        for action in ("httpGet", "tcpSocket") if handler else ():
            where = (*parent, name, action)
            host = _get(_get(handler, action, dict, where[:-1]) or _NOTHING, "host", str, where)
            if host:
                out.append(((*where, "host"), host))
    return out


# --- What a check says ------------------------------------------------------------------------------------------


class _Bad(NamedTuple):
    """One field that is not as it should be: whose it is, where, and the value that matters."""

    part: _Part
    path: Path
    value: str = ""


_Say = Callable[[Sequence[_Bad]], str]


def _denied(reason: str | Callable[[Sequence[_Bad]], str], *groups: tuple[Sequence[_Bad], _Say]) -> Denied | None:
    """The refusal made of groups of bad fields, or None where there is none.  The check's id is set by evaluate."""
    full = [(bads, say) for bads, say in groups if bads]
    if not full:
        return None
    every = [bad for bads, _say in full for bad in bads]
    return Denied(
        check="",
        reason=reason if isinstance(reason, str) else reason(every),
        detail="; ".join(say(bads) for bads, say in full),
        places=tuple(Place(bad.path, say([bad])) for bads, say in full for bad in bads),
    )


def _values(bads: Iterable[_Bad]) -> list[str]:
    return sorted({bad.value for bad in bads})


def _names(bads: Iterable[_Bad]) -> list[str]:
    """Names of the containers, each once, in the Pod's order."""
    return [part.name for part in {id(bad.part): bad.part for bad in bads}.values() if isinstance(part, _Container)]


def _containers(bads: Sequence[_Bad]) -> str:
    """ "container "a"" or "containers "a", "b"" """
    names = _names(bads)
    return f"{plural('container', 'containers', len(names))} {quoted(names)}"


def _setters(bads: Sequence[_Bad]) -> str:
    """ "pod", "container "a"", or "pod and container "a"" """
    out = ["pod"] if any(isinstance(bad.part, _Pod) for bad in bads) else []
    if _names(bads):
        out.append(_containers(bads))
    return " and ".join(out)


def _context(part: _Part, *field: str) -> Path:
    return (*part.at, *field)


# --- Baseline ---------------------------------------------------------------------------------------------------


def _app_armor(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(part, _context(part, "appArmorProfile", "type"), part.apparmor)
        for part in pod.parts()
        if part.apparmor is not None and part.apparmor not in ("RuntimeDefault", "Localhost")
    ]
    keys = [key for key, value in pod.annotations.items() if key.startswith(_APPARMOR) and _bad_annotation(value)]
    noted = {(*pod.metadata_at, key): f"{key}={_go_quote(pod.annotations[key])}" for key in sorted(keys)}

    def say(found: Sequence[_Bad]) -> str:
        fields = [bad for bad in found if bad.path not in noted]
        notes = [noted[bad.path] for bad in found if bad.path in noted]
        who = [_setters(fields)] if fields else []
        who += [plural("annotation", "annotations", len(notes))] if notes else []
        return f"{' and '.join(who)} must not set AppArmor profile type to {quoted(_values(fields) + notes)}"

    def reason(found: Sequence[_Bad]) -> str:
        count = len({bad.value for bad in found if bad.path not in noted}) + len(noted)
        return plural("forbidden AppArmor profile", "forbidden AppArmor profiles", count)

    return _denied(reason, (bads + [_Bad(pod, path, text) for path, text in noted.items()], say))


def _bad_annotation(profile: str) -> bool:
    return bool(profile) and profile != "runtime/default" and not profile.startswith("localhost/")


def _go_quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _capabilities_baseline(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(one, _context(one, "capabilities", "add"), name)
        for one in pod.containers
        for name in one.add
        if name not in _CAPABILITIES
    ]
    return _denied("non-default capabilities", (bads, _say_capabilities))


def _say_capabilities(bads: Sequence[_Bad]) -> str:
    return f"{_containers(bads)} must not include {quoted(_values(bads))} in securityContext.capabilities.add"


def _host_namespaces(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(pod, (*pod.path, name), f"{name}=true")
        for name in ("hostNetwork", "hostPID", "hostIPC")
        if _get(pod.spec, name, bool, pod.path)
    ]
    return _denied("host namespaces", (bads, lambda found: ", ".join(bad.value for bad in found)))


def _host_path(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(pod, (*pod.path, "volumes", index, "hostPath"), _volume_name(pod, index))
        for index, volume in enumerate(pod.volumes)
        if volume.get("hostPath") is not None
    ]
    return _denied("hostPath volumes", (bads, _say_volumes))


def _say_volumes(bads: Sequence[_Bad]) -> str:
    return f"{plural('volume', 'volumes', len(bads))} {quoted(bad.value for bad in bads)}"


def _volume_name(pod: _Pod, index: int) -> str:
    return str(_get(pod.volumes[index], "name", str, (*pod.path, "volumes", index)) or "")


def _host_ports(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(one, (*one.path, "ports", index, "hostPort"), str(port))
        for one in pod.containers
        for index, port in one.ports
        if port
    ]

    def say(found: Sequence[_Bad]) -> str:
        ports = _values(found)
        uses, noun = (plural("uses", "use", len(_names(found))), plural("hostPort", "hostPorts", len(ports)))
        return f"{_containers(found)} {uses} {noun} {', '.join(ports)}"

    return _denied("hostPort", (bads, say))


def _host_probes(pod: _Pod) -> Denied | None:
    bads = [_Bad(one, path, host) for one in pod.containers for path, host in one.hosts]

    def say(found: Sequence[_Bad]) -> str:
        names, hosts = sorted(set(_names(found))), _values(found)
        noun = plural("probe or lifecycle host", "probe or lifecycle hosts", len(hosts))
        who = f"{plural('container', 'containers', len(names))} {quoted(names)} {plural('uses', 'use', len(names))}"
        return f"{who} {noun} {quoted(hosts)}"

    return _denied("probe or lifecycle host", (bads, say))


def _privileged(pod: _Pod) -> Denied | None:
    bads = [_Bad(one, _context(one, "privileged")) for one in pod.containers if one.privileged]
    return _denied(
        "privileged", (bads, lambda found: f"{_containers(found)} must not set securityContext.privileged=true")
    )


def _proc_mount(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(one, _context(one, "procMount"), one.proc_mount)
        for one in pod.containers
        if one.proc_mount is not None and one.proc_mount != "Default"
    ]

    def say(found: Sequence[_Bad]) -> str:
        return f"{_containers(found)} must not set securityContext.procMount to {quoted(_values(found))}"

    return _denied("procMount", (bads, say))


def _selinux(allowed: frozenset[str]) -> Callable[[_Pod], Denied | None]:
    def check(pod: _Pod) -> Denied | None:
        bads: list[_Bad] = []
        for part in pod.parts():
            for field, value in part.selinux.items():
                if value not in allowed if field == "type" else value:
                    bads.append(_Bad(part, _context(part, "seLinuxOptions", field), value))
        return _denied("seLinuxOptions", (bads, _say_selinux))

    return check


def _say_selinux(bads: Sequence[_Bad]) -> str:
    types = _values(bad for bad in bads if bad.path[-1] == "type")
    data = [f"{plural('type', 'types', len(types))} {quoted(types)}"] if types else []
    for field in ("user", "role"):
        if any(bad.path[-1] == field for bad in bads):
            data.append(f"{field} may not be set")
    return f"{_setters(bads)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"


def _seccomp_annotations(pod: _Pod) -> Denied | None:
    """Before 1.19 the profile was an annotation."""
    keys = {_SECCOMP_POD, *(_SECCOMP_CONTAINER + one.name for one in pod.containers)}
    bads = [
        _Bad(pod, (*pod.metadata_at, key), f"{key}={_go_quote(value)}")
        for key, value in sorted(pod.annotations.items())
        if key in keys and value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    ]

    def say(found: Sequence[_Bad]) -> str:
        return f"forbidden {plural('annotation', 'annotations', len(found))} {', '.join(_values(found))}"

    return _denied("seccompProfile", (bads, say))


def _bad_seccomp(pod: _Pod) -> list[_Bad]:
    return [
        _Bad(part, _context(part, "seccompProfile", "type"), part.seccomp)
        for part in pod.parts()
        if part.seccomp is not None and part.seccomp not in ("RuntimeDefault", "Localhost")
    ]


def _say_seccomp(bads: Sequence[_Bad]) -> str:
    return f"{_setters(bads)} must not set securityContext.seccompProfile.type to {quoted(_values(bads))}"


def _seccomp_baseline(pod: _Pod) -> Denied | None:
    return _denied("seccompProfile", (_bad_seccomp(pod), _say_seccomp))


def _sysctls(allowed: frozenset[str]) -> Callable[[_Pod], Denied | None]:
    def check(pod: _Pod) -> Denied | None:
        bads = [
            _Bad(pod, (*_context(pod, "sysctls"), index, "name"), name)
            for index, name in pod.sysctls
            if name not in allowed
        ]
        return _denied("forbidden sysctls", (bads, lambda found: ", ".join(bad.value for bad in found)))

    return check


def _windows_host_process(pod: _Pod) -> Denied | None:
    bads = [_Bad(part, _context(part, "windowsOptions", "hostProcess")) for part in pod.parts() if part.host_process]

    def say(found: Sequence[_Bad]) -> str:
        return f"{_setters(found)} must not set securityContext.windowsOptions.hostProcess=true"

    return _denied("hostProcess", (bads, say))


# --- Restricted -------------------------------------------------------------------------------------------------


def _escalation(pod: _Pod) -> Denied | None:
    bads = [
        _Bad(one, _context(one, "allowPrivilegeEscalation")) for one in pod.containers if one.escalation is not False
    ]

    def say(found: Sequence[_Bad]) -> str:
        return f"{_containers(found)} must set securityContext.allowPrivilegeEscalation=false"

    return _denied("allowPrivilegeEscalation != false", (bads, say))


def _capabilities_restricted(pod: _Pod) -> Denied | None:
    keeping = [_Bad(one, _context(one, "capabilities", "drop")) for one in pod.containers if "ALL" not in one.drop]
    adding = [
        _Bad(one, _context(one, "capabilities", "add"), name)
        for one in pod.containers
        for name in one.add
        if name != "NET_BIND_SERVICE"
    ]

    def say(found: Sequence[_Bad]) -> str:
        return f'{_containers(found)} must set securityContext.capabilities.drop=["ALL"]'

    return _denied("unrestricted capabilities", (keeping, say), (adding, _say_capabilities))


def _volumes(pod: _Pod) -> Denied | None:
    bads: list[_Bad] = []
    types: dict[Path, str] = {}
    for index, volume in enumerate(pod.volumes):
        at = (*pod.path, "volumes", index)
        sources = [key for key, value in volume.items() if value is not None and key != "name"]
        for key in sources:
            _get(volume, key, dict, at)
        # a volume without a source is an emptyDir: the API server fills that in before it judges
        if not sources or _VOLUMES_RESTRICTED.intersection(sources):
            continue
        source = next((name for name in _VOLUMES_OTHER if name in sources), "")
        path = (*at, source) if source else at
        types[path] = source or "unknown"
        bads.append(_Bad(pod, path, _volume_name(pod, index)))

    def say(found: Sequence[_Bad]) -> str:
        kinds = sorted({types[bad.path] for bad in found})
        noun = plural("restricted volume type", "restricted volume types", len(kinds))
        return f"{_say_volumes(found)} {plural('uses', 'use', len(found))} {noun} {quoted(kinds)}"

    return _denied("restricted volume types", (bads, say))


def _non_root(pod: _Pod) -> Denied | None:
    explicit = [_Bad(part, _context(part, "runAsNonRoot")) for part in pod.parts() if part.non_root is False]
    implicit = [_Bad(one, _context(one, "runAsNonRoot")) for one in pod.containers if one.non_root is None]

    def say_explicit(found: Sequence[_Bad]) -> str:
        return f"{_setters(found)} must not set securityContext.runAsNonRoot=false"

    def say_implicit(found: Sequence[_Bad]) -> str:
        return f"pod or {_containers(found)} must set securityContext.runAsNonRoot=true"

    if explicit:
        return _denied("runAsNonRoot != true", (explicit, say_explicit))
    return _denied("runAsNonRoot != true", ([] if pod.non_root else implicit, say_implicit))


def _run_as_user(pod: _Pod) -> Denied | None:
    bads = [_Bad(part, _context(part, "runAsUser")) for part in pod.parts() if part.user == 0]
    return _denied("runAsUser=0", (bads, lambda found: f"{_setters(found)} must not set runAsUser=0"))


def _seccomp_restricted(pod: _Pod) -> Denied | None:
    explicit = _bad_seccomp(pod)
    if explicit:
        return _denied("seccompProfile", (explicit, _say_seccomp))
    implicit = [_Bad(one, _context(one, "seccompProfile", "type")) for one in pod.containers if one.seccomp is None]

    def say(found: Sequence[_Bad]) -> str:
        kinds = quoted(("RuntimeDefault", "Localhost")).replace(", ", " or ")
        return f"pod or {_containers(found)} must set securityContext.seccompProfile.type to {kinds}"

    return _denied("seccompProfile", (implicit if pod.seccomp is None else [], say))


# --- Which check holds from which version on --------------------------------------------------------------------

_Check = Callable[[_Pod], Denied | None]


class _Since(NamedTuple):
    """A check from a minor version on, and the baseline check that it takes the place of."""

    minor: int
    check: _Check
    instead_of: str = ""


def _not_on_windows(check: _Check) -> _Check:
    return lambda pod: None if pod.windows else check(pod)


def _not_with_own_users(check: _Check) -> _Check:
    """Root in a user namespace is nobody on the host."""
    return lambda pod: None if pod.own_users else check(pod)


def _sysctls_since(minor: int) -> _Check:
    names = (name for since, added in _SYSCTLS_ADDED.items() if since <= minor for name in added)
    return _sysctls(frozenset(names))


_CHECKS: Mapping[str, Mapping[str, tuple[_Since, ...]]] = {
    BASELINE: {
        "appArmorProfile": (_Since(0, _app_armor),),
        "capabilities_baseline": (_Since(0, _capabilities_baseline),),
        "hostNamespaces": (_Since(0, _host_namespaces),),
        "hostPathVolumes": (_Since(0, _host_path),),
        "hostPorts": (_Since(0, _host_ports),),
        "hostProbesAndHostLifecycle": (_Since(34, _host_probes),),
        "privileged": (_Since(0, _privileged),),
        "procMount": (_Since(0, _proc_mount), _Since(35, _not_with_own_users(_proc_mount))),
        "seLinuxOptions": tuple(_Since(minor, _selinux(types)) for minor, types in _SELINUX_TYPES.items()),
        "seccompProfile_baseline": (_Since(0, _seccomp_annotations), _Since(19, _seccomp_baseline)),
        "sysctls": tuple(_Since(minor, _sysctls_since(minor)) for minor in _SYSCTLS_ADDED),
        "windowsHostProcess": (_Since(0, _windows_host_process),),
    },
    RESTRICTED: {
        "allowPrivilegeEscalation": (_Since(8, _escalation), _Since(25, _not_on_windows(_escalation))),
        "capabilities_restricted": (
            _Since(22, _capabilities_restricted, "capabilities_baseline"),
            _Since(25, _not_on_windows(_capabilities_restricted), "capabilities_baseline"),
        ),
        "procMount_restricted": (_Since(35, _proc_mount, "procMount"),),
        "restrictedVolumes": (_Since(0, _volumes, "hostPathVolumes"),),
        "runAsNonRoot": (_Since(0, _non_root), _Since(35, _not_with_own_users(_non_root))),
        "runAsUser": (_Since(23, _run_as_user), _Since(35, _not_with_own_users(_run_as_user))),
        "seccompProfile_restricted": (
            _Since(19, _seccomp_restricted, "seccompProfile_baseline"),
            _Since(25, _not_on_windows(_seccomp_restricted), "seccompProfile_baseline"),
        ),
    },
}


def _in_force(level: str, minor: int) -> list[tuple[str, _Since]]:
    """The checks of one level, without what it inherits, at a minor version."""
    out: list[tuple[str, _Since]] = []
    for name, history in _CHECKS[level].items():
        fitting = [since for since in history if since.minor <= minor]
        if fitting:
            out.append((name, fitting[-1]))
    return out


_SUITES: dict[tuple[str, int], list[tuple[str, _Check]]] = {}


def _suite(level: str, minor: int) -> list[tuple[str, _Check]]:
    """All checks of a level at a version, in order; made once."""
    found = _SUITES.get((level, minor))
    if found is None:
        own = _in_force(RESTRICTED, minor) if level == RESTRICTED else []
        replaced = {since.instead_of for _name, since in own}
        inherited = [(name, since) for name, since in _in_force(BASELINE, minor) if name not in replaced]
        found = [(name, since.check) for name, since in inherited + own]
        _SUITES[level, minor] = found
    return found


def checks(level: str, version: str = "latest") -> list[str]:
    """Ids of the checks that a level makes at a version; [] for privileged.

    Raises:
        PodSecurityError: there is no such level or version.
    """
    minor = parse_version(version)
    return [] if parse_level(level) == PRIVILEGED else [name for name, _check in _suite(level, minor)]


def evaluate_pod(metadata: Any, spec: Any, level: str, version: str = "latest", path: Path = ()) -> list[Denied]:
    """Judge a Pod, or a Pod's template.

    Args:
        metadata: the Pod's metadata (for its annotations), or None.
        spec: the Pod's spec.
        level: "privileged", "baseline" or "restricted".
        version: "latest" or "v1.N".
        path: where the Pod sits in its object; comes before every path in the answer.

    Returns:
        list: one Denied for each check that it does not pass; [] when it passes.

    Raises:
        PodSecurityError: there is no such level or version.
    """
    minor = parse_version(version)
    if parse_level(level) == PRIVILEGED:
        return []
    try:
        pod = _Pod(metadata, spec, path)
        found = [(name, check(pod)) for name, check in _suite(level, minor)]
    except _Unfit as unfit:
        return [_malformed(unfit.path, unfit.wanted)]
    return [denied._replace(check=name) for name, denied in found if denied is not None]


def _malformed(path: Path, wanted: str) -> Denied:
    what = f"{'.'.join(map(str, path))} must be {wanted}"
    return Denied(MALFORMED, "cannot be judged", what, (Place(path, what),))


def evaluate(obj: Mapping[str, Any], level: str, version: str = "latest") -> list[Denied]:
    """Judge an object of any kind; kinds that make no Pods pass.

    Raises:
        PodSecurityError: there is no such level or version.
    """
    pod = pod_of(obj)
    if pod is None:
        parse_version(version)
        parse_level(level)
        return []
    if isinstance(pod, Malformed):
        return [] if parse_level(level) == PRIVILEGED else [_malformed(pod.path, "an object")]
    return evaluate_pod(pod.metadata, pod.spec, level, version, pod.path)


# --- The door for rules -----------------------------------------------------------------------------------------

_FROM_NAMESPACE = "namespace"
_KEYS = ("level", "version", "default")


def problems(name: str, params: Any) -> list[str]:
    """What is wrong with the parameters of a rule.

    A rule says `pss: restricted`, or `pss: {level: restricted, version: v1.37}`.  `level: namespace` takes level and
    version from the labels of the Namespace in the repository, `default` where there is none.
    """
    if isinstance(params, str):
        params = {"level": params}
    if not isinstance(params, dict):
        return [f"{name}: write a level ({', '.join(LEVELS)}), or level and version"]
    out = [f"{name}: {key!r} is not known; {', '.join(_KEYS)} are" for key in params if key not in _KEYS]
    if "level" not in params:
        out.append(f"{name}: level is missing; write one of {', '.join((*LEVELS, _FROM_NAMESPACE))}")
    if params.get("level") == _FROM_NAMESPACE:
        params = {**params, "level": params.get("default", RESTRICTED)}
    elif "default" in params:
        out.append(f"{name}: default is for level: {_FROM_NAMESPACE} only")
    for key, parse in (("level", parse_level), ("version", parse_version)):
        try:
            parse(params.get(key, "latest" if key == "version" else RESTRICTED))
        except PodSecurityError as error:
            out.append(f"{name}: {error}")
    return out


class _Wanted(NamedTuple):
    """Level and version for an object, and what is wrong with where they come from."""

    level: str
    version: str
    problems: Sequence[str] = ()


def check(jobs: Sequence[Job]) -> list[list[Finding]]:
    """Judge every job's objects; "latest", and in a label a later one, means the version of the cluster if it is known.

    Raises:
        PodSecurityError: a job's parameters are wrong.
        ContentError: a job's time is over.
    """
    namespaces: dict[int, Mapping[str, Mapping[str, Any]]] = {}

    def judge(job: Job, at: ObjectAt) -> list[Finding]:
        wanted = _wanted(job, at, namespaces)
        out = [finding(job, at, (), f"namespace of the object: {text}") for text in wanted.problems]
        for denied in evaluate(at.object, wanted.level, wanted.version):
            title = f'violates Pod Security "{wanted.level}:{wanted.version}": {denied.reason}'
            out += [finding(job, at, place.path, f"{title}: {place.message}") for place in denied.places]
        return out

    return each(jobs, judge)


def _wanted(job: Job, at: ObjectAt, cache: dict[int, Mapping[str, Mapping[str, Any]]]) -> _Wanted:
    params = {"level": job.params} if isinstance(job.params, str) else job.params
    level, version = params["level"], params.get("version", "latest")
    found: list[str] = []
    if level == _FROM_NAMESPACE:
        if id(job) not in cache:
            cache[id(job)] = _namespace_labels(job)
        labels = cache[id(job)].get(str(metadata_of(at.object).get("namespace") or "default"), {})
        level, version, found = namespace_policy(labels, params.get("default", RESTRICTED), version)
    cluster = cluster_version(job.context.version)
    # what a label asks of an older API server, that one does as well as it can
    if version == "latest" or (params["level"] == _FROM_NAMESPACE and parse_version(version) > parse_version(cluster)):
        version = cluster
    return _Wanted(level, version, found)


def cluster_version(text: str) -> str:
    """The standards' version that "latest" means on a cluster: "v1.36" for "1.36.3"; "latest" when it is not known."""
    match = re.match(r"v?1\.([0-9]{1,9})(\.|$)", text, re.ASCII)
    return f"v1.{int(match[1])}" if match else "latest"


def _namespace_labels(job: Job) -> Mapping[str, Mapping[str, Any]]:
    out: dict[str, Mapping[str, Any]] = {}
    for at in job.context.objects():
        if at.object.get("kind") == "Namespace" and at.object.get("apiVersion") == "v1":
            meta = metadata_of(at.object)
            labels = meta.get("labels")
            out[str(meta.get("name"))] = labels if isinstance(labels, dict) else {}
    return out

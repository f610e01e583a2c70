# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a machine should have: the resource list of one machine, from its variables, the cluster and the lock file.

Pure functions: no machine is asked and nothing is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _containerd, _kubeadm, _units

Spec = dict[str, Any]

CONTROL_PLANE = "control_plane"
WORKER = "worker"

#: Kernel modules every node needs (Kubernetes "Container Runtimes"; flannel's VXLAN backend).
KERNEL_MODULES = ("overlay", "br_netfilter")
PLUGIN_MODULES = {"kube-router": ("vxlan", "ip_set", "xt_set"), "flannel": ("vxlan",), "none": ()}

#: Kernel settings every node needs.  The last six are what kubelet's protectKernelDefaults expects
#: (k8s.io/component-helpers/node/util/sysctl; CIS Kubernetes Benchmark 4.2.6).
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
}

#: Programs that kubeadm (its preflight), kubelet (port-forward) and kube-router call, by package manager.
PACKAGES = (
    {"name": "conntrack", "apt": "conntrack", "dnf": "conntrack-tools"},
    {"name": "ethtool", "apt": "ethtool", "dnf": "ethtool"},
    {"name": "iptables", "apt": "iptables", "dnf": "iptables-nft"},
    {"name": "socat", "apt": "socat", "dnf": "socat"},
    {"name": "libseccomp", "apt": "libseccomp2", "dnf": "libseccomp"},
)

#: Ports others connect to (Kubernetes "Ports and Protocols"; flannel's VXLAN port), beside the API's and etcd's.
PORTS = {
    CONTROL_PLANE: ("10250/tcp", "10256/tcp"),
    WORKER: ("10250/tcp", "10256/tcp", "30000-32767/tcp", "30000-32767/udp"),
}
ETCD_PORTS = (2379, 2380)
#: Ports that must be free, beside these (kubeadm/app/preflight).
OWN_PORTS = {CONTROL_PLANE: (10250, 10257, 10259), WORKER: (10250,)}
PLUGIN_PORTS = {"kube-router": ("8472/udp",), "flannel": ("8472/udp",), "none": ()}

#: Under this name, which no machine can have, a machine says whether it reaches a load balancer.
ENDPOINT = "cluster_endpoint"

#: Files a running unit was started with; one newer than the unit means that a restart is owed.
CONTAINERD_FILES = (_containerd.CONFIG, _units.CONTAINERD_UNIT, _units.CONTAINERD_PROXY, "/usr/local/bin/containerd")
KUBELET_FILES = (_units.KUBELET_UNIT, _units.KUBELET_CONFIG, "/usr/local/bin/kubelet")


@dataclass(frozen=True)
class Machine:
    """One machine of the inventory.

    settings  the collection's variables for it (plugin_utils/_settings)
    """

    name: str
    role: str
    settings: Mapping[str, Any]

    @property
    def node_name(self) -> str:
        """Its name in Kubernetes."""
        return str(self.settings["node_name"])

    @property
    def address(self) -> str:
        """The address by which others reach it."""
        return str(self.settings["node_address"])

    @property
    def has_etcd(self) -> bool:
        """Whether a member of etcd runs on it."""
        return self.role == CONTROL_PLANE and not self.settings["cluster_etcd"].get("endpoints")


def image(lock: Mapping[str, Any], name: str) -> str:
    """Reference of an image of the lock file by its short name.

    Raises:
        KeyError: the lock file does not name it.
    """
    for entry in lock["images"]:
        if entry["name"] == name:
            return str(entry["ref"])
    raise KeyError(f"lock.yml names no image {name!r}; make it anew with weft.platform.lock")


def resources(machine: Machine, lock: Mapping[str, Any], first: bool) -> list[Spec]:
    """Everything a machine should have, in the order in which it can be made, each with its stage.

    Args:
        lock: the lock file.
        first: whether a control plane that is no member yet makes the cluster rather than joins it.
    """
    version = str(lock["kubernetes"])
    if machine.role == CONTROL_PLANE:
        images = {entry["name"]: entry["ref"] for entry in lock["images"]}
        member = _kubeadm.control_plane(machine.settings, version, images, first)
    else:
        member = _kubeadm.worker(machine.settings, version)
    if machine.has_etcd:
        # kubeadm makes it so, but not where it is there already, as a disk of its own is (CIS 1.1.11).
        member = [{"type": "directory", "stage": "prepare", "path": "/var/lib/etcd", "mode": "0700"}, *member]
    early = [spec for spec in member if spec["stage"] == "prepare"]
    late = [spec for spec in member if spec["stage"] == "member"]
    return [*({**spec, "stage": "prepare"} for spec in [*prepare(machine, lock), *early, _kubelet_running()]), *late]


def prepare(machine: Machine, lock: Mapping[str, Any]) -> list[Spec]:
    """What a machine needs before it joins: kernel, packages, binaries, container runtime, kubelet's unit, images."""
    return [
        *_kernel(machine),
        *_packages(machine),
        *_binaries(machine, lock),
        *_container_runtime(machine, lock),
        *_kubelet_unit(),
        *_firewall(machine),
        *_images(machine, lock),
    ]


def _kernel(machine: Machine) -> list[Spec]:
    modules = [*KERNEL_MODULES, *PLUGIN_MODULES[machine.settings["network_plugin"]]]
    modules += [name for name in machine.settings["node_kernel_modules"] if name not in modules]
    sysctls = {**SYSCTLS, **{name: str(value) for name, value in machine.settings["node_sysctls"].items()}}
    lines = "".join(f"{name} = {value}\n" for name, value in sysctls.items())
    return [
        {"type": "file", "path": "/etc/modules-load.d/90-kubernetes.conf", "content": "\n".join(modules) + "\n"},
        *({"type": "kernel_module", "name": name} for name in modules),
        {"type": "file", "path": "/etc/sysctl.d/90-kubernetes.conf", "content": lines},
        *({"type": "sysctl", "name": name, "value": value} for name, value in sysctls.items()),
        {"type": "unwanted", "kind": "sysctl"},
        {"type": "unwanted", "kind": "swap"} if machine.settings["node_swap"] else {"type": "swap", "enabled": False},
    ]


def _packages(machine: Machine) -> list[Spec]:
    own = [{"name": name, "apt": name, "dnf": name} for name in machine.settings["node_packages"]]
    return [{"type": "package", **package} for package in [*PACKAGES, *own]]


def _binaries(machine: Machine, lock: Mapping[str, Any]) -> list[Spec]:
    restarted = {"/usr/local/bin/containerd": ["containerd.service"], "/usr/local/bin/kubelet": ["kubelet.service"]}
    out: list[Spec] = []
    for binary in lock["binaries"]:
        if machine.role not in binary["roles"]:
            continue
        spec = {"type": "binary", "path": binary["path"], "sha256": binary["sha256"], "mode": "0755"}
        spec["url"] = _binary_url(binary, machine.settings)
        proxy = _units.proxy_for(spec["url"], machine.settings["node_proxy"], _direct(machine))
        if proxy:
            spec["proxy"] = proxy
        if binary.get("member") and machine.settings["artifacts_source"] != "bundle":
            spec["archive"] = {"sha256": binary["archive_sha256"], "member": binary["member"]}
        if binary["path"] in restarted:
            spec["notify"] = restarted[binary["path"]]
        out.append(spec)
    return out


def _binary_url(binary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if settings["artifacts_source"] == "bundle":
        return f"http://{settings['artifacts_registry']}/v2/weft/binaries/blobs/sha256:{binary['sha256']}"
    url = str(binary["url"])
    if settings["artifacts_source"] == "mirror":
        for base, mirror in settings["artifacts_mirror"].items():
            if url.startswith(base):
                return str(mirror).rstrip("/") + "/" + url[len(base) :].lstrip("/")
    return url


def _container_runtime(machine: Machine, lock: Mapping[str, Any]) -> list[Spec]:
    settings, notify = machine.settings, ["containerd.service"]
    proxy = _units.proxy(settings["node_proxy"], _direct(machine))
    return [
        {"type": "directory", "path": "/etc/containerd", "mode": "0755"},
        {
            "type": "file",
            "path": _containerd.CONFIG,
            "content": _containerd.config(image(lock, "pause"), settings["containerd_config"]),
            "notify": notify,
        },
        *_containerd.registry_hosts(settings["containerd_registries"]),
        # A registry that left may have had credentials once.
        {"type": "unwanted", "name": _containerd.HOSTS, "secret": True},
        {"type": "file", "path": "/etc/crictl.yaml", "content": f"runtime-endpoint: {_containerd.SOCKET}\n"},
        {"type": "directory", "path": "/etc/cni/net.d", "mode": "0700"},
        {"type": "file", "path": _units.CONTAINERD_UNIT, "content": _units.containerd(), "notify": notify},
        {
            "type": "file",
            "path": _units.CONTAINERD_PROXY,
            "content": proxy,
            "state": "present" if proxy else "absent",
            "notify": notify,
            # A proxy's address may hold a password.
            **({"mode": "0600", "secret": True} if "@" in proxy else {}),
        },
        {
            "type": "unit",
            "name": "containerd.service",
            "enabled": True,
            "running": True,
            "config": list(CONTAINERD_FILES),
        },
    ]


def _direct(machine: Machine) -> list[str]:
    """What no proxy can reach or should see: the cluster itself, and a registry that serves the bundle.

    CNI plugins inherit containerd's environment, and some ask the API server.
    """
    settings = machine.settings
    names = ["localhost", "127.0.0.1", machine.address, settings["cluster_endpoint"]]
    names += [
        settings["cluster_pod_cidr"],
        settings["cluster_service_cidr"],
        ".svc",
        f".{settings['cluster_dns_domain']}",
    ]
    return [*names, settings["artifacts_registry"].rpartition(":")[0] or settings["artifacts_registry"]]


def _kubelet_unit() -> list[Spec]:
    notify = ["kubelet.service"]
    return [
        {"type": "file", "path": _units.KUBELET_UNIT, "content": _units.kubelet(), "notify": notify},
        {"type": "directory", "path": "/etc/kubernetes", "mode": "0755"},
        {"type": "directory", "path": _units.KUBELET_CONFIG_DIR, "mode": "0700"},
    ]


def _kubelet_running() -> Spec:
    return {
        "type": "unit",
        "name": "kubelet.service",
        "enabled": True,
        "running": True,
        # There is nothing to run before kubeadm has written it, and kubeadm starts it then.
        "when_exists": "/var/lib/kubelet/config.yaml",
        "config": list(KUBELET_FILES),
    }


def _firewall(machine: Machine) -> list[Spec]:
    if not machine.settings["node_firewall"]:
        return [{"type": "unwanted", "kind": "firewall"}]
    ports = [*PORTS[machine.role], *PLUGIN_PORTS[machine.settings["network_plugin"]]]
    if machine.has_etcd:
        ports.insert(0, f"{ETCD_PORTS[0]}-{ETCD_PORTS[1]}/tcp")
    if machine.role == CONTROL_PLANE:
        ports.insert(0, f"{machine.settings['cluster_endpoint_port']}/tcp")
        if machine.settings["cluster_endpoint_port"] != 6443:
            ports.insert(0, "6443/tcp")
    # Pods of other machines come with their own addresses.
    return [{"type": "firewall", "ports": ports, "sources": [machine.settings["cluster_pod_cidr"]]}]


def _images(machine: Machine, lock: Mapping[str, Any]) -> list[Spec]:
    return [
        {
            "type": "image",
            "ref": entry["ref"],
            "digest": entry["digest"],
            **_image_source(entry["ref"], machine.settings),
        }
        for entry in lock["images"]
        if machine.role in entry["roles"] and _wanted(entry["name"], machine.settings)
    ]


def _image_source(ref: str, settings: Mapping[str, Any]) -> Spec:
    """Where an image is pulled from: {source: repository with its registry, plain: whether by HTTP}."""
    repository = ref.rsplit(":", 1)[0]
    if settings["artifacts_source"] == "bundle":
        host, path = repository.split("/", 1)
        # The bundle's registry holds every upstream registry below its host name, where a colon is not allowed.
        return {"source": f"{settings['artifacts_registry']}/{host.replace(':', '_')}/{path}", "plain": True}
    if settings["artifacts_source"] == "mirror":
        for base, mirror in settings["artifacts_mirror"].items():
            if f"{repository}/".startswith(f"{base.rstrip('/')}/"):
                return {"source": str(mirror).rstrip("/") + repository[len(base.rstrip("/")) :], "plain": False}
    return {"source": repository, "plain": False}


def _wanted(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the settings use an image that only one choice needs."""
    plugin = settings["network_plugin"]
    if name in ("flannel", "flannel-cni-plugin"):
        return plugin in ("flannel", "kube-router")
    if name == "kube-router":
        return bool(plugin == "kube-router")
    if name == "kube-vip":
        return bool(settings["cluster_endpoint_provider"] == "kube-vip")
    return not (name == "etcd" and settings["cluster_etcd"].get("endpoints"))


def preflight(machine: Machine, lock: Mapping[str, Any], control_planes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What to check on a machine before anything is changed.

    Args:
        control_planes: {name, address} of each; every machine must reach them.
    """
    wanted = machine.settings["node_preflight"]
    api, etcd = [_kubeadm.api_port(machine.settings)], list(ETCD_PORTS if machine.has_etcd else ())
    peers = [
        {"name": peer["name"], "address": peer["address"], "ports": [*api, *etcd]}
        for peer in control_planes
        if peer["name"] != machine.name
    ]
    if machine.settings["cluster_endpoint_provider"] == "external" and machine.settings["cluster_endpoint"]:
        port = int(machine.settings["cluster_endpoint_port"])
        peers.append({"name": ENDPOINT, "address": machine.settings["cluster_endpoint"], "ports": [port]})
    return {
        **wanted,
        "role": machine.role,
        "architecture": lock["architecture"],
        # The kernel that kube-proxy's nftables mode asks for (Kubernetes "Virtual IPs and Service Proxies").
        "kernel": "5.13" if machine.settings["proxy_mode"] == "nftables" else "",
        "ports": [*(api if machine.role == CONTROL_PLANE else ()), *etcd, *OWN_PORTS[machine.role]],
        "peers": peers,
        "cgroup_v1": machine.settings["node_kubelet_config"].get("failCgroupV1") is False,
    }

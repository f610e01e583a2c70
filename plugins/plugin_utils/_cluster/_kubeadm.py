# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""From an inventory's variables to what kubeadm, the kubelet and the API server read: pure functions.

`variables` are those of one machine, complete with their defaults, under the names of the argument specs.
The hardening follows the CIS Kubernetes Benchmark; docs/hardening.md says check by check what is met.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import yaml

Variables = Mapping[str, Any]
Document = dict[str, Any]
Spec = dict[str, Any]

#: Port on which every control plane's API server listens, unless the cluster's address is one of theirs.
API_PORT = 6443
#: Everything of ours that the API server reads; root only.
FOLDER = "/etc/kubernetes/weft"
PATCHES = f"{FOLDER}/patches"
MANIFESTS = "/etc/kubernetes/manifests"
KUBELET_FOLDER = "/etc/kubernetes/kubelet.conf.d"
AUDIT_FOLDER = "/var/log/kubernetes/audit"
SOCKET = "unix:///run/containerd/containerd.sock"

#: TLS 1.2 suites with forward secrecy and authenticated encryption; TLS 1.3's cannot be chosen and are all good.
CIPHERS = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
_TLS: Mapping[str, str] = {"tls-cipher-suites": ",".join(CIPHERS), "tls-min-version": "VersionTLS12"}

#: How long kubeadm waits for what takes seconds on a sound machine.
_TIMEOUTS: Mapping[str, str] = {
    "controlPlaneComponentHealthCheck": "2m30s",
    "discovery": "2m0s",
    "kubeletHealthCheck": "2m0s",
    "tlsBootstrap": "2m30s",
}

#: Who may ask without saying who they are: the probes that kubeadm and load balancers send, and nobody else.
ANONYMOUS_PATHS = ("/livez", "/readyz", "/healthz")


def control_plane(variables: Variables, version: str, images: Mapping[str, str], first: bool) -> list[Spec]:
    """Resources that make a machine a control plane, in the order in which they are applied.

    Args:
        variables: of the machine.
        version: Kubernetes version of the lock file, "v1.37.2".
        images: image references by name ("etcd", "kube-vip").
        first: whether no cluster is there yet and this machine makes it.
    """
    init = init_documents(variables, version, images)
    member: Spec = {
        "type": "control_plane",
        "stage": "member",
        "name": variables["node_name"],
        "version": version,
        "first": first,
        "config": init if first else [join_document(variables, control_plane=True)],
    }
    vip = _vip(variables)
    if vip:
        member["endpoint"] = {"address": vip, "interface": variables["cluster_endpoint_interface"]}
    out = [
        _directory(FOLDER),
        _directory(AUDIT_FOLDER),
        _directory(PATCHES),
        _file(f"{FOLDER}/authentication.yaml", dump(authentication(variables)), stage="member"),
        *(_file(path, text, stage="member") for path, text in read_once(variables).values()),
        *_external_etcd_files(variables),
        {"type": "patches", "stage": "member", "name": PATCHES, "files": patches(variables)},
        kubelet_file(variables),
        {
            "type": "encryption",
            "stage": "member",
            "name": "encryption",
            "resources": list(variables["cluster_encryption_resources"]),
            "first": first,
        },
        member,
    ]
    if vip:
        pod = dump(kube_vip(variables, images["kube-vip"]))
        out.append(_file(f"{MANIFESTS}/kube-vip.yaml", pod, stage="member"))
    out.append({"type": "unwanted", "stage": "member", "name": MANIFESTS})
    out.append(
        {
            "type": "certificates",
            "stage": "member",
            "name": "control-plane",
            "sans": sans(variables),
            "config": init,
        }
    )
    pods = {"type": "static_pods", "stage": "member", "name": "control-plane", "config": init}
    out.append({**pods, "patches": patches(variables)})
    # What an API server read before is there until all is well with what the next one reads.
    out.append({"type": "unwanted", "stage": "member", "name": FOLDER})
    return out


def worker(variables: Variables, version: str) -> list[Spec]:
    """Resources that make a machine a worker, in the order in which they are applied."""
    return [
        kubelet_file(variables),
        {
            "type": "worker",
            "stage": "member",
            "name": variables["node_name"],
            "version": version,
            "config": [join_document(variables, control_plane=False)],
        },
    ]


def with_credentials(specs: Sequence[Mapping[str, Any]], credentials: Mapping[str, Any]) -> list[Spec]:
    """The resources with what `join_credentials` returned, where it is needed."""
    needed = ("control_plane", "worker", "encryption")
    return [dict(spec, credentials=dict(credentials)) if spec["type"] in needed else dict(spec) for spec in specs]


# --- kubeadm ------------------------------------------------------------------------------------------------------


def init_documents(variables: Variables, version: str, images: Mapping[str, str]) -> list[Document]:
    """InitConfiguration and ClusterConfiguration (kubeadm.k8s.io/v1beta4) of a control plane."""
    init: Document = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        # kubeadm insists on making a token; nobody is told this one, and it ends at once
        "bootstrapTokens": [{"ttl": "1m0s", "usages": ["authentication"], "description": "weft.platform: unused"}],
        "localAPIEndpoint": _local_endpoint(variables),
        "nodeRegistration": _registration(variables),
        "patches": {"directory": PATCHES},
        "skipPhases": ["show-join-command"],
        "timeouts": dict(_TIMEOUTS),
    }
    return [init, cluster_configuration(variables, version, images)]


def join_document(variables: Variables, control_plane: bool) -> Document:
    """JoinConfiguration of a machine; the machine adds the secrets it is given."""
    out: Document = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "nodeRegistration": _registration(variables),
        "timeouts": dict(_TIMEOUTS),
    }
    if control_plane:
        out["controlPlane"] = {"localAPIEndpoint": _local_endpoint(variables)}
        out["patches"] = {"directory": PATCHES}
    return out


def cluster_configuration(variables: Variables, version: str, images: Mapping[str, str]) -> Document:
    """ClusterConfiguration: the same on every control plane."""
    extra = variables["cluster_component_args"]
    gates = _gates(variables)
    server = {**_TLS, **_api_server(variables), **gates}
    manager = {**_TLS, "profiling": "false", "terminated-pod-gc-threshold": "1000", **gates}
    scheduler = {**_TLS, "profiling": "false", **gates}
    out: Document = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": version,
        "clusterName": variables["cluster_name"],
        "controlPlaneEndpoint": endpoint(variables),
        "networking": {
            "podSubnet": variables["cluster_pod_cidr"],
            "serviceSubnet": variables["cluster_service_cidr"],
            "dnsDomain": variables["cluster_dns_domain"],
        },
        "apiServer": {
            "certSANs": sans(variables, own=False),
            "extraArgs": arguments(server, extra.get("apiserver")),
            "extraVolumes": [
                _volume("weft", FOLDER, read_only=True),
                _volume("audit", AUDIT_FOLDER, read_only=False),
            ],
        },
        "controllerManager": {"extraArgs": arguments(manager, extra.get("controller_manager"))},
        "scheduler": {"extraArgs": arguments(scheduler, extra.get("scheduler"))},
        "etcd": etcd(variables, images),
        # CoreDNS and kube-proxy are objects of this collection, seen in plans like any other
        "dns": {"disabled": True},
        "proxy": {"disabled": True},
    }
    return merge(out, variables["cluster_kubeadm_config"])


def etcd(variables: Variables, images: Mapping[str, str]) -> Document:
    """The etcd part of ClusterConfiguration: a member on each control plane, or one that is run elsewhere.

    The lock file's etcd may be newer than the one that this kubeadm would take, so its tag is said.
    """
    external = variables["cluster_etcd"]
    if external.get("endpoints"):
        return {
            "external": {
                "endpoints": list(external["endpoints"]),
                "caFile": f"{FOLDER}/etcd/ca.crt",
                "certFile": f"{FOLDER}/etcd/client.crt",
                "keyFile": f"{FOLDER}/etcd/client.key",
            }
        }
    hardened = {"cipher-suites": ",".join(CIPHERS), "tls-min-version": "TLS1.2"}
    extra = variables["cluster_component_args"].get("etcd")
    return {"local": {"imageTag": images["etcd"].rpartition(":")[2], "extraArgs": arguments(hardened, extra)}}


def arguments(*layers: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Flags in v1beta4's form, by name; a later layer replaces a flag of the same name."""
    merged: dict[str, str] = {}
    for layer in layers:
        merged.update({name: _text(value) for name, value in (layer or {}).items()})
    return [{"name": name, "value": merged[name]} for name in sorted(merged)]


def sans(variables: Variables, own: bool = True) -> list[str]:
    """Names under which the API server is reached; `own` adds those of the machine, which kubeadm adds by itself."""
    out = [_host(variables["cluster_endpoint"]), *variables["cluster_extra_sans"], "localhost", "127.0.0.1"]
    if own:
        out += [variables["node_name"], variables["node_address"]]
    return sorted({str(name) for name in out if name})


def endpoint(variables: Variables) -> str:
    """host:port at which clients and machines reach the API."""
    return f"{_bracket(variables['cluster_endpoint'])}:{variables['cluster_endpoint_port']}"


def api_port(variables: Variables) -> int:
    """Port on which the machine's API server listens: a load balancer may show another one to the world."""
    external = variables["cluster_endpoint_provider"] == "external"
    return API_PORT if external else int(variables["cluster_endpoint_port"])


def api_server(variables: Variables) -> str:
    """host:port of the machine's own API server, for when nobody answers at the cluster's endpoint."""
    return f"{_bracket(variables['node_address'])}:{api_port(variables)}"


def patches(variables: Variables) -> dict[str, str]:
    """kubeadm's patch files, by name."""
    out = {}
    for number, patch in enumerate(variables["cluster_patches"], 1):
        name = f"{patch['component']}{number:03}+{patch.get('type', 'strategic')}.json"
        out[name] = json.dumps(patch["patch"], sort_keys=True)
    return out


# --- what the API server reads ------------------------------------------------------------------------------------


def read_once(variables: Variables) -> dict[str, tuple[str, str]]:
    """What the API server reads when it starts, by the flag that names it: path and text.

    A changed text has another path, so that it comes with a changed flag, which restarts the API server, and so that
    the old one is still there if that does not become healthy.
    """
    texts = {
        "audit-policy-file": ("audit-policy", dump(variables["cluster_audit_policy"])),
        "admission-control-config-file": ("admission", dump(admission(variables))),
    }
    return {flag: (_by_digest(name, text), text) for flag, (name, text) in texts.items()}


def _by_digest(name: str, text: str) -> str:
    return f"{FOLDER}/{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}.yaml"


def authentication(variables: Variables) -> Document:
    """AuthenticationConfiguration: identity providers of the inventory, and anonymous requests for probes only."""
    out: Document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in ANONYMOUS_PATHS]},
    }
    if variables["cluster_authentication"]:
        out["jwt"] = list(variables["cluster_authentication"])
    return out


def admission(variables: Variables) -> Document:
    """AdmissionConfiguration: Pod Security levels for namespaces that name none."""
    level = variables["cluster_pod_security"]
    defaults = {}
    for mode in ("enforce", "audit", "warn"):
        defaults[mode] = level[mode]
        defaults[f"{mode}-version"] = "latest"
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": defaults,
                    "exemptions": {"namespaces": list(level["exempt_namespaces"])},
                },
            }
        ],
    }


def _api_server(variables: Variables) -> dict[str, str]:
    return {
        **{flag: path for flag, (path, _text) in read_once(variables).items()},
        "audit-log-maxage": "30",
        "audit-log-maxbackup": "10",
        "audit-log-maxsize": "100",
        "audit-log-path": f"{AUDIT_FOLDER}/audit.log",
        "authentication-config": f"{FOLDER}/authentication.yaml",
        "enable-admission-plugins": "NodeRestriction,DenyServiceExternalIPs",
        "encryption-provider-config": f"{FOLDER}/encryption.json",
        "encryption-provider-config-automatic-reload": "true",
        "profiling": "false",
        "service-account-extend-token-expiration": "false",
    }


# --- the kubelet --------------------------------------------------------------------------------------------------


def kubelet_file(variables: Variables) -> Spec:
    """The kubelet's settings, laid over what kubeadm writes, which is the same on every machine."""
    text = dump(kubelet(variables))
    return {**_file(f"{KUBELET_FOLDER}/20-weft.conf", text), "notify": ["kubelet.service"]}


def kubelet(variables: Variables) -> Document:
    """KubeletConfiguration (kubelet.config.k8s.io/v1beta1), hardened, with the inventory's on top."""
    out: Document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "eventRecordQPS": 50,
        "makeIPTablesUtilChains": True,
        "maxParallelImagePulls": 5,
        "podPidsLimit": 4096,
        "protectKernelDefaults": True,
        "readOnlyPort": 0,
        "rotateCertificates": True,
        "seccompDefault": True,
        "serializeImagePulls": False,
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
        "streamingConnectionIdleTimeout": "5m0s",
        "tlsCipherSuites": list(CIPHERS),
        "tlsMinVersion": "VersionTLS12",
    }
    if variables["node_swap"]:
        out["failSwapOn"] = False
    if variables["cluster_feature_gates"]:
        out["featureGates"] = {name: bool(on) for name, on in variables["cluster_feature_gates"].items()}
    return merge(out, variables["node_kubelet_config"])


# --- kube-vip -----------------------------------------------------------------------------------------------------


def kube_vip(variables: Variables, image: str) -> Document:
    """A static pod that holds the cluster's address on one control plane, and moves it when that one is lost.

    It asks the API server of its own machine.  A leader that is lost is replaced when its lease (5 s) has run out,
    which the others look for every second; the new one tells the neighbours within half a second.
    """
    settings = {
        "address": variables["cluster_endpoint"],
        "port": str(api_port(variables)),
        "vip_interface": variables["cluster_endpoint_interface"],
        "vip_arp": "true",
        "vip_arpRate": "500",
        "vip_subnet": "128" if ":" in variables["cluster_endpoint"] else "32",
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "kubernetes_addr": f"https://{api_server(variables)}",
        "vip_leaderelection": "true",
        "vip_leasename": "plndr-cp-lock",
        "vip_leaseduration": "5",
        "vip_renewdeadline": "3",
        "vip_retryperiod": "1",
        "prometheus_server": "127.0.0.1:2112",
    }
    environment: list[Document] = [{"name": name, "value": value} for name, value in settings.items() if value]
    environment.append({"name": "vip_nodename", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})
    container = {
        "name": "kube-vip",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["manager"],
        "env": environment,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "kubeconfig", "mountPath": "/etc/kubernetes/admin.conf", "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "kube-vip",
            "namespace": "kube-system",
            "labels": {"component": "kube-vip", "tier": "control-plane"},
        },
        "spec": {
            "containers": [container],
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [
                {"name": "kubeconfig", "hostPath": {"path": "/etc/kubernetes/admin.conf", "type": "File"}},
            ],
        },
    }


# --- small things -------------------------------------------------------------------------------------------------


def dump(value: Any) -> str:
    """YAML text, keys in the order in which they were written."""
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=120)
    return text


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Document:
    """`over` laid on `base`: mappings key by key, lists of named elements element by element, else replaced."""
    out: Document = deepcopy(dict(base))
    for key, value in over.items():
        old = out.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            out[key] = merge(old, value)
        elif isinstance(old, list) and _named(old) and _named(value):
            elements = {item["name"]: item for item in old}
            for item in value:
                elements[item["name"]] = merge(elements.get(item["name"], {}), item)
            out[key] = list(elements.values())
        else:
            out[key] = deepcopy(value)
    return out


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "name" in item for item in value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(_text(item) for item in value) if isinstance(value, list) else str(value)


def _gates(variables: Variables) -> dict[str, str]:
    gates = variables["cluster_feature_gates"]
    pairs = ",".join(f"{name}={_text(bool(on))}" for name, on in sorted(gates.items()))
    return {"feature-gates": pairs} if pairs else {}


def _vip(variables: Variables) -> str:
    """The address that kube-vip holds, or "" where it does not run."""
    return str(variables["cluster_endpoint"]) if variables["cluster_endpoint_provider"] == "kube-vip" else ""


def _host(name: str) -> str:
    """An address in its normal form, or a name as it is."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _local_endpoint(variables: Variables) -> Document:
    return {"advertiseAddress": variables["node_address"], "bindPort": api_port(variables)}


def _registration(variables: Variables) -> Document:
    taints = [{key: value for key, value in taint.items() if value} for taint in variables["node_taints"]]
    return {
        "name": variables["node_name"],
        "criSocket": SOCKET,
        "ignorePreflightErrors": list(variables["cluster_ignore_preflight_errors"]),
        "imagePullPolicy": "IfNotPresent",
        "kubeletExtraArgs": [{"name": "node-ip", "value": variables["node_address"]}],
        "taints": taints,
    }


def _external_etcd_files(variables: Variables) -> list[Spec]:
    external = variables["cluster_etcd"]
    if not external.get("endpoints"):
        return []
    folder = f"{FOLDER}/etcd"
    pairs = (("ca.crt", "ca"), ("client.crt", "cert"), ("client.key", "key"))
    files = [
        {**_file(f"{folder}/{name}", external[key], stage="member"), "secret": key == "key"} for name, key in pairs
    ]
    return [_directory(folder), *files]


def _volume(name: str, path: str, read_only: bool) -> Document:
    return {"name": name, "hostPath": path, "mountPath": path, "readOnly": read_only, "pathType": "DirectoryOrCreate"}


def _directory(path: str) -> Spec:
    return {"type": "directory", "stage": "prepare", "path": path, "mode": "0700"}


def _file(path: str, content: str, stage: str = "prepare") -> Spec:
    return {"type": "file", "stage": stage, "path": path, "content": content, "mode": "0600"}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a variable's value must be beyond its type: one function a variable, found by the variable's name in RULES.

A rule gets the value, whose type is right, and all settings of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory import _audit
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import Finding, Path, shown
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._text import (
    DNS_LABEL,
    address,
    host_port,
    is_address,
    is_dns_name,
    is_url,
    label_key_error,
    label_value_error,
)

Settings = Mapping[str, Any]
Rule = Callable[[Any, Settings], Iterator[Finding]]

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")  # IFNAMSIZ of Linux, dev_valid_name()
_RESOURCE = re.compile(r"[a-z0-9*]([-a-z0-9./*]*[a-z0-9*])?")
_SYSCTL = re.compile(r"[a-z0-9_]+([./][A-Za-z0-9_-]+)+")
_MODULE = re.compile(r"[A-Za-z0-9_-]+")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_CHECK = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9.-]+)*")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*-----END [A-Z ]+-----", re.DOTALL)

#: Kernel settings without which pods do not reach each other.
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
}
#: Labels that the kubelet itself sets (k8s.io/kubernetes/pkg/kubelet/kubelet_node_status.go).
KUBELET_LABELS = frozenset({"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"})
#: Parts of upstream's structures that variables of ours say; written twice they would disagree one day.
OWNED: Mapping[str, Mapping[tuple[str, ...], str]] = {
    "cluster_kubeadm_config": {
        ("apiVersion",): "",
        ("kind",): "",
        ("clusterName",): "cluster_name",
        ("kubernetesVersion",): "cluster_kubernetes_version",
        ("controlPlaneEndpoint",): "cluster_endpoint",
        ("networking", "podSubnet"): "cluster_pod_cidr",
        ("networking", "serviceSubnet"): "cluster_service_cidr",
        ("networking", "dnsDomain"): "cluster_dns_domain",
        ("apiServer", "certSANs"): "cluster_extra_sans",
        ("etcd", "external"): "cluster_etcd",
        ("etcd", "local", "dataDir"): "",
        ("certificatesDir",): "",
    },
    "node_kubelet_config": {
        ("apiVersion",): "",
        ("kind",): "",
        ("clusterDomain",): "cluster_dns_domain",
        ("clusterDNS",): "cluster_service_cidr",
    },
    "proxy_config": {
        ("apiVersion",): "",
        ("kind",): "",
        ("mode",): "proxy_mode",
        ("clusterCIDR",): "cluster_pod_cidr",
    },
    "network_config": {("Network",): "cluster_pod_cidr"},
}


# --- the cluster ------------------------------------------------------------------------------------------------------


def _cluster_name(value: str, settings: Settings) -> Iterator[Finding]:
    if not DNS_LABEL.fullmatch(value):
        yield Finding(
            f"cluster_name {shown(value)} is no DNS label",
            "Use up to 63 lower-case letters, digits and dashes, beginning with a letter or digit.",
        )


def _version(value: str, settings: Settings) -> Iterator[Finding]:
    if not _VERSION.fullmatch(value.removeprefix("v")):
        yield Finding(
            f"cluster_kubernetes_version {shown(value)} is no version", 'Write a minor ("1.37") or a patch ("1.37.2").'
        )


def _endpoint(value: str, settings: Settings) -> Iterator[Finding]:
    if not value or address(value) or is_dns_name(value):
        return
    host, port = host_port(value.split("://")[-1].rstrip("/"))
    if address(host) or is_dns_name(host):
        also = f", and the port {port} into cluster_endpoint_port" if port else ""
        yield Finding(f"cluster_endpoint {shown(value)} is more than a host", f"Write only {host}{also}.")
    elif ":" in value:
        yield Finding(f"cluster_endpoint {shown(value)} is no IPv4 address", "IPv6 is not supported yet; use IPv4.")
    else:
        yield Finding(
            f"cluster_endpoint {shown(value)} is neither an address nor a DNS name", "Write one, without port."
        )


def _port(value: int, settings: Settings) -> Iterator[Finding]:
    if not 1 <= value <= 65535:
        yield Finding(f"cluster_endpoint_port {value} is no TCP port", "Choose one from 1 to 65535; 6443 is usual.")
    elif settings.get("cluster_endpoint_provider") != "external" and 30000 <= value <= 32767:
        yield Finding(
            f"cluster_endpoint_port {value} lies among the node ports of Services (30000 to 32767)",
            "Choose another; 6443 is usual.",
        )


def _interface(value: str, settings: Settings) -> Iterator[Finding]:
    if value and not _INTERFACE.fullmatch(value):
        yield Finding(
            f"cluster_endpoint_interface {shown(value)} is no interface's name",
            "`ip -br link` on a machine lists them.",
        )
    elif value and settings.get("cluster_endpoint_provider") != "kube-vip":
        yield Finding(
            "cluster_endpoint_interface is set, but only kube-vip uses it",
            "Take it away, or set cluster_endpoint_provider to kube-vip.",
            severity="warning",
        )


def _dns_domain(value: str, settings: Settings) -> Iterator[Finding]:
    if not is_dns_name(value):
        yield Finding(
            f"cluster_dns_domain {shown(value)} is no DNS domain",
            "Write it in lower case, without a dot at either end.",
        )


def _extra_sans(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, name in enumerate(value):
        if not (is_address(name) or is_dns_name(name.removeprefix("*."))):
            yield Finding(
                f"cluster_extra_sans: {shown(name)} is neither an address nor a DNS name",
                "Write hosts only, without scheme and port.",
                (index,),
            )


def _authentication(value: list[dict[str, Any]], settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, one in enumerate(value):
        raw = one.get("issuer")
        issuer: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        url = str(issuer.get("url", ""))
        if not url.startswith("https://"):
            yield Finding(
                f"cluster_authentication: issuer.url {shown(url)} does not begin with https://",
                "Write the issuer's address as its tokens hold it (iss).",
                (index, "issuer", "url"),
            )
        if not issuer.get("audiences"):
            yield Finding(
                "cluster_authentication: issuer.audiences is missing",
                "List the client ids for which the provider makes tokens.",
                (index, "issuer"),
            )
        if url in seen:
            yield Finding(
                f"cluster_authentication names the issuer {url} twice", "Join both entries.", (index, "issuer", "url")
            )
        seen.add(url)
        raw = one.get("claimMappings")
        mappings: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        if not mappings.get("username"):
            yield Finding(
                "cluster_authentication: claimMappings.username is missing",
                'Say which claim names the user: {claim: email, prefix: "oidc:"}.',
                (index,),
            )
        for name in ("username", "groups"):
            yield from _claim(name, mappings.get(name), (index, "claimMappings", name))


def _claim(name: str, mapping: Any, path: Path) -> Iterator[Finding]:
    """What the API server refuses of a PrefixedClaimOrExpression, when it starts or, unheard, while it runs.

    Source: k8s.io/apiserver pkg/apis/apiserver/validation, validatePrefixClaimOrExpression.
    """
    if not mapping:
        return
    found: Mapping[str, Any] = mapping if isinstance(mapping, dict) else {}
    if bool(found.get("claim")) == bool(found.get("expression")):
        yield Finding(
            f"cluster_authentication: claimMappings.{name} wants a claim or an expression, one of them",
            'Write {claim: email, prefix: "oidc:"}, or {expression: ...}.',
            path,
        )
    elif found.get("claim") and not isinstance(found.get("prefix"), str):
        yield Finding(
            f"cluster_authentication: claimMappings.{name} has a claim and no prefix",
            'Add prefix: "oidc:", so that nobody gets a name that the cluster has; or prefix: "" for none.',
            path,
        )
    elif found.get("expression") and found.get("prefix") is not None:
        yield Finding(
            f"cluster_authentication: claimMappings.{name} has an expression, which says the prefix itself",
            "Take prefix away.",
            (*path, "prefix"),
        )


def _audit_policy(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    return _audit.policy(value)


def _pod_security(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    """Source: k8s.io/pod-security-admission admission/api/validation, ValidatePodSecurityConfiguration."""
    names = value.get("exempt_namespaces", [])
    for index, name in enumerate(names):
        if not DNS_LABEL.fullmatch(name):
            why = "is no name of a namespace", "Use lower-case letters, digits and dashes."
        elif name in names[:index]:
            why = "stands twice", "Take one away."
        else:
            continue
        yield Finding(
            f"cluster_pod_security.exempt_namespaces: {shown(name)} {why[0]}", why[1], ("exempt_namespaces", index)
        )


def _encryption(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, name in enumerate(value):
        if not _RESOURCE.fullmatch(name):
            yield Finding(
                f"cluster_encryption_resources: {shown(name)} is no resource",
                "Write plural and group as the API does: secrets, widgets.example.org.",
                (index,),
            )
            continue
        group = name.partition(".")[2]
        cover = next((other for other in ("*.*", f"*.{group}") if other in value and other != name), "")
        if cover:  # the API server refuses such a list (its validation of EncryptionConfiguration)
            yield Finding(
                f"cluster_encryption_resources: {name} is covered by {cover}", "Take one of them away.", (index,)
            )


def _feature_gates(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    for name, gate in value.items():
        if not isinstance(gate, bool):
            yield Finding(
                f"cluster_feature_gates: {name} must be true or false, not {shown(gate)}",
                "Write it without quotes.",
                (name,),
            )


def _component_args(value: dict[str, dict[Any, Any]], settings: Settings) -> Iterator[Finding]:
    for component, arguments in value.items():
        for name, argument in arguments.items():
            if not isinstance(name, str) or name.startswith("-"):
                plain = str(name).lstrip("-")
                yield Finding(
                    f"cluster_component_args.{component}: {shown(name)} begins with a dash",
                    f"Write {plain} without dashes.",
                    (component, name),
                )
            if isinstance(argument, (dict, list)) or argument is None:
                yield Finding(
                    f"cluster_component_args.{component}.{name} must be one value, not {shown(argument)}",
                    "Write what would follow the equals sign on the command line.",
                    (component, name),
                )


def _etcd(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    set_keys = [key for key in ("endpoints", "ca", "cert", "key") if value.get(key)]
    missing = [key for key in ("endpoints", "ca", "cert", "key") if key not in set_keys]
    if set_keys and missing:
        yield Finding(
            f"cluster_etcd lacks {', '.join(missing)}",
            "An external etcd wants endpoints, ca, cert and key; without any, etcd runs on the control planes.",
        )
    for index, url in enumerate(value.get("endpoints", [])):
        if not is_url(url, ("https",)):
            yield Finding(
                f"cluster_etcd: endpoint {shown(url)} is no https URL", "Write https://HOST:2379.", ("endpoints", index)
            )
    for key in ("ca", "cert", "key"):
        if value.get(key) and not _PEM.search(value[key]):
            yield Finding(
                f"cluster_etcd.{key} is no PEM text",
                "Give the text itself: lookup('ansible.builtin.file', PATH).",
                (key,),
            )


def _preflight_errors(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, name in enumerate(value):
        if name == "all":
            yield Finding(
                "cluster_ignore_preflight_errors: all hides every problem of a machine",
                "Name the checks that may fail.",
                (index,),
                "warning",
            )
        elif not _CHECK.fullmatch(name):
            yield Finding(
                f"cluster_ignore_preflight_errors: {shown(name)} is no name of a check",
                "kubeadm prints it in brackets: [ERROR NumCPU].",
                (index,),
            )


# --- a machine --------------------------------------------------------------------------------------------------------


def _node_name(value: str, settings: Settings) -> Iterator[Finding]:
    if not is_dns_name(value):
        yield Finding(
            f"node_name {shown(value)} is no DNS name",
            "Set node_name: lower-case letters, digits, dashes and dots, at most 253 characters.",
        )


def _node_address(value: str, settings: Settings) -> Iterator[Finding]:
    found = address(value)
    if found is None:
        ipv6 = " IPv6 is not supported yet." if ":" in value else ""
        yield Finding(
            f"node_address {shown(value)} is no IPv4 address",
            f"Set node_address to the address by which the other machines reach this one.{ipv6}",
        )
    elif found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local:
        yield Finding(
            f"node_address {value} cannot be reached by other machines",
            "Set node_address to an address of the network that the machines share.",
        )


def _labels(value: dict[Any, Any], settings: Settings) -> Iterator[Finding]:
    for key, item in value.items():
        wrong = label_key_error(key) if isinstance(key, str) else "is no text; write it in quotes"
        if wrong:
            yield Finding(f"node_labels: {shown(key)} {wrong}", "A label is PREFIX/NAME or NAME.", (key,))
        elif key in KUBELET_LABELS:
            yield Finding(f"node_labels: {key} is set by the kubelet itself", "Take it away.", (key,))
        if not isinstance(item, str):
            yield Finding(f"node_labels: {key} must be a text, not {shown(item)}", "Write it in quotes.", (key,))
        elif label_value_error(item):
            yield Finding(f"node_labels: {key}: {shown(item)} {label_value_error(item)}", "", (key,))


def _taints(value: list[dict[str, Any]], settings: Settings) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(value):
        key, effect = str(taint["key"]), str(taint["effect"])
        wrong = label_key_error(key)
        if wrong:
            yield Finding(f"node_taints: {shown(key)} {wrong}", "A taint's key is PREFIX/NAME or NAME.", (index, "key"))
        wrong = label_value_error(str(taint.get("value", "")))
        if wrong:
            yield Finding(f"node_taints: {key}: {shown(taint['value'])} {wrong}", "", (index, "value"))
        if (key, effect) in seen:
            yield Finding(
                f"node_taints: {key} with {effect} stands twice", "A key can have each effect once.", (index,)
            )
        seen.add((key, effect))


def _sysctls(value: dict[Any, Any], settings: Settings) -> Iterator[Finding]:
    for name, item in value.items():
        if not isinstance(name, str) or not _SYSCTL.fullmatch(name):
            yield Finding(
                f"node_sysctls: {shown(name)} is no kernel setting", "`sysctl -a` on a machine lists them.", (name,)
            )
        elif isinstance(item, (dict, list)) or item is None or isinstance(item, bool):
            yield Finding(
                f"node_sysctls: {name} must be a number or a text, not {shown(item)}", "Write 1 or 0.", (name,)
            )
        elif name.replace("/", ".") in SYSCTLS and str(item) != SYSCTLS[name.replace("/", ".")]:
            yield Finding(
                f"node_sysctls: {name} must be {SYSCTLS[name.replace('/', '.')]}, or pods do not reach each other",
                "Take it away; it is set anyway.",
                (name,),
            )


def _modules(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, name in enumerate(value):
        if not _MODULE.fullmatch(name):
            yield Finding(
                f"node_kernel_modules: {shown(name)} is no module's name",
                "Write it without path and .ko; `lsmod` on a machine lists them.",
                (index,),
            )


def _proxy(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    for key in ("http", "https"):
        url = value.get(key, "")
        if url and not is_url(url, ("http", "https")):
            yield Finding(
                f"node_proxy.{key} {shown(url)} is no URL", "Write http://HOST:PORT (also for https).", (key,)
            )


def _packages(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, name in enumerate(value):
        if not _PACKAGE.fullmatch(name):
            yield Finding(
                f"node_packages: {shown(name)} is no package's name", "Write names without versions.", (index,)
            )


def _node_preflight(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    for key in ("memory_mib", "disk_gib", "clock_skew"):
        if value.get(key, 0) < 0:
            yield Finding(f"node_preflight.{key} is less than nothing", "Write 0 or more.", (key,))


def _owned(variable: str) -> Rule:
    def rule(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
        for path, owner in OWNED[variable].items():
            found: Any = value
            for step in path:
                found = found.get(step, _NOTHING) if isinstance(found, dict) else _NOTHING
            if found is not _NOTHING:
                what = f"{owner} says that" if owner else "the collection sets that"
                yield Finding(f"{variable} sets {'.'.join(path)}, but {what}", f"Take it away{_use(owner)}.", path)

    return rule


def _kubeadm_config(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    yield from _owned("cluster_kubeadm_config")(value, settings)
    given = str(value.get("certificateValidityPeriod", ""))
    if given and not (hours := _hours(given)) > RENEWAL_HOURS:
        why = "is no duration" if hours < 0 else "is not longer than the 30 days before which certificates are renewed"
        yield Finding(
            f"cluster_kubeadm_config: certificateValidityPeriod {shown(given)} {why}",
            "Write it in hours, 8760h0m0s for a year.",
            ("certificateValidityPeriod",),
        )


def _hours(duration: str) -> float:
    """A duration as Go writes it, in hours; -1 for what is none."""
    parts = re.findall(r"([0-9.]+)(h|m|s)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return -1
    try:
        return sum(float(number) / {"h": 1, "m": 60, "s": 3600}[unit] for number, unit in parts)
    except ValueError:
        return -1


#: A certificate with less left is renewed (module_utils/_kubeadm/_certificate).
RENEWAL_HOURS = 30 * 24.0
_NOTHING = object()


def _use(owner: str) -> str:
    return f" and set {owner}" if owner else ""


# --- the container runtime, network, DNS, artifacts -------------------------------------------------------------------


def _registries(value: list[dict[str, Any]], settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, one in enumerate(value):
        yield from _registry(one, index)
        if one["prefix"] in seen:
            yield Finding(f"containerd_registries names {one['prefix']} twice", "Join both entries.", (index, "prefix"))
        seen.add(one["prefix"])


def _registry(one: Mapping[str, Any], index: int) -> Iterator[Finding]:
    prefix = one["prefix"]
    host, _port_number = host_port(prefix)
    if "/" in prefix or not (is_dns_name(host.lower()) or address(host)):
        yield Finding(
            f"containerd_registries: {shown(prefix)} is no registry",
            "Write host and port only, as image names begin: docker.io, registry.example.org:5000.",
            (index, "prefix"),
        )
    for number, url in enumerate(one.get("mirrors", [])):
        if not is_url(url, ("http", "https")):
            yield Finding(
                f"containerd_registries: mirror {shown(url)} is no URL",
                "Write it with https://.",
                (index, "mirrors", number),
            )
    if bool(one.get("username")) != bool(one.get("password")):
        yield Finding(
            f"containerd_registries: {prefix} has a username or a password, but not both", "Set both.", (index,)
        )
    if one.get("ca") and not _PEM.search(one["ca"]):
        yield Finding(
            f"containerd_registries: ca of {prefix} is no PEM text",
            "Give the text itself: lookup('ansible.builtin.file', PATH).",
            (index, "ca"),
        )


def _mtu(value: int, settings: Settings) -> Iterator[Finding]:
    if value and not 576 <= value <= 65535:  # RFC 791: every host takes 576 bytes
        yield Finding(f"network_mtu {value} is no packet size", "Choose 0 (found out) or 576 to 65535.")


def _replicas(value: int, settings: Settings) -> Iterator[Finding]:
    if value < 1:
        yield Finding(
            f"dns_replicas {value} leaves the cluster without DNS", "Choose 2 or more; 1 on a single machine."
        )


def _upstream(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, server in enumerate(value):
        host, port = host_port(server)
        if not address(host) or (port and not port.isdigit()):
            yield Finding(
                f"dns_upstream: {shown(server)} is no address", "Write ADDRESS or ADDRESS:PORT, IPv4.", (index,)
            )


def _mirror(value: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    source = settings.get("artifacts_source")
    if source == "mirror" and not value:
        yield Finding(
            "artifacts_source is mirror, but artifacts_mirror is empty", "Say what takes the place of which address."
        )
    elif value and source in ("upstream", "bundle"):
        yield Finding(
            f"artifacts_mirror is set, but artifacts_source is {source}",
            "Set artifacts_source to mirror, or take artifacts_mirror away.",
            severity="warning",
        )
    for key, item in value.items():
        if not isinstance(item, str) or not item:
            yield Finding(f"artifacts_mirror: {key} must name what takes its place", "Write an address.", (key,))


def _artifacts_registry(value: str, settings: Settings) -> Iterator[Finding]:
    host, port = host_port(value)
    if value and not ((address(host) or is_dns_name(host)) and port.isdigit()):
        yield Finding(
            f"artifacts_registry {shown(value)} is no host with port", "Write HOST:PORT, without scheme and path."
        )
    elif value and settings.get("artifacts_source") != "bundle":
        yield Finding(
            "artifacts_registry is set, but only artifacts_source bundle uses it",
            "Set artifacts_source to bundle, or take artifacts_registry away.",
            severity="warning",
        )


def _bundle_path(value: str, settings: Settings) -> Iterator[Finding]:
    if value and settings.get("artifacts_source") != "bundle":
        yield Finding(
            "artifacts_bundle_path is set, but artifacts_source is not bundle",
            "Set artifacts_source to bundle, or take artifacts_bundle_path away.",
            severity="warning",
        )


def _extra_images(value: list[str], settings: Settings) -> Iterator[Finding]:
    for index, image in enumerate(value):
        name, _, tag = image.rpartition(":")
        if "/" not in name or not tag or "/" in tag or not ("." in name.split("/")[0] or ":" in name.split("/")[0]):
            yield Finding(
                f"artifacts_extra_images: {shown(image)} is no full image name",
                "Write REGISTRY/NAME:TAG, for example docker.io/library/busybox:1.37.0.",
                (index,),
            )


RULES: Mapping[str, Rule] = {
    "cluster_name": _cluster_name,
    "cluster_kubernetes_version": _version,
    "cluster_endpoint": _endpoint,
    "cluster_endpoint_port": _port,
    "cluster_endpoint_interface": _interface,
    "cluster_dns_domain": _dns_domain,
    "cluster_extra_sans": _extra_sans,
    "cluster_authentication": _authentication,
    "cluster_audit_policy": _audit_policy,
    "cluster_pod_security": _pod_security,
    "cluster_encryption_resources": _encryption,
    "cluster_feature_gates": _feature_gates,
    "cluster_component_args": _component_args,
    "cluster_etcd": _etcd,
    "cluster_ignore_preflight_errors": _preflight_errors,
    "node_name": _node_name,
    "node_address": _node_address,
    "node_labels": _labels,
    "node_taints": _taints,
    "node_sysctls": _sysctls,
    "node_kernel_modules": _modules,
    "node_proxy": _proxy,
    "node_packages": _packages,
    "node_preflight": _node_preflight,
    "containerd_registries": _registries,
    "network_mtu": _mtu,
    "dns_replicas": _replicas,
    "dns_upstream": _upstream,
    "artifacts_mirror": _mirror,
    "artifacts_registry": _artifacts_registry,
    "artifacts_bundle_path": _bundle_path,
    "artifacts_extra_images": _extra_images,
    **{variable: _owned(variable) for variable in OWNED},
    "cluster_kubeadm_config": _kubeadm_config,
}

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Every problem of an inventory, at once, each with the place and the way out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._inventory import (
    Inventory,
    Problem,
    build,
    check,
    has_errors,
    options,
)

VERSIONS = ("v1.37.2", "v1.36.3", "v1.36.1", "v1.35.4")
TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def inventory(
    machines: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]] | None = None,
    sources: tuple[str, ...] = (),
) -> Inventory:
    """An inventory without Ansible: names in angle brackets in values stand for templates that fail."""
    planes = [name for name in machines if name.startswith("cp")]
    workers = [name for name in machines if name.startswith("w")]
    known = groups or {"all": list(machines), "cluster": list(machines), "control_plane": planes, "workers": workers}

    def resolver(name: str) -> Callable[[str], Any]:
        given = machines[name]

        def resolve(variable: str) -> Any:
            defaults = {
                "node_name": name,
                "node_address": given.get("ansible_host", name),
                "node_taints": [TAINT] if name in known.get("control_plane", []) else [],
                "cluster_kubeconfig": "~/.kube/x.config",
                "artifacts_lock": "lock.yml",
            }
            value = given.get(variable, defaults.get(variable, options()[variable].default))
            if isinstance(value, str) and value.startswith("<"):
                raise KeyError(f"{value} is undefined")
            return value

        return resolve

    return build(known, lambda name: machines[name], resolver, sources)


def three(**cluster: Any) -> dict[str, dict[str, Any]]:
    """Three control planes and a worker, with variables of the cluster."""
    names = ("cp1", "cp2", "cp3", "w1")
    whole = {"cluster_endpoint": "10.0.0.100", **cluster}
    return {name: {"ansible_host": f"10.0.0.{number}", **whole} for number, name in enumerate(names, 1)}


def problems(machines: Mapping[str, Mapping[str, Any]], **rest: Any) -> list[Problem]:
    return check(inventory(machines, **rest), options(), VERSIONS)


def told(found: list[Problem]) -> str:
    return "\n".join(f"{one.severity}: {one.message} -> {one.remedy}" for one in found)


def test_a_good_inventory_has_no_problem() -> None:
    assert told(problems(three())) == ""
    assert (
        told(problems({"cp1": {"ansible_host": "10.0.0.1", "cluster_endpoint_provider": "node", "node_taints": []}}))
        == ""
    )


def audit(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An audit policy with these rules, each of a level that there is, or with one that says no more."""
    found = [{"level": "Metadata", **rule} for rule in rules or ({},)]
    return {"cluster_audit_policy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": found, **more}}


def mapped(**mappings: Any) -> dict[str, Any]:
    """An identity provider with these claim mappings."""
    return {"cluster_authentication": [{"issuer": {"url": "https://x", "audiences": ["a"]}, "claimMappings": mappings}]}


@pytest.mark.parametrize(
    ("cluster", "wanted"),
    [
        # types, choices, names
        ({"cluster_kubernetes_version": 1.37}, "must be a text, not 1.37 -> Write it in quotes"),
        (
            {"cluster_kubernetes_version": "1.34"},
            "1.34 is not supported -> Set cluster_kubernetes_version to one of 1.37",
        ),
        (
            {"cluster_kubernetes_version": "v1.37.9"},
            "1.37.9 is not supported -> Set cluster_kubernetes_version to one of 1.37.2, 1.37",
        ),
        ({"cluster_kubernetes_version": "latest"}, "is no version"),
        ({"cluster_name": "Prod"}, "no DNS label"),
        (
            {"cluster_name": None},
            "not None -> Give it a value, or take the line away to get the default ('kubernetes')",
        ),
        ({"cluster_nmae": "x"}, "cluster_nmae is no variable of this collection -> Did you mean cluster_name?"),
        ({"dns_server_of_ours": "x"}, "warning: dns_server_of_ours is no variable of this collection, and nothing"),
        (
            {"network_plugin": "flanel"},
            "cannot be 'flanel' -> Did you mean flannel? Choose kube-router, flannel or none",
        ),
        ({"dns_replicas": "2"}, "dns_replicas must be a whole number, not '2' -> Write it without quotes"),
        ({"dns_replicas": True}, "dns_replicas must be a whole number, not true"),
        ({"dns_replicas": 0}, "without DNS"),
        ({"cluster_kubeconfig_merge": "yes"}, "must be true or false, not 'yes'"),
        ({"cluster_extra_sans": "api.example.org"}, "must be a list, not 'api.example.org' -> Write it as a list"),
        ({"cluster_extra_sans": ["ok.example.org", 7]}, "cluster_extra_sans[1] must be a text, not 7"),
        ({"cluster_extra_sans": ["fd00::1", "*.example.org"]}, ""),
        ({"cluster_extra_sans": ["https://api"]}, "neither an address nor a DNS name"),
        ({"cluster_pod_security": {"enforced": "baseline"}}, "has no key 'enforced' -> Did you mean enforce?"),
        ({"cluster_pod_security": {"enforce": "strict"}}, "cluster_pod_security.enforce cannot be 'strict'"),
        ({"cluster_feature_gates": {"X": "true"}}, "X must be true or false"),
        ({"cluster_confirm": "<vault>"}, "cluster_confirm cannot be resolved: '<vault> is undefined'"),
        # upstream's structures
        ({"cluster_component_args": {"apiserver": {"--v": 4}}}, "begins with a dash -> Write v without"),
        ({"cluster_component_args": {"scheduler": {"v": [4]}}}, "must be one value"),
        ({"cluster_component_args": {"kubelet": {}}}, "has no key 'kubelet'"),
        ({"cluster_kubeadm_config": {"clusterName": "x"}}, "sets clusterName, but cluster_name says that"),
        (
            {"cluster_kubeadm_config": {"networking": {"dnsDomain": "x"}}},
            "sets networking.dnsDomain, but cluster_dns_domain",
        ),
        ({"cluster_kubeadm_config": {"certificatesDir": "/x"}}, "sets certificatesDir, but the collection sets that"),
        ({"cluster_kubeadm_config": {"etcd": {"local": {"dataDir": "/x"}}}}, "sets etcd.local.dataDir"),
        ({"cluster_kubeadm_config": {"certificateValidityPeriod": "4380h0m0s"}}, ""),
        ({"cluster_kubeadm_config": {"certificateValidityPeriod": "720h"}}, "is not longer than the 30 days"),
        ({"cluster_kubeadm_config": {"certificateValidityPeriod": "1y"}}, "'1y' is no duration -> Write it in hours"),
        ({"cluster_patches": [{"component": "corednsdeployment", "patch": {}}]}, "cannot be 'corednsdeployment'"),
        ({"node_kubelet_config": {"kind": "x"}}, "sets kind, but the collection sets that -> Take it away."),
        ({"proxy_config": {"mode": "ipvs"}}, "set proxy_mode"),
        ({"network_config": {"Network": "x"}}, "set cluster_pod_cidr"),
        ({"cluster_patches": [{"component": "etcd"}]}, "cluster_patches[0] lacks the key patch"),
        ({"cluster_authentication": [{"issuer": {"url": "http://x"}}]}, "does not begin with https://"),
        ({"cluster_authentication": [{"issuer": {"url": "https://x"}}]}, "audiences is missing"),
        ({"cluster_authentication": [{"issuer": {"url": "https://x", "audiences": ["a"]}}]}, "claimMappings.username"),
        (mapped(username={"claim": "email"}), "claimMappings.username has a claim and no prefix"),
        (mapped(username={"claim": "email", "prefix": ""}), ""),
        (mapped(username={"claim": "email", "expression": "x"}), "wants a claim or an expression, one of them"),
        (mapped(username={"expression": "x", "prefix": "y"}), "says the prefix itself -> Take prefix away"),
        (mapped(username={"expression": "x"}, groups={"claim": "groups"}), "groups has a claim and no prefix"),
        (mapped(username={"expression": "x"}, groups="groups"), "groups wants a claim or an expression"),
        ({"cluster_audit_policy": {"kind": "Policy"}}, "no Policy of audit.k8s.io/v1"),
        ({"cluster_audit_policy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}}, "has no rules"),
        (
            {"cluster_audit_policy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "All"}]}},
            "rule 1: level 'All' is none",
        ),
        (audit(omitStages=["RequestRecieved"]), "omitStages: 'RequestRecieved' is no stage -> Choose from"),
        (audit(omitStages="Panic"), "omitStages must be a list, not 'Panic'"),
        (audit(omitStages=["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]), ""),
        (audit({"omitStages": ["All"]}), "rule 1: omitStages: 'All' is no stage"),
        (audit({"users": "system:kube-proxy"}), "rule 1: users must be a list, not 'system:kube-proxy'"),
        (audit({"verbs": [7]}), "rule 1: verbs must hold texts, not 7"),
        (audit({"nonResourceURLs": ["*", "/healthz*", "/version"]}), ""),
        (audit({"nonResourceURLs": ["healthz"]}), "rule 1: nonResourceURLs: 'healthz' is no path"),
        (audit({"nonResourceURLs": ["/*/x"]}), "nonResourceURLs: '/*/x' is no path"),
        (audit({"nonResourceURLs": ["/x"], "namespaces": ["a"]}), "rule 1 is about resources or namespaces and"),
        (audit({"nonResourceURLs": ["/x"], "resources": [{"group": ""}]}), "-> Make two rules of it"),
        (audit({"resources": "pods"}), "rule 1: resources must be a list, not 'pods'"),
        (audit({"resources": ["pods"]}), "rule 1: resources must hold mappings, not 'pods'"),
        (audit({"resources": [{"group": "apps/v1"}]}), "'apps/v1' is no API group -> Write it without version"),
        (audit({"resources": [{"group": "*", "resources": ["pods"], "resourceNames": ["a"]}, {"group": ""}]}), ""),
        (audit({"resources": [{"resourceNames": ["a"]}]}), "resourceNames without resources"),
        ({"cluster_pod_security": {"exempt_namespaces": ["kube-system", "storage"]}}, ""),
        ({"cluster_pod_security": {"exempt_namespaces": ["Kube"]}}, "'Kube' is no name of a namespace"),
        ({"cluster_pod_security": {"exempt_namespaces": ["a", "a"]}}, "'a' stands twice -> Take one away"),
        ({"cluster_encryption_resources": ["Secret"]}, "is no resource"),
        ({"cluster_encryption_resources": ["secrets", "*.*"]}, "secrets is covered by *.*"),
        ({"cluster_encryption_resources": ["*.apps", "deployments.apps"]}, "deployments.apps is covered by *.apps"),
        ({"cluster_etcd": {"endpoints": ["http://e:2379"]}}, "lacks ca, cert, key"),
        ({"cluster_etcd": {"endpoints": ["http://e:2379"]}}, "is no https URL"),
        (
            {"cluster_etcd": {"endpoints": ["https://e:2379"], "ca": "pki/ca.pem", "cert": "x", "key": "y"}},
            "ca is no PEM text",
        ),
        ({"cluster_ignore_preflight_errors": ["all"]}, "warning: cluster_ignore_preflight_errors: all hides"),
        ({"cluster_ignore_preflight_errors": ["[ERROR x]"]}, "is no name of a check"),
        # addresses
        ({"cluster_pod_cidr": "10.244.0.0"}, "has no length"),
        ({"cluster_pod_cidr": "10.244.1.0/16"}, "has bits behind its length -> Did you mean 10.244.0.0/16?"),
        ({"cluster_pod_cidr": "10.244.0.0/33"}, "is no network"),
        ({"cluster_pod_cidr": "fd00::/48"}, "is IPv6 -> IPv6 is not supported yet"),
        ({"cluster_pod_cidr": "10.244.0.0/16,fd00::/48"}, "holds two networks -> Dual-stack is not supported yet"),
        ({"cluster_pod_cidr": "224.0.0.0/8"}, "is reserved"),
        ({"cluster_pod_cidr": "8.8.0.0/16"}, "warning: cluster_pod_cidr 8.8.0.0/16 is not private"),
        ({"cluster_pod_cidr": "100.64.0.0/16"}, ""),
        ({"cluster_pod_cidr": "10.244.0.0/23"}, "room for 2 machines with a /24 each, but there are 4 -> Make it /22"),
        ({"cluster_pod_cidr": "10.244.0.0/26"}, "room for 0 machines"),
        (
            {
                "cluster_pod_cidr": "10.244.0.0/23",
                "cluster_component_args": {"controller_manager": {"node-cidr-mask-size": "26"}},
            },
            "",
        ),
        ({"cluster_service_cidr": "10.0.0.0/8"}, "length that kubeadm refuses -> Choose one from /12 to /28"),
        ({"cluster_service_cidr": "10.200.0.0/29"}, "length that kubeadm refuses"),
        (
            {"cluster_service_cidr": "10.244.0.0/16"},
            "cluster_service_cidr 10.244.0.0/16 overlaps with cluster_pod_cidr",
        ),
        ({"cluster_pod_cidr": "10.96.0.0/16"}, "cluster_pod_cidr 10.96.0.0/16 overlaps with cluster_service_cidr"),
        ({"cluster_pod_cidr": "10.0.0.0/16"}, "holds the machines' own addresses (cp1 is 10.0.0.1)"),
        ({"cluster_endpoint": "10.244.3.4"}, "lies inside cluster_pod_cidr 10.244.0.0/16"),
        ({"cluster_dns_domain": "Cluster.local"}, "no DNS domain"),
        # endpoint
        ({"cluster_endpoint": ""}, "kube-vip needs a virtual address"),
        ({"cluster_endpoint": "api.example.org"}, "is a name, but kube-vip needs an address"),
        ({"cluster_endpoint": "10.0.0.4"}, "is the address of w1"),
        ({"cluster_endpoint": "https://10.0.0.100:6443/"}, "Write only 10.0.0.100, and the port 6443 into"),
        ({"cluster_endpoint": "fd00::1"}, "IPv6 is not supported yet"),
        ({"cluster_endpoint": "a_b"}, "neither an address nor a DNS name"),
        ({"cluster_endpoint": "", "cluster_endpoint_provider": "external"}, "an external load balancer has a name"),
        ({"cluster_endpoint": "lb.example.org", "cluster_endpoint_provider": "external"}, ""),
        (
            {"cluster_endpoint_provider": "node"},
            "10.0.0.100 is no control plane, so nothing answers there -> Name one of cp1",
        ),
        ({"cluster_endpoint_provider": "node", "cluster_endpoint": "10.0.0.4"}, "is no control plane"),
        (
            {"cluster_endpoint_provider": "node", "cluster_endpoint": "cp2"},
            "warning: cluster_endpoint_provider is node: of 3",
        ),
        ({"cluster_endpoint_port": 70000}, "no TCP port"),
        ({"cluster_endpoint_port": 31000}, "among the node ports"),
        ({"cluster_endpoint_interface": "eth0/1"}, "no interface's name"),
        (
            {"cluster_endpoint_interface": "eth0", "cluster_endpoint_provider": "external"},
            "warning: cluster_endpoint_interface is set, but only kube-vip uses it",
        ),
        # machines
        ({"node_name": "same"}, "cp2 and cp1 have the same node name: same"),
        ({"node_address": "10.0.0.1"}, "cp2 and cp1 have the same address: 10.0.0.1 -> Set node_address"),
        ({"node_address": "127.0.0.1"}, "cannot be reached by other machines"),
        ({"node_labels": {"zone": True}}, "zone must be a text, not true -> Write it in quotes"),
        ({"node_labels": {"a b": "x"}}, "has the name 'a b'"),
        ({"node_labels": {"A_B/x": "x"}}, "has the prefix 'A_B'"),
        ({"node_labels": {"zone": "a b"}}, "'a b' is no value"),
        ({"node_labels": {"kubernetes.io/os": "linux"}}, "is set by the kubelet itself"),
        ({"node_taints": [{"key": "a", "effect": "Never"}]}, "cannot be 'Never'"),
        ({"node_taints": [{"key": "a b", "effect": "NoSchedule"}]}, "has the name 'a b'"),
        ({"node_taints": [{"key": "a", "effect": "NoSchedule"}] * 2}, "stands twice"),
        ({"node_taints": [{"key": "a"}]}, "lacks the key effect"),
        ({"node_sysctls": {"net.ipv4.ip_forward": 0}}, "must be 1, or pods do not reach each other"),
        ({"node_sysctls": {"swappiness": 1}}, "is no kernel setting"),
        ({"node_sysctls": {"vm.swappiness": True}}, "must be a number or a text, not true"),
        ({"node_kernel_modules": ["nbd.ko"]}, "is no module's name"),
        ({"node_proxy": {"http": "proxy:3128"}}, "is no URL"),
        ({"node_packages": ["nfs-common=1.2"]}, "is no package's name"),
        ({"node_preflight": {"disk_gib": -1}}, "less than nothing"),
        ({"node_preflight": {"ignore": ["memry"]}}, "node_preflight.ignore[0] cannot be 'memry'"),
        # the others
        ({"containerd_registries": [{"prefix": "https://docker.io"}]}, "is no registry"),
        ({"containerd_registries": [{"prefix": "docker.io", "mirrors": ["m.example.org"]}]}, "is no URL"),
        ({"containerd_registries": [{"prefix": "docker.io", "password": "hunter22"}]}, "but not both"),
        ({"containerd_registries": [{"prefix": "docker.io"}] * 2}, "names docker.io twice"),
        ({"containerd_registries": [{"prefix": "docker.io", "ca": "x"}]}, "no PEM text"),
        ({"network_mtu": 100}, "no packet size"),
        ({"dns_upstream": ["dns.example.org"]}, "is no address"),
        ({"dns_upstream": ["192.0.2.53", "192.0.2.54:5353"]}, ""),
        ({"artifacts_source": "mirror"}, "artifacts_mirror is empty"),
        (
            {"artifacts_mirror": {"docker.io": "x"}},
            "warning: artifacts_mirror is set, but artifacts_source is upstream",
        ),
        ({"artifacts_registry": "10.0.0.9:5000"}, "warning: artifacts_registry is set, but only"),
        ({"artifacts_registry": "http://10.0.0.9:5000"}, "is no host with port"),
        ({"artifacts_bundle_path": "/srv"}, "warning: artifacts_bundle_path is set, but"),
        ({"artifacts_extra_images": ["busybox"]}, "is no full image name"),
    ],
)
def test_value_is_judged(cluster: dict[str, Any], wanted: str) -> None:
    found = told(problems(three(**cluster)))
    assert wanted in found and (wanted or not found)


def test_secrets_are_not_shown() -> None:
    machines = three(containerd_registries=[{"prefix": "docker.io", "username": "u", "password": 12345678}])
    found = told(problems(machines))
    assert "containerd_registries[0].password must be a text, not the value given" in found
    assert "12345678" not in found


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ({"cluster": ["w1"], "workers": ["w1"]}, "the group control_plane is missing or empty"),
        (
            {"cluster": ["cp1", "w1"], "control_plane": ["cp1"], "workers": ["cp1", "w1"]},
            "cp1 is in control_plane and in workers",
        ),
        ({"cluster": ["cp1", "w1"], "control_plane": ["cp1"]}, "w1 is in cluster, but neither in"),
        ({"cluster": ["cp1"], "control_plane": ["cp1"], "workers": ["w1"]}, "w1 is in workers, but not in cluster"),
        (
            {"cluster": ["cp1"], "control_plane": ["cp1"]},
            "warning: there are no workers, and no control plane takes workloads",
        ),
        (
            {"cluster": ["cp1", "cp2", "w1"], "control_plane": ["cp1", "cp2"], "workers": ["w1"]},
            "warning: 2 control planes: etcd survives the loss of 0, as 1 would -> Use 1",
        ),
    ],
)
def test_groups_are_judged(groups: dict[str, list[str]], wanted: str) -> None:
    assert wanted in told(problems(three(), groups=groups))


def test_an_even_number_is_fine_with_an_external_etcd() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
    etcd = {"endpoints": ["https://e:2379"], "ca": pem, "cert": pem, "key": pem}
    machines = three(cluster_etcd=etcd)
    del machines["cp3"]
    assert told(problems(machines)) == ""


def test_the_cluster_has_one_value() -> None:
    machines = three()
    machines["w1"]["cluster_dns_domain"] = "other.local"
    assert "cluster_dns_domain differs between cp1 and w1: 'cluster.local' and 'other.local'" in told(
        problems(machines)
    )
    machines = three(cluster_audit_policy="<x>")
    machines["cp1"]["node_labels"] = {"only": "here"}
    assert "node_labels" not in told(problems(machines))


def test_all_problems_come_at_once_errors_first() -> None:
    machines = three(cluster_nmae="x", dns_replicas="2", cluster_ignore_preflight_errors=["all"])
    machines["w1"]["node_swap"] = "no"
    found = problems(machines)
    assert [one.severity for one in found] == ["error"] * 3 + ["warning"]
    assert has_errors(found) and not has_errors(found[3:])
    assert {one.subject for one in found} == {"", "w1"}


def test_equal_problems_of_many_machines_are_one() -> None:
    found = problems({f"w{number}": {"ansible_host": f"10.0.0.{number}", "node_swap": 1} for number in range(1, 9)})
    (one,) = (one for one in found if "node_swap" in one.message)
    assert one.subject == "w1, w2, w3 and 5 more"


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], Path]:
    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return write


HOSTS = """\
cluster:
  vars:
    cluster_name: inline
  children:
    control_plane:
      hosts:
        cp1: {ansible_host: 10.0.0.1}
    workers:
      hosts:
        w1:
          ansible_host: 10.0.0.2
          node_swap: true
        w2: {ansible_host: 10.0.0.2}
"""


def places(files: Mapping[str, str], machines: Mapping[str, Mapping[str, Any]], sources: tuple[str, ...]) -> set[str]:
    found = problems(machines, sources=sources)
    return {f"{one.file}:{one.line} {one.message.split()[0].rstrip(':')}" for one in found}


def test_a_problem_is_placed_where_the_winning_value_stands(tree: Any) -> None:
    files = {
        "base/group_vars/all.yml": "network_mtu: 1\n",
        "base/group_vars/cluster.yml": "# base\nnetwork_mtu: 2\ndns_replicas: 0\n",
        "prod/hosts.yml": HOSTS,
        "prod/group_vars/cluster/a.yml": "x: 1\n",
        "prod/group_vars/cluster/deep/b.yaml": "\n\nnetwork_mtu: 3\nnode_sysctls:\n  vm.swappiness: 1\n  swap: 1\n",
        "prod/group_vars/workers": "node_labels: {zone: 1}\n",
        "prod/host_vars/w1.json": '{"node_kernel_modules": [\n "ok", \n "a.ko"]}',
    }
    tree(files)
    whole = {
        "network_mtu": 3,
        "dns_replicas": 0,
        "cluster_endpoint": "10.0.0.9",
        "node_sysctls": {"vm.swappiness": 1, "swap": 1},
    }
    machines = {
        "cp1": {**whole, "ansible_host": "10.0.0.1"},
        "w1": {**whole, "ansible_host": "10.0.0.2", "node_labels": {"zone": 1}, "node_kernel_modules": ["ok", "a.ko"]},
        "w2": {**whole, "ansible_host": "10.0.0.2", "node_labels": {"zone": 1}},
    }
    assert places(files, machines, ("base", "prod")) == {
        "prod/group_vars/cluster/deep/b.yaml:3 network_mtu",
        "base/group_vars/cluster.yml:3 dns_replicas",
        "prod/group_vars/cluster/deep/b.yaml:6 node_sysctls",
        "prod/group_vars/workers:1 node_labels",
        "prod/host_vars/w1.json:3 node_kernel_modules",
        "prod/hosts.yml:13 w2",
    }


def test_a_value_from_elsewhere_has_no_place(tree: Any) -> None:
    tree({"prod/hosts.yml": HOSTS, "prod/group_vars/cluster.yml": "network_mtu: 9000\n"})
    found = [one for one in problems(three(network_mtu=1), sources=("prod/hosts.yml",)) if "mtu" in one.message]
    assert [(one.file, one.line) for one in found] == [("", 0)]


def test_templates_vaults_and_unsafe_texts_are_found(tree: Any) -> None:
    text = (
        "dns_config: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61\nnetwork_mtu: '{{ mtu }}'\n"
        "cluster_name: !unsafe 'A{{'\n"
    )
    tree({"hosts.yml": HOSTS, "group_vars/cluster.yml": text, "host_vars/w1.yml": "$ANSIBLE_VAULT;1.1;AES256\n61\n"})
    raw = {"dns_config": object(), "network_mtu": "{{ mtu }}", "cluster_name": "A{{"}
    found = inventory({"cp1": raw}, sources=("hosts.yml",))
    assert [found.locate("cp1", name, ()).line for name in raw] == [1, 4, 5]


def test_problems_of_the_files_themselves(tree: Any) -> None:
    tree(
        {
            "hosts.yml": HOSTS,
            "group_vars/cluster.yml": "dns_replicas: 1\ndns_replicas: 2\n",
            "group_vars/worker.yml": "node_swap: true\n",
            "group_vars/openstack.yml": "node_swap: true\n",
            "group_vars/broken.yml": "a: [\n",
            "group_vars/workers.yml~": "node_swop: true\n",
            "host_vars/w11.yml": "node_swap: true\n",
        }
    )
    found = [one for one in problems(three(), sources=("hosts.yml", "10.0.0.1,")) if one.file]
    assert [(one.file, one.line, one.severity) for one in found] == [
        ("group_vars/cluster.yml", 2, "warning"),
        ("group_vars/worker.yml", 0, "warning"),
        ("host_vars/w11.yml", 0, "warning"),
    ]
    assert found[1].remedy == "Did you mean workers?"


def test_destroying_is_confirmed_on_the_command_line_only(tree: Any) -> None:
    tree({"hosts.yml": HOSTS, "group_vars/cluster.yml": "cluster_confirm: prod\n"})
    assert "kept in a file" in told(problems(three(cluster_confirm="prod"), sources=("hosts.yml",)))
    assert told(problems(three(cluster_confirm="test"), sources=("hosts.yml",))) == ""


def test_examples_of_the_specs_are_valid() -> None:
    skipped = {
        "cluster_etcd",  # its example holds templates
        "containerd_registries",
        "artifacts_lock",
        "artifacts_registry",  # warns, as it wants another artifacts_source
        "artifacts_mirror",
        "artifacts_bundle_path",
        "artifacts_source",
        "node_name",  # the same on all machines
        "node_address",
        "cluster_endpoint_provider",  # wants another endpoint
    }
    for name, option in options().items():
        if name not in skipped:
            found = problems(three(**yaml.safe_load(option.example)))
            assert not has_errors(found), told(found)


def test_sixty_machines_are_checked_in_a_moment() -> None:
    names = ["cp1", *(f"w{number}" for number in range(1, 60))]
    machines = {
        name: {"ansible_host": f"10.0.1.{number}", "cluster_endpoint": "10.0.1.100"}
        for number, name in enumerate(names)
    }
    start = time.monotonic()
    assert told(problems(machines)) == ""
    assert time.monotonic() - start < 2  # 0.1 s on an idle machine

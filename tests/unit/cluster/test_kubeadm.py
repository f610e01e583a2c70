# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What is rendered for kubeadm, the API server, the kubelet and kube-vip."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _kubeadm, _objects
from ansible_collections.weft.platform.plugins.plugin_utils._settings import settings, with_defaults

IMAGES = {
    name: f"registry.example.org/{name}:1.2.3"
    for name in ("etcd", "kube-vip", "flannel", "kube-router", "kube-proxy", "coredns")
}
TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule", "value": ""}


def variables(**more: Any) -> dict[str, Any]:
    found = settings(with_defaults({}), lambda value: value)
    found.update(
        node_name="cp1",
        node_address="192.0.2.11",
        node_taints=[TAINT],
        cluster_endpoint="192.0.2.10",
        cluster_endpoint_interface="eth0",
    )
    for name, value in more.items():
        old = found.get(name)
        found[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def cluster(**more: Any) -> dict[str, Any]:
    return _kubeadm.cluster_configuration(variables(**more), "v1.37.2", IMAGES)


def flags(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component["extraArgs"]}


def test_the_hardened_set() -> None:
    found = cluster()
    server = flags(found["apiServer"])
    assert server["profiling"] == "false" and server["tls-min-version"] == "VersionTLS12"
    assert "NodeRestriction" in server["enable-admission-plugins"]
    assert server["encryption-provider-config-automatic-reload"] == "true"
    for name in ("audit-policy-file", "authentication-config", "admission-control-config-file"):
        assert server[name].startswith(_kubeadm.FOLDER)
    for part in ("controllerManager", "scheduler"):
        assert flags(found[part])["profiling"] == "false"
    assert all("ECDHE" in name and "CBC" not in name for name in server["tls-cipher-suites"].split(","))
    assert found["etcd"]["local"]["imageTag"] == "1.2.3"


def test_a_person_s_arguments_come_last() -> None:
    args = {"apiserver": {"profiling": True, "v": 4}, "etcd": {"quota-backend-bytes": 8589934592}}
    found = cluster(cluster_component_args=args)
    assert flags(found["apiServer"])["profiling"] == "true" and flags(found["apiServer"])["v"] == "4"
    assert flags(found["etcd"]["local"])["quota-backend-bytes"] == "8589934592"


def test_feature_gates_reach_every_component() -> None:
    more = {"cluster_feature_gates": {"B": False, "A": True}}
    found = cluster(**more)
    for part in ("apiServer", "controllerManager", "scheduler"):
        assert flags(found[part])["feature-gates"] == "A=true,B=false"
    assert _kubeadm.kubelet(variables(**more))["featureGates"] == {"A": True, "B": False}


def test_kubeadm_s_own_structure_is_merged_and_keeps_the_hardening() -> None:
    own = {
        "certificateValidityPeriod": "4380h0m0s",
        "apiServer": {"extraArgs": [{"name": "event-ttl", "value": "2h"}, {"name": "profiling", "value": "true"}]},
    }
    found = cluster(cluster_kubeadm_config=own)
    assert found["certificateValidityPeriod"] == "4380h0m0s"
    server = flags(found["apiServer"])
    assert (server["event-ttl"], server["profiling"]) == ("2h", "true") and "audit-log-path" in server


@pytest.mark.parametrize(
    ("more", "endpoint", "port"),
    [
        ({}, "192.0.2.10:6443", 6443),
        ({"cluster_endpoint_port": 7443}, "192.0.2.10:7443", 7443),
        ({"cluster_endpoint_port": 443, "cluster_endpoint_provider": "external"}, "192.0.2.10:443", 6443),
        ({"cluster_endpoint": "api.example.org", "cluster_endpoint_provider": "node"}, "api.example.org:6443", 6443),
        ({"cluster_endpoint": "2001:db8::10"}, "[2001:db8::10]:6443", 6443),
    ],
)
def test_endpoint_and_port(more: dict[str, Any], endpoint: str, port: int) -> None:
    init, found = _kubeadm.init_documents(variables(**more), "v1.37.2", IMAGES)
    assert found["controlPlaneEndpoint"] == endpoint
    assert init["localAPIEndpoint"] == {"advertiseAddress": "192.0.2.11", "bindPort": port}
    assert str(more.get("cluster_endpoint", "192.0.2.10")) in found["apiServer"]["certSANs"]


def test_one_control_plane_s_names_are_not_in_another_s_configuration() -> None:
    """A machine that joins must not change the configuration, and so the certificates, of those that are there."""
    one, two = variables(), variables(node_name="cp2", node_address="192.0.2.12")
    assert _kubeadm.cluster_configuration(one, "v1", IMAGES) == _kubeadm.cluster_configuration(two, "v1", IMAGES)
    assert "cp1" in _kubeadm.sans(one)


def test_an_external_etcd() -> None:
    more = {"endpoints": ["https://192.0.2.21:2379"], "ca": "CA", "cert": "CERT", "key": "KEY"}
    found = variables(cluster_etcd=more)
    assert "local" not in _kubeadm.etcd(found, IMAGES)
    specs = _kubeadm.control_plane(found, "v1.37.2", IMAGES, first=True)
    secret = [spec["path"] for spec in specs if spec.get("secret")]
    assert secret == [f"{_kubeadm.FOLDER}/etcd/client.key"]
    for spec in specs:
        assert "KEY" not in json.dumps(spec.get("config", ""))


def test_probes_and_nothing_else_may_ask_anonymously() -> None:
    found = _kubeadm.authentication(variables())
    assert [one["path"] for one in found["anonymous"]["conditions"]] == ["/livez", "/readyz", "/healthz"]
    assert "jwt" not in found
    jwt = [{"issuer": {"url": "https://id.example.org", "audiences": ["k8s"]}}]
    assert _kubeadm.authentication(variables(cluster_authentication=jwt))["jwt"] == jwt


def test_what_the_api_server_reads_once_restarts_it_and_nothing_else_does() -> None:
    def read(**more: Any) -> dict[str, str]:
        server = flags(_kubeadm.cluster_configuration(variables(**more), "v1.37.2", IMAGES)["apiServer"])
        return {name: server[name] for name in ("audit-policy-file", "admission-control-config-file")}

    assert read() == read(cluster_encryption_resources=["secrets", "configmaps"])
    one, two = read(cluster_pod_security={"enforce": "restricted"}), read(cluster_audit_policy={"rules": []})
    assert [name for name in one if one[name] != read()[name]] == ["admission-control-config-file"]
    assert [name for name in two if two[name] != read()[name]] == ["audit-policy-file"]
    specs = _kubeadm.control_plane(variables(cluster_audit_policy={"rules": []}), "v1.37.2", IMAGES, first=False)
    assert set(two.values()) <= {spec.get("path") for spec in specs}


def test_patches_are_files_in_their_order() -> None:
    given = [{"component": "etcd", "patch": {"a": 1}}, {"component": "kube-scheduler", "type": "json", "patch": []}]
    found = _kubeadm.patches(variables(cluster_patches=given))
    assert list(found) == ["etcd001+strategic.json", "kube-scheduler002+json.json"]


def test_resources_stand_in_an_order_in_which_they_can_be_made() -> None:
    specs = _kubeadm.control_plane(variables(), "v1.37.2", IMAGES, first=False)
    order = [spec["type"] for spec in specs if spec["stage"] == "member"]
    assert order == [
        *("file", "file", "file", "patches", "encryption", "control_plane", "file", "unwanted", "certificates"),
        *("static_pods", "unwanted"),
    ]
    assert [spec["type"] for spec in _kubeadm.worker(variables(), "v1.37.2")] == ["file", "worker"]


def test_no_kube_vip_where_something_else_answers() -> None:
    for provider in ("external", "node"):
        specs = _kubeadm.control_plane(variables(cluster_endpoint_provider=provider), "v1", IMAGES, first=True)
        assert not [spec for spec in specs if "kube-vip" in str(spec.get("path"))]
        assert not [spec for spec in specs if "endpoint" in spec]


def test_kube_vip_asks_its_own_machine_and_moves_quickly() -> None:
    pod = _kubeadm.kube_vip(variables(), IMAGES["kube-vip"])
    (container,) = pod["spec"]["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["kubernetes_addr"] == "https://192.0.2.11:6443" and env["address"] == "192.0.2.10"
    assert int(env["vip_retryperiod"]) < int(env["vip_renewdeadline"]) < int(env["vip_leaseduration"]) <= 5
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert "vip_interface" not in str(_kubeadm.kube_vip(variables(cluster_endpoint_interface=""), "x"))


def test_credentials_reach_only_those_who_need_them() -> None:
    specs = _kubeadm.with_credentials(
        _kubeadm.control_plane(variables(), "v1", IMAGES, first=False), {"token": "t", "encryption_keys": []}
    )
    assert {spec["type"] for spec in specs if "credentials" in spec} == {"control_plane", "encryption"}


def test_the_kubelet_s_own_words_win() -> None:
    found = _kubeadm.kubelet(variables(node_kubelet_config={"maxPods": 50, "protectKernelDefaults": False}))
    assert (found["maxPods"], found["protectKernelDefaults"], found["readOnlyPort"]) == (50, False, 0)


# --- objects ------------------------------------------------------------------------------------------------------


def objects(**more: Any) -> list[dict[str, Any]]:
    return _objects.cluster_objects(variables(**more), IMAGES, [])


def pods(**more: Any) -> dict[str, dict[str, Any]]:
    made = [one for one in objects(**more) if "template" in one.get("spec", {})]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in made}


@pytest.mark.parametrize(
    ("plugin", "names"),
    [
        ("kube-router", {"flannel", "kube-router", "kube-proxy", "coredns"}),
        ("flannel", {"flannel", "kube-proxy", "coredns"}),
        ("none", {"kube-proxy", "coredns"}),
    ],
)
def test_each_network_plugin_has_its_workloads(plugin: str, names: set[str]) -> None:
    assert set(pods(network_plugin=plugin)) == names


def test_every_container_is_hardened() -> None:
    for name, pod in pods().items():
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            if name != "kube-proxy":  # it sets sysctls of the machine
                assert context["capabilities"]["drop"] == ["ALL"] and not context.get("privileged"), name
            assert container["resources"]["requests"], name
            assert container["image"] in IMAGES.values(), name
        assert pod["priorityClassName"].startswith("system-"), name


def test_objects_are_named_once() -> None:
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects()]
    assert len(names) == len(set(names))


def test_network_settings_are_merged() -> None:
    more = {"network_mtu": 1400, "network_config": {"Backend": {"Port": 4789}}, "cluster_pod_cidr": "10.9.0.0/16"}
    (config,) = [one["data"] for one in objects(**more) if one["metadata"]["name"] == "flannel" and "data" in one]
    net = json.loads(config["net-conf.json"])
    assert net["Network"] == "10.9.0.0/16" and net["Backend"] == {"Type": "vxlan", "MTU": 1400, "Port": 4789}


def test_a_changed_setting_makes_new_pods() -> None:
    def mark(**more: Any) -> Any:
        return {
            one["metadata"]["name"]: one["spec"]["template"]["metadata"].get("annotations")
            for one in objects(**more)
            if one["kind"] == "DaemonSet"
        }

    before, after = mark(), mark(proxy_config={"conntrack": {"maxPerCore": 1}})
    assert before["flannel"] == after["flannel"] and before["kube-proxy"] != after["kube-proxy"]


def test_proxy_settings() -> None:
    more = {"proxy_mode": "iptables", "proxy_config": {"conntrack": {"min": 0}}, "cluster_endpoint": "2001:db8::10"}
    (data,) = [one["data"] for one in objects(**more) if one["metadata"]["name"] == "kube-proxy" and "data" in one]
    settings = yaml.safe_load(data["config.conf"])
    assert (settings["mode"], settings["conntrack"]) == ("iptables", {"min": 0})
    assert yaml.safe_load(data["kubeconfig"])["clusters"][0]["cluster"]["server"] == "https://[2001:db8::10]:6443"


def test_dns_settings() -> None:
    block = "corp.example.org:53 {\n    forward . 192.0.2.53\n}\n"
    more = {"dns_replicas": 1, "dns_config": block, "dns_upstream": ["192.0.2.53", "192.0.2.54"]}
    found = {one["kind"]: one for one in objects(**more) if one["metadata"]["name"] in ("coredns", "kube-dns")}
    corefile = found["ConfigMap"]["data"]["Corefile"]
    assert "forward . 192.0.2.53 192.0.2.54 {" in corefile and block.strip() in corefile
    assert corefile.startswith(".:53 {")
    assert found["Service"]["spec"]["clusterIP"] == "10.96.0.10"
    assert "PodDisruptionBudget" not in found and found["Deployment"]["spec"]["replicas"] == 1


def test_a_text_of_a_person_cannot_leave_its_place() -> None:
    hostile = 'x"\n  evil: true\n{{ 7 * 7 }}'
    found = {one["metadata"]["name"]: one for one in objects(dns_config=hostile) if one["kind"] == "ConfigMap"}
    assert set(found["coredns"]["data"]) == {"Corefile"}
    assert "{{ 7 * 7 }}" in found["coredns"]["data"]["Corefile"]


def test_a_node_has_labels_as_text_and_taints_without_empty_values() -> None:
    found = _objects.node({"node_name": "w1", "node_labels": {"zone": 1}, "node_taints": [TAINT]})
    assert found["metadata"] == {"name": "w1", "labels": {"zone": "1"}}
    assert found["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]


def test_the_dns_address_is_the_tenth() -> None:
    assert _objects.dns_address("10.96.0.0/12") == "10.96.0.10"
    assert _objects.dns_address("fd00::/112") == "fd00::a"

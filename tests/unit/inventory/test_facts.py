# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What only shows when the facts of all machines lie side by side."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._inventory import Host, Inventory, Machine, check_facts
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import options

NAMES = ("cp1", "cp2", "w1")


def machine(name: str, facts: dict[str, Any], settings: dict[str, Any], opens_ports: bool = False) -> Machine:
    number = NAMES.index(name) + 1
    defaults = {key: option.default for key, option in options().items()}
    own = {"node_name": name, "node_address": f"10.0.0.{number}", "cluster_endpoint": "10.0.0.100"}
    groups = frozenset({"cluster", "control_plane" if name.startswith("cp") else "workers"})
    whole = {
        "machine_id": f"id{number}",
        "hostname": name,
        "addresses": [f"10.0.0.{number}"],
        "interfaces": {"eth0": [f"10.0.0.{number}/24", "fd00::1/64"]},
        "time": 1000.0 + number,
        "received": 1001.0 + number,
        **facts,
    }
    return Machine(Host(name, groups, settings={**defaults, **own, **settings}), whole, opens_ports)


def told(facts: dict[str, dict[str, Any]], opens: tuple[str, ...] = (), **settings: Any) -> str:
    machines = [machine(name, facts.get(name, {}), settings, name in opens) for name in NAMES]
    inventory = Inventory({one.host.name: one.host for one in machines}, {"control_plane": ["cp1", "cp2"]})
    found = check_facts(inventory, machines)
    return "\n".join(f"{one.severity} ({one.subject}): {one.message} -> {one.remedy}" for one in found)


def balancer(result: str) -> list[dict[str, Any]]:
    return [{"name": "cluster_endpoint", "address": "10.0.0.100", "port": 6443, "result": result}]


MEMBER = {
    "member": "control_plane",
    "node_name": "cp1",
    "version": "v1.37.2",
    "kubelet": "v1.37.2",
    "pod_cidr": "10.244.0.0/16",
    "service_cidr": "10.96.0.0/12",
    "dns_domain": "cluster.local",
    "ca_hash": "sha256:1",
}
WORKER = {"member": "worker", "node_name": "w1", "kubelet": "v1.37.2", "ca_hash": "sha256:1"}


def test_good_facts_have_no_problem() -> None:
    assert told({"cp1": {"kubernetes": MEMBER}, "w1": {"kubernetes": WORKER}}) == ""


def test_machines_without_facts_are_no_part_of_it() -> None:
    one = machine("cp1", {}, {})
    silent = Machine(one.host, {})
    assert check_facts(Inventory({"cp1": one.host}, {}), [silent]) == []


@pytest.mark.parametrize(
    ("facts", "settings", "wanted"),
    [
        ({"cp2": {"machine_id": "id1"}}, {}, "error (cp1, cp2): cp1 and cp2 have the same machine id: id1 -> Empty"),
        ({"cp2": {"machine_id": ""}, "w1": {"machine_id": ""}}, {}, ""),
        ({"cp2": {"hostname": "cp1"}}, {}, "warning (cp1, cp2): cp1 and cp2 have the same hostname"),
        # clocks
        ({"w1": {"time": 4603.0}}, {}, "the clock of w1 is 60 minutes ahead of the other machines'"),
        ({"w1": {"time": 1.0}}, {}, "the clock of w1 is 17 minutes behind"),
        ({"w1": {"time": 1008.0}}, {}, ""),
        ({"w1": {"time": 1008.0}}, {"node_preflight": {"clock_skew": 2}}, "the clock of w1 is 5 s ahead"),
        ({"w1": {"time": 9999.0, "received": 0}}, {}, ""),
        # addresses
        ({"w1": {"addresses": ["10.0.0.9"]}}, {}, "w1 does not have its node_address 10.0.0.3; it has 10.0.0.9"),
        (
            {"w1": {"interfaces": {"eth0": ["10.0.0.3/24"], "eth1": ["10.244.7.1/24"]}}},
            {},
            "cluster_pod_cidr 10.244.0.0/16 overlaps with 10.244.7.0/24, a network of w1",
        ),
        ({"w1": {"interfaces": {"docker0": ["10.100.0.1/16"]}}}, {}, "cluster_service_cidr 10.96.0.0/12 overlaps"),
        # endpoint
        ({}, {"cluster_endpoint": "10.0.1.100"}, "10.0.1.100 is in no network of cp1, so kube-vip cannot hold it"),
        ({}, {"cluster_endpoint": "10.0.1.100", "cluster_endpoint_provider": "external"}, ""),
        ({}, {"cluster_endpoint_interface": "eth7"}, "cp1 has no interface eth7 with an address; it has eth0"),
        ({"w1": {"reach": balancer("open")}, "cp1": {"reach": balancer("refused")}}, {}, ""),
        (
            {"w1": {"reach": balancer("unknown")}, "cp1": {"reach": balancer("unknown")}},
            {},
            "error (): cp1 and w1 cannot resolve cluster_endpoint 10.0.0.100",
        ),
        (
            {"cp1": {"reach": balancer("timeout")}},
            {},
            "warning (): cp1: nobody answers at cluster_endpoint 10.0.0.100 -> The load balancer must answer there",
        ),
        # what cannot change
        (
            {"cp1": {"kubernetes": {**MEMBER, "pod_cidr": "10.1.0.0/16"}}},
            {},
            "the inventory says 10.244.0.0/16 -> Set it back to 10.1.0.0/16. For another range, build",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "service_cidr": "10.2.0.0/16"}}},
            {},
            "add a ServiceCIDR object",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "dns_domain": "old.local"}}},
            {},
            "cluster_dns_domain cannot change on a live cluster: it is old.local",
        ),
        ({"w1": {"kubernetes": WORKER, "interfaces": {"gw0": ["10.244.7.1/24"]}}}, {}, ""),
        (
            {"cp1": {"kubernetes": {**MEMBER, "endpoint": "10.0.0.99:6443"}}},
            {},
            "cannot change on a live cluster: it is 10.0.0.99:6443, the inventory says 10.0.0.100:6443",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "endpoint": "10.0.0.100:443"}}},
            {},
            "cluster_endpoint_port cannot change on a live cluster: it is 10.0.0.100:443, the inventory says",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "endpoint": "API.example.org:6443"}}},
            {"cluster_endpoint": "api.example.org", "cluster_endpoint_provider": "external"},
            "",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "endpoint": "10.0.0.2:6443"}}},
            {"cluster_endpoint": "", "cluster_endpoint_provider": "node"},
            "it is 10.0.0.2:6443, the inventory says 10.0.0.1:6443",
        ),
        ({"w1": {"kubernetes": {**WORKER, "endpoint": "127.0.0.1:6443"}}}, {}, ""),
        ({"w1": {"kubernetes": {**WORKER, "node_ip": "10.0.0.3"}}}, {}, ""),
        (
            {"w1": {"kubernetes": {**WORKER, "node_ip": "10.0.0.9"}}},
            {},
            "w1 is in the cluster by the address 10.0.0.9; its node_address cannot become 10.0.0.3",
        ),
        ({"cp1": {"kubernetes": {"member": "none", "pod_cidr": "10.1.0.0/16"}}}, {}, ""),
        ({"cp1": {"kubernetes": {**MEMBER, "etcd": True}}}, {}, ""),
        ({"cp1": {"kubernetes": {**MEMBER, "etcd": False}}}, {}, "etcd runs outside the control planes, the inventory"),
        ({"cp1": {"kubernetes": {**MEMBER, "etcd": True}}}, {"cluster_etcd": {"endpoints": ["x"]}}, "wants it outside"),
        (
            {"w1": {"kubernetes": {**WORKER, "node_name": "old"}}},
            {},
            "w1 is the node old; its node_name cannot become w1",
        ),
        (
            {"cp1": {"kubernetes": MEMBER}, "w1": {"kubernetes": {**WORKER, "ca_hash": "sha256:2"}}},
            {},
            "w1 belongs to another cluster than cp1",
        ),
        # versions
        (
            {"cp1": {"kubernetes": MEMBER}},
            {"cluster_kubernetes_version": "1.36"},
            "cannot go back a minor: set it to 1.37",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "version": "v1.36.3", "kubelet": "v1.36.3"}}},
            {},
            "cluster_kubernetes_version is 1.37, the cluster runs 1.36 -> Set it back: apply does not move",
        ),
        (
            {"cp1": {"kubernetes": {**MEMBER, "version": "v1.35.4", "kubelet": "v1.35.4"}}},
            {},
            "Upgrade one minor at a time: first to 1.36",
        ),
        (
            {
                "cp1": {"kubernetes": MEMBER},
                "cp2": {"kubernetes": {**MEMBER, "node_name": "cp2", "version": "v1.35.4"}},
            },
            {},
            "control planes run minors 1.35 and 1.37, more than one apart",
        ),
        (
            {"cp1": {"kubernetes": MEMBER}, "w1": {"kubernetes": {**WORKER, "kubelet": "v1.33.1"}}},
            {},
            "error (w1): the kubelet of w1 is 1.33, the API server 1.37",
        ),
        (
            {
                "cp1": {"kubernetes": {**MEMBER, "version": "v1.36.3", "kubelet": "v1.36.3"}},
                "w1": {"kubernetes": WORKER},
            },
            {"cluster_kubernetes_version": "1.36"},
            "the kubelet of w1 is 1.37, the API server 1.36",
        ),
        ({"cp1": {"kubernetes": MEMBER}, "w1": {"kubernetes": {"member": "none", "kubelet": "v1.20.0"}}}, {}, ""),
    ],
)
def test_facts_are_judged(facts: dict[str, dict[str, Any]], settings: dict[str, Any], wanted: str) -> None:
    found = told(facts, **settings)
    assert wanted in found and (wanted or not found)


def reach(*rows: tuple[str, int, str]) -> dict[str, Any]:
    return {"reach": [{"name": name, "address": "10.0.0.9", "port": port, "result": how} for name, port, how in rows]}


@pytest.mark.parametrize(
    ("facts", "opens", "wanted"),
    [
        ({"w1": reach(("cp1", 6443, "open"), ("cp2", 6443, "refused"))}, (), ""),
        (
            {"w1": reach(("cp1", 6443, "timeout")), "cp2": reach(("cp1", 6443, "timeout"), ("cp1", 2379, "timeout"))},
            (),
            "cp2 and w1 cannot reach cp1 (10.0.0.9) on TCP 2379 and 6443: nothing comes back -> Look for a firewall",
        ),
        ({"w1": reach(("cp1", 6443, "unreachable"))}, (), "there is no way there -> Look for routes"),
        ({"w1": reach(("cp1", 6443, "timeout"))}, ("cp1",), ""),
        ({"w1": reach(("gone", 6443, "timeout"))}, (), ""),
    ],
    ids=["good", "firewall", "route", "port opened by this run", "target is down"],
)
def test_reachability_is_judged(facts: dict[str, dict[str, Any]], opens: tuple[str, ...], wanted: str) -> None:
    found = told(facts, opens)
    assert wanted in found and (wanted or not found)


def test_of_two_clocks_one_is_told() -> None:
    machines = [machine("cp1", {}, {}), machine("cp2", {"time": 4602.0}, {})]
    (one,) = check_facts(Inventory({one.host.name: one.host for one in machines}, {}), machines)
    assert one.message == "the clock of cp2 is 60 minutes ahead of the other machines'"

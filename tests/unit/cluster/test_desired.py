# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The resource list of a machine follows from its variables and the lock file, and from nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _arguments, _containerd, _kubeadm, _units
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._desired import (
    CONTROL_PLANE,
    WORKER,
    Machine,
    image,
    preflight,
    prepare,
    resources,
)
from ansible_collections.weft.platform.plugins.plugin_utils._settings import options, settings, with_defaults

LOCK: dict[str, Any] = {
    "binaries": [
        {"name": "kubelet", "path": "/usr/local/bin/kubelet", "sha256": "a" * 64, "roles": [CONTROL_PLANE, WORKER],
         "url": "https://dl.k8s.io/v1/kubelet"},
        {"name": "etcdctl", "path": "/usr/local/bin/etcdctl", "sha256": "b" * 64, "roles": [CONTROL_PLANE],
         "url": "https://example.org/etcd.tar.gz", "member": "etcd/etcdctl", "archive_sha256": "c" * 64},
    ],
    "images": [
        {"name": "pause", "ref": "registry.k8s.io/pause:3.10", "digest": "sha256:1", "roles": [CONTROL_PLANE, WORKER]},
        {"name": "etcd", "ref": "registry.k8s.io/etcd:3.7", "digest": "sha256:2", "roles": [CONTROL_PLANE]},
        {"name": "kube-vip", "ref": "ghcr.io/kube-vip/kube-vip:v1", "digest": "sha256:3", "roles": [CONTROL_PLANE]},
        {"name": "flannel", "ref": "ghcr.io/flannel-io/flannel:v0", "digest": "sha256:4",
         "roles": [CONTROL_PLANE, WORKER]},
        {"name": "kube-router", "ref": "docker.io/cloudnativelabs/kube-router:v2", "digest": "sha256:5",
         "roles": [CONTROL_PLANE, WORKER]},
    ],
}  # fmt: skip


def machine(role: str = WORKER, **over: Any) -> Machine:
    own = {"node_name": "m1", "node_address": "192.0.2.1", "node_taints": [], "artifacts_source": "bundle"}
    given = {"cluster_kubeconfig": "x", "artifacts_registry": "192.0.2.9:5001", **own, **over}
    return Machine("m1", role, settings(with_defaults(given), lambda value: value))


def named(specs: list[dict[str, Any]], kind: str) -> dict[str, Mapping[str, Any]]:
    return {
        str(spec.get("path") or spec.get("ref") or spec.get("name")): spec for spec in specs if spec["type"] == kind
    }


def test_machines_get_only_what_their_role_needs() -> None:
    control_plane, worker = prepare(machine(CONTROL_PLANE), LOCK), prepare(machine(WORKER), LOCK)
    assert set(named(control_plane, "binary")) == {"/usr/local/bin/kubelet", "/usr/local/bin/etcdctl"}
    assert set(named(worker, "binary")) == {"/usr/local/bin/kubelet"}
    assert set(named(control_plane, "image")) - set(named(worker, "image")) == {
        "registry.k8s.io/etcd:3.7",
        "ghcr.io/kube-vip/kube-vip:v1",
    }


@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        ({"network_plugin": "none"}, {"ghcr.io/flannel-io/flannel:v0", "docker.io/cloudnativelabs/kube-router:v2"}),
        ({"network_plugin": "flannel"}, {"docker.io/cloudnativelabs/kube-router:v2"}),
        ({"cluster_endpoint_provider": "external"}, {"ghcr.io/kube-vip/kube-vip:v1"}),
        ({"cluster_etcd": {"endpoints": ["https://192.0.2.5:2379"]}}, {"registry.k8s.io/etcd:3.7"}),
        ({}, set()),
    ],
)
def test_images_follow_the_choices(settings: dict[str, Any], absent: set[str]) -> None:
    every = {entry["ref"] for entry in LOCK["images"]}
    assert set(named(prepare(machine(CONTROL_PLANE, **settings), LOCK), "image")) == every - absent


@pytest.mark.parametrize(
    ("settings", "url", "archive"),
    [
        ({}, f"http://192.0.2.9:5001/v2/weft/binaries/blobs/sha256:{'b' * 64}", None),
        (
            {"artifacts_source": "upstream"},
            "https://example.org/etcd.tar.gz",
            {"sha256": "c" * 64, "member": "etcd/etcdctl"},
        ),
        (
            {"artifacts_source": "mirror", "artifacts_mirror": {"https://example.org": "https://mirror.lan/x/"}},
            "https://mirror.lan/x/etcd.tar.gz",
            {"sha256": "c" * 64, "member": "etcd/etcdctl"},
        ),
    ],
)
def test_binaries_come_from_the_chosen_source(settings: dict[str, Any], url: str, archive: Any) -> None:
    binary = named(prepare(machine(CONTROL_PLANE, **settings), LOCK), "binary")["/usr/local/bin/etcdctl"]
    assert (binary["url"], binary.get("archive")) == (url, archive)


def test_identical_input_gives_identical_lists() -> None:
    locked = {**LOCK, "kubernetes": "v1.37.2"}
    assert resources(machine(), locked, False) == resources(machine(), locked, False)


def test_an_unknown_image_says_what_to_do() -> None:
    with pytest.raises(KeyError, match=r"weft\.platform\.lock"):
        image(LOCK, "nothing")


def test_ports_follow_the_role_and_the_firewall_may_be_left_alone() -> None:
    ports = next(spec for spec in prepare(machine(CONTROL_PLANE), LOCK) if spec["type"] == "firewall")["ports"]
    assert {"6443/tcp", "2379-2380/tcp", "10250/tcp", "8472/udp"} <= set(ports)
    external = machine(CONTROL_PLANE, cluster_etcd={"endpoints": ["https://192.0.2.5:2379"]})
    ports = next(spec for spec in prepare(external, LOCK) if spec["type"] == "firewall")["ports"]
    assert "6443/tcp" in ports and "2379-2380/tcp" not in ports
    assert not [spec for spec in prepare(machine(node_firewall=False), LOCK) if spec["type"] == "firewall"]


def test_containerd_configuration_is_merged_and_names_our_pause_image() -> None:
    over = {"plugins": {"io.containerd.cri.v1.runtime": {"restrict_oom_score_adj": True}}}
    written = tomllib.loads(_containerd.config("registry.k8s.io/pause:3.10", over))
    runtime = written["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is True
    images = written["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == "registry.k8s.io/pause:3.10"


def test_registries_keep_their_credentials_secret() -> None:
    specs = _containerd.registry_hosts(
        [
            {
                "prefix": "docker.io",
                "mirrors": ["https://mirror.lan/hub"],
                "username": "u",
                "password": "p",
                "ca": "PEM",
            },
            {"prefix": "*", "mirrors": ["http://192.0.2.9:5001"]},
        ]
    )
    hosts = {spec["path"]: spec for spec in specs}
    hub = hosts["/etc/containerd/certs.d/docker.io/hosts.toml"]
    assert (hub["secret"], hub["mode"]) == (True, "0600")
    assert tomllib.loads(hub["content"])["host"]["https://mirror.lan/hub"]["header"] == {"Authorization": "Basic dTpw"}
    assert "server" not in tomllib.loads(hosts["/etc/containerd/certs.d/_default/hosts.toml"]["content"])
    assert "/etc/containerd/certs.d/docker.io/ca.crt" in hosts


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://dl.k8s.io/x", "http://s:3128"),
        ("http://dl.k8s.io/x", "http://p:3128"),
        ("https://mirror.lan/x", ""),
        ("https://mirror.plan/x", "http://s:3128"),
        ("https://192.0.2.9/x", ""),
        ("https://10.96.7.7/x", ""),
        ("https://10.1.7.7:5001/x", "http://s:3128"),
    ],
)
def test_a_machine_fetches_through_its_proxy(url: str, proxy: str) -> None:
    given = {"http": "http://p:3128", "https": "http://s:3128", "no_proxy": [".lan"]}
    assert _units.proxy_for(url, given, ["192.0.2.9", "10.96.0.0/12"]) == proxy
    assert _units.proxy_for(url, {}, []) == ""


def test_a_mirror_may_have_a_path_of_its_own() -> None:
    mirror = "https://harbor.lan/v2/hub"
    (spec,) = _containerd.registry_hosts([{"prefix": "docker.io", "mirrors": [mirror], "override_path": True}])
    assert tomllib.loads(spec["content"])["host"][mirror]["override_path"] is True


def test_every_machine_must_reach_the_other_control_planes() -> None:
    peers = [{"name": "m1", "address": "192.0.2.1"}, {"name": "m2", "address": "192.0.2.2"}]
    assert [peer["name"] for peer in preflight(machine(CONTROL_PLANE), {"architecture": "amd64"}, peers)["peers"]] == [
        "m2"
    ]


@pytest.mark.parametrize(
    ("role", "given", "free", "reached"),
    [
        (CONTROL_PLANE, {}, [6443, 2379, 2380, 10250, 10257, 10259], [6443, 2379, 2380]),
        (CONTROL_PLANE, {"cluster_endpoint_port": 443}, [443, 2379, 2380, 10250, 10257, 10259], [443, 2379, 2380]),
        (
            CONTROL_PLANE,
            {"cluster_etcd": {"endpoints": ["https://192.0.2.5:2379"]}},
            [6443, 10250, 10257, 10259],
            [6443],
        ),
        (WORKER, {"cluster_endpoint_port": 443, "cluster_endpoint_provider": "external"}, [10250], [6443]),
        (WORKER, {"cluster_endpoint_port": 443}, [10250], [443]),
    ],
)
def test_ports_are_checked_where_something_will_listen(
    role: str, given: dict[str, Any], free: list[int], reached: list[int]
) -> None:
    found = preflight(machine(role, **given), {"architecture": "amd64"}, [{"name": "m2", "address": "192.0.2.2"}])
    assert (found["ports"], found["peers"][0]["ports"]) == (free, reached)


@pytest.mark.parametrize(("provider", "asked"), [("external", [443]), ("kube-vip", [])])
def test_every_machine_must_reach_a_load_balancer(provider: str, asked: list[int]) -> None:
    given = {"cluster_endpoint": "api.lan", "cluster_endpoint_port": 443, "cluster_endpoint_provider": provider}
    found = preflight(machine(WORKER, **given), {"architecture": "amd64"}, [])["peers"]
    assert [one["ports"] for one in found if one["name"] == "cluster_endpoint"] == ([asked] if asked else [])


def test_a_proxy_becomes_a_drop_in_and_none_becomes_nothing() -> None:
    text = _units.proxy({"http": "http://p:3128", "no_proxy": ["10.0.0.0/8", ".lan"]}, ["localhost", "", ".lan"])
    assert 'Environment="HTTP_PROXY=http://p:3128"' in text
    assert 'Environment="NO_PROXY=localhost,.lan,10.0.0.0/8"' in text
    assert _units.proxy({"no_proxy": [".lan"]}, ["localhost"]) == ""
    hard = _units.proxy({"https": 'http://u:p%40"\\@p:3128'}, [])
    assert 'Environment="HTTPS_PROXY=http://u:p%%40\\"\\\\@p:3128"\n' in hard


@pytest.mark.parametrize(("address", "secret"), [("http://p:3128", False), ("http://u:p@p:3128", True)])
def test_a_proxy_is_passed_by_for_what_is_near_and_its_password_is_a_secret(address: str, secret: bool) -> None:
    found = machine(node_proxy={"https": address}, artifacts_registry="192.0.2.200:5001", cluster_endpoint="192.0.2.9")
    (drop_in,) = (one for one in prepare(found, LOCK) if one.get("path") == _units.CONTAINERD_PROXY)
    direct = re.search(r"NO_PROXY=([^\"]*)", drop_in["content"])
    wanted = {"192.0.2.9", "192.0.2.200", "10.244.0.0/16", "10.96.0.0/12", ".svc", ".cluster.local", found.address}
    assert direct and wanted <= set(direct[1].split(","))
    assert (drop_in.get("secret", False), drop_in.get("mode")) == (secret, "0600" if secret else None)


@pytest.mark.parametrize(("swap", "expected"), [(False, None), (True, False)])
def test_a_kubelet_starts_with_the_swap_that_stays(swap: bool, expected: bool | None) -> None:
    found = machine(node_swap=swap)
    assert _kubeadm.kubelet(found.settings).get("failSwapOn") is expected
    assert bool(named(prepare(found, LOCK), "swap")) is not swap


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"node_address": "192.0.2.21", "ansible_host": "192.0.2.22"}, "192.0.2.21"),
        ({"ansible_host": "192.0.2.22"}, "192.0.2.22"),
        ({}, "w1"),
    ],
)
def test_the_address_of_another_machine_is_its_node_address(given: dict[str, Any], expected: str) -> None:
    assert _arguments.address(given, "w1") == expected
    default = jinja2.Template(options()["node_address"]["default"]).render(given, inventory_hostname="w1")
    assert given.get("node_address", default) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cluster_endpoint_provider": "node"}, "192.0.2.11"),
        ({"cluster_endpoint_provider": "node", "cluster_endpoint": "192.0.2.12"}, "192.0.2.12"),
        ({"cluster_endpoint_provider": "kube-vip"}, ""),
    ],
)
def test_without_an_endpoint_the_first_control_plane_answers(given: dict[str, Any], expected: str) -> None:
    whole = {
        **with_defaults(given),
        "inventory_hostname": "w1",
        "groups": {"control_plane": ["cp1", "cp2"], "workers": ["w1"]},
        "hostvars": {"cp1": {"ansible_host": "192.0.2.11"}, "cp2": {"ansible_host": "192.0.2.12"}},
    }
    found = _arguments.machine(whole, lambda value: value)
    assert found.settings["cluster_endpoint"] == expected
    assert _kubeadm.endpoint(found.settings) == f"{expected}:6443"


#: What systemd.unit(5) knows in [Unit] and ignores anywhere else.
UNIT_KEYS = {"StartLimitIntervalSec", "StartLimitBurst", "ConditionPathExists", "After", "Wants"}


@pytest.mark.parametrize(("name", "text"), [("kubelet", _units.kubelet()), ("containerd", _units.containerd())])
def test_units_say_nothing_that_systemd_ignores(tmp_path: Path, name: str, text: str) -> None:
    found = RawConfigParser(strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]  # keys as they are written
    found.read_string(text.replace("\\\n", ""))
    assert not UNIT_KEYS.intersection(found["Service"])
    if name == "kubelet":  # however often it ends while the network or the runtime is not there yet
        assert found["Unit"]["StartLimitIntervalSec"] == "0"
    if shutil.which("systemd-analyze"):
        unit = tmp_path / f"{name}.service"
        unit.write_text(text.replace(f"/usr/local/bin/{name}", "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert str(unit) not in done.stderr

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A cluster among services of the user's own: etcd, load balancer, identity provider, and no network of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .lab import Lab, own
from .services import Authority, Issuer, etcdctl, start_etcd, start_load_balancer

pytestmark = pytest.mark.scenario

#: Runs etcd and the load balancer; no machine of the cluster.
SERVICES = "own-w2"
CONTROL_PLANES = ("own-cp1", "own-cp2")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("own")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two control planes and a worker, and a machine beside them."""
    made = Lab("own", tmp_path_factory.mktemp("own"))
    made.fleet.down()
    made.up(2, 2)
    made.edit(lambda data: data["children"]["cluster"]["children"]["workers"]["hosts"].pop(SERVICES))
    yield made
    made.fleet.down()


@pytest.fixture(scope="module")
def issuer(lab: Lab, authority: Authority) -> Iterator[Issuer]:
    made = Issuer(lab.fleet.gateway(), authority, lab.folder)
    yield made
    made.close()


def test_an_apply_takes_what_is_there(lab: Lab, authority: Authority, issuer: Issuer) -> None:
    url = start_etcd(lab, SERVICES, authority)
    endpoint = start_load_balancer(lab, SERVICES, *(lab.fleet.machine(name).address for name in CONTROL_PLANES))
    certificate, key = authority.issue("kube-apiserver")
    provider = {
        "issuer": {"url": issuer.url, "audiences": ["kubernetes"], "certificateAuthority": authority.pem},
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "oidc:"},
            "groups": {"claim": "groups", "prefix": "oidc:"},
        },
    }
    variables: dict[str, Any] = {
        "cluster_endpoint": endpoint,
        "cluster_endpoint_provider": "external",
        "cluster_etcd": {"endpoints": [url], "ca": authority.pem, "cert": certificate, "key": key},
        "cluster_authentication": [provider],
        "network_plugin": "none",
    }
    lab.edit(lambda data: [machine.update(variables) for machine in lab.machines(data)])
    planned = lab.plan()
    lab.apply("-e", f"weft_plan_output={lab.folder}")
    record = json.loads((lab.folder / "record.json").read_text())
    assert (own(record["missing"]), record["unplanned"], record["failed"]) == ([], [], {})
    assert own(record["changes"]) == own(planned)
    log = (lab.folder / "runs.log").read_text()
    assert key.splitlines()[2] not in log


def test_the_second_apply_changes_nothing(lab: Lab) -> None:
    assert lab.plan() == []
    assert set(lab.apply().changed.values()) == {0}


def test_nodes_lack_nothing_but_their_network(lab: Lab) -> None:
    items = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    assert {item["metadata"]["name"] for item in items} == {*CONTROL_PLANES, "own-w1"}
    for item in items:
        (ready,) = (one for one in item["status"]["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "False" and "NetworkPluginNotReady" in ready["message"]
    assert "flannel" not in lab.kubectl("get", "daemonsets", "-A")


def test_everything_is_in_that_etcd_and_secrets_are_encrypted_there(lab: Lab) -> None:
    for name in CONTROL_PLANES:
        assert "etcd.yaml" not in lab.fleet.execute(name, ["ls", "/etc/kubernetes/manifests"])
    lab.kubectl("create", "secret", "generic", "known", "--from-literal=word=unencrypted-word")
    found = etcdctl(lab, SERVICES, "get", "/registry/secrets/default/known")
    assert "k8s:enc:" in found and "unencrypted-word" not in found


def test_the_identity_provider_says_who_somebody_is(lab: Lab, issuer: Issuer) -> None:
    lab.kubectl("create", "clusterrolebinding", "developers", "--clusterrole=view", "--group=oidc:developers")

    def ask(token: str, *words: str) -> str:
        # The kubeconfig's own certificate would be asked first.
        server = json.loads(lab.kubectl("config", "view", "--raw", "-o", "json"))["clusters"][0]["cluster"]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "own", "cluster": server}],
            "users": [{"name": "ada", "user": {"token": token}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "ada"}}],
            "current-context": "own",
        }
        path = lab.folder / "ada.json"
        path.write_text(json.dumps(config))
        return lab.kubectl("--kubeconfig", str(path), *words, check=False)

    token = issuer.token("ada", "developers")
    assert "oidc:ada" in ask(token, "auth", "whoami")
    assert "kubernetes" in ask(token, "get", "services")
    assert "orbidden" in ask(token, "get", "secrets")
    assert "nauthorized" in ask(issuer.token("ada", "developers", audience="others"), "get", "services")
    assert "nauthorized" in ask(issuer.token("ada", "developers", seconds=-60), "get", "services")


def test_the_load_balancer_passes_over_a_control_plane_that_is_down(lab: Lab) -> None:
    lab.fleet.kill("own-cp1")
    for _ in range(3):
        assert "own-cp2" in lab.kubectl("get", "nodes", "--request-timeout=10s")
    lab.fleet.start("own-cp1")


def test_its_objects_stay_in_that_etcd_and_are_in_nobodys_way_unseen(lab: Lab) -> None:
    url = f"https://{lab.fleet.machine(SERVICES).address}:2379"
    run = lab.play("destroy")
    assert run.code != 0 and f"objects stay in the etcd at {url}" in " ".join(run.text.split())
    run = lab.play("destroy", "-e", "cluster_confirm=own")
    assert run.code == 0, run.text[-4000:]
    for name in CONTROL_PLANES:
        assert "No such file" in lab.fleet.execute(name, ["sh", "-c", "ls /etc/kubernetes 2>&1 || true"])
    run = lab.play("apply")
    assert run.code != 0 and "objects of another cluster under /registry/" in run.text
    etcdctl(lab, SERVICES, "del", "--prefix", "/registry/")
    lab.apply()
    assert lab.plan() == []

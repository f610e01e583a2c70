# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The life of one cluster on real machines, from a plan to its destruction.  The tests build on each other, in order.

Its machines are cut off from everything but the controller before they see the first task.
"""

from __future__ import annotations

import json
import socket
import ssl
import stat
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from .lab import KUBERNETES, Lab, own

pytestmark = pytest.mark.scenario

#: What a machine is, for comparison before the first apply and after destroy.
FINGERPRINT = r"""
find /etc /opt /usr/local /var/lib -xdev \( -path /var/lib/apt -o -path /var/lib/systemd \) -prune -o \
  \( -type f -o -type d -o -type l \) -printf '%p %y %m %l\n' | sort
find /etc /usr/local -xdev -type f ! -name machine-id -exec sha256sum {} + | sort -k2
dpkg-query -W -f '${Package} ${Version} ${Status}\n'
for s in net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables; do sysctl $s; done
ip -o link | cut -d: -f2 | cut -d@ -f1; ip -o addr | awk '{print $2, $4}' | grep -v fe80
systemctl list-unit-files --no-legend | sort
"""


PASSWORD = "not-to-be-shown-anywhere"
REGISTRY = {
    "prefix": "registry.example.org",
    "mirrors": ["https://mirror.example.org"],
    "username": "puller",
    "password": PASSWORD,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three control planes and two workers with no other network than the controller."""
    made = Lab("ci", tmp_path_factory.mktemp("cluster"), {"containerd_registries": [REGISTRY]})
    made.fleet.down()
    made.up(3, 2)
    made.fleet.cut()
    yield made
    made.fleet.down()


def fingerprint(lab: Lab, machine: str) -> str:
    return lab.fleet.execute(machine, ["sh", "-c", FINGERPRINT])


def test_an_apply_makes_its_plan_and_nothing_else(lab: Lab) -> None:
    before = fingerprint(lab, "ci-w2")
    (lab.folder / "found").write_text(before)
    planned = lab.plan()
    assert fingerprint(lab, "ci-w2") == before
    assert {change["subject"]["type"] for change in planned} >= {"binary", "image", "control_plane", "worker"}
    lab.apply("-e", f"weft_plan_output={lab.folder}")
    record = json.loads((lab.folder / "record.json").read_text())
    assert (own(record["missing"]), record["unplanned"], record["failed"]) == ([], [], {})
    assert own(record["changes"]) == own(planned)


def test_what_machines_joined_with_is_gone(lab: Lab) -> None:
    def left() -> list[str]:
        form = "jsonpath={range .items[*]}{.metadata.name} {.data.description}{'\\n'}{end}"
        rows = lab.kubectl("get", "secrets", "-n", "kube-system", "-o", form).splitlines()
        return [row for row in rows if row.startswith(("bootstrap-token", "kubeadm-certs"))]

    # kubeadm init makes a token that nobody is told of; it ends by itself after a minute.
    unused = b64encode(b"weft.platform: unused").decode()
    assert [row for row in left() if not row.endswith(unused)] == []
    assert wait_until(lambda: left() == [], seconds=120)


def test_the_second_apply_changes_nothing(lab: Lab) -> None:
    run = lab.apply()
    assert set(run.changed.values()) == {0}, run.text[-3000:]
    assert lab.plan() == []


def test_the_air_gap_was_one(lab: Lab) -> None:
    assert lab.fleet.dropped() is not None
    digests = yaml.safe_load(lab.lock().read_text())
    live = lab.fleet.execute("ci-w1", ["ctr", "-n", "k8s.io", "images", "ls"])
    for image in digests["images"]:
        if "worker" in image["roles"]:
            assert any(image["ref"] in line and image["digest"] in line for line in live.splitlines()), image


def test_the_kubeconfig_is_private_and_all_nodes_are_ready(lab: Lab) -> None:
    assert stat.S_IMODE(lab.kubeconfig.stat().st_mode) == 0o600
    assert lab.nodes() == dict.fromkeys(["ci-cp1", "ci-cp2", "ci-cp3", "ci-w1", "ci-w2"], True)


# --- network ------------------------------------------------------------------------------------------------------

PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: net, labels: {pod-security.kubernetes.io/enforce: baseline}}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: net, labels: {app: server}}
spec:
  nodeName: ci-w1
  containers: [{name: a, image: "IMAGE", args: [netexec, --http-port=8080]}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: net, labels: {app: client}}
spec:
  nodeName: ci-w2
  containers: [{name: a, image: "IMAGE", args: [pause]}]
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: net}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
"""
DENY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: net}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
ALLOW = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-client, namespace: net}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
"""


def answers(lab: Lab) -> bool:
    """Whether the client on one worker reaches the server on the other through its Service, by DNS name."""
    words = ["exec", "-n", "net", "client", "--", "/agnhost", "connect", "--timeout=2s"]
    return lab.kubectl(*words, "server.net.svc.cluster.local:80", check=False).strip() == ""


def wait_until(condition: Any, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(1)
    return False


def test_a_service_answers_across_nodes_by_name(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", stdin=PODS.replace("IMAGE", lab.image("agnhost")))
    lab.kubectl("wait", "-n", "net", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
    assert wait_until(lambda: answers(lab))


def test_a_default_deny_policy_holds_between_nodes(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", stdin=DENY)
    assert wait_until(lambda: not answers(lab)), "a denied connection was let through"
    lab.kubectl("apply", "-f", "-", stdin=ALLOW)
    assert wait_until(lambda: answers(lab)), "an allowed connection was not let through"
    lab.kubectl("delete", "networkpolicy", "-n", "net", "allow-client")
    assert wait_until(lambda: not answers(lab)), "a policy that was taken away still allows"
    lab.kubectl("delete", "namespace", "net", "--wait=false")


# --- secure by default --------------------------------------------------------------------------------------------


def endpoint(lab: Lab) -> str:
    return str(yaml.safe_load(lab.fleet.inventory.read_text())["all"]["vars"]["cluster_endpoint"])


def test_nobody_is_let_in_unnamed(lab: Lab) -> None:
    url = f"https://{endpoint(lab)}:6443"
    code = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}"]
    assert lab.fleet.execute("ci-w1", [*code, f"{url}/api"]) == "401"
    assert lab.fleet.execute("ci-w1", [*code, f"{url}/readyz"]) == "200"
    assert lab.fleet.execute("ci-w1", [*code, "https://127.0.0.1:10250/pods"]) == "401"


def test_the_kubelet_has_no_read_only_port(lab: Lab) -> None:
    assert ":10255" not in lab.fleet.execute("ci-w1", ["ss", "-lnt"])


def test_pods_are_held_to_the_baseline(lab: Lab) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad", "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "x", "securityContext": {"privileged": True}}]},
    }
    said = lab.kubectl("apply", "-f", "-", stdin=json.dumps(pod), check=False)
    assert "violates PodSecurity" in said and "privileged" in said


def test_secrets_are_encrypted_at_rest(lab: Lab) -> None:
    lab.kubectl("create", "secret", "generic", "at-rest", "--from-literal=word=plain-as-day")
    pki = "/etc/kubernetes/pki/etcd"
    words = ["etcdctl", "--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/peer.crt", "--key", f"{pki}/peer.key"]
    kept = lab.fleet.execute("ci-cp1", [*words, "get", "/registry/secrets/default/at-rest"])
    assert "k8s:enc:secretbox:v1:" in kept
    assert "plain-as-day" not in kept
    for other in ("ci-cp2", "ci-cp3"):
        key = ["sha256sum", "/etc/kubernetes/weft/encryption.json"]
        assert lab.fleet.execute(other, key) == lab.fleet.execute("ci-cp1", key)


def test_requests_are_logged_and_profiling_is_off(lab: Lab) -> None:
    log = lab.fleet.execute("ci-cp1", ["sh", "-c", "tail -n 200 /var/log/kubernetes/audit/audit.log"])
    assert '"kind":"Event"' in log
    assert "plain-as-day" not in lab.fleet.execute("ci-cp1", ["cat", "/var/log/kubernetes/audit/audit.log"])
    assert "404" in lab.kubectl("get", "--raw", "/debug/pprof/", check=False) or "NotFound" in lab.kubectl(
        "get", "--raw", "/debug/pprof/", check=False
    )


def test_old_tls_is_refused(lab: Lab) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((endpoint(lab), 6443), timeout=5) as raw, context.wrap_socket(raw) as tls:
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
    weak = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    weak.check_hostname, weak.verify_mode = False, ssl.CERT_NONE
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with (
        socket.create_connection((endpoint(lab), 6443), timeout=5) as raw,
        pytest.raises(ssl.SSLError),
        weak.wrap_socket(raw),
    ):
        pass


def test_files_have_the_modes_that_the_benchmark_wants(lab: Lab) -> None:
    script = "find /etc/kubernetes /var/lib/etcd /var/lib/kubelet/config.yaml -maxdepth 2 -printf '%m %U:%G %p\\n'"
    for line in lab.fleet.execute("ci-cp1", ["sh", "-c", script]).splitlines():
        mode, owner, path = line.split(" ", 2)
        if path.endswith((".conf", ".key", ".json", ".yaml")) and "pods" not in path:
            assert int(mode, 8) & 0o077 == 0 or (path.endswith(".yaml") and int(mode, 8) & 0o022 == 0), line
        assert owner == "0:0", line
    assert lab.fleet.execute("ci-cp1", ["stat", "-c", "%a", "/var/lib/etcd"]).strip() == "700"


def test_node_restriction_and_certificate_rotation_are_on(lab: Lab) -> None:
    manifest = lab.fleet.execute("ci-cp1", ["cat", "/etc/kubernetes/manifests/kube-apiserver.yaml"])
    assert "NodeRestriction" in manifest and "--authorization-mode=Node,RBAC" in manifest
    said = lab.fleet.execute(
        "ci-cp1",
        ["sh", "-c", "kubectl --kubeconfig /etc/kubernetes/kubelet.conf label node ci-w2 stolen=yes 2>&1 || true"],
    )
    assert "forbidden" in said
    config = json.loads(lab.kubectl("get", "--raw", "/api/v1/nodes/ci-w1/proxy/configz"))["kubeletconfig"]
    assert config["rotateCertificates"] is True
    assert config.get("readOnlyPort", 0) == 0
    assert config["authentication"]["anonymous"]["enabled"] is False


# --- change, growth, loss -----------------------------------------------------------------------------------------


def edited(lab: Lab, change: Any) -> list[dict[str, Any]]:
    """Edit the inventory, apply, and return what was made, which must be what was planned."""
    lab.edit(change)
    planned = lab.plan()
    lab.apply("-e", f"weft_plan_output={lab.folder}")
    record = json.loads((lab.folder / "record.json").read_text())
    assert own(record["changes"]) == own(planned)
    assert lab.plan() == []
    return planned


def hosts(data: dict[str, Any], group: str) -> dict[str, Any]:
    found: dict[str, Any] = data["children"]["cluster"]["children"][group]["hosts"]
    return found


def test_a_label_changes_one_node_and_goes_again(lab: Lab) -> None:
    made = edited(lab, lambda data: hosts(data, "workers")["ci-w1"].update(node_labels={"disk": "ssd"}))
    assert [(one["subject"]["type"], one["subject"]["name"]) for one in made] == [("Node", "ci-w1")]
    assert made[0]["origin"]["file"].endswith("hosts.yml")
    assert "ssd" in lab.kubectl("get", "node", "ci-w1", "-L", "disk")
    made = edited(lab, lambda data: hosts(data, "workers")["ci-w1"].update(node_labels={}))
    assert [(one["action"], one["before"]) for one in made] == [("removed", "ssd")]


def test_a_kubelet_setting_restarts_one_kubelet(lab: Lab) -> None:
    base = lab.variables_of("ci-w1")["node_kubelet_config"]
    wanted = {**base, "maxPods": 77}
    made = edited(lab, lambda data: hosts(data, "workers")["ci-w1"].update(node_kubelet_config=wanted))
    assert {one["subject"]["scope"] for one in made} == {"ci-w1"}
    assert {one["cost"] for one in made} == {"restart kubelet.service"}
    lab.wait_ready("ci-w1")
    assert json.loads(lab.kubectl("get", "node", "ci-w1", "-o", "json"))["status"]["capacity"]["pods"] == "77"


def test_what_control_planes_run_with_changes_one_by_one_and_is_in_force_after_one_apply(lab: Lab) -> None:
    """Arguments, patches and what the API server reads once: the plan names the restarts, and nothing is left."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "namespace": "default"},
        "spec": {"containers": [{"name": "bare", "image": "example.org/bare"}]},
    }
    create = ("create", "--dry-run=server", "-f", "-")
    assert "created" in lab.kubectl(*create, stdin=json.dumps(pod))
    patch = {"component": "kube-scheduler", "type": "merge", "patch": {"metadata": {"labels": {"patched": "yes"}}}}
    wanted = {
        "cluster_component_args": {"apiserver": {"max-requests-inflight": "500"}},
        "cluster_pod_security": {"enforce": "restricted"},
        "cluster_patches": [patch],
    }
    made = edited(lab, lambda data: data["vars"].update(wanted))
    restarts = {(one["subject"]["scope"], one["cost"]) for one in made if one.get("cost")}
    components = ("kube-apiserver", "kube-scheduler")
    assert restarts == {(f"ci-cp{n}", f"restart {name}") for n in (1, 2, 3) for name in components}
    assert "violates PodSecurity" in lab.kubectl(*create, stdin=json.dumps(pod), check=False)

    def patched() -> set[str]:
        listed = lab.kubectl("get", "pods", "-n", "kube-system", "-l", "patched=yes", "-o", "json")
        return {one["spec"]["nodeName"] for one in json.loads(listed)["items"]}

    assert wait_until(lambda: patched() == {"ci-cp1", "ci-cp2", "ci-cp3"}, 60)


def test_certificates_about_to_end_are_renewed_and_taken_up(lab: Lab) -> None:
    short = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": KUBERNETES,
        "certificateValidityPeriod": "240h0m0s",
    }
    names = ["front-proxy-client", "etcd-peer", "admin.conf", "scheduler.conf"]
    script = f"cat > /run/short && for n in {' '.join(names)}; do kubeadm certs renew $n --config /run/short; done"
    lab.fleet.execute("ci-cp2", ["sh", "-ec", script], stdin=json.dumps(short).encode())
    planned = lab.plan()
    assert {(one["subject"]["scope"], one["subject"]["type"]) for one in planned} == {("ci-cp2", "certificates")}
    due = {one["field"][0]: one.get("cost", "") for one in planned if one["field"][1] == "renewal"}
    assert due == {
        "front-proxy-client": "restart kube-apiserver",
        "etcd-peer": "",
        "admin.conf": "restart kube-vip",
        "scheduler.conf": "restart kube-scheduler",
    }
    lab.apply("-e", f"weft_plan_output={lab.folder}")
    record = json.loads((lab.folder / "record.json").read_text())
    assert (record["missing"], record["unplanned"]) == ([], [])
    assert lab.plan() == []


def test_what_leaves_the_inventory_leaves_machines_and_cluster(lab: Lab) -> None:
    """At the end nobody holds the endpoint, and the next run asks an API server itself to bring kube-vip back."""
    gone = {"network_plugin": "flannel", "dns_replicas": 1, "cluster_endpoint_provider": "external"}
    gone["containerd_registries"] = []
    kept = ["grep", "-c", "Authorization", "/etc/containerd/certs.d/registry.example.org/hosts.toml"]
    assert lab.fleet.execute("ci-w1", kept).strip() == "1"
    made = edited(lab, lambda data: [own.update(gone) for own in lab.machines(data)])
    removed = {
        (one["subject"]["type"], one["subject"]["name"])
        for one in made
        if one["action"] == "removed" and not one["field"]
    }
    assert removed == {
        ("DaemonSet.apps", "kube-system/kube-router"),
        ("ServiceAccount", "kube-system/kube-router"),
        ("ClusterRole.rbac.authorization.k8s.io", "weft:kube-router"),
        ("ClusterRoleBinding.rbac.authorization.k8s.io", "weft:kube-router"),
        ("PodDisruptionBudget.policy", "kube-system/coredns"),
        ("file", "/etc/containerd/certs.d/registry.example.org/hosts.toml"),
        ("file", "/etc/kubernetes/manifests/kube-vip.yaml"),
    }
    assert "registry.example.org" not in lab.fleet.execute("ci-w1", ["find", "/etc/containerd"])
    log = (lab.folder / "runs.log").read_text()
    assert PASSWORD not in log and b64encode(f"puller:{PASSWORD}".encode()).decode() not in log
    assert "ci-cp1" not in lab.kubectl("get", "nodes", "--request-timeout=5s", check=False)
    lab.edit(lambda data: [own.pop(name) for own in lab.machines(data) for name in gone])
    lab.apply()
    lab.wait_ready("ci-cp1", "ci-cp2", "ci-cp3", "ci-w1", "ci-w2")


def test_what_was_changed_behind_our_back_is_seen_and_mended(lab: Lab) -> None:
    lab.kubectl("-n", "kube-system", "scale", "deployment", "coredns", "--replicas=1")
    lab.fleet.execute("ci-w2", ["sysctl", "-w", "net.ipv4.ip_forward=0"])
    lab.fleet.execute("ci-w2", ["sh", "-c", "echo '# x' >> /etc/containerd/config.toml"])
    drift = lab.plan()
    assert {(one["subject"]["type"], one["subject"]["name"]) for one in drift} == {
        ("Deployment.apps", "kube-system/coredns"),
        ("sysctl", "net.ipv4.ip_forward"),
        ("file", "/etc/containerd/config.toml"),
        ("unit", "containerd.service"),
    }
    lab.apply()
    assert lab.plan() == []


def test_a_worker_more_touches_it_and_one_control_plane(lab: Lab) -> None:
    lab.fleet.up(3, 3)
    lab.join_hosts()
    (lab.folder / "found-w3").write_text(fingerprint(lab, "ci-w3"))
    run = lab.apply()
    lab.wait_ready("ci-w3")
    touched = {name for name, count in run.changed.items() if count}
    assert "ci-w3" in touched
    assert len(touched - {"ci-w3"}) == 1 and (touched - {"ci-w3"}).pop().startswith("ci-cp")


def test_one_machine_goes_and_is_what_it_was(lab: Lab) -> None:
    run = lab.play("destroy", "--limit", "ci-w3")
    assert run.code != 0 and "cluster_confirm=ci" in run.text
    assert lab.nodes()["ci-w3"]
    run = lab.play("destroy", "--limit", "ci-w3", "-e", "cluster_confirm=ci")
    assert run.code == 0, run.text[-3000:]
    assert "ci-w3" not in lab.nodes()
    assert fingerprint(lab, "ci-w3") == (lab.folder / "found-w3").read_text()
    lab.fleet.remove("ci-w3")
    lab.join_hosts()


def test_a_restarted_machine_comes_back_by_itself(lab: Lab) -> None:
    lab.fleet.restart("ci-w1")
    time.sleep(5)
    lab.wait_ready("ci-w1")


def test_the_kubeconfig_can_be_revoked_and_git_has_the_last_word(lab: Lab) -> None:
    lab.kubectl("delete", "clusterrolebinding", "weft:cluster-operators")
    assert "orbidden" in lab.kubectl("get", "nodes", check=False)
    lab.apply()
    assert lab.nodes()


def test_without_its_first_control_plane_the_cluster_answers_and_grows(lab: Lab) -> None:
    lab.fleet.kill("ci-cp1")
    begin = time.monotonic()
    assert wait_until(lambda: "ok" in lab.kubectl("get", "--raw", "/readyz", "--request-timeout=1s", check=False), 30)
    assert time.monotonic() - begin < 10
    run = lab.play("destroy", "--limit", "ci-w2", "-e", "cluster_confirm=ci")
    assert run.code == 0, run.text[-3000:]
    assert "ci-w2" not in lab.nodes()
    lab.fleet.reinstall("ci-w2")
    run = lab.play("apply")
    assert run.code != 0 and "ci-cp1" in run.text, "a machine that is down must be named"
    lab.wait_ready("ci-w2")
    lab.fleet.start("ci-cp1")
    lab.wait_ready("ci-cp1")
    lab.apply()


def test_a_reinstalled_control_plane_rejoins(lab: Lab) -> None:
    lab.fleet.reinstall("ci-cp3")
    lab.apply()
    lab.wait_ready("ci-cp3")
    pki = "/etc/kubernetes/pki/etcd"
    words = ["etcdctl", "--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/peer.crt", "--key", f"{pki}/peer.key"]
    assert len(lab.fleet.execute("ci-cp1", [*words, "member", "list"]).splitlines()) == 3
    assert lab.plan() == []


def test_all_goes_and_nothing_is_left(lab: Lab) -> None:
    assert lab.play("destroy").code != 0
    run = lab.play("destroy", "-e", "cluster_confirm=ci")
    assert run.code == 0, run.text[-3000:]
    found = (lab.folder / "found").read_text()
    assert fingerprint(lab, "ci-w2") == found

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the doors `inventory` and `plan` do with what Ansible hands them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.weft.platform.plugins.module_utils._change import Change, Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _inventory
from ansible_collections.weft.platform.plugins.plugin_utils._cluster import _origins
from ansible_collections.weft.platform.plugins.plugin_utils._planning import inventory, plan, with_origin

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "plan.json").read_text(encoding="utf-8"))
NAMES = ("cp1", "cp2", "cp3", "w1")


class Templar:
    """Resolves only "{{ name }}", which is what the tests need of templates."""

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        self.variables = variables or {}

    def copy_with_new_env(self, *, available_variables: Mapping[str, Any]) -> Templar:
        return Templar(available_variables)

    def template(self, variable: Any) -> Any:
        if not isinstance(variable, str) or "{{" not in variable:
            return variable
        name = variable.strip("{} ").split(" ")[0].strip("'")
        if name == "[{'key':":  # the default of node_taints
            return []
        if variable.startswith(("~/.kube", "{{ inventory_dir")):
            return "path"
        return self.variables[name]


class HostVars(dict[str, Any]):
    """Ansible's hostvars."""

    def raw_get(self, name: str) -> Mapping[str, Any]:
        return dict(self[name])


def change(kind: str, name: str, scope: str, **rest: Any) -> dict[str, Any]:
    return Change(Subject(kind, name, scope), (), "0", "1", **rest).to_json()


def facts(number: int, **rest: Any) -> dict[str, Any]:
    return {
        "machine_id": f"id{number}",
        "hostname": f"n{number}",
        "addresses": [f"10.0.0.{number}"],
        "interfaces": {"eth0": [f"10.0.0.{number}/24"]},
        **rest,
    }


def variables(observed: Mapping[str, Mapping[str, Any]], stages: Mapping[str, Any], **cluster: Any) -> dict[str, Any]:
    groups = {"all": list(NAMES), "cluster": list(NAMES), "control_plane": list(NAMES[:3]), "workers": ["w1"]}
    hosts = HostVars()
    for number, name in enumerate(NAMES, 1):
        result = {"changes": [], "problems": [], "stages": {}, "facts": facts(number), **observed.get(name, {})}
        hosts[name] = {
            "inventory_hostname": name,
            "ansible_host": f"10.0.0.{number}",
            "cluster_endpoint": "10.0.0.100",
            "groups": groups,
            "weft_observed": result,
            **cluster,
        }
    hosts["cp1"]["weft_objects"] = {"changes": [change("ConfigMap", "kube-system/coredns", "")]}
    whole = {"hostvars": hosts, "groups": groups, "weft_stages": {"changed": False, "problems": [], **stages}}
    return {**whole, "ansible_inventory_sources": ["10.0.0.1,"]}


STAGES = {
    "leader": "cp1",
    "live": True,
    "initialise": False,
    "prepare": ["w1"],
    "member": [],
    "joiners": [],
    "nodes": NAMES,
}
OBSERVED = {
    "w1": {
        "changes": [
            change("sysctl", "vm.swappiness", "w1"),
            change("file", "/etc/x", "w1", secret=True, cost="restart a"),
        ],
        "stages": {"prepare": 2},
    }
}


def test_a_good_inventory_passes() -> None:
    found = inventory(variables({}, STAGES), Templar())
    assert found == {"changed": False, "problems": [], "warnings": []}


def test_warnings_are_shown_and_do_not_fail() -> None:
    found = inventory(variables({}, STAGES, dns_what=1), Templar())
    assert "failed" not in found
    assert found["warnings"][0].startswith("dns_what is no variable of this collection")


def test_all_errors_of_an_inventory_in_one_message() -> None:
    found = inventory(variables({}, STAGES, dns_replicas="2", cluster_nmae="x"), Templar())
    assert found["failed"] and len(found["problems"]) == 2
    assert "Did you mean cluster_name?" in found["msg"] and found["msg"].endswith("Nothing was changed.")


def test_a_template_that_fails_is_a_problem_of_its_variable() -> None:
    found = inventory(variables({}, STAGES, cluster_name="{{ nothing }}"), Templar())
    assert "cluster_name cannot be resolved: 'nothing'" in found["msg"]


def test_a_plan(tmp_path: Path) -> None:
    found = plan(variables(OBSERVED, STAGES), Templar(), {"output": str(tmp_path / "out")}, False)
    assert "failed" not in found
    assert [one["subject"]["name"] for one in found["changes"]] == ["vm.swappiness", "/etc/x", "kube-system/coredns"]
    assert found["changes"][1]["before"] == "(secret)"
    assert found["hosts_with_changes"] == ["w1"] and found["unreachable_hosts"] == []
    assert found["leader"] == "cp1" and found["prepare"] == ["w1"]
    assert found["summary"] == [
        "1 machine, 3 changes: 3 changed; 1 of them to objects of the cluster",
        "restart a on w1",
    ]
    assert "w1  (worker)" in found["report"] and found["report"].endswith("restart a on w1")
    document = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [step["id"] for step in document["steps"]] == ["prepare:w1", "objects", "ready"]
    assert document["steps"][0]["changes"] == 2
    assert (tmp_path / "out" / "plan.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "out" / "plan.dot").read_text(encoding="utf-8").startswith("digraph")
    assert len(found["files"]) == 3


@pytest.mark.parametrize("kind", ["json", "dot", "svg"])
def test_one_file_of_a_plan(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"deep/p.{kind}"
    found = plan(variables(OBSERVED, STAGES), Templar(), {"output": str(path)}, False)
    assert found["files"] == [str(path)] and path.stat().st_size > 100


def test_a_plan_of_nothing() -> None:
    whole = variables({}, {**STAGES, "prepare": []})
    del whole["hostvars"]["cp1"]["weft_objects"]
    found = plan(whole, Templar(), {}, False)
    assert found["report"] == "Nothing to change." and found["changes"] == [] and found["files"] == []


DOWN = {
    "unreachable": True,
    "msg": "Failed to connect to the host via ssh: connect to host 10.0.0.4: No route to host",
    "facts": {},
}


def test_a_machine_that_is_down_is_named_and_left_out() -> None:
    found = plan(variables({"w1": DOWN}, STAGES), Templar(), {}, False)
    assert "failed" not in found
    assert found["unreachable_hosts"] == ["w1"] and "unreachable, and left out: w1" in found["summary"]
    (problem,) = found["problems"]
    assert problem["severity"] == "warning" and "No route to host" in problem["message"]
    assert found["warnings"] == [f"{problem['message']}. {problem['remedy']}"]


@pytest.mark.parametrize(
    ("result", "message", "remedy"),
    [
        (
            {"unreachable": True, "msg": "Failed to connect: @@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@"},
            "w1: its SSH host key is not the known one",
            "ssh-keygen -R",
        ),
        (
            {"unreachable": True, "msg": "root@10.0.0.4: Permission denied (publickey)."},
            "w1: it does not let the user in over SSH",
            "ansible_user",
        ),
        (
            {"failed": True, "msg": "Incorrect sudo password", "facts": {}},
            "w1 could not be observed: Incorrect sudo password",
            "--ask-become-pass",
        ),
        ({"failed": True, "msg": "boom", "facts": {}}, "w1 could not be observed: boom", ""),
        (
            {"problems": [{"check": "memory", "message": "512 MiB of memory", "remedy": "Give it more."}]},
            "w1: 512 MiB of memory",
            "Give it more.",
        ),
        ({"facts": facts(4, machine_id="id1")}, "cp1 and w1 have the same machine id: id1", "systemd-machine-id-setup"),
    ],
    ids=["host key", "user", "sudo", "module", "preflight", "facts"],
)
def test_what_stops_a_run(result: Mapping[str, Any], message: str, remedy: str) -> None:
    found = plan(variables({"w1": {"facts": {}, **result}}, STAGES), Templar(), {}, False)
    assert found["failed"] and found["msg"].endswith("Nothing was changed.")
    (problem,) = found["problems"]
    assert problem["message"] == message and remedy in problem.get("remedy", "")
    assert message in found["msg"] and problem["severity"] == "error"


def test_a_check_to_ignore_only_warns() -> None:
    problem = {"check": "cpus", "severity": "warning", "message": "1 CPU", "remedy": "Give the machine 2 CPUs."}
    found = plan(variables({"w1": {"facts": {}, "problems": [problem]}}, STAGES), Templar(), {}, False)
    assert not found.get("failed")
    assert found["warnings"] == ["w1: 1 CPU. Give the machine 2 CPUs."]


def test_problems_of_stages_and_of_objects_stop_a_run() -> None:
    stages = {**STAGES, "problems": [{"check": "x", "message": "no control plane can be reached", "remedy": "Mend."}]}
    whole = variables({}, stages)
    whole["hostvars"]["cp1"]["weft_objects"] = {"failed": True, "msg": "the API server refused"}
    found = plan(whole, Templar(), {}, False)
    assert [one["message"] for one in found["problems"]] == [
        "the cluster could not be observed through cp1: the API server refused",
        "no control plane can be reached",
    ]
    assert all("check" not in one for one in found["problems"])


def test_a_leader_that_opens_no_api_stops_a_run() -> None:
    whole = variables({}, STAGES)
    del whole["hostvars"]["cp1"]["weft_objects"]
    whole["hostvars"]["cp1"]["weft_api"] = {"failed": True, "msg": "kubeadm failed"}
    found = plan(whole, Templar(), {}, False)
    assert [one["message"] for one in found["problems"]] == [
        "the cluster could not be observed through cp1: kubeadm failed"
    ]
    assert found["failed"]


def test_files_are_written_also_when_the_plan_fails(tmp_path: Path) -> None:
    observed = {"w1": {"failed": True, "msg": "boom", "facts": {}}}
    found = plan(variables(observed, STAGES), Templar(), {"output": str(tmp_path)}, False)
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert found["failed"] and document["machines"]["w1"]["state"] == "failed"
    assert document["problems"][0]["message"].endswith("boom")


HOSTS_YML = """\
cluster:
  vars:
    cluster_component_args:
      apiserver: {profiling: "false"}
    dns_replicas: 3
    network_plugin: flannel
    node_packages: [jq]
  children:
    control_plane:
      hosts:
        cp1: {node_name: cp1}
    workers:
      hosts:
        w1:
          node_name: node-w1
          node_labels: {disk: ssd}
          node_sysctls:
            vm.swappiness: "10"
          node_kernel_modules: [dm_crypt]
"""


def origin_of(folder: Path, change: Change) -> str:
    """Where the plan says that a Change was written."""
    path = folder / "hosts.yml"
    path.write_text(HOSTS_YML)
    data = yaml.safe_load(HOSTS_YML)["cluster"]
    own = {name: one for group in data["children"].values() for name, one in group["hosts"].items()}
    given = {name: {**data["vars"], **one} for name, one in own.items()}
    groups = {"cluster": ["cp1", "w1"], "control_plane": ["cp1"], "workers": ["w1"]}
    built = _inventory.build(groups, given.__getitem__, lambda name: given[name].get, [str(path)])
    origin = with_origin(built, change).origin
    return origin.file.rpartition("/")[2] + f":{origin.line}" if origin else ""


@pytest.mark.parametrize(
    ("subject", "field", "expected"),
    [
        (Subject("sysctl", "vm.swappiness", "w1"), (), "hosts.yml:18"),
        (Subject("sysctl", "net.ipv4.ip_forward", "w1"), (), ""),
        (Subject("sysctl", "vm.swappiness", "cp1"), (), ""),
        (Subject("kernel_module", "dm_crypt", "w1"), (), "hosts.yml:19"),
        (Subject("kernel_module", "overlay", "w1"), (), ""),
        (Subject("package", "jq", "w1"), (), "hosts.yml:7"),
        (Subject("Node", "node-w1"), ("metadata", "labels", "disk"), "hosts.yml:16"),
        (Subject("Node", "node-w1"), ("metadata", "labels", "gone"), ""),
        (Subject("Node", "stranger"), ("metadata", "labels", "disk"), ""),
        (Subject("Deployment.apps", "kube-system/coredns"), ("spec", "replicas"), "hosts.yml:5"),
        (Subject("DaemonSet.apps", "kube-system/kube-router"), (), "hosts.yml:6"),
        (
            Subject("static_pods", "control-plane", "cp1"),
            ("kube-apiserver", "spec", "containers", "[name=kube-apiserver]", "command", "--profiling"),
            "hosts.yml:4",
        ),
        (
            Subject("static_pods", "control-plane", "cp1"),
            ("kube-scheduler", "spec", "containers", "[name=kube-scheduler]", "command", "--profiling"),
            "",
        ),
        # Two variables say what it holds, so neither is named.
        (Subject("file", "/etc/modules-load.d/90-kubernetes.conf", "w1"), (), ""),
        (Subject("file", "/etc/modules-load.d/90-kubernetes.conf", "cp1"), (), "hosts.yml:6"),
        (Subject("file", "/etc/unknown", "w1"), (), ""),
    ],
)
def test_a_change_says_where_it_was_written(tmp_path: Path, subject: Subject, field: Any, expected: str) -> None:
    assert origin_of(tmp_path, Change(subject, field, 0, 1)) == expected


def test_the_variables_that_changes_come_from_are_there() -> None:
    named = [*_origins._NAMED.values(), *(name for *_, names in _origins._WHOLE for name in names)]
    assert set(named) <= set(_inventory.options())

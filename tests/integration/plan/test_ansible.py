# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The doors inventory and plan and the progress callback in a real Ansible: its values carry tags and templates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOK = """\
- name: Inventory
  hosts: cluster
  gather_facts: false
  tasks:
    - name: Read and validate the inventory
      weft.platform.inventory:
      run_once: true

- name: Observe
  hosts: cluster
  gather_facts: false
  tasks:
    - name: What the machines would say
      ansible.builtin.set_fact:
        weft_observed:
          changes:
            - subject: {type: sysctl, name: vm.swappiness, scope: "{{ inventory_hostname }}"}
              field: []
              action: changed
              before: "60"
              after: "{{ node_sysctls['vm.swappiness'] | string }}"
          stages: {prepare: 1}
          facts: {machine_id: "{{ inventory_hostname }}"}
          problems: []
        weft_stages: {leader: cp1, prepare: "{{ groups.cluster }}", problems: []}

    - name: Plan
      weft.platform.plan:
        output: "{{ inventory_dir }}/plan.json"
      run_once: true
      register: weft_plan

    - name: What is returned
      ansible.builtin.debug:
        msg: "{{ weft_plan.prepare | length }} to prepare, {{ weft_plan.changes | length }} changes"
      run_once: true
"""

HOSTS = """\
cluster:
  vars:
    site: prod
    registry_password: [hunter2, "{{ 'x' }}"]
  children:
    control_plane:
      hosts:
        cp1: {ansible_host: 10.0.0.1}
    workers:
      hosts:
        w[1:2]:
          node_address: "10.0.1.{{ inventory_hostname[1:] }}"
"""

CLUSTER = """\
cluster_name: "{{ site }}"
cluster_endpoint: 10.0.0.100
cluster_kubeconfig_merge: "{{ site == 'prod' }}"
dns_replicas: "{{ groups.control_plane | length }}"
node_sysctls: {vm.swappiness: 10}
node_labels: "{{ {'zone': hostvars['cp1'].ansible_host} }}"
containerd_registries:
  - prefix: docker.io
    username: !unsafe "{{ me"
    password: "{{ registry_password[0] }}"
"""


def play(folder: Path, more: str = "", *arguments: str, callback: str = "weft.platform.progress") -> tuple[int, str]:
    (folder / "group_vars").mkdir(exist_ok=True)
    for name, text in (("site.yml", PLAYBOOK), ("hosts.yml", HOSTS), ("group_vars/cluster.yml", CLUSTER + more)):
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.yml", "site.yml", *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": callback,
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("ANSIBLE_CONFIG", None)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_a_good_inventory_is_planned(tmp_path: Path) -> None:
    code, text = play(tmp_path, "dns_what: 1\n")
    assert code == 0, text
    flat = " ".join(text.split())
    assert f"[WARNING]: group_vars/cluster.yml:{CLUSTER.count(chr(10)) + 1}: dns_what is no variable of this" in flat
    assert "cp1, w1, w2  (1 control plane, 2 workers)\n  ~ sysctl  vm.swappiness  60 -> 10" in text
    assert "3 machines, 3 changes: 3 changed" in text
    assert "3 to prepare, 3 changes" in text
    assert "Inventory" in text and "Done in" in text and "hunter2" not in text
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert document["cluster"] == "prod"
    assert [machine["role"] for machine in document["machines"].values()] == ["control_plane", "worker", "worker"]


BAD = """\
cluster_pod_cidr: "{{ '10.96.0.0/16' }}"
cluster_dns_domain: "{{ nothing_of_that_name }}"
cluster_nmae: x
proxy_mode: ipvs
"""


@pytest.mark.parametrize("callback", ["weft.platform.progress", "default"])
def test_all_problems_are_told_with_their_places(tmp_path: Path, callback: str) -> None:
    code, text = play(tmp_path, BAD, "-e", "network_mtu=1400", callback=callback)
    assert code == 2
    wanted = (
        "cluster_pod_cidr 10.96.0.0/16 overlaps",
        "cluster_dns_domain cannot be resolved",
        "Did you mean cluster_name?",
        "proxy_mode cannot be 'ipvs'",
    )
    for number, message in enumerate(wanted, CLUSTER.count("\n") + 1):
        assert f"group_vars/cluster.yml:{number}" in text and message in text
    assert "network_mtu must be a whole number, not '1400'" in text
    assert "5 errors" in text and "Nothing was changed." in text and "hunter2" not in text
    assert not (tmp_path / "plan.json").exists()

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The inventory that says where a set's machines are and how to log in; everything else is in inventories/."""

from __future__ import annotations

from pathlib import Path

GROUPS = {"control_plane": "control_plane", "worker": "workers"}


def render(name: str, machines: dict[str, tuple[str, str]], folder: Path, endpoint: str) -> str:
    """The text of hosts.yml.

    Args:
        name: of the set, and so of its cluster.
        machines: name to (role, address).
        folder: the set's folder, where its keys and known_hosts are.
        endpoint: an address of the set's network that no machine has, for the cluster's API.
    """
    lines = [
        "# Made by 'python3 -m tests.machines'; made again whenever the machines change.",
        "all:",
        "  vars:",
        "    ansible_user: weft",
        f"    ansible_ssh_private_key_file: {folder / 'id_ed25519'}",
        "    ansible_ssh_common_args: >-",
        f"      -o UserKnownHostsFile={folder / 'known_hosts'} -o GlobalKnownHostsFile=/dev/null",
        "      -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        "    ansible_python_interpreter: /usr/bin/python3",
        f"    cluster_name: {name}",
        f"    cluster_endpoint: {endpoint}",
        f"    cluster_kubeconfig: {folder / 'kubeconfig'}",
        "  children:",
        "    cluster:",
        "      children:",
    ]
    for role, group in GROUPS.items():
        hosts = {name: address for name, (its_role, address) in machines.items() if its_role == role}
        lines.append(f"        {group}:")
        lines.append("          hosts:" if hosts else "          hosts: {}")
        for name, address in hosts.items():
            lines += [f"            {name}:", f"              ansible_host: {address}"]
    return "\n".join(lines) + "\n"

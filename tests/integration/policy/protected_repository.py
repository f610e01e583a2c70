# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A small protected repository, and Git without the surroundings of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _model

#: The directory from which `ansible_collections.weft.platform` can be imported.
IMPORT_ROOT = Path(_model.__file__).parents[6]

FILES = {
    "README.md": "# A site\n",
    "policy/roles.yml": """\
roles:
  cluster-operators:
    members: [team:platform]
  application-developers:
    members: [team:shop]
owners: cluster-operators
""",
    "policy/rules/platform.yml": """\
rules:
  - name: only Cluster Operators change Kubernetes versions
    change: {file: "inventories/**", field: cluster_kubernetes_version}
    allow: cluster-operators
    approvals: {count: 1, from: cluster-operators}
  - name: developers work in their applications
    change: {file: "apps/**"}
    allow: [application-developers, cluster-operators]
""",
    "inventories/prod/hosts.yml": """\
all:
  children:
    cluster:
      children:
        control_plane:
          hosts: {cp1: {ansible_host: 192.0.2.11}}
        workers:
          hosts: {w1: {ansible_host: 192.0.2.21}}
""",
    "inventories/prod/group_vars/cluster.yml": """\
cluster_name: prod
cluster_kubernetes_version: "1.36.3"
""",
    "apps/shop/config.yml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: shop
  namespace: shop
data:
  greeting: hello
""",
}


def environment(**more: str) -> dict[str, str]:
    """No configuration of the user or the machine; a fixed identity that a test may replace."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {
        **plain,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        **more,
    }


def git(
    where: Path, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a directory."""
    done = subprocess.run(
        ["git", *arguments], cwd=where, env=environment(**(env or {})), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, f"git {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done


def as_person(login: str) -> dict[str, str]:
    """The variables by which a commit is somebody's."""
    address = f"{login}@example.org"
    return {
        "GIT_AUTHOR_NAME": login,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": login,
        "GIT_COMMITTER_EMAIL": address,
    }


def write(where: Path, files: Mapping[str, str]) -> None:
    """Write files below a directory."""
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def commit(where: Path, login: str, files: Mapping[str, str], message: str = "Change") -> str:
    """Commit files as somebody; returns the commit."""
    write(where, files)
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", message, env=as_person(login))
    return git(where, "rev-parse", "HEAD").stdout.strip()


def policy(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the policy manager as a CI job does."""
    return subprocess.run(
        [sys.executable, "-m", "ansible_collections.weft.platform.plugins.plugin_utils._policy", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=str(IMPORT_ROOT), **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

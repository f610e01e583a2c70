# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The benchmark's inputs, made by arithmetic alone: the same on every machine and in every run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

TEAMS = ("shop", "search", "billing", "mail")

ROLES = (
    """\
roles:
  cluster-operators: {members: ["team:platform"]}
"""
    + "".join(f'  {team}-developers: {{members: ["team:{team}"]}}\n' for team in TEAMS)
    + "owners: cluster-operators\n"
)

RULES = """\
rules:
  - name: only Cluster Operators change Kubernetes versions
    change: {file: "inventories/**", field: cluster_kubernetes_version}
    allow: cluster-operators
  - name: operators care for everything
    change: {file: "**"}
    allow: cluster-operators
""" + "".join(
    f"""\
  - name: the {team} team owns its namespace
    change: {{object: {{kind: "*", namespace: {team}}}}}
    allow: {team}-developers
"""
    for team in TEAMS
)

STANDARDS = """\
rules:
  - name: Pods are restricted
    require: {object: {kind: Pod}, pss: restricted}
"""

#: What a Pod of the corpus gets wrong, by its number modulo ten; most get nothing wrong.
FAULTS: Mapping[int, str] = {
    3: "privileged",
    7: "host-path",
}


def manifest(number: int) -> str:
    """A Deployment or CronJob with its Service, about 60 lines, in the namespace of one of the TEAMS."""
    team, fault = TEAMS[number % len(TEAMS)], FAULTS.get(number % 10, "")
    template = _template(number, fault)
    if number % 5 == 4:
        workload = f"""\
apiVersion: batch/v1
kind: CronJob
metadata: {{name: job-{number}, namespace: {team}}}
spec:
  schedule: "{number % 60} 3 * * *"
  jobTemplate:
    spec:
      template:
{_indent(template, 8)}
"""
    else:
        workload = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{number}
  namespace: {team}
  labels: {{app.kubernetes.io/name: app-{number}, team: {team}}}
spec:
  replicas: {1 + number % 4}
  selector:
    matchLabels: {{app.kubernetes.io/name: app-{number}}}
  template:
{_indent(template, 4)}
"""
    service = f"""\
---
apiVersion: v1
kind: Service
metadata: {{name: app-{number}, namespace: {team}}}
spec:
  selector: {{app.kubernetes.io/name: app-{number}}}
  ports:
    - {{name: http, port: 80, targetPort: 8080}}
"""
    return workload + service


def _template(number: int, fault: str) -> str:
    security = "allowPrivilegeEscalation: false\ncapabilities: {drop: [ALL]}\nreadOnlyRootFilesystem: true"
    if fault == "privileged":
        security = "privileged: true"
    volume = "hostPath: {path: /var/run}" if fault == "host-path" else "emptyDir: {}"
    restart = "restartPolicy: Never\n  " if number % 5 == 4 else ""
    return f"""\
metadata:
  labels: {{app.kubernetes.io/name: app-{number}}}
spec:
  {restart}automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: {10000 + number}
    seccompProfile: {{type: RuntimeDefault}}
  containers:
    - name: main
      image: registry.example.com/app-{number}@sha256:{number:064x}
      ports:
        - {{name: http, containerPort: 8080}}
      env:
        - {{name: NUMBER, value: "{number}"}}
        - name: NODE
          valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}
      resources:
        requests: {{cpu: {10 + number % 90}m, memory: {16 + number % 64}Mi}}
        limits: {{memory: {64 + number % 64}Mi}}
      readinessProbe:
        httpGet: {{path: /ready, port: http}}
      securityContext:
{_indent(security, 8)}
      volumeMounts:
        - {{name: scratch, mountPath: /tmp}}
  volumes:
    - name: scratch
      {volume}"""


def _indent(text: str, columns: int) -> str:
    return "\n".join(" " * columns + line for line in text.splitlines())


def manifests(count: int) -> dict[str, str]:
    """`count` files apps/TEAM/app-N.yml."""
    return {f"apps/{TEAMS[number % len(TEAMS)]}/app-{number}.yml": manifest(number) for number in range(count)}


def repository_files(count: int) -> dict[str, str]:
    """A repository of `count` files: policy, three inventories, documents, and manifests for the rest."""
    files = {"policy/roles.yml": ROLES, "policy/rules/owners.yml": RULES}
    for environment in ("dev", "staging", "prod"):
        folder = f"inventories/{environment}"
        hosts = "".join(f"          {environment}-w{n}: {{ansible_host: 192.0.2.{n}}}\n" for n in range(1, 21))
        files[f"{folder}/hosts.yml"] = (
            "all:\n  children:\n    cluster:\n      children:\n        control_plane:\n          hosts:\n"
            f"            {environment}-cp1: {{ansible_host: 192.0.2.101}}\n        workers:\n          hosts:\n"
            + _indent(hosts, 2)
            + "\n"
        )
        files[f"{folder}/group_vars/cluster.yml"] = (
            f'cluster_name: {environment}\ncluster_kubernetes_version: "1.36.3"\n'
        )
    documents = (count - len(files)) // 4
    files |= {f"docs/page-{number}.md": f"# Page {number}\n" + "words\n" * 40 for number in range(documents)}
    files |= manifests(count - len(files))
    return files


def version(environment: str, number: str) -> str:
    """A group_vars file."""
    return f'cluster_name: {environment}\ncluster_kubernetes_version: "{number}"\n'


def ten_files() -> dict[str, str]:
    """A change to ten of those files, as one team makes it: nine manifests of its own, and a version that it may not
    change."""
    numbers = range(0, 9 * len(TEAMS), len(TEAMS))
    changed = {f"apps/shop/app-{number}.yml": manifest(number).replace("port: 80,", "port: 81,") for number in numbers}
    changed["inventories/prod/group_vars/cluster.yml"] = version("prod", "1.37.2")
    return changed


def fast_import(repository: Path, commits: list[Mapping[str, str]]) -> list[str]:
    """Make a bare repository whose branch main has one commit for each mapping of files; returns the commits."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
    stream = b"".join(_commits(commits))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repository, input=stream, check=True)
    done = subprocess.run(
        ["git", "rev-list", "--reverse", "main"], cwd=repository, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def _commits(commits: list[Mapping[str, str]]) -> Iterator[bytes]:
    for number, files in enumerate(commits):
        yield b"commit refs/heads/main\ncommitter mona <mona@example.org> %d +0000\ndata 1\nm\n" % (1795000000 + number)
        for path, content in files.items():
            data = content.encode()
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
        yield b"\n"

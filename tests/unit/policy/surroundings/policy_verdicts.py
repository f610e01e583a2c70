# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Verdicts that the tests of formats, log and forges share."""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Origin, Subject
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CONTENT,
    ERROR,
    INFO,
    NOT_PERMITTED,
    PROHIBIT,
    WARN,
    Approval,
    Delta,
    Finding,
    Permission,
    Person,
    Request,
    Verdict,
)

BASE, HEAD = "1" * 40, "9f8e7d6c5b4a" + "0" * 28
VERSION = Change(
    Subject("variable", "cluster_kubernetes_version", "inventories/prod", (("group", "cluster"),)),
    (),
    "1.36",
    "1.37",
    origin=Origin("inventories/prod/group_vars/cluster.yml", 12),
)
IMAGE = Change(
    Subject("Deployment.apps", "shop/web", "apps/shop"),
    ("spec", "template", "spec", "containers", "[name=web]", "image"),
    "registry.example.com/web:1",
    "docker.io/web:latest",
    origin=Origin("apps/shop/web.yml", 31),
)
README = Change(Subject("path", "docs/read me.md"), (), ABSENT, "x", origin=Origin("docs/read me.md", 0))
NOT_ALLOWED = Finding(
    rule="only Cluster Operators change Kubernetes versions",
    severity=PROHIBIT,
    kind=NOT_PERMITTED,
    message="mona may not change cluster_kubernetes_version in inventories/prod",
    who_could=("role:cluster-operators", "user:olga"),
    remedy="ask one of role cluster-operators to open this pull request, or take this line out",
    origin=VERSION.origin,
    subject=VERSION.subject,
    change=VERSION,
)
WRONG_IMAGE = Finding(
    rule="images come from our registry",
    severity=PROHIBIT,
    kind=CONTENT,
    message="docker.io/web:latest is not from registry.example.com",
    remedy="push the image to registry.example.com and name it by digest",
    origin=Origin("apps/shop/web.yml", 31),
    subject=IMAGE.subject,
    field=IMAGE.field,
)
WARNING = Finding("limits", WARN, CONTENT, "container web has no memory limit", origin=Origin("apps/shop/web.yml", 30))
NOTE = Finding("limits", INFO, CONTENT, "12 objects were looked at")
KNOWN = Finding("limits", WARN, CONTENT, "container db has no memory limit", origin=Origin("apps/db.yml", 3), new=False)
FAILED = Finding("render", PROHIBIT, ERROR, "helm: is not installed", remedy="install helm 3.22 or later")

REQUEST = Request(
    BASE,
    HEAD,
    "main",
    Person("mona", ("shop",)),
    pushers=(Person("hubot", ()),),
    approvals=(Approval(Person("olga", ("platform",)), HEAD),),
)


def verdict(*findings: Finding, **more: object) -> Verdict:
    """A verdict with these findings over the two changes above."""
    values: dict[str, object] = {
        "permitted": not any(finding.prohibits for finding in findings),
        "base": BASE,
        "head": HEAD,
        "target": "main",
        "merge_base": BASE,
        "findings": findings,
        "changes": (VERSION, IMAGE),
        "people": (("mona", "forge"), ("hubot", "signature")),
        "approvals": ("olga",),
        "rules_digest": "sha256:" + "ab" * 32,
        "now": "2026-11-23T09:00:00Z",
    }
    return Verdict(**{**values, **more})  # type: ignore[arg-type]  # the fields are those of the model


PROHIBITED = verdict(
    NOT_ALLOWED,
    WRONG_IMAGE,
    WARNING,
    NOTE,
    KNOWN,
    permissions=(Permission(IMAGE, ("developers work outside the platform's namespaces",), ("shop",)),),
    deltas=(
        Delta("loosens", "application-developers may newly change Secret objects in shop", Origin("policy/r.yml")),
    ),
)
PERMITTED = verdict(WARNING, permissions=(Permission(VERSION, ("operators",), ("cluster-operators",)),))
UNJUDGED = verdict(FAILED, changes=())

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The Kubernetes objects that a cluster is made of, from an inventory's variables: a pure function of its input."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._kubeadm import merge

Variables = Mapping[str, Any]
Object = dict[str, Any]

ROLES = Path(__file__).resolve().parents[3] / "roles"


def cluster_objects(
    variables: Variables,
    images: Mapping[str, str],
    nodes: Sequence[Mapping[str, Any]],
    roles: Path = ROLES,
) -> list[Object]:
    """Everything that apply keeps in the cluster, in the order in which it is applied.

    Args:
        variables: of the cluster, complete with their defaults.
        images: image references by name.
        nodes: `node_name`, `node_labels` and `node_taints` of each machine that is, or will be, a member.
        roles: where the roles with their templates are.
    """
    context = {**variables, "images": dict(images), "dns_address": dns_address(variables["cluster_service_cidr"])}
    out = render(roles / "cluster/templates/access.yaml.j2", context)
    plugin = variables["network_plugin"]
    if plugin in ("kube-router", "flannel"):
        out += render(roles / "network/templates/flannel.yaml.j2", context)
    out += render(roles / "proxy/templates/kube-proxy.yaml.j2", context)
    if plugin == "kube-router":
        out += render(roles / "network/templates/kube-router.yaml.j2", context)
    out += render(roles / "dns/templates/coredns.yaml.j2", context)
    return out + [node(one) for one in nodes]


def render(path: Path, context: Mapping[str, Any]) -> list[Object]:
    """The objects of a template.

    Raises:
        jinja2.TemplateError, yaml.YAMLError: the template is wrong, or a variable is missing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML; every value of a person goes through to_json
    )
    environment.filters.update(
        to_json=lambda value: json.dumps(value, sort_keys=True),
        digest=lambda text: hashlib.sha256(text.encode()).hexdigest()[:16],
        merge=lambda value, over: merge(value, over),
    )
    text = environment.get_template(path.name).render(context)
    return [one for one in yaml.safe_load_all(text) if one]


def node(one: Mapping[str, Any]) -> Object:
    """Labels and taints of a machine, as a partial Node."""
    taints = [{key: value for key, value in taint.items() if value} for taint in one["node_taints"]]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": one["node_name"],
            "labels": {key: str(value) for key, value in one["node_labels"].items()},
        },
        "spec": {"taints": taints},
    }


def dns_address(service_cidr: str) -> str:
    """The address of the cluster's DNS: the tenth of the Services' range, as kubeadm tells the kubelets."""
    return str(ipaddress.ip_network(service_cidr.split(",")[0].strip())[10])

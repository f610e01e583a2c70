# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The ready rules: resources, images, labels, host paths, replicas."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _images, _ready
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import CONTENT, PROHIBIT
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.content.content_jobs import job, object_at


def judged(name: str, params: str, spec: str, kind: str = "Pod", **meta: Any) -> list[str]:
    """Messages about an object; `spec` is that of its Pod, in YAML."""
    pod = {"metadata": {"name": "p"}, "spec": yaml.safe_load(spec)}
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **pod}
    if kind == "Deployment":
        obj = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "d"}, "spec": {"template": pod}}
    obj["metadata"].update(meta)
    wanted = yaml.safe_load(params)
    assert _ready.problems(name, wanted) == []
    (found,) = _ready.check([job(name, wanted, [object_at(obj)])])
    assert all((one.kind, one.severity) == (CONTENT, PROHIBIT) for one in found)
    return [one.message for one in found]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("acme/web", "docker.io/acme/web"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/acme/web:1", "docker.io/acme/web:1"),
        ("localhost/web", "localhost/web"),
        ("localhost:5000/web:1", "localhost:5000/web:1"),
        ("registry:5000/web", "registry:5000/web"),
        ("registry.example.org/a/b/c", "registry.example.org/a/b/c"),
        ("Registry/web", "Registry/web"),
        ("[::1]:5000/web", "[::1]:5000/web"),
        ("a__b/c-d--e.f", "docker.io/a__b/c-d--e.f"),
        (f"nginx@sha256:{'a' * 64}", f"docker.io/library/nginx@sha256:{'a' * 64}"),
        (f"ghcr.io/a:1@sha256:{'0' * 64}", f"ghcr.io/a:1@sha256:{'0' * 64}"),
    ],
)
def test_references(text: str, whole: str) -> None:
    assert str(_images.parse(text)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "", ":1", "Nginx", "acme/Web", "nginx:", "nginx:.x", f"nginx:{'a' * 129}", "nginx@", "nginx@sha256:abc",
        f"nginx@sha256:{'a' * 63}", f"nginx@sha256:{'g' * 64}", "a" * 64, "-a", "a..b", "a___b", "a//b", "/a", "a/",
        "https://example.org/a", "example.org:port/a", "nginx latest", "nginx\n", "a/" * 128 + "a",
        "\N{CYRILLIC SMALL LETTER A}cme/web", "exam_ple.org/a",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        _images.parse(text)


REGISTRIES = "{registries: [registry.example.org, docker.io/library, ghcr.io/acme/*]}"


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("nginx", True),
        ("docker.io/library/nginx:1", True),
        ("registry.example.org/a/b", True),
        ("ghcr.io/acme/web", True),
        ("acme/web", False),
        ("ghcr.io/acmes/web", False),
        ("registry.example.org.evil.com/a", False),
        ("registry.example.org:5000/a", False),
        ("evil.com/registry.example.org/a", False),
    ],
)
def test_registries(image: str, good: bool) -> None:
    found = judged("images", REGISTRIES, f"containers: [{{name: a, image: '{image}'}}]")
    assert (found == []) is good
    assert all("which is in none of" in message for message in found)


@pytest.mark.parametrize(
    ("tags", "image", "good"),
    [
        ("named", "a:1", True),
        ("named", "a", False),
        ("named", "a:latest", False),
        ("named", f"a@sha256:{'a' * 64}", True),
        ("named", f"a:latest@sha256:{'a' * 64}", True),
        ("digest", "a:1", False),
        ("digest", f"a:1@sha256:{'a' * 64}", True),
        ("any", "a", True),
    ],
)
def test_tags(tags: str, image: str, good: bool) -> None:
    assert (judged("images", f"tags: {tags}", f"containers: [{{name: a, image: '{image}'}}]") == []) is good


def test_images_are_found_wherever_they_are() -> None:
    spec = """
initContainers: [{name: i, image: evil.com/i}]
containers: [{name: c, image: evil.com/c}, {name: none}]
ephemeralContainers: [{name: e, image: evil.com/e}]
volumes: [{name: v, image: {reference: evil.com/v}}, {name: w, emptyDir: {}}]
"""
    for kind in ("Pod", "Deployment"):
        found = judged("images", REGISTRIES, spec, kind)
        assert [message.split(":")[0] for message in found] == [
            'container "i"',
            'container "c"',
            'container "none" names no image',
            'container "e"',
            'volume "v"',
        ]


@pytest.mark.parametrize(
    ("params", "resources", "expected"),
    [
        ("{}", "{requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}", []),
        ("{}", "{limits: {cpu: 1, memory: 1Gi}}", []),
        ("{}", "{}", ["has no requests.cpu", "has no requests.memory", "has no limits.memory"]),
        ("{limits: [cpu]}", "{}", ["has no limits.cpu"]),
        ("{limits: [cpu]}", "{limits: {cpu: lots}}", ["limits.cpu is no quantity"]),
        ("{maximum: {cpu: 2}}", "{limits: {cpu: 2000m}}", []),
        ("{maximum: {cpu: 2}}", "{limits: {cpu: 2001m}}", ["limits.cpu is 2001m, more than 2"]),
        ("{maximum: {cpu: 2}}", "{requests: {cpu: 3}}", ["requests.cpu is 3, more than 2"]),
        ("{maximum: {memory: 1Gi}}", "{limits: {memory: 1.1e9}}", ["limits.memory is 1.1e9, more than 1Gi"]),
        ("{maximum: {memory: 1Gi}}", "{limits: {memory: 1e9}}", []),
        ("{maximum: {memory: 1Gi}}", "{limits: {memory: [1]}}", ["limits.memory is [1], more than 1Gi"]),
    ],
)  # fmt: skip
def test_limits(params: str, resources: str, expected: list[str]) -> None:
    found = judged("limits", params, f"containers: [{{name: a, resources: {resources}}}]")
    assert [message.removeprefix('container "a"').lstrip(": ") for message in found] == expected


def test_resources_of_the_whole_pod_are_shared() -> None:
    shared = "{resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}, containers: [{name: a}]}"
    assert judged("limits", "{}", shared) == []


def test_the_maximum_is_the_whole_pods_as_well() -> None:
    spec = "{resources: {limits: {memory: 100Gi, cpu: 1}}, containers: [{name: a}]}"
    for kind in ("Pod", "Deployment"):
        (message,) = judged("limits", "{limits: [memory], maximum: {memory: 8Gi, cpu: 2}}", spec, kind)
        assert message == "the Pod: limits.memory is 100Gi, more than 8Gi"


def test_ephemeral_containers_take_no_resources() -> None:
    assert judged("limits", "{}", "ephemeralContainers: [{name: a}]") == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Fraction(1, 2)),
        ("1Gi", Fraction(1024**3)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("1.", Fraction(1)),
        ("2E", Fraction(2 * 10**18)),
        ("2e3", Fraction(2000)),
        ("2E-3", Fraction(1, 500)),
        ("-1n", Fraction(-1, 10**9)),
        (2, Fraction(2)),
        (0.1, Fraction(1, 10)),
        (1e30, Fraction(10**30)),
        ("1GB", None),
        ("", None),
        ("e3", None),
        ("1e999", None),
        ("9" * 50, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (None, None),
        ([], None),
    ],
)
def test_quantities(text: Any, number: Fraction | None) -> None:
    assert _ready.quantity(text) == number


@pytest.mark.parametrize(
    ("params", "labels", "expected"),
    [
        ("[owner, app]", {"owner": "x", "app": "y"}, []),
        ("[owner, app]", {"owner": "x"}, ["has no label app"]),
        ("owner", {"owner": ""}, ["has no label owner"]),
        ("{tier: [gold, silver]}", {"tier": "gold"}, []),
        ("{tier: [gold, silver]}", {"tier": "tin"}, ["label tier is 'tin', not one of gold, silver"]),
        ('{tier: ""}', {"tier": "anything"}, []),
        ("[owner]", {"owner": 1}, ["has no label owner"]),
        ("[owner]", [], ["has no label owner"]),
    ],
)
def test_labels(params: str, labels: Any, expected: list[str]) -> None:
    assert judged("labels", params, "{}", labels=labels) == expected
    assert judged("annotations", params, "{}", annotations=labels) == [
        message.replace("label", "annotation") for message in expected
    ]


@pytest.mark.parametrize(
    ("params", "path", "good"),
    [
        ("{}", "/var/log", False),
        ("{allow: [/var/log]}", "/var/log", True),
        ("{allow: [/var/log]}", "/var/log/pods/", True),
        ("{allow: [/var/log]}", "//var/./log", True),
        ("{allow: [/var/log]}", "/var/logs", False),
        ("{allow: [/var/log]}", "/var/log/../lib", False),
        ("{allow: [/var/log]}", "/", False),
        ("{allow: [/var/log]}", "var/log", False),
    ],
)
def test_host_paths(params: str, path: str, good: bool) -> None:
    assert (judged("host_paths", params, f"volumes: [{{name: v, hostPath: {{path: {path}}}}}]") == []) is good


@pytest.mark.parametrize(
    ("params", "replicas", "expected"),
    [
        ("{minimum: 2}", 2, []),
        ("{minimum: 2}", 1, ["replicas is 1, fewer than 2"]),
        ("{minimum: 2}", None, ["replicas is not set, so it is 1, fewer than 2"]),
        ("{minimum: 1}", None, []),
        ("{maximum: 5}", 6, ["replicas is 6, more than 5"]),
        ("{minimum: 2}", "3", ["cannot be judged: replicas must be a whole number"]),
    ],
)
def test_replicas(params: str, replicas: Any, expected: list[str]) -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": replicas}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    (found,) = _ready.check([job("replicas", yaml.safe_load(params), [object_at(obj), object_at(service)])])
    assert [one.message for one in found] == expected


@pytest.mark.parametrize("name", ["images", "limits", "host_paths"])
@pytest.mark.parametrize("spec", ["text", "[]", "containers: {}", "containers: [x]", "initContainers: text"])
def test_what_cannot_be_read_is_denied(name: str, spec: str) -> None:
    params = {"images": "tags: any", "limits": "{}", "host_paths": "{}"}[name]
    assert [message.split(":")[0] for message in judged(name, params, spec)] == ["cannot be judged"]
    assert [message.split(":")[0] for message in judged(name, params, spec, "Deployment")] == ["cannot be judged"]


@pytest.mark.parametrize("name", ["images", "host_paths"])
@pytest.mark.parametrize("volumes", ["text", "{}", "[text]"])
def test_volumes_that_cannot_be_read_are_denied(name: str, volumes: str) -> None:
    params = {"images": "tags: any", "host_paths": "{}"}[name]
    assert [message.split(":")[0] for message in judged(name, params, f"volumes: {volumes}")] == ["cannot be judged"]


def test_places_and_the_way_out() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    (found,) = _ready.check([job("images", {"tags": "digest"}, [object_at(pod)])])
    assert found[0].field == ("spec", "containers", "[name=a]", "image")
    assert found[0].origin is not None
    assert found[0].origin.file == "app.yaml#spec.containers.0.image"
    assert found[0].remedy == "Write NAME@sha256:DIGEST."


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("images", {}),
        ("images", "registry.example.org"),
        ("images", {"registries": []}),
        ("images", {"registries": ["library/nginx"]}),
        ("images", {"registries": ["*.example.org"]}),
        ("images", {"tags": "latest"}),
        ("images", {"registry": "a.b"}),
        ("limits", []),
        ("limits", {"requests": [1]}),
        ("limits", {"maximum": {"cpu": "many"}}),
        ("limits", {"maximum": [1]}),
        ("labels", []),
        ("labels", None),
        ("labels", {"a": 1}),
        ("annotations", [1]),
        ("host_paths", []),
        ("host_paths", {"allow": ["var"]}),
        ("host_paths", {"allow": ["/"]}),
        ("replicas", {}),
        ("replicas", {"minimum": "2"}),
        ("replicas", {"minimum": True}),
        ("replicas", {"least": 2}),
        ("probes", {}),
    ],
)
def test_wrong_parameters(name: str, params: Any) -> None:
    (wrong,) = _ready.problems(name, params)
    assert wrong.startswith(f"{name}: ")


KEYS: st.SearchStrategy[Any] = (
    st.sampled_from(["containers", "name", "image", "resources", "limits", "volumes", "hostPath", "path", "replicas"])
    | st.text(max_size=3)
    | st.integers()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
PARAMS: dict[str, Any] = {
    "images": {"registries": ["docker.io"], "tags": "digest"},
    "limits": {"limits": ["cpu"], "maximum": {"cpu": 1}},
    "labels": ["a"],
    "annotations": {"a": ["b"]},
    "host_paths": {"allow": ["/var"]},
    "replicas": {"minimum": 1, "maximum": 2},
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PARAMS)), VALUES, VALUES)
def test_any_value_gets_an_answer(name: str, spec: Any, metadata: Any) -> None:
    for kind, api in (("Pod", "v1"), ("Deployment", "apps/v1")):
        obj = {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}
        _ready.check([job(name, PARAMS[name], [object_at(obj)])])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aA0.:/@-_[]", max_size=30))
def test_a_reference_read_again_is_the_same(text: str) -> None:
    try:
        image = _images.parse(text)
    except ValueError:
        return
    assert _images.parse(str(image)) == image

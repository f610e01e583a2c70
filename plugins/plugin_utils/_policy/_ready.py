# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Ready rules about what objects say: resources, images, labels, host paths, replicas.

    limits: {requests: [cpu, memory], limits: [memory], maximum: {memory: 8Gi}}
    images: {registries: [registry.example.org, docker.io/library], tags: digest}
    labels: [app.kubernetes.io/name, owner]          or {owner: "", tier: [gold, silver]}
    annotations: [contact]
    host_paths: {allow: [/var/log]}
    replicas: {minimum: 2}

A Pod that a workload makes is judged like one of its own.  What cannot be read is denied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import (
    CONTAINER_LISTS,
    Malformed,
    each,
    finding,
    group_of,
    metadata_of,
    pod_of,
    quoted,
    text_of,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._images import parse
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Finding, Job, ObjectAt

_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?",
    re.ASCII,
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_SCALED = {("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")}


class Fault(NamedTuple):
    """What a rule objects to: where, what, and the way out."""

    path: Path
    message: str
    remedy: str = ""


def quantity(value: Any) -> Fraction | None:
    """The number that a quantity stands for ("500m", "1Gi", 2); None for what is none, or is beyond all sense."""
    if type(value) in (int, float):
        value = repr(value)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, suffix = Fraction(match[1].rstrip(".")), match[2] or ""
    if suffix in _BINARY:
        return Fraction(number * 1024 ** _BINARY[suffix])
    power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return Fraction(number * Fraction(10) ** power)


# --- Containers -------------------------------------------------------------------------------------------------


class _Spec(NamedTuple):
    """The spec of a Pod with its path, and its containers: the list each is in, itself, its path."""

    value: Mapping[str, Any]
    path: Path
    containers: Sequence[tuple[str, Mapping[str, Any], Path]]


def _spec(obj: Mapping[str, Any]) -> _Spec | Fault | None:
    """The Pod in an object; a Fault where it cannot be read, None where there is none."""
    pod = pod_of(obj)
    if pod is None:
        return None
    if isinstance(pod, Malformed):
        return Fault(pod.path, f"cannot be judged: {pod.message}")
    path = (*pod.path, "spec")
    spec = {} if pod.spec is None else pod.spec
    if not isinstance(spec, dict):
        return Fault(path, "cannot be judged: the Pod's spec must be an object")
    containers: list[tuple[str, Mapping[str, Any], Path]] = []
    for name in CONTAINER_LISTS:
        found = [] if spec.get(name) is None else spec[name]
        for index, one in enumerate(found if isinstance(found, list) else [None]):
            if not isinstance(one, dict):
                return Fault((*path, name), f"cannot be judged: {name} must be a list of objects")
            containers.append((name, one, (*path, name, index)))
    return _Spec(spec, path, containers)


def _title(container: Mapping[str, Any]) -> str:
    return f'container "{text_of(container.get("name"))}"'


# --- limits -----------------------------------------------------------------------------------------------------

_SIDES = ("requests", "limits")


def _limits(params: Mapping[str, Any], obj: Mapping[str, Any]) -> Iterator[Fault]:
    spec = _spec(obj)
    if spec is None or isinstance(spec, Fault):
        yield from [spec] if spec else []
        return
    shared = _resources(spec.value)
    yield from _above(params, shared, spec.path, "the Pod")
    for where, container, path in spec.containers:
        # the API takes no resources for ephemeral containers
        if where != "ephemeralContainers":
            yield from _container_limits(params, container, path, shared)


def _resources(owner: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    resources = owner.get("resources")
    found = resources if isinstance(resources, dict) else {}
    return {side: found[side] if isinstance(found.get(side), dict) else {} for side in _SIDES}


def _container_limits(
    params: Mapping[str, Any], container: Mapping[str, Any], path: Path, shared: Mapping[str, Mapping[str, Any]]
) -> Iterator[Fault]:
    own = _resources(container)
    for side in _SIDES:
        for name in _texts(params.get(side, [] if params else _DEFAULT_LIMITS[side])):
            at = (*path, "resources", side, name)
            # a request that is not there is the limit; what the Pod as a whole has is shared by its containers
            value = own[side].get(name, own["limits"].get(name) if side == "requests" else None)
            if value is None and shared[side].get(name, shared["limits"].get(name)) is None:
                yield Fault(at, f"{_title(container)} has no {side}.{name}", f"Set resources.{side}.{name}.")
            elif value is not None and quantity(value) is None:
                yield Fault(at, f"{_title(container)}: {side}.{name} is no quantity")
    yield from _above(params, own, path, _title(container))


def _above(
    params: Mapping[str, Any], resources: Mapping[str, Mapping[str, Any]], path: Path, title: str
) -> Iterator[Fault]:
    """What a container, or a Pod as a whole (KEP-2837), asks for beyond the maximum."""
    for name, most in _items(params.get("maximum")):
        for side in _SIDES:
            value, bound = resources[side].get(name), quantity(most)
            number = quantity(value)
            if value is not None and bound is not None and (number is None or number > bound):
                message = f"{title}: {side}.{name} is {value}, more than {most}"
                yield Fault((*path, "resources", side, name), message, f"Ask for {most} at most.")


_DEFAULT_LIMITS: Mapping[str, Sequence[str]] = {"requests": ["cpu", "memory"], "limits": ["memory"]}


def _limits_wrong(params: Any) -> Iterator[str]:
    if not isinstance(params, dict):
        yield "write requests:, limits: and maximum:"
        return
    yield from _unknown(params, (*_SIDES, "maximum"))
    for side in _SIDES:
        if side in params and not _is_texts(params[side]):
            yield f"{side} is a list of resources (cpu, memory)"
    maximum = params.get("maximum", {})
    if not isinstance(maximum, dict) or any(quantity(value) is None for value in maximum.values()):
        yield "maximum is quantities by resource: {memory: 8Gi}"


# --- images -----------------------------------------------------------------------------------------------------

_TAGS = ("any", "named", "digest")


def _images(params: Mapping[str, Any], obj: Mapping[str, Any]) -> Iterator[Fault]:
    spec = _spec(obj)
    if spec is None or isinstance(spec, Fault):
        yield from [spec] if spec else []
        return
    for _where, container, path in spec.containers:
        yield from _image(params, container.get("image"), (*path, "image"), _title(container))
    volumes = [] if spec.value.get("volumes") is None else spec.value["volumes"]
    for index, volume in enumerate(volumes if isinstance(volumes, list) else [None]):
        at = (*spec.path, "volumes", index)
        if not isinstance(volume, dict):
            yield Fault(at[:-1], "cannot be judged: volumes must be a list of objects")
        elif volume.get("image") is not None:
            image = volume["image"]
            reference = image.get("reference") if isinstance(image, dict) else image
            yield from _image(params, reference, (*at, "image", "reference"), f'volume "{text_of(volume.get("name"))}"')


def _image(params: Mapping[str, Any], value: Any, path: Path, title: str) -> Iterator[Fault]:
    if not isinstance(value, str) or not value:
        yield Fault(path, f"{title} names no image")
        return
    try:
        image = parse(value)
    except ValueError as error:
        yield Fault(path, f"{title}: {_cut(value)} is no reference to an image: {error}")
        return
    registries = _texts(params.get("registries"))
    if "registries" in params and not any(_within(image.name, registry) for registry in registries):
        yield Fault(
            path,
            f"{title}: {_cut(value)} is {_cut(image.name)}, which is in none of {', '.join(registries)}",
            "Use an image from there, or have it copied there.",
        )
    tags = params.get("tags", "any")
    if tags == "digest" and not image.digest:
        yield Fault(path, f"{title}: {_cut(value)} has no digest", "Write NAME@sha256:DIGEST.")
    elif tags == "named" and not image.digest and image.tag in ("", "latest"):
        what = "has the tag latest" if image.tag else "has no tag, so it is latest"
        yield Fault(path, f"{title}: {_cut(value)} {what}", "Name a version or a digest.")


def _within(name: str, registry: str) -> bool:
    """Whether an image is in a registry, or below a path of it."""
    prefix = registry.removesuffix("/*").rstrip("/")
    return name == prefix or name.startswith(f"{prefix}/")


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."


def _images_wrong(params: Any) -> Iterator[str]:
    if not isinstance(params, dict) or not params:
        yield "write registries: and tags:"
        return
    yield from _unknown(params, ("registries", "tags"))
    if params.get("tags", "any") not in _TAGS:
        yield f"tags is one of {', '.join(_TAGS)} (named: not latest)"
    registries = params.get("registries", ["docker.io"])
    if not _is_texts(registries) or not registries:
        yield "registries is a list such as registry.example.org or docker.io/library"
        return
    for registry in _texts(registries):
        host = registry.partition("/")[0]
        if not ({".", ":"} & set(host) or host == "localhost") or "*" in registry.removesuffix("/*"):
            yield f"{registry!r} is no registry: write its host first (docker.io/library), and no * but a last /*"


# --- labels and annotations -------------------------------------------------------------------------------------


def _marks(field: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Fault]]:
    def check(params: Any, obj: Mapping[str, Any]) -> Iterator[Fault]:
        found = metadata_of(obj).get(field)
        marks = found if isinstance(found, dict) else {}
        wanted = params if isinstance(params, dict) else dict.fromkeys(_texts(params), "")
        for name, values in wanted.items():
            value = marks.get(name)
            allowed = [text for text in _texts(values) if text]
            if not isinstance(value, str) or not value:
                yield Fault(("metadata", field, name), f"has no {field[:-1]} {name}", f"Set metadata.{field}.{name}.")
            elif allowed and value not in allowed:
                message = f"{field[:-1]} {name} is {_cut(value)!r}, not one of {', '.join(allowed)}"
                yield Fault(("metadata", field, name), message)

    return check


def _marks_wrong(params: Any) -> Iterator[str]:
    names = list(params) if isinstance(params, dict) else params
    if not names or not _is_texts(names):
        yield "write a list of names, or names with the values that are allowed"
    elif isinstance(params, dict) and not all(_is_texts(values) for values in params.values()):
        yield 'values are a list of texts, one text, or "" for any'


# --- host paths and replicas ------------------------------------------------------------------------------------


def _host_paths(params: Mapping[str, Any], obj: Mapping[str, Any]) -> Iterator[Fault]:
    spec = _spec(obj)
    if spec is None or isinstance(spec, Fault):
        yield from [spec] if spec else []
        return
    volumes = [] if spec.value.get("volumes") is None else spec.value["volumes"]
    for index, volume in enumerate(volumes if isinstance(volumes, list) else [None]):
        at = (*spec.path, "volumes", index)
        if not isinstance(volume, dict):
            yield Fault(at[:-1], "cannot be judged: volumes must be a list of objects")
        elif volume.get("hostPath") is not None:
            source = volume["hostPath"]
            path = source.get("path") if isinstance(source, dict) else None
            if not isinstance(path, str) or not _is_below(path, _texts(params.get("allow"))):
                title = f'volume "{text_of(volume.get("name"))}"'
                yield Fault((*at, "hostPath"), f"{title} mounts the host's {_cut(str(path))}", "Use another volume.")


def _is_below(path: str, allowed: Sequence[str]) -> bool:
    if ".." in path.split("/"):
        return False
    plain = "/".join(part for part in path.split("/") if part not in ("", "."))
    return path.startswith("/") and any(_within(f"/{plain}", one) for one in allowed)


def _host_paths_wrong(params: Any) -> Iterator[str]:
    if not isinstance(params, dict):
        yield "write {} or allow: with a list of paths"
        return
    yield from _unknown(params, ("allow",))
    allow = params.get("allow", [])
    if not _is_texts(allow) or not all(path.startswith("/") and path != "/" for path in _texts(allow)):
        yield "allow is a list of paths of the host such as /var/log"


def _replicas(params: Mapping[str, Any], obj: Mapping[str, Any]) -> Iterator[Fault]:
    if (group_of(obj), obj.get("kind")) not in _SCALED:
        return
    spec = obj.get("spec")
    value = spec.get("replicas") if isinstance(spec, dict) else None
    number = 1 if value is None else value
    low, high = params.get("minimum", 0), params.get("maximum")
    if type(number) is not int:
        yield Fault(("spec", "replicas"), "cannot be judged: replicas must be a whole number")
    elif number < low:
        said = f"replicas is {number}" if value is not None else "replicas is not set, so it is 1"
        yield Fault(("spec", "replicas"), f"{said}, fewer than {low}", f"Set it to {low} or more.")
    elif high is not None and number > high:
        yield Fault(("spec", "replicas"), f"replicas is {number}, more than {high}", f"Set it to {high} or fewer.")


def _replicas_wrong(params: Any) -> Iterator[str]:
    if not isinstance(params, dict) or not params:
        yield "write minimum: and maximum:"
        return
    yield from _unknown(params, ("minimum", "maximum"))
    if any(type(value) is not int or value < 0 for value in params.values()):
        yield "minimum and maximum are whole numbers"


# --- The door for rules -----------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    check: Callable[[Any, Mapping[str, Any]], Iterator[Fault]]
    wrong: Callable[[Any], Iterator[str]]


_RULES: Mapping[str, _Rule] = {
    "limits": _Rule(_limits, _limits_wrong),
    "images": _Rule(_images, _images_wrong),
    "labels": _Rule(_marks("labels"), _marks_wrong),
    "annotations": _Rule(_marks("annotations"), _marks_wrong),
    "host_paths": _Rule(_host_paths, _host_paths_wrong),
    "replicas": _Rule(_replicas, _replicas_wrong),
}


def problems(name: str, params: Any) -> list[str]:
    """What is wrong with the parameters of a rule."""
    if name not in _RULES:
        return [f"{name}: there is no such rule; there are {', '.join(_RULES)}"]
    return [f"{name}: {wrong}" for wrong in _RULES[name].wrong(params)]


def check(jobs: Sequence[Job]) -> list[list[Finding]]:
    """Judge every job's objects.

    Raises:
        ContentError: a job's time is over.
    """
    return each(jobs, _judge)


def _judge(job: Job, at: ObjectAt) -> list[Finding]:
    faults = _RULES[job.name].check(job.params, at.object)
    return [finding(job, at, fault.path, fault.message, fault.remedy) for fault in faults]


def _texts(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, str)]


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _unknown(params: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
    unknown = [str(key) for key in params if key not in known]
    if unknown:
        yield f"{quoted(unknown)} is not known; {', '.join(known)} are"

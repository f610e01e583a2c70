# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Whether what a change does is valid: variables, upgrade paths, what cannot change, objects that are there twice."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Origin, Path, Value, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import group_of, metadata_of, text_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import HOST, PATH, VARIABLE, Effect
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import (
    CLUSTER,
    UNSAFE,
    VERSION,
    Side,
    exact,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import order
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    INVALID,
    PROHIBIT,
    WARN,
    Finding,
    ObjectAt,
    PolicyError,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import identity
from ansible_collections.weft.platform.plugins.plugin_utils._policy._roots import NEEDED, Renderings
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import (
    AllBut,
    Manifests,
    Object,
    holding,
)

#: The collection's variables as a JSON Schema, made from the roles' argument specs.
SCHEMA = os.path.join(os.path.realpath(__file__).rsplit(os.sep, 4)[0], "schemas", "inventory.json")

#: Variables that cannot change on a live cluster, and what to do instead.
IMMUTABLE = {
    "cluster_pod_cidr": "Pods keep their addresses for life",
    "cluster_service_cidr": "Services keep their addresses for life",
    "cluster_dns_domain": "names that workloads know would stop to answer",
}

#: How many minors a kubelet may be behind the API server (Kubernetes' version skew policy).
KUBELET_SKEW = 3

#: What others cannot be without: their namespace, and the definition of their kind.
NAMESPACE, KIND = "namespace", "kind"

#: Name of the check that keeps them.
ORPHAN = "orphan"

#: The kind by which others are defined.
DEFINITION = "CustomResourceDefinition"

_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:[-+].*)?")


class SchemaError(PolicyError):
    """The schema of the collection's variables is not there, or cannot be used."""


class Variables(NamedTuple):
    """What may be written in an inventory: JSON Schemas by name, and the prefixes of the collection's own names."""

    properties: Mapping[str, Mapping[str, Any]]
    prefixes: tuple[str, ...]


def variables(path: str | os.PathLike[str] = SCHEMA) -> Variables:
    """The collection's variables.

    Raises:
        SchemaError: schemas/inventory.json is not there or is no such schema.
    """
    try:
        with open(path, encoding="utf-8") as file:
            properties = json.load(file)["definitions"]["variables"]["properties"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"variables cannot be checked: {path}: {error}; install the collection whole") from error
    return Variables(properties, tuple(sorted({f"{name.partition('_')[0]}_" for name in properties})))


def check_variables(effects: Iterable[Effect], load: Callable[[], Variables] = variables) -> Iterator[Finding]:
    """Variables that are new or changed and are not what the argument specs say."""
    known: Variables | None = None
    for effect in effects:
        if effect.type != VARIABLE or effect.after is ABSENT:
            continue
        known = known or load()
        schema = known.properties.get(effect.subject.name)
        if schema is None:
            if effect.subject.name.startswith(known.prefixes) and effect.before is ABSENT:
                yield _finding("variables", effect, (), _unknown(effect.subject.name, known.properties))
            continue
        before = set() if effect.before is ABSENT else set(wrong(schema, effect.before))
        for path, message in wrong(schema, effect.after):
            yield _finding("variables", effect, path, message, new=(path, message) not in before)


def _unknown(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only where something is wrong

    near = get_close_matches(name, list(known), 1)
    return f"there is no variable {name}" + (f"; do you mean {near[0]}?" if near else "")


def _finding(
    rule: str, effect: Effect, path: Path, message: str, remedy: str = "Mend it.", new: bool = True
) -> Finding:
    change = next((one for one in effect.changes if one.field == path[: len(one.field)]), effect.changes[0])
    return Finding(rule, PROHIBIT, INVALID, message, (), remedy, change.origin, effect.subject, path, change, new)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def wrong(schema: Mapping[str, Any], value: Value, path: Path = ()) -> list[tuple[Path, str]]:
    """What in a value is not as a JSON Schema says: paths and messages. Knows the words that our schema uses."""
    if "anyOf" in schema:
        tries = [wrong(one, value, path) for one in schema["anyOf"]]
        return [] if any(not found for found in tries) else max(tries, key=lambda found: len(found[0][0]))
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [(path, f"is {_kind(value)}; it must be {' or '.join(kinds)}")]
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        return [(path, f"must be one of {', '.join(map(str, schema['enum']))}")]
    if isinstance(value, str) and "pattern" in schema and not _is_like(schema["pattern"], value):
        return [(path, f"must look like {schema['pattern']}")]
    if isinstance(value, dict):
        return _wrong_in_mapping(schema, value, path)
    if isinstance(value, list) and "items" in schema:
        return [one for index, item in enumerate(value) for one in wrong(schema["items"], item, (*path, index))]
    return []


def _is_like(pattern: str, text: str) -> bool:
    return bool(re.search(pattern, text)) and not text.startswith(UNSAFE)


def _wrong_in_mapping(schema: Mapping[str, Any], value: Mapping[str, Value], path: Path) -> list[tuple[Path, str]]:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    out = [(path, f"lacks {key}") for key in schema.get("required", ()) if key not in value]
    for key, inner in value.items():
        if key in properties:
            out += wrong(properties[key], inner, (*path, key))
        elif rest is False:
            out.append(((*path, key), f"has no {key}; it has {', '.join(properties)}"))
        elif isinstance(rest, dict):
            out += wrong(rest, inner, (*path, key))
    return out


def _is(value: Value, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, ()))


def _kind(value: Value) -> str:
    return next((kind for kind in _TYPES if _is(value, kind)), type(value).__name__)


# -- the life of a cluster --------------------------------------------------------------------------------------------


def check_life(
    effects: Sequence[Effect], sides: tuple[Side, Side], load: Callable[[], Variables] = variables
) -> Iterator[Finding]:
    """Upgrade paths, skew and fields that a live cluster cannot change.

    A change of an environment's version goes to the same or the next minor, never back; a minor is the patch that its
    lock file names, which is among the effects as a change of the variable.  A variable that is not set has its
    default.
    """
    seen: set[tuple[str, str, str]] = set()
    hosts_before = cache(lambda environment: sides[0].groups(environment).of_host)
    for effect in effects:
        name = effect.subject.name
        if effect.type != VARIABLE or name not in {VERSION, *IMMUTABLE}:
            continue
        if not any(one.host and one.host in hosts_before(effect.environment) for one in effect.reached):
            continue  # what a new host is made with is no change of its life
        old, new = (_or_default(name, value, load) for value in (effect.before, effect.after))
        if same(old, new) or old is ABSENT or new is ABSENT:
            continue
        key = (name, repr(old), effect.subject.scope + repr(new))
        if key in seen:
            continue
        seen.add(key)
        if name == VERSION:
            yield from _upgrade(effect, old, new)
        else:
            message = f"{name} cannot change on a live cluster: {IMMUTABLE[name]}"
            yield _finding("immutable", effect, (), message, "Build a new cluster with it, and move the workloads.")
    versions = [one for one in effects if one.type == VARIABLE and one.subject.name == VERSION and one.environment]
    changing = {one.environment for one in versions}
    joining = [one for one in effects if one.type == HOST]  # by their groups they may have another version
    first = {one.environment: one for one in reversed((*versions, *joining))}
    for environment in sorted(first):
        yield from _skew(sides, first[environment], load)
    paths = {one.subject.name for one in effects if one.type == PATH}
    layout = sides[1].layout
    changing |= {name for name in (*layout.names, layout.base) if sides[1].lock_file(name) in paths}
    for environment in sorted(changing):
        yield from _lock(environment, sides, load)


def _lock(environment: str, sides: tuple[Side, Side], load: Callable[[], Variables]) -> Iterator[Finding]:
    """Whether an environment's lock file names a version that can be built, and the one that its variables ask for."""
    known = {message for _origin, message in _wrong_lock(sides[0], environment, load)}
    remedy = "Write it again with weft.platform.lock."
    for origin, message in _wrong_lock(sides[1], environment, load):
        yield Finding("upgrade", PROHIBIT, INVALID, message, (), remedy, origin, new=message not in known)


def _wrong_lock(side: Side, environment: str, load: Callable[[], Variables]) -> Iterator[tuple[Origin, str]]:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import MINORS  # dear

    locked = side.locked(environment)
    if locked is None:
        return
    names = f"{locked.file} names Kubernetes {locked.value}"
    if minor_of(locked.value) not in [(1, minor) for minor in MINORS]:
        yield locked.position(()), f"{names}; 1.{MINORS[0]} to 1.{MINORS[-1]} can be built"
    for written in sorted(_written(side, environment, load)):
        wanted = exact(written) or minor_of(written)
        if wanted not in (locked.value, minor_of(locked.value), None):
            yield locked.position(()), f"{names}, and {VERSION} is {written}"


def _written(side: Side, environment: str, load: Callable[[], Variables]) -> set[str]:
    """What the variable says for an environment's control planes."""
    groups = side.groups(environment)
    effective = side.effective(environment, groups, {VERSION})
    planes = groups.members.get("control_plane", frozenset())
    found = (effective.of_host(host).get(VERSION) for host in planes)
    values = (_or_default(VERSION, ABSENT if one is None else one.value, load) for one in found)
    return {value for value in values if isinstance(value, str)}


def _or_default(name: str, value: Value, load: Callable[[], Variables]) -> Value:
    return load().properties.get(name, {}).get("default", ABSENT) if value is ABSENT else value


def minor_of(version: Value) -> tuple[int, int] | None:
    """Major and minor of a Kubernetes version, or None when it is none."""
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    return (int(found.group(1)), int(found.group(2))) if found else None


def _upgrade(effect: Effect, old: Value, new: Value) -> Iterator[Finding]:
    before, after = minor_of(old), minor_of(new)
    if after is None:
        yield _finding("upgrade", effect, (), f"{new!r} is no version of Kubernetes; write it like '1.37' or '1.37.2'")
        return
    if before is None:
        return  # what it was says nothing; the new one is judged by the argument specs
    back = order(new, old) == -1 and not (before == after and str(new).count(".") < 2)
    if after < before or back:
        message = f"Kubernetes never goes back: {old} to {new}"
        yield _finding("upgrade", effect, (), message, "Restore a backup instead, or mend forward.")
    elif after[0] != before[0] or after[1] > before[1] + 1:
        message = f"Kubernetes goes one minor at a time: {old} to {new} skips"
        step = f"{before[0]}.{before[1] + 1}"
        yield _finding("upgrade", effect, (), message, f"Go to {step} first, and apply that.")


def _versions(side: Side, environment: str, load: Callable[[], Variables]) -> dict[str, tuple[bool, Value]]:
    """For each host whether it is a control plane, and its version; a machine of the cluster has the default."""
    groups = side.groups(environment)
    effective = side.effective(environment, groups, {VERSION})
    out = {}
    for host, names in groups.of_host.items():
        found = effective.version(host)
        value = ABSENT if found is None else found.value
        value = _or_default(VERSION, value, load) if names & CLUSTER else value
        if value is not ABSENT:
            out[host] = ("control_plane" in names, value)
    return out


def _skew(sides: tuple[Side, Side], effect: Effect, load: Callable[[], Variables]) -> Iterator[Finding]:
    before, after = (_skewed(_versions(side, effect.environment, load)) for side in sides)
    for message in after:
        yield _finding("upgrade", effect, (), message, "Keep one version for the cluster.", new=message not in before)


def _skewed(versions: Mapping[str, tuple[bool, Value]]) -> list[str]:
    minors = {host: (control, minor_of(value)) for host, (control, value) in versions.items()}
    planes = [minor for control, minor in minors.values() if control and minor is not None]
    out = []
    for host, (control, minor) in sorted(minors.items()):
        if not planes or minor is None:
            continue
        if control and max(planes)[1] - minor[1] > 1:
            out.append(f"{host}: control planes may be one minor apart, not {max(planes)[1] - minor[1]}")
        if not control and minor > min(planes):
            out.append(f"{host}: a kubelet may not be newer than a control plane")
        if not control and max(planes)[1] - minor[1] > KUBELET_SKEW:
            out.append(f"{host}: a kubelet may be {KUBELET_SKEW} minors behind the control plane, not more")
    return out


def version_of(side: Side, environment: str) -> str:
    """The Kubernetes version of an environment's API servers, the oldest where they differ; "" where there are none.

    A version that nobody wrote is the variable's default.
    """
    found = _versions(side, environment, variables).values()
    planes = [value for control, value in found if control] or [value for _control, value in found]
    known = [value for value in planes if isinstance(value, str) and minor_of(value)]
    if not planes and side.groups(environment).of_host:
        return str(_or_default(VERSION, ABSENT, variables))
    return min(known, key=lambda value: minor_of(value) or (0, 0), default="")


# -- objects ----------------------------------------------------------------------------------------------------------


def _is_written(one: Object, after: Files) -> bool:
    """Whether an object is written in its file; a link only shows what is written elsewhere."""
    entry = after.entry(one.pair.after.origin.file) if one.pair.after is not None else None
    return entry is not None and entry.mode.startswith("100")


def check_twice(objects: Sequence[Object], after: Files, manifests: Manifests) -> Iterator[Finding]:
    """Objects that come and are in another place already.

    One that belongs to no environment may be meant to be another than that of an environment, so that is a warning.
    Only objects that are new in their file can do that, so nothing is read for others; Git finds the files that name
    them.  Files that go into a rendering are left out: there an object is written in several places on purpose.
    """
    coming = [one for one in objects if not one.reach and one.pair.before is None and _is_written(one, after)]
    if not coming:
        return
    names = {one.effect.subject.name.rpartition("/")[2] for one in coming}
    kinds = holding({one.effect.subject.type.partition(".")[0] for one in coming})
    places: dict[tuple[str, ...], list[ObjectAt]] = {}
    for path in sorted(after.mentions(names)):
        for found in manifests.objects(after, path, kinds):
            places.setdefault(identity(found)[1:], []).append(found)
    for one in coming:
        mine = one.pair.after
        assert mine is not None  # it is coming
        others = [other for other in places.get(identity(mine)[1:], ()) if other.origin != mine.origin]
        beside = [other for other in others if other.subject.scope == mine.subject.scope]
        shared = [other for other in others if "" in (other.subject.scope, mine.subject.scope)]
        if beside:
            yield _twice(one, mine, beside, "is defined twice; also in", PROHIBIT)
        elif shared:
            yield _twice(one, mine, shared, "may be defined twice for an environment; also in", WARN)


def _twice(one: Object, mine: ObjectAt, others: Sequence[ObjectAt], says: str, severity: str) -> Finding:
    message = f"{mine.subject} {says} {_places(others)}"
    remedy = "Change it where it is, or take one of them away."
    change: Change = one.effect.changes[0]
    return Finding("duplicate-object", severity, INVALID, message, (), remedy, mine.origin, mine.subject, change=change)


def _places(objects: Sequence[ObjectAt]) -> str:
    origins = sorted({str(one.origin) for one in objects})
    more = f" and {len(origins) - 3} more places" if len(origins) > 3 else ""
    return ", ".join(origins[:3]) + more


def check_orphans(
    objects: Sequence[Object], after: Files, manifests: Manifests, renderings: Renderings
) -> Iterator[Finding]:
    """Objects that stay while what they cannot be without goes: their namespace, or the definition of their kind.

    The API server deletes them with either.
    """
    for one in objects:
        brought = brings(one.pair.before)
        if brought is None or brought == brings(one.pair.after):
            continue
        scope = one.effect.environment
        scopes = {scope, ""} if scope in manifests.layout.names else AllBut()
        look = holding({brought[-1]})
        there = manifests.every(after, scopes, look)
        for outcome in renderings.every(scopes, look):
            there += outcome.sides[1]
            yield from outcome.findings(NEEDED)
        staying = [other for other in there if brought in _wants(other)]
        if staying and not any(brings(other) == brought for other in there):
            message = f"{one.effect.subject} goes, and what cannot be without it stays: {_places(staying)}"
            remedy = "Take that away first; the API server deletes it as well."
            change = one.effect.changes[0]
            origin, subject = change.origin, one.effect.subject
            yield Finding(ORPHAN, PROHIBIT, INVALID, message, (), remedy, origin, subject, change=change)


def brings(at: ObjectAt | None) -> tuple[str, ...] | None:
    """What others cannot be without: (NAMESPACE, NAME) or (KIND, GROUP, KIND); None where it is no such object."""
    obj = at.object if at is not None else {}
    if obj.get("kind") == "Namespace" and group_of(obj) == "":
        return (NAMESPACE, text_of(metadata_of(obj).get("name")))
    spec = obj.get("spec") if obj.get("kind") == DEFINITION else None
    names = spec.get("names") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(names, dict):
        return None
    return (KIND, text_of(spec.get("group")), text_of(names.get("kind")))


def _wants(at: ObjectAt) -> tuple[tuple[str, ...], ...]:
    namespace = text_of(metadata_of(at.object).get("namespace"))
    return ((NAMESPACE, namespace), (KIND, group_of(at.object), text_of(at.object.get("kind"))))

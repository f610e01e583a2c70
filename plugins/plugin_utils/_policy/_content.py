# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the content checks share: findings with places, named list elements, Pods inside workloads, quoted lists."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import LIST_KEYS, Path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CONTENT,
    ContentError,
    Context,
    Finding,
    Job,
    ObjectAt,
)

#: Where the Pod's template sits in each kind that makes Pods: (group, kind) -> path; () for a Pod itself.
#: Source: the kinds that Pod Security admission looks into.  extensions is the group of the removed beta versions.
TEMPLATES: Mapping[tuple[str, str], Path] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("extensions", "ReplicaSet"): ("spec", "template"),
    ("extensions", "Deployment"): ("spec", "template"),
    ("extensions", "DaemonSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}

#: The three lists of containers of a Pod, in the order in which they start.
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


class PodAt(NamedTuple):
    """A Pod, or the template of one: its metadata and spec, and where it sits in the object.

    Both are the raw values (anything at all; None where absent).
    """

    metadata: Any
    spec: Any
    path: Path


class Malformed(NamedTuple):
    """A value of a type that the API does not take: it cannot be judged, so it is refused."""

    path: Path
    message: str


def group_of(obj: Mapping[str, Any]) -> str:
    """API group of an object: "" for the core group, "apps" for apps/v1."""
    version = obj.get("apiVersion")
    group, slash, _version = version.partition("/") if isinstance(version, str) else ("", "", "")
    return group if slash else ""


def text_of(value: Any) -> str:
    """The value when it is a string, else ""."""
    return value if isinstance(value, str) else ""


def metadata_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """metadata of an object, {} where there is none that can be read."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def pod_of(obj: Mapping[str, Any]) -> PodAt | Malformed | None:
    """The Pod in an object; None for a kind that makes no Pods or has no template."""
    kind = obj.get("kind")
    path = TEMPLATES.get((group_of(obj), kind)) if isinstance(kind, str) else None
    if path is None:
        return None
    at: Any = obj
    for length, step in enumerate(path, start=1):
        at = at.get(step)
        if at is None:
            return None
        if not isinstance(at, dict):
            return Malformed(path[:length], f"{'.'.join(map(str, path[:length]))} must be an object")
    return PodAt(at.get("metadata"), at.get("spec"), path)


def containers_of(spec: Any, path: Path) -> list[tuple[Mapping[str, Any], Path]]:
    """Every container of a Pod's spec that can be read, init and ephemeral ones too, with its path."""
    out: list[tuple[Mapping[str, Any], Path]] = []
    for name in CONTAINER_LISTS if isinstance(spec, dict) else ():
        found = spec.get(name)
        for index, container in enumerate(found if isinstance(found, list) else ()):
            if isinstance(container, dict):
                out.append((container, (*path, name, index)))
    return out


def named(obj: Any, path: Path) -> Path:
    """The path with list elements named by their key ("[name=web]") where the list has one, else by index.

    Findings at base and head are the same one when their fields are, so moving an element must not make a new one.
    """
    out: list[str | int] = []
    at = obj
    for step in path:
        name = _element(at, step) if isinstance(step, int) else ""
        out.append(name or step)
        at = _step(at, step)
    return tuple(out)


def _step(at: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return at[step] if isinstance(at, list) and 0 <= step < len(at) else None
    return at.get(step) if isinstance(at, dict) else None


def _element(items: Any, index: int) -> str:
    """ "[name=web]" for an element whose key nobody else in the list has, else ""."""
    item = _step(items, index)
    if not isinstance(item, dict):
        return ""
    counts = _counts.of(items)
    for key in LIST_KEYS:
        if _is_key(item.get(key)) and counts[(key, item[key])] == 1:
            return f"[{key}={item[key]}]"
    return ""


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


class _Counts:
    """How often each key stands in a list, counted once for all findings about its elements."""

    #: Lists lie in lists, so findings about one element ask for a few of them in turn.
    KEPT = 16

    def __init__(self) -> None:
        self._known: dict[int, tuple[list[Any], Counter[tuple[str, Any]]]] = {}

    def of(self, items: list[Any]) -> Counter[tuple[str, Any]]:
        """The counts of (key, value) in a list, which is not changed afterwards."""
        known = self._known.get(id(items))
        if known is None or known[0] is not items:
            if len(self._known) == self.KEPT:
                self._known.clear()
            known = self._known[id(items)] = (items, Counter(_keys(items)))
        return known[1]


def _keys(items: list[Any]) -> Iterator[tuple[str, Any]]:
    for item in items:
        for key in LIST_KEYS if isinstance(item, dict) else ():
            if _is_key(item.get(key)):
                yield key, item[key]


_counts = _Counts()


def finding(job: Job, at: ObjectAt, path: Path, message: str, remedy: str = "", kind: str = CONTENT) -> Finding:
    """A finding of a job about a field of an object (`path` with list indexes).

    Raises:
        ContentError: the job's time is over: one object may have very many.
    """
    context = job.context
    within(context)
    return Finding(
        rule=context.rule,
        severity=context.severity,
        kind=kind,
        message=message,
        remedy=remedy,
        origin=at.position(path),
        subject=at.subject,
        field=named(at.object, path),
    )


def each(jobs: Sequence[Job], judge: Callable[[Job, ObjectAt], list[Finding]]) -> list[list[Finding]]:
    """Run `judge` on every object of every job, within each job's deadline.

    Raises:
        ContentError: a job's time is over.
    """
    out: list[list[Finding]] = []
    for job in jobs:
        found: list[Finding] = []
        for at in job.objects:
            within(job.context)
            found += judge(job, at)
        out.append(found)
    return out


def within(context: Context) -> None:
    """Give up when the time is over.

    Raises:
        ContentError: it is.
    """
    if time.monotonic() > context.deadline:
        raise ContentError(f"{context.rule}: not finished in time; nothing is permitted that was not looked at")


def quoted(items: Iterable[str]) -> str:
    """ "a", "b" for a list of names."""
    return ", ".join(f'"{item}"' for item in items)


def plural(one: str, many: str, count: int) -> str:
    """`one` for exactly one, else `many`."""
    return one if count == 1 else many


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint " (did you mean X?)" with the nearest known name, or "" when none is near."""
    import difflib  # only when there is something wrong already

    found = difflib.get_close_matches(name[:200], list(known), n=1, cutoff=0.7)
    return f" (did you mean {found[0]}?)" if found else ""

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Which directories a change makes Kustomize or Helm render anew, and what comes out on both sides.

A directory with a kustomization that others build on is judged through them; one that none builds on is rendered
itself (and those that the settings name).  Finding who builds on whom reads every kustomization file of the repository,
but only when a changed file lies below one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    GitError,
    Limits,
    ObjectAt,
    Rendered,
    RenderError,
)

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
KUSTOMIZE, HELM = "kustomize", "helm"

#: What of a chart Helm makes objects of, or takes values from; charts in its charts/ are charts themselves.
_CHART_FILES = (CHART, "Chart.lock", "values.yaml", "values.schema.json")
_CHART_FOLDERS = ("templates/", "crds/")

#: Keys of a kustomization whose items may be directories with kustomizations of their own.
_REFERENCES = ("resources", "bases", "components", "crds", "generators", "transformers", "validators")

#: Renders one directory of one tree: (tree, directory, how, limits, deadline, values files) -> what came out.
Renderer = Callable[[Files, str, str, Limits, float, tuple[str, ...]], Rendered]


class Root(NamedTuple):
    """Something to render: a directory, by Kustomize or by Helm with these values files.

    new  it was there before, but only as a part of something else: by itself, all that it makes is added
    """

    directory: str
    how: str
    values: tuple[str, ...] = ()
    new: bool = False

    @property
    def scope(self) -> str:
        """What the objects' Subjects get as scope."""
        return f"{self.directory} with {', '.join(self.values)}" if self.values else self.directory


class Outcome(NamedTuple):
    """What came out of a Root on both sides; None where there is nothing to render or it failed, which `error` says."""

    root: Root
    before: Rendered | None
    after: Rendered | None
    errors: tuple[str, str]


def find(before: Files, after: Files, changed: Collection[str], layout: Layout) -> list[Root]:
    """What a change makes render anew, sorted."""
    directories = {directory for path in changed for directory in _above(path)}
    charts = {one for one in directories if any(is_chart(tree, one) for tree in (before, after))}
    charts |= {
        chart for chart, sets in layout.values.items() if any(path in changed for values in sets for path in values)
    }
    for chart in [one for one in charts if is_chart(before, one) != is_chart(after, one)]:
        inside = join(chart, "charts")  # what was a part may now stand for itself
        charts |= {join(inside, name) for tree in (before, after) for name in tree.names(inside)}
    out = [
        Root(chart, HELM, tuple(values), is_chart(before, chart) and not _is_whole_chart(before, chart))
        for chart in charts
        if any(_is_whole_chart(tree, chart) for tree in (before, after))
        for values in layout.values.get(chart, ((),))
    ]
    if any(_kustomization(tree, one) for one in directories for tree in (before, after)):
        out += _kustomized(before, after, directories, layout)
    return sorted(out)


def join(directory: str, name: str) -> str:
    """The path of a name in a directory, "" being the top."""
    return f"{directory}/{name}" if directory else name


def is_chart(tree: Files, directory: str) -> bool:
    """Whether a directory is a Helm chart."""
    return CHART in tree.names(directory)


def _is_whole_chart(tree: Files, chart: str) -> bool:
    """Whether a directory is a chart and no part of another one, as charts in its folder charts/ are.

    Names that begin with "." or "_" are none to Helm (its chart loader).
    """
    folder, _, name = chart.rpartition("/")
    above, _, last = folder.rpartition("/")
    part = last == "charts" and not name.startswith((".", "_")) and is_chart(tree, above)
    return is_chart(tree, chart) and not part


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _kustomization(tree: Files, directory: str) -> str:
    names = tree.names(directory)
    found = next((name for name in KUSTOMIZATIONS if name in names), "")
    return (f"{directory}/{found}" if directory else found) if found else ""


def is_input(tree: Files, path: str) -> bool:
    """Whether a file lies where Kustomize may take it in, or is one that Helm makes objects of."""
    return is_of_chart(tree, path) or any(_kustomization(tree, one) for one in _above(path))


def is_of_chart(tree: Files, path: str) -> bool:
    """Whether a file is one that Helm makes objects of; whatever else lies in a chart is a file like any other."""
    inside = ((one, path[len(one) + 1 :] if one else path) for one in _above(path))
    return any(
        (name in _CHART_FILES or name.startswith(_CHART_FOLDERS)) and is_chart(tree, one) for one, name in inside
    )


def _kustomized(before: Files, after: Files, directories: set[str], layout: Layout) -> list[Root]:
    graphs = [references(tree) for tree in (before, after)]
    known = graphs[0].keys() | graphs[1].keys()
    affected = directories & known
    referenced = [{one for used in graph.values() for one in used} for graph in graphs]
    # What another kustomization built on and none does any more was never judged by itself.
    fresh = {one for one in (graphs[0].keys() & referenced[0]) - set(layout.roots) if one in graphs[1]} - referenced[1]
    users: dict[str, set[str]] = {}
    for graph in graphs:
        for user, used in graph.items():
            for one in used:
                users.setdefault(one, set()).add(user)
    todo = list(affected)
    while todo:
        more = users.get(todo.pop(), set()) - affected
        affected |= more
        todo += more
    # A root on one side is rendered on both, or it would seem to go when somebody begins to build on it.
    affected |= fresh
    roots = {
        one
        for one in affected
        if one in layout.roots or any(one in graph and one not in used for graph, used in zip(graphs, referenced))
    }
    reached = set(roots)
    todo = list(roots)
    while todo:
        at = todo.pop()
        more = {one for graph in graphs for one in graph.get(at, ())} - reached
        reached |= more
        todo += more
    roots |= affected - reached  # what is left builds on itself in a circle; rendering it will say so
    return [Root(one, KUSTOMIZE, new=one in fresh) for one in roots]


def references(tree: Files) -> dict[str, set[str]]:
    """For each directory with a kustomization, the directories that it builds on.

    A kustomization that cannot be read builds on nothing here; it is rendered, and Kustomize says what is wrong.
    """
    out: dict[str, set[str]] = {}
    for entry in tree.walk():
        directory, _, name = entry.path.rpartition("/")
        if name in KUSTOMIZATIONS:
            out[directory] = set(_referenced(tree, entry.path, directory))
    return out


def _referenced(tree: Files, path: str, directory: str) -> Iterable[str]:
    try:
        documents = _yaml.read(tree.read(path), path, "k8s")
    except (_yaml.YamlError, GitError):
        return
    value = documents[0].value if documents else None
    value = value if isinstance(value, dict) else {}
    for key in _REFERENCES:
        items = value.get(key)
        for item in items if isinstance(items, list) else ():
            found = _join(directory, item) if isinstance(item, str) else None
            if found is not None and _kustomization(tree, found):
                yield found


def _join(directory: str, item: str) -> str | None:
    if ":" in item or item.startswith("/") or "\n" in item:
        return None  # an address, a place outside, or an object written in line
    parts = directory.split("/") if directory else []
    for part in item.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def render(root: Root, before: Files, after: Files, limits: Limits, deadline: float, renderer: Renderer) -> Outcome:
    """Render a Root on both sides."""
    sides: list[Rendered | None] = []
    errors = []
    for tree in (before, after):
        present = (
            bool(_kustomization(tree, root.directory)) if root.how == KUSTOMIZE else is_chart(tree, root.directory)
        )
        rendered, error = None, ""
        if present and not (root.new and tree is before):
            try:
                rendered = _scoped(renderer(tree, root.directory, root.how, limits, deadline, root.values), root.scope)
            except RenderError as problem:
                error = str(problem) or "it failed"
        sides.append(rendered)
        errors.append(error)
    return Outcome(root, sides[0], sides[1], (errors[0], errors[1]))


def _scoped(rendered: Rendered, scope: str) -> Rendered:
    def scoped(one: ObjectAt) -> ObjectAt:
        subject = one.subject
        return one._replace(subject=Subject(subject.type, subject.name, scope, subject.labels))

    return rendered._replace(objects=tuple(scoped(one) for one in rendered.objects))

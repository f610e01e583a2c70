# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Which directories a change makes Kustomize or Helm render anew, and what comes out on both sides.

A directory with a kustomization that others build on is judged through them; one that none builds on is rendered
itself (and those that the settings name).  One that belongs to an environment is judged through others of it only: who
builds on production for an environment of their own makes nothing else of production.

Finding who builds on whom reads every kustomization file of the repository, but only where a change is below one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    INFO,
    INVALID,
    PROHIBIT,
    SURROUNDINGS,
    WARN,
    Finding,
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

#: What to do where something cannot be rendered.
MEND = "Nothing passes unseen: mend it, or install the renderer where this is judged."
#: And where it does not change.
NEEDED = (
    "The change may be about what it makes: mend it, install the renderer where this is judged, or name it in `plain` "
    "of policy/settings.yml if nobody applies it."
)


class Look(NamedTuple):
    """Tells of a content whether it matters.

    words  a content that does has one of these, or may have it in disguise
    sees   whether one does
    """

    words: frozenset[str]
    sees: Callable[[bytes], bool]


class Root(NamedTuple):
    """Something to render: a directory, by Kustomize or by Helm with these values files.

    new   it was there before, but only as a part of something else: by itself, all that it makes is added
    ends  it is only a part of something else afterwards: by itself, all that it makes is removed
    """

    directory: str
    how: str
    values: tuple[str, ...] = ()
    new: bool = False
    ends: bool = False

    @property
    def scope(self) -> str:
        """What the objects' Subjects get as scope."""
        return f"{self.directory} with {', '.join(self.values)}" if self.values else self.directory

    @property
    def place(self) -> Origin:
        """The file that makes the directory one to render, as people know it."""
        return Origin(join(self.directory, CHART if self.how == HELM else KUSTOMIZATIONS[0]))


class Outcome(NamedTuple):
    """What came out of a Root on both sides; None where there is nothing to render or it failed, which `error` says."""

    root: Root
    before: Rendered | None
    after: Rendered | None
    errors: tuple[str, str]

    @property
    def sides(self) -> tuple[tuple[ObjectAt, ...], tuple[ObjectAt, ...]]:
        """The objects before and after."""
        before, after = (() if side is None else side.objects for side in (self.before, self.after))
        return before, after

    def findings(self, remedy: str) -> list[Finding]:
        """What is to be said of the rendering itself; `remedy` of one that failed."""
        name = self.root.scope or "the top directory"
        if self.errors[1]:
            message = f"{name} could not be rendered by {self.root.how}: {self.errors[1]}"
            return [Finding("render", PROHIBIT, ERROR, message, remedy=remedy, origin=self.root.place)]
        out = []
        if self.errors[0]:
            message = f"{name} could not be rendered as it is now ({self.errors[0]}); all of it counts as added"
            out.append(Finding("render", WARN, INVALID, message, origin=self.root.place, new=False))
        if any(side is not None and not side.isolated for side in (self.before, self.after)):
            message = (
                f"{self.root.how} ran without a network namespace of its own, which this system does not let it have"
            )
            remedy = "Judge where `unshare --net` works; render.network_namespace in policy/settings.yml can demand it."
            out.append(Finding(SURROUNDINGS, INFO, INVALID, message, remedy=remedy))
        return out


#: For each directory with a kustomization, the directories that it builds on.
Graph = Mapping[str, set[str]]


def find(
    before: Files,
    after: Files,
    changed: Collection[str],
    layout: Layout,
    graph: Callable[[Files], Graph] | None = None,
) -> list[Root]:
    """What a change makes render anew, sorted; `graph` gives the references of a side that are known already."""
    directories = {directory for path in changed for directory in _above(path)}
    charts = {one for one in directories if any(is_chart(tree, one) for tree in (before, after))}
    charts |= {
        chart for chart, sets in layout.values.items() if any(path in changed for values in sets for path in values)
    }
    for chart in [one for one in charts if is_chart(before, one) != is_chart(after, one)]:
        inside = join(chart, "charts")  # what was a part may now stand for itself
        charts |= {join(inside, name) for tree in (before, after) for name in tree.names(inside)}
    out = [
        Root(chart, HELM, tuple(values), _is_part(before, chart), _is_part(after, chart))
        for chart in charts
        if any(_is_whole_chart(tree, chart) for tree in (before, after))
        for values in layout.values.get(chart, ((),))
    ]
    if any(_kustomization(tree, one) for one in directories for tree in (before, after)):
        graphs = [(graph or references)(tree) for tree in (before, after)]
        out += _kustomized(graphs, directories, layout)
    return sorted(out)


def join(directory: str, name: str) -> str:
    """The path of a name in a directory, "" being the top."""
    return f"{directory}/{name}" if directory else name


def is_chart(tree: Files, directory: str) -> bool:
    """Whether a directory is a Helm chart."""
    return CHART in tree.names(directory)


def _is_part(tree: Files, chart: str) -> bool:
    return is_chart(tree, chart) and not _is_whole_chart(tree, chart)


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
    return is_of_chart(tree, path) or is_kustomized(tree, path)


def is_kustomized(tree: Files, path: str) -> bool:
    """Whether Kustomize may take a file in; the same for all files of a directory."""
    return any(_kustomization(tree, one) for one in _above(path))


def is_of_chart(tree: Files, path: str) -> bool:
    """Whether a file is one that Helm makes objects of; whatever else lies in a chart is a file like any other."""
    inside = ((one, path[len(one) + 1 :] if one else path) for one in _above(path))
    return any(
        (name in _CHART_FILES or name.startswith(_CHART_FOLDERS)) and is_chart(tree, one) for one, name in inside
    )


def _kustomized(graphs: Sequence[Graph], directories: set[str], layout: Layout) -> list[Root]:
    known = graphs[0].keys() | graphs[1].keys()
    affected = directories & known

    def environment(directory: str) -> str:
        return layout.environment_of(directory)

    def covers(user: str, one: str) -> bool:
        return environment(one) in ("", environment(user))

    referenced = [{one for user, used in graph.items() for one in used if covers(user, one)} for graph in graphs]
    # What another kustomization built on and none does any more was never judged by itself.
    fresh = {one for one in (graphs[0].keys() & referenced[0]) - set(layout.roots) if one in graphs[1]} - referenced[1]
    ending = {one for one in (graphs[0].keys() - referenced[0]) - set(layout.roots) if one in graphs[1]} & referenced[1]
    affected = _built_on(affected, graphs)
    # A root on one side is rendered on both, or it would seem to go when somebody begins to build on it.
    affected |= fresh | ending
    roots = {
        one
        for one in affected
        if one in layout.roots or any(one in graph and one not in used for graph, used in zip(graphs, referenced))
    }
    reached = _built_of(roots, graphs)
    roots |= affected - reached  # what is left builds on itself in a circle; rendering it will say so
    return [Root(one, KUSTOMIZE, new=one in fresh, ends=one in ending) for one in roots]


def _built_of(directories: Collection[str], graphs: Iterable[Graph]) -> set[str]:
    """These directories, and all that they build on."""
    found, todo = set(directories), list(directories)
    while todo:
        at = todo.pop()
        more = {one for graph in graphs for one in graph.get(at, ())} - found
        found |= more
        todo += more
    return found


def _built_on(directories: set[str], graphs: Iterable[Graph]) -> set[str]:
    """These directories, and all that build on them."""
    users: dict[str, set[str]] = {}
    for graph in graphs:
        for user, used in graph.items():
            for one in used:
                users.setdefault(one, set()).add(user)
    found, todo = set(directories), list(directories)
    while todo:
        more = users.get(todo.pop(), set()) - found
        found |= more
        todo += more
    return found


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
    if item.startswith("/") or "\n" in item:
        return None  # a place outside, or an object written in line; of an address there is no directory
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
    """Render a Root on both sides; once where they are the same."""
    sides: list[Rendered | None] = []
    errors = []
    for tree in (before, after):
        present = (
            bool(_kustomization(tree, root.directory)) if root.how == KUSTOMIZE else is_chart(tree, root.directory)
        )
        rendered, error = None, ""
        is_part = root.new if tree is before else root.ends
        if present and not is_part:
            try:
                rendered = _scoped(renderer(tree, root.directory, root.how, limits, deadline, root.values), root.scope)
            except RenderError as problem:
                error = str(problem) or "it failed"
        same = 2 if before is after else 1
        sides += [rendered] * same
        errors += [error] * same
        if same == 2:
            break
    return Outcome(root, sides[0], sides[1], (errors[0], errors[1]))


def _scoped(rendered: Rendered, scope: str) -> Rendered:
    def scoped(one: ObjectAt) -> ObjectAt:
        subject = one.subject
        return one._replace(subject=Subject(subject.type, subject.name, scope, subject.labels))

    return rendered._replace(objects=tuple(scoped(one) for one in rendered.objects))


class Renderings:
    """What Kustomize and Helm make: of what a change touches, and of all else where somebody asks for it.

    Args:
        trees: both sides.
        layout: where things are.
        limits: bounds of the run.
        deadline: time.monotonic() after which GitError is raised.
        renderer: renders.
        counts: tells of a path whether the directories above it are rendered for it.
    """

    def __init__(
        self,
        trees: tuple[Files, Files],
        layout: Layout,
        limits: Limits,
        deadline: float,
        renderer: Renderer,
        counts: Callable[[str], bool],
    ) -> None:
        self.trees = trees
        self.counts = counts
        self.layout = layout
        self.limits = limits
        self.deadline = deadline
        self.renderer = renderer
        self._known: dict[Root, Outcome] = {}
        self._others: list[Root] | None = None
        self._graphs: dict[Files, Graph] = {}
        self._inputs: dict[Root, Collection[str]] = {}

    def changed(self, paths: Iterable[str]) -> Iterator[Outcome]:
        """What the roots make that a change of these paths touches."""
        counting = {path for path in paths if self.counts(path)}
        for root in find(*self.trees, counting, self.layout, self._references) if counting else ():
            yield self._remember(root, *self.trees)

    def every(self, scopes: Container[str], look: Look) -> list[Outcome]:
        """What every root makes that belongs to one of these scopes, as far as it may make what `look` is true of.

        One that the change does not touch makes the same on both sides, and is rendered once.  Kustomize's files are
        looked into first.  Helm's are not: a template can put any word together, so no chart can be passed over.

        Raises:
            GitError: the files cannot be read, or there is no time left.
        """
        for root in self._untouched():
            if root not in self._known and self.environment(root) in scopes and self._may_make(root, look):
                self._remember(root, self.trees[1], self.trees[1])
        return [one for root, one in self._known.items() if self.environment(root) in scopes]

    def between(self, root: Root, causes: Iterable[str]) -> tuple[str, ...]:
        """The directories by which files come into a root, sorted: it builds on them, and they on the files."""
        if root.how != KUSTOMIZE:
            return ()
        graphs = [self._references(tree) for tree in self.trees]
        takers = {one for path in causes for one in _above(path) if any(one in graph for graph in graphs)}
        return tuple(sorted(_built_on(takers, graphs) & _built_of([root.directory], graphs) - {root.directory}))

    def _references(self, tree: Files) -> Graph:
        if tree not in self._graphs:
            self._graphs[tree] = references(tree)
        return self._graphs[tree]

    def reads(self, path: str) -> bool:
        """Whether a kustomization that the change does not touch takes a file in, and so on both sides."""
        if not is_input(self.trees[1], path):
            return False
        graph = self._references(self.trees[1])
        users = _built_on({one for one in _above(path) if one in graph}, [graph])
        roots = (root for root in self._untouched() if root.how == KUSTOMIZE and root.directory in users)
        return any(path in self._inputs_of(root) for root in roots)

    def _inputs_of(self, root: Root) -> Collection[str]:
        if root not in self._inputs:
            self._inputs[root] = renderers().inputs(self.trees[1], root.directory, self.limits)
        return self._inputs[root]

    def made(self, side: int, scopes: Container[str]) -> Iterator[ObjectAt]:
        """The objects that are known to be made in some scopes, before or after."""
        for root, outcome in self._known.items():
            if self.environment(root) in scopes:
                yield from outcome.sides[side]

    def environment(self, root: Root) -> str:
        """The environment that a root belongs to, "" when it belongs to none or to all."""
        return self.layout.environment_of(root.directory, root.values)

    def _remember(self, root: Root, before: Files, after: Files) -> Outcome:
        if time.monotonic() > self.deadline:
            raise GitError("what Kustomize and Helm make could not be found out in time")
        outcome = render(root, before, after, self.limits, self.deadline, self.renderer)
        self._known[root._replace(new=False, ends=False)] = outcome
        return outcome

    def _untouched(self) -> list[Root]:
        if self._others is None:
            self._others = [root for root in self._all() if root not in self._known]
        return self._others

    def _all(self) -> list[Root]:
        after, names = self.trees[1], {*KUSTOMIZATIONS, CHART}
        paths = [entry.path for entry in after.walk()]
        if not any(path.rpartition("/")[2] in names for path in paths):
            return []
        return find(after, after, set(filter(self.counts, paths)), self.layout, self._references)

    def _may_make(self, root: Root, look: Look) -> bool:
        if root.how == HELM:
            return True
        found: bool = renderers().may_make(self.trees[1], root.directory, self.limits, look.sees)
        return found


def renderers() -> Any:
    """The module that runs Kustomize and Helm: dear to import, and rarely wanted."""
    return import_module("ansible_collections.weft.platform.plugins.plugin_utils._policy._render")

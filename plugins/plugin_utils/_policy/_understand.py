# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Two trees become Effects: what a change does, not what its text is.

Every changed path is accounted for: by the Effects that were read out of it, by the proof that it has none, or by an
Effect on the path itself.  What was not understood is opaque: it may be anything, so it passes no rule unseen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Value
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _roots
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    Effect,
    Layout,
    Quiet,
    in_order,
    path_effect,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import (
    DIRECTORY,
    EXECUTABLE,
    LINK,
    SUBMODULE,
    YAML_SUFFIXES,
    Difference,
    Files,
    TooLarge,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import (
    Side,
    follow,
    link_target,
    may_be_inventory,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    INVALID,
    PROHIBIT,
    Entry,
    Finding,
    GitError,
    Limits,
    ObjectAt,
    Rendered,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import (
    Pair,
    Parsed,
    effect_of,
    is_more,
    moved,
    pairs,
    parse,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._variables import compare, environments_of

#: Directory of the policy; what is in it is judged by path, and by what it does to the policy.
POLICY = "policy"

#: Folders of a role whose YAML Ansible takes for its own (its documentation, "Roles").
_ROLE_FOLDERS = frozenset(["tasks", "handlers", "vars", "defaults", "meta"])


class Object(NamedTuple):
    """An object that changes: both sides, its Effect, the directory that was rendered ("" for a plain file).

    was  for one that moves: the file where it was; one that only moves has the Effect that it comes
    """

    pair: Pair
    effect: Effect
    reach: str
    was: tuple[str, ...] = ()


class Understanding(NamedTuple):
    """What a change does.

    effects       all of it, in a fixed order
    objects       the Kubernetes objects that come, go or change
    moved         objects that only take another place
    quiet         what only takes another place, objects too
    findings      what is invalid, and what could not be judged
    environments  inventories that are touched
    layout        where things are, with the environments that there are
    manifests     reads objects on either side; what was read already is there
    unread        of the effects, those that may bring objects which nobody has seen
    differences   every path that differs
    renderings    what Kustomize and Helm make, on either side
    """

    effects: tuple[Effect, ...]
    objects: tuple[Object, ...]
    moved: tuple[Object, ...]
    quiet: tuple[Quiet, ...]
    findings: tuple[Finding, ...]
    environments: tuple[str, ...]
    layout: Layout
    manifests: Manifests
    renderings: _roots.Renderings
    unread: tuple[Effect, ...] = ()
    differences: tuple[Difference, ...] = ()


#: So many links after each other are followed (Linux follows 40).
_HOPS = 8


def holding(words: Collection[str]) -> _roots.Look:
    """Whether a content holds one of these words, or may hold it in disguise."""
    wanted = [word.encode("utf-8", "surrogateescape") for word in words]
    return _roots.Look(frozenset(words), lambda data: may_disguise(data) or any(word in data for word in wanted))


#: By one of these a word in a content may be written in other bytes: with escapes, or as !!binary by any name.
DISGUISES = ("\\", "!!", "!<", "%TAG")


def may_disguise(data: bytes) -> bool:
    """Whether words in a content may be written in other bytes."""
    # one byte is found far faster than two
    return b"\\" in data or (b"!" in data and (b"!!" in data or b"!<" in data)) or b"%TAG" in data


class AllBut(Container[str]):
    """Every scope but some."""

    def __init__(self, others: Collection[str] = ()) -> None:
        self.others = others

    def __contains__(self, scope: object) -> bool:
        return scope not in self.others


class Manifests:
    """The Kubernetes objects of plain files: each content is read once, for both sides and every check.

    Args:
        layout: where things are.
        limits: bounds of the run.
    """

    def __init__(self, layout: Layout, limits: Limits) -> None:
        self.layout = layout
        self.yaml_limits = _yaml.Limits(
            size=limits.blob_bytes, nodes=max(1000, limits.blob_bytes // 4), depth=limits.depth
        )
        self._parsed: dict[tuple[str, str], Parsed] = {}
        #: Whether Kustomize may take the files of a directory in.
        self._kustomized: dict[tuple[Files, str], bool] = {}

    def parsed(self, tree: Files, path: str, written: str = "") -> Parsed:
        """What the file at `path` holds.

        Args:
            tree: the files.
            path: which file; its objects are placed there.
            written: where its content is, when `path` is or goes through a link.

        Raises:
            _yaml.YamlError: it cannot be understood.
            TooLarge: it is larger than the limit.
            GitError: it is no plain file, or cannot be read.
        """
        written = written or path
        entry = tree.entry(written)
        key = (path, entry.oid if entry is not None else "")
        if key not in self._parsed:
            self._parsed[key] = parse(tree.read(written), path, self.layout.environment(path), self.yaml_limits)
        return self._parsed[key]

    def objects(self, tree: Files, path: str, look: _roots.Look | None = None) -> Sequence[ObjectAt]:
        """The objects of one plain file; () where it has none, cannot be read, or is there to be rendered.

        Args:
            tree: the files.
            path: which file.
            look: the file is only looked into when this is true of its content.
        """
        entry = tree.entry(path)
        if entry is None or not self._may_hold_objects(tree, entry):
            return ()
        return self._objects_in(tree, path, look)

    def _objects_in(self, tree: Files, path: str, look: _roots.Look | None) -> Sequence[ObjectAt]:
        try:
            if look is not None and not look.sees(tree.read(path)):
                return ()
            return self.parsed(tree, path).objects
        except (_yaml.YamlError, TooLarge):
            return ()

    def every(self, tree: Files, scopes: Container[str], look: _roots.Look | None = None) -> list[ObjectAt]:
        """Every object in plain files of a tree whose scope is one of `scopes`.

        Without a `look` this reads the whole repository; only checks that need all objects ask for it.

        Args:
            tree: the files.
            scopes: environments, "" for what belongs to none.
            look: a file is only looked into when this is true of its content.
        """
        named = None if look is None else _named(tree, look.words)
        inside = (entry for entry in tree.walk() if entry.path.endswith(YAML_SUFFIXES))
        inside = (entry for entry in inside if named is None or entry.path in named)
        inside = (entry for entry in inside if self.layout.environment(entry.path) in scopes)
        wanted = sorted(entry.path for entry in inside if self._may_hold_objects(tree, entry))
        tree.ahead(wanted)
        return [one for path in wanted for one in self._objects_in(tree, path, look)]

    def _may_hold_objects(self, tree: Files, entry: Entry) -> bool:
        """Whether a file is read for objects."""
        path = entry.path
        if not is_file(entry) or not path.endswith(YAML_SUFFIXES):
            return False
        if self.layout.plain is not None and self.layout.plain.matches(path):
            return False
        if path.startswith((f"{POLICY}/", f"{self.layout.inventories}/")):
            return False
        key = (tree, path.rpartition("/")[0])
        if key not in self._kustomized:
            self._kustomized[key] = _roots.is_kustomized(tree, path)
        return not self._kustomized[key] and not _roots.is_of_chart(tree, path)


def _named(tree: Files, words: Collection[str]) -> Collection[str] | None:
    """The files that may hold one of these words; None: any, for there is one that Git cannot look for."""
    if any(not word or {"\n", "\0"} & set(word) for word in words):
        return None
    return tree.mentions({*words, *DISGUISES})


def understand(
    before: Files,
    after: Files,
    differences: Sequence[Difference],
    layout: Layout,
    limits: Limits,
    deadline: float,
    renderer: _roots.Renderer | None = None,
) -> Understanding:
    """What a change does.

    Args:
        before: the target branch as it is.
        after: the target branch as it would be.
        differences: every path that differs.
        layout: where things are.
        limits: bounds of the run.
        deadline: time.monotonic() after which GitError is raised.
        renderer: stands in for Kustomize and Helm.

    Raises:
        GitError: the trees cannot be read, or a limit is reached.
    """
    names = frozenset(environments_of((before, after), layout))
    run = _Run(before, after, differences, layout._replace(names=names), limits, deadline, renderer)
    run.inventories()
    run.rendered()
    run.files()
    return run.result()


class _Run:
    def __init__(
        self,
        before: Files,
        after: Files,
        differences: Sequence[Difference],
        layout: Layout,
        limits: Limits,
        deadline: float,
        renderer: _roots.Renderer | None,
    ) -> None:
        self.trees = (before, after)
        self.differences = {one.path: one for one in differences}
        self.layout = layout
        self.limits = limits
        self.deadline = deadline
        self.manifests = Manifests(layout, limits)
        self.sides = [Side(tree, layout, self.manifests.yaml_limits) for tree in self.trees]
        renderer = renderer or self._render
        self.renderings = _roots.Renderings(self.trees, layout, limits, deadline, renderer, self._is_rendered_for)
        self._versions: dict[tuple[int, str], str] = {}
        self.effects: list[Effect] = []
        self.objects: list[Object] = []
        self.moved: list[Object] = []
        self.quiet: list[Quiet] = []
        self.findings: list[Finding] = []
        self.environments: list[str] = []
        self.unread: list[Effect] = []
        self.done: set[str] = set()
        self.charts: list[str] = []
        #: Files that a rendering reads, before and after: their objects are those of the rendering.
        self.inputs: tuple[set[str], set[str]] = (set(), set())
        #: Files that may be read otherwise than before though nothing in them changed.
        self.turned: set[str] = set()

    def result(self) -> Understanding:
        return Understanding(
            tuple(in_order(self.effects)),
            tuple(self.objects),
            tuple(self.moved),
            tuple(self.quiet),
            tuple(self.findings),
            tuple(self.environments),
            self.layout,
            self.manifests,
            self.renderings,
            tuple(self.unread),
            tuple(self.differences.values()),
        )

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise GitError("the change could not be understood in time")

    def _is_plain(self, path: str) -> bool:
        return self.layout.plain is not None and self.layout.plain.matches(path)

    # -- inventories --------------------------------------------------------------------------------------------

    def inventories(self) -> None:
        """Effects on hosts and variables."""
        result = compare(self.sides[0], self.sides[1], self.differences.keys())
        self.effects += result.effects
        self.quiet += result.quiet
        self.environments = result.environments
        self.done |= {path for path in result.understood if not _mode_differs(self.differences[path])}
        known = {(origin.file, message) for origin, message in result.problems[1]}
        for origin, message in result.problems[0]:
            self._invalid("inventory", origin, message, new=(origin.file, message) not in known)
        for path in result.understood - self.done:
            self._path(path, opaque=False)

    def _invalid(
        self, rule: str, origin: Origin, message: str, new: bool = True, remedy: str = "Mend the file."
    ) -> None:
        self.findings.append(Finding(rule, PROHIBIT, INVALID, message, remedy=remedy, origin=origin, new=new))

    # -- Kustomize and Helm -------------------------------------------------------------------------------------

    def rendered(self) -> None:
        """Effects on what Kustomize and Helm make."""
        changed = self.differences.keys()  # a file of variables may be one of values as well
        for outcome in self.renderings.changed(changed):
            self._outcome(outcome, changed)

    def _render(
        self, tree: Files, directory: str, how: str, limits: Limits, deadline: float, values: tuple[str, ...]
    ) -> Rendered:
        side = 0 if tree is self.trees[0] else 1
        version = self._version(side, self.layout.environment_of(directory, values)) if how == _roots.HELM else ""
        rendered: Rendered = _roots.renderers().render(
            tree, directory, how, limits, deadline, values, self.layout.isolated, version
        )
        return rendered

    def _version(self, side: int, environment: str) -> str:
        """The Kubernetes of an environment before or after, or that which all have; "" where they differ."""
        from ansible_collections.weft.platform.plugins.plugin_utils._policy._valid import version_of  # it needs this

        key = (side, environment)
        if key not in self._versions:
            names = {environment} if environment in self.layout.names else self.layout.names
            found = {version_of(self.sides[side], name) for name in names} - {""}
            self._versions[key] = found.pop() if len(found) == 1 else ""
        return self._versions[key]

    def _is_rendered_for(self, path: str) -> bool:
        return not self._is_policy(path) and not self._is_plain(path)

    @staticmethod
    def _is_policy(path: str) -> bool:
        return path.startswith(f"{POLICY}/")

    def _outcome(self, outcome: _roots.Outcome, changed: Collection[str]) -> None:
        root = outcome.root
        if root.how == _roots.HELM:
            self.charts.append(f"{root.directory}/" if root.directory else "")
        self.findings += outcome.findings(_roots.MEND)
        if outcome.errors[1]:
            return
        if root.how == _roots.KUSTOMIZE:
            for files, side in zip(self.inputs, (outcome.before, outcome.after)):
                files |= set(side.files) if side is not None else set()
                self.turned |= set(side.files) if side is not None and not outcome.errors[0] else set()
        both = {path for side in (outcome.before, outcome.after) if side is not None for path in side.files}
        causes = tuple(sorted(both & set(changed))) or (root.place.file,)
        environment = self.renderings.environment(root)
        through = self.renderings.between(root, causes)
        for pair in pairs(*outcome.sides):
            self._in_time()
            self._object(pair._replace(files=causes), environment, root.directory, through=through)
        if outcome.before is not None and outcome.after is not None:
            effects = tuple(self._path_effect(path, opaque=False) for path in causes if path in self.differences)
            self.quiet.append(Quiet(effects, outcome.before.files, outcome.after.files))

    def _object(
        self, pair: Pair, environment: str, reach: str, was: tuple[str, ...] = (), through: tuple[str, ...] = ()
    ) -> bool:
        effect = effect_of(pair, environment, reach)
        if effect is not None:
            effect = effect._replace(through=through)
            self.effects.append(effect)
            self.objects.append(Object(pair, effect, reach, was))
            if len(self.objects) > self.limits.objects:
                raise GitError(f"more than {self.limits.objects} objects change")
        return effect is not None

    # -- files --------------------------------------------------------------------------------------------------

    def files(self) -> None:
        """Effects of everything else: objects in plain files, and paths."""
        before: list[ObjectAt] = []
        after: list[ObjectAt] = []
        left = sorted(self.differences.keys() - self.done)
        wanted = dict.fromkeys(path for path in left if self._is_read(path))
        for tree in self.trees:
            tree.ahead(wanted)
        for path in left:
            self._in_time()
            one = self.differences[path]
            if self._is_policy(path):
                self._path(path, opaque=False)
                continue
            self._brings(one)
            if self._is_plain(path):
                self._path(path, opaque=False)
                continue
            self._links(one)
            if path in wanted:
                self._yaml(one, before, after)
            elif _is_odd(one):
                self._path(path, opaque=True)
            elif path.startswith(f"{self.layout.inventories}/"):
                self._path(path, opaque=self._may_be_an_inventory(path))
            elif self._is_below_a_chart(path):
                self._path(path, opaque=False)
            elif not self._is_input(one):
                self._path(path, opaque=_may_be_variables(path))
        self._brought_elsewhere()
        for one in self._read_anew():
            self._in_time()
            self._yaml(one, before, after)
        self._plain_objects(before, after)

    def _is_read(self, path: str) -> bool:
        """Whether a file holds YAML whose content is looked at, and not only its path."""
        elsewhere = self._is_policy(path) or self._is_plain(path) or path.startswith(f"{self.layout.inventories}/")
        return path.endswith(YAML_SUFFIXES) and not elsewhere

    def _is_below_a_chart(self, path: str) -> bool:
        """With other values a chart may do other things by a file than those rendered."""
        return path.startswith(tuple(self.charts))

    def _written(self, side: int, path: str) -> str:
        """Where the content is that a YAML file is read with on a side; "" where there is none, or rendering reads it.

        Links are followed: what applies the file follows them as well.
        """
        tree = self.trees[side]
        if path in self.inputs[side] or _roots.is_of_chart(tree, path):
            return ""
        where = follow(tree, path)
        entry = tree.entry(where) if where else None
        return where if entry is not None and is_file(entry) else ""

    def _read_anew(self) -> Iterator[Difference]:
        """YAML files that are read otherwise than before though their own entries are the same."""
        for path in sorted({*self.turned, *self._of_charts(), *self._linked()} - self.differences.keys()):
            if not self._is_read(path):
                continue
            found = [self._content(side, path) for side in (0, 1)]
            if found[0] != found[1] and not (path in self.turned and self.renderings.reads(path)):
                yield Difference(path, *found)

    def _content(self, side: int, path: str) -> Entry | None:
        written = self._written(side, path)
        entry = self.trees[side].entry(written) if written else None
        return None if entry is None else entry._replace(path=path)

    def _of_charts(self) -> Iterator[str]:
        """The files of directories that begin or cease to be charts."""
        for path, one in self.differences.items():
            directory, _, name = path.rpartition("/")
            if name == _roots.CHART and (one.before is None or one.after is None):
                yield from (entry.path for tree in self.trees for entry in tree.walk(directory))

    def _linked(self) -> set[str]:
        """Files that are links, or that lie behind a link to a directory, where YAML is looked into."""

        def is_meant(link: str) -> bool:
            inside = link.startswith(f"{self.layout.inventories}/")
            return not (self._is_policy(link) or self._is_plain(link) or inside)

        return behind_links(self.trees, self.differences.keys(), self.limits, self.deadline, is_meant)

    def _is_input(self, one: Difference) -> bool:
        """Whether a file is only there to be rendered, on each side on which it is there: its effect is known."""
        sides = zip((one.before, one.after), self.inputs)
        known = all(one.path in files for entry, files in sides if entry is not None)
        return known and not _mode_differs(one)

    def _links(self, one: Difference) -> None:
        if one.after is not None and one.after.mode == LINK and not link_target(self.trees[1], one.path):
            self._invalid("link", Origin(one.path), "the link leads out of the repository")

    def _brought_elsewhere(self) -> None:
        """What a changed link or submodule brings is also below the links that lead to where it is."""
        brought = {one.reach: one for one in self.unread}
        if not brought:
            return
        tree = self.trees[1]
        behind = behind_links(self.trees, self.differences.keys(), self.limits, self.deadline)
        for path in sorted(behind - self.differences.keys()):
            directory, _, name = path.rpartition("/")
            where = follow(tree, directory) if directory else ""
            there = f"{where}/{name}" if where else name
            found = brought.get(there) or brought.get(link_target(tree, there))
            if found is not None:
                self.unread.append(found._replace(reach=path, environment=self.layout.environment(path)))

    def _brings(self, one: Difference) -> None:
        if one.after is not None and not is_file(one.after) and self._leads_to_files(one.after):
            # what it brings lies below it, whatever its own path is
            self.unread.append(self._path_effect(one.path, opaque=True)._replace(reach=one.path))

    def _leads_to_files(self, entry: Entry) -> bool:
        """Whether a submodule, or a link to a directory: by it files are there that were not looked at there."""
        found = self.trees[1].entry(follow(self.trees[1], entry.path)) if entry.mode == LINK else entry
        return found is not None and found.mode in (DIRECTORY, SUBMODULE)

    def _may_be_an_inventory(self, path: str) -> bool:
        parts = path.removeprefix(f"{self.layout.inventories}/").split("/")
        if "group_vars" in parts or "host_vars" in parts:
            return True  # it is in the place of variables and was not read as such
        return may_be_inventory("/".join(parts))

    def _path(self, path: str, opaque: bool) -> None:
        self.effects.append(self._path_effect(path, opaque))
        self.done.add(path)

    def _path_effect(self, path: str, opaque: bool) -> Effect:
        return path_effect_of(self.differences[path], self.layout.environment(path), opaque)

    def _yaml(self, one: Difference, before: list[ObjectAt], after: list[ObjectAt]) -> None:
        """Take a YAML file's objects, unless a rendering has them; what else is in it is an Effect on the path.

        So is what may be more than objects: a name and a kind in front do not take a file out of the hands of Ansible,
        of a forge or of whatever else reads it.
        """
        odd = _is_odd(one)
        parsed: list[Parsed | None] = []
        problems: list[tuple[Origin, str] | None] = []
        for side, tree in enumerate(self.trees):
            written = self._written(side, one.path)
            found, problem = self._parse(tree, one.path, written) if written else (None, None)
            parsed.append(found)
            problems.append(problem)
        for found, into in zip(parsed, (before, after)):
            into += found.objects if found is not None else ()
        old, new = (() if found is None else found.duplicates for found in parsed)
        known = {message for _origin, message in old}
        for origin, message in new:
            self._invalid("yaml", origin, message, new=message not in known)
        if problems[1] is not None and problems[1][1]:
            # New also where it was broken before: what else changed in it, nobody can tell.
            self._invalid("yaml", *problems[1], new=True)
        for origin, message in parsed[1].disputed if parsed[1] is not None else ():
            self._invalid("yaml", origin, message)  # new also where it was there: what it is to others, nobody can tell
        broken = any(problem is not None for problem in problems) or any(found and found.disputed for found in parsed)
        more = any(found.foreign or any(is_more(at.object) for at in found.objects) for found in parsed if found)
        more = more or _is_read_by_others(one.path) or self._is_below_a_chart(one.path)
        if broken or more or odd or _mode_differs(one):
            opaque = broken or odd or _may_be_variables(one.path)
            self.effects.append(path_effect_of(one, self.layout.environment(one.path), opaque))

    def _parse(self, tree: Files, path: str, written: str) -> tuple[Parsed | None, tuple[Origin, str] | None]:
        """What a file holds, or why that is not known ("" where that is said already)."""
        try:
            return self.manifests.parsed(tree, path, written), None
        except TooLarge as error:
            if tree is self.trees[1]:
                remedy = "Make it smaller, or name it in `plain` of policy/settings.yml if it holds no objects."
                self._invalid("size", Origin(path), f"what it holds is not known: {error}", remedy=remedy)
            return None, (Origin(path), "")
        except _yaml.YamlError as error:
            return None, (Origin(path, error.line), error.message)

    def _plain_objects(self, before: Sequence[ObjectAt], after: Sequence[ObjectAt]) -> None:
        for pair in pairs(before, after):
            self._in_time()
            one = pair.after or pair.before
            assert one is not None  # a pair has at least one side
            environment = one.subject.scope
            was = pair.files[:-1]
            changes = self._object(pair, environment, "", was)
            if was:
                gone, come = moved(pair, environment)
                self.quiet.append(Quiet((gone, come), was, pair.files[1:]))
                self.moved += [] if changes else [Object(pair, come, "", was)]


def behind_links(
    trees: Sequence[Files],
    paths: Collection[str],
    limits: Limits,
    deadline: float,
    is_meant: Callable[[str], bool] = bool,
) -> set[str]:
    """Every path that is a link, or by which links to directories lead to one of `paths`, on either side.

    Args:
        trees: both sides.
        paths: where files are.
        limits: bounds on paths.
        deadline: time.monotonic() after which GitError is raised.
        is_meant: tells which links are looked at.

    Raises:
        GitError: there are too many such paths, or links lead to each other, so that there is no end of them.
    """
    links = {
        (entry.path, f"{link_target(tree, entry.path)}/")
        for tree in trees
        for entry in tree.walk()
        if entry.mode == LINK and is_meant(entry.path)
    }
    out = {link for link, _below in links}
    todo = set(paths)
    seen = set(paths)
    for hop in range(_HOPS):
        found: set[str] = set()
        for link, below in links:
            if time.monotonic() > deadline:
                raise GitError("where links lead could not be found out in time")
            if hop and link.startswith(below):
                continue  # to a directory above itself: what is there has a shorter path
            found |= {link + path[len(below) - 1 :] for path in todo if f"{path}/".startswith(below)}
            if len(found) > limits.files:
                raise GitError(f"links lead to changed files by more than {limits.files} paths")
        todo = found - seen
        seen |= found
        out |= found
        if not todo:
            return out
    raise GitError(f"links lead to changed files by more than {_HOPS} links after each other; they may have no end")


def path_effect_of(one: Difference, environment: str = "", opaque: bool = False) -> Effect:
    """The Effect of a changed path itself."""
    return path_effect(one.path, _shown(one.before), _shown(one.after), environment, opaque)


def is_file(entry: Entry) -> bool:
    """Whether an entry is a file, and neither a link nor a directory nor a submodule."""
    return entry.mode.startswith("100")


def _is_odd(one: Difference) -> bool:
    """Whether a path is a link or a submodule on one side."""
    return any(entry is not None and not is_file(entry) for entry in (one.before, one.after))


def _mode_differs(one: Difference) -> bool:
    return one.before is not None and one.after is not None and one.before.mode != one.after.mode


def _shown(entry: Entry | None) -> Value:
    if entry is None:
        return ABSENT
    kind = {LINK: "link ", SUBMODULE: "submodule ", EXECUTABLE: "executable "}.get(entry.mode, "")
    return f"{kind}{entry.oid.removeprefix('merged-')[:12]}"


def _may_be_variables(path: str) -> bool:
    """Whether Ansible may read a file outside of the inventories as variables (beside a playbook)."""
    return not {"group_vars", "host_vars"}.isdisjoint(path.split("/")[:-1])


def _is_read_by_others(path: str) -> bool:
    """Whether something else than Kubernetes reads a file where it is: what steers the repository, and Ansible."""
    parts = path.split("/")
    roles = (at for at, part in enumerate(parts) if part == "roles")
    in_role = any(parts[at + 2] in _ROLE_FOLDERS for at in roles if at + 3 < len(parts))
    hidden = any(part.startswith(".") for part in parts)
    return hidden or in_role or "playbooks" in parts[:-1] or _may_be_variables(path)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The files of an inventory, found as Ansible finds them, and where in them a host's value was written.

Ansible says what a variable is, not where it comes from.  So every file that could set it is read a second time, with
positions; among those whose scope covers the host and whose value is the one that Ansible has, the one that Ansible
lets win is the place.  A value that is in none of them (command line, inventory plugins) has no place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import Locate, Path, Place, Problem
from ansible_collections.weft.platform.plugins.plugin_utils._yaml import Document, Tagged, YamlError, read_file

#: Ansible's YAML_FILENAME_EXTENSIONS, and files without one.
_EXTENSIONS = ("", ".yml", ".yaml", ".json")
_IGNORED = ("~", ".orig", ".bak", ".cfg", ".retry", ".pyc", ".pyo", ".swp", ".ini")
_FOLDERS = ("group_vars", "host_vars")
#: How strong a place is, weakest first (Ansible's "Understanding variable precedence").
_GROUP_INLINE, _GROUP_FILE, _HOST_INLINE, _HOST_FILE = range(4)


@dataclass(frozen=True)
class Definition:
    """A place that sets variables.

    scope  "group" or "host", and which; of a host it may be a range, such as n[1:3]
    path   to the mapping of variables in the document
    rank   how strong it is; order: later sources are stronger
    """

    scope: str
    name: str
    document: Document
    path: Path
    rank: int
    order: int

    def covers(self, host: str, groups: frozenset[str]) -> bool:
        """Whether it counts for a host with its groups."""
        if self.scope == "group":
            return self.name == "all" or self.name in groups
        return self.name == host or "[" in self.name


@dataclass
class Index:
    """All definitions of an inventory's files.

    definitions  by variable
    host_places  where a group names a host: (group, host)
    problems     keys that stand twice, files that nothing reads
    """

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    host_places: dict[tuple[str, str], Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def locator(
        self,
        groups: Mapping[str, Sequence[str]],
        raw: Callable[[str, str], Any],
    ) -> Locate:
        """A function that finds places.

        Args:
            groups: every group with its hosts.
            raw: (host, variable) -> the value as Ansible has it, templates unresolved.
        """
        of_host: dict[str, frozenset[str]] = {}
        for group, names in groups.items():
            for name in names:
                of_host[name] = of_host.get(name, frozenset()) | {group}
        # A smaller group is nearer to the host; Ansible's own order, by depth, agrees wherever groups are nested.
        size = {group: len(names) for group, names in groups.items()}

        def locate(host: str, variable: str, path: Path) -> Place:
            value = raw(host, variable)
            found = [
                one
                for one in self.definitions.get(variable, [])
                if one.covers(host, of_host.get(host, frozenset()))
                and _is_same(one.document.node((*one.path, variable)), value)
            ]
            if not found:
                return Place()
            best = max(found, key=lambda one: (one.rank, -size.get(one.name, 1 << 30), one.order))
            position = best.document.key_position(_deepest(best.document, (*best.path, variable), path))
            return Place(shorten(position.file), position.line)

        return locate


def shorten(file: str) -> str:
    """A path as people type it: relative to the current folder where it is below."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


def _deepest(document: Document, start: Path, path: Path) -> Path:
    """As much of the path as the text has; a template has no parts."""
    out = start
    for step in path:
        if document.node((*out, step)) is None:
            break
        out = (*out, step)
    return out


def _is_same(node: Any, value: Any) -> bool:
    if node is None:
        return False
    return bool(_fits(node.plain(), value))


def _fits(written: Any, value: Any) -> bool:
    """Whether a text's value is the one that Ansible has; what is encrypted is taken on trust."""
    if isinstance(written, Tagged):
        return written.tag.startswith("!vault") or _fits(written.value, value)
    if isinstance(written, dict) and isinstance(value, Mapping):
        return len(written) == len(value) and all(key in value and _fits(written[key], value[key]) for key in written)
    if isinstance(written, list) and isinstance(value, (list, tuple)):
        return len(written) == len(value) and all(map(_fits, written, value))
    return written is value if isinstance(written, bool) else bool(written == value)


def index(sources: Iterable[str], groups: Mapping[str, Sequence[str]], is_ours: Callable[[str], bool]) -> Index:
    """Read the files of an inventory.

    Args:
        sources: what stands behind -i, in that order; texts that are no path are left out.
        groups: every group of the inventory with its hosts.
        is_ours: whether a variable's name has a prefix of ours.
    """
    out = Index()
    folders: dict[FilePath, None] = {}
    order = 0
    for source in map(FilePath, sources):
        if not source.exists():
            continue
        for path in _inventory_files(source):
            order += 1
            for document in _documents(out, path):
                _inventory(out, document, order, is_ours)
        folders.setdefault(source if source.is_dir() else source.parent)
    for folder in folders:
        for kind in _FOLDERS:
            for name, path in _variable_files(folder / kind):
                order += 1
                rank = _GROUP_FILE if kind == "group_vars" else _HOST_FILE
                scope = kind.removesuffix("_vars")
                for document in _documents(out, path):
                    _define(out, Definition(scope, name, document, (), rank, order), is_ours)
    _unread(out, groups)
    return out


def _documents(out: Index, path: FilePath) -> list[Document]:
    """The documents of a file; what Ansible itself cannot read, it has refused before us."""
    try:
        with open(path, "rb") as file:
            if file.read(14) == b"$ANSIBLE_VAULT":
                return []
        documents = read_file(path)
    except (YamlError, OSError):
        return []
    for document in documents:
        for twice in document.duplicates:
            out.problems.append(
                Problem(
                    "warning",
                    f"{twice.path[-1]} stands here a second time; the value of line {twice.first.line} is lost",
                    "Keep one of them.",
                    shorten(twice.second.file),
                    twice.second.line,
                )
            )
    return documents


def _inventory_files(source: FilePath) -> Iterator[FilePath]:
    if source.is_file():
        yield source
        return
    for path in sorted(source.iterdir()):
        if path.name in _FOLDERS or path.name.startswith(".") or path.name.endswith(_IGNORED):
            continue
        yield from _inventory_files(path)


def _variable_files(folder: FilePath) -> Iterator[tuple[str, FilePath]]:
    """(group or host, file) below group_vars or host_vars: NAME, NAME.yml, or everything below NAME/."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from ((path.name, one) for one in _below(path))
        elif _is_variables(path):
            yield path.stem if path.suffix in _EXTENSIONS[1:] else path.name, path


def _below(folder: FilePath) -> Iterator[FilePath]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from _below(path)
        elif _is_variables(path):
            yield path


def _is_variables(path: FilePath) -> bool:
    is_hidden = path.name.startswith(".") or path.name.endswith(_IGNORED)
    return path.is_file() and path.suffix in _EXTENSIONS and not is_hidden


def _define(out: Index, definition: Definition, is_ours: Callable[[str], bool]) -> None:
    node = definition.document.node(definition.path)
    for name in node.entries if node is not None else ():
        if isinstance(name, str) and is_ours(name):
            out.definitions.setdefault(name, []).append(definition)


def _inventory(out: Index, document: Document, order: int, is_ours: Callable[[str], bool]) -> None:
    """An inventory in YAML: {GROUP: {hosts: {HOST: variables}, vars: variables, children: {GROUP: ...}}}."""
    for group in document.root.entries:
        _group(out, document, (group,), order, is_ours)


def _group(out: Index, document: Document, path: Path, order: int, is_ours: Callable[[str], bool]) -> None:
    name = str(path[-1])
    _define(out, Definition("group", name, document, (*path, "vars"), _GROUP_INLINE, order), is_ours)
    hosts = document.node((*path, "hosts"))
    for host in hosts.entries if hosts is not None else ():
        place = document.key_position((*path, "hosts", host))
        out.host_places.setdefault((name, str(host)), Place(shorten(place.file), place.line))
        _define(out, Definition("host", str(host), document, (*path, "hosts", host), _HOST_INLINE, order), is_ours)
    children = document.node((*path, "children"))
    for child in children.entries if children is not None else ():
        _group(out, document, (*path, "children", child), order, is_ours)


def _unread(out: Index, groups: Mapping[str, Sequence[str]]) -> None:
    """Files of group_vars or host_vars whose name is nearly that of a group or host, which nothing reads.

    Names far from any are left alone: environments share files, and not all have all groups.
    """
    known = {"group": {"all", "ungrouped", *groups}, "host": {name for names in groups.values() for name in names}}
    told: set[str] = set()
    for one in (one for definitions in out.definitions.values() for one in definitions):
        is_file = one.rank in (_GROUP_FILE, _HOST_FILE)
        if not is_file or one.name in known[one.scope] or one.document.file in told:
            continue
        near = get_close_matches(one.name, known[one.scope], 1, 0.8)
        if near:
            told.add(one.document.file)
            message = f"nothing reads this file: the inventory has no {one.scope} {one.name}"
            file = shorten(one.document.file)
            out.problems.append(Problem("warning", message, f"Did you mean {near[0]}?", file))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Inventories, read from a tree: groups, hosts, and which definition of a variable wins for a host.

An environment is composed as `-i inventories/base -i inventories/NAME` composes it.  Which variable wins follows
Ansible's documented precedence: group variables of the inventory files, group_vars/all, group_vars of the other groups
(by source, then parents before children, then by ansible_group_priority and name), host variables of the inventory
files, host_vars; the later wins.

Where an environment has more than hosts.yml (other inventory files, scripts, configurations of plugins), its hosts and
groups are not all known.

Only what a change needs is parsed: files that cannot hold a variable in question are skipped by their bytes.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import (
    Origin,
    Path,
    Value,
)
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    Layout,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import DIRECTORY, EXECUTABLE, LINK, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Entry, GitError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import indexed

#: The inventory file of an environment, in the order in which one is looked for.
HOSTS_FILES = ("hosts.yml", "hosts.yaml")

#: The variable that says which Kubernetes a cluster has, and the file that says which patch a minor means.
VERSION = "cluster_kubernetes_version"
LOCK = "lock.yml"

#: Groups whose hosts are machines of the cluster; others have a version only where one is written for them.
CLUSTER = frozenset(["cluster", "control_plane", "workers"])

#: The tag of a text that is no template, whatever is in it.
UNSAFE = "!unsafe"

#: The groups that are always there.
_EVERY = frozenset(["all", "ungrouped"])

_EXACT = re.compile(r"v?([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(?:[-+].*)?)")

#: Extensions of files of variables, in Ansible's order (DataLoader.find_vars_files).
_EXTENSIONS = ("", ".yml", ".yaml", ".json")

#: What Ansible does not read as an inventory in a directory of one (its INVENTORY_IGNORE_EXTS by default).
_NOT_READ = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")
_NO_INVENTORIES = frozenset(["group_vars", "host_vars", "vars_plugins", LOCK])

#: What a group has.
_SECTIONS = ("hosts", "vars", "children")

#: What an executable file starts with that Ansible runs to get an inventory.
_PROGRAM = b"#!"

_RANGE = re.compile(r"\[([0-9]*|[A-Za-z]):([0-9]+|[A-Za-z])(?::([0-9]+))?\]")
_HOSTS = 100_000


class InventoryError(Exception):
    """A file of an inventory is not what Ansible would understand."""

    def __init__(self, origin: Origin, message: str) -> None:
        super().__init__(f"{origin}: {message}")
        self.origin = origin
        self.message = message


class Definition(NamedTuple):
    """A variable's value where it is written; `form` also tells what JSON does not (see there)."""

    value: Value
    file: str
    position: Callable[[Path], Origin]
    secret: bool
    form: str


class Groups(NamedTuple):
    """The groups of an environment.

    members   for each group the hosts in it, children's included
    order     groups by the order in which their variables are taken: parents first
    of_host   for each host its groups
    inline    variables in the inventory files, by inventory, "group" or "host", and name
    whole     whether there are no others: False where an inventory file could not be read, or is not one of ours
    """

    members: Mapping[str, frozenset[str]]
    order: tuple[str, ...]
    of_host: Mapping[str, frozenset[str]]
    inline: Mapping[tuple[str, str, str], Mapping[str, Definition]]
    whole: bool = True


class Side:
    """The inventories of one tree.

    Args:
        tree: the files.
        layout: where the inventories are.
        limits: what is too much YAML.
    """

    def __init__(self, tree: Files, layout: Layout, limits: _yaml.Limits) -> None:
        self.tree = tree
        self.layout = layout
        self.limits = limits
        self.problems: list[tuple[Origin, str]] = []
        self.read_files: set[str] = set()
        self._written: dict[str, Mapping[str, Definition]] = {}
        self.sealed: set[str] = set()
        self._lists: dict[str, dict[str, Entry]] = {}
        self._locked: dict[str, Definition | None] = {}

    # -- files --------------------------------------------------------------------------------------------------

    def sources(self, environment: str) -> list[str]:
        """The inventories that make an environment, in their order."""
        names = [self.layout.base, environment] if environment != self.layout.base else [environment]
        return [f"{self.layout.inventories}/{name}" for name in names]

    def hosts_file(self, source: str) -> str:
        """The inventory file in the directory `source`, or ""."""
        names = self.names(source)
        return next((f"{source}/{name}" for name in HOSTS_FILES if name in names), "")

    def names(self, directory: str) -> dict[str, Entry]:
        """The entries of a directory by name; {} when there is none. A linked directory counts as what it links to."""
        if directory not in self._lists:
            where = self.follow(directory)
            entry = self.tree.entry(where) if where else None
            found: dict[str, Entry] = {}
            if entry is not None and entry.mode == DIRECTORY:
                found = dict(self.tree.names(where))
            self._lists[directory] = found
        return self._lists[directory]

    def has_others(self, directory: str, ours: str = "") -> bool:
        """Whether Ansible reads anything in a directory as an inventory, besides `ours`."""
        for name, entry in self.names(directory).items():
            path = f"{directory}/{name}"
            if path != ours and may_be_inventory(name) and (entry.mode != DIRECTORY or self.has_others(path)):
                return True
        return False

    def follow(self, path: str) -> str:
        """Where a path leads when links inside the tree are followed; "" when out of it, nowhere, or in a circle."""
        return follow(self.tree, path)

    def variable_files(self, source: str, kind: str, name: str) -> list[str]:
        """The files of a group's or host's variables in the order Ansible reads them (DataLoader.find_vars_files)."""
        names = self.names(f"{source}/{kind}_vars")
        for extension in _EXTENSIONS:
            entry = names.get(name + extension)
            if entry is not None:
                path = f"{source}/{kind}_vars/{name}{extension}"
                is_directory = entry.mode == DIRECTORY or (entry.mode == LINK and self._is_directory(path))
                return list(self._files_below(path)) if is_directory else [path]
        return []

    def _is_directory(self, path: str) -> bool:
        where = self.follow(path)
        entry = self.tree.entry(where) if where else None
        return entry is not None and entry.mode == DIRECTORY

    def _files_below(self, directory: str) -> Iterator[str]:
        names = self.names(directory)
        for name in sorted(names):
            dot = name.rfind(".")
            extension = name[dot:] if dot > 0 else ""
            if name.startswith(".") or name.endswith("~"):
                continue
            path = f"{directory}/{name}"
            if names[name].mode == DIRECTORY or (names[name].mode == LINK and self._is_directory(path)):
                if not extension:
                    yield from self._files_below(path)
            elif extension in _EXTENSIONS:
                yield path

    def named(self, source: str, kind: str, known: Collection[str]) -> set[str]:
        """Names of the groups or hosts that have files of variables in an inventory.

        A name that is not `known` counts only where its file can be meant as one of variables.
        """
        out = set()
        for name in self.names(f"{source}/{kind}_vars"):
            dot = name.rfind(".")
            plain_name = name[:dot] if dot > 0 and name[dot:] in _EXTENSIONS else name
            if plain_name in known or (not plain_name.startswith(".") and (plain_name != name or dot < 0)):
                out.add(plain_name)
        return out

    # -- content ------------------------------------------------------------------------------------------------

    def data(self, path: str) -> bytes:
        """The content of a file, links followed."""
        where = self.follow(path)
        self.read_files.update(one for one in (path, where) if one)
        if not where:
            raise InventoryError(Origin(path), "leads out of the repository, nowhere or in a circle; put a file there")
        try:
            return self.tree.read(where)
        except GitError as error:
            raise InventoryError(Origin(path), f"cannot be read: {error}") from error

    def document(self, path: str) -> _yaml.Document | None:
        """The document of a file as Ansible reads it; None when it is empty."""
        data = self.data(path)
        try:
            documents = _yaml.read(data, path, "ansible", self.limits)
        except _yaml.YamlError as error:
            raise InventoryError(Origin(path, error.line), error.message) from error
        if len(documents) > 1:
            raise InventoryError(documents[1].position().origin, "a second document; Ansible reads files of one only")
        return documents[0] if documents and documents[0].value is not None else None

    def written(self, path: str, wanted: Collection[str] | None = None) -> Mapping[str, Definition]:
        """The variables that a file of variables defines.

        Args:
            path: the file.
            wanted: the only variables that matter; a file that cannot define any of them is not parsed.
        """
        if path not in self._written:
            data = self.data(path)
            if data.startswith(b"$ANSIBLE_VAULT;"):
                self.sealed.add(path)
                return {}
            if wanted is not None and not _may_define(data, wanted):
                return {}
            document = self.document(path)
            self._written[path] = {} if document is None else self._definitions(document)
        return self._written[path]

    def _definitions(self, document: _yaml.Document) -> Mapping[str, Definition]:
        if document.root.kind != "mapping":
            raise InventoryError(document.position().origin, "is no mapping of variables to values")
        self.problems += duplicates(document)
        return definitions(document, ())

    def variables(self, source: str, kind: str, name: str, wanted: Collection[str] | None) -> dict[str, Definition]:
        """The variables of a group's or host's files in one inventory."""
        out: dict[str, Definition] = {}
        for path in self.variable_files(source, kind, name):
            try:
                out.update(self.written(path, wanted))
            except InventoryError as error:
                self.problems.append((error.origin, error.message))
                self.sealed.add(path)
        return out

    def lock_file(self, environment: str) -> str:
        """Where the lock file of an environment is (`artifacts_lock` where nobody sets it)."""
        return f"{self.layout.inventories}/{environment}/{LOCK}"

    def locked(self, environment: str) -> Definition | None:
        """The exact version that an environment's lock file names, without "v"; None where none can be read."""
        if environment not in self._locked:
            path = self.lock_file(environment)
            found: Definition | None = None
            try:
                found = self._version_in(path) if self.tree.entry(path) is not None else None
            except InventoryError as error:
                self.problems.append((error.origin, error.message))
            self._locked[environment] = found
        return self._locked[environment]

    def check_lock(self, environment: str) -> None:
        """See that a lock file is no inventory: only where a setting says so Ansible ignores it."""
        path = self.lock_file(environment)
        if self.tree.entry(path) is None:
            return
        try:
            document = self._hosts_document(path)
        except InventoryError as error:
            self.problems.append((error.origin, error.message))
            return
        if document is None:
            return
        for name, (_key, node) in document.root.entries.items():
            if name == "plugin" or not node.entries.keys().isdisjoint(_SECTIONS):
                message = f"{name} is no part of a lock file, and Ansible may take it for an inventory's"
                self.problems.append((document.key_position((name,)).origin, message))

    def _version_in(self, path: str) -> Definition:
        document = self.document(path)
        written = {} if document is None else self._definitions(document)
        if "kubernetes" not in written:
            raise InventoryError(Origin(path), "names no version of Kubernetes; write it with weft.platform.lock")
        found = written["kubernetes"]
        version = exact(found.value)
        if not version:
            message = f"kubernetes: {found.value!r} is no exact version; write the file with weft.platform.lock"
            raise InventoryError(found.position(()), message)
        return found._replace(value=version)

    # -- groups -------------------------------------------------------------------------------------------------

    def groups(self, environment: str) -> Groups:
        """The groups and hosts of an environment, from its inventory files."""
        reading = _Reading()
        whole = True
        for source in self.sources(environment):
            path = self.hosts_file(source)
            whole = whole and not self.has_others(source, path)
            try:
                document = self._hosts_document(path) if path else None
                if document is not None:
                    reading.take(document, source)
            except InventoryError as error:
                self.problems.append((error.origin, error.message))
                whole = False
        self.problems += reading.problems
        try:
            return reading.groups()._replace(whole=whole)
        except InventoryError as error:
            self.problems.append((error.origin, error.message))
            return _Reading().groups()._replace(whole=False)

    def _hosts_document(self, path: str) -> _yaml.Document | None:
        entry = self.tree.entry(self.follow(path))
        if entry is not None and entry.mode == EXECUTABLE and self.data(path).startswith(_PROGRAM):
            raise InventoryError(Origin(path), "is a program, which Ansible runs; make it not executable")
        return self.document(path)

    def effective(self, environment: str, groups: Groups, wanted: Collection[str] | None) -> Effective:
        """The variables of an environment's hosts, asked for one by one."""
        return Effective(self, environment, groups, wanted)


class Effective:
    """Which definition wins for a host."""

    def __init__(self, side: Side, environment: str, groups: Groups, wanted: Collection[str] | None) -> None:
        self.side = side
        self.environment = environment
        self.sources = side.sources(environment)
        self.groups = groups
        self.wanted = wanted
        self._of_groups: dict[frozenset[str], dict[str, Definition]] = {}
        self._files: dict[tuple[str, str], dict[str, Definition]] = {}

    def _of_file(self, source: str, group: str) -> dict[str, Definition]:
        if (source, group) not in self._files:
            self._files[source, group] = self.side.variables(source, "group", group, self.wanted)
        return self._files[source, group]

    def of_groups(self, groups: frozenset[str]) -> dict[str, Definition]:
        """What hosts of exactly these groups get from them."""
        if groups not in self._of_groups:
            ordered = [group for group in self.groups.order if group in groups and group != "all"]
            out: dict[str, Definition] = {}
            for group in ("all", *ordered):
                for source in self.sources:
                    out.update(self.groups.inline.get((source, "group", group), {}))
            for source in self.sources:
                out.update(self._of_file(source, "all"))
            for source in self.sources:
                for group in ordered:
                    out.update(self._of_file(source, group))
            self._of_groups[groups] = out
        return self._of_groups[groups]

    def of_host(self, host: str) -> dict[str, Definition]:
        """All of a host's variables."""
        return {**self.of_groups(self.groups.of_host[host]), **self.own(host)}

    def version(self, host: str) -> Definition | None:
        """What says a host's exact version: the variable, or the lock file where that names a minor or is not set.

        `wanted` must have VERSION.
        """
        written = self.of_host(host).get(VERSION)
        is_meant = self.groups.of_host[host] & CLUSTER if written is None else not exact(written.value)
        return (self.side.locked(self.environment) if is_meant else None) or written

    def own(self, host: str, everything: bool = False) -> dict[str, Definition]:
        """What is written for the host itself; everything, or only what is wanted."""
        wanted = None if everything else self.wanted
        out: dict[str, Definition] = {}
        for source in self.sources:
            out.update(self.groups.inline.get((source, "host", host), {}))
        for source in self.sources:
            out.update(self.side.variables(source, "host", host, wanted))
        return out


def exact(value: Value) -> str:
    """A version of Kubernetes that names its patch, without "v"; "" for any other value."""
    found = _EXACT.fullmatch(value) if isinstance(value, str) else None
    return found.group(1) if found else ""


class _Reading:
    """Takes inventory files in, as Ansible's yaml plugin does."""

    def __init__(self) -> None:
        self.children: dict[str, set[str]] = {"all": {"ungrouped"}, "ungrouped": set()}
        self.hosts: dict[str, set[str]] = {"all": set(), "ungrouped": set()}
        self.inline: dict[tuple[str, str, str], dict[str, Definition]] = {}
        self.source = self.file = ""
        self.problems: list[tuple[Origin, str]] = []
        self.count = 0

    def take(self, document: _yaml.Document, source: str) -> None:
        """Take one inventory file in."""
        self.source, self.file = source, document.file
        if document.root.kind != "mapping":
            raise InventoryError(
                document.position().origin, "is no mapping of groups; write a group's name and below it hosts"
            )
        self.problems += duplicates(document)
        if not _is_nothing(document.value.get("plugin")):
            raise InventoryError(document.key_position(("plugin",)).origin, "plugin makes it no inventory of groups")
        for name, (_key, node) in document.root.entries.items():
            self._group(document, name, node, (name,))

    def _group(self, document: _yaml.Document, name: Any, node: _yaml.Node, at: tuple[Any, ...]) -> None:
        if not _is_name(name):
            raise InventoryError(document.key_position(at).origin, f"{name!r} is no name of a group")
        self.children.setdefault(name, set())
        self.hosts.setdefault(name, set())
        if node.kind == "scalar" and node.scalar is None:
            return
        if node.kind != "mapping":
            raise InventoryError(
                document.position(at).origin, f"group {name} is no mapping of hosts, vars and children"
            )
        for key, (_key, inner) in node.entries.items():
            path = (*at, key)
            if inner.kind == "scalar" and inner.scalar is None:
                continue
            if key not in _SECTIONS:
                origin = document.key_position(path).origin
                self.problems.append((origin, f"{key!r} in group {name}: a group has hosts, vars and children only"))
            elif inner.kind != "mapping":
                raise InventoryError(document.position(path).origin, f"{key} of group {name} is no mapping")
            elif key == "vars":
                self.inline.setdefault((self.source, "group", name), {}).update(definitions(document, path))
            elif key == "hosts":
                self._hosts(document, name, inner, path)
            else:
                for child, (_name, below) in inner.entries.items():
                    self._group(document, child, below, (*path, child))
                    self.children[name].add(child)

    def _hosts(self, document: _yaml.Document, group: str, node: _yaml.Node, at: tuple[Any, ...]) -> None:
        for pattern, (_key, inner) in node.entries.items():
            path = (*at, pattern)
            if inner.kind != "mapping" and not (inner.kind == "scalar" and inner.scalar is None):
                raise InventoryError(document.position(path).origin, f"host {pattern}: its variables are no mapping")
            variables = definitions(document, path) if inner.kind == "mapping" else {}
            if not _is_name(pattern):
                raise InventoryError(document.key_position(path).origin, f"{pattern!r} is no name of a host")
            try:
                for host in expand(pattern):
                    self._host(document, path, group, host, variables)
            except ValueError as error:
                raise InventoryError(document.key_position(path).origin, f"host {pattern} {error}") from error

    def _host(
        self, document: _yaml.Document, at: tuple[Any, ...], group: str, host: str, variables: dict[str, Definition]
    ) -> None:
        self.count += 1
        if self.count > _HOSTS:
            raise InventoryError(document.position(at).origin, f"more than {_HOSTS} hosts")
        self.hosts[group].add(host)
        if variables:
            self.inline.setdefault((self.source, "host", host), {}).update(variables)

    def groups(self) -> Groups:
        """What was taken in."""
        depth = self._depths()
        above = {name for name in self.children if "ungrouped" in self.children[name]}
        if self.children["ungrouped"] or above != {"all"}:
            raise InventoryError(Origin(self.file), "ungrouped is for hosts in no group: it has no children or parents")
        members = {name: frozenset(self._members(name)) for name in self.children}
        members["all"] = frozenset().union(*members.values())
        of_host: dict[str, set[str]] = {host: set() for host in members["all"]}
        for name, hosts in members.items():
            for host in hosts:
                of_host[host].add(name)
        alone = frozenset(host for host, names in of_host.items() if names <= _EVERY)
        for host in members["ungrouped"] ^ alone:
            of_host[host] ^= {"ungrouped"}
        members["ungrouped"] = alone
        for name in members.keys() & of_host.keys():
            if name in alone or any((kind, host) == ("host", name) for _source, kind, host in self.inline):
                raise InventoryError(
                    Origin(self.file), f"{name} is a group and a host; Ansible takes one for the other"
                )
        order = sorted(self.children, key=lambda name: (depth[name], self._priority(name), name))
        frozen = {host: frozenset(names) for host, names in of_host.items()}
        return Groups(members, tuple(order), frozen, self.inline)

    def _priority(self, name: str) -> int:
        value = 1
        for (_source, kind, group), variables in self.inline.items():
            if (kind, group) == ("group", name) and "ansible_group_priority" in variables:
                written = variables["ansible_group_priority"]
                try:
                    value = int(written.value)
                except TypeError:
                    continue  # Ansible goes on without it
                except ValueError as error:
                    raise InventoryError(written.position(()), "ansible_group_priority is no number") from error
        return value

    def _depths(self) -> dict[str, int]:
        """The longest way from `all` to each group; a group that is in no other is a child of `all`."""
        below = set().union(*self.children.values())
        self.children["all"] |= {name for name in self.children if name not in below} - {"all"}
        depth = dict.fromkeys(self.children, 0)
        level, at = {"all"}, 0
        while level:
            at += 1
            level = {child for name in level for child in self.children[name]}
            depth.update(dict.fromkeys(level, at))
            if at > len(self.children):
                raise InventoryError(
                    Origin(self.file), f"groups are children of each other: {', '.join(sorted(level))}"
                )
        circle = sorted(name for name, found in depth.items() if not found and name != "all")
        if circle:
            raise InventoryError(Origin(self.file), f"groups are children of each other: {', '.join(circle)}")
        return depth

    def _members(self, name: str) -> set[str]:
        out: set[str] = set()
        todo, seen = [name], {name}
        while todo:
            at = todo.pop()
            out |= self.hosts[at]
            todo += self.children[at] - seen
            seen |= self.children[at]
        return out


def expand(pattern: str) -> Iterator[str]:
    """The hosts that a name with ranges stands for: cp[1:3], cp[01:10:2], n[a:c] (Ansible's expand_hostname_range).

    Raises:
        ValueError: it says something else than names and ranges, such as a port, so that nobody can tell from here
            which hosts Ansible means by it.
    """
    found = _RANGE.search(pattern)
    if found is None:
        if any(mark in pattern for mark in "[]") or (":" in pattern and not _is_address(pattern)):
            raise ValueError("is no plain name; write ranges as [1:3], and ports as ansible_port")
        yield pattern
        return
    head, tail = pattern[: found.start()], pattern[found.end() :]
    for text in _range(found.group(1) or "0", found.group(2), int(found.group(3) or 1)):
        yield from expand(head + text + tail)


def _range(first: str, last: str, step: int) -> Iterable[str]:
    if step < 1 or first.isdigit() != last.isdigit():
        raise ValueError(f"has a range from {first} to {last} by {step}, which Ansible refuses")
    if not first.isdigit():
        begin, end = string.ascii_letters.index(first), string.ascii_letters.index(last)
        if begin > end:
            raise ValueError(f"has a range from {first} to {last}, which Ansible refuses")
        return string.ascii_letters[begin : end + 1 : step]
    width = len(first) if len(first) > 1 and first.startswith("0") else 0
    if width and width != len(last):
        raise ValueError(f"has a range from {first} to {last}; Ansible wants both as long as each other")
    return (str(number).zfill(width) for number in range(int(first), int(last) + 1, step))


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def follow(tree: Files, path: str) -> str:
    """Where a path leads when links inside the tree are followed; "" when out of it, nowhere, or in a circle."""
    for _ in range(40):
        at = ""
        link = ""
        for name in path.split("/"):
            at = f"{at}/{name}" if at else name
            entry = tree.entry(at)
            if entry is None:
                return ""
            if entry.mode == LINK:
                link = at
                break
        if not link:
            return path
        target = link_target(tree, link)
        if not target:
            return ""
        path = target + path[len(link) :]
    return ""


def link_target(tree: Files, path: str) -> str:
    """Where a link points to, as a path in the tree; "" when that is outside of it."""
    entry = tree.entry(path)
    if entry is None or entry.mode != LINK:
        return ""
    try:
        text = tree.read_link(path)
    except GitError:
        return ""
    if text.startswith("/") or not text or "\0" in text:
        return ""
    parts = path.split("/")[:-1]
    for part in text.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def definitions(document: _yaml.Document, at: tuple[Any, ...]) -> dict[str, Definition]:
    """The variables of a mapping in a document."""
    node = document.node(at)
    assert node is not None and node.kind == "mapping"  # callers have looked
    out = {}
    for key, (_key, inner) in node.entries.items():
        raw = inner.plain()
        value = plain(raw)
        name = str(key)
        if name in out:
            raise InventoryError(document.key_position((*at, key)).origin, f"{name} is there as a text and as a number")
        place = _place(document, (*at, key), raw)
        out[name] = Definition(value, document.file, place, _has_vault(raw), form(raw))
    return out


def _place(document: _yaml.Document, at: tuple[Any, ...], raw: Any) -> Callable[[Path], Origin]:
    def position(path: Path) -> Origin:
        full = (*at, *indexed(raw, path))
        while len(full) > len(at) and document.node(full) is None:
            full = full[:-1]
        return document.key_position(full).origin

    return position


def plain(value: Any) -> Value:
    """A value as JSON has it: keys as text, secrets and what is no template as text with its tag before it."""
    if isinstance(value, _yaml.Tagged):
        is_kept = value.tag.startswith("!vault") or (isinstance(value.value, str) and "{" in value.value)
        return f"{value.tag} {value.value}" if is_kept else plain(value.value)
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, _yaml.Timestamp):
        return str(value)
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def _has_vault(value: Any) -> bool:
    if isinstance(value, _yaml.Tagged):
        return value.tag.startswith("!vault") or _has_vault(value.value)
    if isinstance(value, dict):
        return any(_has_vault(inner) for inner in value.values())
    return isinstance(value, list) and any(_has_vault(inner) for inner in value)


def _is_nothing(value: Any) -> bool:
    return value is None or (not isinstance(value, _yaml.Tagged) and not value)


def _is_name(name: Any) -> bool:
    """Whether Ansible takes it for a name, and finds its variables in files of that name."""
    if not name or not isinstance(name, str) or isinstance(name, _yaml.Timestamp) or name in (".", ".."):
        return False
    return name.startswith("/") or "/" not in name  # it looks for no files of a path from the root


def may_be_inventory(path: str) -> bool:
    """Whether Ansible may take a path in a directory of inventories for one."""
    parts = path.split("/")
    return not any(part.startswith(".") or part.endswith(_NOT_READ) or part in _NO_INVENTORIES for part in parts)


def form(value: Any) -> str:
    """A value so that what is not the same to Ansible is not the same: tags, and 1, 1.0 and "1" as keys and values."""
    if isinstance(value, _yaml.Tagged):
        return f"{value.tag} {form(value.value)}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{form(key)}: {form(inner)}' for key, inner in value.items()))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(form, value))}]"
    return f"!!timestamp {value}" if isinstance(value, _yaml.Timestamp) else repr(value)


def _may_define(data: bytes, wanted: Collection[str]) -> bool:
    # A key can be written with escapes only where there is a backslash, and folded only where it is quoted or has "?".
    if b"\\" in data or b"? " in data:
        return True
    return any(name.encode("utf-8", "surrogateescape") in data for name in wanted)


def duplicates(document: _yaml.Document) -> tuple[tuple[Origin, str], ...]:
    """Keys that stand twice: where, and what to say of it."""
    return tuple(
        (twice.second.origin, f"key {twice.path[-1]!r} is there already, at line {twice.first.line}")
        for twice in document.duplicates
    )

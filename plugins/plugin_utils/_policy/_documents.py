# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Documents: what changed YAML and JSON files hold, whatever it is, for rules that require something of it.

Source of the rules: conftest's documentation and what it does.  Each document of a file is judged by itself; of a file
with one document that is a list, each element is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Path, Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Effect, Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import YAML_SUFFIXES, Difference, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import follow
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Entry, Limits, ObjectAt
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import indexed
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import (
    behind_links,
    is_file,
    path_effect_of,
)

#: How a file begins that ansible-vault encrypted as a whole.
_VAULT = b"$ANSIBLE_VAULT;"
#: Directories whose YAML Ansible reads.
_OF_VARIABLES = frozenset({"group_vars", "host_vars"})
_OF_ANSIBLE = _OF_VARIABLES | {"playbooks", "roles"}


class DocumentError(ValueError):
    """A file whose documents cannot be judged; the message says why, `line` where (0: all of it)."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class Changed(NamedTuple):
    """A file whose content is not what it was, and that is there after the change.

    path    where it is
    places  where its content is, before ("" when it was not there) and after ("" for a link that leads nowhere)
    effect  that it changes, for selectors
    """

    path: str
    places: tuple[str, str]
    effect: Effect


def changed(
    trees: tuple[Files, Files], differences: Sequence[Difference], layout: Layout, limits: Limits, deadline: float
) -> Iterator[Changed]:
    """The files that change, also those that do by what a link leads to.

    Args:
        trees: the files before and after.
        differences: every path that differs.
        layout: where things are.
        limits: bounds on paths.
        deadline: time.monotonic() after which GitError is raised.

    Raises:
        GitError: links lead to too many of them, or there is no time left.
    """
    paths = {one.path for one in differences}
    for path in sorted(paths.union(behind_links(trees, paths, limits, deadline))):
        before, after = (_content(tree, path) for tree in trees)
        is_there = after is not None or trees[1].entry(path) is not None
        if not is_there or (after is not None and not is_file(after)):
            continue  # what goes need not be good; what brings directories is told of by those who look for that
        if before is not None and after is not None and before.oid == after.oid:
            continue
        was = before if before is not None and is_file(before) else None
        one = Difference(path, was and was._replace(path=path), after and after._replace(path=path))
        places = (was.path if was is not None else "", after.path if after is not None else "")
        yield Changed(path, places, path_effect_of(one, layout.environment(path)))


def _content(tree: Files, path: str) -> Entry | None:
    where = follow(tree, path)
    return tree.entry(where) if where else None


def is_read(path: str) -> bool:
    """Whether a file is YAML or JSON by its name; that of variables is, whatever its name."""
    return path.endswith(YAML_SUFFIXES) or not _OF_VARIABLES.isdisjoint(path.split("/")[:-1])


def is_of_ansible(path: str, layout: Layout) -> bool:
    """Whether Ansible reads a file where it is."""
    return path.startswith(f"{layout.inventories}/") or not _OF_ANSIBLE.isdisjoint(path.split("/")[:-1])


def read(data: bytes, file: str, by_ansible: bool, limits: _yaml.Limits = _yaml.LIMITS) -> list[ObjectAt]:
    """The documents of a file, each known by its path; an empty file is one document that is null.

    Args:
        data: the file's content.
        file: its path.
        by_ansible: Ansible reads it as well, so it must say the same to it.
        limits: what is too much YAML.

    Raises:
        DocumentError: what it says is not known, or is not the same to all who read it.
    """
    if not is_read(file):
        raise DocumentError("it is no YAML and no JSON by its name (.yml, .yaml, .json)")
    if data.startswith(_VAULT):
        raise DocumentError("it is encrypted, so what it says is not known")
    found = _json(data, file, limits) if file.endswith(".json") else _read(data, file, "k8s", limits)
    if by_ansible and not _say_the_same(found, _read(data, file, "ansible", limits)):
        raise DocumentError(
            "it says something else to Ansible than to other readers; put words such as y, and numbers such as 1e3 "
            "and 1:30, in quotes, and << before all other keys"
        )
    if not found:
        return [ObjectAt(_NULL, Origin(file, 1), lambda _path: Origin(file, 1), Subject("path", file))]
    if len(found) == 1 and isinstance(found[0].value, list) and _is_one(data):
        return [_at(found[0], (index,)) for index in range(len(found[0].value))]
    return [_at(document, ()) for document in found]


_NULL: Any = None


def _read(data: bytes, file: str, flavour: _yaml.Flavour, limits: _yaml.Limits) -> list[_yaml.Document]:
    """
    Raises:
        DocumentError: it is not YAML, or a key stands twice.
    """
    try:
        found = _yaml.read(data, file, flavour, limits)
    except _yaml.YamlError as error:
        raise DocumentError(error.message, error.line) from error
    twice = next((twice for document in found for twice in document.duplicates), None)
    if twice is not None:
        message = f"key {twice.path[-1]!r} is there already, at line {twice.first.line}"
        raise DocumentError(message, twice.second.line)
    return found


def _json(data: bytes, file: str, limits: _yaml.Limits) -> list[_yaml.Document]:
    """The document of a JSON file, where JSON and YAML agree about it.

    Raises:
        DocumentError: it is not JSON, or something else than the same text in YAML.
    """
    found = _read(data, file, "k8s", limits)
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=float)
    except RecursionError as error:
        raise DocumentError("it is nested too deeply") from error
    except ValueError as error:
        raise DocumentError(f"it is not JSON: {error}", getattr(error, "lineno", 0)) from error
    if [_plain(one.value) for one in found] != [_plain(value)]:
        raise DocumentError("it says something else as JSON than as YAML; write its numbers and texts plainly")
    return found


def _is_one(data: bytes) -> bool:
    """Whether conftest takes a text for one document; it knows of no separators but such a line."""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    return data.count(end + b"---" + end) <= int(data.startswith(b"%"))


def _at(document: _yaml.Document, at: tuple[Any, ...]) -> ObjectAt:
    value = document.value[at[0]] if at else document.value

    def position(path: Path) -> Origin:
        there = (*at, *indexed(value, path))
        while len(there) > len(at) and document.node(there) is None:
            there = there[:-1]
        return document.key_position(there).origin

    return ObjectAt(value, document.position(at).origin, position, Subject("path", document.file))


def _say_the_same(one: Sequence[_yaml.Document], other: Sequence[_yaml.Document]) -> bool:
    return [repr(_plain(document.value)) for document in one] == [repr(_plain(document.value)) for document in other]


def _plain(value: Any) -> Any:
    """A value with its keys as texts in order, and without tags: 1, 1.0 and True stay what they are."""
    if isinstance(value, _yaml.Tagged):
        return _plain(value.value)
    if isinstance(value, dict):
        return dict(sorted(((_key(key), _plain(item)) for key, item in value.items()), key=lambda one: one[0]))
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)

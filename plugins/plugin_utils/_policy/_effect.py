# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change does: Effects, each with the Changes that say it, and where in the repository things belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Origin, Path, Subject, Value
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import Leaf, Patterns, leaves, steps

OBJECT, VARIABLE, HOST, PATH = "object", "variable", "host", "path"

#: Names of directories that stand for an environment where neither settings nor inventories say which there are.
USUAL_ENVIRONMENTS = frozenset(
    [
        "dev",
        "development",
        "test",
        "testing",
        "qa",
        "uat",
        "stage",
        "staging",
        "preprod",
        "prod",
        "production",
        "sandbox",
    ]
)

#: Directories whose children each are an environment or a cluster.
_ABOVE_ENVIRONMENTS = frozenset(["clusters", "environments", "envs", "overlays"])

#: What every environment shares, which is no environment itself.
_SHARED = frozenset(["base", "common", "shared", "components"])


class Reached(NamedTuple):
    """A host that a variable's change reaches, with the groups it is in (on either side).

    unknown  it may be any host in any groups, as not all of them are known
    """

    host: str
    groups: frozenset[str]
    unknown: bool = False


class Effect(NamedTuple):
    """One subject that is not the same after the change.

    type         OBJECT, VARIABLE, HOST or PATH
    subject      as its Changes name it
    before, after  the whole subject on both sides, or ABSENT
    changes      the differences, for people; together they are all of it
    files        the files by which it changes; what allows must allow it in each of them
    reach        directory that the effect arrives at, where that is not where the files are
    through      directories that it arrives at on its way there: those between a base and an overlay
    environment  its environment, "" when it belongs to none or to all
    opaque       its content was not understood: it may be anything
    reached      for variables and hosts: whom it reaches
    labels       label sets of the object, before and after
    """

    type: str
    subject: Subject
    before: Value
    after: Value
    changes: tuple[Change, ...]
    files: tuple[str, ...]
    reach: str = ""
    environment: str = ""
    opaque: bool = False
    reached: tuple[Reached, ...] = ()
    labels: tuple[tuple[tuple[str, str], ...], ...] = ((),)
    through: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """One of "added", "removed", "changed"."""
        if self.before is ABSENT:
            return "added"
        return "removed" if self.after is ABSENT else "changed"

    @property
    def root(self) -> Path:
        """What stands before the fields of its Changes in a rule's field path: a variable's name."""
        return (self.subject.name,) if self.type == VARIABLE else ()

    def leaves_of(self, change: Change) -> list[Leaf]:
        """The smallest differences in one of its Changes, by the path that rules use."""
        if self.type == PATH:
            return [Leaf((), change.before, change.after)]
        path = self.root + steps(change.field, self.before, self.after)
        return leaves(change.before, change.after, path)


class Quiet(NamedTuple):
    """What takes another place in the files and changes nothing by it.

    It is no Change.  But where the rules tell its new place from its old one, whoever moves it must be allowed to take
    it away there and to add it here, which is what `effects` say: or else a first change could carry something to where
    its author may do more, for a second one.

    before, after  the files that said it before, and that say it now
    """

    effects: tuple[Effect, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


class Layout(NamedTuple):
    """Where things are in the repository.

    inventories   directory of the inventories
    base          name of the inventory that all environments share
    environments  environments by name, with the files that belong to them; an empty mapping: told by directory names
    names         names of the environments there are inventories of
    plain         files that are judged by their path only, whatever is in them
    roots         directories to render although others build on them
    values        for a chart's directory: the values files of its releases, each rendered on its own
    isolated      renderers run in a network namespace of their own or not at all
    """

    inventories: str = "inventories"
    base: str = "base"
    environments: Mapping[str, Patterns] = {}
    names: frozenset[str] = frozenset()
    plain: Patterns | None = None
    roots: tuple[str, ...] = ()
    values: Mapping[str, Sequence[Sequence[str]]] = {}
    isolated: bool = False

    def environment(self, path: str) -> str:
        """The environment that a file belongs to; "" when that cannot be told, or it belongs to all."""
        if self.environments:
            found = [name for name, patterns in self.environments.items() if patterns.matches(path)]
            return found[0] if len(found) == 1 else ""
        parts = path.split("/")[:-1]
        named = {part for part in parts if part in self.names or part in USUAL_ENVIRONMENTS}
        named |= {below for above, below in pairwise(parts) if above in _ABOVE_ENVIRONMENTS}
        named -= _SHARED | {self.base}
        return named.pop() if len(named) == 1 else ""

    def environment_of(self, directory: str, values: Iterable[str] = ()) -> str:
        """The environment of what is made of a directory: the directory's, else that of the values it is made with."""
        found = {self.environment(f"{directory}/x")} - {""} or {self.environment(path) for path in values} - {""}
        return found.pop() if len(found) == 1 else ""


def path_effect(
    path: str, before: Value, after: Value, environment: str = "", opaque: bool = False, line: int = 0
) -> Effect:
    """The Effect of a file that is judged by its path; the values say what kind of entry it is and its content's id."""
    subject = Subject("path", path)
    change = Change(subject, (), before, after, origin=Origin(path, line))
    return Effect(PATH, subject, before, after, (change,), (path,), environment=environment, opaque=opaque)


def in_order(effects: Iterable[Effect]) -> list[Effect]:
    """Effects sorted so that the order in which they were found does not show."""
    return sorted(effects, key=lambda one: (one.files, one.type, str(one.subject), one.subject.labels, one.reach))

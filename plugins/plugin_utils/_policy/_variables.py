# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Inventories on both sides become changes of variables, for each host and group that they reach."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import (
    ABSENT,
    Change,
    Origin,
    Subject,
    diff,
    same,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    HOST,
    VARIABLE,
    Effect,
    Layout,
    Quiet,
    Reached,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import DIRECTORY, LINK, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import (
    VERSION,
    Definition,
    Effective,
    Groups,
    Side,
    link_target,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import change_with, is_secret


class Result(NamedTuple):
    """What a change does to inventories.

    effects     what it does
    quiet       definitions that come or go and say what holds without them as well
    problems    what is wrong with inventory files at the head, and at the base
    understood  changed paths whose whole effect is among `effects`, or which have none
    environments  those that are touched
    """

    effects: list[Effect]
    quiet: list[Quiet]
    problems: tuple[list[tuple[Origin, str]], list[tuple[Origin, str]]]
    understood: set[str]
    environments: list[str]


def environments_of(trees: Iterable[Files], layout: Layout) -> set[str]:
    """Names of the inventories on any side, the shared one left out."""
    found = (entry for tree in trees for entry in tree.names(layout.inventories).values())
    return {entry.path.rpartition("/")[2] for entry in found if entry.mode in (DIRECTORY, LINK)} - {layout.base}


def compare(before: Side, after: Side, changed: Collection[str]) -> Result:
    """What a change does to the inventories.

    Args:
        before: the inventories as they are.
        after: the inventories as they would be.
        changed: paths whose entries differ.
    """
    layout = after.layout
    comparison = _Comparison(before, after, set(changed))
    every = sorted(environments_of((before.tree, after.tree), layout))
    touched = [name for name in every if comparison.touches(name)]
    for environment in touched:
        comparison.environment(environment)
    if not every and comparison.touches(layout.base):
        comparison.environment(layout.base)
        touched = [layout.base]
    comparison.without_effect()
    problems = (list(dict.fromkeys(after.problems)), list(dict.fromkeys(before.problems)))
    return Result(comparison.effects, comparison.quiet, problems, comparison.understood(), touched)


class _Place(NamedTuple):
    """Where a definition can be: a group or host in one inventory, in its files or in the inventory file."""

    source: str
    kind: str
    name: str
    inline: bool


class _Differing(NamedTuple):
    """A definition that is not the same on both sides."""

    place: _Place
    variable: str
    before: Definition | None
    after: Definition | None


#: Hosts by what changes for them (variable, definition before, after), and the definitions themselves.
_Changes = dict[Any, list[str]]
_Shown = dict[Any, tuple[Definition | None, Definition | None, str]]


class _Comparison:
    def __init__(self, before: Side, after: Side, changed: set[str]) -> None:
        self.sides = (before, after)
        self.changed = changed
        self.layout = after.layout
        self.effects: list[Effect] = []
        self.quiet: list[Quiet] = []
        self._broken: set[str] = set()
        self._considered: set[str] = set()
        self._untold: set[str] = set()
        self._unknown: set[tuple[_Place, str]] = set()
        self._differing: dict[tuple[_Place, str], _Differing] = {}
        self._shown: set[tuple[_Place, str]] = set()
        self._redundant: dict[tuple[_Place, str], bool] = {}
        self._winners: dict[tuple[_Place, str], tuple[set[str], set[str]]] = {}
        self._links = {path for side in self.sides for path in _link_targets(side, changed)}

    def touches(self, environment: str) -> bool:
        """Whether a changed path is in one of the environment's inventories, or is linked from there."""
        prefixes = tuple(f"{source}/" for source in self.sides[1].sources(environment))
        linked = any(
            link.startswith(prefixes) or prefix.startswith(f"{link}/") for link in self._links for prefix in prefixes
        )
        return linked or any(path.startswith(prefixes) for path in self.changed)

    def understood(self) -> set[str]:
        """Changed paths that were read as part of an inventory without a problem."""
        read = self.sides[0].read_files | self.sides[1].read_files
        broken = {origin.file for side in self.sides for origin, _message in side.problems}
        sealed = self.sides[0].sealed | self.sides[1].sealed
        return (self.changed & read & self._considered) - broken - sealed - self._untold

    def environment(self, environment: str) -> None:
        """Compare one environment."""
        groups = tuple(side.groups(environment) for side in self.sides)
        places = self._changed_places(environment, groups)
        differing = [one for place in places for one in self._differences(environment, place, groups)]
        for one in differing:
            self._differing[one.place, one.variable] = one
        if not all(mine.whole for mine in groups):
            self._unknown |= {(one.place, one.variable) for one in differing}
            self._untold |= set(self._inventory_files(environment))
        moved = self._membership(environment, groups)
        relocked = self._is_changed(self.sides[1].lock_file(environment))
        if relocked:
            for side in self.sides:
                side.check_lock(environment)
        changed = {one.variable for one in differing} | ({VERSION} if relocked else set())
        wanted = None if moved else changed
        if wanted is not None and not wanted and groups[0].of_host.keys() == groups[1].of_host.keys():
            return
        effective = tuple(
            side.effective(environment, mine, wanted) for side, mine in zip(self.sides, groups, strict=True)
        )
        reached = moved | self._reached(groups, differing, relocked)
        changes, shown = self._changed(environment, effective, changed, moved, reached)
        if self._moves_unseen(environment, groups, moved):
            self._untold |= set(self._inventory_files(environment))
        self._alone(groups, effective, changes, shown)
        self._redundancy(groups, effective, differing, ({key[1] for key in changes}, {key[2] for key in changes}))
        for key, hosts in changes.items():
            before, after, name = shown[key]
            self._emit(environment, groups, name, before, after, hosts)

    # -- definitions --------------------------------------------------------------------------------------------

    def _changed_places(self, environment: str, groups: tuple[Groups, ...]) -> list[_Place]:
        """Places whose files change: groups' and hosts' files of variables; all places of a changed inventory file."""
        out: dict[_Place, None] = {}
        for source in self.sides[1].sources(environment):
            for kind in ("group", "host"):
                known = {name for mine in groups for name in (mine.members if kind == "group" else mine.of_host)}
                names = {name for side in self.sides for name in side.named(source, kind, known)}
                for name in sorted(names):
                    if self._files_change(source, kind, name):
                        out[_Place(source, kind, name, False)] = None
            files = {side.hosts_file(source) for side in self.sides} - {""}
            if any(self._is_changed(file) for file in files):
                self._considered |= files
                keys = sorted({key for mine in groups for key in mine.inline if key[0] == source})
                out.update((_Place(*key, True), None) for key in keys)
        return list(out)

    def _files_change(self, source: str, kind: str, name: str) -> bool:
        found = [side.variable_files(source, kind, name) for side in self.sides]
        files = {path for paths in found for path in paths}
        if found[0] == found[1] and not any(self._is_changed(path) for path in files):
            return False
        for path in files:
            self._considered |= {path} | {side.follow(path) for side in self.sides}
        return True

    def _is_changed(self, path: str) -> bool:
        if path in self.changed:
            return True
        if not self._links:
            return False
        return any(side.follow(path) in self.changed for side in self.sides) or any(
            link == path or path.startswith(f"{link}/") for link in self._links
        )

    def _is_sealed(self, place: _Place) -> bool:
        """Whether there is a file of the place that may define anything, between the others."""
        if place.inline:
            return False
        return any(path in side.sealed for side in self.sides for path in side.variable_files(*place[:3]))

    def _differences(self, environment: str, place: _Place, groups: tuple[Groups, ...]) -> list[_Differing]:
        sides = []
        for side, mine in zip(self.sides, groups, strict=True):
            if place.inline:
                sides.append(dict(mine.inline.get(place[:3], {})))
            else:
                sides.append(side.variables(place.source, place.kind, place.name, None))
        out = []
        for name in sorted(sides[0].keys() | sides[1].keys()):
            old, new = sides[0].get(name), sides[1].get(name)
            if old is None or new is None or not same(old.value, new.value):
                out.append(_Differing(place, name, old, new))
            elif old.form != new.form or (old.file != new.file and self._is_sealed(place)):
                self._untold |= self._files(environment, (old, new))
        return out

    # -- hosts --------------------------------------------------------------------------------------------------

    def _membership(self, environment: str, groups: tuple[Groups, ...]) -> set[str]:
        """Effects for hosts that come, go or change groups; returns the hosts that stay but changed groups."""
        scope = f"{self.layout.inventories}/{environment}"
        files = self._inventory_files(environment)
        before, after = (mine.of_host for mine in groups)
        moved = set()
        for host in sorted(before.keys() | after.keys()):
            if before.get(host) == after.get(host):
                continue
            sides = [{"groups": sorted(mine[host])} if host in mine else ABSENT for mine in (before, after)]
            both = before.get(host, frozenset()) | after.get(host, frozenset())
            subject = Subject("host", host, scope, (("host", host),))
            origin = Origin(files[-1] if files else scope)
            changes = tuple(diff(subject, sides[0], sides[1], origin=origin))
            effect = Effect(HOST, subject, sides[0], sides[1], changes, tuple(files), scope, environment)
            self.effects.append(effect._replace(reached=(Reached(host, both),)))
            if host in before and host in after:
                moved.add(host)
        if groups[0].order != groups[1].order:
            moved |= before.keys() & after.keys()  # which group's variables win may be another now
        return moved

    def _inventory_files(self, environment: str) -> list[str]:
        """The inventory files of an environment that change."""
        sources = self._sources(environment)
        files = dict.fromkeys(side.hosts_file(source) for source in sources for side in self.sides)
        return [path for path in files if path and self._is_changed(path)]

    # -- variables ----------------------------------------------------------------------------------------------

    def _changed(
        self,
        environment: str,
        effective: tuple[Effective, ...],
        wanted: set[str],
        moved: set[str],
        reached: set[str],
    ) -> tuple[_Changes, _Shown]:
        """What is not the same for the hosts that stay: the variables, and the exact version that comes of one."""
        changes: _Changes = {}
        shown: _Shown = {}
        for host in sorted(reached):
            old, new = (one.of_host(host) for one in effective)
            names = old.keys() | new.keys() if host in moved else wanted & (old.keys() | new.keys())
            pairs = [(name, old.get(name), new.get(name)) for name in sorted(names)]
            if host in moved or VERSION in wanted:
                pairs.append((VERSION, effective[0].version(host), effective[1].version(host)))
            for name, one, two in pairs:
                if one is None and two is None:
                    continue
                if one is not None and two is not None and same(one.value, two.value):
                    if one.form != two.form:
                        self._untold |= self._files(environment, (one, two))
                    continue
                key = (name, _id(one), _id(two))
                changes.setdefault(key, []).append(host)
                shown[key] = (one, two, name)
        return changes, shown

    def _moves_unseen(self, environment: str, groups: tuple[Groups, ...], moved: set[str]) -> bool:
        """Whether hosts get or lose variables of a file that cannot be read, by the groups that they are in."""
        if not moved or not any(side.sealed for side in self.sides):
            return False
        sealed = {
            name
            for side, mine in zip(self.sides, groups, strict=True)
            for source in side.sources(environment)
            for name in mine.members
            if any(path in side.sealed for path in side.variable_files(source, "group", name))
        }
        ranks = [{name: rank for rank, name in enumerate(mine.order)} for mine in groups]
        for host in moved:
            before, after = (mine.of_host[host] for mine in groups)
            both = before & after
            is_in_order = len({tuple(sorted(both, key=rank.__getitem__)) for rank in ranks}) == 1
            if sealed & ((before ^ after) if is_in_order else (before | after)):
                return True
        return False

    @staticmethod
    def _reached(groups: tuple[Groups, ...], differing: list[_Differing], relocked: bool) -> set[str]:
        """The hosts that stay and may have other variables, or another version."""
        staying = groups[0].of_host.keys() & groups[1].of_host.keys()
        of_groups = {one.place.name for one in differing if one.place.kind == "group"}
        of_hosts = {one.place.name for one in differing if one.place.kind == "host"}
        return {
            host
            for host in staying
            if relocked or host in of_hosts or any(mine.of_host[host] & of_groups for mine in groups)
        }

    @staticmethod
    def _alone(groups: tuple[Groups, ...], effective: tuple[Effective, ...], changes: _Changes, shown: _Shown) -> None:
        """What is written for a host that comes or goes is a change of that host's variables."""
        for index, other in ((0, 1), (1, 0)):
            for host in sorted(groups[index].of_host.keys() - groups[other].of_host.keys()):
                for name, one in sorted(effective[index].own(host, everything=True).items()):
                    sides = (one, None) if index == 0 else (None, one)
                    key = (name, _id(sides[0]), _id(sides[1]))
                    changes.setdefault(key, []).append(host)
                    shown[key] = (*sides, name)

    def _redundancy(
        self,
        groups: tuple[Groups, ...],
        effective: tuple[Effective, ...],
        differing: list[_Differing],
        seen: tuple[set[Any], set[Any]],
    ) -> None:
        """Note which differing definitions show in an Effect, and which say what holds without them as well."""
        for one in differing:
            key = (one.place, one.variable)
            sides = tuple(zip((one.before, one.after), effective, groups, seen))
            if all(definition is None or _id(definition) in shown for definition, _values, _mine, shown in sides):
                self._shown.add(key)
                continue
            hosts = self._hosts_of(one.place, groups)
            winners = self._winners.setdefault(key, (set(), set()))
            redundant = True
            for host in hosts:
                for (definition, values, mine, _shown), files in zip(sides, winners):
                    winner = values.of_host(host).get(one.variable) if host in mine.of_host else None
                    files |= {winner.file} if winner is not None else set()
                    if definition is not None and host in mine.of_host:
                        redundant = redundant and winner is not None and _alike(winner, definition)
            if any(all(host in mine.of_host for mine in groups) for host in hosts):  # to new hosts, all of it is news
                self._redundant[key] = self._redundant.get(key, True) and redundant

    @staticmethod
    def _hosts_of(place: _Place, groups: tuple[Groups, ...]) -> set[str]:
        if place.kind == "host":
            return {place.name} if any(place.name in mine.of_host for mine in groups) else set()
        return {host for mine in groups for host in mine.members.get(place.name, ())}

    def without_effect(self) -> None:
        """Effects for definitions that change where no host shows it: nobody has them, or they are overridden."""
        for key, one in sorted(self._differing.items(), key=lambda item: item[0]):
            if key in self._shown and key not in self._unknown:
                continue
            name = one.place.source.rpartition("/")[2]
            environment = "" if name == self.layout.base else name
            label = ((one.place.kind, one.place.name),)
            hosts = (Reached(one.place.name, frozenset({"all"})),) if one.place.kind == "host" else ()
            reached = hosts or (Reached("", frozenset({one.place.name, "all"})),)
            if key in self._unknown:
                reached = (reached[0]._replace(unknown=True),)
            effect = self._effect(one.place.source, environment, one.variable, (one.before, one.after), label, reached)
            is_told = key not in self._unknown and not self._may_hide(environment)
            if is_told and self._redundant.get(key, False):
                before, after = self._winners[key]
                self.quiet.append(Quiet((effect,), tuple(sorted(before)), tuple(sorted(after))))
            elif effect not in self.effects:
                self.effects.append(effect)

    def _may_hide(self, environment: str) -> bool:
        """Whether a file that cannot be read may stand between two definitions that say the same."""
        sources = self._sources(environment) if environment else [self.layout.inventories]
        below = tuple(f"{source}/" for source in sources)
        return any(path.startswith(below) for side in self.sides for path in side.sealed)

    def _emit(
        self,
        environment: str,
        groups: tuple[Groups, ...],
        name: str,
        before: Definition | None,
        after: Definition | None,
        hosts: list[str],
    ) -> None:
        """One Effect for each group that is wholly reached, then for each host that is left."""
        scope = f"{self.layout.inventories}/{environment}"
        for label, part in _cover(set(hosts), groups, _written_for(before, after)):
            reached = tuple(
                Reached(host, frozenset().union(*(mine.of_host.get(host, frozenset()) for mine in groups)))
                for host in sorted(part)
            )
            effect = self._effect(scope, environment, name, (before, after), (label,), reached)
            if effect not in self.effects:
                self.effects.append(effect)

    def _effect(
        self,
        scope: str,
        environment: str,
        name: str,
        sides: tuple[Definition | None, Definition | None],
        labels: tuple[tuple[str, str], ...],
        reached: tuple[Reached, ...],
    ) -> Effect:
        subject = Subject("variable", name, scope, labels)
        old, new = (ABSENT if one is None else one.value for one in sides)
        secret = any(one is not None and one.secret for one in sides)
        changes = tuple(_placed(change, *sides, secret) for change in diff(subject, old, new))
        files = self._files(environment, sides)
        return Effect(VARIABLE, subject, old, new, changes, tuple(sorted(files)), scope, environment, reached=reached)

    def _files(self, environment: str, sides: tuple[Definition | None, ...]) -> set[str]:
        """The files by which what is defined changes."""
        files = {path for one in sides if one is not None for path in self._causes(one.file)}
        if not files:
            files = set(self._inventory_files(environment))
        return files or {one.file for one in sides if one is not None}

    def _sources(self, environment: str) -> list[str]:
        return self.sides[1].sources(environment or self.layout.base)

    def _causes(self, path: str) -> set[str]:
        """The changed paths by which the definitions in a file change: the file, what it links to, or a link above."""
        if path in self.changed:
            return {path}
        found = {side.follow(path) for side in self.sides} & self.changed
        return found | {link for link in self._links & self.changed if path.startswith(f"{link}/")}


def _written_for(*definitions_: Definition | None) -> str:
    """The group whose file of variables holds the definition; "" when none."""
    for one in reversed(definitions_):
        found = re.search(r"/group_vars/([^/.]+)", one.file) if one is not None else None
        if found:
            return found.group(1)
    return ""


def _cover(hosts: set[str], groups: tuple[Groups, ...], preferred: str) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Groups whose members are all reached, largest first; then the hosts that are in none of them."""
    left = set(hosts)
    members = {name: set(found) for mine in groups for name, found in mine.members.items()}
    for name in members:
        members[name] = {host for mine in groups for host in mine.members.get(name, ())}
    order = sorted(members, key=lambda name: (-len(members[name]), name != preferred, name != "all", name))
    for name in order:
        if len(members[name]) > 1 and members[name] <= hosts and members[name] & left:
            yield ("group", name), members[name]
            left -= members[name]
    for host in sorted(left):
        yield ("host", host), {host}


def _alike(one: Definition, other: Definition) -> bool:
    return same(one.value, other.value) and one.form == other.form


def _id(one: Definition | None) -> tuple[str, str, str] | None:
    return None if one is None else (one.file, str(one.position(())), repr(one.value))


def _placed(change: Change, before: Definition | None, after: Definition | None, secret: bool) -> Change:
    if after is None:
        assert before is not None  # a Change is on a side that is there
        origin = Origin(before.file)  # what is left of it is its file at most
    else:
        origin = after.position(change.field)
    return change_with(change, origin, secret or is_secret(change))


def _link_targets(side: Side, changed: Collection[str]) -> set[str]:
    """Links in the inventories of one side that change, or that lead to something that changes."""
    targets = {
        entry.path: link_target(side.tree, entry.path)
        for entry in side.tree.walk(side.layout.inventories)
        if entry.mode == LINK
    }
    out: set[str] = set()
    fresh = set(changed)
    while fresh:  # a link may lead to a link
        leading = {
            path
            for path, target in targets.items()
            if path in changed or (target and any(one == target or one.startswith(f"{target}/") for one in fresh))
        }
        fresh = leading - out
        out |= leading
    return out

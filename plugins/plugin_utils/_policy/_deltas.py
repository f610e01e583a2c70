# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of the policy loosens or tightens: rule by rule, and who can newly do what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import (
    ACTIONS,
    Area,
    Restriction,
    areas,
    ask,
    restrictions,
    touched,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._load import ROLES, RULES, SETTINGS, TESTS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PROHIBIT, WARN, Delta
from ansible_collections.weft.platform.plugins.plugin_utils._policy._owner_deltas import code_owners
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import LOWER
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rule_deltas import (
    CHANGES,
    LOOSENS,
    TIGHTENS,
    alone,
    changed,
    direction,
    selection,
    who,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    BUILT_IN,
    OFF,
    Policy,
    Who,
    beyond,
    named,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._signatures import ALLOWED_SIGNERS, KEYS, REVOKED

#: How much each way of knowing the people behind commits asks for.
_STRICTNESS = {"pushed": 0, "forge": 1, "signed": 2}

#: How much each severity of a built-in check stands in the way.
_SEVERITIES = {OFF: 0, WARN: 1, PROHIBIT: 2}


def compare(before: Policy, after: Policy, trees: tuple[Files, Files] | None = None) -> tuple[Delta, ...]:
    """What becomes looser and what stricter, sorted: what loosens first.

    What cannot be told apart is said to change; nothing that differs is left out.

    Raises:
        PolicyError: a CODEOWNERS file that rules ask for cannot be read.
    """
    found = [
        *_members(before, after),
        *_owners(before, after),
        *_rules(before, after),
        *_settings(before, after),
        *(_files(trees) if trees else ()),
        *(code_owners(before, after, trees) if trees else ()),
        *_matrix(before, after),
    ]
    order = {LOOSENS: 0, CHANGES: 1, TIGHTENS: 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (order[one.direction], one.message)))


def _members(before: Policy, after: Policy) -> Iterator[Delta]:
    sides = [_groups(one) for one in (before, after)]
    favoured, denied = (_meant((before, after), how) for how in (_favoured, _denied))
    for name in sorted(sides[0].keys() | sides[1].keys()):
        kind, _, bare = name.partition(":")
        role = after.roles.get(bare) if kind == "role" else None
        origin = role.origin if role is not None else Origin(ROLES)
        old, new = (set(side.get(name, ())) for side in sides)
        for member in sorted(old ^ new):
            came = member in new
            words = f"{member} is {'now' if came else 'no longer'} in {kind} {bare}"
            if name in favoured or name not in denied:
                yield Delta(direction(came), words, origin)
            if name in denied:
                yield Delta(direction(not came), f"{words}, to which something is denied", origin)
        if kind == "team" and (name in sides[0]) != (name in sides[1]):
            says, no_more = ("policy", "forge") if name in sides[1] else ("forge", "policy")
            yield Delta(CHANGES, f"who is in team {bare} is for the {says} to say now, not for the {no_more}", origin)
    for login in sorted(before.people.keys() | after.people.keys()):
        if set(before.people.get(login, ())) != set(after.people.get(login, ())):
            yield Delta(CHANGES, f"other addresses are {login}'s", Origin(ROLES))


def _groups(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Who is in what, by "role:a" and "team:b", as the policy itself says; of teams, case tells nothing."""
    out = {f"role:{name}": role.members for name, role in policy.roles.items()}
    return out | {f"team:{name.translate(LOWER)}": logins for name, logins in policy.teams.items()}


def _favoured(policy: Policy) -> Iterator[Who]:
    """Everybody whom a policy names so that more is permitted."""
    yield from (who for rule in policy.rules for who in rule.favoured)
    yield from (policy.owners,) if policy.owners is not None else ()


def _denied(policy: Policy) -> Iterator[Who]:
    """Everybody whom a policy names so that less is permitted: where somebody leaves them, that loosens."""
    yield from (rule.denied for rule in policy.rules if rule.denied is not None)


def _meant(policies: Iterable[Policy], whom: Callable[[Policy], Iterable[Who]]) -> set[str]:
    """The roles and teams ("role:a", "team:b") that policies name so, with all that are in them."""
    out: set[str] = set()
    for policy in policies:
        todo = [atom for who in whom(policy) for atom in who.atoms()]
        while todo:
            atom = todo.pop()
            name = atom.translate(LOWER) if atom.startswith("team:") else atom if ":" in atom else f"role:{atom}"
            if name not in out:
                out.add(name)
                role = policy.roles.get(name.removeprefix("role:")) if name.startswith("role:") else None
                todo += role.members if role is not None else ()
    return out


def _owners(before: Policy, after: Policy) -> Iterator[Delta]:
    yield from who(before.owners, after.owners, "may mend the policy when it is broken", Origin(ROLES))


def _rules(before: Policy, after: Policy) -> Iterator[Delta]:
    old, new = ({rule.name: rule for rule in one.rules} for one in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield from alone(old[name], False)
        elif name not in old:
            yield from alone(new[name], True)
        elif not same(dict(old[name].raw), dict(new[name].raw)):
            yield from changed(old[name], new[name])


def _settings(before: Policy, after: Policy) -> Iterator[Delta]:
    old, new = before.settings, after.settings
    if old.identity.commits != new.identity.commits:
        looser = _STRICTNESS[new.identity.commits] < _STRICTNESS[old.identity.commits]
        message = f"people behind commits are known by {new.identity.commits!r}, not {old.identity.commits!r}"
        yield Delta(direction(looser), message, Origin(SETTINGS))
    services = [set(one.identity.services) for one in (old, new)]
    for login in sorted(services[0] ^ services[1]):  # who counts so need not be permitted what they commit
        verb = "now counts" if login in services[1] else "no longer counts"
        words = f"{login} {verb} as the forge itself where it is the committer"
        yield Delta(direction(login in services[1]), words, Origin(SETTINGS))
    for name in BUILT_IN:
        was, now = old.check(name), new.check(name)
        if was != now:
            looser = _SEVERITIES[now] < _SEVERITIES[was]
            yield Delta(direction(looser), f"the check {name} has the severity {now}, not {was}", Origin(SETTINGS))
    longest = [inf if one.longest_exception is None else one.longest_exception for one in (old, new)]
    if longest[0] != longest[1]:
        words = f"for at most {longest[1]} days" if longest[1] < inf else "for any time"
        yield Delta(direction(longest[1] > longest[0]), f"new exceptions may hold {words}", Origin(SETTINGS))
    for kind in sorted(old.cluster_scoped ^ new.cluster_scoped):
        verb = "now counts" if kind in new.cluster_scoped else "no longer counts"
        yield Delta(CHANGES, f"the kind {kind} {verb} as being in no namespace", Origin(SETTINGS))
    yield from _layouts(old.layout, new.layout)


def _layouts(old: Layout, new: Layout) -> Iterator[Delta]:
    """What is looked at in another way; which rules then say something of it, nobody can tell beforehand."""
    if old.isolated != new.isolated:
        words = f"Kustomize and Helm {'only run' if new.isolated else 'run also'} {{}} a network namespace of their own"
        yield Delta(direction(old.isolated), words.format("in" if new.isolated else "without"), Origin(SETTINGS))
    for name, before, after in (
        ("the directory of inventories", old.inventories, new.inventories),
        ("the inventory that all share", old.base, new.base),
        ("environments", dict(old.environments), dict(new.environments)),
        ("files that are judged by their path alone", old.plain, new.plain),
        ("directories to render", old.roots, new.roots),
        ("values of charts", dict(old.values), dict(new.values)),
    ):
        if repr(before) != repr(after):
            yield Delta(CHANGES, f"{name}: {before or 'none'} -> {after or 'none'}", Origin(SETTINGS))


def _files(trees: tuple[Files, Files]) -> Iterator[Delta]:
    """Files under policy/ that are no rules: keys, programs of checks."""
    sides = [{one.path: one for one in tree.walk("policy")} for tree in trees]
    for path in sorted(sides[0].keys() | sides[1].keys()):
        old, new = (side.get(path) for side in sides)
        if old == new or path in (ROLES, SETTINGS) or path.startswith((RULES, TESTS)):
            continue
        came, went = old is None, new is None
        verb = "is new" if came else "is gone" if went else "is another"
        if path == ALLOWED_SIGNERS or path.startswith(f"{KEYS}/"):
            yield Delta(TIGHTENS if went else LOOSENS, f"{path} {verb}: other signatures count", Origin(path))
        elif path == REVOKED:
            yield Delta(LOOSENS if went else CHANGES, f"{path} {verb}: other keys are revoked", Origin(path))
        else:
            yield Delta(CHANGES, f"{path} {verb}", Origin(path))


#: An area is compared by as many rules as there are; more comparisons than these would take too long.
_MOST = 200_000


def _matrix(before: Policy, after: Policy) -> Iterator[Delta]:
    """Who can newly do what, and who no longer, and of what is newly demanded what, area by area."""
    by_action = before.by_action or after.by_action
    kept = _kept(before, after)
    found = _touched(before, after)
    if found is None:
        words = "more is not as it was than can be compared area by area; who can newly change what is not said"
        yield Delta(CHANGES, words, Origin(RULES))
    for area in found or ():
        actions = area.selector.action or (ACTIONS if by_action else ("",))
        newly: dict[str, list[str]] = {}
        no_longer: dict[str, list[str]] = {}
        for action in actions:
            old, new = (ask(one, area, actions=[action] if action else ()).ways() for one in (before, after))
            for names, some, others, policy in ((newly, new, old, before), (no_longer, old, new, after)):
                for name in named(beyond(some, others, policy.widened)):
                    names.setdefault(name, []).append(action)
        for how, verb, names in ((LOOSENS, "newly", newly), (TIGHTENS, "no longer", no_longer)):
            for name, when in names.items():
                words = "" if len(when) == len(actions) else f" when {' or '.join(when)}"
                yield Delta(how, f"{name} can {verb} change{words}: {area.text}")
        yield from _limits(before, after, area, kept)


def _touched(before: Policy, after: Policy) -> list[Area] | None:
    """The areas in which something may not be as it was; None where they are too many."""
    found = areas((before, after))
    old, new = before.settings, after.settings
    every = len(before.rules) + len(after.rules)
    if repr(old.layout) == repr(new.layout) and old.cluster_scoped == new.cluster_scoped:
        sides = {rule.name: rule for rule in before.rules}, {rule.name: rule for rule in after.rules}
        gone, come = (
            [rule for rule in some.values() if rule.name not in others or not same(rule.raw, others[rule.name].raw)]
            for some, others in (sides, sides[::-1])
        )
        if len(found) * (len(gone) + len(come)) > _MOST:
            return None
        found = [area for area in found if touched(before, gone, area) or touched(after, come, area)]
    return found if len(found) * every <= _MOST else None


def _kept(before: Policy, after: Policy) -> dict[str, set[str]]:
    """The demands of rules of both sides; without rules of which it is said already that they mean more or less."""
    old = {rule.name: rule for rule in before.rules}
    out = {}
    for rule in after.rules:
        was = old.get(rule.name)
        if was is not None and (same(was.raw.get("change"), rule.raw.get("change")) or selection(was, rule) == CHANGES):
            parts = ({one.part for one in restrictions(side)} for side in (was, rule))
            out[rule.name] = set.intersection(*parts)
    return out


def _limits(before: Policy, after: Policy, area: Area, kept: Mapping[str, set[str]]) -> Iterator[Delta]:
    """What is demanded in an area more often than it was, or less often."""
    often: list[dict[tuple[str, str], tuple[int, Restriction]]] = [{}, {}]
    for side, policy in zip(often, (before, after)):
        for rule, restriction, _condition, surely in ask(policy, area).limits:
            if restriction.part in kept.get(rule, ()):
                side[rule, restriction.part] = (2 if surely else 1, restriction)
    for key in sorted(often[0].keys() | often[1].keys()):
        was, now = (side[key][0] if key in side else 0 for side in often)
        restriction = (often[1].get(key) or often[0][key])[1]
        # where it is certain who may, names have told it, but not of those to whom alone something is denied
        told = key[1] in ("deny", "only") and 2 in (was, now) and restriction.concerns is None
        if was != now and not told:
            words = "newly" if now > was else "no longer"
            always = " always" if 1 in (was, now) else ""
            message = f"rule {key[0]!r} {words}{always} demands: {restriction.text}, for {area.text}"
            yield Delta(direction(now < was), message)

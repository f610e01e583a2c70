# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of the policy loosens or tightens: rule by rule, and who can newly do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import (
    ACTIONS,
    Area,
    areas,
    ask,
    restrictions,
    touched,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._load import ROLES, RULES, SETTINGS, TESTS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PROHIBIT, WARN, Delta
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
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import BUILT_IN, OFF, Policy, beyond, named
from ansible_collections.weft.platform.plugins.plugin_utils._policy._signatures import ALLOWED_SIGNERS, KEYS, REVOKED

#: How much each way of knowing the people behind commits asks for.
_STRICTNESS = {"pushed": 0, "forge": 1, "signed": 2}

#: How much each severity of a built-in check stands in the way.
_SEVERITIES = {OFF: 0, WARN: 1, PROHIBIT: 2}


def compare(before: Policy, after: Policy, trees: tuple[Files, Files] | None = None) -> tuple[Delta, ...]:
    """What becomes looser and what stricter, sorted: what loosens first.

    What cannot be told apart is said to change; nothing that differs is left out.
    """
    found = [
        *_members(before, after),
        *_owners(before, after),
        *_rules(before, after),
        *_settings(before, after),
        *(_files(trees) if trees else ()),
        *_matrix(before, after),
    ]
    order = {LOOSENS: 0, CHANGES: 1, TIGHTENS: 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (order[one.direction], one.message)))


def _sets(
    before: Mapping[str, Iterable[str]], after: Mapping[str, Iterable[str]], what: str, origins: Mapping[str, Origin]
) -> Iterator[Delta]:
    for name in sorted(before.keys() | after.keys()):
        old, new = set(before.get(name, ())), set(after.get(name, ()))
        for member in sorted(old ^ new):
            came = member in new
            verb = "is now in" if came else "is no longer in"
            yield Delta(direction(came), f"{member} {verb} {what} {name}", origins.get(name, Origin(ROLES)))


def _members(before: Policy, after: Policy) -> Iterator[Delta]:
    roles = [{name: role.members for name, role in one.roles.items()} for one in (before, after)]
    origins = {name: role.origin for name, role in after.roles.items()}
    yield from _sets(roles[0], roles[1], "role", origins)
    yield from _sets(before.teams, after.teams, "team", {})
    for login in sorted(before.people.keys() | after.people.keys()):
        if set(before.people.get(login, ())) != set(after.people.get(login, ())):
            yield Delta(CHANGES, f"other addresses are {login}'s", Origin(ROLES))


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
    if set(old.identity.services) != set(new.identity.services):
        yield Delta(CHANGES, "other committers count as the forge itself", Origin(SETTINGS))
    for name in BUILT_IN:
        was, now = old.check(name), new.check(name)
        if was != now:
            looser = _SEVERITIES[now] < _SEVERITIES[was]
            yield Delta(direction(looser), f"the check {name} has the severity {now}, not {was}", Origin(SETTINGS))
    longest = [inf if one.longest_exception is None else one.longest_exception for one in (old, new)]
    if longest[0] != longest[1]:
        words = f"for at most {longest[1]} days" if longest[1] < inf else "for any time"
        yield Delta(direction(longest[1] > longest[0]), f"new exceptions may hold {words}", Origin(SETTINGS))
    if old.cluster_scoped != new.cluster_scoped:
        yield Delta(CHANGES, "other kinds count as being in no namespace", Origin(SETTINGS))
    if repr(old.layout) != repr(new.layout):
        yield Delta(CHANGES, "other places count as environments, inventories or renderings", Origin(SETTINGS))


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
            for names, some, others in ((newly, new, old), (no_longer, old, new)):
                for name in named(beyond(some, others)):
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
            # of what is denied and to whom, the names of who can change something tell
            out[rule.name] = set.intersection(*parts) - {"deny", "only"}
    return out


def _limits(before: Policy, after: Policy, area: Area, kept: Mapping[str, set[str]]) -> Iterator[Delta]:
    """What is demanded in an area more often than it was, or less often."""
    often: list[dict[tuple[str, str], tuple[int, str]]] = [{}, {}]
    for side, policy in zip(often, (before, after)):
        for rule, (part, text, *_), _condition, surely in ask(policy, area).limits:
            if part in kept.get(rule, ()):
                side[rule, part] = (2 if surely else 1, text)
    for key in sorted(often[0].keys() | often[1].keys()):
        (was, _), (now, _) = (side.get(key, (0, "")) for side in often)
        text = (often[1].get(key) or often[0][key])[1]
        if was != now:
            words = "newly" if now > was else "no longer"
            always = " always" if 1 in (was, now) else ""
            yield Delta(direction(now < was), f"rule {key[0]!r} {words}{always} demands: {text}, for {area.text}")

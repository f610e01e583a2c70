# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of the policy loosens or tightens: rule by rule, and who can newly do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Value, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import (
    ACTIONS,
    areas,
    ask,
    restrictions,
    texts,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._exceptions import differing
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._load import ROLES, RULES, SETTINGS, TESTS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PROHIBIT, WARN, Delta
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    BUILT_IN,
    OFF,
    Exempt,
    Policy,
    Rule,
    Who,
    beyond,
    named,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._signatures import ALLOWED_SIGNERS, KEYS, REVOKED

LOOSENS, TIGHTENS, CHANGES = "loosens", "tightens", "changes"

#: How much each way of knowing the people behind commits asks for.
_STRICTNESS = {"pushed": 0, "forge": 1, "signed": 2}

#: How much each severity of a built-in check stands in the way.
_SEVERITIES = {OFF: 0, WARN: 1, PROHIBIT: 2}

#: Parts of a rule that demand something.
_DEMANDS = ("deny", "deny_unless", "approvals", "require", "only", "codeowners")


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


def _names(direction: bool) -> str:
    return LOOSENS if direction else TIGHTENS


def _sets(
    before: Mapping[str, Iterable[str]], after: Mapping[str, Iterable[str]], what: str, origins: Mapping[str, Origin]
) -> Iterator[Delta]:
    for name in sorted(before.keys() | after.keys()):
        old, new = set(before.get(name, ())), set(after.get(name, ()))
        for member in sorted(old ^ new):
            came = member in new
            verb = "is now in" if came else "is no longer in"
            yield Delta(_names(came), f"{member} {verb} {what} {name}", origins.get(name, Origin(ROLES)))


def _members(before: Policy, after: Policy) -> Iterator[Delta]:
    roles = [{name: role.members for name, role in one.roles.items()} for one in (before, after)]
    origins = {name: role.origin for name, role in after.roles.items()}
    yield from _sets(roles[0], roles[1], "role", origins)
    yield from _sets(before.teams, after.teams, "team", {})
    for login in sorted(before.people.keys() | after.people.keys()):
        if set(before.people.get(login, ())) != set(after.people.get(login, ())):
            yield Delta(CHANGES, f"other addresses are {login}'s", Origin(ROLES))


def _owners(before: Policy, after: Policy) -> Iterator[Delta]:
    yield from _who(before.owners, after.owners, "may mend the policy when it is broken", Origin(ROLES))


def _who(before: Who | None, after: Who | None, what: str, origin: Origin) -> Iterator[Delta]:
    if before == after:
        return
    old, new = (set(one.names()) if one is not None else set() for one in (before, after))
    for name in sorted(old ^ new):
        came = name in new
        yield Delta(_names(came), f"{name} {'now' if came else 'no longer'} {what}", origin)
    if old == new:
        yield Delta(CHANGES, f"{after} instead of {before} {what}", origin)


def _rules(before: Policy, after: Policy) -> Iterator[Delta]:
    old, new = ({rule.name: rule for rule in one.rules} for one in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield from _alone(old[name], False)
        elif name not in old:
            yield from _alone(new[name], True)
        elif not same(dict(old[name].raw), dict(new[name].raw)):
            yield from _changed(old[name], new[name])


def _about(rule: Rule) -> str:
    return "; ".join(texts(rule)) if rule.selectors else "objects"


def _alone(rule: Rule, came: bool) -> Iterator[Delta]:
    """A rule that comes or goes."""
    verb = "new rule" if came else "no more rule"
    origin = rule.origin if came else Origin(rule.origin.file)
    if rule.allowed is not None:
        yield Delta(_names(came), f"{verb} {rule.name!r}: {rule.allowed} may change {_about(rule)}", origin)
    if rule.owned is not None and rule.owned.how == "change":
        yield Delta(_names(came), f"{verb} {rule.name!r}: code owners may change {_about(rule)}", origin)
    for one in restrictions(rule):
        yield Delta(_names(not came), f"{verb} {rule.name!r}: {one.text}, for {_about(rule)}", origin)
    if came:
        yield from _exceptions((), rule.exceptions, rule)


def _changed(old: Rule, new: Rule) -> Iterator[Delta]:
    said = []
    for before, after in ((old.allow, new.allow), (old.only, new.only)):
        said += list(_who(before, after, f"may change {_about(new)} (rule {new.name!r})", new.origin))
    parts = {key: (old.raw.get(key), new.raw.get(key)) for key in (*old.raw, *new.raw)}
    handled = {"name", "description", "allow"}
    for key, (before, after) in parts.items():
        if key not in handled and not same(before, after):
            said += list(_part(key, before, after, old, new))
    yield from said


def _part(key: str, before: Value, after: Value, old: Rule, new: Rule) -> Iterator[Delta]:
    """One part of a rule that is not the same any more."""
    name = f"rule {new.name!r}"
    if key in _DEMANDS and (before is None or after is None):
        came = before is None
        words = "; ".join(one.text for one in restrictions(new if came else old))
        yield Delta(_names(not came), f"{name} {'now' if came else 'no longer'} demands: {words}", new.origin)
    elif key == "approvals" and old.approvals is not None and new.approvals is not None:
        yield from _approvals(old, new)
    elif key == "exceptions":
        yield from _exceptions(old.exceptions, new.exceptions, new)
    elif key == "severity":
        does = "only warns" if after == "warn" else "prohibits"
        yield Delta(_names(after == "warn"), f"{name} now {does}", new.origin)
    elif key == "existing":
        yield Delta(_names(after != "prohibit"), f"{name} treats old findings in another way", new.origin)
    elif key != "only":
        yield Delta(CHANGES, f"{name}: {key} is another now", new.origin)


def _approvals(old: Rule, new: Rule) -> Iterator[Delta]:
    before, after = old.approvals, new.approvals
    assert before is not None and after is not None  # the caller has looked
    if before.number != after.number:
        fewer = after.number < before.number
        yield Delta(_names(fewer), f"rule {new.name!r} wants {after.number} approvals, not {before.number}", new.origin)
    what = f"count as approvers (rule {new.name!r})"
    yield from _who(before.source, after.source, what, new.origin)
    yield from _who(before.unless, after.unless, f"need no approval (rule {new.name!r})", new.origin)


def _exceptions(old: tuple[Exempt, ...], new: tuple[Exempt, ...], rule: Rule) -> Iterator[Delta]:
    for one in differing(new, old):
        yield Delta(LOOSENS, f"rule {rule.name!r} has a new exception: {_said(one)}", one.origin)
    for one in differing(old, new):
        yield Delta(TIGHTENS, f"rule {rule.name!r} has no more the exception: {_said(one)}", rule.origin)


def _said(one: Exempt) -> str:
    to = f" for {one.to}" if one.to is not None else ""
    part = " for part of it" if one.selectors else ""
    return f"until {one.until.strftime('%Y-%m-%d %H:%M')}{to}{part}, approved by {one.approved_by}: {one.reason}"


def _settings(before: Policy, after: Policy) -> Iterator[Delta]:
    old, new = before.settings, after.settings
    if old.identity.commits != new.identity.commits:
        looser = _STRICTNESS[new.identity.commits] < _STRICTNESS[old.identity.commits]
        message = f"people behind commits are known by {new.identity.commits!r}, not {old.identity.commits!r}"
        yield Delta(_names(looser), message, Origin(SETTINGS))
    if set(old.identity.services) != set(new.identity.services):
        yield Delta(CHANGES, "other committers count as the forge itself", Origin(SETTINGS))
    for name in BUILT_IN:
        was, now = old.check(name), new.check(name)
        if was != now:
            looser = _SEVERITIES[now] < _SEVERITIES[was]
            yield Delta(_names(looser), f"the check {name} has the severity {now}, not {was}", Origin(SETTINGS))
    longest = [inf if one.longest_exception is None else one.longest_exception for one in (old, new)]
    if longest[0] != longest[1]:
        words = f"for at most {longest[1]} days" if longest[1] < inf else "for any time"
        yield Delta(_names(longest[1] > longest[0]), f"new exceptions may hold {words}", Origin(SETTINGS))
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


def _matrix(before: Policy, after: Policy) -> Iterator[Delta]:
    """Who can newly do what, and who no longer, area by area."""
    by_action = before.by_action or after.by_action
    for area in areas((before, after)):
        actions = area.selector.action or (ACTIONS if by_action else ("",))
        newly: dict[str, list[str]] = {}
        no_longer: dict[str, list[str]] = {}
        for action in actions:
            old, new = (ask(one, area, actions=[action] if action else ()).ways() for one in (before, after))
            for found, some, others in ((newly, new, old), (no_longer, old, new)):
                for name in named(beyond(some, others)):
                    found.setdefault(name, []).append(action)
        for direction, verb, found in ((LOOSENS, "newly", newly), (TIGHTENS, "no longer", no_longer)):
            for name, when in found.items():
                words = "" if len(when) == len(actions) else f" when {' or '.join(when)}"
                yield Delta(direction, f"{name} can {verb} change{words}: {area.text}")

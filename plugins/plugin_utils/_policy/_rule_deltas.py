# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What becomes looser and what stricter where a rule comes, goes or is written anew: part by part, with old and new.

A direction is only said where it is certain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Value, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import (
    owners_change,
    restrictions,
    texts,
    written,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._exceptions import differing
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import (
    Glob,
    PathGlob,
    Patterns,
    split_list,
    sure_order,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import WARN, Delta
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    ANYONE,
    REQUIRE_WHERE,
    Exempt,
    Require,
    Rule,
    Who,
    beyond,
    named,
)

LOOSENS, TIGHTENS, CHANGES = "loosens", "tightens", "changes"

#: Levels of the Pod Security Standards, the loosest first (Kubernetes' page Pod Security Standards).
_LEVELS = ("privileged", "baseline", "restricted")

_COMPARISON = re.compile(r"(>=|<=|>|<)\s*(.+)", re.DOTALL)


def direction(looser: bool, stricter: bool | None = None) -> str:
    """What a difference does that is looser, or stricter (if nothing is said of that: where it is not looser)."""
    if stricter is None:
        stricter = not looser
    return CHANGES if looser == stricter else LOOSENS if looser else TIGHTENS


def who(before: Who | None, after: Who | None, what: str, origin: Origin) -> Iterator[Delta]:
    """Who newly does what, and who no longer, where that is something that loosens."""
    old, new = (one.ways() if one is not None else frozenset() for one in (before, after))
    for name in named(beyond(new, old)):
        yield Delta(LOOSENS, f"{name} now {what}", origin)
    for name in named(beyond(old, new)):
        yield Delta(TIGHTENS, f"{name} no longer {what}", origin)


def about(rule: Rule) -> str:
    """What a rule is about, in words."""
    return "; ".join(texts(rule)) if rule.selectors else _required_of(rule) if rule.requires else "everything"


def _required_of(rule: Rule) -> str:
    kinds = (("objects", False), ("documents", True))
    return " and ".join(word for word, how in kinds if any(one.document is how for one in rule.requires))


def alone(rule: Rule, came: bool) -> Iterator[Delta]:
    """What a rule does that comes or goes."""
    verb = "new rule" if came else "no more rule"
    origin = rule.origin if came else Origin(rule.origin.file)
    if rule.allowed is not None:
        yield Delta(direction(came), f"{verb} {rule.name!r}: {rule.allowed} may change {about(rule)}", origin)
    if owners_change(rule):
        yield Delta(direction(came), f"{verb} {rule.name!r}: code owners may change {about(rule)}", origin)
    for one in restrictions(rule):
        yield Delta(direction(not came), f"{verb} {rule.name!r}: {one.text}, for {about(rule)}", origin)
    if came:
        yield from _exceptions((), rule.exceptions, rule)


def changed(old: Rule, new: Rule) -> list[Delta]:
    """What a rule does that has the same name as before and is written in another way."""
    said = [delta for part in _PARTS for delta in part(old, new)]
    left = {key: value for key, value in old.raw.items() if key != "description"}
    if not said and not same(left, {key: value for key, value in new.raw.items() if key != "description"}):
        said.append(Delta(CHANGES, f"rule {new.name!r} is written in another way", new.origin))
    return said


def selection(old: Rule, new: Rule) -> str:
    """What the selectors of a rule do as they are now, if it allows something: it loosens to mean more."""
    sides = [_raws(one) for one in (old, new)]
    narrower, wider = (
        all(any(within(one, other) for other in others) for one in some) for some, others in (sides[::-1], sides)
    )
    return CHANGES if narrower == wider else LOOSENS if wider else TIGHTENS


def _raws(rule: Rule) -> list[Mapping[str, Value]]:
    raw = rule.raw.get("change", {})
    return raw if isinstance(raw, list) else [raw]


def _arrow(before: Value, after: Value) -> str:
    return f"{written(before)} -> {written(after)}"


# -- parts of a rule --------------------------------------------------------------------------------------------------


def _allowed(old: Rule, new: Rule) -> Iterator[Delta]:
    both = old.allowed is not None and new.allowed is not None
    how = f", {old.allowed} -> {new.allowed}" if both else ""
    yield from who(old.allowed, new.allowed, f"may change {about(new)} (rule {new.name!r}{how})", new.origin)


def _selected(old: Rule, new: Rule) -> Iterator[Delta]:
    if same(old.raw.get("change"), new.raw.get("change")):
        return
    how = selection(old, new)
    grants = new.allowed is not None or owners_change(new)
    demands = [one.text for one in restrictions(new)]
    message = f"rule {new.name!r}: change: {about(old)} -> {about(new)}"
    if how == CHANGES or not (grants or demands):
        yield Delta(CHANGES, message, new.origin)
        return
    if grants:
        more = "more" if how == LOOSENS else "less"
        yield Delta(how, f"{message}; {new.allowed or 'code owners'} may change {more}", new.origin)
    if demands:
        more = "more" if how == LOOSENS else "less"
        yield Delta(direction(how == TIGHTENS), f"{message}; of {more} is demanded: {'; '.join(demands)}", new.origin)


def _came_or_went(old: Rule, new: Rule) -> Iterator[Delta]:
    """Demands that are new or gone; those that are compared are left to other parts."""
    sides = [{one.part: one.text for one in restrictions(rule) if one.part != "require"} for rule in (old, new)]
    for part in sorted(sides[0].keys() ^ sides[1].keys()):
        came = part in sides[1]
        words = f"{'now' if came else 'no longer'} demands: {sides[came][part]}"
        yield Delta(direction(not came), f"rule {new.name!r} {words}", new.origin)


def _deny(was: Rule, rule: Rule) -> Iterator[Delta]:
    before, after = was.deny, rule.deny
    if before is None or after is None or before == after:
        return
    name = f"rule {rule.name!r}"
    if before.reason != after.reason:
        yield Delta(CHANGES, f"{name}: reason: {before.reason} -> {after.reason}", rule.origin)
    if before.to != after.to:
        everybody = Who("one", ANYONE)
        old, new = ((one.to or everybody).ways() for one in (before, after))
        arrow = f"{name}: denied to: {before.to or 'everybody'} -> {after.to or 'everybody'}"
        gone, come = named(beyond(old, new)), named(beyond(new, old))
        if gone and come:  # each is certain
            yield Delta(LOOSENS, f"{arrow}; no longer to {' or '.join(gone)}", rule.origin)
            yield Delta(TIGHTENS, f"{arrow}; now to {' or '.join(come)}", rule.origin)
        else:
            yield Delta(direction(bool(gone), bool(come)), arrow, rule.origin)


def _deny_unless(old: Rule, new: Rule) -> Iterator[Delta]:
    before, after = old.raw.get("deny_unless"), new.raw.get("deny_unless")
    if not isinstance(before, dict) or not isinstance(after, dict) or same(before, after):
        return
    looser, stricter = _looser(before, after), _looser(after, before)
    yield Delta(direction(looser, stricter), f"rule {new.name!r}: deny_unless: {_arrow(before, after)}", new.origin)


def _looser(before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
    """Whether what must hold of values now surely holds wherever it held."""
    pairs = [(before.get(key), after[key]) for key in ("old", "new") if key in after]
    return all(one is not None and _follows(one, other) for one, other in pairs)


def _follows(narrow: Value, wide: Value) -> bool:
    """Whether a value that is as one predicate says surely is as another says."""
    if same(narrow, wide):
        return True
    one, other = (_COMPARISON.fullmatch(text) if isinstance(text, str) else None for text in (narrow, wide))
    if wide == "*":  # any plain value; where nothing is there to compare with, any value fits a comparison
        return isinstance(narrow, str) and not narrow.startswith("!") and not (one and one[2] in ("old", "new"))
    if isinstance(wide, list) and not any(isinstance(one, str) and one.startswith("!") for one in wide):
        return all(
            any(same(one, other) for other in wide) for one in (narrow if isinstance(narrow, list) else [narrow])
        )
    if one is None or other is None or one[1] != other[1] or {one[2], other[2]} & {"old", "new"}:
        return False
    found = sure_order(one[2], other[2])
    return found is not None and (found >= 0 if one[1].startswith(">") else found <= 0)


def _approvals(old: Rule, new: Rule) -> Iterator[Delta]:
    before, after = old.approvals, new.approvals
    if before is None or after is None:
        return
    if before.number != after.number:
        words = f"rule {new.name!r} wants {after.number} approvals, not {before.number}"
        yield Delta(direction(after.number < before.number), words, new.origin)
    for key, one, other in (("from", before.source, after.source), ("unless", before.unless, after.unless)):
        does = "count as approvers" if key == "from" else "need no approval"
        how = f", {one} -> {other}" if one is not None and other is not None else ""
        yield from who(one, other, f"{does} (rule {new.name!r}{how})", new.origin)


def _code_owners(old: Rule, new: Rule) -> Iterator[Delta]:
    before, after = old.owned, new.owned
    name = f"rule {new.name!r}"
    if owners_change(old) != owners_change(new):
        came = owners_change(new)
        words = f"code owners {'now' if came else 'no longer'} may change {about(new)} ({name})"
        yield Delta(direction(came), words, new.origin)
    if before is not None and after is not None and before.file != after.file:
        arrow = f"{before.file or 'CODEOWNERS'} -> {after.file or 'CODEOWNERS'}"
        yield Delta(CHANGES, f"{name}: file of code owners: {arrow}", new.origin)


def _severity(old: Rule, new: Rule) -> Iterator[Delta]:
    if old.severity != new.severity:
        words = f"rule {new.name!r}: severity: {old.severity} -> {new.severity}"
        yield Delta(direction(new.severity == WARN), words, new.origin)
    if old.existing != new.existing:
        before, after = ("prohibit" if one.existing else "report" for one in (old, new))
        words = f"rule {new.name!r}: existing: {before} -> {after}"
        yield Delta(direction(not new.existing), words, new.origin)


def _excepted(old: Rule, new: Rule) -> Iterator[Delta]:
    yield from _exceptions(old.exceptions, new.exceptions, new)


def _exceptions(old: tuple[Exempt, ...], new: tuple[Exempt, ...], rule: Rule) -> Iterator[Delta]:
    for one in differing(new, old):
        yield Delta(LOOSENS, f"rule {rule.name!r} has a new exception: {_said(one)}", one.origin)
    for one in differing(old, new):
        yield Delta(TIGHTENS, f"rule {rule.name!r} has no more the exception: {_said(one)}", rule.origin)


def _said(one: Exempt) -> str:
    to = f" for {one.to}" if one.to is not None else ""
    part = " for part of it" if one.selectors else ""
    return f"until {one.until.strftime('%Y-%m-%d %H:%M')}{to}{part}, approved by {one.approved_by}: {one.reason}"


# -- checks of content ------------------------------------------------------------------------------------------------


class _Check(NamedTuple):
    """A check that a rule requires: its name, its parameters, and what it is for, as written."""

    name: str
    params: Value
    where: Mapping[str, Value]
    origin: Origin

    @property
    def of_files(self) -> bool:
        """Whether it is for documents, not for objects."""
        return "document" in self.where

    @property
    def raw(self) -> Value:
        """All of it but the place where it is written."""
        return {"check": self.name, "params": self.params, "where": dict(self.where)}

    def __str__(self) -> str:
        parts = {key: value for key, value in self.where.items() if key != "document"}
        where = f" for {'documents of ' if self.of_files else ''}{written(parts)}" if parts else ""
        return f"{self.name} {written(self.params)}{where}"


def _checks(rule: Rule) -> list[_Check]:
    raw = rule.raw.get("require", [])
    by_item = [
        {key: item[key] for key in REQUIRE_WHERE if key in item}
        for item in (raw if isinstance(raw, list) else [raw])
        for one in item
        if one not in REQUIRE_WHERE
    ]
    return [_checked(one, where) for one, where in zip(rule.requires, by_item, strict=True)]


def _checked(one: Require, where: Mapping[str, Value]) -> _Check:
    return _Check(one.check, one.params, where, one.origin)


def _required(old: Rule, new: Rule) -> Iterator[Delta]:
    before, after = _checks(old), _checks(new)
    gone, come = _without(before, after), _without(after, before)
    name = f"rule {new.name!r}"
    for one in list(come):
        was = _counterpart(one, gone)
        if was is not None:
            gone = [other for other in gone if other is not was]
            come = [other for other in come if other is not one]
            yield Delta(_compared(was, one), f"{name}: require: {was} -> {one}", one.origin)
    for one in come:
        yield Delta(TIGHTENS, f"{name} now requires {one}", one.origin)
    for one in gone:
        yield Delta(LOOSENS, f"{name} no longer requires {one}", new.origin)


def _without(some: Sequence[_Check], others: Sequence[_Check]) -> list[_Check]:
    """Those that are not among the others, wherever they are written."""
    return [one for one in some if not any(same(one.raw, other.raw) for other in others)]


def _counterpart(one: _Check, others: Sequence[_Check]) -> _Check | None:
    """The check that one was before: of the same name and for the same, else the only one of that name."""
    named_so = [other for other in others if (other.name, other.of_files) == (one.name, one.of_files)]
    for_it = [other for other in named_so if same(dict(other.where), dict(one.where))]
    return for_it[0] if for_it else named_so[0] if len(named_so) == 1 else None


def _compared(before: _Check, after: _Check) -> str:
    if same(before.params, after.params):
        narrower, wider = within(after.where, before.where), within(before.where, after.where)
        return direction(narrower, wider)
    if before.name == "pss" and same(dict(before.where), dict(after.where)):
        old, new = (one if isinstance(one, dict) else {"level": one} for one in (before.params, after.params))
        levels = [_LEVELS.index(one["level"]) for one in (old, new) if one.get("level") in _LEVELS]
        if len(levels) == 2 and levels[0] != levels[1] and same({**old, "level": ""}, {**new, "level": ""}):
            return direction(levels[1] < levels[0])
    return CHANGES


#: Each says of one part of a rule what is not the same any more.
_PARTS: tuple[Callable[[Rule, Rule], Iterable[Delta]], ...] = (
    _allowed,
    _selected,
    _came_or_went,
    _deny,
    _deny_unless,
    _approvals,
    _code_owners,
    _required,
    _severity,
    _excepted,
)


# -- selectors ---------------------------------------------------------------------------------------------------------


def within(narrow: Mapping[str, Value], wide: Mapping[str, Value]) -> bool:
    """Whether a selector, as written, surely means nothing that another does not mean."""
    one, other = (
        {("environment" if key == "cluster" else key): value for key, value in raw.items()} for raw in (narrow, wide)
    )
    if ("field" in one) != ("field" in other) and ("action" in one or "action" in other):
        return False  # what is done to a field is not what is done to all of it
    return all(key in one and _key_within(key, one[key], value) for key, value in other.items())


def _key_within(key: str, narrow: Value, wide: Value) -> bool:
    if same(narrow, wide):
        return True
    if key in ("object", "labels"):
        well = isinstance(narrow, dict) and isinstance(wide, dict)
        return well and all(inner in narrow and _key_within(inner, narrow[inner], wide[inner]) for inner in wide)
    if key in ("field", "type", "old", "new"):
        return False
    # a host is in several groups; a kind has a name with its group, and one without
    return _list_within(narrow, wide, PathGlob if key == "file" else Glob, key in ("group", "kind"))


def _list_within(narrow: Value, wide: Value, build: Callable[[str], PathGlob | Glob], by_several: bool) -> bool:
    items, others = split_list(narrow, "pattern"), split_list(wide, "pattern")
    positive = [one for one in items if not one.startswith("!")]
    if positive and not by_several and not any(_is_wild(one) for one in positive):
        meant = Patterns(wide, "pattern", build)
        return all(meant.matches(one.removeprefix("/")) for one in positive)
    excluded = [one[1:] for one in items if one.startswith("!")]
    for other in others:
        if other.startswith("!") and not any(_covers(one, other[1:], build) for one in excluded):
            return False
    wanted = [one for one in others if not one.startswith("!")]
    if not positive or not wanted:
        return not wanted
    return all(any(_covers(other, one, build) for other in wanted) for one in positive)


def _is_wild(pattern: str) -> bool:
    return any(one in "*?[\\" for one in pattern) or pattern.endswith("/")


def _covers(wide: str, narrow: str, build: Callable[[str], PathGlob | Glob]) -> bool:
    """Whether a pattern surely means all that another does."""
    if wide == narrow or wide == ("**" if build is PathGlob else "*"):
        return True
    if not _is_wild(narrow):
        return build(wide).matches(narrow.removeprefix("/"))
    folder = wide.removesuffix("**")
    return wide.endswith("/**") and not _is_wild(folder.removesuffix("/")) and narrow.startswith(folder)

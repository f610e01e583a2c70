# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who may do what: Effects are held against the rules.

A change is permitted when no rule denies it, at least one rule allows it to each person behind it, and every rule that
speaks about it is satisfied; what no rule allows is prohibited.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Change, show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import PATH, Effect, Layout, Quiet
from ansible_collections.weft.platform.plugins.plugin_utils._policy._exceptions import answers_for
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import MAYBE, YES, Leaf
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    AND,
    ERROR,
    INFO,
    NOT_PERMITTED,
    PROHIBIT,
    Finding,
    IdentityError,
    Permission,
    Person,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Behind, Crowd, Members
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    ANYONE,
    Exempt,
    Leaves,
    Policy,
    Rule,
    Selector,
    View,
    Who,
    beyond,
    both,
    concerned,
    fewest,
    named,
    views,
    way_out,
)

#: Somebody who is allowed something, by which rule, and what of it by which selector (None: all of it).
Candidate = tuple[Rule, Who, Selector | None]

#: Gives the owners of a path by a CODEOWNERS file, as "user:x" and "team:y"; None where no line speaks of it.
Owners = Callable[[str, str], Collection[str] | None]


class Need(NamedTuple):
    """An approval that is needed: by which rule, from whom, for which Change first, and for how many."""

    rule: Rule
    number: int
    source: Who
    change: Change
    changes: int


class Result(NamedTuple):
    """What the rules say of Effects."""

    findings: tuple[Finding, ...]
    permissions: tuple[Permission, ...]
    changes: tuple[Change, ...]


class Permit:
    """Holds Effects against a policy, for the people behind one request.

    Args:
        policy: the rules in force.
        members: who is in which role.
        crowd: who is behind the change, and who approved it.
        now: exceptions are looked at with this time.
        layout: where things are.
        owners: looks a path up in a CODEOWNERS file (given its name, or "").
    """

    def __init__(
        self,
        policy: Policy,
        members: Members,
        crowd: Crowd,
        now: datetime,
        layout: Layout,
        owners: Owners | None = None,
    ) -> None:
        self.policy = policy
        self.members = members
        self.crowd = crowd
        self.now = now
        self.layout = layout
        self.owners = owners
        self.findings: list[Finding] = []
        self.permissions: list[Permission] = []
        self.changes: list[Change] = []
        self._aside = ""  # what is said besides in every message about an Effect
        self._scoped = policy.settings.cluster_scoped
        self._restricting = [rule for rule in policy.rules if rule.restricts]
        self._allowing = [rule for rule in policy.rules if rule.allowed is not None or _owners_change(rule)]
        self._needs: dict[tuple[str, str], Need] = {}
        self._errors: dict[str, None] = {}
        self._answers: dict[tuple[str, Who], bool | IdentityError] = {}

    def judge(self, effects: Iterable[Effect], quiet: Iterable[Quiet] = ()) -> Result:
        """What the rules say of these Effects, and of what takes a place where other rules hold.

        The latter is no Change unless something stands in its way.
        """
        effects, moves = tuple(effects), [one for one in quiet if self._governed_anew(one)]
        if effects or moves:
            self._strangers()
        for effect in effects:
            self.changes += effect.changes
            self._effect(effect)
        permissions = len(self.permissions)
        moving = [effect for one in moves for effect in one.effects]
        self._aside = "; it only moves, but to where other rules hold"
        for effect in moving:
            self._effect(effect)
        del self.permissions[permissions:]
        self._approvals()
        said = {id(finding.change) for finding in self.findings}
        self.changes += [change for effect in moving for change in effect.changes if id(change) in said]
        for message in self._errors:
            remedy = "Nothing is permitted to people whose roles cannot be told."
            self.findings.append(Finding("identity", PROHIBIT, ERROR, message, remedy=remedy))
        return Result(tuple(self.findings), tuple(self.permissions), tuple(self.changes))

    # -- people -------------------------------------------------------------------------------------------------

    def is_one(self, person: Person, who: Who) -> bool:
        """Whether somebody is whom a rule means; kept.

        Raises:
            IdentityError: it cannot be told.
        """
        key = (person.login, who)
        if key not in self._answers:
            try:
                self._answers[key] = self.members.is_one(person, who)
            except IdentityError as error:
                self._answers[key] = error
        found = self._answers[key]
        if isinstance(found, IdentityError):
            raise found
        return found

    def surely(self, person: Person, who: Who) -> bool:
        """Whether somebody certainly is whom a rule means; what cannot be told becomes a finding."""
        try:
            return self.is_one(person, who)
        except IdentityError as error:
            self._errors[str(error)] = None
            return False

    def _perhaps(self, one: Behind, who: Who) -> bool:
        """Whether somebody may be whom a rule that restricts means."""
        if one.unknown:
            return True
        try:
            return self.is_one(one.person, who)
        except IdentityError as error:
            self._errors[str(error)] = None
            return True

    def _strangers(self) -> None:
        for one in self.crowd.behind:
            if one.unknown:
                self.findings.append(
                    Finding(
                        "identity",
                        PROHIBIT,
                        NOT_PERMITTED,
                        f"no account is known for {one.person.login}",
                        remedy="Add the address to your account or to people in policy/roles.yml, or sign the commit.",
                    )
                )

    # -- places -------------------------------------------------------------------------------------------------

    def _governed_anew(self, one: Quiet) -> bool:
        """Whether any place where something is now is under other rules than the places where it was."""
        return not {self._rules_at(path) for path in one.after} <= {self._rules_at(path) for path in one.before}

    def _rules_at(self, path: str) -> tuple[object, ...]:
        """What the rules can tell of a place in the repository."""
        out: list[object] = []
        environment = self.layout.environment(path)
        for rule in self.policy.rules:
            excepted = (selector for one in rule.exceptions for selector in one.selectors)
            for selector in (*rule.selectors, *(one.selector for one in rule.requires), *excepted):
                out.append(selector.file is None or selector.file.matches(path))
                out.append(selector.environment is None or selector.environment.matches(environment))
            if rule.owned is not None and self.owners is not None:
                found = self.owners(rule.owned.file, path)
                out.append(None if found is None else tuple(found))
        return tuple(out)

    # -- one Effect ---------------------------------------------------------------------------------------------

    def _effect(self, effect: Effect) -> None:
        angles = views(effect, self.policy.by_host)
        candidates = [self._candidates(angle) for angle in angles]
        for change in effect.changes:
            leaves = cache(partial(effect.leaves_of, change))  # dear, and seldom looked at
            before = len(self.findings)
            for rule in self._restricting:
                self._restrict(rule, effect, change, angles, leaves, candidates)
            by = self._allow(effect, change, angles, candidates, leaves)
            if by and len(self.findings) == before:
                roles = {name for rule in by for name in (rule.allowed.names() if rule.allowed else ())}
                names = tuple(sorted({rule.name for rule in by}))
                self.permissions.append(Permission(change, names, tuple(sorted(roles))))

    def _candidates(self, angle: View) -> list[Candidate]:
        """Who is allowed something of a view."""
        out: list[Candidate] = []
        for rule in self._allowing:
            whom = [rule.allowed] if rule.allowed is not None else []
            if _owners_change(rule):
                assert rule.owned is not None and self.owners is not None  # _owners_change says so
                owners = tuple(Who("one", name) for name in self.owners(rule.owned.file, angle.file) or ())
                whom += [Who("any", of=owners)] if owners else []
            selectors: list[Selector | None] = [
                one for one in rule.selectors if one.meets(angle, False, self._scoped) == YES
            ]
            out += [(rule, who, one) for who in whom for one in (selectors if rule.selectors else [None])]
        return out

    def _allow(
        self,
        effect: Effect,
        change: Change,
        angles: Sequence[View],
        candidates: Sequence[list[Candidate]],
        leaves: Leaves,
    ) -> list[Rule]:
        """The rules that allow a Change to everybody behind it; a finding where somebody is left out."""
        used: dict[str, Rule] = {}
        for one in self.crowd.behind:
            if one.unknown:
                continue  # said already
            for angle, possible in zip(angles, candidates):
                mine = [item for item in possible if self._may(one.person, item[1])]
                gap = _gap(effect, mine, leaves, used)
                if gap is not None:
                    self._not_allowed(effect, change, one, angle, possible, gap)
                    return []
        return list(used.values())

    def _all(self, who: Who) -> bool:
        """Whether everybody behind the change certainly is whom a rule means."""
        return all(not one.unknown and self._may(one.person, who) for one in self.crowd.behind)

    def _may(self, person: Person, who: Who) -> bool:
        try:
            return self.is_one(person, who)
        except IdentityError:
            return False  # said where it matters: when nothing else allows it

    def _not_allowed(
        self,
        effect: Effect,
        change: Change,
        one: Behind,
        angle: View,
        possible: Sequence[Candidate],
        gap: Leaf,
    ) -> None:
        covering = [(rule, who) for rule, who, selector in possible if _covers(effect, selector, gap)]
        for _rule, who in covering:
            self.surely(one.person, who)
        names = sorted({name for _rule, who in covering for name in who.names()})
        field = show_path(gap.path[len(effect.root) :]) if effect.type != PATH else ""
        by_field = any(selector is not None and not selector.whole for _rule, _who, selector in possible)
        wide = f" (for {field})" if by_field and field and field != show_path(change.field) else ""
        where = f" in {angle.file}" if len(effect.files) > 1 else ""
        if covering:
            rule = min(rule.name for rule, _who in covering)
            message = f"{one.person.login} may not make this change{wide}{where}"
            remedy = _ask(names)
        else:
            rule = "nothing allows it"
            message = f"no rule allows {one.person.login} this change{wide}{where}; what no rule allows is prohibited"
            remedy = "Ask the policy's owners for a rule that allows it."
        if effect.opaque:
            message += " (its content was not understood, so only a rule without object and field can allow it)"
        self._finding(rule, effect, change, message, tuple(names), remedy)

    def _finding(
        self, rule: str, effect: Effect, change: Change, message: str, who: tuple[str, ...] = (), remedy: str = ""
    ) -> None:
        self.findings.append(
            Finding(
                rule,
                PROHIBIT,
                NOT_PERMITTED,
                message + self._aside,
                who,
                remedy,
                change.origin,
                effect.subject,
                change.field,
                change,
            )
        )

    # -- rules that restrict ------------------------------------------------------------------------------------

    def _restrict(
        self,
        rule: Rule,
        effect: Effect,
        change: Change,
        angles: Sequence[View],
        leaves: Leaves,
        candidates: Sequence[Sequence[Candidate]],
    ) -> None:
        hits = concerned(rule, effect, angles, leaves, self._scoped) if rule.selectors else []
        if rule.selectors and not hits:
            return
        exempt = self._exempt(rule, effect, angles, leaves)
        if exempt is not None:
            self._note(rule, exempt, change)
            return
        self._denied(rule, effect, change, hits, candidates)
        if rule.only is not None:
            for one in self.crowd.behind:
                if one.unknown or not self.surely(one.person, rule.only):
                    message = f"only {rule.only} may make this change, not {one.person.login}"
                    self._finding(rule.name, effect, change, message, rule.only.names(), _ask(rule.only.names()))
                    break
        if rule.approvals is not None:
            unless = rule.approvals.unless
            if unless is None or not self._all(unless):
                self._need(rule, rule.approvals.number, rule.approvals.source, change)
        if rule.owned is not None and rule.owned.how == "approve" and self.owners is not None:
            for path in effect.files:
                owners = self.owners(rule.owned.file, path)
                if owners:
                    self._need(rule, 1, Who("any", of=tuple(Who("one", name) for name in owners)), change)

    def _denied(
        self,
        rule: Rule,
        effect: Effect,
        change: Change,
        hits: Sequence[tuple[int, Selector, Leaf]],
        candidates: Sequence[Sequence[Candidate]],
    ) -> None:
        deny = rule.deny
        if deny is not None and (deny.to is None or any(self._perhaps(one, deny.to) for one in self.crowd.behind)):
            doubt = "" if any(sure == YES for sure, _selector, _leaf in hits) else "; it may be such a change"
            others = self._others(deny.to, effect, hits, candidates) if deny.to is not None else ()
            way_out = _ask(others, deny.to) if others else _exception(rule)
            self._finding(rule.name, effect, change, f"denied: {deny.reason}{doubt}", others, way_out)
        unless = rule.deny_unless
        if unless is None:
            return
        for found, path, old, new in (node for _sure, selector, leaf in hits for node in selector.nodes(effect, leaf)):
            if effect.opaque and found == MAYBE:
                holds = MAYBE
            else:
                holds = unless.old(old, old, new) if unless.old else YES
                holds = min(holds, unless.new(new, old, new) if unless.new else YES)
            if holds != YES:
                said = unless.reason or f"denied unless {unless.text}"
                doubt = "; the values cannot be compared" if holds == MAYBE else ""
                place = show_path(path[len(effect.root) :])
                where = f" (for {place})" if place and place != show_path(change.field) else ""
                self._finding(rule.name, effect, change, f"{said}{where}{doubt}", (), _exception(rule))
                return

    def _others(
        self,
        denied: Who,
        effect: Effect,
        hits: Sequence[tuple[int, Selector, Leaf]],
        candidates: Sequence[Sequence[Candidate]],
    ) -> tuple[str, ...]:
        """Who is allowed what is denied to some, from every angle, and is none of those."""
        granted = [
            fewest(
                way
                for _rule, who, selector in possible
                if any(_covers(effect, selector, leaf) for _sure, _selector, leaf in hits)
                for way in who.ways()
            )
            for possible in candidates
        ]
        return named(beyond(both(*granted), denied.ways(), self.policy.widened))

    # -- exceptions ---------------------------------------------------------------------------------------------

    def excuses(self, one: Exempt) -> bool:
        """Whether an exception holds now, and for everybody behind the change; what it is about is left aside."""
        if self.now > one.until or any(answers_for(one, who.person) for who in self.crowd.behind if not who.unknown):
            return False  # nobody approves their own change
        return one.to is None or self._all(one.to)

    def _exempt(self, rule: Rule, effect: Effect, angles: Sequence[View], leaves: Leaves) -> Exempt | None:
        """The exception that holds for all of a Change, if any."""
        found = (one for one in rule.exceptions if self.excuses(one) and self._for_all(one, effect, angles, leaves))
        return next(found, None)

    def _for_all(self, one: Exempt, effect: Effect, angles: Sequence[View], leaves: Leaves) -> bool:
        if not one.selectors:
            return True
        return all(
            any(
                selector.meets(angle, False, self._scoped) == YES and selector.leaf(effect, leaf) == YES
                for selector in one.selectors
            )
            for angle in angles
            for leaf in leaves()
        )

    def _note(self, rule: Rule, one: Exempt, change: Change) -> None:
        until = one.until.strftime("%Y-%m-%d")
        message = f"an exception of this rule holds until {until}, approved by {one.approver}: {one.reason}"
        finding = Finding(rule.name, INFO, NOT_PERMITTED, message, origin=change.origin, change=change)
        self.findings.append(finding._replace(subject=change.subject, field=change.field))

    # -- approvals ----------------------------------------------------------------------------------------------

    def _need(self, rule: Rule, number: int, source: Who, change: Change) -> None:
        key = (rule.name, str(source))
        before = self._needs.get(key) or Need(rule, number, source, change, 0)
        self._needs[key] = before._replace(changes=before.changes + 1)

    def _approvals(self) -> None:
        for need in self._needs.values():
            counted = [one.login for one in self.crowd.approvers if self._may(one, need.source)]
            if len(counted) >= need.number:
                continue
            for one in self.crowd.approvers:
                self.surely(one, need.source)  # it matters now whether that can be told
            have = f"; {', '.join(counted)} approved" if counted else ""
            more = f" ({need.changes} changes)" if need.changes > 1 else ""
            people = "approval" if need.number == 1 else "approvals"
            message = f"needs {need.number} {people} of the head by {need.source}{more}{have}"
            notes = "; ".join(self.crowd.notes)
            remedy = f"Ask for approval by {_people(need.source.names())}" + (f" ({notes})." if notes else ".")
            self.findings.append(
                Finding(
                    need.rule.name,
                    PROHIBIT,
                    NOT_PERMITTED,
                    message,
                    need.source.names(),
                    remedy,
                    need.change.origin,
                    need.change.subject,
                    need.change.field,
                    need.change,
                )
            )


def _owners_change(rule: Rule) -> bool:
    return rule.owned is not None and rule.owned.how == "change"


def _covers(effect: Effect, selector: Selector | None, leaf: Leaf) -> bool:
    return selector is None or selector.leaf(effect, leaf) == YES


def _gap(
    effect: Effect,
    mine: Sequence[Candidate],
    leaves: Leaves,
    used: dict[str, Rule],
) -> Leaf | None:
    """The first smallest difference that none of these allow; notes the rules that are used."""
    whole = [rule for rule, _who, selector in mine if selector is None or selector.whole]
    if whole:
        used.update((rule.name, rule) for rule in whole)
        parts = [(rule, selector) for rule, _who, selector in mine if selector is not None and not selector.whole]
        used.update((rule.name, rule) for rule, one in parts if any(_covers(effect, one, leaf) for leaf in leaves()))
        return None
    for leaf in leaves():
        covering = [rule for rule, _who, selector in mine if _covers(effect, selector, leaf)]
        if not covering:
            return leaf
        used.update((rule.name, rule) for rule in covering)
    return None


def _people(names: Sequence[str]) -> str:
    """ "role a and role b or user c", from ("role:a and role:b", "user:c")."""
    return " or ".join(AND.join(part.replace(":", " ", 1) for part in name.split(AND)) for name in names) or "nobody"


def _exception(rule: Rule) -> str:
    words = way_out(rule)
    return f"{words[0].upper()}{words[1:]}"


def _ask(names: Sequence[str], but: Who | None = None) -> str:
    whom = f"not {_people(but.names())}" if but is not None and ANYONE in names else _people(names)
    return f"Ask somebody who is {whom} to make the change in a pull request of their own."


def owners_by(files: Mapping[str, Callable[[str], Collection[str] | None]]) -> Owners:
    """An Owners function over look-ups by file name."""

    def owners(file: str, path: str) -> Collection[str] | None:
        look_up = files.get(file)
        return look_up(path) if look_up is not None else None

    return owners

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Exceptions: who answers for one, which of them a change of the policy brings, and what stands in their way.

A name in `approved_by` is proven once, when the exception is merged: by that person's approval of that very head.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    NOT_PERMITTED,
    PROHIBIT,
    Finding,
    Person,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Crowd, folded
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Exempt, Policy, Rule


class Brought(NamedTuple):
    """An exception that a change of the policy brings, and the rule that it is of."""

    rule: Rule
    exception: Exempt


def answers_for(one: Exempt, person: Person) -> bool:
    """Whether somebody is the person who answers for an exception.

    Raises:
        IdentityError: a login is written to look like another.
    """
    return folded(person.login) == folded(one.approver)


def differing(some: Iterable[Exempt], others: Iterable[Exempt]) -> list[Exempt]:
    """Those of `some` that are not among `others` just as they are written."""
    known = [one.raw for one in others]
    return [one for one in some if not any(same(one.raw, raw) for raw in known)]


def brought(before: Policy, after: Policy) -> list[Brought]:
    """The exceptions that are new or not as they were; one whose rule has another name now is new."""
    old = {rule.name: rule.exceptions for rule in before.rules}
    return [Brought(rule, one) for rule in after.rules for one in differing(rule.exceptions, old.get(rule.name, ()))]


def objections(before: Policy, after: Policy, crowd: Crowd, now: datetime) -> list[Finding]:
    """What prohibits the exceptions that a change of the policy brings.

    Args:
        before: the policy in force, as far as it can be read.
        after: the policy as the change would have it.
        crowd: who is behind the change, and who approved its head.
        now: from when on they are counted.

    Raises:
        IdentityError: a login is written to look like another.
    """
    out = []
    for rule, one in brought(before, after):
        for message, remedy in (_approval(one, crowd), _length(one, before.settings.longest_exception, now)):
            if message:
                who = (one.approved_by,)
                out.append(Finding(rule.name, PROHIBIT, NOT_PERMITTED, message, who, remedy, one.origin))
    return out


def _approval(one: Exempt, crowd: Crowd) -> tuple[str, str]:
    """What is missing of the approval that an exception names, and how to go on; "" where nothing is."""
    if any(answers_for(one, who.person) for who in crowd.behind if not who.unknown):
        return (
            f"{one.approver} answers for this exception and is behind the change; nobody approves their own",
            "Name somebody else in approved_by and ask them to approve, or let somebody else make the change.",
        )
    if any(answers_for(one, person) for person in crowd.approvers):
        return "", ""
    notes = "; ".join(crowd.notes)
    return (
        f"this exception is new or has changed, and {one.approver}, who answers for it, has not approved the head",
        f"Ask {one.approver} to approve the head" + (f" ({notes})." if notes else "."),
    )


def _length(one: Exempt, longest: int | None, now: datetime) -> tuple[str, str]:
    if longest is None or one.until.date() <= now.astimezone(one.until.tzinfo).date() + timedelta(days=longest):
        return "", ""
    until = one.until.strftime("%Y-%m-%d")
    return (
        f"this exception holds until {until}, which is more than {longest} days from now",
        "Let it end sooner; policy/settings.yml says how long an exception may be.",
    )

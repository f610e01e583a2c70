# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who can change what by a policy, and what may somebody change: asked of the rules, without a change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Subject, Value
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import Answer, Area, areas, ask, field, texts
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    OBJECT,
    PATH,
    VARIABLE,
    Effect,
    Reached,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import Fields, Leaf, PatternError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Person, PolicyError, Teams
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Members
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy


def who(policy: Policy, path: str, kind: str = "", name: str = "", field_path: str = "") -> Answer:
    """Who may change a path, an object in it ("Deployment.apps", "namespace/name"), or a field or variable.

    Raises:
        PolicyError: the field path cannot be understood.
    """
    try:
        steps = field(Fields([field_path])) if field_path else None
    except PatternError as error:
        raise PolicyError(str(error)) from error
    layout = policy.settings.layout
    type_ = OBJECT if kind else VARIABLE if steps else PATH
    reached: tuple[Reached, ...] = ()
    subject = Subject("path", path)
    if type_ == OBJECT:
        subject = Subject(kind, name or "*")
    elif steps:
        subject = Subject("variable", str(steps[0]))
        reached = (Reached("", frozenset({"all"})),)
    change = Change(subject, (), "before", "after")
    environment = layout.environment(path)
    effect = Effect(type_, subject, "before", "after", (change,), (path,), environment=environment, reached=reached)
    return ask(policy, Area("", effect, Leaf(steps or (), "before", "after")))


def report(tree: Files, teams: Teams | None = None) -> dict[str, Value]:
    """The whole matrix of areas and who may change them; rules that never match, areas nobody may change, strangers.

    Raises:
        RulesError: the policy is broken.
    """
    policy = _load.load(tree)
    matrix = [{"area": area.text, **shown(ask(policy, area))} for area in areas([policy])]
    known = {row["area"] for row in matrix}
    never = [rule.name for rule in policy.rules if rule.selectors and not known & set(texts(rule))]
    return {
        "matrix": matrix,
        "never_match": never,
        "nobody_may": [row["area"] for row in matrix if not row["who"]],
        "unknown_members": _strangers(policy, teams),
    }


def may(policy: Policy, person: Person, teams: Teams | None) -> list[str]:
    """The areas in which somebody may change something.

    Raises:
        IdentityError: whether they are in a team cannot be told.
    """
    members = Members(policy, teams)
    out = []
    for area in areas([policy]):
        if ask(policy, area).held(partial(members.is_one, person)):
            out.append(area.text)
    return out


def shown(answer: Answer) -> dict[str, Any]:
    """An Answer as JSON."""
    grants = [{"rule": one.rule, "who": str(one.who), "condition": one.condition} for one in answer.grants]
    limits = [
        {"rule": one.rule, "demands": one.restriction.text, "condition": one.condition, "always": one.surely}
        for one in answer.limits
    ]
    return {"who": sorted(answer.names()), "by": grants, "limits": limits}


def _strangers(policy: Policy, teams: Teams | None) -> list[str]:
    """Members of roles that are certainly nowhere."""
    out = []
    for member in sorted({member for role in policy.roles.values() for member in role.members}):
        kind, _, name = member.partition(":")
        if teams is None or name in policy.teams:
            continue
        gone = teams.members(name) is None if kind == "team" else kind == "user" and teams.exists(name) is False
        out += [member] if gone else []
    return out


def as_text(found: Mapping[str, Any]) -> str:
    """A report for people."""
    lines = []
    for row in found.get("matrix", [found]):
        lines.append(f"{row.get('area', 'who may change it')}: {', '.join(row['who']) or 'nobody'}")
        for one in row["by"]:
            lines.append(f"  by rule {one['rule']}" + (f" ({one['condition']})" if one["condition"] else ""))
        for one in row["limits"]:
            when = one["condition"] or ("" if one["always"] else "perhaps")
            lines.append(f"  {one['demands']} (rule {one['rule']}{', ' if when else ''}{when})")
    for key, title in (
        ("never_match", "Rules that can never match"),
        ("nobody_may", "Areas that nobody may change"),
        ("unknown_members", "Members that exist nowhere"),
    ):
        if found.get(key):
            lines.append(f"{title}: {'; '.join(found[key])}")
    return "\n".join(lines) + "\n"

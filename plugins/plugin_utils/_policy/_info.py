# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who can change what by a policy, and what may somebody change: asked of the rules, without a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Subject, Value
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import (
    Area,
    Grant,
    Limit,
    Restriction,
    areas,
    ask,
    field,
    texts,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._codeowners import CodeOwners, of_rules, principal
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    OBJECT,
    PATH,
    VARIABLE,
    Effect,
    Layout,
    Reached,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import YAML_SUFFIXES, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import Side
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import Fields, Leaf, PatternError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    IdentityError,
    Person,
    PolicyError,
    Teams,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Members
from ansible_collections.weft.platform.plugins.plugin_utils._policy._presence import Presence
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy, Selector, Who
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import visible
from ansible_collections.weft.platform.plugins.plugin_utils._policy._variables import environments_of


def who(tree: Files, path: str, kind: str = "", name: str = "", field_path: str = "") -> dict[str, Any]:
    """Who may change a path, an object in it ("Deployment.apps", "namespace/name"), or a field or variable.

    Others perhaps may: of a path alone, by the objects or variables in it; of a kind without a name, by which is meant.

    Raises:
        RulesError: the policy is broken.
        PolicyError: the field path cannot be understood, there is no such kind, or a CODEOWNERS file that rules ask for
            cannot be read.
    """
    policy = _load.load(tree)
    try:
        steps = field(Fields([field_path])) if field_path else None
    except PatternError as error:
        raise PolicyError(str(error)) from error
    layout = policy.settings.layout
    type_ = OBJECT if kind else VARIABLE if steps else PATH
    reached: tuple[Reached, ...] = ()
    subject = Subject("path", path)
    if type_ == OBJECT:
        subject = Subject(_kind(kind), name or "*")
    elif steps:
        subject = Subject("variable", str(steps[0]))
        reached = _reached(tree, layout, path)
    change = Change(subject, (), "before", "after")
    environment = layout.environment(path)
    effect = Effect(type_, subject, "before", "after", (change,), (path,), environment=environment, reached=reached)
    files = of_rules(policy, tree)

    def owners(file: str, _area: Area) -> tuple[Who, str]:
        return _any(files[file].principals(path) or ()), ""

    area = Area("", effect, Leaf(steps or (), "before", "after"))
    answer = ask(policy, area, owners)
    others = answer.others()
    if type_ == PATH and path.endswith(_OF_OBJECTS):
        others = ask(policy, area._replace(effect=effect._replace(opaque=True)), owners).others()
    return {
        "who": sorted(answer.names()),
        **_shown(answer.grants, answer.limits),
        "perhaps": [{"rule": one.rule, "who": str(one)} for one in others],
        "there": tree.entry(path) is not None,
    }


#: Names of files in which objects and variables may be.
_OF_OBJECTS = (".yml", ".yaml", ".json")


def _kind(name: str) -> str:
    """A kind with its group, as subjects have it, from the kind alone where it is Kubernetes' own.

    Raises:
        PolicyError: Kubernetes has no such kind, so that its group must be said.
    """
    if "." in name:
        return name
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import schemas  # dear

    found = schemas().elsewhere(name, "v1")  # the core's first
    if not found:
        raise PolicyError(f"Kubernetes has no kind {name}; write one of a definition with its group, {name}.GROUP")
    group = found[0].rpartition("/")[0]
    return f"{name}.{group}" if group else name


def _reached(tree: Files, layout: Layout, path: str) -> tuple[Reached, ...]:
    """Whom the variables of a file reach by the inventories as they are; its group or host where nobody is there."""
    inventory, *rest = path.removeprefix(f"{layout.inventories}/").split("/")
    own = len(rest) > 1 and rest[0] in ("group_vars", "host_vars")
    kind, name = (rest[0].removesuffix("_vars"), rest[1]) if own else ("group", "all")
    name = next((name.removesuffix(end) for end in YAML_SUFFIXES if name.endswith(end)), name)
    names = sorted(environments_of([tree], layout)) if inventory == layout.base else [inventory]
    side = Side(tree, layout, _yaml.Limits())
    found = set()
    for groups in map(side.groups, names or [layout.base]):
        hosts = groups.members.get(name, ()) if kind == "group" else {name} & groups.of_host.keys()
        found |= {Reached(host, groups.of_host[host]) for host in hosts}
    alone = Reached(name, frozenset({"all"})) if kind == "host" else Reached("", frozenset({name, "all"}))
    return tuple(sorted(found, key=lambda one: (one.host, sorted(one.groups)))) or (alone,)


def _any(names: Iterable[str]) -> Who:
    return Who("any", of=tuple(Who("one", name) for name in names))


def report(tree: Files, teams: Teams | None = None) -> dict[str, Value]:
    """The whole matrix of areas and who may change them; rules that never match, areas nobody may change, strangers.

    Raises:
        RulesError: the policy is broken.
        PolicyError: a forge that is asked for its teams gives no answer.
    """
    policy = _load.load(tree)
    matrix = []
    for area in areas([policy]):
        answer = ask(policy, area)
        matrix.append({"area": area.text, "who": sorted(answer.names()), **_shown(answer.grants, answer.limits)})
    try:
        owners, wrong = of_rules(policy, tree), []
    except PolicyError as error:
        owners, wrong = {}, [str(error)]
    presence = Presence(policy, tree, owners)
    known = {row["area"] for row in matrix}
    never = [rule.name for rule in policy.rules if rule.selectors and not known & set(texts(rule))]
    return {
        "matrix": matrix,
        "never_match": never,
        "nobody_may": [row["area"] for row in matrix if not row["who"]],
        "no_rule_allows": presence.not_allowed(),
        "match_nothing": presence.about_nothing(),
        **_strangers(policy, teams),
        "codeowners": [*wrong, *(str(problem) for parsed in owners.values() for problem in parsed.problems)],
    }


def may(tree: Files, person: Person, teams: Teams | None) -> list[dict[str, Any]]:
    """The areas in which somebody may change something, by which rules, and what these demand of them.

    Raises:
        RulesError: the policy is broken.
        IdentityError: whether they are in a team cannot be told.
        PolicyError: a CODEOWNERS file that rules ask for cannot be read.
    """
    policy = _load.load(tree)
    is_one = partial(Members(policy, teams).is_one, person)
    owned = _Owned(policy, tree, person, is_one)
    out = []
    for area in areas([policy]):
        answer = ask(policy, area, owned)
        held = answer.held(is_one)
        if held:
            limits = [one for one in answer.limits if _concerns(one.restriction, is_one)]
            out.append({"area": area.text, **_shown(held, limits)})
    return out


class _Owned:
    """What of an area is somebody's, of the files that there are, by the CODEOWNERS files that rules ask for."""

    def __init__(self, policy: Policy, tree: Files, person: Person, is_one: Callable[[Who], bool]) -> None:
        self._name = f"user:{person.login}"
        self._layout = policy.settings.layout
        self._is_one = is_one
        self._theirs: dict[str, dict[str, str]] = {
            name: self._lines(parsed, tree) for name, parsed in of_rules(policy, tree).items()
        }

    def _lines(self, parsed: CodeOwners, tree: Files) -> dict[str, str]:
        """The files that are somebody's, each with the line that says so."""
        mine = {line for line in parsed.lines if self._is_one(_any(map(principal, line.owners)))}
        lines = ((entry.path, parsed.line_of(entry.path)) for entry in tree.walk())
        return {path: f"{parsed.file}:{line.line}" for path, line in lines if line in mine and line is not None}

    def __call__(self, file: str, area: Area) -> tuple[Who, str]:
        """The person where something of it is theirs, and which lines say so."""
        found = {line for path, line in self._theirs[file].items() if self._inside(area.selector, path)}
        return _any([self._name] if found else []), f"what is theirs by {', '.join(sorted(found))}"

    def _inside(self, selector: Selector, path: str) -> bool:
        fits = selector.file is None or selector.file.matches(path)
        return fits and (selector.environment is None or selector.environment.matches(self._layout.environment(path)))


def _concerns(restriction: Restriction, is_one: Callable[[Who], bool]) -> bool:
    """Whether a restriction is one for somebody; what cannot be told is."""
    try:
        if restriction.concerns is not None and not is_one(restriction.concerns):
            return False
        return restriction.spares is None or not is_one(restriction.spares)
    except IdentityError:
        return True


def _shown(grants: Iterable[Grant], limits: Iterable[Limit]) -> dict[str, Any]:
    """Grants and limits as JSON."""
    return {
        "by": [{"rule": one.rule, "who": str(one), "condition": one.condition} for one in grants],
        "limits": [
            {"rule": one.rule, "demands": one.restriction.text, "condition": one.condition, "always": one.surely}
            for one in limits
        ],
    }


def _members(policy: Policy) -> dict[str, list[str]]:
    """The users and teams that a policy names anywhere, each with where."""
    found: dict[str, dict[str, None]] = {}

    def note(place: str, names: Iterable[str]) -> None:
        for name in names:
            if name.startswith(("user:", "team:")):
                found.setdefault(name, {})[place] = None

    for role in policy.roles.values():
        note(f"role {role.name}", role.members)
    note("owners", policy.owners.atoms() if policy.owners is not None else ())
    for team, logins in policy.teams.items():
        note(f"team {team}", (f"user:{login}" for login in logins))
    note("people", (f"user:{login}" for login in policy.people))
    for rule in policy.rules:
        for who in (*rule.favoured, *((rule.denied,) if rule.denied is not None else ())):
            note(f"rule {rule.name}", who.atoms())
        note(f"rule {rule.name}", (one.approved_by for one in rule.exceptions))
    return {name: sorted(places) for name, places in sorted(found.items())}


def _strangers(policy: Policy, teams: Teams | None) -> dict[str, list[Value]]:
    """Users and teams that certainly are nowhere, and those of whom it cannot be told, each with where it is named.

    Raises:
        PolicyError: a forge gives no answer.
    """
    out: dict[str, list[Value]] = {"unknown_members": [], "untold_members": []}
    own = {team.lower() for team in policy.teams}
    for name, places in _members(policy).items() if teams is not None else ():
        kind, _, bare = name.partition(":")
        there = True if kind == "team" and bare.lower() in own else _exists(teams, kind, bare)
        if not there:
            out["untold_members" if there is None else "unknown_members"].append({"member": name, "named_in": places})
    return out


def _exists(teams: Teams | None, kind: str, name: str) -> bool | None:
    if teams is None:
        return None
    try:
        return teams.members(name) is not None if kind == "team" else teams.exists(name)
    except IdentityError:
        return None


#: Lists of what is odd about a policy, and what they are called.
_ODD = (
    ("never_match", "Rules that can never match"),
    ("nobody_may", "Areas that nobody may change"),
    ("no_rule_allows", "Paths in which no rule allows anything"),
    ("match_nothing", "Matches nothing in this repository now"),
    ("unknown_members", "Members that exist nowhere"),
    ("untold_members", "Members of whom it cannot be told whether they exist"),
    ("codeowners", "Lines of CODEOWNERS that do not count"),
)


def _worded(odd: Any) -> str:
    return f"{odd['member']} ({', '.join(odd['named_in'])})" if isinstance(odd, dict) else str(odd)


def as_text(found: Mapping[str, Any]) -> str:
    """What `who` or `report` says, or `may` as {"may": ...}, for people."""
    lines = []
    rows = found["may"] if "may" in found else found.get("matrix", [{"area": "who may change it", **found}])
    for row in rows:
        lines.append(f"{row['area']}: {', '.join(row['who']) or 'nobody'}" if "who" in row else str(row["area"]))
        for one in row["by"]:
            lines.append(f"  by rule {one['rule']}" + (f" ({one['condition']})" if one["condition"] else ""))
        for one in row.get("perhaps", ()):
            lines.append(f"  perhaps {one['who']}, by what is in it (rule {one['rule']})")
        for one in row["limits"]:
            when = one["condition"] or ("" if one["always"] else "perhaps")
            lines.append(f"  {one['demands']} (rule {one['rule']}{', ' if when else ''}{when})")
    for key, title in _ODD:
        worded = list(map(_worded, found.get(key, ())))
        lines += [f"{title}: {worded[0]}"] if len(worded) == 1 else [f"{title}:"] if worded else []
        lines += [f"  {one}" for one in worded] if len(worded) > 1 else []
    if found.get("there") is False:
        lines.append("There is no such file now.")
    return "\n".join(map(visible, lines or ["nothing"])) + "\n"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Areas: what rules speak about, each with a sample of a change in it, so that rules can be asked without a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Path, Subject, Value, same
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import TEMPLATES
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    HOST,
    OBJECT,
    PATH,
    VARIABLE,
    Effect,
    Layout,
    Reached,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import (
    NO,
    YES,
    Element,
    Fields,
    Leaf,
    Patterns,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    Deny,
    ObjectSelector,
    Policy,
    Rule,
    Selector,
    View,
    Ways,
    Who,
    beyond,
    both,
    fewest,
    named,
    views,
)

#: Texts that are tried where a selector only says what something is not.
_TRIES = ("x", "sample", "other", "a-b", "web", "default", "x.example.org")

#: Fields that are tried where a selector only says which it is not.
_FIELDS: tuple[Path, ...] = (("spec", "x"), ("x",), ("metadata", "annotations", "x"))


ADDED, CHANGED, REMOVED = ACTIONS = "added", "changed", "removed"

#: What can become of a whole subject, and of the smallest difference in it.
_CASES = tuple(
    (whole, part)
    for whole in ACTIONS
    for part in ACTIONS
    if whole == CHANGED or part == whole  # what comes or goes takes all of it along
)

#: What stands for the code owners of an area.
CODE_OWNERS = "code owners"


class Area(NamedTuple):
    """Something that rules speak about, and a sample of it.

    effect, leaf  the sample: an Effect and a smallest difference in it
    selector      what it is the sample of; an empty one for what is asked without a rule
    raw           the selector as written
    """

    text: str
    effect: Effect
    leaf: Leaf
    selector: Selector = Selector()
    raw: Mapping[str, Value] = {}


class Grant(NamedTuple):
    """A rule that allows something of an area, to whom, and under which condition ("" for none).

    who  None for code owners of whom nobody can say who they are, for they are others from file to file
    """

    rule: str
    who: Who | None
    condition: str

    def __str__(self) -> str:
        return CODE_OWNERS if self.who is None else str(self.who)

    def ways(self) -> Ways:
        """The ways to be somebody whom it allows something."""
        return frozenset([frozenset([CODE_OWNERS])]) if self.who is None else self.who.ways()


class Restriction(NamedTuple):
    """What a part of a rule demands, in words.

    concerns  of whom alone
    spares    where all behind a change are these, it is not demanded
    """

    part: str
    text: str
    concerns: Who | None = None
    spares: Who | None = None


class Limit(NamedTuple):
    """A rule that restricts an area, and under which condition ("" for none).

    surely  False where it depends on the change, or may do so
    """

    rule: str
    restriction: Restriction
    condition: str
    surely: bool


class Answer(NamedTuple):
    """Who may change something, and what restricts it.

    perhaps       rules that may allow something of it, by what is in the change
    denies, only  of the limits: those that hold whatever the change
    """

    policy: Policy
    grants: tuple[Grant, ...]
    limits: tuple[Limit, ...]
    perhaps: tuple[Grant, ...] = ()
    denies: tuple[Deny, ...] = ()
    only: tuple[Who, ...] = ()

    def ways(self) -> Ways:
        """The ways to be somebody whom the rules allow it to."""
        if any(one.to is None for one in self.denies):
            return frozenset()
        granted = fewest(way for grant in self.grants for way in grant.ways())
        allowed = both(granted, *(one.ways() for one in self.only))
        denied = frozenset(way for one in self.denies if one.to is not None for way in one.to.ways())
        return frozenset(beyond(allowed, denied, self.policy.widened) if denied else allowed)

    def others(self) -> list[Grant]:
        """Of what perhaps is allowed, that by which others may than those who may whatever the change."""
        ways = self.ways()
        return [one for one in self.perhaps if beyond(self._replace(grants=(one,)).ways(), ways)]

    def names(self) -> set[str]:
        """The roles, teams and users that the rules allow it to."""
        return set(named(self.ways()))

    def held(self, is_one: Callable[[Who], bool]) -> list[Grant]:
        """The grants that somebody has, by whether they are whom a rule means; none where something denies it all."""
        if any(one.to is None or is_one(one.to) for one in self.denies) or not all(is_one(one) for one in self.only):
            return []
        return [grant for grant in self.grants if grant.who is not None and is_one(grant.who)]


#: Gives the code owners of an area by the name of a CODEOWNERS file in a rule ("" for the usual one), and of what of it
#: they are; None where that cannot be told.
OwnersOf = Callable[[str, Area], tuple[Who, str] | None]


def ask(
    policy: Policy, area: Area, owners: OwnersOf = lambda _file, _area: None, actions: Sequence[str] = ()
) -> Answer:
    """Who may make a change like this, by which rules; values before and after are left open.

    Args:
        policy: the rules.
        area: what is asked about.
        owners: says who the code owners are.
        actions: ask only about these of what the area leaves open.
    """
    area, cases = _seen(policy, area, actions)
    pod = _pod_of(area, cases)
    grants: list[Grant] = []
    maybe: list[Grant] = []
    limits: list[Limit] = []
    certain: list[Rule] = []
    for rule in policy.rules:
        seen = (cases, pod) if rule.requires and pod else (cases,)
        fits = [_Fit(policy, one, raw, area, some) for some in seen for one, raw in _selectors(rule)]
        means = [one for one in fits if any(one.surely)]
        owning = owners(rule.owned.file, area) if rule.owned is not None else None
        condition = _condition(means)
        if means:
            grants += _grants(rule, owning, condition)
        perhaps = [one for one in fits if any(one.perhaps)]
        if perhaps:
            maybe += _grants(rule, owning, "") if not means else ()
            surely = bool(means) and not condition
            when = "" if surely else _condition(perhaps)
            # of a part of it, the owners of the rest are others
            known = owning[0] if owning is not None and not owning[1] else None
            limits += [Limit(rule.name, one, when, surely) for one in restrictions(rule, known)]
            certain += [rule] if surely else []
    denies = tuple(rule.deny for rule in certain if rule.deny is not None)
    only = tuple(rule.only for rule in certain if rule.only is not None)
    return Answer(policy, tuple(grants), tuple(limits), tuple(maybe), denies, only)


def touched(policy: Policy, rules: Iterable[Rule], area: Area) -> bool:
    """Whether any of some rules of a policy may be about something in an area."""
    area, cases = _seen(policy, area, ())
    return any(any(_Fit(policy, one, raw, area, cases).perhaps) for rule in rules for one, raw in _selectors(rule))


#: A sample as it is in one case, and its angles.
_Case = tuple[Effect, Leaf, Sequence[View]]


def _seen(policy: Policy, area: Area, actions: Sequence[str]) -> tuple[Area, list[_Case]]:
    """An area as a policy sees it, in each case that it tells apart."""
    if area.selector.environment is None:  # whose the file is, is for this policy to say
        environment = policy.settings.layout.environment(area.effect.files[0])
        area = area._replace(effect=area.effect._replace(environment=environment))
    samples = _cases(area, actions or area.selector.action or ACTIONS)
    if not policy.by_action:
        samples = samples[:1]
    return area, [(effect, leaf, views(effect, policy.by_host)) for effect, leaf in samples]


def _pod_of(area: Area, cases: Sequence[_Case]) -> list[_Case]:
    """The Pod that a workload makes, which content rules mean as well, in each case; [] where it makes none."""
    kind, _, group = area.effect.subject.type.partition(".")
    if area.effect.type != OBJECT or not TEMPLATES.get((group, kind)):
        return []
    out: list[_Case] = []
    for effect, leaf, angles in cases:
        made = effect._replace(subject=Subject("Pod", effect.subject.name))
        out.append((made, leaf, [angle._replace(effect=made) for angle in angles]))
    return out


def _grants(rule: Rule, owning: tuple[Who, str] | None, condition: str) -> Iterator[Grant]:
    if rule.allowed is not None:
        yield Grant(rule.name, rule.allowed, condition)
    if owners_change(rule):
        who, part = owning or (None, "")
        if who is None or who.of:
            yield Grant(rule.name, who, "; ".join(filter(None, (condition, part))))


def owners_change(rule: Rule) -> bool:
    """Whether a rule lets code owners change something."""
    return rule.owned is not None and rule.owned.how == "change"


def _selectors(rule: Rule) -> Sequence[tuple[Selector, Mapping[str, Value]]]:
    """What a rule is about, each with how it is written; without `change`, that is everything or what it requires."""
    if rule.selectors:
        return list(zip(rule.selectors, _raw(rule)))
    return [(Selector(), {})] if rule.owned is not None else [(one.selector, {}) for one in rule.requires]


def _raw(rule: Rule) -> list[Mapping[str, Value]]:
    raw = rule.raw.get("change", {})
    return raw if isinstance(raw, list) else [raw]


class _Fit:
    """How a selector fits an area: in which of its cases surely, in which perhaps."""

    def __init__(
        self,
        policy: Policy,
        selector: Selector,
        raw: Mapping[str, Value],
        area: Area,
        cases: Sequence[_Case],
    ) -> None:
        scoped = policy.settings.cluster_scoped
        bare = selector._replace(old=None, new=None)
        self.action = selector.action
        # of a value, nothing is known but what the area itself says in the same words
        self.open = (selector.old is not None or selector.new is not None) and not all(
            same(raw.get(key), area.raw.get(key)) for key in ("field", "old", "new")
        )
        self.perhaps = [
            any(bare.meets(view, True, scoped) for view in angles) and bare.leaf(effect, leaf) != NO
            for effect, leaf, angles in cases
        ]
        self.surely = [
            hit and min(min(bare.meets(view, False, scoped) for view in angles), bare.leaf(effect, leaf)) == YES
            for hit, (effect, leaf, angles) in zip(self.perhaps, cases)
        ]

    @property
    def condition(self) -> str:
        """When it fits, in words; "" for always."""
        when = "" if all(self.surely) or not self.action else f"when {' or '.join(self.action)}"
        return ", ".join(filter(None, (when, "for some values" if self.open else "")))


def _condition(fits: Sequence[_Fit]) -> str:
    """When any of them fits, in words; "" for always."""
    closed = [one.surely for one in fits if not one.open]
    if closed and all(map(any, zip(*closed))):
        return ""
    return "; or ".join(dict.fromkeys(one.condition for one in fits if one.condition))


def _cases(area: Area, actions: Sequence[str]) -> list[tuple[Effect, Leaf]]:
    """The sample as it is where these actions are taken: on the subject as a whole, or on the field that is named."""
    effect, leaf = area.effect, area.leaf
    inside = leaf.path[len(effect.root) :]
    out = []
    for whole, part in _CASES:
        if (whole if area.selector.whole else part) not in actions or (whole != part and not inside):
            continue
        old, new = (ABSENT if part == gone else value for gone, value in ((ADDED, leaf.before), (REMOVED, leaf.after)))
        before = ABSENT if whole == ADDED else _around(inside, old)
        after = ABSENT if whole == REMOVED else _around(inside, new)
        out.append((effect._replace(before=before, after=after), Leaf(leaf.path, old, new)))
    return out


def _around(path: Path, value: Value) -> Value:
    """A value that has this one at a path, and something beside it at every step."""
    if not path:
        return value
    inner = _around(path[1:], value)
    step, rest = path[0], [] if inner is ABSENT else [inner]
    if isinstance(step, Element):
        key, _, name = step[1:-1].partition("=")
        return [{key: f"not {name}"}, *({**one, key: name} if isinstance(one, dict) else one for one in rest)]
    if isinstance(step, int):
        return ["x"] * step + rest
    return {f"not {step}": "x", **({step: inner} if rest else {})}


def restrictions(rule: Rule, owners: Who | None = None) -> list[Restriction]:
    """What a rule demands.

    Args:
        rule: the rule.
        owners: the code owners where they are known; where there are none, nothing is demanded of them.
    """
    out = []
    if rule.deny is not None:
        to = rule.deny.to
        out.append(Restriction("deny", f"denied{f' to {to}' if to else ''}: {rule.deny.reason}", concerns=to))
    if rule.deny_unless is not None:
        out.append(Restriction("deny_unless", f"unless {rule.deny_unless.text}, it is denied"))
    if rule.only is not None:
        out.append(Restriction("only", f"only {rule.only}", spares=rule.only))
    if rule.approvals is not None:
        unless = f", unless all behind it are {rule.approvals.unless}" if rule.approvals.unless else ""
        plural = "approval" if rule.approvals.number == 1 else "approvals"
        text = f"{rule.approvals.number} {plural} by {rule.approvals.source}{unless}"
        out.append(Restriction("approvals", text, spares=rule.approvals.unless))
    if rule.owned is not None and rule.owned.how == "approve" and (owners is None or owners.of):
        of = f", {owners}" if owners is not None else ""
        out.append(Restriction("codeowners", f"approval by its code owners{of}"))
    if rule.requires:
        out.append(Restriction("require", f"must pass {', '.join(one.check for one in rule.requires)}"))
    return out


# -- samples ----------------------------------------------------------------------------------------------------------


def areas(policies: Iterable[Policy]) -> list[Area]:
    """Every area that rules of these policies speak about; those that nothing can be in are left out."""
    out: dict[str, Area] = {}
    for policy in policies:
        for rule in policy.rules:
            for selector, raw in zip(rule.selectors, _raw(rule)):
                found = sample(selector, written(raw), policy.settings.layout)
                if found is not None:
                    out.setdefault(found.text, found._replace(raw=raw))
    return [out[text] for text in sorted(out)]


def texts(rule: Rule) -> list[str]:
    """The selectors of a rule as one writes them."""
    return [written(one) for one in _raw(rule)]


def written(value: Value) -> str:
    """A part of a rule as one writes it, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inner(inner)}" for key, inner in sorted(value.items()))
    return _inner(value)


def _inner(value: Value) -> str:
    if isinstance(value, dict):
        return "{" + written(value) + "}"
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def sample(selector: Selector, text: str, layout: Layout) -> Area | None:
    """A sample of what a selector means; None when nothing was found that it means."""
    for type_ in _types(selector):
        found = _sample(selector, text, layout, type_)
        if found is not None:
            return found
    return None


def _types(selector: Selector) -> Sequence[str]:
    if selector.type:
        return (selector.type,)
    if selector.object is not None:
        return (OBJECT,)
    if selector.group is not None or selector.host is not None:
        return (VARIABLE, HOST)
    return (VARIABLE, OBJECT) if selector.field is not None else (PATH,)


def _sample(selector: Selector, text: str, layout: Layout, type_: str) -> Area | None:
    file = _path(selector.file) if selector.file is not None else "x"
    environment = _one(selector.environment) if selector.environment is not None else layout.environment(file or "x")
    path = field(selector.field) if selector.field is not None else None
    if file is None or environment is None or (selector.field is not None and path is None):
        return None
    reached: tuple[Reached, ...] = ()
    labels: Mapping[str, str] = {}
    if type_ == OBJECT:
        found = _object(selector.object or ObjectSelector())
        if found is None:
            return None
        subject, labels = found
    elif type_ == VARIABLE:
        subject = Subject("variable", str(path[0]) if path else "x", f"{layout.inventories}/{environment or 'x'}")
        reached = (_reached(selector),)
    else:
        subject = Subject(type_, file)
        reached = (_reached(selector),) if type_ == HOST else ()
    effect = Effect(
        type_,
        subject,
        "before",
        "after",
        (Change(subject, (), "before", "after"),),
        (file,),
        environment=environment,
        reached=reached,
        labels=(tuple(sorted(labels.items())),),
    )
    whole = path if path is not None else (subject.name,) if type_ == VARIABLE else ("spec", "x")
    area = Area(text, effect, Leaf(whole, "before", "after"), selector)
    bare = selector._replace(old=None, new=None, action=())
    fits = all(bare.meets(view, False) for view in views(effect, True)) and bare.leaf(effect, area.leaf)
    return area if fits else None


def _reached(selector: Selector) -> Reached:
    host = (_one(selector.host) if selector.host is not None else "") or "x"
    group = (_one(selector.group) if selector.group is not None else "") or "x"
    return Reached(host, frozenset({"all", group} if not _excludes(selector.group, "all") else {group}))


def _excludes(patterns: Patterns | None, name: str) -> bool:
    return patterns is not None and any(one.matches(name) for one in patterns.negative)


def _object(selector: ObjectSelector) -> tuple[Subject, Mapping[str, str]] | None:
    kind = _one(selector.kind, ("ConfigMap", "Deployment")) if selector.kind is not None else "ConfigMap"
    group = _one(selector.group, ("example.org",)) if selector.group is not None else ""
    namespace = _one(selector.namespace) if selector.namespace is not None else "x"
    name = _one(selector.name) if selector.name is not None else "x"
    labels = {key: _one(patterns) for key, patterns in selector.labels}
    if kind is None or group is None or namespace is None or name is None or None in labels.values():
        return None
    kind, _, inside = kind.partition(".")
    group = inside or ("" if group == "core" else group)
    subject = Subject(f"{kind}.{group}" if group else kind, f"{namespace}/{name}" if namespace else name)
    return subject, {key: value for key, value in labels.items() if value is not None}


def _one(patterns: Patterns | None, tries: Sequence[str] = ()) -> str | None:
    """A text that the patterns mean."""
    if patterns is None:
        return None
    literal = [_literal(item) for item in patterns.items if not item.startswith("!")]
    return next((text for text in (*literal, *tries, *_TRIES) if text and patterns.matches(text)), None)


def _path(patterns: Patterns) -> str | None:
    literal = [_literal(item).strip("/") for item in patterns.items if not item.startswith("!")]
    tries = [text.replace("**", "x") for text in literal]
    inside = [f"{text}/x" for text in tries]
    return next((text for text in (*literal, *tries, *inside, *_TRIES, "x/x") if patterns.matches(text)), None)


def _literal(pattern: str) -> str:
    """A text that a glob could mean: wildcards become x, classes their first character."""
    out, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            out += pattern[at + 1]
            at += 1
        elif character == "[" and "]" in pattern[at + 1 :]:
            out += pattern[at + 1]
            at = pattern.index("]", at + 1)
        elif character in "*?":
            out += "" if out.endswith("x") and character == "*" else "x"
        else:
            out += character
        at += 1
    return out


def field(fields: Fields) -> Path | None:
    """A field path that the patterns mean."""
    tries: list[Path] = [_steps(one) for one in fields.positive]
    return next((path for path in (*tries, *_FIELDS) if any(sure == YES for sure, _length in fields.nodes(path))), None)


def _steps(pattern: Any) -> Path:
    out: list[Any] = []
    for step in pattern.steps:
        if hasattr(step, "pattern"):
            out.append(_literal(step.pattern))
        elif hasattr(step, "place"):
            out.append(step.place)
        elif hasattr(step, "glob"):
            out.append(Element(f"[{step.key}={_literal(step.glob.pattern)}]"))
        elif isinstance(step, tuple):
            out.append(Element("[name=x]"))
    return tuple(out)

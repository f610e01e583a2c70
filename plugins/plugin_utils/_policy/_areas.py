# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Areas: what rules speak about, each with a sample of a change in it, so that rules can be asked without a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Path, Subject, Value
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
    Ways,
    Who,
    both,
    fewest,
    named,
    views,
)

#: Texts that are tried where a selector only says what something is not.
_TRIES = ("x", "sample", "other", "a-b", "web", "default", "x.example.org")

#: Fields that are tried where a selector only says which it is not.
_FIELDS: tuple[Path, ...] = (("spec", "x"), ("x",), ("metadata", "annotations", "x"))


class Area(NamedTuple):
    """Something that rules speak about, and a sample of it: an Effect and a smallest difference in it."""

    text: str
    effect: Effect
    leaf: Leaf


class Grant(NamedTuple):
    """A rule that allows something of an area, to whom, and under which condition ("" for none)."""

    rule: str
    who: Who
    condition: str


class Limit(NamedTuple):
    """A rule that restricts an area: in words; `surely` is False where it depends on the change."""

    rule: str
    text: str
    surely: bool


class Answer(NamedTuple):
    """Who may change something, and what restricts it.

    denies, only  of the limits: those that hold whatever the change
    """

    grants: tuple[Grant, ...]
    limits: tuple[Limit, ...]
    denies: tuple[Deny, ...] = ()
    only: tuple[Who, ...] = ()

    def ways(self) -> Ways:
        """The ways to be somebody whom the rules allow it to."""
        if any(one.to is None for one in self.denies):
            return frozenset()
        granted = fewest(way for grant in self.grants for way in grant.who.ways())
        denied = [way for one in self.denies if one.to is not None for way in one.to.ways()]
        allowed = both(granted, *(one.ways() for one in self.only))
        return frozenset(way for way in allowed if not any(one <= way for one in denied))

    def names(self) -> set[str]:
        """The roles, teams and users that the rules allow it to."""
        return set(named(self.ways()))

    def holds(self, is_one: Callable[[Who], bool]) -> bool:
        """Whether somebody may, by whether they are whom a rule means."""
        if any(one.to is None or is_one(one.to) for one in self.denies):
            return False
        return any(is_one(grant.who) for grant in self.grants) and all(is_one(one) for one in self.only)


def ask(policy: Policy, effect: Effect, leaf: Leaf) -> Answer:
    """Who may make a change like this, by which rules; values before and after are left open."""
    grants: list[Grant] = []
    limits: list[Limit] = []
    certain: list[Rule] = []
    for rule in policy.rules:
        means = [one for one in rule.selectors if _means(policy, one, effect, leaf, False) == YES]
        if rule.allowed is not None and means:
            plain = any(_condition(one) == "" for one in means)
            grants.append(Grant(rule.name, rule.allowed, "" if plain else _condition(means[0])))
        restricting = [one for one in rule.selectors if _means(policy, one, effect, leaf, True) != NO]
        if restricting:
            surely = any(_condition(one) == "" for one in means)
            limits += [Limit(rule.name, text, surely) for text in restrictions(rule)]
            certain += [rule] if surely else []
    denies = tuple(rule.deny for rule in certain if rule.deny is not None)
    return Answer(tuple(grants), tuple(limits), denies, tuple(rule.only for rule in certain if rule.only is not None))


def _means(policy: Policy, selector: Selector, effect: Effect, leaf: Leaf, restricting: bool) -> int:
    angles = views(effect, policy.by_host)
    scoped = policy.settings.cluster_scoped
    bare = selector._replace(old=None, new=None, action=())
    choose = max if restricting else min
    return min(choose(bare.meets(view, restricting, scoped) for view in angles), bare.leaf(effect, leaf))


def _condition(selector: Selector) -> str:
    parts = [f"when {' or '.join(selector.action)}"] if selector.action else []
    parts += ["for some values"] if selector.old is not None or selector.new is not None else []
    return ", ".join(parts)


def restrictions(rule: Rule) -> list[str]:
    """What a rule demands, in words."""
    out = []
    if rule.deny is not None:
        out.append(f"denied{f' to {rule.deny.to}' if rule.deny.to else ''}: {rule.deny.reason}")
    if rule.deny_unless is not None:
        out.append(f"unless {rule.deny_unless.text}, it is denied")
    if rule.only is not None:
        out.append(f"only {rule.only}")
    if rule.approvals is not None:
        unless = f", unless all behind it are {rule.approvals.unless}" if rule.approvals.unless else ""
        plural = "approval" if rule.approvals.number == 1 else "approvals"
        out.append(f"{rule.approvals.number} {plural} by {rule.approvals.source}{unless}")
    if rule.owned is not None:
        out.append("approval by its code owners" if rule.owned.how == "approve" else "its code owners may")
    if rule.requires:
        out.append(f"must pass {', '.join(one.check for one in rule.requires)}")
    return out


# -- samples ----------------------------------------------------------------------------------------------------------


def areas(policies: Iterable[Policy]) -> list[Area]:
    """Every area that rules of these policies speak about; those that nothing can be in are left out."""
    out: dict[str, Area] = {}
    for policy in policies:
        for rule in policy.rules:
            for selector, text in zip(rule.selectors, texts(rule)):
                found = sample(selector, text, policy.settings.layout)
                if found is not None:
                    out.setdefault(text, found)
    return [out[text] for text in sorted(out)]


def texts(rule: Rule) -> list[str]:
    """The selectors of a rule as one writes them."""
    raw = rule.raw.get("change", {})
    return [_written(one) for one in (raw if isinstance(raw, list) else [raw])]


def _written(value: Value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inner(inner)}" for key, inner in sorted(value.items()))
    return _inner(value)


def _inner(value: Value) -> str:
    if isinstance(value, dict):
        return "{" + _written(value) + "}"
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
    area = Area(text, effect, Leaf(whole, "before", "after"))
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
    return next((path for path in (*tries, *_FIELDS) if fields.node(path)[0] == YES), None)


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

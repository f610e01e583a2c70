# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The policy as data: roles, rules and settings.

A change is permitted when no rule denies it, at least one rule allows it to each person behind it, and every rule that
speaks about it (`only`, `approvals`, `require`) is satisfied; what no rule allows is prohibited.  The order of rules
and files never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product
from math import prod
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Path, Value
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
    MAYBE,
    NO,
    YES,
    Fields,
    Leaf,
    Patterns,
    Predicate,
    lookup,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import AND, PROHIBIT

#: The role that everybody is in whom the forge knows.
ANYONE = "anyone"
_EVERYBODY = frozenset([ANYONE])

#: Of more ways than these to be whom rules mean, none is told apart: who writes a policy must not make it endless.
_MANY_WAYS = 1000

#: Ways to be somebody: to be in everything that one of these sets names is enough.
Ways = frozenset[frozenset[str]]


def fewest(ways: Iterable[frozenset[str]]) -> Ways:
    """The ways without those that ask for more than another one does."""
    bare = {way - _EVERYBODY or way for way in ways}
    return frozenset(way for way in bare if len(way) == 1 or not any(other < way for other in bare))


def both(*several: Ways) -> Ways:
    """The ways to be everything that each of these is a way to be."""
    if len(several) > 1 and prod(map(len, several)) > _MANY_WAYS:
        several = tuple(frozenset([frozenset([f"({' or '.join(named(one))})"])]) for one in several)
    return fewest(frozenset().union(*chosen) for chosen in product(*several))


def beyond(
    ways: Ways, others: Ways, widened: Callable[[frozenset[str]], frozenset[str]] = frozenset
) -> list[frozenset[str]]:
    """Those of the ways that somebody may have who has none of the others, in order.

    Args:
        ways: the ways.
        others: the others.
        widened: gives all that somebody is who has a way, where more is known of that.
    """
    if _EVERYBODY in others:
        return []
    wide = {way: widened(way) for way in ways}
    return sorted((way for way in ways if not any(other <= wide[way] for other in others)), key=sorted)


def named(ways: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """The ways as names, sorted: "role:a", or "role:a and role:b" for who must be both."""
    return tuple(sorted(AND.join(sorted(way)) for way in ways))


#: Kinds of Kubernetes itself that are in no namespace, whatever an object of them says (API reference, v1.37).
CLUSTER_SCOPED = frozenset(
    f"{kind}.{group}" if group else kind
    for group, kinds in {
        "": ("Namespace", "Node", "PersistentVolume", "ComponentStatus"),
        "admissionregistration.k8s.io": (
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ),
        "apiextensions.k8s.io": ("CustomResourceDefinition",),
        "apiregistration.k8s.io": ("APIService",),
        "authentication.k8s.io": ("TokenReview", "SelfSubjectReview"),
        "authorization.k8s.io": ("SubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview"),
        "certificates.k8s.io": ("CertificateSigningRequest", "ClusterTrustBundle"),
        "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
        "internal.apiserver.k8s.io": ("StorageVersion",),
        "networking.k8s.io": ("IngressClass", "IPAddress", "ServiceCIDR"),
        "node.k8s.io": ("RuntimeClass",),
        "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding"),
        "resource.k8s.io": ("DeviceClass", "ResourceSlice", "DeviceTaintRule"),
        "scheduling.k8s.io": ("PriorityClass",),
        "storage.k8s.io": ("StorageClass", "VolumeAttachment", "CSIDriver", "CSINode", "VolumeAttributesClass"),
        "storagemigration.k8s.io": ("StorageVersionMigration",),
        "policy": ("PodSecurityPolicy",),
        "extensions": ("PodSecurityPolicy",),
    }.items()
    for kind in kinds
)


class Who(NamedTuple):
    """Whom a rule means.

    how      "one" (a name), "any" or "all" (of `of`)
    name     a role, "user:LOGIN", "team:TEAM" or ANYONE, for "one"
    """

    how: str
    name: str = ""
    of: tuple[Who, ...] = ()

    def __str__(self) -> str:
        if self.how == "one":
            return self.name if ":" in self.name or self.name == ANYONE else f"role:{self.name}"
        word = " or " if self.how == "any" else " and "
        inner = word.join(str(one) if one.how == "one" else f"({one})" for one in self.of)
        return inner or "nobody"

    def ways(self) -> Ways:
        """The ways to be whom it means, by names as findings show them."""
        if self.how == "one":
            return frozenset([frozenset([str(self)])])
        inner = [one.ways() for one in self.of]
        if self.how == "any" or not inner:
            return fewest(way for ways in inner for way in ways)
        return both(*inner)

    def atoms(self) -> Iterator[str]:
        """Each name in it, be it one of several that somebody must be."""
        if self.how == "one":
            yield self.name
        for one in self.of:
            yield from one.atoms()

    def names(self) -> tuple[str, ...]:
        """Everybody whom it means, as findings show them; who must be several things at once is one name."""
        return named(self.ways())


class Role(NamedTuple):
    """A role and its members ("user:x", "team:y", "role:z" or ANYONE)."""

    name: str
    members: tuple[str, ...]
    origin: Origin


class View(NamedTuple):
    """An Effect from one angle: in one of its files, with one of its label sets, at one host that it reaches."""

    effect: Effect
    file: str
    labels: Mapping[str, str]
    reached: Reached | None = None


def views(effect: Effect, by_host: bool) -> list[View]:
    """All angles of an Effect. What allows must allow each of them; what restricts is concerned by any.

    Args:
        effect: what happens.
        by_host: whether single hosts matter; else hosts of the same groups are one.
    """
    hosts: list[Reached | None] = [None]
    if effect.reached:
        seen = {(one.groups, one.host if by_host else "", one.unknown): one for one in effect.reached}
        hosts = list(seen.values())
    return [
        View(effect, file, dict(labels), host) for file in effect.files for labels in effect.labels for host in hosts
    ]


class ObjectSelector(NamedTuple):
    """Selects Kubernetes objects."""

    group: Patterns | None = None
    kind: Patterns | None = None
    namespace: Patterns | None = None
    name: Patterns | None = None
    labels: tuple[tuple[str, Patterns], ...] = ()

    def meets(self, view: View, cluster_scoped: frozenset[str]) -> int:
        """Whether the view's object is meant."""
        effect = view.effect
        if effect.type != OBJECT:
            return MAYBE if effect.opaque else NO
        namespace, slash, name = effect.subject.name.rpartition("/")
        kind, _, group = effect.subject.type.partition(".")
        return self.means(kind, group, namespace if slash else "", name, view.labels, cluster_scoped)

    def means(
        self,
        kind: str,
        group: str,
        namespace: str,
        name: str,
        labels: Mapping[str, str],
        cluster_scoped: frozenset[str],
    ) -> int:
        """Whether an object of these properties is meant."""
        if self.kind is not None and not self.kind.matches(kind, *([f"{kind}.{group}"] if group else [])):
            return NO
        if self.group is not None and not self.group.matches(group or "core"):
            return NO
        if self.name is not None and not self.name.matches(name):
            return NO
        for key, patterns in self.labels:
            if not (patterns.matches(labels[key]) if key in labels else not patterns.positive):
                return NO
        return self._namespace(kind, group, namespace, name, cluster_scoped)

    def _namespace(self, kind: str, group: str, namespace: str, name: str, cluster_scoped: frozenset[str]) -> int:
        """A namespace selector means what is certainly in such a namespace; what may be in any is MAYBE."""
        if self.namespace is None:
            return YES
        full = f"{kind}.{group}" if group else kind
        if full == "Namespace":
            return MAYBE if self.namespace.matches(name) else NO
        if full in CLUSTER_SCOPED or full in cluster_scoped:
            return NO
        if not namespace or (kind.startswith("Cluster") and "." in group):
            return MAYBE
        return YES if self.namespace.matches(namespace) else NO


class Node(NamedTuple):
    """A field that a selector means: how surely, its path, and its value before and after."""

    sure: int
    path: Path
    old: Value
    new: Value


class Selector(NamedTuple):
    """What a rule is about. Everything that is given must fit."""

    type: str = ""
    file: Patterns | None = None
    environment: Patterns | None = None
    group: Patterns | None = None
    host: Patterns | None = None
    object: ObjectSelector | None = None
    action: tuple[str, ...] = ()
    field: Fields | None = None
    old: Predicate | None = None
    new: Predicate | None = None

    @property
    def whole(self) -> bool:
        """Whether it means subjects as a whole, not fields of them."""
        return self.field is None

    def meets(self, view: View, restricting: bool, cluster_scoped: frozenset[str] = frozenset()) -> int:
        """Whether a view is meant, fields and values left aside."""
        effect = view.effect
        found = self._type(effect)
        if self.file is not None and not self.file.matches(view.file):
            found = found if restricting and self._arrives(effect, view.file) else NO
        if found and self.environment is not None:
            found = min(found, self._environment(effect.environment))
        if found and (self.group is not None or self.host is not None):
            found = min(found, self._place(view))
        if found and self.object is not None:
            found = min(found, self.object.meets(view, cluster_scoped))
        if found and self.action and self.whole:
            found = min(found, (YES if effect.action in self.action else NO) if not effect.opaque else MAYBE)
        if found and not self.whole and effect.type == PATH:
            found = min(found, MAYBE if effect.opaque else NO)
        return found

    def _arrives(self, effect: Effect, file: str) -> bool:
        """Whether an Effect comes from a file elsewhere to a directory that may be meant."""
        assert self.file is not None  # the caller has looked
        there = (one for one in (effect.reach, *effect.through) if one and not file.startswith(f"{one}/"))
        return any(map(self.file.reaches, there))

    def _type(self, effect: Effect) -> int:
        if not self.type or self.type == effect.type:
            return YES
        return MAYBE if effect.opaque else NO

    def _environment(self, environment: str) -> int:
        assert self.environment is not None  # the caller has looked
        if self.environment.items == ["*"]:
            return YES
        if not environment:
            return MAYBE  # it belongs to none, or to all
        return YES if self.environment.matches(environment) else NO

    def _place(self, view: View) -> int:
        if view.effect.type not in (VARIABLE, HOST):
            return MAYBE if view.effect.opaque else NO
        if view.reached is None:
            return NO
        if view.reached.unknown:
            return MAYBE
        if self.host is not None and not (view.reached.host and self.host.matches(view.reached.host)):
            return NO
        return YES if self.group is None or self.group.matches(*sorted(view.reached.groups)) else NO

    def leaf(self, effect: Effect, leaf: Leaf) -> int:
        """Whether a smallest difference is meant (for a view that is); see `nodes`."""
        if self.field is None or effect.type == PATH or self.action or self.old or self.new:
            return max((node.sure for node in self.nodes(effect, leaf)), default=NO)
        sure = max((sure for sure, _length in self.field.nodes(leaf.path)), default=NO)  # whatever the values are
        return sure or (MAYBE if any(True for _one in self._by_place(effect, leaf)) else NO)

    def _by_place(self, effect: Effect, leaf: Leaf) -> Iterator[tuple[Path, Value, Value]]:
        assert self.field is not None  # the callers have looked
        return self.field.by_place(leaf.path, effect.root, effect.before, effect.after)

    def nodes(self, effect: Effect, leaf: Leaf) -> list[Node]:
        """The fields around a smallest difference that the selector means; () is all of the subject."""
        if self.field is None:
            return [Node(YES, (), effect.before, effect.after)]
        if effect.type == PATH:
            return [Node(MAYBE, (), ABSENT, ABSENT)]
        found = []
        for sure, length in self.field.nodes(leaf.path):
            path = leaf.path[: max(length, len(effect.root))]
            old, new = leaf.before, leaf.after
            if len(path) < len(leaf.path):
                inside = path[len(effect.root) :]
                old, new = lookup(effect.before, inside), lookup(effect.after, inside)
            found.append(Node(sure, path, old, new))
        found += [Node(MAYBE, *one) for one in self._by_place(effect, leaf)]
        return [one for one in (self._fits(node) for node in found) if one.sure]

    def _fits(self, node: Node) -> Node:
        sure, _path, old, new = node
        if self.action:
            action = "added" if old is ABSENT else "removed" if new is ABSENT else "changed"
            sure = sure if action in self.action else NO
        if sure and self.old is not None:
            sure = min(sure, self.old(old, old, new))
        if sure and self.new is not None:
            sure = min(sure, self.new(new, old, new))
        return node._replace(sure=sure)


class Approvals(NamedTuple):
    """Who must have approved: `number` people of `source`, unless all behind the change are `unless`."""

    number: int
    source: Who
    unless: Who | None = None


class Deny(NamedTuple):
    """What is denied, and why; only to `to` when given."""

    reason: str
    to: Who | None = None


class Unless(NamedTuple):
    """What must hold of values before and after, or the change is denied."""

    reason: str
    old: Predicate | None
    new: Predicate | None
    text: str


#: What says in a `require` what it is for; the rest of it are checks.
REQUIRE_WHERE = ("object", "file", "environment", "document")


class Require(NamedTuple):
    """A content check: its name, its parameters, and the objects it is for; with `document`, the files it is for."""

    check: str
    params: Value
    selector: Selector
    origin: Origin
    document: bool = False


class Exempt(NamedTuple):
    """An exception: until then, the rule does not restrict what it means.

    until        the last moment at which it holds (UTC)
    approved_by  "user:LOGIN" of who answers for it
    to           whom it is for; None: everybody
    selectors    what it is for; () is all that the rule is about
    raw          the exception as written, for comparing policies
    """

    until: datetime
    approved_by: str
    reason: str
    to: Who | None
    selectors: tuple[Selector, ...]
    origin: Origin
    raw: Mapping[str, Value]

    @property
    def approver(self) -> str:
        """The login of who answers for it."""
        return self.approved_by.removeprefix("user:")


class Owned(NamedTuple):
    """What a CODEOWNERS file says, as a rule: owners "approve", or owners may "change"."""

    file: str
    how: str


class Rule(NamedTuple):
    """One rule; see docs/policy.md for the meaning of each part.

    selectors  what it is about: any one of them
    raw        the rule as written, for comparing policies
    """

    name: str
    origin: Origin
    selectors: tuple[Selector, ...]
    raw: Mapping[str, Value]
    allow: Who | None = None
    only: Who | None = None
    approvals: Approvals | None = None
    deny: Deny | None = None
    deny_unless: Unless | None = None
    requires: tuple[Require, ...] = ()
    owned: Owned | None = None
    exceptions: tuple[Exempt, ...] = ()
    severity: str = "prohibit"
    existing: bool = False

    @property
    def denied(self) -> Who | None:
        """To whom alone it denies the change, if to somebody."""
        return self.deny.to if self.deny is not None else None

    @property
    def favoured(self) -> tuple[Who, ...]:
        """Everybody whom it names so that more is permitted: who may, whose approval counts, who is spared."""
        approvals = (self.approvals.source, self.approvals.unless) if self.approvals is not None else ()
        found = (self.allowed, *approvals, *(one.to for one in self.exceptions))
        return tuple(who for who in found if who is not None)

    @property
    def restricts(self) -> bool:
        """Whether it can stand in the way of what other rules allow."""
        parts = (self.only, self.approvals, self.deny, self.deny_unless, self.owned)
        return any(part is not None for part in parts)

    @property
    def allowed(self) -> Who | None:
        """Whom it allows the change, if anybody."""
        return self.allow or self.only


class Identity(NamedTuple):
    """How people behind commits are known.

    commits   "forge": by the forge's word where it is given; "signed": by a verified signature, always;
              "pushed": who pushes answers for what is in the commits
    services  committers that are the forge itself (merges and edits in its pages)
    """

    commits: str = "forge"
    services: tuple[str, ...] = ("web-flow",)


#: What is looked at in every change, whatever the rules say, by the rule that its findings name.
BUILT_IN = ("schema", "variables", "upgrade", "immutable", "duplicate-object", "orphan")
OFF = "off"


class Settings(NamedTuple):
    """policy/settings.yml.

    checks  PROHIBIT, WARN or OFF for those of BUILT_IN that are said; the others prohibit
    longest_exception  how many days from its merge on an exception may hold; None: any time
    """

    identity: Identity = Identity()
    layout: Layout = Layout()
    cluster_scoped: frozenset[str] = frozenset()
    checks: Mapping[str, str] = {}
    longest_exception: int | None = None

    def check(self, name: str) -> str:
        """What a finding of the built-in check `name` does."""
        return self.checks.get(name, PROHIBIT)


class Policy(NamedTuple):
    """All of it.

    owners  who may mend the policy when it is broken
    teams   teams that the policy itself defines: their logins
    people  addresses of people by login: {"alice": ("alice@example.org",)}
    digest  sha256 over the names and contents of all files under policy/
    files   the policy's files
    """

    roles: Mapping[str, Role]
    rules: tuple[Rule, ...]
    owners: Who | None
    teams: Mapping[str, tuple[str, ...]]
    people: Mapping[str, tuple[str, ...]]
    settings: Settings
    digest: str
    files: tuple[str, ...]

    def widened(self, way: frozenset[str]) -> frozenset[str]:
        """A way to be somebody, with everybody and the roles and the policy's own teams in which they then are."""
        found = way | _EVERYBODY
        names: dict[str, Sequence[str]] = {f"role:{role.name}": role.members for role in self.roles.values()}
        names |= {f"team:{team}": [f"user:{login}" for login in logins] for team, logins in self.teams.items()}
        while more := {name for name in names.keys() - found if not found.isdisjoint(names[name])}:
            found |= more
        return found

    @property
    def by_host(self) -> bool:
        """Whether any rule tells single hosts apart."""
        return any(selector.host is not None for rule in self.rules for selector in rule.selectors)

    @property
    def by_action(self) -> bool:
        """Whether any rule tells what is added, changed and removed apart."""
        return any(selector.action for rule in self.rules for selector in rule.selectors)


def way_out(rule: Rule) -> str:
    """What would lift what a rule says."""
    return f"an exception of rule {rule.name!r}, in a change of the policy, would permit it."


#: Gives the smallest differences in a Change.
Leaves = Callable[[], Sequence[Leaf]]


def concerned(
    rule: Rule, effect: Effect, angles: Sequence[View], leaves: Leaves, cluster_scoped: frozenset[str]
) -> list[tuple[int, Selector, Leaf]]:
    """What of an Effect a rule that restricts is about: how surely, by which selector, which smallest difference."""
    out = []
    for selector in rule.selectors:
        sure = max((selector.meets(view, True, cluster_scoped) for view in angles), default=NO)
        if not sure:
            continue
        for leaf in leaves():
            found = min(sure, selector.leaf(effect, leaf))
            if found:
                out.append((found, selector, leaf))
            if found and selector.whole:
                break  # every other leaf is meant as well
    return out

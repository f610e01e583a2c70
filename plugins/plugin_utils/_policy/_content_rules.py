# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Content rules: which objects a `require` is for, the checks run over both sides, new findings told from old ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _checks
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import TEMPLATES, group_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Effect
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Difference, Files, TooLarge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import Side
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import MAYBE, lookup
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    INFO,
    INVALID,
    PROHIBIT,
    WARN,
    Context,
    Finding,
    GitError,
    Job,
    Limits,
    ObjectAt,
    PolicyError,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import identity, labels_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._roots import NEEDED, Look, Renderings
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    OFF,
    Exempt,
    Policy,
    Rule,
    Selector,
    views,
    way_out,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import (
    POLICY,
    AllBut,
    Manifests,
    Object,
    holding,
    may_disguise,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._valid import (
    DEFINITION,
    KIND,
    brings,
    minor_of,
    version_of,
)

if TYPE_CHECKING:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._documents import Changed

#: Name of the check that every changed object goes through, whatever the rules say.
SCHEMA = "schema"


class Trees(NamedTuple):
    """Both sides, and what is needed to look at them.

    `environments` are those whose inventories change, `differences` all paths that do.
    """

    before: Files
    after: Files
    inventories: tuple[Side, Side]
    environments: tuple[str, ...]
    manifests: Manifests
    renderings: Renderings
    limits: Limits
    deadline: float
    differences: Sequence[Difference] = ()


#: How a rule sees an object: itself, the Pod that it makes, or both.
_See = Callable[[ObjectAt], Sequence[ObjectAt]]

#: Whether an exception holds now, for the people behind the change.
Excuses = Callable[[Exempt], bool]


class _Stance(NamedTuple):
    """How a rule sees an object, and which exceptions of the rule (by index) are about it, whoever they excuse."""

    see: _See
    exceptions: frozenset[int]


#: Objects by the scope that they are in.
_ByScope = dict[str, list[ObjectAt]]


class _Task(NamedTuple):
    """One check for one rule on one side, whether what it finds at the base is put up with, and for which clusters."""

    module: str
    job: Job
    rule: Rule | None
    about: str = ""


class _Clusters(NamedTuple):
    """Environments whose clusters have the same minors of Kubernetes, before and after; "" where there was none."""

    names: tuple[str, ...]
    versions: tuple[str, str]

    def __str__(self) -> str:
        known = f"Kubernetes {self.versions[1]}" if self.versions[1] else "the newest Kubernetes that is known here"
        return f"{known} ({', '.join(self.names)})" if self.names else known


def check(
    policy: Policy,
    objects: Sequence[Object],
    moved: Sequence[Object],
    trees: Trees,
    now: datetime,
    excuses: Excuses,
    unread: Sequence[Effect] = (),
) -> list[Finding]:
    """What the content rules, and the schemas, say of the objects that change.

    What only moves is looked at by the rules that begin to be about it.
    What may bring objects that cannot be seen (`unread`) prohibits where a rule may be about them.
    A check that raises, gives up or answers with nonsense prohibits.
    """
    tasks = _Tasks(policy, trees, now, excuses)
    tasks.schema(objects)
    for rule in policy.rules:
        tasks.rule(rule, (*objects, *moved))
        tasks.documents(rule)
        tasks.unread(rule, unread)
    return [*tasks.notes, *_run(tasks.tasks)]


class _Tasks:
    def __init__(self, policy: Policy, trees: Trees, now: datetime, excuses: Excuses) -> None:
        self.policy = policy
        self.trees = trees
        self.now = now
        self.excuses = excuses
        self.tasks: list[_Task] = []
        self.notes: list[Finding] = []
        self._versions: dict[tuple[int, str], str] = {}
        self._objects: dict[tuple[int, str], list[ObjectAt]] = {}
        self._defining: dict[tuple[int, frozenset[str]], list[ObjectAt]] = {}
        self._read: dict[tuple[int, str], list[ObjectAt]] = {}

    def schema(self, objects: Sequence[Object]) -> None:
        """The schema check, for every object that changes and for those whose schema does.

        An object that belongs to no environment is for all of them.  Where the version of a cluster changes, all of its
        objects are looked at; where a CustomResourceDefinition does, all custom resources of its kind.
        """
        how = self.policy.settings.check(SCHEMA)
        if how == OFF:
            return
        upgraded = {name for name in self.trees.environments if self._minor(0, name) != self._minor(1, name)}
        defined = _defined(objects)
        others = self._others(upgraded, defined, objects)
        for scope in sorted({one.effect.environment for one in objects} | others[0].keys() | others[1].keys()):
            changed = [one for one in objects if one.effect.environment == scope]
            is_defined = any({place, scope} - self._known or place == scope for place, _kind in defined)
            for clusters in self._clusters(scope):
                more = is_defined or not upgraded.isdisjoint(clusters.names)
                self._schema(scope, clusters, changed, others if more else ({}, {}), how)

    def _others(
        self, upgraded: set[str], defined: set[tuple[str, tuple[str, ...]]], objects: Sequence[Object]
    ) -> tuple[_ByScope, _ByScope]:
        """The objects that do not change and may have another schema, before and after, by scope."""
        upgrades = {(self._minor(0, one), self._minor(1, one)) for one in upgraded}
        looks = [look for versions in upgrades if (look := _broken_by(*versions))]
        looks += [holding({kind[-1] for _place, kind in defined})] if defined else []
        out: tuple[_ByScope, _ByScope] = ({}, {})
        if not looks:
            return out
        places = upgraded | {place for place, _kind in defined}
        scopes = AllBut() if places - self._known else AllBut(self._known - places)
        seen = {id(at) for one in objects for at in (one.pair.before, one.pair.after)}

        words = frozenset[str]().union(*(look.words for look in looks))
        matters = Look(words, cache(lambda data: any(look.sees(data) for look in looks)))
        for side, tree in ((1, self.trees.after), (0, self.trees.before)):
            if not side and not out[1]:
                break  # where nothing is wrong in the end it does not matter what was before
            for at in self.trees.manifests.every(tree, scopes, matters):
                if id(at) not in seen:
                    out[side].setdefault(at.subject.scope, []).append(at)
        for outcome in self.trees.renderings.every(scopes, matters):
            self.notes += outcome.findings(NEEDED)
            scope = self.trees.renderings.environment(outcome.root)
            for made, found in zip(outcome.sides, out, strict=True):
                mine = [
                    at
                    for at in made
                    if id(at) not in seen and matters.sees(json.dumps(at.object, default=str).encode())
                ]
                found.setdefault(scope, []).extend(mine)
        return out

    @property
    def _known(self) -> frozenset[str]:
        return self.trees.manifests.layout.names

    def _clusters(self, scope: str) -> list[_Clusters]:
        """The clusters that an object is for: that of its environment, else all there are."""
        found: dict[tuple[str, str], list[str]] = {}
        for name in (scope,) if scope in self._known else sorted(self._known):
            found.setdefault((self._minor(0, name), self._minor(1, name)), []).append(name)
        if scope not in self._known:
            found = {versions: names for versions, names in found.items() if versions[1]} or {("", ""): []}
        return [_Clusters(tuple(names), versions) for versions, names in sorted(found.items())]

    def _minor(self, side: int, environment: str) -> str:
        minor = minor_of(self._version(side, environment))
        return f"{minor[0]}.{minor[1]}" if minor else ""

    def _schema(
        self,
        scope: str,
        clusters: _Clusters,
        changed: Sequence[Object],
        others: tuple[_ByScope, _ByScope],
        how: str,
    ) -> None:
        """The schema check of one scope's objects for clusters of one version.

        Args:
            scope: an environment, or "".
            clusters: for which.
            changed: what changes.
            others: what does not change and is looked at as well, on both sides.
            how: the severity.
        """
        for side, label in ((0, "base"), (1, "head")):
            found = [(one, at) for one in changed if (at := (one.pair.before, one.pair.after)[side]) is not None]
            mine = [_with_old(one, at, side) for one, at in found]
            mine += others[side].get(scope, ())
            if mine:
                context = self._context(SCHEMA, how, side, label, scope)
                context = context._replace(
                    version=clusters.versions[side],
                    objects=self._definitions(side, frozenset([scope, "", *clusters.names])),
                )
                self.tasks.append(_Task(_checks.TABLE[SCHEMA], Job(SCHEMA, {}, mine, context), None, str(clusters)))
                self.notes += _nearest(clusters) if side else ()

    def _definitions(self, side: int, scopes: frozenset[str]) -> Callable[[], list[ObjectAt]]:
        """Gives the CustomResourceDefinitions of some scopes, found once; those that are made of what was rendered."""
        key = (side, scopes)
        tree = (self.trees.before, self.trees.after)[side]

        def find() -> list[ObjectAt]:
            if key not in self._defining:
                made = self.trees.renderings.made(side, scopes)
                self._defining[key] = self.trees.manifests.every(tree, scopes, holding({DEFINITION}))
                self._defining[key] += [at for at in made if at.object.get("kind") == DEFINITION]
            return self._defining[key]

        return find

    def rule(self, rule: Rule, objects: Sequence[Object]) -> None:
        """The checks of one rule that are for objects."""
        for require in (one for one in rule.requires if not one.document):
            chosen = []
            for each in objects:
                now = self._stance(rule, require.selector, each)
                if now is None:
                    continue
                was = self._stance(rule, require.selector, _as_it_was(each))
                if _only_moves(each) and was is not None and was.exceptions == now.exceptions:
                    continue  # nothing is new, neither about it nor in what the rule has to do with it
                mine = (rule.exceptions[index] for index in sorted(now.exceptions))
                excuse = next((one for one in mine if self.excuses(one)), None)
                if excuse is not None:
                    self.notes.append(_note(rule, excuse, each.effect))
                    continue
                # of what the rule was not asked about at the base, or only left in peace there, nothing is old to it
                is_known = was is not None and was.exceptions <= now.exceptions
                before = each.pair.before if is_known else None
                chosen.append((each._replace(pair=each.pair._replace(before=before)), now.see))
            self._add(require.check, require.params, chosen, rule, rule.name, rule.severity)

    def documents(self, rule: Rule) -> None:
        """The checks of one rule that are for the documents of files."""
        for require in (one for one in rule.requires if one.document):
            sides: tuple[list[ObjectAt], list[ObjectAt]] = ([], [])
            for each in self._files:
                if not self._means(rule, require.selector, each.effect):
                    continue
                mine = (rule.exceptions[index] for index in sorted(self._exceptions(rule, each.effect)))
                excuse = next((one for one in mine if self.excuses(one)), None)
                if excuse is not None:
                    self.notes.append(_note(rule, excuse, each.effect))
                    continue
                for side, into in enumerate(sides):
                    into += self._documents_of(rule, each, side)
            for side, label in ((0, "base"), (1, "head")):
                if sides[side]:
                    context = self._context(rule.name, rule.severity, side, label, "")
                    job = Job(require.check, require.params, sides[side], context, documents=True)
                    self.tasks.append(_Task(_checks.TABLE[require.check], job, rule))

    @cached_property
    def _files(self) -> list[Changed]:
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _documents  # few policies ask

        trees, layout = (self.trees.before, self.trees.after), self.trees.manifests.layout
        return list(_documents.changed(trees, self.trees.differences, layout, self.trees.limits, self.trees.deadline))

    def _means(self, rule: Rule, selector: Selector, effect: Effect) -> bool:
        angles = views(effect, False)
        scoped = self.policy.settings.cluster_scoped
        is_about = not rule.selectors or any(own.meets(view, True, scoped) for own in rule.selectors for view in angles)
        return is_about and any(selector.meets(view, True, scoped) for view in angles)

    def _documents_of(self, rule: Rule, file: Changed, side: int) -> Sequence[ObjectAt]:
        """The documents of a file on one side; of one that cannot be read there are none, and the head says so."""
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _documents

        tree, place, manifests = (self.trees.before, self.trees.after)[side], file.places[side], self.trees.manifests
        if not place and not side:
            return ()
        key = (side, file.path)
        try:
            if not place:
                raise _documents.DocumentError("it is a link that leads nowhere")
            if key not in self._read:
                by_ansible = _documents.is_of_ansible(file.path, manifests.layout)
                self._read[key] = _documents.read(tree.read(place), file.path, by_ansible, manifests.yaml_limits)
            return self._read[key]
        except (_documents.DocumentError, TooLarge) as error:
            if side:
                message = f"it cannot be judged as a document: {error}"
                origin = Origin(file.path, getattr(error, "line", 0))
                remedy = "Mend the file, or let `file` of the rule name YAML and JSON alone."
                found = Finding(rule.name, rule.severity, ERROR, message, remedy=remedy, origin=origin)
                self.notes.append(found._replace(subject=file.effect.subject))
            return ()

    def unread(self, rule: Rule, effects: Sequence[Effect]) -> None:
        """An error for what may bring objects or documents that a rule is about and that cannot be looked at."""
        for effect in effects:
            excused = any(self.excuses(rule.exceptions[index]) for index in self._exceptions(rule, effect))
            meant = [] if excused else [one for one in rule.requires if self._means(rule, one.selector, effect)]
            plain = self.trees.manifests.layout.plain
            if plain is not None and plain.matches(effect.reach):
                meant = [one for one in meant if one.document]
            if meant:
                origin = effect.changes[0].origin
                message = "what it brings cannot be looked at: it is a submodule, or a link to a directory"
                remedy = "Put files there, or name it in `plain` of policy/settings.yml if it holds no objects."
                if meant[0].document:
                    remedy = "Put files there, or let `file` of the rule leave it out."
                found = Finding(rule.name, rule.severity, ERROR, message, remedy=remedy, origin=origin)
                self.notes.append(found._replace(subject=effect.subject))

    def _stance(self, rule: Rule, selector: Selector, one: Object) -> _Stance | None:
        """What a rule has to do with an object, None when it is not about it."""
        if one.pair.after is None:
            return None  # what goes need not be good
        found = self._chosen(rule, selector, one)
        return None if found is None else _Stance(found, self._exceptions(rule, one.effect))

    def _chosen(self, rule: Rule, selector: Selector, one: Object) -> _See | None:
        """How a rule sees an object, whatever its exceptions; None when it is not about it."""
        angles = views(one.effect, False)
        scoped = self.policy.settings.cluster_scoped

        def meets(own: Selector) -> bool:
            return any(own.meets(view, True, scoped) for view in angles)

        itself = not rule.selectors or any(meets(own) for own in rule.selectors)
        pods = [pod for at in (one.pair.before, one.pair.after) for pod in _pod_in(at)]
        if not pods:
            return _itself if itself and meets(selector) else None
        namespace, _, name = one.effect.subject.name.rpartition("/")

        def means_pod(own: Selector) -> bool:
            if not meets(own._replace(object=None)):
                return False
            labels = (dict(labels_of(pod.object)) for pod in pods)
            return own.object is None or any(
                own.object.means("Pod", "", namespace, name, each, scoped) >= MAYBE for each in labels
            )

        through = [own for own in rule.selectors if means_pod(own)]
        if not itself and not through:
            return None
        if not means_pod(selector):
            return _itself if meets(selector) else None
        if not itself or not meets(selector):
            return _pod_in
        kind = one.effect.subject.type
        return _both if any(_names_pod(own, kind) for own in (*through, selector)) else _itself

    def _exceptions(self, rule: Rule, effect: Effect) -> frozenset[int]:
        """The exceptions of a rule that are about an object and have not ended, by index."""
        scoped = self.policy.settings.cluster_scoped
        return frozenset(
            index
            for index, one in enumerate(rule.exceptions)
            if self.now <= one.until
            and (
                not one.selectors
                or all(
                    any(selector.whole and selector.meets(view, False, scoped) > MAYBE for selector in one.selectors)
                    for view in views(effect, False)
                )
            )
        )

    def _add(
        self,
        name: str,
        params: Any,
        chosen: Sequence[tuple[Object, _See]],
        rule: Rule | None,
        said_by: str,
        severity: str,
    ) -> None:
        environments = sorted({one.effect.environment for one, _see in chosen})
        for environment in environments:
            for side, label in ((0, "base"), (1, "head")):
                mine: list[ObjectAt] = []
                for one, see in chosen:
                    at = one.pair.after if side else one.pair.before
                    if one.effect.environment == environment and at is not None:
                        mine += see(at)
                if mine:
                    context = self._context(said_by, severity, side, label, environment)
                    self.tasks.append(_Task(_checks.TABLE[name], Job(name, params, mine, context), rule))

    def _context(self, rule: str, severity: str, side: int, label: str, environment: str) -> Context:
        return Context(
            rule=rule,
            severity=severity,
            side=label,
            tree=(self.trees.before, self.trees.after)[side],
            policy=self._policy_file,
            objects=lambda: self._every(side, environment),
            version=self._version(side, environment),
            deadline=self.trees.deadline,
            limits=self.trees.limits,
            cluster_scoped=self.policy.settings.cluster_scoped,
        )

    def _policy_file(self, path: str) -> bytes:
        """A file under policy/ as it is in the target branch."""
        if not path.startswith(f"{POLICY}/"):
            raise GitError(f"{path} is not under {POLICY}/, where checks have their files")
        return self.trees.before.read(path)

    def _version(self, side: int, environment: str) -> str:
        key = (side, environment)
        if key not in self._versions:
            side = side if environment in self.trees.environments else 1  # what does not change is the same before
            known = environment in self._known
            self._versions[key] = version_of(self.trees.inventories[side], environment) if known else ""
        return self._versions[key]

    def _every(self, side: int, environment: str) -> list[ObjectAt]:
        key = (side, environment)
        if key not in self._objects:
            tree = (self.trees.before, self.trees.after)[side]
            self._objects[key] = self.trees.manifests.every(tree, {environment, ""})
        return self._objects[key]


def _defined(objects: Sequence[Object]) -> set[tuple[str, tuple[str, ...]]]:
    """The custom resources whose definitions change: their scope, and their group and kind."""
    found = ((one, brings(at)) for one in objects for at in (one.pair.before, one.pair.after))
    return {(one.effect.environment, what[1:]) for one, what in found if what is not None and what[0] == KIND}


def _broken_by(old: str, new: str) -> Look | None:
    """Tells which files may hold something that an upgrade breaks; None where there is no such thing."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import broken_by  # dear

    kinds, sees = broken_by(old, new)
    return Look(kinds, lambda data: may_disguise(data) or sees(data)) if kinds else None


def _nearest(clusters: _Clusters) -> list[Finding]:
    """A note where objects cannot be held against the schemas of their own version."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._schema import nearest_minor

    wanted, found = clusters.versions[1], f"1.{nearest_minor(clusters.versions[1])}"
    if wanted in ("", found):
        return []
    who = ", ".join(clusters.names)
    message = f"the schemas of Kubernetes {wanted} are not here; objects for {who} are held against those of {found}"
    return [Finding(SCHEMA, INFO, INVALID, message)]


def _with_old(one: Object, at: ObjectAt, side: int) -> ObjectAt:
    """An object of the head with the one that it takes the place of."""
    before = one.pair.before
    return at._replace(old=before.object) if side and before is not None else at


def _as_it_was(one: Object) -> Object:
    """An object as its base side alone shows it: the place and the labels it had."""
    before = one.pair.before
    files = one.was or one.effect.files
    labels = (before.subject.labels,) if before is not None else ()
    return one._replace(
        pair=one.pair._replace(before=None, after=before), effect=one.effect._replace(files=files, labels=labels)
    )


def _only_moves(one: Object) -> bool:
    """Whether an object takes another place and stays what it is; its Effect is that it comes there."""
    return one.effect.before is ABSENT and one.pair.before is not None


def _note(rule: Rule, one: Exempt, effect: Effect) -> Finding:
    until = one.until.strftime("%Y-%m-%d")
    message = f"an exception of this rule holds until {until}, approved by {one.approver}: {one.reason}"
    change = effect.changes[0]
    return Finding(rule.name, INFO, "content", message, origin=change.origin, subject=effect.subject, change=change)


def _itself(at: ObjectAt) -> Sequence[ObjectAt]:
    return (at,)


def _both(at: ObjectAt) -> Sequence[ObjectAt]:
    return (at, *_pod_in(at))


def _names_pod(selector: Selector, kind: str) -> bool:
    """Whether a selector means Pods by a name that does not mean objects of `kind` as well."""
    if selector.object is None or selector.object.kind is None:
        return False
    names = (kind, kind.partition(".")[0])
    positive = selector.object.kind.positive
    return any(one.matches("Pod") and not any(map(one.matches, names)) for one in positive)


def _pod_in(at: ObjectAt | None) -> Sequence[ObjectAt]:
    """The Pod that a workload makes, as an object whose places are those of the workload's template; () of others."""
    if at is None:
        return ()
    kind = at.object.get("kind")
    inside = TEMPLATES.get((group_of(at.object), kind)) if isinstance(kind, str) else None
    if not inside:
        return ()
    template: Any = at.object
    for step in inside:
        template = template.get(step) if isinstance(template, dict) else None
    if not isinstance(template, dict):
        return ()
    owner = at.object.get("metadata")
    metadata = template.get("metadata")
    own = dict(metadata) if isinstance(metadata, dict) else {}
    if isinstance(owner, dict):
        own["name"] = owner.get("name")
        if "namespace" in owner:
            own["namespace"] = owner["namespace"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": own}
    if "spec" in template:
        pod["spec"] = template["spec"]

    def position(path: Path) -> Origin:
        return at.position((*inside, *path))

    return (ObjectAt(pod, at.origin, position, at.subject, inside),)


def _run(tasks: Sequence[_Task]) -> list[Finding]:
    """Run the tasks, those of a module together."""
    out: list[Finding] = []
    for module in dict.fromkeys(task.module for task in tasks):
        mine = [task for task in tasks if task.module == module]
        try:
            answers = _checks.run(module)([task.job for task in mine])
            if len(answers) != len(mine):
                raise PolicyError(f"{len(answers)} answers to {len(mine)} questions")
            out += _told_apart(mine, answers)
        except Exception as error:  # whatever goes wrong in a check prohibits
            names = sorted({task.job.context.rule for task in mine})
            message = f"the check could not be made: {str(error) or type(error).__name__}"
            remedy = "Nothing is permitted that could not be checked; mend the rule or what it needs."
            out += [Finding(name, PROHIBIT, ERROR, message, remedy=remedy) for name in names]
    return out


def _told_apart(tasks: Sequence[_Task], answers: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The head's findings; those that the base has too are old, and prohibit only where a rule says so.

    Old is what is said of the same value: a message need not show that its field got worse.
    """
    known: dict[tuple[str, ...], list[frozenset[str]]] = {}
    for task, findings in zip(tasks, answers):
        if task.job.context.side == "base":
            values = _values(task)
            for finding in findings:
                known.setdefault(_key(task, finding), []).append(values(finding))
    out: list[Finding] = []
    abouts: dict[Any, list[str]] = {}
    for task, findings in zip(tasks, answers):
        if task.job.context.side == "base":
            continue
        values = _values(task)
        for finding in findings:
            before, now = known.get(_key(task, finding), []), values(finding)
            found = next((at for at, was in enumerate(before) if now <= was), None)
            is_old = found is not None and finding.kind != ERROR
            if found is not None and is_old:
                del before[found]
            one = aged(finding, is_old, task.rule is not None and task.rule.existing)
            if task.rule is not None and one.prohibits and not one.remedy:
                one = one._replace(remedy=f"Mend it; {way_out(task.rule)}")
            out.append(one)
            if task.about and one.severity != INFO:
                abouts.setdefault(_same(one), []).append(task.about)
    return [_for(one, abouts.get(_same(one), ())) for one in out]


def _key(task: _Task, finding: Finding) -> tuple[str, ...]:
    """What makes findings at base and head the same one; what to use instead may be another in the next version."""
    if not task.about:
        return finding.key
    fault = finding.message.partition("; ")[0].partition(" (did you mean ")[0]
    return (task.about, *finding._replace(message=fault).key)


def _same(finding: Finding) -> tuple[Any, ...]:
    return (finding.key, finding.origin, finding.new)


def _for(finding: Finding, abouts: Sequence[str]) -> Finding:
    """A finding with the clusters that it is about; the same one for several is one."""
    return finding._replace(remedy=f"Mend it for {' and '.join(dict.fromkeys(abouts))}.") if abouts else finding


def _values(task: _Task) -> Callable[[Finding], frozenset[str]]:
    """Gives what stands at a finding's field, in every object that is called so.

    Of a finding without a field (as Rego's are, unless they name one) nothing: its message is all that it says, and
    the whole object would make a new fault of every other change to it.  Nor of a schema's: its messages hold what is
    wrong, and its CEL rules stand at the field around all that they are about.
    """
    if task.rule is None:
        return lambda finding: frozenset()
    objects: dict[tuple[str, str, str], list[ObjectAt]] = {}
    for at in task.job.objects:
        objects.setdefault(identity(at), []).append(at)

    def values(finding: Finding) -> frozenset[str]:
        subject = finding.subject
        if subject is None or not finding.field:
            return frozenset()
        named = objects.get((subject.scope, subject.type, subject.name), ())
        found = (lookup(at.object, finding.field) for at in named)
        return frozenset(json.dumps(value, sort_keys=True, default=str) for value in found)

    return values


def aged(finding: Finding, is_old: bool, counts: bool) -> Finding:
    """A finding marked as old or new; an old one does not prohibit unless it `counts`."""
    severity = WARN if is_old and not counts and finding.severity == PROHIBIT else finding.severity
    return finding._replace(new=not is_old, severity=severity)

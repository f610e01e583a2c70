# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The verdict on a request.

The change that is judged is what merging the head would do to the target branch as it is now.  The rules in force are
those of the target branch.  Whatever cannot be judged prohibits, and says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Origin
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _load, _roots
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import (
    Commit,
    Difference,
    Files,
    Merge,
    PartialTree,
    Repository,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import Side
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    INFO,
    INVALID,
    LIMITS,
    NOT_PERMITTED,
    PROHIBIT,
    WARN,
    Delta,
    Finding,
    GitError,
    Limits,
    Permission,
    PolicyError,
    Problem,
    Request,
    RulesError,
    Teams,
    Verdict,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import POLICY as POLICY_KIND
from ansible_collections.weft.platform.plugins.plugin_utils._policy._people import Crowd, Members, crowd
from ansible_collections.weft.platform.plugins.plugin_utils._policy._permit import Owners, Permit, owners_by
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import OFF, Exempt, Policy
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import (
    POLICY,
    Understanding,
    understand,
)

if TYPE_CHECKING:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._codeowners import CodeOwners

#: How many commits back the last policy whose roles could be read is looked for.
_BACK = 50

_ORDER = {PROHIBIT: 0, WARN: 1, INFO: 2}
_KINDS = {ERROR: 0, INVALID: 1, NOT_PERMITTED: 2}


def judge(
    request: Request,
    repository: str | os.PathLike[str],
    *,
    now: datetime,
    teams: Teams | None = None,
    limits: Limits = LIMITS,
    environment: Mapping[str, str] | None = None,
    renderer: _roots.Renderer | None = None,
) -> Verdict:
    """The verdict on a request; never raises for anything that is in the repository or in the request.

    Args:
        request: who wants to merge what.
        repository: directory of a Git repository that has base and head.
        now: the time, with its zone; exceptions and keys are held against it.
        teams: where membership in teams is asked for.
        limits: bounds of the run.
        environment: where a pre-receive hook's quarantine is described.
        renderer: stands in for Kustomize and Helm.
    """
    deadline = time.monotonic() + limits.seconds
    run = _Run(request, now, teams, limits, deadline, renderer)

    def open_and_judge() -> None:
        with Repository(repository, request.base, limits, deadline, environment) as objects:
            run.judge(objects)

    return run.verdict_after(open_and_judge)


def judge_files(
    request: Request, repository: Repository, before: Files, after: Files, *, now: datetime, teams: Teams | None = None
) -> Verdict:
    """The verdict on files that are in no commit, as policy tests make them up; never raises, like `judge`.

    Args:
        request: who wants the change; its commits are not looked at.
        repository: what the trees lie over.
        before: the target branch as it would be.
        after: the target branch as the change would make it.
        now: the time, with its zone.
        teams: where membership in teams is asked for.
    """
    run = _Run(request, now, teams, repository.limits, repository.deadline, None)
    merge = Merge("", before, after, ())
    return run.verdict_after(lambda: run.judge_merge(repository, [], merge))


def judge_everything(
    commit: str,
    repository: str | os.PathLike[str],
    *,
    now: datetime,
    limits: Limits = LIMITS,
    renderer: _roots.Renderer | None = None,
) -> Verdict:
    """The verdict on all that is in a commit, by its own policy; never raises, like `judge`.

    Whether everything is valid, and good by the content rules, as if all of it had just been added; nobody is behind
    it, so that nothing is said of permission, and exceptions hold whoever they are for.

    Args:
        commit: whose files, a full object id.
        repository: directory of a Git repository that has it.
        now: the time, with its zone; exceptions are held against it.
        limits: bounds of the run.
        renderer: stands in for Kustomize and Helm.
    """
    deadline = time.monotonic() + limits.seconds
    run = _Run(Request(commit, commit, "", None), now, None, limits, deadline, renderer)

    def open_and_judge() -> None:
        with Repository(repository, commit, limits, deadline) as objects:
            run.judge_everything(objects)

    return run.verdict_after(open_and_judge)


class _Run:
    """One verdict while it is made."""

    def __init__(
        self,
        request: Request,
        now: datetime,
        teams: Teams | None,
        limits: Limits,
        deadline: float,
        renderer: _roots.Renderer | None,
    ) -> None:
        self.request = request
        self.now = now
        self.teams = teams
        self.limits = limits
        self.deadline = deadline
        self.renderer = renderer
        self.findings: list[Finding] = []
        self.changes: tuple[Change, ...] = ()
        self.permissions: tuple[Permission, ...] = ()
        self.deltas: tuple[Delta, ...] = ()
        self.merge_base = self.digest = ""
        self.crowd: Crowd | None = None
        self.finished = False

    def error(self, message: str) -> None:
        """Something could not be judged."""
        self.findings.append(Finding("judgement", PROHIBIT, ERROR, message, remedy="Mend what it says, and try again."))

    def verdict_after(self, work: Callable[[], None]) -> Verdict:
        """What came of it, whatever goes wrong."""
        try:
            work()
        except PolicyError as error:
            self.error(str(error))
        except RecursionError:
            self.error("something in the change is nested too deeply to be judged")
        except Exception as error:  # a fault of ours must not permit what it hides
            message = f"it could not be judged: {type(error).__name__}: {error}; this is a fault of the policy manager"
            self.error(message)
        return self._verdict()

    def _verdict(self) -> Verdict:
        if not self.finished and not any(finding.prohibits for finding in self.findings):
            self.error("the judgement did not come to its end")
        once = {(_place(finding), finding.who_could): finding for finding in self.findings}
        findings = tuple(sorted(once.values(), key=_place))
        behind = self.crowd.behind if self.crowd else ()
        return Verdict(
            permitted=not any(finding.prohibits for finding in findings),
            base=self.request.base,
            head=self.request.head,
            target=self.request.target,
            merge_base=self.merge_base,
            findings=findings,
            changes=self.changes,
            permissions=self.permissions,
            deltas=self.deltas,
            people=tuple((one.person.login, one.how) for one in behind),
            approvals=tuple(one.login for one in self.crowd.approvers) if self.crowd else (),
            rules_digest=self.digest,
            now=self.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def judge(self, repository: Repository) -> None:
        """Judge, in a repository that is open."""
        request = self.request
        commits, self.merge_base = repository.commits(request.base, request.head)
        merge = repository.merge(request.base, request.head, self.merge_base)
        for path in merge.conflicts:
            message = "changed in the target branch as well, and the two do not merge"
            self._invalid("merge", Origin(path), message, "Bring the branch up to date with its target.")
        if request.merged:
            self._made(repository, merge)
        self.judge_merge(repository, commits, merge)

    def _made(self, repository: Repository, merge: Merge) -> None:
        """What a forge made of the merge is the merge and no more: nobody behind the request answers for the rest."""
        base, merged = self.request.base, self.request.merged
        if repository.commits(base, merged)[1] != base:
            raise GitError(f"{merged}, made by the forge of the merge, does not follow the tip of the target branch")
        for path in repository.unlike(merge, merged):
            message = f"{merged[:12]}, made by the forge of the merge, has it otherwise than the merge gives it"
            self._invalid("merge", Origin(path), message, "Bring the branch up to date with its target.")

    def judge_merge(self, repository: Repository, commits: list[Commit], merge: Merge) -> None:
        """Judge what a merge does."""
        differences = repository.changed(merge)
        try:
            policy = _load.load(merge.before)
        except RulesError as broken:
            self._broken(repository, commits, merge, differences, broken)
            self.finished = True
            return
        self.digest = policy.digest
        self._judge_by(policy, repository, commits, merge, differences)
        self.finished = True

    def judge_everything(self, repository: Repository) -> None:
        """Judge all that is in the head, as if it were new."""
        tree = repository.tree(self.request.head)
        merge = Merge("", PartialTree(tree, POLICY), tree, ())
        inside = (one for one in tree.walk() if not one.path.startswith(f"{POLICY}/"))
        differences = [Difference(one.path, None, one) for one in islice(inside, self.limits.files + 1)]
        if len(differences) > self.limits.files:
            raise GitError(f"there are more than {self.limits.files} files")
        try:
            policy = _load.load(tree)
        except RulesError as broken:
            self._problems(broken)
        else:
            self.digest = policy.digest
            self._valid(policy, repository, merge, self._understood(policy, merge, differences), lambda _one: True)
        self.finished = True

    def _problems(self, broken: RulesError) -> None:
        for problem in broken.problems:
            self._invalid("policy", problem.origin, problem.message, "Mend the policy file.")

    def _understood(self, policy: Policy, merge: Merge, differences: list[Difference]) -> Understanding:
        layout = policy.settings.layout
        found = understand(merge.before, merge.after, differences, layout, self.limits, self.deadline, self.renderer)
        self.findings += [_aged(finding) for finding in found.findings]
        return found

    def _invalid(self, rule: str, origin: Origin, message: str, remedy: str, kind: str = INVALID) -> None:
        self.findings.append(Finding(rule, PROHIBIT, kind, message, remedy=remedy, origin=origin))

    def _judge_by(
        self,
        policy: Policy,
        repository: Repository,
        commits: list[Commit],
        merge: Merge,
        differences: list[Difference],
    ) -> None:
        self.crowd = self._crowd(policy, commits, merge.before, repository)
        found = self._understood(policy, merge, differences)
        files = _code_owners(policy, merge.before)
        owners = owners_by({name: parsed.principals for name, parsed in files.items()})
        self.findings += _skipped_lines(files, merge.after)
        permit = Permit(policy, Members(policy, self.teams), self.crowd, self.now, found.layout, owners)
        result = permit.judge(found.effects, found.quiet)
        self.findings += result.findings
        self.changes, self.permissions = result.changes, result.permissions
        self._valid(policy, repository, merge, found, permit.excuses)
        owning = _owning_files(files)
        if any(one.path.startswith(f"{POLICY}/") or one.path in owning for one in differences):
            self._policy(policy, merge, self.crowd)

    def _crowd(self, policy: Policy, commits: list[Commit], tree: Files, repository: Repository) -> Crowd:
        if policy.settings.identity.commits != "signed" and not any(commit.signature for commit in commits):
            return crowd(self.request, commits, policy, None)
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _signatures  # dear

        if not _signatures.has_keys(tree):
            return crowd(self.request, commits, policy, None)
        with repository.directory("keys") as home:
            signers = _signatures.Signers(tree, policy.people, home, self.now, self.deadline)
            return crowd(self.request, commits, policy, signers.who)

    def _valid(
        self,
        policy: Policy,
        repository: Repository,
        merge: Merge,
        found: Understanding,
        excuses: Callable[[Exempt], bool],
    ) -> None:
        """Whether what the change does is valid, and good by the content rules."""
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _content_rules, _valid

        yaml_limits = found.manifests.yaml_limits
        sides = (Side(merge.before, found.layout, yaml_limits), Side(merge.after, found.layout, yaml_limits))
        schema = _Once(_valid.variables)
        built_in = (
            _valid.check_variables(found.effects, schema),
            _valid.check_life(found.effects, sides, schema),
            _valid.check_twice(found.objects, merge.after, found.manifests),
            _valid.check_orphans(found.objects, merge.after, found.manifests, found.renderings)
            if policy.settings.check(_valid.ORPHAN) != OFF
            else (),
        )
        for finding in chain.from_iterable(built_in):
            how = policy.settings.check(finding.rule)
            how = how if finding.severity == PROHIBIT or how == OFF else finding.severity
            self.findings += [_aged(finding._replace(severity=how))] if how != OFF else []
        trees = _content_rules.Trees(
            merge.before,
            merge.after,
            sides,
            found.environments,
            found.manifests,
            found.renderings,
            self.limits,
            self.deadline,
            found.differences,
        )
        self.findings += _content_rules.check(
            policy, found.objects, found.moved, trees, self.now, excuses, found.unread
        )

    def _policy(self, policy: Policy, merge: Merge, people: Crowd) -> None:
        """What the change does to the policy itself."""
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _deltas, _exceptions

        try:
            proposed = _load.load(merge.after)
        except RulesError as broken:
            self._problems(broken)
            return
        try:
            _code_owners(proposed, merge.after)
        except PolicyError as error:  # whoever merged it could have nothing judged any more
            self._invalid("policy", Origin(POLICY), str(error), "Add the file, or change the rule that asks for it.")
            return
        self.findings += _exceptions.objections(policy, proposed, people, self.now)
        self.deltas = _deltas.compare(policy, proposed, (merge.before, merge.after))
        for delta in self.deltas:
            message = f"{delta.direction} the policy: {delta.message}"
            self.findings.append(Finding("policy", INFO, POLICY_KIND, message, origin=delta.origin))

    # -- a policy that is broken --------------------------------------------------------------------------------

    def _broken(
        self,
        repository: Repository,
        commits: list[Commit],
        merge: Merge,
        differences: list[Difference],
        broken: RulesError,
    ) -> None:
        """The target's policy cannot be used: only its owners may change anything, and only to mend it."""
        owning = self._owning(repository, merge)
        reasons = self._not_mending(owning, commits, merge, differences, repository)
        severity = PROHIBIT if reasons else INFO
        remedy = "A policy owner mends policy/ in a change of its own."
        for problem in broken.problems:
            message = f"the policy of the target branch is broken: {problem.message}"
            file = problem.origin.file
            stays = merge.before.entry(file) == merge.after.entry(file)
            origin = problem.origin if stays else Origin(file)
            self.findings.append(Finding("policy", severity, POLICY_KIND, message, remedy=remedy, origin=origin))
        who = owning.owners.names() if owning is not None and owning.owners is not None else ()
        for reason in reasons:
            self.findings.append(Finding("policy", PROHIBIT, POLICY_KIND, reason, who, remedy))

    def _owning(self, repository: Repository, merge: Merge) -> Policy | None:
        """The policy as far as its owners are known: of the target, else of the last commit where they can be read."""
        found = _load.owners(merge.before)
        at = self.request.base
        for _ in range(_BACK):
            if found is not None:
                break
            parents = repository.commit(at).parents
            if not parents:
                break
            at = parents[0]
            found = _load.owners(repository.tree(at))
        return found

    def _not_mending(
        self,
        owning: Policy | None,
        commits: list[Commit],
        merge: Merge,
        differences: list[Difference],
        repository: Repository,
    ) -> list[str]:
        """Why a change does not mend a broken policy; [] when it does, and may."""
        if owning is None or owning.owners is None:
            return ["nobody owns the policy, so nobody can mend it by a change; see `owners` in policy/roles.yml"]
        from ansible_collections.weft.platform.plugins.plugin_utils._policy import _exceptions

        self.crowd = self._crowd(owning, commits, merge.before, repository)
        members = Members(owning, self.teams)
        out = []
        for one in self.crowd.behind:
            if one.unknown or not members.is_one(one.person, owning.owners):
                out.append(f"{one.person.login} does not own the policy")
        elsewhere = [one.path for one in differences if not one.path.startswith(f"{POLICY}/")]
        if elsewhere:
            out.append(f"nothing but policy/ may change while it is broken, not {elsewhere[0]}")
        try:
            mended = _load.load(merge.after)
            self.digest = mended.digest
            self.findings += _exceptions.objections(_load.readable(merge.before), mended, self.crowd, self.now)
        except RulesError as still:
            out.append(f"the change does not mend the policy: {_first(still.problems)}")
        self.changes = tuple(_path_changes(differences))
        return out


class _Once:
    """Loads something when it is first wanted, and keeps it."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._found: Any = None

    def __call__(self) -> Any:
        """What was loaded."""
        if self._found is None:
            self._found = self._load()
        return self._found


def _aged(finding: Finding) -> Finding:
    """An old finding does not prohibit."""
    severity = WARN if not finding.new and finding.severity == PROHIBIT and finding.kind != ERROR else finding.severity
    return finding._replace(severity=severity)


def _place(finding: Finding) -> tuple[Any, ...]:
    origin = finding.origin or Origin("")
    return (
        _ORDER.get(finding.severity, 3),
        _KINDS.get(finding.kind, 3),
        origin.file,
        origin.line,
        finding.rule,
        finding.message,
        str(finding.subject or ""),
        str(finding.field),
    )


def _first(problems: Iterable[Problem]) -> str:
    return str(next(iter(problems), "it is broken"))


def _path_changes(differences: Iterable[Difference]) -> Iterable[Change]:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import path_effect_of

    for one in differences:
        yield from path_effect_of(one).changes


def owners_of(policy: Policy, tree: Files) -> Owners:
    """Looks paths up in the CODEOWNERS files that rules name, as they are in the target branch.

    Raises:
        GitError: one is not there.
        CodeOwnersError: one is larger than what GitHub loads.
    """
    return owners_by({name: parsed.principals for name, parsed in _code_owners(policy, tree).items()})


def _code_owners(policy: Policy, tree: Files) -> Mapping[str, CodeOwners]:
    if all(rule.owned is None for rule in policy.rules):
        return {}
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners

    return _codeowners.of_rules(policy, tree)


def _owning_files(files: Mapping[str, CodeOwners]) -> set[str]:
    """The paths of the CODEOWNERS files that rules ask for, and of those that would be taken instead."""
    if not files:
        return set()
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners

    return {one.file for one in files.values()} | set(_codeowners.LOCATIONS if "" in files else ())


def _skipped_lines(before: Mapping[str, CodeOwners], tree: Files) -> Iterator[Finding]:
    """Lines of CODEOWNERS that do not count, in the target branch and as the change would have them.

    Args:
        before: the files of the target branch.
        tree: the change.
    """
    for file in before.values():
        was = {problem.message for problem in file.problems}
        now = file.problems
        if tree.entry(file.file) is not None:
            from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners

            now = _codeowners.parse(tree.read(file.file), file.file).problems
        mended = [one for one in file.problems if one.message not in {other.message for other in now}]
        remedy = "Mend the line; whom it names owns nothing by it."
        for problem in (*now, *mended):
            new = problem.message not in was
            yield Finding("codeowners", WARN, POLICY_KIND, problem.message, (), remedy, problem.origin, new=new)

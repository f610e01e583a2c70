# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What becomes looser and what stricter where a CODEOWNERS file that rules ask for is another: file by file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import Origin
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Delta
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rule_deltas import CHANGES, LOOSENS, TIGHTENS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy, Rule

#: More look-ups than these, each of a path by a line, would take too long.
_MOST = 1_000_000

#: So many files are named; of the others, how many they are.
_SHOWN = 3


def code_owners(before: Policy, after: Policy, trees: tuple[Files, Files]) -> Iterator[Delta]:
    """Whose files are newly, and whose no longer, by the CODEOWNERS files that rules of both sides ask for.

    Raises:
        PolicyError: one cannot be read.
    """
    asking = [[rule for rule in policy.rules if rule.owned is not None] for policy in (before, after)]
    both = set.intersection(*({rule.owned.file for rule in rules if rule.owned is not None} for rules in asking))
    if not both:
        return  # of rules that come or go, that is said
    old, new = (_codeowners.of_rules(policy, tree) for policy, tree in zip((before, after), trees, strict=True))
    for name in sorted(both):
        if [line[:2] for line in old[name].lines] != [line[:2] for line in new[name].lines]:
            origin = Origin(new[name].file)
            yield Delta(CHANGES, f"{origin.file} says otherwise whose files are, those to come too", origin)
            rules = [rule for rule in asking[1] if rule.owned is not None and rule.owned.file == name]
            yield from _by_file(old[name], new[name], rules, after, trees)


def _by_file(
    old: _codeowners.CodeOwners,
    new: _codeowners.CodeOwners,
    rules: Sequence[Rule],
    policy: Policy,
    trees: Iterable[Files],
) -> Iterator[Delta]:
    paths = sorted({entry.path for tree in trees for entry in tree.walk()})
    if len(paths) * (len(old.lines) + len(new.lines)) > _MOST:
        words = f"{new.file} is too long to be compared for each file; whose they newly are is not said"
        yield Delta(CHANGES, words, Origin(new.file))
        return
    found: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        ways = {rule.owned.how for rule in rules if rule.owned is not None and _about(rule, policy, path)}
        sides = [set(side.principals(path) or ()) for side in (old, new)] if ways else []
        for key in _said(ways, *sides) if sides else ():
            found.setdefault(key, []).append(path)
    for (how, words), files in found.items():
        more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
        yield Delta(how, f"{words}: {', '.join(files[:_SHOWN])}{more}", Origin(new.file))


def _about(rule: Rule, policy: Policy, path: str) -> bool:
    """Whether a rule may be about what is in a file."""
    environment = policy.settings.layout.environment(path)
    return not rule.selectors or any(
        (one.file is None or one.file.matches(path))
        and (one.environment is None or not environment or one.environment.matches(environment))
        for one in rule.selectors
    )


def _said(ways: set[str], old: set[str], new: set[str]) -> Iterator[tuple[str, str]]:
    """What is to be said of a file: a direction, and words."""
    for how, verb, names in ((LOOSENS, "newly", new - old), (TIGHTENS, "no longer", old - new)):
        for name in sorted(names):
            if "change" in ways:
                yield how, f"{name} can {verb} change as a code owner"
            if "approve" in ways and old and new:
                yield how, f"{name} {verb} counts as a code owner who approves"
    if "approve" in ways and bool(old) != bool(new):
        by = f", by {' or '.join(sorted(new))}" if new else ""
        yield (TIGHTENS if new else LOOSENS), f"approval by code owners is {'newly' if new else 'no longer'} wanted{by}"

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What of a repository no rule allows to be changed, and what of a policy is about nothing that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _valid
from ansible_collections.weft.platform.plugins.plugin_utils._policy._areas import ADDED, owners_change
from ansible_collections.weft.platform.plugins.plugin_utils._policy._codeowners import CodeOwners
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import PATH, VARIABLE
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import YAML_SUFFIXES, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import Field, Glob, Patterns
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy, Rule, Selector

#: How much a name must be like a variable's (difflib's ratio) to be taken for a slip of the pen.
_LIKE = 0.85


class Presence:
    """A policy beside the files that there are.

    Args:
        policy: the rules.
        tree: the files.
        owners: the CODEOWNERS files by the names that rules give them; those that are not there are nobody's.
    """

    def __init__(self, policy: Policy, tree: Files, owners: Mapping[str, CodeOwners]) -> None:
        self._policy = policy
        self._tree = tree
        self._owners = owners
        self._inventories = f"{policy.settings.layout.inventories}/"
        #: every path, with the environment that it belongs to
        self._paths = {entry.path: policy.settings.layout.environment(entry.path) for entry in tree.walk()}

    # -- the repository -------------------------------------------------------------------------------------------

    def not_allowed(self) -> list[str]:
        """Folders and files at the top of the repository in which no rule allows anybody to change anything.

        What is in the files is not looked at: a rule about objects or variables may be about any that could hold some.
        """
        allowing = [(rule, one) for rule in self._policy.rules for one in rule.selectors or (Selector(),)]
        allowing = [(rule, one) for rule, one in allowing if rule.allowed is not None or owners_change(rule)]
        tops: dict[str, bool] = {}
        for path in self._paths:
            folder, slash, _ = path.partition("/")
            top = f"{folder}/**" if slash else folder
            tops[top] = tops.get(top, False) or any(self._may_allow(rule, one, path) for rule, one in allowing)
        return sorted(top for top, allowed in tops.items() if not allowed)

    def _may_allow(self, rule: Rule, selector: Selector, path: str) -> bool:
        if not self._fits(selector, path):
            return False
        if owners_change(rule) and rule.owned is not None and rule.allowed is None:
            parsed = self._owners.get(rule.owned.file)
            return parsed is not None and bool(parsed.owners(path))
        whole = selector.type in ("", PATH) and selector == selector._replace(
            object=None, field=None, group=None, host=None
        )
        return whole or path.endswith(YAML_SUFFIXES) or path.startswith(self._inventories)

    def _fits(self, selector: Selector, path: str) -> bool:
        if selector.file is not None and not selector.file.matches(path):
            return False
        environment = self._paths[path]
        if selector.environment is None or selector.environment.items == ["*"]:
            return True
        return bool(environment) and selector.environment.matches(environment)

    # -- the policy -----------------------------------------------------------------------------------------------

    def about_nothing(self) -> list[str]:
        """What in rules matches nothing now: paths without a file, environments without one, names of no variable.

        Raises:
            SchemaError: the schema of the collection's variables is not there.
        """
        out: dict[str, None] = {}
        for rule in self._policy.rules:
            excepted = (one for exception in rule.exceptions for one in exception.selectors)
            for selector in (*rule.selectors, *(one.selector for one in rule.requires), *excepted):
                if selector.action != (ADDED,):  # which is about what is not there
                    out.update((f"{why} (rule {rule.name})", None) for why in self._nothing(selector))
        return list(out)

    def _nothing(self, selector: Selector) -> Iterator[str]:
        missing = [*self._no_file(selector.file), *self._no_environment(selector.environment)]
        yield from missing
        both = selector.file is not None and selector.environment is not None
        if both and not missing and not any(self._fits(selector, path) for path in self._paths):
            yield f"no file that matches {selector.file!r} belongs to the environment {selector.environment!r}"
        if selector.object is None and selector.type in ("", VARIABLE) and selector.field is not None:
            for pattern in selector.field.positive:
                yield from self._no_variable(pattern)

    def _no_file(self, patterns: Patterns | None) -> Iterator[str]:
        for one in patterns.positive if patterns is not None else ():
            there = one.literal in self._paths if one.literal is not None else any(map(one.matches, self._paths))
            if not there:
                yield f"no file matches {one.pattern}"

    def _no_environment(self, patterns: Patterns | None) -> Iterator[str]:
        known = set(self._paths.values())
        for one in patterns.positive if patterns is not None else ():
            if one.pattern != "*" and not any(map(one.matches, known)):
                yield f"nothing belongs to an environment {one.pattern}"

    def _no_variable(self, pattern: Field) -> Iterator[str]:
        """A name that is like those of the collection's variables and is none, and that no inventory has."""
        first = pattern.steps[0]
        name = first.literal if isinstance(first, Glob) else None
        if name is None or name in self._variables.properties:
            return
        near = get_close_matches(name, list(self._variables.properties), 1, _LIKE)
        if (near or name.startswith(self._variables.prefixes)) and not self._mentioned(name):
            yield f"there is no variable {name}" + (f"; do you mean {near[0]}?" if near else "")

    @cached_property
    def _variables(self) -> _valid.Variables:
        return _valid.variables()

    def _mentioned(self, name: str) -> bool:
        for path in self._paths:
            try:
                if path.startswith(self._inventories) and name.encode() in self._tree.read(path):
                    return True
            except GitError:
                continue  # a link, or larger than what is read
        return False

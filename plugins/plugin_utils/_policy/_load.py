# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The policy's files, read strictly: everything that is wrong is said at once, each with file and line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Path, Value
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _checks
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import (
    HOST,
    OBJECT,
    PATH,
    VARIABLE,
    Layout,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import (
    Fields,
    PathGlob,
    PatternError,
    Patterns,
    Predicate,
    predicate,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    PROHIBIT,
    WARN,
    GitError,
    PolicyError,
    Problem,
    RulesError,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import (
    ANYONE,
    BUILT_IN,
    OFF,
    REQUIRE_WHERE,
    Approvals,
    Deny,
    Exempt,
    Identity,
    ObjectSelector,
    Owned,
    Policy,
    Require,
    Role,
    Rule,
    Selector,
    Settings,
    Unless,
    Who,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import POLICY

ROLES, SETTINGS, RULES, TESTS = f"{POLICY}/roles.yml", f"{POLICY}/settings.yml", f"{POLICY}/rules/", f"{POLICY}/tests/"

#: A policy file may not be larger; a policy is read by people.
_LIMITS = _yaml.Limits(size=1024 * 1024, nodes=100_000, depth=30, aliases=200)

_SELECTOR = ("type", "file", "environment", "cluster", "group", "host", "object", "action", "field", "old", "new")
_OBJECT = ("group", "kind", "namespace", "name", "labels")
_EFFECTS = ("allow", "only", "approvals", "deny", "deny_unless", "require", "codeowners")
_RULE = ("name", "description", "change", *_EFFECTS, "exceptions", "severity", "existing")
_ACTIONS = ("added", "changed", "removed")
_TYPES = (OBJECT, VARIABLE, HOST, PATH)
_EXCEPTION = ("until", "approved_by", "reason", "to", "change")


class _File:
    """One policy file while it is read."""

    def __init__(self, document: _yaml.Document, problems: list[Problem]) -> None:
        self.document = document
        self.problems = problems
        for twice in document.duplicates:
            first = twice.first.line
            problems.append(Problem(twice.second.origin, f"key {twice.path[-1]!r} is there already, at line {first}"))

    def origin(self, path: Path) -> Origin:
        return self.document.key_position(path).origin

    def problem(self, path: Path, message: str) -> None:
        self.problems.append(Problem(self.origin(path), message))

    def mapping(self, value: Value, path: Path, known: Collection[str], what: str) -> Mapping[str, Value]:
        """The value where it is a mapping with no other keys than these; keys that are not known are problems."""
        if not isinstance(value, dict):
            self.problem(path, f"{what} is no mapping; it has {_listed(known)}")
            return {}
        for key in value:
            if key not in known:
                self.problem((*path, key), f"{what} has no {key!r}; {_hint(str(key), known)}")
        return {key: inner for key, inner in value.items() if key in known}

    def items(self, value: Value, path: Path, what: str) -> list[tuple[Value, Path]]:
        """The items of a list, each with its path."""
        if not isinstance(value, list):
            self.problem(path, f"{what} is no list")
            return []
        return [(item, (*path, index)) for index, item in enumerate(value)]

    def text(self, value: Value, path: Path, what: str) -> str:
        """The value where it is a text with something in it."""
        if not isinstance(value, str) or not value.strip():
            self.problem(path, f"{what} is no text")
            return ""
        return value

    def texts(self, value: Value, path: Path, what: str) -> list[str]:
        """The value where it is a list of texts, or one."""
        if isinstance(value, str):
            value = [value]
        return [text for item, at in self.items(value, path, what) if (text := self.text(item, at, f"item of {what}"))]

    def one_of(self, value: Value, path: Path, known: Sequence[str], what: str) -> str:
        """The value where it is one of these words."""
        if value not in known:
            self.problem(path, f"{what} is {_shown(value)}; it is one of {_listed(known)}")
            return known[0]
        return str(value)

    def pattern(self, build: Callable[[], Any], path: Path) -> Any:
        """What `build` makes of a pattern, or None with a problem."""
        try:
            return build()
        except PatternError as error:
            self.problem(path, str(error))
            return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _hint(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # only where something is wrong

    near = get_close_matches(name, list(known), 1, 0.6)
    return f"do you mean {near[0]!r}?" if near else f"there is {_listed(known) or 'none'}"


class _Load:
    """Reads all files of a policy."""

    def __init__(self, tree: Files) -> None:
        self.tree = tree
        self.problems: list[Problem] = []
        self.roles: dict[str, Role] = {}
        self.knows_roles = True  # where they cannot be read, that is said, and not of every rule again
        self.teams: dict[str, tuple[str, ...]] = {}
        self.people: dict[str, tuple[str, ...]] = {}
        self.owners: Who | None = None
        self.settings = Settings()
        self.rules: list[Rule] = []
        self.files: list[str] = []
        self.digest = sha256()

    def policy(self) -> Policy:
        """All of it; problems are gathered."""
        for entry in sorted(self.tree.walk(POLICY), key=lambda one: one.path):
            self.files.append(entry.path)
            self.digest.update(f"{entry.mode} {entry.oid} {entry.path}\n".encode("utf-8", "surrogateescape"))
            if not entry.mode.startswith("100"):
                self._say(entry.path, "is no plain file; a policy has no links")
        if not self.files:
            self._say(POLICY, "there is no policy; add policy/roles.yml and policy/rules/*.yml to the target branch")
        for path in (ROLES, SETTINGS):
            if path in self.files:
                self._read(path, self._roles if path == ROLES else self._settings)
        if self.files and ROLES not in self.files:
            self._say(ROLES, "is missing; it says who is who")
            self.knows_roles = False
        for path in self.files:
            if path.startswith(RULES):
                self._rule_file(path)
        return Policy(
            self.roles,
            tuple(sorted(self.rules, key=lambda rule: (rule.name, rule.origin.file, rule.origin.line))),
            self.owners,
            self.teams,
            self.people,
            self.settings,
            self.digest.hexdigest() if self.files else "",
            tuple(self.files),
        )

    def _say(self, path: str, message: str) -> None:
        self.problems.append(Problem(Origin(path), message))

    def _rule_file(self, path: str) -> None:
        if path.endswith((".yml", ".yaml")):
            self._read(path, self._rules)
        elif not path.endswith(".md"):
            self._say(path, "is no .yml file, so its rules would not be read; rename it or take it away")

    def _read(self, path: str, take: Callable[[_File, Value], None]) -> None:
        try:
            documents = _yaml.read(self.tree.read(path), path, "ansible", _LIMITS)
        except _yaml.YamlError as error:
            self._unreadable(Problem(Origin(path, error.line), error.message))
            return
        except GitError as error:
            self._unreadable(Problem(Origin(path), str(error)))
            return
        if len(documents) > 1:
            self.problems.append(Problem(documents[1].position().origin, "a second document; a policy file has one"))
        for document in documents[:1]:
            if document.value is not None:
                take(_File(document, self.problems), document.value)

    def _unreadable(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.knows_roles = self.knows_roles and problem.origin.file != ROLES

    # -- roles --------------------------------------------------------------------------------------------------

    def _roles(self, file: _File, value: Value) -> None:
        top = file.mapping(value, (), ("roles", "owners", "teams", "people"), "the file")
        self.teams = self._logins(file, top.get("teams", {}), ("teams",), "team")
        self.people = {
            login: tuple(file.texts(addresses, ("people", login), f"addresses of {login}"))
            for login, addresses in self._named(file, top.get("people", {}), ("people",), "people").items()
            if self._login(file, login, ("people", login))
        }
        roles = self._named(file, top.get("roles", {}), ("roles",), "roles")
        for name in roles:
            if name == ANYONE or ":" in name:
                file.problem(("roles", name), f"a role cannot be called {name!r}")
        for name, role in roles.items():
            at: Path = ("roles", name)
            parts = file.mapping(role, at, ("members", "description"), f"role {name}")
            members = file.texts(parts.get("members", []), (*at, "members"), f"members of {name}")
            for index, member in enumerate(members):
                self._member(file, member, (*at, "members", index), roles)
            self.roles[name] = Role(name, tuple(members), file.origin(at))
        for name in sorted(self.roles):
            if self._in_circle(name):
                file.problem(("roles", name), f"role {name} is a member of itself")
        if "owners" in top:
            self.owners = self._who(file, top["owners"], ("owners",))

    def _named(self, file: _File, value: Value, path: Path, what: str) -> Mapping[str, Value]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            file.problem(path, f"{what} is no mapping of names")
            return {}
        return value

    def _logins(self, file: _File, value: Value, path: Path, what: str) -> dict[str, tuple[str, ...]]:
        out = {}
        for name, logins in self._named(file, value, path, f"{what}s").items():
            at = (*path, name)
            found = file.texts(logins, at, f"{what} {name}")
            out[name] = tuple(login for login in found if self._login(file, login, at))
        return out

    @staticmethod
    def _login(file: _File, login: str, path: Path) -> bool:
        problem = login_problem(login)
        if problem:
            file.problem(path, problem)
        return not problem

    def _member(self, file: _File, member: str, path: Path, roles: Collection[str]) -> None:
        kind, colon, name = member.partition(":")
        if member == ANYONE:
            return
        if not colon or kind not in ("user", "team", "role") or not name:
            file.problem(path, f"member {_shown(member)}: write user:LOGIN, team:TEAM, role:ROLE or {ANYONE}")
        elif kind == "role" and name not in roles:
            file.problem(path, f"there is no role {name!r}; {_hint(name, roles)}")
        elif kind == "user":
            self._login(file, name, path)

    def _in_circle(self, name: str) -> bool:
        todo, seen = [name], set()
        while todo:
            for member in self.roles[todo.pop()].members:
                inner = member.removeprefix("role:")
                if inner == name and member != inner:
                    return True
                if inner != member and inner in self.roles and inner not in seen:
                    seen.add(inner)
                    todo.append(inner)
        return False

    def _who(self, file: _File, value: Value, path: Path) -> Who | None:
        """Whom a rule means: a name, a list (any of them), {any: [...]}, {all: [...]}."""
        if isinstance(value, str):
            return self._one(file, value, path)
        how = "any"
        if isinstance(value, dict):
            parts = file.mapping(value, path, ("any", "all"), "who")
            if len(parts) != 1:
                file.problem(path, "who is a role, a list of them, {any: [...]} or {all: [...]}")
                return None
            (how, value), *_ = parts.items()
            path = (*path, how)
        if not isinstance(value, list) or not value:
            file.problem(path, "who is a role, a list of them, {any: [...]} or {all: [...]}, with something in it")
            return None
        found = [self._who(file, item, at) for item, at in file.items(value, path, "who")]
        return Who(how, of=tuple(one for one in found if one is not None))

    def _one(self, file: _File, name: str, path: Path) -> Who:
        kind, colon, rest = name.partition(":")
        if colon and kind in ("user", "team") and rest:
            if kind == "user":
                self._login(file, rest, path)
        elif self.knows_roles and name != ANYONE and name.removeprefix("role:") not in self.roles:
            file.problem(path, f"there is no role {name!r}; {_hint(name, self.roles)}")
        return Who("one", name.removeprefix("role:"))

    # -- settings -----------------------------------------------------------------------------------------------

    def _settings(self, file: _File, value: Value) -> None:
        known = ("identity", "inventories", "environments", "plain", "render", "cluster_scoped", "checks", "exceptions")
        top = file.mapping(value, (), known, "the file")
        layout = Layout()
        if "inventories" in top:
            parts = file.mapping(top["inventories"], ("inventories",), ("directory", "base"), "inventories")
            directory = file.text(parts.get("directory", layout.inventories), ("inventories", "directory"), "directory")
            base = file.text(parts.get("base", layout.base), ("inventories", "base"), "base")
            layout = layout._replace(inventories=directory.strip("/"), base=base)
        environments = {}
        for name, patterns in self._named(file, top.get("environments", {}), ("environments",), "environments").items():
            environments[name] = self._patterns(file, patterns, ("environments", name), "environment", PathGlob)
        plain = self._patterns(file, top["plain"], ("plain",), "plain", PathGlob) if "plain" in top else None
        roots, values, isolated = self._render(file, top.get("render", {}))
        scoped = file.texts(top.get("cluster_scoped", []), ("cluster_scoped",), "cluster_scoped")
        layout = layout._replace(
            environments={name: one for name, one in environments.items() if one is not None},
            plain=plain,
            roots=roots,
            values=values,
            isolated=isolated,
        )
        identity, checks = self._identity(file, top.get("identity", {})), self._checks(file, top.get("checks", {}))
        longest = self._longest(file, top["exceptions"], ("exceptions",)) if "exceptions" in top else None
        self.settings = Settings(identity, layout, frozenset(scoped), checks, longest)

    @staticmethod
    def _longest(file: _File, value: Value, path: Path) -> int | None:
        days = file.mapping(value, path, ("longest",), "exceptions").get("longest")
        if isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= 36500:
            return days
        file.problem((*path, "longest"), f"longest is {_shown(days)}; it is a number of days from 1 on")
        return None

    @staticmethod
    def _checks(file: _File, value: Value) -> dict[str, str]:
        parts = file.mapping(value, ("checks",), BUILT_IN, "checks")
        # to YAML 1.1 the word off is false
        said = {name: OFF if how is False else how for name, how in parts.items()}
        known = (PROHIBIT, WARN, OFF)
        return {name: file.one_of(how, ("checks", name), known, f"check {name}") for name, how in said.items()}

    @staticmethod
    def _identity(file: _File, value: Value) -> Identity:
        parts = file.mapping(value, ("identity",), ("commits", "services"), "identity")
        known = ("forge", "signed", "pushed")
        commits = file.one_of(parts.get("commits", "forge"), ("identity", "commits"), known, "commits")
        services = parts.get("services", list(Identity().services))
        return Identity(commits, tuple(file.texts(services, ("identity", "services"), "services")))

    @staticmethod
    def _render(file: _File, value: Value) -> tuple[tuple[str, ...], dict[str, tuple[tuple[str, ...], ...]], bool]:
        parts = file.mapping(value, ("render",), ("roots", "charts", "network_namespace"), "render")
        roots = tuple(one.strip("/") for one in file.texts(parts.get("roots", []), ("render", "roots"), "roots"))
        charts: dict[str, tuple[tuple[str, ...], ...]] = {}
        raw = parts.get("charts", {})
        if not isinstance(raw, dict):
            file.problem(("render", "charts"), "charts is no mapping of a chart's directory to lists of values files")
            raw = {}
        for chart, sets in raw.items():
            at: Path = ("render", "charts", chart)
            found = [tuple(file.texts(item, path, "values files")) for item, path in file.items(sets, at, f"{chart}")]
            charts[str(chart).strip("/")] = tuple(found) or ((),)
        wanted = parts.get("network_namespace", "preferred")
        how = file.one_of(wanted, ("render", "network_namespace"), ("required", "preferred"), "network_namespace")
        return roots, charts, how == "required"

    # -- rules --------------------------------------------------------------------------------------------------

    def _rules(self, file: _File, value: Value) -> None:
        top = file.mapping(value, (), ("rules",), "the file")
        names = {rule.name: rule for rule in self.rules}
        for item, path in file.items(top.get("rules", []), ("rules",), "rules"):
            rule = self._rule(file, item, path)
            if rule is None:
                continue
            if rule.name in names:
                where = names[rule.name].origin
                file.problem(
                    (*path, "name"), f"rule {rule.name!r} is there already, at {where}; names tell rules apart"
                )
            names[rule.name] = rule
            self.rules.append(rule)

    def _rule(self, file: _File, value: Value, path: Path) -> Rule | None:
        parts = file.mapping(value, path, _RULE, "a rule")
        if not parts:
            if value == {}:
                file.problem(path, "the rule is empty; take it away, or write it")
            return None
        name = file.text(parts.get("name"), (*path, "name"), "name of the rule")
        selectors = self._selectors(file, parts["change"], (*path, "change")) if "change" in parts else ()
        allow, only = (self._who(file, parts[key], (*path, key)) if key in parts else None for key in ("allow", "only"))
        rule = Rule(
            name,
            file.origin((*path, "name") if name else path),
            selectors,
            parts,
            allow=allow,
            only=only,
            approvals=self._approvals(file, parts["approvals"], (*path, "approvals"), allow or only)
            if "approvals" in parts
            else None,
            deny=self._deny(file, parts["deny"], (*path, "deny")) if "deny" in parts else None,
            deny_unless=self._unless(file, parts["deny_unless"], (*path, "deny_unless"))
            if "deny_unless" in parts
            else None,
            requires=self._requires(file, parts["require"], (*path, "require")) if "require" in parts else (),
            owned=self._owned(file, parts["codeowners"], (*path, "codeowners")) if "codeowners" in parts else None,
            exceptions=self._exceptions(file, parts.get("exceptions", []), (*path, "exceptions")),
            severity=file.one_of(parts.get("severity", PROHIBIT), (*path, "severity"), (PROHIBIT, WARN), "severity"),
            existing=self._existing(file, parts, path),
        )
        self._whole(file, rule, parts, path)
        return rule if name else None

    @staticmethod
    def _existing(file: _File, parts: Mapping[str, Value], path: Path) -> bool:
        value = parts.get("existing", "report")
        return file.one_of(value, (*path, "existing"), ("report", "prohibit"), "existing") == "prohibit"

    @staticmethod
    def _whole(file: _File, rule: Rule, parts: Mapping[str, Value], path: Path) -> None:
        """What a rule as a whole must have."""
        if not any(key in parts for key in _EFFECTS):
            file.problem(path, f"the rule says nothing of a change; it has one of {_listed(_EFFECTS)}")
        if "change" not in parts and set(_EFFECTS) & parts.keys() - {"require", "codeowners"}:
            file.problem(path, "the rule does not say which change it is about; add change, e.g. {file: '**'}")
        if rule.allow is not None and rule.only is not None:
            file.problem((*path, "only"), "a rule has allow or only, not both")
        if rule.deny_unless is not None and any(selector.field is None for selector in rule.selectors):
            file.problem((*path, "deny_unless"), "deny_unless compares the values of a field; name it in change")
        if ("severity" in parts or "existing" in parts) and not rule.requires:
            file.problem(path, "severity and existing are for rules with require")
        if any(one.document for one in rule.requires) and not all(map(_means_files, rule.selectors)):
            file.problem((*path, "change"), "a document is a whole file: select by file, environment and action")

    def _selectors(self, file: _File, value: Value, path: Path) -> tuple[Selector, ...]:
        """A selector, or a list of them of which any may fit."""
        if isinstance(value, list):
            found = [self._selector(file, item, at) for item, at in file.items(value, path, "change")]
            if not found:
                file.problem(path, "change is an empty list")
            return tuple(found)
        return (self._selector(file, value, path),)

    def _selector(self, file: _File, value: Value, path: Path) -> Selector:
        parts = dict(file.mapping(value, path, _SELECTOR, "change"))
        if not parts and isinstance(value, dict) and not value:
            file.problem(path, "change is empty; for everything write {file: '**'}")
        if "cluster" in parts and "environment" in parts:
            file.problem((*path, "cluster"), "cluster is another word for environment; write one of them")
        # A key without a value would select everything.
        for key in [key for key, found in parts.items() if found in (None, []) and key not in ("old", "new")]:
            file.problem((*path, key), f"{key} is empty; write what it selects, or take it away")
            del parts[key]
        parts.setdefault("environment", parts.get("cluster"))

        def patterns(key: str, build: Any = None) -> Patterns | None:
            found = parts.get(key)
            return None if found is None else self._patterns(file, found, (*path, key), key, build)

        field = parts.get("field")
        old, new = (self._predicate(file, parts, key, (*path, key)) for key in ("old", "new"))
        if field is None and (old is not None or new is not None):
            file.problem(path, "old and new are values of a field; add field")
        actions = parts.get("action")
        actions = file.texts(actions, (*path, "action"), "action") if actions is not None else []
        return Selector(
            type=file.one_of(parts["type"], (*path, "type"), _TYPES, "type") if "type" in parts else "",
            file=patterns("file", PathGlob),
            environment=patterns("environment"),
            group=patterns("group"),
            host=patterns("host"),
            object=self._object(file, parts["object"], (*path, "object")) if "object" in parts else None,
            action=tuple(file.one_of(action, (*path, "action"), _ACTIONS, "action") for action in actions),
            field=file.pattern(lambda: Fields(field), (*path, "field")) if field is not None else None,
            old=old,
            new=new,
        )

    @staticmethod
    def _patterns(file: _File, value: Value, path: Path, what: str, build: Any = None) -> Patterns | None:
        found = file.pattern(lambda: Patterns(value, what, build) if build else Patterns(value, what), path)
        return found if isinstance(found, Patterns) else None

    @staticmethod
    def _predicate(file: _File, parts: Mapping[str, Value], key: str, path: Path) -> Predicate | None:
        if key not in parts:
            return None
        found: Predicate | None = file.pattern(lambda: predicate(parts[key], key), path)
        return found

    def _object(self, file: _File, value: Value, path: Path) -> ObjectSelector:
        parts = file.mapping(value, path, _OBJECT, "object")

        def patterns(key: str) -> Patterns | None:
            return self._patterns(file, parts[key], (*path, key), key) if key in parts else None

        # The group of Pods and ConfigMaps is "", which people call core.
        group = Patterns("core", "group") if parts.get("group") == "" else patterns("group")
        labels = []
        for key, wanted in self._named(file, parts.get("labels", {}), (*path, "labels"), "labels").items():
            found = self._patterns(file, wanted, (*path, "labels", key), f"label {key}")
            labels += [(key, found)] if found is not None else []
        return ObjectSelector(group, patterns("kind"), patterns("namespace"), patterns("name"), tuple(labels))

    def _approvals(self, file: _File, value: Value, path: Path, default: Who | None) -> Approvals | None:
        if isinstance(value, int) and not isinstance(value, bool):
            value = {"count": value}
        parts = file.mapping(value, path, ("count", "from", "unless"), "approvals")
        number = parts.get("count", 1)
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 100:
            file.problem((*path, "count"), f"count is {_shown(number)}; it is a number from 1 on")
            number = 1
        source = self._who(file, parts["from"], (*path, "from")) if "from" in parts else default
        if source is None:
            file.problem(path, "approvals: say from whom")
            return None
        unless = self._who(file, parts["unless"], (*path, "unless")) if "unless" in parts else None
        return Approvals(number, source, unless)

    def _deny(self, file: _File, value: Value, path: Path) -> Deny:
        if isinstance(value, str):
            return Deny(file.text(value, path, "deny"))
        parts = file.mapping(value, path, ("reason", "to"), "deny")
        reason = file.text(parts.get("reason"), (*path, "reason"), "reason")
        return Deny(reason, self._who(file, parts["to"], (*path, "to")) if "to" in parts else None)

    def _unless(self, file: _File, value: Value, path: Path) -> Unless:
        parts = file.mapping(value, path, ("old", "new", "reason"), "deny_unless")
        old, new = (self._predicate(file, parts, key, (*path, key)) for key in ("old", "new"))
        if old is None and new is None:
            file.problem(path, "deny_unless says what must hold: old, new, or both")
        reason = file.text(parts["reason"], (*path, "reason"), "reason") if "reason" in parts else ""
        text = ", ".join(f"{key}: {parts[key]}" for key in ("old", "new") if key in parts)
        return Unless(reason, old, new, text)

    def _requires(self, file: _File, value: Value, path: Path) -> tuple[Require, ...]:
        out = []
        items = file.items(value, path, "require") if isinstance(value, list) else [(value, path)]
        for item, at in items:
            names = (*REQUIRE_WHERE, *_checks.TABLE)
            parts = file.mapping(item, at, names, "require")
            found = [name for name in parts if name in _checks.TABLE]
            if not found:
                file.problem(at, f"require names a check: {_listed(_checks.TABLE)}")
            document = "document" in parts
            if document:
                self._document(file, parts, found, at)
            selector = Selector(
                type=PATH if document else OBJECT,
                file=self._patterns(file, parts["file"], (*at, "file"), "file", PathGlob) if "file" in parts else None,
                environment=self._patterns(file, parts["environment"], (*at, "environment"), "environment")
                if "environment" in parts
                else None,
                object=self._object(file, parts["object"], (*at, "object")) if "object" in parts else None,
            )
            for name in found:
                self._params(file, name, parts[name], (*at, name))
                out.append(Require(name, parts[name], selector, file.origin((*at, name)), document))
        return tuple(out)

    @staticmethod
    def _document(file: _File, parts: Mapping[str, Value], checks: Sequence[str], path: Path) -> None:
        """What a check of documents must have."""
        if parts["document"] is not True:
            file.problem((*path, "document"), "document is true, or not there")
        if "file" not in parts or "object" in parts:
            file.problem(path, "a document is a file's: say which by file, and not by object")
        for name in checks:
            if name != "rego":
                file.problem((*path, name), f"{name} is for objects; documents are for rego")

    @staticmethod
    def _params(file: _File, name: str, value: Value, path: Path) -> None:
        try:
            for problem in _checks.params(name)(name, value):
                file.problem(path, problem)
        except PolicyError as error:
            file.problem(path, str(error))

    def _owned(self, file: _File, value: Value, path: Path) -> Owned:
        if isinstance(value, str):
            value = {"owners": value}
        parts = file.mapping(value, path, ("owners", "file"), "codeowners")
        how = file.one_of(parts.get("owners", "approve"), (*path, "owners"), ("approve", "change"), "codeowners")
        where = file.text(parts["file"], (*path, "file"), "file") if "file" in parts else ""
        if where and self.tree.entry(where) is None:
            file.problem((*path, "file"), f"there is no file {where}")
        return Owned(where, how)

    def _exceptions(self, file: _File, value: Value, path: Path) -> tuple[Exempt, ...]:
        out = []
        for item, at in file.items(value, path, "exceptions"):
            parts = file.mapping(item, at, _EXCEPTION, "an exception")
            until = moment(parts.get("until"))
            if until is None:
                file.problem((*at, "until"), "until is a date (2026-12-31) or a time (2026-12-31T12:00:00Z)")
            by = file.text(parts.get("approved_by"), (*at, "approved_by"), "approved_by")
            if by and (not by.startswith("user:") or login_problem(by[5:])):
                file.problem((*at, "approved_by"), "approved_by names the person who answers for it: user:LOGIN")
            reason = file.text(parts.get("reason"), (*at, "reason"), "reason")
            selectors = self._selectors(file, parts["change"], (*at, "change")) if "change" in parts else ()
            to = self._who(file, parts["to"], (*at, "to")) if "to" in parts else None
            if until is not None:
                out.append(Exempt(until, by, reason, to, selectors, file.origin(at), parts))
        return tuple(out)


def _means_files(selector: Selector) -> bool:
    """Whether a selector can mean a file as a whole."""
    inside = (selector.object, selector.group, selector.host, selector.field)
    return selector.type in ("", PATH) and all(part is None for part in inside)


def login_problem(login: str) -> str:
    """What is wrong with a login, "" when nothing is.

    Names that only look like another are refused: text that Unicode's compatibility form (NFKC) changes, and
    characters that do not show.
    """
    if not login or login != login.strip() or any(unicodedata.category(one)[0] in "CZ" for one in login):
        return f"login {login!r} has blanks or characters that do not show"
    plain = unicodedata.normalize("NFKC", login)
    if plain != login:
        return f"login {login!r} is not written as it is read; write {plain!r} if you mean that"
    return ""


def moment(value: Value) -> datetime | None:
    """A date (all of that day counts) or a time with its zone, as UTC; None when it is neither."""
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10:
            return datetime.fromisoformat(value).replace(tzinfo=UTC) + timedelta(days=1, microseconds=-1)
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def load(tree: Files) -> Policy:
    """The policy in a tree.

    Raises:
        RulesError: something is wrong with it; `problems` says all of it.
    """
    reading = _Load(tree)
    policy = reading.policy()
    if reading.problems:
        raise RulesError(sorted(set(reading.problems), key=lambda one: (one.origin.file, one.origin.line, one.message)))
    return policy


def readable(tree: Files) -> Policy:
    """What can be read of a policy, broken or not."""
    return _Load(tree).policy()


def owners(tree: Files) -> Policy | None:
    """What can be known of a broken policy: its roles and owners, if policy/roles.yml itself can be read; else None."""
    reading = _Load(tree)
    policy = reading.policy()
    if any(problem.origin.file == ROLES for problem in reading.problems) or policy.owners is None:
        return None
    return policy

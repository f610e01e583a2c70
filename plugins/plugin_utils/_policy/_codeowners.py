# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CODEOWNERS files as GitHub reads them: who owns a path.

Source of the rules: the page "About code owners" of GitHub's documentation.  The last line that matches a path says
who owns it; a line without owners makes what it matches unowned.  Patterns are those of .gitignore, but `!`, `[ ]`
and an escaped `#` do not work (GitHub wants the brackets of a name escaped), and `docs/*` does not reach into folders
below docs.  A line that cannot be read is skipped, as on GitHub, and reported in `problems`.

GitLab and Gitea read the same file otherwise (sections, regular expressions, `!`): their rules are not applied.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import GitError, PolicyError, Problem, Tree

if TYPE_CHECKING:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy, Rule, Who

#: Where GitHub looks for the file; the first that is there counts.
LOCATIONS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")

#: GitHub does not load a file that is not under 3 MB.
MAX_BYTES = 3 * 1024 * 1024

#: What the rules call everybody.
_ANYONE = "anyone"
_USER = re.compile(r"@[A-Za-z0-9_-]+", re.ASCII)
_TEAM = re.compile(r"@[A-Za-z0-9-]+/[A-Za-z0-9_-]+", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,63}", re.ASCII)


_ESCAPED = re.compile(r"\\.", re.DOTALL)


class CodeOwnersError(PolicyError):
    """The file cannot be used at all."""


class OwnerLine(NamedTuple):
    """One line that says who owns something.

    pattern  as written, escapes included
    owners   "@login", "@org/team" or an address, as written; () makes what matches unowned
    line     1-based
    """

    pattern: str
    owners: tuple[str, ...]
    line: int


class _Glob(NamedTuple):
    """One segment of a pattern between slashes: characters, each with whether it is a wildcard."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def literal(self) -> str | None:
        """The segment as plain text, None when it has wildcards."""
        return None if any(wild for _char, wild in self.parts) else "".join(char for char, _wild in self.parts)

    def matches(self, text: str) -> bool:
        """Whether it matches one segment of a path; linear in practice, never more than the product of lengths."""
        parts = self.parts
        at = part = 0
        star, resume = -1, 0
        while at < len(text):
            if part < len(parts) and parts[part] == ("*", True):
                star, resume = part, at
                part += 1
            elif part < len(parts) and (parts[part] == ("?", True) or parts[part] == (text[at], False)):
                part += 1
                at += 1
            elif star >= 0:
                resume += 1
                at, part = resume, star + 1
            else:
                return False
        return all(rest == ("*", True) for rest in parts[part:])


#: `**` between slashes: any number of segments.
_ANY_DEPTH = None
_Segment = _Glob | None
_STAR = _Glob((("*", True),))


class _Pattern(NamedTuple):
    """A pattern, taken apart.

    segments  None for `**`
    below     whether it also matches what is below the path it matches
    """

    segments: tuple[_Segment, ...]
    below: bool

    def matches(self, path: Sequence[str]) -> bool:
        """Whether it matches a path, given in its segments."""
        # the positions in the path that some way through the segments so far leads to
        reached = {0}
        last = len(self.segments) - 1
        for index, segment in enumerate(self.segments):
            if segment is _ANY_DEPTH:
                # at the end `**` is what is in the folder, not the folder itself
                first = min(reached) + (1 if index == last else 0)
                reached = set(range(first, len(path) + 1))
            else:
                reached = {at + 1 for at in reached if at < len(path) and segment.matches(path[at])}
            if not reached:
                return False
        return len(path) in reached or self.below


class CodeOwners:
    """A CODEOWNERS file.

    file      its path
    lines     the lines that count, in order
    problems  the lines that are skipped, each with the reason
    """

    def __init__(self, file: str, lines: Iterable[tuple[OwnerLine, _Pattern]], problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        self._rules: tuple[tuple[OwnerLine, _Pattern], ...] = tuple(lines)
        self.lines: tuple[OwnerLine, ...] = tuple(line for line, _pattern in self._rules)
        # lines that begin with a plain folder need only be looked at for paths below that folder
        self._by_first: dict[str, list[int]] = {}
        self._anywhere: list[int] = []
        for index, (_line, pattern) in enumerate(self._rules):
            first = pattern.segments[0] if pattern.segments else _STAR
            name = first.literal if first is not _ANY_DEPTH else None
            (self._anywhere if name is None else self._by_first.setdefault(name, [])).append(index)

    def line_of(self, path: str) -> OwnerLine | None:
        """The line that says who owns `path` (from the top of the repository, no slash before it); None for none."""
        segments = path.split("/")
        candidates: list[int] = [*self._anywhere, *self._by_first.get(segments[0], ())]
        for index in sorted(candidates, reverse=True):
            if self._rules[index][1].matches(segments):
                return self.lines[index]
        return None

    def owners(self, path: str) -> tuple[str, ...] | None:
        """Who owns `path`: () when a line makes it unowned, None when no line matches it."""
        line = self.line_of(path)
        return None if line is None else line.owners

    def principals(self, path: str) -> tuple[str, ...] | None:
        """Who owns `path`, as the policy's rules name people; see `owners`."""
        owners = self.owners(path)
        return None if owners is None else tuple(map(principal, owners))


def find(tree: Tree) -> str | None:
    """Path of the CODEOWNERS file that GitHub would take from a tree; None when there is none."""
    for path in LOCATIONS:
        entry = tree.entry(path)
        if entry is not None and entry.mode.startswith("100"):
            return path
    return None


def parse(content: str | bytes, file: str = "CODEOWNERS") -> CodeOwners:
    """Read a CODEOWNERS file.

    Raises:
        CodeOwnersError: it is 3 MB or more, which GitHub does not load: nobody would own anything.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    if len(data) >= MAX_BYTES:
        raise CodeOwnersError(f"{file}: has {len(data)} bytes; GitHub loads only files under 3 MB; use wider patterns")
    rules: list[tuple[OwnerLine, _Pattern]] = []
    problems: list[Problem] = []
    text = data.decode("utf-8", "surrogateescape").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        try:
            rules.append(_rule(line, number))
        except ValueError as error:
            problems.append(Problem(Origin(file, number), f"{error}; the line is skipped"))
    return CodeOwners(file, rules, problems)


def of_rules(policy: Policy, tree: Tree) -> dict[str, CodeOwners]:
    """The CODEOWNERS files that rules ask for, by the names that they give them ("" for the one GitHub would take).

    Raises:
        GitError: there is no such file.
        CodeOwnersError: it is larger than what GitHub loads.
    """
    found = {}
    for name in sorted({rule.owned.file for rule in policy.rules if rule.owned is not None}):
        place = name or find(tree)
        if not place:
            raise GitError("a rule asks for CODEOWNERS, and there is no such file in the target branch")
        found[name] = parse(tree.read(place), place)
    return found


def principal(owner: str) -> str:
    """An owner as the policy's rules name people: "user:login", "team:org/team" or "email:address"."""
    if not owner.startswith("@"):
        return f"email:{owner}"
    return f"team:{owner[1:]}" if "/" in owner else f"user:{owner[1:]}"


def _rule(line: str, number: int) -> tuple[OwnerLine, _Pattern]:
    pattern, rest = _split(line)
    owners = tuple(rest.split())
    for owner in owners:
        if not any(form.fullmatch(owner) for form in (_USER, _TEAM, _EMAIL)):
            raise ValueError(f"{_shown(owner)} is no owner: write @login, @org/team or an address")
    return OwnerLine(pattern, owners, number), _compile(pattern)


def _shown(text: str) -> str:
    return repr(text[:100])


def _split(line: str) -> tuple[str, str]:
    """Pattern and owners; what follows a # is a comment, whatever stands before it."""
    line = line.partition("#")[0]
    at = 0
    while at < len(line) and line[at] not in " \t":
        at += 2 if line[at] == "\\" else 1
    return line[:at], line[at:]


def _compile(pattern: str) -> _Pattern:
    """
    Raises:
        ValueError: it is no pattern that works in CODEOWNERS.
    """
    if pattern.startswith("!"):
        raise ValueError("! does not work in CODEOWNERS; write a later line for the exception")
    bare = _ESCAPED.sub("", pattern)
    if "[" in bare or "]" in bare:
        raise ValueError(
            "[ ] does not work in CODEOWNERS; write a line for each character, or \\[ for the bracket itself"
        )
    if "{" in bare or "}" in bare:
        raise ValueError(
            "{ } does not work in CODEOWNERS; write a line for each alternative, or \\{ for the brace itself"
        )
    if "***" in bare:
        raise ValueError("*** is no wildcard")
    if any("\ud800" <= char <= "\udfff" for char in pattern):
        raise ValueError("it is not UTF-8")
    anchored = pattern.startswith("/")
    texts = pattern.removeprefix("/").split("/")
    if not any(texts):
        return _Pattern((), below=False)  # "/" matches nothing
    if not anchored and len([text for text in texts if text]) == 1 and len(texts) <= 2 and texts[0] != "**":
        texts = ["**", *texts]
    if texts == ["**", ""]:
        texts = ["**", "*", ""]  # every folder: what is in one, not what is at the top
    inside = texts[-1] == ""
    segments = tuple(_segment(text) for text in (texts[:-1] if inside else texts))
    if inside:
        segments = (*segments, _ANY_DEPTH)
    return _Pattern(segments, below=segments[-1] is not _ANY_DEPTH and segments[-1] != _STAR)


@functools.lru_cache(maxsize=4096)
def _segment(text: str) -> _Segment:
    if text == "**":
        return _ANY_DEPTH
    parts: list[tuple[str, bool]] = []
    escaped = False
    for char in text:
        if escaped or char not in "\\*?":
            parts.append((char, False))
            escaped = False
        elif char == "\\":
            escaped = True
        elif not (char == "*" and parts and parts[-1] == ("*", True)):
            parts.append((char, True))
    if escaped:
        raise ValueError("a backslash at the end escapes nothing (an escaped # does not work in CODEOWNERS)")
    return _Glob(tuple(parts))


# --- Writing ----------------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """A CODEOWNERS file made of rules, and what of them it cannot say."""

    text: str
    notes: tuple[str, ...]


class _Area(NamedTuple):
    """Files that a rule allows to be changed, as rules and as CODEOWNERS write them, and by whom; () is anyone."""

    item: str
    pattern: str
    owners: tuple[str, ...]


def write(policy: Policy, organisation: str = "") -> Written:
    """The CODEOWNERS file of a policy, as far as paths go.

    Rules that allow changes of files become lines: owners are those whose approvals a rule wants, else those whom it
    allows.  Lines of wider patterns come first, and a narrower one repeats their owners, since in CODEOWNERS the last
    match wins and in the policy any rule allows.  What looks at more than paths is left out and noted.

    Args:
        policy: the rules.
        organisation: whose teams are meant where a team is written without one.
    """
    notes: list[str] = []
    areas = [area for rule in policy.rules for area in _areas(rule, policy, organisation, notes)]
    lines: dict[str, tuple[str, ...]] = {}
    for area in sorted(areas, key=_narrowness):
        wider = [other for other in areas if _covers(other.item, area.item)]
        owners = dict.fromkeys(owner for other in (*wider, area) for owner in other.owners)
        lines[area.pattern] = tuple(dict.fromkeys([*lines.get(area.pattern, ()), *owners]))
        if owners and not all(other.owners for other in wider):
            notes.append(f"{area.item}: that anyone may change it")
    notes += _overlaps(areas, lines)
    notes = list(dict.fromkeys(notes))
    width = max((len(pattern) for pattern in lines), default=0)
    head = ["# Made from the rules in policy/; change those, not this file."]
    head += [f"# Not said here: {note}" for note in notes]
    body = [f"{pattern:{width}} {' '.join(owners)}".rstrip() for pattern, owners in lines.items()]
    return Written("\n".join([*head, *body]) + "\n", tuple(notes))


def _areas(rule: Rule, policy: Policy, organisation: str, notes: list[str]) -> Iterator[_Area]:
    if rule.allowed is None:
        return
    who = rule.approvals.source if rule.approvals is not None else rule.allowed
    owners = tuple(dict.fromkeys(_owners(who, policy, organisation, notes, frozenset())))
    if not owners and _ANYONE not in who.names():
        # a line without owners would let everybody in
        notes.append(f"{_line_safe(rule.name)}: nobody whom it names is an owner")
        return
    for selector in rule.selectors:
        if selector.file is None or selector != type(selector)(type=selector.type, file=selector.file):
            notes.append(f"{_line_safe(rule.name)}: looks at more than paths")
            continue
        if selector.file.negative:
            notes.append(f"{_line_safe(rule.name)}: leaves out some of what it selects")
        for item in selector.file.items:
            if item.startswith("!"):
                continue
            plain = item.removeprefix("/") + ("**" if item.endswith("/") else "")
            pattern = _as_pattern(plain)
            if pattern is not None:
                yield _Area(plain, pattern, owners)
            else:
                notes.append(f"{_line_safe(rule.name)}: {_line_safe(item)} is no pattern of CODEOWNERS")


def _line_safe(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def _as_pattern(item: str) -> str | None:
    """A pattern of the rules as CODEOWNERS has it; None where it has no such pattern."""
    if any(char in "[]{}\\#\t" or not char.isprintable() for char in item):
        return None
    if item == "**":
        return "*"
    pattern = "/" + item.replace(" ", "\\ ")
    return pattern.removesuffix("**") if pattern.endswith("/**") else pattern


def _narrowness(area: _Area) -> tuple[bool, int, str]:
    """Sorts areas so that none comes before one that covers it: single files last, deeper folders after higher ones."""
    return not _is_wild(area.item), area.item.count("/"), area.pattern


def _is_wild(text: str) -> bool:
    return "*" in text or "?" in text


def _overlaps(areas: Sequence[_Area], lines: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What is lost where two patterns may mean the same files and neither covers the other: the last line counts."""
    order = {pattern: index for index, pattern in enumerate(lines)}
    wild = {area.pattern: area.item for area in areas if _is_wild(area.item)}
    for first, second in combinations(sorted(wild, key=lambda pattern: order[pattern]), 2):
        one, two = wild[first], wild[second]
        if _covers(one, two) or not _may_share(one, two) or set(lines[first]) <= set(lines[second]):
            continue
        yield f"{one} and {two}: that files of both are those of the owners of {one} too"


def _may_share(one: str, two: str) -> bool:
    """Whether there may be a path that both patterns mean; they surely share none where their plain ends differ."""
    ends = [re.split(r"[*?]+", item) for item in (one, two)]
    (head, tail), (other_head, other_tail) = ((parts[0], parts[-1]) for parts in ends)
    heads = head.startswith(other_head) or other_head.startswith(head)
    return heads and (tail.endswith(other_tail) or other_tail.endswith(tail))


def _covers(wide: str, narrow: str) -> bool:
    """Whether one pattern surely means everything that another means."""
    if wide in (narrow, "**"):
        return True
    if not _is_wild(narrow):
        return PathGlob(wide).matches(narrow)
    prefix = wide.removesuffix("**")
    return wide.endswith("/**") and not any(char in "*?" for char in prefix) and narrow.startswith(prefix)


def _owners(who: Who, policy: Policy, organisation: str, notes: list[str], seen: frozenset[str]) -> Iterator[str]:
    """The owners that a rule's people are, roles resolved."""
    if who.how == "all" and len(who.of) > 1:
        notes.append(f"{_line_safe(str(who))}: that all of them are wanted")
    names = [who.name] if who.how == "one" else []
    for one in who.of:
        yield from _owners(one, policy, organisation, notes, seen)
    for name in names:
        yield from _owner(name, policy, organisation, notes, seen)


def _owner(name: str, policy: Policy, organisation: str, notes: list[str], seen: frozenset[str]) -> Iterator[str]:
    kind, colon, rest = name.partition(":")
    role = policy.roles.get(rest if kind == "role" else name)
    if role is not None:
        if role.name not in seen:
            for member in role.members:
                yield from _owner(member, policy, organisation, notes, seen | {role.name})
        return
    if name == _ANYONE:
        return
    team = rest if "/" in rest or not organisation else f"{organisation}/{rest}"
    owner, form = {
        "user": (f"@{rest}", _USER),
        "team": (f"@{team}", _TEAM),
        "email": (rest, _EMAIL),
    }.get(kind, ("", _USER))
    if colon and form.fullmatch(owner):
        yield owner
    else:
        notes.append(f"{_line_safe(name)}: is no owner on GitHub{'; name the organisation' if kind == 'team' else ''}")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CODEOWNERS files as GitHub reads them: who owns a path.

Source of the rules: the page "About code owners" of GitHub's documentation, and gitignore(5), to which it refers.  The
last line that matches a path says who owns it; a line without owners makes what it matches unowned.  Patterns are those
of .gitignore, but `!`, `[ ]` and an escaped `#` do not work (GitHub wants the brackets of a name escaped), and `docs/*`
does not reach into folders below docs.  A line that cannot be read is skipped, as on GitHub; `problems` reports it.

GitLab and Gitea read the same file otherwise (sections, regular expressions, `!`): their rules are not applied.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_BRACES = re.compile(r"\{[^{}/]*,[^{}/]*\}")


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
    problems  the lines that are skipped or surely mean something else than is written, each with the reason
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
            continue
        if _BRACES.search(_ESCAPED.sub("", rules[-1][0].pattern)):
            message = "{ } stands for no alternatives in CODEOWNERS: it means files with braces in their names"
            problems.append(Problem(Origin(file, number), f"{message}; write a line for each"))
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


#: How many of many patterns a note names.
_FEW = 3

#: Owners as CODEOWNERS writes them; None is anyone.
_Owners = tuple[str, ...] | None


class _Part(NamedTuple):
    """What one selector of a rule says of who may change the files that it means, and whose approval is wanted."""

    allow: _Owners = ()
    only: _Owners = None
    never: _Owners = ()
    approve: _Owners = ()
    wants: bool = False


class _Area(NamedTuple):
    """Files that a rule means, as rules and as CODEOWNERS write them.

    number  of the rule and of its selector
    hole    it is what the selector leaves out
    """

    item: str
    pattern: str
    part: _Part
    number: tuple[int, int]
    hole: bool

    @property
    def tightens(self) -> bool:
        """Whether fewer may own its files than by other rules alone."""
        return self.hole or self.part._replace(allow=()) != _Part()


def write(policy: Policy, organisation: str = "") -> Written:
    """The CODEOWNERS file of a policy, as far as paths go.

    Rules about paths become lines: owners are those whose approvals rules want, else those who may change the files.
    In CODEOWNERS the last match wins, in the policy all rules count: lines of wider patterns come first, those of rules
    that tighten after those that allow, and each names the owners by all rules that surely mean its files.  What looks
    at more than paths is left out and noted, and so is what the format cannot say.

    Args:
        policy: the rules.
        organisation: whose teams are meant where a team is written without one.
    """
    notes: list[str] = []
    areas = [
        area for number, rule in enumerate(policy.rules) for area in _areas(rule, number, policy, organisation, notes)
    ]
    lines: dict[str, _Owners] = {}
    ordered = _in_order(areas)
    tight: list[_Area] = []
    for area in ordered:
        if area.pattern not in lines:
            crossing = [one for one in tight if _crosses(one.item, area.item)]
            lines[area.pattern] = _owning(area, areas, crossing, notes)
            if crossing:
                some = _some([one.item for one in crossing])
                notes.append(f"{area.item}: that files which are not {some} may have more owners")
        if area.tightens:
            tight.append(area)
    notes += _overlaps(ordered, lines)
    if any(pattern[-1] != "/" and pattern.rpartition("/")[2] != "*" for pattern in lines):
        notes.append("that a pattern of files does not mean what is below a folder of such a name")
    notes = list(dict.fromkeys(notes))
    width = max((len(pattern) for pattern in lines), default=0)
    head = ["# Made from the rules in policy/; change those, not this file."]
    head += [f"# Not said here: {note}" for note in notes]
    body = [f"{pattern:{width}} {' '.join(owners or ())}".rstrip() for pattern, owners in lines.items()]
    return Written("\n".join([*head, *body]) + "\n", tuple(notes))


def _areas(rule: Rule, number: int, policy: Policy, organisation: str, notes: list[str]) -> Iterator[_Area]:
    name = _line_safe(rule.name)
    about = [one for one in rule.selectors if one.file is not None and one == type(one)(file=one.file)]
    if len(about) < len(rule.selectors) and (rule.allowed is not None or rule.restricts):
        notes.append(f"{name}: looks at more than paths")
    if rule.owned is not None:
        notes.append(f"{name}: asks CODEOWNERS itself")
    part = _part(rule, policy, organisation, notes) if about else _Part()
    if part == _Part():
        return
    for index, selector in enumerate(about):
        assert selector.file is not None  # as chosen above
        yield from _selected(selector.file.items, part, (number, index), name, notes)


def _selected(
    items: Iterable[str], part: _Part, number: tuple[int, int], name: str, notes: list[str]
) -> Iterator[_Area]:
    """The areas of one selector: what it means, and the holes in that."""
    plain = [item + ("**" if item.endswith("/") else "") for item in items]
    holes = [item[1:].removeprefix("/") for item in plain if item.startswith("!")]
    for item in [item.removeprefix("/") for item in plain if not item.startswith("!")] or ["**"]:
        inside = [hole for hole in holes if _may_share(item, hole)]
        patterns = [_as_pattern(one) for one in (item, *inside)]
        if None in patterns:
            notes.append(f"{name}: {_line_safe(', !'.join([item, *inside]))} is no pattern of CODEOWNERS")
        elif not all(_covers(item, hole) for hole in inside):
            notes.append(f"{name}: what {_line_safe(', !'.join([item, *inside]))} leaves out")
            # nobody owns more by it, for some of it is not meant; and nobody else owns what is meant
            yield _Area(item, patterns[0] or "", _Part(only=part.only, never=part.never), number, hole=False)
        else:
            for one, pattern in zip((item, *inside), patterns, strict=True):
                yield _Area(one, pattern or "", part, number, hole=one is not item)


def _part(rule: Rule, policy: Policy, organisation: str, notes: list[str]) -> _Part:
    """What a rule says of owners."""
    name = _line_safe(rule.name)

    def owners(who: Who) -> _Owners:
        found = _owners(who, policy, organisation, notes)
        if not found and found is not None:
            notes.append(f"{name}: nobody whom it names is an owner")
        return found

    allow = owners(rule.allowed) if rule.allowed is not None else ()
    only = owners(rule.only) if rule.only is not None else None
    never: _Owners = ()
    if rule.deny is not None:
        never = owners(rule.deny.to) if rule.deny.to is not None else None
        notes.append(f"{name}: who may not change it")
    approve: _Owners = ()
    if rule.approvals is not None:
        approve = owners(rule.approvals.source)
        if rule.approvals.number > 1 or rule.approvals.unless is not None:
            notes.append(f"{name}: how many approvals are wanted, and of whom none")
    return _Part(allow, only, never, approve, rule.approvals is not None)


def _owning(area: _Area, areas: Sequence[_Area], crossing: Sequence[_Area], notes: list[str]) -> _Owners:
    """The owners of an area: by all rules that surely mean its files, less what those say that mean some of them.

    Args:
        area: whose owners.
        areas: all there are.
        crossing: those that tighten for some of its files.
        notes: gets what cannot be said.
    """
    meant = [other for other in areas if other is area or _covers(other.item, area.item)]
    out = {other.number for other in meant if other.hole}
    perhaps = {other.number for other in crossing if other.hole}
    meant = [other for other in meant if other.number not in out]
    parts = [other.part for other in meant]
    sure = [other.part for other in meant if other.number not in perhaps]
    fewer = [other.part for other in crossing if not other.hole]
    wanted = [part.approve for part in parts if part.wants]
    if len(set(wanted)) > 1:
        notes.append(f"{area.item}: that approvals by several rules are wanted")
    if wanted:
        found = _any_of(part.approve for part in sure if part.wants)
    else:
        found = _each_of(
            [_any_of(part.allow for part in sure)]
            + [part.only for part in (*parts, *fewer)]
            + [part.approve for part in fewer if part.wants]
        )
    never = _any_of(part.never for part in (*parts, *fewer))
    if found is not None or never is None:
        found = tuple(one for one in found or () if never is not None and one not in never)
        if not found and not area.hole:
            notes.append(f"{area.item}: that there is nobody who may own it")
    return found


def _any_of(owners: Iterable[_Owners]) -> _Owners:
    """All of several; None where one of them is anyone."""
    found = list(owners)
    return None if None in found else tuple(dict.fromkeys(one for some in found for one in some or ()))


def _each_of(owners: Iterable[_Owners]) -> _Owners:
    """Who is in each of several; None where all of them are anyone."""
    some = [one for one in owners if one is not None]
    return tuple(one for one in some[0] if all(one in other for other in some)) if some else None


def _line_safe(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def _as_pattern(item: str) -> str | None:
    """A pattern of the rules as CODEOWNERS has it; None where it has no such pattern."""
    if "***" in item or any(char in "[]\\#\t" or not char.isprintable() for char in item):
        return None
    if item == "**":
        return "*"
    pattern = "/" + item.replace(" ", "\\ ")
    return pattern.removesuffix("**") if pattern.endswith("/**") else pattern


def _in_order(areas: Sequence[_Area]) -> list[_Area]:
    """Areas so that none comes before one that covers it, and what tightens comes after what it only overlaps.

    Deeper folders come after higher ones, single files last.
    """
    out = sorted(areas, key=lambda area: (area.item.count("/"), area.pattern))
    for one in [area for area in out if area.tightens]:
        out.sort(key=lambda area, one=one: _covers(one.item, area.item))  # type: ignore[misc]
    return sorted(out, key=lambda area: not _is_wild(area.item))


def _is_wild(text: str) -> bool:
    return "*" in text or "?" in text


def _overlaps(ordered: Sequence[_Area], lines: Mapping[str, _Owners]) -> Iterator[str]:
    """What is lost where two patterns may mean the same files and neither covers the other: the last line counts."""
    for index, first in enumerate(ordered):
        owners = lines[first.pattern]
        later = [
            second.item
            for second in ordered[index + 1 :]
            if _crosses(first.item, second.item) and _each_of([owners, lines[second.pattern]]) != owners
        ]
        if later:
            yield f"{first.item} and {_some(later)}: that files of both are those of the owners of {first.item} too"


def _some(items: Iterable[str]) -> str:
    """A few of many."""
    found = list(dict.fromkeys(items))
    return ", ".join(found[:_FEW]) + (f" and {len(found) - _FEW} more" if len(found) > _FEW else "")


def _crosses(one: str, two: str) -> bool:
    """Whether there may be files that both patterns mean, and either may mean others."""
    wild = _is_wild(one) and _is_wild(two)
    return wild and not _covers(one, two) and not _covers(two, one) and _may_share(one, two)


def _may_share(one: str, two: str) -> bool:
    """Whether there may be a path that both patterns mean; they surely share none where their plain ends differ."""
    (head, tail), (other_head, other_tail) = _ends(one), _ends(two)
    heads = head.startswith(other_head) or other_head.startswith(head)
    return heads and (tail.endswith(other_tail) or other_tail.endswith(tail))


@functools.lru_cache(maxsize=4096)
def _ends(item: str) -> tuple[str, str]:
    """What stands before the first wildcard of a pattern, and after the last one."""
    parts = re.split(r"[*?]+", item)
    return parts[0], parts[-1]


def _covers(wide: str, narrow: str) -> bool:
    """Whether one pattern surely means everything that another means."""
    if wide in (narrow, "**"):
        return True
    if not _is_wild(narrow):
        return _glob(wide).matches(narrow)
    prefix = wide.removesuffix("**")
    return wide.endswith("/**") and narrow.startswith(prefix) and not _is_wild(prefix)


_glob = functools.lru_cache(maxsize=4096)(PathGlob)


def _owners(who: Who, policy: Policy, organisation: str, notes: list[str]) -> _Owners:
    """The owners that a rule's people are, roles resolved."""
    if who.how == "one":
        return _any_of(_owner(who.name, policy, organisation, notes, frozenset()))
    found = [_owners(one, policy, organisation, notes) for one in who.of]
    if who.how == "any":
        return _any_of(found)
    if len(found) > 1:
        notes.append(f"{_line_safe(str(who))}: that all of them are wanted")
    return _each_of(found) if found else ()


def _owner(name: str, policy: Policy, organisation: str, notes: list[str], seen: frozenset[str]) -> Iterator[_Owners]:
    kind, colon, rest = name.partition(":")
    role = policy.roles.get(rest if kind == "role" else name)
    if role is not None:
        if role.name not in seen:
            for member in role.members:
                yield from _owner(member, policy, organisation, notes, seen | {role.name})
        return
    if name == _ANYONE:
        yield None
        return
    team = rest if "/" in rest or not organisation else f"{organisation}/{rest}"
    owner, form = {
        "user": (f"@{rest}", _USER),
        "team": (f"@{team}", _TEAM),
        "email": (rest, _EMAIL),
    }.get(kind, ("", _USER))
    if colon and form.fullmatch(owner):
        yield (owner,)
    else:
        more = "; say whose team it is (--organisation NAME)" if kind == "team" else ""
        notes.append(f"{_line_safe(name)}: is no owner on GitHub{more}")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A verdict where people look: text, Markdown for a comment, JSON, SARIF 2.1.0 and JUnit XML.

Every error says where it is, what is wrong, which rule says so, who could make the change and how to go on.
Whatever comes from the repository goes through `_text`, so that it stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Origin, Subject, show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _text as text
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    AND,
    CONTENT,
    ERROR,
    INVALID,
    NOT_PERMITTED,
    POLICY,
    WARN,
    Finding,
    PolicyError,
    Verdict,
)

#: Hidden in a comment, so that the next verdict finds it and writes over it (a link target that nothing refers to:
#: Bitbucket shows HTML comments).
MARKER = "[//]: # (weft/policy: this comment is updated, not repeated)"

#: Kinds of a finding in words.
KIND_WORDS = {
    INVALID: "not valid",
    NOT_PERMITTED: "not permitted",
    CONTENT: "against a content rule",
    POLICY: "policy",
    ERROR: "could not be judged",
}
_MARKDOWN_LIMIT = 60_000  # characters; GitHub takes 65,536
_WIDTH = 72  # columns; Git puts "remote: " before what a hook says
_FEW = 5  # lines that say what one thing is about
_MANY = 20  # lines of what does not stand in the way
_MOST = 200  # things in the way that are shown in full in text


class _Groups(NamedTuple):
    """The findings by what they mean to the reader."""

    blocking: list[Finding]
    warnings: list[Finding]
    notes: list[Finding]
    known: list[Finding]


def _groups(verdict: Verdict) -> _Groups:
    groups = _Groups([], [], [], [])
    for finding in verdict.findings:
        if finding.prohibits:
            groups.blocking.append(finding)
        elif not finding.new:
            groups.known.append(finding)
        else:
            (groups.warnings if finding.severity == WARN else groups.notes).append(finding)
    return groups


#: Findings that say the same of several things: one thing to a person, who mends them at one place.
_Said = list[Finding]


def _joined(findings: Sequence[Finding]) -> list[_Said]:
    """What is said once of all that comes from one place, as the overlays of a base do."""
    found: dict[tuple[object, ...], _Said] = {}
    for one in findings:
        place = (one.origin.file, one.origin.line) if one.origin is not None else None
        found.setdefault((place, one.rule, one.kind, one.message, one.who_could, one.remedy), []).append(one)
    return list(found.values())


def _about(findings: _Said, change: Callable[[Change], str], subject: Callable[[Subject], str]) -> list[str]:
    """The lines that say what findings are about: changes, or objects."""
    lines: dict[str, None] = {}
    for one in findings:
        if one.change is not None:
            lines[change(one.change)] = None
        elif one.subject is not None and one.subject.type != "path":
            lines[subject(one.subject)] = None
    shown = list(lines)
    return shown if len(shown) <= _FEW else [*shown[: _FEW - 1], f"and {len(shown) - _FEW + 1} more"]


def show(verdict: Verdict, form: str, everything: bool = False) -> str:
    """The verdict in one of FORMS.

    Args:
        verdict: what to show.
        form: "text", "markdown", "json", "sarif" or "junit".
        everything: show in text also what does not stand in the way, in full.

    Raises:
        PolicyError: the form is unknown.
    """
    make = maker(form)
    return as_text(verdict, everything) if form == "text" else make(verdict)


def maker(form: str) -> Callable[[Verdict], str]:
    """What makes one of FORMS.

    Raises:
        PolicyError: the form is unknown.
    """
    found = FORMS.get(form)
    if found is None:
        raise PolicyError(f"no form {form!r}; there are {', '.join(sorted(FORMS))}")
    return found


def summary(verdict: Verdict) -> str:
    """One line of at most 140 characters, for a commit status."""
    if verdict.permitted:
        by = f" by {len(verdict.approvals)} approval{_s(verdict.approvals)}" if verdict.approvals else ""
        return f"permitted: {len(verdict.changes)} change{_s(verdict.changes)}{by}"
    blocking = _joined(_groups(verdict).blocking)
    if not blocking:
        return "prohibited"
    more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
    room = 140 - len("prohibited: ") - len(more)
    return f"prohibited: {text.cut(text.visible(blocking[0][0].message), room)}{more}"


def _short(commit: str) -> str:
    return text.visible(commit[:12])


def _rules(verdict: Verdict) -> str:
    return text.visible(verdict.rules_digest[:19]) or "none"


def _s(items: Sequence[object]) -> str:
    return "" if len(items) == 1 else "s"


def _where(origin: Origin | None) -> str:
    if origin is None:
        return "the whole change"
    return text.visible(origin.file) + (f":{origin.line}" if origin.line else "")


def _what(change: Change) -> tuple[str, str, str]:
    """(what is changed, value before, value after) for people; a side that is absent is ""."""
    shown = change.masked()
    name = _name(change.subject)
    field = show_path(change.field)
    whole = f"{name}{'' if not field or field.startswith('[') else ' '}{field}"
    before = "" if shown.before is ABSENT else text.value(shown.before)
    after = "" if shown.after is ABSENT else text.value(shown.after)
    return text.visible(whole), before, after


def _name(subject: Subject) -> str:
    if subject.type == "path":
        return f"file {subject.name}"
    return subject.name if subject.type == "variable" else str(subject).split("@")[0]


def _arrow(change: Change) -> str:
    what, before, after = _what(change)
    if change.subject.type == "path":
        return f"{what}: {change.action}"
    if not before or not after:
        return f"{what}: {change.action} {before or after}"
    return f"{what}: {before} -> {after}"


def _scope(subject: Subject) -> str:
    return text.visible(subject.scope)


def who_could(finding: Finding) -> str:
    """ "role platform or user mona", from ("role:platform", "user:mona")."""
    return " or ".join(AND.join(map(_named, one.split(AND))) for one in finding.who_could) or "nobody"


def _named(one: str) -> str:
    kind, colon, name = one.partition(":")
    return f"{text.visible(kind)} {text.login(name)}" if colon else text.login(one)


def _people(verdict: Verdict) -> str:
    return _some([f"{text.login(login)} ({text.visible(how)})" for login, how in verdict.people]) or "nobody known"


def _approvals(verdict: Verdict) -> str:
    return _some([text.login(login) for login in verdict.approvals]) or "none"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more


# --- text ------------------------------------------------------------------------------------------------------------


def as_text(verdict: Verdict, everything: bool = False) -> str:
    """For a terminal or a Git client: plain lines, no colours, every character visible."""
    groups = _groups(verdict)
    blocking = _joined(groups.blocking)
    lines = [_headline(verdict, len(blocking)), ""]
    shown = blocking if everything else blocking[:_MOST]
    for number, findings in enumerate(shown, 1):
        lines += [*_finding_text(number, findings), ""]
    if len(shown) < len(blocking):
        lines += [f"And {len(blocking) - len(shown)} more; the JSON form has all of them.", ""]
    for title, aside in _asides(groups):
        lines += [*_aside_text(title, aside, everything), ""]
    if verdict.deltas:
        lines.append("What this does to the policy itself:")
        for delta in verdict.deltas:
            lines += _wrapped("  ", f"{text.visible(delta.direction)}: {text.visible(delta.message)}")
        lines.append("")
    if everything and verdict.permissions:
        lines.append("Permitted:")
        for one in verdict.permissions:
            lines += _wrapped("  ", f"{_arrow(one.change)}  (rule {_names(one.rules)})")
        lines.append("")
    if verdict.target:
        lines += _wrapped("", f"Behind it: {_people(verdict)}. Approvals that count: {_approvals(verdict)}.")
    lines += [
        f"Holds for {_short(verdict.head)} on {_short(verdict.base)} only. Rules: {_rules(verdict)}.",
    ]
    return "\n".join(lines) + "\n"


def _headline(verdict: Verdict, count: int) -> str:
    if not verdict.target:
        goal = f"everything in {_short(verdict.head)}"
    else:
        goal = f"{_short(verdict.head)} into {text.visible(verdict.target)}"
    if verdict.permitted:
        many = f", {len(verdict.changes)} change{_s(verdict.changes)}" if verdict.target else ""
        return f"PERMITTED: {goal}{many}."
    stands = "thing stands" if count == 1 else "things stand"
    return f"PROHIBITED: {goal}. {count} {stands} in the way:"


def _finding_text(number: int, findings: _Said) -> list[str]:
    finding = findings[0]
    lines = [f"{number}. {_where(finding.origin)}"]
    for about in _about(findings, _changed, lambda subject: _placed(text.visible(_name(subject)), subject)):
        lines += _wrapped("   ", about)
    lines += _wrapped("   ", text.visible(finding.message))
    lines += _wrapped("   Rule:      ", f"{text.visible(finding.rule)} [{KIND_WORDS.get(finding.kind, finding.kind)}]")
    if finding.who_could or finding.kind == NOT_PERMITTED:
        lines += _wrapped("   Who could: ", who_could(finding))
    if finding.remedy:
        lines += _wrapped("   Go on:     ", text.visible(finding.remedy))
    return lines


def _changed(change: Change) -> str:
    return _placed(_arrow(change), change.subject)


def _placed(words: str, subject: Subject) -> str:
    scope = _scope(subject)
    return f"{words}  (in {scope})" if scope else words


def _wrapped(lead: str, words: str) -> list[str]:
    """Wrapped at _WIDTH, further lines under the first; one long word is left whole, so that it can be copied."""
    import textwrap

    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _asides(groups: _Groups) -> Iterator[tuple[str, list[_Said]]]:
    for title, findings in (
        ("Warnings", _joined(groups.warnings)),
        ("Notes", _joined(groups.notes)),
        ("There before the change, not counted", _joined(groups.known)),
    ):
        if findings:
            yield f"{title} ({len(findings)})", findings


def _of_what(findings: _Said) -> str:
    """ "Deployment.apps:shop/web and 2 more: ", or "" of what is about no object."""
    names = list(dict.fromkeys(_name(one.subject) for one in findings if one.subject and one.subject.type != "path"))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: " if names else ""


def _aside_text(title: str, findings: Sequence[_Said], everything: bool) -> list[str]:
    shown = findings if everything else findings[:_MANY]
    lines = [f"{title}:"]
    for one in shown:
        lines += _wrapped("  ", f"{_where(one[0].origin)}: {text.visible(_of_what(one) + one[0].message)}")
    if len(shown) < len(findings):
        lines.append(f"  and {len(findings) - len(shown)} more")
    return lines


def _names(rules: Sequence[str]) -> str:
    return ", ".join(text.visible(rule) for rule in rules) or "none"


# --- Markdown --------------------------------------------------------------------------------------------------------


def as_markdown(verdict: Verdict, limit: int = _MARKDOWN_LIMIT, html: bool = True) -> str:
    """A comment for a pull request, at most `limit` characters, that begins with MARKER.

    Without `html` it is Markdown alone, for forges that show tags as they are written.
    """
    groups = _groups(verdict)
    blocks = [_finding_markdown(number, one) for number, one in enumerate(_joined(groups.blocking), 1)]
    asides = [_details(title, _aside_lines(findings), html) for title, findings in _asides(groups)]
    if verdict.deltas:
        asides.insert(0, _deltas_markdown(verdict))
    if verdict.permissions:
        title = f"Permitted, and by which rule ({len(verdict.permissions)})"
        asides.append(_details(title, _permission_lines(verdict), html))
    head = f"{MARKER}\n\n{_headline_markdown(verdict, len(blocks))}"
    foot = (
        f"Holds for {text.code(verdict.head[:12])} on {text.code(verdict.base[:12])} only; a new commit is judged "
        f"anew. Rules in force: {text.code(verdict.rules_digest[:19] or 'none')}."
    )
    foot = f"---\n<sub>{foot}</sub>\n" if html else f"---\n{foot}\n"
    return _fit(head, blocks, asides, foot, limit)


def _fit(head: str, blocks: Sequence[str], asides: Sequence[str], foot: str, limit: int) -> str:
    """As many whole pieces as there is room for: what stands in the way first."""
    room = limit - len(head) - len(foot) - 100 - len(blocks) - len(asides)
    out, left = [head], 0
    for piece in [*blocks, *asides]:
        if len(piece) <= room:
            out.append(piece)
            room -= len(piece)
        else:
            left += 1
    if left:
        out.append(f"*There was no room here for {left} more; the text of the check has everything.*\n")
    return "\n".join([*out, foot])


def _headline_markdown(verdict: Verdict, count: int) -> str:
    if not verdict.target:
        return f"### Policy: {text.many(count, 'finding')} in everything in {text.code(verdict.head[:12])}\n"
    people = f"Behind it: {_people_markdown(verdict)}. Approvals that count: {_approvals_markdown(verdict)}."
    goal = f"{text.code(verdict.head[:12])} into {text.code(verdict.target)}"
    if verdict.permitted:
        many = f"{len(verdict.changes)} change{_s(verdict.changes)}"
        return f"### ✅ Policy: permitted\n\n**{goal}** may be merged: {many}.\n{people}\n"
    stands = "thing stands" if count == 1 else "things stand"
    return f"### ⛔ Policy: merge prohibited\n\n**{count} {stands} in the way of {goal}.**\n{people}\n"


def _people_markdown(verdict: Verdict) -> str:
    return _some([f"{text.code(text.login(one))} ({text.markdown(how)})" for one, how in verdict.people]) or "nobody"


def _approvals_markdown(verdict: Verdict) -> str:
    return _some([text.code(text.login(login)) for login in verdict.approvals]) or "none"


def _finding_markdown(number: int, findings: _Said) -> str:
    finding = findings[0]
    kind = KIND_WORDS.get(finding.kind, finding.kind)
    lines = [f"#### {number}. {text.code(_where(finding.origin))}\n"]
    lines += [f"{one}\n" for one in _about(findings, _arrow_markdown, _subject_markdown)]
    lines.append(f"**{text.markdown(finding.message)}**\n")
    lines.append(f"- **Rule:** {text.markdown(finding.rule)} *({kind})*")
    if finding.who_could or finding.kind == NOT_PERMITTED:
        lines.append(f"- **Who could:** {text.markdown(who_could(finding))}")
    if finding.remedy:
        lines.append(f"- **How to go on:** {text.markdown(finding.remedy)}")
    return "\n".join(lines) + "\n"


def _in_markdown(subject: Subject) -> str:
    scope = _scope(subject)
    return f" in {text.code(scope)}" if scope else ""


def _subject_markdown(subject: Subject) -> str:
    return f"{text.code(text.visible(_name(subject)))}{_in_markdown(subject)}"


def _arrow_markdown(change: Change) -> str:
    what, before, after = _what(change)
    place = _in_markdown(change.subject)
    if change.subject.type == "path":
        return f"{text.code(what)} {change.action}"
    if not before or not after:
        return f"{text.code(what)}{place}: {change.action} {text.code(before or after)}"
    return f"{text.code(what)}{place}: {text.code(before)} → {text.code(after)}"


def _details(title: str, lines: Sequence[str], html: bool) -> str:
    """Folded away where the forge can.  The title is ours: nothing of the repository may be in it."""
    shown = list(lines[:_MANY])
    if len(lines) > _MANY:
        shown.append(f"- and {len(lines) - _MANY} more")
    body = "\n".join(shown)
    if not html:
        return f"**{text.markdown(title)}**\n\n{body}\n"
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>\n"


def _aside_lines(findings: Sequence[_Said]) -> list[str]:
    lines = []
    for one in findings:
        said = f"{text.markdown(_of_what(one) + one[0].message)} *({text.markdown(one[0].rule)})*"
        lines.append(f"- {text.code(_where(one[0].origin))}: {said}")
    return lines


def _deltas_markdown(verdict: Verdict) -> str:
    lines = ["#### What this does to the policy itself\n"]
    shown = verdict.deltas[:_MOST]
    lines += [f"- **{text.markdown(delta.direction)}:** {text.markdown(delta.message)}" for delta in shown]
    if len(shown) < len(verdict.deltas):
        lines.append(f"- and {len(verdict.deltas) - len(shown)} more")
    return "\n".join(lines) + "\n"


def _permission_lines(verdict: Verdict) -> list[str]:
    return [
        f"- {_arrow_markdown(one.change)} *(rule {text.markdown(_names(one.rules))})*" for one in verdict.permissions
    ]


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_json(verdict: Verdict) -> str:
    """For programs; described by schemas/verdict.json."""
    return _dumped(verdict, verdict.to_json())


def _dumped(verdict: Verdict, value: object) -> str:
    """JSON: indented where people may read it, on one line where it is long (which is written ten times as fast)."""
    indent = 2 if len(verdict.findings) + len(verdict.changes) <= _MOST else None
    return text.as_json(value, indent) + "\n"


# --- SARIF -----------------------------------------------------------------------------------------------------------


def as_sarif(verdict: Verdict) -> str:
    """SARIF 2.1.0 (OASIS), in the subset that code scanning of GitHub and GitLab reads."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _sarif

    return _dumped(verdict, _sarif.log(verdict))


# --- JUnit -----------------------------------------------------------------------------------------------------------


def as_junit(verdict: Verdict) -> str:
    """JUnit XML: a permitted change is a test that passed, a finding that prohibits one that failed (or had an error
    where it could not be judged), any other finding one that was skipped."""
    groups = _groups(verdict)
    errors = [one for one in groups.blocking if one.kind == ERROR]
    others = groups.warnings + groups.notes + groups.known
    counts = (
        f'name="weft/policy" tests="{len(verdict.findings) + len(verdict.permissions)}" '
        f'failures="{len(groups.blocking) - len(errors)}" errors="{len(errors)}" skipped="{len(others)}"'
    )
    time = f" timestamp={_quoted(verdict.now.removesuffix('Z'))}" if verdict.now else ""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {counts}>", f"  <testsuite {counts}{time}>"]
    for finding in verdict.findings:
        lines += _finding_junit(finding)
    for one in verdict.permissions:
        lines.append(f"    <testcase {_case(one.change.origin, f'{_names(one.rules)}: {_arrow(one.change)}')}/>")
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"]) + "\n"


def _finding_junit(finding: Finding) -> list[str]:
    case = f"    <testcase {_case(finding.origin, f'{finding.rule}: {finding.message}')}>"
    message = _quoted(finding.message)
    if not finding.prohibits:
        return [case, f"      <skipped message={message}/>", "    </testcase>"]
    tag = "error" if finding.kind == ERROR else "failure"
    body = _escaped("\n".join(line[3:] for line in _finding_text(1, [finding])[1:]))
    opened = f"      <{tag} message={message} type={_quoted(finding.kind)}>"
    return [case, f"{opened}{body}</{tag}>", "    </testcase>"]


def _case(origin: Origin | None, name: str) -> str:
    if origin is None:
        return f"classname={_quoted('the whole change')} name={_quoted(name)}"
    file = _quoted(origin.file)
    line = f' line="{origin.line}"' if origin.line else ""
    return f"classname={file} name={_quoted(name)} file={file}{line}"


def _quoted(words: str) -> str:
    """An attribute's value; `visible` leaves no character that XML 1.0 forbids but U+FFFE and U+FFFF."""
    return '"' + _escaped(text.visible(words)).replace('"', "&quot;") + '"'


def _escaped(words: str) -> str:
    safe = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


#: The forms a verdict can take, by name.
FORMS: dict[str, Callable[[Verdict], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "json": as_json,
    "sarif": as_sarif,
    "junit": as_junit,
}

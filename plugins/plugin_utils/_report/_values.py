# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Values as people read them in a table: on one line, short, secrets hidden."""

from __future__ import annotations

import json
from difflib import SequenceMatcher, unified_diff
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, MASK, Change, show_path

#: Characters of one value in a table.
WIDTH = 44


def show(value: Any, width: int = WIDTH) -> str:
    """A value on one line of at most `width` characters."""
    if value is ABSENT:
        return "(absent)"
    if isinstance(value, str):
        if "\n" in value:
            return lines(len(value.splitlines()))
        text = value if value and value.strip() == value else json.dumps(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
        if len(text) > width and isinstance(value, (dict, list)):
            return _size(value)
    text = printable(text)
    return text if len(text) <= width else text[: width - 3] + "..."


def printable(text: str) -> str:
    """A text that a terminal shows as it is: what would move its cursor or change its colours is escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def lines(number: int) -> str:
    """ "1 line", "2 lines"."""
    return f"{number} line" if number == 1 else f"{number} lines"


def difference(change: Change) -> str:
    """What a Change makes of the value: "before -> after", or only the one that is there.

    A whole subject that comes or goes is named by its row already; its value is shown where it is one short scalar.
    """
    shown = change.masked()
    if not shown.field and shown.action != "changed":
        value = shown.after if shown.action == "added" else shown.before
        is_short = isinstance(value, (str, int, float)) and not isinstance(value, bool) and len(str(value)) <= WIDTH
        return show(value) if is_short and "\n" not in str(value) else ""
    if is_text(shown.before) and is_text(shown.after):
        added, removed = _counts(shown.before, shown.after)
        return f"{lines(len(shown.after.splitlines()))} (+{added} -{removed})"
    before, after = show(shown.before), show(shown.after)
    if before == after and before != MASK:
        # Both are too long to show: the part that differs says more than two equal beginnings.
        before, after = _apart(shown.before, shown.after)
    return f"{before} -> {after}"


def text_diff(change: Change) -> list[str]:
    """A unified diff, where before or after is a text of several lines; else []."""
    shown = change.masked()
    if shown.before != MASK and shown.after != MASK and (is_text(shown.before) or is_text(shown.after)):
        before, after = (value.splitlines() if isinstance(value, str) else [] for value in (shown.before, shown.after))
        name = change.subject.name
        rows = unified_diff(before, after, f"{name} (now)", f"{name} (wanted)", lineterm="", n=2)
        return [printable(row.expandtabs(8)) for row in rows]
    return []


def field(change: Change) -> str:
    """The field of a Change, "" for the whole subject."""
    return show_path(change.field)


def is_text(value: Any) -> bool:
    """Whether a value is a text of several lines."""
    return isinstance(value, str) and "\n" in value


def _size(value: Any) -> str:
    unit = "key" if isinstance(value, dict) else "item"
    inside = f"{len(value)} {unit}" + ("" if len(value) == 1 else "s")
    return f"{{{inside}}}" if isinstance(value, dict) else f"[{inside}]"


def _counts(before: str, after: str) -> tuple[int, int]:
    matcher = SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    opcodes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return sum(code[4] - code[3] for code in opcodes), sum(code[2] - code[1] for code in opcodes)


def _apart(before: Any, after: Any) -> tuple[str, str]:
    one, two = (value if isinstance(value, str) else json.dumps(value, default=str) for value in (before, after))
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    start = max(start - 8, 0)
    return tuple(("..." if start else "") + show(text[start:], WIDTH - 3) for text in (one, two))  # type: ignore[return-value] # of two

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A list of Changes as a table for people: grouped by machine, then by what changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from ansible_collections.weft.platform.plugins.module_utils._change import Change
from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import plural
from ansible_collections.weft.platform.plugins.plugin_utils._report._values import (
    difference,
    field,
    printable,
    text_diff,
)

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
#: So many new things of one kind are named on one line.
MANY = 4
#: Scope of what belongs to no machine.
CLUSTER = "cluster"


@dataclass(frozen=True)
class _Row:
    sign: str
    kind: str
    name: str
    detail: str
    cost: str
    diff: tuple[str, ...] = ()

    @property
    def joins(self) -> bool:
        """Whether it may share its line with others of its kind."""
        return not self.detail and not self.diff and self.sign in "+-"


def table(
    changes: Sequence[Change], roles: Mapping[str, str] | None = None, diff: bool = False, width: int = 110
) -> str:
    """All Changes; machines that change alike share a block.

    Args:
        changes: in the order in which they are made.
        roles: what a machine is ("control plane"), by name.
        diff: also show what changes in texts of several lines.
        width: of the lines, in characters.

    Returns:
        str: several lines, "" where nothing changes.
    """
    blocks: dict[tuple[_Row, ...], list[str]] = {}
    for scope, rows in _rows(changes, diff).items():
        blocks.setdefault(tuple(rows), []).append(scope)
    out: list[str] = []
    for block, scopes in blocks.items():
        out += [*_title(scopes, roles or {}, width), *_block(block, width), ""]
    return "\n".join(out).rstrip()


def _rows(changes: Sequence[Change], diff: bool) -> dict[str, list[_Row]]:
    out: dict[str, list[_Row]] = {}
    for change in changes:
        where = field(change)
        what = ": ".join(filter(None, [where, difference(change)]))
        row = _Row(
            SIGNS[change.action] if not where else "~",
            change.subject.type,
            printable(change.subject.name),
            what,
            change.cost,
            tuple(text_diff(change)) if diff else (),
        )
        out.setdefault(change.subject.scope or CLUSTER, []).append(row)
    return out


def _title(scopes: Sequence[str], roles: Mapping[str, str], width: int) -> list[str]:
    counts: dict[str, int] = {}
    for scope in scopes:
        kind = roles.get(scope, "machine" if len(scopes) > 1 else "")
        counts[kind] = counts.get(kind, 0) + 1
    if len(scopes) == 1:
        kinds = roles.get(scopes[0], "")
    else:
        kinds = ", ".join(plural(number, kind) for kind, number in counts.items())
    suffix = f"  ({kinds})" if kinds else ""
    return wrap(", ".join(scopes) + suffix, width, break_long_words=False, break_on_hyphens=False)


def _block(rows: Sequence[_Row], width: int) -> list[str]:
    joined: dict[tuple[str, str, str], list[_Row]] = {}
    for row in rows:
        if row.joins:
            joined.setdefault((row.sign, row.kind, row.cost), []).append(row)
    many = {key: found for key, found in joined.items() if len(found) >= MANY}
    kinds = max(len(row.kind) for row in rows)
    names = min(max((len(row.name) for row in rows if _key(row) not in many or not row.joins), default=0), 56)
    out: list[str] = []
    for row in rows:
        if not (row.joins and _key(row) in many):
            out += _line(row, kinds, names)
        elif many[_key(row)]:
            out += _line_of_many(many[_key(row)], kinds, width)
            many[_key(row)] = []
    return out


def _key(row: _Row) -> tuple[str, str, str]:
    return row.sign, row.kind, row.cost


def _line(row: _Row, kinds: int, names: int) -> list[str]:
    text = f"  {row.sign} {row.kind:{kinds}}  {row.name:{names}}  {row.detail}".rstrip()
    cost = f"  [{row.cost}]" if row.cost else ""
    return [text + cost, *(f"      {line}".rstrip() for line in row.diff)]


def _line_of_many(rows: Sequence[_Row], kinds: int, width: int) -> list[str]:
    row = rows[0]
    start = f"  {row.sign} {row.kind:{kinds}}  {len(rows)}: "
    cost = f"  [{row.cost}]" if row.cost else ""
    return wrap(
        ", ".join(one.name for one in rows) + cost,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )

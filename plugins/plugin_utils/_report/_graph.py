# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The steps of a run as a picture: DOT for Graphviz, and SVG drawn here, so that nothing needs to be installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ansible_collections.weft.platform.plugins.plugin_utils._report._steps import Step
from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import names, plural

#: Fill and edge of a step by its kind; readable on white and for people who see few colours.
COLOURS = {
    "prepare": ("#eaf2fb", "#3b76b5"),
    "initialise": ("#fdf0df", "#c2741a"),
    "credentials": ("#f4f4f5", "#71717a"),
    "join": ("#e8f5ee", "#2f855a"),
    "configure": ("#f3ecfa", "#7c4bb0"),
    "objects": ("#e6f6f7", "#1f7f8b"),
    "ready": ("#2f855a", "#276749"),
}
_BOX_HEIGHT, _LANE, _GAP, _MARGIN, _TOP = 44, 60, 54, 20, 52
_LETTER, _PADDING = 7.1, 28  # width of a letter at 13 px, and of what is around a title
_FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""
#: Lane of what belongs to no machine.
_CLUSTER = "cluster"


def dot(steps: Sequence[Step]) -> str:
    """The steps in Graphviz' language."""
    rows = ["digraph plan {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for step in steps:
        fill, edge = COLOURS[step.kind]
        label = "\\n".join(filter(None, [_dot_text(step.title), _below(step)]))
        ink = ', fontcolor="white"' if step.kind == "ready" else ""
        rows.append(f'  {json.dumps(step.id)} [label="{label}", fillcolor="{fill}", color="{edge}"{ink}];')
    rows += [f"  {json.dumps(before)} -> {json.dumps(step.id)};" for step in steps for before in step.after]
    return "\n".join([*rows, "}"]) + "\n"


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _below(step: Step) -> str:
    """The small line of a step."""
    if step.changes:
        return plural(step.changes, "change")
    return {"credentials": "valid for minutes", "ready": ""}.get(step.kind, "")


@dataclass(frozen=True)
class _Box:
    """A step where it is drawn; `column` is where its column begins."""

    step: Step
    column: float
    x: float
    middle: float
    width: float

    @property
    def y(self) -> float:
        return self.middle - _BOX_HEIGHT / 2


def svg(steps: Sequence[Step], title: str = "Plan") -> str:
    """The steps as an SVG picture: time from left to right, a lane for each machine."""
    lanes = _lanes(steps)
    boxes = _place(steps, lanes)
    width = max((box.x + box.width for box in boxes.values()), default=260) + _MARGIN
    height = _TOP + max(len(lanes), 1) * _LANE + _MARGIN / 2
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" {_FONT}>',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.8 L7.2 4 L0 7.2 z" fill="#8a8f98"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="32" font-size="15" font-weight="600" fill="#1f2933">{escape(title)}</text>',
    ]
    if not boxes:
        rows.append(f'<text x="{_MARGIN}" y="{_TOP + 24}" font-size="13" fill="#52606d">Nothing to change.</text>')
    rows += [_lane(name, number, width) for name, number in lanes.items()]
    rows += [_edge(boxes[before], boxes[step.id]) for step in _reduced(steps) for before in step.after]
    rows += [_node(box) for box in boxes.values()]
    return "\n".join([*rows, "</svg>"]) + "\n"


def _reduced(steps: Sequence[Step]) -> list[Step]:
    """The steps without edges that another way already says; a picture of all of them is a net."""
    above: dict[str, set[str]] = {}
    out = []
    for step in steps:
        far = {name for before in step.after for name in above.get(before, set())}
        above[step.id] = far | set(step.after)
        out.append(Step(step.id, step.kind, step.title, after=tuple(one for one in step.after if one not in far)))
    return out


def _lane_of(step: Step) -> str:
    if len(step.machines) > 1:
        return "machines"
    return step.machines[0] if step.machines else _CLUSTER


def _lanes(steps: Sequence[Step]) -> dict[str, int]:
    """Lanes from top to bottom: machines in the order of the plan, the cluster last; "ready" has none of its own."""
    found = list(dict.fromkeys(_lane_of(step) for step in steps if step.kind != "ready"))
    ordered = [name for name in found if name != _CLUSTER] + [name for name in found if name == _CLUSTER]
    return {name: number for number, name in enumerate(ordered)}


def _place(steps: Sequence[Step], lanes: Mapping[str, int]) -> dict[str, _Box]:
    """Columns by the longest way to a step, so that an edge in a lane passes no other box."""
    level: dict[str, int] = {}
    for step in steps:
        level[step.id] = max((level[before] + 1 for before in step.after), default=0)
    columns: dict[int, float] = {}
    for step in steps:
        columns[level[step.id]] = max(columns.get(level[step.id], 0.0), _width(step))
    starts: dict[int, float] = {}
    x = _MARGIN + max((len(name) for name in lanes), default=0) * 6.6 + 26
    for number in sorted(columns):
        starts[number] = x
        x += columns[number] + _GAP
    out: dict[str, _Box] = {}
    for step in steps:
        row = (len(lanes) - 1) / 2 if step.kind == "ready" else lanes[_lane_of(step)]
        column, width = starts[level[step.id]], _width(step)
        indent = (columns[level[step.id]] - width) / 2
        out[step.id] = _Box(step, column, column + indent, _TOP + row * _LANE + _LANE / 2, width)
    return out


def _width(step: Step) -> float:
    return max(len(step.title) * _LETTER, len(_below(step)) * 6.2, 64) + _PADDING


def _lane(name: str, number: int, width: float) -> str:
    y = _TOP + number * _LANE
    band = f'<rect x="8" y="{y}" width="{width - 16:.0f}" height="{_LANE}" fill="#f7f8fa"/>' if number % 2 == 0 else ""
    text = f'<text x="{_MARGIN}" y="{y + _LANE / 2 + 4:.0f}" font-size="12" fill="#7b8794">{escape(name)}</text>'
    return band + text


def _edge(start: _Box, end: _Box) -> str:
    """Along the lane of the start, then over to the end in the gap before its column."""
    x1, y1, x2, y2 = start.x + start.width, start.middle, end.x - 2, end.middle
    turn = max(end.column - _GAP + 4, x1)
    bend = (end.column - turn) * 0.6
    return (
        f'<path d="M{x1:.1f} {y1:.1f} H{turn:.1f} C{turn + bend:.1f} {y1:.1f} {end.column - bend:.1f} {y2:.1f} '
        f'{end.column - 6:.1f} {y2:.1f} H{x2:.1f}" fill="none" stroke="#8a8f98" stroke-width="1.3" '
        'marker-end="url(#tip)"/>'
    )


def _node(box: _Box) -> str:
    fill, edge = COLOURS[box.step.kind]
    ink, soft = ("#ffffff", "#d9efe3") if box.step.kind == "ready" else ("#1f2933", "#52606d")
    below = _below(box.step)
    centre = box.x + box.width / 2
    shift = -2 if below else 5
    hint = ": ".join(filter(None, [box.step.title, names(box.step.machines)]))
    rows = [
        f"<g><title>{escape(hint)}</title>",
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{_BOX_HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{edge}" stroke-width="1.4"/>',
        f'<text x="{centre:.1f}" y="{box.middle + shift:.1f}" font-size="13" text-anchor="middle" fill="{ink}">'
        f"{escape(box.step.title)}</text>",
    ]
    if below:
        rows.append(
            f'<text x="{centre:.1f}" y="{box.middle + 14:.1f}" font-size="11" text-anchor="middle" fill="{soft}">'
            f"{escape(below)}</text>"
        )
    return "".join([*rows, "</g>"])

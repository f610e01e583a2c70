# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a run made, beside what it had planned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Changes = list[dict[str, Any]]


@dataclass
class Record:
    """The end of a run.

    changes      every Change that was made, with where it was written when the plan knows that
    missing      planned Changes that were not made
    unplanned    Changes that were made and not planned
    unreachable  machines that could not be reached
    failed       by machine, why it did not finish
    """

    changes: Changes = field(default_factory=list)
    missing: Changes = field(default_factory=list)
    unplanned: Changes = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def record(planned: Changes, results: Mapping[str, Sequence[Mapping[str, Any]]], machines: Sequence[str]) -> Record:
    """Sum up a run.

    Args:
        planned: Changes of the plan, as JSON.
        results: by machine, the results of its tasks, what was observed first; a task that did not run gives {}.
        machines: every machine of the inventory, in its order.
    """
    out = Record()
    for machine in machines:
        observed, *done = results.get(machine) or [{}]
        if observed.get("unreachable") or any(result.get("unreachable") for result in done):
            out.unreachable.append(machine)
        for result in done:
            out.changes += result.get("changes") or []
            if result.get("failed") and not result.get("unreachable"):
                out.failed[machine] = str(result.get("msg") or "failed")
    made, wanted = _keys(out.changes), _keys(planned)
    out.missing = [change for key, change in zip(wanted, planned) if key not in set(made)]
    origin = {key: change.get("origin") for key, change in zip(wanted, planned)}
    out.changes = [
        {**change, "origin": origin[key]} if origin.get(key) else change for key, change in zip(made, out.changes)
    ]
    out.unplanned = [change for key, change in zip(made, out.changes) if key not in set(wanted)]
    return out


def _keys(changes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each Change as a text that compares; where it was written is no part of what it is."""
    return [json.dumps({**change, "origin": None}, sort_keys=True) for change in changes]

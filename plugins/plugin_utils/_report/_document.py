# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A plan for programs: the JSON document that schemas/plan.json describes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change
from ansible_collections.weft.platform.plugins.plugin_utils._report._steps import Step
from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import summarise

#: Raised when a program that reads the document must be changed.
FORMAT = "weft.platform/plan/1"


def document(
    cluster: str,
    machines: Mapping[str, Mapping[str, Any]],
    changes: Sequence[Change],
    problems: Sequence[Mapping[str, Any]],
    steps: Sequence[Step],
) -> dict[str, Any]:
    """The document, secrets masked.  It holds no time: equal plans are equal texts.

    Args:
        cluster: its name.
        machines: by inventory name: role ("control_plane", "worker") and state ("observed", "unreachable", "failed").
        changes: of all machines and of the cluster.
        problems: errors and warnings.
        steps: of the run that would make the Changes.
    """
    counted = summarise(changes)
    return {
        "format": FORMAT,
        "cluster": cluster,
        "machines": {name: dict(machine) for name, machine in machines.items()},
        "summary": {
            "machines": len(counted.machines),
            "changes": counted.changes,
            **counted.actions,
            "costs": counted.costs,
        },
        "changes": [change.to_json() for change in changes],
        "problems": [dict(problem) for problem in problems],
        "steps": [step.to_json() for step in steps],
    }


def text(found: Mapping[str, Any]) -> str:
    """The document as a file's text."""
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=False) + "\n"

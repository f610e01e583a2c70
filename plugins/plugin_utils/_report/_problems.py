# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Problems as people read them: all at once, each with its place and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import plural

#: A problem: severity, message, remedy, file, line, subject, check; all but the message may be missing.
Problem = Mapping[str, Any]


def problems(found: Sequence[Problem], title: str, width: int = 110) -> str:
    """Several problems as text.

    Args:
        found: in the order in which they are shown.
        title: what has them: "The inventory".
        width: of the lines, in characters.
    """
    errors = sum(1 for one in found if one.get("severity", "error") == "error")
    counts = [plural(errors, "error")] if errors else []
    if len(found) > errors:
        counts.append(plural(len(found) - errors, "warning"))
    out = [f"{title}: {' and '.join(counts)}."]
    for one in found:
        out += ["", *_one(one, width)]
    return "\n".join(out)


def sentence(problem: Problem) -> str:
    """One problem on one line."""
    where = place(problem)
    message = str(problem["message"]).rstrip(".")
    remedy = str(problem.get("remedy", ""))
    return f"{where + ': ' if where else ''}{message}." + (f" {remedy}" if remedy else "")


def place(problem: Problem) -> str:
    """file:line, or what is known of it."""
    file, line = str(problem.get("file", "")), problem.get("line", 0)
    return f"{file}:{line}" if file and line else file


def _one(problem: Problem, width: int) -> list[str]:
    severity = str(problem.get("severity", "error")).upper()
    check = f"check {problem['check']}" if problem.get("check") else ""
    about = ", ".join(filter(None, [str(problem.get("subject", "")), check]))
    where = "  ".join(filter(None, [place(problem), f"({about})" if about else ""]))
    out = [f"{severity:7}  {where}".rstrip()]
    out += _wrapped(str(problem["message"]), "         ", width)
    if problem.get("remedy"):
        out += _wrapped(str(problem["remedy"]), "      -> ", width)
    return out


def _wrapped(text: str, start: str, width: int) -> list[str]:
    out: list[str] = []
    for number, line in enumerate(text.splitlines()):
        first = start if number == 0 else " " * len(start)
        out += wrap(
            line,
            width,
            initial_indent=first,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return out

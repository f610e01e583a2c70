# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A verdict as a SARIF 2.1.0 log (OASIS standard of 2020-03-27), in the subset that code scanning reads.

A finding on a whole file stands at line 1, one on the whole change at the first place that the change touches: code
scanning wants a line.  What is gone has none: its result is about the file (3.29.4 of the standard: a physicalLocation
without a region is about the whole of its artifact).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Origin, Subject, show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _text as text
from ansible_collections.weft.platform.plugins.plugin_utils._policy._format import KIND_WORDS, who_could
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    INFO,
    PROHIBIT,
    WARN,
    Finding,
    Verdict,
)

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {PROHIBIT: "error", WARN: "warning", INFO: "note"}
#: What code scanning takes (GitHub's page on SARIF support): a file with more results in a run is refused as a whole,
#: a rule with longer words too.
_RESULTS = 25_000
_NAME, _WORDS = 255, 1024  # characters of a rule's name, and of what describes it
#: Where a finding stands that is about no file, of a change that touches none.
_NOWHERE = Origin("policy/roles.yml", 1)

Json = dict[str, Any]


def log(verdict: Verdict) -> Json:
    """The whole SARIF log: one run, one reportingDescriptor a rule, one result a finding."""
    rules: dict[str, int] = {}
    descriptors: list[Json] = []
    results: list[Json] = []
    seen: dict[str, int] = {}
    fallback = next((change.origin for change in verdict.changes if change.origin is not None), _NOWHERE)
    for finding in verdict.findings[:_RESULTS]:  # the worst are first
        identity = rule_id(finding)
        if identity not in rules:
            rules[identity] = len(descriptors)
            descriptors.append(_descriptor(identity, finding))
        mark = _fingerprint(finding)
        seen[mark] = seen.get(mark, 0) + 1
        results.append(_result(finding, identity, rules[identity], f"{mark}:{seen[mark]}", fallback))
    driver = {"name": "weft.platform policy", "rules": descriptors}
    run: Json = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "weft/policy/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(verdict)],
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The top of the repository."}}},
        "properties": {"permitted": verdict.permitted, "base": verdict.base, "head": verdict.head},
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _invocation(verdict: Verdict) -> Json:
    left = len(verdict.findings) - _RESULTS
    told = f"{text.many(left, 'more finding')} left out: code scanning takes {_RESULTS}; the JSON form has all of them."
    notes = {"toolExecutionNotifications": [{"level": "warning", "message": {"text": told}}]} if left > 0 else {}
    return {"executionSuccessful": verdict.judged, "exitCode": _exit_code(verdict), **notes}


def _exit_code(verdict: Verdict) -> int:
    if verdict.permitted:
        return 0
    return 1 if verdict.judged else 2


def rule_id(finding: Finding) -> str:
    """A stable id: the kind, and the rule's name in lower case with hyphens.

    Where that loses something of the name, six digits of its hash tell it from others.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", finding.rule.lower()).strip("-")[:80]
    plain = re.fullmatch(r"[A-Za-z0-9]+([ -][A-Za-z0-9]+)*", finding.rule) is not None and len(finding.rule) <= 80
    mark = "" if plain else "-" + _sha(finding.rule)[:6]
    return f"{finding.kind}/{slug}{mark}"


def _sha(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def _fingerprint(finding: Finding) -> str:
    """The same finding keeps it when lines move."""
    return _sha("\0".join(finding.key))[:32]


def _descriptor(identity: str, finding: Finding) -> Json:
    name = text.visible(finding.rule)
    kind = KIND_WORDS.get(finding.kind, finding.kind)
    return {
        "id": identity,
        "name": text.cut(name, _NAME),
        "shortDescription": {"text": text.cut(name, _WORDS)},
        "fullDescription": {"text": text.cut(f"{name} ({kind})", _WORDS)},
        "help": {"text": f"Rule of the policy in force: {name}. A finding of this rule is {kind}."},
        "defaultConfiguration": {"level": _LEVELS.get(finding.severity, "error")},
        "properties": {"tags": ["policy", finding.kind]},
    }


def _result(finding: Finding, identity: str, index: int, mark: str, fallback: Origin) -> Json:
    return {
        "ruleId": identity,
        "ruleIndex": index,
        "level": _LEVELS.get(finding.severity, "error"),
        "message": {"text": _message(finding)},
        "locations": [_location(finding, fallback)],
        "partialFingerprints": {"primaryLocationLineHash": mark},
        "baselineState": "new" if finding.new else "unchanged",
        "properties": {"kind": finding.kind, "whoCould": [text.visible(one) for one in finding.who_could]},
    }


def _message(finding: Finding) -> str:
    """Plain text; SARIF gives brackets and braces in it a meaning, so that they are escaped."""
    parts = [text.visible(finding.message)]
    if finding.who_could:
        parts.append(f"Who could: {who_could(finding)}.")
    if finding.remedy:
        parts.append(f"How to go on: {text.visible(finding.remedy)}")
    # 3.11.5 and 3.11.6 of the standard: placeholders {0} and links [text](target) in a message
    return re.sub(r"([\\\[\]])", r"\\\1", " ".join(parts)).replace("{", "{{").replace("}", "}}")


def _location(finding: Finding, fallback: Origin) -> Json:
    origin = finding.origin or fallback
    physical: Json = {"artifactLocation": {"uri": uri(origin.file), "uriBaseId": "%SRCROOT%"}}
    is_gone = finding.change is not None and finding.change.after is ABSENT
    if origin.line or not is_gone:
        column = {"startColumn": origin.column} if origin.column else {}
        physical["region"] = {"startLine": max(origin.line, 1), **column}
    location: Json = {"physicalLocation": physical}
    subject = finding.subject or (finding.change.subject if finding.change else None)
    if subject is not None:
        location["logicalLocations"] = [_logical(subject, finding)]
    return location


def _logical(subject: Subject, finding: Finding) -> Json:
    field = show_path(finding.field or (finding.change.field if finding.change else ()))
    name = f"{subject}{' ' if field else ''}{field}"
    return {"fullyQualifiedName": text.visible(name), "kind": "member" if field else "object"}


def uri(path: str) -> str:
    """A path of the repository as a relative URI reference, byte by byte; "../" and "//" cannot come out of it."""
    pieces = [piece for piece in path.split("/") if piece not in ("", ".", "..")]
    clean = "/".join(pieces)
    try:
        raw = clean.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no name of a file, but a string may hold any surrogate
        raw = clean.encode("utf-8", "surrogatepass")
    return quote(raw, safe="/")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Text from a repository made safe to show: on a terminal, in Markdown, in JSON.

File names, values and even login names come from whoever opened the pull request.  Nothing of theirs may move a
cursor, hide itself, call somebody, close an issue, run a bot's command or become markup.
"""

from __future__ import annotations

import json
import re
from typing import Any

# C0 and C1 controls, DEL, lone surrogates (bytes that are no UTF-8), and what is invisible or turns the direction of
# writing: soft hyphen, Arabic letter mark, zero widths, bidi embeddings and isolates, separators, BOM, tags.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffc\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#!|~>$])")
_LINK = re.compile(r"(?i)(://|\bwww\.|\bmailto:)")
_SPACE = "\u200b"


def visible(text: str) -> str:
    """The text in one line, in which every character can be seen: controls and the like as escapes.

    A byte that is no UTF-8 (a lone surrogate, as `surrogateescape` makes it) becomes \\xNN.
    """
    return _UNSEEN.sub(_escape, text)


def basic(text: str) -> str:
    """The text with characters above U+FFFF as escapes: GitHub takes none of them in the words of a commit status."""
    return re.sub("[\U00010000-\U0010ffff]", _escape, text)


def told(error: Exception) -> str:
    """What an error says, each of several problems in a line of its own."""
    problems = getattr(error, "problems", ())
    return "\n".join(visible(str(one)) for one in problems) or visible(str(error))


def many(count: int, word: str) -> str:
    """So many of something: "1 record", "2 records"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, length: int) -> str:
    """At most `length` characters, the middle left out."""
    if len(text) <= length:
        return text
    head = (length - 3) * 2 // 3
    tail = length - 3 - head
    return f"{text[:head]}...{text[len(text) - tail :]}"


def login(name: str) -> str:
    """A login name; letters outside ASCII are spelled out beside it, since they may look like others."""
    odd = sorted({char for char in name if ord(char) > 0x7E and not _UNSEEN.match(char)})
    shown = visible(name)
    return shown if not odd else f"{shown} (with {', '.join(f'U+{ord(char):04X}' for char in odd)})"


def value(item: Any, length: int = 120) -> str:
    """A JSON value in one line of at most `length` characters."""
    try:
        text = json.dumps(item, ensure_ascii=False, sort_keys=False, default=str)
    except (ValueError, RecursionError):
        text = str(type(item).__name__)
    return cut(visible(text), length)


def markdown(text: str) -> str:
    """Prose in Markdown: no markup, no HTML, no mention, no reference, no link, no line break comes out of it.

    It must not stand at the beginning of a line, where lists, headings and bots' commands begin.

    An invisible space breaks what forges look for after Markdown was rendered (mentions, references, links).
    """
    safe = _LINK.sub(lambda match: match.group()[:-1] + _SPACE + match.group()[-1], visible(text))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;")
    safe = _MARKDOWN.sub(r"\\\1", safe)
    return safe.replace("@", "@" + _SPACE).replace("\\#", "\\#" + _SPACE).replace("\\!", "\\!" + _SPACE)


def code(text: str) -> str:
    """A Markdown code span that the text cannot leave, on one line."""
    safe = visible(text)
    runs = [len(run) for run in re.findall("`+", safe)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if not safe.strip(" ") or safe.startswith(("`", " ")) or safe.endswith(("`", " ")) else ""
    return f"{fence}{pad}{safe}{pad}{fence}" if safe else "*(empty)*"


def as_json(item: Any, indent: int | None = None) -> str:
    """The JSON value written as JSON that every reader takes; see `plain`."""
    try:
        out = json.dumps(item, indent=indent, ensure_ascii=False, allow_nan=False)
        out.encode("utf-8")
    except (ValueError, TypeError):  # seldom, so looking at every value first would be waste
        return json.dumps(plain(item), indent=indent, ensure_ascii=False, allow_nan=False)
    return out


def plain(item: Any) -> Any:
    """The JSON value with what other JSON readers choke on made visible: lone surrogates, NaN and infinities."""
    if isinstance(item, str):
        return _SURROGATE.sub(_escape, item)
    if isinstance(item, float) and item - item != 0:  # NaN and the infinities only
        return str(item)
    if isinstance(item, dict):
        return {plain(str(key)): plain(inner) for key, inner in item.items()}
    if isinstance(item, (list, tuple)):
        return [plain(inner) for inner in item]
    if item is None or isinstance(item, (bool, int, float)):
        return item
    return plain(str(item))


_SURROGATE = re.compile("[\ud800-\udfff]")

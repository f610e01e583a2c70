# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Whether a value has the type that its option declares; stricter than Ansible, which turns 1.30 into "1.3" unasked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import Finding, Path, shown
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import Option

_NAMES = {"str": "a text", "path": "a path", "int": "a whole number", "bool": "true or false", "list": "a list"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
}


def check(value: Any, option: Option, path: Path = (), label: str = "") -> Iterator[Finding]:
    """What is wrong with the type of a value, of its elements and keys.

    Args:
        value: plain, templates resolved.
        option: what is declared.
        path: of the value inside its variable.
        label: how messages call the value; the option's name if empty.
    """
    label = label or option.name
    if not _is(value, option.type):
        yield Finding(
            f"{label} must be {_type_name(option)}, not {_shown(value, option)}", _remedy(value, option), path
        )
    elif option.choices and not isinstance(value, list) and value not in option.choices:
        near = nearest(str(value), [str(choice) for choice in option.choices])
        hint = f"Did you mean {near}? " if near else ""
        yield Finding(f"{label} cannot be {_shown(value, option)}", f"{hint}Choose {_either(option.choices)}.", path)
    elif isinstance(value, dict) and option.options:
        yield from _keys(value, option, path, label)
    elif isinstance(value, list) and option.elements:
        inner = Option(option.name, option.role, option.elements, choices=option.choices, options=option.options)
        for index, item in enumerate(value):
            yield from check(item, inner, (*path, index), f"{label}[{index}]")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.75) -> str:
    """The known name that a mistyped one most likely means, or ""."""
    return next(iter(get_close_matches(name, list(known), 1, cutoff)), "")


def _keys(value: Mapping[Any, Any], option: Option, path: Path, label: str) -> Iterator[Finding]:
    for key, item in value.items():
        sub = option.options.get(key)
        if sub is None:
            near = nearest(str(key), option.options)
            hint = f"Did you mean {near}? " if near else ""
            yield Finding(
                f"{label} has no key {shown(key)}",
                f"{hint}Known are {', '.join(option.options)}.",
                (*path, key),
            )
        else:
            yield from check(item, sub, (*path, key), f"{label}.{key}")
    for key, sub in option.options.items():
        if sub.required and key not in value:
            yield Finding(f"{label} lacks the key {key}", f"Add {key}: {' '.join(sub.text)}", path)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind not in ("bool", "raw"):
        return False
    return isinstance(value, _TYPES[kind])


def _type_name(option: Option) -> str:
    if option.type == "dict":
        return "a mapping of keys to values"
    return _NAMES[option.type]


def _shown(value: Any, option: Option) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "the value given" if option.secret else shown(value)


def _remedy(value: Any, option: Option) -> str:
    if value is None:
        return f"Give it a value, or take the line away to get the default{_default(option)}."
    if option.type in ("str", "path") and isinstance(value, (int, float)):
        return "Write it in quotes."
    if option.type in ("int", "bool") and isinstance(value, str):
        return (
            "Write it without quotes. On the command line, values that are no text want JSON: "
            f"-e '{{\"{option.name}\": ...}}'."
        )
    if option.type == "list" and not isinstance(value, dict):
        return "Write it as a list: [one, two]."
    return f"For example: {option.example}" if option.example else f"Write {_type_name(option)}."


def _default(option: Option) -> str:
    is_short = option.default is not None and len(str(option.default)) <= 40
    return f" ({shown(option.default)})" if is_short else ""


def _either(choices: Iterable[Any]) -> str:
    *most, last = [str(choice) for choice in choices]
    return f"{', '.join(most)} or {last}" if most else last

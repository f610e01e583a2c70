# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The variables that a person may set, as the roles' argument specs declare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._inventory._model import BY_HOST
from ansible_collections.weft.platform.plugins.plugin_utils._settings import NOUNS, ROLES, complete
from ansible_collections.weft.platform.plugins.plugin_utils._yaml import read_file

EXAMPLE = "Example:"
LIVE = "On a live cluster:"


@dataclass(frozen=True)
class Option:
    """One variable, or one key of a variable that is a mapping.

    role      the role that declares it
    type      str, int, bool, list, dict, path or raw; `elements` likewise, of a list's elements ("" for any)
    choices   what the value, or each element of a list, may be; empty where anything goes
    default   completed with the defaults of its keys; None where there is none
    options   keys of a mapping, or of a list's mappings; empty where any key goes
    text      paragraphs that say what it is, in Ansible's markup
    example   YAML that sets it; live  what changing it on a live cluster does
    """

    name: str
    role: str
    type: str
    elements: str = ""
    choices: tuple[Any, ...] = ()
    default: Any = None
    required: bool = False
    secret: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    example: str = ""
    live: str = ""

    @property
    def is_cluster_wide(self) -> bool:
        """Whether all machines of a cluster share one value."""
        return not f"{self.role}_".startswith(BY_HOST)


@dataclass(frozen=True)
class Role:
    """A role and its variables."""

    name: str
    title: str
    text: tuple[str, ...]
    options: Mapping[str, Option]


@lru_cache(maxsize=4)
def roles(folder: Path = ROLES) -> tuple[Role, ...]:
    """The roles that own variables of a cluster, in the order in which people meet them.

    Raises:
        YamlError: an argument spec is not YAML.
        OSError: one cannot be read.
    """
    out = []
    for name in NOUNS:
        main = read_file(folder / name / "meta" / "argument_specs.yml")[0].value["argument_specs"]["main"]
        options = {key: _option(key, name, spec) for key, spec in main.get("options", {}).items()}
        out.append(Role(name, main["short_description"], _paragraphs(main.get("description", [])), options))
    return tuple(out)


def options(folder: Path = ROLES) -> dict[str, Option]:
    """All variables by name."""
    return {name: option for role in roles(folder) for name, option in role.options.items()}


def _option(name: str, role: str, spec: Mapping[str, Any]) -> Option:
    text = _paragraphs(spec.get("description", []))
    return Option(
        name=name,
        role=role,
        type=spec.get("type", "str"),
        elements=spec.get("elements", ""),
        choices=tuple(spec.get("choices", ())),
        default=complete(spec.get("default"), spec),
        required=bool(spec.get("required", False)),
        secret=bool(spec.get("no_log", False)),
        options={key: _option(key, role, sub) for key, sub in (spec.get("options") or {}).items()},
        text=tuple(one for one in text if not one.startswith((EXAMPLE, LIVE))),
        example=_marked(text, EXAMPLE),
        live=_marked(text, LIVE),
    )


def _paragraphs(description: Any) -> tuple[str, ...]:
    return (description,) if isinstance(description, str) else tuple(description)


def _marked(paragraphs: tuple[str, ...], mark: str) -> str:
    return next((one.removeprefix(mark).strip() for one in paragraphs if one.startswith(mark)), "")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The collection's variables with their defaults, for one host.

A variable is declared once, in the role that owns it; playbooks need not include a role to get its defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
#: Roles whose variables describe a cluster and its machines.
NOUNS = ("cluster", "node", "containerd", "artifacts", "network", "dns", "proxy")


class Templar(Protocol):
    """What is needed of Ansible's templar."""

    def copy_with_new_env(self, *, available_variables: Mapping[str, Any]) -> Templar:
        """A templar for other variables."""

    def template(self, variable: Any) -> Any:
        """The value with its templates resolved."""


@lru_cache(maxsize=1)
def options() -> dict[str, dict[str, Any]]:
    """Every variable of NOUNS with its argument specification."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    out: dict[str, dict[str, Any]] = {}
    for role in NOUNS:
        with open(ROLES / role / "meta" / "argument_specs.yml", encoding="utf-8") as file:
            # A subclass of SafeLoader: builds plain values only.
            out.update(yaml.load(file, loader)["argument_specs"]["main"].get("options", {}))
    return out


def with_defaults(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A host's variables with our defaults below them: what a templar needs, as a default may name another variable."""
    return {**{name: _trusted(option.get("default")) for name, option in options().items()}, **variables}


def settings(variables: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """The variables of one host, defaults filled in and templates resolved.

    A mapping that is given in part keeps the defaults of its other keys.

    Args:
        variables: the host's variables, with_defaults.
        template: resolves templates in a value (an Ansible templar's, over the same variables).
    """
    return {name: complete(plain(template(variables.get(name))), option) for name, option in options().items()}


def complete(value: Any, option: Mapping[str, Any]) -> Any:
    """A value with the defaults of the keys that its option declares and it does not name."""
    if isinstance(value, Mapping) and option.get("options"):
        declared = {key: sub["default"] for key, sub in option["options"].items() if "default" in sub}
        return {**declared, **value}
    return value


def plain(value: Any) -> Any:
    """A value in plain types: ansible-core's own carry tags, which YAML and JSON writers do not know."""
    if isinstance(value, Mapping):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str.__str__(value) if isinstance(value, str) else str(value)


def _trusted(value: Any) -> Any:
    """Tell ansible-core 2.19 and later that our own defaults may be templates; values without one stay as they are.

    They are trusted because they are ours.
    """
    if isinstance(value, str) and "{{" in value:
        from ansible.template import trust_as_template

        return trust_as_template(value)
    return value

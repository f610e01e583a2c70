# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The content checks by name, imported only when a rule uses one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    CheckFunction,
    ContentError,
    ParamsFunction,
)

_PACKAGE = "ansible_collections.weft.platform.plugins.plugin_utils._policy"

#: Module of each check. It has `check(jobs)` and `problems(name, params)`; checks of one module are run together.
TABLE = {
    "pss": "_pss",
    "schema": "_schema",
    "rego": "_rego",
    "gatekeeper": "_rego",
    "limits": "_ready",
    "images": "_ready",
    "labels": "_ready",
    "annotations": "_ready",
    "host_paths": "_ready",
    "replicas": "_ready",
}


def run(module: str) -> CheckFunction:
    """The function that runs the checks of a module.

    Raises:
        ContentError: it cannot be imported.
    """
    found: CheckFunction = _attribute(module, "check")
    return found


def params(name: str) -> ParamsFunction:
    """The function that says what is wrong with a check's parameters.

    Raises:
        ContentError: it cannot be imported.
    """
    found: ParamsFunction = _attribute(TABLE[name], "problems")
    return found


def _attribute(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"{_PACKAGE}.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise ContentError(f"the check {module.strip('_')} cannot be loaded: {error}") from error

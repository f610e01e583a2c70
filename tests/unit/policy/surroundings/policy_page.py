# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The commands that docs/policy.md tells people to give, to be run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _model

ROOT = Path(__file__).resolve().parents[4]
IMPORT_ROOT = Path(_model.__file__).parents[6]
PAGE = ROOT / "docs" / "policy.md"


def blocks(walk: str = "") -> list[str]:
    """The page's blocks of commands that are marked for a walk ("": the way to a policy, without a forge)."""
    mark = f"<!-- walk{walk and f' {walk}'} -->"
    return re.findall(rf"{mark}\n```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def walk(script: str, where: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run commands of the page as olga; returns what they printed.  Any but those of weft-policy must succeed."""
    policy = f"{sys.executable} -m ansible_collections.weft.platform.plugins.plugin_utils._policy"
    function = f'weft-policy() {{ code=0; {policy} "$@" || code=$?; echo "exit code $code"; }}\n'
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    people = {f"GIT_{who}_{what}": "olga@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": str(IMPORT_ROOT), "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["bash", "-e", "-c", function + script],
        cwd=where,
        env={**plain, **people, **settings, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr

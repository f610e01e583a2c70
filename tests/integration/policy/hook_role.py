# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The role policy_hook, run on this machine below a folder of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.policy.protected_repository import IMPORT_ROOT, environment

_PLAY = """\
- name: Install the hook
  hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: weft.platform.policy_hook
"""


def apply(top: Path, repository: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Run the role for one repository; returns what ansible said.

    Args:
        top: where the policy manager and its settings go, and the decision log unless `values` say otherwise.
        repository: an element of policy_hook_repositories.
        values: further variables.
    """
    play = top / "play.yml"
    play.write_text(_PLAY, encoding="utf-8")
    extra = {
        "policy_hook_repositories": [repository],
        "policy_hook_user": "root",
        "policy_hook_log": str(top / "log" / "decisions.jsonl"),
        "policy_hook__library": str(top / "library"),
        "policy_hook__settings": str(top / "settings"),
        "policy_hook__packages": [],
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        **values,
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(play), "-e", json.dumps(extra)],
        cwd=top,
        env=environment(ANSIBLE_COLLECTIONS_PATH=str(IMPORT_ROOT), ANSIBLE_LOCALHOST_WARNING="false"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

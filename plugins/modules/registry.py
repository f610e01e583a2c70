#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry
short_description: Serve a bundle from the controller
version_added: 0.1.0
description:
  - Starts or stops the bundle's own registry (distribution) on the controller, read-only.
  - A registry that serves the same bundle at the same address is kept.
  - >-
    Does nothing unless C(artifacts_source) is V(bundle), or where C(artifacts_registry) names a registry of the user's;
    then it returns that one's address.
options:
  state:
    description: Whether the registry shall run.
    type: str
    choices: [started, stopped]
    default: started
  path:
    description: The bundle's folder. By default that of C(artifacts_bundle_path).
    type: path
  address:
    description:
      - Address to listen at. By default the controller's address on the route to the task's host.
      - There is no TLS. Everything served is public, and is verified by digest on the machines.
    type: str
  port:
    description: Port to listen at.
    type: int
    default: 5001
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  action:
    description: >-
      Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Serve the bundle
  weft.platform.registry:
    state: started
  run_once: true
  register: registry
"""

RETURN = r"""
address:
  description: Host and port of the registry; empty where the inventory wants none.
  returned: success
  type: str
  sample: 192.0.2.10:5001
path:
  description: The bundle's folder.
  returned: when the registry runs
  type: str
pid:
  description: The registry's process.
  returned: when the registry runs
  type: int
log:
  description: The registry's log file.
  returned: when the registry runs
  type: str
"""

#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Pin every binary and image of a cluster in a lock file
version_added: 0.1.0
description:
  - Resolves the inventory's versions to the sha256 of every binary and image and writes C(lock.yml), for Git.
  - >-
    The versions follow from C(cluster_kubernetes_version); the source is C(artifacts_source). With V(bundle) the
    digests are those of the bundle; otherwise upstream's checksum files and registries are asked, or the mirror.
  - Nothing that differs from the lock file is ever installed.
options:
  path:
    description: File to write. By default that of C(artifacts_lock).
    type: path
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
  action:
    description: >-
      Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
author:
  - the weft.platform authors (@weft-platform)
"""

EXAMPLES = r"""
- name: Pin what the inventory asks for
  weft.platform.lock:
  run_once: true
"""

RETURN = r"""
path:
  description: The lock file.
  returned: success
  type: str
  sample: /srv/clusters/inventories/prod/lock.yml
"""

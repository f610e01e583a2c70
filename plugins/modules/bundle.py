#!/usr/bin/python
# Copyright: the weft.platform authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Make one folder that is enough to build a cluster with no other network
version_added: 0.1.0
description:
  - The folder holds every binary and image, the registry that serves them, and a lock file.
  - >-
    It is downloaded from upstream, exactly as C(artifacts_lock) says where that file exists, or built from Go modules
    and Debian packages that the collection pins.
  - What was fetched or built is kept in the user's cache folder, so work that was cut short goes on.
options:
  path:
    description: The folder. By default that of C(artifacts_bundle_path).
    type: path
  kubernetes:
    description: Version of Kubernetes, such as V(v1.37.2) or V(1.37). By default C(cluster_kubernetes_version).
    type: str
  origin:
    description:
      - V(upstream) downloads, V(source) builds.
      - V(auto) downloads where upstream, or the mirror, answers, and builds otherwise.
    type: str
    choices: [auto, upstream, source]
    default: auto
  verify:
    description: Whether to read every byte of the bundle afterwards and compare it with the digests.
    type: bool
    default: false
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
- name: Make the bundle of the inventory's version
  weft.platform.bundle:
  run_once: true

- name: Make a bundle elsewhere, from source
  weft.platform.bundle:
    path: /srv/weft/v1.37.2
    kubernetes: v1.37.2
    origin: source
  run_once: true
"""

RETURN = r"""
path:
  description: The bundle's folder.
  returned: success
  type: str
  sample: /home/ada/.cache/weft.platform/bundles/v1.37.2
lock:
  description: The bundle's own lock file.
  returned: when not in check mode
  type: str
kubernetes:
  description: The version of Kubernetes that the bundle is for.
  returned: when not in check mode
  type: str
  sample: v1.37.2
differs:
  description: What the inventory's lock file pins otherwise than the bundle has it. Write the lock file anew then.
  returned: when not in check mode
  type: list
  elements: str
"""

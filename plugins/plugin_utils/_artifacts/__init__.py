# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Artifacts: versions, lock file, bundle and the registry that serves it.  No import of ansible in here."""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError

__all__ = ["ArtifactError"]

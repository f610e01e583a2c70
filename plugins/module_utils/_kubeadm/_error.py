# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The root of what goes wrong with kubeadm, on a machine."""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.module_utils._resource import ResourceError


class KubeadmError(ResourceError):
    """Membership of a machine cannot be read or changed; the message says what, where, and what to do."""

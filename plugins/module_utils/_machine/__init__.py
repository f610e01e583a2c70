# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A machine: files, kernel, packages, programs, units, images, firewall; what it is, and the way back to what it was.

RESOURCES maps a spec's type to its class; run() is what the node module does; facts() says what the machine is.
"""

from __future__ import annotations

from typing import Dict, Type

from ansible_collections.weft.platform.plugins.module_utils._machine._binary import Binary
from ansible_collections.weft.platform.plugins.module_utils._machine._files import Directory, File
from ansible_collections.weft.platform.plugins.module_utils._machine._firewall import Firewall
from ansible_collections.weft.platform.plugins.module_utils._machine._host import MachineError
from ansible_collections.weft.platform.plugins.module_utils._machine._images import Image
from ansible_collections.weft.platform.plugins.module_utils._machine._kernel import KernelModule, Swap, Sysctl
from ansible_collections.weft.platform.plugins.module_utils._machine._leftovers import Containers, Network
from ansible_collections.weft.platform.plugins.module_utils._machine._packages import Package
from ansible_collections.weft.platform.plugins.module_utils._machine._run import run, secrets
from ansible_collections.weft.platform.plugins.module_utils._machine._units import Unit
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource

__all__ = ["RESOURCES", "MachineError", "run", "secrets"]

RESOURCES: Dict[str, Type[Resource]] = {
    kind.type: kind
    for kind in (
        Binary,
        Containers,
        Directory,
        File,
        Firewall,
        Image,
        KernelModule,
        Network,
        Package,
        Swap,
        Sysctl,
        Unit,
    )
}

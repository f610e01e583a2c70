# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""kubeadm's patch folder: it applies every file that it finds there, so the folder holds these files and no other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Value
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError
from ansible_collections.weft.platform.plugins.module_utils._kubeadm._files import write
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource


class Patches(Resource):
    """The folder's files.

    Spec: name (the folder), files ({file name: content}).  That components restart is told by their manifests.
    """

    type: ClassVar[str] = "patches"

    def observe(self) -> Value:
        """{file name: content}; {} when the folder is not there."""
        folder = Path(self.spec["name"])
        try:
            return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.name[0] != "."}
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise KubeadmError(f"{folder} cannot be read: {error}") from error

    def desired(self) -> Value:
        """The files of the inventory."""
        return dict(self.spec["files"])

    def apply(self, changes: Sequence[Change]) -> None:
        """Write the files, and remove those that are not wanted."""
        folder = Path(self.spec["name"])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self.spec["files"].items():
            write(folder / name, content)
        for path in folder.iterdir():
            if path.name not in self.spec["files"]:
                path.unlink()

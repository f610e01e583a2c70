# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Writing a file so that it is there wholly or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from ansible_collections.weft.platform.plugins.module_utils._kubeadm._error import KubeadmError


def write(path: Path, text: str, mode: int = 0o600, beside: Optional[Path] = None) -> None:
    """Replace a file's content at one stroke, on the disk when this returns.

    Args:
        path: the file.
        text: its content.
        mode: its permissions.
        beside: folder for the file while it is written, on the same file system (the kubelet reads whatever stands
            in its manifest folder); the file's own folder when None.

    Raises:
        KubeadmError: it cannot be written; what was there is unharmed.
    """
    rough = (beside or path.parent) / f".{path.name}.weft"
    try:
        number = os.open(str(rough), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
        # A stream writes on until all is written or the disk is full; os.write alone may stop halfway.
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, mode)
            file.write(text.encode())
            file.flush()
            os.fsync(number)
        os.replace(str(rough), str(path))
        _sync(path.parent)
    except OSError as error:
        raise KubeadmError(f"{path} cannot be written: {error.strerror}; mend that and run again") from error


def _sync(folder: Path) -> None:
    """Have the folder's own entries on the disk: a rename is safe only then."""
    number = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

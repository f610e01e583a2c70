# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Writing a file so that it is there wholly or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional


def write(path: Path, text: str, mode: int = 0o600, beside: Optional[Path] = None) -> None:
    """Replace a file's content at one stroke, on the disk when this returns.

    Args:
        path: the file.
        text: its content.
        mode: its permissions.
        beside: folder for the file while it is written, on the same file system (the kubelet reads whatever stands
            in its manifest folder); the file's own folder when None.
    """
    rough = (beside or path.parent) / f".{path.name}.weft"
    number = os.open(str(rough), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    try:
        os.fchmod(number, mode)
        os.write(number, text.encode())
        os.fsync(number)
    finally:
        os.close(number)
    os.replace(str(rough), str(path))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The artifacts from a shell, without Ansible: `python -m …_artifacts bundle --kubernetes v1.37.2`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import verify_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import SOURCES
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._obtain import ORIGINS
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import clock_text
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._tasks import (
    bundle_folder,
    bundle_task,
    local_errors,
    lock_task,
)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The inventory's variables, as the command line has them."""
    return {
        "cluster_kubernetes_version": arguments.kubernetes,
        "artifacts_source": getattr(arguments, "source", "bundle"),
        "artifacts_bundle_path": str(arguments.output or ""),
        "artifacts_lock": str(getattr(arguments, "lock", None) or ""),
        "artifacts_mirror": dict(pair.split("=", 1) for pair in getattr(arguments, "mirror", None) or []),
        "artifacts_extra_images": getattr(arguments, "extra_image", None) or [],
    }


def _bundle(arguments: argparse.Namespace) -> str:
    begin = time.monotonic()
    task = {"origin": arguments.origin, "verify": arguments.verify}
    result = bundle_task(task, _settings(arguments), check=False)
    state = f"made in {clock_text(time.monotonic() - begin)}" if result["changed"] else "is complete already"
    return f"Bundle for Kubernetes {result['kubernetes']}: {result['path']} ({state})."


def _lock(arguments: argparse.Namespace) -> str:
    result = lock_task({}, _settings(arguments), check=False)
    return f"{result['path']} {'is written' if result['changed'] else 'is as it should be'}."


def _verify(arguments: argparse.Namespace) -> str:
    path = bundle_folder({}, _settings(arguments))
    lock = verify_bundle(path)
    return f"{path}: {len(lock.binaries)} binaries and {len(lock.images)} images are as lock.yml says."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="artifacts", description="Make and check the artifacts of a cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    bundle = commands.add_parser("bundle", help="make a bundle, or find that it is complete")
    bundle.add_argument(
        "--from",
        dest="origin",
        choices=ORIGINS,
        default="auto",
        help="upstream's downloads, source (Go modules and Debian packages), or auto: upstream where it answers",
    )
    bundle.add_argument("--lock", type=Path, help="lock file that says what to download")
    bundle.add_argument("--verify", action="store_true", help="read every byte afterwards")
    bundle.set_defaults(run=_bundle)
    lock = commands.add_parser("lock", help="write the lock file")
    lock.add_argument("--lock", type=Path, required=True, help="file to write")
    lock.add_argument("--source", choices=SOURCES, default="upstream", help="where artifacts come from")
    lock.set_defaults(run=_lock)
    verify = commands.add_parser("verify", help="read every byte of a bundle and compare it with its lock file")
    verify.set_defaults(run=_verify)
    for command in (bundle, lock, verify):
        command.add_argument("--kubernetes", default="", help="version, such as v1.37.2 or 1.37")
        command.add_argument("--output", type=Path, help="folder of the bundle")
    for command in (bundle, lock):
        command.add_argument("--mirror", action="append", metavar="FROM=TO", help="fetch from TO instead of FROM")
        command.add_argument("--extra-image", action="append", metavar="REF", help="a further image")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the process's exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with local_errors():
            print(arguments.run(arguments))
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The artifacts from a shell, without Ansible: `python -m …_artifacts bundle --kubernetes v1.37.2`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import (
    estimates,
    make_bundle,
    verify_bundle,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._cache import default_bundle
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._progress import Progress, clock_text
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import load_components, load_versions


def _bundle(arguments: argparse.Namespace) -> None:
    components, release = load_components(), load_versions().release(arguments.kubernetes)
    progress = Progress(estimates(components, release))
    outcome = make_bundle(components, release, arguments.output, progress)
    if arguments.verify:
        verify_bundle(outcome.path)
    state = f"made in {clock_text(progress.elapsed)}" if outcome.changed else "is complete already"
    print(f"Bundle for Kubernetes {release.kubernetes}: {outcome.path} ({state}).")


def _verify(arguments: argparse.Namespace) -> None:
    path = arguments.output or default_bundle(load_versions().release(arguments.kubernetes).kubernetes)
    lock = verify_bundle(path)
    print(f"{path}: {len(lock.binaries)} binaries and {len(lock.images)} images are as lock.yml says.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the process's exit code."""
    parser = argparse.ArgumentParser(prog="artifacts", description="Make and check the artifacts of a cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, text in (
        ("bundle", _bundle, "make a bundle from source, or find that it is complete"),
        ("verify", _verify, "read every byte of a bundle and compare it with the lock file"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--kubernetes", default="", help="version, such as v1.37.2 or 1.37")
        command.add_argument("--output", type=Path, default=None, help="folder of the bundle")
        command.set_defaults(run=run)
        if name == "bundle":
            command.add_argument("--verify", action="store_true", help="read every byte afterwards")
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

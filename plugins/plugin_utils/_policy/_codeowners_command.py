# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""`codeowners`: the CODEOWNERS file of the rules, written, or held against the one that is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners, _load, _reference
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError, Tree
from ansible_collections.weft.platform.plugins.plugin_utils._policy._text import told


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="weft-policy codeowners", description="Make CODEOWNERS of the rules, as far as paths go."
    )
    top.add_argument("--repository", default=".", metavar="DIR", help="the Git repository (.)")
    top.add_argument("--commit", default="HEAD", help="whose policy (HEAD)")
    top.add_argument("--organisation", default="", metavar="NAME", help="whose teams those of the rules are")
    how = top.add_mutually_exclusive_group()
    how.add_argument("--output", metavar="FILE", help="write it there instead of showing it")
    how.add_argument("--check", action="store_true", help="fail when the file in the commit is another")
    return top


def main(arguments: Sequence[str]) -> int:
    """Write, or compare; 0, 1 when the file in the commit is another, 2 when it cannot be made."""
    options = parser().parse_args(arguments)
    try:
        commit = _reference.resolve(options.repository, options.commit)
        with Repository(options.repository, commit) as repository:
            tree = repository.tree(commit)
            made = _codeowners.write(_load.load(tree), options.organisation).text
            if options.check:
                return _compared(made, tree)
        if options.output:
            with open(options.output, "w", encoding="utf-8") as file:
                file.write(made)
        else:
            sys.stdout.write(made)
    except (PolicyError, OSError) as error:
        sys.stderr.write(f"{told(error)}\n")
        return 2
    return 0


def _compared(made: str, tree: Tree) -> int:
    """Say whether the CODEOWNERS file that GitHub would take from a tree is the one that was made."""
    place = _codeowners.find(tree)
    if place is not None and tree.read(place) == made.encode():
        return 0
    there = f"{place} is not what the rules say" if place else f"there is no CODEOWNERS ({_codeowners.LOCATIONS[0]})"
    sys.stdout.write(f"{there}; write it with codeowners --output {place or _codeowners.LOCATIONS[0]}\n")
    return 1

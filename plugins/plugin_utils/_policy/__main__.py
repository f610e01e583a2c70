# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The policy manager on a command line: check, info, test, codeowners, hook, log, forge.

Exit codes: 0 permitted, 1 prohibited, 2 it could not be judged (which prohibits as well).
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

_PACKAGE = "ansible_collections.weft.platform.plugins.plugin_utils._policy"

#: Subcommands and the modules that they live in; each has main(arguments) -> exit code.
COMMANDS = {
    "check": "_check",
    "info": "_info_command",
    "test": "_tests",
    "codeowners": "_codeowners_command",
    "hook": "_hook",
    "log": "_log",
    "forge": "_forge",
}

USAGE = """\
usage: weft-policy COMMAND ...

  check       judge a change between two commits
  info        who may change what; what may somebody change
  test        run the policy's own tests
  codeowners  make CODEOWNERS of the rules, or see whether it is
  hook        judge what is pushed (for Git servers)
  log         verify and replay the decision log
  forge       judge a pull request on a forge, and say so there

COMMAND --help says more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if words else 2
    module = COMMANDS.get(words[0])
    if module is None:
        sys.stderr.write(f"there is no command {words[0]!r}\n{USAGE}")
        return 2
    code: int = import_module(f"{_PACKAGE}.{module}").main(words[1:])
    return code


def _end(number: int, _frame: FrameType | None) -> None:
    """End as by the signal, but take away first what was borrowed: directories, programs that run."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, _end)
    gc.disable()  # the process ends with its verdict, and what it makes has hardly a circle in it
    sys.exit(main())

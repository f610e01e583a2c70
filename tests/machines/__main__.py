# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Command line of the container machines: `python3 -m tests.machines --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from . import _image
from ._host import MachinesError
from .fleet import Fleet, sets

VERBS: dict[str, tuple[str, Callable[[Fleet, str], None]]] = {
    "start": ("start a stopped machine", Fleet.start),
    "stop": ("shut a machine down", Fleet.stop),
    "restart": ("shut a machine down and start it again", Fleet.restart),
    "kill": ("cut a machine's power", Fleet.kill),
    "pause": ("freeze a machine", Fleet.pause),
    "unpause": ("let a frozen machine go on", Fleet.unpause),
    "remove": ("remove one machine with its disks", Fleet.remove),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.machines", description="Container machines for trials.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("image", help="make the machine image (kept; made once per recipe)")
    verbs.add_parser("clean", help="remove the machine images")
    verbs.add_parser("list", help="every set of machines on this host")
    up = verbs.add_parser("up", help="make and start machines; existing ones are left alone")
    up.add_argument("name", help="name of the set; machines are NAME-cp1, NAME-w1 and so on")
    up.add_argument("--control-planes", type=int, default=0)
    up.add_argument("--workers", type=int, default=0)
    up.add_argument("--plain", action="store_true", help="no volumes: lighter, but pods cannot run")
    for verb, text in (
        ("down", "remove a set without a trace"),
        ("cut", "air gap: the set's machines reach only each other and this host"),
        ("uncut", "take the air gap away"),
    ):
        verbs.add_parser(verb, help=text).add_argument("name")
    for verb, (text, _) in VERBS.items():
        verbs.add_parser(verb, help=text).add_argument("machine")
    reinstall = verbs.add_parser("reinstall", help="give a machine an empty disk, at the same address")
    reinstall.add_argument("machine")
    reinstall.add_argument("--new-host-key", action="store_true", help="its SSH host key changes as well")
    execute = verbs.add_parser("exec", help="run a command as root inside a machine")
    execute.add_argument("machine")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _list() -> None:
    for name, machines in sets().items():
        fleet = Fleet(name)
        dropped = fleet.dropped()
        gap = "" if dropped is None else f"  cut off, {dropped} packets dropped"
        print(f"{name}  {fleet.inventory}{gap}")
        for machine in machines:
            print(f"  {machine.name:24} {machine.role:14} {machine.address:16} {machine.state}")


def _up(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()
    fleet = Fleet(arguments.name)
    machines = fleet.up(
        arguments.control_planes,
        arguments.workers,
        plain=arguments.plain,
        say=lambda text: print(text, flush=True),
    )
    print(f"{len(machines)} machines are up after {time.monotonic() - begin:.1f} s: {fleet.inventory}")


def _owner(machine: str) -> Fleet:
    for name, machines in sets().items():
        if machine in (known.name for known in machines):
            return Fleet(name)
    raise MachinesError(f"There is no machine '{machine}'. 'list' shows what there is.")


def _one_machine(arguments: argparse.Namespace) -> None:
    fleet = _owner(arguments.machine)
    if arguments.verb == "exec":
        command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        sys.stdout.write(fleet.execute(arguments.machine, command))
    elif arguments.verb == "reinstall":
        fleet.reinstall(arguments.machine, new_host_key=arguments.new_host_key)
    else:
        VERBS[arguments.verb][1](fleet, arguments.machine)


def main() -> int:
    """Run one verb; returns the process's exit code."""
    arguments = _parser().parse_args()
    whole: dict[str, Callable[[], object]] = {
        "image": lambda: print(_image.ensure_image(lambda text: print(text, flush=True))),
        "clean": _image.remove_images,
        "list": _list,
        "up": lambda: _up(arguments),
        "down": lambda: Fleet(arguments.name).down(),
        "cut": lambda: Fleet(arguments.name).cut(),
        "uncut": lambda: Fleet(arguments.name).uncut(),
    }
    try:
        whole.get(arguments.verb, lambda: _one_machine(arguments))()
    except MachinesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

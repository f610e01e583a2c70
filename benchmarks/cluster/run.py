# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""How long a cluster takes, as ratios to the least work that could make it, measured in one run on one machine.

python -m benchmarks.cluster.run cluster     # bare and apply in turn on 3 + 2 machines, second apply, one worker more
python -m benchmarks.cluster.run machines    # preparation observed on 10, 25 and 50 prepared machines
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._serve import RegistryProcess, routed_address

from tests.integration.cluster.lab import ROOT, Lab

from .bare import Bare

SIZES = (10, 25, 50)
PORT = 5001


def quickstart_variables(lab: Lab) -> dict[str, Any]:
    """The variables of inventories/base and inventories/quickstart in plain values."""
    out: dict[str, Any] = {}
    for name in ("base", "quickstart"):
        for path in sorted((ROOT / "inventories" / name / "group_vars").rglob("*.yml")):
            out.update(yaml.safe_load(path.read_text()) or {})
    return {**out, "artifacts_lock": str(lab.lock())}


def fresh(name: str, control_planes: int, workers: int, folder: Path) -> Lab:
    """A set of machines that has just booted."""
    lab = Lab(name, folder)
    lab.fleet.down()
    lab.kubeconfig.unlink(missing_ok=True)
    lab.up(control_planes, workers)
    return lab


def bare(folder: Path) -> float:
    """Seconds of the least work."""
    lab = fresh("bench", 3, 2, folder)
    address = routed_address(lab.fleet.machines()[0].address)
    process = RegistryProcess(address, PORT)
    process.start(lab.lock().parent)
    try:
        return Bare(lab.inventory / "hosts.yml", quickstart_variables(lab), process.address).build()
    finally:
        process.stop()


def measured(lab: Lab, *arguments: str) -> dict[str, Any]:
    """An apply: seconds, tasks run by machine, SSH connections and bytes sent to machines."""
    before = sent(lab)
    run = lab.apply("-vvv", *arguments)
    return {
        "seconds": round(run.seconds, 1),
        "tasks": {row[0]: int(row[1]) for row in re.findall(r"^(\S+)\s+: ok=(\d+)\s+changed", run.text, re.M)},
        "ssh_round_trips": len(re.findall(r"SSH: EXEC", run.text)),
        "bytes_sent": sent(lab) - before,
    }


def sent(lab: Lab) -> int:
    """Bytes that the machines have received on their network so far."""
    total = 0
    for machine in lab.fleet.machines():
        total += int(lab.fleet.execute(machine.name, ["cat", "/sys/class/net/eth0/statistics/rx_bytes"]))
    return total


def cluster(folder: Path, rounds: int) -> dict[str, Any]:
    """Bare and apply in turn; then a second apply and one worker more on the last cluster."""
    pairs = []
    first: dict[str, Any] = {}
    for _ in range(rounds):
        baseline = bare(folder)
        lab = fresh("bench", 3, 2, folder)
        first = measured(lab)
        pairs.append({"bare": round(baseline, 1), "apply": first["seconds"]})
        print(json.dumps(pairs[-1]), flush=True)
    lab = Lab("bench", folder)
    lab.write()
    second = measured(lab)
    lab.fleet.up(3, 3)
    lab.join_hosts()
    worker = measured(lab)
    lab.fleet.down()
    ratios = sorted(pair["apply"] / pair["bare"] for pair in pairs)
    return {
        "pairs": pairs,
        "ratio": round(ratios[len(ratios) // 2], 2),
        "first_apply": first,
        "second_apply": second,
        "one_worker_more": worker,
    }


def machines(folder: Path, _rounds: int) -> dict[str, Any]:
    """Preparation of machines that are prepared: time and the controller's memory, by number of machines."""
    out: dict[str, Any] = {}
    for size in SIZES:
        lab = fresh("bench", 1, size - 1, folder) if size == SIZES[0] else Lab("bench", folder)
        lab.fleet.up(1, size - 1)
        lab.write()
        forks = ["--tags", "prepare", "--forks", "25"]
        lab.apply(*forks)
        seconds, memory = timed(lambda lab=lab, forks=forks: lab.command("apply", *forks), lab)  # type: ignore[misc]  # no type for defaults
        out[str(size)] = {"seconds": round(seconds, 1), "controller_mib": memory}
        print(json.dumps({size: out[str(size)]}), flush=True)
    Lab("bench", folder).fleet.down()
    return out


def timed(command: Callable[[], list[str]], lab: Lab) -> tuple[float, int]:
    """Seconds and the largest process's MiB of a command."""
    begin = time.monotonic()
    process = subprocess.Popen(command(), env=lab.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, text[-3000:]
    return time.monotonic() - begin, max(usage.ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024


def main() -> None:
    """Measure and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cluster", "machines"])
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure = {"cluster": cluster, "machines": machines}[arguments.what]
        print(json.dumps(measure(Path(folder), arguments.rounds), indent=1))


if __name__ == "__main__":
    main()

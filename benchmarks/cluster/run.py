# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""How long a cluster takes, as ratios to the least work that could make it, measured in one run on one machine.

python -m benchmarks.cluster.run cluster     # bare and apply in turn on 3 + 2 machines, second apply, one worker more
python -m benchmarks.cluster.run machines    # preparation observed on 10, 25 and 50 prepared machines
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._serve import RegistryProcess, routed_address

from tests.integration.cluster.lab import RECAP, ROOT, Lab

from .bare import Bare

SIZES = (10, 25, 50)
PORT = 5001
#: Seconds in which a new cluster comes to rest: its controllers and probes share the host's processors.
SETTLE = 30


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
    """An apply: seconds; by machine the tasks run, those that changed it, SSH round trips; bytes sent to all."""
    calls = lab.folder / "ssh-calls"
    calls.write_text("")
    counting = lab.folder / "ssh"
    counting.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" | tr "\\n" " " >> {calls}\necho >> {calls}\nexec ssh "$@"\n')
    counting.chmod(0o755)
    before = sent(lab)
    run = lab.apply("-e", f"ansible_ssh_executable={counting}", *arguments)
    made = calls.read_text().splitlines()
    return {
        "seconds": round(run.seconds, 1),
        "tasks": {row[0]: int(row[1]) for row in RECAP.findall(run.text)},
        "changed": {name: number for name, number in run.changed.items() if number},
        "ssh_round_trips": {one.name: sum(f" {one.address} " in line for line in made) for one in lab.fleet.machines()},
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
    time.sleep(SETTLE)
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
    """Preparation of machines that are prepared: time and the controller's memory, by number of machines.

    All workers but the first start with the first one's disks, as machines made from an image do: the disk of this
    host would not hold fifty sets of container images.
    """
    out: dict[str, Any] = {}
    words = ["--tags", "prepare"]
    lab = fresh("bench", 1, 1, folder)
    lab.apply(*words)
    for size in SIZES:
        lab.fleet.up(1, size - 1, copy_of="bench-w1")
        lab.write()
        lab.apply(*words)
        seconds, memory, text = timed(lab.command("apply", *words), lab)
        # Observing says "changed" as well, of the member stage that these machines never come to.
        prepared = text.partition("TASK [Prepare]")[2].partition("PLAY ")[0]
        assert prepared and "changed:" not in prepared, text[-3000:]
        out[str(size)] = {"seconds": round(seconds, 1), "controller_mib": memory}
        print(json.dumps({size: out[str(size)]}), flush=True)
    lab.fleet.down()
    return out


def timed(command: list[str], lab: Lab) -> tuple[float, int, str]:
    """Seconds of a command, MiB of its processes together at their peak, and what it said."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command, env=lab.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.25):
            peak = max(peak, memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = process.communicate()
    seconds = time.monotonic() - begin
    done.set()
    watcher.join()
    assert process.returncode == 0, text[-3000:]
    return seconds, peak, text


def memory(parent: int) -> int:
    """MiB of a process and its descendants; what they share is shared out among them (proc_pid_smaps(5), Pss)."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    children: dict[int, list[int]] = {}
    for row in rows:
        pid, above = map(int, row.split())
        children.setdefault(above, []).append(pid)
    total, todo = 0, [parent]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("Pss:")[2].split()[0])
    return total // 1024


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

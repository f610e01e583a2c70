# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a verdict costs, beside conftest (and Checkov, where it is installed) on the same files in the same run.

    python -m benchmarks.policy.bench                    a table
    python -m benchmarks.policy.bench --json FILE        and all figures

hook       from the start of the pre-receive hook to its verdict, on a change of ten files in a repository of 2,000
manifests  1,000 manifests (2,000 objects) through the Restricted standard, the schemas and ownership

CPU seconds and memory are those of the whole process tree, the least of several runs; a run begins with nothing in
memory but the system's file cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.policy import corpus
from tests.machines._host import collections_path
from tests.tools import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
POLICY = "ansible_collections.weft.platform.plugins.plugin_utils._policy"

#: What issue and documentation promise: CPU seconds of the hook; wall seconds and MB of a thousand manifests.
HOOK_CPU, MANIFESTS_WALL, MANIFESTS_MB = 0.3, 1.5, 150.0


class Cost(NamedTuple):
    """Of one command: wall and CPU seconds, and the memory (MB) of the largest process in its tree."""

    wall: float
    cpu: float
    memory: float


def run(
    command: Sequence[str],
    cwd: Path,
    stdin: bytes = b"",
    expect: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> tuple[Cost, str]:
    """Run once and measure; what it printed comes along."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as fed:
        fed.write(stdin)
        fed.seek(0)
        start = time.monotonic()
        child = subprocess.Popen(command, cwd=cwd, stdin=fed, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        _pid, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        words = out.read().decode(errors="replace")
    if child.returncode not in expect:
        raise SystemExit(f"{' '.join(command)}: exit code {child.returncode}\n{words[-4000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), words


def least(times: int, once: Callable[[], Cost]) -> Cost:
    """The least of each figure over several runs; the first, which fills the file cache, is not counted."""
    once()
    costs = [once() for _number in range(times)]
    return Cost(*(min(figures) for figures in zip(*costs, strict=True)))


class Bench:
    """The inputs on disk, and the commands that are measured on them."""

    def __init__(self, scratch: Path, times: int) -> None:
        self.scratch = scratch
        self.times = times
        self.found: dict[str, dict[str, Any]] = {}
        self.python = {"PYTHONPATH": str(collections_path(ROOT)), "PYTHONDONTWRITEBYTECODE": ""}

    def record(self, case: str, who: str, cost: Cost, **more: Any) -> None:
        """Keep a measurement."""
        self.found.setdefault(case, {})[who] = {**cost._asdict(), **more}

    def hook(self) -> None:
        """A change of ten files, one of which its author may not change, pushed to a repository of 2,000."""
        bare = self.scratch / "hook.git"
        base, head = corpus.fast_import(bare, [corpus.repository_files(2000), corpus.ten_files()])
        config = self.scratch / "hook.json"
        teams = self.scratch / "teams.json"
        teams.write_text(json.dumps({"teams": {"platform": ["olga"], "shop": ["mona"]}}))
        config.write_text(json.dumps({"branches": ["main"], "pusher_env": "WEFT_USER", "teams": str(teams)}))
        command = [sys.executable, "-m", POLICY, "hook", "pre-receive", "--config", str(config)]
        line = f"{base} {head} refs/heads/main\n".encode()

        def once() -> Cost:
            cost, words = run(command, bare, line, (1,), {**self.python, "WEFT_USER": "mona", "GIT_DIR": "."})
            if "only Cluster Operators change Kubernetes versions" not in words:
                raise SystemExit(f"the hook gave another verdict:\n{words}")
            return cost

        self.record("hook", "weft", least(self.times, once))
        folder = self.write("ten", corpus.ten_files())
        self.conftest("hook", folder)
        empty = least(self.times, lambda: run([sys.executable, "-c", "pass"], bare)[0])
        self.record("hook", "python -c pass", empty)

    def manifests(self) -> None:
        """A change that brings a thousand manifests, a fifth of them with a fault."""
        files = corpus.manifests(1000)
        bare = self.scratch / "manifests.git"
        policy = {**corpus.repository_files(20), "policy/rules/standards.yml": corpus.STANDARDS}
        kept = {path: content for path, content in policy.items() if not path.startswith("apps/")}
        base, head = corpus.fast_import(bare, [kept, files])
        teams = self.scratch / "teams.json"
        teams.write_text(json.dumps({"teams": {"platform": ["olga"]}}))
        check = [sys.executable, "-m", POLICY, "check", "--repository", str(bare), "--base", base, "--head", head]
        check += ["--target", "main", "--author", "olga", "--teams", str(teams), "--format", "json"]
        faulty: set[str] = set()

        def once() -> Cost:
            cost, words = run(check, bare, expect=(1,), env=self.python)
            found = json.loads(words)["findings"]
            faulty.update(one["origin"]["file"] for one in found if one["severity"] == "prohibit")
            return cost

        self.record("manifests", "weft", least(self.times, once), faulty=len(faulty))
        folder = self.write("manifests", files)
        self.conftest("manifests", folder)
        self.checkov(folder)

    def write(self, name: str, files: Mapping[str, str]) -> Path:
        """The same files in a folder, for those who read no Git objects."""
        folder = self.scratch / name
        for path, content in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8")
        return folder

    def conftest(self, case: str, folder: Path) -> None:
        """conftest with the Restricted standard in Rego; it judges no people."""
        command = [str(build.tool("conftest")), "test", "--policy", str(HERE / "rego"), "--output", "json", "."]
        faulty: set[str] = set()

        def once() -> Cost:
            cost, words = run(command, folder, expect=(0, 1))
            results = json.loads(words)
            faulty.update(one["filename"] for one in results if one.get("failures"))
            return cost

        self.record(case, "conftest", least(self.times, once), faulty=len(faulty))

    def checkov(self, folder: Path) -> None:
        """Checkov's checks for Kubernetes; they are more and others than the Restricted standard."""
        found = shutil.which("checkov")
        if found is None:
            return
        command = [found, "--directory", ".", "--framework", "kubernetes", "--output", "json", "--quiet", "--compact"]
        command += ["--skip-download"]
        cost, _words = run(command, folder, expect=(0, 1))
        self.record("manifests", "checkov", cost)


def table(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """A line a measurement, with ratios to weft."""
    lines = [f"{'':<11} {'':<16} {'wall s':>8} {'CPU s':>8} {'MB':>8} {'CPU / weft':>11} {'faulty':>7}"]
    for case, costs in found.items():
        for who, cost in costs.items():
            ratio = cost["cpu"] / costs["weft"]["cpu"]
            figures = f"{cost['wall']:>8.3f} {cost['cpu']:>8.3f} {cost['memory']:>8.1f} {ratio:>11.2f}"
            lines.append(f"{case:<11} {who:<16} {figures} {cost.get('faulty', '')!s:>7}")
    return lines


def missed(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Which promises do not hold on this machine in this run."""
    out = []
    if "hook" in found and found["hook"]["weft"]["cpu"] > HOOK_CPU:
        out.append(f"hook: more than {HOOK_CPU} s of CPU")
    if "manifests" in found:
        cost = found["manifests"]["weft"]
        if cost["wall"] > MANIFESTS_WALL or cost["memory"] > MANIFESTS_MB:
            out.append(f"manifests: more than {MANIFESTS_WALL} s or {MANIFESTS_MB:.0f} MB")
        if cost["faulty"] != found["manifests"].get("conftest", cost)["faulty"]:
            out.append("manifests: weft and conftest differ about which files are faulty")
    return out


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and fail where a promise does not hold."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="runs of each command (5)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--case", choices=("hook", "manifests"), help="only this one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), options.times)
        for case in (options.case,) if options.case else ("hook", "manifests"):
            getattr(bench, case)()
    print("\n".join(table(bench.found)))
    if options.json:
        options.json.write_text(json.dumps(bench.found, indent=1) + "\n", encoding="utf-8")
    problems = missed(bench.found)
    print("\n".join(problems) if problems else "every promise holds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

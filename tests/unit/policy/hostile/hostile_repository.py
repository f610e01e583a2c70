# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Bare repositories written object by object, so that they can hold what git's own commands refuse to make."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.plugin_utils._policy import _model
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import LIMITS

IMPORT_ROOT = Path(_model.__file__).parents[6]
MIB = 1024 * 1024

FILE, PROGRAM, LINK, FOLDER, MODULE = b"100644", b"100755", b"120000", b"40000", b"160000"

POLICY = {
    "policy/roles.yml": b"""\
roles:
  operators: {members: ["user:olga"]}
  developers: {members: ["user:mona"]}
owners: operators
""",
    "policy/rules/site.yml": b"""\
rules:
  - name: developers work in their applications
    change: {file: "apps/**"}
    allow: [developers, operators]
  - name: operators do everything else
    change: {file: "**"}
    allow: operators
""",
}

# Judges in a process of its own, so that its time and memory can be measured and bounded.
_JUDGE = """\
import json, resource, sys, time
from datetime import datetime, timezone
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Limits, Request

limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
start = time.process_time()
request = Request.from_json(json.loads(sys.argv[2]))
limits = Limits(seconds=float(sys.argv[4]))
verdict = judge(request, sys.argv[1], now=datetime(2026, 11, 23, tzinfo=timezone.utc), limits=limits)
spent = time.process_time() - start
children = resource.getrusage(resource.RUSAGE_CHILDREN)
programs = {"programs_seconds": children.ru_utime + children.ru_stime, "programs_memory": children.ru_maxrss * 1024}
# what getrusage tells of memory is inherited from the test that started this process; this is not
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
memory = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps({"verdict": verdict.to_json(), "seconds": spent, "memory": memory, **programs}))
"""

Tree = Mapping[bytes, "bytes | Tree | tuple[bytes, bytes]"]


class Outcome(NamedTuple):
    """A verdict, and what it cost: CPU seconds and bytes of memory of the process that made it.

    programs_seconds, programs_memory  the same of the programs that it ran: of all together, and of the largest
    """

    verdict: dict[str, Any]
    seconds: float
    memory: int
    programs_seconds: float
    programs_memory: int

    @property
    def permitted(self) -> bool:
        """Whether the change may be merged."""
        return bool(self.verdict["permitted"])

    @property
    def messages(self) -> str:
        """Every message of what stands in the way."""
        return "\n".join(one["message"] for one in self.verdict["findings"] if one["severity"] == "prohibit")

    def places(self) -> list[str]:
        """Every file that something stands in the way in."""
        found = self.verdict["findings"]
        return [one["origin"]["file"] for one in found if one["severity"] == "prohibit" and "origin" in one]


class Repository:
    """A bare repository; `commit` writes a tree as it is told, however odd."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)

    def put(self, kind: bytes, content: bytes) -> str:
        """Write a loose object; returns its id."""
        data = kind + b" %d\0" % len(content) + content
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        place = self.path / "objects" / name[:2] / name[2:]
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(zlib.compress(data, 1))
        return name

    def tree(self, entries: Tree) -> str:
        """Write a tree.  A value is a file's content, a tree, or (mode, content or id of a module)."""
        raw = []
        for name, value in entries.items():
            mode, found = self._entry(value)
            raw.append((name + b"/" if mode == FOLDER else name, mode + b" " + name + b"\0" + bytes.fromhex(found)))
        return self.put(b"tree", b"".join(line for _key, line in sorted(raw)))

    def _entry(self, value: bytes | Tree | tuple[bytes, bytes]) -> tuple[bytes, str]:
        if isinstance(value, bytes):
            return FILE, self.put(b"blob", value)
        if isinstance(value, tuple):
            mode, content = value
            return mode, content.decode("ascii") if mode == MODULE else self.put(b"blob", content)
        return FOLDER, self.tree(value)

    def commit(self, tree: str, *parents: str, who: str = "mona") -> str:
        """Write a commit."""
        person = f"{who} <{who}@example.org> 1795000000 +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {person}", f"committer {person}"]
        return self.put(b"commit", ("\n".join(lines) + "\n\nm\n").encode("utf-8", "surrogateescape"))

    def judge(
        self,
        base: str,
        head: str,
        author: str = "mona",
        memory: int = 700 * MIB,
        timeout: float = 60,
        seconds: float = LIMITS.seconds,
    ) -> Outcome:
        """Judge in a process that gets `memory` bytes of address space and `timeout` seconds; the verdict, `seconds`.

        A process that fails, or prints no verdict, is a failed test: a verdict is never a crash.
        """
        request = {"base": base, "head": head, "target": "main", "author": author}
        done = subprocess.run(
            [sys.executable, "-c", _JUDGE, str(self.path), json.dumps(request), str(memory), str(seconds)],
            env={**os.environ, "PYTHONPATH": str(IMPORT_ROOT)},
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        return Outcome(**json.loads(done.stdout))


def nested(files: Mapping[str, bytes | tuple[bytes, bytes]]) -> dict[bytes, Any]:
    """A Tree from paths."""
    top: dict[bytes, Any] = {}
    for path, content in files.items():
        *folders, name = os.fsencode(path).split(b"/")
        here = top
        for folder in folders:
            here = here.setdefault(folder, {})
        here[name] = content
    return top


def judged(
    where: Path,
    change: Mapping[str, bytes | tuple[bytes, bytes]] | Tree,
    base: Mapping[str, bytes] | None = None,
    author: str = "mona",
    **limits: Any,
) -> Outcome:
    """The verdict on a change that adds files (or a raw tree under apps/) to a repository with POLICY."""
    repository = Repository(where / "r.git")
    before = {**POLICY, "README.md": b"x\n", **(base or {})}
    start = repository.commit(repository.tree(nested(before)), who="olga")
    if any(isinstance(key, bytes) for key in change):
        after = {**nested(before), b"apps": change}
    else:
        after = nested({**before, **change})  # type: ignore[dict-item]  # all keys are str here
    head = repository.commit(repository.tree(after), start, who=author)
    return repository.judge(start, head, author, **limits)


def many(count: int, make: Any) -> bytes:
    """`count` YAML documents."""
    return b"".join(b"---\n" + make(number) for number in range(count))


def kinds(outcome: Outcome) -> Sequence[str]:
    """Kinds of what stands in the way."""
    return [one["kind"] for one in outcome.verdict["findings"] if one["severity"] == "prohibit"]

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Real repositories, made quickly."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Content = str | bytes | tuple[str, str | bytes] | None


class Repo:
    """A bare repository into which commits are written without a work tree."""

    def __init__(self, path: Path, hash_name: str = "sha1") -> None:
        self.path = path
        self.git("init", "-q", "--bare", f"--object-format={hash_name}", str(path), cwd=path.parent)
        self.clock = 1_700_000_000

    def git(self, *arguments: str, data: bytes = b"", cwd: Path | None = None) -> str:
        """Output of a Git command."""
        done = subprocess.run(["git", *arguments], input=data, capture_output=True, cwd=cwd or self.path, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(
        self,
        files: Mapping[str, Content],
        parents: tuple[str, ...] | str = (),
        author: str = "alice",
        committer: str = "",
        branch: str = "work",
        message: str = "change",
    ) -> str:
        """A commit over its first parent with these files put in; None takes one away, (mode, content) is any entry."""
        parents = (parents,) if isinstance(parents, str) else parents
        self.clock += 60
        lines = [b"commit refs/heads/%s" % branch.encode()]
        for role, name in (("author", author), ("committer", committer or author)):
            lines.append(f"{role} {name} <{name}@example.org> {self.clock} +0000".encode())
        lines.append(b"data %d\n%s" % (len(message.encode()), message.encode()))
        lines += [b"from " + parents[0].encode()] if parents else []
        lines += [b"merge " + parent.encode() for parent in parents[1:]]
        for path, content in files.items():
            quoted = self._quoted(path)
            if content is None:
                lines.append(b"D " + quoted)
                continue
            mode, body = content if isinstance(content, tuple) else ("100644", content)
            data = body.encode() if isinstance(body, str) else body
            if mode == "160000":
                lines.append(b"M 160000 " + data + b" " + quoted)
            else:
                lines.append(b"M " + mode.encode() + b" inline " + quoted + b"\ndata %d\n" % len(data) + data)
        reset = b"" if parents else b"reset refs/heads/%s\n" % branch.encode()
        self.git("fast-import", "--quiet", "--force", data=reset + b"\n".join(lines) + b"\n")
        return self.git("rev-parse", f"refs/heads/{branch}")

    @staticmethod
    def _quoted(path: str) -> bytes:
        raw = path.encode("utf-8", "surrogateescape")
        out = b"".join(b"\\%03o" % byte if byte < 32 or byte > 126 or byte in b'"\\' else bytes([byte]) for byte in raw)
        return b'"' + out + b'"'


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository."""
    return Repo(tmp_path / "repo.git")


@pytest.fixture
def new_repo(tmp_path: Path) -> Callable[..., Repo]:
    """Makes further repositories by name and hash."""
    return lambda name, hash_name="sha1": Repo(tmp_path / name, hash_name)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The machine that the module runs on: files, commands, and what is asked of it once for everybody.

Everything that the domain reads or does goes through a Host, so a unit test gives it a folder for `/` and recorded
outputs for commands.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Path, Subject, Value
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource, ResourceError, Spec

#: sudo's secure_path on RHEL lacks /usr/local/bin, where ctr and the other binaries are.
COMMAND_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: What is this collection's own on a machine; removed last of all.
STATE_DIR = "/var/lib/weft"

Before = Mapping[Path, Value]  # the first known values of a subject's fields


class MachineError(ResourceError):
    """A part of a machine cannot be read or changed; the message says what, where, and what to do."""


class Result:
    """What a command gave: exit code, output, error output."""

    def __init__(self, code: int, out: str = "", err: str = "") -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def last_words(self) -> str:
        """The last lines that it said, error output first, without warnings of programs that log."""
        text = self.err.strip() or self.out.strip()
        lines = [line.strip() for line in text.splitlines() if line.strip() and "level=warning" not in line]
        return " | ".join(lines[-4:])


Execute = Callable[[Sequence[str], str, float], Result]


def _execute(argv: Sequence[str], stdin: str, timeout: float) -> Result:
    env = {**os.environ, "LC_ALL": "C", "PATH": COMMAND_PATH, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            list(argv), input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, env=env
        )
    except FileNotFoundError:
        return Result(127, "", f"{argv[0]}: command not found")
    except subprocess.TimeoutExpired:
        return Result(124, "", f"no answer within {timeout:g} s")
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Host:
    """One machine.

    Args:
        root: folder that stands for `/`.
        execute: how commands are run.
    """

    def __init__(self, root: str = "/", execute: Execute = _execute) -> None:
        self.root = root.rstrip("/")
        self.execute = execute
        #: uid and gid that files get.  Under another root they are the caller's: only root can give files away.
        self.owner = (0, 0) if not self.root else (os.geteuid(), os.getegid())
        self.notes: List[Dict[str, str]] = []
        self.asked: Dict[str, Dict[str, None]] = {}
        self.pending: Dict[str, Dict[str, "MachineResource"]] = {}
        self.reload_owed = False
        self._known: Dict[str, Any] = {}
        self._closers: List[Callable[[], None]] = []

    # -- asking once ------------------------------------------------------------------------------------------------

    def once(self, key: str, ask: Callable[[], Any]) -> Any:
        """The answer of `ask`, which is asked once until `forget(key)`."""
        if key not in self._known:
            self._known[key] = ask()
        return self._known[key]

    def known(self, key: str, otherwise: Any) -> Any:
        """What was answered already, without asking."""
        return self._known.get(key, otherwise)

    def forget(self, *keys: str) -> None:
        """Answers that hold no longer."""
        for key in keys:
            self._known.pop(key, None)

    def ask(self, kind: str, name: str) -> None:
        """Announce that `name` will be asked for, so that one command answers for all of a kind."""
        names = self.asked.setdefault(kind, {})
        if name not in names:
            names[name] = None
            self.forget(kind)

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have `closer` called when the run is over, however it ends."""
        self._closers.append(closer)

    def close(self) -> None:
        """The run is over."""
        while self._closers:
            self._closers.pop()()

    def note(self, check: str, message: str, remedy: str = "") -> None:
        """Something a person should know that is no reason to stop."""
        one = {"check": check, "severity": "warning", "message": message, "remedy": remedy}
        if one not in self.notes:
            self.notes.append(one)

    # -- commands ---------------------------------------------------------------------------------------------------

    def attempt(self, *argv: str, stdin: str = "", timeout: float = 60) -> Result:
        """Run a command whose failure is an answer too."""
        return self.execute(argv, stdin, timeout)

    def run(self, *argv: str, stdin: str = "", timeout: float = 60) -> str:
        """Output of a command that must succeed.

        Raises:
            MachineError: it failed; quotes its last lines.
        """
        done = self.attempt(*argv, stdin=stdin, timeout=timeout)
        if done.code:
            raise MachineError(f"`{' '.join(argv)}` failed ({done.code}): {done.last_words or 'it said nothing'}")
        return done.out

    def has_command(self, name: str) -> bool:
        """Whether a command is installed."""
        if not self.root:
            return shutil.which(name, path=COMMAND_PATH) is not None
        return any(os.path.exists(self.at(f"{folder}/{name}")) for folder in COMMAND_PATH.split(":"))

    # -- files ------------------------------------------------------------------------------------------------------

    def at(self, path: str) -> str:
        """Where an absolute path of the machine is."""
        return self.root + path

    def read(self, path: str) -> Optional[str]:
        """Text of a small file, or None when there is none."""
        data = self.read_bytes(path)
        return None if data is None else data.decode(errors="backslashreplace")

    def read_bytes(self, path: str) -> Optional[bytes]:
        """Content of a small file, or None when there is none."""
        try:
            with open(self.at(path), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last: a process that just ended
            return None

    def stat(self, path: str) -> Optional[os.stat_result]:
        """lstat of a path, or None when there is nothing."""
        try:
            return os.lstat(self.at(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, path: str) -> bool:
        """Whether there is something at a path, a dangling link included."""
        return self.stat(path) is not None

    def listdir(self, path: str) -> List[str]:
        """Names in a folder, sorted; none when it is not there."""
        try:
            return sorted(os.listdir(self.at(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def temporary(self, path: str) -> str:
        """Where a file is written before it takes the place of `path`: always the same, so a killed run leaves one."""
        folder, name = os.path.split(path)
        return f"{folder}/.{name}.weft"

    def write(self, path: str, data: bytes, mode: str, owner: Optional[Tuple[int, int]] = None) -> None:
        """Put a file in place whole or not at all, folders above it included.

        Raises:
            OSError: it could not be written; what was there is unharmed.
        """
        self.make_parents(path)
        temporary = self.at(self.temporary(path))
        try:
            # Not readable by others before it has its mode; never through a link that someone else put there.
            self.unlink(self.temporary(path))
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            self.install(self.temporary(path), path, mode, owner)
        except OSError as error:
            self.unlink(self.temporary(path))
            raise OSError(error.errno, error.strerror, self.at(path)) from error

    def install(self, temporary: str, path: str, mode: str, owner: Optional[Tuple[int, int]] = None) -> None:
        """Give a written file its owner and mode, and rename it to `path`."""
        source = self.at(temporary)
        os.chown(source, *(owner or self.owner))
        os.chmod(source, int(mode, 8))
        try:
            os.replace(source, self.at(path))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # A file that is itself a mount point, as /etc/hosts of a container, can only be written in place.
            with open(source, "rb") as new, open(self.at(path), "wb") as old:
                shutil.copyfileobj(new, old)
            os.unlink(source)
        self.relabel(path)

    def make_parents(self, path: str) -> None:
        """Make the folders above a path."""
        missing = self.missing_parents(path)
        for folder in missing:
            try:
                os.mkdir(self.at(folder), 0o755)
            except FileExistsError:  # another thread that downloads into it was first
                continue
            os.chmod(self.at(folder), 0o755)
            self.relabel(folder)

    def missing_parents(self, path: str) -> List[str]:
        """Folders above a path that are not there, outermost first."""
        out: List[str] = []
        folder = os.path.dirname(path)
        while folder not in ("", "/") and not os.path.isdir(self.at(folder)):
            out.insert(0, folder)
            folder = os.path.dirname(folder)
        return out

    def make_state_dir(self, path: str = STATE_DIR) -> None:
        """Make STATE_DIR, or a folder in it, for root alone."""
        for folder in (STATE_DIR, path):
            os.makedirs(self.at(folder), mode=0o700, exist_ok=True)

    def unlink(self, path: str) -> None:
        """Remove a file or link that may not be there."""
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self.at(path))

    @property
    def selinux(self) -> str:
        """One of "disabled", "permissive", "enforcing"."""
        text = self.read("/sys/fs/selinux/enforce")
        return "disabled" if text is None else ("enforcing" if text.strip() == "1" else "permissive")

    def relabel(self, path: str) -> None:
        """Give a path the SELinux label that the policy has for it."""
        if self.selinux != "disabled" and self.has_command("restorecon"):
            self.run("restorecon", path)

    def owner_text(self, info: os.stat_result) -> str:
        """ "" for the usual owner, else "uid:gid"."""
        return "" if (info.st_uid, info.st_gid) == self.owner else f"{info.st_uid}:{info.st_gid}"

    # -- clocks -----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch by the machine's clock."""
        return time.time()


def mode_text(info: os.stat_result) -> str:
    """Permissions as four octal digits."""
    return f"{stat.S_IMODE(info.st_mode):04o}"


def owner_pair(text: str) -> Optional[Tuple[int, int]]:
    """(uid, gid) of "uid:gid", None of ""."""
    if not text:
        return None
    uid, _, gid = text.partition(":")
    return int(uid), int(gid)


class MachineResource(Resource):
    """A resource of a machine.  A kind implements `look`, `desired`, `make`, and for the way back `keep` and `undo`.

    host      the machine; one for all resources of a run
    key       the spec's key that names the subject
    required  keys that a spec must have
    """

    host: ClassVar[Host] = Host()
    key: ClassVar[str] = "name"
    required: ClassVar[Tuple[str, ...]] = ()

    def __init__(self, spec: Spec, machine: str = "") -> None:
        super().__init__(spec, machine)
        for key in (self.key, *self.required):
            if key not in spec:
                raise MachineError(f"a resource of type {self.type} lacks {key!r}: it has {', '.join(sorted(spec))}")

    @property
    def name(self) -> str:
        """The subject's name."""
        return str(self.spec[self.key])

    @property
    def subject(self) -> Subject:
        """Named by the kind's own key."""
        return Subject(self.type, self.name, self.machine)

    def observe(self) -> Value:
        """`look`, with the system's errors told as the domain's."""
        with errors_of(self.subject):
            return self.look()

    def apply(self, changes: Sequence[Change]) -> None:
        """`make`, with the system's errors told as the domain's."""
        with errors_of(self.subject):
            self.make(changes)

    def changes(self, observed: Value) -> List[Change]:
        """The Changes; who has some is remembered, for kinds that are quicker all at once."""
        out = super().changes(observed)
        waiting = self.host.pending.setdefault(self.type, {})
        waiting.pop(self.name, None)
        if out:
            waiting[self.name] = self
        return out

    def waiting(self) -> List["MachineResource"]:
        """All resources of this kind that had Changes when they were last looked at, this one included."""
        return list(self.host.pending.get(self.type, {}).values())

    def look(self) -> Value:
        """State now; may raise OSError."""
        raise NotImplementedError

    def make(self, changes: Sequence[Change]) -> None:
        """Make the Changes; may raise OSError."""
        raise NotImplementedError

    def together(self) -> List["MachineResource"]:
        """Resources that are changed in one go with this one, so that the ledger has them all before."""
        return [self]

    def keep(self) -> Dict[str, Value]:
        """What the way back needs beyond the values before.  Called before the first Change; may keep copies."""
        return {}

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Specs that bring back what was.

        Args:
            before: first known value of every field that was changed; () is the whole subject.
            kept: what `keep` gave.
        """
        raise NotImplementedError


@contextmanager
def errors_of(subject: Subject) -> Iterator[None]:
    """Tell the system's errors as the domain's, with the subject's name.

    Raises:
        MachineError: instead of OSError, and with the subject before its own message.
    """
    try:
        yield
    except MachineError as error:
        text = str(error)
        raise MachineError(text if text.startswith(str(subject)) else f"{subject}: {text}") from error
    except OSError as error:
        raise MachineError(f"{subject}: {explain(error)}") from error


def explain(error: OSError) -> str:
    """An OSError as a person needs it: what failed, where, and for a full disk how full."""
    path = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{_free_text(path)}; nothing was put in place. Free some and run again"
    if error.errno == errno.EROFS:
        return f"{path or 'its place'} is on a read-only file system; remount it writable and run again"
    return f"{error.strerror or error}{': ' + path if path else ''}"


def _free_text(path: str) -> str:
    """Which disk a path is on and what is free there, as part of a sentence; "" when it cannot be told."""
    folder = os.path.dirname(path)
    while folder and folder != "/" and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if not folder:
        return ""
    usage = os.statvfs(folder)
    return f" that holds {folder} ({usage.f_bavail * usage.f_frsize} bytes free)"


def absent_first(before: Before) -> bool:
    """Whether the whole subject was not there before."""
    return () in before and before[()] is ABSENT

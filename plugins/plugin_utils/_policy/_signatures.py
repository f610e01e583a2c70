# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who signed a commit, by keys that the policy of the target branch names.

SSH: policy/allowed_signers, in the format of ssh-keygen(1), principals being logins or addresses from policy/roles.yml;
policy/revoked_keys takes keys back.  GPG: policy/keys/LOGIN.asc (or LOGIN.NUMBER.asc), each with keys of that person.
Only `ssh-keygen` and `gpg` themselves decide; anything but a clean answer is no signature.
"""

from __future__ import annotations

import binascii
import os
import re
import subprocess  # nosec: fixed commands, no shell
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Commit, Files
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import IdentityError

ALLOWED_SIGNERS, REVOKED, KEYS = "policy/allowed_signers", "policy/revoked_keys", "policy/keys"

#: What ssh-keygen signs a Git commit for (Git's gpg-interface.c).
_NAMESPACE = "git"
_SSH, _GPG = b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"

#: What makes a principal in allowed_signers mean several people.
_PATTERN = frozenset(",*?!")
#: A line of allowed_signers (ssh-keygen(1)): principals, options, the key's type, the key.
_LINE = re.compile(r'\s*("[^"]*"|[^\s#]\S*)\s+(?:((?:[^\s"]|"[^"]*")+)\s+)?(?:sk-)?(?:ssh|ecdsa)-\S+\s+(\S+)', re.ASCII)

#: Words of gpg's status output by which a signature is no good, whatever else it says (GnuPG's doc/DETAILS).
_BAD = frozenset({"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "KEYREVOKED", "KEYEXPIRED", "NO_PUBKEY"})


def has_keys(tree: Files) -> bool:
    """Whether the policy in a tree names any key."""
    return tree.entry(ALLOWED_SIGNERS) is not None or bool(tree.names(KEYS))


class Signers:
    """The keys of a policy, unpacked into a directory of their own while they are needed.

    Args:
        tree: the target branch.
        people: addresses by login, by which principals that are addresses become logins.
        home: an empty directory that only we can read; its path must not be long (gpg's limit for sockets).
        now: keys must be valid at this time.
        deadline: time.monotonic() after which IdentityError is raised.
    """

    def __init__(
        self, tree: Files, people: Mapping[str, tuple[str, ...]], home: str, now: datetime, deadline: float
    ) -> None:
        self.tree = tree
        self.home = Path(home)
        self.now = now
        self.deadline = deadline
        self._logins = {address.lower(): login for login, addresses in people.items() for address in addresses}
        self._files: dict[str, bool] = {}
        self._fingerprints: dict[str, str] | None = None
        self._told = False

    def who(self, commit: Commit) -> str:
        """Login of who signed a commit; "" when nobody whom the policy knows did.

        Raises:
            IdentityError: it cannot be told, for want of a program or of time.
        """
        signature = commit.signature
        if signature is None:
            return ""
        if signature.armor.startswith(_SSH):
            return self._ssh(signature.armor, signature.payload)
        return self._gpg(signature.armor, signature.payload) if signature.armor.startswith(_GPG) else ""

    def _unpack(self, path: str) -> str:
        """A policy file as a file on disk; "" when the policy has none."""
        place = self.home / path.rpartition("/")[2]
        if path not in self._files:
            self._files[path] = self.tree.entry(path) is not None
            if self._files[path]:
                place.write_bytes(self.tree.read(path))
        return str(place) if self._files[path] else ""

    def _run(self, command: list[str], data: bytes) -> tuple[int, str]:
        left = self.deadline - time.monotonic()
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LC_ALL": "C", "TZ": "UTC"}
        try:
            done = subprocess.run(  # nosec
                command,
                input=data,
                capture_output=True,
                env=environment,
                cwd=self.home,
                timeout=max(0.01, left),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise IdentityError(f"{command[0]} did not end in time") from error
        except OSError as error:
            raise IdentityError(f"signatures cannot be verified: {error}; install {command[0]}") from error
        return done.returncode, done.stdout.decode("utf-8", "replace")

    # -- SSH ----------------------------------------------------------------------------------------------------

    def _ssh(self, armor: bytes, payload: bytes) -> str:
        allowed = self._unpack(ALLOWED_SIGNERS)
        if not allowed:
            return ""
        self._one_person_each()
        sig = self.home / "signature"
        sig.write_bytes(armor)
        # without a zone, which ssh-keygen takes since 9.1 only; _run sets it to UTC
        at = f"-Overify-time={self.now.astimezone(UTC).strftime('%Y%m%d%H%M%S')}"
        code, out = self._run(["ssh-keygen", "-Y", "find-principals", "-f", allowed, "-s", str(sig), at], b"")
        principals = out.splitlines() if code == 0 else []
        revoked = self._unpack(REVOKED)
        revocation = ["-r", revoked] if revoked else []
        found = set()
        for principal in principals:
            if not _PATTERN.isdisjoint(principal):
                continue  # a key of several people tells of none
            who = ["-I", principal, "-n", _NAMESPACE]
            command = ["ssh-keygen", "-Y", "verify", "-f", allowed, *who, "-s", str(sig), at, *revocation]
            if self._run(command, payload)[0] == 0:
                found.add(self._login(principal))
        return found.pop() if len(found) == 1 else ""

    def _one_person_each(self) -> None:
        """See that no key is several people's, for ssh-keygen tells of the first line only.

        Raises:
            IdentityError: one is.
        """
        if self._told:
            return
        owners: dict[bytes, str] = {}
        text = self.tree.read(ALLOWED_SIGNERS).decode("utf-8", "replace")
        for number, line in enumerate(text.split("\n"), start=1):
            found = _LINE.match(line)
            if found is None or "cert-authority" in (found[2] or "").lower():
                continue  # whom an authority means is told by its certificates
            try:
                key = binascii.a2b_base64(found[3])
            except ValueError:
                continue
            principals = found[1].strip('"')
            login = self._login(principals) or principals
            if owners.setdefault(key, login) != login:
                raise IdentityError(
                    f"{ALLOWED_SIGNERS}:{number}: the key of {principals} belongs to {owners[key]} already"
                )
        self._told = True

    def _login(self, principal: str) -> str:
        """The login that a principal means: by its address, or the principal itself where it is no address."""
        found = self._logins.get(principal.lower())
        if found is not None:
            return found
        return "" if "@" in principal else principal

    # -- GPG ----------------------------------------------------------------------------------------------------

    def _gpg(self, armor: bytes, payload: bytes) -> str:
        owners = self._keys()
        if not owners:
            return ""
        sig = self.home / "signature"
        sig.write_bytes(armor)
        code, out = self._run([*self._gpg_command(), "--verify", str(sig), "-"], payload)
        words = [line.split()[1:] for line in out.splitlines() if line.startswith("[GNUPG:] ")]
        named = [word for word in words if word]
        if code != 0 or any(word[0] in _BAD for word in named) or sum(word[0] == "GOODSIG" for word in named) != 1:
            return ""
        valid = [word for word in named if word[0] == "VALIDSIG" and len(word) > 10]
        return owners.get(valid[0][10], "") if len(valid) == 1 else ""  # the fingerprint of the primary key

    def _gpg_command(self) -> list[str]:
        command = ["gpg", "--homedir", str(self.home / "gpg"), "--batch", "--no-tty", "--no-options"]
        command += ["--status-fd", "1"]
        command += ["--no-auto-key-retrieve", "--no-auto-key-locate", "--no-auto-check-trustdb", "--disable-dirmngr"]
        command += ["--trust-model", "always", "--no-permission-warning", "--no-autostart"]
        return [*command, "--faked-system-time", f"{int(self.now.timestamp())}!"]

    def _keys(self) -> dict[str, str]:
        """Login by the fingerprint of its key, after all keys are imported."""
        if self._fingerprints is None:
            self._fingerprints = {}
            (self.home / "gpg").mkdir(mode=0o700, exist_ok=True)
            for name in sorted(self.tree.names(KEYS)):
                if name.endswith(".asc"):
                    self._import(f"{KEYS}/{name}", self._fingerprints)
        return self._fingerprints

    def _import(self, path: str, into: dict[str, str]) -> None:
        stem = path.rpartition("/")[2].removesuffix(".asc")
        head, dot, number = stem.rpartition(".")
        login = head if dot and number.isdigit() else stem
        data = self.tree.read(path)
        code, out = self._run([*self._gpg_command(), "--import"], data)
        found = [line.split()[3] for line in out.splitlines() if line.startswith("[GNUPG:] IMPORT_OK ")]
        if code != 0 or not found:
            raise IdentityError(f"{path}: no OpenPGP keys could be read from it; export them with gpg --export --armor")
        for fingerprint in found:
            if into.setdefault(fingerprint, login) != login:
                raise IdentityError(f"{path}: key {fingerprint} belongs to {into[fingerprint]} already")

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Signed commits, made by git with real SSH and GPG keys and judged whole."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Person, Request, Verdict

from tests.tools import need

POLICY = {
    "policy/roles.yml": "roles: {all: {members: ['user:olga', 'user:mona']}, chiefs: {members: ['user:olga']}}\n"
    "people: {olga: [olga@example.org], mona: [mona@example.org]}\n",
    "policy/settings.yml": "identity: {commits: signed}\n",
    "policy/rules/site.yml": "rules:\n  - {name: all work in apps, change: {file: 'apps/**'}, allow: all}\n",
}


class Keys(NamedTuple):
    """Where private keys are, and the public ones as the policy has them."""

    home: Path
    ssh: dict[str, str]
    gpg: dict[str, str]
    fingerprints: dict[str, str]


def run(*command: str, where: Path, data: bytes = b"", **environment: str) -> str:
    """Output of a command that must succeed; nothing of the developer's own settings is seen."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    done = subprocess.run(
        command, input=data, cwd=where, env={**clean, **environment}, capture_output=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr.decode())
    return done.stdout.decode()


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    need.programs("gpg", "ssh-keygen")  # which make the keys


@pytest.fixture(scope="module")
def keys(_programs: None) -> Iterator[Keys]:
    """Two people's keys of both kinds. gpg's sockets want a short path."""
    home = Path(tempfile.mkdtemp(prefix="weft"))
    home.chmod(0o700)
    ssh, gpg, fingerprints = {}, {}, {}
    for login in ("olga", "mona"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", login, "-f", str(home / login), where=home)
        ssh[login] = " ".join((home / f"{login}.pub").read_text().split()[:2])
        address = f"{login}@example.org"
        make = ("--batch", "--passphrase", "", "--quick-generate-key", address, "ed25519", "sign", "never")
        run("gpg", *make, where=home, GNUPGHOME=str(home))
        gpg[login] = run("gpg", "--armor", "--export", address, where=home, GNUPGHOME=str(home))
        listed = run("gpg", "--with-colons", "--list-keys", address, where=home, GNUPGHOME=str(home))
        fingerprints[login] = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    yield Keys(home, ssh, gpg, fingerprints)
    run("gpgconf", "--kill", "gpg-agent", where=home, GNUPGHOME=str(home))
    shutil.rmtree(home)


class Signing:
    """A repository with a work tree, in which people sign with git itself."""

    def __init__(self, path: Path, keys: Keys, policy: dict[str, str]) -> None:
        self.path, self.keys = path, keys
        path.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write({**POLICY, **policy})
        self.git("commit", "-q", "-m", "start")
        self.base = self.git("rev-parse", "HEAD")

    def git(self, *arguments: str, data: bytes = b"") -> str:
        author = {"NAME": "x", "EMAIL": "x@example.org"}
        named = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in author.items()}
        return run("git", *arguments, where=self.path, data=data, GNUPGHOME=str(self.keys.home), **named).strip()

    def write(self, files: dict[str, str]) -> None:
        for name, content in files.items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        self.git("add", "-A")

    def commit(self, kind: str = "", login: str = "", content: str = "x\n") -> str:
        """A commit, signed with somebody's key of a kind ("ssh", "gpg") or not signed."""
        self.write({"apps/a.txt": content})
        settings: tuple[str, ...] = ()
        if kind == "ssh":
            settings = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys.home / login}")
        elif kind == "gpg":
            settings = ("-c", f"user.signingkey={self.keys.fingerprints[login]}")
        self.git(*settings, "commit", "-q", "-m", "work", *(["-S"] if kind else []))
        return self.git("rev-parse", "HEAD")

    def forged(self, commit: str, old: str, new: str) -> str:
        """The same commit with some of its text changed and its signature kept."""
        text = self.git("cat-file", "commit", commit)
        assert text.count(old) >= 1
        return self.git("hash-object", "-t", "commit", "-w", "--stdin", data=f"{text.replace(old, new)}\n".encode())

    def judge(self, head: str, now: datetime | None = None) -> Verdict:
        request = Request(self.base, head, "main", Person("mona"))
        return judge(request, self.path, now=now or datetime.now(UTC) + timedelta(minutes=1))


@pytest.fixture
def ssh_key_file(keys: Keys) -> dict[str, str]:
    """The policy that knows olga's SSH key."""
    return {"policy/allowed_signers": f'olga namespaces="git" {keys.ssh["olga"]}\n'}


@pytest.fixture
def gpg_key_file(keys: Keys) -> dict[str, str]:
    """The policy that knows olga's GPG key."""
    return {"policy/keys/olga.asc": keys.gpg["olga"]}


@pytest.fixture
def both(ssh_key_file: dict[str, str], gpg_key_file: dict[str, str]) -> dict[str, str]:
    """The policy that knows both."""
    return {**ssh_key_file, **gpg_key_file}


def people(verdict: Verdict) -> dict[str, str]:
    return dict(verdict.people)


def refused(verdict: Verdict) -> bool:
    """Whether a commit counts as nobody's, so that nobody is permitted it."""
    nobody = [login for login in people(verdict) if "bears no signature that the policy knows" in login]
    return not verdict.permitted and len(nobody) == 1 and "olga" not in people(verdict)


@pytest.mark.parametrize("kind", ["ssh", "gpg"])
class TestBothKinds:
    def test_a_good_signature_names_its_maker(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, both)
        verdict = signing.judge(signing.commit(kind, "olga"))
        assert verdict.permitted, verdict.findings
        assert people(verdict) == {"mona": "forge", "olga": "signature"}

    def test_a_key_that_the_policy_does_not_name_is_nobodys(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, both)
        assert refused(signing.judge(signing.commit(kind, "mona")))

    def test_a_policy_with_keys_of_the_other_kind_only_knows_none(
        self, tmp_path: Path, keys: Keys, ssh_key_file: dict[str, str], gpg_key_file: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, gpg_key_file if kind == "ssh" else ssh_key_file)
        assert refused(signing.judge(signing.commit(kind, "olga")))

    def test_a_policy_without_keys_knows_none(self, tmp_path: Path, keys: Keys, kind: str) -> None:
        signing = Signing(tmp_path / "r", keys, {})
        assert refused(signing.judge(signing.commit(kind, "olga")))

    @pytest.mark.parametrize(("old", "new"), [("\n\nwork", "\n\nother work"), ("author x", "author y")])
    def test_a_commit_that_was_changed_after_it_was_signed_is_nobodys(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str, old: str, new: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, both)
        head = signing.commit(kind, "olga")
        assert refused(signing.judge(signing.forged(head, old, new)))

    def test_another_tree_under_the_same_signature_is_nobodys(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, both)
        head = signing.commit(kind, "olga")
        tree = signing.git("rev-parse", f"{head}^{{tree}}")
        signing.commit(content="evil\n")
        other = signing.git("rev-parse", "HEAD^{tree}")
        assert refused(signing.judge(signing.forged(head, tree, other)))

    def test_one_commit_without_a_signature_among_signed_ones_prohibits(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, both)
        signing.commit(kind, "olga", "1\n")
        signing.commit(content="2\n")
        verdict = signing.judge(signing.commit(kind, "olga", "3\n"))
        assert not verdict.permitted and "olga" in people(verdict)
        assert sum("bears no signature" in login for login in people(verdict)) == 1

    def test_keys_that_the_change_itself_brings_do_not_count(
        self, tmp_path: Path, keys: Keys, both: dict[str, str], kind: str
    ) -> None:
        signing = Signing(tmp_path / "r", keys, {})
        signing.write(both)
        assert refused(signing.judge(signing.commit(kind, "olga")))


def test_a_commit_without_a_signature_is_nobodys(tmp_path: Path, keys: Keys, both: dict[str, str]) -> None:
    signing = Signing(tmp_path / "r", keys, both)
    assert refused(signing.judge(signing.commit()))


class TestSsh:
    def test_an_address_means_whom_the_roles_say(self, tmp_path: Path, keys: Keys) -> None:
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": f"olga@example.org {keys.ssh['olga']}\n"})
        assert people(signing.judge(signing.commit("ssh", "olga")))["olga"] == "signature"

    def test_an_address_of_nobody_is_nobodys(self, tmp_path: Path, keys: Keys) -> None:
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": f"otto@example.org {keys.ssh['olga']}\n"})
        assert refused(signing.judge(signing.commit("ssh", "olga")))

    @pytest.mark.parametrize("principals", ["*", "olga,mona", "ol*"])
    def test_a_key_of_several_people_tells_of_none(self, tmp_path: Path, keys: Keys, principals: str) -> None:
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": f"{principals} {keys.ssh['olga']}\n"})
        assert refused(signing.judge(signing.commit("ssh", "olga")))

    def test_a_key_for_another_purpose_does_not_count(self, tmp_path: Path, keys: Keys) -> None:
        line = f'olga namespaces="file" {keys.ssh["olga"]}\n'
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": line})
        assert refused(signing.judge(signing.commit("ssh", "olga")))

    def test_a_key_counts_until_it_ends(self, tmp_path: Path, keys: Keys) -> None:
        line = f'olga valid-before="20301231" {keys.ssh["olga"]}\n'
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": line})
        head = signing.commit("ssh", "olga")
        assert signing.judge(head, datetime(2030, 12, 30, 23, 59, tzinfo=UTC)).permitted
        assert refused(signing.judge(head, datetime(2030, 12, 31, 0, 1, tzinfo=UTC)))

    def test_a_key_that_was_taken_back_does_not_count(
        self, tmp_path: Path, keys: Keys, ssh_key_file: dict[str, str]
    ) -> None:
        revoked = {"policy/revoked_keys": f"{keys.ssh['olga']}\n"}
        signing = Signing(tmp_path / "r", keys, {**ssh_key_file, **revoked})
        assert refused(signing.judge(signing.commit("ssh", "olga")))


class TestGpg:
    def test_each_person_has_keys_of_their_own(self, tmp_path: Path, keys: Keys) -> None:
        both = {f"policy/keys/{login}.asc": keys.gpg[login] for login in ("olga", "mona")}
        signing = Signing(tmp_path / "r", keys, both)
        assert people(signing.judge(signing.commit("gpg", "mona"))) == {"mona": "forge"}
        assert people(signing.judge(signing.commit("gpg", "olga", "2\n")))["olga"] == "signature"

    def test_several_keys_of_one_person_are_numbered(self, tmp_path: Path, keys: Keys) -> None:
        both = {"policy/keys/olga.1.asc": keys.gpg["mona"], "policy/keys/olga.2.asc": keys.gpg["olga"]}
        signing = Signing(tmp_path / "r", keys, both)
        for login in ("mona", "olga"):
            assert people(signing.judge(signing.commit("gpg", login, f"{login}\n")))["olga"] == "signature"

    def test_one_key_in_two_peoples_files_is_an_error(self, tmp_path: Path, keys: Keys) -> None:
        both = {f"policy/keys/{login}.asc": keys.gpg["olga"] for login in ("olga", "mona")}
        signing = Signing(tmp_path / "r", keys, both)
        verdict = signing.judge(signing.commit("gpg", "olga"))
        assert not verdict.permitted and not verdict.judged
        assert "belongs to mona already" in verdict.findings[0].message

    def test_a_file_that_holds_no_key_is_an_error(self, tmp_path: Path, keys: Keys) -> None:
        signing = Signing(tmp_path / "r", keys, {"policy/keys/olga.asc": "no key\n"})
        verdict = signing.judge(signing.commit("gpg", "olga"))
        assert not verdict.permitted and not verdict.judged
        assert "policy/keys/olga.asc: no OpenPGP keys" in verdict.findings[0].message


def certified(keys: Keys, principals: str, *more: str) -> Path:
    """A key made for this, with a certificate by olga's key for some principals."""
    place = Path(tempfile.mkdtemp(dir=keys.home)) / "work"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place), where=keys.home)
    named = ("-n", principals) if principals else ()
    run("ssh-keygen", "-q", "-s", str(keys.home / "olga"), "-I", "id", *named, *more, f"{place}.pub", where=keys.home)
    return place


class TestSshCertificates:
    """Lines with cert-authority (ssh-keygen(1), ALLOWED SIGNERS): a certificate names who has the key."""

    @staticmethod
    def people(tmp_path: Path, keys: Keys, line: str, key: Path, now: datetime | None = None) -> dict[str, str]:
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": f"{line} {keys.ssh['olga']}\n"})
        signing.write({"apps/a.txt": "x\n"})
        signing.git("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "commit", "-q", "-S", "-m", "work")
        return people(signing.judge(signing.git("rev-parse", "HEAD"), now))

    @pytest.mark.parametrize("line", ["* cert-authority", "mo* cert-authority", 'mona cert-authority,namespaces="git"'])
    def test_a_certificate_names_its_holder(self, tmp_path: Path, keys: Keys, line: str) -> None:
        found = self.people(tmp_path, keys, line, Path(f"{certified(keys, 'mona')}-cert.pub"))
        assert found == {"mona": "forge"}  # who is behind it by the request already

    @pytest.mark.parametrize(
        ("line", "principals", "more"),
        [
            ("* cert-authority", "", ()),  # for nobody in particular
            ("* cert-authority", "olga,mona", ()),
            ("olga cert-authority", "mona", ()),
            ("*", "mona", ()),  # no authority
            ('* cert-authority,namespaces="file"', "mona", ()),
            ("* cert-authority", "mona", ("-V", "20200101:20200201")),
            ("* cert-authority", "mona", ("-h",)),  # of a host
        ],
    )
    def test_another_certificate_is_nobodys(
        self, tmp_path: Path, keys: Keys, line: str, principals: str, more: tuple[str, ...]
    ) -> None:
        found = self.people(tmp_path, keys, line, Path(f"{certified(keys, principals, *more)}-cert.pub"))
        assert any("bears no signature" in login for login in found)

    def test_the_authority_itself_is_nobody(self, tmp_path: Path, keys: Keys) -> None:
        found = self.people(tmp_path, keys, "* cert-authority", keys.home / "olga")
        assert any("bears no signature" in login for login in found)


class TestMoreSsh:
    def test_a_key_counts_from_its_start(self, tmp_path: Path, keys: Keys) -> None:
        line = f'olga valid-after="20301231" {keys.ssh["olga"]}\n'
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": line})
        head = signing.commit("ssh", "olga")
        assert refused(signing.judge(head, datetime(2030, 12, 30, 23, 59, tzinfo=UTC)))
        assert signing.judge(head, datetime(2030, 12, 31, 0, 1, tzinfo=UTC)).permitted

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("olga", 'mona namespaces="git"'),
            ("mona", "olga"),
            ("olga", "olga,mona"),
            ("olga@example.org", "mona"),
            ('mona valid-before="20200101"', "olga"),
            ('mona namespaces="git,ssh-x"', "olga"),
            ('mona namespaces="git, ssh-x y"', "olga"),
        ],
    )
    def test_a_key_on_the_lines_of_two_people_is_an_error(
        self, tmp_path: Path, keys: Keys, first: str, second: str
    ) -> None:
        lines = f"# one key\n{first} {keys.ssh['olga']}\n\n{second} {keys.ssh['olga']} again\n"
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": lines})
        verdict = signing.judge(signing.commit("ssh", "olga"))
        assert not verdict.permitted and not verdict.judged
        assert "policy/allowed_signers:4: the key of " in verdict.findings[0].message

    def test_a_key_may_be_on_two_lines_of_one_person(self, tmp_path: Path, keys: Keys) -> None:
        lines = f'olga {keys.ssh["olga"]}\n"olga@example.org" {keys.ssh["olga"]}\nmona {keys.ssh["mona"]}\n'
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": lines})
        assert people(signing.judge(signing.commit("ssh", "olga")))["olga"] == "signature"

    @pytest.mark.parametrize("line", ['olga nonsense="x"', "olga,!olga", "!mona"])
    def test_a_line_that_names_nobody_tells_of_none(self, tmp_path: Path, keys: Keys, line: str) -> None:
        signing = Signing(tmp_path / "r", keys, {"policy/allowed_signers": f"{line} {keys.ssh['olga']}\n"})
        assert refused(signing.judge(signing.commit("ssh", "olga")))

    def test_a_key_that_a_list_of_openssh_takes_back_does_not_count(
        self, tmp_path: Path, keys: Keys, ssh_key_file: dict[str, str]
    ) -> None:
        place = tmp_path / "revoked"
        run("ssh-keygen", "-q", "-k", "-f", str(place), str(keys.home / "olga.pub"), where=tmp_path)
        signing = Signing(tmp_path / "r", keys, ssh_key_file)
        (signing.path / "policy/revoked_keys").write_bytes(place.read_bytes())
        signing.git("add", "-A")
        signing.git("commit", "-q", "-m", "taken back")
        signing.base = signing.git("rev-parse", "HEAD")
        assert refused(signing.judge(signing.commit("ssh", "olga")))

    def test_nothing_counts_where_what_was_taken_back_cannot_be_read(
        self, tmp_path: Path, keys: Keys, ssh_key_file: dict[str, str]
    ) -> None:
        signing = Signing(tmp_path / "r", keys, {**ssh_key_file, "policy/revoked_keys": "no keys\n"})
        assert refused(signing.judge(signing.commit("ssh", "olga")))
        signing = Signing(tmp_path / "q", keys, {**ssh_key_file, "policy/revoked_keys/olga": "no file\n"})
        verdict = signing.judge(signing.commit("ssh", "olga"))
        assert not verdict.permitted and not verdict.judged


class Gpg:
    """GPG with people's keys of several ages and kinds."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def gpg(self, *arguments: str, data: bytes = b"") -> str:
        secret = ("--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "")
        return run("gpg", *secret, *arguments, where=self.home, data=data, GNUPGHOME=str(self.home))

    def made(self, address: str, usage: str = "sign", ends: str = "never") -> str:
        """The fingerprint of a new key."""
        self.gpg("--quick-generate-key", address, "ed25519", usage, ends)
        return self.fingerprints(address)[0]

    def fingerprints(self, address: str) -> list[str]:
        listed = self.gpg("--with-colons", "--list-keys", address)
        return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]

    def public(self, address: str) -> str:
        return self.gpg("--armor", "--export", address)

    def detached(self, data: bytes, *keys: str, more: tuple[str, ...] = ()) -> str:
        """One signature a key, in one armor."""
        parts = []
        for key in keys:
            place = self.home / "signature"
            self.gpg("-u", key, "--detach-sign", "-o", str(place), *more, data=data)
            parts.append(place.read_bytes())
        return self.armored(b"".join(parts))

    @staticmethod
    def armored(data: bytes) -> str:
        begin, end = "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"
        return f"{begin}\n\n{base64.encodebytes(data).decode()}{end}\n"


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    """gpg's sockets want a short path."""
    home = Path(tempfile.mkdtemp(prefix="weft"))
    home.chmod(0o700)
    yield Gpg(home)
    run("gpgconf", "--kill", "gpg-agent", where=home, GNUPGHOME=str(home))
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def olga(gpg: Gpg) -> str:
    """The fingerprint of olga's key."""
    return gpg.made("olga@example.org")


@pytest.fixture(scope="module")
def other(gpg: Gpg) -> str:
    """The fingerprint of a key that no policy names."""
    return gpg.made("other@example.org")


class TestMoreGpg:
    """What gpg calls good only in part, and what Git's own tests make up (its t/t7510-signed-commit.sh)."""

    @pytest.fixture
    def signing(self, tmp_path: Path, gpg: Gpg, olga: str) -> Signing:
        keys = Keys(gpg.home, {}, {}, {"olga": olga})
        return Signing(tmp_path / "r", keys, {"policy/keys/olga.asc": gpg.public(olga)})

    @staticmethod
    def written(signing: Signing, text: str) -> str:
        return signing.git("hash-object", "--literally", "-t", "commit", "-w", "--stdin", data=text.encode())

    def signed(self, signing: Signing, sign: Callable[[bytes], str], header: str = "gpgsig") -> str:
        """A commit with what `sign` makes of it in its header."""
        signing.git("reset", "-q", "--hard", signing.base)
        raw = signing.git("cat-file", "commit", signing.commit()) + "\n"
        head, _, message = raw.partition("\n\n")
        armor = sign(raw.encode()).strip().replace("\n", "\n ")
        return self.written(signing, f"{head}\n{header} {armor}\n\n{message}")

    def test_what_the_others_differ_from_is_good(self, signing: Signing, gpg: Gpg, olga: str) -> None:
        head = self.signed(signing, lambda raw: gpg.detached(raw, olga))
        assert people(signing.judge(head))["olga"] == "signature"

    def test_a_key_counts_until_it_ends(self, tmp_path: Path, gpg: Gpg) -> None:
        key = gpg.made("ends@example.org", ends="seconds=3600")
        signing = Signing(
            tmp_path / "r", Keys(gpg.home, {}, {}, {"olga": key}), {"policy/keys/olga.asc": gpg.public(key)}
        )
        head = signing.commit("gpg", "olga")
        assert signing.judge(head).permitted
        assert refused(signing.judge(head, datetime.now(UTC) + timedelta(hours=2)))

    def test_a_key_that_was_revoked_does_not_count(self, tmp_path: Path, gpg: Gpg) -> None:
        key = gpg.made("revoked@example.org")
        revoked = (gpg.home / "openpgp-revocs.d" / f"{key}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
        files = {"policy/keys/olga.asc": gpg.public(key) + revoked}
        signing = Signing(tmp_path / "r", Keys(gpg.home, {}, {}, {"olga": key}), files)
        assert refused(signing.judge(signing.commit("gpg", "olga")))

    def test_a_subkey_is_its_keys_and_counts_until_it_ends(self, tmp_path: Path, gpg: Gpg) -> None:
        key = gpg.made("sub@example.org", "cert")
        gpg.gpg("--quick-add-key", key, "ed25519", "sign", "seconds=3600")
        keys = Keys(gpg.home, {}, {}, {"olga": f"{gpg.fingerprints('sub@example.org')[1]}!"})
        signing = Signing(tmp_path / "r", keys, {"policy/keys/olga.asc": gpg.public(key)})
        head = signing.commit("gpg", "olga")
        assert people(signing.judge(head))["olga"] == "signature"
        assert refused(signing.judge(head, datetime.now(UTC) + timedelta(hours=2)))

    def test_a_signature_counts_until_it_ends(self, signing: Signing, gpg: Gpg, olga: str) -> None:
        ends = ("--default-sig-expire", "seconds=3600")
        head = self.signed(signing, lambda raw: gpg.detached(raw, olga, more=ends))
        assert signing.judge(head).permitted
        assert refused(signing.judge(head, datetime.now(UTC) + timedelta(hours=2)))

    @pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0)])
    def test_two_signatures_are_nobodys(
        self, signing: Signing, gpg: Gpg, olga: str, other: str, order: tuple[int, int]
    ) -> None:
        makers = [(olga, other)[index] for index in order]
        assert refused(signing.judge(self.signed(signing, lambda raw: gpg.detached(raw, *makers))))

    def test_a_signature_of_this_after_one_of_something_else_is_nobodys(
        self, signing: Signing, gpg: Gpg, olga: str
    ) -> None:
        bad = gpg.detached(b"else", olga)
        assert refused(signing.judge(self.signed(signing, lambda raw: bad + gpg.detached(raw, olga))))
        assert refused(signing.judge(self.signed(signing, lambda raw: gpg.detached(raw, olga) + bad)))

    def test_a_signed_message_is_no_signature_of_the_commit(self, signing: Signing, gpg: Gpg, olga: str) -> None:
        def message(raw: bytes) -> str:
            place = gpg.home / "message"
            gpg.gpg("-u", olga, "--sign", "-o", str(place), data=b"else")
            return gpg.armored(place.read_bytes())

        assert refused(signing.judge(self.signed(signing, message)))
        assert refused(signing.judge(self.signed(signing, lambda raw: gpg.gpg("-u", olga, "--clear-sign", data=raw))))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("\ngpgsig ", "\nencoding x\ngpgsig "),  # what is signed has another header
            ("\n\nwork", "\n\nwork\0more"),
            ("\ngpgsig ", "\nmergetag "),  # the signature of a tag that was merged is none of the merge
            ("\n\nwork", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n\nwork"),
        ],
    )
    def test_a_commit_with_something_put_in_is_nobodys(self, signing: Signing, old: str, new: str) -> None:
        text = signing.git("cat-file", "commit", signing.commit("gpg", "olga")) + "\n"
        assert refused(signing.judge(self.written(signing, text.replace(old, new, 1))))

    def test_a_signature_for_the_other_hash_is_no_part_of_what_is_signed(self, signing: Signing) -> None:
        # Git leaves every header that begins with gpgsig out of what it verifies (its commit.c)
        text = signing.git("cat-file", "commit", signing.commit("gpg", "olga")) + "\n"
        head = self.written(signing, text.replace("\ngpgsig ", "\ngpgsig-sha256 x\n y\ngpgsig ", 1))
        assert people(signing.judge(head))["olga"] == "signature"

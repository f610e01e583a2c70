# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Build the collection, install it into a clean place, and run Ansible's own checks there.

Works without a container engine and without any download but Python packages: `ansible-test` gets a bootstrap for pip
made of Python's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.machines._host import cache_dir

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
#: What is run. The others have no files to look at here (shellcheck, pslint), are covered more strictly by ruff, mypy
#: and yamllint (pep8, pylint, yamllint, compile), or ask for what this collection does not want: modules that import
#: no library of requirements.txt (import), no assert for the type checker (no-assert), and open_url in code that must
#: not import ansible (replace-urlopen).
TESTS = (
    *("action-plugin-docs", "ansible-doc", "empty-init", "line-endings", "no-get-exception", "no-illegal-filenames"),
    *("no-smart-quotes", "runtime-metadata", "symlinks", "use-argspec-type-path", "use-compat-six", "validate-modules"),
)
BOOTSTRAP = """import subprocess, sys
subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *words]))
"""


def home() -> Path:
    """A home folder for ansible-test: its environments, the bootstrap, and the pip settings of this machine."""
    folder = cache_dir() / "ansible-test"
    (folder / ".ansible" / "test" / "cache").mkdir(parents=True, exist_ok=True)
    (folder / ".ansible" / "test" / "cache" / "get_pip_24_2.py").write_text(BOOTSTRAP)
    (folder / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = dict(line.split("=", 1) for line in listed.stdout.splitlines())
    lines = [f"{key.rpartition('.')[2]} = {value.strip(chr(39))}" for key, value in settings.items()]
    (folder / ".config" / "pip" / "pip.conf").write_text("\n".join(["[global]", *dict.fromkeys(lines), ""]))
    return folder


def main() -> int:
    """Returns the process's exit code."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory(prefix="weft-sanity-") as temporary:
        galaxy = str(BIN / "ansible-galaxy")
        environment = {**os.environ, "HOME": str(home()), "PATH": f"{BIN}:{os.environ['PATH']}"}
        # A checkout that the caller's shell makes known as the collection would stand for the installed one.
        environment.pop("PYTHONPATH", None)
        environment["ANSIBLE_COLLECTIONS_PATH"] = temporary
        quiet = {"env": environment, "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([galaxy, "collection", "build", "--output-path", temporary], cwd=ROOT, **quiet)  # type: ignore[call-overload]  # settings that all calls share
        archive = next(Path(temporary).glob("*.tar.gz"))
        subprocess.run([galaxy, "collection", "install", "-p", temporary, str(archive)], cwd=temporary, **quiet)  # type: ignore[call-overload]  # as above
        installed = Path(temporary) / "ansible_collections" / "weft" / "platform"
        playbook = [str(BIN / "ansible-playbook"), "--syntax-check", "weft.platform.apply", "-i", "localhost,"]
        subprocess.run(playbook, cwd=temporary, **quiet)  # type: ignore[call-overload]  # as above
        command = [str(BIN / "ansible-test"), "sanity", "--color", "no", "--python", python]
        for test in TESTS:
            command += ["--test", test]
        code = subprocess.run(command, cwd=installed, env=environment, check=False).returncode
    print("sanity: ok" if code == 0 else "sanity: failed")
    return code


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Make the capabilities that policies in Rego are held to, from the pinned opa's own.

hack/opa_capabilities.py            writes plugins/plugin_utils/_policy/schemas/opa-capabilities.json.z
hack/opa_capabilities.py --check    says whether it is current
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zlib
from pathlib import Path

from ansible_collections.weft.platform.plugins.plugin_utils._policy._opa import FORBIDDEN

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "plugins" / "plugin_utils" / "_policy" / "schemas" / "opa-capabilities.json.z"


def make() -> bytes:
    """The file's bytes."""
    built = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "tools" / "build.py"), "opa"], capture_output=True, text=True, check=True
    )
    said = subprocess.run([built.stdout.strip(), "capabilities", "--current"], capture_output=True, check=True)
    capabilities = json.loads(said.stdout)
    capabilities["builtins"] = [one for one in capabilities["builtins"] if one["name"] not in FORBIDDEN]
    # schemas in policies must not make opa fetch anything
    capabilities["allow_net"] = []
    return zlib.compress(json.dumps(capabilities, sort_keys=True, separators=(",", ":")).encode("ascii"), 9)


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description="Make the capabilities that policies in Rego are held to.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not current")
    check = parser.parse_args().check
    content = make()
    if TARGET.exists() and zlib.decompress(TARGET.read_bytes()) == zlib.decompress(content):
        return 0
    print(f"{TARGET.name}: {'is not current' if check else f'{len(content)} bytes'}")
    if not check:
        TARGET.write_bytes(content)
    return int(check)


if __name__ == "__main__":
    sys.exit(main())

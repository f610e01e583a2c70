# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The playbooks policy_check, policy_info and policy_test in a real Ansible, on the repository of docs/policy.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.policy.surroundings import policy_page
from tests.unit.policy.surroundings.policy_wire import serve
from tests.unit.policy.surroundings.test_forges import listed

VERSION = "inventories/prod/group_vars/cluster.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("playbooks")
    for at, block in enumerate(policy_page.blocks()[:6]):
        policy_page.walk(block, top if at == 0 else top / "site")
    return top / "site"


def play(site: Path, name: str, *options: str, **values: Any) -> tuple[int, str]:
    """Run a playbook of the collection in the repository; its exit code and what it showed."""
    command = [sys.executable, "-m", "ansible", "playbook", f"weft.platform.{name}", *options]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "GIT_"))}
    environment = {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(policy_page.IMPORT_ROOT),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "PWD": str(site),
    }
    done = subprocess.run(
        [*command, "-e", json.dumps(values)], cwd=site, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_change_is_permitted_or_prohibited(site: Path, options: tuple[str, ...], tmp_path: Path) -> None:
    teams = str(site.parent / "teams.yml")
    asked = {"policy_head": "upgrade", "policy_teams": teams, "policy_output": {"sarif": str(tmp_path / "v.sarif")}}
    code, said = play(site, "policy_check", *options, **asked, policy_author="olga", policy_approvals=["otto"])
    assert code == 0 and "PERMITTED" in said, said
    assert "changed=0" in said and json.loads((tmp_path / "v.sarif").read_text())["version"] == "2.1.0"

    code, said = play(site, "policy_check", *options, **asked, policy_author="mona")
    assert code == 2 and "The change is prohibited, see above." in said, said
    lines = [line.strip().strip('",') for line in said.splitlines()]
    assert any(line.startswith("PROHIBITED: ") for line in lines), "a line of the verdict is a line here"
    assert any("only Cluster Operators change Kubernetes versions" in line for line in lines), said
    assert "Traceback" not in said and "\\n" not in said


def test_what_cannot_be_judged_fails_and_says_why(site: Path) -> None:
    code, said = play(site, "policy_check", policy_head="no-such-branch", policy_author="mona")
    assert code == 2 and "no commit 'no-such-branch'" in said and "Traceback" not in said, said
    code, said = play(site, "policy_check", policy_head="upgrade")
    assert code == 2 and "say who wants the change" in said, said
    code, said = play(site, "policy_check", policy_head="upgrade", policy_author="mona", policy_output="v.sarif")
    assert code == 2 and "dictionary" in said and "Traceback" not in said, said


def test_one_name_is_a_list_of_one(site: Path) -> None:
    """As everywhere in Ansible; it was taken for a list of its letters."""
    asked = {"policy_head": "upgrade", "policy_author": "olga", "policy_teams": str(site.parent / "teams.yml")}
    code, said = play(site, "policy_check", **asked, policy_approvals="otto")
    assert code == 0 and "Approvals that count: otto." in said, said
    code, said = play(site, "policy_test", policy_run="a dev*")
    assert code == 0 and "1 test passed" in said, said


def test_what_fails_reaches_the_terminal_as_text_and_once(site: Path, tmp_path: Path) -> None:
    teams = str(tmp_path / "no\x1b[31mred.yml")
    code, said = play(site, "policy_info", policy_person="mona", policy_teams=teams)
    assert code == 2 and "no\\x1b[31mred.yml: teams cannot be read" in said and "\x1b" not in said, said
    first = next(line for line in said.splitlines() if "teams cannot be read" in line)
    assert first.count("teams cannot be read") == 1, first


def test_who_may_change_what(site: Path) -> None:
    code, said = play(site, "policy_info", policy_path=VERSION, policy_field="cluster_kubernetes_version")
    assert code == 0 and "role:cluster-operators" in said and "1 approval" in said, said
    code, said = play(site, "policy_info", policy_person="mona", policy_teams=str(site.parent / "teams.yml"))
    assert code == 0 and "namespace !platform-*,!kube-*" in said and "inventories" not in said, said


def test_a_forge_is_asked_for_teams(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as wire:
        wire.answers["GET /api/v1/orgs/acme/teams"] = listed({"id": 2, "name": "platform"}, {"id": 3, "name": "shop"})
        wire.answers["GET /api/v1/teams/2/members"] = listed({"login": "olga"})
        wire.answers["GET /api/v1/teams/3/members"] = listed({"login": "mona"})
        asked = {"policy_forge": "gitea", "policy_api": f"{wire.url}/api/v1", "policy_project": "acme/site"}
        monkeypatch.delenv("WEFT_FORGE_TOKEN", raising=False)
        code, said = play(site, "policy_info", policy_person="mona", **asked)
        assert code == 2 and "WEFT_FORGE_TOKEN is not set" in said, said
        monkeypatch.setenv("WEFT_FORGE_TOKEN", "s3cret")
        code, said = play(site, "policy_info", "-vvv", policy_person="mona", **asked)
        assert code == 0 and "namespace !platform-*,!kube-*" in said and "inventories/" not in said, said
        assert "s3cret" not in said
        assert {call.headers["authorization"] for call in wire.calls} == {"token s3cret"}
    code, said = play(site, "policy_info", policy_person="mona", policy_teams="x", **asked)
    assert code == 2 and "not by both" in said, said
    code, said = play(site, "policy_info", policy_person="mona", policy_project="acme/site")
    assert code == 2 and "say which forge" in said, said


def test_the_policys_own_tests_pass_and_fail(site: Path) -> None:
    code, said = play(site, "policy_test")
    assert code == 0 and "failed=0" in said, said
    where = site / "policy" / "tests" / "wrong.yml"
    where.write_text(
        "tests: [{name: mona may, change: {file: README.md, after: x}, by: mona, teams: {}, expect: permitted}]\n"
    )
    policy_page.walk("git checkout -q -b wrong && git add . && git commit -q -m wrong && git checkout -q main", site)
    code, said = play(site, "policy_test", "--check", policy_commit="wrong")
    assert code == 2 and "mona may" in said, said

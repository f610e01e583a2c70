# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The commands, as people and servers run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners
from ansible_collections.weft.platform.plugins.plugin_utils._policy.__main__ import main

from tests.unit.policy.engine.test_judge import START
from tests.unit.policy.surroundings.policy_wire import serve
from tests.unit.policy.surroundings.test_forges import listed

TESTS = """\
tests:
  - {name: no upgrade without approval, by: olga, teams: {platform: [olga], shop: []}, expect: prohibited,
     change: {file: inventories/prod/group_vars/all.yml, variable: cluster_kubernetes_version,
              before: "1.36", after: "1.37"}}
  - {name: an upgrade, by: olga, approvals: [otto], teams: {platform: [olga, otto], shop: []}, expect: permitted,
     change: {file: inventories/prod/group_vars/all.yml, variable: cluster_kubernetes_version,
              before: "1.36", after: "1.37"}}
  - {name: nobody changes the readme, by: olga, teams: {platform: [olga], shop: []}, expect: permitted,
     change: {file: README.md, after: x}}
"""


def test_info_check_and_tests(repo: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    base = repo.commit({**START, "policy/tests/a.yml": TESTS}, branch="main")
    head = repo.commit({"apps/shop/web.yaml": START["apps/shop/web.yaml"].replace("a: b", "a: c")}, base)
    teams = tmp_path / "teams.json"
    teams.write_text(json.dumps({"teams": {"shop": ["mona"], "platform": ["olga"]}}))
    place = ["--repository", str(repo.path)]
    common = [*place, "--base", "main", "--head", head, "--teams", str(teams)]
    assert main(["check", *common, "--author", "mona", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["permitted"] is True
    assert main(["check", *common, "--author", "eve"]) == 1
    assert main(["check", *common]) == 2
    capsys.readouterr()
    assert main(["test", *place, "--commit", "main"]) == 1
    assert "FAILED nobody changes the readme" in capsys.readouterr().out
    field = ["--path", "inventories/prod/group_vars/all.yml", "--field", "cluster_kubernetes_version"]
    assert main(["info", *place, "--commit", "main", *field, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["who"] == ["role:cluster-operators"]
    assert any("1 approval" in limit["demands"] for limit in answer["limits"])
    assert main(["info", *place, "--commit", "main", "--person", "mona", "--teams", str(teams)]) == 0
    assert "namespace" in capsys.readouterr().out
    assert main(["nonsense"]) == 2


def test_codeowners(repo: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    base = repo.commit(START, branch="main")
    place = ["codeowners", "--repository", str(repo.path), "--organisation", "acme", "--commit"]
    assert main([*place, base]) == 0
    made = capsys.readouterr().out
    assert _codeowners.parse(made).owners("policy/roles.yml") == ("@acme/platform",)
    assert _codeowners.parse(made).owners("README.md") is None
    assert "# Not said here: " in made
    assert main([*place, base, "--check"]) == 1
    assert "there is no CODEOWNERS" in capsys.readouterr().out
    file = tmp_path / "CODEOWNERS"
    assert main([*place, base, "--output", str(file)]) == 0
    assert file.read_text() == made and capsys.readouterr().out == ""
    assert main([*place, repo.commit({"docs/CODEOWNERS": made}, base), "--check"]) == 0
    assert main([*place, repo.commit({"docs/CODEOWNERS": made + "* @eve\n"}, base), "--check"]) == 1
    assert "docs/CODEOWNERS is not what the rules say" in capsys.readouterr().out
    assert main([*place, repo.commit({"policy/roles.yml": None}, base)]) == 2
    assert "policy/roles.yml" in capsys.readouterr().err


def test_info_asks_a_forge_who_exists(
    repo: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = (
        "rules: [{name: a, change: {file: '**'}, allow: ['team:gone', 'user:ghost', 'user:olga', 'team:platform']}]\n"
    )
    repo.commit({"policy/roles.yml": "roles: {}\n", "policy/rules/a.yml": rules, "README.md": ""}, branch="main")
    place = ["info", "--repository", str(repo.path), "--commit", "main"]
    with serve() as wire:
        wire.answers["GET /api/v1/orgs/acme/teams"] = listed({"id": 1, "name": "Owners"}, {"id": 2, "name": "Platform"})
        wire.answers["GET /api/v1/teams/2/members"] = listed({"login": "otto"})
        wire.answers["GET /api/v1/users/olga"] = {"login": "olga"}
        asked = [*place, "--forge", "gitea", "--api", f"{wire.url}/api/v1", "--project", "acme/site"]
        monkeypatch.delenv("WEFT_FORGE_TOKEN", raising=False)
        assert main(asked) == 2 and "WEFT_FORGE_TOKEN is not set" in capsys.readouterr().err
        monkeypatch.setenv("WEFT_FORGE_TOKEN", "s3cret")
        assert main(asked) == 0
        assert "exist nowhere:\n  team:gone (rule a)\n  user:ghost (rule a)\n" in capsys.readouterr().out
        assert main([*asked, "--person", "otto"]) == 0 and "file **" in capsys.readouterr().out
        assert main([*asked, "--teams", "x"]) == 2 and "not by both" in capsys.readouterr().err
        assert {call.method for call in wire.calls} == {"GET"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_check_that_is_ended_leaves_nothing(repo: Any, tmp_path: Any, number: signal.Signals) -> None:
    base = repo.commit(START, branch="main")
    scratch, programs = tmp_path / "scratch", tmp_path / "programs"
    scratch.mkdir()
    programs.mkdir()
    (programs / "git").write_text('#!/bin/sh\n: > "$0.asked"\nexec sleep 3\n')  # one that does not answer
    (programs / "git").chmod(0o755)
    package = main.__module__.rpartition(".")[0]
    command = [sys.executable, "-m", package, "check", "--repository", str(repo.path), "--base", base, "--head", base]
    own = {"TMPDIR": str(scratch), "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {**os.environ, **own}
    # a shell ignores SIGINT for what it runs in the background, and what it starts inherits that
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command += ["--author", "mona"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, preexec_fn=heed) as process:
        until = time.monotonic() + 30
        while not (programs / "git.asked").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)  # until it waits for the answer
        assert process.poll() is None
        assert any(scratch.iterdir())
        process.send_signal(number)
        assert process.wait(30) in (128 + number, -number)
    assert not any(scratch.iterdir())

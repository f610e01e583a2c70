# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The templates of docs/ci: their commands are ours, their pins are tested, and what they want of a forge is what
docs/policy.md says to give it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.cli.galaxy import GalaxyCLI
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _forge
from ansible_collections.weft.platform.plugins.plugin_utils._policy.__main__ import COMMANDS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import CONTEXT

from tests.unit.policy.surroundings.policy_page import PAGE, ROOT

TEMPLATES = sorted((ROOT / "docs" / "ci").glob("*.yml"))
MODULE = "ansible_collections.weft.platform.plugins.plugin_utils._policy"
#: The library by which each forge is asked.
LIBRARIES = {"github-actions": "PyGithub", "gitlab-ci": "python-gitlab", "gitea-actions": "requests"}

every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)


def parsed(template: Path) -> dict[Any, Any]:
    data: dict[Any, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
    return data


def steps(template: Path) -> list[dict[str, Any]]:
    """The steps of a job of Actions; of GitLab's job one step with all of it."""
    data = parsed(template)
    if "jobs" in data:
        return list(data["jobs"]["policy"]["steps"])
    job = data["policy"]
    return [{"run": "\n".join([*job["before_script"], *job["script"]]), "env": job["variables"]}]


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The words after each call of a program in a script, to the end of its line."""
    for line in text.replace("\\\n", " ").splitlines():
        _before, found, after = line.partition(program)
        if found:
            yield shlex.split(after.lstrip('"'))


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"([A-Za-z_-]+)==([0-9.]+)", text))


@every_template
def test_every_script_is_one(template: Path) -> None:
    for step in steps(template):
        done = subprocess.run(["bash", "-n", "-c", step["run"]], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, (step, done.stderr)


@every_template
def test_every_command_of_ours_is_accepted(template: Path) -> None:
    found = [words for step in steps(template) for words in commands(step["run"], f"-m {MODULE}")]
    assert [words[0] for words in found] == ["forge"] and found[0][0] in COMMANDS
    options = _forge.parser().parse_args(found[0][1:])
    for one in getattr(options, "write", []):
        _forge._output(one)


@every_template
def test_the_collection_is_installed_from_git_by_a_commit(template: Path) -> None:
    found = [words for step in steps(template) for words in commands(step["run"], "ansible-galaxy")]
    (words,) = found
    galaxy = GalaxyCLI(["ansible-galaxy", *words])
    galaxy.init_parser()
    options = galaxy.parser.parse_args(words)
    assert options.args == ["$WEFT"]
    (source,) = {step["env"]["WEFT"] for step in steps(template) if "WEFT" in step.get("env", {})}
    assert re.fullmatch(r"git\+https://your\.forge/weft\.platform\.git,COMMIT", source)
    # where it goes to is where it is imported from
    text = "".join(step["run"] for step in steps(template))
    assert f"PYTHONPATH={options.collections_path}" in text.replace('"', "")


@every_template
def test_libraries_are_pinned_as_they_are_tested(template: Path) -> None:
    known = {**pins((ROOT / "requirements.txt").read_text()), **pins((ROOT / "requirements-forges.txt").read_text())}
    wanted = pins(template.read_text(encoding="utf-8"))
    assert set(wanted) == {"ansible-core", "PyYAML", LIBRARIES[template.stem]}
    assert wanted == {name: known[name] for name in wanted}
    page = pins(PAGE.read_text(encoding="utf-8"))
    assert page == {name: known[name] for name in ("ansible-core", "PyYAML", "requests")}


@every_template
def test_programs_are_those_that_are_tested(template: Path) -> None:
    text, page = template.read_text(encoding="utf-8"), PAGE.read_text(encoding="utf-8")
    for name, module in (
        ("opa", "github.com/open-policy-agent/opa"),
        ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
        ("helm", "helm.sh/helm/v4"),
    ):
        pinned = (ROOT / "tests" / "tools" / name / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"{re.escape(module)} v([0-9.]+)", pinned)
        assert found is not None
        (address,) = re.findall(rf"install_program {name} .*\\\n\s+(\S+)", text)
        assert found[1] in address and not set(re.findall(r"v([0-9]+\.[0-9]+\.[0-9]+)", address)) - {found[1]}
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"| {found[1]} | `WEFT_{name.upper()}` |" in row


@every_template
def test_a_program_is_installed_by_its_digest_or_not_at_all(template: Path, tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps(template) if "install_program()" in step["run"]]
    start, end = script.index("mkdir -p"), script.index("get.helm.sh/helm")
    script = script[start : script.index("\n", end) + 1]
    release = tmp_path / "release" / "linux-amd64"
    release.mkdir(parents=True)
    (release / "helm").write_text("#!/bin/sh\necho helm\n")
    (release / "README.md").write_text("x")
    subprocess.run(["tar", "-czf", str(tmp_path / "archive"), "-C", str(release.parent), "linux-amd64"], check=True)
    (tmp_path / "plain").write_text("#!/bin/sh\necho opa\n")
    # curl -fsSL -o WHERE ADDRESS
    fake = tmp_path / "bin" / "curl"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\ncase "$4" in *.tar.gz) from=archive ;; *) from=plain ;; esac\ncp {tmp_path}/$from "$3"\n'
    )
    fake.chmod(0o755)

    def run(**digests: str) -> tuple[int, list[str]]:
        programs = tmp_path / "programs"
        subprocess.run(["rm", "-rf", str(programs)], check=True)
        names = ("OPA_SHA256", "KUSTOMIZE_SHA256", "HELM_SHA256")
        env = {"PATH": f"{fake.parent}:/usr/bin:/bin", "PROGRAMS": str(programs), **dict.fromkeys(names, ""), **digests}
        done = subprocess.run(["bash", "-e", "-c", script], env=env, capture_output=True, check=False)
        return done.returncode, sorted(one.name for one in programs.iterdir() if one.stat().st_mode & 0o100)

    digest = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("plain", "archive")}
    assert run() == (0, [])
    assert run(OPA_SHA256=digest["plain"], HELM_SHA256=digest["archive"]) == (0, ["helm", "opa"])
    code, installed = run(HELM_SHA256=digest["plain"])
    assert code != 0 and installed == []


@every_template
def test_its_secret_is_the_one_that_the_page_gives(template: Path) -> None:
    text, page = template.read_text(encoding="utf-8"), PAGE.read_text(encoding="utf-8")
    # GitLab's job gets its variables without naming them
    named = set(re.findall(r"secrets\.(\w+)", text)) | set(re.findall(r"# (WEFT_\w+): a masked variable", text))
    assert named == {"WEFT_FORGE_TOKEN"}
    for command in ("actions/secrets/{}", "gh secret set {}", "key={}"):
        assert command.format("WEFT_FORGE_TOKEN") in page


def test_what_the_page_has_a_forge_require_is_our_status() -> None:
    page = PAGE.read_text(encoding="utf-8")
    ruleset = json.loads(page[page.index("--input - <<'EOF'\n") + 18 : page.index("\nEOF\n", page.index("--input -"))])
    (checks,) = [rule["parameters"] for rule in ruleset["rules"] if rule["type"] == "required_status_checks"]
    assert [one["context"] for one in checks["required_status_checks"]] == [CONTEXT]
    assert {rule["type"] for rule in ruleset["rules"]} >= {"deletion", "non_fast_forward", "pull_request"}
    assert f'"status_check_contexts": ["{CONTEXT}"]' in page
    assert set(re.findall(r"`(weft/\w+)`", page)) == {CONTEXT}


@every_template
def test_nothing_of_a_pull_request_becomes_code(template: Path) -> None:
    """Values come into scripts as variables, the token only where it is needed, and no action of others is used."""
    for step in steps(template):
        assert "uses" not in step and "${{" not in step["run"], step
    if template.stem == "gitlab-ci":
        return
    with_token = [step["name"] for step in steps(template) if "secrets." in str(step.get("env"))]
    assert (
        with_token
        == {
            "github-actions": ["Judge"],
            "gitea-actions": ["Fetch base and head, check out neither", "Judge"],
        }[template.stem]
    )


def test_the_job_on_github_may_read_and_no_more() -> None:
    (template,) = [path for path in TEMPLATES if path.stem == "github-actions"]
    assert parsed(template)["permissions"] == {"contents": "read"}


def test_the_job_on_gitlab_asks_the_server_that_runs_it() -> None:
    (template,) = [path for path in TEMPLATES if path.stem == "gitlab-ci"]
    script = next(line for line in parsed(template)["policy"]["script"] if "git fetch" in line)
    env = {"CI_SERVER_PROTOCOL": "http", "CI_SERVER_HOST": "git.example.org", "CI_SERVER_PORT": "8080"}
    env |= {"CI_JOB_TOKEN": "t", "CI_MERGE_REQUEST_PROJECT_PATH": "acme/site", "CI_MERGE_REQUEST_IID": "7"}
    words = ["bash", "-c", f'git() {{ printf "%s\\n" "$@"; }}\n{script}']
    shown = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "http://gitlab-ci-token:t@git.example.org:8080/acme/site.git" in shown
    assert "+refs/merge-requests/7/head:refs/weft/pull" in shown


def test_the_job_on_github_runs_on_every_event_that_is_understood() -> None:
    (template,) = [path for path in TEMPLATES if path.stem == "github-actions"]
    # to YAML 1.1 the word on is true
    events = parsed(template)[True]
    assert set(events) == {"pull_request_target", "pull_request_review", "issue_comment", "merge_group"}
    fetch = steps(template)[0]
    script = fetch["run"][fetch["run"].index("NUMBER=") :].splitlines()[0] + '\necho "$NUMBER"'
    for number, queued, wanted in (
        ("7", "", "7"),
        ("", f"refs/heads/gh-readonly-queue/release/pr-1-x/pr-42-{'a' * 40}", "42"),
    ):
        env = {"PATH": "/usr/bin:/bin", "NUMBER": number, "QUEUED": queued}
        done = subprocess.run(["bash", "-e", "-c", script], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, wanted)

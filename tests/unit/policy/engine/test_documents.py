# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Rules in Rego about the documents of files, as conftest has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _documents
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge, judge_everything
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    ERROR,
    PROHIBIT,
    Finding,
    Person,
    Request,
    Verdict,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
REGO = """\
package main
deny contains {"msg": sprintf("%v is latest", [name]), "path": ["images", name]} if {
  some name, image in input.images
  endswith(image, ":latest")
}
deny_owner contains "nobody owns it" if not input.owner
deny_tasks contains "no shell" if input.shell
"""
RULES = """\
rules:
  - {name: all may, change: {file: "**"}, allow: anyone}
  - name: documents
    require: {file: %s, document: true, rego: policy/rego/a.rego}
"""
GOOD = "# who and what\n---\nowner: shop\nimages:\n  web: web:1\n"


class Bench:
    """Judges changes of one starting point."""

    def __init__(self, repo: Any, file: str = '"ci/*.yml"', rego: str = REGO, more: str = "", **files: Any) -> None:
        start = {
            "policy/roles.yml": "roles: {r: {members: anyone}}\n",
            "policy/rules/a.yml": RULES % file + more,
            "policy/rego/a.rego": rego,
            "README.md": "hello\n",
            **files.pop("files", {}),
        }
        self.repo = repo
        self.base = repo.commit(start, branch="main")

    def ask(self, change: Mapping[str, Any]) -> Verdict:
        head = self.repo.commit(change, self.base, author="mona")
        return judge(Request(self.base, head, "main", Person("mona")), self.repo.path, now=NOW)


def said(verdict: Verdict) -> list[tuple[str, str]]:
    """Place and message of what the rule says."""
    return [(str(one.origin), one.message) for one in verdict.findings if one.rule == "documents"]


def errors(verdict: Verdict) -> list[Finding]:
    return [one for one in verdict.findings if one.kind == ERROR]


@pytest.mark.usefixtures("opa")
class TestDocuments:
    def test_a_file_that_is_good_passes(self, repo: Any) -> None:
        verdict = Bench(repo).ask({"ci/a.yml": GOOD})
        assert verdict.permitted and said(verdict) == []

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (GOOD.replace("web:1", "web:latest"), [("ci/a.yml:5", "web is latest")]),
            (GOOD + "---\nowner: ''\n---\nimages: {a: 'a:latest'}\nowner: x\n", [("ci/a.yml:9", "a is latest")]),
            ("images: {}\n", [("ci/a.yml:1", "nobody owns it")]),
            (
                "- owner: x\n- shell: rm\n  owner: y\n- a: b\n",
                [("ci/a.yml:2", "no shell"), ("ci/a.yml:4", "nobody owns it")],
            ),
            ("", [("ci/a.yml:1", "nobody owns it")]),
            ("# nothing\n", [("ci/a.yml:1", "nobody owns it")]),
            ("owner: x\n---\n", [("ci/a.yml:3", "nobody owns it")]),
            ('{"images": {"b": "b:latest"}, "owner": "x"}', [("ci/a.yml:1", "b is latest")]),
            ("just a text\n", [("ci/a.yml:1", "nobody owns it")]),
        ],
    )
    def test_each_document_is_judged(self, repo: Any, text: str, found: list[tuple[str, str]]) -> None:
        verdict = Bench(repo).ask({"ci/a.yml": text})
        assert said(verdict) == found
        assert not verdict.permitted and verdict.judged

    def test_objects_are_documents_too(self, repo: Any) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
        assert [message for _place, message in said(Bench(repo).ask({"ci/a.yml": text}))] == ["nobody owns it"]

    def test_files_that_are_not_meant_do_not_change_or_go_are_not_judged(self, repo: Any) -> None:
        bench = Bench(repo, files={"ci/old.yml": "a: 1\n"})
        assert said(bench.ask({"other/a.yml": "a: 1\n", "ci/b.yaml": "a: 1\n"})) == []
        assert said(bench.ask({"ci/old.yml": None})) == []
        assert said(bench.ask({"ci/old.yml": ("100755", b"a: 1\n")})) == []

    def test_what_was_there_before_is_told_and_does_not_prohibit(self, repo: Any) -> None:
        start = GOOD.replace("web:1", "web:latest")
        bench = Bench(repo, files={"ci/a.yml": start})
        verdict = bench.ask({"ci/a.yml": start + "more: 1\n"})
        assert [(one.message, one.new, one.severity) for one in verdict.findings] == [("web is latest", False, "warn")]
        assert verdict.permitted
        worse = bench.ask({"ci/a.yml": start.replace("web:latest", "other:latest")})
        assert [one.new for one in worse.findings] == [True]
        assert not worse.permitted
        assert (
            not Bench(repo, more="    existing: prohibit\n", files={"ci/a.yml": start})
            .ask({"ci/a.yml": start + "more: 1\n"})
            .permitted
        )

    def test_the_file_is_named(self, repo: Any) -> None:
        rego = (
            'package main\ndeny contains msg if msg := sprintf("%s in %s", [data.conftest.file.name, '
            "data.conftest.file.dir])"
        )
        bench = Bench(repo, '"**/*.yml"', rego)
        verdict = bench.ask({"ci/deep/a.yml": "a: 1\n", "b.yml": "a: 1\n"})
        assert [message for _place, message in said(verdict)] == ["b.yml in .", "a.yml in ci/deep"]

    def test_what_else_is_below_conftest_is_nowhere(self, repo: Any) -> None:
        rego = 'package main\ndeny contains "x" if data.conftest.files.name'
        (only,) = errors(Bench(repo, rego=rego).ask({"ci/a.yml": "a: 1\n"}))
        assert "data.conftest.files.name is in none of" in only.message

    def test_packages_below_conftest_are_seen(self, repo: Any) -> None:
        rego = {
            "policy/rego/a.rego": "package main\ndeny contains data.conftest.lib.word if data.conftest.file.name",
            "policy/rego/b.rego": 'package conftest.lib\nword := "found"',
        }
        rules = RULES % '"ci/*.yml"'
        rules = rules.replace("policy/rego/a.rego", "[policy/rego/a.rego, policy/rego/b.rego]")
        verdict = Bench(repo, files={**rego, "policy/rules/a.yml": rules}).ask({"ci/a.yml": "a: 1\n"})
        assert said(verdict) == [("ci/a.yml:1", "found")]

    @pytest.mark.parametrize(
        ("text", "place", "message"),
        [
            ("a: [\n", "ci/a.yml:2", "is not YAML"),
            ("a: {{ b }}\n", "ci/a.yml:1", "a key must be"),
            ("a: 1\na: 2\n", "ci/a.yml:2", "is there already, at line 1"),
            (b"owner: x\n\xff", "ci/a.yml:2", "UTF-8"),
            ("a: .inf\n", "ci/a.yml:1", "JSON"),
            ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "ci/a.yml", "it is encrypted"),
            (("120000", "../../etc/passwd"), "ci/a.yml", "leads nowhere"),
            (("120000", "none.yml"), "ci/a.yml", "leads nowhere"),
        ],
    )
    def test_what_cannot_be_read_prohibits(self, repo: Any, text: Any, place: str, message: str) -> None:
        verdict = Bench(repo).ask({"ci/a.yml": text})
        found = [one for one in errors(verdict) if one.rule == "documents"]
        assert {str(one.origin) for one in found} == {place}
        (own,) = [one for one in found if one.message.startswith("it cannot be judged as a document: ")]
        assert message in own.message and own.severity == PROHIBIT and not verdict.permitted

    def test_what_could_not_be_read_before_is_no_excuse(self, repo: Any) -> None:
        bench = Bench(repo, files={"ci/a.yml": "a: [\n"})
        assert not bench.ask({"ci/a.yml": "a: [ \n"}).permitted
        assert said(bench.ask({"ci/a.yml": "a: 1\n"})) == [("ci/a.yml:1", "nobody owns it")]

    @pytest.mark.parametrize(
        "rego",
        [
            "package main\ndeny contains 1 if {",
            'package main\ndeny contains "x" if to_number(input.owner) > 1',
            'package main\ndeny := "a" if true\ndeny := "b" if true',
            'package main\nx := "a"',
        ],
    )
    def test_a_policy_that_errs_prohibits(self, repo: Any, rego: str) -> None:
        verdict = Bench(repo, rego=rego).ask({"ci/a.yml": GOOD})
        assert [one.severity for one in errors(verdict)] == [PROHIBIT]

    def test_a_file_behind_a_link_is_the_file_that_it_leads_to(self, repo: Any) -> None:
        bench = Bench(repo, files={"ci/a.yml": ("120000", "../real.yml"), "real.yml": GOOD, "there.yml": "a: 1\n"})
        bad = {"real.yml": GOOD.replace("web:1", "web:latest")}
        assert said(bench.ask(bad)) == [("ci/a.yml:5", "web is latest")]
        assert said(bench.ask({"ci/a.yml": ("120000", "../there.yml")})) == [("ci/a.yml:1", "nobody owns it")]
        assert said(bench.ask({"ci/b.yml": ("120000", "../there.yml")})) == [("ci/b.yml:1", "nobody owns it")]
        bench = Bench(repo, files={"ci": ("120000", "real"), "real/a.yml": GOOD})
        assert said(bench.ask({"real/a.yml": bad["real.yml"]})) == [("ci/a.yml:5", "web is latest")]

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"d/x.yml": "a: 1\n"}, [("ci/c/x.yml:1", "nobody owns it")]),
            ({"d/y.yml": "a: 1\n"}, [("ci/f.yml:1", "nobody owns it"), ("ci/c/y.yml:1", "nobody owns it")]),
            ({"e/x.yml": "a: 1\n"}, []),
        ],
    )
    def test_links_behind_links(self, repo: Any, change: Mapping[str, Any], found: list[tuple[str, str]]) -> None:
        links = {"ci": ("120000", "b"), "b/c": ("120000", "../d"), "b/f.yml": ("120000", "../d/y.yml")}
        start = {**links, "b/k.yml": GOOD, "d/x.yml": GOOD, "d/y.yml": GOOD, "e/x.yml": GOOD, "e/self": ("120000", ".")}
        assert sorted(said(Bench(repo, '"ci/**"', files=start).ask(change))) == sorted(found)

    @pytest.mark.parametrize("settings", ["{}", "plain: ['ci/**', 'b/**']"])
    def test_a_link_that_is_turned_behind_a_link(self, repo: Any, settings: str) -> None:
        start = {
            "ci": ("120000", "b"),
            "b/c": ("120000", "../d"),
            "b/k.yml": GOOD,
            "d/x.yml": GOOD,
            "e/x.yml": "a: 1\n",
        }
        verdict = Bench(repo, '"ci/**"', files={**start, "policy/settings.yml": settings}).ask(
            {"b/c": ("120000", "../e")}
        )
        assert "what it brings cannot be looked at" in {one.message.partition(":")[0] for one in errors(verdict)}

    @pytest.mark.parametrize("what", [("160000", "2" * 40), ("120000", "two")])
    def test_a_link_to_what_is_turned(self, repo: Any, what: tuple[str, str]) -> None:
        start = {
            "ci/s": ("120000", "../mods/s"),
            "mods/s": ("120000", "one"),
            "mods/one/a.yml": GOOD,
            "mods/two/a.yml": "a: 1\n",
        }
        verdict = Bench(repo, '"ci/**"', files=start).ask({"mods/s": what})
        assert "what it brings cannot be looked at" in {one.message.partition(":")[0] for one in errors(verdict)}

    def test_links_that_have_nothing_to_do_with_a_change(self, repo: Any) -> None:
        packages = {f"p/{i}/n/{j}": ("120000", f"../../{j}") for i in range(12) for j in range(i)}
        loops = {"x/l": ("120000", "../y"), "y/m": ("120000", "../x")}
        bench = Bench(repo, '"ci/**"', files={**packages, **loops, "p/0/a.yml": GOOD})
        assert bench.ask({"README.md": "other\n"}).permitted

    def test_links_without_end(self, repo: Any) -> None:
        start = {"ci/l": ("120000", "../b"), "b/m": ("120000", "../ci"), "b/x.yml": GOOD}
        verdict = Bench(repo, '"ci/**"', files=start).ask({"b/x.yml": GOOD + "a: 1\n"})
        assert not verdict.permitted and "they may have no end" in verdict.findings[0].message

    @pytest.mark.parametrize("what", [("160000", "1" * 40), ("120000", "docs")])
    def test_what_lies_below_a_submodule_or_a_link_prohibits(self, repo: Any, what: tuple[str, str]) -> None:
        bench = Bench(repo, files={"docs/a.yml": "a: 1\n"})
        verdict = bench.ask({"ci": what})
        assert "documents" in {one.rule for one in errors(verdict)}
        assert Bench(repo, '"other/*.yml"', files={"docs/a.yml": "a: 1\n"}).ask({"ci": ("120000", "docs")}).permitted

    def test_change_and_environment_select(self, repo: Any) -> None:
        more = "    change: {environment: prod, action: added}\n"
        bench = Bench(repo, '"**/*.yml"', more=more, files={"apps/prod/old.yml": "a: 1\n"})
        bad = {"apps/prod/a.yml": "a: 1\n", "apps/prod/old.yml": "a: 2\n", "apps/dev/a.yml": "a: 1\n"}
        assert said(bench.ask(bad)) == [("apps/prod/a.yml:1", "nobody owns it")]

    def test_exceptions_excuse(self, repo: Any) -> None:
        until = "{until: 2026-06-30, approved_by: 'user:otto', reason: old, change: {file: 'ci/old*'}}"
        bench = Bench(repo, more=f"    exceptions: [{until}]\n")
        verdict = bench.ask({"ci/old.yml": "a: 1\n", "ci/new.yml": "a: 1\n"})
        prohibits = [str(one.origin) for one in verdict.findings if one.prohibits]
        assert prohibits == ["ci/new.yml:1"]

    def test_variables_of_inventories_are_files_too(self, repo: Any) -> None:
        file = "inventories/prod/group_vars/all.yml"
        start = {file: "owner: shop\n", "inventories/prod/hosts.yml": "all: {hosts: {a: }}\n"}
        bench = Bench(repo, '"inventories/**/*.yml"', files=start)
        verdict = bench.ask({file: "images: {web: 'x:latest'}\nowner: shop\n"})
        assert said(verdict) == [(f"{file}:1", "web is latest")]

    def test_everything_is_judged_at_once(self, repo: Any) -> None:
        bench = Bench(repo, files={"ci/a.yml": "a: 1\n"})
        verdict = judge_everything(bench.base, repo.path, now=NOW)
        assert said(verdict) == [("ci/a.yml:1", "nobody owns it")]


@pytest.mark.parametrize(
    "text",
    ["a: y\n", "a: 1e3\n", "a: 1:30\n", "a: 1\n<<: {a: 2}\n", "a: 0o17\n", "a: !custom x\n", "a: !!binary YQ==\n"],
)
def test_what_is_not_the_same_to_ansible_is_not_judged(text: str) -> None:
    with pytest.raises(_documents.DocumentError):
        _documents.read(text.encode(), "inventories/a/group_vars/all.yml", True)
    assert len(_documents.read(text.encode(), "ci/a.yml", False)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: yes\nb: [1, 1.5, ~, text]\non: 1\n2: x\n",
        "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\nb: !unsafe '{{ x }}'\n",
        "x: &x {a: 1}\nz: {<<: *x, b: 2}\n",
        "b: 1\na: '1:30'\n",
        "",
    ],
)
def test_what_is_the_same_to_ansible_is_judged(text: str) -> None:
    assert len(_documents.read(text.encode(), "inventories/a/group_vars/all.yml", True)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('// x\n{"a":1}', "it is not JSON"),
        ('{"a": 1,}', "it is not JSON"),
        ("a: 1", "it is not JSON"),
        ("", "it is not JSON"),
        ('{"a": 1e400}', "as JSON than as YAML"),
        ('{"a": NaN}', "as JSON than as YAML"),
        ('{"a": 1, "a": 2}', "is there already, at line 1"),
        ("[" * 5000 + "]" * 5000, "levels"),
    ],
)
def test_json_must_be_json(text: str, message: str) -> None:
    with pytest.raises(_documents.DocumentError, match=message):
        _documents.read(text.encode(), "a.json", False)


@pytest.mark.parametrize("name", ["README.md", "a.toml", "Dockerfile", "inventories/a/hosts", "a.yml.j2", "group_vars"])
def test_only_yaml_and_json_by_their_names_are_documents(name: str) -> None:
    """To others, a text is what their own parsers make of it, not the one string that it may be in YAML."""
    with pytest.raises(_documents.DocumentError, match="by its name"):
        _documents.read(b"a = 1\n", name, False)
    assert len(_documents.read(b"a: 1\n", "inventories/a/host_vars/one.example.org", True)) == 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("- 1\n- 2\n", [1, 2]),
        ("---\n- 1\n- 2\n", [1, 2]),
        ("# a\n---\n- 1\n- 2\n", [[1, 2]]),
        ("- 1\n---\n- 2\n", [[1], [2]]),
        ("%YAML 1.1\n---\n- 1\n- 2\n", [1, 2]),
        ("# a\r\n---\r\n- 1\r\n", [[1]]),
        ("- 1\n--- # x\n- 2\n", [[1], [2]]),
        ("[]", []),
    ],
)
def test_lists_are_taken_apart_where_conftest_does(text: str, values: list[Any]) -> None:
    assert [one.object for one in _documents.read(text.encode(), "a.yml", False)] == values


def test_ansible_reads_what_lies_where_it_looks() -> None:
    layout = Layout(inventories="hosts")
    meant = ["hosts/a/x.yml", "playbooks/a.yml", "x/roles/y/tasks/main.yml", "site/group_vars/all.yml", "host_vars/a"]
    assert all(_documents.is_of_ansible(path, layout) for path in meant)
    assert not any(_documents.is_of_ansible(path, layout) for path in ("ci/a.yml", "apps/values.yaml", "roles.yml"))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Two trees become what the change does, and nothing slips through."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _process
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob, Patterns
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Entry,
    GitError,
    Limits,
    Rendered,
    RenderError,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._objects import parse
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import (
    Manifests,
    Understanding,
    holding,
    understand,
)
from ansible_collections.weft.platform.plugins.plugin_utils._yaml import YamlError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def deployment(name: str = "web", image: str = "a:1", namespace: str = "shop", **labels: str) -> str:
    lines = [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        f"  name: {name}",
        f"  namespace: {namespace}",
        f"  labels: {labels or {'team': 'shop'}}",
        "spec:",
        "  template:",
        "    spec:",
        "      containers:",
        "        - name: main",
        f"          image: {image}",
    ]
    return "\n".join(lines) + "\n"


def understood(
    repo: Any,
    start: Mapping[str, Any],
    change: Mapping[str, Any],
    layout: Layout = Layout(),  # noqa: B008 - a value that cannot change
    limits: Limits = Limits(),  # noqa: B008
    renderer: Any = None,
) -> Understanding:
    base = repo.commit({"README.md": "x", **start})
    head = repo.commit(change, base)
    with Repository(repo.path, base, limits) as repository:
        merge = repository.merge(base, head, base)
        deadline = time.monotonic() + 60
        return understand(merge.before, merge.after, repository.changed(merge), layout, limits, deadline, renderer)


def said(found: Understanding) -> list[tuple[Any, ...]]:
    return [
        (
            str(change.subject),
            change.action,
            change.field,
            change.before if change.field else "",
            change.after if change.field else "",
        )
        for effect in found.effects
        for change in effect.changes
    ]


IMAGE = ("spec", "template", "spec", "containers", "[name=main]", "image")


class TestObjects:
    def test_a_field_with_its_values_and_place(self, repo: Any) -> None:
        found = understood(
            repo, {"apps/web.yaml": deployment()}, {"apps/web.yaml": "# new\n---\n" + deployment(image="a:2")}
        )
        assert said(found) == [("Deployment.apps:shop/web", "changed", IMAGE, "a:1", "a:2")]
        (effect,) = found.effects
        assert str(effect.changes[0].origin) == "apps/web.yaml:14"
        assert effect.files == ("apps/web.yaml",) and effect.labels == ((("team", "shop"),),)
        assert found.findings == () and len(found.objects) == 1

    def test_added_and_removed(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": deployment("one")}, {"a.yaml": deployment("two")})
        assert said(found) == [
            ("Deployment.apps:shop/one", "removed", (), "", ""),
            ("Deployment.apps:shop/two", "added", (), "", ""),
        ]
        assert [change.origin and change.origin.line for effect in found.effects for change in effect.changes] == [0, 1]

    @pytest.mark.parametrize(
        "text",
        [
            "# comment\n" + deployment(),
            "---\n---\n" + deployment() + "---\n",
            deployment().replace("kind: Deployment", "kind:   'Deployment'"),
            '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"team": "shop"},'
            ' "namespace": "shop", "name": "web"}, "spec": {"template": {"spec": {"containers":'
            ' [{"image": "a:1", "name": "main"}]}}}}',
            "apiVersion: v1\nkind: List\nitems:\n- " + deployment().strip().replace("\n", "\n  ") + "\n",
        ],
    )
    def test_reformatted_files_are_no_change(self, repo: Any, text: str) -> None:
        found = understood(repo, {"a.yaml": deployment()}, {"a.yaml": text})
        assert found.effects == () and found.findings == () and found.quiet == ()

    def test_a_moved_file_is_no_change_but_a_move(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": deployment()}, {"a.yaml": None, "b/c.yaml": deployment()})
        assert found.effects == () and found.findings == ()
        (move,) = found.quiet
        assert (move.before, move.after) == (("a.yaml",), ("b/c.yaml",))
        assert [(effect.action, effect.files) for effect in move.effects] == [
            ("removed", ("a.yaml",)),
            ("added", ("b/c.yaml",)),
        ]

    def test_a_move_with_a_change_belongs_to_both_files(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": deployment()}, {"a.yaml": None, "b.yaml": deployment(image="b:1")})
        (effect,) = found.effects
        assert effect.files == ("a.yaml", "b.yaml") and len(effect.changes) == 1

    def test_a_move_to_another_environment_is_a_change(self, repo: Any) -> None:
        found = understood(
            repo, {"apps/dev/a.yaml": deployment()}, {"apps/dev/a.yaml": None, "apps/prod/a.yaml": deployment()}
        )
        assert [(effect.action, effect.environment) for effect in found.effects] == [
            ("removed", "dev"),
            ("added", "prod"),
        ]

    def test_many_documents_are_told_apart_by_identity_not_by_order(self, repo: Any) -> None:
        one, two, three = deployment("one"), deployment("two"), deployment("three")
        found = understood(repo, {"a.yaml": one + "---\n" + two}, {"a.yaml": two + "---\n" + three + "---\n" + one})
        assert said(found) == [("Deployment.apps:shop/three", "added", (), "", "")]

    def test_the_same_name_with_another_namespace_or_group_is_another_object(self, repo: Any) -> None:
        text = deployment()
        found = understood(repo, {"a.yaml": text}, {"a.yaml": text.replace("namespace: shop", "namespace: other")})
        assert {effect.action for effect in found.effects} == {"added", "removed"}
        found = understood(repo, {"b.yaml": text}, {"b.yaml": text.replace("apps/v1", "apps/v2")})
        assert said(found) == [("Deployment.apps:shop/web", "changed", ("apiVersion",), "apps/v1", "apps/v2")]

    def test_labels_of_both_sides_are_kept(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": deployment(team="a")}, {"a.yaml": deployment(team="b")})
        assert found.effects[0].labels == ((("team", "a"),), (("team", "b"),))

    def test_secrets_are_hidden(self, repo: Any) -> None:
        text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: %s}\n"
        found = understood(
            repo,
            {"a.yaml": text % "YQ=="},
            {"a.yaml": text % "Yg==", "b.yaml": (text % "Yg==").replace(": s}", ": t}")},
        )
        assert all(change.secret for effect in found.effects for change in effect.changes)
        assert "Yg==" not in str([change.to_json() for effect in found.effects for change in effect.changes])

    def test_typed_lists_tell_the_kind_of_their_items(self, repo: Any) -> None:
        text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a, namespace: b}\n  data: {x: z}\n"
        found = understood(repo, {}, {"a.yaml": text})
        assert said(found) == [("ConfigMap:b/a", "added", (), "", "")]

    def test_the_same_object_twice_in_what_changes(self, repo: Any) -> None:
        twice = deployment() + "---\n" + deployment(image="x:1")
        found = understood(repo, {"a.yaml": deployment()}, {"a.yaml": twice})
        assert said(found) == [("Deployment.apps:shop/web", "added", (), "", "")]
        gone = understood(repo, {"b.yaml": twice}, {"b.yaml": deployment(image="x:1")})
        assert said(gone) == [("Deployment.apps:shop/web", "removed", (), "", "")]

    @pytest.mark.parametrize("letter", ["\\x56", "\\u0056", "\\U00000056", "\\\n   V", "\\\r\n V"])
    def test_an_escape_does_not_hide_an_object_in_json(self, repo: Any, letter: str) -> None:
        text = deployment().replace("apiVersion:", f'? "api{letter}ersion"\n:')
        found = understood(repo, {}, {"a.json": text})
        assert said(found) == said(understood(repo, {}, {"a.json": deployment()}))

    def test_an_encoding_does_not_hide_an_object_in_json(self, repo: Any) -> None:
        found = understood(repo, {}, {"a.json": deployment().encode("utf-16")})
        assert ["UTF-8" in finding.message and finding.prohibits for finding in found.findings] == [True]


HIDDEN = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}'


class TestReadersDisagree:
    """Texts of which kubectl or Kustomize see something else; every one was held beside them."""

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            (f"# a\n---#\n{HIDDEN}\n", 2),
            (f"text\n---\u00a0\n{HIDDEN}\n", 2),
            (f"--- {HIDDEN}\n", 1),
            (f"\ufeff--- {HIDDEN}\n", 1),
            (f"{deployment()}\r---\r{HIDDEN}\n", 13),
            (f"{deployment()}\u2028---\n{HIDDEN}\n", 13),
            (f"{deployment()}\u0085---\n{HIDDEN}\n", 13),
            (f"{deployment()}--- # a\u2028a: 1\n", 13),
            (f"{deployment()}--- # a\rb: 1\n", 13),
            (f"\u00a0{HIDDEN}\n", 1),
            (f"\n\u2028 \u3000{HIDDEN}\n", 1),
            (HIDDEN[:-1] + ',"a":"x \u2028 y"}\n', 1),
            ('{"a":"\u0085",\n"kin\\x64":1}', 1),
        ],
    )
    def test_what_is_parted_otherwise_cannot_be_read(self, text: str, line: int) -> None:
        with pytest.raises(YamlError) as caught:
            parse(text.encode(), "a.yaml", "")
        assert caught.value.line == line

    @pytest.mark.parametrize(
        "separator",
        ["---\n", "--- \t\n", "---\r\n", "--- # größe\n", "---\t# x\r\n", "...\n---\n", "---\n---\n", "# ---\n---\n"],
    )
    def test_what_is_parted_alike_is_read(self, separator: str) -> None:
        start = separator.removeprefix("...\n")
        text = f"\ufeff{start}{deployment('a')}{separator}{deployment('b')}    x: |\n        ---#\n---"
        assert [one.object["metadata"]["name"] for one in parse(text.encode(), "a.yaml", "").objects] == ["a", "b"]

    def test_what_holds_no_object_is_parted_as_it_likes(self) -> None:
        assert parse(b"--- text\n--- {a: 1}\n", "a.yaml", "").foreign

    @pytest.mark.parametrize(
        "text", ["{!!binary YXBpVmVyc2lvbg==: v1, %s}", "{!<tag:yaml.org,2002:binary> YXBpVmVyc2lvbg==: v1, %s}"]
    )
    def test_json_may_name_its_version_in_disguise(self, text: str) -> None:
        found = parse((text % "kind: Pod, metadata: {name: p}").encode(), "a.json", "").objects
        assert [one.subject.type for one in found] == ["Pod"]

    def test_json_that_yaml_does_not_know_holds_no_object(self) -> None:
        """Dashboards are written so: pairs of surrogates, tabs."""
        dashboard = rb'{"title": "\ud83d\ude00",%s"panels": [{"apiVersions": "v1"}]}'
        assert parse(dashboard % b"\n\t", "a.json", "") == ((), True, (), ())
        with pytest.raises(YamlError):
            parse(dashboard % rb'"\u0061piVersion": "v1",', "a.json", "")

    def test_an_empty_list_is_no_object(self) -> None:
        for items in ("null", "[]"):
            text = f"apiVersion: v1\nkind: List\nitems: {items}\n"
            assert parse(text.encode(), "a.yaml", "")[:2] == ((), True)

    @pytest.mark.parametrize("items", ["null", "[]", "[{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]"])
    def test_an_object_with_items_is_a_list_to_some_only(self, repo: Any, items: str) -> None:
        """Flux applies the object itself, as Kustomize reads it; kubectl its items."""
        found = understood(repo, {}, {"a.yaml": f"{deployment()}items: {items}\n"})
        (finding,) = found.findings
        assert (finding.rule, finding.severity, finding.new) == ("yaml", "prohibit", True)
        assert str(finding.origin) == "a.yaml:13" and "Kustomize" in finding.message
        assert [effect.opaque for effect in found.effects] == [True]
        assert not understood(repo, {}, {"a.yaml": f"items: {items}\nkind: Deployment\n"}).findings

    @pytest.mark.parametrize("line", ["  paused: off\n", "  paused: true\n  <<: {paused: false}\n", "  on: 1\n"])
    def test_what_is_disputed_prohibits_also_where_it_was_there(self, repo: Any, line: str) -> None:
        old, new = (deployment(image=image).replace("spec:\n", f"spec:\n{line}", 1) for image in ("a:1", "b:1"))
        for start in ({}, {"a.yaml": old}):
            found = understood(repo, start, {"a.yaml": new})
            (finding,) = found.findings
            assert (finding.rule, finding.severity, finding.new) == ("yaml", "prohibit", True)
            assert str(finding.origin) == f"a.yaml:{9 if '<<' in line else 8}" and "Kustomize" in finding.message
            assert [effect.opaque for effect in found.effects if effect.type == "path"] == [True]
            assert [one.effect.action for one in found.objects] == ["changed" if start else "added"]

    def test_what_no_object_says_is_not_disputed(self, repo: Any) -> None:
        found = understood(repo, {}, {"a.yaml": "on: push\na: yes\n---\n" + deployment()})
        assert not found.findings and len(found.objects) == 1


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "before", "after"),
        [
            ("docs/x.md", "1", "2"),
            ("docs/x.md", None, "2"),
            ("docs/x.md", "1", None),
            ("values.yaml", "a: 1", "a: 2"),
            ("values.yaml", "a: 1", "a:  1"),
            ("package.json", '{"a": 1}', '{"a": 2}'),
            ("a.yaml", deployment(), ("100755", deployment())),
            ("run.sh", "1", ("100755", "1")),
            ("policy/roles.yml", "a: 1", "a:  1"),
            (
                "kubeadm.yaml",
                "apiVersion: x/v1\nkind: ClusterConfiguration\n",
                "apiVersion: x/v1\nkind: ClusterConfiguration\na: 1",
            ),
            ("inventories/prod/lock.yml", "a: 1", "a: 2"),
            ("empty.yaml", None, ""),
        ],
    )
    def test_what_is_not_understood_is_a_change_of_the_path(
        self, repo: Any, path: str, before: Any, after: Any
    ) -> None:
        found = understood(repo, {path: before} if before is not None else {}, {path: after})
        if path == "empty.yaml":  # a file with no document does nothing
            assert found.effects == ()
            return
        (effect,) = found.effects
        assert effect.type == "path" and effect.subject.name == path and not effect.opaque
        assert effect.files == (path,)
        assert found.findings == ()

    @pytest.mark.parametrize(
        ("path", "content"),
        [
            ("a.yaml", "a: ["),
            ("link.yaml", ("120000", "README.md")),
            ("sub", ("160000", "1" * 40)),
            ("inventories/prod/more.yml", "all: {}"),
            ("inventories/prod/hosts", "[all]"),
            ("inventories/prod/run.py", "x"),
            ("inventories/prod/group_vars/all.txt", "x"),
            ("inventories/prod/group_vars/all/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n00"),
            ("playbooks/group_vars/all.yml", "a: 1"),
            ("playbooks/host_vars/cp1", "a: 1"),
        ],
    )
    def test_what_may_be_anything_is_opaque(self, repo: Any, path: str, content: Any) -> None:
        start = {"inventories/prod/hosts.yml": "all: {hosts: {cp1: }}"}
        found = understood(repo, start, {path: content})
        assert [effect.opaque for effect in found.effects if effect.type == "path"] == [True]

    def test_objects_and_other_documents_in_one_file(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": deployment()}, {"a.yaml": deployment(image="b:1") + "---\nx: 1\n"})
        assert sorted(effect.type for effect in found.effects) == ["object", "path"]

    def test_plain_files_are_judged_by_their_path(self, repo: Any) -> None:
        layout = Layout(plain=Patterns("templates/**", "plain", PathGlob))
        found = understood(repo, {}, {"templates/a.yaml": "{{ x }}: [", "b.yaml": "a: ["}, layout)
        assert [(effect.subject.name, effect.opaque) for effect in found.effects] == [
            ("b.yaml", True),
            ("templates/a.yaml", False),
        ]
        assert [finding.origin and finding.origin.file for finding in found.findings] == ["b.yaml"]

    def test_links_out_of_the_repository(self, repo: Any) -> None:
        found = understood(
            repo, {}, {"a": ("120000", "../../etc/passwd"), "b": ("120000", "/etc/passwd"), "c": ("120000", "d")}
        )
        assert [finding.origin and finding.origin.file for finding in found.findings] == ["a", "b"]
        assert all(finding.prohibits and finding.kind == "invalid" for finding in found.findings)

    @pytest.mark.parametrize("entry", [("120000", "README.md"), ("160000", "1" * 40)])
    def test_objects_in_a_file_that_was_or_becomes_something_else(self, repo: Any, entry: Any) -> None:
        for start, change, action in ((entry, deployment(), "added"), (deployment(), entry, "removed")):
            found = understood(repo, {"a.yaml": start}, {"a.yaml": change})
            assert sorted((effect.type, effect.action, effect.opaque) for effect in found.effects) == [
                ("object", action, False),
                ("path", "changed", True),
            ]
            assert [one.effect.action for one in found.objects] == [action] and found.findings == ()

    def test_a_file_too_large_to_be_read_prohibits_where_it_may_hold_objects(self, repo: Any) -> None:
        text, limits = deployment() + "#" * 5000, Limits(blob_bytes=2000)
        layout = Layout(plain=Patterns("plain/**", "plain", PathGlob))
        start = {"old.json": text, "gone.yaml": text}
        change = {"a.yaml": text, "b.bin": text, "plain/c.yaml": text, "old.json": text[:-1] + "+", "gone.yaml": None}
        found = understood(repo, start, change, layout, limits)
        assert [(effect.subject.name, effect.opaque) for effect in found.effects] == [
            ("a.yaml", True),
            ("b.bin", False),
            ("gone.yaml", True),
            ("old.json", True),
            ("plain/c.yaml", False),
        ]
        assert [(one.rule, str(one.origin), one.prohibits, one.new) for one in found.findings] == [
            ("size", "a.yaml", True, True),
            ("size", "old.json", True, True),
        ]
        assert all("plain" in one.remedy for one in found.findings)


class TestInvalid:
    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("a: 1\nb: [\n", 3, "not YAML"),
            ("a: 1\na: 2\n", 2, "there already, at line 1"),
            ("a: \xff".encode("latin-1"), 1, "UTF-8"),
            ("[" * 200 + "]" * 200, 1, "levels"),
            (
                "a: &a [x]\n"
                + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)),
                0,
                "aliases counted",
            ),
        ],
    )
    def test_yaml(self, repo: Any, text: Any, line: int, message: str) -> None:
        found = understood(repo, {}, {"x/a.yaml": text})
        (finding,) = found.findings
        assert message in finding.message and finding.kind == "invalid" and finding.prohibits and finding.new
        assert (
            finding.origin is not None
            and finding.origin.file == "x/a.yaml"
            and (not line or finding.origin.line == line)
        )

    def test_what_was_wrong_before_is_new_where_nobody_can_tell_what_changed(self, repo: Any) -> None:
        found = understood(
            repo, {"a.yaml": "a: 1\na: 2\n", "b.yaml": "a: ["}, {"a.yaml": "x: 1\na: 1\na: 2\n", "b.yaml": "b: ["}
        )
        assert [finding.new for finding in found.findings] == [True, True]  # "at line 2" is another place
        found = understood(repo, {"a.yaml": "a: 1\na: 2\n"}, {"a.yaml": "a: 1\na: 3\n"})
        assert [finding.new for finding in found.findings] == [False]

    def test_mending_is_no_finding(self, repo: Any) -> None:
        found = understood(repo, {"a.yaml": "a: ["}, {"a.yaml": deployment()})
        assert found.findings == ()
        assert sorted((effect.type, effect.opaque) for effect in found.effects) == [("object", False), ("path", True)]


def files_below(tree: Any, directory: str) -> tuple[str, ...]:
    return tuple(sorted(entry.path for entry in tree.walk(directory)))


def fake(tree: Any, directory: str, how: str, _limits: Limits, _deadline: float, values: tuple[str, ...]) -> Rendered:
    """Renders by joining files; a file "broken" makes it fail."""
    paths = [path for path in files_below(tree, directory) if path.endswith(".yaml") and "/templates/x" not in path]
    if tree.entry(f"{directory}/broken"):
        raise RenderError("it is broken")
    base = [path for path in files_below(tree, "base") if path.endswith(".yaml")] if how == "kustomize" else []
    objects = []
    for path in dict.fromkeys([*base, *paths]):
        objects += list(
            parse(
                tree.read(path),
                path,
                "",
            ).objects
        )
    return Rendered(tuple(objects), tuple(dict.fromkeys([*base, *paths, *values])))


KUSTOMIZED = {
    "base/kustomization.yaml": "resources: [web.yaml]",
    "base/web.yaml": deployment(),
    "overlays/prod/kustomization.yaml": "resources: [../../base]",
    "overlays/dev/kustomization.yaml": "resources: [../../base/]",
}


class TestRendering:
    def test_a_base_is_judged_through_what_builds_on_it(self, repo: Any) -> None:
        found = understood(repo, KUSTOMIZED, {"base/web.yaml": deployment(image="b:2")}, renderer=fake)
        assert [(effect.reach, effect.environment, effect.files, effect.subject.scope) for effect in found.effects] == [
            ("overlays/dev", "dev", ("base/web.yaml",), "overlays/dev"),
            ("overlays/prod", "prod", ("base/web.yaml",), "overlays/prod"),
        ]
        assert {change[2:] for change in said(found)} == {(IMAGE, "a:1", "b:2")}

    def test_the_same_effect_is_no_change(self, repo: Any) -> None:
        found = understood(
            repo,
            KUSTOMIZED,
            {"base/web.yaml": "# moved\n" + deployment(), "base/kustomization.yaml": "resources:\n- web.yaml\n"},
            renderer=fake,
        )
        assert found.effects == () and found.findings == ()

    def test_roots_that_the_settings_name(self, repo: Any) -> None:
        found = understood(
            repo, KUSTOMIZED, {"base/web.yaml": deployment(image="b:2")}, Layout(roots=("base",)), renderer=fake
        )
        assert [effect.reach for effect in found.effects] == ["base", "overlays/dev", "overlays/prod"]

    def test_what_no_rendering_reads_is_judged_by_itself(self, repo: Any) -> None:
        found = understood(repo, KUSTOMIZED, {"base/notes.txt": "x"}, renderer=fake)
        assert [(effect.type, effect.subject.name) for effect in found.effects] == [("path", "base/notes.txt")]

    def test_a_renderer_that_fails_is_an_error(self, repo: Any) -> None:
        found = understood(repo, KUSTOMIZED, {"overlays/prod/broken": "x"}, renderer=fake)
        (finding,) = found.findings
        assert finding.kind == "error" and finding.prohibits and "overlays/prod" in finding.message
        assert {effect.subject.name for effect in found.effects if effect.reach == ""} == {"overlays/prod/broken"}

    def test_what_was_rendered_with_a_network_is_said_once(self, repo: Any) -> None:
        def open_to_all(*arguments: Any) -> Rendered:
            return fake(*arguments)._replace(isolated=False)

        change = {"base/web.yaml": deployment(image="b:2")}
        assert not understood(repo, KUSTOMIZED, change, renderer=fake).findings
        found = understood(repo, KUSTOMIZED, change, renderer=open_to_all)
        (finding,) = set(found.findings)
        assert (finding.rule, finding.severity) == ("surroundings", "info")
        assert "kustomize ran without a network namespace of its own" in finding.message

    def test_the_settings_can_demand_that_there_is_no_network(self, repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_process, "_alone", lambda: ())
        found = understood(repo, KUSTOMIZED, {"base/web.yaml": deployment(image="b:2")}, Layout(isolated=True))
        assert len(found.findings) == 2 and all(one.kind == "error" and one.prohibits for one in found.findings)
        assert "network namespace of its own" in found.findings[0].message

    def test_mending_what_failed_counts_everything_as_added(self, repo: Any) -> None:
        found = understood(
            repo, {**KUSTOMIZED, "overlays/prod/broken": "x"}, {"overlays/prod/broken": None}, renderer=fake
        )
        (finding,) = found.findings
        assert not finding.prohibits
        assert ("object", "added") in {(effect.type, effect.action) for effect in found.effects}
        assert ("path", "removed") in {(effect.type, effect.action) for effect in found.effects}

    def test_a_missing_renderer_is_an_error(self, repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/usr/bin/nothing:" + "/usr/bin")

        def missing(*_: Any) -> Rendered:
            raise RenderError("kustomize is not installed")

        found = understood(repo, KUSTOMIZED, {"base/web.yaml": deployment(image="b:2")}, renderer=missing)
        assert all(finding.kind == "error" for finding in found.findings) and len(found.findings) == 2
        assert found.effects  # and the plain file is judged as well

    def test_directories_that_build_on_each_other(self, repo: Any) -> None:
        start = {"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [../a]"}
        seen = []

        def circle(_tree: Any, directory: str, *_: Any) -> Rendered:
            seen.append(directory)
            raise RenderError("cycle")

        found = understood(repo, start, {"a/kustomization.yaml": "resources: [../b, x.yaml]"}, renderer=circle)
        assert set(seen) == {"a", "b"} and any(finding.kind == "error" for finding in found.findings)

    def test_charts_are_rendered_and_their_files_judged_too(self, repo: Any) -> None:
        start = {
            "chart/Chart.yaml": "name: x",
            "chart/values.yaml": "a: 1",
            "chart/web.yaml": deployment(),
            "prod.yaml": "a: 2",
        }
        layout = Layout(values={"chart": (("prod.yaml",), ())})
        found = understood(
            repo,
            start,
            {"chart/web.yaml": deployment(image="b:2"), "chart/templates/x.yaml": "{{ if }}"},
            layout,
            renderer=fake,
        )
        assert [(effect.type, effect.subject.scope or effect.subject.name) for effect in found.effects] == [
            ("path", "chart/templates/x.yaml"),
            ("object", "shop/web"),  # Helm does not read it, so it is a file like any other
            ("object", "chart"),
            ("object", "chart with prod.yaml"),
            ("path", "chart/web.yaml"),
        ]
        assert found.findings == ()

    def test_a_file_that_leaves_a_kustomization_is_judged_on_its_own(self, repo: Any) -> None:
        def only_listed(tree: Any, directory: str, *_: Any) -> Rendered:
            text = tree.read(f"{directory}/kustomization.yaml").decode()
            paths = [path for path in files_below(tree, directory) if path.rpartition("/")[2] in text]
            objects = [one for path in paths for one in parse(tree.read(path), path, "").objects]
            return Rendered(tuple(objects), (f"{directory}/kustomization.yaml", *paths))

        start = {"k/kustomization.yaml": "resources: [web.yaml]", "k/web.yaml": deployment()}
        found = understood(
            repo,
            start,
            {"k/kustomization.yaml": "resources: []", "k/web.yaml": deployment(image="x:1")},
            renderer=only_listed,
        )
        assert [(effect.action, effect.subject.scope) for effect in found.effects] == [("removed", "k"), ("added", "")]


CLAIM = "apiVersion: example.org/v1\nkind: X\nmetadata: {name: x, namespace: shop}\n"


class TestWhatIsMore:
    @pytest.mark.parametrize(
        ("path", "more", "types"),
        [
            ("apps/x.yaml", "spec: {a: 1}\n", ["object"]),
            ("apps/x.yaml", "jobs: {a: 1}\n", ["object", "path"]),
            ("package.json", "scripts: {a: b}\n", ["object", "path"]),
            (".gitea/workflows/ci.yml", "spec: {}\n", ["object", "path"]),
            ("playbooks/x.yml", "", ["object", "path"]),
            ("playbooks/group_vars/cluster.yml", "", ["object", "path"]),
            ("roles/r/vars/main.yml", "", ["object", "path"]),
            ("rbac/roles/x.yaml", "", ["object"]),
        ],
    )
    def test_an_object_may_be_there_for_others(self, repo: Any, path: str, more: str, types: list[str]) -> None:
        found = understood(repo, {}, {path: CLAIM + more})
        assert sorted(effect.type for effect in found.effects) == types

    def test_fields_of_kubernetes_own_kinds_are_known(self, repo: Any) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\nimmutable: true\n"
        found = understood(repo, {}, {"a.yaml": text, "b.yaml": text.replace("immutable", "jobs")})
        assert [(one.type, one.files) for one in found.effects if one.type == "path"] == [("path", ("b.yaml",))]


class TestLinks:
    @pytest.mark.parametrize(
        ("start", "change"),
        [
            ({"docs/pod.txt": deployment()}, {"apps/pod.yaml": ("120000", "../docs/pod.txt")}),
            ({"apps/pod.yaml": ("120000", "../docs/pod.txt")}, {"docs/pod.txt": deployment()}),
            ({"apps": ("120000", "docs"), "docs/x": "1"}, {"docs/pod.yaml": deployment()}),
        ],
    )
    def test_what_is_behind_a_link_is_there(self, repo: Any, start: Any, change: Any) -> None:
        found = understood(repo, start, change)
        objects = {effect.files for effect in found.effects if effect.type == "object"}
        assert any(file.startswith("apps/") for (file,) in objects) and not found.unread

    @pytest.mark.parametrize("entry", [("120000", "../docs"), ("160000", "1" * 40)])
    def test_what_cannot_be_looked_at_is_said(self, repo: Any, entry: Any) -> None:
        found = understood(repo, {"docs/x": "1"}, {"apps/sub": entry})
        assert [effect.files for effect in found.unread] == [("apps/sub",)]


class TestReadAnew:
    @pytest.mark.parametrize(
        ("start", "change", "action"),
        [
            ({"k/kustomization.yaml": "resources: [web.yaml]"}, {"k/kustomization.yaml": None}, "added"),
            ({}, {"k/kustomization.yaml": "resources: [web.yaml]"}, "removed"),
        ],
    )
    def test_a_kustomization_that_goes_leaves_its_files(self, repo: Any, start: Any, change: Any, action: str) -> None:
        found = understood(repo, {**start, "k/web.yaml": deployment()}, change, renderer=fake)
        assert action in {one.action for one in found.effects if one.type == "object" and one.files == ("k/web.yaml",)}

    def test_a_chart_that_goes_leaves_its_files(self, repo: Any) -> None:
        start = {"c/Chart.yaml": "name: c", "c/templates/web.yaml": deployment()}
        found = understood(repo, start, {"c/Chart.yaml": None}, renderer=fake)
        assert ("added", "") in {(one.action, one.subject.scope) for one in found.effects if one.type == "object"}

    def test_a_base_that_none_builds_on_any_more_is_judged(self, repo: Any) -> None:
        change = {"overlays/prod/kustomization.yaml": None, "overlays/dev/kustomization.yaml": None}
        found = understood(repo, KUSTOMIZED, change, renderer=fake)
        assert ("added", "base") in {(one.action, one.subject.scope) for one in found.effects if one.type == "object"}

    def test_a_chart_hides_nothing_but_what_helm_reads(self, repo: Any) -> None:
        change = {"apps/Chart.yaml": "name: x", "apps/shop/pod.yaml": deployment()}
        nothing = lambda *_: Rendered((), ())  # noqa: E731 - a renderer that makes nothing
        found = understood(repo, {}, change, renderer=nothing)
        assert ("object", ("apps/shop/pod.yaml",)) in {(one.type, one.files) for one in found.effects}


class TestLimits:
    def test_objects(self, repo: Any) -> None:
        text = "---\n".join(deployment(f"n{index}") for index in range(20))
        with pytest.raises(GitError, match="10 objects"):
            understood(repo, {}, {"a.yaml": text}, limits=Limits(objects=10))

    def test_time(self, repo: Any) -> None:
        base = repo.commit({"a": "1"})
        head = repo.commit({"a.yaml": deployment()}, base)
        with Repository(repo.path, base) as repository:
            merge = repository.merge(base, head, base)
            changed = repository.changed(merge)
            with pytest.raises(GitError, match="in time"):
                understand(merge.before, merge.after, changed, Layout(), Limits(), time.monotonic() - 1)


def test_environments() -> None:
    layout = Layout(names=frozenset({"edge"}))
    for path, wanted in {
        "apps/prod/a.yaml": "prod",
        "apps/edge/a.yaml": "edge",
        "apps/shop/a.yaml": "",
        "clusters/blue/x.yaml": "blue",
        "apps/base/x.yaml": "",
        "prod/dev/x.yaml": "",
        "prod.yaml": "",
        "overlays/base/x.yaml": "",
    }.items():
        assert layout.environment(path) == wanted, path
    own = Layout(environments={"a": Patterns("x/**", "", PathGlob), "b": Patterns("x/y/**,z/**", "", PathGlob)})
    assert [own.environment(path) for path in ("x/1", "z/1", "x/y/1", "prod/1")] == ["a", "b", "", ""]


def test_a_content_is_read_once(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.weft.platform.plugins.plugin_utils._policy import _understand

    read: list[str] = []

    def counted(data: bytes, file: str, *rest: Any) -> Any:
        read.append(file)
        return parse(data, file, *rest)

    monkeypatch.setattr(_understand, "parse", counted)
    base = repo.commit({"a.yaml": deployment("a"), "b.yaml": deployment("b")})
    with Repository(repo.path, base) as repository:
        tree, manifests = repository.tree(base), Manifests(Layout(), Limits())
        assert len(manifests.every(tree, {""})) == 2
        assert manifests.parsed(tree, "a.yaml").objects == manifests.objects(tree, "a.yaml")
        assert manifests.objects(tree, "b.yaml", holding(["Service"])) == ()
    assert sorted(read) == ["a.yaml", "b.yaml"]


def test_all_objects_of_an_environment(repo: Any) -> None:
    base = repo.commit(
        {
            "prod/a.yaml": deployment("one") + "---\n" + deployment("two"),
            "dev/a.yaml": deployment("three"),
            "prod/broken.yaml": "a: [",
            "policy/x.yaml": deployment("four"),
            "prod/notes.txt": "x",
        }
    )
    with Repository(repo.path, base) as repository:
        found = Manifests(Layout(), Limits()).every(repository.tree(base), {"prod"})
    assert [one.subject.name for one in found] == ["shop/one", "shop/two"]


FILES = [
    "a.yaml",
    "apps/prod/b.yaml",
    "docs/c.md",
    "inventories/x/group_vars/all.yml",
    "inventories/x/hosts.yml",
    "v.json",
    "sub/link",
]
CONTENTS: list[Any] = [
    None,
    "",
    "x: 1\n",
    "x: 2\n",
    "all: {hosts: {h1: , h2: {x: 3}}}\n",
    "g: {hosts: {h1: }, vars: {x: 1}}\n",
    deployment(),
    deployment(image="b:1"),
    deployment("other") + "---\n" + deployment(),
    "a: [",
    "x: 1\nx: 2\n",
    ("120000", "a.yaml"),
    ("120000", "../../out"),
    ("100755", deployment()),
    b"\xff\xfe",
]


class TreeOf:
    """A tree in memory."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self.files = {
            path: one if isinstance(one, tuple) else ("100644", one) for path, one in files.items() if one is not None
        }

    def entry(self, path: str) -> Entry | None:
        if path in self.files:
            mode, content = self.files[path]
            return Entry(path, mode, str(hash(content)))
        inside = any(name.startswith(f"{path}/") for name in self.files) or not path
        return Entry(path, "040000", "") if inside else None

    def walk(self, under: str = "") -> Any:
        return (
            entry
            for path in self.files
            if path.startswith(f"{under}/" if under else "") and (entry := self.entry(path))
        )

    def names(self, under: str = "") -> dict[str, Entry]:
        out: dict[str, Entry] = {}
        for path in self.files:
            if path.startswith(f"{under}/" if under else ""):
                name = path[len(under) + 1 if under else 0 :].partition("/")[0]
                found = self.entry(f"{under}/{name}" if under else name)
                assert found is not None
                out[name] = found._replace(path=name)
        return out

    def read(self, path: str) -> bytes:
        mode, content = self.files.get(path, ("", ""))
        if not mode.startswith("100"):
            raise GitError(path)
        return content.encode() if isinstance(content, str) else bytes(content)

    def ahead(self, paths: Iterable[str]) -> None:
        """Everything is in memory already."""

    def mentions(self, words: Iterable[str]) -> list[str]:
        """Any file may, as far as nobody looks."""
        return list(self.files)

    def read_link(self, path: str) -> str:
        return str(self.files[path][1])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(FILES), st.sampled_from(CONTENTS)),
    st.dictionaries(st.sampled_from(FILES), st.sampled_from(CONTENTS)),
)
def test_every_changed_path_is_accounted_for(start: dict[str, Any], end: dict[str, Any]) -> None:
    """By an Effect that names it, or because its parsed content is the same wherever it is."""
    from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Difference

    before, after = TreeOf(start), TreeOf(end)
    paths = sorted(before.files.keys() | after.files.keys())
    changed = [
        Difference(path, before.entry(path), after.entry(path))
        for path in paths
        if before.files.get(path) != after.files.get(path)
    ]
    found = understand(before, after, changed, Layout(), Limits(), time.monotonic() + 60)
    named = {path for effect in found.effects for path in effect.files} | {
        path for quiet in found.quiet for path in (*quiet.before, *quiet.after)
    }
    for one in changed:
        if one.path in named:
            continue
        sides = [tree.files.get(one.path, ("100644", ""))[1] for tree in (before, after)]
        if one.path.startswith("inventories/"):
            # No file of an inventory changes unseen unless hosts see the same values.
            continue
        values = [parse(side.encode() if isinstance(side, str) else side, one.path, "").objects for side in sides]
        assert [item.object for item in values[0]] == [item.object for item in values[1]], one.path
    for effect in found.effects:
        for change in effect.changes:
            assert change.before is not change.after or change.before is not ABSENT
            assert effect.leaves_of(change)

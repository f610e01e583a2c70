# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What Kustomize and Helm make without being changed, where something else that changes is about it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _roots
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Finding, Limits, Rendered, Verdict
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import AllBut

from tests.unit.policy.engine.test_judge import (
    CUP,
    DEV,
    IP_ADDRESS,
    NEXT,
    START,
    VERSION,
    Bench,
    config_map,
    definition,
)
from tests.unit.policy.engine.test_understand import fake, understood

ALL = "rules:\n  - {name: a, change: {file: '**'}, allow: anyone}\n"
OPEN: Mapping[str, Any] = {**START, "policy/rules/platform.yml": ALL}


def kustomized(directory: str, content: str, more: str = "") -> dict[str, str]:
    return {f"{directory}/kustomization.yaml": f"resources: [x.yaml]\n{more}", f"{directory}/x.yaml": content}


def chart(directory: str, content: str, more: str = "") -> dict[str, str]:
    name = directory.rpartition("/")[2]
    about = f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n{more}"
    return {f"{directory}/Chart.yaml": about, f"{directory}/templates/x.yaml": content}


#: The removed version put together of pieces, as templates do.
PIECES = IP_ADDRESS.replace("networking.k8s.io/v1beta1", 'networking.{{ "k8s.io" }}/{{ "v1" }}beta1').replace(
    "kind: IPAddress", 'kind: IP{{ "Address" }}'
)
BASE = {**kustomized("addons/base", IP_ADDRESS), "addons/prod/kustomization.yaml": "resources: [../base]\n"}
#: A transformer that puts a kind together.
PREFIXED = {
    **kustomized("k", IP_ADDRESS.replace("kind: IPAddress", "kind: Address"), "transformers: [t.yaml]\n"),
    "k/t.yaml": "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t}\nprefix: IP\n"
    "fieldSpecs: [{path: kind}]\n",
}
MISSING = "/nowhere/renderer"


def verdict_of(
    repo: Any, there: Mapping[str, str], change: Mapping[str, Any], settings: str = ""
) -> tuple[Verdict, list[Finding]]:
    start = {**OPEN, **there, **({"policy/settings.yml": settings} if settings else {})}
    verdict = Bench(repo, start).ask(change)
    return verdict, [finding for finding in verdict.findings if finding.prohibits]


@pytest.mark.usefixtures("kustomize", "helm")
@pytest.mark.parametrize(
    ("there", "change", "said"),
    [
        (BASE, NEXT, ["addons/base/x"]),
        (kustomized("addons", IP_ADDRESS), NEXT, ["addons/x"]),
        (kustomized("addons/dev", IP_ADDRESS), NEXT, []),
        (PREFIXED, NEXT, ["k/x"]),
        (kustomized("k", IP_ADDRESS.replace("kind: IPAddress", "kind: !!binary SVBBZGRyZXNz")), NEXT, ["k/x"]),
        ({**kustomized("k", ""), "k/x.yaml": IP_ADDRESS.encode("utf-16")}, NEXT, ["k/x"]),  # Kustomize reads that
        ({**chart("charts/web", ""), "charts/web/extra.yaml": IP_ADDRESS}, NEXT, ["charts/web/extra"]),
        (
            {**chart("charts/web", "", "description: Great!!\n"), "charts/web/extra.yaml": IP_ADDRESS},
            NEXT,
            ["charts/web/extra"],
        ),
        (chart("charts/web", IP_ADDRESS), NEXT, ["charts/web/templates/x"]),
        (chart("charts/prod/web", PIECES), NEXT, ["charts/prod/web/templates/x"]),
        (chart("charts/dev/web", PIECES), NEXT, []),
        (chart("charts/web", config_map()), NEXT, []),
        (chart("charts/web", config_map() + "nonsense: 1\n"), NEXT, []),  # wrong, but not by the upgrade
        (chart("charts/web", PIECES), {VERSION: START[VERSION].replace("36.3", "36.4")}, []),
        # what goes with the upgrade, and what stays in a root that changes elsewhere
        (BASE, {**NEXT, "addons/base/x.yaml": config_map()}, []),
        (
            {**chart("charts/web", PIECES), "charts/web/templates/y.yaml": config_map()},
            {**NEXT, "charts/web/templates/y.yaml": config_map(value="c")},
            ["charts/web/templates/x"],
        ),
        # custom resources whose definition changes, wherever either is made
        ({"c.yaml": definition(), **chart("w", CUP)}, {"c.yaml": definition("string")}, ["w/templates/x"]),
        ({"c.yaml": definition(), **kustomized("w", CUP)}, {"c.yaml": definition("string")}, ["w/x"]),
        ({"c.yaml": definition(), **kustomized("w", CUP)}, {"c.yaml": definition(versions=("v1", "v2"))}, []),
        (
            {**chart("w", definition()), "x/prod/cup.yaml": CUP},
            {"w/templates/x.yaml": definition("string")},
            ["x/prod/cup"],
        ),
        (
            {**kustomized("w", definition()), **chart("x/prod/cup", CUP)},
            {"w/x.yaml": definition("string")},
            ["x/prod/cup/templates/x"],
        ),
    ],
)
def test_what_does_not_change_is_judged_by_its_new_schema(
    repo: Any, there: Mapping[str, str], change: Mapping[str, Any], said: list[str]
) -> None:
    _verdict, found = verdict_of(repo, {**DEV, **there}, change)
    files = [one.origin.file.removesuffix(".yaml") for one in found if one.origin is not None]
    assert files == said, found
    assert all(one.rule == "schema" and one.new for one in found)


@pytest.mark.usefixtures("helm")
def test_what_was_wrong_before_is_listed(repo: Any) -> None:
    there = {"c.yaml": definition(), **chart("w", CUP.replace("3", "x"))}
    verdict, broken = verdict_of(repo, there, {"c.yaml": definition(versions=("v1", "v2"))})
    (old,) = [one for one in verdict.findings if not one.new]
    assert not broken and old.severity == "warn" and "spec.size" in old.message


@pytest.mark.usefixtures("kustomize", "helm")
@pytest.mark.parametrize(
    ("there", "change", "said"),
    [
        (chart("w", config_map()), {"apps/shop/namespace.yaml": None}, ["w/templates/x"]),
        (
            kustomized("w", config_map(namespace="mall"), "namespace: shop\n"),
            {"apps/shop/namespace.yaml": None},
            ["w/x"],
        ),
        (kustomized("w", config_map(namespace="mall")), {"apps/shop/namespace.yaml": None}, []),
        (
            {**chart("w", config_map()), **chart("n", START["apps/shop/namespace.yaml"])},
            {"apps/shop/namespace.yaml": None},
            [],
        ),
        ({"c.yaml": definition(), **chart("w", CUP)}, {"c.yaml": None}, ["w/templates/x"]),
        ({"prod/c.yaml": definition(), **chart("dev/w", CUP)}, {"prod/c.yaml": None}, []),
        ({**chart("c", definition()), **kustomized("w", CUP)}, {"c/templates/x.yaml": None}, ["w/x"]),
    ],
)
def test_what_cannot_be_without_what_goes(
    repo: Any, there: Mapping[str, str], change: Mapping[str, Any], said: list[str]
) -> None:
    _verdict, found = verdict_of(repo, {**DEV, **there}, {"apps/shop/web.yaml": None, **change})
    assert [one.rule for one in found] == ["orphan"] * len(said), found
    assert all(f"stays: {place}.yaml" in one.message for one, place in zip(found, said, strict=True)), found


GOES = {"apps/shop/web.yaml": None, "apps/shop/namespace.yaml": None}


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("change", [NEXT, {"c.yaml": definition()}, GOES])
def test_what_cannot_be_rendered_prohibits(repo: Any, change: Mapping[str, Any]) -> None:
    there = chart("charts/web", '{{ fail "no" }}')
    _verdict, (error,) = verdict_of(repo, there, change)
    assert (error.rule, error.kind, str(error.origin)) == ("render", "error", "charts/web/Chart.yaml")
    assert "charts/web could not be rendered by helm" in error.message and "`plain`" in error.remedy
    assert not verdict_of(repo, there, change, "plain: ['charts/**']")[1]
    assert not verdict_of(repo, there, change, "checks: {schema: off, orphan: off}")[1]


@pytest.mark.parametrize(
    ("there", "change", "said"),
    [
        (chart("charts/web", config_map()), NEXT, "charts/web"),
        (chart("charts/dev/web", config_map()), NEXT, ""),
        (chart("charts/web", config_map()), {"apps/shop/web.yaml": config_map(value="c")}, ""),
        (chart("charts/web", config_map()), GOES, "charts/web"),
        (kustomized("k", IP_ADDRESS), NEXT, "k"),
        # Kustomize's files are looked into: these are about something else
        (kustomized("k", config_map()), NEXT, ""),
        (kustomized("k", config_map(), "namespace: shop\n"), GOES, "k"),
        (kustomized("k", config_map(namespace="mall")), GOES, ""),
        (kustomized("k", config_map(), "resources: [../none]\n"), NEXT, "k"),
        # beyond the schemas that are here, where no end of anything is known
        (
            {**chart("charts/web", config_map()), VERSION: 'cluster_kubernetes_version: "1.45.0"\n'},
            {VERSION: 'cluster_kubernetes_version: "1.46.0"\n'},
            "",
        ),
    ],
)
def test_nothing_is_rendered_where_it_cannot_matter(
    repo: Any, monkeypatch: pytest.MonkeyPatch, there: Mapping[str, str], change: Mapping[str, Any], said: str
) -> None:
    monkeypatch.setenv("WEFT_KUSTOMIZE", MISSING)
    monkeypatch.setenv("WEFT_HELM", MISSING)
    _verdict, found = verdict_of(repo, {**DEV, **there}, change, "checks: {upgrade: off}")
    assert [one.message.partition(" could")[0] for one in found] == ([said] if said else []), found
    assert all(one.rule == "render" for one in found)


@pytest.mark.usefixtures("helm")
def test_a_library_is_no_chart_that_fails(repo: Any) -> None:
    library = chart("charts/lib", "", "type: library\n")
    assert not verdict_of(repo, library, NEXT)[1]
    assert not verdict_of(repo, library, {"charts/lib/templates/x.yaml": '{{ define "x" }}{{ end }}'})[1]
    forged = chart("charts/web", '{{ fail "Error: library charts are not installable" }}')
    assert verdict_of(repo, forged, NEXT)[1]


#: Makes what the cluster that it is told of has.
ADAPTING = IP_ADDRESS.replace(
    "networking.k8s.io/v1beta1",
    'networking.k8s.io/{{ if semverCompare ">=1.37" .Capabilities.KubeVersion.Version }}v1{{ else }}v1beta1{{ end }}',
)


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    ("directory", "more", "said"),
    [
        ("charts/prod", "", []),
        ("charts/web", "", []),  # for all environments, which is this one
        ("charts/prod", "kubeVersion: '< 1.37.0'\n", ["charts/prod/Chart"]),
    ],
)
def test_a_chart_is_told_the_kubernetes_that_will_be(repo: Any, directory: str, more: str, said: list[str]) -> None:
    _verdict, found = verdict_of(repo, chart(directory, ADAPTING, more=more), NEXT)
    assert [one.origin.file.rpartition(".")[0] for one in found if one.origin] == said, found


def test_what_is_the_same_on_both_sides_is_rendered_once(repo: Any) -> None:
    asked: list[str] = []

    def counting(tree: Any, directory: str, how: str, *more: Any) -> Rendered:
        asked.append(directory)
        return fake(tree, directory, how, *more)

    start = {**kustomized("a/prod", IP_ADDRESS), **kustomized("a/dev", IP_ADDRESS), **kustomized("a", IP_ADDRESS)}
    base = repo.commit(start, branch="main")
    head = repo.commit({"a/dev/x.yaml": config_map()}, base)
    with Repository(repo.path, base, Limits(), time.monotonic() + 60) as repository:
        trees = (repository.tree(base), repository.tree(head))
        layout = understood(repo, start, {"a/dev/x.yaml": config_map()}, renderer=fake).layout
        known = _roots.Renderings(trees, layout, Limits(), time.monotonic() + 60, counting, lambda _path: True)
        assert [one.root.directory for one in known.changed({"a/dev/x.yaml"})] == ["a", "a/dev"]
        assert asked == ["a", "a", "a/dev", "a/dev"]
        anything = _roots.Look(frozenset(), lambda _data: True)
        for _again in range(2):
            (prod,) = known.every({"prod"}, anything)
            assert prod.root.directory == "a/prod" and prod.before is prod.after
        assert asked[4:] == ["a/prod"]
        assert len(known.every(AllBut(), anything)) == 3 and len(asked) == 5
        assert [one.object["kind"] for one in known.made(1, {"dev"})] == ["ConfigMap"]


@pytest.mark.usefixtures("kustomize")
def test_a_base_whose_name_looks_like_an_address(repo: Any) -> None:
    start = {**kustomized("k/a:b", config_map()), "k/prod/kustomization.yaml": "resources: ['../a:b']\n"}
    found = understood(repo, start, {"k/a:b/x.yaml": config_map(value="c")})
    assert [(one.reach, one.environment, one.files) for one in found.effects] == [("k/prod", "prod", ("k/a:b/x.yaml",))]


@pytest.mark.usefixtures("kustomize", "helm")
class TestWhatGoesIn:
    """Whatever a rendering reads makes what comes out, be it also something else."""

    WEB = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\n"
    VALUES = "inventories/prod/group_vars/web.yml"
    FILE = chart("web", WEB + 'data: {a: {{ .Files.Get "files/a.conf" | quote }}}\n') | {"web/files/a.conf": "a"}
    RELEASES = chart("web", WEB + "data: {a: {{ .Values.a | quote }}}\n")

    def test_a_file_that_a_template_reads(self, repo: Any) -> None:
        change = {"web/files/a.conf": "b"}
        found = [one for one in understood(repo, self.FILE, change).effects if one.type == "object"]
        assert [one.files for one in found] == [("web/files/a.conf",)]
        denied = "  - {name: b, change: {file: 'web/files/**', object: {kind: ConfigMap}}, deny: nope}\n"
        start = {**OPEN, **self.FILE, "policy/rules/platform.yml": ALL + denied}
        assert [one.rule for one in Bench(repo, start).ask(change, "mona").findings if one.prohibits] == ["b"]
        allowed = "rules:\n  - {name: a, change: {file: 'web/files/**'}, allow: anyone}\n"
        start = {**OPEN, **self.FILE, "policy/rules/platform.yml": allowed}
        assert Bench(repo, start).ask(change, "mona").permitted

    @pytest.mark.parametrize(
        ("there", "settings"),
        [
            (RELEASES, f"render: {{charts: {{web: [[{VALUES}]]}}}}\n"),
            ({"kustomization.yaml": f"configMapGenerator: [{{name: web, files: [{VALUES}]}}]\n"}, "plain: nothing\n"),
        ],
    )
    def test_a_file_of_variables(self, repo: Any, there: Mapping[str, str], settings: str) -> None:
        denied = ALL + "  - {name: b, change: {object: {kind: ConfigMap}}, deny: nope}\n"
        policy = {"policy/rules/platform.yml": denied, "policy/settings.yml": settings}
        verdict = Bench(repo, {**OPEN, **there, self.VALUES: "a: x\n", **policy}).ask({self.VALUES: "a: z\n"}, "mona")
        assert {one.rule for one in verdict.findings if one.prohibits} == {"b"}
        assert {one.subject.type for one in verdict.changes} == {"variable", "ConfigMap"}

    PLACES = "{dev: [web/dev.yaml], prod: [web/prod.yaml]}"

    @pytest.mark.parametrize(
        ("changed", "values", "reached"),
        [
            ("web/dev.yaml", "[web/dev.yaml], [web/prod.yaml]", ["dev"]),
            ("web/prod.yaml", "[web/dev.yaml], [web/prod.yaml]", ["prod"]),
            ("web/templates/x.yaml", "[web/dev.yaml], [web/prod.yaml]", ["dev", "prod"]),
            ("web/dev.yaml", "[web/all.yaml, web/dev.yaml]", ["dev"]),
            ("web/all.yaml", "[web/dev.yaml, web/all.yaml], [web/all.yaml]", ["dev", ""]),
            ("web/dev.yaml", "[web/prod.yaml, web/dev.yaml]", [""]),  # of both, or of none
        ],
    )
    def test_a_release_belongs_to_the_environment_of_its_values(
        self, repo: Any, changed: str, values: str, reached: list[str]
    ) -> None:
        start = {
            **self.RELEASES,
            **{f"web/{name}.yaml": "a: x\n" for name in ("dev", "prod")},
            "web/all.yaml": "a: y\n",
        }
        settings = f"environments: {self.PLACES}\nrender: {{charts: {{web: [{values}]}}}}\n"
        rules = "rules:\n  - {name: a, change: {environment: dev}, allow: anyone}\n"
        rules += "  - {name: b, change: {environment: dev, object: {kind: ConfigMap}}, only: cluster-operators}\n"
        policy = {"policy/rules/platform.yml": rules, "policy/settings.yml": settings}
        content = start[changed].replace(": x", ": z").replace(": y", ": z").replace("name: web", "name: other")
        bench = Bench(repo, {**OPEN, **start, **policy})
        found = [one for one in bench.ask({changed: content}, "mona").findings if one.prohibits and one.rule == "b"]
        scopes = {one.subject.scope for one in found if one.subject is not None}
        assert len(scopes) == sum(reach != "prod" for reach in reached)
        assert bench.ask({changed: content}, "olga").permitted is (reached == ["dev"])


class TestWhoBuildsOnWhat:
    RULES = (
        "rules:\n  - {name: all, change: {file: 'apps/**'}, allow: anyone}\n"
        "  - name: production is looked at by two\n    change: {environment: prod}\n"
        "    approvals: {count: 1, from: cluster-operators}\n"
    )
    SHOP: Mapping[str, Any] = {
        **OPEN,
        **DEV,
        "policy/rules/platform.yml": RULES,
        **kustomized("apps/prod", config_map()),
        **kustomized("apps/web", config_map("other")),
    }
    CHANGED = config_map(value="c")

    @pytest.mark.usefixtures("kustomize")
    def test_nobody_takes_a_directory_out_of_its_environment(self, repo: Any) -> None:
        built = {"apps/dev/mine/kustomization.yaml": "resources: [../../prod]\n"}
        for start in (self.SHOP, {**self.SHOP, **built}):
            verdict = Bench(repo, start).ask({"apps/prod/x.yaml": self.CHANGED}, "mona")
            (needs,) = [one for one in verdict.findings if one.prohibits]
            assert needs.rule == "production is looked at by two"

    @pytest.mark.usefixtures("kustomize")
    @pytest.mark.parametrize(
        ("file", "denied"),
        [
            ("base/**", True),
            ("more/**", True),  # it builds on the base
            ("more/kustomization.yaml", True),  # which may be said of what it makes
            ("o/prod/**", True),
            ("other/**", False),  # production builds on it as well, and the base does not come by it
            ("o/dev/**", False),
            ("base/y.yaml", False),
        ],
    )
    def test_a_base_arrives_in_every_folder_on_its_way(self, repo: Any, file: str, denied: bool) -> None:
        start = {
            **kustomized("base", config_map()),
            "more/kustomization.yaml": "resources: [../base]\n",
            **kustomized("other", config_map("other")),
            "o/prod/kustomization.yaml": "resources: [../../more, ../../other]\n",
            **kustomized("o/dev", config_map("own")),
        }
        rule = f"  - {{name: b, change: {{file: {file}}}, deny: nope}}\n"
        bench = Bench(repo, {**OPEN, **start, "policy/rules/platform.yml": ALL + rule})
        found = bench.ask({"base/x.yaml": self.CHANGED}).findings
        assert [one.rule for one in found if one.prohibits] == ["b"] * denied

    @pytest.mark.usefixtures("kustomize")
    def test_what_becomes_a_part_only_is_removed_by_itself(self, repo: Any) -> None:
        built = {"apps/dev/mine/kustomization.yaml": "resources: [../../web]\n"}
        found = understood(repo, self.SHOP, built)
        assert [(one.action, one.reach, one.environment) for one in found.effects] == [
            ("added", "apps/dev/mine", "dev"),
            ("removed", "apps/web", ""),
        ]
        (needs,) = [one for one in Bench(repo, self.SHOP).ask(built, "mona").findings if one.prohibits]
        assert needs.rule == "production is looked at by two"  # for nobody knows that it was not there
        settings = {"policy/settings.yml": "render: {roots: [apps/web]}"}
        assert Bench(repo, {**self.SHOP, **settings}).ask(built, "mona").permitted

    @pytest.mark.usefixtures("helm")
    @pytest.mark.parametrize("enabled", [True, False])
    def test_a_chart_that_becomes_a_part_only_is_removed_by_itself(self, repo: Any, enabled: bool) -> None:
        wants = "dependencies: [{name: web, version: '*', condition: web.enabled}]\n"
        about = f"apiVersion: v2\nname: all\nversion: 1.0.0\n{wants}"
        change = {"all/Chart.yaml": about, "all/values.yaml": f"web: {{enabled: {str(enabled).lower()}}}\n"}
        found = understood(repo, chart("all/charts/web", config_map()), change)
        here = [(one.action, one.reach) for one in found.effects if one.type == "object"]
        assert here == [("added", "all")] * enabled + [("removed", "all/charts/web")]

    @pytest.mark.usefixtures("kustomize")
    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            ({"apps/qa/kustomization.yaml": "resources: [../web]\n"}, [("added", "apps/qa")]),
            ({"apps/dev/mine/kustomization.yaml": "resources: []\n"}, [("removed", "apps/dev/mine")]),
            ({"apps/dev/mine/kustomization.yaml": None}, [("removed", "apps/dev/mine")]),
        ],
    )
    def test_another_one_builds_on_what_others_build_on(
        self, repo: Any, change: Mapping[str, Any], wanted: list[tuple[str, str]]
    ) -> None:
        """What others go on making of the files is nothing that comes or goes."""
        built = {f"apps/{name}/kustomization.yaml": "resources: [../../web]\n" for name in ("dev/mine", "test/mine")}
        found = understood(repo, {**self.SHOP, **built}, change)
        assert [(one.action, one.reach) for one in found.effects] == wanted

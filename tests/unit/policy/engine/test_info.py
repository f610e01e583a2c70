# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Who may change this, and what may somebody change: asked of the rules alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _areas, _info, _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import YES
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import IdentityError, Person, PolicyError
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Policy, Who, views
from ansible_collections.weft.platform.plugins.plugin_utils._policy._teams import FileTeams

from tests.unit.policy.engine.test_understand import TreeOf

ROLES = "roles: {ops: {members: [team:platform]}, devs: {members: [team:shop, 'user:eve']}, all: {members: [anyone]}}\n"
TEAMS = FileTeams({"platform": ["olga"], "shop": ["mona"]})


def tree(rules: str, **files: str) -> Any:
    return TreeOf({"policy/roles.yml": ROLES, "policy/rules/a.yml": f"rules:\n{rules}", **files})


def policy(rules: str) -> Policy:
    return _load.load(tree(rules))


EVERYTHING = "  - {name: everything, change: {file: '**'}, allow: [ops, devs]}\n"


@pytest.mark.parametrize(
    ("rules", "question", "names"),
    [
        ("", {}, []),
        ("", {"path": "README.md"}, ["role:devs", "role:ops"]),
        ("  - {name: a, change: {file: 'x/**'}, deny: frozen}\n", {"path": "x/y"}, []),
        ("  - {name: a, change: {file: 'x/**'}, deny: frozen}\n", {"path": "y"}, ["role:devs", "role:ops"]),
        # a denial to some is none to the others
        ("  - {name: a, change: {file: 'x/**'}, deny: {reason: r, to: devs}}\n", {"path": "x/y"}, ["role:ops"]),
        (
            "  - {name: a, change: {file: 'x/**'}, deny: {reason: r, to: {all: [devs, ops]}}}\n",
            {"path": "x/y"},
            ["role:devs", "role:ops"],
        ),
        # whoever is in a role, and everybody, is denied what is denied to it
        (
            "  - {name: a, change: {file: 'x/**'}, deny: {reason: r, to: devs}}\n"
            "  - {name: b, change: {file: 'x/**'}, allow: ['user:eve', 'user:olga']}\n",
            {"path": "x/y"},
            ["role:ops", "user:olga"],
        ),
        ("  - {name: a, change: {file: 'x/**'}, deny: {reason: r, to: anyone}}\n", {"path": "x/y"}, []),
        ("  - {name: a, change: {file: 'x/**'}, deny: {reason: r, to: all}}\n", {"path": "x/y"}, []),
        # only takes away what others allow
        ("  - {name: a, change: {file: 'x/**'}, only: ops}\n", {"path": "x/y"}, ["role:ops"]),
        ("  - {name: a, change: {file: 'x/**'}, only: 'user:eve'}\n", {"path": "x/y"}, ["user:eve"]),
        (
            "  - {name: a, change: {file: 'x/**'}, only: ops}\n  - {name: b, change: {file: '**'}, only: devs}\n",
            {"path": "x/y"},
            ["role:devs and role:ops"],
        ),
        # who must be several things at once is one name, and need not be said where one of them is enough
        (
            "  - {name: a, change: {file: 'x/**'}, only: {all: [ops, devs]}}\n",
            {"path": "x/y"},
            ["role:devs and role:ops"],
        ),
        (
            "  - {name: a, change: {file: 'x/**'}, only: [ops, 'user:eve']}\n"
            "  - {name: b, change: {file: 'x/*'}, only: [ops, devs]}\n",
            {"path": "x/y"},
            ["role:devs and user:eve", "role:ops"],
        ),
        (
            "  - {name: a, change: {file: 'x/**'}, only: {all: [ops, devs]}}\n"
            "  - {name: b, change: {file: 'x/**'}, deny: {reason: r, to: ops}}\n",
            {"path": "x/y"},
            [],
        ),
        # what depends on the change takes nothing away for certain
        (
            "  - {name: a, change: {file: 'x/**', action: added}, deny: r}\n",
            {"path": "x/y"},
            ["role:devs", "role:ops"],
        ),
        (
            "  - {name: a, change: {field: spec.replicas, new: '> 3'}, deny: r}\n",
            {"path": "y", "kind": "Deployment.apps", "field": "spec.replicas"},
            ["role:devs", "role:ops"],
        ),
        ("  - {name: a, change: {field: v}, deny: r}\n", {"path": "inventories/prod/hosts.yml", "field": "v"}, []),
        (
            "  - {name: a, change: {object: {kind: Secret}}, deny: r}\n",
            {"path": "y", "kind": "Secret", "name": "a/b"},
            [],
        ),
        (
            "  - {name: a, change: {object: {kind: '*', namespace: 'kube-*'}}, deny: r}\n",
            {"path": "y", "kind": "Secret", "name": "a/b"},
            ["role:devs", "role:ops"],
        ),
    ],
)
def test_who_may(rules: str, question: dict[str, str], names: list[str]) -> None:
    rules = EVERYTHING + rules if question else "  []\n"
    asked = [question.get(key, "") for key in ("path", "kind", "name", "field")]
    assert _info.who(tree(rules), *asked)["who"] == names


@pytest.mark.parametrize(
    ("denied", "names"),
    [
        ("developers", ["role:ops"]),  # the shop's are developers
        ("team:shop", ["role:ops", "role:shop"]),  # of which there may be others in the role
        ("team:own", ["role:ops", "role:shop"]),
        ("anyone", []),
    ],
)
def test_who_is_denied_something_may_not_by_another_name(denied: str, names: list[str]) -> None:
    roles = (
        "roles:\n  shop: {members: [team:shop, 'user:eve']}\n  developers: {members: [role:shop]}\n"
        "  ops: {members: [team:platform]}\nteams: {own: [mona]}\n"
    )
    rules = (
        "  - {name: a, change: {file: '**'}, allow: [shop, ops, 'user:mona']}\n"
        f"  - {{name: b, change: {{file: '**'}}, deny: {{reason: r, to: '{denied}'}}}}\n"
    )
    found = _info.who(tree(rules, **{"policy/roles.yml": roles}), "x")["who"]
    assert found == sorted({*names, *(["user:mona"] if denied in ("developers", "team:shop") else [])})


@pytest.mark.parametrize(
    ("who", "names"),
    [
        (Who("one", "a"), ["role:a"]),
        (Who("any"), []),
        (Who("all"), []),
        (Who("any", of=(Who("one", "b"), Who("one", "user:a"))), ["role:b", "user:a"]),
        (Who("all", of=(Who("one", "b"), Who("one", "team:a"))), ["role:b and team:a"]),
        (Who("all", of=(Who("one", "anyone"), Who("one", "a"))), ["role:a"]),
        (
            Who("all", of=(Who("any", of=(Who("one", "a"), Who("one", "b"))), Who("one", "c"))),
            ["role:a and role:c", "role:b and role:c"],
        ),
        # whoever is a needs no b
        (Who("any", of=(Who("one", "a"), Who("all", of=(Who("one", "a"), Who("one", "b"))))), ["role:a"]),
    ],
)
def test_names_of_whom_a_rule_means(who: Who, names: list[str]) -> None:
    assert list(who.names()) == names


def test_ways_without_number_are_told_as_they_are_written() -> None:
    wide = tuple(Who("any", of=tuple(Who("one", f"{letter}{number}") for number in range(20))) for letter in "abcdef")
    (name,) = Who("all", of=wide).names()
    assert name.startswith("(role:a0 or role:a1 or ") and name.count(" and ") == 5


@pytest.mark.parametrize(
    ("limit", "demands", "always"),
    [
        ("deny: no way", "denied: no way", True),
        ("deny: {reason: never, to: [devs, ops]}", "denied to role:devs or role:ops: never", True),
        ("only: {all: [devs, ops]}", "only role:devs and role:ops", True),
        ("allow: devs, approvals: 1", "1 approval by role:devs", True),
        (
            "approvals: {count: 2, from: ops, unless: 'user:eve'}",
            "2 approvals by role:ops, unless all behind it are user:eve",
            True,
        ),
        ("codeowners: approve", "approval by its code owners, user:carl", True),
        ("require: [{pss: baseline}, {replicas: {minimum: 2}}]", "must pass pss, replicas", True),
    ],
)
def test_limits_in_words(limit: str, demands: str, always: bool) -> None:
    found = _info.who(tree(f"  - {{name: a, change: {{file: '**'}}, {limit}}}\n", CODEOWNERS="* @carl"), "x")
    assert {"rule": "a", "demands": demands, "condition": "", "always": always} in found["limits"]


def test_conditions_in_words() -> None:
    rules = "  - {name: a, change: {field: v, action: [added, removed], new: 1}, allow: ops}\n"
    found = _info.who(tree(rules), "inventories/x/group_vars/all.yml", field_path="v")
    assert found["by"] == [{"rule": "a", "who": "role:ops", "condition": "when added or removed, for some values"}]
    text = _info.as_text(found)
    assert text.startswith("who may change it: role:ops\n  by rule a (when added or removed, for some values)\n")


HOSTS = "all: {children: {control_plane: {hosts: {cp1: }}, workers: {hosts: {w1.example.org: , w2: }}, none: {}}}\n"


@pytest.mark.parametrize(
    ("selector", "file", "names", "limits"),
    [
        ("group: workers", "prod/group_vars/workers.yml", ["role:ops"], []),
        ("group: workers", "prod/group_vars/workers/a.yaml", ["role:ops"], []),
        ("group: workers", "prod/host_vars/w2.yml", ["role:ops"], []),
        ("group: workers", "prod/group_vars/all.yml", [], ["perhaps"]),  # the control plane has it as well
        ("group: workers", "base/group_vars/workers.yml", ["role:ops"], []),
        ("group: workers", "prod/group_vars/control_plane.yml", [], None),
        ("group: none", "prod/group_vars/none.yml", ["role:ops"], []),
        ("host: 'w*'", "prod/group_vars/workers.yml", ["role:ops"], []),
        ("host: w2", "prod/group_vars/workers.yml", [], ["perhaps"]),
        ("host: w1.example.org", "prod/host_vars/w1.example.org.yml", ["role:ops"], []),
        ("host: w9", "prod/host_vars/w9.yml", ["role:ops"], []),  # which nobody is yet
        ("group: control_plane", "prod/hosts.yml", [], ["perhaps"]),
    ],
)
def test_a_variable_reaches_whom_the_inventories_say(
    selector: str, file: str, names: list[str], limits: list[str] | None
) -> None:
    """By a rule that allows, and by one that denies: "perhaps" where it is about some of those who are reached."""
    there = {"inventories/prod/hosts.yml": HOSTS, "inventories/base/group_vars/all.yml": "a: 1\n"}
    path = f"inventories/{file}"
    allowing = tree(f"  - {{name: a, change: {{{selector}}}, allow: ops}}\n", **there)
    assert _info.who(allowing, path, "", "", "v")["who"] == names
    found = _info.who(
        tree(EVERYTHING + f"  - {{name: a, change: {{{selector}}}, deny: r}}\n", **there), path, "", "", "v"
    )
    said = None if not found["limits"] else ["perhaps" for one in found["limits"] if not one["always"]]
    assert said == limits and bool(found["who"]) is (limits != [])


def test_a_field_that_cannot_be_understood() -> None:
    with pytest.raises(PolicyError, match=r"a\[b"):
        _info.who(tree(EVERYTHING), "x", field_path="a[b")


RULES = """\
  - {name: everything, change: {file: '**'}, allow: ops}
  - {name: apps, change: {file: 'apps/**'}, allow: anyone}
  - {name: carved, change: {file: 'apps/stone'}, deny: it is carved}
  - {name: versions, change: {file: 'inventories/**', field: cluster_kubernetes_version}, only: devs}
  - {name: shop, change: {object: {kind: '*', namespace: shop}}, allow: devs}
  - {name: away, change: {object: {kind: '*', namespace: shop}}, deny: {reason: left, to: 'user:eve'}}
"""


@pytest.mark.parametrize(
    ("rules", "area", "who", "limits"),
    [
        # what is denied always is denied in its own area
        ("change: {file: 'x/**', action: removed}, deny: r", "action removed, file x/**", [], [("", True)]),
        (
            "change: {file: 'x/**', action: removed}, deny: r",
            "file **",
            ["role:devs", "role:ops"],
            [],
        ),
        ("change: {field: v, new: 1}, deny: r", "field v, new 1", [], [("", True)]),
        ("change: {field: v, old: 1, action: changed}, deny: r", "action changed, field v, old 1", [], [("", True)]),
        # several selectors of one rule may be all of an area together
        (
            "change: [{file: 'x/**', action: [added, changed]}, {file: 'x/**', action: removed}], deny: r",
            "action removed, file x/**",
            [],
            [("", True)],
        ),
        # what comes or goes takes along what is in it; what changes need not
        (
            "change: {object: {kind: Pod}, action: removed}, deny: r}\n"
            "  - {name: b, change: {object: {kind: Pod}, field: spec.x, action: removed}, allow: ops",
            "action removed, field spec.x, object {kind Pod}",
            ["role:devs", "role:ops"],
            [("when removed", False)],
        ),
        (
            "change: {object: {kind: Pod}, field: 'spec.x[name=a].y', action: removed}, deny: r}\n"
            "  - {name: b, change: {object: {kind: Pod}, action: removed}, allow: ops",
            "action removed, object {kind Pod}",
            ["role:devs", "role:ops"],
            [],
        ),
        (
            "change: {object: {kind: Pod}, field: spec, action: [changed, removed]}, deny: r}\n"
            "  - {name: b, change: {object: {kind: Pod}, field: 'spec.x[name=a].y[1]', action: removed}, allow: ops",
            "action removed, field spec.x[name=a].y[1], object {kind Pod}",
            [],
            [("", True)],
        ),
        (
            "change: {field: v, action: added}, deny: r}\n  - {name: b, change: {field: v, new: 2}, allow: ops",
            "field v, new 2",
            ["role:devs", "role:ops"],
            [("when added", False)],
        ),
        (
            "change: {field: v, new: 1}, deny: r}\n  - {name: b, change: {field: v, new: 2}, allow: ops",
            "field v, new 2",
            ["role:devs", "role:ops"],
            [("for some values", False)],
        ),
    ],
)
def test_an_area_has_the_action_and_values_of_its_rule(
    rules: str, area: str, who: list[str], limits: list[tuple[str, bool]]
) -> None:
    found = _info.report(tree(EVERYTHING + f"  - {{name: a, {rules}}}\n"))
    (row,) = [row for row in found["matrix"] if row["area"] == area]
    assert row["who"] == who
    assert [(one["condition"], one["always"]) for one in row["limits"] if one["rule"] == "a"] == limits


VERSIONS = "field cluster_kubernetes_version, file inventories/**"


@pytest.mark.parametrize(
    ("login", "areas"),
    [
        ("olga", ["file **", "file apps/**", "object {kind *, namespace shop}"]),
        ("mona", [VERSIONS, "file apps/**", "object {kind *, namespace shop}"]),
        ("EVE", [VERSIONS, "file apps/**"]),
        ("stranger", ["file apps/**"]),
    ],
)
def test_what_somebody_may(login: str, areas: list[str]) -> None:
    assert [row["area"] for row in _info.may(tree(RULES), Person(login), TEAMS)] == areas


TWO = "2 approvals by role:ops, unless all behind it are role:ops"
KEPT = "denied to role:devs: keep it"
DEMANDING = """\
  - {name: everything, change: {file: '**'}, allow: [ops, devs]}
  - {name: asked, change: {file: '**'}, approvals: {count: 2, from: ops, unless: ops}}
  - {name: kept, change: {file: '**', action: removed}, deny: {reason: keep it, to: devs}}
  - {name: made, change: {file: 'made/**'}, only: ops}
  - {name: versions, change: {field: v, new: '1.*'}, allow: devs, approvals: 1}
"""


@pytest.mark.parametrize(
    ("login", "text"),
    [
        (
            "olga",
            "action removed, file **\n  by rule everything\n"
            "field v, new 1.*\n  by rule everything\n  1 approval by role:devs (rule versions)\n"
            "file **\n  by rule everything\n"
            "file made/**\n  by rule everything\n  by rule made\n",
        ),
        (
            "mona",
            "field v, new 1.*\n  by rule everything\n  by rule versions\n"
            f"  {TWO} (rule asked)\n  {KEPT} (rule kept, when removed)\n  1 approval by role:devs (rule versions)\n"
            f"file **\n  by rule everything\n  {TWO} (rule asked)\n  {KEPT} (rule kept, when removed)\n",
        ),
        ("stranger", "nothing\n"),
    ],
)
def test_what_is_demanded_of_somebody(login: str, text: str) -> None:
    assert _info.as_text({"may": _info.may(tree(DEMANDING), Person(login), TEAMS)}) == text


def test_what_cannot_be_told_of_somebody_is_demanded() -> None:
    rules = "  - {name: a, change: {file: x}, allow: anyone, approvals: {from: ops, unless: 'team:nowhere'}}\n"
    (row,) = _info.may(tree(rules), Person("mona"), TEAMS)
    assert [one["rule"] for one in row["limits"]] == ["a"]


OWNED = """\
  - {name: owners, change: {file: ['docs/**', 'apps/**']}, codeowners: change}
  - {name: readers, change: {file: 'apps/**'}, codeowners: approve}
"""
CODEOWNERS = "/docs/ @carl @acme/shop\n/apps/ @Carl\n/apps/free/\n/docs/empty/ @dora\nnobody @ @carl\n"
TEAMS_OF_ACME = FileTeams({"acme/shop": ["mona"]})
FILES = {"CODEOWNERS": CODEOWNERS, "docs/a.md": "", "apps/free/x": "", "apps/web/x": "", "README.md": ""}


@pytest.mark.parametrize(
    ("path", "names", "limits"),
    [
        ("docs/a.md", ["team:acme/shop", "user:carl"], []),
        ("apps/web/x", ["user:Carl"], ["approval by its code owners, user:Carl"]),
        ("apps/free/x", [], []),  # a line without owners
        ("README.md", [], []),
    ],
)
def test_code_owners_of_a_path_are_named(path: str, names: list[str], limits: list[str]) -> None:
    found = _info.who(tree(OWNED, **FILES), path)
    assert found["who"] == names and [one["demands"] for one in found["limits"]] == limits


def test_who_approves_as_a_code_owner_is_not_the_one_who_asks() -> None:
    """What of an area is somebody's does not make them the one whose approval is demanded, nor spares them of it."""
    readers = "  - {name: a, change: {file: 'apps/**'}, allow: anyone}\n" + OWNED
    for login in ("carl", "mona"):
        rows = {row["area"]: row for row in _info.may(tree(readers, **FILES), Person(login), TEAMS_OF_ACME)}
        assert [one["demands"] for one in rows["file apps/**"]["limits"]] == ["approval by its code owners"], login


PODS = """\
  - {name: ops, change: {file: '**'}, allow: ops}
  - {name: shop, change: {object: {namespace: shop}}, allow: devs}
  - {name: pods, require: {object: {kind: Pod, namespace: shop}, pss: baseline}}
  - {name: safe, change: {object: {kind: 'Role*', group: rbac.authorization.k8s.io}}, deny: r}
  - {name: ours, change: {file: 'policy/**'}, only: ops}
"""


@pytest.mark.parametrize(
    ("question", "names", "perhaps", "limits"),
    [
        # a file of objects may hold what others may change; one of words does not
        (["apps/a.yaml"], ["role:ops"], ["role:devs"], []),
        (["README.md"], ["role:ops"], [], []),
        (["policy/a.yml"], ["role:ops"], [], ["only role:ops"]),
        # so may some of a kind, where none is named
        (["a.yaml", "ConfigMap"], ["role:ops"], ["role:devs"], []),
        (["a.yaml", "ConfigMap", "shop/a"], ["role:devs", "role:ops"], [], []),
        (["a.yaml", "ConfigMap", "other/a"], ["role:ops"], [], []),
        # a content rule about Pods is one about what makes them
        (["a.yaml", "Deployment", "shop/a"], ["role:devs", "role:ops"], [], ["must pass pss"]),
        (["a.yaml", "CronJob.batch", "shop/a"], ["role:devs", "role:ops"], [], ["must pass pss"]),
        (["a.yaml", "Deployment", "other/a"], ["role:ops"], [], []),
        (["a.yaml", "Service", "shop/a"], ["role:devs", "role:ops"], [], []),
        # Kubernetes' own kinds are known without their group
        (["a.yaml", "RoleBinding", "shop/a"], [], [], ["denied: r"]),
        (["a.yaml", "RoleBinding.example.org", "shop/a"], ["role:devs", "role:ops"], [], []),
    ],
)
def test_what_the_answer_depends_on(
    question: list[str], names: list[str], perhaps: list[str], limits: list[str]
) -> None:
    found = _info.who(tree(PODS), *question)
    assert found["who"] == names
    assert [one["who"] for one in found["perhaps"]] == perhaps
    assert [one["demands"] for one in found["limits"]] == limits
    told = "  perhaps role:devs, by what is in it (rule shop)\n" in _info.as_text(found)
    assert told == bool(perhaps)


def test_a_file_and_a_kind_that_are_not_there_are_told() -> None:
    assert "There is no such file now." in _info.as_text(_info.who(tree(PODS), "a.yaml"))
    assert "no such file" not in _info.as_text(_info.who(tree(PODS, **{"a.yaml": ""}), "a.yaml"))
    with pytest.raises(PolicyError, match=r"has no kind Deploymnet; .* with its group, Deploymnet\.GROUP"):
        _info.who(tree(PODS), "a.yaml", "Deploymnet")


def test_code_owners_are_somebody_in_the_matrix() -> None:
    found = _info.report(tree(OWNED, **FILES))
    rows = {row["area"]: (row["who"], [one["demands"] for one in row["limits"]]) for row in found["matrix"]}
    assert rows == {
        "file apps/**": (["code owners"], ["approval by its code owners"]),
        "file docs/** or apps/**": (["code owners"], []),
    }
    assert found["nobody_may"] == []
    (problem,) = found["codeowners"]
    assert problem.startswith("CODEOWNERS:5: '@' is no owner")
    assert "Lines of CODEOWNERS that do not count: CODEOWNERS:5: " in _info.as_text(found)
    missing = _info.report(tree(OWNED))
    assert missing["codeowners"] == ["a rule asks for CODEOWNERS, and there is no such file in the target branch"]


@pytest.mark.parametrize(
    ("login", "areas"),
    [
        (
            "carl",
            {
                "file apps/**": "what is theirs by CODEOWNERS:2",
                "file docs/** or apps/**": "what is theirs by CODEOWNERS:1, CODEOWNERS:2",
            },
        ),
        ("mona", {"file docs/** or apps/**": "what is theirs by CODEOWNERS:1"}),
        ("dora", {}),  # there is no file that is hers
    ],
)
def test_what_is_somebodys_by_codeowners(login: str, areas: dict[str, str]) -> None:
    found = _info.may(tree(OWNED, **FILES), Person(login), TEAMS_OF_ACME)
    assert {row["area"]: row["by"][0]["condition"] for row in found} == areas


def test_the_whole_matrix_and_what_is_odd() -> None:
    odd = "  - {name: never, change: {object: {kind: 'A,!A'}}, allow: ops}\n"
    found = _info.report(tree(RULES + odd), FileTeams({"platform": ["olga"]}))
    rows = {row["area"]: row["who"] for row in found["matrix"]}
    assert rows == {
        VERSIONS: ["role:devs"],
        "file **": ["role:ops"],
        "file apps/**": ["anyone", "role:ops"],
        "file apps/stone": [],
        "object {kind *, namespace shop}": ["role:devs", "role:ops"],
    }
    assert found["never_match"] == ["never"]
    assert found["nobody_may"] == ["file apps/stone"]
    text = _info.as_text(found)
    assert "Rules that can never match: never\n" in text


THERE = {
    "README.md": "",
    "docs/a.md": "",
    "apps/shop/x.yaml": "",
    "charts/x/README": "",
    "inventories/prod/hosts": "all: {vars: {cluster_nmae: x, own: y}}",
}


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("  []\n", ["README.md", "apps/**", "charts/**", "docs/**", "inventories/**", "policy/**"]),
        ("  - {name: a, change: {file: '**'}, allow: ops}\n", []),
        ("  - {name: a, change: {file: '**'}, approvals: {from: ops}}\n", 6),
        ("  - {name: a, change: {file: ['docs/**', 'policy/roles.yml']}, allow: ops}\n", 4),
        ("  - {name: a, change: {environment: prod}, only: ops}\n", 5),
        # objects may be in YAML, and inventories are whatever they are called
        ("  - {name: a, change: {object: {kind: Pod}}, allow: ops}\n", ["README.md", "charts/**", "docs/**"]),
        ("  - {name: a, change: {file: '*/*', field: v}, allow: ops}\n", 5),
        ("  - {name: a, change: {file: '**', type: path}, allow: ops}\n", []),
        # of code owners, those who are there
        ("  - {name: a, change: {file: '**'}, codeowners: change}\n", 5),
        ("  - {name: a, codeowners: change}\n", 5),
    ],
)
def test_paths_in_which_no_rule_allows_anything(rules: str, left: list[str] | int) -> None:
    owners = {"CODEOWNERS": "/docs/ @carl\n/CODEOWNERS @carl\n"} if "codeowners" in rules else {}
    found = _info.report(tree(rules, **THERE, **owners))["no_rule_allows"]
    assert isinstance(found, list)
    assert found == left if isinstance(left, list) else len(found) == left


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("change: {file: 'apps/**'}, allow: ops", []),
        (
            "change: {file: ['apps/**', 'aps/**', README, '!x']}, allow: ops",
            ["no file matches aps/**", "no file matches README"],
        ),
        ("change: {file: 'new/**', action: added}, allow: ops", []),
        ("change: {file: 'new/**', action: [added, removed]}, allow: ops", ["no file matches new/**"]),
        ("change: {environment: [prod, stage]}, allow: ops", ["nothing belongs to an environment stage"]),
        ("change: {environment: '*'}, allow: ops", []),
        (
            "change: {file: 'apps/**', environment: prod}, allow: ops",
            ["no file that matches apps/** belongs to the environment prod"],
        ),
        (
            "change: {file: x}, deny: r, exceptions: [{until: 2030-01-31, approved_by: 'user:a', reason: r, "
            "change: {file: y}}]",
            ["no file matches x", "no file matches y"],
        ),
        ("require: {pss: baseline, file: 'pods/**'}", ["no file matches pods/**"]),
        ("change: {field: cluster_kubernetes_version}, allow: ops", []),
        (
            "change: {field: cluster_kubernets_version}, allow: ops",
            ["there is no variable cluster_kubernets_version; do you mean cluster_kubernetes_version?"],
        ),
        (
            "change: {field: clutser_kubernetes_version.x}, allow: ops",
            ["there is no variable clutser_kubernetes_version; do you mean cluster_kubernetes_version?"],
        ),
        ("change: {field: cluster_qqqqqqqqqq}, allow: ops", ["there is no variable cluster_qqqqqqqqqq"]),
        ("change: {field: [cluster_nmae, own, spec.x, 'cluster_*', '**.x']}, allow: ops", []),  # it is in an inventory
        ("change: {field: cluster_kubernets_version, object: {kind: X}}, allow: ops", []),
    ],
)
def test_what_a_rule_says_of_nothing_that_is_there(rule: str, said: list[str]) -> None:
    links = {"inventories/prod/link": ("120000", "hosts")}
    found = _info.report(TreeOf({**tree(f"  - {{name: a, {rule}}}\n", **THERE).files, **links}))
    assert found["match_nothing"] == [f"{one} (rule a)" for one in said]


class Forge:
    """Knows olga, and of teams only platform; it may not say who is in team secret."""

    def members(self, team: str) -> list[str] | None:
        if team == "secret":
            raise IdentityError("the token may not see it")
        return ["olga"] if team == "platform" else None

    def exists(self, login: str) -> bool | None:
        return None if login == "hidden" else login == "olga"


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("roles: {ops: {members: [%s]}}\n", "role ops"),
        ("owners: {any: ['user:olga', {all: [%s, 'user:olga']}]}\n", "owners"),
        ("change: {file: x}, allow: %s", "rule r"),
        ("change: {file: x}, allow: {all: ['user:olga', %s]}", "rule r"),
        ("change: {file: x}, only: %s", "rule r"),
        ("change: {file: x}, deny: {reason: r, to: %s}", "rule r"),
        ("change: {file: x}, approvals: {from: %s}", "rule r"),
        ("change: {file: x}, approvals: {from: anyone, unless: %s}", "rule r"),
        (
            "change: {file: x}, deny: r, "
            "exceptions: [{until: 2030-01-31, approved_by: 'user:olga', reason: r, to: %s}]",
            "rule r",
        ),
    ],
)
@pytest.mark.parametrize(
    ("name", "list_name"),
    [
        ("'user:ghost'", "unknown_members"),
        ("'team:ghosts'", "unknown_members"),
        ("'user:hidden'", "untold_members"),
        ("'team:secret'", "untold_members"),
        ("'user:olga'", ""),
        ("'team:platform'", ""),
        ("'team:OWN'", ""),
        ("anyone", ""),
    ],
)
def test_members_who_exist_nowhere(where: str, place: str, name: str, list_name: str) -> None:
    files = {"policy/roles.yml": "teams: {own: [olga]}\n" + (where % name if place != "rule r" else "")}
    files["policy/rules/a.yml"] = f"rules: [{{name: r, {where % name}}}]\n" if place == "rule r" else ""
    found = _info.report(TreeOf(files), Forge())
    expected = [{"member": name.strip("'"), "named_in": [place]}]
    for key in ("unknown_members", "untold_members"):
        assert found[key] == (expected if key == list_name else [])


def test_people_of_the_policys_own_lists_and_who_answers_for_exceptions() -> None:
    exception = "{until: 2030-01-31, approved_by: 'user:ann', reason: r}"
    files = {
        "policy/roles.yml": "teams: {own: [ben, Olga]}\npeople: {cat: [c@example.org], ben: [b@example.org]}\n",
        "policy/rules/a.yml": f"rules: [{{name: r, change: {{file: x}}, deny: d, exceptions: [{exception}]}}]\n",
    }
    found = _info.report(TreeOf(files), FileTeams({"t": ["olga"]}))
    assert found["unknown_members"] == []  # a file does not say that there is no such account
    text = "Members of whom it cannot be told whether they exist:\n"
    text += "  user:ann (rule r)\n  user:ben (people, team own)\n  user:cat (people)\n"
    assert text in _info.as_text(found)
    nobody_asked = _info.report(TreeOf(files))
    assert nobody_asked["unknown_members"] == nobody_asked["untold_members"] == []
    assert "exist nowhere:\n  team:shop (role devs)\n  user:eve (role devs, rule away)\n" in _info.as_text(
        _info.report(tree(RULES), Forge())
    )


@pytest.mark.parametrize(
    "selector",
    [
        "{file: '**'}",
        "{file: 'a/*/c'}",
        "{file: 'a/**/[x-z]?.yml'}",
        "{file: '!docs/**'}",
        "{file: ['a/**', '!a/b/**']}",
        "{file: 'dir/'}",
        r"{file: 'with\*star'}",
        "{environment: prod}",
        "{environment: '!prod'}",
        "{type: host, host: 'cp*'}",
        "{group: workers, field: node_taints}",
        "{group: '!all', field: v}",
        "{field: 'spec.containers[name=web].image'}",
        "{field: 'spec.containers[*].image', object: {kind: Pod}}",
        "{field: 'a[2].b'}",
        "{field: '!spec.replicas', object: {kind: Deployment.apps}}",
        "{object: {group: '', kind: Pod, namespace: 'team-?', name: '*-web', labels: {tier: 'g*', x: '!y'}}}",
        "{object: {group: '*.example.org', kind: '*'}}",
        "{object: {kind: '!Secret', namespace: '!kube-*,!platform-*'}}",
        "{type: path, file: 'charts/**', action: removed}",
        "{field: v, old: 1, new: 2}",
    ],
)
def test_a_sample_is_what_its_selector_means(selector: str) -> None:
    found = policy(f"  - {{name: a, change: {selector}, allow: ops}}\n")
    (area,) = _areas.areas([found])
    (means,) = found.rules[0].selectors
    bare = means._replace(old=None, new=None, action=())
    assert all(bare.meets(view, False) == YES for view in views(area.effect, True))
    assert bare.leaf(area.effect, area.leaf) == YES
    assert _areas.ask(found, area).names() == {"role:ops"}


@pytest.mark.parametrize(
    "selector",
    [
        "{file: 'a,!a'}",
        "{object: {kind: Pod, name: 'x,!*'}}",
        "{field: ['spec', '!**', '!*', '!spec']}",
        "{host: '!*'}",
    ],
)
def test_what_nothing_can_be_has_no_sample(selector: str) -> None:
    (means,) = policy(f"  - {{name: a, change: {selector}, allow: ops}}\n").rules[0].selectors
    assert _areas.sample(means, "x", Layout()) is None

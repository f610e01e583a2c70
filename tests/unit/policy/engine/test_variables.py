# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a change of an inventory does to hosts and groups."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy._effect import Layout
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._inventories import Side, expand
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import MAYBE, NO, Patterns
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import LIMITS
from ansible_collections.weft.platform.plugins.plugin_utils._policy._rules import Selector, views
from ansible_collections.weft.platform.plugins.plugin_utils._policy._understand import understand
from ansible_collections.weft.platform.plugins.plugin_utils._policy._variables import Result, compare

HOSTS = """\
cluster:
  children:
    control_plane:
      hosts:
        cp1: {ansible_host: 192.0.2.1}
        cp2: {}
    workers:
      hosts:
        w[1:2]:
"""
START = {
    "inventories/base/group_vars/all.yml": "cluster_name: base\ncluster_kubernetes_version: '1.36'\n",
    "inventories/prod/hosts.yml": HOSTS,
    "inventories/prod/group_vars/cluster.yml": "cluster_name: prod\n",
    "inventories/dev/hosts.yml": HOSTS,
}


def result(repo: Any, change: Mapping[str, Any], start: Mapping[str, Any] = START) -> Result:
    base = repo.commit(start)
    head = repo.commit(change, base)
    with Repository(repo.path, base) as repository:
        merge = repository.merge(base, head, base)
        changed = [one.path for one in repository.changed(merge)]
        sides = [Side(tree, Layout(), _yaml.LIMITS) for tree in (merge.before, merge.after)]
        return compare(sides[0], sides[1], changed)


def is_opaque(repo: Any, change: Mapping[str, Any], start: Mapping[str, Any] = START) -> bool:
    """Whether a change says of itself that nobody knows what it does: prohibited, or only for who may do anything."""
    base = repo.commit(start)
    head = repo.commit(change, base)
    with Repository(repo.path, base) as repository:
        merge = repository.merge(base, head, base)
        differences = repository.changed(merge)
        found = understand(merge.before, merge.after, differences, Layout(), LIMITS, time.monotonic() + 60)
    return any(one.new for one in found.findings) or any(effect.opaque for effect in found.effects)


def said(found: Result) -> list[tuple[Any, ...]]:
    """(scope, label, variable, field, before, after) of every Change, sorted."""
    return sorted(
        (
            change.subject.scope.removeprefix("inventories/"),
            change.subject.labels[0][1],
            change.subject.name,
            change.field,
            change.before,
            change.after,
        )
        for effect in found.effects
        for change in effect.changes
    )


def test_a_variable_of_a_group(repo: Any) -> None:
    path = "inventories/prod/group_vars/workers.yml"
    found = result(repo, {path: "# a comment\nnode_swap: true\n"})
    assert said(found) == [("prod", "workers", "node_swap", (), ABSENT, True)]
    (effect,) = found.effects
    assert effect.files == (path,) and effect.environment == "prod" and effect.reach == "inventories/prod"
    assert [one.host for one in effect.reached] == ["w1", "w2"]
    assert {"workers", "cluster", "all"} == effect.reached[0].groups
    assert str(effect.changes[0].origin) == f"{path}:2"
    assert found.understood == {path} and found.problems == ([], [])


def test_a_shared_variable_reaches_every_environment_that_does_not_override_it(repo: Any) -> None:
    path = "inventories/base/group_vars/all.yml"
    found = result(repo, {path: "cluster_name: new\ncluster_kubernetes_version: '1.37'\n"})
    # prod overrides the name; that the shared value changes is told of dev, where it shows
    assert said(found) == [
        ("dev", "all", "cluster_kubernetes_version", (), "1.36", "1.37"),
        ("dev", "all", "cluster_name", (), "base", "new"),
        ("prod", "all", "cluster_kubernetes_version", (), "1.36", "1.37"),
    ]
    assert {effect.files for effect in found.effects} == {(path,)}


def test_what_is_overridden_everywhere_is_still_a_change(repo: Any) -> None:
    start = {**START, "inventories/dev/group_vars/cluster.yml": "cluster_name: dev\n"}
    found = result(
        repo, {"inventories/base/group_vars/all.yml": "cluster_name: x\ncluster_kubernetes_version: '1.36'\n"}, start
    )
    assert said(found) == [("base", "all", "cluster_name", (), "base", "x")]
    assert found.effects[0].environment == ""


def test_variables_of_a_group_without_hosts(repo: Any) -> None:
    found = result(repo, {"inventories/prod/group_vars/gpu.yml": "node_labels: {gpu: a100}\n"})
    assert said(found) == [("prod", "gpu", "node_labels", (), ABSENT, {"gpu": "a100"})]


def test_moved_and_reformatted_files_are_no_change(repo: Any) -> None:
    found = result(
        repo,
        {
            "inventories/prod/group_vars/cluster.yml": None,
            "inventories/prod/group_vars/cluster/name.yml": "---\n# moved\n'cluster_name':   \"prod\"\n",
            "inventories/base/group_vars/all.yml": 'cluster_kubernetes_version: "1.36"\ncluster_name: base\n',
        },
    )
    assert found.effects == [] and len(found.understood) == 3


def test_a_definition_that_says_what_holds_anyway_is_no_change(repo: Any) -> None:
    found = result(repo, {"inventories/prod/group_vars/workers.yml": "cluster_name: prod\n"})
    assert found.effects == []
    moved = result(
        repo,
        {
            "inventories/prod/group_vars/cluster.yml": None,
            "inventories/prod/group_vars/workers.yml": "cluster_name: prod\n",
            "inventories/prod/group_vars/control_plane.yml": "cluster_name: prod\n",
        },
    )
    assert moved.effects == []


def test_fields_inside_a_variable(repo: Any) -> None:
    path = "inventories/prod/host_vars/cp1.yml"
    start = {**START, path: "node_labels:\n  zone: a\n  rack: r1\n"}
    found = result(repo, {path: "node_labels:\n  zone: b\n  rack: r1\n"}, start)
    assert said(found) == [("prod", "cp1", "node_labels", ("zone",), "a", "b")]
    assert str(found.effects[0].changes[0].origin) == f"{path}:2"


def test_removing_an_override_shows_what_comes_through(repo: Any) -> None:
    found = result(repo, {"inventories/prod/group_vars/cluster.yml": None})
    assert said(found) == [("prod", "all", "cluster_name", (), "prod", "base")]
    assert found.effects[0].files == ("inventories/prod/group_vars/cluster.yml",)


def test_hosts_that_come_go_and_move(repo: Any) -> None:
    start = {**START, "inventories/prod/group_vars/workers.yml": "node_swap: true\n"}
    hosts = HOSTS.replace("        cp2: {}\n", "        w1:\n").replace("w[1:2]:", "w[2:3]: {node_name: x}")
    found = result(repo, {"inventories/prod/hosts.yml": hosts}, start)
    assert said(found) == [
        ("prod", "cp2", "cp2", (), {"groups": ["all", "cluster", "control_plane"]}, ABSENT),
        ("prod", "w1", "node_swap", (), True, ABSENT),
        ("prod", "w1", "w1", ("groups",), ["all", "cluster", "workers"], ["all", "cluster", "control_plane"]),
        ("prod", "w2", "node_name", (), ABSENT, "x"),
        ("prod", "w3", "node_name", (), ABSENT, "x"),
        ("prod", "w3", "w3", (), ABSENT, {"groups": ["all", "cluster", "workers"]}),
    ]
    assert all(effect.files == ("inventories/prod/hosts.yml",) for effect in found.effects)


def test_a_host_that_goes_takes_its_own_variables_along(repo: Any) -> None:
    start = {**START, "inventories/prod/host_vars/w2.yml": "node_swap: true\n"}
    found = result(repo, {"inventories/prod/hosts.yml": HOSTS.replace("w[1:2]", "w1")}, start)
    assert ("prod", "w2", "node_swap", (), True, ABSENT) in said(found)


def test_variables_in_the_inventory_file(repo: Any) -> None:
    hosts = HOSTS.replace("cp2: {}", "cp2: {ansible_host: 192.0.2.9}") + "  vars:\n    cluster_name: inline\n    a: 1\n"
    found = result(repo, {"inventories/prod/hosts.yml": hosts})
    # group_vars win over the inventory file, so the name does not change but its shadow is told
    assert said(found) == [
        ("prod", "all", "a", (), ABSENT, 1),
        ("prod", "cluster", "cluster_name", (), ABSENT, "inline"),
        ("prod", "cp2", "ansible_host", (), ABSENT, "192.0.2.9"),
    ]


def test_precedence_by_depth_priority_and_name(repo: Any) -> None:
    hosts = (
        "a: {hosts: {h: }}\nb: {hosts: {h: }}\ntop: {children: {a: , b: , mid: {children: {deep: {hosts: {h: }}}}}}\n"
    )
    start = {
        "inventories/x/hosts.yml": hosts,
        **{f"inventories/x/group_vars/{name}.yml": f"v: {name}\n" for name in ("a", "b", "top", "mid", "deep", "all")},
    }
    prefix = "inventories/x/group_vars"
    assert said(result(repo, {f"{prefix}/deep.yml": None}, start)) == [("x", "h", "v", (), "deep", "mid")]
    without = {**start, f"{prefix}/deep.yml": "w: 1\n", f"{prefix}/mid.yml": "w: 1\n"}
    assert said(result(repo, {f"{prefix}/b.yml": None}, without)) == [("x", "h", "v", (), "b", "a")]
    priority = {
        **without,
        "inventories/x/hosts.yml": hosts.replace("a: {hosts", "a: {vars: {ansible_group_priority: 9}, hosts", 1),
    }
    assert said(result(repo, {f"{prefix}/a.yml": None}, priority)) == [("x", "h", "v", (), "a", "b")]


def test_the_environment_wins_over_what_is_shared_even_with_a_parent_group(repo: Any) -> None:
    start = {
        **START,
        "inventories/base/group_vars/workers.yml": "v: shared\n",
        "inventories/prod/group_vars/cluster.yml": "cluster_name: prod\nv: own\n",
    }
    found = result(repo, {"inventories/base/group_vars/workers.yml": "v: other\n"}, start)
    assert said(found) == [("dev", "workers", "v", (), "shared", "other")]


@pytest.mark.parametrize(
    "path",
    [
        "inventories/prod/group_vars/cluster.yaml",  # cluster.yml is found before it
        "inventories/prod/group_vars/.hidden.yml",
        "inventories/prod/group_vars/cluster.txt",
        "inventories/prod/lock.yml",
        "inventories/prod/other.yml",
    ],
)
def test_files_that_ansible_does_not_read_are_left_to_others(repo: Any, path: str) -> None:
    found = result(repo, {path: "a: 1\n"})
    assert path not in found.understood and found.effects == []


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("inventories/prod/group_vars/workers.yml", "a: [", "not YAML"),
        ("inventories/prod/group_vars/workers.yml", "- a", "no mapping"),
        ("inventories/prod/group_vars/workers.yml", "a: 1\n---\nb: 1", "second document"),
        ("inventories/prod/group_vars/workers.yml", "a: 1\na: 2", "there already, at line 1"),
        ("inventories/prod/group_vars/workers.yml", ("120000", "/etc/passwd"), "out of the repository"),
        ("inventories/prod/group_vars/workers.yml", ("120000", "../../../../x"), "out of the repository"),
        ("inventories/prod/group_vars/workers.yml", ("120000", "workers.yml"), "circle"),
        ("inventories/prod/hosts.yml", "- a", "no mapping of groups"),
        ("inventories/prod/hosts.yml", "g: 3", "no mapping"),
        ("inventories/prod/hosts.yml", "g: {hosts: [a]}", "no mapping"),
        ("inventories/prod/hosts.yml", "g: {host: {a: }}", "hosts, vars and children only"),
        ("inventories/prod/hosts.yml", "g: {hosts: {a: 1}}", "no mapping"),
        ("inventories/prod/hosts.yml", "g: {children: {h: {children: {g: }}}}", "children of each other"),
        ("inventories/prod/hosts.yml", "g: {hosts: {'n[0:999999999]': }}", "more than 100000 hosts"),
    ],
)
def test_what_ansible_would_not_understand(repo: Any, path: str, content: Any, message: str) -> None:
    found = result(repo, {path: content})
    assert any(message in said and origin.file for origin, said in found.problems[0]), found.problems
    assert found.problems[1] == []
    assert path not in found.understood


def test_a_sealed_file_is_left_to_others(repo: Any) -> None:
    path = "inventories/prod/group_vars/all/vault.yml"
    found = result(repo, {path: "$ANSIBLE_VAULT;1.1;AES256\n6162\n"})
    assert found.understood == set() and found.problems == ([], []) and found.effects == []


def test_secrets_are_marked(repo: Any) -> None:
    path = "inventories/prod/group_vars/all.yml"
    text = "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\nb: 1\n"
    text += "containerd_registries:\n  - {prefix: x, password: geheim}\n"
    found = result(repo, {path: text})
    assert {change.subject.name: change.secret for one in found.effects for change in one.changes} == {
        "a": True,
        "containerd_registries": True,
        "b": False,
    }


def test_links_inside_the_tree_are_followed(repo: Any) -> None:
    start = {
        **START,
        "shared/vars.yml": "v: 1\n",
        "inventories/prod/group_vars/workers.yml": ("120000", "../../../shared/vars.yml"),
        "inventories/dev/group_vars": ("120000", "../prod/group_vars"),
    }
    found = result(repo, {"shared/vars.yml": "v: 2\n"}, start)
    assert said(found) == [("dev", "workers", "v", (), 1, 2), ("prod", "workers", "v", (), 1, 2)]
    assert found.effects[0].files == ("shared/vars.yml",)


def test_keys_written_with_escapes_are_seen(repo: Any) -> None:
    start = {
        **START,
        "inventories/prod/host_vars/w1.yml": '"\\x76": own\n',
        "inventories/prod/host_vars/w2.yml": "? v\n: own\n",
    }
    found = result(repo, {"inventories/prod/group_vars/all.yml": "v: 1\n"}, start)
    assert said(found) == [("prod", "control_plane", "v", (), ABSENT, 1)]


def test_an_inventory_without_environments(repo: Any) -> None:
    found = result(
        repo, {"inventories/base/group_vars/all.yml": "a: 2\n"}, {"inventories/base/group_vars/all.yml": "a: 1\n"}
    )
    assert said(found) == [("base", "all", "a", (), 1, 2)]


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("a", ["a"]),
        ("cp[1:3]", ["cp1", "cp2", "cp3"]),
        ("n[01:10:4]x", ["n01x", "n05x", "n09x"]),
        ("r[a:c]", ["ra", "rb", "rc"]),
        ("a[1:2]b[1:2]", ["a1b1", "a1b2", "a2b1", "a2b2"]),
        ("a[2:1]", []),
        ("a[:2]", ["a0", "a1", "a2"]),
        ("r[y:B]", ["ry", "rz", "rA", "rB"]),
        ("r[a:g:3]", ["ra", "rd", "rg"]),
        ("2001:db8::11", ["2001:db8::11"]),
        ("192.0.2.[1:2]", ["192.0.2.1", "192.0.2.2"]),
    ],
)
def test_ranges_of_hosts(pattern: str, hosts: list[str]) -> None:
    assert list(expand(pattern)) == hosts
    inventory = "import sys; from ansible.plugins.inventory import BaseInventoryPlugin as B; "
    ask = inventory + "print(*B._expand_hostpattern(None, sys.argv[1])[0])"
    said = subprocess.run([sys.executable, "-c", ask, pattern], capture_output=True, text=True, check=True).stdout
    assert said.split() == hosts


@pytest.mark.parametrize(
    "pattern",
    [
        "cp1:22",
        "cp[1:3]:22",
        "[cp1]:22",
        "[2001:db8::11]:22",
        "a[x]",
        "a[1:]",
        "a[01:100]",
        "a[1:2:0]",
        "a[1:b]",
        "a[c:a]",
    ],
)
def test_what_is_no_plain_name_is_no_other_host_either(repo: Any, pattern: str) -> None:
    """Ansible would take some for hosts that have a name already, and give them other variables unseen."""
    with pytest.raises(ValueError, match=r"is no plain name|has a range"):
        list(expand(pattern))
    hosts = f"all:\n  hosts:\n    cp1:\n    ? '{pattern}'\n    : {{v: 1}}\n"
    found = result(repo, {"inventories/prod/hosts.yml": hosts}, START)
    ((origin, _message),) = found.problems[0]
    assert (origin.file, origin.line) == ("inventories/prod/hosts.yml", 4)


@pytest.mark.parametrize(
    ("priority", "winner"), [("10", "a"), ("'10'", "a"), ("1.9", "b"), ("[10]", "b"), ("true", "b")]
)
def test_a_priority_is_what_ansible_makes_of_it(repo: Any, priority: str, winner: str) -> None:
    hosts = "all: {children: {a: {hosts: {h: }}, b: {hosts: {h: }}}}\n"
    files = {
        "inventories/x/hosts.yml": hosts.replace(
            "a: {hosts", f"a: {{vars: {{ansible_group_priority: {priority}}}, hosts"
        ),
        "inventories/x/group_vars/a.yml": "v: a\n",
        "inventories/x/group_vars/b.yml": "v: b\n",
    }
    found = result(repo, {f"inventories/x/group_vars/{winner}.yml": "v: c\n"}, files)
    assert said(found) == [("x", "h", "v", (), winner, "c")]


def test_a_priority_that_is_no_number_is_told(repo: Any) -> None:
    hosts = "all: {children: {a: {vars: {ansible_group_priority: high}, hosts: {h: }}}}\n"
    found = result(repo, {"inventories/x/hosts.yml": hosts}, {"inventories/x/hosts.yml": "all: {hosts: {h: }}\n"})
    assert [message for _origin, message in found.problems[0]] == ["ansible_group_priority is no number"]


def test_a_shadowed_change_does_not_hide_behind_another_of_the_same_variable(repo: Any) -> None:
    start = {
        **START,
        "inventories/prod/group_vars/workers.yml": "v: 1\n",
        "inventories/prod/host_vars/w1.yml": "v: 2\n",
        "inventories/prod/host_vars/w2.yml": "v: 3\n",
    }
    change = {"inventories/prod/group_vars/workers.yml": "v: 9\n", "inventories/prod/host_vars/w1.yml": "v: 4\n"}
    found = result(repo, change, start)
    assert said(found) == [("prod", "w1", "v", (), 2, 4), ("prod", "workers", "v", (), 1, 9)]


def test_a_definition_that_takes_another_place_says_where(repo: Any) -> None:
    start = {
        **START,
        "inventories/base/group_vars/all.yml": "cluster_name: prod\n",
        "inventories/dev/group_vars/all.yml": "cluster_name: dev\n",
    }
    found = result(repo, {"inventories/prod/group_vars/cluster.yml": None}, start)
    assert found.effects == []
    (quiet,) = found.quiet
    assert quiet.before == ("inventories/prod/group_vars/cluster.yml",)
    assert quiet.after == ("inventories/base/group_vars/all.yml",)
    assert [effect.subject.name for effect in quiet.effects] == ["cluster_name"]


# -- what Ansible makes of an inventory -------------------------------------------------------------------------------

TWO = "a: {hosts: {h: }}\nb: {hosts: {h: }}\n"
SEALED = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
PROD = "inventories/prod"


def test_hosts_in_no_other_group_are_ungrouped(repo: Any) -> None:
    hosts = "all: {hosts: {lone: }}\nungrouped: {hosts: {put: , cp1: }}\na: {hosts: {cp1: }}\n"
    found = result(repo, {f"{PROD}/group_vars/ungrouped.yml": "v: 1\n"}, {f"{PROD}/hosts.yml": hosts})
    (effect,) = found.effects
    assert {one.host: one.groups for one in effect.reached} == {host: {"all", "ungrouped"} for host in ("lone", "put")}


@pytest.mark.parametrize(
    "start",
    [
        {f"{PROD}/zz.yml": "aaa: {hosts: {w1: }}\n"},
        {f"{PROD}/zz.ini": "[aaa]\nw1\n"},
        {f"{PROD}/block.yml": "aaa: {hosts: {w1: }}\n"},
        {f"{PROD}/more/hosts": "[aaa]\nw1\n"},
        {f"{PROD}/hosts.yaml": "aaa: {hosts: {w1: }}\n"},
        {f"{PROD}/program": ("100755", "#!/bin/sh\necho '{}'\n")},
        {f"{PROD}/more": ("120000", "../../elsewhere")},
        {f"{PROD}/zz.yml": "plugin: constructed\ngroups: {aaa: inventory_hostname == 'w1'}\n"},
        {f"{PROD}/hosts.yml": HOSTS.replace("cp2:", "'cp2:22':")},
        {f"{PROD}/hosts.yml": HOSTS + "  vars: {plugin: \n"},
        {"inventories/base/zz.yml": "aaa: {hosts: {w1: }}\n"},
    ],
)
def test_where_not_all_hosts_are_known_a_definition_may_reach_any(repo: Any, start: Any) -> None:
    """`aaa` has another value, and hides the shared one: what says it again for the workers changes w1."""
    start = {**START, f"{PROD}/group_vars/aaa.yml": "v: 2\n", f"{PROD}/group_vars/all.yml": "v: 1\n", **start}
    found = result(repo, {f"{PROD}/group_vars/workers.yml": "v: 1\n"}, start)
    assert ("prod", "workers", "v", (), ABSENT, 1) in said(found)
    assert found.quiet == []
    effect = next(one for one in found.effects if any(reached.unknown for reached in one.reached))
    for selector in (Selector(host=Patterns(["w1"], "host")), Selector(group=Patterns(["aaa"], "group"))):
        assert {selector.meets(view, True) for view in views(effect, True)} == {MAYBE}
    assert Selector(environment=Patterns(["dev"], "environment")).meets(views(effect, True)[0], True) == NO
    assert is_opaque(repo, {f"{PROD}/hosts.yml": HOSTS.replace("cp1:", "cp3:")}, start)


@pytest.mark.parametrize(
    "path", ["README.md", "hosts.yml.bak", "old.orig", ".hidden", "notes.txt", "ansible.cfg", "lock.yml", "docs/x.rst"]
)
def test_what_ansible_passes_over_leaves_all_hosts_known(repo: Any, path: str) -> None:
    start = {**START, f"{PROD}/{path}": "kubernetes: 1.37.1\n"}
    found = result(repo, {f"{PROD}/group_vars/workers.yml": "v: 1\n"}, start)
    assert not any(reached.unknown for effect in found.effects for reached in effect.reached)
    assert not is_opaque(repo, {f"{PROD}/hosts.yml": HOSTS.replace("cp1:", "cp3:")}, start)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v: '{{ w }}'", "v: !unsafe '{{ w }}'"),
        ("v: ['{{ w }}']", "v: !unsafe ['{{ w }}']"),
        ("v: {80: a}", "v: {'80': a}"),
        ("v: {80: a, '80': b}", "v: {80: c, '80': b}"),
        ("v: aGk=", "v: !!binary aGk="),
        ("v: {a: , b: }", "v: !!set {a: , b: }"),
        ("v: 2020-01-01", "v: '2020-01-01'"),
        ("v: {2020-01-01: a}", "v: {'2020-01-01': a}"),
        ("v: 1", "v: 1.0"),
        ("v: '!vault abc'", "v: !vault abc"),
        ('{"v": "1e3"}', '{"v": 1e3}'),
        ('{"v": "NaN"}', '{"v": NaN}'),
        ('{"v": "{{ w }}"}', '{"v": {"__ansible_unsafe": "{{ w }}"}}'),
    ],
)
def test_what_is_another_value_to_ansible_alone_is_a_change(repo: Any, before: str, after: str) -> None:
    path = f"{PROD}/group_vars/all.yml"
    found = result(repo, {path: after + "\n"}, {**START, path: before + "\n"})
    assert found.effects or path not in found.understood


@pytest.mark.parametrize(("one", "two"), [("1", "1.0"), ("{80: a}", "{'80': a}"), ("2020-01-01", "'2020-01-01'")])
def test_so_it_is_where_it_comes_of_another_group(repo: Any, one: str, two: str) -> None:
    hosts = f"a: {{hosts: {{h: }}, vars: {{v: {one}}}}}\nb: {{vars: {{v: {two}}}}}\n"
    moved = hosts.replace("b: {", "b: {hosts: {h: }, ")
    assert is_opaque(repo, {f"{PROD}/hosts.yml": moved}, {f"{PROD}/hosts.yml": hosts})
    hosts, moved = (text.replace(f"v: {two}", f"v: {one}") for text in (hosts, moved))
    assert not is_opaque(repo, {f"{PROD}/hosts.yml": moved}, {f"{PROD}/hosts.yml": hosts})


def test_the_same_in_yaml_and_json_is_no_change(repo: Any) -> None:
    path = f"{PROD}/group_vars/all.yml"
    found = result(repo, {path: '{"v": ["{{ w }}", 1, true]}\n'}, {**START, path: "v:\n- '{{ w }}'\n- 1\n- yes\n"})
    assert found.effects == [] and found.understood == {path}


@pytest.mark.parametrize(
    ("start", "change"),
    [
        pytest.param(
            {f"{PROD}/group_vars/all/a.yml": "v: 2\n", f"{PROD}/group_vars/all/b.yml": SEALED},
            {f"{PROD}/group_vars/all/a.yml": None, f"{PROD}/group_vars/all/c.yml": "v: 2\n"},
            id="to the other side of it",
        ),
        pytest.param(
            {f"{PROD}/group_vars/workers.yml": SEALED},
            {f"{PROD}/hosts.yml": HOSTS.replace("w[1:2]", "w1") + "    more:\n      hosts: {w2: }\n"},
            id="out of its group",
        ),
        pytest.param(
            {f"{PROD}/hosts.yml": TWO, f"{PROD}/group_vars/a.yml": SEALED, f"{PROD}/group_vars/b.yml": "v: 1\n"},
            {f"{PROD}/hosts.yml": TWO.replace("a: {", "a: {vars: {ansible_group_priority: 9}, ")},
            id="before its group",
        ),
    ],
)
def test_what_a_sealed_file_may_hide_is_a_change_of_the_path(repo: Any, start: Any, change: Any) -> None:
    assert is_opaque(repo, change, {**START, **start})


def test_nothing_is_said_twice_across_a_sealed_file(repo: Any) -> None:
    start = {**START, f"{PROD}/group_vars/all/vault.yml": SEALED}
    found = result(repo, {f"{PROD}/host_vars/w1.yml": "cluster_name: prod\n"}, start)
    assert said(found) == [("prod", "w1", "cluster_name", (), ABSENT, "prod")] and found.quiet == []


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (("100755", "#!/bin/sh\n" + HOSTS), "a program"),
        ("plugin: {hosts: {q: }}\n", "plugin"),
        ("1: {hosts: {q: }}\n", "no name of a group"),
        ("a/b: {hosts: {q: }}\n", "no name of a group"),
        ("'': {hosts: {q: }}\n", "no name of a group"),
        ("a: {hosts: {1: }}\n", "no name of a host"),
        ("a: {hosts: {2020-01-01: }}\n", "no name of a host"),
        ("a: {hosts: {../group_vars/workers: }}\n", "no name of a host"),
        ("a: {hosts: {'..': }}\n", "no name of a host"),
        ("a: {hosts: {a: {v: 1}}}\n", "a group and a host"),
        ("a: {}\nall: {hosts: {a: }}\n", "a group and a host"),
        ("ungrouped: {children: {a: {hosts: {q: }}}}\n", "ungrouped"),
        ("a: {children: {ungrouped: }, hosts: {q: }}\n", "ungrouped"),
        ("a: {hosts: {q: {80: a, '80': b}}}\n", "as a text and as a number"),
    ],
)
def test_inventories_that_ansible_takes_for_something_else(repo: Any, hosts: Any, message: str) -> None:
    found = result(repo, {f"{PROD}/hosts.yml": hosts}, {f"{PROD}/hosts.yml": "a: {hosts: {q: }}\n"})
    assert any(message in text for _origin, text in found.problems[0]), found.problems
    assert f"{PROD}/hosts.yml" not in found.understood


@pytest.mark.parametrize("hosts", [("100755", HOSTS), "a: {hosts: {a: }}\n", "a: {hosts: {/srv/root: {v: 1}}}\n"])
def test_inventories_that_only_look_like_it(repo: Any, hosts: Any) -> None:
    found = result(repo, {f"{PROD}/hosts.yml": hosts}, {f"{PROD}/hosts.yml": "b: {hosts: {q: }}\n"})
    assert found.problems[0] == [] and f"{PROD}/hosts.yml" in found.understood


@pytest.mark.parametrize(
    "text", ["workers: {hosts: {evil: }}\n", "plugin: constructed\n", "cluster: {vars: {a: 1}}\n", "[workers]\nevil\n"]
)
def test_a_lock_file_is_no_inventory(repo: Any, text: str) -> None:
    start = {**START, f"{PROD}/lock.yml": "kubernetes: 1.36.1\n"}
    assert is_opaque(repo, {f"{PROD}/lock.yml": text}, start)
    assert not is_opaque(repo, {f"{PROD}/lock.yml": "kubernetes: 1.36.2\n"}, start)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What holds of every policy: allowing more never prohibits, moving never opens, order never matters, and the like."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.weft.platform.plugins.module_utils._change import Subject, diff, show_path
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    CommitPeople,
    Person,
    Request,
    Verdict,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.policy.hostile.hostile_repository import Repository, nested

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE = ("olga", "mona", "otto")
ROLES = "roles: {ops: {members: ['user:olga', 'user:otto']}, devs: {members: ['user:mona']}}\nowners: ops\n"
HOSTS = "cluster: {children: {control_plane: {hosts: {cp1: }}, workers: {hosts: {w1: }}}}\n"
IMAGE = "spec.template.spec.containers[name=web].image"
VARIABLES = "inventories/prod/group_vars/all.yml"


def config_map(value: str, namespace: str = "shop") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\ndata: {{a: '{value}'}}\n"


def deployment(image: str, replicas: int = 1) -> str:
    head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app, namespace: shop}\n"
    spec = f"{{containers: [{{name: web, image: '{image}'}}]}}"
    template = f"{{metadata: {{labels: {{a: b}}}}, spec: {spec}}}"
    return head + f"spec: {{replicas: {replicas}, selector: {{matchLabels: {{a: b}}}}, template: {template}}}\n"


START: Mapping[str, str | None] = {
    "inventories/prod/hosts.yml": HOSTS,
    VARIABLES: "site_color: red\nsite_size: 1\n",
    "apps/shop/web.yml": config_map("1"),
    "apps/shop/app.yml": deployment("web:1"),
    "README.md": "hello\n",
}
MOVE: Mapping[str, str | None] = {"apps/shop/app.yml": None, "web.yml": deployment("web:1")}
# Changes of every sort, each of files of its own.
CHANGES: list[Mapping[str, str | None]] = [
    {VARIABLES: "site_color: blue\nsite_size: 1\n"},
    {"apps/shop/web.yml": config_map("2")},
    {"apps/shop/web.yml": None},
    {"apps/kube.yml": config_map("1", "kube-system")},
    {"README.md": "new\n"},
    {"inventories/prod/host_vars/w1.yml": "site_size: 2\n"},
    {"apps/shop/app.yml": deployment("web:2")},
    {"apps/shop/app.yml": deployment("web:1", 2)},
    {"apps/shop/app.yml": None},
    MOVE,
]

selectors = st.fixed_dictionaries(
    {},
    optional={
        "file": st.sampled_from(["**", "apps/**", "inventories/**", "*.md", "!apps/**", "apps/*/web.yml"]),
        "type": st.sampled_from(["object", "variable", "path"]),
        "action": st.sampled_from(["added", "changed", "removed"]),
        "environment": st.sampled_from(["prod", "*"]),
        "field": st.sampled_from(["site_color", "data.a", "data.*", "site_*", IMAGE, "spec"]),
        "object": st.sampled_from(
            [{"kind": "ConfigMap"}, {"kind": "*", "namespace": "!kube-*"}, {"kind": "!Deployment"}]
        ),
    },
).filter(bool)
who = st.sampled_from(["ops", "devs", "anyone", "user:otto", ["ops", "devs"], {"all": ["ops", "user:olga"]}])
effects = st.one_of(
    st.fixed_dictionaries({"allow": who}),
    st.fixed_dictionaries({"only": who}),
    st.fixed_dictionaries({"allow": who, "approvals": st.fixed_dictionaries({"count": st.just(1), "from": who})}),
    st.fixed_dictionaries({"deny": st.just("not here")}),
)
bodies = st.tuples(selectors, effects).map(lambda pair: {"change": pair[0], **pair[1]})
allowing = st.tuples(selectors, who).map(lambda pair: {"change": pair[0], "allow": pair[1]})
rule_lists = st.lists(bodies, min_size=1, max_size=4)
changes = st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3).map(
    lambda some: {path: content for one in some for path, content in one.items()}
)
differing = st.lists(st.sampled_from([one for one in CHANGES if one is not MOVE]), min_size=1, max_size=3).map(
    lambda some: {path: content for one in some for path, content in one.items()}
)
askers = st.tuples(st.sampled_from(PEOPLE), st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True))

quick = settings(
    max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def named(bodies_: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"rule {number}", **body} for number, body in enumerate(bodies_)]


def policy(rules: list[dict[str, Any]], file: str = "a") -> dict[str, str | None]:
    return {f"policy/rules/{file}.yml": yaml.safe_dump({"rules": rules})}


def ask(
    files: Mapping[str, str | None],
    change: Mapping[str, str | None],
    asker: tuple[str, list[str]],
    start: Mapping[str, str | None] = START,
) -> Verdict:
    """The verdict on a change of the start with these policy files."""
    repo = shared()
    before = {**start, "policy/roles.yml": ROLES, **files}
    after = {path: content for path, content in {**before, **change}.items() if content is not None}
    base = repo.commit(repo.tree(nested(raw(before))), who="olga")
    head = repo.commit(repo.tree(nested(raw(after))), base, who=asker[0])
    approvals = tuple(Approval(Person(login), head) for login in asker[1])
    people = (CommitPeople(head, Person(asker[0]), Person(asker[0])),)
    return judge(Request(base, head, "main", Person(asker[0]), (), (), approvals, people), repo.path, now=NOW)


@cache
def shared() -> Repository:
    """One repository for all examples; objects are written without a process."""
    room = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, room)
    return Repository(Path(room) / "r.git")


def raw(files: Mapping[str, str | None]) -> dict[str, bytes | tuple[bytes, bytes]]:
    return {path: content.encode() for path, content in files.items() if content is not None}


def essence(verdict: Verdict) -> tuple[Any, ...]:
    """What a verdict says, without where a rule was written."""
    said = sorted(
        (one.rule, one.severity, one.kind, one.message, one.who_could, one.remedy) for one in verdict.findings
    )
    return verdict.permitted, said, sorted((one.rules, one.roles) for one in verdict.permissions)


@quick
@given(rule_lists, allowing, changes, askers)
def test_one_more_allow_rule_never_prohibits_more(
    bodies_: list[dict[str, Any]],
    more: dict[str, Any],
    change: Mapping[str, str | None],
    asker: tuple[str, list[str]],
) -> None:
    rules = named(bodies_)
    before = ask(policy(rules), change, asker)
    after = ask(policy([*rules, {"name": "more", **more}]), change, asker)
    assert after.permitted or not before.permitted


@quick
@given(rule_lists, changes, askers, st.randoms(use_true_random=False))
def test_the_order_of_rules_and_files_never_matters(
    bodies_: list[dict[str, Any]], change: Mapping[str, str | None], asker: tuple[str, list[str]], chance: Any
) -> None:
    rules = named(bodies_)
    shuffled = chance.sample(rules, len(rules))
    half = len(rules) // 2
    there = ask(policy(rules), change, asker)
    elsewhere = ask({**policy(shuffled[:half], "z"), **policy(shuffled[half:], "b")}, change, asker)
    assert essence(there) == essence(elsewhere)


@quick
@given(rule_lists, askers, st.sampled_from(["apps/shop/moved.yml", "web.yml", "apps/deep/er/web.yaml"]))
def test_renaming_a_file_never_permits_more(
    bodies_: list[dict[str, Any]], asker: tuple[str, list[str]], new: str
) -> None:
    """A change that is prohibited where a file is stays so when the same change also moves the file."""
    files = policy(named(bodies_))
    there = ask(files, {"apps/shop/web.yml": config_map("2")}, asker)
    moved = ask(files, {"apps/shop/web.yml": None, new: config_map("2")}, asker)
    assert there.permitted or not moved.permitted


@quick
@given(rule_lists, askers, st.sampled_from(["apps/shop/moved.yml", "web.yml", "apps/deep/er/web.yaml"]))
def test_a_move_is_nothing_or_a_removal_and_an_addition(
    bodies_: list[dict[str, Any]], asker: tuple[str, list[str]], new: str
) -> None:
    """Whoever may take a file away and add it elsewhere may move it, and a permitted move is no Change."""
    old, files = "apps/shop/web.yml", policy(named(bodies_))
    moved = ask(files, {old: None, new: config_map("1")}, asker)
    gone = ask(files, {old: None}, asker)
    come = ask({**files, old: None}, {new: config_map("1")}, asker)
    assert moved.permitted or not (gone.permitted and come.permitted)
    assert moved.permitted is (moved.changes == ())


@quick
@given(rule_lists, changes, askers, st.sampled_from(PEOPLE))
def test_one_more_approval_never_prohibits_more(
    bodies_: list[dict[str, Any]], change: Mapping[str, str | None], asker: tuple[str, list[str]], more: str
) -> None:
    files = policy(named(bodies_))
    before = ask(files, change, asker)
    assert ask(files, change, (asker[0], [*asker[1], more])).permitted or not before.permitted


@quick
@given(rule_lists, changes, askers, st.sampled_from(["user:olga", "user:otto", "user:mona"]))
def test_one_member_less_never_permits_more(
    bodies_: list[dict[str, Any]], change: Mapping[str, str | None], asker: tuple[str, list[str]], gone: str
) -> None:
    """No rule here denies to a role, of which one had better be no member."""
    rules = policy(named(bodies_))
    fewer = {"policy/roles.yml": ROLES.replace(f"'{gone}'", "'user:nobody'")}
    assert fewer["policy/roles.yml"] != ROLES
    assert ask(rules, change, asker).permitted or not ask({**rules, **fewer}, change, asker).permitted


@quick
@given(rule_lists, st.sampled_from(CHANGES), st.sampled_from(CHANGES), askers)
def test_in_two_parts_nothing_is_permitted_that_is_not_in_one(
    bodies_: list[dict[str, Any]],
    one: Mapping[str, str | None],
    two: Mapping[str, str | None],
    asker: tuple[str, list[str]],
) -> None:
    """Parts in different files; see docs/policy.md on the same field twice."""
    files = policy(named(bodies_))
    if one.keys() & two.keys():
        return
    whole = ask(files, {**one, **two}, asker)
    first, second = ask(files, one, asker), ask(files, two, asker, {**START, **one})
    assert whole.permitted or not (first.permitted and second.permitted)


@quick
@given(differing, st.sampled_from(PEOPLE))
def test_a_change_and_its_inverse_are_about_the_same(change: Mapping[str, str | None], login: str) -> None:
    files = policy([{"name": "nothing", "change": {"file": "nowhere"}, "allow": "anyone"}])
    back = {path: START.get(path) for path in change}

    def told(verdict: Verdict, inverted: bool) -> list[str]:
        some = (one.inverse() if inverted else one for one in verdict.changes)
        return sorted(str((one.subject, one.field, one.before, one.after)) for one in some)

    forth, again = ask(files, change, (login, [])), ask(files, back, (login, []), {**START, **change})
    assert told(forth, inverted=False) == told(again, inverted=True) != []


@quick
@given(selectors, differing, askers)
def test_what_a_selector_allows_it_denies_as_well(
    selector: dict[str, Any], change: Mapping[str, str | None], asker: tuple[str, list[str]]
) -> None:
    allowed = ask(policy([{"name": "a", "change": selector, "allow": "anyone"}]), change, asker)
    rules = [{"name": "all", "change": {"file": "**"}, "allow": "anyone"}]
    denied = ask(policy([*rules, {"name": "b", "change": selector, "deny": "no"}]), change, asker)
    assert ask(policy(rules), change, asker).permitted
    assert not (allowed.permitted and denied.permitted)


def test_every_field_of_an_object_can_be_denied_by_its_path() -> None:
    """As a verdict shows it, of an object that was there: that field's change is denied and no other's."""
    path, subject = "apps/shop/app.yml", Subject("Deployment.apps", "shop/app")
    before, after = (yaml.safe_load(deployment(image, size)) for image, size in (("web:1", 1), ("web:2", 2)))
    fields = [show_path(leaf.field) for leaf in diff(subject, before, after)]
    assert fields == ["spec.replicas", IMAGE]
    rules = [{"name": "all", "change": {"file": "**"}, "allow": "anyone"}]
    for field in fields:
        verdict = ask(
            policy([*rules, {"name": "no", "change": {"field": field}, "deny": "no"}]),
            {path: deployment("web:2", 2)},
            ("mona", []),
        )
        assert [show_path(one.field) for one in verdict.findings if one.prohibits] == [field]

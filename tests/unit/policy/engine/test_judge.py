# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Verdicts on real repositories."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _checks, _rules
from ansible_collections.weft.platform.plugins.plugin_utils._policy._judge import judge
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    Approval,
    CommitPeople,
    Finding,
    Person,
    Request,
    Verdict,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._teams import FileTeams

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEAMS = FileTeams({"platform": ["olga", "otto"], "shop": ["mona", "moritz"]})

ROLES = """\
roles:
  cluster-operators: {members: [team:platform]}
  application-developers: {members: [team:shop]}
owners: cluster-operators
"""
RULES = """\
rules:
  - name: only Cluster Operators change Kubernetes versions
    change: {file: "inventories/**", field: cluster_kubernetes_version}
    allow: cluster-operators
    approvals: {count: 1, from: cluster-operators}
  - name: production never goes back
    change: {file: "inventories/prod/**", field: cluster_kubernetes_version}
    deny_unless: {new: ">= old"}
  - name: operators keep the inventories
    change: {file: "inventories/**"}
    allow: cluster-operators
  - name: developers work outside the platform's namespaces
    change: {object: {kind: "*", namespace: "!platform-*,!kube-*"}}
    allow: [application-developers, cluster-operators]
  - name: operators keep the policy
    change: {file: "policy/**"}
    allow: cluster-operators
"""
VERSION = "inventories/prod/group_vars/all.yml"
LOCK = "inventories/prod/lock.yml"
BACK = "production never goes back"
START: Mapping[str, Any] = {
    "policy/roles.yml": ROLES,
    "policy/rules/platform.yml": RULES,
    "inventories/prod/hosts.yml": "control_plane: {hosts: {cp1: }}\nworkers: {hosts: {w1: }}\n",
    VERSION: 'cluster_kubernetes_version: "1.36.3"\n',
    "apps/shop/web.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: {a: b}\n",
    "apps/shop/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    "README.md": "hello\n",
}


def config_map(name: str = "web", namespace: str = "shop", value: str = "b", kind: str = "ConfigMap") -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{a: {value}}}\n"


def deployment(image: str, replicas: int) -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "{image}"}}]}}
"""


class Bench:
    """Judges changes of one starting point."""

    def __init__(self, repo: Any, start: Mapping[str, Any] = START) -> None:
        self.repo = repo
        self.base = repo.commit(start, branch="main")

    def ask(
        self, change: Mapping[str, Any], login: str = "olga", approvals: tuple[str, ...] = (), **more: Any
    ) -> Verdict:
        teams, now = more.pop("teams", TEAMS), more.pop("now", NOW)
        limits = {"limits": more.pop("limits")} if "limits" in more else {}
        head = more.pop("head", None) or self.repo.commit(change, self.base, author=login)
        base = more.pop("base", self.base)
        counted = tuple(Approval(Person(login), head) for login in approvals)
        request = Request(base, head, "main", Person(login), approvals=counted)._replace(**more)
        return judge(request, self.repo.path, now=now, teams=teams, **limits)

    def rules(self, rules: str, **files: Any) -> Bench:
        """The same with other rules."""
        return Bench(self.repo, {**START, "policy/rules/platform.yml": "rules:\n" + rules, **files})


@pytest.fixture
def bench(repo: Any) -> Bench:
    return Bench(repo)


def why(verdict: Verdict) -> list[tuple[str, str]]:
    return [(finding.rule, finding.message) for finding in verdict.findings if finding.prohibits]


class TestTheIssuesExample:
    def test_an_operator_with_an_approval_may_upgrade(self, bench: Bench) -> None:
        verdict = bench.ask({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, "olga", ("otto",))
        assert verdict.permitted, why(verdict)
        assert verdict.approvals == ("otto",) and verdict.people == (("olga", "forge"),)
        (permission,) = verdict.permissions
        assert permission.rules == (
            "only Cluster Operators change Kubernetes versions",
            "operators keep the inventories",
        )
        assert len(verdict.changes) == 1 and verdict.judged

    def test_without_an_approval_not(self, bench: Bench) -> None:
        for approvals in ((), ("olga",), ("mona",)):
            verdict = bench.ask({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, "olga", approvals)
            assert not verdict.permitted
            ((rule, message),) = why(verdict)
            assert rule == "only Cluster Operators change Kubernetes versions"
            assert "needs 1 approval of the head by role:cluster-operators" in message

    def test_a_developer_may_not(self, bench: Bench) -> None:
        verdict = bench.ask({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, "mona", ("olga",))
        assert not verdict.permitted and verdict.judged
        (finding,) = [one for one in verdict.findings if one.prohibits]
        assert finding.who_could == ("role:cluster-operators",)
        assert str(finding.origin) == f"{VERSION}:1" and finding.remedy
        assert finding.change is not None
        assert (finding.change.before, finding.change.after) == ("1.36.3", "1.37.2")

    def test_production_never_goes_back(self, bench: Bench) -> None:
        verdict = bench.ask({VERSION: 'cluster_kubernetes_version: "1.36.1"\n'}, "olga", ("otto",))
        assert {rule for rule, _message in why(verdict)} == {"production never goes back", "upgrade"}

    def test_nor_through_what_environments_share(self, repo: Any) -> None:
        start = {**START, "inventories/base/group_vars/all.yml": START[VERSION], VERSION: "cluster_name: prod\n"}
        bench = Bench(repo, start)
        change = {"inventories/base/group_vars/all.yml": 'cluster_kubernetes_version: "1.36.1"\n'}
        assert "production never goes back" in {rule for rule, _message in why(bench.ask(change, "olga", ("otto",)))}

    def test_developers_work_in_their_namespaces(self, bench: Bench) -> None:
        assert bench.ask({"apps/shop/web.yaml": config_map(value="c")}, "mona").permitted
        assert bench.ask({"apps/shop/more.yaml": config_map("more")}, "moritz").permitted
        verdict = bench.ask({"apps/shop/more.yaml": config_map("more", "kube-system")}, "mona")
        assert [rule for rule, _message in why(verdict)] == ["nothing allows it"]

    @pytest.mark.parametrize(
        "text",
        [
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n",
            # An object that is in no namespace does not get into one by saying so.
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x, namespace: shop}\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-2}\n",
            "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: x, namespace: shop}\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {}\n",
        ],
    )
    def test_what_is_in_no_certain_namespace_is_not_theirs(self, bench: Bench, text: str) -> None:
        verdict = bench.ask({"apps/shop/x.yaml": text}, "mona")
        assert "nothing allows it" in {rule for rule, _message in why(verdict)}

    def test_what_no_rule_allows_is_prohibited(self, bench: Bench) -> None:
        for login in ("olga", "mona", "eve"):
            verdict = bench.ask({"README.md": "changed"}, login)
            ((rule, message),) = why(verdict)
            assert rule == "nothing allows it" and "README.md" in str(verdict.changes[0].subject) and login in message

    def test_nothing_changes_nothing_to_permit(self, bench: Bench) -> None:
        head = bench.repo.commit({}, bench.base)
        verdict = bench.ask({}, "eve", head=head)
        assert verdict.permitted and verdict.changes == ()


class TestPeople:
    CHANGE: Mapping[str, Any] = {"apps/shop/web.yaml": config_map(value="c")}

    @pytest.mark.parametrize("more", [{"committers": (Person("eve"),)}, {"pushers": (Person("eve"),)}])
    def test_everybody_behind_it_counts(self, bench: Bench, more: Any) -> None:
        verdict = bench.ask(self.CHANGE, "mona", (), **more)
        assert not verdict.permitted
        assert [login for login, _how in verdict.people] == ["eve", "mona"]
        assert "eve" in why(verdict)[0][1]

    def test_the_forges_word_on_commits(self, bench: Bench) -> None:
        head = bench.repo.commit(self.CHANGE, bench.base)
        for word, permitted in (
            (CommitPeople(head, Person("mona"), Person("moritz")), True),
            (CommitPeople(head, Person("eve"), Person("mona")), False),
            (CommitPeople(head, None, Person("mona")), False),
            (CommitPeople(head, Person("mona"), Person("web-flow")), True),
            (CommitPeople(head, Person("web-flow"), Person("mona")), False),
            (CommitPeople("0" * 40, Person("mona"), Person("mona")), False),
        ):
            assert bench.ask({}, "mona", head=head, commits=(word,)).permitted is permitted, word

    def test_addresses_in_the_policy_name_people(self, repo: Any) -> None:
        bench = Bench(
            repo, {**START, "policy/roles.yml": ROLES + "people: {mona: [mona@example.org], eve: [eve@example.org]}\n"}
        )
        head = repo.commit(self.CHANGE, bench.base, author="mona")
        assert bench.ask({}, "mona", head=head, commits=(CommitPeople(head),)).permitted
        head = repo.commit(self.CHANGE, bench.base, author="eve")
        verdict = bench.ask({}, "mona", head=head)
        assert ("eve", "address") in verdict.people and not verdict.permitted

    def test_nobody_approves_their_own(self, bench: Bench) -> None:
        change = {VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}
        assert bench.ask(change, "olga", ("otto",)).permitted
        other: tuple[dict[str, Any], ...] = ({"committers": (Person("otto"),)}, {"pushers": (Person("Otto"),)})
        for more in other:
            verdict = bench.ask(change, "olga", ("otto",), **more)
            assert not verdict.permitted and verdict.approvals == ()
            assert any("cannot approve it" in finding.remedy for finding in verdict.findings)

    @pytest.mark.parametrize("trailer", ["Co-authored-by: O <otto@example.org>", "co-authored-by:<OTTO@example.org>"])
    def test_nor_does_who_wrote_it_together_with_others(self, repo: Any, trailer: str) -> None:
        bench = Bench(repo, {**START, "policy/roles.yml": ROLES + "people: {otto: [otto@example.org]}\n"})
        change = {VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}
        for message, counts in (("Upgrade", True), (f"Upgrade\n\nSee Co-authored-by.\n\n{trailer}\n", False)):
            head = repo.commit(change, bench.base, author="olga", message=message)
            verdict = bench.ask({}, "olga", ("otto",), head=head)
            assert verdict.permitted is counts and verdict.approvals == (("otto",) if counts else ())
            assert ("otto", "address") not in verdict.people

    @pytest.mark.parametrize(
        ("teams", "permitted", "words"),
        [
            ({"contractors": ["mallory"]}, False, "contractors keep out"),
            ({"Contractors": ["mallory"]}, False, "contractors keep out"),
            ({"contractors": ["eve"]}, True, ""),
            ({}, False, "there is no team contractors"),
        ],
    )
    def test_a_denial_to_a_team_that_is_nowhere_denies(
        self, bench: Bench, teams: dict[str, list[str]], permitted: bool, words: str
    ) -> None:
        bench = bench.rules(
            "  - {name: all, change: {file: '**'}, allow: anyone}\n"
            "  - {name: out, change: {file: '**'}, deny: {reason: contractors keep out, to: team:contractors}}\n"
        )
        verdict = bench.ask({"README.md": "bye\n"}, "mallory", teams=FileTeams(teams))
        assert verdict.permitted is permitted
        assert words in " ".join(finding.message for finding in verdict.findings)

    def test_an_approval_of_an_older_head_does_not_count(self, bench: Bench) -> None:
        one = bench.repo.commit({VERSION: 'cluster_kubernetes_version: "1.37.1"\n'}, bench.base)
        two = bench.repo.commit({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, one)
        old, new = Approval(Person("otto"), one), Approval(Person("otto"), two)
        assert bench.ask({}, "olga", head=one, approvals=()).permitted is False
        assert judge(
            Request(bench.base, one, "main", Person("olga"), approvals=(old,)), bench.repo.path, now=NOW, teams=TEAMS
        ).permitted
        request = Request(bench.base, two, "main", Person("olga"), approvals=(old,))
        verdict = judge(request, bench.repo.path, now=NOW, teams=TEAMS)
        assert not verdict.permitted and any("not the head any more" in one.remedy for one in verdict.findings)
        assert judge(request._replace(approvals=(old, new)), bench.repo.path, now=NOW, teams=TEAMS).permitted

    def test_two_approvals_are_two_people(self, bench: Bench) -> None:
        rules = "  - name: a\n    change: {file: '**'}\n    allow: application-developers\n"
        rules += "    approvals: {count: 2, from: cluster-operators}\n"
        two = bench.rules(rules)
        assert not two.ask(self.CHANGE, "mona", ("olga", "OLGA")).permitted
        assert two.ask(self.CHANGE, "mona", ("olga", "otto")).permitted

    def test_logins_are_compared_as_forges_do(self, bench: Bench) -> None:
        assert bench.ask(self.CHANGE, "MONA").permitted

    @pytest.mark.parametrize("login", ["m\u043ena", "mona\u200b", "\uff4dona", "mon\u00aa", " mona", "mona\n", ""])
    def test_lookalikes_are_nobody(self, bench: Bench, login: str) -> None:
        assert not bench.ask(self.CHANGE, "mona", committers=(Person(login),)).permitted
        assert not bench.ask({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, "olga", (login,)).permitted

    def test_the_events_teams_count(self, bench: Bench) -> None:
        assert not bench.ask(self.CHANGE, "eve").permitted
        assert bench.ask(self.CHANGE, "eve", teams=None, author=Person("eve", ("shop",))).permitted
        assert not bench.ask(self.CHANGE, "mona", teams=TEAMS, author=Person("mona", ())).permitted

    def test_without_teams_it_cannot_be_judged(self, bench: Bench) -> None:
        verdict = bench.ask(self.CHANGE, "mona", teams=None)
        assert not verdict.permitted and not verdict.judged
        assert any("cannot be told" in finding.message for finding in verdict.findings)

    def test_no_author_no_verdict(self, bench: Bench) -> None:
        verdict = bench.ask(self.CHANGE, "mona", author=None)
        assert not verdict.permitted and not verdict.judged


class TestRules:
    def ask(
        self, bench: Bench, rules: str, change: Mapping[str, Any], author: str = "mona", *approvals: str, **more: Any
    ) -> Verdict:
        return bench.rules(rules).ask(change, author, approvals, **more)

    def test_only(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: 'apps/**'}, allow: anyone}\n"
        only = "  - {name: b, change: {file: 'apps/**', field: data.secret}, only: cluster-operators}\n"
        change = {"apps/shop/web.yaml": config_map(value="b, secret: x")}
        assert self.ask(bench, rules, change).permitted
        verdict = self.ask(bench, rules + only, change)
        assert [rule for rule, _message in why(verdict)] == ["b"]
        assert verdict.findings[0].who_could == ("role:cluster-operators",)
        assert self.ask(bench, rules + only, change, "olga").permitted
        assert self.ask(bench, rules + only, {"apps/shop/web.yaml": config_map(value="z")}).permitted

    def test_any_and_all(self, bench: Bench) -> None:
        both = "  - {name: a, change: {file: '**'}, allow: {all: [application-developers, user:mona]}}\n"
        change = {"README.md": "x"}
        assert self.ask(bench, both, change, "mona").permitted
        assert not self.ask(bench, both, change, "moritz").permitted
        either = "  - {name: a, change: {file: '**'}, allow: {any: [{all: [team:shop, user:mona]}, user:eve]}}\n"
        assert [self.ask(bench, either, change, login).permitted for login in ("mona", "eve", "olga")] == [
            True,
            True,
            False,
        ]

    def test_deny_with_a_reason_and_to_some(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - name: b\n    change: {file: 'README.md'}\n"
        rules += "    deny: {reason: it is carved in stone, to: application-developers}\n"
        verdict = self.ask(bench, rules, {"README.md": "x"})
        ((rule, message),) = why(verdict)
        assert rule == "b" and "carved in stone" in message
        assert self.ask(bench, rules, {"README.md": "x"}, "olga").permitted
        (finding,) = verdict.findings
        assert "Ask somebody who is not role application-developers to make" in finding.remedy

    def test_who_could_do_what_is_denied_to_some(self, bench: Bench) -> None:
        """Those whom the rules allow it and who are none of them, be it by a role or a team in theirs."""
        rules = "  - {name: a, change: {file: '**'}, allow: [cluster-operators, 'team:shop']}\n"
        rules += "  - {name: b, change: {file: 'README.md'}, deny: {reason: r, to: application-developers}}\n"
        (finding,) = self.ask(bench, rules, {"README.md": "x"}).findings
        assert finding.who_could == ("role:cluster-operators",)
        assert finding.remedy.startswith("Ask somebody who is role cluster-operators")
        rules = rules.replace("[cluster-operators, 'team:shop']", "'team:shop'")
        (finding,) = self.ask(bench, rules, {"README.md": "x"}).findings
        assert finding.who_could == () and finding.remedy.startswith("An exception of rule 'b'")

    FIELD = "apps/shop/web.yaml"

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (config_map(value="b"), config_map(value="z")),
            (None, config_map(value="z")),
            (config_map(value="b"), None),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\n", config_map(value="z")),
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: x\n",
                config_map(value="z"),
            ),
        ],
    )
    def test_a_field_is_not_evaded_by_a_larger_change(self, bench: Bench, before: Any, after: Any) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - {name: b, change: {object: {kind: ConfigMap}, field: data.a}, deny: nope}\n"
        verdict = bench.rules(rules, **{self.FIELD: before}).ask({self.FIELD: after}, "mona")
        assert [rule for rule, _message in why(verdict)] == ["b"]

    def test_an_allowed_field_does_not_allow_the_whole(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {object: {kind: ConfigMap}, field: data}, allow: anyone}\n"
        assert self.ask(bench, rules, {self.FIELD: config_map(value="z")}).permitted
        for text in (None, config_map("other"), config_map(value="z").replace("data:", "immutable: true\ndata:")):
            assert not self.ask(bench, rules, {self.FIELD: text}).permitted
        rules += "  - {name: b, change: {object: {kind: ConfigMap}, field: '!data'}, allow: application-developers}\n"
        assert self.ask(bench, rules, {"apps/shop/other.yaml": config_map("other")}).permitted

    def test_old_and_new_values(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {field: data.a, old: 'b', new: ['c', 'd*']}, allow: anyone}\n"
        assert self.ask(bench, rules, {self.FIELD: config_map(value="c")}).permitted
        assert self.ask(bench, rules, {self.FIELD: config_map(value="dd")}).permitted
        assert not self.ask(bench, rules, {self.FIELD: config_map(value="e")}).permitted

    @pytest.mark.parametrize(
        ("action", "text"), [("added", config_map("extra")), ("removed", None), ("changed", config_map(value="z"))]
    )
    def test_actions(self, bench: Bench, action: str, text: Any) -> None:
        path = "apps/shop/n.yaml" if action == "added" else self.FIELD
        rules = "  - {name: a, change: {object: {kind: ConfigMap}, action: %s}, allow: anyone}\n"
        assert self.ask(bench, rules % action, {path: text}).permitted
        assert not self.ask(bench, rules % ("removed" if action != "removed" else "added"), {path: text}).permitted

    def test_labels_of_both_sides_must_be_allowed(self, bench: Bench) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop, labels: {team: %s}}\n"
        rules = "  - {name: a, change: {object: {labels: {team: shop}}}, allow: application-developers}\n"
        start = {self.FIELD: text % "platform"}
        taken = bench.rules(rules, **start)
        assert not taken.ask({self.FIELD: text % "shop"}, "mona").permitted
        own = bench.rules(rules, **{self.FIELD: text % "shop"})
        assert own.ask({self.FIELD: (text % "shop") + "data: {x: z}\n"}, "mona").permitted
        assert not own.ask({self.FIELD: text % "platform"}, "mona").permitted

    def test_environments(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {environment: dev}, allow: anyone}\n"
        assert self.ask(bench, rules, {"apps/dev/a.yaml": config_map()}).permitted
        assert not self.ask(bench, rules, {"apps/prod/a.yaml": config_map()}).permitted
        assert not self.ask(bench, rules, {"apps/a.yaml": config_map("extra")}).permitted
        rules = (
            "  - {name: a, change: {file: '**'}, allow: anyone}\n  - {name: b, change: {cluster: prod}, deny: nope}\n"
        )
        assert [
            self.ask(bench, rules, {path: config_map("extra")}).permitted
            for path in ("apps/dev/a.yaml", "apps/prod/a.yaml", "apps/a.yaml")
        ] == [True, False, False]

    def test_hosts_and_groups(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {group: workers}, allow: anyone}\n"
        assert self.ask(bench, rules, {"inventories/prod/group_vars/workers.yml": "node_swap: true"}).permitted
        assert self.ask(bench, rules, {"inventories/prod/host_vars/w1.yml": "node_swap: true"}).permitted
        assert not self.ask(bench, rules, {"inventories/prod/host_vars/cp1.yml": "node_swap: true"}).permitted
        assert not self.ask(
            bench, rules, {"inventories/prod/group_vars/all.yml": START[VERSION] + "node_swap: true\n"}
        ).permitted
        rules = "  - {name: a, change: {host: 'w*', type: variable}, allow: anyone}\n"
        assert self.ask(bench, rules, {"inventories/prod/group_vars/workers.yml": "node_swap: true"}).permitted
        assert not self.ask(bench, rules, {"inventories/prod/hosts.yml": "workers: {hosts: {w2: }}"}).permitted

    @pytest.mark.parametrize(
        ("now", "author", "permitted"),
        [
            (datetime(2026, 6, 30, 23, 59, tzinfo=UTC), "mona", True),
            (datetime(2026, 7, 1, 0, 0, tzinfo=UTC), "mona", False),
            (datetime(2026, 6, 1, tzinfo=UTC), "moritz", False),
            (datetime(2026, 6, 1, tzinfo=UTC), "olga", False),
        ],
    )
    def test_exceptions_end_and_name_their_approver(
        self, bench: Bench, now: datetime, author: str, permitted: bool
    ) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - name: frozen\n    change: {file: '**'}\n    deny: not now\n"
        rules += "    exceptions:\n      - {until: 2026-06-30, approved_by: 'user:olga', reason: urgent,"
        rules += " to: {any: ['user:mona', 'user:olga']}}\n"
        verdict = self.ask(bench, rules, {"README.md": "x"}, author, now=now)
        assert verdict.permitted is permitted
        if permitted:
            assert any("approved by olga: urgent" in finding.message for finding in verdict.findings)

    @pytest.mark.parametrize(
        ("to", "author", "more", "permitted"),
        [
            ("", "mona", {}, True),
            ("", "otto", {}, False),
            ("", "OTTO", {}, False),
            ("", "mona", {"committers": (Person("otto"),)}, False),
            ("", "mona", {"pushers": (Person("otto"),)}, False),
            (", to: application-developers", "mona", {}, True),
            (", to: application-developers", "olga", {}, False),
            (", to: application-developers", "mona", {"pushers": (Person("olga"),)}, False),
        ],
    )
    def test_exceptions_of_content_are_for_the_same_people(
        self, bench: Bench, to: str, author: str, more: Any, permitted: bool
    ) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - name: pods\n    require: {object: {kind: Pod}, pss: baseline}\n"
        rules += f"    exceptions: [{{until: 2026-06-30, approved_by: 'user:otto', reason: urgent{to}}}]\n"
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n"
        pod += "spec: {hostPID: true, containers: [{name: c, image: i}]}\n"
        verdict = self.ask(bench, rules, {"apps/shop/pod.yaml": pod}, author, **more)
        assert verdict.permitted is permitted, why(verdict)
        assert {rule for rule, _message in why(verdict)} == (set() if permitted else {"pods"})

    def test_exceptions_of_a_part(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - name: frozen\n    change: {file: '**'}\n    deny: not now\n"
        rules += "    exceptions: [{until: 2026-06-30, approved_by: 'user:olga', reason: x, change: {field: data.a}}]\n"
        assert self.ask(bench, rules, {self.FIELD: config_map(value="z")}).permitted
        assert not self.ask(
            bench, rules, {self.FIELD: config_map(value="z").replace("data: {", "data: {k: m, ")}
        ).permitted

    def test_approvals_unless(self, bench: Bench) -> None:
        rules = "  - name: a\n    change: {file: '**'}\n    allow: anyone\n"
        rules += "    approvals: {from: cluster-operators, unless: cluster-operators}\n"
        assert self.ask(bench, rules, {"README.md": "x"}, "olga").permitted
        assert not self.ask(bench, rules, {"README.md": "x"}, "mona").permitted
        assert self.ask(bench, rules, {"README.md": "x"}, "mona", "otto").permitted

    def test_code_owners(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n  - {name: owners, codeowners: approve}\n"
        files = {"CODEOWNERS": "* @olga\n/apps/ @acme/shop @otto\n/docs/\n"}
        own = bench.rules(rules, **files)
        assert not own.ask({"README.md": "x"}, "mona").permitted
        assert own.ask({"README.md": "x"}, "mona", ("olga",)).permitted
        assert own.ask({"docs/x": "x"}, "mona").permitted
        teams = FileTeams({"acme/shop": ["eve"], "shop": [], "platform": []})
        assert own.ask({self.FIELD: config_map(value="z")}, "mona", ("eve",), teams=teams).permitted
        change = bench.rules("  - {name: owners, change: {file: '**'}, codeowners: change}\n", **files)
        assert change.ask({"README.md": "x"}, "olga").permitted
        assert not change.ask({"docs/x": "x"}, "olga").permitted
        # a rule may allow something to others besides
        more = "  - {name: owners, change: {file: '**'}, codeowners: change, allow: application-developers}\n"
        for login in ("mona", "olga"):
            assert bench.rules(more, **files).ask({"README.md": "x"}, login).permitted
        assert not bench.rules(more, **files).ask({"README.md": "x"}, "eve").permitted

    def test_a_change_of_codeowners_says_whose_files_are_newly(self, bench: Bench) -> None:
        """It says who may what, as the policy does, wherever it lies."""
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n  - {name: owners, codeowners: approve}\n"
        own = bench.rules(rules, CODEOWNERS="/docs/ @olga\n", **{"docs/x": "x"})
        for file in ("CODEOWNERS", ".github/CODEOWNERS"):
            verdict = own.ask({file: "/docs/ @eve\n"}, "mona")
            assert verdict.permitted
            assert ("loosens", "user:eve newly counts as a code owner who approves: docs/x") in {
                one[:2] for one in verdict.deltas
            }
            assert any("user:eve newly counts" in finding.message for finding in verdict.findings)
        assert not own.ask({"README.md": "x"}, "mona").deltas
        # where no rule asks for it, it is a file as others are
        other = bench.rules("  - {name: a, change: {file: '**'}, allow: anyone}\n", CODEOWNERS="/docs/ @olga\n")
        assert not other.ask({"CODEOWNERS": "/docs/ @eve\n"}, "mona").deltas

    def test_no_rule_is_left_without_the_codeowners_that_it_asks_for(self, bench: Bench) -> None:
        """After that nothing could be judged, not even what mends it."""
        allow, asking = "  - {name: a, change: {file: '**'}, allow: anyone}\n", "  - {name: o, codeowners: approve}\n"
        missing = "a rule asks for CODEOWNERS, and there is no such file"
        for start, files, change in (
            (allow + asking, {"CODEOWNERS": "/docs/ @olga\n"}, {"CODEOWNERS": None}),
            (allow, {}, {"policy/rules/more.yml": f"rules:\n{asking}"}),
        ):
            verdict = bench.rules(start, **files).ask(change, "mona")
            assert [one.message for one in verdict.findings if one.prohibits and missing in one.message]
            assert not verdict.permitted

    def test_lines_of_codeowners_that_do_not_count_are_said(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n  - {name: owners, codeowners: approve}\n"
        own = bench.rules(rules, CODEOWNERS="* @olga\n!docs @otto\n[a] @otto\n")

        def said(change: Mapping[str, Any]) -> list[tuple[str, bool]]:
            verdict = own.ask(change, "mona", ("olga",))
            assert verdict.permitted is (None not in change.values()), why(verdict)  # a rule asks for the file
            found = [one for one in verdict.findings if one.rule == "codeowners"]
            assert all(one.severity == "warn" and one.remedy for one in found)
            return [(f"{one.origin} {one.message[:5]}", one.new) for one in found]

        assert said({"README.md": "x"}) == [("CODEOWNERS:2 ! doe", False), ("CODEOWNERS:3 [ ] d", False)]
        # what the change breaks is told from what was there, and what it mends still counts for nothing here
        assert said({"CODEOWNERS": "\n* @olga\n!docs @otto\n{a,b} @otto\n"}) == [
            ("CODEOWNERS:3 ! doe", False),
            ("CODEOWNERS:3 [ ] d", False),
            ("CODEOWNERS:4 { } s", True),
        ]
        assert len(said({"CODEOWNERS": None})) == 2

    @pytest.mark.parametrize("how", ["allow: %s", "only: %s", "allow: anyone, approvals: {count: 1, from: %s}"])
    def test_who_must_be_several_things_is_told_as_one(self, bench: Bench, how: str) -> None:
        who = "{all: [cluster-operators, application-developers]}"
        own = bench.rules(f"  - {{name: a, change: {{file: '**'}}, {how % who}}}\n")
        for login in ("mona", "olga"):
            findings = [one for one in own.ask({"README.md": "new"}, login).findings if one.prohibits]
            for finding in findings:
                assert finding.who_could == ("role:application-developers and role:cluster-operators",)
                assert "role application-developers and role cluster-operators" in finding.remedy
            assert findings

    @pytest.mark.parametrize("element", ["[name=web]", "[name=w*]", "[*]"])
    def test_a_field_in_an_element_of_a_list(self, bench: Bench, element: str) -> None:
        """Of an object that was there and of one that comes, in a list and below a mapping that stands beside it."""
        path, field = "apps/shop/d.yaml", f"spec.template.spec.containers{element}.image"
        denied = f"  - {{name: a, change: {{file: '**'}}, allow: anyone}}\n  - {{name: b, change: {{field: '{field}'}}"
        allowed = f"  - {{name: a, change: {{field: '{field}'}}, allow: anyone}}\n"
        newer = {path: deployment("web:2", 1)}
        for rule in ("deny: nope", "only: cluster-operators", "approvals: {count: 1, from: cluster-operators}"):
            there = bench.rules(f"{denied}, {rule}}}\n", **{path: deployment("web:1", 1)})
            assert [name for name, _message in why(there.ask(newer, "mona"))] == ["b"], rule
            assert there.ask({path: deployment("web:1", 2)}, "mona").permitted
            assert [name for name, _message in why(bench.rules(f"{denied}, {rule}}}\n").ask(newer, "mona"))] == ["b"]
        there = bench.rules(allowed, **{path: deployment("web:1", 1)})
        assert there.ask(newer, "mona").permitted
        assert not there.ask({path: deployment("web:1", 2)}, "mona").permitted

    @pytest.mark.parametrize(
        ("field", "containers", "denied"),
        [
            ("[0].image", "side,web", True),  # only their order changes
            ("[1].image", "side,web", True),
            ("[1].image, new: 'web:*'", "side,web", True),
            ("[1].image, new: 'db:*'", "side,web", False),
            ("[0].image, action: changed, new: 'side:*'", "side", True),  # the first goes, so another is the first
            ("[1].image, action: removed", "side", True),
            ("[2].image, action: added", "web,side,db", True),
            ("[1].image, new: 'side:*'", "db,web,side", False),
            ("[2].image, new: 'side:*'", "db,web,side", True),
            ("[2].image", "side,web", False),
            ("[*].image", "side,web", False),
            ("[name=web].image", "side,web", False),
        ],
    )
    def test_a_field_at_a_place_in_a_list_whose_elements_have_names(
        self, bench: Bench, field: str, containers: str, denied: bool
    ) -> None:
        """What is at a place may change by what happens to other elements of the list."""

        def pods(names: str) -> dict[str, str]:
            inside = ", ".join(f"{{name: {name}, image: '{name}:1'}}" for name in names.split(","))
            text = deployment("web:1", 1)
            return {"apps/shop/d.yaml": text.replace('{name: web, image: "web:1"}', inside)}

        where = (
            f"field: 'spec.template.spec.containers{field.partition(',')[0]}'{field[len(field.partition(',')[0]) :]}"
        )
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        there = bench.rules(rules + f"  - {{name: b, change: {{{where}}}, deny: nope}}\n", **pods("web,side"))
        assert ("b" in dict(why(there.ask(pods(containers), "mona")))) is denied

    @pytest.mark.parametrize("field", ["spec.l[1].v", "**[1]", "**"])
    def test_long_lists_cost_as_much_as_they_are_long(self, bench: Bench, field: str) -> None:
        def listed(value: int) -> dict[str, str]:
            elements = "".join(f"  - {{name: x{at}, v: {at + value}}}\n" for at in range(1500))
            return {"a.yaml": f"apiVersion: a.example/v1\nkind: A\nmetadata: {{name: a}}\nspec:\n  l:\n{elements}"}

        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        there = bench.rules(rules + f"  - {{name: b, change: {{field: {field!r}}}, deny: nope}}\n", **listed(0))
        start = time.process_time()
        there.ask(listed(1), "mona")
        assert time.process_time() - start < 3

    @pytest.mark.parametrize(
        ("denied", "replicas"),
        [
            ("field: 'spec,spec.replicas', new: 0", 0),
            ("field: 'spec.replicas,spec', new: 0", 0),
            ("field: 'metadata,spec,**.replicas', old: 1", 0),
            ("field: 'spec,spec.replicas', action: removed", None),
        ],
    )
    def test_of_fields_that_lie_in_each_other_any_is_meant(
        self, bench: Bench, denied: str, replicas: int | None
    ) -> None:
        def asked(value: int | None) -> dict[str, str]:
            text = deployment("web:1", 1)
            return {
                "apps/shop/d.yaml": text.replace(
                    "  replicas: 1\n", f"  replicas: {value}\n" if value is not None else ""
                )
            }

        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        there = bench.rules(rules + f"  - {{name: b, change: {{{denied}}}, deny: nope}}\n", **asked(1))
        assert "b" in dict(why(there.ask(asked(replicas), "mona")))
        assert there.ask({"apps/shop/d.yaml": deployment("web:2", 1)}, "mona").permitted

    PODS = """\
package main
import rego.v1
deny contains msg if {
    input.kind == "Pod"
    some container in input.spec.containers
    startswith(container.image, "evil")
    msg := "an evil image"
}
"""

    @pytest.mark.usefixtures("opa")
    @pytest.mark.parametrize(
        ("rule", "denied"),
        [
            ("require: {object: {kind: Pod}, rego: policy/rego/p.rego}", True),
            ("require: {object: {kind: [Pod, Deployment]}, rego: policy/rego/p.rego}", True),
            ("require: {object: {kind: 'Deployment.apps,Pod'}, rego: policy/rego/p.rego}", True),
            (
                "change: [{object: {kind: Deployment}}, {object: {kind: Pod}}], require: {rego: policy/rego/p.rego}",
                True,
            ),
            ("require: {object: {kind: Pod, labels: {app: web}}, rego: policy/rego/p.rego}", True),
            ("change: {object: {kind: Pod, labels: {app: web}}}, require: {rego: policy/rego/p.rego}", True),
            ("require: {object: {kind: [Pod, Deployment], name: db}, rego: policy/rego/p.rego}", False),
            ("require: {object: {kind: Pod, labels: {app: db}}, rego: policy/rego/p.rego}", False),
            ("require: {object: {kind: Deployment}, rego: policy/rego/p.rego}", False),
            ("require: {object: {kind: '*'}, rego: policy/rego/p.rego}", False),  # it is asked of the Deployment
        ],
    )
    @pytest.mark.parametrize("label", ["app: web", "x: y"])
    def test_the_pods_of_workloads_are_meant_by_their_own_kind(
        self, bench: Bench, rule: str, denied: bool, label: str
    ) -> None:
        """Beside whatever else a rule is about, and by the labels that they have before the change or after it."""
        rules = f"  - {{name: a, change: {{file: '**'}}, allow: anyone}}\n  - {{name: b, {rule}}}\n"
        path = "apps/shop/d.yaml"
        there = bench.rules(rules, **{path: deployment("web:1", 1), "policy/rego/p.rego": self.PODS})
        after = deployment("evil:1", 1).replace("labels: {app: web}", f"labels: {{{label}}}")
        verdict = there.ask({path: after}, "mona")
        assert ([rule for rule, message in why(verdict) if message == "an evil image"] == ["b"]) is denied

    def test_values_in_an_element_of_a_list(self, bench: Bench) -> None:
        path, field = "apps/shop/d.yaml", "spec.template.spec.containers[name=web].image"
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += f"  - {{name: b, change: {{field: '{field}'}}, deny_unless: {{new: 'web:*'}}}}\n"
        there = bench.rules(rules, **{path: deployment("web:1", 1)})
        assert there.ask({path: deployment("web:2", 1)}, "mona").permitted
        assert [name for name, _message in why(there.ask({path: deployment("evil:2", 1)}, "mona"))] == ["b"]

    def test_a_key_that_is_written_like_an_element_is_a_key(self, bench: Bench) -> None:
        def one(value: str) -> str:
            return config_map().replace("a: b", f'"[name=web]": "{value}"')

        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - {name: b, change: {field: 'data[name=web]'}, deny: nope}\n"
        keys = rules + "  - {name: c, change: {field: 'data[\"[name=web]\"]'}, deny: nope}\n"
        change = {"apps/shop/web.yaml": one("2")}
        assert bench.rules(rules, **{"apps/shop/web.yaml": one("1")}).ask(change, "mona").permitted
        verdict = bench.rules(keys, **{"apps/shop/web.yaml": one("1")}).ask(change, "mona")
        assert [name for name, _message in why(verdict)] == ["c"]

    @pytest.mark.parametrize("kind", ["!Deployment", "*,!Deployment", "!Deployment.apps", "*,!*.apps", "ConfigMap"])
    def test_a_kind_that_is_excluded_is_so_by_either_of_its_names(self, bench: Bench, kind: str) -> None:
        change = {"apps/shop/d.yaml": deployment("web:1", 1)}
        allow = f"  - {{name: a, change: {{object: {{kind: '{kind}'}}}}, allow: anyone}}\n"
        assert not bench.rules(allow).ask(change, "mona").permitted
        assert bench.rules(allow).ask({"apps/shop/web.yaml": config_map(value="z")}, "mona").permitted
        everything = "  - {name: all, change: {file: '**'}, allow: anyone}\n"
        deny = everything + f"  - {{name: b, change: {{object: {{kind: '{kind}'}}}}, deny: nope}}\n"
        assert bench.rules(deny).ask(change, "mona").permitted
        assert not bench.rules(deny).ask({"apps/shop/web.yaml": config_map(value="z")}, "mona").permitted

    @pytest.mark.parametrize("file", ["inventories/prod/secret.yml", "**/*.txt", "inventories/*/host_vars/**"])
    def test_a_rule_about_one_file_is_not_about_another_beside_it(self, bench: Bench, file: str) -> None:
        """But about what comes into its folder from elsewhere, which may be anything in there."""
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += f"  - {{name: b, change: {{file: '{file}'}}, deny: nope}}\n"
        there = bench.rules(rules, **{"inventories/base/group_vars/all.yml": "site_color: red\n"})
        assert there.ask({VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}, "mona").permitted
        verdict = there.ask({"inventories/base/group_vars/all.yml": "site_color: blue\n"}, "mona")
        assert [name for name, _message in why(verdict)] == ["b"]


class TestOpaque:
    ALLOW = "  - {name: a, change: {file: '**'}, allow: anyone}\n"

    @pytest.mark.parametrize(
        "rule",
        ["change: {object: {kind: ClusterRole}}, deny: nope", "change: {field: x}, deny_unless: {new: '>= old'}"],
    )
    def test_what_is_not_understood_may_be_what_is_denied(self, bench: Bench, rule: str) -> None:
        denied = bench.rules(self.ALLOW + "  - {name: b, " + rule + "}\n")
        assert denied.ask({"README.md": "x"}, "mona").permitted
        verdict = denied.ask({"apps/link.yaml": ("120000", "../README.md")}, "mona")
        assert {name for name, _message in why(verdict)} == {"b"}

    def test_a_field_rule_does_not_allow_it(self, bench: Bench) -> None:
        verdict = bench.rules("  - {name: a, change: {field: '**'}, allow: anyone}\n").ask(
            {"link": ("120000", "README.md")}, "mona"
        )
        assert not verdict.permitted


class TestMoves:
    RULES = """\
  - {name: platform, change: {file: 'apps/platform/**'}, allow: cluster-operators}
  - {name: shop, change: {file: 'apps/shop/**'}, allow: [application-developers, cluster-operators]}
"""

    def test_a_move_to_where_other_rules_hold_is_judged(self, bench: Bench) -> None:
        own = bench.rules(self.RULES, **{"apps/platform/x.yaml": config_map("x")})
        away = {"apps/platform/x.yaml": None, "apps/shop/x.yaml": config_map("x")}
        prohibited = own.ask(away, "mona")
        assert [message for _rule, message in why(prohibited)] == [
            "mona may not make this change; it only moves, but to where other rules hold"
        ]
        assert [(one.action, str(one.origin)) for one in prohibited.changes] == [("removed", "apps/platform/x.yaml")]
        back = own.ask({"apps/platform/web.yaml": config_map(), "apps/shop/web.yaml": None}, "mona")
        assert [(one.action, str(one.origin)) for one in back.changes] == [("added", "apps/platform/web.yaml:1")]
        assert not back.permitted
        assert not own.ask({**away, "apps/shop/x.yaml": config_map("x", value="z")}, "mona").permitted

    def test_a_move_by_whom_both_places_are_open_to_is_no_change(self, bench: Bench) -> None:
        own = bench.rules(self.RULES, **{"apps/platform/x.yaml": config_map("x")})
        verdict = own.ask({"apps/platform/x.yaml": None, "apps/shop/x.yaml": config_map("x")}, "olga")
        assert verdict.permitted and verdict.changes == () and verdict.permissions == ()

    @pytest.mark.parametrize(
        "rule",
        [
            "{name: deny, change: {file: 'apps/platform/**'}, deny: it is frozen}",
            "{name: only, change: {file: 'apps/platform/**'}, only: user:otto}",
            "{name: two, change: {file: 'apps/platform/**'}, allow: anyone, approvals: {count: 1, from: user:otto}}",
        ],
    )
    @pytest.mark.parametrize(("old", "new"), [("platform", "shop"), ("shop", "platform")])
    def test_a_move_neither_leaves_nor_enters_a_rule_unseen(self, bench: Bench, rule: str, old: str, new: str) -> None:
        own = bench.rules(f"{self.RULES}  - {rule}\n", **{f"apps/{old}/x.yaml": config_map("x")})
        verdict = own.ask({f"apps/{old}/x.yaml": None, f"apps/{new}/x.yaml": config_map("x")}, "olga")
        assert not verdict.permitted and len(verdict.changes) == 1
        named = f"apps/{old}/y.yaml"
        assert own.ask({f"apps/{old}/x.yaml": None, named: config_map("x")}, "eve").changes == ()

    POD = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop%s}\nspec: {containers: [{name: c, image: i}]}\n"
    )
    PSS = "  - {name: pods, change: {file: 'apps/platform/**'}, require: {pss: restricted}}\n"

    @pytest.mark.parametrize("labels", ["", ", labels: {new: 'yes'}"])
    def test_a_move_does_not_carry_content_past_a_rule(self, bench: Bench, labels: str) -> None:
        own = bench.rules(self.RULES + self.PSS, **{"apps/shop/pod.yaml": self.POD % ""})
        entering = {"apps/shop/pod.yaml": None, "apps/platform/pod.yaml": self.POD % labels}
        verdict = own.ask(entering, "olga")
        assert {rule for rule, _message in why(verdict)} == {"pods"}
        assert all(finding.new for finding in verdict.findings if finding.prohibits)

    def test_content_that_a_rule_knew_before_a_move_is_not_said_again(self, bench: Bench) -> None:
        own = bench.rules(self.RULES + self.PSS, **{"apps/platform/pod.yaml": self.POD % ""})
        within = {"apps/platform/pod.yaml": None, "apps/platform/deep/pod.yaml": self.POD % ""}
        assert own.ask(within, "olga").findings == ()
        leaving = {"apps/platform/pod.yaml": None, "apps/shop/pod.yaml": self.POD % ""}
        assert own.ask(leaving, "olga").findings == ()
        changed = {"apps/platform/pod.yaml": None, "apps/platform/deep/pod.yaml": self.POD % ", labels: {a: b}"}
        verdict = own.ask(changed, "olga")
        assert verdict.permitted and {finding.rule for finding in verdict.findings} == {"pods"}
        assert not any(finding.new for finding in verdict.findings)

    OLD = "until: 2027-01-01, approved_by: 'user:lena', reason: old"
    LEGACY = f"    exceptions: [{{change: {{file: 'apps/legacy/**'}}, {OLD}}}]\n"
    ANYTHING = "  - {name: a, change: {file: '**'}, allow: anyone}\n"

    @pytest.mark.parametrize("labels", ["", ", labels: {new: 'yes'}"])
    def test_a_move_does_not_carry_content_out_of_an_exception(self, bench: Bench, labels: str) -> None:
        rule = "  - name: pods\n    require: {object: {kind: Pod}, pss: restricted}\n" + self.LEGACY
        own = bench.rules(self.ANYTHING + rule, **{"apps/legacy/pod.yaml": self.POD % ""})
        verdict = own.ask({"apps/legacy/pod.yaml": None, "apps/shop/pod.yaml": self.POD % labels})
        assert {name for name, _message in why(verdict)} == {"pods"}
        assert all(finding.new for finding in verdict.findings if finding.prohibits)
        within = own.ask({"apps/legacy/pod.yaml": None, "apps/legacy/deep/pod.yaml": self.POD % ""})
        assert within.permitted and within.findings == ()
        back = bench.rules(self.ANYTHING + rule, **{"apps/shop/pod.yaml": self.POD % ""})
        verdict = back.ask({"apps/shop/pod.yaml": None, "apps/legacy/pod.yaml": self.POD % ""})
        assert verdict.permitted and {finding.severity for finding in verdict.findings} == {"info"}

    def test_who_answers_for_an_exception_does_not_carry_content_in_or_out(self, bench: Bench) -> None:
        rule = "  - name: pods\n    require: {object: {kind: Pod}, pss: restricted}\n" + self.LEGACY
        own = bench.rules(self.ANYTHING + rule, **{"apps/legacy/pod.yaml": self.POD % ""})
        leaving = own.ask({"apps/legacy/pod.yaml": None, "apps/shop/pod.yaml": self.POD % ""}, "lena")
        assert {name for name, _message in why(leaving)} == {"pods"}
        assert all(finding.new for finding in leaving.findings if finding.prohibits)
        within = own.ask({"apps/legacy/pod.yaml": None, "apps/legacy/deep/pod.yaml": self.POD % ""}, "lena")
        assert within.permitted and within.findings == ()
        other = own.ask({"apps/legacy/pod.yaml": self.POD % ", labels: {a: b}"}, "lena")
        assert other.permitted and {finding.new for finding in other.findings} == {False}
        worse = own.ask(
            {"apps/legacy/pod.yaml": (self.POD % "").replace("{containers", "{hostPID: true, containers")}, "lena"
        )
        assert len(why(worse)) == 1

    @pytest.mark.parametrize(("old", "new"), [("shop", "legacy"), ("legacy", "shop")])
    def test_a_move_neither_leaves_nor_enters_an_exception_unseen(self, bench: Bench, old: str, new: str) -> None:
        rule = "  - name: two\n    change: {object: {kind: ConfigMap}}\n    approvals: {count: 1, from: user:otto}\n"
        own = bench.rules(self.ANYTHING + rule + self.LEGACY, **{f"apps/{old}/x.yaml": config_map("x")})
        change = {f"apps/{old}/x.yaml": None, f"apps/{new}/x.yaml": config_map("x")}
        assert {name for name, _message in why(own.ask(change))} == {"two"}
        assert own.ask(change, "olga", ("otto",)).permitted
        within = own.ask({f"apps/{old}/x.yaml": None, f"apps/{old}/y.yaml": config_map("x")})
        assert within.permitted and within.changes == ()

    @pytest.mark.parametrize(
        "rule",
        [
            "require: {object: {kind: Pod, labels: {tier: prod}}, pss: restricted}",
            "require: {object: {kind: Pod}, pss: restricted}, "
            f"exceptions: [{{change: {{object: {{labels: {{tier: '!prod'}}}}}}, {OLD}}}]",
        ],
    )
    def test_a_label_does_not_carry_content_past_a_rule(self, bench: Bench, rule: str) -> None:
        prod = self.POD % ", labels: {tier: prod}"
        own = bench.rules(f"{self.ANYTHING}  - {{name: pods, {rule}}}\n", **{"apps/shop/pod.yaml": self.POD % ""})
        for file in ("apps/shop/pod.yaml", "apps/shop/deep/pod.yaml"):
            verdict = own.ask({"apps/shop/pod.yaml": None, file: prod})
            assert {name for name, _message in why(verdict)} == {"pods"}
            assert all(finding.new for finding in verdict.findings if finding.prohibits)
        known = bench.rules(f"{self.ANYTHING}  - {{name: pods, {rule}}}\n", **{"apps/shop/pod.yaml": prod})
        verdict = known.ask({"apps/shop/pod.yaml": self.POD % ", labels: {tier: prod, a: b}"})
        assert verdict.permitted and {finding.new for finding in verdict.findings} == {False}

    def test_a_move_among_the_same_rules_is_none(self, bench: Bench) -> None:
        own = bench.rules(self.RULES)
        verdict = own.ask({"apps/shop/web.yaml": None, "apps/shop/deep/web.yaml": START["apps/shop/web.yaml"]}, "eve")
        assert verdict.permitted and verdict.changes == ()

    def test_an_override_that_says_the_same_is_not_dropped_unseen(self, bench: Bench) -> None:
        rules = "  - {name: base, change: {file: 'inventories/base/**'}, allow: anyone}\n"
        own = bench.rules(rules, **{"inventories/base/group_vars/all.yml": START[VERSION]})
        assert not own.ask({VERSION: None}, "mona").permitted


class TestThePolicyItself:
    def test_rules_in_force_are_those_of_the_target(self, bench: Bench) -> None:
        anything = "rules:\n  - {name: mine, change: {file: '**'}, allow: anyone}\n"
        change = {"policy/rules/mine.yml": anything, "README.md": "x"}
        verdict = bench.ask(change, "mona")
        assert {str(one.change.subject) for one in verdict.findings if one.prohibits and one.change} == {
            "path:README.md",
            "path:policy/rules/mine.yml",
        }
        assert not bench.ask(change, "olga").permitted  # README.md is not hers either, as long as it is not merged
        assert bench.ask({"policy/rules/mine.yml": anything}, "olga").permitted

    def test_what_it_loosens_and_tightens_is_said(self, bench: Bench) -> None:
        rules = RULES.replace("count: 1", "count: 2").replace("[application-developers, cluster-operators]", "anyone")
        roles = ROLES.replace("[team:platform]", "[team:platform, 'user:eve']")
        verdict = bench.ask({"policy/rules/platform.yml": rules, "policy/roles.yml": roles}, "olga")
        assert verdict.permitted
        said = [(delta.direction, delta.message) for delta in verdict.deltas]
        assert ("loosens", "user:eve is now in role cluster-operators") in said
        assert any(direction == "tightens" and "wants 2 approvals, not 1" in message for direction, message in said)
        assert any(direction == "loosens" and "anyone can newly change" in message for direction, message in said)
        assert said == sorted(said, key=lambda one: ({"loosens": 0, "changes": 1, "tightens": 2}[one[0]], one[1]))
        assert any(finding.kind == "policy" and not finding.prohibits for finding in verdict.findings)

    FROZEN = "  - name: frozen\n    change: {file: 'docs/**'}\n    deny: not now\n"
    OLD = "{until: 2026-06-30, approved_by: 'user:otto', reason: urgent, change: {file: 'docs/a/**'}}"

    @pytest.mark.parametrize(
        ("new", "approvals", "message"),
        [
            (OLD, (), ""),
            ("{change: {file: docs/a/**}, reason: urgent, until: 2026-06-30, approved_by: user:otto}", (), ""),
            (None, (), ""),
            (OLD.replace("docs/a/**", "docs/**"), (), "otto, who answers for it, has not approved the head"),
            (OLD.replace("docs/a/**", "docs/**"), ("mona", "lena"), "otto, who answers for it, has not"),
            (OLD.replace("docs/a/**", "docs/**"), ("OTTO",), ""),
            (OLD.replace("06-30", "07-30"), (), "has not approved"),
            (OLD.replace("06-30", "07-30"), ("otto",), ""),
            (OLD.replace("06-30", "06-29"), (), "has not approved"),
            (OLD.replace("urgent", "other"), (), "has not approved"),
            (OLD.replace("reason", "to: anyone, reason"), (), "has not approved"),
            (OLD.replace("otto", "nobody-at-all"), (), "nobody-at-all, who answers for it, has not approved"),
            (OLD.replace("otto", "olga"), (), "olga answers for this exception and is behind the change"),
            (OLD.replace("otto", "olga"), ("olga", "otto"), "olga answers for this exception and is behind"),
            (f"{OLD}, {OLD.replace('docs/a', 'docs/b')}", (), "has not approved"),
            (f"{OLD}, {OLD.replace('docs/a', 'docs/b')}", ("otto",), ""),
        ],
    )
    def test_an_exception_is_approved_by_whom_it_names(
        self, bench: Bench, new: str | None, approvals: tuple[str, ...], message: str
    ) -> None:
        own = bench.rules(RULES[7:] + self.FROZEN + f"    exceptions: [{self.OLD}]\n")
        exceptions = "" if new is None else f"    exceptions: [{new}]\n"
        rules = "rules:\n" + RULES[7:] + self.FROZEN + exceptions
        verdict = own.ask({"policy/rules/platform.yml": rules}, "olga", approvals)
        assert verdict.permitted is (not message), why(verdict)
        for finding in verdict.findings:
            if finding.prohibits:
                assert (finding.rule, finding.kind) == ("frozen", "not-permitted") and message in finding.message
                assert str(finding.origin) == f"policy/rules/platform.yml:{len(rules.splitlines())}"
                assert finding.who_could and finding.remedy

    def test_an_exception_in_a_rule_that_is_new_or_called_otherwise_is_new(self, bench: Bench) -> None:
        rule = self.FROZEN + f"    exceptions: [{self.OLD}]\n"
        added = bench.ask({"policy/rules/more.yml": "rules:\n" + rule}, "olga")
        assert [name for name, _message in why(added)] == ["frozen"]
        assert any(delta.direction == "loosens" and "has a new exception" in delta.message for delta in added.deltas)
        own = bench.rules(RULES[7:], **{"policy/rules/more.yml": "rules:\n" + rule})
        called = {"policy/rules/more.yml": "rules:\n" + rule.replace("frozen", "icy")}
        assert [name for name, _message in why(own.ask(called, "olga"))] == ["icy"]
        assert own.ask(called, "olga", ("otto",)).permitted
        moved = {"policy/rules/more.yml": None, "policy/rules/other.yml": "rules:\n" + rule}
        assert own.ask(moved, "olga").permitted

    def test_an_approval_of_an_exception_is_of_this_head(self, bench: Bench) -> None:
        change = {"policy/rules/more.yml": "rules:\n" + self.FROZEN + f"    exceptions: [{self.OLD}]\n"}
        head = bench.repo.commit(change, bench.base, author="olga")
        older = (Approval(Person("otto"), bench.base),)
        request = Request(bench.base, head, "main", Person("olga"), approvals=older)
        ((_rule, message),) = why(judge(request, bench.repo.path, now=NOW, teams=TEAMS))
        assert "has not approved the head" in message
        pushed = bench.ask({}, "olga", ("otto",), head=head, pushers=(Person("otto"),))
        assert any("is behind the change" in message for _rule, message in why(pushed))

    @pytest.mark.parametrize(
        ("longest", "until", "permitted"),
        [
            ("", "2999-01-01", True),
            ("30", "2026-07-01", True),
            ("30", "2026-07-02", False),
            ("30", "2999-01-01", False),
        ],
    )
    def test_an_exception_is_not_longer_than_the_settings_in_force_say(
        self, bench: Bench, longest: str, until: str, permitted: bool
    ) -> None:
        settings = {"policy/settings.yml": f"exceptions: {{longest: {longest}}}\n"} if longest else {}
        own = bench.rules(RULES[7:], **settings)
        rule = self.FROZEN + f"    exceptions: [{self.OLD.replace('2026-06-30', until)}]\n"
        change: dict[str, Any] = {"policy/rules/more.yml": "rules:\n" + rule}
        plain = own.ask(change, "olga", ("otto",))
        raised = own.ask({**change, "policy/settings.yml": "exceptions: {longest: 36500}\n"}, "olga", ("otto",))
        for verdict in (plain, raised):
            assert verdict.permitted is permitted, why(verdict)
            assert all("more than 30 days from now" in message for _rule, message in why(verdict))
        assert any("may hold for at most 36500" in delta.message for delta in raised.deltas)

    def test_mending_does_not_bring_an_exception_by_the_way(self, repo: Any) -> None:
        broken = self.FROZEN + f"    exceptions: [{self.OLD}]\n  - {{name: broken}}\n"
        start = {**START, "policy/rules/more.yml": "rules:\n" + broken}
        own = Bench(repo, start)
        mended = "rules:\n" + self.FROZEN + f"    exceptions: [{self.OLD}]\n"
        assert own.ask({"policy/rules/more.yml": mended}, "olga").permitted
        wider = {"policy/rules/more.yml": mended.replace("docs/a/**", "docs/**")}
        assert not own.ask(wider, "olga").permitted
        assert own.ask(wider, "olga", ("otto",)).permitted

    def test_a_change_that_breaks_it_is_prohibited_with_every_problem(self, bench: Bench) -> None:
        verdict = bench.ask(
            {"policy/rules/platform.yml": "rules:\n  - {name: a, alow: x}\n  - {name: b, allow: nobody-knows}\n"},
            "olga",
        )
        assert not verdict.permitted
        places = {str(finding.origin) for finding in verdict.findings if finding.rule == "policy"}
        assert {"policy/rules/platform.yml:2", "policy/rules/platform.yml:3"} <= places

    def test_no_policy_permits_nothing(self, repo: Any) -> None:
        bench = Bench(repo, {"README.md": "x"})
        verdict = bench.ask({"README.md": "y"}, "olga")
        assert (
            not verdict.permitted and "there is no policy" in verdict.findings[0].message + verdict.findings[1].message
        )

    @pytest.mark.parametrize(
        ("broken", "mended"),
        [
            ({"policy/rules/platform.yml": "rules: ["}, {"policy/rules/platform.yml": RULES}),
            ({"policy/roles.yml": "roles: {a: ["}, {"policy/roles.yml": ROLES}),
        ],
    )
    def test_a_broken_policy_is_mended_by_its_owners_only(self, bench: Bench, broken: Any, mended: Any) -> None:
        bench.base = bench.repo.commit(broken, bench.base, branch="main")
        assert bench.ask(mended, "olga").permitted
        assert not bench.ask(mended, "mona").permitted
        assert not bench.ask({**mended, "README.md": "x"}, "olga").permitted
        assert not bench.ask({"policy/other.txt": "x"}, "olga").permitted
        assert not bench.ask({"apps/shop/web.yaml": config_map(value="z")}, "mona").permitted
        verdict = bench.ask(mended, "olga", committers=(Person("mona"),))
        assert not verdict.permitted and any("mona does not own" in finding.message for finding in verdict.findings)


class TestValidity:
    def test_yaml(self, bench: Bench) -> None:
        verdict = bench.ask({"apps/shop/web.yaml": "a: ["}, "mona")
        assert "yaml" in {rule for rule, _message in why(verdict)}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('cluster_kubernetes_version: "1.38.0"\n', "skips"),
            ('cluster_kubernetes_version: "1.35.0"\n', "never goes back"),
            ('cluster_kubernetes_version: "1.36"\n', ""),
            ("cluster_kubernetes_version: 1.37\n", "must be string"),
            ('cluster_kubernetes_version: "soon"\n', "no version"),
            ("cluster_kubernets_version: '1.37'\n", "do you mean cluster_kubernetes_version"),
            (START[VERSION] + "cluster_pod_cidr: 10.1.0.0/16\n", "cannot change on a live cluster"),
            (START[VERSION] + "cluster_pod_cidr: 10.244.0.0/16\n", ""),
            (START[VERSION] + "node_swap: 3\n", "must be boolean"),
            (START[VERSION] + "cluster_endpoint_provider: magic\n", "must be one of"),
            (START[VERSION] + "node_taints: [{effect: x}]\n", "lacks key"),
            (START[VERSION] + "anything_else: 3\n", ""),
        ],
    )
    def test_variables(self, bench: Bench, text: str, message: str) -> None:
        verdict = bench.ask({VERSION: text}, "olga", ("otto",))
        found = [finding.message for finding in verdict.findings if finding.kind == "invalid" and finding.prohibits]
        assert bool(found) is bool(message), found
        assert not message or any(message in one for one in found), found

    @pytest.mark.parametrize(
        ("place", "text", "message"),
        [
            ("group_vars/all.yml", "cluster_name: new\n", ""),
            # with what no cluster could be taken to, a new one can be made
            ("group_vars/all.yml", 'cluster_kubernetes_version: "1.35.1"\ncluster_dns_domain: x.example.org\n', ""),
            # (w1 has the default, two minors behind)
            ("host_vars/cp1.yml", 'cluster_kubernetes_version: "1.39.1"\ncluster_dns_domain: x.example.org\n', ""),
            ("group_vars/all.yml", "node_swap: 3\n", "must be boolean"),
            ("group_vars/workers.yml", "cluster_nonsense: 3\n", "there is no variable cluster_nonsense"),
            ("host_vars/cp1.yml", "node_swap: 3\n", "must be boolean"),
        ],
    )
    def test_variables_of_a_new_environment(self, bench: Bench, place: str, text: str, message: str) -> None:
        change = {"inventories/new/hosts.yml": START["inventories/prod/hosts.yml"], f"inventories/new/{place}": text}
        verdict = bench.ask(change, "olga", ("otto",))
        assert verdict.permitted is (not message), why(verdict)
        assert all(rule == "variables" and message in said for rule, said in why(verdict))
        variables = {one.subject.name for one in verdict.changes if one.subject.type == "variable"}
        assert variables == {line.partition(":")[0] for line in text.splitlines()}

    def test_skew(self, bench: Bench) -> None:
        verdict = bench.ask(
            {"inventories/prod/group_vars/workers.yml": 'cluster_kubernetes_version: "1.37.1"\n'}, "olga", ("otto",)
        )
        assert any("may not be newer than a control plane" in message for _rule, message in why(verdict))

    def test_the_same_object_twice(self, bench: Bench) -> None:
        verdict = bench.ask({"apps/other/web.yaml": config_map(value="c")}, "mona")
        (finding,) = [one for one in verdict.findings if one.rule == "duplicate-object"]
        assert finding.prohibits and "apps/shop/web.yaml:1" in finding.message
        twice = bench.ask({"apps/x.yaml": config_map("extra") + "---\n" + config_map("extra")}, "mona")
        assert sum(one.rule == "duplicate-object" for one in twice.findings) == 2
        beside = bench.ask({"apps/prod/web.yaml": config_map(value="c")}, "mona")
        assert beside.permitted and "may be defined twice for an environment" in beside.findings[0].message
        one = bench.ask({f"apps/{name}/new.yaml": config_map("new") for name in ("dev", "prod")}, "mona")
        assert one.permitted and not one.findings

    @pytest.mark.parametrize(
        ("variable", "old", "new", "rules", "message"),
        [
            ("1.36", "v1.36.2", "v1.36.3", [], ""),
            ("1.36", "v1.36.3", "v1.36.2", [BACK, "upgrade"], "never goes back: 1.36.3 to 1.36.2"),
            ("1.36", "v1.36.3", None, [BACK], ""),  # nobody knows then what it means
            ("1.36", "v1.36.3", "v1.37.2", ["upgrade"], "Kubernetes 1.37.2, and cluster_kubernetes_version is 1.36"),
            ("1.36", "v1.36.3", "v1.30.0", [BACK, "upgrade", "upgrade", "upgrade"], "; 1.35 to 1.37 can be built"),
            ("1.36", "v1.36.3", "latest", [BACK, "inventory"], "'latest' is no exact version"),
            ("1.36", "v1.36.3", "[", [BACK, "inventory"], ""),
            ("1.36", None, "v1.36.3", [], ""),
            ("1.36.3", "v1.36.3", "v1.36.4", ["upgrade"], "and cluster_kubernetes_version is 1.36.3"),
            ("1.36.3", "v1.36.2", "v1.36.3", [], ""),
            ("", "v1.37.1", "v1.37.2", [], ""),  # not set: the default, which is a minor
            ("", "v1.37.2", "v1.37.1", [BACK, "upgrade"], "never goes back"),
        ],
    )
    def test_a_lock_file_says_what_a_minor_means(
        self, repo: Any, variable: str, old: str | None, new: str | None, rules: list[str], message: str
    ) -> None:
        written = f'cluster_kubernetes_version: "{variable}"\n' if variable else "cluster_name: prod\n"
        started = {LOCK: f"kubernetes: {old}\nbinaries: []\n"} if old else {}
        change = {LOCK: f"# made anew\nkubernetes: {new}\nbinaries: []\n" if new else None}
        verdict = Bench(repo, {**START, VERSION: written, **started}).ask(change, "olga", ("otto",))
        said = [finding for finding in verdict.findings if finding.prohibits]
        assert sorted(one.rule for one in said) == sorted(rules), said
        assert any(message in one.message for one in said) or not message
        lines = {one.origin.line for one in said if one.origin is not None and one.origin.file == LOCK}
        assert lines <= ({2} if new else {1}) or new == "["
        if not rules and variable != "1.36.3":
            changed = [(one.before, one.after) for one in verdict.changes if one.subject.type == "variable"]
            was = ABSENT if not old and not variable else (old or variable).removeprefix("v")
            assert changed == [(was, str(new).removeprefix("v"))]

    def test_a_lock_file_that_is_wrong_already_is_said_and_not_held_against_a_change(self, repo: Any) -> None:
        lock = "kubernetes: v1.37.2\nbinaries: []\n"
        wrong = Bench(repo, {**START, VERSION: 'cluster_kubernetes_version: "1.36"\n', LOCK: lock})
        verdict = wrong.ask({LOCK: f"{lock}images: []\n"}, "olga", ("otto",))
        assert verdict.permitted and [one.rule for one in verdict.findings if not one.new] == ["upgrade"]

    def test_a_lock_file_does_not_carry_a_version_past_the_rules_for_it(self, bench: Bench) -> None:
        rules = RULES.removeprefix("rules:\n")
        rules += "  - {name: anyone locks, change: {file: '**/lock.yml', type: path}, allow: anyone}\n"
        minor = {VERSION: 'cluster_kubernetes_version: "1.36"\n', LOCK: "kubernetes: v1.36.3\nbinaries: []\n"}
        own = bench.rules(rules, **minor)
        assert own.ask({LOCK: "kubernetes: v1.36.3\nbinaries: [{}]\n"}, "mona").permitted
        assert not own.ask({LOCK: "kubernetes: v1.36.4\nbinaries: []\n"}, "mona").permitted
        upgrade = {VERSION: 'cluster_kubernetes_version: "1.37"\n', LOCK: "kubernetes: v1.37.2\n"}
        verdict = own.ask(upgrade, "olga", ("otto",))
        assert verdict.permitted, why(verdict)
        changed = {(one.before, one.after) for one in verdict.changes if one.subject.type == "variable"}
        assert changed == {("1.36", "1.37"), ("1.36.3", "1.37.2")}

    FAULTS: Mapping[str, Mapping[str, Any]] = {
        "schema": {"apps/shop/web.yaml": config_map(value="c") + "nonsense: 1\n"},
        "variables": {VERSION: START[VERSION] + "node_swap: 3\n"},
        "upgrade": {VERSION: 'cluster_kubernetes_version: "1.39.0"\n'},
        "immutable": {VERSION: START[VERSION] + "cluster_pod_cidr: 10.1.0.0/16\n"},
        "duplicate-object": {"apps/other/web.yaml": config_map(value="c")},
        "orphan": {"apps/shop/namespace.yaml": None},
    }

    @pytest.mark.parametrize("check", _rules.BUILT_IN)
    @pytest.mark.parametrize("how", ["prohibit", "warn", "off", ""])
    def test_the_built_in_checks_are_as_strict_as_the_settings_say(self, bench: Bench, check: str, how: str) -> None:
        everything = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        settings = f"checks: {{{check}: {how}}}\n" if how else "plain: nothing\n"
        verdict = bench.rules(everything, **{"policy/settings.yml": settings}).ask(self.FAULTS[check], "olga")
        said = {finding.severity for finding in verdict.findings if finding.rule == check}
        assert said == ({how or "prohibit"} if how != "off" else set())
        assert verdict.permitted is (how in ("warn", "off"))
        others = f"checks: {{{', '.join(f'{one}: off' for one in _rules.BUILT_IN if one != check)}}}\n"
        assert not bench.rules(everything, **{"policy/settings.yml": others}).ask(self.FAULTS[check], "olga").permitted

    def test_a_rule_that_is_called_like_a_check_is_a_rule(self, bench: Bench) -> None:
        rules = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        rules += "  - {name: schema, require: {schema: {}}}\n  - {name: upgrade, change: {file: '**'}, deny: never}\n"
        own = bench.rules(rules, **{"policy/settings.yml": "checks: {schema: off, upgrade: off}\n"})
        assert {rule for rule, _message in why(own.ask(self.FAULTS["schema"], "olga"))} == {"schema", "upgrade"}

    def test_settings_that_change_are_judged_by_those_of_the_target(self, bench: Bench) -> None:
        everything = "  - {name: a, change: {file: '**'}, allow: anyone}\n"
        own = bench.rules(everything)
        verdict = own.ask({"policy/settings.yml": "checks: {schema: warn}\n", **self.FAULTS["schema"]}, "olga")
        assert {rule for rule, _message in why(verdict)} == {"schema"}
        assert ("loosens", "the check schema has the severity warn, not prohibit") in {
            one[:2] for one in verdict.deltas
        }
        strict = bench.rules(everything, **{"policy/settings.yml": "checks: {schema: off, upgrade: warn}\n"})
        verdict = strict.ask({"policy/settings.yml": "checks: {schema: warn, upgrade: off}\n"}, "olga")
        assert [one[:2] for one in verdict.deltas] == [
            ("loosens", "the check upgrade has the severity off, not warn"),
            ("tightens", "the check schema has the severity warn, not off"),
        ]

    def test_conflicts_with_the_target(self, bench: Bench) -> None:
        head = bench.repo.commit({"apps/shop/web.yaml": config_map(value="c")}, bench.base, author="mona")
        base = bench.repo.commit({"apps/shop/web.yaml": config_map(value="d")}, bench.base, branch="main")
        verdict = bench.ask({}, "mona", head=head, base=base)
        assert [rule for rule, _message in why(verdict)] == ["merge"]

    def test_the_target_went_on(self, bench: Bench) -> None:
        head = bench.repo.commit({"apps/shop/web.yaml": config_map(value="c")}, bench.base, author="mona")
        base = bench.repo.commit({"README.md": "x", "apps/shop/n.yaml": config_map("extra")}, bench.base, branch="main")
        verdict = bench.ask({}, "mona", head=head, base=base)
        assert verdict.permitted and len(verdict.changes) == 1 and verdict.merge_base == bench.base


IP_ADDRESS = """\
apiVersion: networking.k8s.io/v1beta1
kind: IPAddress
metadata: {name: 192.0.2.1}
spec: {parentRef: {resource: services, namespace: a, name: b}}
"""


def definition(kind: str = "integer", versions: tuple[str, ...] = ("v1",)) -> str:
    fields = f"{{type: object, properties: {{size: {{type: {kind}}}}}}}"
    schema = f"{{openAPIV3Schema: {{type: object, properties: {{spec: {fields}}}}}}}"
    served = "".join(f"  - {{name: {one}, served: true, storage: true, schema: {schema}}}\n" for one in versions)
    return (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: cups.shop.example}\n"
        "spec:\n  group: shop.example\n  scope: Namespaced\n  names: {kind: Cup, plural: cups}\n  versions:\n" + served
    )


CUP = "apiVersion: shop.example/v1\nkind: Cup\nmetadata: {name: large, namespace: shop}\nspec: {size: 3}\n"
NEXT = {VERSION: 'cluster_kubernetes_version: "1.37.2"\n'}
DEV = {
    "inventories/dev/hosts.yml": "control_plane: {hosts: {d1: }}\n",
    "inventories/dev/group_vars/all.yml": 'cluster_kubernetes_version: "1.37.2"\n',
}


class TestWhatOthersHoldTo:
    """Objects that do not change are looked at where their schema does."""

    @pytest.mark.parametrize(
        ("there", "change", "said"),
        [
            # what an upgrade removes, in the environment and in what belongs to none, but not in others
            ({"addons/prod/ip.yaml": IP_ADDRESS}, NEXT, ["addons/prod/ip.yaml"]),
            ({"addons/ip.yaml": IP_ADDRESS}, NEXT, ["addons/ip.yaml"]),
            ({"addons/sandbox/ip.yaml": IP_ADDRESS}, NEXT, ["addons/sandbox/ip.yaml"]),
            *(
                ({"addons/ip.yaml": IP_ADDRESS.replace("kind: IPAddress", hidden)}, NEXT, ["addons/ip.yaml"])
                for hidden in (
                    'kind: "IP\\x41ddress"',
                    "kind: !!binary SVBBZGRyZXNz",
                    "kind: !<tag:yaml.org,2002:binary> SVBBZGRyZXNz",
                )
            ),
            (
                {
                    "addons/ip.yaml": "%TAG !b! tag:yaml.org,2002:bin\n---\n"
                    + IP_ADDRESS.replace("kind: IPAddress", "kind: !b!ary SVBBZGRyZXNz")
                },
                NEXT,
                ["addons/ip.yaml"],
            ),
            ({"addons/dev/ip.yaml": IP_ADDRESS, **DEV}, NEXT, []),
            ({"addons/ip.yaml": IP_ADDRESS, **DEV}, NEXT, ["addons/ip.yaml"]),  # dev has no use for it already
            ({"addons/prod/ip.yaml": IP_ADDRESS}, {VERSION: START[VERSION].replace("36.3", "36.4")}, []),
            ({"addons/prod/ip.yaml": IP_ADDRESS}, {**NEXT, "addons/prod/ip.yaml": None}, []),
            ({"addons/prod/x.yaml": config_map() + "nonsense: 1\n"}, NEXT, []),  # wrong, but not by the upgrade
            ({"addons/prod/x.yaml": IP_ADDRESS.replace("networking.k8s.io/v1beta1", "apps/v1")}, NEXT, []),
            # what a lock file makes of a minor
            (
                {"addons/prod/ip.yaml": IP_ADDRESS, LOCK: "kubernetes: v1.36.3\n"},
                {**NEXT, LOCK: None},
                ["addons/prod/ip.yaml"],
            ),
            # a definition that changes, wherever it is
            ({"c.yaml": definition(), "x/cup.yaml": CUP}, {"c.yaml": definition("string")}, ["x/cup.yaml"]),
            ({"c.yaml": definition(), "x/prod/cup.yaml": CUP}, {"c.yaml": definition("string")}, ["x/prod/cup.yaml"]),
            ({"prod/c.yaml": definition(), "x/cup.yaml": CUP}, {"prod/c.yaml": definition("string")}, ["x/cup.yaml"]),
            (
                {"prod/c.yaml": definition(), "dev/cup.yaml": CUP, "dev/c.yaml": definition(), **DEV},
                {"prod/c.yaml": definition("string")},
                [],
            ),
            ({"c.yaml": definition(), "cup.yaml": CUP}, {"c.yaml": definition(versions=("v1", "v2"))}, []),
            (
                {"c.yaml": definition(versions=("v1", "v2")), "cup.yaml": CUP},
                {"c.yaml": definition(versions=("v2",))},
                ["cup.yaml"],
            ),
            ({"c.yaml": definition("string"), "cup.yaml": CUP}, {"c.yaml": definition("boolean")}, ["cup.yaml"]),
            ({"c.yaml": definition("string"), "cup.yaml": CUP}, {"c.yaml": definition("string") + "# moved\n"}, []),
            ({"c.yaml": definition("string"), "cup.yaml": CUP}, {"c.yaml": definition("string", ("v1", "v2"))}, []),
            ({"c.yaml": definition(), "cup.yaml": CUP.replace("3", "x")}, {"c.yaml": definition("string")}, []),
            # both at once
            (
                {"c.yaml": definition(), "cup.yaml": CUP},
                {"c.yaml": definition("string"), "cup.yaml": CUP.replace("3", "x")},
                [],
            ),
        ],
    )
    def test_of_what_does_not_change(
        self, repo: Any, there: Mapping[str, str], change: Mapping[str, Any], said: list[str]
    ) -> None:
        rules = "rules:\n  - {name: a, change: {file: '**'}, allow: anyone}\n"
        verdict = Bench(repo, {**START, "policy/rules/platform.yml": rules, **there}).ask(change)
        found = [finding for finding in verdict.findings if finding.prohibits]
        assert [one.origin.file for one in found if one.origin is not None] == said, found
        assert all(one.rule == "schema" and one.new for one in found)

    @pytest.mark.parametrize(
        ("there", "change", "said"),
        [
            ({"c.yaml": definition(), "cup.yaml": CUP}, {"c.yaml": None}, "stays: cup.yaml:1"),
            ({"c.yaml": definition(), "prod/cup.yaml": CUP}, {"c.yaml": None}, "stays: prod/cup.yaml:1"),
            ({"prod/c.yaml": definition(), "cup.yaml": CUP}, {"prod/c.yaml": None}, "stays: cup.yaml:1"),
            ({"prod/c.yaml": definition(), "dev/cup.yaml": CUP, **DEV}, {"prod/c.yaml": None}, ""),
            ({"c.yaml": definition(), "cup.yaml": CUP}, {"c.yaml": None, "cup.yaml": None}, ""),
            ({"c.yaml": definition(), "cup.yaml": CUP}, {"c.yaml": None, "d.yaml": definition()}, ""),
            ({"c.yaml": definition(), "d.yaml": definition(), "cup.yaml": CUP}, {"c.yaml": None}, ""),
            ({"c.yaml": definition()}, {"c.yaml": None, "cup.yaml": CUP}, "stays: cup.yaml:1"),
            (
                {"c.yaml": definition(), "cup.yaml": CUP},
                {"c.yaml": definition().replace("Cup", "Mug")},
                "stays: cup.yaml:1",
            ),
            ({"c.yaml": definition(), "cup.yaml": CUP.replace("shop.example", "example")}, {"c.yaml": None}, ""),
            (
                {},
                {"apps/shop/namespace.yaml": None},
                "goes, and what cannot be without it stays: apps/shop/web",
            ),
            ({}, {"apps/shop/namespace.yaml": None, "apps/shop/web.yaml": None}, ""),
            ({}, {"apps/shop/namespace.yaml": None, "apps/shop/web.yaml": config_map(namespace="mall")}, ""),
            (
                {f"{name}.yaml": config_map(name) for name in "abcde"},
                {"apps/shop/namespace.yaml": None},
                "and 3 more places",
            ),
        ],
    )
    def test_of_what_cannot_be_without_what_goes(
        self, repo: Any, there: Mapping[str, str], change: Mapping[str, Any], said: str
    ) -> None:
        rules = "rules:\n  - {name: a, change: {file: '**'}, allow: anyone}\n"
        verdict = Bench(repo, {**START, "policy/rules/platform.yml": rules, **there}).ask(change)
        found = why(verdict)
        assert [rule for rule, _message in found] == (["orphan"] if said else []), found
        assert all(said in message for _rule, message in found)

    def test_objects_of_no_environment_are_for_every_cluster(self, repo: Any) -> None:
        rules = "rules:\n  - {name: a, change: {file: '**'}, allow: anyone}\n"
        start = {**START, "policy/rules/platform.yml": rules}
        change = {"addons/ip.yaml": IP_ADDRESS}
        alone = Bench(repo, start).ask(change)
        assert alone.permitted  # the only cluster has 1.36
        (warning,) = [one for one in alone.findings if one.severity == "warn"]
        assert warning.remedy == "Mend it for Kubernetes 1.36 (prod)."
        (removed,) = [one for one in Bench(repo, {**start, **DEV}).ask(change).findings if one.prohibits]
        assert removed.remedy == "Mend it for Kubernetes 1.37 (dev)."
        assert "removed in Kubernetes 1.37" in removed.message
        nonsense = {"addons/x.yaml": config_map("x") + "nonsense: 1\n"}
        (both,) = [one for one in Bench(repo, {**start, **DEV}).ask(nonsense).findings if one.prohibits]
        assert both.remedy == "Mend it for Kubernetes 1.36 (prod) and Kubernetes 1.37 (dev)."
        nowhere = {path: text for path, text in start.items() if not path.startswith("inventories/")}
        (newest,) = [one for one in Bench(repo, nowhere).ask(change).findings if one.prohibits]
        assert newest.remedy == "Mend it for the newest Kubernetes that is known here."

    def test_a_version_whose_schemas_are_not_here_is_said(self, repo: Any) -> None:
        old = {VERSION: 'cluster_kubernetes_version: "1.34.1"\n'}
        for file in ("apps/prod/new.yaml", "apps/new.yaml"):
            verdict = Bench(repo, {**START, **old}).ask({file: config_map("new")})
            (note,) = [one.message for one in verdict.findings if one.rule == "schema"]
            assert (
                note == "the schemas of Kubernetes 1.34 are not here; objects for prod are held against those of 1.35"
            )
        assert Bench(repo).ask({"apps/new.yaml": config_map("new")}).findings == ()


class TestContent:
    RULES = "  - {name: a, change: {file: '**'}, allow: anyone}\n"

    def fake(self, monkeypatch: pytest.MonkeyPatch, check: Any) -> None:
        monkeypatch.setattr(_checks, "run", lambda _module: check)
        monkeypatch.setattr(_checks, "params", lambda _name: lambda _n, _p: [])

    @pytest.mark.parametrize(
        "answer",
        [
            lambda jobs: 1 / 0,
            lambda jobs: [],
            lambda jobs: None,
            lambda jobs: [None for _job in jobs],
        ],
    )
    def test_whatever_goes_wrong_in_a_check_prohibits(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: Any
    ) -> None:
        own = bench.rules(self.RULES)
        self.fake(monkeypatch, answer)
        verdict = own.ask({"apps/shop/web.yaml": config_map(value="c")}, "mona")
        assert not verdict.permitted and not verdict.judged

    def test_only_new_findings_prohibit(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        own = bench.rules(self.RULES)

        def check(jobs: Any) -> Any:
            return [
                [
                    Finding(
                        job.context.rule,
                        job.context.severity,
                        "content",
                        "bad value",
                        subject=at.subject,
                        origin=at.origin,
                    )
                    for at in job.objects
                    if at.object["data"]["a"] != "good"
                ]
                for job in jobs
            ]

        self.fake(monkeypatch, check)
        old = own.ask({"apps/shop/web.yaml": config_map(value="c")}, "mona")
        assert old.permitted and [finding.new for finding in old.findings] == [False]
        assert not own.ask({"apps/shop/n.yaml": config_map("extra", value="c")}, "mona").permitted
        assert own.ask({"apps/shop/web.yaml": config_map(value="good")}, "mona").permitted


PODS = """\
  - {name: all may, change: {file: "**"}, allow: anyone}
  - name: Pods are baseline
    %s
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec:
  containers: [{name: c, image: x}]
  volumes: [{name: data, hostPath: {path: %s}}]
"""


class TestPods:
    def test_a_worse_value_is_a_new_finding(self, repo: Any) -> None:
        rules = "rules:\n" + PODS % "require: {object: {kind: Pod}, pss: baseline}"
        bench = Bench(repo, {**START, "policy/rules/platform.yml": rules, "apps/p.yaml": POD % "/var/log"})
        assert not bench.ask({"apps/p.yaml": POD % "/"}, "mona").permitted
        same = bench.ask({"apps/p.yaml": (POD % "/var/log").replace("image: x", "image: z")}, "mona")
        assert why(same) == []

    def test_a_change_of_pods_is_one_of_workloads(self, bench: Bench) -> None:
        own = bench.rules(PODS % "change: {object: {kind: Pod}}\n    require: {pss: baseline}")
        text = (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\nspec:\n"
            "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n"
            "    spec: {hostPID: true, containers: [{name: c, image: x}]}\n"
        )
        assert "Pods are baseline" in {rule for rule, _message in why(own.ask({"apps/d.yaml": text}, "mona"))}

    def test_a_submodule_passes_no_content_rule(self, bench: Bench) -> None:
        own = bench.rules(PODS % "require: {object: {kind: Pod}, pss: baseline}")
        verdict = own.ask({"apps/sub": ("160000", "1" * 40)}, "mona")
        assert not verdict.judged and "Pods are baseline" in {rule for rule, _message in why(verdict)}

    @pytest.mark.parametrize("what", [("160000", "1" * 40), ("120000", "shop")])
    @pytest.mark.parametrize(("file", "meant"), [("apps/sub/*.yaml", True), ("apps/other/**", False)])
    def test_what_lies_below_a_submodule_or_a_link_is_meant_by_its_path(
        self, bench: Bench, what: tuple[str, str], file: str, meant: bool
    ) -> None:
        own = bench.rules(PODS % f"require: {{object: {{kind: Pod}}, file: '{file}', pss: baseline}}")
        verdict = own.ask({"apps/sub": what}, "mona")
        assert ("Pods are baseline" in {rule for rule, _message in why(verdict)}) is meant


class TestErrors:
    @pytest.mark.parametrize("base", ["0" * 40, "HEAD", "", "1" * 64])
    def test_commits_that_are_not_there(self, bench: Bench, base: str) -> None:
        verdict = bench.ask({"README.md": "x"}, "olga", base=base)
        assert not verdict.permitted and not verdict.judged

    def test_no_repository(self, tmp_path: Any) -> None:
        request = Request("0" * 40, "1" * 40, "main", Person("olga"))
        verdict = judge(request, tmp_path / "nowhere", now=NOW)
        assert not verdict.permitted and not verdict.judged

    def test_a_fault_of_ours_prohibits(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr("ansible_collections.weft.platform.plugins.plugin_utils._policy._judge.understand", fail)
        verdict = bench.ask({"apps/shop/web.yaml": config_map(value="c")}, "mona")
        assert not verdict.permitted and not verdict.judged and "oops" in verdict.findings[0].message

    def test_the_same_question_has_the_same_answer(self, bench: Bench) -> None:
        head = bench.repo.commit({"README.md": "x", "apps/shop/web.yaml": config_map(value="c")}, bench.base)
        verdicts = [bench.ask({}, "mona", head=head).to_json() for _ in range(2)]
        assert verdicts[0] == verdicts[1]
        request = Request(bench.base, head, "main", Person("mona", ("a",)), approvals=(Approval(Person("x"), head),))
        assert Request.from_json(request.to_json()) == request


class TestRulesOfDefinitions:
    """The CEL rules of a definition in the repository, over what a change makes of its custom resources."""

    CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer}, note: {type: string}}
            x-kubernetes-validations:
            - {rule: self.size < 10, message: must be small}
            - {rule: self.size >= oldSelf.size, message: must not shrink}
"""

    def test_a_custom_resource_of_the_whole_cluster_is_in_no_namespace(self, repo: Any) -> None:
        """Else who may change objects of a namespace could change it by saying that it is in there."""
        crd = self.CRD.replace("scope: Namespaced", "scope: Cluster")
        bench = Bench(repo, {**START, "apps/crds/widget.yaml": crd})
        verdict = bench.ask({"apps/shop/widget.yaml": self.widget(3)}, "mona")
        assert [text for _rule, text in why(verdict)] == [
            "metadata.namespace: Widget belongs to the whole cluster; its namespace is ignored"
        ]

    @staticmethod
    def widget(size: int, note: str = "") -> str:
        return f"""apiVersion: example.org/v1
kind: Widget
metadata: {{name: web, namespace: shop}}
spec: {{size: {size}, note: "{note}"}}
"""

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            (3, 4, ""),
            (3, 2, "spec: must not shrink"),
            (3, 10, "spec: must be small"),
            (12, 12, ""),  # it was there before
            (12, 11, "spec: must not shrink"),
            (None, 2, ""),
        ],
    )
    def test_a_change_is_judged_by_them(self, repo: Any, before: int | None, after: int, message: str) -> None:
        given = {"apps/shop/widget.yaml": self.widget(before)} if before is not None else {}
        bench = Bench(repo, {**START, "apps/crds/widget.yaml": self.CRD, **given})
        verdict = bench.ask({"apps/shop/widget.yaml": self.widget(after, "new")}, "mona")
        assert [text for _rule, text in why(verdict)] == ([message] if message else [])
        assert verdict.permitted is not bool(message)

    def test_without_a_rule_nothing_of_cel_is_loaded(self, bench: Bench) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        code = (
            "import sys; from ansible_collections.weft.platform.plugins.plugin_utils._policy import ("
            "_judge, _schema, _crd, _gatekeeper, _content_rules); print([one for one in sys.modules if '_cel' in one])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == "[]"

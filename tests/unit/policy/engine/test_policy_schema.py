# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""schemas/policy.json says of a policy file what the loader says of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _checks, _load, _tests
from ansible_collections.weft.platform.plugins.plugin_utils._policy._git import Repository
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError, RulesError
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[4]
SCHEMA = json.loads((ROOT / "schemas" / "policy.json").read_text())
FILES = {
    "roles": "policy/roles.yml",
    "settings": "policy/settings.yml",
    "rules": "policy/rules/x.yml",
    "tests": "policy/tests/x.yml",
}
START = {"policy/roles.yml": "roles: {r: {members: ['user:a']}, s: {members: []}}\n"}
EXAMPLES = dict(
    re.findall(r"cat > (policy/\S+) <<'EOF'\n(.*?)^EOF$", (ROOT / "docs/policy.md").read_text(), re.M | re.S)
)

GOOD = {
    "roles": [
        "roles: {a: {members: anyone}, b: {members: [role:a, team:x, 'user:y'], description: z}}",
        "{roles: {a: {members: []}}, owners: {all: [a, [a, 'user:x']]}, teams: {t: [x, y]}, people: {x: [x@e.org]}}",
    ],
    "settings": [
        "identity: {commits: signed, services: [web-flow]}",
        "{environments: {prod: 'clusters/prod/**'}, plain: ['docs/**'], cluster_scoped: [Tenant]}",
        "exceptions: {longest: 90}",
        "checks: {schema: off, variables: 'off', upgrade: warn, immutable: prohibit, duplicate-object: warn}",
        "{inventories: {directory: inv, base: all}, render: {roots: [k], charts: {c: [[v.yaml], [v.yaml, w.yaml]]}}}",
        "render: {network_namespace: required}",
    ],
    "rules": [
        "rules: []",
        "rules: [{name: n, change: {file: '**'}, allow: r}]",
        "rules: [{name: n, change: [{type: path, file: 'a,!b'}, {cluster: [p], action: added}], only: {any: [r, s]}}]",
        "rules: [{name: n, change: {field: a, old: null, new: [1, '!x', {version: '>= old'}]}, deny: never}]",
        "rules: [{name: n, change: {field: a}, deny_unless: {new: {quantity: '<= 4Gi'}, reason: big}}]",
        "rules: [{name: n, change: {object: {group: '', kind: Pod, labels: {a: 'b*'}}}, deny: {reason: never, to: r}}]",
        "rules: [{name: n, change: {file: a}, approvals: 2, allow: r}]",
        "rules: [{name: n, change: {file: a}, approvals: {count: 1, from: [r, 'team:t'], unless: s}}]",
        "rules: [{name: n, require: {object: {kind: Pod}, pss: {level: namespace}}, severity: warn}]",
        "rules: [{name: n, require: [{limits: {}}, {images: {tags: any}}, {labels: {a: b}, replicas: {maximum: 1}}]}]",
        "rules: [{name: n, require: {host_paths: {allow: [/var/log]}, schema: {unknown: warn}}, existing: prohibit}]",
        "rules: [{name: n, require: {rego: policy/a.rego, gatekeeper: [policy/g]}}]",
        "rules: [{name: n, require: {file: 'ci/*.yml', environment: prod, document: true, rego: policy/a.rego}}]",
        "rules: [{name: n, codeowners: approve}]",
        "rules: [{name: n, codeowners: approve, exceptions: [{until: 2030-01-31, approved_by: 'user:a', reason: z}]}]",
    ],
    "tests": [
        "tests: [{name: n, change: {file: a, after: {b: 1}}, by: a, expect: prohibited}]",
        "tests: [{change: {file: inventories/a, variable: v, group: g, before: 1}, by: a, teams: {t: [a]}, "
        "approvals: [b], expect: prohibited}]",
        "tests: [{change: {file: a}, by: a, committers: [b], pushers: [c], now: 2026-01-31, expect: prohibited, "
        "approvals: [d, {login: e, stale: true}, {login: f}]}]",
        "tests: [{given: {a/b: x, h: x}, change: {files: {a/b.yml: {c: d}, e: [{f: g}], h: null}}, by: a, "
        "expect: prohibited}]",
        "tests: [{change: {files: {a: x}}, by: a, expect: prohibited, findings: [{rule: '*', file: a}]}]",
    ],
}
BAD = {
    "roles": [
        "roles: []",
        "roles: {anyone: {members: []}}",
        "roles: {'a:b': {members: []}}",
        "roles: {a: {members: [bare]}}",
        "roles: {a: {members: ['user:a b']}}",
        "roles: {a: {member: []}}",
        "roles: {a: {members: []}}\nowners: []",
        "roles: {a: {members: []}}\nteams: {t: [1]}",
        "other: 1",
    ],
    "settings": [
        "identity: {commits: yes}",
        "identity: {other: 1}",
        "plain: []",
        "exceptions: {longest: 0}",
        "exceptions: {longest: true}",
        "exceptions: {longest: '90'}",
        "exceptions: {}",
        "exceptions: {shortest: 1}",
        "checks: {yaml: warn}",
        "checks: {schema: on}",
        "checks: {schema: info}",
        "checks: [schema]",
        "render: {charts: []}",
        "render: {network_namespace: off}",
        "inventories: {directory: ''}",
        "environments: {prod: {a: b}}",
    ],
    "rules": [
        "[]",
        "rules: {}",
        "rules: [{}]",
        "rules: [{name: n}]",
        "rules: [{name: '', change: {file: a}, allow: r}]",
        "rules: [{name: n, allow: r}]",
        "rules: [{name: n, change: {}, allow: r}]",
        "rules: [{name: n, change: [], allow: r}]",
        "rules: [{name: n, change: {file: }, allow: r}]",
        "rules: [{name: n, change: {action: []}, allow: r}]",
        "rules: [{name: n, change: {action: moved}, allow: r}]",
        "rules: [{name: n, change: {files: a}, allow: r}]",
        "rules: [{name: n, change: {file: a, new: 1}, allow: r}]",
        "rules: [{name: n, change: {cluster: a, environment: b}, allow: r}]",
        "rules: [{name: n, change: {file: a}, allow: []}]",
        "rules: [{name: n, change: {file: a}, allow: {any: [r], all: [r]}}]",
        "rules: [{name: n, change: {file: a}, allow: r, only: r}]",
        "rules: [{name: n, change: {file: a}, approvals: 1}]",
        "rules: [{name: n, change: {file: a}, approvals: 0, allow: r}]",
        "rules: [{name: n, change: {file: a}, approvals: true, allow: r}]",
        "rules: [{name: n, change: {file: a}, deny: ''}]",
        "rules: [{name: n, change: {file: a}, deny: {to: r}}]",
        "rules: [{name: n, change: {file: a}, deny_unless: {new: 1}}]",
        "rules: [{name: n, change: {field: a}, deny_unless: {reason: z}}]",
        "rules: [{name: n, change: {field: a, new: {size: 1}}, allow: r}]",
        "rules: [{name: n, change: {file: a}, allow: r, severity: warn}]",
        "rules: [{name: n, require: {object: {kind: Pod}}}]",
        "rules: [{name: n, require: {pss: strict}}]",
        "rules: [{name: n, require: {pss: {level: baseline, default: baseline}}}]",
        "rules: [{name: n, require: {images: {}}}]",
        "rules: [{name: n, require: {replicas: {minimum: -1}}}]",
        "rules: [{name: n, require: {rego: []}}]",
        "rules: [{name: n, require: {file: a, document: false, rego: policy/a.rego}}]",
        "rules: [{name: n, require: {document: true, rego: policy/a.rego}}]",
        "rules: [{name: n, require: {file: a, object: {kind: Pod}, document: true, rego: policy/a.rego}}]",
        "rules: [{name: n, require: {file: a, document: true, rego: policy/a.rego, pss: baseline}}]",
        "rules: [{name: n, require: {file: a, document: true, pss: baseline}}]",
        "rules: [{name: n, codeowners: ask}]",
        "rules: [{name: n, codeowners: approve, exceptions: [{until: soon, approved_by: 'user:a', reason: z}]}]",
        "rules: [{name: n, codeowners: approve, exceptions: [{until: 2030-01-31, approved_by: a, reason: z}]}]",
    ],
    "tests": [
        "tests: [{change: {file: a}, by: a, expect: allowed}]",
        "tests: [{change: {variable: a}, by: a, expect: permitted}]",
        "tests: [{change: {file: a}, expect: permitted}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, now: today}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, committers: b}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, pushers: [1]}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, approvals: b}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, approvals: [{stale: true}]}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, approvals: [{login: b, stale: 'yes'}]}]",
        "tests: [{change: {files: {}}, by: a, expect: permitted, approvals: [{login: b, head: c}]}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, teams: [a]}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, teams: {a: b}}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, teams: {a: [1]}}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, other: 1}]",
        "tests: [{change: {file: a}, by: a, expect: permitted, findings: []}]",
        "tests: [{change: {file: a, files: {}}, by: a, expect: permitted}]",
        "tests: [{change: {files: {../a: x}}, by: a, expect: permitted}]",
        "tests: [{change: {files: {a: 1}}, by: a, expect: permitted}]",
        "tests: [{change: {files: {}}, given: [], by: a, expect: permitted}]",
        "tests: [{change: {files: {}}, by: a, expect: permitted, findings: [{}]}]",
        "tests: [{change: {files: {}}, by: a, expect: permitted, findings: [{field: a}]}]",
        "tests: {}",
    ],
}


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{kind}"}]})


def schema_accepts(kind: str, text: str) -> bool:
    (document,) = _yaml.read(text.encode(), FILES[kind])
    return bool(validator(kind).is_valid(document.value))


def loader_accepts(repo: Any, kind: str, text: str) -> bool:
    commit = repo.commit({**START, FILES[kind]: text})
    with Repository(str(repo.path), commit) as repository:
        try:
            _load.load(repository.tree(commit))
            if kind == "tests":
                _tests.run_all(repository.tree(commit), datetime(2026, 6, 1, tzinfo=UTC))
        except RulesError as error:
            assert all(problem.origin.file == FILES[kind] for problem in error.problems), error.problems
            return False
        except PolicyError:
            return False
    return True


def cases(found: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, texts in found.items() for text in texts]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_it_knows_the_keys_that_the_loader_knows() -> None:
    known = {name: set(SCHEMA["$defs"][name]["properties"]) for name in ("rule", "selector", "object", "exception")}
    assert known == {
        "rule": set(_load._RULE),
        "selector": set(_load._SELECTOR),
        "object": set(_load._OBJECT),
        "exception": set(_load._EXCEPTION),
    }
    assert set(SCHEMA["$defs"]["checks"]["properties"]) == set(_checks.TABLE)


@pytest.mark.parametrize("path", sorted(EXAMPLES))
def test_the_examples_of_the_guide_fit(path: str) -> None:
    kind = next(kind for kind, file in FILES.items() if path.split("/")[1].removesuffix(".yml") == kind)
    (document,) = _yaml.read(EXAMPLES[path].encode(), path)
    assert [error.message for error in validator(kind).iter_errors(document.value)] == []


def test_the_guide_has_examples_of_roles_rules_and_tests() -> None:
    assert set(EXAMPLES) == {"policy/roles.yml", "policy/rules/site.yml", "policy/tests/site.yml"}


@pytest.mark.parametrize(("kind", "text"), cases(GOOD))
def test_both_accept_what_is_right(repo: Any, kind: str, text: str) -> None:
    assert (schema_accepts(kind, text), loader_accepts(repo, kind, text)) == (True, True)


@pytest.mark.parametrize(("kind", "text"), cases(BAD))
def test_both_refuse_what_is_wrong(repo: Any, kind: str, text: str) -> None:
    assert (schema_accepts(kind, text), loader_accepts(repo, kind, text)) == (False, False)

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What is generated from the argument specs is current, and the specs are what the design asks for."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import Option, options, roles

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "inventory.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
OPTIONS = options()


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "hack" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("path", "text"), generator().files().items(), ids=lambda one: getattr(one, "name", ""))
def test_generated_file_is_current(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make generate`"


def test_check_tells_what_is_not_current(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = generator()
    assert module.main(["--check"]) == 0
    monkeypatch.setattr(module, "files", lambda: {ROOT / "docs" / "variables.md": "other\n"})
    assert module.main(["--check"]) == 1
    assert "not current: docs/variables.md" in capsys.readouterr().out


def test_no_more_variables_than_the_design_allows() -> None:
    assert 40 < len(OPTIONS) <= 60


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_variable_is_documented(option: Option) -> None:
    assert option.name.startswith(f"{option.role}_")
    assert option.text and all(text.strip().endswith((".", ":")) for text in option.text)
    assert option.live.endswith(".")
    assert option.default is not None
    example = yaml.safe_load(option.example)
    assert list(example) == [option.name]
    assert example[option.name] != option.default or option.name in SAME_AS_DEFAULT


#: Variables whose default is the best example.
SAME_AS_DEFAULT = {"cluster_kubernetes_version", "cluster_pod_cidr", "artifacts_lock"}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_example_and_default_fit_the_schema(option: Option) -> None:
    VALIDATOR.validate(yaml.safe_load(option.example))
    VALIDATOR.validate({option.name: option.default})


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("cluster_name: prod", True),
        ("cluster_name: 1", False),
        ("cluster_nme: prod", False),
        ("company_name: prod", True),
        ("dns_replicas: two", False),
        ("dns_replicas: '{{ replicas }}'", True),
        ("node_swap: 'yes'", False),
        ("network_plugin: calico", False),
        ("network_plugin: '{{ plugin }}'", True),
        ("cluster_pod_security: {enforced: baseline}", False),
        ("node_taints: [{key: a, effect: Never}]", False),
        ("node_taints: [{key: a}]", False),
        ("node_taints: '{{ taints }}'", True),
        ("containerd_registries: [{prefix: docker.io, mirrors: https://x}]", False),
        ("all: {children: {cluster: {children: {control_plane: {hosts: {a: {node_swap: true}}}}}}}", True),
        ("all: {children: {cluster: {children: {control_plane: {hosts: {a: {node_swop: true}}}}}}}", False),
        ("all: {childs: {}}", False),
        ("all: {hosts: {a: }, vars: {cluster_name: 3}}", False),
        ("cluster: {children: {workers: {hosts: {a: }}}}", True),
        ("", True),
    ],
)
def test_schema_judges(text: str, fits: bool) -> None:
    assert VALIDATOR.is_valid(yaml.safe_load(text)) is fits


def test_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_defaults_files_are_what_the_specs_say() -> None:
    for role in roles():
        text = (ROOT / "roles" / role.name / "defaults" / "main.yml").read_text(encoding="utf-8")
        assert yaml.safe_load(text) == {name: option.default for name, option in role.options.items()}
        assert len(re.findall(r"^# ", text, re.MULTILINE)) >= len(role.options)

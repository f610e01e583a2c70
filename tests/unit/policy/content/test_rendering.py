# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Rendering by the real Kustomize and Helm, and what is kept from them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _process, _render
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import Limits, Rendered, RenderError

from tests.tools import need
from tests.unit.policy.content.content_jobs import Files

BASE = {
    "apps/base/kustomization.yaml": """resources: [deploy.yaml]
configMapGenerator: [{name: conf, files: [app.conf]}]
""",
    "apps/base/deploy.yaml": """# the web
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
""",
    "apps/base/app.conf": "a = 1\n",
    "apps/base/README.md": "not used",
}
OVERLAY = {
    **BASE,
    "apps/prod/kustomization.yaml": """resources: [../base, ns.yaml]
namePrefix: prod-
images: [{name: nginx, newTag: "2"}]
patches: [{path: more.yaml, target: {kind: Deployment}}]
""",
    "apps/prod/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n",
    "apps/prod/more.yaml": "- {op: replace, path: /spec/replicas, value: 3}\n",
}


def rendered(files: Mapping[str, Any], directory: str, how: str = "kustomize", **more: Any) -> Rendered:
    limits = more.pop("limits", Limits())
    return _render.render(Files(files), directory, how, limits, time.monotonic() + more.pop("seconds", 60.0), **more)


def by_kind(result: Rendered) -> dict[str, Any]:
    return {str(one.object["kind"]): one for one in result.objects}


@pytest.mark.usefixtures("kustomize")
def test_an_overlay_is_rendered_and_every_object_knows_where_it_was_written() -> None:
    result = rendered(OVERLAY, "apps/prod")
    found = by_kind(result)
    deployment = found["Deployment"]
    assert deployment.object["metadata"]["name"] == "prod-web"
    assert "annotations" not in deployment.object["metadata"]
    assert deployment.object["spec"]["replicas"] == 3
    assert deployment.subject.type == "Deployment.apps"
    assert str(deployment.origin) == "apps/base/deploy.yaml:2"
    image = ("spec", "template", "spec", "containers", 0, "image")
    assert str(deployment.position(image)) == "apps/base/deploy.yaml:14"
    assert str(deployment.position(("spec", "nowhere", "deep"))) == "apps/base/deploy.yaml:6"
    assert str(found["Namespace"].origin) == "apps/prod/ns.yaml:1"
    assert str(found["ConfigMap"].origin) == "apps/base/kustomization.yaml"


@pytest.mark.usefixtures("kustomize")
def test_only_what_is_used_counts_as_gone_in() -> None:
    assert rendered(OVERLAY, "apps/prod").files == (
        "apps/base/app.conf",
        "apps/base/deploy.yaml",
        "apps/base/kustomization.yaml",
        "apps/prod/kustomization.yaml",
        "apps/prod/more.yaml",
        "apps/prod/ns.yaml",
    )


@pytest.mark.usefixtures("kustomize")
def test_what_steers_the_repository_never_counts_as_judged_by_rendering() -> None:
    files = {
        "kustomization.yaml": "configMapGenerator:\n- name: c\n  files: [policy/roles.yml, .github/workflows/ci.yml]\n",
        "policy/roles.yml": "roles: {}",
        ".github/workflows/ci.yml": "on: push",
    }
    assert rendered(files, "").files == ("kustomization.yaml",)


@pytest.mark.usefixtures("kustomize")
def test_notes_on_origins_stay_where_they_are_wanted() -> None:
    files = {**BASE, "apps/base/kustomization.yaml": "resources: [deploy.yaml]\nbuildMetadata: [originAnnotations]\n"}
    assert "config.kubernetes.io/origin" in rendered(files, "apps/base").objects[0].object["metadata"]["annotations"]


@pytest.mark.usefixtures("kustomize")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k/kustomization.yaml": None}, "has no kustomization.yaml"),
        ({"k/kustomization.yml": "resources: []"}, "more than one"),
        ({"k/kustomization.yaml": "resources: ["}, "is not YAML"),
        ({"k/kustomization.yaml": "[]"}, "one object"),
        ({"k/kustomization.yaml": "resources: [none.yaml]"}, "is not in the repository"),
        ({"k/kustomization.yaml": "resources: [../../x.yaml]"}, "is not in the repository"),
        ({"k/kustomization.yaml": "resources: [/etc/passwd]"}, "is not in the repository"),
        ({"k/kustomization.yaml": "resources: ['https://example.org/x.yaml']"}, "nothing is fetched"),
        ({"k/kustomization.yaml": "resources: ['github.com/a/b//c?ref=v1']"}, "nothing is fetched"),
        ({"k/kustomization.yaml": "resources: ['git@github.com:a/b.git']"}, "nothing is fetched"),
        ({"k/kustomization.yaml": "resources: ['file:///srv/repository.git']"}, "nothing is fetched"),
        ({"k/kustomization.yaml": "Resources: ['https://example.org/x.yaml']"}, "key 'Resources' is not written"),
        ({"k/kustomization.yaml": "re\u017fources: ['ssh://git@example.org/x']"}, "is not written"),
        ({"k/kustomization.yaml": "patches: [{Path: 'https://example.org/x.yaml'}]"}, "key 'Path' is not written"),
        (
            {
                "k/kustomization.yaml": "generators: [g.yaml]",
                "k/g.yaml": "kind: ConfigMapGenerator\nFILES: [/etc/passwd]\n",
            },
            "key 'FILES' is not written",
        ),
        ({"k/kustomization.yaml": "resources: [link.yaml]", "k/link.yaml": ("link", "/etc/passwd")}, "symbolic link"),
        ({"k/kustomization.yaml": "resources: [../other/a.yaml]", "other/a.yaml": "a: 1"}, "kustomize failed"),
        ({"k/kustomization.yaml": "resources: [a.yaml]", "k/a.yaml": "just: text"}, "kustomize failed"),
        ({"k/kustomization.yaml": "resources: [../k]"}, "kustomize failed"),
        ({"k/kustomization.yaml": "nonsense: 1"}, "kustomize failed"),
        ({"k/kustomization.yaml": "helmCharts: [{name: x, repo: 'https://example.org'}]"}, "kustomize failed"),
        (
            {
                "k/kustomization.yaml": "transformers: [t.yaml]",
                "k/t.yaml": "apiVersion: v1\nkind: T\nmetadata:\n  name: t\n"
                "  annotations: {config.kubernetes.io/function: 'exec: {path: ./t.sh}'}",
                "k/t.sh": "#!/bin/sh\ntouch /tmp/weft-was-here\n",
            },
            "kustomize failed",
        ),
    ],
)
def test_what_cannot_be_rendered_is_an_error(change: Mapping[str, Any], message: str) -> None:
    files = {"k/kustomization.yaml": "", "keep": "x", **change}
    with pytest.raises(RenderError, match=r"^k: ") as error:
        rendered({path: content for path, content in files.items() if content is not None}, "k")
    assert message in str(error.value)
    assert "/weft-policy-" not in str(error.value)


@pytest.mark.usefixtures("kustomize")
def test_limits_hold() -> None:
    with pytest.raises(RenderError, match="too many or too large"):
        rendered(OVERLAY, "apps/prod", limits=Limits(files=2))
    with pytest.raises(RenderError, match="more than 1 objects"):
        rendered(OVERLAY, "apps/prod", limits=Limits(objects=1))
    with pytest.raises(RenderError, match="no time is left"):
        rendered(OVERLAY, "apps/prod", seconds=-1)


@pytest.mark.parametrize("how", ["kustomize", "helm"])
def test_a_renderer_that_is_missing_is_an_error(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_KUSTOMIZE", "/nowhere/kustomize")
    monkeypatch.setenv("WEFT_HELM", "/nowhere/helm")
    with pytest.raises(RenderError, match=f"/nowhere/{how} is not installed"):
        rendered({"d/kustomization.yaml": "", "d/Chart.yaml": ""}, "d", how)


CHART = {
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": "replicas: 1\nname: web\n",
    "charts/web/templates/deploy.yaml": """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Values.name }}
  annotations: {from: {{ .Files.Get "extra.txt" | quote }}}
spec:
  replicas: {{ .Values.replicas }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Values.name }}
""",
    "charts/web/crds/crd.yaml": "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\n",
    "charts/web/charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
    "charts/web/charts/sub/templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n",
    "charts/web/extra.txt": "extra",
    "values/prod.yaml": "replicas: 3\n",
}


@pytest.mark.usefixtures("helm")
def test_a_chart_is_rendered_with_its_values() -> None:
    result = rendered(CHART, "charts/web", "helm", values=("values/prod.yaml",))
    found = by_kind(result)
    assert found["Deployment"].object["spec"]["replicas"] == 3
    assert found["Deployment"].object["metadata"]["annotations"] == {"from": "extra"}
    assert {kind: str(one.origin) for kind, one in found.items()} == {
        "Thing": "charts/web/crds/crd.yaml",
        "Deployment": "charts/web/templates/deploy.yaml",
        "Service": "charts/web/templates/deploy.yaml",
        "ConfigMap": "charts/web/charts/sub/templates/cm.yaml",
    }
    assert "values/prod.yaml" in result.files
    assert "charts/web/extra.txt" in result.files  # a template reads it


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"charts/web/Chart.yaml": None}, "no Chart.yaml"),
        ({"charts/web/templates/bad.yaml": "{{ .Values.x.y.z }}"}, "helm failed"),
        ({"charts/web/templates/bad.yaml": "a: 1"}, "no Kubernetes object"),
        ({"charts/web/templates/bad.yaml": "a: [{{ 1 }}"}, "helm failed"),
        ({"charts/web/templates/link.yaml": ("link", "/etc/passwd")}, "no plain file"),
        (
            {"charts/web/templates/two.yaml": "kind: A\napiVersion: v1\nmetadata: {name: x, name: y}"},
            "is there already",
        ),
        (
            {
                "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n"
                "dependencies: [{name: far, version: 1.0.0, repository: 'https://example.org'}]\n"
            },
            "helm failed",
        ),
        ({"charts/web/values.schema.json": '{"$ref": "file:///etc/passwd"}'}, "nothing is fetched"),
        ({"charts/web/values.schema.json": '{"$ref": "http://127.0.0.1/x"}'}, "nothing is fetched"),
        ({"values/prod.yaml": None}, "not a file"),
    ],
)
def test_charts_that_cannot_be_rendered_are_an_error(change: Mapping[str, Any], message: str) -> None:
    files = {path: content for path, content in {**CHART, **change}.items() if content is not None}
    with pytest.raises(RenderError) as error:
        rendered(files, "charts/web", "helm", values=("values/prod.yaml",))
    assert message in str(error.value)


@pytest.mark.usefixtures("helm")
def test_a_template_that_never_ends_is_stopped() -> None:
    loop = "{{- range $a := until 100000 }}{{- range $b := until 100000 }}{{- end }}{{- end }}"
    start = time.monotonic()
    with pytest.raises(RenderError, match="not finished"):
        rendered({**CHART, "charts/web/templates/loop.yaml": loop}, "charts/web", "helm", seconds=3)
    assert time.monotonic() - start < 20


# --- The process itself -----------------------------------------------------------------------------------------


def run(code: str, folder: Any, **more: Any) -> _process.Done:
    bounds = more.pop("bounds", _process.Bounds())
    return _process.run(["/bin/sh", "-c", code], str(folder), time.monotonic() + more.pop("seconds", 10), bounds)


def test_a_process_gets_nothing_of_this_one_s_environment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_SOMEBODY", "secret")
    said = run("env; pwd", tmp_path).output.decode()
    assert "secret" not in said
    assert f"HOME={tmp_path}" in said
    assert "https_proxy=http://127.0.0.1:9" in said


def test_a_process_that_takes_too_long_is_stopped_with_all_it_started(tmp_path: Any) -> None:
    with pytest.raises(_process.ProcessError, match="not finished"):
        run("sleep 30 & echo $! > child; sleep 30", tmp_path, seconds=1)
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not _alive(child):
            break
        time.sleep(0.1)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_says_or_writes_too_much_is_stopped(tmp_path: Any) -> None:
    with pytest.raises(_process.ProcessError, match="more than 1000 bytes"):
        run("head -c 5000 /dev/zero", tmp_path, bounds=_process.Bounds(file=1000))
    run("head -c 5000 /dev/zero > big; true", tmp_path, bounds=_process.Bounds(file=1000))
    assert (tmp_path / "big").stat().st_size <= 1000


def test_memory_is_limited(tmp_path: Any) -> None:
    allocate = f"exec {sys.executable} -I -c 'bytearray(1000**3)'"
    assert b"MemoryError" in run(allocate, tmp_path, bounds=_process.Bounds(memory=500 * 1024**2)).errors


def test_there_is_no_network(tmp_path: Any) -> None:
    if not _process.has_own_network():
        need.missing("this kernel lets this user make no network namespace")
    interfaces = run("cat /proc/net/dev", tmp_path).output.decode().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] in (["lo"], ["lo", "sit0"], ["lo", "tunl0", "sit0"])
    assert run("cat /proc/net/route", tmp_path).output.count(b"\n") <= 1


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Any) -> None:
    with pytest.raises(_process.ProcessError, match="not installed"):
        _process.find("no-such-program", "WEFT_NO_SUCH", "install it")
    (tmp_path / "text").write_text("x")
    with pytest.raises(_process.ProcessError, match=r"cannot be started|exit"):
        done = _process.run([str(tmp_path / "text")], str(tmp_path), time.monotonic() + 5)
        raise _process.ProcessError(f"exit {done.code}")  # started by unshare, which then cannot run it


@pytest.mark.usefixtures("helm")
def test_a_program_without_a_network_of_its_own_is_told_of_or_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = {
        "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
        "charts/web/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    }
    monkeypatch.setattr(_process, "_alone", lambda: ())
    assert not rendered(chart, "charts/web", "helm").isolated
    with pytest.raises(RenderError, match=r"charts/web: policy/settings\.yml wants it rendered in a network namespace"):
        rendered(chart, "charts/web", "helm", isolated=True)
    monkeypatch.setattr(_process, "_alone", lambda: ("/usr/bin/env", "--"))
    assert rendered(chart, "charts/web", "helm", isolated=True).isolated


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"CI": "true"}, True),
        ({"CI": "false"}, False),
        ({"WEFT_REQUIRE_TOOLS": "1"}, True),
        ({"CI": "true", "WEFT_REQUIRE_TOOLS": "0"}, False),
    ],
)
def test_in_ci_a_missing_tool_fails_its_test(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert need.everything(variables) is wanted
    for name in ("CI", "WEFT_REQUIRE_TOOLS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception if wanted else pytest.skip.Exception, match="no-such-program"):
        need.programs("sh", "no-such-program")

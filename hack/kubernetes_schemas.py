#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Make the schemas that objects are validated against, from Kubernetes' own modules.

    hack/kubernetes_schemas.py            writes plugins/plugin_utils/_policy/schemas/
    hack/kubernetes_schemas.py --check    says whether they are current

What is read: api/openapi-spec and api/discovery of the module k8s.io/kubernetes, and of k8s.io/api the closed lists of
values (types marked +enum) and the life of each kind.  A minor version is added to VERSIONS and nothing else.

A file is zlib-compressed JSON:
    kubernetes  version it was made from
    kinds       "group/version/Kind" -> [type, namespaced]; the core group is ""
    types       type -> {"f": {field: code}, "r": [required fields]}
Codes of a field (one letter, then what it holds):
    s string  b boolean  i int32  l int64  n number  q quantity  x integer or string  y base64  t time  * anything
    o any object  =a|b one of these strings  @type  [code list  {code map
    /code;code the first, or where it is an object the second
    <keys:code list whose elements differ in these fields (field, or field=default)  ~code list without duplicates
lifecycle.json.z holds "group/version/Kind" -> [deprecated in minor, removed in minor, replacement].
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VERSIONS = {"1.35": "4", "1.36": "3", "1.37": "2"}
TARGET = Path(__file__).resolve().parent.parent / "plugins" / "plugin_utils" / "_policy" / "schemas"

#: What the Go types do not say: kinds that left the modules together with their API, and kinds that are deprecated
#: without an end.  Source: the deprecated API migration guide and the changelogs of those versions.
MORE = {
    "/v1/ComponentStatus": [19, 0, ""],
    "/v1/Endpoints": [33, 0, "discovery.k8s.io/v1 EndpointSlice"],
    "apiextensions.k8s.io/v1beta1/CustomResourceDefinition": [16, 22, "apiextensions.k8s.io/v1"],
    "apiregistration.k8s.io/v1beta1/APIService": [19, 22, "apiregistration.k8s.io/v1"],
    "auditregistration.k8s.io/v1alpha1/AuditSink": [18, 19, ""],
    "autoscaling/v2beta1/HorizontalPodAutoscaler": [22, 25, "autoscaling/v2"],
    "autoscaling/v2beta2/HorizontalPodAutoscaler": [23, 26, "autoscaling/v2"],
    "batch/v2alpha1/CronJob": [8, 21, "batch/v1"],
    "extensions/v1beta1/PodSecurityPolicy": [10, 16, ""],
    "policy/v1beta1/PodSecurityPolicy": [21, 25, ""],
    "settings.k8s.io/v1alpha1/PodPreset": [19, 20, ""],
}

_SCALARS = {
    ("string", ""): "s",
    ("string", "byte"): "y",
    ("string", "date-time"): "t",
    ("string", "int-or-string"): "x",
    ("boolean", ""): "b",
    ("integer", "int32"): "i",
    ("integer", "int64"): "l",
    ("integer", ""): "l",
    ("number", "double"): "n",
    ("number", ""): "n",
}
_REF = "#/definitions/"
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
#: Definitions whose JSON form is not what their schema says.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "o",
    f"{_CRD}.JSON": "*",
    f"{_CRD}.JSONSchemaPropsOrArray": "/[@JSONSchemaProps;@JSONSchemaProps",
    f"{_CRD}.JSONSchemaPropsOrBool": "/b;@JSONSchemaProps",
    f"{_CRD}.JSONSchemaPropsOrStringArray": "/[s;@JSONSchemaProps",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "o",
}


def module(name: str, version: str) -> Path:
    """The directory of a module in Go's cache, downloaded when it is not there."""
    out = subprocess.run(
        ["go", "mod", "download", "-json", f"{name}@{version}"], capture_output=True, text=True, check=True
    )
    return Path(json.loads(out.stdout)["Dir"])


# --- What the Go types say beyond the OpenAPI document ----------------------------------------------------------

_ENUM = re.compile(r"^// \+enum\n(?://.*\n)*type (\w+) string$", re.MULTILINE)
_CONST = re.compile(r'^\s*\w+\s+(\w+)\s*=\s*"([^"]*)"', re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\t\w+\s+(\[\])?\*?(\w+)\s+`json:"(\w+)', re.MULTILINE)
_LIFE = re.compile(
    r"^func \(in \*(\w+)\) APILifecycle(Deprecated|Removed|Replacement)\(\) .*\{\n\treturn (.*)\n", re.MULTILINE
)


def _packages(api: Path) -> Iterator[tuple[str, Path]]:
    """ "apps/v1" and its directory, for every package of types."""
    for path in sorted(api.glob("*/*/types.go")):
        yield f"{path.parent.parent.name}/{path.parent.name}", path.parent


def enums(api: Path) -> dict[tuple[str, str], str]:
    """(definition, field) -> code, for fields whose values are a closed list."""
    out: dict[tuple[str, str], str] = {}
    for package, folder in _packages(api):
        text = (folder / "types.go").read_text(encoding="utf-8")
        values: dict[str, list[str]] = {name: [] for name in _ENUM.findall(text)}
        for kind, value in _CONST.findall(text):
            if kind in values:
                values[kind].append(value)
        definition = f"io.k8s.api.{package.replace('/', '.')}"
        for struct, body in _STRUCT.findall(text):
            for many, kind, field in _FIELD.findall(body):
                if values.get(kind):
                    code = "=" + "|".join(sorted(set(values[kind])))
                    out[f"{definition}.{struct}", field] = f"[{code}" if many else code
    return out


def lifecycle(api: Path) -> dict[str, list[Any]]:
    """ "group/version/Kind" -> [deprecated, removed, replacement]."""
    out: dict[str, list[Any]] = dict(MORE)
    for package, folder in _packages(api):
        file = folder / "zz_generated.prerelease-lifecycle.go"
        register = folder / "register.go"
        if not file.exists() or not register.exists():
            continue
        found = re.search(r'GroupName = "([^"]*)"', register.read_text(encoding="utf-8"))
        group, version = found[1] if found else "", package.split("/")[1]
        for kind, what, value in _LIFE.findall(file.read_text(encoding="utf-8")):
            entry = out.setdefault(f"{group}/{version}/{kind}", [0, 0, ""])
            if what == "Replacement":
                parts = dict(re.findall(r'(\w+): *"([^"]*)"', value))
                entry[2] = f"{parts['Group']}/{parts['Version']}".lstrip("/") if parts else ""
                if parts and parts["Kind"] != kind:
                    entry[2] += f" {parts['Kind']}"
            else:
                entry[0 if what == "Deprecated" else 1] = int(value.split(",")[1])
    return {name: entry for name, entry in sorted(out.items()) if not name.endswith("List")}


# --- The OpenAPI document ---------------------------------------------------------------------------------------


class Source:
    """One version of Kubernetes."""

    def __init__(self, root: Path, api: Path) -> None:
        self.root = root
        self.definitions: Mapping[str, Any] = self._json("openapi-spec/swagger.json")["definitions"]
        self.enums = enums(api)
        self.defaults = self._defaults()
        self._short: dict[str, str] = {}

    def _json(self, path: str) -> Any:
        return json.loads((self.root / "api" / path).read_text(encoding="utf-8"))

    def _defaults(self) -> dict[tuple[str, str], str]:
        """(definition, field) -> its default, for strings; only version 3 of the document has defaults."""
        out: dict[tuple[str, str], str] = {}
        for path in sorted((self.root / "api" / "openapi-spec" / "v3").glob("*_openapi.json")):
            schemas = json.loads(path.read_text(encoding="utf-8")).get("components", {}).get("schemas", {})
            for name, schema in schemas.items():
                for field, value in schema.get("properties", {}).items():
                    if isinstance(value.get("default"), str) and value["default"]:
                        out[name, field] = value["default"]
        return out

    def short(self, definition: str) -> str:
        """A short name for a definition: its last part, with the package where that is taken."""
        if definition not in self._short:
            name = definition.rpartition(".")[2]
            if name in self._short.values():
                name = ".".join(definition.split(".")[-3:])
            self._short[definition] = name
        return self._short[definition]

    def code(self, schema: Mapping[str, Any], where: tuple[str, str]) -> str:
        """The code of a field."""
        if where in self.enums:
            return self.enums[where]
        if "$ref" in schema:
            return self._reference(schema["$ref"].removeprefix(_REF))
        kind = schema.get("type", "")
        if kind == "array":
            return self._list(schema)
        if kind == "object":
            inner = schema.get("additionalProperties")
            return "o" if inner is None else "{" + self.code(inner, ("", ""))
        return _SCALARS[kind, schema.get("format", "")] if kind else "*"

    def _list(self, schema: Mapping[str, Any]) -> str:
        inner = self.code(schema["items"], ("", ""))
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
        if kind == "set":
            return f"~{inner}"
        if kind != "map" or not keys or "$ref" not in schema["items"]:
            return f"[{inner}"
        element = schema["items"]["$ref"].removeprefix(_REF)
        named = [key + (f"={self.defaults[element, key]}" if (element, key) in self.defaults else "") for key in keys]
        return f"<{','.join(named)}:{inner}"

    def _reference(self, definition: str) -> str:
        if definition in _SPECIAL:
            return _SPECIAL[definition]
        schema = self.definitions[definition]
        if "properties" in schema:
            return f"@{self.short(definition)}"
        return self.code(schema, ("", ""))

    def types(self) -> dict[str, Any]:
        """Every type with fields."""
        out: dict[str, Any] = {}
        for definition, schema in sorted(self.definitions.items()):
            if definition in _SPECIAL or "properties" not in schema:
                continue
            fields = {name: self.code(value, (definition, name)) for name, value in schema["properties"].items()}
            entry: dict[str, Any] = {"f": fields}
            # a boolean that is not there is false to the API server, whatever the document says
            required = [name for name in schema.get("required", ()) if fields[name] != "b"]
            if required:
                entry["r"] = required
            out[self.short(definition)] = entry
        return out

    def kinds(self) -> dict[str, list[Any]]:
        """Every kind that can be created, by discovery; definitions name more (options, lists, scales)."""
        named: dict[str, str] = {}
        for definition, schema in self.definitions.items():
            for gvk in schema.get("x-kubernetes-group-version-kind", ()):
                named.setdefault(f"{gvk['group']}/{gvk['version']}/{gvk['kind']}", definition)
        out: dict[str, list[Any]] = {}
        for path in sorted((self.root / "api" / "discovery").glob("api*__v*.json")):
            document = json.loads(path.read_text(encoding="utf-8"))
            group, _, version = document["groupVersion"].rpartition("/")
            for resource in document["resources"]:
                name = f"{group}/{version}/{resource['kind']}"
                if "/" not in resource["name"] and name in named:
                    out[name] = [self.short(named[name]), int(resource["namespaced"])]
        return out


def reachable(types: Mapping[str, Any], kinds: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The types that some kind is made of."""
    todo = [name for name, _namespaced in kinds.values()]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [found for code in types[name]["f"].values() for found in re.findall(r"@([\w.]+)", code)]
    return {name: types[name] for name in sorted(seen)}


def packed(document: Mapping[str, Any]) -> bytes:
    """The file's bytes; the same document gives the same bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return zlib.compress(text.encode("ascii"), 9)


def make() -> dict[str, bytes]:
    """Every file, by name."""
    out: dict[str, bytes] = {}
    api = Path()
    for minor, patch in VERSIONS.items():
        version = f"v{minor}.{patch}"
        api = module("k8s.io/api", f"v0.{minor.split('.')[1]}.{patch}")
        source = Source(module("k8s.io/kubernetes", version), api)
        types, kinds = source.types(), source.kinds()
        document = {"kubernetes": version, "kinds": kinds, "types": reachable(types, kinds)}
        out[f"kubernetes-{minor}.json.z"] = packed(document)
    out["lifecycle.json.z"] = packed(lifecycle(api))
    return out


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description="Make the schemas that objects are validated against.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    check = parser.parse_args().check
    stale = 0
    TARGET.mkdir(exist_ok=True)
    for name, content in make().items():
        path = TARGET / name
        # compression may differ between zlib builds; what counts is the document
        if path.exists() and zlib.decompress(path.read_bytes()) == zlib.decompress(content):
            continue
        stale += 1
        print(f"{path.name}: {'is not current' if check else f'{len(content)} bytes'}")
        if not check:
            path.write_bytes(content)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

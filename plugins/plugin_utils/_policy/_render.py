# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What Kustomize and Helm make of a directory: by the real programs, from Git objects, away from everything else.

Only files that a kustomization names, or that belong to a chart, are written to a private folder; no link is followed
or written.  The programs get no network, a HOME of their own, no other program to call, and limits on time, memory and
output (see _process).  A renderer that is missing, fails, or makes what is no Kubernetes object is an error, never
nothing: what cannot be rendered cannot be permitted.

Charts bring what they depend on in charts/; nothing is fetched.  Values that a chart makes up anew each time
(random passwords, certificates, the time) make another change on each rendering.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.weft.platform.plugins.module_utils._change import Origin, Path
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _objects, _process
from ansible_collections.weft.platform.plugins.plugin_utils._policy._content import metadata_of, named, text_of
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    GitError,
    Limits,
    ObjectAt,
    Rendered,
    RenderError,
    Tree,
)

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")

#: One rendering takes no longer than this, in seconds.
MAX_SECONDS = 60.0

_BOUNDS = _process.Bounds(memory=4 * 1024**3, file=64 * 1024**2, processes=4096)
_OUTPUT = "(rendered)"
_ORIGIN = "config.kubernetes.io/origin"
_WANTED = "originAnnotations"
#: What looks like a place on a network rather than a path.
_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^[^/]+\.[A-Za-z]{2,}/|^git@|\?ref=|\.git(//|$)")
_SOURCE = re.compile(r"^# Source: (.+)$", re.MULTILINE)
#: What of a chart makes its objects; templates may read its other files as well (.Files).
_CHART_FILES = ("Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", ".helmignore")
_CHART_FOLDERS = ("templates/", "crds/", "charts/")


def render(
    tree: Tree,
    directory: str,
    how: str,
    limits: Limits,
    deadline: float,
    values: Sequence[str] = (),
    isolated: bool = False,
    version: str = "",
) -> Rendered:
    """Render a directory of a tree.

    Args:
        tree: where the files are.
        directory: of the kustomization or the chart, "" for the top.
        how: "kustomize" or "helm".
        limits: bounds on files and objects.
        deadline: time.monotonic() at which to give up.
        values: paths in the tree of values files, for Helm, later ones over earlier ones.
        isolated: render in a network namespace of its own, or not at all.
        version: of Kubernetes, for Helm, which has one of its own where this is "".

    Raises:
        RenderError: the program is missing or fails, or what goes in or comes out cannot be used.
    """
    where = directory or "the top of the repository"
    own = _process.has_own_network()
    if isolated and not own:
        raise RenderError(
            f"{where}: policy/settings.yml wants it rendered in a network namespace of its own, and this system "
            "lets the policy manager make none (unshare --net of util-linux)"
        )
    try:
        with _process.private_folder() as folder:
            stage = _Stage(tree, os.path.join(folder, "tree"), limits)
            renderer = {"kustomize": _kustomize, "helm": _helm}[how]
            made = renderer(stage, directory, min(deadline, time.monotonic() + MAX_SECONDS), tuple(values), version)
            return made._replace(isolated=own)
    except RenderError as error:
        raise RenderError(f"{where}: {error}") from error
    except (_process.ProcessError, GitError, OSError) as error:
        raise RenderError(f"{where}: cannot be rendered: {error}") from error


class _Stage:
    """The files of a rendering: taken from the tree, written to a private folder (if one is given), and counted.

    written  paths in the tree that are there
    """

    def __init__(self, tree: Tree, folder: str, limits: Limits) -> None:
        self.tree = tree
        self.folder = folder
        self.limits = limits
        self.written: dict[str, None] = {}
        self._bytes = 0
        #: Keys of the kustomizations.
        self.keys: set[str] = set()
        if folder:
            os.mkdir(folder, 0o700)

    def write(self, path: str, content: bytes | None = None) -> None:
        """Write a file of the tree, or other content in its place.

        Raises:
            RenderError: it is no plain file, or too much is written.
        """
        if path in self.written and content is None:
            return
        entry = self.tree.entry(path)
        if entry is None or not entry.mode.startswith("100"):
            what = {"120000": "a symbolic link", "160000": "a submodule"}.get(entry.mode if entry else "", "not a file")
            raise RenderError(f"{path} is {what}; renderers are given plain files only")
        content = self.tree.read(path) if content is None else content
        self.written[path] = None
        self._bytes += len(content)
        if len(self.written) > self.limits.files or self._bytes > self.limits.total_bytes:
            raise RenderError("too many or too large files go in")
        if not self.folder:
            return
        target = self.place(path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)

    def place(self, path: str) -> str:
        """Where a path of the tree is in the folder.

        Raises:
            RenderError: it leads out of the folder.
        """
        parts = path.split("/") if path else []
        if any(part in ("", ".", "..") for part in parts) or "\0" in path:
            raise RenderError(f"{path!r} is no path in the repository")
        return os.path.join(self.folder, *parts)

    def is_folder(self, path: str) -> bool:
        """Whether a path of the tree is a directory."""
        entry = self.tree.entry(path) if path else None
        return not path or (entry is not None and stat.S_ISDIR(int(entry.mode, 8)))


def _ours(files: Iterable[str]) -> tuple[str, ...]:
    """The files whose change is judged by what is rendered; what steers the repository itself is always a path too."""
    return tuple(
        sorted(
            path
            for path in files
            if not path.startswith("policy/")
            and not any(part.startswith(".") and part != ".helmignore" for part in path.split("/"))
        )
    )


# --- Kustomize --------------------------------------------------------------------------------------------------

#: Keys of a kustomization whose items are files or other kustomizations.
_FOLDERS = ("resources", "bases", "components", "crds", "generators", "transformers", "validators", "configurations")
#: Keys with which Kustomize writes no kind, field or namespace that does not stand in a file.
_AS_WRITTEN = frozenset(
    [
        "apiVersion",
        "kind",
        "metadata",
        "resources",
        "bases",
        "components",
        "namespace",
        "namePrefix",
        "nameSuffix",
        "labels",
        "commonLabels",
        "commonAnnotations",
        "images",
        "replicas",
        "buildMetadata",
        "sortOptions",
        "patches",
        "patchesStrategicMerge",
        "patchesJson6902",
        "configMapGenerator",
        "secretGenerator",
        "generatorOptions",
    ]
)
#: And those that it writes of its own.
_WRITES = (
    b"v1 ConfigMap Secret apiVersion kind metadata name namespace labels annotations data binaryData type immutable"
)
#: Keys of plugins' own files that name further files.
_PLUGIN_KEYS = ("path", "paths", "files", "envs", "env", "valuesFile")
#: Keys of a kustomization whose items have such keys.
_WITH_FILES = ("patches", "patchesJson6902", "replacements", "configMapGenerator", "secretGenerator")
_LOOKED_AT = frozenset([*_FOLDERS, *_WITH_FILES, *_PLUGIN_KEYS, "patchesStrategicMerge", "openapi", "buildMetadata"])
_FOLDED = frozenset(key.casefold() for key in _LOOKED_AT)


def _kustomize(stage: _Stage, directory: str, deadline: float, _values: tuple[str, ...], _version: str) -> Rendered:
    program = _process.find("kustomize", "WEFT_KUSTOMIZE", "get the kubernetes-sigs/kustomize release")
    kept = _gather(stage, directory)
    command = [program, "build", stage.place(directory), "--load-restrictor", "LoadRestrictionsRootOnly"]
    text = _run(stage, command, deadline)
    main = _kustomization(stage, directory)

    def source(one: ObjectAt) -> tuple[str, bool]:
        """The file that an object was written in, and whether it was made by a generator there."""
        note = _note(one.object)
        path = note.get("path") or note.get("configuredIn")
        found = _inside(directory, path) if isinstance(path, str) and "repo" not in note else None
        known = found if found in stage.written else None
        return known or main, "path" not in note or known is None

    objects = tuple(_placed(stage, one, *source(one)) for one in _parse(stage, text))
    if not kept:
        objects = tuple(one._replace(object=_without_note(one.object)) for one in objects)
    return Rendered(objects, _ours(stage.written))


def may_make(tree: Tree, directory: str, limits: Limits, look: Callable[[bytes], bool]) -> bool:
    """Whether Kustomize may make something of a directory for which `look` is true; told from all that goes in.

    Kinds, fields and namespaces come out as they were written somewhere, as long as only keys are used that do nothing
    else.  With others (`configurations`, `replacements`, `transformers`) they can be put together of parts, so anything
    may be made; so it may of what cannot be read, which rendering says.

    Args:
        tree: where the files are.
        directory: of the kustomization.
        limits: bounds on files.
        look: tells of a content whether it matters, also where words in it may be in disguise.
    """
    stage = _unwritten(tree, directory, limits)
    if stage is None:
        return True
    content = b"\n".join([*map(tree.read, stage.written), _WRITES])
    # Kustomize reads UTF-16 as well, in which no word is found
    return not stage.keys <= _AS_WRITTEN or b"\0" in content or look(content)


def inputs(tree: Tree, directory: str, limits: Limits) -> Collection[str]:
    """What a rendering by Kustomize reads, without it; () where that cannot be told.

    Args:
        tree: where the files are.
        directory: of the kustomization.
        limits: bounds on files.
    """
    stage = _unwritten(tree, directory, limits)
    return () if stage is None else _ours(stage.written)


def _unwritten(tree: Tree, directory: str, limits: Limits) -> _Stage | None:
    """What Kustomize would be given, all of it read and nothing written; None where that cannot be told."""
    stage = _Stage(tree, "", limits)
    try:
        _gather(stage, directory)
    except (RenderError, GitError):
        return None
    return stage


def _gather(stage: _Stage, directory: str) -> bool:
    """Write a kustomization and all that it names; true when it wants to keep the notes on origins in its output."""
    todo, seen = [directory], set()
    kept = False
    while todo:
        folder = todo.pop()
        if folder in seen:
            continue
        seen.add(folder)
        path = _kustomization(stage, folder)
        value = _read(stage, path)
        stage.keys.update(map(str, value))
        if folder == directory:
            kept = _WANTED in _items(value.get("buildMetadata"))
            wanted = {**value, "buildMetadata": sorted({*_items(value.get("buildMetadata")), _WANTED})}
            stage.write(path, json.dumps(wanted).encode("utf-8"))
        else:
            stage.write(path)
        for name in _named(value):
            todo += _take(stage, folder, name)
        for name in _plugins(value):
            _take_plugin(stage, folder, name)
    return kept


def _kustomization(stage: _Stage, directory: str) -> str:
    found = [posixpath.join(directory, name) for name in KUSTOMIZATIONS]
    found = [path for path in found if stage.tree.entry(path) is not None]
    if len(found) != 1:
        raise RenderError(f"{directory}: {'has more than one' if found else 'has no'} kustomization.yaml")
    return found[0]


def _read(stage: _Stage, path: str) -> dict[str, Any]:
    try:
        documents = _yaml.read(stage.tree.read(path), path, "k8s", _yaml.Limits(depth=stage.limits.depth))
    except _yaml.YamlError as error:
        raise RenderError(str(error)) from error
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise RenderError(f"{path}: a kustomization is one object")
    value = dict(documents[0].value)
    for one in (value, value.get("openapi"), *(item for key in _WITH_FILES for item in _items(value.get(key)))):
        _check_keys(path, one)
    return value


def _check_keys(path: str, value: Any) -> None:
    """Refuse keys that are looked at here and that only Kustomize, which does not tell case, would know again."""
    odd = next((key for key in _mapping(value) if key not in _LOOKED_AT and str(key).casefold() in _FOLDED), None)
    if odd is not None:
        raise RenderError(f"{path}: the key {odd!r} is not written as in Kustomize's documentation; write it so")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one


def _named(value: Mapping[str, Any]) -> Iterator[str]:
    """Every file or directory that a kustomization names; text that is no path (inline patches) is left out."""
    for key in (*_FOLDERS, "patchesStrategicMerge"):
        yield from (text for text in _texts(value.get(key)) if "\n" not in text)
    for key in ("patches", "patchesJson6902", "replacements"):
        for one in _items(value.get(key)):
            yield from _texts(one.get("path") if isinstance(one, dict) else None)
    for key in ("configMapGenerator", "secretGenerator"):
        for one in _items(value.get(key)):
            if isinstance(one, dict):
                yield from (text.partition("=")[2] or text for text in _texts(one.get("files")))
                yield from _texts(one.get("envs"))
                yield from _texts(one.get("env"))
    openapi = value.get("openapi")
    yield from _texts(openapi.get("path") if isinstance(openapi, dict) else None)


def _plugins(value: Mapping[str, Any]) -> Iterator[str]:
    for key in ("generators", "transformers", "validators"):
        yield from (text for text in _texts(value.get(key)) if "\n" not in text)


def _inside(directory: str, name: str) -> str | None:
    """A path relative to a directory, from the top; None where it leads out of the repository."""
    path = posixpath.normpath(posixpath.join("/", directory, name)).lstrip("/")
    climbs = posixpath.normpath(posixpath.join(directory, name))
    return None if climbs.startswith("..") or name.startswith("/") else ("" if path == "." else path)


def _take(stage: _Stage, folder: str, name: str) -> list[str]:
    """Write what a kustomization names; a directory is given back, to be looked into.

    Raises:
        RenderError: it is not in the repository.
    """
    path = _inside(folder, name)
    if path is not None and stage.is_folder(path):
        return [path]
    if path is None or stage.tree.entry(path) is None:
        if _REMOTE.search(name):
            raise RenderError(f"{name} is not in the repository; nothing is fetched: copy it in")
        raise RenderError(f"{posixpath.join(folder, name)} is named by a kustomization and is not in the repository")
    stage.write(path)
    return []


def _take_plugin(stage: _Stage, folder: str, name: str) -> None:
    """Write the further files that a plugin's own file names."""
    path = _inside(folder, name)
    if path is None or stage.is_folder(path):
        return
    try:
        documents = _yaml.read(stage.tree.read(path), path, "k8s")
    except _yaml.YamlError as error:
        raise RenderError(str(error)) from error
    for document in documents:
        value = document.value if isinstance(document.value, dict) else {}
        _check_keys(path, value)
        for key in _PLUGIN_KEYS:
            for text in _texts(value.get(key)):
                _take(stage, folder, text.partition("=")[2] or text)


def _note(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Kustomize notes of an object's origin."""
    text = _mapping(metadata_of(obj).get("annotations")).get(_ORIGIN)
    try:
        documents = _yaml.read(text, _ORIGIN, "k8s") if isinstance(text, str) else []
    except _yaml.YamlError:
        return {}
    return _mapping(documents[0].value) if documents else {}


def _without_note(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = dict(metadata_of(obj))
    annotations = {key: value for key, value in _mapping(meta.get("annotations")).items() if key != _ORIGIN}
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    return {**obj, "metadata": meta}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# --- Helm -------------------------------------------------------------------------------------------------------


#: All that Helm says of a chart that is a library; what a template says comes with its place before it.
_LIBRARY = "Error: library charts are not installable"


def _helm(stage: _Stage, directory: str, deadline: float, values: tuple[str, ...], version: str) -> Rendered:
    program = _process.find("helm", "WEFT_HELM", "get the helm/helm release")
    below = f"{directory}/" if directory else ""
    if stage.tree.entry(f"{below}Chart.yaml") is None:
        raise RenderError("has no Chart.yaml")
    for entry in stage.tree.walk(directory):
        if entry.mode.startswith("100"):
            stage.write(entry.path)
        elif _makes_objects(entry.path.removeprefix(below)):
            raise RenderError(f"{entry.path} is no plain file; renderers are given plain files only")
    _check_schemas(stage)
    for path in values:
        stage.write(path)
    name = re.sub(r"[^a-z0-9-]", "-", posixpath.basename(directory).lower()).strip("-")[:50] or "chart"
    command = [program, "template", name, stage.place(directory), "--include-crds", "--namespace", "default"]
    command += ["--kube-version", version] if version else []
    for path in values:
        command += ["--values", stage.place(path)]
    try:
        text = _run(stage, command, deadline)
    except RenderError as error:
        if str(error) != f"{os.path.basename(program)} failed: {_LIBRARY}":
            raise
        text = b""  # it is there for other charts, and makes nothing by itself
    sources = _sources(text)

    def placed(one: ObjectAt) -> ObjectAt:
        source = _chart_file(stage, below, sources(one.origin.line))
        return _placed(stage, one, source or f"{below}Chart.yaml", True)

    return Rendered(tuple(placed(one) for one in _parse(stage, text)), _ours(stage.written))


def _makes_objects(path: str) -> bool:
    return path in _CHART_FILES or path.startswith(_CHART_FOLDERS)


def _check_schemas(stage: _Stage) -> None:
    """Values' schemas may not point outside themselves: Helm would read what they point to.

    Raises:
        RenderError: one does.
    """
    for path in stage.written:
        if posixpath.basename(path) != "values.schema.json":
            continue
        for match in re.finditer(rb'"\$(?:ref|schema|dynamicRef)"\s*:\s*"([^"]*)"', stage.tree.read(path)):
            if not match[1].startswith((b"#", b"http://json-schema.org/", b"https://json-schema.org/")):
                raise RenderError(f"{path}: refers to {match[1].decode('utf-8', 'replace')[:200]}; nothing is fetched")


def _sources(text: bytes) -> Callable[[int], str]:
    """The template that the object at a line of the output is made by, as Helm notes above each; "" for none."""
    notes = [(text.count(b"\n", 0, found.start()) + 1, found[1]) for found in _BYTES_SOURCE.finditer(text)]

    def source(line: int) -> str:
        before = [name for at, name in notes if at <= line]
        return before[-1].decode("utf-8", "replace").strip() if before else ""

    return source


_BYTES_SOURCE = re.compile(_SOURCE.pattern.encode("ascii"), re.MULTILINE)


def _chart_file(stage: _Stage, below: str, source: str) -> str | None:
    """The path in the tree of a template that Helm names with the chart's name before it."""
    path = below + source.partition("/")[2]
    return path if path in stage.written else None


# --- Both -------------------------------------------------------------------------------------------------------


def _run(stage: _Stage, command: Sequence[str], deadline: float) -> bytes:
    folder = os.path.dirname(stage.folder)
    # nothing on the PATH: renderers would call git, and whatever plugins they find
    nothing = os.path.join(folder, "nothing")
    os.makedirs(nothing, exist_ok=True)
    environment = {"PATH": nothing, "HELM_PLUGINS": nothing, "KUSTOMIZE_PLUGIN_HOME": nothing, "HELM_NO_PLUGINS": "1"}
    done = _process.run(command, folder, deadline, _BOUNDS, environment)
    if done.code != 0:
        said = done.errors.decode("utf-8", "replace").replace(f"{stage.folder}/", "").strip()
        name = os.path.basename(command[0])
        raise RenderError(f"{name} failed: {said[-1500:] or f'exit code {done.code}'}")
    return done.output


def _parse(stage: _Stage, text: bytes) -> tuple[ObjectAt, ...]:
    """The objects of the output.

    Raises:
        RenderError: it holds anything else, or too many.
    """
    limits = _yaml.Limits(size=_BOUNDS.file, nodes=5_000_000, depth=stage.limits.depth)
    try:
        parsed = _objects.parse(text, _OUTPUT, "", limits)
    except _yaml.YamlError as error:
        raise RenderError(f"what came out cannot be read: {error}") from error
    if parsed.duplicates:
        origin, message = parsed.duplicates[0]
        raise RenderError(f"what came out cannot be used: {origin}: {message}")
    if parsed.foreign:
        raise RenderError("something came out that is no Kubernetes object with a kind and a name")
    if len(parsed.objects) > stage.limits.objects:
        raise RenderError(f"more than {stage.limits.objects} objects came out")
    return parsed.objects


class _Place(NamedTuple):
    """A document in a source file."""

    document: _yaml.Document
    file: str


def _placed(stage: _Stage, one: ObjectAt, file: str, made: bool) -> ObjectAt:
    """The object with places in the file that it was written in; `made`: it is nowhere written as it is."""
    place = None if made else _find(stage, one.object, file)
    if place is None:
        here = Origin(file)
        return one._replace(origin=here, position=lambda _path: here)
    document = place.document

    def position(path: Path) -> Origin:
        # by their keys, for Kustomize puts elements of lists in another order
        known = _objects.indexed(document.value, named(one.object, _objects.indexed(one.object, path)))
        while known and document.node(known) is None:
            known = known[:-1]
        return document.key_position(known).origin

    return one._replace(origin=document.position().origin, position=position)


def _find(stage: _Stage, obj: Mapping[str, Any], file: str) -> _Place | None:
    """The document of a file that an object was made of: of its kind, with its name or a part of it."""
    try:
        documents = _yaml.read(stage.tree.read(file), file, "k8s")
    except (_yaml.YamlError, GitError):
        return None
    name = text_of(metadata_of(obj).get("name"))
    fitting = [
        document
        for document in documents
        if isinstance(document.value, dict)
        and document.value.get("kind") == obj.get("kind")
        and text_of(metadata_of(document.value).get("name")) in name
    ]
    exact = [document for document in fitting if metadata_of(document.value).get("name") == name]
    found = exact or fitting
    return _Place(found[0], file) if len(found) == 1 else None

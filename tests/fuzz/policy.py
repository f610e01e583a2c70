# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Fuzz what reads text from strangers: parsers, patterns, the matcher, the log, and the forms of a verdict.

    python -m tests.fuzz.policy                      every target for ten seconds each
    python -m tests.fuzz.policy yaml --seconds 600   one target for long

With atheris installed (pip install atheris) inputs are guided by coverage; else hypothesis makes them.  A target
may end in the one error that its code promises.  Any other error, an input that takes longer than a second, or one
that needs more than a gigabyte, is a finding: it is printed, kept under tests/fuzz/found, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Origin, Subject
from ansible_collections.weft.platform.plugins.plugin_utils import _yaml
from ansible_collections.weft.platform.plugins.plugin_utils._policy import (
    _chain,
    _codeowners,
    _format,
    _match,
    _re2,
    _rego_text,
    _text,
)
from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge import _event
from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import (
    NOT_PERMITTED,
    PROHIBIT,
    Finding,
    PolicyError,
    Request,
    Verdict,
)

FOUND = Path(__file__).resolve().parent / "found"
MEMORY = 1 << 30
SLOW = 1.0


def _words(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _halves(data: bytes) -> tuple[str, str]:
    first, _, second = data.partition(b"\0")
    return _words(first), _words(second)


def yaml(data: bytes) -> None:
    """Both flavours read the same bytes; the quick way gives what the close look gives."""
    for flavour in ("ansible", "k8s"):
        try:
            documents = _yaml.read(data, "f.yml", flavour)
        except _yaml.YamlError:
            continue
        for document in documents:
            json.dumps(_text.plain(document.value))
    quick = _yaml._quickly(data, _yaml.LIMITS)
    if quick is not None:
        close = _yaml._Reader(data, "f.yml", "k8s", _yaml.LIMITS).documents()
        assert repr(quick[1]) == repr([document.value for document in close])


def glob(data: bytes) -> None:
    """A pattern is an error or answers; a text without special characters matches itself."""
    pattern, text = _halves(data)
    try:
        _match.PathGlob(pattern).matches(text)
        _match.Glob(pattern).matches(text)
    except _match.PatternError:
        return
    if not set(pattern) & set("*?[]\\{}!,"):
        assert _match.Glob(pattern).matches(pattern)


def field(data: bytes) -> None:
    """A field's pattern is an error or answers."""
    pattern, text = _halves(data)
    try:
        _match.Field(pattern).nodes(tuple(text.split(".")))
    except _match.PatternError:
        return


def predicate(data: bytes) -> None:
    """What a rule says about a value is an error or answers."""
    wanted, found = _halves(data)
    try:
        _match.predicate(wanted, "new")
    except _match.PatternError:
        return
    _match.order(wanted, found)


def regex(data: bytes) -> None:
    """A regular expression is an error or answers in linear time."""
    pattern, text = _halves(data)
    try:
        _re2.compile_pattern(pattern).search(text)
    except _re2.PatternError:
        return


def codeowners(data: bytes) -> None:
    """Any CODEOWNERS can be read and asked."""
    content, _, path = data.partition(b"\0")
    try:
        _codeowners.parse(content).owners(_words(path))
    except PolicyError:
        return


def rego(data: bytes) -> None:
    """Any source is an error or is moved, and what opa says of a line still fits."""
    source = _words(data)
    try:
        moved = _rego_text.move(source, ("weft", "s0"))
    except _rego_text.RegoError:
        return
    assert moved.text.count("\n") == source.count("\n")
    assert moved.text.startswith(source[: source.index("package")]) and "weft.s0." in moved.text


def forms(data: bytes) -> None:
    """A verdict about anything can be shown in every form."""
    words = _words(data)
    change = Change(Subject("ConfigMap", words, words), (words,), words, words, origin=Origin(words, 1))
    finding = Finding(words, PROHIBIT, NOT_PERMITTED, words, (words,), words, Origin(words), change=change)
    verdict = Verdict(False, words, words, words, findings=(finding,), changes=(change,), people=((words, words),))
    for form in _format.FORMS:
        _format.show(verdict, form).encode("utf-8")


def log(data: bytes) -> None:
    """Any file can be verified, and what may be appended to it verifies on."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        before = _chain.verify(file.name)
        try:
            _chain.append(file.name, {"what": "x"})
        except _chain.LogError:
            return
        after = _chain.verify(file.name)
        assert after.records == before.records + 1


def event(data: bytes) -> None:
    """Any event file is a pull request or an error."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            _event.from_environment({"GITHUB_ACTIONS": "1", "GITHUB_EVENT_PATH": file.name, "GITHUB_TOKEN": "t"})
        except PolicyError:
            return


def request(data: bytes) -> None:
    """Any JSON is a request or an error, and a request comes back as it went."""
    try:
        found = Request.from_json(json.loads(data))
    except (PolicyError, ValueError, RecursionError):
        return
    assert Request.from_json(found.to_json()) == found


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (yaml, glob, field, predicate, regex, codeowners, rego, forms, log, event, request)
}
SEEDS: dict[str, Sequence[bytes]] = {
    "yaml": (b"a: &a [1, {b: *a}]\n---\n- |\n  x\n", b"<<: [*a]", b"a: !!binary eA==\nb: 0x1f\nc: 1e3\n"),
    "glob": (b"apps/**/[!a]*\0apps/x/y", b"**\0a"),
    "field": (b"spec.containers[name=web].*\0spec.containers.image",),
    "predicate": (b">= old\0v1.2.3", b"1.37.*\0001.37.2"),
    "regex": (b"^(a|b)*[[:alpha:]]\\d{2,3}$\0ab12",),
    "codeowners": (b"* @a\n/docs/ b@example.org\n!x\n\0docs/a",),
    "rego": (
        b'package a.b\nimport data.x\ndeny contains m if { m := $"{input.y["}"]} #" } # data\n',
        b"package a\nx := `",
    ),
    "log": (b'{"sequence":1,"previous":"x","digest":"y"}\n{"half',),
    "event": (
        b'{"pull_request": {"number": 7}, "repository": {"full_name": "a/b"}}',
        b'{"merge_group": {"head_ref": "refs/heads/gh-readonly-queue/m/pr-7-%b", "base_ref": "refs/heads/m"}}'
        % (b"a" * 40),
    ),
    "request": (b'{"base": "a", "head": "b", "target": "m", "author": {"login": "x", "teams": ["t"]}}',),
}


def timed(name: str) -> Callable[[bytes], None]:
    """The target, in which slowness is an error as well."""
    target = TARGETS[name]

    def once(data: bytes) -> None:
        start = time.process_time()
        target(data)
        spent = time.process_time() - start
        assert spent < SLOW, f"took {spent:.1f} s of CPU"

    return once


def guided(name: str, seconds: int) -> int:
    """By atheris, which ends the process; so it is a process of its own."""
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS.get(name, ())):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", "-timeout=10", f"-rss_limit_mb={MEMORY >> 20}", "-verbosity=0"]
        where = [f"-artifact_prefix={FOUND}/{name}-", corpus]
        command = [sys.executable, "-m", "tests.fuzz.policy", "--inside", name, *limits, *where]
        return subprocess.run(command, check=False).returncode


def inside(name: str, arguments: Sequence[str]) -> None:
    """Run libFuzzer; it does not return."""
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(["fuzz", *arguments], timed(name))
    atheris.Fuzz()


def generated(name: str, seconds: int) -> int:
    """By hypothesis, until the time is over."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    data = st.binary(max_size=200) | st.text(max_size=100).map(lambda words: words.encode("utf-8", "surrogatepass"))
    seeds = st.sampled_from(SEEDS.get(name, (b"",)))
    mixed = data | st.tuples(seeds, data, st.integers(0, 60)).map(lambda three: three[0][: three[2]] + three[1])
    end = time.monotonic() + seconds
    found: list[bytes] = []

    # a hundred at a time, so that the time is kept to within a second or two
    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mixed)
    def run(one: bytes) -> None:
        try:
            timed(name)(one)
        except BaseException:
            found.append(one)
            raise

    try:
        while time.monotonic() < end:
            run()
    except Exception as error:
        FOUND.mkdir(exist_ok=True)
        (FOUND / f"{name}-hypothesis").write_bytes(found[-1])
        print(f"{name}: {found[-1]!r}: {error!r}")
        return 1
    return 0


def main(arguments: Sequence[str]) -> int:
    """Fuzz, and say what was found."""
    if arguments[:1] == ["--inside"]:
        inside(arguments[1], arguments[2:])
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all when none is named")
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    options = parser.parse_args(arguments)
    unknown = set(options.target) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        how = generated
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    else:
        how = guided
    bad = [name for name in options.target or TARGETS if how(name, options.seconds) != 0]
    print(f"{'atheris' if how is guided else 'hypothesis'}: {'found something in ' + ', '.join(bad) if bad else 'ok'}")
    return 1 if bad else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Hostile repositories: each gets a verdict or a clear error, in bounded time and memory, and none gets by.

mona is a developer: she may change apps/**, and nothing else.  Whatever she hides, it must not open more.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.policy.hostile.hostile_repository import (
    FILE,
    FOLDER,
    LINK,
    MIB,
    MODULE,
    POLICY,
    Outcome,
    Repository,
    judged,
    kinds,
    many,
    nested,
)

SECONDS = 20.0
MEMORY = 400 * MIB


def bounded(outcome: Outcome) -> Outcome:
    """The costs of a verdict on a hostile change stay within what a small CI machine has."""
    assert outcome.seconds < SECONDS, outcome.seconds
    assert outcome.memory < MEMORY, outcome.memory
    return outcome


def configmap(name: str, value: str = "x") -> bytes:
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\n"
    return f"{head}data: {{k: '{value}'}}\n".encode()


# --- what the base line is -------------------------------------------------------------------------------------------


def test_a_plain_change_is_permitted_and_one_elsewhere_is_not(tmp_path: Path) -> None:
    assert bounded(judged(tmp_path, {"apps/a.yml": configmap("a")})).permitted
    (tmp_path / "two").mkdir()
    outcome = bounded(judged(tmp_path / "two", {"apps/a.yml": configmap("a"), "other.txt": b"x"}))
    assert not outcome.permitted and kinds(outcome) == ["not-permitted"] and outcome.places() == ["other.txt"]


# --- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../../../etc/passwd", b"../policy/roles.yml", b"loop", b"."])
def test_symbolic_links_are_never_followed(tmp_path: Path, target: bytes) -> None:
    """A link is what it is: a path that changed.  What it points to is neither read nor thereby changed."""
    outcome = bounded(judged(tmp_path, {"apps/link.yml": (LINK, target), "apps/loop": (LINK, b"loop")}))
    assert "root:" not in str(outcome.verdict)
    changed = {change["subject"]["name"] for change in outcome.verdict["changes"]}
    assert changed <= {"apps/link.yml", "apps/loop"}


def test_a_link_in_place_of_the_policy_loosens_nothing(tmp_path: Path) -> None:
    """The policy of the target branch is in force; a link in its place is a change to it like any other."""
    outcome = bounded(judged(tmp_path, {"policy/rules/site.yml": (LINK, b"../../apps/mine.yml")}))
    assert not outcome.permitted


def test_a_policy_that_is_a_link_is_broken_and_prohibits(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    before = nested({**POLICY, "policy/rules/more.yml": (LINK, b"/etc/hostname")})
    base = repository.commit(repository.tree(before))
    head = repository.commit(repository.tree({**before, b"apps": {b"a.yml": configmap("a")}}), base)
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "policy/rules/more.yml" in str(outcome.verdict["findings"])


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b", b"../../policy/roles.yml", b""])
def test_path_traversal_in_a_tree_opens_nothing(tmp_path: Path, name: bytes) -> None:
    """Git refuses such names when it checks out; a tree object can hold them all the same."""
    repository = Repository(tmp_path / "r.git")
    before = nested({**POLICY})
    base = repository.commit(repository.tree(before))
    head = repository.commit(repository.tree({**before, b"apps": {name: b"roles: {}\n"}}), base)
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted


#: A rule by which an object is told from a file that was not understood.
PODS = {"policy/rules/pods.yml": b"rules:\n  - {name: pods, change: {file: '**'}, require: {pss: baseline}}\n"}


def privileged(name: str = "p") -> bytes:
    container = "{name: c, image: i, securityContext: {privileged: true}}"
    return f"{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{container}]}}}}\n".encode()


@pytest.mark.parametrize("mode", [b"0100644", b"00100755", b"100664", b"100600", b"100777"])
def test_a_file_is_one_however_its_mode_is_written(tmp_path: Path, mode: bytes) -> None:
    outcome = judged(tmp_path, {"apps/p.yml": (mode, privileged())}, PODS)
    assert not outcome.permitted and "must not set securityContext.privileged" in outcome.messages


@pytest.mark.parametrize("mode", [b"040000", b"0040000", b"40755"])
def test_a_folder_is_one_however_its_mode_is_written(tmp_path: Path, mode: bytes) -> None:
    repository = Repository(tmp_path / "r.git")
    files = nested({**POLICY, **PODS})
    folder = bytes.fromhex(repository.tree({b"p.yml": privileged()}))
    inner = bytes.fromhex(repository.put(b"tree", mode + b" hidden\0" + folder))
    start = repository.commit(repository.tree(files))
    raw = [
        b"%s %s\0%s" % (kind, name, bytes.fromhex(oid))
        for name, (kind, oid) in sorted((name, repository._entry(value)) for name, value in files.items())
    ]
    head = repository.commit(repository.put(b"tree", b"".join([b"40000 apps\0" + inner, *raw])), start)
    outcome = repository.judge(start, head)
    assert not outcome.permitted and outcome.places() == ["apps/hidden/p.yml"]


@pytest.mark.parametrize("mode", [b"060000", b"010644", b"644", b"100644x", b"8", b"1100644", b"-100644", b"0o100644"])
def test_a_mode_of_nothing_known_is_a_clear_error(tmp_path: Path, mode: bytes) -> None:
    outcome = judged(tmp_path, {"apps/p.yml": (mode, privileged())}, PODS)
    assert not outcome.permitted and "impossible mode" in outcome.messages


def test_a_tree_in_a_wrong_place_does_not_become_the_policy(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    before = nested({**POLICY})
    base = repository.commit(repository.tree(before))
    evil = {b"roles.yml": POLICY["policy/roles.yml"].replace(b"user:olga", b"user:mona")}
    head = repository.commit(repository.tree({**before, b"apps": {b"..": {b"policy": evil}}}), base)
    assert not bounded(repository.judge(base, head)).permitted


def test_two_entries_of_one_name_are_seen(tmp_path: Path) -> None:
    """Readers differ on which of the two counts, so neither may be passed unseen."""
    repository = Repository(tmp_path / "r.git")
    before = nested({**POLICY})
    base = repository.commit(repository.tree(before))
    good, evil = repository.put(b"blob", configmap("a")), repository.put(b"blob", b"kind: Secret\n")
    twice = b"".join(FILE + b" a.yml\0" + bytes.fromhex(one) for one in (good, evil))
    apps = repository.put(b"tree", twice)
    top = [(FOLDER, b"apps", apps)]
    top += [(FOLDER, b"policy", repository.tree(before[b"policy"]))]
    raw = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in top)
    head = repository.commit(repository.put(b"tree", raw), base)
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "apps/a.yml" in str(outcome.verdict["findings"])


@pytest.mark.parametrize(
    "name", ["apps/new\nline.yml", "apps/tab\t.txt", "apps/\x1b[31mred.txt", "apps/ .yml", 'apps/".yml']
)
def test_odd_file_names_are_names(tmp_path: Path, name: str) -> None:
    outcome = bounded(judged(tmp_path, {name: configmap("a")}))
    assert outcome.permitted


def test_a_file_name_with_a_newline_does_not_match_another_path(tmp_path: Path) -> None:
    outcome = bounded(judged(tmp_path, {"other\napps/a.txt": b"x", "x\n": b"y"}))
    assert not outcome.permitted and sorted(outcome.places()) == ["other\napps/a.txt", "x\n"]


@pytest.mark.parametrize("name", [b"bad\xff.yml", b"\xc3\x28.txt", b"\xed\xa0\x80.txt"])
def test_a_file_name_that_is_no_utf8_is_judged_by_its_bytes(tmp_path: Path, name: bytes) -> None:
    assert bounded(judged(tmp_path, {name: b"x: 1\n"})).permitted


@pytest.mark.parametrize(
    "name", ["app\u0455/a.yml", "apps\u2215a.yml", "apps\u200b/a.yml", "APPS/a.yml", "apps", " apps/a"]
)
def test_a_path_that_only_looks_like_an_allowed_one_is_not(tmp_path: Path, name: str) -> None:
    assert not bounded(judged(tmp_path, {name: configmap("a")})).permitted


# --- content ---------------------------------------------------------------------------------------------------------


def test_a_yaml_bomb_is_refused(tmp_path: Path) -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)]
    bomb = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + b"\n".join(lines) + b"\n"
    outcome = bounded(judged(tmp_path, {"apps/bomb.yml": bomb}))
    assert not outcome.permitted and "apps/bomb.yml" in outcome.places()


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: loop}\ndata: &d {inner: *d}\n"
    outcome = bounded(judged(tmp_path, {"apps/loop.yml": loop}))
    assert not outcome.permitted and "apps/loop.yml" in outcome.places()


def test_merge_keys_that_multiply_are_bounded(tmp_path: Path) -> None:
    lines = [b"a0: &a0 {" + b", ".join(b"k%d: v" % n for n in range(100)) + b"}"]
    lines += [b"a%d: &a%d {<<: [%s], x%d: 1}" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 50), n) for n in range(1, 30)]
    bounded(judged(tmp_path, {"apps/merge.yml": b"\n".join(lines) + b"\n"}))


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_deep_nesting_is_refused(tmp_path: Path, opening: bytes, depth: int) -> None:
    outcome = bounded(judged(tmp_path, {"apps/deep.yml": opening * depth}))
    assert not outcome.permitted and "apps/deep.yml" in outcome.places()


def test_deep_folders_are_judged(tmp_path: Path) -> None:
    outcome = bounded(judged(tmp_path, {"apps/" + "d/" * 300 + "a.txt": b"x"}))
    assert outcome.permitted or "nested deeper" in outcome.messages


def test_a_tree_that_names_one_tree_many_times_is_bounded(tmp_path: Path) -> None:
    """A bomb of trees: ten names a level for one tree, twelve levels, a million million paths."""
    repository = Repository(tmp_path / "r.git")
    before = nested({**POLICY})
    base = repository.commit(repository.tree(before))
    below = repository.put(b"tree", FILE + b" f\0" + bytes.fromhex(repository.put(b"blob", b"x")))
    for _level in range(12):
        entries = [FOLDER + b" %d\0" % number + bytes.fromhex(below) for number in range(10)]
        below = repository.put(b"tree", b"".join(entries))
    raw = FOLDER + b" apps\0" + bytes.fromhex(below)
    raw += FOLDER + b" policy\0" + bytes.fromhex(repository.tree(before[b"policy"]))
    head = repository.commit(repository.put(b"tree", raw), base)
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "error" in kinds(outcome)


@pytest.mark.parametrize("name", ["apps/big.yml", "apps/big.bin"])
def test_a_file_of_100_mb_is_not_read(tmp_path: Path, name: str) -> None:
    """It is a change of its path, and prohibited where it could hold objects."""
    outcome = bounded(judged(tmp_path, {name: b"a: b\n" * (20 * MIB)}, memory=700 * MIB))
    assert outcome.memory < 150 * MIB
    found = {finding["rule"] for finding in outcome.verdict["findings"]}
    assert ("size" in found) is name.endswith(".yml") and not (found and outcome.permitted)
    changed = [change["subject"] for change in outcome.verdict["changes"]]
    assert [one["name"] for one in changed if one["type"] == "path"] == [name]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a: \xff\xff\n", b"\x00\x01\x02", b"a: \xed\xa0\x80\n", b"a: b\r\x00"]
)
def test_invalid_utf8_in_yaml_is_refused_with_its_place(tmp_path: Path, content: bytes) -> None:
    outcome = bounded(judged(tmp_path, {"apps/bad.yml": configmap("a") + b"---\n" + content}))
    assert not outcome.permitted and "apps/bad.yml" in outcome.places()


def test_utf16_does_not_smuggle_an_object_past(tmp_path: Path) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n".encode("utf-16")
    outcome = bounded(judged(tmp_path, {"apps/s.yml": secret}))
    understood = any(change["subject"]["type"] == "Secret" for change in outcome.verdict["changes"])
    assert understood or "apps/s.yml" in outcome.places()


@pytest.mark.parametrize(
    "tag",
    [
        b"!!python/object/apply:os.system [touch /tmp/weft-was-here]",
        b"!!python/name:os.system",
        b"!unsafe x",
        b"!vault x",
    ],
)
def test_a_tag_runs_nothing(tmp_path: Path, tag: bytes) -> None:
    bounded(
        judged(
            tmp_path, {"apps/tag.yml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t}\ndata: " + tag + b"\n"}
        )
    )
    assert not Path("/tmp/weft-was-here").exists()


def test_thousands_of_objects_are_judged(tmp_path: Path) -> None:
    content = many(5_000, lambda number: configmap(f"c{number}"))
    outcome = bounded(judged(tmp_path, {"apps/many.yml": content}, memory=1024 * MIB))
    assert outcome.permitted and len(outcome.verdict["changes"]) == 5_000


def test_thousands_of_files_are_judged(tmp_path: Path) -> None:
    outcome = bounded(judged(tmp_path, {f"apps/f{number}.txt": b"%d" % number for number in range(3_000)}))
    assert outcome.permitted and len(outcome.verdict["changes"]) == 3_000


def test_a_number_of_a_million_digits_takes_no_ages(tmp_path: Path) -> None:
    bounded(judged(tmp_path, {"apps/n.yml": configmap("a") + b"n: " + b"9" * 1_000_000 + b"\n"}))


def test_one_line_of_a_megabyte_takes_no_ages(tmp_path: Path) -> None:
    for number, filler in enumerate((b"a" * MIB, b'"' * MIB, b"'" * MIB, b"&" * MIB, b": " * (MIB // 2), b"\t" * MIB)):
        (tmp_path / str(number)).mkdir()
        bounded(judged(tmp_path / str(number), {"apps/line.yml": b"k: " + filler + b"\n"}))


# --- people and history ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "login", ["\u043elga", "olg\u0430", "olga\u200b", "olga ", "\u24deolga", "o\u0142ga", "olga\n"]
)
def test_a_login_that_only_looks_like_another_is_not_that_person(tmp_path: Path, login: str) -> None:
    outcome = bounded(judged(tmp_path, {"other.txt": b"x"}, author=login))
    assert not outcome.permitted


def test_a_login_is_one_whatever_its_case(tmp_path: Path) -> None:
    """Forges take OLGA and olga for one account; a rule that prohibited by login must not be slipped by case."""
    assert bounded(judged(tmp_path, {"other.txt": b"x"}, author="OLGA")).permitted


def test_a_head_that_does_not_descend_from_the_base_is_judged_from_where_they_part(tmp_path: Path) -> None:
    """The base went on: its own changes are not the pull request's."""
    repository = Repository(tmp_path / "r.git")
    start = repository.commit(repository.tree(nested({**POLICY})))
    base = repository.commit(repository.tree(nested({**POLICY, "other.txt": b"x"})), start, who="olga")
    head = repository.commit(repository.tree(nested({**POLICY, "apps/a.yml": configmap("a")})), start)
    outcome = bounded(repository.judge(base, head))
    assert outcome.permitted and outcome.verdict["merge_base"] == start


def test_a_head_without_common_history_is_a_clear_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree(nested({**POLICY})))
    head = repository.commit(repository.tree(nested({"apps/a.yml": configmap("a")})))
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "error" in kinds(outcome)


@pytest.mark.parametrize("head", ["0" * 40, "f" * 40, "main", "--help", "HEAD~1", "", "f" * 39, "F" * 40 + "\n"])
def test_a_head_that_is_no_commit_is_a_clear_error(tmp_path: Path, head: str) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree(nested({**POLICY})))
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "error" in kinds(outcome)


def test_a_head_that_is_another_object_is_a_clear_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    tree = repository.tree(nested({**POLICY}))
    base = repository.commit(tree)
    for head in (tree, repository.put(b"blob", b"x")):
        outcome = bounded(repository.judge(base, head))
        assert not outcome.permitted and "error" in kinds(outcome)


def test_a_damaged_object_is_a_clear_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree(nested({**POLICY})))
    blob = repository.put(b"blob", configmap("a"))
    head = repository.commit(repository.tree(nested({**POLICY, "apps/a.yml": configmap("a")})), base)
    (repository.path / "objects" / blob[:2] / blob[2:]).write_bytes(b"broken")
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "error" in kinds(outcome)


def test_a_missing_object_is_a_clear_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree(nested({**POLICY})))
    blob = repository.put(b"blob", configmap("a"))
    head = repository.commit(repository.tree(nested({**POLICY, "apps/a.yml": configmap("a")})), base)
    (repository.path / "objects" / blob[:2] / blob[2:]).unlink()
    outcome = bounded(repository.judge(base, head))
    assert not outcome.permitted and "error" in kinds(outcome)


def test_a_history_of_thousands_of_commits_is_walked(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    tree = repository.tree(nested({**POLICY}))
    base = head = repository.commit(tree)
    for _number in range(3_000):
        head = repository.commit(tree, head)
    assert bounded(repository.judge(base, head)).verdict["changes"] == []


# --- the repository itself -------------------------------------------------------------------------------------------


def test_a_submodule_is_a_change_of_its_path_and_is_not_fetched(tmp_path: Path) -> None:
    modules = b'[submodule "x"]\n\tpath = apps/x\n\turl = ext::sh -c "touch /tmp/weft-was-here"\n'
    outcome = bounded(judged(tmp_path, {"apps/x": (MODULE, b"e" * 40), ".gitmodules": modules}))
    assert not Path("/tmp/weft-was-here").exists()
    assert not outcome.permitted and outcome.places() == [".gitmodules"]


def test_a_submodule_in_place_of_the_policy_is_no_policy(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree({b"policy": (MODULE, b"e" * 40), b"x": b"1"}))
    head = repository.commit(repository.tree({b"policy": (MODULE, b"e" * 40), b"x": b"2"}), base)
    assert not bounded(repository.judge(base, head)).permitted


def test_no_hook_filter_or_setting_of_the_repository_is_run(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    marker = tmp_path / "was-here"
    script = f"#!/bin/sh\ntouch {marker}\n"
    for name in ("pre-receive", "update", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        path = repository.path / "hooks" / name
        path.write_text(script)
        path.chmod(0o755)
    with (repository.path / "config").open("a") as config:
        config.write(
            f'[core]\n\tfsmonitor = "touch {marker}"\n\tpager = "touch {marker}"\n\tsshCommand = "touch {marker}"\n'
        )
        config.write(
            f'[diff "x"]\n\ttextconv = "touch {marker}; cat"\n[filter "x"]\n\tsmudge = "touch {marker}; cat"\n'
        )
        config.write(f'[gpg]\n\tprogram = "{repository.path}/hooks/update"\n[alias]\n\tcat-file = "!touch {marker}"\n')
    (repository.path / "info").mkdir(exist_ok=True)
    (repository.path / "info" / "attributes").write_text("* diff=x filter=x\n")
    attributes = b"* diff=x filter=x\n"
    base = repository.commit(repository.tree(nested({**POLICY, ".gitattributes": attributes})))
    files = {**POLICY, ".gitattributes": attributes, "apps/a.yml": configmap("a")}
    head = repository.commit(repository.tree(nested(files)), base)
    assert bounded(repository.judge(base, head)).permitted
    assert not marker.exists()


def test_replace_refs_and_grafts_do_not_change_what_is_judged(tmp_path: Path) -> None:
    """A ref below refs/replace/ would show another object in place of the head; it must not be looked through."""
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree(nested({**POLICY})))
    evil = repository.commit(repository.tree(nested({**POLICY, "other.txt": b"x"})), base)
    good = repository.commit(repository.tree(nested({**POLICY, "apps/a.yml": configmap("a")})), base)
    replace = repository.path / "refs" / "replace"
    replace.mkdir(parents=True)
    (replace / evil).write_text(good + "\n")
    assert not bounded(repository.judge(base, evil)).permitted


# --- the policy itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    ["*" * 200 + "x", "**/" * 100 + "x", "?*" * 100, "[" * 50, "{a,b}" * 40, "(a+)+$", "a" * 100_000],
)
def test_a_pattern_that_would_take_for_ever_does_not(tmp_path: Path, pattern: str) -> None:
    rule = f"rules:\n  - name: r\n    change: {{file: '{pattern}'}}\n    allow: developers\n".encode()
    start = time.monotonic()
    bounded(judged(tmp_path, {"apps/" + "a" * 200: b"x"}, base={"policy/rules/p.yml": rule}))
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"rules: 1",
        b"rules: [{}]",
        b"rules:\n  - {name: x}\n",
        b"\xff",
        b"rules: [",
        b"a: &a [*a]",
        b"- " * 5000,
    ],
)
def test_a_broken_policy_prohibits_everything(tmp_path: Path, content: bytes) -> None:
    outcome = bounded(judged(tmp_path, {"apps/a.yml": configmap("a")}, base={"policy/rules/z.yml": content}))
    # an empty file holds no rules, which is nothing wrong
    assert outcome.permitted is (content == b"")


def test_a_repository_without_a_policy_prohibits(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    base = repository.commit(repository.tree({b"x": b"1"}))
    head = repository.commit(repository.tree({b"x": b"2"}), base)
    assert not bounded(repository.judge(base, head)).permitted

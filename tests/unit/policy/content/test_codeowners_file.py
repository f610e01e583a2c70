# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""CODEOWNERS as GitHub's page "About code owners" describes it."""

from __future__ import annotations

import re
import textwrap
from typing import Any, cast

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._policy import _codeowners, _load
from ansible_collections.weft.platform.plugins.plugin_utils._policy._match import PathGlob
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.content.content_jobs import Files

# The situations of the page's example file, in our own words.
EXAMPLE = """\
# everybody's default
*       @first @second
*.js    @scripts #so a later line wins
*.go mail@example.com
*.txt @acme/writers
/build/logs/ @logs
docs/* page@example.com
apps/ @apps
/docs/ @docs
/scripts/ @one @two
**/logs @anylogs
/vendor/ @vendors
/vendor/free
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("README", ("@first", "@second")),
        ("deep/below/file", ("@first", "@second")),
        ("lib/a.js", ("@scripts",)),
        ("a.JS", ("@first", "@second")),
        ("cmd/main.go", ("mail@example.com",)),
        ("notes.txt", ("@acme/writers",)),
        ("build/logs/today/x", ("@anylogs",)),
        ("docs/page.md", ("@docs",)),
        ("x/apps/y/z", ("@apps",)),
        ("apps", ("@first", "@second")),
        ("scripts/run", ("@one", "@two")),
        ("deep/logs/x", ("@anylogs",)),
        ("vendor/x", ("@vendors",)),
        ("vendor/free/x", ()),
        ("vendor/free", ()),
        ("vendor/freed", ("@vendors",)),
    ],
)
def test_the_example(path: str, owners: tuple[str, ...]) -> None:
    assert _codeowners.parse(EXAMPLE).owners(path) == owners


def test_no_line_is_not_an_unowned_line() -> None:
    parsed = _codeowners.parse("/a/ @x\n/a/b\n")
    assert parsed.owners("c") is None
    assert parsed.owners("a/b") == ()


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", "a/b/c"], []),
        ("/*", ["a"], ["a/b"]),
        ("docs/*", ["docs/a.md"], ["docs/a/b.md", "x/docs/a.md", "docs"]),
        ("docs/**", ["docs/a.md", "docs/a/b.md"], ["docs", "x/docs/a.md"]),
        ("docs", ["docs", "docs/a", "x/docs", "x/docs/y/z"], ["docs2", "mydocs"]),
        ("docs/", ["docs/a", "x/docs/y"], ["docs", "x/docs"]),
        ("/docs", ["docs", "docs/a/b"], ["x/docs"]),
        ("a/b", ["a/b", "a/b/c"], ["x/a/b", "a/bc"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/x/b/z"], ["a/xb", "x/a/b"]),
        ("**/a/b", ["a/b", "x/a/b", "x/y/a/b/c"], ["xa/b"]),
        ("**", ["a", "a/b"], []),
        ("**/", ["a/b"], ["a"]),
        ("*.md", ["a.md", "x/a.md", "x.md/inside"], ["a.mdx", "md"]),
        ("/x/*/z", ["x/y/z", "x/y/z/deep"], ["x/z", "x/y/y/z"]),
        ("f?o", ["foo", "x/fao"], ["fo", "f/o"]),
        ("a*b*c", ["abc", "axxbyyc"], ["ab", "acb"]),
        ("with\\ space/x", ["with space/x"], ["with", "with\\ space/x"]),
        ("\\*", ["*"], ["a"]),
        ("pages/\\[id\\]/x", ["pages/[id]/x"], ["pages/i/x", "pages/\\[id\\]/x"]),
        ("a\\{b,c\\}", ["a{b,c}"], ["ab", "ac"]),
        ("{{cookiecutter.name}}/x", ["{{cookiecutter.name}}/x"], ["x"]),
        ("foo|{bar}.txt", ["foo|{bar}.txt"], ["foobar.txt"]),
        ("\\!a", ["!a"], ["a"]),
        ("a\\*\\*\\*", ["a***"], ["ab"]),
        ("/", [], ["a", "a/b"]),
        ("a(1)+@_-.x", ["a(1)+@_-.x"], ["a1+@_-.x"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    parsed = _codeowners.parse(f"{pattern} @x")
    assert parsed.problems == ()
    assert [path for path in matching if parsed.owners(path) is None] == []
    assert [path for path in others if parsed.owners(path) is not None] == []


@pytest.mark.parametrize(
    "line",
    [
        "!*.md @x",
        "*.[ch] @x",
        "pages/[id]/x @x",
        "pages/\\[id] @x",
        "a\\\\[b] @x",
        "\\#file @x",
        "a\\",
        "a*** @x",
        "a.md nobody",
        "a.md @x and @y",
        "a.md @",
        "a.md @org/team/more",
        "a.md @w\N{CYRILLIC SMALL LETTER A}ft",
        "a.md x@localhost",
    ],
)
def test_a_line_that_cannot_be_read_is_skipped_and_said(line: str) -> None:
    parsed = _codeowners.parse(f"* @before\n{line}\n")
    assert [one.line for one in parsed.lines] == [1]
    (problem,) = parsed.problems
    assert problem.origin.line == 2
    assert problem.message.endswith("the line is skipped")
    assert parsed.owners("a.md") == ("@before",)


def test_whom_a_rule_names_that_is_not_about_paths_does_not_matter() -> None:
    made = written("- {name: x, change: {file: a, field: b}, only: 'team:nobody'}\n", organisation="")
    assert made.notes == ("x: looks at more than paths",)


def test_braces_are_plain_and_alternatives_are_said_to_be_none() -> None:
    parsed = _codeowners.parse("* @before\n*.{js,ts} @x\n")
    assert (parsed.owners("a.js"), parsed.owners("a.{js,ts}")) == (("@before",), ("@x",))
    (problem,) = parsed.problems
    assert (problem.origin.line, "no alternatives" in problem.message) == (2, True)


def test_lines_with_comments_spaces_and_windows_ends() -> None:
    parsed = _codeowners.parse(b"\xef\xbb\xbf# c\r\n  a.md\t@x  @acme/y # why @z\r\nb.md # nobody\r\n\r\n")
    assert parsed.problems == ()
    assert parsed.owners("a.md") == ("@x", "@acme/y")
    assert parsed.owners("b.md") == ()
    assert [line.line for line in parsed.lines] == [2, 3]


def test_a_line_that_is_not_utf_8_is_skipped() -> None:
    parsed = _codeowners.parse(b"a\xff.md @x\nb.md @x\n")
    assert [line.pattern for line in parsed.lines] == ["b.md"]
    assert len(parsed.problems) == 1


def test_paths_are_told_apart_by_case() -> None:
    assert _codeowners.parse("/Docs/ @x").owners("docs/a") is None


def test_a_file_of_3_mb_is_not_used() -> None:
    line = b"# a comment that fills the file\n"
    full = line * (_codeowners.MAX_BYTES // len(line))
    _codeowners.parse(full[:-1])
    with pytest.raises(_codeowners.CodeOwnersError, match="under 3 MB"):
        _codeowners.parse(full + line)


def test_where_github_looks() -> None:
    assert _codeowners.find(Files({"docs/CODEOWNERS": "", "CODEOWNERS": ""})) == "CODEOWNERS"
    assert _codeowners.find(Files({"docs/CODEOWNERS": "", ".github/CODEOWNERS": ""})) == ".github/CODEOWNERS"
    assert _codeowners.find(Files({"CODEOWNERS": ("link", "x"), "docs/CODEOWNERS": ""})) == "docs/CODEOWNERS"
    assert _codeowners.find(Files({"src/CODEOWNERS": ""})) is None


@pytest.mark.parametrize(
    ("owner", "name"), [("@a", "user:a"), ("@o/t", "team:o/t"), ("me@example.com", "email:me@example.com")]
)
def test_owners_as_the_rules_name_people(owner: str, name: str) -> None:
    assert _codeowners.principal(owner) == name


# --- Writing ----------------------------------------------------------------------------------------------------

ROLES = """
roles:
  operators: {members: ["team:platform", "user:Ann"]}
  developers: {members: [role:operators, "team:acme/shop"]}
owners: operators
"""


#: What is said where a line means a file, for the format cannot tell a file from a folder of that name.
BELOW = "that a pattern of files does not mean what is below a folder of such a name"


def written(rules: str, organisation: str = "acme", roles: str = ROLES) -> _codeowners.Written:
    files = {
        "policy/roles.yml": roles,
        "policy/rules/a.yml": f"rules:\n{textwrap.indent(textwrap.dedent(rules), '  ')}",
    }
    return _codeowners.write(_load.load(cast(Any, Files(files))), organisation)


def body(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def test_rules_become_lines_that_mean_the_same() -> None:
    made = written("""
    - {name: all, change: {file: "**"}, allow: operators}
    - {name: apps, change: {file: "apps/**, docs/*.md"}, allow: developers}
    - {name: one, change: {file: apps/shop/values.yaml}, allow: "user:bob", approvals: {count: 1, from: operators}}
    """)
    assert made.notes == (BELOW,)
    assert body(made.text) == [
        ["*", "@acme/platform", "@Ann"],
        ["/apps/", "@acme/platform", "@Ann", "@acme/shop"],
        ["/docs/*.md", "@acme/platform", "@Ann", "@acme/shop"],
        ["/apps/shop/values.yaml", "@acme/platform", "@Ann"],
    ]
    parsed = _codeowners.parse(made.text)
    assert parsed.problems == ()
    assert parsed.owners("apps/shop/x") == ("@acme/platform", "@Ann", "@acme/shop")
    assert parsed.owners("README") == ("@acme/platform", "@Ann")


def test_what_cannot_be_said_is_noted_and_never_opens_anything() -> None:
    made = written(
        """
        - {name: fields, change: {file: "inventories/**", field: cluster_kubernetes_version}, allow: operators}
        - {name: classes, change: {file: "a[bc]/**"}, allow: operators}
        - {name: but, change: {file: "apps/**,!apps/[x]/**"}, allow: operators}
        - {name: mine, change: {file: "mine/**"}, allow: "team:local"}
        - {name: free, change: {file: "free/**"}, allow: anyone}
        - {name: stars, change: {file: "s***"}, allow: operators}
        - {name: typed, change: {type: variable, file: "t/**"}, allow: operators}
        """,
        organisation="",
    )
    assert body(made.text) == [["/free/"]]
    said = "\n".join(made.notes)
    for word in (
        "fields: looks at more",
        "typed: looks at more",
        "s*** is no pattern",
        "a[bc]/** is no pattern",
        "apps/[x]/** is no pattern",
        "team:local: is no owner",
    ):
        assert word in said
    assert all(f"# Not said here: {note}" in made.text.splitlines() for note in made.notes)


@pytest.mark.parametrize(
    ("rules", "path", "owners", "notes"),
    [
        # a single file comes last, whatever pattern is about it besides
        (
            """
            - {name: one, change: {file: README.md}, allow: "user:bob"}
            - {name: two, change: {file: "**/*.md"}, allow: operators}
            """,
            "README.md",
            {"@bob", "@acme/platform", "@Ann"},
            (BELOW,),
        ),
        (
            """
            - {name: one, change: {file: "apps/"}, allow: "user:bob"}
            - {name: two, change: {file: "/apps/*/x/**"}, allow: operators}
            """,
            "apps/a/x/y",
            {"@bob", "@acme/platform", "@Ann"},
            (),
        ),
        (
            """
            - {name: one, change: {file: "apps/**"}, allow: "user:bob"}
            - {name: two, change: {file: "**/*.md"}, allow: "user:eve"}
            """,
            "apps/x.md",
            {"@bob"},
            ("**/*.md and apps/**: that files of both are those of the owners of **/*.md too", BELOW),
        ),
        (
            """
            - {name: one, change: {file: "**"}, allow: anyone}
            - {name: two, change: {file: "apps/**"}, allow: "user:eve"}
            """,
            "apps/x.md",
            set(),  # anyone may
            (),
        ),
        # what tightens
        (
            """
            - {name: one, change: {file: "**"}, allow: operators}
            - {name: two, change: {file: "keys/**"}, only: ["user:Ann", "user:eve"]}
            """,
            "keys/x",
            {"@Ann", "@eve"},
            (),
        ),
        (
            """
            - {name: one, change: {file: "**/*.md"}, only: "user:Ann"}
            - {name: two, change: {file: "apps/**"}, allow: "user:eve"}
            """,
            "apps/x.md",
            {"@Ann"},
            ("apps/** and **/*.md: that files of both are those of the owners of apps/** too", BELOW),
        ),
        (
            """
            - {name: one, change: {file: "**/*.md"}, only: "user:Ann"}
            - {name: two, change: {file: "apps/**"}, only: ["user:Ann", "user:eve"]}
            """,
            "apps/x.md",
            {"@Ann"},
            (
                "apps/**: that files which are not **/*.md may have more owners",
                BELOW,
            ),
        ),
        (
            """
            - {name: one, change: {file: "apps/**"}, allow: developers}
            - {name: two, change: {file: "apps/pay/**"}, approvals: {count: 2, from: "user:Ann"}}
            """,
            "apps/pay/x",
            {"@Ann"},
            ("two: how many approvals are wanted, and of whom none",),
        ),
        (
            """
            - {name: one, change: {file: "apps/**,!apps/x/**"}, allow: "user:bob"}
            - {name: two, change: {file: "apps/x/**"}, allow: "user:eve"}
            """,
            "apps/x/y",
            {"@eve"},
            (),
        ),
        (
            """
            - {name: one, change: {file: "apps/**,!apps/x/**"}, allow: "user:bob"}
            """,
            "apps/x/y",
            set(),
            (),
        ),
        (
            """
            - {name: one, change: {file: "apps/**"}, allow: ["user:bob", "user:eve"]}
            - {name: two, change: {file: "apps/x/**"}, deny: {reason: nope, to: "user:bob"}}
            """,
            "apps/x/y",
            {"@eve"},
            ("two: who may not change it",),
        ),
        (
            """
            - {name: one, change: {file: "apps/**"}, allow: {all: ["user:bob", "team:shop"]}}
            """,
            "apps/x",
            set(),  # neither alone
            (
                "user:bob and team:shop: that all of them are wanted",
                "one: nobody whom it names is an owner",
            ),
        ),
        (
            """
            - {name: one, change: {file: "apps/**"}, allow: "user:bob"}
            - {name: two, change: {file: "apps/x/**"}, deny: never}
            """,
            "apps/x/y",
            set(),
            ("two: who may not change it", "apps/x/**: that there is nobody who may own it"),
        ),
    ],
)
def test_where_several_patterns_meet(rules: str, path: str, owners: set[str], notes: tuple[str, ...]) -> None:
    made = written(rules)
    assert set(_codeowners.parse(made.text).owners(path) or ()) == owners
    assert made.notes == notes


PATTERNS = ("**", "apps/**", "apps/a/", "apps/*", "*/a/**", "**/*.md", "**/*.yml", "/x.md", "apps/a/x.yml", "apps/b/**")
FOLDERS = ("", "apps/", "apps/a/", "apps/b/", "apps/a/b/", "docs/a/")


PEOPLE = ("user:a", "user:b", "user:c", "anyone", "role:ab", "role:bc")
MEANT = {"role:ab": {"@a", "@b"}, "role:bc": {"@b", "@c"}, "anyone": {"@a", "@b", "@c"}}
WHAT = ("allow", "allow", "allow", "only", "deny", "to", "approvals")
SOME_RULES = st.lists(
    st.tuples(
        st.sampled_from(WHAT),
        st.lists(st.tuples(st.booleans(), st.sampled_from(PATTERNS)), min_size=1, max_size=3),
        st.sampled_from(PEOPLE),
    ),
    min_size=1,
    max_size=5,
)


def meant(who: str) -> set[str]:
    return MEANT.get(who) or {f"@{who.removeprefix('user:')}"}


def who_may(rules: list[tuple[str, list[tuple[bool, str]], str]], path: str) -> tuple[set[str], set[str]]:
    """Who may change a path, and whose approval of that rules want, or else the same; slow, but plain to see."""
    about = []
    for what, patterns, who in rules:
        yes = [PathGlob(pattern) for out, pattern in patterns if not out]
        no = [PathGlob(pattern) for out, pattern in patterns if out]
        if (not yes or any(one.matches(path) for one in yes)) and not any(one.matches(path) for one in no):
            about.append((what, meant(who)))
    may: set[str] = set().union(*(who for what, who in about if what in ("allow", "only")))
    may = may.intersection(*(who for what, who in about if what == "only"))
    denied = set().union(*(MEANT["anyone"] if what == "deny" else who for what, who in about if what in ("deny", "to")))
    wanted = [who for what, who in about if what == "approvals"]
    return may - denied, (set().union(*wanted) if wanted else may) - denied


@settings(max_examples=300, deadline=None)
@given(SOME_RULES)
def test_what_is_written_owns_what_the_rules_say(rules: list[tuple[str, list[tuple[bool, str]], str]]) -> None:
    says = {
        "deny": "deny: nope",
        "to": "deny: {{reason: nope, to: '{}'}}",
        "approvals": "approvals: {{count: 1, from: '{}'}}",
    }
    text = [
        f"- {{name: {number}n, change: {{file: {[('!' if out else '') + pattern for out, pattern in patterns]}}}, "
        + says.get(what, what + ": '{}'").format(who)
        + "}"
        for number, (what, patterns, who) in enumerate(rules)
    ]
    made = written(
        "\n".join(text), roles="roles: {ab: {members: ['user:a', 'user:b']}, bc: {members: ['user:b', 'user:c']}}"
    )
    parsed = _codeowners.parse(made.text)
    assert not parsed.problems
    for path in (folder + name for folder in FOLDERS for name in ("x.md", "x.yml", "x")):
        may, said = who_may(rules, path)
        found = set(parsed.owners(path) or ())
        assert found <= said or (found <= may and made.notes)  # nobody owns what no rule gives them
        assert found == said or not found or made.notes


def test_notes_stay_few_where_many_patterns_cross() -> None:
    folders = "\n".join(f"- {{name: f{n}, change: {{file: 'a{n}/**'}}, only: 'user:u{n % 7}'}}" for n in range(40))
    kinds = "\n".join(f"- {{name: k{n}, change: {{file: '**/*.k{n}'}}, only: 'user:u{n % 5}'}}" for n in range(40))
    made = written(f"{folders}\n{kinds}")
    assert len(made.notes) <= 2 * 80 + 1
    assert max(map(len, made.notes)) < 200


SEGMENT = st.text(alphabet="ab*?", min_size=1, max_size=5)
NAME = st.text(alphabet="ab", min_size=1, max_size=5)


@settings(max_examples=400, deadline=None)
@given(st.lists(SEGMENT, min_size=1, max_size=5), st.lists(NAME, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_patterns_against_regular_expressions(
    pattern: list[str], path: list[str], anchored: bool, folder: bool
) -> None:
    text = ("/" if anchored else "") + "/".join(pattern) + ("/" if folder else "")
    parsed = _codeowners.parse(f"{text} @x")
    if "***" in text:
        assert parsed.problems
        return
    assert (parsed.owners("/".join(path)) is not None) is bool(re.fullmatch(as_regex(text), "/".join(path) + "/"))


def as_regex(pattern: str) -> str:
    """The pattern as a regular expression over "a/b/c/": slow, but plain to see."""
    inside = pattern.endswith("/")
    anchored = "/" in pattern.rstrip("/")
    parts = pattern.strip("/").split("/")
    out = "" if anchored or parts == ["**"] else "(?:[^/]+/)*"
    for index, part in enumerate(parts):
        last = index == len(parts) - 1 and not inside
        if part == "**":
            out += "(?:[^/]+/)+" if last else "(?:[^/]+/)*"
        else:
            out += part.replace("*", "[^/]*").replace("?", "[^/]") + "/" if part != "*" else "[^/]+/"
    if inside:
        # "**/" is every folder
        out += "(?:[^/]+/)+" if parts != ["**"] else "[^/]+/(?:[^/]+/)+"
    elif parts[-1] not in ("*", "**"):
        out += "(?:[^/]+/)*"
    return out


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=30))
def test_any_bytes_get_an_answer(content: bytes, path: str) -> None:
    parsed = _codeowners.parse(content)
    assert len(parsed.lines) + len(parsed.problems) <= content.count(b"\n") + 1
    parsed.owners(path)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    deep = "/".join(["**", "*a*a*a*a*b"] * 50)
    path = "/".join(["a" * 200] * 100)
    assert _codeowners.parse(f"{deep} @x").owners(path) is None

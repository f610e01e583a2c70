# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Write what follows from the roles' argument specs: defaults, READMEs, the JSON Schema and docs/variables.md.

    generate.py            write what is not current
    generate.py --check    only say what is not current; exit code 1 when something is not

The argument specs are the one place where a variable is declared; never edit the files written here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# SPDX-License-Identifier: Apache-2.0\n# Copyright: the weft.platform authors\n"
WRITTEN = "Written by hack/generate.py from {}; run `make generate` after a change there."
SPECS = "the roles' argument specs"
#: A template can stand wherever a value can.
TEMPLATE = {"type": "string", "pattern": r"\{\{|\{%"}
JSON_TYPES = {"str": "string", "path": "string", "int": "integer", "bool": "boolean", "list": "array", "dict": "object"}


def main(arguments: Sequence[str]) -> int:
    """Write or check all files; the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say what is not current")
    is_check = parser.parse_args(arguments).check
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'not current' if is_check else 'writing'}: {path.relative_to(ROOT)}")
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path], encoding="utf-8")
    if stale and is_check:
        print("run `make generate` and commit what it writes")
    return 1 if stale and is_check else 0


def files() -> dict[Path, str]:
    """Every file with the text that it should have."""
    # The collection is importable only under its name; the caller sees to the path (see Makefile).
    from ansible_collections.weft.platform.plugins.plugin_utils._inventory._options import roles

    out: dict[Path, str] = {}
    found = roles(ROOT / "roles")
    for role in found:
        folder = ROOT / "roles" / role.name
        out[folder / "defaults" / "main.yml"] = defaults(role)
        out[folder / "README.md"] = readme(role)
    out[ROOT / "docs" / "variables.md"] = variables(found)
    out[ROOT / "schemas" / "inventory.json"] = json.dumps(schema(found), indent=2, ensure_ascii=False) + "\n"
    return out


# --- defaults/main.yml ------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, as yamllint and ansible-lint want it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Templates and texts that want quotes: in double quotes, or folded where they are long."""
    style = None
    if "{{" in text or not text:
        style = ">" if len(text) > 90 else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """A value as block YAML."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def defaults(role: Any) -> str:
    """defaults/main.yml of a role."""
    source = f"roles/{role.name}/meta/argument_specs.yml"
    parts = [HEADER + f"# {WRITTEN.format(source)}\n---"]
    for option in role.options.values():
        text = plain(option.text[0]) if option.text else ""
        parts.append(wrap(text, "# ", 118) + "\n" + dump({option.name: option.default}).rstrip())
    return "\n\n".join(parts).replace("---\n\n", "---\n", 1) + "\n"


def wrap(text: str, prefix: str, width: int) -> str:
    """Lines of at most `width` characters, each with the prefix."""
    lines, line = [], ""
    for word in text.split():
        if line and len(prefix) + len(line) + 1 + len(word) > width:
            lines.append(prefix + line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, prefix + line])


# --- Markdown ---------------------------------------------------------------------------------------------------------

MARKUP = re.compile(r"\b[CVO]\(([^)]*)\)")


def plain(text: str) -> str:
    """Ansible's markup taken away."""
    return MARKUP.sub(lambda found: found[1], text)


def markdown(text: str) -> str:
    """Ansible's markup as Markdown."""
    return MARKUP.sub(lambda found: f"`{found[1]}`", text)


def kind(option: Any) -> str:
    """The type as people say it."""
    names = {"str": "text", "path": "path", "int": "number", "bool": "true or false", "dict": "mapping", "raw": "any"}
    if option.type == "list":
        inner = {"str": "texts", "dict": "mappings"}.get(option.elements, "values")
        return f"list of {inner}"
    return names[option.type]


def shown_default(option: Any) -> str:
    """The default on one line, "see below" where it is long."""
    if option.required:
        return "required"
    text = str(option.default or '""') if option.type in ("str", "path") else json.dumps(option.default)
    return f"`{text}`" if len(text) <= 60 else "see below"


def section(option: Any, level: int) -> str:
    """All about one variable."""
    rows = [f"{'#' * level} {option.name}", "", " ".join(markdown(text) for text in option.text), ""]
    choices = " Choices: " + ", ".join(f"`{choice}`" for choice in option.choices) + "." if option.choices else ""
    default = shown_default(option)
    rows += [f"Type: {kind(option)}. Default: {default}.{choices}", ""]
    if option.options:
        rows += ["| Key | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
        rows += [key_row(sub) for sub in option.options.values()]
        rows.append("")
    if option.example:
        rows += ["```yaml", option.example, "```", ""]
    if default == "see below":
        rows += ["Its default:", "", "```yaml", dump({option.name: option.default}).rstrip(), "```", ""]
    return "\n".join([*rows, f"On a live cluster: {markdown(option.live)}", ""])


def key_row(option: Any) -> str:
    """One key of a mapping as a row of a table."""
    choices = " One of " + ", ".join(f"`{choice}`" for choice in option.choices) + "." if option.choices else ""
    text = markdown(" ".join(option.text)) + choices
    return row(f"`{option.name}`", kind(option), shown_default(option), text)


def row(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def readme(role: Any) -> str:
    """README.md of a role."""
    source = f"roles/{role.name}/meta/argument_specs.yml"
    rows = [f"<!-- {WRITTEN.format(source)} -->", f"# weft.platform.{role.name}: {role.title.lower()}", ""]
    rows += ["\n\n".join(markdown(text) for text in role.text), "", "## Variables", ""]
    return "\n".join(rows + [section(option, 3) for option in role.options.values()]).rstrip() + "\n"


def variables(roles: Sequence[Any]) -> str:
    """docs/variables.md: first all on one page, then each in full."""
    number = sum(len(role.options) for role in roles)
    rows = [f"<!-- {WRITTEN.format(SPECS)} -->", "# Variables", ""]
    rows += [
        f"{number} variables describe a cluster. Each is declared in the role whose name it begins with. Set them in",
        "an inventory's `group_vars` and `host_vars`. `weft.platform.plan` reports every wrong value, with file and",
        "line.",
        "",
        "For completion in an editor, copy `schemas/inventory.json` out of the installed collection",
        "(`~/.ansible/collections/ansible_collections/weft/platform`) into your repository, and put this at the top of",
        "a file of variables, with the path as seen from that file. Copy it again when the collection changes.",
        "",
        "```yaml",
        "# yaml-language-server: $schema=../../../schemas/inventory.json",
        "```",
        "",
    ]
    for role in roles:
        rows += [f"## {role.title} (`{role.name}`)", "", "| Variable | Type | Default |", "| --- | --- | --- |"]
        for option in role.options.values():
            rows.append(row(f"[{option.name}](#{option.name})", kind(option), shown_default(option)))
        rows.append("")
    for role in roles:
        rows += [f"## {role.title} in full", "", "\n\n".join(markdown(text) for text in role.text), ""]
        rows += [section(option, 3) for option in role.options.values()]
    return "\n".join(rows).rstrip() + "\n"


# --- JSON Schema ------------------------------------------------------------------------------------------------------


def schema(roles: Sequence[Any]) -> dict[str, Any]:
    """JSON Schema (draft-07, which editors know best) of a file of variables, or of an inventory in YAML."""
    options = {name: option for role in roles for name, option in role.options.items()}
    prefixes = "|".join(role.name for role in roles)
    own = "|".join(sorted(options))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": WRITTEN.format(SPECS),
        "title": "Inventory of weft.platform",
        "description": "A file of variables (group_vars, host_vars), or an inventory with groups and hosts.",
        "type": ["object", "null"],
        "if": {"anyOf": [{"required": [group]} for group in ("all", "cluster", "control_plane", "workers")]},
        "then": {"additionalProperties": {"$ref": "#/definitions/group"}},
        "else": {"$ref": "#/definitions/variables"},
        "definitions": {
            "variables": {
                "type": ["object", "null"],
                "properties": {name: value_schema(option) for name, option in options.items()},
                # A name with a prefix of ours that is no variable of ours is a slip of the pen.
                "patternProperties": {f"^(?!(?:{own})$)(?:{prefixes})_": False},
            },
            "group": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {
                    "hosts": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/definitions/variables"}},
                    "children": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/definitions/group"}},
                    "vars": {"$ref": "#/definitions/variables"},
                },
            },
        },
    }


def value_schema(option: Any) -> dict[str, Any]:
    """Schema of one value: what the type allows, or a template."""
    out: dict[str, Any] = {"description": "\n\n".join(plain(text) for text in option.text)}
    if option.live:
        out["description"] += f"\n\nOn a live cluster: {plain(option.live)}"
        out["markdownDescription"] = f"{' '.join(markdown(text) for text in option.text)}\n\n" + (
            f"```yaml\n{option.example}\n```\n\n" if option.example else ""
        )
        out["markdownDescription"] += f"On a live cluster: {markdown(option.live)}"
    if option.default is not None and "{{" not in str(option.default):
        out["default"] = option.default
    shape = type_schema(option)
    if option.type in ("str", "path") and not option.choices:
        return {**out, **shape}  # a template is text as well
    return {**out, "anyOf": [shape, TEMPLATE]} if shape else out


def type_schema(option: Any) -> dict[str, Any]:
    """Schema of what the type alone allows; {} is anything."""
    if option.choices and option.type != "list":
        return {"enum": list(option.choices)}
    if option.type == "raw":
        return {}
    out: dict[str, Any] = {"type": JSON_TYPES[option.type]}
    if option.type == "dict" and option.options:
        out.update(keys_schema(option.options))
    elif option.type == "list" and option.elements:
        items: dict[str, Any] = {"type": JSON_TYPES[option.elements]}
        if option.choices:
            items = {"enum": list(option.choices)}
        if option.options:
            items.update(keys_schema(option.options))
        out["items"] = {"anyOf": [items, TEMPLATE]} if option.elements != "str" or option.choices else items
    return out


def keys_schema(options: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of a mapping's keys."""
    out: dict[str, Any] = {
        "properties": {key: value_schema(sub) for key, sub in options.items()},
        "additionalProperties": False,
    }
    required = [key for key, sub in options.items() if sub.required]
    return {**out, "required": required} if required else out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

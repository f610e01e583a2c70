# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the doors `inventory` and `plan` do: Ansible's variables in, checked, joined and reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.weft.platform.plugins.module_utils._change import Change, Origin
from ansible_collections.weft.platform.plugins.plugin_utils import _inventory, _report
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._recipes import load_versions
from ansible_collections.weft.platform.plugins.plugin_utils._cluster._origins import sources
from ansible_collections.weft.platform.plugins.plugin_utils._settings import Templar, plain, with_defaults

Variables = Mapping[str, Any]
Result = dict[str, Any]
Problem = dict[str, Any]

#: Name under which playbooks register what weft.platform.node observed, and those of what is observed beside it.
OBSERVED, BESIDE = "weft_observed", ("weft_api", "weft_credentials", "weft_objects", "weft_kubeconfig")
#: Name under which they register the stages of the run.
STAGES = "weft_stages"
#: What Ansible and the join of problems add to the registered stages; the rest is passed on.
NO_STAGES = frozenset({"changed", "failed", "problems", "warnings", "deprecations", "invocation", "msg", "exception"})
FILES = ("json", "dot", "svg")

#: What Ansible says when it got no further than the door; these stop a run, a machine that is down does not.
_REFUSED = (
    (
        re.compile(r"host key verification failed|identification has changed|host key .*(mismatch|changed)", re.I),
        "its SSH host key is not the known one",
        "If the machine was reinstalled, take the old key away with `ssh-keygen -R` and check the new one. "
        "If not, somebody may stand between.",
    ),
    (
        re.compile(r"permission denied|authentication fail|too many authentication", re.I),
        "it does not let the user in over SSH",
        "Check ansible_user and its key or password on the machine.",
    ),
)
_BECOME = re.compile(r"sudo|become|privilege escalation", re.I)


def read_inventory(variables: Variables, templar: Templar) -> _inventory.Inventory:
    """The inventory as Ansible has it, for all machines of the cluster.

    Args:
        variables: of any host; hostvars, groups and ansible_inventory_sources are read.
        templar: Ansible's.
    """
    hosts = variables["hostvars"]
    raw: dict[str, Mapping[str, Any]] = {}

    def variables_of(name: str) -> Mapping[str, Any]:
        if name not in raw:
            raw[name] = hosts.raw_get(name)
        return raw[name]

    def resolver(name: str) -> Callable[[str], Any]:
        whole = with_defaults({**variables_of(name), "hostvars": hosts})
        template = templar.copy_with_new_env(available_variables=whole).template
        return lambda variable: template(whole[variable])

    groups = {str(group): [str(name) for name in names] for group, names in variables["groups"].items()}
    sources = [str(source) for source in variables.get("ansible_inventory_sources") or []]
    return _inventory.build(groups, variables_of, resolver, sources)


def known_versions() -> list[str]:
    """Every patch of Kubernetes that there are artifacts for, "v1.37.2", newest first."""
    return load_versions().known().split(", ")


def inventory(variables: Variables, templar: Templar) -> Result:
    """What the door `inventory` returns: every problem of the inventory; it fails where one is an error.

    Args:
        variables: of any host.
        templar: Ansible's.
    """
    found = _inventory.check(read_inventory(variables, templar), _inventory.options(), known_versions())
    told = [problem.to_json() for problem in found]
    if _inventory.has_errors(found):
        text = _report.problems(told, "The inventory") + "\n\nNothing was changed."
        return {"failed": True, "msg": text, "problems": told}
    return {"changed": False, "problems": told, "warnings": [_report.sentence(problem) for problem in told]}


@dataclass
class Plan:
    """What was observed, joined.

    machines     by inventory name: role and state ("observed", "unreachable", "failed")
    changes      of all machines and of the cluster
    problems     as JSON objects; news are the warnings that the check of the inventory has not shown before
    stages       who does what in the run
    counts       Changes by machine and stage
    """

    cluster: str
    machines: dict[str, dict[str, str]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    news: list[Problem] = field(default_factory=list)
    stages: Mapping[str, Any] = field(default_factory=dict)
    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def unreachable(self) -> list[str]:
        """Machines that did not answer."""
        return [name for name, machine in self.machines.items() if machine["state"] == "unreachable"]

    @property
    def has_errors(self) -> bool:
        """Whether nothing may be changed."""
        return any(problem.get("severity", "error") == "error" for problem in self.problems)

    def steps(self) -> list[_report.Step]:
        """The steps of the run that would make the Changes."""
        planes = [name for name, machine in self.machines.items() if machine["role"] == "control_plane"]
        # A Node that comes or goes as a whole does so with its machine.
        objects = sum(1 for one in self.changes if not one.subject.scope and (one.field or one.subject.type != "Node"))
        return _report.steps(self.stages, planes, self.counts, objects)

    def document(self) -> dict[str, Any]:
        """The plan for programs."""
        return _report.document(self.cluster, self.machines, self.changes, self.problems, self.steps())


def plan(variables: Variables, templar: Templar, arguments: Mapping[str, Any], is_diff: bool) -> Result:
    """What the door `plan` returns; it fails where a problem is an error, after the files were written.

    Args:
        variables: of any host.
        templar: Ansible's.
        arguments: of the task: output.
        is_diff: whether to show what changes in texts of several lines.
    """
    stages: Mapping[str, Any] = plain(variables.get(STAGES) or {})
    found = join(read_inventory(variables, templar), observed(variables), stages, known_versions())
    files = write(found, str(arguments.get("output") or ""))
    title = {name: machine["role"].replace("_", " ") for name, machine in found.machines.items()}
    sentences = _report.sentences(_report.summarise(found.changes), found.unreachable)
    table = _report.table(found.changes, title, is_diff)
    result: Result = {
        **{key: value for key, value in stages.items() if key not in NO_STAGES},
        "changed": False,
        "changes": [change.to_json() for change in found.changes],
        "problems": found.problems,
        "hosts_with_changes": _report.summarise(found.changes).machines,
        "unreachable_hosts": found.unreachable,
        "summary": sentences,
        "files": files,
        "report": "\n\n".join(filter(None, [table, "\n".join(sentences)])),
    }
    if not found.has_errors:
        return {**result, "warnings": [_report.sentence(problem) for problem in found.news]}
    text = _report.problems(found.problems, "The plan") + "\n\nNothing was changed."
    return {**result, "failed": True, "msg": text}


def observed(variables: Variables) -> dict[str, Mapping[str, Any]]:
    """By machine, what the tasks returned: weft.platform.node's result under "node", the others' in "beside"."""
    hosts, groups = variables["hostvars"], variables["groups"]
    out: dict[str, Mapping[str, Any]] = {}
    for name in dict.fromkeys(name for group in ("control_plane", "workers") for name in groups.get(group, [])):
        theirs = hosts[name]
        out[name] = {
            "node": plain(theirs.get(OBSERVED) or {}),
            "beside": [plain(theirs.get(one) or {}) for one in BESIDE],
        }
    return out


def join(
    inventory_: _inventory.Inventory,
    results: Mapping[str, Mapping[str, Any]],
    stages: Mapping[str, Any],
    versions: Sequence[str] = (),
) -> Plan:
    """Lay what all machines said side by side.

    Args:
        inventory_: the inventory.
        results: see `observed`.
        stages: who does what in the run.
        versions: supported patches of Kubernetes.
    """
    first = next(iter(inventory_.hosts.values()), None)
    out = Plan(str(first.settings.get("cluster_name", "")) if first else "", stages=stages)
    seen: list[_inventory.Machine] = []
    for name, host in inventory_.hosts.items():
        result = results.get(name, {}).get("node", {})
        out.machines[name] = {"role": "control_plane" if host.is_control_plane else "worker", "state": _state(result)}
        out.problems += _machine_problems(name, result)
        changes = [Change.from_json(change) for change in result.get("changes") or []]
        out.changes += changes
        out.counts[name] = dict(result.get("stages") or {})
        opens = any(change.subject.type == "firewall" for change in changes)
        seen.append(_inventory.Machine(host, result.get("facts") or {}, opens))
    for name, theirs in results.items():
        for result in theirs.get("beside", []):
            out.changes += [Change.from_json(change) for change in result.get("changes") or []]
            out.problems += _beside_problems(name, result)
    out.changes = [with_origin(inventory_, change) for change in out.changes]
    for problem in stages.get("problems") or []:
        # `check` is the name that node_preflight.ignore takes; these cannot be ignored.
        out.problems.append({"severity": "error", **plain(problem)})
        out.problems[-1].pop("check", None)
    out.problems += [problem.to_json() for problem in _inventory.check_facts(inventory_, seen)]
    out.news = [problem for problem in out.problems if problem.get("severity") == "warning"]
    checked = _inventory.check(inventory_, _inventory.options(), versions)
    out.problems += [problem.to_json() for problem in checked]
    out.problems.sort(key=lambda problem: problem.get("severity", "error") != "error")
    return out


def with_origin(inventory_: _inventory.Inventory, change: Change) -> Change:
    """The Change with the place where its wanted value was written, when the inventory has one and only one.

    Args:
        inventory_: the inventory.
        change: of one of its machines, or of the cluster, whose variables are those of every machine.
    """
    host = _host_of(inventory_, change)
    if host is None:
        return change
    places = []
    for variable, path in sources(change):
        exact = _path_in(host.given.get(variable), path)
        if exact is not None:
            places.append(inventory_.locate(host.name, variable, exact))
    places = [place for place in places if place.file]
    return replace(change, origin=Origin(places[0].file, places[0].line)) if len(places) == 1 else change


def _host_of(inventory_: _inventory.Inventory, change: Change) -> _inventory.Host | None:
    """The machine whose variables say what a Change wants."""
    hosts = inventory_.hosts
    if change.subject.type == "Node":
        return next((host for host in hosts.values() if host.settings.get("node_name") == change.subject.name), None)
    return hosts.get(change.subject.scope) if change.subject.scope else next(iter(inventory_.control_planes), None)


def _path_in(value: Any, path: Sequence[Any]) -> tuple[Any, ...] | None:
    """A path of keys and elements as one of keys and indices, or None where the value has no such part."""
    out: tuple[Any, ...] = ()
    for step in path:
        if isinstance(value, Mapping) and step in value:
            out, value = (*out, step), value[step]
        elif isinstance(value, list) and step in value:
            out, value = (*out, value.index(step)), None
        else:
            return None
    return out


def write(found: Plan, output: str) -> list[str]:
    """Write the plan's files; the paths written.

    Args:
        found: the plan.
        output: a folder for plan.json, plan.dot and plan.svg, or one file with one of these endings; "" for none.

    Raises:
        OSError: a file cannot be written.
    """
    if not output:
        return []
    path = Path(output).expanduser()
    steps = found.steps()
    texts = {
        "json": lambda: _report.text(found.document()),
        "dot": lambda: _report.dot(steps),
        "svg": lambda: _report.svg(steps, f"Plan of {found.cluster}"),
    }
    single = path.suffix.removeprefix(".")
    wanted = {single: path} if single in FILES else {kind: path / f"plan.{kind}" for kind in FILES}
    for kind, file in wanted.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[kind](), encoding="utf-8")
    return [str(file) for file in wanted.values()]


def _state(result: Mapping[str, Any]) -> str:
    if result.get("unreachable"):
        return "unreachable"
    return "failed" if result.get("failed") or not result else "observed"


def _machine_problems(name: str, result: Mapping[str, Any]) -> Iterable[Problem]:
    said = str(result.get("msg") or result.get("module_stderr") or "").strip()
    if result.get("unreachable"):
        yield _unreachable(name, said)
    elif result.get("failed"):
        remedy = ""
        if _BECOME.search(said) and "password" in said.lower():
            remedy = "Give the password of sudo with --ask-become-pass, or set ansible_become_password."
        yield _problem("error", name, f"{name} could not be observed: {_short(said)}", remedy)
    for one in result.get("problems") or []:
        severity = str(one.get("severity", "error"))
        problem = _problem(severity, name, f"{name}: {one['message']}", str(one.get("remedy", "")))
        yield {**problem, "check": str(one.get("check", ""))}


def _unreachable(name: str, said: str) -> Problem:
    for pattern, what, remedy in _REFUSED:
        if pattern.search(said):
            return _problem("error", name, f"{name}: {what}", remedy)
    remedy = "It is left out; the others go on. Run again when it is back, or take it out of the inventory."
    return _problem("warning", name, f"{name} cannot be reached: {_short(said)}", remedy)


def _beside_problems(name: str, result: Mapping[str, Any]) -> Iterable[Problem]:
    if result.get("failed"):
        said = _short(str(result.get("msg") or "no reason given"))
        yield _problem(
            "error", name, f"the cluster could not be observed through {name}: {said}", "See that its API answers."
        )


def _problem(severity: str, name: str, message: str, remedy: str) -> Problem:
    out = {"severity": severity, "message": message, "remedy": remedy, "subject": name}
    return {key: value for key, value in out.items() if value}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."

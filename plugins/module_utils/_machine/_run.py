# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""One call for one machine: check, observe, tell; or make the Changes."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence, Set, Type

from ansible_collections.weft.platform.plugins.module_utils._change import Change
from ansible_collections.weft.platform.plugins.module_utils._machine import _firewall
from ansible_collections.weft.platform.plugins.module_utils._machine._binary import digests
from ansible_collections.weft.platform.plugins.module_utils._machine._facts import facts
from ansible_collections.weft.platform.plugins.module_utils._machine._host import Host, MachineResource
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import Ledger
from ansible_collections.weft.platform.plugins.module_utils._machine._lock import alone
from ansible_collections.weft.platform.plugins.module_utils._machine._undo import finish, given_back, undo_specs
from ansible_collections.weft.platform.plugins.module_utils._machine._units import reload_if_owed
from ansible_collections.weft.platform.plugins.module_utils._resource import (
    Outcome,
    Resource,
    ResourceError,
    build,
    reconcile,
)

Types = Mapping[str, Type[Resource]]
Result = Dict[str, Any]


def run(types: Types, params: Mapping[str, Any], check: bool, more_facts: Callable[[], Mapping[str, Any]]) -> Result:
    """All that the module does.

    Args:
        types: kinds of resources by name.
        params: the module's parameters: name, state, resources, preflight, ledger.
        check: change nothing.
        more_facts: facts of Kubernetes on the machine.

    Returns:
        changed, changes, stages (how many Changes belong to each stage that the specs name), facts, problems; when it
        failed also failed and msg.
    """
    host = MachineResource.host
    result: Result = {"changed": False, "changes": [], "stages": {}, "facts": {}, "problems": []}
    work = _absent if params["state"] == "absent" else _present
    try:
        with alone(host, check):
            outcome = work(host, types, params, check, result)
    except ResourceError as error:
        outcome = Outcome(failed=str(error))
    finally:
        host.close()
    result["changes"] = [change.to_json() for change in outcome.changes]
    result["changed"] = bool(outcome.changes)
    result["stages"] = outcome.stages
    try:
        if not check and params["state"] == "present":
            digests(host).save()
        if params["facts"]:
            result["facts"] = {**result["facts"], **facts(host), "kubernetes": dict(more_facts())}
    except (ResourceError, OSError) as error:
        outcome.failed = "; ".join(filter(None, [outcome.failed, str(error)]))
    if outcome.failed:
        result.update(failed=True, msg=f"{params['name']}: {outcome.failed}")
    result["problems"] += host.notes
    # The parameters hold secrets, and Ansible would repeat them.
    result["invocation"] = {"module_args": {"name": params["name"], "state": params["state"]}}
    return result


def _present(host: Host, types: Types, params: Mapping[str, Any], check: bool, result: Result) -> Outcome:
    """Check and reconcile."""
    _firewall.announce(host)
    ledger = Ledger(host)
    specs, unwanted = given_back(ledger, types, params["resources"])
    wanted = params.get("preflight") or {}
    if wanted:
        from ansible_collections.weft.platform.plugins.module_utils._machine import _preflight

        _preflight.announce(host)
        resources = build(types, specs, params["name"])
        result["problems"] = _preflight.preflight(host, wanted)
        result["facts"] = {"reach": _preflight.reach(wanted.get("peers") or [])}
        errors = [one["message"] for one in result["problems"] if one["severity"] == "error"]
        if errors and not check:
            return Outcome(failed="nothing was changed: " + "; ".join(errors))
    else:
        resources = build(types, specs, params["name"])
    if check or not params["ledger"]:
        return reconcile(resources, check)

    def done(resource: Resource) -> None:
        key = (resource.subject.type, resource.subject.name)
        if key in unwanted:
            ledger.give_back([key])

    return reconcile(resources, check, recorder(host, ledger, resources), done)


def recorder(host: Host, ledger: Ledger, resources: Sequence[Resource]) -> Callable[[Sequence[Change]], None]:
    """What writes the Changes of a resource, and of those that are made in one go with it, to the ledger."""
    by_subject = {resource.subject: resource for resource in resources}

    def record(changes: Sequence[Change]) -> None:
        if not ledger.exists:
            from ansible_collections.weft.platform.plugins.module_utils._machine._leftovers import baseline

            ledger.append([{"baseline": baseline(host)}])
        first = by_subject[changes[0].subject]
        together: List[Resource] = list(first.together()) if isinstance(first, MachineResource) else [first]
        for resource in together:
            ledger.record(resource, changes if resource is first else resource.changes(resource.observe()))

    return record


def _absent(host: Host, types: Types, params: Mapping[str, Any], check: bool, result: Result) -> Outcome:
    """Take everything back; the ledger goes when there is nothing more to take back."""
    ledger = Ledger(host)
    specs = undo_specs(ledger, types, params["resources"])
    outcome = reconcile(build(types, specs, params["name"]), check)
    if not check and not outcome.failed:
        host.reload_owed = host.reload_owed or bool(outcome.changes)
        reload_if_owed(host)
        finish(host, ledger)
    return outcome


def secrets(params: Mapping[str, Any]) -> Set[str]:
    """Texts in the parameters that no output may hold: contents of secret files, credentials."""
    out: Set[str] = set()
    for spec in params["resources"]:
        if spec.get("secret"):
            out |= _texts(spec.get("content"))
        out |= _texts(spec.get("credentials"))
        if "@" in str(spec.get("proxy", "")):
            out |= _texts(spec["proxy"])
    return out


def _texts(value: Any) -> Set[str]:
    if isinstance(value, Mapping):
        return {text for inner in value.values() for text in _texts(inner)}
    if isinstance(value, (list, tuple)):
        return {text for inner in value for text in _texts(inner)}
    # Short texts are no secrets, and hiding them would garble everything else.
    return {value} if isinstance(value, str) and len(value) >= 16 else set()

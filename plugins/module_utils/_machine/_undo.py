# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The way back: specs that make a machine what its ledger says it was.

Taking back is applying another list, so it is planned, shown, confirmed and resumed like any other.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Type

from ansible_collections.weft.platform.plugins.module_utils._machine._files import File, clear
from ansible_collections.weft.platform.plugins.module_utils._machine._host import STATE_DIR, Host, MachineResource
from ansible_collections.weft.platform.plugins.module_utils._machine._ledger import Key, Ledger
from ansible_collections.weft.platform.plugins.module_utils._machine._leftovers import cleared
from ansible_collections.weft.platform.plugins.module_utils._machine._lock import LOCK
from ansible_collections.weft.platform.plugins.module_utils._resource import Resource, Spec

#: Type of a spec that stands for what is not wanted any more.
UNWANTED = "unwanted"


def undo_specs(ledger: Ledger, types: Mapping[str, Type[Resource]], given: Sequence[Spec] = ()) -> List[Spec]:
    """Specs that take everything back, newest first.

    Args:
        types: kinds by name; one that has no `undo` leaves nothing that the others do not take away.
        given: what comes before all others; a spec of type network adds its addresses to those that are taken away,
            except what the machine had before.
    """
    own = ledger.baseline.get("addresses", [])
    asked = [one for spec in given if spec["type"] == "network" for one in spec.get("addresses", [])]
    addresses = [one for one in asked if one not in own]
    out: List[Spec] = [spec for spec in given if spec["type"] != "network"]
    for entry in ledger.newest_first():
        kind = types.get(entry.key[0])
        if kind is None or not issubclass(kind, MachineResource):
            continue
        for spec in kind.undo(entry.key[1], entry.before, entry.kept):
            extra: Dict[str, Any] = {"secret": True} if entry.secret else {}
            if spec["type"] == "network":
                extra.update(addresses=addresses, tables=list(ledger.baseline.get("tables", [])))
            out.append({**spec, **extra})
    before = cleared(ledger.baseline)
    # A folder of the baseline gets its content's end from there, and its mode as well.
    folders = {spec["path"] for spec in before if spec["type"] == "directory"}
    out = [spec for spec in out if spec["type"] != "directory" or spec["path"] not in folders]
    named = {_place(spec) for spec in out}
    return _oldest(out) + [spec for spec in before if _place(spec) not in named]


def given_back(
    ledger: Ledger, types: Mapping[str, Type[Resource]], specs: Sequence[Spec]
) -> Tuple[List[Spec], List[Key]]:
    """Put the way back in the place of specs of type UNWANTED, for what is not wanted any more.

    Such a spec's `name` is a folder: files below it that the ledger knows, and that no other spec names, become what
    they were before this collection wrote them, which mostly is not there.  Or its `kind` is a type of specs, of which
    likewise everything goes back.  Its `stage` and `secret` are passed on.

    Args:
        types: kinds by name.
        specs: what is wanted.

    Returns:
        The specs, and the ledger's keys of what goes back.
    """
    wanted = {(str(spec["type"]), _name(spec)) for spec in specs if spec.get("type") != UNWANTED}
    out: List[Spec] = []
    keys: List[Key] = []
    for spec in specs:
        if spec.get("type") != UNWANTED:
            out.append(spec)
            continue
        given: Dict[str, Any] = {key: spec[key] for key in ("stage", "secret") if key in spec}
        for entry in ledger.newest_first():
            extra = dict(given)
            if not wanted.isdisjoint((entry.key, (entry.key[0], ""))) or not _is_meant(spec, entry.key):
                continue
            kind = types[entry.key[0]]
            assert issubclass(kind, MachineResource)  # only what this domain does has a ledger
            if entry.secret:
                extra["secret"] = True
            if kind is File:
                extra["parents"] = [folder for folder in ledger.parents() if entry.key[1].startswith(f"{folder}/")]
            out += [{**one, **extra} for one in kind.undo(entry.key[1], entry.before, entry.kept)]
            keys.append(entry.key)
    return out, keys


def _name(spec: Spec) -> str:
    """What tells specs of a type apart; "" for those of which there is one a machine."""
    return str(spec.get("path") or spec.get("name") or "")


def _is_meant(spec: Spec, key: Key) -> bool:
    kind, name = key
    return kind == spec["kind"] if "kind" in spec else kind == File.type and name.startswith(f"{spec['name']}/")


def _place(spec: Spec) -> str:
    """A path, or the type and name of what has none."""
    return str(spec.get("path") or f"{spec['type']}:{spec.get('name')}")


def _oldest(specs: Sequence[Spec]) -> List[Spec]:
    """Of several kinds of things that were at one path, one after the other, only what was there first comes back."""
    last = {spec["path"]: index for index, spec in enumerate(specs) if "path" in spec}
    return [spec for index, spec in enumerate(specs) if last.get(spec.get("path"), index) == index]


def finish(host: Host, ledger: Ledger) -> None:
    """Take away what was only on the way to something, and last the ledger itself.

    Raises:
        OSError: it could not be removed.
    """
    for folder in ledger.parents():
        if os.path.isdir(host.at(folder)) and not host.listdir(folder):
            os.rmdir(host.at(folder))
    if host.exists(STATE_DIR):
        clear(host, STATE_DIR, itself=True)
    host.unlink(LOCK)

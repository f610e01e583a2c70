# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A person's kubeconfig: what differs is told, and nobody else's entries are lost."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _x509
from ansible_collections.weft.platform.plugins.plugin_utils._kube import KubeError, _kubeconfig

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIICLDCCAdOgAwIBAgIUKR5hPgtYcFpjhVjMNUA1ovrCY4AwCgYIKoZIzj0EAwIw
SzEfMB0GA1UECgwWd2VmdDpjbHVzdGVyLW9wZXJhdG9yczEVMBMGA1UECgwMd2Vm
dDpyZWFkZXJzMREwDwYDVQQDDAh3ZWZ0OmFkYTAeFw0yNjExMjMwOTM5NDBaFw0z
NjExMjAwOTM5NDBaMEsxHzAdBgNVBAoMFndlZnQ6Y2x1c3Rlci1vcGVyYXRvcnMx
FTATBgNVBAoMDHdlZnQ6cmVhZGVyczERMA8GA1UEAwwId2VmdDphZGEwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQRI+N5wAB3IKkB7CRt4KkjmJ+9348ek2K0D8Yk
vhRpIbkWsEO7d3IMO4RAoEZQch6FgcPhV7Dr8jtVpxZnCQI1o4GUMIGRMB0GA1Ud
DgQWBBTuoMCxsWPDX22VgdVENMXYyAOiEzAfBgNVHSMEGDAWgBTuoMCxsWPDX22V
gdVENMXYyAOiEzAPBgNVHRMBAf8EBTADAQH/MD4GA1UdEQQ3MDWCCmt1YmVybmV0
ZXOCD2FwaS5leGFtcGxlLm9yZ4cEwAACCocQIAENuAAAAAAAAAAAAAAAEDAKBggq
hkjOPQQDAgNHADBEAiA5PG0IRBB6Bcpm9w6tzbwkd53u+Eb/1OogPdOyKWz0pAIg
e62N/PO92Q0LP6wmDi5QA8/+1+hjcU8Aj5EMmbnJGMo=
-----END CERTIFICATE-----
"""
READ = _x509.read(CERTIFICATE)
NOW = READ.not_after - timedelta(days=200)
DATA = base64.b64encode(CERTIFICATE.encode()).decode()
NEW = yaml.safe_dump(
    {
        "clusters": [
            {"name": "kubernetes", "cluster": {"server": "https://192.0.2.10:6443", "certificate-authority-data": DATA}}
        ],
        "users": [{"name": "weft:ada", "user": {"client-certificate-data": DATA, "client-key-data": "a2V5"}}],
        "contexts": [],
    }
)
OTHER = {
    "clusters": [{"name": "old", "cluster": {"server": "https://old"}}],
    "users": [{"name": "me", "user": {"token": "x"}}],
    "contexts": [{"name": "old", "context": {"cluster": "old", "user": "me"}}],
    "current-context": "old",
}


def wanted(path: Path, **other: Any) -> _kubeconfig.Wanted:
    return _kubeconfig.Wanted(str(path), "prod", "192.0.2.10:6443", "weft:ada", READ.public_key, **other)


def test_a_missing_file_is_added_and_then_equal(tmp_path: Path) -> None:
    want = wanted(tmp_path / "new" / "config")
    (change,) = _kubeconfig.changes(want, NOW)
    assert change.action == "added" and change.field == ()
    _kubeconfig.apply(want, NEW)
    assert _kubeconfig.changes(want, NOW) == []
    assert want.file.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(want.file.read_text())["current-context"] == "prod"


def test_the_plan_is_the_same_before_and_after_the_cluster_exists(tmp_path: Path) -> None:
    before = _kubeconfig.Wanted(str(tmp_path / "c"), "prod", "192.0.2.10:6443", "weft:ada")
    assert _kubeconfig.changes(before, NOW) == _kubeconfig.changes(wanted(tmp_path / "c"), NOW)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "192.0.2.99:6443"}, ("server",)),
        ({"ca_hash": "sha256:00"}, ("authority",)),
        ({"now": READ.not_after - timedelta(days=5)}, ("certificate",)),
    ],
)
def test_what_differs_is_told(tmp_path: Path, change: dict[str, Any], field: tuple[str, ...]) -> None:
    want = wanted(tmp_path / "c")
    _kubeconfig.apply(want, NEW)
    now: datetime = change.pop("now", NOW)
    other = _kubeconfig.Wanted(**{**want.__dict__, **change})
    assert [one.field for one in _kubeconfig.changes(other, now)] == [field]


def test_a_file_that_others_may_read_is_a_change(tmp_path: Path) -> None:
    want = wanted(tmp_path / "c")
    _kubeconfig.apply(want, NEW)
    want.file.chmod(0o644)
    (change,) = _kubeconfig.changes(want, NOW)
    assert (change.field, change.before, change.after) == (("mode",), "0644", "0600")


def test_merging_keeps_everything_else(tmp_path: Path) -> None:
    want = wanted(tmp_path / "c", merge=True)
    want.file.write_text(yaml.safe_dump(OTHER))
    _kubeconfig.apply(want, NEW)
    _kubeconfig.apply(want, NEW)  # a second time replaces, and adds nothing
    found = yaml.safe_load(want.file.read_text())
    for key in ("clusters", "users", "contexts"):
        assert found[key][0] == OTHER[key][0]
        assert len(found[key]) == 2
    assert found["current-context"] == "old"
    assert _kubeconfig.changes(want, NOW) == []


def test_other_clusters_are_not_overwritten(tmp_path: Path) -> None:
    want = wanted(tmp_path / "c")
    want.file.write_text(yaml.safe_dump(OTHER))
    with pytest.raises(KubeError, match=r"holds other clusters .old.: set cluster_kubeconfig_merge"):
        _kubeconfig.changes(want, NOW)


@pytest.mark.parametrize("text", ["[1]", "{clusters: 1}", "a: [", "just text"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    want = wanted(tmp_path / "c", merge=True)
    want.file.write_text(text)
    with pytest.raises(KubeError, match="not"):
        _kubeconfig.changes(want, NOW)
    assert want.file.read_text() == text


def test_the_door_compares_first_and_writes_when_it_is_given_a_kubeconfig(tmp_path: Path) -> None:
    arguments = {"path": str(tmp_path / "c"), "cluster": "prod", "endpoint": "192.0.2.10:6443", "user": "weft:ada"}
    arguments["ca_hash"] = READ.public_key
    first = _kubeconfig.run(arguments, check=False)
    assert first == {"changed": False, "changes": [], "needed": True}
    planned = _kubeconfig.run(arguments, check=True)
    made = _kubeconfig.run({**arguments, "kubeconfig": NEW}, check=False)
    assert planned["changes"] == made["changes"] and made["changed"]
    assert datetime.now(UTC) < READ.not_after - timedelta(days=30), "the recorded certificate has ended"
    assert _kubeconfig.run(arguments, check=False)["needed"] is False

# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Certificates are read as OpenSSL reads them (the figures below are its own)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _x509

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


def test_reads_names_end_and_public_key() -> None:
    found = _x509.read("something before\n" + CERTIFICATE)
    assert found.common_name == "weft:ada"
    assert found.organizations == ("weft:cluster-operators", "weft:readers")
    assert found.sans == ("kubernetes", "api.example.org", "192.0.2.10", "2001:db8::10")
    assert found.not_after == datetime(2036, 11, 20, 9, 39, 40, tzinfo=UTC)
    assert found.public_key == "sha256:de88ee05106af69f73b1917f2ce9a06572b0a3d9360fbf4004da370dfb315592"


def test_days_left_go_below_zero() -> None:
    found = _x509.read(CERTIFICATE)
    assert found.days_left(found.not_after - timedelta(days=30, hours=1)) == 30
    assert found.days_left(found.not_after + timedelta(days=2)) == -2


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [(0x17, b"491231235959Z", 2049), (0x17, b"500101000000Z", 1950), (0x18, b"20500101000000Z", 2050)],
)
def test_both_kinds_of_time(tag: int, text: bytes, year: int) -> None:
    assert _x509._time(tag, text).year == year


@pytest.mark.parametrize(
    "pem",
    ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", CERTIFICATE.replace("MII", "MIA", 1)],
)
def test_refuses_what_is_no_certificate(pem: str) -> None:
    with pytest.raises(_x509.CertificateError):
        _x509.read(pem)

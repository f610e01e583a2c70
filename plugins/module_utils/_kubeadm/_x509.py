# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a machine must know of a certificate, read with the standard library: names, end, public key's hash.

RFC 5280 (certificate profile) and X.690 (DER).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Iterator, List, Tuple

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.*?)-----END CERTIFICATE-----", re.S)
_SAN = bytes([0x55, 0x1D, 0x11])  # 2.5.29.17
_COMMON_NAME = bytes([0x55, 0x04, 0x03])  # 2.5.4.3
_ORGANIZATION = bytes([0x55, 0x04, 0x0A])  # 2.5.4.10


class CertificateError(ValueError):
    """Bytes that are not a certificate this reader understands."""


@dataclass(frozen=True)
class Certificate:
    """A certificate.

    common_name    of the subject
    organizations  of the subject
    sans           DNS names and addresses, as text, in the certificate's order
    not_after      end of its life
    public_key     "sha256:HEX" of the subject's public key info, as kubeadm's discovery pins it
    """

    common_name: str
    organizations: Tuple[str, ...]
    sans: Tuple[str, ...]
    not_after: datetime
    public_key: str

    def days_left(self, now: datetime) -> int:
        """Whole days until the certificate ends; negative when it has ended."""
        return (self.not_after - now).days


def read(pem: str) -> Certificate:
    """The first certificate of a PEM text.

    Raises:
        CertificateError: there is none, or it cannot be understood.
    """
    found = _PEM.search(pem)
    if found is None:
        raise CertificateError("no certificate in PEM form")
    try:
        return _certificate(base64.b64decode(found.group(1)))
    except (IndexError, ValueError) as error:
        raise CertificateError(f"not a certificate: {error}") from error


def _certificate(der: bytes) -> Certificate:
    body = list(_parts(_first(_first(der))))
    if body[0][0] == 0xA0:  # the version is optional
        body = body[1:]
    _serial, _algorithm, _issuer, validity, subject, key = body[:6]
    names: List[Tuple[bytes, str]] = []
    for _tag, one in _parts(subject[1]):
        for _tag2, pair in _parts(one):
            oid, value = list(_parts(pair))[:2]
            names.append((oid[1], value[1].decode("utf-8", "replace")))
    return Certificate(
        common_name=next((value for oid, value in names if oid == _COMMON_NAME), ""),
        organizations=tuple(value for oid, value in names if oid == _ORGANIZATION),
        sans=tuple(_sans(body[6:])),
        not_after=_time(*list(_parts(validity[1]))[1]),
        public_key="sha256:" + hashlib.sha256(_encode(key[0], key[1])).hexdigest(),
    )


def _parts(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """The (tag, content) pairs that follow each other in `data`."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a length that goes past the end")
        yield tag, data[at : at + length]
        at += length


def _first(data: bytes) -> bytes:
    """The content of the first part of `data`."""
    for _tag, content in _parts(data):
        return content
    raise ValueError("a part is missing")


def _encode(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    width = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | width]) + size.to_bytes(width, "big") + content


def _time(tag: int, content: bytes) -> datetime:
    """UTCTime (two digits of the year, 1950 to 2049) or GeneralizedTime."""
    text = content.decode("ascii")
    if tag == 0x17:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _sans(rest: List[Tuple[int, bytes]]) -> Iterator[str]:
    for tag, content in rest:
        if tag != 0xA3:
            continue
        for _tag, extension in _parts(_first(content)):
            fields = list(_parts(extension))
            if fields[0][1] == _SAN:
                for kind, value in _parts(_first(fields[-1][1])):
                    if kind == 0x82:
                        yield value.decode("ascii")
                    elif kind == 0x87:
                        yield str(ipaddress.ip_address(value))

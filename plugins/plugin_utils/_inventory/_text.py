# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Forms of names and addresses, as Kubernetes and the RFCs have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, ip_address
from urllib.parse import urlsplit

#: RFC 1123, lower case as Kubernetes wants it.
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: Name part of a label's or taint's key, and a label's value (apimachinery, IsQualifiedName and IsValidLabelValue).
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def is_dns_name(text: str) -> bool:
    """Whether a text is a DNS name in lower case, of at most 253 characters; an address is none."""
    parts = text.split(".")
    return len(text) <= 253 and all(DNS_LABEL.fullmatch(part) for part in parts) and not parts[-1].isdigit()


def address(text: str) -> IPv4Address | None:
    """The IPv4 address that a text is, or None."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def is_address(text: str) -> bool:
    """Whether a text is an address, IPv4 or IPv6."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def host_port(text: str) -> tuple[str, str]:
    """ "host:port" in two; the port is "" where there is none."""
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and ":" not in host else (text, "")


def is_url(text: str, schemes: Sequence[str]) -> bool:
    """Whether a text is a URL with a host and one of the schemes."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and " " not in text and parts.port != 0
    except ValueError:
        return False


def label_key_error(key: str) -> str:
    """What is wrong with the key of a label or taint, or ""."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_dns_name(prefix):
        return f"has the prefix {prefix!r}, which is no DNS name"
    if not _NAME.fullmatch(name):
        return (
            f"has the name {name!r}; it wants 1 to 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
        )
    return ""


def label_value_error(value: str) -> str:
    """What is wrong with the value of a label or taint, or ""."""
    if value and not _NAME.fullmatch(value):
        return "is no value; it wants at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
    return ""

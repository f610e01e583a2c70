# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The table of operating systems against their own /etc/os-release."""

from __future__ import annotations

import pytest
from ansible_collections.weft.platform.plugins.module_utils._machine._os import os_release, system

DEBIAN_12 = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
"""
DEBIAN_13 = """\
PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME="Debian GNU/Linux"
VERSION_ID="13"
VERSION="13 (trixie)"
VERSION_CODENAME=trixie
DEBIAN_VERSION_FULL=13.1
ID=debian
"""
UBUNTU_2204 = """\
PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.5 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=jammy
"""
UBUNTU_2404 = """\
PRETTY_NAME="Ubuntu 24.04.1 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.1 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
LOGO=ubuntu-logo
"""
RHEL_9 = """\
NAME="Red Hat Enterprise Linux"
VERSION="9.4 (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"
CPE_NAME="cpe:/o:redhat:enterprise_linux:9::baseos"
"""
ROCKY_9 = """\
NAME="Rocky Linux"
VERSION="9.5 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.5"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Rocky Linux 9.5 (Blue Onyx)"
"""
ALMA_9 = """\
NAME="AlmaLinux"
VERSION="9.5 (Teal Serval)"
ID="almalinux"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.5"
PLATFORM_ID="platform:el9"
PRETTY_NAME="AlmaLinux 9.5 (Teal Serval)"
"""
SUPPORTED = {
    "debian-12": (DEBIAN_12, "debian", "apt", "ufw"),
    "debian-13": (DEBIAN_13, "debian", "apt", "ufw"),
    "ubuntu-22.04": (UBUNTU_2204, "ubuntu", "apt", "ufw"),
    "ubuntu-24.04": (UBUNTU_2404, "ubuntu", "apt", "ufw"),
    "rhel-9": (RHEL_9, "rhel", "dnf", "firewalld"),
    "rocky-9": (ROCKY_9, "rocky", "dnf", "firewalld"),
    "alma-9": (ALMA_9, "almalinux", "dnf", "firewalld"),
}


@pytest.mark.parametrize(("text", "name", "packages", "firewall"), SUPPORTED.values(), ids=SUPPORTED)
def test_supported(text: str, name: str, packages: str, firewall: str) -> None:
    row = system(text)
    assert row is not None
    assert (row.id, row.packages, row.firewall) == (name, packages, firewall)


@pytest.mark.parametrize(
    "text",
    [
        "",
        DEBIAN_12.replace("12", "11"),
        UBUNTU_2204.replace("22.04", "20.04"),
        UBUNTU_2204.replace("22.04", "22.10"),
        RHEL_9.replace("9.4", "8.10"),
        RHEL_9.replace("9.4", "90"),
        ROCKY_9.replace('ID="rocky"', 'ID="centos"'),
        "ID=fedora\nVERSION_ID=41\n",
    ],
)
def test_not_supported(text: str) -> None:
    assert system(text) is None


def test_quotes_are_optional() -> None:
    assert os_release("ID=debian\nNAME='Debian'\nPRETTY_NAME=\"A B\"\n# ID=no\nBAD") == {
        "ID": "debian",
        "NAME": "Debian",
        "PRETTY_NAME": "A B",
    }

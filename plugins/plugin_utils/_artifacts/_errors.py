# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What can go wrong with artifacts.  Each message says what, where, and what to do."""

from __future__ import annotations


class ArtifactError(Exception):
    """The root of every error of this domain; a door turns it into a failed task."""


class DataError(ArtifactError):
    """versions.yml, components.yml or a lock file does not say what it must."""


class MissingTool(ArtifactError):
    """A program that a step needs is not installed on the controller."""


class BuildFailed(ArtifactError):
    """A build from source, or the unpacking of a package, ended with an error."""


class FetchFailed(ArtifactError):
    """An upstream or mirror address gave no usable answer."""


class RegistryFailed(ArtifactError):
    """The bundle's registry does not start, answer or stop."""


class DigestMismatch(ArtifactError):
    """Bytes are not those that were pinned.

    Attributes:
        subject: what was read (a name, path or URL).
        expected: sha256 that the lock names, 64 hexadecimal digits.
        actual: sha256 of what was found.
    """

    def __init__(self, subject: str, expected: str, actual: str, advice: str = "") -> None:
        self.subject = subject
        self.expected = expected
        self.actual = actual
        text = f"{subject}: the content is not what was pinned: expected sha256:{expected}, found sha256:{actual}."
        super().__init__(f"{text} {advice or 'Nothing was installed from it. Fetch or build it again.'}")

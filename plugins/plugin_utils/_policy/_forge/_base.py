# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What a forge is to the policy manager: it says who is behind a pull request, and shows the verdict on it.

Everything is asked of the forge's API, never taken from what the pull request itself can write.  An answer that is
not to be had is a ForgeError or an IdentityError; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ansible_collections.weft.platform.plugins.plugin_utils._policy._model import PolicyError, Request, Teams

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

#: Name of the commit status that a branch protection requires.
CONTEXT = "weft/policy"

#: States of a commit status, as this module names them.
PENDING, SUCCESS, FAILURE, BROKEN = "pending", "success", "failure", "error"

#: Seconds that one call of a forge's API may take.
TIMEOUT = 30

#: How often a call that only asks is repeated when it got no answer, or one of an overloaded server.
RETRIES = 2
#: Answers after which it is: the server, or what stands before it, could not.
_OVERLOADED = (502, 503, 504)


class ForgeError(PolicyError):
    """A forge cannot be asked or told; the message says which, what was tried and what to do."""


class Status(NamedTuple):
    """A commit status: one of PENDING, SUCCESS, FAILURE, BROKEN; a line of text; an address with more, or ""."""

    state: str
    description: str
    link: str = ""


class Pull(NamedTuple):
    """Which pull request, on which forge.

    forge       one of the names in `_forge.FORGES`
    api         address of the API
    token       secret that the API wants
    repository  "owner/name" (GitLab: also the project's number)
    number      of the pull request
    pusher      login of who pushed, where the event says it ("" where not)
    onto        commit onto which a merge queue merged it ("" where none did)
    merged      commit that the queue made, and on which the status is wanted ("" where none did)
    """

    forge: str
    api: str
    token: str
    repository: str
    number: int
    pusher: str = ""
    onto: str = ""
    merged: str = ""


class Forge(Teams, Protocol):
    """One pull request on a forge."""

    def request(self) -> Request:
        """The pull request as it is now, with all people behind it and all approvals.

        Raises:
            ForgeError: it cannot be told.
        """

    def status(self, head: str, status: Status) -> None:
        """Set the status CONTEXT of exactly the commit `head`.

        Raises:
            ForgeError: it could not be set.
        """

    def comment(self, body: str, marker: str, create: bool) -> None:
        """Write over the comment of ours that begins with `marker`; where there is none, make one if `create`.

        A comment by somebody else is never ours, whatever it holds; nor is one that our account made for another
        purpose, in which somebody else's words are.

        Raises:
            ForgeError: it could not be written.
        """

    #: Whether comments may hold HTML, and how long they may be.
    html: bool
    longest: int


def need(variables: Mapping[str, str], name: str, hint: str) -> str:
    """A variable of the environment.

    Raises:
        ForgeError: it is not set.
    """
    value = variables.get(name, "")
    if not value:
        raise ForgeError(f"{name} is not set: {hint}")
    return value


def get(data: Any, *path: str) -> Any:
    """A value inside JSON; None where the way to it ends."""
    for key in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def text_at(data: Any, *path: str) -> str:
    """A string inside JSON.

    Raises:
        ForgeError: there is none.
    """
    value = get(data, *path)
    if not isinstance(value, str) or not value:
        raise ForgeError(
            f"the forge's answer has no {'.'.join(path)}; is this the API of that forge, in a version known?"
        )
    return value


def retry() -> Retry:
    """How calls are repeated: those that only ask, after a second or two; a limit of calls is an error at once."""
    # imported here, for a hook that asks no forge has no such library
    from urllib3.util.retry import Retry

    return Retry(
        RETRIES,
        allowed_methods=("GET", "HEAD"),
        backoff_factor=0.5,
        status_forcelist=_OVERLOADED,
        raise_on_status=False,
        respect_retry_after_header=False,
    )


@contextmanager
def told(doing: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn a client library's errors into a ForgeError that says what was being done."""
    try:
        yield
    except errors as error:
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise ForgeError(f"{doing}: {words}; check the address, the token and what it may do") from error


Open = Callable[[Pull], Forge]

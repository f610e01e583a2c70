# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Which pull request a CI job runs for: read from what GitHub Actions, Gitea and Forgejo Actions, GitLab CI and
Bitbucket Pipelines put into a job's environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._policy._forge._base import (
    ForgeError,
    Pull,
    get,
    need,
    text_at,
)

Environment = Mapping[str, str]

#: An event file larger than this is none.  Bytes.
_MAX_EVENT = 32 * 1024 * 1024
#: Actions of a pull request's event whose sender pushed to its branch.
_PUSHES = ("opened", "synchronize", "synchronized")
#: The branch that GitHub makes for each entry of a merge queue: the pull request is the number in its name.
#: https://docs.github.com/en/webhooks/webhook-events-and-payloads#merge_group
_QUEUE = re.compile(r"refs/heads/gh-readonly-queue/(?P<target>.+)/pr-(?P<number>[1-9][0-9]*)-[0-9a-f]{40,64}")
_TOKEN_HINT = "give the job a token that may read the repository and its teams and write statuses and comments"


def from_environment(env: Environment, forge: str = "") -> Pull:
    """The pull request of this CI job.

    Args:
        env: the job's environment.
        forge: which forge it is; told from the environment when "".

    Raises:
        ForgeError: it is no job of a known CI, or none for a pull request.
    """
    name = forge or _which(env)
    reader = _READERS.get(name)
    if reader is None:
        raise ForgeError(f"no forge {name!r}; there are {', '.join(sorted(_READERS))}")
    return reader(env)


def _which(env: Environment) -> str:
    # Gitea and Forgejo set GITHUB_ACTIONS as well: they come first
    for variable, name in (
        ("GITEA_ACTIONS", "gitea"),
        ("FORGEJO_ACTIONS", "gitea"),
        ("GITHUB_ACTIONS", "github"),
        ("GITLAB_CI", "gitlab"),
        ("BITBUCKET_BUILD_NUMBER", "bitbucket"),
    ):
        if env.get(variable):
            return name
    raise ForgeError("this is no CI job of a known forge: say --forge, --api, --repository and --number")


def _github(env: Environment) -> Pull:
    return _actions(env, "github", env.get("GITHUB_API_URL") or "https://api.github.com")


def _gitea(env: Environment) -> Pull:
    server = need(env, "GITHUB_SERVER_URL", "Gitea and Forgejo Actions set it to the forge's address")
    return _actions(env, "gitea", env.get("GITHUB_API_URL") or f"{server.rstrip('/')}/api/v1")


def _actions(env: Environment, forge: str, api: str) -> Pull:
    event = _event_file(need(env, "GITHUB_EVENT_PATH", "Actions set it to the file with the event"))
    onto, merged, queued = _queued(event)
    number = queued or get(event, "pull_request", "number") or _pull_of_a_comment(event)
    if not isinstance(number, int):
        raise ForgeError(
            f"the event {env.get('GITHUB_EVENT_NAME', '')!r} is about no pull request: run the job on "
            "pull_request_target, pull_request_review and merge_group"
        )
    pushed = get(event, "action") in _PUSHES and isinstance(get(event, "sender", "login"), str)
    return Pull(
        forge=forge,
        api=api,
        token=_token(env, "WEFT_FORGE_TOKEN", "GITHUB_TOKEN", "GITEA_TOKEN"),
        repository=str(get(event, "repository", "full_name") or need(env, "GITHUB_REPOSITORY", "Actions set it")),
        number=number,
        pusher=str(get(event, "sender", "login")) if pushed else "",
        onto=onto,
        merged=merged,
    )


def _queued(event: Any) -> tuple[str, str, int]:
    """Of a merge queue's event: what was merged onto, what came of it, and the number of the pull request."""
    group = get(event, "merge_group")
    if group is None:
        return "", "", 0
    found = _QUEUE.fullmatch(str(get(group, "head_ref")))
    onto, merged = text_at(group, "base_sha"), text_at(group, "head_sha")
    if found is None or get(group, "base_ref") != f"refs/heads/{found['target']}" or not _is_oid(onto, merged):
        raise ForgeError("the merge queue's event does not name its pull request, its base and its head as GitHub does")
    return onto, merged, int(found["number"])


def _is_oid(*texts: str) -> bool:
    return all(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) for text in texts)


def _pull_of_a_comment(event: Any) -> Any:
    return get(event, "issue", "number") if get(event, "issue", "pull_request") is not None else None


def _event_file(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_EVENT + 1)
    except OSError as error:
        raise ForgeError(f"{path}: the event cannot be read: {error.strerror}") from error
    if len(raw) > _MAX_EVENT:
        raise ForgeError(f"{path}: is longer than {_MAX_EVENT} bytes and no event")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ForgeError(f"{path}: is no JSON: {error}") from error


def _gitlab(env: Environment) -> Pull:
    number = env.get("CI_MERGE_REQUEST_IID", "")
    if not number.isdecimal():
        raise ForgeError("CI_MERGE_REQUEST_IID is not set: run the job with `rules: if: $CI_MERGE_REQUEST_IID`")
    return Pull(
        forge="gitlab",
        api=need(env, "CI_SERVER_URL", "GitLab CI sets it to the forge's address"),
        token=_token(env, "WEFT_FORGE_TOKEN", "GITLAB_TOKEN"),
        # a merge request from a fork belongs to the project that it wants to change
        repository=env.get("CI_MERGE_REQUEST_PROJECT_ID") or need(env, "CI_PROJECT_ID", "GitLab CI sets it"),
        number=int(number),
    )


def _bitbucket(env: Environment) -> Pull:
    number = env.get("BITBUCKET_PR_ID", "")
    if not number.isdecimal():
        raise ForgeError("BITBUCKET_PR_ID is not set: put the step under `pull-requests:` of bitbucket-pipelines.yml")
    return Pull(
        forge="bitbucket",
        api=env.get("WEFT_FORGE_API") or "https://api.bitbucket.org",
        token=_token(env, "WEFT_FORGE_TOKEN"),
        repository=need(env, "BITBUCKET_REPO_FULL_NAME", "Bitbucket Pipelines sets it"),
        number=int(number),
    )


def _token(env: Environment, *names: str) -> str:
    for name in names:
        if env.get(name):
            return env[name]
    raise ForgeError(f"{' or '.join(names)} is not set: {_TOKEN_HINT}")


_READERS: dict[str, Callable[[Environment], Pull]] = {
    "github": _github,
    "gitea": _gitea,
    "gitlab": _gitlab,
    "bitbucket": _bitbucket,
}

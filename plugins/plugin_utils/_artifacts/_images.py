# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Images of a registry: a tag's digest, and copies by digest (OCI distribution specification, token authentication)."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import (
    DataError,
    DigestMismatch,
    FetchFailed,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._http import Web, mirrored
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    Image,
    bundle_repository,
    parse_reference,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store, hex_of

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
#: Docker Hub's registry is not at the host that image names begin with.
_HUB = {"docker.io": "registry-1.docker.io"}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Repository:
    """Where a registry keeps an image: the base address of its API, and the path in it."""

    base: str
    path: str

    def url(self, kind: str, reference: str) -> str:
        """Address of a manifest ("manifests") or a blob ("blobs") by tag or digest."""
        return f"{self.base}/v2/{self.path}/{kind}/{reference}"


def repository(name: str, mirror: Mapping[str, str]) -> Repository:
    """Where "registry.k8s.io/pause" is to be had, with the user's mirror in its place.

    Registries of this machine (localhost, 127.…) are spoken to without TLS, as container runtimes do.
    """
    host, _slash, path = mirrored(name, mirror).partition("/")
    bare = host.rsplit(":", 1)[0]
    plain = bare == "localhost" or bare.startswith("127.") or host.startswith("[::1]")
    return Repository(f"{'http' if plain else 'https'}://{_HUB.get(host, host)}", path)


class Registry:
    """A client for every registry that a lock file names."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._tokens: dict[str, str] = {}
        self._guard = threading.Lock()

    def resolve(self, ref: str, arch: str) -> str:
        """The digest of the image's manifest for `arch`, "sha256:…"; of an index, the one entry that fits.

        Raises:
            FetchFailed: the registry has no such tag.  DataError: the index has no image for `arch`.
        """
        place = self._place(ref)
        kind, digest, data = self._manifest(place, parse_reference(ref).tag)
        if kind not in INDEX_TYPES:
            return digest
        return pick(json.loads(data), arch, ref)

    def copy(self, image: Image, store: Store, told: Callable[[int], None]) -> None:
        """Copy an image by its digest into a bundle's store; blobs that are there are not fetched again.

        Raises:
            FetchFailed: the registry does not have it.  DigestMismatch: what it sent is something else.
        """
        place = self._place(image.ref)
        _kind, _digest, data = self._manifest(place, image.digest)
        name = bundle_repository(image.ref)
        manifest = json.loads(data)
        for item in (manifest["config"], *manifest["layers"]):
            self._blob(place, item, store, told)
            store.link_layer(name, str(item["digest"]))
        store.link_manifest(name, store.put_bytes(data), parse_reference(image.ref).tag)

    def _place(self, ref: str) -> Repository:
        reference = parse_reference(ref)
        return repository(f"{reference.host}/{reference.path}", self._web.mirror)

    def _manifest(self, place: Repository, reference: str) -> tuple[str, str, bytes]:
        """(media type, digest, content); content asked for by digest is checked against it."""
        url = place.url("manifests", reference)
        with self._get(place, url) as answer:
            data: bytes = answer.read()
            kind = str(answer.headers.get("Content-Type", "")).split(";")[0].strip()
        found = hashlib.sha256(data).hexdigest()
        if reference.startswith("sha256:") and hex_of(reference) != found:
            raise DigestMismatch(url, hex_of(reference), found)
        return kind, f"sha256:{found}", data

    def _blob(self, place: Repository, item: Mapping[str, Any], store: Store, told: Callable[[int], None]) -> None:
        digest = str(item["digest"])
        if store.size(digest) != int(item["size"]):
            url = place.url("blobs", digest)
            with self._get(place, url) as answer:
                store.put_stream(answer, url, hex_of(digest))
        told(int(item["size"]))

    @contextmanager
    def _get(self, place: Repository, url: str) -> Iterator[Any]:
        """The answer to a request; what the registry refuses is asked again with a token."""
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(self._web.open(url, headers=self._headers(place)))
            except FetchFailed as error:
                cause = error.__cause__
                if not isinstance(cause, urllib.error.HTTPError) or cause.code != 401:
                    raise
                self._authorise(place, cause)
                answer = stack.enter_context(self._web.open(url, headers=self._headers(place)))
            yield answer

    def _headers(self, place: Repository) -> dict[str, str]:
        with self._guard:
            token = self._tokens.get(f"{place.base}/{place.path}", "")
        return {"Accept": _ACCEPT, **({"Authorization": f"Bearer {token}"} if token else {})}

    def _authorise(self, place: Repository, refusal: urllib.error.HTTPError) -> None:
        """Get an anonymous token from where the refusal says (Bearer challenge of the distribution specification)."""
        url = token_url(refusal.headers.get("WWW-Authenticate", ""))
        if not url:
            raise FetchFailed(f"{refusal.url} wants a kind of login that is not supported. Use a mirror without one.")
        answer = json.loads(self._web.text(url))
        with self._guard:
            self._tokens[f"{place.base}/{place.path}"] = str(answer.get("token") or answer.get("access_token") or "")


def token_url(challenge: str) -> str:
    """Where a Bearer challenge sends for a token, "" for any other challenge."""
    if not challenge.lower().startswith("bearer "):
        return ""
    fields = dict(_CHALLENGE.findall(challenge))
    realm = fields.pop("realm", "")
    query = urllib.parse.urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
    return f"{realm}?{query}" if realm and query else realm


def pick(index: Mapping[str, Any], arch: str, ref: str) -> str:
    """The digest of an index's image for Linux on `arch`.

    Raises:
        DataError: it has none.
    """
    known: list[str] = []
    for item in index.get("manifests", []):
        platform = item.get("platform", {})
        if platform.get("os") == "linux" and platform.get("architecture") == arch:
            return str(item["digest"])
        known.append(f"{platform.get('os')}/{platform.get('architecture')}")
    raise DataError(f"{ref} has no image for linux/{arch}, only for {', '.join(known)}. Choose another version.")

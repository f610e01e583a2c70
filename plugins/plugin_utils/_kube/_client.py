# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""A thin layer over the `kubernetes` package: paths, discovery, one kind of error, patience with a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import yaml

Object = dict[str, Any]

MANAGER = "weft.platform"
#: How long a server that does not answer is waited for, in seconds: control planes that join make etcd elect anew.
PATIENCE = 60.0
#: Answers that a later try may not give (API conventions, HTTP status codes).
PASSING = (429, 500, 502, 503, 504)
TIMEOUT = (5, 30)


class KubeError(Exception):
    """The API server refused, or could not be asked; the message says what and where.

    Attributes:
        status: HTTP status, 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One cluster's API.

    Args:
        kubeconfig: text of a kubeconfig.
        patience: seconds to wait for a server that does not answer.
        otherwise: host:port of an API server of the cluster, asked while the kubeconfig's does not answer: where the
            run that made the cluster was killed, nobody may hold its endpoint yet.  The same authority must have
            signed its certificate.

    Raises:
        KubeError: the text is not a kubeconfig.
    """

    def __init__(self, kubeconfig: str, patience: float = PATIENCE, otherwise: str = "") -> None:
        from kubernetes.client import ApiClient, Configuration
        from kubernetes.config import ConfigException, load_kube_config_from_dict

        self.patience = patience
        self._otherwise = [f"https://{otherwise}"] if otherwise else []
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}
        load: Any = load_kube_config_from_dict  # the package is not typed throughout
        configuration: Any = Configuration()
        configuration.retries = False  # urllib3 would try one address again and again before it tells
        try:
            load(yaml.safe_load(kubeconfig), client_configuration=configuration)
            self._api: Any = ApiClient(configuration)
        except (yaml.YAMLError, ConfigException, TypeError, AttributeError) as error:
            raise KubeError(f"not a kubeconfig: {error}") from error

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Ask the server; the answer's JSON value.

        Raises:
            KubeError: it refused, or did not answer within `patience` seconds.
        """
        deadline = time.monotonic() + self.patience
        while True:
            status, text = self._once(method, path, body, content_type)
            if 200 <= status < 300:
                return json.loads(text) if text else None
            if (status and status not in PASSING) or time.monotonic() > deadline:
                raise KubeError(f"{method} {path.partition('?')[0]}: {_message(status, text)}", status)
            if not status and self._otherwise:
                self._otherwise.append(self._api.configuration.host)
                self._api.configuration.host = self._otherwise.pop(0)
            time.sleep(0.5)

    def _once(self, method: str, path: str, body: Any, content_type: str) -> tuple[int, str]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": content_type}
        headers.update(self._api.default_headers)
        try:
            url = self._api.configuration.host + path
            answer = self._api.call_api(method, url, headers, body, _request_timeout=TIMEOUT)
            return int(answer.status), (answer.read() or b"").decode()
        except (HTTPError, ApiException, OSError) as error:
            return 0, str(error)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, or None when it, its namespace or its kind is not there."""
        try:
            found: Object = self.request("GET", self.path(api_version, kind, name, namespace))
            return found
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, selector: str = "") -> list[Object]:
        """Every object of a kind, in all namespaces."""
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        found: list[Object] = self.request("GET", self._base(api_version, kind)[0] + query)["items"]
        return found

    def server_side_apply(self, wanted: Mapping[str, Any], dry_run: bool) -> Object:
        """Apply an object (KEP-555), conflicts won as Git has the last word; `dry_run` only says what it would be."""
        query = {"fieldManager": MANAGER, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        path = f"{self.path_of(wanted)}?{urlencode(query)}"
        made: Object = self.request("PATCH", path, dict(wanted), "application/apply-patch+yaml")
        return made

    def merge_patch(self, of: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
        """Change fields of an object (RFC 7386)."""
        made: Object = self.request("PATCH", self.path_of(of), dict(patch), "application/merge-patch+json")
        return made

    def delete(self, of: Mapping[str, Any]) -> None:
        """Delete an object; that it is gone already is well."""
        try:
            self.request("DELETE", self.path_of(of))
        except KubeError as error:
            if error.status != 404:
                raise

    def path_of(self, item: Mapping[str, Any]) -> str:
        """The path of an object."""
        meta = item["metadata"]
        return self.path(item["apiVersion"], item["kind"], meta["name"], meta.get("namespace", ""))

    def path(self, api_version: str, kind: str, name: str, namespace: str = "") -> str:
        """The path of an object named by its kind.

        Raises:
            KubeError: the server does not know the kind (status 404).
        """
        base, resource, namespaced = self._base(api_version, kind, split=True)
        middle = f"/namespaces/{quote(namespace or 'default')}" if namespaced else ""
        return f"{base}{middle}/{resource}/{quote(name)}"

    def _base(self, api_version: str, kind: str, split: bool = False) -> Any:
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        known = self._kinds.get(api_version, {})
        if kind not in known:  # asked again when it is not there: a CRD may have come meanwhile
            resources = self.request("GET", base)["resources"]
            known = {item["kind"]: (item["name"], item["namespaced"]) for item in resources if "/" not in item["name"]}
            self._kinds[api_version] = known
        if kind not in known:
            raise KubeError(f"the API server knows no {kind} in {api_version}", 404)
        resource, namespaced = known[kind]
        return (base, resource, namespaced) if split else (f"{base}/{resource}", resource, namespaced)


def _message(status: int, text: str) -> str:
    """What a Status object says, or the raw answer."""
    try:
        return f"{json.loads(text)['message']} ({status})"
    except (ValueError, KeyError, TypeError):
        return f"{text.strip()[:300] or 'no answer'} ({status})" if status else f"no answer: {text[:300]}"

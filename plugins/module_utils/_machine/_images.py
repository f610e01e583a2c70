# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Container images in containerd's store for Kubernetes, pulled by digest and named as upstream names them."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.weft.platform.plugins.module_utils._change import ABSENT, Change, Value
from ansible_collections.weft.platform.plugins.module_utils._machine._host import (
    Before,
    Host,
    MachineError,
    MachineResource,
    Result,
)

NAMESPACE = "k8s.io"
SOCKET = "/run/containerd/containerd.sock"
HOSTS_DIR = "/etc/containerd/certs.d"
CTR = ("ctr", "-n", NAMESPACE)
PULL_TIMEOUT = 1800
WORKERS = 3
#: What the CRI plugin marks its own images with; the second keeps kubelet from removing them on a full disk.
LABELS = ("io.cri-containerd.image=managed", "io.cri-containerd.pinned=pinned")

_DIGEST = r"sha256:[0-9a-f]{64}"


class Image(MachineResource):
    """A container image.

    spec      {ref, digest: "sha256:hex", source: repository with its registry's host, plain: by HTTP}; without `source`
              it comes from the ref's own host, or the mirrors that containerd has for it
    observed  {"digest": "sha256:hex"} of what `ref` names now; ABSENT, also while containerd does not run
    """

    type = "image"
    key = "ref"
    required = ("digest",)

    def look(self) -> Value:
        """As containerd lists it."""
        digest = images(self.host).get(self.name)
        return ABSENT if digest is None else {"digest": digest}

    def desired(self) -> Value:
        """The spec's digest."""
        return {"digest": self.spec["digest"]}

    @property
    def repository(self) -> str:
        """The ref without its tag: a colon after the last slash begins one."""
        folder, slash, last = self.name.partition("@")[0].rpartition("/")
        return folder + slash + last.partition(":")[0]

    @property
    def source(self) -> str:
        """Where it is pulled from, by digest."""
        return f"{self.spec.get('source') or self.repository}@{self.spec['digest']}"

    @property
    def by_digest(self) -> str:
        """The upstream name with the digest: pods may use it, and it keeps the content when the tag moves on."""
        return f"{self.repository}@{self.spec['digest']}"

    def make(self, changes: Sequence[Change]) -> None:
        """Pull, name, and take the registry's name away again."""
        if not self.host.exists(SOCKET):
            raise MachineError("containerd does not run, so no image can be pulled; start containerd.service first")
        if self.look() == self.desired():
            return  # it was there all the time, and containerd did not run to tell
        pulled_ahead(self)
        for name in dict.fromkeys((self.by_digest, self.name)):
            if name != self.source:
                self.host.run(*CTR, "images", "tag", "--force", self.source, name)
            self.host.run(*CTR, "images", "label", name, *LABELS)
        if self.source not in (self.by_digest, self.name):
            self.host.run(*CTR, "images", "rm", self.source)
        self.host.forget("images")

    def pull(self) -> None:
        """Bring the content.  May run in a thread.

        Raises:
            MachineError: refused or damaged; for damage both digests are told.
        """
        plain = ["--plain-http"] if self.spec.get("plain") else []
        hosts = ["--hosts-dir", HOSTS_DIR] if not plain and self.host.exists(HOSTS_DIR) else []
        argv = (*CTR, "images", "pull", *plain, *hosts, self.source)
        done = self.host.attempt(*argv, timeout=PULL_TIMEOUT)
        if done.code:
            raise MachineError(refusal(self.source, done))

    @classmethod
    def undo(cls, name: str, before: Before, kept: Mapping[str, Value]) -> List[Dict[str, Any]]:
        """Nothing: images go with containerd's data."""
        return []


def images(host: Host) -> Dict[str, str]:
    """Digest of every image by its name."""

    if not host.exists(SOCKET):
        return {}  # not remembered: the run may start it

    def ask() -> Dict[str, str]:
        done = host.attempt(*CTR, "images", "ls")
        return parse_images(done.out) if not done.code else {}

    found: Dict[str, str] = host.once("images", ask)
    return found


def parse_images(text: str) -> Dict[str, str]:
    """Names and digests of `ctr images ls` (columns REF, TYPE, DIGEST, ...)."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2 and re.fullmatch(_DIGEST, row[2])}


def refusal(source: str, done: Result) -> str:
    """Why containerd did not take an image, in our words."""
    damaged = re.search(rf"unexpected commit digest ({_DIGEST}), expected ({_DIGEST})", done.err + done.out)
    if damaged:
        return (
            f"{source}: a part of it has digest {damaged[1]}, but {damaged[2]} is wanted; it is damaged or was "
            "replaced, and was refused. Make the bundle (or the mirror's copy) anew and run again"
        )
    return f"{source} cannot be pulled: {done.last_words or 'containerd said nothing'}"


def pulled_ahead(image: Image) -> None:
    """Wait for an image; the first that is asked for starts the pull of all that wait, a few at a time."""
    jobs: Dict[str, Any] = image.host.once("pulls", dict)
    if image.name not in jobs:
        waiting = [one for one in image.waiting() if isinstance(one, Image)]
        if image not in waiting or len(waiting) == 1:
            image.pull()
            return
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(WORKERS)
        image.host.on_close(lambda: _stop(pool, jobs))
        jobs.update({one.name: pool.submit(one.pull) for one in waiting})
    jobs[image.name].result()


def _stop(pool: Any, jobs: Mapping[str, Any]) -> None:
    for job in jobs.values():
        job.cancel()
    pool.shutdown(wait=True)

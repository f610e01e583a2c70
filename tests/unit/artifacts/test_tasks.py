# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""What the doors and the command line do with an inventory's variables."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import __main__ as command
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts import _tasks
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._bundle import Outcome, write_record
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._errors import ArtifactError, DataError
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._lock import (
    Binary,
    Image,
    Lock,
    dump_lock,
    load_lock,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._obtain import Wish
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._oci import (
    Entry,
    Settings,
    write_image,
    write_layer,
)
from ansible_collections.weft.platform.plugins.plugin_utils._artifacts._store import Store, hex_of

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {
        "cluster_kubernetes_version": "1.37",
        "artifacts_source": "bundle",
        "artifacts_bundle_path": str(tmp_path / "bundle"),
        "artifacts_lock": str(tmp_path / "inventory" / "lock.yml"),
        "artifacts_mirror": {},
        "artifacts_registry": "",
        "artifacts_extra_images": [],
    }


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    """The lock of a small bundle that is in tmp_path/bundle."""
    folder = tmp_path / "bundle"
    store = Store(folder)
    digest = store.put_bytes(b"registry")
    (folder / "registry").write_bytes(b"registry")
    images = []
    for ref in ("registry.k8s.io/pause:3.10.2", AGNHOST):
        name, tag = ref.rsplit(":", 1)
        layer = write_layer(store, [Entry("/x", ref.encode())])
        made = write_image(store, name, tag, [layer], Settings("amd64"))
        images.append(Image(name.rsplit("/", 1)[-1], ref, made, ("worker",)))
    store.tidy()
    binary = Binary("registry", "v3.1.2", hex_of(digest), 8, "registry", ("controller",), built_from="x@1")
    made_lock = Lock("v1.37.2", "amd64", "bundle", (binary,), tuple(images))
    write_record(folder, "key", made_lock)
    (folder / "lock.yml").write_text(dump_lock(made_lock))
    return made_lock


def test_the_folder_of_a_bundle(settings: dict[str, Any], tmp_path: Path) -> None:
    assert _tasks.bundle_folder({"path": "/srv/b"}, settings) == Path("/srv/b")
    assert _tasks.bundle_folder({}, settings) == tmp_path / "bundle"
    settings["artifacts_bundle_path"] = ""
    assert _tasks.bundle_folder({}, settings) == tmp_path / "cache/weft.platform/bundles/v1.37.2"
    settings["cluster_kubernetes_version"] = None
    assert _tasks.bundle_folder({}, settings).name == "v1.37.2"


def test_a_lock_is_written_once(settings: dict[str, Any], lock: Lock) -> None:
    path = Path(settings["artifacts_lock"])
    planned = _tasks.lock_task({}, settings, check=True)
    assert planned["changed"]
    assert not path.exists()
    made = _tasks.lock_task({}, settings, check=False)
    # The list that check mode gives is the one that is made.
    assert made == planned
    assert path.read_text() == made["diff"]["after"]
    assert path.stat().st_mode & 0o777 == 0o644
    again = _tasks.lock_task({}, settings, check=False)
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]


def test_a_lock_has_the_extra_images_that_are_asked_for(settings: dict[str, Any], lock: Lock) -> None:
    assert [image.name for image in _tasks.wanted_lock(settings).images] == ["pause"]
    settings["artifacts_extra_images"] = [AGNHOST]
    assert _tasks.wanted_lock(settings) == lock
    settings["artifacts_extra_images"] = ["registry.k8s.io/other:1"]
    with pytest.raises(DataError, match=r"The bundle has no registry\.k8s\.io/other:1"):
        _tasks.wanted_lock(settings)


def test_a_lock_wants_the_right_bundle(settings: dict[str, Any], lock: Lock, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is for Kubernetes v1\.37\.2, not v1\.36\.3"):
        _tasks.wanted_lock({**settings, "cluster_kubernetes_version": "1.36"})
    (tmp_path / "bundle" / "registry").unlink()
    with pytest.raises(DataError, match=r"holds no complete bundle\. Make it with weft\.platform\.bundle"):
        _tasks.wanted_lock(settings)


@pytest.mark.parametrize(("source", "mirror"), [("upstream", {}), ("mirror", {"https://a": "https://b"})])
def test_upstream_is_asked_without_the_mirror_unless_it_is_wanted(
    settings: dict[str, Any], lock: Lock, monkeypatch: pytest.MonkeyPatch, source: str, mirror: dict[str, str]
) -> None:
    asked: list[Any] = []

    def resolve(wanted: Any, web: Any, name: str) -> Lock:
        asked.append((wanted.release.kubernetes, wanted.extra_images, web.mirror, name))
        return lock

    monkeypatch.setattr(_tasks, "resolve_lock", resolve)
    settings.update(
        artifacts_source=source, artifacts_mirror={"https://a": "https://b"}, artifacts_extra_images=[AGNHOST]
    )
    assert _tasks.wanted_lock(settings) == lock
    assert asked == [("v1.37.2", (AGNHOST,), mirror, source)]


def test_bundle_in_check_mode_only_looks(settings: dict[str, Any], lock: Lock, tmp_path: Path) -> None:
    assert _tasks.bundle_task({}, settings, check=True) == {"changed": False, "path": str(tmp_path / "bundle")}
    elsewhere = {"path": str(tmp_path / "other")}
    assert _tasks.bundle_task(elsewhere, settings, check=True) == {"changed": True, **elsewhere}


def test_bundle_asks_for_what_the_inventory_says(
    settings: dict[str, Any], lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes: list[Wish] = []

    def obtain(wish: Wish, stream: TextIO | None) -> Outcome:
        wishes.append(wish)
        return Outcome(tmp_path / "bundle", lock, changed=True)

    monkeypatch.setattr(_tasks, "obtain_bundle", obtain)
    path = Path(settings["artifacts_lock"])
    settings["artifacts_extra_images"] = [AGNHOST]
    result = _tasks.bundle_task({"kubernetes": "1.36", "origin": "source", "verify": True}, settings, check=False)
    assert wishes == [Wish("v1.36.3", tmp_path / "bundle", "source", path, (AGNHOST,), {})]
    assert result == {
        "changed": True,
        "path": str(tmp_path / "bundle"),
        "lock": str(tmp_path / "bundle" / "lock.yml"),
        "kubernetes": "v1.37.2",
        "differs": [],
    }
    # An inventory that pins something else is told of it.
    path.parent.mkdir()
    other = replace(lock.images[0], digest="sha256:" + "0" * 64)
    path.write_text(dump_lock(replace(lock, images=(other, lock.images[1]))))
    assert _tasks.bundle_task({}, settings, check=False)["differs"] == ["registry.k8s.io/pause:3.10.2"]


def test_a_registry_is_only_started_for_a_bundle(settings: dict[str, Any]) -> None:
    nothing = {"changed": False, "address": ""}
    assert _tasks.registry_task({}, {**settings, "artifacts_source": "upstream"}, "x", False) == nothing
    own = {**settings, "artifacts_registry": "192.0.2.10:5001"}
    assert _tasks.registry_task({}, own, "x", False) == {"changed": False, "address": "192.0.2.10:5001"}


def test_a_registry_in_check_mode(settings: dict[str, Any]) -> None:
    answer = {"changed": True, "address": "127.0.0.1:5001"}
    assert _tasks.registry_task({}, settings, "127.0.0.1", check=True) == answer
    stopped = {"state": "stopped", "port": 5003, "address": "127.0.0.2"}
    answer = {"changed": False, "address": "127.0.0.2:5003"}
    assert _tasks.registry_task(stopped, settings, "127.0.0.1", check=True) == answer
    assert _tasks.registry_task(stopped, settings, "127.0.0.1", check=False) == answer


def test_what_the_disk_refuses_is_an_error_of_the_artifacts(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"/x: No space left on device"), _tasks.local_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "/x")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "lock.yml"
    _tasks.write_text(path, "one")

    def full(source: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        _tasks.write_text(path, "two")
    assert [item.name for item in path.parent.iterdir()] == ["lock.yml"]
    assert path.read_text() == "one"


# The command line


def test_verify_says_what_it_read(settings: dict[str, Any], lock: Lock, tmp_path: Path, capsys: Any) -> None:
    assert command.main(["verify", "--output", str(tmp_path / "bundle")]) == 0
    assert "1 binaries and 2 images are as lock.yml says" in capsys.readouterr().out
    (tmp_path / "bundle" / "registry").write_bytes(b"Registry")
    assert command.main(["verify", "--output", str(tmp_path / "bundle")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_lock_writes_the_file(settings: dict[str, Any], lock: Lock, tmp_path: Path, capsys: Any) -> None:
    arguments = ["lock", "--source", "bundle", "--lock", str(tmp_path / "l.yml"), "--output", str(tmp_path / "bundle")]
    assert command.main([*arguments, "--extra-image", AGNHOST]) == 0
    assert load_lock(tmp_path / "l.yml") == lock
    assert command.main([*arguments, "--extra-image", AGNHOST]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{tmp_path}/l.yml is as it should be."


def test_bundle_says_whether_it_was_there(settings: dict[str, Any], lock: Lock, capsys: Any, monkeypatch: Any) -> None:
    wishes: list[Wish] = []

    def obtain(wish: Wish, stream: TextIO | None) -> Outcome:
        wishes.append(wish)
        return Outcome(Path("/srv/b"), lock, changed=len(wishes) == 1)

    monkeypatch.setattr(_tasks, "obtain_bundle", obtain)
    arguments = ["bundle", "--kubernetes", "v1.36.1", "--from", "upstream", "--mirror", "https://a=https://b?c=d"]
    assert command.main(arguments) == 0
    assert command.main(["bundle"]) == 0
    assert wishes[0].kubernetes == "v1.36.1"
    assert wishes[0].origin == "upstream"
    assert wishes[0].mirror == {"https://a": "https://b?c=d"}
    assert wishes[1].kubernetes == "v1.37.2"
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Bundle for Kubernetes v1.37.2: /srv/b (made in 0 s)."
    assert second == "Bundle for Kubernetes v1.37.2: /srv/b (is complete already)."


def test_an_unknown_version_is_refused(settings: dict[str, Any], capsys: Any) -> None:
    assert command.main(["bundle", "--kubernetes", "1.20"]) == 1
    assert "error: Kubernetes 1.20 is not supported" in capsys.readouterr().err

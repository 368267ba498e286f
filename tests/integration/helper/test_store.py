"""The store: what gets in, what does not, and what goes."""

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from banger.helper import store
from banger.helper.operation import Failed, Refused
from banger.helper.store import PruneStore, StoreFile
from tests.jails import OWNER, Scene

pytestmark = pytest.mark.root

CONTENT = b"content" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def stored(scene: Scene) -> set[str]:
    return set(os.listdir(scene.host.store)) - {scene.kernel, scene.initrd}


def test_a_file_is_stored_once_and_read_only(scene: Scene) -> None:
    request = StoreFile(path=scene.file(CONTENT), sha256=SHA256)
    assert request.execute(scene.host).values == {"sha256": SHA256}
    path = Path(scene.host.store) / SHA256
    before = path.stat()
    assert path.read_bytes() == CONTENT
    assert (before.st_uid, before.st_gid, stat.S_IMODE(before.st_mode), before.st_nlink) == (0, 0, 0o444, 1)
    Path(request.path).unlink()  # what is stored already is not asked for again
    request.execute(scene.host)
    assert path.stat().st_ino == before.st_ino
    request.undo(scene.host)
    request.undo(scene.host)
    assert stored(scene) == set()


def test_what_a_jail_links_to_stays(scene: Scene) -> None:
    scene.launch()
    request = StoreFile(path="", sha256=scene.kernel)
    request.undo(scene.host)
    assert scene.kernel in os.listdir(scene.host.store)
    scene.request().undo(scene.host)
    request.undo(scene.host)
    assert scene.kernel not in os.listdir(scene.host.store)
    with pytest.raises(Failed, match="not in the store"):
        scene.launch()
    assert scene.left() == []


def test_what_nobody_has_used_for_a_day_is_pruned(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    unused, asked = scene.store(b"unused" * 1000), StoreFile(path=scene.file(CONTENT), sha256=SHA256)
    asked.execute(scene.host)
    scene.launch()
    assert PruneStore().execute(scene.host).values == {"bytes": 0}
    assert stored(scene) == {unused, SHA256}
    place = Path(scene.host.store)
    begun = (place / unused).stat().st_ctime
    while (place / SHA256).stat().st_ctime <= begun:
        asked.execute(scene.host)  # it is there, and used by that
    monkeypatch.setattr(time, "time", lambda: begun + store.UNUSED_SECONDS)
    freed = PruneStore().execute(scene.host).values["bytes"]
    assert isinstance(freed, int) and freed >= 6000
    assert stored(scene) == {SHA256}
    assert scene.kernel in os.listdir(scene.host.store), "a jail holds it"
    monkeypatch.setattr(time, "time", lambda: begun + 10 * store.UNUSED_SECONDS)
    PruneStore().execute(scene.host)
    PruneStore().execute(scene.host)
    assert os.listdir(scene.host.store) == [scene.kernel]


def test_a_file_with_holes_has_them_in_the_store(scene: Scene) -> None:
    content = bytes(8 << 20) + b"end"
    sha256 = scene.store(content)
    path = Path(scene.host.store) / sha256
    assert path.stat().st_size == len(content)
    assert path.stat().st_blocks * 512 < 1 << 20
    assert path.read_bytes() == content


def test_another_content_is_refused(scene: Scene) -> None:
    with pytest.raises(Refused, match="content is not"):
        StoreFile(path=scene.file(CONTENT + b"x"), sha256=SHA256).execute(scene.host)
    assert stored(scene) == set()


def test_a_file_that_changes_while_it_is_copied(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is hashed is what was copied, so a later change is not in the store and an earlier one has no name."""
    content = CONTENT * 400
    path = scene.file(content)
    sha256 = hashlib.sha256(content).hexdigest()
    read, calls = os.read, []

    def after_a_change(descriptor: int, length: int) -> bytes:
        calls.append(length)
        at = 0 if len(calls) > 1 else len(content) - 1  # behind what was read, or before it
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"!")
        return read(descriptor, length)

    monkeypatch.setattr(os, "read", after_a_change)
    with pytest.raises(Refused, match="content is not"):
        StoreFile(path=path, sha256=sha256).execute(scene.host)
    assert len(calls) > 1
    assert stored(scene) == set()


def test_only_files_of_the_owners_below_its_directory(scene: Scene) -> None:
    state = Path(scene.host.state)
    outside = Path(scene.host.private) / "secret"
    outside.write_bytes(CONTENT)
    (state / "link").symlink_to(outside)
    (state / "way").symlink_to(scene.host.private)
    os.mkfifo(state / "fifo")
    (state / "directory").mkdir()
    (state / "roots").write_bytes(CONTENT)
    for each in ("fifo", "directory"):
        os.chown(state / each, OWNER, OWNER)
    for path in (
        str(outside),
        f"{state}/../private/secret",
        f"{state}//link",
        *(str(state / each) for each in ("link", "way/secret", "fifo", "directory", "roots", "x\0y")),
    ):
        with pytest.raises(Refused):
            StoreFile(path=path, sha256=SHA256).execute(scene.host)
    with pytest.raises(Failed, match="no such file"):
        StoreFile(path=str(state / "missing"), sha256=SHA256).execute(scene.host)
    assert stored(scene) == set()


def test_what_is_too_large_is_refused(scene: Scene) -> None:
    path = scene.file(b"")
    os.truncate(path, store.LIMIT + 1)
    with pytest.raises(Refused, match="too large"):
        StoreFile(path=path, sha256=SHA256).execute(scene.host)


def test_a_store_that_others_can_write_is_not_used(scene: Scene) -> None:
    for path in (scene.host.store, scene.host.private):
        Path(path).chmod(0o777)
        with pytest.raises(Failed, match="not root's alone"):
            scene.store(CONTENT)
        Path(path).chmod(0o700)
    assert stored(scene) == set()


def test_a_stored_file_that_somebody_changed_is_not_linked(scene: Scene) -> None:
    os.chown(Path(scene.host.store) / scene.kernel, OWNER, OWNER)
    with pytest.raises(Failed, match="not as we left it"):
        scene.launch()
    assert scene.left() == []

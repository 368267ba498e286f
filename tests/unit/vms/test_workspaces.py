"""What a machine's row and directory say of its workspace, at every point of an import."""

import asyncio
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.api.workspace import Import, Workspace
from banger.paths import Paths
from banger.store.database import Database
from banger.store.records import Records
from banger.vms import handles, workspaces
from banger.vms.record import Machines, VmRecord

ID = "0123456789abcdef"
WANTED = Import(path="/root/app", source="/home/me/app", commit="a" * 40, branch="main")


class Guest:
    """Takes what a `Channel` would send, and looks at the record in the middle of it."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.path = ""
        self.received = b""
        self.failing: Exception | None = None
        self.meanwhile: list[Workspace | None] = []

    async def put(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        self.path = path
        self.meanwhile.append(self.scene.workspace())
        async for chunk in chunks:
            self.received += chunk
        if self.failing is not None:
            raise self.failing


class Scene:
    def __init__(self, tmp_path: Path) -> None:
        self.paths = Paths(*(str(tmp_path / each) for each in ("config", "state", "cache", "runtime")))
        os.makedirs(self.paths.vm(ID))
        self.database = Database(str(tmp_path / "banger.db"))
        self.machines = Machines(Records(self.database, "vms", VmRecord))
        self.machines.insert(
            VmRecord(id=ID, name="one", state="running", image="i", kernel="k", vcpu=1, memory=1, disk_size=1,
                     driver="qemu", created=time.time())
        )  # fmt: skip
        self.guest = Guest(self)

    def workspace(self) -> Workspace | None:
        record = self.machines.get(ID)
        assert record is not None
        return record.workspace

    def take(self, data: bytes, wanted: Import = WANTED, piece: int = 700) -> Workspace:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), piece):
                yield data[start : start + piece]

        return asyncio.run(
            workspaces.take(self.machines, self.paths, ID, wanted, self.guest, chunks())  # type: ignore[arg-type]
        )

    def base(self) -> Import:
        last = self.workspace()
        return Import(path=WANTED.path, source=WANTED.source, base=last.id if last else None)

    def listing(self) -> bytes:
        return workspaces.listing(self.paths, ID)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def archive(listing: bytes, **files: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {workspaces.LISTING: listing, **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


@pytest.mark.parametrize("piece", [1, 511, 512, 4096, 1 << 20])
def test_the_guest_gets_the_archive_without_the_listing(scene: Scene, piece: int) -> None:
    done = scene.take(archive(b"one\0two\0" * 100, file=b"content"), piece=piece)
    assert scene.guest.path == "/root"
    with tarfile.open(fileobj=io.BytesIO(scene.guest.received)) as tar:
        assert tar.getnames() == ["file"]
    assert done == scene.workspace() and done.complete and done.commit == WANTED.commit
    assert scene.listing() == b"one\0two\0" * 100


def test_while_the_files_travel_the_workspace_is_on_record_as_incomplete(scene: Scene) -> None:
    done = scene.take(archive(b"l"))
    (before,) = scene.guest.meanwhile
    assert before is not None and not before.complete and before.id == done.id
    kept = handles.read(scene.paths, ID)
    assert kept is not None and kept.workspace == done


def test_an_import_that_breaks_off_leaves_both_listings_and_the_next_one_mends_it(scene: Scene) -> None:
    scene.take(archive(b"first\0"))
    scene.guest.failing = errors.AgentLost(reason="gone", name="one")
    with pytest.raises(errors.AgentLost):
        scene.take(archive(b"second\0"), scene.base())
    broken = scene.workspace()
    assert broken is not None and not broken.complete
    assert scene.listing() == b"first\0second\0"
    scene.guest.failing = None
    assert scene.take(archive(b"third\0"), scene.base()).complete
    assert scene.listing() == b"third\0"


def test_an_import_that_was_made_for_another_state_is_refused_and_changes_nothing(scene: Scene) -> None:
    first = scene.take(archive(b"first\0"))
    for wanted in (WANTED, Import(path="/root/app", source="/s", base="f" * 32)):
        with pytest.raises(errors.WorkspaceBusy):
            scene.take(archive(b"second\0"), wanted)
    assert scene.workspace() == first and scene.listing() == b"first\0"


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 300, b"x" * 1024, bytes(1024), archive(b"l")[512:], archive(b"l" * 5000)[:2048]],
    ids=["nothing", "short", "no tar", "end", "no listing", "cut listing"],
)
def test_what_is_no_workspace_archive_is_refused_before_anything_is_on_record(scene: Scene, data: bytes) -> None:
    with pytest.raises(errors.UsageError):
        scene.take(data)
    assert scene.workspace() is None and not scene.listing() and not scene.guest.meanwhile


@pytest.mark.parametrize(
    "facts",
    [
        {"path": "root/app"}, {"path": "/root/../etc"}, {"path": "/"}, {"path": "/root/app/"}, {"path": "/a\0b"},
        {"path": "/" + "x" * 5000}, {"source": "."}, {"source": ""}, {"commit": "main"}, {"commit": "A" * 40},
        {"branch": "a\nb"}, {"branch": "x" * 2000}, {"start": "\x1b[0m"}, {"base": "\0"},
    ],
)  # fmt: skip
def test_what_no_record_should_hold_is_refused(facts: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError):
        workspaces.check(msgspec.structs.replace(WANTED, **facts))


def test_a_machine_that_is_deleted_in_the_middle_takes_no_record(scene: Scene) -> None:
    scene.machines.forget(ID)
    with pytest.raises(errors.NotFound):
        scene.take(archive(b"l"))
    assert not scene.guest.meanwhile

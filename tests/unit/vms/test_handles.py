"""The second record of a machine: kept whole, and believed only when it is whole."""

import asyncio
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from banger.paths import Paths
from banger.vmm.driver import Handle
from banger.vms import handles
from banger.vms.record import VmRecord

ID = "0123456789abcdef"
HANDLE = Handle(driver="qemu", pid=1, start_ticks=2, console="/c", machine="microvm")


def record(**fields: object) -> VmRecord:
    plain = VmRecord(
        id=ID, name="one", image="tiny", kernel="k", vcpu=1, memory=1, disk_size=1, driver="qemu", created=time.time()
    )
    return msgspec.structs.replace(plain, **fields)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(*(str(tmp_path / each) for each in ("config", "state", "cache", "runtime")))
    os.makedirs(made.vm(ID))
    return made


def test_what_is_kept_is_read(paths: Paths) -> None:
    for each in (record(), record(handle=HANDLE, state="running")):
        handles.keep(paths, each)
        assert handles.read(paths, ID) == each
    assert os.listdir(paths.vm(ID)) == [handles.NAME]
    assert os.stat(os.path.join(paths.vm(ID), handles.NAME)).st_mode & 0o777 == 0o600


def test_one_that_is_lost_or_damaged_is_written_again(paths: Paths) -> None:
    path = os.path.join(paths.vm(ID), handles.NAME)
    handles.mend(paths, record())
    assert handles.read(paths, ID) is not None
    written = os.stat(path)
    handles.mend(paths, record())
    assert os.path.samestat(os.stat(path), written), "one that is sound stays"
    Path(path).write_text("{")
    handles.mend(paths, record())
    assert handles.read(paths, ID) is not None
    os.unlink(path)
    os.mkdir(path)
    handles.mend(paths, record())  # it can only be told
    assert os.path.isdir(path)


def test_of_many_who_write_the_newest_is_the_last(paths: Paths) -> None:
    async def write() -> None:
        await asyncio.gather(*(handles.kept(paths, record(vcpu=number)) for number in range(30)))

    asyncio.run(write())
    kept = handles.read(paths, ID)
    assert kept is not None and kept.vcpu == 29
    assert os.listdir(paths.vm(ID)) == [handles.NAME]


def test_who_removes_the_directory_waits_for_those_who_write(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()
    keep = handles.keep

    def slow(where: Paths, what: VmRecord | None) -> None:
        begun.set()
        go.wait(10)
        keep(where, what)

    monkeypatch.setattr(handles, "keep", slow)

    async def race() -> None:
        writing = asyncio.ensure_future(handles.kept(paths, record()))
        await asyncio.to_thread(begun.wait, 10)
        removing = asyncio.ensure_future(handles.settled(paths, ID))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done() and not removing.done(), "what is begun is never left in the middle"
        go.set()
        await removing
        assert handles.read(paths, ID) is not None
        with pytest.raises(asyncio.CancelledError):
            await writing

    asyncio.run(race())


def test_a_machine_without_a_directory_or_a_record_has_nothing_to_keep(paths: Paths) -> None:
    handles.keep(paths, record(id="f" * 16))
    handles.keep(paths, None)
    assert handles.read(paths, "f" * 16) is None and os.listdir(paths.vms) == [ID]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff" * 100,
        b"null",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"version": 1, "machine": {"id": "0123456789abcdef"}}',
        b" " * (handles.LIMIT + 1),
    ],
)
def test_a_damaged_file_is_none(paths: Paths, content: bytes) -> None:
    Path(paths.vm(ID), handles.NAME).write_bytes(content)
    assert handles.read(paths, ID) is None


def test_a_file_of_another_machine_or_version_is_none(paths: Paths) -> None:
    path = Path(paths.vm(ID), handles.NAME)
    path.write_bytes(msgspec.json.encode(handles.Handles(1, record(id="f" * 16))))
    assert handles.read(paths, ID) is None
    path.write_bytes(msgspec.json.encode(handles.Handles(2, record())))
    assert handles.read(paths, ID) is None


def test_a_file_that_is_cut_anywhere_is_none(paths: Paths) -> None:
    handles.keep(paths, record(handle=HANDLE))
    path = Path(paths.vm(ID), handles.NAME)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert handles.read(paths, ID) is None


def test_a_link_a_pipe_and_a_directory_are_none(paths: Paths, tmp_path: Path) -> None:
    handles.keep(paths, record())
    path = Path(paths.vm(ID), handles.NAME)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert handles.read(paths, ID) is None
    path.unlink()
    os.mkfifo(path)
    assert handles.read(paths, ID) is None
    path.unlink()
    path.mkdir()
    assert handles.read(paths, ID) is None

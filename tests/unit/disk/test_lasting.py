"""What is promised to last is on disk before it has its name, and the name is before anybody goes on."""

import asyncio
import os
from pathlib import Path

import pytest

from banger import errors
from banger.disk import grow, lasting, work_disk
from banger.disk.roots.files import RAW, Copy, Qcow2
from banger.disk.roots.snapshot import OVERLAY, Snapshot
from banger.disk.roots.strategy import Place, Strategy

MIB = 1 << 20


class Order:
    """What became durable, and what took a name, in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []
        sync, rename = os.fsync, os.rename

        def fsync(descriptor: int) -> None:
            self.told.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
            sync(descriptor)

        def renamed(old: str, new: str) -> None:
            self.told.append(("name", Path(new).name))
            rename(old, new)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "rename", renamed)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Order:
    return Order(monkeypatch)


def place(top: Path, *, durable: bool, size: int = 2 * MIB) -> Place:
    base = top / "base"
    base.write_bytes(b"x" * MIB)
    machine = top / "machine"
    machine.mkdir(exist_ok=True)
    return Place("00000000000000a1", str(machine), str(base), size, durable=durable)


@pytest.mark.parametrize(("strategy", "name"), [(Qcow2(), "disk.qcow2"), (Copy(), RAW)], ids=["qcow2", "copy"])
def test_a_disk_is_durable_before_it_has_its_name(tmp_path: Path, order: Order, strategy: Strategy, name: str) -> None:
    asyncio.run(strategy.make(place(tmp_path, durable=True)))
    assert order.told == [("sync", f"{name}.new"), ("name", name), ("sync", "machine")]


def test_the_file_of_a_snapshot_is_durable_with_its_name(tmp_path: Path, order: Order) -> None:
    made, where = Snapshot(None), place(tmp_path, durable=True)
    asyncio.run(made.make(where))
    assert order.told == [("sync", OVERLAY), ("sync", "machine")]
    asyncio.run(made.grow(where._replace(size=8 * MIB)))
    assert order.told[2:] == [("sync", OVERLAY)]


@pytest.mark.parametrize("strategy", [Qcow2(), Copy(), Snapshot(None)], ids=lambda each: each.name)
def test_the_disk_of_a_machine_that_is_deleted_anyway_waits_for_nothing(
    tmp_path: Path, order: Order, strategy: Strategy
) -> None:
    asyncio.run(strategy.make(place(tmp_path, durable=False)))
    assert [each for each in order.told if each[0] == "sync"] == []


def test_a_work_disk_is_durable_before_it_has_its_name_and_after_it_grew(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: None)  # only root may give files away
    path = str(tmp_path / work_disk.NAME)
    asyncio.run(work_disk.make(path, work_disk.empty(64 * MIB), 64 * MIB, durable=True))
    assert order.told[-3:] == [("sync", "work.ext4.new"), ("name", "work.ext4"), ("sync", tmp_path.name)]
    order.told.clear()
    asyncio.run(grow.raw(path, 96 * MIB))
    asyncio.run(grow.raw(path, 96 * MIB, durable=False))
    assert order.told == [("sync", "work.ext4")]
    asyncio.run(lasting.given(path, os.geteuid(), durable=True))
    assert order.told == [("sync", "work.ext4")] * 2


def test_a_file_that_cannot_be_synced_or_given_is_an_error_with_a_type(tmp_path: Path) -> None:
    with pytest.raises(errors.BangerError):
        asyncio.run(lasting.synced(str(tmp_path / "none")))
    with pytest.raises(errors.BangerError):
        asyncio.run(lasting.given(str(tmp_path / "none"), os.geteuid(), durable=True))

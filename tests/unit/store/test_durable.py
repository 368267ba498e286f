"""Commits that do not wait for the disk, and the sync that all who wait for it share."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from banger import errors
from banger.store import database
from banger.store.database import Database
from tests.installation import scenario


def insert(store: Database, number: int) -> None:
    store.execute("INSERT INTO vms VALUES (?, ?, '{}')", (str(number), f"machine-{number}"))


def waits(store: Database) -> bool:
    return store.rows("PRAGMA synchronous") == [(2,)]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each file that is synced by us, as it comes."""
    real, found = os.fdatasync, []

    def sync(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    return found


@scenario
async def test_many_who_wait_at_once_share_few_syncs(tmp_path: Path, synced: list[str]) -> None:
    store = Database(str(tmp_path / "banger.db"))

    async def change(number: int) -> None:
        database.defer()
        insert(store, number)
        await store.durable()

    await asyncio.gather(*(change(number) for number in range(50)))
    assert 1 <= len(synced) <= 3 and set(synced) == {str(tmp_path / "banger.db-wal")}
    await store.durable()
    assert len(synced) <= 3, "there is nothing new"
    store.close()


@scenario
async def test_what_is_committed_while_a_sync_is_under_way_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Database(str(tmp_path / "banger.db"))
    begun, let, syncs = threading.Event(), threading.Event(), []

    def sync(descriptor: int) -> None:
        syncs.append(descriptor)
        begun.set()
        let.wait()

    monkeypatch.setattr(os, "fdatasync", sync)
    insert(store, 1)
    first = asyncio.create_task(store.durable())
    await asyncio.to_thread(begun.wait)
    insert(store, 2)
    second = asyncio.create_task(store.durable())
    await asyncio.sleep(0)
    let.set()
    await asyncio.gather(first, second)
    assert len(syncs) == 2
    store.close()


@scenario
async def test_a_transaction_counts_when_it_is_committed(tmp_path: Path, synced: list[str]) -> None:
    store = Database(str(tmp_path / "banger.db"))
    begun, let = threading.Event(), threading.Event()

    def slowly() -> None:
        with store.transaction():
            insert(store, 1)
            begun.set()
            let.wait()

    with database.deferred():
        other = asyncio.ensure_future(asyncio.to_thread(slowly))
    await asyncio.to_thread(begun.wait)
    await store.durable()
    let.set()
    await other
    before = len(synced)
    await store.durable()
    assert len(synced) == before + 1
    store.close()


@scenario
async def test_only_who_says_so_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    store = Database(str(tmp_path / "banger.db"))
    with database.deferred():
        insert(store, 1)
        assert not waits(store)
    insert(store, 2)
    assert waits(store)
    with store.transaction():
        with database.deferred():
            insert(store, 3)
        assert waits(store), "a transaction stays what it was at its beginning"

    async def apart() -> None:
        database.defer()
        insert(store, 4)

    await asyncio.create_task(apart())
    insert(store, 5)
    assert waits(store), "one task does not decide for another"
    store.close()


@scenario
async def test_a_disk_that_is_full_is_told_to_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Database(str(tmp_path / "banger.db"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        insert(store, 1)
        found = await asyncio.gather(store.durable(), store.durable(), return_exceptions=True)
        assert [type(each) for each in found] == [errors.DiskFull] * 2
    await store.durable()
    store.close()


@scenario
async def test_the_journal_is_emptied_by_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOVED", 3)
    monkeypatch.setattr(database, "PAUSE", 0.0)
    store = Database(str(tmp_path / "banger.db"))
    real, threads = Database._checkpoint, []

    def seen(self: Database) -> None:
        threads.append(threading.current_thread())
        real(self)

    monkeypatch.setattr(Database, "_checkpoint", seen)
    length = (tmp_path / "banger.db").stat().st_size
    database.defer()
    for number in range(20):
        store.execute("INSERT INTO vms VALUES (?, ?, ?)", (str(number), f"machine-{number}", "x" * 8000))
        await store.durable()
    while store._moving is not None:  # noqa: ASYNC110 - it is the end that is waited for
        await asyncio.sleep(0.01)
    assert threads and threading.main_thread() not in threads
    assert (tmp_path / "banger.db").stat().st_size > length, "what was committed is in the file itself"
    assert store.rows("SELECT count(*) FROM vms") == [(20,)]
    store.close()

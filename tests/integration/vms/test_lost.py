"""Machines whose row is gone: entered again by their second record, or set aside; nobody else's process is touched."""

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

import msgspec

from banger import proc
from banger.api.vm import KeepVm
from banger.vms import handles
from banger.vms.record import VmRecord
from tests.installation import Installation, scenario


def forget(installation: Installation, name: str = "one") -> None:
    with contextlib.closing(sqlite3.connect(installation.paths.database)) as database, database:
        database.execute("DELETE FROM vms WHERE name = ?", (name,))


def rewrite(installation: Installation, vm_id: str, **changes: object) -> None:
    kept = handles.read(installation.paths, vm_id)
    assert kept is not None
    handles.keep(installation.paths, msgspec.structs.replace(kept, **changes))


def pid_of(found: VmRecord | None) -> int:
    assert found is not None and found.handle is not None
    return found.handle.pid


@scenario
async def test_a_machine_that_runs_is_found_again_as_it_was(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        before = daemon.vms.show("one")
    forget(installation)
    async with installation.daemon() as daemon:
        found = daemon.vms.show("one")
        assert (found.id, found.pid, found.state) == (before.id, before.pid, "running")
        assert await daemon.run("one", "/bin/echo", "again") == (0, "again\n")


@scenario
async def test_a_time_limit_that_was_moved_stays_moved(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create("limited", ttl=3600)
        limited = await daemon.vms.keep("limited", KeepVm(ttl=7200))
        await daemon.create("free", ttl=3600)
        await daemon.vms.keep("free", KeepVm(forever=True))
    forget(installation, "limited")
    forget(installation, "free")
    async with installation.daemon() as daemon:
        found = daemon.vms.show("limited")
        assert (found.ttl, found.expires) == (7200, limited.expires)
        free = daemon.vms.show("free")
        assert (free.ttl, free.expires, free.state) == (None, None, "running")


@scenario
async def test_a_machine_that_is_stopped_keeps_its_disk_and_gives_way_to_its_names_new_owner(
    installation: Installation,
) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        first = daemon.vms.show("one").id
    kept = handles.read(installation.paths, first)
    forget(installation)
    os.rename(installation.paths.vm(first), installation.paths.vm(first) + ".away")
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
    os.rename(installation.paths.vm(first) + ".away", installation.paths.vm(first))
    async with installation.daemon() as daemon:
        assert sorted(daemon.names()) == ["one", f"one-{first}"]
        assert kept is not None and daemon.vms.show(first).disk_size == kept.disk_size
        await daemon.done(await daemon.vms.start(first))


@scenario
async def test_a_process_that_is_not_the_machines_own_is_left_alone(installation: Installation) -> None:
    other = proc.spawn([sys.executable, "-c", "import time; time.sleep(600)"], log=os.devnull)
    try:
        async with installation.daemon() as daemon:
            await daemon.create()
            machine = daemon.vms.show("one")
        monitor = handles.read(installation.paths, machine.id)
        assert monitor is not None and monitor.handle is not None
        handle = msgspec.structs.replace(monitor.handle, pid=other.pid, start_ticks=other.start_ticks)
        rewrite(installation, machine.id, handle=handle)
        forget(installation)
        async with installation.daemon() as daemon:
            assert daemon.vms.show("one").state == "stopped"
            await daemon.done(await daemon.vms.delete("one"))
        assert proc.alive(other)
        assert proc.start_ticks(pid_of(monitor)) is None
    finally:
        proc.send_signal(other, 9)


@scenario
async def test_paths_of_others_in_the_file_are_not_followed(installation: Installation, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.touch()
    async with installation.daemon() as daemon:
        await daemon.create()
        vm_id = daemon.vms.show("one").id
    kept = handles.read(installation.paths, vm_id)
    assert kept is not None and kept.handle is not None
    rewrite(installation, vm_id, handle=msgspec.structs.replace(kept.handle, control_socket=str(theirs)))
    forget(installation)
    async with installation.daemon() as daemon:
        assert daemon.vms.show("one").state == "stopped"
        await daemon.done(await daemon.vms.delete("one"))
    assert theirs.exists()


@scenario
async def test_a_disk_that_nobody_knows_is_set_aside_and_named(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        machine = daemon.vms.show("one")
    forget(installation)
    Path(installation.paths.vm(machine.id), handles.NAME).write_bytes(b"garbage")
    async with installation.daemon() as daemon:
        assert daemon.vms.list() == [] and installation.machine_files() == []
        assert machine.pid is not None and proc.start_ticks(machine.pid) is None
    (aside,) = Path(installation.paths.set_aside).iterdir()
    assert aside.name.startswith(machine.id) and (aside / "disk.qcow2").exists()

"""What no record tells of: found without a touch, cleared away when asked, and never taken from a change under way."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from banger import proc
from banger.api.daemon import Leftover
from banger.disk import staging
from banger.vms import boot, handles
from banger.vms.strays import everywhere
from tests.installation import Daemon, Installation, scenario
from tests.integration.vms.test_lost import forget

NOBODY, OTHER = "00000000000000aa", "00000000000000bb"


def told(found: list[Leftover]) -> list[tuple[str, str, str]]:
    return sorted((each.kind, os.path.basename(each.name), each.remedy) for each in found)


def monitor(installation: Installation, vm_id: str) -> proc.Identity:
    """A process that looks like a machine's monitor."""
    initrd = os.path.join(installation.paths.vm(vm_id), boot.INITRD)
    return proc.spawn([sys.executable, "-c", "import time; time.sleep(600)", "-initrd", initrd, "-x"], log=os.devnull)


def tree(installation: Installation) -> set[str]:
    """Every path of the installation."""
    roots = (installation.paths.state, installation.paths.runtime)
    return {str(each) for root in roots for each in Path(root).rglob("*") if "banger.db" not in each.name}


@scenario
async def test_an_installation_in_order_has_nothing_left_over(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        await daemon.create("two", start=False)
        assert await daemon.vms.leftovers.found() == await daemon.vms.leftovers.clear() == []


@scenario
async def test_looking_touches_nothing_and_clearing_takes_all_but_disks(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "GRACE", -3600.0)
    paths = installation.paths
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        stopped = daemon.vms.show("one").id
        strays = [monitor(installation, NOBODY), monitor(installation, stopped)]
        await daemon.until(lambda: len(everywhere(paths)) == 2)  # a new process is its parent's image at first
        for path in (paths.vm(OTHER), paths.vm_runtime(stopped), paths.image(OTHER), paths.staging + "/image-x"):
            os.makedirs(path)
        Path(paths.vm(OTHER), "disk.qcow2").write_bytes(b"somebody's")
        before = tree(installation)
        expected = [
            ("image", OTHER, ""), ("machine", NOBODY, "remove"), ("machine", OTHER, "set aside"),
            ("process", str(strays[1].pid), "end"), ("sockets", stopped, "remove"), ("staging", "image-x", "remove"),
        ]  # fmt: skip
        assert told(await daemon.vms.leftovers.found()) == expected
        assert tree(installation) == before and all(map(proc.alive, strays))
        came = await daemon.vms.leftovers.clear()
        assert [each.kind for each in came if not each.done] == ["image"] and not any(each.error for each in came)
        assert not any(map(proc.alive, strays))
        assert told(await daemon.vms.leftovers.found()) == expected[:1], "the image is the owner's to decide about"
        assert daemon.names() == ["one"] and os.path.isdir(paths.vm(stopped))
    (aside,) = Path(paths.set_aside).iterdir()
    assert (aside / "disk.qcow2").read_bytes() == b"somebody's"


@scenario
async def test_a_machine_that_is_entered_again_is_served(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        before = daemon.vms.show("one")
        forget(installation)
        assert told(await daemon.vms.leftovers.found()) == [("machine", before.id, "enter again")]
        (came,) = await daemon.vms.leftovers.clear()
        assert came.done
        assert (daemon.vms.show("one").pid, daemon.vms.show("one").state) == (before.pid, "running")
        assert await daemon.run("one", "/bin/echo", "again") == (0, "again\n")
        kept = handles.read(installation.paths, before.id)
        assert kept is not None and kept.handle is not None
        proc.send_signal(proc.Identity(kept.handle.pid, kept.handle.start_ticks), 9)
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")


@scenario
async def test_one_that_cannot_be_cleared_keeps_no_other_from_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installation.daemon() as daemon:
        os.makedirs(installation.paths.vm(OTHER))
        stray = monitor(installation, NOBODY)
        await daemon.until(lambda: NOBODY in everywhere(installation.paths))
        Path(installation.paths.set_aside).write_bytes(b"in the way")
        came = {os.path.basename(each.name): each for each in await daemon.vms.leftovers.clear()}
        assert came[OTHER].error and not came[OTHER].done and os.path.isdir(installation.paths.vm(OTHER))
        assert came[NOBODY].done and not proc.alive(stray)


@scenario
async def test_nothing_of_a_change_under_way_is_left_over(installation: Installation) -> None:
    async def life(daemon: Daemon, name: str) -> None:
        await daemon.create(name)
        await daemon.done(await daemon.vms.kill(name))
        await daemon.done(await daemon.vms.start(name))
        await daemon.done(await daemon.vms.delete(name))

    async with installation.daemon() as daemon:
        lives = asyncio.gather(*(life(daemon, f"vm-{number}") for number in range(4)))
        looks = 0
        while not lives.done():
            assert await daemon.vms.leftovers.clear() == []
            looks += 1
        await lives
        assert looks > 3 and daemon.names() == [] and installation.machine_files() == []

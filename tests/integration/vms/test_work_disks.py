"""Machines' work disks from creation to deletion, on machines that are processes; the tools look at the file."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from banger import errors, proc
from banger.api.image import ImportImage
from banger.api.vm import PendingVm, SetVm
from banger.disk import copy, work_disk
from banger.images import seeds
from banger.vms import handles
from tests.guest_images import Tar
from tests.installation import IMAGE, MIB, Daemon, Installation, scenario

GIB = 1 << 30


def disk(installation: Installation, daemon: Daemon) -> Path:
    return Path(installation.paths.vm(daemon.vms.show("one").id), work_disk.NAME)


def told(path: Path, request: str) -> str:
    argv = [proc.find("debugfs"), "-R", request, str(path)]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def sound(path: Path) -> bool:
    return subprocess.run([proc.find("e2fsck"), "-fn", str(path)], capture_output=True, check=False).returncode == 0


async def with_home(daemon: Daemon, directory: Path, size: int = 1 << 20) -> None:
    """An image whose /root has something in it."""
    archive = directory / "home.tar"
    archive.write_bytes(Tar().directory("root", 0o750).file("root/kept", os.urandom(size), 0o640, uid=7).bytes())
    await daemon.done(await daemon.images.import_archive(ImportImage(path=str(archive), name="home", size=256 * MIB)))


@scenario
async def test_it_begins_as_the_images_home_and_goes_with_its_machine(
    installation: Installation, tmp_path: Path
) -> None:
    async with installation.daemon() as daemon:
        await with_home(daemon, tmp_path)
        made = await daemon.create(image="home", work_disk_size=2 * GIB)
        assert [each.name for each in made.phases].index("work-disk") == 4
        path = disk(installation, daemon)
        found = path.stat()
        assert (found.st_size, stat.S_IMODE(found.st_mode)) == (2 * GIB, 0o600)
        assert found.st_blocks * 512 < 4 * MIB, "it takes what is in it"
        assert sound(path)
        assert " 100640 (1)      0      0 " in told(path, "ls -l /")
        assert b"banger.work=work" in b"".join([piece async for piece in daemon.vms.logs("one")])
        kept = handles.read(installation.paths, daemon.vms.show("one").id)
        assert kept is not None and kept.work_disk_size == daemon.vms.show("one").work_disk_size == 2 * GIB
        (stats,) = (await daemon.vms.stats(["one"])).stats
        assert stats.disk_size == daemon.vms.show("one").disk_size + 2 * GIB
        await daemon.done(await daemon.vms.delete("one"))
        assert not path.exists()


@scenario
async def test_without_a_seed_it_begins_empty_and_says_so(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: object, image_id: str, rootfs: str) -> str:
        raise errors.UnusableDisk(path="/rootfs", reason="it is damaged")

    monkeypatch.setattr(seeds.Seeds, "current", fail)
    async with installation.daemon(**{"vm_defaults.work_disk_size": 64 * MIB}) as daemon:
        made = await daemon.create(start=False)
        assert any("/root begins empty" in each for each in made.notices)
        path = disk(installation, daemon)
        assert path.stat().st_size == 64 * MIB and sound(path)
        root = told(path, "stat /")
        assert "Mode:  0700" in root and "User:     0   Group:     0" in root
        assert "banger-work" in told(path, "stats")


@scenario
async def test_one_that_is_asked_for_smaller_than_its_seed_is_refused(
    installation: Installation, tmp_path: Path
) -> None:
    async with installation.daemon(**{"vm_defaults.work_disk_size": 64 * MIB}) as daemon:
        await with_home(daemon, tmp_path, 100 * MIB)
        with pytest.raises(errors.UsageError, match="what the image has on /root needs"):
            await daemon.create(image="home", work_disk_size=80 * MIB)
        assert daemon.names() == [] and installation.machine_files() == []
        (Path(installation.paths.image(daemon.images.show("home").id)) / seeds.NOTE).unlink()
        with pytest.raises(errors.UsageError, match="what the image has on /root needs"):
            await daemon.create(image="home", work_disk_size=80 * MIB)
        assert daemon.names() == [] and installation.machine_files() == []
        await daemon.create(image="home", start=False)
        assert daemon.vms.show("one").work_disk_size == disk(installation, daemon).stat().st_size > 100 * MIB


@scenario
async def test_one_that_is_smaller_than_machines_have_by_default_is_written_to_its_size(
    installation: Installation, tmp_path: Path
) -> None:
    async with installation.daemon(**{"vm_defaults.work_disk_size": GIB}) as daemon:
        await with_home(daemon, tmp_path)
        await daemon.create(image="home", start=False, work_disk_size=100 * MIB)
        path = disk(installation, daemon)
        assert path.stat().st_size == 100 * MIB and sound(path)
        assert " 100640 (1)      0      0 " in told(path, "ls -l /")
        assert not list(path.parent.glob("seed*"))


@scenario
async def test_it_grows_at_the_next_start_and_never_shrinks(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False, work_disk_size=GIB)
        path = disk(installation, daemon)
        await daemon.done(await daemon.vms.set("one", SetVm(work_disk_size=3 * GIB)))
        assert (daemon.vms.show("one").work_disk_size, path.stat().st_size) == (3 * GIB, GIB)
        with pytest.raises(errors.UsageError, match="never shrink"):
            await daemon.vms.set("one", SetVm(work_disk_size=GIB - 4096))
        await daemon.done(await daemon.vms.start("one"))
        assert path.stat().st_size == 3 * GIB and sound(path)
        await daemon.done(await daemon.vms.set("one", SetVm(work_disk_size=4 * GIB)))
        assert daemon.vms.show("one").pending == PendingVm(work_disk_size=4 * GIB)


@scenario
async def test_a_damaged_one_keeps_its_machine_from_starting_and_from_nothing_else(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        path = disk(installation, daemon)
        with path.open("r+b") as file:
            whole = file.read(1 << 20)
            file.seek(0)
            file.write(os.urandom(1 << 20))
        with pytest.raises(errors.UnusableDisk, match="the work disk is damaged") as failed:
            await daemon.done(await daemon.vms.start("one"))
        assert "banger vm delete one" in failed.value.advice
        assert daemon.vms.show("one").state == "created"
        with path.open("r+b") as file:
            file.write(whole)
        await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.kill("one"))
        path.unlink()
        with pytest.raises(errors.UnusableDisk, match="is gone"):
            await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.delete("one"))
        assert daemon.names() == [] and installation.machine_files() == []


@scenario
async def test_a_full_disk_while_it_is_cloned_undoes_the_machine(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*arguments: object, **named: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(copy, "copy", full)
    async with installation.daemon() as daemon:
        with pytest.raises(errors.DiskFull):
            await daemon.create()
        assert daemon.names() == [] and installation.machine_files() == []


@scenario
async def test_it_belongs_to_whom_the_root_belongs(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False, image=IMAGE)
        path = disk(installation, daemon)
        root = path.with_name("disk.qcow2")
        assert (path.stat().st_uid, path.stat().st_mode) == (root.stat().st_uid, root.stat().st_mode)

"""Root file systems of their owners: examined, only read, watched for change, and copied when they are promoted."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.api.image import RegisterImage
from banger.disk import edit
from banger.guest import assets
from banger.images.record import ImageRecord
from tests.home import passable
from tests.installation import MIB, Daemon, Installation, scenario

TOOLS = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}


@pytest.fixture
def rootfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that mke2fs made of a plain directory, with the caller's own ids in it."""
    tree = tmp_path / "tree"
    for name in ("bin", "etc", "tmp", "usr/lib/systemd"):
        (tree / name).mkdir(parents=True)
    (tree / "etc" / "os-release").write_text('ID=box\nVERSION_ID="7"\n')
    (tree / "usr/lib/systemd/systemd").write_text("#!/bin/sh\n")
    (tree / "usr/lib/systemd/systemd").chmod(0o755)
    (tree / "sbin").mkdir()
    (tree / "sbin" / "init").symlink_to("../usr/lib/systemd/systemd")
    with passable(tmp_path) as place:
        path = place / "my rootfs.ext4"
        make(path, tree)
        path.chmod(0o644)
        yield path


def make(path: Path, tree: Path) -> None:
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", str(tree), str(path), "32M"],
        check=True,
        env=TOOLS,
        timeout=60,
        capture_output=True,
    )


async def register(daemon: Daemon, path: Path, name: str = "mine", **fields: Any) -> ImageRecord:
    request = RegisterImage(name=name, path=str(path), **fields)
    await daemon.done(await daemon.images.register(request))
    return daemon.images.find(name)


def debugfs(path: Path, question: str) -> str:
    return subprocess.run(
        ["debugfs", "-R", question, str(path)], env=TOOLS, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@scenario
async def test_a_registered_file_stays_where_and_what_it_is(installation: Installation, rootfs: Path) -> None:
    before, content = rootfs.stat(), rootfs.read_bytes()
    link = rootfs.parent / "link"
    link.symlink_to(rootfs.name)
    async with installation.daemon() as daemon:
        await register(daemon, link, kernel="debian-cloud")
        image = daemon.images.show("mine")
        assert (image.kind, image.managed, image.rootfs, image.kernel) == ("file", False, str(rootfs), "debian-cloud")
        assert (image.init, image.size) == ("/sbin/init", 32 * MIB)
        assert [step.text for step in image.steps] == [f"file {rootfs}"]
        await daemon.create("one", image="mine", start=False)
        with pytest.raises(errors.InUse, match="one"):
            await daemon.images.delete("mine")
        await daemon.done(await daemon.vms.delete("one"))
        await daemon.done(await daemon.images.delete("mine"))
    after = rootfs.stat()
    assert (after.st_ino, after.st_mtime_ns, rootfs.read_bytes()) == (before.st_ino, before.st_mtime_ns, content)
    assert os.listdir(installation.paths.staging) == []


def truncate(path: Path) -> None:
    os.truncate(path, 16 * MIB)


def odd(path: Path) -> None:
    os.truncate(path, 32 * MIB + 512)


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        for number in (2, 3, 4):  # block bitmaps and inode tables
            file.seek(number * 4096)
            file.write(os.urandom(4096))


def mounted(path: Path) -> None:
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", str(path)], env=TOOLS, check=True, timeout=60)


def no_file_system(path: Path) -> None:
    path.write_bytes(os.urandom(1 << 20))


UNUSABLE: list[Callable[[Path], None]] = [truncate, odd, damage, mounted, no_file_system]


@pytest.mark.parametrize("spoil", UNUSABLE)
@scenario
async def test_a_file_system_that_is_not_sound_is_not_registered(
    installation: Installation, rootfs: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(rootfs)
    content = rootfs.read_bytes()
    async with installation.daemon() as daemon:
        with pytest.raises(errors.UnusableDisk):
            await register(daemon, rootfs)
        assert [each.name for each in daemon.images.list()] == ["tiny"]
    assert rootfs.read_bytes() == content and os.listdir(installation.paths.staging) == []


@scenario
async def test_what_cannot_be_a_root_file_system_is_refused_before_anything_begins(
    installation: Installation, rootfs: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    async with installation.daemon() as daemon:
        own = daemon.images.show("tiny").rootfs
        for path, error in (
            ("relative", errors.UsageError),
            (f"{tmp_path}/absent", errors.SourceUnavailable),
            (str(tmp_path), errors.UnusableDisk),
            (f"{tmp_path}/fifo", errors.UnusableDisk),
            ("/dev/null", errors.UnusableDisk),
            (own, errors.UnusableDisk),
        ):
            with pytest.raises(error):
                await daemon.images.register(RegisterImage(name="mine", path=path))
        with pytest.raises(errors.AlreadyExists):
            await daemon.images.register(RegisterImage(name="tiny", path=str(rootfs)))
        for name, kernel in (("Not OK", ""), ("mine", "../x")):
            with pytest.raises(errors.InvalidName):
                await daemon.images.register(RegisterImage(path=str(rootfs), name=name, kernel=kernel))
        assert [each.kind for each in daemon.engine.operations()] == ["image.import"]


@pytest.mark.parametrize("change", ["touched", "replaced", "grown", "gone"])
@scenario
async def test_a_file_that_has_changed_starts_no_machine(installation: Installation, rootfs: Path, change: str) -> None:
    async with installation.daemon() as daemon:
        await register(daemon, rootfs)
        await daemon.create("one", image="mine")
        await daemon.done(await daemon.vms.kill("one"))
        content = rootfs.read_bytes()
        if change == "touched":
            os.utime(rootfs)
        elif change == "grown":
            os.truncate(rootfs, 40 * MIB)
        else:
            rootfs.unlink()
        if change == "replaced":
            rootfs.write_bytes(content)
        said = "gone" if change == "gone" else "changed"
        with pytest.raises(errors.UnusableDisk, match=f"{said} since it was registered as mine"):
            await daemon.done(await daemon.vms.start("one"))
        with pytest.raises(errors.UnusableDisk, match=said):
            await daemon.create("two", image="mine")
        with pytest.raises(errors.UnusableDisk, match=said):
            await daemon.done(await daemon.images.promote("mine"))
        assert daemon.images.show("mine").managed is False and daemon.names() == ["one"]


@scenario
async def test_a_promoted_image_is_a_copy_and_needs_the_file_no_more(installation: Installation, rootfs: Path) -> None:
    content = rootfs.read_bytes()
    async with installation.daemon() as daemon:
        first = await register(daemon, rootfs)
        await daemon.create("old", image="mine", start=False)
        await daemon.done(await daemon.images.promote("mine"))
        image = daemon.images.show("mine")
        assert image.id != first.id and image.managed and image.kind == "file" and image.init == "/sbin/init"
        assert image.allocated < 16 * MIB and [step.text for step in image.steps][1:] == ["copied"]
        for asset in assets.load(installation._agent).files:
            if asset.target is None:
                assert await edit.read(image.rootfs, asset.path, 1 << 22) == asset.content
        assert os.stat(image.rootfs).st_mode & 0o777 == 0o644
        # the machine of before keeps its file, whose image goes with it
        assert daemon.images.get(first.id).name == f"mine@{first.id}"
        assert daemon.vms.show("old").image_id == first.id
        with pytest.raises(errors.UsageError, match="managed"):
            await daemon.images.promote("mine")
        await daemon.done(await daemon.vms.delete("old"))
        await daemon.done(await daemon.images.delete(first.id))
        assert rootfs.read_bytes() == content
        rootfs.unlink()
        await daemon.create("new", image="mine")
        await daemon.done(await daemon.vms.delete("new"))


@pytest.mark.parametrize("stage", ["copy", "publish", "row"])
@scenario
async def test_a_killed_promotion_leaves_the_registered_image(
    installation: Installation, rootfs: Path, stage: str
) -> None:
    async with installation.daemon() as daemon:
        first = await register(daemon, rootfs)
        before = sorted(os.listdir(installation.paths.images))
        operation = await daemon.images.promote("mine")
        async for state in daemon.engine.follow(operation.id):
            if state.step == stage:
                break
    async with installation.daemon() as daemon:
        assert daemon.engine.operation(operation.id).state == "failed"
        assert daemon.images.find("mine") == first
        assert sorted(os.listdir(installation.paths.images)) == before
        assert os.listdir(installation.paths.staging) == []


@scenario
async def test_the_file_is_changed_on_request_alone(installation: Installation, rootfs: Path) -> None:
    """The caller's own ids in it become root's, and the guest's part of banger comes into it."""
    own = os.geteuid()
    if own:
        assert f"User: {own:>5}" in debugfs(rootfs, "stat /etc/os-release")
    async with installation.daemon() as daemon:
        record = await register(daemon, rootfs, root_owned=True, assets=True)
        today = assets.load(installation._agent)
        assert record.assets == today.digest
        assert await edit.read(str(rootfs), assets.AGENT, 1 << 22) == today.files[0].content
        for name in ("/etc/os-release", "/bin", "/sbin/init"):
            assert "User:     0" in debugfs(rootfs, f"stat {name}")
        await edit.check(str(rootfs))
        await daemon.create("one", image="mine")
        await daemon.done(await daemon.vms.delete("one"))

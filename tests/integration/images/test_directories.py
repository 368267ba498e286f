"""``image import --dir`` by a daemon: the image, and what is left when it does not come to its end."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import ImportImage
from banger.api.operation import Operation
from banger.disk import edit
from tests.installation import MIB, Daemon, Installation, scenario

SIZE = 64 * MIB


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "banger")
    yield made
    made.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    for name in ("bin", "etc", "root"):
        (top / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", top / "bin/busybox")
    (top / "bin/sh").symlink_to("busybox")
    (top / "etc/os-release").write_text("ID=made\nVERSION_ID=1\n")
    (top / "root/.profile").write_text("export HERE=1\n")
    os.mkfifo(top / "fifo")
    return top


async def begin(daemon: Daemon, tree: Path, name: str = "made") -> Operation:
    request = ImportImage(path=str(tree), name=name, size=SIZE, directory=True)
    return await daemon.images.import_archive(request)


def files(installation: Installation) -> list[str]:
    roots = (installation.paths.images, installation.paths.staging)
    return [name for root in roots if os.path.isdir(root) for name in os.listdir(root)]


@scenario
async def test_a_directory_becomes_an_image_with_our_own_files_on_top(installation: Installation, tree: Path) -> None:
    async with installation.daemon() as daemon:
        operation = await daemon.done(await begin(daemon, tree))
        assert any("left out: 1 devices" in each for each in operation.notices)
        image = daemon.images.show("made")
        assert (image.kind, image.source, image.init) == ("directory", str(tree), None)
        assert image.digest.startswith("sha256:")
        await edit.check(image.rootfs)
        assert await edit.read(image.rootfs, "/etc/os-release", 4096) == b"ID=made\nVERSION_ID=1\n"
        busybox = await edit.resolve(image.rootfs, "/bin/sh")
        assert busybox is not None and (busybox.uid, busybox.gid) == (0, 0)
        await daemon.done(await begin(daemon, tree, "again"))
        again = daemon.images.show("again")
        assert again.digest == image.digest
        assert Path(again.rootfs).read_bytes() == Path(image.rootfs).read_bytes()


@scenario
async def test_what_is_no_directory_begins_nothing(installation: Installation, tree: Path) -> None:
    async with installation.daemon() as daemon:
        for path in (tree / "bin/busybox", tree / "absent"):
            with pytest.raises(errors.SourceUnavailable):
                await begin(daemon, path)
        assert daemon.engine.operations() == []


@scenario
async def test_a_cancelled_import_leaves_nothing(installation: Installation, tree: Path) -> None:
    with (tree / "large").open("wb") as file:
        file.truncate(48 * MIB)
        for at in range(0, 48 * MIB, MIB):
            file.seek(at)
            file.write(b"data")
    async with installation.daemon() as daemon:
        operation = await begin(daemon, tree)
        async for state in daemon.engine.follow(operation.id):
            if state.step == "build":
                daemon.engine.cancel(operation.id)
        with pytest.raises(errors.Cancelled):
            await daemon.done(operation)
        assert files(installation) == [] and daemon.images.list() == []


@pytest.mark.parametrize("stage", ["fetch", "build", "publish", "row"])
@scenario
async def test_a_daemon_that_dies_meanwhile_leaves_nothing(installation: Installation, tree: Path, stage: str) -> None:
    async with installation.daemon() as daemon:
        operation = await begin(daemon, tree)
        async for state in daemon.engine.follow(operation.id):
            if state.step == stage:
                break
    async with installation.daemon() as daemon:
        assert daemon.engine.operation(operation.id).state == "failed"
        assert files(installation) == [] and daemon.images.list() == []


@scenario
async def test_an_installation_below_the_directory_is_not_in_the_image(tmp_path: Path, tree: Path) -> None:
    installation = Installation(tree / "home")
    try:
        async with installation.daemon() as daemon:
            await daemon.done(await begin(daemon, tree))
            rootfs = daemon.images.show("made").rootfs
            assert await edit.listing(rootfs, "/home/state") == []
    finally:
        installation.close()

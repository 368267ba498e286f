"""Images that are asked for, replaced and removed by several at once, and archives that move while they are read."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.api.image import ImportImage, PullImage
from banger.api.vm import CreateVm
from banger.images import sources
from tests import guest_images
from tests.guest_images import Tar
from tests.installation import MIB, Installation, scenario

SIZE = 64 * MIB


def work(installation: Installation) -> list[str]:
    return os.listdir(installation.paths.staging)


# -- at once ----------------------------------------------------------------------------------------------------------


@scenario
async def test_an_image_that_is_deleted_while_a_machine_is_made_of_it(installation: Installation) -> None:
    """At each of many moments one of the two wins, and the other says why it could not."""
    archive = str(Path(installation.paths.state).parent / "tiny.tar")
    refused = deleted = 0
    async with installation.daemon() as daemon:
        for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
            request = ImportImage(path=archive, name=f"image{turns}", size=SIZE)
            await daemon.done(await daemon.images.import_archive(request))

            async def create(name: str = f"image{turns}") -> None:
                await daemon.done(await daemon.vms.create(CreateVm(name=f"vm-{name}", image=name, start=False)))

            making = asyncio.create_task(create())
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                await daemon.done(await daemon.images.delete(f"image{turns}"))
                deleted += 1
            except errors.InUse as error:
                assert f"vm-image{turns}" in error.message
                refused += 1
            try:
                await making
            except (errors.NotFound, errors.SourceUnavailable, errors.InvalidReference) as error:
                assert f"image{turns}" in error.message
            for vm in daemon.vms.list():
                assert os.path.exists(daemon.images.rootfs(daemon.images.get(vm.image_id)))
            assert work(installation) == []
    assert refused and deleted


@scenario
async def test_two_pulls_of_one_name_by_force(installation: Installation, tmp_path: Path) -> None:
    """Of one reference they make one image; of two, the second is told that the name went to another."""
    one = guest_images.write_layout(tmp_path / "one", [Tar().file("a", b"1").bytes()])
    two = guest_images.write_layout(tmp_path / "two", [Tar().file("a", b"2").bytes()])
    async with installation.daemon() as daemon:
        request = PullImage(reference=one, name="x", size=SIZE, force=True)
        other = PullImage(reference=two, name="x", size=SIZE, force=True)
        made = set()
        for _ in range(3):
            pulls = [await daemon.images.pull(request), await daemon.images.pull(request)]
            await asyncio.gather(*(daemon.done(each) for each in pulls))
            made.add(daemon.images.find("x").id)
        assert len(made) == 3
        running, late = await daemon.images.pull(request), await daemon.images.pull(other)
        with pytest.raises(errors.AlreadyExists, match="x"):
            await daemon.done(late)
        await daemon.done(running)
        assert daemon.images.find("x").source == one
        await daemon.done(await daemon.images.pull(other))
        assert daemon.images.find("x").source == two
        await daemon.until(lambda: len(daemon.images.list()) == 2)  # the replaced ones are swept
        await daemon.until(lambda: len(os.listdir(installation.paths.images)) == 2 and not work(installation))


# -- archives ---------------------------------------------------------------------------------------------------------


async def imported(installation: Installation, path: str) -> None:
    async with installation.daemon() as daemon:
        try:
            await daemon.done(await daemon.images.import_archive(ImportImage(path=path, name="x", size=SIZE)))
        finally:
            assert work(installation) == []
            assert len(os.listdir(installation.paths.images)) == len(daemon.images.list())


@pytest.mark.parametrize("what", ["fifo", "directory", "loop", "missing", "empty", "/dev/zero", "/proc/self/status"])
@scenario
async def test_an_archive_that_is_no_file(installation: Installation, tmp_path: Path, what: str) -> None:
    path = tmp_path / "archive.tar"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    elif what == "empty":
        path.touch()
    with pytest.raises(errors.SourceUnavailable):
        await imported(installation, what if what.startswith("/") else str(path))


@scenario
async def test_an_archive_behind_a_symlink(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "real.tar").write_bytes(Tar().file("a").bytes())
    (tmp_path / "link.tar").symlink_to("real.tar")
    await imported(installation, str(tmp_path / "link.tar"))


def _made_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _swapped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


MOVES: dict[str, Callable[[Path], object]] = {
    "disappears": lambda path: path.unlink(),
    "changes": lambda path: path.write_bytes(Tar().file("evil", b"2" * 5000).bytes()),
    "shrinks": lambda path: os.truncate(path, 700),
    "grows": lambda path: path.write_bytes(path.read_bytes() + bytes(512)),
    "is emptied": lambda path: os.truncate(path, 0),
    "becomes a directory": _made_directory,
    "becomes a fifo": _swapped,
}


@pytest.mark.parametrize("move", MOVES)
def test_an_archive_that_moves_while_it_is_read(
    installation: Installation, tmp_path: Path, move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its digest and its reading, which is where a name would be given to other content."""
    path = tmp_path / "archive.tar"
    path.write_bytes(Tar().file("good", b"1" * 5000).bytes())
    whole = sources.write

    async def moved(*arguments: Any, **options: Any) -> object:
        MOVES[move](path)
        return await whole(*arguments, **options)

    monkeypatch.setattr(sources, "write", moved)
    with pytest.raises(errors.SourceUnavailable, match=r"archive\.tar"):
        asyncio.run(asyncio.wait_for(imported(installation, str(path)), 60))

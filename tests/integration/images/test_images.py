"""Images made from real layouts and archives, by one daemon and over its death."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import ImportImage, PullImage
from banger.api.recipe import BuildImage
from banger.api.vm import CreateVm
from banger.images.record import ImageRecord
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario

SIZE = 64 * MIB


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """A small image as a layout on disk, by its skopeo name."""
    return guest_images.busybox(tmp_path / "layout")


async def pull(daemon: Daemon, reference: str, name: str | None = None, **fields: object) -> ImageRecord:
    request = PullImage(reference=reference, name=name, **{"size": SIZE, **fields})  # type: ignore[arg-type]
    operation = await daemon.done(await daemon.images.pull(request))
    return daemon.images.find(operation.subject)


def files(installation: Installation) -> list[str]:
    """Image directories and work in progress."""
    found = []
    for directory in (installation.paths.images, installation.paths.staging):
        found += os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(found)


@scenario
async def test_a_layout_becomes_a_sound_file_system_under_its_name(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        record = await pull(daemon, layout, "bb")
        image = daemon.images.show("bb")
        assert (image.kind, image.source, image.init, image.size) == ("oci", layout, None, SIZE)
        assert image.config.cmd == ["/bin/sh"] and image.digest.startswith("sha256:")
        assert os.stat(image.rootfs).st_mode & 0o777 == 0o644
        assert daemon.images.find(layout) == record
        path = "/usr/sbin:/sbin:/usr/bin:/bin"
        subprocess.run(["e2fsck", "-fn", image.rootfs], check=True, env={"PATH": path}, capture_output=True)  # noqa: ASYNC221


@scenario
async def test_the_same_content_under_another_name_takes_no_space(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        first, second = await pull(daemon, layout, "first"), await pull(daemon, layout, "second")
        files = [daemon.images.rootfs(each) for each in (first, second)]
        assert first.id != second.id and os.path.samefile(*files)
        await daemon.done(await daemon.images.delete("first"))
        assert not os.path.exists(files[0]) and os.path.exists(files[1])


@scenario
async def test_a_blob_of_the_cache_that_was_damaged_is_fetched_again(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        first = await pull(daemon, layout, "first")
        rootfs = Path(daemon.images.rootfs(first)).read_bytes()
        await daemon.done(await daemon.images.delete("first"))
        blobs = Path(installation.paths.oci_cache, "blobs/sha256")
        largest = max(blobs.iterdir(), key=lambda blob: blob.stat().st_size)
        whole = bytearray(largest.read_bytes())
        whole[len(whole) // 2] ^= 1
        largest.write_bytes(whole)
        operation = await daemon.done(await daemon.images.pull(PullImage(reference=layout, name="second", size=SIZE)))
        assert any("fetching again" in notice for notice in operation.notices)
        assert Path(daemon.images.rootfs(daemon.images.find("second"))).read_bytes() == rootfs


@scenario
async def test_two_pulls_of_one_name_make_one_image(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        request = PullImage(reference=layout, name="bb", size=SIZE)
        one, two = await daemon.images.pull(request), await daemon.images.pull(request)
        assert one.id != two.id
        await asyncio.gather(daemon.done(one), daemon.done(two))
        assert [each.name for each in daemon.images.list() if each.source == layout] == ["bb"]


@scenario
async def test_made_again_it_replaces_the_old_one_unless_a_machine_needs_that(
    installation: Installation, layout: str
) -> None:
    async with installation.daemon() as daemon:
        first = await pull(daemon, layout, "bb")
        second = await pull(daemon, layout, "bb", force=True)
        assert first.id != second.id
        await daemon.until(lambda: first.id not in "".join(files(installation)))
        await daemon.create("one", image="bb", start=False)
        third = await pull(daemon, layout, "bb", force=True)
        assert daemon.images.find("bb") == third
        kept = daemon.images.get(second.id)
        assert kept.name == f"bb@{second.id}" and os.path.exists(daemon.images.rootfs(kept))
        with pytest.raises(errors.InUse, match="one"):
            await daemon.images.delete(second.id)
        await daemon.done(await daemon.vms.delete("one"))
        await daemon.done(await daemon.images.delete(kept.name))
        assert sorted(each.name for each in daemon.images.list()) == ["bb", "tiny"]


@scenario
async def test_machines_that_need_a_missing_image_pull_it_once(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        creates = [daemon.create(name, image=layout, start=False) for name in ("one", "two", "three")]
        done = await asyncio.gather(*creates)
        assert sum(each.kind == "image.pull" for each in daemon.engine.operations()) == 1
        assert all(f"image {layout} is not here: pulling it" in each.notices for each in done)
        assert len({daemon.vms.show(name).image_id for name in ("one", "two", "three")}) == 1
        with pytest.raises(errors.InUse, match="one, three, two"):
            await daemon.images.delete(layout)


@scenario
async def test_when_the_last_machine_that_needs_it_is_cancelled_so_is_the_pull(
    installation: Installation, layout: str
) -> None:
    async with installation.daemon() as daemon:
        before = files(installation)
        operation = await daemon.vms.create(CreateVm(name="one", image=layout))
        await daemon.until(lambda: any(each.kind == "image.pull" for each in daemon.engine.operations()))
        daemon.engine.cancel(operation.id)
        with pytest.raises(errors.Cancelled):
            await daemon.done(operation)
        await daemon.until(lambda: daemon.engine.under_way(f"image/{layout}") is None)
        assert daemon.names() == [] and files(installation) == before


TOO_SMALL, TOO_LARGE = "needs at least 64 MiB", "at most 2 TiB, not"


@pytest.mark.parametrize(
    ("size", "said"), [(0, TOO_SMALL), (MIB, TOO_SMALL), (64 * MIB - 1, TOO_SMALL), ((2 << 40) + 1, TOO_LARGE)]
)
@scenario
async def test_a_size_that_no_image_has_begins_nothing(
    installation: Installation, layout: str, size: int, said: str
) -> None:
    async with installation.daemon() as daemon:
        before = files(installation)
        begun = len(daemon.engine.operations())
        archive = Path(installation.paths.state).parent / "tiny.tar"
        for attempt in (
            daemon.images.pull(PullImage(reference=layout, name="bb", size=size)),
            daemon.images.pull(PullImage(reference="debian-bookworm", size=size)),
            daemon.images.import_archive(ImportImage(path=str(archive), name="bb", size=size)),
            daemon.builds.build(BuildImage(name="bb", suite="bookworm", size=size)),
            daemon.builds.build(BuildImage(name="bb", base="tiny", size=size)),
        ):
            with pytest.raises(errors.BangerError, match=said):
                await attempt
        assert len(daemon.engine.operations()) == begun
        assert [each.name for each in daemon.images.list()] == ["tiny"] and files(installation) == before


@scenario
async def test_sources_that_cannot_be_read_leave_nothing(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "not.tar").write_bytes(b"this is no archive" * 100)
    shutil.copy("/bin/busybox", tmp_path / "program.tar")
    async with installation.daemon() as daemon:
        before = files(installation)
        with pytest.raises(errors.SourceUnavailable):
            await pull(daemon, f"oci:{tmp_path}/absent")
        for name in ("not.tar", "program.tar"):
            request = ImportImage(path=str(tmp_path / name), name="bad", size=SIZE)
            operation = await daemon.images.import_archive(request)
            with pytest.raises(errors.BangerError) as failed:
                await daemon.done(operation)
            assert not isinstance(failed.value, errors.InternalError), failed.value
        assert [each.name for each in daemon.images.list()] == ["tiny"] and files(installation) == before


@scenario
async def test_a_layer_with_an_escaping_name_leaves_nothing(installation: Installation, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    archive.write_bytes(guest_images.Tar().file("../../outside", b"x").bytes())
    async with installation.daemon() as daemon:
        before = files(installation)
        operation = await daemon.images.import_archive(ImportImage(path=str(archive), name="evil", size=SIZE))
        with pytest.raises(errors.UnsafeLayer):
            await daemon.done(operation)
        assert files(installation) == before


@pytest.mark.parametrize("stage", ["fetch", "build", "publish", "row"])
@scenario
async def test_an_unfinished_pull_leaves_what_was_there_before(
    installation: Installation, layout: str, stage: str
) -> None:
    async with installation.daemon() as daemon:
        first = await pull(daemon, layout, "bb")
        before = files(installation)
        operation = await daemon.images.pull(PullImage(reference=layout, name="bb", size=SIZE, force=True))
        async for state in daemon.engine.follow(operation.id):
            if state.step == stage:
                break
    async with installation.daemon() as daemon:
        assert daemon.engine.operation(operation.id).state == "failed"
        assert daemon.images.find("bb") == first and files(installation) == before


@scenario
async def test_what_a_killed_fetch_left_goes_at_the_next_start(installation: Installation, layout: str) -> None:
    async with installation.daemon() as daemon:
        await pull(daemon, layout, "bb")
    cache = Path(installation.paths.oci_cache)
    kept = set(cache.rglob("*"))
    (cache / "pull-killed").mkdir()
    (cache / "pull-killed" / "index.json").write_text("{")
    async with installation.daemon():
        assert set(cache.rglob("*")) == kept


@scenario
async def test_what_was_replaced_but_not_yet_removed_goes_at_the_next_start(
    installation: Installation, layout: str
) -> None:
    async with installation.daemon() as daemon:
        first = await pull(daemon, layout, "bb")
        await daemon.create("one", image="bb", start=False)
        second = await pull(daemon, layout, "bb", force=True)
        await daemon.done(await daemon.vms.delete("one"))
        assert daemon.images.get(first.id).name != "bb"
    async with installation.daemon() as daemon:
        await daemon.until(lambda: {each.name for each in daemon.images.list()} == {"bb", "tiny"})
        assert daemon.images.find("bb") == second

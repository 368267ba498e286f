"""The image is written while its layers come: what goes wrong with either ends both, and nothing is left of them."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from banger import errors, proc
from banger.api.image import PullImage
from banger.api.operation import Operation
from banger.images.record import ROOTFS
from banger.oci import skopeo, transport
from tests import guest_images, leaks
from tests.installation import MIB, Daemon, Installation, scenario
from tests.proxy import Proxy
from tests.pulls import takes_up
from tests.registry import Registry

SKOPEO = skopeo.run
BIG = 6 * MIB
SMALL = 1000


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Before a registry with two images of one base: the newest layer of ``demo/top`` is the large one."""
    base, top = (guest_images.Tar().file(f"f{size}", os.urandom(size)).bytes() for size in (SMALL, BIG))
    other = guest_images.Tar().file("other", os.urandom(2 * MIB)).bytes()
    with Registry(tmp_path) as registry, Proxy(registry.port) as running:
        registry.push(guest_images.write_layout(tmp_path / "top", [base, top]), "demo/top:one")
        registry.push(guest_images.write_layout(tmp_path / "below", [base, top, other]), "demo/below:one")
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


async def begin(daemon: Daemon, proxy: Proxy, name: str) -> Operation:
    return await daemon.images.pull(PullImage(reference=proxy.reference(f"demo/{name}:one"), name=name, size=64 * MIB))


async def pulled(daemon: Daemon, proxy: Proxy, name: str) -> tuple[bytes, list[str]]:
    """The file system of an image, which is removed again, and what was told meanwhile."""
    ended = await daemon.done(await begin(daemon, proxy, name))
    data = Path(daemon.images.show(name).rootfs).read_bytes()
    await daemon.done(await daemon.images.delete(name))
    return data, ended.notices


async def ending_late(arguments: Sequence[str], *, timeout: float | None = None) -> proc.Result:
    """As `skopeo.run`, with a program that takes its time to die."""
    try:
        return await SKOPEO(arguments, timeout=timeout)
    except asyncio.CancelledError:
        await asyncio.sleep(0.3)
        raise


def staged(installation: Installation) -> list[Path]:
    return list(Path(installation.paths.staging).iterdir())


@scenario
async def test_over_a_break_the_bytes_are_those_of_blobs_that_were_there(
    installation: Installation, proxy: Proxy
) -> None:
    async with installation.daemon() as daemon:
        proxy.cut(BIG // 2)
        broken, notices = await pulled(daemon, proxy, "top")
        again = [each for each in notices if "the connection broke; trying again" in each]
        assert proxy.cuts == 1 and bool(again) != takes_up()
        whole, notices = await pulled(daemon, proxy, "top")
        assert broken == whole and notices == []


@scenario
async def test_a_fetch_that_fails_ends_the_writing_with_its_own_error(installation: Installation, proxy: Proxy) -> None:
    async with installation.daemon() as daemon:
        proxy.cut(BIG // 2, times=99)
        with pytest.raises(errors.SourceUnavailable, match="the connection broke"):
            await daemon.done(await begin(daemon, proxy, "top"))
        assert staged(installation) == []
        assert not list(Path(installation.paths.oci_cache).glob("pull-*"))


@scenario
async def test_what_was_begun_goes_with_a_pull_that_is_cancelled(
    installation: Installation, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skopeo, "run", ending_late)
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            pulling = await begin(daemon, proxy, "top")
            assert await asyncio.to_thread(proxy.reached.wait, 60)
            await daemon.until(lambda: any((each / ROOTFS).exists() for each in staged(installation)))
            under_way = daemon.engine.operation(pulling.id)
            assert (under_way.step, under_way.stage) == ("build", "downloading")
            daemon.engine.cancel(pulling.id)
            with pytest.raises(errors.Cancelled):
                await daemon.done(pulling)
            assert staged(installation) == []
            assert not list(Path(installation.paths.oci_cache).glob("pull-*"))


@scenario
async def test_a_blob_that_was_here_and_is_damaged_is_fetched_again(installation: Installation, proxy: Proxy) -> None:
    async with installation.daemon() as daemon:
        sound, _ = await pulled(daemon, proxy, "below")
        cache = Path(installation.paths.oci_cache, "blobs/sha256")
        for each in cache.iterdir():
            if 2 * MIB < each.stat().st_size < BIG:  # the newest layer
                each.unlink()
            elif each.stat().st_size >= BIG:
                each.write_bytes(each.read_bytes()[:-100] + bytes(100))
        data, notices = await pulled(daemon, proxy, "below")
        assert data == sound and notices == ["the cache is damaged; fetching again what is not sound"]


def writers() -> list[leaks.Process]:
    """The processes that write images, or wait for their layers."""
    return [each for each in leaks.descendants(os.getpid()) if each.command.endswith("banger.oci.child")]


@scenario
async def test_a_writer_is_begun_with_the_pull_and_ended_where_there_is_nothing_to_write(
    installation: Installation, proxy: Proxy
) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(0):
            pulling = await begin(daemon, proxy, "top")
            assert await asyncio.to_thread(proxy.reached.wait, 60)
            await daemon.until(lambda: len(writers()) == 1)
            daemon.engine.cancel(pulling.id)
            with pytest.raises(errors.Cancelled):
                await daemon.done(pulling)
            assert writers() == []
        await daemon.done(await begin(daemon, proxy, "top"))
        for each in Path(installation.paths.oci_cache, "blobs/sha256").iterdir():
            each.unlink()
        with proxy.held(BIG // 2):
            twin = await daemon.images.pull(
                PullImage(reference=proxy.reference("demo/top:one"), name="twin", size=64 * MIB)
            )
            assert await asyncio.to_thread(proxy.reached.wait, 60)
            await daemon.until(lambda: daemon.engine.operation(twin.id).step == "build" and writers() == [])
            assert daemon.engine.operation(twin.id).state == "running"
        await daemon.done(twin)
        assert len({Path(daemon.images.show(name).rootfs).stat().st_ino for name in ("top", "twin")}) == 1

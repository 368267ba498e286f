"""Several pulls at once in one daemon, their cancelling, and the pruning of what they have left."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import PullImage
from banger.api.operation import Operation
from banger.oci.cache import Cache
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario
from tests.proxy import Proxy
from tests.registry import Registry

SIZE = 64 * MIB
BIG = 2 << 20


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Before a registry that has ``demo/big:one``."""
    layers = [guest_images.Tar().file("f", os.urandom(BIG)).bytes()]
    with Registry(tmp_path) as registry, Proxy(registry.port) as running:
        registry.push(guest_images.write_layout(tmp_path / "layout", layers), "demo/big:one")
        yield running


async def pull(daemon: Daemon, proxy: Proxy, name: str | None = None) -> Operation:
    request = PullImage(reference=proxy.reference("demo/big:one"), name=name, size=SIZE)
    return await daemon.images.pull(request)


async def reached(proxy: Proxy) -> None:
    assert await asyncio.to_thread(proxy.reached.wait, 60)


def downloads(proxy: Proxy, tmp_path: Path) -> int:
    """How often the layer was asked for. The config is, once or twice: also beside the copy, which may be faster."""
    layer = max((tmp_path / "layout" / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    return len(proxy.asked(part=f"/blobs/sha256:{layer.name}"))


@scenario
async def test_one_download_serves_one_name_two_names_and_machines(
    installation: Installation, proxy: Proxy, tmp_path: Path
) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            pulls = [await pull(daemon, proxy, name) for name in (None, None, "mine", "mine")]
            creates = [
                asyncio.create_task(daemon.create(name, image=proxy.reference("demo/big:one"), start=False))
                for name in ("one", "two")
            ]
            await reached(proxy)
        await asyncio.gather(*(daemon.done(each) for each in pulls), *creates)
        assert len({each.id for each in pulls}) == 4
        assert downloads(proxy, tmp_path) == 1
        names = sorted(each.name for each in daemon.images.list())
        assert names == [proxy.reference("demo/big:one"), "mine", "tiny"]


@scenario
async def test_one_that_is_cancelled_takes_nothing_from_the_others(
    installation: Installation, proxy: Proxy, tmp_path: Path
) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            first, same, other = [await pull(daemon, proxy, name) for name in ("a", "a", "b")]
            machine = asyncio.create_task(daemon.create("one", image=proxy.reference("demo/big:one"), start=False))
            await reached(proxy)
            daemon.engine.cancel(other.id)
            with pytest.raises(errors.Cancelled):
                await daemon.done(other)
            daemon.engine.cancel(first.id)
            with pytest.raises(errors.Cancelled):
                await daemon.done(first)
        await daemon.done(same)
        await machine
        assert downloads(proxy, tmp_path) == 1
        assert "b" not in [each.name for each in daemon.images.list()]


@scenario
async def test_the_last_that_is_cancelled_ends_the_download(
    installation: Installation, proxy: Proxy, tmp_path: Path
) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            pulls = [await pull(daemon, proxy, name) for name in ("a", "a", "b")]
            await reached(proxy)
            for each in pulls:
                daemon.engine.cancel(each.id)
            for each in pulls:
                with pytest.raises(errors.Cancelled):
                    await daemon.done(each)
            cache = Path(installation.paths.oci_cache)
            await daemon.until(lambda: not list(cache.glob("pull-*")))
            assert [each.name for each in daemon.images.list()] == ["tiny"]
            assert all(each.state == "cancelled" for each in daemon.engine.operations() if each.kind == "image.pull")
        proxy.forget()
        await daemon.done(await pull(daemon, proxy, "a"))
        assert downloads(proxy, tmp_path) >= 1


@scenario
async def test_pruning_waits_for_the_build_and_can_be_cancelled(installation: Installation, proxy: Proxy) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            pulling = await pull(daemon, proxy, "a")
            await reached(proxy)
            given_up = await daemon.images.prune_cache()
            assert (await daemon.images.prune_cache()).id == given_up.id
            await daemon.until(lambda: bool(daemon.engine.operation(given_up.id).notices))
            daemon.engine.cancel(given_up.id)
            with pytest.raises(errors.Cancelled):
                await daemon.done(given_up)
            prune = await daemon.images.prune_cache()
            await daemon.until(lambda: bool(daemon.engine.operation(prune.id).notices))
        await daemon.done(pulling)
        ended = await daemon.done(prune)
        assert ended.notices == ["waiting for the pulls that use the cache"]
        assert ended.result["blobs"] == 3 and int(ended.result["bytes"]) > BIG
        assert (daemon.images.cache().blobs, daemon.images.cache().bytes) == (0, 0)
        assert os.path.exists(daemon.images.show("a").rootfs)


@scenario
async def test_what_a_dead_daemon_left_is_swept_and_the_next_pull_goes_on(
    installation: Installation, proxy: Proxy
) -> None:
    async with installation.daemon() as daemon:
        with proxy.held(BIG // 2):
            await pull(daemon, proxy, "a")
            await reached(proxy)
            await daemon.engine.close()
    cache = Path(installation.paths.oci_cache)
    (cache / "pull-left").mkdir()
    (cache / "gone-left").mkdir()
    async with installation.daemon() as daemon:
        assert not list(cache.glob("pull-*")) and not list(cache.glob("gone-*"))
        assert Cache(str(cache)).entries() == []
        await daemon.done(await pull(daemon, proxy, "a"))
        assert [each.name for each in daemon.images.list()] == ["a", "tiny"]

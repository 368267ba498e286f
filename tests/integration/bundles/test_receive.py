"""Whole bundles fetched by the process that does it: checked, cancelled, and what is told of failures."""

import asyncio
import os
from pathlib import Path

import pytest

from banger import errors
from banger.bundles.download import Patience
from banger.bundles.receive import Source, receive
from tests.installation import scenario
from tests.web import Bundle, Handler, Web, image_bundle

HASTY = Patience(silence=1.0, pause=0.0)
ROOTFS = bytes(1 << 20) + os.urandom(1 << 20) + bytes(1 << 20)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return image_bundle(tmp_path / "made", ROOTFS, kernel_ref="mine")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "staging"
    made.mkdir()
    return made


@scenario
async def test_a_bundle_comes_whole_over_connections_that_break(bundle: Bundle, directory: Path) -> None:
    told: list[int] = []
    with Web() as web:
        source = bundle.source(web.serve("/a", bundle.data, most=500_000))
        manifest = await receive(source, str(directory), "image", told.append, HASTY)
    assert (manifest.name, manifest.kernel_ref) == ("box", "mine")
    assert (directory / "rootfs.ext4").read_bytes() == ROOTFS
    assert (directory / "rootfs.ext4").stat().st_blocks * 512 <= (1 << 20) + 8192
    assert told[-1] == len(bundle.data) and told == sorted(told)


@scenario
async def test_other_bytes_of_the_same_length_are_refused(bundle: Bundle, directory: Path, tmp_path: Path) -> None:
    other = image_bundle(tmp_path / "other", ROOTFS[::-1])
    with Web() as web:
        source = Source(web.serve("/a", other.data), bundle.packed.sha256, len(other.data))
        with pytest.raises(errors.CorruptBlob, match=bundle.packed.sha256):
            await receive(source, str(directory), "image", patience=HASTY)


@scenario
async def test_what_is_resumed_with_other_bytes_is_refused(bundle: Bundle, directory: Path) -> None:
    def answer(handler: Handler) -> None:
        begin, size = handler.offset(), len(bundle.data)
        if begin:
            handler.begin(206, Content_Range=f"bytes {begin}-{size - 1}/{size}", Content_Length=str(size - begin))
            handler.wfile.write(bytes(size - begin))
        else:
            handler.begin(200, Content_Length=str(size))
            handler.wfile.write(bundle.data[: size // 2])

    with Web() as web:
        web.paths["/a"] = answer
        with pytest.raises((errors.BadBundle, errors.CorruptBlob)):
            await receive(bundle.source(web.url("/a")), str(directory), "image", patience=HASTY)


@scenario
async def test_failures_keep_their_class_across_the_process(bundle: Bundle, directory: Path) -> None:
    with Web() as web:
        with pytest.raises(errors.SourceUnavailable, match="404"):
            await receive(bundle.source(web.url("/absent")), str(directory), "image", patience=HASTY)
        page = b"<html>" * 1000
        with pytest.raises(errors.BadBundle, match="zstd"):
            await receive(
                Source(web.serve("/page", page), "0" * 64, len(page)), str(directory), "image", patience=HASTY
            )


@scenario
async def test_cancelling_ends_the_process_at_once(bundle: Bundle, directory: Path) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    with Web() as web:

        def answer(handler: Handler) -> None:
            handler.begin(200, Content_Length=str(len(bundle.data)))
            handler.wfile.write(bundle.data[:100_000])
            loop.call_soon_threadsafe(begun.set)
            web.stopped.wait()

        web.paths["/a"] = answer
        receiving = asyncio.create_task(receive(bundle.source(web.url("/a")), str(directory), "image"))
        await begun.wait()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving

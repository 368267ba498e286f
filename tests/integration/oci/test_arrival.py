"""Layers that are read while they come: the order and the pauses of their coming change nothing in the image.

The tests do what skopeo does: a file that grows in the staging directory, and is renamed when it is whole.
"""

import asyncio
import gzip
import hashlib
import itertools
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger import errors
from banger.oci.arrival import PARTIAL
from banger.oci.build import BuildReport
from banger.oci.builder import build_in_child
from banger.oci.layer import LayerSource
from tests.ext4_image import sound
from tests.guest_images import Tar
from tests.installation import scenario

SIZE = 64 << 20
BIG = 12 << 20
"""Bytes of a layer of which the child tells while it reads it."""

NOISE = random.Random(7)
"""Of bytes that do not compress."""


class Coming:
    """An image whose layers the test brings."""

    def __init__(self, directory: Path, *contents: bytes) -> None:
        self.directory = directory
        self.staging = directory / "staging"
        self.staging.mkdir()
        self.blobs = [gzip.compress(each, 1, mtime=0) for each in contents]
        self.layers = [
            LayerSource(
                path=str(directory / f"blob{number}"),
                name=f"layer-{number}",
                digest=f"sha256:{hashlib.sha256(blob).hexdigest()}",
                size=len(blob),
                diff_id=f"sha256:{hashlib.sha256(content).hexdigest()}",
            )
            for number, (blob, content) in enumerate(zip(self.blobs, contents, strict=True))
        ]
        self.told: list[int] = []
        self.output = directory / "image"

    def grow(self, number: int, begin: int, end: int, name: str = "1") -> None:
        with (self.staging / f"{PARTIAL}{name}").open("ab") as file:
            file.write(self.blobs[number][begin:end])

    def finish(self, number: int, name: str = "1") -> None:
        (self.staging / f"{PARTIAL}{name}").rename(self.layers[number].path)

    def bring(self, number: int) -> None:
        self.grow(number, 0, len(self.blobs[number]))
        self.finish(number)

    async def begun(self, done: int = 0) -> None:
        """Wait until the child works, and has read more than ``done`` bytes if that is not 0."""
        while not self.output.exists() or (  # noqa: ASYNC110 - another process does it
            done and max(self.told, default=0) <= done
        ):
            await asyncio.sleep(0.005)

    async def build(self, bring: Callable[[], Awaitable[None]]) -> bytes:
        """What the image is when ``bring`` has brought the layers."""

        async def seed() -> str:
            await bring()
            return "sha256:0"

        made = await self._build(self.output, seed)
        assert made.size == SIZE
        sound(self.output)
        return self.output.read_bytes()

    async def plain(self) -> bytes:
        """What it is when all of them are there."""
        for number in range(len(self.blobs)):
            Path(self.layers[number].path).write_bytes(self.blobs[number])
        await self._build(self.directory / "plain", "sha256:0")
        sound(self.directory / "plain")
        for layer in self.layers:
            os.unlink(layer.path)
        return (self.directory / "plain").read_bytes()

    async def _build(self, output: Path, seed: str | Callable[[], Awaitable[str]]) -> BuildReport:
        return await build_in_child(
            self.layers,
            str(output),
            size=SIZE,
            seed=seed,
            staging=str(self.staging),
            progress=lambda stage, done, total: self.told.append(done if stage == "read" else 0),
        )


def three(directory: Path) -> Coming:
    """Layers that hide something of each other."""
    return Coming(
        directory,
        Tar().file("a", b"1" * 5000).file("b", b"1" * 5000).file("c", b"1" * 5000).bytes(),
        Tar().file("a", b"2" * 5000).file("d", b"2" * 5000).bytes(),
        Tar().file(".wh.b").file("d", b"3" * 5000).bytes(),
    )


def large(directory: Path) -> Coming:
    return Coming(directory, Tar().file("big", NOISE.randbytes(BIG)).bytes(), Tar().file("small", b"2").bytes())


def two(directory: Path) -> Coming:
    """Layers that are both large, the lower one more so."""
    return Coming(
        directory,
        Tar().file("big", NOISE.randbytes(BIG)).bytes(),
        Tar().file("less", NOISE.randbytes(BIG // 2)).bytes(),
    )


@scenario
async def test_layers_in_every_order_become_the_same_bytes(tmp_path: Path) -> None:
    plain = None
    for order in itertools.permutations(range(3)):
        directory = tmp_path / "".join(map(str, order))
        directory.mkdir()
        coming = three(directory)
        plain = plain or await coming.plain()

        async def bring(coming: Coming = coming, order: tuple[int, ...] = order) -> None:
            await coming.begun()
            for number in order:
                coming.bring(number)
                await asyncio.sleep(0.01)

        assert await coming.build(bring) == plain


@scenario
async def test_the_largest_is_read_while_it_grows_also_over_a_break(tmp_path: Path) -> None:
    coming = large(tmp_path)
    plain = await coming.plain()
    coming.told.clear()

    async def bring() -> None:
        coming.bring(1)
        coming.grow(0, 0, BIG // 2)
        await coming.begun(1)
        (coming.staging / f"{PARTIAL}1").unlink()
        coming.staging.rmdir()
        await asyncio.sleep(0.02)
        coming.staging.mkdir()
        coming.grow(0, 0, BIG // 4, "2")
        coming.told.clear()
        coming.grow(0, BIG // 4, BIG - 1000, "2")
        await coming.begun(BIG // 2)
        coming.grow(0, BIG - 1000, len(coming.blobs[0]), "2")
        coming.finish(0, "2")

    assert await coming.build(bring) == plain


@scenario
async def test_one_is_read_before_it_has_its_name_when_it_has_its_size(tmp_path: Path) -> None:
    coming = two(tmp_path)
    plain = await coming.plain()
    coming.told.clear()

    async def bring() -> None:
        coming.grow(1, 0, len(coming.blobs[1]))
        await coming.begun(1)
        coming.finish(1)
        coming.bring(0)

    assert await coming.build(bring) == plain


@scenario
async def test_another_layer_that_had_that_size_for_a_moment_is_damage(tmp_path: Path) -> None:
    coming = two(tmp_path)

    async def bring() -> None:
        coming.grow(0, 0, len(coming.blobs[1]))
        await coming.begun(1)
        coming.grow(0, len(coming.blobs[1]), len(coming.blobs[0]))
        coming.finish(0)
        Path(coming.layers[1].path).write_bytes(coming.blobs[1])

    with pytest.raises(errors.DamagedBlob, match=coming.layers[1].digest):
        await coming.build(bring)
    assert not coming.output.exists()


@scenario
async def test_a_file_that_grows_into_something_else_is_damage(tmp_path: Path) -> None:
    coming = large(tmp_path)

    async def bring() -> None:
        coming.bring(1)
        coming.grow(0, 0, BIG // 2)
        await coming.begun(1)
        with (coming.staging / f"{PARTIAL}1").open("ab") as file:
            file.write(bytes(len(coming.blobs[0]) - BIG // 2))
        coming.finish(0)

    with pytest.raises(errors.DamagedBlob, match=coming.layers[0].digest):
        await coming.build(bring)
    assert not coming.output.exists()


@scenario
async def test_a_layer_that_never_comes_is_damage_when_all_should_be_there(tmp_path: Path) -> None:
    for grown in (0, BIG // 2):
        directory = tmp_path / str(grown)
        directory.mkdir()
        coming = large(directory)

        async def bring(coming: Coming = coming, grown: int = grown) -> None:
            coming.bring(1)
            coming.grow(0, 0, grown)
            await coming.begun(1 if grown else 0)

        with pytest.raises(errors.DamagedBlob, match=coming.layers[0].digest):
            await coming.build(bring)
        assert not coming.output.exists()


@scenario
async def test_what_keeps_the_layers_from_coming_ends_the_child_and_is_told(tmp_path: Path) -> None:
    coming = large(tmp_path)

    async def bring() -> None:
        coming.grow(0, 0, BIG // 2)
        coming.bring(1)
        await coming.begun()
        raise errors.SourceUnavailable(reference="it", reason="the connection broke")

    with pytest.raises(errors.SourceUnavailable, match="the connection broke"):
        await coming.build(bring)
    assert not coming.output.exists()


@scenario
async def test_an_unsafe_layer_that_came_first_is_told_when_the_others_are_here(tmp_path: Path) -> None:
    coming = Coming(tmp_path, Tar().file("big", NOISE.randbytes(BIG)).bytes(), Tar().file("../x", b"2").bytes())

    async def bring() -> None:
        await coming.begun()
        coming.bring(1)
        coming.bring(0)

    with pytest.raises(errors.UnsafeLayer, match="layer-1"):
        await coming.build(bring)
    assert not coming.output.exists()


@scenario
async def test_cancelling_ends_the_child_that_waits(tmp_path: Path) -> None:
    coming = large(tmp_path)
    building = asyncio.create_task(coming.build(asyncio.Event().wait))  # type: ignore[arg-type]
    await coming.begun()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert not coming.output.exists()

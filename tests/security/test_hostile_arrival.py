"""Registries that lie while the image is being written: the errors are those of a pull that waits, and nothing is left.

The image has a layer that is large enough to be read while it comes.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.images import sources
from banger.images.downloads import Downloads
from banger.oci import transport
from tests.ext4_image import sound
from tests.guest_images import Tar
from tests.reports import Silent
from tests.security.hostile_registry import CONFIG, Answer, HostileRegistry, cut, described, digest, endless

SIZE = 64 << 20
LARGE = Tar().file("large", os.urandom(6 << 20)).bytes()
SMALL = Tar().file("small", b"s").bytes()
LAYERS = [LARGE, SMALL]


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as running:
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


async def _pull(registry: HostileRegistry, directory: Path) -> None:
    material = sources.Material(Downloads(str(directory / "cache")))
    try:
        async with sources.arriving(material, registry.reference(), Silent()):
            output = str(directory / "image")
            try:
                await sources.write(material, output, SIZE, Silent(), indexes="", home=output)
            except errors.DamagedBlob:  # as the change does it
                await sources.refetch(material, registry.reference(), Silent())
                await sources.write(material, output, SIZE, Silent(), indexes="", home=output)
    finally:
        material.release()


def pulled(registry: HostileRegistry, directory: Path) -> bytes:
    asyncio.run(_pull(registry, directory))
    sound(directory / "image")
    data = (directory / "image").read_bytes()
    (directory / "image").unlink()
    return data


def refused(registry: HostileRegistry, directory: Path) -> errors.BangerError:
    """The error of a pull that leaves neither an image nor anything but sound blobs behind."""
    with pytest.raises(errors.BangerError) as caught:
        asyncio.run(_pull(registry, directory))
    assert not (directory / "image").exists()
    assert not list((directory / "cache").glob("pull-*"))
    for path in (directory / "cache/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert not isinstance(caught.value, errors.InternalError)
    return caught.value


def test_an_honest_one_is_believed_also_over_a_break(registry: HostileRegistry, tmp_path: Path) -> None:
    registry.image(LAYERS)
    (tmp_path / "other").mkdir()
    plain = pulled(registry, tmp_path / "other")
    registry.blobs[digest(LARGE)] = [cut(LARGE), LARGE]
    assert pulled(registry, tmp_path) == plain


def test_a_layer_that_turns_into_something_else(registry: HostileRegistry, tmp_path: Path) -> None:
    registry.image(LAYERS)
    other = LARGE[: len(LARGE) // 2] + os.urandom(len(LARGE) - len(LARGE) // 2)
    lies: list[list[Answer]] = [[other], [cut(LARGE), other], [cut(other), cut(LARGE), other]]
    for answers in lies:
        registry.blobs[digest(LARGE)] = answers
        assert isinstance(refused(registry, tmp_path), errors.CorruptBlob)


def test_two_halves_that_do_not_belong_together_become_the_image_that_was_promised(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """What was read of the first answer is not what the second one holds there, which is the layer itself."""
    registry.image(LAYERS)
    (tmp_path / "other").mkdir()
    plain = pulled(registry, tmp_path / "other")
    other = Tar().file("large", os.urandom(6 << 20)).bytes()
    registry.blobs[digest(LARGE)] = [cut(other), LARGE]
    assert pulled(registry, tmp_path) == plain


def test_more_than_was_promised_of_a_small_layer_is_not_taken_for_the_large_one(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    registry.image(LAYERS)
    registry.blobs[digest(SMALL)] = [LARGE]
    assert isinstance(refused(registry, tmp_path), errors.CorruptBlob)
    registry.blobs[digest(SMALL)] = [endless]
    assert isinstance(refused(registry, tmp_path), errors.CorruptBlob)


def test_a_config_that_names_other_contents(registry: HostileRegistry, tmp_path: Path) -> None:
    for named in ([digest(LARGE), digest(b"another")], [digest(b"another"), digest(SMALL)]):
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": named}}
        data = json.dumps(config).encode()
        registry.image(LAYERS, config=described(CONFIG, data))
        registry.add(data)
        error = refused(registry, tmp_path)
        assert isinstance(error, errors.CorruptBlob) and "not what the image's config names" in error.message
        assert "whoever published it" in error.advice


def test_a_config_that_is_another_when_it_is_asked_for_again(registry: HostileRegistry, tmp_path: Path) -> None:
    config = registry.image(LAYERS)["config"]["digest"]
    honest = registry.blobs[config][0]
    registry.blobs[config] = [honest, b"{}"]
    assert isinstance(refused(registry, tmp_path), errors.CorruptBlob | errors.SourceUnavailable)
    registry.blobs[config] = [b"{}", honest]
    try:
        made = pulled(registry, tmp_path)
    except errors.CorruptBlob:  # the copy asked first, and was told the lie
        made = pulled(registry, tmp_path)
    assert made

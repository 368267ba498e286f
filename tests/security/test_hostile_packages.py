"""Archives of packages whose mirror lies: what the key of the archive has not signed becomes no image."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.recipe import BuildImage
from banger.oci import debian
from tests import debian_archive
from tests.debian_archive import ROOT, SUITE, TOOL
from tests.home import passable
from tests.installation import Daemon, scenario
from tests.integration.builds.conftest import Rig

RELEASE = f"dists/{SUITE}/InRelease"
INDEX = f"dists/{SUITE}/main/binary-amd64/Packages"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        made.stock()
        yield made
    finally:
        made.close()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sound one, which is believed."""
    with passable(tmp_path, always=True) as place:
        made = debian_archive.make(place / "archive")
        monkeypatch.setattr(debian, "KEYRING", made.keyring)
        yield place / "archive"


async def build(daemon: Daemon, archive: Path) -> None:
    recipe = BuildImage(name="built", suite=SUITE, mirror=f"copy:{archive}", commands=["test -e /tool"])
    await daemon.done(await daemon.builds.build(recipe))


async def refused(rig: Rig, archive: Path, reason: str) -> None:
    """The build fails for that reason, and nothing of it stays."""
    async with rig.daemon() as daemon:
        with pytest.raises(errors.BuildFailed, match=f"(?is)building (Debian {SUITE}|built) failed: .*({reason})"):
            await build(daemon, archive)
        assert rig.left() == []


def change(path: Path, old: bytes, new: bytes) -> None:
    """As many other bytes in a file."""
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


@scenario
async def test_the_archive_is_sound_before_it_lies(rig: Rig, archive: Path) -> None:
    async with rig.daemon() as daemon:
        await build(daemon, archive)
        assert daemon.images.show("built").kind == "debian"


@scenario
async def test_archive_without_a_signature(rig: Rig, archive: Path) -> None:
    signed = (archive / RELEASE).read_text()
    (archive / RELEASE).write_text(signed.split("\n\n", 1)[1].split("-----BEGIN PGP SIGNATURE")[0])
    await refused(rig, archive, "not signed")


@scenario
async def test_archive_that_another_key_has_signed(rig: Rig, archive: Path, tmp_path: Path) -> None:
    other = debian_archive.make(tmp_path / "other")
    (archive / RELEASE).write_bytes((tmp_path / "other" / RELEASE).read_bytes())
    assert other.keyring != debian.KEYRING
    await refused(rig, archive, "not signed")


@scenario
async def test_release_that_was_changed_behind_its_signature(rig: Rig, archive: Path) -> None:
    change(archive / RELEASE, b"Components: main", b"Components: pain")
    await refused(rig, archive, "not signed")


@scenario
async def test_index_that_is_not_the_signed_one(rig: Rig, archive: Path) -> None:
    change(archive / INDEX, b"Version: 1.0", b"Version: 9.0")
    await refused(rig, archive, "hash sum mismatch|failed to fetch")


@pytest.mark.parametrize("name", [ROOT, TOOL])
@scenario
async def test_package_that_is_not_the_indexed_one(rig: Rig, archive: Path, name: str) -> None:
    path = archive / f"pool/{name}.deb"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    await refused(rig, archive, "hash sum mismatch|failed to fetch|apt-get")


@scenario
async def test_package_that_is_not_there(rig: Rig, archive: Path) -> None:
    (archive / f"pool/{TOOL}.deb").unlink()
    await refused(rig, archive, "failed to fetch|apt-get|no such file")

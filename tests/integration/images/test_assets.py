"""Every image carries the guest assets, on top of whatever it brings and without changing what it has."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.api.image import ImportImage, PullImage
from banger.disk import edit
from banger.guest import assets
from banger.images import sources
from banger.images.record import ImageRecord
from banger.oci.build import LayerSource, build_image
from tests import guest_images
from tests.ext4_image import Ext4Image, content
from tests.guest_images import EPOCH, Tar
from tests.installation import MIB, Daemon, Installation, scenario

SIZE = 64 * MIB
TIME = EPOCH * 10**9


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    try:
        yield made
    finally:
        made.close()


async def make(daemon: Daemon, archive: Path, content: bytes, name: str = "made") -> ImageRecord:
    """An image of one archive."""
    archive.write_bytes(content)
    request = ImportImage(path=str(archive), name=name, size=SIZE)
    await daemon.done(await daemon.images.import_archive(request))
    return daemon.images.find(name)


@scenario
async def test_each_file_is_there_with_its_mode_and_owner(installation: Installation, tmp_path: Path) -> None:
    async with installation.daemon() as daemon:
        layout = guest_images.busybox(tmp_path / "layout")
        pulled = await daemon.done(await daemon.images.pull(PullImage(reference=layout, name="bb", size=SIZE)))
        record = daemon.images.find(pulled.subject)
        wanted = assets.load(daemon.images.agent)
        assert record.assets == wanted.digest
        image = Ext4Image(daemon.images.rootfs(record), tmp_path)
        image.check()
        found = image.read()
        for file in wanted.files:
            there = found[file.path.lstrip("/").encode()]
            assert (there.uid, there.gid) == (0, 0), file.path
            if file.target is not None:
                assert (there.kind, there.data) == ("symlink", file.target.encode())
            else:
                assert (there.kind, there.mode, there.data) == ("regular", file.mode, file.content)
        for path in (b"usr/local/libexec", b"etc/systemd/system/multi-user.target.wants"):
            assert (found[path].kind, found[path].mode, found[path].uid) == ("directory", 0o755, 0)
        own = sorted(os.listdir(os.path.dirname(daemon.images.rootfs(record))))
        assert own == ["image.json", "rootfs.ext4", "work-seed.ext4", "work-seed.json"]


@scenario
async def test_a_plain_directory_gets_them_too(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    async with installation.daemon() as daemon:
        request = ImportImage(path=str(tmp_path / "tree"), name="made", size=SIZE, directory=True)
        await daemon.done(await daemon.images.import_archive(request))
        record = daemon.images.find("made")
        wanted = assets.load(daemon.images.agent)
        image = Ext4Image(daemon.images.rootfs(record), tmp_path)
        image.check()
        found = image.read()
    assert record.assets == wanted.digest and {file.path.lstrip("/").encode() for file in wanted.files} <= set(found)


@scenario
async def test_what_the_image_has_stays_as_it_is(installation: Installation, tmp_path: Path) -> None:
    theirs = (
        Tar()
        .directory("usr", 0o711, uid=7)
        .directory("usr/local", 0o2775, uid=1000, gid=50)
        .file("usr/local/note", b"mine", 0o600, uid=1000)
        .directory("data", 0o700)
        .directory("data/units", 0o750, uid=5, gid=6)
        .directory("etc", 0o755)
        .symlink("etc/systemd", "../data/units")
        .symlink("usr/local/libexec", "/opt/programs")
        .file("etc/modules-load.d/theirs.conf", b"loop\n", 0o640)
        .file("usr/local/bin/banger-agent", b"an older one", 0o644, uid=9)
        .symlink("data/units/system/banger-network.service", "/dev/null")
    )
    async with installation.daemon() as daemon:
        record = await make(daemon, tmp_path / "theirs.tar", theirs.bytes())
        image = Ext4Image(daemon.images.rootfs(record), tmp_path)
        image.check()
        found = image.read()
    fields = {path: (each.kind, each.mode, each.uid, each.gid) for path, each in found.items()}
    assert fields[b"usr"] == ("directory", 0o711, 7, 0)
    assert fields[b"usr/local"] == ("directory", 0o2775, 1000, 50)
    assert fields[b"data/units"] == ("directory", 0o750, 5, 6)
    assert all(found[path].mtime == TIME for path in (b"usr", b"usr/local", b"data/units", b"etc"))
    assert found[b"usr/local/note"].data == b"mine" and found[b"etc/modules-load.d/theirs.conf"].data == b"loop\n"
    assert found[b"etc/systemd"].kind == "symlink" and found[b"usr/local/libexec"].data == b"/opt/programs"
    assert fields[b"opt/programs/banger-network-bootstrap"] == ("regular", 0o755, 0, 0)
    assert fields[b"data/units/system/banger-network.service"] == ("regular", 0o644, 0, 0)
    assert fields[b"usr/local/bin/banger-agent"] == ("regular", 0o755, 0, 0)
    assert hashlib.sha256(found[b"usr/local/bin/banger-agent"].data).digest() == _of(daemon.images.agent)


@scenario
async def test_a_file_or_directory_in_the_way_gives_place(installation: Installation, tmp_path: Path) -> None:
    theirs = (
        Tar().file("usr", b"no directory").directory("etc/systemd/system/banger-agent.service").symlink("opt", "usr")
    )
    async with installation.daemon() as daemon:
        record = await make(daemon, tmp_path / "theirs.tar", theirs.bytes())
        image = Ext4Image(daemon.images.rootfs(record), tmp_path)
        image.check()
        found = image.read()
    assert found[b"usr"].kind == "directory" and found[b"usr/local/bin/banger-agent"].mode == 0o755
    assert found[b"etc/systemd/system/banger-agent.service"].kind == "regular"


@scenario
async def test_an_offline_edit_makes_the_same_of_an_image_that_has_none(
    installation: Installation, tmp_path: Path
) -> None:
    content = Tar().directory("etc/systemd/system", 0o750, uid=3).directory("usr/local", 0o700).bytes()
    (tmp_path / "layer.tar").write_bytes(content)
    plain = tmp_path / "plain.ext4"
    build_image([LayerSource(str(tmp_path / "layer.tar"), "layer")], str(plain), size=SIZE, seed="sha256:0")
    async with installation.daemon() as daemon:
        await edit.apply(str(plain), assets.load(daemon.images.agent).files, scratch=str(tmp_path))
        made = await make(daemon, tmp_path / "made.tar", content)
        images = [Ext4Image(each, tmp_path) for each in (str(plain), daemon.images.rootfs(made))]
    for image in images:
        image.check()
    first, second = (
        {path: each._replace(inode=0, mtime=0) for path, each in image.read().items() if path} for image in images
    )
    assert first == second


@scenario
async def test_only_images_with_the_same_assets_share_their_file(installation: Installation, tmp_path: Path) -> None:
    content = Tar().file("etc/motd", b"hello\n").bytes()
    async with installation.daemon() as daemon:
        first = await make(daemon, tmp_path / "one.tar", content, "first")
        second = await make(daemon, tmp_path / "two.tar", content, "second")
        newer = tmp_path / "newer-agent"
        newer.write_bytes(Path(daemon.images.agent).read_bytes() + b"!")
        daemon.images.agent = str(newer)
        third = await make(daemon, tmp_path / "three.tar", content, "third")
        fourth = await make(daemon, tmp_path / "four.tar", content, "fourth")
        files = [daemon.images.rootfs(each) for each in (first, second, third, fourth)]
    assert first.digest == third.digest and first.assets == second.assets != third.assets == fourth.assets
    assert os.path.samefile(files[0], files[1]) and os.path.samefile(files[2], files[3])
    assert not os.path.samefile(files[0], files[2])


@scenario
async def test_the_same_content_gives_the_same_bytes(installation: Installation, tmp_path: Path) -> None:
    digests = []
    for number in range(2):
        async with installation.daemon() as daemon:
            record = await make(daemon, tmp_path / f"{number}.tar", Tar().file("a", b"b").bytes())
            digests.append(_of(daemon.images.rootfs(record)))
            await daemon.done(await daemon.images.delete("made"))
    assert digests[0] == digests[1]


@scenario
async def test_the_size_follows_from_the_content_and_from_no_setting(
    installation: Installation, tmp_path: Path
) -> None:
    """Large enough for a machine of the built-in size, and no setting makes other bytes."""
    (tmp_path / "made.tar").write_bytes(Tar().file("a", b"b" * 70_000).bytes())
    digests = []
    for number, size in enumerate((2 << 30, 20 << 30)):
        async with installation.daemon(**{"vm_defaults.disk_size": size}) as daemon:
            request = ImportImage(path=str(tmp_path / "made.tar"), name=f"made-{number}")
            await daemon.done(await daemon.images.import_archive(request))
            record = daemon.images.find(request.name)
            assert record.fitted and record.size == sources.LEAST == 8 << 30
            digests.append(content(daemon.images.rootfs(record)))
            request = ImportImage(path=str(tmp_path / "made.tar"), name=f"asked-{number}", size=record.size)
            await daemon.done(await daemon.images.import_archive(request))
            asked = daemon.images.find(request.name)
            assert (asked.fitted, asked.size) == (False, record.size), "its groups begin with another number of blocks"
            assert not os.path.samefile(daemon.images.rootfs(asked), daemon.images.rootfs(record))
            for name in (record.name, asked.name):
                await daemon.done(await daemon.images.delete(name))
    assert digests[0] == digests[1]


def _of(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

"""Work seeds: made with the image, of its own /root; made again when the key changes; never written in place."""

import asyncio
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import ImportImage
from banger.disk import edit
from banger.images import seeds
from banger.images.record import ImageRecord
from banger.ssh import keys
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.installation import MIB, Daemon, Installation, scenario


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "banger")
    yield made
    made.close()


def home() -> Tar:
    layer = Tar().directory("root", 0o710, uid=5).file("root/.profile", b"export A=1\n", 0o640, uid=7, gid=8)
    layer.directory("root/.ssh", 0o755).file("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA image", 0o644)
    layer.directory("root/deep/er/still", 0o1777).file("root/deep/er/program", b"p" * 70_000, 0o4755)
    layer.symlink("root/link", ".profile").add("root/fifo", tarfile.FIFOTYPE).file("root/empty", b"", 0)
    layer.file("root/new\nline", b"n").file(b'root/\xff"..'.decode("utf-8", "surrogateescape"), b"odd")
    return layer.file("etc/passwd", b"root:x:0:0:::\n")


async def bring(daemon: Daemon, directory: Path, layer: Tar, name: str = "one") -> ImageRecord:
    archive = directory / f"{name}.tar"
    archive.write_bytes(layer.bytes())
    request = ImportImage(path=str(archive), name=name, size=64 * MIB)
    await daemon.done(await daemon.images.import_archive(request))
    return daemon.images.find(name)


@scenario
async def test_a_seed_holds_the_images_own_home(installation: Installation, tmp_path: Path) -> None:
    async with installation.daemon(seed_ssh_key=False) as daemon:
        record = await bring(daemon, tmp_path, home())
        shown = daemon.images.show("one").work_seed
        assert shown is not None and (shown.size, shown.key) == (64 * MIB, "") and shown.allocated < 4 * MIB
        path = await daemon.images.work_seed(record.id)
        made = Ext4Image(path, tmp_path)
        made.check()
        found = made.read()
        assert {name: (file.kind, file.mode, file.data) for name, file in found.items()} == {
            b"": ("directory", 0o710, b""),
            b".profile": ("regular", 0o640, b"export A=1\n"),
            b".ssh": ("directory", 0o755, b""),
            b".ssh/authorized_keys": ("regular", 0o644, b"ssh-ed25519 AAAA image"),
            b"deep": ("directory", 0o755, b""),
            b"deep/er": ("directory", 0o755, b""),
            b"deep/er/still": ("directory", 0o1777, b""),
            b"deep/er/program": ("regular", 0o4755, b"p" * 70_000),
            b"empty": ("regular", 0, b""),
            b"new\nline": ("regular", 0o644, b"n"),
            b'\xff"..': ("regular", 0o644, b"odd"),
        }
        assert {(file.uid, file.gid) for file in found.values()} == {(0, 0)}
        same = await bring(daemon, tmp_path, home(), "two")
        assert Path(await daemon.images.work_seed(same.id)).read_bytes() == Path(path).read_bytes()


@scenario
async def test_an_image_without_a_home_has_an_empty_one(installation: Installation, tmp_path: Path) -> None:
    layers = {"none": Tar().file("etc/a"), "file": Tar().file("root", b"x"), "loop": Tar().symlink("root", "/root")}
    async with installation.daemon(seed_ssh_key=False) as daemon:
        for name in ("none", "file"):
            record = await bring(daemon, tmp_path, layers[name], name)
            made = Ext4Image(await daemon.images.work_seed(record.id), tmp_path)
            made.check()
            assert list(made.read()) == [b""] and made.read()[b""].mode == 0o700
        looped = await bring(daemon, tmp_path, layers["loop"], "loop")
        assert daemon.images.show("loop").work_seed is None
        with pytest.raises(errors.UnusableDisk, match="too many symbolic links"):
            await daemon.images.work_seed(looped.id)
        assert {name: "too many" in fault for name, fault in (await daemon.images.seed_faults()).items()} == {
            "loop": True
        }


@scenario
async def test_the_key_is_let_in_unless_the_settings_refuse_and_a_new_key_makes_a_new_seed(
    installation: Installation, tmp_path: Path
) -> None:
    async with installation.daemon(seed_ssh_key=False) as daemon:
        record = await bring(daemon, tmp_path, home())
        before = open(await daemon.images.work_seed(record.id), "rb")  # noqa: SIM115
    old = before.read()
    async with installation.daemon() as daemon:
        paths = await asyncio.gather(*[daemon.images.work_seed(record.id) for _ in range(3)])
        pair = keys.read(installation.paths.ssh_key)
        shown = daemon.images.show("one").work_seed
        assert shown is not None and shown.key == pair.fingerprint
        found = Ext4Image(paths[0], tmp_path).read()
        allowed = found[b".ssh/authorized_keys"]
        assert allowed.data.decode().splitlines() == ["ssh-ed25519 AAAA image", pair.public]
        assert (found[b".ssh"].mode, allowed.mode, allowed.uid) == (0o700, 0o600, 0)
        made = os.stat(paths[0])
        assert os.stat(await daemon.images.work_seed(record.id)).st_ino == made.st_ino
    before.seek(0)
    assert before.read() == old and os.fstat(before.fileno()).st_nlink == 0
    before.close()
    other = tmp_path / "mine" / "key"
    async with installation.daemon(ssh_key_path=str(other)) as daemon:
        path = await daemon.images.work_seed(record.id)
        Ext4Image(path, tmp_path).check()
        assert keys.read(str(other)).public.encode() in Ext4Image(path, tmp_path).read()[b".ssh/authorized_keys"].data
        assert os.stat(path).st_ino != made.st_ino
        assert os.listdir(installation.paths.staging) == []
    assert keys.read(installation.paths.ssh_key) == pair


@scenario
async def test_a_seed_that_is_missing_or_half_replaced_is_made_again(
    installation: Installation, tmp_path: Path
) -> None:
    async with installation.daemon() as daemon:
        record = await bring(daemon, tmp_path, home())
        directory = installation.paths.image(record.id)
        whole = Path(directory, seeds.SEED).read_bytes()
        for name, content in ((seeds.NOTE, None), (seeds.SEED, None), (seeds.NOTE, b"{"), (seeds.NOTE, b"")):
            os.unlink(os.path.join(directory, name))
            if content is not None:
                Path(directory, name).write_bytes(content)
            assert Path(await daemon.images.work_seed(record.id)).read_bytes() == whole
        with pytest.raises(errors.NotFound):
            await daemon.images.work_seed("0" * 16)


@scenario
async def test_a_home_that_claims_more_than_its_file_holds_has_no_seed(
    installation: Installation, tmp_path: Path
) -> None:
    layer = Tar().directory("root")
    layer.file("root/sparse", b"", pax_headers={
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(200 << 30), "GNU.sparse.map": "0,0",
    })  # fmt: skip
    async with installation.daemon() as daemon:
        archive = tmp_path / "sparse.tar"
        archive.write_bytes(layer.bytes())
        request = ImportImage(path=str(archive), name="sparse", size=64 * MIB)
        operation = await daemon.done(await daemon.images.import_archive(request))
        assert any("there is no work seed" in notice for notice in operation.notices)
        rootfs = daemon.images.show("sparse").rootfs
        sparse = await edit.stat(rootfs, "/root/sparse")
        assert sparse is not None and sparse.size == 200 << 30

"""Bundles made to harm: each is refused by name, and nothing of it lies outside the directory that is thrown away."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.bundles import pack, unpack
from banger.bundles.manifest import Kind
from tests.guest_images import Tar

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOTFS = b"\x01" * 8192
MANIFEST = json.dumps({"name": "box", "arch": "amd64"}).encode()
KERNEL = b"\x7fELF" + b"\x02" * 5000


def image() -> Tar:
    return Tar().file("manifest.json", MANIFEST).file("rootfs.ext4", ROOTFS)


def kernel() -> Tar:
    return Tar().file("manifest.json", MANIFEST).file("vmlinux", KERNEL)


def inside(stream: bytes, directory: Path, kind: Kind = "image", announced: int | None = None) -> None:
    """Unpack a compressed stream in pieces of an awkward length."""
    pieces = (stream[at : at + 1009] for at in range(0, len(stream), 1009))
    unpack.unpack(pieces, str(directory), kind, "the bundle", len(stream) if announced is None else announced)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where a bundle is unpacked; whatever it does, its neighbours stay what they were."""
    made = tmp_path / "a" / "b" / "staging"
    made.mkdir(parents=True)
    (tmp_path / "a" / "precious").write_text("precious")
    yield made
    assert sorted(each.name for each in (tmp_path / "a").rglob("*") if "staging" not in each.parts) == ["b", "precious"]
    assert (tmp_path / "a" / "precious").read_text() == "precious"


def test_what_is_sound_is_unpacked(directory: Path) -> None:
    inside(zstd.compress(image().bytes()), directory)
    assert {each.name: each.read_bytes() for each in directory.iterdir()} == {"rootfs.ext4": ROOTFS}


def test_a_sound_kernel_is_unpacked_with_its_modules(directory: Path) -> None:
    tar = kernel().directory("modules").directory("modules/kernel/").file("modules/kernel/fs/ext4.ko", b"ko")
    inside(zstd.compress(tar.bytes()), directory, "kernel")
    found = sorted(str(each.relative_to(directory)) for each in directory.rglob("*") if each.is_file())
    assert found == ["modules/kernel/fs/ext4.ko", "vmlinux"]


IMAGE_ATTACKS: dict[str, tuple[Callable[[], Tar], str]] = {
    "another file": (lambda: image().file("etc/passwd", b"x"), "does not belong"),
    "a parent": (lambda: image().file("../precious", b"x"), "does not belong"),
    "a parent behind the right name": (lambda: image().file("rootfs.ext4/../../precious", b"x"), "does not belong"),
    "an absolute name": (lambda: image().file("/precious", b"x"), "does not belong"),
    "another spelling": (lambda: Tar().file("manifest.json", MANIFEST).file("./rootfs.ext4", ROOTFS), "not belong"),
    "a newline": (lambda: image().file("rootfs.ext4\n", b"x"), "does not belong"),
    "a name that is no text": (lambda: image().file("\udcff\udcfe", b"x"), "does not belong"),
    "a symbolic link": (lambda: Tar().symlink("rootfs.ext4", "/etc/passwd"), "no regular file"),
    "a hard link": (lambda: image().hardlink("manifest.json", "rootfs.ext4"), "no regular file"),
    "a directory": (lambda: Tar().directory("rootfs.ext4"), "does not belong"),
    "a device": (lambda: Tar().add("rootfs.ext4", tarfile.BLKTYPE, devmajor=8, devminor=0), "no regular file"),
    "a fifo": (lambda: Tar().add("rootfs.ext4", tarfile.FIFOTYPE), "no regular file"),
    "an unknown type": (lambda: Tar().add("rootfs.ext4", b"Z"), "unknown type"),
    "the root file system twice": (lambda: image().file("rootfs.ext4", b"x"), "twice"),
    "the manifest twice": (lambda: image().file("manifest.json", MANIFEST), "twice"),
    "no manifest": (lambda: Tar().file("rootfs.ext4", ROOTFS), "no manifest.json"),
    "no root file system": (lambda: Tar().file("manifest.json", MANIFEST), "no rootfs.ext4"),
    "nothing": (Tar, "no manifest.json"),
    "a manifest without end": (lambda: Tar().file("manifest.json", b" " * 70_000), "too large"),
    "a manifest that is none": (lambda: Tar().file("manifest.json", b"[" * 60_000), "not understood"),
    "a manifest of the future": (
        lambda: Tar().file("manifest.json", b'{"version": 2, "name": "a", "arch": "amd64"}'),
        "of version 2",
    ),
    "another architecture": (lambda: Tar().file("manifest.json", b'{"name": "a", "arch": "z\\n80"}'), "is for"),
    "a size that is not the manifest's": (
        lambda: Tar().file("rootfs.ext4", ROOTFS).file("manifest.json", b'{"name":"a","arch":"amd64","size":1}'),
        "not the one",
    ),
    "content that is not the manifest's": (
        lambda: (
            Tar()
            .file("rootfs.ext4", ROOTFS)
            .file("manifest.json", json.dumps({"name": "a", "arch": "amd64", "sha256": "0" * 64}).encode())
        ),
        "not the one",
    ),
    "kernel files in an image": (lambda: image().file("vmlinux", KERNEL), "does not belong"),
    "modules in an image": (lambda: image().directory("modules"), "does not belong"),
}


@pytest.mark.parametrize("attack", IMAGE_ATTACKS)
def test_an_image_bundle_with(attack: str, directory: Path) -> None:
    make, said = IMAGE_ATTACKS[attack]
    with pytest.raises(errors.BadBundle, match=said) as refused:
        inside(zstd.compress(make().bytes()), directory)
    assert str(refused.value).isprintable()
    assert all(each.is_file() and not each.is_symlink() for each in directory.iterdir())


KERNEL_ATTACKS: dict[str, tuple[Callable[[], Tar], str]] = {
    "a parent among the modules": (lambda: kernel().file("modules/../../precious", b"x"), "not a name"),
    "a dot among the modules": (lambda: kernel().file("modules/./a", b"x"), "not a name"),
    "an empty component": (lambda: kernel().file("modules//etc/a", b"x"), "not a name"),
    "a file called modules": (lambda: kernel().file("modules", b"x"), "does not belong"),
    "an absolute name": (lambda: kernel().file("/modules/a", b"x"), "does not belong"),
    "a symbolic link among the modules": (lambda: kernel().symlink("modules/build", "/"), "no regular file"),
    "a way through a link": (
        lambda: kernel().symlink("modules/out", "../../..").file("modules/out/precious", b"x"),
        "no regular file",
    ),
    "a hard link among the modules": (lambda: kernel().hardlink("modules/a", "vmlinux"), "no regular file"),
    "a file twice": (lambda: kernel().file("modules/a", b"x").file("modules/a", b"y"), "twice"),
    "a directory twice": (lambda: kernel().directory("modules/a").directory("modules/a/"), "twice"),
    "a file that becomes a directory": (
        lambda: kernel().file("modules/a", b"x").file("modules/a/b", b"y"),
        "both a file and a directory",
    ),
    "a directory in the place of a file": (
        lambda: kernel().file("modules/a", b"x").directory("modules/a/b"),
        "both a file and a directory",
    ),
    "a directory that becomes a file": (
        lambda: kernel().directory("modules/a/b").file("modules/a", b"x"),
        "both a file and a directory",
    ),
    "control characters": (lambda: kernel().file("modules/\x1b[2J", b"x"), "not a name"),
    "a depth without end": (lambda: kernel().file("modules/" + "a/" * 100 + "b", b"x"), "too long"),
    "a name of 300 bytes": (lambda: kernel().file("modules/" + "a" * 300, b"x"), "not a name"),
    "no kernel": (lambda: Tar().file("manifest.json", MANIFEST), "no vmlinux or bzImage"),
    "a root file system": (lambda: kernel().file("rootfs.ext4", ROOTFS), "does not belong"),
    "a directory of another name": (lambda: kernel().directory("etc"), "does not belong"),
}


@pytest.mark.parametrize("attack", KERNEL_ATTACKS)
def test_a_kernel_bundle_with(attack: str, directory: Path) -> None:
    make, said = KERNEL_ATTACKS[attack]
    with pytest.raises(errors.BadBundle, match=said):
        inside(zstd.compress(make().bytes()), directory, "kernel")
    assert not any(each.is_symlink() for each in directory.rglob("*"))


def test_more_files_than_any_kernel_has(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "FILES_LIMIT", 100)
    tar = kernel()
    for number in range(100):
        tar.file(f"modules/{number}", b"")
    with pytest.raises(errors.BadBundle, match="too many"):
        inside(zstd.compress(tar.bytes()), directory, "kernel")


@pytest.mark.parametrize(("name", "kind"), [("rootfs.ext4", "image"), ("vmlinux", "kernel")])
def test_a_size_beyond_all_limits_is_refused_before_a_byte_is_written(directory: Path, name: str, kind: Kind) -> None:
    header = pack.header(name, 1 << 62)
    with pytest.raises(errors.BadBundle, match="size"):
        inside(zstd.compress(Tar().file("manifest.json", MANIFEST).bytes()[:1024] + header), directory, kind)
    assert list(directory.iterdir()) == []


def test_a_bomb_ends_at_a_multiple_of_what_was_announced(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "FLOOR", 1 << 20)
    stream = zstd.compress(Tar().file("manifest.json", MANIFEST).file("rootfs.ext4", b"\x01" * (32 << 20)).bytes())
    assert len(stream) < 10_000
    with pytest.raises(errors.BadBundle, match="far more"):
        inside(stream, directory)
    assert os.stat(directory / "rootfs.ext4").st_blocks * 512 <= (1 << 20) + unpack.RATIO * len(stream) + (1 << 20)


def test_a_bomb_of_zeros_takes_no_space(directory: Path) -> None:
    stream = zstd.compress(Tar().file("manifest.json", MANIFEST).file("rootfs.ext4", bytes(64 << 20)).bytes())
    inside(stream, directory)
    found = os.stat(directory / "rootfs.ext4")
    assert (found.st_size, found.st_blocks) == (64 << 20, 0)


def test_a_sparse_entry_whose_map_lies(directory: Path) -> None:
    sound = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "16384"}
    for layout, said in (("0,4096", None), ("0,8192,4096,4096", "order"), ("20000,4096", "fit"), ("-5,4096", "number")):
        for each in directory.iterdir():
            each.unlink()
        headers = {**sound, "GNU.sparse.map": layout}
        tar = Tar().file("manifest.json", MANIFEST).file("rootfs.ext4", b"\x01" * 4096, pax_headers=headers)
        stream = zstd.compress(tar.bytes())
        if said is None:
            inside(stream, directory)
            assert (directory / "rootfs.ext4").read_bytes() == b"\x01" * 4096 + bytes(12288)
        else:
            with pytest.raises(errors.BadBundle, match=said):
                inside(stream, directory)


def test_what_follows_the_archive_or_the_stream(directory: Path) -> None:
    tar = image().bytes()
    for stream, said in (
        (zstd.compress(tar + b"more"), "follows its end"),
        (zstd.compress(tar + bytes(4 << 20)), "goes on"),
        (zstd.compress(tar) + b"garbage", "follows the end"),
        (zstd.compress(tar) + zstd.compress(tar), "follows the end"),
        (zstd.compress(tar) + bytes(4096), "follows the end"),
    ):
        for each in directory.iterdir():
            each.unlink()
        with pytest.raises(errors.BadBundle, match=said):
            inside(stream, directory)


def test_a_stream_cut_short_anywhere(directory: Path) -> None:
    stream = zstd.compress(image().bytes())
    for length in (0, 1, 4, len(stream) // 2, len(stream) - 1):
        for each in directory.iterdir():
            each.unlink()
        with pytest.raises(errors.BadBundle):
            inside(stream[:length], directory)


def test_an_archive_cut_short_anywhere(directory: Path) -> None:
    tar = image().bytes()
    for length in range(1, len(Tar().file("manifest.json", MANIFEST).bytes()[:1024]) + 512 + len(ROOTFS), 700):
        for each in directory.iterdir():
            each.unlink()
        with pytest.raises(errors.BadBundle):
            inside(zstd.compress(tar[:length]), directory)


def test_no_zstd_at_all_and_a_damaged_one(directory: Path) -> None:
    sound = bytearray(zstd.compress(image().bytes(), options={zstd.CompressionParameter.checksum_flag: 1}))
    sound[len(sound) // 2] ^= 0xFF
    for stream in (b"\x1f\x8b" + bytes(100), image().bytes(), b"<html>404</html>" * 100, bytes(sound)):
        with pytest.raises(errors.BadBundle, match=r"zstd|early"):
            inside(stream, directory)


def test_a_frame_that_asks_for_a_window_of_gigabytes(directory: Path) -> None:
    # magic, a frame header with a window of 2 GiB and nothing known of the content, a first block of raw bytes
    stream = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(errors.BadBundle, match="zstd"):
        inside(stream, directory)


def test_no_file_of_ours_is_followed_or_overwritten(directory: Path) -> None:
    victim = directory.parent / "victim"
    victim.write_bytes(b"old")
    (directory / "rootfs.ext4").symlink_to(victim)
    with pytest.raises(errors.BadBundle):
        inside(zstd.compress(image().bytes()), directory)
    assert victim.read_bytes() == b"old"
    victim.unlink()


def test_tar_of_python_and_ours_agree_on_what_we_write(directory: Path, tmp_path: Path) -> None:
    """So that every attack above starts from the format as others read it."""
    (tmp_path / "rootfs").write_bytes(ROOTFS)
    packed = pack.pack(MANIFEST, [("rootfs.ext4", str(tmp_path / "rootfs"))], str(tmp_path / "bundle"))
    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(Path(packed.path).read_bytes()))) as tar:
        assert [(each.name, each.size, each.uid, each.mtime, each.mode) for each in tar] == [
            ("manifest.json", len(MANIFEST), 0, 0, 0o644),
            ("rootfs.ext4", len(ROOTFS), 0, 0, 0o644),
        ]
    inside(Path(packed.path).read_bytes(), directory)
    (tmp_path / "rootfs").unlink()

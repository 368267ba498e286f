"""File systems that somebody else wrote, given to the offline editor, the reader and the seed: a clear end to each.

The images are made by debugfs and by writing over single fields, so that their checksums are those of an attacker who
knows how to count them.
"""

import asyncio
import os
import resource
import struct
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from banger import errors
from banger.config import settings
from banger.disk import contents, edit
from banger.disk.guest_file import GuestFile
from banger.images.seeds import SEED, Seeds
from banger.oci.build import LayerSource, build_image
from banger.paths import Paths
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar


def tool(name: str) -> str:
    return next(each for each in (f"/usr/sbin/{name}", f"/sbin/{name}") if os.path.exists(each))


def plain(path: Path, *features: str) -> Path:
    """An empty file system without checksums, in which anything can be written."""
    path.write_bytes(b"")
    os.truncate(path, 16 << 20)
    options = ("-O", ",".join(("^metadata_csum", "^has_journal", *features)))
    subprocess.run(
        [tool("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", *options, path], check=True, capture_output=True
    )
    return path


def debugfs(path: Path, *commands: str) -> str:
    done = subprocess.run(
        [tool("debugfs"), "-w", "-f", "-", path],
        input="\n".join([*commands, ""]),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def directory_block(path: Path, directory: str) -> int:
    return int(debugfs(path, f"blocks {directory}").splitlines()[1].split()[0])


def names(path: Path, directory: str, *entries: tuple[int, bytes]) -> None:
    """Write a directory's block anew: entries by inode and name."""
    raw = b""
    for number, name in entries:
        size = len(name) + 11 & ~3
        raw += struct.pack("<IHBB", number, size, len(name), 1) + name.ljust(size - 8, b"\0")
    last = len(entries[-1][1]) + 11 & ~3
    raw = raw[: len(raw) - last + 4] + struct.pack("<H", 4096 - len(raw) + last) + raw[len(raw) - last + 6 :]
    with path.open("r+b") as file:
        file.seek(directory_block(path, directory) * 4096)
        file.write(raw.ljust(4096, b"\0"))


def home(path: Path) -> Path:
    debugfs(path, "mkdir /root", "mkdir /root/sub", "write /etc/passwd /root/file")
    return path


def inode(path: Path, name: str) -> int:
    found = asyncio.run(edit.stat(str(path), name))
    assert found is not None
    return found.number


def seed(path: Path, scratch: Path) -> Path:
    """The seed of a file system, as the images make it."""
    scratch.mkdir()
    paths = Paths(*(str(scratch / each) for each in ("config", "state", "cache", "run")))
    asyncio.run(Seeds(paths, settings.build({"seed_ssh_key": False})).make(str(path), str(scratch)))
    return scratch / SEED


def refused(path: Path, tmp_path: Path, *words: str) -> None:
    """Neither a seed nor a listing of the home comes out, and nothing is left; any of ``words`` is the reason."""
    with pytest.raises(errors.UnusableDisk) as failed:
        seed(path, tmp_path / "scratch")
    assert any(word in str(failed.value) for word in words), failed.value
    assert str(failed.value).isprintable()
    assert os.listdir(tmp_path / "scratch") == []


def test_a_name_with_a_newline_and_a_false_row_stays_a_name(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image"))
    number = inode(path, "/root/file")
    false = b"x\nmark-0123456789abcdef-0\ndebugfs: ls"
    root, top = inode(path, "/root"), 2
    names(path, "/root", (root, b"."), (top, b".."), (number, false), (number, b'"'), (number, b"\x1b[2J\xff"))
    found = asyncio.run(edit.listing(str(path), "/root"))
    assert [each.name for each in found] == [false, b'"', b"\x1b[2J\xff"]
    made = seed(path, tmp_path / "scratch")
    Ext4Image(made, tmp_path).check()
    kept = {each.name for each in asyncio.run(edit.listing(str(made), "/"))}
    assert kept == {b"lost+found", false, b'"', b"\x1b[2J\xff"}


@pytest.mark.parametrize("name", [b"../../../../etc/cron.d/x", b"/etc/cron.d/x", b"a/b\n/12/100644/0/0/c/1/"])
def test_a_name_that_no_directory_can_hold(tmp_path: Path, name: bytes) -> None:
    path = home(plain(tmp_path / "image"))
    number = inode(path, "/root/file")
    names(path, "/root", (inode(path, "/root"), b"."), (2, b".."), (number, name))
    refused(path, tmp_path, "no directory can hold", "directory corrupted", "EXT2")
    assert not list(tmp_path.glob("**/cron.d"))


def test_a_name_with_a_zero_byte_ends_there(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image"))
    names(path, "/root", (inode(path, "/root"), b"."), (2, b".."), (inode(path, "/root/file"), b"nul\0/../x"))
    assert [each.name for each in asyncio.run(edit.listing(str(path), "/root"))] == [b"nul"]


def test_names_that_mean_this_directory_and_its_parent_are_no_files(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image"))
    number = inode(path, "/root/file")
    names(path, "/root", (inode(path, "/root"), b"."), (2, b".."), (number, b".."), (number, b"."), (number, b"kept"))
    made = Ext4Image(seed(path, tmp_path / "scratch"), tmp_path)
    made.check()
    assert set(made.read()) == {b"", b"kept"}


@pytest.mark.parametrize("target", ["/root", "/root/sub", "/"])
def test_a_directory_that_contains_itself(tmp_path: Path, target: str) -> None:
    path = home(plain(tmp_path / "image"))
    sub = inode(path, "/root/sub")
    names(path, "/root/sub", (sub, b"."), (sub, b".."), (inode(path, target), b"again"))
    refused(path, tmp_path, "contains itself")


def test_links_in_a_circle(tmp_path: Path) -> None:
    path = plain(tmp_path / "image")
    debugfs(path, "symlink /root /other", "symlink /other /root", "symlink /deep /deep/deep/deep")
    refused(path, tmp_path, "too many symbolic links")
    with pytest.raises(errors.UnusableDisk):
        asyncio.run(edit.read(str(path), "/deep/x", 1))


def test_a_link_that_climbs_out_of_the_file_system_stays_in_it(tmp_path: Path) -> None:
    path = plain(tmp_path / "image")
    debugfs(path, "symlink /out ../../../../../../../../etc/passwd", "symlink /root ../../../../../tmp")
    with pytest.raises(errors.NoSuchPath):
        asyncio.run(edit.read(str(path), "/out", 1 << 20))
    assert set(Ext4Image(seed(path, tmp_path / "scratch"), tmp_path).read()) == {b""}


@pytest.mark.parametrize("size", [1 << 40, (1 << 63) - 1])
def test_a_file_that_claims_an_absurd_size(tmp_path: Path, size: int) -> None:
    path = home(plain(tmp_path / "image"))
    debugfs(path, f"sif /root/file size {size}")
    refused(path, tmp_path, "more than the file holds", "no directory can hold")
    with pytest.raises(errors.UnusableDisk):
        asyncio.run(edit.read(str(path), "/root/file", 1 << 20))


def test_a_directory_that_claims_an_absurd_size(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image"))
    debugfs(path, "sif /root size 0x7fffffffffffffff")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    found = asyncio.run(edit.listing(str(path), "/root"))
    assert [each.name for each in found] == [b"sub", b"file"]
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) < 1 << 20  # KiB


def test_a_file_whose_blocks_lie_outside(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image", "^extents", "^64bit"))
    debugfs(path, "sif /root/file block[0] 0x7fffffff")
    refused(path, tmp_path, "Illegal block number", "Invalid argument", "short read", "read whole")


def test_a_home_of_special_files_is_an_empty_seed(tmp_path: Path) -> None:
    path = home(plain(tmp_path / "image"))
    debugfs(path, "cd /root", "mknod console c 5 1", "mknod disk b 8 0", "mknod pipe p", "symlink shadow /etc/shadow")
    assert set(Ext4Image(seed(path, tmp_path / "scratch"), tmp_path).read()) == {b"", b"sub", b"file"}


FIELDS: list[tuple[str, int, str, int]] = [
    ("more blocks than the file has", 0x04, "<I", 0xFFFFFFFF), ("blocks of an absurd size", 0x18, "<I", 31),
    ("no blocks", 0x04, "<I", 0), ("no inodes", 0x00, "<I", 0), ("no inodes in a group", 0x28, "<I", 0),
    ("no blocks in a group", 0x20, "<I", 0), ("a first block beyond the end", 0x14, "<I", 0xFFFFFFF0),
    ("inodes of an absurd size", 0x58, "<H", 0xFFFF), ("descriptors of an absurd size", 0xFE, "<H", 0xFFFF),
    ("all features", 0x60, "<I", 0xFFFFFFFF), ("a revision of the future", 0x4C, "<I", 0xFFFFFFFF),
    ("more inodes than blocks", 0x00, "<I", 0xFFFFFFFF), ("inodes in a group without end", 0x28, "<I", 0xFFFFFFF8),
]  # fmt: skip


@pytest.mark.parametrize(("at", "form", "value"), [field[1:] for field in FIELDS], ids=[field[0] for field in FIELDS])
def test_a_superblock_that_lies(tmp_path: Path, at: int, form: str, value: int) -> None:
    path = home(plain(tmp_path / "image"))
    with path.open("r+b") as file:
        file.seek(1024 + at)
        file.write(struct.pack(form, value))
    before = path.read_bytes()
    refused(path, tmp_path, "")
    with pytest.raises(errors.UnusableDisk):
        asyncio.run(edit.apply(str(path), [GuestFile("/a")], scratch=str(tmp_path)))
    assert path.read_bytes() == before


def test_every_block_of_metadata_turned_into_noise_ends_in_an_answer_or_an_error(tmp_path: Path) -> None:
    layer = Tar().directory("root").file("root/.profile", b"x" * 5000).directory("root/d").file("root/d/e", b"y")
    (tmp_path / "layer").write_bytes(layer.bytes())
    path = tmp_path / "image"
    build_image([LayerSource(path=str(tmp_path / "layer"), name="l")], str(path), size=64 << 20, seed="noise")
    whole = path.read_bytes()
    used = [at for at in range(4096, len(whole), 4096) if any(whole[at : at + 4096])]
    noise = (b"\xff" * 4096, bytes(range(256)) * 16, b"debugfs: mark\n" * 292)
    for number, at in enumerate(used):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(noise[number % len(noise)])
        for work in _looks(str(path)):
            try:
                asyncio.run(work())
            except errors.BangerError as fault:
                assert isinstance(fault, errors.UnusableDisk | errors.NoSuchPath) and str(fault).isprintable()
        path.write_bytes(whole)


def _looks(path: str) -> list[Callable[[], Coroutine[None, None, object]]]:
    return [lambda: contents.subtree(path, 12, 100), lambda: edit.read(path, "/root/.profile", 1 << 20)]

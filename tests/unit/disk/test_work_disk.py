"""Work disks as files: made, grown, and judged by what a guest has left of their superblock."""

import asyncio
import os
import struct
from pathlib import Path

import pytest

from banger import errors
from banger.disk import grow, work_disk
from banger.disk.ext4.checksum import ALL_ONES, crc

MIB = 1 << 20
MAGIC, STATE, BLOCKS, LOG_BLOCK = 1024 + 0x38, 1024 + 0x3A, 1024 + 0x04, 1024 + 0x18


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.ext4"


def make(path: Path, seed: Path | None = None, size: int = 96 * MIB) -> None:
    fill = work_disk.empty(64 * MIB) if seed is None else work_disk.clone(str(seed))
    asyncio.run(work_disk.make(str(path), fill, size, durable=seed is not None))


def patch(path: Path, at: int, form: str, value: int, *, sealed: bool = True) -> None:
    """Change a field of the superblock, and its checksum with it where somebody knew how."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(form, value))
        if sealed:
            file.seek(1024)
            checksum = crc(ALL_ONES, file.read(0x3FC))
            file.write(struct.pack("<I", checksum))


def damaged(path: Path, match: str) -> None:
    with pytest.raises(errors.UnusableDisk, match=match):
        work_disk.check(str(path), 96 * MIB)


def test_an_empty_one_is_small_on_disk_and_has_a_label(path: Path) -> None:
    make(path)
    assert path.stat().st_size == 96 * MIB
    assert path.stat().st_blocks * 512 < MIB
    assert work_disk.LABEL in path.read_bytes()[1024:2048]
    assert work_disk.check(str(path), 96 * MIB) is False
    assert os.listdir(path.parent) == ["work.ext4"]


def test_it_is_a_clone_of_its_seed_which_stays_as_it_is(path: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    asyncio.run(work_disk.empty(64 * MIB)(str(seed)))
    before = seed.read_bytes()
    make(path, seed)
    assert path.read_bytes()[: len(before)] == before == seed.read_bytes()
    make(path, seed)
    assert path.stat().st_size == 96 * MIB, "what is left of an attempt is made anew"
    make(path, seed, 4096)
    assert path.stat().st_size == len(before), "never less than what is in it"


def test_a_failure_leaves_no_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.BangerError):
        make(path, tmp_path / "none")
    with pytest.raises(errors.BangerError):
        make(path, None, 1 << 62)
    assert os.listdir(tmp_path) == []


def test_a_disk_grows_and_never_shrinks(path: Path) -> None:
    make(path)
    asyncio.run(grow.raw(str(path), 200 * MIB))
    asyncio.run(grow.raw(str(path), 100 * MIB))
    assert path.stat().st_size == 200 * MIB
    assert work_disk.check(str(path), 200 * MIB) is False


@pytest.mark.parametrize(
    ("at", "form", "value", "sealed", "says"),
    [
        (MAGIC, "<H", 0, True, "no ext4 file system"),
        (LOG_BLOCK, "<I", 40, True, "no ext4 file system"),
        (BLOCKS, "<I", 1 << 30, True, "larger than its disk"),
        (1024 + 0x150, "<I", 1, True, "larger than its disk"),
        (BLOCKS, "<I", 1, False, "checksum"),
    ],
)
def test_what_no_kernel_mounts_is_told(path: Path, at: int, form: str, value: int, sealed: bool, says: str) -> None:
    make(path)
    patch(path, at, form, value, sealed=sealed)
    damaged(path, says)


def test_a_file_that_is_not_the_one_that_was_made_is_told(path: Path) -> None:
    damaged(path, "is gone")
    make(path)
    os.truncate(path, 95 * MIB)
    damaged(path, "not as large")
    os.truncate(path, 500)
    damaged(path, "not as large")
    path.unlink()
    os.mkfifo(path)
    damaged(path, "not as large")
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(errors.BangerError):
        work_disk.check(str(path), 96 * MIB)


def test_errors_that_the_guests_kernel_has_noted_are_no_damage(path: Path) -> None:
    make(path)
    patch(path, STATE, "<H", 2)
    assert work_disk.check(str(path), 96 * MIB) is True


def test_random_bytes_are_never_believed(path: Path) -> None:
    make(path)
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(os.urandom(1024))
    damaged(path, "damaged")

"""A machine's disk as an image: its own content, whatever its header names, and no file system that is not sound."""

import asyncio
import os
import struct
import subprocess
from pathlib import Path

import pytest

from banger import errors, proc
from banger.disk import flatten, overlay

SIZE = 64 << 20


@pytest.fixture
def backing(tmp_path: Path) -> Path:
    path = tmp_path / "base, one.ext4"
    path.write_bytes(b"")
    os.truncate(path, SIZE)
    subprocess.run([proc.find("mke2fs"), "-q", "-t", "ext4", path], check=True)
    return path


def written(tmp_path: Path, backing: Path, *commands: str) -> Path:
    """An overlay that qemu-io has written to."""
    disk = tmp_path / "disk.qcow2"
    asyncio.run(overlay.create(str(disk), str(backing)))
    if commands:
        words = [word for command in commands for word in ("-c", command)]
        subprocess.run(["qemu-io", "-f", "qcow2", *words, disk], check=True, capture_output=True)
    return disk


def flat(tmp_path: Path, disk: Path, backing: Path, limit: int = SIZE) -> Path:
    output = tmp_path / "out.ext4"
    assert asyncio.run(flatten.flatten(str(disk), str(backing), str(output), limit)) == SIZE
    return output


def test_what_was_written_is_there_and_free_blocks_take_no_space(tmp_path: Path, backing: Path) -> None:
    disk = written(tmp_path, backing, f"write -P 65 {40 << 20} 8M")  # in blocks that are free
    output = flat(tmp_path, disk, backing)
    with output.open("rb") as file:
        file.seek(40 << 20)
        assert file.read(4) == b"AAAA"
    before = os.stat(output).st_blocks
    asyncio.run(flatten.repair(str(output)))
    assert os.stat(output).st_blocks * 512 <= before * 512 - (7 << 20)
    assert os.stat(output).st_size == SIZE


def test_a_header_that_names_another_backing_file_is_not_believed(tmp_path: Path, backing: Path) -> None:
    disk = written(tmp_path, backing)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * (SIZE // 6))
    with disk.open("r+b") as file:
        offset, size = struct.unpack(">8xQI", file.read(20))
        file.seek(offset)
        file.write(str(secret).encode().ljust(size, b"\0")[:size])
        file.seek(16)
        file.write(struct.pack(">I", len(str(secret))))
    assert b"secret" not in flat(tmp_path, disk, backing).read_bytes()


def test_a_header_with_an_external_data_file_is_refused(tmp_path: Path, backing: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    options = f"data_file={tmp_path}/data,data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, disk, str(SIZE)], check=True)
    with pytest.raises(errors.BuildFailed, match="features"):
        flat(tmp_path, disk, backing)
    assert not (tmp_path / "out.ext4").exists()


def test_a_disk_that_claims_more_than_it_was_given_is_refused(tmp_path: Path, backing: Path) -> None:
    disk = written(tmp_path, backing)
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", disk, "8T"], check=True)
    with pytest.raises(errors.BuildFailed, match="claims"):
        flat(tmp_path, disk, backing)


@pytest.mark.parametrize("ruin", ["write -P 0 0 64M", "write -P 255 0 1M", "write -P 90 1024 4k"])
def test_what_is_no_file_system_any_more_is_never_published(tmp_path: Path, backing: Path, ruin: str) -> None:
    output = flat(tmp_path, written(tmp_path, backing, ruin), backing)
    with output.open("r+b") as file:  # nor is one whose backup superblocks would do
        for group in range(8):
            file.seek(group * (8192 << 10))
            file.write(bytes(64 << 10))
    with pytest.raises(errors.BuildFailed):
        asyncio.run(flatten.repair(str(output)))


def test_a_raw_disk_is_copied_with_its_holes(tmp_path: Path, backing: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(backing.read_bytes())
    output = tmp_path / "out.ext4"
    assert asyncio.run(flatten.flatten(str(disk), None, str(output), SIZE)) == SIZE
    assert output.read_bytes() == backing.read_bytes()
    assert os.stat(output).st_blocks < os.stat(disk).st_blocks
    with pytest.raises(errors.BuildFailed, match="claims"):
        asyncio.run(flatten.flatten(str(disk), None, str(tmp_path / "more.ext4"), SIZE - 1))

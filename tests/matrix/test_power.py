"""A power cut keeps what was flushed, in order, and of the rest what chance decides: writes that QEMU has logged."""

import mmap
import random
import struct
import subprocess
from pathlib import Path

import pytest

from tests.smoke.host.power import FLUSH, MAGIC, SECTOR, Cut, entries, replay

MIB = 1 << 20


def played(tmp_path: Path, *commands: str, seed: int = 0) -> tuple[Cut, bytes]:
    """What a disk holds after a cut that follows these commands of qemu-io."""
    image, log, disk = (tmp_path / name for name in ("image", "log", "disk"))
    log.touch()
    for each in (image, disk):
        each.write_bytes(bytes(MIB))
    node = f"driver=blklogwrites,file.driver=file,file.filename={image},log.driver=file,log.filename={log}"
    words = [word for each in commands for word in ("-c", each)]
    program = ["qemu-io", "-t", "writeback", *words, "-c", "abort", "--image-opts", node]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)  # no orderly end: no flush
    assert done.returncode != 0, done.stdout
    cut = replay(log, disk, random.Random(seed))
    return cut, disk.read_bytes()


def test_what_was_flushed_is_there(tmp_path: Path) -> None:
    cut, disk = played(tmp_path, "write -P 1 0 4k", "write -P 2 0 2k", "write -P 3 64k 4k", "flush")
    assert (cut.flushed, cut.kept, cut.lost) == (3, 0, 0)
    assert disk[:4096] == b"\2" * 2048 + b"\1" * 2048
    assert disk[65536 : 65536 + 4096] == b"\3" * 4096


def test_what_was_not_may_be_lost(tmp_path: Path) -> None:
    writes = [f"write -P 7 {number * 4}k 4k" for number in range(1, 33)]
    cut, disk = played(tmp_path, "write -P 1 0 4k", "flush", *writes)
    assert (cut.flushed, cut.kept + cut.lost) == (1, 32)
    assert cut.kept and cut.lost
    assert disk[:4096] == b"\1" * 4096
    assert disk.count(b"\7") == cut.kept * 4096


@pytest.mark.parametrize("whole", [True, False])
def test_a_log_ends_where_an_entry_is_not_whole(tmp_path: Path, whole: bool) -> None:
    head = struct.pack("<QQQI", MAGIC, 1, 1, SECTOR).ljust(SECTOR, b"\0")
    first = struct.pack("<4Q", 8, 1, 0, 0).ljust(SECTOR, b"\0") + b"a" * SECTOR
    second = struct.pack("<4Q", 9, 2, FLUSH, 0).ljust(SECTOR, b"\0") + b"b" * SECTOR * (2 if whole else 1)
    (tmp_path / "log").write_bytes(head + first + second)
    with open(tmp_path / "log", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
        found = [(each.offset, each.length) for each in entries(log)]
    assert found == [(8 * SECTOR, SECTOR), *([(9 * SECTOR, 2 * SECTOR), (0, 0)] if whole else [])]


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(2 * SECTOR))
    (tmp_path / "disk").write_bytes(b"")
    with pytest.raises(ValueError, match="no log of writes"):
        replay(tmp_path / "log", tmp_path / "disk", random.Random(0))

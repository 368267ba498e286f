"""A file that is copied from: the same bytes from memory and from the disk, and what cannot be read."""

import mmap
import os
from contextlib import closing
from pathlib import Path

import pytest

from banger.disk.ext4 import source
from banger.disk.ext4.source import Source, Unreadable

MIB = 1 << 20


@pytest.mark.parametrize("warm", [True, False])
def test_bytes_are_the_same_from_memory_and_from_disk(
    tmp_path: Path, warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_in_memory", lambda *part: warm)
    data = os.urandom(MIB) + bytes(MIB) + os.urandom(MIB)
    path = tmp_path / "file"
    path.write_bytes(data)
    buffer = memoryview(mmap.mmap(-1, 4 * MIB))
    with closing(Source(str(path))) as opened:
        path.unlink()
        opened.read(buffer[8192 : 8192 + len(data)], 0)
        assert buffer[8192 : 8192 + len(data)] == data
        opened.read(buffer[:4096], MIB - 4096)
        assert buffer[:4096] == data[MIB - 4096 : MIB]


def test_what_was_just_written_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(MIB))
    with path.open("r+b") as file:
        assert source._in_memory(file.fileno(), 8192, MIB - 8192)
        file.truncate(8 * MIB)
        assert not source._in_memory(file.fileno(), 0, 2 * MIB), "a part that nobody has read"


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    buffer = memoryview(mmap.mmap(-1, 16384))
    with closing(Source(str(path))) as opened, pytest.raises(Unreadable):
        opened.read(buffer, 0)

"""Loop devices of this kernel: attached, known by their file, gone with their last user. Needs root."""

import fcntl
import os
from pathlib import Path

import pytest

from banger.helper import files, loop
from banger.helper.operation import Failed

pytestmark = pytest.mark.root


def sparse(path: Path, size: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    os.ftruncate(descriptor, size)
    return descriptor


def test_a_device_shows_a_part_of_its_file_and_ends_with_its_last_user(tmp_path: Path) -> None:
    file = sparse(tmp_path / "file", 8 << 20)
    os.pwrite(file, b"hello", 2 << 20)
    with loop.attach(file, offset=2 << 20, size=1 << 20, direct=True) as made:
        assert loop.status(made.number) == loop.expected(file, offset=2 << 20, size=1 << 20)
        assert loop.status(made.number) != loop.expected(file)
        assert loop.find(file) == [made.number]
        assert os.lseek(made.descriptor, 0, os.SEEK_END) == 1 << 20
        assert os.pread(made.descriptor, 5, 0) == b"hello"
        os.pwrite(made.descriptor, b"world", 0)
        os.fsync(made.descriptor)
        other = os.open(made.path, os.O_RDONLY)
    assert os.pread(file, 5, 2 << 20) == b"world"
    assert loop.status(made.number) is not None, "somebody has it open"
    os.close(other)
    assert loop.status(made.number) is None
    assert loop.find(file) == []
    os.close(file)


def test_a_base_cannot_be_written(tmp_path: Path) -> None:
    sparse(tmp_path / "base", 1 << 20)
    base = os.open(tmp_path / "base", os.O_RDONLY)
    with loop.attach(base, read_only=True) as first, loop.attach(base, read_only=True) as second:
        assert sorted(loop.find(base)) == sorted([first.number, second.number]), "two machines, one image"
        assert loop.status(first.number) == loop.expected(base, read_only=True)
        writable = os.open(first.path, os.O_RDWR)
        with pytest.raises(PermissionError):
            os.pwrite(writable, b"x", 0)
        os.close(writable)
    os.close(base)


def test_a_claim_lasts_as_long_as_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PAUSES", (0.01,))
    path = tmp_path / "overlay"
    file = sparse(path, 1 << 20)
    files.claim(file, "overlay")
    with loop.attach(file) as made:
        os.close(file)
        other = os.open(path, os.O_RDWR)
        with pytest.raises(Failed, match="in use") as failed:
            files.claim(other, "overlay")
        assert failed.value.busy
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert loop.status(made.number) is not None
    files.claim(other, "overlay")
    os.close(other)


def test_a_file_that_somebody_else_attached_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PAUSES", ())
    file = sparse(tmp_path / "overlay", 1 << 20)
    with loop.attach(file) as made:
        second = os.open(tmp_path / "overlay", os.O_RDWR)
        with pytest.raises(Failed, match=f"loop device {made.number}"):
            files.claim(second, "overlay")
        os.close(second)
    os.close(file)


def test_whoever_is_faster_gets_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free device that the kernel names can be taken before it is configured: then the next one is asked for."""
    file, real = sparse(tmp_path / "file", 1 << 20), loop._free
    with loop.attach(file) as first:
        answers = [int(first.path.removeprefix("/dev/loop"))]
        monkeypatch.setattr(loop, "_free", lambda: answers.pop() if answers else real())
        with loop.attach(file) as second:
            assert second.path != first.path
        monkeypatch.setattr(loop, "_free", lambda: int(first.path.removeprefix("/dev/loop")))
        with pytest.raises(Failed, match="every free loop device") as failed, loop.attach(file):
            pass
        assert failed.value.busy
    os.close(file)

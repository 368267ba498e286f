"""Copies of disks: the same bytes, the same holes, and nothing left of one that failed."""

import asyncio
import os
from pathlib import Path

import pytest

from banger.disk import copy

MIB = 1 << 20


@pytest.mark.parametrize("cloned", [True, False])
def test_bytes_and_holes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloned: bool) -> None:
    if not cloned:
        monkeypatch.setattr(copy, "_clone", lambda reading, writing: False)
    monkeypatch.setattr(copy, "STEP", MIB + 4096)
    source, target = tmp_path / "source", tmp_path / "target"
    data = os.urandom(3 * MIB)
    with source.open("wb") as file:
        file.truncate(64 * MIB)
        for at in (0, 20 * MIB, 60 * MIB):
            file.seek(at)
            file.write(data)
    asyncio.run(copy.copy(str(source), str(target)))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 8


@pytest.mark.parametrize("size", [0, 1, 5 * MIB])
def test_files_without_data_or_without_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(copy, "_clone", lambda reading, writing: False)
    for number, content in enumerate((bytes(size), os.urandom(size))):
        source, target = tmp_path / f"source{number}", tmp_path / f"target{number}"
        source.write_bytes(content)
        if number == 0:
            os.truncate(source, 0)
            os.truncate(source, size)
        asyncio.run(copy.copy(str(source), str(target)))
        assert target.read_bytes() == content


def test_a_failure_leaves_no_file_and_overwrites_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(copy, "_clone", lambda reading, writing: False)
        patched.setattr(copy, "_copy", fail)
        with pytest.raises(OSError, match="No space"):
            asyncio.run(copy.copy(str(source), str(target)))
    assert not target.exists()
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        asyncio.run(copy.copy(str(source), str(target)))
    assert target.read_bytes() == b"mine"

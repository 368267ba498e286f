"""Empty overlays, judged by QEMU's own tools."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.disk import overlay

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def tool(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "an image, raw"
    with open(path, "wb") as file:
        file.write(b"image")
        file.truncate(64 * MIB)
    return path


@pytest.mark.parametrize("size", [64 * MIB, 64 * MIB + 512, 512 * MIB, 10 * GIB, 2 * TIB])
def test_it_is_what_their_own_tool_makes_and_takes_what_is_written(base: Path, tmp_path: Path, size: int) -> None:
    made, theirs = tmp_path / "ours.qcow2", tmp_path / "theirs.qcow2"
    assert asyncio.run(overlay.create(str(made), str(base), size)) == size
    options = f"backing_file={str(base).replace(',', ',,')},backing_fmt=raw"
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(theirs), str(size))
    told, expected = (json.loads(tool("qemu-img", "info", "--output=json", str(each))) for each in (made, theirs))
    for name in ("virtual-size", "format", "backing-filename", "backing-filename-format", "format-specific"):
        assert told[name] == expected[name], name
    assert made.stat().st_blocks * 512 <= 64 << 10 and made.stat().st_mode & 0o777 == 0o600
    tool("qemu-img", "check", "-q", str(made))
    write = ("-c", "write -P 7 1M 3M", "-c", f"write -P 9 {size - 512} 512")
    tool("qemu-io", "-f", "qcow2", *write, "-c", "read -P 7 1M 3M", "-c", f"read -P 9 {size - 512} 512", str(made))
    assert "Pattern verification failed" not in tool("qemu-io", "-f", "qcow2", "-c", "read -P 105 0 1", str(made)), "i"
    tool("qemu-img", "check", "-q", str(made))
    assert base.read_bytes()[:5] == b"image", "nothing reaches what is below"


def test_what_cannot_be_is_refused_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    with pytest.raises(errors.ImageTooSmall):
        asyncio.run(overlay.create(str(path), str(base), MIB))
    with pytest.raises(errors.UsageError):
        asyncio.run(overlay.create(str(path), str(base), 64 * MIB + 1))
    with pytest.raises(errors.BangerError, match="No such file"):
        asyncio.run(overlay.create(str(tmp_path / "absent" / "disk.qcow2"), str(base)))
    assert sorted(each.name for each in tmp_path.iterdir()) == [base.name]

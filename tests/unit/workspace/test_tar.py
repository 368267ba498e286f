"""Headers against what the standard library reads."""

import io
import tarfile

import pytest

from banger.workspace import tar

NAMES = [
    b"a", b"x" * 100, b"x" * 101, b"d/" * 60 + b"file", b"d" * 155 + b"/" + b"f" * 100, b"d" * 156 + b"/f", b"\xff\xfe",
    "ü".encode() * 80, b"new\nline", b"-rf", b"x/" * 500 + b"y",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: str(len(name)))
@pytest.mark.parametrize("target", [b"", b"t" * 100, b"t" * 101, b"t" * 4000], ids=len)
def test_any_name_and_target_is_read_back(name: bytes, target: bytes) -> None:
    kind = tar.LINK if target else tar.FILE
    data = tar.header(name, 0o640, 0 if target else 5, 1_700_000_000, kind, target)
    data += b"" if target else tar.padded(b"hello")
    assert len(data) % tar.BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(data + tar.END), encoding="utf-8", errors="surrogateescape") as archive:
        (found,) = archive.getmembers()
        assert found.name.encode("utf-8", "surrogateescape") == name
        assert found.linkname.encode("utf-8", "surrogateescape") == target
        assert (found.mode, found.mtime, found.uid, found.gid) == (0o640, 1_700_000_000, 0, 0)
        file = archive.extractfile(found) if not target else None
        assert file is None or file.read() == b"hello"


@pytest.mark.parametrize(("mtime", "told"), [(-5, 0), (0, 0), (1 << 40, 0o77777777777)])
def test_a_time_that_no_header_holds_becomes_the_nearest(mtime: int, told: int) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar.file(b"a", b"", mtime) + tar.END)) as archive:
        assert archive.getmembers()[0].mtime == told


def test_a_size_beyond_the_header_is_in_an_extended_record() -> None:
    data = tar.header(b"large", 0o644, 1 << 40, 1)
    assert b" size=1099511627776\n" in data and len(data) == 3 * tar.BLOCK

"""Attacks by the stream around an archive: cut, extended, damaged, or asking for more than a decompressor may have."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from tests.guest_images import Tar
from tests.security.archive_mutations import entry
from tests.security.layer_scene import accepted, build, corrupt, read

SKIPPABLE = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
WHOLE = Tar().file("x", b"1" * 9000).file("y", b"2").bytes()
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress, "xz": lzma.compress}


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(Tar().file("x", os.urandom(50_000)).bytes())
    for end in (len(whole) - 1, len(whole) - 8, len(whole) // 2, 30, 5):
        corrupt(tmp_path, whole[:end], "ends early")


def test_wrong_checksum_of_gzip(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(Tar().file("x", os.urandom(50_000)).bytes()))
    whole[-6] ^= 1
    corrupt(tmp_path, bytes(whole), "damaged")


def test_truncated_zstd(tmp_path: Path) -> None:
    whole = zstd.compress(Tar().file("x", os.urandom(50_000)).bytes())
    corrupt(tmp_path, whole[:-3], "ends early")


def test_garbage_behind_gzip(tmp_path: Path) -> None:
    corrupt(tmp_path, gzip.compress(Tar().file("x").bytes()) + b"garbage" * 4, "something follows")


def test_zeros_and_members_behind_gzip(tmp_path: Path) -> None:
    data = Tar().file("x", b"1").file("y", b"2").bytes()
    build(tmp_path, gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(5000))
    assert set(read(tmp_path)) == {b"", b"x", b"y"}


def test_something_that_is_no_archive(tmp_path: Path) -> None:
    corrupt(tmp_path, bytes(range(1, 256)) * 16, "checksum")


@pytest.mark.parametrize("form", PACK)
def test_stream_that_is_cut_anywhere(tmp_path: Path, form: str) -> None:
    data = PACK[form](Tar().file("x", os.urandom(20_000)).bytes())
    for end in (len(data) - 1, len(data) - 4, len(data) // 2, len(data) // 20, 13):
        corrupt(tmp_path, data[:end], "ends early")


@pytest.mark.parametrize("form", PACK)
def test_garbage_behind_the_stream(tmp_path: Path, form: str) -> None:
    for garbage in (b"garbage", b"\0\0\0\0x", PACK[form](b"")[:3], bytes(300_000) + b"x"):
        corrupt(tmp_path, PACK[form](WHOLE) + garbage, "something follows|ends early|damaged")


@pytest.mark.parametrize("form", PACK)
def test_stream_in_many_members(tmp_path: Path, form: str) -> None:
    members = b"".join(PACK[form](WHOLE[at : at + 700]) for at in range(0, len(WHOLE), 700))
    assert set(accepted(tmp_path, PACK[form](b"") * 5 + members + bytes(64))) == {b"x", b"y"}


@pytest.mark.parametrize("form", PACK)
def test_damage_in_the_stream(tmp_path: Path, form: str) -> None:
    data = bytearray(PACK[form](Tar().file("x", os.urandom(50_000)).bytes()))
    data[len(data) // 2] ^= 1
    if form == "zstd":  # a frame's own checksum is not written unless one asks for it
        data = bytearray(data[:200]) + b"\xff" * 100 + data[300:]
        data[4] ^= 0x08
    corrupt(tmp_path, bytes(data), "damaged|ends early")


def test_gzip_whose_length_lies(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(WHOLE))
    data[-1] ^= 1
    corrupt(tmp_path, bytes(data), "damaged")


def test_archive_that_is_cut_anywhere(tmp_path: Path) -> None:
    plain = entry(b"x", os.urandom(3000), records=b"12 uid=4242\n")
    for end in (1, 511, 513, 1023, 1024, 1100, 1536, 2000, len(plain) - 1):
        corrupt(tmp_path, plain[:end], "ends in the middle|has no entry")


def test_garbage_behind_the_end_of_an_archive(tmp_path: Path) -> None:
    """Two zero blocks end it; what follows is never read as entries."""
    assert set(accepted(tmp_path, entry(b"x") + bytes(1024) + entry(b"planted") + b"garbage")) == {b"x"}


def test_zstd_with_a_window_that_takes_gigabytes(tmp_path: Path) -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 30})
    corrupt(tmp_path, packer.compress(WHOLE) + packer.flush(), "too much memory")


def test_zstd_with_a_dictionary_that_nobody_has(tmp_path: Path) -> None:
    known = zstd.train_dict([bytes([number]) * 200 + b"hello%d" % number for number in range(200)], 400)
    corrupt(tmp_path, zstd.compress(WHOLE, zstd_dict=known), "Dictionary mismatch")


def test_zstd_frames_that_hold_nothing(tmp_path: Path) -> None:
    """Layers of the zstd:chunked form end with them; their lengths may lie."""
    data = zstd.compress(WHOLE)
    assert set(accepted(tmp_path, SKIPPABLE + data + b"\x5f" + SKIPPABLE[1:])) == {b"x", b"y"}
    for lying in (SKIPPABLE[:-1], SKIPPABLE[:6], SKIPPABLE[:4] + b"\xff" * 4 + b"abcd"):
        corrupt(tmp_path, data + lying, "ends early")


def test_xz_with_a_dictionary_that_takes_gigabytes(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(WHOLE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    at = data.index(b"\x21\x01")  # LZMA2's id, the length of its properties, the size of its dictionary
    data[at + 2] = 40
    size = (data[12] + 1) * 4
    data[12 + size - 4 : 12 + size] = _crc32(bytes(data[12 : 12 + size - 4]))
    corrupt(tmp_path, bytes(data), "[Mm]emory")


def test_compression_that_is_not_read(tmp_path: Path) -> None:
    for data in (bz2.compress(WHOLE), b"\x1f\x9d\x90" + WHOLE, b"\x04\x22\x4d\x18" + WHOLE):
        corrupt(tmp_path, data, "checksum|middle")


def _crc32(data: bytes) -> bytes:
    import zlib

    return zlib.crc32(data).to_bytes(4, "little")

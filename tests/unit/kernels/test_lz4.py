"""Blocks written by hand, from the block format's description."""

import struct

import pytest

from banger.kernels import lz4


def frame(*blocks: str) -> bytes:
    parts = [bytes.fromhex(block) for block in blocks]
    return lz4.MAGIC + b"".join(struct.pack("<I", len(part)) + part for part in parts) + b"\0\0\0\0"


def test_literals_copies_and_patterns() -> None:
    # token 0x30: three literals, copy of 4 from distance 3 (overlapping); then one literal
    assert lz4.decompress(frame("30 616263 0300 10 7a"), 100) == b"abcabcaz"


def test_lengths_that_go_on_in_further_bytes() -> None:
    literal = "f0 ff 00" + "61" * 270
    assert lz4.decompress(frame(literal), 1000) == b"a" * 270
    copy = "1f 61 0100 ff 00" + "10 7a"
    assert lz4.decompress(frame(copy), 1000) == b"a" * 275 + b"z"


def test_blocks_do_not_share_what_they_copy() -> None:
    with pytest.raises(lz4.Corrupt):
        lz4.decompress(frame("10 61", "00 0100 10 61"), 100)


@pytest.mark.parametrize(
    "block",
    [
        "",  # nothing
        "30 6162",  # fewer literals than announced
        "30 616263 03",  # half a distance
        "30 616263 0000 10 7a",  # distance 0
        "30 616263 0400 10 7a",  # before the beginning
        "f0 ff",  # a length without an end
    ],
)
def test_damage_is_found(block: str) -> None:
    with pytest.raises(lz4.Corrupt):
        lz4.decompress(frame(block), 1000)


def test_output_is_bounded() -> None:
    bomb = "1f 61 0100 " + "ff" * 40000 + " 00 10 7a"
    with pytest.raises(lz4.Corrupt):
        lz4.decompress(frame(bomb), 1 << 30)
    with pytest.raises(lz4.Corrupt):
        lz4.decompress(frame("30 616263 0300 10 7a"), 7)

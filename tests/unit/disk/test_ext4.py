"""Pieces of the ext4 writer that need no image: numbers with known answers."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator

import pytest

from banger.disk.ext4 import htree, inode, xattr
from banger.disk.ext4.checksum import ALL_ONES, crc
from banger.disk.ext4.data import HOLE_UNIT, DataArea
from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, Geometry, has_superblock
from banger.disk.ext4.node import Content


@pytest.fixture
def area() -> Iterator[DataArea]:
    with tempfile.TemporaryFile() as file, contextlib.closing(DataArea(file.fileno(), Geometry(None))) as made:
        yield made


def test_the_raw_register_chains() -> None:
    assert crc(ALL_ONES, b"123456789") ^ ALL_ONES == 0xE3069283  # the check value of crc32c
    assert crc(crc(ALL_ONES, b"1234"), b"56789") == crc(ALL_ONES, b"123456789")


def test_superblock_copies_are_where_sparse_super_wants_them() -> None:
    assert [group for group in range(130) if has_superblock(group)] == [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]


@pytest.mark.parametrize(
    ("name", "hashed"),
    [  # debugfs -R "dx_hash -h half_md4 -s 01020304-0506-0708-090a-0b0c0d0e0f10 NAME"
        (b"a", (0x8D08EC4C, 0x2FBCCD78)),
        (b"hello", (0xE2DDF968, 0xC8BC0924)),
        (b"with", (0x3231E374, 0x32D11AE5)),
        (b"n" * 255, (0x5AEA33C0, 0x0FBCD617)),
        (b"exactly-thirty-two-bytes-long-xx", (0x1672968A, 0xAA9D3ADA)),
        (b"file-0001", (0x798B3D7A, 0x3EDD6EB5)),
    ],
)
def test_half_md4_is_that_of_e2fsprogs(name: bytes, hashed: tuple[int, int]) -> None:
    seed = struct.unpack("<4I", bytes(range(1, 17)))
    assert htree.name_hashes([name], seed) == {name: hashed}


@pytest.mark.parametrize(
    ("nanoseconds", "fields"),
    [
        (0, (0, 0)), (1_500_000_000, (1, 500_000_000 << 2)), (-1, (0xFFFFFFFF, 999_999_999 << 2)),
        ((1 << 31) * 10**9, (0x80000000, 1)), (10**30, (0x7FFFFFFF, 999_999_999 << 2 | 3)),
        (-(10**30), (0x80000000, 0)),
    ],
)  # fmt: skip
def test_times(nanoseconds: int, fields: tuple[int, int]) -> None:
    assert inode.time_fields(nanoseconds) == fields


def test_data_jumps_over_superblock_copies(area: DataArea) -> None:
    head = area.geometry.head_blocks
    assert area.reserve(GROUP_BLOCKS - head - 1) == [(head, GROUP_BLOCKS - head - 1)]
    content = Content(3 * BLOCK)
    area.write(content, 0, bytes([1]) * 3 * BLOCK)
    assert content.extents == [(0, GROUP_BLOCKS - 1, 1), (1, GROUP_BLOCKS + head, 2)]
    assert area.read(content, 1 << 20) == bytes([1]) * 3 * BLOCK


def test_what_must_lie_together_gives_back_the_rest(area: DataArea) -> None:
    area.reserve(GROUP_BLOCKS - area.geometry.head_blocks - 5)
    assert area.reserve_together(10) == GROUP_BLOCKS + area.geometry.head_blocks
    assert area.free == [(GROUP_BLOCKS - 5, 5)]


def test_zero_units_become_holes(area: DataArea) -> None:
    content = Content(3 * HOLE_UNIT + 5)
    data = b"a" * HOLE_UNIT + bytes(HOLE_UNIT) + b"b" * HOLE_UNIT + bytes(5)
    area.write_sparse(content, 0, data)
    assert [(block, count) for block, _, count in content.extents] == [(0, 16), (32, 16)]
    assert area.read(content, 1 << 20) == data


def test_released_blocks_are_free_and_holes(area: DataArea) -> None:
    content = Content(BLOCK * 100)
    area.write(content, 0, b"x" * BLOCK * 100)
    area.settle()
    held = os.fstat(area._descriptor).st_blocks
    area.release(content)
    assert area.free == [(area.geometry.head_blocks, 100)]
    area.settle()
    assert os.fstat(area._descriptor).st_blocks < held


def test_attributes_fit_or_do_not() -> None:
    assert xattr.in_inode(xattr.on_disk({b"user.a": b"x" * 68})) is not None
    assert xattr.in_inode(xattr.on_disk({b"user.a": b"x" * 72})) is None
    assert xattr.fits({b"user.a": b"x" * 4000})
    assert not xattr.fits({b"user.a": b"x" * 4060})
    assert not xattr.known(b"com.apple.quarantine")

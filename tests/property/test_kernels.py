"""What must hold of the kernel readers for any input."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger import errors
from banger.kernels import bzimage, lz4
from banger.vmm import stub

ELF = stub.elf() + b"Linux version 6.1.0"


def compress(data: bytes) -> bytes:
    """A greedy LZ4 compressor of a few lines: the other half of what is tested."""
    out = bytearray()
    seen: dict[bytes, int] = {}
    at = start = 0
    while at + 12 < len(data):  # the format ends with literals
        word = data[at : at + 4]
        earlier = seen.get(word)
        seen[word] = at
        if earlier is None or at - earlier > 0xFFFF:
            at += 1
            continue
        length = 4
        while at + length < len(data) - 5 and data[earlier + length] == data[at + length]:
            length += 1
        out += sequence(data[start:at], length - 4, at - earlier)
        at += length
        start = at
    out += sequence(data[start:], None, 0)
    return lz4.MAGIC + struct.pack("<I", len(out)) + bytes(out) + struct.pack("<I", len(data))


def sequence(literals: bytes, copy: int | None, distance: int) -> bytes:
    token = min(len(literals), 15) << 4 | min(copy or 0, 15)
    out = bytes([token]) + extension(len(literals)) + literals
    return out if copy is None else out + struct.pack("<H", distance) + extension(copy)


def extension(value: int) -> bytes:
    return b"" if value < 15 else b"\xff" * ((value - 15) // 255) + bytes([(value - 15) % 255])


repetitive = st.lists(st.sampled_from([b"a", b"ab", b"kernel ", bytes(40)]) | st.binary(max_size=8)).map(b"".join)


@given(repetitive | st.binary(max_size=2000))
def test_lz4_gives_back_what_was_compressed(data: bytes) -> None:
    assert lz4.decompress(compress(data), len(data)) == data


@given(st.binary(max_size=300))
def test_lz4_of_anything_is_data_or_corrupt(noise: bytes) -> None:
    framed = lz4.MAGIC + struct.pack("<I", len(noise)) + noise + bytes(4)
    with contextlib.suppress(lz4.Corrupt):
        assert len(lz4.decompress(framed, 10_000)) <= 10_000


@given(st.data())
@settings(max_examples=300)
def test_a_kernel_with_flipped_bytes_is_a_kernel_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(ELF)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, 250))] = data.draw(st.integers(0, 255))
    path = Path(tmp_path_factory.getbasetemp()) / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with contextlib.suppress(errors.NotAKernel):
        assert bzimage.read(str(path)).vmlinux

"""Kernel images made by hand: each compression, and each way to be no kernel."""

import gzip
import lzma
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from banger import errors
from banger.kernels import bzimage, lz4
from banger.vmm import stub

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION = b"6.1.0-9-test (somebody@somewhere) #1 SMP"
ELF = stub.elf() + b"Linux version " + VERSION


def lz4_literals(data: bytes) -> bytes:
    """A legacy frame of one block without any copy."""
    count = len(data)
    head = bytes([min(count, 15) << 4])
    if count >= 15:
        rest = count - 15
        head += b"\xff" * (rest // 255) + bytes([rest % 255])
    return lz4.MAGIC + struct.pack("<I", len(head) + count) + head + data


def bzimage_of(payload: bytes, promised: int | None = None, version: int = 0x20F) -> bytes:
    """A boot sector, one sector of set-up code, and the payload with its length word."""
    payload += struct.pack("<I", len(ELF) if promised is None else promised)
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<H", head, 0x20E, 0x300 - 0x200)
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    head[0x300 : 0x300 + len(VERSION) + 1] = VERSION + b"\0"
    return bytes(head) + payload


def reading(tmp_path: Path, content: bytes) -> bzimage.Image:
    path = tmp_path / "kernel"
    path.write_bytes(content)
    return bzimage.read(str(path))


def refusal(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(errors.NotAKernel) as refused:
        reading(tmp_path, content)
    return str(refused.value)


@pytest.mark.parametrize(
    "compress", [lz4_literals, zstd.compress, gzip.compress, lambda data: lzma.compress(data, check=lzma.CHECK_CRC32)]
)
def test_each_compression_is_unpacked(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    content = bzimage_of(compress(ELF))
    assert reading(tmp_path, content) == bzimage.Image(content, ELF, "6.1.0-9-test")


def test_an_elf_is_taken_as_it_is(tmp_path: Path) -> None:
    assert reading(tmp_path, ELF) == bzimage.Image(None, ELF, "6.1.0-9-test")


@pytest.mark.parametrize("content", [b"", b"just text\n" * 100, bytes(2000), bytes(range(256)) * 20])
def test_what_is_no_kernel_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "neither a bzImage nor an ELF file" in refusal(tmp_path, content)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.NotAKernel, match="No such file"):
        bzimage.read(str(tmp_path / "gone"))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = bzimage_of(gzip.compress(ELF))
    for length in (1, 0x206, 0x250, 0x267, 1023, 1024, 1100, len(whole) - 1):
        refusal(tmp_path, whole[:length])


def test_a_payload_that_unpacks_to_more_than_it_promises_is_refused(tmp_path: Path) -> None:
    bomb = bzimage_of(gzip.compress(ELF + bytes(1 << 20)))
    assert reading(tmp_path, bomb).vmlinux == ELF  # not a byte more is unpacked
    assert "wrong length" in refusal(tmp_path, bzimage_of(gzip.compress(ELF), promised=len(ELF) + 1))
    assert "impossible length" in refusal(tmp_path, bzimage_of(gzip.compress(ELF), promised=0xFFFFFFFF))
    assert "more than is allowed" in refusal(tmp_path, bzimage_of(lz4_literals(ELF), promised=len(ELF) - 1))


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    assert "no compression that is known" in refusal(tmp_path, bzimage_of(b"BZh9" + ELF))


def test_an_old_boot_protocol_is_refused(tmp_path: Path) -> None:
    assert "older than 2.08" in refusal(tmp_path, bzimage_of(gzip.compress(ELF), version=0x207))


def test_a_kernel_for_another_machine_is_named(tmp_path: Path) -> None:
    arm = bytearray(ELF)
    struct.pack_into("<H", arm, 18, 183)
    assert "it is for aarch64, not for x86_64" in refusal(tmp_path, bytes(arm))


def test_a_kernel_without_pvh_is_refused(tmp_path: Path) -> None:
    assert "CONFIG_PVH" in refusal(tmp_path, ELF.replace(b"Xen\0", b"Xxx\0"))


def test_damaged_program_headers_are_refused(tmp_path: Path) -> None:
    damaged = bytearray(ELF)
    struct.pack_into("<Q", damaged, 32, 1 << 60)
    assert "program headers" in refusal(tmp_path, bytes(damaged))


def test_a_kernel_that_hides_its_version_is_refused(tmp_path: Path) -> None:
    assert "version" in refusal(tmp_path, stub.elf())

"""Kernel images: what a bzImage holds, and whether an ELF vmlinux can be booted through PVH.

A bzImage begins with a boot sector and set-up code, whose header (at 0x1F1, Documentation/arch/x86/boot) tells where
the compressed ELF lies; its last four bytes are the unpacked length. Monitors that start a guest in 32-bit mode
without firmware want that ELF, and in it the Xen note PHYS32_ENTRY with the address to jump to.

The input is hostile: memory is bounded by `VMLINUX_LIMIT`, every offset is checked, and all that is wrong becomes
`errors.NotAKernel`.
"""

import lzma
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from banger import errors
from banger.kernels import lz4

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VMLINUX_LIMIT = 512 << 20
IMAGE_LIMIT = 256 << 20

_HEADER_END = 0x268
_EM_X86_64 = 62
_PT_NOTE = 4
_PHYS32_ENTRY = 18
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv", 22: "s390x", 21: "ppc64"}
_RELEASE = re.compile(rb"[0-9]+\.[0-9]+[0-9A-Za-z.+_~-]{0,60}")


class Image(NamedTuple):
    """A kernel taken apart: the bzImage (None when it came as ELF), the ELF, and what ``uname -r`` will say."""

    bzimage: bytes | None
    vmlinux: bytes
    release: str


def read(path: str) -> Image:
    """Read a bzImage or an ELF vmlinux and check that it can be booted. Raises `errors.NotAKernel`."""
    try:
        with open(path, "rb") as file:
            data = file.read(VMLINUX_LIMIT + 1)
    except OSError as error:
        raise errors.NotAKernel(path=path, reason=error.strerror or "unreadable") from None
    try:
        return _open(data)
    except _Unusable as unusable:
        raise errors.NotAKernel(path=path, reason=str(unusable)) from None


class _Unusable(Exception):
    """Why an image is refused, in words."""


def _open(data: bytes) -> Image:
    if len(data) > VMLINUX_LIMIT:
        raise _Unusable("it is too large")
    if data.startswith(b"\x7fELF"):
        check_elf(data)
        return Image(None, data, _release_in_elf(data))
    if len(data) > IMAGE_LIMIT:
        raise _Unusable("it is too large")
    if data[0x202:0x206] != b"HdrS" or data[0x1FE:0x200] != b"\x55\xaa":
        raise _Unusable("it is neither a bzImage nor an ELF file")
    if len(data) < _HEADER_END:
        raise _Unusable("it is truncated")
    release = _release_in_header(data)
    vmlinux = _unpack(_payload(data))
    check_elf(vmlinux)
    return Image(data, vmlinux, release)


def _payload(data: bytes) -> bytes:
    (version,) = struct.unpack_from("<H", data, 0x206)
    if version < 0x208:
        raise _Unusable("its boot protocol is older than 2.08")
    start = ((data[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = data[start + offset : start + offset + length]
    if length < 16 or len(payload) != length:
        raise _Unusable("it is truncated")
    return payload


def _unpack(payload: bytes) -> bytes:
    """The ELF in the payload; its length must be the one that the payload's last word promises."""
    (promised,) = struct.unpack("<I", payload[-4:])
    if not 64 <= promised <= VMLINUX_LIMIT:
        raise _Unusable("its payload promises an impossible length")
    try:
        if payload.startswith(lz4.MAGIC):
            vmlinux = lz4.decompress(payload, promised)
        elif payload.startswith(b"\x28\xb5\x2f\xfd"):
            vmlinux = zstd_decompress(payload, promised)
        elif payload.startswith(b"\x1f\x8b"):
            vmlinux = zlib.decompressobj(wbits=31).decompress(payload, promised)
        elif payload.startswith(b"\xfd7zXZ"):
            vmlinux = lzma.LZMADecompressor(memlimit=VMLINUX_LIMIT).decompress(payload, promised)
        else:
            raise _Unusable("its payload is in no compression that is known here (lz4, zstd, gzip, xz)")
    except (lz4.Corrupt, zlib.error, lzma.LZMAError, EOFError) as error:
        raise _Unusable(f"its payload is damaged ({error})") from None
    if len(vmlinux) != promised:
        raise _Unusable("its payload is damaged (wrong length)")
    return vmlinux


def zstd_decompress(data: bytes, limit: int) -> bytes:
    """At most ``limit`` bytes of the first frame; damage is `lz4.Corrupt`, as of every payload."""
    try:
        return bytes(zstd.ZstdDecompressor().decompress(data, limit))
    except zstd.ZstdError as error:
        raise lz4.Corrupt(str(error)) from None


def check_elf(data: bytes) -> None:
    """An x86_64 executable with a PVH entry point, or `_Unusable`."""
    if len(data) < 64 or data[:4] != b"\x7fELF":
        raise _Unusable("there is no ELF in it")
    kind, machine = struct.unpack_from("<HH", data, 16)
    if data[4] != 2 or data[5] != 1 or machine != _EM_X86_64:
        raise _Unusable(f"it is for {_MACHINES.get(machine, f'machine {machine}')}, not for x86_64")
    if kind != 2:
        raise _Unusable("it is no executable")
    for note in _notes(data):
        if note == (b"Xen\0", _PHYS32_ENTRY):
            return
    raise _Unusable("it was built without CONFIG_PVH")


def _notes(data: bytes) -> Iterator[tuple[bytes, int]]:
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    if size < 56 or table + size * count > len(data):
        raise _Unusable("its program headers are damaged")
    for index in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + index * size)
        if kind == _PT_NOTE:
            yield from _notes_in(data[offset : offset + min(length, 1 << 16)])


def _notes_in(segment: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + 12 <= len(segment):
        name_size, value_size, kind = struct.unpack_from("<III", segment, at)
        at += 12
        yield segment[at : at + name_size], kind
        at += (name_size + 3 & ~3) + (value_size + 3 & ~3)


def _release_in_header(data: bytes) -> str:
    (offset,) = struct.unpack_from("<H", data, 0x20E)
    match = _RELEASE.match(data, 0x200 + offset) if offset else None
    if match is None:
        raise _Unusable("it does not tell its version")
    return match.group().decode("ascii")


def _release_in_elf(data: bytes) -> str:
    at = data.find(b"Linux version ")
    match = _RELEASE.match(data, at + 14) if at >= 0 else None
    if match is None:
        raise _Unusable("it does not tell its version")
    return match.group().decode("ascii")

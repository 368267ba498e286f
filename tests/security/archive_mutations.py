"""Valid layers that hold something of everything, and damage to them that a hostile author would do with a pen.

A header's checksum makes blind damage easy to refuse; `mutated` therefore mends the checksums of what it changed, most
of the time, so that what is behind them is reached.
"""

import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable

from backports import zstd

from tests.guest_images import Tar

BLOCK = 512
_FIELDS = ((0, 100), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (156, 157), (157, 257), (257, 265),
           (329, 337), (337, 345), (345, 500), (386, 482), (482, 483), (483, 495))  # fmt: skip
"""Where the fields of a header lie."""

_VALUES = (
    b"", b"\0", b"..", b"/", b"../x", b".wh.", b".wh.d", b".wh..wh..opq", b"d", b"d/f", b"s", b"-1", b"7" * 12,
    b"\x80" + bytes(10) + b"\x05", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"00000001000\0", b"00000000000\0", b" 1 ",
    b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"Z",
)  # fmt: skip
_RECORDS = (
    b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"SCHILY.xattr.user.a", b"SCHILY.xattr.user.",
    b"SCHILY.xattr.security.capability", b"SCHILY.xattr.system.posix_acl_access", b"GNU.sparse.map",
    b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name",
    b"GNU.sparse.offset", b"GNU.sparse.numbytes", b"GNU.sparse.numblocks", b"comment",
)  # fmt: skip
_CONTENTS = (
    b"", b"0", b"1", b"2", b"10", b"-1", b"nan", b"1e3", b"4294967295", b"9223372036854775807", b"0,1", b"0,10,10,0",
    b"5,5,0,5", b"0,0,4096,10", b"a/b", b"lost+found", b"d/../x", b"x" * 300, b"\0", b"\x02\0\0\0", b"\x01\0\0\x02" * 5,
    b"17592186044415", b"4095,10",
)  # fmt: skip


def record(key: bytes, value: bytes) -> bytes:
    """A record of a PAX header."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def header(name: bytes, kind: bytes, size: int, **fields: bytes) -> bytes:
    """A header block with a right checksum; ``fields`` are raw bytes of linkname, uid, gid, mode, mtime."""
    places = {"mode": 100, "uid": 108, "gid": 116, "mtime": 136, "linkname": 157, "more": 386}
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:136] = b"0000644\0000000000\0000000000\0%011o\0" % size
    block[136:148] = b"14524770400\0"
    block[156:157], block[257:265] = kind, b"ustar\x0000"
    for field, value in fields.items():
        block[places[field] : places[field] + len(value)] = value
    return mended(block)


def mended(block: bytes | bytearray) -> bytes:
    """The header with the checksum that it should have."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def entry(name: bytes, data: bytes = b"", kind: bytes = b"0", records: bytes = b"", **fields: bytes) -> bytes:
    """One entry, with a PAX header in front of it when there are ``records``."""
    front = header(b"pax", b"x", len(records)) + padded(records) if records else b""
    return front + header(name, kind, len(data), **fields) + padded(data)


def layers() -> list[bytes]:
    """Valid archives, oldest first: every kind of entry, every form of long name and sparse file, whiteouts."""
    lower = Tar().directory("./").directory("d", 0o1777).file("d/f", b"f" * 5000, 0o4755).file("zeros", bytes(200_000))
    lower.symlink("s", "d").symlink("long", "t" * 200).hardlink("h", "d/f").add("fifo", tarfile.FIFOTYPE)
    lower.file("n" * 150 + "/" + "m" * 150, b"1", pax_headers={"SCHILY.xattr.user.a": "b" * 200, "mtime": "1.5"})
    lower.file("lost+found/x", b"2").file("big", bytes(range(256)) * 300)
    middle = io.BytesIO()
    with tarfile.open(fileobj=middle, mode="w", format=tarfile.GNU_FORMAT) as gnu:
        for name in ("g" * 120, "d/g", "s/through", "d/é"):
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.mtime = 3, 1 << 28, 1 << 33
            gnu.addfile(info, io.BytesIO(b"gnu"))
    sparse = b"".join(b"%011o\0%011o\0" % pair for pair in ((0, 10), (8192, 10)))
    more = b"".join(b"%011o\0%011o\0" % pair for pair in ((20_000, 5), (90_000, 5)))
    forms = header(b"old", b"S", 30, more=sparse + bytes(48) + b"\1" + b"%011o\0" % 100_000)
    forms += padded(more) + padded(b"0123456789" * 3)
    forms += entry(b"map", b"0123456789", records=record(b"GNU.sparse.size", b"9000") + record(
        b"GNU.sparse.map", b"0,5,5000,5"))  # fmt: skip
    forms += entry(b"one", padded(b"2\n0\n5\n70000\n5\n") + b"0123456789", records=record(b"GNU.sparse.major", b"1")
                   + record(b"GNU.sparse.minor", b"0") + record(b"GNU.sparse.realsize", b"80000"))  # fmt: skip
    forms += header(b"g", b"g", 20) + padded(record(b"comment", b"abcdefgh")) + entry(b"after", b"x")
    upper = Tar().file(".wh.zeros").file("d/.wh..wh..opq").file("d/new", b"5").directory("s").file("s/x", b"6")
    upper.hardlink("h2", "big").file("h", b"7").symlink("d/up", "../big").file(".wh.fifo")
    return [lower.bytes(), middle.getvalue() + forms + bytes(1024), upper.bytes()]


def _field(block: bytearray, at: int, chance: random.Random) -> None:
    start, end = chance.choice(_FIELDS)
    value = chance.choice(_VALUES) if chance.random() < 0.7 else chance.randbytes(chance.randint(1, 12))
    block[at + start : at + end] = value[: end - start].ljust(end - start, b"\0")


def _flip(data: bytearray, at: int, chance: random.Random) -> None:
    place = min(len(data) - 1, at + chance.randrange(BLOCK))
    data[place] = chance.randrange(256)


def _repeat(data: bytearray, at: int, chance: random.Random) -> None:
    data[at:at] = data[at : at + BLOCK * chance.randint(1, 8)]


def _drop(data: bytearray, at: int, chance: random.Random) -> None:
    del data[at : at + BLOCK * chance.randint(1, 8)]


def _move(data: bytearray, at: int, chance: random.Random) -> None:
    part = data[at : at + BLOCK * chance.randint(1, 8)]
    place = chance.randrange(len(data) // BLOCK + 1) * BLOCK
    data[place:place] = part


def _records(data: bytearray, at: int, chance: random.Random) -> None:
    records = b"".join(record(chance.choice(_RECORDS), chance.choice(_CONTENTS)) for _ in range(chance.randint(1, 4)))
    kind = b"g" if chance.random() < 0.1 else b"x"
    data[at:at] = header(b"pax", kind, len(records)) + padded(records)


def _entry(data: bytearray, at: int, chance: random.Random) -> None:
    name, target = (chance.choice(_VALUES) or b"e" for _ in range(2))
    data[at:at] = entry(name[:100], kind=chance.choice(b"0 1 2 3 5 6".split()), linkname=target[:100])


def _cut(data: bytearray, at: int, chance: random.Random) -> None:
    del data[at + chance.randrange(BLOCK) :]


_DAMAGE: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
    _field, _field, _field, _flip, _repeat, _drop, _move, _records, _records, _entry, _cut,
)  # fmt: skip


def mutated(archive: bytes, chance: random.Random) -> bytes:
    """The archive with one to six injuries, its checksums mended nine times out of ten."""
    data = bytearray(archive)
    for _ in range(chance.randint(1, 6)):
        if len(data) < BLOCK:
            break
        headers = [at for at in range(0, len(data) - BLOCK + 1, BLOCK) if data[at + 257 : at + 262] == b"ustar"]
        at = chance.choice(headers) if headers else 0
        chance.choice(_DAMAGE)(data, at, chance)
    if chance.random() < 0.9:
        for at in range(0, len(data) - BLOCK + 1, BLOCK):
            if data[at + 257 : at + 262] == b"ustar":
                data[at : at + BLOCK] = mended(data[at : at + BLOCK])
    return bytes(data)


def packed(archive: bytes, chance: random.Random) -> bytes:
    """The archive as it is stored: mostly plain; when it is compressed, at times with an injury to the stream."""
    if chance.random() < 0.7:
        return archive
    data = bytearray(chance.choice((_gzip, zstd.compress, _xz))(archive))
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.randrange(len(data))
        injury = chance.randrange(4)
        if injury == 0:
            data[place] = chance.randrange(256)
        elif injury == 1:
            del data[place:]
        elif injury == 2:
            data[place:place] = data[place : place + chance.randint(1, 40)]
        else:
            data += chance.choice((bytes(40), b"x", bytes(data[:60])))
        if not data:
            break
    return bytes(data)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)

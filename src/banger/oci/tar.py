"""A reader of tar archives from a stream: ustar, PAX, GNU, and all sparse forms, without extracting anything.

An archive is hostile. Header sizes, names and maps are bounded, numbers are checked, and nothing is repaired: an
archive that is not well formed is refused with `Malformed`, an entry that may not become a file with `Refused`. Names
stay bytes. A stream may end without the two zero blocks, as many writers let it, but not inside an entry.

The reader is written for speed: one struct for all fields, a memory of fields seen, and the checksum by adler32,
whose low half is one more than the sum of the bytes.
"""

import struct
import zlib
from collections.abc import Iterator

from banger.oci.header import (
    DIGITS,
    GLOBAL_LIMIT,
    HEADER_LIMIT,
    SPARSE_LIMIT,
    Extra,
    Header,
    Malformed,
    Numbers,
    Refused,
    Segment,
    apply,
    check_numbers,
    decimal,
    records,
    set_segments,
)

__all__ = ["Archive", "Header", "Malformed", "Refused", "Segment"]

BLOCK = 512
REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE = b"7", b"\0", b"S"
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_WITH_DATA = frozenset((REGULAR, _CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE))

_FIELDS = struct.Struct("100s24s12s12s8sc100s8s80x155s12x")
"""Name; mode, owner and group; size; time; checksum; type; link target; magic; prefix."""

_ZERO_BLOCK = bytes(BLOCK)
_MEMORY = 1 << 16
_SPARSE = b"GNU.sparse."


class Archive:
    """The entries of an archive whose bytes come in ``pieces``, each of which is used until the next is asked for."""

    def __init__(self, pieces: Iterator[bytes | bytearray]) -> None:
        self._pieces = pieces
        self._piece: bytes | bytearray = b""
        self._at = 0
        self._left = 0
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self._numbers = Numbers()
        self._sums: dict[bytes, int] = {}
        self._owners: dict[bytes, tuple[int, int, int]] = {}

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes of the entry's data."""
        self._left -= count
        return self._take(count)

    def window(self, most: int, unit: int) -> tuple[bytes | bytearray, int, int]:
        """The next bytes of the entry's data where they lie, uncopied: a piece, and from where to where in it.

        All of ``most`` if they lie together, otherwise a multiple of ``unit`` bytes.
        """
        at = self._at
        held = len(self._piece) - at
        if held < most:
            most = min(most, max(held // unit * unit, unit))
        if held < most:
            return self.read(most), 0, most
        self._left -= most
        self._at = at + most
        return self._piece, at, at + most

    def _take(self, count: int) -> bytes:
        at = self._at
        end = at + count
        if end <= len(self._piece):
            self._at = end
            return bytes(self._piece[at:end])
        parts = [self._piece[at:]]
        count -= len(parts[0])
        while count:
            piece = next(self._pieces, b"")
            if not piece:
                raise Malformed("the archive ends in the middle of an entry")
            parts.append(piece[:count])
            self._piece, self._at = piece, len(parts[-1])
            count -= len(parts[-1])
        return b"".join(parts)

    def _skip(self, count: int) -> None:
        while self._at + count > len(self._piece):
            count -= len(self._piece) - self._at
            self._piece, self._at = next(self._pieces, b""), 0
            if not self._piece:
                raise Malformed("the archive ends in the middle of an entry")
        self._at += count

    def _block(self) -> bytes:
        """The next header block; empty at the end of the stream."""
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
            if not self._piece:
                return b""
        return self._take(BLOCK)

    def next(self) -> Header | None:
        """The next entry, None at the end; what was not read of the last one is skipped.

        Raises `Malformed` and `Refused`.
        """
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        extra = Extra(self._global) if self._global else None
        extended = False
        while True:
            block = self._block()
            if not block or block == _ZERO_BLOCK:
                if extended:
                    raise Malformed("an extended header has no entry")
                self._drain()
                return None
            fields = _FIELDS.unpack(block)
            if zlib.adler32(block) & 0xFFFF != self._sums.get(fields[4]):
                self._check(block, fields[4])
            kind = fields[5]
            if kind in b"xgLK":
                extra = self._extend(kind, block, extra)
                extended = extended or kind != b"g"
            else:
                return self._entry(block, fields, extra)

    def _drain(self) -> None:
        """Run the stream to its end, so that its own checks are made; what follows an archive's end means nothing."""
        for _ in self._pieces:
            pass

    def _check(self, block: bytes, field: bytes) -> None:
        """Compare a checksum, which counts its own field as spaces, and remember what goes with the field."""
        try:
            claimed = self._numbers[field]
        except ValueError:
            raise Malformed("a header's checksum is no number; this is no tar archive") from None
        expected = (claimed - 8 * 32 + sum(field) + 1) % 65521
        if zlib.adler32(block) & 0xFFFF == expected:
            if len(self._sums) >= _MEMORY:
                self._sums.clear()
            self._sums[field] = expected
            return
        signed = sum(each - ((each & 0x80) << 1) for each in block[:148] + block[156:]) + 8 * 32
        if signed != claimed:
            raise Malformed("a header's checksum is wrong")

    def _number(self, field: bytes, name: bytes) -> int:
        try:
            return self._numbers[field]
        except ValueError:
            raise Refused(name, "malformed number in the header") from None

    def _owner(self, field: bytes, name: bytes) -> tuple[int, int, int]:
        """Permissions, owner and group."""
        number = self._number
        found = number(field[:8], name) & 0o7777, number(field[8:16], name), number(field[16:], name)
        if len(self._owners) >= _MEMORY:
            self._owners.clear()
        self._owners[field] = found
        return found

    def _extend(self, kind: bytes, block: bytes, extra: Extra | None) -> Extra:
        size = self._number(block[124:136], b"")
        extra = extra or Extra(self._global)
        extra.bytes += size + BLOCK
        if not 0 <= size <= HEADER_LIMIT or extra.bytes > 2 * HEADER_LIMIT:
            raise Malformed(f"an extended header of {size} bytes")
        data = self._take(size)
        self._skip(-size % BLOCK)
        if kind == b"L":
            extra.name = data.partition(b"\0")[0]
        elif kind == b"K":
            extra.link = data.partition(b"\0")[0]
        else:
            for key, value in records(data):
                if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    extra.sparse.append((key, value))
                else:
                    extra.records[key] = value
                    if kind == b"g" and key != b"comment":
                        self._keep(key, value)
        return extra

    def _keep(self, key: bytes, value: bytes) -> None:
        """Remember a record that is meant for all entries that follow."""
        self._global[key] = value
        if sum(len(key) + len(value) for key, value in self._global.items()) > GLOBAL_LIMIT:
            raise Malformed("the headers for all entries are too large")

    def _entry(self, block: bytes, fields: tuple[bytes, ...], extra: Extra | None) -> Header:
        name, owner, size, mtime, _, kind, link, magic, prefix = fields
        name = name.partition(b"\0")[0]
        if prefix[0] and magic == b"ustar\x0000":
            name = prefix.partition(b"\0")[0] + b"/" + name
        header = Header(
            name, kind, self._owners.get(owner) or self._owner(owner, name),
            self._number(mtime, name) * 1_000_000_000, self._number(size, name),
        )  # fmt: skip
        if link[0]:
            header.link = link.partition(b"\0")[0]
        if extra is not None:
            apply(header, extra)
        if kind in _WITHOUT_DATA:
            header.size = 0
        elif kind not in _WITH_DATA:
            raise Refused(header.name, f"unknown type {kind!r}")
        elif kind == _OLD_REGULAR and header.name.endswith(b"/"):
            header.kind, header.size = DIRECTORY, 0
        else:
            header.kind = REGULAR
        check_numbers(header)
        header.stored = self._left = header.size
        self._padding = -header.size % BLOCK
        if kind == _GNU_SPARSE:
            self._old_sparse(header, block)
        elif extra is not None and (extra.sparse or any(key.startswith(_SPARSE) for key in extra.records)):
            self._pax_sparse(header, extra)
        return header

    def _old_sparse(self, header: Header, block: bytes) -> None:
        """The map in the header's last part and in the blocks that follow it."""
        number, name = self._number, header.name
        fields = [block[at : at + 12] for at in range(386, 482, 12)]
        more = block[482]
        size = number(block[483:495], name)
        while more:
            if len(fields) > 2 * SPARSE_LIMIT:
                raise Refused(name, "too many holes")
            block = self._take(BLOCK)
            fields += [block[at : at + 12] for at in range(0, 504, 12)]
            more = block[504]
        numbers = [number(field, name) if field[0] else -1 for field in fields]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        set_segments(header, [pair for pair in pairs if pair[0] >= 0], size)

    def _pax_sparse(self, header: Header, extra: Extra) -> None:
        """The three forms of GNU tar's sparse files in PAX archives: 0.0, 0.1 and 1.0."""
        said, name = extra.records, header.name
        if b"GNU.sparse.name" in said:
            header.name = name = said[b"GNU.sparse.name"]
        size = decimal(said.get(b"GNU.sparse.realsize") or said.get(b"GNU.sparse.size") or b"", name)
        if said.get(b"GNU.sparse.major") == b"1":
            numbers = self._sparse_map(header)
        elif b"GNU.sparse.map" in said:
            fields = said[b"GNU.sparse.map"].split(b",")
            numbers = [decimal(field, name) for field in fields] if fields != [b""] else []
        else:
            numbers = [decimal(value, name) for _, value in extra.sparse]
        if len(numbers) % 2 or len(numbers) > 2 * SPARSE_LIMIT:
            raise Refused(name, "malformed map of a sparse file")
        set_segments(header, list(zip(numbers[::2], numbers[1::2], strict=True)), size)

    def _sparse_map(self, header: Header) -> list[int]:
        """The map of form 1.0, which precedes the data: a count and that many pairs, one number a line."""
        text = b""
        lines: list[bytes] = []
        wanted = 1
        while len(lines) < wanted:
            if self._left < BLOCK or wanted > 2 * SPARSE_LIMIT + 1:
                raise Refused(header.name, "malformed map of a sparse file")
            *whole, text = (text + self.read(BLOCK)).split(b"\n")
            lines += whole
            if lines:
                wanted = 1 + 2 * decimal(lines[0], header.name)
            if len(lines) < wanted and len(text) > DIGITS:
                raise Refused(header.name, "malformed map of a sparse file")
        header.stored = self._left
        return [decimal(line, header.name) for line in lines[1:wanted]]

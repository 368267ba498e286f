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

BLOCK = 512
HEADER_LIMIT = 1 << 20
"""Most bytes of a PAX header or a GNU long name."""

SPARSE_LIMIT = 1 << 17
"""Most data segments of a sparse file."""

SIZE_LIMIT = (1 << 32) * 4096 - 1
"""The largest file that ext4 holds with blocks of 4 KiB."""

ID_LIMIT = (1 << 32) - 2

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE = b"7", b"\0", b"S"
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_WITH_DATA = frozenset((REGULAR, _CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE))

_FIELDS = struct.Struct("100s24s12s12s8sc100s8s80x155s12x")
"""Name; mode, owner and group; size; time; checksum; type; link target; magic; prefix."""

_ZERO_BLOCK = bytes(BLOCK)
_MEMORY = 1 << 16
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."

Segment = tuple[int, int]
"""Data of a sparse file: offset and length."""


class Malformed(ValueError):
    """The archive as a whole cannot be read further."""


class Refused(ValueError):
    """One entry must not become a file."""

    def __init__(self, entry: bytes, reason: str) -> None:
        super().__init__(entry, reason)
        self.entry = entry
        self.reason = reason


class Header:
    """An entry: what the archive says about a file. Its data, if it has any, is what `Archive.read` gives next."""

    __slots__ = ("gid", "kind", "link", "mode", "mtime", "name", "segments", "size", "stored", "uid", "xattrs")

    def __init__(self, name: bytes, kind: bytes, owner: tuple[int, int, int], mtime: int, size: int) -> None:
        self.name = name
        self.kind = kind
        self.mode, self.uid, self.gid = owner
        self.mtime = mtime
        self.size = size
        self.stored = size
        """Bytes in the archive; less than ``size`` for a sparse file."""
        self.link = b""
        self.xattrs: dict[bytes, bytes] | None = None
        self.segments: list[Segment] | None = None


class _Extra:
    """What PAX and GNU headers say about the entry that follows them."""

    __slots__ = ("link", "name", "records", "sparse")

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.name = b""
        self.link = b""
        self.records = dict(records)
        self.sparse: list[tuple[bytes, bytes]] = []


class _Numbers(dict[bytes, int]):
    """Numeric fields and their values; most fields have been seen before. Raises ValueError."""

    def __missing__(self, field: bytes) -> int:
        """Octal digits, or base 256 when the first bit is set."""
        if field[0] & 0x80:
            value = int.from_bytes(field, "big", signed=False) & ((1 << 8 * len(field) - 1) - 1)
            if field[0] & 0x40:
                value -= 1 << 8 * len(field) - 1
        else:
            digits = field.partition(b"\0")[0].strip(b" ")
            if digits.strip(b"01234567"):
                raise ValueError(field)
            value = int(digits or b"0", 8)
        if len(self) >= _MEMORY:
            self.clear()
        self[field] = value
        return value


class Archive:
    """The entries of an archive whose bytes come in ``pieces``."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._left = 0
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self._numbers = _Numbers()
        self._sums: dict[bytes, int] = {}
        self._owners: dict[bytes, tuple[int, int, int]] = {}

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes of the entry's data."""
        self._left -= count
        return self._take(count)

    def window(self, most: int, unit: int) -> tuple[bytes, int, int]:
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
            return self._piece[at:end]
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
        extra: _Extra | None = None
        while True:
            block = self._block()
            if not block or block == _ZERO_BLOCK:
                if extra is not None:
                    raise Malformed("an extended header has no entry")
                self._drain()
                return None
            fields = _FIELDS.unpack(block)
            if zlib.adler32(block) & 0xFFFF != self._sums.get(fields[4]):
                self._check(block, fields[4])
            kind = fields[5]
            if kind in b"xgLK":
                extra = self._extend(kind, block, extra)
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

    def _extend(self, kind: bytes, block: bytes, extra: _Extra | None) -> _Extra:
        size = self._number(block[124:136], b"")
        if not 0 <= size <= HEADER_LIMIT:
            raise Malformed(f"an extended header of {size} bytes")
        data = self._take(size)
        self._skip(-size % BLOCK)
        extra = extra or _Extra(self._global)
        if kind == b"L":
            extra.name = data.partition(b"\0")[0]
        elif kind == b"K":
            extra.link = data.partition(b"\0")[0]
        else:
            for key, value in _records(data):
                if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    extra.sparse.append((key, value))
                else:
                    extra.records[key] = value
                    if kind == b"g":
                        self._global[key] = value
        return extra

    def _entry(self, block: bytes, fields: tuple[bytes, ...], extra: _Extra | None) -> Header:
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
            _apply(header, extra)
        if kind in _WITHOUT_DATA:
            header.size = 0
        elif kind not in _WITH_DATA:
            raise Refused(header.name, f"unknown type {kind!r}")
        elif kind == _OLD_REGULAR and header.name.endswith(b"/"):
            header.kind, header.size = DIRECTORY, 0
        else:
            header.kind = REGULAR
        _check_numbers(header)
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
        _set_segments(header, [pair for pair in pairs if pair[0] >= 0], size)

    def _pax_sparse(self, header: Header, extra: _Extra) -> None:
        """The three forms of GNU tar's sparse files in PAX archives: 0.0, 0.1 and 1.0."""
        records, name = extra.records, header.name
        if b"GNU.sparse.name" in records:
            header.name = name = records[b"GNU.sparse.name"]
        size = _decimal(records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size") or b"", name)
        if records.get(b"GNU.sparse.major") == b"1":
            numbers = self._sparse_map(header)
        elif b"GNU.sparse.map" in records:
            fields = records[b"GNU.sparse.map"].split(b",")
            numbers = [_decimal(field, name) for field in fields] if fields != [b""] else []
        else:
            numbers = [_decimal(value, name) for _, value in extra.sparse]
        if len(numbers) % 2 or len(numbers) > 2 * SPARSE_LIMIT:
            raise Refused(name, "malformed map of a sparse file")
        _set_segments(header, list(zip(numbers[::2], numbers[1::2], strict=True)), size)

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
                wanted = 1 + 2 * _decimal(lines[0], header.name)
        header.stored = self._left
        return [_decimal(line, header.name) for line in lines[1:wanted]]


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of a PAX header that matter here: ``LENGTH KEY=VALUE\\n``."""
    at = 0
    while at < len(data):
        length, space, _ = data[at : at + 20].partition(b" ")
        end = at + int(length) if length.isdigit() and space else 0
        record = data[at + len(length) + 1 : end - 1]
        key, equals, value = record.partition(b"=")
        if end <= at or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise Malformed("a PAX header is not well formed")
        yield key, value
        at = end


def _apply(header: Header, extra: _Extra) -> None:
    header.name = extra.name or header.name
    header.link = extra.link or header.link
    for key, value in extra.records.items():
        if key == b"path":
            header.name = value
        elif key == b"linkpath":
            header.link = value
        elif key == b"size":
            header.size = _decimal(value, header.name)
        elif key == b"uid":
            header.uid = _decimal(value, header.name)
        elif key == b"gid":
            header.gid = _decimal(value, header.name)
        elif key == b"mtime":
            header.mtime = _time(value, header.name)
        elif key.startswith(_XATTR):
            header.xattrs = header.xattrs or {}
            header.xattrs[key[len(_XATTR) :]] = value


def _decimal(text: bytes, name: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Refused(name, "malformed number in the header")
    return int(text)


def _time(text: bytes, name: bytes) -> int:
    """Nanoseconds of ``[-]SECONDS[.FRACTION]``."""
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > 20 or (fraction and not fraction.isdigit()):
        raise Refused(name, "malformed time in the header")
    value = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if text.startswith(b"-") else value


def _check_numbers(header: Header) -> None:
    if not 0 <= header.size <= SIZE_LIMIT:
        raise Refused(header.name, f"it claims a size of {header.size} bytes")
    if not (0 <= header.uid <= ID_LIMIT and 0 <= header.gid <= ID_LIMIT):
        raise Refused(header.name, f"its owner {header.uid}:{header.gid} cannot exist")


def _set_segments(header: Header, segments: list[Segment], size: int) -> None:
    """Check a sparse file's map against its size and against what the archive holds of it."""
    end = held = 0
    for offset, length in segments:
        if offset < end or length < 0:
            raise Refused(header.name, "the map of a sparse file is not in order")
        end = offset + length
        held += length
    if end > size or size > SIZE_LIMIT or held != header.stored:
        raise Refused(header.name, "the map of a sparse file does not fit its size")
    header.size = size
    header.segments = [segment for segment in segments if segment[1]]

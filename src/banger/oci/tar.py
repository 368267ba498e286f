"""A reader of tar archives from a stream: ustar, PAX, GNU, and all sparse forms, without extracting anything.

An archive is hostile. Header sizes, names and maps are bounded, numbers are checked, and nothing is repaired: an
archive that is not well formed is refused with `Malformed`, an entry that may not become a file with `Refused`. Names
stay bytes. A stream may end without the two zero blocks, as many writers let it, but not inside an entry.

The reader is written for speed: one struct for all fields, a memory of numbers seen, and the checksum by adler32,
whose low half is one more than the sum of the bytes.
"""

import struct
import zlib
from collections.abc import Iterator

BLOCK = 512
HEADER_LIMIT = 1 << 20
"""Most bytes of a PAX header or a GNU long name; all headers of one entry have twice that."""

GLOBAL_LIMIT = 4096
"""Most bytes of the PAX records that are meant for all entries."""

SPARSE_LIMIT = 1 << 17
"""Most data segments of a sparse file."""

SIZE_LIMIT = (1 << 32) * 4096 - 1
"""The largest file that ext4 holds with blocks of 4 KiB."""

ID_LIMIT = (1 << 32) - 2

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE = b"7", b"\0", b"S"
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_WITH_DATA = frozenset((REGULAR, _CONTIGUOUS, _OLD_REGULAR, _GNU_SPARSE))

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZERO_BLOCK = bytes(BLOCK)
_MEMORY = 1 << 16
_DIGITS = 20
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

    def __init__(self, name: bytes, kind: bytes, mode: int, uid: int, gid: int, mtime: int, size: int) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.size = size
        self.stored = size
        """Bytes in the archive; less than ``size`` for a sparse file."""
        self.link = b""
        self.xattrs: dict[bytes, bytes] | None = None
        self.segments: list[Segment] | None = None


class _Extra:
    """What PAX and GNU headers say about the entry that follows them."""

    __slots__ = ("bytes", "link", "name", "records", "sparse")

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.bytes = 0
        self.name = b""
        self.link = b""
        self.records = dict(records)
        self.sparse: list[tuple[bytes, bytes]] = []


class Archive:
    """The entries of an archive whose bytes come in ``pieces``."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._left = 0
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self._numbers: dict[bytes, int] = {}

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes of the entry's data."""
        self._left -= count
        return self._take(count)

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
        extra = _Extra(self._global) if self._global else None
        extended = False
        while True:
            if self._left or self._padding:
                self._skip(self._left + self._padding)
                self._left = self._padding = 0
            block = self._block()
            if not block or block == _ZERO_BLOCK:
                if extended:
                    raise Malformed("an extended header has no entry")
                self._drain()
                return None
            self._check(block)
            kind = block[156:157]
            if kind in b"xgLK":
                extra = self._extend(kind, block, extra)
                extended = extended or kind != b"g"
            else:
                return self._entry(block, extra)

    def _drain(self) -> None:
        """Run the stream to its end, so that its own checks are made; what follows an archive's end means nothing."""
        for _ in self._pieces:
            pass

    def _check(self, block: bytes) -> None:
        summed = zlib.adler32(block[156:], zlib.adler32(block[:148])) & 0xFFFF
        try:
            claimed = self._number(block[148:156], b"")
        except Refused:
            raise Malformed("a header's checksum is no number; this is no tar archive") from None
        if summed == (claimed - 8 * 32 + 1) % 65521:
            return
        signed = sum(each - ((each & 0x80) << 1) for each in block[:148] + block[156:]) + 8 * 32
        if signed != claimed:
            raise Malformed("a header's checksum is wrong")

    def _parse(self, field: bytes, name: bytes) -> int:
        """A numeric field: octal digits, or base 256 when its first bit is set."""
        if field[0] & 0x80:
            value = int.from_bytes(field, "big", signed=False) & ((1 << 8 * len(field) - 1) - 1)
            if field[0] & 0x40:
                value -= 1 << 8 * len(field) - 1
        else:
            digits = field.partition(b"\0")[0].strip(b" ")
            if digits.strip(b"01234567"):
                raise Refused(name, "malformed number in the header")
            value = int(digits or b"0", 8)
        if len(self._numbers) >= _MEMORY:
            self._numbers.clear()
        self._numbers[field] = value
        return value

    def _number(self, field: bytes, name: bytes) -> int:
        """A numeric field; most have been seen before."""
        known = self._numbers.get(field)
        return known if known is not None else self._parse(field, name)

    def _extend(self, kind: bytes, block: bytes, extra: _Extra | None) -> _Extra:
        size = self._number(block[124:136], b"")
        extra = extra or _Extra(self._global)
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
            for key, value in _records(data):
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

    def _entry(self, block: bytes, extra: _Extra | None) -> Header:
        (name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, _, _, prefix) = _FIELDS.unpack(block)
        name = name.partition(b"\0")[0]
        if magic == b"ustar\x0000" and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        number = self._number
        header = Header(
            name, kind, number(mode, name) & 0o7777, number(uid, name), number(gid, name),
            number(mtime, name) * 1_000_000_000, number(size, name),
        )  # fmt: skip
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
            if len(lines) < wanted and len(text) > _DIGITS:
                raise Refused(header.name, "malformed map of a sparse file")
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
    if not text.isdigit() or len(text) > _DIGITS:
        raise Refused(name, "malformed number in the header")
    return int(text)


def _time(text: bytes, name: bytes) -> int:
    """Nanoseconds of ``[-]SECONDS[.FRACTION]``."""
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > _DIGITS or (fraction and not fraction.isdigit()):
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

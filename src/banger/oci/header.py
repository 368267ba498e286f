"""What the headers of a tar archive say: fields, PAX records and GNU's long names, checked and put together.

Nothing is repaired: what is not well formed is `Malformed`, an entry that may not become a file is `Refused`. Names
stay bytes.
"""

from collections.abc import Iterator

HEADER_LIMIT = 1 << 20
"""Most bytes of a PAX header or a GNU long name; all headers of one entry have twice that."""

GLOBAL_LIMIT = 4096
"""Most bytes of the PAX records that are meant for all entries."""

SPARSE_LIMIT = 1 << 17
"""Most data segments of a sparse file."""

SIZE_LIMIT = (1 << 32) * 4096 - 1
"""The largest file that ext4 holds with blocks of 4 KiB."""

ID_LIMIT = (1 << 32) - 2

_MEMORY = 1 << 16
DIGITS = 20
"""Most digits of a decimal number."""

_XATTR = b"SCHILY.xattr."

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


class Extra:
    """What PAX and GNU headers say about the entry that follows them."""

    __slots__ = ("bytes", "link", "name", "records", "sparse")

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.bytes = 0
        self.name = b""
        self.link = b""
        self.records = dict(records)
        self.sparse: list[tuple[bytes, bytes]] = []


class Numbers(dict[bytes, int]):
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


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
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


def apply(header: Header, extra: Extra) -> None:
    """Let what precedes a header change it. Raises `Refused`."""
    header.name = extra.name or header.name
    header.link = extra.link or header.link
    for key, value in extra.records.items():
        if key == b"path":
            header.name = value
        elif key == b"linkpath":
            header.link = value
        elif key == b"size":
            header.size = decimal(value, header.name)
        elif key == b"uid":
            header.uid = decimal(value, header.name)
        elif key == b"gid":
            header.gid = decimal(value, header.name)
        elif key == b"mtime":
            header.mtime = _time(value, header.name)
        elif key.startswith(_XATTR):
            header.xattrs = header.xattrs or {}
            header.xattrs[key[len(_XATTR) :]] = value


def decimal(text: bytes, name: bytes) -> int:
    """A number of a PAX record. Raises `Refused`."""
    if not text.isdigit() or len(text) > DIGITS:
        raise Refused(name, "malformed number in the header")
    return int(text)


def _time(text: bytes, name: bytes) -> int:
    """Nanoseconds of ``[-]SECONDS[.FRACTION]``."""
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > DIGITS or (fraction and not fraction.isdigit()):
        raise Refused(name, "malformed time in the header")
    value = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if text.startswith(b"-") else value


def check_numbers(header: Header) -> None:
    """Whether a file can be so. Raises `Refused`."""
    if not 0 <= header.size <= SIZE_LIMIT:
        raise Refused(header.name, f"it claims a size of {header.size} bytes")
    if not (0 <= header.uid <= ID_LIMIT and 0 <= header.gid <= ID_LIMIT):
        raise Refused(header.name, f"its owner {header.uid}:{header.gid} cannot exist")


def set_segments(header: Header, segments: list[Segment], size: int) -> None:
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

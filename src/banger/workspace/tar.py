"""Tar headers, quickly: ustar where a name fits, with an extended record where it does not. Everything is root's."""

BLOCK = 512
_OCTAL = 0o77777777777
END = bytes(2 * BLOCK)

FILE, HARD_LINK, LINK, REMOVED = b"0", b"1", b"2", b"R"
"""The last is the agent's own: the name is removed."""


def header(name: bytes, mode: int, size: int, mtime: int, kind: bytes = FILE, target: bytes = b"") -> bytes:
    """The block or blocks before an entry's content. Names are relative, times whole seconds."""
    split = _split(name)
    extended = b""
    if split is None or len(target) > 100 or size > _OCTAL:
        records = _record(b"path", name) if split is None else b""
        records += _record(b"linkpath", target) if len(target) > 100 else b""
        records += _record(b"size", b"%d" % size) if size > _OCTAL else b""
        extended = _block(b"banger", b"", 0o644, len(records), 0, b"x", b"") + padded(records)
    prefix, last = split or (b"", name[-100:])
    return extended + _block(last, prefix, mode, min(size, _OCTAL), min(max(mtime, 0), _OCTAL), kind, target[:100])


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def file(name: bytes, content: bytes, mtime: int, mode: int = 0o644) -> bytes:
    """A whole entry."""
    return header(name, mode, len(content), mtime) + padded(content)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    if len(name) <= 100:
        return b"", name
    at = name.rfind(b"/", 0, 156)
    return (name[:at], name[at + 1 :]) if at > 0 and len(name) - at - 1 <= 100 else None


def _record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(b"%d" % size) + len(key) + len(value) + 3 != size:
        size = len(b"%d" % size) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (size, key, value)


def _block(name: bytes, prefix: bytes, mode: int, size: int, mtime: int, kind: bytes, target: bytes) -> bytes:
    front = b"%s%07o\x000000000\x000000000\x00%011o\x00%011o\x00" % (name.ljust(100, b"\0"), mode, size, mtime)
    back = b"%s%sustar\x0000" % (kind, target.ljust(100, b"\0"))
    rest = bytes(80) + prefix.ljust(155, b"\0") + bytes(12)
    total = sum(front) + 8 * 32 + sum(back) + sum(prefix)
    return b"%s%06o\x00 %s%s" % (front, total, back, rest)

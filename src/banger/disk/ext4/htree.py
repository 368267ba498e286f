"""Hashed directory indexes: half-MD4 over names, leaves in order of the hash, one or two levels of index above them.

The first block is the root of the index, disguised as a linear block that holds ``.`` and ``..`` alone. Bit 0 of a
hash in the index says that the same hash also ends the leaf before.
"""

import struct
from collections.abc import Iterator, Sequence

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.directory import ROOM, Entry, linear_block
from banger.disk.ext4.geometry import BLOCK

HALF_MD4 = 1
"""s_def_hash_version, with the superblock's flag that says that characters are signed."""

ROOT_LIMIT = 507
NODE_LIMIT = 510

_PART, _WORDS = 32, 8
"""Bytes of a name that are hashed together, and words of 32 bits that they are."""

_LANES = 4096
"""Most names that are hashed together: a large number holds a word of each, in 64 bits of its own, so that it takes
one operation for all of them, and no carry leaves its lane."""

_MASK = 0xFFFFFFFF
_SECOND, _THIRD = 0x5A827999, 0x6ED9EBA1

_State = tuple[int, int, int, int]


def name_hashes(names: Sequence[bytes], seed: Sequence[int]) -> dict[bytes, tuple[int, int]]:
    """The major and minor hashes of names."""
    found: dict[bytes, tuple[int, int]] = {}
    by_length: dict[int, list[bytes]] = {}
    for name in names:
        by_length.setdefault(-(-len(name) // _PART), []).append(name)
    for parts, alike in by_length.items():
        for at in range(0, len(alike), _LANES):
            some = alike[at : at + _LANES]
            found.update(zip(some, _hashes(some, parts, seed), strict=True))
    return found


def _hashes(names: Sequence[bytes], parts: int, seed: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The hashes of a few names that have equally many parts."""
    count = len(names)
    ones = _lanes([1] * count)
    state: _State = seed[0] * ones, seed[1] * ones, seed[2] * ones, seed[3] * ones
    for at in range(0, parts * _PART, _PART):
        words = struct.unpack(f">{_WORDS * count}I", b"".join([_padded(name[at : at + _PART]) for name in names]))
        state = _transform(state, [_signed(_lanes(words[word::_WORDS]), ones) for word in range(_WORDS)], ones)
    for major, minor in zip(_numbers(state[1], count), _numbers(state[2], count), strict=True):
        yield min(major & ~1, 0xFFFFFFFC), minor


def _padded(part: bytes) -> bytes:
    """The 32 bytes of a name's part: a shorter one's length fills its last word from the left, and all that follow."""
    length = len(part)
    fill = bytes((length,))
    whole = length & ~3
    return (part[:whole] + part[whole:].rjust(4, fill) if length > whole else part).ljust(_PART, fill)


def _signed(words: int, ones: int) -> int:
    """Words whose bytes count as signed, from those whose bytes do not."""
    return words + (ones << 33) - ((words & ones * 0x80808080) << 1) & ones * _MASK


def _lanes(numbers: Sequence[int]) -> int:
    return int.from_bytes(struct.pack(f"<{len(numbers)}Q", *numbers), "little")


def _numbers(lanes: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}Q", lanes.to_bytes(8 * count, "little"))


def _transform(state: _State, words: Sequence[int], ones: int) -> _State:
    """Half MD4 of eight words in each lane."""
    mask, second, third = ones * _MASK, ones * _SECOND, ones * _THIRD
    a, b, c, d = state
    s, t, u, v, w, x, y, z = words
    a = a + (d ^ (b & (c ^ d))) + s & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (c ^ (a & (b ^ c))) + t & mask
    d = (d << 7 | d >> 25) & mask
    c = c + (b ^ (d & (a ^ b))) + u & mask
    c = (c << 11 | c >> 21) & mask
    b = b + (a ^ (c & (d ^ a))) + v & mask
    b = (b << 19 | b >> 13) & mask
    a = a + (d ^ (b & (c ^ d))) + w & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (c ^ (a & (b ^ c))) + x & mask
    d = (d << 7 | d >> 25) & mask
    c = c + (b ^ (d & (a ^ b))) + y & mask
    c = (c << 11 | c >> 21) & mask
    b = b + (a ^ (c & (d ^ a))) + z & mask
    b = (b << 19 | b >> 13) & mask
    a = a + (b & c) + ((b ^ c) & d) + second + t & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (a & b) + ((a ^ b) & c) + second + v & mask
    d = (d << 5 | d >> 27) & mask
    c = c + (d & a) + ((d ^ a) & b) + second + x & mask
    c = (c << 9 | c >> 23) & mask
    b = b + (c & d) + ((c ^ d) & a) + second + z & mask
    b = (b << 13 | b >> 19) & mask
    a = a + (b & c) + ((b ^ c) & d) + second + s & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (a & b) + ((a ^ b) & c) + second + u & mask
    d = (d << 5 | d >> 27) & mask
    c = c + (d & a) + ((d ^ a) & b) + second + w & mask
    c = (c << 9 | c >> 23) & mask
    b = b + (c & d) + ((c ^ d) & a) + second + y & mask
    b = (b << 13 | b >> 19) & mask
    a = a + (b ^ c ^ d) + third + v & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (a ^ b ^ c) + third + z & mask
    d = (d << 9 | d >> 23) & mask
    c = c + (d ^ a ^ b) + third + u & mask
    c = (c << 11 | c >> 21) & mask
    b = b + (c ^ d ^ a) + third + y & mask
    b = (b << 15 | b >> 17) & mask
    a = a + (b ^ c ^ d) + third + t & mask
    a = (a << 3 | a >> 29) & mask
    d = d + (a ^ b ^ c) + third + x & mask
    d = (d << 9 | d >> 23) & mask
    c = c + (d ^ a ^ b) + third + s & mask
    c = (c << 11 | c >> 21) & mask
    b = b + (c ^ d ^ a) + third + w & mask
    b = (b << 15 | b >> 17) & mask
    return (state[0] + a & mask, state[1] + b & mask, state[2] + c & mask, state[3] + d & mask)


def indexed(entries: list[Entry], seed: int, hash_seed: tuple[int, ...]) -> bytes:
    """All blocks of an indexed directory; ``entries`` begins with ``.`` and ``..``."""
    dot, dotdot, *named = entries
    hashes = name_hashes([entry.name for entry in named], hash_seed)
    hashed = sorted((*hashes[entry.name], entry.name, entry) for entry in named)
    leaves: list[tuple[int, list[Entry]]] = []
    room, last = 0, -1
    for major, _, _, entry in hashed:
        if entry.size > room:
            leaves.append((major | (major == last), []))
            room = ROOM
        leaves[-1][1].append(entry)
        room -= entry.size
        last = major
    two_levels = len(leaves) > ROOT_LIMIT
    nodes = -(-len(leaves) // NODE_LIMIT) if two_levels else 0
    pointers = [(major, 1 + nodes + at) for at, (major, _) in enumerate(leaves)]
    parts: list[bytes] = []
    if two_levels:
        parts.extend(_node(pointers[at * NODE_LIMIT : (at + 1) * NODE_LIMIT], seed) for at in range(nodes))
        pointers = [(pointers[at * NODE_LIMIT][0], 1 + at) for at in range(nodes)]
    parts.insert(0, _root(dot, dotdot, pointers, two_levels, seed))
    parts.extend(linear_block(part, seed) for _, part in leaves)
    return b"".join(parts)


def _root(dot: Entry, dotdot: Entry, pointers: list[tuple[int, int]], two_levels: bool, seed: int) -> bytes:
    head = struct.pack("<IHBB4s", dot.number, 12, 1, 2, b".")
    head += struct.pack("<IHBB4s", dotdot.number, BLOCK - 12, 2, 2, b"..")
    head += struct.pack("<IBBBB", 0, HALF_MD4, 8, int(two_levels), 0)
    return _with_pointers(head, pointers, ROOT_LIMIT, seed)


def _node(pointers: list[tuple[int, int]], seed: int) -> bytes:
    return _with_pointers(struct.pack("<IHBB", 0, BLOCK, 0, 0), pointers, NODE_LIMIT, seed)


def _with_pointers(head: bytes, pointers: list[tuple[int, int]], limit: int, seed: int) -> bytes:
    """The first pointer's hash is implied; limit and count stand in its place."""
    body = head + struct.pack("<HHI", limit, len(pointers), pointers[0][1])
    body += b"".join(struct.pack("<II", major, block) for major, block in pointers[1:])
    return body.ljust(BLOCK - 4, b"\0") + struct.pack("<I", crc(seed, body + bytes(8)))

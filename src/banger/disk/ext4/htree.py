"""Hashed directory indexes: half-MD4 over names, leaves in order of the hash, one or two levels of index above them.

The first block is the root of the index, disguised as a linear block that holds ``.`` and ``..`` alone. Bit 0 of a
hash in the index says that the same hash also ends the leaf before.
"""

import struct

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.directory import ROOM, Entry, linear_block
from banger.disk.ext4.geometry import BLOCK

HALF_MD4 = 1
"""s_def_hash_version, with the superblock's flag that says that characters are signed."""

ROOT_LIMIT = 507
NODE_LIMIT = 510

_MASK = 0xFFFFFFFF
_SECOND, _THIRD = 0x5A827999, 0x6ED9EBA1


def name_hash(name: bytes, seed: tuple[int, ...]) -> tuple[int, int]:
    """The major and minor hash of a name."""
    state = seed
    for at in range(0, len(name), 32):
        state = _transform(state, _words(name[at : at + 32], len(name) - at))
    major = state[1] & ~1
    return (0xFFFFFFFC if major == 0xFFFFFFFE else major), state[2]


def _words(part: bytes, remaining: int) -> list[int]:
    """Eight words of a name's next 32 bytes, padded with its remaining length; bytes count as signed."""
    padding = (remaining | remaining << 8) & _MASK
    padding = (padding | padding << 16) & _MASK
    words = []
    for at in range(0, len(part), 4):
        value = padding
        for byte in part[at : at + 4]:
            value = (byte - ((byte & 0x80) << 1) + (value << 8)) & _MASK
        words.append(value)
    if len(part) % 4 == 0 and len(words) < 8:
        words.append(padding)
    return words + [padding] * (8 - len(words))


def _transform(state: tuple[int, ...], words: list[int]) -> tuple[int, ...]:
    """Half MD4 of eight words. Written out, it takes half the time of a loop: a directory may have 100,000 names."""
    a, b, c, d = state
    s, t, u, v, w, x, y, z = words
    a = a + (d ^ (b & (c ^ d))) + s & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (c ^ (a & (b ^ c))) + t & _MASK
    d = (d << 7 | d >> 25) & _MASK
    c = c + (b ^ (d & (a ^ b))) + u & _MASK
    c = (c << 11 | c >> 21) & _MASK
    b = b + (a ^ (c & (d ^ a))) + v & _MASK
    b = (b << 19 | b >> 13) & _MASK
    a = a + (d ^ (b & (c ^ d))) + w & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (c ^ (a & (b ^ c))) + x & _MASK
    d = (d << 7 | d >> 25) & _MASK
    c = c + (b ^ (d & (a ^ b))) + y & _MASK
    c = (c << 11 | c >> 21) & _MASK
    b = b + (a ^ (c & (d ^ a))) + z & _MASK
    b = (b << 19 | b >> 13) & _MASK
    a = a + (b & c) + ((b ^ c) & d) + _SECOND + t & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (a & b) + ((a ^ b) & c) + _SECOND + v & _MASK
    d = (d << 5 | d >> 27) & _MASK
    c = c + (d & a) + ((d ^ a) & b) + _SECOND + x & _MASK
    c = (c << 9 | c >> 23) & _MASK
    b = b + (c & d) + ((c ^ d) & a) + _SECOND + z & _MASK
    b = (b << 13 | b >> 19) & _MASK
    a = a + (b & c) + ((b ^ c) & d) + _SECOND + s & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (a & b) + ((a ^ b) & c) + _SECOND + u & _MASK
    d = (d << 5 | d >> 27) & _MASK
    c = c + (d & a) + ((d ^ a) & b) + _SECOND + w & _MASK
    c = (c << 9 | c >> 23) & _MASK
    b = b + (c & d) + ((c ^ d) & a) + _SECOND + y & _MASK
    b = (b << 13 | b >> 19) & _MASK
    a = a + (b ^ c ^ d) + _THIRD + v & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (a ^ b ^ c) + _THIRD + z & _MASK
    d = (d << 9 | d >> 23) & _MASK
    c = c + (d ^ a ^ b) + _THIRD + u & _MASK
    c = (c << 11 | c >> 21) & _MASK
    b = b + (c ^ d ^ a) + _THIRD + y & _MASK
    b = (b << 15 | b >> 17) & _MASK
    a = a + (b ^ c ^ d) + _THIRD + t & _MASK
    a = (a << 3 | a >> 29) & _MASK
    d = d + (a ^ b ^ c) + _THIRD + x & _MASK
    d = (d << 9 | d >> 23) & _MASK
    c = c + (d ^ a ^ b) + _THIRD + s & _MASK
    c = (c << 11 | c >> 21) & _MASK
    b = b + (c ^ d ^ a) + _THIRD + w & _MASK
    b = (b << 15 | b >> 17) & _MASK
    return (state[0] + a & _MASK, state[1] + b & _MASK, state[2] + c & _MASK, state[3] + d & _MASK)


def indexed(entries: list[Entry], seed: int, hash_seed: tuple[int, ...]) -> bytes:
    """All blocks of an indexed directory; ``entries`` begins with ``.`` and ``..``."""
    dot, dotdot, *named = entries
    hashed = sorted((*name_hash(entry.name, hash_seed), entry.name, entry) for entry in named)
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

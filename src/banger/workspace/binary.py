"""The part of a patch that changes a file which is no text: deflated bytes in base 85, forward and backward.

It is not unfolded here, but what it would unfold to is bounded: by the number beside ``literal`` or ``delta``, which
git holds the data to, and for a delta also by the size that it begins with.
"""

import base64
import re
import zlib
from collections.abc import Callable
from typing import NoReturn

from banger.workspace.lines import Lines

_HEAD = re.compile(rb"(literal|delta) (0|[1-9][0-9]{0,9})")
_LINE = re.compile(rb"([A-Za-z])((?:[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{5}){1,13})")

_BEGINNING = 1024
"""Deflated bytes of a delta that are kept: more than any table that comes before its first byte."""

Refuse = Callable[[str], NoReturn]


def read(lines: Lines, limit: int, refuse: Refuse) -> int:
    """Pass both directions; the bytes that the forward one unfolds to. ``refuse`` is called for what is not allowed."""
    size = _direction(lines, limit, refuse)
    _direction(lines, limit, refuse)
    return size


def _direction(lines: Lines, limit: int, refuse: Refuse) -> int:
    head = lines.peek()
    found = _HEAD.fullmatch(head) if head is not None else None
    if head is None or found is None:
        refuse("its binary part does not begin as git writes it")
    lines.step(head)
    delta = found[1] == b"delta"
    beginning = bytearray()
    while line := lines.peek():
        lines.step(line)
        data = _LINE.fullmatch(line)
        if data is None or (_length(data[1]) + 3) // 4 * 5 != len(data[2]):
            refuse("its binary part is damaged")
        if delta and len(beginning) < _BEGINNING:
            beginning += _decoded(data[2], refuse)[: _length(data[1])]
    if line is None:
        refuse("its binary part ends too early")
    lines.step(line)
    size = int(found[2])
    if delta:
        size = max(size, _result_size(beginning, refuse))
    if size > limit:
        refuse(f"it unfolds to more than {limit} bytes")
    return size


def _length(code: bytes) -> int:
    """How many bytes a line holds: A to Z are 1 to 26, a to z go on to 52."""
    return code[0] - (0x40 if code < b"a" else 0x46)


def _decoded(text: bytes, refuse: Refuse) -> bytes:
    try:
        return base64.b85decode(text)
    except ValueError:
        refuse("its binary part is damaged")


def _result_size(beginning: bytearray, refuse: Refuse) -> int:
    """What a delta makes: the second of the two numbers that it begins with, seven bits a byte, the lowest first."""
    try:
        plain = zlib.decompressobj().decompress(beginning, 20)
    except zlib.error:
        refuse("its binary part is damaged")
    numbers, value, shift = [], 0, 0
    for byte in plain:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    if len(numbers) < 2:
        refuse("its binary part is damaged")
    return numbers[1]

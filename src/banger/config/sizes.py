"""Sizes as users write them: ``512M``, ``4G``, ``4GiB``; a bare number is MiB. Units are powers of 1024.

Imports nothing but the errors: the command line reads sizes before it does anything else.
"""

import banger

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

UNITS = {"": MIB, "k": KIB, "m": MIB, "g": GIB, "t": TIB}

LARGEST = 1 << 50

DISK_LEAST, DISK_LIMIT = 64 * MIB, 2 * TIB
"""What a machine's disk can have, and so the image below it."""


def parse_size(text: str) -> int:
    """Bytes of a size as written. Raises `errors.UsageError`."""
    number = text.strip().lower()
    unit = ""
    for suffix in ("ib", "b"):
        if number.endswith(suffix) and number[: -len(suffix)][-1:] in ("k", "m", "g", "t"):
            number = number[: -len(suffix)]
            break
    if number[-1:] in ("k", "m", "g", "t"):
        number, unit = number[:-1], number[-1]
    whole, point, fraction = number.strip().partition(".")
    digits = whole + fraction
    if not whole or (point and not fraction) or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise banger.errors.UsageError(detail=f"{text[:40]!r} is not a size; write 512M, 4G or 4GiB")
    size: int = int(digits) * UNITS[unit] // 10 ** len(fraction)
    if not 0 < size <= LARGEST:
        raise banger.errors.UsageError(detail=f"{text[:40]!r} is not a usable size")
    return size


def format_size(size: int) -> str:
    """A size for people, exact where it is a whole number of units: ``4 GiB``, ``1.5 GiB``, ``300 B``."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            text = f"{size / unit:.1f}"
            return f"{text.removesuffix('.0')} {name}"
    return f"{size} B"

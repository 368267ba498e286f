"""Sizes and durations as people write them.

Sizes are binary whatever the letter case and with or without ``iB``: ``512M``, ``4G``, ``4GiB``. A bare number is
MiB, the unit in which memory and disks are thought of. Durations are seconds, or carry ``s``, ``m`` or ``h``.
"""

from banger import errors

_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """Bytes. Raises `errors.UsageError`."""
    word = text.strip().lower()
    unit = word.lstrip("0123456789.")
    number = word[: len(word) - len(unit)]
    short = unit.strip()
    short = short if short == "b" else short.removesuffix("b").removesuffix("i")
    factor = _SIZES.get(short or "m") if short or not unit else None
    try:
        size = int(float(number) * factor) if factor is not None else 0
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise errors.UsageError(detail=f"{text!r} is not a size; write 512M, 4G or 4GiB")
    return size


def format_size(size: int) -> str:
    """At most four characters and a unit: ``512M``, ``1.5G``."""
    value, units = float(size), iter("BKMGT")
    unit = next(units)
    while value >= 1024 and (larger := next(units, None)):
        value, unit = value / 1024, larger
    return (f"{value:.1f}".removesuffix(".0") if value < 100 else f"{value:.0f}") + unit


def parse_duration(text: str) -> float:
    """Seconds. Raises `errors.UsageError`."""
    word = text.strip().lower()
    factor = _SECONDS.get(word[-1:], 0.0)
    number = word[:-1] if factor else word
    try:
        seconds = float(number) * (factor or 1.0)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10**9:
        raise errors.UsageError(detail=f"{text!r} is not a duration; write 30, 30s, 5m or 1h")
    return seconds


def format_duration(seconds: float) -> str:
    """One or two units: ``12 ms``, ``3.4 s``, ``5 min``, ``2 h``, ``3 d``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit, divisor, unit in ((119.5, 1, "s"), (7170, 60, "min"), (171_000, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"

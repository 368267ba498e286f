"""Durations as people write and read them: seconds, or a number with ``s``, ``m``, ``h`` or ``d``."""

import banger

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds. Raises `errors.UsageError`."""
    word = text.strip().lower()
    factor = _SECONDS.get(word[-1:], 0.0)
    number = word[:-1] if factor else word
    plain = number.isascii() and number.replace(".", "", 1).isdigit()
    seconds = float(number) * (factor or 1.0) if plain else -1.0
    if not 0 < seconds < 10**9:
        raise banger.errors.UsageError(detail=f"{text!r} is not a duration; write 30, 30s, 5m, 1h or 2d")
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


def format_age(seconds: float) -> str:
    """How long ago something was: ``just now``, ``12 s ago``, ``3 d ago``."""
    return "just now" if seconds < 1 else f"{format_duration(seconds)} ago"

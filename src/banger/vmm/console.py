"""A machine's console file: bounded, and read for how the machine ended.

The monitor appends to the file with O_APPEND, so that it can be cut while it is written to. The guest writes what it
likes: reading is bounded and nothing in it is taken for more than a hint.
"""

import os

from banger.log import printable

TAIL = 64 << 10
_PANIC = b"Kernel panic - not syncing"


def tail(path: str, length: int = TAIL) -> bytes:
    """The last ``length`` bytes; empty when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, length, max(0, size - length))
    finally:
        os.close(descriptor)


def last_line(path: str) -> str:
    """The last line that says something, safe to print."""
    lines = [each for each in tail(path, 4096).splitlines() if each.strip()]
    return printable(lines[-1].strip()) if lines else ""


def panic(path: str) -> str | None:
    """The kernel's last words, when the end of the console holds a panic."""
    return panic_in(tail(path))


def panic_in(text: bytes) -> str | None:
    """As `panic`, of what was read."""
    at = text.rfind(_PANIC)
    if at < 0:
        return None
    line = text[at:].splitlines()[0]
    return printable(line.removeprefix(_PANIC).strip(b" :")) or "no reason given"


def trim(path: str, limit: int) -> None:
    """Keep the last half of ``limit`` bytes when the file has outgrown it.

    What is written between the reading and the cutting is lost; a console that grows so fast is a flood.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        size = os.fstat(descriptor).st_size
        if size <= limit:
            return
        kept = os.pread(descriptor, limit // 2, size - limit // 2)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, kept)
    finally:
        os.close(descriptor)


def create(path: str) -> int:
    """A descriptor to append with, for the monitor to inherit; what earlier runs wrote stays."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def start_log(path: str) -> None:
    """An empty log for a new run: its last line must not be an earlier run's."""
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

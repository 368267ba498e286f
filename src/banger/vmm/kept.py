"""Measured answers that are dear to find out: kept as one JSON file each, below a cache directory.

An answer carries a key of everything that it depends on, and its reader asks for the key that holds now.
"""

import contextlib
import os
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
_LIMIT = 1 << 16


def load(path: str, kind: type[T]) -> T | None:
    """The answer on record, None when there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(_LIMIT), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def save(path: str, measured: msgspec.Struct) -> None:
    """Keep the answer; a cache that cannot be written costs the next caller a second, nothing else."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(measured)))
        os.replace(temporary, path)


def boot_id() -> str:
    """This start of the host; empty where the kernel does not say."""
    return line("/proc/sys/kernel/random/boot_id")


def line(path: str) -> str:
    """The first line of a file of the kernel's, empty when it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""

"""What network operations remember until the host's next start: one small JSON file each, root's.

On disk: ``network/NAME.json`` below the installation's private directory, with the boot id it holds for. What an
earlier boot left is not there any more in the kernel either, so it is read as nothing. Who reads and then writes holds
`turn` in the meantime.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .host import Host


@contextlib.contextmanager
def turn(host: Host) -> Iterator[None]:
    """One at a time, over all processes."""
    descriptor = os.open(_directory(host), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(host: Host, name: str) -> dict[str, Any]:
    """What is remembered; empty when there is nothing, or nothing of use."""
    try:
        with open(os.path.join(_directory(host), f"{name}.json"), encoding="ascii") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.pop("boot", None) == _boot() else {}


def write(host: Host, name: str, values: Mapping[str, object]) -> None:
    """Remember; in one step."""
    path = os.path.join(_directory(host), f"{name}.json")
    with open(f"{path}.new", "w", encoding="ascii") as file:
        json.dump({**values, "boot": _boot()}, file)
    os.replace(f"{path}.new", path)


def forget(host: Host, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(_directory(host), f"{name}.json"))


def _directory(host: Host) -> str:
    path = os.path.join(host.private, "network")
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()

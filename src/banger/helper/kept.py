"""What network operations remember until the host's next start: one small JSON file each, root's.

On disk: ``network/NAME.json`` below the installation's private directory, with the boot id it holds for. What an
earlier boot left is not there any more in the kernel either, so it is read as nothing. Operations take turns
(`Operation.turn`), so there is one writer at a time.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from .host import Host


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

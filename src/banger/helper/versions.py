"""The versions of the monitor and its jailer, as they say themselves, asked once for each file.

Only a pair of one release has been tested together, and their interface to each other is no promise of theirs.

On disk: ``versions.json`` in the runtime directory, root's: path to the file's identity and its version. It is a memo,
since requests are performed by processes that end with them; what is not in it, or has changed, is asked again.
"""

import json
import os
import re
import threading

from . import program
from .host import Host
from .operation import Failed

_MEMO = "versions.json"
_VERSION = re.compile(rb"v([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)")


def refuse_mixed(host: Host) -> None:
    """Raises `Failed` unless the two are of one release."""
    path = os.path.join(host.runtime, _MEMO)
    memo = _read(path)
    found = {}
    for each in (host.firecracker, host.jailer):
        identity = _identity(each)
        known = memo.get(each)
        if isinstance(known, list) and known[:-1] == identity:
            found[each] = known
        else:
            found[each] = [*identity, _ask(each)]
    if found != memo:
        _write(path, found)
    ours, other = (each[-1] for each in found.values())
    if ours != other:
        raise Failed(f"firecracker is {ours} and jailer is {other}: install both from one release")


def _identity(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _ask(path: str) -> str:
    said = program.run(os.path.basename(path), "--version", path=path, memory=1 << 30, timeout=10.0).stdout
    version = _VERSION.search(said)
    if version is None:
        raise Failed(f"{path} does not tell its version")
    return version[1].decode("ascii")


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, encoding="utf-8") as file:
            memo = json.load(file)
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _write(path: str, memo: object) -> None:
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    temporary = f"{path}.{threading.get_native_id()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(memo, file)
    os.rename(temporary, path)

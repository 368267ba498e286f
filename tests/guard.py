"""Keeps unit and property tests to themselves: no other program, no network, no name look-up.

An audit hook (PEP 578) sees these events however they are reached, asyncio and C code included. A hook cannot be
taken out again, so there is one, and it refuses only while a guarded test runs.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

REFUSED = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "socket.getaddrinfo")
"""Events that are refused whatever their arguments."""

_state = {"guarded": False, "installed": False}


class NotAUnitTest(Exception):
    """A guarded test reached outside."""


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _state["guarded"]:
        return
    if event in REFUSED:
        raise NotAUnitTest(f"{event}{args[:2]!r}: move this test to tests/integration, or use the real part's seam")
    if event == "socket.connect" and isinstance(args[1], tuple):  # a unix socket's address is a str or bytes
        raise NotAUnitTest(f"connect to {args[1]!r}: unit tests have no network")


@contextmanager
def guarded() -> Iterator[None]:
    """Refuse to reach outside until the end of the block."""
    if not _state["installed"]:
        sys.addaudithook(_hook)
        _state["installed"] = True
    _state["guarded"] = True
    try:
        yield
    finally:
        _state["guarded"] = False

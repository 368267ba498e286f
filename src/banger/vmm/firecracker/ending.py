"""How a machine ended, read from its console file, in which Firecracker's own lines stand as well.

The guest writes there too and can imitate any line: what it claims about its own end is believed, for nothing follows
from it but the words on record. What it cannot claim away is the kernel's count of those killed for memory.
"""

import os
import re

from banger.log import printable
from banger.vmm import console
from banger.vmm.driver import Exit

_MARK = rb"\d{4}-\d\d-\d\dT\S{1,40} \[[^\]\n]{1,80}\] "
_OWN = b"^" + _MARK
_ANYWHERE = re.compile(_MARK + rb"[^\n]*\n")
_STARTED = re.compile(_OWN + rb"Running Firecracker ", re.MULTILINE)
_STOPPING = re.compile(_OWN + rb"Vmm is stopping\.", re.MULTILINE)
_FAILED = re.compile(_OWN + rb"Firecracker exiting with error", re.MULTILINE)
_LINE = re.compile(_OWN + rb"(.*)$", re.MULTILINE)
_LAST = 2048
_HALTED = re.compile(rb"^(?:\[ *\d+\.\d+\] )?reboot: (?:System halted|Power down)\s*\Z", re.MULTILINE)
"""A guest that turned itself off: the machine has no switch that its kernel could reach, so it stands still."""

_ABOUT_THE_END = (b"Firecracker exiting", b"RunWithApiError", b"Vmm is stopping", b"Running ")


def this_run(path: str, length: int = console.TAIL) -> bytes:
    """The end of the console, from this run's beginning on."""
    text = console.tail(path, length)
    begun = [each.start() for each in _STARTED.finditer(text)]
    return text[begun[-1] :] if begun else text


def written(path: str) -> tuple[int, int] | None:
    """What tells whether the console has been written to since: looking at that costs less than reading it."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def over(path: str) -> bool:
    """Whether a process that still runs has nothing more to do.

    The guest has turned itself off, or Firecracker is stopping and stuck in it: it waits for an answer to a request
    that came in the same moment.
    """
    end = this_run(path, _LAST)
    return _HALTED.search(end) is not None or _STOPPING.search(end) is not None


def said(path: str) -> str:
    """The last line of Firecracker's own that is not about its end, safe to print; empty when there is none."""
    found = [each[1].strip() for each in _LINE.finditer(this_run(path))]
    useful = [each for each in found if not each.startswith(_ABOUT_THE_END)]
    return printable(useful[-1]) if useful else ""


def of_guest(path: str) -> bytes:
    """What the guest alone has written at the end: Firecracker's own lines come in the middle of its words, too."""
    return _ANYWHERE.sub(b"", this_run(path))


def classify(path: str, killed_for_memory: bool) -> Exit:
    """What the end of the console tells of a process that has ended."""
    if killed_for_memory:
        return Exit(reason="out of memory", detail="the host's limit on the machine's monitor was reached")
    text = this_run(path)
    panic = console.panic_in(text)
    if panic is not None:
        return Exit(reason="panic", detail=panic)
    if _FAILED.search(text):
        return Exit(reason="failed", detail=said(path))
    if _STOPPING.search(text) or _HALTED.search(text):
        return Exit(reason="powered off")
    return Exit(reason="killed")

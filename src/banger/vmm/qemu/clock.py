"""The rate of the processor's time-stamp counter, which a guest of the microvm machine cannot find out by itself.

That machine has no timer to compare with, and QEMU's emulator passes the host's counter on as it is. So the host
counts: an ``rdtsc`` between two readings of the monotonic clock, twice, a tenth of a second apart. A reading that was
interrupted shows as a wide bracket and is not used; what is left is an error of a few millionths.
"""

import ctypes
import mmap
import platform
import time

_RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
"""rdtsc; shl rdx, 32; or rax, rdx; ret"""

_SPAN = 0.1
_READINGS = 50


def measure_khz() -> int | None:
    """The counter's rate in kHz, or None where it cannot be measured (another processor, no executable memory)."""
    if platform.machine() != "x86_64":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    with page:
        page.write(_RDTSC)
        anchor = ctypes.c_char.from_buffer(page)
        counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(anchor))
        first = _reading(counter)
        time.sleep(_SPAN)
        second = _reading(counter)
        del anchor, counter
    return round((second[0] - first[0]) * 1_000_000 / (second[1] - first[1]))


def _reading(counter: "ctypes._CFunctionType") -> tuple[int, int]:
    """The counter and the time in nanoseconds, of the narrowest bracket."""
    narrowest, at, when = 1 << 62, 0, 0
    for _ in range(_READINGS):
        before = time.monotonic_ns()
        value = counter()
        after = time.monotonic_ns()
        if after - before < narrowest:
            narrowest, at, when = after - before, value, (before + after) // 2
    return at, when

"""The fake driver's machines, made, used and deleted ten thousand times: what the daemon has grown by.

``BENCH_CYCLES`` is another number of cycles.
"""

import os

from tests.fakes import IMAGE, prepare

from bench.measure import Finding, Place, daemon_pid
from bench.soak import soak

STOCKED = False
CYCLES = int(os.environ.get("BENCH_CYCLES", "10000"))


def measure(place: Place) -> list[Finding]:
    prepare(place.home, quick=True)
    return soak(place.home, daemon_pid(place.home), min(CYCLES, 500), CYCLES, IMAGE, 4)

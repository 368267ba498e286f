"""The same as `bench_soak` with real guests: 500 machines booted, used and deleted.

``BENCH_CYCLES`` is another number of cycles; each takes two seconds, or a few.
"""

import os

from bench.measure import Finding, Place, daemon_pid
from bench.soak import soak

CYCLES = int(os.environ.get("BENCH_CYCLES", "500"))


def measure(place: Place) -> list[Finding]:
    place.home.banger("daemon", "start", check=True)
    return soak(place.home, daemon_pid(place.home), min(CYCLES, 70), CYCLES, None, 1)

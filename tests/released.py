"""A released pair of Firecracker and its jailer on this machine, for tests: what the box is given (`tests.smoke`).

Fetched once into the build cache, where only its owner can write.
"""

import functools
from pathlib import Path

from tests import kept
from tests.smoke.host.inputs import CARRIER, programs


@functools.cache
def released() -> Path:
    """The directory of the two programs."""
    return kept.keep("released", CARRIER[1][:16], programs)

"""Room in memory for tests that make images by the hundred.

An image is written past the page cache, so that on a disk that many share such a test could take minutes.
"""

import os
import tempfile


def in_memory() -> tempfile.TemporaryDirectory[str]:
    """A directory for the length of a ``with`` block, in memory where there is such a place."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)

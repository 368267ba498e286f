"""crc32c as ext4 counts it: the raw register, never inverted at either end (Documentation/filesystems/ext4).

The usual function inverts its register before and after; ``crc`` undoes both, so that results chain.
"""

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

ALL_ONES = 0xFFFFFFFF


def _compiled() -> Callable[[bytes | bytearray | memoryview, int], int]:
    """The library's one function, without the package around it.

    The package imports importlib.metadata and argparse, which a build of a small image would pay with a tenth of its
    time.
    """
    package = PathFinder.find_spec("crc32c")
    assert package is not None
    inner = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations)
    assert inner is not None and inner.loader is not None
    module = module_from_spec(inner)
    inner.loader.exec_module(module)
    function: Callable[[bytes | bytearray | memoryview, int], int] = module.crc32c
    return function


crc32c = _compiled()


def crc(seed: int, data: bytes | bytearray | memoryview) -> int:
    """The register after ``data``, started at ``seed``."""
    return crc32c(data, seed ^ ALL_ONES) ^ ALL_ONES


def filesystem_seed(uuid: bytes) -> int:
    """What every metadata checksum of a filesystem starts from."""
    return crc(ALL_ONES, uuid)


def inode_seed(seed: int, number: int, generation: int = 0) -> int:
    """What the checksums of an inode, and of the blocks that belong to it, start from."""
    return crc(seed, number.to_bytes(4, "little") + generation.to_bytes(4, "little"))

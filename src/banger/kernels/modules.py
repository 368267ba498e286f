"""A kernel's module tree: which modules a machine needs to find its root, and the tree as a read-only image.

A tree is ``lib/modules/RELEASE``: ``kernel/**/*.ko[.xz|.zst|.gz]`` with the indexes that depmod(8) writes, which
modprobe(8) in the guest reads as well. The image is an ext4 file system with RELEASE at its root, so that mounting it
at /lib/modules makes the tree complete.

The guest's loader inserts modules itself, with neither libkmod nor a decompressor: it gets them unpacked and in load
order.
"""

import contextlib
import gzip
import lzma
import os
import re

from banger import errors, proc
from banger.disk import host_tree
from banger.disk.ext4 import volume
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import Geometry
from banger.disk.ext4.node import Node
from banger.disk.fresh import new_file
from banger.kernels import bzimage, lz4

NEEDED = ("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng", "ext4")
"""What a machine needs before its root is there: the two buses, disks, the agent's port, network, entropy.

A name that is built in, or that the kernel does not know, is passed over: the boot tells."""

NEEDED_FOR_VSOCK = ("vmw_vsock_virtio_transport",)
"""What a machine needs beside, whose agent is reached over a vsock."""

MODULE_LIMIT = 64 << 20
_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")


def name_of(path: str) -> str:
    """A module's name from its file's; ``-`` and ``_`` are the same to the kernel."""
    return _SUFFIX.sub("", os.path.basename(path)).replace("-", "_")


def find_tree(root: str, release: str) -> str | None:
    """The module tree of ``release`` below a directory, wherever packages and people put it."""
    for candidate in (f"lib/modules/{release}", f"usr/lib/modules/{release}", f"modules/{release}", "modules"):
        tree = os.path.join(root, candidate)
        if os.path.isdir(os.path.join(tree, "kernel")):
            return tree
    return None


async def index(tree: str) -> None:
    """Write the indexes of a tree (``BASE/lib/modules/RELEASE``) that came without them, as packages do."""
    if os.path.exists(os.path.join(tree, "modules.dep.bin")):
        return
    base = os.path.dirname(os.path.dirname(os.path.dirname(tree)))
    await proc.run(["depmod", "-b", base, os.path.basename(tree)], timeout=120)


def load_order(tree: str, wanted: tuple[str, ...] = NEEDED) -> list[str]:
    """Paths, relative to the tree, of the wanted modules and all they depend on; a dependency comes first."""
    depends: dict[str, list[str]] = {}
    with open(os.path.join(tree, "modules.dep"), encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            path, _, rest = line.partition(":")
            depends[path] = rest.split()
    paths = {name_of(path): path for path in depends}
    order: list[str] = []
    for name in wanted:
        if name not in paths:
            continue
        path = paths[name]
        # modules.dep is transitively closed, nearest first: reversed, it is an order that can be loaded
        for each in [*reversed(depends[path]), path]:
            if each not in order:
                order.append(each)
    return order


def read(tree: str, path: str) -> bytes:
    """A module's ELF, unpacked. Raises `errors.NotAKernel` for what is none."""
    file = os.path.join(tree, path)
    try:
        if path.endswith(".xz"):
            with lzma.open(file) as stream:
                data = stream.read(MODULE_LIMIT)
        elif path.endswith(".gz"):
            with gzip.open(file) as stream:
                data = stream.read(MODULE_LIMIT)
        elif path.endswith(".zst"):
            data = _zstd(file)
        else:
            with open(file, "rb") as stream:
                data = stream.read(MODULE_LIMIT)
    except (OSError, EOFError, lzma.LZMAError, lz4.Corrupt) as error:
        raise errors.NotAKernel(path=file, reason=f"a module cannot be read ({error})") from None
    if not data.startswith(b"\x7fELF"):
        raise errors.NotAKernel(path=file, reason="a module is no ELF file")
    return data


def _zstd(file: str) -> bytes:
    with open(file, "rb") as stream:
        return bzimage.zstd_decompress(stream.read(MODULE_LIMIT), MODULE_LIMIT)


def build_image(tree: str, destination: str) -> None:
    """Write the tree to the new file ``destination`` as an ext4 image in which root owns every file.

    The links ``build`` and ``source``, which lead to where the kernel was built, are left out. Raises
    `errors.SourceUnavailable`, `errors.DiskFull`.
    """
    with new_file(destination) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(None))) as area:
        found = host_tree.read(tree, area, ids=host_tree.as_root)
        for name in (b"build", b"source"):
            found.root.children.pop(name, None)
        root = Node.directory(mtime=found.root.mtime)
        root.children[os.fsencode(os.path.basename(tree))] = found.root
        volume.write(descriptor, area, root, size=volume.fitting(area), seed=found.digest)

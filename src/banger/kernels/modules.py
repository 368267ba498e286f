"""A kernel's module tree: which modules a machine needs to find its root, and the tree as a read-only image.

A tree is ``lib/modules/RELEASE``: ``kernel/**/*.ko[.xz|.zst|.gz]`` with the indexes that depmod(8) writes, which
modprobe(8) in the guest reads as well. The image is an ext4 file system with RELEASE at its root, so that mounting it
at /lib/modules makes the tree complete.

The guest's loader inserts modules itself, with neither libkmod nor a decompressor: it gets them unpacked and in load
order.
"""

import gzip
import lzma
import os
import re
import shutil

from banger import errors, proc
from banger.kernels import bzimage, lz4

NEEDED = ("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng", "ext4")
"""What a machine needs before its root is there: the two buses, disks, the agent's port, network, entropy.

A name that is built in, or that the kernel does not know, is passed over: the boot tells."""

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


async def build_image(tree: str, destination: str, scratch: str) -> None:
    """Write the tree as a read-only ext4 image in which root owns every file, without being root.

    ``scratch`` is an empty directory on the same file system, for links to the tree's files.
    """
    release = os.path.basename(tree)
    top = os.path.join(scratch, release)
    used = _link_tree(tree, top)
    size = (used + used // 16 + (8 << 20)) & ~4095
    with open(destination, "wb") as image:
        image.truncate(size)
    await proc.run(
        [
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "modules",
            "-O", "^has_journal,^resize_inode", "-E", "root_owner=0:0,lazy_itable_init=0,nodiscard",
            "-d", scratch, destination,
        ],
        timeout=300,
    )  # fmt: skip
    if os.geteuid() != 0:
        await _give_to_root(scratch, destination)
    shutil.rmtree(top)


def _link_tree(tree: str, top: str) -> int:
    """Hard links to a tree's files, less its ``build`` and ``source`` links; returns the blocks' bytes."""
    used = 0
    for place, directories, files in os.walk(tree):
        target = os.path.normpath(os.path.join(top, os.path.relpath(place, tree)))
        os.makedirs(target, mode=0o755)
        os.chmod(target, 0o755)  # noqa: S103 - a tree for everybody to read
        used += 4096
        directories[:] = [each for each in directories if not os.path.islink(os.path.join(place, each))]
        for name in files:
            file = os.path.join(place, name)
            if os.path.islink(file):
                continue
            try:
                os.link(file, os.path.join(target, name))
            except OSError:  # another file system, or somebody else's file under protected_hardlinks
                shutil.copy2(file, os.path.join(target, name))
            used += (os.path.getsize(file) + 4095 & ~4095) + 256
    return used


async def _give_to_root(tree: str, image: str) -> None:
    """mke2fs copies the builder's ids; debugfs sets them to 0 in the finished image."""
    commands = []
    for place, directories, files in os.walk(tree):
        for name in (*directories, *files):
            path = "/" + os.path.relpath(os.path.join(place, name), tree)
            commands += [f'set_inode_field "{path}" uid 0', f'set_inode_field "{path}" gid 0']
    await proc.run(["debugfs", "-w", "-f", "-", image], input="\n".join(commands).encode() + b"\n", timeout=120)

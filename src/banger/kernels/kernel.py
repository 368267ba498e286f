"""A kernel on disk: a directory with all that a monitor needs to boot it.

    bzImage         as it came (absent when it came as an ELF file)
    vmlinux         the ELF, for monitors that start without firmware
    modules.ext4    the module tree, read-only, shared by all machines (absent when everything is built in)
    initrd.cpio     the loader's initrd, shared by all machines
    kernel.json     `Kernel`

The content is written to a directory that the caller gives and later publishes with one rename; a failure leaves
that directory for the caller to remove, and nothing anywhere else.
"""

import asyncio
import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable

import msgspec

from banger import errors
from banger.disk import stamp
from banger.disk.fresh import replacing
from banger.kernels import bzimage, initrd, modules, package

BZIMAGE, VMLINUX, MODULES, INITRD, RECORD = "bzImage", "vmlinux", "modules.ext4", "initrd.cpio", "kernel.json"
TREE = "tree"

Progress = Callable[[str], None]


class File(msgspec.Struct, frozen=True):
    """One file of a kernel."""

    size: int
    sha256: str


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record about a kernel, in kernel.json beside its files."""

    name: str
    release: str
    """What ``uname -r`` says; the modules' directory."""
    arch: str
    source: str
    """Where it came from, in words: a package's name or a directory."""
    created: float
    agent: str
    """sha256 of the agent in the initrd."""
    modules_size: int
    """How much of the initrd is the modules' archive; the agent's follows."""
    files: dict[str, File]


def load(directory: str) -> Kernel:
    """A kernel's record. Raises `errors.NotAKernel`."""
    path = os.path.join(directory, RECORD)
    try:
        return _read(path, stamp.of(path))
    except (OSError, msgspec.DecodeError) as error:
        raise errors.NotAKernel(path=directory, reason=f"its record cannot be read ({error})") from None


@functools.lru_cache(maxsize=64)
def _read(path: str, state: stamp.Stamp) -> Kernel:
    """The record in one of its states; each change of a machine looks at it several times."""
    with open(path, "rb") as file:
        return msgspec.json.decode(file.read(1 << 20), type=Kernel)


async def pull(staging: str, agent: str, progress: Progress, name: str | None = None) -> Kernel:
    """The distribution's kernel for virtual machines, into the directory ``staging``.

    ``agent`` is the path of the guest agent; the name is the kernel's release unless given.
    """
    work = os.path.join(staging, "work")
    os.makedirs(work)
    tree = await package.fetch(work, progress)
    kernel = await _assemble(tree, staging, agent, "the distribution's package", name, progress)
    await asyncio.to_thread(shutil.rmtree, work)
    return kernel


async def import_directory(
    source: str, staging: str, name: str, agent: str, progress: Progress, origin: str | None = None
) -> Kernel:
    """Any directory that holds a bzImage or vmlinux and, unless all is built in, its module tree.

    ``source`` is only read; ``origin`` is what goes on record in its place. Raises `errors.NotAKernel`.
    """
    os.makedirs(staging, exist_ok=True)
    return await _assemble(source, staging, agent, origin or source, name, progress)


async def refresh_initrd(directory: str, agent: str) -> Kernel:
    """Put another agent into a kernel's initrd, in place and at once; the same agent changes nothing."""
    kernel = load(directory)
    if _digest(agent, stamp.of(agent)) == kernel.agent:
        return kernel
    with open(agent, "rb") as file:
        content = file.read()
    return await asyncio.to_thread(_replace_initrd, directory, kernel, content)


@functools.lru_cache(maxsize=4)
def _digest(path: str, state: stamp.Stamp) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _assemble(source: str, staging: str, agent: str, origin: str, name: str | None, progress: Progress) -> Kernel:
    path = find_image(source)
    progress("unpacking the kernel")
    image = await asyncio.to_thread(bzimage.read, path)
    tree = modules.find_tree(source, image.release)
    if image.bzimage is not None:
        await asyncio.to_thread(_write, os.path.join(staging, BZIMAGE), image.bzimage)
    await asyncio.to_thread(_write, os.path.join(staging, VMLINUX), image.vmlinux)
    if tree is not None:
        progress("building the image of its modules")
        tree = await _own_tree(tree, staging, image.release)
        await asyncio.to_thread(modules.build_image, tree, os.path.join(staging, MODULES))
    with open(agent, "rb") as file:
        content = file.read()
    loaded = await asyncio.to_thread(initrd.modules_archive, tree)
    await asyncio.to_thread(_write, os.path.join(staging, INITRD), loaded + initrd.agent_archive(content))
    await asyncio.to_thread(shutil.rmtree, os.path.join(staging, TREE), True)
    kernel = Kernel(
        name=name or image.release,
        release=image.release,
        arch="x86_64",
        source=origin,
        created=time.time(),
        modules_size=len(loaded),
        agent=hashlib.sha256(content).hexdigest(),
        files=await asyncio.to_thread(_files, staging),
    )
    _write(os.path.join(staging, RECORD), msgspec.json.format(msgspec.json.encode(kernel)))
    return kernel


async def _own_tree(tree: str, staging: str, release: str) -> str:
    """A module tree at the place where depmod looks, with indexes; a source that is not ours is copied first."""
    if not tree.startswith(staging + os.sep):
        own = os.path.join(staging, TREE, "lib", "modules", release)
        await asyncio.to_thread(shutil.copytree, tree, own, symlinks=True)
        tree = own
    await modules.index(tree)
    return tree


def find_image(source: str) -> str:
    """The one kernel in a directory, under the names that builds and packages give it."""
    found = []
    for place in ("", "boot", "arch/x86/boot"):
        directory = os.path.join(source, place)
        if os.path.isdir(directory):
            names = sorted(each for each in os.listdir(directory) if each.startswith(("bzImage", "vmlinuz", "vmlinux")))
            found += [os.path.join(directory, each) for each in names if os.path.isfile(os.path.join(directory, each))]
    if not found:
        raise errors.NotAKernel(path=source, reason="there is no bzImage, vmlinuz or vmlinux in it")
    compressed = [each for each in found if not os.path.basename(each).startswith("vmlinux")]
    chosen = compressed or found
    if len(chosen) > 1:
        raise errors.NotAKernel(path=source, reason="there is more than one kernel in it")
    return chosen[0]


def _files(directory: str) -> dict[str, File]:
    files = {}
    for name in (BZIMAGE, VMLINUX, MODULES, INITRD):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[name] = File(os.path.getsize(path), digest)
    return files


def _replace_initrd(directory: str, kernel: Kernel, agent: bytes) -> Kernel:
    """Keep the modules' archive, write the agent's anew behind it.

    The record is written last: with a crash in between, the next call does it again.
    """
    path = os.path.join(directory, INITRD)
    with open(path, "rb") as file:
        kept = file.read(kernel.modules_size)
    _write(path, kept + initrd.agent_archive(agent))
    renewed = msgspec.structs.replace(kernel, agent=hashlib.sha256(agent).hexdigest(), files=_files(directory))
    _write(os.path.join(directory, RECORD), msgspec.json.format(msgspec.json.encode(renewed)))
    return renewed


def _write(path: str, content: bytes) -> None:
    """The whole content or the old one, durable. Raises as `replacing`."""
    with replacing(path, durable=True) as beside, open(beside, "xb") as file:
        file.write(content)

"""Work seeds: what a machine's home of root begins as, a small file system made of the image's own ``/root``.

On disk, beside the image's root file system::

    work-seed.ext4      root's directories and regular files with their modes, all root's; links and specials left out
    work-seed.json      what it was made with: version, fingerprint of the ssh key, size, the least size

It is as large as machines' work disks are by default, and sparse, so that a machine's clone needs no growing and has a
journal of the right size.

A seed is never written in place, because machines that begin may be reading it: a new one is made in the staging area,
synced, and takes the name by a rename; whoever has the old file open keeps it. The note goes first and comes last, so
that a death in between makes the seed again. The same root file system, key and size give the same bytes.

The root file system may be anybody's. It is read by number through `banger.disk.edit`; its names become names in the
new file system and nothing on this host.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from banger import errors
from banger.api.image import WorkSeed
from banger.config.settings import Config
from banger.disk import contents, edit
from banger.disk.contents import Entry, Place
from banger.disk.ext4 import volume
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK, Geometry
from banger.disk.ext4.node import Content, Node
from banger.disk.ext4.superblock import MADE_AT
from banger.disk.fresh import new_file, sync
from banger.disk.work_disk import LABEL
from banger.paths import Paths
from banger.ssh import keys
from banger.ssh.keys import KeyPair

SEED, NOTE = "work-seed.ext4", "work-seed.json"
STAGING = "image-seed-"
HOME = "/root"

VERSION = 2
"""Grows when the same home would be made into another seed."""

ENTRY_LIMIT = 200_000
SLACK = 64 << 20
_AUTHORIZED = (b".ssh", b"authorized_keys")
_CHUNK = 1 << 20
_TIME = MADE_AT * 1_000_000_000


class Note(msgspec.Struct, frozen=True):
    """What a seed was made with. ``key`` is a fingerprint, empty when the seed lets no key in."""

    version: int
    key: str
    size: int
    least: int
    """Below that it cannot be made."""


class Seeds:
    """The seeds of one installation's images."""

    def __init__(self, paths: Paths, settings: Config) -> None:
        self._paths = paths
        self._settings = settings
        self._turns: dict[str, asyncio.Lock] = {}

    async def key(self) -> KeyPair | None:
        """The key that seeds let in, made at the first need; None when the settings, or this host, have no ssh."""
        if not self._settings.seed_ssh_key:
            return None
        try:
            return await keys.ensure(self._settings.ssh_key_path or self._paths.ssh_key)
        except errors.ToolMissing:
            return None

    async def make(self, rootfs: str, directory: str) -> None:
        """Write seed and note into ``directory``, which nobody reads yet.

        Raises `errors.UnusableDisk` for a root file system that cannot be read or whose ``/root`` claims to hold more
        than the file does.
        """
        key = await self.key()
        output = os.path.join(directory, SEED)
        written = await _make(rootfs, output, directory, key, self._settings.vm_defaults.work_disk_size)
        note = msgspec.json.encode(Note(VERSION, key.fingerprint if key else "", *written))
        with open(os.path.join(directory, NOTE), "wb") as file:
            file.write(note)
        await asyncio.to_thread(sync, output, file.name)

    async def write(self, rootfs: str, output: str, size: int) -> None:
        """Write the new file ``output`` as a seed of ``size`` bytes would be. Raises as `make`, `errors.DiskFull`."""
        await _make(rootfs, output, os.path.dirname(output), await self.key(), size)

    async def current(self, image_id: str, rootfs: str) -> str:
        """The path of an image's seed, made or made again where that is due. Raises as `make`."""
        directory = self._paths.image(image_id)
        path = os.path.join(directory, SEED)
        async with self._turns.setdefault(image_id, asyncio.Lock()):
            key = await self.key()
            note = noted(directory)
            if note is None or (note.version, note.key) != (VERSION, key.fingerprint if key else ""):
                await self._replace(rootfs, directory)
        return path

    async def _replace(self, rootfs: str, directory: str) -> None:
        staging = os.path.join(self._paths.staging, STAGING + secrets.token_hex(8))
        try:
            os.makedirs(staging, mode=0o700)
            await self.make(rootfs, staging)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, NOTE))
            for name in (SEED, NOTE):
                os.rename(os.path.join(staging, name), os.path.join(directory, name))
            await asyncio.to_thread(sync, directory)
        except OSError as fault:
            raise errors.from_os(fault, staging) from fault
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)


def noted(directory: str) -> Note | None:
    """What an image's seed was made with, None when there is none or it is not known."""
    try:
        with open(os.path.join(directory, NOTE), "rb") as file:
            note = msgspec.json.decode(file.read(4096), type=Note)
        return note if os.path.exists(os.path.join(directory, SEED)) else None
    except (OSError, msgspec.DecodeError):
        return None


async def fault(rootfs: str) -> str:
    """Why a root file system can have no seed; empty where it can."""
    try:
        await _home(rootfs)
    except errors.UnusableDisk as unusable:
        return unusable.message
    except OSError as error:
        return f"{rootfs}: {error.strerror}"
    return ""


def view(directory: str) -> WorkSeed | None:
    """An image's seed as clients see it."""
    note = noted(directory)
    if note is None:
        return None
    allocated = os.stat(os.path.join(directory, SEED)).st_blocks * 512
    return WorkSeed(size=note.size, allocated=allocated, least=note.least, key=note.key)


async def _make(rootfs: str, output: str, directory: str, key: KeyPair | None, size: int) -> "Written":
    """Write the home of a root file system, with what is needed meanwhile in ``directory``."""
    scratch = os.path.join(directory, "seed-files")
    os.mkdir(scratch, 0o700)
    try:
        top, places = await _home(rootfs)
        await _dump(rootfs, places, scratch)
        return await asyncio.to_thread(_write, top, places, scratch, key, output, size)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def _home(rootfs: str) -> tuple[int, list[Place]]:
    """The mode of the home, and what in it a seed takes. Raises `errors.UnusableDisk`."""
    home = await edit.resolve(rootfs, HOME)
    if home is None or not stat.S_ISDIR(home.mode):
        return 0o700, []
    places = await contents.subtree(rootfs, home.number, ENTRY_LIMIT)
    kept = [each for each in places if each.entry.is_directory or each.entry.is_regular]
    held = sum({each.entry.inode: each.entry.size for each in kept if each.entry.is_regular}.values())
    if held > os.stat(rootfs).st_blocks * 512 + SLACK:
        raise errors.UnusableDisk(path=rootfs, reason=f"{HOME} claims {held} bytes, more than the file holds")
    return stat.S_IMODE(home.mode), kept


async def _dump(rootfs: str, places: Sequence[Place], scratch: str) -> None:
    """The files' bytes, each under the number of its inode."""
    sizes = {each.entry.inode: each.entry.size for each in places if each.entry.is_regular and each.entry.size}
    await contents.dump(rootfs, sizes, scratch)


class Written(NamedTuple):
    """The size of a file system, and the least that it could have."""

    size: int
    least: int


def _write(
    home_mode: int, places: Sequence[Place], scratch: str, key: KeyPair | None, output: str, wanted: int
) -> Written:
    """Write the file system, as large as is wanted or needed."""
    with new_file(output) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(None))) as area:
        root = Node.directory(home_mode, mtime=_TIME)
        folders: dict[tuple[bytes, ...], Node] = {(): root}
        files: dict[int, Node] = {}
        allowed = b""
        for trail, entry in places:
            if key is not None and trail == _AUTHORIZED and entry.is_regular:
                allowed = _beginning(scratch, entry)
                continue
            if entry.is_directory:
                node = folders[trail] = Node.directory(stat.S_IMODE(entry.mode), mtime=_TIME)
            else:
                node = files.get(entry.inode) or Node(stat.S_IFREG | stat.S_IMODE(entry.mode), mtime=_TIME)
                files[entry.inode] = node
                if node.content is None:
                    node.content = _copy(area, os.path.join(scratch, str(entry.inode)), entry.size)
            folders[trail[:-1]].children[trail[-1]] = node
        if key is not None:
            _authorize(root, area, allowed, key)
        least = volume.fitting(area)
        size = -(-max(least, wanted) // BLOCK) * BLOCK
        fingerprint = key.fingerprint if key is not None else ""
        summary = volume.write(descriptor, area, root, size=size, seed=f"work seed {fingerprint}", label=LABEL)
        return Written(summary.size, least)


def _copy(area: DataArea, path: str, size: int) -> Content:
    content = Content(size)
    if size:
        with open(path, "rb") as file:
            for at in range(0, size, _CHUNK):
                piece = file.read(_CHUNK)
                area.write_sparse(content, at // BLOCK, piece, 0, len(piece))
    return content


def _beginning(scratch: str, entry: Entry) -> bytes:
    if not entry.size:
        return b""
    with open(os.path.join(scratch, str(entry.inode)), "rb") as file:
        return file.read(_CHUNK)


def _authorize(root: Node, area: DataArea, allowed: bytes, key: KeyPair) -> None:
    """Let the key in, besides those that the image lets in."""
    folder = root.children.get(_AUTHORIZED[0])
    if folder is None or not folder.is_directory:
        folder = root.children[_AUTHORIZED[0]] = Node.directory(mtime=_TIME)
    folder.mode = stat.S_IFDIR | 0o700
    data = b"".join(line + b"\n" for line in [*allowed.splitlines(), key.public.encode()])
    node = Node(stat.S_IFREG | 0o600, mtime=_TIME)
    node.content = Content(len(data))
    area.write(node.content, 0, data)
    folder.children[_AUTHORIZED[1]] = node

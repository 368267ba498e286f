"""The cache of blobs that all pulls share: an OCI image layout that other tools can read as well.

On disk, private to its owner::

    oci-layout                  says that it is one
    index.json                  every reference that was pulled, with its manifest; replaced as a whole
    blobs/sha256/HEX            every blob of every pull, by its digest
    lock                        the locks below
    pull-XXXX/                  one fetch at work; removed at its end
    gone-XXXX/                  blobs on their way out

``skopeo inspect oci:CACHE:REFERENCE`` reads an image of it. A reference is written as it is where skopeo's grammar for
names in a layout allows that, otherwise with ``+XX`` for the bytes that it does not (`layout_name`).

Who needs blobs holds a *lease* from before the first is fetched until the last has been read; pruning waits until
nobody does, and new leases wait for the pruning. Who fetches a reference holds its *turn*, so that what two want is
downloaded once. Both hold between processes, and end with them.

A blob is trusted when its bytes were hashed, never because it lies here.
"""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection
from typing import Annotated, NamedTuple

import msgspec

from banger.oci import locks, manifest
from banger.oci.progress import Notice, unheard

LOG = logging.getLogger("banger.oci")

STAGING, ASIDE = "pull-", "gone-"
REF_NAME = "org.opencontainers.image.ref.name"
SOURCES = "io.banger.source.digests"
"""Annotation: the digests by which the source knows the image (its index, its manifest before conversion)."""

_USERS, _INDEX = 0, 1
"""Places of the lock file."""

_INDEX_LIMIT = 64 << 20
_PLAIN = re.compile(rb"[A-Za-z0-9]")
_JOINT = re.compile(rb"(?<=[A-Za-z0-9])[-._:@/](?=[A-Za-z0-9])")


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image of the index."""

    mediaType: str  # noqa: N815 - the specification's name
    digest: manifest.Digest
    size: manifest.Size
    platform: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @property
    def descriptor(self) -> manifest.Descriptor:
        return manifest.Descriptor(self.digest, self.size, self.mediaType)

    @property
    def sources(self) -> list[str]:
        return self.annotations.get(SOURCES, "").split()


class _Index(msgspec.Struct, frozen=True):
    manifests: Annotated[list[Entry], msgspec.Meta(max_length=1 << 20)]
    schemaVersion: int = 2  # noqa: N815 - the specification's name


class Use(NamedTuple):
    """How much lies in the cache."""

    blobs: int
    size: int


class Cache:
    """The cache in one directory, which need not exist yet."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.blobs = os.path.join(directory, "blobs")
        self._lock = os.path.join(directory, "lock")
        self._index = os.path.join(directory, "index.json")

    def path(self, blob: manifest.Descriptor) -> str:
        """Where a blob lies, or will."""
        return os.path.join(self.blobs, *blob.digest.split(":"))

    def has(self, blob: manifest.Descriptor) -> bool:
        """Whether there is a file of the blob's name and size."""
        try:
            return os.stat(self.path(blob)).st_size == blob.size
        except FileNotFoundError:
            return False

    def prepare(self) -> None:
        """Make what a layout needs."""
        os.makedirs(os.path.join(self.blobs, "sha256"), mode=0o700, exist_ok=True)
        os.chmod(self.directory, 0o700)
        marker = os.path.join(self.directory, "oci-layout")
        if not os.path.exists(marker):
            _replace(marker, b'{"imageLayoutVersion": "1.0.0"}')
        if not os.path.exists(self._index):
            _replace(self._index, msgspec.json.encode(_Index([])))

    # -- locks --------------------------------------------------------------------------------------------------------

    async def lease(self, notice: Notice = unheard) -> int:
        """A descriptor that keeps the blobs here until it is closed."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        text = "waiting for the cache to be pruned"
        return await locks.acquire(self._lock, _USERS, shared=True, waiting=lambda: notice(text))

    @contextlib.asynccontextmanager
    async def turn(self, reference: str, notice: Notice = unheard) -> AsyncIterator[None]:
        """Be the only one who fetches a reference; the caller has a lease."""
        text = f"waiting for another pull of {reference}"
        async with locks.held(self._lock, locks.place_of(reference), waiting=lambda: notice(text)):
            yield

    # -- the index ----------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """The images of the index; none when it cannot be read, since the blobs can be fetched again."""
        try:
            with open(self._index, "rb") as file:
                return msgspec.json.decode(file.read(_INDEX_LIMIT), type=_Index).manifests
        except FileNotFoundError:
            return []
        except (msgspec.DecodeError, RecursionError) as fault:
            LOG.warning("%s is not an index of images and is made anew: %s", self._index, fault)
            return []

    def find(self, digests: Collection[str], platform: tuple[str, str]) -> Entry | None:
        """An image by any digest that it has at its source."""
        for entry in self.entries():
            known = {entry.digest, *entry.sources}
            if not known.isdisjoint(digests) and entry.platform == _platform(platform):
                return entry
        return None

    async def enter(
        self, reference: str, head: manifest.Descriptor, platform: tuple[str, str], digests: Collection[str]
    ) -> None:
        """Put an image into the index, in the place of what its reference meant before."""
        name = layout_name(reference)
        kind = head.mediaType or manifest.MANIFEST_TYPE
        async with locks.held(self._lock, _INDEX):
            before = self.entries()
            known = {each for entry in before if entry.digest == head.digest for each in entry.sources}
            notes = {REF_NAME: name, SOURCES: " ".join(sorted(known.union(digests)))}
            entry = Entry(kind, head.digest, head.size, _platform(platform), notes)
            if entry not in before:
                kept = [each for each in before if each.annotations.get(REF_NAME) != name]
                _replace(self._index, msgspec.json.encode(_Index([*kept, entry])))

    # -- removing -----------------------------------------------------------------------------------------------------

    def used(self) -> Use:
        """How many blobs there are, and what they take."""
        sizes = []
        with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(self.blobs, "sha256")) as files:
            for each in files:
                with contextlib.suppress(FileNotFoundError):  # a fetch may replace it
                    sizes.append(each.stat(follow_symlinks=False).st_size)
        return Use(len(sizes), sum(sizes))

    async def prune(self, notice: Notice = unheard) -> Use:
        """Remove all blobs once nobody needs them; the index becomes empty. Returns what was there.

        A process that dies here leaves a sound cache, and the rest to `sweep`.
        """
        if not os.path.isdir(self.directory):
            return Use(0, 0)
        text = "waiting for the pulls that use the cache"
        async with locks.held(self._lock, _USERS, waiting=lambda: notice(text)):
            removing = asyncio.ensure_future(asyncio.to_thread(self._remove_all))
            try:
                return await asyncio.shield(removing)
            finally:
                await asyncio.wait({removing})  # the lock is held until the last file is gone, also when cancelled

    def _remove_all(self) -> Use:
        """Nothing here needs space before there is some: the disk may be full."""
        used = self.used()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._index)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.blobs, os.path.join(self.directory, ASIDE + secrets.token_hex(8)))
        self._remove_leftovers()
        self.prepare()
        return used

    def sweep(self) -> None:
        """Remove what processes that died have left, unless somebody is at work here."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = locks.attempt(self._lock, _USERS)
            if descriptor is not None:
                try:
                    self._remove_leftovers()
                finally:
                    os.close(descriptor)

    def _remove_leftovers(self) -> None:
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            if name.startswith((STAGING, ASIDE)):
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):  # it was a file
                    os.unlink(path)


def layout_name(reference: str) -> str:
    """A reference as a name that skopeo's grammar for layouts allows: the same one for the same reference only.

    It wants letters and digits, joined by single separators; every other byte becomes ``+XX``.
    """
    data = reference.encode("utf-8", "surrogateescape")
    joints = {found.start() for found in _JOINT.finditer(data)}
    parts = []
    for at, byte in enumerate(data):
        kept = at in joints or _PLAIN.match(data, at)
        parts.append(chr(byte) if kept else f"+{byte:02X}")
    name = "".join(parts)
    return f"0{name}" if name.startswith("+") else name


def _platform(platform: tuple[str, str]) -> dict[str, str]:
    return {"os": platform[0], "architecture": platform[1]}


def _replace(path: str, data: bytes) -> None:
    """Write a file so that whoever opens it, after whatever death, finds the old bytes or the new ones."""
    descriptor, name = tempfile.mkstemp(prefix=STAGING, dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise

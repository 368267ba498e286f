"""Images fetched through skopeo, from every source and with every credential that its users already have.

A fetch asks the source what the reference means (`resolve`), and copies what the cache (`cache`) does not have; what is
all here already costs one request, or none when the reference names a digest. Blobs that arrived whole stay, so a
connection that breaks costs no more than the blobs that were under way: those are asked for again, a few times in a row
and then by the next pull. A skopeo of 1.11.1 or later asks for the rest of a blob by itself (Range), and costs nothing.

skopeo checks what it downloads, but believes a file that is there already. Manifest and config are therefore hashed
here before they are trusted; of layers only the sizes are compared, because whoever reads a layer counts its digest
while reading (`blob`) and gives it to `discard` when it is damaged.

What a registry's image will be is *announced* before its layers are here, so that they can be read as they come: a
file of a blob's name and size is whole, since skopeo renames what it has checked. For that the config is asked for
beside the copy, which brings it last.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable

import msgspec

from banger import errors
from banger.log import printable
from banger.oci import manifest, skopeo
from banger.oci.cache import STAGING, Cache
from banger.oci.meter import Meter
from banger.oci.progress import Notice, Progress, silent, unheard
from banger.oci.reference import Reference
from banger.oci.resolve import Wanted, resolve

PAUSES = (1.0, 3.0, 9.0)
"""Seconds before another attempt when the connection broke and not one more blob had come; then it is given up."""

_TAG = "image"
_POLL = 0.2


class Layer(msgspec.Struct, frozen=True):
    """A layer in the cache: its file, and the digest that this has if it is sound. ``diff_id`` names its content."""

    path: str
    media_type: str
    digest: str
    size: int
    diff_id: str


class ImageConfig(msgspec.Struct, frozen=True):
    """How the image wants to be run."""

    architecture: str
    os: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: dict[str, str] = {}
    history: tuple[manifest.HistoryEntry, ...] = ()


class Fetched(msgspec.Struct, frozen=True):
    """An image whose blobs are in the cache. ``digest`` is that of its OCI manifest; layers are oldest first."""

    reference: str
    digest: str
    layers: tuple[Layer, ...]
    config: ImageConfig
    staging: str = ""
    """Where the files of layers grow that are on their way (`arrival`)."""


Announce = Callable[[Fetched], None]
"""Called at most once with the image whose layers are on their way; its digest is that of the source's manifest."""


def unannounced(image: Fetched) -> None:
    """For callers who wait for all of it."""


async def fetch(
    reference: Reference,
    cache: str,
    *,
    platform: tuple[str, str] = ("linux", "amd64"),
    progress: Progress = silent,
    notice: Notice = unheard,
    announce: Announce = unannounced,
) -> Fetched:
    """Bring an image into ``cache``; who reads the blobs later has a lease of the cache already.

    ``progress`` hears of the bytes that are missing here, as stage ``fetch``; ``notice`` of waits and of attempts.
    ``announce`` hears of an image of a registry before its layers are here, when there are any to be fetched.
    Raises `errors.SourceUnavailable`, `errors.WrongPlatform`, `errors.CorruptBlob`, `errors.DiskFull`,
    `errors.ToolMissing`.
    """
    store = Cache(cache)
    try:
        lease = await store.lease(notice)
        try:
            store.prepare()
            async with store.turn(str(reference), notice):
                return await _Fetch(reference, store, platform, progress, notice, announce).run()
        finally:
            os.close(lease)
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.DiskFull(path=cache) from None
        raise errors.SourceUnavailable(reference=str(reference), reason=str(fault)) from None


def discard(blobs: Iterable[tuple[str, str, int]]) -> bool:
    """Remove the damaged ones of these blobs, given as path, digest and size: the next fetch brings them anew.

    False when there is none.
    """
    found = False
    for path, digest, size in blobs:
        try:
            if not manifest.verify_blob(path, manifest.Descriptor(digest, size)):
                found = True
                os.unlink(path)
        except FileNotFoundError:  # another pull may have found it too
            found = True
    return found


class _Fetch:
    def __init__(
        self,
        reference: Reference,
        cache: Cache,
        platform: tuple[str, str],
        progress: Progress,
        notice: Notice,
        announce: Announce,
    ) -> None:
        self._reference = reference
        self._cache = cache
        self._platform = platform
        self._progress = progress
        self._notice = notice
        self._announce = announce

    async def run(self) -> Fetched:
        """The image, from the cache where that has it."""
        wanted = Wanted(self._reference.skopeo, tuple(filter(None, [self._reference.digest])))
        found = await self._look(wanted)
        if found is None:
            wanted = await resolve(self._reference, self._platform, self._cache)
            found = await self._look(wanted)
        digests = wanted.digests
        if found is None:
            staging = tempfile.mkdtemp(prefix=STAGING, dir=self._cache.directory)
            foretelling = asyncio.ensure_future(self._foretell(wanted, staging))
            try:
                found = await self._bring(wanted, staging)
            finally:
                foretelling.cancel()
                await asyncio.wait({foretelling})
                shutil.rmtree(staging, ignore_errors=True)
            digests = await self._still(wanted)
        fetched, head = found
        await self._cache.enter(str(self._reference), head, self._platform, digests)
        return fetched

    async def _still(self, wanted: Wanted) -> tuple[str, ...]:
        """The digests of what was copied: none when files that have no digest to ask for changed meanwhile."""
        if self._reference.transport == "docker":
            return wanted.digests
        after = await resolve(self._reference, self._platform, self._cache)
        return wanted.digests if after.digests == wanted.digests else ()

    async def _look(self, wanted: Wanted) -> tuple[Fetched, manifest.Descriptor] | None:
        """The image, if all of it is here and sound; what is not is removed."""
        entry = self._cache.find(wanted.digests, self._platform)
        if entry is None:
            return None
        fetched, damaged = await asyncio.to_thread(self._read, entry.descriptor)
        self._remove(damaged)
        return None if damaged else (fetched, entry.descriptor)

    async def _foretell(self, wanted: Wanted, staging: str) -> None:
        """Announce the image if that can be done for certain; what is wrong with it is told by the copy."""
        if self._reference.transport != "docker" or wanted.image is None:
            return
        ask = ["inspect", "--raw", "--config", *skopeo.tls(self._reference), wanted.source]
        with contextlib.suppress(errors.BangerError):
            result = await skopeo.run(ask)
            if manifest.is_blob(result.stdout, wanted.image.config):
                image = self._described(wanted.digests[-1], wanted.image, result.stdout)
                self._announce(msgspec.structs.replace(image, staging=staging))

    async def _bring(self, wanted: Wanted, staging: str) -> tuple[Fetched, manifest.Descriptor]:
        """The image, copied; once more when the cache had files that are not what they should be."""
        damaged: list[str] = []
        for _ in range(2):
            head = await self._copy(wanted, staging)
            fetched, damaged = await asyncio.to_thread(self._read, head)
            if not damaged:
                return fetched, head
            self._remove(damaged)
        raise errors.DamagedBlob(digest="sha256:" + os.path.basename(damaged[0]))

    async def _copy(self, wanted: Wanted, staging: str) -> manifest.Descriptor:
        """Copy what is missing, over broken connections; the manifest's descriptor."""
        meter = Meter(self._cache, wanted.blobs, self._progress)
        pauses = list(PAUSES)
        while True:
            missing = meter.missing()
            failure = await self._attempt(wanted, staging, meter)
            if isinstance(failure, manifest.Descriptor):
                meter.finish()
                return failure
            if meter.missing() < missing:
                pauses = list(PAUSES)
            if failure.broken and not pauses:
                failure.error.advise("try again later: what has arrived whole is kept")
            if not failure.broken or not pauses:
                raise failure.error
            pause = pauses.pop(0)
            self._notice(f"{failure.error.message}; trying again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _attempt(self, wanted: Wanted, staging: str, meter: Meter) -> manifest.Descriptor | skopeo.Complaint:
        os.makedirs(staging, mode=0o700, exist_ok=True)
        copying = asyncio.ensure_future(skopeo.run(self._arguments(wanted, staging)))
        try:
            while not (await asyncio.wait({copying}, timeout=_POLL))[0]:
                meter.look(staging)
                if self._reference.transport == "docker" and meter.idle() > skopeo.PATIENCE:
                    return skopeo.silence(self._reference)
            result = copying.result()
            if result.status != 0:
                return skopeo.complaint(result.stderr, self._reference, self._platform, self._cache.directory)
            data = manifest.read_document(os.path.join(staging, "index.json"), None)
            return manifest.decode(data, manifest.Index, "index.json").manifests[0]
        finally:
            copying.cancel()
            await asyncio.wait({copying})
            shutil.rmtree(staging, ignore_errors=True)

    def _arguments(self, wanted: Wanted, staging: str) -> list[str]:
        os_name, architecture = self._platform
        return [
            *("--tmpdir", staging, "--override-os", os_name, "--override-arch", architecture, "copy"),
            *("--dest-shared-blob-dir", self._cache.blobs, "--dest-oci-accept-uncompressed-layers"),
            *skopeo.source(self._reference),
            *(wanted.source, f"oci:{staging}:{_TAG}"),
        ]

    def _remove(self, damaged: list[str]) -> None:
        for path in damaged:
            with contextlib.suppress(FileNotFoundError):  # it may be missing, or another pull has found it too
                os.unlink(path)

    def _read(self, head: manifest.Descriptor) -> tuple[Fetched, list[str]]:
        """The image, and the files of the cache that are missing or not what they should be."""
        damaged = self._damaged(head)
        if damaged:
            return _NOTHING, damaged
        image = manifest.decode(manifest.read_document(self._cache.path(head), head), manifest.Manifest, head.digest)
        damaged = self._damaged(image.config) + [
            self._cache.path(each) for each in image.layers if not self._cache.has(each)
        ]
        if damaged:
            return _NOTHING, damaged
        data = manifest.read_document(self._cache.path(image.config), image.config)
        return self._described(head.digest, image, data), []

    def _described(self, digest: str, image: manifest.Manifest, data: bytes) -> Fetched:
        """An image by its manifest and the bytes of its config. Raises `errors.CorruptBlob`, `errors.WrongPlatform`."""
        config = manifest.decode(data, manifest.Config, image.config.digest)
        manifest.check_layers(image, config)
        found, wanted = (config.os, config.architecture), self._platform
        if found != wanted:
            raise errors.WrongPlatform(
                reference=str(self._reference), found=printable("/".join(found), 80), wanted="/".join(wanted)
            )
        layers = tuple(
            Layer(self._cache.path(blob), blob.mediaType, blob.digest, blob.size, diff_id)
            for blob, diff_id in zip(image.layers, config.rootfs.diff_ids, strict=True)
        )
        return Fetched(str(self._reference), digest, layers, _settings(config))

    def _damaged(self, document: manifest.Descriptor) -> list[str]:
        """The file of a document, when it is not that document."""
        path = self._cache.path(document)
        try:
            return [] if manifest.verify_blob(path, document) else [path]
        except FileNotFoundError:
            return [path]


_NOTHING = Fetched("", "", (), ImageConfig("", ""))


def _settings(config: manifest.Config) -> ImageConfig:
    said = config.config or manifest.Settings()
    return ImageConfig(
        architecture=config.architecture,
        os=config.os,
        entrypoint=tuple(said.entrypoint or ()),
        cmd=tuple(said.cmd or ()),
        env=tuple(said.env or ()),
        workdir=said.working_dir or "",
        user=said.user or "",
        labels=dict(said.labels or {}),
        history=tuple(config.history or ()),
    )

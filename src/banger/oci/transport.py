"""Images fetched through skopeo, from every source and with every credential that its users already have.

On disk, below the cache directory::

    oci-layout                  says that it is one, for other tools
    blobs/sha256/HEX            every blob of every pull, by its digest; shared, so that a second pull of the same
                                layers downloads nothing
    pull-XXXX/                  one fetch at work; removed at its end

skopeo checks what it downloads, but believes a file that is there already. Manifest and config are therefore hashed
here before they are trusted; of layers only the sizes are compared, because whoever reads a layer counts its digest
while reading (`blob`), and calls `discard` when one is damaged. TLS is asked for everywhere but on this host's
loopback. What skopeo says when it fails is mapped to errors by the table `_COMPLAINTS`.
"""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable

import msgspec

from banger import errors, proc
from banger.log import printable
from banger.oci import manifest
from banger.oci.progress import Progress, silent
from banger.oci.reference import Reference

_STAGING = "pull-"
_TAG = "image"
_POLL = 0.2
_PARTIAL = "oci-put-blob"
"""How skopeo names a blob that is still coming."""

_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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


async def fetch(
    reference: Reference,
    cache: str,
    *,
    platform: tuple[str, str] = ("linux", "amd64"),
    progress: Progress = silent,
) -> Fetched:
    """Bring an image into ``cache``. ``progress`` hears the bytes that arrived, as stage ``fetch``.

    Raises `errors.SourceUnavailable`, `errors.WrongPlatform`, `errors.CorruptBlob`, `errors.DiskFull`,
    `errors.ToolMissing`.
    """
    return await _Fetch(reference, cache, platform, progress).run()


def sweep(cache: str) -> None:
    """Remove what the fetches of a process that died left in ``cache``; no fetch may be at work."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(cache):
            if name.startswith(_STAGING):
                shutil.rmtree(os.path.join(cache, name), ignore_errors=True)


def discard(blobs: Iterable[tuple[str, str, int]]) -> None:
    """Remove the damaged ones of these blobs, given as path, digest and size: the next fetch brings them anew."""
    for path, digest, size in blobs:
        with contextlib.suppress(FileNotFoundError):  # another pull may have found it too
            if not manifest.verify_blob(path, manifest.Descriptor(digest, size)):
                os.unlink(path)


class _Fetch:
    def __init__(self, reference: Reference, cache: str, platform: tuple[str, str], progress: Progress) -> None:
        self._reference = reference
        self._cache = cache
        self._platform = platform
        self._progress = progress
        self._blobs = os.path.join(cache, "blobs")

    async def run(self) -> Fetched:
        try:
            self._prepare()
            found, damaged = await self._attempt()
            if damaged:
                for path in damaged:
                    with contextlib.suppress(FileNotFoundError):  # another pull may have found it too
                        os.unlink(path)
                found, damaged = await self._attempt()
            if damaged:
                digest = "sha256:" + os.path.basename(damaged[0])
                raise errors.DamagedBlob(digest=digest)
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.DiskFull(path=self._cache) from None
            raise errors.SourceUnavailable(reference=str(self._reference), reason=str(fault)) from None
        return found

    def _prepare(self) -> None:
        os.makedirs(os.path.join(self._blobs, "sha256"), mode=0o700, exist_ok=True)
        marker = os.path.join(self._cache, "oci-layout")
        if not os.path.exists(marker):
            with open(marker, "w") as file:
                file.write('{"imageLayoutVersion": "1.0.0"}')

    async def _attempt(self) -> tuple[Fetched, list[str]]:
        """The image, and the files of the cache that are not what they should be."""
        staging = tempfile.mkdtemp(prefix=_STAGING, dir=self._cache)
        try:
            await self._copy(staging)
            return await asyncio.to_thread(self._read, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    async def _copy(self, staging: str) -> None:
        os_name, architecture = self._platform
        argv = ["skopeo", "--tmpdir", staging, "--override-os", os_name, "--override-arch", architecture, "copy"]
        argv += ["--dest-shared-blob-dir", self._blobs, "--dest-oci-accept-uncompressed-layers"]
        argv += ["--src-tls-verify=false"] if self._reference.loopback else []
        async with _watched(staging, self._progress):
            result = await proc.run([*argv, self._reference.skopeo, f"oci:{staging}:{_TAG}"], check=False)
        if result.status != 0:
            raise complaint(result.stderr, self._reference, self._platform, self._cache)

    def _read(self, staging: str) -> tuple[Fetched, list[str]]:
        index = manifest.decode(
            manifest.read_document(os.path.join(staging, "index.json"), None), manifest.Index, "index.json"
        )
        head = index.manifests[0]
        damaged = [path for path in [self._path(head)] if not manifest.verify_blob(path, head)]
        if damaged:
            return _NOTHING, damaged
        image = manifest.decode(manifest.read_document(self._path(head), head), manifest.Manifest, head.digest)
        damaged = [self._path(each) for each in image.layers if os.stat(self._path(each)).st_size != each.size]
        if not manifest.verify_blob(self._path(image.config), image.config):
            damaged.append(self._path(image.config))
        if damaged:
            return _NOTHING, damaged
        data = manifest.read_document(self._path(image.config), image.config)
        config = manifest.decode(data, manifest.Config, image.config.digest)
        manifest.check_layers(image, config)
        found, wanted = (config.os, config.architecture), self._platform
        if found != wanted:
            raise errors.WrongPlatform(
                reference=str(self._reference), found=printable("/".join(found), 80), wanted="/".join(wanted)
            )
        layers = tuple(
            Layer(self._path(blob), blob.mediaType, blob.digest, blob.size, diff_id)
            for blob, diff_id in zip(image.layers, config.rootfs.diff_ids, strict=True)
        )
        return Fetched(str(self._reference), head.digest, layers, _settings(config)), []

    def _path(self, blob: manifest.Descriptor) -> str:
        return os.path.join(self._blobs, *blob.digest.split(":"))


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


@contextlib.asynccontextmanager
async def _watched(staging: str, progress: Progress) -> AsyncIterator[None]:
    """Report how many bytes have come, while the body runs."""
    sizes: dict[str, int] = {}

    def look() -> None:
        with contextlib.suppress(FileNotFoundError), os.scandir(staging) as entries:
            for entry in entries:
                if entry.name.startswith(_PARTIAL):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[entry.name] = entry.stat().st_size
        progress("fetch", sum(sizes.values()), None)

    async def watch() -> None:
        while True:
            await asyncio.sleep(_POLL)
            look()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


_COMPLAINTS = (
    (r"no space left on device", "disk"),
    (r"no image found in (?:manifest list|image index)|choosing (?:an )?image", "platform"),
    (r"[Dd]igest did not match|does not match expected|Blob size mismatch|unexpected EOF|invalid checksum", "blob"),
    (r"manifest unknown|name unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN|status code: 404", "there is no such image or tag"),
    (r"unauthorized|authentication required|access to the resource is denied|\b40[13]\b",
     "access refused; 'skopeo login' or 'docker login' stores credentials"),
    (r"connection refused", "nothing answers there (connection refused)"),
    (r"no such host|server misbehaving|Temporary failure in name resolution", "its host name cannot be resolved"),
    (r"server gave HTTP response to HTTPS client", "the registry speaks plain HTTP, which is used on loopback only"),
    (r"i/o timeout|Client\.Timeout|context deadline exceeded|no route to host|network is unreachable",
     "the network gave no answer"),
    (r"policy\.json", "skopeo has no /etc/containers/policy.json (package golang-github-containers-common)"),
    (r"no such file or directory|does not exist", "there is no such file or directory"),
)  # fmt: skip
"""What skopeo says, and what it means: a kind of error, or the reason that is given to the user."""


def complaint(stderr: bytes, reference: Reference, platform: tuple[str, str], cache: str) -> errors.BangerError:
    """The error that skopeo's last words stand for."""
    text = stderr.decode("utf-8", "replace")
    fatal = _FATAL.findall(text)
    words = (fatal[-1] if fatal else text.strip().rpartition("\n")[2]).replace('\\"', '"')
    matching = (meaning for pattern, meaning in _COMPLAINTS if re.search(pattern, words))
    meaning = next(matching, printable(words, 300) or "skopeo failed without a word")
    if meaning == "disk":
        return errors.DiskFull(path=cache)
    if meaning == "platform":
        return errors.WrongPlatform(reference=str(reference), found="other platforms", wanted="/".join(platform))
    if meaning == "blob":
        digest = _DIGEST.search(words)
        return errors.CorruptBlob(
            digest=digest.group() if digest else str(reference), reason="what arrived is not what was promised"
        )
    return errors.SourceUnavailable(reference=str(reference), reason=meaning)

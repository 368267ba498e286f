"""Reading a bundle while it arrives: hostile input, of which nothing but the format's own files ever reaches the disk.

Only regular files (and, below ``modules``, directories) under names that the format knows become files, each created
anew in a directory of the caller's, with no link ever made: no name can lead elsewhere. Sizes and counts are bounded;
blocks of zeros become holes, and all else together is bounded by a multiple of what was announced, so that a small
download cannot fill a disk. The archive must be the whole stream: nothing may follow it.

A failure leaves what was written for the caller to remove together with its directory.
"""

import hashlib
import os
import sys
from collections.abc import Iterator

from banger import errors
from banger.bundles import manifest
from banger.bundles.manifest import Kind, Manifest
from banger.log import printable
from banger.oci import tar

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANIFEST, ROOTFS, MODULES, INITRD = "manifest.json", "rootfs.ext4", "modules", "initrd.img"
KERNELS = ("vmlinux", "bzImage")

ROOTFS_LIMIT = 64 << 30
FILE_LIMIT = 512 << 20
"""The largest file of a kernel's bundle."""

FILES_LIMIT = 50_000
"""Most files and directories of a kernel's bundle."""

TOTAL_LIMIT = 8 << 30
"""Most bytes of all files of a kernel's bundle."""

NAME_LIMIT, COMPONENT_LIMIT, DEPTH_LIMIT = 1024, 255, 32
WINDOW_LOG = 27
"""The largest window that a frame may ask for: what zstd's own command line allows unless told otherwise."""

RATIO, FLOOR = 250, 256 << 20
"""A bundle of N bytes may hold FLOOR + RATIO * N bytes that are not zeros."""

PIECE = 1 << 20
_PADDING_LIMIT = 1 << 20
_BLOCK = 4096
_ZEROS = bytes(PIECE)


def inflated(pieces: Iterator[bytes], bundle: str) -> Iterator[bytes]:
    """The content of the one frame that ``pieces`` are, in pieces of at most `PIECE` bytes.

    Raises `errors.BadBundle`.
    """
    codec = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
    try:
        for piece in pieces:
            if codec.eof or codec.unused_data:
                raise errors.BadBundle(bundle=bundle, reason="something follows the end of the compressed stream")
            data = codec.decompress(piece, PIECE)
            while data or not (codec.needs_input or codec.eof):
                yield data
                data = codec.decompress(b"", PIECE) if not (codec.needs_input or codec.eof) else b""
        if codec.unused_data:
            raise errors.BadBundle(bundle=bundle, reason="something follows the end of the compressed stream")
        if not codec.eof:
            raise errors.BadBundle(bundle=bundle, reason="the compressed stream ends early")
    except zstd.ZstdError as fault:
        raise errors.BadBundle(bundle=bundle, reason=f"it is no zstd stream, or a damaged one ({fault})") from None


class _Archive(tar.Archive):
    """An archive after whose end there are only the zeros with which tar fills its last record."""

    def _drain(self) -> None:
        rest = [self._piece[self._at :]]
        seen = len(rest[0])
        for piece in self._pieces:
            rest.append(piece)
            seen += len(piece)
            if seen > _PADDING_LIMIT:
                raise tar.Malformed("it goes on after its end")
        if any(piece.strip(b"\0") for piece in rest):
            raise tar.Malformed("something follows its end")


class _Unpacking:
    def __init__(self, directory: str, kind: Kind, bundle: str, announced: int) -> None:
        self._directory = directory
        self._kind = kind
        self._bundle = bundle
        self._budget = FLOOR + RATIO * announced
        self._left = ROOTFS_LIMIT if kind == "image" else TOTAL_LIMIT
        self._seen: set[str] = set()
        self._digests: dict[str, tuple[int, str]] = {}
        self._manifest: Manifest | None = None

    def run(self, pieces: Iterator[bytes]) -> Manifest:
        archive = _Archive(pieces)
        try:
            while (header := archive.next()) is not None:
                self._take(archive, header)
        except tar.Malformed as fault:
            raise self._bad(f"its archive is damaged: {fault}") from None
        except tar.Refused as refused:
            raise self._bad(f"{printable(refused.entry, 200)}: {refused.reason}") from None
        return self._complete()

    def _take(self, archive: tar.Archive, header: tar.Header) -> None:
        name = self._name(header)
        if name in self._seen:
            raise self._bad(f"{printable(name, 200)} is in it twice")
        self._seen.add(name)
        if len(self._seen) > FILES_LIMIT:
            raise self._bad("it has too many files")
        if name == MANIFEST:
            if header.size > manifest.LIMIT or header.segments is not None:
                raise self._bad("its manifest is too large")
            self._manifest = manifest.decode(archive.read(header.size), self._bundle)
            return
        path = os.path.join(self._directory, name)
        try:
            os.makedirs(path if header.kind == tar.DIRECTORY else os.path.dirname(path), mode=0o755, exist_ok=True)
            if header.kind != tar.DIRECTORY:
                self._write(archive, header, name, path)
        except (FileExistsError, NotADirectoryError):
            raise self._bad(f"{printable(name, 200)} cannot be both a file and a directory") from None

    def _name(self, header: tar.Header) -> str:
        """The entry's name when the format has it, as a file or directory of the kind that the format wants."""
        shown = printable(header.name, 200)
        try:
            name = header.name.decode("ascii")
        except UnicodeDecodeError:
            raise self._bad(f"{shown} does not belong in it") from None
        regular, directory = header.kind == tar.REGULAR, header.kind == tar.DIRECTORY
        own = (MANIFEST, ROOTFS) if self._kind == "image" else (MANIFEST, INITRD, *KERNELS)
        top, slash, rest = name.removesuffix("/").partition("/") if directory else name.partition("/")
        if name not in own and (self._kind != "kernel" or top != MODULES or not (directory or slash)):
            raise self._bad(f"{shown} does not belong in it")
        if not (regular or (directory and top == MODULES)):
            raise self._bad(f"{shown} is no regular file")
        parts = rest.split("/") if slash else []
        if any(part in ("", ".", "..") or len(part) > COMPONENT_LIMIT or not part.isprintable() for part in parts):
            raise self._bad(f"{shown} is not a name that it may have")
        if len(name) > NAME_LIMIT or len(parts) > DEPTH_LIMIT:
            raise self._bad(f"{shown} is too long a name")
        return "/".join((top, *parts))

    def _write(self, archive: tar.Archive, header: tar.Header, name: str, path: str) -> None:
        limit = min(self._left, ROOTFS_LIMIT if name == ROOTFS else FILE_LIMIT)
        if header.size > limit:
            raise self._bad(f"{name} claims a size of {header.size} bytes, more than the {limit} it may have")
        self._left -= header.size
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        digest = hashlib.sha256()
        at = 0
        try:
            os.ftruncate(descriptor, header.size)
            for offset, length in header.segments if header.segments is not None else [(0, header.size)]:
                self._hash_zeros(digest, offset - at)
                at = offset
                while at < offset + length:
                    data = archive.read(min(PIECE - at % _BLOCK, offset + length - at))
                    digest.update(data)
                    self._budget -= write_sparsely(descriptor, data, at)
                    if self._budget < 0:
                        raise self._bad(f"{name} holds far more than a bundle of its size can")
                    at += len(data)
            self._hash_zeros(digest, header.size - at)
        finally:
            os.close(descriptor)
        self._digests[name] = (header.size, digest.hexdigest())

    @staticmethod
    def _hash_zeros(digest: "hashlib._Hash", count: int) -> None:
        while count:
            step = min(count, PIECE)
            digest.update(_ZEROS[:step])
            count -= step

    def _complete(self) -> Manifest:
        """Whether all is there that must be, and is what the manifest says."""
        found = self._manifest
        if found is None:
            raise self._bad(f"there is no {MANIFEST} in it")
        main = [name for name in ((ROOTFS,) if self._kind == "image" else KERNELS) if name in self._digests]
        if not main:
            raise self._bad(f"there is no {ROOTFS if self._kind == 'image' else ' or '.join(KERNELS)} in it")
        size, digest = self._digests[main[0]]
        if (found.size and found.size != size) or (found.sha256 and found.sha256 != digest):
            raise self._bad(f"its {main[0]} is not the one that its manifest names")
        return found

    def _bad(self, reason: str) -> errors.BadBundle:
        return errors.BadBundle(bundle=self._bundle, reason=reason)


def write_sparsely(descriptor: int, data: bytes, offset: int) -> int:
    """Write ``data`` less its blocks of zeros, which are left as holes; returns how many bytes were written.

    The file has its full size already and was never written to at this place.
    """
    if data == _ZEROS[: len(data)]:
        return 0
    written = begun = 0
    for at in range(0, len(data) + _BLOCK, _BLOCK):
        block = data[at : at + _BLOCK]
        if block == _ZEROS[: len(block)]:  # as is the nothing behind the last one
            while begun < min(at, len(data)):
                count = os.pwrite(descriptor, data[begun:at], offset + begun)
                begun += count
                written += count
            begun = at + _BLOCK
    return written


def unpack(pieces: Iterator[bytes], directory: str, kind: Kind, bundle: str, announced: int) -> Manifest:
    """Write the files of a bundle into ``directory``, and return its manifest.

    ``pieces`` is the compressed stream, ``announced`` its length as promised beforehand, ``bundle`` its name in errors.
    Raises `errors.BadBundle`, OSError, and what ``pieces`` raises.
    """
    return _Unpacking(directory, kind, bundle, announced).run(inflated(pieces, bundle))

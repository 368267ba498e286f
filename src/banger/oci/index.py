"""What is known of layers that were read before: their entries, and where an image on this host holds their data.

A layer with an index is not inflated again. Its entries come from the index, its data is copied from the image that
was written when the index was, and the result is the same to the byte as if the layer had been read.

On disk, private to its owner: ``HEX.idx``, one for each layer, named by its diff_id. `_HEAD` (magic, version of this
form and of Python's marshal, CRC of the rest, length of a path), the path of the image, and a marshal of identity,
bytes and entries. An index is written only for a layer whose digests were checked in that build, and it is only a
hint: one that is damaged, of another version, or whose image is gone or is another file now, is as good as none.
"""

import contextlib
import marshal
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Collection, Sequence

from banger.disk.ext4.data import DataArea
from banger.disk.ext4.node import Content, Extent
from banger.oci.layer import FILE, Entry, LayerSource, Shadow

SIZE_LIMIT = 256 << 20
"""Most bytes of all indexes together; `sweep` removes the oldest."""

_SUFFIX = ".idx"
_VERSION = 1
"""Grows when entries are judged, or data is placed, in another way."""

_HEAD = struct.Struct("<8sIII")
_MAGIC = b"bangidx" + bytes((_VERSION,))

_Identity = tuple[int, int, int, int]
_Row = tuple[
    bytes, int, int, int, int, int, bytes, dict[bytes, bytes] | None, int, int, tuple[Extent, ...] | None
]  # fmt: skip
"""An entry: path, kind, mode, uid, gid, mtime, link, xattrs; of a file also size, bytes in the archive, and extents,
which are None when the image does not hold the data."""


class Unusable(Exception):
    """The image of an index could not be read after all."""


class Known:
    """A layer that was read before, and its image, open: whoever deletes the image now takes nothing away."""

    def __init__(self, image: int, totals: tuple[int, int, int], rows: Sequence[_Row]) -> None:
        self.image = image
        self.totals = totals
        """Entries, bytes of names and attributes, bytes of data."""
        self._rows = rows
        self._wanted: list[tuple[Content, tuple[Extent, ...]]] = []

    def close(self) -> None:
        os.close(self.image)

    def recall(self, shadow: Shadow, skipped: dict[Content, int]) -> list[Entry] | None:
        """What `layer.Reader.scan` would give, before `copy`. None when the image lacks data that is needed."""
        entries: list[Entry] = []
        for row in self._rows:
            entry = Entry.__new__(Entry)
            (
                path, kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs, size, stored,
                extents,
            ) = row  # fmt: skip
            entry.path, entry.kind, entry.stored, entry.content = path, kind, stored, None
            if kind == FILE:
                entry.content = content = Content(size)
                if stored and shadow.hides(path):
                    skipped[content] = len(entries)
                elif extents is None:
                    return None
                elif extents:
                    self._wanted.append((content, extents))
            entries.append(entry)
        return entries

    def copy(self, area: DataArea) -> None:
        """Copy the data of what was recalled, in the order in which it would have been read. Raises `Unusable`."""
        try:
            for content, extents in self._wanted:
                area.copy(content, extents, self.image)
            area.flush()
        except EOFError:
            raise Unusable from None


class Shelf:
    """The indexes in ``directory``, empty for none. ``image`` is where the file that is being built will be found."""

    def __init__(self, directory: str, image: str) -> None:
        self._directory = directory
        self._image = image

    def find(self, layer: LayerSource) -> Known | None:
        """What is known of a layer."""
        path = self._path(layer)
        if not path:
            return None
        with contextlib.suppress(OSError, ValueError, TypeError, EOFError, struct.error):
            with open(path, "rb") as file:
                magic, marshalling, checksum, length = _HEAD.unpack(file.read(_HEAD.size))
                name, data = file.read(length), file.read()
            if (magic, marshalling) == (_MAGIC, sys.hexversion) and zlib.crc32(data, zlib.crc32(name)) == checksum:
                identity, totals, rows = marshal.loads(data)  # noqa: S302 - private to its owner, and just checked
                image = _opened(name)
                if _identity(image) == tuple(identity):
                    return Known(image, totals, rows)
                os.close(image)
        return None

    def keep(self, layer: LayerSource, entries: Sequence[Entry], live: Collection[Content], image: int) -> None:
        """Write the index of a layer that was read.

        ``image`` is the finished file, ``live`` are the contents that it has. No index is written when that fails.
        """
        path = self._path(layer)
        if not path:
            return
        rows = [_row(entry, live) for entry in entries]
        name = os.fsencode(self._image)
        totals = len(entries), sum(entry.metadata for entry in entries), sum(entry.stored for entry in entries)
        data = marshal.dumps((_identity(image), totals, rows))
        head = _HEAD.pack(_MAGIC, sys.hexversion, zlib.crc32(data, zlib.crc32(name)), len(name))
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=self._directory)
            try:
                with open(descriptor, "wb") as file:
                    file.writelines((head, name, data))
                os.replace(part, path)
            except OSError:
                os.unlink(part)
                raise

    def _path(self, layer: LayerSource) -> str:
        """Where a layer's index is; empty for one that has none."""
        algorithm, _, digest = layer.diff_id.partition(":")
        if not (self._directory and algorithm == "sha256") or layer.strip or layer.prefix:
            return ""
        return os.path.join(self._directory, digest + _SUFFIX)


def sweep(directory: str, alive: Callable[[str], bool]) -> None:
    """Remove the indexes whose images ``alive`` denies, by their paths, unfinished ones, and the oldest of too many."""
    found: list[tuple[float, int, str]] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as listed:
        for each in listed:
            with contextlib.suppress(FileNotFoundError):
                if each.name.endswith(_SUFFIX) and alive(os.fsdecode(_image_of(each.path))):
                    about = each.stat()
                    found.append((about.st_mtime, about.st_size, each.path))
                else:
                    os.unlink(each.path)
    left = SIZE_LIMIT
    for _, size, path in sorted(found, reverse=True):
        left -= size
        if left < 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _image_of(path: str) -> bytes:
    with open(path, "rb") as file:
        head = file.read(_HEAD.size)
        return file.read(_HEAD.unpack(head)[3]) if len(head) == _HEAD.size else b""


def _row(entry: Entry, live: Collection[Content]) -> _Row:
    size, extents = 0, None
    content = entry.content
    if content is not None:
        size = content.size
        if content in live or not entry.stored:
            extents = tuple(content.extents)
    return (
        entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs, size,
        entry.stored, extents,
    )  # fmt: skip


def _opened(path: bytes) -> int:
    """An image, open for reading past the page cache, through which it was written, where that is possible."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _identity(descriptor: int) -> _Identity:
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns

"""What is known of layers that were read before: their entries, and where an image on this host holds their data.

A layer with an index is not inflated again. Its entries come from the index, its data is copied from the image that
was written when the index was, and the result is the same to the byte as if the layer had been read.

On disk, private to its owner, named by the layer's diff_id: ``HEX.idx``, which is `_HEAD` (magic, version of this
form and of Python, CRC of the rest, length of a path), the path of the image, and a marshal of identities, totals and
entries; and ``HEX.dat``, the data of files that the image does not show (`aside`).

An index is written only for a layer whose digests were checked in that build, and it is only a hint: one that is
damaged, of another version, or whose image is gone or is another file now, is as good as none.
"""

import contextlib
import marshal
import os
import struct
import sys
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence

from banger.disk.ext4.data import DataArea
from banger.disk.ext4.node import Content, Extent
from banger.disk.ext4.source import Source
from banger.disk.fresh import new_part
from banger.oci.aside import Aside
from banger.oci.entry import FILE, Entry
from banger.oci.layer import LayerSource, Shadow

SIZE_LIMIT = 512 << 20
"""Most bytes of all indexes together; `sweep` removes the oldest."""

_SUFFIX, _ASIDE_SUFFIX = ".idx", ".dat"
_VERSION = 1
"""Grows when entries are judged, or data is placed, in another way."""

_HEAD = struct.Struct("<8sIII")
_MAGIC = b"bangidx" + bytes((_VERSION,))

_Identity = tuple[int, ...]
"""Of a file; empty for none."""

_Row = tuple[
    bytes, int, int, int, int, int, bytes, dict[bytes, bytes] | None, int, int, tuple[Extent, ...] | None, bool
]  # fmt: skip
"""An entry: path, kind, mode, uid, gid, mtime, link, xattrs; of a file also size, bytes in the archive, extents,
which are None when nobody holds the data, and whether they are those of what was put aside."""


class Known:
    """A layer that was read before, and its image, open: whoever deletes the image now takes nothing away."""

    def __init__(self, image: Source, totals: tuple[int, int, int], rows: Sequence[_Row]) -> None:
        self._image = image
        self.aside: Source | None = None
        """What was put aside."""
        self.totals = totals
        """Entries, bytes of names and attributes, bytes of data."""
        self._rows = rows
        self._wanted: list[tuple[Content, tuple[Extent, ...], Source]] = []

    def close(self) -> None:
        self._image.close()
        if self.aside is not None:
            self.aside.close()

    def identities(self) -> tuple[_Identity, ...]:
        return _identity(self._image.descriptor), _identity(self.aside.descriptor) if self.aside else ()

    def recall(self, shadow: Shadow, skipped: dict[Content, int]) -> list[Entry] | None:
        """What `layer.Reader.scan` would give, before `copy`. None when the image lacks data that is needed."""
        entries: list[Entry] = []
        for row in self._rows:
            entry = Entry.__new__(Entry)
            (
                path, kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs, size, stored,
                extents, is_aside,
            ) = row  # fmt: skip
            entry.path, entry.kind, entry.stored, entry.content = path, kind, stored, None
            if kind == FILE:
                entry.content = content = Content(size)
                if stored and shadow.hides(path):
                    skipped[content] = len(entries)
                elif extents is None:
                    return None
                elif extents:
                    self._wanted.append((content, extents, self.aside if is_aside and self.aside else self._image))
            entries.append(entry)
        return entries

    def copy(self, area: DataArea) -> None:
        """Begin to copy the data of what was recalled, in the order in which it would have been read.

        This stays open until ``area`` is settled or closed.
        """
        for content, extents, source in self._wanted:
            area.copy(content, extents, source)
        area.flush()
        self._wanted.clear()


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
                identities, totals, rows = marshal.loads(data)  # noqa: S302 - private to its owner, and just checked
                return self._opened(os.fsdecode(name), path, identities, totals, rows)
        return None

    def _opened(
        self, image: str, path: str, identities: Sequence[_Identity], totals: tuple[int, int, int], rows: Sequence[_Row]
    ) -> Known | None:
        """A known layer whose files are the ones that they were. Raises OSError."""
        known = Known(Source(image), totals, rows)
        if identities[1]:
            try:
                known.aside = Source(_aside_of(path))
            except OSError:
                known.close()
                raise
        if known.identities() == tuple(identities):
            return known
        known.close()
        return None

    def aside(self, layer: LayerSource) -> Aside:
        """Room for what an image will not show of a layer."""
        return Aside(self._directory if self._path(layer) else "")

    def keep(
        self, layer: LayerSource, entries: Sequence[Entry], live: Collection[Content], image: int, aside: Aside
    ) -> None:
        """Write the index of a layer that was read, and keep what was put aside.

        ``image`` is the finished file, ``live`` are the contents that it has. No index is written when that fails.
        """
        path = self._path(layer)
        if not path:
            return
        rows = [_row(entry, live, aside.contents) for entry in entries]
        name = os.fsencode(self._image)
        totals = len(entries), sum(entry.metadata for entry in entries), sum(entry.stored for entry in entries)
        with contextlib.suppress(OSError):
            identities = _identity(image), _identity(aside.path) if aside.path else ()
            data = marshal.dumps((identities, totals, rows))
            head = _HEAD.pack(_MAGIC, sys.hexversion, zlib.crc32(data, zlib.crc32(name)), len(name))
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            descriptor, part = new_part(self._directory)
            try:
                with open(descriptor, "wb") as file:
                    file.writelines((head, name, data))
                if aside.path:
                    os.replace(aside.path, _aside_of(path))
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
    kept: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError, struct.error):
                if name.endswith(_SUFFIX) and alive(_image_of(path)):
                    sizes = [os.stat(each).st_blocks * 512 for each in (path, _aside_of(path)) if os.path.exists(each)]
                    found.append((os.stat(path).st_mtime, sum(sizes), path))
    left = SIZE_LIMIT
    for _, size, path in sorted(found, reverse=True):
        left -= size
        if left >= 0:
            kept |= {path, _aside_of(path)}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if path not in kept:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def _image_of(path: str) -> str:
    with open(path, "rb") as file:
        head = file.read(_HEAD.size)
        return os.fsdecode(file.read(_HEAD.unpack(head)[3]))


def _row(entry: Entry, live: Collection[Content], aside: Mapping[Content, Content]) -> _Row:
    size, extents, is_aside = 0, None, False
    content = entry.content
    if content is not None:
        size = content.size
        if content in live or not entry.stored:
            extents = tuple(content.extents)
        elif content in aside:
            extents, is_aside = tuple(aside[content].extents), True
    return (
        entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs, size,
        entry.stored, extents, is_aside,
    )  # fmt: skip


def _aside_of(path: str) -> str:
    return path.removesuffix(_SUFFIX) + _ASIDE_SUFFIX


def _identity(file: int | str) -> _Identity:
    about = os.stat(file)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns

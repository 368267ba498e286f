"""One layer read from end to end: its entries judged (`entry`), its file data written where it will stay.

Layers are read newest first, so a file that a newer layer hides is stepped over (`Shadow`) instead of being written.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

from banger import errors
from banger.disk.ext4.data import HOLE_UNIT, DataArea
from banger.disk.ext4.geometry import BLOCK
from banger.disk.ext4.node import Content
from banger.oci import blob, inflate, tar
from banger.oci.aside import Aside
from banger.oci.blob import Blob, Lying
from banger.oci.entry import FILE, FOLDER, OPAQUE, Entry, Judge
from banger.text import printable

ENTRY_LIMIT = 1 << 20
"""Most entries of all layers together, and most of one layer, those included that mean nothing."""

DATA_LIMIT = 256 << 30
"""Most bytes of files of all layers together."""

INFLATED_LIMIT = 2 * DATA_LIMIT
"""Most inflated bytes of all layers together; a layer may be read twice."""

METADATA_LIMIT = 256 << 20
"""Most bytes of names, link targets and attributes of all layers together."""

_CHUNK = 1 << 20


class LayerSource(NamedTuple):
    """A layer to be read: a tar archive, compressed or not.

    ``name`` stands for it in errors (its digest, as a rule). With ``strip``, only what lies below that directory is
    taken, and its names lose it; ``prefix`` puts a directory in front of all names. ``digest`` and ``size`` of the
    file and ``diff_id``, the digest of its content, are checked when given.
    """

    path: str
    name: str
    strip: str = ""
    prefix: str = ""
    digest: str = ""
    size: int = 0
    diff_id: str = ""
    directory: bool = False
    """``path`` is a plain directory of the host (`banger.disk.host_tree`); only the oldest layer can be one."""
    without: tuple[str, ...] = ()
    """Directories below it that are left out."""


class Shadow:
    """The names that newer layers hide, as they are spelled there.

    Spelling is all that is known before the layers are merged: a file that is hidden by another way is written and
    given back later, and one that turns out to be visible is read again.
    """

    def __init__(self) -> None:
        self._gone: set[bytes] = set()
        self._opaque: set[bytes] = set()
        self._folders: set[bytes] = set()
        self._known: dict[bytes, bool] = {b"": False}

    def hides(self, path: bytes) -> bool:
        return path in self._gone or path in self._folders or self._hides_inside(path.rpartition(b"/")[0])

    def _hides_inside(self, folder: bytes) -> bool:
        """Whether all that older layers have in a directory is hidden."""
        trail = []
        while folder not in self._known:
            trail.append(folder)
            folder = folder.rpartition(b"/")[0]
        hidden = self._known[folder]
        for each in reversed(trail):
            hidden = hidden or each in self._gone or each in self._opaque
            self._known[each] = hidden
        return hidden

    def add(self, entries: list[Entry]) -> None:
        """Learn what a layer hides from the layers below it."""
        for entry in entries:
            if entry.kind == FOLDER:
                self._folders.add(entry.path)
            elif entry.kind == OPAQUE:
                self._opaque.add(entry.path)
            else:
                self._gone.add(entry.path)
        self._known = {b"": b"" in self._opaque}


class Reader:
    """Reads layers into a `DataArea`. Counts what all of them hold, against the limits."""

    def __init__(
        self,
        area: DataArea,
        on_read: Callable[[int], None] = lambda count: None,
        opened: Callable[[LayerSource], io.RawIOBase] = lambda source: blob.opened(source.path),
    ) -> None:
        self._area = area
        self._on_read = on_read
        self._open = opened
        self._entries = self._metadata = self._inflated = 0
        self.bytes = 0

    def scan(self, source: LayerSource, shadow: Shadow, skipped: dict[Content, int], aside: Aside) -> list[Entry]:
        """All entries of a layer. Files that ``shadow`` hides get a `Content` that is only noted in ``skipped``,
        with the number of its entry; their data is put aside.

        Raises `errors.UnsafeLayer`, `errors.DamagedBlob`, `errors.CorruptBlob`, OSError.
        """
        entries: list[Entry] = []
        with self._opened(source) as archive:
            for entry, header in _judged(archive, source):
                self._count(entry, header)
                if entry.kind == FILE:
                    entry.content = content = Content(header.size)
                    if header.stored and shadow.hides(entry.path):
                        skipped[content] = len(entries)
                        self._put_aside(archive, content, header, aside)
                    else:
                        self._store(archive, content, header, self._area)
                entries.append(entry)
        return entries

    def fetch(self, source: LayerSource, wanted: dict[int, Content]) -> None:
        """Read a layer again for files that were stepped over: contents by the numbers of their entries."""
        with self._opened(source) as archive:
            for number, (_, header) in enumerate(_judged(archive, source)):
                content = wanted.get(number)
                if content is not None:
                    self._store(archive, content, header, self._area)

    @contextlib.contextmanager
    def _opened(self, source: LayerSource) -> Iterator[tar.Archive]:
        """A layer's archive, to be read to its end; then it is known to be what ``source`` says.

        What goes wrong with it is told by the layer's name. Damage of the file is told before any other fault, since
        it may be the cause of all.
        """
        try:
            file = self._open(source)
        except OSError:
            if source.digest:
                raise errors.DamagedBlob(digest=source.digest) from None
            raise
        with Blob(
            file, digest=source.digest, size=source.size, diff_id=source.diff_id, on_read=self._on_read
        ) as content:
            wrong: errors.BangerError | None = None
            try:
                yield tar.Archive(self._counted(content))
                content.check()
            except tar.Refused as refusal:
                entry = printable(refusal.entry) or "(no name)"
                wrong = errors.UnsafeLayer(layer=source.name, entry=entry, reason=refusal.reason)
            except (tar.Malformed, inflate.Damaged, Lying) as fault:
                wrong = errors.CorruptBlob(digest=source.name, reason=str(fault))
                if source.digest:
                    wrong.advise("the image itself is broken; whoever published it has to repair it")
            if not content.intact():
                raise errors.DamagedBlob(digest=source.digest or source.name)
            if wrong is not None:
                raise wrong

    def _counted(self, content: Blob) -> Iterator[bytes | bytearray]:
        """The pieces of a layer; also those that become no file are counted."""
        for piece in content:
            self._inflated += len(piece)
            if self._inflated > INFLATED_LIMIT:
                raise tar.Malformed("the layers inflate to too much")
            yield piece

    def _count(self, entry: Entry, header: tar.Header) -> None:
        """Hold an entry against the limits of all layers together."""
        self._entries += 1
        self._metadata += entry.metadata
        self.bytes += header.stored
        if self._entries > ENTRY_LIMIT:
            raise tar.Refused(header.name, "the layers hold too many entries")
        if self._metadata > METADATA_LIMIT:
            raise tar.Refused(header.name, "the layers hold too many long names and attributes")
        if self.bytes > DATA_LIMIT:
            raise tar.Refused(header.name, "the layers hold too much data")

    def admit(self, entries: int, metadata: int, size: int) -> bool:
        """Count a layer that is not read; False, and nothing counted, when that is beyond a limit."""
        counted = self._entries + entries, self._metadata + metadata, self.bytes + size
        if counted[0] > ENTRY_LIMIT or counted[1] > METADATA_LIMIT or counted[2] > DATA_LIMIT:
            return False
        self._entries, self._metadata, self.bytes = counted
        return True

    def _put_aside(self, archive: tar.Archive, content: Content, header: tar.Header, aside: Aside) -> None:
        area = aside.area(header.stored)
        if area is not None:
            kept = Content(header.size)
            try:
                self._store(archive, kept, header, area)
            except OSError:  # the image itself is not concerned
                aside.forget()
            else:
                aside.contents[content] = kept

    def _store(self, archive: tar.Archive, content: Content, header: tar.Header, area: DataArea) -> None:
        if header.segments is not None:
            self._store_sparse(archive, content, header.segments, area)
            return
        left, block = header.size, 0
        while left:
            piece, begin, end = archive.window(left, HOLE_UNIT)
            area.write_sparse(content, block, piece, begin, end)
            block += (end - begin) // BLOCK
            left -= end - begin

    def _store_sparse(
        self, archive: tar.Archive, content: Content, segments: list[tar.Segment], area: DataArea
    ) -> None:
        """Write the segments; those that share a block, or whose blocks touch, are put together."""
        start, buffer = 0, bytearray()
        for offset, length in segments:
            if offset // BLOCK > -(-(start + len(buffer)) // BLOCK):
                _flush(area, content, start, buffer)
                start, buffer = offset // BLOCK * BLOCK, bytearray()
            buffer += bytes(offset - start - len(buffer))
            while length:
                take = min(length, _CHUNK)
                buffer += archive.read(take)
                length -= take
                if len(buffer) >= _CHUNK:
                    whole = len(buffer) // BLOCK * BLOCK
                    _flush(area, content, start, buffer[:whole])
                    start, buffer = start + whole, buffer[whole:]
        _flush(area, content, start, buffer)


def _judged(archive: tar.Archive, source: LayerSource) -> Iterator[tuple[Entry, tar.Header]]:
    """The entries that mean something. Raises `tar.Refused`."""
    judge = Judge(source.strip, source.prefix)
    seen = 0
    while (header := archive.next()) is not None:
        seen += 1
        if seen > ENTRY_LIMIT:
            raise tar.Refused(header.name, "the layers hold too many entries")
        entry = judge.entry(header)
        if entry is not None:
            yield entry, header


def _flush(area: DataArea, content: Content, start: int, buffer: bytearray) -> None:
    if buffer:
        area.write(content, start // BLOCK, buffer)

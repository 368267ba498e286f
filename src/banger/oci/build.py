"""Layers in, one bootable ext4 file out.

Three steps. Layers are read newest first, each once, and the data of files that no newer layer hides goes straight to
its place in the file. Then the entries are applied oldest first to a tree in memory, with exact semantics; data that
was stepped over but turned out to be visible is read now, data of files that do not exist after all is given back.
Last, the filesystem's metadata is written behind the data.

The oldest layer may be a plain directory of the host. It takes the same way as an archive's entries, in one pass and
with its owners as they shall be, rather than through ``mke2fs -d`` and a second pass over the owners. Its digest is
known only when it has been read, and joins the seed then.

The output is created, never overwritten, and does not exist after a failure. The same layers, size and seed give the
same bytes. Nothing is synced to disk: whoever commits the file does that. `banger.oci.builder` runs this in a process
of its own, because archives are hostile and memory should go back to the system.
"""

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from banger import errors
from banger.disk import host_tree
from banger.disk.ext4 import volume
from banger.disk.ext4.copier import Unreadable
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import SMALLEST, Geometry
from banger.disk.ext4.node import Content
from banger.disk.fresh import new_file
from banger.disk.host_tree import HostTree
from banger.oci import merge, probe
from banger.oci.arrival import Arrival
from banger.oci.aside import Aside
from banger.oci.entry import Entry
from banger.oci.index import Shelf
from banger.oci.layer import LayerSource, Reader, Shadow
from banger.oci.progress import Progress, silent
from banger.oci.tree import Tree

__all__ = ["BuildReport", "LayerSource", "build_image"]

_STEP = 4 << 20
"""Bytes between two reports of progress."""


class BuildReport(NamedTuple):
    """What was made. ``content`` is the inflated size of all layers, ``skipped`` counts devices and fifos left out.

    ``digest`` is that of a directory's content, empty when there was none.
    """

    size: int
    allocated: int
    used: int
    inodes: int
    content: int
    skipped: int
    uuid: str
    init: str | None
    distribution: str
    shell: bool
    digest: str = ""


def build_image(
    layers: Sequence[LayerSource],
    output: str,
    *,
    size: int | None = None,
    least: int = volume.DEFAULT_LEAST,
    seed: str | Arrival,
    progress: Progress = silent,
    indexes: str = "",
    home: str = "",
) -> BuildReport:
    """Write the image of ``layers`` (oldest first) to the new file ``output``.

    Without ``size`` it gets 1.5 times its content, and ``least`` bytes at least. ``seed`` (the manifest's digest)
    decides the UUID; an `Arrival` brings it after the layers, which need not be there yet.
    With ``indexes``, a directory, layers that were read before are not read again (`index`); ``home`` is where the
    image will be found later. The bytes are the same either way.

    Raises `errors.UnsafeLayer`, `errors.CorruptBlob`, `errors.ImageTooSmall`, `errors.DiskFull`,
    `errors.AlreadyExists`, `errors.BuildFailed`.
    """
    if size is not None and size < SMALLEST:
        raise errors.ImageTooSmall(size=f"{size >> 20} MiB", needed=f"{SMALLEST >> 20} MiB")
    with new_file(output) as descriptor:
        for shelf in (Shelf(indexes, home), Shelf("", "")):
            with (
                contextlib.suppress(Unreadable),
                contextlib.ExitStack() as opened,
                contextlib.closing(DataArea(descriptor, Geometry(size))) as area,
            ):
                return _Build(descriptor, area, layers, size, least, seed, progress, shelf, opened).run()
            os.ftruncate(descriptor, 0)
        raise AssertionError("without indexes, nothing is copied")


class _Build:
    def __init__(
        self,
        descriptor: int,
        area: DataArea,
        layers: Sequence[LayerSource],
        size: int | None,
        least: int,
        seed: str | Arrival,
        progress: Progress,
        shelf: Shelf,
        opened: contextlib.ExitStack,
    ) -> None:
        self._descriptor = descriptor
        self._base = layers[0] if layers and layers[0].directory else None
        self._layers = layers if self._base is None else layers[1:]
        self._size = size
        self._least = least
        self._seed = seed
        self._progress = progress
        self._area = area
        self._shelf = shelf
        self._opened = opened
        """What is to be closed after the area."""
        self._fresh: dict[int, Aside] = {}
        """Layers that were read, in contrast to those that were known, and what was put aside of them."""
        self._reader = Reader(self._area, self._on_read, *([] if isinstance(seed, str) else [seed.open]))
        self._total = sum(map(_size, self._layers))
        self._read = self._told = 0
        self._skipped: dict[Content, tuple[int, int]] = {}
        """Files that were stepped over: their layer, and the number of their entry in it."""
        self._tree = Tree()
        self._scanned: list[list[Entry]] = []
        """The entries of all layers, oldest first. Both live as long as this object, which its reader refers to: a
        process that collects no garbage is not kept by taking them apart before it says that it is done."""

    def run(self) -> BuildReport:
        try:
            return self._run()
        finally:
            for aside in self._fresh.values():
                aside.forget()

    def _run(self) -> BuildReport:
        tree = self._tree
        base = self._read_base(tree)
        below = tree.finish()[0]
        scanned = self._scanned = self._scan()
        for layer, entries in zip(self._layers, scanned, strict=True):
            merge.apply(tree, layer.name, entries)
        live, dropped = tree.finish()
        self._settle(scanned, live)
        for content in below - live:
            self._area.release(content)
        self._progress("write", 0, None)
        seed = (self._seed if isinstance(self._seed, str) else self._seed.seed()) + base.digest
        summary = volume.write(self._descriptor, self._area, tree.root, size=self._size, least=self._least, seed=seed)
        nature = probe.examine(tree, self._area)
        for number, aside in self._fresh.items():
            self._shelf.keep(self._layers[number], scanned[number], live, self._descriptor, aside)
        self._progress("write", summary.used, summary.used)
        return BuildReport(
            size=summary.size,
            allocated=os.fstat(self._descriptor).st_blocks * 512,
            used=summary.used,
            inodes=summary.inodes,
            content=self._reader.bytes + base.bytes,
            skipped=dropped + base.skipped,
            uuid=summary.uuid,
            init=nature.init,
            distribution=nature.distribution,
            shell=nature.shell,
            digest=base.digest,
        )

    def _read_base(self, tree: Tree) -> HostTree:
        """Begin the tree with a directory's, if there is one."""
        if self._base is None:
            return HostTree(tree.root, "", 0, 0)
        ids = host_tree.callers_as_root()
        found = host_tree.read(
            self._base.path, self._area, ids=ids, without=self._base.without, on_read=self._on_directory
        )
        tree.root = found.root
        return found

    def _scan(self) -> list[list[Entry]]:
        """The entries of all layers, oldest first, read newest first."""
        shadow = Shadow()
        scanned: list[list[Entry]] = []
        for number in reversed(range(len(self._layers))):
            skipped: dict[Content, int] = {}
            entries = self._recall(self._layers[number], shadow, skipped)
            if entries is None:
                aside = self._fresh[number] = self._shelf.aside(self._layers[number])
                entries = self._reader.scan(self._layers[number], shadow, skipped, aside)
                aside.settle()
            if number:
                shadow.add(entries)
            scanned.insert(0, entries)
            self._skipped.update((content, (number, entry)) for content, entry in skipped.items())
        self._progress("read", self._total, self._total)
        return scanned

    def _recall(self, layer: LayerSource, shadow: Shadow, skipped: dict[Content, int]) -> list[Entry] | None:
        """What a layer is known to hold, its data on the way; None when it has to be read."""
        known = self._shelf.find(layer)
        if known is None:
            return None
        self._opened.callback(known.close)
        entries = known.recall(shadow, skipped)
        if entries is None or not self._reader.admit(*known.totals):
            skipped.clear()
            return None
        known.copy(self._area)
        self._on_read(_size(layer))
        return entries

    def _settle(self, scanned: list[list[Entry]], live: set[Content]) -> None:
        """Fetch what was stepped over and is needed, give back what was written and is not."""
        wanted: dict[int, dict[int, Content]] = {}
        for content, (layer, number) in self._skipped.items():
            if content in live:
                wanted.setdefault(layer, {})[number] = content
        for layer, contents in sorted(wanted.items()):
            self._reader.fetch(self._layers[layer], contents)
        for entries in scanned:
            for entry in entries:
                if entry.content is not None and entry.content.extents and entry.content not in live:
                    self._area.release(entry.content)

    def _on_directory(self, count: int) -> None:
        self._read += count
        if self._read - self._told >= _STEP:
            self._told = self._read
            self._progress("read", self._read, None)

    def _on_read(self, count: int) -> None:
        self._read += count
        if self._read - self._told >= _STEP:
            self._told = self._read
            self._progress("read", min(self._read, self._total), self._total)


def _size(layer: LayerSource) -> int:
    return layer.size or os.stat(layer.path).st_size


def _at_once(layer: LayerSource) -> None:
    """For layers that are there."""

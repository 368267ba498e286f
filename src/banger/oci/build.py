"""Layers in, one bootable ext4 file out.

Three steps. Layers are read newest first, each once, and the data of files that no newer layer hides goes straight to
its place in the file. Then the entries are applied oldest first to a tree in memory, with exact semantics; data that
was stepped over but turned out to be visible is read now, data of files that do not exist after all is given back.
Last, the filesystem's metadata is written behind the data.

The output is created, never overwritten, and does not exist after a failure. The same layers, size and seed give the
same bytes. Nothing is synced to disk: whoever commits the file does that. `banger.oci.builder` runs this in a process
of its own, because archives are hostile and memory should go back to the system.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

import msgspec

from banger import errors
from banger.disk.ext4 import volume
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import SMALLEST, Geometry
from banger.disk.ext4.node import Content
from banger.oci import merge, probe
from banger.oci.layer import Entry, LayerSource, Reader, Shadow
from banger.oci.progress import Progress, silent
from banger.oci.tree import Tree

__all__ = ["BuildReport", "LayerSource", "build_image"]

_STEP = 4 << 20
"""Bytes between two reports of progress."""


class BuildReport(msgspec.Struct, frozen=True):
    """What was made. ``content`` is the inflated size of all layers, ``skipped`` counts devices and fifos left out."""

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


def build_image(
    layers: Sequence[LayerSource],
    output: str,
    *,
    size: int | None = None,
    seed: str,
    progress: Progress = silent,
) -> BuildReport:
    """Write the image of ``layers`` (oldest first) to the new file ``output``.

    Without ``size`` it gets 1.5 times its content, at least 1 GiB. ``seed`` (the manifest's digest) decides the UUID.
    Raises `errors.UnsafeLayer`, `errors.CorruptBlob`, `errors.ImageTooSmall`, `errors.DiskFull`,
    `errors.AlreadyExists`, `errors.BuildFailed`.
    """
    if size is not None and size < SMALLEST:
        raise errors.ImageTooSmall(size=f"{size >> 20} MiB", needed=f"{SMALLEST >> 20} MiB")
    with _new_file(output) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(size))) as area:
        return _Build(descriptor, area, layers, size, seed, progress).run()


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[int]:
    """A file that did not exist before, and does not exist after a failure."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise errors.AlreadyExists(kind="file", name=path) from None
    except OSError as fault:
        raise _from_os(fault, path) from None
    try:
        yield descriptor
    except BaseException as fault:
        os.unlink(path)
        if isinstance(fault, OSError):
            raise _from_os(fault, path) from None
        raise
    finally:
        os.close(descriptor)


def _from_os(fault: OSError, path: str) -> errors.BangerError:
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.DiskFull(path=path)
    return errors.BuildFailed(name=path, reason=fault.strerror or str(fault))


class _Build:
    def __init__(
        self,
        descriptor: int,
        area: DataArea,
        layers: Sequence[LayerSource],
        size: int | None,
        seed: str,
        progress: Progress,
    ) -> None:
        self._descriptor = descriptor
        self._layers = layers
        self._size = size
        self._seed = seed
        self._progress = progress
        self._area = area
        self._reader = Reader(self._area, self._on_read)
        self._total = sum(os.stat(layer.path).st_size for layer in layers)
        self._read = self._told = 0
        self._skipped: dict[Content, tuple[int, int]] = {}
        """Files that were stepped over: their layer, and the number of their entry in it."""

    def run(self) -> BuildReport:
        scanned = self._scan()
        content = self._reader.bytes
        tree = Tree()
        for layer, entries in zip(self._layers, scanned, strict=True):
            merge.apply(tree, layer.name, entries)
        live, dropped = tree.finish()
        self._settle(scanned, live)
        self._progress("write", 0, None)
        nature = probe.examine(tree, self._area)
        summary = volume.write(self._descriptor, self._area, tree.root, size=self._size, seed=self._seed)
        self._progress("write", summary.used, summary.used)
        return BuildReport(
            size=summary.size,
            allocated=os.fstat(self._descriptor).st_blocks * 512,
            used=summary.used,
            inodes=summary.inodes,
            content=content,
            skipped=dropped,
            uuid=summary.uuid,
            init=nature.init,
            distribution=nature.distribution,
            shell=nature.shell,
        )

    def _scan(self) -> list[list[Entry]]:
        """The entries of all layers, oldest first, read newest first."""
        shadow = Shadow()
        scanned: list[list[Entry]] = []
        for number in reversed(range(len(self._layers))):
            skipped: dict[Content, int] = {}
            entries = self._reader.scan(self._layers[number], shadow, skipped)
            if number:
                shadow.add(entries)
            scanned.insert(0, entries)
            self._skipped.update((content, (number, entry)) for content, entry in skipped.items())
        self._progress("read", self._total, self._total)
        return scanned

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

    def _on_read(self, count: int) -> None:
        self._read += count
        if self._read - self._told >= _STEP:
            self._told = self._read
            self._progress("read", min(self._read, self._total), self._total)

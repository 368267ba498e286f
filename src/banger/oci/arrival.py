"""Layers that are read while they are on their way, in the process that builds (`child`).

Whoever fetches them writes each blob to a file in a staging directory, named `PARTIAL` and something, and renames it to
the blob's name when it is whole and on the disk. A layer is read as soon as that is there, or while it grows, where its
file can be told from the others': it is larger than any other blob that is missing, or has just the size that this one
will have, and waits for the disk. When a connection breaks the file that grew is gone, or goes on growing, as skopeo
can; reading goes on at the same place, in the next one or in this.

When all are there a line follows on the process's stdin: the seed as JSON. From then on nothing is waited for.

None of that proves anything of a layer: whoever reads it counts its digest, as ever (`blob`). What was read while it
grew is right, or has to be read again; so has what was another's, which had this size for a moment.
"""

import io
import json
import os
import select
import sys
from collections.abc import Sequence
from typing import BinaryIO

from banger.oci.blob import opened
from banger.oci.layer import LayerSource

PARTIAL = "oci-put-blob"
"""How skopeo names a blob that is still coming."""

_PAUSE = 0.004
_LEAST = 1 << 20
"""Bytes of a file that grows before it is worth to be read."""


class Arrival:
    """Of the layers of one build, through the directory ``staging``; the line comes from ``source``, a pipe."""

    def __init__(self, source: BinaryIO, staging: str, layers: Sequence[LayerSource]) -> None:
        self._source = source
        self._staging = staging
        self._layers = layers
        self._line = b""
        os.set_blocking(source.fileno(), False)

    def open(self, layer: LayerSource) -> io.RawIOBase:
        """A layer's file, as soon as there is something to be read. Raises OSError."""
        while not self.heard():
            if not layer.digest or _whole(layer):
                break
            if (found := self.growing(layer)) is not None:
                return _Growing(self, layer, found)
            self.rest()
        return opened(layer.path)

    def seed(self) -> str:
        """The seed, once all layers are there."""
        while not self.heard():
            self.rest()
        return str(json.loads(self._line))

    def heard(self) -> bool:
        """Whether the line is here, and with it all layers."""
        if not self._line.endswith(b"\n"):
            data = self._source.read()
            if data == b"":  # whoever asked is gone
                sys.exit(1)
            self._line += data or b""
        return self._line.endswith(b"\n")

    def rest(self) -> None:
        """Let some time pass."""
        select.select([self._source], [], [], _PAUSE)

    def growing(self, layer: LayerSource) -> io.FileIO | None:
        """The file that becomes a layer's, as far as can be told, or the layer's own."""
        others = [each.size for each in self._layers if each.digest not in ("", layer.digest) and not _whole(each)]
        least = max([_LEAST, *others])
        whole = layer.size if layer.size not in others else None
        try:
            if _whole(layer):
                return opened(layer.path)
            for name in os.listdir(self._staging):  # after the look at the others: what is whole by then has none
                path = os.path.join(self._staging, name)
                if name.startswith(PARTIAL) and ((size := os.stat(path).st_size) > least or size == whole):
                    return opened(path)
        except FileNotFoundError:
            pass
        return None


class _Growing(io.RawIOBase):
    """A file that is read while it grows, to the size that its layer has."""

    def __init__(self, arrival: Arrival, layer: LayerSource, file: io.FileIO) -> None:
        self._arrival = arrival
        self._layer = layer
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not (count := self._file.readinto(buffer)) and self._file.tell() < self._layer.size:
            complete = self._arrival.heard()
            self._again()
            if complete:  # this was the last look
                return self._file.readinto(buffer) or 0
            self._arrival.rest()
        return count or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _again(self) -> None:
        """Go on in the file that there is now, at the same place."""
        found = self._arrival.growing(self._layer)
        if found is not None:
            found.seek(self._file.tell())
            self._file.close()
            self._file = found


def _whole(layer: LayerSource) -> bool:
    try:
        return os.stat(layer.path).st_size == layer.size
    except FileNotFoundError:
        return False

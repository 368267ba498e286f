"""Layers that are read while others are still on their way, in the process that builds (`child`).

Whoever fetches them renames a blob's file to its name when it is whole; a file of the right name and size is therefore
waited for, looking now and then. When all are there a line follows on the process's stdin: the seed as JSON. From then
on nothing is waited for: what is not there never will be.

That a file is there proves nothing of it; whoever reads it counts its digest, as ever (`blob`).
"""

import json
import os
import select
import sys
from typing import BinaryIO

from banger.oci.layer import LayerSource

_PAUSE = 0.004


class Arrival:
    """Of the layers of one build; the seed's line comes from ``source``, a pipe that is read to no end otherwise."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._line = b""
        os.set_blocking(source.fileno(), False)

    def wait(self, layer: LayerSource) -> None:
        """Return when a layer can be read."""
        while not (self._heard() or _whole(layer)):
            self._rest()

    def seed(self) -> str:
        """The seed, once all layers are there."""
        while not self._heard():
            self._rest()
        return str(json.loads(self._line))

    def _heard(self) -> bool:
        """Whether the line is here."""
        if self._line.endswith(b"\n"):
            return True
        data = self._source.read()
        if data == b"":  # whoever asked is gone
            sys.exit(1)
        self._line += data or b""
        return self._line.endswith(b"\n")

    def _rest(self) -> None:
        select.select([self._source], [], [], _PAUSE)


def _whole(layer: LayerSource) -> bool:
    try:
        return not layer.digest or os.stat(layer.path).st_size == layer.size
    except FileNotFoundError:
        return False

"""The data of a layer's files that newer layers hide, put aside for another image that may need it.

Images share their base and differ in what lies on top, and nearly every layer on top replaces a few files of the base
(a package manager's records). Without them the base would have to be inflated again for each of these images.

The data lies in a file of its own as it would lie in an image: `DataArea` places it.
"""

import contextlib
import os

from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK, Geometry
from banger.disk.ext4.node import Content
from banger.disk.fresh import new_part

LIMIT = 64 << 20
"""Most bytes for one layer; what hides more than that is not a small change on top."""


class Aside:
    """Room for one layer's hidden files, in a new file in ``directory`` that is made when there is one."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._area: DataArea | None = None
        self._descriptor = -1
        self._left = LIMIT
        self.path = ""
        """Where the file is; empty for none."""
        self.contents: dict[Content, Content] = {}
        """Where the contents that were stepped over lie in it."""

    def area(self, size: int) -> DataArea | None:
        """Where ``size`` more bytes can be put; None when that is nowhere."""
        self._left -= size + BLOCK
        if self._left < 0:
            return None
        if self._area is None and not self._directory:
            return None
        if self._area is None:
            try:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                self._descriptor, self.path = new_part(self._directory)
            except OSError:
                self._directory = ""
                return None
            self._area = DataArea(self._descriptor, Geometry(None))
        return self._area

    def settle(self) -> None:
        """Bring all of it to the disk; what cannot be kept is forgotten."""
        if self._area is not None:
            try:
                self._area.settle()
            except OSError:
                self.forget()
            else:
                self._close()

    def forget(self) -> None:
        """Give all of it up."""
        self.contents.clear()
        self._left = -1
        self._close()
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            self.path = ""

    def _close(self) -> None:
        if self._area is not None:
            self._area.close()
            os.close(self._descriptor)
            self._area = None
            self._left = -1

"""Every operation by its name: the whole of what the helper does."""

from .disk import Disks, RawDisk, RemoveDisk
from .operation import Operation
from .snapshot import Snapshot

OPERATIONS: tuple[type[Operation], ...] = (Snapshot, RawDisk, RemoveDisk, Disks)
"""In the order of the documentation."""

BY_NAME: dict[str, type[Operation]] = {each.NAME: each for each in OPERATIONS}

"""The operations that other rooms ask for, under one roof: none of them imports the helper."""

from banger.helper.disk import Disks, RawDisk, RemoveDisk
from banger.helper.snapshot import Layout, Snapshot, layout

__all__ = ["Disks", "Layout", "RawDisk", "RemoveDisk", "Snapshot", "layout"]

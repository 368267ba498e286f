"""Every strategy, in order of preference: for monitors that take block devices alone, and for QEMU."""

from banger.disk.roots.files import Clone, Copy, Qcow2
from banger.disk.roots.snapshot import Snapshot
from banger.disk.roots.strategy import Strategy
from banger.privileged.runner import Privileged

NAMES = ("snapshot", "qcow2", "reflink", "copy")


def for_devices(privileged: Privileged | None) -> list[Strategy]:
    """What gives a monitor a block device: Firecracker's."""
    return [Snapshot(privileged), Clone(privileged), Copy(privileged)]


def for_files() -> list[Strategy]:
    """What gives a monitor a file: QEMU's. Its own copy-on-write comes first, since it works everywhere alike."""
    return [Qcow2(), Clone(), Copy()]

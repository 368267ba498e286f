"""Every operation by its name: the whole of what the helper does."""

from .bridge import Bridge
from .connection import Connect
from .containment import Contain
from .disk import Disks, RawDisk, RemoveDisk
from .ext4 import Ext4Read, Ext4Write, SnapshotCheck
from .inspection import Inspect, Jails
from .launch import Launch, Sweep
from .metrics import Metrics
from .operation import Operation
from .ping import Ping
from .resolver import Resolver
from .rules import Rules, Standing
from .signalling import Signal
from .snapshot import Snapshot
from .store import PruneStore, StoreFile
from .tap import Tap

OPERATIONS: tuple[type[Operation], ...] = (
    Ping,
    StoreFile,
    PruneStore,
    Launch,
    Contain,
    Connect,
    Metrics,
    Signal,
    Inspect,
    Jails,
    Sweep,
    Snapshot,
    RawDisk,
    RemoveDisk,
    Disks,
    SnapshotCheck,
    Ext4Read,
    Ext4Write,
    Bridge,
    Tap,
    Rules,
    Standing,
    Resolver,
)
"""In the order of the documentation."""

BY_NAME: dict[str, type[Operation]] = {each.NAME: each for each in OPERATIONS}

"""The operations that other rooms ask for, under one roof: none of them imports the helper."""

from banger.helper.bridge import Bridge
from banger.helper.connection import Connect
from banger.helper.containment import Contain
from banger.helper.disk import Disks, RawDisk, RemoveDisk
from banger.helper.ext4 import Ext4Read, Ext4Write, SnapshotCheck
from banger.helper.grammar import MAPPER_PREFIX as MAPPER_PREFIX
from banger.helper.grammar import WORK_PREFIX as WORK_PREFIX
from banger.helper.inspection import Inspect, Jails
from banger.helper.launch import Launch, StoredFile, Sweep
from banger.helper.metrics import Metrics
from banger.helper.operation import Refused
from banger.helper.ping import Ping
from banger.helper.resolver import Resolver
from banger.helper.rules import Rules, Standing
from banger.helper.ruleset import GuestRule
from banger.helper.signalling import Signal
from banger.helper.snapshot import Layout, Snapshot, layout
from banger.helper.store import PruneStore, StoreFile
from banger.helper.tap import Tap

__all__ = [
    "Bridge",
    "Connect",
    "Contain",
    "Disks",
    "Ext4Read",
    "Ext4Write",
    "GuestRule",
    "Inspect",
    "Jails",
    "Launch",
    "Layout",
    "Metrics",
    "Ping",
    "PruneStore",
    "RawDisk",
    "Refused",
    "RemoveDisk",
    "Resolver",
    "Rules",
    "Signal",
    "Snapshot",
    "SnapshotCheck",
    "Standing",
    "StoreFile",
    "StoredFile",
    "Sweep",
    "Tap",
    "layout",
]

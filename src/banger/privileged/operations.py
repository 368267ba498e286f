"""The operations that other rooms ask for, under one roof: none of them imports the helper."""

from banger.helper.connection import Connect
from banger.helper.inspection import Inspect, Jails
from banger.helper.launch import Launch, StoredFile, Sweep
from banger.helper.ping import Ping
from banger.helper.signalling import Signal
from banger.helper.store import StoreFile

__all__ = ["Connect", "Inspect", "Jails", "Launch", "Ping", "Signal", "StoreFile", "StoredFile", "Sweep"]

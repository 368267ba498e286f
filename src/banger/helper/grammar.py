"""The closed grammars: how the things that banger makes are named. Each check returns what it was given, or refuses."""

import re

from .host import BRIDGE, Host
from .operation import Refused

_VM_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHANGE = re.compile(r"[0-9a-f]{0,32}")
_TAP = re.compile(r"tap-fc-(0|[1-9][0-9]{0,3})")
MAPPER_PREFIX, WORK_PREFIX = "fc-rootfs-", "fc-work-"
_MAC = re.compile(r"02:fc(:[0-9a-f]{2}){4}")


def _match(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise Refused(f"{value[:80]!a} is not {what}")
    return value


def vm_id(value: str) -> str:
    return _match(_VM_ID, value, "a machine's id")


def sha256(value: str) -> str:
    return _match(_SHA256, value, "a sha256")


def change(value: str) -> str:
    return _match(_CHANGE, value, "the id of a change")


def tap(value: str) -> str:
    """A tap's name: ``tap-fc-`` and a number."""
    return _match(_TAP, value, "the name of a tap of banger's")


def bridge(value: str) -> str:
    """A bridge's name: ``br-fc``, or that with a suffix; at most 15 characters (IFNAMSIZ)."""
    return _match(BRIDGE, value, "the name of a bridge of banger's")


def mac(value: str) -> str:
    """A guest's hardware address: locally administered, with a prefix of our own."""
    return _match(_MAC, value, "a guest's hardware address")


def slot(value: int, host: Host) -> int:
    """A machine's slot, from which the uid of its monitor follows."""
    if not 0 <= value < host.uid_count:
        raise Refused(f"{value} is not a slot: there are {host.uid_count}")
    return value


def mapper(machine: str, *, work: bool = False) -> str:
    """The device-mapper name of a machine's root, or of its work disk."""
    return (WORK_PREFIX if work else MAPPER_PREFIX) + vm_id(machine)

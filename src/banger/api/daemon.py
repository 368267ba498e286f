"""The daemon itself, and the doctor's findings."""

from typing import Literal

import msgspec

from banger.api.operation import Operation


class DaemonStatus(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    socket: str
    log: str
    version: str
    api: int
    started: float
    machines: int
    running: int
    uid: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the doctor's report. ``mend`` is the exact command or step that puts it right."""

    name: str
    status: Literal["pass", "warn", "fail"]
    detail: str
    mend: str = ""


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """Something of banger's that no record tells of. ``name`` is a path, a process id, a machine's id, an interface."""

    kind: Literal["machine", "process", "sockets", "jail", "device", "tap", "staging", "image"]
    name: str
    reason: str
    remedy: str
    """What is done about it: ``remove``, ``end``, ``enter again``, ``set aside``; empty where its owner decides."""
    done: bool = False
    error: str = ""
    """Why it could not be done."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    checks: list[Check]
    fixed: list[Leftover] = []
    """What was left over, where it was asked to be cleared away."""
    version: str = ""
    """The daemon's own."""


class Empty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request or reply without fields."""


class OperationList(msgspec.Struct, frozen=True, kw_only=True):
    operations: list[Operation]

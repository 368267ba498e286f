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


class Report(msgspec.Struct, frozen=True, kw_only=True):
    checks: list[Check]


class Empty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request or reply without fields."""


class OperationList(msgspec.Struct, frozen=True, kw_only=True):
    operations: list[Operation]

"""The guest as a whole: its health and its clock."""

import time

import msgspec

from banger.guest import wire
from banger.log import printable


class GuestHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent says of its machine. ``pid1`` is "agent" or the path of the image's init."""

    agent_version: str
    protocol: int
    uptime: float
    boot_id: str
    pid1: str
    hostname: str
    memory_total: int
    memory_available: int
    load: str
    clock: float
    """Seconds since 1970 by the guest's clock, as it was when the guest answered."""


def health(result: wire.Result) -> GuestHealth:
    """The result of a HEALTH request; all text is printable."""
    return GuestHealth(
        agent_version=printable(result.text(wire.Field.VERSION), 64),
        protocol=result.number(wire.Field.PROTOCOL),
        uptime=result.number(wire.Field.UPTIME_MS) / 1000,
        boot_id=printable(result.text(wire.Field.BOOT_ID), 64),
        pid1=printable(result.text(wire.Field.PID1)),
        hostname=printable(result.text(wire.Field.HOSTNAME), 64),
        memory_total=result.number(wire.Field.MEMORY_TOTAL),
        memory_available=result.number(wire.Field.MEMORY_AVAILABLE),
        load=printable(result.text(wire.Field.LOAD), 64),
        clock=result.number(wire.Field.CLOCK_NS) / 1e9,
    )


def clock_request(ns: int | None) -> bytes:
    return wire.field(wire.Field.TIME_NS, time.time_ns() if ns is None else ns)

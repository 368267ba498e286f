"""A tap: the host's end of a guest's network cable, on the bridge, for the one user who may open it.

The port keeps its guest apart by itself, before any rule: isolated from the other guests, deaf to what is flooded,
and no teacher of the bridge. `rules` tells the bridge which hardware address is behind it, and lifts the isolation
between guests that may reach each other.

A new tap lasts only once everything about it is set (TUNSETPERSIST comes last); killed before that, it is gone.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from . import bridge, grammar, links
from .host import Host
from .operation import Failed, Operation, Outcome, Refused

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOWNER = 0x400454CC
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


@dataclass(frozen=True, kw_only=True)
class Tap(Operation):
    """The slot's tap is there, up, on the bridge, and belongs to the slot's user."""

    NAME: ClassVar[str] = "tap.create"
    GATE: ClassVar[str] = (
        "Any interface but tap-fc-N, N being the slot, and one of that name that is no tap of banger's; another owner "
        "than the slot's user, and a change of owner while anything has the tap open."
    )

    slot: int

    @property
    def name(self) -> str:
        """The interface."""
        return f"tap-fc-{self.slot}"

    def validate(self, host: Host) -> None:
        grammar.slot(self.slot, host)
        _foreign(grammar.tap(self.name))

    def turn(self) -> str:
        return f"tap {self.name}"

    def describe(self) -> str:
        return f"create {self.name[:20]!r}"

    def execute(self, host: Host, descriptors: object = ()) -> Outcome:
        self.validate(host)
        above = links.show(host.bridge)
        if above is None or not bridge.ours(above, host):
            raise Failed(f"the bridge {host.bridge} is not there")
        owner = host.uid(self.slot)
        found = _foreign(self.name)
        if found is not None and found.owner == owner:
            if not found.up or found.bridge != host.bridge:
                self._connect(host)
            return Outcome({"made": False})
        with _attached(self.name) as descriptor:
            self._connect(host)
            fcntl.ioctl(descriptor, TUNSETOWNER, owner)
            fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
        return Outcome({"made": found is None})

    def _connect(self, host: Host) -> None:
        links.batch(
            f"link set dev {self.name} alias {links.MARK} addrgenmode none",
            f"link set dev {self.name} master {host.bridge}",
            f"link set dev {self.name} type bridge_slave isolated on learning off flood off mcast_flood off",
            f"link set dev {self.name} up",
        )

    def undo(self, host: Host) -> None:
        grammar.tap(self.name)
        if _foreign(self.name) is not None:
            links.batch(f"link delete dev {self.name}")


def _foreign(name: str) -> links.Link | None:
    """The tap as it is. Raises `Refused` when something of that name is not ours."""
    found = links.show(name)
    if found is not None and not (found.tap and found.ours):
        raise Refused(f"{name} is an interface that banger did not make")
    return found


@contextlib.contextmanager
def _attached(name: str) -> Iterator[int]:
    """The tap's own descriptor: only one can have it, so whoever has it knows that nobody else does."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Failed(f"/dev/net/tun: {error.strerror}") from None
    try:
        request = struct.pack("16sH22x", name.encode("ascii"), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        try:
            fcntl.ioctl(descriptor, TUNSETIFF, request)
        except OSError as error:
            busy = error.errno == errno.EBUSY
            raise Failed(f"{name}: {'a monitor has it open' if busy else error.strerror}", busy=busy) from None
        yield descriptor
    finally:
        os.close(descriptor)

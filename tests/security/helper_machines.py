"""What an attacker of the root helper has by right: a machine and a disk of its own, by requests that must succeed.

Hostile requests are made between these, and name this machine as often as any other; whatever they did to it, the next
life begins with a sweep. Its id, its slot and its kernel are no other attacker's, so nobody else can be in its way.
"""

import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from banger.helper import values
from banger.helper.connection import Connect
from banger.helper.containment import Contain
from banger.helper.disk import RawDisk, RemoveDisk
from banger.helper.ext4 import Ext4Read, Ext4Write, SnapshotCheck
from banger.helper.guest_file import GuestFile
from banger.helper.host import Host
from banger.helper.inspection import Inspect
from banger.helper.launch import Launch, Sweep
from banger.helper.metrics import Metrics
from banger.helper.operation import Operation
from banger.helper.process import start_ticks
from banger.helper.signalling import Signal
from banger.helper.snapshot import Snapshot
from banger.helper.store import StoreFile
from banger.helper.tap import Tap

GIVEN = ("log", "file")
"""Console and initial RAM disk, of the attacker's descriptors."""
DISK, LARGER = 8 << 20, 16 << 20
_SLOTS = 90
_CONTENT = b"written offline\n"

Asked = tuple[dict[str, Any], list[int]]
Ask = Callable[[dict[str, Any], Sequence[str]], Asked]
"""Sends a request with descriptors of those kinds; the reply, and the descriptors that came with it."""


class Unperformed(Exception):
    """A right request was not performed, or not as it should be."""


class Busy(Exception):
    """Somebody else is at it; that is no fault."""


class OwnMachine:
    """An attacker's machine. ``number`` tells it from those of the others."""

    def __init__(self, ask: Ask, host: Host, known: dict[str, Any], number: int) -> None:
        self._ask = ask
        self._files = known["files"]
        self._kernel = known["boot"]
        self.vm_id = f"a77ac0{number:010x}"
        self.slot = host.uid_count - 1 - _SLOTS + number % (_SLOTS - 1)
        self.process = (0, 0)
        """Its monitor's pid and start, as far as is known."""
        self.performed: set[str] = set()
        self.ended = 0
        """How often hostile requests have ended it."""

    @property
    def launch(self) -> Launch:
        return Launch(vm_id=self.vm_id, slot=self.slot, kernel=self._kernel, vcpus=1, memory=128, cpu_weight=50)

    def live(self) -> None:
        """Go through all that there is to do with a machine, and leave it running. Raises `Unperformed`, `Busy`."""
        pid, ticks = self.process
        self.ended += bool(pid) and start_ticks(pid) != ticks
        self._do(StoreFile(path=f"{self._files}/boot", sha256=self._kernel))
        self._do(Sweep(vm_id=self.vm_id))
        self._begin()
        pid, ticks = self.process
        found = self._do(Inspect(vm_id=self.vm_id))
        self._expect(found["processes"] == [{"pid": pid, "start_ticks": ticks, "monitor": True}], found)
        self._reach()
        self._do(Metrics(vm_id=self.vm_id))
        self._expect(self._do(Contain(vm_id=self.vm_id)) == {"threads": 0}, "no guest runs in it")
        self._expect(self._do(self._signal(ticks + 1)) == {"sent": False}, "that is another process")
        self._expect(self._do(self._signal(ticks)) == {"sent": True}, "that is its monitor")
        self._do(Sweep(vm_id=self.vm_id))
        found = self._do(Inspect(vm_id=self.vm_id))
        self._expect((found["jail"], found["cgroup"], found["processes"]) == (False, False, []), found)
        if os.path.exists("/dev/mapper/control"):
            self._edit()
        self._begin()

    def end(self) -> None:
        """Take back the tap that hostile requests may have made for it: it is no machine's, and no sweep's."""
        self._ask({**request(Tap(slot=self.slot)), "undo": True}, ())

    def _begin(self) -> None:
        made = self._do(self.launch, *GIVEN)
        self.process = (made["pid"], made["start_ticks"])
        self._expect(start_ticks(made["pid"]) == made["start_ticks"], made)

    def _signal(self, ticks: int) -> Signal:
        return Signal(vm_id=self.vm_id, pid=self.process[0], start_ticks=ticks, signal="TERM")

    def _reach(self) -> None:
        """Its monitor answers over the connection that is handed over, and says whose it is."""
        reply, received = self._ask(request(Connect(vm_id=self.vm_id, socket="api")), ())
        self._judged(Connect.NAME, reply)
        with socket.socket(fileno=received[0]) as connection:
            connection.settimeout(30)
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self._expect(self.vm_id.encode() in connection.recv(4096), "it is the monitor of another machine")

    def _edit(self) -> None:
        """A disk of each kind: made, checked, written to, read and removed."""
        place = f"{self._files}/own"
        snapshot = Snapshot(vm_id=self.vm_id, base=f"{place}-base", overlay=f"{place}-overlay", size=LARGER)
        for disk in (snapshot, RawDisk(vm_id=self.vm_id, file=f"{place}-raw")):
            self._do(RemoveDisk(vm_id=self.vm_id))
            self._do(disk)
            self._do(SnapshotCheck(vm_id=self.vm_id))
            self._do(Ext4Write.of(self.vm_id, [GuestFile("/etc/own", _CONTENT)]))
            read = self._do(Ext4Read(vm_id=self.vm_id, path="/etc/own"))
            self._expect(read == {"content": values.encode(_CONTENT)}, read)
            self._do(RemoveDisk(vm_id=self.vm_id))

    def _do(self, operation: Operation, *descriptors: str) -> dict[str, Any]:
        reply, received = self._ask(request(operation), descriptors)
        for each in received:
            os.close(each)
        return self._judged(operation.NAME, reply)

    def _judged(self, name: str, reply: dict[str, Any]) -> dict[str, Any]:
        if reply.get("busy"):
            raise Busy
        if "values" not in reply:
            raise Unperformed(f"{name}: {json.dumps(reply)}")
        self.performed.add(name)
        found: dict[str, Any] = reply["values"]
        return found

    @staticmethod
    def _expect(right: bool, found: object) -> None:
        if not right:
            raise Unperformed(f"not as it should be: {found}")


def request(operation: Operation) -> dict[str, Any]:
    """An operation as it is asked for."""
    return {"operation": operation.NAME, "arguments": values.encode(operation)}

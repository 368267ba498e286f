"""A key that is let go once a second, so that the box never sleeps through its own timer.

QEMU 7.2 loses an interrupt now and then: where an emulated hypervisor leaves its guest, the processor's thread changes
the word of what is pending without a lock (``cs->interrupt_request &= ~CPU_INTERRUPT_VIRQ``), and what the other thread
has entered there meanwhile is gone. When it was the timer's, an idle box halts with the interrupt in its local APIC and
for good: it has set no other. Any later interrupt brings both to the processor.
"""

import asyncio
import threading

from banger.vmm.qemu import qmp

SECONDS = 1.0
LIMIT = 600.0
"""Seconds that the emulator may take to answer: while it saves its memory, it does nothing else."""

LET_GO = {"type": "key", "data": {"down": False, "key": {"type": "qcode", "data": "shift"}}}
"""Of a key that nobody holds: an interrupt of the keyboard's, and nothing that anybody hears of."""


class Pulse:
    """Lasts as long as the emulator behind a control socket of its own."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._thread = threading.Thread(target=self._run, name="box pulse", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        try:
            async with qmp.Client(self._socket, timeout=LIMIT) as control:
                while True:
                    await control.execute("input-send-event", events=[LET_GO])
                    await asyncio.sleep(SECONDS)
        except qmp.QmpError:
            return  # the emulator has ended

    def join(self) -> None:
        """Wait for its end, which the emulator's brings."""
        self._thread.join(10)

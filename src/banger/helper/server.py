"""bangerd-root's loop: accepts a connection, checks who is there, and forks a process that answers it.

A process for each request, because a tool that hangs must stop nobody else, a crash must end nothing else, what a
request allocates must be gone after it, and descriptors that a caller sent must never be open anywhere else. The loop
itself reads nothing that a caller wrote. Threads would share all of that, and could not be killed.

Bounds, so that whoever floods the socket costs a bounded part of the host, and waits in the kernel's queue like others:

- at most `CHILDREN` requests at a time;
- at most `RATE` a second over a while, which also bounds the log below what the journal takes without losing lines;
- a request's process is killed after `LIFETIME` seconds.

A request's process that outlives the loop (kill -9, a stop that waits for it in vain) goes on to its own end; the turns
of `turn` keep later requests for the same resource behind it.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import struct
import time
from typing import NamedTuple

from . import journal, values
from .answer import Operations, answer, refuse
from .host import Host

CHILDREN = 32
RATE = 200
BURST = 400
"""Connections that may come at once after a quiet time."""
LIFETIME = 900.0
STOPPING = 20.0
"""Seconds that a stop waits for the requests that are being performed."""

_PEER = struct.Struct("3i")


class Child(NamedTuple):
    """A process that answers one connection."""

    pid: int
    begun: float


class Bucket:
    """So many at once, so many a second (a token bucket)."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, time.monotonic()

    def wait(self) -> float:
        """Seconds until the next may come; 0 when it may come now."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1 - self._level) / self._rate)

    def take(self) -> None:
        """One came."""
        self._level -= 1


class Server:
    """Serves one listening socket until SIGTERM or SIGINT."""

    def __init__(
        self,
        listener: socket.socket,
        host: Host,
        operations: Operations,
        *,
        children: int = CHILDREN,
        lifetime: float = LIFETIME,
    ) -> None:
        self._listener = listener
        self._host = host
        self._operations = operations
        self._allowed = (0, host.owner_uid)
        self._most = children
        self._lifetime = lifetime
        self._children: dict[int, Child] = {}  # by pidfd
        self._bucket = Bucket(RATE, BURST)
        self._selector = selectors.DefaultSelector()
        self._accepting = False
        self._stopping: float | None = None

    def run(self) -> None:
        """Serve."""
        self._listener.setblocking(False)
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._selector.register(woken, selectors.EVENT_READ)
        values.prepare(self._operations.values())
        gc.collect()
        gc.freeze()  # children share these pages with us as long as nobody counts through them
        while self._stopping is None or (self._children and time.monotonic() < self._stopping):
            self._step(woken)
        signal.set_wakeup_fd(-1)

    def _stop(self, number: int, _: object) -> None:
        self._stopping = time.monotonic() + STOPPING

    def _step(self, woken: socket.socket) -> None:
        pause = self._bucket.wait()
        self._accept_while(self._stopping is None and len(self._children) < self._most and not pause)
        ready = self._selector.select(self._patience(pause))
        for key, _ in ready:
            if key.fileobj is self._listener:
                self._admit()
            elif key.fileobj is woken:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(64)
            else:
                self._reap(key.fd)
        now = time.monotonic()
        for descriptor, child in self._children.items():
            if now - child.begun > self._lifetime:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    def _accept_while(self, wanted: bool) -> None:
        """Listen, or leave those who come in the kernel's queue."""
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _patience(self, pause: float) -> float | None:
        """Seconds until something is due that no descriptor tells of."""
        if self._stopping is not None:
            return max(0.0, self._stopping - time.monotonic())
        if pause and len(self._children) < self._most:
            return pause
        if not self._children:
            return None
        oldest = next(iter(self._children.values()))
        return max(1.0, oldest.begun + self._lifetime - time.monotonic())  # one that was killed may take a while to die

    def _admit(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return  # whoever it was has gone
        except OSError as error:  # no descriptors or memory left
            journal.tell(outcome="not accepted", reason=str(error.strerror))
            time.sleep(0.1)
            return
        with connection:
            self._bucket.take()
            pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            if uid not in self._allowed:
                refuse(connection, f"uid {uid} may not ask")
                journal.tell(pid=pid, uid=uid, outcome="refused", reason="neither root nor the owner")
                return
            try:
                self._fork(connection, (pid, uid))
            except OSError as error:
                journal.tell(pid=pid, uid=uid, outcome="failed", reason=f"no process for it: {error.strerror}")

    def _fork(self, connection: socket.socket, peer: tuple[int, int]) -> None:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._become_child()
                answer(connection, self._host, self._operations, peer)
                status = 0
            except BaseException as error:
                journal.tell(pid=peer[0], uid=peer[1], outcome="crashed", reason=journal.trace(error))
            finally:
                os._exit(status)
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = Child(pid, time.monotonic())
        self._selector.register(descriptor, selectors.EVENT_READ)

    def _become_child(self) -> None:
        """Give up what is the loop's. A stop of the service lets us end by ourselves; programs we start do not."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.close()
        self._listener.close()
        for descriptor in self._children:
            os.close(descriptor)

    def _reap(self, descriptor: int) -> None:
        child = self._children.pop(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(child.pid, 0)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            seconds = round(time.monotonic() - child.begun, 1)
            journal.tell(child=child.pid, outcome="killed", reason=f"{name} after {seconds} s")

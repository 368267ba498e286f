"""`runner.Privileged` by the helper: one connection for each operation, see `banger.helper.protocol`.

A request is sent again where nothing has been heard of it: nobody listened (the helper is being restarted), or the
connection ended before a reply. The second is safe because operations are idempotent and take turns: if the first
one is still being performed, ours waits for it. A call that is cancelled hangs up, and the helper goes on to the end
of what it has begun; whoever cancels undoes, and that waits for its turn too.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Mapping, Sequence

from banger import errors
from banger.helper import protocol, values
from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Outcome, Refused

PATIENCE = 10.0
"""Seconds that a helper which is being restarted may take until it listens."""
LIMIT = 960.0
"""Seconds that an operation may take, which is more than the helper lets it."""
ATTEMPTS = 2
_ABSENT = (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN)
"""What connecting says while nobody listens, or while the queue is full."""


class Helper:
    """The helper that listens on a socket."""

    def __init__(self, socket_path: str, host: Host, *, patience: float = PATIENCE) -> None:
        self.host = host
        self._path = socket_path
        self._patience = patience

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        """See `Privileged.perform`."""
        return await self._ask(operation, descriptors, undo=False, change=change)

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """See `Privileged.revert`."""
        protocol.close_all((await self._ask(operation, (), undo=True, change=change)).descriptors)

    async def _ask(self, operation: Operation, descriptors: Sequence[int], *, undo: bool, change: str) -> Outcome:
        request = protocol.Request(operation.NAME, values.encode(operation), undo, change)
        try:
            data = protocol.request_frame(request)
            async with asyncio.timeout(LIMIT):
                return await self._exchanged(data, descriptors)
        except Refused as refused:
            raise errors.PrivilegeRefused(operation=operation.NAME, reason=str(refused)) from None
        except Failed as failed:
            raise errors.PrivilegeFailed(operation=operation.NAME, reason=str(failed), busy=failed.busy) from None
        except TimeoutError:
            raise errors.HelperUnavailable(reason=f"{operation.NAME} did not end within {LIMIT:g} s") from None

    async def _exchanged(self, data: bytes, descriptors: Sequence[int]) -> Outcome:
        reason = ""
        for _ in range(ATTEMPTS):
            with await self._connected() as connection:
                try:
                    await _send(connection, data, descriptors)
                    return await _receive(connection)
                except protocol.Lost as lost:
                    reason = str(lost)
        raise errors.HelperUnavailable(reason=reason)

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                connection.connect(self._path)
                return connection
            except OSError as error:
                connection.close()
                if error.errno not in _ABSENT or loop.time() > deadline:
                    raise errors.HelperUnavailable(reason=f"{self._path}: {error.strerror}") from None
            await asyncio.sleep(0.05)


async def _send(connection: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    """Send the request. A helper that refuses before it has read all hangs up, and its reply is there to be read."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # a fresh socket has room for something, so this never has to wait
        sent = connection.sendmsg([data], protocol.rights(descriptors))
        await loop.sock_sendall(connection, memoryview(data)[sent:])


async def _receive(connection: socket.socket) -> Outcome:
    """The reply. Raises `Lost` where there is none, and what it tells of: `Refused`, `Failed`."""
    received: list[int] = []
    try:
        header = await _header(connection, received)
        body = await _exactly(connection, protocol.length_of(header))
        try:
            found: Mapping[str, object] = protocol.parse_reply(body)
        except ValueError:
            raise errors.HelperUnavailable(reason="it does not speak as it should") from None
        kept, received = received, []
        return Outcome(found, kept)
    except OSError as error:
        raise protocol.Lost(str(error.strerror)) from None
    finally:
        protocol.close_all(received)


async def _header(connection: socket.socket, received: list[int]) -> bytes:
    """A frame's header; the descriptors that come with it are added to ``received``."""
    while True:
        try:
            begun, ancillary, _, _ = connection.recvmsg(protocol.HEADER.size, protocol.ROOM, socket.MSG_CMSG_CLOEXEC)
            break
        except BlockingIOError:
            await _readable(connection)
    received += protocol.descriptors_in(ancillary)
    if not begun:
        raise protocol.Lost("it hung up")
    return begun + await _exactly(connection, protocol.HEADER.size - len(begun))


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection, wake)
    try:
        await ready
    finally:
        loop.remove_reader(connection)


async def _exactly(connection: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    found = bytearray()
    while len(found) < count:
        chunk = await loop.sock_recv(connection, min(count - len(found), 1 << 18))
        if not chunk:
            raise protocol.Lost("it hung up")
        found += chunk
    return bytes(found)

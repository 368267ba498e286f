"""A connection of the host's joined with one that was made inside the guest.

Nothing piles up on the way: what one side sends is read when the other has taken the piece before. Each direction ends
on its own. An end that is not in order reaches the other side as such: the host's socket is set to be reset by whatever
closes it, the death of this process included, until both sides have said their last.
"""

import asyncio
import select
import socket
import struct

from banger.guest.connection import GuestConnection

PIECE = 64 << 10

CHECK_SECONDS = 1.0
"""How often it is looked whether a client is gone whose data the guest does not take."""

_RESET, _IN_ORDER = (struct.pack("ii", on, 0) for on in (1, 0))


def resettable(host: socket.socket) -> None:
    """From now on closing the socket breaks its connection off. Raises OSError."""
    host.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer on another host may be gone without a word
    host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def relay(host: socket.socket, guest: GuestConnection) -> None:
    """Carry what is said until both sides have ended; then the socket is ready to be closed in order.

    Raises OSError or `errors.BangerError` where either side broke off; closing and resetting is the caller's.
    """
    inward = asyncio.create_task(_inward(host, guest))
    outward = asyncio.create_task(_outward(host, guest))
    try:
        done, _ = await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        if outward not in done:
            inward.result()
            await asyncio.wait({outward})
        outward.result()
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _IN_ORDER)


async def _inward(host: socket.socket, guest: GuestConnection) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(host, PIECE):
        if not await _taken(host, guest, data):
            return
    await guest.write_eof()


async def _taken(host: socket.socket, guest: GuestConnection, data: bytes) -> bool:
    """Send a piece. While it waits nobody reads the socket, so that only a look at it tells that its peer is gone."""
    writing = asyncio.ensure_future(guest.write(data))
    try:
        while not (await asyncio.wait({writing}, timeout=CHECK_SECONDS))[0]:
            if _broken(host):
                raise ConnectionResetError
        return writing.result()
    finally:
        writing.cancel()


def _broken(host: socket.socket) -> bool:
    looking = select.poll()
    looking.register(host, 0)  # errors and hang-ups are always told
    return bool(looking.poll(0))


async def _outward(host: socket.socket, guest: GuestConnection) -> None:
    """Until the guest has nothing of the connection any more: then whatever the host still says reaches nobody."""
    loop = asyncio.get_running_loop()
    while data := await guest.read():
        await loop.sock_sendall(host, data)
    host.shutdown(socket.SHUT_WR)
    await guest.ended()

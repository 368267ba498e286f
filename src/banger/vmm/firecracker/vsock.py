"""The way to a port of the guest's: Firecracker's vsock, which is a unix socket on the host.

After connecting, ``CONNECT PORT`` is sent as a line; ``OK NUMBER`` as a line answers once the guest has let us in, and
what follows is the stream. A guest that nobody listens in (yet) is answered by a closed connection, and so is whoever
comes while a machine is resumed: that is worth another try for as long as the machine lives.
"""

import asyncio
import re
import socket

from banger import errors

AGENT_PORT = 1024
"""Where the agent listens, for connections from the host alone."""

GUEST_CID = 3
"""The least that there is. Each monitor has a socket of its own: the numbers of different guests do not meet."""

ANSWER_LIMIT = 32
"""``OK`` and the decimal of a 32-bit number fit many times over."""

_ANSWER = re.compile(rb"OK \d{1,10}\n")


class Refused(Exception):
    """The connection was closed before the answer: nobody listens there yet."""


async def shake_hands(connected: socket.socket, port: int = AGENT_PORT) -> None:
    """Have a fresh connection forwarded to a port of the guest's. Raises `Refused`, `errors.AgentLost`.

    The answer is read byte by byte: what comes behind it belongs to the stream.
    """
    loop = asyncio.get_running_loop()
    connected.setblocking(False)
    answer = b""
    try:
        await loop.sock_sendall(connected, b"CONNECT %d\n" % port)
        while not answer.endswith(b"\n") and len(answer) < ANSWER_LIMIT:
            byte = await loop.sock_recv(connected, 1)
            if not byte:
                raise Refused
            answer += byte
    except OSError:  # reset, or a broken pipe
        raise Refused from None
    if not _ANSWER.fullmatch(answer):
        raise errors.AgentLost(reason="the monitor does not speak the protocol of its vsock")

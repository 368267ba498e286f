"""Who calls: every connection's peer credentials are read before its first byte is.

The kernel vouches for them (``SO_PEERCRED``, unix(7)). The owner and root are served; anybody else gets a 403 for
whatever they send, although the modes of the socket and of its directory should not have let them come this far.

Two attributes of uvicorn's protocols are relied on, ``app`` and ``_should_upgrade``; its minor version is pinned.
"""

import os
import select
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from banger import errors
from banger.daemon.reply import error_reply

CREDENTIALS = struct.Struct("3i")
SOCKET = "banger.socket"
"""Extension of a websocket's scope: its socket, for `gone`."""


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a unix socket."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(data)
    return int(uid)


def gone(connection: socket.socket) -> bool:
    """Whether the other end has closed, also while there is data that nobody reads yet."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


class PeerProtocol(H11Protocol):
    """HTTP/1.1 for whom the daemon serves. Malformed requests are answered in the words of the interface."""

    refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        uid, owner = peer_uid(transport.get_extra_info("socket")), os.geteuid()
        if uid not in (0, owner):
            self.refused = True
            self.app = error_reply(errors.PermissionRefused(uid=uid, owner=owner), close=True)

    def _should_upgrade(self) -> bool:
        return not self.refused and super()._should_upgrade()

    def send_400_response(self, msg: str) -> None:
        reply = error_reply(errors.UsageError(detail=msg), close=True)
        try:
            output = self.conn.send(h11.Response(status_code=400, headers=reply.raw_headers, reason=b"Bad Request"))
            output += self.conn.send(h11.Data(data=bytes(reply.body))) + self.conn.send(h11.EndOfMessage())
            self.transport.write(output)
        except h11.LocalProtocolError:
            pass  # an answer is already on its way; there is nothing to add to it
        self.transport.close()


class StreamProtocol(WebSocketsSansIOProtocol):
    """WebSocket whose handlers can see their socket."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][SOCKET] = self.transport.get_extra_info("socket")

"""The DNS server: UDP and TCP on one address and port each, small answers, bounded in everything a stranger can grow.

Guests ask it (`bridge`), and the host's own resolver. Whatever comes costs one answer at most; a client of TCP gets a
few connections, each a limited time. The codec is loaded with the first question (`answer`).
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import struct
from collections import Counter
from collections.abc import Callable
from typing import cast

from banger.net.zone import Address, Zone

log = logging.getLogger("banger.net")

UNSENT_LIMIT = 64 << 10
"""Bytes of answers that may wait for a full socket; beyond, answers are lost, as datagrams are."""

IDLE_SECONDS = 5.0
CLIENTS, CLIENTS_OF_ONE = 32, 8
QUESTIONS = 100
"""How many questions a connection may carry."""

Answer = Callable[[bytes], bytes | None]


class Server:
    """Answers for a zone on every address that it was told to listen on."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._transports: dict[Address, asyncio.DatagramTransport] = {}
        self._servers: list[asyncio.Server] = []
        self._clients: Counter[str] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return list(self._transports)

    async def listen(self, host: str, port: int) -> int:
        """Begin to answer there; the port, for who asked for any (0). Raises `OSError`; twice is once."""
        address = ipaddress.ip_address(host)
        if address in self._transports:
            return int(self._transports[address].get_extra_info("sockname")[1])
        loop = asyncio.get_running_loop()
        for last in (*(False,) * 9, True):
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(lambda wire: self._answer(wire, address, stream=False)), local_addr=(host, port)
            )
            chosen: int = transport.get_extra_info("sockname")[1]
            try:
                server = await asyncio.start_server(
                    lambda reader, writer: self._serve(reader, writer, address), host, chosen, limit=8192, backlog=16
                )
            except OSError as error:
                transport.close()
                if port or last or error.errno != errno.EADDRINUSE:
                    raise
                continue  # somebody else has the other half of a port that nobody asked for: take another
            break
        self._transports[address] = transport
        self._servers.append(server)
        return chosen

    async def close(self) -> None:
        """Answer no more."""
        for transport in self._transports.values():
            transport.close()
        for server in self._servers:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._transports.clear()
        self._servers.clear()
        await asyncio.sleep(0)

    def _answer(self, wire: bytes, address: Address, *, stream: bool) -> bytes | None:
        from banger.net.answer import answer

        try:
            return answer(wire, self.zone, address, stream=stream)
        except Exception:
            log.exception("a question of %d bytes could not be answered", len(wire))
            return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: Address) -> None:
        """One connection of TCP: each message after its length in two bytes (RFC 1035, 4.2.2)."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if self._clients.total() >= CLIENTS or self._clients[peer] >= CLIENTS_OF_ONE:
            writer.transport.abort()
            return
        self._clients[peer] += 1
        self._writers.add(writer)
        try:
            for _ in range(QUESTIONS):
                async with asyncio.timeout(IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    reply = self._answer(await reader.readexactly(length), address, stream=True)
                    if reply is None:
                        return
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._clients[peer] -= 1
            self._clients += Counter()  # forget who has no connection left
            self._writers.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram where it came from."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._unsent = cast(asyncio.WriteTransport, transport).get_write_buffer_size

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._answer(data)
        if reply is not None and self._unsent() < UNSENT_LIMIT:
            self._transport.sendto(reply, addr)

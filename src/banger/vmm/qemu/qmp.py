"""QMP, QEMU's control protocol: one JSON object a line, over a unix socket (docs/interop/qmp-spec).

The other end has a hostile guest inside: lines are bounded, anything that is not of the protocol ends the
connection, and every wait has a limit. Events are dropped; how a machine ended is read from its log.
"""

import asyncio
import contextlib
import itertools
from types import TracebackType
from typing import Any

import msgspec

LINE_LIMIT = 1 << 20


class QmpError(Exception):
    """QEMU refused a command, or the connection broke; the text says which."""


class Client:
    """A connection with capabilities negotiated. Use as ``async with Client(path) as qmp``."""

    def __init__(self, path: str, timeout: float = 10) -> None:
        self._path = path
        self._timeout = timeout
        self._numbers = itertools.count(1)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Client":
        try:
            async with asyncio.timeout(self._timeout):
                self._reader, self._writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
                greeting = await self._receive()
                if "QMP" not in greeting:
                    raise QmpError("no QMP greeting")
                await self.execute("qmp_capabilities")
        except (OSError, TimeoutError) as error:
            await self._close()
            raise QmpError(f"no connection to QEMU ({str(error) or 'time-out'})") from None
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return what it returns. Raises `QmpError`."""
        if self._writer is None:
            raise QmpError("not connected")
        number = next(self._numbers)
        request: dict[str, Any] = {"execute": command, "id": number}
        if arguments:
            request["arguments"] = arguments
        try:
            async with asyncio.timeout(self._timeout):
                self._writer.write(msgspec.json.encode(request) + b"\n")
                await self._writer.drain()
                return self._result(command, await self._reply(number))
        except TimeoutError:
            raise QmpError(f"{command}: no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise QmpError(f"{command}: {error}") from None

    @staticmethod
    def _result(command: str, reply: dict[str, Any]) -> Any:
        if "return" in reply:
            return reply["return"]
        error = reply.get("error")
        description = error.get("desc") if isinstance(error, dict) else None
        raise QmpError(f"{command}: {description or 'refused without a reason'}")

    async def _reply(self, number: int) -> dict[str, Any]:
        while True:
            message = await self._receive()
            if message.get("id") == number:
                return message
            if "event" not in message:
                raise QmpError("an answer to nothing that was asked")

    async def _receive(self) -> dict[str, Any]:
        assert self._reader is not None
        try:
            line = await self._reader.readline()
        except ValueError:
            raise QmpError("a line is too long") from None
        if not line.endswith(b"\n"):
            raise QmpError("QEMU closed the connection")
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            raise QmpError("a line is no JSON") from None
        if not isinstance(message, dict):
            raise QmpError("a line is no JSON object")
        return message

    async def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

"""The exec stream: a command in a guest, or an attachment to a session, at the other end of a WebSocket.

The first message is an `ExecVm` or an `AttachSession`. Afterwards the client sends stdin (binary) and `ExecInput`
(text), and gets output (binary; the first byte is 1 for stdout, 2 for stderr) and `ExecEvent` (text). The last event is
``ended`` or ``failed``. A stream that was opened with ``?persistent=true`` stays after ``ended`` for another `ExecVm`:
to open one costs several times what a short command does.

Nothing piles up in between: output is taken from the guest when the client has taken the one before, and stdin is taken
from the client while fewer than `STDIN_WAITING` messages wait for the guest. A signal or a resize passes waiting stdin.
A client that is gone ends its command, also while its stdin is stuck; of a session it ends the attachment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger import errors
from banger.api.session import AttachSession
from banger.api.vm import ExecEvent, ExecInput, ExecVm
from banger.api.workspace import Workspace
from banger.daemon.call import TRUE, decode
from banger.daemon.peer import SOCKET, gone
from banger.daemon.services import Command, Services
from banger.engine.failure import error_body

LOG = logging.getLogger("banger.daemon")

REQUEST_SECONDS = 30.0
"""How long a client may take to ask for something, also when it has asked before."""

FRAME = 1 << 16
"""Most bytes of output in one message."""

MESSAGE_LIMIT = 1 << 20
"""Most bytes of a message from a client."""

STDIN_WAITING = 8
CHECK_SECONDS = 1.0
"""How often it is looked whether a client is gone whose stdin is stuck."""

REQUEST = msgspec.json.Decoder(ExecVm)
ATTACH = msgspec.json.Decoder(AttachSession)
INPUT = msgspec.json.Decoder(ExecInput)


T = TypeVar("T")


async def vm_exec(websocket: WebSocket, services: Services) -> None:
    """Serve one command from its stream's handshake to its end, or one after another.

    Each finds the machine anew: it may have been started again, or be another one of that name.
    """

    async def serve() -> ExecEvent:
        request = await _asked(websocket, REQUEST)
        command, workspace = await services.vms.exec(_named(websocket, "ref"), request)
        return await _Attached(websocket, command, workspace).run()

    await _conclude(websocket, serve, again=websocket.query_params.get("persistent", "") in TRUE)


async def vm_session_attach(websocket: WebSocket, services: Services) -> None:
    """Serve one attachment to a session, until either ends."""

    async def serve() -> ExecEvent:
        request = await _asked(websocket, ATTACH)
        machine, session = _named(websocket, "ref"), _named(websocket, "session")
        async with services.vms.session_attach(machine, session, request) as attachment:
            return await _Watching(websocket, attachment).run()

    await _conclude(websocket, serve)


async def _conclude(websocket: WebSocket, serve: Callable[[], Awaitable[ExecEvent]], *, again: bool = False) -> None:
    """Tell the last event, which is what ``serve`` returns or why it failed; with ``again``, serve until one has."""
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            try:
                event = await serve()
            except WebSocketDisconnect:
                raise
            except Exception as error:
                event = ExecEvent(kind="failed", error=error_body(error))
            await _tell(websocket, event)
            if not again or event.kind == "failed":
                break
        await websocket.close()


def _named(websocket: WebSocket, parameter: str) -> str:
    return str(websocket.path_params[parameter])


async def _asked(websocket: WebSocket, decoder: "msgspec.json.Decoder[T]") -> T:
    """The first message of a command or an attachment."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            message = await websocket.receive()
    except TimeoutError:
        raise errors.UsageError(detail="nothing was asked for") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    return decode(decoder, message.get("text") or "")


async def _tell(websocket: WebSocket, event: ExecEvent) -> None:
    await websocket.send_text(msgspec.json.encode(event).decode())


class _Attached:
    """A running command and its client."""

    def __init__(self, websocket: WebSocket, command: Command, workspace: Workspace | None = None) -> None:
        self._websocket = websocket
        self._command = command
        self._workspace = workspace
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue(STDIN_WAITING)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._feeds = False

    async def run(self) -> ExecEvent:
        """Until the command has ended or its client is gone; in the latter case the command is ended."""
        reader, writer = self._begin(self._read_client()), self._begin(self._write_client())
        finished = False
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if not writer.done():
                reader.result()  # raises what ended it
                raise WebSocketDisconnect
            ended = writer.result()
            finished = True
            return ended
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            for task in self._tasks:
                if not task.cancelled() and task.exception() is not None:
                    LOG.debug("exec stream: %s", task.exception())
            if not finished:
                await self._command.kill()

    def _begin(self, part: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(part)
        self._tasks.add(task)
        return task

    async def _write_client(self) -> ExecEvent:
        """Send the output and then how it ended."""
        await _tell(self._websocket, ExecEvent(kind="started", workspace=self._workspace))
        async for channel, data in self._command.output():
            head = bytes((channel,))
            for start in range(0, len(data), FRAME):
                await self._websocket.send_bytes(head + data[start : start + FRAME])
        end = await self._command.wait()
        return ExecEvent(kind="ended", exit_code=end.exit_code, signal=end.signal, timed_out=end.timed_out)

    async def _read_client(self) -> None:
        """Take what the client sends; returns when it is gone. Raises `errors.UsageError` on what makes no sense."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                if not await self._queue(message["bytes"]):
                    return
            elif not await self._control(decode(INPUT, message.get("text") or "")):
                return

    async def _control(self, request: ExecInput) -> bool:
        match request.kind:
            case "eof":
                return await self._queue(None)
            case "resize":
                await self._command.resize(request.rows, request.cols)
            case "signal":
                await self._command.signal(request.number)
            case "kill":
                await self._command.kill()
        return True

    async def _queue(self, data: bytes | None) -> bool:
        """Wait until there is room for stdin; False when the client was gone before there was."""
        if not self._feeds:  # most commands are never fed
            self._feeds = True
            self._begin(self._feed_guest())
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._stdin.put(data)
                return True
            except TimeoutError:
                if gone(self._websocket.scope["extensions"][SOCKET]):
                    return False

    async def _feed_guest(self) -> None:
        """Hand stdin to the guest, as fast as it takes it; what nobody will read is dropped."""
        heard = True
        while (data := await self._stdin.get()) is not None:
            heard = heard and await self._command.write(data)
        await self._command.close_stdin()
        while await self._stdin.get() is not None:
            pass  # after its end, stdin goes nowhere


class _Watching(_Attached):
    """An attachment to a session: signals have a call of their own, and its end of stdin is not the session's."""

    async def _control(self, request: ExecInput) -> bool:
        if request.kind in ("signal", "kill"):
            raise errors.UsageError(detail="an attachment carries no signals: there is a call for them")
        return request.kind == "eof" or await super()._control(request)

"""Sessions: everything but the attachment's stream. A handler is the function that has its route's name."""

from collections.abc import AsyncIterator

import msgspec

from banger import errors
from banger.api.daemon import Empty
from banger.api.session import (
    KillSession,
    SentToSession,
    SessionInfo,
    SessionList,
    SessionLog,
    SessionWait,
    StartSession,
    StopSession,
)
from banger.daemon.call import Call
from banger.daemon.reply import NDJSON, Stream
from banger.engine.failure import error_body

SEND_SECONDS = 10.0


async def vm_session_start(call: Call[StartSession]) -> SessionInfo:
    return await call.services.vms.session_start(call.ref, call.body)


async def vm_session_list(call: Call[None]) -> SessionList:
    return await call.services.vms.session_list(call.ref)


async def vm_session_show(call: Call[None]) -> SessionInfo:
    return await call.services.vms.session_show(call.ref, call.session)


async def vm_session_wait(call: Call[None]) -> Stream:
    told = call.services.vms.session_wait(call.ref, call.session)
    documents = (SessionWait(session=each) async for each in told)
    return Stream(_lines(documents, SessionWait), NDJSON, call.services.stopping)


async def vm_session_logs(call: Call[None]) -> Stream:
    lines = call.number("tail", None)
    said = call.services.vms.session_logs(
        call.ref,
        call.session,
        follow=call.flag("follow"),
        stream=call.optional("stream") or "",
        tail=None if lines is None else int(lines),
    )
    return Stream(_lines(said, SessionLog), NDJSON, call.services.stopping)


async def _lines(documents: AsyncIterator[object], last: type[SessionLog] | type[SessionWait]) -> AsyncIterator[bytes]:
    """A line of each. What fails after the first is told by one more: the head of the reply has been sent."""
    begun = False
    try:
        async for each in documents:
            yield msgspec.json.encode(each) + b"\n"
            begun = True
    except errors.BangerError as error:
        if not begun:
            raise
        yield msgspec.json.encode(last(error=error_body(error))) + b"\n"


async def vm_session_send(call: Call[None]) -> SentToSession:
    taken = await call.services.vms.session_send(
        call.ref,
        call.session,
        call.chunks(),
        eof=call.flag("eof"),
        timeout=call.number("timeout", None) or SEND_SECONDS,
    )
    return SentToSession(taken=taken)


async def vm_session_stop(call: Call[StopSession]) -> SessionInfo:
    return await call.services.vms.session_stop(call.ref, call.session, call.body.timeout)


async def vm_session_kill(call: Call[KillSession]) -> Empty:
    await call.services.vms.session_kill(call.ref, call.session, call.body.signal)
    return Empty()

"""Sessions: everything but the attachment's stream. A handler is the function that has its route's name."""

from collections.abc import AsyncIterator

import msgspec

from banger.api.daemon import Empty
from banger.api.session import KillSession, SentToSession, SessionInfo, SessionList, StartSession, StopSession
from banger.daemon.call import Call
from banger.daemon.reply import NDJSON, Stream

SEND_SECONDS = 10.0


async def vm_session_start(call: Call[StartSession]) -> SessionInfo:
    return await call.services.vms.session_start(call.ref, call.body)


async def vm_session_list(call: Call[None]) -> SessionList:
    return await call.services.vms.session_list(call.ref)


async def vm_session_show(call: Call[None]) -> SessionInfo:
    return await call.services.vms.session_show(call.ref, call.session)


async def vm_session_wait(call: Call[None]) -> Stream:
    told = call.services.vms.session_wait(call.ref, call.session)
    return Stream(_lines(told), NDJSON, call.services.stopping)


async def vm_session_logs(call: Call[None]) -> Stream:
    lines = call.number("tail", None)
    said = call.services.vms.session_logs(
        call.ref,
        call.session,
        follow=call.flag("follow"),
        stream=call.request.query_params.get("stream", ""),
        tail=None if lines is None else int(lines),
    )
    return Stream(_lines(said), NDJSON, call.services.stopping)


async def _lines(documents: AsyncIterator[object]) -> AsyncIterator[bytes]:
    async for each in documents:
        yield msgspec.json.encode(each) + b"\n"


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

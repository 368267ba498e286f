"""The daemon itself and its operations. A handler is the function that has its route's name."""

import asyncio
import os
from collections.abc import AsyncIterator

import msgspec

import banger
from banger.api.config import SettingList
from banger.api.daemon import DaemonStatus, Empty, OperationList, Report
from banger.api.operation import Operation
from banger.api.routes import API_VERSION
from banger.api.space import Space
from banger.config import report
from banger.daemon import space
from banger.daemon.call import Call
from banger.daemon.reply import JSON, NDJSON, Stream


async def daemon_status(call: Call[None]) -> DaemonStatus:
    services = call.services
    machines = services.vms.list()
    return DaemonStatus(
        pid=os.getpid(),
        socket=services.paths.socket,
        log=services.paths.daemon_log,
        version=str(banger.__version__),
        api=API_VERSION,
        started=services.started,
        machines=len(machines),
        running=sum(machine.state == "running" for machine in machines),
        uid=os.geteuid(),
    )


async def daemon_stop(call: Call[Empty]) -> Empty:
    asyncio.get_running_loop().call_later(0.05, call.services.stopping.set)  # after this reply is on its way
    return Empty()


async def config_show(call: Call[None]) -> SettingList:
    services = call.services
    return await asyncio.to_thread(report.report, services.config, services.paths)


async def doctor(call: Call[None]) -> Report:
    return await call.services.doctor.report()


async def doctor_fix(call: Call[Empty]) -> Report:
    return await call.services.doctor.fix()


async def openapi(call: Call[None]) -> Stream:
    from banger.daemon.openapi import document

    async def whole() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(document())

    return Stream(whole(), JSON, call.services.stopping)


async def operation_list(call: Call[None]) -> OperationList:
    return OperationList(operations=call.services.engine.operations())


async def operation_show(call: Call[None]) -> Operation:
    return call.services.engine.operation(call.ref)


async def operation_events(call: Call[None]) -> Stream:
    engine = call.services.engine
    key = engine.operation(call.ref).id

    async def lines() -> AsyncIterator[bytes]:
        async for state in engine.follow(key):
            yield msgspec.json.encode(state) + b"\n"

    return Stream(lines(), NDJSON, call.services.stopping)


async def df(call: Call[None]) -> Space:
    return await asyncio.to_thread(space.measure, space.items(call.services), call.services.paths.state)


async def events(call: Call[None]) -> Stream:
    source = call.services.engine.events
    listener = source.listen()  # before the reply begins: what is looked at afterwards cannot have been missed

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield b""  # the reply's head tells the client that it is listening
            async for event in listener.events():
                yield msgspec.json.encode(event) + b"\n"
        finally:
            source.leave(listener)

    return Stream(lines(), NDJSON, call.services.stopping)


async def operation_cancel(call: Call[Empty]) -> Operation:
    return call.services.engine.cancel(call.services.engine.operation(call.ref).id)

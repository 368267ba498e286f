"""Machines: everything but the exec stream. A handler is the function that has its route's name."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from banger.api.daemon import Empty
from banger.api.operation import Operation
from banger.api.port import VmPorts
from banger.api.vm import CreateVm, DeleteVm, Health, KeepVm, KillVm, SetVm, StopVm, Vm, VmList, VmStatsList
from banger.daemon.call import Call
from banger.daemon.reply import BYTES, NDJSON, TAR, Stream


async def vm_list(call: Call[None]) -> VmList:
    return VmList(vms=call.services.vms.list(call.texts("label")))


async def vm_show(call: Call[None]) -> Vm:
    return call.services.vms.show(call.ref)


async def vm_create(call: Call[CreateVm]) -> Operation:
    return await call.services.vms.create(call.body)


async def vm_set(call: Call[SetVm]) -> Operation:
    return await call.services.vms.set(call.ref, call.body)


async def vm_keep(call: Call[KeepVm]) -> Vm:
    return await call.services.vms.keep(call.ref, call.body)


async def vm_start(call: Call[Empty]) -> Operation:
    return await call.services.vms.start(call.ref)


async def vm_stop(call: Call[StopVm]) -> Operation:
    return await call.services.vms.stop(call.ref, call.body)


async def vm_restart(call: Call[StopVm]) -> Operation:
    return await call.services.vms.restart(call.ref, call.body)


async def vm_kill(call: Call[KillVm]) -> Operation:
    return await call.services.vms.kill(call.ref)


async def vm_delete(call: Call[DeleteVm]) -> Operation:
    return await call.services.vms.delete(call.ref, at_rest=call.body.at_rest)


async def vm_stats(call: Call[None]) -> VmStatsList:
    return await call.services.vms.stats(call.texts("vm"))


async def vm_health(call: Call[None]) -> Health:
    return await call.services.vms.health(call.ref)


async def vm_ports(call: Call[None]) -> VmPorts:
    return await call.services.vms.ports(call.ref)


async def vm_forward(call: Call[None]) -> Stream:
    vms = call.services.vms
    machine = vms.show(call.ref).id

    async def held() -> AsyncIterator[bytes]:
        async with vms.forward(machine, call.texts("port")) as (forwarded, ended):
            yield msgspec.json.encode(forwarded) + b"\n"
            await ended.wait()

    return Stream(held(), NDJSON, call.services.stopping)


async def vm_logs(call: Call[None]) -> Stream:
    vms = call.services.vms
    follow = call.flag("follow")
    machine = vms.show(call.ref).id

    async def console() -> AsyncIterator[bytes]:
        yield b""  # a console that is silent is followed all the same: the reply begins at once
        async for data in vms.logs(machine, follow):
            yield data

    return Stream(console(), BYTES, call.services.stopping)


async def vm_put(call: Call[None]) -> Empty:
    await call.services.vms.put(call.ref, call.text("path"), call.chunks())
    return Empty()


async def vm_get(call: Call[None]) -> Stream:
    return Stream(call.services.vms.get(call.ref, call.text("path")), TAR, call.services.stopping)


async def vm_hold(call: Call[None]) -> Stream:
    services = call.services
    machine = services.vms.show(call.ref).id

    async def held() -> AsyncIterator[bytes]:
        async with services.vms.hold(machine):
            yield b""  # the reply's head tells the client that the machine is held
            await asyncio.get_running_loop().create_future()  # a daemon that ends breaks it off: the hold is lost

    return Stream(held(), BYTES, services.stopping)

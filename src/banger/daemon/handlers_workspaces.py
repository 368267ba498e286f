"""Workspaces. A handler is the function that has its route's name."""

from collections.abc import AsyncIterator

from banger.api.workspace import AskStates, FileStates, Import, Workspace
from banger.daemon.call import Call
from banger.daemon.reply import BYTES, Stream


async def vm_states(call: Call[AskStates]) -> FileStates:
    return await call.services.vms.states(call.ref, call.body)


async def vm_workspace(call: Call[None]) -> Workspace:
    wanted = Import(
        path=call.text("path"),
        source=call.text("source"),
        commit=call.optional("commit"),
        branch=call.optional("branch"),
        start=call.optional("start"),
        untracked=call.flag("untracked"),
        base=call.optional("base"),
    )
    return await call.services.vms.import_workspace(call.ref, wanted, call.chunks())


async def vm_workspace_listing(call: Call[None]) -> Stream:
    async def listing() -> AsyncIterator[bytes]:
        yield await call.services.vms.workspace_listing(call.ref)

    return Stream(listing(), BYTES, call.services.stopping)

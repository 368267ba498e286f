"""Creating a machine once, however often a client asks: a token of the client's says that two requests are one.

The token is on the machine's record, with a digest of what was asked for. While the machine is there, the same request
with the same token is answered with its creation, begun, ended or failed; another request with that token is refused.
A creation that was undone leaves no record, and the token may be used again. Until the record is there, the creation
itself is remembered, so that two requests at once make one machine.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable

import msgspec

from banger import errors
from banger.api.operation import Operation
from banger.api.vm import CreateVm
from banger.vms.record import Machines, VmRecord

_TOKEN = re.compile(r"[!-~]{1,128}")


def digest(request: CreateVm) -> str:
    """What is asked for, without the token. Raises `errors.UsageError` for what is no token."""
    if not _TOKEN.fullmatch(request.token or ""):
        raise errors.UsageError(detail="a token is 1 to 128 printable ASCII characters, without blanks")
    asked = msgspec.json.encode(msgspec.structs.replace(request, token=None), order="deterministic")
    return hashlib.sha256(asked).hexdigest()


class Tokens:
    """``created`` tells of the creation of a machine on record; ``join`` waits for the end of a change."""

    def __init__(
        self,
        machines: Machines,
        created: Callable[[VmRecord], Operation],
        join: Callable[[str], Awaitable[Operation]],
    ) -> None:
        self._machines = machines
        self._created = created
        self._join = join
        self._begun: dict[str, tuple[str, asyncio.Task[Operation]]] = {}
        self._ends: set[asyncio.Task[None]] = set()

    async def once(self, request: CreateVm, create: Callable[[str], Awaitable[Operation]]) -> Operation:
        """The creation that the token stands for, or a new one; ``create`` is given the digest for the record.

        Raises `errors.TokenReused`, and what ``create`` raises.
        """
        token, asked = request.token or "", digest(request)
        begun = self._begun.get(token)
        if begun is None:
            record = next((each for each in self._machines.all() if each.token == token), None)
            if record is not None:
                _check(token, record.asked, asked)
                return self._created(record)
            begun = self._begun[token] = (asked, asyncio.ensure_future(create(asked)))
            end = asyncio.create_task(self._forget(token, begun[1]))
            self._ends.add(end)
            end.add_done_callback(self._ends.discard)
        _check(token, begun[0], asked)
        return await asyncio.shield(begun[1])

    async def _forget(self, token: str, creating: asyncio.Task[Operation]) -> None:
        """From its end on, a creation is told from the record."""
        try:
            with contextlib.suppress(Exception):  # whoever asked has it
                await self._join((await asyncio.shield(creating)).id)
        finally:
            self._begun.pop(token, None)

    async def close(self) -> None:
        """Forget all; the creations are the engine's."""
        for end in list(self._ends):
            end.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)


def _check(token: str, known: str, asked: str) -> None:
    if known != asked:
        raise errors.TokenReused(token=token)

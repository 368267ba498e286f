"""What is left over, for the daemon's start and for the doctor: found, and cleared away (`orphans`)."""

import logging
from collections.abc import Awaitable, Callable

from banger.api.daemon import Leftover
from banger.api.operation import Operation
from banger.engine.engine import Engine
from banger.vms import attaching, orphans
from banger.vms.orphans import Changes, Orphan
from banger.vms.parts import Parts
from banger.vms.record import VmRecord

log = logging.getLogger("banger.vms")


class Leftovers:
    """Of one daemon. ``under_way`` tells of the change that a machine is in the middle of; ``take_over`` is told of
    every machine that is entered again while the daemon serves."""

    def __init__(
        self,
        parts: Parts,
        engine: Engine,
        under_way: Callable[[VmRecord], Operation | None],
        take_over: Callable[[VmRecord], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._engine = engine
        self._under_way = under_way
        self._take_over = take_over

    async def found(self) -> list[Leftover]:
        """What there is, and what would be done about it. Raises what asking root raises."""
        return [each.told for each in await self._orphans()]

    async def clear(self) -> list[Leftover]:
        """Do it; what came of each. Raises as `found`."""
        machines = self._parts.machines
        known = {each.id for each in machines.all()}
        came = await orphans.clear(await self._orphans())
        entered = [each for each in machines.all() if each.id not in known]
        if entered and (refusal := await attaching.recover(self._parts)):
            log.error("machines that were found again have no network: %s", refusal)
        for record in entered:
            if not self._changing(record.id):
                await self._take_over(record)
        return came

    async def _orphans(self) -> list[Orphan]:
        return await orphans.find(self._parts, Changes(self._changing, self._engine.oldest))

    def _changing(self, vm_id: str) -> bool:
        """Whether a machine is in the middle of a change, its own or the one that it works for."""
        record = self._parts.machines.get(vm_id)
        change = self._engine.under_way(vm_id) if record is None else self._under_way(record)
        return change is not None

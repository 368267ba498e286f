"""Tasks that bind the ports which a machine publishes.

They are bound before anything else of a start, so that one that is taken costs nobody a boot, and freed with all that
the host holds for a machine (`ending.switch_off`). A daemon that dies frees them; the next one binds them again for the
machines that run (`again`), and where it cannot, says so and goes on trying: nothing else of the machine depends on it.
"""

from collections.abc import Collection, Sequence

from banger.api.port import Forward
from banger.engine.change import Report
from banger.vms import published, resolving
from banger.vms.forwards import Targets
from banger.vms.parts import Made, Parts, Step
from banger.vms.published import Place, Published
from banger.vms.record import VmRecord


class Publish(Step):
    """Every port on the machine's record."""

    name = "ports"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("ports", f"of vm {vm_id}")

    async def do(self, report: Report) -> None:
        report.stage("binding the published ports")
        record = self.parts.need(self.vm_id)
        await self.parts.forwards.publish(record.id, *targets(record))
        warn(report, record.publish)

    async def undo(self, report: Report) -> None:
        await self.parts.forwards.release(self.vm_id)


class Republish(Step):
    """What is published of a machine that runs becomes something else; of one that does not, with its next start."""

    name = "ports"

    def __init__(self, parts: Parts, vm_id: str, before: Sequence[Published], after: Sequence[Published]) -> None:
        super().__init__(parts, vm_id)
        self.before, self.after = before, after

    async def do(self, report: Report) -> None:
        record = self.parts.need(self.vm_id)
        if record.handle is not None:
            report.stage("binding the published ports")
            await self.parts.forwards.publish(record.id, *targets(record, self.after))
        warn(report, set(self.after) - set(self.before))

    async def undo(self, report: Report) -> None:
        record = self.parts.machines.get(self.vm_id)
        if record is not None and record.handle is not None:
            await self.parts.forwards.publish_again(record.id, *targets(record, self.before))


async def again(parts: Parts, record: VmRecord) -> None:
    """Bind what a machine publishes that an earlier daemon has started."""
    if record.publish:
        await parts.forwards.publish_again(record.id, *targets(record))


def targets(record: VmRecord, publish: Collection[Published] | None = None) -> tuple[Targets, Targets]:
    """Where the ports are to be bound, and where else they are if they can be."""
    publish = record.publish if publish is None else publish
    return {each.place: each.guest for each in publish}, published.places(publish, resolving.own(record))


def warn(report: Report, publish: Collection[Published]) -> None:
    """Say aloud what other hosts may reach."""
    for each in sorted(publish, key=lambda each: (each.port, each.address)):
        if each.place.open:
            report.notice(f"{each.place} is open to other hosts, and leads to port {each.guest} of the machine")


def view(parts: Parts, record: VmRecord) -> list[Forward]:
    """What a machine publishes, as clients see it."""
    return [
        Forward(
            address=each.address, port=each.port, guest=each.guest,
            error=parts.forwards.problem(record.id, each.place),
        )
        for each in record.publish
    ]  # fmt: skip


def forwarded(parts: Parts, record: VmRecord) -> list[Forward]:
    """All that leads into a machine that runs, published or held, and what is published and cannot be bound."""
    bound = parts.forwards.bound(record.id)
    there = [Forward(address=place.address, port=place.port, guest=guest) for place, guest in bound.items()]
    return [*there, *(each for each in view(parts, record) if Place(each.address, each.port) not in bound)]

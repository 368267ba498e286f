"""The change ``image.build``: which tasks, in which order. It is undone when it fails, and when its daemon dies.

On a base image::

    stage  machine-reserve  machine-image  base  look-up
    machine-kernel  machine-disk  machine-initrd  machine-monitor  machine-agent
    packages  recipe-files  commands  clean
    machine-power-off  machine-switch-off  flatten  machine-files  machine-row
    build  seed  publish  row

The machine is gone before the image appears, and its row holds the base image until then.
"""

from collections.abc import Sequence

import msgspec

from banger.api.recipe import Built
from banger.builds import disk, guest, suite
from banger.builds.steps import Always, LookUp, Stage, Step, Unless
from banger.builds.work import Work
from banger.engine.change import Kind, Report, Spec, Task
from banger.images import making
from banger.images.making import Wanted
from banger.images.record import ImageRecord
from banger.images.service import ImageService
from banger.paths import Paths
from banger.store.records import Records
from banger.vms.record import VmRecord
from banger.vms.workers import Workers

BUILD = "image.build"
POWER_OFF_TIMEOUT = 60.0


class Building(msgspec.Struct, frozen=True, kw_only=True):
    """Spec of ``image.build``. ``worker`` is the machine of a build on a base image."""

    wanted: Wanted
    built: Built
    force: bool = False
    worker: VmRecord | None = None


class Base(Step):
    """What the base image is, now that it is here and held by the machine's row."""

    name = "base"

    def __init__(self, work: Work, workers: Workers, vm_id: str) -> None:
        super().__init__(work)
        self.workers = workers
        self.vm_id = vm_id

    async def do(self, report: Report) -> None:
        work = self.work
        work.base = base = self.workers.image(self.vm_id)
        work.built = msgspec.structs.replace(work.built, base=base.name, base_digest=base.digest)


def kind(records: Records[ImageRecord], workers: Workers, paths: Paths, images: ImageService) -> Kind:
    """The change, as the engine knows it."""

    def plan(spec: Spec) -> Sequence[Task]:
        asked = msgspec.convert(spec, Building)
        wanted = asked.wanted
        if wanted.present:
            return [making.Present(wanted, records, paths)]
        work = Work(wanted, asked.built, paths, images)
        look_up = LookUp(work, records, asked.force)
        if asked.worker is None:
            made = [look_up, *suite.tasks(work, records, paths)]
        else:
            vm_id = asked.worker.id
            made = [
                *(Always(work, task) for task in workers.reserving(asked.worker)),
                Base(work, workers, vm_id),
                look_up,
                *(Unless(work, task) for task in workers.starting(asked.worker)),
                *(step(work, workers, vm_id) for step in (guest.Packages, guest.Files, guest.Commands, guest.Clean)),
                *(Unless(work, task) for task in workers.ending(vm_id, POWER_OFF_TIMEOUT)),
                disk.Flatten(work, workers, vm_id, paths),
                *(Always(work, task) for task in workers.removing(vm_id)),
                disk.TakeOver(work, records, paths),
            ]
        finish = [
            making.Seed(wanted, records, paths, images.seeds),
            making.Publish(wanted, records, paths),
            making.Enter(wanted, records, paths, images.check_unused),
        ]
        return [Stage(work, paths), *made, *finish]

    return Kind(BUILD, plan)

"""Building images: the request is judged, what it brings is put where its change finds it, and the change begins."""

import asyncio
import contextlib
import os
import shutil

import msgspec

from banger import errors
from banger.api.image import ImageConfig
from banger.api.operation import Operation
from banger.api.recipe import BuildImage, Built
from banger.api.vm import CreateVm
from banger.builds import payload, plans, recipe
from banger.builds.plans import Building
from banger.builds.work import files_path
from banger.config.settings import Config
from banger.engine.change import Spec
from banger.engine.engine import Engine
from banger.images import sources
from banger.images.making import Wanted
from banger.images.record import ImageRecord
from banger.images.service import ImageService
from banger.oci import debian
from banger.paths import Paths
from banger.store.records import Records
from banger.vms.service import VmService


class BuildService:
    """The builds of one daemon."""

    def __init__(
        self,
        engine: Engine,
        records: Records[ImageRecord],
        images: ImageService,
        vms: VmService,
        paths: Paths,
        settings: Config,
    ) -> None:
        self._records = records
        self._images = images
        self._workers = vms.workers
        self._paths = paths
        self._settings = settings
        engine.register(plans.kind(records, vms.workers, paths, images))

    async def build(self, request: BuildImage) -> Operation:
        """Raises, before anything exists, whatever is wrong with the request."""
        built = recipe.check(request, self._settings.debian_mirror)
        if built.suite:
            wanted = self._images.propose(request.name, "debian", f"debian:{built.suite}", request.size)
            debian.check(built.suite, built.packages)
        else:
            wanted = self._images.propose(request.name, "build", f"build:{built.base}", request.size)
            self._check_base(wanted.name, built.base)
        building = Building(wanted=self._placed(wanted, built, request.force), built=built, force=request.force)
        if building.wanted.present:
            return self._begin(building)
        if built.suite:
            debian.check_host()
        else:
            machine = CreateVm(name=f"build-{wanted.id[:8]}", image=built.base, disk_size=request.size)
            worker = await self._workers.decide(machine, self._images.subject(wanted.name))
            building = msgspec.structs.replace(building, worker=worker)
        files = files_path(self._paths, wanted.id)
        try:
            await asyncio.to_thread(payload.write, files, request.files)
            return self._begin(building)
        except BaseException:
            shutil.rmtree(os.path.dirname(files), ignore_errors=True)
            raise

    def _begin(self, building: Building) -> Operation:
        spec: Spec = msgspec.to_builtins(building)
        machine = self._workers.wish(building.worker) if building.worker is not None else None
        return self._images.begin(plans.BUILD, building.wanted, spec, machine)

    def _check_base(self, name: str, base: str) -> None:
        """An image that is to be pulled for a build cannot have the name of what is built."""
        if self._images.expect(base) is None and base == name:
            raise errors.UsageError(detail=f"there is no image {base} yet to build on: choose another name")

    def _placed(self, wanted: Wanted, built: Built, force: bool) -> Wanted:
        """With the name's image in mind: built alike, it stays; otherwise only ``force`` takes the name over."""
        present = self._records.by_name(wanted.name)
        if present is None or force:
            return wanted
        config = ImageConfig()
        if built.base:
            with contextlib.suppress(errors.NotFound):
                base = self._images.find(built.base)
                built, config = msgspec.structs.replace(built, base_digest=base.digest), base.config
        if present.key != recipe.key(built, wanted.size, sources.WRITER, config):
            taken = errors.AlreadyExists(kind="image", name=wanted.name)
            taken.advise("--force builds anew and takes the name; machines of the old image keep it")
            raise taken
        return msgspec.structs.replace(wanted, present=True)

"""The parts of one daemon, put together once and taken apart in reverse.

Order matters: services register their kinds of changes with the engine, the engine recovers what an earlier daemon
left, and only then do the services look at what is there.
"""

import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from banger import errors
from banger.config.settings import Config
from banger.daemon.doctor import Doctor
from banger.daemon.services import Services
from banger.engine.engine import Engine
from banger.paths import Paths
from banger.store.database import Database

if TYPE_CHECKING:
    from banger.daemon.names import Names
    from banger.privileged.runner import Privileged
    from banger.vms.record import Machines

LOG = logging.getLogger("banger.daemon")

Wire = Callable[[Paths, Config], Awaitable[Services]]


async def wire(paths: Paths, config: Config) -> Services:
    """A daemon's services, with everything recovered."""
    from banger.builds.service import BuildService
    from banger.guest.assets import agent_path
    from banger.images.record import ImageRecord
    from banger.images.service import ImageService
    from banger.kernels.service import KernelService
    from banger.privileged import runner
    from banger.store.records import Records
    from banger.vmm import drivers
    from banger.vms.record import Machines, VmRecord
    from banger.vms.service import VmService

    database = open_store(paths)
    try:
        engine = Engine(database)
        privileged = runner.choose(paths.state)
        meant = "firecracker" if paths.system else "qemu"
        known = drivers.Drivers(paths.probe_cache, config.driver, privileged, meant)
        records = Records(database, "images", ImageRecord)
        images = ImageService(engine, records, paths, config, agent=agent_path())
        kernels = KernelService(engine, paths, config, agent=agent_path())
        machines = Records(database, "vms", VmRecord)
        names = _names(config, Machines(machines), privileged)
        vms = VmService(
            engine=engine,
            records=machines,
            images=images,
            kernels=kernels,
            drivers=known,
            paths=paths,
            settings=config,
            privileged=privileged,
            network=names.network,
        )
        builds = BuildService(engine, records, images, vms, paths, config)
        await vms.find_lost()
        await engine.recover()
        images.recover()
        kernels.recover()
        await vms.recover()
        _configure_ssh(paths, config, Machines(machines))
        await names.start()
    except BaseException:
        database.close()
        raise
    return Services(
        paths=paths,
        config=config,
        engine=engine,
        vms=vms,
        images=images,
        builds=builds,
        kernels=kernels,
        names=names,
        doctor=Doctor(paths, config, known, images, kernels, names, vms, images.admission),
        started=time.time(),
        close=database.close,
    )


def _configure_ssh(paths: Paths, config: Config, machines: "Machines") -> None:
    """Write down how ssh(1) reaches machines, and which it knows; where that cannot be, all else works."""
    from banger.ssh import client
    from banger.vms import known

    known.tell(paths, machines)
    try:
        client.write_configuration(paths, config)
    except errors.BangerError as failed:
        LOG.warning("ssh is not configured for machines: %s", failed.message)


def _names(config: Config, machines: "Machines", privileged: "Privileged | None") -> "Names":
    """The DNS server, and the guests' network where somebody can make one."""
    from banger.daemon.names import Names
    from banger.net.service import GuestNetwork
    from banger.vms import resolving

    guests = privileged.host.network.network if privileged is not None else None
    names = Names(config, resolving.zone(machines, guests))
    if privileged is not None:
        names.network = GuestNetwork(
            privileged,
            names.server,
            port=config.dns_port,
            upstream=config.default_dns,
            pool_size=config.tap_pool_size,
            taken=machines.slots,
        )
    return names


def open_store(paths: Paths) -> Database:
    """The store of an installation; its directories are made when they are missing.

    Raises `errors.UnsafeDirectory` for a directory that is not ours, and what `Database` raises.
    """
    for directory in (paths.state, paths.cache):
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise errors.UnsafeDirectory(path=directory, reason=error.strerror or str(error)) from None
        owner = os.stat(directory).st_uid
        if owner != os.geteuid():
            raise errors.UnsafeDirectory(path=directory, reason=f"it belongs to uid {owner}")
    return Database(paths.database)


async def unwire(services: Services) -> None:
    """Let go of everything; machines go on, and changes under way are left to the next daemon."""
    await services.engine.close()
    await services.vms.close()
    await services.names.close()
    services.close()

"""The doctor: what this host has of what banger needs, and the exact step that mends what is missing.

One row is one function of `ROWS`; rows about the system installation and its host are in `banger.daemon.checks`. A
``fail`` keeps machines from running; a ``warn`` is something that the owner should know. A row that itself fails is a
``fail`` that says so: the report always has every row.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec.structs import replace

import banger
from banger import errors, proc
from banger.admission.ledger import Admission
from banger.api.daemon import Check, Report
from banger.api.vm import Vm
from banger.config.settings import Config
from banger.config.sizes import GIB, format_size
from banger.daemon.checks import Found, host, monitors, own, posture, sizes
from banger.daemon.names import Names
from banger.daemon.services import Images, Kernels, Leftovers
from banger.disk.roots import strategy as roots
from banger.disk.roots.all import for_devices, for_files
from banger.engine.failure import error_body
from banger.guest.assets import agent_path
from banger.oci import subids
from banger.paths import Paths
from banger.system import record
from banger.vmm.driver import Availability, Driver
from banger.vmm.drivers import Drivers

SPACE_LEAST = 2 * GIB
SPACE_COMFORTABLE = 10 * GIB
SHOWN = 5
"""Most things left over that are named in their row; `--fix` names all."""


class Machines(Protocol):
    """The machines, as far as the doctor asks."""

    @property
    def leftovers(self) -> Leftovers: ...

    def list(self) -> Sequence[Vm]: ...


class Doctor:
    """Examines the host for one installation."""

    def __init__(
        self,
        paths: Paths,
        config: Config,
        drivers: Drivers,
        images: Images,
        kernels: Kernels,
        names: Names,
        machines: Machines,
        admission: Admission,
    ) -> None:
        self.paths = paths
        self.config = config
        self.drivers = drivers
        self.images = images
        self.kernels = kernels
        self.names = names
        self.machines = machines
        self.leftovers = machines.leftovers
        self.admission = admission
        self.driver: Driver
        self._availability: asyncio.Future[Availability] | None = None

    async def report(self) -> Report:
        """All rows, in the order of the tables."""
        self.driver = await self.drivers.choose()
        self._availability = asyncio.ensure_future(self.driver.availability())
        rows = {**ROWS, **installation(self.paths)}
        checks = await asyncio.gather(*(self._row(name, row) for name, row in rows.items()))
        return Report(checks=list(checks), version=str(banger.__version__))

    async def fix(self) -> Report:
        """Clear away what is left over, then look. Raises what asking root raises."""
        fixed = await self.leftovers.clear()
        return replace(await self.report(), fixed=fixed)

    async def _row(self, name: str, row: "Row") -> Check:
        try:
            status, detail, mend = await row(self)
        except Exception as error:
            body = error_body(error)
            status, detail, mend = "fail", body.message, body.hint
        return Check(name=name, status=status, detail=detail, mend=mend)

    async def availability(self) -> Availability:
        """What the driver says of itself; asked once a report."""
        assert self._availability is not None
        return await asyncio.shield(self._availability)


def _tool(name: str, status: Literal["warn", "fail"], without: str) -> Callable[[Doctor], Awaitable[Found]]:
    """A row for a host tool. ``without`` says what does not work when it is missing."""

    async def row(doctor: Doctor) -> Found:
        try:
            return "pass", proc.find(name), ""
        except errors.ToolMissing as missing:
            return status, f"{missing.message}: {without}", missing.advice.removeprefix("install it: ")

    return row


async def _monitor(doctor: Doctor) -> Found:
    found = await doctor.availability()
    if found.usable:
        return "pass", f"{doctor.driver.name}: {found.reason}", ""
    return "fail", f"{doctor.driver.name}: {found.reason}", found.mend


async def _advisories(doctor: Doctor) -> Found:
    found = await doctor.availability()
    if found.warnings:
        return "warn", "; ".join(found.warnings), "sudo banger firecracker install"
    return "pass", f"none is known of this {doctor.driver.name}", ""


async def _isolation(doctor: Doctor) -> Found:
    found = await doctor.availability()
    if not found.usable:
        return "warn", "unknown: no monitor is usable", "see the row of the monitor"
    if found.features.accelerated:
        return "pass", "guests are separated from the host by the processor's virtualisation", ""
    return (
        "warn",
        "guests run in the emulator, which is slow and no security boundary: run no code here that you do not trust",
        "give this host a working /dev/kvm (nested virtualisation, or a bare-metal machine)",
    )


async def _subordinate_ids(doctor: Doctor) -> Found:
    if os.geteuid() == 0:
        return "pass", "not needed by root", ""
    try:
        subids.require()
    except errors.SubordinateIdsMissing as missing:
        return "warn", missing.message, missing.advice
    return "pass", "enough to build Debian images", ""


async def _set_aside(doctor: Doctor) -> Found:
    directory = doctor.paths.set_aside
    found = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    if not found:
        return "pass", "no disk is without an owner", ""
    return "warn", f"disks whose machine is not on record: {', '.join(found)}", f"look at them, then: rm -r {directory}"


async def _left_over(doctor: Doctor) -> Found:
    """What no record tells of; those that are the owner's to decide about have no command."""
    found = await doctor.leftovers.found()
    if not found:
        return "pass", "nothing is left over", ""
    shown = [f"{each.kind} {each.name}: {each.reason}" for each in found[:SHOWN]]
    more = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    mend = "banger doctor --fix" if any(each.remedy for each in found) else f"look at it: {found[0].name}"
    return "warn", "; ".join([*shown, *more]), mend


async def _space(doctor: Doctor) -> Found:
    free = shutil.disk_usage(doctor.paths.state).free
    detail = f"{format_size(free)} free below {doctor.paths.state}"
    if free < SPACE_LEAST:
        return (
            "fail",
            f"{detail}; an image takes 1 to 2 GiB",
            "free some space, or set BANGER_STATE_DIR to a larger disk",
        )
    if free < SPACE_COMFORTABLE:
        return (
            "warn",
            detail,
            "free some space: 'banger df' shows what takes it, 'banger vm prune' deletes what is stopped",
        )
    return "pass", detail, ""


async def _runtime_directory(doctor: Doctor) -> Found:
    return _owned(doctor.paths.runtime, 0o077)


async def _state_directory(doctor: Doctor) -> Found:
    return _owned(doctor.paths.state, 0o022)


def _owned(path: str, forbidden: int) -> Found:
    """A row for a directory that must be ours, without the permissions in ``forbidden``."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        return "fail", f"{path} is not a directory", f"rm {path}"
    if found.st_uid != os.geteuid():
        return "fail", f"{path} belongs to uid {found.st_uid}", f"sudo chown {os.geteuid()} {path}"
    if found.st_mode & forbidden:
        return "fail", f"{path} has mode {stat.S_IMODE(found.st_mode):04o}", f"chmod go-rwx {path}"
    return "pass", f"{path} (mode {stat.S_IMODE(found.st_mode):04o})", ""


async def _roots(doctor: Doctor) -> Found:
    """How machines' disks are made here, and why not otherwise."""
    devices = (await doctor.availability()).features.jail
    possible = for_devices(doctor.drivers.privileged) if devices else for_files()
    verdicts = await roots.judge(possible, doctor.paths.images, doctor.paths.vms)
    chosen = roots.choose(verdicts, doctor.config.root_strategy)
    against = "; ".join(f"not {each.name}: {reason}" for each, reason in verdicts if reason is not None)
    detail = f"{chosen.name}: {chosen.summary}" + (f" ({against})" if against else "")
    if chosen.name == "copy" and doctor.config.root_strategy == "auto":
        return "warn", detail, "put the state directory on btrfs or xfs, whose files can share blocks"
    return "pass", detail, ""


async def _kernel(doctor: Doctor) -> Found:
    found = doctor.kernels.list()
    if found:
        return "pass", ", ".join(f"{each.name} ({each.release})" for each in found), ""
    return "warn", "there is no kernel yet; the first machine fetches one", "banger kernel pull"


async def _image(doctor: Doctor) -> Found:
    name = doctor.config.default_image
    names = [each.name for each in doctor.images.list()]
    if name in names:
        return "pass", f"{name} and {len(names) - 1} more" if len(names) > 1 else name, ""
    if name in [each.name for each in doctor.images.catalog().entries]:
        return "pass", f"{name} is in a catalog; the first machine fetches it", ""
    detail = f"the default image {name} is neither here nor in a catalog"
    return "warn", detail, f"banger image pull {name}, or set default_image in config.toml"


async def _work_seeds(doctor: Doctor) -> Found:
    """Images whose machines begin with an empty /root, because the image's own cannot be read."""
    faults = await doctor.images.seed_faults()
    if not faults:
        return "pass", "every image can give its machines its own /root", ""
    detail = "; ".join(f"{name}: {reason}" for name, reason in faults.items())
    return "warn", f"machines begin with an empty /root: {detail}", "pull or import the image again"


async def _network_rules(doctor: Doctor) -> Found:
    return await doctor.names.rules()


async def _names(doctor: Doctor) -> Found:
    return await doctor.names.row()


async def _ssh(doctor: Doctor) -> Found:
    return own.ssh(doctor.paths)


async def _version(doctor: Doctor) -> Found:
    return own.version(_record(doctor.paths))


async def _architecture(doctor: Doctor) -> Found:
    return own.architecture()


async def _agent(doctor: Doctor) -> Found:
    return own.guest_agent(agent_path())


async def _store(doctor: Doctor) -> Found:
    return await asyncio.to_thread(own.store, doctor.paths.database)


async def _promises(doctor: Doctor) -> Found:
    return own.promises(doctor.admission.facts(), doctor.admission.limits)


def _of_monitors(row: monitors.Row) -> "Row":
    """A row about the machines that run."""

    async def look(doctor: Doctor) -> Found:
        running = [each for each in doctor.machines.list() if each.pid is not None]
        return await asyncio.to_thread(row, running, _record(doctor.paths), "/")

    return look


def _of_config(row: Callable[[Config], Found]) -> "Row":
    async def look(doctor: Doctor) -> Found:
        return row(doctor.config)

    return look


def _record(paths: Paths) -> record.Record | None:
    """Of the system installation, where this is its daemon."""
    return record.read() if paths.system else None


Row = Callable[[Doctor], Awaitable[Found]]

ROWS: dict[str, Row] = {
    "version": _version,
    "architecture": _architecture,
    "monitor": _monitor,
    "advisories": _advisories,
    "isolation": _isolation,
    "qemu-img": _tool("qemu-img", "fail", "machines cannot have disks"),
    "e2fsck": _tool("e2fsck", "fail", "file systems cannot be checked"),
    "debugfs": _tool("debugfs", "fail", "images cannot be made"),
    "skopeo": _tool("skopeo", "warn", "images cannot be pulled from registries"),
    "mmdebstrap": _tool("mmdebstrap", "warn", "Debian images cannot be built"),
    "newuidmap": _tool("newuidmap", "warn", "Debian images cannot be built without root"),
    "subordinate ids": _subordinate_ids,
    "guest agent": _agent,
    "machines' disks": _roots,
    "disk space": _space,
    "promises": _promises,
    "runtime directory": _runtime_directory,
    "state directory": _state_directory,
    "store": _store,
    "set aside": _set_aside,
    "left over": _left_over,
    "kernel": _kernel,
    "default image": _image,
    "work seeds": _work_seeds,
    "names": _names,
    "network rules": _network_rules,
    "ssh": _ssh,
    **{name: _of_monitors(row) for name, row in monitors.ROWS.items()},
    **{name: _of_config(row) for name, row in sizes.ROWS.items()},
}
"""Every row by its name, in the order of the report."""


def installation(paths: Paths) -> dict[str, Row]:
    """The rows of the system installation and of the host that it is for; or the one that says that there is none."""
    if not paths.system:
        return {"system installation": lambda doctor: posture.absent()}
    found = record.read()
    assert found is not None, "the record has gone while it was looked at"
    return {name: _of_record(row, found) for name, row in posture.ROWS.items()} | {
        name: _of_host(row, found) for name, row in host.ROWS.items()
    }


def _of_record(row: Callable[[record.Record], Awaitable[Found]], found: record.Record) -> Row:
    return lambda doctor: row(found)


def _of_host(row: Callable[[record.Record], Found], found: record.Record) -> Row:
    async def look(doctor: Doctor) -> Found:
        return row(found)

    return look

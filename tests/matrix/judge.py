"""What is wrong with an installation, without asking its daemon: records against what there is, disks by tools."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from banger import proc
from banger.disk import work_disk
from banger.images.record import RECORD, ROOTFS, ImageRecord
from banger.kernels.kernel import RECORD as KERNEL_RECORD
from banger.store.operations import Operations
from banger.store.records import Records
from banger.vms.record import VmRecord
from tests import debian_archive, leaks

if TYPE_CHECKING:
    from tests.matrix.witness import Witness
    from tests.matrix.world import World

KEPT = b"what the guest wrote is here\n"
LISTEN = "0A"
"""A state of /proc/net/tcp."""

TOOLS = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Failed(AssertionError):
    """The matrix cannot go on from here: the world is in no state to begin the next combination from."""


def rest(world: "World") -> list[str]:
    """What is on record and not there, and what is there and not on record."""
    machines = world.machines()
    running = [each.id for each in machines if each.state == "running"]
    return [
        *records(world),
        *_processes(world, machines),
        *same("runtime directories", names(f"{world.paths.runtime}/vms"), running),
        *same("temporary files", names(str(world.temporary)), []),
        *same("of the runtime directory", names(world.paths.runtime), _runtime_names(world)),
    ]


def records(world: "Witness") -> list[str]:
    """The part of it that every installation has."""
    with world.store() as database:
        operations = Operations(database)
        unended = [f"{each.operation.kind} has not ended" for each in operations.unended()]
        left = debian_archive.left(operations)
        images = Records(database, "images", ImageRecord).list()
    machines = world.machines()
    return [
        *unended,
        *same("what mmdebstrap works in", left, []),
        *same("machine directories", names(world.paths.vms), [each.id for each in machines]),
        *same("hosts known to ssh", _known(world), [each.name for each in machines if each.host_key]),
        *same("image directories", names(world.paths.images), [each.id for each in images]),
        *same("staging", names(world.paths.staging), []),
        *same("of the cache of downloads", names(world.paths.oci_cache, "lock", "oci-layout", "index.json"), [],
               ["blobs"]),
        *(f"image {each.name} is not whole" for each in images if not _whole(world, each)),
        *(f"{each.name} has no work disk" for each in machines if each.work_disk_size and not os.path.exists(
            os.path.join(world.paths.vm(each.id), work_disk.NAME))),
        *_ports(world, machines),
        *(f"kernel {each} is not whole" for each in names(world.paths.kernels)
          if not os.path.exists(f"{world.paths.kernels}/{each}/{KERNEL_RECORD}")),
    ]  # fmt: skip


def _ports(world: "Witness", machines: list[VmRecord]) -> list[str]:
    """What machines that run publish is listened on, and their port by nobody else."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {int(line[1].partition(":")[2], 16) for line in lines if line[3] == LISTEN}
    published = {each.port for machine in machines if machine.state == "running" for each in machine.publish}
    return [
        *(f"nobody listens on the published port {port}" for port in published - listening),
        *(f"somebody listens on port {port}" for port in ({world.port} & listening) - published),
    ]


def _known(world: "Witness") -> list[str]:
    """The machines whose host keys ssh believes."""
    if not os.path.exists(world.paths.known_hosts):
        return []
    with open(world.paths.known_hosts, encoding="ascii") as file:
        return sorted(line.split(".vm ")[0] for line in file)


def _runtime_names(world: "World") -> list[str]:
    there = ["vms"] if os.path.isdir(f"{world.paths.runtime}/vms") else []
    return [*there, "bangerd.lock", *(["bangerd.sock"] if world.pid else [])]


def _whole(world: "Witness", image: ImageRecord) -> bool:
    needed = [RECORD] if image.path else [RECORD, ROOTFS]
    return all(os.path.exists(os.path.join(world.paths.image(image.id), name)) for name in needed)


def _processes(world: "World", machines: list[VmRecord]) -> list[str]:
    """Below this process: the daemon, and the monitors of machines that run, each with what it started itworld."""
    found = []
    expected = {world.pid, *world.allowed}
    for each in machines:
        if (each.handle is not None) != (each.state == "running"):
            found.append(f"{each.name} is {each.state}, its handle {each.handle}")
        if each.handle is not None:
            expected.add(each.handle.pid)
            if not proc.alive(proc.Identity(each.handle.pid, each.handle.start_ticks)):
                found.append(f"{each.name} is {each.state}, and its process is gone")
    for child in leaks.children(os.getpid()):
        process = leaks.process_of(child)
        if child not in expected and process is not None:
            found.append(f"process {child}: {process.command}")
    return found


def disk(world: "World", machine: VmRecord) -> list[str]:
    """What is wrong with the disks of a machine that does not run: by the tools, and by what they are to hold."""
    source = os.path.join(world.paths.vm(machine.id), "disk.qcow2")
    with tempfile.TemporaryDirectory(dir=world.directory) as place:
        raw, work = os.path.join(place, "disk"), os.path.join(place, "work")
        tool("qemu-img", "check", "-q", source)
        tool("qemu-img", "convert", "-O", "raw", source, raw)
        tool("cp", "--sparse=always", os.path.join(world.paths.vm(machine.id), work_disk.NAME), work)
        written = machine.id in world.written
        return [*file_system(raw, written), *(f"work disk: {each}" for each in file_system(work, written))]


def file_system(raw: str, written: bool) -> list[str]:
    """What is wrong with one of a machine's, in a file or a device; ``written``: it holds the file."""
    replayed = tool("e2fsck", "-fp", raw, accept=(0, 1))  # the journal, as the next start does it
    whole = tool("e2fsck", "-fn", raw, accept=(0, 4, 8, 12))
    kept = tool("debugfs", "-R", "cat /kept", raw)
    faults = [] if whole.returncode == 0 else [f"e2fsck: {replayed.stdout}{whole.stdout}"]
    if written and kept.stdout != KEPT.decode():
        faults.append(f"the file is {kept.stdout!r}")
    return faults


def tool(*argv: str, accept: tuple[int, ...] = (0,)) -> "subprocess.CompletedProcess[str]":
    """Run a program. Raises `Failed` where its status is none of these."""
    done = subprocess.run(argv, env=TOOLS, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in accept:
        raise Failed(f"{argv[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def names(directory: str, *left_out: str) -> list[str]:
    """What a directory holds, if it is there."""
    return sorted(set(os.listdir(directory)) - set(left_out)) if os.path.isdir(directory) else []


def same(what: str, found: list[str], *allowed: list[str]) -> list[str]:
    """What is there, unless it is what may be."""
    if any(sorted(found) == sorted(each) for each in allowed):
        return []
    return [f"{what}: {', '.join(found) or 'none'} instead of {', '.join(sorted(allowed[0])) or 'none'}"]

"""An installation as its owner sees it: verbs, what is on record, what is there; asked of its daemon and of its disk.

What starts and ends the daemon is not here: a `World` forks one after another, a host has one as a service (`jailed`).
"""

import contextlib
import io
import os
import random
import socket
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from banger.api.operation import Operation
from banger.api.vm import CreateVm
from banger.images.record import ImageRecord
from banger.paths import Paths
from banger.sdk.client import Client
from banger.store.database import Database
from banger.store.operations import Operations
from banger.store.records import Records
from banger.vms.record import VmRecord
from tests.installation import MIB
from tests.matrix.judge import KEPT, Failed

IMAGE, MACHINE = "tiny", "one"
MEMORY = 192 * MIB
PATIENCE = 20.0
"""How long what is about to end may take to be gone."""


def free_port() -> int:
    """One that nothing has, and that no connection is given by the kernel."""
    for port in random.sample(range(20000, 30000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Failed("this host has no port left")


class Witness(ABC):
    """``directory`` is for what scenarios bring along."""

    patience = PATIENCE

    def __init__(self, directory: Path, paths: Paths, driver: str) -> None:
        self.directory = directory
        self.paths = paths
        self.driver = driver
        self.written: set[str] = set()
        """Machines whose disk holds the file `KEPT`."""
        self.port = free_port()
        """For machines to publish."""
        self.client = Client(paths.socket, start=False, timeout=240)

    # -- daemons ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """A daemon, which answers."""

    @abstractmethod
    def said(self, size: int = 2000) -> str:
        """The end of what the daemons have logged."""

    @abstractmethod
    def rest(self) -> list[str]:
        """What is on record and not there, and what is there and not on record."""

    @abstractmethod
    def disk(self, machine: VmRecord) -> list[str]:
        """What is wrong with the disk of a machine that does not run."""

    # -- verbs --------------------------------------------------------------------------------------------------------

    def done(self, operation: Operation) -> Operation:
        """Wait for the end of a change; raises its error."""
        return self.client.result(self.client.wait(operation))

    def quiet(self) -> None:
        """Wait until nothing is under way."""
        deadline = time.monotonic() + 6 * self.patience
        while any(not each.ended for each in self.client.operation_list().operations):
            if time.monotonic() > deadline:
                raise Failed(f"a change does not end: {self.said()}")
            time.sleep(0.02)

    def create(self, name: str = MACHINE, image: str = IMAGE) -> Operation:
        return self.client.vm_create(CreateVm(name=name, image=image, memory=MEMORY))

    def machine(self, state: str) -> None:
        """See to it that the machine is in that state (``absent``, ``running``, ``stopped``), with what it keeps."""
        found = {each.name: each.state for each in self.client.vm_list().vms}.get(MACHINE, "absent")
        if state == "absent":
            if found != "absent":
                self.done(self.client.vm_delete(MACHINE))
            return
        if found == "absent":
            self.done(self.create())
            self._write()
            found = "running"
        if found != "running" and state == "running":
            self.done(self.client.vm_start(MACHINE))
        elif found == "running" and state == "stopped":
            self.done(self.client.vm_stop(MACHINE, 20))

    def _write(self) -> None:
        """A file that has reached the disk: the machine is powered off in order, and started again."""
        if self.driver == "fake":
            return  # its guest's files would be this host's
        self.put_kept()
        self.done(self.client.vm_stop(MACHINE, 20))
        self.done(self.client.vm_start(MACHINE))

    def put_kept(self) -> None:
        """Write the file in the machine, for the judge to look for."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name in ("kept", "root/kept"):  # on its root, and on its work disk
                entry = tarfile.TarInfo(name)
                entry.size = len(KEPT)
                tar.addfile(entry, io.BytesIO(KEPT))
        self.client.vm_put(MACHINE, "/", out.getvalue())
        self.written.add(self.client.vm_show(MACHINE).id)

    # -- what there is ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def store(self) -> Iterator[Database]:
        """The database, read beside the daemon."""
        database = Database(self.paths.database, read_only=True)
        try:
            yield database
        finally:
            database.close()

    def machines(self) -> list[VmRecord]:
        with self.store() as database:
            return Records(database, "vms", VmRecord).list()

    def facts(self) -> frozenset[str]:
        """What an owner would see."""
        with self.store() as database:
            images = Records(database, "images", ImageRecord).list()
        kernels = os.listdir(self.paths.kernels) if os.path.isdir(self.paths.kernels) else []
        return frozenset(
            [f"vm {each.name} {each.state}" for each in self.machines()]
            + [f"image {each.name}" for each in images]
            + [f"kernel {each}" for each in kernels]
        )

    def ids(self) -> frozenset[str]:
        """Which machines and images these are."""
        with self.store() as database:
            images = Records(database, "images", ImageRecord).list()
        return frozenset([each.id for each in self.machines()] + [each.id for each in images])

    def last(self, kind: str) -> Operation | None:
        """The latest change of a kind on record, and the names of its tasks."""
        found = [each for each in self.client.operation_list().operations if each.kind == kind]
        return max(found, key=lambda each: each.started, default=None)

    def tasks(self, operation: str) -> list[str]:
        with self.store() as database:
            return [each.name for each in Operations(database).tasks(operation)]

    # -- the judge ----------------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """What is wrong once nothing is under way: what ends by itself gets `self.patience` to be gone."""
        deadline = time.monotonic() + self.patience
        while (found := self.rest()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def disks(self) -> list[str]:
        """What is wrong with the disks of machines that are stopped."""
        found = []
        for each in self.machines():
            if each.state != "running" and each.root:
                found += [f"{each.name}: {fault}" for fault in self.disk(each)]
        return found

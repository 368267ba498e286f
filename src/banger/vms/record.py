"""What is on record about a machine, and looking machines up.

A record is replaced as a whole, never changed in place. `state` says what was last known: a machine that is on record
as running may have died since, which `watch` and the daemon's start set right.
"""

from collections.abc import Callable, Sequence

import msgspec

from banger.api.port import Forward
from banger.api.vm import PendingVm, Vm, VmState
from banger.api.workspace import Workspace
from banger.engine.events import Events
from banger.store.records import Records
from banger.vmm.driver import Handle, Network, TapNetwork, UserNetwork
from banger.vms.deadline import Deadline
from banger.vms.published import Published


class VmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A machine: what was asked for, everything that was decided, and where it runs."""

    id: str
    name: str
    state: VmState = "created"
    image: str
    """The image's name, or the reference that it is yet to be pulled from."""
    image_id: str = ""
    """Empty until the image is there."""
    kernel: str
    """Empty until it is known: what was asked for, or what the image names, or the default."""
    vcpu: int
    memory: int
    disk_size: int
    work_disk_size: int = 0
    """See `workdisks`; as asked for, until the image is there."""
    pending: PendingVm | None = None
    """What the next start makes of the four above."""
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    ephemeral: bool = False
    token: str = ""
    asked: str = ""
    """The client's token, and a digest of its request; see `tokens`."""
    ttl: float | None = None
    deadline: Deadline | None = None
    """When it is ended, while it runs: ``ttl`` after its start, or after it was last kept."""
    worker_of: str = ""
    """The subject of the change that made it for itself (see `workers`); empty for a machine of its own."""
    driver: str
    jailed: bool = False
    """Its monitor is in a jail: the host holds its disk and its network for it (see `attaching`)."""
    root: str = ""
    """How its root is made (see `roots`); empty while its disk is not made yet."""
    network: Network | None = None
    """Decided with the slot where addresses follow from it."""
    nat: bool = False
    private: bool = False
    peers: bool = False
    host: bool = False
    """What its network reaches, where it is banger's own: see `banger.net.service.Guest`."""
    publish: tuple[Published, ...] = ()
    """Ports of the host that lead into it while it runs."""
    workspace: Workspace | None = None
    """The repository that it was given last; see `workspaces`."""
    assets: str = ""
    """Digest of the guest assets that its root has had since its last start; empty while it has those of its image."""
    host_key: str = ""
    """The public half of its sshd's host key; empty until a start has brought it one."""
    given: str = ""
    """Digest of what of the host's it was last given on its work disk; see `given`."""
    slot: int = 0
    """Smallest number that no other machine had: under root, the monitor's uid follows from it."""
    handle: Handle | None = None
    """Set as long as there may be a process."""
    created: float
    started: float | None = None
    stopped: float | None = None
    stop_reason: str | None = None
    error: str | None = None


def shape(record: VmRecord) -> VmRecord:
    """The machine as its next start makes it."""
    pending = msgspec.structs.asdict(record.pending or PendingVm())
    return msgspec.structs.replace(record, **{name: value for name, value in pending.items() if value is not None})


def view(record: VmRecord, operation: str | None, published: Sequence[Forward] = ()) -> Vm:
    """The machine as clients see it; one that does not run is already as it will be."""
    running = record.handle if record.state == "running" else None
    pending = record.pending if record.state == "running" else None
    record = record if pending else shape(record)
    return Vm(
        id=record.id,
        name=record.name,
        state=record.state,
        image=record.image,
        image_id=record.image_id,
        kernel=record.kernel,
        vcpu=record.vcpu,
        memory=record.memory,
        disk_size=record.disk_size,
        work_disk_size=record.work_disk_size,
        pending=pending,
        env=record.env,
        labels=record.labels,
        ephemeral=record.ephemeral,
        ttl=record.ttl,
        expires=record.deadline.shown() if running and record.deadline else None,
        driver=record.driver,
        machine=running.machine if running else None,
        address=record.network.address.partition("/")[0] if record.network else None,
        nat=isinstance(record.network, UserNetwork) or (record.network is not None and record.nat),
        peers=isinstance(record.network, TapNetwork) and record.peers,
        published=list(published),
        workspace=record.workspace,
        pid=running.pid if running else None,
        created=record.created,
        started=record.started,
        stopped=record.stopped,
        stop_reason=record.stop_reason,
        host_key=record.host_key or None,
        error=record.error,
        operation=operation,
    )


class Machines:
    """The machines on record. All methods are short and synchronous: what happens between awaits is one step."""

    def __init__(
        self, records: Records[VmRecord], events: Events | None = None, keys: Callable[[], None] | None = None
    ) -> None:
        self._records = records
        self._events = events
        self._keys = keys
        """Told whenever the machines with a host key are others."""

    def all(self) -> list[VmRecord]:
        """Oldest first."""
        return sorted(self._records.list(), key=lambda each: each.created)

    def get(self, vm_id: str) -> VmRecord | None:
        return self._records.by_id(vm_id)

    def find(self, ref: str) -> VmRecord:
        """The machine of that name, or of the one id that begins so. Raises `errors.NotFound`, `errors.Ambiguous`."""
        return self._records.resolve(ref)

    def named(self, name: str) -> VmRecord | None:
        return self._records.by_name(name)

    def insert(self, record: VmRecord) -> None:
        """Take the name. Raises `errors.AlreadyExists` when another machine has it."""
        self._records.insert(record)
        self._tell(record, record.state)
        if record.host_key:
            self._tell_keys()

    def change(self, vm_id: str, **facts: object) -> VmRecord | None:
        """Replace fields of a record; None when the machine is gone by now."""
        record = self._records.by_id(vm_id)
        if record is None:
            return None
        changed = msgspec.structs.replace(record, **facts)
        self._records.replace(changed)
        if changed.state != record.state:
            self._tell(changed, changed.state)
        if changed.host_key != record.host_key:
            self._tell_keys()
        return changed

    def forget(self, vm_id: str) -> None:
        record = self._records.by_id(vm_id)
        self._records.delete(vm_id)
        if record is not None:
            self._tell(record, "deleted")
            if record.host_key:
                self._tell_keys()

    def _tell_keys(self) -> None:
        if self._keys is not None:
            self._keys()

    def _tell(self, record: VmRecord, state: str) -> None:
        """Workers are the business of the change that they work for."""
        if self._events is not None and not record.worker_of:
            reason = {"stopped": record.stop_reason, "error": record.error}.get(state)
            self._events.machine(record.name, record.id, state, reason or "")

    def slots(self) -> set[int]:
        return {each.slot for each in self._records.list()}

    def free_slot(self) -> int:
        taken = self.slots()
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def users_of_image(self, image_id: str, name: str) -> list[str]:
        """Names of the machines that need an image, those included that wait for it."""
        return self._names(lambda each: image_id == each.image_id or (not each.image_id and name == each.image))

    def users_of_kernel(self, name: str) -> list[str]:
        return self._names(lambda each: name == each.kernel)

    def _names(self, uses: Callable[[VmRecord], bool]) -> list[str]:
        return sorted(each.name for each in self._records.list() if uses(each))

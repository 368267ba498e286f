"""Machines: what is asked for, and what is."""

from typing import Literal

import msgspec

from banger.api.operation import ErrorBody
from banger.api.port import Forward
from banger.api.workspace import Workspace

VmState = Literal["created", "running", "stopped", "error"]


class CreateVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a machine. What is None is decided by the configuration, then by the host, then built in."""

    name: str | None = None
    image: str | None = None
    kernel: str | None = None
    vcpu: int | None = None
    memory: int | None = None
    disk_size: int | None = None
    work_disk_size: int | None = None
    """Of the disk that the guest has on /root."""
    nat: bool | None = None
    """Reach the outside through the host, where machines have an address of their own on the host's bridge."""
    outside: bool = False
    """Refused, before anything is made, where it would not reach the outside."""
    tools: bool = False
    """Tools that a repository asks for are to be installed in it: a notice tells, before it is made, where its image
    has no mise to do that."""
    peers: bool | None = None
    """Reach, and be reached by, the other machines on that bridge that ask for it as well."""
    publish: list[str] = []
    """Ports of the host that lead into it while it runs, written ``[ADDRESS:]PORT[:GUEST]``; bound to 127.0.0.1 where
    no address is given."""
    env: dict[str, str] = {}
    """Set for every command that is executed in the machine."""
    labels: dict[str, str] = {}
    """What the owner notes about it, and finds it by."""
    token: str | None = None
    """Of the client's making: as long as the machine is there, the same request with the same token is answered with
    its creation, and makes no other."""
    start: bool = True
    ephemeral: bool = False
    """Deleted when it stops, or when the client that holds it is gone."""
    ttl: float | None = None
    """How long it may run: that many seconds after each start it is stopped in order, and deleted if ephemeral."""


class PendingVm(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a machine's next start; what is None stays as it is."""

    vcpu: int | None = None
    memory: int | None = None
    disk_size: int | None = None
    work_disk_size: int | None = None


class SetVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change a machine; what is None stays as it is.

    The network and the published ports change at once. Processors, memory and disks of a machine that runs wait for its
    next start.
    """

    vcpu: int | None = None
    memory: int | None = None
    disk_size: int | None = None
    """Larger than it is: disks only grow. The file system grows with its disk."""
    work_disk_size: int | None = None
    """Likewise."""
    nat: bool | None = None
    peers: bool | None = None
    publish: list[str] = []
    """Published in addition, as in `CreateVm`."""
    unpublish: list[str] = []
    """Not published any more; their connections end. What is not written, such as the address, may be any."""


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as it is recorded, and as it runs."""

    id: str
    name: str
    state: VmState
    image: str
    image_id: str
    kernel: str
    vcpu: int
    memory: int
    disk_size: int
    work_disk_size: int = 0
    """Of the disk that the guest has on /root; 0 for a machine from before there was one."""
    pending: PendingVm | None = None
    """What `SetVm` asked for while it ran."""
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    ephemeral: bool = False
    ttl: float | None = None
    expires: float | None = None
    """When it is ended, while it runs and has a time limit."""
    driver: str
    machine: str | None = None
    """The machine type in the monitor's words, while it runs."""
    address: str | None = None
    nat: bool = False
    peers: bool = False
    published: list[Forward] = []
    """Ports of the host that lead into it while it runs."""
    workspace: Workspace | None = None
    """The repository that was imported into it."""
    pid: int | None = None
    created: float
    started: float | None = None
    stopped: float | None = None
    stop_reason: str | None = None
    """``powered off``, ``panic``, ``killed`` or ``failed``, with what is known of it.

    Begins with ``expired:`` or ``unused:`` where a time limit ended it.
    """
    host_key: str | None = None
    """The public host key of its ssh server, as known_hosts(5) has it; from its first start on."""
    error: str | None = None
    """What is wrong with it: why it did not come up, or why the host has stopped it while it runs."""
    operation: str | None = None
    """The change that is under way with this machine."""


class KeepVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a machine's time limit anew, now."""

    ttl: float | None = None
    """The limit from now on; as it was when left out."""
    forever: bool = False
    """No limit any more."""


class StopVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout: float = 30.0
    """How long the guest may take to power itself off before its processors are switched off."""


class KillVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class DeleteVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at_rest: bool = False
    """Only if it does not run: a machine that was started meanwhile is left alone."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the guest says of itself. Strings come from the guest and have been made printable."""

    agent_version: str
    protocol: int
    init: str
    """``agent`` where the agent is PID 1, else the path of the image's init."""
    boot_id: str
    hostname: str
    uptime: float
    clock_offset: float
    """The guest's clock less the host's, in seconds."""


class ExecVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Run a command in a machine: the first message of the exec stream.

    An empty ``argv`` means the user's login shell. What is None comes from the image's configuration, but for ``cwd``:
    where the machine has a workspace, what root runs is run there.
    """

    argv: list[str]
    env: dict[str, str] = {}
    cwd: str | None = None
    user: str | None = None
    tty: bool = False
    rows: int = 24
    cols: int = 80
    stdin: bool = False
    timeout: float | None = None
    entrypoint: bool = False
    """Put the image's entrypoint before ``argv``, and its default command where ``argv`` is empty."""


class ExecInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text message from the client of an exec stream; binary messages are stdin."""

    kind: Literal["resize", "signal", "eof", "kill"]
    rows: int = 0
    cols: int = 0
    number: int = 0


class ExecEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A text message to the client of an exec stream.

    Binary messages are output: their first byte is 1 for stdout and 2 for stderr. ``ended`` has exactly one of
    ``exit_code`` and ``signal``, or ``timed_out``; ``failed`` has ``error``. The first event of a command that runs in
    the machine's workspace has ``workspace``.
    """

    kind: Literal["started", "ended", "failed"]
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    workspace: Workspace | None = None
    error: ErrorBody | None = None


class VmStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine takes of its host. What cannot be known, or is not there while it does not run, is None."""

    id: str
    name: str
    state: VmState
    vcpu: int
    cpu_seconds: float | None = None
    """Processor time of its monitor since its start, the guest's own included."""
    memory: int
    memory_resident: int | None = None
    """What its monitor holds of the host's memory."""
    disk_size: int
    """Of its disks together, as the guest sees them."""
    disk_used: int
    """What its files really take on the host."""
    received: int | None = None
    sent: int | None = None
    """Bytes by its network, as the guest sees it."""
    uptime: float | None = None
    """Seconds since its monitor was started."""


class VmStatsList(msgspec.Struct, frozen=True, kw_only=True):
    stats: list[VmStats]


class VmList(msgspec.Struct, frozen=True, kw_only=True):
    vms: list[Vm]

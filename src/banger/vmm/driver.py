"""The contract between a machine and the monitor that runs it.

A driver turns a `LaunchSpec` into one host process and its two sockets, and can find and end that process again from
nothing but the `Handle` it returned (plain data, on record). What it has in memory about machines only spares it work,
so a daemon that died loses nothing: the process goes on, and any later driver object can take the handle.

Promises that the conformance suite checks of every driver:

- `launch` returns a handle for a live process, or raises and leaves no process, socket or file behind.
- The process survives the death of the process that launched it, SIGKILL included.
- `kill` ends the process at once and is idempotent; `alive` is true only of the very process of the handle.
- The agent can be connected to while the process lives, again after a client was killed, and by its owner alone.
- The console goes to a file that cannot grow past the limit while anybody watches it (`trim_console`).
"""

import socket
from typing import Protocol

import msgspec


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver can do on this host."""

    accelerated: bool
    """Guests run on the processor's own virtualisation, and are separated from the host by it."""
    user_networking: bool
    """The driver itself gives a guest a way out, without root."""
    vsock: bool
    """The agent is reached over vsock instead of a virtio-serial port."""
    snapshot: bool
    jail: bool


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a driver can be used here, and the reason in words, for the doctor and for errors."""

    usable: bool
    reason: str
    features: Features
    mend: str = ""
    """The command that makes it usable, where there is one."""
    warnings: tuple[str, ...] = ()
    """What the owner should know of the version that is installed, a line each."""


class Drive(msgspec.Struct, frozen=True, kw_only=True):
    """A block device. ``serial`` (at most 20 bytes) is how the guest's loader finds it."""

    serial: str
    path: str
    format: str
    """``raw`` or ``qcow2``: always said, never guessed from content that a guest can write."""
    read_only: bool = False
    backing: str | None = None
    """The raw, shared, read-only file below a qcow2 overlay."""
    durable: bool = True
    """Pass the guest's flushes on to the host's disk.

    Without, a crash of the host may cost what was written; a crash of the monitor does not.
    """


class UserNetwork(msgspec.Struct, frozen=True, kw_only=True, tag="user"):
    """Networking by the driver's own user-mode stack: the guest has ``address`` and can reach out.

    The host's loopback and link-local services (169.254.169.254) are out of reach unless ``host_loopback``.
    """

    address: str = "10.0.2.15/24"
    gateway: str = "10.0.2.2"
    dns: str = "10.0.2.3"
    mac: str = "52:54:00:12:34:56"
    host_loopback: bool = False


class TapNetwork(msgspec.Struct, frozen=True, kw_only=True, tag="tap"):
    """Networking by a tap on banger's bridge: the host routes and filters, the guest has ``address`` of its own."""

    tap: str
    """The interface's name; it exists, and belongs to the monitor's user."""
    address: str
    """With the prefix length of the network."""
    gateway: str
    dns: str
    mac: str


Network = UserNetwork | TapNetwork


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine may have of the host's disks, for a monitor in a jail: each second, each way, for each of its own.

    0 is no limit.
    """

    io_bytes: int = 0
    io_operations: int = 0


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a driver needs to start one machine. All paths are absolute; sizes are bytes."""

    vm_id: str
    directory: str
    """The machine's own directory on disk: console and the driver's log go here."""
    runtime: str
    """A short directory for sockets, 0700."""
    kernel: str
    """An ELF vmlinux with a PVH entry point."""
    initrd: str
    cmdline: tuple[str, ...]
    """Tokens of ours; the driver adds those that its machine type needs (console, clock).

    ``banger.root``, ``banger.work`` and ``banger.modules`` name drives by their serials; a driver whose disks cannot be
    given any says there which device it is instead.
    """
    vcpus: int
    memory: int
    drives: tuple[Drive, ...]
    network: Network | None = None
    """Of the kind that the driver has (`Features.user_networking`)."""
    uid: int | None = None
    """For a monitor in no jail: run it as this user (and a group of the same number), when we are root.

    The caller sees to it that this user can search the directories of the kernel, the initrd and the drives, can read
    those files, and owns the drives that are written. ``directory`` and ``runtime`` may stay root's.
    """
    slot: int = 0
    """For a monitor in a jail: a number that no other machine of this host has, from which its user follows."""
    limits: Limits = Limits()


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record about a running machine; enough to find, reach and end it."""

    driver: str
    pid: int
    start_ticks: int
    console: str
    agent_socket: str = ""
    """Where the driver itself has the agent's port listen, if it does; `Driver.connect_agent` is the way there."""
    control_socket: str = ""
    machine: str
    """The machine type in the monitor's own words, e.g. ``microvm (tcg)``."""
    log: str = ""
    """What the monitor itself says; this run's."""
    details: dict[str, str] = {}
    """What the driver itself needs beside, to find the machine again."""


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine's process ended, as far as its log and console tell."""

    reason: str
    """``powered off``, ``panic``, ``killed``, ``out of memory`` (the host's, for the monitor) or ``failed``."""
    detail: str = ""


class Driver(Protocol):
    """One way to run machines. Methods raise `banger.errors` only."""

    name: str

    async def availability(self) -> Availability:
        """Whether it works here; measured once and cached, never longer than a few seconds."""
        ...

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start the machine. Raises `ToolMissing`, `VmmFailed` (with what the monitor said), `DiskFull`."""
        ...

    def alive(self, handle: Handle) -> bool:
        """Whether the process of the handle still runs."""
        ...

    async def kill(self, handle: Handle) -> None:
        """End the process at once and remove its sockets; nothing to do is fine.

        Also called for a machine that ended by itself, whose sockets are still there. A machine has one handle at a
        time: the one before was killed.
        """
        ...

    async def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """Wait for the end of the process; None when ``timeout`` seconds were not enough."""
        ...

    async def connect_agent(self, handle: Handle) -> socket.socket:
        """A connected, non-blocking stream to the agent's port, the caller's to close.

        It waits for as long as the machine lives and does not let us in: a guest that is booting has no ear yet. The
        caller sets the limit. Raises `AgentLost` when the machine is gone.
        """
        ...

    async def pause(self, handle: Handle) -> None:
        """Stop the guest's processors."""
        ...

    async def resume(self, handle: Handle) -> None:
        """Let the guest's processors go on."""
        ...

    async def stalled(self, handle: Handle) -> str | None:
        """Why the monitor has stopped the guest on its own (the host's disk is full), in words; None when it has not.

        `resume` lets the guest try again; nothing is lost.
        """
        ...

    def trim_console(self, handle: Handle, limit: int) -> None:
        """Cut the console file to its last part when it has outgrown ``limit`` bytes."""
        ...

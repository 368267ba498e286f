"""What every way of giving a machine its own writable root promises, and the choice among them.

A machine's part lies in the machine's own directory; the image is shared, and never changes. All methods can be
repeated. A suite of tests holds each strategy to the same promises: what is written stays with the machine that wrote
it and is there after `detach` and `attach`; the disk is as large as it was asked to be, or to become; a host's disk
that is full is `errors.DiskFull` and leaves no file; `remove` leaves nothing.

How a machine's own files get in: the loader of every machine copies them from the initial RAM disk before anything of
the image runs. Where ``offline`` is set, `edit` writes them into the file system before the machine starts, so that a
kernel without that loader finds them too.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from banger import errors
from banger.disk.guest_file import Edit
from banger.privileged.operations import MAPPER_PREFIX, WORK_PREFIX


class Place(NamedTuple):
    """A machine's root to be: whose, where its part lies, over which raw image, of how many bytes.

    ``change`` is the operation id of the change that it is done for, for the logs. ``work`` is the file of the
    machine's work disk: where a root becomes a device, that becomes one with it. ``durable``: what is made, and what
    it has grown to, survives a power cut.
    """

    vm_id: str
    directory: str
    base: str
    size: int
    change: str = ""
    work: str = ""
    durable: bool = True


class Root(NamedTuple):
    """What a monitor is given."""

    path: str
    format: Literal["raw", "qcow2"]
    backing: str | None = None
    """The raw image below a qcow2 file."""


class Strategy(Protocol):
    """One way. Methods raise `banger.errors` only."""

    name: str
    summary: str
    """For the doctor: what it does, in half a sentence."""
    offline: bool

    async def unavailable(self, images: str, machines: str) -> str | None:
        """Why it cannot be used for images and machines in those directories; None when it can."""
        ...

    async def make(self, place: Place) -> None:
        """Make the machine's part. Raises `errors.ImageTooSmall`, `errors.DiskFull`; a failure leaves no file."""
        ...

    async def attach(self, place: Place) -> Root:
        """Make it ready for a monitor."""
        ...

    async def detach(self, place: Place) -> None:
        """The monitor is gone; free what `attach` took."""
        ...

    async def edit(self, place: Place, edits: Sequence[Edit]) -> None:
        """Write files into the file system, while it is attached and no monitor runs.

        Raises `errors.UnusableDisk`, and `errors.UsageError` where ``offline`` is not set.
        """
        ...

    async def grow(self, place: Place) -> None:
        """Make the machine's part as large as ``place.size``, never smaller, while it is not attached.

        The file system in it is as it was; the guest's loader makes it as large. Raises `errors.DiskFull`,
        `errors.UnusableDisk`.
        """
        ...

    async def remove(self, place: Place) -> None:
        """Detach, and remove the machine's part."""
        ...


def device(vm_id: str) -> str:
    """The root of a machine in a jail: a block device, put together by the root helper."""
    return f"/dev/mapper/{MAPPER_PREFIX}{vm_id}"


def work_device(vm_id: str) -> str:
    """The other block device that a machine in a jail may have: its work disk."""
    return f"/dev/mapper/{WORK_PREFIX}{vm_id}"


class Verdict(NamedTuple):
    """What the doctor shows: a strategy, and why it cannot be used here."""

    strategy: Strategy
    reason: str | None


async def judge(strategies: Sequence[Strategy], images: str, machines: str) -> list[Verdict]:
    """Each strategy, in order of preference, with the reason against it."""
    return [Verdict(each, await each.unavailable(images, machines)) for each in strategies]


def choose(verdicts: Sequence[Verdict], forced: str = "auto") -> Strategy:
    """The first that can be used, or the one of that name. Raises `errors.RootStrategyUnavailable`."""
    for strategy, reason in verdicts:
        if forced in ("auto", strategy.name):
            if reason is None:
                return strategy
            if forced != "auto":
                raise errors.RootStrategyUnavailable(name=forced, reason=reason)
    known = ", ".join(each.name for each, _ in verdicts)
    raise errors.RootStrategyUnavailable(name=forced, reason=f"this machine's monitor takes one of: {known}")


def check_size(place: Place, needed: int) -> None:
    """Raises `errors.ImageTooSmall`, `errors.UsageError`."""
    if place.size < needed:
        raise errors.ImageTooSmall(size=place.size, needed=needed)
    if place.size % 512:
        raise errors.UsageError(detail=f"a disk's size is a multiple of 512 bytes, not {place.size}")

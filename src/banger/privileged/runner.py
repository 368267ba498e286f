"""Performs privileged operations: one interface, two ways.

`Local` does them in this process, in a thread; for a daemon that is root on a machine of its own, and for tests.
`banger.privileged.client` sends them to the helper. Both give the same answers and raise the same errors.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Protocol

from banger import errors
from banger.helper import protocol, turn
from banger.helper.host import RECORD, BadRecord, Host, load
from banger.helper.operation import Failed, Operation, Outcome, Refused
from banger.privileged.client import Helper

CGROUP = "/sys/fs/cgroup/banger"
"""Of machines, where there is no installation and so no unit of systemd's that holds one for them."""


class Privileged(Protocol):
    """Whoever can perform operations."""

    host: Host
    """What the installation allows."""

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        """Do it. ``change`` is the operation id of the change that it belongs to, for both logs.

        Raises `errors.PrivilegeRefused`, `errors.PrivilegeFailed`, `errors.HelperUnavailable`.
        """
        ...

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """Undo it, however far it came. Raises as `perform`."""
        ...


class Local:
    """As root ourselves. What an installation would have made is made with the first operation."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._ready = False

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        """See `Privileged.perform`."""
        return await asyncio.to_thread(self._act, operation, descriptors, undo=False)

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """See `Privileged.revert`."""
        await asyncio.to_thread(self._act, operation, (), undo=True)

    def _act(self, operation: Operation, descriptors: Sequence[int], *, undo: bool) -> Outcome:
        try:
            if not self._ready:
                _prepare(self.host)
                self._ready = True
            outcome = turn.perform(operation, self.host, descriptors, undo=undo)
            return Outcome(protocol.plain(outcome), outcome.descriptors)
        except Refused as refused:
            raise errors.PrivilegeRefused(operation=operation.NAME, reason=str(refused)) from None
        except Failed as failed:
            raise errors.PrivilegeFailed(operation=operation.NAME, reason=str(failed), busy=failed.busy) from None


def _prepare(host: Host) -> None:
    """The directories of root's own, and a control group for machines where the kernel lets us have one."""
    for path in (host.private, host.store, host.jails, host.runtime):
        os.makedirs(path, mode=0o711, exist_ok=True)
    above = os.path.dirname(host.cgroup)
    if os.path.isdir(host.cgroup) or not os.path.exists(f"{above}/cgroup.subtree_control"):  # not version 2
        return
    with contextlib.suppress(OSError):  # a machine that needs it says so
        os.makedirs(host.cgroup)
        for path in (above, host.cgroup):
            with open(f"{path}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+cpu +memory +pids +io")


def choose(state: str, *, record: str = RECORD) -> Privileged | None:
    """Who performs operations for a daemon whose state directory is ``state``; None when nobody does.

    The helper, where the host has an installation and it is ours; ourselves, where we are root and there is none.
    Raises `errors.HelperUnavailable` when there is an installation whose record cannot be trusted.
    """
    if not os.path.lexists(record):
        if os.geteuid() != 0:
            return None
        return Local(Host(owner_uid=0, owner_gid=0, state=state, private=f"{state}-root", cgroup=CGROUP))
    try:
        host = load(record)
    except BadRecord as bad:
        raise errors.HelperUnavailable(reason=str(bad)) from None
    if os.geteuid() not in (0, host.owner_uid) or state != host.state:
        return None
    return Helper(host.socket, host)

"""Performs privileged operations: one interface, two ways.

`Local` does them in this process, in a thread; for a daemon that is root on a machine of its own, and for tests.
`banger.privileged.client` sends them to the helper. Both give the same answers and raise the same errors.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from banger import errors
from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Outcome, Refused


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
    """As root ourselves."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        """See `Privileged.perform`."""

        def act() -> Outcome:
            operation.validate(self.host)
            return operation.execute(self.host, descriptors)

        return await asyncio.to_thread(_translated, operation.NAME, act)

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """See `Privileged.revert`."""

        def act() -> Outcome:
            operation.undo(self.host)
            return Outcome()

        await asyncio.to_thread(_translated, operation.NAME, act)


def _translated(name: str, act: Callable[[], Outcome]) -> Outcome:
    try:
        return act()
    except Refused as refused:
        raise errors.PrivilegeRefused(operation=name, reason=str(refused)) from None
    except Failed as failed:
        raise errors.PrivilegeFailed(operation=name, reason=str(failed), busy=failed.busy) from None

"""The engine: begins, runs, cancels, follows and recovers changes."""

from collections.abc import AsyncIterator

from banger.api.operation import Operation
from banger.engine.change import Kind, Spec


class Engine:
    """Runs every change of one daemon. One change at a time per subject id; any number of subjects at once."""

    def register(self, kind: Kind) -> None:
        """Make a kind of change known; done once for each, before `recover`."""
        raise NotImplementedError

    async def recover(self) -> None:
        """Undo or resume every change that an earlier daemon left unfinished."""
        raise NotImplementedError

    def begin(self, kind: str, *, subject: str, subject_id: str, spec: Spec) -> Operation:
        """Record a change and start it. Raises `errors.Busy` when ``subject_id`` is in the middle of another."""
        raise NotImplementedError

    async def join(self, operation: str) -> Operation:
        """Wait for the end of a change. Raises its error when it failed or was cancelled."""
        raise NotImplementedError

    def follow(self, operation: str) -> AsyncIterator[Operation]:
        """The change as it is now and after every step, up to and including its end."""
        raise NotImplementedError

    def cancel(self, operation: str) -> Operation:
        """Ask a change to go back; it has ended when `join` returns. Nothing to do on one that has ended."""
        raise NotImplementedError

    def operation(self, reference: str) -> Operation:
        """A change under way or lately ended, by id. Raises `errors.NotFound`."""
        raise NotImplementedError

    def operations(self) -> list[Operation]:
        """Changes under way and lately ended, newest first."""
        raise NotImplementedError

    def under_way(self, subject_id: str) -> Operation | None:
        """The change that the subject is in the middle of."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop running tasks where they are, for the next start to recover; the daemon is about to end."""
        raise NotImplementedError

"""Changes that other changes wait for: an image that several new machines need is pulled once.

A change that was begun only for those who wait is cancelled when the last of them gives up. One that somebody asked for
by itself goes on; when that somebody gives it up, those who wait begin it anew.
"""

from collections.abc import Callable

from banger import errors
from banger.api.operation import Operation
from banger.engine.change import Report
from banger.engine.engine import Engine


class Sharing:
    """Counts who waits for each change that was begun on the way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[str, int] = {}

    def adopt(self, operation: Operation) -> Operation:
        """Somebody wants this change for its own sake."""
        self._waiting.pop(operation.id, None)
        return operation

    async def wait(self, subject_id: str, begin: Callable[[], Operation], report: Report) -> None:
        """Join the change that the subject is in, or ``begin`` one; its stages become ours. Raises its error."""
        while True:
            operation = self._engine.under_way(subject_id)
            if operation is None:
                operation = begin()
                self._waiting[operation.id] = 0
            if operation.id in self._waiting:
                self._waiting[operation.id] += 1
            try:
                await self._follow(operation, report)
                await self._engine.join(operation.id)
                return
            except errors.Cancelled:
                if operation.id in self._waiting:
                    raise
                report.notice(f"{operation.subject}: whoever began this has cancelled it; going on")
            finally:
                self._leave(operation.id)

    async def _follow(self, operation: Operation, report: Report) -> None:
        told = 0
        async for state in self._engine.follow(operation.id):
            if state.stage:
                report.stage(f"{state.subject}: {state.stage}")
            report.progress(state.progress)
            for notice in state.notices[told:]:
                report.notice(notice)
            told = len(state.notices)

    def _leave(self, operation: str) -> None:
        if operation not in self._waiting:
            return
        self._waiting[operation] -= 1
        if self._waiting[operation] == 0:
            del self._waiting[operation]
            self._engine.cancel(operation)  # does nothing to one that has ended

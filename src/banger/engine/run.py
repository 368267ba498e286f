"""One change under way: forward through its tasks, and back when it fails or is cancelled.

Two asyncio tasks do the work. The *runner* owns the order, the record and the clock, and is cancelled by nobody. The
*step* is one ``do`` (or ``undo``); cancelling a change cancels the step, and the runner goes back from there. A runner
that meets an exception which is no `Exception` stops at once and commits nothing more, as a dying process would.

The clock: every moment between the begin and the end of a change belongs to exactly one phase, also the time that the
record takes. ``finished`` is ``started`` plus the phases, so a step of the wall clock cannot make them disagree.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence

from msgspec.structs import replace

from banger import errors
from banger.api.operation import ErrorBody, Operation, Phase, Progress
from banger.engine.change import Kind, Task
from banger.engine.failure import error_body
from banger.engine.feed import Feed
from banger.log import printable
from banger.store.database import defer
from banger.store.operations import Operations, TaskState

LOG = logging.getLogger("banger.engine")

NOTICES_MAX = 100
"""Most notices that one change keeps."""


class Stopped(BaseException):
    """The daemon is about to end; the record stays as it is for the next one."""


class Run:
    """A change and its tasks between begin (or recovery) and end."""

    def __init__(
        self, store: Operations, kind: Kind, operation: Operation, tasks: Sequence[Task], states: Sequence[TaskState]
    ) -> None:
        self.kind = kind
        self.tell_end: Callable[[Operation], None] = lambda operation: None
        """Told of the end, before whoever waits for it."""
        self.feed = Feed(operation)
        self._store = store
        self._tasks = tasks
        self._states = list(states)
        self._unsaved: dict[int, TaskState] = {}
        """Those of the states that are not on record yet."""
        self._step: asyncio.Task[None] | None = None
        self._current = "begin"
        self._cancelled = False
        self._stopping = False
        self._mark = time.monotonic()
        self._elapsed = sum(phase.seconds for phase in operation.phases)
        self._log = logging.LoggerAdapter(LOG, {"operation": operation.id})

    @property
    def operation(self) -> Operation:
        return self.feed.operation

    def account(self, name: str, seconds: float) -> None:
        """Enter time that passed before this run: a daemon that was away."""
        self._elapsed += seconds
        self.feed.operation = replace(
            self.operation, phases=[*self.operation.phases, Phase(name=name, seconds=seconds)]
        )

    # -- from outside

    def cancel(self) -> None:
        """Go back. The step under way is interrupted, once: it may be ending what it began. An undo never is."""
        if self.operation.state != "running" or self._cancelled:
            return
        self._cancelled = True
        if self._step is not None:
            self._step.cancel()

    async def stop(self, grace: float) -> None:
        """Interrupt a ``do`` now, an ``undo`` after ``grace`` seconds; the record keeps where it was."""
        self._stopping = True
        step = self._step
        if step is not None:
            if self.operation.state == "undoing":
                await asyncio.wait({step}, timeout=grace)
            step.cancel()
            await asyncio.wait({step}, timeout=grace)
        self.feed.close()

    # -- the runner

    async def forward(self) -> None:
        """Do what is not done yet, and end; go back on a failure or a cancellation."""
        defer()
        try:
            for position, task in enumerate(self._tasks):
                if self._states[position] == "done":
                    continue
                self._current = task.name
                self._show(state="running", step=task.name, stage="", progress=None)
                self._come_to(position, "doing")
                self._save(self.operation)
                await self._store.durable()
                await self._run_step(task.do(_StepReport(self, position)))
                self._phase(task.name)
                self._come_to(position, "done")
            await self._end("done", None)
        except Exception as error:
            await self._go_back(error)

    async def _go_back(self, error: Exception) -> None:
        self._phase(self._current)
        await self.backward(error_body(error, self.operation.id))

    async def backward(self, body: ErrorBody) -> None:
        """Undo, last task first, whatever fails on the way; end with ``body`` as the reason."""
        defer()
        self._show(state="undoing", error=body, progress=None)
        failed = await self._undo(self._touched())
        if any(isinstance(error, errors.DiskFull) for error in failed.values()):
            failed = await self._undo(list(failed))  # what the other tasks removed has made room by now
        if failed:
            tasks = {self._tasks[position]: error for position, error in failed.items()}
            failures = [printable(f"{task.name}: {error or type(error).__name__}") for task, error in tasks.items()]
            left = [f"{task.resource.kind} {task.resource.identity}" for task in tasks if task.resource is not None]
            message = f"{body.message} (undoing failed: {'; '.join(failures)})"
            body = replace(body, message=message, data={**body.data, "undo": failures, "left": left})
        await self._end("cancelled" if body.code == errors.Cancelled.code and not failed else "failed", body)

    async def _undo(self, positions: Sequence[int]) -> dict[int, Exception]:
        """Undo these tasks in this order; what each of them failed with."""
        failed: dict[int, Exception] = {}
        for position in positions:
            task = self._tasks[position]
            self._show(step=task.name, stage=f"undoing {task.name}")
            try:
                self._come_to(position, "undoing")
                await self._try_commit()
                await self._run_step(task.undo(_StepReport(self, position)), undo=True)
                self._come_to(position, "undone")
            except Exception as error:
                self._log.error("undo of %s failed", task.name, exc_info=error)
                failed[position] = error
            self._phase(f"undo {task.name}")
        return failed

    def _touched(self) -> list[int]:
        """Positions of tasks that have something to undo, last first."""
        return [at for at in reversed(range(len(self._tasks))) if self._states[at] not in ("planned", "undone")]

    async def _run_step(self, coroutine: Coroutine[object, object, None], *, undo: bool = False) -> None:
        """Run a ``do`` or an ``undo`` to its end; raises what it raised."""
        try:
            self._check(undo)
        except BaseException:
            coroutine.close()
            raise
        self._step = step = asyncio.create_task(coroutine)
        try:
            await asyncio.wait({step})
        finally:
            self._step = None
        failure = None if step.cancelled() else step.exception()
        if failure is None and not step.cancelled() and undo:
            return
        if failure is None or isinstance(failure, Exception):
            self._check(undo)
        if step.cancelled():
            raise errors.InternalError(detail="a step was cancelled by nobody")
        if failure is not None:
            raise failure

    def _check(self, undo: bool) -> None:
        """Raise when the daemon is about to end, or when the change is to go back and this step is no undo."""
        if self._stopping:
            raise Stopped
        if self._cancelled and not undo:
            raise errors.Cancelled()

    # -- the record and the clock

    def _phase(self, name: str) -> None:
        now = time.monotonic()
        seconds, self._mark = now - self._mark, now
        self._elapsed += seconds
        self._show(phases=[*self.operation.phases, Phase(name=name, seconds=seconds)])
        self._log.debug("%s: %s (%d ms)", self.kind.name, name, seconds * 1000)

    def _show(self, **changes: object) -> None:
        self.feed.publish(replace(self.operation, **changes), at_once=True)

    def _come_to(self, position: int, state: TaskState) -> None:
        self._states[position] = self._unsaved[position] = state

    def _save(self, operation: Operation) -> None:
        """Put a change on record, with all states that its tasks have come to since that succeeded last."""
        self._store.save(operation, self._unsaved)
        self._unsaved = {}

    async def _try_commit(self) -> None:
        """On the way back: a record that cannot be written must not keep anything from being removed."""
        try:
            self._save(self.operation)
            await self._store.durable()
        except Exception as error:
            self._log.error("the record cannot be written", exc_info=error)

    async def _end(self, state: str, body: ErrorBody | None) -> None:
        operation = replace(
            self.operation,
            state=state,
            step="",
            stage="",
            progress=None,
            error=body,
            finished=self.operation.started + self._elapsed,
        )
        if state == "done":
            self._save(operation)  # a failure here goes back: what is not on record is not done
            await self._store.durable()
        else:
            try:
                self._save(operation)
                await self._store.durable()
            except Exception as error:
                self._log.error("the end cannot be recorded; the next start will see to it", exc_info=error)
        told = f"{state}: {body.message}" if body else state
        spent = ", ".join(f"{each.name} {each.seconds * 1000:.0f} ms" for each in operation.phases)
        self._log.info("%s %s: %s (%s)", self.kind.name, printable(operation.subject), printable(told), spent)
        self.tell_end(operation)
        self.feed.publish(operation, at_once=True)

    def save_facts(self, position: int, facts: Mapping[str, object]) -> None:
        """Commit what a task has learned, and hand it to the task; any thread."""
        known = {**self._tasks[position].recorded, **facts}
        self._store.record(self.operation.id, position, known)
        self._tasks[position].recorded = known


class _StepReport:
    """`Report` for one task of a run. Its methods may be called from any thread."""

    def __init__(self, run: Run, position: int) -> None:
        self.operation = run.operation.id
        self._run = run
        self._position = position
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def _publish(self, field: str, value: object) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._publish, field, value)
            return
        operation = self._run.operation
        if operation.ended:
            return
        if field == "notices":
            value = [*operation.notices, value][-NOTICES_MAX:]
        if field == "result" and isinstance(value, dict):
            value = {**operation.result, **value}
        self._run.feed.publish(replace(operation, **{field: value}), at_once=field == "notices")

    def stage(self, text: str) -> None:
        self._publish("stage", printable(text))

    def progress(self, progress: Progress | None) -> None:
        self._publish("progress", progress)

    def notice(self, text: str) -> None:
        self._publish("notices", printable(text))

    def result(self, **values: int | str) -> None:
        self._publish("result", values)

    def record(self, **facts: object) -> None:
        self._run.save_facts(self._position, facts)

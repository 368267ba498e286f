"""The engine: begins, runs, cancels, follows and recovers changes.

Invariants:

- A change and all of its tasks are committed before the first task acts, and each task's state before it acts.
- A subject is in at most one change at a time; `Engine.begin` decides that without awaiting, so racing callers see one
  winner.
- A change goes on whoever asked for it is gone. Only `Engine.cancel` and `Engine.close` interrupt it.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence

import msgspec

from banger import errors
from banger.api.operation import Operation
from banger.engine.change import Kind, Recovery, Spec, Task
from banger.engine.events import Events
from banger.engine.failure import error_body, from_body
from banger.engine.run import Run
from banger.engine.turns import Purpose, Turns
from banger.log import printable
from banger.store.database import Database, deferred
from banger.store.operations import Operations, StoredChange, TaskRow

LOG = logging.getLogger("banger.engine")

RECOVERY_PATIENCE = 20.0
"""How long `Engine.recover` waits for undoing before it lets the daemon serve; the undoing goes on behind it."""

STOP_GRACE = 5.0
"""How long `Engine.close` lets an undo that is under way go on."""

SHORTEST_PREFIX = 4
"""Fewest letters of a change's id that are taken for it."""


class Engine:
    """Runs every change of one daemon. One change at a time per subject id; any number of subjects at once."""

    def __init__(self, database: Database) -> None:
        self.events = Events()
        """Told of every operation that begins or ends, and of what services tell beside."""
        self._store = Operations(database)
        self._kinds: dict[str, Kind] = {}
        self._runs: dict[str, Run] = {}
        self._subjects: dict[str, Run] = {}
        self._runners: set[asyncio.Task[None]] = set()
        self._turns = Turns(lambda subject: self.under_way(subject) is None)
        self._closed = False

    def register(self, kind: Kind) -> None:
        """Make a kind of change known; done once for each, before `recover`."""
        if kind.name in self._kinds:
            raise ValueError(f"{kind.name} is registered twice")
        self._kinds[kind.name] = kind

    def unfinished(self) -> list[Operation]:
        """What an earlier daemon left, before `recover`."""
        return [each.operation for each in self._store.unended()]

    async def recover(self) -> None:
        """Undo or resume every change that an earlier daemon left unfinished.

        Returns when all that is to be undone is undone, or after `RECOVERY_PATIENCE` seconds; what is resumed goes on.
        """
        undoing: set[asyncio.Task[None]] = set()
        for change in self._store.unended():
            runner = self._recover_one(change)
            if runner is not None:
                undoing.add(runner)
        if undoing:
            await asyncio.wait(undoing, timeout=RECOVERY_PATIENCE)

    def _recover_one(self, change: StoredChange) -> asyncio.Task[None] | None:
        """Start to recover a change; the task to wait for when it is being undone."""
        operation = change.operation
        LOG.warning("%s %s was left unfinished", operation.kind, operation.subject, extra={"operation": operation.id})
        try:
            kind = self._kinds[operation.kind]
            tasks = _plan(kind, change.spec, operation.id)
            if [task.name for task in tasks] != [row.name for row in change.tasks]:
                raise RuntimeError(f"the tasks of {kind.name} are not those on record")
        except Exception as error:
            self._give_up(change, error)
            return None
        for task, row in zip(tasks, change.tasks, strict=True):
            task.recorded = row.facts
        run = Run(self._store, kind, operation, tasks, [row.state for row in change.tasks])
        run.account(
            "interrupted", max(0.0, time.time() - operation.started - sum(each.seconds for each in operation.phases))
        )
        if operation.state == "running" and kind.recovery is Recovery.RESUME:
            self._launch(run, run.forward())
            return None
        body = operation.error or error_body(errors.Interrupted(), operation.id)
        return self._launch(run, run.backward(body))

    def _give_up(self, change: StoredChange, error: Exception) -> None:
        """End a change that cannot be rebuilt. Its record says what it may have left."""
        operation = change.operation
        body = error_body(error, operation.id)
        left = [
            f"{task.resource} {task.identity}" for task in change.tasks if task.resource and task.state != "planned"
        ]
        body = msgspec.structs.replace(body, data={**body.data, "left": left})
        self._store.save(
            msgspec.structs.replace(operation, state="failed", finished=time.time(), error=body, progress=None), {}
        )

    def begin(self, kind: str, *, subject: str, subject_id: str, spec: Spec, waited: bool = False) -> Operation:
        """Record a change and start it. Raises `errors.Busy` when ``subject_id`` is in the middle of another.

        So it does while somebody waits for a `turn` with it; who has ``waited`` for one says so.
        """
        if self._closed:
            raise errors.Interrupted()
        chosen = self._kinds[kind]
        under_way = self.under_way(subject_id)
        change = under_way.kind if under_way is not None else "" if waited else self._turns.next(subject_id)
        if change:
            noun = {"vm": "machine"}.get(kind.partition(".")[0], kind.partition(".")[0])
            raise errors.Busy(kind=noun, name=subject, change=change)
        operation = Operation(
            id=secrets.token_hex(6),
            kind=kind,
            subject=subject,
            subject_id=subject_id,
            state="running",
            started=time.time(),
        )
        tasks = _plan(chosen, spec, operation.id)
        run = Run(self._store, chosen, operation, tasks, ["planned"] * len(tasks))
        rows = [
            TaskRow(
                task.name,
                "planned",
                task.resource.kind if task.resource else None,
                task.resource.identity if task.resource else None,
                {},
            )
            for task in tasks
        ]
        with deferred():  # the run waits for the disk before it does anything
            self._store.add(operation, spec, rows)
        LOG.info("%s %s: begun", kind, printable(subject), extra={"operation": operation.id})
        self._launch(run, run.forward())
        return operation

    def _launch(self, run: Run, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        operation = run.operation
        subject = operation.subject_id or operation.id
        self._runs[operation.id] = run
        run.tell_end = self.events.operation
        self.events.operation(operation)
        self._subjects[subject] = run
        runner: asyncio.Task[None] = asyncio.get_running_loop().create_task(_guard(coroutine))
        self._runners.add(runner)

        def ended(finished: asyncio.Task[None]) -> None:
            self._runners.discard(finished)
            if not run.operation.ended:
                run.feed.close()  # and its subject stays busy: the next start recovers it before anything else
                self._turns.interrupt(subject)
                return
            self._runs.pop(operation.id, None)
            if self._subjects.get(subject) is run:
                del self._subjects[subject]
            self._turns.grant(subject)

        runner.add_done_callback(ended)
        return runner

    async def join(self, operation: str) -> Operation:
        """Wait for the end of a change. Raises its error when it failed or was cancelled."""
        run = self._run(operation)
        ended = await run.feed.ended() if run else self.operation(operation)
        if not ended.ended:
            raise errors.Interrupted()
        if ended.error is not None:
            raise from_body(ended.error)
        return ended

    async def follow(self, operation: str) -> AsyncGenerator[Operation, None]:
        """The change as it is now and after every step, up to and including its end."""
        run = self._run(operation)
        if run is None:
            yield self.operation(operation)
            return
        async with contextlib.aclosing(run.feed.follow()) as states:
            async for state in states:
                yield state

    def cancel(self, operation: str) -> Operation:
        """Ask a change to go back; it has ended when `join` returns. Nothing to do on one that has ended.

        Raises `errors.UsageError` for a kind of change that only goes forward.
        """
        run = self._run(operation)
        if run is None:
            return self.operation(operation)
        if not run.kind.cancellable:
            raise errors.UsageError(detail=f"{run.kind.name} cannot be cancelled; it goes on to its end")
        run.cancel()
        return run.operation

    def operation(self, reference: str) -> Operation:
        """A change under way or lately ended, by id or its beginning. Raises `errors.NotFound`, `errors.Ambiguous`."""
        run = self._run(reference)
        if run is not None:
            return run.operation
        found = []
        if len(reference) >= SHORTEST_PREFIX:
            found = [run.operation for run in self._runs.values() if run.operation.id.startswith(reference)]
            found += [each for each in self._store.beginning_with(reference) if each.id not in self._runs]
        if not found:
            raise errors.NotFound(kind="operation", name=reference)
        if len(found) > 1:
            raise errors.Ambiguous(name=reference, candidates=", ".join(each.id for each in found))
        return found[0]

    def _run(self, reference: str) -> Run | None:
        if reference in self._runs:
            return self._runs[reference]
        if len(reference) < SHORTEST_PREFIX:
            return None
        candidates = [run for key, run in self._runs.items() if key.startswith(reference)]
        return candidates[0] if len(candidates) == 1 else None

    def operations(self) -> list[Operation]:
        """Changes under way and lately ended, newest first."""
        live = sorted((run.operation for run in self._runs.values()), key=lambda each: -each.started)
        return live + [each for each in self._store.ended() if each.id not in self._runs]

    def under_way(self, subject_id: str) -> Operation | None:
        """The change that the subject is in the middle of."""
        run = self._subjects.get(subject_id)
        return run.operation if run is not None and not run.operation.ended else None

    async def turn(self, subject_id: str, purpose: Purpose) -> None:
        """Wait until the subject is in no change and everybody who waited before has had his turn.

        Until the caller's next await nobody else begins a change of it. Raises `errors.Interrupted` when its change is
        left to the next daemon.
        """
        run = self._subjects.get(subject_id)
        if run is not None and run.feed.closed:
            raise errors.Interrupted()
        await self._turns.wait(subject_id, purpose)

    async def close(self) -> None:
        """Stop running tasks where they are, for the next start to recover; the daemon is about to end."""
        self._closed = True
        runs = list(self._runs.values())
        await asyncio.gather(*(run.stop(STOP_GRACE) for run in runs))
        if self._runners:
            await asyncio.wait(self._runners, timeout=STOP_GRACE)


def _plan(kind: Kind, spec: Spec, operation: str) -> Sequence[Task]:
    """The tasks of a change, built from the specification as the store will give it back."""
    plain = msgspec.json.decode(msgspec.json.encode(spec), type=dict[str, object])
    tasks = kind.plan(plain)
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise RuntimeError(f"{kind.name} ({operation}) has two tasks of one name: {names}")
    for task in tasks:
        task.recorded = {}
    return tasks


async def _guard(coroutine: Coroutine[object, object, None]) -> None:
    """Run a runner; what is no Exception has stopped it on purpose, and the record is as it should be."""
    try:
        await coroutine
    except Exception as error:
        LOG.error("a change was lost; the next start will recover it", exc_info=error)
    except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        LOG.warning("a change was stopped where it was (%s)", type(error).__name__)

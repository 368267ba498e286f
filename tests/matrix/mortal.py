"""A daemon that meets its end, or its machine's monitor's, at one instant of one change.

The product knows nothing of this: the engine's commits and steps are wrapped from outside, in a process that is about
to be the daemon. ``python -m tests.matrix.mortal`` is such a daemon on a host where nobody forks one; `VARIABLE` tells
it its aim as JSON.
"""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import msgspec

from banger import errors, proc
from banger.api.operation import Operation
from banger.daemon.main import run
from banger.daemon.wiring import wire
from banger.engine.run import Run
from banger.paths import Paths
from banger.store.operations import Operations
from tests.matrix.instants import Instant

VARIABLE = "BANGER_MATRIX_AIM"


class Aim(NamedTuple):
    """Where a daemon dies: at ``instant`` of the first change of ``kind``. ``last`` is that change's last task.

    On the way back, the change is made to fail once its last task has acted. With ``monitors`` it is not the daemon
    that dies but every process that is named there by what its command line holds.
    """

    kind: str
    instant: Instant
    last: str
    monitors: str = ""


def install(aim: Aim) -> None:
    """Wrap the engine of this process."""
    spent = False

    def reach(instant: Instant) -> None:
        nonlocal spent
        if instant == aim.instant and not spent:
            spent = True
            _strike(aim.monitors)

    _wrap_commits(aim.kind, reach)
    _wrap_steps(aim, reach)


def _strike(monitors: str) -> None:
    if not monitors:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        identity = proc.Identity(pid, proc.start_ticks(pid) or 0)
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                struck = monitors.encode() in file.read() and pid != os.getpid()
        except OSError:
            continue
        if struck:
            proc.send_signal(identity, signal.SIGKILL)
            print(f"matrix: struck {pid}", file=sys.stderr, flush=True)


def _wrap_commits(kind: str, reach: Callable[[Instant], None]) -> None:
    save = Operations.save

    def saved(self: Operations, operation: Operation, states: Mapping[int, Any]) -> None:
        if operation.kind != kind:
            save(self, operation, states)
            return
        way = "undo" if operation.error is not None else "do"
        if operation.ended:
            names = [each.name for each in self.tasks(operation.id)]
            save(self, operation, states)
            reach(Instant(way, names[0] if way == "undo" else names[-1], "done"))
            return
        reach(Instant(way, operation.step, "before"))
        save(self, operation, states)
        reach(Instant(way, operation.step, "doing"))

    Operations.save = saved  # type: ignore[method-assign]


def _wrap_steps(aim: Aim, reach: Callable[[Instant], None]) -> None:
    step, spawn = Run._run_step, proc.spawn
    doing, turned = "", False

    async def stepped(self: Run, coroutine: Coroutine[object, object, None], *, undo: bool = False) -> None:
        nonlocal doing, turned
        name, ours = self.operation.step, self.operation.kind == aim.kind
        if ours and not undo:
            doing = name
        await step(self, coroutine, undo=undo)
        if ours:
            doing = ""
            reach(Instant("undo" if undo else "do", name, "acted"))
            if not undo and aim.instant.way == "undo" and name == aim.last and not turned:
                turned = True
                raise errors.TimedOut(what="the matrix", seconds=0)  # the failure that turns it back

    def spawned(*arguments: Any, **named: Any) -> proc.Identity:
        made = spawn(*arguments, **named)
        reach(Instant("do", doing, "made"))
        return made

    Run._run_step = stepped  # type: ignore[method-assign]
    proc.spawn = spawned


def main() -> None:
    install(msgspec.json.decode(os.environ[VARIABLE], type=Aim))
    run(Paths.from_environment(), wire)


if __name__ == "__main__":
    main()

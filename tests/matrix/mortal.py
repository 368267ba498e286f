"""A daemon that meets its end at one instant of one change, or waits there for somebody else's.

The product knows nothing of this: the engine's commits and steps are wrapped from outside, in a process that is about
to be the daemon. ``python -m tests.matrix.mortal`` is the daemon of a host where nobody forks one. It is an unmodified
one until it gets SIGUSR2: then it takes its aim out of the file that `VARIABLE` names, as JSON, and the file is gone.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from banger import errors, proc
from banger.api.operation import Operation
from banger.daemon.main import run
from banger.daemon.wiring import wire
from banger.engine.run import Run
from banger.helper.launch import Launch
from banger.paths import Paths
from banger.privileged.client import Helper
from banger.store.operations import Operations
from tests.matrix.instants import Instant

VARIABLE = "BANGER_MATRIX_AIM"
FREE = "-no-more"


class Aim(NamedTuple):
    """Where a daemon dies: at one of the ``instants`` of the first change of ``kind``, whose last task is ``last``.

    On the way back, the change is made to fail once its last task has acted. With ``monitors`` it is not the daemon
    that dies but every process that is named there by what its command line holds. With ``halt`` nothing dies: at each
    instant the daemon writes its name into that file and does nothing more until somebody has removed it; unless there
    is a file of that name and `FREE`, which lets it go on.
    """

    kind: str
    instants: Sequence[Instant]
    last: str
    monitors: str = ""
    halt: str = ""


_SAVE, _STEP, _SPAWN, _PERFORM = Operations.save, Run._run_step, proc.spawn, Helper.perform


def install(aim: Aim) -> None:
    """Wrap the engine of this process, which forgets any aim that it had."""
    left = list(aim.instants)

    def reach(instant: Instant) -> None:
        if instant in left:
            left.remove(instant)
            _strike(aim, instant)

    _wrap_commits(aim.kind, reach)
    _wrap_steps(aim, reach)


def _strike(aim: Aim, instant: Instant) -> None:
    if aim.halt:
        if not os.path.exists(aim.halt + FREE):
            Path(aim.halt).write_text(str(instant))
        while os.path.exists(aim.halt):
            time.sleep(0.02)
    elif aim.monitors:
        _kill(aim.monitors)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def _kill(monitors: str) -> None:
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
    def saved(self: Operations, operation: Operation, states: Mapping[int, Any]) -> None:
        if operation.kind != kind:
            _SAVE(self, operation, states)
            return
        way = "undo" if operation.error is not None else "do"
        if operation.ended:
            names = [each.name for each in self.tasks(operation.id)]
            _SAVE(self, operation, states)
            reach(Instant(way, names[0] if way == "undo" else names[-1], "done"))
            return
        reach(Instant(way, operation.step, "before"))
        _SAVE(self, operation, states)
        reach(Instant(way, operation.step, "doing"))

    Operations.save = saved  # type: ignore[method-assign]


def _wrap_steps(aim: Aim, reach: Callable[[Instant], None]) -> None:
    doing, turned = "", False

    async def stepped(self: Run, coroutine: Coroutine[object, object, None], *, undo: bool = False) -> None:
        nonlocal doing, turned
        name, ours = self.operation.step, self.operation.kind == aim.kind
        if ours and not undo:
            doing = name
        await _STEP(self, coroutine, undo=undo)
        if ours:
            doing = ""
            reach(Instant("undo" if undo else "do", name, "acted"))
            if not undo and aim.instants[0].way == "undo" and name == aim.last and not turned:
                turned = True
                raise errors.TimedOut(what="the matrix", seconds=0)  # the failure that turns it back

    def spawned(*arguments: Any, **named: Any) -> proc.Identity:
        made = _SPAWN(*arguments, **named)
        reach(Instant("do", doing, "made"))
        return made

    async def performed(self: Helper, operation: Any, **named: Any) -> Any:
        outcome = await _PERFORM(self, operation, **named)
        if isinstance(operation, Launch):
            reach(Instant("do", doing, "made"))
        return outcome

    Run._run_step = stepped  # type: ignore[method-assign]
    Helper.perform = performed  # type: ignore[method-assign]
    proc.spawn = spawned


def main() -> None:
    path = Path(os.environ[VARIABLE])

    def aimed(number: int, frame: object) -> None:
        install(msgspec.json.decode(path.read_bytes(), type=Aim))
        path.unlink()

    signal.signal(signal.SIGUSR2, aimed)
    run(Paths.from_environment(), wire)


if __name__ == "__main__":
    main()

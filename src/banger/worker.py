"""Work in a process of its own: what hostile input does to it ends it alone, and its memory goes back with it.

Two ends of one pipe. The caller gives `ask` the module that works and a request, or begins a `Worker` ahead of that;
the module's ``main`` is `serve`, of `banger.serving`, which loads less than this end. The request is one line of JSON
on the worker's stdin, after which another may follow that was not known before; on its stdout come lines of JSON, each
with one member::

    {"progress": ["read", 4194304, 66522134]}       stage, bytes done, bytes in all or null
    {"reply": ...}                                  the last line of work that was done
    {"error": {"code": ..., "message": ..., "hint": ..., "data": {...}}}

Cancelling is killing. The worker bounds its own address space, and dies with whoever started it, so that nothing is
written into what the next daemon has swept.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from banger import errors, proc
from banger.serving import Progress

Reply = TypeVar("Reply")

Later = Callable[[], Awaitable[object]]


class Died(Exception):
    """The worker ended without an answer. The text says how."""


class _Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    hint: str
    data: dict[str, str]


class _Line(msgspec.Struct, Generic[Reply], frozen=True, omit_defaults=True):
    progress: tuple[str, int, int | None] | None = None
    reply: Reply | None = None
    error: _Failure | None = None


async def ask(
    module: str,
    request: object,
    kind: type[Reply],
    progress: Progress,
    *,
    later: Later | None = None,
) -> Reply:
    """What the worker ``module`` replies to ``request``. Raises the worker's own errors, and `Died`.

    What ``later`` gives becomes the second line on the worker's stdin; what it raises ends the worker, and is raised.
    """
    return await Worker(module).ask(request, kind, progress, later=later)


class Worker:
    """A process that is begun before there is a request, which it is then given once, or `end`ed.

    Its start, a few hundredths of a second, goes by while the caller finds out what to ask for.
    """

    def __init__(self, module: str) -> None:
        self._asked: asyncio.Future[tuple[object, Later | None]] = asyncio.get_running_loop().create_future()
        self._hear: Callable[[str], None] = lambda text: None
        self._running = asyncio.ensure_future(
            proc.run(
                [sys.executable, "-P", "-m", module],
                input=self._lines(),
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # what this process imports, it imports
                check=False,
                mortal=True,
                on_output=lambda text: self._hear(text),
            )
        )

    async def ask(self, request: object, kind: type[Reply], progress: Progress, *, later: Later | None = None) -> Reply:
        """As the function `ask`."""
        last: list[_Line[Reply]] = []
        decoder = msgspec.json.Decoder(_Line[kind])  # type: ignore[valid-type]

        def hear(text: str) -> None:
            with contextlib.suppress(msgspec.DecodeError):
                line = decoder.decode(text)
                if line.progress is not None:
                    progress(*line.progress)
                else:
                    last.append(line)

        self._hear = hear
        self._asked.set_result((request, later))
        result = await self._running
        for line in last:
            if line.error is not None:
                failed = line.error
                raise errors.from_wire(failed.code, failed.message, failed.hint, dict(failed.data))
            if line.reply is not None and result.status == 0:
                return line.reply
        if result.status < 0:
            raise Died(f"the process that did it was killed (signal {-result.status})")
        words = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Died(words or f"the process that did it ended with status {result.status}")

    async def end(self) -> None:
        """Kill it, unless it has ended."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _lines(self) -> AsyncIterator[bytes]:
        request, later = await self._asked
        yield msgspec.json.encode(request) + b"\n"
        if later is not None:
            yield msgspec.json.encode(await later()) + b"\n"

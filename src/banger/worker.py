"""Work in a process of its own: what hostile input does to it ends it alone, and its memory goes back with it.

Two ends of one pipe. The caller gives `ask` the module that works and a request; the module's ``main`` is `serve`. The
request is one JSON document on the worker's stdin; on its stdout come lines of JSON, each with one member::

    {"progress": ["read", 4194304, 66522134]}       stage, bytes done, bytes in all or null
    {"reply": {...}}                                the last line of work that was done
    {"error": {"code": ..., "message": ..., "hint": ..., "data": {...}}}

Cancelling is killing. The worker bounds its own address space, and dies with whoever started it, so that nothing is
written into what the next daemon has swept.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from banger import errors

Progress = Callable[[str, int, int | None], None]
"""Called with the stage's name, the bytes done, and the bytes in all, None while that is not known."""

Asked = TypeVar("Asked")
Reply = TypeVar("Reply")


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


async def ask(module: str, request: msgspec.Struct, kind: type[Reply], progress: Progress) -> Reply:
    """What the worker ``module`` replies to ``request``. Raises the worker's own errors, and `Died`."""
    from banger import proc  # and asyncio with it, which a worker has no use for and would wait for

    last: list[_Line[Reply]] = []
    decoder = msgspec.json.Decoder(_Line[kind])  # type: ignore[valid-type]

    def hear(text: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            line = decoder.decode(text)
            if line.progress is not None:
                progress(*line.progress)
            else:
                last.append(line)

    result = await proc.run(
        [sys.executable, "-P", "-m", module],
        input=msgspec.json.encode(request),
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # what this process imports, it imports
        check=False,
        mortal=True,
        on_output=hear,
    )
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


def serve(
    kind: type[Asked],
    work: Callable[[Asked, Progress], object],
    *,
    memory: Callable[[Asked], int],
    exhausted: Callable[[Asked], errors.BangerError],
) -> int:
    """The worker's end: one request is done, within ``memory`` bytes; its exit status.

    ``exhausted`` is the error of work that takes more.
    """
    import resource

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    resource.setrlimit(resource.RLIMIT_AS, (memory(request),) * 2)
    try:
        reply: Any = work(request, lambda *told: _say(_Line(progress=told)))
    except errors.BangerError as fault:
        return _fail(fault)
    except MemoryError:
        return _fail(exhausted(request))
    _say(_Line(reply=reply))
    return 0


def _fail(fault: errors.BangerError) -> int:
    data = {key: str(value) for key, value in fault.data.items()}
    _say(_Line(error=_Failure(fault.code, fault.message, fault.advice, data)))
    return fault.exit_status


def _say(line: "_Line[Any]") -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()

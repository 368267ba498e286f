"""The worker's end of `banger.worker`: a request is read, work is done within bounds, lines are written.

A worker starts for one piece of work and is waited for, so this end, and what small workers import besides, loads the
standard library's JSON alone.
"""

import json
import sys
from collections.abc import Callable
from typing import TypeVar

from banger import errors

Progress = Callable[[str, int, int | None], None]
"""Called with the stage's name, the bytes done, and the bytes in all, None while that is not known."""

Asked = TypeVar("Asked")


def serve(
    decode: Callable[[bytes], Asked],
    work: Callable[[Asked, Progress], object],
    *,
    memory: Callable[[Asked], int],
    exhausted: Callable[[Asked], errors.BangerError],
) -> int:
    """One request is done, within ``memory`` bytes; the worker's exit status. What ``work`` returns is plain JSON.

    ``exhausted`` is the error of work that takes more.
    """
    import resource

    request = decode(sys.stdin.buffer.readline())
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = memory(request) if most == resource.RLIM_INFINITY else min(memory(request), most)
    resource.setrlimit(resource.RLIMIT_AS, (bound, most))
    try:
        reply = work(request, lambda *told: _say("progress", told))
    except errors.BangerError as fault:
        return _fail(fault)
    except MemoryError:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))  # to say so takes memory too
        return _fail(exhausted(request))
    _say("reply", reply)
    return 0


def _fail(fault: errors.BangerError) -> int:
    data = {key: str(value) for key, value in fault.data.items()}
    _say("error", {"code": fault.code, "message": fault.message, "hint": fault.advice, "data": data})
    return fault.exit_status


def _say(kind: str, told: object) -> None:
    sys.stdout.buffer.write(json.dumps({kind: told}, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()

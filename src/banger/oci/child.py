"""The process in which an image is built: hostile archives are parsed here and nowhere else (see `builder`).

The request is one JSON document on the child's stdin; on its stdout come lines of JSON, each with one member::

    {"progress": ["read", 4194304, 66522134]}
    {"report": {...}}                                       a BuildReport, the last line of a build that worked
    {"error": {"code": ..., "message": ..., "hint": ..., "data": {...}}}

The child bounds its own address space, so that an archive that beats every other limit ends the child alone, and it
dies with whoever started it, so that nothing is written into what the next daemon has swept.
"""

import ctypes
import gc
import signal
import sys

import msgspec

from banger import errors
from banger.oci.build import BuildReport, LayerSource, build_image

MEMORY_LIMIT = 4 << 30
_PR_SET_PDEATHSIG = 1
_SWITCH_SECONDS = 5e-5
"""How long the main thread may keep the interpreter from the one that inflates."""

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT_MEMORY = 64 << 20
"""mallopt(3): what inflating allocates and frees all the time is kept instead of going back to the system, which
would hand out zeroed pages again and again; a sixth of the time of inflating."""


class Request(msgspec.Struct, frozen=True):
    layers: list[LayerSource]
    output: str
    seed: str
    size: int | None = None
    memory: int = MEMORY_LIMIT
    indexes: str = ""
    home: str = ""


class Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    hint: str
    data: dict[str, str]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the child's output."""

    progress: tuple[str, int, int | None] | None = None
    report: BuildReport | None = None
    error: Failure | None = None


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    import ctypes
    import resource

    ctypes.CDLL(None).prctl(
        _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0
    )  # a parent that is gone by now has sent no request
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    resource.setrlimit(resource.RLIMIT_AS, (request.memory, request.memory))
    _keep_memory()
    gc.disable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        report = build_image(
            request.layers,
            request.output,
            size=request.size,
            seed=request.seed,
            progress=lambda *told: _say(Line(progress=told)),
            indexes=request.indexes,
            home=request.home,
        )
    except errors.BangerError as fault:
        data = {key: str(value) for key, value in fault.data.items()}
        _say(Line(error=Failure(fault.code, fault.message, fault.advice, data)))
        return fault.exit_status
    except MemoryError:
        reason = "it takes more memory than a build may have"
        failure = errors.BuildFailed(name=request.output, reason=reason)
        _say(Line(error=Failure(failure.code, failure.message, failure.advice, {"reason": reason})))
        return failure.exit_status
    _say(Line(report=report))
    return 0


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library may have none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_MEMORY)
        mallopt(_TRIM_THRESHOLD, _KEPT_MEMORY)


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())

"""A build in a process of its own: hostile archives are parsed outside the daemon, and cancelling is killing.

The request is one JSON document on the child's stdin; on its stdout come lines of JSON, each with one member::

    {"progress": ["read", 4194304, 66522134]}
    {"report": {...}}                                       a BuildReport, the last line of a build that worked
    {"error": {"code": ..., "message": ..., "hint": ..., "data": {...}}}

The child bounds its own address space, so that an archive that beats every other limit ends the child alone.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence

import msgspec

from banger import errors, proc
from banger.oci.build import BuildReport, LayerSource, build_image
from banger.oci.progress import Progress, silent

MEMORY_LIMIT = 4 << 30
_SWITCH_SECONDS = 5e-5
"""How long the main thread may keep the interpreter from the one that inflates."""


class Request(msgspec.Struct, frozen=True):
    layers: list[LayerSource]
    output: str
    seed: str
    size: int | None = None
    memory: int = MEMORY_LIMIT


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


async def build_in_child(
    layers: Sequence[LayerSource],
    output: str,
    *,
    size: int | None = None,
    seed: str,
    progress: Progress = silent,
    memory: int = MEMORY_LIMIT,
) -> BuildReport:
    """As `build.build_image`, in a child process that dies with a cancelled call. Raises the same errors.

    ``memory`` bounds the child's address space.
    """
    if os.path.lexists(output):
        raise errors.AlreadyExists(kind="file", name=output)
    done: list[BuildReport] = []
    failed: list[Failure] = []

    def hear(text: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            line = msgspec.json.decode(text, type=Line)
            if line.progress is not None:
                progress(*line.progress)
            done.extend([line.report] if line.report is not None else [])
            failed.extend([line.error] if line.error is not None else [])

    request = msgspec.json.encode(Request(list(layers), output, seed, size, memory))
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        result = await proc.run(
            [sys.executable, "-P", "-m", "banger.oci.child"],
            input=request,
            env={"PYTHONPATH": package},
            check=False,
            on_output=hear,
        )
        if done and result.status == 0:
            return done[0]
        if failed:
            raise errors.from_wire(failed[0].code, failed[0].message, failed[0].hint, dict(failed[0].data))
        raise errors.BuildFailed(name=output, reason=_last_words(result))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        raise


def _last_words(result: proc.Result) -> str:
    if result.status < 0:
        return f"the process that built it was killed (signal {-result.status})"
    words = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return words or f"the process that built it ended with status {result.status}"


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    import resource

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    resource.setrlimit(resource.RLIMIT_AS, (request.memory, request.memory))
    gc.disable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        report = build_image(
            request.layers,
            request.output,
            size=request.size,
            seed=request.seed,
            progress=lambda *told: _say(Line(progress=told)),
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


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())

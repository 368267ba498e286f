"""A build in a process of its own: what an archive does to it ends that process alone, and cancelling is killing.

The process is `banger.oci.child`; its memory goes back to the system with it.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

import msgspec

from banger import errors, proc
from banger.oci.build import BuildReport, LayerSource
from banger.oci.child import MEMORY_LIMIT, Failure, Line, Request
from banger.oci.progress import Progress, silent


async def build_in_child(
    layers: Sequence[LayerSource],
    output: str,
    *,
    size: int | None = None,
    seed: str,
    progress: Progress = silent,
    memory: int = MEMORY_LIMIT,
    indexes: str = "",
    home: str = "",
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

    request = msgspec.json.encode(Request(list(layers), output, seed, size, memory, indexes, home))
    try:
        result = await proc.run(
            [sys.executable, "-P", "-m", "banger.oci.child"],
            input=request,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # what this process imports, it imports
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

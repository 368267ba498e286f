"""A build in a process of its own: what an archive does to it ends that process alone, and cancelling is killing.

The process is `banger.oci.child`; its memory goes back to the system with it.
"""

import contextlib
import os
from collections.abc import Sequence

from banger import errors, worker
from banger.oci.build import BuildReport, LayerSource
from banger.oci.child import MEMORY_LIMIT, Request, encoded
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
    request = Request(list(layers), output, seed, size, memory, indexes, home)
    try:
        return await worker.ask("banger.oci.child", encoded(request), BuildReport, progress)
    except BaseException as fault:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        if isinstance(fault, worker.Died):
            raise errors.BuildFailed(name=output, reason=str(fault)) from None
        raise

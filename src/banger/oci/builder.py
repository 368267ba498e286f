"""A build in a process of its own: what an archive does to it ends that process alone, and cancelling is killing.

The process is `banger.oci.child`; its memory goes back to the system with it.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence

from banger import errors, worker
from banger.disk.ext4.volume import DEFAULT_LEAST
from banger.oci.build import BuildReport, LayerSource
from banger.oci.child import MEMORY_LIMIT, Request, encoded
from banger.oci.progress import Progress, silent


def begin() -> worker.Worker:
    """The process of a build that will be asked for soon."""
    return worker.Worker("banger.oci.child")


async def build_in_child(
    layers: Sequence[LayerSource],
    output: str,
    *,
    size: int | None = None,
    least: int = DEFAULT_LEAST,
    seed: str | Callable[[], Awaitable[str]],
    progress: Progress = silent,
    memory: int = MEMORY_LIMIT,
    indexes: str = "",
    home: str = "",
    staging: str = "",
    begun: worker.Worker | None = None,
) -> BuildReport:
    """As `build.build_image`, in a child process that dies with a cancelled call. Raises the same errors.

    A ``seed`` to be awaited is there when the layers are: until then each is read as it comes, in the directory
    ``staging``. What that raises ends the child, and is raised. ``memory`` bounds the child's address space. ``begun``
    is the child, when there is one already.
    """
    if os.path.lexists(output):
        raise errors.AlreadyExists(kind="file", name=output)
    known, later = (seed, None) if isinstance(seed, str) else (None, seed)
    request = Request(list(layers), output, known, size, memory, indexes, home, staging, least)
    try:
        return await (begun or begin()).ask(encoded(request), BuildReport, progress, later=later)
    except BaseException as fault:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        if isinstance(fault, worker.Died):
            raise errors.BuildFailed(name=output, reason=str(fault)) from None
        raise

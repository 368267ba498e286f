"""The process in which an image is built: hostile archives are parsed here and nowhere else (see `builder`).

It bounds its own address space, so that an archive that beats every other limit ends this process alone
(`banger.worker`).
"""

import ctypes
import gc
import sys

import msgspec

from banger import errors, worker
from banger.oci.build import BuildReport, LayerSource, build_image
from banger.worker import Progress

MEMORY_LIMIT = 4 << 30
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


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    return worker.serve(
        Request,
        _build,
        memory=lambda request: request.memory,
        exhausted=lambda request: errors.BuildFailed(
            name=request.output, reason="it takes more memory than a build may have"
        ),
    )


def _build(request: Request, progress: Progress) -> BuildReport:
    _keep_memory()
    gc.disable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    return build_image(
        request.layers,
        request.output,
        size=request.size,
        seed=request.seed,
        progress=progress,
        indexes=request.indexes,
        home=request.home,
    )


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library may have none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_MEMORY)
        mallopt(_TRIM_THRESHOLD, _KEPT_MEMORY)


if __name__ == "__main__":
    sys.exit(main())

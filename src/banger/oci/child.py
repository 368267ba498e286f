"""The process in which an image is built: hostile archives are parsed here and nowhere else (see `builder`).

It bounds its own address space, so that an archive that beats every other limit ends this process alone
(`banger.serving`).
"""

import ctypes
import gc
import json
import os
import sys
from typing import NamedTuple

from banger import errors, serving
from banger.disk.ext4.volume import DEFAULT_LEAST
from banger.oci.arrival import Arrival
from banger.oci.build import BuildReport, LayerSource, build_image
from banger.serving import Progress

MEMORY_LIMIT = 4 << 30
_SWITCH_SECONDS = 5e-5
"""How long the main thread may keep the interpreter from the one that inflates."""

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT_MEMORY = 64 << 20
"""mallopt(3): what inflating allocates and frees all the time is kept instead of going back to the system, which
would hand out zeroed pages again and again; a sixth of the time of inflating."""


class Request(NamedTuple):
    layers: list[LayerSource]
    output: str
    seed: str | None = None
    """None when it follows, and with it the layers (`banger.oci.arrival`)."""
    size: int | None = None
    memory: int = MEMORY_LIMIT
    indexes: str = ""
    home: str = ""
    staging: str = ""
    """Where the files of layers grow that are on their way."""
    least: int = DEFAULT_LEAST


def encoded(request: Request) -> dict[str, object]:
    """A request as it is sent."""
    return {**request._asdict(), "layers": [each._asdict() for each in request.layers]}


def decoded(data: bytes) -> Request:
    """A request as it was sent."""
    fields = json.loads(data)
    layers = [LayerSource(**{**each, "without": tuple(each.get("without", ()))}) for each in fields.pop("layers")]
    return Request(layers, **fields)


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    return serving.serve(
        decoded,
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
        least=request.least,
        seed=request.seed if request.seed is not None else Arrival(sys.stdin.buffer, request.staging, request.layers),
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
    os._exit(main())  # the interpreter's own end takes apart what the kernel takes back anyway

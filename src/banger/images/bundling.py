"""The program behind ``banger internal make-bundle``: a flat archive of a root file system becomes an image's bundle.

The archive is read as one layer with the guest assets above it, by the same code as every image; so the same archive
gives the same bundle wherever it is made.
"""

import asyncio
import os
import sys

from banger import errors
from banger.bundles import maker, pack
from banger.bundles.manifest import Manifest
from banger.bundles.pack import Packed
from banger.bundles.unpack import ROOTFS
from banger.catalog.reader import KERNEL_NAME, NAME
from banger.guest import assets
from banger.images import sources
from banger.oci import builder
from banger.oci.layer import LayerSource

STDIN = "-"
_PIECE = 1 << 20
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class MakeBundle(maker.Request, frozen=True, kw_only=True):
    """``rootfs_tar`` is an absolute path, or `STDIN`."""

    rootfs_tar: str
    distro: str = ""
    kernel_ref: str = ""
    size: int | None = None


def make(request: MakeBundle) -> Packed:
    """Raises what is wrong with the request, and what `builder.build_in_child` raises."""
    if not NAME.fullmatch(request.name):
        raise errors.InvalidName(name=request.name[:80])
    if request.kernel_ref and not KERNEL_NAME.fullmatch(request.kernel_ref):
        raise errors.InvalidName(name=request.kernel_ref[:80])
    arch = maker.check(request)
    agent = assets.agent_path(_MACHINES[arch])
    if not os.path.exists(agent):
        raise errors.UsageError(detail=f"this banger has no guest agent for {arch}")
    with maker.workplace(request.out) as work:
        archive = _archive(request.rootfs_tar, work)
        digest = f"sha256:{pack.digest(archive)}"
        flat = LayerSource(path=archive, name=os.path.basename(request.rootfs_tar))
        top, equipment = sources.assets_layer(agent, work)
        rootfs = os.path.join(work, ROOTFS)
        built = asyncio.run(builder.build_in_child([flat, top], rootfs, size=request.size, seed=digest))
        manifest = Manifest(
            name=request.name,
            arch=arch,
            distro=request.distro or built.distribution,
            kernel_ref=request.kernel_ref,
            assets=equipment,
            description=request.description,
            size=built.size,
            sha256=pack.digest(rootfs),
        )
        return maker.finish(manifest, [(ROOTFS, rootfs)], work, request.out)


def _archive(path: str, work: str) -> str:
    """The archive as a file: what comes on stdin is kept in ``work``, since layers are read more than once."""
    if path != STDIN:
        if not os.path.isfile(path):
            raise errors.SourceUnavailable(reference=path, reason="there is no such file")
        return path
    kept = os.path.join(work, "rootfs.tar")
    with open(kept, "wb") as file:
        while piece := sys.stdin.buffer.read(_PIECE):
            file.write(piece)
    return kept


if __name__ == "__main__":
    sys.exit(maker.program(MakeBundle, make))

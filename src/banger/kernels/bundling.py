"""The program behind ``banger internal make-kernel-bundle``: a directory becomes a kernel's bundle.

The directory is one that ``kernel import`` takes. Links in the module tree (``build``, ``source``) are left out.
"""

import os
import sys

from banger import errors
from banger.bundles import maker, pack
from banger.bundles.manifest import Manifest
from banger.bundles.pack import Packed
from banger.bundles.unpack import MODULES
from banger.catalog.reader import KERNEL_NAME
from banger.kernels import bzimage, kernel, modules


class MakeKernelBundle(maker.Request, frozen=True, kw_only=True):
    """``directory`` is an absolute path."""

    directory: str


def make(request: MakeKernelBundle) -> Packed:
    """Raises `errors.NotAKernel`, and what is wrong with the request."""
    if not KERNEL_NAME.fullmatch(request.name):
        raise errors.InvalidName(name=request.name[:80])
    arch = maker.check(request)
    if not os.path.isdir(request.directory):
        raise errors.NotAKernel(path=request.directory, reason="it is no directory")
    path = kernel.find_image(request.directory)
    image = bzimage.read(path)
    files = [(kernel.BZIMAGE if image.bzimage is not None else kernel.VMLINUX, path)]
    tree = modules.find_tree(request.directory, image.release)
    if tree is not None:
        files += _modules(tree)
    manifest = Manifest(
        name=request.name, arch=arch, description=request.description or f"Linux {image.release}",
        size=os.path.getsize(path), sha256=pack.digest(path),
    )  # fmt: skip
    with maker.workplace(request.out) as work:
        try:
            return maker.finish(manifest, files, work, request.out)
        except (ValueError, UnicodeEncodeError) as error:
            raise errors.NotAKernel(path=request.directory, reason=str(error)) from None


def _modules(tree: str) -> list[tuple[str, str]]:
    """The files of a module tree, in an order that depends on nothing but their names."""
    found = []
    for place, directories, names in os.walk(tree):
        directories[:] = [each for each in directories if not os.path.islink(os.path.join(place, each))]
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append((f"{MODULES}/{os.path.relpath(path, tree)}", path))
    return sorted(found)


if __name__ == "__main__":
    sys.exit(maker.program(MakeKernelBundle, make))

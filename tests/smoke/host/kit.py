"""What the box is given on a read-only disk, so that it needs no network: inputs of tests, never parts of banger.

=============  ====================================================================================
name           what
=============  ====================================================================================
bin/           firecracker and jailer (`tests.smoke.host.inputs`)
wheels/        the wheels that banger needs
kernel/        the kernel for machines, a directory as banger keeps it
images/NAME/   container images as OCI layouts (`tests.guest_images`)
=============  ====================================================================================

On disk: ``kit.ext4``, its volume labelled nothing and found by the drive's serial number.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from banger.disk import host_tree
from banger.disk.ext4 import volume
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import Geometry
from banger.disk.fresh import new_file
from tests import guest_images
from tests.kept import key
from tests.smoke.host import image
from tests.smoke.host.inputs import inputs_key

IMAGES = {"busybox": guest_images.busybox, "scratch": guest_images.scratch}


def kit_key() -> str:
    """What decides the content of the kit."""
    return key(Path(__file__), Path(guest_images.__file__), inputs_key(), image.kernel_key())


def make_kit(directory: Path, kernel: Path, inputs: Path) -> None:
    """The disk, in ``directory``; ``kernel`` is the kernel's directory, ``inputs`` that of `make_inputs`."""
    with tempfile.TemporaryDirectory(prefix="tree-", dir=directory) as scratch:
        tree = Path(scratch)
        for name, make in IMAGES.items():
            (tree / "images").mkdir(exist_ok=True)
            make(tree / "images" / name)
        for source in (kernel, inputs / "bin", inputs / "wheels"):
            target = tree / ("kernel" if source == kernel else source.name)
            target.mkdir()
            for file in source.iterdir():
                _link(file, target / file.name)
        _write(tree, directory / "kit.ext4")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)


def _write(tree: Path, output: Path) -> None:
    """The tree as an ext4 file system in which root owns every file."""
    with new_file(str(output)) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(None))) as area:
        found = host_tree.read(str(tree), area, ids=host_tree.as_root)
        volume.write(descriptor, area, found.root, size=volume.fitting(area), seed=found.digest)

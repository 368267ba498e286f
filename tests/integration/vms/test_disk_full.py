"""A disk that is full where a machine or an image is made: said by name, and nothing is kept."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import PullImage
from tests import guest_images
from tests.installation import MIB, Installation, scenario

pytestmark = pytest.mark.root
CLONE_NEWNS = 0x20000


@contextmanager
def small_disk(directory: str, size: str) -> Iterator[None]:
    """A file system of that size at ``directory``, for this process and its children alone."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("size", ["16k", "240k"])  # no room for the overlay, and none for the work disk behind it
@scenario
async def test_while_a_machine_is_made(installation: Installation, size: str) -> None:
    with small_disk(installation.paths.vms, size):
        async with installation.daemon() as daemon:
            with pytest.raises(errors.DiskFull, match="no space left"):
                await daemon.create()
            assert daemon.vms.list() == [] and installation.machine_files() == []


@scenario
async def test_while_an_image_is_made(installation: Installation, tmp_path: Path) -> None:
    layout = guest_images.busybox(tmp_path / "layout")
    with small_disk(installation.paths.staging, "512k"):
        async with installation.daemon() as daemon:
            operation = await daemon.images.pull(PullImage(reference=layout, name="bb", size=64 * MIB))
            with pytest.raises(errors.DiskFull):
                await daemon.done(operation)
            assert [each.name for each in daemon.images.list()] == ["tiny"]
            assert os.listdir(installation.paths.staging) == []

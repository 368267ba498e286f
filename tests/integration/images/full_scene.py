"""Run by test_image_deaths in a mount namespace: an image is made on disks that are full a little later each time.

One of the installation's directories is a small file system, and a ballast leaves a little more of it free with each
attempt, until one comes to its end. All the others say that the disk is full, or are refused where what is certain to
come has no room, and leave everything as it was. The kind ``make-bundle`` is the program of that name, which needs no
daemon.
"""

import asyncio
import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from banger import errors
from tests.home import BANGER
from tests.installation import Daemon
from tests.integration.images.death_scene import NAME, Scene, sound

WHOLE = 64 << 20


def mount(path: str) -> None:
    os.makedirs(path, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={WHOLE}".encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def fill(path: Path, free: int) -> None:
    """Leave ``free`` bytes of the file system, or as many as there are, with a ballast file."""
    ballast = path / "ballast"
    ballast.unlink(missing_ok=True)
    about = os.statvfs(path)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(about.f_bavail * about.f_frsize - free, 1))


async def attempt(scene: Scene, daemon: Daemon, place: Path, free: int) -> str:
    """How making the image ends with that much free."""
    if place == Path(scene.installation.paths.cache):
        shutil.rmtree(scene.installation.paths.oci_cache, ignore_errors=True)
    fill(place, free)
    try:
        await daemon.done(await scene.begin(daemon))
        end = "done"
    except errors.DiskFull as error:
        end = "full"
        assert "no space left" in error.message, error
    except errors.NoRoom:
        end = "refused"
    (place / "ballast").unlink()
    await daemon.until(lambda: all(each.ended for each in daemon.engine.operations()))
    if end != "done":
        assert scene.images(daemon) == scene.settled, free
    scene.files(scene.images(daemon), f"{free} bytes free")
    return end


def bundle(directory: Path, place: Path, step: int) -> list[str]:
    """How making a bundle ends, time after time."""
    out = place / "made.tar.zst"
    argv = ["--rootfs-tar", "-", "--name", NAME, "--size", "64M", "--out", str(out)]
    ends: list[str] = []
    while not ends or ends[-1] != "done":
        fill(place, len(ends) * step)
        with (directory / "archive.tar").open("rb") as archive:
            made = subprocess.run(
                [*BANGER, "internal", "make-bundle", *argv], stdin=archive, capture_output=True, timeout=60, check=False
            )
        (place / "ballast").unlink()
        ends.append("done" if made.returncode == 0 else "full")
        assert made.returncode == 0 or b"no space left" in made.stderr, made.stderr
        assert os.listdir(place) == ([out.name] if made.returncode == 0 else [])
        assert len(ends) * step < WHOLE
    return ends


async def run(directory: Path, kind: str, place: str, step: int) -> list[str]:
    scene = await asyncio.to_thread(Scene, directory, kind)
    ends: list[str] = []
    try:
        async with scene.installation.daemon() as daemon:
            while not ends or ends[-1] != "done":
                ends.append(await attempt(scene, daemon, Path(place), len(ends) * step))
                assert len(ends) * step < WHOLE
            sound(daemon.images.show(NAME).rootfs)
    finally:
        scene.installation.close()
    return ends


def main() -> None:
    """argv: directory, kind of change, which of the installation's directories is small, bytes of a step."""
    directory = Path(sys.argv[1])
    place = str(directory / sys.argv[3])
    mount(place)
    kind, step = sys.argv[2], int(sys.argv[4])
    if kind == "make-bundle":
        ends = bundle(directory, Path(place), step)
    else:
        ends = asyncio.run(run(directory, kind, place, step))
    print(json.dumps(ends))


if __name__ == "__main__":
    main()

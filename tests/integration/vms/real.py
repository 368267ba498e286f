"""Installations whose machines are real guests, under QEMU."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from banger.kernels import kernel
from banger.kernels.service import DISTRIBUTION
from banger.paths import Paths
from banger.vmm.driver import Driver
from banger.vmm.qemu.driver import QemuDriver
from tests.installation import Installation, agent
from tests.kept import build_cache


def qemu(paths: Paths) -> Driver:
    return QemuDriver(str(build_cache() / "probe"))


def stocked_kernel() -> Path:
    """The distribution's kernel with today's agent, pulled once for all tests of a machine."""
    directory = build_cache() / "test-services-kernel"
    with open(f"{directory}.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not directory.exists():
            staging = Path(f"{directory}.new")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            asyncio.run(kernel.pull(str(staging), agent(), lambda text: None, DISTRIBUTION))
            staging.rename(directory)
    return directory


@contextlib.contextmanager
def booting(tmp_path: Path) -> Iterator[Installation]:
    """An installation that boots real guests, until the block ends."""
    made = Installation(tmp_path, qemu)
    try:
        target = made.paths.kernel(DISTRIBUTION)
        os.makedirs(made.paths.kernels)
        if os.geteuid() == 0:  # monitors run as users of their own and must find their way
            for directory in (tmp_path, *tmp_path.parents):
                mode = directory.stat().st_mode
                if directory.is_relative_to(tempfile.gettempdir()) and not mode & 0o001:
                    directory.chmod(mode & 0o7777 | 0o011)
        shutil.copytree(stocked_kernel(), target)
        yield made
    finally:
        made.close()

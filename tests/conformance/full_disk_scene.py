"""Run by test_qemu in a mount namespace: a guest whose disk lies on a file system that is too small for it."""

import asyncio
import ctypes
import json
import os
import sys
import time
from pathlib import Path

from banger import errors
from banger.disk import overlay
from banger.vmm.driver import Drive, LaunchSpec
from banger.vmm.qemu.driver import QemuDriver

MS_REMOUNT = 32


def mount(path: str, size: int, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", flags, f"size={size}".encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


async def main() -> None:
    settings = json.loads(sys.argv[1])
    small = f"{settings['directory']}/small"
    base = f"{settings['directory']}/base"
    os.mkdir(small)
    Path(base).write_bytes(bytes(1 << 20))

    mount(small, 8 << 10)
    try:
        await overlay.create(f"{small}/disk", base)
        raise AssertionError("an overlay fitted")
    except errors.DiskFull:
        assert os.listdir(small) == [], "a part of it was left"

    mount(small, 16 << 10, MS_REMOUNT)
    await overlay.create(f"{small}/disk", base)
    driver = QemuDriver(f"{settings['directory']}/cache")
    drive = Drive(serial="root", path=f"{small}/disk", format="qcow2", backing=base)
    handle = await driver.launch(
        LaunchSpec(
            vm_id="full", directory=settings["directory"], runtime=settings["directory"], kernel=settings["kernel"],
            initrd=settings["initrd"], cmdline=("test.do=disk",), vcpus=1, memory=256 << 20, drives=(drive,),
        )
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while (reason := await driver.stalled(handle)) is None:
            assert time.monotonic() < deadline, "the guest was not stopped"
            await asyncio.sleep(0.1)
        assert "full" in reason
        assert driver.alive(handle)
        mount(small, 4 << 20, MS_REMOUNT)
        await driver.resume(handle)
        ended = await driver.wait(handle, 120)
    finally:
        await driver.kill(handle)
    assert ended is not None and ended.reason == "powered off"
    assert "wrote root" in Path(handle.console).read_text()


if __name__ == "__main__":
    asyncio.run(main())

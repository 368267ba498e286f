"""Run by test_sources in a mount namespace: a cache on a file system that is too small, and then large enough."""

import asyncio
import contextlib
import ctypes
import json
import os
import sys
from pathlib import Path

from banger import errors
from banger.oci import reference, transport
from banger.oci.cache import Cache

MS_REMOUNT = 32


def mount(path: str, size: int, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", flags, f"size={size}".encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def main() -> None:
    settings = json.loads(sys.argv[1])
    cache = f"{settings['directory']}/small"
    os.mkdir(cache)
    mount(cache, 32 << 10)
    archive = f"oci-archive:{settings['directory']}/image.tar"  # its size is not known beforehand
    for name in (settings["source"], archive):
        try:
            asyncio.run(transport.fetch(reference.parse(name), cache))
            raise AssertionError(f"{name} fitted")
        except errors.DiskFull as full:
            assert full.data["path"] == cache
        assert Cache(cache).entries() == [] and not list(Path(cache).glob("pull-*"))
    mount(cache, 1 << 20, MS_REMOUNT)
    for name in (settings["source"], archive):
        assert len(asyncio.run(transport.fetch(reference.parse(name), cache)).layers) == 2
    with contextlib.suppress(OSError), open(f"{cache}/ballast", "wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    assert os.statvfs(cache).f_bavail == 0
    assert asyncio.run(Cache(cache).prune()).blobs == 4
    assert os.statvfs(cache).f_bavail > 0 and Cache(cache).used() == (0, 0)


if __name__ == "__main__":
    main()

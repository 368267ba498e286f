"""Attempts to lead the root helper's walk out of the owner's directory while it walks."""

import contextlib
import ctypes
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import walk
from banger.helper.operation import Refused

OWNER = 54_321
MOST = 100_000
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``state/vms/one/disk``, and outside of it a file of the same name that must never be reached."""
    for place in ("state/vms/one", "outside/one"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "state/vms/one/disk").write_text("inside")
    (tmp_path / "outside/one/disk").write_text("secret")
    return tmp_path / "state"


@contextlib.contextmanager
def swapping(place: Path, target: Path) -> Iterator[None]:
    """In a thread, over and over: ``place`` and a link to ``target`` change places, in one step each time."""
    over = threading.Event()
    link = Path(f"{place}.link")
    link.symlink_to(target)
    exchange = ctypes.CDLL(None).renameat2
    pair = (AT_FDCWD, bytes(place), AT_FDCWD, bytes(link), RENAME_EXCHANGE)

    def swap() -> None:
        while not over.is_set():
            assert exchange(*pair) == 0

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("swapped", ["vms", "vms/one", "vms/one/disk"])
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_links_swapped_in_while_it_walks(root: Path, swapped: str, flags: int) -> None:
    """Whatever is opened is what was named; the race is run until each side has won often."""
    won = {"opened": 0, "refused": 0}
    target = root.parent / "outside" / Path(swapped).relative_to("vms")
    with swapping(root / swapped, target):
        for _ in range(MOST):
            try:
                descriptor = walk.open_below(str(root), f"{root}/vms/one/disk", flags)
            except Refused:
                won["refused"] += 1
            else:
                assert os.read(descriptor, 100) == b"inside"
                os.close(descriptor)
                won["opened"] += 1
            if min(won.values()) >= 100:
                break
    assert min(won.values()) >= 100, won


def test_a_file_that_is_unlinked_while_it_is_held_is_the_file_that_is_opened(root: Path) -> None:
    """Between check and use there is no name any more."""
    held = walk.hold_below(str(root), f"{root}/vms/one/disk")
    (root / "vms/one/disk").unlink()
    (root / "vms/one/disk").symlink_to(root.parent / "outside/one/disk")
    with open(f"/proc/self/fd/{held}") as file:
        assert file.read() == "inside"
    os.close(held)


@pytest.mark.root
def test_mounts_are_not_crossed(root: Path) -> None:
    """Another file system, the same one bound from elsewhere, and a file bound over a file."""
    for name in ("tmpfs", "bound"):
        (root / name).mkdir()
    (root / "file").write_text("")
    outside = root.parent / "outside/one"
    mounts = [
        ["mount", "-t", "tmpfs", "tmpfs", str(root / "tmpfs")],
        ["mount", "--bind", str(outside), str(root / "bound")],
        ["mount", "--bind", str(outside / "disk"), str(root / "file")],
    ]
    done = []
    try:
        for each in mounts:
            subprocess.run(each, check=True)
            done.append(each[-1])
        (root / "tmpfs" / "disk").write_text("secret")
        for name in ("tmpfs", "tmpfs/disk", "bound", "bound/disk", "file"):
            for flags in (os.O_RDONLY, os.O_PATH):
                with pytest.raises(Refused, match="another mount"):
                    walk.open_below(str(root), f"{root}/{name}", flags)
    finally:
        for place in reversed(done):
            subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_devices_and_links_to_foreign_files(root: Path) -> None:
    """What only root can have put there, or an owner where hard links are not protected."""
    os.mknod(root / "node", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.link(root.parent / "outside/one/disk", root / "hard-link")
    with pytest.raises(Refused, match="neither a file nor a directory"):
        walk.open_below(str(root), f"{root}/node", os.O_RDWR)
    with pytest.raises(Refused, match="belongs to uid 0"):
        walk.open_below(str(root), f"{root}/hard-link", os.O_RDWR, owner=OWNER)
    os.chown(root / "vms/one/disk", OWNER, OWNER)
    os.close(walk.open_below(str(root), f"{root}/vms/one/disk", os.O_RDWR, owner=OWNER))

"""What every strategy for machines' roots promises, as plain functions: no test framework, so that a box can run them.

`play` keeps all promises of one strategy in one directory, or raises AssertionError.
"""

import asyncio
import hashlib
import json
import os
import subprocess
from pathlib import Path

from banger import errors, proc
from banger.disk import edit
from banger.disk.guest_file import GuestFile
from banger.disk.roots.strategy import Place, Root, Strategy

BASE, SIZE = 8 << 20, 24 << 20
LARGE = 640 << 20
"""More than one table of a qcow2 file names."""
STEP = 64 << 10
ONE, TWO = "00000000000000a1", "00000000000000a2"


class Scene:
    """An image and the machines over it."""

    def __init__(self, strategy: Strategy, directory: Path) -> None:
        self.strategy, self.directory = strategy, directory
        self.base = directory / "base.ext4"
        self.base.write_bytes(b"")
        os.truncate(self.base, BASE)
        subprocess.run([proc.find("mke2fs"), "-q", "-F", "-t", "ext4", self.base], check=True, capture_output=True)
        with self.base.open("r+b") as file:
            file.seek(BASE - STEP)
            file.write(b"B" * STEP)
        self.digest = self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self.base.read_bytes()).hexdigest()

    def place(self, machine: str, size: int = SIZE) -> Place:
        directory = self.directory / machine
        directory.mkdir(exist_ok=True)
        return Place(machine, str(directory), str(self.base), size)

    def unchanged(self) -> None:
        assert self._digest() == self.digest, "the image changed"


def write(root: Root, at: int, byte: bytes) -> None:
    """Write a step of one byte, as a monitor would, and let it reach the disk."""
    if root.format == "qcow2":
        _qemu_io(root, f"write -P {byte[0]} {at} {STEP}")
        return
    descriptor = os.open(root.path, os.O_RDWR)
    os.pwrite(descriptor, byte * STEP, at)
    os.fsync(descriptor)
    os.close(descriptor)


def holds(root: Root, at: int, byte: bytes) -> bool:
    """Whether a step has this byte and no other."""
    if root.format == "qcow2":
        return "verification failed" not in _qemu_io(root, f"read -P {byte[0]} {at} {STEP}")
    descriptor = os.open(root.path, os.O_RDONLY)
    found = os.pread(descriptor, STEP, at)
    os.close(descriptor)
    return found == byte * STEP


def size_of(root: Root) -> int:
    if root.format == "qcow2":
        return int(json.loads(_tool("qemu-img", "info", "--output=json", root.path))["virtual-size"])
    descriptor = os.open(root.path, os.O_RDONLY)
    found = os.lseek(descriptor, 0, os.SEEK_END)
    os.close(descriptor)
    return found


def _qemu_io(root: Root, command: str) -> str:
    return _tool("qemu-io", "-f", root.format, "-c", command, root.path)


def _tool(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


async def writes_stay_with_the_machine(scene: Scene) -> None:
    """Through detach and attach, making it again, and beside another machine."""
    strategy, one, two = scene.strategy, scene.place(ONE), scene.place(TWO)
    for place in (one, two):
        await strategy.make(place)
    first, second = await strategy.attach(one), await strategy.attach(two)
    assert first == await strategy.attach(one), "attached already"
    assert holds(first, BASE - STEP, b"B") and holds(second, BASE - STEP, b"B")
    write(first, BASE - STEP, b"1")
    write(first, SIZE - STEP, b"2")
    assert holds(second, BASE - STEP, b"B") and holds(second, SIZE - STEP, b"\0")
    await strategy.detach(one)
    await strategy.detach(one)
    await strategy.make(one)
    first = await strategy.attach(one)
    assert holds(first, BASE - STEP, b"1") and holds(first, SIZE - STEP, b"2")
    assert holds(first, BASE, b"\0"), "nothing was there"
    assert size_of(first) == size_of(second) == SIZE
    for place in (one, two):
        await strategy.remove(place)


async def a_disk_grows_and_keeps_what_is_in_it(scene: Scene) -> None:
    """From the image's own size, more than once, and never back."""
    strategy, place = scene.strategy, scene.place(ONE, BASE)
    await strategy.make(place)
    root = await strategy.attach(place)
    write(root, BASE - STEP, b"1")
    await strategy.detach(place)
    for size in (SIZE, LARGE):
        place = scene.place(ONE, size)
        for each in (place, place, scene.place(ONE, BASE)):
            await strategy.grow(each)
        root = await strategy.attach(place)
        assert size_of(root) == size
        assert holds(root, BASE - STEP, b"1") and holds(root, size - STEP, b"\0")
        assert size == SIZE or holds(root, SIZE - STEP, b"2")
        write(root, size - STEP, b"2")
        await strategy.detach(place)
    await strategy.remove(place)


async def removal_leaves_nothing(scene: Scene) -> None:
    strategy, place = scene.strategy, scene.place(ONE, BASE)
    await strategy.remove(place)
    for attached in (False, True):
        await strategy.make(place)
        if attached:
            assert size_of(await strategy.attach(place)) == BASE
        await strategy.remove(place)
        await strategy.remove(place)
        assert os.listdir(place.directory) == []


async def what_cannot_be_is_refused(scene: Scene) -> None:
    for size, error in ((BASE - 512, errors.ImageTooSmall), (BASE + 1, errors.UsageError)):
        place = scene.place(ONE, size)
        try:
            await scene.strategy.make(place)
        except error:
            assert os.listdir(place.directory) == []
        else:
            raise AssertionError(f"{size} bytes were made")


async def files_get_in(scene: Scene) -> None:
    """By an offline edit where the strategy has one; where not, it says so."""
    strategy, place = scene.strategy, scene.place(ONE)
    await strategy.make(place)
    root = await strategy.attach(place)
    try:
        await strategy.edit(place, [GuestFile("/etc/hostname", b"one\n")])
    except errors.UsageError:
        assert not strategy.offline
    else:
        assert strategy.offline
        copied = scene.directory / "copied"
        copied.write_bytes(Path(root.path).read_bytes())
        assert await edit.read(str(copied), "/etc/hostname", 100) == b"one\n"
        await edit.check(str(copied))
        copied.unlink()
    await strategy.remove(place)


PROMISES = (
    writes_stay_with_the_machine,
    a_disk_grows_and_keeps_what_is_in_it,
    removal_leaves_nothing,
    what_cannot_be_is_refused,
    files_get_in,
)


def play(strategy: Strategy, directory: Path) -> None:
    """Hold a strategy to all of it."""
    scene = Scene(strategy, directory)
    assert asyncio.run(strategy.unavailable(str(directory), str(directory))) is None
    for promise in PROMISES:
        asyncio.run(promise(scene))
        scene.unchanged()

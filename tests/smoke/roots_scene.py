"""Run in the box, as root, by test_roots: machines' disks by the helper's own operations, on this kernel's devices.

``roots_scene.py NAME`` plays one scene in a directory of its own and removes it. What fails is an AssertionError.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from banger.disk.roots.files import Clone
from banger.disk.roots.snapshot import Snapshot as Snapshots
from banger.helper import device_mapper, loop, mapper, udev
from banger.helper.disk import Disks, RawDisk, RemoveDisk
from banger.helper.ext4 import Ext4Read, Ext4Write, SnapshotCheck
from banger.helper.guest_file import GuestFile
from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Outcome, Refused
from banger.helper.snapshot import Snapshot, layout
from banger.helper.turn import perform
from banger.privileged.runner import Local

TOP = Path("/var/lib/banger-roots")
OWNER = 1000
ONE, TWO = "0000000000000001", "0000000000000002"
BASE, SIZE = 32 << 20, 96 << 20


def shell(line: str, check: bool = True) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 or not check, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


class Scene:
    """An installation in ``TOP``: a base image, and machines over it."""

    def __init__(self, top: Path) -> None:
        self.state = top / "state"
        for name in ("private", "runtime"):
            (top / name).mkdir(mode=0o700)
        self.state.mkdir()
        os.chown(self.state, OWNER, OWNER)
        self.host = Host(
            owner_uid=OWNER, owner_gid=OWNER, state=str(self.state), private=str(top / "private"),
            runtime=str(top / "runtime"),
        )  # fmt: skip
        self.base = self.file("base", BASE)
        shell(f"mke2fs -q -F -t ext4 {self.base}")

    def file(self, name: str, size: int) -> Path:
        path = self.state / name
        path.write_bytes(b"")
        os.truncate(path, size)
        os.chown(path, OWNER, OWNER)
        return path

    def snapshot(self, machine: str, size: int = SIZE) -> Snapshot:
        overlay = self.state / f"overlay-{machine}"
        if not overlay.exists():
            self.file(overlay.name, layout(BASE, size).file)
        return Snapshot(vm_id=machine, base=str(self.base), overlay=str(overlay), size=size)

    def do(self, operation: Operation) -> Outcome:
        return perform(operation, self.host)

    def undo(self, operation: Operation) -> None:
        perform(operation, self.host, undo=True)

    def refused(self, operation: Operation, error: type[Exception] = Refused) -> str:
        try:
            self.do(operation)
        except error as fault:
            return str(fault)
        raise AssertionError(f"{operation} was done")

    def digest(self) -> str:
        return hashlib.sha256(self.base.read_bytes()).hexdigest()


@contextlib.contextmanager
def mounted(device: object) -> Iterator[Path]:
    place = TOP / "mounted"
    place.mkdir(exist_ok=True)
    shell(f"mount {device} {place}")
    try:
        yield place
    finally:
        shell(f"umount {place}")


def devices() -> set[str]:
    """Attached loop devices and mapped devices."""
    return set(shell("losetup -ln -O NAME,BACK-FILE; dmsetup ls | grep -v 'No devices' || true").splitlines())


def path_of(outcome: Outcome) -> str:
    return str(outcome.values["device"])


# -- scenes -----------------------------------------------------------------------------------------------------------


def lifecycle(scene: Scene) -> None:
    """Made, equal again, different refused; larger than its image; written, detached, attached; gone."""
    before, digest = devices(), scene.digest()
    one, two = scene.snapshot(ONE), scene.snapshot(TWO)
    first = scene.do(one)
    assert scene.do(one) == first, "an equal one is the answer"
    assert int(shell(f"blockdev --getsize64 {path_of(first)}")) == SIZE
    scene.refused(scene.snapshot(ONE, BASE))
    scene.file("other", layout(BASE, SIZE).file)
    other = Snapshot(vm_id=ONE, base=str(scene.base), overlay=str(scene.state / "other"), size=SIZE)
    assert "something else" in scene.refused(other)
    taken = Snapshot(vm_id=TWO, base=str(scene.base), overlay=one.overlay, size=SIZE)
    assert "in use" in scene.refused(taken, Failed), "one overlay, one machine"
    second = scene.do(two)
    assert scene.do(Disks()).values["machines"] == [ONE, TWO]
    shell(f"resize2fs {path_of(first)}")
    data = os.urandom(48 << 20)
    with mounted(path_of(first)) as place:
        (place / "large").write_bytes(data)
        assert "busy" in scene.refused(RemoveDisk(vm_id=ONE), Failed)
        assert "in use" in scene.refused(Ext4Read(vm_id=ONE, path="/large"), Failed)
    with mounted(path_of(second)) as place:
        assert not (place / "large").exists()
    scene.undo(one)
    scene.undo(one)
    assert scene.do(Disks()).values["machines"] == [TWO]
    with mounted(path_of(scene.do(one))) as place:
        assert (place / "large").read_bytes() == data
    scene.do(RemoveDisk(vm_id=ONE))
    scene.undo(two)
    assert devices() == before
    assert scene.digest() == digest


def files(scene: Scene) -> None:
    """Checked, edited and read through the operations."""
    device = path_of(scene.do(scene.snapshot(ONE)))
    assert scene.do(SnapshotCheck(vm_id=ONE)).values == {"mended": False}
    scene.do(Ext4Write(vm_id=ONE, files=(GuestFile("/etc/hostname", b"one\n"), GuestFile("/etc/l", target="hostname"))))
    assert scene.do(Ext4Read(vm_id=ONE, path="/etc/l")).values == {"content": "b25lCg=="}
    with mounted(device) as place:
        assert (place / "etc/hostname").read_text() == "one\n"
    scene.do(RemoveDisk(vm_id=ONE))


def capacity(scene: Scene) -> None:
    """Every chunk of an image written, to the last one of an area: the store holds all."""
    size = 4 * 256 * 4096
    os.truncate(scene.base, size)
    scene.file(f"overlay-{ONE}", layout(size, size).file)
    asked = scene.snapshot(ONE, size)
    device = path_of(scene.do(asked))
    shell(f"dd if=/dev/urandom of={device} bs={size} count=1 iflag=fullblock conv=fsync status=none")
    status = shell(f"dmsetup status fc-rootfs-{ONE}")
    assert "Invalid" not in status and "Overflow" not in status, status
    used, _, whole = status.split()[3].partition("/")
    assert size // 512 < int(used) <= int(whole)
    written = shell(f"sha256sum < {device}")
    scene.do(RemoveDisk(vm_id=ONE))
    assert shell(f"sha256sum < {path_of(scene.do(asked))}") == written
    scene.do(RemoveDisk(vm_id=ONE))


def full(scene: Scene) -> None:
    """The host's disk is full: errors for the guest; afterwards all that it was told is written is there."""
    asked = scene.snapshot(ONE)
    device = path_of(scene.do(asked))
    shell(f"resize2fs {device}")
    with mounted(device) as place:
        (place / "kept").write_bytes(b"kept" * 1000)
        os.sync()
        shell(f"fallocate -l 1T {scene.state}/ballast || cat /dev/zero > {scene.state}/ballast", check=False)
        failed = False
        for number in range(64):
            try:
                with open(place / f"lost-{number}", "wb") as file:
                    file.write(os.urandom(1 << 20))
                    os.fsync(file.fileno())
            except OSError:
                failed = True
                break
        assert failed, "the guest was told nothing"
    status = shell(f"dmsetup status fc-rootfs-{ONE}")
    os.unlink(scene.state / "ballast")
    scene.undo(asked)
    device = path_of(scene.do(asked))
    assert "Invalid" in status, "the kernel gave the store up"
    scene.do(SnapshotCheck(vm_id=ONE))
    with mounted(device) as place:
        assert (place / "kept").read_bytes() == b"kept" * 1000
        (place / "new").write_bytes(b"x" * (1 << 20))
        os.sync()
    scene.undo(asked)


def killed(scene: Scene) -> None:
    """Killed behind each of its system calls on devices, one after the other: found again, taken back or finished."""
    before = devices()
    asked = dataclasses.replace(scene.snapshot(ONE), work=str(scene.file("work", SIZE)))
    calls, finished = 0, False
    while not finished:
        finished = ended_behind(calls, lambda: scene.do(asked))
        there = any(ONE in each for each in device_mapper.names())
        assert (scene.do(Disks()).values["machines"] == [ONE]) == there, calls
        if calls % 2:
            scene.do(asked)
        scene.undo(asked)
        assert not any(ONE in each for each in device_mapper.names()), calls
        calls += 1
    assert calls > 12, "a loop device and a device of the mapper's each take some"
    assert devices() == before


def ended_behind(calls: int, act: Callable[[], object]) -> bool:
    """Do it in a process that is killed behind so many calls of ioctl(2); whether it came to its end before."""
    child = os.fork()
    if child == 0:
        real, done = fcntl.ioctl, 0

        def counted(*arguments: Any) -> Any:
            nonlocal done
            try:
                return real(*arguments)
            finally:
                done += 1
                if done > calls:
                    os.kill(os.getpid(), signal.SIGKILL)

        fcntl.ioctl = counted
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0


def foreign(scene: Scene) -> None:
    """A device of the right name that somebody else made is nobody's to touch."""
    name = f"fc-rootfs-{ONE}"
    shell(f"dmsetup create {name} --table '0 8 zero'; dmsetup create vg-x --uuid banger-{TWO} --table '0 8 zero'")
    try:
        for operation in (scene.snapshot(ONE), RemoveDisk(vm_id=ONE), SnapshotCheck(vm_id=ONE)):
            assert "not banger's" in scene.refused(operation)
        scene.do(RemoveDisk(vm_id=TWO))
        assert scene.do(Disks()).values["machines"] == []
        assert {"vg-x", name} <= set(shell("dmsetup ls").split())
    finally:
        shell(f"dmsetup remove {name} vg-x")


def unread(scene: Scene) -> None:
    """udev, blkid and LVM leave machines' disks alone; without the rules they would not.

    What LVM is shown is the loop device of a raw file, before device-mapper has it: the guest's own bytes.
    """
    rules, raw = Path(udev.PATH), scene.file("raw", SIZE)
    asked = scene.snapshot(ONE)
    device = shell(f"losetup --show --find {raw}").strip()
    shell(f"pvcreate -qq -y {device} && vgcreate -qq guestvg {device} && lvcreate -qq -an -Zn -n inside -l 4 guestvg")
    shell(f"udevadm settle; vgchange -qq -an guestvg; losetup --detach {device}; udevadm settle")

    def seen() -> tuple[bool, bool]:
        """Whether udev has looked into one of a disk's devices, and whether the guest's volume became active."""
        made = scene.do(asked)
        shell("udevadm settle")
        looked = "ID_FS_TYPE" in "".join(
            shell(f"udevadm info --query=property {each} || true")
            for each in (made.values["device"], *(f"/dev/block/{n}" for n in made.values["loops"]))  # type: ignore[attr-defined]
        )
        scene.undo(asked)
        shell("rm -rf /run/lvm/pvs_online /run/lvm/vgs_online; udevadm settle")
        with open(raw, "r+b") as file, loop.attach(file.fileno()):
            shell("udevadm settle")
            active = activated()
            shell("vgchange -qq -an guestvg", check=False)
        shell("udevadm settle")
        return looked, active

    try:
        rules.parent.mkdir(exist_ok=True)
        rules.write_text(udev.rules(scene.host))
        shell("udevadm control --reload")
        assert seen() == (False, False)
        rules.unlink()
        shell("udevadm control --reload")
        assert seen() == (True, True), "this host has no udev that looks, or no LVM that activates what it is shown"
    finally:
        rules.unlink(missing_ok=True)
        shell("udevadm control --reload; udevadm settle; systemctl reset-failed 'lvm-activate-*' || true")


def activated() -> bool:
    """Whether the guest's volume is active, once nothing is about to activate it any more."""
    for _ in range(60):
        if "guestvg-inside" in shell("dmsetup ls"):
            return True
        if not shell("systemctl list-units --no-legend --state=active,activating 'lvm-activate-*'; systemctl list-jobs"
                     " --no-legend 'lvm-activate-*'"):  # fmt: skip
            return False
        time.sleep(0.5)
    return False


def clone(scene: Scene) -> None:
    """A raw file of a machine's own, by the file system's clones: the same device as a snapshot makes."""
    copy = scene.state / "copy"
    shell(f"cp --reflink=always {scene.base} {copy} && truncate -s {SIZE} {copy} && chown {OWNER} {copy}")
    asked, digest = RawDisk(vm_id=ONE, file=str(copy)), scene.digest()
    device = path_of(scene.do(asked))
    assert path_of(scene.do(asked)) == device
    assert "in use" in scene.refused(RawDisk(vm_id=TWO, file=str(copy)), Failed)
    shell(f"resize2fs {device}")
    with mounted(device) as place:
        (place / "file").write_bytes(b"x" * (40 << 20))
    scene.undo(asked)
    assert path_of(scene.do(asked)) == device
    with mounted(device) as place:
        assert (place / "file").stat().st_size == 40 << 20
    scene.undo(asked)
    assert scene.digest() == digest


def work(scene: Scene) -> None:
    """A work disk comes and goes with its root, by one request, and is a device of its own."""
    before, file = devices(), scene.file("work.ext4", SIZE)
    shell(f"mke2fs -q -F -t ext4 {file} 16M")
    snapshot = dataclasses.replace(scene.snapshot(ONE), work=str(file))
    copy = scene.file("copy", BASE)
    for asked in (snapshot, RawDisk(vm_id=ONE, file=str(copy), work=str(file))):
        first = scene.do(asked)
        assert scene.do(asked) == first, "an equal one is the answer"
        found = mapper.find(ONE, work=True)
        assert found is not None and found.path != path_of(first)
        assert int(shell(f"blockdev --getsize64 {found.path}")) == SIZE
        assert scene.do(Disks()).values["machines"] == [ONE]
        assert "in use" in scene.refused(RawDisk(vm_id=TWO, file=str(file)), Failed)
        with mounted(found.path) as place:
            (place / "file").write_bytes(b"kept")
        scene.do(RemoveDisk(vm_id=ONE))
        assert devices() == before
    assert shell(f"debugfs -R 'cat /file' {file}") == "kept"


def promises(scene: Scene) -> None:
    """What every strategy promises (tests/conformance), of those that make devices."""
    play = importlib.import_module("strategy_promises").play  # beside this program in the box
    helper = Local(dataclasses.replace(scene.host, owner_uid=0, owner_gid=0))
    for number, strategy in enumerate((Snapshots(helper), Clone(helper))):
        directory = scene.state / str(number)
        directory.mkdir()
        play(strategy, directory)


SCENES: dict[str, tuple[Callable[[Scene], None], str]] = {
    "lifecycle": (lifecycle, ""), "files": (files, ""), "capacity": (capacity, ""), "killed": (killed, ""),
    "foreign": (foreign, ""), "unread": (unread, ""), "full": (full, "mke2fs -q -F -t ext4"),
    "clone-btrfs": (clone, "mkfs.btrfs -q -f"), "promises": (promises, "mkfs.btrfs -q -f"),
    "work": (work, ""), "clone-xfs": (clone, "mkfs.xfs -q -f -m reflink=1"),
}  # fmt: skip
"""Each with the file system that its directory lies on, if not the host's own."""


def main(name: str) -> None:
    act, format = SCENES[name]
    TOP.mkdir()
    small = Path("/var/lib/banger-roots.img")
    try:
        if format:
            megabytes = 320 if "xfs" in format else 160
            shell(f"truncate -s {megabytes}M {small} && {format} {small} && mount -o loop {small} {TOP}")
        act(Scene(TOP))
    finally:
        for device in mapper.devices():
            mapper.remove_all(device.machine)
        if format:
            shell(f"umount {TOP}; rm -f {small}", check=False)
        shell(f"rm -rf {TOP}")


if __name__ == "__main__":
    main(sys.argv[1])

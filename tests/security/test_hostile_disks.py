"""Disks that a guest wrote, given to the tools of the root helper: what these may do, and that each has an end.

The tools run on loop devices here, as they do on machines' devices: as a user of their own, on a node without a name.
"""

import contextlib
import os
import random
import resource
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import ext4, inodes, loop, offline, program
from banger.helper.guest_file import Directory, Edit, GuestFile, Owner, Remove
from banger.helper.host import Host
from banger.helper.offline import Device
from banger.helper.operation import Failed, Refused

pytestmark = pytest.mark.root
SIZE = 16 << 20


class Disk:
    """A file with a file system, attached, and the way in that the tools get."""

    def __init__(self, path: Path, host: Host, attached: loop.Loop, target: Device) -> None:
        self.path, self.host, self.attached, self.target = path, host, attached, target

    def overwrite(self, at: int, data: bytes) -> None:
        """Write as the guest would: through the device."""
        os.pwrite(self.attached.descriptor, data, at)
        os.fsync(self.attached.descriptor)

    def checked(self) -> int:
        """The status of a full check by this host's own e2fsck."""
        os.fsync(self.attached.descriptor)
        return subprocess.run(["e2fsck", "-fn", self.path], capture_output=True, check=False).returncode


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("private", "runtime", "state"):
        (tmp_path / name).mkdir(mode=0o700)
    paths = {name: str(tmp_path / name) for name in ("private", "runtime", "state")}
    return Host(owner_uid=0, owner_gid=0, **paths)  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path, host: Host) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.write_bytes(b"")
    os.truncate(path, SIZE)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", path], check=True, capture_output=True)
    file = os.open(path, os.O_RDWR)
    with loop.attach(file) as attached, offline.device(host, os.fstat(attached.descriptor).st_rdev) as target:
        yield Disk(path, host, attached, target)
    os.close(file)
    assert os.listdir(host.private) == [], "a device node was left"


def test_files_are_written_read_and_verified(disk: Disk) -> None:
    made: list[Edit] = [
        GuestFile("/etc/hostname", b"one\n"),
        GuestFile("/etc/link", target="hostname"),
        Directory("/var/x", 0o700, 5, 6),
        GuestFile("/large", bytes(range(256)) * 8192, 0o4755, 7, 8),
    ]
    ext4.write(disk.target, made)
    assert ext4.read(disk.target, "/etc/link") == b"one\n"
    assert ext4.read(disk.target, "/large") == bytes(range(256)) * 8192
    ext4.write(disk.target, [GuestFile("/etc/hostname", b"two\n"), Owner("/large", 0, 0, 0o600), Remove("/var/x")])
    assert ext4.read(disk.target, "/etc/hostname") == b"two\n"
    found = {each.name: each.mode & 0o7777 for each in offline.follow(disk.target, inodes.listing("/"))}
    assert found[b"large"] == 0o600 and b"var" in found
    assert disk.checked() == 0
    with pytest.raises(Failed, match="no file '/var/x'"):
        ext4.read(disk.target, "/var/x")
    with pytest.raises(Refused):
        ext4.write(disk.target, [GuestFile("/a/../b")])


def test_the_tools_can_open_their_device_and_nothing_else(disk: Disk) -> None:
    script = f"""
        true <>{disk.target.path} && echo own
        true <{disk.attached.path} || echo not by name
        true <{disk.path} || echo not the file
        true >{disk.host.runtime}/x || echo not here
        (true) || echo no child
    """
    done = program.run(
        "sh", path="/bin/sh", input=script.encode(), user=disk.target.uid, descriptors=[disk.target.descriptor],
        ok=range(256),
    )  # fmt: skip
    assert done.stdout.decode().split("\n")[:4] == ["own", "not by name", "not the file", "not here"]
    assert b"fork" in done.stderr and done.status != 0, "a shell without children ends here"


def test_no_two_runs_share_a_user(host: Host) -> None:
    with contextlib.ExitStack() as held:
        uids = [held.enter_context(offline.borrowed_uid(host)) for _ in range(4)]
        assert len(set(uids)) == 4
        assert not set(uids) & {host.uid(0), host.uid(host.uid_count - 1), host.owner_uid, 0}
    with offline.borrowed_uid(host) as uid:
        assert uid == uids[0]


def test_a_node_that_a_killed_helper_left_is_not_opened_and_goes(host: Host, tmp_path: Path) -> None:
    """Killed between the making of the node and its unlinking, for the same user."""
    with offline.borrowed_uid(host) as uid:
        pass
    left = Path(host.private) / f".node-{uid}"
    os.mknod(left, stat.S_IFCHR | 0o600, os.stat("/dev/null").st_rdev)
    zero = os.stat("/dev/zero").st_rdev
    with offline.device(host, zero) as target:  # any number will do: nobody opens it
        found = os.fstat(target.descriptor)
        assert stat.S_ISBLK(found.st_mode) and found.st_rdev == zero and target.uid == uid
    assert os.listdir(host.private) == []


def test_when_every_user_is_taken_it_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "_PATIENCE", 0.0)
    monkeypatch.setattr("banger.helper.host.TOOL_UIDS", 1)
    with offline.borrowed_uid(host), pytest.raises(Failed) as failed, offline.borrowed_uid(host):
        pass
    assert failed.value.busy


def test_a_machine_that_was_killed_is_mended_before_it_is_edited(disk: Disk) -> None:
    recover = struct.pack("<I", struct.unpack("<I", os.pread(disk.attached.descriptor, 4, 1024 + 0x60))[0] | 4)
    disk.overwrite(1024 + 0x60, recover)
    with pytest.raises(Failed, match="not unmounted"):
        ext4.write(disk.target, [GuestFile("/a")])
    offline.mend(disk.target)
    ext4.write(disk.target, [GuestFile("/a", b"a")])
    assert offline.mend(disk.target) is False
    assert disk.checked() == 0


def test_damage_that_the_quick_check_leaves_is_mended_by_the_full_one(disk: Disk) -> None:
    ext4.write(disk.target, [GuestFile("/kept", b"kept"), Directory("/d")])
    disk.overwrite(1024 + 0x3A, struct.pack("<H", 2))  # marked as damaged
    bitmap = struct.unpack("<I", os.pread(disk.attached.descriptor, 4, 2048))[0]
    disk.overwrite(bitmap * 1024, b"\x00" * 512)
    assert offline.mend(disk.target) is True
    assert ext4.read(disk.target, "/kept") == b"kept"
    assert disk.checked() == 0


@pytest.mark.parametrize("content", [b"", b"LABELONE" + b"\0" * 24 + b"LVM2 001", b"\xeb\x3c\x90" + b"FAT" * 500])
def test_what_is_no_file_system(disk: Disk, content: bytes) -> None:
    disk.overwrite(0, content.ljust(64 << 10, b"\0"))
    for work in (
        lambda: offline.mend(disk.target),
        lambda: ext4.read(disk.target, "/a"),
        lambda: ext4.write(disk.target, [GuestFile("/a")]),
    ):
        with pytest.raises(Failed):
            work()


def test_a_file_without_end_is_not_read(disk: Disk) -> None:
    ext4.write(disk.target, [GuestFile("/endless", b"")])
    command = ["debugfs", "-w", "-R", f"sif /endless size {1 << 50}", disk.attached.path]
    subprocess.run(command, check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Failed, match="more than"):
        ext4.read(disk.target, "/endless")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_superblocks_and_descriptors_at_random(disk: Disk) -> None:
    """Seeded damage to the first blocks, where all that is counted and pointed to begins."""
    ext4.write(disk.target, [GuestFile("/etc/hostname", b"one\n")])
    whole = disk.path.read_bytes()
    chosen = random.Random(7)
    ends: dict[str, int] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60):
        for _ in range(chosen.choice((1, 2, 8))):
            at = chosen.choice((1024 + chosen.randrange(1024), 2048 + chosen.randrange(4096)))
            width = chosen.choice((1, 2, 4))
            value = chosen.choice((0, (1 << 8 * width) - 1, chosen.randrange(1 << 8 * width)))
            disk.overwrite(at, value.to_bytes(width, "little"))
        for work in (lambda: ext4.read(disk.target, "/etc/hostname"), lambda: offline.mend(disk.target)):
            try:
                end = type(work()).__name__
            except Failed as failed:
                assert str(failed).isprintable()
                end = "Failed"
            ends[end] = ends.get(end, 0) + 1
        disk.overwrite(0, whole[: 1 << 20])
    assert ends.keys() == {"bytes", "bool", "Failed"}, "each kind of end was met"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10

"""What a monitor is told, and the files of a machine."""

import asyncio

import pytest

from banger.disk.guest_file import GuestFile
from banger.guest.assets import Assets
from banger.images.record import ImageRecord
from banger.kernels.kernel import File, Kernel
from banger.paths import Paths
from banger.vmm.driver import Limits, UserNetwork
from banger.vms import boot
from banger.vms.files import archive_of_start, machine_files
from banger.vms.record import VmRecord

PATHS = Paths("/config", "/state", "/cache", "/run")
LIMITS = Limits(io_bytes=1 << 20, io_operations=100)


def machine(**fields: object) -> VmRecord:
    known = {
        "id": "ab12", "name": "one", "image": "tiny", "image_id": "cd34", "kernel": "stock", "vcpu": 2,
        "memory": 1 << 30, "disk_size": 8 << 30, "driver": "fake", "slot": 3, "created": 0.0,
    }  # fmt: skip
    return VmRecord(**{**known, **fields})  # type: ignore[arg-type]


def image(**fields: object) -> ImageRecord:
    known = {
        "id": "cd34", "name": "tiny", "kind": "oci", "source": "x", "digest": "sha256:0", "writer": 1,
        "architecture": "amd64", "size": 8 << 30, "created": 0.0,
    }  # fmt: skip
    return ImageRecord(**{**known, **fields})  # type: ignore[arg-type]


def kernel(*files: str) -> Kernel:
    return Kernel(
        name="stock",
        release="6.1",
        arch="x86_64",
        source="",
        created=0.0,
        agent="",
        modules_size=0,
        files={name: File(1, "") for name in files},
    )


def test_a_plain_machine() -> None:
    spec = boot.launch_spec(machine(), image(), kernel(), PATHS, None, Limits())
    assert spec.cmdline == ("banger.root=root", "banger.hostname=one")
    (root,) = spec.drives
    assert (root.serial, root.format, root.read_only) == ("root", "qcow2", False)
    assert (root.path, root.backing) == ("/state/vms/ab12/disk.qcow2", "/state/images/cd34/rootfs.ext4")
    assert (spec.kernel, spec.initrd) == ("/state/kernels/stock/vmlinux", "/state/vms/ab12/initrd.cpio")
    assert (spec.directory, spec.runtime, spec.network, spec.uid) == ("/state/vms/ab12", "/run/vms/ab12", None, None)
    assert spec.slot == 3, "its tap and its user follow from it"


def test_a_machine_in_a_jail() -> None:
    spec = boot.launch_spec(
        machine(jailed=True, root="snapshot"), image(), kernel("modules.ext4"), PATHS, None, Limits()
    )
    root, modules = spec.drives
    assert (root.path, root.format, root.backing) == ("/dev/mapper/fc-rootfs-ab12", "raw", None)
    assert modules.read_only and modules.path == "/state/kernels/stock/modules.ext4"


@pytest.mark.parametrize("ephemeral", [False, True])
def test_flushes_are_for_disks_that_outlive_their_machine(ephemeral: bool) -> None:
    root, *_ = boot.launch_spec(machine(ephemeral=ephemeral), image(), kernel(), PATHS, None, Limits()).drives
    assert root.durable is not ephemeral


def test_everything_at_once() -> None:
    record = machine(network=UserNetwork(), disk_size=9 << 30)
    spec = boot.launch_spec(record, image(init="/sbin/init"), kernel("modules.ext4"), PATHS, 900003, LIMITS)
    assert spec.cmdline == (
        "banger.root=root",
        "banger.hostname=one",
        "banger.modules=modules",
        "banger.init=/sbin/init",
        "systemd.mask=serial-getty@ttyS0.service",
        "banger.grow=1",
        "banger.net=10.0.2.15/24,10.0.2.2",
    )
    modules = spec.drives[1]
    assert (modules.serial, modules.format, modules.read_only) == ("modules", "raw", True)
    assert (spec.uid, spec.network, spec.limits) == (900003, UserNetwork(), LIMITS)


@pytest.mark.parametrize("init", ["/sbin/init banger.root=other", "/a\nb", "relative", "/x" * 200])
def test_an_init_that_could_be_other_words_is_not_used(init: str) -> None:
    words = boot.command_line(machine(), image(init=init), False)
    assert words == ("banger.root=root", "banger.hostname=one")


def test_the_files_of_a_machine() -> None:
    files = {each.path: each for each in machine_files("one", UserNetwork(), "/sbin/init")}
    assert files["/etc/hostname"].content == b"one\n"
    assert b"127.0.1.1 one\n" in files["/etc/hosts"].content
    assert files["/etc/resolv.conf"].content == b"nameserver 10.0.2.3\n"
    assert files["/etc/machine-id"].content == b""
    assert all(each.target is None and each.mode == 0o644 and each.uid == each.gid == 0 for each in files.values())


def test_without_a_network_name_resolution_is_left_alone_and_without_an_init_the_machine_id() -> None:
    assert {each.path for each in machine_files("one", None, None)} == {"/etc/hostname", "/etc/hosts"}


def brought(record: VmRecord, image: ImageRecord) -> bytes:
    return asyncio.run(archive_of_start(record, image, "/no/file", TODAY))


TODAY = Assets((GuestFile("/usr/local/bin/banger-agent", b"of today", 0o755),), "sha256:today")


@pytest.mark.parametrize(
    ("on_disk", "in_image", "expected"),
    [
        ("", "sha256:today", False),
        ("", "sha256:older", True),
        ("", "", True),
        ("sha256:today", "sha256:older", False),
        ("sha256:older", "sha256:today", True),
    ],
    ids=["image of today", "older image", "image without", "brought before", "host went on"],
)
def test_a_root_gets_the_assets_of_today_unless_it_has_them(on_disk: str, in_image: str, expected: bool) -> None:
    record = machine(assets=on_disk, started=1.0)
    archive = brought(record, image(assets=in_image))
    assert (b"banger/assets/usr/local/bin/banger-agent" in archive) is (b"of today" in archive) is expected
    assert b"etc/hostname" not in archive, "the machine has started before"
    assert b"banger/files/etc/hostname" in brought(machine(assets=on_disk), image(assets=in_image))

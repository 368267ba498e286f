"""A machine in Firecracker's words."""

from typing import Any

import pytest
from msgspec.structs import replace

from banger import errors
from banger.vmm.driver import Drive, LaunchSpec, TapNetwork, UserNetwork
from banger.vmm.firecracker import configuration, resources

ID = "0123456789abcdef"
ROOT = Drive(serial="root", path=f"/dev/mapper/fc-rootfs-{ID}", format="raw")
WORK = Drive(serial="work", path=f"/dev/mapper/fc-work-{ID}", format="raw")
MODULES = Drive(serial="modules", path="/var/lib/banger/kernels/k/modules.ext4", format="raw", read_only=True)
TAP = TapNetwork(
    tap="tap-fc-3", address="172.16.0.5/24", gateway="172.16.0.1", dns="172.16.0.1", mac="02:fc:00:00:00:05"
)
SPEC = LaunchSpec(
    vm_id=ID,
    directory="/d",
    runtime="/r",
    kernel="/k",
    initrd="/i",
    cmdline=("banger.root=root", "banger.modules=modules", "banger.hostname=modules"),
    vcpus=2,
    memory=256 << 20,
    drives=(ROOT, MODULES),
    network=TAP,
)


def requests(**changes: Any) -> list[resources.Request]:
    return list(configuration.requests(replace(SPEC, **changes)))


def test_the_start_comes_last_and_everything_once() -> None:
    made = requests()
    assert made[-1] == resources.Action(action_type="InstanceStart")
    paths = [each.path for each in made if not isinstance(each, resources.Logger)]
    assert len(set(paths)) == len(paths)


def test_the_guest_is_told_devices_in_the_order_of_the_drives() -> None:
    words = configuration.cmdline(SPEC)
    assert words[-3:] == ["banger.root=/dev/vda", "banger.modules=/dev/vdb", "banger.hostname=modules"]
    drives = [each for each in requests() if isinstance(each, resources.BlockDevice)]
    assert [(each.drive_id, each.path_on_host, each.is_read_only) for each in drives] == [
        ("root", "/root", False),
        ("modules", "/modules", True),
    ]
    assert not any(each.is_root_device for each in drives)  # that one would come first


def test_a_work_disk_is_the_second_device() -> None:
    spec = replace(SPEC, drives=(ROOT, WORK, MODULES), cmdline=(*SPEC.cmdline[:2], "banger.work=work"))
    configuration.check(spec)
    words = configuration.cmdline(spec)
    assert words[-3:] == ["banger.root=/dev/vda", "banger.modules=/dev/vdc", "banger.work=/dev/vdb"]
    drives = [each for each in configuration.requests(spec) if isinstance(each, resources.BlockDevice)]
    assert [(each.path_on_host, each.is_read_only, each.cache_type) for each in drives[:2]] == [
        ("/root", False, "Writeback"),
        ("/work", False, "Writeback"),
    ]


@pytest.mark.parametrize(("durable", "cache"), [(True, "Writeback"), (False, "Unsafe")])
def test_flushes_reach_the_disk_of_a_durable_drive(durable: bool, cache: str) -> None:
    drives = [each for each in requests(drives=(replace(ROOT, durable=durable),)) if hasattr(each, "cache_type")]
    assert [each.cache_type for each in drives] == [cache]


def test_a_machine_without_a_network_has_no_interface() -> None:
    assert resources.NetworkInterface(iface_id="eth0", host_dev_name=TAP.tap, guest_mac=TAP.mac) in requests()
    assert not any(isinstance(each, resources.NetworkInterface) for each in requests(network=None))


def test_the_kernel_is_told_how_such_a_machine_ends() -> None:
    words = configuration.cmdline(SPEC)
    assert {"reboot=k", "pci=off", "console=ttyS0", "banger.port=vsock", "banger.off=reset"} <= set(words)
    assert len({each.partition("=")[0] for each in words}) == len(words)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vcpus": 0}, "1 to 32"),
        ({"vcpus": 33}, "1 to 32"),
        ({"memory": 1 << 20}, "too little"),
        ({"network": UserNetwork()}, "needs a tap"),
        ({"drives": (replace(ROOT, format="qcow2"),)}, "format qcow2"),
        ({"drives": (replace(ROOT, path="/dev/sda"),)}, "is not this machine's device"),
        ({"drives": (replace(ROOT, path="/dev/mapper/fc-rootfs-fedcba9876543210"),)}, "is not this machine's device"),
        ({"drives": (replace(WORK, path=ROOT.path),)}, "is not this machine's device"),
        ({"drives": (replace(ROOT, path=WORK.path),)}, "is not this machine's device"),
        ({"drives": (replace(MODULES, read_only=False),)}, "its own device"),
    ],
)
def test_what_firecracker_cannot_do_is_refused_in_words(changes: dict[str, Any], reason: str) -> None:
    configuration.check(SPEC)
    with pytest.raises(errors.VmmFailed, match=reason):
        configuration.check(replace(SPEC, **changes))

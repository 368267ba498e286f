"""What the probe's answer depends on."""

import os

from banger.vmm.firecracker import probe


def test_a_devices_times_do_not_count() -> None:
    """udev sets them anew with every virtual machine that KVM makes."""
    descriptor = os.memfd_create("stands for /dev/kvm")
    try:
        path = f"/proc/self/fd/{descriptor}"
        before = probe._device(path)
        os.utime(path, (1, 1))
        assert probe._device(path) == before != ""
        os.chmod(path, 0o600)
        assert probe._device(path) != before
    finally:
        os.close(descriptor)


def test_a_device_that_is_not_there_is_none() -> None:
    assert probe._device("/dev/none-of-that-name") == ""

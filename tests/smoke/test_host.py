"""The box itself: a host with systemd and KVM, on which nothing of banger runs yet."""

from tests.smoke.host.box import Host

KVM_ANSWERS = """
import fcntl, os
kvm = os.open("/dev/kvm", os.O_RDWR)
GET_API_VERSION, CREATE_VM = 0xAE00, 0xAE01
assert fcntl.ioctl(kvm, GET_API_VERSION, 0) == 12
print("machine", fcntl.ioctl(kvm, CREATE_VM, 0) > 0)
"""


def test_it_is_a_settled_systemd_host(host: Host) -> None:
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert host.read("/proc/1/comm") == "systemd\n"
    assert host.run(["hostname"]).stdout == "box\n"


def test_its_kernel_can_do_what_machines_need(host: Host) -> None:
    assert host.run(["python3", "-c", KVM_ANSWERS]).stdout == "machine True\n"
    for device in ("/dev/kvm", "/dev/vhost-vsock", "/dev/net/tun", "/dev/mapper/control", "/dev/loop-control"):
        host.run(["test", "-c", device])
    assert "snapshot" in host.run(["dmsetup", "targets"]).stdout
    host.run("nft 'add table ip smoke; add chain ip smoke c { type nat hook postrouting priority 100; };"
             " add rule ip smoke c masquerade'; nft delete table ip smoke")  # fmt: skip
    assert "cgroup2" in host.run(["stat", "-fc", "%T", "/sys/fs/cgroup"]).stdout


def test_its_inputs_are_in_place(host: Host) -> None:
    assert host.run(["firecracker", "--version"]).stdout.startswith("Firecracker v1.12.1")
    assert host.run(["jailer", "--version"]).stdout.startswith("Jailer v1.12.1")
    assert host.run(["sh", "-c", "command -v qemu-system-x86_64"], check=False).status != 0

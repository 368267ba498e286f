"""The host checklist: what Firecracker's makers ask of a host whose guests do not trust each other.

Each row reads one place of the kernel's. What is advice there is a ``warn`` here, with the one command that takes it; a
``fail`` is only what keeps machines from running. ``root`` is where the kernel's file systems are.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping

from banger.daemon.checks import Found
from banger.net import checks as network
from banger.net import plan
from banger.system.record import Record

Row = Callable[..., Found]
"""A row: of the record, and of where the kernel's file systems are."""

LEAST_KERNEL = (5, 14)
"""For cgroup.kill, without which a jail cannot be swept at once."""
GUEST_LINES = ((5, 10), (6, 1), (6, 18))
"""The host kernels that Firecracker is tested on."""
CONTROLLERS = ("cpu", "memory", "pids", "io")
SYSCTL = "/etc/sysctl.d/90-host.conf"


def read(root: str, path: str) -> str:
    """What a file of the kernel's says; nothing where there is none."""
    try:
        with open(os.path.join(root, path.lstrip("/")), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def tasks(root: str) -> list[str]:
    """The ids of the processes and of the kernel's threads."""
    place = os.path.join(root, "proc")
    return [name for name in os.listdir(place) if name.isdecimal()] if os.path.isdir(place) else []


def kvm(record: Record, root: str = "/") -> Found:
    if not os.path.exists(os.path.join(root, "dev/kvm")):
        return (
            "fail",
            "there is no /dev/kvm: Firecracker cannot run machines here",
            "switch on virtualisation in the firmware, or nested virtualisation, and load kvm_intel or kvm_amd",
        )
    if os.stat(os.path.join(root, "dev/kvm")).st_mode & 0o006:
        return (
            "warn",
            "everybody on this host can use /dev/kvm; jails have a node of their own",
            "sudo chmod o= /dev/kvm",
        )
    return "pass", "/dev/kvm is there; the monitor row says whether guests run on it", ""


def kernel_line(record: Record, root: str = "/", release: str | None = None) -> Found:
    release = release or platform.release()
    numbers = tuple(int(each) for each in release.split("-")[0].split(".")[:2] if each.isdigit())
    if numbers < LEAST_KERNEL:
        return "fail", f"Linux {release} is too old: 5.14 or later is needed", "upgrade the host's kernel"
    if numbers not in GUEST_LINES:
        tested = ", ".join(".".join(map(str, each)) for each in GUEST_LINES)
        return "pass", f"Linux {release} (Firecracker's makers test on {tested})", ""
    if numbers == (6, 1) and "favordynmods" not in read(root, "/proc/mounts"):
        never = read(root, "/sys/module/kvm/parameters/nx_huge_pages") in ("never", "N")
        if not never:
            return (
                "warn",
                f"Linux {release}: on 6.1 each machine's making waits for the kernel's control groups",
                "sudo mount -o remount,favordynmods /sys/fs/cgroup",
            )
    return "pass", f"Linux {release}", ""


def control_groups(record: Record, root: str = "/") -> Found:
    if not os.path.exists(os.path.join(root, "sys/fs/cgroup/cgroup.controllers")):
        return "fail", "control groups of version 2 are not mounted", "boot with systemd.unified_cgroup_hierarchy=1"
    have = read(root, f"{record.cgroup}/cgroup.controllers").split()
    missing = [each for each in CONTROLLERS if each not in have]
    if not have:
        return "fail", f"{record.cgroup} is not there", "sudo systemctl start banger-machines"
    if missing:
        detail = f"{', '.join(missing)} cannot be limited for machines"
        return ("warn" if missing == ["io"] else "fail"), detail, "boot without cgroup_disable="
    return "pass", f"{', '.join(CONTROLLERS)} are delegated to {record.cgroup}", ""


def swap(record: Record, root: str = "/") -> Found:
    places = [line.split()[0] for line in read(root, "/proc/swaps").splitlines()[1:]]
    plain = [each for each in places if not each.startswith(("/dev/zram", "/dev/mapper/", "/dev/dm-"))]
    if plain:
        return (
            "warn",
            f"the host swaps to {', '.join(plain)}: what guests had in memory can stay on that disk",
            "sudo swapoff -a (and out of /etc/fstab), or encrypt it",
        )
    return "pass", "none that would leave guests' memory on a disk as it is", ""


def same_page_merging(record: Record, root: str = "/") -> Found:
    if read(root, "/sys/kernel/mm/ksm/run") == "1":
        return (
            "warn",
            "KSM merges pages of different guests, who can find out from its timing what others have",
            "echo 2 | sudo tee /sys/kernel/mm/ksm/run",
        )
    return "pass", "KSM is off", ""


def threads(record: Record, root: str = "/") -> Found:
    if read(root, "/sys/devices/system/cpu/smt/active") == "1":
        return (
            "warn",
            "two guests can share a processor's core (SMT), and watch each other through it",
            "echo off | sudo tee /sys/devices/system/cpu/smt/control, where guests of different people run",
        )
    return "pass", "no core is shared by two guests at a time", ""


def mitigations(record: Record, root: str = "/") -> Found:
    place = os.path.join(root, "sys/devices/system/cpu/vulnerabilities")
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    open_ones = [name for name in names if read(place, name).startswith("Vulnerable")]
    if open_ones:
        return (
            "warn",
            f"the processor is open to: {', '.join(open_ones)}",
            "install the processor's microcode (intel-microcode or amd64-microcode), boot without mitigations=off",
        )
    return "pass", "no weakness of the processor is left open", ""


def console(record: Record, root: str = "/") -> Found:
    level = read(root, "/proc/sys/kernel/printk").split()
    serial = "console=ttyS" in read(root, "/proc/cmdline")
    if serial and level and level[0].isdigit() and int(level[0]) > 4:
        return (
            "warn",
            "the kernel writes all that it says to a serial line, and machines wait for it",
            f"echo 'kernel.printk = 4 4 1 7' | sudo tee {SYSCTL} && sudo sysctl --system",
        )
    return "pass", "the kernel is quiet on its console", ""


def user_ids(record: Record, root: str = "/") -> Found:
    """Nobody else has a user id that a monitor may get: not as a user, not as a subordinate one."""
    first, last = record.first_uid, record.tool_uids[-1]
    taken = [f"user {name}" for name, uid in _numbers(root, "etc/passwd", 2) if first <= uid[0] <= last]
    for path in ("etc/subuid", "etc/subgid"):
        for name, (start, count) in _numbers(root, path, 1, 2):
            if count and start <= last and first <= start + count - 1:
                taken.append(f"{name} in /{path}")
    if taken:
        detail = f"the machines' user ids {first} to {last} are also those of: {', '.join(taken)}"
        return "warn", detail, "give them others: usermod -u for a user, usermod --del-subuids for subordinate ids"
    return "pass", f"{first} to {last} are the machines' alone", ""


def _numbers(root: str, path: str, *columns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and numbers of a table with colons; lines of another form are passed over."""
    for line in read(root, path).splitlines():
        fields = line.split(":")
        if len(fields) > max(columns) and all(fields[each].isdecimal() for each in columns):
            yield fields[0], tuple(int(fields[each]) for each in columns)


def memory_errors(record: Record, root: str = "/") -> Found:
    """What the kernel knows of memory that corrects its errors. Without it a guest may flip its neighbours' bits."""
    place = os.path.join(root, "sys/devices/system/edac/mc")
    controllers = [each for each in os.listdir(place) if each.startswith("mc")] if os.path.isdir(place) else []
    lost = sum(int(count) for each in controllers if (count := read(place, f"{each}/ue_count")).isdecimal())
    if lost:
        return "warn", f"the memory had {lost} errors that could not be corrected", "replace it: guests lose data"
    if controllers:
        return "pass", "the memory corrects its errors (ECC)", ""
    return "pass", "the kernel tells of no memory with ECC; use it where guests do not trust each other", ""


def guests_network(record: Record, root: str = "/") -> Found:
    known = plan.host_networks(os.path.join(root, plan.ROUTES.lstrip("/")))
    return network.addresses(record.network.network, known, record.bridge)


ROWS: Mapping[str, Row] = {
    "kvm": kvm,
    "guests' network": guests_network,
    "host kernel": kernel_line,
    "control groups": control_groups,
    "swap": swap,
    "same-page merging": same_page_merging,
    "shared cores": threads,
    "mitigations": mitigations,
    "kernel console": console,
    "user ids": user_ids,
    "memory errors": memory_errors,
}

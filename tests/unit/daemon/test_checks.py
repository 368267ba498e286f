"""The host checklist on hosts that are laid out as directories."""

import asyncio
from pathlib import Path

import pytest

from banger.daemon.checks import host, posture
from banger.helper import nftables, program
from banger.system import units
from banger.system.record import Record

RECORD = Record(owner_uid=1, owner_gid=1, owner="alice", home="/home/alice", version="1", installed_at="")


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("row", "files", "status", "word"),
    [
        (host.kvm, {}, "fail", "no /dev/kvm"),
        (host.user_ids, {}, "pass", "900000 to 901015"),
        (host.user_ids, {"etc/passwd": "root:x:0:0::/:/bin/sh\nbob:x:900003:1::/:/bin/sh\n:::\n"}, "warn", "user bob"),
        (host.user_ids, {"etc/subuid": "bob:100000:65536\nbob:865536:65536\n"}, "warn", "bob in /etc/subuid"),
        (host.user_ids, {"etc/subgid": "bob:901016:65536\nbob:x:y\nbob:900000:0\n"}, "pass", "alone"),
        (host.memory_errors, {}, "pass", "no memory with ECC"),
        (host.memory_errors, {"sys/devices/system/edac/mc/mc0/ue_count": "0\n"}, "pass", "corrects its errors"),
        (host.memory_errors, {"sys/devices/system/edac/mc/mc0/ue_count": "3\n"}, "warn", "3 errors"),
        (host.guests_network, {"proc/net/route": "Iface\n"}, "pass", "172.16.0.0/24"),
        (
            host.guests_network,
            {"proc/net/route": "Iface\ntun0 000010AC 00000000 0001 0 0 0 0000F0FF 0 0 0\n"},
            "warn",
            "172.16.0.0/12 (tun0)",
        ),
        (host.swap, {"proc/swaps": "Filename Type\n/dev/sda2 partition 1 0 -2\n"}, "warn", "/dev/sda2"),
        (host.swap, {"proc/swaps": "Filename Type\n/dev/zram0 partition 1 0 -2\n/dev/dm-1 p 1 0 0\n"}, "pass", "none"),
        (host.swap, {}, "pass", "none"),
        (host.same_page_merging, {"sys/kernel/mm/ksm/run": "1\n"}, "warn", "KSM"),
        (host.same_page_merging, {"sys/kernel/mm/ksm/run": "0\n"}, "pass", "off"),
        (host.threads, {"sys/devices/system/cpu/smt/active": "1\n"}, "warn", "SMT"),
        (host.threads, {"sys/devices/system/cpu/smt/active": "0\n"}, "pass", "no core"),
        (
            host.mitigations,
            {
                "sys/devices/system/cpu/vulnerabilities/meltdown": "Vulnerable\n",
                "sys/devices/system/cpu/vulnerabilities/mds": "Mitigation: Clear CPU buffers; SMT vulnerable\n",
            },
            "warn",
            "open to: meltdown",
        ),
        (host.mitigations, {"sys/devices/system/cpu/vulnerabilities/mds": "Not affected\n"}, "pass", "no weakness"),
        (host.console, {"proc/sys/kernel/printk": "7 4 1 7\n", "proc/cmdline": "console=ttyS0\n"}, "warn", "serial"),
        (host.console, {"proc/sys/kernel/printk": "7 4 1 7\n", "proc/cmdline": "quiet\n"}, "pass", "quiet"),
        (host.control_groups, {}, "fail", "version 2"),
        (host.control_groups, {"sys/fs/cgroup/cgroup.controllers": "cpu"}, "fail", "is not there"),
        (
            host.control_groups,
            {
                "sys/fs/cgroup/cgroup.controllers": "cpu",
                "sys/fs/cgroup/banger.slice/banger-machines.service/cgroup.controllers": "cpu pids io",
            },
            "fail",
            "memory cannot be limited",
        ),
        (
            host.control_groups,
            {
                "sys/fs/cgroup/cgroup.controllers": "cpu",
                "sys/fs/cgroup/banger.slice/banger-machines.service/cgroup.controllers": "cpu memory pids",
            },
            "warn",
            "io cannot be limited",
        ),
    ],
)  # fmt: skip
def test_row(tmp_path: Path, row: "host.Row", files: dict[str, str], status: str, word: str) -> None:
    for path, text in files.items():
        put(tmp_path, path, text)
    found = row(RECORD, str(tmp_path))
    assert found[0] == status
    assert word in found[1]
    assert bool(found[2]) == (status != "pass"), "what is wrong has a mend, and nothing else has"


@pytest.mark.parametrize(
    ("release", "status", "word"),
    [
        ("5.10.0-30-amd64", "fail", "too old"),
        ("5.15.0-100-generic", "pass", "test on 5.10"),
        ("6.18.3", "pass", "Linux 6.18.3"),
        ("6.1.0-56-cloud-amd64", "warn", "6.1"),
    ],
)
def test_kernel_line(tmp_path: Path, release: str, status: str, word: str) -> None:
    found = host.kernel_line(RECORD, str(tmp_path), release)
    assert (found[0], word in found[1]) == (status, True)


def test_a_mended_kernel_of_6_1_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate,favordynmods 0 0\n")
    assert host.kernel_line(RECORD, str(tmp_path), "6.1.2")[0] == "pass"
    put(tmp_path, "proc/mounts", "")
    put(tmp_path, "sys/module/kvm/parameters/nx_huge_pages", "never\n")
    assert host.kernel_line(RECORD, str(tmp_path), "6.1.2")[0] == "pass"


def test_a_unit_that_has_lost_a_restriction_is_found() -> None:
    promised = units.PROMISED[units.HELPER_SERVICE]
    loaded = {**promised, "CapabilityBoundingSet": " ".join(reversed(promised["CapabilityBoundingSet"].split()))}
    assert posture.missing("it", promised, loaded) == []
    assert posture.missing("it", promised, {**loaded, "NoNewPrivileges": "no"}) == [
        "it has NoNewPrivileges=no, not yes"
    ]
    wider = {**loaded, "CapabilityBoundingSet": loaded["CapabilityBoundingSet"] + " cap_sys_module"}
    assert "cap_sys_module" in posture.missing("it", promised, wider)[0]
    assert posture.missing("it", {"KillMode": "process"}, {}) == ["it has KillMode=(nothing), not process"]


def test_kvm_for_everybody_is_a_warning(tmp_path: Path) -> None:
    put(tmp_path, "dev/kvm", "")
    (tmp_path / "dev/kvm").chmod(0o660)
    assert host.kvm(RECORD, str(tmp_path))[0] == "pass"
    (tmp_path / "dev/kvm").chmod(0o666)
    status, detail, mend = host.kvm(RECORD, str(tmp_path))
    assert (status, mend) == ("warn", "sudo chmod o= /dev/kvm") and "everybody" in detail


def test_directories_above_the_jails_are_roots(tmp_path: Path) -> None:
    below = tmp_path / "private"
    below.mkdir()
    tmp_path.chmod(0o777)
    assert posture._not_roots(str(below)) is not None
    assert posture._not_roots("/") is None


def test_what_the_helper_works_with_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"ip", "e2fsck", "debugfs"}
    monkeypatch.setattr(program, "installed", there.__contains__)
    monkeypatch.setattr(nftables, "installed", lambda: True)
    assert asyncio.run(posture.tools(RECORD))[0] == "pass", "resolvectl is not everybody's"
    there.remove("ip")
    monkeypatch.setattr(nftables, "installed", lambda: False)
    assert asyncio.run(posture.tools(RECORD)) == (
        "fail", "the helper misses ip, nftables", "sudo apt-get install iproute2 nftables",
    )  # fmt: skip

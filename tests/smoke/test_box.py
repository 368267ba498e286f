"""The harness itself: what is run, copied and left behind in the box is told as it is."""

from pathlib import Path

import pytest

from tests.smoke.host.box import CommandFailed, Host
from tests.smoke.host.image import OWNER
from tests.smoke.machines import show

LITTER = """\
set -e
truncate -s 16M /var/tmp/litter.img
loop=$(losetup --show -f /var/tmp/litter.img)
dmsetup create litter --table "0 64 linear $loop 0"
ip link add litter0 type dummy
ip address add 192.0.2.1/24 dev litter0
ip link set litter0 up
ip netns add litter
nft add table ip litter
nft 'add set ip litter known { type ipv4_addr; elements = { 192.0.2.7 }; }'
rm /etc/profile.d/host.sh
mkdir /var/tmp/litter /sys/fs/cgroup/litter
mount -t tmpfs litter /var/tmp/litter
useradd --system litter
setsid sleep 987 >/dev/null 2>&1 &
"""

KINDS = {
    "process sleep 987", "loop device /var/tmp/litter.img", "mapper device litter", "network link litter0",
    "address litter0 192.0.2.1", "network namespace litter", "nft table ip litter",
    "nft element ip litter known 192.0.2.7", "mount /var/tmp/litter",
    "cgroup /sys/fs/cgroup/litter", "file /var/tmp/litter.img",
}  # fmt: skip

LEFTOVERS = """\
set -e
nft 'add element bridge banger guests { "tap-fc-2" . 02:fc:ac:10:00:04 . 172.16.0.4 }'
nft 'add element inet banger nat { 172.16.0.4 }'
ip tuntap add tap-fc-600 mode tap
mkdir /run/banger/vms/0123456789abcdef
"""
LEFT = {
    "nft element bridge banger guests tap-fc-2 . 02:fc:ac:10:00:04 . 172.16.0.4",
    "nft element inet banger nat 172.16.0.4", "network link tap-fc-600", "file /run/banger/vms/0123456789abcdef",
}  # fmt: skip


def test_a_command_ends_as_it_ended(host: Host) -> None:
    assert host.run("echo out; echo err >&2; exit 7", check=False) == (7, "out\n", "err\n")
    assert host.run(["cat"], stdin=b"in").stdout == "in"
    assert host.run(["id", "-un"], user=OWNER).stdout == f"{OWNER}\n"
    assert host.run(["/nowhere"], check=False).status == 127
    assert host.run(["sleep", "100"], timeout=1, check=False).status == 124
    assert host.run("kill -9 $$", check=False).status == 137
    with pytest.raises(CommandFailed, match="why it failed"):
        host.run("echo why it failed; false")


def test_files_come_and_go(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_bytes(bytes(range(256)) * 5000)
    (source / "below" / "file").chmod(0o750)
    host.put(source, "/root/tree")
    assert host.run(["stat", "-c", "%a %U %s", "/root/tree/below/file"]).stdout == "750 root 1280000\n"
    back = host.get("/root/tree", tmp_path / "back")
    assert (back / "below" / "file").read_bytes() == (source / "below" / "file").read_bytes()


def test_what_is_left_behind_is_found_and_a_fresh_box_has_none_of_it(host: Host) -> None:
    boot = host.read("/proc/sys/kernel/random/boot_id")
    host.run(LITTER)
    found = host.changes(patience=0)
    assert {each.removeprefix("left behind: ") for each in found} >= KINDS
    assert "gone: file /etc/profile.d/host.sh" in found
    host.fresh()
    assert host.changes() == []
    assert host.read("/proc/sys/kernel/random/boot_id") == boot


def test_what_a_machine_leaves_behind_is_found_among_what_an_installation_keeps(serving: Host) -> None:
    """A rule, a tap beyond the pool, a socket's directory; and its own process and devices where they are gone."""
    vm_id = show(serving, "one")["id"]
    serving.run(LEFTOVERS)
    assert set(serving.changes(patience=0)) == {f"left behind: {each}" for each in LEFT}
    serving.fresh()
    serving.banger("vm", "stop", "one", timeout=90)
    found = serving.changes(patience=0)
    assert all(each.startswith("gone: ") for each in found), found
    for kind in (
        f"mapper device fc-rootfs-{vm_id}",
        "nft element bridge banger guests tap-fc-0",
        "process /firecracker",
    ):
        assert any(each.startswith(f"gone: {kind}") for each in found), (kind, found)
    serving.spend()
    assert serving.changes() == []
    serving.fresh()
    assert serving.changes() == []

"""The harness itself: what is run, copied and left behind in the box is told as it is."""

from pathlib import Path

import pytest

from tests.smoke.host.box import CommandFailed, Host
from tests.smoke.host.image import OWNER

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
mkdir /var/tmp/litter /sys/fs/cgroup/litter
mount -t tmpfs litter /var/tmp/litter
useradd --system litter
setsid sleep 987 >/dev/null 2>&1 &
"""

KINDS = {
    "process sleep 987", "loop device loop0", "mapper device litter", "network link litter0",
    "address litter0 192.0.2.1", "network namespace litter", "nft table ip litter", "mount /var/tmp/litter",
    "cgroup /sys/fs/cgroup/litter", "file /var/tmp/litter.img",
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
    before = host.inventory()
    boot = host.read("/proc/sys/kernel/random/boot_id")
    host.run(LITTER)
    assert set(host.left_since(before, patience=0)) >= KINDS
    host.fresh()
    assert host.left_since(before) == []
    assert host.read("/proc/sys/kernel/random/boot_id") == boot

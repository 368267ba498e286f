"""Machines in jails that have lost one of their two records while no daemon runs: found again, running or not."""

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, show
from tests.smoke.test_restarts import DAEMON

MACHINES = "/var/lib/banger/vms"

FORGET = """
import sqlite3
database = sqlite3.connect("/var/lib/banger/banger.db")
database.execute("DELETE FROM vms")
database.commit()
database.close()
"""

DAMAGES: dict[str, str | list[str]] = {
    "file deleted": f"rm {MACHINES}/*/handles.json",
    "file corrupt": f"for each in {MACHINES}/*/handles.json; do truncate -s 40 $each; done",
    "rows deleted": ["python3", "-c", FORGET],
}

HELD = (
    "ls -A /var/lib/banger-root/jails/firecracker /var/lib/banger/vms; losetup -l; dmsetup ls;"
    " ls -d /sys/fs/cgroup/banger.slice/banger-machines.service/vm-*; nft list set bridge banger guests"
)
"""What a host holds for machines."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_machines_are_found_again(serving: Host, damage: str) -> None:
    serving.banger("run", "--detach", "--name", "two", "--image", "busybox", "--memory", "128M", timeout=180)
    serving.banger("exec", "two", "--", "sh", "-c", "echo kept > /root/kept")
    serving.banger("vm", "stop", "two", timeout=90)
    before, boot = {name: show(serving, name) for name in ("one", "two")}, boot_id(serving, "one")
    listed = serving.run("nft list set bridge banger guests").stdout

    serving.run(["systemctl", "stop", DAEMON])
    serving.run(DAMAGES[damage])
    serving.run(["systemctl", "start", DAEMON])
    serving.until("banger vm list", user="owner")

    one, two = show(serving, "one"), show(serving, "two")
    assert (one["id"], one["state"], one["pid"]) == (before["one"]["id"], "running", before["one"]["pid"])
    assert (two["id"], two["state"], two["pid"]) == (before["two"]["id"], "stopped", None)
    assert boot_id(serving, "one") == boot
    assert serving.run("nft list set bridge banger guests").stdout == listed, "it is on the network as it was"
    assert serving.run(f"cat {MACHINES}/*/handles.json | jq -r .machine.name | sort").stdout == "one\ntwo\n"

    serving.banger("vm", "start", "two", timeout=150)
    assert serving.banger("exec", "two", "--", "cat", "/root/kept").stdout == "kept\n"
    serving.banger("vm", "stop", "one", "two", timeout=120)
    serving.banger("rm", "one", "two", timeout=90)
    held = serving.run(HELD, check=False).stdout
    for each in before.values():
        assert each["id"] not in held and each["address"] not in held, held
    assert serving.run(["dmsetup", "ls"]).stdout == "No devices found\n"
    assert serving.run("losetup -ln").stdout == ""
    serving.spend()

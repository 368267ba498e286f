"""A monitor that is killed: while its machine runs, and at every moment of a start."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, show

KILLER = """
import glob, os, signal, sys, time
while True:
    for path in glob.glob("/proc/[0-9]*/task/[0-9]*/comm"):
        try:
            with open(path) as file:
                if file.read().strip() != sys.argv[1]:
                    continue
            pid = int(path.split("/")[2])
            if os.readlink(f"/proc/{pid}/exe").endswith("firecracker"):
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.02)
"""
"""Kills each Firecracker that has a thread of a name."""

MOMENTS = {"firecracker": "it has begun", "fc_api": "its API answers", "fc_vcpu 0": "its guest runs"}
"""Thread -> since when there is one."""


REASON = re.compile("the virtual machine monitor failed: the (monitor|machine) .*ended")


def ended(host: Host) -> dict[str, object]:
    """What is on record of the machine, once that is its end."""
    host.until("banger vm show one --json | jq -e '.state == \"stopped\"'", user="owner")
    return show(host, "one")


def test_a_machine_whose_monitor_is_killed_is_stopped_and_starts_again(serving: Host) -> None:
    boot, pid = boot_id(serving, "one"), show(serving, "one")["pid"]
    serving.banger("exec", "one", "--", "sh", "-c", "echo kept > /root/kept; sync")
    serving.run(["kill", "-9", str(pid)])
    found = ended(serving)
    assert (found["stop_reason"], found["pid"], found["error"]) == ("killed", None, None)
    refused = serving.banger("exec", "one", "--", "true", check=False)
    assert refused.status == 125 and "stopped" in refused.stderr
    assert serving.run("ls -A /var/lib/banger-root/jails/firecracker").stdout == ""
    assert serving.run(["dmsetup", "ls"]).stdout == "No devices found\n"
    serving.banger("vm", "start", "one", timeout=150)
    assert boot_id(serving, "one") != boot
    assert serving.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"


def test_a_guest_that_turns_itself_off_is_noticed(
    serving: Host, record_property: Callable[[str, object], None]
) -> None:
    console = f"/var/lib/banger/vms/{show(serving, 'one')['id']}/console.log"
    serving.banger("exec", "one", "--", "poweroff", "-f", check=False)
    found = ended(serving)
    assert found["stop_reason"] == "powered off"
    said = float(serving.run(["stat", "--format=%.9Y", console]).stdout)
    record_property(
        "seconds from a guest's last word to its end on record", round(float(str(found["stopped"])) - said, 2)
    )
    serving.spend()


FILL = "mkdir -p /fill && mount -t tmpfs -o size=100% none /fill && dd if=/dev/zero of=/fill/it bs=1M count=96"
GROUP = "/sys/fs/cgroup/banger.slice/banger-machines.service"


def test_a_machine_that_the_host_has_no_memory_for_says_so(serving: Host) -> None:
    group = f"{GROUP}/vm-{show(serving, 'one')['id']}"
    serving.run(f"echo $(($(cat {group}/memory.current) + (24 << 20))) > {group}/memory.max")
    filled = serving.banger("exec", "one", "--", "sh", "-c", FILL, timeout=120, check=False)
    assert filled.status == 125, f"the guest got its memory: {filled.stdout}{filled.stderr}"
    found = ended(serving)
    assert str(found["stop_reason"]).startswith("out of memory"), found["stop_reason"]
    assert "stopped (out of memory)" in serving.banger("vm", "list").stdout
    serving.spend()
    serving.banger("vm", "start", "one", timeout=150)
    assert serving.banger("exec", "one", "--", "echo", "here").stdout == "here\n"


def test_when_the_host_goes_down_machines_are_powered_off_in_order(serving: Host) -> None:
    serving.banger("exec", "one", "--", "sh", "-c", "echo kept > /root/kept")
    serving.run(["systemctl", "stop", "banger-shutdown.service"], timeout=120)
    found = show(serving, "one")
    assert (found["state"], found["stop_reason"]) == ("stopped", "powered off")
    serving.run(["systemctl", "start", "banger-shutdown.service"])
    serving.banger("vm", "start", "one", timeout=150)
    assert serving.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"


@pytest.fixture
def killing(serving: Host) -> Iterator[Host]:
    """The box with the machine stopped; whoever kills is stopped in the end."""
    serving.banger("vm", "stop", "one", timeout=90)
    yield serving
    serving.run("systemctl stop killer", check=False)


def test_a_start_whose_monitor_is_killed_says_so_and_leaves_nothing(killing: Host) -> None:
    stopped = killing.inventory()
    for thread, moment in MOMENTS.items():
        killing.run(["systemd-run", "--quiet", "--collect", "--unit=killer", "python3", "-c", KILLER, thread])
        failed = killing.banger("vm", "start", "one", timeout=150, check=False)
        killing.run(["systemctl", "stop", "killer"])
        assert failed.status == 1, f"{moment}: {failed.stdout}{failed.stderr}"
        assert REASON.search(failed.stderr), f"{moment}: {failed.stderr.splitlines()[-2:]}"
        found = show(killing, "one")
        assert found["state"] in ("stopped", "error") and found["pid"] is None, moment
        assert killing.left_since(stopped) == [], moment
    killing.banger("vm", "start", "one", timeout=150)
    assert killing.banger("exec", "one", "--", "echo", "here").stdout == "here\n"

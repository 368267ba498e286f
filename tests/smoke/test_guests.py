"""Machines on a production host, from run to delete."""

import json

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, show


def test_a_command_in_a_machine_of_its_own(stocked: Host) -> None:
    done = stocked.banger(
        "run", "--rm", "--image", "busybox", "--", "sh", "-c", "uname -s; cat /proc/1/comm; exit 7",
        timeout=180, check=False,
    )  # fmt: skip
    assert done.status == 7, done.stderr
    assert done.stdout.splitlines()[0] == "Linux"
    assert stocked.banger("vm", "list", "--quiet").stdout == ""


def test_three_at_once_each_have_their_own_status(stocked: Host) -> None:
    one = "banger run --rm --image busybox --memory 128M -- sh -c 'exit {0}'; echo {0} $?"
    lines = "".join(f"({one.format(status)}) & " for status in (3, 4, 5))
    done = stocked.run(f"{lines} wait", user="owner", timeout=400)
    assert sorted(done.stdout.splitlines()) == ["3 3", "4 4", "5 5"], done.stderr
    assert stocked.banger("vm", "list", "--quiet").stdout == ""


def test_loop_devices_that_others_have_are_no_hindrance(stocked: Host) -> None:
    stocked.run("mkdir /var/tmp/taken; for i in $(seq 20); do"
                " truncate -s 1M /var/tmp/taken/$i && losetup -f /var/tmp/taken/$i || exit; done")  # fmt: skip
    taken = stocked.run("losetup -ln -O NAME,BACK-FILE").stdout
    assert stocked.banger("run", "--rm", "--image", "busybox", "--", "true", timeout=180).status == 0
    assert stocked.run("losetup -ln -O NAME,BACK-FILE").stdout == taken
    stocked.run("losetup -D; rm -r /var/tmp/taken")


def test_a_machine_stops_starts_and_restarts_with_its_disk(serving: Host) -> None:
    first = boot_id(serving, "one")
    serving.banger("exec", "one", "--", "sh", "-c", "echo kept > /root/kept")
    assert " /root ext4 rw" in serving.banger("exec", "one", "--", "cat", "/proc/mounts").stdout
    serving.banger("vm", "stop", "one", timeout=90)
    assert show(serving, "one")["state"] == "stopped"
    serving.banger("vm", "start", "one", timeout=150)
    second = boot_id(serving, "one")
    serving.banger("vm", "restart", "one", timeout=200)
    third = boot_id(serving, "one")
    assert len({first, second, third}) == 3
    assert serving.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"
    assert 0 in calls(serving, show(serving, "one")["id"]), "the guest tells when it serves; one that is slow is called"


def calls(host: Host, vm_id: str) -> list[int]:
    """How often the daemon had itself connected to the machine's guest after each of its starts."""
    found: list[int] = []
    for line in host.run("journalctl --unit=bangerd-root --output=cat | grep '^{'").stdout.splitlines():
        what = json.loads(line).get("what", "")
        if what.startswith(f"launch machine {vm_id} "):
            found.append(0)
        elif what == f"connect to the vsock socket of machine {vm_id}":
            found[-1] += 1
    return found


def test_a_machine_is_killed_and_deleted(serving: Host) -> None:
    pid = show(serving, "one")["pid"]
    serving.banger("vm", "kill", "one", timeout=60)
    assert show(serving, "one")["state"] == "stopped"
    assert serving.run(["test", "-e", f"/proc/{pid}"], check=False).status != 0
    serving.banger("vm", "delete", "one", timeout=60)
    assert serving.run("ls -A /var/lib/banger-root/jails/firecracker/ /var/lib/banger/vms/ | grep -v :$").stdout == "\n"
    assert serving.run(["dmsetup", "ls"]).stdout == "No devices found\n"
